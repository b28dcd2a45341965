/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver on the model machine, whose controller fails in ways that one can ask for: statuses, commands that hang,
 * death, removal, namespaces that change. Every request must end once, with the right answer, in bounded time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/machine_core.h"
#include "drivers/block/nvme/nvme.h"
#include "tests/block_bed.h"
#include "tests/random.h"

#define DEVICE  "nvme0"
#define TIMEOUT (80 * OB_NS_PER_MS) /* of requests */
#define LONG    (30 * OB_NS_PER_S)  /* of tests */

static struct bed bed;

static int open_bed(void **state)
{
	bed_open(&bed, "model:", NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	*state = &bed;
	return 0;
}

static int close_bed(void **state)
{
	bed_close(&bed);
	return 0;
}

static struct ob_block_stats stats(struct bed *b)
{
	struct ob_block_stats s;

	ob_block_stats(b->block, &s);
	return s;
}

/* ---- the far side goes ---- */

/* As a close does that finds a driver stuck: whatever is still asked is answered as by the dead. */
static void test_machine_that_is_shut_down_answers_nothing_more(void **state)
{
	struct machine *m;
	char *reply = NULL;
	struct ob_dma dma;
	uint8_t *held;

	bed_open(&bed, "model:?nvme=8M&threaded&latency=20ms", NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	m = bed.machine->m;
	held = bed_buffer(&bed, 40);
	memset(held, 0x77, BED_BUFFER);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	m->ops->shutdown(m);
	assert_int_equal(ob_machine_command(bed.machine, "list", &reply, ob_deadline(LONG)), -ENODEV);
	assert_null(reply);
	assert_int_not_equal(ob_dma_alloc(ob_block_device(bed.block), 4096, 4096, &dma), 0);
	/* Its memory is the program's still, and nobody else's. */
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_status(&bed, i), -ENODEV);
	assert_int_equal(held[BED_BUFFER - 1], 0x77);
}

/* ---- statuses ---- */

static void test_status_of_one_block_becomes_errno(void **state)
{
	static const struct {
		const char *op;
		enum ob_block_op block_op;
		uint16_t status;
		int error;
	} cases[] = {
		{"read", OB_BLOCK_READ, NVME_SC_UNRECOVERED_READ, -EIO},
		{"write", OB_BLOCK_WRITE, NVME_SC_WRITE_FAULT, -EIO},
		{"write", OB_BLOCK_WRITE, NVME_SC_CAPACITY_EXCEEDED, -ENOSPC},
		{"write", OB_BLOCK_WRITE, NVME_SC_NAMESPACE_WRITE_PROTECTED, -EROFS},
		{"zeroes", OB_BLOCK_WRITE_ZEROES, NVME_SC_INVALID_FIELD, -EINVAL},
		{"trim", OB_BLOCK_TRIM, NVME_SC_INVALID_OPCODE, -EOPNOTSUPP},
		{"compare", OB_BLOCK_COMPARE, NVME_SC_COMPARE_FAILURE, -EILSEQ},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bed_command(&bed, "fault " DEVICE " op=%s count=1 status=%u", cases[i].op, cases[i].status);
		assert_int_equal(bed_do(&bed, cases[i].block_op, 8, 1), cases[i].error);
		assert_int_equal(bed.requests[0].request.protocol_status, cases[i].status);
		bed_command(&bed, "fault " DEVICE " clear");
		assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 8, 1), 0);
	}
}

static void test_transient_status_is_tried_again_and_ends(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read count=2 status=%u", NVME_SC_COMMAND_INTERRUPTED);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
	assert_int_equal(stats(&bed).reissues, 2);
	bed_command(&bed, "fault " DEVICE " op=read count=100 status=%u", NVME_SC_NAMESPACE_NOT_READY);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), -EBUSY);
	assert_int_equal(bed.requests[0].request.protocol_status, NVME_SC_NAMESPACE_NOT_READY);
	assert_int_equal(stats(&bed).reissues, 5);
}

/* ---- commands that hang ---- */

static void test_hung_command_is_aborted_and_tried_again(void **state)
{
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 16, 8), 0);
	bed_command(&bed, "fault " DEVICE " op=read count=1 delay=hang");
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 16, 8), 0);
	assert_int_equal(bed_submit(&bed, 2, OB_BLOCK_READ, 16, 8), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 1), 0);
	assert_int_equal(bed_status(&bed, 2), 0);
	assert_memory_equal(bed_buffer(&bed, 1), bed_buffer(&bed, 0), 8ul * bed.limits.block_bytes);
	assert_int_equal(stats(&bed).timeouts, 1);
	assert_int_equal(stats(&bed).aborts, 1);
	assert_int_equal(stats(&bed).reissues, 1);
}

static void test_command_that_always_hangs_times_out(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1000 delay=hang");
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 24, 1), -ETIMEDOUT);
	assert_int_equal(stats(&bed).reissues, 3);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 25, 1), 0);
}

static void test_refused_abort_leads_to_a_reset_and_all_end(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=write lba=24 count=1 delay=hang");
	bed_command(&bed, "fault " DEVICE " admin=%u count=1 status=%u", NVME_ADMIN_ABORT,
		    NVME_SC_ABORT_LIMIT_EXCEEDED);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_submit(&bed, i, i % 2 == 0 ? OB_BLOCK_WRITE : OB_BLOCK_READ, i, 1), 0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_true(bed_logged(&bed, "controller reset") >= 1);
	assert_int_equal(stats(&bed).resets, bed_logged(&bed, "works again"));
}

static void test_cancel_ends_a_hung_command_early(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1 delay=hang");
	assert_int_equal(bed_submit(&bed, 3, OB_BLOCK_READ, 24, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_block_cancel(bed.channel, &bed.requests[3].request), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 3), -ECANCELED);
	assert_int_equal(stats(&bed).timeouts, 0);
}

static void test_command_that_hangs_and_cannot_be_aborted_times_out(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1000 delay=hang");
	bed_command(&bed, "fault " DEVICE " admin=%u count=1000 status=%u", NVME_ADMIN_ABORT,
		    NVME_SC_ABORT_LIMIT_EXCEEDED);
	assert_int_equal(bed_submit(&bed, 1, OB_BLOCK_READ, 24, 1), 0);
	for (unsigned i = 2; i < 10; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 1), -ETIMEDOUT);
	for (unsigned i = 2; i < 10; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_int_equal(stats(&bed).resets, 4);
}

static void test_cancelled_request_is_not_issued_again(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1 delay=hang");
	bed_command(&bed, "fault " DEVICE " admin=%u count=1000 status=%u", NVME_ADMIN_ABORT,
		    NVME_SC_ABORT_LIMIT_EXCEEDED);
	assert_int_equal(bed_submit(&bed, 3, OB_BLOCK_READ, 24, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_block_cancel(bed.channel, &bed.requests[3].request), 0);
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 3), -ECANCELED);
}

/* ---- admin queue ---- */

static void test_hung_admin_command_ends_and_the_disk_works_on(void **state)
{
	uint8_t buffer[4096];
	struct ob_nvme_admin command = {.opcode = NVME_ADMIN_IDENTIFY,
					.cdw10 = NVME_CNS_CONTROLLER,
					.data = buffer,
					.len_bytes = sizeof(buffer)};

	bed_command(&bed, "fault " DEVICE " admin=%u count=1 delay=hang", NVME_ADMIN_IDENTIFY);
	assert_int_equal(ob_nvme_admin(bed.block, &command, ob_deadline(100 * OB_NS_PER_MS)), -ETIMEDOUT);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
	command.status = 0xffff;
	assert_int_equal(ob_nvme_admin(bed.block, &command, ob_deadline(10 * OB_NS_PER_S)), 0);
	assert_int_equal(command.status, 0);
	assert_int_equal(((const struct nvme_identify_controller *)(const void *)buffer)->sqes, 0x66);
	command.opcode = NVME_ADMIN_CREATE_SQ;
	assert_int_equal(ob_nvme_admin(bed.block, &command, ob_deadline(OB_NS_PER_S)), -EPERM);
}

static void test_public_calls_answer(void **state)
{
	struct ob_nvme_controller c;
	struct ob_nvme_smart smart;
	struct nvme_error_log log[2];
	uint32_t value = 0;
	uint16_t status;

	assert_int_equal(ob_nvme_controller(bed.block, &c), 0);
	assert_true(c.queue_count >= 1 && c.namespace_count >= 1);
	assert_string_equal(c.model, ob_block_model(bed.block));
	assert_int_equal(ob_nvme_smart(bed.block, &smart), 0);
	assert_true(smart.temperature_kelvin > 0);
	assert_int_equal(ob_nvme_log(bed.block, NVME_LOG_ERROR, NVME_NSID_ALL, 0, log, sizeof(log), &status), 0);
	assert_int_equal(ob_nvme_log(bed.block, 0xdf, NVME_NSID_ALL, 0, log, sizeof(log), &status), -EOPNOTSUPP);
	assert_int_equal(status, NVME_SC_INVALID_LOG_PAGE);
	assert_int_equal(ob_nvme_log(bed.block, NVME_LOG_ERROR, NVME_NSID_ALL, 0, log, 3, NULL), -EINVAL);
	assert_int_equal(ob_nvme_get_feature(bed.block, NVME_FEATURE_TEMPERATURE, 0, &value, &status), 0);
	assert_int_equal(ob_nvme_set_feature(bed.block, NVME_FEATURE_QUEUE_COUNT, 0, 0, NULL), -EPERM);
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
}

/* ---- the controller ---- */

static void test_reset_under_load_answers_every_request_once(void **state)
{
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 48; i++)
			assert_int_equal(bed_submit(&bed, i, i % 3 == 0 ? OB_BLOCK_READ : OB_BLOCK_WRITE, i * 8, 8), 0);
		ob_block_kick(bed.channel);
		assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
		bed_wait(&bed, LONG);
		for (unsigned i = 0; i < 48; i++)
			assert_int_equal(bed_status(&bed, i), 0);
	}
	assert_int_equal(stats(&bed).resets, 10);
}

static void test_reset_takes_what_was_completed_before_it(void **state)
{
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	/* Without turning: the controller completes, nobody takes it. */
	usleep(50000);
	assert_int_equal(bed.busy, 16);
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(stats(&bed).reissues, 0);
}

static void submit_another(struct ob_block_request *request)
{
	struct bed_request *r = (struct bed_request *)(void *)request;

	r->busy = false;
	r->bed->busy--;
	assert_int_equal(bed_submit(r->bed, 40, OB_BLOCK_READ, 7, 1), 0);
	assert_int_equal(bed_submit(r->bed, 41, OB_BLOCK_READ, 8, 1), 0);
}

/* What ends at the end of a reset may submit: those requests are issued once, not again with what waited. */
static void test_done_function_that_submits_during_a_reset_is_served_once(void **state)
{
	const struct nvme_queue *q = bed.channel->driver_data;

	bed_command(&bed, "fault " DEVICE " op=read lba=24 count=1 delay=hang");
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	bed.requests[24].request.done = submit_another;
	ob_block_kick(bed.channel);
	assert_int_equal(ob_block_cancel(bed.channel, &bed.requests[24].request), 0);
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
	bed_wait(&bed, LONG);
	assert_int_equal(bed_status(&bed, 24), -ECANCELED);
	assert_int_equal(bed_status(&bed, 40) | bed_status(&bed, 41), 0);
	assert_int_equal(q->count.strays + q->count.nonsense, 0);
	assert_int_equal(stats(&bed).resets, 1);
}

static bool is_offline(struct bed *b)
{
	return !ob_block_online(b->block);
}

static void test_controller_that_cannot_be_reset_is_given_up(void **state)
{
	struct ob_device *dev = ob_block_device(bed.block);
	struct nvme *n = ob_device_driver_data(dev);

	bed_command(&bed, "fault " DEVICE " op=any count=1000 delay=hang");
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	bed_command(&bed, "fault " DEVICE " admin=%u count=1000 status=%u", NVME_ADMIN_IDENTIFY,
		    NVME_SC_INTERNAL_ERROR);
	assert_true(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)) < 0);
	assert_int_equal(ob_mmio_read32(&n->regs, NVME_CC) & NVME_CC_EN, 0);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 16; i++)
		assert_true(bed_status(&bed, i) == -EIO || bed_status(&bed, i) == -ENODEV);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 0, 1), -ENODEV);
}

static void test_channel_opened_again_and_again_starts_afresh(void **state)
{
	for (unsigned round = 0; round < 30; round++) {
		ob_block_channel_close(bed.channel);
		bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 4 + round, TIMEOUT);
		for (unsigned i = 0; i <= round; i++)
			assert_int_equal(bed_do(&bed, OB_BLOCK_READ, i, 1), 0);
	}
	assert_int_equal(stats(&bed).timeouts, 0);
}

static void test_fatal_status_is_cured_by_a_reset(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=any count=8 delay=hang");
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	bed_command(&bed, "die " DEVICE);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_true(bed_logged(&bed, "fatal status") >= 1);
}

static void test_unplug_under_load_ends_everything_with_enodev(void **state)
{
	bed_command(&bed, "fault " DEVICE " op=any count=1000 delay=hang");
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	bed_command(&bed, "unplug " DEVICE);
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(bed_status(&bed, i), -ENODEV);
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 0, 1), -ENODEV);
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(OB_NS_PER_S)), -ENODEV);
}

/* What was acknowledged survives the power cut that an abrupt shutdown announced, and nothing in flight is waited for. */
static void test_abrupt_shutdown_saves_the_cache_and_ends_everything(void **state)
{
	struct ob_device *dev;
	uint8_t expected[512];

	bed_open(&bed, "model:?nvme=8M&lossy", NULL);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, TIMEOUT);
	dev = ob_device_get(ob_block_device(bed.block));
	assert_int_equal(bed_do(&bed, OB_BLOCK_WRITE, 7, 1), 0);
	memcpy(expected, bed_buffer(&bed, 0), sizeof(expected));
	bed_command(&bed, "fault " DEVICE " op=read count=1000 delay=hang");
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	assert_int_equal(ob_device_shutdown(dev), 0);
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

/* ---- a CPU that is away ---- */

static void sleep_on_cpu(struct ob_work *work)
{
	usleep(3500000);
}

struct reader {
	struct ob_block_channel *channel;
	unsigned good;
	bool stop; /* __atomic */
};

static void *read_all_the_time(void *arg)
{
	struct reader *r = arg;
	uint8_t buffer[4096];

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
		r->good += ob_block_read(r->channel, r->good % 64, 1, buffer, NULL, ob_deadline(LONG)) == 0;
	return NULL;
}

static void test_reset_goes_on_without_a_cpu_that_is_away(void **state)
{
	struct ob_block_channel_config config = {.timeout_ns = 20 * OB_NS_PER_S};
	struct reader reader = {0};
	struct ob_work nap;
	pthread_t thread;
	uint64_t start;
	unsigned good;

	assert_int_equal(bed_try_open(&bed, "model:", NULL, 2), 0);
	bed.block = ob_block_find(bed.ob, NULL);
	ob_block_limits(bed.block, &bed.limits);
	bed_open_channel(&bed, OB_COMPLETION_INTERRUPT, 64, 20 * OB_NS_PER_S);
	config.cpu = ob_cpu_get(bed.ob, 1);
	assert_int_equal(ob_cpu_start(config.cpu, -1), 0);
	assert_int_equal(ob_block_channel_open(bed.block, &config, &reader.channel), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &reader), 0);
	bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
	ob_work_init(&nap, sleep_on_cpu);
	assert_true(ob_cpu_post(config.cpu, &nap));
	bed_turn_until(&bed, NULL, 50 * OB_NS_PER_MS);
	start = ob_now_ns();
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(LONG)), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
	assert_true(ob_now_ns() - start < 3 * OB_NS_PER_S);
	assert_int_equal(bed_logged(&bed, "the reset goes on without it"), 1);
	/* Its CPU comes back, and another reset takes the queue in. */
	bed_turn_until(&bed, NULL, 2500 * OB_NS_PER_MS);
	good = __atomic_load_n(&reader.good, __ATOMIC_RELAXED);
	bed_turn_until(&bed, NULL, 500 * OB_NS_PER_MS);
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELEASE);
	bed_turn_until(&bed, NULL, 100 * OB_NS_PER_MS);
	pthread_join(thread, NULL);
	assert_true(reader.good > good);
	ob_block_channel_close(reader.channel);
	ob_cpu_stop(config.cpu);
}

/* ---- completions that the device should not have written ---- */

/* Where the driver looks next. What the device writes from then on is out of step, which only a reset cures. */
static void forge(uint32_t sq_word, uint16_t cid, uint16_t status)
{
	struct nvme_queue *q = bed.channel->driver_data;
	uint32_t pos = q->ring.cq_pos;
	struct nvme_cqe *cqe = (struct nvme_cqe *)q->ring.cq_dma.base + (pos & q->ring.mask);

	ob_le32_store((ob_le32 *)(void *)&cqe->sqhd, sq_word);
	ob_le16_store(&cqe->cid, cid);
	ob_dma_wmb();
	ob_le16_store(&cqe->status,
		      (uint16_t)((status & ~NVME_CQE_P) | ((pos & (q->ring.mask + 1)) == 0 ? NVME_CQE_P : 0)));
}

static unsigned load_with_latency(void)
{
	bed_command(&bed, "latency " DEVICE " 5ms");
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
	ob_block_kick(bed.channel);
	return 8;
}

static void finish_load(void)
{
	bed_command(&bed, "latency " DEVICE " 0ns");
	bed_wait(&bed, LONG);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bed_status(&bed, i), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
}

/* It must not end anything; what it is called must be in the log. */
static void forge_under_load(uint32_t sq_word, uint16_t cid, const char *said)
{
	struct nvme_queue *q = bed.channel->driver_data;
	unsigned before = bed_logged(&bed, said);
	unsigned busy = load_with_latency();

	forge(sq_word, cid, 0);
	nvme_queue_take(q, 1);
	assert_int_equal(bed.busy, busy);
	assert_true(bed_logged(&bed, said) > before);
	finish_load();
}

/* The id that the device will answer for request @index. */
static uint16_t id_of(unsigned index)
{
	return (uint16_t)bed.requests[index].request.tag;
}

static void test_forged_completions_are_dropped_or_lead_to_a_reset(void **state)
{
	struct nvme_queue *q = bed.channel->driver_data;
	uint32_t own = (uint32_t)q->ring.qid << 16;
	static const char dropped[] = "not in flight, is dropped";
	static const char foreign[] = "names another queue";

	/* An id of a free tag, one beyond the tags; ids that were answered before. */
	forge_under_load(own, 40, dropped);
	forge_under_load(own, 0x3ff, "an id that was never used");
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 1), 0);
	forge_under_load(own, id_of(0), dropped);
	assert_true(q->count.strays >= 2 && q->count.nonsense >= 1);
	/* The right id, but of another queue, or with a head beyond the ring. */
	load_with_latency();
	forge(own + 0x10000, id_of(3), 0);
	nvme_queue_take(q, 1);
	assert_int_equal(bed.busy, 8);
	finish_load();
	load_with_latency();
	forge(own | 0x8000, id_of(3), 0);
	nvme_queue_take(q, 1);
	assert_int_equal(bed.busy, 8);
	finish_load();
	assert_true(bed_logged(&bed, foreign) >= 2);
}

static void test_forged_admin_completions_are_dropped(void **state)
{
	static const uint16_t ids[] = {0x3ff, 31, 5, 0xffff}; /* beyond the slots, at their end, of a free one */
	struct nvme *n = ob_device_driver_data(ob_block_device(bed.block));
	struct nvme_ring *r = &n->admin.ring;
	struct ob_nvme_smart smart;

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		uint32_t pos = r->cq_pos;
		struct nvme_cqe *cqe = (struct nvme_cqe *)r->cq_dma.base + (pos & r->mask);

		ob_le16_store(&cqe->cid, ids[i]);
		ob_le16_store(&cqe->status, (pos & (r->mask + 1)) == 0 ? NVME_CQE_P : 0);
		assert_int_equal(nvme_admin_poll(n), 1);
	}
	assert_int_equal(n->admin.strays, 4);
	/* Out of step with the controller, until a reset. */
	assert_int_equal(ob_nvme_reset(bed.block, ob_deadline(10 * OB_NS_PER_S)), 0);
	assert_int_equal(ob_nvme_smart(bed.block, &smart), 0);
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
}

static void test_heap_of_strays_leads_to_a_reset(void **state)
{
	struct nvme_queue *q = bed.channel->driver_data;

	load_with_latency();
	for (unsigned i = 0; i < NVME_STRAYS_MAX; i++) {
		assert_int_equal(q->state, NVME_QUEUE_LIVE);
		forge((uint32_t)q->ring.qid << 16, 40, 0);
		nvme_queue_take(q, 1);
	}
	assert_int_equal(q->state, NVME_QUEUE_BROKEN);
	finish_load();
}

/* Any bytes at all: every request still ends once, and the queue works afterwards. */
static void test_random_completions_never_lose_a_request(void **state)
{
	struct random random = {.state = 42};
	struct nvme_queue *q = bed.channel->driver_data;

	for (unsigned round = 0; round < 60; round++) {
		unsigned count = 1 + (unsigned)random_below(&random, 32);

		if (random_percent(&random, 50))
			bed_command(&bed, "latency " DEVICE " 2ms");
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(bed_submit(&bed, i, OB_BLOCK_READ, i, 1), 0);
		ob_block_kick(bed.channel);
		for (unsigned i = 0; i < 1 + random_below(&random, 4); i++) {
			uint32_t sq_word = random_percent(&random, 50) ? (uint32_t)random_next(&random)
								       : (uint32_t)q->ring.qid << 16;
			uint16_t cid = random_percent(&random, 50) ? (uint16_t)random_next(&random)
								   : (uint16_t)random_below(&random, 64);

			forge(sq_word, cid, (uint16_t)random_next(&random));
			if (q->state == NVME_QUEUE_LIVE)
				nvme_queue_take(q, 1 + (unsigned)random_below(&random, 8));
		}
		bed_command(&bed, "latency " DEVICE " 0ns");
		bed_wait(&bed, LONG);
	}
	for (unsigned i = 0; i < 100 && bed_do(&bed, OB_BLOCK_READ, 0, 8) != 0; i++)
		;
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, 0, 8), 0);
}

/* ---- namespaces ---- */

static bool has_grown(struct bed *b)
{
	ob_block_limits(b->block, &b->limits);
	return b->limits.block_count == (96u << 20) / b->limits.block_bytes;
}

static void test_namespace_resized_detached_attached_is_noticed(void **state)
{
	struct ob_block *again;

	bed_command(&bed, "resize " DEVICE " 1 96M");
	assert_true(bed_turn_until(&bed, has_grown, LONG));
	assert_int_equal(bed_do(&bed, OB_BLOCK_READ, bed.limits.block_count - 1, 1), 0);
	bed_command(&bed, "detach " DEVICE " 1");
	assert_true(bed_turn_until(&bed, is_offline, LONG));
	assert_int_equal(bed_submit(&bed, 0, OB_BLOCK_READ, 0, 1), -ENODEV);
	bed_command(&bed, "attach " DEVICE " 1");
	for (unsigned i = 0; i < 1000 && (again = ob_block_find(bed.ob, NULL)) == NULL; i++)
		bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_non_null(again);
	assert_true(ob_block_online(again));
	ob_block_put(again);
}

static void test_warning_is_logged(void **state)
{
	bed_command(&bed, "warning " DEVICE " 4");
	for (unsigned i = 0; i < 500 && bed_logged(&bed, "critical warning 0x4") == 0; i++)
		bed_turn_until(&bed, NULL, 10 * OB_NS_PER_MS);
	assert_int_equal(bed_logged(&bed, "critical warning 0x4"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_machine_that_is_shut_down_answers_nothing_more, close_bed),
		cmocka_unit_test_setup_teardown(test_status_of_one_block_becomes_errno, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_transient_status_is_tried_again_and_ends, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_hung_command_is_aborted_and_tried_again, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_command_that_always_hangs_times_out, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_refused_abort_leads_to_a_reset_and_all_end, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_command_that_hangs_and_cannot_be_aborted_times_out, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_cancelled_request_is_not_issued_again, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_reset_takes_what_was_completed_before_it, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_forged_admin_completions_are_dropped, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_heap_of_strays_leads_to_a_reset, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_done_function_that_submits_during_a_reset_is_served_once, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_controller_that_cannot_be_reset_is_given_up, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_channel_opened_again_and_again_starts_afresh, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_cancel_ends_a_hung_command_early, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_hung_admin_command_ends_and_the_disk_works_on, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_public_calls_answer, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_reset_under_load_answers_every_request_once, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_fatal_status_is_cured_by_a_reset, open_bed, close_bed),
		cmocka_unit_test_setup_teardown(test_unplug_under_load_ends_everything_with_enodev, open_bed,
						close_bed),
		cmocka_unit_test_teardown(test_abrupt_shutdown_saves_the_cache_and_ends_everything, close_bed),
		cmocka_unit_test_setup_teardown(test_forged_completions_are_dropped_or_lead_to_a_reset, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_random_completions_never_lose_a_request, open_bed, close_bed),
		cmocka_unit_test_teardown(test_reset_goes_on_without_a_cpu_that_is_away, close_bed),
		cmocka_unit_test_setup_teardown(test_namespace_resized_detached_attached_is_noticed, open_bed,
						close_bed),
		cmocka_unit_test_setup_teardown(test_warning_is_logged, open_bed, close_bed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
