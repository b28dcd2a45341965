/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to clients' eventfds, and the thread that interrupts those that wait. */
#include "serve/vhost_user/call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <outboard/cpu.h>

#include "io/io.h"
#include "serve/vhost_user/lane.h"

#define WATCH_NS  (20 * OB_NS_PER_MS)
#define WRITES_NS (20 * OB_NS_PER_MS) /* a write to an eventfd that takes as long waits for its reader, or for a CPU */
#define CALL_NS   (60 * OB_NS_PER_S)
#define NUDGE     SIGURG /* does nothing where nobody asked for it */

struct vu_watchdog {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t stop;
	bool stopping;
	struct vu_lane *lanes;
	unsigned lane_count;
};

int vu_call(struct vu_lane *lane, int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	__atomic_store_n(&lane->write_ns, ob_cpu_time_ns(lane->cpu), __ATOMIC_RELEASE);
	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR && !__atomic_load_n(&lane->write_stuck, __ATOMIC_ACQUIRE));
	__atomic_store_n(&lane->write_ns, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&lane->write_stuck, false, __ATOMIC_RELAXED);
	/* A full counter will be read by whoever reads at all. */
	return n == sizeof(one) || (n < 0 && errno == EAGAIN) ? 0 : n < 0 ? -errno : -EINVAL;
}

int vu_take_kick(int fd)
{
	int ret = io_event_take_what(fd);

	return ret == -EAGAIN ? 0 : ret;
}

static void on_nudge(int number)
{
	(void)number;
}

static void look(struct vu_lane *lane)
{
	uint64_t since = __atomic_load_n(&lane->write_ns, __ATOMIC_ACQUIRE);

	if (since == 0 || ob_now_ns() - since < WRITES_NS)
		return;
	__atomic_store_n(&lane->write_stuck, true, __ATOMIC_RELEASE);
	pthread_kill((pthread_t)lane->thread, NUDGE);
}

static void *watch(void *arg)
{
	struct vu_watchdog *w = arg;

	pthread_mutex_lock(&w->mutex);
	while (!w->stopping) {
		uint64_t until_ns = ob_deadline(WATCH_NS);
		const struct timespec until = {(time_t)(until_ns / OB_NS_PER_S), (long)(until_ns % OB_NS_PER_S)};

		pthread_cond_clockwait(&w->stop, &w->mutex, CLOCK_MONOTONIC, &until);
		for (unsigned i = 0; i < w->lane_count; i++)
			look(&w->lanes[i]);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

/* Threads of CPUs let no signal through. */
static void allow_nudge(void *arg)
{
	struct vu_lane *lane = arg;
	sigset_t set;

	lane->thread = (uintptr_t)pthread_self();
	sigemptyset(&set);
	sigaddset(&set, NUDGE);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static int allow_nudges(struct vu_lane *lanes, unsigned lane_count)
{
	int ret = 0;

	for (unsigned i = 0; i < lane_count && ret == 0; i++)
		ret = ob_cpu_call(lanes[i].cpu, allow_nudge, &lanes[i], ob_deadline(CALL_NS));
	return ret;
}

int vu_watchdog_start(struct vu_lane *lanes, unsigned lane_count, struct vu_watchdog **out)
{
	struct sigaction action = {.sa_handler = on_nudge}, now; /* no SA_RESTART: it is to interrupt */
	struct vu_watchdog *w = ob_alloc(sizeof(*w));
	int ret;

	if (w == NULL)
		return -ENOMEM;
	sigemptyset(&action.sa_mask);
	if (sigaction(NUDGE, NULL, &now) == 0 && now.sa_handler != on_nudge)
		sigaction(NUDGE, &action, NULL);
	w->lanes = lanes;
	w->lane_count = lane_count;
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->stop, NULL);
	ret = allow_nudges(lanes, lane_count);
	if (ret == 0)
		ret = -pthread_create(&w->thread, NULL, watch, w);
	if (ret != 0) {
		pthread_cond_destroy(&w->stop);
		pthread_mutex_destroy(&w->mutex);
		ob_free(w);
		return ret;
	}
	*out = w;
	return 0;
}

void vu_watchdog_stop(struct vu_watchdog *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->mutex);
	w->stopping = true;
	pthread_cond_signal(&w->stop);
	pthread_mutex_unlock(&w->mutex);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->stop);
	pthread_mutex_destroy(&w->mutex);
	ob_free(w);
}
