// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of page tables as objects: do they follow when the kernel gives back
 * the struct pages of huge pages?
 *
 * For debugfs, since that is asked for by a file; and with hugetlb_free_vmemmap=on.
 * The huge pages stay: 6.12 complains of the state of their pages when they go, with
 * no page table there that follows.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>

#include "test_pg_table.h"

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static int set_nr_hugepages(const char *nr)
{
	struct file *file = filp_open(NR_HUGEPAGES, O_WRONLY, 0);
	loff_t pos = 0;
	ssize_t ret;

	if (IS_ERR(file))
		return PTR_ERR(file);
	ret = kernel_write(file, nr, strlen(nr), &pos);
	fput(file);

	return ret < 0 ? ret : 0;
}

/* How many of the pages are another one, or have other rights, than the kernel's. */
static unsigned long count_differences(const struct pg_table *pgt, unsigned long start,
				       unsigned long end, unsigned long *readonly)
{
	struct test_seen here, there;
	unsigned long addr, n = 0;

	*readonly = 0;
	for (addr = start; addr < end; addr += PAGE_SIZE) {
		test_see(&kernel_pg_table, addr, &there);
		test_see(pgt, addr, &here);
		n += here.present != there.present || here.pa != there.pa || here.rw != there.rw;
		*readonly += there.present && !there.rw;
	}

	return n;
}

static void compare_vmemmap(struct kunit *test, struct pg_table *pgt)
{
	unsigned long start = (unsigned long)pfn_to_page(0) & PAGE_MASK;
	unsigned long end = PAGE_ALIGN((unsigned long)pfn_to_page(max_pfn));
	unsigned long before, readonly;
	int err;

	err = pg_table_share(pgt, &kernel_pg_table, start, end, PG_TABLE_LEAF);
	KUNIT_EXPECT_EQ(test, err, 0);
	if (err)
		return;
	KUNIT_EXPECT_EQ(test, count_differences(pgt, start, end, &before), 0);
	/* The struct pages of each but for the first of them become read-only. */
	KUNIT_EXPECT_EQ(test, set_nr_hugepages("4"), 0);
	KUNIT_EXPECT_EQ(test, count_differences(pgt, start, end, &readonly), 0);
	KUNIT_EXPECT_GE(test, readonly, before + 4 * 7);
}

static void memory_pg_table_test_hugetlb(struct kunit *test)
{
	struct pg_table *pgt;

	if (system_state != SYSTEM_RUNNING)
		kunit_skip(test, "needs user space");

	pgt = pg_table_create("test_vmemmap", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	compare_vmemmap(test, pgt);
	pg_table_free(pgt);
}

/* KUnit leaves skipped what has been skipped at boot, also when it is run again. */
static int memory_suite_init(struct kunit_suite *suite)
{
	struct kunit_case *c;

	kunit_suite_for_each_test_case(suite, c)
		c->status = KUNIT_SUCCESS;

	return 0;
}

static struct kunit_case memory_pg_table_cases[] = {
	KUNIT_CASE_SLOW(memory_pg_table_test_hugetlb),
	{}
};

static struct kunit_suite memory_pg_table_suite = {
	.name = "memory_pg_table",
	.suite_init = memory_suite_init,
	.test_cases = memory_pg_table_cases,
};

kunit_test_suite(memory_pg_table_suite);
