// SPDX-License-Identifier: GPL-3.0-or-later

/// The elements of a set or map in the kernel's own bytes, side by side in one buffer and sorted by key.
///
/// So 50 000 elements are one allocation, and comparing two maps is one pass over both.
public struct PackedElements: Equatable, Sendable {
    /// What each element is.
    public let type: ElementType
    /// For each element its key (with intervals the first and the last one), and its data.
    private let bytes: [UInt8]

    /// Sorts elements; where two have the same key, the one appended first counts.
    public init(_ type: ElementType, _ list: consuming List = List()) {
        self.type = type
        let size = type.elementLength
        precondition(list.bytes.count.isMultiple(of: size))
        bytes = list.bytes.withUnsafeBytes { elements in
            let starts = Array(stride(from: 0, to: elements.count, by: size))
            func order(_ left: Int, _ right: Int) -> Int {
                Self.order(elements[left..<left + type.keyLength], elements[right..<right + type.keyLength])
            }
            if zip(starts, starts.dropFirst()).allSatisfy({ order($0, $1) < 0 }) { return Array(elements) }
            var sorted: [UInt8] = []
            sorted.reserveCapacity(elements.count)
            var previous: Int?
            for start in starts.sorted(by: { (order($0, $1), $0) < (0, $1) }) {
                if let previous, order(previous, start) == 0 { continue }
                sorted.append(contentsOf: elements[start..<start + size])
                previous = start
            }
            return sorted
        }
    }

    /// Elements in any order, on their way to being sorted.
    public struct List: Sendable {
        fileprivate var bytes: [UInt8] = []

        /// An empty list.
        public init() {}

        /// Appends an element; each array has one value for each field of the type.
        ///
        /// - Parameters:
        ///   - last: the key's last values, with intervals.
        ///   - data: a map's data; where that is an interval, both ends.
        public mutating func append(
            _ key: [FieldValue], through last: [FieldValue] = [], data: [FieldValue] = []
        ) {
            append(concatenated: key)
            append(concatenated: last)
            append(concatenated: data)
        }

        /// Appends an element as the kernel tells it: all of its bytes.
        public mutating func append(element: some Collection<UInt8>) { bytes.append(contentsOf: element) }

        private mutating func append(concatenated values: [FieldValue]) {
            for value in values {
                let start = bytes.count
                value.append(to: &bytes)
                guard values.count > 1 else { return }
                while (bytes.count - start) % 4 != 0 { bytes.append(0) }
            }
        }
    }

    /// How many there are.
    public var count: Int { bytes.count / type.elementLength }

    /// Whether there is none.
    public var isEmpty: Bool { bytes.isEmpty }

    /// Hands each element to the caller, in order: its key, the key's last value with intervals, its data.
    public func forEach(_ body: (Element) -> Void) {
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: type.elementLength) {
                body(Element(type: type, bytes: .init(rebasing: bytes[start..<start + type.elementLength])))
            }
        }
    }

    /// One element, in memory that lasts as long as the call it is handed to.
    public struct Element {
        fileprivate let type: ElementType
        fileprivate let bytes: UnsafeRawBufferPointer

        /// The key, or the first key of an interval.
        public var key: UnsafeRawBufferPointer { .init(rebasing: bytes[..<type.key.byteCount]) }
        /// The last key of an interval; empty without intervals.
        public var lastKey: UnsafeRawBufferPointer {
            .init(rebasing: bytes[type.key.byteCount..<type.keyLength])
        }
        /// What a map holds for the key; empty in a set.
        public var data: UnsafeRawBufferPointer { .init(rebasing: bytes[type.keyLength...]) }
    }

    /// The elements that the other does not have with the same data.
    func subtracting(_ other: PackedElements) -> PackedElements {
        guard type == other.type else { return self }
        let size = type.elementLength
        var list = List()
        bytes.withUnsafeBytes { own in
            other.bytes.withUnsafeBytes { others in
                var there = 0
                for start in stride(from: 0, to: own.count, by: size) {
                    let element = own[start..<start + size]
                    while there < others.count, Self.order(others[there..<there + size], element) < 0 {
                        there += size
                    }
                    if there < others.count, Self.order(others[there..<there + size], element) == 0 {
                        continue
                    }
                    list.append(element: element)
                }
            }
        }
        return PackedElements(type, list)
    }

    /// Negative, zero or positive, as `memcmp`.
    private static func order(
        _ left: Slice<UnsafeRawBufferPointer>, _ right: Slice<UnsafeRawBufferPointer>
    ) -> Int {
        for (left, right) in zip(left, right) where left != right { return left < right ? -1 : 1 }
        return 0
    }
}

extension ElementType {
    /// The bytes of a key, or of an interval's two keys.
    public var keyLength: Int { key.byteCount * (isInterval ? 2 : 1) }
    /// The bytes of an element.
    public var elementLength: Int { keyLength + dataLength }
    /// The bytes of a map's data, or of both ends of it.
    public var dataLength: Int { data.byteCount * (isDataInterval ? 2 : 1) }
}
