/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile device: the NVMe model on a machine that changes what the device says on its way to the driver, as a script
 * of bytes tells it. One thread, no descriptors, and a clock that jumps when nobody has anything to do: a script gives
 * the same run each time, and a timeout of minutes costs nothing.
 *
 * The script is a header and records; a record is "from the Nth event of this kind on, that many times, change it so".
 * Records of one kind do not shift those of another, so that a small change of the script is a small change of the run.
 * All zeroes, or nothing, is an honest device.
 */
#ifndef TESTS_FUZZ_HOSTILE_H
#define TESTS_FUZZ_HOSTILE_H

#include <outboard/outboard.h>

#include "machine/machine.h"

#define HOSTILE_HEADER  4u
#define HOSTILE_RECORD  12u
#define HOSTILE_RECORDS 48u

/* What a record is about; also what is counted to tell its Nth. */
enum hostile_kind {
	HOSTILE_NOTHING,
	HOSTILE_IO_CQE,    /* completion entries of I/O queues */
	HOSTILE_ADMIN_CQE, /* … of the admin queue */
	HOSTILE_DATA,      /* identify data, lists, log pages, blocks: DMA writes of more than 4 bytes */
	HOSTILE_WORD,      /* DMA writes of 4 bytes: event indexes of doorbell buffers */
	HOSTILE_REGISTER,  /* reads that touch the register byte @position */
	HOSTILE_CONFIG,    /* … the byte @position of the function's configuration space */
	HOSTILE_VECTOR,    /* message interrupts: lost, or another vector's */
	HOSTILE_SPURIOUS,  /* at a step: an interrupt for nothing */
	HOSTILE_EXTRA,     /* behind a completion entry: one more, forged from it */
	HOSTILE_ROGUE,     /* at a step: a write to any memory that the device may write */
	HOSTILE_DELAY,     /* commands: late, or never */
	HOSTILE_EVENT,     /* at a step: what happens to a device (enum hostile_event) */
	HOSTILE_KINDS
};

/* A step is anything the device does; skips of these kinds count steps. */
enum hostile_event {
	HOSTILE_EVENT_DIE,
	HOSTILE_EVENT_UNPLUG,
	HOSTILE_EVENT_PLUG,
	HOSTILE_EVENT_RESIZE,
	HOSTILE_EVENT_DETACH,
	HOSTILE_EVENT_ATTACH,
	HOSTILE_EVENT_WARNING,
	HOSTILE_EVENT_RESET,
	HOSTILE_EVENTS
};

struct hostile_record {
	uint8_t kind;  /* % HOSTILE_KINDS */
	uint8_t times; /* 0: once; 255: always */
	uint16_t skip; /* events of this kind before the first */
	uint16_t position;
	uint8_t op; /* bits 1:0 how: set, flip, add, repeat; bits 3:2 bytes: 1 << n */
	uint32_t value;
	/* running */
	unsigned left, last_seen;
};

/* header[0] */
#define HOSTILE_PIN    0x01u /* no MSI-X */
#define HOSTILE_SHADOW 0x02u /* doorbell buffers */
#define HOSTILE_SGL    0x04u
#define HOSTILE_4K     0x08u
#define HOSTILE_POLLED 0x10u
#define HOSTILE_HYBRID 0x20u
#define HOSTILE_TWO    0x40u /* namespaces */
#define HOSTILE_STRIDE 0x80u /* of doorbells */

struct hostile_script {
	uint8_t header[HOSTILE_HEADER]; /* flags, depth, seed of the workload, what else it does */
	struct hostile_record records[HOSTILE_RECORDS];
	unsigned count;
	unsigned applied; /* changes that were made */
	unsigned seen[HOSTILE_KINDS];
};

/* Prepare for one run. */
void hostile_parse(struct hostile_script *s, const uint8_t *bytes, size_t len_bytes);
/* The next record that is due for an event of @kind, at @position where @len_bytes is not 0; or NULL. Counts it. */
struct hostile_record *hostile_due(enum hostile_kind kind, unsigned position, unsigned len_bytes);
/* Count an event; then ask for what is due until nothing is. */
void hostile_count(enum hostile_kind kind);
void hostile_change(const struct hostile_record *r, uint8_t *data, size_t len_bytes, size_t position);

extern struct hostile_script hostile;
extern bool hostile_verbose;

/* A run failed: say why and stop the program, as a sanitizer does. */
_Noreturn void hostile_fail(const char *format, ...) OB_PRINTF(1, 2);

/* ---- os.c ---- */

void hostile_os_start(void);
/* Nothing is left: memory, descriptors. */
void hostile_os_end(void);
int hostile_fd_open(void);
void hostile_fd_close(int fd);
void hostile_fd_fire(int fd);
/* Something came of it: the clock goes slowly again. */
void hostile_progress(void);
/* Let time pass when nobody has anything to do. */
void hostile_idle(uint64_t until_ns);

/* ---- machine.c ---- */

/* When the device next wants to be called; UINT64_MAX: never. */
uint64_t hostile_device_due_ns(void);
void hostile_device_run(void);
/* The machine's memory is all given back. */
void hostile_machine_end(void);

/* ---- nvme_fuzz.c ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
