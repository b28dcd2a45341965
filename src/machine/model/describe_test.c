/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptions of model machines, short form and device tree: what they make, and the reason when they are refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/outboard.h>

#include "core/device.h"
#include "machine/model/model_machine.h"

struct bed {
	struct ob *ob;
	struct ob_machine *om;
	char log[4096]; /* what was said, one line each */
};

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	struct bed *b = arg;
	size_t len = strlen(b->log);

	snprintf(b->log + len, sizeof(b->log) - len, "%s\n", message);
}

static int bed_open(struct bed *b, const char *uri)
{
	const struct ob_config config = {.log = keep_log, .log_arg = b, .log_level = OB_LOG_INFO};
	const struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	int ret;

	memset(b, 0, sizeof(*b));
	assert_int_equal(ob_create(&config, &b->ob), 0);
	ret = ob_machine_open(b->ob, uri, &options, &b->om);
	if (ret != 0)
		ob_destroy(b->ob);
	return ret;
}

static void bed_close(struct bed *b)
{
	ob_machine_close(b->om);
	ob_destroy(b->ob);
}

/* It is refused, and the log says why. */
static void refused(const char *uri, const char *why)
{
	struct bed b;

	if (bed_open(&b, uri) == 0)
		fail_msg("%s was taken", uri);
	if (strstr(b.log, why) == NULL)
		fail_msg("%s: \"%s\" is not in: %s", uri, why, b.log);
}

static struct model_device *device(struct bed *b, const char *name)
{
	struct ob_device *any = ob_device_next(b->om, NULL);
	struct model_machine *m = model_of(device_machine(any));

	ob_device_put(any);
	return model_device_find(m, name);
}

/* ---- memory ---- */

static void test_memory_is_zero_or_filled_with_what_does_not_repeat(void **state)
{
	struct backing *backing;
	struct bed b;

	assert_int_equal(bed_open(&b, "model:?nvme=1M&ns=1M&filled"), 0);
	backing = nvme_model_namespace_backing(device(&b, "nvme0")->model, 1);
	for (size_t i = 0; i < OB_MIB; i++)
		assert_int_equal(backing->memory[i], 0);
	backing = nvme_model_namespace_backing(device(&b, "nvme0")->model, 2);
	for (size_t page = 0; page < OB_MIB; page += 4096) {
		uint64_t word, last;

		memcpy(&word, backing->memory + page, sizeof(word));
		memcpy(&last, backing->memory + page + 4088, sizeof(last));
		assert_true(word != 0 && last != 0 && word != last);
		for (size_t other = 0; other < page; other += 4096)
			assert_memory_not_equal(backing->memory + page, backing->memory + other, 8);
	}
	bed_close(&b);
	refused("model:?nvme=null:1M&filled", "only memory can be filled");
}

/* ---- the short form ---- */

static void test_short_form_names_the_setting_and_its_range(void **state)
{
	static const char *const wrong[][2] = {
		{"queues=0", "queues=0: a number from 1 to 255 is needed"},
		{"queues=many", "queues=many: a number from 1 to 255 is needed"},
		{"queues", "queues: a number from 1 to 255 is needed"},
		{"queues=65537", "queues=65537: a number from 1 to 255"},
		{"entries=1", "entries=1: a number from 2 to 65536"},
		{"msix=257", "msix=257: a number from 0 to 256"},
		{"mdts=99", "mdts=99: a number from 0 to 20"},
		{"stride=3", "stride=3: a number from 0 to 2"},
		{"cmb=5000", "cmb=5000: a multiple of 4096 up to 268435456"},
		{"queues=200&stride=2", "nvme0: there is room for the doorbells of 127 queue pairs with a stride of 2"},
		{"block=520", "block=520: 512 or 4096 is needed"},
		{"size=x", "size=x: a size such as 64M"},
		{"size=100", "namespace 1: it is smaller than one block"},
		{"latency=3h", "latency=3h: a time such as 10us"},
		{"serial=123456789012345678901", "a text of at most 20 characters"},
		{"port=yes", "port=yes: 1 or 0 is needed"},
		{"port=2", "port=2: 1 or 0 is needed"},
		{"nvme=50%", "nvme=50%: a '%' is not followed by two hex digits"},
		{"nvme=%2fnonexistent%26a%3db", "nvme0: namespace 1: /nonexistent&a=b: there is no such file"},
		{"seriall=1", "seriall=1: there is no such setting"},
		{"virtio-blk=1M&entries=100", "vblk0: split rings have a power of two of entries, not 100"},
		{"virtio-blk=1M&queues=257", "queues=257: a number from 1 to 256 is needed"},
		{"virtio-blk=1M&segments=255", "segments=255: a number from 1 to 254 is needed"},
		{"virtio-blk=1M&ns=1M", "ns=1M: there is no such setting of virtio-blk"},
		{"virtio-blk=1M&stride=1", "stride=1: there is no such setting of virtio-blk"},
		{"virtio-blk=1M&ready=1ms", "ready=1ms: there is no such setting of virtio-blk"},
		{"virtio-blk=100", "vblk0: it is smaller than one block"},
		{"nvme=1M&packed", "packed: there is no such setting of nvme"},
		{"virtio-net&queues=65", "queues=65: a number from 1 to 64 is needed"},
		{"virtio-net&filled", "filled: there is no such setting"},
		{"virtio-net&serial=A", "serial=A: there is no such setting of virtio-net"},
		{"virtio-net&mac=01:00:00:00:00:01", "an address such as 02:00:00:00:00:01 is needed"},
		{"virtio-net&mac=2:0:0:0:0", "an address such as 02:00:00:00:00:01 is needed"},
		{"virtio-net&entries=3", "vnet0: split rings have a power of two of entries, not 3"},
	};
	char uri[128];

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(uri, sizeof(uri), "model:?%s", wrong[i][0]);
		refused(uri, wrong[i][1]);
	}
}

static void test_short_form_takes_the_ends_of_ranges_and_bare_switches(void **state)
{
	struct bed b;

	assert_int_equal(bed_open(&b, "model:?queues=255&entries=2&msix=0&mdts=20&sgl&cache=0&cmb=4K&port"), 0);
	bed_close(&b);
	assert_int_equal(bed_open(&b, "model:?queues=127&stride=2&entries=65536&msix=256"), 0);
	bed_close(&b);
}

static uint64_t features(struct bed *b, const char *name)
{
	return vblk_model_virtio(model_vblk(device(b, name)))->config.features;
}

static void test_short_form_makes_virtio_disks_beside_controllers(void **state)
{
	uint64_t split, packed;
	struct bed b;

	assert_int_equal(bed_open(&b,
				  "model:?virtio-blk=1M&nvme=1M&virtio-blk=2M&packed&entries=100&event-index=0&readonly"
				  "&queues=2&port"),
			 0);
	split = features(&b, "vblk0");
	packed = features(&b, "vblk1");
	assert_true((split & BIT64(VIRTIO_F_EVENT_IDX)) != 0 && (split & BIT64(VIRTIO_F_RING_PACKED)) == 0);
	assert_true((packed & BIT64(VIRTIO_F_EVENT_IDX)) == 0 && (packed & BIT64(VIRTIO_F_RING_PACKED)) != 0);
	assert_true((split & BIT64(VIRTIO_BLK_F_RO)) == 0 && (packed & BIT64(VIRTIO_BLK_F_RO)) != 0);
	assert_int_equal(vblk_model_backing(model_vblk(device(&b, "vblk1")))->len_bytes, 2 * OB_MIB);
	assert_non_null(model_nvme(device(&b, "nvme0")));
	assert_non_null(device(&b, "port2"));
	bed_close(&b);
}

static void test_short_form_makes_network_devices_on_cables(void **state)
{
	const struct vnet_model *first, *second;
	struct bed b;

	assert_int_equal(bed_open(&b, "model:?virtio-net=a&packed&rss=0&virtio-net=a&queues=4&mtu=9000&mac=02:0:0:0:1:2"
				      "&virtio-net"),
			 0);
	first = model_vnet(device(&b, "vnet0"));
	second = model_vnet(device(&b, "vnet1"));
	assert_true((first->virtio.config.features & BIT64(VIRTIO_F_RING_PACKED)) != 0);
	assert_true((first->virtio.config.features & (BIT64(VIRTIO_NET_F_RSS) | BIT64(VIRTIO_NET_F_MQ))) == 0);
	assert_true((second->virtio.config.features & BIT64(VIRTIO_NET_F_MQ)) != 0);
	assert_int_equal(second->config.mac[4], 1);
	assert_int_equal(second->config.mtu, 9000);
	assert_int_equal(model_vnet(device(&b, "vnet2"))->config.mac[5], 3);
	bed_close(&b);
}

static void test_file_is_made_only_when_asked_for(void **state)
{
	char dir[] = "/tmp/outboard-create-XXXXXX", file[64], uri[128];
	struct stat st;
	struct bed b;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/disk.img", dir);
	snprintf(uri, sizeof(uri), "model:?nvme=%s&size=1M", file);
	refused(uri, "disk.img: there is no such file (the setting create makes it)");
	assert_int_equal(stat(file, &st), -1);
	snprintf(uri, sizeof(uri), "model:?nvme=%s&create", file);
	refused(uri, "to create it takes a file, a size");
	snprintf(uri, sizeof(uri), "model:?nvme=%s&size=1M&create", file);
	assert_int_equal(bed_open(&b, uri), 0);
	assert_non_null(strstr(b.log, "disk.img is made"));
	bed_close(&b);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, OB_MIB);
	assert_int_equal(bed_open(&b, uri), 0);
	assert_null(strstr(b.log, "is made"));
	bed_close(&b);
	unlink(file);
	rmdir(dir);
}

/* ---- device trees ---- */

#define CELLS     "#address-cells = <1>; #size-cells = <0>; "
#define NVME      "compatible = \"outboard,nvme\"; " CELLS
#define NAMESPACE "compatible = \"outboard,nvme-namespace\"; "
#define VBLK      "compatible = \"outboard,virtio-blk\"; "
#define VNET      "compatible = \"outboard,virtio-net\"; "
#define PORT      "compatible = \"outboard,pcie-root-port\"; " CELLS

/* A machine of what is below the host, as a file; its URI. */
static void write_tree(char path[32], char uri[64], const char *below)
{
	int fd;
	FILE *f;

	strcpy(path, "/tmp/outboard-tree-XXXXXX.dts");
	fd = mkstemps(path, 4);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	fprintf(f, "/dts-v1/; / { " CELLS "pci { compatible = \"outboard,pci-host\"; " CELLS "%s }; };\n", below);
	assert_int_equal(fclose(f), 0);
	snprintf(uri, 64, "model:%s", path);
}

static void need_dtc(void)
{
	if (system("dtc --version >/dev/null 2>&1") == 0)
		return;
	print_message("dtc is not installed\n");
	skip();
}

static void test_tree_is_refused_with_a_reason(void **state)
{
	static const char *const wrong[][2] = {
		{"nvme@1 { reg = <0x800>; " NVME "}; nvme@2 { reg = <0x800>; " NVME "};",
		 "/pci/nvme@2: reg: slot 1, function 0 is taken by nvme0"},
		{"port@1 { reg = <0x800>; " PORT "}; nvme@2 { reg = <0x800>; " NVME "absent; };",
		 "/pci/nvme@2: reg: slot 1, function 0 is taken by port0"},
		{"nvme@1 { reg = <0x800>; " NVME "absent; }; port@1 { reg = <0x800>; " PORT "};",
		 "/pci/port@1: reg: slot 1, function 0 is taken by nvme0"},
		{"port@1 { reg = <0x800>; " PORT "nvme@1 { reg = <0x800>; " NVME "}; };",
		 "/pci/port@1/nvme@1: reg: slot 1: behind a port there is slot 0 only"},
		{"nvme@1 { reg = <0x900>; " NVME "};", "/pci: slot 1 has a function 1 and no function 0"},
		{"nvmes;", "/pci: nvmes: there is no such property"},
		{"port@1 { reg = <0x800>; slotnumber = <1>; " PORT "};", "slotnumber: there is no such property"},
		{"nvme@1 { reg = <0x800>; seriall = \"A\"; " NVME "};",
		 "/pci/nvme@1: seriall: there is no such property"},
		{"nvme@1 { reg = <0x800>; " NVME "ns@1 { reg = <1>; blocksize = <512>; " NAMESPACE "}; };",
		 "/pci/nvme@1/ns@1: blocksize: there is no such property"},
		{"nvme@1 { reg = <0x800>; firmware = \"123456789\"; " NVME "};",
		 "firmware: a text of at most 8 characters is needed"},
		{"nvme@1 { reg = <0x800>; serial = <1>; " NVME "};", "serial: a text of at most 20 characters"},
		{"nvme@1 { reg = <0x800>; absent = <0>; " NVME "};", "absent: it is a switch and has no value"},
		{"nvme@1 { reg = <0x800>; msix-vectors = <257>; " NVME "};",
		 "msix-vectors: a number from 0 to 256 is needed"},
		{"nvme@1 { reg = <0x800>; queue-pairs = <0>; " NVME "};",
		 "queue-pairs: a number from 1 to 255 is needed"},
		{"nvme@1 { reg = <0x800>; queue-pairs = \"four\"; " NVME "};",
		 "queue-pairs: a number of one or two cells is needed"},
		{"nvme@1 { reg = <0x800>; cmb-size = <5000>; " NVME "};",
		 "cmb-size: a multiple of 4096 up to 268435456"},
		{"nvme@1 { reg = <0x800>; queue-pairs = <128>; doorbell-stride = <2>; " NVME "};",
		 "there is room for the doorbells of 127 queue pairs"},
		{"nvme@1 { reg = <0x800>; " NVME "a@1 { reg = <1>; " NAMESPACE "}; b@1 { reg = <1>; " NAMESPACE "}; };",
		 "/pci/nvme@1/b@1: reg: namespace 1 is a@1 already"},
		{"nvme@1 { reg = <0x800>; " NVME "ns@0 { reg = <0>; " NAMESPACE "}; };",
		 "reg: a number from 1 to 256 is needed"},
		{"nvme@1 { reg = <0x800>; " NVME "ns@1 { reg = <1>; size = <512>; block-size = <4096>; " NAMESPACE
		 "}; };",
		 "ns@1: it is smaller than one block"},
		{"nvme@1 { reg = <0x800>; " NVME
		 "ns@1 { reg = <1>; size = <4096>; file = \"/nonexistent.img\"; " NAMESPACE "}; };",
		 "ns@1: /nonexistent.img: there is no such file (the setting create makes it)"},
		{"disk@1 { reg = <0x800>; queue-pairs = <1>; " VBLK "};",
		 "/pci/disk@1: queue-pairs: there is no such property"},
		{"disk@1 { reg = <0x800>; queue-entries = <100>; " VBLK "};",
		 "/pci/disk@1: split rings have a power of two of entries, not 100"},
		{"disk@1 { reg = <0x800>; block-size = <1024>; " VBLK "};",
		 "/pci/disk@1: block-size: 512 or 4096 is needed"},
		{"disk@1 { reg = <0x800>; segment-bytes = <100>; " VBLK "};",
		 "/pci/disk@1: its settings do not go together"},
		{"net@1 { reg = <0x800>; size = <1>; " VNET "};", "/pci/net@1: size: there is no such property"},
		{"net@1 { reg = <0x800>; mac = \"here\"; " VNET "};", "/pci/net@1: mac: an address such as"},
		{"port@1 { reg = <0x800>; " PORT "port@0 { reg = <0>; " PORT "}; };",
		 "/pci/port@1/port@0: is no device that can be behind a port"},
	};
	char path[32], uri[64];

	need_dtc();
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		write_tree(path, uri, wrong[i][0]);
		refused(uri, wrong[i][1]);
		unlink(path);
	}
}

static void test_tree_takes_all_of_its_binding(void **state)
{
	static const char below[] =
		"device_type = \"pci\"; ranges; bus-range = <0 255>; "
		"port@1 { reg = <0x800>; slot-number = <3>; ranges; " PORT "nvme@0 { reg = <0>; " NVME
		"queue-pairs = <2>; queue-entries = <16>; msix-vectors = <3>; mdts = <2>; doorbell-stride = <1>; "
		"page-shift-max = <12>; namespaces-max = <4>; capacity = <1 0>; latency-ns = <1>; ready-ns = <1>; "
		"shutdown-ns = <1>; serial = \"12345678901234567890\"; model-name = \"M\"; firmware = \"12345678\"; "
		"no-sgl; no-shadow-doorbells; no-write-cache; no-namespace-management; no-compare; no-write-zeroes; "
		"no-dataset-management; threaded; retain-state; cmb-size = <8192>; cmb-uses = <31>; legacy-cmb; "
		"ns@1 { reg = <1>; size = <1048576>; block-size = <4096>; filled; detached; lossy-cache; " NAMESPACE
		"}; ns@2 { reg = <2>; null; read-only; status = \"okay\"; " NAMESPACE "}; }; }; "
		"a: nvme@2 { reg = <0x1000>; absent; " NVME "}; nvme@3 { reg = <0x1100>; phandle = <1>; " NVME "}; "
		"nvme@4 { reg = <0x1000>; status = \"disabled\"; " NVME "}; "
		"disk@4 { reg = <0x2000>; queues = <2>; queue-entries = <100>; msix-vectors = <3>; segments-max = <6>; "
		"segment-bytes = <65536>; latency-ns = <1>; serial = \"12345678901234567890\"; packed; in-order; "
		"notification-data; notify-config-data; queue-reset; no-indirect; no-event-index; no-flush; "
		"no-config-wce; write-through; no-discard; no-write-zeroes; no-lifetime; no-topology; threaded; "
		"retain-state; size = <1048576>; block-size = <4096>; filled; lossy-cache; " VBLK "}; "
		"disk@5 { reg = <0x2800>; null; read-only; absent; " VBLK "};";
	char path[32], uri[64];
	struct bed b;

	need_dtc();
	write_tree(path, uri, below);
	if (bed_open(&b, uri) != 0)
		fail_msg("%s", b.log);
	unlink(path);
	assert_non_null(device(&b, "nvme2"));
	assert_null(device(&b, "nvme3"));
	assert_non_null(nvme_model_namespace_backing(device(&b, "nvme0")->model, 1));
	/* The basics, the block's size and limits of segments and queues are all that is left. */
	assert_int_equal(features(&b, "vblk0"),
			 BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_IN_ORDER) |
				 BIT64(VIRTIO_F_NOTIFICATION_DATA) | BIT64(VIRTIO_F_NOTIF_CONFIG_DATA) |
				 BIT64(VIRTIO_F_RING_RESET) | BIT64(VIRTIO_F_ACCESS_PLATFORM) |
				 BIT64(VIRTIO_F_ORDER_PLATFORM) | BIT64(VIRTIO_BLK_F_SEG_MAX) |
				 BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_MQ));
	assert_non_null(device(&b, "vblk1"));
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zero_or_filled_with_what_does_not_repeat),
		cmocka_unit_test(test_short_form_names_the_setting_and_its_range),
		cmocka_unit_test(test_short_form_takes_the_ends_of_ranges_and_bare_switches),
		cmocka_unit_test(test_short_form_makes_virtio_disks_beside_controllers),
		cmocka_unit_test(test_short_form_makes_network_devices_on_cables),
		cmocka_unit_test(test_file_is_made_only_when_asked_for),
		cmocka_unit_test(test_tree_is_refused_with_a_reason),
		cmocka_unit_test(test_tree_takes_all_of_its_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
