/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtqueue's device end (VIRTIO 1.2 §2.7, §2.8), for device models and for the vhost-user server.
 *
 * The driver at the other end is as untrusted as a device is to a driver: chains that loop, leave the table, are too long
 * or wrap around in length, indexes that jump, are all -EPROTO with a reason in words, and then the queue is broken for
 * good. Ring memory is read once; what counts is kept here, where the driver cannot write.
 *
 * One thread at a time. No allocation, no lock, no system call of its own.
 */
#ifndef OB_VIRTQUEUE_DEVICE_H
#define OB_VIRTQUEUE_DEVICE_H

#include <outboard/types.h>

/*
 * How the driver's memory is reached. A server that has it mapped gives map, and the rings are used in place; a model
 * gives the others. All addresses are the driver's, unchecked: -EACCES for what is not to be reached.
 */
struct virtqueue_memory_ops {
	/* A pointer to @len_bytes that are one piece in our memory too, for the queue's life; NULL: not to be had. */
	void *(*map)(void *context, uint64_t addr, uint64_t len_bytes, bool write);
	/* Naturally aligned accesses of 2, 4 and 8 bytes are single. 0; -EACCES. Not called when there is a map. */
	int (*read)(void *context, uint64_t addr, void *to, size_t len_bytes);
	/* One of these of a word that the driver may write meanwhile: what it announces is seen by later reads. */
	int (*look)(void *context, uint64_t addr, void *to, size_t len_bytes);
	int (*write)(void *context, uint64_t addr, const void *from, size_t len_bytes);
	/* A write whose last aligned dword is visible after the rest of it and after all earlier writes. */
	int (*publish)(void *context, uint64_t addr, const void *from, size_t len_bytes);
	/* Earlier writes are visible before later reads are made. */
	void (*fence)(void *context);
};

/* Where a queue is and what was negotiated. */
struct virtqueue_device_config {
	const struct virtqueue_memory_ops *memory;
	void *context;
	uint64_t features;             /* negotiated; bits of spec/virtio.h */
	uint64_t desc, driver, device; /* addresses of the three areas */
	uint16_t size;                 /* entries; split: a power of two */
	uint16_t chain_max;            /* pieces of the longest chain that is taken; 0: as many as there are entries */
};

struct virtq_packed_desc; /* spec/virtio.h */

struct virtqueue_piece {
	uint64_t addr;
	uint32_t len_bytes;
	bool write; /* we write it */
};

/* A request of the driver's. The pieces are in the caller's array: first out_count to be read, then in_count to be
 * written. */
struct virtqueue_chain {
	uint16_t id;       /* split: index of its head; packed: the buffer id; below size */
	uint16_t entries;  /* packed: of the ring */
	uint16_t position; /* its place: split: avail index, free running; packed: index of its first descriptor */
	uint16_t out_count, in_count;
	uint32_t in_bytes;  /* room for what we write */
	uint64_t out_bytes; /* to be read */
};

enum virtqueue_area {
	VIRTQUEUE_DESC,
	VIRTQUEUE_DRIVER,
	VIRTQUEUE_DEVICE,
	VIRTQUEUE_AREAS
};

struct virtqueue_device {
	/* Read these. */
	bool broken;
	const char *why;    /* words, which belong to nobody; or NULL */
	uint16_t in_flight; /* split: requests; packed: ring entries: taken and not given back */
	/* private */
	struct virtqueue_device_config config;
	bool packed, event_idx, indirect, mapped;
	bool avail_wrap, used_wrap; /* packed */
	bool kicks_on;
	uint16_t size, chain_max;
	uint16_t avail_next;  /* split: free running; packed: ring index of the next to be taken */
	uint16_t avail_seen;  /* split: the driver's index as last read */
	uint16_t used_next;   /* split: free running; packed: ring index of the next to be written */
	uint16_t used_public; /* split: as the driver can see it */
	uint16_t used_told;   /* split: as it was at the last must_signal(); packed: entries used since */
	bool held;            /* packed: a used descriptor waits for the publish */
	uint16_t held_index;
	uint64_t held_word;
	uint8_t *map[VIRTQUEUE_AREAS]; /* where mapped */
	uint64_t addr[VIRTQUEUE_AREAS];
};

/**
 * virtqueue_device_init - a queue as the driver has set it up, from its beginning
 * @q: the caller's memory
 *
 * Return: 0; -EINVAL a size or an alignment that the spec forbids; -EACCES its memory is not to be reached. q->why says
 * more.
 */
int virtqueue_device_init(struct virtqueue_device *q, const struct virtqueue_device_config *config);

/*
 * Where the queue stands: what vhost-user calls the base. Split: the avail index; the used index is read back from the
 * ring, once. Packed: bits 14:0 and 15 the avail index and its wrap counter, 30:16 and 31 those of used.
 */
uint32_t virtqueue_device_base(const struct virtqueue_device *q);
/** virtqueue_device_set_base - before the first pop. 0; -EINVAL; -EACCES */
int virtqueue_device_set_base(struct virtqueue_device *q, uint32_t base);

/**
 * virtqueue_device_pop - the next request
 * @pieces: room for @piece_max, which is at least chain_max
 *
 * Indirect tables are resolved; they are read once. Each piece has a length; none is checked against memory: that is for
 * whoever uses the address.
 * Return: 1; 0 none; -EPROTO the driver broke the rules, -EACCES the rings cannot be reached: q->why; then it is broken.
 */
int virtqueue_device_pop(struct virtqueue_device *q, struct virtqueue_piece *pieces, unsigned piece_max,
			 struct virtqueue_chain *out);

/**
 * virtqueue_device_fetch - a request that was taken before, again (split rings): what a server that died had in flight
 * @head: its id
 *
 * It counts as in flight already if virtqueue_device_set_base() was given a base behind it. Return as of pop;
 * -EOPNOTSUPP packed.
 */
int virtqueue_device_fetch(struct virtqueue_device *q, uint16_t head, struct virtqueue_piece *pieces,
			   unsigned piece_max, struct virtqueue_chain *out);

/**
 * virtqueue_device_fetch_packed - the same for packed rings, whose descriptors are written over: from a copy of them
 * @descs: @count, as the driver had them; private memory
 *
 * Return as of pop; -EOPNOTSUPP split.
 */
int virtqueue_device_fetch_packed(struct virtqueue_device *q, const struct virtq_packed_desc *descs, unsigned count,
				  struct virtqueue_piece *pieces, unsigned piece_max, struct virtqueue_chain *out);

/**
 * virtqueue_device_push - done with a request; seen by the driver at virtqueue_device_publish()
 * @written_bytes: at the front of its writable pieces; at most in_bytes
 *
 * In the order of the pops where VIRTIO_F_IN_ORDER was negotiated. Return: 0; -EPROTO; -EACCES.
 */
int virtqueue_device_push(struct virtqueue_device *q, const struct virtqueue_chain *chain, uint32_t written_bytes);

/** virtqueue_device_publish - what was pushed becomes visible to the driver. 0; -EACCES */
int virtqueue_device_publish(struct virtqueue_device *q);

/** virtqueue_device_must_signal - after a publish: does the driver want to be interrupted for it? */
bool virtqueue_device_must_signal(struct virtqueue_device *q);

/** virtqueue_device_arm - ask the driver to kick for the next request; true: one is there already, so look again */
bool virtqueue_device_arm(struct virtqueue_device *q);
/** virtqueue_device_disarm - no kicks, please: we look anyway */
void virtqueue_device_disarm(struct virtqueue_device *q);

#endif
