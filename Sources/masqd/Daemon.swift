// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

/// The loop: turns what wakes it into events, and does what the reconciler decides.
///
/// It holds no policy, and no state but its descriptors.
struct Daemon: ~Copyable {
    let source: Arguments.Source
    let log: Log
    var manager: ServiceManager

    let loop: EventLoop
    let signals: SignalSource
    let retryTimer: TimerSource
    let calmTimer: TimerSource
    let alarmTimer: TimerSource
    let repairTimer: TimerSource
    let foreignTimer: TimerSource
    let routingTimer: TimerSource
    let probeTimer: TimerSource
    let readingTimer: TimerSource
    let watchdogTimer: TimerSource
    let agendaTimer: TimerSource
    let lock: NamespaceLock
    let routeMonitor: RouteMonitor
    var links: LinkReader
    var mainTable: MainTable
    var table: KernelTable
    var connections: ConnectionRepair
    var foreignLook: ForeignLook
    var foreignEditor: ForeignEditor
    var policyRouting: PolicyRouting
    var probeConnections: ProbeConnections
    var reconciler: Reconciler
    var agenda: Agenda
    /// Work that was begun and goes on in the next turn; a walk wakes the loop itself.
    var unfinished: Agenda.Work?
    /// Whose routes the next look at policy routing is about.
    var routingTables: [UInt32]
    /// A default route rang since the last look at the main table.
    var hasRouteRung = false
    /// What could not be read.
    var unread: Set<Agenda.Work>
    var trace: LoopTrace
    var hasReportedDialect = false
    /// What of masqd's stays in the kernel that was to go.
    var leftovers: Set<Leftover>

    enum Leftover { case foreignRules, routing }

    /// What can wake the loop.
    private enum Waker: UInt32, CaseIterable {
        case signals, retryTimer, calmTimer, alarmTimer, watchdogTimer, routeMonitor, tableMonitor
        case connections, repairTimer, foreignTimer, foreignLook, routingTimer, probeTimer, probes,
            readingTimer, agendaTimer
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
        let routingTimer = try TimerSource()
        let probeTimer = try TimerSource()
        let readingTimer = try TimerSource()
        let watchdogTimer = try TimerSource()
        let agendaTimer = try TimerSource()
        let lock = try NamespaceLock.take()
        // Before the first dump: what changes during it rings the bell.
        let routeMonitor = try RouteMonitor()
        let table = try KernelTable(listening: true)
        let links = try LinkReader()
        let mainTable = try MainTable()
        let connections = try ConnectionRepair()
        let foreignLook = try ForeignLook()
        let foreignEditor = try ForeignEditor()
        let policyRouting = try PolicyRouting()
        let probeConnections = try ProbeConnections()

        // Only numbers have initial values at their declarations: where something above throws, Swift 6.0 destroys others twice.
        self.source = source
        self.log = log
        trace = LoopTrace(log)
        manager = ServiceManager()
        reconciler = Reconciler()
        agenda = Agenda()
        unfinished = nil
        routingTables = []
        unread = []
        leftovers = []
        self.signals = signals
        self.loop = loop
        self.retryTimer = retryTimer
        self.calmTimer = calmTimer
        self.alarmTimer = alarmTimer
        self.repairTimer = repairTimer
        self.foreignTimer = foreignTimer
        self.routingTimer = routingTimer
        self.probeTimer = probeTimer
        self.readingTimer = readingTimer
        self.watchdogTimer = watchdogTimer
        self.agendaTimer = agendaTimer
        self.lock = lock
        self.routeMonitor = routeMonitor
        self.links = links
        self.mainTable = mainTable
        self.table = table
        self.connections = connections
        self.foreignLook = foreignLook
        self.foreignEditor = foreignEditor
        self.policyRouting = policyRouting
        self.probeConnections = probeConnections
    }

    /// Serves until a signal ends the process.
    mutating func run() throws {
        try watchAll()
        try begin()
        try work()
        while true {
            guard let waker = Waker(rawValue: try loop.wait()) else { continue }
            trace.turnBegins("\(waker)")
            try wake(waker)
            try work()
            trace.turnEnds()
        }
    }

    private func watchAll() throws(SystemError) {
        try loop.watch(signals.descriptor, tag: Waker.signals.rawValue)
        try loop.watch(retryTimer.descriptor, tag: Waker.retryTimer.rawValue)
        try loop.watch(calmTimer.descriptor, tag: Waker.calmTimer.rawValue)
        try loop.watch(alarmTimer.descriptor, tag: Waker.alarmTimer.rawValue)
        try loop.watch(repairTimer.descriptor, tag: Waker.repairTimer.rawValue)
        try loop.watch(foreignTimer.descriptor, tag: Waker.foreignTimer.rawValue)
        try loop.watch(foreignLook.descriptor, tag: Waker.foreignLook.rawValue)
        try loop.watch(routingTimer.descriptor, tag: Waker.routingTimer.rawValue)
        try loop.watch(probeTimer.descriptor, tag: Waker.probeTimer.rawValue)
        try loop.watch(probeConnections.descriptor, tag: Waker.probes.rawValue)
        try loop.watch(connections.descriptor, tag: Waker.connections.rawValue)
        try loop.watch(readingTimer.descriptor, tag: Waker.readingTimer.rawValue)
        try loop.watch(watchdogTimer.descriptor, tag: Waker.watchdogTimer.rawValue)
        try loop.watch(agendaTimer.descriptor, tag: Waker.agendaTimer.rawValue)
        try loop.watch(routeMonitor.descriptor, tag: Waker.routeMonitor.rawValue)
        if let descriptor = table.monitorDescriptor {
            try loop.watch(descriptor, tag: Waker.tableMonitor.rawValue)
        }
    }

    /// Two of them would undo each other's rules wherever their files differ.
    private func reportMissingLock() {
        log(
            .warning,
            "this kernel has no nfnetlink_log: a second masqd in this network namespace would not be refused")
    }

    private mutating func begin() throws {
        log(.info, "masqd \(version) starts")
        if !lock.isExclusive { reportMissingLock() }
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
        // What an earlier process left, before this one says what it wants.
        let routing = try policyRouting.state(tables: [])
        while try !links.step(milliseconds: 1000) {}
        if !links.isCurrent { agenda.ask(for: .links) }
        while try !mainTable.list(milliseconds: 1000) {}
        handle(.routingDumped(routing, links.links))
        handle(.defaultRoutesRead(DefaultRoutes(Array(mainTable.routes))))
        handle(.configurationLoaded(configuration))
        returnMemory()
    }

    private mutating func wake(_ waker: Waker) throws {
        switch waker {
        case .signals: while let signal = signals.next() { receive(signal) }
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
        case .foreignLook: lookAtOthers()
        case .routingTimer:
            routingTimer.acknowledge()
            handle(.routingTimerFired)
        case .probeTimer:
            probeTimer.acknowledge()
            handle(.probeTimerFired)
        case .probes:
            for interface in probeConnections.answers() { handle(.probeAnswered(interface: interface)) }
        case .connections: examineConnections()
        case .readingTimer:
            readingTimer.acknowledge()
            readAgain()
        case .agendaTimer: agendaTimer.acknowledge()
        case .watchdogTimer:
            watchdogTimer.acknowledge()
            manager.feedWatchdog()
            answerAgainLater()
        case .routeMonitor: try hearRoutes()
        case .tableMonitor: hear(try table.hear(besides: foreignEditor.portID))
        }
    }

    private mutating func hear(_ activity: NftablesMonitor.Activity) {
        if let touch = activity.ownTable {
            let culprit = Culprit(process: touch.process, name: touch.processName)
            handle(.tableTouched(ForeignTouch(deletesTable: touch.deletesTable, culprit: culprit)))
        }
        if activity.isIncomplete { agenda.ask(for: .table) }
        if activity.raisesAlarm { handle(.leakSeen) }
        if activity.touchesOthers || activity.isIncomplete { handle(.foreignTouched) }
    }

    private mutating func receive(_ signal: CInt) {
        switch signal {
        case SIGHUP:
            // Now, not when it is read: what the manager hears before READY has to be about this reload.
            if !agenda.isAsked(for: .reload) { manager.reloading() }
            agenda.ask(for: .reload)
        case SIGUSR1: handle(.handOverRequested)
        default:
            manager.stopping()
            readForwarding()
            handle(.stopRequested)
        }
    }

    mutating func reload() {
        let reading = source.read(acceptsPipe: false)
        reading.diagnostics.forEach { log($0) }
        if let configuration = reading.configuration {
            readForwarding()
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
