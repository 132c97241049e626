/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Everything of C that MasqKernel needs and Swift's Glibc module lacks.
 *
 * The order matters: <netinet/in.h> and <net/if.h> define what <linux/in.h> and <linux/if.h> define again, and
 * only in this order do the kernel's headers notice.
 */
#ifndef CNETFILTER_H
#define CNETFILTER_H

#include <netinet/in.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/icmpv6.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/netconf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/xfrm.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>

/*
 * Gives back what start-up and reading a configuration needed and waiting does not: free heap (malloc_trim()) and
 * mapped code (dl_iterate_phdr()); the Glibc module has neither.
 */
void CNetfilter_return_memory(void);

#endif
