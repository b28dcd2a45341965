/* SPDX-License-Identifier: BSD-2-Clause */
/* Machines: open, scan and bind, rescan, death, close. What happens to one device is in device.c and bind.c. */
#include "machine/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/machine_core.h"

#define MACHINE_OPEN_TIMEOUT_NS (30 * OB_NS_PER_S)

/* ---- references ---- */

struct ob_machine *machine_get(struct ob_machine *machine)
{
	__atomic_fetch_add(&machine->refs, 1, __ATOMIC_RELAXED);
	return machine;
}

void machine_put(struct ob_machine *machine)
{
	unsigned before = __atomic_fetch_sub(&machine->refs, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	if (before != 1)
		return;
	ob_free(machine->uri);
	ob_free(machine);
}

bool machine_use(struct ob_machine *machine)
{
	unsigned users = __atomic_load_n(&machine->m_users, __ATOMIC_RELAXED);

	do {
		if (users == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&machine->m_users, &users, users + 1, true, __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	return true;
}

void machine_unuse(struct ob_machine *machine)
{
	struct machine *m = machine->m;

	if (__atomic_fetch_sub(&machine->m_users, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	machine->m = &machine->gone;
	if (m != &machine->gone)
		m->ops->close(m);
}

void machine_job_begin(struct ob_machine *machine)
{
	machine_get(machine);
	__atomic_fetch_add(&machine->jobs, 1, __ATOMIC_ACQ_REL);
}

void machine_job_end(struct ob_machine *machine)
{
	__atomic_fetch_sub(&machine->jobs, 1, __ATOMIC_ACQ_REL);
	machine_put(machine);
}

/* ---- scan and bind: tasks of CPU 0, under machine->mutex ---- */

static const struct bus_type *bus_type_of(enum machine_bus_kind kind)
{
	for (const struct bus_type *const *type = bus_types; *type != NULL; type++)
		if ((*type)->kind == kind)
			return *type;
	return NULL;
}

static int machine_scan(struct ob_machine *machine)
{
	int rc = 0;

	for (const struct machine_bus *bus = machine->m->ops->buses(machine->m);
	     rc == 0 && bus->kind != MACHINE_BUS_END; bus++) {
		const struct bus_type *type = bus_type_of(bus->kind);

		if (type == NULL) {
			ob_warn(machine->ob, "%s: no code for its buses of kind %d", machine->uri, (int)bus->kind);
			continue;
		}
		rc = type->scan(machine, bus);
		if (rc != 0)
			ob_err(machine->ob, "%s: looking for devices: %s", machine->uri, strerror(-rc));
	}
	return machine_is_dead(machine) ? -ENODEV : rc;
}

static int machine_bind_new(struct ob_machine *machine, uint64_t deadline_ns)
{
	int rc = 0;

	if (machine->flags & OB_MACHINE_NO_BIND)
		return 0;
	for (struct ob_device *dev = ob_device_next(machine, NULL); dev != NULL; dev = ob_device_next(machine, dev)) {
		if (rc != 0 || dev->bind_tried)
			continue;
		/* A device that has no driver, or whose driver gave it up, is no error of the machine. */
		device_bind(dev, deadline_ns);
		if (machine_is_dead(machine))
			rc = -ENODEV;
		else if (ob_now_ns() >= deadline_ns)
			rc = -ETIMEDOUT;
	}
	return rc;
}

static int scan_and_bind(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	int rc = ob_mutex_lock(&machine->mutex, deadline_ns);

	if (rc != 0)
		return rc;
	rc = machine_scan(machine);
	if (rc == 0)
		rc = machine_bind_new(machine, deadline_ns);
	ob_mutex_unlock(&machine->mutex);
	return rc;
}

/* As the first scan, but what was let go may come back before it. */
static int rescan(struct ob_machine *machine, struct ob_device *dev, uint64_t deadline_ns)
{
	const struct machine_ops *ops = machine->m->ops;
	int rc = ob_mutex_lock(&machine->mutex, deadline_ns);

	if (rc != 0)
		return rc;
	if (ops->rescan != NULL)
		rc = ops->rescan(machine->m, deadline_ns);
	if (rc == 0)
		rc = machine_scan(machine);
	if (rc == 0)
		rc = machine_bind_new(machine, deadline_ns);
	ob_mutex_unlock(&machine->mutex);
	return rc;
}

/* ---- death ---- */

/* Children come last in the list, so they go first. */
static void unbind_all(struct ob_machine *machine, uint64_t deadline_ns)
{
	struct ob_device *dev;

	for (uint64_t serial = UINT64_MAX; (dev = device_before(machine, serial)) != NULL;) {
		serial = dev->serial;
		if (device_unbind(dev, deadline_ns) != 0)
			ob_err(machine->ob, "%s: cannot be taken away", dev->name);
		ob_device_put(dev);
	}
}

static void dead_task(void *arg)
{
	struct ob_machine *machine = arg;

	unbind_all(machine, ob_deadline(MACHINE_CLOSE_TIMEOUT_NS));
	machine_job_end(machine);
}

/* CPU 0, soft. The job goes on in the task. */
static void machine_dead_work(struct ob_work *work)
{
	struct ob_machine *machine = container_of(work, struct ob_machine, dead_work);

	ob_lock(&machine->ob->lock);
	list_for_each (node, &machine->devices)
		device_set_gone(list_entry(node, struct ob_device, link));
	ob_unlock(&machine->ob->lock);
	if (ob_task_spawn(machine->ob->cpus[0], "machine-dead", dead_task, machine, NULL) != 0)
		ob_cpu_post(machine->ob->cpus[0], work);
}

/* Any thread, any context, also inside a register access: no lock is taken here. */
static void machine_die(struct ob_machine *machine, const char *why)
{
	machine_job_begin(machine);
	if (__atomic_exchange_n(&machine->why_said, true, __ATOMIC_ACQ_REL)) {
		machine_job_end(machine);
		return;
	}
	__atomic_store_n(&machine->dead, true, __ATOMIC_RELEASE);
	ob_err(machine->ob, "%s: the machine is dead: %s", machine->uri, why);
	ob_cpu_post(machine->ob->cpus[0], &machine->dead_work);
}

static void machine_on_dead(struct machine *m, const char *why)
{
	OB_WRITE_ONCE(m->dead, true);
	machine_die(m->core, why);
}

/* Any thread that is not inside a call of the machine. */
static void machine_on_removal(struct machine *m, const char *device, enum machine_removal how, const char *why)
{
	struct ob_device *dev = ob_device_find(m->core, device);

	if (dev == NULL) {
		/* No bus found it, or it is removed already: nobody has to be asked. */
		if (m->ops->release != NULL)
			m->ops->release(m, device);
		return;
	}
	if (how == MACHINE_REMOVAL_GONE)
		device_vanish(dev, why);
	else
		device_leave(dev, why);
	ob_device_put(dev);
}

/* ---- open ---- */

static struct ob_machine *machine_create(struct ob *ob, const char *uri, unsigned flags)
{
	struct ob_machine *machine = ob_alloc(sizeof(*machine));
	size_t uri_size = strlen(uri) + 1;

	if (machine == NULL)
		return NULL;
	machine->uri = ob_alloc(uri_size);
	if (machine->uri == NULL) {
		ob_free(machine);
		return NULL;
	}
	memcpy(machine->uri, uri, uri_size);
	list_init(&machine->link);
	machine->ob = ob;
	machine->gone = (struct machine){.ops = &machine_gone_ops, .dead = true, .core = machine};
	machine->m = &machine->gone;
	machine->flags = flags;
	machine->refs = 1;
	machine->m_users = 1;
	machine->drain_ns = DEVICE_DRAIN_TIMEOUT_NS;
	ob_work_init(&machine->dead_work, machine_dead_work);
	ob_mutex_init(&machine->mutex, "machine");
	list_init(&machine->devices);
	machine_dma_init(machine);
	machine_irq_init(machine);
	return machine;
}

int machine_open(struct ob *ob, const struct machine_type *type, const char *uri, const char *rest,
		 const struct ob_machine_options *options, struct ob_machine **out)
{
	struct ob_machine_options defaults = {0};
	struct ob_machine *machine;
	struct machine *m = NULL;
	uint64_t deadline_ns;
	int rc;

	if (options == NULL)
		options = &defaults;
	deadline_ns = ob_deadline(options->timeout_ns != 0 ? options->timeout_ns : MACHINE_OPEN_TIMEOUT_NS);
	machine = machine_create(ob, uri, options->flags);
	if (machine == NULL)
		return -ENOMEM;
	rc = type->open(ob, rest, options, deadline_ns, &m);
	if (rc != 0) {
		machine_unuse(machine);
		machine_put(machine);
		return rc;
	}
	machine->m = m;
	m->core = machine;
	/* It may have died before it knew whom to tell: then it has left the flag. */
	__atomic_store_n(&m->on_dead, machine_on_dead, __ATOMIC_SEQ_CST);
	__atomic_store_n(&m->on_removal, machine_on_removal, __ATOMIC_RELEASE);
	if (OB_READ_ONCE(m->dead))
		machine_on_dead(m, "it died as it was opened");
	ob_lock(&ob->lock);
	list_add_tail(&ob->machines, &machine->link);
	ob_unlock(&ob->lock);

	rc = machine_run_task(machine, NULL, "machine-open", scan_and_bind, deadline_ns);
	if (rc != 0) {
		ob_err(ob, "%s: not opened: %s", uri, strerror(-rc));
		if (rc == -ETIMEDOUT)
			machine_die(machine, "its start took too long");
		ob_machine_close(machine);
		return rc;
	}
	*out = machine;
	return 0;
}

static void log_schemes(struct ob *ob, const char *uri)
{
	char known[256] = "";
	size_t len = 0;

	for (const struct machine_type *const *type = machine_types; *type != NULL && len < sizeof(known); type++)
		len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s:", len > 0 ? ", " : "",
					(*type)->scheme);
	ob_err(ob, "%s: no such kind of machine; known are %s", uri, len > 0 ? known : "none");
}

int ob_machine_open(struct ob *ob, const char *uri, const struct ob_machine_options *options, struct ob_machine **out)
{
	const struct machine_type *type;
	const char *rest;

	if (ob == NULL || uri == NULL || out == NULL)
		return -EINVAL;
	*out = NULL;
	if (strchr(uri, ':') == NULL) {
		ob_err(ob, "%s: not a machine: scheme:rest is expected, as in model: or qemu:q35", uri);
		return -EINVAL;
	}
	type = machine_type_find(uri, &rest);
	if (type == NULL) {
		log_schemes(ob, uri);
		return -ENOENT;
	}
	return machine_open(ob, type, uri, rest, options, out);
}

/* ---- close ---- */

/* Removals that were under way when the close began: they use the context, so they have to end. */
static int wait_for_jobs(struct ob_machine *machine, uint64_t deadline_ns)
{
	while (__atomic_load_n(&machine->jobs, __ATOMIC_ACQUIRE) != 0) {
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_deadline(100 * OB_NS_PER_US));
	}
	return 0;
}

/* Last to first, so children before parents; then what the buses keep. */
static int close_task(struct ob_machine *machine, struct ob_device *unused, uint64_t deadline_ns)
{
	struct ob_device *dev;
	int rc = ob_mutex_lock(&machine->mutex, deadline_ns);

	if (rc != 0)
		return rc;
	while ((dev = device_before(machine, UINT64_MAX)) != NULL) {
		device_remove_until(dev, deadline_ns);
		ob_device_put(dev);
	}
	if (machine->stuck != 0)
		rc = -EBUSY;
	/* From here on nobody begins a removal: every device is gone, and the machine cannot die twice. */
	__atomic_store_n(&machine->dead, true, __ATOMIC_RELEASE);
	if (!__atomic_exchange_n(&machine->why_said, true, __ATOMIC_ACQ_REL))
		ob_debug(machine->ob, "%s: closed", machine->uri);
	if (rc == 0)
		rc = wait_for_jobs(machine, deadline_ns);
	for (const struct bus_type *const *type = bus_types; rc == 0 && *type != NULL; type++)
		if ((*type)->forget != NULL)
			(*type)->forget(machine);
	ob_mutex_unlock(&machine->mutex);
	return rc;
}

/*
 * A driver is stuck in there. All memory that it uses must stay, the machine's too; but nothing goes on behind it: the
 * far side is stopped, and whatever the driver still asks of it is answered as by the dead.
 */
static void machine_abandon(struct ob_machine *machine, int error)
{
	struct ob *ob = machine->ob;

	ob_err(ob, "%s: cannot be closed, its memory stays: %s", machine->uri, strerror(-error));
	__atomic_store_n(&machine->dead, true, __ATOMIC_RELEASE);
	__atomic_store_n(&machine->why_said, true, __ATOMIC_RELEASE);
	if (machine->m->ops->shutdown != NULL)
		machine->m->ops->shutdown(machine->m);
	__atomic_fetch_add(&ob->abandoned, 1, __ATOMIC_RELAXED);
}

/* It has nothing to fall back on, so for want of memory it waits a little. */
static int close_firmly(struct ob_machine *machine, uint64_t deadline_ns)
{
	int rc;

	while ((rc = machine_run_task(machine, NULL, "machine-close", close_task, deadline_ns)) == -ENOMEM &&
	       ob_now_ns() < deadline_ns)
		event_await_memory(machine->ob);
	return rc;
}

void machine_close(struct ob_machine *machine, uint64_t deadline_ns)
{
	struct ob *ob = machine->ob;
	int rc;

	ob_lock(&ob->lock);
	list_del(&machine->link);
	ob_unlock(&ob->lock);
	rc = close_firmly(machine, deadline_ns);
	if (rc != 0) {
		machine_abandon(machine, rc);
		return;
	}
	if (machine->m->ops->shutdown != NULL)
		machine->m->ops->shutdown(machine->m);
	else if (__atomic_load_n(&machine->m_users, __ATOMIC_RELAXED) > 1)
		ob_warn(ob, "%s: stays until the last of its windows is put", machine->uri);
	machine_unuse(machine);
	machine_put(machine);
}

void ob_machine_close(struct ob_machine *machine)
{
	if (machine != NULL)
		machine_close(machine, ob_deadline(MACHINE_CLOSE_TIMEOUT_NS));
}

/* ---- the rest ---- */

int ob_machine_rescan(struct ob_machine *machine)
{
	if (machine_is_dead(machine))
		return -ENODEV;
	return machine_run_task(machine, NULL, "machine-rescan", rescan, ob_deadline(MACHINE_OPEN_TIMEOUT_NS));
}

struct ob *ob_machine_context(const struct ob_machine *machine)
{
	return machine->ob;
}

const char *ob_machine_uri(const struct ob_machine *machine)
{
	return machine->uri;
}

int ob_machine_command(struct ob_machine *machine, const char *command, char **reply, uint64_t deadline_ns)
{
	if (reply != NULL)
		*reply = NULL;
	if (machine->m->ops->command == NULL)
		return machine_is_dead(machine) ? -ENODEV : -EOPNOTSUPP;
	return machine->m->ops->command(machine->m, command, reply, deadline_ns);
}

void **machine_bus_data(struct ob_machine *machine, enum machine_bus_kind kind)
{
	assert((unsigned)kind < MACHINE_BUS_KINDS);
	return &machine->bus_data[kind];
}

static int register_all(struct ob *ob, const struct ob_driver *const *drivers)
{
	int rc = 0;

	for (; rc == 0 && *drivers != NULL; drivers++)
		rc = ob_driver_register(ob, *drivers);
	return rc;
}

int devices_init(struct ob *ob)
{
	int rc;

	ob_lock_init(&ob->lock, "context");
	list_init(&ob->machines);
	ob->drivers = NULL;
	ob->driver_count = 0;
	rc = register_all(ob, bus_drivers);
	if (rc == 0)
		rc = register_all(ob, builtin_drivers);
	if (rc != 0)
		devices_fini(ob);
	return rc;
}

void devices_fini(struct ob *ob)
{
	for (;;) {
		struct list *first;

		ob_lock(&ob->lock);
		first = list_empty(&ob->machines) ? NULL : ob->machines.next;
		ob_unlock(&ob->lock);
		if (first == NULL)
			break;
		ob_machine_close(list_entry(first, struct ob_machine, link));
	}
	ob_free((void *)ob->drivers);
	ob->drivers = NULL;
	ob->driver_count = 0;
}
