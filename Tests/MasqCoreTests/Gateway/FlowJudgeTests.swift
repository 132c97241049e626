// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite("Which connections are wrong for ever")
struct FlowJudgeTests {
    private static let links = Links([
        .link("lan0", 2, up: true, "192.168.1.1", "2001:db8:1::1"),
        .link("ppp0", 7, up: true, "203.0.113.7", "2001:db8::7"),
        .link("ppp1", 8, up: true, "203.0.113.9"),
    ])
    private static let (ppp0, ppp1): (Int32, Int32) = (7, 8)

    private func judge(_ blocks: String...) throws -> FlowJudge {
        let text = blocks.joined(separator: "\n")
        let reading = Configuration.read(text.utf8.span, from: "a.toml")
        return FlowJudge(try #require(reading.configuration, "\(reading.diagnostics)"), Self.links)
    }

    private func flow(_ source: String, as translated: String, to destination: String) throws -> Flow {
        Flow(
            source: try #require(IPAddress(source)), destination: try #require(IPAddress(destination)),
            translatedSource: try #require(IPAddress(translated)))
    }

    /// Both steps, as a walk through conntrack takes them.
    private func isDeleted(_ flow: Flow, _ judge: FlowJudge, leavingBy link: Int32) -> Bool {
        judge.isSuspicious(flow) && judge.fault(of: flow, leavingBy: link) != nil
    }

    private static let masquerade = """
        [[masquerade]]
        out_interface = "ppp0"
        source = ["192.168.0.0/16", "2001:db8:1::/48"]
        exclude = "10.8.0.0/16"
        """
    private static let routed = """
        [[routed]]
        out_interface = "ppp0"
        source = "2001:db8:1::/48"
        """

    @Test("A masqueraded flow has an address of its uplink")
    func masquerade() throws {
        let judge = try judge(Self.masquerade)
        for (translated, isDeleted) in [
            ("203.0.113.7", false), ("192.168.1.2", true), ("203.0.113.6", true), ("192.168.1.1", true),
            // Another address of the machine's that may be seen: somebody chose it.
            ("203.0.113.9", false),
        ] {
            let flow = try flow("192.168.1.2", as: translated, to: "198.51.100.80")
            #expect(self.isDeleted(flow, judge, leavingBy: Self.ppp0) == isDeleted, "\(translated)")
            #expect(!self.isDeleted(flow, judge, leavingBy: Self.ppp1), "\(translated)")
        }
        for destination in ["10.8.0.1", "192.168.1.1"] {
            let flow = try flow("192.168.1.2", as: "192.168.1.2", to: destination)
            #expect(!isDeleted(flow, judge, leavingBy: Self.ppp0), "\(destination)")
        }
    }

    @Test("What others gave stays, where others translate: whatever masqd has not given itself")
    func givenByOthers() throws {
        let reading = Configuration.read(Self.masquerade.utf8.span, from: "a.toml")
        let configuration = try #require(reading.configuration)
        var given = GivenAddresses()
        var earlier = Self.links
        earlier.byIndex[Self.ppp0]?.addresses = [IPAddress("203.0.113.6")].compactMap { $0 }
        given.note(configuration, earlier)
        given.note(configuration, Self.links)
        let judge = FlowJudge(configuration, Self.links, given: given)
        for (translated, isDeleted) in [
            ("203.0.113.7", false), ("192.0.2.55", false), ("203.0.113.6", true), ("192.168.1.2", true),
            // It can be a VPN's, or anybody's, whose addresses are in the block's source.
            ("192.168.1.1", false),
        ] {
            let flow = try flow("192.168.1.2", as: translated, to: "198.51.100.80")
            #expect(self.isDeleted(flow, judge, leavingBy: Self.ppp0) == isDeleted, "\(translated)")
        }
    }

    @Test("What masquerade took while the uplink had no address was given by masqd, if that moment was seen")
    func givenWithoutAddress() throws {
        let reading = Configuration.read(Self.masquerade.utf8.span, from: "a.toml")
        let configuration = try #require(reading.configuration)
        var given = GivenAddresses()
        var earlier = Self.links
        earlier.byIndex[Self.ppp0]?.addresses = [IPAddress("2001:db8::7")].compactMap { $0 }
        given.note(configuration, earlier)
        let judge = FlowJudge(configuration, Self.links, given: given)
        let flow = try flow("192.168.1.2", as: "192.168.1.1", to: "198.51.100.80")
        #expect(isDeleted(flow, judge, leavingBy: Self.ppp0))
        // IPv6 had one all the time; but nobody chooses an address that is of use on its own link alone.
        let linkLocal = try self.flow("2001:db8:1::2", as: "fe80::7", to: "2001:db8:80::80")
        #expect(isDeleted(linkLocal, judge, leavingBy: Self.ppp0))
        let other = try self.flow("2001:db8:1::2", as: "2001:db8:1::1", to: "2001:db8:80::80")
        #expect(!isDeleted(other, judge, leavingBy: Self.ppp0))
    }

    @Test(
        "A connection in a zone of somebody's is none of masqd's, also one that is refused or of a lost uplink"
    )
    func zoned() throws {
        let text = Self.masquerade + "\n[clients]\nblocked = \"192.168.1.3\""
        let configuration = try #require(Configuration.read(text.utf8.span, from: "a.toml").configuration)
        let judge = FlowJudge(configuration, Self.links, lost: [1])
        for source in ["192.168.1.2", "192.168.1.3"] {
            var flow = try flow(source, as: source, to: "198.51.100.80")
            flow.mark = 0x20
            #expect(isDeleted(flow, judge, leavingBy: Self.ppp0))
            #expect(judge.isLost(flow))
            flow.isInZone = true
            #expect(!isDeleted(flow, judge, leavingBy: Self.ppp0))
            #expect(!judge.isLost(flow))
        }
    }

    @Test("A flow whose route has several ways is wrong only if it is by each of them")
    func severalWays() throws {
        let judge = try judge(Self.masquerade.replacing("\"ppp0\"", with: "[\"ppp0\", \"ppp1\"]"))
        let flow = try flow("192.168.1.2", as: "192.168.1.2", to: "198.51.100.80")
        for (links, fault) in [
            ([Self.ppp0], FlowFault.untranslated), ([Self.ppp0, Self.ppp1], .untranslated),
            ([Self.ppp0, 2], nil), ([], nil),
        ] as [([Int32], FlowFault?)] {
            #expect(judge.fault(of: flow, by: RouteAnswer(links: links, table: 254)) == fault, "\(links)")
        }
    }

    @Test("A flow from a bridge may be bridged, unless it has no answer and the leak guard has rung")
    func bridged() throws {
        let text = Self.masquerade
        let configuration = try #require(Configuration.read(text.utf8.span, from: "a.toml").configuration)
        let away = RouteAnswer(links: [Self.ppp0], table: 254)
        let near = RouteAnswer(links: [2], table: 254, isOnLink: true)
        var flow = try flow("192.168.1.2", as: "192.168.1.2", to: "198.51.100.80")
        let quiet = FlowJudge(configuration, Self.links)
        let rung = FlowJudge(configuration, Self.links, hasLeaked: true)
        #expect(quiet.mayBeBridged(flow, comingInBy: 2, leavingBy: away))
        #expect(!rung.mayBeBridged(flow, comingInBy: 2, leavingBy: away))
        #expect(rung.mayBeBridged(flow, comingInBy: 2, leavingBy: near))
        flow.isAnswered = true
        #expect(rung.mayBeBridged(flow, comingInBy: 2, leavingBy: away))
    }

    @Test("What the file or an uplink's prefix gave once was given by masqd")
    func givenOnce() throws {
        let block = """
            [[snat]]
            out_interface = "ppp0"
            source = ["192.168.0.0/16", "fd00:1::/64"]
            """
        var given = GivenAddresses()
        let texts = [
            block + "\nto = [\"192.0.2.70-192.0.2.80\", \"uplink-prefix\"]",
            block + "\nto = [\"203.0.113.10\", \"uplink-prefix\"]",
        ]
        let configurations = texts.compactMap {
            Configuration.read($0.utf8.span, from: "a.toml").configuration
        }
        var links = Self.links
        links.byIndex[Self.ppp0]?.addresses = [IPAddress("2001:db8:5::7")].compactMap { $0 }
        for configuration in configurations { given.note(configuration, links) }
        let judge = FlowJudge(try #require(configurations.last), Self.links, given: given)
        for (source, translated, isDeleted) in [
            ("192.168.1.2", "203.0.113.10", false), ("192.168.1.2", "192.0.2.77", true),
            ("192.168.1.2", "198.51.100.9", false), ("fd00:1::2", "2001:db8::2", false),
            ("fd00:1::2", "2001:db8:5::2", true), ("fd00:1::2", "2001:db8:6::2", false),
        ] {
            let destination = source.contains(":") ? "2001:db8:80::80" : "198.51.100.80"
            let flow = try flow(source, as: translated, to: destination)
            #expect(self.isDeleted(flow, judge, leavingBy: Self.ppp0) == isDeleted, "\(translated)")
        }
    }

    @Test("So was what the prefix of the link gave once that the file names, and nothing of the uplink's own")
    func givenByDelegation() throws {
        let text = """
            [[snat]]
            out_interface = "ppp0"
            source = "fd00:1::/64"
            to = "uplink-prefix"
            prefix_from = "npt0"
            """
        let configuration = try #require(Configuration.read(text.utf8.span, from: "a.toml").configuration)
        var links = Self.links
        var given = GivenAddresses()
        for address in ["2001:db8:5::1", "2001:db8:6::1"] {
            links.byIndex[9] = Link(
                index: 9, name: "npt0", isUp: true, addresses: [try #require(IPAddress(address))])
            given.note(configuration, links)
        }
        let judge = FlowJudge(configuration, links, given: given)
        for (translated, isDeleted) in [
            ("2001:db8:6::2", false), ("2001:db8:5::2", true), ("2001:db8::2", false),
        ] {
            let flow = try flow("fd00:1::2", as: translated, to: "2001:db8:80::80")
            #expect(self.isDeleted(flow, judge, leavingBy: Self.ppp0) == isDeleted, "\(translated)")
        }
    }

    @Test("repair = false spares wrong translations, and not what [clients] and [destinations] refuse")
    func withoutRepair() throws {
        let judge = try judge(
            Self.masquerade, "[conntrack]", "repair = false", "[clients]", "blocked = \"192.168.1.3\"",
            "[destinations]", "blocked = \"198.51.100.66\"")
        for (source, translated, destination, fault) in [
            ("192.168.1.2", "192.168.1.2", "198.51.100.80", nil),
            ("192.168.1.2", "203.0.113.6", "198.51.100.80", nil),
            ("192.168.1.3", "203.0.113.7", "198.51.100.80", .clientRefused),
            ("192.168.1.2", "203.0.113.7", "198.51.100.66", .destinationRefused),
        ] as [(String, String, String, FlowFault?)] {
            let flow = try flow(source, as: translated, to: destination)
            let found = judge.isSuspicious(flow) ? judge.fault(of: flow, leavingBy: Self.ppp0) : nil
            #expect(found == fault, "\(source) \(translated) \(destination)")
        }
    }

    @Test("A routed flow keeps its source, or an address that the machine has")
    func routed() throws {
        let judge = try judge(Self.routed)
        for (translated, isDeleted) in [
            ("2001:db8:1::2", false), ("2001:db8::7", false), ("2001:db8::6", true),
        ] {
            let flow = try flow("2001:db8:1::2", as: translated, to: "2001:db8:80::80")
            #expect(self.isDeleted(flow, judge, leavingBy: Self.ppp0) == isDeleted, "\(translated)")
        }
    }

    @Test("A flow of [[snat]] has an address of the file's, which need not be the machine's")
    func sourceNAT() throws {
        let block = """
            [[snat]]
            out_interface = "ppp0"
            source = "192.168.0.0/16"
            """
        for (target, translated, isDeleted) in [
            ("203.0.113.10", "203.0.113.10", false), ("203.0.113.10", "203.0.113.11", true),
            ("203.0.113.10", "192.168.1.2", true), ("203.0.113.10", "203.0.113.7", false),
            ("203.0.113.10-203.0.113.12", "203.0.113.12", false),
            ("203.0.113.10-203.0.113.12", "203.0.113.13", true),
            ("10.99.0.0/16", "10.99.1.2", false), ("10.99.0.0/16", "10.99.1.3", true),
        ] {
            let judge = try judge(block, "to = \"\(target)\"")
            let flow = try flow("192.168.1.2", as: translated, to: "198.51.100.80")
            #expect(
                self.isDeleted(flow, judge, leavingBy: Self.ppp0) == isDeleted, "\(translated), \(target)")
        }
        // It needs no address of the uplink's family.
        let judge = try judge(
            block.replacing("ppp0", with: "ppp1").replacing("192.168.0.0/16", with: "fd00::/8"),
            "to = \"2001:db8::10\"")
        let flow = try flow("fd00::2", as: "fd00::2", to: "2001:db8:80::80")
        #expect(isDeleted(flow, judge, leavingBy: Self.ppp1))
    }

    @Test("A flow that follows the uplink's prefix has the one of the uplink that it leaves by")
    func uplinkPrefix() throws {
        let block = """
            [[snat]]
            out_interface = "ppp*"
            source = "fd00:1::/64"
            to = "uplink-prefix"
            """
        let one = try judge(block)
        for (translated, isDeleted) in [
            ("2001:db8::2", false), ("2001:db8::3", true), ("2001:db8:5::2", true), ("fd00:1::2", true),
        ] {
            let flow = try flow("fd00:1::2", as: translated, to: "2001:db8:80::80")
            #expect(self.isDeleted(flow, one, leavingBy: Self.ppp0) == isDeleted, "\(translated)")
            // ppp1 has no prefix that it could get anew.
            #expect(!self.isDeleted(flow, one, leavingBy: Self.ppp1), "\(translated)")
        }
        var links = Self.links
        links.byIndex[Self.ppp1]?.addresses += [IPAddress("2001:db8:5::7")].compactMap { $0 }
        let reading = Configuration.read(block.utf8.span, from: "a.toml")
        let two = FlowJudge(try #require(reading.configuration), links)
        for (translated, right) in [("2001:db8::2", Self.ppp0), ("2001:db8:5::2", Self.ppp1)] {
            let flow = try flow("fd00:1::2", as: translated, to: "2001:db8:80::80")
            for link in [Self.ppp0, Self.ppp1] {
                #expect(isDeleted(flow, two, leavingBy: link) == (link != right), "\(translated)")
            }
        }
    }

    @Test("The first block with the source and the uplink decides, whatever its kind")
    func firstBlock() throws {
        let untranslated = try flow("2001:db8:1::2", as: "2001:db8:1::2", to: "2001:db8:80::80")
        #expect(
            !isDeleted(untranslated, try judge(Self.routed, Self.masquerade), leavingBy: Self.ppp0))
        #expect(
            isDeleted(untranslated, try judge(Self.masquerade, Self.routed), leavingBy: Self.ppp0))
        let other = Self.routed.replacing("ppp0", with: "ppp1")
        #expect(isDeleted(untranslated, try judge(other, Self.masquerade), leavingBy: Self.ppp0))
        #expect(!isDeleted(untranslated, try judge(other, Self.masquerade), leavingBy: Self.ppp1))
    }

    @Test("What the first block excludes is no matter of a later one")
    func excluded() throws {
        let later = Self.masquerade.replacing("10.8.0.0/16", with: "10.9.0.0/16")
            .replacing("\"192.168.0.0/16\"", with: "\"192.0.0.0/8\"")
        let judge = try judge(Self.masquerade.replacing(", \"2001:db8:1::/48\"", with: ""), later)
        let excluded = try flow("192.168.1.2", as: "192.168.1.2", to: "10.8.0.1")
        #expect(!isDeleted(excluded, judge, leavingBy: Self.ppp0))
        let other = try flow("192.168.1.2", as: "192.168.1.2", to: "10.9.0.1")
        #expect(isDeleted(other, judge, leavingBy: Self.ppp0))
    }
}

extension String {
    /// Without Foundation.
    fileprivate func replacing(_ part: String, with other: String) -> String {
        split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
    }
}
