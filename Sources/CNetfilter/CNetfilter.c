/* SPDX-License-Identifier: GPL-3.0-or-later */

#define _GNU_SOURCE
#include "CNetfilter.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

/* Forgets the pages of one object's code and constants: they are the file's, and come back from it when needed. */
static int forget_code(struct dl_phdr_info *object, size_t size, void *context)
{
    const ElfW(Addr) page = sysconf(_SC_PAGESIZE);

    (void)size;
    (void)context;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        ElfW(Addr) start = object->dlpi_addr + segment->p_vaddr;
        ElfW(Addr) end = start + segment->p_memsz;

        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
            continue;
        start &= ~(page - 1);
        end = (end + page - 1) & ~(page - 1);
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void CNetfilter_return_memory(void)
{
    malloc_trim(0);
    dl_iterate_phdr(forget_code, NULL);
}
