/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second judge: the same admin commands, through the same driver, to the modelled controller and to QEMU's. Status
 * and result must agree, but where it is written here why they do not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/driver.h>
#include <outboard/nvme.h>
#include <outboard/outboard.h>

#include "spec/nvme.h"

#define DISK_BYTES       (64 * OB_MIB)
#define LOG(page, bytes) ((page) | ((bytes) / 4 - 1) << 16)

#define NO_MANAGEMENT "QEMU has no namespace management without a subsystem"
#define FIXED_FEATURE "QEMU cannot change this feature"

enum data {
	NO_DATA,
	TO_HOST,
	FROM_HOST
};

struct probe {
	const char *name;
	uint8_t opcode;
	uint32_t nsid, cdw10, cdw11, cdw12;
	enum data data;
	const char *differs; /* why, or NULL */
};

static const struct probe probes[] = {
	{"identify controller", 0x06, 0, 0x01, 0, 0, TO_HOST, NULL},
	{"identify namespace", 0x06, 1, 0x00, 0, 0, TO_HOST, NULL},
	{"identify namespace 0", 0x06, 0, 0x00, 0, 0, TO_HOST, NULL},
	{"identify inactive namespace", 0x06, 2, 0x00, 0, 0, TO_HOST, NULL},
	{"identify last namespace", 0x06, 256, 0x00, 0, 0, TO_HOST, NULL},
	{"identify namespace beyond NN", 0x06, 257, 0x00, 0, 0, TO_HOST, NULL},
	{"identify all namespaces", 0x06, NVME_NSID_ALL, 0x00, 0, 0, TO_HOST, NO_MANAGEMENT},
	{"namespace list", 0x06, 0, 0x02, 0, 0, TO_HOST, NULL},
	{"namespace list from fffffffe", 0x06, NVME_NSID_ALL - 1, 0x02, 0, 0, TO_HOST, NULL},
	{"namespace list from ffffffff", 0x06, NVME_NSID_ALL, 0x02, 0, 0, TO_HOST, NULL},
	{"descriptors", 0x06, 1, 0x03, 0, 0, TO_HOST, NULL},
	{"descriptors of 0", 0x06, 0, 0x03, 0, 0, TO_HOST, NULL},
	{"descriptors of inactive", 0x06, 2, 0x03, 0, 0, TO_HOST, NULL},
	{"descriptors of all", 0x06, NVME_NSID_ALL, 0x03, 0, 0, TO_HOST, NULL},
	{"allocated list", 0x06, 0, 0x10, 0, 0, TO_HOST, NULL},
	{"allocated namespace", 0x06, 1, 0x11, 0, 0, TO_HOST, NULL},
	{"unknown CNS", 0x06, 0, 0x55, 0, 0, TO_HOST, NULL},
	{"get arbitration", 0x0a, 0, 0x01, 0, 0, NO_DATA, NULL},
	{"get power", 0x0a, 0, 0x02, 0, 0, NO_DATA, NULL},
	{"get temperature", 0x0a, 0, 0x04, 0, 0, NO_DATA, NULL},
	{"get temperature of sensor 1", 0x0a, 0, 0x04, 1u << 16, 0, NO_DATA, NULL},
	{"get temperature under", 0x0a, 0, 0x04, 1u << 20, 0, NO_DATA, NULL},
	{"get error recovery", 0x0a, 1, 0x05, 0, 0, NO_DATA, NULL},
	{"get error recovery of 0", 0x0a, 0, 0x05, 0, 0, NO_DATA, NULL},
	{"get error recovery of all", 0x0a, NVME_NSID_ALL, 0x05, 0, 0, NO_DATA, NULL},
	{"get error recovery of inactive", 0x0a, 2, 0x05, 0, 0, NO_DATA, NULL},
	{"get error recovery beyond NN", 0x0a, 300, 0x05, 0, 0, NO_DATA, NULL},
	{"get write cache", 0x0a, 0, 0x06, 0, 0, NO_DATA, NULL},
	{"get queue count", 0x0a, 0, 0x07, 0, 0, NO_DATA, NULL},
	{"get coalescing", 0x0a, 0, 0x08, 0, 0, NO_DATA, NULL},
	{"get vector 0", 0x0a, 0, 0x09, 0, 0, NO_DATA, NULL},
	{"get vector 1", 0x0a, 0, 0x09, 1, 0, NO_DATA, NULL},
	{"get vector beyond", 0x0a, 0, 0x09, 200, 0, NO_DATA, NULL},
	{"get atomicity", 0x0a, 0, 0x0a, 0, 0, NO_DATA, NULL},
	{"get async, default", 0x0a, 0, 0x0b | 1u << 8, 0, 0, NO_DATA, NULL},
	{"get timestamp", 0x0a, 0, 0x0e, 0, 0, TO_HOST, NULL},
	{"get unknown feature", 0x0a, 0, 0x7e, 0, 0, NO_DATA, NULL},
	{"get feature 0", 0x0a, 0, 0x00, 0, 0, NO_DATA, NULL},
	{"get arbitration, default", 0x0a, 0, 0x01 | 1u << 8, 0, 0, NO_DATA, NULL},
	{"get arbitration, saved", 0x0a, 0, 0x01 | 2u << 8, 0, 0, NO_DATA, NULL},
	{"get write cache, capabilities", 0x0a, 0, 0x06 | 3u << 8, 0, 0, NO_DATA, NULL},
	{"get temperature, capabilities", 0x0a, 0, 0x04 | 3u << 8, 0, 0, NO_DATA, NULL},
	{"get error recovery, capabilities", 0x0a, 1, 0x05 | 3u << 8, 0, 0, NO_DATA, NULL},
	{"get temperature, default", 0x0a, 0, 0x04 | 1u << 8, 0, 0, NO_DATA, NULL},
	{"get arbitration of a namespace", 0x0a, 1, 0x01, 0, 0, NO_DATA, NULL},
	{"get arbitration, reserved selection", 0x0a, 0, 0x01 | 4u << 8, 0, 0, NO_DATA, "QEMU takes it for current"},
	{"set arbitration", 0x09, 0, 0x01, 7, 0, NO_DATA, FIXED_FEATURE},
	{"set arbitration, saved", 0x09, 0, 0x01 | NVME_FEATURE_SAVE, 7, 0, NO_DATA, NULL},
	{"set arbitration of a namespace", 0x09, 1, 0x01, 7, 0, NO_DATA, NULL},
	{"set queue count too late", 0x09, 0, 0x07, 0x30003, 0, NO_DATA, NULL},
	{"set queue count 65536 too late", 0x09, 0, 0x07, 0xffff0000, 0, NO_DATA, NULL},
	{"set unknown feature", 0x09, 0, 0x7e, 0, 0, NO_DATA, NULL},
	{"set temperature", 0x09, 0, 0x04, 350, 0, NO_DATA, NULL},
	{"set temperature of sensor 1", 0x09, 0, 0x04, 350 | 1u << 16, 0, NO_DATA,
	 "QEMU ignores sensors that it lacks"},
	{"set temperature, reserved kind", 0x09, 0, 0x04, 350 | 2u << 20, 0, NO_DATA, NULL},
	{"set error recovery", 0x09, 1, 0x05, 5, 0, NO_DATA, NULL},
	{"set error recovery of 0", 0x09, 0, 0x05, 5, 0, NO_DATA, NULL},
	{"set error recovery of all", 0x09, NVME_NSID_ALL, 0x05, 5, 0, NO_DATA, NULL},
	{"set write cache off", 0x09, 0, 0x06, 0, 0, NO_DATA, NULL},
	{"set write cache on", 0x09, 0, 0x06, 1, 0, NO_DATA, NULL},
	{"set coalescing", 0x09, 0, 0x08, 0x102, 0, NO_DATA, FIXED_FEATURE},
	{"log of errors", 0x02, 0, LOG(0x01, 64), 0, 0, TO_HOST, NULL},
	{"log of health", 0x02, NVME_NSID_ALL, LOG(0x02, 512), 0, 0, TO_HOST, NULL},
	{"log of health of 0", 0x02, 0, LOG(0x02, 512), 0, 0, TO_HOST, "QEMU wants ffffffff"},
	{"log of health of a namespace", 0x02, 1, LOG(0x02, 512), 0, 0, TO_HOST, "QEMU keeps it per namespace"},
	{"log of health at its end", 0x02, NVME_NSID_ALL, LOG(0x02, 512), 0, 512, TO_HOST, NULL},
	{"log of health beyond its end", 0x02, NVME_NSID_ALL, LOG(0x02, 512), 0, 516, TO_HOST, NULL},
	{"log at an odd offset", 0x02, NVME_NSID_ALL, LOG(0x02, 512), 0, 2, TO_HOST, NULL},
	{"log of firmware", 0x02, 0, LOG(0x03, 512), 0, 0, TO_HOST, NULL},
	{"log of firmware beyond its end", 0x02, 0, LOG(0x03, 512), 0, 600, TO_HOST, NULL},
	{"log of changed namespaces", 0x02, 0, LOG(0x04, 4096), 0, 0, TO_HOST, NULL},
	{"log of effects", 0x02, 0, LOG(0x05, 4096), 0, 0, TO_HOST, NULL},
	{"unknown log", 0x02, 0, LOG(0x7e, 64), 0, 0, TO_HOST, "QEMU answers with invalid field"},
	{"abort of nothing", 0x08, 0, 0x00050000, 0, 0, NO_DATA, NULL},
	{"abort on no queue", 0x08, 0, 0x00050063, 0, 0, NO_DATA, NULL},
	{"unknown opcode", 0x7f, 0, 0, 0, 0, NO_DATA, NULL},
	{"self-test", 0x14, 0, 0, 0, 0, NO_DATA, NULL},
	{"format, no such format", 0x80, 1, 9, 0, 0, NO_DATA, NULL},
	{"format of 0", 0x80, 0, 0, 0, 0, NO_DATA, NULL},
	{"format beyond NN", 0x80, 300, 0, 0, 0, NO_DATA, NULL},
	{"format with protection", 0x80, 1, 1u << 5, 0, 0, NO_DATA, NULL},
	{"attach, reserved selection", 0x15, 1, 2, 0, 0, FROM_HOST, NULL},
	{"attach beyond NN", 0x15, 300, 0, 0, 0, FROM_HOST, NULL},
	{"namespace management, reserved selection", 0x0d, 1, 5, 0, 0, NO_DATA, NO_MANAGEMENT},
};

#define PROBE_COUNT (sizeof(probes) / sizeof(probes[0]))

struct answer {
	uint16_t status;
	uint32_t result;
};

static void print_log(void *arg, enum ob_log_level level, const char *message)
{
}

static int ask_one(struct ob_block *block, const struct probe *p, uint8_t *buffer, struct answer *out)
{
	struct ob_nvme_admin command = {
		.opcode = p->opcode,
		.nsid = p->nsid,
		.cdw10 = p->cdw10,
		.cdw11 = p->cdw11,
		.cdw12 = p->cdw12,
		.data = p->data == NO_DATA ? NULL : buffer,
		.len_bytes = p->opcode == NVME_ADMIN_GET_LOG_PAGE ? ((p->cdw10 >> 16) + 1) * 4 : 4096,
		.to_device = p->data == FROM_HOST,
	};
	int ret;

	if (p->data == NO_DATA)
		command.len_bytes = 0;
	memset(buffer, 0, 4096);
	buffer[0] = 1; /* a controller list with controller 0 */
	ret = ob_nvme_admin(block, &command, ob_deadline(10 * OB_NS_PER_S));
	*out = (struct answer){command.status, command.result};
	/* Every refusal has a status; an errno without one is no answer. */
	return ret != 0 && command.status == 0 ? ret : 0;
}

/* All probes on the first disk of @uri. -ENOENT: no such machine here. */
static int ask(const char *uri, struct answer *answers)
{
	const struct ob_config config = {.log = print_log};
	uint8_t *buffer = malloc(4096);
	struct ob_block_channel *channel;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob *ob;
	int ret;

	assert_non_null(buffer);
	assert_int_equal(ob_create(&config, &ob), 0);
	ret = ob_machine_open(ob, uri, NULL, &machine);
	if (ret == 0) {
		block = ob_block_find(ob, NULL);
		assert_non_null(block);
		assert_int_equal(ob_block_channel_open(block, NULL, &channel), 0); /* queues exist */
		for (unsigned i = 0; i < PROBE_COUNT; i++)
			if (ask_one(block, &probes[i], buffer, &answers[i]) != 0)
				fail_msg("%s: no answer on %s", probes[i].name, uri);
		ob_block_channel_close(channel);
		ob_block_put(block);
		ob_machine_close(machine);
	}
	ob_destroy(ob);
	free(buffer);
	return ret;
}

static void test_model_and_qemu_give_the_same_answers(void **state)
{
	static struct answer ours[PROBE_COUNT], theirs[PROBE_COUNT];
	char path[] = "/tmp/outboard-judge-XXXXXX", uri[64];
	unsigned wrong = 0;
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
	close(fd);
	snprintf(uri, sizeof(uri), "qemu:q35?nvme=%s", path);
	ret = ask(uri, theirs);
	unlink(path);
	if (ret == -ENOENT) {
		print_message("QEMU is not installed\n");
		skip();
	}
	assert_int_equal(ret, 0);
	assert_int_equal(ask("model:?nvme=64M", ours), 0);
	for (unsigned i = 0; i < PROBE_COUNT; i++) {
		bool same = ours[i].status == theirs[i].status && ours[i].result == theirs[i].result;

		if (same == (probes[i].differs == NULL))
			continue;
		wrong++;
		print_error("%s: model %#x (%#x), QEMU %#x (%#x)%s\n", probes[i].name, ours[i].status, ours[i].result,
			    theirs[i].status, theirs[i].result, same ? ": no difference any more" : "");
	}
	assert_int_equal(wrong, 0);
}

/* ---- the controller memory buffer ---- */

#define CMB_MIB  "2"
#define CMB_BASE 0x4000000000000000ull
#define CMB_BAR  2
#define CMB_LOOK 0xff0u /* somewhere in it */

enum where {
	REG,    /* BAR 0 */
	BUFFER, /* BAR 2 */
};

/* One access, and whether it is a write. */
struct access {
	const char *name;
	enum where where;
	uint32_t offset;
	unsigned size_bytes;
	bool write;
	uint64_t value;      /* to be written; or the bits that are looked at */
	const char *differs; /* why; or NULL */
};

/* QEMU takes no completion queues there; the model is told which uses it has, and has that one too. */
#define SIZE_BITS (UINT32_MAX & ~NVME_CMBSZ_CQS)

static const struct access accesses[] = {
	{"CAP.CMBS", REG, NVME_CAP + 4, 4, false, NVME_CAP_CMBS >> 32, NULL},
	{"CMBLOC at first", REG, NVME_CMBLOC, 4, false, UINT32_MAX, NULL},
	{"CMBSZ at first", REG, NVME_CMBSZ, 4, false, SIZE_BITS, NULL},
	{"CMBMSC at first", REG, NVME_CMBMSC, 4, false, UINT32_MAX, NULL},
	{"enable registers", REG, NVME_CMBMSC, 4, true, NVME_CMBMSC_CRE, NULL},
	{"CMBLOC", REG, NVME_CMBLOC, 4, false, UINT32_MAX, NULL},
	{"CMBSZ", REG, NVME_CMBSZ, 4, false, SIZE_BITS, NULL},
	{"CMBMSC", REG, NVME_CMBMSC, 4, false, UINT32_MAX, NULL},
	{"CMBSTS", REG, NVME_CMBSTS, 4, false, UINT32_MAX, NULL},
	{"write CMBLOC", REG, NVME_CMBLOC, 4, true, UINT32_MAX, NULL},
	{"write CMBSZ", REG, NVME_CMBSZ, 4, true, UINT32_MAX, NULL},
	{"CMBLOC is read-only", REG, NVME_CMBLOC, 4, false, UINT32_MAX, NULL},
	{"CMBSZ is read-only", REG, NVME_CMBSZ, 4, false, SIZE_BITS, NULL},
	{"upper half of the base", REG, NVME_CMBMSC + 4, 4, true, CMB_BASE >> 32, NULL},
	{"enable all", REG, NVME_CMBMSC, 4, true, NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE, NULL},
	{"CMBSTS mapped", REG, NVME_CMBSTS, 4, false, UINT32_MAX, NULL},
	{"CMBMSC upper", REG, NVME_CMBMSC + 4, 4, false, UINT32_MAX, NULL},
	{"8 bytes into it", BUFFER, CMB_LOOK, 8, true, 0x1122334455667788ull, NULL},
	{"1 byte into it", BUFFER, CMB_LOOK + 1, 1, true, 0xaa, NULL},
	{"2 bytes into it", BUFFER, CMB_LOOK + 4, 2, true, 0xbbcc, NULL},
	{"4 bytes from it", BUFFER, CMB_LOOK, 4, false, UINT32_MAX, NULL},
	{"8 bytes from it", BUFFER, CMB_LOOK, 8, false, UINT64_MAX, NULL},
	{"all at once", REG, NVME_CMBMSC, 8, true, 0x123000 | NVME_CMBMSC_CRE | NVME_CMBMSC_CMSE, NULL},
	{"CMBMSC at once", REG, NVME_CMBMSC, 8, false, UINT64_MAX, NULL},
	{"off", REG, NVME_CMBMSC, 8, true, 0, NULL},
	{"CMBLOC when off", REG, NVME_CMBLOC, 4, false, UINT32_MAX, NULL},
	{"CMBSZ when off", REG, NVME_CMBSZ, 4, false, SIZE_BITS, NULL},
	{"base beyond the end", REG, NVME_CMBMSC, 8, true, 0xfffffffffffff003ull, NULL},
	{"CMBSTS with it", REG, NVME_CMBSTS, 4, false, UINT32_MAX,
	 "QEMU does not tell of a base that it does not take"},
};

#define ACCESS_COUNT (sizeof(accesses) / sizeof(accesses[0]))

static uint64_t seen[2][ACCESS_COUNT], *looking;

static uint64_t access_one(const struct ob_region *region, const struct access *a)
{
	if (a->write) {
		switch (a->size_bytes) {
		case 1:
			ob_mmio_write8(region, a->offset, (uint8_t)a->value);
			return 0;
		case 2:
			ob_mmio_write16(region, a->offset, (uint16_t)a->value);
			return 0;
		case 4:
			ob_mmio_write32(region, a->offset, (uint32_t)a->value);
			return 0;
		default:
			ob_mmio_write64(region, a->offset, a->value);
			return 0;
		}
	}
	return a->size_bytes == 8 ? ob_mmio_read64(region, a->offset) & a->value
				  : ob_mmio_read32(region, a->offset) & a->value;
}

/* A driver that only looks, and leaves the device to nobody. */
static int look_probe(struct ob_device *dev, const struct ob_match *match)
{
	struct ob_region regs, buffer;
	int ret = ob_device_region(dev, NVME_PCI_BAR, &regs);

	if (ret == 0)
		ret = ob_device_region(dev, CMB_BAR, &buffer);
	if (ret != 0)
		return ret;
	assert_int_equal(buffer.len_bytes, strtoul(CMB_MIB, NULL, 10) << 20);
	for (unsigned i = 0; i < ACCESS_COUNT; i++)
		looking[i] = access_one(accesses[i].where == REG ? &regs : &buffer, &accesses[i]);
	return -ENODEV;
}

static void look_remove(struct ob_device *dev)
{
}

/* More exact than the class that the real driver goes by: QEMU's controller, and the model's. */
static const struct ob_match look_match[] = {OB_PCI_ID(0x1b36, 0x0010), OB_PCI_ID(0x0b0d, 0x0001), OB_MATCH_LAST};
static const struct ob_driver look_driver = {
	.name = "look", .match = look_match, .probe = look_probe, .remove = look_remove};

static int look(const char *uri, uint64_t *out)
{
	const struct ob_config config = {.log = print_log};
	struct ob_machine *machine;
	struct ob *ob;
	int ret;

	memset(out, 0xff, ACCESS_COUNT * sizeof(*out));
	looking = out;
	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &look_driver), 0);
	ret = ob_machine_open(ob, uri, NULL, &machine);
	if (ret == 0)
		ob_machine_close(machine);
	ob_destroy(ob);
	return ret;
}

/* What the driver does over it, with queues there. */
static void drive(const char *uri)
{
	const struct ob_config config = {.log = print_log};
	uint8_t data[4096], back[4096];
	struct ob_block_channel *channel;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob *ob;

	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_machine_open(ob, uri, NULL, &machine), 0);
	block = ob_block_find(ob, NULL);
	assert_non_null(block);
	assert_int_equal(ob_nvme_use_memory_buffer(block, true), 0);
	assert_int_equal(ob_block_channel_open(block, NULL, &channel), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t deadline_ns = ob_deadline(10 * OB_NS_PER_S);

		memset(data, (int)i, sizeof(data));
		assert_int_equal(ob_block_write(channel, 8ull * i, 8, data, NULL, 0, deadline_ns), 0);
		assert_int_equal(ob_block_read(channel, 8ull * i, 8, back, NULL, deadline_ns), 0);
		assert_memory_equal(data, back, sizeof(data));
		if (i % 100 == 50)
			assert_int_equal(ob_nvme_reset(block, deadline_ns), 0);
	}
	ob_block_channel_close(channel);
	ob_block_put(block);
	ob_machine_close(machine);
	ob_destroy(ob);
}

/* Of old, QEMU has the registers of NVMe 1.4 all the same, and ignores the base: there only the use is alike. */
static void memory_buffer_judge(bool legacy)
{
	char path[] = "/tmp/outboard-judge-XXXXXX", uri[128];
	const char *ours = legacy ? "model:?nvme=64M&cmb=" CMB_MIB "M&legacy-cmb" : "model:?nvme=64M&cmb=" CMB_MIB "M";
	unsigned wrong = 0;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
	close(fd);
	snprintf(uri, sizeof(uri), "qemu:q35?nvme=%s,cmb_size_mb=" CMB_MIB "%s", path, legacy ? ",legacy-cmb=on" : "");
	if (look(uri, seen[0]) == -ENOENT) {
		unlink(path);
		print_message("QEMU is not installed\n");
		skip();
	}
	drive(uri);
	unlink(path);
	assert_int_equal(look(ours, seen[1]), 0);
	drive(ours);
	for (unsigned i = 0; i < ACCESS_COUNT && !legacy; i++) {
		if ((seen[0][i] == seen[1][i]) == (accesses[i].differs == NULL))
			continue;
		wrong++;
		print_error("%s: model %#llx, QEMU %#llx\n", accesses[i].name, (unsigned long long)seen[1][i],
			    (unsigned long long)seen[0][i]);
	}
	assert_int_equal(wrong, 0);
}

static void test_memory_buffers_are_alike(void **state)
{
	memory_buffer_judge(false);
}

static void test_memory_buffers_of_old_are_alike(void **state)
{
	memory_buffer_judge(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_and_qemu_give_the_same_answers),
		cmocka_unit_test(test_memory_buffers_are_alike),
		cmocka_unit_test(test_memory_buffers_of_old_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
