/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Preloaded into masqd (LD_PRELOAD), it writes each batch that masqd sends to nf_tables into $RECORD_BATCH, the last one
 * over the ones before. What send-batch sends is then byte for byte masqd's own.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

ssize_t sendto(int socket, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t size)
{
    ssize_t (*original)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    const char *path = getenv("RECORD_BATCH");
    const struct nlmsghdr *header = bytes;

    if (path && length >= sizeof(*header) && header->nlmsg_type == NFNL_MSG_BATCH_BEGIN) {
        const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        struct nlmsghdr begin = *header;
        const size_t fixed = NLMSG_LENGTH(sizeof(struct nfgenmsg));

        /* Without the attributes behind it: the generation is another one each time. */
        begin.nlmsg_len = fixed;
        if (file < 0 || write(file, &begin, sizeof(begin)) < 0
            || write(file, (const char *)bytes + sizeof(begin), fixed - sizeof(begin)) < 0
            || write(file, (const char *)bytes + header->nlmsg_len, length - header->nlmsg_len) < 0)
            abort();
        close(file);
    }
    return original(socket, bytes, length, flags, to, size);
}
