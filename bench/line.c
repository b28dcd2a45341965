/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line CPU CPU: nanoseconds that a cache line takes from one CPU to the other and back. Where the CPUs are a host's threads
 * this is not the same from one second to the next, and with it goes all that two CPUs do together.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <outboard/outboard.h>

#define TURNS 20000u

static _Alignas(128) atomic_uint turn;

static void pin(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(strtoul(cpu, NULL, 0), &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0)
		return;
	fprintf(stderr, "line: there is no CPU %s\n", cpu);
	exit(1);
}

/* Even turns are the one's, odd ones the other's. */
static void play(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i += 2) {
		while (atomic_load_explicit(&turn, memory_order_acquire) != i)
			;
		atomic_store_explicit(&turn, i + 1, memory_order_release);
	}
}

static void *other(void *arg)
{
	pin(arg);
	play(1, 2 * TURNS + 2);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	uint64_t start;

	if (argc != 3) {
		fprintf(stderr, "usage: %s CPU CPU\n", argv[0]);
		return 2;
	}
	pin(argv[1]);
	if (pthread_create(&thread, NULL, other, argv[2]) != 0) {
		fprintf(stderr, "%s: no thread\n", argv[0]);
		return 1;
	}
	/* In the first turn the other begins. */
	play(0, 2);
	while (atomic_load_explicit(&turn, memory_order_acquire) != 2)
		;
	start = ob_now_ns();
	play(2, 2 * TURNS + 2);
	printf("%llu\n", (unsigned long long)((ob_now_ns() - start) / TURNS));
	pthread_join(thread, NULL);
	return 0;
}
