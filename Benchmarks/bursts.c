/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * bursts MODE ROUNDS PATH...: what a packet costs on its way through each of several gateways, which take turns.
 *
 * PATH is the network namespace of a gateway's client (/proc/PID/ns/net). Packets go out of its eth0 through a packet
 * socket, to the gateway's hardware address 02:00:00:00:01:01. A veth pair hands each packet on within the same system
 * call, so the time of a burst is the work of the whole way: wall time is the cost on one core.
 *
 * MODE established: all packets are of one UDP flow, 192.168.1.2:40000 to 198.51.100.80:9, which must be there.
 * MODE new: each packet begins a flow of its own.
 * Prints for each gateway a line with the nanoseconds that a packet took, one number for each burst.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { burst = 64, payload = 64 };

struct frame {
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
    char payload[payload];
} __attribute__((packed));

struct gateway {
    int socket;
    double *nanoseconds;
};

static void fail(const char *what)
{
    fprintf(stderr, "bursts: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint16_t checksum(struct iphdr ip)
{
    const uint16_t *words = (const void *)&ip;
    uint32_t sum = 0;

    for (size_t i = 0; i < sizeof(ip) / 2; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return ~(sum + (sum >> 16));
}

static int open_client(const char *path)
{
    const int namespace = open(path, O_RDONLY | O_CLOEXEC);
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
    const int yes = 1;
    int descriptor;

    if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0)
        fail(path);
    close(namespace);
    /* Protocol 0 at first: nothing is to be received. */
    descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    address.sll_ifindex = if_nametoindex("eth0");
    address.sll_protocol = 0;
    if (descriptor < 0 || bind(descriptor, (void *)&address, sizeof(address)) < 0)
        fail("a packet socket on eth0");
    setsockopt(descriptor, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes));
    return descriptor;
}

/* The flow's number is in the source port, and beyond that in the destination port. */
static void fill(struct frame *frame, uint32_t flow)
{
    static const uint8_t destination[] = { 2, 0, 0, 0, 1, 1 }, source[] = { 2, 0, 0, 0, 1, 2 };

    memset(frame, 0, sizeof(*frame));
    memcpy(frame->ethernet.ether_dhost, destination, 6);
    memcpy(frame->ethernet.ether_shost, source, 6);
    frame->ethernet.ether_type = htons(ETHERTYPE_IP);
    frame->ip.version = 4;
    frame->ip.ihl = 5;
    frame->ip.ttl = 64;
    frame->ip.protocol = IPPROTO_UDP;
    frame->ip.tot_len = htons(sizeof(*frame) - sizeof(frame->ethernet));
    frame->ip.saddr = inet_addr("192.168.1.2");
    frame->ip.daddr = inet_addr("198.51.100.80");
    frame->ip.check = checksum(frame->ip);
    frame->udp.source = htons(flow == 0 ? 40000 : 1024 + flow % 60000);
    frame->udp.dest = htons(9 + (flow == 0 ? 0 : 1 + flow / 60000));
    frame->udp.len = htons(sizeof(frame->udp) + payload);
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static struct frame frames[burst];
    static struct iovec pieces[burst];
    static struct mmsghdr headers[burst];
    const int count = argc - 3, rounds = argc > 2 ? atoi(argv[2]) : 0;
    const int is_new = argc > 1 && strcmp(argv[1], "new") == 0;
    struct gateway gateways[count > 0 ? count : 1];
    struct sched_param priority = { .sched_priority = 10 };
    cpu_set_t processors;

    if (count < 1 || rounds < 1) {
        fprintf(stderr, "usage: bursts established|new ROUNDS PATH...\n");
        return 64;
    }
    for (int i = 0; i < count; i++) {
        gateways[i].socket = open_client(argv[3 + i]);
        gateways[i].nanoseconds = calloc(rounds, sizeof(double));
    }
    CPU_ZERO(&processors);
    CPU_SET(sched_getcpu(), &processors);
    sched_setaffinity(0, sizeof(processors), &processors);
    /* As anybody else than root without it: the numbers are noisier then. */
    sched_setscheduler(0, SCHED_FIFO, &priority);
    mlockall(MCL_CURRENT);
    for (int i = 0; i < burst; i++) {
        pieces[i] = (struct iovec){ &frames[i], sizeof(frames[i]) };
        headers[i].msg_hdr = (struct msghdr){ .msg_iov = &pieces[i], .msg_iovlen = 1 };
        fill(&frames[i], 0);
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; is_new && i < burst; i++)
            fill(&frames[i], 1 + round * burst + i);
        for (int turn = 0; turn < count; turn++) {
            /* Who is first differs from round to round. */
            struct gateway *gateway = &gateways[(turn + round) % count];
            const double start = seconds();
            const int sent = sendmmsg(gateway->socket, headers, burst, 0);
            const double end = seconds();

            if (sent != burst)
                fail("sendmmsg");
            gateway->nanoseconds[round] = (end - start) * 1e9 / burst;
        }
        /* A real-time process must leave the processor to others now and then. */
        if (round % 64 == 63)
            usleep(2000);
    }
    for (int i = 0; i < count; i++) {
        for (int round = 0; round < rounds; round++)
            printf("%.0f ", gateways[i].nanoseconds[round]);
        putchar('\n');
    }
    return 0;
}
