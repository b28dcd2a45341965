/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Wishes, waits and CPUs at the wrong moment: what comes while the driver is busy with something else must be neither
 * lost nor waited for without end. On the model machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/hooks.h"
#include "drivers/block/nvme/nvme.h"
#include "tests/nvme_bed.h"

#define DEVICE  "nvme0"
#define TIMEOUT (80 * OB_NS_PER_MS) /* of requests */
#define LONG    (30 * OB_NS_PER_S)  /* of tests */

static struct bed bed;

static int open_bed(void **state)
{
	bed_open(&bed, "model:", NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	return 0;
}

static int close_bed(void **state)
{
	if (bed.ob != NULL)
		bed_close(&bed);
	return 0;
}

static struct nvme *controller(void)
{
	return ob_device_driver_data(ob_block_device(bed.block));
}

/* ---- a CPU that is away, and comes back amid its completions ---- */

struct away {
	struct ob_block_channel *channel;
	struct ob_block_request requests[8];
	struct ob_segment segments[8];
	enum ob_completion_mode mode;
	unsigned ended;    /* __atomic */
	unsigned stall_at; /* the end of so many stalls the CPU */
	bool stalled, go;  /* __atomic */
	bool stop;         /* __atomic */
};

static struct away away;
static struct ob *left_behind[2];
static unsigned left_count;

static void away_stall(void)
{
	__atomic_store_n(&away.stalled, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&away.go, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static void away_ended(struct ob_block_request *request)
{
	if (__atomic_add_fetch(&away.ended, 1, __ATOMIC_ACQ_REL) == away.stall_at)
		away_stall();
}

static void *turn_cpu_1(void *arg)
{
	struct ob_cpu *cpu = ob_cpu_get(bed.ob, 1);

	while (__atomic_load_n(&away.channel, __ATOMIC_ACQUIRE) == NULL)
		ob_cpu_turn(cpu, OB_NS_PER_MS);
	for (unsigned i = 0; i < 8; i++) {
		away.segments[i] = (struct ob_segment){bed.window->base + (size_t)i * BED_BUFFER, 512};
		away.requests[i] = (struct ob_block_request){.op = OB_BLOCK_READ,
							     .lba = i,
							     .block_count = 1,
							     .segments = &away.segments[i],
							     .segment_count = 1,
							     .window = bed.window,
							     .done = away_ended};
		assert_int_equal(ob_block_submit(away.channel, &away.requests[i]), 0);
	}
	ob_block_kick(away.channel);
	/* All are there at the first poll. */
	usleep(50000);
	while (__atomic_load_n(&away.ended, __ATOMIC_ACQUIRE) < 8)
		ob_cpu_turn(cpu, 0);
	/* Else it stalls between two turns. */
	if (away.stall_at == 0)
		away_stall();
	while (!__atomic_load_n(&away.stop, __ATOMIC_ACQUIRE))
		ob_cpu_turn(cpu, OB_NS_PER_MS);
	return NULL;
}

static void away_open(pthread_t *thread, enum ob_completion_mode mode, unsigned stall_at)
{
	struct ob_block_channel_config config = {
		.depth = 8, .timeout_ns = LONG, .poll = {.mode = mode, .window_ns = 100 * OB_NS_PER_MS}};
	struct ob_block_channel *channel;

	memset(&away, 0, sizeof(away));
	away.stall_at = stall_at;
	assert_int_equal(bed_try_open(&bed, "model:", NULL, 2), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	ob_block_limits(bed.block, &bed.limits);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, 20 * OB_NS_PER_S);
	assert_int_equal(pthread_create(thread, NULL, turn_cpu_1, NULL), 0);
	bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
	config.cpu = ob_cpu_get(bed.ob, 1);
	assert_int_equal(ob_block_channel_open(bed.block, &config, &channel), 0);
	__atomic_store_n(&away.channel, channel, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&away.stalled, __ATOMIC_ACQUIRE))
		bed_turn_until(&bed, NULL, OB_NS_PER_MS);
}

static void away_come_back(pthread_t thread)
{
	__atomic_store_n(&away.go, true, __ATOMIC_RELEASE);
	usleep(300000);
	__atomic_store_n(&away.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

/* The machine is closed meanwhile, so that nothing of the device is left for the CPU to find. */
static void come_back_to_nothing(enum ob_completion_mode mode, unsigned stall_at)
{
	pthread_t thread;

	away_open(&thread, mode, stall_at);
	ob_block_channel_close(bed.channel);
	bed.channel = NULL;
	ob_window_put(bed.window);
	bed.window = NULL;
	ob_machine_close(bed.machine);
	bed.machine = NULL;
	away_come_back(thread);
	assert_int_equal(away.ended, 8);
	/* The CPU's lists lead to what was left behind, so the context stays. */
	left_behind[left_count++] = bed.ob;
	ob_block_put(bed.block);
	free(bed.log);
	memset(&bed, 0, sizeof(bed));
}

static void test_cpu_that_comes_back_after_the_end_finds_no_interrupt(void **state)
{
	come_back_to_nothing(OB_COMPLETION_HYBRID, 0);
}

static void test_cpu_that_comes_back_after_the_end_finds_no_ring(void **state)
{
	come_back_to_nothing(OB_COMPLETION_POLLED, 8);
}

static void test_cpu_that_comes_back_after_a_reset_rings_no_doorbell(void **state)
{
	pthread_t thread;

	away_open(&thread, OB_COMPLETION_POLLED, 8);
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
	assert_int_equal(bed_logged(&bed, "the reset goes on without it"), 1);
	__atomic_store_n(&away.go, true, __ATOMIC_RELEASE);
	bed_turn_until(&bed, NULL, 300 * OB_NS_PER_MS);
	assert_int_equal(bed_logged(&bed, "a doorbell of no queue"), 0);
	/* And it is taken in again. */
	assert_int_equal(bed_logged(&bed, "works again"), 2);
	ob_block_channel_close(away.channel);
	away_come_back(thread);
}

/* ---- wishes for a reset ---- */

static struct ob *early_ob;
static struct ob_block_channel *early_channel;
static struct ob_window *early_window;
static struct ob_block_request early_request;
static unsigned early_creates;
static bool early_ended;

static void early_done(struct ob_block_request *request)
{
	early_ended = true;
}

/* As the second namespace is published, the first one's queue breaks. */
static bool break_early(void *arg, const char *call)
{
	struct ob_block_channel_config config = {
		.depth = 8, .timeout_ns = 200 * OB_NS_PER_MS, .poll = {.mode = OB_COMPLETION_POLLED}};
	static struct ob_segment segment;
	struct ob_block *block;

	if (strcmp(call, "block_create") != 0 || ++early_creates != 2)
		return false;
	block = ob_block_find(early_ob, "nvme0n1");
	assert_non_null(block);
	assert_int_equal(ob_block_channel_open(block, &config, &early_channel), 0);
	assert_int_equal(ob_window_create(arg, 4096, &early_window), 0);
	assert_int_equal(ob_block_grant(block, early_window), 0);
	segment = (struct ob_segment){early_window->base, 512};
	early_request = (struct ob_block_request){.op = OB_BLOCK_READ,
						  .block_count = 1,
						  .segments = &segment,
						  .segment_count = 1,
						  .window = early_window,
						  .done = early_done};
	assert_int_equal(ob_block_submit(early_channel, &early_request), 0);
	nvme_queue_break(early_channel->driver_data, "a test broke it");
	ob_block_kick(early_channel);
	ob_task_sleep(ob_deadline(5 * OB_NS_PER_MS));
	ob_block_put(block);
	return false;
}

static void test_queue_that_breaks_during_probe_is_reset_after_it(void **state)
{
	struct ob_config config = {.cpu_count = 1};
	struct ob_machine_options options = {.flags = OB_MACHINE_NO_BIND};
	struct ob_hooks hooks = {.fail = break_early};
	struct ob_machine *machine;
	uint64_t end;

	early_creates = 0;
	early_ended = false;
	assert_int_equal(ob_create(&config, &early_ob), 0);
	assert_int_equal(ob_machine_open(early_ob, "model:?nvme=16M&ns=8M", &options, &machine), 0);
	hooks.arg = machine;
	ob_set_hooks(early_ob, &hooks);
	for (struct ob_device *d = ob_device_next(machine, NULL); d != NULL; d = ob_device_next(machine, d))
		ob_device_bind(d);
	ob_set_hooks(early_ob, NULL);
	end = ob_deadline(3 * OB_NS_PER_S);
	while (!early_ended && ob_now_ns() < end)
		ob_cpu_turn(ob_cpu_get(early_ob, 0), OB_NS_PER_MS);
	assert_true(early_ended);
	assert_int_equal(early_request.status, 0);
	ob_block_channel_close(early_channel);
	ob_window_put(early_window);
	ob_machine_close(machine);
	ob_destroy(early_ob);
}

/* The wish got lost on the way: the queue that needs the reset asks again. */
static void test_broken_queue_asks_until_it_is_reset(void **state)
{
	struct nvme_queue *q = bed.channel->driver_data;
	struct nvme *n = controller();

	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 0, 1), 0);
	nvme_queue_break(q, "a test broke it");
	__atomic_fetch_and(&n->pending, ~NVME_TODO_RESET, __ATOMIC_ACQ_REL);
	ob_block_kick(bed.channel);
	bed_wait(&bed, 3 * OB_NS_PER_S);
	assert_int_equal(bed_status(&bed, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_that_comes_back_after_the_end_finds_no_interrupt),
		cmocka_unit_test(test_cpu_that_comes_back_after_the_end_finds_no_ring),
		cmocka_unit_test_teardown(test_cpu_that_comes_back_after_a_reset_rings_no_doorbell, close_bed),
		cmocka_unit_test(test_queue_that_breaks_during_probe_is_reset_after_it),
		cmocka_unit_test_setup_teardown(test_broken_queue_asks_until_it_is_reset, open_bed, close_bed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
