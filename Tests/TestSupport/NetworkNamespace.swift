// SPDX-License-Identifier: GPL-3.0-or-later

import CTestSupport
import Glibc

/// A fresh network namespace with its loopback up.
///
/// It has no name and nothing outlives it: a descriptor holds it, and what runs or was opened in it.
/// Needs CAP_SYS_ADMIN and CAP_NET_ADMIN: root, or `unshare -Urn`.
public final class NetworkNamespace: Sendable {
    private let descriptor: CInt

    /// A path by which other programs of the same user find the namespace, while it lives.
    public var path: String { "/proc/\(getpid())/fd/\(descriptor)" }

    /// Makes the namespace; throws a sentence that says what is missing when this process may not.
    public init() throws {
        descriptor = try Self.make()
        // Duplicate address detection would keep every new IPv6 address unusable for a second or two.
        try write("0", to: "/proc/sys/net/ipv6/conf/all/accept_dad")
        try write("0", to: "/proc/sys/net/ipv6/conf/default/accept_dad")
        // Both are the machine's own at first; a strict check drops what tests look for.
        try write("0", to: "/proc/sys/net/ipv4/conf/all/rp_filter")
        try write("0", to: "/proc/sys/net/ipv4/conf/default/rp_filter")
        try write("0", to: "/proc/sys/net/ipv4/ip_forward")
        try ip("link set lo up")
    }

    deinit { close(descriptor) }

    /// Calls `body` with the calling thread in the namespace: sockets and threads that it makes stay there.
    ///
    /// The thread itself goes and comes back, so that expectations in `body` belong to the running test.
    public func run<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let outside = openThreadNetwork()
        guard outside >= 0, CTestSupport_enterNetwork(descriptor) == 0 else {
            fatalError("cannot enter a network namespace of our own: \(String(cString: strerror(errno)))")
        }
        defer {
            // Going on in the wrong namespace could change the machine's network.
            guard CTestSupport_enterNetwork(outside) == 0 else {
                fatalError("cannot leave a network namespace: \(String(cString: strerror(errno)))")
            }
            close(outside)
        }
        return try body()
    }

    /// Links two namespaces with a pair of interfaces, which are down and have no address.
    public static func link(
        _ name: String, of namespace: NetworkNamespace, with peerName: String, of peer: NetworkNamespace
    ) throws {
        try namespace.ip("link add \(name) type veth peer name \(peerName) netns \(peer.path)")
    }

    /// Runs `ip` once with the given commands, such as `link set lo up`; throws what it complains about.
    public func ip(_ commands: String...) throws {
        let input = commands.map { $0 + "\n" }.joined()
        try Command("ip", "-batch", "-").run(in: self, input: input).expectSuccess()
    }

    /// Loads a script with `nft -f`; throws what it complains about.
    public func nft(_ script: String) throws {
        try Command("nft", "-f", "-").run(in: self, input: script).expectSuccess()
    }

    /// What `nft list ruleset` prints, or another listing: `nftListing("table", "inet", "masqd")`.
    public func nftListing(_ what: String...) throws -> String {
        let arguments = ["list"] + (what.isEmpty ? ["ruleset"] : what)
        return try Command("nft", arguments).run(in: self).expectSuccess().standardOutput
    }

    /// The packets that a named counter has seen, as `nft` lists it; nil when there is no such counter.
    public func packets(counter: String, table: String = "inet masqd") throws -> Int? {
        let arguments = ["list", "counter"] + table.split(separator: " ").map(String.init) + [counter]
        let output = try Command("nft", arguments).run(in: self)
        guard output.status == 0 else { return nil }
        let words = output.standardOutput.split { $0.isWhitespace }
        return words.firstIndex(of: "packets").flatMap { Int(words[$0 + 1]) }
    }

    /// Reads a setting below `/proc/sys/net`, without the line's end.
    public func sysctl(_ name: String) throws -> String {
        try run { try read("/proc/sys/net/\(name)") }
    }

    /// Writes a setting below `/proc/sys/net`.
    public func setSysctl(_ name: String, to value: String) throws {
        try write(value, to: "/proc/sys/net/\(name)")
    }

    /// The index of an interface; nil when there is none of that name.
    public func interfaceIndex(_ name: String) -> UInt32? {
        let index = run { if_nametoindex(name) }
        return index == 0 ? nil : index
    }

    /// For ``Command``, which enters the namespace in the child.
    var enteringDescriptor: CInt { descriptor }

    /// Writes without leaving the calling thread in the namespace; /proc/sys/net shows the thread's own.
    private func write(_ text: String, to path: String) throws {
        try run {
            let file = try check(open(path, O_WRONLY | O_CLOEXEC), path)
            defer { close(file) }
            try check(Glibc.write(file, text, text.utf8.count), "\(path) = \(text)")
        }
    }

    /// Leaves the calling thread where it is: another one is moved, and ends.
    private static func make() throws -> CInt {
        final class Outcome { var result: CInt = -EPERM }
        let outcome = Outcome()
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Outcome>.fromOpaque(pointer).takeUnretainedValue().result = makeOnThisThread()
                return nil
            }, Unmanaged.passUnretained(outcome).toOpaque())
        guard code == 0 else { throw Failure("pthread_create", code: code) }
        pthread_join(thread, nil)
        guard outcome.result >= 0 else {
            let reason = String(cString: strerror(-outcome.result))
            throw Failure(
                "these tests make network namespaces: run them as root or inside `unshare -Urn` (\(reason))")
        }
        return outcome.result
    }
}

/// Moves the calling thread for good; a descriptor of the new namespace, or the negated errno.
private func makeOnThisThread() -> CInt {
    let outside = openThreadNetwork()
    guard outside >= 0 else { return -errno }
    defer { close(outside) }
    guard CTestSupport_unshareNetwork() == 0 else { return -errno }
    let inside = openThreadNetwork()
    guard inside >= 0 else { return -errno }
    // `run` has to find the way back, which `unshare -Ur` without n does not permit.
    guard CTestSupport_enterNetwork(outside) == 0 else {
        let code = errno
        close(inside)
        return -code
    }
    return inside
}

private func openThreadNetwork() -> CInt { open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) }

/// Reads a file of /proc, whose size is not known beforehand, without the line's end.
func read(_ path: String) throws -> String {
    let file = try check(open(path, O_RDONLY | O_CLOEXEC), path)
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = try check(Glibc.read(file, &buffer, buffer.count), path)
    let text = String(decoding: buffer[..<count], as: UTF8.self)
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
}
