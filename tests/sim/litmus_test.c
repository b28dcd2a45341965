/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Litmus tests of the world's weak memory: each shape is run under many seeds. All that some interleaving of its
 * accesses gives must come out; what none gives must come out where the shape is marked as weak, and nowhere else.
 * docs/SIMULATION.md (the argument) has the same table; --table prints it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/litmus.h"

#define SEEDS_MIN 5000
#define SEEDS_MAX 60000 /* for what is rare */
#define OUTCOMES  64

static const char *docs;

struct outcomes {
	struct shape_outcome list[OUTCOMES];
	unsigned count;
};

static bool outcomes_have(const struct outcomes *o, const struct shape_outcome *one)
{
	for (unsigned i = 0; i < o->count; i++)
		if (memcmp(&o->list[i], one, sizeof(*one)) == 0)
			return true;
	return false;
}

static void outcomes_add(struct outcomes *o, const struct shape_outcome *one)
{
	if (outcomes_have(o, one))
		return;
	assert_true(o->count < OUTCOMES);
	o->list[o->count++] = *one;
}

/* ---- what interleavings give ---- */

struct state {
	unsigned at[SHAPE_SIDES];
	uint8_t words[SHAPE_WORDS];
	struct shape_outcome out;
};

static void step(struct state *s, unsigned side, const struct shape_op *o)
{
	s->at[side]++;
	if (o->kind == OP_STORE)
		s->words[o->word] = (uint8_t)o->arg;
	else if (o->kind == OP_STORE_REG)
		s->words[o->word] = s->out.regs[o->arg];
	else if (o->kind == OP_LOAD)
		s->out.regs[o->arg] = s->words[o->word];
	else if (o->kind == OP_ADD)
		s->out.regs[o->arg] = s->words[o->word]++;
	else if (o->kind == OP_IF && s->out.regs[o->arg] == 0)
		s->at[side] = SHAPE_OPS;
}

static void interleave(const struct shape *shape, const struct state *s, struct outcomes *out)
{
	bool ended = true;

	for (unsigned side = 0; side < SHAPE_SIDES; side++) {
		struct state next = *s;

		if (s->at[side] == SHAPE_OPS || shape->sides[side][s->at[side]].kind == OP_NONE)
			continue;
		ended = false;
		step(&next, side, &shape->sides[side][s->at[side]]);
		interleave(shape, &next, out);
	}
	if (ended) {
		struct shape_outcome one = s->out;

		for (unsigned i = 0; i < SHAPE_WORDS; i++)
			one.words[i] = shape->finals & (1u << i) ? s->words[i] : 0;
		outcomes_add(out, &one);
	}
}

/* ---- what the world gives ---- */

static void run(const struct shape *shape, uint64_t seed, struct outcomes *out)
{
	static struct sim_result result;
	struct sim_config config = {
		.preempt_every = 1 + (unsigned)(seed % 8),
		.drain_one_in = 2 + (unsigned)(seed % 5),
		.promises = seed % 2 == 0,
		/* Races are the subject here, not an error. */
		.no_races = true,
	};
	struct shape_outcome one;

	sim_run(&shape_scenario, &config, seed, &result);
	if (result.failed)
		fail_msg("%s", result.report);
	shape_result(&one);
	outcomes_add(out, &one);
}

static void side_text(const struct shape_op *ops, char *text, size_t size)
{
	static const char *const kinds[] = {
		[OP_STORE] = "W",
		[OP_STORE_REG] = "W",
		[OP_LOAD] = "R",
		[OP_ADD] = "add",
		[OP_IF] = "if",
		[OP_FENCE] = "fence",
		[OP_DMA_WMB] = "wmb",
		[OP_DMA_RMB] = "rmb",
		[OP_DMA_MB] = "mb",
		[OP_MMIO_WMB] = "mmio_wmb",
		[OP_MMIO_RMB] = "mmio_rmb",
	};
	static const char *const orders[] = {
		[__ATOMIC_RELAXED] = "",         [__ATOMIC_ACQUIRE] = " acq", [__ATOMIC_RELEASE] = " rel",
		[__ATOMIC_ACQ_REL] = " acq_rel", [__ATOMIC_SEQ_CST] = " sc",
	};
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < SHAPE_OPS && ops[i].kind != OP_NONE; i++) {
		const struct shape_op *o = &ops[i];

		if (o->kind == OP_NOTHING)
			continue;
		len += (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? "; " : "", kinds[o->kind]);
		if (o->kind == OP_STORE)
			len += (size_t)snprintf(text + len, size - len, "%s %c=%u", orders[o->order], "xyzd"[o->word],
						o -> arg);
		else if (o->kind == OP_STORE_REG)
			len += (size_t)snprintf(text + len, size - len, "%s %c=r%u", orders[o->order], "xyzd"[o->word],
						o -> arg);
		else if (o->kind == OP_LOAD || o->kind == OP_ADD)
			len += (size_t)snprintf(text + len, size - len, "%s %c", orders[o->order], "xyzd"[o->word]);
		else if (o->kind == OP_IF)
			len += (size_t)snprintf(text + len, size - len, " r%u", o->arg);
		else if (o->kind == OP_FENCE)
			len += (size_t)snprintf(text + len, size - len, "%s", orders[o->order]);
	}
}

static void shape_text(const struct shape *shape, char *text, size_t size)
{
	size_t len = (size_t)snprintf(text, size, "| %s | %s | ", shape->name,
				      shape->memory == SHAPE_ATOMIC ? "C11"
				      : shape->last_is_device       ? "DMA, device"
								    : "DMA");

	for (unsigned i = 0; i < SHAPE_SIDES && shape->sides[i][0].kind != OP_NONE; i++) {
		char side[128];

		side_text(shape->sides[i], side, sizeof(side));
		len += (size_t)snprintf(text + len, size - len, "%s`%s`", i > 0 ? " / " : "", side);
	}
	snprintf(text + len, size - len, " | %s |",
		 shape->promised ? "yes, with promises"
		 : shape->weak   ? "yes"
				 : "no");
}

static void print_outcomes(const char *what, const struct outcomes *o, const struct outcomes *without)
{
	for (unsigned i = 0; i < o->count; i++) {
		if (outcomes_have(without, &o->list[i]))
			continue;
		print_error("  %s: registers %u %u %u %u, words %u %u\n", what, o->list[i].regs[0], o->list[i].regs[1],
			    o->list[i].regs[2], o->list[i].regs[3], o->list[i].words[0], o->list[i].words[1]);
	}
}

static bool as_expected(const struct shape *shape, const struct outcomes *calm, const struct outcomes *seen)
{
	unsigned missing = 0, more = 0;

	for (unsigned i = 0; i < calm->count; i++)
		missing += !outcomes_have(seen, &calm->list[i]);
	for (unsigned i = 0; i < seen->count; i++)
		more += !outcomes_have(calm, &seen->list[i]);
	return missing == 0 && (more > 0) == shape->weak;
}

static void test_shapes_exactly_what_is_allowed_comes_out(void **state)
{
	unsigned wrong = 0;

	assert_int_equal(sim_init(), 0);
	for (unsigned i = 0; i < shape_count; i++) {
		const struct shape *shape = &shapes[i];
		const struct state start = {.words = {0}};
		struct outcomes calm = {.count = 0}, seen = {.count = 0};
		char text[512];

		interleave(shape, &start, &calm);
		shape_select(shape);
		for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
			run(shape, seed, &seen);
			if (seed >= SEEDS_MIN && as_expected(shape, &calm, &seen))
				break;
		}
		if (as_expected(shape, &calm, &seen))
			continue;
		wrong++;
		shape_text(shape, text, sizeof(text));
		print_error("%s\n", text);
		print_outcomes("never came out", &calm, &seen);
		print_outcomes("came out, and no interleaving gives it", &seen, &calm);
	}
	assert_int_equal(wrong, 0);
}

static void test_docs_have_the_same_table(void **state)
{
	FILE *f = docs != NULL ? fopen(docs, "r") : NULL;
	static char all[256 * 1024];
	size_t len;

	if (docs == NULL)
		skip();
	assert_non_null(f);
	len = fread(all, 1, sizeof(all) - 1, f);
	fclose(f);
	all[len] = '\0';
	for (unsigned i = 0; i < shape_count; i++) {
		char text[512];

		shape_text(&shapes[i], text, sizeof(text));
		if (strstr(all, text) == NULL)
			fail_msg("%s has no line %s", docs, text);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes_exactly_what_is_allowed_comes_out),
		cmocka_unit_test(test_docs_have_the_same_table),
	};

	docs = argc > 1 ? argv[1] : NULL;
	if (docs != NULL && strcmp(docs, "--table") == 0) {
		for (unsigned i = 0; i < shape_count; i++) {
			char text[512];

			shape_text(&shapes[i], text, sizeof(text));
			puts(text);
		}
		return 0;
	}
	return cmocka_run_group_tests_name("sim/litmus", tests, NULL, NULL);
}
