/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of outboard devices. */
#ifndef OB_CLI_DEVICES_H
#define OB_CLI_DEVICES_H

#include <jansson.h>

#include <outboard/device.h>

#include "cli/cli.h"

/* What there is to say of a virtio device: transport, features, queues. Nothing of others; null. */
void devices_print_virtio(struct cli *cli, struct ob_device *dev, unsigned indent);
json_t *devices_json_virtio(struct cli *cli, struct ob_device *dev);

#endif
