/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * send-batch FILE: hands a batch for nf_tables that is ready in a file to the kernel: the floor for every program that
 * changes rules. Exits 1 with the errno's words when the kernel refuses it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

int main(int argc, char **argv)
{
    const int file = open(argc == 2 ? argv[1] : "", O_RDONLY);
    const int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    char answer[65536];
    struct stat status;
    ssize_t length;
    void *batch;
    int size;

    if (file < 0 || netlink < 0 || fstat(file, &status) < 0) {
        perror("send-batch");
        return 1;
    }
    batch = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    size = status.st_size + 65536;
    setsockopt(netlink, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    if (sendto(netlink, batch, status.st_size, 0, (void *)&kernel, sizeof(kernel)) != status.st_size) {
        perror("send-batch: sendto");
        return 1;
    }
    /* The commit is over; what the kernel has to say is waiting. */
    while ((length = recv(netlink, answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
        const struct nlmsghdr *header = (void *)answer;

        for (; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
            const struct nlmsgerr *error = NLMSG_DATA(header);

            if (header->nlmsg_type == NLMSG_ERROR && error->error != 0) {
                fprintf(stderr, "send-batch: message %u: %s\n", header->nlmsg_seq, strerror(-error->error));
                return 1;
            }
        }
    }
    return 0;
}
