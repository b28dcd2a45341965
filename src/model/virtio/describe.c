/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device in words: what state it is in, and what it calls its registers and the memory of its rings. For who
 * reads a report; nothing here changes anything.
 */
#include <assert.h>

#include "model/virtio/virtio_model.h"
#include "model/words.h"

/* One that was destroyed has none any more, and is described all the same by who kept its memory. */
static unsigned queue_count(const struct virtio_model *v)
{
	return v->queues != NULL ? v->config.queue_count : 0;
}

/* ---- registers ---- */

bool virtio_model_register_name(const struct virtio_model *v, unsigned bar, uint64_t offset, char *text, size_t size)
{
	static const struct {
		unsigned offset;
		const char *name;
	} common[] = {
		{VIRTIO_COMMON_DEVICE_FEATURE_SELECT, "device_feature_select"},
		{VIRTIO_COMMON_DEVICE_FEATURE, "device_feature"},
		{VIRTIO_COMMON_DRIVER_FEATURE_SELECT, "driver_feature_select"},
		{VIRTIO_COMMON_DRIVER_FEATURE, "driver_feature"},
		{VIRTIO_COMMON_CONFIG_VECTOR, "config_msix_vector"},
		{VIRTIO_COMMON_NUM_QUEUES, "num_queues"},
		{VIRTIO_COMMON_STATUS, "device_status"},
		{VIRTIO_COMMON_GENERATION, "config_generation"},
		{VIRTIO_COMMON_QUEUE_SELECT, "queue_select"},
		{VIRTIO_COMMON_QUEUE_SIZE, "queue_size"},
		{VIRTIO_COMMON_QUEUE_VECTOR, "queue_msix_vector"},
		{VIRTIO_COMMON_QUEUE_ENABLE, "queue_enable"},
		{VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET, "queue_notify_off"},
		{VIRTIO_COMMON_QUEUE_DESC, "queue_desc"},
		{VIRTIO_COMMON_QUEUE_DESC + 4, "queue_desc high"},
		{VIRTIO_COMMON_QUEUE_DRIVER, "queue_driver"},
		{VIRTIO_COMMON_QUEUE_DRIVER + 4, "queue_driver high"},
		{VIRTIO_COMMON_QUEUE_DEVICE, "queue_device"},
		{VIRTIO_COMMON_QUEUE_DEVICE + 4, "queue_device high"},
		{VIRTIO_COMMON_QUEUE_NOTIFY_DATA, "queue_notify_data"},
		{VIRTIO_COMMON_QUEUE_RESET, "queue_reset"},
	};
	struct words w = {text, size};

	if (bar != VIRTIO_MODEL_BAR)
		return false;
	if (offset >= VIRTIO_MODEL_MSIX_PBA) {
		say(&w, "MSI-X PBA");
	} else if (offset >= VIRTIO_MODEL_MSIX_TABLE) {
		say(&w, "MSI-X vector %u", (unsigned)(offset - VIRTIO_MODEL_MSIX_TABLE) / 16);
	} else if (offset >= VIRTIO_MODEL_NOTIFY) {
		say(&w, "notify of queue %u", (unsigned)(offset - VIRTIO_MODEL_NOTIFY) / VIRTIO_MODEL_MULTIPLIER);
	} else if (offset >= VIRTIO_MODEL_DEVICE) {
		say(&w, "configuration+%u", (unsigned)(offset - VIRTIO_MODEL_DEVICE));
	} else if (offset >= VIRTIO_MODEL_ISR) {
		say(&w, "ISR status");
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
			if (common[i].offset != offset)
				continue;
			say(&w, "%s", common[i].name);
			return true;
		}
		return false;
	}
	return true;
}

/* ---- memory ---- */

static bool is_in(uint64_t iova, uint64_t base, uint64_t len_bytes)
{
	return base != 0 && iova >= base && iova - base < len_bytes;
}

static void name_entry(struct words *w, unsigned queue, const char *what, uint64_t offset, unsigned entry_bytes)
{
	say(w, "queue %u %s[%u]", queue, what, (unsigned)(offset / entry_bytes));
	if (offset % entry_bytes != 0)
		say(w, "+%u", (unsigned)(offset % entry_bytes));
}

/* One of the two rings of a split queue: flags, index, entries, and the event index of the other side. */
static void name_ring(struct words *w, unsigned queue, const char *ring, const char *event, uint64_t offset,
		      unsigned entry_bytes, unsigned size)
{
	if (offset < 2)
		say(w, "queue %u %s flags", queue, ring);
	else if (offset < 4)
		say(w, "queue %u %s index", queue, ring);
	else if (offset >= 4 + (uint64_t)entry_bytes * size)
		say(w, "queue %u %s", queue, event);
	else
		name_entry(w, queue, ring, offset - 4, entry_bytes);
}

static bool name_split(struct words *w, const struct virtio_model_queue *q, unsigned i, uint64_t iova)
{
	if (is_in(iova, q->desc, VIRTQ_DESC_BYTES((uint64_t)q->size)))
		name_entry(w, i, "descriptor", iova - q->desc, 16);
	else if (is_in(iova, q->driver, VIRTQ_AVAIL_BYTES((uint64_t)q->size)))
		name_ring(w, i, "avail", "used event", iova - q->driver, 2, q->size);
	else if (is_in(iova, q->device, VIRTQ_USED_BYTES((uint64_t)q->size)))
		name_ring(w, i, "used", "avail event", iova - q->device, 8, q->size);
	else
		return false;
	return true;
}

static bool name_packed(struct words *w, const struct virtio_model_queue *q, unsigned i, uint64_t iova)
{
	if (is_in(iova, q->desc, VIRTQ_PACKED_BYTES((uint64_t)q->size)))
		name_entry(w, i, "ring", iova - q->desc, 16);
	else if (is_in(iova, q->driver, sizeof(struct virtq_event)))
		say(w, "queue %u driver's event", i);
	else if (is_in(iova, q->device, sizeof(struct virtq_event)))
		say(w, "queue %u device's event", i);
	else
		return false;
	return true;
}

bool virtio_model_memory_name(const struct virtio_model *v, uint64_t iova, char *text, size_t size)
{
	bool packed = virtio_model_has(v, VIRTIO_F_RING_PACKED);
	struct words w = {text, size};

	for (unsigned i = 0; i < queue_count(v); i++) {
		const struct virtio_model_queue *q = &v->queues[i];

		if (q->enabled && (packed ? name_packed(&w, q, i, iova) : name_split(&w, q, i, iova)))
			return true;
	}
	return false;
}

/* ---- states ---- */

enum phase {
	PHASE_RESET,
	PHASE_KNOWN,
	PHASE_AGREED,
	PHASE_WORKS,
	PHASE_FAILED,
	PHASES
};

#define FEW 3 /* none, one, more */

static_assert(PHASES * FEW * FEW * 2 <= VIRTIO_MODEL_STATES, "states");

static enum phase phase_of(const struct virtio_model *v)
{
	if ((v->status & VIRTIO_STATUS_NEEDS_RESET) != 0)
		return PHASE_FAILED;
	if ((v->status & VIRTIO_STATUS_DRIVER_OK) != 0)
		return PHASE_WORKS;
	if ((v->status & VIRTIO_STATUS_FEATURES_OK) != 0)
		return PHASE_AGREED;
	return v->status != 0 ? PHASE_KNOWN : PHASE_RESET;
}

unsigned virtio_model_state(const struct virtio_model *v, unsigned in_flight)
{
	unsigned enabled = 0, state = (unsigned)phase_of(v);

	for (unsigned i = 0; i < queue_count(v) && enabled < FEW - 1; i++)
		enabled += v->queues[i].enabled;
	state = state * FEW + enabled;
	state = state * FEW + MIN(in_flight, FEW - 1u);
	return state * 2 + virtio_model_has(v, VIRTIO_F_RING_PACKED);
}

void virtio_model_state_name(unsigned state, char *text, size_t size)
{
	static const char *const phases[PHASES] = {"reset", "known", "agreed", "works", "needs a reset"};
	static const char *const few[FEW] = {"no", "one", "several"};
	struct words w = {text, size};
	unsigned flight = state / 2 % FEW, queues = state / (2 * FEW) % FEW, phase = state / (2 * FEW * FEW);

	say(&w, "%s", phase < PHASES ? phases[phase] : "?");
	if (phase == PHASE_RESET || phase == PHASE_KNOWN)
		return;
	say(&w, ", %s %s queue%s, %s request%s in flight", few[queues], state % 2 != 0 ? "packed" : "split",
	    queues == 1 ? "" : "s", few[flight], flight == 1 ? "" : "s");
}

/* ---- all of it ---- */

static void describe_queue(struct words *w, const struct virtio_model *v, unsigned i)
{
	const struct virtio_model_queue *q = &v->queues[i];

	say(w, "\nqueue %u: %u entries", i, q->size);
	if (q->vector != VIRTIO_NO_VECTOR)
		say(w, ", vector %u", q->vector);
	if (!q->ready) {
		say(w, ", not started");
		return;
	}
	say(w, ", at %u of the avail ring and %u of the used ring, %u in flight%s%s", q->vq.avail_next, q->vq.used_next,
	    q->vq.in_flight, (v->pending[i / 64] & BIT64(i % 64)) != 0 ? ", to be looked at" : "",
	    q->paused ? ", paused" : "");
	if (q->vq.broken)
		say(w, ", broken: %s", q->vq.why);
}

void virtio_model_describe(const struct virtio_model *v, unsigned in_flight, char *text, size_t size)
{
	struct words w = {text, size};
	char state[128];

	virtio_model_state_name(virtio_model_state(v, in_flight), state, sizeof(state));
	say(&w, "%s; status %#x, features %#llx, ISR %#x", state, v->status, (unsigned long long)v->accepted, v->isr);
	for (unsigned i = 0; i < queue_count(v); i++)
		if (v->queues[i].enabled)
			describe_queue(&w, v, i);
}
