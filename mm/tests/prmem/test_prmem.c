// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: what wr_*() write to static data, objects of
 * caches and of pools, and whom they refuse.
 *
 * The sisters: test_prmem_cache.c and test_prmem_pool.c hand out memory,
 * test_prmem_list.c has lists and counters, test_prmem_x86.c tries to write to
 * memory without asking, test_prmem_attack.c forges what is in ordinary memory.
 *
 * State is recorded in a batch and judged later: an assertion that fails ends the
 * thread of the test, which must not happen with a window open.
 */
#include <linux/cpumask.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/pratomic.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>
#include <asm/tsc.h>

#include "test_prmem.h"

bool prmem_test_reads(const void *addr)
{
	u8 val;

	return !copy_from_kernel_nofault(&val, addr, sizeof(val));
}

/* Could a plain store change this?  It is given the byte that is there. */
bool prmem_test_writes(const void *addr)
{
	u8 val = 0;

	copy_from_kernel_nofault(&val, addr, sizeof(val));
	return !copy_to_kernel_nofault((void *)addr, &val, sizeof(val));
}

/* Wait for another CPU, in whatever context, for ten seconds at most. */
bool prmem_test_wait(const int *flag)
{
	cycles_t start = get_cycles();

	do {
		/* Pairs with smp_store_release() of the one who is waited for. */
		if (smp_load_acquire(flag))
			return true;
		cpu_relax();
	} while (get_cycles() - start < 10000ULL * tsc_khz);

	return false;
}

void prmem_test_need_cpus(struct kunit *test)
{
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
}

void prmem_test_need_protection(struct kunit *test)
{
	if (prmem_unprotected)
		kunit_skip(test, "prmem=off protects nothing");
}

/* With migration off. */
int prmem_test_other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, smp_processor_id());
}

/* The same byte by its address in the direct map. */
void *prmem_test_direct(const void *p)
{
	struct page *page = is_vmalloc_addr(p) ? vmalloc_to_page(p) : virt_to_page(p);

	return page_address(page) + offset_in_page(p);
}

/* The same byte in the window. */
void *prmem_test_alias(const void *p)
{
	return prmem_rw(is_vmalloc_addr(p) ? prmem_test_direct(p) : p);
}

long prmem_test_refused(enum prmem_refusal why)
{
	return atomic_long_read(&prmem_stats.refused[why]);
}

long prmem_test_refused_all(void)
{
	long sum = 0;
	int i;

	for (i = 0; i < PRMEM_NR_REFUSALS; i++)
		sum += prmem_test_refused(i);

	return sum;
}

struct prmem_test_refusal prmem_test_before(struct kunit *test, enum prmem_refusal why)
{
	return (struct prmem_test_refusal) {
		.test = test,
		.why = why,
		.one = prmem_test_refused(why),
		.all = prmem_test_refused_all(),
	};
}

void prmem_test_after(const struct prmem_test_refusal *before, long error, long err,
		      const char *what)
{
	struct kunit *test = before->test;

	KUNIT_EXPECT_EQ_MSG(test, err, error, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, prmem_test_refused(before->why) - before->one, 1,
			    "%s as %d", what, before->why);
	KUNIT_EXPECT_EQ_MSG(test, prmem_test_refused_all() - before->all, 1, "%s", what);
}

/* Pages that somebody owns. */
long prmem_test_pages_used(void)
{
	long sum = 0;
	int i;

	guard(mutex)(&prmem_mutex);
	for (i = 0; i < PRMEM_NR_SLOTS; i++) {
		const struct prmem_block *b = &prmem_blocks[i];

		if (i != PRMEM_STATIC_SLOT && b->nr_pages)
			sum += b->nr_pages - b->nr_meta - atomic_read(&b->free);
	}

	return sum;
}

/* KUnit leaves skipped what has been skipped at boot, also when it is run again. */
int prmem_test_suite_init(struct kunit_suite *suite)
{
	struct kunit_case *c;

	kunit_suite_for_each_test_case(suite, c)
		c->status = KUNIT_SUCCESS;

	return 0;
}

struct wr_cache *prmem_test_cache(size_t size, size_t align)
{
	struct wr_cache *c = wr_cache_create("prmem_test", size, align, 0, 0);

	return IS_ERR(c) ? NULL : c;
}

static struct prmem_test_obj prmem_test_static __wr_after_init;

int prmem_test_init(struct kunit *test)
{
	struct prmem_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, x);
	test->priv = x;

	x->c = prmem_test_cache(sizeof(*x->obj), 8);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x->c);
	x->obj = (void *)wr_cache_zalloc(x->c, GFP_KERNEL);
	x->start = pmalloc_create_pool(PMALLOC_MODE_START_WR);
	x->pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x->start);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x->pool);

	x->target[0] = &prmem_test_static;
	x->target[1] = x->obj;
	x->target[2] = pmalloc(x->start, sizeof(*x->obj));
	x->target[3] = pmalloc(x->pool, sizeof(*x->obj));
	for (i = 0; i < TEST_TARGETS; i++)
		KUNIT_ASSERT_NOT_NULL(test, x->target[i]);
	KUNIT_ASSERT_EQ(test, pmalloc_protect_pool(x->pool), 0);
	KUNIT_ASSERT_EQ(test, wr_memset(&prmem_test_static, 0, sizeof(*x->obj)), 0);

	return 0;
}

void prmem_test_exit(struct kunit *test)
{
	struct prmem_test *x = test->priv;

	if (!x)
		return;
	if (x->obj)
		KUNIT_EXPECT_EQ(test, wr_cache_free(x->c, x->obj), 0);
	if (!IS_ERR_OR_NULL(x->c))
		KUNIT_EXPECT_EQ(test, wr_cache_destroy(x->c), 0);
	if (!IS_ERR_OR_NULL(x->start))
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(x->start), 0);
	if (!IS_ERR_OR_NULL(x->pool))
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(x->pool), 0);
}

/* The last case of each suite: nobody maps protected memory but as it should be. */
void prmem_test_walker_is_clean(struct kunit *test)
{
	struct prmem_check found;

	prmem_test_need_protection(test);
	KUNIT_EXPECT_EQ(test, prmem_check(&found), 0);
	KUNIT_EXPECT_GT(test, found.tables, 0);
	KUNIT_EXPECT_GT(test, found.leaves, 0);
	KUNIT_EXPECT_EQ(test, found.writable, 0);
	KUNIT_EXPECT_EQ(test, found.global, 0);
	KUNIT_EXPECT_EQ(test, found.user, 0);
	KUNIT_EXPECT_EQ(test, found.executable, 0);
}

/* An object, and what it should be. */
struct twin {
	struct prmem_test_obj *obj;
	struct prmem_test_obj shadow;
};

static void expect_twins(struct kunit *test, struct twin *t, int err, const char *what)
{
	KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", what);
	KUNIT_EXPECT_MEMEQ_MSG(test, t->obj, &t->shadow, sizeof(t->shadow), "%s", what);
}

/* The value lands, converted, and no byte beside it changes. */
#define expect_assign(test, pair, lvalue, value)			\
do {									\
	struct twin *__t = (pair);					\
	__auto_type __p = &(lvalue);					\
	__auto_type __v = (value);					\
									\
	*(typeof(__p))((void *)&__t->shadow + ((void *)__p - (void *)__t->obj)) = __v; \
	expect_twins(test, __t, wr_assign(*__p, __v), #lvalue " = " #value); \
} while (0)

static void prmem_test_assign_every_type(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int wide = 0x12345, i;
	struct twin t;

	/* More than a field has room for, and sparse would say so. */
	OPTIMIZER_HIDE_VAR(wide);
	for (i = 0; i < TEST_TARGETS; i++) {
		struct prmem_test_obj *obj = x->target[i];

		t.obj = obj;
		memset(&t.shadow, 0x5a, sizeof(t.shadow));
		KUNIT_EXPECT_EQ(test, wr_memcpy(obj, &t.shadow, sizeof(t.shadow)), 0);
		expect_assign(test, &t, obj->q, NEW);
		expect_assign(test, &t, obj->l, 0xcafe1234);
		expect_assign(test, &t, obj->w, 0xbeef);
		expect_assign(test, &t, obj->b, 0xa5);
		expect_assign(test, &t, obj->flag, true);
		expect_assign(test, &t, obj->ptr, (void *)test);
		expect_assign(test, &t, obj->state, TEST_GONE);
		expect_assign(test, &t, obj->number, -1);
		expect_assign(test, &t, obj->big, -1);
		/* As an assignment does it. */
		expect_assign(test, &t, obj->b, wide);
		expect_assign(test, &t, obj->w, wide);
		expect_assign(test, &t, obj->flag, wide);
		expect_assign(test, &t, obj->q, -wide);
		expect_assign(test, &t, obj->tail[1], wide);
		expect_assign(test, &t, obj->ptr, NULL);
	}
}

/* Every length up to 40 at every offset: these bytes, no others. */
static void prmem_test_copy_and_fill_every_length(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	unsigned int i, at, len, bad, n = 0;
	u8 shadow[64], src[40];

	for (i = 0; i < TEST_TARGETS; i++) {
		u8 *mem = (u8 *)x->target[i];

		memcpy(shadow, mem, sizeof(shadow));
		bad = 0;
		for (at = 0; at < 24; at++) {
			for (len = 0; len <= sizeof(src); len++) {
				memset(src, ++n, len);
				memcpy(shadow + at, src, len);
				if (wr_memcpy(mem + at, src, len) ||
				    memcmp(shadow, mem, sizeof(shadow)))
					bad++;
				memset(shadow + at, ~n, len);
				if (wr_memset(mem + at, ~n, len) ||
				    memcmp(shadow, mem, sizeof(shadow)))
					bad++;
			}
		}
		KUNIT_EXPECT_EQ_MSG(test, bad, 0, "target %d", i);
	}
}

#define LONG	(4 * PAGE_SIZE)

static u8 prmem_test_pages[LONG] __wr_after_init;

/* Around the border of two pages, and over several of them. */
static void long_write(struct kunit *test, u8 *mem, u8 *shadow, const char *what)
{
	unsigned int at, len, bad = 0, n = 0;
	u8 src[24];

	KUNIT_EXPECT_EQ_MSG(test, wr_memset(mem, 0, LONG), 0, "%s", what);
	memset(shadow, 0, 2 * LONG);
	for (at = PAGE_SIZE - 26; at < PAGE_SIZE + 3; at += 3) {
		for (len = 1; len <= sizeof(src); len += 2) {
			memset(src, ++n, len);
			memcpy(shadow + at, src, len);
			if (wr_memcpy(mem + at, src, len) || memcmp(shadow, mem, LONG))
				bad++;
		}
	}
	for (at = 0; at < LONG; at++)
		shadow[LONG + at] = shadow[at] + 1 + at / PAGE_SIZE;
	if (wr_memcpy(mem, shadow + LONG, LONG) || memcmp(mem, shadow + LONG, LONG))
		bad++;
	if (wr_memset(mem + 5, 0xa5, LONG - 10) || memchr_inv(mem + 5, 0xa5, LONG - 10))
		bad++;
	if (memcmp(mem, shadow + LONG, 5) || memcmp(mem + LONG - 5, shadow + 2 * LONG - 5, 5))
		bad++;
	KUNIT_EXPECT_EQ_MSG(test, bad, 0, "%s", what);
}

static void prmem_test_write_across_pages(struct kunit *test)
{
	u8 *shadow = kunit_kmalloc(test, 2 * LONG, GFP_KERNEL);
	struct prmem_test *x = test->priv;
	struct wr_cache *c;
	void *obj;

	KUNIT_ASSERT_NOT_NULL(test, shadow);
	long_write(test, prmem_test_pages, shadow, "static");

	c = prmem_test_cache(LONG, 8);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c);
	obj = (void *)wr_cache_alloc(c, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, obj);
	if (obj) {
		long_write(test, obj, shadow, "cache");
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, obj), 0);
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);

	obj = pmalloc(x->start, LONG);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	long_write(test, obj, shadow, "START_WR");

	obj = pmalloc(x->pool, LONG);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_ASSERT_EQ(test, pmalloc_protect_pool(x->pool), 0);
	long_write(test, obj, shadow, "WR");
}

/* .rodata is protected only once the kernel is up: run this again from debugfs. */
static void prmem_test_static_data_is_readonly(struct kunit *test)
{
	void *addr = &prmem_test_static;

	prmem_test_need_protection(test);
	if (system_state < SYSTEM_RUNNING)
		kunit_skip(test, ".rodata is not read-only before user space runs");

	KUNIT_EXPECT_FALSE(test, prmem_test_writes(addr));
	KUNIT_EXPECT_FALSE(test, prmem_test_writes(prmem_test_pages + PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, prmem_test_writes(__va(__pa_symbol(addr))));
	KUNIT_EXPECT_EQ(test, wr_assign(prmem_test_static.q, NEW), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(prmem_test_static.q), NEW);
	KUNIT_EXPECT_FALSE(test, prmem_test_writes(addr));
}

static void prmem_test_rcu_pointer(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	struct prmem_test_obj next = { .q = NEW };
	int i;

	for (i = 0; i < TEST_TARGETS; i++) {
		struct prmem_test_obj *obj = x->target[i];

		KUNIT_EXPECT_EQ(test, wr_rcu_assign_pointer(obj->rcu, &next), 0);
		rcu_read_lock();
		KUNIT_EXPECT_PTR_EQ(test, rcu_dereference(obj->rcu), &next);
		rcu_read_unlock();
		KUNIT_EXPECT_EQ(test, wr_rcu_assign_pointer(obj->rcu, NULL), 0);
		KUNIT_EXPECT_PTR_EQ(test, rcu_access_pointer(obj->rcu), NULL);
	}
}

static void prmem_test_named_cache(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	struct prmem_test_obj src = { .q = OLD, .b = 3, .number = -5, .tail = { 1, 2 } };

	KUNIT_EXPECT_EQ(test, wr_update(x->c, x->obj, &src), 0);
	KUNIT_EXPECT_MEMEQ(test, x->obj, &src, sizeof(src));
	KUNIT_EXPECT_EQ(test, wr_set_field(x->c, x->obj, b, 0x1ff & 0xff), 0);
	src.b = 0xff;
	KUNIT_EXPECT_EQ(test, wr_set_field(x->c, x->obj, state, TEST_BUSY), 0);
	src.state = TEST_BUSY;
	KUNIT_EXPECT_EQ(test, wr_set_field(x->c, x->obj, tail[1], -1), 0);
	src.tail[1] = -1;
	KUNIT_EXPECT_MEMEQ(test, x->obj, &src, sizeof(src));
}

#define expect_exchange(test, lvalue, first, second)			\
do {									\
	struct kunit *__test = (test);					\
	__auto_type __p = &(lvalue);					\
	typeof(*__p) __a = (first), __b = (second), __is;		\
									\
	KUNIT_EXPECT_EQ(__test, wr_assign(*__p, __a), 0);		\
	KUNIT_EXPECT_EQ(__test, wr_xchg(__p, __b, &__is), 0);		\
	KUNIT_EXPECT_TRUE(__test, __is == __a && *__p == __b);		\
	/* Not what is there: tells what is, changes nothing. */	\
	__is = __a;							\
	KUNIT_EXPECT_EQ(__test, wr_cmpxchg(__p, &__is, __a), 0);	\
	KUNIT_EXPECT_TRUE(__test, __is == __b && *__p == __b);		\
	KUNIT_EXPECT_EQ(__test, wr_cmpxchg(__p, &__is, __a), 1);	\
	KUNIT_EXPECT_TRUE(__test, __is == __b && *__p == __a);		\
} while (0)

static void prmem_test_exchange_every_type(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int i;

	for (i = 0; i < TEST_TARGETS; i++) {
		struct prmem_test_obj *obj = x->target[i];

		expect_exchange(test, obj->q, OLD, NEW);
		expect_exchange(test, obj->l, 0x80000001, 0x7ffffffe);
		expect_exchange(test, obj->w, 0x8001, 0x7ffe);
		expect_exchange(test, obj->b, 0x81, 0x7e);
		expect_exchange(test, obj->flag, true, false);
		expect_exchange(test, obj->ptr, (void *)test, (void *)obj);
		expect_exchange(test, obj->number, -1, 1);
		expect_exchange(test, obj->state, TEST_GONE, TEST_BUSY);
	}
}

static void expect_same(struct kunit *test, int err, long got, long want, const char *what)
{
	KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, got, want, "%s", what);
}

/* Each form does what its namesake does to an ordinary counter. */
#define expect_void(call, namesake)					\
do {									\
	int __err = (call);						\
									\
	(namesake);							\
	expect_same(test, __err, READ_ONCE(v->counter), shadow.counter, #call); \
} while (0)

#define expect_result(call, namesake)					\
do {									\
	int __err;							\
									\
	got = 12345;							\
	__err = (call);							\
	expect_same(test, __err, got, (namesake), #call);		\
	expect_same(test, __err, READ_ONCE(v->counter), shadow.counter, #call); \
} while (0)

#define DEFINE_COUNTER_TEST(type, atomic)				\
static void test_##atomic(struct kunit *test, void *mem, type start, type i) \
{									\
	atomic##_t shadow = { start }, *v = mem;			\
	type got;							\
									\
	KUNIT_EXPECT_EQ(test, pratomic_set(v, start), 0);		\
	expect_void(pratomic_add(i, v), atomic##_add(i, &shadow));	\
	expect_void(pratomic_sub(i, v), atomic##_sub(i, &shadow));	\
	expect_void(pratomic_or(i, v), atomic##_or(i, &shadow));	\
	expect_void(pratomic_and(~i, v), atomic##_and(~i, &shadow));	\
	expect_void(pratomic_inc(v), atomic##_inc(&shadow));		\
	expect_void(pratomic_dec(v), atomic##_dec(&shadow));		\
	expect_result(pratomic_fetch_add(i, v, &got), atomic##_fetch_add(i, &shadow)); \
	expect_result(pratomic_fetch_sub(i, v, &got), atomic##_fetch_sub(i, &shadow)); \
	expect_result(pratomic_fetch_or(i, v, &got), atomic##_fetch_or(i, &shadow)); \
	expect_result(pratomic_fetch_and(~i, v, &got), atomic##_fetch_and(~i, &shadow)); \
	expect_result(pratomic_fetch_inc(v, &got), atomic##_fetch_inc(&shadow)); \
	expect_result(pratomic_fetch_dec(v, &got), atomic##_fetch_dec(&shadow)); \
	expect_result(pratomic_add_return(i, v, &got), atomic##_add_return(i, &shadow)); \
	expect_result(pratomic_sub_return(i, v, &got), atomic##_sub_return(i, &shadow)); \
	expect_result(pratomic_inc_return(v, &got), atomic##_inc_return(&shadow)); \
	expect_result(pratomic_dec_return(v, &got), atomic##_dec_return(&shadow)); \
}

DEFINE_COUNTER_TEST(int, atomic)
DEFINE_COUNTER_TEST(long, atomic_long)
DEFINE_COUNTER_TEST(s64, atomic64)

struct prmem_test_counters {
	atomic_t a;
	atomic_long_t l;
	atomic64_t w;
};

static struct prmem_test_counters prmem_test_counters __wr_after_init;

static void prmem_test_atomic_every_form(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	int i;

	for (i = 0; i < TEST_TARGETS; i++) {
		struct prmem_test_counters *n = (void *)x->target[i];

		if (!i)
			n = &prmem_test_counters;
		test_atomic(test, &n->a, 5, 7);
		test_atomic(test, &n->a, INT_MAX, 0x10001);
		test_atomic(test, &n->a, INT_MIN, -3);
		test_atomic_long(test, &n->l, 5, 7);
		test_atomic_long(test, &n->l, LONG_MAX, 0x100000001L);
		test_atomic_long(test, &n->l, INT_MAX, 0x80000000L);
		test_atomic_long(test, &n->l, LONG_MIN, -3);
		test_atomic64(test, &n->w, S64_MIN + 3, 0x123456789LL);
		test_atomic64(test, &n->w, -1, 200);
	}
}

/* An operand of another type becomes the type of the counter before all else. */
static void prmem_test_atomic_converts(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	atomic_long_t *v = (void *)x->obj, shadow = ATOMIC_LONG_INIT(100);
	int least = INT_MIN;
	long got;

	KUNIT_EXPECT_EQ(test, pratomic_set(v, 100), 0);
	expect_void(pratomic_add(7U, v), atomic_long_add(7U, &shadow));
	expect_void(pratomic_sub(7U, v), atomic_long_sub(7U, &shadow));
	expect_result(pratomic_fetch_sub(7U, v, &got), atomic_long_fetch_sub(7U, &shadow));
	expect_result(pratomic_sub_return(7U, v, &got), atomic_long_sub_return(7U, &shadow));
	expect_void(pratomic_sub(least, v), atomic_long_sub(least, &shadow));
	expect_void(pratomic_and(~0U, v), atomic_long_and(~0U, &shadow));
}

/* Interrupts are off inside, and afterwards as they were. */
static void prmem_test_batch(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	bool inside[2], after[2];
	unsigned long flags;
	int err, i;

	for (i = 0; i < TEST_TARGETS; i++) {
		struct prmem_test_obj *obj = x->target[i];

		err = wr_begin();
		inside[0] = irqs_disabled();
		err |= wr_assign(obj->q, OLD);
		err |= wr_memset(obj->tail, 0xff, sizeof(obj->tail));
		err |= wr_assign(obj->b, 1);
		wr_end();
		after[0] = irqs_disabled();

		local_irq_save(flags);
		err |= wr_begin();
		err |= wr_assign(obj->l, 2);
		wr_end();
		after[1] = irqs_disabled();
		local_irq_restore(flags);
		inside[1] = irqs_disabled();

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_TRUE(test, inside[0]);
		KUNIT_EXPECT_FALSE(test, after[0]);
		KUNIT_EXPECT_TRUE(test, after[1]);
		KUNIT_EXPECT_FALSE(test, inside[1]);
		KUNIT_EXPECT_EQ(test, obj->q, OLD);
		KUNIT_EXPECT_EQ(test, obj->tail[1], ~0ULL);
		KUNIT_EXPECT_EQ(test, obj->b, 1);
		KUNIT_EXPECT_EQ(test, obj->l, 2);
	}
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
}

static void prmem_test_batches_nest(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	bool outer, after;
	int err;

	err = wr_begin();
	err |= wr_assign(x->obj->q, 1);
	err |= wr_begin();
	err |= wr_assign(x->obj->l, 2);
	wr_end();
	outer = irqs_disabled();
	err |= wr_assign(x->obj->w, 3);
	wr_end();
	after = irqs_disabled();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, outer);
	KUNIT_EXPECT_FALSE(test, after);
	KUNIT_EXPECT_EQ(test, x->obj->q, 1);
	KUNIT_EXPECT_EQ(test, x->obj->l, 2);
	KUNIT_EXPECT_EQ(test, x->obj->w, 3);

	/* One end too many. */
	prmem_expect_refused(test, PRMEM_NO_BATCH, 0, ({ wr_end(); 0; }));
	prmem_expect_refused(test, PRMEM_NO_BATCH, 0, ({ wr_relax(); 0; }));
	local_irq_disable();
	prmem_expect_refused(test, PRMEM_NO_BATCH, 0, ({ wr_end(); 0; }));
	local_irq_enable();
}

static int guarded(struct prmem_test_obj *obj, int leave)
{
	int err = 0;

	scoped_cond_guard(wr_batch, return -EPERM) {
		err = wr_assign(obj->q, 10);
		if (leave)
			return irqs_disabled() ? leave : -EINVAL;
		err |= wr_assign(obj->l, 11);
	}

	return err;
}

/* What is attached to a function that a single write calls begins a batch. */
static void prmem_test_batch_in_write(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	struct prmem_window w;
	int err[3], off;

	KUNIT_ASSERT_EQ(test, prmem_open(&w), 0);
	err[0] = wr_begin();
	err[1] = PTR_ERR_OR_ZERO(wr_edit(x->c, x->obj));
	off = irqs_disabled();
	err[2] = wr_assign(x->obj->q, 5);
	prmem_close(&w);

	KUNIT_EXPECT_EQ(test, err[0], -EPERM);
	KUNIT_EXPECT_EQ(test, err[1], -EPERM);
	KUNIT_EXPECT_TRUE(test, off);
	KUNIT_EXPECT_EQ(test, err[2], 0);
	KUNIT_EXPECT_EQ(test, x->obj->q, 5);
	KUNIT_EXPECT_FALSE(test, irqs_disabled());
	KUNIT_EXPECT_EQ(test, wr_begin(), 0);
	wr_end();
}

static void prmem_test_batch_guard(struct kunit *test)
{
	struct prmem_test *x = test->priv;

	KUNIT_EXPECT_EQ(test, guarded(x->obj, 0), 0);
	KUNIT_EXPECT_FALSE(test, irqs_disabled());
	KUNIT_EXPECT_EQ(test, x->obj->q, 10);
	KUNIT_EXPECT_EQ(test, x->obj->l, 11);
	KUNIT_EXPECT_EQ(test, wr_assign(x->obj->q, 0), 0);
	KUNIT_EXPECT_EQ(test, guarded(x->obj, 5), 5);
	KUNIT_EXPECT_FALSE(test, irqs_disabled());
	KUNIT_EXPECT_EQ(test, x->obj->q, 10);
}

static struct prmem_test_obj *irq_obj;
static int irq_ran, irq_err;

static void irq_writes(struct irq_work *work)
{
	irq_err |= wr_begin();
	irq_err |= wr_assign(irq_obj->number, ++irq_ran);
	wr_end();
	irq_err |= wr_assign(irq_obj->big, irq_ran);
}

static long relaxed(void)
{
	return atomic_long_read(&prmem_stats.relaxed);
}

static long too_long(void)
{
	return atomic_long_read(&prmem_stats.too_long);
}

/* A batch lets an interrupt in that has a batch itself, when it says so. */
static void prmem_test_batch_is_bounded(struct kunit *test)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(irq_writes);
	int err, early, late, held, i, wrong = 0;
	struct prmem_test *x = test->priv;
	struct prmem_test_obj *edit;
	long n, ops, bytes, kept;
	unsigned long flags;

	irq_obj = x->obj;
	irq_ran = 0;
	irq_err = 0;

	n = relaxed();
	kept = too_long();
	err = wr_begin();
	irq_work_queue(&work);
	for (i = 0; i < WR_BATCH_OPS; i++)
		err |= wr_assign(x->target[2]->q, i);
	early = READ_ONCE(irq_ran);
	for (; i < 4 * WR_BATCH_OPS; i++) {
		if (i % WR_BATCH_OPS == 0)
			wr_relax();
		err |= wr_assign(x->target[2]->q, i);
		wrong += READ_ONCE(x->target[2]->q) != i || !irqs_disabled();
	}
	late = READ_ONCE(irq_ran);
	/* Not where somebody has not been asked. */
	err |= wr_begin();
	wr_relax();
	wr_end();
	edit = wr_edit(x->c, x->obj);
	wr_relax();
	if (!IS_ERR(edit)) {
		wr_put(edit, q, OLD);
		wr_end();
	}
	wr_end();
	/* Nor where somebody has an address in the window, with no other batch around. */
	edit = wr_edit(x->c, x->obj);
	wr_relax();
	if (!IS_ERR(edit)) {
		wr_put(edit, q, OLD);
		wr_end();
	}
	ops = relaxed() - n;
	KUNIT_EXPECT_EQ(test, too_long(), kept);
	KUNIT_EXPECT_EQ(test, x->obj->q, OLD);

	/* One that does not say so is counted, once. */
	n = relaxed();
	err |= wr_memset(prmem_test_pages, 1, sizeof(prmem_test_pages));
	KUNIT_EXPECT_EQ(test, too_long(), kept);
	err |= wr_begin();
	for (i = 0; i < 4; i++)
		err |= wr_memset(prmem_test_pages, i, sizeof(prmem_test_pages));
	wr_end();
	bytes = relaxed() - n;
	KUNIT_EXPECT_EQ(test, too_long(), kept + 1);

	/* Who had them off before does not get interrupts. */
	local_irq_save(flags);
	err |= wr_begin();
	irq_work_queue(&work);
	for (i = 0; i < WR_BATCH_OPS; i++)
		err |= wr_assign(x->target[2]->q, i);
	wr_relax();
	wr_end();
	held = READ_ONCE(irq_ran);
	kept = irqs_disabled();
	local_irq_restore(flags);
	irq_work_sync(&work);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, irq_err, 0);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, early, 0);
	KUNIT_EXPECT_EQ(test, late, 1);
	KUNIT_EXPECT_EQ(test, ops, 3);
	KUNIT_EXPECT_EQ(test, bytes, 0);
	KUNIT_EXPECT_EQ(test, held, 1);
	KUNIT_EXPECT_TRUE(test, kept);
	KUNIT_EXPECT_EQ(test, irq_ran, 2);
	KUNIT_EXPECT_EQ(test, x->obj->number, 2);
	KUNIT_EXPECT_EQ(test, x->obj->big, 2);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	KUNIT_EXPECT_FALSE(test, irqs_disabled());
}

static DEFINE_RAW_SPINLOCK(batch_lock);
static int batch_locked;

static void irq_takes_lock(struct irq_work *work)
{
	irq_ran++;
	if (raw_spin_trylock(&batch_lock))
		raw_spin_unlock(&batch_lock);
	else
		batch_locked++;
}

/* A lock that is taken in a batch, and by a handler: that never finds it taken here. */
static void prmem_test_batch_lock_inside(struct kunit *test)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(irq_takes_lock);
	struct prmem_test *x = test->priv;
	int err, inside, on = 0, i;

	irq_ran = 0;
	batch_locked = 0;
	err = wr_begin();
	raw_spin_lock(&batch_lock);
	irq_work_queue(&work);
	for (i = 0; i < 4 * WR_BATCH_OPS; i++) {
		err |= wr_assign(x->target[2]->q, i);
		on += !irqs_disabled();
	}
	for (i = 0; i < 4; i++)
		err |= wr_memset(prmem_test_pages, i, sizeof(prmem_test_pages));
	inside = READ_ONCE(irq_ran);
	raw_spin_unlock(&batch_lock);
	wr_end();
	irq_work_sync(&work);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, inside, 0);
	KUNIT_EXPECT_EQ(test, on, 0);
	KUNIT_EXPECT_EQ(test, batch_locked, 0);
	KUNIT_EXPECT_EQ(test, irq_ran, 1);
}

/* Who has turned interrupts on in a batch is told, but has no window afterwards. */
static void prmem_test_batch_irqs_on(struct kunit *test)
{
	struct prmem_test *x = test->priv;
	void *alias = prmem_test_alias(x->obj);
	bool open, off;
	long refused;
	int err, k;

	for (k = 0; k < 2; k++) {
		unsigned long flags = 0;

		refused = prmem_test_refused(PRMEM_IRQS_ON);
		if (k)
			local_irq_save(flags);
		err = wr_begin();
		err |= wr_assign(x->obj->q, k);
		local_irq_enable();
		wr_end();
		off = irqs_disabled();
		open = prmem_test_reads(alias);
		if (k)
			local_irq_restore(flags);
		refused = prmem_test_refused(PRMEM_IRQS_ON) - refused;

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_FALSE(test, open);
		KUNIT_EXPECT_EQ(test, off, k);
		KUNIT_EXPECT_EQ(test, refused, 1);
		KUNIT_EXPECT_FALSE(test, irqs_disabled());
		KUNIT_EXPECT_EQ(test, preempt_count(), 0);
	}
}

/* Hard and soft interrupts write, while a task does in each way. */
static void softirq_writes(struct tasklet_struct *tasklet)
{
	irq_writes(NULL);
}

static void prmem_test_contexts(struct kunit *test)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(irq_writes);
	struct prmem_test *x = test->priv;
	struct tasklet_struct tasklet;
	int i, err = 0;

	irq_obj = x->obj;
	irq_ran = 0;
	irq_err = 0;
	tasklet_setup(&tasklet, softirq_writes);
	for (i = 0; i < 200; i++) {
		unsigned long flags;

		local_irq_save(flags);
		irq_work_queue(&work);
		tasklet_schedule(&tasklet);
		err |= wr_assign(x->target[0]->q, i);
		local_irq_restore(flags);
		err |= wr_memset(x->target[2], i, 32);
		irq_work_sync(&work);
	}
	tasklet_kill(&tasklet);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, irq_err, 0);
	KUNIT_EXPECT_GT(test, irq_ran, 200);
	KUNIT_EXPECT_GE(test, x->obj->big, 1);
	KUNIT_EXPECT_LE(test, x->obj->big, irq_ran);
	KUNIT_EXPECT_EQ(test, x->target[0]->q, 199);
}

static struct kunit_case prmem_cases[] = {
	KUNIT_CASE(prmem_test_assign_every_type),
	KUNIT_CASE(prmem_test_copy_and_fill_every_length),
	KUNIT_CASE(prmem_test_write_across_pages),
	KUNIT_CASE(prmem_test_static_data_is_readonly),
	KUNIT_CASE(prmem_test_rcu_pointer),
	KUNIT_CASE(prmem_test_named_cache),
	KUNIT_CASE(prmem_test_exchange_every_type),
	KUNIT_CASE(prmem_test_atomic_every_form),
	KUNIT_CASE(prmem_test_atomic_converts),
	KUNIT_CASE(prmem_test_batch),
	KUNIT_CASE(prmem_test_batch_in_write),
	KUNIT_CASE(prmem_test_batches_nest),
	KUNIT_CASE(prmem_test_batch_guard),
	KUNIT_CASE(prmem_test_batch_is_bounded),
	KUNIT_CASE(prmem_test_batch_lock_inside),
	KUNIT_CASE(prmem_test_batch_irqs_on),
	KUNIT_CASE(prmem_test_contexts),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_suite = {
	.name = "prmem",
	.suite_init = prmem_test_suite_init,
	.init = prmem_test_init,
	.exit = prmem_test_exit,
	.test_cases = prmem_cases,
};

kunit_test_suite(prmem_suite);
