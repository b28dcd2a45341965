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
#include "tests/block_bed.h"

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
	bed_log_close(&bed.log);
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

/* ---- a close that a reset comes into ---- */

static struct {
	struct ob_block_channel *channel;
	struct nvme_queue *queue;
	struct ob_task *closer;
	struct ob_block_request request;
	struct ob_segment segment;
	bool no_memory, closed;
	unsigned refused;
	bool ended; /* __atomic */
} closing;

/* The close has begun, and there is no memory to tell the queue's CPU of it. */
static bool refuse_closer(void *arg, const char *call)
{
	if (!closing.no_memory || strcmp(call, "ob_cpu_call") != 0 || ob_task_current() == NULL ||
	    ob_task_current() != closing.closer || !closing.queue->closing)
		return false;
	closing.refused++;
	return true;
}

static void closing_ended(struct ob_block_request *request)
{
	__atomic_store_n(&closing.ended, true, __ATOMIC_RELEASE);
}

static void closing_submit(void *arg)
{
	closing.segment = (struct ob_segment){bed.window->base, 512};
	closing.request = (struct ob_block_request){.op = OB_BLOCK_READ,
						    .block_count = 1,
						    .segments = &closing.segment,
						    .segment_count = 1,
						    .window = bed.window,
						    .done = closing_ended};
	assert_int_equal(ob_block_submit(closing.channel, &closing.request), 0);
	ob_block_kick(closing.channel);
}

static void close_in_task(void *arg)
{
	closing.closer = ob_task_current();
	ob_block_channel_close(closing.channel);
	closing.closed = true;
}

static bool is_refused(struct bed *b)
{
	return closing.refused > 0;
}

static bool is_closed(struct bed *b)
{
	return closing.closed;
}

static void test_reset_amid_a_close_does_not_revive_its_queue(void **state)
{
	struct ob_block_channel_config config = {.depth = 8, .timeout_ns = LONG};
	struct ob_hooks hooks = {.fail = refuse_closer};

	memset(&closing, 0, sizeof(closing));
	assert_int_equal(bed_try_open(&bed, "model:?nvme=8M&shadow=0", NULL, 2), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	ob_block_limits(bed.block, &bed.limits);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 8, LONG);
	config.cpu = ob_cpu_get(bed.ob, 1);
	assert_int_equal(ob_cpu_start(config.cpu, -1), 0);
	assert_int_equal(ob_block_channel_open(bed.block, &config, &closing.channel), 0);
	closing.queue = closing.channel->driver_data;
	bed_command(&bed, "fault " DEVICE " op=read count=1 delay=hang");
	assert_int_equal(ob_cpu_call(config.cpu, closing_submit, NULL, ob_deadline(LONG)), 0);
	ob_set_hooks(bed.ob, &hooks);
	closing.no_memory = true;
	assert_int_equal(ob_task_spawn(ob_cpu_get(bed.ob, 0), "test-close", close_in_task, NULL, NULL), 0);
	assert_true(bed_turn_until(&bed, is_refused, LONG));
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
	/* Nothing of it may be issued: the controller does not know the queue. */
	bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
	assert_false(__atomic_load_n(&closing.ended, __ATOMIC_ACQUIRE));
	closing.no_memory = false;
	assert_true(bed_turn_until(&bed, is_closed, LONG));
	assert_true(closing.ended);
	assert_int_equal(closing.request.status, -ECANCELED);
	assert_int_equal(bed_logged(&bed, "a doorbell of no queue"), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	ob_set_hooks(bed.ob, NULL);
	ob_cpu_stop(config.cpu);
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

static void hold_lock(void *arg)
{
	struct nvme *n = arg;

	assert_int_equal(ob_mutex_lock(&n->lock, ob_deadline(LONG)), 0);
	ob_task_sleep(ob_deadline(100 * OB_NS_PER_MS));
	ob_mutex_unlock(&n->lock);
}

static void reset_by_user(void *arg)
{
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
}

static void test_controller_that_another_reset_helped_is_not_given_up(void **state)
{
	struct nvme *n = controller();

	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	n->reset_ns = ob_now_ns();
	n->resets_in_a_row = NVME_RESETS_MAX;
	assert_int_equal(ob_task_spawn(n->cpu, "test-hold", hold_lock, n, NULL), 0);
	bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_int_equal(ob_task_spawn(n->cpu, "test-reset", reset_by_user, NULL, NULL), 0);
	bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	nvme_want_reset(n, "a test");
	bed_turn_until(&bed, NULL, 300 * OB_NS_PER_MS);
	assert_int_equal(n->state, NVME_LIVE);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

/* ---- power goes ---- */

static void try_reset(void *arg)
{
	*(int *)arg = ob_nvme_reset(bed.block, ob_deadline(LONG));
}

static bool is_resetting(struct bed *b)
{
	return controller()->state == NVME_RESETTING;
}

/* Its cache is saved, once the reset has brought the controller back; the reset itself is not gone through with. */
static void test_abrupt_shutdown_amid_a_reset_saves_the_cache(void **state)
{
	struct ob_device *dev;
	uint8_t expected[512];
	uint64_t start;
	int reset = 1;

	bed_open(&bed, "model:?nvme=8M&lossy&ready=300ms", NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	dev = ob_device_get(ob_block_device(bed.block));
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 7, 1), 0);
	memcpy(expected, bed_buffer(&bed, 0), sizeof(expected));
	bed_command(&bed, "fault " DEVICE " op=read count=1000 delay=hang");
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_task_spawn(ob_cpu_get(bed.ob, 0), "test-reset", try_reset, &reset, NULL), 0);
	assert_true(bed_turn_until(&bed, is_resetting, LONG));
	bed_turn_until(&bed, NULL, 20 * OB_NS_PER_MS);
	assert_true(is_resetting(&bed));
	start = ob_now_ns();
	assert_int_equal(ob_device_shutdown(dev), 0);
	assert_true(ob_now_ns() - start < 2 * OB_NS_PER_S);
	assert_int_equal(reset, -ENODEV);
	assert_int_equal(bed_logged(&bed, "works again"), 0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(bed_status(&bed, i), -ENODEV);
	bed_command(&bed, "power-cut " DEVICE);
	bed_command(&bed, "fault " DEVICE " clear");
	ob_block_channel_close(bed.channel);
	ob_block_put(bed.block);
	assert_int_equal(ob_device_bind(dev), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	assert_non_null(bed.block);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 7, 1), 0);
	assert_memory_equal(bed_buffer(&bed, 0), expected, sizeof(expected));
	ob_device_put(dev);
}

/* ---- public calls ---- */

struct asker {
	struct ob_timer timer;
	bool asked;
	int answer;
	uint64_t took_ns;
};

static void ask_in_soft_context(struct ob_timer *timer)
{
	struct asker *a = (struct asker *)(void *)timer;
	struct ob_nvme_smart smart;

	a->answer = ob_nvme_smart(bed.block, &smart);
	a->asked = true;
}

static void test_public_call_in_soft_context_is_refused(void **state)
{
	struct asker a = {.asked = false};

	ob_timer_init(&a.timer, ob_cpu_get(bed.ob, 0), ask_in_soft_context);
	ob_timer_start(&a.timer, ob_now_ns());
	bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_true(a.asked);
	assert_int_equal(a.answer, -EDEADLK);
}

static void *ask_on_a_thread(void *arg)
{
	uint8_t buffer[4096];
	struct ob_nvme_admin command = {.opcode = NVME_ADMIN_IDENTIFY,
					.cdw10 = NVME_CNS_CONTROLLER,
					.data = buffer,
					.len_bytes = sizeof(buffer)};
	struct asker *a = arg;
	uint64_t start = ob_now_ns();

	a->answer = ob_nvme_admin(bed.block, &command, ob_deadline(200 * OB_NS_PER_MS));
	a->took_ns = ob_now_ns() - start;
	__atomic_store_n(&a->asked, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Nobody turns CPU 0 meanwhile; when somebody does, the task finds that nobody waits. */
static void test_public_call_keeps_its_deadline_when_cpu_0_does_not_turn(void **state)
{
	struct asker a = {.asked = false};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask_on_a_thread, &a), 0);
	for (unsigned i = 0; i < 2000 && !__atomic_load_n(&a.asked, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
	assert_true(__atomic_load_n(&a.asked, __ATOMIC_ACQUIRE));
	pthread_join(thread, NULL);
	assert_int_equal(a.answer, -ETIMEDOUT);
	assert_true(a.took_ns < OB_NS_PER_S);
	bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
}

static void read_health(void *arg)
{
	struct ob_nvme_smart smart;

	*(int *)arg = ob_nvme_smart(bed.block, &smart);
}

static void hold_lock_long(void *arg)
{
	struct nvme *n = arg;

	assert_int_equal(ob_mutex_lock(&n->lock, ob_deadline(LONG)), 0);
	ob_task_sleep(ob_deadline(3 * OB_NS_PER_S));
	ob_mutex_unlock(&n->lock);
}

static int log_answer, reset_answer;

static bool both_given_up(struct bed *b)
{
	return log_answer != 1 && reset_answer != 1;
}

static void unbind(void *arg)
{
	ob_device_unbind(arg);
}

static void test_public_calls_give_up_when_the_device_goes_offline(void **state)
{
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));
	struct ob_cpu *cpu = ob_cpu_get(bed.ob, 0);

	log_answer = reset_answer = 1;
	bed_command(&bed, "fault " DEVICE " admin=%u count=1 delay=hang", NVME_ADMIN_GET_LOG_PAGE);
	assert_int_equal(ob_task_spawn(cpu, "test-log", read_health, &log_answer, NULL), 0);
	assert_int_equal(ob_task_spawn(cpu, "test-hold", hold_lock_long, controller(), NULL), 0);
	bed_turn_until(&bed, NULL, 20 * OB_NS_PER_MS);
	assert_int_equal(ob_task_spawn(cpu, "test-reset", try_reset, &reset_answer, NULL), 0);
	bed_turn_until(&bed, NULL, 20 * OB_NS_PER_MS);
	assert_int_equal(ob_task_spawn(cpu, "test-unbind", unbind, dev, NULL), 0);
	assert_true(bed_turn_until(&bed, both_given_up, OB_NS_PER_S));
	assert_int_equal(log_answer, -ENODEV);
	assert_int_equal(reset_answer, -ENODEV);
	for (unsigned i = 0; i < 1000 && ob_device_driver_name(dev) != NULL; i++)
		bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_null(ob_device_driver_name(dev));
	ob_device_put(dev);
}

/* ---- retries ---- */

static bool first_ended(struct bed *b)
{
	return !b->requests[1].busy;
}

static void test_retry_with_a_long_delay_does_not_go_with_a_short_one(void **state)
{
	struct nvme_queue *q = bed.channel->driver_data;
	uint64_t start;

	bed_command(&bed, "fault " DEVICE " op=read count=2 delay=hang");
	for (unsigned i = 1; i <= 2; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	usleep(10000);
	start = ob_now_ns();
	nvme_slot_retry(q, FIELD_GET(NVME_TAG, bed.requests[2].request.tag), 400 * OB_NS_PER_MS);
	nvme_slot_retry(q, FIELD_GET(NVME_TAG, bed.requests[1].request.tag), 20 * OB_NS_PER_MS);
	assert_true(bed_turn_until(&bed, first_ended, 200 * OB_NS_PER_MS));
	bed_wait(&bed, LONG);
	assert_true(ob_now_ns() - start >= 400 * OB_NS_PER_MS);
	assert_int_equal(bed_status(&bed, 1), 0);
	assert_int_equal(bed_status(&bed, 2), 0);
}

/* ---- namespaces and events ---- */

static bool has_grown(struct bed *b)
{
	ob_block_limits(b->block, &b->limits);
	return b->limits.block_count == (96u << 20) / b->limits.block_bytes;
}

static void test_namespace_stays_when_identify_fails_for_a_while(void **state)
{
	static const uint16_t statuses[] = {NVME_SC_INTERNAL_ERROR, NVME_SC_NAMESPACE_NOT_READY};

	for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
		/* The list, then the namespace; then only the namespace. */
		bed_command(&bed, "fault " DEVICE " admin=%u count=%u status=%u", NVME_ADMIN_IDENTIFY, 3, statuses[i]);
		nvme_todo(controller(), NVME_TODO_RESCAN);
		bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
		assert_true(ob_block_online(bed.block));
		bed_command(&bed, "resize " DEVICE " 1 %uM", i == 0 ? 80 : 96);
		bed_turn_until(&bed, NULL, 1500 * OB_NS_PER_MS);
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	}
	assert_true(has_grown(&bed));
}

static bool fail_scan(void *arg, const char *call)
{
	unsigned *left = arg;

	return *left > 0 && strcmp(call, "nvme_alloc") == 0 && (*left)-- > 0;
}

static void test_scan_without_memory_is_made_up_for(void **state)
{
	/* More often than the event and we ask for it. */
	unsigned left = 4;
	struct ob_hooks hooks = {.fail = fail_scan, .arg = &left};

	bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
	ob_set_hooks(bed.ob, &hooks);
	bed_command(&bed, "resize " DEVICE " 1 96M");
	nvme_todo(controller(), NVME_TODO_RESCAN);
	assert_true(bed_turn_until(&bed, has_grown, 2 * OB_NS_PER_S));
	ob_set_hooks(bed.ob, NULL);
	assert_int_equal(left, 0);
}

/* As it is published, so after the look at it. */
static bool grow_early(void *arg, const char *call)
{
	char *reply = NULL;

	if (strcmp(call, "block_create") == 0)
		assert_int_equal(ob_machine_command(arg, "resize " DEVICE " 1 96M", &reply, ob_deadline(LONG)), 0);
	ob_free(reply);
	return false;
}

static void test_change_during_probe_is_noticed(void **state)
{
	struct ob_hooks hooks = {.fail = grow_early, .arg = bed.machine};
	struct ob_device *dev = ob_device_get(ob_block_device(bed.block));

	ob_block_channel_close(bed.channel);
	ob_block_put(bed.block);
	assert_int_equal(ob_device_unbind(dev), 0);
	ob_set_hooks(bed.ob, &hooks);
	assert_int_equal(ob_device_bind(dev), 0);
	ob_set_hooks(bed.ob, NULL);
	bed.block = ob_block_find(bed.ob, NULL);
	assert_non_null(bed.block);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	assert_true(bed_turn_until(&bed, has_grown, OB_NS_PER_S));
	ob_device_put(dev);
}

static void test_events_come_again_after_a_storm(void **state)
{
	for (unsigned i = 0; i < 1000 && bed_logged(&bed, "a storm of async events") == 0; i++) {
		bed_command(&bed, "warning " DEVICE " %u", i % 2 == 0 ? 4 : 0);
		bed_turn_until(&bed, NULL, OB_NS_PER_MS);
	}
	/* Those that the controller still has. */
	for (unsigned i = 0; i < 2 * NVME_AER_MAX; i++) {
		bed_command(&bed, "warning " DEVICE " %u", i % 2 == 0 ? 4 : 0);
		bed_turn_until(&bed, NULL, 5 * OB_NS_PER_MS);
	}
	assert_true(bed_logged(&bed, "a storm of async events") >= 1);
	/* Missed, and found once it is quiet. */
	bed_command(&bed, "resize " DEVICE " 1 96M");
	assert_false(bed_turn_until(&bed, has_grown, 200 * OB_NS_PER_MS));
	assert_true(bed_turn_until(&bed, has_grown, 2 * NVME_QUIET_NS));
	bed_command(&bed, "detach " DEVICE " 1");
	for (unsigned i = 0; i < 100 && ob_block_online(bed.block); i++)
		bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_false(ob_block_online(bed.block));
}

static void handle_events(void *arg)
{
	nvme_events_handle(arg);
}

/* The service task handles events while another one sets the feature that turns them on; the first sets queues. */
static void test_events_handled_while_they_are_set_up_are_posted_once(void **state)
{
	struct nvme *n = controller();

	bed_command(&bed, "fault " DEVICE " admin=%u count=2 delay=30ms", NVME_ADMIN_SET_FEATURES);
	assert_int_equal(ob_task_spawn(n->cpu, "test-reset", reset_by_user, NULL, NULL), 0);
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(ob_task_spawn(n->cpu, "test-events", handle_events, n, NULL), 0);
		bed_turn_until(&bed, NULL, 2 * OB_NS_PER_MS);
	}
	bed_turn_until(&bed, NULL, 100 * OB_NS_PER_MS);
	/* One too many and the controller ends it with a status. */
	for (unsigned i = 0; i < n->aer_count; i++) {
		assert_true(n->aer[i].taken);
		assert_int_equal(n->aer[i].status, 0);
	}
	assert_true(n->aer_count > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_that_comes_back_after_the_end_finds_no_interrupt),
		cmocka_unit_test(test_cpu_that_comes_back_after_the_end_finds_no_ring),
		cmocka_unit_test_teardown(test_cpu_that_comes_back_after_a_reset_rings_no_doorbell, close_bed),
		cmocka_unit_test_teardown(test_reset_amid_a_close_does_not_revive_its_queue, close_bed),
		cmocka_unit_test(test_queue_that_breaks_during_probe_is_reset_after_it),
		cmocka_unit_test_setup_teardown(test_broken_queue_asks_until_it_is_reset, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_controller_that_another_reset_helped_is_not_given_up, open_bed,
						close_bed),
		cmocka_unit_test_teardown(test_abrupt_shutdown_amid_a_reset_saves_the_cache, close_bed),
		cmocka_unit_test_setup_teardown(test_public_call_in_soft_context_is_refused, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_public_call_keeps_its_deadline_when_cpu_0_does_not_turn, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_public_calls_give_up_when_the_device_goes_offline, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_retry_with_a_long_delay_does_not_go_with_a_short_one, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_namespace_stays_when_identify_fails_for_a_while, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_scan_without_memory_is_made_up_for, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_change_during_probe_is_noticed, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_events_come_again_after_a_storm, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_events_handled_while_they_are_set_up_are_posted_once, open_bed,
						close_bed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
