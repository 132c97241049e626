// SPDX-License-Identifier: GPL-3.0-or-later

/// Two forwards by their numbers, and which of them loses.
private struct ForwardPair: Hashable {
    let later: Int
    let earlier: Int
}

extension ConfigurationReader {
    /// Warns about forwards of which something is never reached, since an earlier one of the same interface has it.
    ///
    /// A forward for some sources goes before one for everybody, so those are not compared with each other.
    ///
    /// - Parameter drafts: what the forwards were made of, in the same order.
    mutating func reportShadowed(_ forwards: [PortForward], _ drafts: [PortForwardDraft]) {
        var ports: Set<Int> = []
        var sources: Set<ForwardPair> = []
        for arrival in Uplink.all(of: forwards.map(\.inInterfaces)) where arrival.blocks.count > 1 {
            reportShadowedPorts(forwards, drafts, at: arrival, &ports)
            reportSharedSources(forwards, drafts, at: arrival, &sources)
        }
    }

    /// - Parameter reported: the forwards that it was said about already.
    private mutating func reportShadowedPorts(
        _ forwards: [PortForward], _ drafts: [PortForwardDraft], at arrival: Uplink,
        _ reported: inout Set<Int>
    ) {
        struct Door: Hashable {
            let family: AddressFamily
            let transport: Rule.TransportProtocol
            let port: UInt16
        }
        var lines: [Door: Int] = [:]
        for index in arrival.blocks where forwards[index].source.isEmpty {
            let forward = forwards[index]
            var shadow: (line: Int, port: UInt16)?
            for transport in forward.transports {
                for port in forward.ports {
                    let door = Door(family: forward.address.family, transport: transport, port: port)
                    if let line = lines[door] {
                        shadow = shadow ?? (line, port)
                    } else {
                        lines[door] = forward.line
                    }
                }
            }
            // One that means more interfaces than this is not out of reach by losing here.
            guard let shadow, forward.inInterfaces.contains(arrival.pattern), reported.insert(index).inserted
            else { continue }
            let way = forward.inInterfaces.count > 1 ? " from \("\(arrival.pattern)".quoted)" : ""
            diagnostics.add(
                .warning, at: drafts[index].portsPlace,
                "port \(shadow.port) never gets here\(way): line \(shadow.line) forwards it already")
        }
    }

    private mutating func reportSharedSources(
        _ forwards: [PortForward], _ drafts: [PortForwardDraft], at arrival: Uplink,
        _ reported: inout Set<ForwardPair>
    ) {
        let own = arrival.blocks.map { forwards[$0] }
        var losses: [(pair: ForwardPair, address: IPAddress, port: UInt16)] = []
        for family in AddressFamily.allCases {
            for transport in [Rule.TransportProtocol.tcp, .udp] {
                PortForward.divideSources(of: own, family, transport) { port, shares in
                    for (number, share) in shares {
                        guard let lost = share.lost, own[number].inInterfaces.contains(arrival.pattern)
                        else { continue }
                        let pair = ForwardPair(
                            later: arrival.blocks[number], earlier: arrival.blocks[lost.to])
                        if reported.insert(pair).inserted { losses.append((pair, lost.address, port)) }
                    }
                }
            }
        }
        for (pair, address, port) in losses {
            guard let source = drafts[pair.later].source,
                let index = source.networks.firstIndex(where: {
                    AddressRanges(family: address.family, networks: [$0]).contains(address)
                })
            else { continue }
            diagnostics.add(
                .warning, at: source.strings.place(of: index),
                """
                "\(source.networks[index])" overlaps a source of the [[port_forward]] on line \(forwards[pair.earlier].line), \
                which has port \(port) in common: the first block wins
                """)
        }
    }
}
