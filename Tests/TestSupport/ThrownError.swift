// SPDX-License-Identifier: GPL-3.0-or-later

/// The error of this type that the body throws; nil where it throws none or another.
///
/// `#expect(throws:)` returns it from Swift 6.1 on; drop this when that is the floor.
public func thrownError<Thrown: Error>(_ type: Thrown.Type, _ body: () throws -> Void) -> Thrown? {
    do {
        try body()
        return nil
    } catch {
        return error as? Thrown
    }
}
