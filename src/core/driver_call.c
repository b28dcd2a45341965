/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls to drivers: a use of the device for the time that they take, and a task of their own. */
#include "core/driver_call.h"

#include <errno.h>
#include <string.h>

#include <outboard/driver.h>

#include "core/cpu.h"

#define SLACK_NS (100 * OB_NS_PER_MS)

enum call_state {
	CALL_RUNNING,
	CALL_DONE,
	CALL_ABANDONED, /* the caller's deadline passed: the task frees it */
};

bool driver_call_is_abandoned(const struct driver_call *call)
{
	return __atomic_load_n(&call->state, __ATOMIC_ACQUIRE) == CALL_ABANDONED;
}

static bool call_move(struct driver_call *call, int to)
{
	int from = CALL_RUNNING;

	return __atomic_compare_exchange_n(&call->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Lets go of the device, too. */
static void call_body(struct driver_call *call)
{
	call->ret = call->fn(call);
	ob_device_put_online(call->dev);
}

static void call_task(void *arg)
{
	struct driver_call *call = arg;

	call_body(call);
	if (call_move(call, CALL_DONE))
		ob_event_signal(&call->over);
	else
		ob_free(call);
}

int driver_call_new(struct ob_device *dev, const char *driver, int (*fn)(struct driver_call *call), size_t bytes,
		    uint64_t deadline_ns, struct driver_call **out)
{
	enum cpu_context context = cpu_context();
	struct driver_call *call;
	const char *name;
	int ret;

	if (context == CPU_CONTEXT_HARD || context == CPU_CONTEXT_SOFT)
		return -EDEADLK;
	if (!ob_device_get_online(dev))
		return -ENODEV;
	name = ob_device_driver_name(dev);
	ret = -EOPNOTSUPP;
	if (name == NULL || strcmp(name, driver) != 0)
		goto put;
	ret = -ENODEV;
	if (ob_device_driver_data(dev) == NULL)
		goto put;
	ret = -ENOMEM;
	call = ob_alloc(bytes);
	if (call == NULL)
		goto put;
	call->driver_data = ob_device_driver_data(dev);
	call->deadline_ns = deadline_ns;
	call->dev = dev;
	call->driver = driver;
	call->fn = fn;
	*out = call;
	return 0;

put:
	ob_device_put_online(dev);
	return ret;
}

int driver_call_run(struct driver_call **pcall)
{
	struct driver_call *call = *pcall;
	struct ob_cpu *cpu = ob_cpu_get(ob_device_context(call->dev), 0);
	bool in_task = cpu_context() == CPU_CONTEXT_TASK;
	uint64_t until = call->deadline_ns;
	int ret;

	if (in_task && ob_cpu_current() == cpu) {
		call_body(call);
		return call->ret;
	}
	ob_event_init(&call->over, in_task ? ob_cpu_current() : cpu);
	ret = ob_task_spawn(cpu, call->driver, call_task, call, NULL);
	if (ret != 0) {
		ob_device_put_online(call->dev);
		return ret;
	}
	/* A little longer than the task itself: what that ends with says more. */
	until = until + SLACK_NS > until ? until + SLACK_NS : until;
	while (ob_event_wait(&call->over, until) != 0) {
		if (call_move(call, CALL_ABANDONED)) {
			*pcall = NULL;
			return -ETIMEDOUT;
		}
		until = ob_deadline(SLACK_NS); /* it is about to signal */
	}
	return call->ret;
}
