// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: the value of CR3, what is flushed with
 * it, and that a domain never sees what it has once seen.
 *
 * An emulator may forget its TLB with each write of CR3, QEMU does.  There the cases
 * about what is kept only look at counters, or skip.
 */
#include <linux/delay.h>
#include <linux/kasan.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/set_memory.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>
#include <asm/tlbflush.h>

#include "test_asi.h"

/* ---- CR3 as a function ---- */

/*
 * The same in other words: a PCID is a number that nobody else has, of 12 bits, of
 * which the highest is PTI's, and not 0.
 */
static void asi_test_pcid(struct kunit *test)
{
	unsigned long *taken = kunit_kzalloc(test, 4096 / 8, GFP_KERNEL);
	unsigned int class, asid, bad = 0, twice = 0, user = 0;

	KUNIT_ASSERT_NOT_NULL(test, taken);
	for (class = 0; class < CR3_NR_CLASSES; class++) {
		for (asid = 0; asid < TLB_NR_DYN_ASIDS; asid++) {
			unsigned int pcid = cr3_pcid(class, asid);

			bad += !pcid || pcid >= 4096;
			user += !!(pcid & 0x800);
			twice += __test_and_set_bit(pcid % 4096, taken);
			/* The kernel's own are what they always were. */
			if (!class)
				bad += pcid != asid + 1;
		}
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_EQ(test, user, 0);
	KUNIT_EXPECT_EQ(test, twice, 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(taken, 4096), CR3_NR_CLASSES * TLB_NR_DYN_ASIDS);
}

static void asi_test_cr3_matrix(struct kunit *test)
{
	static const unsigned long roots[] = {
		0, 0x2000, 0x194000, 0x7ffff000 & ~0x1fffUL, 0xffffffffe000, 0xfffffffffe000
	};
	static const unsigned long lams[] = { 0, 1UL << 61, 1UL << 62, 3UL << 61 };
	unsigned int nr = ARRAY_SIZE(roots) * ARRAY_SIZE(lams) * CR3_NR_CLASSES *
			  (TLB_NR_DYN_ASIDS + 1) * 2;
	unsigned int i, bad = 0;
	unsigned long seen = 0;

	for (i = 0; i < nr; i++) {
		unsigned int noflush = i % 2;
		/* The last one is a CPU without PCID, which has none of it. */
		unsigned int asid = i / 2 % (TLB_NR_DYN_ASIDS + 1);
		unsigned int class = i / 2 / (TLB_NR_DYN_ASIDS + 1) % CR3_NR_CLASSES;
		unsigned int l = i / 2 / (TLB_NR_DYN_ASIDS + 1) / CR3_NR_CLASSES % ARRAY_SIZE(lams);
		unsigned int r = i / 2 / (TLB_NR_DYN_ASIDS + 1) / CR3_NR_CLASSES / ARRAY_SIZE(lams);
		bool has_pcid = asid < TLB_NR_DYN_ASIDS;
		unsigned long pcid = has_pcid ? cr3_pcid(class, asid) : 0;
		unsigned long cr3 = cr3_build(roots[r], pcid, lams[l], has_pcid && noflush);

		/* Each field is where it belongs, and nothing is anywhere else. */
		bad += (cr3 & 0xfff) != pcid;
		bad += (cr3 & 0x000ffffffffff000UL) != roots[r];
		bad += (cr3 & (3UL << 61)) != lams[l];
		bad += (cr3 >> 63) != (has_pcid && noflush);
		bad += !!(cr3 & (0x1ffUL << 52));
		bad += !!(cr3 & PAGE_SIZE);
		bad += has_pcid && (cr3 & 0xfff) == 0;
		bad += has_pcid && (((cr3 >> 8) & 7) != class || (cr3 & 7) != asid + 1);
		seen += roots[r] + lams[l];
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	/* Each root and each LAM as often as any other. */
	for (i = 0; i < ARRAY_SIZE(roots); i++)
		seen -= roots[i] * (nr / ARRAY_SIZE(roots));
	for (i = 0; i < ARRAY_SIZE(lams); i++)
		seen -= lams[i] * (nr / ARRAY_SIZE(lams));
	KUNIT_EXPECT_EQ(test, seen, 0);
}

/* What is in CR3 in a domain is made of these pieces. */
static void asi_test_cr3_inside(struct kunit *test)
{
	bool has_pcid = cpu_feature_enabled(X86_FEATURE_PCID);
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	unsigned long inside, kernel, before, flags;
	int enter, exit;
	u16 asid;

	local_irq_save(flags);
	before = __read_cr3();
	asid = this_cpu_read(cpu_tlbstate.loaded_mm_asid);
	enter = asi_enter(asi);
	inside = __read_cr3();
	kernel = raw_cpu_read(asi_cr3.kernel);
	exit = enter ?: asi_exit(asi);
	local_irq_restore(flags);

	KUNIT_EXPECT_EQ(test, enter, 0);
	KUNIT_EXPECT_EQ(test, exit, 0);
	KUNIT_EXPECT_EQ(test, inside & CR3_ADDR_MASK, __pa(asi_pg_table(asi)->root));
	KUNIT_EXPECT_EQ(test, inside & PAGE_SIZE, 0);
	KUNIT_EXPECT_EQ(test, kernel & ~CR3_NOFLUSH, before);
	if (has_pcid) {
		KUNIT_EXPECT_EQ(test, inside & X86_CR3_PCID_MASK, asi->class << 8 | (asid + 1));
		KUNIT_EXPECT_GE(test, asi->class, 1);
		KUNIT_EXPECT_EQ(test, kernel & X86_CR3_PCID_MASK, asid + 1);
		KUNIT_EXPECT_EQ(test, kernel >> 63, 1);
	} else {
		KUNIT_EXPECT_EQ(test, inside & X86_CR3_PCID_MASK, 0);
		KUNIT_EXPECT_EQ(test, kernel & X86_CR3_PCID_MASK, 0);
		KUNIT_EXPECT_EQ(test, kernel >> 63, 0);
	}
}

/* ---- no translation of the kernel is global, but for what all domains have ---- */

struct globals {
	struct pg_table *pgt;
	unsigned long leaves, global, wrong, first;
};

static void count_leaf(struct globals *g, unsigned long addr, unsigned long pa,
		       unsigned long flags)
{
	struct pg_table_leaf ours;

	g->leaves++;
	if (!(flags & _PAGE_GLOBAL))
		return;
	g->global++;
	if (pg_table_lookup(g->pgt, addr, &ours) && ours.pa + (addr - ours.start) == pa)
		return;
	if (!g->wrong++)
		g->first = addr;
}

static void walk_pmds(struct globals *g, pud_t *pud, unsigned long addr)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	int i, k;

	for (i = 0; i < PTRS_PER_PMD; i++, pmd++, addr += PMD_SIZE) {
		pte_t *pte;

		if (!(pmd_flags(*pmd) & _PAGE_PRESENT))
			continue;
		if (pmd_leaf(*pmd)) {
			count_leaf(g, addr, PFN_PHYS(pmd_pfn(*pmd)), pmd_flags(*pmd));
			continue;
		}
		pte = pte_offset_kernel(pmd, addr);
		for (k = 0; k < PTRS_PER_PTE; k++, pte++)
			if (pte_flags(*pte) & _PAGE_PRESENT)
				count_leaf(g, addr + k * PAGE_SIZE, PFN_PHYS(pte_pfn(*pte)),
					   pte_flags(*pte));
	}
}

static void walk_kernel(struct globals *g)
{
	unsigned int i, k, m;
	unsigned long addr;

	for (i = PTRS_PER_PGD / 2; i < PTRS_PER_PGD; i++) {
		pgd_t *pgd = init_mm.pgd + i;
		unsigned int nr_p4d = pgtable_l5_enabled() ? 512 : 1;

		addr = (unsigned long)i << PGDIR_SHIFT;
		if (pgtable_l5_enabled())
			addr |= 0xfe00000000000000UL;
		else
			addr |= 0xffff000000000000UL;
		if (pgd_none(*pgd))
			continue;
		for (m = 0; m < nr_p4d; m++, addr += P4D_SIZE) {
			p4d_t *p4d = p4d_offset(pgd, addr);
			pud_t *pud;

			if (!(p4d_flags(*p4d) & _PAGE_PRESENT))
				continue;
#ifdef CONFIG_KASAN
			/* Huge, full of the same page, and no secret. */
			if (addr >= KASAN_SHADOW_START && addr < KASAN_SHADOW_END)
				continue;
#endif
			pud = pud_offset(p4d, addr);
			for (k = 0; k < PTRS_PER_PUD; k++, pud++) {
				unsigned long at = addr + k * PUD_SIZE;

				if (!(pud_flags(*pud) & _PAGE_PRESENT))
					continue;
				if (pud_leaf(*pud))
					count_leaf(g, at, PFN_PHYS(pud_pfn(*pud)),
						   pud_flags(*pud));
				else
					walk_pmds(g, pud, at);
			}
		}
	}
}

static void asi_test_no_global(struct kunit *test)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	struct globals g = {};

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	/* A domain with no more than each has. */
	g.pgt = asi_pg_table(asi);
	walk_kernel(&g);
	asi_destroy(asi);

	kunit_info(test, "%lu leaves, %lu global", g.leaves, g.global);
	KUNIT_EXPECT_GT(test, g.leaves, 100);
	KUNIT_EXPECT_EQ_MSG(test, g.wrong, 0, "first at %lx, which is %pS", g.first,
			    (void *)g.first);
	KUNIT_EXPECT_EQ(test, __default_kernel_pte_mask & _PAGE_GLOBAL, 0);
}

/* And none that a domain has itself. */
static int find_global(const struct pg_table_leaf *leaf, void *arg)
{
	struct globals *g = arg;

	g->leaves++;
	if (pgprot_val(leaf->prot) & _PAGE_GLOBAL) {
		struct pg_table_leaf theirs;

		g->global++;
		if (!pg_table_lookup(&kernel_pg_table, leaf->start, &theirs) ||
		    theirs.pa != leaf->pa || !(pgprot_val(theirs.prot) & _PAGE_GLOBAL))
			g->wrong++;
	}
	if (pgprot_val(leaf->prot) & _PAGE_USER)
		g->first++;

	return 0;
}

static void asi_test_no_global_in_domain(struct kunit *test)
{
	/* Without areas that map one page over and over: espfix and KASAN's shadow. */
	const unsigned long areas[][2] = {
#ifdef CONFIG_KASAN
		{ PAGE_OFFSET & PGDIR_MASK, KASAN_SHADOW_START },
		{ KASAN_SHADOW_END, ESPFIX_BASE_ADDR },
#else
		{ PAGE_OFFSET & PGDIR_MASK, ESPFIX_BASE_ADDR },
#endif
		{ ESPFIX_BASE_ADDR + P4D_SIZE, 0 },
	};
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct globals g = {};
	int i;

	for (i = 0; i < ARRAY_SIZE(areas); i++)
		KUNIT_EXPECT_EQ(test, pg_table_walk(asi_pg_table(asi), areas[i][0], areas[i][1],
						    find_global, &g), 0);
	KUNIT_EXPECT_GT(test, g.leaves, 10);
	KUNIT_EXPECT_EQ(test, g.wrong, 0);
	KUNIT_EXPECT_EQ(test, g.first, 0);
}

/* ---- what is flushed ---- */

struct counted {
	unsigned long flush, noflush;
	int err;
};

static struct counted count_pass(struct asi *asi)
{
	struct counted c;

	c.flush = raw_cpu_read(asi_cpu.count[ASI_COUNT_FLUSH]);
	c.noflush = raw_cpu_read(asi_cpu.count[ASI_COUNT_NOFLUSH]);
	c.err = asi_test_pass(asi);
	c.flush = raw_cpu_read(asi_cpu.count[ASI_COUNT_FLUSH]) - c.flush;
	c.noflush = raw_cpu_read(asi_cpu.count[ASI_COUNT_NOFLUSH]) - c.noflush;

	return c;
}

/* Of this CPU, at the last look; and how often it was possible to look at what was kept. */
static u64 kernel_gen_seen;
static int kept_looks;

/*
 * An interrupt would count, too.  With migration off.  If others have had the kernel's
 * addresses flushed since the last look, then nothing can be said of what was not.
 */
static void expect_flush(struct kunit *test, struct asi *asi, bool flush, const char *what)
{
	bool keeps = cpu_feature_enabled(X86_FEATURE_PCID) || IS_ENABLED(CONFIG_DEBUG_ASI_TLB);
	unsigned long flags;
	struct counted c;
	bool others;

	local_irq_save(flags);
	others = !flush && raw_cpu_read(asi_kernel_gen) != kernel_gen_seen;
	c = count_pass(asi);
	kernel_gen_seen = raw_cpu_read(asi_kernel_gen);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ_MSG(test, c.err, 0, "%s", what);
	if (others) {
		kunit_info(test, "%s: others have flushed", what);
		return;
	}
	kept_looks += !flush;
	KUNIT_EXPECT_EQ_MSG(test, c.flush, flush || !keeps, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, c.noflush, !flush && keeps, "%s", what);
}

static void asi_test_flushes(struct kunit *test)
{
	struct asi *a = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi *b = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi *other = asi_test_domain(test, ASI_FAULT_PRESERVE);
	void *area = vmalloc(2 * PAGE_SIZE);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, area);
	kept_looks = 0;
	migrate_disable();
	expect_flush(test, a, true, "first");
	for (i = 0; i < 5; i++)
		expect_flush(test, a, false, "again");

	/* Two domains of a type have one PCID. */
	expect_flush(test, b, true, "another of the type");
	expect_flush(test, b, false, "another of the type again");
	expect_flush(test, a, true, "back to the first of the type");
	/* Those of different types do not mind each other. */
	expect_flush(test, other, true, "of another type");
	expect_flush(test, a, false, "after one of another type");
	expect_flush(test, other, false, "of another type again");

	/* To map more changes nothing that a TLB could hide, to unmap does. */
	KUNIT_EXPECT_EQ(test, asi_map(a, area, 2 * PAGE_SIZE), 0);
	asi_test_pass(a);
	expect_flush(test, a, false, "after a second pass");
	KUNIT_EXPECT_EQ(test, asi_unmap(a, area, PAGE_SIZE), 0);
	expect_flush(test, a, true, "after unmap");
	expect_flush(test, a, false, "after unmap again");

	/* Of one CPU, or of all. */
	preempt_disable();
	flush_tlb_one_kernel((unsigned long)area);
	expect_flush(test, a, true, "after flush of one page");
	expect_flush(test, a, false, "after flush of one page again");
	preempt_enable();
	flush_tlb_kernel_range((unsigned long)area, (unsigned long)area + PAGE_SIZE);
	expect_flush(test, a, true, "after flush of a range");
	expect_flush(test, other, true, "after flush of a range, of another type");
	expect_flush(test, a, false, "after flush of a range again");

	/* What the kernel does, with what the domain has of it. */
	KUNIT_EXPECT_EQ(test, set_memory_ro((unsigned long)area + PAGE_SIZE, 1), 0);
	expect_flush(test, a, true, "after set_memory_ro()");
	KUNIT_EXPECT_EQ(test, set_memory_rw((unsigned long)area + PAGE_SIZE, 1), 0);
	vfree(area);
	vm_unmap_aliases();
	expect_flush(test, a, true, "after vfree()");
	expect_flush(test, a, false, "after vfree() again");
	migrate_enable();
	KUNIT_EXPECT_GT(test, kept_looks, 6);
}

/* What code in a domain flushes is the PCID of the kernel; its own has a generation. */
static void flush_inside(void *arg)
{
	unsigned long flags;

	local_irq_save(flags);
	if (arg)
		flush_tlb_one_kernel((unsigned long)arg);
	else
		flush_tlb_local();
	local_irq_restore(flags);
}

static void asi_test_flush_inside(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	void *args[] = { NULL, asi_test_public };
	struct asi_test_run r;
	long suspends;
	u64 gen;
	int i;

	migrate_disable();
	for (i = 0; i < ARRAY_SIZE(args); i++) {
		suspends = asi_test_count(ASI_COUNT_SUSPEND);
		gen = raw_cpu_read(asi_kernel_gen);
		asi_test_session(asi, &r, flush_inside, args[i]);
		asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_GE(test, asi_test_count(ASI_COUNT_SUSPEND) - suspends, 1);
		KUNIT_EXPECT_GE(test, raw_cpu_read(asi_kernel_gen) - gen, !!args[i]);
	}
	migrate_enable();
}

/* Each flush of kernel addresses on one CPU is seen by domains on all of them. */
struct remote_pass {
	struct asi *asi;
	struct counted c;
	int err, go, done, stop;
};

static int remote_passes(void *arg)
{
	struct remote_pass *r = arg;

	r->err = asi_test_populate(r->asi);
	while (!kthread_should_stop()) {
		unsigned long flags;

		if (!READ_ONCE(r->go)) {
			schedule_timeout_idle(1);
			continue;
		}
		local_irq_save(flags);
		r->c = count_pass(r->asi);
		local_irq_restore(flags);
		r->go = 0;
		/* Pairs with remote_count(). */
		smp_store_release(&r->done, 1);
	}

	return 0;
}

static struct counted remote_count(struct remote_pass *r)
{
	int i;

	r->done = 0;
	WRITE_ONCE(r->go, 1);
	/* Pairs with smp_store_release() of the one who counts. */
	for (i = 0; i < 1000 && !smp_load_acquire(&r->done); i++)
		msleep(20);

	return r->c;
}

static void asi_test_flush_is_global(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	bool keeps = cpu_feature_enabled(X86_FEATURE_PCID) || IS_ENABLED(CONFIG_DEBUG_ASI_TLB);
	static struct remote_pass r;
	struct task_struct *t;
	struct counted c;
	void *area;

	asi_test_need_cpus(test);
	area = vmalloc(PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, area);
	memset(&r, 0, sizeof(r));
	r.asi = asi;
	migrate_disable();
	t = kthread_create_on_cpu(remote_passes, &r, asi_test_other_cpu(), "asi_kunit/%u");
	if (!IS_ERR(t)) {
		wake_up_process(t);
		remote_count(&r);
		c = remote_count(&r);
		KUNIT_EXPECT_EQ(test, c.err, 0);
		c = remote_count(&r);
		KUNIT_EXPECT_EQ(test, c.noflush, keeps);
		flush_tlb_kernel_range((unsigned long)area, (unsigned long)area + PAGE_SIZE);
		c = remote_count(&r);
		KUNIT_EXPECT_EQ(test, c.flush, 1);
		KUNIT_EXPECT_EQ(test, asi_map(asi, area, PAGE_SIZE), 0);
		remote_count(&r);
		KUNIT_EXPECT_EQ(test, asi_unmap(asi, area, PAGE_SIZE), 0);
		c = remote_count(&r);
		KUNIT_EXPECT_EQ(test, c.flush, 1);
		KUNIT_EXPECT_EQ(test, c.err, 0);
		kthread_stop(t);
	}
	migrate_enable();
	KUNIT_EXPECT_FALSE(test, IS_ERR(t));
	vfree(area);
}

/* ---- what was mapped once ---- */

struct touch {
	u64 *p;
	bool reads;
	u64 val;
};

static void touch(void *arg)
{
	struct touch *t = arg;

	t->reads = !copy_from_kernel_nofault(&t->val, t->p, sizeof(t->val));
}

static bool touches(struct kunit *test, struct asi *asi, void *p, u64 val)
{
	struct touch t = { .p = p };
	struct asi_test_run r;

	asi_test_session(asi, &r, touch, &t);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_TRUE(test, !t.reads || t.val == val);

	return t.reads;
}

/* Map, touch, unmap, flush, touch. */
static void asi_test_unmapped(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	u64 *mem[2] = { (u64 *)__get_free_page(GFP_KERNEL), vmalloc(PAGE_SIZE) };
	int i, k;

	migrate_disable();
	for (i = 0; i < ARRAY_SIZE(mem); i++) {
		KUNIT_EXPECT_NOT_NULL(test, mem[i]);
		if (!mem[i])
			continue;
		*mem[i] = PUBLIC + i;
		for (k = 0; k < 5; k++) {
			KUNIT_EXPECT_FALSE(test, touches(test, asi, mem[i], 0));
			KUNIT_EXPECT_EQ(test, asi_map(asi, mem[i], PAGE_SIZE), 0);
			KUNIT_EXPECT_TRUE(test, touches(test, asi, mem[i], PUBLIC + i));
			KUNIT_EXPECT_EQ(test, asi_unmap(asi, mem[i], PAGE_SIZE), 0);
			KUNIT_EXPECT_FALSE(test, touches(test, asi, mem[i], 0));
		}
	}
	migrate_enable();
	free_page((unsigned long)mem[0]);
	vfree(mem[1]);
}

/* One page of what the kernel maps in large pieces: the rest of it stays. */
static void asi_test_unmap_part(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	u64 *mem = (u64 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, PMD_ORDER);
	unsigned int i, step = PAGE_SIZE / sizeof(*mem);
	unsigned int gone = PTRS_PER_PMD / 2;
	struct pg_table_leaf leaf;

	if (!mem)
		kunit_skip(test, "needs 2 MiB in one piece");
	for (i = 0; i < PTRS_PER_PMD; i++)
		mem[i * step] = PUBLIC + i;
	migrate_disable();
	KUNIT_EXPECT_EQ(test, asi_map(asi, mem, PMD_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, touches(test, asi, &mem[gone * step], PUBLIC + gone));
	KUNIT_EXPECT_EQ(test, asi_unmap(asi, &mem[gone * step], PAGE_SIZE), 0);
	for (i = gone - 2; i <= gone + 2; i++)
		KUNIT_EXPECT_EQ(test, touches(test, asi, &mem[i * step], PUBLIC + i), i != gone);
	for (i = 0; i < PTRS_PER_PMD; i++)
		KUNIT_EXPECT_EQ(test, pg_table_lookup(asi_pg_table(asi),
						      (unsigned long)&mem[i * step], &leaf),
				i != gone);
	migrate_enable();
	asi_test_destroy(test, asi);
	free_pages((unsigned long)mem, PMD_ORDER);
}

/* Memory of each CPU, which is elsewhere than the static per-CPU variables. */
static void asi_test_map_percpu(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	u64 __percpu *mem = __alloc_percpu(PAGE_SIZE, PAGE_SIZE);
	int cpu, before = 0, after = 0, gone = 0;

	KUNIT_ASSERT_NOT_NULL(test, (__force void *)mem);
	for_each_possible_cpu(cpu) {
		u64 *p = per_cpu_ptr(mem, cpu);

		*p = PUBLIC + cpu;
	}
	for_each_possible_cpu(cpu)
		before += touches(test, asi, per_cpu_ptr(mem, cpu), PUBLIC + cpu);
	KUNIT_EXPECT_EQ(test, asi_map_percpu(asi, mem, PAGE_SIZE), 0);
	for_each_possible_cpu(cpu)
		after += touches(test, asi, per_cpu_ptr(mem, cpu), PUBLIC + cpu);
	for_each_possible_cpu(cpu)
		gone += !asi_unmap(asi, per_cpu_ptr(mem, cpu), PAGE_SIZE) &&
			!touches(test, asi, per_cpu_ptr(mem, cpu), 0);
	free_percpu(mem);
	KUNIT_EXPECT_EQ(test, before, 0);
	KUNIT_EXPECT_EQ(test, after, num_possible_cpus());
	KUNIT_EXPECT_EQ(test, gone, num_possible_cpus());
}

/* A page at an address that has just become free, or next to it, or NULL. */
static u64 *vmalloc_at(u64 *old)
{
	return __vmalloc_node_range(PAGE_SIZE, 1, (unsigned long)old,
				    (unsigned long)old + 2 * PAGE_SIZE, GFP_KERNEL,
				    PAGE_KERNEL, 0, NUMA_NO_NODE, NULL);
}

/* What the kernel has freed is gone in the domain, also when the address is in use again. */
static void asi_test_vfree_and_reuse(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	int k, again = 0;

	migrate_disable();
	for (k = 0; k < 10; k++) {
		u64 *old = vmalloc(PAGE_SIZE), *new;

		KUNIT_EXPECT_NOT_NULL(test, old);
		if (!old)
			break;
		*old = PUBLIC;
		KUNIT_EXPECT_EQ(test, asi_map(asi, old, PAGE_SIZE), 0);
		KUNIT_EXPECT_TRUE(test, touches(test, asi, old, PUBLIC));
		vfree(old);
		vm_unmap_aliases();
		KUNIT_EXPECT_FALSE(test, touches(test, asi, old, 0));
		/* The same address, with something that is nobody's business. */
		new = vmalloc_at(old);
		if (!new)
			continue;
		again += new == old;
		*new = SECRET;
		KUNIT_EXPECT_FALSE(test, touches(test, asi, old, 0));
		vfree(new);
	}
	migrate_enable();
	KUNIT_EXPECT_GT(test, again, 0);
}

/*
 * A domain that has a table of the kernel in common sees what changes in it at once.  Of its own
 * it has lost nothing, so that no generation of its own tells: what its PCID still has of
 * the table goes when the kernel flushes, on each CPU.
 */
static void asi_test_shared_table(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	unsigned long addr;
	u64 *old, *new;
	int k, again = 0;

	migrate_disable();
	for (k = 0; k < 10; k++) {
		old = vmalloc(PAGE_SIZE);
		KUNIT_EXPECT_NOT_NULL(test, old);
		if (!old)
			break;
		*old = PUBLIC;
		addr = (unsigned long)old & PMD_MASK;
		KUNIT_EXPECT_EQ(test, pg_table_share(asi_pg_table(asi), &kernel_pg_table, addr,
						     addr + PMD_SIZE, PG_TABLE_PMD), 0);
		KUNIT_EXPECT_TRUE(test, touches(test, asi, old, PUBLIC));
		vfree(old);
		vm_unmap_aliases();
		KUNIT_EXPECT_FALSE(test, touches(test, asi, old, 0));
		new = vmalloc_at(old);
		if (!new)
			continue;
		again += new == old;
		*new = SECRET;
		KUNIT_EXPECT_TRUE(test, touches(test, asi, new, SECRET));
		vfree(new);
		vm_unmap_aliases();
	}
	migrate_enable();
	KUNIT_EXPECT_GT(test, again, 0);
}

/* What the kernel makes read-only, or takes out of its own table, follows. */
static void asi_test_set_memory(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	u64 *page = (u64 *)__get_free_page(GFP_KERNEL);
	unsigned long addr = (unsigned long)page;
	struct pg_table_leaf leaf;

	KUNIT_ASSERT_NOT_NULL(test, page);
	*page = PUBLIC;
	migrate_disable();
	KUNIT_EXPECT_EQ(test, asi_map(asi, page, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, touches(test, asi, page, PUBLIC));
	KUNIT_EXPECT_EQ(test, set_memory_ro(addr, 1), 0);
	KUNIT_EXPECT_TRUE(test, touches(test, asi, page, PUBLIC));
	KUNIT_EXPECT_TRUE(test, pg_table_lookup(asi_pg_table(asi), addr, &leaf));
	KUNIT_EXPECT_EQ(test, pgprot_val(leaf.prot) & _PAGE_RW, 0);
	KUNIT_EXPECT_EQ(test, set_memory_rw(addr, 1), 0);
	KUNIT_EXPECT_EQ(test, set_memory_np(addr, 1), 0);
	KUNIT_EXPECT_FALSE(test, touches(test, asi, page, 0));
	KUNIT_EXPECT_EQ(test, set_memory_p(addr, 1), 0);
	migrate_enable();
	free_page(addr);
}

/* A CPU that is in the domain when something is unmapped leaves it and comes back. */
static struct {
	u64 *p;
	int ready, stop, before, after;
	int unmapped;
} victim;

/* It has been read there. */
static bool victim_reads(void)
{
	int i;

	for (i = 0; i < 500 && !READ_ONCE(victim.before); i++)
		msleep(20);

	return i < 500;
}

static int victim_thread(void *arg)
{
	struct asi *asi = arg;
	int err;

	err = asi_test_populate(asi);
	err = err ?: asi_enter(asi);
	/* Pairs with sleep_until_ready(). */
	smp_store_release(&victim.ready, 1);
	while (!err && !READ_ONCE(victim.stop)) {
		int unmapped = READ_ONCE(victim.unmapped);
		bool reads = asi_test_reads(victim.p);

		if (!unmapped)
			WRITE_ONCE(victim.before, victim.before + reads);
		else
			victim.after += reads;
		cpu_relax();
	}
	if (!err)
		err = asi_exit(asi);
	/* The same. */
	smp_store_release(&victim.ready, 2);

	return err;
}

static bool sleep_until_ready(int stage)
{
	int i;

	/* Pairs with victim_thread(). */
	for (i = 0; i < 500 && smp_load_acquire(&victim.ready) < stage; i++)
		msleep(20);

	return i < 500;
}

static void asi_test_unmap_inside(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	u64 *page = vmalloc(PAGE_SIZE);
	struct task_struct *t;
	int k, cpu;

	asi_test_need_cpus(test);
	KUNIT_ASSERT_NOT_NULL(test, page);
	migrate_disable();
	cpu = asi_test_other_cpu();
	for (k = 0; k < 10; k++) {
		memset(&victim, 0, sizeof(victim));
		victim.p = page;
		KUNIT_EXPECT_EQ(test, asi_map(asi, page, PAGE_SIZE), 0);
		t = kthread_create_on_cpu(victim_thread, asi, cpu, "asi_kunit/%u");
		if (IS_ERR(t))
			break;
		wake_up_process(t);
		KUNIT_EXPECT_TRUE(test, sleep_until_ready(1));
		KUNIT_EXPECT_TRUE(test, victim_reads());
		if (k & 1) {
			KUNIT_EXPECT_EQ(test, asi_unmap(asi, page, PAGE_SIZE), 0);
		} else {
			vfree(page);
			vm_unmap_aliases();
		}
		/* From here on there is nothing to read. */
		smp_store_release(&victim.unmapped, 1);
		msleep(20);
		WRITE_ONCE(victim.stop, 1);
		KUNIT_EXPECT_TRUE(test, sleep_until_ready(2));
		KUNIT_EXPECT_EQ(test, victim.after, 0);
		if (!(k & 1))
			page = vmalloc(PAGE_SIZE);
		if (!page)
			break;
	}
	migrate_enable();
	KUNIT_EXPECT_EQ(test, k, 10);
	vfree(page);
}

/* A class that a type gives back, and another gets: nothing of the one is in the other. */
static void asi_test_class_reuse(struct kunit *test)
{
	u64 *page = (u64 *)__get_free_page(GFP_KERNEL);
	struct asi *asi;
	int k, class = 0, same = 0;

	KUNIT_ASSERT_NOT_NULL(test, page);
	*page = PUBLIC;
	kept_looks = 0;
	migrate_disable();
	for (k = 0; k < 8; k++) {
		asi = asi_test_create(ASI_FAULT_PRESERVE);
		KUNIT_EXPECT_FALSE(test, IS_ERR(asi));
		if (IS_ERR(asi))
			break;
		same += asi->class == class;
		class = asi->class;
		KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
		kernel_gen_seen = raw_cpu_read(asi_kernel_gen);
		if (k & 1) {
			KUNIT_EXPECT_FALSE(test, touches(test, asi, page, 0));
		} else {
			KUNIT_EXPECT_EQ(test, asi_map(asi, page, PAGE_SIZE), 0);
			KUNIT_EXPECT_TRUE(test, touches(test, asi, page, PUBLIC));
		}
		expect_flush(test, asi, false, "the second time");
		asi_destroy(asi);
	}
	migrate_enable();
	KUNIT_EXPECT_GT(test, kept_looks, 0);
	KUNIT_EXPECT_GT(test, same, 0);
	free_page((unsigned long)page);
}

static struct kunit_case asi_tlb_cases[] = {
	KUNIT_CASE(asi_test_cr3_inside),
	KUNIT_CASE(asi_test_no_global),
	KUNIT_CASE(asi_test_no_global_in_domain),
	KUNIT_CASE(asi_test_flushes),
	KUNIT_CASE(asi_test_flush_inside),
	KUNIT_CASE(asi_test_flush_is_global),
	KUNIT_CASE(asi_test_unmapped),
	KUNIT_CASE(asi_test_unmap_part),
	KUNIT_CASE(asi_test_map_percpu),
	KUNIT_CASE(asi_test_vfree_and_reuse),
	KUNIT_CASE(asi_test_shared_table),
	KUNIT_CASE(asi_test_set_memory),
	KUNIT_CASE(asi_test_unmap_inside),
	KUNIT_CASE(asi_test_class_reuse),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_tlb_suite = {
	.name = "asi_tlb",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_tlb_cases,
};

/* These need no asi=on. */
static struct kunit_case asi_cr3_cases[] = {
	KUNIT_CASE(asi_test_pcid),
	KUNIT_CASE(asi_test_cr3_matrix),
	{}
};

static struct kunit_suite asi_cr3_suite = {
	.name = "asi_cr3",
	.test_cases = asi_cr3_cases,
};

kunit_test_suites(&asi_tlb_suite, &asi_cr3_suite);
