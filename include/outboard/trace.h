/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trace points: fixed-size events in a ring per CPU, oldest overwritten. Off, a point costs a load and a branch.
 *
 * The list below is the only one: identifier, name, and the names of its three words. Add new points at the end.
 */
#ifndef OUTBOARD_TRACE_H
#define OUTBOARD_TRACE_H

#include <outboard/cpu.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob;
struct ob_cpu;

#define OB_TRACE_POINTS(X)                                                   \
	X(OB_TRACE_TURN, "turn", "work", "", "")                             \
	X(OB_TRACE_IRQ_HARD, "irq-hard", "vector", "result", "")             \
	X(OB_TRACE_IRQ_SOFT, "irq-soft", "vector", "", "")                   \
	X(OB_TRACE_IRQ_STORM, "irq-storm", "vector", "count", "")            \
	X(OB_TRACE_TASK_RUN, "task-run", "task", "", "")                     \
	X(OB_TRACE_TASK_WAIT, "task-wait", "task", "deadline_ns", "")        \
	X(OB_TRACE_TIMER, "timer", "timer", "late_ns", "")                   \
	X(OB_TRACE_POLL, "poll", "poll", "completions", "")                  \
	X(OB_TRACE_BLOCK_SUBMIT, "block-submit", "request", "op", "lba")     \
	X(OB_TRACE_BLOCK_DONE, "block-done", "request", "status", "lba")     \
	X(OB_TRACE_NVME_SUBMIT, "nvme-submit", "queue", "cid", "opcode")     \
	X(OB_TRACE_NVME_DOORBELL, "nvme-doorbell", "queue", "tail", "")      \
	X(OB_TRACE_NVME_COMPLETE, "nvme-complete", "queue", "cid", "status") \
	X(OB_TRACE_NVME_TIMEOUT, "nvme-timeout", "queue", "cid", "")         \
	X(OB_TRACE_NVME_RESET, "nvme-reset", "controller", "step", "error")  \
	X(OB_TRACE_VBLK_SUBMIT, "vblk-submit", "queue", "slot", "type")      \
	X(OB_TRACE_VBLK_COMPLETE, "vblk-complete", "queue", "slot", "bytes") \
	X(OB_TRACE_VBLK_TIMEOUT, "vblk-timeout", "queue", "slot", "")        \
	X(OB_TRACE_VBLK_RESET, "vblk-reset", "device", "step", "error")      \
	X(OB_TRACE_BLOCK_BOUNCE, "block-bounce", "request", "bytes", "")     \
	X(OB_TRACE_BLOCK_SPLIT, "block-split", "request", "children", "")

#define OB_TRACE_ENUM(id, name, a, b, c) id,
enum ob_trace_id {
	OB_TRACE_POINTS(OB_TRACE_ENUM) OB_TRACE_ID_COUNT
};
#undef OB_TRACE_ENUM

struct ob_trace_event {
	uint64_t time_ns;
	uint64_t a, b, c;
	uint32_t id;
	uint32_t cpu;
};

/** ob_trace_emit - append an event to the CPU's ring. Owner CPU, any context. */
void ob_trace_emit(struct ob_cpu *cpu, enum ob_trace_id id, uint64_t a, uint64_t b, uint64_t c);

#define OB_TRACE(cpu, id, a, b, c)                                                               \
	do {                                                                                     \
		if (OB_UNLIKELY(OB_READ_ONCE(((struct ob_cpu_head *)(void *)(cpu))->trace_on)))  \
			ob_trace_emit((cpu), (id), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c)); \
	} while (0)

/** ob_trace_enable - switch all points of the context on or off. Any thread. */
void ob_trace_enable(struct ob *ob, bool on);

/**
 * ob_trace_read - copy the events of all CPUs, oldest first
 * @events: @max of them
 * @lost:   how many were overwritten, or NULL
 *
 * Context: a plain thread, while tracing is off or the CPUs do not run.
 * Return: the number copied.
 */
size_t ob_trace_read(struct ob *ob, struct ob_trace_event *events, size_t max, uint64_t *lost);

/** ob_trace_format - one event as text, without a newline; returns the length that it would have (as snprintf) */
int ob_trace_format(const struct ob_trace_event *event, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
