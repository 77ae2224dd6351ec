// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: what happens when memory that it is in goes bad?
 */
#include <linux/mm.h>
#include <linux/page-flags.h>

#include "test_prmem.h"

#define OBJ_SIZE	(2 * PAGE_SIZE)

static struct pmalloc_pool *pool;

static int memory_prmem_init(struct kunit *test)
{
	pool = pmalloc_create_pool(PMALLOC_MODE_START_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);

	return 0;
}

static void memory_prmem_exit(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

static void spoil(struct kunit *test, const void *addr)
{
	struct page *page = virt_to_page(addr);

	/* The kernel can do nothing about its own pages but tell, and remember. */
	KUNIT_EXPECT_LT(test, memory_failure(page_to_pfn(page), MF_SW_SIMULATED), 0);
	ClearPageHWPoison(page);
}

/*
 * Nothing becomes of it: the memory stays where it is, protected, and can be read and
 * written as long as the hardware lets it.
 */
static void memory_prmem_test_poison(struct kunit *test)
{
	u8 *obj = pmalloc(pool, OBJ_SIZE);
	struct prmem_check found = {};
	unsigned int before, after;
	pte_t *pte;

	KUNIT_ASSERT_NOT_NULL(test, obj);
	pte = lookup_address((unsigned long)obj, &before);
	KUNIT_ASSERT_NOT_NULL(test, pte);
	KUNIT_ASSERT_EQ(test, wr_memset(obj, 0x5a, OBJ_SIZE), 0);

	/* Of the object, and where the block has its metadata. */
	spoil(test, obj + PAGE_SIZE);
	spoil(test, (void *)((unsigned long)obj & PMD_MASK));

	KUNIT_ASSERT_PTR_EQ(test, lookup_address((unsigned long)obj, &after), pte);
	KUNIT_EXPECT_EQ(test, after, before);
	KUNIT_EXPECT_EQ(test, obj[OBJ_SIZE - 1], 0x5a);
	KUNIT_EXPECT_FALSE(test, prmem_test_writes(obj));
	KUNIT_EXPECT_EQ(test, wr_memset(obj, 0xa5, OBJ_SIZE), 0);
	KUNIT_EXPECT_EQ(test, obj[OBJ_SIZE - 1], 0xa5);
	KUNIT_EXPECT_NOT_NULL(test, pmalloc(pool, OBJ_SIZE));
	KUNIT_EXPECT_EQ(test, prmem_check(&found), 0);
	KUNIT_EXPECT_EQ(test, found.writable, 0);
}

static struct kunit_case memory_prmem_cases[] = {
	KUNIT_CASE(memory_prmem_test_poison),
	{}
};

static struct kunit_suite memory_prmem_suite = {
	.name = "memory_prmem",
	.init = memory_prmem_init,
	.exit = memory_prmem_exit,
	.test_cases = memory_prmem_cases,
};

kunit_test_suite(memory_prmem_suite);
