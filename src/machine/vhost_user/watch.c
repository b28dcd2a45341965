/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's thread. It hears what the back-end has to say (a change of the configuration, an error of a ring), sees
 * that the back-end has gone, and waits for it to come back (restore.c).
 *
 * A back-end that hangs says nothing, and need not be asked anything for as long as the device works. So one that has been
 * silent is asked whether it is there; that holds nobody up (vu_link_ping()).
 *
 * A back-end has no way to keep the thread busy: whatever it fills as fast as it is read is read less often then.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/vhost_user/vhost_user.h"

#define BURST_MAX   64                   /* messages of the back-end before anything else is looked at */
#define NEWS_NS     (10 * OB_NS_PER_MS)  /* … and from so many to the next */
#define ERRORS_NS   (100 * OB_NS_PER_MS) /* from an error of a ring to the next look for one */
#define READS_NS    OB_NS_PER_MS         /* from one read of what a kick waits for to the next */
#define JOIN_NS     (10 * OB_NS_PER_MS)  /* between looks at why the thread does not end */
#define KICKS_NS    (100 * OB_NS_PER_MS) /* between looks at them, while there are any */
#define DEAD_NS     OB_NS_PER_S          /* … when nothing else is to be looked at any more */
#define IDLE_MAX_NS (24 * 3600 * OB_NS_PER_S)

/* ---- what the back-end says by itself ---- */

/* 0; or the error that ends the connection. Under the lock. */
static int take_request(struct vu_machine *vm, struct vhost_message *m, char *why, size_t why_bytes)
{
	bool wants_reply = (m->header.flags & VHOST_USER_FLAGS_NEED_REPLY) != 0;
	int ret = vhost_check_request(VHOST_BACKEND, m, why, why_bytes);
	uint64_t answer = 0;

	if (ret == -EPROTO)
		return ret;
	if (ret == 0 && m->header.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)
		vu_device_signal(vm);
	else
		answer = 1; /* nothing else was agreed on */
	if (!wants_reply)
		return 0;
	vhost_message_close(m);
	m->payload.u64 = answer;
	vhost_message_make_reply(m, sizeof(m->payload.u64));
	return vhost_send(vm->link.backend_fd, m, ob_deadline(vm->uri.answer_ns));
}

static void hear(struct vu_machine *vm, struct vhost_receiver *receiver)
{
	char *why = vm->link.why;
	int ret = 0;

	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < BURST_MAX && ret == 0 && vm->state == VU_UP; i++) {
		ret = vhost_receive_some(vm->link.backend_fd, receiver, why, sizeof(vm->link.why));
		if (ret == 0)
			ret = take_request(vm, &receiver->message, why, sizeof(vm->link.why));
	}
	/* That it closes its channel alone means only that there will be no more news. */
	if (ret == -ENODEV)
		io_close(&vm->link.backend_fd);
	else if (ret != 0 && ret != -EAGAIN)
		vu_link_failed(vm, ret);
	else if (ret == 0)
		vm->news_ns = ob_deadline(NEWS_NS);
	pthread_mutex_unlock(&vm->lock);
}

/* Which queue it is it does not say. */
static void hear_error(struct vu_machine *vm)
{
	vm->errors_ns = ob_deadline(ERRORS_NS);
	if (!io_event_take(vm->error_fd))
		return;
	if (!__atomic_exchange_n(&vm->needs_reset, true, __ATOMIC_ACQ_REL))
		ob_warn(vm->machine.ob, "vhost-user: %s: the back-end reports an error of a ring", vm->uri.path);
	vu_device_signal(vm);
}

/* ---- is it there? ---- */

/* Under the lock. When there is something to do about it. */
static uint64_t next_ping_ns(const struct vu_machine *vm)
{
	const struct vu_link *link = &vm->link;

	if (vm->state != VU_UP)
		return UINT64_MAX;
	return link->asked ? link->asked_ns + link->answer_ns : link->heard_ns + link->answer_ns / 2;
}

/* Something has arrived, or has not in time. */
static void ping(struct vu_machine *vm)
{
	int ret = 0;

	pthread_mutex_lock(&vm->lock);
	if (vm->state == VU_UP && vm->link.asked)
		ret = vu_link_pong(&vm->link);
	else if (ob_now_ns() >= next_ping_ns(vm))
		ret = vu_link_ping(&vm->link);
	if (ret != 0 && ret != -EAGAIN)
		vu_link_failed(vm, ret);
	pthread_mutex_unlock(&vm->lock);
}

/* ---- kicks ---- */

static bool is_kicking(const struct vu_queue *q)
{
	uint32_t ended = __atomic_load_n(&q->kick_ended, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&q->kick_begun, __ATOMIC_RELAXED) != ended;
}

/* Is there a kick that waits until somebody reads? */
static bool is_kick_stuck(const struct vu_queue *q)
{
	return is_kicking(q) && io_wait(q->kick_fd, POLLOUT, 0) != 0;
}

/* Kicks alone do not fill it in a thousand years. */
static void free_kick(struct vu_machine *vm, unsigned index)
{
	struct vu_queue *q = &vm->queue[index];

	__atomic_store_n(&q->mute, true, __ATOMIC_RELAXED);
	pthread_mutex_lock(&vm->lock);
	vu_die(vm, "the back-end has filled what queue %u is kicked by", index);
	pthread_mutex_unlock(&vm->lock);
	(void)io_event_take(q->kick_fd);
}

/* True: there were some, so look again soon. */
static bool look_at_kicks(struct vu_machine *vm)
{
	uint32_t before = vm->kicks_seen;

	vm->kicks_seen = 0;
	for (unsigned i = 0; i < vm->queue_count; i++) {
		if (OB_UNLIKELY(is_kick_stuck(&vm->queue[i])))
			free_kick(vm, i);
		vm->kicks_seen += __atomic_load_n(&vm->queue[i].kick_begun, __ATOMIC_RELAXED);
	}
	return vm->kicks_seen != before;
}

/* What was filled may be filled again before who waits for it gets his turn: so look until he did, but not all the time. */
static uint64_t dead_rest_ns(const struct vu_machine *vm)
{
	for (unsigned i = 0; i < vm->queue_count; i++)
		if (is_kicking(&vm->queue[i]))
			return READS_NS;
	return DEAD_NS;
}

/* ---- the thread ---- */

bool vu_is_in_state(struct vu_machine *vm, enum vu_state state)
{
	bool is;

	pthread_mutex_lock(&vm->lock);
	is = vm->state == state;
	pthread_mutex_unlock(&vm->lock);
	return is;
}

bool vu_watch_is_stopping(const struct vu_machine *vm)
{
	return __atomic_load_n(&vm->stopping, __ATOMIC_ACQUIRE);
}

bool vu_watch_rest(struct vu_machine *vm, uint64_t pause_ns)
{
	(void)look_at_kicks(vm);
	/* What is to be looked at is looked at behind it; but what comes after this is to stop. */
	(void)io_event_take(vm->wake_fd);
	if (!vu_watch_is_stopping(vm))
		(void)io_wait(vm->wake_fd, POLLIN, ob_deadline(pause_ns));
	return !vu_watch_is_stopping(vm);
}

void vu_watch_hang_up(struct vu_machine *vm)
{
	pthread_mutex_lock(&vm->lock);
	vu_link_close(&vm->link);
	pthread_mutex_unlock(&vm->lock);
}

/* Core says where to report only once the machine is open. */
static bool tell_dead(struct vu_machine *vm)
{
	void (*on_dead)(struct machine *, const char *) = __atomic_load_n(&vm->machine.on_dead, __ATOMIC_ACQUIRE);

	if (on_dead == NULL)
		return false;
	on_dead(&vm->machine, vm->why);
	return true;
}

/* What is not to be looked at before its time is left out, and looked at then. */
static int unless_resting(int fd, uint64_t rest_ns, uint64_t now_ns, uint64_t *until_ns)
{
	if (fd < 0 || now_ns >= rest_ns)
		return fd;
	*until_ns = MIN(*until_ns, rest_ns);
	return -1;
}

/* Until something happens. */
static void look(struct vu_machine *vm, struct vhost_receiver *receiver)
{
	enum {
		WAKE,
		ERROR,
		SOCKET,
		BACKEND,
		COUNT
	};
	struct pollfd p[COUNT];
	struct timespec timeout;
	uint64_t now_ns = ob_now_ns(), until_ns;

	pthread_mutex_lock(&vm->lock);
	until_ns = next_ping_ns(vm);
	p[WAKE] = (struct pollfd){.fd = vm->wake_fd, .events = POLLIN};
	p[ERROR] = (struct pollfd){.fd = unless_resting(vm->error_fd, vm->errors_ns, now_ns, &until_ns),
				   .events = POLLIN};
	/* What arrives there is for whoever asked. Only this thread closes these two. */
	p[SOCKET] = (struct pollfd){.fd = vm->link.fd, .events = POLLRDHUP | (vm->link.asked ? POLLIN : 0)};
	p[BACKEND] = (struct pollfd){.fd = unless_resting(vm->link.backend_fd, vm->news_ns, now_ns, &until_ns),
				     .events = POLLIN};
	pthread_mutex_unlock(&vm->lock);
	if (look_at_kicks(vm))
		until_ns = MIN(until_ns, ob_deadline(KICKS_NS));
	now_ns = ob_now_ns();
	until_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	timeout = (struct timespec){(time_t)(until_ns / OB_NS_PER_S), (long)(until_ns % OB_NS_PER_S)};
	if (ppoll(p, COUNT, until_ns > IDLE_MAX_NS ? NULL : &timeout, NULL) < 0)
		return;
	if (p[WAKE].revents != 0)
		(void)io_event_take(vm->wake_fd);
	if (p[ERROR].revents != 0)
		hear_error(vm);
	if (p[BACKEND].revents != 0)
		hear(vm, receiver);
	ping(vm);
	if ((p[SOCKET].revents & ~POLLIN) == 0)
		return;
	pthread_mutex_lock(&vm->lock);
	if (vm->state == VU_UP) {
		snprintf(vm->link.why, sizeof(vm->link.why), "the back-end closed the connection");
		vu_link_failed(vm, -ENODEV);
	}
	pthread_mutex_unlock(&vm->lock);
}

static void *watch(void *arg)
{
	struct vu_machine *vm = arg;
	struct vhost_receiver receiver;
	bool told = false;

	vhost_receiver_init(&receiver);
	while (!vu_watch_is_stopping(vm)) {
		if (vu_is_in_state(vm, VU_UP)) {
			look(vm, &receiver);
			continue;
		}
		/* What was half said is not said any more. */
		vhost_receiver_fini(&receiver);
		vhost_receiver_init(&receiver);
		if (vu_is_in_state(vm, VU_LOST)) {
			vu_restore_await(vm);
			continue;
		}
		/* Nothing more happens; but that it is dead may have to be said later. */
		vu_watch_hang_up(vm);
		if (!told)
			told = tell_dead(vm);
		(void)vu_watch_rest(vm, told ? dead_rest_ns(vm) : OB_NS_PER_MS);
	}
	vhost_receiver_fini(&receiver);
	return NULL;
}

void vu_watch_wake(struct vu_machine *vm)
{
	io_event_fire(vm->wake_fd);
}

int vu_watch_start(struct vu_machine *vm)
{
	sigset_t all, before;
	int ret;

	/* The program's signals are for the program's threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&vm->watcher, NULL, watch, vm);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	vm->watching = ret == 0;
	if (ret == 0)
		pthread_setname_np(vm->watcher, "ob-vhost-user");
	else
		ob_err(vm->machine.ob, "vhost-user: a thread: %s", strerror(-ret));
	return ret;
}

static bool join(struct vu_machine *vm, uint64_t deadline_ns)
{
	const struct timespec until = {(time_t)(deadline_ns / OB_NS_PER_S), (long)(deadline_ns % OB_NS_PER_S)};

	return pthread_clockjoin_np(vm->watcher, NULL, CLOCK_MONOTONIC, &until) == 0;
}

void vu_watch_stop(struct vu_machine *vm)
{
	if (!vm->watching)
		return;
	__atomic_store_n(&vm->stopping, true, __ATOMIC_RELEASE);
	vu_watch_wake(vm);
	/* What it does for others nobody does for the watcher itself, when a back-end that came back lets it wait. */
	while (!join(vm, ob_deadline(JOIN_NS)))
		for (unsigned i = 0; i < vm->queue_count; i++)
			if (is_kick_stuck(&vm->queue[i]))
				(void)io_event_take(vm->queue[i].kick_fd);
	vm->watching = false;
}
