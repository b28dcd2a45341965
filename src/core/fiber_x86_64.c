/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Switching stacks on x86-64: the registers that a call preserves, and the control words of both floating-point units
 * (System V ABI, AMD64 supplement, §3.2.1).
 */
#include <stdint.h>

#include "core/fiber.h"

void fiber_arch_start(void);

/* A saved stack, from its lowest address. */
struct frame {
	uint32_t mxcsr;
	uint32_t fpu_control;
	uint64_t r15, r14, r13, r12, rbx, rbp;
	uint64_t rip;
	uint64_t zero[2]; /* ends a debugger's walk, and keeps the alignment that a call asks for */
};

_Static_assert(sizeof(struct frame) == 80, "the assembler below knows the layout");

__asm__(".text\n"
	".p2align 4\n"
	".globl fiber_arch_switch\n"
	".hidden fiber_arch_switch\n"
	".type fiber_arch_switch, @function\n"
	"fiber_arch_switch:\n"
	"	pushq	%rbp\n"
	"	pushq	%rbx\n"
	"	pushq	%r12\n"
	"	pushq	%r13\n"
	"	pushq	%r14\n"
	"	pushq	%r15\n"
	"	subq	$8, %rsp\n"
	"	stmxcsr	(%rsp)\n"
	"	fnstcw	4(%rsp)\n"
	"	movq	%rsp, (%rdi)\n"
	"	movq	%rsi, %rsp\n"
	"	ldmxcsr	(%rsp)\n"
	"	fldcw	4(%rsp)\n"
	"	addq	$8, %rsp\n"
	"	popq	%r15\n"
	"	popq	%r14\n"
	"	popq	%r13\n"
	"	popq	%r12\n"
	"	popq	%rbx\n"
	"	popq	%rbp\n"
	"	ret\n"
	".size fiber_arch_switch, . - fiber_arch_switch\n"
	".globl fiber_arch_start\n"
	".hidden fiber_arch_start\n"
	".type fiber_arch_start, @function\n"
	"fiber_arch_start:\n"
	"	movq	%r12, %rdi\n"
	"	callq	*%r13\n"
	"	ud2\n"
	".size fiber_arch_start, . - fiber_arch_start\n");

void *fiber_arch_prepare(void *top, void (*entry)(void *arg), void *arg)
{
	struct frame *frame = (struct frame *)top - 1;

	*frame = (struct frame){
		.mxcsr = 0x1f80, /* as a process starts: all exceptions masked, to nearest */
		.fpu_control = 0x037f,
		.r12 = (uint64_t)(uintptr_t)arg,
		.r13 = (uint64_t)(uintptr_t)entry,
		.rip = (uint64_t)(uintptr_t)fiber_arch_start,
	};
	return frame;
}
