/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a module with rows for /proc/bench needs.
 */
#ifndef HARNESS_BENCH_H
#define HARNESS_BENCH_H

#include <linux/types.h>

#include <asm/irq_vectors.h>
#include <asm/tsc.h>

#include "marker.h"

/*
 * What is taken just outside of the markers: interrupts between CPUs, and time
 * stamps, from which an emulator that has no plugins but whose TSC counts
 * instructions (Bochs) gets its figures.
 */
extern u64 bench_tsc[2];
extern unsigned int bench_ipis[2];

unsigned int bench_count_ipis(void);

#define ROUND_BEGIN(nr) do {				\
	bench_ipis[0] = bench_count_ipis();		\
	bench_tsc[0] = rdtsc();				\
	BENCH_BEGIN(nr);				\
} while (0)

#define ROUND_END(nr) do {				\
	BENCH_END(nr);					\
	bench_tsc[1] = rdtsc();				\
	bench_ipis[1] = bench_count_ipis();		\
} while (0)

struct row {
	const char *name;
	/* One round, with its markers. */
	void (*round)(void);
	int (*setup)(void);
	void (*teardown)(void);
	/* Run each round in a kernel thread that came from the writer: lazy TLB. */
	bool kthread;
	/* Fewer rounds than asked for, if each takes long. */
	unsigned int max_rounds;
};

/* Has so many objects, until the next call, for user space to look at their memory. */
struct hold {
	const char *name;
	int (*hold)(unsigned int n);
};

struct table {
	const struct row *rows;
	size_t nr_rows;
	const struct hold *holds;
	size_t nr_holds;
};

/* The rows of one more module, which stays. */
void bench_add_table(const struct table *table);

/*
 * One interrupt of those that do nothing but their own bookkeeping: that of IRQ work,
 * of which there is none. An INT takes the same way into the kernel as the APIC does.
 */
#define BENCH_INTERRUPT()	asm volatile("int %0" : : "i" (IRQ_WORK_VECTOR) : "memory")

/* A function or variable of the kernel that modules may not link to, and where its address goes. */
struct symbol {
	const char *name;
	void *slot;
};

/* Fill the slots. A symbol that is missing is an error, and named in the log. */
int bench_find_symbols(const struct symbol *symbols, size_t n);

#endif
