// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// The service manager's end of sd_notify(3): what a daemon under test says about itself.
final class NotifySocket {
    /// The value of $NOTIFY_SOCKET.
    let path: String
    private let socket: Socket

    /// Every message so far, in order; each a datagram's lines.
    private(set) var messages: [[String]] = []

    init(path: String) throws {
        self.path = path
        socket = Socket(
            adopting: try check(
                Glibc.socket(
                    AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0),
                "socket"))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else { throw Failure("too long for a socket's path: \(path)") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket.descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try check(result, "bind to \(path)")
    }

    /// What is readable when a message waits.
    var descriptor: CInt { socket.descriptor }

    /// The last status told; empty before the first.
    var status: String {
        for message in messages.reversed() {
            if let line = message.last(where: { $0.hasPrefix("STATUS=") }) {
                return String(line.dropFirst(7))
            }
        }
        return ""
    }

    /// Takes in the messages that have come, without waiting.
    func drain() throws {
        while let (bytes, _) = try socket.receive(limit: .zero) {
            messages.append(String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init))
        }
    }
}
