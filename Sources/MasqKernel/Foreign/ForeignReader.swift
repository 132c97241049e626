// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Reads others' tables as far as forwarded traffic can meet them, a piece at a time; never changes them.
///
/// What iptables-legacy made is elsewhere, and comes with it (``LegacyReader``).
public struct ForeignReader: ~Copyable {
    private var connection: NftablesConnection
    private var reading: ForeignReading?
    /// The answer that is being read.
    private var answer: PendingAnswer?
    /// The answer is to a question of a reading that nobody wants any more.
    private var isStale = false
    private var legacy: LegacyReading?

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) { try self.init(NftablesConnection()) }

    private init(_ connection: consuming NftablesConnection) { self.connection = connection }

    /// Reads the base chains in question and what they reach, all at once, for those who may wait.
    ///
    /// - Parameter audit: the traffic in question; rules that can't apply to any of it are left out, and what only they
    ///   lead to. Absent: every rule counts.
    /// - Throws: ``NetlinkError``; `EINTR` when others never stop committing.
    public mutating func read(for audit: ForeignAudit? = nil) throws(NetlinkError) -> ForeignRuleset {
        // A look may take 0.2 s: not twenty of them, one after the other.
        try retrying(attempts: 5) { () throws(NetlinkError) in
            begin(for: audit.map(ForeignScope.init), limits: .init())
            while true {
                if let ruleset = try step() { return ruleset.ruleset }
            }
        }
    }

    /// Begins to read; a reading that is under way is given up.
    mutating func begin(for scope: ForeignScope?, limits: ForeignReading.Limits = .init()) {
        isStale = answer != nil
        reading = ForeignReading(for: scope, limits: limits)
        legacy = LegacyReading(for: scope)
    }

    /// Goes on by a piece: what the kernel hands out at once, or as many rules.
    ///
    /// - Returns: what was read, and its rules by chain, each once; nothing before all is.
    /// - Throws: ``NetlinkError``, and the reading is over; `EINTR` where somebody committed something meanwhile.
    mutating func step() throws(NetlinkError) -> (ruleset: ForeignRuleset, rules: [[ForeignRuleset.Rule]])? {
        // Taken out and put back, since what is changed within an optional may be copied.
        guard var reading else { return nil }
        self.reading = nil
        let generation = reading.generation
        do throws(NetlinkError) {
            if answer != nil || isStale {
                try readOn(&reading)
            } else if var legacy {
                self.legacy = nil
                if let findings = legacy.step() { reading.add(findings) } else { self.legacy = legacy }
            } else if let question = reading.next() {
                answer = try connection.begin(question)
            } else {
                guard try connection.generation() == generation else { throw Self.disturbed }
                return reading.result
            }
        } catch {
            // What was asked for may be gone since.
            if error.operation == .dump, try connection.generation() != generation { throw Self.disturbed }
            throw error
        }
        self.reading = reading
        return nil
    }

    private static var disturbed: NetlinkError { .init(.dump, code: EINTR, object: "the rules of others") }

    private mutating func readOn(_ reading: inout ForeignReading) throws(NetlinkError) {
        guard var answer else { return }
        let isStale = isStale
        self.answer = nil
        let isOver: Bool
        do throws(NetlinkError) {
            isOver = try connection.readOn(&answer) { message in
                if !isStale { reading.take(message) }
            }
        } catch {
            self.isStale = false
            if error.operation == .dump {
                if isStale { return }
            } else {
                // What is left of the answer would keep the kernel from another one.
                connection.conversation.socket.discard(into: connection.conversation.buffer)
            }
            throw error
        }
        guard isOver else {
            self.answer = answer
            return
        }
        self.isStale = false
        if !isStale { reading.ended() }
    }
}

/// An answer of the kernel's that is read a datagram at a time.
struct PendingAnswer {
    let sequence: UInt32
    /// What was asked about, as errors call it.
    let object: String
    var wasInterrupted = false
}

extension NftablesConnection {
    /// Asks a question, of which ``readOn(_:_:)`` reads the answer.
    fileprivate mutating func begin(_ question: ForeignReading.Question) throws(NetlinkError) -> PendingAnswer
    {
        let sequence = conversation.nextSequence()
        var request = MessageWriter(capacity: 640)
        let object: String
        switch question {
        case .generation:
            object = "table generation"
            request.ask(NFT_MSG_GETGEN, flags: 0, sequence)
        case .chains:
            object = "chains"
            request.ask(NFT_MSG_GETCHAIN, sequence)
        case .tables:
            object = "tables"
            request.ask(NFT_MSG_GETTABLE, sequence)
        case .rules(let chain, let table):
            object = "the rules of others"
            request.ask(
                NFT_MSG_GETRULE, table, (NFTA_RULE_TABLE.rawValue, NFTA_RULE_CHAIN.rawValue), chain, sequence)
        case .set(let set, let table):
            object = "a set of others"
            let types = (NFTA_SET_TABLE.rawValue, NFTA_SET_NAME.rawValue)
            request.ask(NFT_MSG_GETSET, flags: 0, table, types, set, sequence)
        case .elements(let set, let table):
            object = "a set of others"
            let types = (NFTA_SET_ELEM_LIST_TABLE.rawValue, NFTA_SET_ELEM_LIST_SET.rawValue)
            request.ask(NFT_MSG_GETSETELEM, table, types, set, sequence)
        }
        request.endMessage()
        try conversation.socket.send(request.bytes)
        return PendingAnswer(sequence: sequence, object: object)
    }

    /// Reads one datagram of an answer, of which the kernel has one at hand until the end.
    ///
    /// - Returns: whether that was the last one.
    /// - Throws: ``NetlinkError``, at its end too; `EINTR` when somebody changed what was being listed.
    fileprivate mutating func readOn(
        _ answer: inout PendingAnswer, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) -> Bool {
        guard let messages = try conversation.socket.receive(into: conversation.buffer, waiting: true) else {
            return false
        }
        for message in messages where message.sequence == answer.sequence {
            answer.wasInterrupted = answer.wasInterrupted || message.flags & UInt16(NLM_F_DUMP_INTR) != 0
            if let code = message.errorCode ?? message.endCode {
                if answer.wasInterrupted { throw NetlinkError(.dump, code: EINTR, object: answer.object) }
                if code != 0 { throw NetlinkError(.dump, code: code, object: answer.object) }
                return true
            }
            // What others have changed since is of no use.
            if !answer.wasInterrupted { handle(message) }
            // A question about one object has an answer of one message, and no end mark.
            if message.flags & UInt16(NLM_F_MULTI) == 0 { return true }
        }
        return false
    }
}

extension MessageWriter {
    fileprivate mutating func ask(
        _ type: nf_tables_msg_types, flags: CInt = NLM_F_DUMP, _ sequence: UInt32
    ) {
        beginNftables(type, family: UInt8(AF_UNSPEC), flags: flags, sequence: sequence)
    }

    /// The same about something in a table, by the types of both names.
    fileprivate mutating func ask(
        _ type: nf_tables_msg_types, flags: CInt = NLM_F_DUMP, _ table: ForeignReading.Table,
        _ types: (UInt32, UInt32), _ name: ForeignName, _ sequence: UInt32
    ) {
        beginNftables(type, family: table.family.number, flags: flags, sequence: sequence)
        attribute(Int(types.0), table.name)
        attribute(Int(types.1), name)
    }
}
