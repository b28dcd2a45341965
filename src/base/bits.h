/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bits and fields of registers. A field is defined once, as its mask; the shift derives from it:
 *
 *	#define NVME_CC_SHN BITS(15, 14)
 *	cc |= FIELD_PREP(NVME_CC_SHN, 1);
 *
 * All are pure expressions, fit for static initialisers and static_assert.
 */
#ifndef OB_BASE_BITS_H
#define OB_BASE_BITS_H

#include <stdint.h>

#define BIT(n)         (1u << (n))
#define BIT64(n)       (1ull << (n))
#define BITS(hi, lo)   ((0xffffffffu >> (31 - (hi))) & (0xffffffffu << (lo)))
#define BITS64(hi, lo) ((0xffffffffffffffffull >> (63 - (hi))) & (0xffffffffffffffffull << (lo)))

/* The mask's lowest set bit is the field's unit, so no shift count is needed. */
#define FIELD_LOWEST(mask)      ((mask) & (~(mask) + 1))
#define FIELD_GET(mask, value)  (((value) & (mask)) / FIELD_LOWEST(mask))
#define FIELD_PREP(mask, value) (((value)*FIELD_LOWEST(mask)) & (mask))
#define FIELD_MAX(mask)         ((mask) / FIELD_LOWEST(mask))

#define ARRAY_SIZE(a)        (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, align)   (((x) + ((align)-1)) & ~((__typeof__(x))(align)-1)) /* align: a power of two */
#define ALIGN_DOWN(x, align) ((x) & ~((__typeof__(x))(align)-1))
#define IS_ALIGNED(x, align) (((x) & ((__typeof__(x))(align)-1)) == 0)
#define IS_POWER_OF_2(x)     ((x) != 0 && ((x) & ((x)-1)) == 0)
#define DIV_ROUND_UP(x, y)   (((x) + (y)-1) / (y))
#define MIN(a, b)            ((a) < (b) ? (a) : (b))
#define MAX(a, b)            ((a) > (b) ? (a) : (b))

#endif
