/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine, a bus and devices inside the test process, for core's own unit tests: registers in memory, eventfds that
 * the test fires, an INTx line that devices share, DMA addresses that are not the process's, and an IOMMU if wanted.
 * It defines bus_types[], bus_drivers[] and builtin_drivers[] in place of the library's own. Drivers are tested on real devices.
 */
#ifndef TESTS_TEST_MACHINE_H
#define TESTS_TEST_MACHINE_H

#include <pthread.h>

#include "core/device.h"
#include "core/hooks.h"
#include "core/match.h"

#define TEST_DEVICES_MAX 80
#define TEST_VECTORS_MAX 8
#define TEST_REGS_BYTES  4096
#define TEST_LINES       4

struct test_device_setup {
	char name[16];
	const char *parent; /* a name before this one, or NULL */
	struct match_ids ids;
	unsigned vectors; /* messages; 0: INTx only */
	unsigned line;    /* INTx */
};

/* Global, as machine_type.open() has no argument of ours; tests run one after the other. */
struct test_setup {
	struct test_device_setup devices[TEST_DEVICES_MAX];
	unsigned device_count;
	bool iommu;        /* addresses per device, by grant */
	bool importable;   /* takes the program's memory */
	bool no_shutdown;  /* the machine has no shutdown of its own */
	bool own_line_fds; /* each device on an INTx line has an eventfd of its own */
	int scan_error, grant_error, rescan_error;
	/* what happened; __atomic */
	unsigned dma_live, grants_live, opens, shutdowns, closes, forgets, releases, rescans;
};
extern struct test_setup test_setup;

struct test_device {
	struct ob_device dev; /* first */
	const struct test_device_setup *setup;
	uint8_t regs[TEST_REGS_BYTES]; /* region 0 mapped, region 1 by calls */
	bool absent;                   /* reads all ones, and is not present */
	bool dma_enabled, vectors_held;
	unsigned enables, disables, resets;
	bool asleep;
	int enable_error, sleep_error, wake_error;
	int fds[TEST_VECTORS_MAX];
	/* under test_machine.lock */
	bool masked[TEST_VECTORS_MAX], latched[TEST_VECTORS_MAX];
	bool asserted; /* INTx, the device's own wish */
	struct test_machine *machine;
};

struct test_line {
	int fd;
	bool up;
};

struct test_machine {
	struct machine m; /* first */
	pthread_mutex_t lock;
	struct test_line lines[TEST_LINES];
	struct test_device *devices[TEST_DEVICES_MAX];
	uint64_t next_iova;
	struct test_memory {
		uint8_t *base;
		uint64_t iova;
		size_t len_bytes;
		uint64_t granted; /* by DMA index */
	} memory[64];             /* under lock; base NULL: free */
};

/* ---- the context and what it logs ---- */

/* A context with @cpus CPUs, all messages kept; the setup is cleared. */
struct ob *test_context(unsigned cpus);
/* Was a message logged that holds both texts? @b may be NULL. */
bool test_logged(const char *a, const char *b);
void test_log_clear(void);

/* ---- machine ---- */

extern const struct machine_type test_machine_type;

/* Add a device to the setup: pci ids, @vectors messages. */
struct test_device_setup *test_add(const char *name, uint32_t vendor, uint32_t device, unsigned vectors);
/* 0 or what machine_open() gave. */
int test_open(struct ob *ob, unsigned flags, struct ob_machine **out);

/* Takes each device of vendor 1234h, and does nothing with it. */
extern const struct ob_driver test_plain_driver;
struct test_machine *test_machine_of(struct ob_machine *machine);
/* Not held; valid while it is in the machine. */
struct test_device *test_device_of(struct ob_machine *machine, const char *name);
/* The far side says that a device leaves. Any thread. */
void test_machine_removal(struct ob_machine *machine, const char *device, enum machine_removal how);
/* The far side dies. Any thread. */
void test_machine_kill(struct ob_machine *machine, const char *why);

/* What the device finds at @iova: the process's address of the memory that holds it. */
void *test_device_view(struct test_device *td, uint64_t iova);
/* A message interrupt. Any thread. */
void test_fire(struct test_device *td, unsigned vector);
/* One that passed the mask before it was set, or that knows no mask (plain MSI). */
void test_fire_past_mask(struct test_device *td, unsigned vector);
/* Did the bus mask it? Any thread. */
bool test_masked(struct test_device *td, unsigned vector);
/* The device raises or lowers its INTx line. Any thread. */
void test_level(struct test_device *td, bool up);

/* Run @fn(arg) in a task of CPU @index and wait for its end. */
void test_in_task(struct ob *ob, unsigned index, void (*fn)(void *arg), void *arg);
/* Turn CPUs whose home this thread is until @done(arg), at most @timeout_ms; what @done says in the end. */
bool test_wait_until(struct ob *ob, bool (*done)(void *arg), void *arg, unsigned timeout_ms);

#endif
