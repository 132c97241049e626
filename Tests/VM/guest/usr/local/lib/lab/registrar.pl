# SPDX-License-Identifier: GPL-3.0-or-later
# registrar.pl ADDRESS PORT: says to every datagram which address it came from.
use strict;
use warnings;
use Socket;

my ($address, $port) = @ARGV;
socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
bind($socket, sockaddr_in($port, inet_aton($address))) or die "bind: $!";
while (defined(my $caller = recv($socket, my $question, 1500, 0))) {
    my (undef, $seen) = sockaddr_in($caller);
    send($socket, inet_ntoa($seen), 0, $caller);
}
