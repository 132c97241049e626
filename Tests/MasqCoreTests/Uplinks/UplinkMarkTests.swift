// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// Which packets carry an uplink's mark to routing.
@Suite struct UplinkMarkTests {
    private let ruleset = Ruleset.desired(.ppp0BeforeEth1)

    private func packet(_ connectionMark: UInt32 = 0, isReply: Bool = false) throws -> SimulatedPacket {
        var packet = SimulatedPacket.first(
            from: try #require(IPAddress("192.168.1.2")), to: try #require(IPAddress("192.0.2.1")))
        packet.connection?.mark = connectionMark
        packet.connection?.isReply = isReply
        packet.state = connectionMark == 0 ? .new : .established
        return packet
    }

    @Test("A connection that comes in by an uplink remembers it, beside whatever else its mark holds")
    func comesIn() throws {
        var packet = try packet(0xffff_ff0f)
        packet.state = .new
        packet.input = "ppp0"
        #expect(ruleset.outcome(of: packet, in: "mark_arriving")?.connectionMark == 0xffff_ff3f)
        packet.input = "eth1"
        #expect(ruleset.outcome(of: packet, in: "mark_arriving")?.connectionMark == 0xffff_ff5f)
        packet.input = "lan0"
        #expect(ruleset.outcome(of: packet, in: "mark_arriving")?.connectionMark == 0xffff_ff0f)
        // What came in by one and goes out by the other belongs to the first.
        packet.connection?.mark = 0x30
        packet.output = "eth1"
        #expect(ruleset.outcome(of: packet, in: "mark_leaving")?.connectionMark == 0x30)
    }

    @Test("A connection that leaves by an uplink remembers it, from its first packet or a later one")
    func leaves() throws {
        for state in [Rule.ConnectionState.new, .established] {
            var packet = try packet()
            packet.state = state
            packet.output = "eth1"
            #expect(ruleset.outcome(of: packet, in: "mark_leaving")?.connectionMark == 0x40)
            packet.output = "lan0"
            #expect(ruleset.outcome(of: packet, in: "mark_leaving")?.connectionMark == 0)
        }
        // The answer to what came in before the rules were there says nothing about where that came in.
        var answer = try packet(isReply: true)
        answer.output = "eth1"
        #expect(ruleset.outcome(of: answer, in: "mark_leaving")?.connectionMark == 0)
    }

    @Test(
        "Packets toward the uplink carry its mark, forwarded ones and the gateway's own; no others do",
        arguments: ["mark_arriving", "mark_own"])
    func toward(chain: String) throws {
        // Left by ppp0, left by eth1, came in by ppp0, came in by eth1.
        for (mark, carried) in [(0x20, 0x20), (0x40, 0x40), (0x30, 0x20), (0x50, 0x40)] as [(UInt32, UInt32)]
        {
            let cameIn = mark & 0x10 != 0
            var toward = try packet(mark | 0x1, isReply: cameIn)
            toward.mark = 0xffff_ffff
            #expect(ruleset.outcome(of: toward, in: chain)?.mark == 0xffff_ff1f | carried)
            let back = try packet(mark | 0x1, isReply: !cameIn)
            #expect(ruleset.outcome(of: back, in: chain)?.mark == 0)
        }
        #expect(ruleset.outcome(of: try packet(), in: chain)?.mark == 0)
        // A number that no uplink has, and a packet without a connection.
        #expect(ruleset.outcome(of: try packet(0x60), in: chain)?.mark == 0)
        var untracked = try packet()
        untracked.connection = nil
        #expect(ruleset.outcome(of: untracked, in: chain)?.mark == 0)
    }

    @Test("A mask is two or more adjacent bits, and has room for as many uplinks as its upper bits count")
    func fields() throws {
        for (mask, capacity) in [(0xf0, 7), (0x3, 1), (0xc000_0000, 1), (0xff00, 15), (UInt32.max, 15)]
            as [(UInt32, Int)]
        {
            let field = try #require(MarkField(mask: mask))
            #expect(field.capacity == capacity)
            for number in 1...capacity {
                #expect(field.mark(number) & ~field.numberMask == 0)
                #expect(field.number(in: field.mark(number) | field.cameIn) == number)
            }
        }
        for mask in [0, 1, 0x80, 0x5, 0xf0f0, 0x8000_0001] as [UInt32] {
            #expect(MarkField(mask: mask) == nil)
        }
    }
}
