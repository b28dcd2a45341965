/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers that are built in. */
#include "core/device.h"
#include "drivers/block/nvme/nvme.h"
#include "drivers/block/virtio_blk/virtio_blk.h"
#include "drivers/net/e1000e/e1000e.h"
#include "drivers/net/virtio_net/virtio_net.h"

const struct ob_driver *const builtin_drivers[] = {
	&nvme_driver, &virtio_blk_driver, &virtio_net_driver, &e1000e_driver, NULL,
};
