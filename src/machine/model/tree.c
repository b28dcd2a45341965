/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices a model machine has, from a device tree: a .dtb is read with libfdt, a .dts is given to dtc first.
 *
 * The tree has a node compatible with "outboard,pci-host"; below it are "outboard,pcie-root-port" and "outboard,nvme",
 * and below that "outboard,nvme-namespace". docs/MODEL.md has the bindings.
 */
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <outboard/log.h>

#include "base/bits.h"
#include "machine/model/model_machine.h"

#define TREE_BYTES_MAX (1u << 20)

extern char **environ;

struct tree {
	struct model_machine *mm;
	const void *blob;
	const char *path; /* of the file, for messages */
	unsigned nvme_count, port_count;
};

/* ---- properties ---- */

static int complain(const struct tree *t, int node, const char *what)
{
	char where[128] = "?";

	fdt_get_path(t->blob, node, where, sizeof(where));
	ob_err(t->mm->machine.ob, "model: %s: %s: %s", t->path, where, what);
	return -EINVAL;
}

static bool has(const struct tree *t, int node, const char *property)
{
	return fdt_getprop(t->blob, node, property, NULL) != NULL;
}

/* One or two cells. -ENOENT: there is no such property, and @out stays. */
static int number(const struct tree *t, int node, const char *property, uint64_t *out)
{
	int len;
	const fdt32_t *cells = fdt_getprop(t->blob, node, property, &len);

	if (cells == NULL)
		return -ENOENT;
	if (len != 4 && len != 8)
		return complain(t, node, property);
	*out = fdt32_to_cpu(cells[0]);
	if (len == 8)
		*out = *out << 32 | fdt32_to_cpu(cells[1]);
	return 0;
}

/* A number in a range; what is not there is as it was. */
static int number_in(const struct tree *t, int node, const char *property, uint64_t min, uint64_t max, uint64_t *value)
{
	int ret = number(t, node, property, value);

	if (ret == -ENOENT)
		return 0;
	if (ret == 0 && (*value < min || *value > max))
		return complain(t, node, property);
	return ret;
}

static const char *text(const struct tree *t, int node, const char *property)
{
	int len;
	const char *value = fdt_getprop(t->blob, node, property, &len);

	return value != NULL && len > 0 && value[len - 1] == '\0' ? value : NULL;
}

static void text_copy(const struct tree *t, int node, const char *property, char *to, size_t len)
{
	const char *value = text(t, node, property);

	if (value != NULL)
		snprintf(to, len, "%s", value);
}

static bool is(const struct tree *t, int node, const char *compatible)
{
	return fdt_node_check_compatible(t->blob, node, compatible) == 0;
}

/* Slot and function from the first cell of "reg" (IEEE 1275 PCI binding: bus 23:16, device 15:11, function 10:8). */
static int devfn_of(const struct tree *t, int node, uint8_t *devfn)
{
	int len;
	const fdt32_t *cells = fdt_getprop(t->blob, node, "reg", &len);

	if (cells == NULL || len < 4)
		return complain(t, node, "reg is missing");
	*devfn = (uint8_t)(fdt32_to_cpu(cells[0]) >> 8);
	return 0;
}

/* ---- nodes ---- */

static int read_namespace(const struct tree *t, int node, struct model_device *dev)
{
	struct model_namespace_desc ns = {
		.file = text(t, node, "file"),
		.null = has(t, node, "null"),
		.filled = has(t, node, "filled"),
		.read_only = has(t, node, "read-only"),
		.detached = has(t, node, "detached"),
		.lossy_cache = has(t, node, "lossy-cache"),
	};
	uint64_t nsid = 0, size = ns.file != NULL ? 0 : 64 * OB_MIB, block = 512;
	int ret = number(t, node, "reg", &nsid);

	if (ret == -ENOENT)
		return complain(t, node, "reg is missing");
	if (ret == 0)
		ret = number_in(t, node, "size", 512, NVME_MODEL_CAPACITY_MAX, &size);
	if (ret == 0)
		ret = number_in(t, node, "block-size", 512, 4096, &block);
	if (ret != 0)
		return ret;
	if (block != 512 && block != 4096)
		return complain(t, node, "block-size must be 512 or 4096");
	ns.nsid = (uint32_t)MIN(nsid, (uint64_t)UINT32_MAX);
	ns.len_bytes = size;
	ns.block_bytes = (uint32_t)block;
	ret = model_device_add_namespace(dev, &ns);
	return ret == 0 ? 0 : complain(t, node, strerror(-ret)), ret;
}

static int read_config(const struct tree *t, int node, struct nvme_model_config *c)
{
	struct field {
		const char *property;
		uint64_t min, max, value;
	} f[] = {
		{"queue-pairs", 1, NVME_MODEL_QUEUES_MAX, c->queue_pairs_max},
		{"queue-entries", 2, NVME_QUEUE_MAX, c->queue_entries_max},
		{"msix-vectors", 0, NVME_MODEL_MSIX_MAX, c->msix_vectors},
		{"mdts", 0, NVME_MDTS_MAX, c->mdts},
		{"doorbell-stride", 0, 2, c->doorbell_stride},
		{"page-shift-max", 12, 16, c->page_shift_max},
		{"namespaces-max", 1, NVME_MODEL_NAMESPACES, c->namespaces_max},
		{"capacity", 0, NVME_MODEL_CAPACITY_MAX, c->capacity_bytes},
		{"latency-ns", 0, UINT64_MAX, c->latency_ns},
		{"ready-ns", 0, UINT64_MAX, c->ready_ns},
		{"shutdown-ns", 0, UINT64_MAX, c->shutdown_ns},
		{"cmb-size", 0, NVME_MODEL_CMB_MAX, c->cmb_bytes},
		{"cmb-uses", 0, 0x1f, c->cmb_uses},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
		int ret = number_in(t, node, f[i].property, f[i].min, f[i].max, &f[i].value);

		if (ret != 0)
			return ret;
	}
	c->queue_pairs_max = (uint16_t)f[0].value;
	c->queue_entries_max = (uint32_t)f[1].value;
	c->msix_vectors = (uint16_t)f[2].value;
	c->mdts = (uint8_t)f[3].value;
	c->doorbell_stride = (uint8_t)f[4].value;
	c->page_shift_max = (uint8_t)f[5].value;
	c->namespaces_max = (uint32_t)f[6].value;
	c->capacity_bytes = f[7].value;
	c->latency_ns = f[8].value;
	c->ready_ns = f[9].value;
	c->shutdown_ns = f[10].value;
	c->cmb_bytes = (uint32_t)f[11].value;
	c->cmb_uses = (uint32_t)f[12].value;
	c->cmb_legacy = has(t, node, "legacy-cmb");
	c->retains = has(t, node, "retain-state");
	c->sgl = !has(t, node, "no-sgl");
	c->shadow_doorbells = !has(t, node, "no-shadow-doorbells");
	c->volatile_cache = !has(t, node, "no-write-cache");
	c->namespace_management = !has(t, node, "no-namespace-management");
	c->compare = !has(t, node, "no-compare");
	c->write_zeroes = !has(t, node, "no-write-zeroes");
	c->dataset_management = !has(t, node, "no-dataset-management");
	text_copy(t, node, "serial", c->serial, sizeof(c->serial));
	text_copy(t, node, "model-name", c->model, sizeof(c->model));
	text_copy(t, node, "firmware", c->firmware, sizeof(c->firmware));
	return 0;
}

static int read_nvme(struct tree *t, int node, struct model_pci_bus *bus)
{
	struct nvme_model_config config;
	struct model_device *dev;
	char name[MODEL_NAME_LEN];
	uint8_t devfn;
	int child, ret;

	nvme_model_config_default(&config);
	snprintf(config.serial, sizeof(config.serial), "OUTBOARD%04u", t->nvme_count + 1);
	ret = devfn_of(t, node, &devfn);
	if (ret == 0)
		ret = read_config(t, node, &config);
	if (ret != 0)
		return ret;
	snprintf(name, sizeof(name), "nvme%u", t->nvme_count++);
	ret = model_device_create_nvme(t->mm, bus, devfn, name, &config, &dev);
	if (ret != 0)
		return complain(t, node, strerror(-ret));
	dev->threaded = has(t, node, "threaded");
	fdt_for_each_subnode(child, t->blob, node)
	{
		if (!is(t, child, "outboard,nvme-namespace"))
			return complain(t, child, "is no outboard,nvme-namespace");
		ret = read_namespace(t, child, dev);
		if (ret != 0)
			return ret;
	}
	model_device_ready(dev, !has(t, node, "absent"));
	return 0;
}

static int read_port(struct tree *t, int node)
{
	uint64_t slot_number = t->port_count + 1;
	struct model_device *port;
	char name[MODEL_NAME_LEN];
	uint8_t devfn;
	int child, ret = devfn_of(t, node, &devfn);

	if (ret == 0)
		ret = number_in(t, node, "slot-number", 0, 8191, &slot_number);
	if (ret != 0)
		return ret;
	snprintf(name, sizeof(name), "port%u", t->port_count++);
	ret = model_device_create_port(t->mm, devfn, (uint16_t)slot_number, name, &port);
	if (ret != 0)
		return complain(t, node, strerror(-ret));
	fdt_for_each_subnode(child, t->blob, node)
	{
		if (!is(t, child, "outboard,nvme"))
			return complain(t, child, "is no device that can be behind a port");
		ret = read_nvme(t, child, &port->pci.secondary);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int read_tree(struct tree *t)
{
	int host = fdt_node_offset_by_compatible(t->blob, -1, "outboard,pci-host"), child, ret;

	if (host < 0) {
		ob_err(t->mm->machine.ob, "model: %s: no node is compatible with \"outboard,pci-host\"", t->path);
		return -EINVAL;
	}
	fdt_for_each_subnode(child, t->blob, host)
	{
		if (is(t, child, "outboard,pcie-root-port"))
			ret = read_port(t, child);
		else if (is(t, child, "outboard,nvme"))
			ret = read_nvme(t, child, &t->mm->root.bus);
		else
			ret = complain(t, child, "is neither outboard,pcie-root-port nor outboard,nvme");
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* ---- getting the blob ---- */

/* All of @fd, at most until the deadline. Returns how much, or negative errno. */
static ssize_t slurp(int fd, uint8_t *to, size_t max, uint64_t deadline_ns)
{
	size_t len = 0;

	while (len < max) {
		uint64_t now = model_host_now_ns(NULL);
		uint64_t left_ms = deadline_ns <= now ? 0 : (deadline_ns - now) / OB_NS_PER_MS + 1;
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&pfd, 1, (int)MIN(left_ms, 3600000u)) == 0)
			return -ETIMEDOUT;
		n = read(fd, to + len, max - len);
		if (n < 0 && errno != EINTR)
			return -EIO;
		if (n == 0)
			return (ssize_t)len;
		len += n > 0 ? (size_t)n : 0;
	}
	return -EFBIG;
}

static int start_dtc(const char *path, pid_t *pid, int *out)
{
	char *argv[] = {(char *)"dtc", (char *)"-q", (char *)"-I", (char *)"dts",           (char *)"-O",
			(char *)"dtb", (char *)"-o", (char *)"-",  (char *)(uintptr_t)path, NULL};
	posix_spawn_file_actions_t actions;
	int fds[2], ret;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	ret = posix_spawnp(pid, "dtc", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (ret != 0) {
		close(fds[0]);
		return -ret;
	}
	*out = fds[0];
	return 0;
}

static ssize_t compile(struct tree *t, uint8_t *blob, uint64_t deadline_ns)
{
	struct ob *ob = t->mm->machine.ob;
	int fd = -1, status = 0, ret;
	ssize_t len;
	pid_t pid;

	if (access(t->path, R_OK) != 0) {
		ret = -errno;
		ob_err(ob, "model: %s: %s", t->path, strerror(-ret));
		return ret;
	}
	ret = start_dtc(t->path, &pid, &fd);
	if (ret != 0) {
		ob_err(ob, "model: %s: dtc cannot be started (Debian: device-tree-compiler): %s", t->path,
		       strerror(-ret));
		return ret;
	}
	len = slurp(fd, blob, TREE_BYTES_MAX, deadline_ns);
	close(fd);
	if (len < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (len < 0 || status == 0)
		return len;
	ob_err(ob, "model: %s: dtc refused it", t->path);
	return -EINVAL;
}

static ssize_t load(struct tree *t, uint8_t *blob, uint64_t deadline_ns)
{
	int fd = open(t->path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0) {
		len = -errno;
		ob_err(t->mm->machine.ob, "model: %s: %s", t->path, strerror((int)-len));
		return len;
	}
	len = slurp(fd, blob, TREE_BYTES_MAX, deadline_ns);
	close(fd);
	return len;
}

int model_tree(struct model_machine *mm, const char *path, uint64_t deadline_ns)
{
	struct tree t = {.mm = mm, .path = path};
	uint8_t *blob = malloc(TREE_BYTES_MAX);
	size_t path_len = strlen(path);
	ssize_t len;
	int ret;

	if (blob == NULL)
		return -ENOMEM;
	if (path[path_len - 1] == 's')
		len = compile(&t, blob, deadline_ns);
	else
		len = load(&t, blob, deadline_ns);
	ret = len < 0 ? (int)len : 0;
	if (ret == 0 && fdt_check_full(blob, (size_t)len) != 0) {
		ob_err(mm->machine.ob, "model: %s: not a device tree blob", path);
		ret = -EINVAL;
	}
	t.blob = blob;
	if (ret == 0)
		ret = read_tree(&t);
	free(blob);
	return ret;
}
