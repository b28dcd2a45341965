/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that grows; it is for people, so running out of memory loses all of it rather than the end. */
#include "bus/pci/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAPACITY 4096u

static bool grow(struct pci_text *t, size_t need)
{
	size_t capacity = t->capacity != 0 ? t->capacity : FIRST_CAPACITY;
	char *text;

	while (capacity < need)
		capacity *= 2;
	text = ob_alloc(capacity);
	if (text == NULL) {
		t->failed = true;
		return false;
	}
	if (t->len != 0)
		memcpy(text, t->text, t->len);
	ob_free(t->text);
	t->text = text;
	t->capacity = capacity;
	return true;
}

void pci_text_add(struct pci_text *t, const char *format, ...)
{
	va_list args;
	int len;

	if (t->failed)
		return;
	va_start(args, format);
	len = vsnprintf(t->text != NULL ? t->text + t->len : NULL, t->capacity - t->len, format, args);
	va_end(args);
	if (len < 0) {
		t->failed = true;
		return;
	}
	if (t->len + (size_t)len + 1 > t->capacity) {
		if (!grow(t, t->len + (size_t)len + 1))
			return;
		va_start(args, format);
		vsnprintf(t->text + t->len, t->capacity - t->len, format, args);
		va_end(args);
	}
	t->len += (size_t)len;
}

void pci_text_flags(struct pci_text *t, uint32_t value, const struct pci_flag *flags)
{
	for (const struct pci_flag *f = flags; f->name != NULL; f++)
		pci_text_add(t, "%s%s%c", f == flags ? "" : " ", f->name, pci_sign(value & f->mask));
}

void pci_text_size(struct pci_text *t, uint64_t len_bytes)
{
	static const char *const units[] = {"", "K", "M", "G", "T"};
	unsigned unit = 0;

	if (len_bytes == 0)
		return;
	while (unit + 1 < ARRAY_SIZE(units) && len_bytes % OB_KIB == 0) {
		len_bytes /= OB_KIB;
		unit++;
	}
	pci_text_add(t, " [size=%llu%s]", (unsigned long long)len_bytes, units[unit]);
}

void pci_text_watts(struct pci_text *t, unsigned value, unsigned scale)
{
	static const double unit[] = {1.0, 0.1, 0.01, 0.001};

	/* In whole watts the top values stand for steps of 25 (PCIe 6.0 §7.5.3.3). */
	if (scale == 0 && value == 0xff)
		pci_text_add(t, ">600W");
	else if (scale == 0 && value >= 0xf0)
		pci_text_add(t, "%uW", 250 + 25 * (value - 0xf0));
	else
		pci_text_add(t, "%gW", value * unit[scale & 3]);
}

const char *pci_link_speed(unsigned speed)
{
	static const char *const speeds[] = {NULL, "2.5GT/s", "5GT/s", "8GT/s", "16GT/s", "32GT/s", "64GT/s"};

	return pci_name_of(speeds, ARRAY_SIZE(speeds), speed, NULL);
}
