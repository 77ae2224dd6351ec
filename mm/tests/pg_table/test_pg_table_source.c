// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of page tables as objects: do they follow what 6.12 does to the
 * kernel's own page table?
 */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kfence.h>
#include <linux/mm.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <asm/cpu_entry_area.h>
#include <asm/tlbflush.h>

#include "test_pg_table.h"

/* What a case has taken and gives back however it ends. */
struct source_test {
	struct pg_table *dst;
	struct page *page;		/* 2 MiB */
	unsigned long addr;		/* of it, in the direct map */
	void *vmem;
	struct vm_struct *area;
	long instances, tables;
};

#define NR_PAGES_2M	512

static int source_test_init(struct kunit *test)
{
	struct source_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, x);
	rcu_barrier();
	x->instances = atomic_long_read(&pg_table_stats.instances);
	x->tables = atomic_long_read(&pg_table_stats.tables);
	test->priv = x;

	x->dst = pg_table_create("test_dst", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(x->dst));
	x->page = alloc_pages(GFP_KERNEL, 9);
	KUNIT_ASSERT_NOT_NULL(test, x->page);
	x->addr = (unsigned long)page_address(x->page);

	return 0;
}

static void source_test_exit(struct kunit *test)
{
	struct source_test *x = test->priv;

	pg_table_fail_alloc = 0;
	if (!x)
		return;
	if (x->area)
		free_vm_area(x->area);
	vfree(x->vmem);
	if (x->page) {
		set_memory_p(x->addr, NR_PAGES_2M);
		set_memory_rw(x->addr, NR_PAGES_2M);
		__free_pages(x->page, 9);
	}
	if (!IS_ERR_OR_NULL(x->dst)) {
		KUNIT_EXPECT_EQ(test, test_count_tables(test, x->dst), x->dst->nr_tables);
		pg_table_free(x->dst);
	}
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.instances), x->instances);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.tables), x->tables);
}

/* The same page with the same rights in both, whatever the size of the leaf. */
static void test_like_kernel(struct kunit *test, const struct pg_table *pgt, unsigned long addr)
{
	struct test_seen here, there;

	test_see(&kernel_pg_table, addr, &there);
	test_see(pgt, addr, &here);
	KUNIT_EXPECT_EQ_MSG(test, here.present, there.present, "%#lx", addr);
	if (!here.present || !there.present)
		return;

	KUNIT_EXPECT_EQ_MSG(test, here.pa, there.pa, "%#lx", addr);
	KUNIT_EXPECT_EQ_MSG(test, here.rw, there.rw, "%#lx", addr);
	KUNIT_EXPECT_EQ_MSG(test, here.nx, there.nx, "%#lx", addr);
	KUNIT_EXPECT_EQ_MSG(test, here.cache, there.cache, "%#lx", addr);
}

static bool test_mapped(const struct pg_table *pgt, unsigned long addr)
{
	struct test_seen seen;

	return test_see(pgt, addr, &seen);
}

static int test_level(const struct pg_table *pgt, unsigned long addr)
{
	struct test_seen seen;

	return test_see(pgt, addr, &seen) ? seen.level : 0;
}

static bool test_writable(const struct pg_table *pgt, unsigned long addr)
{
	struct test_seen seen;

	return test_see(pgt, addr, &seen) && seen.rw;
}

/* A piece of the direct map that is still one leaf. */
static void source_test_need_leaf(struct kunit *test)
{
	struct source_test *x = test->priv;
	struct page *more[32];
	int i, n = 0;

	while (test_level(&kernel_pg_table, x->addr) != 2 && n < ARRAY_SIZE(more)) {
		/* Whatever else is in a leaf of 1 GiB has leaves of 2 MiB then. */
		if (test_level(&kernel_pg_table, x->addr) == 3)
			set_memory_4k(x->addr, 1);
		more[n] = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, 9);
		if (!more[n])
			break;
		swap(more[n], x->page);
		x->addr = (unsigned long)page_address(x->page);
		n++;
	}
	for (i = 0; i < n; i++)
		__free_pages(more[i], 9);
	if (test_level(&kernel_pg_table, x->addr) != 2)
		kunit_skip(test, "no leaf of 2 MiB in the direct map");
}

/* set_memory_*() splits the leaf that was copied. */
static void source_test_split(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long page, i;
	u64 before;

	source_test_need_leaf(test);
	page = x->addr + 5 * PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, x->addr,
					     x->addr + SZ_2M_, PG_TABLE_LEAF), 0);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, x->addr), 2);
	KUNIT_EXPECT_TRUE(test, test_writable(x->dst, page));

	before = pg_table_generation(x->dst);
	KUNIT_ASSERT_EQ(test, set_memory_ro(page, 1), 0);
	KUNIT_EXPECT_FALSE(test, test_writable(x->dst, page));
	KUNIT_EXPECT_EQ(test, test_level(x->dst, page), 1);
	KUNIT_EXPECT_GT(test, pg_table_generation(x->dst), before);
	for (i = 0; i < NR_PAGES_2M; i++)
		test_like_kernel(test, x->dst, x->addr + i * PAGE_SIZE);

	KUNIT_ASSERT_EQ(test, set_memory_rw(page, 1), 0);
	KUNIT_EXPECT_TRUE(test, test_writable(x->dst, page));
}

/* All of a leaf changes, and stays one. */
static void source_test_attribute(struct kunit *test)
{
	struct source_test *x = test->priv;

	source_test_need_leaf(test);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, x->addr,
					     x->addr + SZ_2M_, PG_TABLE_LEAF), 0);
	KUNIT_ASSERT_EQ(test, set_memory_ro(x->addr, NR_PAGES_2M), 0);
	KUNIT_EXPECT_FALSE(test, test_writable(x->dst, x->addr));
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, x->addr));
	KUNIT_EXPECT_EQ(test, test_level(x->dst, x->addr), 2);
	KUNIT_ASSERT_EQ(test, set_memory_rw(x->addr, NR_PAGES_2M), 0);
	KUNIT_EXPECT_TRUE(test, test_writable(x->dst, x->addr + SZ_2M_ - 1));
	KUNIT_ASSERT_EQ(test, set_memory_np(x->addr, NR_PAGES_2M), 0);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, x->addr));
	KUNIT_ASSERT_EQ(test, set_memory_p(x->addr, NR_PAGES_2M), 0);
	test_like_kernel(test, x->dst, x->addr);
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, x->addr));
}

/* Another one of the copied leaf is a leaf no more when there is no memory for it. */
static void source_test_split_no_memory(struct kunit *test)
{
	struct source_test *x = test->priv;
	long dropped = atomic_long_read(&pg_table_stats.dropped);

	source_test_need_leaf(test);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, x->addr,
					     x->addr + SZ_2M_, PG_TABLE_LEAF), 0);
	pg_table_fail_alloc = -1;
	KUNIT_EXPECT_EQ(test, set_memory_ro(x->addr + PAGE_SIZE, 1), 0);
	pg_table_fail_alloc = 0;
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, x->addr));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, x->addr + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.dropped), dropped + 1);
}

/* In an area of 1 GiB of the direct map, if it has such leaves; nothing but their size changes. */
static void source_test_split_1g(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long start, page, i, end = PAGE_OFFSET + (max_pfn << PAGE_SHIFT);

	for (start = PAGE_OFFSET; start < end; start += SZ_1G_) {
		if (test_level(&kernel_pg_table, start) == 3)
			break;
	}
	if (start >= end)
		kunit_skip(test, "no leaf of 1 GiB in the direct map");

	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, start, start + SZ_1G_,
					     PG_TABLE_LEAF), 0);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, start), 3);
	page = start + 123 * SZ_2M_ + 45 * PAGE_SIZE;
	KUNIT_ASSERT_EQ(test, set_memory_4k(page, 1), 0);
	KUNIT_EXPECT_EQ(test, test_level(&kernel_pg_table, page), 1);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, page), 1);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, start), 2);
	for (i = 0; i < SZ_1G_; i += SZ_2M_ / 4)
		test_like_kernel(test, x->dst, start + i);
	for (i = 0; i < SZ_2M_; i += PAGE_SIZE)
		test_like_kernel(test, x->dst, (page & PMD_MASK) + i);
}

static void source_test_direct_map(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long page = x->addr + 7 * PAGE_SIZE;

	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, x->addr,
					     x->addr + SZ_2M_, PG_TABLE_4K), 0);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, page), 1);
	KUNIT_ASSERT_EQ(test, set_direct_map_invalid_noflush(x->page + 7), 0);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, page));
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, page + PAGE_SIZE));
	KUNIT_ASSERT_EQ(test, set_direct_map_default_noflush(x->page + 7), 0);
	KUNIT_EXPECT_TRUE(test, test_writable(x->dst, page));
	flush_tlb_kernel_range(page, page + PAGE_SIZE);

	/* What is not there when it is shared does not appear. */
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, x->addr, x->addr + SZ_2M_), 0);
	KUNIT_ASSERT_EQ(test, set_memory_np(page, 1), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, x->addr,
					     x->addr + SZ_2M_, PG_TABLE_4K), 0);
	KUNIT_ASSERT_EQ(test, set_memory_p(page, 1), 0);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, page));
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, page + PAGE_SIZE));
}

static void source_test_vfree(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long addr;

	x->vmem = vmalloc(3 * PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, x->vmem);
	addr = (unsigned long)x->vmem;
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr,
					     addr + 2 * PAGE_SIZE, PG_TABLE_LEAF), 0);
	test_like_kernel(test, x->dst, addr);
	test_like_kernel(test, x->dst, addr + PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, addr));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr + 2 * PAGE_SIZE));

	vfree(x->vmem);
	x->vmem = NULL;
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr + PAGE_SIZE));
}

/* The same addresses, for something else. */
static void source_test_vunmap_and_reuse(struct kunit *test)
{
	struct source_test *x = test->priv;
	phys_addr_t pa = page_to_phys(x->page);
	unsigned long addr, size = 4 * PAGE_SIZE;

	x->area = get_vm_area(size, VM_IOREMAP);
	KUNIT_ASSERT_NOT_NULL(test, x->area);
	addr = (unsigned long)x->area->addr;
	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + size, pa, PAGE_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + size,
					     PG_TABLE_4K), 0);
	test_like_kernel(test, x->dst, addr + 3 * PAGE_SIZE);

	vunmap_range(addr, addr + 2 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr + PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, addr + 2 * PAGE_SIZE));

	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + 2 * PAGE_SIZE, pa + SZ_1M,
					      PAGE_KERNEL), 0);
	KUNIT_EXPECT_TRUE(test, test_mapped(&kernel_pg_table, addr));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
}

/* A large mapping where a page table was, which is freed. */
static void source_test_huge_vmap(struct kunit *test)
{
	struct source_test *x = test->priv;
	phys_addr_t pa = page_to_phys(x->page);
	struct test_seen seen;
	unsigned long addr;

	x->area = get_vm_area(SZ_2M_, VM_IOREMAP);
	KUNIT_ASSERT_NOT_NULL(test, x->area);
	addr = (unsigned long)x->area->addr;
	KUNIT_ASSERT_TRUE(test, IS_ALIGNED(addr, SZ_2M_));
	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + 4 * PAGE_SIZE, pa + PAGE_SIZE,
					      PAGE_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + SZ_2M_,
					     PG_TABLE_PMD), 0);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, addr), 1);
	test_like_kernel(test, x->dst, addr);
	vunmap_range(addr, addr + 4 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));

	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + SZ_2M_, pa, PAGE_KERNEL), 0);
	if (test_level(&kernel_pg_table, addr) != 2)
		kunit_skip(test, "no large mappings in vmalloc space");
	KUNIT_EXPECT_TRUE(test, test_see(x->dst, addr, &seen));
	KUNIT_EXPECT_EQ(test, seen.level, 2);
	KUNIT_EXPECT_FALSE(test, seen.global);
	test_like_kernel(test, x->dst, addr + SZ_1M);

	/* A leaf that is shared splits into a table that is shared. */
	KUNIT_ASSERT_EQ(test, set_memory_ro(addr + PAGE_SIZE, 1), 0);
	KUNIT_EXPECT_EQ(test, test_level(x->dst, addr), 1);
	test_like_kernel(test, x->dst, addr);
	test_like_kernel(test, x->dst, addr + PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, set_memory_rw(addr + PAGE_SIZE, 1), 0);

	vunmap_range(addr, addr + SZ_2M_);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
}

/* The same, seen between the steps: what leads to the table goes before the table. */
static void source_test_huge_vmap_order(struct kunit *test)
{
	struct source_test *x = test->priv;
	phys_addr_t pa = page_to_phys(x->page);
	unsigned long addr;
	pmd_t *pmd;

	x->area = get_vm_area(SZ_2M_, VM_IOREMAP);
	KUNIT_ASSERT_NOT_NULL(test, x->area);
	addr = (unsigned long)x->area->addr;
	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + PAGE_SIZE, pa, PAGE_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + SZ_2M_,
					     PG_TABLE_PMD), 0);
	vunmap_range(addr, addr + PAGE_SIZE);
	pmd = pmd_off_k(addr);
	KUNIT_ASSERT_TRUE(test, pmd_present(*pmd));
	KUNIT_EXPECT_EQ(test, pmd_free_pte_page(pmd, addr), 1);
	KUNIT_EXPECT_TRUE(test, pmd_none(*pmd));
	{
		struct pg_table_leaf leaf;
		struct test_seen seen;

		KUNIT_EXPECT_FALSE(test, test_see(x->dst, addr, &seen));
		KUNIT_EXPECT_EQ(test, seen.level, 2);
		KUNIT_EXPECT_FALSE(test, pg_table_lookup(x->dst, addr, &leaf));
	}
}

/* A hole in all of vmalloc space, where new areas come and go. */
static void source_test_new_mapping(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long hole, addr, i, size = 8 << 20;
	void *more;

	x->vmem = vmalloc(2 * PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, x->vmem);
	hole = (unsigned long)x->vmem;
	addr = ALIGN_DOWN(hole, SZ_ROOT_);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + SZ_ROOT_,
					     PG_TABLE_PGD), 0);
	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, hole, hole + PAGE_SIZE), 0);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, hole));
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, hole + PAGE_SIZE));

	more = __vmalloc(size, GFP_KERNEL | __GFP_NOWARN);
	if (more) {
		addr = (unsigned long)more;
		for (i = 0; i < size; i += PAGE_SIZE) {
			KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, addr + i));
			test_like_kernel(test, x->dst, addr + i);
		}
		vfree(more);
		for (i = 0; i < size; i += PAGE_SIZE)
			KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr + i));
	}
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, hole));
}

static void source_test_cpu_entry_area(struct kunit *test)
{
#ifdef CONFIG_CPU_SUP_INTEL
	struct source_test *x = test->priv;
	struct cpu_entry_area *cea = get_cpu_entry_area(0);
	unsigned long addr = (unsigned long)&cea->cpu_debug_buffers;

	KUNIT_ASSERT_FALSE(test, test_mapped(&kernel_pg_table, addr));
	cea_set_pte((void *)addr, page_to_phys(x->page), PAGE_KERNEL);
	KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + PAGE_SIZE,
					     PG_TABLE_LEAF), 0);
	test_like_kernel(test, x->dst, addr);
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, addr));
	cea_set_pte((void *)addr, 0, PAGE_NONE);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
	flush_tlb_kernel_range(addr, addr + PAGE_SIZE);
#else
	kunit_skip(test, "nothing changes there");
#endif
}

/* Memory that is going to be unplugged: neither a leaf nor a table of it remains. */
static void source_test_removing(struct kunit *test)
{
	struct source_test *x = test->priv;
	struct pg_table *src = pg_table_create("test_src", NULL, NULL);
	unsigned long gone = TEST_BASE + 4 * SZ_2M_, end = gone + 2 * SZ_2M_, addr;

	KUNIT_ASSERT_FALSE(test, IS_ERR(src));
	KUNIT_EXPECT_EQ(test, pg_table_map(src, TEST_BASE, 3, 16 * 512, TEST_PROT_RW), 0);
	KUNIT_EXPECT_EQ(test, pg_table_map(src, TEST_BASE + SZ_1G_, 0, 16 * 512, TEST_PROT_RW), 0);
	KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, src, TEST_BASE, TEST_BASE + SZ_1G_,
					     PG_TABLE_PUD), 0);
	KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, src, TEST_BASE + SZ_1G_,
					     TEST_BASE + 2 * SZ_1G_, PG_TABLE_LEAF), 0);

	__pg_table_source_removing(src, gone, end);
	for (addr = TEST_BASE; addr < TEST_BASE + 16 * SZ_2M_; addr += SZ_2M_ / 2) {
		bool in = addr >= gone && addr < end;

		KUNIT_EXPECT_EQ(test, test_mapped(x->dst, addr), !in);
		KUNIT_EXPECT_TRUE(test, test_mapped(src, addr));
	}
	/* In a copy of the table, not in the source's. */
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 3 + pgtable_l5_enabled());

	__pg_table_source_removing(src, TEST_BASE + SZ_1G_ + SZ_2M_,
				   TEST_BASE + SZ_1G_ + 2 * SZ_2M_);
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, TEST_BASE + SZ_1G_));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, TEST_BASE + SZ_1G_ + SZ_2M_));
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, TEST_BASE + SZ_1G_ + 2 * SZ_2M_));

	/* It was not unplugged after all: what was shared is there again, copies are not. */
	__pg_table_source_changed(src, TEST_BASE, TEST_BASE + 2 * SZ_1G_);
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, gone));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, TEST_BASE + SZ_1G_ + SZ_2M_));

	KUNIT_EXPECT_EQ(test, test_count_tables(test, x->dst), x->dst->nr_tables);
	pg_table_free(x->dst);
	x->dst = NULL;
	pg_table_free(src);
}

static int set_one(pte_t *pte, unsigned long addr, void *pfn)
{
	set_pte_at(&init_mm, addr, pte, pfn_pte(*(unsigned long *)pfn, PAGE_KERNEL));

	return 0;
}

/* The first page where the kernel had no table for it, by each way to map one. */
static void source_test_new_table(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long pfn = page_to_pfn(x->page), addr;
	struct page *pages[] = { x->page, x->page + 1 };
	int i, err;

	if (IS_ENABLED(CONFIG_KASAN_VMALLOC))
		kunit_skip(test, "KASAN has a shadow of what is not mapped");

	/* So large that nobody has been at its end. */
	x->area = get_vm_area(64UL << 30, VM_SPARSE);
	KUNIT_ASSERT_NOT_NULL(test, x->area);
	addr = ALIGN_DOWN((unsigned long)x->area->addr + get_vm_area_size(x->area), SZ_2M_);
	for (i = 0; i < 2; i++) {
		addr -= SZ_2M_;
		KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr,
						     addr + SZ_2M_, PG_TABLE_PMD), 0);
		KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
		err = i ? vm_area_map_pages(x->area, addr, addr + PAGE_SIZE, pages) :
			  apply_to_page_range(&init_mm, addr, PAGE_SIZE, set_one, &pfn);
		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_TRUE_MSG(test, test_mapped(x->dst, addr), "way %d", i);
		test_like_kernel(test, x->dst, addr);
		vunmap_range(addr, addr + PAGE_SIZE);
		KUNIT_EXPECT_FALSE_MSG(test, test_mapped(x->dst, addr), "way %d", i);
	}
}

/* Tables below an entry of a PUD table give way to a leaf of 1 GiB, and are freed. */
static void source_test_huge_vmap_1g(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long addr;

	if (!boot_cpu_has(X86_FEATURE_GBPAGES))
		kunit_skip(test, "needs leaves of 1 GiB");

	if (IS_ENABLED(CONFIG_KASAN_VMALLOC))
		kunit_skip(test, "KASAN has a shadow of what is not mapped");

	x->area = get_vm_area(2 * SZ_1G_, VM_IOREMAP);
	KUNIT_ASSERT_NOT_NULL(test, x->area);
	addr = ALIGN((unsigned long)x->area->addr, SZ_1G_);
	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + PAGE_SIZE, page_to_phys(x->page),
					      PAGE_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + SZ_1G_,
					     PG_TABLE_PMD), 0);
	test_like_kernel(test, x->dst, addr);
	vunmap_range(addr, addr + PAGE_SIZE);

	/* Nobody touches what this maps. */
	KUNIT_ASSERT_EQ(test, vmap_page_range(addr, addr + SZ_1G_, 0, PAGE_KERNEL_RO), 0);
	if (test_level(&kernel_pg_table, addr) != 3)
		kunit_skip(test, "no leaves of 1 GiB in vmalloc space");
	test_like_kernel(test, x->dst, addr);
	test_like_kernel(test, x->dst, addr + SZ_1G_ - PAGE_SIZE);
	vunmap_range(addr, addr + SZ_1G_);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
}

static void source_test_kfence(struct kunit *test)
{
#ifdef CONFIG_KFENCE
	struct source_test *x = test->priv;
	unsigned long addr = (unsigned long)__kfence_pool;
	void *object = NULL;
	int i;

	if (!addr)
		kunit_skip(test, "no KFENCE pool");
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr,
					     addr + KFENCE_POOL_SIZE, PG_TABLE_4K), 0);
	for (; addr < (unsigned long)__kfence_pool + KFENCE_POOL_SIZE; addr += PAGE_SIZE)
		test_like_kernel(test, x->dst, addr);

	/* KFENCE takes what is allocated now and then, and makes it inaccessible when freed. */
	for (i = 0; i < 3000; i++) {
		object = kmalloc(64, GFP_KERNEL);
		if (!object || is_kfence_address(object))
			break;
		kfree(object);
		object = NULL;
		usleep_range(1000, 2000);
	}
	KUNIT_ASSERT_NOT_NULL(test, object);
	addr = (unsigned long)object & PAGE_MASK;
	KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, addr, addr + PAGE_SIZE,
					     PG_TABLE_4K), 0);
	KUNIT_EXPECT_TRUE(test, test_mapped(x->dst, addr));
	kfree(object);
	KUNIT_EXPECT_FALSE(test, test_mapped(&kernel_pg_table, addr));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, addr));
#else
	kunit_skip(test, "needs CONFIG_KFENCE");
#endif
}

/* Whose tables never change hands: all of the kernel half, by entries of the root. */
static void source_test_whole(struct kunit *test)
{
	struct source_test *x = test->priv;
	unsigned long page = x->addr + 3 * PAGE_SIZE;
	u64 *theirs = (u64 *)init_mm.pgd, *ours = (u64 *)x->dst->root;
	unsigned long nr_levels = pg_table_root_level();
	int i, differ = 0;

	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, &kernel_pg_table, pg_table_first_addr(), 0,
					     PG_TABLE_PGD), 0);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, 0);
	for (i = 256; i < 512; i++)
		KUNIT_EXPECT_EQ(test, (ours[i] ^ theirs[i]) & ~PG_ENTRY_IGNORE, 0);

	KUNIT_ASSERT_EQ(test, pg_table_unmap(x->dst, page, page + PAGE_SIZE), 0);
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, page));
	KUNIT_EXPECT_TRUE(test, test_mapped(&kernel_pg_table, page));
	test_like_kernel(test, x->dst, page - PAGE_SIZE);
	test_like_kernel(test, x->dst, page + PAGE_SIZE);
	test_like_kernel(test, x->dst, (unsigned long)x->dst);
	test_like_kernel(test, x->dst, (unsigned long)&source_test_whole);
	test_like_kernel(test, x->dst, (unsigned long)current);
	KUNIT_EXPECT_EQ(test, x->dst->nr_tables, nr_levels - 1);
	for (i = 256; i < 512; i++)
		differ += !!((ours[i] ^ theirs[i]) & ~PG_ENTRY_IGNORE);
	KUNIT_EXPECT_EQ(test, differ, 1);

	/* Still followed around the hole, and not in it. */
	KUNIT_ASSERT_EQ(test, set_memory_ro(page - PAGE_SIZE, 3), 0);
	KUNIT_EXPECT_FALSE(test, test_writable(x->dst, page - PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, test_writable(x->dst, page + PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, page));
	KUNIT_ASSERT_EQ(test, set_memory_rw(page - PAGE_SIZE, 3), 0);
	KUNIT_EXPECT_TRUE(test, test_writable(x->dst, page - PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, test_mapped(x->dst, page));
}

static struct {
	int flushes;
	int err;
} early;

/* Another one unmaps the range before this has flushed. */
static void early_flush(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	if (!early.flushes++)
		early.err = pg_table_unmap(pgt, start, end);
}

static const struct pg_table_ops early_ops = { .flush = early_flush };

/* Who finds nothing to unmap must not be told that nobody uses it any more. */
static void source_test_unmap_before_flush(struct kunit *test)
{
	struct pg_table *pgt = pg_table_create("test_early", &early_ops, NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	early.flushes = 0;
	early.err = 1;
	KUNIT_EXPECT_EQ(test, pg_table_map(pgt, TEST_BASE, 0x1000, 1, TEST_PROT_RO), 0);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, TEST_BASE, TEST_BASE + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, early.err, 0);
	KUNIT_EXPECT_EQ(test, early.flushes, 2);
	/* Now there is nothing to wait for. */
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, TEST_BASE, TEST_BASE + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, early.flushes, 2);
	pg_table_free(pgt);
}

static struct kunit_case pg_table_source_cases[] = {
	KUNIT_CASE(source_test_split),
	KUNIT_CASE(source_test_attribute),
	KUNIT_CASE(source_test_split_no_memory),
	KUNIT_CASE(source_test_split_1g),
	KUNIT_CASE(source_test_direct_map),
	KUNIT_CASE(source_test_unmap_before_flush),
	KUNIT_CASE(source_test_vfree),
	KUNIT_CASE(source_test_vunmap_and_reuse),
	KUNIT_CASE(source_test_huge_vmap),
	KUNIT_CASE(source_test_huge_vmap_order),
	KUNIT_CASE(source_test_new_mapping),
	KUNIT_CASE(source_test_cpu_entry_area),
	KUNIT_CASE(source_test_removing),
	KUNIT_CASE(source_test_new_table),
	KUNIT_CASE(source_test_huge_vmap_1g),
	KUNIT_CASE(source_test_kfence),
	KUNIT_CASE(source_test_whole),
	{}
};

static struct kunit_suite pg_table_source_suite = {
	.name = "pg_table_source",
	.init = source_test_init,
	.exit = source_test_exit,
	.test_cases = pg_table_source_cases,
};

kunit_test_suite(pg_table_source_suite);

MODULE_DESCRIPTION("KUnit tests of page tables that follow the kernel's own");
MODULE_LICENSE("GPL");
