// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: memory that comes and goes while there
 * are domains.
 *
 * They need memory that the kernel does not have yet: mem= on the command line says
 * how much it has, and test_asi_memory.at where there is more of it.  They are for
 * debugfs, since no memory can be added beyond mem= before there is user space.
 */
#include <linux/kthread.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pg_table.h>
#include <linux/sched.h>
#include <linux/set_memory.h>

#include <asm/tlbflush.h>

#include "test_asi.h"

static unsigned long at;
module_param(at, ulong, 0444);

/* What is there, and is taken away however the case ends. */
static bool added;

static int add(void)
{
	int err = add_memory(0, at, memory_block_size_bytes(), MHP_NONE);

	added |= !err;

	return err;
}

static int take_away(void)
{
	int err = offline_and_remove_memory(at, memory_block_size_bytes());

	if (!err)
		added = false;

	return err;
}

static int asi_memory_test_init(struct kunit *test)
{
	if (!at)
		kunit_skip(test, "needs test_asi_memory.at");
	if (system_state != SYSTEM_RUNNING)
		kunit_skip(test, "needs user space");

	return asi_test_init(test);
}

static void asi_memory_test_exit(struct kunit *test)
{
	if (added)
		KUNIT_EXPECT_EQ(test, take_away(), 0);
}

static bool maps(const struct pg_table *pgt, const void *p)
{
	return pg_table_lookup(pgt, (unsigned long)p, NULL);
}

struct look {
	bool first, last;	/* can be read in the domain */
	int enter, exit;
};

static noinline void look_inside(struct asi *asi, const char *p, const char *last,
				 struct look *l)
{
	l->first = false;
	l->last = false;
	l->exit = 0;
	l->enter = asi_enter(asi);
	if (l->enter)
		return;
	l->first = asi_test_reads(p);
	l->last = asi_test_reads(last);
	l->exit = asi_exit(asi);
}

static void expect_inside(struct kunit *test, struct asi *asi, const char *p, bool first,
			  const char *what)
{
	const char *last = p + memory_block_size_bytes() - PAGE_SIZE;
	struct look l;

	look_inside(asi, p, last, &l);
	KUNIT_EXPECT_EQ_MSG(test, l.enter, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, l.exit, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, l.first, first, "%s", what);
	KUNIT_EXPECT_FALSE_MSG(test, l.last, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, maps(asi_pg_table(asi), p), first, "%s", what);
	KUNIT_EXPECT_FALSE_MSG(test, maps(asi_pg_table(asi), last), "%s", what);
}

/* What a domain maps of new memory is what was asked for, and goes with the memory. */
static void memory_asi_test_domain(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	char *p = __va(at);

	KUNIT_ASSERT_FALSE(test, maps(&kernel_pg_table, p));
	asi_expect_refused(test, ASI_BAD_ADDRESS, -EFAULT, asi_map(asi, p, PAGE_SIZE));
	KUNIT_ASSERT_EQ(test, add(), 0);
	KUNIT_ASSERT_TRUE(test, maps(&kernel_pg_table, p));
	expect_inside(test, asi, p, false, "added");

	KUNIT_ASSERT_EQ(test, asi_map(asi, p, PAGE_SIZE), 0);
	expect_inside(test, asi, p, true, "mapped");

	KUNIT_ASSERT_EQ(test, take_away(), 0);
	KUNIT_EXPECT_FALSE(test, maps(&kernel_pg_table, p));
	expect_inside(test, asi, p, false, "removed");

	KUNIT_ASSERT_EQ(test, add(), 0);
	expect_inside(test, asi, p, false, "added again");
}

/* A page table that takes over whatever the kernel has there. */
static void test_follows(struct kunit *test, struct pg_table *pgt, const char *p)
{
	const char *last = p + memory_block_size_bytes() - PAGE_SIZE;
	int err;

	err = pg_table_share(pgt, &kernel_pg_table, (unsigned long)p,
			     (unsigned long)p + memory_block_size_bytes(), PG_TABLE_PMD);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_FALSE(test, maps(pgt, p));
	err = add();
	KUNIT_EXPECT_EQ(test, err, 0);
	if (err)
		return;
	KUNIT_EXPECT_TRUE(test, maps(pgt, p));
	KUNIT_EXPECT_TRUE(test, maps(pgt, last));

	/* Where a leaf is broken down there is a table, which goes with the memory. */
	KUNIT_EXPECT_EQ(test, set_memory_4k((unsigned long)p, 1), 0);
	KUNIT_EXPECT_TRUE(test, maps(pgt, p));
	err = take_away();
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_FALSE(test, maps(pgt, p));
	KUNIT_EXPECT_FALSE(test, maps(pgt, last));

	if (!err)
		err = add();
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, maps(pgt, p));
}

static void memory_asi_test_shared(struct kunit *test)
{
	struct pg_table *pgt = pg_table_create("test_memory", NULL, NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	test_follows(test, pgt, __va(at));
	pg_table_free(pgt);
}

/* A thread that goes in and out of a domain all the time, and reads there. */
static struct reader {
	struct asi *asi;
	const char *p;
	long rounds, reads;
	int err;
} reader;

static noinline int read_once(void)
{
	bool read;
	int err;

	err = asi_enter(reader.asi);
	if (err)
		return err;
	read = asi_test_reads(reader.p);
	err = asi_exit(reader.asi);
	WRITE_ONCE(reader.reads, reader.reads + read);
	WRITE_ONCE(reader.rounds, reader.rounds + 1);

	return err;
}

static int reader_thread(void *unused)
{
	reader.err = asi_map_task(reader.asi);
	while (!kthread_should_stop()) {
		if (!reader.err)
			reader.err = read_once();
		cond_resched();
	}

	return 0;
}

static bool wait_for_more(const long *count)
{
	unsigned long end = jiffies + 60 * HZ;
	long wanted = READ_ONCE(*count) + 3;

	while (READ_ONCE(*count) < wanted) {
		if (time_after(jiffies, end))
			return false;
		schedule_timeout_uninterruptible(1);
	}

	return true;
}

static void test_round(struct kunit *test, struct asi *asi, const char *p)
{
	long reads;

	KUNIT_EXPECT_EQ(test, add(), 0);
	KUNIT_EXPECT_TRUE(test, wait_for_more(&reader.rounds));
	KUNIT_EXPECT_EQ(test, asi_map(asi, p, PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, wait_for_more(&reader.reads));
	KUNIT_EXPECT_EQ(test, take_away(), 0);
	/* The last read may have been counted late. */
	wait_for_more(&reader.rounds);
	reads = READ_ONCE(reader.reads);
	KUNIT_EXPECT_TRUE(test, wait_for_more(&reader.rounds));
	KUNIT_EXPECT_EQ(test, READ_ONCE(reader.reads), reads);
}

/* The same while another CPU is in the domain. */
static void memory_asi_test_busy(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct task_struct *task;
	int i;

	asi_test_need_cpus(test);
	reader = (struct reader) { .asi = asi, .p = __va(at) };
	KUNIT_ASSERT_EQ(test, asi_map(asi, &reader, sizeof(reader)), 0);
	task = kthread_run(reader_thread, NULL, "asi_reader");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	for (i = 0; i < 5; i++)
		test_round(test, asi, reader.p);
	kthread_stop(task);
	KUNIT_EXPECT_EQ(test, reader.err, 0);
	kunit_info(test, "%ld rounds, %ld reads", reader.rounds, reader.reads);
}

/* One of two pages in a large copy in the domain goes from the direct map, and comes back. */
static void test_unmapped(struct kunit *test, int (*unmap)(struct page *),
			  int (*map)(struct page *))
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct page *page = alloc_pages(GFP_KERNEL, 1);
	struct look l;
	char *p;

	KUNIT_ASSERT_NOT_NULL(test, page);
	p = page_address(page);
	KUNIT_EXPECT_EQ(test, asi_map(asi, p, 2 * PAGE_SIZE), 0);
	look_inside(asi, p, p + PAGE_SIZE, &l);
	KUNIT_EXPECT_TRUE(test, l.first && l.last);

	KUNIT_EXPECT_EQ(test, unmap(page), 0);
	look_inside(asi, p, p + PAGE_SIZE, &l);
	KUNIT_EXPECT_EQ(test, l.enter, 0);
	KUNIT_EXPECT_FALSE(test, l.first);
	KUNIT_EXPECT_TRUE(test, l.last);
	KUNIT_EXPECT_FALSE(test, maps(asi_pg_table(asi), p));

	KUNIT_EXPECT_EQ(test, map(page), 0);
	KUNIT_EXPECT_TRUE(test, asi_test_reads(p));
	__free_pages(page, 1);
}

/* What is done to a page that has gone bad, by an address with a bit that is wrong. */
static int poison(struct page *page)
{
	return set_mce_nospec(page_to_pfn(page));
}

static int unpoison(struct page *page)
{
	return clear_mce_nospec(page_to_pfn(page));
}

static void memory_asi_test_poison(struct kunit *test)
{
	test_unmapped(test, poison, unpoison);
}

/* What memfd_secret() does to a page that it takes, and gives back. */
static int hide(struct page *page)
{
	unsigned long addr = (unsigned long)page_address(page);
	int err = set_direct_map_invalid_noflush(page);

	flush_tlb_kernel_range(addr, addr + PAGE_SIZE);

	return err;
}

static void memory_asi_test_secret(struct kunit *test)
{
	test_unmapped(test, hide, set_direct_map_default_noflush);
}

static struct kunit_case memory_asi_cases[] = {
	KUNIT_CASE(memory_asi_test_poison),
	KUNIT_CASE(memory_asi_test_secret),
	KUNIT_CASE(memory_asi_test_domain),
	KUNIT_CASE(memory_asi_test_shared),
	KUNIT_CASE_SLOW(memory_asi_test_busy),
	{}
};

static struct kunit_suite memory_asi_suite = {
	.name = "memory_asi",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_memory_test_init,
	.exit = asi_memory_test_exit,
	.test_cases = memory_asi_cases,
};

kunit_test_suite(memory_asi_suite);
