/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TAP devices in front of an interface in memory: what is changed of the interface while there is one, and what becomes of
 * it when somebody deletes the device. In a network namespace of the test's own; without the right to that it is skipped.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <outboard/tap.h>

#include "net/net.h"
#include "tests/context.h"
#include "tests/ram_machine.h"
#include "tests/ram_net.h"

static struct context context;
static struct ob_machine *machine;
static struct ram_net *ram;

static int setup(void **state)
{
	context_open(&context, 1);
	assert_int_equal(ram_machine_open(context.ob, &machine), 0);
	assert_int_equal(ram_net_create(machine, &ram), 0);
	/* As if it could make checksums. */
	ram->net->info.offloads |= OB_NET_TX_CSUM;
	ram->net->info.offloads_on = OB_NET_TX_CSUM;
	ram->offloads = OB_NET_TX_CSUM;
	return 0;
}

static int teardown(void **state)
{
	ram_net_destroy(ram);
	ob_machine_close(machine);
	context_close(&context);
	return 0;
}

/* One line, and this. */
static void said(const char *what)
{
	assert_int_equal(context.lines, 1);
	assert_non_null(strstr(context.last, what));
	context.lines = 0;
}

static void test_offloads_of_sending_stay_on_and_come_back(void **state)
{
	struct ob_net_info info;
	struct ob_tap *tap;

	assert_int_equal(ob_tap_create(ram->net, NULL, &tap), 0);
	assert_int_equal(ram->offloads, OB_NET_TX_CSUM | OB_NET_RX_CSUM);
	ob_tap_destroy(tap);
	assert_int_equal(ram->offloads, OB_NET_TX_CSUM);
	ob_net_info(ram->net, &info);
	assert_int_equal(info.offloads_on, OB_NET_TX_CSUM);
}

static void test_creation_that_fails_changes_nothing(void **state)
{
	const struct ob_tap_config config = {.name = "not/a/name"};
	unsigned told = ram->told;
	struct ob_tap *tap;

	assert_int_equal(ob_tap_create(ram->net, &config, &tap), -EINVAL);
	assert_int_equal(ram->told, told);
	assert_int_equal(ram->offloads, OB_NET_TX_CSUM);
	said("no name for an interface");
}

/* Its descriptor is readable for ever then. */
static void test_device_that_is_deleted_is_let_go(void **state)
{
	struct ob_cpu *cpu = ob_cpu_get(context.ob, 0);
	uint64_t begin_ns;
	struct ob_tap *tap;
	char command[64];

	assert_int_equal(ob_tap_create(ram->net, NULL, &tap), 0);
	snprintf(command, sizeof(command), "ip link del %s", ob_tap_name(tap));
	assert_true(ob_tap_online(tap));
	assert_int_equal(system(command), 0);
	/* It is noticed, and then there is nothing more to do. */
	for (unsigned i = 0; i < 20; i++)
		ob_cpu_turn(cpu, OB_NS_PER_MS);
	assert_false(ob_tap_online(tap));
	begin_ns = ob_now_ns();
	ob_cpu_turn(cpu, 50 * OB_NS_PER_MS);
	assert_true(ob_now_ns() - begin_ns >= 40 * OB_NS_PER_MS);
	ob_tap_destroy(tap);
	said("somebody deleted it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offloads_of_sending_stay_on_and_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_creation_that_fails_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_that_is_deleted_is_let_go, setup, teardown),
	};

	if (unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		puts("skipped: no right to a network namespace, or no /dev/net/tun");
		return 77;
	}
	return cmocka_run_group_tests_name("serve/tap", tests, NULL, NULL);
}
