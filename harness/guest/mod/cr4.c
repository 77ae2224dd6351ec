// SPDX-License-Identifier: GPL-2.0
/*
 * Control register 4 of each CPU that is online, as the processor has it: what the kernel has
 * really turned on. In /sys/module/cr4/parameters/cr4, by the number of the CPU.
 */
#include <linux/module.h>
#include <linux/smp.h>

static unsigned long cr4[NR_CPUS];
static unsigned int nr_cr4;
module_param_array(cr4, ulong, &nr_cr4, 0444);

static void read_one(void *unused)
{
	cr4[smp_processor_id()] = native_read_cr4();
}

static int __init read_cr4_init(void)
{
	on_each_cpu(read_one, NULL, 1);
	nr_cr4 = nr_cpu_ids;

	return 0;
}
module_init(read_cr4_init);

static void __exit read_cr4_exit(void)
{
}
module_exit(read_cr4_exit);

MODULE_DESCRIPTION("Control register 4 of each CPU");
MODULE_LICENSE("GPL");
