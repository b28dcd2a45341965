/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of the kernel that take their time: to open a device is to reset it, which may be a second, or a minute for one
 * that does not answer. A task that needs one sleeps meanwhile, and its CPU's loop goes on.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <outboard/cpu.h>
#include <outboard/log.h>

#include "base/bits.h"
#include "machine/vfio/vfio.h"

#define POLL_NS         (2 * OB_NS_PER_MS)
#define RESET_TRIES_MAX 20

static void *run(void *arg)
{
	struct vfio_errand *errand = arg;

	errand->result = errand->fn(errand->dev);
	__atomic_store_n(&errand->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The last one has ended, and whoever wanted it knows. Under lock. */
static bool is_free(struct vfio_errand *errand)
{
	if (!errand->started)
		return true;
	if (errand->awaited || !__atomic_load_n(&errand->done, __ATOMIC_ACQUIRE))
		return false;
	pthread_join(errand->thread, NULL);
	errand->started = false;
	return true;
}

/* 0; -EBUSY another one is under way; -ENOMEM. */
static int start(struct vfio_device *dev, int (*fn)(struct vfio_device *dev))
{
	struct vfio_errand *errand = &dev->vm->errand;
	sigset_t all, before;
	int ret = -EBUSY;

	pthread_mutex_lock(&dev->vm->lock);
	if (is_free(errand)) {
		*errand = (struct vfio_errand){.fn = fn, .dev = dev};
		/* The program's signals are for the program's threads. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		ret = pthread_create(&errand->thread, NULL, run, errand) == 0 ? 0 : -ENOMEM;
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		errand->started = errand->awaited = ret == 0;
	}
	pthread_mutex_unlock(&dev->vm->lock);
	return ret;
}

static void stop_waiting(struct vfio_machine *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->errand.awaited = false;
	pthread_mutex_unlock(&vm->lock);
}

int vfio_errand_run(struct vfio_device *dev, int (*fn)(struct vfio_device *dev), uint64_t deadline_ns)
{
	struct vfio_errand *errand = &dev->vm->errand;
	int ret;

	while ((ret = start(dev, fn)) == -EBUSY) {
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_now_ns() + POLL_NS);
	}
	if (ret < 0)
		return ret;
	while (ret == 0 && !__atomic_load_n(&errand->done, __ATOMIC_ACQUIRE)) {
		if (ob_now_ns() >= deadline_ns)
			ret = -ETIMEDOUT;
		else
			ob_task_sleep(ob_now_ns() + POLL_NS);
	}
	if (ret == 0)
		ret = errand->result;
	else
		ob_err(dev->vm->machine.ob, "vfio: %s: the kernel takes too long, and goes on alone", dev->name);
	stop_waiting(dev->vm);
	return ret;
}

void vfio_errand_finish(struct vfio_machine *vm)
{
	bool started;

	pthread_mutex_lock(&vm->lock);
	started = vm->errand.started;
	vm->errand.started = false;
	pthread_mutex_unlock(&vm->lock);
	if (started)
		pthread_join(vm->errand.thread, NULL);
}

/* ---- what is done so ---- */

static int reset(struct vfio_device *dev)
{
	struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	int ret;

	for (unsigned i = 0; i < RESET_TRIES_MAX; i++) {
		ret = ioctl(dev->fd, VFIO_DEVICE_RESET) < 0 ? -errno : 0;
		/* Somebody else resets what is on its bus. */
		if (ret != -EAGAIN)
			break;
		nanosleep(&pause, NULL);
	}
	/* Of a file that it is not any more. */
	return ret == -ENOTTY ? -ENODEV : ret == -EAGAIN ? -EBUSY : ret;
}

int vfio_reset(struct machine *m, struct ob_device *ob_dev, uint64_t deadline_ns)
{
	struct vfio_device *dev = vfio_device_of(vfio_of(m), ob_dev);
	int ret;

	if (dev == NULL || !__atomic_load_n(&dev->is_there, __ATOMIC_ACQUIRE))
		return -ENODEV;
	if (!dev->can_reset)
		return -EOPNOTSUPP;
	ret = vfio_errand_run(dev, reset, deadline_ns);
	if (ret < 0 && ret != -ETIMEDOUT)
		ob_err(m->ob, "vfio: %s: its reset by the kernel: %s", dev->name, strerror(-ret));
	return ret;
}

int vfio_rescan(struct machine *m, uint64_t deadline_ns)
{
	struct vfio_machine *vm = vfio_of(m);
	int ret = 0;

	for (unsigned i = 0; i < vm->device_count && ret != -ETIMEDOUT; i++)
		if (!__atomic_load_n(&vm->devices[i].is_there, __ATOMIC_ACQUIRE))
			ret = vfio_errand_run(&vm->devices[i], vfio_device_take, deadline_ns);
	return ret == -ETIMEDOUT ? ret : 0;
}
