/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine in the test process that has a device tree. */
#include "tests/fake_dt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <libfdt.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fake_dt fake_dt;
static char log_text[65536];
static size_t log_len;

/* ---- the machine ---- */

static uint64_t region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	uint64_t address = region->address + offset;

	return fake_dt.read != NULL ? fake_dt.read(address, size_bytes) : address & 0xffffffff;
}

static void region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	if (fake_dt.write != NULL)
		fake_dt.write(region->address + offset, size_bytes, value);
}

static const struct ob_region_ops region_ops = {.read = region_read, .write = region_write};

static void fake_close(struct machine *m)
{
	for (unsigned i = 0; i < fake_dt.line_count; i++)
		close(fake_dt.lines[i].fd);
	fake_dt.line_count = 0;
}

static const struct machine_bus *fake_buses(struct machine *m)
{
	return fake_dt.bus;
}

static int fake_flush(struct machine *m)
{
	return 0;
}

static int fake_region_open(struct machine *m, struct ob_device *dev, enum machine_space space, uint64_t address,
			    uint64_t len_bytes, struct ob_region *out)
{
	assert_int_equal(space, MACHINE_SPACE_MEMORY);
	assert_true(len_bytes > 0 && address + (len_bytes - 1) >= address);
	fake_dt.regions_open++;
	fake_dt.region_address = address;
	fake_dt.region_bytes = len_bytes;
	*out = (struct ob_region){.len_bytes = len_bytes, .ops = &region_ops, .address = address, .dev = dev};
	return 0;
}

static void fake_region_close(struct machine *m, struct ob_region *region)
{
	fake_dt.regions_open--;
	*region = (struct ob_region){0};
}

static int fake_line_open(struct machine *m, struct ob_device *dev, uint64_t controller, uint32_t number,
			  struct machine_intx *out)
{
	struct fake_line *line = NULL;

	if (fake_dt.no_lines)
		return -EOPNOTSUPP;
	for (unsigned i = 0; i < fake_dt.line_count; i++)
		if (fake_dt.lines[i].number == number)
			line = &fake_dt.lines[i];
	if (line == NULL) {
		assert_true(fake_dt.line_count < FAKE_LINES);
		line = &fake_dt.lines[fake_dt.line_count++];
		*line = (struct fake_line){
			.controller = controller,
			.number = number,
			.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
	}
	fake_dt.lines_open++;
	*out = (struct machine_intx){.fd = line->fd, .cookie = line};
	return 0;
}

static void fake_line_close(struct machine *m, struct machine_intx *line)
{
	fake_dt.lines_open--;
}

static bool fake_level(struct machine *m, struct machine_intx *out)
{
	struct fake_line *line = out->cookie;

	line->asked++;
	return line->level;
}

static int fake_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out)
{
	size_t at = fake_dt.memory_used;

	len_bytes = (len_bytes + 4095) & ~(size_t)4095;
	if (align_bytes > 4096 || len_bytes > sizeof(fake_dt.memory) - at)
		return -ENOMEM;
	fake_dt.memory_used += len_bytes;
	fake_dt.memory_pieces++;
	memset(fake_dt.memory + at, 0, len_bytes);
	*out = (struct machine_dma_memory){
		.base = fake_dt.memory + at, .iova = FAKE_MEMORY + at, .len_bytes = len_bytes};
	return 0;
}

static void fake_dma_free(struct machine *m, struct machine_dma_memory *memory)
{
	fake_dt.memory_pieces--;
}

static const struct machine_ops fake_ops = {
	.close = fake_close,
	.buses = fake_buses,
	.flush = fake_flush,
	.region_open = fake_region_open,
	.region_close = fake_region_close,
	.dma_alloc = fake_dma_alloc,
	.dma_free = fake_dma_free,
	.line_open = fake_line_open,
	.intx_close = fake_line_close,
	.intx_level = fake_level,
};

static int fake_open(struct ob *ob, const char *rest, const struct ob_machine_options *options, uint64_t deadline_ns,
		     struct machine **out)
{
	fake_dt.m = (struct machine){.ops = &fake_ops, .ob = ob};
	*out = &fake_dt.m;
	return 0;
}

const struct machine_type fake_dt_type = {.scheme = "fake", .help = "", .open = fake_open};

void fake_dt_set(uint32_t number, bool level)
{
	const uint64_t one = 1;

	for (unsigned i = 0; i < fake_dt.line_count; i++) {
		struct fake_line *line = &fake_dt.lines[i];

		if (line->number != number)
			continue;
		if (level && !line->level)
			assert_int_equal(write(line->fd, &one, sizeof(one)), sizeof(one));
		line->level = level;
	}
}

/* ---- the tree ---- */

static void must(int error)
{
	if (error < 0)
		fail_msg("the tree cannot be written: %s", fdt_strerror(error));
}

void fake_dt_begin(bool plain)
{
	memset(&fake_dt, 0, sizeof(fake_dt));
	must(fdt_create(fake_dt.blob, sizeof(fake_dt.blob)));
	must(fdt_finish_reservemap(fake_dt.blob));
	must(fdt_begin_node(fake_dt.blob, ""));
	if (plain)
		return;
	fake_dt_cells("#address-cells", 2, FAKE_DT_LAST);
	fake_dt_cells("#size-cells", 2, FAKE_DT_LAST);
	fake_dt_cells("interrupt-parent", 1, FAKE_DT_LAST);
}

void fake_dt_end(void)
{
	must(fdt_end_node(fake_dt.blob));
	must(fdt_finish(fake_dt.blob));
	fake_dt.bus[0].kind = MACHINE_BUS_DT;
	fake_dt.bus[0].u.dt.blob = fake_dt.blob;
	fake_dt.bus[0].u.dt.len_bytes = fdt_totalsize(fake_dt.blob);
	fake_dt.bus[1].kind = MACHINE_BUS_END;
}

void fake_dt_node(const char *name)
{
	must(fdt_begin_node(fake_dt.blob, name));
}

void fake_dt_up(void)
{
	must(fdt_end_node(fake_dt.blob));
}

void fake_dt_bytes(const char *name, const void *value, size_t len_bytes)
{
	must(fdt_property(fake_dt.blob, name, value, (int)len_bytes));
}

void fake_dt_cells(const char *name, ...)
{
	fdt32_t cells[64];
	unsigned count = 0;
	uint32_t cell;
	va_list args;

	va_start(args, name);
	while ((cell = va_arg(args, uint32_t)) != FAKE_DT_LAST) {
		assert_true(count < 64);
		cells[count++] = cpu_to_fdt32(cell);
	}
	va_end(args);
	fake_dt_bytes(name, cells, count * sizeof(*cells));
}

void fake_dt_gic(void)
{
	fake_dt_node("intc@8000000");
	fake_dt_text("compatible", "arm,cortex-a15-gic");
	fake_dt_cells("reg", 0, 0x8000000, 0, 0x10000, FAKE_DT_LAST);
	fake_dt_cells("#interrupt-cells", 3, FAKE_DT_LAST);
	fake_dt_cells("phandle", 1, FAKE_DT_LAST);
	fake_dt_bytes("interrupt-controller", "", 0);
	fake_dt_up();
}

/* ---- opening it ---- */

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	log_len += (size_t)snprintf(log_text + log_len, sizeof(log_text) - log_len, "%s\n", message);
	if (log_len >= sizeof(log_text))
		log_len = sizeof(log_text) - 1;
}

bool fake_dt_logged(const char *text)
{
	return strstr(log_text, text) != NULL;
}

int fake_dt_open(const struct ob_driver *const *drivers, struct ob **ob, struct ob_machine **machine)
{
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_INFO};
	struct ob_machine_options options = {.flags = drivers == NULL ? OB_MACHINE_NO_BIND : 0};
	int rc;

	log_text[0] = '\0';
	log_len = 0;
	assert_int_equal(ob_create(&config, ob), 0);
	for (; drivers != NULL && *drivers != NULL; drivers++)
		assert_int_equal(ob_driver_register(*ob, *drivers), 0);
	rc = machine_open(*ob, &fake_dt_type, "fake:", "", &options, machine);
	if (rc != 0)
		ob_destroy(*ob);
	return rc;
}

void fake_dt_close(struct ob *ob, struct ob_machine *machine)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	assert_int_equal(fake_dt.regions_open, 0);
	assert_int_equal(fake_dt.lines_open, 0);
	assert_int_equal(fake_dt.memory_pieces, 0);
}

unsigned fake_dt_count(struct ob_machine *machine)
{
	unsigned count = 0;

	for (struct ob_device *dev = NULL; (dev = ob_device_next(machine, dev)) != NULL;)
		count++;
	return count;
}

struct ob_device *fake_dt_device(struct ob_machine *machine, const char *name)
{
	struct ob_device *dev = ob_device_find(machine, name);

	if (dev != NULL)
		ob_device_put(dev);
	return dev;
}
