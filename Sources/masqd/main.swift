// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

/// Ends the process as sysexits.h has it.
func finish(_ status: Action.ExitStatus) -> Never { exit(status.rawValue) }

/// Writes a text whole, or ends the process.
func output(_ text: String, to descriptor: CInt = STDOUT_FILENO) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
            log(.error, "can't write the output: \(String(cString: strerror(errno)))")
            finish(.system)
        }
        rest.removeFirst(count)
    }
}

/// Writes what people read: each line without anything that a terminal would act on.
func outputLines(_ text: String, to descriptor: CInt = STDOUT_FILENO) {
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
        output(String(line).printableLine + "\n", to: descriptor)
    }
}

let log = Log()
let arguments: Arguments
do {
    arguments = try Arguments(Array(CommandLine.arguments.dropFirst()))
} catch {
    log(.error, "\(error.message); see masqd --help")
    finish(.usage)
}

switch arguments.mode {
case .help: output(Arguments.help)
case .version: output("masqd \(version)\n")
case .check:
    _ = arguments.source.readOrFinish()
    output("configuration OK\n")
case .print:
    output(Ruleset.complete(arguments.source.readOrFinish()).text)
case .doctor:
    exit(Doctor(source: arguments.source).run())
case .run:
    // A reader of the log that is gone is no reason to stop.
    signal(SIGPIPE, SIG_IGN)
    // The log may be a file, and somebody may have set a limit (RLIMIT_FSIZE): a line is lost then, and no gateway.
    signal(SIGXFSZ, SIG_IGN)
    do {
        var daemon = try Daemon(arguments.source, log)
        try daemon.run()
    } catch {
        log(.error, "\(error)")
        finish(Action.ExitStatus(error))
    }
}

extension Arguments.Source {
    /// Says everything about the configuration as compilers do, and ends the process if it can't be used.
    func readOrFinish() -> Configuration {
        let reading = read()
        for diagnostic in reading.diagnostics { outputLines("\(diagnostic)", to: STDERR_FILENO) }
        guard let configuration = reading.configuration else { finish(.configuration) }
        return configuration
    }
}

extension Action.ExitStatus {
    /// How the process ends on an error that it can't go on after.
    init(_ error: any Error) {
        switch error {
        case let error as NetlinkError:
            self = error.commitFailure.kind == .notPermitted ? .notPermitted : .unavailable
        case let error as SystemError:
            self = error.code == EPERM || error.code == EACCES ? .notPermitted : .system
        case NamespaceLock.Refusal.held: self = .unavailable
        case NamespaceLock.Refusal.notPermitted: self = .notPermitted
        case NamespaceLock.Refusal.system(let error): self = Action.ExitStatus(error)
        default: self = .system
        }
    }
}
