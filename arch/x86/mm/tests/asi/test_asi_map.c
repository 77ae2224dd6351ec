// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: do domains map what they are said to?
 */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/vmalloc.h>

#include <asm/espfix.h>

#include <asm/sections.h>
#include <asm/trap_pf.h>

#include "test_asi.h"

#ifdef CONFIG_X86_ESPFIX64
static bool maps_espfix(struct asi *asi, int cpu)
{
	unsigned long page = per_cpu(espfix_stack, cpu) & PAGE_MASK;
	struct pg_table_leaf ours, theirs;

	return pg_table_lookup(&kernel_pg_table, page, &theirs) &&
	       pg_table_lookup(asi_pg_table(asi), page, &ours) && ours.pa == theirs.pa;
}

/* Entries that are global are in all domains, also in those that come with a page table. */
static void asi_test_maps_espfix(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	unsigned long area = ESPFIX_BASE_ADDR;
	int cpu;

	for_each_online_cpu(cpu)
		KUNIT_EXPECT_TRUE_MSG(test, maps_espfix(asi, cpu), "CPU %d", cpu);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(asi_pg_table(asi), area, area + PAGE_SIZE), -EBUSY);
	KUNIT_EXPECT_EQ(test, asi_unmap(asi, (void *)(area + P4D_SIZE - PAGE_SIZE), PAGE_SIZE),
			-ENOENT);
	for_each_online_cpu(cpu)
		KUNIT_EXPECT_TRUE_MSG(test, maps_espfix(asi, cpu), "CPU %d", cpu);
}
#else
static void asi_test_maps_espfix(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_X86_ESPFIX64");
}
#endif

/* No module is built in, so this one has nothing but per-CPU data. */
static void asi_test_maps_module_percpu(struct kunit *test)
{
#ifdef CONFIG_MODULES
	struct asi *asi = asi_test_create(ASI_FAULT_PRESERVE);
	struct module *mod = kunit_kzalloc(test, sizeof(*mod), GFP_KERNEL);
	unsigned long addr;
	int cpu, err;

	KUNIT_ASSERT_NOT_NULL(test, mod);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	/* A page for each CPU, so that no neighbour has it mapped. */
	mod->percpu_size = PAGE_SIZE;
	mod->percpu = __alloc_percpu(PAGE_SIZE, PAGE_SIZE);
	if (!mod->percpu) {
		asi_destroy(asi);
		KUNIT_FAIL(test, "no memory");
		return;
	}
	err = asi_map_module(asi, mod);
	for_each_possible_cpu(cpu) {
		addr = (unsigned long)per_cpu_ptr(mod->percpu, cpu);
		KUNIT_EXPECT_TRUE_MSG(test, pg_table_lookup(asi_pg_table(asi), addr, NULL),
				      "CPU %d", cpu);
	}
	asi_destroy(asi);
	free_percpu(mod->percpu);
	KUNIT_EXPECT_EQ(test, err, 0);
#else
	kunit_skip(test, "needs CONFIG_MODULES");
#endif
}

/* A page table has one owner. */
static void asi_test_table_of_another(struct kunit *test)
{
	struct asi *asi = asi_test_create(ASI_FAULT_PRESERVE);
	struct asi *other = asi_test_create(ASI_FAULT_PRESERVE);
	struct pg_table *mine;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, other);
	mine = asi_pg_table(asi);
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_set_pg_table(asi, asi_pg_table(other)));
	/* Else it would be freed twice. */
	KUNIT_ASSERT_PTR_EQ(test, asi_pg_table(asi), mine);
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_set_pg_table(asi, mine));
	KUNIT_ASSERT_PTR_EQ(test, asi_pg_table(asi), mine);
	asi_destroy(other);
	asi_destroy(asi);
}

/* Which of the first three pages at @p does a domain map?  A bit for each. */
static unsigned int maps_pages(struct asi *asi, const char *p)
{
	unsigned int i, pages = 0;

	for (i = 0; i < 3; i++)
		pages |= pg_table_lookup(asi_pg_table(asi), (unsigned long)p + i * PAGE_SIZE,
					 NULL) << i;

	return pages;
}

/* What asi_map() has mapped, asi_unmap() of the same range unmaps, and no more. */
static void asi_test_unmap_part_of_page(struct kunit *test)
{
	static const struct {
		unsigned int start, size, pages;
	} range[] = {
		{ 0, 1, 1 }, { 8, 64, 1 }, { PAGE_SIZE - 1, 1, 1 },
		{ PAGE_SIZE - 8, 16, 3 }, { 8, PAGE_SIZE, 3 }, { 8, 2 * PAGE_SIZE, 7 },
		{ 0, 2 * PAGE_SIZE, 3 }, { PAGE_SIZE, 2 * PAGE_SIZE, 6 },
	};
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	char *p = vmalloc(3 * PAGE_SIZE);
	unsigned int i, all = 0;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < ARRAY_SIZE(range); i++) {
		err = asi_map(asi, p + range[i].start, range[i].size);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%u", i);
		KUNIT_EXPECT_EQ_MSG(test, maps_pages(asi, p), range[i].pages, "%u", i);
		err = asi_unmap(asi, p + range[i].start, range[i].size);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%u", i);
		KUNIT_EXPECT_EQ_MSG(test, maps_pages(asi, p), 0, "%u", i);

		/* With all three mapped, the others stay. */
		err = asi_map(asi, p, 3 * PAGE_SIZE) ?:
		      asi_unmap(asi, p + range[i].start, range[i].size);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%u", i);
		KUNIT_EXPECT_EQ_MSG(test, maps_pages(asi, p), 7 & ~range[i].pages, "%u", i);
		all |= asi_unmap(asi, p, 3 * PAGE_SIZE);
	}
	vfree(p);
	KUNIT_EXPECT_EQ(test, all, 0);
}

/* Who wants no neighbours in the domain gets an error. */
static void asi_test_map_pages(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	char *p = vmalloc(3 * PAGE_SIZE);

	KUNIT_ASSERT_NOT_NULL(test, p);
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_pages(NULL, p, PAGE_SIZE));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_pages(asi, p + 8, PAGE_SIZE));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_pages(asi, p, PAGE_SIZE + 1));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_pages(asi, p, 64));
	asi_expect_refused(test, ASI_BAD_ADDRESS, -EFAULT, asi_map_pages(asi, p, 0));
	KUNIT_EXPECT_EQ(test, maps_pages(asi, p), 0);
	KUNIT_EXPECT_EQ(test, asi_map_pages(asi, p, 2 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, maps_pages(asi, p), 3);
	KUNIT_EXPECT_EQ(test, asi_unmap(asi, p, 2 * PAGE_SIZE), 0);
	vfree(p);
}

/* Memory that is freed stays mapped in the domain, and a debug kernel tells. */
/* Which faults come of an entry of the TLB that is too old. */
static void asi_test_allows(struct kunit *test)
{
	unsigned long rw = (unsigned long)&asi_test_nr_faults, text = (unsigned long)_text;
	struct pg_table *k = &kernel_pg_table;

	KUNIT_EXPECT_TRUE(test, asi_allows(k, rw, 0));
	KUNIT_EXPECT_TRUE(test, asi_allows(k, rw, X86_PF_WRITE));
	KUNIT_EXPECT_TRUE(test, asi_allows(k, rw, X86_PF_WRITE | X86_PF_PROT));
	KUNIT_EXPECT_TRUE(test, asi_allows(k, text, X86_PF_INSTR | X86_PF_PROT));
	KUNIT_EXPECT_FALSE(test, asi_allows(k, rw, X86_PF_PROT));
	KUNIT_EXPECT_FALSE(test, asi_allows(k, rw, X86_PF_USER));
	KUNIT_EXPECT_FALSE(test, asi_allows(k, rw, X86_PF_RSVD | X86_PF_PROT));
	KUNIT_EXPECT_FALSE(test, asi_allows(k, 0x1000, 0));
}

static int count_free(const struct pg_table_leaf *leaf, void *arg)
{
	unsigned long pfn = PHYS_PFN(leaf->pa), nr = page_level_size(leaf->level) >> PAGE_SHIFT;
	unsigned long *counts = arg;

	while (nr--) {
		counts[0]++;
		counts[1] += !PageReserved(pfn_to_page(pfn++));
	}

	return 0;
}

/* Of the image nothing that the kernel has given back: that is anybody's memory. */
static void asi_test_map_kernel_not_freed(struct kunit *test)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	unsigned long counts[2] = {};

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	KUNIT_EXPECT_EQ(test, asi_map_kernel(asi), 0);
	KUNIT_EXPECT_EQ(test, pg_table_walk(asi_pg_table(asi), (unsigned long)_text,
					    ALIGN((unsigned long)_end, PMD_SIZE), count_free,
					    counts), 0);
	asi_destroy(asi);
	KUNIT_EXPECT_GT(test, counts[0], PFN_DOWN(_etext - _text));
	KUNIT_EXPECT_EQ(test, counts[1], 0);
}

static void asi_test_free_mapped(struct kunit *test)
{
#ifdef CONFIG_DEBUG_ASI_FREE
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	long before, mapped, unmapped;
	unsigned long p;
	int err;

	p = __get_free_pages(GFP_KERNEL, 1);
	KUNIT_ASSERT_NE(test, p, 0);
	/* The second of the two. */
	err = asi_map(asi, (void *)(p + PAGE_SIZE), 8);
	before = atomic_long_read(&asi_freed_mapped);
	free_pages(p, 1);
	mapped = atomic_long_read(&asi_freed_mapped) - before;
	err = err ?: asi_unmap(asi, (void *)(p + PAGE_SIZE), 8);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, mapped, 1);

	p = __get_free_pages(GFP_KERNEL, 1);
	KUNIT_ASSERT_NE(test, p, 0);
	err = asi_map(asi, (void *)p, 2 * PAGE_SIZE) ?:
	      asi_unmap(asi, (void *)p, 2 * PAGE_SIZE);
	before = atomic_long_read(&asi_freed_mapped);
	free_pages(p, 1);
	unmapped = atomic_long_read(&asi_freed_mapped) - before;
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, unmapped, 0);
#else
	kunit_skip(test, "needs CONFIG_DEBUG_ASI_FREE");
#endif
}

static struct kunit_case asi_map_cases[] = {
	KUNIT_CASE(asi_test_maps_espfix),
	KUNIT_CASE(asi_test_maps_module_percpu),
	KUNIT_CASE(asi_test_table_of_another),
	KUNIT_CASE(asi_test_unmap_part_of_page),
	KUNIT_CASE(asi_test_map_pages),
	KUNIT_CASE(asi_test_allows),
	KUNIT_CASE(asi_test_map_kernel_not_freed),
	KUNIT_CASE(asi_test_free_mapped),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_map_suite = {
	.name = "asi_map",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_map_cases,
};

kunit_test_suite(asi_map_suite);
