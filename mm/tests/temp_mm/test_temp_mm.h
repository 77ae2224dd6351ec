/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of temp_mm tests share. */
#ifndef _LIB_TEST_TEMP_MM_H
#define _LIB_TEST_TEMP_MM_H

#include <kunit/test.h>
#include <linux/temp_mm.h>
#include <linux/types.h>

#define TEST_PAGES	2
#define OLD		0x0123456789abcdefULL
#define NEW		0xfedcba9876543210ULL

/* What each case works on: read-only memory of both kinds, and a window. */
struct temp_mm_test {
	struct temp_mm *t;
	u64 *vmem;		/* TEST_PAGES of vmalloc space */
	u64 *dmem;		/* one page of the direct map */
	struct page *pages[TEST_PAGES];
};

int temp_mm_test_suite_init(struct kunit_suite *suite);
int temp_mm_test_init(struct kunit *test);
void temp_mm_test_exit(struct kunit *test);
void temp_mm_test_need_cpus(struct kunit *test);
bool temp_mm_test_reads(const void *addr);
bool temp_mm_test_writes(void *addr);
bool temp_mm_test_wait(const int *flag);
int temp_mm_test_other_cpu(void);
struct mm_struct *temp_mm_test_user_mm(struct kunit *test, unsigned long *addr,
				       const char *text);

#endif /* _LIB_TEST_TEMP_MM_H */
