/* SPDX-License-Identifier: BSD-2-Clause */
/* "vhost-user:" URIs: what they may say, and what is said of those that may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/cpu.h>

#include "base/bits.h"
#include "machine/vhost_user/uri.h"

static void test_uri_path_alone_gives_defaults(void **state)
{
	static const char *const rests[] = {"/run/disk.sock", "/run/disk.sock?", "/run/disk.sock?&",
					    "%2frun/disk%2Esock"};
	struct vu_uri uri;
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
		assert_int_equal(vu_uri_parse(rests[i], &uri, why, sizeof(why)), 0);
		assert_string_equal(uri.path, "/run/disk.sock");
		assert_int_equal(uri.type, 0);
		assert_int_equal(uri.queues, 0);
		assert_int_equal(uri.queue_size, 1024);
		assert_int_equal(uri.memory_bytes, 64 * OB_MIB);
		assert_int_equal(uri.reconnect_ns, 10 * OB_NS_PER_S);
		assert_int_equal(uri.answer_ns, 5 * OB_NS_PER_S);
		assert_false(uri.hugepages || uri.has_mac);
	}
}

static void test_uri_all_keys_are_taken(void **state)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0xff};
	struct vu_uri uri;
	char why[256];

	assert_int_equal(
		vu_uri_parse("s?type=net&queues=4&queue-size=256&memory=1G&hugepages=on&reconnect=500ms&timeout=2&"
			     "mac=52:54:00:12:34:ff",
			     &uri, why, sizeof(why)),
		0);
	assert_string_equal(uri.path, "s");
	assert_int_equal(uri.type, 1);
	assert_int_equal(uri.queues, 4);
	assert_int_equal(uri.queue_size, 256);
	assert_int_equal(uri.memory_bytes, OB_GIB);
	assert_true(uri.hugepages);
	assert_int_equal(uri.reconnect_ns, 500 * OB_NS_PER_MS);
	assert_int_equal(uri.answer_ns, 2 * OB_NS_PER_S);
	assert_true(uri.has_mac);
	assert_memory_equal(uri.mac, mac, 6);
	assert_int_equal(vu_uri_parse("s?type=blk&reconnect=0&hugepages=off", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.type, 2);
	assert_int_equal(uri.reconnect_ns, 0);
	assert_int_equal(uri.without, 0);
	assert_int_equal(vu_uri_parse("s?without=34&without=0", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.without, 1ull << 34 | 1);
	assert_int_equal(vu_uri_parse("s?without=64", &uri, why, sizeof(why)), -EINVAL);
	assert_int_equal(vu_uri_parse("s?type=26", &uri, why, sizeof(why)), 0);
	assert_int_equal(uri.type, 26);
}

static void test_uri_that_cannot_be_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *rest, *why;
	} bad[] = {
		{"", "path"},
		{"?type=blk", "path"},
		{"%zz", "%"},
		{"a%00b", "%"},
		{"s?type", "=value"},
		{"s?colour=red", "reconnect"}, /* what there is */
		{"s?type=disk", "blk nor net"},
		{"s?type=0", "blk nor net"},
		{"s?type=65536", "blk nor net"},
		{"s?queues=0", "1 to 256"},
		{"s?queues=257", "1 to 256"},
		{"s?queue-size=1", "2 to 32768"},
		{"s?queue-size=3", "power of two"},
		{"s?queue-size=65536", "32768"},
		{"s?memory=1K", "1M to 64G"},
		{"s?memory=65G", "1M to 64G"},
		{"s?memory=1048577", "1M to 64G"},
		{"s?hugepages=yes", "on nor off"},
		{"s?reconnect=", "time"},
		{"s?reconnect=2h", "time"},
		{"s?reconnect=3601", "hour"},
		{"s?reconnect=18446744073709551615", "hour"},
		{"s?timeout=0", "time"},
		{"s?mac=52:54:00:12:34", "station"},
		{"s?mac=52:54:00:12:34:5", "station"},
		{"s?mac=53:54:00:12:34:56", "station"}, /* a group */
		{"s?mac=52:54:00:12:34:567", "station"},
		{"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		 "12345678",
		 "longer"},
	};
	struct vu_uri uri;
	char why[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(vu_uri_parse(bad[i].rest, &uri, why, sizeof(why)), -EINVAL);
		if (strstr(why, bad[i].why) == NULL)
			fail_msg("%s: \"%s\"", bad[i].rest, why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_path_alone_gives_defaults),
		cmocka_unit_test(test_uri_all_keys_are_taken),
		cmocka_unit_test(test_uri_that_cannot_be_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
