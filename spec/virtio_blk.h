/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VIRTIO 1.2 clause 5.2, block device: features, configuration, requests.
 *
 * Bits only, for drivers, models and servers alike. A sector is 512 bytes, whatever the device's block is.
 */
#ifndef OB_SPEC_VIRTIO_BLK_H
#define OB_SPEC_VIRTIO_BLK_H

#include <assert.h>
#include <stddef.h>

#include <outboard/types.h>

#include "base/bits.h"

/* ---- feature bits: §5.2.3 ---- */
#define VIRTIO_BLK_F_SIZE_MAX     1  /* size_max */
#define VIRTIO_BLK_F_SEG_MAX      2  /* seg_max */
#define VIRTIO_BLK_F_GEOMETRY     4  /* geometry */
#define VIRTIO_BLK_F_RO           5  /* write protected */
#define VIRTIO_BLK_F_BLK_SIZE     6  /* blk_size */
#define VIRTIO_BLK_F_FLUSH        9  /* flush; without it, and without CONFIG_WCE, writes are durable when they end */
#define VIRTIO_BLK_F_TOPOLOGY     10 /* topology */
#define VIRTIO_BLK_F_CONFIG_WCE   11 /* writeback */
#define VIRTIO_BLK_F_MQ           12 /* num_queues */
#define VIRTIO_BLK_F_DISCARD      13
#define VIRTIO_BLK_F_WRITE_ZEROES 14
#define VIRTIO_BLK_F_LIFETIME     15
#define VIRTIO_BLK_F_SECURE_ERASE 16

/* ---- configuration: §5.2.4; the driver writes only writeback ---- */
struct virtio_blk_config {
	ob_le64 capacity; /* in sectors */
	ob_le32 size_max; /* bytes of one segment */
	ob_le32 seg_max;  /* segments of data of one request */
	struct {
		ob_le16 cylinders;
		uint8_t heads, sectors;
	} geometry;
	ob_le32 blk_size; /* in bytes */
	struct {
		uint8_t physical_block_exp; /* logical blocks per physical one, as a power of two */
		uint8_t alignment_offset;   /* of the first aligned logical block */
		ob_le16 min_io_size;        /* suggested, in blocks */
		ob_le32 opt_io_size;        /* suggested, in blocks */
	} topology;
	uint8_t writeback; /* 0: writes are durable when they end */
	uint8_t unused0;
	ob_le16 num_queues;
	ob_le32 max_discard_sectors; /* of one segment */
	ob_le32 max_discard_seg;     /* of one request */
	ob_le32 discard_sector_alignment;
	ob_le32 max_write_zeroes_sectors;
	ob_le32 max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
	ob_le32 max_secure_erase_sectors;
	ob_le32 max_secure_erase_seg;
	ob_le32 secure_erase_sector_alignment;
};
static_assert(sizeof(struct virtio_blk_config) == 72, "configuration");
static_assert(offsetof(struct virtio_blk_config, blk_size) == 20, "configuration");
static_assert(offsetof(struct virtio_blk_config, writeback) == 32, "configuration");
static_assert(offsetof(struct virtio_blk_config, max_discard_sectors) == 36, "configuration");
static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "configuration");

/* ---- requests: §5.2.6 ---- */
#define VIRTIO_BLK_SECTOR_SHIFT 9
#define VIRTIO_BLK_SECTOR_BYTES (1u << VIRTIO_BLK_SECTOR_SHIFT)

#define VIRTIO_BLK_T_IN           0
#define VIRTIO_BLK_T_OUT          1
#define VIRTIO_BLK_T_FLUSH        4
#define VIRTIO_BLK_T_GET_ID       8
#define VIRTIO_BLK_T_GET_LIFETIME 10
#define VIRTIO_BLK_T_DISCARD      11
#define VIRTIO_BLK_T_WRITE_ZEROES 13
#define VIRTIO_BLK_T_SECURE_ERASE 14

/* Device reads it; data follows, then the status byte, which the device writes. */
struct virtio_blk_header {
	ob_le32 type;
	ob_le32 reserved;
	ob_le64 sector; /* of IN and OUT; 0 for the others */
};
static_assert(sizeof(struct virtio_blk_header) == 16, "header");

#define VIRTIO_BLK_S_OK     0
#define VIRTIO_BLK_S_IOERR  1
#define VIRTIO_BLK_S_UNSUPP 2

/* The data of DISCARD, WRITE_ZEROES and SECURE_ERASE: segments of this. */
struct virtio_blk_range {
	ob_le64 sector;
	ob_le32 num_sectors;
	ob_le32 flags;
};
static_assert(sizeof(struct virtio_blk_range) == 16, "range");

#define VIRTIO_BLK_RANGE_UNMAP BIT(0) /* of WRITE_ZEROES: the sectors may be given back; 0 for the others */

#define VIRTIO_BLK_ID_BYTES 20 /* the data of GET_ID: text, padded with zeroes, not terminated */

/* The data of GET_LIFETIME, as JEDEC's eMMC has it. */
struct virtio_blk_lifetime {
	ob_le16 pre_eol_info;              /* spare blocks: VIRTIO_BLK_EOL_* */
	ob_le16 device_lifetime_est_typ_a; /* SLC cells: 1 for 0 to 10 % of the life used, … 10; 11: beyond; 0 unknown */
	ob_le16 device_lifetime_est_typ_b; /* MLC cells */
};
static_assert(sizeof(struct virtio_blk_lifetime) == 6, "lifetime");

#define VIRTIO_BLK_EOL_UNDEFINED 0
#define VIRTIO_BLK_EOL_NORMAL    1 /* less than 80 % of the reserve is used */
#define VIRTIO_BLK_EOL_WARNING   2 /* 80 % */
#define VIRTIO_BLK_EOL_URGENT    3 /* 90 % */

#endif
