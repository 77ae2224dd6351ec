// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory on x86: nobody writes to it without asking, by
 * whatever address and on whatever CPU; and the walker of page tables, which says
 * so after each suite, does find what should not be.
 */
#include <linux/cpu.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/nmi.h>
#include <linux/pg_table.h>
#include <linux/pgtable.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/wr_block.h>

#include <asm/apic.h>
#include <asm/sections.h>
#include <asm/tlbflush.h>

#include <trace/events/tlb.h>

#include "test_prmem.h"

static struct prmem_test_obj prmem_test_static __wr_after_init;
static DEFINE_WR_CACHE(prmem_test_seals, struct prmem_test_obj);
static __wr_after_init LIST_HEAD(prmem_test_list);

/* All addresses that an attacker may know. */
struct address {
	const char *name;
	const void *p;
};

#define NR_ADDRESSES	14

static unsigned int all_addresses(struct kunit *test, struct address *a)
{
	struct prmem_test *x = test->priv;
	unsigned int n = 0;
	void *unused;

	a[n++] = (struct address) { "object of a cache", x->obj };
	a[n++] = (struct address) { "its last byte", (void *)(x->obj + 1) - 1 };
	a[n++] = (struct address) { "next slot", x->obj + 1 };
	a[n++] = (struct address) { "START_WR", x->target[2] };
	a[n++] = (struct address) { "WR", x->target[3] };
	a[n++] = (struct address) { "WR, direct map", prmem_test_direct(x->target[3]) };
	a[n++] = (struct address) { "cache", x->c };
	a[n++] = (struct address) { "pool", x->pool };
	rcu_read_lock();
	a[n++] = (struct address) { "metadata", prmem_find(x->obj, &unused) };
	rcu_read_unlock();
	/* Protected when user space runs. */
	if (system_state >= SYSTEM_RUNNING) {
		a[n++] = (struct address) { "static", &prmem_test_static };
		a[n++] = (struct address) { "static, direct map",
					    __va(__pa_symbol(&prmem_test_static)) };
		a[n++] = (struct address) { "static cache", &prmem_test_seals };
		a[n++] = (struct address) { "blocks", prmem_blocks };
	}

	return n;
}

static void prmem_test_no_plain_store(struct kunit *test)
{
	struct address a[NR_ADDRESSES];
	unsigned int n, i;

	prmem_test_need_protection(test);
	n = all_addresses(test, a);
	for (i = 0; i < n; i++) {
		bool before, inside, after;
		u64 was, is;
		int err;

		KUNIT_ASSERT_EQ(test, copy_from_kernel_nofault(&was, a[i].p, 1), 0);
		before = prmem_test_writes(a[i].p);
		/* Not even while this CPU may write, by another address. */
		err = wr_begin();
		inside = prmem_test_writes(a[i].p);
		wr_end();
		after = prmem_test_writes(a[i].p);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", a[i].name);
		KUNIT_EXPECT_FALSE_MSG(test, before, "%s", a[i].name);
		KUNIT_EXPECT_FALSE_MSG(test, inside, "%s", a[i].name);
		KUNIT_EXPECT_FALSE_MSG(test, after, "%s", a[i].name);
		KUNIT_EXPECT_EQ(test, copy_from_kernel_nofault(&is, a[i].p, 1), 0);
		KUNIT_EXPECT_EQ_MSG(test, (u8)is, (u8)was, "%s", a[i].name);
	}
}

static void prmem_test_no_store_to_sealed(struct kunit *test)
{
	struct prmem_test_obj *obj = (void *)wr_cache_zalloc(&prmem_test_seals, GFP_KERNEL);
	struct pmalloc_pool *pool = pmalloc_create_pool(PMALLOC_MODE_RO);
	u64 *ro, val = NEW;

	prmem_test_need_protection(test);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	KUNIT_EXPECT_EQ(test, wr_set_field(&prmem_test_seals, obj, q, OLD), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_seal(&prmem_test_seals, obj), 0);
	KUNIT_EXPECT_NE(test, copy_to_kernel_nofault(&obj->q, &val, 8), 0);
	KUNIT_EXPECT_EQ(test, obj->q, OLD);

	ro = pmalloc(pool, 8);
	KUNIT_EXPECT_NOT_NULL(test, ro);
	if (ro) {
		*ro = OLD;
		KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
		KUNIT_EXPECT_NE(test, copy_to_kernel_nofault(ro, &val, 8), 0);
		KUNIT_EXPECT_NE(test, copy_to_kernel_nofault(prmem_test_direct(ro), &val, 8), 0);
		KUNIT_EXPECT_EQ(test, *ro, OLD);
	}
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

/* What another CPU is told, and what it finds out. */
struct peer {
	const void *addr[4];
	int ready;
	int done;
	atomic_t tries;
	atomic_t read;
	atomic_t wrote;
};

static void peer_attack(void *info)
{
	struct peer *p = info;
	int i;

	if (prmem_test_wait(&p->ready)) {
		atomic_inc(&p->tries);
		for (i = 0; i < ARRAY_SIZE(p->addr); i++) {
			if (!p->addr[i])
				continue;
			atomic_add(prmem_test_reads(p->addr[i]), &p->read);
			atomic_add(prmem_test_writes(p->addr[i]), &p->wrote);
		}
	}
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&p->done, 1);
}

/*
 * While this CPU is in a batch and has used its window, another one that knows all
 * addresses tries each.  It can read the object, which is the control.
 */
static void prmem_test_nobody_else_in_batch(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int cpu, round, err = 0, tries = 0, wrote = 0, read = 0, control = 0, lost = 0;

	prmem_test_need_cpus(test);
	prmem_test_need_protection(test);
	migrate_disable();
	cpu = prmem_test_other_cpu();
	for (round = 0; round < 100 && !err; round++) {
		u64 *obj = (u64 *)x->target[1 + round % 3];
		struct peer alias = { .addr = { prmem_test_alias(obj) } };
		struct peer p = { .addr = { obj, prmem_test_direct(obj) } };
		u64 *rw = prmem_test_alias(obj);

		smp_call_function_single(cpu, peer_attack, &p, false);
		err = wr_begin();
		if (!err) {
			err = wr_assign(*obj, NEW);
			WRITE_ONCE(*rw, OLD + round);
			/* Pairs with prmem_test_wait() in peer_attack(). */
			smp_store_release(&p.ready, 1);
			prmem_test_wait(&p.done);
			lost += READ_ONCE(*rw) != OLD + round;
			wr_end();
		}
		/* The other one has p on this stack, and gives up by itself. */
		while (!smp_load_acquire(&p.done))
			cpu_relax();
		control += atomic_read(&p.read) == 2;
		wrote += atomic_read(&p.wrote);
		tries += atomic_read(&p.tries);

		smp_call_function_single(cpu, peer_attack, &alias, false);
		err = err ?: wr_begin();
		if (!err) {
			WRITE_ONCE(*rw, OLD);
			/* Pairs with prmem_test_wait() in peer_attack(). */
			smp_store_release(&alias.ready, 1);
			prmem_test_wait(&alias.done);
			lost += READ_ONCE(*rw) != OLD;
			wr_end();
		}
		/* The same. */
		while (!smp_load_acquire(&alias.done))
			cpu_relax();
		read += atomic_read(&alias.read);
		wrote += atomic_read(&alias.wrote);
		tries += atomic_read(&alias.tries);
	}
	migrate_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, round, 100);
	KUNIT_EXPECT_EQ(test, tries, 200);
	KUNIT_EXPECT_EQ(test, control, 100);
	KUNIT_EXPECT_EQ(test, read, 0);
	KUNIT_EXPECT_EQ(test, wrote, 0);
	KUNIT_EXPECT_EQ(test, lost, 0);
}

/* The address of the window leads nowhere before and right after, on any CPU. */
static void prmem_test_alias_is_dead(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	struct peer p = { .ready = 1 };
	bool before, inside, wrote, after;
	int err, i;

	for (i = 0; i < TEST_TARGETS; i++)
		p.addr[i] = prmem_test_alias(x->target[i]);
	static_assert(ARRAY_SIZE(p.addr) == TEST_TARGETS);

	for (i = 0; i < TEST_TARGETS; i++) {
		const void *alias = p.addr[i];

		preempt_disable();
		before = prmem_test_reads(alias) || prmem_test_writes(alias);
		err = wr_begin();
		err |= wr_assign(x->target[i]->q, OLD);
		inside = prmem_test_reads(alias);
		wrote = prmem_test_writes(alias);
		wr_end();
		after = prmem_test_reads(alias) || prmem_test_writes(alias);
		preempt_enable();

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_FALSE(test, before);
		KUNIT_EXPECT_TRUE(test, inside);
		KUNIT_EXPECT_TRUE(test, wrote);
		KUNIT_EXPECT_FALSE(test, after);
	}

	on_each_cpu(peer_attack, &p, true);
	KUNIT_EXPECT_EQ(test, atomic_read(&p.tries), num_online_cpus());
	KUNIT_EXPECT_EQ(test, atomic_read(&p.read), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&p.wrote), 0);
}

/* The entry of the window that maps @p; page tables outlive it. */
static pte_t *window_entry(const void *p, pgd_t **pgd)
{
	unsigned long addr = (unsigned long)prmem_test_alias(p);
	unsigned int level;
	pte_t *pte = NULL;

	if (wr_begin())
		return NULL;
	*pgd = pgd_offset_pgd(__va(read_cr3_pa()), addr);
	pte = lookup_address_in_pgd(*pgd, addr, &level);
	wr_end();

	return pte;
}

static void prmem_test_window_is_private(struct kunit *test)
{
	pgd_t *root = __va(prmem_cr3 & CR3_ADDR_MASK);
	struct prmem_test *x = test->priv;
	unsigned long at;
	int i;

	/* Which page table it is cannot be changed; it has the kernel's half, and no other. */
	KUNIT_EXPECT_TRUE(test, is_kernel_ro_after_init((unsigned long)&prmem_cr3));
	for (i = 0; i < PTRS_PER_PGD; i++) {
		if (i != pgd_index(prmem_base))
			KUNIT_EXPECT_EQ(test, pgd_val(root[i]), i < PTRS_PER_PGD / 2 ? 0 :
					pgd_val(init_mm.pgd[i]));
	}

	for (i = 0; i < TEST_TARGETS; i++) {
		pgd_t *pgd;
		pte_t *pte = window_entry(x->target[i], &pgd);

		KUNIT_ASSERT_NOT_NULL(test, pte);
		KUNIT_EXPECT_EQ(test, pte_flags(*pte) & (_PAGE_GLOBAL | _PAGE_USER), 0);
		KUNIT_EXPECT_NE(test, pte_flags(*pte) & _PAGE_RW, 0);
		if (__supported_pte_mask & _PAGE_NX)
			KUNIT_EXPECT_NE(test, pte_flags(*pte) & _PAGE_NX, 0);
		/* In no page table but those of windows. */
		KUNIT_EXPECT_EQ(test, pgd_val(*pgd_offset_k((unsigned long)
						prmem_test_alias(x->target[i]))), 0);
	}
	/* Another place than last time, if there has been one. */
	at = (unsigned long)prmem_base;
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(at, PUD_SIZE));
	kunit_info(test, "the window is %lu GiB into its range", (at % PGDIR_SIZE) >> 30);
}

/* The walker finds what is made wrong on purpose, and nothing when it is right again. */
static void expect_found(struct kunit *test, const char *what, bool writable, bool global,
			 bool user, bool executable)
{
	struct prmem_check found;

	KUNIT_EXPECT_EQ(test, prmem_check(&found), 0);
	KUNIT_EXPECT_EQ_MSG(test, found.writable > 0, writable, "%s: %lu", what, found.writable);
	KUNIT_EXPECT_EQ_MSG(test, found.global > 0, global, "%s: %lu", what, found.global);
	KUNIT_EXPECT_EQ_MSG(test, found.user > 0, user, "%s: %lu", what, found.user);
	KUNIT_EXPECT_EQ_MSG(test, found.executable > 0, executable, "%s: %lu", what,
			    found.executable);
	KUNIT_EXPECT_EQ_MSG(test, found.pgd != 0, writable || global || user || executable,
			    "%s", what);
}

static void prmem_test_walker_finds_mapping(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int i;

	prmem_test_need_protection(test);
	expect_found(test, "clean", false, false, false, false);
	for (i = 1; i < TEST_TARGETS; i++) {
		struct page *page = virt_to_page(prmem_test_direct(x->target[i]));
		void *view = vmap(&page, 1, VM_MAP, PAGE_KERNEL_RO);
		unsigned int level;
		pte_t *pte;

		KUNIT_ASSERT_NOT_NULL(test, view);
		expect_found(test, "read-only", false, false, false, false);
		/* Nobody else would make such an entry. */
		pte = lookup_address((unsigned long)view, &level);
		set_pte(pte, pfn_pte(page_to_pfn(page), PAGE_KERNEL));
		expect_found(test, "writable", true, false, false, false);
		vunmap(view);
	}
	vm_unmap_aliases();
	expect_found(test, "clean again", false, false, false, false);
}

static void prmem_test_walker_finds_user_mapping(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	unsigned long pfn = page_to_pfn(virt_to_page(x->obj)), user;
	bool nx = __supported_pte_mask & _PAGE_NX;
	unsigned int level;
	pte_t *pte, old;

	prmem_test_need_protection(test);
	user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	KUNIT_ASSERT_EQ(test, clear_user((void __user *)user, PAGE_SIZE), 0);
	pte = lookup_address_in_pgd(pgd_offset(current->mm, user), user, &level);
	KUNIT_ASSERT_NOT_NULL(test, pte);
	KUNIT_ASSERT_EQ(test, level, PG_LEVEL_4K);

	old = *pte;
	set_pte(pte, pfn_pte(pfn, PAGE_SHARED));
	expect_found(test, "user", true, false, true, false);
	set_pte(pte, pfn_pte(pfn, PAGE_READONLY_EXEC));
	expect_found(test, "user, executable", false, false, true, nx);
	set_pte(pte, old);
	flush_tlb_mm(current->mm);
	expect_found(test, "clean again", false, false, false, false);
}

static void prmem_test_walker_finds_window(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	pgd_t *pgd, *mine;
	pte_t *pte = window_entry(x->obj, &pgd), old;
	unsigned long user;

	prmem_test_need_protection(test);
	KUNIT_ASSERT_NOT_NULL(test, pte);
	old = *pte;
	set_pte(pte, pte_set_flags(old, _PAGE_GLOBAL));
	expect_found(test, "global window", false, true, false, false);
	/* The tables above the leaf do not let user mode in. */
	set_pte(pte, pte_set_flags(old, _PAGE_USER));
	expect_found(test, "user window", false, false, false, false);
	if (__supported_pte_mask & _PAGE_NX) {
		set_pte(pte, pte_clear_flags(old, _PAGE_NX));
		expect_found(test, "executable window", false, false, false, true);
	}
	set_pte(pte, old);
	expect_found(test, "window", false, false, false, false);

	/* The window in another page table than that of a writer. */
	user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	mine = pgd_offset(current->mm, (unsigned long)prmem_base);
	KUNIT_ASSERT_EQ(test, pgd_val(*mine), 0);
	set_pgd(mine, *pgd);
	expect_found(test, "process", true, false, false, false);
	set_pgd(mine, __pgd(0));
	flush_tlb_all();
	expect_found(test, "clean again", false, false, false, false);
}

static void prmem_test_walker_finds_pg_table(struct kunit *test)
{
	pgprotval_t rw = pgprot_val(PAGE_KERNEL) & ~_PAGE_GLOBAL, ro;
	struct prmem_test *x = test->priv;
	unsigned long pfn = page_to_pfn(virt_to_page(x->obj)), addr = LDT_BASE_ADDR;
	struct pg_table *pgt;

	prmem_test_need_protection(test);
	ro = rw & ~(_PAGE_RW | _PAGE_DIRTY);
	pgt = pg_table_create("prmem_test", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));

	/* It may be read, as everywhere. */
	KUNIT_EXPECT_EQ(test, pg_table_map(pgt, addr, pfn, 1, __pgprot(ro)), 0);
	expect_found(test, "read-only", false, false, false, false);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, addr, addr + PAGE_SIZE), 0);

	KUNIT_EXPECT_EQ(test, pg_table_map(pgt, addr, pfn, 1, __pgprot(rw)), 0);
	expect_found(test, "writable", true, false, false, false);
	pg_table_free(pgt);
	expect_found(test, "clean again", false, false, false, false);
}

/* How often this CPU has opened its window, which flushes: interrupts are off. */
static struct {
	int n;
} windows;

static void count_window(void *data, int reason, unsigned long pages)
{
	if (reason == TLB_FLUSH_ON_TASK_SWITCH)
		windows.n++;
}

static unsigned long count_begin(void)
{
	unsigned long flags;

	local_irq_save(flags);
	windows.n = 0;

	return flags;
}

static void count_end(struct kunit *test, unsigned long flags, int err, const char *what)
{
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, windows.n, 1, "%s", what);
}

#define expect_one_window(test, expr)					\
do {									\
	unsigned long __flags = count_begin();				\
	int __err = (expr);						\
									\
	count_end(test, __flags, __err, #expr);				\
} while (0)

static int batch_of_16(struct prmem_test_obj *obj)
{
	int i, err = wr_begin();

	for (i = 0; i < 16; i++)
		err |= wr_assign(obj->q, i);
	wr_end();

	return err;
}

static void prmem_test_one_window(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	struct list_head *list = (void *)x->target[2];
	u8 *page = PTR_ALIGN(pmalloc(x->start, 2 * PAGE_SIZE), PAGE_SIZE);
	void *obj = NULL;
	u64 old;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, prlist_init(&prmem_test_list), 0);
	migrate_disable();
	err = register_trace_tlb_flush(count_window, NULL);
	if (!err) {
		expect_one_window(test, wr_assign(x->obj->q, 1));
		expect_one_window(test, wr_assign(x->target[0]->b, 1));
		expect_one_window(test, wr_assign(x->target[3]->w, 1));
		expect_one_window(test, pratomic_inc((atomic_t *)&x->obj->number));
		expect_one_window(test, wr_xchg(&x->obj->q, 2, &old));
		expect_one_window(test, wr_memcpy(x->obj, x->target[0], 64));
		expect_one_window(test, wr_memset(page, 1, PAGE_SIZE));
		expect_one_window(test, batch_of_16(x->obj));
		expect_one_window(test, prlist_add_rcu(list, &prmem_test_list));
		expect_one_window(test, prlist_del(list));
		/* The first one of a cache may take a slab. */
		expect_one_window(test, !(obj = (void *)wr_cache_zalloc(x->c, GFP_ATOMIC)));
		expect_one_window(test, wr_cache_free(x->c, obj));
		expect_one_window(test, !(obj = (void *)wr_cache_alloc(x->c, GFP_ATOMIC)));
		expect_one_window(test, wr_cache_free_rcu(x->c, obj));
		unregister_trace_tlb_flush(count_window, NULL);
		tracepoint_synchronize_unregister();
	}
	migrate_enable();
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, prlist_init(&prmem_test_list), 0);
}

/*
 * A batch in the window of somebody else, who can open no other one in the batch; what
 * opens and closes a window in one call can be used in both.
 */
static void prmem_test_batch_in_window(struct kunit *test)
{
	struct temp_mm *t = temp_mm_alloc(1, "prmem_test"), *t2 = temp_mm_alloc(1, "prmem_test");
	struct page *page = alloc_page(GFP_KERNEL);
	struct prmem_test *x = test->priv;
	bool open[2], inside, off, closed;
	u64 *window, *direct, val = NEW;
	int err, second, write;

	prmem_test_need_protection(test);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_NOT_NULL(test, t2);
	KUNIT_ASSERT_NOT_NULL(test, page);
	direct = page_address(page);
	*direct = OLD;
	window = temp_mm_map(t, &page, 1, TEMP_MM_PROT_RW);
	KUNIT_ASSERT_FALSE(test, IS_ERR(window));

	preempt_disable();
	err = temp_mm_use(t);
	err |= wr_begin();
	err |= wr_assign(x->obj->q, 1);
	second = temp_mm_use(t2);
	if (!second)
		temp_mm_unuse(t2);
	write = temp_mm_write(t2, direct, &val, sizeof(val));
	open[0] = prmem_test_reads(prmem_test_alias(x->obj));
	inside = prmem_test_reads(window);
	err |= wr_assign(x->obj->l, 2);
	wr_end();
	closed = !prmem_test_reads(prmem_test_alias(x->obj));
	open[1] = prmem_test_reads(window);
	temp_mm_unuse(t);
	off = irqs_disabled();
	preempt_enable();
	if (off)
		local_irq_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, second, -EPERM);
	KUNIT_EXPECT_EQ(test, write, 0);
	KUNIT_EXPECT_EQ(test, *direct, NEW);
	KUNIT_EXPECT_TRUE(test, open[0]);
	KUNIT_EXPECT_FALSE(test, inside);
	KUNIT_EXPECT_TRUE(test, open[1]);
	KUNIT_EXPECT_FALSE(test, off);
	KUNIT_EXPECT_TRUE(test, closed);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	KUNIT_EXPECT_EQ(test, x->obj->q, 1);
	KUNIT_EXPECT_EQ(test, x->obj->l, 2);
	temp_mm_unmap(t);
	temp_mm_free(t);
	temp_mm_free(t2);
	__free_page(page);
}

/* Memory that has failed stays with nobody. */
static void prmem_test_block_poisoned(struct kunit *test)
{
#ifdef CONFIG_MEMORY_FAILURE
	const unsigned int order = PRMEM_MIN_ORDER;
	void *block = wr_block_alloc(order, WR_BLOCK_RO);
	long freed = atomic_long_read(&wr_block_stats.freed);
	struct page *page;

	KUNIT_ASSERT_NOT_NULL(test, block);
	page = virt_to_page(block) + 3;
	SetPageHWPoison(page);
	wr_block_free(block, order);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&wr_block_stats.freed), freed);
	KUNIT_EXPECT_EQ(test, page_count(virt_to_page(block)), 1);
	KUNIT_EXPECT_FALSE(test, prmem_test_writes(block));
	ClearPageHWPoison(page);
	if (atomic_long_read(&wr_block_stats.freed) == freed)
		wr_block_free(block, order);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&wr_block_stats.freed), freed + 1);
#else
	kunit_skip(test, "needs CONFIG_MEMORY_FAILURE");
#endif
}

struct tearing {
	struct prmem_test_obj *obj;
	int started, stop, done;
	atomic_t torn;
	atomic_t seen;
};

static void tearing_read(void *info)
{
	struct tearing *r = info;
	u64 last = 0;

	/* Pairs with prmem_test_wait(). */
	smp_store_release(&r->started, 1);
	/* Pairs with smp_store_release() in prmem_test_not_torn(). */
	while (!smp_load_acquire(&r->stop)) {
		u64 q = READ_ONCE(r->obj->q), big = READ_ONCE(r->obj->big);
		u32 l = READ_ONCE(r->obj->l);
		u16 w = READ_ONCE(r->obj->w);

		if ((q && ~q) || (l && ~l) || (w && w != 0xffff) || (big && ~big))
			atomic_inc(&r->torn);
		if (q != last)
			atomic_inc(&r->seen);
		last = q;
		cpu_relax();
	}
	/* Pairs with smp_load_acquire() in prmem_test_not_torn(). */
	smp_store_release(&r->done, 1);
}

/* Stores of all ones and of zeroes, seen by another CPU: all or nothing. */
static void prmem_test_not_torn(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int i, k, err;

	prmem_test_need_cpus(test);
	for (i = 0; i < TEST_TARGETS; i++) {
		struct prmem_test_obj *obj = x->target[i];
		struct tearing r = { .obj = obj };
		call_single_data_t csd;
		u64 old;

		err = wr_memset(obj, 0, sizeof(*obj));
		INIT_CSD(&csd, tearing_read, &r);
		/* The other CPU does nothing else until it is told to stop. */
		preempt_disable();
		smp_call_function_single_async(prmem_test_other_cpu(), &csd);
		prmem_test_wait(&r.started);
		/* Until the other CPU has had a look, which an emulator may keep it from. */
		for (k = 0; k < 300 || (atomic_read(&r.seen) <= 2 && k < 300000); k++) {
			u64 val = k & 1 ? 0 : ~0ULL;

			err |= wr_assign(obj->q, val);
			err |= wr_assign(obj->l, val);
			err |= wr_assign(obj->w, val);
			err |= wr_xchg(&obj->big, val, &old);
			cpu_relax();
		}
		/* Pairs with smp_load_acquire() in tearing_read(). */
		smp_store_release(&r.stop, 1);
		/* Pairs with smp_store_release() in tearing_read(), which uses this stack. */
		while (!smp_load_acquire(&r.done))
			cpu_relax();
		preempt_enable();

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&r.torn), 0);
		KUNIT_EXPECT_GT(test, atomic_read(&r.seen), 2);
	}
}

struct touch {
	u64 *p;
	bool stored;
	bool read;
};

static void touch_write(void *info)
{
	struct touch *t = info;

	WRITE_ONCE(*t->p, OLD);
}

static void touch_try(void *info)
{
	struct touch *t = info;

	t->stored = prmem_test_writes(t->p);
	t->read = prmem_test_reads(t->p);
}

/*
 * Another CPU has written to an open pool, so that its TLB has the translation.
 * When the pool is protected, and when it is destroyed, that is gone.
 */
static void prmem_test_no_stale_translation(struct kunit *test)
{
	int cpu, round, stored = 0, unread = 0, left = 0, err = 0, missing = 0;
	static const u8 some[] = { PMALLOC_MODE_RO, PMALLOC_MODE_WR, PMALLOC_MODE_AUTO_WR };

	prmem_test_need_cpus(test);
	prmem_test_need_protection(test);
	migrate_disable();
	cpu = prmem_test_other_cpu();
	for (round = 0; round < 30; round++) {
		struct pmalloc_pool *pool = pmalloc_create_pool(some[round % 3]);
		struct touch t = { .p = !IS_ERR(pool) ? pmalloc(pool, PAGE_SIZE) : NULL };

		if (!t.p) {
			missing++;
			break;
		}
		smp_call_function_single(cpu, touch_write, &t, true);
		if (round % 3 == 2)
			missing += !pmalloc(pool, PAGE_SIZE);
		else
			err |= pmalloc_protect_pool(pool);
		smp_call_function_single(cpu, touch_try, &t, true);
		stored += t.stored;
		unread += !t.read;
		err |= pmalloc_destroy_pool(pool);
		smp_call_function_single(cpu, touch_try, &t, true);
		left += t.stored || t.read;
	}
	migrate_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, missing, 0);
	KUNIT_EXPECT_EQ(test, round, 30);
	KUNIT_EXPECT_EQ(test, stored, 0);
	KUNIT_EXPECT_EQ(test, unread, 0);
	KUNIT_EXPECT_EQ(test, left, 0);
}

/* In an NMI everything is refused, also in one that comes during a batch. */
static struct {
	struct prmem_test *x;
	long err[16];
	unsigned int n;
	int count;
} nmi;

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	struct prmem_test *x = nmi.x;
	struct prmem_test_obj *obj;
	unsigned int n = 0;
	u64 val = NEW, old;

	if (!x)
		return NMI_DONE;

	obj = x->obj;
	nmi.err[n++] = wr_assign(obj->q, val);
	nmi.err[n++] = wr_assign(x->target[0]->q, val);
	nmi.err[n++] = wr_set_field(x->c, obj, b, 1);
	nmi.err[n++] = wr_memcpy(obj, &val, sizeof(val));
	nmi.err[n++] = wr_memset(obj, 0xff, sizeof(*obj));
	nmi.err[n++] = wr_xchg(&obj->q, val, &old);
	nmi.err[n++] = wr_cmpxchg(&obj->q, &old, val);
	nmi.err[n++] = pratomic_inc((atomic_t *)&obj->number);
	nmi.err[n++] = prlist_init((struct list_head *)obj->tail);
	nmi.err[n++] = wr_begin();
	nmi.err[n++] = wr_cache_free(x->c, obj);
	nmi.err[n++] = wr_cache_free_rcu(x->c, obj);
	nmi.err[n++] = wr_cache_seal(x->c, obj);
	nmi.err[n++] = (void *)wr_cache_alloc(x->c, GFP_ATOMIC) ? 0 : -EPERM;
	nmi.n = n;
	/* The batch that this NMI has interrupted. */
	wr_end();
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&nmi.count, nmi.count + 1);
	return NMI_HANDLED;
}

static void prmem_test_refuse_nmi(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	struct prmem_test_obj before = {};
	bool batch, came, open;
	long counted;
	int err, i, k;

	err = register_nmi_handler(NMI_LOCAL, nmi_handler, NMI_FLAG_FIRST, "prmem");
	KUNIT_ASSERT_EQ(test, err, 0);
	for (k = 0; k < 2; k++) {
		batch = k;
		err = wr_memset(x->obj, 0x21, sizeof(*x->obj));
		memset(&before, 0x21, sizeof(before));
		err |= wr_memset(x->target[0], 0x21, sizeof(*x->obj));
		memset(&nmi, 0, sizeof(nmi));
		counted = prmem_test_refused(PRMEM_BAD_CONTEXT);

		local_irq_disable();
		if (batch)
			err |= wr_begin();
		nmi.x = x;
		__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);
		came = prmem_test_wait(&nmi.count);
		nmi.x = NULL;
		open = prmem_test_reads(prmem_test_alias(x->obj));
		if (batch) {
			err |= wr_assign(x->target[2]->q, NEW);
			wr_end();
		}
		local_irq_enable();

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_TRUE(test, came);
		KUNIT_EXPECT_EQ(test, nmi.n, 14);
		for (i = 0; i < nmi.n; i++)
			KUNIT_EXPECT_EQ_MSG(test, nmi.err[i], -EPERM, "number %d", i);
		KUNIT_EXPECT_EQ(test, prmem_test_refused(PRMEM_BAD_CONTEXT), counted + 15);
		KUNIT_EXPECT_EQ(test, open, batch);
		KUNIT_EXPECT_MEMEQ(test, x->obj, &before, sizeof(before));
		KUNIT_EXPECT_MEMEQ(test, x->target[0], &before, sizeof(before));
	}
	unregister_nmi_handler(NMI_LOCAL, "prmem");
	KUNIT_EXPECT_EQ(test, x->target[2]->q, NEW);
}

static enum pg_level direct_map_level(const void *p, bool *writable)
{
	unsigned int level = PG_LEVEL_NONE;
	pte_t *pte = lookup_address((unsigned long)p, &level);

	*writable = pte && pte_flags(*pte) & _PAGE_RW;

	return pte ? level : PG_LEVEL_NONE;
}

static bool only_whole_blocks(void)
{
	int i;

	guard(mutex)(&prmem_mutex);
	for (i = 0; i < PRMEM_NR_SLOTS; i++) {
		unsigned int nr = prmem_blocks[i].nr_pages;

		if (i != PRMEM_STATIC_SLOT && nr && nr != BIT(WR_BLOCK_ORDER))
			return false;
	}

	return true;
}

/* As long as there are blocks, the direct map keeps its large leaves. */
static void prmem_test_no_split(struct kunit *test)
{
	long splits = atomic_long_read(&wr_block_stats.splits_2m);
	long small = atomic_long_read(&wr_block_stats.small);
	struct prmem_test *x = test->priv;
	int i, cut = 0, writable = 0, k;
	struct pmalloc_pool *pool[3] = {};
	bool rw;

	prmem_test_need_protection(test);
	if (!only_whole_blocks())
		kunit_skip(test, "there have been no blocks left");
	if (direct_map_level(x->obj, &rw) < PG_LEVEL_2M)
		kunit_skip(test, "the direct map has small pages anyway");

	for (i = 0; i < ARRAY_SIZE(pool); i++) {
		static const u8 some[] = { PMALLOC_MODE_RO, PMALLOC_MODE_AUTO_WR,
					   PMALLOC_MODE_START_WR };

		pool[i] = pmalloc_create_pool(some[i]);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool[i]);
		for (k = 0; k < 30; k++) {
			void *p = pmalloc(pool[i], (1 + k % 3) * PAGE_SIZE);

			KUNIT_ASSERT_NOT_NULL(test, p);
			if (k % 4 == 0)
				KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool[i]), 0);
			cut += direct_map_level(prmem_test_direct(p), &rw) < PG_LEVEL_2M;
			writable += rw;
		}
		KUNIT_EXPECT_EQ(test, pmalloc_make_pool_ro(pool[i]), 0);
	}
	for (i = 0; i < ARRAY_SIZE(pool); i++)
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool[i]), 0);
	if (atomic_long_read(&wr_block_stats.small) != small)
		kunit_skip(test, "there are no blocks left");
	KUNIT_EXPECT_EQ(test, cut, 0);
	KUNIT_EXPECT_EQ(test, writable, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&wr_block_stats.splits_2m), splits);
}

/* A piece of each size: as asked for, and then like any other memory again. */
static void prmem_test_blocks(struct kunit *test)
{
	static const unsigned int orders[] = { WR_BLOCK_ORDER, 4, 0 };
	long splits, bytes;
	unsigned int i;

	prmem_test_need_protection(test);
	KUNIT_EXPECT_NULL(test, wr_block_alloc(WR_BLOCK_ORDER + 1, WR_BLOCK_RO));
	KUNIT_EXPECT_NULL(test, wr_block_alloc(UINT_MAX, WR_BLOCK_RO));
	wr_block_free(NULL, 0);

	for (i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
		unsigned int order = orders[i / 2];
		enum wr_block_access access = i & 1 ? WR_BLOCK_NONE : WR_BLOCK_RO;
		size_t size = PAGE_SIZE << order;
		enum pg_level before, after;
		void *block;
		bool rw;

		splits = atomic_long_read(&wr_block_stats.splits_2m);
		bytes = atomic_long_read(&wr_block_stats.bytes);
		block = wr_block_alloc(order, access);
		if (!block) {
			kunit_info(test, "order %u can't be had", order);
			continue;
		}
		splits = atomic_long_read(&wr_block_stats.splits_2m) - splits;
		KUNIT_EXPECT_EQ(test, atomic_long_read(&wr_block_stats.bytes), bytes + size);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)block, size));
		before = direct_map_level(block, &rw);
		KUNIT_EXPECT_FALSE(test, prmem_test_writes(block));
		KUNIT_EXPECT_FALSE(test, prmem_test_writes(block + size - 1));
		KUNIT_EXPECT_EQ(test, prmem_test_reads(block), access == WR_BLOCK_RO);
		KUNIT_EXPECT_EQ(test, prmem_test_reads(block + size - 1), access == WR_BLOCK_RO);
		/* At most the one leaf that a small piece is in. */
		KUNIT_EXPECT_LE(test, splits, order != WR_BLOCK_ORDER);

		wr_block_free(block, order);
		after = direct_map_level(block, &rw);
		KUNIT_EXPECT_EQ(test, after, before);
		KUNIT_EXPECT_TRUE(test, rw);
		direct_map_level(block + size - 1, &rw);
		KUNIT_EXPECT_TRUE(test, rw);
		KUNIT_EXPECT_TRUE(test, prmem_test_reads(block));
		KUNIT_EXPECT_EQ(test, atomic_long_read(&wr_block_stats.bytes), bytes);
	}
}

static void write_one(void *info)
{
	struct prmem_test_obj *obj = info;

	WARN_ON(wr_assign(obj->l, smp_processor_id()));
}

/* A CPU that comes back has a window again. */
static void prmem_test_cpu_hotplug(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int i, err = 0;
	unsigned int cpu;

	prmem_test_need_cpus(test);
	cpu = cpumask_last(cpu_online_mask);
	for (i = 0; i < 3; i++) {
		if (remove_cpu(cpu))
			break;
		err |= wr_assign(x->obj->l, UINT_MAX);
		if (add_cpu(cpu))
			break;
		err |= smp_call_function_single(cpu, write_one, x->obj, true);
		err |= x->obj->l != cpu;
	}
	KUNIT_EXPECT_EQ(test, i, 3);
	KUNIT_EXPECT_EQ(test, err, 0);
}

static struct kunit_case prmem_x86_cases[] = {
	KUNIT_CASE(prmem_test_no_plain_store),
	KUNIT_CASE(prmem_test_no_store_to_sealed),
	KUNIT_CASE(prmem_test_nobody_else_in_batch),
	KUNIT_CASE(prmem_test_alias_is_dead),
	KUNIT_CASE(prmem_test_window_is_private),
	KUNIT_CASE(prmem_test_walker_finds_mapping),
	KUNIT_CASE(prmem_test_walker_finds_user_mapping),
	KUNIT_CASE(prmem_test_walker_finds_window),
	KUNIT_CASE(prmem_test_walker_finds_pg_table),
	KUNIT_CASE(prmem_test_one_window),
	KUNIT_CASE(prmem_test_batch_in_window),
	KUNIT_CASE(prmem_test_not_torn),
	KUNIT_CASE(prmem_test_no_stale_translation),
	KUNIT_CASE(prmem_test_refuse_nmi),
	KUNIT_CASE(prmem_test_no_split),
	KUNIT_CASE(prmem_test_blocks),
	KUNIT_CASE(prmem_test_block_poisoned),
	KUNIT_CASE(prmem_test_cpu_hotplug),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_x86_suite = {
	.name = "prmem_x86",
	.suite_init = prmem_test_suite_init,
	.init = prmem_test_init,
	.exit = prmem_test_exit,
	.test_cases = prmem_x86_cases,
};

kunit_test_suite(prmem_x86_suite);
