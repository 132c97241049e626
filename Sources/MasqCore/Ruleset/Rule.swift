// SPDX-License-Identifier: GPL-3.0-or-later

/// One rule: it acts on packets that every match agrees with, in the order written.
public struct Rule: Equatable, Sendable {
    /// What a packet must be; cheap and selective ones first, since the kernel stops at the first that fails.
    public var matches: [Match]
    /// The named counter that counts it, if any.
    public var counter: String?
    /// What happens to the packet.
    public var action: Action
    /// Why the rule is there, with the configuration's line; at most ``Rule/maximumCommentLength`` bytes.
    public var comment: String

    /// The longest comment in bytes; `NFTNL_UDATA_COMMENT_MAXLEN` (128) counts the NUL.
    public static let maximumCommentLength = 127

    /// Makes a rule.
    public init(_ matches: [Match], counter: String? = nil, _ action: Action, comment: String) {
        self.matches = matches
        self.counter = counter
        self.action = action
        self.comment = comment
    }

    /// A test of one property of a packet.
    public enum Match: Equatable, Sendable {
        /// The interface's name: `oifname "ppp0"`, `iifname "ppp*"`.
        case interface(Direction, InterfacePattern)
        /// The interface's name is in a set: `iifname @set`.
        case interfaceIn(Direction, set: String)
        /// The index of the interface that the packet leaves by is in a set: `oif @set`.
        case outputIndexIn(set: String)
        /// It is not: `oif != @set`.
        case outputIndexNotIn(set: String)
        /// The address is in a network: `ip saddr 192.168.0.0/16`.
        case network(AddressSide, IPNetwork)
        /// The address is in a set: `ip saddr @set`.
        case address(AddressFamily, AddressSide, set: String)
        /// The address is of the family, and not in a set: `ip saddr != @set`.
        case addressNot(AddressFamily, AddressSide, set: String)
        /// The source is beyond a limit, which is counted in a recording: `update @set { ip saddr limit rate over … }`.
        case exceeds(ClientLimit, ClientKey, set: String)
        /// The source has no element in a recording: `ip6 saddr & ffff:ffff:ffff:ffff:: != @set`.
        case uncounted(ClientKey, set: String)
        /// Not more often than this, all packets together: `limit rate 10/minute burst 20 packets`.
        case within(Rate)
        /// The names of both interfaces are in a set: `iifname . oifname @set`.
        case interfacePairIn(set: String)
        /// The address, protocol and port are in a set: `ip daddr . meta l4proto . th dport @set`.
        case serviceIn(AddressFamily, AddressSide, set: String)
        /// The family: `meta nfproto ipv4`.
        case family(AddressFamily)
        /// The transport protocol: `meta l4proto tcp`.
        case transport(TransportProtocol)
        /// The destination's port: `tcp dport 21`.
        case destinationPort(TransportProtocol, UInt16)
        /// Any other destination's port than this one: `udp dport != 53`.
        case otherDestinationPort(TransportProtocol, UInt16)
        /// A ping over IPv6: `icmpv6 type echo-request`.
        case echoRequestOverIPv6
        /// The connection's source is translated, in either direction of it: `ct status snat`.
        case sourceTranslated
        /// The same, of a connection that is under way: `ct status & (snat | assured) == (snat | assured)`.
        ///
        /// A TCP connection is assured once its handshake is over, UDP once it went on in both directions for two
        /// seconds (`IPS_ASSURED` in linux/netfilter/nf_conntrack_common.h).
        case sourceTranslatedAssured
        /// The connection's destination is translated: `ct status dnat`.
        case destinationTranslated
        /// A connection's first packet, before it left the machine: `ct status & confirmed == 0`.
        case unconfirmed
        /// A connection that has let a packet out of the machine: `ct status confirmed`.
        case confirmed
        /// The packet answers the connection's originator: `ct direction reply`.
        case replyDirection
        /// The packet goes the way of the connection's first one: `ct direction original`.
        case originalDirection
        /// Some bits of the connection's mark have a value: `ct mark & mask == value`.
        case connectionMark(mask: UInt32, UInt32)
        /// Any of the states: `ct state established,related`.
        case state(ConnectionState)
        /// A TCP segment that begins a connection, or answers one that does: `tcp flags syn`.
        case synchronizes
        /// The packet will be encrypted by an IPsec policy: `rt ipsec exists`.
        case leavesThroughIPsec
        /// The packet came out of an IPsec tunnel: `meta ipsec exists`.
        case cameThroughIPsec
        /// The packet came as it is: `meta ipsec missing`.
        case cameInClear
        /// The source is no address of the interface that it leaves by: `fib saddr . oif type != local`.
        case sourceForeignToOutInterface
        /// The destination is no address of the machine's: `fib daddr type != local`.
        case destinationNotLocal
        /// The way to the source does not lead out of the interface that the packet came in by: `fib saddr . iif oif missing`.
        case sourceBehindOtherInterface
    }

    /// What a rule does.
    public enum Action: Equatable, Sendable {
        /// Lets the packet pass this base chain.
        case accept
        /// Drops it for good.
        case drop
        /// Goes on in another chain, and comes back.
        case jump(String)
        /// Raises an alarm, and goes on: `quota name alarm`.
        case raise(String)
        /// Tells who listens about the packet, in words that begin with the text, and goes on: `log prefix "text" group 5`.
        case log(LogTarget, prefix: String)
        /// Lowers the largest segment size that a SYN announces, and goes on: `tcp option maxseg size set rt mtu`.
        case clampSegmentSize(SegmentSize)
        /// Records the packet's address, and lets it pass this base chain: `update @set { ip saddr } accept`.
        case record(AddressFamily, AddressSide, set: String)
        /// Counts the packet where its address, protocol and port are in a set, and goes on:
        /// `ip daddr . meta l4proto . th dport @set`.
        case count(AddressFamily, AddressSide, set: String)
        /// Sets some bits of the connection's mark, and goes on: `ct mark set ct mark & ~mask | value`.
        case markConnection(mask: UInt32, UInt32)
        /// Sets some bits of the packet's mark, and goes on: `meta mark set meta mark & ~mask | value`.
        case markPacket(mask: UInt32, UInt32)
        /// Lets a helper read the connection, and goes on: `ct helper set "name"`; without effect behind its first packet.
        case help(String)
        /// Sets how long the connection is remembered, and goes on: `ct timeout set "name"`; as above.
        case expire(String)
        /// Lets a flowtable forward the connection from now on: `flow add @name`; goes on where it does not take it.
        case offload(String)
        /// Goes on in the chain that a map holds for the interface: `oifname vmap @map`.
        case dispatch(Direction, map: String)
        /// Goes on in the chain that a map holds for the destination address: `ip daddr vmap @map`.
        case dispatchDestination(AddressFamily, map: String)
        /// Translates the destination to the address and port that a map holds.
        case translateDestination(AddressFamily, ForwardKey, map: String)
        /// Sets bits of the packet's mark, and lets it pass this base chain: `meta mark set meta mark | 0x1000 accept`.
        case mark(UInt32)
        /// Clears bits of the packet's mark, and goes on: `meta mark set meta mark & 0xffffefff`.
        case unmark(UInt32)
        /// Translates the source to the address of the interface that the packet leaves by.
        case masquerade(NATOptions)
        /// Translates the source: `snat ip to 203.0.113.10`, `snat ip prefix to 203.0.113.0/24`.
        case sourceNAT(NATTarget, NATOptions)
        /// Translates an IPv6 source to the same host in the network that a map holds for the interface that the packet
        /// leaves by; goes on where it holds none.
        case sourceNATByInterface(map: String)
        /// Translates the destination: `dnat ip prefix to 192.168.1.0/24`.
        case destinationNAT(NATTarget)
    }

    /// What the maximum segment size option is lowered to; the kernel never raises it (`nft_exthdr_tcp_set_eval`).
    public enum SegmentSize: Equatable, Sendable {
        /// What fits the narrower one of the routes to both ends (`get_tcpmss` in net/netfilter/nft_rt.c).
        case pathMTU
        /// This many bytes.
        case fixed(UInt16)
    }

    /// A limit for each source.
    public enum ClientLimit: Equatable, Sendable {
        /// `ct count over 100`: connections at once.
        case connections(UInt32)
        /// `limit rate over 50/second burst 100 packets`: connections in a time.
        case newConnections(Rate)
    }

    /// What the connections of a limit are counted by: the source's address, or its network.
    public struct ClientKey: Hashable, Sendable {
        /// The source's family.
        public let family: AddressFamily
        /// How many bits of the source tell clients apart; all of them: each address is a client of its own.
        public let prefixLength: Int

        /// Counts by networks of this prefix length.
        public init(_ family: AddressFamily, prefixLength: Int) {
            self.family = family
            self.prefixLength = prefixLength
        }

        /// The bits that tell clients apart, as an address; absent where they are all of them.
        public var mask: IPAddress? {
            guard prefixLength < family.bitCount else { return nil }
            let all = IPAddress(family: family, value: family.maximum)
            return IPNetwork(containing: all, prefixLength: prefixLength).address
        }
    }

    /// Who is told what is logged.
    public enum LogTarget: Equatable, Sendable {
        /// The kernel's own log, at level "warning".
        case kernel
        /// Who listens to a group of nfnetlink_log, such as ulogd; otherwise nobody.
        case group(UInt16)
    }

    /// The longest text before what is logged, in bytes; `NF_LOG_PREFIXLEN` (128) counts the NUL.
    public static let maximumLogPrefixLength = 127

    /// What a forwarded connection is looked up by.
    public enum ForwardKey: Equatable, Sendable {
        /// `meta l4proto . th dport`
        case port
        /// `ip saddr . tcp dport`
        case sourceAndPort(TransportProtocol)
    }

    /// Which of a packet's two interfaces.
    public enum Direction: Sendable {
        /// Where it came from (`iifname`).
        case input
        /// Where it came from, if that is in a VRF: at hook forward `iifname` is the VRF's own name then (`meta sdifname`,
        /// which only the hooks forward and input know).
        case inputInVRF
        /// Where it goes (`oifname`).
        case output
    }

    /// Which of a packet's two addresses.
    public enum AddressSide: Sendable {
        case source
        case destination
    }

    /// A transport protocol whose connections have ports, or the like, that masquerading may change.
    ///
    /// The value is the protocol's IANA number (`IPPROTO_*` in linux/in.h and linux/in6.h).
    public enum TransportProtocol: UInt8, Sendable {
        case icmp = 1
        case tcp = 6
        case udp = 17
        case icmpv6 = 58
        case sctp = 132
    }

    /// Connection tracking's states, as bits.
    ///
    /// Source: `NF_CT_STATE_BIT` and `NF_CT_STATE_UNTRACKED_BIT` in linux/netfilter/nf_conntrack_common.h.
    public struct ConnectionState: OptionSet, Sendable {
        /// The bits as the kernel has them.
        public let rawValue: UInt32

        /// Makes a set of states of the kernel's bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// The packet fits no connection and can't begin one.
        public static let invalid = ConnectionState(rawValue: 1)
        /// The connection has seen packets in both directions.
        public static let established = ConnectionState(rawValue: 2)
        /// The packet belongs to another connection, such as an ICMP error.
        public static let related = ConnectionState(rawValue: 4)
        /// The packet begins a connection, or repeats what began one that has no answer yet.
        public static let new = ConnectionState(rawValue: 8)
        /// A rule exempted the packet from connection tracking.
        public static let untracked = ConnectionState(rawValue: 64)
    }
}
