/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has the disk for itself. CPU 0 decides, lanes only do what they are told, all by posted work: one step is over before
 * the next begins, so each work waits once at most.
 */
#include "serve/vhost_user/part.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"
#include "serve/vhost_user/blk.h"
#include "serve/vhost_user/lane.h"
#include "serve/vhost_user/queue.h"

#define TURN_MAX 16u
#define CALL_NS  (60 * OB_NS_PER_S)

enum step {
	IDLE,
	CLOSING, /* lanes were told to let nothing pass */
	TURN,    /* of the owner */
	OPENING, /* lanes were told to go on */
};

struct vu_parts {
	struct vu_lane *lanes;
	unsigned lane_count;
	uint32_t block_bytes;
	/* CPU 0 */
	struct ob_cpu *cpu0;
	enum step step;
	unsigned missing; /* answers */
	struct vu_part_lane *owner, *first, *last;
};

static void push(struct vu_request_line *line, struct vu_request *r)
{
	r->next = NULL;
	if (line->first != NULL)
		line->last->next = r;
	else
		line->first = r;
	line->last = r;
}

static struct vu_request *pull(struct vu_request_line *line)
{
	struct vu_request *r = line->first;

	if (r != NULL)
		line->first = r->next;
	return r;
}

/* ---- CPU 0 ---- */

static void set_gates(struct vu_parts *p, enum step step)
{
	p->step = step;
	p->missing = p->lane_count;
	for (unsigned i = 0; i < p->lane_count; i++) {
		p->lanes[i].part.close = step == CLOSING;
		ob_cpu_post(p->lanes[i].cpu, &p->lanes[i].part.gate);
	}
}

static void next_owner(struct vu_parts *p)
{
	p->step = IDLE;
	p->owner = p->first;
	if (p->owner == NULL)
		return;
	p->first = p->owner->next;
	set_gates(p, CLOSING);
}

static void on_ask(struct ob_work *work)
{
	struct vu_part_lane *l = container_of(work, struct vu_part_lane, ask);
	struct vu_parts *p = l->parts;

	l->next = NULL;
	if (p->first != NULL)
		p->last->next = l;
	else
		p->first = l;
	p->last = l;
	if (p->step == IDLE)
		next_owner(p);
}

static void on_answer(struct ob_work *work)
{
	struct vu_parts *p = container_of(work, struct vu_part_lane, answer)->parts;

	if (--p->missing != 0)
		return;
	if (p->step == OPENING) {
		next_owner(p);
		return;
	}
	p->step = TURN;
	ob_cpu_post(p->owner->lane->cpu, &p->owner->go);
}

static void on_over(struct ob_work *work)
{
	set_gates(container_of(work, struct vu_part_lane, over)->parts, OPENING);
}

/* ---- the gate: the lane's CPU ---- */

static void answer(struct vu_part_lane *l)
{
	l->answered = true;
	ob_cpu_post(l->parts->cpu0, &l->answer);
}

bool vu_part_enter(struct vu_part_lane *l, struct vu_request *r)
{
	if (l->closed) {
		push(&l->held, r);
		return false;
	}
	l->changing++;
	r->changes = true;
	return true;
}

void vu_part_leave(struct vu_part_lane *l)
{
	if (--l->changing == 0 && l->closed && !l->answered)
		answer(l);
}

static void on_gate(struct ob_work *work)
{
	struct vu_part_lane *l = container_of(work, struct vu_part_lane, gate);
	struct vu_request *r;

	l->closed = l->close;
	l->answered = false;
	while (!l->closed && (r = pull(&l->held)) != NULL) {
		(void)vu_part_enter(l, r);
		vu_blk_submit(r);
	}
	ob_block_kick(l->lane->channel);
	if (!l->closed || l->changing == 0)
		answer(l);
}

/* ---- a turn: the lane's CPU ---- */

static void next_write(struct vu_part_lane *l);

static void end_write(struct vu_part_lane *l, int error)
{
	struct vu_request *r = l->running;

	l->running = NULL;
	vu_blk_end(r, error);
	next_write(l);
}

static void write_done(struct ob_block_request *request)
{
	struct vu_request *r = (struct vu_request *)(void *)request;

	end_write(r->part, request->status);
}

static void submit_write(struct vu_part_lane *l)
{
	struct vu_request *r = l->running;
	int ret;

	r->part = l;
	r->request.done = write_done;
	ret = ob_block_submit(l->lane->channel, &r->request);
	if (ret != 0)
		end_write(l, ret);
}

static void read_done(struct ob_block_request *request);

/* The block at @lba, to be the first or the last one of the write. */
static void submit_read(struct vu_part_lane *l, uint64_t lba, bool last)
{
	uint32_t block_bytes = l->parts->block_bytes;
	int ret;

	l->reads_last = last;
	l->segment = (struct ob_segment){l->edges + (last ? block_bytes : 0), block_bytes};
	l->read = (struct ob_block_request){
		.op = OB_BLOCK_READ,
		.lba = lba,
		.block_count = 1,
		.segments = &l->segment,
		.segment_count = 1,
		.done = read_done,
	};
	ret = ob_block_submit(l->lane->channel, &l->read);
	if (ret != 0)
		end_write(l, ret);
}

static void read_done(struct ob_block_request *request)
{
	struct vu_part_lane *l = container_of(request, struct vu_part_lane, read);
	const struct vu_request *r = l->running;

	if (request->status != 0)
		end_write(l, request->status);
	else if (l->reads_last || !r->part_behind)
		submit_write(l);
	else if (r->request.block_count == 1) {
		memcpy(l->edges + l->parts->block_bytes, l->edges, l->parts->block_bytes);
		submit_write(l);
	} else {
		submit_read(l, r->request.lba + r->request.block_count - 1, true);
	}
	ob_block_kick(l->lane->channel);
}

static void next_write(struct vu_part_lane *l)
{
	struct vu_request *r = l->left > 0 ? pull(&l->waiting) : NULL;

	if (r != NULL) {
		l->left--;
		l->running = r;
		if (r->part_before)
			submit_read(l, r->request.lba, false);
		else
			submit_read(l, r->request.lba + r->request.block_count - 1, true);
		ob_block_kick(l->lane->channel);
		return;
	}
	l->asking = l->waiting.first != NULL;
	if (l->asking)
		ob_cpu_post(l->parts->cpu0, &l->ask);
	ob_cpu_post(l->parts->cpu0, &l->over);
}

static void on_go(struct ob_work *work)
{
	struct vu_part_lane *l = container_of(work, struct vu_part_lane, go);

	l->left = TURN_MAX;
	next_write(l);
}

void vu_part_write(struct vu_part_lane *l, struct vu_request *r)
{
	push(&l->waiting, r);
	if (l->asking)
		return;
	l->asking = true;
	ob_cpu_post(l->parts->cpu0, &l->ask);
}

/* ---- life: a plain thread ---- */

static void nothing(void *arg)
{
}

static void free_all(struct vu_parts *p)
{
	for (unsigned i = 0; i < p->lane_count; i++) {
		ob_free(p->lanes[i].part.edges);
		p->lanes[i].part = (struct vu_part_lane){0};
	}
	ob_free(p);
}

int vu_parts_create(struct vu_lane *lanes, unsigned lane_count, uint32_t block_bytes, struct vu_parts **out)
{
	struct vu_parts *p = ob_alloc(sizeof(*p));
	bool enough = true;

	if (p == NULL)
		return -ENOMEM;
	p->lanes = lanes;
	p->lane_count = lane_count;
	p->block_bytes = block_bytes;
	p->cpu0 = ob_cpu_get(ob_cpu_context(lanes[0].cpu), 0);
	for (unsigned i = 0; i < lane_count; i++) {
		struct vu_part_lane *l = &lanes[i].part;

		*l = (struct vu_part_lane){.parts = p, .lane = &lanes[i]};
		l->edges = ob_alloc(2 * (size_t)block_bytes);
		enough &= l->edges != NULL;
		ob_work_init(&l->gate, on_gate);
		ob_work_init(&l->go, on_go);
		ob_work_init(&l->ask, on_ask);
		ob_work_init(&l->answer, on_answer);
		ob_work_init(&l->over, on_over);
	}
	if (!enough) {
		free_all(p);
		return -ENOMEM;
	}
	*out = p;
	return 0;
}

/* The last turn may be over for its requests and not for us: CPU 0 hears of it, tells the lanes, and hears their answers. */
int vu_parts_destroy(struct vu_parts *p)
{
	int ret;

	if (p == NULL)
		return 0;
	ret = ob_cpu_call(p->cpu0, nothing, NULL, ob_deadline(CALL_NS));
	for (unsigned i = 0; i < p->lane_count && ret == 0; i++)
		ret = ob_cpu_call(p->lanes[i].cpu, nothing, NULL, ob_deadline(CALL_NS));
	if (ret == 0)
		ret = ob_cpu_call(p->cpu0, nothing, NULL, ob_deadline(CALL_NS));
	if (ret == 0)
		free_all(p);
	return ret;
}
