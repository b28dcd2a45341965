/* SPDX-License-Identifier: BSD-2-Clause */
/* A computer for tests of src/host/. */
#include "tests/host_tree.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/host_test_data.h"
#include "host/sysfs.h"

static void whole(const struct host_tree *tree, const char *path, char out[SYSFS_PATH_MAX])
{
	assert_true(snprintf(out, SYSFS_PATH_MAX, "%s%s", tree->root, path) < SYSFS_PATH_MAX);
}

/* All directories above the last part. */
static void make_above(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
}

void host_tree_file(struct host_tree *tree, const char *path, const char *text)
{
	char at[SYSFS_PATH_MAX];
	FILE *f;

	whole(tree, path, at);
	make_above(at);
	f = fopen(at, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

void host_tree_link(struct host_tree *tree, const char *path, const char *target)
{
	char at[SYSFS_PATH_MAX];

	whole(tree, path, at);
	make_above(at);
	(void)unlink(at);
	assert_int_equal(symlink(target, at), 0);
}

void host_tree_dir(struct host_tree *tree, const char *path)
{
	char at[SYSFS_PATH_MAX];

	whole(tree, path, at);
	make_above(at);
	assert_true(mkdir(at, 0755) == 0 || errno == EEXIST);
}

static void set_driver(struct host_tree *tree, const char *name, const char *driver)
{
	char path[SYSFS_PATH_MAX], target[SYSFS_PATH_MAX];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", name);
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	if (driver[0] != '\0') {
		host_tree_link(tree, path, target);
		return;
	}
	whole(tree, path, target);
	(void)unlink(target);
}

void host_tree_pci(struct host_tree *tree, const char *name, unsigned class_code, int group, const char *driver)
{
	char path[SYSFS_PATH_MAX], text[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", name);
	snprintf(text, sizeof(text), "0x%06x\n", class_code);
	host_tree_file(tree, path, text);
	if (group >= 0) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", name);
		snprintf(text, sizeof(text), "../../../kernel/iommu_groups/%d", group);
		host_tree_link(tree, path, text);
		snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices/%s", group, name);
		host_tree_dir(tree, path);
	}
	if (driver == NULL)
		return;
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s", driver);
	host_tree_dir(tree, path);
	set_driver(tree, name, driver);
}

/* ---- the kernel ---- */

static int kernel_write(struct host *host, const char *path, const char *text)
{
	struct host_tree *tree = (struct host_tree *)(void *)host;
	char name[HOST_NAME_LEN], driver[HOST_NAME_LEN];

	tree->writes++;
	if (tree->write_error != 0)
		return tree->write_error;
	if (sscanf(path, "/sys/bus/pci/devices/%31[^/]/driver_override", name) == 1) {
		host_tree_file(tree, path, text);
		return 0;
	}
	if (sscanf(path, "/sys/bus/pci/drivers/%31[^/]/unbind", driver) == 1) {
		set_driver(tree, text, "");
		return 0;
	}
	assert_string_equal(path, "/sys/bus/pci/drivers_probe");
	/* Without a wish it is the driver for the class. */
	if (sysfs_read(tree->root, driver, sizeof(driver), "/sys/bus/pci/devices/%s/driver_override", text) <= 0)
		snprintf(driver, sizeof(driver), "nvme");
	if (!((tree->refuses || strcmp(tree->fussy, text) == 0) && strcmp(driver, "vfio-pci") == 0))
		set_driver(tree, text, driver);
	return 0;
}

static bool is_nvme(uint32_t vendor, uint32_t device, uint32_t class_code)
{
	return class_code == 0x010802;
}

void host_tree_make(struct host_tree *tree)
{
	memset(tree, 0, sizeof(*tree));
	strcpy(tree->root, "/tmp/outboard-host-XXXXXX");
	assert_non_null(mkdtemp(tree->root));
	tree->host = (struct host){
		.has_driver = is_nvme,
		.root = tree->root,
		.write = kernel_write,
		.memlock_bytes = 8 * OB_MIB,
	};
	host_tree_dir(tree, "/run");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

void host_tree_remove(struct host_tree *tree)
{
	nftw(tree->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void load_line(struct host_tree *tree, char *line)
{
	char *path = line + 2, *rest = strchr(path, ' '), *to;

	line[strcspn(line, "\n")] = '\0';
	if (rest != NULL)
		*rest++ = '\0';
	switch (line[0]) {
	case 'f':
		to = rest;
		for (char *from = rest; *from != '\0'; from++)
			*to++ = from[0] == '\\' && from[1] == 'n' ? (from++, '\n') : *from;
		*to = '\0';
		host_tree_file(tree, path, rest);
		break;
	case 'l':
		host_tree_link(tree, path, rest);
		break;
	default:
		host_tree_dir(tree, path);
	}
}

void host_tree_load(struct host_tree *tree, const char *name)
{
	char path[SYSFS_PATH_MAX], line[8192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", HOST_TEST_DATA, name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		load_line(tree, line);
	fclose(f);
}
