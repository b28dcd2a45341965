/* SPDX-License-Identifier: BSD-2-Clause */
/* Receive-side scaling: the hash, with the key that an interface has by default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/net.h"
#include "tests/context.h"
#include "tests/ram_machine.h"
#include "tests/ram_net.h"

/* The specification's own examples ("Verifying the RSS hash calculation"). */
static void test_toeplitz_equals_the_published_examples(void **state)
{
	static const struct {
		uint8_t input[12]; /* source, destination, ports */
		uint32_t ip, tcp;
	} examples[] = {
		{{66, 9, 149, 187, 161, 142, 100, 80, 2794 >> 8, 2794 & 255, 1766 >> 8, 1766 & 255},
		 0x323e8fc2,
		 0x51ccc178},
		{{199, 92, 111, 2, 65, 69, 140, 83, 14230 >> 8, 14230 & 255, 4739 >> 8, 4739 & 255},
		 0xd718262a,
		 0xc626b0ea},
		{{24, 19, 198, 95, 12, 22, 207, 184, 12898 >> 8, 12898 & 255, 38024 >> 8, 38024 & 255},
		 0xd2d0a5de,
		 0x5c2b394a},
	};
	struct ob_machine *machine;
	struct context context;
	struct ram_net *ram;
	struct ob_net_rss rss;

	context_open(&context, 1);
	assert_int_equal(ram_machine_open(context.ob, &machine), 0);
	assert_int_equal(ram_net_create(machine, &ram), 0);
	ob_net_rss_default(ram->net, 1, &rss);
	for (unsigned i = 0; i < ARRAY_SIZE(examples); i++) {
		assert_int_equal(ob_net_toeplitz(rss.key, rss.key_bytes, examples[i].input, 8), examples[i].ip);
		assert_int_equal(ob_net_toeplitz(rss.key, rss.key_bytes, examples[i].input, 12), examples[i].tcp);
	}
	ram_net_destroy(ram);
	ob_machine_close(machine);
	context_close(&context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_toeplitz_equals_the_published_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
