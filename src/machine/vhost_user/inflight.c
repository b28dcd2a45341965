/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back-end's table of requests in flight ("Inflight I/O tracking"), which we keep so that its successor learns what it
 * had taken from the rings and not answered. Only back-ends read and write it, but for the one thing that the table alone
 * knows: where a packed ring was.
 *
 * What is read is read from the file: the back-end has it too, and could make it shorter under a mapping.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <outboard/log.h>
#include <outboard/mmio.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/vhost_user/vhost_user.h"
#include "spec/virtio.h"

static int nonsense(struct vu_machine *vm, const char *what)
{
	snprintf(vm->link.why, sizeof(vm->link.why), "the back-end's table of requests in flight %s", what);
	return -EPROTO;
}

void vu_inflight_drop(struct vu_machine *vm)
{
	io_close(&vm->inflight.fd);
}

/* How many queues there are, and how large the largest is. */
static void measure(const struct vu_machine *vm, struct vhost_user_inflight *desc)
{
	*desc = (struct vhost_user_inflight){0};
	for (unsigned i = 0; i < vm->queue_count; i++) {
		if (!vm->queue[i].set_up)
			continue;
		desc->queue_count = (uint16_t)(i + 1);
		desc->queue_size = MAX(desc->queue_size, vm->queue[i].config.size);
	}
}

/* 0 also when the back-end has none to give: then there is none. */
static int get(struct vu_machine *vm)
{
	struct vu_inflight *table = &vm->inflight;
	struct vhost_message m, *reply;
	struct stat st;
	int ret;

	vhost_message_init(&m, VHOST_USER_GET_INFLIGHT_FD, false);
	measure(vm, &m.payload.inflight);
	if (m.payload.inflight.queue_count == 0)
		return 0; /* a table for nothing is one that a back-end may refuse to make */
	m.header.len_bytes = sizeof(m.payload.inflight);
	ret = vu_link_do(&vm->link, &m, &reply);
	if (ret != 0 || reply->payload.inflight.len_bytes == 0)
		return ret;
	table->desc = reply->payload.inflight;
	table->fd = vhost_message_take_fd(reply, 0);
	if (fstat(table->fd, &st) != 0 || !S_ISREG(st.st_mode) || table->desc.len_bytes > (uint64_t)st.st_size ||
	    table->desc.file_offset > (uint64_t)st.st_size - table->desc.len_bytes)
		return nonsense(vm, "is not as long as it says");
	/* Some leave these out of the answer. */
	table->desc.queue_count = m.payload.inflight.queue_count;
	table->desc.queue_size = m.payload.inflight.queue_size;
	return 0;
}

int vu_inflight_tell(struct vu_machine *vm)
{
	struct vhost_message m;
	int ret = 0;

	if (!vu_link_has(&vm->link, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	if (vm->inflight.fd < 0)
		ret = get(vm);
	if (ret != 0 || vm->inflight.fd < 0)
		return ret;
	vhost_message_init(&m, VHOST_USER_SET_INFLIGHT_FD, false);
	m.payload.inflight = vm->inflight.desc;
	m.header.len_bytes = sizeof(m.payload.inflight);
	vhost_message_add_fd(&m, vm->inflight.fd);
	return vu_link_do(&vm->link, &m, NULL);
}

/*
 * The used position of a packed ring: of the last batch that was committed. Whether the one that was under way when the
 * back-end ended was, the ring says: its first descriptor is no longer as the driver had made it available.
 */
static int packed_base(struct vu_machine *vm, unsigned index, uint32_t *base)
{
	const struct vu_queue *q = &vm->queue[index];
	const struct virtq_packed_desc *ring = vu_memory_at(vm, q->config.desc,
							    (uint64_t)q->config.size * sizeof(ring[0]));
	uint64_t stride = vm->inflight.desc.len_bytes / vm->inflight.desc.queue_count;
	struct vhost_user_packed_region region;
	uint32_t position;
	uint16_t mask = VIRTQ_PACKED_F_AVAIL | VIRTQ_PACKED_F_USED, available;

	if (ring == NULL || stride < sizeof(region) ||
	    pread(vm->inflight.fd, &region, sizeof(region), (off_t)(vm->inflight.desc.file_offset + index * stride)) !=
		    sizeof(region))
		return nonsense(vm, "cannot be read");
	if (region.version == 0)
		return 0; /* not begun, so nothing was taken from the ring */
	if (region.version != VHOST_USER_INFLIGHT_VERSION || region.used_index >= q->config.size ||
	    region.old_used_index >= q->config.size || region.used_wrap > 1 || region.old_used_wrap > 1)
		return nonsense(vm, "makes no sense");
	available = region.old_used_wrap ? VIRTQ_PACKED_F_AVAIL : VIRTQ_PACKED_F_USED;
	if ((ob_le16_load(&ring[region.old_used_index].flags) & mask) != available)
		position = region.used_index | FIELD_PREP(VHOST_USER_BASE_PACKED_WRAP, (uint32_t)region.used_wrap);
	else
		position = region.old_used_index |
			   FIELD_PREP(VHOST_USER_BASE_PACKED_WRAP, (uint32_t)region.old_used_wrap);
	*base = position | position << 16;
	return 0;
}

/* Of a split ring; NULL: it lies nowhere. */
static const struct virtq_used *used_of(struct vu_machine *vm, unsigned index)
{
	const struct machine_virtio_queue *config = &vm->queue[index].config;

	return vu_memory_at(vm, config->device, VIRTQ_USED_BYTES(config->size));
}

int vu_inflight_base(struct vu_machine *vm, unsigned index, uint32_t *base)
{
	const struct virtq_used *used = used_of(vm, index);

	if (index >= vm->inflight.desc.queue_count)
		return nonsense(vm, "has not all queues");
	if ((vm->accepted & BIT64(VIRTIO_F_RING_PACKED)) != 0)
		return packed_base(vm, index, base);
	if (used == NULL)
		return nonsense(vm, "has no ring");
	*base = ob_le16_load(&used->idx);
	return 0;
}

/*
 * A split ring's used index; of a packed one what the table says. Without a table a packed ring is begun anew with each
 * back-end, and what tells is its first descriptor: the device turns USED around each time it writes it (VIRTIO 1.2 §2.8.1).
 * An even number of times looks like none: that can be borne where several back-ends have to be mistaken in a row.
 */
uint32_t vu_inflight_mark(struct vu_machine *vm, unsigned index)
{
	const struct virtq_packed_desc *ring = vu_memory_at(vm, vm->queue[index].config.desc, sizeof(ring[0]));
	const struct virtq_used *used;
	uint32_t mark = 0;

	if ((vm->accepted & BIT64(VIRTIO_F_RING_PACKED)) == 0) {
		used = used_of(vm, index);
		return used != NULL ? ob_le16_load(&used->idx) : 0;
	}
	if (vm->inflight.fd >= 0)
		return vu_inflight_base(vm, index, &mark) == 0 ? mark : 0;
	return ring != NULL ? ob_le16_load(&ring->flags) & VIRTQ_PACKED_F_USED : 0;
}
