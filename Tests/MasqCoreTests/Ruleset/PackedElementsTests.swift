// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

@Suite struct PackedElementsTests {
    private static let forwards = ElementType(
        key: [.protocol, .service], data: [.ipv4Address, .service], countsPackets: true)

    private func elements(_ forwards: (UInt16, String)...) throws -> PackedElements {
        var list = PackedElements.List()
        for (port, address) in forwards {
            list.append(
                [.transport(.tcp), .port(port)],
                data: [.address(try #require(IPAddress(address))), .port(port)])
        }
        return PackedElements(Self.forwards, list)
    }

    private func text(_ elements: PackedElements) -> String {
        var ruleset = Ruleset()
        ruleset.sets = [.init("it", .entries(elements))]
        return ruleset.text
    }

    @Test("The order of writing does not matter, and of two with one key the first counts")
    func order() throws {
        let sorted = try elements((80, "10.0.0.1"), (443, "10.0.0.2"))
        #expect(try elements((443, "10.0.0.2"), (80, "10.0.0.1")) == sorted)
        #expect(try elements((443, "10.0.0.2"), (80, "10.0.0.1"), (443, "10.0.0.9")) == sorted)
        #expect(try elements((443, "10.0.0.3"), (80, "10.0.0.1")) != sorted)
        #expect(sorted.count == 2)
    }

    @Test("What another has with the same key and data is left out")
    func difference() throws {
        let old = try elements((22, "10.0.0.1"), (80, "10.0.0.1"), (443, "10.0.0.2"))
        let new = try elements((80, "10.0.0.1"), (443, "10.0.0.9"), (8080, "10.0.0.1"))
        #expect(try new.subtracting(old) == elements((443, "10.0.0.9"), (8080, "10.0.0.1")))
        #expect(try old.subtracting(new) == elements((22, "10.0.0.1"), (443, "10.0.0.2")))
        #expect(old.subtracting(old).isEmpty)
        #expect(old.subtracting(PackedElements(Self.forwards)) == old)
    }

    @Test("The text is nft's")
    func text() throws {
        let maps = text(try elements((443, "10.0.0.2"), (80, "10.0.0.1")))
        #expect(
            maps == """
                table inet masqd {
                \tmap it {
                \t\ttype inet_proto . inet_service : ipv4_addr . inet_service
                \t\tcounter
                \t\telements = { tcp . 80 : 10.0.0.1 . 80,
                \t\t\t     tcp . 443 : 10.0.0.2 . 443 }
                \t}
                }

                """)
    }

    @Test("A type is found again by its number, and one with fields of other kinds is not")
    func typeNumbers() {
        let fields: [ElementType.Field] = [.ipv6Address, .protocol, .interfaceName, .mark]
        #expect([ElementType.Field](typeNumber: fields.typeNumber) == fields)
        #expect([ElementType.Field](typeNumber: 9) == nil)
        #expect([ElementType.Field](typeNumber: 0) == nil)
    }
}
