/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VIRTIO 1.2 (OASIS, committee specification 01): status, features, both ring layouts, the PCI and MMIO transports.
 *
 * Bits only, for drivers and devices alike. Clauses are those of the specification. Device classes have headers of their
 * own. Offsets and sizes are in bytes. The legacy interface is not here.
 */
#ifndef OB_SPEC_VIRTIO_H
#define OB_SPEC_VIRTIO_H

#include <assert.h>
#include <stddef.h>

#include <outboard/types.h>

#include "base/bits.h"

/* ---- device ids: clause 5 ---- */
#define VIRTIO_ID_NET     1
#define VIRTIO_ID_BLOCK   2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_RNG     4
#define VIRTIO_ID_BALLOON 5
#define VIRTIO_ID_SCSI    8
#define VIRTIO_ID_9P      9
#define VIRTIO_ID_GPU     16
#define VIRTIO_ID_INPUT   18
#define VIRTIO_ID_SOUND   25

/* ---- device status: §2.1, one byte ---- */
#define VIRTIO_STATUS_ACKNOWLEDGE BIT(0)
#define VIRTIO_STATUS_DRIVER      BIT(1)
#define VIRTIO_STATUS_DRIVER_OK   BIT(2)
#define VIRTIO_STATUS_FEATURES_OK BIT(3)
#define VIRTIO_STATUS_NEEDS_RESET BIT(6) /* the device sets it */
#define VIRTIO_STATUS_FAILED      BIT(7)

/* ---- feature bits of ring and transport: §2.2, clause 6 ---- */
#define VIRTIO_F_INDIRECT_DESC     28 /* §2.7.5.3, §2.8.7 */
#define VIRTIO_F_EVENT_IDX         29 /* §2.7.7, §2.8.10 */
#define VIRTIO_F_VERSION_1         32 /* not the legacy interface */
#define VIRTIO_F_ACCESS_PLATFORM   33 /* addresses are those of the platform's DMA: an IOMMU may be there */
#define VIRTIO_F_RING_PACKED       34 /* §2.8 */
#define VIRTIO_F_IN_ORDER          35 /* used in the order in which they were made available */
#define VIRTIO_F_ORDER_PLATFORM    36 /* the platform's barriers, not those between CPUs */
#define VIRTIO_F_SR_IOV            37
#define VIRTIO_F_NOTIFICATION_DATA 38 /* §2.9 */
#define VIRTIO_F_NOTIF_CONFIG_DATA 39 /* §4.1.5.2 */
#define VIRTIO_F_RING_RESET        40 /* §2.6.1 */
#define VIRTIO_F_FIRST_RESERVED    24 /* from here on they are for ring and transport … */
#define VIRTIO_F_LAST_RESERVED     49 /* … until here; the others are the device class's (§2.2) */

#define VIRTIO_FEATURES_RESERVED BITS64(VIRTIO_F_LAST_RESERVED, VIRTIO_F_FIRST_RESERVED)

#define VIRTIO_QUEUE_SIZE_MAX 32768u /* §2.6 */

/* ---- split ring: §2.7 ---- */

struct virtq_desc { /* §2.7.5 */
	ob_le64 addr;
	ob_le32 len;
	ob_le16 flags; /* VIRTQ_DESC_F_* */
	ob_le16 next;  /* with VIRTQ_DESC_F_NEXT */
};
static_assert(sizeof(struct virtq_desc) == 16, "VIRTIO §2.7.5");

#define VIRTQ_DESC_F_NEXT     BIT(0)
#define VIRTQ_DESC_F_WRITE    BIT(1) /* the device writes it */
#define VIRTQ_DESC_F_INDIRECT BIT(2) /* it holds a table of descriptors */

struct virtq_avail { /* §2.7.6; the driver writes it; ob_le16 used_event follows behind ring[size] */
	ob_le16 flags;
	ob_le16 idx;
	ob_le16 ring[];
};
#define VIRTQ_AVAIL_F_NO_INTERRUPT BIT(0)

struct virtq_used_elem { /* §2.7.8 */
	ob_le32 id;
	ob_le32 len;
};
struct virtq_used { /* §2.7.8; the device writes it; ob_le16 avail_event follows behind ring[size] */
	ob_le16 flags;
	ob_le16 idx;
	struct virtq_used_elem ring[];
};
static_assert(offsetof(struct virtq_avail, ring) == 4 && offsetof(struct virtq_used, ring) == 4, "VIRTIO §2.7");
#define VIRTQ_USED_F_NO_NOTIFY BIT(0)

/* Alignment (§2.7, table) and length of the three areas of a ring of @size entries. */
#define VIRTQ_DESC_ALIGN        16u
#define VIRTQ_AVAIL_ALIGN       2u
#define VIRTQ_USED_ALIGN        4u
#define VIRTQ_DESC_BYTES(size)  (16u * (size))
#define VIRTQ_AVAIL_BYTES(size) (6u + 2u * (size))
#define VIRTQ_USED_BYTES(size)  (6u + 8u * (size))
#define VIRTQ_USED_EVENT(size)  (4u + 2u * (size)) /* offset in the avail ring */
#define VIRTQ_AVAIL_EVENT(size) (4u + 8u * (size)) /* offset in the used ring */

/* ---- packed ring: §2.8 ---- */

struct virtq_packed_desc { /* §2.8.13 */
	ob_le64 addr;
	ob_le32 len;
	ob_le16 id;
	ob_le16 flags; /* VIRTQ_DESC_F_* and VIRTQ_PACKED_F_* */
};
static_assert(sizeof(struct virtq_packed_desc) == 16, "VIRTIO §2.8.13");

#define VIRTQ_PACKED_F_AVAIL BIT(7)
#define VIRTQ_PACKED_F_USED  BIT(15)

struct virtq_event {  /* §2.8.14: one each for driver and device */
	ob_le16 desc; /* VIRTQ_EVENT_OFFSET, VIRTQ_EVENT_WRAP */
	ob_le16 flags;
};
static_assert(sizeof(struct virtq_event) == 4, "VIRTIO §2.8.14");
#define VIRTQ_EVENT_OFFSET  BITS(14, 0)
#define VIRTQ_EVENT_WRAP    BIT(15)
#define VIRTQ_EVENT_FLAGS   BITS(1, 0)
#define VIRTQ_EVENT_ENABLE  0u
#define VIRTQ_EVENT_DISABLE 1u
#define VIRTQ_EVENT_DESC    2u /* at the place that desc tells; with VIRTIO_F_EVENT_IDX */

#define VIRTQ_PACKED_ALIGN       16u
#define VIRTQ_PACKED_BYTES(size) (16u * (size))
#define VIRTQ_EVENT_ALIGN        4u

/* Notification data (§2.9): queue number, and with VIRTIO_F_NOTIFICATION_DATA where the next descriptor will be. */
#define VIRTIO_NOTIFY_QUEUE  BITS(15, 0)
#define VIRTIO_NOTIFY_OFFSET BITS(30, 16) /* packed; split: the avail index in 31:16 */
#define VIRTIO_NOTIFY_WRAP   BIT(31)      /* packed */
#define VIRTIO_NOTIFY_INDEX  BITS(31, 16) /* split */

/* ---- PCI transport: §4.1 ---- */
#define VIRTIO_PCI_VENDOR             0x1af4
#define VIRTIO_PCI_DEVICE(id)         (0x1040u + (id)) /* §4.1.2 */
#define VIRTIO_PCI_DEVICE_LAST        0x107f
#define VIRTIO_PCI_TRANSITIONAL_FIRST 0x1000
#define VIRTIO_PCI_TRANSITIONAL_LAST  0x103f

/* Vendor capability: §4.1.4. Offsets inside it. */
#define VIRTIO_PCI_CAP_LEN           2  /* 1B: of the capability */
#define VIRTIO_PCI_CAP_TYPE          3  /* 1B: VIRTIO_PCI_CAP_* below */
#define VIRTIO_PCI_CAP_BAR           4  /* 1B: 0 to 5; others are reserved: ignore */
#define VIRTIO_PCI_CAP_ID            5  /* 1B */
#define VIRTIO_PCI_CAP_OFFSET        8  /* 4B: in the BAR */
#define VIRTIO_PCI_CAP_LENGTH        12 /* 4B */
#define VIRTIO_PCI_CAP_BYTES         16
#define VIRTIO_PCI_CAP_MULTIPLIER    16 /* 4B: notify only, §4.1.4.4 */
#define VIRTIO_PCI_CAP_NOTIFY_BYTES  20
#define VIRTIO_PCI_CAP_DATA          16 /* 4B: window of the PCI configuration access, §4.1.4.9 */
#define VIRTIO_PCI_CAP_OFFSET_HIGH   16 /* 4B: shared memory, §4.1.4.7 */
#define VIRTIO_PCI_CAP_LENGTH_HIGH   20
#define VIRTIO_PCI_CAP_COMMON        1
#define VIRTIO_PCI_CAP_NOTIFY        2
#define VIRTIO_PCI_CAP_ISR           3
#define VIRTIO_PCI_CAP_DEVICE        4
#define VIRTIO_PCI_CAP_PCI           5
#define VIRTIO_PCI_CAP_SHARED_MEMORY 8
#define VIRTIO_PCI_CAP_VENDOR        9

/* Common configuration: §4.1.4.3. Each is accessed in its own width; those of 8 bytes as two of 4 (§4.1.3.1). */
#define VIRTIO_COMMON_DEVICE_FEATURE_SELECT 0x00 /* RW 4B */
#define VIRTIO_COMMON_DEVICE_FEATURE        0x04 /* RO 4B */
#define VIRTIO_COMMON_DRIVER_FEATURE_SELECT 0x08 /* RW 4B */
#define VIRTIO_COMMON_DRIVER_FEATURE        0x0c /* RW 4B */
#define VIRTIO_COMMON_CONFIG_VECTOR         0x10 /* RW 2B */
#define VIRTIO_COMMON_NUM_QUEUES            0x12 /* RO 2B */
#define VIRTIO_COMMON_STATUS                0x14 /* RW 1B */
#define VIRTIO_COMMON_GENERATION            0x15 /* RO 1B */
#define VIRTIO_COMMON_QUEUE_SELECT          0x16 /* RW 2B */
#define VIRTIO_COMMON_QUEUE_SIZE            0x18 /* RW 2B */
#define VIRTIO_COMMON_QUEUE_VECTOR          0x1a /* RW 2B */
#define VIRTIO_COMMON_QUEUE_ENABLE          0x1c /* RW 2B */
#define VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET   0x1e /* RO 2B: times the multiplier */
#define VIRTIO_COMMON_QUEUE_DESC            0x20 /* RW 8B */
#define VIRTIO_COMMON_QUEUE_DRIVER          0x28 /* RW 8B */
#define VIRTIO_COMMON_QUEUE_DEVICE          0x30 /* RW 8B */
#define VIRTIO_COMMON_BYTES                 0x38 /* what every device has */
#define VIRTIO_COMMON_QUEUE_NOTIFY_DATA     0x38 /* RO 2B; with VIRTIO_F_NOTIF_CONFIG_DATA */
#define VIRTIO_COMMON_QUEUE_RESET           0x3a /* RW 2B; with VIRTIO_F_RING_RESET */
#define VIRTIO_COMMON_BYTES_MAX             0x3c

#define VIRTIO_NO_VECTOR 0xffffu /* §4.1.5.1.2 */

/* ISR status: §4.1.4.5; reading takes the interrupt down. The MMIO transport has the same bits (§4.2.2). */
#define VIRTIO_ISR_QUEUE  BIT(0)
#define VIRTIO_ISR_CONFIG BIT(1)

/* ---- MMIO transport: §4.2.2, version 2; 4B each, but for the device's configuration ---- */
#define VIRTIO_MMIO_MAGIC               0x000 /* RO: "virt" */
#define VIRTIO_MMIO_VERSION             0x004 /* RO: 2; 1 is the legacy interface */
#define VIRTIO_MMIO_DEVICE_ID           0x008 /* RO: 0: nothing there */
#define VIRTIO_MMIO_VENDOR_ID           0x00c /* RO */
#define VIRTIO_MMIO_DEVICE_FEATURES     0x010 /* RO */
#define VIRTIO_MMIO_DEVICE_FEATURES_SEL 0x014 /* WO */
#define VIRTIO_MMIO_DRIVER_FEATURES     0x020 /* WO */
#define VIRTIO_MMIO_DRIVER_FEATURES_SEL 0x024 /* WO */
#define VIRTIO_MMIO_QUEUE_SEL           0x030 /* WO */
#define VIRTIO_MMIO_QUEUE_NUM_MAX       0x034 /* RO: 0: no such queue */
#define VIRTIO_MMIO_QUEUE_NUM           0x038 /* WO */
#define VIRTIO_MMIO_QUEUE_READY         0x044 /* RW */
#define VIRTIO_MMIO_QUEUE_NOTIFY        0x050 /* WO */
#define VIRTIO_MMIO_INTERRUPT_STATUS    0x060 /* RO: VIRTIO_ISR_* */
#define VIRTIO_MMIO_INTERRUPT_ACK       0x064 /* WO */
#define VIRTIO_MMIO_STATUS              0x070 /* RW */
#define VIRTIO_MMIO_QUEUE_DESC_LOW      0x080 /* WO; high half behind it, as of the next two */
#define VIRTIO_MMIO_QUEUE_DESC_HIGH     0x084
#define VIRTIO_MMIO_QUEUE_DRIVER_LOW    0x090
#define VIRTIO_MMIO_QUEUE_DRIVER_HIGH   0x094
#define VIRTIO_MMIO_QUEUE_DEVICE_LOW    0x0a0
#define VIRTIO_MMIO_QUEUE_DEVICE_HIGH   0x0a4
#define VIRTIO_MMIO_SHM_SEL             0x0ac /* WO */
#define VIRTIO_MMIO_SHM_LEN_LOW         0x0b0 /* RO; then high, base low, base high */
#define VIRTIO_MMIO_QUEUE_RESET         0x0c0 /* RW; with VIRTIO_F_RING_RESET */
#define VIRTIO_MMIO_CONFIG_GENERATION   0x0fc /* RO */
#define VIRTIO_MMIO_CONFIG              0x100 /* RW: the device's configuration, in its fields' widths */

#define VIRTIO_MMIO_MAGIC_VALUE    0x74726976u
#define VIRTIO_MMIO_VERSION_LEGACY 1u
#define VIRTIO_MMIO_VERSION_MODERN 2u

#endif
