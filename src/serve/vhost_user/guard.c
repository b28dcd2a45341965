/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SIGBUS handler. It may interrupt anything, this file included, so it only reads: a table that never moves, whose
 * entries are published by their base and taken back the same way. Nobody accesses a range while it comes or goes.
 */
#include "serve/vhost_user/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/bits.h"

#define RANGES_MAX 4096u

struct range {
	uintptr_t base; /* __atomic; 0: nobody's */
	size_t len_bytes, page_bytes;
	unsigned *hurt;
};

static struct range ranges[RANGES_MAX];
static unsigned ranges_end; /* __atomic; no entry at or behind it was ever used */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;

static bool replace(const struct range *range, uintptr_t address)
{
	void *page = (void *)ALIGN_DOWN(address, range->page_bytes);

	if (mmap(page, range->page_bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED)
		return false;
	__atomic_store_n(range->hurt, 1, __ATOMIC_RELEASE);
	return true;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	uintptr_t address = (uintptr_t)info->si_addr;
	unsigned end = __atomic_load_n(&ranges_end, __ATOMIC_ACQUIRE);
	int saved = errno;

	for (unsigned i = 0; i < end; i++) {
		uintptr_t base = __atomic_load_n(&ranges[i].base, __ATOMIC_ACQUIRE);

		if (base == 0 || address < base || address - base >= ranges[i].len_bytes)
			continue;
		if (!replace(&ranges[i], address))
			break;
		errno = saved;
		return;
	}
	errno = saved;
	if ((before.sa_flags & SA_SIGINFO) != 0)
		before.sa_sigaction(number, info, context);
	else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
		before.sa_handler(number);
	else {
		signal(SIGBUS, SIG_DFL);
		raise(SIGBUS);
	}
}

/* Who set a handler of his own meanwhile gets what is not ours. */
static int install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK}, now;

	if (sigaction(SIGBUS, NULL, &now) != 0)
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_sigbus)
		return 0;
	before = now;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

int vu_guard_add(void *base, size_t len_bytes, size_t page_bytes, unsigned *hurt, unsigned *out)
{
	unsigned i = 0;
	int ret;

	if (base == NULL || !IS_POWER_OF_2(page_bytes) || !IS_ALIGNED((uintptr_t)base, page_bytes))
		return -EINVAL;
	pthread_mutex_lock(&mutex);
	ret = install();
	while (ret == 0 && i < RANGES_MAX && ranges[i].base != 0)
		i++;
	if (ret == 0 && i == RANGES_MAX)
		ret = -ENOSPC;
	if (ret == 0) {
		ranges[i].len_bytes = len_bytes;
		ranges[i].page_bytes = page_bytes;
		ranges[i].hurt = hurt;
		__atomic_store_n(&ranges[i].base, (uintptr_t)base, __ATOMIC_RELEASE);
		if (i >= ranges_end)
			__atomic_store_n(&ranges_end, i + 1, __ATOMIC_RELEASE);
		*out = i;
	}
	pthread_mutex_unlock(&mutex);
	return ret;
}

void vu_guard_remove(unsigned index)
{
	pthread_mutex_lock(&mutex);
	__atomic_store_n(&ranges[index].base, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&mutex);
}
