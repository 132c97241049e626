// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// Which entries of conntrack go: each case is one entry, the machine as it is, and the link that its route leads to.
@Suite struct MasqueradedFlowTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let isWrong: Bool
        let flow: Flow
        let machine: Machine
        /// Where the kernel would send the flow's next packet; absent: nowhere.
        let route: Int32?
        let configuration: Configuration

        init(
            _ name: String, wrong isWrong: Bool, _ source: String, to destination: String, seenAs: String,
            on machine: Machine = .online, by route: Int32? = Machine.ppp0,
            _ configuration: Configuration = .ofBothFamilies
        ) {
            testDescription = name
            self.isWrong = isWrong
            flow = .flow(source, to: destination, seenAs: seenAs)
            self.machine = machine
            self.route = route
            self.configuration = configuration
        }
    }

    @Test("An entry is wrong, or right", arguments: kernelsGaps + conversations + translations + families)
    func verdict(of entry: Case) {
        let judge = FlowJudge(entry.configuration, entry.machine.links)
        let isWrong =
            judge.isSuspicious(entry.flow)
            && entry.route.flatMap { judge.fault(of: entry.flow, leavingBy: $0) } != nil
        #expect(isWrong == entry.isWrong)
    }

    /// What the kernel leaves as it is for ever, and what it mends by itself.
    static let kernelsGaps = [
        Case(
            "translated to the uplink's address", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.7"),
        Case(
            "began while there was no rule", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2"),
        Case(
            "kept the address that a link with a peer had before", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.7", on: .with("203.0.113.8")),
        Case(
            "took the inside address, since the uplink had none yet", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.1"),
        Case(
            "took the inside address, and the uplink has none yet still", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.1", on: .withoutAddress),
        Case(
            "began untranslated, and the uplink has no address yet", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", on: .withoutAddress),
        Case(
            "static source NAT to an address that went with its link", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.0.2.9"),
        Case(
            "left by a link that is not masqueraded, and still does", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", by: Machine.fallback),
        Case(
            "left by the fallback, and the route is back", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", by: Machine.ppp0),
        Case(
            "the uplink is down: it would be born again through the fallback", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", on: .down),
        Case(
            "no way leads there now", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", by: nil),
        Case(
            "the route moved to another masqueraded uplink: the kernel drops the entry itself", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.7", by: Machine.ppp1, .anyPPP),
        Case(
            "the other uplink's address, but not a masqueraded one's", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.9", by: Machine.ppp0),
    ]

    /// Who talks to whom.
    static let conversations = [
        Case(
            "a source that is not masqueraded", wrong: false,
            "172.20.0.2", to: "198.51.100.80", seenAs: "172.20.0.2"),
        Case(
            "inside to inside", wrong: false,
            "192.168.1.2", to: "192.168.2.2", seenAs: "192.168.1.2", by: Machine.lan0),
        Case(
            "inside to the gateway", wrong: false,
            "192.168.1.2", to: "192.168.1.1", seenAs: "192.168.1.2"),
        Case(
            "inside to the uplink's own address", wrong: false,
            "192.168.1.2", to: "203.0.113.7", seenAs: "192.168.1.2"),
        Case(
            "from outside to what is forwarded inside: the answers are not translated", wrong: false,
            "198.51.100.80", to: "192.168.1.5", seenAs: "198.51.100.80", by: Machine.lan0),
        Case(
            "forwarded back inside, with the gateway's address for its source", wrong: false,
            "192.168.1.2", to: "192.168.1.5", seenAs: "192.168.1.1", by: Machine.lan0),
        Case(
            "forwarded back inside untranslated", wrong: false,
            "192.168.1.2", to: "192.168.1.5", seenAs: "192.168.1.2", by: Machine.lan0),
        Case(
            "redirected to a host outside, where it is seen untranslated", wrong: true,
            "192.168.1.2", to: "198.51.100.99", seenAs: "192.168.1.2"),
        Case(
            "redirected to the gateway itself", wrong: false,
            "192.168.1.2", to: "192.168.1.1", seenAs: "192.168.1.2"),
        Case(
            "an excluded destination keeps its source", wrong: false,
            "192.168.1.2", to: "10.8.0.5", seenAs: "192.168.1.2"),
        Case(
            "beside an excluded destination", wrong: true,
            "192.168.1.2", to: "10.9.0.5", seenAs: "192.168.1.2"),
        Case(
            "the first block excludes it, and decides", wrong: false,
            "192.168.1.2", to: "10.8.0.5", seenAs: "192.168.1.2", .excludedAndNot),
        Case(
            "a block for another uplink excludes it", wrong: true,
            "192.168.1.2", to: "10.8.0.5", seenAs: "192.168.1.2", by: Machine.ppp1, .excludedElsewhere),
    ]

    /// Whose translation it is.
    static let translations = [
        Case(
            "somebody translates to the address of another link on purpose", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "172.16.0.1"),
        Case(
            "a second address of the uplink", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.77",
            on: .with("203.0.113.7", "203.0.113.77")),
        Case(
            "an address that is no longer there at all", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.77"),
        Case(
            "each source behind its own uplink: right", wrong: false,
            "172.20.0.2", to: "198.51.100.80", seenAs: "203.0.113.9", by: Machine.ppp1, .twoUplinks),
        Case(
            "each source behind its own uplink: untranslated", wrong: true,
            "172.20.0.2", to: "198.51.100.80", seenAs: "172.20.0.2", by: Machine.ppp1, .twoUplinks),
        Case(
            "a source by the uplink of another is not masqueraded there", wrong: false,
            "172.20.0.2", to: "198.51.100.80", seenAs: "172.20.0.2", by: Machine.ppp0, .twoUplinks),
        Case(
            "a renamed link is known by its new name", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", by: 20,
            .masquerading("wan", "192.168.0.0/16")),
        Case(
            "a glob means whatever is called so", wrong: true,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", by: Machine.ppp1, .anyPPP),
    ]

    /// Both families at once, each by itself.
    static let families = [
        Case(
            "IPv6 translated to the uplink's address", wrong: false,
            "fd00:1::2", to: "2001:db8:80::80", seenAs: "2001:db8::7"),
        Case(
            "IPv6 untranslated", wrong: true,
            "fd00:1::2", to: "2001:db8:80::80", seenAs: "fd00:1::2"),
        Case(
            "IPv6 kept an address", wrong: true,
            "fd00:1::2", to: "2001:db8:80::80", seenAs: "2001:db8::6"),
        Case(
            "IPv6 took the inside address", wrong: true,
            "fd00:1::2", to: "2001:db8:80::80", seenAs: "fd00:1::1"),
        Case(
            "IPv6, and the uplink has IPv4 only", wrong: false,
            "fd00:1::2", to: "2001:db8:80::80", seenAs: "fd00:1::2", on: .with("203.0.113.7")),
        Case(
            "IPv6, and the uplink has a link-local address only", wrong: false,
            "fd00:1::2", to: "2001:db8:80::80", seenAs: "fd00:1::2", on: .with("203.0.113.7", "fe80::1")),
        Case(
            "IPv4, and the uplink has IPv6 only", wrong: false,
            "192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", on: .with("2001:db8::7")),
        Case(
            "IPv6 to an excluded network", wrong: false,
            "fd00:1::2", to: "fd00:8::5", seenAs: "fd00:1::2"),
        Case(
            "a global IPv6 source is not masqueraded", wrong: false,
            "2001:db8:5::2", to: "2001:db8:80::80", seenAs: "2001:db8:5::2"),
    ]
}

extension MasqueradedFlowTests {
    /// The gateway: lan0, the uplinks ppp0 and ppp1, a link that is no uplink, and one that was renamed to wan.
    struct Machine: Sendable {
        var links: Links

        static let lan0: Int32 = 2
        static let fallback: Int32 = 3
        static let ppp0: Int32 = 7
        static let ppp1: Int32 = 9

        static let online = with("203.0.113.7", "2001:db8::7", "fe80::1")
        static let withoutAddress = with()
        static let down = Machine(ppp0: .link("ppp0", ppp0, up: false, "203.0.113.7"))

        /// ppp0 is up with these addresses.
        static func with(_ addresses: String...) -> Machine {
            var link = Link.link("ppp0", ppp0, up: true)
            link.addresses = addresses.compactMap { IPAddress($0) }
            return Machine(ppp0: link)
        }

        private init(ppp0: Link) {
            links = Links([
                ppp0, .link("ppp1", Self.ppp1, up: true, "203.0.113.9"),
                .link("lan0", Self.lan0, up: true, "192.168.1.1", "192.168.2.1", "fd00:1::1"),
                .link("lte0", Self.fallback, up: true, "172.16.0.1"),
                .link("wan", 20, up: true, "203.0.113.20"),
            ])
        }
    }
}

extension Flow {
    fileprivate static func flow(_ source: String, to destination: String, seenAs translated: String) -> Flow
    {
        guard let source = IPAddress(source), let destination = IPAddress(destination),
            let translated = IPAddress(translated)
        else { preconditionFailure("an address of a test is none") }
        return Flow(source: source, destination: destination, translatedSource: translated)
    }
}

extension Configuration {
    fileprivate static let ofBothFamilies = excluding("10.8.0.0/16", "fd00:8::/64")
    fileprivate static let anyPPP = masquerading("ppp*", "192.168.0.0/16")

    /// Each network has an uplink of its own.
    fileprivate static let twoUplinks: Configuration = {
        var configuration = masquerading("ppp0", "192.168.0.0/16")
        configuration.outbound += masquerading("ppp1", "172.20.0.0/16").outbound
        return configuration
    }()

    /// The same source twice, with an exclusion in the first block only.
    fileprivate static let excludedAndNot: Configuration = {
        var configuration = excluding("10.8.0.0/16")
        configuration.outbound += masquerading("ppp0", "192.168.0.0/16").outbound
        return configuration
    }()

    /// Each uplink has a block of the same source, with an exclusion in the first only.
    fileprivate static let excludedElsewhere: Configuration = {
        var configuration = excluding("10.8.0.0/16")
        configuration.outbound += masquerading("ppp1", "192.168.0.0/16").outbound
        return configuration
    }()

    private static func excluding(_ networks: String...) -> Configuration {
        var configuration = masquerading("ppp0", "192.168.0.0/16", "fd00:1::/64")
        configuration.outbound[0].exclude = networks.compactMap { try? IPNetwork($0) }
        return configuration
    }
}
