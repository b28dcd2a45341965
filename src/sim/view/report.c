/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports: what rule was broken, where, and by whom. The first one ends the run. Places are kept as numbers; they are
 * turned into source lines only when somebody wants to read them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim/view/event.h"
#include "sim/view/symbols.h"
#include "sim/view/view.h"

static char text[SIM_REPORT_LEN];
static size_t text_len;

void report_text(const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text + text_len, sizeof(text) - text_len, format, args);
	va_end(args);
	text_len = MIN(text_len + (size_t)MAX(len, 0), sizeof(text) - 1);
}

void report_begin(const char *rule, const char *format, ...)
{
	va_list args;
	int len;

	W.on = false;
	text_len = 0;
	snprintf(W.result->rule, sizeof(W.result->rule), "%s", rule);
	report_text("%s: ", rule);
	va_start(args, format);
	len = vsnprintf(text + text_len, sizeof(text) - text_len, format, args);
	va_end(args);
	text_len = MIN(text_len + (size_t)MAX(len, 0), sizeof(text) - 2);
	report_text("\n");
}

/* "@" and a number stand for a line of the source until sim_report_symbols(). */
void report_pcs(const uint32_t *pcs, unsigned count)
{
	for (unsigned i = 0; i < count && pcs[i] != 0; i++)
		report_text("    @%x\n", pcs[i]);
}

const char *report_context_name(unsigned context)
{
	static const char *const names[] = {
		[CPU_CONTEXT_PLAIN] = "plain",
		[CPU_CONTEXT_HARD] = "hard",
		[CPU_CONTEXT_SOFT] = "soft",
		[CPU_CONTEXT_TASK] = "task",
	};

	return context < ARRAY_SIZE(names) ? names[context] : "?";
}

const char *report_context(const struct thread *t)
{
	return t->id == THREAD_DEVICE ? "device" : report_context_name(t->data.context);
}

void report_involve(unsigned thread, uint32_t pc)
{
	W.about_threads |= (uint32_t)BIT(thread);
	if (W.side_count < ARRAY_SIZE(W.sides))
		W.sides[W.side_count++] = (struct report_side){.thread = thread, .pc = pc};
}

unsigned report_stack(uint32_t *pcs, unsigned max)
{
	const struct frames *f = W.current->frames;
	unsigned count = 0;

	for (unsigned depth = MIN(f->depth, (unsigned)FRAME_MAX); depth > 0 && count < max;)
		pcs[count++] = f->pc[--depth] & FRAME_PC;
	return count;
}

void report_here(uint32_t pc)
{
	uint32_t pcs[FRAME_MAX] = {0};
	unsigned count = report_stack(pcs, 12);

	report_involve(W.current->id, pc != 0 ? pc : pcs[0]);
	report_text("%s in %s context, at\n", W.current->name, report_context(W.current));
	if (pc != 0)
		report_pcs(&pc, 1);
	report_pcs(pcs, count);
}

void report_end(void)
{
	unsigned lines = MIN(W.log_count, (unsigned)LOG_LINES);

	W.about_threads |= (uint32_t)BIT(W.current->id);
	event_add(EVENT_REPORT, W.about_address, 0);
	report_text("seed %llu, step %llu, %llu.%06llu virtual ms; %s, %u accesses between preemptions\n",
		    (unsigned long long)W.seed, (unsigned long long)W.steps,
		    (unsigned long long)((W.now_ns - OB_NS_PER_S) / OB_NS_PER_MS),
		    (unsigned long long)(W.now_ns % OB_NS_PER_MS), W.config.strategy == SIM_PCT ? "PCT" : "random",
		    W.config.preempt_every);
	view_tell_devices();
	event_tell_steps();
	for (unsigned i = W.log_count - lines; i < W.log_count; i++)
		report_text("log: %s\n", W.log[i % LOG_LINES]);
	memcpy(W.result->report, text, text_len + 1);
	W.result->failed = true;
	world_end();
}

void report_describe(uintptr_t address, char *out, size_t size)
{
	uint64_t offset = address - ARENA_BASE;
	const struct block *b = arena_block(address);

	W.about_address = address;
	if (offset >= ARENA_BYTES)
		snprintf(out, size, "%#llx", (unsigned long long)address);
	else if (offset >= STACK_OFFSET)
		snprintf(out, size, "a stack (%#llx)", (unsigned long long)address);
	else if (b == NULL)
		snprintf(out, size, "unallocated %s (%#llx)", is_dma(address) ? "DMA memory" : "memory",
			 (unsigned long long)address);
	else
		snprintf(out, size, "%s of %u bytes at offset %llu", is_dma(address) ? "DMA memory" : "a block",
			 b->len_bytes, (unsigned long long)(address - b->address));
}

/* ---- names ---- */

#define NAMES_MAX 128

/* The next place in @line: "@" and a number at its end. */
static char *place_of(char *line, uint32_t *pc)
{
	char *at = strrchr(line, '@'), *end;

	if (at == NULL || at[1] == '\0')
		return NULL;
	*pc = (uint32_t)strtoul(at + 1, &end, 16);
	return *end == '\0' ? at : NULL;
}

/* In a stack a place stands with all that was inlined, behind a step alone and in brackets. */
static void put(struct sim_result *result, size_t *len, const char *line, const struct symbol *symbol)
{
	bool stack = strcmp(line, "    ") == 0;
	const char *name = symbol == NULL ? "" : stack ? symbol->all : symbol->place;
	size_t room = sizeof(result->report) - *len;
	int n = snprintf(result->report + *len, room, "%s%s%s%s\n", line, symbol == NULL || stack ? "" : "(", name,
			 symbol == NULL || stack ? "" : ")");

	*len = MIN(*len + (size_t)MAX(n, 0), sizeof(result->report) - 1);
}

void sim_report_symbols(struct sim_result *result)
{
	static char from[SIM_REPORT_LEN];
	static struct symbol symbols[NAMES_MAX];
	uint32_t pcs[NAMES_MAX], pc;
	unsigned count = 0, next = 0;
	char *line, *save;
	size_t len = 0;

	memcpy(from, result->report, sizeof(from));
	for (line = strtok_r(from, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		if (count < NAMES_MAX && place_of(line, &pc) != NULL)
			pcs[count++] = pc;
	symbols_find(pcs, count, symbols);
	memcpy(from, result->report, sizeof(from));
	for (line = strtok_r(from, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *at = next < count ? place_of(line, &pc) : NULL;

		if (at == NULL) {
			put(result, &len, line, NULL);
			continue;
		}
		*at = '\0';
		put(result, &len, line, &symbols[next++]);
	}
}
