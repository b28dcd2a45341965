/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of records: the frame's description, then its bytes, in one piece. One that does not fit before the end begins
 * at the start, behind a mark that says so. */
#include "model/net/inbox.h"

#include <string.h>

struct record {
	struct vnet_frame frame; /* data is of no meaning here; len_bytes of WRAP: go on at the start */
};

#define WRAP UINT32_MAX

static uint32_t record_bytes(uint32_t len_bytes)
{
	return (uint32_t)sizeof(struct record) + ((len_bytes + 7u) & ~7u);
}

void vnet_inbox_init(struct vnet_inbox *inbox, void *bytes, uint32_t size_bytes)
{
	*inbox = (struct vnet_inbox){.bytes = bytes, .size_bytes = size_bytes};
}

static struct record *record_at(const struct vnet_inbox *inbox, uint32_t offset)
{
	return (struct record *)(void *)(inbox->bytes + offset);
}

/* Where the next record goes; false: nowhere. The tail never reaches the head from behind: that would mean empty. */
static bool find_room(struct vnet_inbox *inbox, uint32_t need)
{
	if (inbox->count == 0)
		inbox->head = inbox->tail = 0;
	if (inbox->tail < inbox->head || (inbox->tail == inbox->head && inbox->count != 0))
		return inbox->head - inbox->tail > need;
	if (inbox->size_bytes - inbox->tail >= need)
		return true;
	if (inbox->head <= need)
		return false;
	if (inbox->size_bytes - inbox->tail >= sizeof(struct record))
		record_at(inbox, inbox->tail)->frame.len_bytes = WRAP;
	inbox->tail = 0;
	return true;
}

bool vnet_inbox_put(struct vnet_inbox *inbox, const struct vnet_frame *frame)
{
	uint32_t need = record_bytes(frame->len_bytes);
	struct record *record;

	if (frame->len_bytes > VNET_MODEL_FRAME_MAX || !find_room(inbox, need)) {
		inbox->dropped++;
		return false;
	}
	record = record_at(inbox, inbox->tail);
	record->frame = *frame;
	memcpy(record + 1, frame->data, frame->len_bytes);
	inbox->tail += need;
	inbox->count++;
	inbox->put++;
	return true;
}

/* The head, past the end's mark. */
static uint32_t head_of(const struct vnet_inbox *inbox)
{
	if (inbox->size_bytes - inbox->head < sizeof(struct record) ||
	    record_at(inbox, inbox->head)->frame.len_bytes == WRAP)
		return 0;
	return inbox->head;
}

bool vnet_inbox_peek(const struct vnet_inbox *inbox, struct vnet_frame *out)
{
	const struct record *record;

	if (inbox->count == 0)
		return false;
	record = record_at(inbox, head_of(inbox));
	*out = record->frame;
	out->data = (const uint8_t *)(record + 1);
	return true;
}

void vnet_inbox_next(struct vnet_inbox *inbox)
{
	uint32_t head = head_of(inbox);

	inbox->head = head + record_bytes(record_at(inbox, head)->frame.len_bytes);
	inbox->count--;
}
