// SPDX-License-Identifier: GPL-3.0-or-later

/// The machine's IPsec policies for what leaves it: what they protect is left untranslated on purpose, which its route does
/// not show.
public struct IPsecPolicies: Sendable {
    private let policies: [Policy]

    /// One policy of direction "out" (`struct xfrm_userpolicy_info` in linux/xfrm.h).
    public struct Policy: Equatable, Sendable {
        /// Whose packets.
        public var source: IPNetwork
        /// To whom.
        public var destination: IPNetwork
        /// The transport protocol (`IPPROTO_*`), 0 for all.
        public var transport: UInt8 = 0
        /// The port that it comes from.
        public var sourcePort = Port()
        /// The port that it goes to.
        public var destinationPort = Port()
        /// Of policies that select a packet the lowest one decides.
        public var priority: UInt32 = 0
        /// Whether there is something to protect packets with; without it they pass as they are.
        public var isProtecting = true

        /// Makes a policy for all protocols and ports.
        public init(from source: IPNetwork, to destination: IPNetwork) {
            self.source = source
            self.destination = destination
        }

        /// A port, as far as it counts.
        public struct Port: Equatable, Sendable {
            /// The value of the bits.
            public var value: UInt16
            /// Which bits count.
            public var mask: UInt16

            /// Makes one; without arguments any port.
            public init(_ value: UInt16 = 0, mask: UInt16 = 0) {
                self.value = value
                self.mask = mask
            }

            fileprivate func selects(_ port: UInt16) -> Bool { (port ^ value) & mask == 0 }
        }

        fileprivate func selects(_ flow: Flow) -> Bool {
            source.selects(flow.source) && destination.selects(flow.destination)
                && (transport == 0 || transport == flow.transport) && sourcePort.selects(flow.sourcePort)
                && destinationPort.selects(flow.destinationPort)
        }
    }

    /// Takes them in the kernel's order, in which of equal priorities the first decides.
    public init(_ policies: [Policy]) {
        self.policies = policies.enumerated().sorted {
            ($0.element.priority, $0.offset) < ($1.element.priority, $1.offset)
        }.map(\.element)
    }

    /// Whether the packets of an untranslated flow leave protected.
    public func protects(_ flow: Flow) -> Bool { policies.first { $0.selects(flow) }?.isProtecting == true }
}

extension IPNetwork {
    fileprivate func selects(_ address: IPAddress) -> Bool {
        address.family == family && range.first <= address.value && address.value <= range.last
    }
}
