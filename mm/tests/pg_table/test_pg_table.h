/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of pg_table tests share. */
#ifndef _LIB_TEST_PG_TABLE_H
#define _LIB_TEST_PG_TABLE_H

#include <kunit/test.h>
#include <linux/pg_table.h>

#include "../../pg_table.h"

/*
 * Where the tests map something: nothing ever loads their page tables.  A boundary of
 * the entries of the root in the middle of the kernel half.
 */
static inline unsigned long test_base(void)
{
	return pgtable_l5_enabled() ? 0xff80000000000000UL : 0xffffc00000000000UL;
}

static inline unsigned long test_root_size(void)
{
	return PUD_SIZE << (pgtable_l5_enabled() ? 18 : 9);
}

#define TEST_BASE	test_base()

#define SZ_4K_		PAGE_SIZE
#define SZ_2M_		PMD_SIZE
#define SZ_1G_		PUD_SIZE
#define SZ_512G_	(PUD_SIZE << 9)
#define SZ_ROOT_	test_root_size()

#define TEST_PROT_RW	__pgprot(pgprot_val(PAGE_KERNEL) & ~_PAGE_GLOBAL)
#define TEST_PROT_RO	__pgprot(pgprot_val(PAGE_KERNEL_RO) & ~_PAGE_GLOBAL)
#define TEST_PROT_RX	__pgprot(pgprot_val(PAGE_KERNEL_ROX) & ~_PAGE_GLOBAL)

/* What each case works on. */
struct pg_table_test {
	struct pg_table *src;
	struct pg_table *dst;
	long instances, tables;		/* before the case */
	/* What flush() has seen. */
	int flushes;
	u64 generation;
	unsigned long start, end;
	unsigned long nr_tables;
};

#define TEST_ADDR_MASK	0x000ffffffffff000ULL

static inline int test_shift(int level)
{
	return 12 + 9 * (level - 1);
}

static inline int test_root_level(void)
{
	return pgtable_l5_enabled() ? 5 : 4;
}

/* What a CPU would find; by code of the tests. */
struct test_seen {
	u64	entry;		/* the last entry */
	u64	*slot;		/* and where it is */
	u64	pa;		/* of the address itself */
	int	level;		/* 1 is 4 KiB */
	bool	present;
	bool	rw, nx, user, global;
	u64	cache;		/* PWT, PCD, PAT as in a leaf of 4 KiB */
};

bool test_see(const struct pg_table *pgt, unsigned long addr, struct test_seen *seen);
u64 *test_slot(const struct pg_table *pgt, unsigned long addr, int level);
bool test_owned(const struct pg_table *pgt, u64 e);
void test_maps(struct kunit *test, const struct pg_table *pgt, unsigned long addr,
	       unsigned long pfn, int level, bool rw);
void test_maps_not(struct kunit *test, const struct pg_table *pgt, unsigned long addr);
u64 test_state(const struct pg_table *pgt);
int test_count_leaf(const struct pg_table_leaf *leaf, void *arg);
int pg_table_test_init(struct kunit *test);
void pg_table_test_exit(struct kunit *test);
long test_count_tables(struct kunit *test, const struct pg_table *pgt);
void test_pg_table_model(struct kunit *test);

#endif /* _LIB_TEST_PG_TABLE_H */
