/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU machine with nothing above it: what tests of src/machine/qemu share. One at a time per struct. */
#ifndef TESTS_QEMU_RAW_H
#define TESTS_QEMU_RAW_H

#include <pthread.h>

#include <outboard/outboard.h>

#include "machine/machine.h"
#include "machine/qemu/qemu.h"

struct raw {
	struct ob *ob;
	struct machine *m;
	struct qemu *qemu; /* the same */
	pthread_mutex_t lock;
	char log[16384]; /* all messages, a line each */
	size_t log_len;
	unsigned deaths; /* on_dead calls; __atomic */
	char why[256];   /* of the first */
};

/* @rest: after "qemu:". What open() returned. With or without a machine, raw_close() ends it. */
int raw_open(struct raw *r, const char *rest);
void raw_close(struct raw *r);
bool raw_logged(struct raw *r, const char *text);
/* Until on_dead() was called. */
bool raw_wait_dead(struct raw *r, unsigned timeout_ms);

uint64_t raw_read(struct raw *r, uint64_t address, unsigned size_bytes);
void raw_write(struct raw *r, uint64_t address, unsigned size_bytes, uint64_t value);
/* Configuration space by ECAM; @function as slot << 3 | function on bus 0. */
uint32_t raw_config_read(struct raw *r, unsigned function, unsigned offset, unsigned size_bytes);
void raw_config_write(struct raw *r, unsigned function, unsigned offset, unsigned size_bytes, uint32_t value);
/* Put BAR 0 at @address, and let the function decode memory and be a bus master. */
void raw_place(struct raw *r, unsigned function, uint32_t address);
/* The capability's offset, or 0. */
unsigned raw_capability(struct raw *r, unsigned function, uint8_t id);

/* What this process has open and running. */
unsigned raw_count_fds(void);
unsigned raw_count_threads(void);
/* Does an eventfd fire within @timeout_ms? Takes it. */
bool raw_fired(int fd, unsigned timeout_ms);
uint64_t raw_elapsed_ms(uint64_t since_ns);

#endif
