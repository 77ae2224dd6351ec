// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of page tables as objects: what they map, whom they follow, what they
 * leave alone, and who is refused.  What they map is looked at by code of its own.
 */
#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/ptdump.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/set_memory.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/cpu_entry_area.h>
#include <asm/sections.h>
#include <asm/tlbflush.h>

#include "test_pg_table.h"

/* Where the entry of a level is, or the one above that is no table. */
u64 *test_slot(const struct pg_table *pgt, unsigned long addr, int level)
{
	u64 *table = (u64 *)pgt->root;
	int l;

	for (l = test_root_level(); ; l--) {
		u64 *slot = table + ((addr >> test_shift(l)) & 511);

		if (l == level || (*slot & 0x81) != 1)
			return slot;
		table = __va(*slot & TEST_ADDR_MASK);
	}
}

bool test_see(const struct pg_table *pgt, unsigned long addr, struct test_seen *seen)
{
	u64 *table = (u64 *)pgt->root, e, offset, pat;
	int level = test_root_level();

	*seen = (struct test_seen) { .rw = true, .user = true };
	for (;; level--) {
		seen->slot = table + ((addr >> test_shift(level)) & 511);
		e = *seen->slot;
		seen->entry = e;
		seen->level = level;
		if (!(e & BIT(0)))
			return false;

		seen->rw &= !!(e & BIT(1));
		seen->user &= !!(e & BIT(2));
		seen->nx |= e >> 63;
		if (level == 1 || (e & BIT(7)))
			break;
		table = __va(e & TEST_ADDR_MASK);
	}

	offset = addr & (BIT_ULL(test_shift(level)) - 1);
	seen->pa = (e & TEST_ADDR_MASK & ~(BIT_ULL(test_shift(level)) - 1)) + offset;
	pat = level == 1 ? e & BIT(7) : (e & BIT(12)) >> 5;
	seen->cache = (e & (BIT(3) | BIT(4))) | pat;
	seen->global = e & BIT(8);
	seen->present = true;

	return true;
}

bool test_owned(const struct pg_table *pgt, u64 e)
{
	return (e & 0x81) == 1 && virt_to_ptdesc(__va(e & TEST_ADDR_MASK))->pt_owner == pgt;
}

/* Tables that the root leads to; no leaf in them is global or for user mode. */
static long test_count(struct kunit *test, const struct pg_table *pgt, u64 *table, int level)
{
	long n = 0;
	int i;

	for (i = 0; i < 512; i++) {
		if (level > 1 && test_owned(pgt, table[i]))
			n += 1 + test_count(test, pgt, __va(table[i] & TEST_ADDR_MASK), level - 1);
		else if ((table[i] & 1) && (level == 1 || (table[i] & BIT(7))))
			KUNIT_EXPECT_FALSE(test, table[i] & (BIT(2) | BIT(8)));
	}

	return n;
}

long test_count_tables(struct kunit *test, const struct pg_table *pgt)
{
	struct list_head *pos;
	long listed = 0, n = test_count(test, pgt, (u64 *)pgt->root, test_root_level());

	list_for_each(pos, &pgt->tables)
		listed++;

	return n == listed ? n : -1;
}

/* What a page table and its own tables are now. */
static u64 test_hash(const struct pg_table *pgt, u64 *table, int level)
{
	u64 h = 0;
	int i;

	for (i = 0; i < 512; i++) {
		h = h * 0x9e3779b97f4a7c15ULL + table[i];
		if (level > 1 && test_owned(pgt, table[i]))
			h ^= test_hash(pgt, __va(table[i] & TEST_ADDR_MASK), level - 1);
	}

	return h;
}

u64 test_state(const struct pg_table *pgt)
{
	return test_hash(pgt, (u64 *)pgt->root, test_root_level()) + pgt->nr_tables +
	       (pg_table_generation(pgt) << 32) + bitmap_weight(pgt->follows, 256);
}

static void test_flush(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	struct pg_table_test *x = pgt->private;

	x->flushes++;
	x->generation = pg_table_generation(pgt);
	x->start = start;
	x->end = end;
	x->nr_tables = pgt->nr_tables;
}

static const struct pg_table_ops test_ops = { .flush = test_flush };

int pg_table_test_init(struct kunit *test)
{
	struct pg_table_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, x);
	rcu_barrier();
	x->instances = atomic_long_read(&pg_table_stats.instances);
	x->tables = atomic_long_read(&pg_table_stats.tables);
	test->priv = x;

	x->src = pg_table_create("test_src", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(x->src));
	x->dst = pg_table_create("test_dst", &test_ops, x);
	KUNIT_ASSERT_FALSE(test, IS_ERR(x->dst));

	return 0;
}

void pg_table_test_exit(struct kunit *test)
{
	struct pg_table_test *x = test->priv;

	pg_table_fail_alloc = 0;
	if (!x)
		return;
	if (!IS_ERR_OR_NULL(x->dst)) {
		KUNIT_EXPECT_EQ(test, test_count_tables(test, x->dst), x->dst->nr_tables);
		pg_table_free(x->dst);
	}
	if (!IS_ERR_OR_NULL(x->src)) {
		KUNIT_EXPECT_EQ(test, test_count_tables(test, x->src), x->src->nr_tables);
		pg_table_free(x->src);
	}

	/* Nothing is left behind. */
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.instances), x->instances);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.tables), x->tables);
}

/* Does @addr lead to page frame @pfn, by a leaf of this level? */
void test_maps(struct kunit *test, const struct pg_table *pgt, unsigned long addr,
	       unsigned long pfn, int level, bool rw)
{
	struct pg_table_leaf leaf;
	struct test_seen seen;

	KUNIT_EXPECT_TRUE_MSG(test, test_see(pgt, addr, &seen), "%s %#lx", pgt->name, addr);
	KUNIT_EXPECT_EQ_MSG(test, seen.pa, PFN_PHYS(pfn), "%s %#lx", pgt->name, addr);
	KUNIT_EXPECT_EQ_MSG(test, seen.level, level, "%s %#lx", pgt->name, addr);
	KUNIT_EXPECT_EQ_MSG(test, seen.rw, rw, "%s %#lx", pgt->name, addr);
	KUNIT_EXPECT_FALSE(test, seen.user);

	KUNIT_EXPECT_TRUE(test, pg_table_lookup(pgt, addr, &leaf));
	KUNIT_EXPECT_EQ(test, leaf.pa + (addr - leaf.start), PFN_PHYS(pfn));
	KUNIT_EXPECT_EQ(test, leaf.level, level);
	KUNIT_EXPECT_EQ(test, !!(pgprot_val(leaf.prot) & _PAGE_RW), rw);
}

void test_maps_not(struct kunit *test, const struct pg_table *pgt, unsigned long addr)
{
	struct test_seen seen;

	KUNIT_EXPECT_FALSE_MSG(test, test_see(pgt, addr, &seen), "%s %#lx", pgt->name, addr);
	KUNIT_EXPECT_FALSE(test, pg_table_lookup(pgt, addr, NULL));
}

#define PFN_1G		0x40000UL
#define PFN_2M		0x12200UL

static void pg_table_test_create(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	int i;

	for (i = 0; i < PTRS_PER_PGD; i++)
		KUNIT_EXPECT_EQ(test, ((u64 *)x->dst->root)[i], 0);
	KUNIT_EXPECT_EQ(test, pg_table_root(x->dst), __sme_pa(x->dst->root));
	if (IS_ENABLED(CONFIG_MITIGATION_PAGE_TABLE_ISOLATION))
		KUNIT_EXPECT_FALSE(test, pg_table_root(x->dst) & BIT(12));
	KUNIT_EXPECT_GT(test, pg_table_generation(x->dst), 0);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 0);
	KUNIT_EXPECT_PTR_EQ(test, x->dst->private, (void *)x);
	KUNIT_EXPECT_STREQ(test, x->dst->name, "test_dst");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.instances), x->instances + 2);
	KUNIT_EXPECT_PTR_EQ(test, kernel_pg_table.root, init_mm.pgd);
}

static void pg_table_test_map_leaves(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long addr = TEST_BASE + SZ_1G_ - SZ_2M_ - SZ_4K_, pfn = PFN_1G - 512 - 1;
	int big = boot_cpu_has(X86_FEATURE_GBPAGES) ? 3 : 2;

	/* A page, 2 MiB, 1 GiB, a page: 1 PUD table, 3 PMD tables less one, 2 PTE tables. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, addr, pfn, 1 + 512 + (1 << 18) + 1,
					   TEST_PROT_RW), 0);
	test_maps(test, x->dst, addr, pfn, 1, true);
	test_maps_not(test, x->dst, addr - PAGE_SIZE);
	test_maps(test, x->dst, addr + SZ_4K_, pfn + 1, 2, true);
	test_maps(test, x->dst, addr + SZ_4K_ + 5 * SZ_4K_, pfn + 6, 2, true);
	test_maps(test, x->dst, TEST_BASE + SZ_1G_, PFN_1G, big, true);
	test_maps(test, x->dst, TEST_BASE + SZ_1G_ + 777 * SZ_4K_, PFN_1G + 777, big, true);
	test_maps(test, x->dst, TEST_BASE + 2 * SZ_1G_, 2 * PFN_1G, 1, true);
	test_maps_not(test, x->dst, TEST_BASE + 2 * SZ_1G_ + SZ_4K_);
	if (big == 3)
		KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 1 + 2 + 2 + pgtable_l5_enabled());
	/* Where nothing was, nothing has to be flushed. */
	KUNIT_EXPECT_EQ(test, x->flushes, 0);

	/* What is not congruent is mapped by pages. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, 3, 512, TEST_PROT_RO), 0);
	test_maps(test, x->src, TEST_BASE + 511 * SZ_4K_, 3 + 511, 1, false);
}

/* More than is done with interrupts off at a time; the frames are never those of a leaf. */
static void pg_table_test_map_in_pieces(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long nr = 9 * 512, pfn, i;

	for (pfn = PFN_1G + 1; pfn < PFN_1G + 12; pfn++) {
		KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, TEST_BASE, pfn, nr, TEST_PROT_RO), 0);
		for (i = 0; i < nr; i += 37)
			test_maps(test, x->dst, TEST_BASE + i * SZ_4K_, pfn + i, 1, false);
		test_maps(test, x->dst, TEST_BASE + (nr - 1) * SZ_4K_, pfn + nr - 1, 1, false);
		KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE, TEST_BASE + SZ_1G_), 0);
	}
}

static void pg_table_test_map_top(struct kunit *test)
{
	struct pg_table_test *x = test->priv;

	KUNIT_EXPECT_EQ(test, pg_table_map(x->dst, -SZ_2M_, PFN_2M, 512, TEST_PROT_RO), 0);
	test_maps(test, x->dst, -SZ_4K_, PFN_2M + 511, 2, false);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(x->dst, -SZ_4K_, 0), 0);
	test_maps_not(test, x->dst, -SZ_4K_);
	test_maps(test, x->dst, -2 * SZ_4K_, PFN_2M + 510, 1, false);
	KUNIT_EXPECT_EQ(test, pg_table_share(x->src, &kernel_pg_table, -SZ_512G_, 0,
					     PG_TABLE_P4D), 0);
	KUNIT_EXPECT_TRUE(test, pg_table_lookup(x->src, (unsigned long)_text, NULL));
}

static void example_flush(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	/* Nothing ever loads this one. */
}

static const struct pg_table_ops example_ops = { .flush = example_flush };

/* Documentation/mm/pg_table.rst shows this. */
static int example_build(struct pg_table **built, unsigned long addr, size_t size,
			 unsigned long own, unsigned long pfn)
{
	unsigned long start = ALIGN_DOWN((unsigned long)_text, PMD_SIZE);
	unsigned long end = ALIGN((unsigned long)_end, PMD_SIZE);
	unsigned long secret = addr + PAGE_SIZE;
	struct pg_table *pgt;
	int err;

	pgt = pg_table_create("example", &example_ops, NULL);
	if (IS_ERR(pgt))
		return PTR_ERR(pgt);
	*built = pgt;

	/* The kernel's text and data, by its own PTE tables. */
	err = pg_table_share(pgt, &kernel_pg_table, start, end, PG_TABLE_PMD);

	/* The pages of one object, until the source unmaps them; not until it is freed. */
	err = err ?: pg_table_share(pgt, &kernel_pg_table, addr, addr + size, PG_TABLE_LEAF);

	/* A page that nobody else has at this address. */
	err = err ?: pg_table_map(pgt, own, pfn, 1, TEST_PROT_RO);

	/* A hole in what is shared. */
	err = err ?: pg_table_unmap(pgt, secret, secret + PAGE_SIZE);

	return err;
}

static void pg_table_test_example(struct kunit *test)
{
	unsigned long addr = __get_free_pages(GFP_KERNEL, 2);
	struct pg_table *pgt = NULL;

	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_EXPECT_EQ(test, example_build(&pgt, addr, 4 * PAGE_SIZE, TEST_BASE, PFN_2M), 0);
	if (pgt) {
		test_maps(test, pgt, TEST_BASE, PFN_2M, 1, false);
		test_maps_not(test, pgt, addr + PAGE_SIZE);
		KUNIT_EXPECT_TRUE(test, pg_table_lookup(pgt, addr, NULL));
		KUNIT_EXPECT_TRUE(test, pg_table_lookup(pgt, addr + 3 * PAGE_SIZE, NULL));
		KUNIT_EXPECT_TRUE(test, pg_table_lookup(pgt, (unsigned long)_text, NULL));
		KUNIT_EXPECT_TRUE(test, pg_table_lookup(pgt, (unsigned long)&example_ops, NULL));
		pg_table_free(pgt);
	}
	free_pages(addr, 2);
}

/* Each level: what is around the hole is still there, in smaller leaves. */
static void pg_table_test_unmap_breaks_leaves(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long hole = TEST_BASE + 5 * SZ_2M_ + 7 * SZ_4K_, i;

	if (!boot_cpu_has(X86_FEATURE_GBPAGES))
		kunit_skip(test, "no leaves of 1 GiB");

	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, TEST_BASE, PFN_1G, 1 << 18, TEST_PROT_RW), 0);
	test_maps(test, x->dst, hole, PFN_1G + 5 * 512 + 7, 3, true);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, hole, hole + 2 * SZ_4K_), 0);

	test_maps_not(test, x->dst, hole);
	test_maps_not(test, x->dst, hole + SZ_4K_);
	for (i = 0; i < 512; i++) {
		if (i != 7 && i != 8)
			test_maps(test, x->dst, TEST_BASE + 5 * SZ_2M_ + i * SZ_4K_,
				  PFN_1G + 5 * 512 + i, 1, true);
		if (i != 5)
			test_maps(test, x->dst, TEST_BASE + i * SZ_2M_, PFN_1G + i * 512, 2, true);
	}

	/* All of it: the tables go too. */
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 3 + pgtable_l5_enabled());
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE, TEST_BASE + SZ_1G_), 0);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 1 + pgtable_l5_enabled());
	test_maps_not(test, x->dst, TEST_BASE);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE, TEST_BASE + SZ_ROOT_), 0);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 0);
}

static void pg_table_test_pat_bit(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	pgprot_t prot = __pgprot(pgprot_val(TEST_PROT_RW) | _PAGE_PAT | _PAGE_PWT);
	struct test_seen seen;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_2M, 512, prot), 0);
	KUNIT_ASSERT_TRUE(test, test_see(x->src, TEST_BASE, &seen));
	KUNIT_EXPECT_EQ(test, seen.level, 2);
	KUNIT_EXPECT_EQ(test, seen.entry & 0x1fff & ~0x60, 0x108bULL & ~0x100ULL);

	/* The bit of a large leaf is one of the address in a small one. */
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + SZ_2M_,
					     PG_TABLE_4K), 0);
	KUNIT_ASSERT_TRUE(test, test_see(x->dst, TEST_BASE + SZ_4K_, &seen));
	KUNIT_EXPECT_EQ(test, seen.level, 1);
	KUNIT_EXPECT_EQ(test, seen.pa, PFN_PHYS(PFN_2M + 1));
	KUNIT_EXPECT_EQ(test, seen.cache, (u64)(_PAGE_PAT | _PAGE_PWT));

	/* The same when it is this page table that breaks it down. */
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, TEST_BASE, TEST_BASE + SZ_4K_), 0);
	KUNIT_ASSERT_TRUE(test, test_see(x->src, TEST_BASE + SZ_4K_, &seen));
	KUNIT_EXPECT_EQ(test, seen.pa, PFN_PHYS(PFN_2M + 1));
	KUNIT_EXPECT_EQ(test, seen.cache, (u64)(_PAGE_PAT | _PAGE_PWT));

	if (!boot_cpu_has(X86_FEATURE_GBPAGES))
		return;

	/* From 1 GiB to 2 MiB it stays where it is. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE + SZ_1G_, PFN_1G, 1 << 18, prot), 0);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, TEST_BASE + SZ_1G_,
					     TEST_BASE + SZ_1G_ + SZ_2M_), 0);
	KUNIT_ASSERT_TRUE(test, test_see(x->src, TEST_BASE + SZ_1G_ + 3 * SZ_2M_, &seen));
	KUNIT_EXPECT_EQ(test, seen.level, 2);
	KUNIT_EXPECT_EQ(test, seen.pa, PFN_PHYS(PFN_1G + 3 * 512));
	KUNIT_EXPECT_EQ(test, seen.cache, (u64)(_PAGE_PAT | _PAGE_PWT));
}

/* One page of the source near the edges of an entry of each level. */
static void test_fill(struct kunit *test, struct pg_table *src)
{
	int i;

	for (i = 0; i < 3; i++) {
		const unsigned long at[] = { 0, SZ_2M_ + SZ_4K_, SZ_1G_ + SZ_2M_ };

		KUNIT_ASSERT_EQ(test, pg_table_map(src, TEST_BASE + at[i], 0x1000 + 0x11 * i, 1,
						   TEST_PROT_RW), 0);
	}
}

static void test_share_level(struct kunit *test, enum pg_table_level how, int level)
{
	struct pg_table_test *x = test->priv;
	unsigned long size = BIT(test_shift(level)), hole = TEST_BASE;
	u64 before;

	test_fill(test, x->src);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + size, how), 0);

	/* It is the same table. */
	KUNIT_EXPECT_EQ(test, *test_slot(x->dst, TEST_BASE, level),
			*test_slot(x->src, TEST_BASE, level));
	KUNIT_EXPECT_FALSE(test, test_owned(x->dst, *test_slot(x->dst, TEST_BASE, level)));
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, test_root_level() - level);
	test_maps(test, x->dst, TEST_BASE, 0x1000, 1, true);
	if (level > 2)
		test_maps(test, x->dst, TEST_BASE + SZ_2M_ + SZ_4K_, 0x1011, 1, true);
	else
		test_maps_not(test, x->dst, TEST_BASE + SZ_2M_ + SZ_4K_);

	/* What comes later comes by itself. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE + 9 * SZ_4K_, 0x2000, 1,
					   TEST_PROT_RO), 0);
	test_maps(test, x->dst, TEST_BASE + 9 * SZ_4K_, 0x2000, 1, false);
	KUNIT_EXPECT_EQ(test, x->flushes, 0);

	/* A hole is one in a copy of the table. */
	before = *test_slot(x->src, TEST_BASE, level);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, hole, hole + SZ_4K_), 0);
	KUNIT_EXPECT_EQ(test, *test_slot(x->src, TEST_BASE, level), before);
	KUNIT_EXPECT_TRUE(test, test_owned(x->dst, *test_slot(x->dst, TEST_BASE, level)));
	KUNIT_EXPECT_EQ(test, x->flushes, 1);
	test_maps_not(test, x->dst, hole);
	test_maps(test, x->src, hole, 0x1000, 1, true);
	test_maps(test, x->dst, TEST_BASE + 9 * SZ_4K_, 0x2000, 1, false);
	if (level > 2)
		test_maps(test, x->dst, TEST_BASE + SZ_2M_ + SZ_4K_, 0x1011, 1, true);

	/* What comes later still comes, if only because it is told; but not in the hole. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE + 11 * SZ_4K_, 0x3000, 1,
					   TEST_PROT_RO), 0);
	test_maps(test, x->dst, TEST_BASE + 11 * SZ_4K_, 0x3000, 1, false);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, hole, hole + SZ_4K_), 0);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, hole, 0x4000, 1, TEST_PROT_RO), 0);
	test_maps_not(test, x->dst, hole);

	/* A private page in the hole, and the source's when it is gone and shared again. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, hole, 0x5000, 1, TEST_PROT_RW), 0);
	test_maps(test, x->dst, hole, 0x5000, 1, true);
	test_maps(test, x->src, hole, 0x4000, 1, false);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, hole, hole + SZ_4K_), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + size, how), 0);
	test_maps(test, x->dst, hole, 0x4000, 1, false);
	KUNIT_EXPECT_EQ(test, *test_slot(x->dst, TEST_BASE, level),
			*test_slot(x->src, TEST_BASE, level));
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, test_root_level() - level);
}

static void pg_table_test_share_pmd(struct kunit *test)
{
	test_share_level(test, PG_TABLE_PMD, 2);
}

static void pg_table_test_share_pud(struct kunit *test)
{
	test_share_level(test, PG_TABLE_PUD, 3);
}

static void pg_table_test_share_p4d(struct kunit *test)
{
	test_share_level(test, PG_TABLE_P4D, 4);
}

static void pg_table_test_share_pgd(struct kunit *test)
{
	test_share_level(test, PG_TABLE_PGD, test_root_level());
}

static void pg_table_test_share_leaf(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long start = TEST_BASE + SZ_2M_ - 2 * SZ_4K_, end = start + 4 * SZ_2M_;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_1G, 8 * 512, TEST_PROT_RO), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, start, end, PG_TABLE_LEAF), 0);
	test_maps_not(test, x->dst, start - SZ_4K_);
	test_maps(test, x->dst, start, PFN_1G + 510, 1, false);
	test_maps(test, x->dst, TEST_BASE + SZ_2M_, PFN_1G + 512, 2, false);
	test_maps(test, x->dst, TEST_BASE + 3 * SZ_2M_, PFN_1G + 3 * 512, 2, false);
	test_maps(test, x->dst, end - SZ_4K_, PFN_1G + 4 * 512 + 509, 1, false);
	test_maps_not(test, x->dst, end);

	/* What was a hole then is one now. */
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE, TEST_BASE + SZ_1G_), 0);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, start, start + SZ_4K_), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, start, end, PG_TABLE_LEAF), 0);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, start, PFN_2M, 1, TEST_PROT_RW), 0);
	test_maps_not(test, x->dst, start);
	test_maps(test, x->dst, start + SZ_4K_, PFN_1G + 511, 1, false);
}

static void pg_table_test_share_4k(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long i;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_1G, 1 << 18, TEST_PROT_RW), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + 3 * SZ_2M_,
					     PG_TABLE_4K), 0);
	for (i = 0; i < 3 * 512; i += 73)
		test_maps(test, x->dst, TEST_BASE + i * SZ_4K_, PFN_1G + i, 1, true);
	test_maps_not(test, x->dst, TEST_BASE + 3 * SZ_2M_);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 3 + 2 + pgtable_l5_enabled());
	KUNIT_EXPECT_EQ(test, x->flushes, 0);
}

/* Where there are large copies already: those in the range are broken down, others are not. */
static void pg_table_test_share_4k_again(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long page = TEST_BASE + SZ_2M_ + 5 * SZ_4K_, i;
	u64 generation;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_1G, 1 << 18, TEST_PROT_RW), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + SZ_1G_,
					     PG_TABLE_LEAF), 0);
	generation = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, page, page + SZ_4K_, PG_TABLE_4K), 0);
	for (i = 0; i < 512; i++)
		test_maps(test, x->dst, TEST_BASE + SZ_2M_ + i * SZ_4K_, PFN_1G + 512 + i, 1,
			  true);
	test_maps(test, x->dst, TEST_BASE, PFN_1G, 2, true);
	test_maps(test, x->dst, TEST_BASE + 2 * SZ_2M_, PFN_1G + 1024, 2, true);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, test_count_tables(test, x->dst));
	/* An entry that was a leaf leads to a table. */
	KUNIT_EXPECT_NE(test, pg_table_generation(x->dst), generation);

	/* They are copies still, which go with the source's. */
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, page, page + SZ_4K_), 0);
	test_maps_not(test, x->dst, page);
	test_maps(test, x->dst, page + SZ_4K_, PFN_1G + 512 + 6, 1, true);

	/* Nothing is broken down twice. */
	generation = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, page + SZ_4K_, page + 2 * SZ_4K_,
					     PG_TABLE_4K), 0);
	KUNIT_EXPECT_EQ(test, pg_table_generation(x->dst), generation);
}

/* A source that has neither a page nor a table where it is shared. */
static void pg_table_test_share_nothing_yet(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long other = TEST_BASE - SZ_ROOT_;

	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, other, other + SZ_ROOT_,
					     PG_TABLE_PGD), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + SZ_2M_,
					     PG_TABLE_PMD), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE + SZ_2M_,
					     TEST_BASE + 2 * SZ_2M_, PG_TABLE_LEAF), 0);
	/* A hole in the nothing. */
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, other, other + SZ_4K_), 0);
	KUNIT_EXPECT_EQ(test, x->flushes, 0);

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, other, PFN_2M, 513, TEST_PROT_RW), 0);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_2M, 1024, TEST_PROT_RO), 0);
	test_maps_not(test, x->dst, other);
	test_maps(test, x->dst, other + SZ_4K_, PFN_2M + 1, 1, true);
	test_maps(test, x->dst, other + SZ_2M_, PFN_2M + 512, 1, true);
	test_maps(test, x->dst, TEST_BASE + SZ_4K_, PFN_2M + 1, 2, false);
	test_maps_not(test, x->dst, TEST_BASE + SZ_2M_);
}

/* Neither global nor user, and no more than the levels above allow. */
static void pg_table_test_share_strips(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	struct test_seen seen;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_2M, 512, TEST_PROT_RX), 0);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE + SZ_2M_, 5, 1, TEST_PROT_RW), 0);
	*test_slot(x->src, TEST_BASE, 2) |= _PAGE_GLOBAL | _PAGE_USER;
	*test_slot(x->src, TEST_BASE + SZ_2M_, 1) |= _PAGE_GLOBAL | _PAGE_USER;
	*test_slot(x->src, TEST_BASE + SZ_2M_, 2) &= ~_PAGE_RW;
	*test_slot(x->src, TEST_BASE, 3) |= _PAGE_NX | _PAGE_USER;

	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + 2 * SZ_2M_,
					     PG_TABLE_LEAF), 0);
	KUNIT_ASSERT_TRUE(test, test_see(x->dst, TEST_BASE, &seen));
	KUNIT_EXPECT_EQ(test, seen.level, 2);
	KUNIT_EXPECT_FALSE(test, seen.entry & (_PAGE_GLOBAL | _PAGE_USER));
	KUNIT_EXPECT_TRUE(test, seen.nx);
	KUNIT_ASSERT_TRUE(test, test_see(x->dst, TEST_BASE + SZ_2M_, &seen));
	KUNIT_EXPECT_FALSE(test, seen.entry & (_PAGE_GLOBAL | _PAGE_USER));
	KUNIT_EXPECT_FALSE(test, seen.rw);
	KUNIT_EXPECT_TRUE(test, seen.nx);
	*test_slot(x->src, TEST_BASE, 2) &= ~(_PAGE_GLOBAL | _PAGE_USER);
	*test_slot(x->src, TEST_BASE + SZ_2M_, 1) &= ~(_PAGE_GLOBAL | _PAGE_USER);

	/* Neither when it follows. */
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + SZ_2M_,
					     PG_TABLE_PMD), 0);
	*test_slot(x->src, TEST_BASE, 2) |= _PAGE_GLOBAL;
	__pg_table_source_changed(x->src, TEST_BASE, TEST_BASE + SZ_2M_);
	KUNIT_ASSERT_TRUE(test, test_see(x->dst, TEST_BASE, &seen));
	KUNIT_EXPECT_FALSE(test, seen.global);
	*test_slot(x->src, TEST_BASE, 2) &= ~_PAGE_GLOBAL;
}

static void pg_table_test_generation_and_flush(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	u64 before = pg_table_generation(x->dst);

	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, TEST_BASE, PFN_2M, 1024, TEST_PROT_RW), 0);
	KUNIT_EXPECT_EQ(test, pg_table_generation(x->dst), before);
	KUNIT_EXPECT_EQ(test, x->flushes, 0);

	/* By the time of the flush it is another one, for whoever enters then. */
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE + SZ_4K_, TEST_BASE + SZ_2M_), 0);
	KUNIT_EXPECT_EQ(test, x->flushes, 1);
	KUNIT_EXPECT_GT(test, x->generation, before);
	KUNIT_EXPECT_EQ(test, x->start, TEST_BASE + SZ_4K_);
	KUNIT_EXPECT_EQ(test, x->end, TEST_BASE + SZ_2M_);

	/* Nothing there: nothing to flush. */
	before = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE + SZ_1G_, TEST_BASE + 2 * SZ_1G_),
			0);
	KUNIT_EXPECT_EQ(test, pg_table_generation(x->dst), before);
	KUNIT_EXPECT_EQ(test, x->flushes, 1);

	/* A change in the source, and a table that is replaced by its like. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE + SZ_1G_, 7, 1, TEST_PROT_RW), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE + SZ_1G_,
					     TEST_BASE + 2 * SZ_1G_, PG_TABLE_PUD), 0);
	KUNIT_EXPECT_EQ(test, pg_table_generation(x->dst), before);
	/* In a table that both have no entry differs afterwards, but a TLB may. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE + SZ_1G_ + SZ_2M_, 9, 1,
					   TEST_PROT_RW), 0);
	before = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, TEST_BASE + SZ_1G_ + SZ_2M_,
					     TEST_BASE + SZ_1G_ + SZ_2M_ + SZ_4K_), 0);
	KUNIT_EXPECT_GT(test, pg_table_generation(x->dst), before);
	KUNIT_EXPECT_GT(test, x->flushes, 1);
	x->flushes = 1;
	before = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, TEST_BASE + SZ_1G_ + SZ_4K_, 8, 1,
					   TEST_PROT_RW), 0);
	KUNIT_EXPECT_GT(test, pg_table_generation(x->dst), before);
	KUNIT_EXPECT_EQ(test, x->flushes, 2);
	before = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->src, TEST_BASE + SZ_1G_,
					     TEST_BASE + SZ_1G_ + SZ_4K_), 0);
	KUNIT_EXPECT_GT(test, pg_table_generation(x->dst), before);
	KUNIT_EXPECT_EQ(test, x->flushes, 3);
	test_maps_not(test, x->dst, TEST_BASE + SZ_1G_);
	test_maps(test, x->dst, TEST_BASE + SZ_1G_ + SZ_4K_, 8, 1, true);
}

/* A page table that shares from one that shares. */
static void pg_table_test_chain(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	struct pg_table *mid = x->src, *end = x->dst, *first;
	long busy = atomic_long_read(&pg_table_stats.refused[PG_TABLE_BUSY]);

	first = pg_table_create("test_first", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(first));
	KUNIT_EXPECT_EQ(test, pg_table_map(first, TEST_BASE, PFN_2M, 1024, TEST_PROT_RW), 0);
	KUNIT_EXPECT_EQ(test, pg_table_share(mid, first, TEST_BASE, TEST_BASE + 2 * SZ_2M_,
					     PG_TABLE_LEAF), 0);
	KUNIT_EXPECT_EQ(test, pg_table_share(end, mid, TEST_BASE, TEST_BASE + SZ_1G_,
					     PG_TABLE_PUD), 0);
	test_maps(test, end, TEST_BASE + SZ_4K_, PFN_2M + 1, 2, true);

	/* Who is shared from stays. */
	pg_table_free(first);
	pg_table_free(mid);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.refused[PG_TABLE_BUSY]), busy + 2);

	KUNIT_EXPECT_EQ(test, pg_table_unmap(first, TEST_BASE + SZ_4K_, TEST_BASE + 2 * SZ_4K_),
			0);
	KUNIT_EXPECT_EQ(test, x->flushes, 1);
	test_maps_not(test, mid, TEST_BASE + SZ_4K_);
	test_maps_not(test, end, TEST_BASE + SZ_4K_);
	test_maps(test, end, TEST_BASE, PFN_2M, 1, true);
	test_maps(test, end, TEST_BASE + SZ_2M_, PFN_2M + 512, 2, true);

	/* The tables that the one in the middle gives up are of use to nobody. */
	KUNIT_EXPECT_EQ(test, pg_table_unmap(mid, TEST_BASE, TEST_BASE + SZ_1G_), 0);
	KUNIT_EXPECT_EQ(test, x->flushes, 2);
	test_maps_not(test, end, TEST_BASE);
	KUNIT_EXPECT_EQ(test, *test_slot(end, TEST_BASE, 3), (u64)PG_ENTRY_FOLLOW_NONE);

	/* Not in a circle. */
	KUNIT_EXPECT_EQ(test, pg_table_share(first, end, TEST_BASE, TEST_BASE + SZ_4K_,
					     PG_TABLE_4K), -EINVAL);

	pg_table_free(end);
	x->dst = NULL;
	pg_table_free(mid);
	x->src = NULL;
	pg_table_free(first);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.refused[PG_TABLE_BUSY]), busy + 2);
}

int test_count_leaf(const struct pg_table_leaf *leaf, void *arg)
{
	unsigned long *n = arg;

	n[0]++;
	n[1] = leaf->start;

	return n[0] == n[2] ? -EINTR : 0;
}

static void pg_table_test_walk(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long n[3] = {}, last = TEST_BASE + SZ_ROOT_;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, TEST_BASE - SZ_4K_, 511, 1 + 512 + 3,
					   TEST_PROT_RO), 0);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, last, 0, 1, TEST_PROT_RO), 0);
	KUNIT_EXPECT_EQ(test, pg_table_walk(x->dst, pg_table_first_addr(), 0, test_count_leaf, n),
			0);
	KUNIT_EXPECT_EQ(test, n[0], 1 + 1 + 3 + 1);
	KUNIT_EXPECT_EQ(test, n[1], last);

	/* A leaf that is only partly in the range, and nothing that begins at the end. */
	n[0] = 0;
	KUNIT_EXPECT_EQ(test, pg_table_walk(x->dst, TEST_BASE + SZ_4K_ + 1, TEST_BASE + SZ_2M_,
					    test_count_leaf, n), 0);
	KUNIT_EXPECT_EQ(test, n[0], 1);
	KUNIT_EXPECT_EQ(test, n[1], TEST_BASE);

	n[0] = 0;
	n[2] = 3;
	KUNIT_EXPECT_EQ(test, pg_table_walk(x->dst, TEST_BASE - SZ_1G_, 0, test_count_leaf, n),
			-EINTR);
	KUNIT_EXPECT_EQ(test, n[0], 3);
}

/* The tables that lead to an address, and nothing in the last one. */
static void pg_table_test_populate(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	struct pg_table *below = kunit_kzalloc(test, sizeof(*below), GFP_KERNEL);
	struct mm_struct *mm = kunit_kzalloc(test, sizeof(*mm), GFP_KERNEL);
	u64 *slot;

	KUNIT_ASSERT_NOT_NULL(test, below);
	KUNIT_ASSERT_NOT_NULL(test, mm);
	mm->pgd = x->src->root;
	KUNIT_ASSERT_EQ(test, pg_table_populate(x->dst, TEST_BASE + 123, PG_LEVEL_2M), 0);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, test_root_level() - 2);
	slot = test_slot(x->dst, TEST_BASE, 2);
	KUNIT_EXPECT_TRUE(test, test_owned(x->dst, *test_slot(x->dst, TEST_BASE, 3)));
	KUNIT_EXPECT_EQ(test, *slot, 0);
	KUNIT_ASSERT_EQ(test, pg_table_populate(x->dst, TEST_BASE, PG_LEVEL_4K), 0);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, test_root_level() - 1);
	KUNIT_EXPECT_TRUE(test, test_owned(x->dst, *slot));
	test_maps_not(test, x->dst, TEST_BASE);
	KUNIT_EXPECT_EQ(test, pg_table_populate(x->dst, 0, PG_LEVEL_4K), -EINVAL);
	KUNIT_EXPECT_EQ(test, pg_table_populate(x->dst, TEST_BASE, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, pg_table_populate(&kernel_pg_table, TEST_BASE, 1), -EINVAL);

	/* Below the root of another: what is freed is what is on the list. */
	pg_table_attach(below, mm);
	KUNIT_ASSERT_EQ(test, pg_table_populate(below, TEST_BASE, PG_LEVEL_4K), 0);
	KUNIT_EXPECT_EQ(test, below->nr_tables, test_root_level() - 1);
	KUNIT_EXPECT_FALSE(test, test_owned(x->src, *test_slot(x->src, TEST_BASE, 2)));
	KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, below, TEST_BASE, TEST_BASE + SZ_2M_,
					     PG_TABLE_PMD), -EINVAL);
	KUNIT_EXPECT_EQ(test, pg_table_share(below, &kernel_pg_table, TEST_BASE,
					     TEST_BASE + SZ_2M_, PG_TABLE_PMD), -EINVAL);
	pg_table_free(below);
	pg_table_detach(below);
	*test_slot(x->src, TEST_BASE, test_root_level()) = 0;
}

/* Against the kernel's own way to look. */
static void pg_table_test_lookup_kernel(struct kunit *test)
{
	const unsigned long addrs[] = {
		(unsigned long)_text, (unsigned long)__start_rodata, (unsigned long)_sdata,
		(unsigned long)test, (unsigned long)&test, (unsigned long)get_cpu_entry_area(0),
		PAGE_OFFSET, (unsigned long)vmemmap,
	};
	struct pg_table_leaf leaf;
	unsigned int level;
	int i;

	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		pte_t *pte = lookup_address(addrs[i], &level);
		bool mapped = pte && (pte_val(*pte) & _PAGE_PRESENT);

		KUNIT_EXPECT_EQ_MSG(test, pg_table_lookup(&kernel_pg_table, addrs[i], &leaf),
				    mapped, "%#lx", addrs[i]);
		if (!mapped)
			continue;
		KUNIT_EXPECT_EQ(test, leaf.level, level);
		KUNIT_EXPECT_EQ(test, leaf.pa + (addrs[i] - leaf.start),
				slow_virt_to_phys((void *)addrs[i]));
		KUNIT_EXPECT_EQ(test, (pgprot_val(leaf.prot) ^ pte_flags(*pte)) &
				(_PAGE_RW | _PAGE_NX), 0);
	}
	/* Not read-only yet when this runs at boot. */
	KUNIT_EXPECT_TRUE(test, pg_table_lookup(&kernel_pg_table, (unsigned long)_text, &leaf));
	KUNIT_EXPECT_FALSE(test, pgprot_val(leaf.prot) & _PAGE_NX);

	KUNIT_EXPECT_FALSE(test, pg_table_lookup(&kernel_pg_table, 0, &leaf));
	KUNIT_EXPECT_FALSE(test, pg_table_lookup(&kernel_pg_table, TASK_SIZE_MAX - 1, &leaf));
	KUNIT_EXPECT_FALSE(test, pg_table_lookup(&kernel_pg_table, 1UL << 62, &leaf));
	KUNIT_EXPECT_FALSE(test, pg_table_lookup(NULL, (unsigned long)_text, &leaf));
}

/* On another CPU, in an interrupt, all the time. */
struct test_looker {
	struct irq_work work;
	struct pg_table *pgt;
	unsigned long wrong, done;
	bool stop;
};

static void test_look(struct irq_work *work)
{
	struct test_looker *l = container_of(work, struct test_looker, work);
	struct pg_table_leaf leaf;
	unsigned long i, addr;

	for (i = 0; i < 64; i++) {
		addr = TEST_BASE + i * (SZ_2M_ / 8);
		if (pg_table_lookup(l->pgt, addr, &leaf) &&
		    leaf.pa + (addr - leaf.start) != PFN_PHYS(PFN_1G) + addr - TEST_BASE)
			l->wrong++;
	}
	l->done++;
}

static void pg_table_test_lookup_races(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	struct test_looker *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);
	int i, cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());

	KUNIT_ASSERT_NOT_NULL(test, l);
	if (cpu >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	l->pgt = x->dst;
	l->work = IRQ_WORK_INIT_HARD(test_look);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, PFN_1G, 8 * 512, TEST_PROT_RW), 0);

	for (i = 0; i < 500; i++) {
		irq_work_queue_on(&l->work, cpu);
		KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE,
						     TEST_BASE + 8 * SZ_2M_, i % 3), 0);
		KUNIT_EXPECT_EQ(test, pg_table_unmap(x->dst, TEST_BASE + 3 * SZ_4K_,
						     TEST_BASE + 5 * SZ_2M_ + SZ_4K_), 0);
		irq_work_queue_on(&l->work, cpu);
		KUNIT_EXPECT_EQ(test, pg_table_unmap(x->dst, TEST_BASE, TEST_BASE + SZ_1G_), 0);
		cond_resched();
	}
	irq_work_sync(&l->work);
	KUNIT_EXPECT_GT(test, l->done, 0);
	KUNIT_EXPECT_EQ(test, l->wrong, 0);
}

static bool test_has_file(const char *name)
{
	struct dentry *dir = debugfs_lookup("page_tables", NULL);
	struct dentry *file = dir ? debugfs_lookup(name, dir) : NULL;
	bool found = file;

	dput(file);
	dput(dir);

	return found;
}

static void pg_table_test_debugfs(struct kunit *test)
{
	struct pg_table *pgt;

	if (!test_has_file("kernel"))
		kunit_skip(test, "needs CONFIG_PTDUMP_DEBUGFS");

	KUNIT_EXPECT_TRUE(test, test_has_file("test_dst"));
	pgt = pg_table_create("test_file", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	KUNIT_EXPECT_TRUE(test, test_has_file("test_file"));
	pg_table_free(pgt);
	KUNIT_EXPECT_FALSE(test, test_has_file("test_file"));
}

/* What stands for nothing must not look bad to those who walk page tables. */
static void pg_table_test_dump(struct kunit *test)
{
#ifdef CONFIG_PTDUMP
	struct pg_table_test *x = test->priv;
	unsigned long other = TEST_BASE - SZ_ROOT_;
	struct seq_file m = { .size = 64 * SZ_1K };
	u64 before;

	m.buf = kunit_kzalloc(test, m.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, other, other + 3 * SZ_ROOT_,
					     PG_TABLE_PGD), 0);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, TEST_BASE, TEST_BASE + SZ_4K_), 0);
	KUNIT_ASSERT_EQ(test, pg_table_map(x->dst, TEST_BASE + SZ_1G_, PFN_2M, 513,
					   TEST_PROT_RX), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE + 4 * SZ_1G_,
					     TEST_BASE + 4 * SZ_1G_ + SZ_2M_, PG_TABLE_PMD), 0);

	before = test_state(x->dst);
	ptdump_walk_pgd_level_core(&m, &init_mm, x->dst->root, false, false);
	KUNIT_EXPECT_FALSE(test, seq_has_overflowed(&m));
	KUNIT_EXPECT_EQ(test, test_state(x->dst), before);
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "ro         PSE         x  pmd"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, "ro                     x  pte"));
	KUNIT_EXPECT_NULL(test, strstr(m.buf, "RW"));
#else
	kunit_skip(test, "needs CONFIG_PTDUMP");
#endif
}

static struct kunit_case pg_table_cases[] = {
	KUNIT_CASE(pg_table_test_create),
	KUNIT_CASE(pg_table_test_map_leaves),
	KUNIT_CASE(pg_table_test_map_in_pieces),
	KUNIT_CASE(pg_table_test_map_top),
	KUNIT_CASE(pg_table_test_example),
	KUNIT_CASE(pg_table_test_unmap_breaks_leaves),
	KUNIT_CASE(pg_table_test_pat_bit),
	KUNIT_CASE(pg_table_test_share_pmd),
	KUNIT_CASE(pg_table_test_share_pud),
	KUNIT_CASE(pg_table_test_share_p4d),
	KUNIT_CASE(pg_table_test_share_pgd),
	KUNIT_CASE(pg_table_test_share_leaf),
	KUNIT_CASE(pg_table_test_share_4k),
	KUNIT_CASE(pg_table_test_share_4k_again),
	KUNIT_CASE(pg_table_test_share_nothing_yet),
	KUNIT_CASE(pg_table_test_share_strips),
	KUNIT_CASE(pg_table_test_generation_and_flush),
	KUNIT_CASE(pg_table_test_chain),
	KUNIT_CASE(pg_table_test_populate),
	KUNIT_CASE(pg_table_test_walk),
	KUNIT_CASE(pg_table_test_lookup_kernel),
	KUNIT_CASE(pg_table_test_lookup_races),
	KUNIT_CASE(pg_table_test_debugfs),
	KUNIT_CASE(pg_table_test_dump),
	KUNIT_CASE_SLOW(test_pg_table_model),
	{}
};

static struct kunit_suite pg_table_suite = {
	.name = "pg_table",
	.init = pg_table_test_init,
	.exit = pg_table_test_exit,
	.test_cases = pg_table_cases,
};

kunit_test_suite(pg_table_suite);

MODULE_DESCRIPTION("KUnit tests of page tables as objects");
MODULE_LICENSE("GPL");
