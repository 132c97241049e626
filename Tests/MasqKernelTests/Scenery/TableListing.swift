// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport

/// What `nft` lists of a table, taken apart so that the order of creation does not count.
struct TableListing: Equatable {
    /// The lines of each counter, set, map and chain by its first line; elements one a line and sorted.
    private(set) var objects: [String: [String]] = [:]
    /// Handles by object, and for a rule by chain and text.
    private(set) var handles: [String: Int] = [:]

    static func == (left: TableListing, right: TableListing) -> Bool { left.objects == right.objects }

    /// Lists `inet masqd`, or another table.
    init(of table: String = "inet masqd", in namespace: NetworkNamespace) throws {
        let arguments = ["-a", "list", "table"] + table.split(separator: " ").map(String.init)
        let text = try Command("nft", arguments).run(in: namespace).expectSuccess().standardOutput
        var head = ""
        for line in text.split(separator: "\n") {
            let (line, handle) = Self.split(line)
            let depth = line.prefix { $0 == "\t" }.count
            let content = String(line.dropFirst(depth))
            if depth < 2, content.hasSuffix("{") {
                head = content
                objects[head] = []
                handles[head] = handle
            } else if content != "}", !content.isEmpty {
                objects[head, default: []] += Self.elements(content) ?? [content]
                handles["\(head) \(content)"] = handle
            }
        }
        for (head, lines) in objects where !head.hasPrefix("chain") { objects[head] = lines.sorted() }
    }

    /// The handles of everything in these objects: of the chains' rules too.
    func handles(whereHead isMeant: (String) -> Bool) -> [String: Int] {
        handles.filter { key, _ in objects.keys.contains { isMeant($0) && key.hasPrefix($0) } }
    }

    /// The same without the values of those counters that the caller means.
    func withoutValues(whereHead isMeant: (String) -> Bool) -> TableListing {
        var listing = self
        for head in objects.keys where head.hasPrefix("counter") && isMeant(head) {
            listing.objects[head] = []
        }
        return listing
    }

    /// The table's own handle.
    var tableHandle: Int? { handles.first { $0.key.hasPrefix("table") }?.value }

    private static func split(_ line: Substring) -> (Substring, Int?) {
        guard let mark = line.range(ofLast: " # handle ") else { return (line, nil) }
        return (line[..<mark.lowerBound], Int(line[mark.upperBound...]))
    }

    /// One for each element of a set's `elements = { …`, which may go on in further lines.
    private static func elements(_ content: String) -> [String]? {
        guard content.hasPrefix("elements = {") || content.hasPrefix(" ") else { return nil }
        let inside = content.drop { $0 == " " }
        let list = inside.hasPrefix("elements = {") ? inside.dropFirst("elements = {".count) : inside
        return list.split(separator: ", ").map { element in
            String(element.drop { $0 == " " }.prefixWithout(" }").prefixWithout(","))
        }
    }
}

extension Substring {
    /// Where a mark stands for the last time.
    fileprivate func range(ofLast mark: String) -> Range<Index>? {
        var start = endIndex
        while start > startIndex {
            start = index(before: start)
            if self[start...].hasPrefix(mark) { return start..<index(start, offsetBy: mark.count) }
        }
        return nil
    }

    fileprivate func prefixWithout(_ end: String) -> Substring { hasSuffix(end) ? dropLast(end.count) : self }
}
