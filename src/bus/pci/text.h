/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that grows, and what describing a function needs to write into it. */
#ifndef OB_BUS_PCI_TEXT_H
#define OB_BUS_PCI_TEXT_H

#include "bus/pci/pci.h"

struct pci_text {
	char *text;
	size_t len, capacity;
	bool failed; /* no memory: the rest is dropped, and so is all of it */
};

/* A bit with its name; a list ends with a NULL name. */
struct pci_flag {
	const char *name;
	uint32_t mask;
};

#define PCI_NAME_MAX 128

struct pci_names {
	char vendor[PCI_NAME_MAX], device[PCI_NAME_MAX];       /* empty: not known */
	char subvendor[PCI_NAME_MAX], subsystem[PCI_NAME_MAX]; /* of the subsystem */
};

void pci_text_add(struct pci_text *t, const char *format, ...) OB_PRINTF(2, 3);
/* "Name+ Other-": the flags in their order, a blank between them. */
void pci_text_flags(struct pci_text *t, uint32_t value, const struct pci_flag *flags);
/* " [size=16K]"; nothing for 0. */
void pci_text_size(struct pci_text *t, uint64_t len_bytes);

static inline char pci_sign(uint32_t value)
{
	return value != 0 ? '+' : '-';
}

/* The name in a table of @count, or @other. */
static inline const char *pci_name_of(const char *const *names, unsigned count, unsigned index, const char *other)
{
	return index < count && names[index] != NULL ? names[index] : other;
}

/* ---- ids.c ---- */
/* Look the function up in the system's pci.ids, where there is one. */
void pci_names_find(const struct ob_pci_info *info, struct pci_names *out);

/* ---- class.c ---- */
const char *pci_class_find(uint32_t class_code);     /* NULL: not known */
const char *pci_interface_find(uint32_t class_code); /* NULL: it has no name */

/* ---- the parts of a description ---- */
void pci_describe_bridge(struct pci_text *t, const struct pci_function *fn);
void pci_describe_capability(struct pci_text *t, const struct pci_function *fn, const struct pci_capability *cap,
			     const struct pci_names *names);
void pci_describe_express(struct pci_text *t, const struct pci_function *fn, unsigned at);
void pci_describe_express2(struct pci_text *t, const struct pci_function *fn, unsigned at, unsigned type);
void pci_describe_extended(struct pci_text *t, const struct pci_function *fn, const struct pci_capability *cap);
void pci_describe_aer(struct pci_text *t, const struct pci_function *fn, unsigned at);
void pci_describe_sriov(struct pci_text *t, const struct pci_function *fn, unsigned at);
void pci_describe_l1pm(struct pci_text *t, const struct pci_function *fn, unsigned at);
void pci_describe_dpc(struct pci_text *t, const struct pci_function *fn, unsigned at);
/* Watts, as in a slot's or a device's power limit. */
void pci_text_watts(struct pci_text *t, unsigned value, unsigned scale);
const char *pci_link_speed(unsigned speed);

#endif
