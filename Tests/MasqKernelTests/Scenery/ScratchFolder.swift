// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport

/// A folder that goes with its files.
final class ScratchFolder {
    let path: String

    init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/masqd-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp", code: errno) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        guard let folder = opendir(path) else { return }
        while let entry = readdir(folder) {
            unlink(
                "\(path)/"
                    + withUnsafeBytes(of: entry.pointee.d_name) {
                        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                    })
        }
        closedir(folder)
        rmdir(path)
    }

    /// Makes a file of so many bytes, which are zeros behind the text.
    func file(_ name: String, _ text: String = "", size: Int? = nil, mode: mode_t = 0o644) throws -> String {
        let path = "\(path)/\(name)"
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode)
        guard file >= 0 else { throw Failure(path, code: errno) }
        defer { close(file) }
        guard write(file, text, text.utf8.count) == text.utf8.count, fchmod(file, mode) == 0,
            ftruncate(file, off_t(size ?? text.utf8.count)) == 0
        else { throw Failure(path, code: errno) }
        return path
    }
}
