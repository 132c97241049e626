// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// An IPv4 or IPv6 address and a port (0 where there is none), as a socket names its peer.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// The address as inet_ntop(3) writes it.
    public let address: String
    /// The port in host byte order.
    public let port: UInt16

    /// Takes the address as it is; a wrong one fails when a socket uses it.
    public init(_ address: String, _ port: UInt16 = 0) {
        self.address = address
        self.port = port
    }

    /// `192.168.1.2:53`, or `[fd00::1]:53`.
    public var description: String { isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)" }

    /// Whether the address is one of IPv6.
    public var isIPv6: Bool { address.contains(":") }

    var family: CInt { isIPv6 ? AF_INET6 : AF_INET }

    /// Calls `body` with the address as the kernel takes it.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result) throws -> Result
    {
        var storage = sockaddr_storage()
        let isAddress: Bool
        let size: Int
        if isIPv6 {
            var socket = sockaddr_in6()
            socket.sin6_family = sa_family_t(AF_INET6)
            socket.sin6_port = port.bigEndian
            isAddress = inet_pton(AF_INET6, address, &socket.sin6_addr) == 1
            size = MemoryLayout<sockaddr_in6>.size
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: socket, as: sockaddr_in6.self) }
        } else {
            var socket = sockaddr_in()
            socket.sin_family = sa_family_t(AF_INET)
            socket.sin_port = port.bigEndian
            isAddress = inet_pton(AF_INET, address, &socket.sin_addr) == 1
            size = MemoryLayout<sockaddr_in>.size
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: socket, as: sockaddr_in.self) }
        }
        guard isAddress else { throw Failure("not an address: \(address)") }
        return try withUnsafePointer(to: &storage) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, socklen_t(size)) }
        }
    }

    /// Reads what the kernel has written.
    init(_ storage: sockaddr_storage) {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let port = withUnsafeBytes(of: storage) { bytes in
            // The port is at offset 2 in both families; the address at 4 (IPv4) or 8 (IPv6).
            let isIPv6 = CInt(storage.ss_family) == AF_INET6
            inet_ntop(
                CInt(storage.ss_family), bytes.baseAddress.map { $0 + (isIPv6 ? 8 : 4) }, &text,
                socklen_t(text.count))
            return UInt16(bigEndian: bytes.load(fromByteOffset: 2, as: UInt16.self))
        }
        self.init(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self), port)
    }
}
