// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel-side rows of "make bench". Write "NAME ROUNDS" to /proc/bench and the
 * writer runs that many rounds, each between two markers that the counting
 * plugin sees; then read /proc/bench for the result. Without a write, a read
 * lists the rows that this kernel can run.
 *
 * /proc/bench_memory tells how many pages are in use.
 *
 * The module builds against kernels with and without the series. Functions that
 * are not exported are looked up by name, so the kernel under test needs no
 * change. Another module can add a table of rows.
 */
#define pr_fmt(fmt) "bench: " fmt

#include <linux/gfp.h>
#include <linux/hardirq.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#ifdef CONFIG_TEMP_MM
#include <linux/temp_mm.h>
#endif

#include "bench.h"

/* Functions and variables of the kernel that modules may not link to. */
static struct {
	void *(*text_poke)(void *addr, const void *opcode, size_t len);
	struct mutex *text_mutex;
	int (*set_memory_ro)(unsigned long addr, int numpages);
	int (*set_memory_rw)(unsigned long addr, int numpages);
	typeof(&lru_add_drain_all) lru_add_drain_all;
	typeof(&drain_all_pages) drain_all_pages;
#ifdef CONFIG_TEMP_MM
	typeof(&temp_mm_alloc) temp_mm_alloc;
	typeof(&temp_mm_free) temp_mm_free;
	typeof(&temp_mm_map) temp_mm_map;
	typeof(&temp_mm_unmap) temp_mm_unmap;
	typeof(&temp_mm_use) temp_mm_use;
	typeof(&temp_mm_unuse) temp_mm_unuse;
	typeof(&temp_mm_write) temp_mm_write;
	typeof(&use_temporary_mm) use_temporary_mm;
	typeof(&unuse_temporary_mm) unuse_temporary_mm;
#endif
} k;

static const struct symbol symbols[] = {
#define SYMBOL(name) { #name, &k.name }
	SYMBOL(text_poke),
	SYMBOL(text_mutex),
	SYMBOL(set_memory_ro),
	SYMBOL(set_memory_rw),
	SYMBOL(lru_add_drain_all),
	SYMBOL(drain_all_pages),
#ifdef CONFIG_TEMP_MM
	SYMBOL(temp_mm_alloc),
	SYMBOL(temp_mm_free),
	SYMBOL(temp_mm_map),
	SYMBOL(temp_mm_unmap),
	SYMBOL(temp_mm_use),
	SYMBOL(temp_mm_unuse),
	SYMBOL(temp_mm_write),
	SYMBOL(use_temporary_mm),
	SYMBOL(unuse_temporary_mm),
#endif
};

/* What the rounds write to: a page that is read-only while no row says otherwise. */
static struct page *page;
static u64 *object;
static const u64 value = 0x0123456789abcdef;

u64 bench_tsc[2];
EXPORT_SYMBOL_GPL(bench_tsc);
unsigned int bench_ipis[2];
EXPORT_SYMBOL_GPL(bench_ipis);

/* Interrupts that one CPU sent to another, all CPUs together. */
unsigned int bench_count_ipis(void)
{
	unsigned int sum = 0;
#ifdef CONFIG_SMP
	int cpu;

	for_each_online_cpu(cpu) {
		sum += per_cpu(irq_stat, cpu).irq_resched_count;
		sum += per_cpu(irq_stat, cpu).irq_call_count;
	}
#endif
	return sum;
}
EXPORT_SYMBOL_GPL(bench_count_ipis);

/* ---- the counting itself ---- */

/* What the time stamps count of a round that does nothing. */
static void empty(void)
{
	ROUND_BEGIN(NR_EMPTY);
	ROUND_END(NR_EMPTY);
}

/* Two CR3 writes, one INVLPG, one REP of 64 steps; six instructions in all. */
static void selftest_kernel(void)
{
	static u8 buf[64];
	unsigned long count = sizeof(buf);
	unsigned long flags;
	void *to = buf;

	local_irq_save(flags);
	bench_tsc[0] = rdtsc();
	asm volatile(MARKER_ASM(nr, 0)
		     "mov %%cr3, %%rax\n\t"
		     "mov %%rax, %%cr3\n\t"
		     "mov %%cr3, %%r8\n\t"
		     "mov %%r8, %%cr3\n\t"
		     "invlpg (%[addr])\n\t"
		     "rep stosb\n\t"
		     MARKER_ASM(nr, 1)
		     : "+c" (count), "+D" (to)
		     : [nr] "i" (MARKER_BENCH(NR_SELFTEST_KERNEL)), [addr] "r" (buf)
		     : "rax", "r8", "memory");
	bench_tsc[1] = rdtsc();
	local_irq_restore(flags);
}

/* A run of 101 with interrupts off, the STI being the last one; 102 in all. */
static void selftest_irqs_off(void)
{
	asm volatile(MARKER_ASM(nr, 0)
		     "cli\n\t"
		     ".rept 100\n\tnop\n\t.endr\n\t"
		     "sti\n\t"
		     MARKER_ASM(nr, 1)
		     : : [nr] "i" (MARKER_BENCH(NR_SELFTEST_IRQS_OFF)) : "memory");
}

static void irq_outside(void)
{
	ROUND_BEGIN(NR_IRQ_OUTSIDE);
	BENCH_INTERRUPT();
	ROUND_END(NR_IRQ_OUTSIDE);
}

/* ---- text_poke() ---- */

/* Module text that nothing ever executes. */
static noinline void module_text(void)
{
	asm volatile("nop");
}

/* Rewrites a byte with what it holds, so that the kernel stays what it is. */
static __always_inline void text_poke_round(const enum bench_nr nr, u8 *addr)
{
	u8 byte = *addr;

	mutex_lock(k.text_mutex);
	ROUND_BEGIN(nr);
	k.text_poke(addr, &byte, 1);
	ROUND_END(nr);
	mutex_unlock(k.text_mutex);
}

/* Any byte of core kernel text will do; the page holds code that these rounds run. */
static u8 *core_text(void)
{
	return (u8 *)k.text_poke;
}

static void text_poke_1(void)
{
	text_poke_round(NR_TEXT_POKE_1, core_text());
}

static void text_poke_1_module(void)
{
	text_poke_round(NR_TEXT_POKE_1_MODULE, (u8 *)module_text);
}

static void text_poke_1_kthread(void)
{
	text_poke_round(NR_TEXT_POKE_1_KTHREAD, core_text());
}

/* ---- other ways to write to read-only memory ---- */

static int object_ro(void)
{
	return k.set_memory_ro((unsigned long)object, 1);
}

static void object_rw(void)
{
	k.set_memory_rw((unsigned long)object, 1);
}

static void set_memory_pair(void)
{
	ROUND_BEGIN(NR_SET_MEMORY_PAIR);
	k.set_memory_rw((unsigned long)object, 1);
	WRITE_ONCE(*object, value);
	k.set_memory_ro((unsigned long)object, 1);
	ROUND_END(NR_SET_MEMORY_PAIR);
}

static void vmap_store(void)
{
	u64 *alias;

	ROUND_BEGIN(NR_VMAP_STORE);
	alias = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	if (alias) {
		WRITE_ONCE(*alias, value);
		vunmap(alias);
	}
	ROUND_END(NR_VMAP_STORE);
}

/* ---- the page allocator, which asks what is protected ---- */

static void page_alloc(void)
{
	struct page *p;

	ROUND_BEGIN(NR_PAGE_ALLOC);
	p = alloc_page(GFP_KERNEL);
	ROUND_END(NR_PAGE_ALLOC);
	if (p)
		__free_page(p);
}

static void page_free(void)
{
	struct page *p = alloc_page(GFP_KERNEL);

	if (!p)
		return;
	ROUND_BEGIN(NR_PAGE_FREE);
	__free_page(p);
	ROUND_END(NR_PAGE_FREE);
}

/* ---- temp_mm ---- */

#ifdef CONFIG_TEMP_MM
#define MAX_HELD 256u

static struct temp_mm *temp;

static int temp_setup(void)
{
	temp = k.temp_mm_alloc(1, "bench");
	if (IS_ERR_OR_NULL(temp))
		return -ENOMEM;
	return object_ro();
}

static void temp_teardown(void)
{
	object_rw();
	k.temp_mm_free(temp);
}

static struct temp_mm *held[MAX_HELD];

static void release(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(held); i++) {
		if (held[i])
			k.temp_mm_free(held[i]);
		held[i] = NULL;
	}
}

/* Have @n instances, until the next call, for the writer to look at their memory. */
static int hold(unsigned int n)
{
	size_t i;

	release();
	for (i = 0; i < min(n, MAX_HELD); i++) {
		held[i] = k.temp_mm_alloc(1, "bench");
		if (!held[i])
			return -ENOMEM;
	}
	return 0;
}

static __always_inline void switch_round(const enum bench_nr nr)
{
	struct mm_struct *prev;

	preempt_disable();
	ROUND_BEGIN(nr);
	prev = k.use_temporary_mm(temp->mm);
	k.unuse_temporary_mm(temp->mm, prev);
	ROUND_END(nr);
	preempt_enable();
}

static void temp_mm_switch(void)
{
	switch_round(NR_TEMP_MM_SWITCH);
}

static void temp_mm_switch_kthread(void)
{
	switch_round(NR_TEMP_MM_SWITCH_KTHREAD);
}

static __always_inline void write_round(const enum bench_nr nr)
{
	int err;

	preempt_disable();
	ROUND_BEGIN(nr);
	err = k.temp_mm_write(temp, object, &value, sizeof(value));
	ROUND_END(nr);
	preempt_enable();
	WARN_ON_ONCE(err || *object != value);
}

static void temp_mm_write_8(void)
{
	write_round(NR_TEMP_MM_WRITE_8);
}

static void temp_mm_write_8_kthread(void)
{
	write_round(NR_TEMP_MM_WRITE_8_KTHREAD);
}

/* The same write by hand: map, use, store, unuse, unmap. */
static void temp_mm_window(void)
{
	u64 *alias;

	preempt_disable();
	ROUND_BEGIN(NR_TEMP_MM_WINDOW);
	alias = k.temp_mm_map(temp, &page, 1, TEMP_MM_PROT_RW);
	if (!IS_ERR_OR_NULL(alias) && !k.temp_mm_use(temp)) {
		WRITE_ONCE(*alias, value);
		k.temp_mm_unuse(temp);
	}
	k.temp_mm_unmap(temp);
	ROUND_END(NR_TEMP_MM_WINDOW);
	preempt_enable();
}
#endif

/* ---- memory ---- */

/*
 * What is on its way to be free is freed first. Then the free lists of the page
 * allocator are counted, since the kernel's own counters lag behind them.
 */
static unsigned long pages_in_use(void)
{
	unsigned long flags, sum = 0;
	struct zone *zone;
	int nid, i, order;

	kvfree_rcu_barrier();
	rcu_barrier();
	vm_unmap_aliases();
	k.lru_add_drain_all();
	/* Each CPU keeps thousands of pages for itself. */
	k.drain_all_pages(NULL);
	for_each_online_node(nid) {
		for (i = 0; i < MAX_NR_ZONES; i++) {
			zone = &NODE_DATA(nid)->node_zones[i];
			spin_lock_irqsave(&zone->lock, flags);
			sum += zone_managed_pages(zone);
			for (order = 0; order < NR_PAGE_ORDERS; order++)
				sum -= zone->free_area[order].nr_free << order;
			spin_unlock_irqrestore(&zone->lock, flags);
		}
	}
	return sum;
}

static int memory_show(struct seq_file *m, void *v)
{
	seq_printf(m, "pages_in_use %lu\n", pages_in_use());
	return 0;
}

static LIST_HEAD(held_pages);

/* Have @n pages until the next call: what they take is known. */
static int hold_pages(unsigned int n)
{
	struct page *p, *next;

	list_for_each_entry_safe(p, next, &held_pages, lru) {
		list_del(&p->lru);
		__free_page(p);
	}
	while (n--) {
		p = alloc_page(GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		list_add(&p->lru, &held_pages);
	}
	return 0;
}

static const struct row rows[] = {
	{ "empty", empty },
	{ "selftest_kernel", selftest_kernel },
	{ "selftest_irqs_off", selftest_irqs_off },
	{ "irq_outside", irq_outside },
	{ "text_poke_1", text_poke_1 },
	{ "text_poke_1_module", text_poke_1_module },
	{ "text_poke_1_kthread", text_poke_1_kthread, .kthread = true },
	{ "set_memory_pair", set_memory_pair, object_ro, object_rw },
	{ "vmap_store", vmap_store, object_ro, object_rw },
	{ "page_alloc", page_alloc },
	{ "page_free", page_free },
#ifdef CONFIG_TEMP_MM
	{ "temp_mm_switch", temp_mm_switch, temp_setup, temp_teardown },
	{ "temp_mm_switch_kthread", temp_mm_switch_kthread, temp_setup, temp_teardown,
	  .kthread = true },
	{ "temp_mm_write_8", temp_mm_write_8, temp_setup, temp_teardown },
	{ "temp_mm_write_8_kthread", temp_mm_write_8_kthread, temp_setup, temp_teardown,
	  .kthread = true },
	{ "temp_mm_window", temp_mm_window, temp_setup, temp_teardown },
#endif
};

static const struct hold holds[] = {
	{ "hold_pages", hold_pages },
#ifdef CONFIG_TEMP_MM
	{ "hold", hold },
#endif
};

static const struct table own_table = {
	.rows = rows,
	.nr_rows = ARRAY_SIZE(rows),
	.holds = holds,
	.nr_holds = ARRAY_SIZE(holds),
};

/* This module's, and those of others. */
static const struct table *tables[4] = { &own_table };

/* ---- running a row ---- */

static const struct row *current_row;
static struct kthread_worker *worker;

static void round_work(struct kthread_work *work)
{
	current_row->round();
}

static DEFINE_KTHREAD_WORK(work, round_work);

#define MAX_ROUNDS	10000
#define MAX_COUNT	1000000

static u32 round_tsc[MAX_ROUNDS], round_ipis[MAX_ROUNDS];

static char answer[160];
static DEFINE_MUTEX(bench_mutex);

static int by_value(const void *a, const void *b)
{
	const u32 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Run @rounds rounds; the answer is what only the guest knows about them. */
static int run_row(const struct row *row, unsigned int rounds)
{
	unsigned int i;
	int err = row->setup ? row->setup() : 0;

	if (err)
		return err;
	if (row->max_rounds)
		rounds = min(rounds, row->max_rounds);
	current_row = row;
	for (i = 0; i < rounds; i++) {
		if (row->kthread) {
			kthread_queue_work(worker, &work);
			kthread_flush_work(&work);
		} else {
			row->round();
		}
		round_tsc[i] = bench_tsc[1] - bench_tsc[0];
		round_ipis[i] = bench_ipis[1] - bench_ipis[0];
		cond_resched();
	}
	if (row->teardown)
		row->teardown();
	sort(round_tsc, rounds, sizeof(u32), by_value, NULL);
	sort(round_ipis, rounds, sizeof(u32), by_value, NULL);
	snprintf(answer, sizeof(answer),
		 "%s rounds %u ipis %u tsc_min %u tsc_median %u tsc_max %u\n",
		 row->name, rounds, round_ipis[rounds / 2], round_tsc[0],
		 round_tsc[rounds / 2], round_tsc[rounds - 1]);
	return 0;
}

static int bench_show(struct seq_file *m, void *v)
{
	size_t i, j;

	guard(mutex)(&bench_mutex);
	if (answer[0]) {
		seq_puts(m, answer);
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(tables) && tables[i]; i++) {
		for (j = 0; j < tables[i]->nr_rows; j++)
			seq_printf(m, "%s\n", tables[i]->rows[j].name);
	}
	return 0;
}

static int bench_open(struct inode *inode, struct file *file)
{
	return single_open(file, bench_show, NULL);
}

/* Run the row, or hold the objects, that @name is in @t. */
static int request(const struct table *t, const char *name, unsigned int count)
{
	size_t i;

	for (i = 0; i < t->nr_holds; i++) {
		if (!strcmp(t->holds[i].name, name))
			return t->holds[i].hold(count);
	}
	for (i = 0; i < t->nr_rows; i++) {
		if (strcmp(t->rows[i].name, name))
			continue;
		if (!count || count > MAX_ROUNDS)
			return -EINVAL;
		return run_row(&t->rows[i], count);
	}
	return -ENOENT;
}

static ssize_t bench_write(struct file *file, const char __user *ubuf,
			   size_t len, loff_t *pos)
{
	char buf[64], name[48];
	int i, err = -ENOENT;
	unsigned int count;

	if (len >= sizeof(buf) || copy_from_user(buf, ubuf, len))
		return -EINVAL;
	buf[len] = 0;
	if (sscanf(buf, "%47s %u", name, &count) != 2 || count > MAX_COUNT)
		return -EINVAL;
	guard(mutex)(&bench_mutex);
	for (i = 0; i < ARRAY_SIZE(tables) && tables[i] && err == -ENOENT; i++)
		err = request(tables[i], name, count);
	return err ?: len;
}

void bench_add_table(const struct table *table)
{
	size_t i;

	guard(mutex)(&bench_mutex);
	for (i = 0; i < ARRAY_SIZE(tables) && tables[i]; i++)
		;
	if (!WARN_ON(i == ARRAY_SIZE(tables)))
		tables[i] = table;
}
EXPORT_SYMBOL_GPL(bench_add_table);

static const struct proc_ops bench_ops = {
	.proc_open = bench_open,
	.proc_read = seq_read,
	.proc_release = single_release,
	.proc_write = bench_write,
};

static unsigned long (*lookup)(const char *name);

int bench_find_symbols(const struct symbol *symbols, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned long addr = lookup(symbols[i].name);

		if (!addr) {
			pr_err("no symbol %s\n", symbols[i].name);
			return -ENOENT;
		}
		*(unsigned long *)symbols[i].slot = addr;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(bench_find_symbols);

/* kallsyms_lookup_name() is not exported, but a kprobe on it tells where it is. */
static int find_lookup(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&probe);

	if (err)
		return err;
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

static int __init bench_init(void)
{
	int err = find_lookup() ?: bench_find_symbols(symbols, ARRAY_SIZE(symbols));

	if (err)
		return err;
	/* The rounds of a kthread row run where the module was loaded. */
	worker = kthread_create_worker_on_cpu(raw_smp_processor_id(), 0, "bench");
	if (IS_ERR(worker))
		return PTR_ERR(worker);
	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!page)
		goto no_page;
	object = page_address(page);
	if (!proc_create("bench", 0600, NULL, &bench_ops))
		goto no_proc;
	if (!proc_create_single("bench_memory", 0400, NULL, memory_show))
		goto no_memory;
	return 0;
no_memory:
	remove_proc_entry("bench", NULL);
no_proc:
	__free_page(page);
no_page:
	kthread_destroy_worker(worker);
	return -ENOMEM;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	remove_proc_entry("bench_memory", NULL);
	remove_proc_entry("bench", NULL);
	hold_pages(0);
#ifdef CONFIG_TEMP_MM
	release();
#endif
	__free_page(page);
	kthread_destroy_worker(worker);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Rounds of temp_mm and its peers between markers");
MODULE_LICENSE("GPL");
