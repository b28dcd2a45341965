/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine of core's unit tests: test_machine.h. */
#include "tests/test_machine.h"

#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <outboard/outboard.h>

#include "core/cpu.h"
#include "core/machine_core.h"

#define LOG_MAX 512
#define LINE_FD (TEST_VECTORS_MAX - 1) /* of a device that has no messages */

struct test_setup test_setup;

const struct ob_driver *const bus_drivers[] = {NULL};
const struct ob_driver *const builtin_drivers[] = {
	NULL,
};

#define COUNT(counter, n) __atomic_fetch_add(&(counter), (unsigned)(n), __ATOMIC_SEQ_CST)

/* ---- log ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_lines[LOG_MAX][256];
static unsigned log_count;

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	pthread_mutex_lock(&log_lock);
	snprintf(log_lines[log_count++ % LOG_MAX], sizeof(log_lines[0]), "%s", message);
	pthread_mutex_unlock(&log_lock);
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

bool test_logged(const char *a, const char *b)
{
	bool found = false;

	pthread_mutex_lock(&log_lock);
	for (unsigned i = 0; i < log_count && i < LOG_MAX; i++)
		found |= strstr(log_lines[i], a) != NULL && (b == NULL || strstr(log_lines[i], b) != NULL);
	pthread_mutex_unlock(&log_lock);
	return found;
}

void test_log_clear(void)
{
	pthread_mutex_lock(&log_lock);
	log_count = 0;
	pthread_mutex_unlock(&log_lock);
}

struct ob *test_context(unsigned cpus)
{
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG, .cpu_count = cpus};
	struct ob *ob;

	memset(&test_setup, 0, sizeof(test_setup));
	test_log_clear();
	assert_int_equal(ob_create(&config, &ob), 0);
	return ob;
}

/* ---- interrupts ---- */

static void fire_fd(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
}

void test_fire(struct test_device *td, unsigned vector)
{
	pthread_mutex_lock(&td->machine->lock);
	if (td->masked[vector])
		td->latched[vector] = true;
	else
		fire_fd(td->fds[vector]);
	pthread_mutex_unlock(&td->machine->lock);
}

void test_fire_past_mask(struct test_device *td, unsigned vector)
{
	fire_fd(td->fds[vector]);
}

bool test_masked(struct test_device *td, unsigned vector)
{
	bool masked;

	pthread_mutex_lock(&td->machine->lock);
	masked = td->masked[vector];
	pthread_mutex_unlock(&td->machine->lock);
	return masked;
}

/* Under the lock: all who listen to a line. */
static void fire_line(struct test_machine *tm, unsigned index)
{
	fire_fd(tm->lines[index].fd);
	for (unsigned i = 0; i < TEST_DEVICES_MAX; i++)
		if (tm->devices[i] != NULL && tm->devices[i]->setup->line == index)
			fire_fd(tm->devices[i]->fds[LINE_FD]);
}

/* Under the lock: a line is up while one of its devices asserts it unmasked; only its rise fires. */
static void settle_line(struct test_machine *tm, unsigned index)
{
	struct test_line *line = &tm->lines[index];
	bool up = false;

	for (unsigned i = 0; i < TEST_DEVICES_MAX; i++) {
		struct test_device *td = tm->devices[i];

		up |= td != NULL && td->setup->line == index && td->asserted && !td->masked[0];
	}
	if (up && !line->up)
		fire_line(tm, index);
	line->up = up;
}

void test_level(struct test_device *td, bool up)
{
	pthread_mutex_lock(&td->machine->lock);
	td->asserted = up;
	settle_line(td->machine, td->setup->line);
	pthread_mutex_unlock(&td->machine->lock);
}

/* ---- bus ---- */

static struct test_device *to_test(struct ob_device *dev)
{
	return (struct test_device *)(void *)dev;
}

static unsigned test_match(struct ob_device *dev, const struct ob_match *row)
{
	return match_score(row, &to_test(dev)->setup->ids);
}

static int test_enable(struct ob_device *dev)
{
	to_test(dev)->enables++;
	return to_test(dev)->enable_error;
}

static void test_disable(struct ob_device *dev)
{
	to_test(dev)->disables++;
	to_test(dev)->dma_enabled = false;
}

static uint64_t call_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	struct test_device *td = region->context;
	uint64_t value = 0;

	if (__atomic_load_n(&td->absent, __ATOMIC_SEQ_CST))
		return UINT64_MAX >> (64 - 8 * size_bytes);
	for (unsigned i = size_bytes; i-- > 0;)
		value = value << 8 | __atomic_load_n(&td->regs[offset + i], __ATOMIC_SEQ_CST);
	return value;
}

static void call_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	struct test_device *td = region->context;

	for (unsigned i = 0; i < size_bytes; i++)
		__atomic_store_n(&td->regs[offset + i], (uint8_t)(value >> (8 * i)), __ATOMIC_SEQ_CST);
}

static const struct ob_region_ops call_ops = {.read = call_read, .write = call_write};

static int test_region(struct ob_device *dev, unsigned index, struct ob_region *out)
{
	struct test_device *td = to_test(dev);

	if (index > 1)
		return -ENXIO;
	*out = (struct ob_region){.len_bytes = TEST_REGS_BYTES, .ops = &call_ops, .context = td};
	if (index == 0)
		out->base = td->regs;
	return 0;
}

static int test_enable_dma(struct ob_device *dev, bool enable)
{
	to_test(dev)->dma_enabled = enable;
	return 0;
}

static int test_reset(struct ob_device *dev)
{
	to_test(dev)->resets++;
	return 0;
}

static int test_sleep(struct ob_device *dev)
{
	assert(!to_test(dev)->asleep);
	to_test(dev)->asleep = true;
	return to_test(dev)->sleep_error;
}

static int test_wake(struct ob_device *dev)
{
	assert(to_test(dev)->asleep);
	to_test(dev)->asleep = false;
	return to_test(dev)->wake_error;
}

static bool test_is_present(struct ob_device *dev)
{
	return !__atomic_load_n(&to_test(dev)->absent, __ATOMIC_SEQ_CST);
}

static int test_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds,
			  struct bus_irq_vectors *out)
{
	struct test_device *td = to_test(dev);

	if (td->setup->vectors >= min && (kinds & OB_IRQ_MSIX)) {
		out->kind = OB_IRQ_MSIX;
		out->count = max < td->setup->vectors ? max : td->setup->vectors;
		out->fds = td->fds;
	} else if (min == 1 && (kinds & OB_IRQ_INTX)) {
		out->kind = OB_IRQ_INTX;
		out->count = 1;
		out->fds = test_setup.own_line_fds ? &td->fds[LINE_FD] : &td->machine->lines[td->setup->line].fd;
	} else {
		return -ENOSPC;
	}
	td->vectors_held = true;
	return 0;
}

static void test_irq_release(struct ob_device *dev)
{
	assert(to_test(dev)->vectors_held);
	to_test(dev)->vectors_held = false;
}

static void test_irq_mask(struct ob_device *dev, unsigned vector, bool mask)
{
	struct test_device *td = to_test(dev);

	pthread_mutex_lock(&td->machine->lock);
	td->masked[vector] = mask;
	if (dev->vectors.kind == OB_IRQ_INTX) {
		settle_line(td->machine, td->setup->line);
	} else if (!mask && td->latched[vector]) {
		td->latched[vector] = false;
		fire_fd(td->fds[vector]);
	}
	pthread_mutex_unlock(&td->machine->lock);
}

static bool test_irq_level(struct ob_device *dev, unsigned vector)
{
	struct test_device *td = to_test(dev);
	bool up;

	pthread_mutex_lock(&td->machine->lock);
	up = td->machine->lines[td->setup->line].up;
	/* As QEMU's machine: whoever shares the line looks again. */
	if (up && test_setup.own_line_fds)
		fire_line(td->machine, td->setup->line);
	pthread_mutex_unlock(&td->machine->lock);
	return up;
}

static void test_release(struct ob_device *dev)
{
	struct test_device *td = to_test(dev);

	for (unsigned i = 0; i < TEST_VECTORS_MAX; i++)
		close(td->fds[i]);
	free(td);
}

static const struct bus_ops test_bus_ops = {
	.name = "test",
	.match = test_match,
	.enable = test_enable,
	.disable = test_disable,
	.region = test_region,
	.enable_dma = test_enable_dma,
	.reset = test_reset,
	.suspend = test_sleep,
	.resume = test_wake,
	.is_present = test_is_present,
	.irq_alloc = test_irq_alloc,
	.irq_release = test_irq_release,
	.irq_mask = test_irq_mask,
	.irq_level = test_irq_level,
	.release = test_release,
};

static int scan_one(struct ob_machine *machine, struct test_machine *tm, unsigned i)
{
	const struct test_device_setup *setup = &test_setup.devices[i];
	struct ob_device *parent = setup->parent != NULL ? ob_device_find(machine, setup->parent) : NULL;
	struct test_device *td = calloc(1, sizeof(*td));
	int rc;

	assert(td != NULL);
	device_init(&td->dev, &test_bus_ops, machine, parent, setup->name);
	if (parent != NULL)
		ob_device_put(parent);
	td->setup = setup;
	td->machine = tm;
	for (unsigned v = 0; v < TEST_VECTORS_MAX; v++) {
		td->fds[v] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		td->masked[v] = true;
	}
	rc = device_add(&td->dev);
	if (rc != 0) {
		ob_device_put(&td->dev);
		return rc;
	}
	pthread_mutex_lock(&tm->lock);
	tm->devices[i] = td;
	pthread_mutex_unlock(&tm->lock);
	*machine_bus_data(machine, MACHINE_BUS_VIRTIO) = tm;
	return 0;
}

static int test_scan(struct ob_machine *machine, const struct machine_bus *bus)
{
	struct test_machine *tm = test_machine_of(machine);
	int rc = test_setup.scan_error;

	for (unsigned i = 0; rc == 0 && i < test_setup.device_count; i++)
		if (tm->devices[i] == NULL)
			rc = scan_one(machine, tm, i);
	return rc;
}

static void test_forget(struct ob_machine *machine)
{
	*machine_bus_data(machine, MACHINE_BUS_VIRTIO) = NULL;
	COUNT(test_setup.forgets, 1);
}

static const struct bus_type test_bus_type = {
	.kind = MACHINE_BUS_VIRTIO,
	.scan = test_scan,
	.forget = test_forget,
};

const struct bus_type *const bus_types[] = {
	&test_bus_type,
	NULL,
};

/* ---- machine ---- */

static const struct machine_bus test_buses[] = {
	{.kind = MACHINE_BUS_VIRTIO},
	{.kind = MACHINE_BUS_END},
};

static struct test_machine *tm_of(struct machine *m)
{
	return (struct test_machine *)(void *)m;
}

static const struct machine_bus *tm_buses(struct machine *m)
{
	return test_buses;
}

static void tm_release(struct machine *m, const char *device)
{
	COUNT(test_setup.releases, 1);
}

static void tm_shutdown(struct machine *m)
{
	COUNT(test_setup.shutdowns, 1);
}

static void tm_close(struct machine *m)
{
	struct test_machine *tm = tm_of(m);

	COUNT(test_setup.closes, 1);
	for (unsigned i = 0; i < TEST_LINES; i++)
		close(tm->lines[i].fd);
	pthread_mutex_destroy(&tm->lock);
	free(tm);
}

static void remember(struct test_machine *tm, const struct machine_dma_memory *memory)
{
	pthread_mutex_lock(&tm->lock);
	for (unsigned i = 0; i < 64; i++) {
		if (tm->memory[i].base != NULL)
			continue;
		tm->memory[i] = (struct test_memory){memory->base, memory->iova, memory->len_bytes, 0};
		break;
	}
	pthread_mutex_unlock(&tm->lock);
}

static void forget(struct test_machine *tm, const struct machine_dma_memory *memory)
{
	pthread_mutex_lock(&tm->lock);
	for (unsigned i = 0; i < 64; i++)
		if (tm->memory[i].base == memory->base)
			tm->memory[i].base = NULL;
	pthread_mutex_unlock(&tm->lock);
}

void *test_device_view(struct test_device *td, uint64_t iova)
{
	struct test_machine *tm = td->machine;
	void *found = NULL;

	if (test_setup.iommu)
		iova -= (uint64_t)(td->dev.dma_index + 1) << 40;
	pthread_mutex_lock(&tm->lock);
	for (unsigned i = 0; i < 64; i++) {
		struct test_memory *memory = &tm->memory[i];

		if (memory->base != NULL && iova >= memory->iova && iova - memory->iova < memory->len_bytes)
			found = memory->base + (iova - memory->iova);
	}
	pthread_mutex_unlock(&tm->lock);
	assert_non_null(found);
	return found;
}

static int tm_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	size_t align = align_bytes < 4096 ? 4096 : align_bytes;
	size_t len = (len_bytes + align - 1) & ~(align - 1);

	if (OB_READ_ONCE(m->dead))
		return -ENODEV;
	out->base = aligned_alloc(align, len);
	if (out->base == NULL)
		return -ENOMEM;
	memset(out->base, 0, len);
	out->len_bytes = len_bytes;
	out->iova = __atomic_fetch_add(&tm_of(m)->next_iova, len + 0x10000, __ATOMIC_RELAXED);
	out->cookie = out->base;
	remember(tm_of(m), out);
	COUNT(test_setup.dma_live, 1);
	return 0;
}

static void tm_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	forget(tm_of(m), memory);
	free(memory->cookie); /* NULL when imported */
	COUNT(test_setup.dma_live, -1);
}

static int tm_dma_import(struct machine *m, void *base, size_t len_bytes, struct machine_dma_memory *out)
{
	if (!test_setup.importable)
		return -EOPNOTSUPP;
	*out = (struct machine_dma_memory){base, 0x700000000000, len_bytes, NULL};
	COUNT(test_setup.dma_live, 1);
	return 0;
}

/* A second grant of the same memory widens the first. */
static void set_granted(struct test_machine *tm, const struct machine_dma_memory *memory, unsigned index, bool granted)
{
	uint64_t bit = 1ull << index;

	pthread_mutex_lock(&tm->lock);
	for (unsigned i = 0; i < 64; i++) {
		struct test_memory *known = &tm->memory[i];

		if (known->base != memory->base || ((known->granted & bit) != 0) == granted)
			continue;
		known->granted ^= bit;
		COUNT(test_setup.grants_live, granted ? 1 : -1);
	}
	pthread_mutex_unlock(&tm->lock);
}

static int tm_dma_grant(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			unsigned rights, uint64_t *iova)
{
	if (test_setup.grant_error != 0)
		return test_setup.grant_error;
	*iova = memory->iova + ((uint64_t)(dev->dma_index + 1) << 40);
	set_granted(tm_of(m), memory, (unsigned)dev->dma_index, true);
	return 0;
}

static void tm_dma_revoke(struct machine *m, struct ob_device *dev, const struct machine_dma_memory *memory,
			  uint64_t iova)
{
	assert(iova == memory->iova + ((uint64_t)(dev->dma_index + 1) << 40));
	set_granted(tm_of(m), memory, (unsigned)dev->dma_index, false);
}

static int tm_command(struct machine *m, const char *command, char **reply, uint64_t deadline_ns)
{
	return strcmp(command, "good") == 0 ? 0 : -EIO;
}

static int tm_rescan(struct machine *m, uint64_t deadline_ns)
{
	COUNT(test_setup.rescans, 1);
	return test_setup.rescan_error;
}

static const struct machine_ops plain_ops = {
	.rescan = tm_rescan,
	.shutdown = tm_shutdown,
	.close = tm_close,
	.release = tm_release,
	.buses = tm_buses,
	.dma_alloc = tm_dma_alloc,
	.dma_free = tm_dma_free,
	.dma_import = tm_dma_import,
	.command = tm_command,
};

static const struct machine_ops iommu_ops = {
	.shutdown = tm_shutdown,
	.close = tm_close,
	.release = tm_release,
	.buses = tm_buses,
	.dma_alloc = tm_dma_alloc,
	.dma_free = tm_dma_free,
	.dma_grant = tm_dma_grant,
	.dma_revoke = tm_dma_revoke,
};

static const struct machine_ops no_shutdown_ops = {
	.close = tm_close,
	.release = tm_release,
	.buses = tm_buses,
	.dma_alloc = tm_dma_alloc,
	.dma_free = tm_dma_free,
};

static int tm_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		   struct machine **out)
{
	struct test_machine *tm = calloc(1, sizeof(*tm));

	if (tm == NULL)
		return -ENOMEM;
	tm->m.ops = test_setup.iommu ? &iommu_ops : test_setup.no_shutdown ? &no_shutdown_ops : &plain_ops;
	tm->m.ob = ob;
	pthread_mutex_init(&tm->lock, NULL);
	tm->next_iova = 0x100000;
	for (unsigned i = 0; i < TEST_LINES; i++)
		tm->lines[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	COUNT(test_setup.opens, 1);
	*out = &tm->m;
	return 0;
}

const struct machine_type test_machine_type = {
	.scheme = "test",
	.help = "test: fake devices",
	.open = tm_open,
};

struct test_device_setup *test_add(const char *name, uint32_t vendor, uint32_t device, unsigned vectors)
{
	struct test_device_setup *setup = &test_setup.devices[test_setup.device_count++];

	assert(test_setup.device_count <= TEST_DEVICES_MAX);
	snprintf(setup->name, sizeof(setup->name), "%s", name);
	setup->ids = (struct match_ids){.vendor = vendor,
					.device = device,
					.subvendor = OB_ANY,
					.subdevice = OB_ANY,
					.class_code = 0x010802,
					.pci = true};
	setup->vectors = vectors;
	return setup;
}

static int plain_probe(struct ob_device *dev, const struct ob_match *row)
{
	return 0;
}

static void plain_remove(struct ob_device *dev)
{
}

static const struct ob_match plain_match[] = {OB_PCI_ID(0x1234, OB_ANY), OB_MATCH_LAST};
const struct ob_driver test_plain_driver = {
	.name = "plain", .match = plain_match, .probe = plain_probe, .remove = plain_remove};

int test_open(struct ob *ob, unsigned flags, struct ob_machine **out)
{
	struct ob_machine_options options = {.flags = flags, .timeout_ns = 10 * OB_NS_PER_S};

	return machine_open(ob, &test_machine_type, "test:x", "x", &options, out);
}

struct test_machine *test_machine_of(struct ob_machine *machine)
{
	return tm_of(machine->m);
}

struct test_device *test_device_of(struct ob_machine *machine, const char *name)
{
	struct ob_device *dev = ob_device_find(machine, name);

	assert_non_null(dev);
	ob_device_put(dev);
	return to_test(dev);
}

void test_machine_removal(struct ob_machine *machine, const char *device, enum machine_removal how)
{
	machine->m->on_removal(machine->m, device, how, "the test wants it");
}

void test_machine_kill(struct ob_machine *machine, const char *why)
{
	struct machine *m = machine->m;

	OB_WRITE_ONCE(m->dead, true);
	m->on_dead(m, why);
}

/* ---- running things ---- */

void test_in_task(struct ob *ob, unsigned index, void (*fn)(void *arg), void *arg)
{
	struct ob_task *task;

	assert_int_equal(ob_task_spawn(ob_cpu_get(ob, index), "test", fn, arg, &task), 0);
	assert_int_equal(ob_task_join(task, ob_deadline(20 * OB_NS_PER_S)), 0);
}

bool test_wait_until(struct ob *ob, bool (*done)(void *arg), void *arg, unsigned timeout_ms)
{
	uint64_t deadline = ob_deadline(timeout_ms * OB_NS_PER_MS);

	while (!done(arg) && ob_now_ns() < deadline) {
		bool turned = false;

		for (unsigned i = 0; i < ob_cpu_count(ob); i++)
			if (cpu_is_home(ob_cpu_get(ob, i)))
				turned |= ob_cpu_turn(ob_cpu_get(ob, i), OB_NS_PER_MS) >= 0;
		if (!turned)
			usleep(200);
	}
	return done(arg);
}
