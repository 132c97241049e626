// SPDX-License-Identifier: GPL-3.0-or-later

// The standard library has Span from Swift 6.2 on; drop this file when that is the floor.
#if compiler(<6.2)
    /// As much of the standard library's span as masqd uses, for older compilers.
    ///
    /// A newer compiler checks that no span outlives the bytes that it shows. This compiler can't check that, so this span
    /// holds a copy of them. Both check every index.
    public struct Span<Element> {
        private let elements: ArraySlice<Element>

        fileprivate init(_ elements: ArraySlice<Element>) {
            self.elements = elements
        }

        /// The number of elements.
        public var count: Int { elements.count }

        /// The indices of all elements; the first is 0.
        public var indices: Range<Int> { 0..<count }

        /// One element; the index must be one of ``indices``.
        public subscript(index: Int) -> Element { elements[elements.startIndex + index] }

        /// A part of the span; the range must be within ``indices``.
        public func extracting(_ range: Range<Int>) -> Span {
            let start = elements.startIndex
            return Span(elements[(start + range.lowerBound)..<(start + range.upperBound)])
        }

        /// Lends out the elements as an array of C.
        public func withUnsafeBufferPointer<Result>(_ body: (UnsafeBufferPointer<Element>) -> Result)
            -> Result
        {
            elements.withUnsafeBufferPointer(body)
        }
    }

    extension UnsafeBufferPointer {
        /// The elements, copied.
        public var span: Span<Element> { Span(Array(self)[...]) }
    }

    extension Array {
        /// The elements.
        public var span: Span<Element> { Span(self[...]) }
    }

    extension String.UTF8View {
        /// The UTF-8 code units, copied.
        public var span: Span<UInt8> { Span(Array(self)[...]) }
    }
#endif
