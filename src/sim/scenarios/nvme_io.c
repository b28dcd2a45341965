/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenario: reads and writes of the NVMe driver over some channels on as many CPUs, each on blocks of its own, checked
 * against what was written. All choices come from the seed.
 */
#include <errno.h>

#include <outboard/nvme.h>
#include <outboard/outboard.h>
#include <outboard/virtio_blk.h>

#include "sim/scenarios/scenarios.h"

#define CHANNELS_MAX   3
#define DEPTH          7 /* one less than a ring's entries */
#define BLOCKS         8 /* more than the depth, of each channel */
#define BLOCK_BYTES    512
#define WORDS          (BLOCK_BYTES / 8)
#define TIMEOUT_NS     (60 * OB_NS_PER_S)
#define SMALL_REQUESTS 8
#define LONG_REQUESTS  480
#define STAYS          128               /* one of so many runs from a checkpoint also takes everything down */
#define LONG_NS        (2 * OB_NS_PER_S) /* for all I/O, in a world without faults */

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
	unsigned stride;         /* of the words of a block that are looked at */
	uint8_t written[BLOCKS]; /* what each block holds */
	bool locked[BLOCKS];     /* a request is at it */
};

static void slot_done(struct ob_block_request *request);

static uint64_t word_of(uint8_t pattern)
{
	return pattern * 0x0101010101010101ull;
}

static void words_fill(uint64_t *words, unsigned stride, uint64_t value)
{
	for (unsigned i = 0; i < WORDS; i += stride)
		words[i] = value;
}

static void words_check(const struct slot *s, unsigned stride)
{
	const uint64_t *words = s->segment.base, value = word_of(s->pattern);

	for (unsigned i = 0; i < WORDS; i += stride)
		if (words[i] != value)
			sim_fail("wrong-data", "block %u: %#llx, not %#llx", s->block, (unsigned long long)words[i],
				 (unsigned long long)value);
}

static void slot_start(struct slot *s)
{
	struct lane *l = s->lane;
	bool write = sim_random(2) == 0;
	unsigned block = (unsigned)sim_random(BLOCKS);
	uint8_t pattern;
	int rc;

	while (l->locked[block])
		block = (block + 1) % BLOCKS;
	pattern = write ? (uint8_t)(1 + sim_random(255)) : l->written[block];
	words_fill(s->segment.base, l->stride, write ? word_of(pattern) : ~0ull);
	s->block = block;
	s->pattern = pattern;
	s->request = (struct ob_block_request){
		.op = write ? OB_BLOCK_WRITE : OB_BLOCK_READ,
		.segment_count = 1,
		.segments = &s->segment,
		.window = l->window,
		.block_count = 1,
		.lba = l->index * BLOCKS + block,
		.done = slot_done,
		.arg = s,
	};
	s->busy = l->locked[block] = true;
	l->busy++;
	sim_request_begin(&s->request);
	rc = ob_block_submit(l->channel, &s->request);
	if (rc != 0)
		sim_fail("io-error", "submit: %d", rc);
	if (write)
		l->written[block] = pattern;
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
	if (request->op == OB_BLOCK_READ)
		words_check(s, l->stride);
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
	int rc;

	config.poll.mode = modes[sim_random(3)];
	config.poll.window_ns = 1 + sim_random(20 * OB_NS_PER_US);
	l->depth = config.depth = sim_random(2) ? DEPTH : 1 + (unsigned)sim_random(DEPTH);
	ob_event_init(&l->finished, config.cpu);
	SIM_CHECK(ob_window_create(machine, DEPTH * BLOCK_BYTES, &l->window) == 0);
	for (unsigned i = 0; i < DEPTH; i++) {
		l->slots[i].lane = l;
		l->slots[i].segment = (struct ob_segment){(uint8_t *)l->window->base + i * BLOCK_BYTES, BLOCK_BYTES};
	}
	SIM_CHECK(ob_block_grant(l->block, l->window) == 0);
	rc = ob_block_channel_open(l->block, &config, &l->channel);
	if (rc != 0)
		sim_fail("not-driven", "a channel cannot be opened: %d, and nothing is wrong with the device", rc);
	if (ob_block_channel_depth(l->channel) < l->depth)
		l->depth = ob_block_channel_depth(l->channel); /* short rings hold less */
}

/* A completion that was overlooked is found by the driver's watch in the end: that must not be needed. */
static void check_counts(struct ob_block *block, bool was_reset)
{
	struct ob_block_stats stats;

	ob_block_stats(block, &stats);
	if (was_reset)
		stats.resets = stats.reissues = 0;
	if (stats.timeouts + stats.aborts + stats.resets + stats.reissues > 0)
		sim_fail("lost-completion", "%llu timeouts, %llu aborts, %llu resets, %llu reissues",
			 (unsigned long long)stats.timeouts, (unsigned long long)stats.aborts,
			 (unsigned long long)stats.resets, (unsigned long long)stats.reissues);
}

static void check_pace(uint64_t start_ns)
{
	if (ob_now_ns() - start_ns > LONG_NS)
		sim_fail("lost-completion", "the requests took %llu virtual ms",
			 (unsigned long long)((ob_now_ns() - start_ns) / OB_NS_PER_MS));
}

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

struct bed {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct lane *lanes;
	unsigned channels;
};

static void bed_open(struct bed *b, const struct sim_config *config)
{
	const struct ob_config ob_config = {
		.log = log_line,
		.log_level = OB_LOG_INFO,
		.cpu_count = sim_cpus(1 + (unsigned)sim_random(3)),
		.trace_events_per_cpu = 16,
	};
	unsigned channels = 1 + (unsigned)sim_random(config->queues < CHANNELS_MAX ? config->queues : CHANNELS_MAX);

	b->channels = sim_channels(channels);
	b->lanes = ob_alloc(CHANNELS_MAX * sizeof(*b->lanes));
	SIM_CHECK(b->lanes != NULL);
	SIM_CHECK(ob_create(&ob_config, &b->ob) == 0);
	/* CPU 0 may be turned by this thread. */
	for (unsigned i = 0; i < ob_cpu_count(b->ob); i++)
		if (i > 0 || sim_random(2) == 0)
			SIM_CHECK(ob_cpu_start(ob_cpu_get(b->ob, i), -1) == 0);
	SIM_CHECK(ob_machine_open(b->ob, "sim:", NULL, &b->machine) == 0);
	b->block = ob_block_find(b->ob, NULL);
	if (b->block == NULL)
		sim_fail("not-driven", "no block device appeared, and nothing is wrong with the device");
	if (config->memory_buffer) {
		int rc = ob_nvme_use_memory_buffer(b->block, true);

		SIM_CHECK(rc == 0 || rc == -EOPNOTSUPP); /* another driver's disk */
	}
	for (unsigned i = 0; i < b->channels; i++) {
		b->lanes[i].index = i;
		b->lanes[i].block = b->block;
		lane_open(&b->lanes[i], b->ob, b->machine, i % ob_cpu_count(b->ob));
	}
}

/* The device goes to sleep and comes back, under the hands of all lanes. */
static void sleep_once(const struct bed *b)
{
	struct ob_device *dev = ob_block_device(b->block);
	bool all = sim_random(2) == 0;
	struct ob_event pause;

	SIM_CHECK((all ? ob_machine_suspend(b->machine, ob_deadline(TIMEOUT_NS))
		       : ob_device_suspend(dev, ob_deadline(TIMEOUT_NS))) == 0);
	ob_event_init(&pause, ob_cpu_get(b->ob, 0));
	if (sim_random(2) == 0)
		ob_event_wait(&pause, ob_deadline(OB_NS_PER_US << sim_random(16)));
	SIM_CHECK((all ? ob_machine_resume(b->machine, ob_deadline(TIMEOUT_NS))
		       : ob_device_resume(dev, ob_deadline(TIMEOUT_NS))) == 0);
}

static void reset_once(const struct bed *b)
{
	int rc = ob_nvme_reset(b->block, ob_deadline(TIMEOUT_NS));

	SIM_CHECK((rc != -EOPNOTSUPP ? rc : ob_virtio_blk_reset(b->block, ob_deadline(TIMEOUT_NS))) == 0);
}

/* It says that it cannot go on; its driver sees that and resets it. */
static void break_once(const struct bed *b)
{
	sim_device_break();
}

/* At most @times the device is disturbed meanwhile. */
static void bed_work(const struct bed *b, void (*disturb)(const struct bed *b), int times)
{
	uint64_t start_ns = ob_now_ns();

	for (unsigned i = 0; i < b->channels; i++)
		SIM_CHECK(ob_cpu_call(ob_block_channel_cpu(b->lanes[i].channel), lane_start, &b->lanes[i],
				      ob_deadline(TIMEOUT_NS)) == 0);
	for (unsigned i = 0; i < b->channels; i++) {
		struct ob_event *finished = &b->lanes[i].finished;
		bool over = false;

		while (!over && times-- > 0) {
			over = ob_event_wait(finished, ob_deadline(OB_NS_PER_US << sim_random(9))) == 0;
			if (!over)
				disturb(b);
		}
		if (!over && ob_event_wait(finished, ob_deadline(TIMEOUT_NS)) != 0)
			sim_fail("lost-completion", "the requests of channel %u do not end", i);
	}
	/* While its driver is at it, counters may still move. */
	if (disturb != break_once)
		check_counts(b->block, disturb == reset_once);
	check_pace(start_ns);
}

static void bed_close(struct bed *b)
{
	for (unsigned i = 0; i < b->channels; i++) {
		ob_block_channel_close(b->lanes[i].channel);
		ob_window_put(b->lanes[i].window);
	}
	ob_block_put(b->block);
	ob_machine_close(b->machine);
	ob_destroy(b->ob);
	ob_free(b->lanes);
}

void disk_run_io(const struct sim_config *config)
{
	struct bed b;

	bed_open(&b, config);
	for (unsigned i = 0; i < b.channels; i++) {
		b.lanes[i].left = sim_load(4 + (unsigned)sim_random(16));
		b.lanes[i].stride = 1;
	}
	bed_work(&b, NULL, 0);
	bed_close(&b);
}

/* The same, on a device that is suspended and resumed, or reset, under the load. */
static void run_disturbed(const struct sim_config *config, void (*disturb)(const struct bed *b))
{
	struct bed b;

	bed_open(&b, config);
	for (unsigned i = 0; i < b.channels; i++) {
		b.lanes[i].left = sim_load(8 + (unsigned)sim_random(24));
		b.lanes[i].stride = WORDS / 2 - 1;
	}
	bed_work(&b, disturb, 1 + (int)sim_random(3));
	bed_close(&b);
}

void disk_run_suspend(const struct sim_config *config)
{
	run_disturbed(config, sleep_once);
}

static void run_reset(const struct sim_config *config)
{
	run_disturbed(config, reset_once);
}

void disk_run_breaks(const struct sim_config *config)
{
	run_disturbed(config, sim_random(2) == 0 ? break_once : reset_once);
}

/* The same on a machine that is up, and mostly left so. */
static void run_from_checkpoint(const struct sim_config *config, unsigned requests)
{
	struct bed b;

	bed_open(&b, config);
	sim_checkpoint();
	for (unsigned i = 0; i < b.channels; i++) {
		b.lanes[i].left = sim_load(requests / b.channels);
		b.lanes[i].stride = WORDS / 2 - 1;
	}
	bed_work(&b, NULL, 0);
	if (sim_random(STAYS) != 0)
		sim_leave();
	bed_close(&b);
}

void disk_run_small(const struct sim_config *config)
{
	run_from_checkpoint(config, SMALL_REQUESTS);
}

void disk_run_long(const struct sim_config *config)
{
	run_from_checkpoint(config, LONG_REQUESTS);
}

void disk_shape_machine(const struct sim_config *config, struct sim_config *shape)
{
	shape->queues = config->queues;
	shape->ring_entries = config->ring_entries;
	shape->pin_interrupts = config->pin_interrupts;
	shape->shadow_doorbells = config->shadow_doorbells;
	shape->memory_buffer = false;
	shape->cpus_max = config->cpus_max;
	shape->channels_max = config->channels_max;
	shape->vectors = config->vectors;
	shape->packed_rings = config->packed_rings;
	shape->direct_rings = config->direct_rings;
	shape->event_flags = config->event_flags;
	shape->ordered_rings = config->ordered_rings;
}

const struct sim_scenario scenario_nvme_io = {
	.name = "nvme-io",
	.help = "reads and writes over some channels",
	.run = disk_run_io,
};

const struct sim_scenario scenario_nvme_small = {
	.name = "nvme-small",
	.help = "8 reads and writes on a machine that is up: the quickest",
	.run = disk_run_small,
	.shape = disk_shape_machine,
};

const struct sim_scenario scenario_nvme_long = {
	.name = "nvme-long",
	.help = "480 reads and writes on a machine that is up: rings go round many times",
	.run = disk_run_long,
	.shape = disk_shape_machine,
};

const struct sim_scenario scenario_nvme_suspend = {
	.name = "nvme-suspend",
	.help = "reads and writes while the device is suspended and resumed",
	.run = disk_run_suspend,
};

const struct sim_scenario scenario_nvme_reset = {
	.name = "nvme-reset",
	.help = "reads and writes while the controller is reset",
	.run = run_reset,
};
