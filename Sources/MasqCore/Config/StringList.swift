// SPDX-License-Identifier: GPL-3.0-or-later

/// Strings from a file's value or from the command line, each with its place.
///
/// A file's strings are not copied: there may be 100 000 of them.
struct StringList {
    private enum Storage {
        case toml(TomlValue, path: String)
        case option(name: String, arguments: [String])
    }

    private let storage: Storage

    /// The items of a file's value.
    init(value: TomlValue, path: String) {
        storage = .toml(value, path: path)
    }

    /// The arguments of an option.
    init(option name: String, arguments: [String]) {
        storage = .option(name: name, arguments: arguments)
    }

    var count: Int {
        switch storage {
        case .toml(let value, _): value.itemCount
        case .option(_, let arguments): arguments.count
        }
    }

    /// Where the whole list is.
    var place: Place {
        switch storage {
        case .toml(let value, let path): Place(origin: path, position: value.position)
        case .option(let name, _): Place(origin: name, position: nil)
        }
    }

    /// Where one string is.
    func place(of index: Int) -> Place {
        switch storage {
        case .toml(let value, let path): Place(origin: path, position: value.item(index).position)
        case .option(let name, _): Place(origin: name, position: nil)
        }
    }

    /// One string; nothing if the file has another type there.
    func string(at index: Int) -> String? {
        switch storage {
        case .toml(let value, _): value.item(index).string
        case .option(_, let arguments): arguments[index]
        }
    }

    /// Lends out one string's UTF-8; nothing if the file has another type there.
    func withBytes<Result>(at index: Int, _ body: (Span<UInt8>) -> Result) -> Result? {
        switch storage {
        case .toml(let value, _): value.item(index).withBytes(body)
        case .option(_, let arguments): body(arguments[index].utf8.span)
        }
    }
}
