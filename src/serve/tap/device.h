/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's side of a TAP device: its ioctls. */
#ifndef OB_SERVE_TAP_DEVICE_H
#define OB_SERVE_TAP_DEVICE_H

#include <outboard/types.h>

struct ob;

#define TAP_NAME_LEN 16u

/* What the kernel may leave open in frames that it sends. */
#define TAP_CSUM 0x01u
#define TAP_TSO4 0x02u
#define TAP_TSO6 0x04u

/**
 * tap_device_open - make a TAP device, or take one over that nobody uses
 * @wish:     its name, or NULL
 * @offloads: TAP_*
 * @name:     TAP_NAME_LEN; how it is called
 * @own_mac:  it keeps an address of its own: it was there before, and we may not set it
 * @fd:       -1 when it fails
 *
 * Return: 0, or negative errno, with a line in the log.
 */
int tap_device_open(struct ob *ob, const char *wish, unsigned offloads, const uint8_t mac[6], unsigned mtu, char *name,
		    bool *own_mac, int *fd);
/** tap_device_carrier - is there a link? */
void tap_device_carrier(int fd, bool on);
/** tap_device_address - give it an IPv4 address in host order, and set it up. 0 or negative errno. */
int tap_device_address(const char *name, uint32_t address, unsigned prefix_bits);

#endif
