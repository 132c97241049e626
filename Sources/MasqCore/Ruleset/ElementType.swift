// SPDX-License-Identifier: GPL-3.0-or-later

/// What the elements of a set or map are: the fields of a key and, in a map, those of the data.
public struct ElementType: Hashable, Sendable {
    /// The fields that a key is concatenated of; at least one.
    public let key: [Field]
    /// The fields of a map's data; none in a set.
    public let data: [Field]
    /// Whether a key goes from a first to a last value in each of its fields (`flags interval`).
    public let isInterval: Bool
    /// Whether a map's data goes from a first to a last value, as in `ifname : interval ipv6_addr`; of one field only.
    public let isDataInterval: Bool
    /// Whether each element counts the packets that found it (`counter`).
    public let countsPackets: Bool

    /// Makes a type.
    public init(
        key: [Field], data: [Field] = [], isInterval: Bool = false, isDataInterval: Bool = false,
        countsPackets: Bool = false
    ) {
        self.key = key
        self.data = data
        self.isInterval = isInterval
        self.isDataInterval = isDataInterval
        self.countsPackets = countsPackets
    }

    /// One field of a key or of data; the value is nft's own number for the type (enum datatypes in its datatype.h).
    public enum Field: UInt32, CaseIterable, Sendable {
        case ipv4Address = 7
        case ipv6Address = 8
        /// A transport protocol's IANA number.
        case `protocol` = 12
        /// A port.
        case service = 13
        /// A packet's or connection's mark, in host order.
        case mark = 19
        /// A link's index, in host order.
        case interfaceIndex = 20
        case interfaceName = 41

        /// How many bytes a value has, without the zeros that fill the last of its 32-bit registers.
        public var byteCount: Int {
            switch self {
            case .protocol: 1
            case .service: 2
            case .ipv4Address, .mark, .interfaceIndex: 4
            case .ipv6Address, .interfaceName: 16
            }
        }

        /// How many bytes of registers it takes.
        public var registerBytes: Int { (byteCount + 3) & ~3 }

        /// The type of a family's addresses.
        public static func address(_ family: AddressFamily) -> Field {
            family == .ipv4 ? .ipv4Address : .ipv6Address
        }
    }
}

extension [ElementType.Field] {
    /// The length in bytes: a value alone has no filling, concatenated ones have.
    public var byteCount: Int {
        count == 1 ? self[0].byteCount : reduce(0) { $0 + $1.registerBytes }
    }

    /// nft's number for the concatenation: six bits for each field (`TYPE_BITS` in nft's datatype.h).
    public var typeNumber: UInt32 { reduce(0) { $0 << 6 | $1.rawValue } }

    /// The fields that a number stands for; absent where one of them is unknown here.
    public init?(typeNumber: UInt32) {
        var fields: [ElementType.Field] = []
        var rest = typeNumber
        while rest != 0 {
            guard let field = ElementType.Field(rawValue: rest & 63) else { return nil }
            fields.insert(field, at: 0)
            rest >>= 6
        }
        guard !fields.isEmpty else { return nil }
        self = fields
    }
}

/// A value of one field.
public enum FieldValue: Hashable, Sendable {
    case address(IPAddress)
    case transport(Rule.TransportProtocol)
    case port(UInt16)
    case mark(UInt32)
    case interfaceIndex(Int32)
    case interface(InterfaceName)

    /// Appends the value as the kernel has it in a register, without filling.
    func append(to bytes: inout [UInt8]) {
        switch self {
        case .address(let address):
            for shift in stride(from: address.family.bitCount - 8, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: address.value >> UInt128(shift)))
            }
        case .transport(let transport): bytes.append(transport.rawValue)
        case .port(let port):
            bytes.append(UInt8(port >> 8))
            bytes.append(UInt8(truncatingIfNeeded: port))
        case .mark(let mark): withUnsafeBytes(of: mark) { bytes.append(contentsOf: $0) }
        case .interfaceIndex(let index): withUnsafeBytes(of: index) { bytes.append(contentsOf: $0) }
        case .interface(let name):
            let own = name.bytes
            bytes.append(contentsOf: own)
            bytes.append(
                contentsOf: repeatElement(0, count: ElementType.Field.interfaceName.byteCount - own.count))
        }
    }

    /// Reads a value back from ``ElementType/Field/byteCount`` bytes.
    init(_ field: ElementType.Field, bytes: some Collection<UInt8>) {
        let number = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        switch field {
        case .ipv4Address: self = .address(IPAddress(family: .ipv4, value: number))
        case .ipv6Address: self = .address(IPAddress(family: .ipv6, value: number))
        case .service: self = .port(UInt16(truncatingIfNeeded: number))
        case .mark: self = .mark(UInt32(bigEndian: UInt32(truncatingIfNeeded: number)))
        case .interfaceIndex:
            self = .interfaceIndex(Int32(bitPattern: UInt32(bigEndian: UInt32(truncatingIfNeeded: number))))
        case .protocol:
            // Others than masqd's are in no map of masqd's.
            self = .transport(Rule.TransportProtocol(rawValue: UInt8(truncatingIfNeeded: number)) ?? .tcp)
        case .interfaceName:
            self = .interface(InterfaceName(bytes))
        }
    }

    /// In nft's syntax.
    var text: String {
        switch self {
        case .address(let address): "\(address)"
        case .transport(let transport): transport.text
        case .port(let port): "\(port)"
        case .mark(let mark):
            "0x" + String(repeating: "0", count: mark.leadingZeroBitCount / 4 - (mark == 0 ? 1 : 0))
                + String(mark, radix: 16)
        case .interfaceIndex(let index): "\(index)"
        case .interface(let name): "\"\(name)\""
        }
    }
}
