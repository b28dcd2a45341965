/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared lines and storms on devices that somebody else wrote: two of QEMU's edu on one INTx line, one with plain MSI,
 * which cannot be masked at the device. They raise what they are told to, until it is acknowledged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <outboard/driver.h>
#include <outboard/outboard.h>

#define EDU_STATUS 0x24
#define EDU_RAISE  0x60
#define EDU_ACK    0x64

struct edu {
	struct ob_device *dev;
	struct ob_region regs;
	struct ob_irq *irq;
	unsigned delivered; /* its own, by the hard handler */
	bool careless;      /* does not acknowledge */
	bool blind;         /* does not know its own interrupts either */
	char name[16];
};

/* Slots 5 and 9 meet on the same line (QEMU's ICH9: slot + pin modulo 4). */
static const char *const names[] = {"0000:00:05.0", "0000:00:09.0", "0000:00:06.0"};
static struct edu edus[3];
static struct ob *ob;
static struct ob_machine *machine;
static char storm_line[256];
static unsigned storm_lines;

static enum ob_irq_result edu_hard(void *arg)
{
	struct edu *edu = arg;
	uint32_t status = ob_mmio_read32(&edu->regs, EDU_STATUS);

	if (status == 0 || edu->blind)
		return OB_IRQ_NONE;
	if (!edu->careless)
		ob_mmio_write32(&edu->regs, EDU_ACK, status);
	edu->delivered++;
	return OB_IRQ_HANDLED;
}

static int edu_probe(struct ob_device *dev, const struct ob_match *match)
{
	bool msi = strcmp(ob_device_name(dev), names[2]) == 0;
	struct ob_irq_config config = {.cpu = ob_device_cpu(dev), .hard = edu_hard, .storm_max = msi ? 50 : 0};
	struct edu *edu = NULL;
	int ret;

	for (unsigned i = 0; i < 3; i++)
		if (strcmp(ob_device_name(dev), names[i]) == 0)
			edu = &edus[i];
	if (edu == NULL)
		return -ENODEV;
	memset(edu, 0, sizeof(*edu));
	edu->dev = dev;
	snprintf(edu->name, sizeof(edu->name), "edu%u", (unsigned)(edu - edus));
	config.name = edu->name;
	config.arg = edu;
	ret = ob_device_region(dev, 0, &edu->regs);
	if (ret == 0)
		ret = ob_device_enable_dma(dev, true); /* a message is a write of the device's */
	if (ret != 0)
		return ret;
	ret = ob_irq_alloc(dev, 1, 1, msi ? OB_IRQ_MSI : OB_IRQ_INTX, NULL);
	if (ret < 0)
		return ret;
	ret = ob_irq_request(dev, 0, &config, &edu->irq);
	if (ret != 0)
		ob_irq_release(dev);
	ob_device_set_driver_data(dev, edu);
	return ret;
}

static void edu_remove(struct ob_device *dev)
{
	struct edu *edu = ob_device_driver_data(dev);

	ob_irq_free(edu->irq);
	ob_irq_release(dev);
	ob_device_enable_dma(dev, false);
}

static const struct ob_match edu_match[] = {OB_PCI_ID(0x1234, 0x11e8), OB_MATCH_LAST};
static const struct ob_driver edu_driver = {
	.name = "edu-irq", .match = edu_match, .probe = edu_probe, .remove = edu_remove};

/* ---- the machine ---- */

static void keep_log(void *arg, enum ob_log_level level, const char *message)
{
	if (strstr(message, "interrupt storm") != NULL) {
		snprintf(storm_line, sizeof(storm_line), "%s", message);
		storm_lines++;
	}
	if (getenv("TEST_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, message);
}

static int open_machine(void **state)
{
	static const char *const args[] = {
		"-device", "edu,id=e0,addr=5.0", "-device", "edu,id=e1,addr=9.0", "-device", "edu,id=e2,addr=6.0", NULL,
	};
	struct ob_config config = {.log = keep_log, .log_level = OB_LOG_DEBUG};
	struct ob_machine_options options = {.args = args};

	storm_lines = 0;
	assert_int_equal(ob_create(&config, &ob), 0);
	assert_int_equal(ob_driver_register(ob, &edu_driver), 0);
	assert_int_equal(ob_machine_open(ob, "qemu:q35", &options, &machine), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(edus[i].irq);
	return 0;
}

static int close_machine(void **state)
{
	ob_machine_close(machine);
	ob_destroy(ob);
	return 0;
}

static void raise_irq(struct edu *edu)
{
	ob_mmio_write32(&edu->regs, EDU_RAISE, 1);
}

/* Turn the loop until the device's own handler took @want interrupts. */
static bool wait_delivered(struct edu *edu, unsigned want)
{
	uint64_t deadline = ob_deadline(3 * OB_NS_PER_S);

	while (edu->delivered < want && ob_now_ns() < deadline)
		ob_cpu_turn(ob_cpu_get(ob, 0), OB_NS_PER_MS);
	return edu->delivered >= want;
}

static bool wait_stormed(struct edu *edu, bool want)
{
	uint64_t deadline = ob_deadline(5 * OB_NS_PER_S);
	struct ob_irq_stats stats;

	do {
		ob_cpu_turn(ob_cpu_get(ob, 0), OB_NS_PER_MS);
		ob_irq_stats(edu->irq, &stats);
	} while (stats.stormed != want && ob_now_ns() < deadline);
	return stats.stormed == want;
}

/* ---- tests ---- */

static void test_line_shared_by_two_serves_both(void **state)
{
	for (unsigned i = 1; i <= 150; i++) {
		raise_irq(&edus[0]);
		assert_true(wait_delivered(&edus[0], i));
	}
	for (unsigned i = 1; i <= 20; i++) {
		raise_irq(&edus[0]);
		raise_irq(&edus[1]);
		assert_true(wait_delivered(&edus[0], 150 + i));
		assert_true(wait_delivered(&edus[1], i));
	}
	/* The neighbour's interrupts made no storm. */
	assert_int_equal(storm_lines, 0);
}

static void check_line_storm(const char *why)
{
	unsigned before;

	raise_irq(&edus[0]);
	assert_true(wait_stormed(&edus[0], true));
	assert_non_null(strstr(storm_line, names[0]));
	assert_non_null(strstr(storm_line, "edu0"));
	assert_non_null(strstr(storm_line, why));
	/* The others live, on the same line and on their own. */
	before = edus[1].delivered;
	raise_irq(&edus[1]);
	raise_irq(&edus[2]);
	assert_true(wait_delivered(&edus[1], before + 1));
	assert_true(wait_delivered(&edus[2], 1));
	/* It is polled meanwhile, and comes back once it behaves. */
	edus[0].careless = edus[0].blind = false;
	before = edus[0].delivered;
	assert_true(wait_delivered(&edus[0], before + 1));
	assert_true(wait_stormed(&edus[0], false));
	before = edus[0].delivered;
	raise_irq(&edus[0]);
	assert_true(wait_delivered(&edus[0], before + 1));
	assert_int_equal(storm_lines, 1);
}

static void test_line_never_acknowledged_is_masked_and_recovers(void **state)
{
	edus[0].careless = true;
	check_line_storm("left the line up");
}

static void test_line_that_nobody_answers_for_is_masked_and_recovers(void **state)
{
	edus[0].blind = true;
	check_line_storm("nobody answered for");
}

static void test_message_storm_of_a_device_without_mask_ends(void **state)
{
	struct edu *edu = &edus[2];
	struct ob_irq_stats stats;

	/* Each raise is a message while another interrupt is pending or not. */
	for (unsigned i = 0; i < 2000 && storm_lines == 0; i++) {
		raise_irq(edu);
		ob_mmio_flush(&edu->regs);
		ob_cpu_turn(ob_cpu_get(ob, 0), 0);
	}
	assert_true(wait_stormed(edu, true));
	assert_non_null(strstr(storm_line, names[2]));
	assert_non_null(strstr(storm_line, "deliveries within its window"));
	assert_true(wait_stormed(edu, false));
	ob_irq_stats(edu->irq, &stats);
	assert_int_equal(stats.storms, 1);
	raise_irq(edu);
	assert_true(wait_delivered(edu, edu->delivered + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line_shared_by_two_serves_both, open_machine, close_machine),
		cmocka_unit_test_setup_teardown(test_line_never_acknowledged_is_masked_and_recovers, open_machine,
						close_machine),
		cmocka_unit_test_setup_teardown(test_line_that_nobody_answers_for_is_masked_and_recovers, open_machine,
						close_machine),
		cmocka_unit_test_setup_teardown(test_message_storm_of_a_device_without_mask_ends, open_machine,
						close_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
