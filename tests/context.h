/* SPDX-License-Identifier: BSD-2-Clause */
/* A context for tests of core, and what it logged. */
#ifndef OB_TESTS_CONTEXT_H
#define OB_TESTS_CONTEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#define LOAD(x)     __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)
#define ADD(x, v)   __atomic_add_fetch(&(x), (v), __ATOMIC_SEQ_CST)

struct context {
	struct ob *ob;
	struct ob_cpu *cpu; /* the first */
	unsigned lines;
	char last[1024];
	char first[1024];
};

static inline void context_log(void *arg, enum ob_log_level level, const char *message)
{
	struct context *c = arg;

	(void)level;
	if (c->lines++ == 0)
		snprintf(c->first, sizeof(c->first), "%s", message);
	snprintf(c->last, sizeof(c->last), "%s", message);
}

static inline void context_open(struct context *c, unsigned cpus)
{
	struct ob_config config = {.log = context_log, .log_arg = c, .cpu_count = cpus, .trace_events_per_cpu = 64};

	memset(c, 0, sizeof(*c));
	assert_int_equal(ob_create(&config, &c->ob), 0);
	c->cpu = ob_cpu_get(c->ob, 0);
}

/* Nothing may have been logged. */
static inline void context_close(struct context *c)
{
	ob_destroy(c->ob);
	if (c->lines)
		print_message("%s\n", c->first);
	assert_int_equal(c->lines, 0);
}

/* Turn until nothing is left to do, at most some thousand times. Returns how many turns did something. */
static inline unsigned turn_dry(struct ob_cpu *cpu)
{
	for (unsigned i = 0; i < 10000; i++)
		if (ob_cpu_turn(cpu, 0) == 0)
			return i;
	fail_msg("the CPU never gets idle");
	return 0;
}

#endif
