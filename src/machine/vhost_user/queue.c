/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues: made known to the back-end, and taken away from it ("Ring states"). */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>

#include <outboard/cpu.h>
#include <outboard/mmio.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/vhost_user/vhost_user.h"
#include "spec/virtio.h"

#define LOOK_NS (20 * OB_NS_PER_US) /* between looks at a queue that is to come to rest, at first */

int vu_queue_open(struct vu_queue *q)
{
	if (q->kick_fd >= 0)
		return 0;
	q->kick_fd = io_above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (q->kick_fd < 0)
		return -EMFILE;
	q->call_fd = io_above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (q->call_fd >= 0)
		return 0;
	io_close(&q->kick_fd);
	return -EMFILE;
}

void vu_queue_close(struct vu_queue *q)
{
	io_close(&q->kick_fd);
	io_close(&q->call_fd);
}

/*
 * The back-end has the eventfd, too: it could fill it, and make the descriptor one that waits. No flag prevents that, but
 * anybody who reads it ends the wait, and so does the watcher (watch.c).
 */
void vu_queue_kick(struct vu_queue *q)
{
	if (OB_UNLIKELY(__atomic_load_n(&q->mute, __ATOMIC_RELAXED)))
		return;
	__atomic_fetch_add(&q->kick_begun, 1, __ATOMIC_RELAXED);
	io_event_fire(q->kick_fd);
	__atomic_fetch_add(&q->kick_ended, 1, __ATOMIC_RELEASE);
}

void vu_queue_silence(const struct vu_queue *q)
{
	if (q->call_fd >= 0)
		(void)io_event_take(q->call_fd);
}

/* ---- begin ---- */

static int tell_fd(struct vu_machine *vm, unsigned request, unsigned index, int fd)
{
	struct vhost_message m;

	vhost_message_init_u64(&m, request, false, FIELD_PREP(VHOST_USER_VRING_INDEX, index));
	vhost_message_add_fd(&m, fd);
	return vu_link_do(&vm->link, &m, NULL);
}

static int tell_address(struct vu_machine *vm, unsigned index, const struct machine_virtio_queue *config)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_USER_SET_VRING_ADDR, false);
	m.payload.address = (struct vhost_user_address){
		.index = index,
		.descriptors = config->desc,
		.used = config->device,
		.available = config->driver,
	};
	m.header.len_bytes = sizeof(m.payload.address);
	return vu_link_do(&vm->link, &m, NULL);
}

/* A queue that nobody has touched yet: at the beginning, in the first round (VIRTIO 1.2 §2.8.1). */
static uint32_t first_base(const struct vu_machine *vm)
{
	return (vm->accepted & BIT64(VIRTIO_F_RING_PACKED)) != 0
		       ? VHOST_USER_BASE_PACKED_WRAP | VHOST_USER_BASE_PACKED_USED_WRAP
		       : 0;
}

/* The first that the back-end hears of a queue. */
static int name_queue(struct vu_machine *vm, unsigned index)
{
	return tell_fd(vm, VHOST_USER_SET_VRING_CALL, index, vm->queue[index].call_fd);
}

static int describe_queue(struct vu_machine *vm, unsigned index, bool again)
{
	struct vu_queue *q = &vm->queue[index];
	uint32_t base = first_base(vm);
	int ret = again ? vu_inflight_base(vm, index, &base) : 0;

	if (ret != 0)
		return ret;
	q->mark = vu_inflight_mark(vm, index);
	q->told = q->served = true; /* some of it may arrive, whatever comes back */
	q->stopping = false;
	ret = vu_link_tell_state(&vm->link, VHOST_USER_SET_VRING_NUM, index, q->config.size);
	if (ret == 0)
		ret = vu_link_tell_state(&vm->link, VHOST_USER_SET_VRING_BASE, index, base);
	if (ret == 0)
		ret = tell_address(vm, index, &q->config);
	if (ret == 0)
		ret = tell_fd(vm, VHOST_USER_SET_VRING_ERR, index, vm->error_fd);
	if (ret == 0)
		ret = tell_fd(vm, VHOST_USER_SET_VRING_KICK, index, q->kick_fd);
	if (ret == 0 && vm->link.has_protocol)
		ret = vu_link_tell_state(&vm->link, VHOST_USER_SET_VRING_ENABLE, index, 1);
	return ret == 0 ? vu_link_settle(&vm->link) : ret;
}

int vu_queue_tell(struct vu_machine *vm, unsigned index)
{
	int ret = name_queue(vm, index);

	return ret == 0 ? describe_queue(vm, index, false) : ret;
}

/*
 * All are named before the first is described, as QEMU and DPDK do. A back-end makes a queue when it is named; so all lie
 * side by side, where otherwise it is the length of one ring that decides where in memory the next queue is. DPDK's can
 * come to lie such that each frame costs a store across two pages.
 */
int vu_queues_tell(struct vu_machine *vm, bool again)
{
	int ret = vu_inflight_tell(vm);

	for (unsigned i = 0; i < vm->queue_count && ret == 0; i++)
		if (vm->queue[i].set_up)
			ret = name_queue(vm, i);
	for (unsigned i = 0; i < vm->queue_count && ret == 0; i++)
		if (vm->queue[i].set_up)
			ret = describe_queue(vm, i, again && vm->queue[i].served);
	return ret;
}

static bool is_told(struct vu_machine *vm, unsigned index)
{
	bool told;

	pthread_mutex_lock(&vm->lock);
	told = vm->state == VU_UP && vm->queue[index].set_up && vm->queue[index].told;
	pthread_mutex_unlock(&vm->lock);
	return told;
}

void vu_queues_begin(struct vu_machine *vm)
{
	for (unsigned i = 0; i < vm->queue_count; i++)
		if (is_told(vm, i))
			vu_queue_kick(&vm->queue[i]);
}

/* ---- end ---- */

/*
 * Is nothing in flight where the back-end stopped? A split ring's used index is where the available one was then; of a
 * packed one the back-end says both.
 */
static bool is_at_rest(struct vu_machine *vm, const struct vu_queue *q, uint32_t base)
{
	const struct virtq_used *used;

	if ((vm->accepted & BIT64(VIRTIO_F_RING_PACKED)) != 0)
		return base >> 16 == 0 || (base & BITS(15, 0)) == base >> 16;
	used = vu_memory_at(vm, q->config.device, VIRTQ_USED_BYTES(q->config.size));
	return used == NULL || ob_le16_load(&used->idx) == (uint16_t)base;
}

static void sleep_until(uint64_t until_ns)
{
	uint64_t now_ns = ob_now_ns();

	if (ob_task_current() != NULL)
		ob_task_sleep(until_ns);
	else if (until_ns > now_ns)
		nanosleep(&(struct timespec){.tv_nsec = (long)(until_ns - now_ns)}, NULL);
}

static enum vu_state state_of(struct vu_machine *vm)
{
	enum vu_state state;

	pthread_mutex_lock(&vm->lock);
	state = vm->state;
	pthread_mutex_unlock(&vm->lock);
	return state;
}

static bool has_moved(struct vu_machine *vm, unsigned index)
{
	const struct vu_queue *q = &vm->queue[index];

	return q->set_up && q->told && vu_inflight_mark(vm, index) != q->mark;
}

bool vu_queues_have_moved(struct vu_machine *vm)
{
	bool moved = vm->moved;

	for (unsigned i = 0; i < vm->queue_count && !moved; i++)
		moved = has_moved(vm, i);
	return moved;
}

/* The back-end took no more from it, but may still write answers to what it had taken, as long as it is there. */
static int await_rest(struct vu_machine *vm, struct vu_queue *q, uint32_t base, uint64_t deadline_ns)
{
	for (uint64_t pause_ns = LOOK_NS; !is_at_rest(vm, q, base); pause_ns = MIN(2 * pause_ns, OB_NS_PER_MS)) {
		enum vu_state state = state_of(vm);

		if (state == VU_DEAD)
			return -ENODEV;
		if (state == VU_LOST)
			break;
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		sleep_until(ob_deadline(pause_ns));
	}
	pthread_mutex_lock(&vm->lock);
	q->stopping = false;
	pthread_mutex_unlock(&vm->lock);
	/* Its last answers are seen whole. */
	ob_dma_rmb();
	return 0;
}

/*
 * 0 and *stopped false: it was not running. One that did not come to rest in time is asked nothing more, but is to be waited
 * for again: whoever tries a second time is not to find it idle.
 */
static int tell_stop(struct vu_machine *vm, unsigned index, uint32_t *base, bool *stopped)
{
	struct vu_queue *q = &vm->queue[index];
	struct vhost_message m, *reply;
	int ret = 0;

	*stopped = false;
	if (vm->state != VU_UP)
		return vm->state == VU_DEAD ? -ENODEV : 0;
	if (!q->told) {
		*stopped = q->stopping;
		*base = q->stop_base;
		return 0;
	}
	if (vm->link.has_protocol)
		ret = vu_link_tell_state(&vm->link, VHOST_USER_SET_VRING_ENABLE, index, 0);
	vhost_message_init_state(&m, VHOST_USER_GET_VRING_BASE, false, index, 0);
	if (ret == 0)
		ret = vu_link_do(&vm->link, &m, &reply);
	if (ret == 0 && reply->payload.state.index != index) {
		snprintf(vm->link.why, sizeof(vm->link.why), "GET_VRING_BASE of queue %u is answered for queue %u",
			 index, reply->payload.state.index);
		ret = -EPROTO;
	}
	if (ret == 0)
		vm->moved |= has_moved(vm, index);
	q->told = false;
	if (ret == -EREMOTEIO) {
		/* It serves on what is to be taken from it. */
		vu_die(vm, "%s", vm->link.why);
		return -ENODEV;
	}
	if (ret != 0) {
		vu_link_failed(vm, ret);
		return vm->state == VU_LOST ? 0 : ret;
	}
	*base = q->stop_base = reply->payload.state.value;
	*stopped = q->stopping = true;
	return 0;
}

bool vu_queues_are_at_rest(const struct vu_machine *vm)
{
	for (unsigned i = 0; i < vm->queue_count && vm->state == VU_UP; i++)
		if (vm->queue[i].stopping)
			return false;
	return true;
}

int vu_queue_stop(struct vu_machine *vm, unsigned index, uint64_t deadline_ns)
{
	uint32_t base = 0;
	bool stopped;
	int ret;

	pthread_mutex_lock(&vm->lock);
	ret = tell_stop(vm, index, &base, &stopped);
	pthread_mutex_unlock(&vm->lock);
	return ret == 0 && stopped ? await_rest(vm, &vm->queue[index], base, deadline_ns) : ret;
}

int vu_queues_stop(struct vu_machine *vm, uint64_t deadline_ns)
{
	uint32_t base[VHOST_USER_QUEUES_MAX];
	bool stopped[VHOST_USER_QUEUES_MAX] = {false};
	int ret = 0;

	/* All stop before any is waited for. */
	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < vm->queue_count && ret == 0; i++)
		ret = tell_stop(vm, i, &base[i], &stopped[i]);
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->queue_count && ret == 0; i++)
		if (stopped[i])
			ret = await_rest(vm, &vm->queue[i], base[i], deadline_ns);
	return ret;
}
