/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user machine: one virtio device that another process serves, over a socket (QEMU's "Vhost-user Protocol").
 * Rings and buffers are in memory that both processes have; notifications and interrupts are eventfds.
 *
 * All that the back-end was told is kept here as well (memory, features, queues): a back-end that comes back is told it
 * again. What becomes of requests that were in flight then is in restore.c.
 *
 * Threads: CPU 0's for the device, any for memory, and one of the machine's own that watches the connection. One lock
 * guards all of it; it is held for questions and answers, so for at most some answer_ns, but not while anybody waits for a
 * back-end to come back.
 */
#ifndef OB_MACHINE_VHOST_USER_VHOST_USER_H
#define OB_MACHINE_VHOST_USER_VHOST_USER_H

#include <pthread.h>

#include "machine/arena.h"
#include "machine/machine.h"
#include "machine/vhost_user/link.h"
#include "machine/vhost_user/uri.h"

#define VU_REGIONS_MAX 32

enum vu_state {
	VU_UP,
	VU_LOST, /* the connection is gone; somebody may come back */
	VU_DEAD,
};

/* A piece of memory that both have. */
struct vu_region {
	uint8_t *base; /* NULL: none */
	uint64_t iova; /* what the back-end calls it; has nothing to do with .base */
	uint64_t len_bytes;
	int fd;
	bool told; /* the back-end of this connection knows of it */
	struct machine_arena arena;
};

struct vu_memory {
	struct machine_arena addresses; /* for regions */
	struct vu_region region[VU_REGIONS_MAX];
};

struct vu_queue {
	int kick_fd, call_fd; /* -1: never used */
	/* __atomic: kicks that began and that ended; watch.c ends one that waits. No more once it is mute. */
	uint32_t kick_begun, kick_ended;
	bool mute;
	struct machine_virtio_queue config;
	bool set_up;   /* by the driver */
	bool told;     /* the back-end of this connection serves it */
	bool served;   /* some back-end did, since it was set up */
	uint32_t mark; /* vu_inflight_mark() when this back-end took it over */
	/* It was told to stop, and was not seen at rest since; what it said then. */
	bool stopping;
	uint32_t stop_base;
};

/* The back-end's table of requests in flight, kept for its successor. */
struct vu_inflight {
	int fd; /* -1: none */
	struct vhost_user_inflight desc;
};

struct vu_machine {
	struct machine machine; /* first */
	struct vu_uri uri;
	pthread_mutex_t lock;
	enum vu_state state;
	char why[3 * VU_WHY_MAX]; /* it is lost or dead */
	struct vu_link link;
	struct vu_memory memory;
	/* the device */
	uint32_t type;
	uint64_t offered; /* to the driver */
	uint64_t accepted;
	bool has_accepted, started;
	bool needs_reset; /* __atomic */
	unsigned queue_count;
	struct vu_queue queue[VHOST_USER_QUEUES_MAX];
	struct vu_inflight inflight;
	uint32_t config_len;
	uint8_t config[VHOST_USER_CONFIG_MAX]; /* as last read, or ours */
	int config_fd, error_fd;
	struct machine_virtio_device device;
	struct machine_bus buses[2];
	/* watch.c */
	pthread_t watcher;
	bool watching;
	int wake_fd;
	uint32_t kicks_seen;         /* how many had begun at the last look */
	uint64_t errors_ns, news_ns; /* when errors of rings, and what the back-end says, are looked at again */
	bool stopping;               /* __atomic */
	/* restore.c */
	uint64_t lost_ns;       /* when */
	uint64_t since_ns;      /* … since when no back-end was of use */
	uint64_t came_ns;       /* when the present one came */
	bool on_trial;          /* it was not the first */
	bool moved;             /* it answered requests of a queue that it was told to stop */
	unsigned vain_count;    /* came since since_ns, and went */
	unsigned restore_count; /* a back-end came back */
	unsigned reset_count;   /* … and the driver had to begin anew */
};

static inline struct vu_machine *vu_of(struct machine *m)
{
	return (struct vu_machine *)(void *)m;
}

extern const struct machine_type vhost_user_machine_type;

/* ---- vhost_user.c ---- */

/* The connection is of no use any more: what an error of the link means for the machine. Under the lock. */
void vu_link_failed(struct vu_machine *vm, int error);
/* Under the lock. No argument may lie in vm->why. */
void vu_die(struct vu_machine *vm, const char *format, ...) OB_PRINTF(2, 3);

/* ---- memory.c; under the lock, but for the first two ---- */

int vu_dma_alloc(struct machine *m, size_t len_bytes, size_t align_bytes, struct machine_dma_memory *out);
void vu_dma_free(struct machine *m, struct machine_dma_memory *memory);
int vu_memory_init(struct vu_machine *vm);
void vu_memory_fini(struct vu_machine *vm);
/* Tell the back-end of all of it. As vu_link_do(). */
int vu_memory_tell(struct vu_machine *vm);
/* The back-end is gone, and with it what it knew. */
void vu_memory_forget(struct vu_machine *vm);
/* Where @len_bytes at @iova are; NULL: not in one region. */
void *vu_memory_at(struct vu_machine *vm, uint64_t iova, uint64_t len_bytes);

/* ---- device.c: the virtio device ---- */

extern const struct machine_virtio_ops vu_device_ops;

/* What a back-end is, and what of it a driver gets to see. 0; negative errno, and vm->link.why. */
int vu_device_init(struct vu_machine *vm);
/* Would the driver find with this back-end what it was promised? 0; -EPROTO with words in @why. Under the lock. */
int vu_device_check(struct vu_machine *vm, const struct vu_link *link, char *why, size_t why_bytes);
/* Tell the back-end what the driver accepted. Under the lock. As vu_link_do(). */
int vu_device_tell(struct vu_machine *vm);
/* The configuration or needs_reset changed. */
void vu_device_signal(struct vu_machine *vm);

/* ---- queue.c ---- */

/* The eventfds of a queue. 0; negative errno. Under the lock. */
int vu_queue_open(struct vu_queue *q);
void vu_queue_close(struct vu_queue *q);
/* Have the back-end serve all queues that are set up; @again: some were served by one before it. Under the lock. */
int vu_queues_tell(struct vu_machine *vm, bool again);
int vu_queue_tell(struct vu_machine *vm, unsigned index);
/*
 * The text has a ring start at its first kick; and what was made known before that is not lost. Behind a successful
 * vu_queues_tell() or vu_queue_tell(), and without the lock: a kick may wait until the watcher ends it.
 */
void vu_queues_begin(struct vu_machine *vm);
/* Take them away from it. Without the lock; a task. 0; -ETIMEDOUT; as vu_link_do() */
int vu_queues_stop(struct vu_machine *vm, uint64_t deadline_ns);
int vu_queue_stop(struct vu_machine *vm, unsigned index, uint64_t deadline_ns);
/* Has this back-end answered any request? Under the lock. */
bool vu_queues_have_moved(struct vu_machine *vm);
/* No back-end works on a queue that was taken away from it. Under the lock. */
bool vu_queues_are_at_rest(const struct vu_machine *vm);
void vu_queue_kick(struct vu_queue *q);
/* Take what the eventfd counted. */
void vu_queue_silence(const struct vu_queue *q);

/* ---- inflight.c; under the lock ---- */

/* Get a table from the back-end, or give it the one of its predecessor. As vu_link_do(). */
int vu_inflight_tell(struct vu_machine *vm);
void vu_inflight_drop(struct vu_machine *vm);
/* Where the queue's next back-end is to go on (VHOST_USER_BASE_*): 0, or -EPROTO when ring and table are nonsense. */
int vu_inflight_base(struct vu_machine *vm, unsigned index, uint32_t *base);
/* Something that changes when the back-end answers requests of this queue, all but always. */
uint32_t vu_inflight_mark(struct vu_machine *vm, unsigned index);

/* ---- restore.c ---- */

/* The connection was just lost. Under the lock. */
void vu_restore_begin(struct vu_machine *vm);
/* Until somebody has come back, it is given up, or all ends. The watcher. */
void vu_restore_await(struct vu_machine *vm);

/* ---- watch.c ---- */

int vu_watch_start(struct vu_machine *vm);
void vu_watch_stop(struct vu_machine *vm);
bool vu_watch_is_stopping(const struct vu_machine *vm);
/* Nothing for so long, unless there is something to look at. False: this is to end. The watcher. */
bool vu_watch_rest(struct vu_machine *vm, uint64_t pause_ns);
/* What is left of the connection goes, so that whoever is at its other end notices, too. The watcher. */
void vu_watch_hang_up(struct vu_machine *vm);
bool vu_is_in_state(struct vu_machine *vm, enum vu_state state);
/* Have the watcher look. Any thread. */
void vu_watch_wake(struct vu_machine *vm);

#endif
