/* SPDX-License-Identifier: BSD-2-Clause */
/* Switching stacks on arm64: the registers that a call preserves (AAPCS64 §6.1.1 and §6.1.2: d8 to d15, not all of v).
 */
#include <stdint.h>

#include "core/fiber.h"

void fiber_arch_start(void);

/* A saved stack, from its lowest address. */
struct frame {
	uint64_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
	uint64_t fp, lr;
	uint64_t d[8];
};

_Static_assert(sizeof(struct frame) == 160, "the assembler below knows the layout");

__asm__(".text\n"
	".p2align 4\n"
	".globl fiber_arch_switch\n"
	".hidden fiber_arch_switch\n"
	".type fiber_arch_switch, %function\n"
	"fiber_arch_switch:\n"
	"	sub	sp, sp, #160\n"
	"	stp	x19, x20, [sp, #0]\n"
	"	stp	x21, x22, [sp, #16]\n"
	"	stp	x23, x24, [sp, #32]\n"
	"	stp	x25, x26, [sp, #48]\n"
	"	stp	x27, x28, [sp, #64]\n"
	"	stp	x29, x30, [sp, #80]\n"
	"	stp	d8, d9, [sp, #96]\n"
	"	stp	d10, d11, [sp, #112]\n"
	"	stp	d12, d13, [sp, #128]\n"
	"	stp	d14, d15, [sp, #144]\n"
	"	mov	x9, sp\n"
	"	str	x9, [x0]\n"
	"	mov	sp, x1\n"
	"	ldp	x19, x20, [sp, #0]\n"
	"	ldp	x21, x22, [sp, #16]\n"
	"	ldp	x23, x24, [sp, #32]\n"
	"	ldp	x25, x26, [sp, #48]\n"
	"	ldp	x27, x28, [sp, #64]\n"
	"	ldp	x29, x30, [sp, #80]\n"
	"	ldp	d8, d9, [sp, #96]\n"
	"	ldp	d10, d11, [sp, #112]\n"
	"	ldp	d12, d13, [sp, #128]\n"
	"	ldp	d14, d15, [sp, #144]\n"
	"	add	sp, sp, #160\n"
	"	ret\n"
	".size fiber_arch_switch, . - fiber_arch_switch\n"
	".globl fiber_arch_start\n"
	".hidden fiber_arch_start\n"
	".type fiber_arch_start, %function\n"
	"fiber_arch_start:\n"
	"	mov	x0, x19\n"
	"	blr	x20\n"
	"	brk	#1\n"
	".size fiber_arch_start, . - fiber_arch_start\n");

void *fiber_arch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
	struct frame *frame = (struct frame *)top - 1;

	*frame = (struct frame){
		.x19 = (uint64_t)(uintptr_t)arg,
		.x20 = (uint64_t)(uintptr_t)entry,
		.lr = (uint64_t)(uintptr_t)fiber_arch_start,
	};
	return frame;
}
