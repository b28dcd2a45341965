/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back-end that has gone, and comes back.
 *
 * One that does gets all that its predecessor was told. What was in flight then depends on what the predecessor left
 * behind:
 *
 * - With a table of requests in flight the successor goes on where the other one ended, and begins again what that had
 *   begun; the driver sees nothing but the time that it took.
 * - Without one nobody but the driver knows which requests those are: answers need not be in the order of the requests, so
 *   the ring's indexes do not tell. The device then asks for its reset, and the driver issues them again.
 *
 * Either way a request may be carried out twice, but never after it was answered, nor behind one that was submitted after
 * its answer: the connection ends only when the last thread of the back-end is gone, and with it whatever it was about to
 * write. That is why one that hangs is not given a successor.
 *
 * What it is asked to do may be what kills it. So a back-end is back only when it was of use: when it has answered a
 * request, or stayed for a while. Those that come and go have, all together, no more time than one that stays away.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "io/io.h"
#include "machine/vhost_user/vhost_user.h"

#define RETRY_NS      (5 * OB_NS_PER_MS) /* between looks for a back-end that is away, at first */
#define RETRY_MAX_NS  (100 * OB_NS_PER_MS)
#define VAIN_MAX_NS   OB_NS_PER_S /* … when those before were of no use */
#define STAY_NS       OB_NS_PER_S /* who stays for so long is back, if there is nothing to answer */
#define TELL_VAIN_MAX 3u          /* so many of them are worth a warning each */

/* ---- was it of use? ---- */

static bool was_of_use(struct vu_machine *vm, uint64_t now_ns)
{
	if (!vm->on_trial || now_ns - vm->came_ns >= MIN(STAY_NS, vm->uri.reconnect_ns))
		return true;
	return vu_queues_have_moved(vm);
}

void vu_restore_begin(struct vu_machine *vm)
{
	vm->lost_ns = ob_now_ns();
	if (!was_of_use(vm, vm->lost_ns)) {
		vm->vain_count++;
		return;
	}
	vm->vain_count = 0;
	vm->since_ns = vm->lost_ns;
}

/* What goes on and on is told a few times. */
static enum ob_log_level level_of(const struct vu_machine *vm)
{
	return vm->vain_count < TELL_VAIN_MAX ? OB_LOG_WARN : OB_LOG_INFO;
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
 * The dead one may have answered, and not said so. Under the lock: who sees that somebody came back finds the signals of it.
 * Before the new one has the eventfds: it could have us wait here, in which nobody would free us.
 */
static void signal_all(struct vu_machine *vm)
{
	for (unsigned i = 0; i < vm->queue_count; i++)
		/* It may have been filled: what has fired is not fired again. */
		if (vm->queue[i].set_up && io_wait(vm->queue[i].call_fd, POLLIN, 0) != 0)
			io_event_fire(vm->queue[i].call_fd);
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
	vm->on_trial = true;
	vm->moved = false;
	vm->came_ns = ob_now_ns();
	vu_memory_forget(vm);
	for (unsigned i = 0; i < vm->queue_count; i++)
		vm->queue[i].told = vm->queue[i].stopping = false;
	anew = must_begin_anew(vm, link);
	signal_all(vm);
	ret = restore(vm, anew);
	vu_link_begun(&vm->link);
	if (ret == -EREMOTEIO)
		vu_die(vm, "%s", vm->link.why);
	else if (ret != 0)
		vu_link_failed(vm, ret);
	else
		vu_device_signal(vm); /* the configuration may have changed */
	pthread_mutex_unlock(&vm->lock);
	if (ret != 0)
		return vu_is_in_state(vm, VU_LOST) ? -EAGAIN : 0;
	vu_queues_begin(vm);
	ob_log(vm->machine.ob, level_of(vm), "vhost-user: %s: the back-end is back after %llu ms%s", vm->uri.path,
	       (unsigned long long)(away_ns / OB_NS_PER_MS),
	       anew ? "; it knows nothing of requests in flight, so they are issued again" : "");
	return 0;
}

/* Nobody there, or not quite yet: a server that is starting, or one that ended again. */
static bool may_come_yet(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -EACCES || error == -ENODEV || error == -EAGAIN;
}

static void give_up(struct vu_machine *vm, const char *lost, const char *why)
{
	unsigned long long time_ms = vm->uri.reconnect_ns / OB_NS_PER_MS;

	pthread_mutex_lock(&vm->lock);
	if (vm->vain_count != 0)
		vu_die(vm, "%s; it came back %u times within %llu ms, and was of no use", lost, vm->vain_count,
		       time_ms);
	else
		vu_die(vm, "%s, and did not come back within %llu ms (%s)", lost, time_ms, why);
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
		vu_watch_hang_up(vm);
	}
	if (!may_come_yet(ret)) {
		pthread_mutex_lock(&vm->lock);
		vu_die(vm, "%s, and who came back is none: %s", lost, link.why);
		pthread_mutex_unlock(&vm->lock);
		return 0;
	}
	if (ob_now_ns() < deadline_ns)
		return -EAGAIN;
	give_up(vm, lost, link.why);
	return 0;
}

void vu_restore_await(struct vu_machine *vm)
{
	uint64_t deadline_ns = vm->since_ns + vm->uri.reconnect_ns, now_ns = ob_now_ns(), pause_ns = RETRY_NS;
	char lost[sizeof(vm->why)];

	vu_watch_hang_up(vm);
	memcpy(lost, vm->why, sizeof(lost));
	if (now_ns >= deadline_ns) {
		give_up(vm, lost, "there was no time left");
		return;
	}
	ob_log(vm->machine.ob, level_of(vm), "vhost-user: %s: %s; it has %llu ms to come back", vm->uri.path, lost,
	       (unsigned long long)((deadline_ns - now_ns) / OB_NS_PER_MS));
	/* Whoever ends at once each time is begun again ever more slowly. */
	if (vm->vain_count != 0 &&
	    !vu_watch_rest(vm, MIN(MIN(RETRY_NS << MIN(vm->vain_count, 16u), VAIN_MAX_NS), deadline_ns - now_ns)))
		return;
	while (!vu_watch_is_stopping(vm) && try_return(vm, deadline_ns, lost) == -EAGAIN) {
		if (!vu_watch_rest(vm, pause_ns))
			return;
		pause_ns = MIN(2 * pause_ns, RETRY_MAX_NS);
	}
}
