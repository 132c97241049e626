// SPDX-License-Identifier: GPL-3.0-or-later

#define _GNU_SOURCE
#include "CTestSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int CTestSupport_unshareNetwork(void) { return unshare(CLONE_NEWNET); }

int CTestSupport_enterNetwork(int descriptor) { return setns(descriptor, CLONE_NEWNET); }

int CTestSupport_memoryFile(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int CTestSupport_openProcess(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

/// Lives on the stack of `CTestSupport_spawn` until the keeper posts `started`.
typedef struct {
    const CTestSupport_Program *program;
    pid_t result;
    sem_t started;
} Request;

/// Runs in the child, where only async-signal-safe calls are allowed; returns only on failure.
static void become(const CTestSupport_Program *program, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return;
    if (getppid() != parent)  // it ended before the line above
        _exit(127);
    if (program->network >= 0 && setns(program->network, CLONE_NEWNET) < 0)
        return;
    // The descriptors given are above 2: the caller sees to it.
    for (int i = 0; i < 3; i++)
        if (dup2(program->descriptors[i], i) < 0)
            return;
    if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        return;
    execve(program->path, program->arguments, program->environment);
}

static void *keep(void *argument) {
    Request *request = argument;
    int report[2];  // closed without a byte by a successful execve, or carries errno
    if (pipe2(report, O_CLOEXEC) < 0) {
        request->result = -errno;
        sem_post(&request->started);
        return NULL;
    }
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        become(request->program, parent);
        int code = errno;
        (void)!write(report[1], &code, sizeof code);
        _exit(127);
    }
    int code = child < 0 ? errno : 0;
    close(report[1]);
    if (child > 0 && read(report[0], &code, sizeof code) == sizeof code)
        waitpid(child, NULL, 0);
    close(report[0]);
    request->result = code ? -code : child;
    sem_post(&request->started);  // `request` may be gone from here on
    if (code == 0) {
        siginfo_t ignored;
        while (waitid(P_PID, (id_t)child, &ignored, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
        }
    }
    return NULL;
}

pid_t CTestSupport_spawn(const CTestSupport_Program *program) {
    Request request = {.program = program, .result = 0};
    pthread_attr_t attributes;
    pthread_t thread;
    sem_init(&request.started, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int code = pthread_create(&thread, &attributes, keep, &request);
    pthread_attr_destroy(&attributes);
    if (code != 0)
        return -code;
    while (sem_wait(&request.started) < 0 && errno == EINTR) {
    }
    pid_t result = request.result;
    sem_destroy(&request.started);
    return result;
}
