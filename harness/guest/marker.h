/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Markers that tell the counting plugin (harness/plugin) where a round of a
 * bench begins and ends, and the numbers of the benches. Included by the kernel
 * module, by the guest program and by the plugin.
 *
 * A marker is an 8-byte NOP, nopl disp32(%rax,%rax), whose displacement names
 * the bench; it changes no register and no flag, and a kernel that knows
 * nothing about it executes it as what it is. What is counted is everything
 * that the same CPU executes between the two markers, without the markers.
 */
#ifndef HARNESS_MARKER_H
#define HARNESS_MARKER_H

/* The displacement: 16 bits of magic, 12 of bench number, 4 of begin or end. */
#define MARKER_MAGIC	0x6b510000
#define MARKER_MASK	0xffff0000
#define MARKER_MAX	0xfff
#define MARKER_BEGIN	0
#define MARKER_END	1

#define MARKER_ASM(nr, kind)	".byte 0x0f, 0x1f, 0x84, 0x00\n\t"	\
				".long %c[" #nr "] + " #kind "\n\t"
#define MARKER_BENCH(bench)	(MARKER_MAGIC | (bench) << 4)
#define MARKER(bench, kind)						\
	__asm__ __volatile__(MARKER_ASM(nr, kind)			\
			     : : [nr] "i" (MARKER_BENCH(bench)) : "memory")

/* @bench must be a constant of enum bench_nr after inlining. */
#define BENCH_BEGIN(bench)	MARKER(bench, 0)
#define BENCH_END(bench)	MARKER(bench, 1)

/* A number only links guest and plugin within one run; 0 is no bench. */
enum bench_nr {
	NR_NONE,
	NR_EMPTY,
	NR_SELFTEST_100_NOPS,
	NR_SELFTEST_KERNEL,
	NR_SELFTEST_IRQS_OFF,
	NR_GETPPID,
	NR_TEXT_POKE_1,
	NR_TEXT_POKE_1_MODULE,
	NR_TEXT_POKE_1_KTHREAD,
	NR_SET_MEMORY_PAIR,
	NR_VMAP_STORE,
	NR_PAGE_ALLOC,
	NR_PAGE_FREE,
	NR_TEMP_MM_SWITCH,
	NR_TEMP_MM_SWITCH_KTHREAD,
	NR_TEMP_MM_WRITE_8,
	NR_TEMP_MM_WRITE_8_KTHREAD,
	NR_TEMP_MM_WINDOW,
	NR_WR_ASSIGN_8,
	NR_WR_ASSIGN_STATIC_8,
	NR_WR_ASSIGN_VIEW_8,
	NR_WR_BATCH_16_ANY,
	NR_WR_BATCH_16,
	NR_WR_MEMCPY_4096,
	NR_WR_CACHE_ALLOC_64,
	NR_WR_CACHE_FREE_64,
	NR_KMALLOC_64,
	NR_KFREE_64,
	NR_PRLIST_ADD,
	NR_PRLIST_ADD_RCU,
	NR_PRLIST_DEL,
	NR_LIST_ADD,
	NR_PRATOMIC_INC,
	NR_READ_LIST_1000,
	NR_READ_LIST_1000_PLAIN,
	NR_WR_BLOCK_FIRST,
	NR_IMA_MEASURE,
	NR_IMA_LOOKUP,
	NR_IMA_LOOKUP_TABLE,
	NR_IMA_READ_LIST,
	NR_IMA_READ_LIST_BINARY,
	NR_IRQ_OUTSIDE,
	NR_IRQ_IN_DOMAIN,
	NR_ASI_ENTER_EXIT,
	NR_ASI_CREATE,
	NR_ASI_MAP_2M,
	NR_ASI_MAP_2M_VMALLOC,
	NR_SWITCH_OUTSIDE,
	NR_SWITCH_IN_DOMAIN,
};

#endif
