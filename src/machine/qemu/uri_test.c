/* SPDX-License-Identifier: BSD-2-Clause */
/* URIs, and the command lines that they become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/cpu.h>
#include <outboard/machine.h>

#include "base/bits.h"
#include "machine/qemu/attach.h"
#include "machine/qemu/command_line.h"

static void expect_args(const struct qemu_uri *uri, const char *const *args)
{
	size_t i = 0;

	for (; args[i] != NULL; i++) {
		assert_true(i < uri->args.count);
		assert_string_equal(uri->args.v[i], args[i]);
	}
	assert_int_equal(uri->args.count, i);
}

static void test_uri_empty_gives_defaults(void **state)
{
	static const char *const rests[] = {"", "q35", "q35?", "?", "q35?&"};
	struct qemu_uri uri;
	char why[512];

	for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
		assert_int_equal(qemu_uri_parse(rests[i], &uri, why, sizeof(why)), 0);
		assert_int_equal(uri.mem_bytes, 256 * OB_MIB);
		assert_true(uri.msi && uri.intx && !uri.intx_now);
		assert_int_equal(uri.wait_ns, 5 * OB_NS_PER_S);
		assert_null(uri.binary);
		assert_null(uri.attach_dir);
		assert_int_equal(uri.args.count, 0);
		qemu_uri_fini(&uri);
	}
}

static void test_uri_all_keys_are_taken_in_order(void **state)
{
	static const char *const args[] = {"-device", "edu,addr=5", "-blockdev", "x",     "-drive",       "if=none",
					   "-object", "y",          "-global",   "a.b=c", "-no-shutdown", NULL};
	struct qemu_uri uri;
	char why[512];

	assert_int_equal(qemu_uri_parse("q35?mem=1G&binary=/x/y&device=edu,addr=5&blockdev=x&drive=if=none&object=y&"
					"global=a.b=c&arg=-no-shutdown&msi=off&intx=on&timeout=7&attach=/d%20d",
					&uri, why, sizeof(why)),
			 0);
	expect_args(&uri, args);
	assert_int_equal(uri.mem_bytes, OB_GIB);
	assert_string_equal(uri.binary, "/x/y");
	assert_string_equal(uri.attach_dir, "/d d");
	assert_false(uri.msi);
	assert_true(uri.intx_now);
	assert_int_equal(uri.wait_ns, 7 * OB_NS_PER_S);
	qemu_uri_fini(&uri);
}

static void test_uri_nvme_becomes_blockdev_and_device(void **state)
{
	static const char *const args[] = {
		"-blockdev",
		"{\"driver\":\"raw\",\"node-name\":\"disk0\",\"discard\":\"unmap\",\"read-only\":false,"
		"\"file\":{\"driver\":\"file\",\"filename\":\"a.img\",\"discard\":\"unmap\",\"read-only\":false}}",
		"-device",
		"nvme,drive=disk0,id=nvme0,serial=outboard0",
		"-blockdev",
		"{\"driver\":\"raw\",\"node-name\":\"disk1\",\"discard\":\"unmap\",\"read-only\":true,"
		"\"file\":{\"driver\":\"file\",\"filename\":\"b,\\\"&.img\",\"discard\":\"unmap\",\"read-only\":true}}",
		"-device",
		"nvme,drive=disk1,id=n,logical_block_size=4096,serial=s",
		NULL,
	};
	struct qemu_uri uri;
	char why[512];

	assert_int_equal(qemu_uri_parse("q35?nvme=a.img&nvme=b,,\"%26.img,id=n,logical_block_size=4096,readonly=on,"
					"serial=s",
					&uri, why, sizeof(why)),
			 0);
	expect_args(&uri, args);
	assert_int_equal(uri.disk_count, 2);
	assert_string_equal(uri.disks[1].file, "b,\"&.img");
	assert_true(uri.disks[1].readonly && !uri.disks[0].readonly);
	qemu_uri_fini(&uri);
}

static void test_uri_virtio_blk_becomes_a_modern_device(void **state)
{
	static const struct {
		const char *rest, *device;
	} cases[] = {
		{"?virtio-blk=f", "virtio-blk-pci,drive=disk0,id=vblk0,serial=outboard0,disable-legacy=on"},
		{"?virtio-blk=f,queues=4,packed=on",
		 "virtio-blk-pci,drive=disk0,id=vblk0,serial=outboard0,disable-legacy=on,num-queues=4,packed=on"},
		{"virt?virtio-blk=f,queues=4", "virtio-blk-device,drive=disk0,id=vblk0,serial=outboard0,num-queues=4"},
		{"?virtio-blk=f,disable-legacy=off,serial=x,id=y,readonly=on",
		 "virtio-blk-pci,drive=disk0,disable-legacy=off,serial=x,id=y"},
	};
	struct qemu_uri uri;
	char why[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(qemu_uri_parse(cases[i].rest, &uri, why, sizeof(why)), 0);
		assert_string_equal(uri.args.v[3], cases[i].device);
		assert_string_equal(uri.disks[0].key, "virtio-blk");
		assert_int_equal(uri.disks[0].readonly, strstr(cases[i].rest, "readonly=on") != NULL);
		qemu_uri_fini(&uri);
	}
}

static void test_uri_virtio_net_becomes_a_wire_and_a_device(void **state)
{
	static const struct {
		const char *rest, *wire, *device;
	} cases[] = {
		{"?virtio-net=user", "user,id=net0", "virtio-net-pci,netdev=net0,id=vnet0,disable-legacy=on,romfile="},
		{"?virtio-net=tap:tap7,queues=3,mac=52:54:00:00:00:01",
		 "tap,id=net0,ifname=tap7,script=no,downscript=no,queues=3",
		 "virtio-net-pci,netdev=net0,id=vnet0,disable-legacy=on,romfile=,mq=on,vectors=8,mac=52:54:00:00:00:"
		 "01"},
		{"?virtio-net=dgram:/a:/b,id=x,packed=on",
		 "dgram,id=net0,local.type=unix,local.path=/a,remote.type=unix,remote.path=/b",
		 "virtio-net-pci,netdev=net0,disable-legacy=on,romfile=,id=x,packed=on"},
		{"?virtio-net=listen:/a", "stream,id=net0,server=on,addr.type=unix,addr.path=/a",
		 "virtio-net-pci,netdev=net0,id=vnet0,disable-legacy=on,romfile="},
		{"?virtio-net=connect:/a", "stream,id=net0,server=off,addr.type=unix,addr.path=/a",
		 "virtio-net-pci,netdev=net0,id=vnet0,disable-legacy=on,romfile="},
		{"virt?virtio-net=hub:7", "hubport,id=net0,hubid=7", "virtio-net-device,netdev=net0,id=vnet0"},
		{"virt?virtio-net=tap:t,queues=2", "tap,id=net0,ifname=t,script=no,downscript=no,queues=2",
		 "virtio-net-device,netdev=net0,id=vnet0,mq=on"},
		{"?e1000e=user", "user,id=net0", "e1000e,netdev=net0,id=nic0,romfile="},
		{"virt?e1000e=tap:t,mac=52:54:00:00:00:01", "tap,id=net0,ifname=t,script=no,downscript=no",
		 "e1000e,netdev=net0,id=nic0,romfile=,mac=52:54:00:00:00:01"},
		{"?e1000e=connect:/a,romfile=x,id=y", "stream,id=net0,server=off,addr.type=unix,addr.path=/a",
		 "e1000e,netdev=net0,romfile=x,id=y"},
	};
	struct qemu_uri uri;
	char why[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(qemu_uri_parse(cases[i].rest, &uri, why, sizeof(why)), 0);
		assert_string_equal(uri.args.v[0], "-netdev");
		assert_string_equal(uri.args.v[1], cases[i].wire);
		assert_string_equal(uri.args.v[2], "-device");
		assert_string_equal(uri.args.v[3], cases[i].device);
		qemu_uri_fini(&uri);
	}
}

static void test_uri_readonly_anywhere_is_taken_out(void **state)
{
	static const char *const rests[] = {"?nvme=f,readonly=on", "?nvme=f,readonly=on,mdts=5",
					    "?nvme=f,mdts=5,readonly=on"};
	static const char *const devices[] = {"nvme,drive=disk0,id=nvme0,serial=outboard0",
					      "nvme,drive=disk0,id=nvme0,serial=outboard0,mdts=5",
					      "nvme,drive=disk0,id=nvme0,serial=outboard0,mdts=5"};
	struct qemu_uri uri;
	char why[512];

	for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
		assert_int_equal(qemu_uri_parse(rests[i], &uri, why, sizeof(why)), 0);
		assert_true(uri.disks[0].readonly);
		assert_string_equal(uri.args.v[3], devices[i]);
		qemu_uri_fini(&uri);
	}
}

static void test_uri_wrong_is_refused_with_reason(void **state)
{
	static const struct {
		const char *rest, *why;
	} wrong[] = {
		{"microvm", "unknown machine 'microvm'; known: q35, virt"},
		{"vir", "unknown machine 'vir'; known: q35, virt"},
		{"virt2?", "unknown machine 'virt2'; known: q35, virt"},
		{"q355", "unknown machine 'q355'"},
		{"q35?disk=x",
		 "unknown key 'disk'; known: arg, attach, binary, blockdev, device, drive, e1000e, global, intx, "
		 "mem, msi, netdev, nvme, object, timeout, virtio-blk, virtio-net"},
		{"q35?virtio-net=", "say what it is connected to: user, tap:NAME"},
		{"q35?virtio-net=tap:", "say what it is connected to"},
		{"q35?virtio-net=tap:sixteenletterstap", "tap:sixteenletterstap: no name for an interface"},
		{"q35?virtio-net=cable:x", "known are user, tap:NAME, dgram:OURS:THEIRS"},
		{"q35?virtio-net=dgram:x", "is not OURS:THEIRS"},
		{"q35?virtio-net=hub:many", "known are user"},
		{"q35?virtio-net=tap:t,queues=0", "queues=0 is not a number from 1 to 1024"},
		{"q35?virtio-net=user,queues=2", "only a TAP device has several queues"},
		{"q35?e1000e=tap:t,queues=2", "e1000e=tap:t: it has one queue"},
		{"q35?e1000e=cable:x", "e1000e=cable:x: known are user, tap:NAME"},
		{"q35?nvme", "'nvme' has no '=value'"},
		{"q35?nvme=", "nvme= needs a file"},
		{"q35?nvme=,id=x", "nvme= needs a file"},
		{"q35?nvme=f,readonly=1", "readonly=1 is neither on nor off"},
		{"q35?virtio-blk=", "virtio-blk= needs a file"},
		{"q35?virtio-blk=f,queues=0", "queues=0 is not a number from 1 to 1024"},
		{"q35?virtio-blk=f,queues=many", "queues=many is not a number"},
		{"q35?nvme=%ff", "not UTF-8"},
		{"q35?device=", "device= needs a value"},
		{"q35?device=a%2", "two hex digits"},
		{"q35?device=a%00", "two hex digits"},
		{"q35?mem=lots", "mem=lots is not a size"},
		{"q35?mem=1M", "mem=1M is not a multiple"},
		{"q35?mem=16385K", "is not a multiple"},
		{"q35?mem=99999999999999999999", "is not a size"},
		{"q35?mem=99999999999999G", "is not a size"},
		{"q35?mem=128G", "is not a multiple of 1M from 16M to 64G"},
		{"q35?mem=-16M", "is not a size"},
		{"q35?timeout=0", "timeout=0 is not a number of seconds"},
		{"q35?msi=yes", "msi=yes is neither on nor off"},
	};
	struct qemu_uri uri;
	char why[512];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(qemu_uri_parse(wrong[i].rest, &uri, why, sizeof(why)), -EINVAL);
		if (strstr(why, wrong[i].why) == NULL)
			fail_msg("%s: \"%s\" does not say \"%s\"", wrong[i].rest, why, wrong[i].why);
	}
}

static void test_command_line_extra_arguments_come_last(void **state)
{
	static const char *const extra[] = {"-device", "edu", NULL};
	struct qemu_wiring wiring = {.ram = "R", .rom = "B", .qtest = "fd=5", .qmp = "fd=6"};
	struct strings line = {0};
	struct qemu_uri uri;
	char why[512];

	assert_int_equal(qemu_uri_parse("?arg=-no-shutdown", &uri, why, sizeof(why)), 0);
	qemu_command_line(&uri, &wiring, extra, &line);
	assert_false(line.failed);
	assert_string_equal(line.v[0], "qemu-system-x86_64");
	assert_string_equal(line.v[line.count - 3], "-no-shutdown");
	assert_string_equal(line.v[line.count - 2], "-device");
	assert_string_equal(line.v[line.count - 1], "edu");
	assert_null(line.v[line.count]);
	for (size_t i = 0; i < line.count; i++)
		assert_null(strstr(line.v[i], "ivshmem")); /* nothing is wired to it */
	strings_fini(&line);
	qemu_uri_fini(&uri);
}

static bool has(const struct strings *line, const char *word)
{
	for (size_t i = 0; i < line->count; i++)
		if (strcmp(line->v[i], word) == 0)
			return true;
	return false;
}

/* Its CPU is off, so it has no firmware; what the user says comes behind what we do, and counts. */
static void test_command_line_of_the_arm_board(void **state)
{
	struct qemu_wiring wiring = {.ram = "R", .rom = "B", .qtest = "fd=5", .qmp = "fd=6", .ivshmem = "fd=7"};
	struct strings line = {0};
	struct qemu_uri uri;
	char why[512];

	assert_int_equal(qemu_uri_parse("virt?global=virtio-mmio.force-legacy=true", &uri, why, sizeof(why)), 0);
	qemu_command_line(&uri, &wiring, NULL, &line);
	assert_false(line.failed);
	assert_string_equal(line.v[0], "qemu-system-aarch64");
	assert_true(has(&line, "cortex-a57,start-powered-off=on"));
	assert_true(has(&line, "virtio-mmio.force-legacy=false"));
	assert_false(has(&line, "-bios"));
	assert_string_equal(line.v[line.count - 1], "virtio-mmio.force-legacy=true");
	strings_fini(&line);
	qemu_uri_fini(&uri);
}

static void test_attach_help_quotes_for_the_shell(void **state)
{
	char *text;

	assert_int_equal(ob_machine_attach_help("qemu:q35?attach=/tmp/a%20'b&device=edu", &text), 0);
	assert_non_null(strstr(text, "mkdir -p '/tmp/a '\\''b'\n"));
	assert_non_null(strstr(text, "-bios '/tmp/a '\\''b/halt.bin'"));
	assert_non_null(strstr(text, "-device edu"));
	ob_free(text);
	assert_int_equal(ob_machine_attach_help("qemu:virt?attach=/tmp/a", &text), 0);
	assert_null(strstr(text, "halt.bin"));
	ob_free(text);
	assert_int_equal(ob_machine_attach_help("qemu:q35", &text), -EINVAL);
	assert_int_equal(ob_machine_attach_help("qemu:q35?attach=a,b", &text), -EINVAL);
	assert_int_equal(ob_machine_attach_help("nosuch:x", &text), -ENOENT);
}

static void test_rom_ends_with_a_halt_at_the_reset_vector(void **state)
{
	static uint8_t rom[QEMU_ROM_BYTES];

	qemu_rom(rom);
	assert_int_equal(rom[0xfff0], 0xfa);
	assert_int_equal(rom[0xfff1], 0xf4);
	assert_int_equal(rom[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_empty_gives_defaults),
		cmocka_unit_test(test_uri_all_keys_are_taken_in_order),
		cmocka_unit_test(test_uri_nvme_becomes_blockdev_and_device),
		cmocka_unit_test(test_uri_virtio_blk_becomes_a_modern_device),
		cmocka_unit_test(test_uri_virtio_net_becomes_a_wire_and_a_device),
		cmocka_unit_test(test_uri_readonly_anywhere_is_taken_out),
		cmocka_unit_test(test_uri_wrong_is_refused_with_reason),
		cmocka_unit_test(test_command_line_extra_arguments_come_last),
		cmocka_unit_test(test_command_line_of_the_arm_board),
		cmocka_unit_test(test_attach_help_quotes_for_the_shell),
		cmocka_unit_test(test_rom_ends_with_a_halt_at_the_reset_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
