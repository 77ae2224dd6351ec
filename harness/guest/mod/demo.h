/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the modules share that "make run" tells its story by. Each line is what has
 * just been tried and what came of it; a line with FAIL means that it went wrong.
 */
#ifndef HARNESS_DEMO_H
#define HARNESS_DEMO_H

#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include <linux/uaccess.h>

struct symbol {
	const char *name;
	void *slot;
};

/* The kernel does not offer these to modules, and need not: this is a demo. */
static inline int find_symbols(const struct symbol *symbols, size_t n)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long (*lookup)(const char *name);
	int err = register_kprobe(&probe);
	size_t i;

	if (err)
		return err;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);

	for (i = 0; i < n; i++) {
		unsigned long value = lookup(symbols[i].name);

		if (!value) {
			pr_err("FAIL this kernel has no %s\n", symbols[i].name);
			return -ENOENT;
		}
		*(unsigned long *)symbols[i].slot = value;
	}

	return 0;
}

/* The story fails if @good is false, and says so in the line that tells it. */
static int __maybe_unused failures;

#define tell(good, fmt, ...)							\
do {										\
	bool __good = (good);							\
										\
	failures += !__good;							\
	pr_info("   %s" fmt "\n", __good ? "" : "FAIL ", ##__VA_ARGS__);	\
} while (0)

/* Not exported; for can_write(). */
static typeof(&copy_to_kernel_nofault) write_nofault;

static inline bool can_read(const void *addr)
{
	char c;

	return !copy_from_kernel_nofault(&c, addr, 1);
}

/* If it can, it does: what is written is an X. */
static inline bool can_write(void *addr)
{
	return !write_nofault(addr, "X", 1);
}

static inline const char *verdict(bool possible)
{
	return possible ? "works" : "faults";
}

/* What another CPU, told an address, does with it as soon as it is to. */
struct attack {
	void *addr;
	int ready, done;
	bool read, wrote;
};

static inline void attack(void *info)
{
	struct attack *a = info;

	/* Pairs with smp_store_release() of the CPU that opens the window. */
	while (!smp_load_acquire(&a->ready))
		cpu_relax();
	a->read = can_read(a->addr);
	a->wrote = can_write(a->addr);
	/* Pairs with smp_load_acquire() of the CPU that waits. */
	smp_store_release(&a->done, 1);
}

/* Let the attack begin and wait for its end; interrupts may be off. */
static inline void let_attack(struct attack *a)
{
	/* Pairs with smp_load_acquire() in attack(). */
	smp_store_release(&a->ready, 1);
	/* Pairs with smp_store_release() in attack(). */
	while (!smp_load_acquire(&a->done))
		cpu_relax();
}

#endif
