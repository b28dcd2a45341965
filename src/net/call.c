/* SPDX-License-Identifier: BSD-2-Clause */
/* What CPU 0 does for callers from anywhere: in a task of CPU 0 a plain call, otherwise in a task of its own. */
#include <errno.h>

#include "core/context.h"
#include "core/cpu.h"
#include "net/net.h"

enum call_state {
	CALL_RUNNING,
	CALL_DONE,
	CALL_ABANDONED, /* the waiter's deadline passed: the task frees the call */
};

struct net_call *net_call_new(struct ob_net *net, int (*fn)(struct net_call *call))
{
	struct net_call *call = hooks_fail(net->ob, "net_call_new") ? NULL : ob_alloc(sizeof(*call));

	if (call == NULL)
		return NULL;
	call->fn = fn;
	call->net = ob_net_get(net);
	return call;
}

static void call_free(struct net_call *call)
{
	ob_net_put(call->net);
	ob_free(call);
}

static bool call_move(struct net_call *call, int to)
{
	int from = CALL_RUNNING;

	return __atomic_compare_exchange_n(&call->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void call_body(struct net_call *call)
{
	net_mutex_lock(call->net);
	call->ret = call->fn(call);
	ob_mutex_unlock(&call->net->mutex);
}

static void call_task(void *arg)
{
	struct net_call *call = arg;

	call_body(call);
	if (call_move(call, CALL_DONE)) {
		ob_event_signal(&call->over);
		return;
	}
	if (call->abandoned != NULL)
		call->abandoned(call);
	call_free(call);
}

int net_call_run(struct net_call *call, bool *goes_on)
{
	struct ob *ob = call->net->ob;
	struct ob_cpu *cpu0 = ob_cpu_get(ob, 0);
	enum cpu_context context = cpu_context();
	int ret = 0;

	*goes_on = false;
	if (context == CPU_CONTEXT_SOFT || context == CPU_CONTEXT_HARD) {
		ret = -EDEADLK;
	} else if (context == CPU_CONTEXT_TASK && ob_cpu_current() == cpu0) {
		call_body(call);
	} else {
		ob_event_init(&call->over, context == CPU_CONTEXT_TASK ? ob_cpu_current() : cpu0);
		ret = ob_task_spawn(cpu0, "net-call", call_task, call, NULL);
		while (ret == 0 && ob_event_wait(&call->over, ob_deadline(NET_STEP_NS)) != 0) {
			if (call_move(call, CALL_ABANDONED)) {
				ob_err(ob, "%s: CPU 0 did not do in time what it was asked for; is it turned?",
				       call->net->name);
				*goes_on = true;
				return -ETIMEDOUT;
			}
		}
	}
	if (ret == 0)
		ret = call->ret;
	call_free(call);
	return ret;
}

/* Whoever holds it has deadlines. */
void net_mutex_lock(struct ob_net *net)
{
	while (ob_mutex_lock(&net->mutex, ob_deadline(NET_LOCK_NS)) != 0)
		ob_err(net->ob, "%s: still waiting for another task to be done with it", net->name);
}
