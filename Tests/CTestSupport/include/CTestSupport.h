// SPDX-License-Identifier: GPL-3.0-or-later

#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

#include <sys/types.h>

/// Moves the calling thread into a fresh network namespace; 0, or -1 and errno.
/// Swift doesn't import unshare(2): it needs _GNU_SOURCE.
int CTestSupport_unshareNetwork(void);

/// Moves the calling thread into the network namespace behind `descriptor`; 0, or -1 and errno.
/// Swift doesn't import setns(2): it needs _GNU_SOURCE.
int CTestSupport_enterNetwork(int descriptor);

/// A file in memory that ends with its last descriptor (close-on-exec); -1 and errno on failure.
/// Swift doesn't import memfd_create(2): it needs _GNU_SOURCE.
int CTestSupport_memoryFile(const char *name);

/// A descriptor that becomes readable when the process ends (close-on-exec); -1 and errno on failure.
/// Swift can't call syscall(2), which is variadic, and glibc 2.31 has no pidfd_open.
int CTestSupport_openProcess(pid_t pid);

/// What a child of `CTestSupport_spawn` gets.
typedef struct {
    const char *path;
    char *const *arguments;
    char *const *environment;
    /// A network namespace to enter before the program starts, or -1.
    int network;
    /// What becomes descriptors 0, 1 and 2.
    int descriptors[3];
} CTestSupport_Program;

/// Starts a program that is killed when this process ends, however it ends.
///
/// Swift declares fork(2) unavailable, and posix_spawn(3) can neither enter a namespace nor set
/// PR_SET_PDEATHSIG. That signal is sent when the *thread* that forked ends, so a thread is kept for as long as
/// the child runs; it never reaps it, the caller does.
///
/// Returns the pid, or the negated errno of whatever failed, execve(2) included.
pid_t CTestSupport_spawn(const CTestSupport_Program *program);

#endif
