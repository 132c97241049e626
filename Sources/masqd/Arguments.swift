// SPDX-License-Identifier: GPL-3.0-or-later

/// What the command line asks for.
struct Arguments {
    /// What to do.
    enum Mode: Equatable {
        /// Serve until a signal ends it.
        case run
        /// Read the configuration and say what is wrong with it.
        case check
        /// Print the ruleset in nft's syntax.
        case print
        /// Look at everything that a packet meets, and say what is wrong and what to type.
        case doctor
        case version
        case help
    }

    /// Where the configuration comes from.
    enum Source: Equatable {
        case file(String)
        /// `--out-interface` and `--source`.
        case commandLine(outInterfaces: [String], sources: [String])
    }

    /// A command line that can't be understood; the message is for people.
    struct Misuse: Error, Equatable {
        let message: String
    }

    static let defaultPath = "/etc/masqd.toml"

    private(set) var mode = Mode.run
    private(set) var source = Source.file(defaultPath)

    /// Reads the arguments behind the program's name.
    init(_ words: [String]) throws(Misuse) {
        var path: String?
        var outInterfaces: [String] = []
        var sources: [String] = []
        var rest = words[...]

        while let word = rest.popFirst() {
            let equals = word.hasPrefix("--") ? word.firstIndex(of: "=") : nil
            var attached = equals.map { String(word[word.index(after: $0)...]) }
            let option = String(word[..<(equals ?? word.endIndex)])

            func value() throws(Misuse) -> String {
                defer { attached = nil }
                guard let value = attached ?? rest.popFirst(), !value.isEmpty else {
                    throw Misuse(message: "\(option) needs a value")
                }
                return value
            }
            func setPath(_ new: String) throws(Misuse) {
                guard path == nil else {
                    throw Misuse(message: "more than one configuration file: \"\(new)\"")
                }
                path = new
            }

            switch option {
            case "--config", "-c": try setPath(value())
            case "--out-interface", "-o": outInterfaces.append(try value())
            case "--source", "-s": sources.append(try value())
            case "--check", "--print", "--doctor":
                try setMode(option == "--check" ? .check : option == "--print" ? .print : .doctor)
                if attached != nil { try setPath(value()) }
            case "--version", "-V": try setMode(.version)
            case "--help", "-h": try setMode(.help)
            default:
                guard !option.hasPrefix("-"), [.check, .print, .doctor].contains(mode) else {
                    throw Misuse(message: "unknown argument \"\(word)\"")
                }
                try setPath(word)
            }
            guard attached == nil else { throw Misuse(message: "\(option) takes no value") }
        }

        if outInterfaces.isEmpty && sources.isEmpty {
            source = .file(path ?? Self.defaultPath)
        } else {
            guard path == nil else {
                throw Misuse(message: "--out-interface and --source are in place of a file, not beside one")
            }
            guard !sources.isEmpty else {
                throw Misuse(message: "--out-interface needs a --source beside it")
            }
            guard !outInterfaces.isEmpty else {
                throw Misuse(message: "--source needs an --out-interface beside it")
            }
            source = .commandLine(outInterfaces: outInterfaces, sources: sources)
        }
    }

    private mutating func setMode(_ new: Mode) throws(Misuse) {
        guard mode == .run || mode == new else { throw Misuse(message: "only one of --check, --print, …") }
        mode = new
    }

    /// The text of `--help`.
    static let help = """
        Usage: masqd [--config FILE]
               masqd --out-interface NAME --source NETWORK
               masqd --check [FILE] | --print [FILE] | --doctor [FILE]
               masqd --version | --help

        Shares an uplink with private networks: masquerades what leaves by it, lets the
        answers back in, and keeps it that way while links come and go.

          -c, --config FILE          the configuration (default: \(defaultPath))
          -o, --out-interface NAME   masquerade without a file: the uplink, "ppp0" or "ppp*"
          -s, --source NETWORK       the network behind it, "192.168.0.0/16"; both may be repeated
              --check [FILE]         say everything that is wrong with a configuration, change nothing
              --print [FILE]         print the ruleset in nft's syntax, change nothing
              --doctor [FILE]        look at all that a packet meets on its way out and back, say what is
                                     wrong and what to type, change nothing; exit status 1 if anything is
          -V, --version              print the version
          -h, --help                 print this

        Signals: HUP reads the configuration again; TERM and INT remove the rules and stop;
        USR1 stops and leaves the rules in force.

        """
}
