/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Inflight I/O tracking" of the vhost-user protocol, for both layouts of a ring.
 *
 * The order of the stores is what the table is about: this process may end between any two of them. As it ends with all
 * that it has stored, that is the order of the program, and volatile accesses keep it.
 *
 * Entries of the packed layout are taken from a free list. Its links are kept here as well, and only ours are followed.
 */
#include "serve/vhost_user/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <outboard/cpu.h>

#include "base/bits.h"
#include "spec/virtio.h"

#define NOT_USED UINT16_MAX /* of f->last: the entry begins no chain */

static bool is_packed(uint64_t features)
{
	return (features & BIT64(VIRTIO_F_RING_PACKED)) != 0;
}

uint64_t vu_inflight_stride(uint64_t features, uint16_t size)
{
	uint64_t bytes = is_packed(features) ? sizeof(struct vhost_user_packed_region) +
						       sizeof(struct vhost_user_packed_entry) * (uint64_t)size
					     : sizeof(struct vhost_user_split_region) +
						       sizeof(struct vhost_user_split_entry) * (uint64_t)size;

	return ALIGN_UP(bytes, (uint64_t)VHOST_USER_INFLIGHT_ALIGN);
}

/* ---- what was in flight ---- */

static int by_counter(const void *a, const void *b)
{
	uint64_t first = ((const struct vu_resumed *)a)->counter, second = ((const struct vu_resumed *)b)->counter;

	return first < second ? -1 : first > second;
}

static void found(struct vu_inflight *f, uint16_t slot, uint64_t counter)
{
	f->resumed[f->resumed_count++] = (struct vu_resumed){counter, slot};
	f->counter = MAX(f->counter, counter + 1);
}

static void split_clear(struct vhost_user_split_region *r, uint16_t size, uint16_t used)
{
	memset(r, 0, sizeof(*r) + size * sizeof(r->entry[0]));
	r->entry_count = size;
	r->used_index = used;
	OB_WRITE_ONCE(r->version, VHOST_USER_INFLIGHT_VERSION);
}

/* The server before us ended between showing a batch and clearing its marks. */
static void split_mend(struct vhost_user_split_region *r, uint16_t size, uint16_t used)
{
	uint16_t batch = (uint16_t)(used - OB_READ_ONCE(r->used_index));
	uint16_t head = OB_READ_ONCE(r->last_batch_head);

	for (unsigned i = 0; i < batch && i < size && head < size; i++) {
		OB_WRITE_ONCE(r->entry[head].inflight, 0);
		head = OB_READ_ONCE(r->entry[head].next);
	}
	OB_WRITE_ONCE(r->used_index, used);
}

static int split_start(struct vu_inflight *f, struct virtqueue_device *ring, uint32_t base)
{
	struct vhost_user_split_region *r = f->split;
	uint16_t used = ob_le16_load(&((const struct virtq_used *)(const void *)ring->map[VIRTQUEUE_DEVICE])->idx);

	if (OB_READ_ONCE(r->version) == 0) {
		split_clear(r, f->size, used);
		return virtqueue_device_set_base(ring, base);
	}
	if (OB_READ_ONCE(r->version) != VHOST_USER_INFLIGHT_VERSION || OB_READ_ONCE(r->entry_count) != f->size)
		return -EPROTO;
	split_mend(r, f->size, used);
	for (unsigned i = 0; i < f->size; i++) {
		if (OB_READ_ONCE(r->entry[i].inflight) != 0)
			found(f, (uint16_t)i, OB_READ_ONCE(r->entry[i].counter));
	}
	/* All that was taken is in the table, so the next one to be taken is known. */
	return virtqueue_device_set_base(ring, (uint16_t)(used + f->resumed_count)) == 0 ? 0 : -EPROTO;
}

/* ---- packed ---- */

/*
 * Where used descriptors go next and where they went before the batch that is on its way, in one store: nobody finds half of
 * it. A batch may be as long as the ring, so that only the wrap counters differ.
 */
union packed_used {
	struct {
		uint16_t index, old_index;
		uint8_t wrap, old_wrap, padding[2];
	};
	uint64_t all;
};
static_assert(offsetof(struct vhost_user_packed_region, used_index) % sizeof(uint64_t) == 0 &&
		      offsetof(struct vhost_user_packed_region, old_used_wrap) ==
			      offsetof(struct vhost_user_packed_region, used_index) + 5,
	      "QueueRegionPacked");

static void used_store(struct vhost_user_packed_region *r, uint16_t index, bool wrap, uint16_t old_index, bool old_wrap)
{
	const union packed_used used = {.index = index, .old_index = old_index, .wrap = wrap, .old_wrap = old_wrap};

	OB_WRITE_ONCE(*(uint64_t *)(void *)&r->used_index, used.all);
}

static union packed_used used_load(const struct vhost_user_packed_region *r)
{
	return (union packed_used){.all = OB_READ_ONCE(*(const uint64_t *)(const void *)&r->used_index)};
}

static void packed_clear(struct vhost_user_packed_region *r, uint16_t size, const struct virtqueue_device *ring)
{
	memset(r, 0, sizeof(*r) + size * sizeof(r->entry[0]));
	r->entry_count = size;
	used_store(r, ring->used_next, ring->used_wrap, ring->used_next, ring->used_wrap);
}

/* Whether the batch that was on its way when the server before us ended has reached the driver; as the text has it. */
static void packed_mend(struct vhost_user_packed_region *r, const struct virtqueue_device *ring)
{
	const struct virtq_packed_desc *desc = (const void *)ring->map[VIRTQUEUE_DESC];
	union packed_used used = used_load(r);
	uint16_t marks, available = used.old_wrap != 0 ? VIRTQ_PACKED_F_AVAIL : VIRTQ_PACKED_F_USED;

	if (used.old_index < ring->size && (used.index != used.old_index || used.wrap != used.old_wrap)) {
		marks = ob_le16_load(&desc[used.old_index].flags) & (VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED);
		if (marks != available) {
			OB_WRITE_ONCE(r->old_free_head, OB_READ_ONCE(r->free_head));
			used.old_index = used.index;
			used.old_wrap = used.wrap;
		}
	}
	OB_WRITE_ONCE(r->free_head, OB_READ_ONCE(r->old_free_head));
	used_store(r, used.old_index, used.old_wrap != 0, used.old_index, used.old_wrap != 0);
}

/*
 * The free list as the table has it: marks left behind on what is in it mean nothing. f->last tells from here on what is
 * free: NOT_USED.
 */
static void packed_free_list(struct vu_inflight *f)
{
	struct vhost_user_packed_region *r = f->packed;
	uint16_t index = OB_READ_ONCE(r->free_head);

	for (unsigned i = 0; i < f->size && index < f->size && f->last[index] != NOT_USED; i++) {
		f->last[index] = NOT_USED;
		OB_WRITE_ONCE(r->entry[index].inflight, 0);
		index = OB_READ_ONCE(r->entry[index].next);
	}
}

/* The chain of entries that begins at @head; each belongs to one chain alone. How many they are, or -EPROTO. */
static int packed_chain(struct vu_inflight *f, uint16_t head)
{
	const struct vhost_user_packed_region *r = f->packed;
	uint16_t count = OB_READ_ONCE(r->entry[head].count), index = head, last = head;

	if (count == 0 || count > f->size)
		return -EPROTO;
	for (unsigned i = 0; i < count; i++) {
		if (index >= f->size || f->taken[index])
			return -EPROTO;
		f->taken[index] = true;
		last = index;
		index = OB_READ_ONCE(r->entry[index].next);
		f->next[last] = index;
	}
	f->last[head] = last;
	return count;
}

/* What is in no chain is free. */
static void packed_link(struct vu_inflight *f)
{
	uint16_t head = f->size;

	for (unsigned i = f->size; i-- > 0;) {
		if (f->taken[i])
			continue;
		f->next[i] = head;
		OB_WRITE_ONCE(f->packed->entry[i].next, head);
		head = (uint16_t)i;
	}
	f->free_head = head;
	OB_WRITE_ONCE(f->packed->free_head, head);
	OB_WRITE_ONCE(f->packed->old_free_head, head);
}

static int packed_start(struct vu_inflight *f, struct virtqueue_device *ring, uint32_t base)
{
	struct vhost_user_packed_region *r = f->packed;
	bool fresh = OB_READ_ONCE(r->version) == 0;
	unsigned used, wrap, entries = 0;
	uint32_t avail, avail_wrap;
	int ret = fresh ? virtqueue_device_set_base(ring, base) : 0;

	if (ret != 0)
		return ret;
	if (fresh)
		packed_clear(r, f->size, ring);
	else if (OB_READ_ONCE(r->version) != VHOST_USER_INFLIGHT_VERSION || OB_READ_ONCE(r->entry_count) != f->size)
		return -EPROTO;
	else
		packed_mend(r, ring);
	if (!fresh)
		packed_free_list(f);
	for (unsigned i = 0; i < f->size && !fresh; i++) {
		int count;

		if (OB_READ_ONCE(r->entry[i].inflight) == 0)
			continue;
		count = packed_chain(f, (uint16_t)i);
		if (count < 0)
			return count;
		entries += (unsigned)count;
		found(f, (uint16_t)i, OB_READ_ONCE(r->entry[i].counter));
	}
	packed_link(f);
	used = f->used_index = used_load(r).index;
	wrap = f->used_wrap = used_load(r).wrap != 0;
	OB_WRITE_ONCE(r->version, VHOST_USER_INFLIGHT_VERSION);
	if (fresh)
		return 0;
	if (used >= ring->size || entries > ring->size)
		return -EPROTO;
	avail = used + entries;
	avail_wrap = wrap;
	if (avail >= ring->size) {
		avail -= ring->size;
		avail_wrap ^= 1;
	}
	return virtqueue_device_set_base(ring, avail | avail_wrap << 15 | used << 16 | (uint32_t)wrap << 31) == 0
		       ? 0
		       : -EPROTO;
}

/* ---- life ---- */

void vu_inflight_stop(struct vu_inflight *f)
{
	ob_free(f->resumed);
	ob_free(f->batch);
	ob_free(f->descs);
	ob_free(f->taken);
	*f = (struct vu_inflight){0};
}

int vu_inflight_start(struct vu_inflight *f, void *region, uint64_t features, uint16_t size,
		      struct virtqueue_device *ring, uint32_t base)
{
	bool packed = is_packed(features);
	int ret;

	*f = (struct vu_inflight){.size = size};
	if (region == NULL)
		return virtqueue_device_set_base(ring, base);
	f->resumed = ob_alloc(size * sizeof(*f->resumed));
	f->batch = ob_alloc(3u * size * sizeof(*f->batch));
	f->descs = packed ? ob_alloc(size * sizeof(*f->descs)) : NULL;
	f->taken = packed ? ob_alloc(size * sizeof(*f->taken)) : NULL;
	if (f->resumed == NULL || f->batch == NULL || (packed && (f->descs == NULL || f->taken == NULL))) {
		vu_inflight_stop(f);
		return -ENOMEM;
	}
	f->next = f->batch + size;
	f->last = f->next + size;
	if (packed)
		f->packed = region;
	else
		f->split = region;
	ret = packed ? packed_start(f, ring, base) : split_start(f, ring, base);
	if (ret != 0) {
		vu_inflight_stop(f);
		return ret;
	}
	qsort(f->resumed, f->resumed_count, sizeof(*f->resumed), by_counter);
	return 0;
}

/* ---- on the queue's CPU ---- */

/* What the entries hold of a chain, as the driver once wrote it, or as the client says by now. */
static int packed_resume(struct vu_inflight *f, struct virtqueue_device *ring, uint16_t head,
			 struct virtqueue_piece *pieces, unsigned piece_max, struct virtqueue_chain *chain)
{
	uint16_t index = head, last = f->last[head];
	unsigned count = 0;

	for (;;) {
		const struct vhost_user_packed_entry *e = &f->packed->entry[index];

		f->descs[count++] = (struct virtq_packed_desc){
			.addr = ob_cpu_to_le64(OB_READ_ONCE(e->address)),
			.len = ob_cpu_to_le32(OB_READ_ONCE(e->len_bytes)),
			.id = ob_cpu_to_le16(OB_READ_ONCE(e->id)),
			.flags = ob_cpu_to_le16(OB_READ_ONCE(e->flags)),
		};
		if (index == last)
			break;
		index = f->next[index];
	}
	return virtqueue_device_fetch_packed(ring, f->descs, count, pieces, piece_max, chain);
}

int vu_inflight_resume(struct vu_inflight *f, struct virtqueue_device *ring, struct virtqueue_piece *pieces,
		       unsigned piece_max, struct virtqueue_chain *chain, uint16_t *slot)
{
	if (f->resumed_next == f->resumed_count)
		return 0;
	*slot = f->resumed[f->resumed_next++].slot;
	return f->packed != NULL ? packed_resume(f, ring, *slot, pieces, piece_max, chain)
				 : virtqueue_device_fetch(ring, *slot, pieces, piece_max, chain);
}

/* Its descriptors in the ring are written over before it ends: others that end before it are put there. */
static void packed_take(struct vu_inflight *f, const struct virtqueue_device *ring, const struct virtqueue_chain *chain,
			uint16_t *slot)
{
	struct vhost_user_packed_region *r = f->packed;
	const struct virtq_packed_desc *descs = (const void *)ring->map[VIRTQUEUE_DESC];
	uint16_t head = f->free_head, index = head, last = head;
	unsigned place = chain->position;

	for (unsigned i = 0; i < chain->entries; i++) {
		struct vhost_user_packed_entry *e = &r->entry[index];
		const struct virtq_packed_desc *d = &descs[place];

		e->address = ob_le64_load(&d->addr);
		e->len_bytes = ob_le32_load(&d->len);
		e->id = ob_le16_load(&d->id);
		e->flags = ob_le16_load(&d->flags);
		last = index;
		index = f->next[index];
		if (++place == ring->size)
			place = 0;
	}
	f->last[head] = last;
	f->free_head = index;
	OB_WRITE_ONCE(r->entry[head].count, chain->entries);
	OB_WRITE_ONCE(r->entry[head].last, last);
	OB_WRITE_ONCE(r->entry[head].counter, f->counter++);
	/* A list that still has it comes before the mark: whoever ends in between has not taken it. */
	OB_WRITE_ONCE(r->entry[head].inflight, 1);
	OB_WRITE_ONCE(r->free_head, index);
	OB_WRITE_ONCE(r->old_free_head, index);
	*slot = head;
}

void vu_inflight_take(struct vu_inflight *f, const struct virtqueue_device *ring, const struct virtqueue_chain *chain,
		      uint16_t *slot)
{
	*slot = chain->id;
	if (f->split != NULL) {
		OB_WRITE_ONCE(f->split->entry[chain->id].counter, f->counter++);
		OB_WRITE_ONCE(f->split->entry[chain->id].inflight, 1);
	} else if (f->packed != NULL) {
		packed_take(f, ring, chain, slot);
	}
}

bool vu_inflight_push(struct vu_inflight *f, uint16_t slot, const struct virtqueue_chain *chain)
{
	if (f->split == NULL && f->packed == NULL)
		return true;
	if (f->batch_count == f->size)
		return false;
	f->batch[f->batch_count++] = slot;
	f->batch_entries = (uint16_t)(f->batch_entries + chain->entries);
	return true;
}

/* What the list gains is not taken from it again before it is published: this turn takes no more. */
static void packed_begin(struct vu_inflight *f, const struct virtqueue_device *ring)
{
	struct vhost_user_packed_region *r = f->packed;
	uint16_t old_index = f->used_index;
	bool old_wrap = f->used_wrap;

	for (unsigned i = 0; i < f->batch_count; i++) {
		uint16_t slot = f->batch[i], last = f->last[slot];

		f->next[last] = f->free_head;
		OB_WRITE_ONCE(r->entry[last].next, f->free_head);
		f->free_head = slot;
		OB_WRITE_ONCE(r->free_head, slot);
	}
	f->used_index = (uint16_t)(f->used_index + f->batch_entries);
	if (f->used_index >= ring->size) {
		f->used_index = (uint16_t)(f->used_index - ring->size);
		f->used_wrap = !f->used_wrap;
	}
	/* Last: it is the sign that a batch is on its way. */
	used_store(r, f->used_index, f->used_wrap, old_index, old_wrap);
}

void vu_inflight_begin(struct vu_inflight *f, const struct virtqueue_device *ring)
{
	if (f->packed != NULL && f->batch_count > 0)
		packed_begin(f, ring);
	for (unsigned i = 0; f->split != NULL && i < f->batch_count; i++) {
		uint16_t slot = f->batch[i];

		OB_WRITE_ONCE(f->split->entry[slot].next, OB_READ_ONCE(f->split->last_batch_head));
		OB_WRITE_ONCE(f->split->last_batch_head, slot);
	}
}

void vu_inflight_end(struct vu_inflight *f, const struct virtqueue_device *ring)
{
	struct vhost_user_packed_region *r = f->packed;

	if (f->batch_count == 0)
		return;
	for (unsigned i = 0; i < f->batch_count; i++) {
		if (r != NULL)
			OB_WRITE_ONCE(r->entry[f->batch[i]].inflight, 0);
		else
			OB_WRITE_ONCE(f->split->entry[f->batch[i]].inflight, 0);
	}
	f->batch_count = f->batch_entries = 0;
	if (r == NULL) {
		OB_WRITE_ONCE(f->split->used_index, ring->used_next);
		return;
	}
	OB_WRITE_ONCE(r->old_free_head, f->free_head);
	used_store(r, f->used_index, f->used_wrap, f->used_index, f->used_wrap);
}
