/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenario: a rough life. Requests of all kinds, bounced and not, cancelled, cut off by a reset, a time without power
 * or the channel's end, on a device that may hang, fail and vanish. Whatever happens: each request comes back once, with
 * a status that is one of those, nothing is used after its end, nothing leaks.
 */
#include <errno.h>

#include <outboard/nvme.h>
#include <outboard/outboard.h>

#include "core/context.h"
#include "core/hooks.h"
#include "sim/scenarios/scenarios.h"

#define CHANNELS_MAX 2
#define DEPTH_MAX    4
#define BLOCKS       128
#define BLOCK_BYTES  512
#define SLOT_BLOCKS  24 /* three pages: a PRP list, where it does not begin amid one */
#define SEGMENTS     3
#define TIMEOUT_NS   (60 * OB_NS_PER_S)
#define PATIENCE     2000 /* seconds */

struct lane;

struct slot {
	struct ob_block_request request;
	struct ob_segment segments[SEGMENTS];
	struct lane *lane;
	uint8_t *own; /* not in the window */
	bool busy;
};

struct lane {
	struct ob_block *block;
	struct ob_block_channel *channel;
	struct ob_window *window;
	struct slot slots[DEPTH_MAX];
	unsigned depth, left;
	bool idle; /* as of the last look */
};

static void slot_done(struct ob_block_request *request);

static void segments_make(struct slot *s, uint8_t *base, unsigned blocks)
{
	unsigned count = 1 + (unsigned)sim_random(blocks < SEGMENTS ? blocks : SEGMENTS), at = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned part = i + 1 == count ? blocks - at : 1;

		s->segments[i] = (struct ob_segment){base + (size_t)at * BLOCK_BYTES, (size_t)part * BLOCK_BYTES};
		at += part;
	}
	s->request.segments = s->segments;
	s->request.segment_count = (uint16_t)count;
}

static bool slot_start(struct slot *s)
{
	static const enum ob_block_op ops[] = {OB_BLOCK_READ,  OB_BLOCK_WRITE,        OB_BLOCK_READ, OB_BLOCK_WRITE,
					       OB_BLOCK_FLUSH, OB_BLOCK_WRITE_ZEROES, OB_BLOCK_TRIM};
	struct lane *l = s->lane;
	enum ob_block_op op = ops[sim_random(sizeof(ops) / sizeof(ops[0]))];
	unsigned blocks = 1 + (unsigned)sim_random(SLOT_BLOCKS);
	bool bounced = sim_random(4) == 0;

	s->request = (struct ob_block_request){.op = (uint8_t)op, .done = slot_done, .arg = s};
	if (op != OB_BLOCK_FLUSH) {
		s->request.block_count = blocks;
		s->request.lba = sim_random(BLOCKS - blocks + 1);
	}
	if (op == OB_BLOCK_READ || op == OB_BLOCK_WRITE) {
		uint8_t *base = bounced ? s->own : l->window->base + (size_t)(s - l->slots) * SLOT_BLOCKS * BLOCK_BYTES;

		segments_make(s, base, blocks);
		s->request.window = bounced ? NULL : l->window;
	}
	if (op == OB_BLOCK_WRITE && sim_random(4) == 0)
		s->request.flags = OB_BLOCK_FUA;
	s->busy = true;
	sim_request_begin(&s->request);
	if (ob_block_submit(l->channel, &s->request) == 0)
		return true;
	sim_request_end(&s->request);
	s->busy = false;
	return false;
}

static void lane_fill(struct lane *l)
{
	for (unsigned i = 0; i < l->depth && l->left > 0; i++)
		if (!l->slots[i].busy && l->left-- > 0 && !slot_start(&l->slots[i]))
			break;
	ob_block_kick(l->channel);
	if (sim_random(6) == 0)
		ob_block_cancel(l->channel, &l->slots[sim_random(l->depth)].request);
}

static bool device_lies(void)
{
	return sim_fault_possible(SIM_FAULT_COMPLETION_FIELD) || sim_fault_possible(SIM_FAULT_DATA) ||
	       sim_fault_possible(SIM_FAULT_REGISTER) || sim_fault_possible(SIM_FAULT_REGISTER_STUCK);
}

/*
 * Closing a machine ends after a minute, whatever its devices do. That is not enough for one that says it needs two to
 * get ready, or that answers none of the admin commands of three tries of a reset.
 */
static bool device_takes_long(void)
{
	static const enum sim_fault kinds[] = {
		SIM_FAULT_ADMIN_HANG,       SIM_FAULT_COMPLETION_LOST, SIM_FAULT_COMPLETION_TWICE,
		SIM_FAULT_COMPLETION_EARLY, SIM_FAULT_COMPLETION_BAD,  SIM_FAULT_NOT_READY,
		SIM_FAULT_NOT_IDLE,         SIM_FAULT_REGISTERS_ONES,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (sim_fault_count(kinds[i]) > 0)
			return true;
	return device_lies();
}

static void slot_done(struct ob_block_request *request)
{
	struct slot *s = request->arg;

	sim_request_end(request);
	s->busy = false;
	switch (request->status) {
	case 0:
	case -ECANCELED:
	case -EIO:
	case -ENODEV:
	case -ENOMEM:
	case -ETIMEDOUT:
	case -EAGAIN:
	case -EBUSY:
	case -EOPNOTSUPP:
		break;
	default:
		/* A device that lies may say that anything went wrong. */
		if (request->status < 0 && request->protocol_status != 0 && device_lies())
			break;
		sim_fail("io-error", "a request ended with %d (%#x)", request->status, request->protocol_status);
	}
	lane_fill(s->lane);
}

static void lane_start(void *arg)
{
	lane_fill(arg);
}

static bool lane_open(struct lane *l, struct ob *ob, struct ob_machine *machine, unsigned cpu)
{
	struct ob_block_channel_config config = {.cpu = ob_cpu_get(ob, cpu), .bounce_buffers = 2};

	config.poll.mode = (enum ob_completion_mode)sim_random(3);
	config.timeout_ns = OB_NS_PER_MS << sim_random(4);
	l->depth = config.depth = 1 + (unsigned)sim_random(DEPTH_MAX);
	l->left = sim_load((unsigned)sim_random(12));
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		l->slots[i].lane = l;
		l->slots[i].own = ob_alloc(SLOT_BLOCKS * BLOCK_BYTES);
	}
	if (ob_window_create(machine, (size_t)DEPTH_MAX * SLOT_BLOCKS * BLOCK_BYTES, &l->window) != 0 ||
	    ob_block_grant(l->block, l->window) != 0)
		return false;
	return ob_block_channel_open(l->block, &config, &l->channel) == 0;
}

static void pause_for(struct ob *ob, uint64_t ns);

static void lane_look(void *arg)
{
	struct lane *l = arg;

	l->idle = true;
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		l->idle &= !l->slots[i].busy;
}

/* Closing gives up after two minutes, and then requests are not the caller's yet. They come back all the same. */
static void lane_wait(struct lane *l, struct ob *ob, struct ob_cpu *cpu)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		if (ob_cpu_call(cpu, lane_look, l, ob_deadline(TIMEOUT_NS)) == 0 && l->idle)
			return;
		pause_for(ob, OB_NS_PER_S);
	}
	sim_fail("request-lost", "requests do not come back from a channel that was closed");
}

static void lane_close(struct lane *l, struct ob *ob)
{
	struct ob_cpu *cpu = l->channel != NULL ? ob_block_channel_cpu(l->channel) : NULL;

	ob_block_channel_close(l->channel);
	if (cpu != NULL)
		lane_wait(l, ob, cpu);
	if (l->window != NULL)
		ob_window_put(l->window);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		ob_free(l->slots[i].own);
}

static void pause_for(struct ob *ob, uint64_t ns)
{
	struct ob_event pause;

	/* Nobody signals this: a wait that turns the loops, or sleeps beside them. */
	ob_event_init(&pause, ob_cpu_get(ob, 0));
	ob_event_wait(&pause, ob_deadline(ns));
}

/* It may be left without power. */
static void sleep_once(struct ob *ob, struct ob_block *block, struct lane *l)
{
	struct ob_device *dev = ob_block_device(block);

	ob_device_suspend(dev, ob_deadline(OB_NS_PER_US << sim_random(20)));
	if (l->channel != NULL && sim_random(2) == 0)
		ob_cpu_call(ob_block_channel_cpu(l->channel), lane_start, l, ob_deadline(TIMEOUT_NS));
	if (sim_random(2) == 0)
		pause_for(ob, OB_NS_PER_US << sim_random(16));
	if (sim_random(4) != 0)
		ob_device_resume(dev, ob_deadline(OB_NS_PER_US << sim_random(24)));
}

/* Something that the device has to answer, whether or not it is still there when it does. */
static void ask(struct ob_block *block)
{
	struct ob_nvme_smart smart;

	ob_nvme_smart(block, &smart);
}

static void live(const struct sim_config *config, struct ob *ob, struct ob_machine **machine, struct lane *lanes,
		 struct ob_block *block)
{
	unsigned channels = sim_channels(1 + (unsigned)sim_random(CHANNELS_MAX));
	bool open[CHANNELS_MAX] = {false};

	if (config->memory_buffer)
		ob_nvme_use_memory_buffer(block, true);
	for (unsigned i = 0; i < channels; i++) {
		lanes[i].block = block;
		open[i] = lane_open(&lanes[i], ob, *machine, i % ob_cpu_count(ob));
	}
	for (unsigned i = 0; i < channels; i++)
		if (open[i])
			ob_cpu_call(ob_block_channel_cpu(lanes[i].channel), lane_start, &lanes[i],
				    ob_deadline(TIMEOUT_NS));
	for (unsigned rounds = (unsigned)sim_random(4); rounds > 0; rounds--) {
		pause_for(ob, OB_NS_PER_US << sim_random(16));
		if (sim_random(3) == 0)
			ob_nvme_reset(block, ob_deadline(TIMEOUT_NS));
		if (sim_random(4) == 0)
			sleep_once(ob, block, &lanes[sim_random(channels)]);
		if (sim_random(4) == 0)
			ask(block);
	}
	/* As on the way to a power cut: its driver saves what it can, with requests in flight. */
	if (sim_random(8) == 0)
		ob_device_shutdown(ob_block_device(block));
	if (sim_random(4) == 0) {
		ob_machine_close(*machine);
		*machine = NULL;
	}
	for (unsigned i = 0; i < channels; i++)
		lane_close(&lanes[i], ob);
	if (sim_random(2) == 0)
		ask(block);
}

/* Out of memory, vectors, whatever a call may run out of. */
static bool call_fails(void *arg, const char *call)
{
	return sim_call_fails(call);
}

static void log_line(void *arg, enum ob_log_level level, const char *message)
{
	sim_log(arg, (int)level, message);
}

void disk_run_rough(const struct sim_config *config)
{
	const struct ob_config ob_config = {
		.log = log_line,
		.log_level = OB_LOG_INFO,
		.cpu_count = sim_cpus(1 + (unsigned)sim_random(2)),
		.trace_events_per_cpu = 16,
	};
	struct lane *lanes = ob_alloc(CHANNELS_MAX * sizeof(*lanes));
	struct ob_machine *machine;
	struct ob_block *block;
	bool given_up;
	struct ob *ob;
	static const struct ob_hooks hooks = {.fail = call_fails};

	SIM_CHECK(lanes != NULL);
	SIM_CHECK(ob_create(&ob_config, &ob) == 0);
	if (sim_fault_possible(SIM_FAULT_CALL))
		ob_set_hooks(ob, &hooks);
	for (unsigned i = 0; i < ob_cpu_count(ob); i++)
		if (i > 0 || sim_random(2) == 0)
			SIM_CHECK(ob_cpu_start(ob_cpu_get(ob, i), -1) == 0);
	if (ob_machine_open(ob, "sim:", NULL, &machine) != 0) {
		SIM_CHECK(sim_fault_count(SIM_FAULT_COUNT) > 0);
		machine = NULL;
	}
	block = ob_block_find(ob, NULL);
	if (block == NULL)
		SIM_CHECK(sim_fault_count(SIM_FAULT_COUNT) > 0);
	else
		live(config, ob, &machine, lanes, block);
	ob_block_put(block);
	ob_machine_close(machine);
	given_up = __atomic_load_n(&ob->abandoned, __ATOMIC_RELAXED) > 0;
	ob_destroy(ob);
	/* Its memory stays then, and what was held at that time. */
	if (given_up && device_takes_long())
		sim_leave();
	ob_free(lanes);
}

const struct sim_scenario scenario_nvme_rough = {
	.name = "nvme-rough",
	.help = "all kinds of requests, cancelled, reset, cut off; a device that hangs, fails, vanishes",
	.run = disk_run_rough,
	.faults = DISK_FAULTS_ROUGH,
};

/* A seed with the same faults as the other scenario's gets another world. */
void disk_run_hostile(const struct sim_config *config)
{
	sim_random(2);
	disk_run_rough(config);
}

const struct sim_scenario scenario_nvme_hostile = {
	.name = "nvme-hostile",
	.help = "nvme-rough on a device that also lies: in completions, registers, identify data",
	.run = disk_run_hostile,
	.faults = DISK_FAULTS_HOSTILE,
};
