/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a hybrid source goes on polling, when a share of the CPU is what it may take: arithmetic alone, no clock.
 *
 * The share earns credit as time goes by, and whatever the CPU does, sleep excepted, spends it. When something has
 * arrived and the credit pays for polling until the next arrival, as the rate of arrivals lets expect it, then that is
 * done; else the interrupt is armed at once, and the credit grows. So a part of the gaps between arrivals is polled
 * through, rather than the beginning of each, which finds nothing where arrivals are regular.
 */
#ifndef OB_CORE_SHARE_H
#define OB_CORE_SHARE_H

#include <outboard/poll.h>

/* @percent: 1 to 100; @awake_ns: CPU time that was taken so far, whatever it counts from. */
void share_start(struct ob_poll_share *s, unsigned percent, uint64_t now_ns, uint64_t awake_ns);
/* Something arrived and was taken: for how long to poll now; 0: not at all. */
uint64_t share_window(struct ob_poll_share *s, uint64_t now_ns, uint64_t awake_ns);

#endif
