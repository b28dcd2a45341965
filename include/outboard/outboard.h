/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The context, and all of the application's API in one include.
 *
 * A program makes one context, opens machines in it, finds class objects (a block device) and does I/O through
 * channels. All state hangs on the context; there are no globals.
 */
#ifndef OUTBOARD_OUTBOARD_H
#define OUTBOARD_OUTBOARD_H

#include <outboard/block.h>
#include <outboard/cpu.h>
#include <outboard/device.h>
#include <outboard/dma.h>
#include <outboard/log.h>
#include <outboard/machine.h>
#include <outboard/net.h>
#include <outboard/trace.h>
#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OB_VERSION "0.1.0"

/* Zero means the default everywhere. */
struct ob_config {
	void (*log)(void *arg, enum ob_log_level level, const char *message); /* any thread; one line, no newline */
	void *log_arg;
	enum ob_log_level log_level;   /* the most detailed level that is passed on; default errors only */
	unsigned cpu_count;            /* CPUs (event loops) to make; default 1, at most OB_CPU_MAX */
	unsigned trace_events_per_cpu; /* ring size, rounded up to a power of two; default 4096 */
};

/**
 * ob_create - make a context with its CPUs, none of them running yet
 * @config: copied; NULL for the defaults
 * @out:    the context; ob_destroy() ends it
 *
 * Context: a plain thread.
 * Return: 0; -EINVAL; -ENOMEM; -EMFILE.
 */
int ob_create(const struct ob_config *config, struct ob **out);

/**
 * ob_destroy - close all machines, stop all CPUs, free everything
 * @ob: may be NULL
 *
 * Class objects and windows that the program still holds keep their memory until the last put; they answer -ENODEV.
 * Context: a plain thread, not one of the context's CPUs inside its loop.
 */
void ob_destroy(struct ob *ob);

/** ob_version - the library's version, "major.minor.patch" */
const char *ob_version(void);

#ifdef __cplusplus
}
#endif
#endif
