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
            /// Another kind, which only somebody else puts into the table, with `NFTA_OBJ_DATA` as the kernel has it.
            case other(type: UInt32, data: [UInt8])

            /// The kind's number.
            public var type: UInt32 {
                switch self {
                case .counter: 1
                case .quota: 2
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
        case .other: "object \(name)"
        }
    }
}

extension Ruleset {
    /// The named objects, in the kernel's terms.
    public var objects: Set<Snapshot.StatefulObject> {
        Set(counters.map { .counter($0) } + alarms.map { .alarm($0) })
    }
}
