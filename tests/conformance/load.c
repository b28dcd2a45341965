/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random requests of all kinds at depth, against a shadow copy: each channel in a part of the region of its own, all from
 * one thread in turn, or each from a task on its CPU. Requests in flight overlap only when all of them read.
 */
#include "tests/conformance/conform.h"

#define PIECES_MAX   8u
#define STEP_MAX     16u /* submissions before a kick */
#define TASK_WAIT_NS (200 * OB_NS_PER_US)
#define WRITER       (-1)

struct load;

struct slot {
	struct ob_block_request request; /* first */
	struct ob_segment pieces[PIECES_MAX];
	struct load *load;
	uint8_t *window_memory, *plain_memory;
	int expect; /* the status */
	bool busy;
};

struct load {
	struct conform *t;
	struct ob_block_channel *channel;
	struct random random;
	struct slot slots[CONFORM_DEPTH];
	size_t slot_bytes;
	uint32_t first, blocks; /* of the region */
	int8_t *users;          /* by block: readers, or WRITER */
	unsigned left, flying;
	uint64_t ended[OB_BLOCK_OP_COUNT], errors;
	struct ob_event event; /* in a task */
	bool in_task;
};

/* ---- the memory of a request ---- */

enum walk {
	WALK_FROM_SHADOW,
	WALK_TO_SHADOW,
	WALK_COMPARE,
};

/* Between the pieces and the shadow. Returns false when a known block differs. */
static bool walk(const struct load *load, const struct ob_block_request *r, enum walk what)
{
	struct conform *t = load->t;
	size_t at = (size_t)(r->lba - t->lba_first) * t->limits.block_bytes;

	for (unsigned i = 0; i < r->segment_count; i++) {
		uint8_t *piece = r->segments[i].base;
		size_t rest = r->segments[i].len_bytes;

		while (rest > 0) {
			size_t block = at / t->limits.block_bytes;
			size_t len_bytes = MIN(rest, t->limits.block_bytes - at % t->limits.block_bytes);

			if (what == WALK_FROM_SHADOW)
				memcpy(piece, t->shadow + at, len_bytes);
			else if (what == WALK_TO_SHADOW)
				memcpy(t->shadow + at, piece, len_bytes);
			else if (t->known[block] && memcmp(piece, t->shadow + at, len_bytes) != 0)
				return false;
			piece += len_bytes;
			at += len_bytes;
			rest -= len_bytes;
		}
	}
	return true;
}

static void place(struct load *load, struct slot *slot, bool in_window)
{
	struct ob_block_request *r = &slot->request;
	struct random *random = &load->random;
	size_t bytes = conform_bytes(load->t, r->block_count), room = load->slot_bytes - bytes;
	uint8_t *at = in_window ? slot->window_memory : slot->plain_memory;
	unsigned pieces = random_percent(random, 70) ? 1 : (unsigned)random_range(random, 1, PIECES_MAX), count = 0;

	if (random_percent(random, 30)) {
		size_t offset = random_below(random, MIN(room, 4096u));

		at += random_percent(random, 50) ? offset : ALIGN_DOWN(offset, 4u);
		room -= offset;
	}
	while (bytes > 0) {
		size_t gap = random_below(random, MIN(room, 64u)), len_bytes = bytes;

		if (count + 1 < pieces)
			len_bytes = random_size(random, bytes);
		slot->pieces[count++] = (struct ob_segment){.base = at, .len_bytes = len_bytes};
		bytes -= len_bytes;
		at += len_bytes + gap;
		room -= gap;
	}
	r->segments = slot->pieces;
	r->segment_count = (uint16_t)count;
	r->window = in_window ? load->t->window : NULL;
}

/* ---- which blocks are in use ---- */

static bool changes(unsigned op)
{
	return op == OB_BLOCK_WRITE || op == OB_BLOCK_WRITE_ZEROES || op == OB_BLOCK_TRIM;
}

static bool reserve(struct load *load, unsigned op, uint32_t block, uint32_t count)
{
	int8_t *users = &load->users[block - load->first];

	for (uint32_t i = 0; i < count; i++) {
		if (users[i] == WRITER || (users[i] != 0 && changes(op)))
			return false;
		if (op == OB_BLOCK_COMPARE && !load->t->known[block + i])
			return false;
	}
	for (uint32_t i = 0; i < count; i++)
		users[i] = changes(op) ? WRITER : (int8_t)(users[i] + 1);
	return true;
}

static void release(struct load *load, const struct ob_block_request *r)
{
	int8_t *users = &load->users[r->lba - load->t->lba_first - load->first];

	for (uint32_t i = 0; i < r->block_count; i++)
		users[i] = users[i] == WRITER ? 0 : (int8_t)(users[i] - 1);
}

/* ---- the end of one ---- */

static int finish(struct load *load, struct slot *slot)
{
	struct conform *t = load->t;
	struct ob_block_request *r = &slot->request;
	uint32_t block = (uint32_t)(r->lba - t->lba_first);

	CONFORM_CHECK(t, r, slot->busy, "ended twice");
	slot->busy = false;
	load->flying--;
	load->ended[r->op]++;
	if (r->status != 0)
		load->errors++;
	CONFORM_CHECK(t, r, r->status == slot->expect, "status %d where %d was due", r->status, slot->expect);
	switch (r->op) {
	case OB_BLOCK_READ:
		CONFORM_CHECK(t, r, walk(load, r, WALK_COMPARE), "read something else than was written");
		break;
	case OB_BLOCK_WRITE:
		walk(load, r, WALK_TO_SHADOW);
		memset(t->known + block, 1, r->block_count);
		break;
	case OB_BLOCK_WRITE_ZEROES:
	case OB_BLOCK_TRIM:
		memset(t->shadow + conform_bytes(t, block), 0, conform_bytes(t, r->block_count));
		memset(t->known + block, r->op == OB_BLOCK_WRITE_ZEROES || t->limits.trim_reads_zero, r->block_count);
		break;
	default:
		break;
	}
	if (r->op != OB_BLOCK_FLUSH)
		release(load, r);
	return 0;
}

static void done(struct ob_block_request *request)
{
	struct slot *slot = (struct slot *)(void *)request;

	finish(slot->load, slot);
	if (slot->load->in_task)
		ob_event_signal(&slot->load->event);
}

static bool reap(struct load *load)
{
	struct ob_block_request *requests[8];
	unsigned count = ob_block_reap(load->channel, requests, 1 + (unsigned)random_below(&load->random, 8));

	for (unsigned i = 0; i < count; i++)
		finish(load, (struct slot *)(void *)requests[i]);
	return count > 0;
}

/* ---- the start of one ---- */

static unsigned draw_op(struct load *load)
{
	const struct ob_block_limits *l = &load->t->limits;
	unsigned x = (unsigned)random_below(&load->random, 100);

	if (x < 45)
		return OB_BLOCK_READ;
	if (x < 80 && !l->read_only)
		return OB_BLOCK_WRITE;
	if (x < 84 && l->write_zeroes && !l->read_only)
		return OB_BLOCK_WRITE_ZEROES;
	if (x < 88 && l->trim && !l->read_only)
		return OB_BLOCK_TRIM;
	if (x < 92)
		return OB_BLOCK_FLUSH;
	return x < 96 && l->compare ? OB_BLOCK_COMPARE : OB_BLOCK_READ;
}

static void draw_data(struct load *load, struct slot *slot)
{
	struct ob_block_request *r = &slot->request;

	place(load, slot, random_percent(&load->random, 70));
	for (unsigned i = 0; i < r->segment_count; i++)
		if (r->op == OB_BLOCK_WRITE)
			random_fill(&load->random, r->segments[i].base, r->segments[i].len_bytes);
		else
			memset(r->segments[i].base, 0xee, r->segments[i].len_bytes);
	if (r->op != OB_BLOCK_COMPARE)
		return;
	walk(load, r, WALK_FROM_SHADOW);
	if (random_percent(&load->random, 50)) {
		uint8_t *wrong = r->segments[r->segment_count - 1].base;

		*wrong ^= 0x01;
		slot->expect = -EILSEQ;
	}
}

/* False: there is no room for it, or its blocks are in use. */
static bool draw(struct load *load, struct slot *slot)
{
	struct ob_block_request *r = &slot->request;
	struct random *random = &load->random;
	struct conform *t = load->t;
	unsigned op = draw_op(load);
	uint32_t most = (uint32_t)((load->slot_bytes - 4096) / 2 / t->limits.block_bytes), block;

	*r = (struct ob_block_request){.op = (uint8_t)op, .done = random_percent(random, 60) ? done : NULL};
	slot->expect = 0;
	if (op == OB_BLOCK_FLUSH)
		return true;
	r->block_count = (uint32_t)random_size(random, MIN(MAX(most, 1u), load->blocks));
	block = load->first + (uint32_t)random_below(random, load->blocks - r->block_count + 1);
	r->lba = t->lba_first + block;
	if (!reserve(load, op, block, r->block_count))
		return false;
	if (changes(op) && random_percent(random, 15))
		r->flags |= OB_BLOCK_FUA;
	if (op == OB_BLOCK_WRITE_ZEROES && random_percent(random, 50))
		r->flags |= OB_BLOCK_NO_TRIM;
	if (!changes(op) || op == OB_BLOCK_WRITE)
		draw_data(load, slot);
	return true;
}

static struct slot *free_slot(struct load *load)
{
	for (unsigned i = 0; i < CONFORM_DEPTH; i++)
		if (!load->slots[i].busy)
			return &load->slots[i];
	return NULL;
}

/* Returns whether anything was submitted. */
static bool step(struct load *load)
{
	unsigned burst = 1 + (unsigned)random_below(&load->random, STEP_MAX),
		 depth = ob_block_channel_depth(load->channel);
	bool any = false;

	while (burst-- > 0 && load->left > 0) {
		struct slot *slot = free_slot(load);
		int ret;

		if (slot == NULL || !draw(load, slot))
			break;
		slot->busy = true;
		load->flying++;
		ret = ob_block_submit(load->channel, &slot->request);
		if (ret != 0) {
			slot->busy = false;
			load->flying--;
			if (slot->request.op != OB_BLOCK_FLUSH)
				release(load, &slot->request);
			/* Requests that wait to be reaped have ended: they may fly here and not there, not the reverse. */
			if (ret != -EAGAIN || load->flying < depth)
				conform_fail(load->t, &slot->request, "refused with %d at %u of %u", ret, load->flying,
					     depth);
			break;
		}
		load->left--;
		any = true;
	}
	if (any)
		ob_block_kick(load->channel);
	return any;
}

static bool active(const struct load *load)
{
	return (load->left > 0 || load->flying > 0) && !__atomic_load_n(&load->t->failed, __ATOMIC_ACQUIRE);
}

/* ---- all channels ---- */

static void load_fini(struct load *loads, unsigned count)
{
	for (unsigned i = 0; loads != NULL && i < count; i++)
		free(loads[i].users);
	free(loads);
}

/* One for each channel; channel i works in part (i + turn) of the region. */
static struct load *load_init(struct conform *t, unsigned requests, unsigned turn)
{
	struct load *loads = calloc(t->channel_count, sizeof(*loads));

	for (unsigned i = 0; loads != NULL && i < t->channel_count; i++) {
		struct load *load = &loads[i];
		unsigned part = (i + turn) % t->channel_count;

		load->t = t;
		load->channel = t->channels[i];
		load->random.state = random_next(&t->random);
		load->blocks = t->region_blocks / t->channel_count;
		load->first = part * load->blocks;
		load->left = requests / t->channel_count;
		load->slot_bytes = MIN(CONFORM_WINDOW_BYTES / (t->channel_count * CONFORM_DEPTH), 128u * 1024);
		load->users = calloc(load->blocks, 1);
		if (load->users == NULL) {
			load_fini(loads, i);
			return NULL;
		}
		for (unsigned s = 0; s < CONFORM_DEPTH; s++) {
			size_t offset = (size_t)(i * CONFORM_DEPTH + s) * load->slot_bytes;

			load->slots[s].load = load;
			load->slots[s].window_memory = conform_memory(t, true, offset);
			load->slots[s].plain_memory = conform_memory(t, false, offset);
		}
	}
	return loads;
}

/* The device must have counted what we did. */
static int check_counts(struct conform *t, const struct load *loads, const struct ob_block_stats *before)
{
	struct ob_block_stats after;
	uint64_t errors = 0;

	ob_block_stats(t->block, &after);
	for (unsigned op = 0; op < OB_BLOCK_OP_COUNT; op++) {
		uint64_t ended = 0;

		for (unsigned i = 0; i < t->channel_count; i++)
			ended += loads[i].ended[op];
		CONFORM_CHECK(t, NULL, after.ops[op] - before->ops[op] == ended,
			      "%llu of operation %s counted, %llu ended",
			      (unsigned long long)(after.ops[op] - before->ops[op]),
			      ob_block_op_name((enum ob_block_op)op), (unsigned long long)ended);
	}
	for (unsigned i = 0; i < t->channel_count; i++)
		errors += loads[i].errors;
	CONFORM_CHECK(t, NULL, after.errors - before->errors == errors, "%llu errors counted, %llu seen",
		      (unsigned long long)(after.errors - before->errors), (unsigned long long)errors);
	return 0;
}

static int run_in_turn(struct conform *t, struct load *loads)
{
	uint64_t deadline_ns = ob_deadline(CONFORM_WAIT_NS);
	bool busy = true;

	while (busy && !t->failed) {
		busy = false;
		for (unsigned i = 0; i < t->channel_count; i++) {
			step(&loads[i]);
			reap(&loads[i]);
			busy = busy || active(&loads[i]);
		}
		conform_pump(t);
		CONFORM_CHECK(t, NULL, ob_now_ns() < deadline_ns,
			      "took too long: %u to submit, %u in flight on channel 0", loads[0].left, loads[0].flying);
	}
	/* A second end would come about now. */
	for (unsigned i = 0; i < 10; i++)
		conform_pump(t);
	for (unsigned i = 0; i < t->channel_count; i++)
		CONFORM_CHECK(t, NULL, !reap(&loads[i]), "something was left to reap");
	return t->failed ? -1 : 0;
}

int conform_load(struct conform *t)
{
	int ret = 0;

	for (unsigned turn = 0; turn < 2 && ret == 0; turn++) {
		struct load *loads = load_init(t, t->config.requests / 2, turn);
		struct ob_block_stats before;

		CONFORM_CHECK(t, NULL, loads != NULL, "no memory");
		ob_block_stats(t->block, &before);
		ret = run_in_turn(t, loads);
		if (ret == 0)
			ret = check_counts(t, loads, &before);
		load_fini(loads, t->channel_count);
	}
	return ret;
}

/* ---- on threads ---- */

static void load_task(void *arg)
{
	struct load *load = arg;
	uint64_t deadline_ns = ob_deadline(CONFORM_WAIT_NS);

	while (active(load)) {
		bool any = step(load);

		any = reap(load) || any;
		if (!any)
			ob_event_wait(&load->event, ob_deadline(TASK_WAIT_NS));
		if (ob_now_ns() >= deadline_ns)
			conform_fail(load->t, NULL, "took too long: %u to submit, %u in flight", load->left,
				     load->flying);
	}
}

static int run_tasks(struct conform *t, struct load *loads)
{
	struct ob_task *tasks[CONFORM_CHANNELS_MAX];
	int ret = 0;

	for (unsigned i = 0; i < t->channel_count; i++) {
		struct ob_cpu *cpu = ob_block_channel_cpu(t->channels[i]);

		loads[i].in_task = true;
		ob_event_init(&loads[i].event, cpu);
		ret = ob_task_spawn(cpu, "load", load_task, &loads[i], &tasks[i]);
		if (ret != 0)
			return conform_fail(t, NULL, "no task: %s", strerror(-ret));
	}
	for (unsigned i = 0; i < t->channel_count; i++)
		while ((ret = ob_task_join(tasks[i], ob_deadline(2 * CONFORM_WAIT_NS))) != 0)
			conform_fail(t, NULL, "a task does not end");
	return t->failed ? -1 : 0;
}

static void stop_cpus(struct conform *t, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ob_cpu_stop(ob_cpu_get(t->ob, i));
}

int conform_load_threads(struct conform *t)
{
	struct load *loads = load_init(t, t->config.requests / 4, 1);
	struct ob_block_stats before;
	unsigned started;
	int ret = 0;

	CONFORM_CHECK(t, NULL, loads != NULL, "no memory");
	ob_block_stats(t->block, &before);
	for (started = 0; started < ob_cpu_count(t->ob) && ret == 0; started++)
		ret = ob_cpu_start(ob_cpu_get(t->ob, started), -1);
	if (ret != 0)
		ret = conform_fail(t, NULL, "CPU %u does not start: %s", started - 1, strerror(-ret));
	else
		ret = run_tasks(t, loads);
	stop_cpus(t, started);
	if (ret == 0)
		ret = check_counts(t, loads, &before);
	load_fini(loads, t->channel_count);
	return ret != 0 ? ret : conform_verify(t);
}
