// SPDX-License-Identifier: GPL-2.0
/*
 * Lets the process that loads it use RDPMC, as perf does for one that maps an event. Neither QEMU nor Bochs
 * has performance counters that Linux knows, but both have the instruction and the bit in CR4 that permits it.
 */
#include <linux/module.h>
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include <asm/tlbflush.h>

static void set_pce(void *unused)
{
	cr4_set_bits(X86_CR4_PCE);
}

static int __init rdpmc_init(void)
{
	struct mm_struct *mm = current->mm;

	atomic_inc(&mm->context.perf_rdpmc_allowed);
	/* From now on a switch to this mm sets it; where it is loaded, lazily too, there may be none for long. */
	on_each_cpu_mask(mm_cpumask(mm), set_pce, NULL, true);

	return 0;
}
module_init(rdpmc_init);

static void __exit rdpmc_exit(void)
{
}
module_exit(rdpmc_exit);

MODULE_DESCRIPTION("RDPMC for one process");
MODULE_LICENSE("GPL");
