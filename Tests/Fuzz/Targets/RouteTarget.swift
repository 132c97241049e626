// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

@testable import MasqKernel

extension FuzzTarget {
    func routeBreach(in bytes: UnsafeRawBufferPointer) -> String? {
        var links = Links()
        for message in NetlinkMessages(bytes) {
            _ = message.errorCode
            _ = RouteMonitor.Bells(message)
            _ = RouteAnswer(message)
            _ = PolicyRule(message)
            _ = PolicyRules.ServiceRoute(message)
            switch Int(message.type) {
            case RTM_NEWLINK: links.read(link: message)
            case RTM_NEWADDR: links.read(address: message)
            default: break
            }
        }
        _ = ForeignAudit(FuzzScene.configuration, links)
        _ = FlowJudge(FuzzScene.configuration, links)
        return links.byIndex.allSatisfy { $0.key == $0.value.index } ? nil : "a link is under another's index"
    }
}
