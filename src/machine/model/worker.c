/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's worker thread: runs devices whose time has come, and those that are described as threaded.
 *
 * It sleeps until the earliest time that a device asked for. A device's fields of the worker's are under worker_lock,
 * which is never held while a device runs.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include <outboard/cpu.h>

#include "machine/model/model_machine.h"

uint64_t model_host_now_ns(struct model_host *host)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * OB_NS_PER_S + (uint64_t)ts.tv_nsec;
}

void model_host_schedule(struct model_host *host, uint64_t at_ns)
{
	struct model_device *dev = device_of_host(host);
	struct model_machine *mm = dev->machine;

	pthread_mutex_lock(&mm->worker_lock);
	dev->due_ns = at_ns;
	if (at_ns < mm->worker_until_ns)
		pthread_cond_signal(&mm->worker_wake);
	pthread_mutex_unlock(&mm->worker_lock);
}

void model_worker_queue(struct model_device *dev)
{
	struct model_machine *mm = dev->machine;

	pthread_mutex_lock(&mm->worker_lock);
	dev->work_queued = true;
	pthread_cond_signal(&mm->worker_wake);
	pthread_mutex_unlock(&mm->worker_lock);
}

/* Run @dev if it wants to. Worker locked, but not while the device runs. */
static bool device_turn(struct model_machine *mm, struct model_device *dev, uint64_t now)
{
	bool expired = dev->due_ns <= now;

	if (!expired && !dev->work_queued)
		return false;
	if (expired)
		dev->due_ns = MODEL_NEVER;
	dev->work_queued = false;
	pthread_mutex_unlock(&mm->worker_lock);
	pthread_mutex_lock(&dev->lock);
	if (expired)
		model_device_expire(dev);
	model_device_work(dev);
	pthread_mutex_unlock(&dev->lock);
	pthread_mutex_lock(&mm->worker_lock);
	return true;
}

/* One look at all devices. Returns whether any ran; if none did, worker_until_ns is when the next one will. */
static bool worker_turn(struct model_machine *mm)
{
	uint64_t now = model_host_now_ns(NULL);
	bool ran = false;

	list_for_each (node, &mm->devices)
		ran |= device_turn(mm, list_entry(node, struct model_device, link), now);
	mm->worker_until_ns = MODEL_NEVER;
	list_for_each (node, &mm->devices) {
		const struct model_device *dev = list_entry(node, struct model_device, link);

		mm->worker_until_ns = dev->work_queued ? 0 : MIN(mm->worker_until_ns, dev->due_ns);
		ran |= dev->work_queued;
	}
	return ran;
}

static void *worker_main(void *arg)
{
	struct model_machine *mm = arg;

	/* A latency of microseconds is to be one: the system would round each sleep up by 50 us. */
	prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
	pthread_mutex_lock(&mm->worker_lock);
	while (!mm->worker_stop) {
		if (worker_turn(mm))
			continue;
		if (mm->worker_until_ns == MODEL_NEVER) {
			pthread_cond_wait(&mm->worker_wake, &mm->worker_lock);
		} else {
			struct timespec ts = {
				.tv_sec = (time_t)(mm->worker_until_ns / OB_NS_PER_S),
				.tv_nsec = (long)(mm->worker_until_ns % OB_NS_PER_S),
			};

			pthread_cond_timedwait(&mm->worker_wake, &mm->worker_lock, &ts);
		}
	}
	pthread_mutex_unlock(&mm->worker_lock);
	return NULL;
}

int model_worker_start(struct model_machine *mm)
{
	pthread_condattr_t attributes;
	int ret;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	ret = pthread_cond_init(&mm->worker_wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (ret != 0)
		return -ret;
	mm->worker_until_ns = MODEL_NEVER;
	ret = pthread_create(&mm->worker, NULL, worker_main, mm);
	if (ret != 0) {
		pthread_cond_destroy(&mm->worker_wake);
		return -EAGAIN;
	}
	mm->worker_started = true;
	return 0;
}

void model_worker_stop(struct model_machine *mm)
{
	if (!mm->worker_started)
		return;
	pthread_mutex_lock(&mm->worker_lock);
	mm->worker_stop = true;
	pthread_cond_signal(&mm->worker_wake);
	pthread_mutex_unlock(&mm->worker_lock);
	pthread_join(mm->worker, NULL);
	pthread_cond_destroy(&mm->worker_wake);
	mm->worker_started = false;
}
