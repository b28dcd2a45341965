/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's thread. It hears what the back-end has to say (a change of the configuration, an error of a ring), sees
 * that the back-end has gone, and waits for it to come back.
 *
 * A back-end that comes back gets all that its predecessor was told. What was in flight then depends on what the
 * predecessor left behind:
 *
 * - With a table of requests in flight the successor goes on where the other one ended, and begins again what that had
 *   begun; the driver sees nothing but the time that it took.
 * - Without one nobody but the driver knows which requests those are: answers need not be in the order of the requests, so
 *   the ring's indexes do not tell. The device then asks for its reset, and the driver issues them again.
 *
 * Either way a request may be carried out twice, but never after it was answered, nor behind one that was submitted after
 * its answer: the connection ends only when the last thread of the back-end is gone, and with it whatever it was about to
 * write. That is why one that hangs is not given a successor.
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

#define RETRY_NS     (5 * OB_NS_PER_MS) /* between looks for a back-end that is away, at first */
#define RETRY_MAX_NS (100 * OB_NS_PER_MS)
#define BURST_MAX    64 /* messages of the back-end before anything else is looked at */

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
	pthread_mutex_unlock(&vm->lock);
}

/* Which queue it is it does not say. */
static void hear_error(struct vu_machine *vm)
{
	if (!io_event_take(vm->error_fd))
		return;
	ob_warn(vm->machine.ob, "vhost-user: %s: the back-end reports an error of a ring", vm->uri.path);
	__atomic_store_n(&vm->needs_reset, true, __ATOMIC_RELEASE);
	vu_device_signal(vm);
}

/* ---- coming back ---- */

/* A queue that was served by somebody who left no table: only the driver knows what was in flight. */
static bool must_begin_anew(const struct vu_machine *vm, const struct vu_link *link)
{
	bool kept = vm->inflight.fd >= 0 && vu_link_has(link, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD);

	for (unsigned i = 0; i < vm->queue_count; i++)
		if (vm->queue[i].set_up && vm->queue[i].served && !kept)
			return true;
	return false;
}

/* Under the lock. As vu_link_do(). */
static int restore(struct vu_machine *vm, bool anew)
{
	int ret = vu_memory_tell(vm);

	if (ret == 0 && vm->has_accepted && !anew)
		ret = vu_device_tell(vm);
	if (ret == 0 && vm->started && !anew)
		ret = vu_queues_tell(vm, true);
	if (ret != 0)
		return ret;
	vm->restore_count++;
	if (anew) {
		vm->reset_count++;
		__atomic_store_n(&vm->needs_reset, true, __ATOMIC_RELEASE);
	}
	return 0;
}

/*
 * The dead one may have answered, or have changed the configuration, and not said so. Under the lock: who sees that
 * somebody came back finds the signals of it.
 */
static void signal_all(struct vu_machine *vm)
{
	for (unsigned i = 0; i < vm->queue_count; i++)
		if (vm->queue[i].set_up)
			io_event_fire(vm->queue[i].call_fd);
	vu_device_signal(vm);
}

static bool is_state(struct vu_machine *vm, enum vu_state state)
{
	bool is;

	pthread_mutex_lock(&vm->lock);
	is = vm->state == state;
	pthread_mutex_unlock(&vm->lock);
	return is;
}

/* It is there, and speaks the protocol. 0: that was it, one way or the other; -EAGAIN it has gone again. */
static int welcome(struct vu_machine *vm, struct vu_link *link)
{
	char why[VU_WHY_MAX];
	uint64_t away_ns = ob_now_ns() - vm->lost_ns;
	bool anew = false;
	int ret;

	pthread_mutex_lock(&vm->lock);
	ret = vm->state == VU_LOST ? vu_device_check(vm, link, why, sizeof(why)) : -ENODEV;
	if (ret == -EPROTO)
		vu_die(vm, "%s", why);
	if (ret != 0) {
		pthread_mutex_unlock(&vm->lock);
		vu_link_close(link);
		return 0;
	}
	vm->link = *link;
	vm->state = VU_UP;
	vu_memory_forget(vm);
	for (unsigned i = 0; i < vm->queue_count; i++)
		vm->queue[i].told = vm->queue[i].stopping = false;
	anew = must_begin_anew(vm, link);
	ret = restore(vm, anew);
	if (ret == -EREMOTEIO)
		vu_die(vm, "%s", vm->link.why);
	else if (ret != 0)
		vu_link_failed(vm, ret);
	else
		signal_all(vm);
	pthread_mutex_unlock(&vm->lock);
	if (ret != 0)
		return is_state(vm, VU_LOST) ? -EAGAIN : 0;
	ob_warn(vm->machine.ob, "vhost-user: %s: the back-end is back after %llu ms%s", vm->uri.path,
		(unsigned long long)(away_ns / OB_NS_PER_MS),
		anew ? "; it knows nothing of requests in flight, so they are issued again" : "");
	return 0;
}

static bool is_stopping(const struct vu_machine *vm)
{
	return __atomic_load_n(&vm->stopping, __ATOMIC_ACQUIRE);
}

/* Nobody there, or not quite yet: a server that is starting, or one that ended again. */
static bool may_come_yet(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EACCES || error == -ENODEV || error == -EAGAIN;
}

/* What is left of the connection goes, so that whoever is at its other end notices, too. */
static void hang_up(struct vu_machine *vm)
{
	pthread_mutex_lock(&vm->lock);
	vu_link_close(&vm->link);
	pthread_mutex_unlock(&vm->lock);
}

/* 0: come back, or given up; -EAGAIN: not yet. */
static int try_return(struct vu_machine *vm, uint64_t deadline_ns, const char *lost)
{
	struct vu_link link;
	int ret = vu_link_open(&link, &vm->uri, deadline_ns);

	if (ret == 0) {
		if (welcome(vm, &link) == 0)
			return 0;
		ret = -ENODEV;
		snprintf(link.why, sizeof(link.why), "it came, and went again");
		hang_up(vm);
	}
	if (may_come_yet(ret) && ob_now_ns() < deadline_ns)
		return -EAGAIN;
	pthread_mutex_lock(&vm->lock);
	if (may_come_yet(ret))
		vu_die(vm, "%s, and did not come back within %llu ms (%s)", lost,
		       (unsigned long long)(vm->uri.reconnect_ns / OB_NS_PER_MS), link.why);
	else
		vu_die(vm, "%s, and who came back is none: %s", lost, link.why);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

/* One that comes and goes without ever being of use has no more time than one that stays away. */
static void await_return(struct vu_machine *vm)
{
	uint64_t deadline_ns = vm->lost_ns + vm->uri.reconnect_ns, pause_ns = RETRY_NS;
	char lost[sizeof(vm->why)];

	hang_up(vm);
	memcpy(lost, vm->why, sizeof(lost));
	ob_warn(vm->machine.ob, "vhost-user: %s: %s; it has %llu ms to come back", vm->uri.path, lost,
		(unsigned long long)(vm->uri.reconnect_ns / OB_NS_PER_MS));
	while (!is_stopping(vm) && try_return(vm, deadline_ns, lost) == -EAGAIN) {
		/* An attempt that failed wakes us, too; but what comes after this is to stop. */
		(void)io_event_take(vm->wake_fd);
		if (!is_stopping(vm))
			(void)io_wait(vm->wake_fd, POLLIN, ob_deadline(pause_ns));
		pause_ns = MIN(2 * pause_ns, RETRY_MAX_NS);
	}
}

/* ---- the thread ---- */

/* Core says where to report only once the machine is open. */
static bool tell_dead(struct vu_machine *vm)
{
	void (*on_dead)(struct machine *, const char *) = __atomic_load_n(&vm->machine.on_dead, __ATOMIC_ACQUIRE);

	if (on_dead == NULL)
		return false;
	on_dead(&vm->machine, vm->why);
	return true;
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

	pthread_mutex_lock(&vm->lock);
	p[WAKE] = (struct pollfd){.fd = vm->wake_fd, .events = POLLIN};
	p[ERROR] = (struct pollfd){.fd = vm->error_fd, .events = POLLIN};
	/* What arrives there is for whoever asked. Only this thread closes these two. */
	p[SOCKET] = (struct pollfd){.fd = vm->link.fd, .events = POLLRDHUP};
	p[BACKEND] = (struct pollfd){.fd = vm->link.backend_fd, .events = POLLIN};
	pthread_mutex_unlock(&vm->lock);
	if (poll(p, COUNT, -1) < 0)
		return;
	if (p[WAKE].revents != 0)
		(void)io_event_take(vm->wake_fd);
	if (p[ERROR].revents != 0)
		hear_error(vm);
	if (p[BACKEND].revents != 0)
		hear(vm, receiver);
	if (p[SOCKET].revents == 0)
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
	while (!is_stopping(vm)) {
		if (is_state(vm, VU_UP)) {
			look(vm, &receiver);
			continue;
		}
		/* What was half said is not said any more. */
		vhost_receiver_fini(&receiver);
		vhost_receiver_init(&receiver);
		if (is_state(vm, VU_LOST)) {
			await_return(vm);
			continue;
		}
		/* Nothing more happens; but that it is dead may have to be said later. */
		hang_up(vm);
		if (!told)
			told = tell_dead(vm);
		(void)io_wait(vm->wake_fd, POLLIN, told ? UINT64_MAX : ob_deadline(OB_NS_PER_MS));
		(void)io_event_take(vm->wake_fd);
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

void vu_watch_stop(struct vu_machine *vm)
{
	if (!vm->watching)
		return;
	__atomic_store_n(&vm->stopping, true, __ATOMIC_RELEASE);
	vu_watch_wake(vm);
	pthread_join(vm->watcher, NULL);
	vm->watching = false;
}
