// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// The kernel's forwarding switches of the calling thread's network namespace.
public enum Forwarding {
    private static func path(_ family: AddressFamily) -> String {
        family == .ipv4 ? "/proc/sys/net/ipv4/ip_forward" : "/proc/sys/net/ipv6/conf/all/forwarding"
    }

    /// Reads the switches; a family that the kernel does not have is left out.
    ///
    /// - Throws: ``SystemError``.
    public static func read() throws(SystemError) -> [AddressFamily: Bool] {
        var switches: [AddressFamily: Bool] = [:]
        for family in AddressFamily.allCases {
            do throws(SystemError) {
                switches[family] = try read(family)
            } catch  where error.code == ENOENT {
                continue
            }
        }
        return switches
    }

    private static func read(_ family: AddressFamily) throws(SystemError) -> Bool {
        let file = try Descriptor(open(path(family), O_RDONLY | O_CLOEXEC), "open", path(family))
        var byte: UInt8 = 0
        guard Glibc.read(file.number, &byte, 1) == 1 else { throw SystemError("read", path(family)) }
        return byte != UInt8(ascii: "0")
    }

    /// Sets one switch.
    ///
    /// - Throws: ``SystemError``: `EROFS` where /proc/sys is read-only, as in a container.
    public static func set(_ family: AddressFamily, _ isOn: Bool) throws(SystemError) {
        let file = try Descriptor(open(path(family), O_WRONLY | O_CLOEXEC), "open", path(family))
        guard write(file.number, isOn ? "1" : "0", 1) == 1 else { throw SystemError("write", path(family)) }
    }
}
