// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// How many bytes this process may send in one datagram; `net.core.wmem_max` is not for privileged ones.
private let sendingLimit: Int = {
    let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
    defer { close(descriptor) }
    var size: CInt = 64 << 20
    var length = socklen_t(MemoryLayout<CInt>.size)
    if setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &size, length) != 0 {
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, length)
    }
    getsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, &length)
    return Int(size)
}()

@Suite struct LargeSetTests {
    /// `10.0.0.0/28`, `10.0.0.32/28` …: none touches another.
    private static func networks(_ count: Int) -> [IPNetwork] {
        (0..<count).map {
            IPNetwork(
                containing: IPAddress(family: .ipv4, value: 0x0a00_0000 + UInt128($0) * 32), prefixLength: 28)
        }
    }

    @Test(
        "100 000 networks in one batch, one network more in a few hundred bytes, and all of them out again",
        .enabled(
            if: sendingLimit > 8_000_000,
            "needs root outside of a user namespace, or net.core.wmem_max >= 4000000"))
    func hundredThousand() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let large = Ruleset.behindPPP0(Self.networks(100_000))
        let generation = try namespace.generation()
        _ = try table.apply(large)
        #expect(try namespace.generation() == generation + 1)
        #expect(try namespace.snapshot() == Snapshot(lowering: large))
        #expect(try table.apply(large).isEmpty)

        let more = try table.apply(.behindPPP0(Self.networks(100_001)))
        let last = AddressRange(first: 0x0a30_d400, last: 0x0a30_d40f)
        #expect(
            more == [
                .addElements(
                    set: "masquerade_1_source", .addresses(AddressRanges(family: .ipv4, merging: [last])))
            ])
        #expect(batchLength(more) < 400)

        let gone = try table.apply(.behindPPP0(Self.networks(1)))
        #expect(gone.count == 1)
        #expect(try sourceElements(in: namespace) == ["10.0.0.0/28"])
    }

    @Test(
        "More networks than the send buffer takes are an error that says so, and change nothing",
        .enabled(if: sendingLimit < 20_000_000, "root outside of a user namespace has no such limit"))
    func tooLarge() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        _ = try table.apply(.behindPPP0(Self.networks(1)))
        let generation = try namespace.generation()
        let error = refusal(of: .behindPPP0(Self.networks(sendingLimit / 40)), by: &table)
        #expect(error?.operation == .send && error?.code == EMSGSIZE)
        #expect(error?.description.contains("net.core.wmem_max") == true)
        #expect(try namespace.generation() == generation)
    }

    private func refusal(of ruleset: Ruleset, by table: inout KernelTable) -> NetlinkError? {
        do throws(NetlinkError) {
            _ = try table.apply(ruleset)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "Elements of several messages: every size around the limit of an attribute",
        arguments: [1160, 1161, 1162, 1163, 2400])
    func aroundTheLimit(count: Int) throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = Ruleset.behindPPP0(Self.networks(count))
        _ = try table.apply(ruleset)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
    }

    private func batchLength(_ changes: [Change]) -> Int {
        var batch = Batch(firstSequence: 1, generation: 1, for: changes)
        for change in changes { batch.append(change) }
        batch.finish()
        return batch.bytes.count
    }

    @Test("Looking at what nobody touched costs next to nothing, however much there is")
    func undisturbed() throws {
        let blocks = try (0..<300).map {
            OutboundBlock(
                line: $0, outInterfaces: [.name(InterfaceName("ppp\($0)"))],
                source: [try IPNetwork("10.\($0 % 256).0.0/16")]
            )
        }
        let ruleset = Ruleset.desired(Configuration(origin: .commandLine, outbound: blocks))
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        _ = try table.apply(ruleset)
        let lowering = try processorTime { _ = Snapshot(lowering: ruleset) }
        let looking = try processorTime { for _ in 0..<10 { _ = try table.apply(ruleset) } } / 10
        print("lowering \(lowering), looking \(looking)")
        #expect(looking * 10 < lowering)
    }

    /// The processor time that this thread takes for it.
    private func processorTime(_ body: () throws -> Void) throws -> Duration {
        func now() throws -> Duration {
            var time = timespec()
            try #require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
            return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
        }
        let start = try now()
        try body()
        return try now() - start
    }
}
