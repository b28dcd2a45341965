/* SPDX-License-Identifier: BSD-2-Clause */
/* What one processor architecture provides for fibers: fiber_<architecture>.c, or fiber_ucontext.c anywhere else. */
#ifndef OB_CORE_FIBER_H
#define OB_CORE_FIBER_H

/* Lay out a stack that ends at @top (aligned to 16) so that the first switch to the result calls entry(arg). */
void *fiber_arch_prepare(void *top, void (*entry)(void *arg), void *arg);
/* Keep what a call must preserve on this stack, its place in *@save, and go on where @load was saved. */
void fiber_arch_switch(void **save, void *load);

#endif
