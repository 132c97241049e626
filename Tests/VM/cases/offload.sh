# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# [forward] flow_offload: the flowtable follows the line, and what is connected takes it.
# shellcheck disable=SC2154  # outside is line.sh's, before is case_dial's

case_offload() {
    local address unchanged
    unchanged=$(cat /etc/masqd.toml)
    hang_up
    offload software
    # Whoever is passed by does not count: somebody else's rules at hook forward.
    nft -f - <<-END
	table ip lab {
		counter tcp_seen { }
		counter udp_seen { }
		chain forward {
			type filter hook forward priority 0
			tcp dport 7 counter name tcp_seen
			tcp sport 7 counter name tcp_seen
			udp dport 7 counter name udp_seen
			udp sport 7 counter name udp_seen
		}
	}
	END
    claim "before the line is dialled the flowtable has what leads inside" eventually 10 is_tied_to "lan0"

    claim "the line is dialled" dial
    address=$(address_of ppp0)
    claim "the flowtable has ppp0, and the link below it" eventually 10 is_tied_to "lan0, ppp0, wan0"
    megabyte_passes
    claim "all but the first of its packets passed no rule" test "$difference" -lt 100
    begin_stream tcp
    begin_stream udp
    takes_fast_path tcp
    takes_fast_path udp

    claim "restart succeeds" systemctl restart masqd
    both_live "over a restart"
    claim "they are still offloaded" eval "is_offloaded tcp && is_offloaded udp"
    claim "the flowtable was not touched" is_tied_to "lan0, ppp0, wan0"

    end_streams
    claim "the line is hung up" hang_up
    claim "the flowtable has lost what is gone" eventually 10 is_tied_to "lan0"
    claim "the line is dialled again" dial
    claim "ppp0 has another address" differ "$address" "$(address_of ppp0)"
    claim "the flowtable has the new ppp0" eventually 10 is_tied_to "lan0, ppp0, wan0"
    begin_stream tcp
    takes_fast_path tcp

    offload hardware
    claim "status says that these cards can't do it" eventually 10 status_says "the network card can't do it"
    claim "the flowtable is as it was" is_tied_to "lan0, ppp0, wan0"
    takes_fast_path tcp

    offload off
    claim "with flow_offload = \"off\" there is no flowtable" equal "" "$(nft list flowtables | grep -w flowtable)"
    claim "the TCP connection goes on" stream_is_alive tcp
    megabyte_passes
    claim "its packets pass the rules again" test "$difference" -gt 700
    claim "the rules are as before" equal "$before" "$(rules)"

    end_streams
    nft delete table ip lab
    echo "$unchanged" >/etc/masqd.toml
    claim "reload succeeds" systemctl reload masqd
}

# offload off|software|hardware: as configured from now on.
offload() {
    printf '%s\n\n[forward]\nflow_offload = "%s"\n' "$unchanged" "$1" >/etc/masqd.toml
    claim "reload succeeds with flow_offload = \"$1\"" systemctl reload masqd
}
is_tied_to() { equal "$1" "$(nft list flowtables | sed -nE 's/.*devices = \{ (.*) \}.*/\1/p')"; }
is_offloaded() { conntrack -L -p "$1" --reply-port-src 7 2>/dev/null | grep -q "dst=$(address_of ppp0) .*\[OFFLOAD\]"; }
seen_by_rules() { nft list counter ip lab "$1_seen" | sed -nE 's/.*packets ([0-9]+).*/\1/p'; }
# takes_fast_path tcp|udp: the stream.
takes_fast_path() {
    local seen
    claim "the ${1^^} connection is offloaded" eventually 30 is_offloaded "$1"
    seen=$(seen_by_rules "$1")
    claim "it goes on" stream_is_alive "$1"
    claim "and its packets pass no rule" equal "$seen" "$(seen_by_rules "$1")"
}
# megabyte_passes: there and back, as full segments; difference is how many of its packets passed the rules.
megabyte_passes() {
    local seen
    seen=$(seen_by_rules tcp)
    claim "a megabyte comes back as it went" megabyte
    difference=$(($(seen_by_rules tcp) - seen))
}
# Closed by its sender only when all is back: a FIN ends what the flowtable does for a connection, in both directions.
megabyte() {
    head -c 1000000 /dev/urandom >/run/sent
    # shellcheck disable=SC2016  # the LAN's shell
    timeout 60 ip netns exec lan bash -c '
        exec 3<>"/dev/tcp/$1/7" && read -r seen <&3 || exit
        cat /run/sent >&3 &
        head -c 1000000 <&3 >/run/received' megabyte "$outside"
    cmp /run/sent /run/received
}
