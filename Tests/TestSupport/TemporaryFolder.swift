// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A folder of its own below TMPDIR or /tmp; its files, which must be plain, go with it.
public final class TemporaryFolder {
    /// Where it is.
    public let path: String

    /// Makes the folder.
    public init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/masqd-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp in \(parent)", code: errno) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        guard let folder = opendir(path) else { return }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            unlink("\(path)/\(name)")
        }
        closedir(folder)
        rmdir(path)
    }

    /// Writes a file beside the old one and puts it in its place, as editors do.
    public func write(_ text: String, to name: String) throws {
        let temporary = "\(path)/\(name).new"
        let file = try check(open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644), temporary)
        defer { close(file) }
        let written = try check(Glibc.write(file, text, text.utf8.count), temporary)
        guard written == text.utf8.count else { throw Failure("\(temporary): short write") }
        try check(rename(temporary, "\(path)/\(name)"), name)
    }
}
