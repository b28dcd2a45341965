/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may differ between our description and lspci's is listed here, and nowhere else.
 *
 * Always:
 *  - lines that lspci has from the kernel: Physical Slot, NUMA node, IOMMU group, Kernel driver, Kernel modules; the
 *    IRQ number behind "Interrupt: pin A";
 *  - names of vendors and devices when this system has no pci.ids: the ids in brackets stay.
 * When lspci read a dump of a machine with BARs (LSPCI_DUMP_OF_BARS):
 *  - their lengths;
 *  - the upper half of a 64-bit BAR, which it then shows as another one, unassigned.
 * When lspci ran in a kernel:
 *  - how wide a prefetchable window could be ("[32-bit]", "[64-bit]", leading zeros): lspci then shows what is used.
 * When lspci ran in a kernel that set the machine up (LSPCI_SAME_MACHINE), also what that kernel or its firmware chose:
 *  - addresses: of BARs and ROMs, of windows behind bridges (their lengths too, and whether there is one), of BARs of
 *    virtual functions;
 *  - enabled or not: the Control line, "[disabled]" of regions, the Latency line (shown for bus masters), MSI and MSI-X
 *    "Enable" (and what was programmed then), "ARIFwd" in DevCtl2, "SERR" in BridgeCtl, "ARIHierarchy" in IOVCtl.
 */
#include "tests/lspci_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE_MAX_BYTES 512

static char *read_stream(FILE *in)
{
	size_t len = 0, capacity = 1 << 16;
	char *text = malloc(capacity);

	assert_non_null(in);
	for (size_t n; (n = fread(text + len, 1, capacity - len - 1, in)) > 0;) {
		len += n;
		if (len + 1 == capacity)
			text = realloc(text, capacity *= 2);
		assert_non_null(text);
	}
	text[len] = 0;
	return text;
}

void lspci_or_skip(void)
{
	if (system("lspci --version >/dev/null 2>&1") == 0)
		return;
	print_message("lspci is not installed (package pciutils)\n");
	skip();
}

char *lspci_read_file(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text;

	if (in == NULL)
		fail_msg("%s cannot be read", path);
	text = read_stream(in);
	fclose(in);
	return text;
}

char *lspci_read_command(const char *command)
{
	FILE *in = popen(command, "r");
	char *text = read_stream(in);

	pclose(in);
	return text;
}

char *lspci_block(const char *all, const char *title)
{
	char name[16] = "";
	const char *start, *end;

	sscanf(title, "%15s", name);
	for (start = all; start != NULL && strncmp(start, name, strlen(name)) != 0;) {
		start = strstr(start, "\n\n");
		start = start != NULL ? start + 2 : NULL;
	}
	if (start == NULL)
		fail_msg("%s is not in lspci's output", name);
	end = strstr(start, "\n\n");
	return end != NULL ? strndup(start, (size_t)(end + 1 - start)) : strdup(start);
}

/* ---- normalising ---- */

static bool starts(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* Take everything from @what up to and with @until (NULL: the end of the line) out of it. */
static void cut(char *line, const char *what, const char *until)
{
	char *from = strstr(line, what), *to;

	if (from == NULL)
		return;
	to = until != NULL ? strstr(from + strlen(what), until) : NULL;
	if (to != NULL)
		memmove(from, to + strlen(until), strlen(to + strlen(until)) + 1);
	else
		*from = 0;
}

static void drop_sign(char *line, const char *flag)
{
	char *at = strstr(line, flag);

	if (at != NULL && (at[strlen(flag)] == '+' || at[strlen(flag)] == '-'))
		at[strlen(flag)] = '?';
}

static bool have_names(void)
{
	return access("/usr/share/misc/pci.ids", R_OK) == 0;
}

/* "Host bridge [0600]: Intel Corporation ... [8086:29c0] (rev 02)": only the bracket stays of the names. */
static void drop_names(char *line)
{
	char *from = strstr(line, "]: "), *to = NULL;

	if (from == NULL)
		from = strstr(line, "Subsystem: ");
	if (from == NULL)
		return;
	from = strchr(from, ' ') + 1;
	for (char *p = from; (p = strchr(p, '[')) != NULL; p++) {
		if (strlen(p) > 10 && p[5] == ':' && p[10] == ']')
			to = p;
	}
	if (to != NULL)
		memmove(from, to, strlen(to) + 1);
}

/* False: the line is left out. */
static bool normalise_kernel(char *line)
{
	static const char *const lines[] = {"\tPhysical Slot:", "\tNUMA node:", "\tIOMMU group:", "\tKernel driver",
					    "\tKernel modules:"};

	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (starts(line, lines[i]))
			return false;
	}
	cut(line, " routed to IRQ", NULL);
	if (!have_names())
		drop_names(line);
	return true;
}

static void normalise_width(char *line)
{
	char *at = strstr(line, "behind bridge: ");

	if (!starts(line, "\tPrefetchable memory") || at == NULL)
		return;
	cut(line, " [32-bit]", NULL);
	cut(line, " [64-bit]", NULL);
	/* Sixteen digits, a dash, sixteen digits: the upper halves go when they are zero. */
	at += strlen("behind bridge: ");
	if (starts(at, "00000000") && strlen(at) > 33 && at[16] == '-') {
		memmove(at + 17, at + 25, strlen(at + 25) + 1);
		memmove(at, at + 8, strlen(at + 8) + 1);
	}
}

static bool normalise_setup(char *line)
{
	if (starts(line, "\tControl:") || starts(line, "\tLatency:"))
		return false;
	if (starts(line, "\tRegion ") || starts(line, "\t\tRegion ") || starts(line, "\tExpansion ROM")) {
		cut(line, " [disabled]", "");
		/* "at fea18000 (32-bit" or "at e040 [size": the word behind "at". */
		cut(line, " at ", " ");
	}
	if (starts(line, "\tI/O behind") || starts(line, "\tMemory behind") || starts(line, "\tPrefetchable memory"))
		cut(line, ":", NULL);
	if (strstr(line, "MSI: Enable") != NULL || strstr(line, "MSI-X: Enable") != NULL)
		drop_sign(line, "Enable");
	if (starts(line, "\t\tAddress: "))
		return false;
	if (starts(line, "\t\tDevCtl2:"))
		drop_sign(line, "ARIFwd");
	if (starts(line, "\tBridgeCtl:"))
		drop_sign(line, "SERR");
	if (starts(line, "\t\tIOVCtl:"))
		drop_sign(line, "ARIHierarchy");
	return true;
}

/* The next line that counts, normalised; false at the end. */
static bool next_line(const char **text, enum lspci_comparison how, char *line)
{
	while (**text != 0) {
		size_t len = strcspn(*text, "\n"), take = len < LINE_MAX_BYTES - 1 ? len : LINE_MAX_BYTES - 1;

		memcpy(line, *text, take);
		line[take] = 0;
		*text += len + ((*text)[len] == '\n');
		if (take == 0 || !normalise_kernel(line))
			continue;
		if (how == LSPCI_DUMP_OF_BARS && (starts(line, "\tRegion ") || starts(line, "\tExpansion ROM"))) {
			cut(line, " [size=", NULL);
			if (strstr(line, "<unassigned>") != NULL)
				continue;
		}
		if (how == LSPCI_SAME_BYTES || how == LSPCI_SAME_MACHINE)
			normalise_width(line);
		if (how != LSPCI_SAME_MACHINE || normalise_setup(line))
			return true;
	}
	line[0] = 0;
	return false;
}

void lspci_compare(const char *ours, const char *theirs, enum lspci_comparison how)
{
	char a[LINE_MAX_BYTES], b[LINE_MAX_BYTES], title[LINE_MAX_BYTES];
	bool more_a, more_b;

	assert_non_null(ours);
	assert_non_null(theirs);
	snprintf(title, sizeof(title), "%.12s", theirs);
	do {
		more_a = next_line(&ours, how, a);
		more_b = next_line(&theirs, how, b);
		if (strcmp(a, b) != 0)
			fail_msg("%s\n  ours:  %s\n  lspci: %s", title, a, b);
	} while (more_a && more_b);
}
