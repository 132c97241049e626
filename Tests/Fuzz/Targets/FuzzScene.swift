// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// The gateway that the messages are about, as the captures of record-corpus.py have it.
enum FuzzScene {
    /// The how-to's network, with a network of IPv6 and a second uplink by glob.
    static let configuration: Configuration = {
        let text = """
            [[masquerade]]
            out_interface = ["ppp0", "wan*"]
            source = ["192.168.0.0/16", "fd00::/8"]
            exclude = "10.8.0.0/16"

            [forward]
            foreign_drop = "open"
            """
        guard let configuration = Configuration.read(text.utf8.span, from: "a.toml").configuration else {
            preconditionFailure("the scene's configuration is wrong")
        }
        return configuration
    }()

    /// Its links, where the messages themselves bring none.
    static let links = Links([
        Link(index: 2, name: "lan0", isUp: true, addresses: [address(192, 168, 1, 1)]),
        Link(index: 3, name: "ppp0", isUp: true, addresses: [address(203, 0, 113, 7)]),
    ])

    private static func address(_ bytes: UInt8...) -> IPAddress {
        guard let address = IPAddress(networkOrder: bytes) else {
            preconditionFailure("an address of IPv4 has four bytes")
        }
        return address
    }
}
