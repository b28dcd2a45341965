/* SPDX-License-Identifier: BSD-2-Clause */
/* The pause inside a busy loop. Alone in its file: a simulated build brings its own. */
#include <outboard/cpu.h>

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __asm__ volatile("pause")
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("isb")
#elif defined(__riscv)
#define RELAX() __asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010") /* pause, a hint: Zihintpause §3 */
#else
#define RELAX() __asm__ volatile("" ::: "memory")
#endif

void ob_cpu_relax(void)
{
	RELAX();
}
