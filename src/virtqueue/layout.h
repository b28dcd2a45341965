/* SPDX-License-Identifier: BSD-2-Clause */
/* What both ends of a virtqueue compute alike: descriptor words and the event index (VIRTIO 1.2 §2.7, §2.8). */
#ifndef OB_VIRTQUEUE_LAYOUT_H
#define OB_VIRTQUEUE_LAYOUT_H

#include "spec/virtio.h"

/* The second half of a descriptor as one value. Split: length, flags, next. Packed: length, id, flags. */
#define VIRTQUEUE_WORD_LEN    BITS64(31, 0)
#define VIRTQUEUE_WORD_MIDDLE BITS64(47, 32)
#define VIRTQUEUE_WORD_LAST   BITS64(63, 48)

static inline uint64_t virtqueue_word(uint32_t len, uint32_t middle, uint32_t last)
{
	return (uint64_t)len | (uint64_t)middle << 32 | (uint64_t)last << 48;
}

#define VIRTQUEUE_PACKED_MARKS (VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED)

/*
 * Was the place @event passed on the way from @from to @to? Free-running 16-bit indexes. The entry at @event itself has to
 * be among those that are new (§2.7.7: until idx reaches used_event + 1).
 */
static inline bool virtqueue_event_passed(uint16_t event, uint16_t to, uint16_t from)
{
	return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

/*
 * The same for a packed ring (§2.8.10). @desc: from the event structure. @to, @to_wrap: the next place to be written and
 * its wrap counter; @count entries are new.
 */
static inline bool virtqueue_packed_event_passed(uint16_t desc, uint16_t size, uint16_t to, bool to_wrap,
						 uint16_t count)
{
	uint16_t event = (uint16_t)FIELD_GET(VIRTQ_EVENT_OFFSET, desc);

	/* Of the round before: as far in front of this round's beginning as it is before that one's end. */
	if (((desc & VIRTQ_EVENT_WRAP) != 0) != to_wrap)
		event = (uint16_t)(event - size);
	return virtqueue_event_passed(event, to, (uint16_t)(to - count));
}

/*
 * For notifications to a device: is the place that it wants to hear of behind @to? More often than the spec asks for, which
 * is whether the newest entries passed it: a device may look again after it wrote its wish, take what has come, and sleep
 * with the wish behind it (QEMU's virtio-net does when its back-end was full for a while).
 */
static inline bool virtqueue_packed_event_behind(uint16_t desc, uint16_t to, bool to_wrap)
{
	return ((desc & VIRTQ_EVENT_WRAP) != 0) != to_wrap || FIELD_GET(VIRTQ_EVENT_OFFSET, desc) < to;
}

#endif
