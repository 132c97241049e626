// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct PermissionTests {
    @Test("Without CAP_NET_ADMIN the error says what is needed")
    func needsCapability() throws {
        let namespace = try NetworkNamespace()
        let ruleset = try GoldenRuleset.rich.ruleset
        let error = try namespace.run {
            try withoutCapabilities { () -> NetlinkError? in
                do throws(NetlinkError) {
                    var table = try KernelTable()
                    _ = try table.apply(ruleset)
                    return nil
                } catch {
                    return error
                }
            }
        }
        #expect(error?.code == EPERM)
        #expect(error?.commitFailure.kind == .notPermitted)
        let description = try #require(error?.description)
        #expect(description.contains("CAP_NET_ADMIN is needed"))
        #expect(try namespace.nftListing().isEmpty)
    }
}
