/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver, its class and core against a device that lies as the fuzzer's bytes say (hostile.h).
 *
 * Whatever the device does: memory stays whole (the sanitizers look), the run ends, each request ends once, what the
 * class says of the disk makes sense, and at the end nothing is left. With an honest device all must work as well.
 */
#include <outboard/nvme.h>

#include <stdio.h>

#include "base/bits.h"
#include "spec/nvme.h"
#include "tests/fuzz/hostile.h"

#define REQUESTS   8u
#define BUFFER     12288u /* of each: three pages, so that lists are used */
#define DEPTH_MAX  32u
#define TIMEOUT_NS OB_NS_PER_S
#define LONG_NS    (4000 * OB_NS_PER_S)
#define TURN_NS    (100 * OB_NS_PER_MS)

/* header[3]: what else a run does */
#define DO_SMART   0x01u
#define DO_LOG     0x02u
#define DO_FEATURE 0x04u
#define DO_ADMIN   0x08u
#define DO_RESET   0x10u
#define DO_RESCAN  0x20u
#define DO_CANCEL  0x40u
#define DO_CLOSE   0x80u /* the channel, with requests in flight */

struct run_request {
	struct ob_block_request request; /* first */
	struct ob_segment segments[2];
	bool busy;
};

static struct {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct ob_block_limits limits;
	struct run_request requests[REQUESTS];
	uint8_t private_memory[BUFFER]; /* in no window */
	unsigned busy;
	uint32_t random;
} run;

static void take_message(void *arg, enum ob_log_level level, const char *message)
{
	if (hostile_verbose)
		fprintf(stderr, "%u %s\n", (unsigned)level, message);
	/* Core looks at what a driver leaves behind. */
	if (strstr(message, "leaked") != NULL)
		hostile_fail("%s", message);
}

static uint32_t random_below(uint32_t n)
{
	run.random = run.random * 1664525u + 1013904223u;
	return (run.random >> 8) % n;
}

static void expect(int ret)
{
	if (ret != 0 && hostile.applied == 0)
		hostile_fail("%d from an honest device", ret);
}

static void ended(struct ob_block_request *request)
{
	struct run_request *r = (struct run_request *)(void *)request;

	if (!r->busy)
		hostile_fail("a request ended twice");
	if (request->status > 0)
		hostile_fail("status %d", request->status);
	r->busy = false;
	run.busy--;
	if (request->status != -ECANCELED && request->status != -EILSEQ)
		expect(request->status);
}

/* What the class says must make sense whatever the device said: others compute with it. */
static void check_limits(const struct ob_block_limits *l)
{
	if (l->block_bytes != 512 && l->block_bytes != 4096)
		hostile_fail("blocks of %u bytes", l->block_bytes);
	if (l->block_count == 0 || l->block_count > (uint64_t)INT64_MAX / l->block_bytes)
		hostile_fail("%llu blocks", (unsigned long long)l->block_count);
	if (l->transfer_max_bytes < l->block_bytes || l->transfer_max_bytes > 1u << 30 || l->segment_max == 0)
		hostile_fail("transfers of %u bytes in %u segments", l->transfer_max_bytes, l->segment_max);
	if ((l->physical_bytes & (l->physical_bytes - 1)) != 0 || !IS_ALIGNED(l->optimal_bytes, l->block_bytes))
		hostile_fail("physical %u, optimal %u", l->physical_bytes, l->optimal_bytes);
}

static void submit(unsigned index)
{
	struct run_request *r = &run.requests[index];
	uint32_t blocks_max = BUFFER / run.limits.block_bytes;
	uint32_t wanted = 1 + random_below(blocks_max);
	uint32_t blocks = (uint32_t)MIN((uint64_t)wanted, run.limits.block_count);
	size_t len_bytes = (size_t)blocks * run.limits.block_bytes, first = len_bytes;
	uint8_t op = (uint8_t)random_below(OB_BLOCK_OP_COUNT);
	uint8_t *buffer = run.window->base + (size_t)index * BUFFER;
	int ret;

	memset(r, 0, sizeof(*r));
	r->request = (struct ob_block_request){.op = op, .done = ended, .block_count = blocks};
	r->request.lba = random_below((uint32_t)MIN(run.limits.block_count - blocks + 1, (uint64_t)UINT32_MAX));
	if (op == OB_BLOCK_READ || op == OB_BLOCK_WRITE || op == OB_BLOCK_COMPARE) {
		bool bounced = index == 0;

		if (!bounced && blocks > 1 && random_below(2) != 0)
			first = ALIGN_DOWN(len_bytes / 2, run.limits.block_bytes);
		r->segments[0] = (struct ob_segment){bounced ? run.private_memory : buffer, first};
		r->segments[1] = (struct ob_segment){buffer + first, len_bytes - first};
		r->request.segments = r->segments;
		r->request.segment_count = first < len_bytes ? 2 : 1;
		r->request.window = bounced ? NULL : run.window;
		r->request.flags = op == OB_BLOCK_WRITE && random_below(4) == 0 ? OB_BLOCK_FUA : 0;
	} else if (op == OB_BLOCK_FLUSH) {
		r->request.block_count = 0;
		r->request.lba = 0;
	}
	r->busy = true;
	run.busy++;
	ret = ob_block_submit(run.channel, &r->request);
	if (ret != 0) {
		r->busy = false;
		run.busy--;
		if (ret != -EAGAIN && ret != -EOPNOTSUPP)
			expect(ret);
	}
}

static void submit_all(void)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		submit(i);
	ob_block_kick(run.channel);
}

static void wait_all(void)
{
	uint64_t deadline_ns = ob_deadline(LONG_NS);

	while (run.busy != 0) {
		if (ob_now_ns() >= deadline_ns)
			hostile_fail("%u requests have not ended", run.busy);
		/* A polled channel never sleeps: time must pass all the same. */
		if (ob_cpu_turn(ob_cpu_get(run.ob, 0), TURN_NS) == 0 && hostile.header[0] & HOSTILE_POLLED)
			hostile_idle(ob_now_ns() + 10 * OB_NS_PER_MS);
		ob_block_kick(run.channel);
	}
}

static void public_calls(unsigned what)
{
	uint64_t deadline_ns = ob_deadline(20 * OB_NS_PER_S);
	struct ob_nvme_controller controller;
	struct ob_nvme_smart smart;
	uint8_t buffer[4096];
	struct ob_nvme_admin admin = {
		.opcode = NVME_ADMIN_IDENTIFY,
		.cdw10 = NVME_CNS_CONTROLLER,
		.data = buffer,
		.len_bytes = sizeof(buffer),
	};
	uint32_t value;
	uint16_t status;

	if (what & DO_SMART) {
		expect(ob_nvme_smart(run.block, &smart));
		expect(ob_nvme_controller(run.block, &controller));
	}
	if (what & DO_LOG)
		expect(ob_nvme_log(run.block, NVME_LOG_ERROR, NVME_NSID_ALL, 0, buffer, 128, &status));
	if (what & DO_FEATURE)
		expect(ob_nvme_get_feature(run.block, NVME_FEATURE_TEMPERATURE, 0, &value, &status));
	if (what & DO_ADMIN)
		expect(ob_nvme_admin(run.block, &admin, deadline_ns));
	if (what & DO_RESET)
		expect(ob_nvme_reset(run.block, ob_deadline(LONG_NS)));
	if (what & DO_RESCAN)
		ob_machine_rescan(run.machine);
}

static void work(void)
{
	struct ob_block_channel_config config = {
		.depth = 1 + hostile.header[1] % DEPTH_MAX,
		.bounce_buffers = 1,
		.timeout_ns = TIMEOUT_NS,
	};
	unsigned flags = hostile.header[0], what = hostile.header[3];

	if (flags & HOSTILE_POLLED)
		config.poll.mode = OB_COMPLETION_POLLED;
	else if (flags & HOSTILE_HYBRID)
		config.poll.mode = OB_COMPLETION_HYBRID;
	else
		config.poll.mode = OB_COMPLETION_INTERRUPT;
	ob_block_limits(run.block, &run.limits);
	check_limits(&run.limits);
	if (ob_window_create(run.machine, (size_t)REQUESTS * BUFFER, &run.window) != 0)
		return;
	if (ob_block_grant(run.block, run.window) != 0 ||
	    ob_block_channel_open(run.block, &config, &run.channel) != 0) {
		expect(-1);
		return;
	}
	submit_all();
	if (what & DO_CANCEL)
		ob_block_cancel(run.channel, &run.requests[random_below(REQUESTS)].request);
	public_calls(what);
	wait_all();
	ob_block_limits(run.block, &run.limits);
	check_limits(&run.limits);
	submit_all();
	if (!(what & DO_CLOSE))
		wait_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_config config = {.log = take_message, .log_level = OB_LOG_DEBUG, .trace_events_per_cpu = 16};
	int ret;

	memset(&run, 0, sizeof(run));
	hostile_parse(&hostile, data, size);
	hostile_os_start();
	run.random = hostile.header[2] + 1u;
	if (ob_create(&config, &run.ob) != 0)
		hostile_fail("no context");
	ret = ob_machine_open(run.ob, "hostile:", NULL, &run.machine);
	expect(ret);
	if (ret == 0)
		run.block = ob_block_find(run.ob, NULL);
	if (run.block != NULL)
		work();
	else
		expect(-1);
	ob_block_channel_close(run.channel);
	if (run.busy != 0)
		hostile_fail("%u requests have not ended when their channel was closed", run.busy);
	ob_block_put(run.block);
	ob_window_put(run.window);
	ob_machine_close(run.machine);
	ob_destroy(run.ob);
	hostile_machine_end();
	hostile_os_end();
	return 0;
}
