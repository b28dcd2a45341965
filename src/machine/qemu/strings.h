/* SPDX-License-Identifier: BSD-2-Clause */
/* A growing, NULL-terminated list of strings: a command line. An allocation that failed is remembered. */
#ifndef OB_MACHINE_QEMU_STRINGS_H
#define OB_MACHINE_QEMU_STRINGS_H

#include <outboard/types.h>

struct strings {
	char **v; /* NULL when empty */
	size_t count, capacity;
	bool failed; /* no memory: the list is incomplete */
};

void strings_add(struct strings *s, const char *format, ...) OB_PRINTF(2, 3);
void strings_fini(struct strings *s);

#endif
