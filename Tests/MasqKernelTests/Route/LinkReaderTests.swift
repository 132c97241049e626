// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// What is read link by link is what a listing of all says.
@Suite struct LinkReaderTests {
    private static func listing(_ connection: consuming RouteConnection) throws -> Links {
        try connection.links()
    }

    /// Reads what rang, as the daemon does.
    private func follow(_ reader: inout LinkReader, _ monitor: borrowing RouteMonitor) throws {
        let news = try monitor.drain()
        if news.isIncomplete { reader.ringAll() }
        reader.ring(news.links)
        while try !reader.step(milliseconds: 2) {}
    }

    @Test("After each of many changes, links and addresses are as a listing of all has them")
    func follows() throws {
        let namespace = try NetworkNamespace()
        let monitor = try namespace.run { try RouteMonitor() }
        var reader = try namespace.run { try LinkReader() }
        while try !reader.step(milliseconds: 2) {}
        for change in [
            "link add ppp0 type veth peer name x", "link set ppp0 up", "link set x up",
            "addr add 203.0.113.7 peer 203.0.113.1 dev ppp0", "addr add 203.0.113.8/24 dev ppp0",
            "addr add 2001:db8::7/64 dev ppp0 nodad", "addr add 10.0.0.1/24 dev x",
            "addr del 203.0.113.7 peer 203.0.113.1 dev ppp0", "link set ppp0 down", "link set ppp0 name ppp1",
            "link set ppp1 mtu 1400", "link set ppp1 up", "link del ppp1",
            "link add ppp0 type veth peer name x",
        ] {
            try namespace.ip(change)
            // IPv6 goes on by itself, and rings: an address is tentative until nobody answers for it.
            try eventually("\(change): as a listing has it") {
                try follow(&reader, monitor)
                return try reader.links == Self.listing(namespace.run { try RouteConnection() })
            }
        }
    }

    @Test("300 links are listed in many pieces, and each that came, went or changed meanwhile is right")
    func pieces() throws {
        let namespace = try NetworkNamespace()
        let commands = (0..<300).map {
            "link add v\($0) type veth peer name w\($0)\naddr add 10.1.\($0 / 250).\($0 % 250 + 1)/32 dev v\($0)"
        }
        try namespace.ip(commands.joined(separator: "\n"))
        let monitor = try namespace.run { try RouteMonitor() }
        var reader = try namespace.run { try LinkReader() }
        var pieces = 0
        // A time of zero is one datagram of the kernel's.
        while try !reader.step(milliseconds: 0) {
            pieces += 1
            guard pieces == 3 else { continue }
            try namespace.ip(
                "link del v1", "link set v299 mtu 1400", "link add late type veth peer name etal")
            let news = try monitor.drain()
            reader.ring(news.links)
        }
        #expect(pieces > 10)
        let expected = try Self.listing(try namespace.run { try RouteConnection() })
        let links = reader.links
        #expect(links == expected)
        // Only what rang is read from then on.
        try namespace.ip("link set v7 mtu 1300")
        reader.ring(try monitor.drain().links)
        let isCurrent = reader.isCurrent
        #expect(!isCurrent)
        #expect(try reader.step(milliseconds: 1000))
        let link = try #require(reader.links.named("v7"))
        #expect(link.mtu == 1300)
        let address = try #require(IPAddress("10.1.0.8"))
        #expect(link.addresses == [address])
    }

    @Test("After lost notifications all links are listed again")
    func lost() throws {
        let namespace = try NetworkNamespace()
        var reader = try namespace.run { try LinkReader() }
        while try !reader.step(milliseconds: 2) {}
        try namespace.ip("link add ppp0 type veth peer name x")
        #expect(try reader.step(milliseconds: 2))
        var link = reader.links.named("ppp0")
        #expect(link == nil)
        reader.ringAll()
        while try !reader.step(milliseconds: 2) {}
        link = reader.links.named("ppp0")
        #expect(link != nil)
    }
}
