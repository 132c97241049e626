// SPDX-License-Identifier: GPL-3.0-or-later

extension Snapshot {
    /// A named object of the table that rules refer to, with what it was made with, and without what it has counted.
    public struct StatefulObject: Hashable, Sendable {
        /// The name, unique among objects of its kind.
        public var name: String
        /// The kind, and what can't be changed while the object exists.
        public var content: Content

        /// Makes an object.
        public init(_ name: String, _ content: Content) {
            self.name = name
            self.content = content
        }

        /// Kinds of objects (`NFT_OBJECT_COUNTER` … in linux/netfilter/nf_tables.h), each with its attributes.
        public enum Content: Hashable, Sendable {
            /// `counter`: its values are no part of it.
            case counter
            /// `quota`: the bytes that it lets pass, and `NFTA_QUOTA_FLAGS` without "used up".
            case quota(bytes: UInt64, flags: UInt32)
            /// `ct helper`: the kernel's name of it, the family (`NFPROTO_*`) and the transport protocol.
            case helper(type: String, family: UInt16, transport: UInt8)
            /// `ct timeout`: family and transport protocol, and the seconds of each state in the kernel's order.
            case timeout(family: UInt16, transport: UInt8, seconds: [UInt32])
            /// Another kind, which only somebody else puts into the table, with `NFTA_OBJ_DATA` as the kernel has it.
            case other(type: UInt32, data: [UInt8])

            /// The kind's number.
            public var type: UInt32 {
                switch self {
                case .counter: 1
                case .quota: 2
                case .helper: 3
                case .timeout: 7
                case .other(let type, _): type
                }
            }
        }

        /// What tells it from all other objects of the table.
        public struct Key: Hashable, Comparable, Sendable {
            /// The kind's number.
            public let type: UInt32
            /// The name.
            public let name: String

            init(type: UInt32, name: String) {
                self.type = type
                self.name = name
            }

            /// In the order in which changes are sent.
            public static func < (left: Key, right: Key) -> Bool {
                (left.type, left.name) < (right.type, right.name)
            }
        }

        /// What tells it from all other objects of the table.
        public var key: Key { Key(type: content.type, name: name) }

        /// A named counter.
        public static func counter(_ name: String) -> StatefulObject { .init(name, .counter) }

        /// A quota of one byte, the least that the kernel takes: it tells when it is first exceeded (`quota … over 1 bytes`).
        public static func alarm(_ name: String) -> StatefulObject {
            // NFT_QUOTA_F_INV: the rule goes on only where the quota is exceeded.
            .init(name, .quota(bytes: 1, flags: 1))
        }
    }
}

extension Snapshot.StatefulObject: CustomStringConvertible {
    /// As an error names it: `counter masquerade_1`.
    public var description: String {
        switch content {
        case .counter: "counter \(name)"
        case .quota: "quota \(name)"
        case .helper: "ct helper \(name)"
        case .timeout: "ct timeout \(name)"
        case .other: "object \(name)"
        }
    }
}

extension Ruleset {
    /// The flowtables, in the kernel's terms.
    public var flowtables: [String: Snapshot.FlowtableState] {
        guard let flowtable else { return [:] }
        // NFT_FLOWTABLE_COUNTER: nf_conntrack_acct goes on counting; NFT_FLOWTABLE_HW_OFFLOAD
        let flags: UInt32 = flowtable.isHardware ? 3 : 2
        return [Flowtable.name: .init(flags: flags, devices: Set(flowtable.devices.map(\.name)))]
    }

    /// The named objects, in the kernel's terms.
    public var objects: Set<Snapshot.StatefulObject> {
        var objects: Set<Snapshot.StatefulObject> = []
        for counter in counters { objects.insert(.counter(counter)) }
        for alarm in alarms { objects.insert(.alarm(alarm)) }
        // NFPROTO_INET, NFPROTO_IPV4
        for helper in helpers {
            let family: UInt16 = helper.isForBothFamilies ? 1 : 2
            let content = Snapshot.StatefulObject.Content.helper(
                type: helper.type, family: family, transport: helper.transport.rawValue)
            objects.insert(.init(helper.name, content))
        }
        for timeout in timeouts {
            let content = Snapshot.StatefulObject.Content.timeout(
                family: 1, transport: timeout.transport.rawValue, seconds: timeout.array)
            objects.insert(.init(timeout.name, content))
        }
        return objects
    }
}
