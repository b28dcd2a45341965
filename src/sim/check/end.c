/* SPDX-License-Identifier: BSD-2-Clause */
/* The start of all checks, and rules for the end of a run: no request is lost, nothing leaks, no thread is left. */
#include "sim/check/fetch.h"

void check_reset(void)
{
	check_gone_reset();
	check_irq_reset();
	check_lock_reset();
	check_lend_reset();
	check_fetch_reset();
	check_durable_reset();
}

void check_requests(void)
{
	if (W.request_count == 0)
		return;
	report_begin("request-lost", "%u requests never came back, %p the first of them", W.request_count,
		     W.requests[0]);
	report_end();
}

void check_end(void)
{
	check_requests();
	check_lock_end();
	check_lend_end();
	for (unsigned i = THREAD_MAIN + 1; i < W.thread_count; i++) {
		if (W.threads[i].state == THREAD_DONE)
			continue;
		report_begin("leak", "thread %s was never joined", W.threads[i].name);
		report_end();
	}
	for (unsigned i = 0; i < W.fd_count; i++) {
		if (!W.fds[i].open)
			continue;
		report_begin("leak", "interrupt descriptor %u was never closed", i);
		report_end();
	}
	for (unsigned i = 0; i < W.block_count; i++) {
		const struct block *b = &W.blocks[i];

		if (!b->live)
			continue;
		report_begin("leak", "%u bytes of %s, of %llu altogether, allocated at", b->len_bytes,
			     is_dma(b->address) ? "DMA memory" : "memory", (unsigned long long)W.live_bytes);
		report_pcs(b->pc, BLOCK_PCS);
		report_end();
	}
}
