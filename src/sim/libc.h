/* SPDX-License-Identifier: BSD-2-Clause */
/* Included before all else in instrumented files: what the C library copies and compares, the world sees. */
#ifndef OB_SIM_LIBC_H
#define OB_SIM_LIBC_H

#include <string.h>

void *sim_memcpy(void *to, const void *from, size_t len_bytes);
void *sim_memset(void *to, int value, size_t len_bytes);
int sim_memcmp(const void *a, const void *b, size_t len_bytes);

#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#define memcpy(to, from, len_bytes)  sim_memcpy(to, from, len_bytes)
#define memmove(to, from, len_bytes) sim_memcpy(to, from, len_bytes)
#define memset(to, value, len_bytes) sim_memset(to, value, len_bytes)
#define memcmp(a, b, len_bytes)      sim_memcmp(a, b, len_bytes)

#endif
