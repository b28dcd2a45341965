/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A computer for tests of src/host/: a directory with what /sys and /proc would show, built piece by piece or from a
 * recording (tools/record-host), and a kernel that binds and unbinds drivers as files are written. Checks are cmocka's.
 */
#ifndef TESTS_HOST_TREE_H
#define TESTS_HOST_TREE_H

#include "host/host.h"

struct host_tree {
	struct host host; /* first */
	char root[64];
	bool refuses;              /* vfio-pci takes nothing */
	char fussy[HOST_NAME_LEN]; /* a device that vfio-pci does not take */
	int write_error;
	unsigned writes;
};

void host_tree_make(struct host_tree *tree);
void host_tree_remove(struct host_tree *tree);
/* A recording below tests/data/. */
void host_tree_load(struct host_tree *tree, const char *name);
void host_tree_file(struct host_tree *tree, const char *path, const char *text);
void host_tree_link(struct host_tree *tree, const char *path, const char *target);
void host_tree_dir(struct host_tree *tree, const char *path);
/* @group -1: none; @driver NULL: none. */
void host_tree_pci(struct host_tree *tree, const char *name, unsigned class_code, int group, const char *driver);

#endif
