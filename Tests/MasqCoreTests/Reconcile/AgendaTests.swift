// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// Times are in microseconds.
@Suite struct AgendaTests {
    /// Begins the work that may begin now, and lets it cost so much.
    private func perform(_ agenda: inout Agenda, at now: Int, cost: Int) -> Agenda.Work? {
        guard let work = agenda.begin(at: now) else { return nil }
        agenda.spend(cost, on: work)
        agenda.end(work, at: now + cost)
        return work
    }

    @Test("What is asked for after a quiet time begins at once, and nothing waits behind it")
    func quiet() {
        var agenda = Agenda()
        #expect(agenda.nextBegin == nil)
        #expect(agenda.begin(at: 0) == nil)
        agenda.ask(for: .links)
        #expect(agenda.nextBegin.map { $0 <= 0 } == true)
        #expect(perform(&agenda, at: 1_000_000, cost: 30_000) == .links)
        #expect(agenda.nextBegin == nil)
        agenda.ask(for: .links)
        #expect(perform(&agenda, at: 3_000_000, cost: 30_000) == .links)
    }

    @Test("A walk of 200 ms rests for 4 s, and whoever asks meanwhile has one in common")
    func walk() {
        var agenda = Agenda()
        agenda.ask(for: .walk)
        #expect(perform(&agenda, at: 0, cost: 200_000) == .walk)
        for now in stride(from: 300_000, to: 4_000_000, by: 100_000) {
            agenda.ask(for: .walk)
            #expect(agenda.begin(at: now) == nil)
            #expect(agenda.nextBegin == 4_200_000)
        }
        #expect(perform(&agenda, at: 4_200_000, cost: 200_000) == .walk)
        #expect(agenda.begin(at: 60_000_000) == nil)
    }

    @Test("Who asks while a walk is under way gets another one, after the rest of the first")
    func askedAgain() {
        var agenda = Agenda()
        agenda.ask(for: .walk)
        #expect(agenda.begin(at: 0) == .walk)
        #expect(!agenda.isAsked(for: .walk))
        agenda.spend(50_000, on: .walk)
        agenda.ask(for: .walk)
        #expect(agenda.isAsked(for: .walk))
        #expect(agenda.nextBegin == nil, "its end is waited for, and no time")
        #expect(agenda.begin(at: 50_000) == nil)
        agenda.spend(50_000, on: .walk)
        agenda.end(.walk, at: 100_000)
        #expect(agenda.nextBegin == 2_100_000)
    }

    @Test("Short work is done many times in a row without a rest, as when a link comes up")
    func credit() {
        var agenda = Agenda()
        for event in 0..<40 {
            agenda.ask(for: .links)
            #expect(perform(&agenda, at: 500 * event, cost: 500) == .links, "\(event)")
        }
    }

    @Test("However often it is asked, each kind of work takes a twentieth of the time")
    func share() {
        for cost in [10, 500, 3000, 80_000, 900_000] {
            var agenda = Agenda()
            var (now, spent) = (0, 0)
            while now < 100_000_000 {
                agenda.ask(for: .links)
                if perform(&agenda, at: now, cost: cost) != nil {
                    spent += cost
                    now += cost
                } else {
                    now = max(now + 1, agenda.nextBegin ?? now)
                }
            }
            #expect(spent <= 5_000_000 + 20_000 + cost, "\(cost)")
            #expect(spent >= 4_000_000, "\(cost)")
        }
    }

    @Test("A rest has a longest length, and that of a reload is shorter")
    func longest() {
        var agenda = Agenda()
        agenda.ask(for: .walk)
        agenda.ask(for: .reload)
        #expect(perform(&agenda, at: 0, cost: 10_000_000) == .reload)
        #expect(perform(&agenda, at: 10_000_000, cost: 10_000_000) == .walk)
        agenda.ask(for: .reload)
        #expect(agenda.begin(at: 14_500_000) == nil)
        #expect(agenda.begin(at: 15_000_000) == .reload)
        agenda.ask(for: .walk)
        #expect(agenda.nextBegin == 50_000_000)
    }

    @Test("Of what may begin, routes and links come before what is judged by them, and a walk last")
    func order() {
        var agenda = Agenda()
        for work in Agenda.Work.allCases.reversed() { agenda.ask(for: work) }
        var order: [Agenda.Work] = []
        while let work = perform(&agenda, at: 0, cost: 100) { order.append(work) }
        #expect(
            order == [
                .routes, .links, .forwarding, .table, .otherRoutes, .routing, .reload, .mainTable, .walk,
            ])
    }

    @Test("A kind of work that rests keeps no other from beginning")
    func independent() {
        var agenda = Agenda()
        agenda.ask(for: .routing)
        #expect(perform(&agenda, at: 0, cost: 500_000) == .routing)
        agenda.ask(for: .routing)
        agenda.ask(for: .links)
        #expect(agenda.begin(at: 500_000) == .links)
    }
}
