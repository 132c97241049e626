// SPDX-License-Identifier: GPL-3.0-or-later

/// How full the connection table is, and how often it failed.
public struct ConntrackLoad: Equatable, Sendable {
    /// Entries that are there (`nf_conntrack_count`).
    public var count: Int
    /// Entries that there may be (`nf_conntrack_max`).
    public var maximum: Int
    /// Chains of the hash table (`nf_conntrack_buckets`).
    public var buckets: Int
    /// The machine's memory in bytes.
    public var memory: Int
    /// Failures since the network namespace was made; absent where the kernel does not tell.
    public var failures: Failures?

    /// Makes a load.
    public init(count: Int, maximum: Int, buckets: Int, memory: Int, failures: Failures? = nil) {
        self.count = count
        self.maximum = maximum
        self.buckets = buckets
        self.memory = memory
        self.failures = failures
    }

    /// Sums over all processors.
    public struct Failures: Equatable, Sendable {
        /// Packets of new connections that were dropped since there was no room for them.
        public var drops = 0
        /// Entries of the same addresses and ports as one that was there already.
        public var failedInsertions = 0
        /// Unanswered connections that were thrown out to make room.
        public var earlyDrops = 0

        /// No failure.
        public init(drops: Int = 0, failedInsertions: Int = 0, earlyDrops: Int = 0) {
            self.drops = drops
            self.failedInsertions = failedInsertions
            self.earlyDrops = earlyDrops
        }

        /// Reads `/proc/net/stat/nf_conntrack`: a line of names, then hexadecimal numbers, a line a processor.
        ///
        /// The columns are `ct_cpu_seq_show` in net/netfilter/nf_conntrack_standalone.c; their names have stayed,
        /// their number has not.
        public init?(statistics text: String) {
            let lines = text.split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace) }
            guard let names = lines.first, lines.count > 1 else { return nil }
            let sum = { (name: Substring) -> Int? in
                guard let column = names.firstIndex(of: name) else { return nil }
                return lines.dropFirst().reduce(0) { sum, line in
                    sum + (column < line.count ? Int(line[column], radix: 16) ?? 0 : 0)
                }
            }
            guard let drops = sum("drop"), let failed = sum("insert_failed"), let early = sum("early_drop")
            else { return nil }
            self.init(drops: drops, failedInsertions: failed, earlyDrops: early)
        }
    }

    /// What an entry takes at the least: `struct nf_conn` and its extensions on a 64-bit kernel, in bytes.
    public static let bytesPerEntry = 400

    /// A maximum that a few clients with many connections do not reach.
    ///
    /// One that shares files has thousands, and the kernel's own choice follows the memory: 4096 with 512 MiB
    /// (`nf_conntrack_init_start` in net/netfilter/nf_conntrack_core.c).
    private static let roomyMaximum = 65536

    /// What to set instead of a maximum that is small for a gateway; absent where it is not, or the memory is.
    var roomierMaximum: Int? {
        guard maximum < Self.roomyMaximum / 2, Self.roomyMaximum * Self.bytesPerEntry <= memory / 4 else {
            return nil
        }
        return Self.roomyMaximum
    }

    /// A maximum to set instead: twice as many, if they take no more than a quarter of the memory.
    var largerMaximum: Int? {
        let larger = maximum * 2
        return larger * Self.bytesPerEntry <= memory / 4 ? larger : nil
    }
}
