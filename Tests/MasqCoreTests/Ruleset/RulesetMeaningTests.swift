// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// What the rules do to packets, against what the configuration says of them.
@Suite struct RulesetMeaningTests {
    /// The blocks that mean packets which leave by an interface from a source, in the file's order.
    private func blocks(
        _ configuration: Configuration, by interface: InterfaceName?, inside: IPAddress
    ) -> [(number: Int, block: OutboundBlock)] {
        var numbers: [OutboundBlock.Kind: Int] = [:]
        return configuration.outbound.map { block in
            numbers[block.kind, default: 0] += 1
            return (numbers[block.kind] ?? 0, block)
        }.filter { _, block in
            block.outInterfaces.contains { $0.matches(interface ?? "") }
                && block.source.contains { $0.contains(inside) }
        }
    }

    @Test("The first block of the file that means a packet translates it, however its interfaces are written")
    func translation() {
        forEachPacket { message, configuration, ruleset, packet in
            let first = blocks(configuration, by: packet.output, inside: packet.source).first
            let outcome = ruleset.outcome(of: packet, in: "postrouting")
            guard let (number, block) = first,
                !block.exclude.contains(where: { $0.contains(packet.destination) })
            else {
                #expect(outcome?.verdict == .accept, "\(message)")
                return
            }
            let isOtherFamilysICMP = packet.transport == (packet.source.family == .ipv4 ? .icmpv6 : .icmp)
            switch block.translation {
            case .masquerade(var options):
                if isOtherFamilysICMP { options.ports = nil }
                #expect(outcome?.verdict == .masquerade(options), "\(message)")
            case .routed: #expect(outcome?.verdict == .accept, "\(message)")
            case .snat(var snat):
                if isOtherFamilysICMP { snat.options.ports = nil }
                let target = snat.target(packet.source.family)
                if target?.isOneToOne == true { snat.options = NATOptions() }
                guard case .fixed(let fixed) = target else {
                    #expect(outcome?.verdict == .drop, "\(message)")
                    #expect(outcome?.counter == "leak_guard", "\(message)")
                    return
                }
                #expect(outcome?.verdict == .sourceNAT(fixed, snat.options), "\(message)")
            }
            #expect(outcome?.counter == "\(block.kind)_\(number)", "\(message)")
        }
    }

    @Test(
        "A connection's first packet goes out, unless it came in by an uplink of its own block, and in clear")
    func outward() {
        forEachPacket { message, configuration, ruleset, packet in
            let first = blocks(configuration, by: packet.output, inside: packet.source).first
            guard let (_, block) = first else { return }
            let isSpoofed =
                !packet.wasEncrypted && block.outInterfaces.contains { $0.matches(packet.input ?? "") }
            let outcome = ruleset.outcome(of: packet, in: "forward")
            #expect(outcome?.verdict == (isSpoofed ? .drop : .accept), "\(message)")
            #expect(outcome?.counter == (isSpoofed ? "spoofed" : nil), "\(message)")
        }
    }

    @Test(
        "What would stay untranslated for ever is dropped, and raises the alarm where there is a connection"
    )
    func leaks() {
        forEachPacket { message, configuration, ruleset, packet in
            guard let (_, block) = blocks(configuration, by: packet.output, inside: packet.source).first,
                packet.wasEncrypted
                    || !block.outInterfaces.contains(where: { $0.matches(packet.input ?? "") })
            else { return }
            let isExcluded =
                !block.translation.hidesSource
                || block.exclude.contains { $0.contains(packet.destination) }
            var confirmed = packet
            confirmed.connection?.isConfirmed = true
            confirmed.state = .established
            var invalid = packet
            (invalid.connection, invalid.state) = (nil, .invalid)
            for leak in [confirmed, invalid] {
                let outcome = ruleset.outcome(of: leak, in: "forward")
                #expect(outcome?.verdict == (isExcluded ? .accept : .drop), "\(message)")
                #expect(outcome?.counter == (isExcluded ? nil : "leak_guard"), "\(message)")
                let isRaised = !isExcluded && leak.connection != nil && configuration.conntrack.repair
                #expect(outcome?.raised == (isRaised ? ["leak_alarm"] : []), "\(message)")
            }
            // The gateway's own answer to it passes the output hook, but for an address of the uplink's.
            (invalid.input, invalid.isSourceLocalToOutput) = (nil, false)
            if configuration.outbound.contains(where: \.translation.hidesSource) {
                #expect(
                    ruleset.outcome(of: invalid, in: "output")?.verdict == (isExcluded ? .accept : .drop),
                    "\(message)")
                invalid.isSourceLocalToOutput = true
                #expect(ruleset.outcome(of: invalid, in: "output")?.verdict == .accept, "\(message)")
            }
            // Answers to what was let in, and what IPsec encrypts, keep their source.
            confirmed.connection?.isReply = true
            #expect(ruleset.outcome(of: confirmed, in: "forward")?.verdict == .accept, "\(message)")
            confirmed.connection?.isReply = false
            confirmed.isEncrypted = true
            #expect(ruleset.outcome(of: confirmed, in: "forward")?.verdict == .accept, "\(message)")
            #expect(ruleset.outcome(of: confirmed, in: "postrouting")?.verdict == .accept, "\(message)")
        }
    }

    @Test("A new connection from an uplink into a block's network is unsolicited, unless it was meant")
    func unsolicited() {
        forEachPacket { message, configuration, ruleset, packet in
            // What goes on to another uplink is another rule's matter.
            guard blocks(configuration, by: packet.output, inside: packet.source).isEmpty else { return }
            let first = blocks(configuration, by: packet.input, inside: packet.destination).first
            let outcome = ruleset.outcome(of: packet, in: "forward")
            let policy: SimulatedOutcome.Verdict = configuration.forward.policy == .drop ? .drop : .accept
            let isSpoofed = blocks(configuration, by: packet.input, inside: packet.source).contains {
                _, block in
                !packet.wasEncrypted && !block.translation.hidesSource
                    && !block.source.contains { $0.prefixLength == 0 }
            }
            guard !isSpoofed else {
                #expect(outcome?.verdict == .drop, "\(message)")
                #expect(outcome?.counter == "spoofed", "\(message)")
                return
            }
            guard let (_, block) = first else {
                #expect(outcome?.verdict == policy, "\(message)")
                return
            }
            var unsolicited = configuration.forward.unsolicited
            var isPing = false
            if case .routed(let routing) = block.translation {
                unsolicited = routing.unsolicited ?? unsolicited
                isPing =
                    packet.source.family == .ipv6 && packet.transport == .icmpv6 && packet.isEchoRequest
                    && routing.echoRequest == .accept
            }
            let isExcluded = block.exclude.contains { $0.contains(packet.source) }
            let isDropped = unsolicited == .drop && !isExcluded && !isPing && !packet.wasEncrypted
            #expect(outcome?.verdict == (isDropped ? .drop : .accept), "\(message)")
            #expect(outcome?.counter == (isDropped ? "unsolicited" : nil), "\(message)")

            var meant = packet
            meant.connection?.isDestinationTranslated = true
            #expect(ruleset.outcome(of: meant, in: "forward")?.verdict == .accept, "\(message)")
            meant = packet
            meant.wasEncrypted = true
            #expect(ruleset.outcome(of: meant, in: "forward")?.verdict == .accept, "\(message)")
            meant = packet
            meant.state = .related
            #expect(ruleset.outcome(of: meant, in: "forward")?.verdict == .accept, "\(message)")
        }
    }

    @Test("With policy drop what somebody forwarded on purpose passes from anywhere to anywhere")
    func forwardedOnPurpose() throws {
        var configuration = Configuration.howTo
        configuration.forward.policy = .drop
        let (one, other) = (try #require(IPAddress("172.16.0.1")), try #require(IPAddress("172.16.0.2")))
        var packet = SimulatedPacket.first(from: one, to: other)
        (packet.input, packet.output) = ("eth0", "eth1")
        #expect(Ruleset.desired(configuration).outcome(of: packet, in: "forward")?.verdict == .drop)
        packet.connection?.isDestinationTranslated = true
        #expect(Ruleset.desired(configuration).outcome(of: packet, in: "forward")?.verdict == .accept)
    }

    @Test("With policy drop an interface's own hosts reach each other: a bridge's packets come by here too")
    func withinOneInterface() throws {
        var configuration = Configuration.howTo
        configuration.forward.policy = .drop
        var ruleset = Ruleset.desired(configuration)
        ruleset.follow(
            Links([.link("br0", 3, up: true, "172.16.0.9"), .link("ppp0", 4, up: true, "203.0.113.7")]))
        let (one, other) = (try #require(IPAddress("172.16.0.1")), try #require(IPAddress("172.16.0.2")))
        var packet = SimulatedPacket.first(from: one, to: other)
        (packet.input, packet.output) = ("br0", "br0")
        #expect(ruleset.outcome(of: packet, in: "forward")?.verdict == .accept)
        packet.output = "br1"
        #expect(ruleset.outcome(of: packet, in: "forward")?.verdict == .drop)
        (packet.input, packet.output) = ("ppp0", "ppp0")
        #expect(ruleset.outcome(of: packet, in: "forward")?.verdict == .drop)
    }

    @Test("SYNs and their answers through an uplink are clamped, translated already or not; nothing else is")
    func segmentSize() {
        forEachPacket { message, configuration, ruleset, packet in
            let patterns = configuration.outbound.flatMap(\.outInterfaces)
            let passesUplink = patterns.contains {
                $0.matches(packet.input ?? "") || $0.matches(packet.output ?? "")
            }
            let size: Rule.SegmentSize? =
                switch configuration.mss.clamp {
                case .pathMTU: .pathMTU
                case .fixed(let size): .fixed(size)
                case .off: nil
                }
            for isTranslated in [false, true] {
                var packet = packet
                packet.connection?.isSourceTranslated = isTranslated
                packet.connection?.isConfirmed = isTranslated
                #expect(ruleset.outcome(of: packet, in: "forward")?.clamped == nil, "\(message)")
                packet.synchronizes = true
                let isClamped = passesUplink && packet.transport == .tcp
                let outcome = ruleset.outcome(of: packet, in: "forward")
                #expect(outcome?.clamped == (isClamped ? size : nil), "\(message)")
            }
        }
    }

    @Test(
        "A translated connection gets its helper by its port, and timeouts unless it is a DNS query; nobody else does"
    )
    func tracking() {
        forEachPacket { message, configuration, ruleset, packet in
            let first = blocks(configuration, by: packet.output, inside: packet.source).first
            guard let (_, block) = first, block.translation.hidesSource,
                !block.outInterfaces.contains(where: { $0.matches(packet.input ?? "") }),
                !block.exclude.contains(where: { $0.contains(packet.destination) })
            else { return }
            for (transport, port, type) in [
                (Rule.TransportProtocol.tcp, 21 as UInt16, "ftp"), (.udp, 69, "tftp"), (.udp, 53, ""),
                (.tcp, 69, ""),
            ] {
                var packet = packet
                (packet.transport, packet.destinationPort) = (transport, port)
                var expected: [String] = []
                if configuration.conntrack.helpers.contains(where: { $0.kind.rawValue == type }) {
                    expected.append("helper_\(type)")
                }
                if !configuration.conntrack.timeouts.isEmpty, port != 53 {
                    expected.append(transport == .tcp ? "timeout_tcp" : "timeout_udp")
                }
                #expect(ruleset.outcome(of: packet, in: "forward")?.tracked == expected, "\(message)")
            }
        }
    }

    @Test("What comes in by a link in a VRF meets the fate that it would have without")
    func inVRF() {
        forEachPacket { message, _, ruleset, packet in
            // Beside itself a link is only without one: "within one interface".
            guard packet.input != packet.output else { return }
            var inVRF = packet
            inVRF.isInVRF = true
            let (fate, expected) = (
                ruleset.outcome(of: inVRF, in: "forward"), ruleset.outcome(of: packet, in: "forward")
            )
            #expect(fate?.verdict == expected?.verdict, "\(message)")
            #expect(fate?.counter == expected?.counter, "\(message)")
        }
    }

    @Test("A packet of a translated connection under way passes one rule, whatever the configuration")
    func cost() {
        forEachPacket { message, _, ruleset, packet in
            var packet = packet
            packet.state = .established
            packet.connection = .init(
                isSourceTranslated: true, isConfirmed: true, isReply: packet.input == "eth0", isAssured: true)
            // A flowtable's rule is before it, and packets of what it took never come here.
            let expected = SimulatedOutcome(
                verdict: .accept, counter: nil, ruleCount: ruleset.flowtable == nil ? 1 : 2)
            #expect(ruleset.outcome(of: packet, in: "forward") == expected, "\(message)")
        }
    }

    @Test(
        "The mark is on what masqueraded sources send out of their uplink and on answers, and on nothing else"
    )
    func marks() {
        for permission in [Permission.firstPackets, .laterPackets, .all] {
            func opening(_ configuration: Configuration) -> Ruleset {
                var configuration = configuration
                configuration.forward.foreignDrop = .open
                return .desired(
                    configuration, memory: .opening(for: permission, with: configuration.forward.mark))
            }
            forEachPacket(with: opening) { message, configuration, ruleset, packet in
                var packet = packet
                let mark = configuration.forward.mark
                for stage in ["first", "later", "invalid"] {
                    packet.connection?.isConfirmed = stage == "later"
                    if stage == "invalid" { packet.connection = nil }
                    packet.state = stage == "later" ? .established : stage == "invalid" ? .invalid : []
                    let isOutward = !blocks(configuration, by: packet.output, inside: packet.source).isEmpty
                    let isInward =
                        !blocks(configuration, by: packet.input, inside: packet.destination).isEmpty
                    let isMarked =
                        switch stage {
                        case "first": isOutward && permission.contains(.firstPackets)
                        case "later": (isOutward || isInward) && permission.contains(.laterPackets)
                        // The own forward chain drops it in any case.
                        default: isOutward
                        }
                    // Whatever was there before: masqd's bit is cleared, and others' bits are theirs.
                    for old in [0, ~mark, .max] {
                        packet.mark = old
                        let outcome = ruleset.outcome(of: packet, in: "permit")
                        #expect(outcome?.verdict == .accept)
                        let isSkipped =
                            stage == "later" && permission == .firstPackets
                            || stage == "first" && permission == .laterPackets
                        let expected = isMarked ? old | mark : isSkipped ? old : old & ~mark
                        #expect(outcome?.mark == expected, "\(message), \(stage)")
                        packet.mark = .max
                        #expect(ruleset.outcome(of: packet, in: "permit_end")?.mark == ~mark)
                    }
                }
            }
        }
    }
}
