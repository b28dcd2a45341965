/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of a virtio device, whatever carries it: VIRTIO 1.2 §2.3, §4.1.5.
 *
 * Vector 0 is the configuration's. Queues have the others, one each as long as there are enough, and then share them;
 * with one vector, or a line, everything shares that. A queue hears on its own CPU: directly where its vector is
 * delivered there, by posted work where not.
 */
#include <errno.h>
#include <stdio.h>

#include "bus/virtio/virtio.h"
#include "core/hooks.h"

#define CALL_TIMEOUT_NS (5 * OB_NS_PER_S)
#define WORK_SLEEP_NS   (20 * OB_NS_PER_US)

/* ---- hard context ---- */

void virtio_queue_forward(struct ob_work *work)
{
	struct ob_virtio_queue *q = container_of(work, struct ob_virtio_queue, forward);

	if (q->listen_fn != NULL)
		q->listen_fn(q->listen_arg);
	if (!__atomic_load_n(&work->pending, __ATOMIC_RELAXED))
		__atomic_store_n(&q->forwarded, 0, __ATOMIC_RELEASE);
}

static void tell_queues(struct virtio_vector *vector)
{
	for (struct ob_virtio_queue *q = OB_READ_ONCE(vector->first); q != NULL; q = OB_READ_ONCE(q->next_listener)) {
		if (OB_LIKELY(q->cpu == vector->cpu)) {
			q->listen_fn(q->listen_arg);
			continue;
		}
		__atomic_store_n(&q->forwarded, 1, __ATOMIC_RELAXED);
		ob_cpu_post(q->cpu, &q->forward);
	}
}

static enum ob_irq_result queue_hard(void *arg)
{
	tell_queues(arg);
	return OB_IRQ_HANDLED;
}

/* Vector 0, where it is the configuration's alone: only a task may look at that. */
static enum ob_irq_result config_hard(void *arg)
{
	return OB_IRQ_TASK;
}

/* One message for everything. What it was about nobody says: the task looks for itself. */
static enum ob_irq_result shared_hard(void *arg)
{
	struct virtio_vector *vector = arg;

	tell_queues(vector);
	return OB_READ_ONCE(vector->v->config_fn) != NULL ? OB_IRQ_TASK : OB_IRQ_HANDLED;
}

/* A line: the device says what it is about, and lets it go by being asked (§4.1.5.3, §4.1.5.4). */
static enum ob_irq_result line_hard(void *arg)
{
	struct virtio_vector *vector = arg;
	uint32_t isr = vector->v->ops->irq_take(vector->v);

	if (isr == 0)
		return OB_IRQ_NONE;
	if ((isr & VIRTIO_ISR_QUEUE) != 0)
		tell_queues(vector);
	return (isr & VIRTIO_ISR_CONFIG) != 0 ? OB_IRQ_TASK : OB_IRQ_HANDLED;
}

/* ---- configuration changes ---- */

static bool has_vector_alone(const struct virtio_device *v)
{
	return v->vector_count > 1 || v->irq_kind == OB_IRQ_INTX;
}

/* Is there news, where the interrupt may have been a queue's? */
static bool config_changed(struct virtio_device *v)
{
	uint32_t generation;
	uint8_t status;

	if (has_vector_alone(v))
		return true;
	if (v->ops->status(v, &status) == 0 && (status & VIRTIO_STATUS_NEEDS_RESET) != 0)
		return true;
	if (v->ops->generation(v, &generation) != 0 || generation == v->generation_seen)
		return false;
	v->generation_seen = generation;
	return true;
}

static void config_task(void *arg)
{
	struct virtio_vector *vector = arg;
	struct virtio_device *v = vector->v;

	if (ob_mutex_lock(&v->config_lock, ob_deadline(CALL_TIMEOUT_NS)) != 0)
		return;
	if (v->config_fn != NULL && config_changed(v))
		v->config_fn(&v->dev, v->config_arg);
	ob_mutex_unlock(&v->config_lock);
}

int ob_virtio_on_config(struct ob_device *dev, void (*fn)(struct ob_device *dev, void *arg), void *arg)
{
	struct virtio_device *v = virtio_device_of(dev);
	bool inside;
	int ret;

	if (v == NULL)
		return -EINVAL;
	if (fn != NULL && v->vector_count == 0)
		return -ENOSPC;
	if (fn != NULL && hooks_fail(ob_device_context(dev), __func__))
		return -ENOMEM;
	/* The function may take itself away. */
	inside = v->config_lock.owner != NULL && v->config_lock.owner == ob_task_current();
	while (!inside && (ret = ob_mutex_lock(&v->config_lock, ob_deadline(CALL_TIMEOUT_NS))) != 0)
		ob_err(ob_device_context(dev), "%s: its driver still looks at its configuration", ob_device_name(dev));
	if (fn != NULL && !has_vector_alone(v))
		v->ops->generation(v, &v->generation_seen);
	v->config_arg = arg;
	OB_WRITE_ONCE(v->config_fn, fn);
	if (!inside)
		ob_mutex_unlock(&v->config_lock);
	return 0;
}

int virtio_config_vector(struct virtio_device *v)
{
	if (v->vector_count == 0 || v->irq_kind == OB_IRQ_INTX || v->vectors[0].irq == NULL)
		return 0;
	return v->ops->config_vector != NULL ? v->ops->config_vector(v, 0) : 0;
}

/* ---- vectors ---- */

static int vector_request(struct virtio_vector *vector, struct ob_cpu *cpu, const char *what)
{
	struct virtio_device *v = vector->v;
	bool line = v->irq_kind == OB_IRQ_INTX, config = vector->index == 0;
	char name[48];
	struct ob_irq_config irq = {
		.name = name,
		.cpu = cpu,
		.hard = line                  ? line_hard
			: !config             ? queue_hard
			: v->vector_count > 1 ? config_hard
					      : shared_hard,
		.task = config ? config_task : NULL,
		.arg = vector,
	};

	snprintf(name, sizeof(name), "%s", what);
	vector->cpu = cpu;
	return ob_irq_request(&v->dev, vector->index, &irq, &vector->irq);
}

int ob_virtio_irq_alloc(struct ob_device *dev, unsigned queues, unsigned kinds)
{
	struct virtio_device *v = virtio_device_of(dev);
	char name[48];
	int ret;

	if (v == NULL || v->vectors != NULL)
		return v == NULL ? -EINVAL : -EBUSY;
	ret = ob_irq_alloc(dev, 1, queues + 1, kinds, &v->irq_kind);
	if (ret < 0)
		return ret;
	v->vector_count = (unsigned)ret;
	v->queue_vectors_given = 0;
	v->vectors = ob_alloc(v->vector_count * sizeof(*v->vectors));
	ret = v->vectors == NULL ? -ENOMEM : 0;
	for (unsigned i = 0; ret == 0 && i < v->vector_count; i++) {
		v->vectors[i].v = v;
		v->vectors[i].index = i;
	}
	/* Some transports have no interrupt for the configuration: queues do without. */
	snprintf(name, sizeof(name), "%s config", ob_device_name(dev));
	if (ret == 0 && dev->vectors.fds[0] >= 0)
		ret = vector_request(&v->vectors[0], ob_device_cpu(dev), name);
	if (ret == 0)
		ret = virtio_config_vector(v);
	if (ret == 0)
		return (int)v->vector_count;
	ob_virtio_irq_release(dev);
	return ret;
}

void ob_virtio_irq_release(struct ob_device *dev)
{
	struct virtio_device *v = virtio_device_of(dev);

	if (v == NULL || v->vector_count == 0)
		return;
	OB_WRITE_ONCE(v->config_fn, NULL);
	if (v->vectors != NULL)
		for (unsigned i = 0; i < v->vector_count; i++)
			ob_irq_free(v->vectors[i].irq);
	ob_free(v->vectors);
	v->vectors = NULL;
	v->vector_count = 0;
	ob_irq_release(dev);
}

uint16_t virtio_queue_vector(struct virtio_device *v, unsigned index)
{
	unsigned others = v->vector_count > 0 ? v->vector_count - 1 : 0;

	if (v->vector_count == 0 || v->irq_kind == OB_IRQ_INTX)
		return VIRTIO_NO_VECTOR;
	if (v->ops->vectors_by_queue)
		return index < others ? (uint16_t)(index + 1) : VIRTIO_NO_VECTOR;
	return others == 0 ? 0 : (uint16_t)(1 + v->queue_vectors_given++ % others);
}

/* ---- who listens ---- */

/* On the vector's CPU, so that no handler of it is under way. */
static void listener_add(void *arg)
{
	struct ob_virtio_queue *q = arg;

	q->next_listener = q->vector->first;
	OB_WRITE_ONCE(q->vector->first, q);
}

static void listener_remove(void *arg)
{
	struct ob_virtio_queue *q = arg;
	struct ob_virtio_queue **at = &q->vector->first;

	while (*at != NULL && *at != q)
		at = &(*at)->next_listener;
	if (*at == q)
		OB_WRITE_ONCE(*at, q->next_listener);
}

/* On the queue's CPU: what was posted finds nobody. */
static void listener_forget(void *arg)
{
	struct ob_virtio_queue *q = arg;

	q->listen_fn = NULL;
}

/* The vector that carries the queue's interrupts, or NULL. */
static struct virtio_vector *vector_of(const struct ob_virtio_queue *q)
{
	struct virtio_device *v = q->v;

	if (!q->config.irq || v->vector_count == 0)
		return NULL;
	if (v->irq_kind == OB_IRQ_INTX)
		return &v->vectors[0];
	return q->setup.vector < v->vector_count ? &v->vectors[q->setup.vector] : NULL;
}

static int vector_get(struct virtio_vector *vector, struct ob_virtio_queue *q)
{
	int ret = 0;

	if (vector->irq == NULL)
		ret = vector_request(vector, q->cpu, q->name);
	if (ret == 0)
		vector->listeners++;
	return ret;
}

/* Vector 0 stays: the configuration listens to it. */
static void vector_put(struct virtio_vector *vector)
{
	if (--vector->listeners != 0 || vector->index == 0)
		return;
	ob_irq_free(vector->irq);
	vector->irq = NULL;
}

int ob_virtio_queue_listen(struct ob_virtio_queue *q, struct ob_cpu *cpu, void (*fn)(void *arg), void *arg)
{
	struct virtio_vector *vector = vector_of(q);
	int ret;

	if (vector == NULL)
		return -ENOSPC;
	if (q->vector != NULL)
		return -EBUSY;
	if (hooks_fail(ob_device_context(&q->v->dev), __func__))
		return -ENOMEM;
	q->cpu = cpu;
	q->listen_arg = arg;
	q->listen_fn = fn;
	ret = vector_get(vector, q);
	if (ret != 0)
		return ret;
	q->vector = vector;
	ret = ob_cpu_call(vector->cpu, listener_add, q, ob_deadline(CALL_TIMEOUT_NS));
	if (ret == 0)
		return 0;
	q->vector = NULL;
	vector_put(vector);
	return ret;
}

/* A call that cannot be done without; CPUs that do not turn run nothing that could be in its way. */
static void call_firmly(struct ob_virtio_queue *q, struct ob_cpu *cpu, void (*fn)(void *arg))
{
	if (ob_cpu_call_firmly(cpu, fn, q, ob_deadline(CALL_TIMEOUT_NS)) == 0)
		return;
	ob_err(ob_device_context(&q->v->dev), "%s: CPU %u does not let go of its interrupt", q->name,
	       ob_cpu_index(cpu));
	fn(q);
}

void ob_virtio_queue_unlisten(struct ob_virtio_queue *q)
{
	struct virtio_vector *vector = q->vector;
	uint64_t deadline = ob_deadline(CALL_TIMEOUT_NS);

	if (vector == NULL)
		return;
	call_firmly(q, vector->cpu, listener_remove);
	call_firmly(q, q->cpu, listener_forget);
	while (__atomic_load_n(&q->forwarded, __ATOMIC_ACQUIRE) && ob_now_ns() < deadline)
		ob_task_sleep(ob_deadline(WORK_SLEEP_NS));
	q->vector = NULL;
	vector_put(vector);
}
