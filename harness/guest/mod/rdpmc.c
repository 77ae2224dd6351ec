// SPDX-License-Identifier: GPL-2.0
/*
 * Lets the process that loads it use RDPMC, as perf does for one that maps an event. Neither QEMU nor Bochs
 * has performance counters that Linux knows, but both have the instruction and the bit in CR4 that permits it.
 */
#include <linux/module.h>
#include <linux/sched.h>

#include <asm/tlbflush.h>

static int __init rdpmc_init(void)
{
	atomic_inc(&current->mm->context.perf_rdpmc_allowed);
	/* From now on a switch to this mm sets it; on this CPU there may be none for long. */
	cr4_set_bits(X86_CR4_PCE);

	return 0;
}
module_init(rdpmc_init);

static void __exit rdpmc_exit(void)
{
}
module_exit(rdpmc_exit);

MODULE_DESCRIPTION("RDPMC for one process");
MODULE_LICENSE("GPL");
