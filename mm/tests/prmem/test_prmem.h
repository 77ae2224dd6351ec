/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of prmem tests share. */
#ifndef _LIB_TEST_PRMEM_H
#define _LIB_TEST_PRMEM_H

#include <kunit/test.h>
#include <linux/prmem.h>
#include <linux/types.h>

#include "../../prmem.h"

#define OLD	0x0123456789abcdefULL
#define NEW	0xfedcba9876543210ULL

enum prmem_test_state {
	TEST_IDLE,
	TEST_BUSY = 7,
	TEST_GONE = -3,
};

/* One member of each kind, in 64 bytes. */
struct prmem_test_obj {
	u64 q;
	u32 l;
	u16 w;
	u8 b;
	bool flag;
	void *ptr;
	enum prmem_test_state state;
	s32 number;
	s64 big;
	struct prmem_test_obj __rcu *rcu;
	u64 tail[2];
};

static_assert(sizeof(struct prmem_test_obj) == 64);

#define TEST_TARGETS	4

/* What each case works on. */
struct prmem_test {
	struct wr_cache *c;
	struct prmem_test_obj *obj;		/* of it */
	struct pmalloc_pool *start, *pool;	/* protected ones */
	struct prmem_test_obj *target[TEST_TARGETS];
};

struct wr_cache *prmem_test_cache(size_t size, size_t align);
int prmem_test_suite_init(struct kunit_suite *suite);
int prmem_test_init(struct kunit *test);
void prmem_test_exit(struct kunit *test);
void prmem_test_walker_is_clean(struct kunit *test);

void prmem_test_need_cpus(struct kunit *test);
void prmem_test_need_protection(struct kunit *test);
bool prmem_test_reads(const void *addr);
bool prmem_test_writes(const void *addr);
bool prmem_test_wait(const int *flag);
int prmem_test_other_cpu(void);
void *prmem_test_direct(const void *p);
void *prmem_test_alias(const void *p);
long prmem_test_refused(enum prmem_refusal why);
long prmem_test_refused_all(void);
long prmem_test_pages_used(void);

/* The counters before what is to be refused. */
struct prmem_test_refusal {
	struct kunit *test;
	enum prmem_refusal why;
	long one, all;
};

struct prmem_test_refusal prmem_test_before(struct kunit *test, enum prmem_refusal why);
void prmem_test_after(const struct prmem_test_refusal *before, long error, long err,
		      const char *what);

/* This one returns @error, is counted as @why, and as nothing else. */
#define prmem_expect_refused(test, why, error, expr)			\
do {									\
	struct prmem_test_refusal __before = prmem_test_before(test, why); \
									\
	prmem_test_after(&__before, error, (long)(expr), #expr);	\
} while (0)

#endif /* _LIB_TEST_PRMEM_H */
