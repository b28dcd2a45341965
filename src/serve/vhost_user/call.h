/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signalling a client. Its eventfd is shared with it: a client that fills the counter and made the descriptor a waiting one
 * could keep a CPU in write() for ever. No flag of the call prevents that, so a thread watches the lanes and interrupts a
 * write that takes too long; its client has then earned its end.
 */
#ifndef OB_SERVE_VHOST_USER_CALL_H
#define OB_SERVE_VHOST_USER_CALL_H

#include <outboard/types.h>

struct vu_lane;
struct vu_watchdog;

/** vu_call - count an eventfd of a client's up. The lane's CPU. 0; negative errno: it takes none. */
int vu_call(struct vu_lane *lane, int fd);

/**
 * vu_take_kick - take what an eventfd of a client's has counted, if anything
 *
 * Its count may be taken by the client between our being woken and our look, and its reads may be made to wait: this one
 * never does. Hard context. 0; negative errno: it is no eventfd.
 */
int vu_take_kick(int fd);

/** vu_watchdog_start - over these lanes, whose CPUs run. A plain thread. 0; -ENOMEM; -EAGAIN */
int vu_watchdog_start(struct vu_lane *lanes, unsigned lane_count, struct vu_watchdog **out);
void vu_watchdog_stop(struct vu_watchdog *watchdog);

#endif
