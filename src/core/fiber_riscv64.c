/* SPDX-License-Identifier: BSD-2-Clause */
/* Switching stacks on riscv64 with the lp64d ABI: the registers that a call preserves (RISC-V ELF psABI, chapter 1). */
#include <stdint.h>

#include "core/fiber.h"

void fiber_arch_start(void);

/* A saved stack, from its lowest address. */
struct frame {
	uint64_t ra;
	uint64_t s[12];
	uint64_t fs[12];
	uint64_t pad;
};

_Static_assert(sizeof(struct frame) == 208, "the assembler below knows the layout");

__asm__(".text\n"
	".p2align 2\n"
	".globl fiber_arch_switch\n"
	".hidden fiber_arch_switch\n"
	".type fiber_arch_switch, @function\n"
	"fiber_arch_switch:\n"
	"	addi	sp, sp, -208\n"
	"	sd	ra, 0(sp)\n"
	"	sd	s0, 8(sp)\n"
	"	sd	s1, 16(sp)\n"
	"	sd	s2, 24(sp)\n"
	"	sd	s3, 32(sp)\n"
	"	sd	s4, 40(sp)\n"
	"	sd	s5, 48(sp)\n"
	"	sd	s6, 56(sp)\n"
	"	sd	s7, 64(sp)\n"
	"	sd	s8, 72(sp)\n"
	"	sd	s9, 80(sp)\n"
	"	sd	s10, 88(sp)\n"
	"	sd	s11, 96(sp)\n"
	"	fsd	fs0, 104(sp)\n"
	"	fsd	fs1, 112(sp)\n"
	"	fsd	fs2, 120(sp)\n"
	"	fsd	fs3, 128(sp)\n"
	"	fsd	fs4, 136(sp)\n"
	"	fsd	fs5, 144(sp)\n"
	"	fsd	fs6, 152(sp)\n"
	"	fsd	fs7, 160(sp)\n"
	"	fsd	fs8, 168(sp)\n"
	"	fsd	fs9, 176(sp)\n"
	"	fsd	fs10, 184(sp)\n"
	"	fsd	fs11, 192(sp)\n"
	"	sd	sp, 0(a0)\n"
	"	mv	sp, a1\n"
	"	ld	ra, 0(sp)\n"
	"	ld	s0, 8(sp)\n"
	"	ld	s1, 16(sp)\n"
	"	ld	s2, 24(sp)\n"
	"	ld	s3, 32(sp)\n"
	"	ld	s4, 40(sp)\n"
	"	ld	s5, 48(sp)\n"
	"	ld	s6, 56(sp)\n"
	"	ld	s7, 64(sp)\n"
	"	ld	s8, 72(sp)\n"
	"	ld	s9, 80(sp)\n"
	"	ld	s10, 88(sp)\n"
	"	ld	s11, 96(sp)\n"
	"	fld	fs0, 104(sp)\n"
	"	fld	fs1, 112(sp)\n"
	"	fld	fs2, 120(sp)\n"
	"	fld	fs3, 128(sp)\n"
	"	fld	fs4, 136(sp)\n"
	"	fld	fs5, 144(sp)\n"
	"	fld	fs6, 152(sp)\n"
	"	fld	fs7, 160(sp)\n"
	"	fld	fs8, 168(sp)\n"
	"	fld	fs9, 176(sp)\n"
	"	fld	fs10, 184(sp)\n"
	"	fld	fs11, 192(sp)\n"
	"	addi	sp, sp, 208\n"
	"	ret\n"
	".size fiber_arch_switch, . - fiber_arch_switch\n"
	".globl fiber_arch_start\n"
	".hidden fiber_arch_start\n"
	".type fiber_arch_start, @function\n"
	"fiber_arch_start:\n"
	"	mv	a0, s0\n"
	"	jalr	s1\n"
	"	ebreak\n"
	".size fiber_arch_start, . - fiber_arch_start\n");

void *fiber_arch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
	struct frame *frame = (struct frame *)top - 1;

	*frame = (struct frame){
		.ra = (uint64_t)(uintptr_t)fiber_arch_start,
		.s = {(uint64_t)(uintptr_t)arg, (uint64_t)(uintptr_t)entry},
	};
	return frame;
}
