// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import masqd

@Suite struct ArgumentsTests {
    private let defaultFile = Arguments.Source.file("/etc/masqd.toml")
    private let howTo = Arguments.Source.commandLine(outInterfaces: ["ppp0"], sources: ["192.168.0.0/16"])

    private func expect(
        _ words: String..., mode: Arguments.Mode, source: Arguments.Source,
        location: SourceLocation = #_sourceLocation
    ) throws {
        let arguments = try Arguments(words)
        #expect(arguments.mode == mode, sourceLocation: location)
        #expect(arguments.source == source, sourceLocation: location)
    }

    @Test("Without arguments masqd serves what /etc/masqd.toml says")
    func defaults() throws {
        try expect(mode: .run, source: defaultFile)
    }

    @Test("A value stands behind its option, or behind an equals sign")
    func values() throws {
        try expect("--config", "a.toml", mode: .run, source: .file("a.toml"))
        try expect("--config=a.toml", mode: .run, source: .file("a.toml"))
        try expect("-c", "a.toml", mode: .run, source: .file("a.toml"))
        try expect("--config=a=b", mode: .run, source: .file("a=b"))
        try expect("--config=a=", mode: .run, source: .file("a="))
        try expect("--config", "--strange", mode: .run, source: .file("--strange"))
    }

    @Test("The how-to's one line stands in place of a file, and both its options may be repeated")
    func commandLine() throws {
        try expect("--out-interface", "ppp0", "--source", "192.168.0.0/16", mode: .run, source: howTo)
        try expect("--source=192.168.0.0/16", "--out-interface=ppp0", mode: .run, source: howTo)
        try expect("-o", "ppp0", "-s", "192.168.0.0/16", mode: .run, source: howTo)
        try expect("--check", "-o", "ppp0", "-s", "192.168.0.0/16", mode: .check, source: howTo)
        try expect("-o", "ppp0", "-s", "192.168.0.0/16", "--print", mode: .print, source: howTo)
        try expect(
            "-o", "ppp0", "-s", "10.0.0.0/8", "-o", "ppp1", "-s", "fd00::/8", mode: .run,
            source: .commandLine(outInterfaces: ["ppp0", "ppp1"], sources: ["10.0.0.0/8", "fd00::/8"]))
    }

    @Test("Check, print and doctor take the default file, a file behind them, or that of --config")
    func checkAndPrint() throws {
        try expect("--check", mode: .check, source: defaultFile)
        try expect("--check", "a.toml", mode: .check, source: .file("a.toml"))
        try expect("--check=a.toml", mode: .check, source: .file("a.toml"))
        try expect("--check", "--config", "a.toml", mode: .check, source: .file("a.toml"))
        try expect("--config", "a.toml", "--check", mode: .check, source: .file("a.toml"))
        try expect("--print", mode: .print, source: defaultFile)
        try expect("--print", "a.toml", mode: .print, source: .file("a.toml"))
        try expect("--check", "a=", mode: .check, source: .file("a="))
        try expect("--print=a.toml", mode: .print, source: .file("a.toml"))
        try expect("--doctor", mode: .doctor, source: defaultFile)
        try expect("--doctor", "a.toml", mode: .doctor, source: .file("a.toml"))
        try expect("-o", "ppp0", "-s", "192.168.0.0/16", "--doctor", mode: .doctor, source: howTo)
    }

    @Test("Version and help are modes of their own", arguments: [("--version", "-V"), ("--help", "-h")])
    func versionAndHelp(long: String, short: String) throws {
        let mode = long == "--version" ? Arguments.Mode.version : .help
        #expect(try Arguments([long]).mode == mode)
        #expect(try Arguments([short]).mode == mode)
    }

    @Test(
        "What can't be meant is refused, with the word that is wrong",
        arguments: [
            (["--chek"], "unknown argument \"--chek\""), (["--chek=a"], "unknown argument \"--chek=a\""),
            (["a.toml"], "unknown argument \"a.toml\""), (["-x"], "unknown argument \"-x\""),
            (["--"], "unknown argument \"--\""), ([""], "unknown argument \"\""),
            (["--version", "a"], "unknown argument \"a\""),
            (["--check", "-x"], "unknown argument \"-x\""),
            (["--check="], "--check needs a value"), (["--=a"], "unknown argument \"--=a\""),
            (["--config"], "--config needs a value"), (["--config="], "--config needs a value"),
            (["--config", ""], "--config needs a value"), (["--source"], "--source needs a value"),
            (["-o"], "-o needs a value"),
            (["--version=1"], "--version takes no value"), (["--help="], "--help takes no value"),
            (["--check", "a", "b"], "more than one configuration file: \"b\""),
            (["--check=a", "b"], "more than one configuration file: \"b\""),
            (["-c", "a", "--config=b"], "more than one configuration file: \"b\""),
            (["-c", "a", "--check", "b"], "more than one configuration file: \"b\""),
            (["--check", "--print"], "only one of --check, --print, …"),
            (["--check", "--doctor"], "only one of --check, --print, …"),
            (["--help", "--version"], "only one of --check, --print, …"),
            (["-o", "ppp0"], "--out-interface needs a --source beside it"),
            (["-s", "10.0.0.0/8"], "--source needs an --out-interface beside it"),
            (
                ["-c", "a", "-o", "ppp0", "-s", "10.0.0.0/8"],
                "--out-interface and --source are in place of a file, not beside one"
            ),
        ])
    func misuse(words: [String], message: String) {
        #expect(throws: Arguments.Misuse(message: message)) { try Arguments(words) }
    }

    @Test("The help names every option")
    func help() {
        for option in [
            "--config", "--out-interface", "--source", "--check", "--print", "--doctor", "--version",
            "--help",
        ] {
            #expect(Arguments.help.contains(option))
        }
    }
}
