/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that somebody else can take away: a file that is mapped here and made shorter by its owner, or whose file system
 * is full, answers an access with SIGBUS. Inside a guarded range the page is replaced by an empty one of our own, the
 * access goes on, and the range's owner is told.
 *
 * Signals belong to the process, and so does this: one handler, for all threads and all contexts. What is outside the
 * guarded ranges goes to whoever handled SIGBUS before.
 */
#ifndef OB_SERVE_VHOST_USER_GUARD_H
#define OB_SERVE_VHOST_USER_GUARD_H

#include <outboard/types.h>

/**
 * vu_guard_add - from here on, until vu_guard_remove(), accesses inside the mapping end, whatever its file is
 * @base:       of the mapping; a multiple of @page_bytes
 * @page_bytes: of the file: what is replaced at once
 * @hurt:       set to 1 (__atomic) when a page was replaced; from any thread, in a signal handler
 *
 * Any thread. Return: 0; -ENOSPC too many ranges; negative errno.
 */
int vu_guard_add(void *base, size_t len_bytes, size_t page_bytes, unsigned *hurt, unsigned *out);
/** vu_guard_remove - nobody accesses the range any more. Any thread. */
void vu_guard_remove(unsigned index);

#endif
