// SPDX-License-Identifier: GPL-3.0-or-later

/// Something that happened, as the daemon's loop saw it.
public enum Event: Equatable, Sendable {
    /// A configuration was read and is good: the first one, or a reload's.
    ///
    /// The first comes behind `memoryFound` and `forwardingRead`, or what is to be put back at stop is not known.
    case configurationLoaded(Configuration)
    /// A reload's configuration is bad; the reason is its first error, with `file:line:column`.
    case configurationRefused(reason: String)
    /// What an earlier process left in the table.
    case memoryFound(KernelMemory)
    /// The links and addresses as they are.
    case linksDumped(Links)
    /// The default routes as they are; the first time before `configurationLoaded`.
    case defaultRoutesRead(DefaultRoutes)
    /// The answer to `restrictSources` where somebody else had done so before.
    case sourcesWereRestricted(link: Int32)
    /// The forwarding switches as they are.
    case forwardingRead([AddressFamily: Bool])
    /// The last `setForwarding` of this family did not work.
    case forwardingFailed(AddressFamily)
    /// The links, or the switches, could not be read.
    case unreadable(reason: String)
    /// They could, behind `startReadingTimer`.
    case readable
    /// A default route came or went, or something else happened that says nothing about itself.
    case touched
    /// nf_tables could not tell all that happened: anything may have changed, and the leak guard may have rung.
    case notificationsLost
    /// Somebody else committed something to the own table.
    case tableTouched(ForeignTouch)
    /// The kernel has the ruleset of the last `commit`; so many objects were not as they should be.
    case committed(changes: Int, microseconds: Int = 0)
    /// The leak guard dropped a packet of a connection that began untranslated.
    case leakSeen
    /// The last `rearmLeakAlarm` did not work.
    case alarmFailed(reason: String)
    /// The answer to `repairConnections`: these were deleted; and why not all were looked at, if so.
    ///
    /// Where it was asked again meanwhile, another walk follows, and only that one's answer is about all connections.
    case connectionsRepaired(DeletedFlows, failure: String? = nil, isFollowed: Bool = false)
    /// The answer to `inspect`: so many objects are not as they should be.
    case inspected(changes: Int)
    /// Somebody else changed a table of his own.
    case foreignTouched
    /// The answer to `auditForeign`: what others' tables do to masqueraded traffic.
    case foreignAudited(ForeignReport, microseconds: Int = 0)
    /// The other answer to `auditForeign`: they could not be read.
    case foreignUnread(reason: String)
    /// The third: somebody committed something meanwhile, and what was read is of no use.
    case foreignDisturbed(microseconds: Int)
    /// The answer to `editForeign`.
    case foreignEdited(ForeignEditOutcome)
    /// The answer to `closeForeign`: none of these marks is accepted by a rule of masqd's any more.
    case foreignClosed(marks: UInt32)
    /// The timer of `startForeignTimer` fired.
    case foreignTimerFired
    /// The answer to `readRouting`: policy routing, and the links a moment later.
    case routingDumped(RoutingState, Links)
    /// Rules or routes of policy routing changed.
    case routingTouched
    /// The other answer to `readRouting`: it could not be read.
    case routingUnread(reason: String)
    /// The answer to `changeRouting`: the kernel took all but these.
    case routingChanged(refusals: [RoutingRefusal] = [])
    /// The timer of `startRoutingTimer` fired.
    case routingTimerFired
    /// A target of `sendProbes` answered through this interface.
    case probeAnswered(interface: InterfaceName)
    /// Nobody could be asked through this interface.
    case probeFailed(interface: InterfaceName, reason: String)
    /// The timer of `startProbeTimer` fired.
    case probeTimerFired
    /// Nothing of the last `commit` took effect.
    case commitFailed(CommitFailure)
    /// The timer of `startRetryTimer` fired.
    case retryTimerFired
    /// The timer of `startCalmTimer` fired.
    case calmTimerFired
    /// The timer of `startRepairTimer` fired.
    case repairTimerFired
    /// The timer of `startAlarmTimer` fired.
    case alarmTimerFired
    /// SIGTERM or SIGINT.
    case stopRequested
    /// SIGUSR1.
    case handOverRequested
}

/// What somebody else did to the own table.
public struct ForeignTouch: Equatable, Sendable {
    /// Whether the table itself went.
    public var deletesTable: Bool
    /// Who it was.
    public var culprit: Culprit

    /// Makes a touch.
    public init(deletesTable: Bool, culprit: Culprit) {
        self.deletesTable = deletesTable
        self.culprit = culprit
    }
}

/// A process that committed something, as nf_tables names it (`NFTA_GEN_PROC_PID`, `NFTA_GEN_PROC_NAME`).
public struct Culprit: Equatable, Sendable {
    /// The process's id; 0 where it is not known.
    public var process: UInt32
    /// The first 15 bytes of the process's name.
    public var name: String

    /// Names a process.
    public init(process: UInt32 = 0, name: String = "") {
        self.process = process
        self.name = name
    }
}

/// What became of edits in others' chains: all of them, or none.
public enum ForeignEditOutcome: Equatable, Sendable {
    /// They took effect.
    case done
    /// Somebody committed something since masqd looked.
    case outdated
    /// The kernel refused one; the base chain is that edit's.
    case refused(reason: String, baseChain: String)
}

/// Why a commit did not take effect.
public struct CommitFailure: Equatable, Sendable {
    /// One line that names the object and the error.
    public var reason: String
    /// What kind of failure it is.
    public var kind: Kind
    /// What the kernel lacks, where the gateway can do without.
    public var missing: KernelFeature?

    /// Makes a failure.
    public init(reason: String, kind: Kind, missing: KernelFeature? = nil) {
        self.reason = reason
        self.kind = kind
        self.missing = missing
    }

    /// Kinds of failure that are acted on differently.
    public enum Kind: Equatable, Sendable {
        /// The process lacks CAP_NET_ADMIN.
        case notPermitted
        /// The kernel lacks something.
        case unsupported
        /// What it names is gone since masqd looked, as a link is before its event arrives.
        case outdated
        /// Anything else: another attempt may succeed.
        case other
    }
}

/// Something to do, in the order of the list.
public enum Action: Equatable, Sendable {
    /// Make the kernel's table equal to this, then answer with `committed` or `commitFailed`.
    case commit(Ruleset)
    /// Delete every connection that is translated wrongly, refused, or a lost uplink's, then answer with
    /// `connectionsRepaired`.
    case repairConnections
    /// Make the leak guard tell again of the next packet that it drops; `alarmFailed` where that does not work.
    case rearmLeakAlarm
    /// Count how many objects are not as this ruleset has them, then answer with `inspected`.
    case inspect(Ruleset)
    /// Read others' tables and walk masqueraded traffic through them, a little at a time, then answer with `foreignAudited`,
    /// `foreignDisturbed` or `foreignUnread`; another one that is under way is given up.
    case auditForeign(ForeignAudit)
    /// Let masqd's rule come to others' chains, or go, where nobody committed anything since this generation; then
    /// answer with `foreignEdited`.
    case editForeign([ForeignEdit], generation: UInt32)
    /// Delete masqd's rules for these marks from all chains of others', then answer with `foreignClosed` if that worked.
    case closeForeign(marks: UInt32)
    /// Send `foreignTimerFired` after this time.
    case startForeignTimer(milliseconds: Int)
    /// Read links and switches after this time, then answer with `readable` or `unreadable` too.
    case startReadingTimer(milliseconds: Int)
    /// Read policy routing, with these routing tables beside the main one; then answer with `routingDumped` or
    /// `routingUnread`.
    case readRouting(tables: [UInt32])
    /// Change policy routing, in this order and past what the kernel refuses, then answer with `routingChanged`.
    case changeRouting([RoutingChange])
    /// Delete every rule and route of masqd's that is there, and say what stays.
    case removeRouting
    /// Send `routingTimerFired` after this time.
    case startRoutingTimer(milliseconds: Int)
    /// Ask each target through its interface; every answer is a `probeAnswered`.
    case sendProbes([Probe])
    /// Send `probeTimerFired` after this time.
    case startProbeTimer(milliseconds: Int)
    /// Delete the table.
    case removeTable
    /// Let the kernel choose IPv6 sources for a link among the link's own addresses alone, or no longer so.
    case restrictSources(link: Int32, name: InterfaceName, Bool)
    /// Set a family's forwarding switch.
    case setForwarding(AddressFamily, Bool)
    /// Send `retryTimerFired` after this time.
    case startRetryTimer(milliseconds: Int)
    /// Send `calmTimerFired` after this time.
    case startCalmTimer(milliseconds: Int)
    /// Send `repairTimerFired` after this time.
    case startRepairTimer(milliseconds: Int)
    /// Send `alarmTimerFired` after this time.
    case startAlarmTimer(milliseconds: Int)
    /// Say something.
    case log(Severity, String)
    /// Say what a process did, in words that go on behind its name.
    ///
    /// Who it is takes longer to find out than the repair takes, so it is asked when there is something to say.
    case accuse(Severity, Culprit, String)
    /// Tell the service manager that what was asked for is done, and what is in force.
    case notifyReady(status: String)
    /// Tell the service manager what is in force.
    case notifyStatus(String)
    /// End the process.
    case exit(ExitStatus)

    /// How important a line of log is; the values are syslog's.
    public enum Severity: Int, Sendable {
        case error = 3
        case warning = 4
        case notice = 5
        case info = 6
    }

    /// How the process ends; the values are those of sysexits.h.
    public enum ExitStatus: Int32, Sendable {
        /// As asked.
        case success = 0
        /// `EX_USAGE`: the command line is wrong.
        case usage = 64
        /// `EX_UNAVAILABLE`: the kernel or another process does not allow the work.
        case unavailable = 69
        /// `EX_OSERR`: the operating system failed.
        case system = 71
        /// `EX_NOPERM`: CAP_NET_ADMIN is missing.
        case notPermitted = 77
        /// `EX_CONFIG`: the configuration is wrong.
        case configuration = 78
    }
}
