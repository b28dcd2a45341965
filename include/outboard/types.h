/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Basic types: byte-order types, device addresses, bits and fields.
 *
 * A value in a byte order other than the CPU's is a one-member struct, so that the compiler refuses a mix-up; so is
 * an address as a device sees it. Memory that is shared with a device or another CPU is read and written through the
 * load and store functions, which take pointers: a simulated build sees each such access.
 */
#ifndef OUTBOARD_TYPES_H
#define OUTBOARD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OB_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define OB_UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define OB_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
#define OB_CACHE_LINE                      64 /* bytes; DMA buffers are padded to it */

#define OB_NS_PER_US 1000ull
#define OB_NS_PER_MS 1000000ull
#define OB_NS_PER_S  1000000000ull
#define OB_KIB       1024ull
#define OB_MIB       (1024ull * OB_KIB)
#define OB_GIB       (1024ull * OB_MIB)

/* A word that another CPU, an interrupt or a device may change: exactly one access, never torn, never repeated. */
#define OB_READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define OB_WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

typedef struct {
	uint16_t raw;
} ob_le16;
typedef struct {
	uint32_t raw;
} ob_le32;
typedef struct {
	uint64_t raw;
} ob_le64;
typedef struct {
	uint16_t raw;
} ob_be16;
typedef struct {
	uint32_t raw;
} ob_be32;
typedef struct {
	uint64_t raw;
} ob_be64;

/* An address as a device uses it. Only ob_dma_*() make one. */
typedef struct {
	uint64_t addr;
} ob_iova;

#if defined(OB_SIMULATED)
/* The CPUs of the deterministic world are of neither order, so that a field that was left in CPU order shows: each wire
 * type is kept the other way round, and what is no such type as it is. Only what shares memory with such a CPU may tell. */
#define OB_LE16(v) __builtin_bswap16(v)
#define OB_LE32(v) __builtin_bswap32(v)
#define OB_LE64(v) __builtin_bswap64(v)
#define OB_BE16(v) __builtin_bswap16(v)
#define OB_BE32(v) __builtin_bswap32(v)
#define OB_BE64(v) __builtin_bswap64(v)
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OB_LE16(v) (v)
#define OB_LE32(v) (v)
#define OB_LE64(v) (v)
#define OB_BE16(v) __builtin_bswap16(v)
#define OB_BE32(v) __builtin_bswap32(v)
#define OB_BE64(v) __builtin_bswap64(v)
#else
#define OB_LE16(v) __builtin_bswap16(v)
#define OB_LE32(v) __builtin_bswap32(v)
#define OB_LE64(v) __builtin_bswap64(v)
#define OB_BE16(v) (v)
#define OB_BE32(v) (v)
#define OB_BE64(v) (v)
#endif

/* Neighbouring little-endian fields as one value, the first one in its low bits. @v is evaluated more than once. */
#if defined(OB_SIMULATED)
#define OB_LE16_PAIR(v) ((uint32_t)OB_LE32(v) << 16 | (uint32_t)OB_LE32(v) >> 16)
#define OB_LE32_PAIR(v) ((uint64_t)OB_LE64(v) << 32 | (uint64_t)OB_LE64(v) >> 32)
#define OB_LE32_16_16(v)                                                                     \
	((uint64_t)OB_LE32((uint32_t)(v)) | (uint64_t)OB_LE16((uint16_t)((v) >> 32)) << 32 | \
	 (uint64_t)OB_LE16((uint16_t)((v) >> 48)) << 48)
#else
#define OB_LE16_PAIR(v)  OB_LE32(v)
#define OB_LE32_PAIR(v)  OB_LE64(v)
#define OB_LE32_16_16(v) OB_LE64(v)
#endif

/* For each byte-order type: to and from CPU order (locals), and load and store (shared memory, one access each). */
#define OB_ENDIAN_FUNCTIONS(bits, order, ORDER)                                            \
	static inline ob_##order##bits ob_cpu_to_##order##bits(uint##bits##_t v)           \
	{                                                                                  \
		ob_##order##bits r;                                                        \
		r.raw = (uint##bits##_t)OB_##ORDER##bits(v);                               \
		return r;                                                                  \
	}                                                                                  \
	static inline uint##bits##_t ob_##order##bits##_to_cpu(ob_##order##bits v)         \
	{                                                                                  \
		return (uint##bits##_t)OB_##ORDER##bits(v.raw);                            \
	}                                                                                  \
	static inline uint##bits##_t ob_##order##bits##_load(const ob_##order##bits *p)    \
	{                                                                                  \
		return (uint##bits##_t)OB_##ORDER##bits(OB_READ_ONCE(p->raw));             \
	}                                                                                  \
	static inline void ob_##order##bits##_store(ob_##order##bits *p, uint##bits##_t v) \
	{                                                                                  \
		OB_WRITE_ONCE(p->raw, (uint##bits##_t)OB_##ORDER##bits(v));                \
	}

OB_ENDIAN_FUNCTIONS(16, le, LE)
OB_ENDIAN_FUNCTIONS(32, le, LE)
OB_ENDIAN_FUNCTIONS(64, le, LE)
OB_ENDIAN_FUNCTIONS(16, be, BE)
OB_ENDIAN_FUNCTIONS(32, be, BE)
OB_ENDIAN_FUNCTIONS(64, be, BE)

/*
 * Neighbouring fields in one access. @first is aligned for all of them; in the value it is the lowest. Not by the load or
 * store of a wider type, which would know of one field where there are several.
 */
static inline uint32_t ob_le16_pair_load(const ob_le16 *first)
{
	uint32_t both = OB_READ_ONCE(*(const uint32_t *)(const void *)first);

	return (uint32_t)OB_LE16_PAIR(both);
}
static inline uint64_t ob_le32_pair_load(const ob_le32 *first)
{
	uint64_t both = OB_READ_ONCE(*(const uint64_t *)(const void *)first);

	return (uint64_t)OB_LE32_PAIR(both);
}
static inline void ob_le32_pair_store(ob_le32 *first, uint64_t both)
{
	OB_WRITE_ONCE(*(uint64_t *)(void *)first, (uint64_t)OB_LE32_PAIR(both));
}
static inline void ob_le16_pair_store(ob_le16 *first, uint32_t both)
{
	OB_WRITE_ONCE(*(uint32_t *)(void *)first, (uint32_t)OB_LE16_PAIR(both));
}
/* One of 32 bits and two of 16. */
static inline uint64_t ob_le32_16_16_load(const ob_le32 *first)
{
	uint64_t all = OB_READ_ONCE(*(const uint64_t *)(const void *)first);

	return (uint64_t)OB_LE32_16_16(all);
}
static inline void ob_le32_16_16_store(ob_le32 *first, uint64_t all)
{
	OB_WRITE_ONCE(*(uint64_t *)(void *)first, (uint64_t)OB_LE32_16_16(all));
}

#ifdef __cplusplus
}
#endif
#endif
