// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of page tables as objects: who is refused, by bad luck or for a reason,
 * leaves no trace.
 */
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/uio.h>

#include <asm/fixmap.h>

#include "test_pg_table.h"

/*
 * Let the first allocation fail, then the second, and so on: each time nothing must
 * have changed.  How many there are is returned.
 */
#define TEST_FAIL_EACH(pgt, call)						\
({										\
	const struct pg_table *__pgt = (pgt);					\
	u64 __before = test_state(__pgt);					\
	int __err, __n = 0;							\
										\
	do {									\
		pg_table_fail_alloc = ++__n;					\
		__err = (call);							\
		pg_table_fail_alloc = 0;					\
		if (__err == -ENOMEM)						\
			KUNIT_EXPECT_EQ(test, test_state(__pgt), __before);	\
	} while (__err == -ENOMEM && __n < 50);					\
	KUNIT_EXPECT_EQ(test, __err, 0);					\
	__n - 1;								\
})

static void refuse_test_no_memory(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long base = TEST_BASE;
	int l5 = pgtable_l5_enabled();
	struct pg_table *pgt;
	int n;

	for (n = 1; n <= 2; n++) {
		pg_table_fail_alloc = n;
		pgt = pg_table_create("test_none", NULL, NULL);
		pg_table_fail_alloc = 0;
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pgt), -ENOMEM);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.instances), x->instances + 2);

	/* Tables for a mapping that reaches from one entry of the root to the next. */
	n = TEST_FAIL_EACH(x->src, pg_table_map(x->src, base - SZ_4K_, 9, 1026, TEST_PROT_RW));
	KUNIT_EXPECT_EQ(test, n, 2 * (3 + l5) + 2);

	/* For copies of the same. */
	n = TEST_FAIL_EACH(x->dst, pg_table_share(x->dst, x->src, base - SZ_4K_, base + 2 * SZ_2M_,
						  PG_TABLE_4K));
	KUNIT_EXPECT_EQ(test, n, 2 * (3 + l5) + 1);

	/* To share a table where there are copies: only on the way there. */
	n = TEST_FAIL_EACH(x->dst, pg_table_share(x->dst, x->src, base + SZ_1G_,
						  base + SZ_1G_ + SZ_2M_, PG_TABLE_PMD));
	KUNIT_EXPECT_EQ(test, n, 1);
	n = TEST_FAIL_EACH(x->dst, pg_table_share(x->dst, x->src, base, base + SZ_ROOT_,
						  PG_TABLE_PGD));
	KUNIT_EXPECT_EQ(test, n, 0);

	/* A hole in what is shared, and a page of its own there. */
	n = TEST_FAIL_EACH(x->dst, pg_table_unmap(x->dst, base + SZ_4K_, base + 2 * SZ_4K_));
	KUNIT_EXPECT_EQ(test, n, 3 + l5);
	n = TEST_FAIL_EACH(x->dst, pg_table_map(x->dst, base + SZ_4K_, 5, 1, TEST_PROT_RO));
	KUNIT_EXPECT_EQ(test, n, 0);

	/* One in a leaf, with both its edges in one table. */
	KUNIT_EXPECT_EQ(test, pg_table_map(x->src, base + SZ_1G_, 0, 1024, TEST_PROT_RO), 0);
	n = TEST_FAIL_EACH(x->src, pg_table_unmap(x->src, base + SZ_1G_ + SZ_4K_,
						  base + SZ_1G_ + 2 * SZ_4K_));
	KUNIT_EXPECT_EQ(test, n, 1);
}

#define TEST_REFUSED(why, want, call)							\
do {											\
	atomic_long_t *__count = &pg_table_stats.refused[why];				\
	u64 __dst = test_state(x->dst), __src = test_state(x->src);			\
	long __n = atomic_long_read(__count);						\
											\
	KUNIT_EXPECT_EQ(test, (int)(call), want);					\
	KUNIT_EXPECT_EQ(test, atomic_long_read(__count), __n + 1);			\
	KUNIT_EXPECT_EQ(test, test_state(x->dst), __dst);				\
	KUNIT_EXPECT_EQ(test, test_state(x->src), __src);				\
} while (0)

static int test_create(const char *name)
{
	return PTR_ERR_OR_ZERO(pg_table_create(name, NULL, NULL));
}

static int test_free(struct pg_table *pgt)
{
	pg_table_free(pgt);
	return 0;
}

static void refuse_test_bad_names(struct kunit *test)
{
	struct pg_table_test *x = test->priv;

	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL, test_create(NULL));
	TEST_REFUSED(PG_TABLE_BAD_NAME, -EEXIST, test_create(""));
	TEST_REFUSED(PG_TABLE_BAD_NAME, -EEXIST, test_create("test_dst"));
	TEST_REFUSED(PG_TABLE_BAD_NAME, -EEXIST, test_create("kernel"));
	TEST_REFUSED(PG_TABLE_BAD_NAME, -EEXIST, test_create("a/b"));
	TEST_REFUSED(PG_TABLE_BAD_NAME, -EEXIST,
		     test_create("a_name_of_thirty-two_characters_"));
	TEST_REFUSED(PG_TABLE_BAD_ARG, 0, test_free(&kernel_pg_table));
	pg_table_free(NULL);
}

static void refuse_test_bad_share(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	struct pg_table *kernel = &kernel_pg_table;
	unsigned long base = TEST_BASE, fix = __fix_to_virt(0) & PMD_MASK;
	enum pg_table_level leaf = PG_TABLE_LEAF, pmd = PG_TABLE_PMD;

	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_share(NULL, x->src, base, base + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_share(x->dst, NULL, base, base + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_share(kernel, x->src, base, base + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_share(x->dst, x->dst, base, base + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base + SZ_2M_, PG_TABLE_PGD + 1));

	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, SZ_2M_, 2 * SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, SZ_2M_, base, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, pg_table_first_addr() - SZ_2M_,
				    pg_table_first_addr() + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base + SZ_2M_, base, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, -SZ_2M_, SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base + 8, base + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base + SZ_4K_, pmd));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base + SZ_4K_, base + SZ_2M_, pmd));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base + SZ_2M_, PG_TABLE_PUD));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base + SZ_1G_, PG_TABLE_P4D));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base + SZ_ROOT_ / 2, PG_TABLE_PGD));

	/* The fixmap: not by copies, but by its tables. */
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_share(x->dst, kernel, fix, fix + SZ_4K_, leaf));
	KUNIT_EXPECT_EQ(test, pg_table_share(x->dst, kernel, fix, fix + SZ_2M_, pmd), 0);
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_unmap(x->dst, fix, fix + SZ_4K_));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_map(x->dst, fix, 0, 1, TEST_PROT_RO));
	KUNIT_EXPECT_EQ(test, pg_table_unmap(x->dst, fix, fix + SZ_2M_), 0);

	/* The first source is the only one. */
	TEST_REFUSED(PG_TABLE_BAD_SOURCE, -EINVAL,
		     pg_table_share(x->dst, x->src, base, base + SZ_2M_, leaf));
	KUNIT_EXPECT_EQ(test, pg_table_map(x->dst, base + SZ_4K_, 0, 1, TEST_PROT_RO), 0);
	TEST_REFUSED(PG_TABLE_OCCUPIED, -EEXIST,
		     pg_table_share(x->dst, kernel, base, base + SZ_2M_, leaf));
	TEST_REFUSED(PG_TABLE_OCCUPIED, -EEXIST,
		     pg_table_share(x->dst, kernel, base, base + SZ_2M_, pmd));
}

static void refuse_test_bad_map(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long base = TEST_BASE;
	const pgprotval_t rw = pgprot_val(TEST_PROT_RW), ro = pgprot_val(TEST_PROT_RO);
	const struct { unsigned long addr, nr; } ranges[] = {
		{ 0, 1 }, { SZ_2M_, 512 }, { base, 0 }, { base + 1, 1 }, { -SZ_4K_, 2 },
		{ pg_table_first_addr() - SZ_4K_, 2 }, { base, 1UL << 52 }, { base, ~0UL },
		{ base, (1UL << 52) + 1 },
	};
	const pgprotval_t prots[] = {
		rw | _PAGE_GLOBAL, rw | _PAGE_USER, rw & ~_PAGE_NX, rw & ~_PAGE_PRESENT,
		ro | _PAGE_DIRTY, rw | PG_ENTRY_COPY, rw | PG_ENTRY_FOLLOW, ro | 0x1000, 0,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
			     pg_table_map(x->dst, ranges[i].addr, 0, ranges[i].nr, TEST_PROT_RO));
		TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
			     pg_table_unmap(x->dst, ranges[i].addr == base ? base + 1 :
					    ranges[i].addr, ranges[i].addr + SZ_4K_ + 1));
	}
	for (i = 0; i < ARRAY_SIZE(prots); i++)
		TEST_REFUSED(PG_TABLE_BAD_PROT, -EINVAL,
			     pg_table_map(x->dst, base, 0, 1, __pgprot(prots[i])));

	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_map(&kernel_pg_table, base, 0, 1, TEST_PROT_RO));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL, pg_table_map(NULL, base, 0, 1, TEST_PROT_RO));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_unmap(&kernel_pg_table, base, base + SZ_4K_));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL, pg_table_unmap(NULL, base, base + SZ_4K_));
	TEST_REFUSED(PG_TABLE_BAD_PFN, -EINVAL,
		     pg_table_map(x->dst, base, 1UL << 40, 1, TEST_PROT_RO));
	TEST_REFUSED(PG_TABLE_BAD_PFN, -EINVAL,
		     pg_table_map(x->dst, base, (1UL << (boot_cpu_data.x86_phys_bits - 12)) - 1, 2,
				  TEST_PROT_RO));
	TEST_REFUSED(PG_TABLE_BAD_PFN, -EINVAL,
		     pg_table_map(x->dst, base, ~0UL, 1, TEST_PROT_RO));

	KUNIT_EXPECT_EQ(test, pg_table_map(x->dst, base + SZ_2M_, 0, 512, TEST_PROT_RO), 0);
	TEST_REFUSED(PG_TABLE_OCCUPIED, -EEXIST,
		     pg_table_map(x->dst, base, 0, 513, TEST_PROT_RO));
	TEST_REFUSED(PG_TABLE_OCCUPIED, -EEXIST,
		     pg_table_map(x->dst, base + 2 * SZ_2M_ - SZ_4K_, 0, 2, TEST_PROT_RO));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_walk(NULL, base, base + SZ_4K_, test_count_leaf, NULL));
	TEST_REFUSED(PG_TABLE_BAD_ARG, -EINVAL,
		     pg_table_walk(x->dst, base, base + SZ_4K_, NULL, NULL));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, -EINVAL,
		     pg_table_walk(x->dst, 0, base, test_count_leaf, NULL));
}

/* ---- what is still in use ---- */

static struct {
	struct pg_table *victim;
	struct completion begun, done;
	ssize_t read;
} race;

static int free_victim(void *unused)
{
	pg_table_free(race.victim);
	complete(&race.done);

	return 0;
}

/* A name is taken as long as there is a file of that name, which somebody may read. */
static void refuse_test_name_of_file(struct kunit *test)
{
	struct pg_table *pgt = pg_table_create("test_name", NULL, NULL);
	struct pg_table_test *x = test->priv;
	struct task_struct *task;
	int i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	if (IS_ERR_OR_NULL(pgt->file)) {
		pg_table_free(pgt);
		kunit_skip(test, "needs CONFIG_PTDUMP_DEBUGFS");
	}

	memset(&race, 0, sizeof(race));
	init_completion(&race.done);
	race.victim = pgt;
	KUNIT_ASSERT_EQ(test, debugfs_file_get(pgt->file), 0);
	task = kthread_run(free_victim, NULL, "pg_table_kunit");
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	msleep(50);
	for (i = 0; i < 3; i++)
		TEST_REFUSED(PG_TABLE_BAD_NAME, -EEXIST, test_create("test_name"));
	KUNIT_EXPECT_FALSE(test, completion_done(&race.done));
	debugfs_file_put(pgt->file);
	wait_for_completion(&race.done);

	pgt = pg_table_create("test_name", NULL, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	KUNIT_EXPECT_FALSE(test, IS_ERR_OR_NULL(pgt->file));
	pg_table_free(pgt);
}

#ifdef CONFIG_PTDUMP_DEBUGFS
static int dump_victim(void *unused)
{
	struct file_system_type *type = get_fs_type("debugfs");
	struct vfsmount *mnt = type ? kern_mount(type) : ERR_PTR(-ENODEV);
	struct iov_iter iter;
	struct kiocb kiocb;
	struct file *file;
	struct kvec vec;
	char c;

	race.read = -ENODEV;
	if (IS_ERR(mnt))
		goto done;
	file = file_open_root_mnt(mnt, "page_tables/test_dst", O_RDONLY, 0);
	race.read = PTR_ERR_OR_ZERO(file);
	if (!race.read) {
		/* kernel_read() refuses, since files of debugfs have no other way to read. */
		init_sync_kiocb(&kiocb, file);
		vec = (struct kvec){ .iov_base = &c, .iov_len = 1 };
		iov_iter_kvec(&iter, ITER_DEST, &vec, 1, 1);
		complete(&race.begun);
		race.read = seq_read_iter(&kiocb, &iter);
		fput(file);
	}
	kern_unmount(mnt);
done:
	complete(&race.begun);
	complete(&race.done);

	return 0;
}

/* A dump of a follower walks tables of its source, which holds its mutex to remove one. */
static void refuse_test_dump_of_follower(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	struct task_struct *task;

	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + SZ_ROOT_,
					     PG_TABLE_PGD), 0);
	memset(&race, 0, sizeof(race));
	init_completion(&race.begun);
	init_completion(&race.done);
	mutex_lock(&x->src->mutex);
	task = kthread_run(dump_victim, NULL, "pg_table_kunit");
	if (!IS_ERR(task))
		wait_for_completion(&race.begun);
	/* A dump of the few tables of @dst takes less. */
	msleep(300);
	KUNIT_EXPECT_FALSE(test, completion_done(&race.done));
	mutex_unlock(&x->src->mutex);
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&race.done);
	KUNIT_EXPECT_EQ(test, race.read, 1);
}
#endif

/* To find out whether something is mapped takes the lock for some thousand entries. */
static void refuse_test_long_walk(struct kunit *test)
{
	unsigned long addr = TEST_BASE, last = TEST_BASE + SZ_1G_ - 1, from;
	struct pg_table_test *x = test->priv;
	int parts = 0;
	bool all, has;

	/* 65,536 leaves that are not private. */
	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, TEST_BASE, 1, SZ_1G_ / SZ_4K_ / 4,
					   TEST_PROT_RO), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, TEST_BASE, TEST_BASE + SZ_1G_,
					     PG_TABLE_LEAF), 0);
	do {
		from = addr;
		all = pg_table_occupied_part(x->dst, &addr, last, false, &has);
		KUNIT_EXPECT_FALSE(test, has);
		KUNIT_EXPECT_GE(test, addr, from);
		if (addr < TEST_BASE + SZ_1G_ / 4)
			KUNIT_EXPECT_LE(test, addr - from, 4096 * SZ_4K_);
	} while (!all && ++parts < 100);
	KUNIT_EXPECT_GE(test, parts, 16);
	KUNIT_EXPECT_LT(test, parts, 20);

	KUNIT_EXPECT_FALSE(test, pg_table_occupied(x->dst, TEST_BASE, last, false));
	KUNIT_EXPECT_TRUE(test, pg_table_occupied(x->dst, TEST_BASE, last, true));
	KUNIT_EXPECT_FALSE(test, pg_table_occupied(x->dst, TEST_BASE + SZ_1G_ / 2, last, true));
}

/* One page that its owner needs, if there is an owner. */
static bool refuse_pinned(const struct pg_table *pgt, unsigned long start, unsigned long end)
{
	const unsigned long *page = pgt->private;

	return page && start <= *page && *page <= end - 1;
}

static const struct pg_table_ops refuse_pin_ops = { .pinned = refuse_pinned };

static int test_unmap_nofail(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	pg_table_unmap_nofail(pgt, start, end);
	return 0;
}

static void refuse_test_pinned(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long base = TEST_BASE, page = base + SZ_4K_, end = base + 3 * SZ_4K_;
	struct pg_table *pgt = pg_table_create("test_pinned", &refuse_pin_ops, &page);
	u64 before;

	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	KUNIT_EXPECT_EQ(test, pg_table_map(pgt, base, 0, 3, TEST_PROT_RW), 0);
	before = test_state(pgt);
	TEST_REFUSED(PG_TABLE_PINNED, -EBUSY, pg_table_unmap(pgt, page, page + SZ_4K_));
	TEST_REFUSED(PG_TABLE_PINNED, -EBUSY, pg_table_unmap(pgt, base, page + SZ_4K_));
	TEST_REFUSED(PG_TABLE_PINNED, -EBUSY, pg_table_unmap(pgt, page, end));
	TEST_REFUSED(PG_TABLE_PINNED, -EBUSY, pg_table_unmap(pgt, base, base + SZ_ROOT_));
	TEST_REFUSED(PG_TABLE_PINNED, -EBUSY, pg_table_unmap(pgt, pg_table_first_addr(), 0));
	TEST_REFUSED(PG_TABLE_PINNED, 0, test_unmap_nofail(pgt, page, end));
	TEST_REFUSED(PG_TABLE_PINNED, 0, test_free(pgt));
	KUNIT_EXPECT_EQ(test, test_state(pgt), before);

	/* What is next to it can go. */
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, base, page), 0);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, page + SZ_4K_, end), 0);
	test_maps_not(test, pgt, base);
	test_maps(test, pgt, page, 1, 1, true);
	test_maps_not(test, pgt, page + SZ_4K_);

	pgt->private = NULL;
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, page, page + SZ_4K_), 0);
	test_maps_not(test, pgt, page);
	pg_table_free(pgt);
}

/* With no memory for the tables that it takes. */
static void refuse_test_unmap_nofail(struct kunit *test)
{
	struct pg_table_test *x = test->priv;
	unsigned long base = TEST_BASE;

	KUNIT_ASSERT_EQ(test, pg_table_map(x->src, base, 0, 1024, TEST_PROT_RW), 0);
	KUNIT_ASSERT_EQ(test, pg_table_share(x->dst, x->src, base, base + SZ_1G_, PG_TABLE_PUD), 0);
	pg_table_fail_alloc = -1;
	KUNIT_EXPECT_EQ(test, pg_table_unmap(x->dst, base + SZ_4K_, base + 2 * SZ_4K_), -ENOMEM);
	pg_table_unmap_nofail(x->dst, base + SZ_4K_, base + 2 * SZ_4K_);
	pg_table_fail_alloc = 0;
	test_maps(test, x->dst, base, 0, 1, true);
	test_maps_not(test, x->dst, base + SZ_4K_);
	test_maps(test, x->dst, base + 2 * SZ_4K_, 2, 1, true);
	test_maps(test, x->dst, base + SZ_2M_, 512, 2, true);

	/* A mistake is one as ever. */
	TEST_REFUSED(PG_TABLE_BAD_ARG, 0, test_unmap_nofail(NULL, base, base + SZ_4K_));
	TEST_REFUSED(PG_TABLE_BAD_ARG, 0,
		     test_unmap_nofail(&kernel_pg_table, base, base + SZ_4K_));
	TEST_REFUSED(PG_TABLE_BAD_RANGE, 0, test_unmap_nofail(x->dst, 0, SZ_4K_));
}

static struct kunit_case refuse_cases[] = {
	KUNIT_CASE(refuse_test_no_memory),
	KUNIT_CASE(refuse_test_bad_names),
	KUNIT_CASE(refuse_test_bad_share),
	KUNIT_CASE(refuse_test_bad_map),
	KUNIT_CASE(refuse_test_name_of_file),
#ifdef CONFIG_PTDUMP_DEBUGFS
	KUNIT_CASE(refuse_test_dump_of_follower),
#endif
	KUNIT_CASE(refuse_test_long_walk),
	KUNIT_CASE(refuse_test_pinned),
	KUNIT_CASE(refuse_test_unmap_nofail),
	{}
};

static struct kunit_suite refuse_suite = {
	.name = "pg_table_refuse",
	.init = pg_table_test_init,
	.exit = pg_table_test_exit,
	.test_cases = refuse_cases,
};

kunit_test_suite(refuse_suite);

MODULE_DESCRIPTION("KUnit tests of what page tables refuse");
MODULE_LICENSE("GPL");
