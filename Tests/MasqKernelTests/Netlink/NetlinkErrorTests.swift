// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import Testing

@testable import MasqKernel

/// What a person reads.
@Suite struct NetlinkErrorTests {
    @Test(
        "An error is one sentence: what failed, on what, why, and what helps",
        arguments: [
            (
                NetlinkError(.open, code: EPROTONOSUPPORT, object: "nf_tables"),
                "can't open a netlink socket for nf_tables: Protocol not supported (this kernel has no nfnetlink: modprobe nfnetlink)"
            ),
            (
                NetlinkError(.open, code: EMFILE, object: "rtnetlink"),
                "can't open a netlink socket for rtnetlink: Too many open files"
            ),
            (
                NetlinkError(.bind, code: EPERM, object: "rtnetlink events, group 1"),
                "can't bind the netlink socket for rtnetlink events, group 1: Operation not permitted (CAP_NET_ADMIN is needed: run as root, or through the systemd unit)"
            ),
            (
                NetlinkError(.dump, code: EPERM, object: "table generation"),
                "can't list table generation: Operation not permitted (CAP_NET_ADMIN is needed: run as root, or through the systemd unit)"
            ),
            (
                NetlinkError(.dump, code: EINVAL, object: "table inet masqd"),
                "can't list table inet masqd: Invalid argument (this kernel has no nf_tables: modprobe nf_tables)"
            ),
            (
                NetlinkError(.commit, code: EOPNOTSUPP, object: "table inet masqd"),
                "the kernel refused table inet masqd: Operation not supported (this kernel has no nf_tables: modprobe nf_tables)"
            ),
            (
                NetlinkError(.commit, code: ENOENT, object: "chain postrouting"),
                "the kernel refused chain postrouting: No such file or directory (this kernel has no nat chains: modprobe nft_chain_nat)"
            ),
            (
                NetlinkError(.commit, code: ENOENT, object: "a rule of chain translate_ppp0"),
                "the kernel refused a rule of chain translate_ppp0: No such file or directory (this kernel can't masquerade: modprobe nft_masq)"
            ),
            (
                NetlinkError(.commit, code: ENOENT, object: "a rule of chain output"),
                "the kernel refused a rule of chain output: No such file or directory (this kernel lacks an expression of the rule: modprobe -a nft_fib_inet nft_ct)"
            ),
            (
                NetlinkError(.commit, code: ENOENT, object: "a rule of chain guard"),
                "the kernel refused a rule of chain guard: No such file or directory (this kernel lacks an expression of the rule: modprobe nft_ct)"
            ),
            (
                NetlinkError(.commit, code: EEXIST, object: "set masquerade_1_source"),
                "the kernel refused set masquerade_1_source: File exists"
            ),
            (
                NetlinkError(.send, code: EMSGSIZE, object: "a batch of 9000000 bytes"),
                "can't send to the kernel: a batch of 9000000 bytes: Message too long (larger than net.core.wmem_max allows here; as root outside of a user namespace there is no such limit)"
            ),
            (
                NetlinkError(.receive, code: EAGAIN, object: "nf_tables"),
                "no answer from the kernel: nf_tables: Resource temporarily unavailable"
            ),
        ])
    func describes(error: NetlinkError, sentence: String) { #expect("\(error)" == sentence) }

    @Test(
        "Another attempt is made only where somebody came between",
        arguments: [
            (85 as CInt, true), (EINTR, true), (ENOBUFS, true), (EAGAIN, true), (ENOENT, false),
            (EPERM, false),
            (EEXIST, false), (EMSGSIZE, false), (EBUSY, false),
        ])
    func isTransient(code: CInt, isTransient: Bool) {
        #expect(NetlinkError(.commit, code: code, object: "the batch").isTransient == isTransient)
    }

    @Test(
        "The reconciler is told what kind of failure it was",
        arguments: [
            (EPERM, CommitFailure.Kind.notPermitted), (EACCES, .notPermitted), (EOPNOTSUPP, .unsupported),
            (EPROTONOSUPPORT, .unsupported), (ENOENT, .unsupported), (EBUSY, .other), (ENOMEM, .other),
        ])
    func kind(code: CInt, kind: CommitFailure.Kind) {
        let failure = NetlinkError(.commit, code: code, object: "chain forward").commitFailure
        #expect(failure.kind == kind)
        #expect(failure.reason.hasPrefix("the kernel refused chain forward: "))
    }

    @Test("A link of a flowtable's that is not there any more is no lack of the kernel's")
    func outdated() {
        let error = NetlinkError(.commit, code: ENOENT, object: "devices ppp0 of flowtable fastpath")
        #expect(error.commitFailure.kind == .outdated)
    }

    @Test("What is not there to be listed is nothing that the kernel lacks")
    func listing() {
        #expect(NetlinkError(.dump, code: ENOENT, object: "sets").commitFailure.kind == .other)
    }
}
