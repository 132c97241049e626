// SPDX-License-Identifier: GPL-3.0-or-later

/// The users that there are here.
public enum Users {
    /// Whether there is anybody but root: inside of `unshare --map-root-user` nobody else has a number.
    public static let haveOthers: Bool = {
        guard let map = try? read("/proc/self/uid_map") else { return false }
        // Each line: the first number here, the first one outside, how many.
        let counts = map.split(separator: "\n").compactMap {
            $0.split(separator: " ").last.flatMap { Int($0) }
        }
        return counts.reduce(0, +) > 2000
    }()
}
