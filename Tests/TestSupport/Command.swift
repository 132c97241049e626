// SPDX-License-Identifier: GPL-3.0-or-later

import CTestSupport
import Glibc

/// A program and its arguments, to run in a network namespace.
public struct Command: CustomStringConvertible {
    private let program: String
    private let arguments: [String]
    private let environment: [String: String]

    /// A program found in PATH or the system's administration folders, or given by its path.
    public init(_ program: String, _ arguments: String...) { self.init(program, arguments) }

    /// The same; `environment` is added to this process's own, which it overrides.
    public init(_ program: String, _ arguments: [String], environment: [String: String] = [:]) {
        self.program = program
        self.arguments = arguments
        self.environment = environment
    }

    /// The words as a person would type them.
    public var description: String { ([program] + arguments).joined(separator: " ") }

    /// What a program left when it ended.
    public struct Output {
        let command: String
        /// The exit status, or the number of the signal that ended the program plus 128, as a shell tells it.
        public let status: CInt
        /// Everything written to descriptor 1.
        public let standardOutput: String
        /// Everything written to descriptor 2.
        public let standardError: String

        /// Throws what the program wrote unless it exited with 0.
        @discardableResult
        public func expectSuccess() throws -> Output {
            guard status == 0 else {
                throw Failure("`\(command)` exited with \(status): \(standardOutput)\(standardError)")
            }
            return self
        }
    }

    /// Runs the program to its end and collects what it writes; throws, and kills it, after `limit`.
    public func run(
        in namespace: NetworkNamespace? = nil, input: String = "", limit: Duration = .seconds(20)
    ) throws -> Output {
        let child = try start(in: namespace, input: input)
        let status = try child.waitForExit(limit: limit)
        return Output(
            command: description, status: status, standardOutput: try child.standardOutput,
            standardError: try child.standardError)
    }

    /// Starts the program in the background; it is killed with the `ChildProcess` or this process.
    public func start(in namespace: NetworkNamespace? = nil, input: String = "") throws -> ChildProcess {
        // Files in memory instead of pipes: nobody has to read them for the program to go on.
        let files = try (0..<3).map { _ in try memoryFile() }
        defer { files.forEach { close($0) } }
        try check(write(files[0], input, input.utf8.count), "input of \(program)")
        lseek(files[0], 0, SEEK_SET)

        let path = try Self.find(program)
        let pid: pid_t = withCStrings([path] + arguments) { arguments in
            withCStrings(Self.environment(with: environment)) { environment in
                var request = CTestSupport_Program()
                request.path = UnsafePointer(arguments[0])
                request.arguments = arguments
                request.environment = environment
                request.network = namespace?.enteringDescriptor ?? -1
                request.descriptors = (files[0], files[1], files[2])
                return CTestSupport_spawn(&request)
            }
        }
        guard pid > 0 else { throw Failure("cannot start \(self)", code: -pid) }
        return try ChildProcess(pid: pid, name: description, output: files[1], error: files[2])
    }

    /// A file in memory whose descriptor is above 2, as the spawning side needs it.
    private func memoryFile() throws -> CInt {
        let file = try check(CTestSupport_memoryFile(program), "memfd_create")
        guard file < 3 else { return file }
        defer { close(file) }
        return try check(fcntl(file, F_DUPFD_CLOEXEC, 3), "fcntl")
    }

    private static func find(_ program: String) throws -> String {
        guard !program.contains("/") else { return program }
        for folder in Self.path.split(separator: ":") where access("\(folder)/\(program)", X_OK) == 0 {
            return "\(folder)/\(program)"
        }
        throw Failure("\(program) is not installed: `make deps` installs what the tests need")
    }

    /// Debian leaves the administration folders out of a plain user's PATH.
    private static let path =
        (getenv("PATH").map { String(cString: $0) + ":" } ?? "") + "/usr/sbin:/sbin:/usr/bin:/bin"

    private static func environment(with additions: [String: String]) -> [String] {
        let additions = additions.merging(["PATH": path]) { given, _ in given }
        var entries = additions.map { "\($0.key)=\($0.value)" }
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if additions[String(text.prefix { $0 != "=" })] == nil { entries.append(text) }
            next += 1
        }
        return entries
    }
}

/// Calls `body` with what execve(2) takes: an array of C strings with a null pointer behind the last.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() { (pointers + index).initialize(to: strdup(string)) }
    (pointers + strings.count).initialize(to: nil)
    defer {
        for index in strings.indices { free(pointers[index]) }
        pointers.deallocate()
    }
    return body(UnsafePointer(pointers))
}
