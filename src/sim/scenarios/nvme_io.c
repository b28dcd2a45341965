/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenario: reads and writes of the NVMe driver over some channels on as many CPUs, each on blocks of its own, checked
 * against what was written. All choices come from the seed.
 */
#include <outboard/outboard.h>

#include "sim/scenarios/scenarios.h"

#define CHANNELS_MAX 3
#define DEPTH        7 /* one less than a ring's entries */
#define BLOCKS       8 /* more than the depth, of each channel */
#define BLOCK_BYTES  512
#define TIMEOUT_NS   (60 * OB_NS_PER_S)
#define LONG_NS      (2 * OB_NS_PER_S) /* for all I/O, in a world without faults */

struct lane;

struct slot {
	struct ob_block_request request;
	struct ob_segment segment;
	struct lane *lane;
	bool busy;
	unsigned block;
	uint8_t pattern;
};

struct lane {
	struct ob_block *block;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct ob_event finished;
	struct slot slots[DEPTH];
	unsigned index, depth, left, busy;
	uint8_t written[BLOCKS]; /* what each block holds */
	bool locked[BLOCKS];     /* a request is at it */
};

static void slot_done(struct ob_block_request *request);

static uint8_t *slot_buffer(const struct slot *s)
{
	return s->lane->window->base + (size_t)(s - s->lane->slots) * BLOCK_BYTES;
}

static void slot_start(struct slot *s)
{
	struct lane *l = s->lane;
	bool write = sim_random(2) == 0;
	int rc;

	s->block = (unsigned)sim_random(BLOCKS);
	while (l->locked[s->block])
		s->block = (s->block + 1) % BLOCKS;
	s->pattern = write ? (uint8_t)(1 + sim_random(255)) : l->written[s->block];
	for (unsigned i = 0; i < BLOCK_BYTES / 8; i++)
		((uint64_t *)(void *)slot_buffer(s))[i] = write ? s->pattern * 0x0101010101010101ull : ~0ull;
	s->segment = (struct ob_segment){slot_buffer(s), BLOCK_BYTES};
	s->request = (struct ob_block_request){
		.op = write ? OB_BLOCK_WRITE : OB_BLOCK_READ,
		.segment_count = 1,
		.segments = &s->segment,
		.window = l->window,
		.block_count = 1,
		.lba = l->index * BLOCKS + s->block,
		.done = slot_done,
		.arg = s,
	};
	s->busy = l->locked[s->block] = true;
	l->busy++;
	sim_request_begin(&s->request);
	rc = ob_block_submit(l->channel, &s->request);
	if (rc != 0)
		sim_fail("io-error", "submit: %d", rc);
	if (write)
		l->written[s->block] = s->pattern;
}

static void lane_fill(struct lane *l)
{
	bool any = false;

	for (unsigned i = 0; i < l->depth && l->left > 0; i++) {
		if (l->slots[i].busy || sim_random(3) == 0)
			continue;
		l->left--;
		slot_start(&l->slots[i]);
		any = true;
	}
	if (l->busy == 0 && l->left > 0) {
		l->left--;
		slot_start(&l->slots[0]);
		any = true;
	}
	if (any)
		ob_block_kick(l->channel);
}

static void slot_done(struct ob_block_request *request)
{
	struct slot *s = request->arg;
	struct lane *l = s->lane;

	sim_request_end(request);
	if (request->status != 0)
		sim_fail("io-error", "a request ended with %d (%#x)", request->status, request->protocol_status);
	if (request->op == OB_BLOCK_READ) {
		for (unsigned i = 0; i < BLOCK_BYTES / 8; i++)
			if (((uint64_t *)(void *)slot_buffer(s))[i] != s->pattern * 0x0101010101010101ull)
				sim_fail("wrong-data", "block %u: %#llx, not %#x", s->block,
					 (unsigned long long)((uint64_t *)(void *)slot_buffer(s))[i], s->pattern);
	}
	s->busy = l->locked[s->block] = false;
	l->busy--;
	if (l->left > 0)
		lane_fill(l);
	else if (l->busy == 0)
		ob_event_signal(&l->finished);
}

static void lane_start(void *arg)
{
	lane_fill(arg);
}

static void lane_open(struct lane *l, struct ob *ob, struct ob_machine *machine, unsigned cpu)
{
	static const enum ob_completion_mode modes[] = {OB_COMPLETION_INTERRUPT, OB_COMPLETION_POLLED,
							OB_COMPLETION_HYBRID};
	struct ob_block_channel_config config = {.cpu = ob_cpu_get(ob, cpu), .bounce_buffers = 1};

	config.poll.mode = modes[sim_random(3)];
	config.poll.window_ns = 1 + sim_random(20 * OB_NS_PER_US);
	l->depth = config.depth = sim_random(2) ? DEPTH : 1 + (unsigned)sim_random(DEPTH);
	l->left = 4 + (unsigned)sim_random(16);
	ob_event_init(&l->finished, config.cpu);
	for (unsigned i = 0; i < DEPTH; i++)
		l->slots[i].lane = l;
	SIM_CHECK(ob_window_create(machine, DEPTH * BLOCK_BYTES, &l->window) == 0);
	SIM_CHECK(ob_block_grant(l->block, l->window) == 0);
	SIM_CHECK(ob_block_channel_open(l->block, &config, &l->channel) == 0);
}

/* A completion that was overlooked is found by the driver's watch in the end: that must not be needed. */
static void check_pace(struct ob_block *block, uint64_t start_ns)
{
	struct ob_block_stats stats;

	ob_block_stats(block, &stats);
	if (stats.timeouts + stats.aborts + stats.resets + stats.reissues > 0)
		sim_fail("lost-completion", "%llu timeouts, %llu aborts, %llu resets, %llu reissues",
			 (unsigned long long)stats.timeouts, (unsigned long long)stats.aborts,
			 (unsigned long long)stats.resets, (unsigned long long)stats.reissues);
	if (ob_now_ns() - start_ns > LONG_NS)
		sim_fail("lost-completion", "the requests took %llu virtual ms",
			 (unsigned long long)((ob_now_ns() - start_ns) / OB_NS_PER_MS));
}

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

static void run(const struct sim_config *config)
{
	const struct ob_config ob_config = {
		.log = log_line,
		.log_level = OB_LOG_INFO,
		.cpu_count = 1 + (unsigned)sim_random(3),
		.trace_events_per_cpu = 16,
	};
	unsigned channels = 1 + (unsigned)sim_random(config->queues < CHANNELS_MAX ? config->queues : CHANNELS_MAX);
	struct lane *lanes = ob_alloc(CHANNELS_MAX * sizeof(*lanes));
	bool own_thread[CHANNELS_MAX] = {false};
	struct ob_machine *machine;
	struct ob_block *block;
	uint64_t start_ns;
	struct ob *ob;

	SIM_CHECK(lanes != NULL);
	SIM_CHECK(ob_create(&ob_config, &ob) == 0);
	/* CPU 0 may be turned by this thread. */
	for (unsigned i = 0; i < ob_cpu_count(ob); i++) {
		own_thread[i] = i > 0 || sim_random(2) == 0;
		if (own_thread[i])
			SIM_CHECK(ob_cpu_start(ob_cpu_get(ob, i), -1) == 0);
	}
	SIM_CHECK(ob_machine_open(ob, "sim:", NULL, &machine) == 0);
	block = ob_block_find(ob, NULL);
	SIM_CHECK(block != NULL);
	for (unsigned i = 0; i < channels; i++) {
		lanes[i].index = i;
		lanes[i].block = block;
		lane_open(&lanes[i], ob, machine, i % ob_cpu_count(ob));
	}
	start_ns = ob_now_ns();
	for (unsigned i = 0; i < channels; i++)
		SIM_CHECK(ob_cpu_call(ob_block_channel_cpu(lanes[i].channel), lane_start, &lanes[i],
				      ob_deadline(TIMEOUT_NS)) == 0);
	for (unsigned i = 0; i < channels; i++)
		SIM_CHECK(ob_event_wait(&lanes[i].finished, ob_deadline(TIMEOUT_NS)) == 0);
	check_pace(block, start_ns);
	for (unsigned i = 0; i < channels; i++) {
		ob_block_channel_close(lanes[i].channel);
		ob_window_put(lanes[i].window);
	}
	ob_block_put(block);
	ob_machine_close(machine);
	ob_destroy(ob);
	ob_free(lanes);
}

const struct sim_scenario scenario_nvme_io = {
	.name = "nvme-io",
	.help = "reads and writes over some channels",
	.run = run,
};
