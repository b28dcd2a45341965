/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network interface of ours as one of the kernel's: a TAP device whose frames go through our driver. The kernel's own
 * TCP/IP runs on it, as if the device had a driver in the kernel.
 *
 * It works on one CPU, whose turns drive it. The TAP device has the interface's address and MTU, and its carrier follows
 * the interface's link. Whoever sets it down and up again, or gives it another MTU, does no harm: what it does not take,
 * and frames that are too long for the interface, are dropped and counted. Checksums and segments that are left open are
 * passed on in both directions, where the interface can; what it cannot send so, the class makes whole.
 */
#ifndef OUTBOARD_TAP_H
#define OUTBOARD_TAP_H

#include <outboard/net.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_tap;

/* Zero means the default everywhere. */
struct ob_tap_config {
	const char *name;           /* "tap0", at most 15 characters; NULL: the kernel finds one. One that is there and
	                             * that nobody uses is taken over, with what it is set to. */
	struct ob_cpu *cpu;         /* NULL: CPU 0 */
	unsigned depth;             /* frames in each ring; 0: 1024 */
	struct ob_poll_config poll; /* of the interface's channel */
	bool no_offloads;           /* whole frames with all checksums in them, in both directions */
};

struct ob_tap_stats {
	uint64_t to_kernel_frames, to_kernel_bytes;
	uint64_t from_kernel_frames, from_kernel_bytes;
	uint64_t to_kernel_dropped;   /* that the kernel did not take: the TAP device is down, or its queue is full */
	uint64_t from_kernel_dropped; /* longer than the interface's MTU, or that made no sense to us */
};

/**
 * ob_tap_create - make the TAP device, open a channel of @net, and begin
 * @config: copied; NULL for the defaults
 * @out:    ob_tap_destroy() ends it
 *
 * The TAP device is down until somebody sets it up (ip link, or ob_tap_set_address()).
 * Context: a plain thread.
 * Return: 0; -EPERM CAP_NET_ADMIN is lacking; -ENOENT there is no /dev/net/tun; -EBUSY somebody uses that device;
 * -EINVAL the name; -ENOMEM; -EMFILE; or as ob_net_channel_open(). A line in the log says which.
 */
int ob_tap_create(struct ob_net *net, const struct ob_tap_config *config, struct ob_tap **out);
/** ob_tap_destroy - end it; a TAP device that was made here goes. A plain thread. NULL is fine. */
void ob_tap_destroy(struct ob_tap *tap);
/** ob_tap_online - false: somebody deleted the TAP device, and no frame comes through any more. Any thread */
bool ob_tap_online(const struct ob_tap *tap);
/** ob_tap_name - as the kernel calls it */
const char *ob_tap_name(const struct ob_tap *tap);
/** ob_tap_channel - the interface's channel that it uses, for its figures; valid until ob_tap_destroy() */
struct ob_net_channel *ob_tap_channel(const struct ob_tap *tap);
/** ob_tap_stats - any thread; may lag while the CPU runs */
void ob_tap_stats(const struct ob_tap *tap, struct ob_tap_stats *out);
/**
 * ob_tap_set_address - give it an IPv4 address, and set it up
 * @address:     host order
 * @prefix_bits: of its network, 1 to 32
 *
 * Context: a plain thread.
 * Return: 0; -EPERM; -EINVAL; another negative errno of the kernel.
 */
int ob_tap_set_address(struct ob_tap *tap, uint32_t address, unsigned prefix_bits);

#ifdef __cplusplus
}
#endif
#endif
