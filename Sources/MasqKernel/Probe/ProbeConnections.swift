// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// TCP connections that are only begun, to see whether anybody answers through an interface.
///
/// A refusal is an answer too. TCP, and not an echo request, since those need CAP_NET_RAW, or a permission
/// (`ping_group_range`) that Debian 12 does not give.
public struct ProbeConnections: ~Copyable {
    private let epoll: Descriptor
    /// Sockets that wait for an answer, and the interface that each is bound to.
    private var waiting: [CInt: InterfaceName] = [:]

    /// Makes an empty collection.
    ///
    /// - Throws: ``SystemError``.
    public init() throws(SystemError) {
        try self.init(Descriptor(epoll_create1(CInt(EPOLL_CLOEXEC)), "create", "an epoll instance"))
    }

    private init(_ epoll: consuming Descriptor) {
        self.epoll = epoll
    }

    deinit { for descriptor in waiting.keys { close(descriptor) } }

    /// The descriptor that becomes readable when there is an answer, or a failure.
    public var descriptor: CInt { epoll.number }

    /// Gives up what is still unanswered, and asks anew.
    ///
    /// - Returns: the interfaces through which nobody could be asked, and why: `EAFNOSUPPORT` or `EPERM` where the unit
    ///   does not let masqd speak IP.
    public mutating func begin(_ probes: [Probe]) -> [InterfaceName: SystemError] {
        for descriptor in waiting.keys { close(descriptor) }
        waiting = [:]
        var failures: [InterfaceName: SystemError] = [:]
        for probe in probes {
            var asked = 0
            var failure: SystemError?
            for target in probe.targets {
                do throws(SystemError) {
                    try begin(target, by: probe)
                    asked += 1
                } catch {
                    failure = failure ?? error
                }
            }
            if asked == 0 { failures[probe.interface] = failure }
        }
        return failures
    }

    private mutating func begin(_ target: SocketAddress, by probe: Probe) throws(SystemError) {
        let name = "\(target) through \(probe.interface)"
        let family = CInt(target.address.family.rawValue)
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw SystemError("probe", name) }
        var isKept = false
        defer { if !isKept { close(descriptor) } }
        var mark = probe.mark
        let interface = probe.interface.bytes
        // Without both it might leave by another uplink, and claim that this one works.
        guard setsockopt(descriptor, SOL_SOCKET, SO_MARK, &mark, socklen_t(MemoryLayout<UInt32>.size)) == 0,
            setsockopt(
                descriptor, SOL_SOCKET, SO_BINDTODEVICE, interface,
                socklen_t(interface.count)) == 0
        else {
            if errno == ENODEV { return }  // it has just gone: no answer
            throw SystemError("probe", name)
        }
        // Closed with a RST: nothing lingers, here or there.
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        if connect(descriptor, to: target) != 0, errno != EINPROGRESS {
            // EPERM: a packet filter of the unit's, or of somebody's, holds it back. No way is no answer.
            if errno == EPERM || errno == EACCES { throw SystemError("probe", name) }
            guard errno == ECONNREFUSED else { return }
        }
        var event = epoll_event(events: EPOLLOUT.rawValue, data: epoll_data(fd: descriptor))
        guard epoll_ctl(epoll.number, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
            throw SystemError("watch", name)
        }
        isKept = true
        waiting[descriptor] = probe.interface
    }

    /// Takes what came of the questions, and never waits.
    ///
    /// - Returns: the interfaces through which somebody answered.
    public mutating func answers() -> Set<InterfaceName> {
        var interfaces: Set<InterfaceName> = []
        var events = [epoll_event](repeating: epoll_event(), count: 16)
        while case let count = epoll_wait(epoll.number, &events, CInt(events.count), 0), count > 0 {
            for event in events.prefix(Int(count)) {
                let descriptor = event.data.fd
                var code: CInt = 0
                var size = socklen_t(MemoryLayout<CInt>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
                close(descriptor)
                guard let interface = waiting.removeValue(forKey: descriptor) else { continue }
                if code == 0 || code == ECONNREFUSED { interfaces.insert(interface) }
            }
        }
        return interfaces
    }

    private func connect(_ descriptor: CInt, to target: SocketAddress) -> CInt {
        let bytes = target.address.networkOrder
        if target.address.family == .ipv4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = target.port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = target.port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}
