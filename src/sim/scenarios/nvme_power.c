/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenario: power goes and comes back, or the disk is pulled out and put in again, while requests are in flight. Each time
 * a disk is found, it must hold what was flushed or written through its cache; what else was written may be there or not,
 * block by block. The driver is bound again, and I/O on it works.
 */
#include <errno.h>

#include <outboard/outboard.h>

#include "sim/scenarios/scenarios.h"

#define LANES_MAX   2
#define DEPTH_MAX   4
#define BLOCKS      24
#define BLOCK_BYTES 512
#define WRITE_MAX   4
#define WORDS       (BLOCK_BYTES / 8)
#define VALUE_STEP \
	16 /* more than the blocks of a write: each block's value is one more than that of the block before */
#define ROUNDS_MAX 3
#define LOOKS_MAX  60
#define READS_MAX  8
#define TIMEOUT_NS (300 * OB_NS_PER_S)
#define LOOK_NS    OB_NS_PER_MS

struct lane;

struct slot {
	struct ob_block_request request;
	struct ob_segment segment;
	struct lane *lane;
	uint32_t told; /* the checker's number of a write or flush */
	bool busy;
};

struct bed {
	struct ob *ob;
	struct ob_machine *machine;
	struct ob_block *block;
	struct ob_event finished;
	struct lane *lanes;
	unsigned lane_count, busy;
	uint64_t value; /* of the last write */
	unsigned cuts;  /* as of the last look at what the disk holds */
};

struct lane {
	struct bed *bed;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct slot slots[DEPTH_MAX];
	unsigned depth, left;
};

static void slot_done(struct ob_block_request *request);

/* ---- one request ---- */

static uint64_t *slot_buffer(const struct slot *s)
{
	return (uint64_t *)(void *)(s->lane->window->base + (size_t)(s - s->lane->slots) * WRITE_MAX * BLOCK_BYTES);
}

static void fill(struct slot *s, uint64_t value)
{
	for (unsigned i = 0; i < s->request.block_count * WORDS; i++)
		slot_buffer(s)[i] = value + i / WORDS;
}

static void slot_make(struct slot *s)
{
	static const enum ob_block_op ops[] = {OB_BLOCK_WRITE, OB_BLOCK_WRITE, OB_BLOCK_WRITE,
					       OB_BLOCK_FLUSH, OB_BLOCK_READ,  OB_BLOCK_WRITE_ZEROES};
	enum ob_block_op op = ops[sim_random(sizeof(ops) / sizeof(ops[0]))];
	unsigned blocks = op == OB_BLOCK_WRITE_ZEROES ? 1 : 1 + (unsigned)sim_random(WRITE_MAX);

	s->request = (struct ob_block_request){.op = (uint8_t)op, .done = slot_done, .arg = s};
	if (op == OB_BLOCK_FLUSH)
		return;
	s->request.block_count = blocks;
	s->request.lba = sim_random(BLOCKS - blocks + 1);
	if (op != OB_BLOCK_READ && sim_random(4) == 0)
		s->request.flags = OB_BLOCK_FUA;
	if (op == OB_BLOCK_WRITE_ZEROES)
		return;
	s->segment = (struct ob_segment){slot_buffer(s), (size_t)blocks * BLOCK_BYTES};
	s->request.segments = &s->segment;
	s->request.segment_count = 1;
	/* Or by a bounce buffer, in a command of the class's own. */
	s->request.window = sim_random(4) != 0 ? s->lane->window : NULL;
}

/* The checker is told first: the device may be done before this thread goes on. */
static void slot_tell(struct slot *s)
{
	struct bed *b = s->lane->bed;
	const struct ob_block_request *r = &s->request;

	if (r->op == OB_BLOCK_FLUSH)
		s->told = sim_durable_flush();
	if (r->op == OB_BLOCK_WRITE_ZEROES)
		s->told = sim_durable_write(r->lba, r->block_count, 0);
	if (r->op != OB_BLOCK_WRITE)
		return;
	b->value += VALUE_STEP;
	fill(s, b->value);
	s->told = sim_durable_write(r->lba, r->block_count, b->value);
}

static void slot_told(struct slot *s, bool good)
{
	const struct ob_block_request *r = &s->request;

	if (r->op == OB_BLOCK_FLUSH)
		sim_durable_flushed(s->told, good);
	else if (r->op != OB_BLOCK_READ)
		sim_durable_written(r->lba, r->block_count, s->told, good, (r->flags & OB_BLOCK_FUA) != 0);
}

static bool slot_start(struct slot *s)
{
	slot_make(s);
	slot_tell(s);
	s->busy = true;
	s->lane->bed->busy++;
	sim_request_begin(&s->request);
	if (ob_block_submit(s->lane->channel, &s->request) == 0)
		return true;
	sim_request_end(&s->request);
	slot_told(s, false);
	s->lane->bed->busy--;
	s->busy = false;
	return false;
}

/* ---- a lane's work; all lanes are on CPU 0 ---- */

static void lane_fill(struct lane *l)
{
	for (unsigned i = 0; i < l->depth && l->left > 0; i++)
		if (!l->slots[i].busy && l->left-- > 0 && !slot_start(&l->slots[i]))
			l->left = 0; /* it is gone */
	ob_block_kick(l->channel);
}

static void slot_done(struct ob_block_request *request)
{
	struct slot *s = request->arg;
	struct bed *b = s->lane->bed;

	sim_request_end(request);
	slot_told(s, request->status == 0);
	s->busy = false;
	b->busy--;
	lane_fill(s->lane);
	if (b->busy == 0)
		ob_event_signal(&b->finished);
}

static void lanes_start(void *arg)
{
	struct bed *b = arg;

	for (unsigned i = 0; i < b->lane_count; i++)
		if (b->lanes[i].channel != NULL)
			lane_fill(&b->lanes[i]);
	if (b->busy == 0)
		ob_event_signal(&b->finished);
}

static bool lane_open(struct bed *b, struct lane *l)
{
	struct ob_block_channel_config config = {.cpu = ob_cpu_get(b->ob, 0), .bounce_buffers = 1};

	config.poll.mode = (enum ob_completion_mode)sim_random(3);
	config.timeout_ns = OB_NS_PER_MS << sim_random(6);
	l->bed = b;
	l->depth = config.depth = 1 + (unsigned)sim_random(DEPTH_MAX);
	l->left = sim_load(1 + (unsigned)sim_random(24));
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		l->slots[i].lane = l;
	SIM_CHECK(ob_window_create(b->machine, (size_t)DEPTH_MAX * WRITE_MAX * BLOCK_BYTES, &l->window) == 0);
	return ob_block_grant(b->block, l->window) == 0 && ob_block_channel_open(b->block, &config, &l->channel) == 0;
}

static void lane_close(struct lane *l)
{
	ob_block_channel_close(l->channel);
	ob_window_put(l->window);
	l->channel = NULL;
	l->window = NULL;
}

static void work(struct bed *b)
{
	b->lane_count = sim_channels(1 + (unsigned)sim_random(LANES_MAX));
	b->busy = 0;
	for (unsigned i = 0; i < b->lane_count; i++)
		lane_open(b, &b->lanes[i]);
	ob_event_init(&b->finished, ob_cpu_get(b->ob, 0));
	SIM_CHECK(ob_cpu_call(ob_cpu_get(b->ob, 0), lanes_start, b, ob_deadline(TIMEOUT_NS)) == 0);
	SIM_CHECK(ob_event_wait(&b->finished, ob_deadline(TIMEOUT_NS)) == 0);
	for (unsigned i = 0; i < b->lane_count; i++)
		lane_close(&b->lanes[i]);
}

/* ---- what is there when power is back ---- */

static void pause_ns(struct bed *b, uint64_t ns)
{
	struct ob_event nobody;

	ob_event_init(&nobody, ob_cpu_get(b->ob, 0));
	ob_event_wait(&nobody, ob_deadline(ns));
}

/* The disk, which may have to be looked for again; false: there is none any more. */
static bool find(struct bed *b)
{
	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		ob_block_put(b->block);
		b->block = NULL;
		ob_machine_rescan(b->machine);
		b->block = ob_block_find(b->ob, NULL);
		if (b->block != NULL && ob_block_online(b->block))
			return true;
		pause_ns(b, LOOK_NS);
	}
	return false;
}

static bool read_all(struct bed *b, uint8_t *into)
{
	const struct ob_block_channel_config config = {.cpu = ob_cpu_get(b->ob, 0), .depth = 1, .bounce_buffers = 8};
	struct ob_block_channel *channel;
	int rc = ob_block_channel_open(b->block, &config, &channel);

	if (rc != 0)
		return false;
	for (unsigned i = 0; i < BLOCKS && rc == 0; i += WRITE_MAX)
		rc = ob_block_read(channel, i, WRITE_MAX, into + (size_t)i * BLOCK_BYTES, NULL,
				   ob_deadline(TIMEOUT_NS));
	ob_block_channel_close(channel);
	return rc == 0;
}

/*
 * A disk that had no power since the last look must hold what it promised. While it is read its power may go once more:
 * then what was read may have been in its cache, and is looked at again.
 */
static bool look(struct bed *b, uint8_t *blocks)
{
	for (unsigned i = 0; i < READS_MAX; i++) {
		unsigned cuts;

		if (!find(b))
			return false;
		cuts = sim_power_cuts();
		if (cuts == b->cuts)
			return true;
		if (!read_all(b, blocks) || sim_power_cuts() != cuts)
			continue;
		b->cuts = cuts;
		for (unsigned block = 0; block < BLOCKS; block++)
			sim_durable_check(block, blocks + (size_t)block * BLOCK_BYTES, BLOCK_BYTES);
		return true;
	}
	return false; /* its power goes all the time, or it fails */
}

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

void disk_run_power(const struct sim_config *config)
{
	const struct ob_config ob_config = {
		.log = log_line,
		.log_level = OB_LOG_INFO,
		.cpu_count = 1,
		.trace_events_per_cpu = 16,
	};
	struct bed *b = ob_alloc(sizeof(*b));
	uint8_t *blocks = ob_alloc((size_t)BLOCKS * BLOCK_BYTES);

	SIM_CHECK(b != NULL && blocks != NULL);
	b->lanes = ob_alloc(LANES_MAX * sizeof(*b->lanes));
	SIM_CHECK(b->lanes != NULL && ob_create(&ob_config, &b->ob) == 0);
	if (sim_random(2) == 0)
		SIM_CHECK(ob_cpu_start(ob_cpu_get(b->ob, 0), -1) == 0);
	if (ob_machine_open(b->ob, "sim:", NULL, &b->machine) != 0)
		SIM_CHECK(sim_fault_count(SIM_FAULT_COUNT) > 0);
	for (unsigned rounds = 1 + (unsigned)sim_random(ROUNDS_MAX); b->machine != NULL && rounds > 0; rounds--) {
		if (!look(b, blocks))
			break;
		work(b);
	}
	if (b->machine != NULL)
		look(b, blocks);
	ob_block_put(b->block);
	ob_machine_close(b->machine);
	ob_destroy(b->ob);
	ob_free(b->lanes);
	ob_free(blocks);
	ob_free(b);
}

const struct sim_scenario scenario_nvme_power = {
	.name = "nvme-power",
	.help = "power cuts and a disk that is pulled out and put in: what was flushed is there",
	.run = disk_run_power,
	.faults = DISK_FAULTS_POWER,
	.faults_sure = DISK_FAULTS_POWER_SURE,
};
