/* SPDX-License-Identifier: BSD-2-Clause */
/* See symbols.h. One run of addr2line for all places: most of its time goes into reading the program. */
#include "sim/view/symbols.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"

#define BATCH 64

static bool is_header(const char *text)
{
	const char *colon = strrchr(text, ':');

	return colon != NULL && colon - text >= 2 && strncmp(colon - 2, ".h", 2) == 0;
}

/* "function at file:line", or " (inlined by) function at file:line (discriminator 2)". */
static void add_line(struct symbol *s, char *line)
{
	static const char inlined[] = "(inlined by) ";
	char *text = strstr(line, inlined), *more;
	size_t len = strlen(s->all);

	text = text != NULL ? text + strlen(inlined) : line;
	more = strstr(text, " (discriminator");
	if (more != NULL)
		*more = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (s->place[0] == '\0' || is_header(s->place))
		snprintf(s->place, sizeof(s->place), "%.*s", (int)sizeof(s->place) - 1, text);
	snprintf(s->all + len, sizeof(s->all) - len, "%s%.300s", len > 0 ? ", inlined by " : "", text);
}

static void find_batch(const uint32_t *pcs, unsigned count, struct symbol *out)
{
	char program[256], command[512 + BATCH * 12], line[512];
	ssize_t program_len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	struct symbol *at = NULL;
	unsigned next = 0;
	int len;
	FILE *f;

	program[MAX(program_len, (ssize_t)0)] = '\0';
	len = snprintf(command, sizeof(command), "addr2line -afips -e '%s'", program);
	/* A return address: the call, or the access, is before it. */
	for (unsigned i = 0; i < count; i++)
		len += snprintf(command + len, sizeof(command) - (size_t)len, " %#x", pcs[i] - 1);
	snprintf(command + len, sizeof(command) - (size_t)len, " 2>/dev/null");
	f = popen(command, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char *text = line;

		if (strncmp(line, "0x", 2) == 0) {
			text = strstr(line, ": ");
			if (next == count || text == NULL)
				break;
			text += 2;
			at = &out[next++];
		}
		if (at != NULL)
			add_line(at, text);
	}
	if (f != NULL)
		pclose(f);
}

void symbols_find(const uint32_t *pcs, unsigned count, struct symbol *out)
{
	for (unsigned i = 0; i < count; i++)
		out[i] = (struct symbol){0};
	for (unsigned i = 0; i < count; i += BATCH)
		find_batch(pcs + i, MIN(count - i, (unsigned)BATCH), out + i);
	for (unsigned i = 0; i < count; i++) {
		if (out[i].all[0] != '\0' && strstr(out[i].all, "??") == NULL)
			continue;
		snprintf(out[i].all, sizeof(out[i].all), "%#x", pcs[i]);
		snprintf(out[i].place, sizeof(out[i].place), "%#x", pcs[i]);
	}
}
