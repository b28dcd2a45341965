/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trace rings. Only the owner CPU writes its ring; a reader comes when tracing is off or the CPUs stand still, so that
 * the ring needs no synchronisation of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/bits.h"
#include "core/loop.h"

#define TRACE_EVENTS_MIN 16u
#define TRACE_EVENTS_MAX (1u << 24)

#define TRACE_POINT(id, name, a, b, c) {name, {a, b, c}},
static const struct {
	const char *name;
	const char *words[3];
} points[] = {OB_TRACE_POINTS(TRACE_POINT)};
#undef TRACE_POINT

_Static_assert(ARRAY_SIZE(points) == OB_TRACE_ID_COUNT, "one row for each point");

int trace_create(struct ob_cpu *cpu, unsigned events)
{
	unsigned size = TRACE_EVENTS_MIN;

	if (events > TRACE_EVENTS_MAX)
		return -EINVAL;
	while (size < events)
		size *= 2;
	cpu->trace_events = os_alloc(size * sizeof(*cpu->trace_events), OB_CACHE_LINE);
	if (!cpu->trace_events)
		return -ENOMEM;
	cpu->trace_mask = size - 1;
	return 0;
}

void trace_destroy(struct ob_cpu *cpu)
{
	os_free(cpu->trace_events);
}

void ob_trace_emit(struct ob_cpu *cpu, enum ob_trace_id id, uint64_t a, uint64_t b, uint64_t c)
{
	cpu->trace_events[cpu->trace_head++ & cpu->trace_mask] = (struct ob_trace_event){
		.time_ns = os_now_ns(),
		.a = a,
		.b = b,
		.c = c,
		.id = (uint32_t)id,
		.cpu = cpu->index,
	};
}

void ob_trace_enable(struct ob *ob, bool on)
{
	for (unsigned i = 0; i < ob->cpu_count; i++)
		OB_WRITE_ONCE(ob->cpus[i]->head.trace_on, on);
}

size_t ob_trace_read(struct ob *ob, struct ob_trace_event *events, size_t max, uint64_t *lost)
{
	uint64_t next[OB_CPU_MAX];
	uint64_t overwritten = 0;
	size_t count;

	for (unsigned i = 0; i < ob->cpu_count; i++) {
		const struct ob_cpu *cpu = ob->cpus[i];

		next[i] = cpu->trace_head > cpu->trace_mask ? cpu->trace_head - cpu->trace_mask - 1 : 0;
		overwritten += next[i];
	}
	for (count = 0; count < max; count++) {
		const struct ob_trace_event *oldest = NULL;

		for (unsigned i = 0; i < ob->cpu_count; i++) {
			const struct ob_cpu *cpu = ob->cpus[i];
			const struct ob_trace_event *event = &cpu->trace_events[next[i] & cpu->trace_mask];

			if (next[i] < cpu->trace_head && (!oldest || event->time_ns < oldest->time_ns))
				oldest = event;
		}
		if (!oldest)
			break;
		next[oldest->cpu]++;
		events[count] = *oldest;
	}
	if (lost)
		*lost = overwritten;
	return count;
}

/* Small numbers read best in decimal; larger ones are addresses, mostly. */
static int format_word(char *text, size_t size, const char *name, uint64_t value)
{
	if (!*name)
		return 0;
	return snprintf(text, size, value < 1u << 31 ? " %s=%" PRIu64 : " %s=0x%" PRIx64, name, value);
}

int ob_trace_format(const struct ob_trace_event *event, char *text, size_t size)
{
	const uint64_t values[3] = {event->a, event->b, event->c};
	const char *name = event->id < OB_TRACE_ID_COUNT ? points[event->id].name : "?";
	const uint64_t seconds = event->time_ns / OB_NS_PER_S, ns = event->time_ns % OB_NS_PER_S;
	int len = snprintf(text, size, "%" PRIu64 ".%09" PRIu64 " cpu%" PRIu32 " %s", seconds, ns, event->cpu, name);

	for (unsigned i = 0; i < 3 && event->id < OB_TRACE_ID_COUNT; i++) {
		size_t used = MIN((size_t)len, size);

		len += format_word(text ? text + used : NULL, size - used, points[event->id].words[i], values[i]);
	}
	return len;
}
