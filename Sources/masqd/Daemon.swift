// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

/// The loop: turns what wakes it into events, and does what the reconciler decides.
///
/// It holds no policy, and no state but its descriptors.
struct Daemon: ~Copyable {
    private let source: Arguments.Source
    private let log: Log
    private let manager = ServiceManager()

    private let loop: EventLoop
    private let signals: SignalSource
    private let retryTimer: TimerSource
    private let calmTimer: TimerSource
    private let alarmTimer: TimerSource
    private let repairTimer: TimerSource
    private let foreignTimer: TimerSource
    private let watchdogTimer: TimerSource
    private let lock: NamespaceLock
    private let routeMonitor: RouteMonitor
    private let tableMonitor: NftablesMonitor
    private var routes: RouteConnection
    private var table: KernelTable
    private var connections: ConnectionRepair
    private var foreign: ForeignReader
    private var reconciler = Reconciler()
    private var hasReportedDialect = false

    /// What can wake the loop.
    private enum Waker: UInt32, CaseIterable {
        case signals, retryTimer, calmTimer, alarmTimer, watchdogTimer, lock, routeMonitor, tableMonitor
        case connections, repairTimer, foreignTimer
    }

    /// Opens everything that the loop waits for, in the order in which it can fail.
    init(_ source: Arguments.Source, _ log: Log) throws {
        let signals = try SignalSource([SIGHUP, SIGTERM, SIGINT, SIGUSR1])
        let loop = try EventLoop()
        let retryTimer = try TimerSource()
        let calmTimer = try TimerSource()
        let alarmTimer = try TimerSource()
        let repairTimer = try TimerSource()
        let foreignTimer = try TimerSource()
        let watchdogTimer = try TimerSource()
        let directory = getenv("RUNTIME_DIRECTORY").map { String(cString: $0) } ?? "/run"
        let lock = try NamespaceLock(fallbackDirectory: directory)
        // Before the first dump: what changes during it rings the bell.
        let routeMonitor = try RouteMonitor()
        let tableMonitor = try NftablesMonitor()
        let routes = try RouteConnection()
        let table = try KernelTable()
        let connections = try ConnectionRepair()
        let foreign = try ForeignReader()

        self.source = source
        self.log = log
        self.signals = signals
        self.loop = loop
        self.retryTimer = retryTimer
        self.calmTimer = calmTimer
        self.alarmTimer = alarmTimer
        self.repairTimer = repairTimer
        self.foreignTimer = foreignTimer
        self.watchdogTimer = watchdogTimer
        self.lock = lock
        self.routeMonitor = routeMonitor
        self.tableMonitor = tableMonitor
        self.routes = routes
        self.table = table
        self.connections = connections
        self.foreign = foreign
    }

    /// Serves until a signal ends the process.
    mutating func run() throws {
        try watchAll()
        try begin()
        while true {
            for tag in try loop.wait() {
                guard let waker = Waker(rawValue: tag) else { continue }
                try wake(waker)
            }
        }
    }

    private func watchAll() throws(SystemError) {
        try loop.watch(signals.descriptor, tag: Waker.signals.rawValue)
        try loop.watch(retryTimer.descriptor, tag: Waker.retryTimer.rawValue)
        try loop.watch(calmTimer.descriptor, tag: Waker.calmTimer.rawValue)
        try loop.watch(alarmTimer.descriptor, tag: Waker.alarmTimer.rawValue)
        try loop.watch(repairTimer.descriptor, tag: Waker.repairTimer.rawValue)
        try loop.watch(foreignTimer.descriptor, tag: Waker.foreignTimer.rawValue)
        try loop.watch(connections.descriptor, tag: Waker.connections.rawValue)
        try loop.watch(watchdogTimer.descriptor, tag: Waker.watchdogTimer.rawValue)
        try loop.watch(routeMonitor.descriptor, tag: Waker.routeMonitor.rawValue)
        try loop.watch(tableMonitor.descriptor, tag: Waker.tableMonitor.rawValue)
        if let stranger = lock.stranger {
            log(
                .warning,
                "pid \(stranger) of another user holds the address of masqd; a locked file decides instead")
        } else {
            try loop.watch(lock.descriptor, tag: Waker.lock.rawValue)
        }
    }

    private mutating func begin() throws {
        log(.info, "masqd \(version) starts")
        let reading = source.read()
        reading.diagnostics.forEach { log($0) }
        guard let configuration = reading.configuration else {
            finish(.configuration)
        }
        if let interval = manager.watchdogIntervalMilliseconds {
            watchdogTimer.start(milliseconds: interval, repeating: true)
        }
        handle(.memoryFound(try table.memory()))
        handle(.forwardingRead(try Forwarding.read()))
        handle(.linksDumped(try routes.links()))
        handle(.configurationLoaded(configuration))
        returnMemory()
    }

    private mutating func wake(_ waker: Waker) throws {
        switch waker {
        case .signals: while let signal = signals.next() { try receive(signal) }
        case .retryTimer:
            retryTimer.acknowledge()
            handle(.retryTimerFired)
        case .calmTimer:
            calmTimer.acknowledge()
            handle(.calmTimerFired)
        case .repairTimer:
            repairTimer.acknowledge()
            handle(.repairTimerFired)
        case .alarmTimer:
            alarmTimer.acknowledge()
            handle(.alarmTimerFired)
        case .foreignTimer:
            foreignTimer.acknowledge()
            handle(.foreignTimerFired)
        case .connections: examineConnections()
        case .watchdogTimer:
            watchdogTimer.acknowledge()
            manager.feedWatchdog()
        case .lock: lock.dismissVisitors()
        case .routeMonitor: try ring(try routeMonitor.drain())
        case .tableMonitor: try hear(try tableMonitor.drain(ownPort: table.portID))
        }
    }

    private mutating func ring(_ bells: RouteMonitor.Bells) throws {
        if bells.contains(.forwarding) { handle(.forwardingRead(try Forwarding.read())) }
        if bells.contains(.links) {
            handle(.linksDumped(try routes.links()))
        } else if bells.contains(.routes) {
            handle(.touched)
        }
    }

    private mutating func hear(_ activity: NftablesMonitor.Activity) throws {
        if let touch = activity.ownTable {
            let culprit = ProcessName.describe(process: touch.process, name: touch.processName)
            handle(.tableTouched(ForeignTouch(deletesTable: touch.deletesTable, culprit: culprit)))
        } else if activity.isIncomplete {
            handle(.touched)
        }
        if activity.raisesAlarm { handle(.leakSeen) }
        if activity.touchesOthers || activity.isIncomplete { handle(.foreignTouched) }
    }

    private mutating func receive(_ signal: CInt) throws {
        switch signal {
        case SIGHUP: try reload()
        case SIGUSR1: handle(.handOverRequested)
        default:
            manager.stopping()
            handle(.forwardingRead(try Forwarding.read()))
            handle(.stopRequested)
        }
    }

    private mutating func reload() throws {
        manager.reloading()
        let reading = source.read()
        reading.diagnostics.forEach { log($0) }
        if let configuration = reading.configuration {
            handle(.forwardingRead(try Forwarding.read()))
            handle(.configurationLoaded(configuration))
        } else {
            let errors = reading.diagnostics.filter { $0.severity == .error }
            let more = errors.count > 1 ? " (and \(errors.count - 1) more)" : ""
            log(.error, "the configuration is refused: keeping the previous rules")
            handle(.configurationRefused(reason: (errors.first.map { "\($0)" } ?? "") + more))
        }
        returnMemory()
    }
}

// What the reconciler decided is done here, and what comes of it is told to it.
extension Daemon {
    private mutating func handle(_ event: Event) {
        var stuck: [AddressFamily] = []
        for action in reconciler.handle(event) {
            if case .setForwarding(let family, let isOn) = action {
                if !setForwarding(family, isOn) { stuck.append(family) }
            } else {
                perform(action)
            }
        }
        // Behind READY, whose status does not know of it yet.
        for family in stuck { handle(.forwardingFailed(family)) }
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .commit(let ruleset):
            commit(ruleset)
        case .repairConnections:
            guard let judge = reconciler.flowJudge else { return }
            do {
                try connections.begin(judge)
            } catch {
                log(.error, "\(error): stale connections can't be found")
            }
        case .rearmLeakAlarm:
            do {
                try table.rearmLeakAlarm()
            } catch {
                log(.warning, "\(error): leaks are dropped, but not mended")
            }
        case .inspect(let ruleset):
            do {
                handle(.inspected(changes: try table.differences(from: ruleset)))
            } catch {
                log(.error, "\(error): can't tell whether the rules are as they should be")
            }
        case .removeTable:
            do {
                try table.remove()
            } catch {
                log(.error, "\(error): the rules stay in force")
                finish(.system)
            }
        case .setForwarding: break  // above
        case .auditForeign(let audit):
            do {
                let start = ContinuousClock.now
                let findings = audit.findings(in: try foreign.read(for: audit))
                handle(.foreignAudited(findings, microseconds: Self.microseconds(since: start)))
            } catch {
                log(.warning, "\(error): can't tell whether others drop masqueraded traffic")
            }
        case .startForeignTimer(let milliseconds): foreignTimer.start(milliseconds: milliseconds)
        case .startRetryTimer(let milliseconds): retryTimer.start(milliseconds: milliseconds)
        case .startCalmTimer(let milliseconds): calmTimer.start(milliseconds: milliseconds)
        case .startAlarmTimer(let milliseconds): alarmTimer.start(milliseconds: milliseconds)
        case .startRepairTimer(let milliseconds): repairTimer.start(milliseconds: milliseconds)
        case .log(let severity, let message): log(severity, message)
        case .notifyReady(let status): manager.ready(status: status)
        case .notifyStatus(let status): manager.status(status)
        case .exit(let status): finish(status)
        }
    }

    /// Commits without listening to its own echo, and looks again if somebody else committed meanwhile.
    private mutating func commit(_ ruleset: Ruleset) {
        tableMonitor.pause()
        let outcome: Event
        do {
            let start = ContinuousClock.now
            let changes = try table.apply(ruleset)
            outcome = .committed(changes: changes.count, microseconds: Self.microseconds(since: start))
        } catch {
            outcome = .commitFailed(error.commitFailure)
        }
        var wasDisturbed = false
        do {
            try tableMonitor.resume()
            if case .committed = outcome { wasDisturbed = try !table.isUndisturbed() }
        } catch {
            log(.error, "\(error): changes that others make may go unnoticed")
        }
        handle(outcome)
        reportDialect()
        guard wasDisturbed else { return }
        retryTimer.start(milliseconds: 1)
        // Whoever it was, it may have been about his own tables.
        handle(.foreignTouched)
    }

    private static func microseconds(since start: ContinuousClock.Instant) -> Int {
        let elapsed = start.duration(to: .now).components
        return Int(elapsed.seconds) * 1_000_000 + Int(elapsed.attoseconds / 1_000_000_000_000)
    }

    /// Sets a switch, or says why it can't be.
    private func setForwarding(_ family: AddressFamily, _ isOn: Bool) -> Bool {
        do {
            try Forwarding.set(family, isOn)
            return true
        } catch {
            log(.error, "\(error): \(isOn ? "nothing is forwarded until it is 1" : "it stays as it is")")
            return false
        }
    }

    private mutating func examineConnections() {
        do {
            guard let result = try connections.step() else { return }
            handle(.connectionsRepaired(deleted: result.deleted, example: result.example))
        } catch {
            log(.error, "\(error): stale connections can't be found")
        }
    }

    private mutating func reportDialect() {
        guard table.answersDifferently, !hasReportedDialect else { return }
        hasReportedDialect = true
        log(.info, "this kernel writes some rules in a way of its own; that is the reference from now on")
    }
}
