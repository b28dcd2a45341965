/* SPDX-License-Identifier: BSD-2-Clause */
/* Comparing descriptions of PCI functions with what lspci printed, apart from what legitimately differs. */
#ifndef TESTS_LSPCI_TEXT_H
#define TESTS_LSPCI_TEXT_H

enum lspci_comparison {
	LSPCI_DUMP,         /* lspci read the same bytes from a file */
	LSPCI_DUMP_OF_BARS, /* the same, but a dump does not say how long BARs are */
	LSPCI_SAME_BYTES,   /* lspci ran in a kernel, and we see the bytes that it saw */
	LSPCI_SAME_MACHINE, /* the same devices, but lspci ran in a kernel that had set them up its own way */
};

/* Skips the test when it is not installed. */
void lspci_or_skip(void);
/* A whole file, or what a command prints; to be freed. Fails the test. */
char *lspci_read_file(const char *path);
char *lspci_read_command(const char *command);
/* The paragraph of the function that @title begins with ("0000:00:02.0 ..."); to be freed. Fails when there is none. */
char *lspci_block(const char *all, const char *title);
/* Fails the test with both lines when they differ after normalising (lspci_text.c lists how). */
void lspci_compare(const char *ours, const char *theirs, enum lspci_comparison how);

#endif
