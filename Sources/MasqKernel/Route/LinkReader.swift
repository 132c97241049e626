// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The machine's links and addresses, kept current: a bell says which link rang, and that one alone is read again.
///
/// What a notification says beside the index is not believed. All links are listed at the beginning, and after
/// notifications were lost; both go in pieces, so that 5 000 links do not hold up the loop.
public struct LinkReader: ~Copyable {
    /// Asks for one link.
    private var asking: NetlinkConversation
    /// Lists all of them; the kernel has one listing at a time for each socket.
    private var listing: NetlinkConversation
    /// The links as they were read last; of use once ``step(milliseconds:)`` has said that nothing is left to read.
    public private(set) var links = Links()
    /// The links that rang, and were not read since.
    private var rung: Set<Int32> = []
    private var stage = Stage.lost
    /// How many listings in a row somebody disturbed.
    private var disturbances = 0

    /// How often a listing that somebody disturbs is begun again before that is an error.
    private static let maximumDisturbances = 20

    /// How far the listing of all links is.
    private enum Stage {
        /// It is wanted, and has not begun.
        case lost
        case links(Links)
        case addresses(Links)
        case done
    }

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        try self.init(
            // The kernel then lists the addresses of one link (since 4.20); older ones list all, which costs more.
            asking: NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink") { $0.checkStrictly() },
            listing: NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink"))
    }

    private init(asking: consuming NetlinkConversation, listing: consuming NetlinkConversation) {
        self.asking = asking
        self.listing = listing
    }

    /// These links rang.
    public mutating func ring(_ indexes: Set<Int32>) { rung.formUnion(indexes) }

    /// Any link may have changed.
    public mutating func ringAll() {
        // One that is under way may have passed what changed.
        if case .done = stage { stage = .lost } else { hasRungMeanwhile = true }
    }

    /// Bells were lost while all links were being listed: what the listing has is told, and then all are listed once more.
    private var hasRungMeanwhile = false
    /// Something changed in the kernel while it listed: what it skipped for that looks as if it were gone.
    private var isDisturbed = false

    /// Whether everything that rang was read; else another ``step(milliseconds:)`` is needed.
    public var isCurrent: Bool {
        if case .done = stage { rung.isEmpty } else { false }
    }

    /// Reads for about so long, or to the end.
    ///
    /// - Returns: whether what rang before it began is read. What rang since may wait, as ``isCurrent`` tells: whoever asks
    ///   again at once is kept busy by those who ring.
    /// - Throws: ``NetlinkError``; all links are read at the next step then.
    public mutating func step(milliseconds: Int) throws(NetlinkError) -> Bool {
        do throws(NetlinkError) {
            let end = Clock.now + milliseconds * 1000
            repeat {
                if try !list(until: end) { continue }
                if case .lost = stage { return true }
                guard let index = rung.first else { return true }
                try read(index)
                rung.remove(index)
            } while Clock.now < end
            return isCurrent
        } catch {
            listing.socket.discard(into: listing.buffer)
            stage = .lost
            throw error
        }
    }
}

// One link.
extension LinkReader {
    private mutating func read(_ index: Int32) throws(NetlinkError) {
        let old = links.byIndex[index]
        let new = try retrying { () throws(NetlinkError) in try link(index) }
        if let new { links.byIndex[index] = new } else { links.byIndex[index] = nil }
        if old?.isPPP == true || new?.isPPP == true { links.findPPPoE() }
    }

    private mutating func link(_ index: Int32) throws(NetlinkError) -> Link? {
        var found = Links()
        do throws(NetlinkError) {
            try asking.ask("a link", Links.question(RTM_GETLINK, index)) { found.read(link: $0) }
            guard found.byIndex[index] != nil else { return nil }
            for family in AddressFamily.allCases {
                try asking.ask("addresses", Links.question(RTM_GETADDR, index, family)) {
                    found.read(address: $0)
                }
            }
        } catch {
            if error.operation == .dump, error.code == ENODEV { return nil }
            throw error
        }
        return found.byIndex[index]
    }
}

// All links.
extension LinkReader {
    /// - Returns: whether all are listed.
    private mutating func list(until end: Int) throws(NetlinkError) -> Bool {
        switch stage {
        case .done: return true
        case .lost:
            (rung, hasRungMeanwhile, isDisturbed) = ([], false, false)
            try begin(RTM_GETLINK)
            stage = .links(Links())
            return false
        case .links(var found):
            stage = .lost
            let isOver = try read(until: end) { found.read(link: $0) }
            if isOver { try begin(RTM_GETADDR) }
            stage = isOver ? .addresses(found) : .links(found)
            return false
        case .addresses(var found):
            stage = .lost
            let isOver = try read(until: end) { found.read(address: $0) }
            guard isOver else {
                stage = .addresses(found)
                return false
            }
            guard !isDisturbed else {
                stage = .lost
                return false
            }
            found.findPPPoE()
            links = found
            disturbances = 0
            stage = hasRungMeanwhile ? .lost : .done
            return true
        }
    }

    private mutating func begin(_ type: Int) throws(NetlinkError) {
        var request = MessageWriter(capacity: 64)
        Links.question(type, 0)(&request, listing.nextSequence())
        request.endMessage()
        try listing.socket.send(request.bytes)
    }

    /// - Returns: whether the listing under way is over.
    private mutating func read(
        until end: Int, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) -> Bool {
        repeat {
            guard let messages = try listing.socket.receive(into: listing.buffer, waiting: false) else {
                return false
            }
            for message in messages where message.sequence == listing.lastSequence {
                if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { try noteDisturbance() }
                if let code = message.errorCode ?? message.endCode {
                    if code != 0 { throw NetlinkError(.dump, code: code, object: "links") }
                    return true
                }
                handle(message)
            }
        } while Clock.now < end
        return false
    }
}

extension LinkReader {
    /// Somebody changed something while all was listed: what changed rings, but what was skipped for it does not.
    private mutating func noteDisturbance() throws(NetlinkError) {
        guard !isDisturbed else { return }
        isDisturbed = true
        disturbances += 1
        guard disturbances > Self.maximumDisturbances else { return }
        disturbances = 0
        throw NetlinkError(.dump, code: EINTR, object: "links")
    }
}

extension Links {
    /// Asks for one link, or its addresses; with index 0 for those of all.
    fileprivate static func question(
        _ type: Int, _ index: Int32, _ family: AddressFamily? = nil
    ) -> (inout MessageWriter, _ sequence: UInt32) -> Void {
        { request, sequence in
            let isOne = type == RTM_GETLINK && index != 0
            let flags = UInt16(NLM_F_REQUEST) | (isOne ? 0 : UInt16(NLM_F_DUMP))
            request.beginMessage(type: UInt16(type), flags: flags, sequence: sequence)
            request.append(padding: [family?.rawValue ?? 0, 0, 0, 0])
            request.append(UInt32(bitPattern: index))
            guard type == RTM_GETLINK else { return }  // struct ifaddrmsg ends here
            // struct ifinfomsg goes on with flags and change.
            request.append(padding: [UInt8](repeating: 0, count: 8))
            // Counters are half of the message, and IPv6's most of the work for it.
            request.attribute(Int(IFLA_EXT_MASK), native: UInt32(RTEXT_FILTER_SKIP_STATS))
        }
    }

    /// Finds the links that carry a PPPoE session, if any is of use.
    mutating func findPPPoE() {
        guard byIndex.values.contains(where: \.isPPP) else {
            underPPPoE = []
            return
        }
        let names = Set(PPPoESessions.linkNames())
        underPPPoE = Set(byIndex.values.filter { names.contains($0.name) }.map(\.index))
    }
}
