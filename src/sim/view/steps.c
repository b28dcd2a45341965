/* SPDX-License-Identifier: BSD-2-Clause */
/* Events in words, and the last of them in a report: first those that touch the memory it is about, then its threads'. */
#include <stdio.h>

#include "sim/view/event.h"
#include "sim/view/view.h"

#define STEPS_MAX   25
#define STEPS_NEAR  10    /* at most: of those to the memory */
#define STEPS_SPARE 4     /* at least: of others' */
#define LOOK_MAX    65536 /* events that are looked through */

/* ---- words ---- */

static const char *thread_name(uint64_t id)
{
	return id < W.thread_count ? W.threads[id].name : "?";
}

const char *event_barrier_name(unsigned barrier)
{
	static const char *const names[] = {
		[EVENT_DMA_WMB] = "ob_dma_wmb",   [EVENT_DMA_RMB] = "ob_dma_rmb",   [EVENT_DMA_MB] = "ob_dma_mb",
		[EVENT_MMIO_WMB] = "ob_mmio_wmb", [EVENT_MMIO_RMB] = "ob_mmio_rmb", [EVENT_FENCE] = "atomic fence",
	};

	return barrier < ARRAY_SIZE(names) ? names[barrier] : "?";
}

static void text_of_switch(const struct event *e, char *text, size_t size)
{
	const char *to = thread_name(e->a), *what = (const char *)(uintptr_t)e->b; /* NOLINT */

	switch ((enum event_why)e->flags) {
	case EVENT_PREEMPTED:
		snprintf(text, size, "is preempted, %s runs", to);
		break;
	case EVENT_STALLED:
		snprintf(text, size, "is stalled for a while, %s runs", to);
		break;
	case EVENT_WAITS:
		snprintf(text, size, "waits for %s, %s runs", what != NULL ? what : "something", to);
		break;
	case EVENT_YIELDS:
		snprintf(text, size, "gives way, %s runs", to);
		break;
	case EVENT_ENDED:
		snprintf(text, size, "ends, %s runs", to);
		break;
	}
}

static void text_of_register(const struct event *e, char *text, size_t size)
{
	char name[64];
	unsigned long long value = e->b;

	event_register(e, name, sizeof(name));
	if (e->flags & EVENT_SEVERAL) {
		snprintf(text, size, e->kind == EVENT_POST ? "writes %llu bytes of %s" : "%llu bytes of %s arrive",
			 value, name);
		return;
	}
	switch ((enum posted_kind)e->flags) {
	case POSTED_WRITE:
	case POSTED_CONFIG_WRITE:
	case POSTED_PROBE:
		if (e->kind == EVENT_ANSWER)
			snprintf(text, size, "%s is written", name);
		else
			snprintf(text, size, e->kind == EVENT_POST ? "writes %s = %#llx" : "%s = %#llx arrives", name,
				 value);
		break;
	case POSTED_NOTHING:
		snprintf(text, size, e->kind == EVENT_POST ? "waits for posted writes" : "posted writes have arrived");
		break;
	default:
		if (e->kind == EVENT_ANSWER)
			snprintf(text, size, "has read %s = %#llx", name, value);
		else
			snprintf(text, size, e->kind == EVENT_POST ? "reads %s" : "read of %s arrives", name);
		break;
	}
}

static void text_of_memory(const struct event *e, char *text, size_t size)
{
	static const struct {
		const char *verb, *after;
	} words[EVENT_KINDS] = {
		[EVENT_DMA_READ] = {"reads", ""},
		[EVENT_DMA_WRITE] = {"writes", ""},
		[EVENT_READ] = {"loads", ""},
		[EVENT_WRITE] = {"stores to", ""},
		[EVENT_ALLOC] = {"allocates", ""},
		[EVENT_FREE] = {"frees", ""},
		[EVENT_SEEN] = {"sees that the device wrote", ""},
		[EVENT_OLD] = {"finds in", " what was there before"},
		[EVENT_VISIBLE] = {"store to", " becomes visible"},
	};
	char where[96];

	event_memory(e->a, where, sizeof(where));
	if (e->kind == EVENT_VISIBLE && e->b == 0) {
		snprintf(text, size, "%u stores, to %s and elsewhere, become visible", e->flags, where);
		return;
	}
	if (e->kind == EVENT_VISIBLE && e->flags > 1) {
		snprintf(text, size, "%u stores to %s, %llu bytes, become visible", e->flags, where,
			 (unsigned long long)e->b);
		return;
	}
	snprintf(text, size, "%s %s, %llu bytes%s%s", words[e->kind].verb, where, (unsigned long long)e->b,
		 e->kind == EVENT_VISIBLE || e->kind == EVENT_OLD ? "," : "", words[e->kind].after);
}

/* What threads do to one another. */
static void text_of_thread(const struct event *e, char *text, size_t size)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_SWITCH:
		text_of_switch(e, text, size);
		break;
	case EVENT_WAKE:
		snprintf(text, size, "wakes %s", thread_name(e->a));
		break;
	case EVENT_EXPIRED:
		snprintf(text, size, "has slept as long as it wanted");
		break;
	case EVENT_SPAWN:
		snprintf(text, size, "starts thread %s", thread_name(e->a));
		break;
	case EVENT_TASK:
		snprintf(text, size, "switches to another task");
		break;
	case EVENT_LOCK:
	case EVENT_UNLOCK:
		snprintf(text, size, "%s %s", e->kind == EVENT_LOCK ? "locks" : "unlocks",
			 e->b != 0 ? (const char *)(uintptr_t)e->b : "a lock"); /* NOLINT */
		break;
	default:
		snprintf(text, size, "%s", event_barrier_name(e->flags));
		break;
	}
}

/* Of a request, a grant, an interrupt, the run itself. */
static void text_of_other(const struct event *e, char *text, size_t size)
{
	unsigned long long a = e->a, b = e->b;

	switch ((enum event_kind)e->kind) {
	case EVENT_RAISE:
		snprintf(text, size, "raises interrupt %llu", a);
		break;
	case EVENT_TAKE:
		snprintf(text, size, "takes interrupt %llu", a);
		break;
	case EVENT_HARD_BEGIN:
		snprintf(text, size, "is interrupted");
		break;
	case EVENT_HARD_END:
		snprintf(text, size, "returns from the interrupt");
		break;
	case EVENT_FAULT:
		snprintf(text, size, "fault: %s", (const char *)(uintptr_t)e->a); /* NOLINT */
		break;
	case EVENT_REQUEST:
		snprintf(text, size, "submits request %#llx", a & UINT32_MAX);
		break;
	case EVENT_REQUEST_END:
		snprintf(text, size, "has request %#llx back", a & UINT32_MAX);
		break;
	case EVENT_MAP:
		snprintf(text, size, "grants the device %#llx, %llu bytes", a, b);
		break;
	case EVENT_UNMAP:
		snprintf(text, size, "takes back %#llx, %llu bytes", a, b);
		break;
	case EVENT_LOG:
		snprintf(text, size, "log: %.80s", W.log_count - a <= LOG_LINES ? W.log[a % LOG_LINES] : "");
		break;
	default:
		snprintf(text, size, "the report");
		break;
	}
}

void event_text(const struct event *e, char *text, size_t size)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_SWITCH:
	case EVENT_WAKE:
	case EVENT_EXPIRED:
	case EVENT_SPAWN:
	case EVENT_TASK:
	case EVENT_LOCK:
	case EVENT_UNLOCK:
	case EVENT_BARRIER:
		text_of_thread(e, text, size);
		break;
	case EVENT_POST:
	case EVENT_ARRIVE:
	case EVENT_ANSWER:
		text_of_register(e, text, size);
		break;
	case EVENT_DMA_READ:
	case EVENT_DMA_WRITE:
	case EVENT_VISIBLE:
	case EVENT_OLD:
	case EVENT_SEEN:
	case EVENT_ALLOC:
	case EVENT_FREE:
	case EVENT_READ:
	case EVENT_WRITE:
		text_of_memory(e, text, size);
		break;
	case EVENT_COMMAND:
	case EVENT_COMPLETION:
	case EVENT_STATE:
		event_device(e, text, size);
		break;
	default:
		text_of_other(e, text, size);
		break;
	}
}

/* ---- which ones a report shows ---- */

enum relevance {
	NEVER_TOLD,
	FILLS,   /* when there is room */
	THREADS, /* of a thread that the report names */
	NEAR,    /* at the memory that it is about */
};

/* They are many, and seldom what it is about. */
bool event_locks_matter(void)
{
	const char *rule = W.result->rule;

	return strcmp(rule, "data-race") == 0 || (strstr(rule, "lock") != NULL && strcmp(rule, "livelock") != 0);
}

bool event_is_elsewhere(const struct event *e)
{
	return is_dma(W.about_address) && !is_dma(e->a);
}

bool event_is_near(const struct event *e)
{
	uint64_t line = ALIGN_DOWN(W.about_address, (uint64_t)OB_CACHE_LINE);

	return W.about_address != 0 && e->a < line + OB_CACHE_LINE && line < e->a + MAX(e->b, 1u);
}

static enum relevance relevance(const struct event *e)
{
	bool involved = (W.about_threads & BIT(e->thread)) != 0;

	switch ((enum event_kind)e->kind) {
	case EVENT_NONE:
	case EVENT_LOG: /* below */
	case EVENT_REPORT:
	case EVENT_KINDS:
		return NEVER_TOLD;
	case EVENT_DMA_READ:
	case EVENT_DMA_WRITE:
	case EVENT_VISIBLE:
	case EVENT_OLD:
	case EVENT_SEEN:
		if (event_is_elsewhere(e))
			return NEVER_TOLD;
		return event_is_near(e) ? NEAR : involved ? THREADS : FILLS;
	case EVENT_READ:
	case EVENT_WRITE:
	case EVENT_ALLOC:
	case EVENT_FREE:
		return event_is_near(e) ? NEAR : NEVER_TOLD;
	case EVENT_FAULT:
		return THREADS;
	case EVENT_SWITCH:
		return e->thread != THREAD_DEVICE && e->flags <= EVENT_STALLED && involved ? THREADS : FILLS;
	case EVENT_WAKE:
	case EVENT_TASK:
	case EVENT_EXPIRED:
		return FILLS;
	case EVENT_LOCK:
	case EVENT_UNLOCK:
		return !event_locks_matter() ? NEVER_TOLD : involved ? THREADS : FILLS;
	case EVENT_STATE:
		return NEVER_TOLD; /* its parts are, and the last one is in the device's own view */
	default:
		return involved ? THREADS : FILLS;
	}
}

/* Pieces of one transfer; stores that nobody looked at in between, and that the report is not about. */
bool event_continues(const struct event *e, const struct event *before)
{
	if (e->kind != before->kind || e->thread != before->thread)
		return false;
	switch ((enum event_kind)e->kind) {
	case EVENT_DMA_READ:
		return before->a + before->b == e->a;
	case EVENT_DMA_WRITE:
		return before->a + before->b == e->a && !e->flags;
	case EVENT_VISIBLE:
		return !event_is_near(e) && !event_is_near(before);
	case EVENT_POST:
	case EVENT_ARRIVE:
		return (e->flags & ~EVENT_SEVERAL) == POSTED_WRITE &&
		       (before->flags & ~EVENT_SEVERAL) == POSTED_WRITE && e->a > before->a &&
		       e->a - before->a <= 8 + (before->flags & EVENT_SEVERAL ? before->b : 0) && view_is_memory(e->a);
	default:
		return false;
	}
}

void event_merge(struct event *into, const struct event *next)
{
	if (into->kind == EVENT_POST || into->kind == EVENT_ARRIVE) {
		into->b = next->a + (next->flags & EVENT_SEVERAL ? next->b : 8) - into->a;
		into->flags |= EVENT_SEVERAL;
		return;
	}
	if (into->kind != EVENT_VISIBLE) {
		into->b += next->b;
		return;
	}
	into->flags = (uint8_t)MIN(into->flags + next->flags, 255);
	into->b = into->b != 0 && into->a + into->b == next->a ? into->b + next->b : 0;
}

/* Who polls loads the same again and again: the last two say it. */
static bool is_repeated(const uint8_t *told, unsigned first, unsigned count, unsigned i)
{
	const struct event *e = event_at(first + i);
	unsigned found = 0;

	if (e->kind != EVENT_READ && e->kind != EVENT_OLD)
		return false;
	for (unsigned j = i + 1; j < count && found < 2; j++) {
		const struct event *later = event_at(first + j);

		found += told[j] == 1 && later->kind == e->kind && later->a == e->a && later->pc == e->pc &&
			 later->thread == e->thread;
	}
	return found == 2;
}

/* The one that comes before @i among those that may be told; -1: none. */
static int before(unsigned first, unsigned i)
{
	int j = (int)i - 1;

	while (j >= 0 && relevance(event_at(first + (unsigned)j)) == NEVER_TOLD)
		j--;
	return j;
}

/* @told: 1 for an event that is told, 2 for one that is told with the one before it. */
static unsigned choose(uint8_t *told, unsigned first, unsigned count, enum relevance wanted, unsigned room)
{
	for (unsigned i = count; i-- > 0 && room > 0;) {
		unsigned head = i;
		int j;

		if (told[i] || relevance(event_at(first + i)) < wanted || is_repeated(told, first, count, i))
			continue;
		while ((j = before(first, head)) >= 0 &&
		       event_continues(event_at(first + head), event_at(first + (unsigned)j))) {
			told[head] = 2;
			head = (unsigned)j;
			if (told[head] != 0)
				break;
		}
		/* What it goes on with may be told already. */
		if (told[head] != 0)
			continue;
		told[head] = 1;
		room--;
	}
	return room;
}

static void tell(struct event e, unsigned first, unsigned count, const uint8_t *told, unsigned i)
{
	uint64_t ago_ns = W.now_ns - MIN(W.now_ns, e.time_ns);
	char text[160], who[32];

	while (++i < count && (told[i] == 2 || relevance(event_at(first + i)) == NEVER_TOLD))
		if (told[i] == 2)
			event_merge(&e, event_at(first + i));
	event_text(&e, text, sizeof(text));
	snprintf(who, sizeof(who), "%s%s%s", thread_name(e.thread), e.thread == THREAD_DEVICE ? "" : " ",
		 e.thread == THREAD_DEVICE ? "" : report_context_name(e.context));
	report_text("%6llu.%03llu us  %-12s %s", (unsigned long long)(ago_ns / OB_NS_PER_US),
		    (unsigned long long)(ago_ns % OB_NS_PER_US), who, text);
	if (e.pc != 0 && e.thread != THREAD_DEVICE)
		report_text(" @%x", e.pc);
	report_text("\n");
}

void event_tell_steps(void)
{
	static uint8_t told[LOOK_MAX];
	unsigned kept = event_kept(), count = MIN(kept, (unsigned)LOOK_MAX), first = kept - count, left;

	if (count == 0)
		return;
	memset(told, 0, sizeof(told));
	/* About no memory: then about all that happened last. */
	if (W.about_address == 0)
		W.about_threads = UINT32_MAX;
	left = STEPS_MAX - STEPS_NEAR + choose(told, first, count, NEAR, STEPS_NEAR);
	left = STEPS_SPARE + choose(told, first, count, THREADS, left - STEPS_SPARE);
	choose(told, first, count, FILLS, left);
	report_text("the steps that led there, and how long before:\n");
	for (unsigned i = 0; i < count; i++)
		if (told[i] == 1)
			tell(*event_at(first + i), first, count, told, i);
}
