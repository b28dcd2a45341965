/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports: what rule was broken, where, and by whom. The first one ends the run. Places are kept as numbers; they are
 * turned into source lines only when somebody wants to read them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sim/world.h"

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

const char *report_context(const struct thread *t)
{
	switch ((enum cpu_context)t->data.context) {
	case CPU_CONTEXT_HARD:
		return "hard";
	case CPU_CONTEXT_SOFT:
		return "soft";
	case CPU_CONTEXT_TASK:
		return "task";
	default:
		return t->id == THREAD_DEVICE ? "device" : "plain";
	}
}

unsigned report_stack(uint32_t *pcs, unsigned max)
{
	const struct frames *f = W.current->frames;
	unsigned count = 0;

	for (unsigned depth = MIN(f->depth, (unsigned)FRAME_MAX); depth > 0 && count < max;)
		pcs[count++] = f->pc[--depth];
	return count;
}

void report_here(uint32_t pc)
{
	uint32_t pcs[FRAME_MAX];
	unsigned count = report_stack(pcs, 12);

	report_text("%s in %s context, at\n", W.current->name, report_context(W.current));
	if (pc != 0)
		report_pcs(&pc, 1);
	report_pcs(pcs, count);
}

void report_end(void)
{
	unsigned lines = MIN(W.log_count, (unsigned)LOG_LINES);

	report_text("seed %llu, step %llu, %llu.%06llu virtual ms; %s, %u accesses between preemptions\n",
		    (unsigned long long)W.seed, (unsigned long long)W.steps,
		    (unsigned long long)((W.now_ns - OB_NS_PER_S) / OB_NS_PER_MS),
		    (unsigned long long)(W.now_ns % OB_NS_PER_MS), W.config.strategy == SIM_PCT ? "PCT" : "random",
		    W.config.preempt_every);
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

/* One place as "function at file:line", the inlined ones in one line. */
static void resolve(unsigned long pc, char *out, size_t size)
{
	char program[256], command[320];
	ssize_t program_len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	size_t len = 0;
	FILE *f;

	program[MAX(program_len, (ssize_t)0)] = '\0';
	/* A return address: the call, or the access, is before it. */
	snprintf(command, sizeof(command), "addr2line -fips -e '%s' %#lx 2>/dev/null", program, pc - 1);
	f = popen(command, "r");
	if (f != NULL) {
		len = fread(out, 1, size - 1, f);
		pclose(f);
	}
	while (len > 0 && out[len - 1] == '\n')
		len--;
	out[len] = '\0';
	if (len == 0)
		snprintf(out, size, "%#lx", pc);
	for (char *c = out; *c != '\0'; c++)
		if (*c == '\n')
			*c = ',';
}

void sim_report_symbols(struct sim_result *result)
{
	static char from[SIM_REPORT_LEN];
	size_t len = 0;
	char *line, *save;

	memcpy(from, result->report, sizeof(from));
	for (line = strtok_r(from, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char name[512];
		int n;

		if (strncmp(line, "    @", 5) == 0) {
			resolve(strtoul(line + 5, NULL, 16), name, sizeof(name));
			n = snprintf(result->report + len, sizeof(result->report) - len, "    %s\n", name);
		} else {
			n = snprintf(result->report + len, sizeof(result->report) - len, "%s\n", line);
		}
		len = MIN(len + (size_t)MAX(n, 0), sizeof(result->report) - 1);
	}
}
