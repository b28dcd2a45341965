/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net= and e1000e= of a "qemu:" URI. */
#ifndef OB_MACHINE_QEMU_URI_NET_H
#define OB_MACHINE_QEMU_URI_NET_H

#include "machine/qemu/uri.h"
#include "machine/text.h"

/*
 * A -netdev and a -device for @key (which stays) = @value, into uri->args. On an error @why has one line about it. 0;
 * -EINVAL; -ENOMEM.
 */
int qemu_uri_net(struct qemu_uri *uri, const char *key, const char *value, const struct machine_text_why *why);

#endif
