// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import MasqKernel

// What others can ask for as often as they like goes over the agenda, which says when it may begin.
extension Daemon {
    /// How long one piece of work may take, in milliseconds.
    private static let pieceMilliseconds = 2

    /// Does one piece of work, if any may begin or go on, and sees to it that the loop wakes for the next.
    mutating func work() throws {
        if let work = unfinished ?? agenda.begin(at: Clock.now) {
            if unfinished == nil { trace.begins(work) } else { trace.goesOn(work) }
            unfinished = nil
            try measured(work) { daemon in
                try daemon.perform(work)
            }
        }
        if unfinished != nil {
            agendaTimer.start(microseconds: 0)
        } else if let begin = agenda.nextBegin {
            agendaTimer.start(microseconds: begin - Clock.now)
        }
    }

    /// Puts what a piece of work costs on its account; over, it rests.
    mutating func measured(
        _ work: Agenda.Work, _ piece: (inout Daemon) throws -> Bool
    ) rethrows {
        let before = Clock.used
        let isOver = try piece(&self)
        agenda.spend(Clock.used - before, on: work)
        if isOver { agenda.end(work, at: Clock.now) }
    }

    /// - Returns: whether the work is over.
    private mutating func perform(_ work: Agenda.Work) throws -> Bool {
        switch work {
        case .links: return readLinks()
        case .forwarding: readForwarding()
        case .table: handle(.notificationsLost)
        case .routes: readRoutes()
        case .otherRoutes: handle(.touched)
        case .routing: return try readRouting()
        case .reload: reload()
        case .mainTable: return listMainTable()
        case .walk: return try walk()
        }
        return true
    }

    /// Takes in what rang.
    mutating func hearRoutes() throws {
        let news = try routeMonitor.drain(ownPort: policyRouting.portID)
        if news.isIncomplete { links.ringAll() }
        links.ring(news.links)
        policyRouting.look(into: news.tables)
        ring(news.bells)
    }

    private mutating func ring(_ bells: RouteMonitor.Bells) {
        if bells.contains(.links) {
            agenda.ask(for: .links)
            // What IPv4 routes a link takes along is not told (`fib_flush` in net/ipv4/fib_frontend.c).
            agenda.ask(for: .routes)
        }
        if bells.contains(.forwarding) { agenda.ask(for: .forwarding) }
        if bells.contains(.routes) {
            hasRouteRung = true
            agenda.ask(for: .routes)
        }
        if bells.contains(.otherRoutes) { agenda.ask(for: .otherRoutes) }
        if !bells.isDisjoint(with: [.policy, .forwarding]) { handle(.routingTouched) }
    }

    /// Reads everything anew: it could not be read before.
    mutating func readAgain() {
        links.ringAll()
        agenda.ask(for: .links)
        agenda.ask(for: .routes)
        agenda.ask(for: .forwarding)
    }

    private mutating func readLinks() -> Bool {
        do {
            guard try links.step(milliseconds: Self.pieceMilliseconds) else {
                unfinished = .links
                return false
            }
            handle(.linksDumped(links.links))
            wasRead(.links)
            // Behind the rest: whoever floods the bells must not keep masqd listing.
            if !links.isCurrent { agenda.ask(for: .links) }
        } catch {
            wasNotRead(.links, error)
        }
        return true
    }

    mutating func readRoutes() {
        let before = mainTable.routes
        do {
            // What of a large table was not reached is listed in pieces.
            if try !mainTable.look(milliseconds: 1) { agenda.ask(for: .mainTable) }
            wasRead(.routes)
        } catch {
            wasNotRead(.routes, error)
        }
        tellRoutes(since: before)
    }

    /// - Returns: whether the work is over.
    private mutating func listMainTable() -> Bool {
        let before = mainTable.routes
        do {
            guard try mainTable.list(milliseconds: Self.pieceMilliseconds) else {
                unfinished = .mainTable
                return false
            }
        } catch {
            wasNotRead(.routes, error)
        }
        tellRoutes(since: before)
        return true
    }

    private mutating func tellRoutes(since before: Set<Route>) {
        let routes = mainTable.routes
        let defaults = DefaultRoutes(Array(routes))
        handle(.defaultRoutesRead(defaults))
        // What rang may be as it was before, and have been another for a moment.
        if hasRouteRung || defaults != DefaultRoutes(Array(before)) {
            hasRouteRung = false
            handle(.touched)
        } else if routes != before {
            handle(.routingTouched)
        }
    }

    mutating func readForwarding() {
        do {
            handle(.forwardingRead(try Forwarding.read()))
            wasRead(.forwarding)
        } catch {
            wasNotRead(.forwarding, error)
        }
    }

    private mutating func wasNotRead(_ work: Agenda.Work, _ error: any Error) {
        unread.insert(work)
        handle(.unreadable(reason: "\(error)"))
    }

    private mutating func wasRead(_ work: Agenda.Work) {
        guard unread.remove(work) != nil, unread.isEmpty else { return }
        handle(.readable)
    }

    private mutating func readRouting() throws -> Bool {
        let state: RoutingState
        do {
            state = try policyRouting.state(tables: routingTables, main: mainTable.routes)
        } catch {
            handle(.routingUnread(reason: "\(error)"))
            return true
        }
        // The links last: what a link took with it is then missing in both, or in the routes alone.
        try hearRoutes()
        do {
            if try links.step(milliseconds: Self.pieceMilliseconds) {
                handle(.routingDumped(state, links.links))
                if !links.isCurrent { agenda.ask(for: .links) }
            } else {
                // Too many rang to wait for here: the links first, and then once more.
                agenda.ask(for: .links)
                agenda.ask(for: .routing)
            }
        } catch {
            wasNotRead(.links, error)
            handle(.routingUnread(reason: "\(error)"))
        }
        return true
    }

    /// Begins a walk, or goes on with what comes before it.
    ///
    /// - Returns: whether it is over.
    private mutating func walk() throws -> Bool {
        guard let judge = reconciler.flowJudge else { return true }
        do {
            guard try connections.isRunning || connections.begin(judge) else {
                handle(.connectionsRepaired(DeletedFlows()))
                return true
            }
        } catch {
            handle(.connectionsRepaired(DeletedFlows(), failure: "\(error)"))
            return true
        }
        let isOver = goOnWalking()
        if connections.isPreparing {
            unfinished = .walk
        } else if !isOver {
            trace.notes("lists the connections")
        }
        return isOver
    }

    /// Goes on with the walk for a few milliseconds.
    mutating func examineConnections() {
        guard connections.isRunning, !connections.isPreparing else { return }
        trace.goesOn(.walk)
        measured(.walk) { daemon in daemon.goOnWalking() }
    }

    /// - Returns: whether the walk is over.
    private mutating func goOnWalking() -> Bool {
        guard let outcome = connections.step() else { return false }
        let failure = outcome.failure.map { "\($0)" }
        handle(
            .connectionsRepaired(
                outcome.result.deleted, failure: failure, isFollowed: agenda.isAsked(for: .walk)))
        return true
    }

    /// Has the connections looked at; what the walk under way has passed may be wrong now, so that another follows.
    mutating func askForWalk() {
        agenda.ask(for: .walk)
        // What is right now must not be judged by what was right before.
        measured(.walk) { daemon in
            if daemon.connections.isRunning, let judge = daemon.reconciler.flowJudge {
                daemon.connections.go(on: judge)
            }
            return false
        }
    }
}
