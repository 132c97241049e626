// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// What the registers of nf_tables hold at a point of a rule, as far as it is known.
struct ForeignRegisters {
    /// By the register's number of four bytes.
    private var values: [UInt32: ForeignValue] = [:]
    /// What the mark becomes if it is set from a register.
    private var marks: [UInt32: ForeignRuleset.MarkChange] = [:]

    /// What a register holds of the packet.
    func value(in register: UInt32) -> ForeignValue? { values[Self.normalized(register)] }

    /// What the mark becomes if it is set from a register.
    func mark(in register: UInt32) -> ForeignRuleset.MarkChange? { marks[Self.normalized(register)] }

    /// A field of the packet is loaded, or something that is not known.
    mutating func load(_ field: ForeignValue.Field?, into register: UInt32) {
        let register = Self.normalized(register)
        values[register] = field.map { ForeignValue(field: $0, mask: nil) }
        marks[register] = nil
        if case .mark? = field { marks[register] = .init(keep: .max, flip: 0) }
    }

    /// A value that is written in the rule is loaded.
    mutating func load(constant: [UInt8]?, into register: UInt32) {
        load(nil, into: register)
        if let value = constant?.native32 {
            marks[Self.normalized(register)] = .init(keep: 0, flip: value)
        }
    }

    /// A register is set to some bits of another, of which some are flipped.
    ///
    /// - Parameter mask: the bits that are kept; absent if it is another operation that takes place.
    mutating func mask(
        from source: UInt32, into target: UInt32, keeping mask: [UInt8]?, flipping flip: [UInt8]
    ) {
        let source = Self.normalized(source)
        let target = Self.normalized(target)
        let (value, mark) = (values[source], marks[source])
        values[target] = nil
        marks[target] = nil
        guard let mask else { return }
        if let mark, let mask = mask.native32, let flip = flip.native32 {
            marks[target] = .init(keep: mark.keep & mask, flip: mark.flip & mask ^ flip)
        }
        if var value, value.mask == nil, flip.allSatisfy({ $0 == 0 }) {
            value.mask = mask
            values[target] = value
        }
    }

    /// The mark changed: what registers hold of it is the old one's.
    mutating func forgetMark() {
        values = values.filter { if case .mark = $0.value.field { false } else { true } }
        marks = [:]
    }

    /// Registers 1 to 4 are of 16 bytes, and the same as every fourth of those that are of four (`NFT_REG32_00` = 8).
    private static func normalized(_ register: UInt32) -> UInt32 {
        (1...4).contains(register) ? 8 + (register - 1) * 4 : register
    }
}
