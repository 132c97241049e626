// SPDX-License-Identifier: GPL-3.0-or-later

/// What a rule may say about an interface: its whole name, or how its name begins.
public enum InterfacePattern: Hashable, Sendable {
    /// A name of 1 to 15 bytes.
    case name(InterfaceName)
    /// A beginning of 1 to 14 bytes, written with an asterisk behind it.
    case prefix(InterfaceName)

    /// Whether an interface of this name is meant.
    public func matches(_ name: InterfaceName) -> Bool {
        switch self {
        case .name(let own): own == name
        case .prefix(let prefix): name.hasPrefix(prefix)
        }
    }

    /// The whole name; nothing for the beginning of one.
    public var wholeName: InterfaceName? { if case .name(let name) = self { name } else { nil } }

    /// Whether every interface that the other pattern means is meant by this one too.
    public func covers(_ other: InterfacePattern) -> Bool {
        switch other {
        case .name(let name): matches(name)
        case .prefix(let narrower):
            if case .prefix = self { matches(narrower) } else { false }
        }
    }
}

extension InterfacePattern: CustomStringConvertible {
    /// As written in the configuration: `ppp0` or `ppp*`.
    public var description: String {
        switch self {
        case .name(let name): "\(name)"
        case .prefix(let prefix): "\(prefix)*"
        }
    }
}
