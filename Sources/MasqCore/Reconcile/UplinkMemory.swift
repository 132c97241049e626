// SPDX-License-Identifier: GPL-3.0-or-later

/// How the uplinks were found last: many events ask, and few change it.
struct UplinkMemory: Sendable {
    private var known: (configuration: Configuration, links: Links, status: UplinkStatus, summary: String)?

    /// How the uplinks are, and what a status display says of them.
    ///
    /// That the configuration and the links are those that are known is one comparison of pointers each, most often.
    func status(_ configuration: Configuration, _ links: Links) -> (status: UplinkStatus, summary: String) {
        if let known, known.links == links, known.configuration == configuration {
            return (known.status, known.summary)
        }
        let status = UplinkStatus(configuration, links)
        return (status, status.summary)
    }

    /// Looks, and remembers.
    mutating func look(_ configuration: Configuration, _ links: Links) -> UplinkStatus {
        let (status, summary) = status(configuration, links)
        known = (configuration, links, status, summary)
        return status
    }
}
