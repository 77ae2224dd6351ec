// SPDX-License-Identifier: GPL-2.0
/*
 * The first part of the story that "make run" tells: read-only memory of the
 * kernel is changed through a window that only one CPU can use.
 *
 * Loaded on a machine with two CPUs or more, it tells the story once.
 */
#define pr_fmt(fmt) "demo: " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hardirq.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/temp_mm.h>
#include <linux/vmalloc.h>

#include <asm/special_insns.h>

#include "demo.h"

#define ROUNDS	1000

static struct {
	typeof(&temp_mm_alloc) temp_mm_alloc;
	typeof(&temp_mm_free) temp_mm_free;
	typeof(&temp_mm_map) temp_mm_map;
	typeof(&temp_mm_unmap) temp_mm_unmap;
	typeof(&temp_mm_use) temp_mm_use;
	typeof(&temp_mm_unuse) temp_mm_unuse;
	typeof(&temp_mm_write) temp_mm_write;
	int (*set_memory_ro)(unsigned long addr, int numpages);
	int (*set_memory_rw)(unsigned long addr, int numpages);
	char *linux_proc_banner;
} k;

static const struct symbol symbols[] = {
	{ "copy_to_kernel_nofault", &write_nofault },
#define SYMBOL(name) { #name, &k.name }
	SYMBOL(temp_mm_alloc),
	SYMBOL(temp_mm_free),
	SYMBOL(temp_mm_map),
	SYMBOL(temp_mm_unmap),
	SYMBOL(temp_mm_use),
	SYMBOL(temp_mm_unuse),
	SYMBOL(temp_mm_write),
	SYMBOL(set_memory_ro),
	SYMBOL(set_memory_rw),
	SYMBOL(linux_proc_banner),
};

static void show_version(void)
{
	struct file *file = filp_open("/proc/version", O_RDONLY, 0);
	char text[32] = {};
	loff_t pos = 0;

	if (IS_ERR(file))
		return;
	if (kernel_read(file, text, sizeof(text) - 1, &pos) > 0)
		pr_info("   /proc/version now begins: %s...\n", text);
	filp_close(file, NULL);
}

/* Other CPUs are made to flush by calling a function on them. */
static unsigned int calls(void)
{
	unsigned int cpu, sum = 0;

	for_each_online_cpu(cpu)
		sum += per_cpu(irq_stat, cpu).irq_call_count;

	return sum;
}

static void tell_window(struct temp_mm *t, char *word)
{
	struct page *pages[1] = { virt_to_page(word) };
	struct attack during = {}, after = { .ready = 1 };
	unsigned long cr3[3], flags;
	int me = smp_processor_id();
	int other = cpumask_any_but(cpu_online_mask, me);
	void *base, *alias;
	int err;

	base = k.temp_mm_map(t, pages, 1, TEMP_MM_PROT_RW);
	if (IS_ERR(base)) {
		tell(false, "the window cannot be mapped: %pe", base);
		return;
	}
	alias = base + offset_in_page(word);
	during.addr = alias;
	after.addr = alias;
	smp_call_function_single(other, attack, &during, false);

	local_irq_save(flags);
	cr3[0] = __read_cr3();
	err = k.temp_mm_use(t);
	cr3[1] = __read_cr3();
	if (!err)
		WRITE_ONCE(*(char *)alias, 'V');
	let_attack(&during);
	if (!err) {
		memcpy(alias, "VERSION", 7);
		k.temp_mm_unuse(t);
	}
	cr3[2] = __read_cr3();
	local_irq_restore(flags);

	pr_info("2. CPU %d opens a window on that page, only for itself\n", me);
	tell(!err && cr3[1] != cr3[0], "CR3 was %#lx, is %#lx; the window is at %px",
	     cr3[0], cr3[1], base);
	tell(!during.read && !during.wrote,
	     "CPU %d, told the address while the window is open: a load %s, a store %s",
	     other, verdict(during.read), verdict(during.wrote));
	tell(!err, "CPU %d stores \"VERSION\" through the window", me);

	pr_info("3. CPU %d closes the window\n", me);
	/* With PCID, bit 63 of what is written is not read back, so this can be compared. */
	tell(cr3[2] == cr3[0], "CR3 is %#lx again", cr3[2]);
	err = can_read(alias) || can_write(alias);
	tell(!err, "CPU %d at %px: a load or a store %s", me, alias, verdict(err));
	smp_call_function_single(other, attack, &after, true);
	tell(!after.read && !after.wrote, "CPU %d there: a load or a store %s",
	     other, verdict(after.read || after.wrote));
	k.temp_mm_unmap(t);

	tell(!memcmp(word, "VERSION", 7), "the object reads \"%.7s\"", word);
	tell(!can_write(word), "and is as read-only as before: a store faults");
	show_version();
}

static void tell_write(struct temp_mm *t, char *word)
{
	int err = k.temp_mm_write(t, word, "version", 7);

	pr_info("4. The same in one call: temp_mm_write()\n");
	tell(!err && !memcmp(word, "version", 7), "returns %d; the object reads \"%.7s\"", err, word);
	show_version();
}

static void tell_cost(struct temp_mm *t, u64 *mem)
{
	unsigned long low = ~0UL, high = 0;
	unsigned int sent[3];
	int i, err = 0;

	sent[0] = calls();
	for (i = 0; i < ROUNDS; i++) {
		struct page *pages[1] = { vmalloc_to_page(mem) };
		void *addr = k.temp_mm_map(t, pages, 1, TEMP_MM_PROT_RW);
		u64 val = i;

		if (IS_ERR(addr))
			break;
		low = min(low, (unsigned long)addr);
		high = max(high, (unsigned long)addr);
		k.temp_mm_unmap(t);
		err |= k.temp_mm_write(t, mem, &val, sizeof(val));
	}
	sent[1] = calls();
	for (i = 0; i < ROUNDS; i++) {
		k.set_memory_rw((unsigned long)mem, 1);
		WRITE_ONCE(*mem, i);
		k.set_memory_ro((unsigned long)mem, 1);
	}
	sent[2] = calls();

	pr_info("5. %d writes to a read-only page of vmalloc(), and what they cost the other CPUs\n",
		ROUNDS);
	tell(!err && low < high, "through windows, each at a new address, from %lx to %lx", low, high);
	/* One or two come from elsewhere. */
	tell(sent[1] - sent[0] < ROUNDS / 100, "   %u interrupts to other CPUs; writable for nobody else",
	     sent[1] - sent[0]);
	tell(sent[2] > sent[1], "by set_memory_rw(), a store, and set_memory_ro()");
	pr_info("      %u interrupts to other CPUs; writable for all of them meanwhile\n",
		sent[2] - sent[1]);
}

static void tell_refusals(struct temp_mm *t, char *word)
{
	struct page *pages[1] = { virt_to_page(word) };
	/* Whether PAGE_KERNEL is global depends on what the kernel was told at boot. */
	pgprot_t prot = __pgprot(pgprot_val(PAGE_KERNEL) | _PAGE_GLOBAL);
	void *global = k.temp_mm_map(t, pages, 1, prot);
	int user = k.temp_mm_write(t, word, (void *)PAGE_SIZE, 7);
	int idle;

	preempt_disable();
	idle = k.temp_mm_use(t);
	preempt_enable();

	pr_info("6. Wrong uses: an error, a line in the log, nothing changed\n");
	tell(PTR_ERR(global) == -EINVAL, "a window with a global mapping: %pe", global);
	tell(user == -EFAULT, "a copy from a user address: %pe", ERR_PTR(user));
	tell(idle == -EBUSY, "to open a window that is not mapped: %pe", ERR_PTR(idle));
	tell(!memcmp(word, "version", 7), "the object still reads \"%.7s\"", word);
}

static int __init demo_init(void)
{
	struct temp_mm *t;
	char *word;
	u64 *mem;

	if (find_symbols(symbols, ARRAY_SIZE(symbols)))
		return -ENOENT;
	if (num_online_cpus() < 2) {
		pr_err("FAIL needs two CPUs\n");
		return -ENODEV;
	}
	word = strstr(k.linux_proc_banner, "version");
	t = k.temp_mm_alloc(1, "demo");
	mem = vzalloc(PAGE_SIZE);
	if (!word || !t || !mem) {
		pr_err("FAIL no memory, or /proc/version is not what it was\n");
		goto out;
	}
	k.set_memory_ro((unsigned long)mem, 1);

	migrate_disable();
	pr_info("The format of /proc/version is a constant of the kernel, in .rodata at %px.\n", word);
	pr_info("1. A store to that address, as a bug or an attacker would do it\n");
	tell(!can_write(word), "faults; the object reads \"%.7s\"", word);
	tell_window(t, word);
	tell_write(t, word);
	tell_cost(t, mem);
	tell_refusals(t, word);
	migrate_enable();

	k.set_memory_rw((unsigned long)mem, 1);
	if (!failures)
		pr_info("done\n");
out:
	vfree(mem);
	if (t)
		k.temp_mm_free(t);
	return failures ? -EIO : 0;
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("What a temporary mm does, told step by step");
MODULE_LICENSE("GPL");
