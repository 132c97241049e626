// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

@testable import MasqKernel

extension FuzzTarget {
    func conntrackBreach(in bytes: UnsafeRawBufferPointer) -> String? {
        let judge = FlowJudge(FuzzScene.configuration, FuzzScene.links)
        for message in NetlinkMessages(bytes) {
            guard let entry = FlowObject(parsing: message), let flow = entry.flow else { continue }
            guard judge.isSuspicious(flow) else { continue }
            _ = judge.fault(of: flow, leavingBy: 3)
            guard flow.source.family == flow.translatedSource.family else {
                return "a flow is translated from one family to another"
            }
        }
        return nil
    }
}
