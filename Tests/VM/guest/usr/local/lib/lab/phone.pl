# SPDX-License-Identifier: GPL-3.0-or-later
# phone.pl ADDRESS PORT FILE: a telephone: from one port, and to the same one, it asks four times a second whom the other end
# sees, whether the line is there or not. FILE has the last answer.
use strict;
use warnings;
use Socket;

my ($address, $port, $file) = @ARGV;
my $registrar = sockaddr_in($port, inet_aton($address));
socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
bind($socket, sockaddr_in($port, INADDR_ANY)) or die "bind: $!";
while (1) {
    # Without a line there is no route; the next question may find one.
    send($socket, 'who am I?', 0, $registrar);
    my $due = 0.25;
    while ($due > 0) {
        vec(my $readable = '', fileno($socket), 1) = 1;
        (my $found, $due) = select($readable, undef, undef, $due);
        next unless $found > 0;
        recv($socket, my $answer, 1500, 0);
        open(my $output, '>', $file) or die "$file: $!";
        print $output "$answer\n";
    }
}
