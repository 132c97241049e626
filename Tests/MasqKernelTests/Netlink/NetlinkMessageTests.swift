// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Testing

@testable import MasqKernel

/// Bytes as messages and attributes; what lies about its length must not be believed.
@Suite struct NetlinkMessageTests {
    @Test("Messages follow each other at multiples of four bytes")
    func messages() {
        // Length 17, type 0x0102, flags 3, sequence 4, port 5, one byte of payload and its padding; then a second.
        let first: [UInt8] = [17, 0, 0, 0, 2, 1, 3, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0xaa, 0, 0, 0]
        let second: [UInt8] = [16, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]
        (first + second).withUnsafeBytes { bytes in
            let messages = Array(NetlinkMessages(bytes))
            #expect(messages.map(\.type) == [0x0102, 9])
            #expect(messages.map(\.flags) == [3, 0])
            #expect(messages.map(\.sequence) == [4, 8])
            #expect(messages[0].portID == 5)
            #expect(Array(messages[0].payload) == [0xaa])
        }
    }

    @Test(
        "A message that is cut short, or lies about its length, ends the list",
        arguments: [0, 3, 15, 17, 255] as [UInt8])
    func cutShort(length: UInt8) {
        let bytes: [UInt8] = [length, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]
        bytes.withUnsafeBytes { #expect(Array(NetlinkMessages($0)).isEmpty) }
        bytes.dropLast(2).withUnsafeBytes { #expect(Array(NetlinkMessages($0)).isEmpty) }
    }

    @Test("An error has a code, an acknowledgement 0, anything else nothing")
    func errors() {
        let codes: [(type: UInt8, payload: [UInt8], code: CInt?)] = [
            (2, [0xfe, 0xff, 0xff, 0xff], ENOENT), (2, [0, 0, 0, 0], 0), (2, [0xfe, 0xff], nil),
            (3, [0, 0, 0, 0], nil),
        ]
        for (type, payload, code) in codes {
            let bytes =
                [UInt8(16 + payload.count), 0, 0, 0, type] + [UInt8](repeating: 0, count: 11) + payload
            bytes.withUnsafeBytes { #expect(Array(NetlinkMessages($0)).map(\.errorCode) == [code]) }
        }
    }

    @Test("Attributes are read up to the first that does not fit")
    func attributes() {
        // A nested one (0x8003) of the text "ab"; one of network order (0x4004); a number; one that is too long.
        let bytes: [UInt8] = [
            7, 0, 3, 0x80, 0x61, 0x62, 0, 0, 8, 0, 4, 0x40, 0, 0, 1, 2, 8, 0, 5, 0, 1, 2, 0, 0, 9, 0, 6, 0, 1,
            2, 3, 4,
        ]
        bytes.withUnsafeBytes { bytes in
            let attributes = Array(Attributes(bytes))
            #expect(attributes.map(\.type) == [3, 4, 5])
            #expect(attributes[0].string == "ab")
            #expect(attributes[1].bigEndian32 == 0x0102)
            #expect(attributes[2].native32 == 0x0201)
            #expect(attributes[0].bigEndian32 == 0 && attributes[0].native32 == 0)
        }
        ([3, 0, 1, 0] as [UInt8]).withUnsafeBytes { #expect(Array(Attributes($0)).isEmpty) }
        ([4, 0, 1] as [UInt8]).withUnsafeBytes { #expect(Array(Attributes($0)).isEmpty) }
    }
}
