/* SPDX-License-Identifier: BSD-2-Clause */
/* The context: made with its CPUs, ended when everything that hangs on it has ended. */
#include "core/context.h"

#include <errno.h>

#include "core/cpu.h"
#include "core/os.h"

#define TRACE_EVENTS_DEFAULT 4096

const char *ob_version(void)
{
	return OB_VERSION;
}

static void destroy_cpus(struct ob *ob)
{
	/* All stop before the first goes: they post to each other. */
	for (unsigned i = 0; i < ob->cpu_count; i++)
		ob_cpu_stop(ob->cpus[i]);
	for (unsigned i = ob->cpu_count; i-- > 0;)
		cpu_destroy(ob->cpus[i]);
}

int ob_create(const struct ob_config *config, struct ob **out)
{
	static const struct ob_config defaults;
	struct ob *ob;
	unsigned cpus;
	int rc;

	if (!config)
		config = &defaults;
	cpus = config->cpu_count ? config->cpu_count : 1;
	if (cpus > OB_CPU_MAX || (unsigned)config->log_level > OB_LOG_DEBUG)
		return -EINVAL;
	ob = os_alloc(sizeof(*ob), OB_CACHE_LINE);
	if (!ob)
		return -ENOMEM;
	ob->config = *config;
	if (ob->config.trace_events_per_cpu == 0)
		ob->config.trace_events_per_cpu = TRACE_EVENTS_DEFAULT;
	ob_lock_init(&ob->lock, "context");
	list_init(&ob->machines);
	list_init(&ob->blocks);
	list_init(&ob->nets);
	for (; ob->cpu_count < cpus; ob->cpu_count++) {
		rc = cpu_create(ob, ob->cpu_count, ob->config.trace_events_per_cpu, &ob->cpus[ob->cpu_count]);
		if (rc < 0)
			goto destroy_cpus;
	}
	rc = devices_init(ob);
	if (rc < 0)
		goto destroy_cpus;
	*out = ob;
	return 0;

destroy_cpus:
	destroy_cpus(ob);
	os_free(ob);
	return rc;
}

/* Something may still run in a driver or behind a machine: it finds its memory, and nobody who listens. */
static void abandon(struct ob *ob)
{
	ob_err(ob, "%u machines could not be closed: the context's memory stays", ob->abandoned);
	for (unsigned i = 0; i < ob->cpu_count; i++)
		ob_cpu_stop(ob->cpus[i]);
	__atomic_store_n(&ob->config.log, NULL, __ATOMIC_RELEASE);
}

void ob_destroy(struct ob *ob)
{
	if (!ob)
		return;
	devices_fini(ob);
	if (__atomic_load_n(&ob->abandoned, __ATOMIC_RELAXED) != 0) {
		abandon(ob);
		return;
	}
	destroy_cpus(ob);
	os_free(ob);
}
