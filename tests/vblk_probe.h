/* SPDX-License-Identifier: BSD-2-Clause */
/* Every fallible call of the virtio block driver's probe, and of opening a channel, failing in turn. */
#ifndef TESTS_VBLK_PROBE_H
#define TESTS_VBLK_PROBE_H

/* On the first virtio disk of the machine. Checks are cmocka's. */
void vblk_probe_fail_each(const char *uri);
void vblk_channel_fail_each(const char *uri);

#endif
