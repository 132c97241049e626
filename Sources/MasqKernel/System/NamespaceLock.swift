// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The right to be the one masqd of a network namespace, for as long as the value lives.
///
/// It is an abstract unix address: per network namespace, freed by the kernel at the process's death, and it tells
/// who holds it. But any user may take the name, so where a stranger has it, a locked file decides instead.
public struct NamespaceLock: ~Copyable {
    private let holder: Descriptor
    /// The pid of a stranger that holds the address, for the log; the lock is then a file's.
    public let stranger: Int32?

    private static let address = "@masqd"

    /// Why the lock can't be had.
    public enum Refusal: Error, Equatable, CustomStringConvertible {
        /// Another masqd has it.
        case held(byProcess: Int32?)
        /// The operating system failed.
        case system(SystemError)

        /// One line for people.
        public var description: String {
            switch self {
            case .held(let process?): "another masqd (pid \(process)) serves this network namespace already"
            case .held(nil): "another masqd serves this network namespace already"
            case .system(let error): "\(error)"
            }
        }
    }

    /// Takes the lock of the calling thread's network namespace.
    ///
    /// - Parameter fallbackDirectory: where the locked file goes, when it comes to that.
    /// - Throws: ``Refusal``.
    public init(fallbackDirectory: String) throws(Refusal) {
        let process: Int32?
        do throws(SystemError) {
            let socket = try Self.socket()
            let result = withUnixAddress(Self.address) { bind(socket.number, $0, $1) }
            if result == 0 {
                guard listen(socket.number, 8) == 0 else { throw SystemError("listen on", Self.address) }
                holder = socket
                stranger = nil
                return
            }
            guard errno == EADDRINUSE else { throw SystemError("bind", Self.address) }
            let peer = try Self.holderOfAddress()
            if let peer, Self.isStranger(peer) {
                if let file = try Self.lockedFile(in: fallbackDirectory) {
                    holder = file
                    stranger = peer.pid
                    return
                }
                process = nil
            } else {
                process = peer?.pid
            }
        } catch {
            throw .system(error)
        }
        throw .held(byProcess: process)
    }

    /// The descriptor that becomes readable when somebody connects to ask who is there.
    public var descriptor: CInt { holder.number }

    /// Lets everybody go who connected; they learnt the pid from the connection itself.
    public func dismissVisitors() {
        while true {
            let visitor = accept(holder.number, nil, nil)
            guard visitor >= 0 else { return }
            close(visitor)
        }
    }

    /// Who has the lock now; nothing where nobody has. It is asked for, and not taken.
    ///
    /// - Throws: ``SystemError``.
    public static func currentHolder() throws(SystemError) -> LockHolder? {
        let socket = try socket()
        guard withUnixAddress(address, { connect(socket.number, $0, $1) }) == 0 else {
            // EAGAIN: too busy to say who it is.
            if errno == EAGAIN { return LockHolder(process: nil) }
            guard errno == ECONNREFUSED else { throw SystemError("ask", address) }
            return nil
        }
        var peer = CNetfilter_peer()
        guard CNetfilter_peer(socket.number, &peer) == 0 else { throw SystemError("ask", address) }
        // 0: in a pid namespace that is not below our own.
        guard peer.pid != 0 else { return LockHolder(process: nil) }
        let unit = ProcessName.unit(of: UInt32(peer.pid))
        let isStranger = ProcessPrivilege.isVisible(peer.pid) && isStranger(peer)
        return LockHolder(process: peer.pid, isStranger: isStranger, unit: unit)
    }

    /// Root, we ourselves, or the unit's own user: whoever has the capability can be another masqd.
    private static func isStranger(_ peer: CNetfilter_peer) -> Bool {
        peer.uid != 0 && peer.uid != getuid() && !ProcessPrivilege.isNetworkAdministrator(peer.pid)
    }

    private static func socket() throws(SystemError) -> Descriptor {
        let type = CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        return try Descriptor(Glibc.socket(AF_UNIX, type, 0), "create", "a unix socket")
    }

    /// Who listens on the address; nothing when it is too busy to say.
    private static func holderOfAddress() throws(SystemError) -> CNetfilter_peer? {
        let socket = try socket()
        guard withUnixAddress(address, { connect(socket.number, $0, $1) }) == 0 else { return nil }
        var peer = CNetfilter_peer()
        guard CNetfilter_peer(socket.number, &peer) == 0 else { return nil }
        return peer
    }

    /// The file in its place, locked; nothing when another masqd has locked it.
    private static func lockedFile(in directory: String) throws(SystemError) -> Descriptor? {
        var namespace = stat()
        guard stat("/proc/thread-self/ns/net", &namespace) == 0 else {
            throw SystemError("examine", "/proc/thread-self/ns/net")
        }
        let path = "\(directory)/netns-\(namespace.st_ino).lock"
        let file = try Descriptor(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600), "open", path)
        if flock(file.number, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK else { throw SystemError("lock", path) }
            return nil
        }
        return file
    }
}
