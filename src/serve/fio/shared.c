/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine of all jobs. */
#include "serve/fio/shared.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
	pthread_mutex_t lock;
	char uri[1024];
	unsigned users;
	struct ob *ob;
	struct ob_machine *machine;
	bool taken[OB_CPU_MAX];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_log(void *arg, enum ob_log_level level, const char *text)
{
	fprintf(stderr, "outboard: %s\n", text);
}

static void close_all(void)
{
	ob_machine_close(shared.machine);
	ob_destroy(shared.ob);
	shared.machine = NULL;
	shared.ob = NULL;
}

static int open_all(const char *uri)
{
	struct ob_config config = {.log = on_log, .log_level = OB_LOG_WARN, .cpu_count = OB_CPU_MAX};
	int ret = ob_create(&config, &shared.ob);

	if (ret < 0)
		return ret;
	ret = ob_machine_open(shared.ob, uri, NULL, &shared.machine);
	if (ret == 0)
		ret = ob_cpu_start(ob_cpu_get(shared.ob, 0), -1);
	if (ret < 0)
		close_all();
	memset(shared.taken, 0, sizeof(shared.taken));
	shared.taken[0] = true;
	return ret;
}

int shared_get(const char *uri)
{
	int ret = 0;

	if (strlen(uri) >= sizeof(shared.uri))
		return -ENAMETOOLONG;
	pthread_mutex_lock(&shared.lock);
	if (shared.users == 0) {
		ret = open_all(uri);
		strcpy(shared.uri, uri);
	} else if (strcmp(shared.uri, uri) != 0) {
		ret = -EXDEV;
	}
	if (ret == 0)
		shared.users++;
	pthread_mutex_unlock(&shared.lock);
	return ret;
}

void shared_put(void)
{
	pthread_mutex_lock(&shared.lock);
	if (--shared.users == 0) {
		ob_cpu_stop(ob_cpu_get(shared.ob, 0));
		close_all();
	}
	pthread_mutex_unlock(&shared.lock);
}

struct ob_block *shared_disk(const char *name)
{
	return ob_block_find(shared.ob, name);
}

struct ob_machine *shared_machine(void)
{
	return shared.machine;
}

struct ob_cpu *shared_cpu_take(void)
{
	struct ob_cpu *cpu = NULL;

	pthread_mutex_lock(&shared.lock);
	for (unsigned i = 0; i < OB_CPU_MAX && cpu == NULL; i++) {
		if (shared.taken[i])
			continue;
		shared.taken[i] = true;
		cpu = ob_cpu_get(shared.ob, i);
	}
	pthread_mutex_unlock(&shared.lock);
	return cpu;
}

void shared_cpu_give(struct ob_cpu *cpu)
{
	pthread_mutex_lock(&shared.lock);
	shared.taken[ob_cpu_index(cpu)] = false;
	pthread_mutex_unlock(&shared.lock);
}
