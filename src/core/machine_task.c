/* SPDX-License-Identifier: BSD-2-Clause */
/* Tasks on CPU 0, where devices live and die, for callers from anywhere. */
#include <errno.h>

#include "core/context.h"
#include "core/cpu.h"
#include "core/machine_core.h"

/* Two hold it: the caller until it gave up or has the result, and the task until its end. */
struct task_call {
	machine_task_fn fn;
	struct ob_machine *machine;
	struct ob_device *dev;
	uint64_t deadline_ns;
	struct ob_event done; /* of CPU 0 */
	unsigned refs;        /* __atomic */
	bool finished;        /* __atomic */
	int result;
};

static void task_call_put(struct task_call *call)
{
	if (__atomic_fetch_sub(&call->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	if (call->dev != NULL)
		ob_device_put(call->dev);
	machine_put(call->machine);
	ob_free(call);
}

static void task_call_run(void *arg)
{
	struct task_call *call = arg;

	call->result = call->fn(call->machine, call->dev, call->deadline_ns);
	__atomic_store_n(&call->finished, true, __ATOMIC_RELEASE);
	ob_event_signal(&call->done);
	task_call_put(call);
}

static int task_call_wait(struct task_call *call, uint64_t deadline_ns)
{
	if (cpu_context() == CPU_CONTEXT_PLAIN)
		return ob_event_wait(&call->done, deadline_ns);
	/* A task of another CPU cannot wait for an event of CPU 0; this is no path on which a millisecond counts. */
	while (!__atomic_load_n(&call->finished, __ATOMIC_ACQUIRE)) {
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_deadline(OB_NS_PER_MS));
	}
	return 0;
}

int machine_run_task(struct ob_machine *machine, struct ob_device *dev, const char *name, machine_task_fn fn,
		     uint64_t deadline_ns)
{
	struct ob_cpu *cpu = machine->ob->cpus[0];
	enum cpu_context context = cpu_context();
	struct task_call *call;
	int rc;

	if (context == CPU_CONTEXT_TASK && ob_cpu_current() == cpu)
		return fn(machine, dev, deadline_ns);
	if (context == CPU_CONTEXT_HARD || context == CPU_CONTEXT_SOFT)
		return -EDEADLK;
	call = ob_alloc(sizeof(*call));
	if (call == NULL)
		return -ENOMEM;
	call->fn = fn;
	call->machine = machine_get(machine);
	call->dev = dev != NULL ? ob_device_get(dev) : NULL;
	call->deadline_ns = deadline_ns;
	call->refs = 2;
	ob_event_init(&call->done, cpu);
	rc = ob_task_spawn(cpu, name, task_call_run, call, NULL);
	if (rc != 0) {
		task_call_put(call);
		goto put;
	}
	/* A little longer than the task itself: what it ends with says more than that it took too long. */
	rc = task_call_wait(call, deadline_ns + OB_NS_PER_S > deadline_ns ? deadline_ns + OB_NS_PER_S : deadline_ns);
	if (rc == 0)
		rc = call->result;
put:
	task_call_put(call);
	return rc;
}
