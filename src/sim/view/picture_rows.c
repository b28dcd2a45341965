/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a picture shows. Each event that says something has a row of its own, so that no two words meet; time between two
 * rows is not to scale, and a gap stands for a long one.
 */
#include "sim/view/picture_rows.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/view/view.h"

/* ---- which events ---- */

static bool is_shown(const struct event *e)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_SWITCH: /* ends a bar; who was stopped is of interest, who stopped by himself is not */
		return e->flags <= EVENT_STALLED && e->thread != THREAD_DEVICE;
	case EVENT_READ:
	case EVENT_WRITE:
	case EVENT_ALLOC:
	case EVENT_FREE:
		return event_is_near(e);
	case EVENT_POST: /* of what has an answer the answer tells as much, but for where it was asked */
	case EVENT_ANSWER:
	case EVENT_ARRIVE:
		return e->flags != POSTED_CONFIG_READ && e->flags != POSTED_CONFIG_WRITE;
	case EVENT_LOCK:
	case EVENT_UNLOCK:
		return event_locks_matter();
	case EVENT_VISIBLE:
	case EVENT_OLD:
		return !event_is_elsewhere(e);
	case EVENT_STATE:
		return view_state_changes(e);
	case EVENT_NONE:
	case EVENT_WAKE:
	case EVENT_EXPIRED:
	case EVENT_TASK:
	case EVENT_LOG:
	case EVENT_KINDS:
		return false;
	default:
		return true;
	}
}

/* Told in one row with the one before it. */
static bool continues(const struct event *e, const struct event *before)
{
	if (e->kind != before->kind || e->thread != before->thread)
		return false;
	if (e->kind == EVENT_READ || e->kind == EVENT_WRITE || e->kind == EVENT_OLD)
		return e->a == before->a && e->b == before->b && e->pc == before->pc;
	return event_continues(e, before);
}

/* From the newest back; the rows are put in at the end of an array of @max. */
static unsigned choose(struct picture_row *rows, unsigned max)
{
	unsigned kept = event_kept(), room = max;

	for (unsigned i = kept; i-- > 0;) {
		const struct event *e = event_at(i);
		struct picture_row *later = room < max ? &rows[room] : NULL;

		if (!is_shown(e))
			continue;
		if (later != NULL && continues(&later->e, e)) {
			struct event merged = *e;

			if (event_continues(&later->e, e))
				event_merge(&merged, &later->e);
			later->e = merged;
			later->count++;
			later->first = i;
			continue;
		}
		if (room == 0)
			break;
		rows[--room] = (struct picture_row){.e = *e, .count = 1, .first = i, .last = i};
	}
	return max - room;
}

/* ---- the report's two sides ---- */

static bool is_of_side(const struct event *e, const struct report_side *side)
{
	if (e->thread != side->thread)
		return false;
	if (side->thread == THREAD_DEVICE)
		return (e->kind == EVENT_DMA_READ || e->kind == EVENT_DMA_WRITE) &&
		       W.about_address - e->a < MAX(e->b, 1u);
	return e->pc == side->pc && (e->kind == EVENT_READ || e->kind == EVENT_WRITE || e->kind == EVENT_SEEN);
}

static void mark_sides(struct picture *p)
{
	struct picture_row *last = &p->rows[p->row_count - 1];
	bool found = false;

	for (unsigned s = 0; s < W.side_count; s++) {
		for (unsigned i = p->row_count; i-- > 0;) {
			if (!is_of_side(&p->rows[i].e, &W.sides[s]))
				continue;
			p->rows[i].side = W.sides[s].thread == W.current->id ? 1 : 2;
			found |= p->rows[i].side == 1;
			break;
		}
	}
	if (last->e.kind == EVENT_REPORT && !found)
		last->side = 1;
}

/* ---- how far down ---- */

static void lay_out(struct picture *p)
{
	double at = 0;

	for (unsigned i = 0; i < p->row_count; i++) {
		struct picture_row *r = &p->rows[i];
		uint64_t before_ns = i > 0 ? event_at(p->rows[i - 1].last)->time_ns : r->e.time_ns;

		if (r->e.time_ns > before_ns && r->e.time_ns - before_ns >= GAP_NS) {
			r->gap_ns = r->e.time_ns - before_ns;
			at += GAP_HEIGHT;
		}
		r->top = at;
		r->height = r->side != 0 ? SIDE_HEIGHT : r->e.kind == EVENT_SWITCH ? SMALL_HEIGHT : ROW_HEIGHT;
		at += r->height;
	}
	p->height = at;
}

int picture_row_of(const struct picture *p, unsigned index)
{
	int found = -1;

	for (unsigned i = 0; i < p->row_count && p->rows[i].first <= index; i++)
		found = (int)i;
	return found;
}

double picture_height_at(const struct picture *p, uint32_t step)
{
	double at = 0;

	for (unsigned i = 0; i < p->row_count && p->rows[i].e.step <= step; i++)
		at = p->rows[i].top + (p->rows[i].e.step == step ? 15 : p->rows[i].height);
	return at;
}

/* ---- who ran ---- */

static int bar_add(struct picture *p, const struct picture_bar *bar)
{
	if (bar->bottom - bar->top < 1)
		return 0;
	if (p->bar_count == p->bar_max) {
		struct picture_bar *bars = realloc(p->bars, (p->bar_max + 256) * sizeof(*bars));

		if (bars == NULL)
			return -ENOMEM;
		p->bars = bars;
		p->bar_max += 256;
	}
	p->bars[p->bar_count++] = *bar;
	return 0;
}

static bool same_bar(const struct picture_bar *a, const struct picture_bar *b)
{
	return a->thread == b->thread && a->context == b->context;
}

/* Between @index and what came before it: the top of the next row. */
static double boundary(const struct picture *p, unsigned index)
{
	for (unsigned i = 0; i < p->row_count; i++)
		if (p->rows[i].first >= index)
			return p->rows[i].top;
	return p->height;
}

/*
 * A bar for each stretch in which a thread ran in one context. The device's model may also run inside of a CPU's own
 * access, when it was idle: that is a bar of its own.
 */
static int find_bars(struct picture *p)
{
	unsigned first = p->row_count > 0 ? p->rows[0].first : 0, kept = event_kept();
	struct picture_bar now = {.thread = event_at(first)->thread, .context = event_at(first)->context};
	int ret = 0;

	for (unsigned i = first; i < kept && ret == 0; i++) {
		const struct event *e = event_at(i);
		struct picture_bar next = now;

		if (e->kind == EVENT_SWITCH && e->thread == now.thread) {
			int row = picture_row_of(p, i);

			next.thread = (uint8_t)e->a;
			next.context = (uint8_t)W.threads[e->a % THREAD_MAX].data.context;
			next.top = row >= 0 && p->rows[row].first == i ? p->rows[row].top + p->rows[row].height / 2
								       : boundary(p, i + 1);
		} else if (e->thread == now.thread && e->kind != EVENT_VISIBLE && e->context != now.context) {
			next.context = e->context;
			next.top = boundary(p, i);
		} else if (e->thread == THREAD_DEVICE && now.thread != THREAD_DEVICE) {
			int row = picture_row_of(p, i);

			if (row >= 0 && p->rows[row].first == i)
				ret = bar_add(p,
					      &(struct picture_bar){.thread = THREAD_DEVICE,
								    .inner = true,
								    .top = p->rows[row].top,
								    .bottom = p->rows[row].top + p->rows[row].height});
			continue;
		}
		if (same_bar(&now, &next))
			continue;
		now.bottom = next.top;
		ret = bar_add(p, &now);
		now = next;
	}
	now.bottom = p->height;
	return ret == 0 ? bar_add(p, &now) : ret;
}

/* The context of a thread that goes on is known only by its next event. */
static void find_contexts(struct picture *p)
{
	for (unsigned b = 0; b < p->bar_count; b++) {
		struct picture_bar *bar = &p->bars[b];

		for (unsigned i = 0; i < p->row_count; i++) {
			const struct picture_row *r = &p->rows[i];

			if (r->e.thread != bar->thread || r->e.kind == EVENT_VISIBLE || r->e.kind == EVENT_SWITCH ||
			    r->top < bar->top || r->top >= bar->bottom)
				continue;
			bar->context = r->e.context;
			break;
		}
	}
}

/* ---- words ---- */

bool picture_has_memory(const struct event *e)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_DMA_READ:
	case EVENT_DMA_WRITE:
	case EVENT_VISIBLE:
	case EVENT_OLD:
	case EVENT_SEEN:
	case EVENT_READ:
	case EVENT_WRITE:
		return true;
	default:
		return false;
	}
}

void picture_text(const struct picture_row *row, char *text, size_t size)
{
	static const char *const words[EVENT_KINDS] = {
		[EVENT_DMA_READ] = "reads",         [EVENT_DMA_WRITE] = "writes",     [EVENT_READ] = "loads",
		[EVENT_WRITE] = "stores",           [EVENT_VISIBLE] = "now visible:", [EVENT_OLD] = "still finds old",
		[EVENT_SEEN] = "sees the device's",
	};
	char times[24] = "";

	if (!picture_has_memory(&row->e)) {
		event_text(&row->e, text, size);
		return;
	}
	if (row->e.kind == EVENT_VISIBLE && row->e.b == 0) {
		snprintf(text, size, "now visible: %u stores", row->e.flags);
		return;
	}
	if (row->e.kind == EVENT_VISIBLE && row->e.flags > 1)
		snprintf(times, sizeof(times), "%u stores, ", row->e.flags);
	snprintf(text, size, "%s %s%llu bytes", words[row->e.kind], times, (unsigned long long)row->e.b);
}

/* ---- all of it ---- */

static int find_places(struct picture *p)
{
	uint32_t *pcs = calloc(p->row_count, sizeof(*pcs));

	p->symbols = calloc(p->row_count, sizeof(*p->symbols));
	if (pcs == NULL || p->symbols == NULL) {
		free(pcs);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < p->row_count; i++) {
		const struct event *e = &p->rows[i].e;

		pcs[i] = e->kind == EVENT_REPORT && W.side_count > 0 ? W.sides[0].pc : e->pc;
		if (pcs[i] == 0 || e->thread == THREAD_DEVICE)
			pcs[i] = 1;
		else
			p->rows[i].place = &p->symbols[i];
	}
	symbols_find(pcs, p->row_count, p->symbols);
	free(pcs);
	return 0;
}

static void find_lanes(struct picture *p)
{
	p->shown[THREAD_DEVICE] = true;
	for (unsigned i = 0; i < p->row_count; i++) {
		const struct event *e = &p->rows[i].e;

		p->shown[e->thread] = true;
		p->shown[LANE_MEMORY] |= e->kind == EVENT_DMA_READ || e->kind == EVENT_DMA_WRITE ||
					 e->kind == EVENT_VISIBLE || e->kind == EVENT_READ || e->kind == EVENT_WRITE ||
					 e->kind == EVENT_SEEN || e->kind == EVENT_OLD;
	}
}

int picture_collect(struct picture *p, unsigned max)
{
	struct picture_row *rows = calloc(max, sizeof(*rows));
	int ret = 0;

	*p = (struct picture){.rows = rows};
	if (rows == NULL)
		return -ENOMEM;
	p->row_count = choose(rows, max);
	if (p->row_count == 0)
		ret = -ENODATA;
	memmove(rows, rows + max - p->row_count, p->row_count * sizeof(*rows));
	if (ret == 0) {
		mark_sides(p);
		lay_out(p);
		find_lanes(p);
		ret = find_bars(p);
	}
	if (ret == 0) {
		find_contexts(p);
		ret = find_places(p);
	}
	if (ret != 0)
		picture_free(p);
	return ret;
}

void picture_free(struct picture *p)
{
	free(p->rows);
	free(p->bars);
	free(p->symbols);
	*p = (struct picture){0};
}
