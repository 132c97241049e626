// SPDX-License-Identifier: GPL-3.0-or-later

/// Other owners' rules as they write them, for `iptables-restore` or `nft -f`.
enum ForeignRules {
    /// Docker up to 27: policy drop, and nothing about anybody else's traffic.
    static let docker = """
        *filter
        :FORWARD DROP [0:0]
        :DOCKER - [0:0]
        :DOCKER-ISOLATION-STAGE-1 - [0:0]
        :DOCKER-ISOLATION-STAGE-2 - [0:0]
        :DOCKER-USER - [0:0]
        -A FORWARD -j DOCKER-USER
        -A FORWARD -j DOCKER-ISOLATION-STAGE-1
        -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A FORWARD -o docker0 -j DOCKER
        -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
        -A FORWARD -i docker0 -o docker0 -j ACCEPT
        -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
        -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
        -A DOCKER-ISOLATION-STAGE-1 -j RETURN
        -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
        -A DOCKER-ISOLATION-STAGE-2 -j RETURN
        -A DOCKER-USER -j RETURN
        COMMIT
        *nat
        :POSTROUTING ACCEPT [0:0]
        -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
        -A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
        COMMIT

        """

    /// Docker from 28 on: the same behind DOCKER-FORWARD.
    static let docker28 = """
        *filter
        :FORWARD DROP [0:0]
        :DOCKER - [0:0]
        :DOCKER-BRIDGE - [0:0]
        :DOCKER-CT - [0:0]
        :DOCKER-FORWARD - [0:0]
        :DOCKER-ISOLATION-STAGE-1 - [0:0]
        :DOCKER-ISOLATION-STAGE-2 - [0:0]
        :DOCKER-USER - [0:0]
        -A FORWARD -j DOCKER-USER
        -A FORWARD -j DOCKER-FORWARD
        -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
        -A DOCKER ! -i docker0 -o docker0 -j DROP
        -A DOCKER-BRIDGE -o docker0 -j DOCKER
        -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A DOCKER-FORWARD -j DOCKER-CT
        -A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
        -A DOCKER-FORWARD -j DOCKER-BRIDGE
        -A DOCKER-FORWARD -i docker0 -j ACCEPT
        -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
        -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
        COMMIT

        """

    /// The forward chains of ufw 0.36.2 as it is enabled first.
    static let ufw = """
        *filter
        :FORWARD DROP [0:0]
        :ufw-after-forward - [0:0]
        :ufw-after-logging-forward - [0:0]
        :ufw-before-forward - [0:0]
        :ufw-before-logging-forward - [0:0]
        :ufw-reject-forward - [0:0]
        :ufw-track-forward - [0:0]
        :ufw-user-forward - [0:0]
        -A FORWARD -j ufw-before-logging-forward
        -A FORWARD -j ufw-before-forward
        -A FORWARD -j ufw-after-forward
        -A FORWARD -j ufw-after-logging-forward
        -A FORWARD -j ufw-reject-forward
        -A FORWARD -j ufw-track-forward
        -A ufw-after-logging-forward -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
        -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        -A ufw-before-forward -p icmp -m icmp --icmp-type 3 -j ACCEPT
        -A ufw-before-forward -p icmp -m icmp --icmp-type 11 -j ACCEPT
        -A ufw-before-forward -p icmp -m icmp --icmp-type 12 -j ACCEPT
        -A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
        -A ufw-before-forward -j ufw-user-forward
        COMMIT

        """

    /// The forward chains of firewalld 1.3.3 with its default zone.
    static let firewalld = """
        table inet firewalld {
            chain filter_FORWARD {
                type filter hook forward priority filter + 10; policy accept;
                ct state { established, related } accept
                ct status dnat accept
                iifname "lo" accept
                ct state invalid drop
                ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24, 2002:a00::/24 } reject with icmpv6 addr-unreachable
                jump filter_FORWARD_ZONES
                reject with icmpx admin-prohibited
            }
            chain filter_FORWARD_ZONES {
                goto filter_FWD_public
            }
            chain filter_FWD_public {
                jump filter_FWD_public_allow
                reject with icmpx admin-prohibited
            }
            chain filter_FWD_public_allow {
            }
        }

        """

    /// What many have in /etc/nftables.conf: a verdict map, anonymous sets, and a final reject behind a jump.
    static let handWritten = """
        table inet filter {
            chain forward {
                type filter hook forward priority filter; policy accept;
                ct state vmap { established : accept, related : accept, invalid : drop }
                iifname { "wg0", "lo" } accept
                ip saddr { 10.0.0.0/8, 172.16.0.0/12 } accept
                iifname "wg1" tcp dport 22 accept
                jump rest
            }
            chain rest {
                meta l4proto udp accept
                limit rate 3/minute log prefix "forward: "
                reject with icmpx type admin-prohibited
            }
        }

        """

    /// The how-to's two lines for the forward chain, which permit everything that masqd needs.
    static let howTo = """
        *filter
        :FORWARD DROP [0:0]
        -A FORWARD -s 192.168.0.0/16 -o ppp0 -j ACCEPT
        -A FORWARD -d 192.168.0.0/16 -m state --state ESTABLISHED,RELATED -i ppp0 -j ACCEPT
        COMMIT

        """
}
