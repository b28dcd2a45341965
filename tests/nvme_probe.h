/* SPDX-License-Identifier: BSD-2-Clause */
/* Every fallible call of the NVMe driver's probe, and of opening a channel, failing in turn. */
#ifndef TESTS_NVME_PROBE_H
#define TESTS_NVME_PROBE_H

/* On the first NVMe controller of the machine. Checks are cmocka's. */
void nvme_probe_fail_each(const char *uri);
void nvme_channel_fail_each(const char *uri);

#endif
