/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register access and barriers.
 *
 * ob_mmio_read*() and ob_mmio_write*() take and return CPU byte order; the bus is little endian. They are ordered
 * against memory that is shared with the device: a write comes after all earlier stores to such memory, a read before
 * all later loads. The _relaxed ones are ordered only among themselves (same region); they go with explicit barriers.
 *
 * A region that the process can map is accessed inline; otherwise, and in every simulated build, the machine is called.
 */
#ifndef OUTBOARD_MMIO_H
#define OUTBOARD_MMIO_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_device;
struct ob_region;

struct ob_region_ops {
	uint64_t (*read)(const struct ob_region *region, uint64_t offset, unsigned size_bytes); /* all ones: gone */
	void (*write)(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value);
	/* Have all posted writes arrived at the device? Returns when they have. May be NULL. */
	void (*flush)(const struct ob_region *region);
};

struct ob_region {
	volatile uint8_t *base; /* NULL: not mapped, use ops */
	uint64_t len_bytes;
	const struct ob_region_ops *ops;
	void *context;    /* of ops */
	uint64_t address; /* of ops: where the region starts in the machine's space */
	struct ob_device *dev;
};

/* ---- barriers: between this CPU and devices. The SMP ones are in C11 atomics. ---- */
#if defined(OB_SIMULATED)
void ob_dma_wmb(void);
void ob_dma_rmb(void);
void ob_dma_mb(void);
void ob_mmio_wmb(void);
#elif defined(__x86_64__)
/* Stores are not reordered among themselves, nor loads: the compiler is all there is to stop (SDM vol. 3 §8.2.2). */
static inline void ob_dma_wmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}
static inline void ob_dma_rmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}
/* Any locked instruction orders all loads and stores of write-back memory, for less than MFENCE (SDM vol. 3 §8.2.2). */
static inline void ob_dma_mb(void)
{
	__asm__ __volatile__("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
}
static inline void ob_mmio_wmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}
#elif defined(__aarch64__)
/* Normal memory shared with a device: outer shareable domain; before a device register: all memory types (Arm ARM
 * B2.3). */
static inline void ob_dma_wmb(void)
{
	__asm__ __volatile__("dmb oshst" ::: "memory");
}
static inline void ob_dma_rmb(void)
{
	__asm__ __volatile__("dmb oshld" ::: "memory");
}
static inline void ob_dma_mb(void)
{
	__asm__ __volatile__("dmb osh" ::: "memory");
}
static inline void ob_mmio_wmb(void)
{
	__asm__ __volatile__("dsb st" ::: "memory");
}
#elif defined(__riscv)
/* fence predecessor, successor: r w memory, i o device input and output (RISC-V unprivileged spec, FENCE). */
static inline void ob_dma_wmb(void)
{
	__asm__ __volatile__("fence w, w" ::: "memory");
}
static inline void ob_dma_rmb(void)
{
	__asm__ __volatile__("fence r, r" ::: "memory");
}
static inline void ob_dma_mb(void)
{
	__asm__ __volatile__("fence rw, rw" ::: "memory");
}
static inline void ob_mmio_wmb(void)
{
	__asm__ __volatile__("fence w, o" ::: "memory");
}
#else
#error "Outboard knows the barriers of x86-64, arm64 and riscv64"
#endif

/*
 * ob_dma_wmb   orders stores to shared memory before later stores to shared memory (entry before its valid bit)
 * ob_dma_rmb   orders loads of shared memory before later loads of it (done bit before the rest of the entry)
 * ob_dma_mb    orders everything in shared memory, also a store before a later load (shadow doorbell, event index)
 * ob_mmio_wmb  orders stores to shared memory before a later relaxed register write (ring entry before doorbell)
 * ob_mmio_rmb  orders a relaxed register read before later loads of shared memory
 */
#if defined(OB_SIMULATED)
void ob_mmio_rmb(void);
#elif defined(__aarch64__)
static inline void ob_mmio_rmb(void)
{
	__asm__ __volatile__("dmb oshld" ::: "memory");
}
#elif defined(__riscv)
static inline void ob_mmio_rmb(void)
{
	__asm__ __volatile__("fence i, r" ::: "memory");
}
#else
static inline void ob_mmio_rmb(void)
{
	__asm__ __volatile__("" ::: "memory");
}
#endif

#if defined(OB_SIMULATED)
/* Through the simulator, which orders, delays and checks them. */
uint64_t ob_region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes);
void ob_region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value);
#define OB_REGION_MAPPED(region) false
#else
static inline uint64_t ob_region_read(const struct ob_region *region, uint64_t offset, unsigned size_bytes)
{
	return region->ops->read(region, offset, size_bytes);
}
static inline void ob_region_write(const struct ob_region *region, uint64_t offset, unsigned size_bytes, uint64_t value)
{
	region->ops->write(region, offset, size_bytes, value);
}
#define OB_REGION_MAPPED(region) OB_LIKELY((region)->base != NULL)
#endif

/* 8 bits need no byte swap, the others do on a big-endian CPU. @offset is the caller's to keep inside len_bytes. */
#define OB_MMIO_FUNCTIONS(bits, to_cpu, from_cpu)                                                                  \
	static inline uint##bits##_t ob_mmio_read##bits##_relaxed(const struct ob_region *region, uint64_t offset) \
	{                                                                                                          \
		if (OB_REGION_MAPPED(region))                                                                      \
			return (uint##bits##_t)to_cpu(                                                             \
				*(volatile uint##bits##_t *)(void *)(uintptr_t)(region->base + offset));           \
		return (uint##bits##_t)ob_region_read(region, offset, bits / 8);                                   \
	}                                                                                                          \
	static inline uint##bits##_t ob_mmio_read##bits(const struct ob_region *region, uint64_t offset)           \
	{                                                                                                          \
		uint##bits##_t v = ob_mmio_read##bits##_relaxed(region, offset);                                   \
		ob_mmio_rmb();                                                                                     \
		return v;                                                                                          \
	}                                                                                                          \
	static inline void ob_mmio_write##bits##_relaxed(const struct ob_region *region, uint64_t offset,          \
							 uint##bits##_t v)                                         \
	{                                                                                                          \
		if (OB_REGION_MAPPED(region))                                                                      \
			*(volatile uint##bits##_t *)(void *)(uintptr_t)(region->base +                             \
									offset) = (uint##bits##_t)from_cpu(v);     \
		else                                                                                               \
			ob_region_write(region, offset, bits / 8, v);                                              \
	}                                                                                                          \
	static inline void ob_mmio_write##bits(const struct ob_region *region, uint64_t offset, uint##bits##_t v)  \
	{                                                                                                          \
		ob_mmio_wmb();                                                                                     \
		ob_mmio_write##bits##_relaxed(region, offset, v);                                                  \
	}

#define OB_AS_IS(v) (v)
OB_MMIO_FUNCTIONS(8, OB_AS_IS, OB_AS_IS)
OB_MMIO_FUNCTIONS(16, OB_LE16, OB_LE16)
OB_MMIO_FUNCTIONS(32, OB_LE32, OB_LE32)
OB_MMIO_FUNCTIONS(64, OB_LE64, OB_LE64)

/** ob_mmio_flush - return when posted writes to the region have reached the device. Not the I/O path. */
static inline void ob_mmio_flush(const struct ob_region *region)
{
	if (region->ops != NULL && region->ops->flush != NULL)
		region->ops->flush(region);
}

/**
 * ob_mmio_wait32 - wait until (register & mask) == want
 * @value: the last value read, or NULL
 *
 * Polls with growing sleeps. All ones, confirmed by ob_device_is_present(), ends it.
 * Context: task.
 * Return: 0; -ETIMEDOUT; -ENODEV the device is gone, and marked so.
 */
int ob_mmio_wait32(const struct ob_region *region, uint64_t offset, uint32_t mask, uint32_t want, uint64_t deadline_ns,
		   uint32_t *value);

#ifdef __cplusplus
}
#endif
#endif
