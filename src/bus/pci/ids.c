/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of vendors and devices, from the system's list of PCI ids (Debian package pci.ids). Without it, or when
 * something is not in it, the numbers have to do.
 *
 * A line is "vvvv  Vendor", "<tab>dddd  Device" below it, or "<tab><tab>vvvv dddd  Subsystem" below that; classes follow.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/pci/text.h"

#define IDS_PATH "/usr/share/misc/pci.ids"
#define IDS_MAX  (64 * OB_MIB)

/* The whole file with a 0 behind it, for ob_free(); NULL: not there. */
static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	size_t len = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0 || st.st_size <= 0 || (uint64_t)st.st_size > IDS_MAX)
		goto out;
	text = ob_alloc((size_t)st.st_size + 1);
	while (text != NULL && len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + len, (size_t)st.st_size - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (text != NULL)
		text[len] = 0;
out:
	close(fd);
	return text;
}

/* Four hex digits, then a blank. */
static bool id_at(const char *s, unsigned *id)
{
	unsigned value = 0;

	for (unsigned i = 0; i < 4; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (unsigned)(c - 'a') + 10;
		else
			return false;
	}
	*id = value;
	return s[4] == ' ';
}

static void take_name(char *out, const char *s, const char *end)
{
	size_t len;

	while (s < end && *s == ' ')
		s++;
	len = MIN((size_t)(end - s), (size_t)PCI_NAME_MAX - 1);
	memcpy(out, s, len);
	out[len] = 0;
}

struct search {
	const struct ob_pci_info *info;
	struct pci_names *out;
	unsigned vendor, device; /* of the lines above; 0x10000: none */
};

static void take_line(struct search *s, const char *line, const char *end)
{
	unsigned a, b;

	if (line[0] != '\t') {
		s->device = 0x10000;
		s->vendor = id_at(line, &a) ? a : 0x10000;
		if (s->vendor == s->info->vendor)
			take_name(s->out->vendor, line + 5, end);
		if (s->vendor == s->info->subvendor)
			take_name(s->out->subvendor, line + 5, end);
	} else if (line[1] != '\t') {
		s->device = id_at(line + 1, &a) ? a : 0x10000;
		if (s->vendor != s->info->vendor || s->device != s->info->device)
			return;
		take_name(s->out->device, line + 6, end);
		/* A subsystem that carries the device's own ids is the device. */
		if (s->info->subvendor == s->info->vendor && s->info->subdevice == s->info->device)
			take_name(s->out->subsystem, line + 6, end);
	} else if (s->vendor == s->info->vendor && s->device == s->info->device && end - line > 11 &&
		   id_at(line + 2, &a) && id_at(line + 7, &b) && a == s->info->subvendor && b == s->info->subdevice) {
		take_name(s->out->subsystem, line + 12, end);
	}
}

void pci_names_find(const struct ob_pci_info *info, struct pci_names *out)
{
	struct search s = {.info = info, .out = out, .vendor = 0x10000, .device = 0x10000};
	char *text = read_file(IDS_PATH);

	*out = (struct pci_names){0};
	if (text == NULL)
		return;
	for (const char *line = text; *line != 0;) {
		const char *end = strchr(line, '\n');

		if (end == NULL)
			end = line + strlen(line);
		/* "C 00": classes from here on. */
		if (line[0] == 'C' && line[1] == ' ')
			break;
		if (line[0] != '#' && end - line > 5)
			take_line(&s, line, end);
		line = *end != 0 ? end + 1 : end;
	}
	ob_free(text);
}
