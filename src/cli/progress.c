/* SPDX-License-Identifier: BSD-2-Clause */
/* The progress line. */
#include "cli/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"

#define PERIOD_NS (250 * OB_NS_PER_MS)

/* Whether a line stands on the terminal: a log message, which may come from any thread, must not be glued to it. */
static bool shown;

/* Not the library's clock: in a program that explores, that one is the simulated world's. */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * OB_NS_PER_S + (uint64_t)t.tv_nsec;
}

void progress_start(struct progress *p, const struct cli *cli)
{
	const char *term = getenv("TERM");

	p->on = !cli->quiet && isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
	p->start_ns = now_ns();
	p->next_ns = p->start_ns + PERIOD_NS;
}

bool progress_due(struct progress *p)
{
	uint64_t now;

	if (!p->on)
		return false;
	now = now_ns();
	if (now < p->next_ns)
		return false;
	p->next_ns = now + PERIOD_NS;
	return true;
}

void progress_text(struct progress *p, const char *format, ...)
{
	char line[160];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
	__atomic_store_n(&shown, true, __ATOMIC_RELAXED);
}

void progress_bytes(struct progress *p, uint64_t done, uint64_t total)
{
	char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
	double seconds = (double)(now_ns() - p->start_ns) / 1e9;
	double rate = seconds > 0 ? (double)done / seconds : 0;

	text_size(a, done);
	text_size(c, (uint64_t)rate);
	if (!total)
		progress_text(p, "  %s  %s/s", a, c);
	else
		progress_text(p, "  %4.1f %%  %s of %s  %s/s  %.0f s left", 100.0 * (double)done / (double)total, a,
			      text_size(b, total), c, rate > 0 ? (double)(total - done) / rate : 0);
}

void progress_clear(void)
{
	if (__atomic_exchange_n(&shown, false, __ATOMIC_RELAXED))
		fputs("\r\033[K", stderr);
}
