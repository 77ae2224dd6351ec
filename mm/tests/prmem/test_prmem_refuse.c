// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: refuse, don't guess.  Each refusal has its
 * error and its counter, and changes no byte.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/overflow.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/slab.h>
#include <linux/temp_mm.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>
#include <asm/temp_mm.h>

#include "test_prmem.h"

#define NR_OBJS		3

/* Three objects in a row, and nobody may change any of them. */
struct refuse_test {
	struct wr_cache *c, *other;
	struct prmem_test_obj *obj[NR_OBJS], before[NR_OBJS];
};

static struct prmem_test_obj prmem_test_static __wr_after_init;
static const u64 prmem_test_const = OLD;

/* What has been sealed stays for ever, so it is of a cache that does. */
static DEFINE_WR_CACHE(prmem_test_seals, struct prmem_test_obj);

static int refuse_init(struct kunit *test)
{
	struct refuse_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, x);
	test->priv = x;
	x->c = prmem_test_cache(sizeof(*x->obj[0]), 8);
	x->other = prmem_test_cache(sizeof(*x->obj[0]), 8);
	KUNIT_ASSERT_NOT_NULL(test, x->c);
	KUNIT_ASSERT_NOT_NULL(test, x->other);
	for (i = 0; i < NR_OBJS; i++) {
		x->obj[i] = (void *)wr_cache_alloc(x->c, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, x->obj[i]);
		memset(&x->before[i], 0x51 + i, sizeof(x->before[i]));
		KUNIT_ASSERT_EQ(test, wr_update(x->c, x->obj[i], &x->before[i]), 0);
	}

	return 0;
}

static void expect_unchanged(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	int i;

	for (i = 0; i < NR_OBJS; i++)
		KUNIT_EXPECT_MEMEQ(test, x->obj[i], &x->before[i], sizeof(x->before[i]));
}

static void refuse_exit(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	int i;

	if (!x)
		return;
	for (i = 0; i < NR_OBJS; i++) {
		if (x->obj[i])
			KUNIT_EXPECT_EQ(test, wr_cache_free(x->c, x->obj[i]), 0);
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(x->c), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(x->other), 0);
}

/* Every way to write to @obj is refused, and nothing happens to it. */
static void expect_no_mutator(struct kunit *test, struct prmem_test_obj *obj,
			      enum prmem_refusal why, int error, bool readable)
{
	struct prmem_test_obj before = {}, old = { .q = 77, .l = 77 };
	struct list_head *list = (struct list_head *)obj->tail;
	atomic_long_t *l = (atomic_long_t *)&obj->big;
	atomic_t *a = (atomic_t *)&obj->number;
	LIST_HEAD(head);
	long wide = 77;
	int word = 77;

	if (readable)
		memcpy(&before, obj, sizeof(before));

	prmem_expect_refused(test, why, error, wr_assign(obj->q, 1));
	prmem_expect_refused(test, why, error, wr_assign(obj->l, 1));
	prmem_expect_refused(test, why, error, wr_assign(obj->w, 1));
	prmem_expect_refused(test, why, error, wr_assign(obj->b, 1));
	prmem_expect_refused(test, why, error, wr_assign(obj->ptr, NULL));
	prmem_expect_refused(test, why, error, wr_rcu_assign_pointer(obj->rcu, NULL));
	prmem_expect_refused(test, why, error, wr_memcpy(obj, &old, sizeof(old)));
	prmem_expect_refused(test, why, error, wr_memcpy(&obj->b, &old, 1));
	prmem_expect_refused(test, why, error, wr_memset(obj, 0, sizeof(*obj)));
	prmem_expect_refused(test, why, error, wr_memset(&obj->b, 0, 1));
	prmem_expect_refused(test, why, error, wr_xchg(&obj->q, 1, &old.q));
	prmem_expect_refused(test, why, error, wr_xchg(&obj->b, 1, &old.b));
	prmem_expect_refused(test, why, error, wr_cmpxchg(&obj->l, &old.l, 1));
	prmem_expect_refused(test, why, error, pratomic_inc(a));
	prmem_expect_refused(test, why, error, pratomic_set(a, 0));
	prmem_expect_refused(test, why, error, pratomic_fetch_or(1, a, &word));
	prmem_expect_refused(test, why, error, pratomic_sub_return(1, a, &word));
	prmem_expect_refused(test, why, error, pratomic_and(1, l));
	prmem_expect_refused(test, why, error, pratomic_dec_return(l, &wide));
	prmem_expect_refused(test, why, error, pratomic_fetch_add(1, l, &wide));
	/* Links may be in ordinary memory, and in a pool that is still open. */
	if (why != PRMEM_BAD_ADDRESS && why != PRMEM_OPEN) {
		prmem_expect_refused(test, why, error, prlist_init(list));
		prmem_expect_refused(test, why, error, prlist_add(list, &head));
		prmem_expect_refused(test, why, error, prlist_add_tail(list, &head));
	}

	if (readable)
		KUNIT_EXPECT_MEMEQ(test, obj, &before, sizeof(before));
	/* Nor is there a result of what has not been done. */
	KUNIT_EXPECT_EQ(test, old.q, 77);
	KUNIT_EXPECT_EQ(test, old.l, 77);
	KUNIT_EXPECT_EQ(test, old.b, 0);
	KUNIT_EXPECT_EQ(test, word, 77);
	KUNIT_EXPECT_EQ(test, wide, 77);
	KUNIT_EXPECT_TRUE(test, list_empty(&head));
}

static void prmem_test_refuse_null(struct kunit *test)
{
	expect_no_mutator(test, NULL, PRMEM_BAD_ADDRESS, -EFAULT, false);
}

/* The object is what it is about; ranges of any length, also those that overflow. */
static void prmem_test_refuse_range(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	const size_t size = sizeof(*x->obj[1]);
	u8 *mem = (u8 *)x->obj[1], *src = kunit_kzalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	const struct {
		size_t at, n;
	} bad[] = {
		{ 0, size + 1 }, { 1, size }, { size - 1, 2 }, { 8, size - 7 },
		{ 0, 2 * size }, { 0, PAGE_SIZE }, { 63, PAGE_SIZE }, { 32, 2 * PAGE_SIZE },
	}, huge[] = {
		{ 0, SIZE_MAX }, { 1, SIZE_MAX }, { 8, SIZE_MAX - 7 }, { 63, SIZE_MAX - 62 },
		{ 0, SIZE_MAX / 2 + 1 }, { 0, 1UL << 32 }, { 4, (1UL << 32) + 4 },
		{ 0, -(size_t)mem }, { 8, -(size_t)mem - 8 }, { 0, -(size_t)mem + 1 },
	};
	int i;

	KUNIT_ASSERT_NOT_NULL(test, src);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     wr_memcpy(mem + bad[i].at, src, bad[i].n));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     wr_memset(mem + bad[i].at, 0, bad[i].n));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     __wr_copy(x->c, mem + bad[i].at, src, bad[i].n));
	}
	for (i = 0; i < ARRAY_SIZE(huge); i++) {
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     wr_memset(mem + huge[i].at, 0, huge[i].n));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     wr_memcpy(mem + huge[i].at, src, huge[i].n));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     __wr_copy(x->c, mem + huge[i].at, src, huge[i].n));
	}
	expect_unchanged(test);

	/* All of it is no mistake. */
	KUNIT_EXPECT_EQ(test, wr_memcpy(mem, &x->before[1], size), 0);
	KUNIT_EXPECT_EQ(test, wr_memset(mem, 0x52, size), 0);
	KUNIT_EXPECT_EQ(test, wr_memset(mem + size, 0, 0), 0);
	expect_unchanged(test);
}

/* An object that is smaller than its slot has the size that its user has said. */
static void prmem_test_refuse_padding(struct kunit *test)
{
	struct wr_cache *c = prmem_test_cache(100, 4);
	u8 *mem, src[104] = {};

	KUNIT_ASSERT_NOT_NULL(test, c);
	mem = (void *)wr_cache_zalloc(c, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, mem);
	if (mem) {
		KUNIT_EXPECT_EQ(test, wr_memcpy(mem, src, 100), 0);
		KUNIT_EXPECT_EQ(test, wr_assign(*(u32 *)(mem + 96), 1), 0);
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_memcpy(mem, src, 101));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_memset(mem + 100, 1, 1));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
				     wr_assign(*(u64 *)(mem + 96), 1));
		prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_assign(mem[100], 1));
		KUNIT_EXPECT_EQ(test, mem[100], 0);
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, mem), 0);
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
}

/* The ends of the section, and one variable is not told from the next. */
static void prmem_test_refuse_past_static(struct kunit *test)
{
	u8 *end = (u8 *)__end_wr_after_init, *start = (u8 *)__start_wr_after_init;
	u64 last = *(u64 *)(end - 8), src = 0;
	int err;

	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_memset(end - 4, 0, 8));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_memcpy(end - 1, &src, 2));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_memset(end - 4, 0, SIZE_MAX));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
			     wr_memset(end - 4, 0, SIZE_MAX - (size_t)end + 5));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_memset(end, 0, 1));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_assign(*end, 0));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_assign(*(start - 1), 0));
	err = wr_memcpy(start - 1, &src, 8);
	KUNIT_EXPECT_LT(test, err, 0);
	KUNIT_EXPECT_EQ(test, *(u64 *)(end - 8), last);
	/* kstrdup_const() makes a copy of what is there. */
	KUNIT_EXPECT_FALSE(test, is_kernel_rodata((unsigned long)&prmem_test_static));

	/* The section is no cache, and its address in the direct map is not its. */
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
			     wr_set_field(&prmem_test_seals, &prmem_test_static, q, 1));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT,
			     wr_assign(*(u64 *)__va(__pa_symbol(&prmem_test_static)), 1));
	KUNIT_EXPECT_EQ(test, READ_ONCE(prmem_test_static.q), 0);
}

/* Metadata is protected too, but not the caller's: neither caches nor page owners. */
static void prmem_test_refuse_metadata(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	struct wr_cache c = *x->c;
	struct prmem_page *page, copy;
	void *alias;

	rcu_read_lock();
	page = prmem_find(x->obj[0], &alias);
	rcu_read_unlock();
	KUNIT_ASSERT_NOT_NULL(test, page);
	copy = *page;

	expect_no_mutator(test, (void *)page, PRMEM_BAD_ADDRESS, -EFAULT, true);
	KUNIT_EXPECT_LT(test, wr_assign(x->c->size, 1 << 20), 0);
	KUNIT_EXPECT_LT(test, wr_memset(x->c, 0, sizeof(c)), 0);
	KUNIT_EXPECT_LT(test, wr_assign(prmem_test_seals.size, 1 << 20), 0);
	KUNIT_EXPECT_LT(test, wr_memset(prmem_blocks, 0, sizeof(prmem_blocks[0])), 0);
	KUNIT_EXPECT_LT(test, wr_assign(prmem_blocks[1].nr_pages, 0), 0);
	KUNIT_EXPECT_MEMEQ(test, x->c, &c, sizeof(c));
	KUNIT_EXPECT_MEMEQ(test, page, &copy, sizeof(copy));
	KUNIT_EXPECT_EQ(test, prmem_test_seals.size, sizeof(struct prmem_test_obj));
}

static void prmem_test_refuse_misaligned(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	u8 *mem = (u8 *)x->obj[1];
	u64 old = 77;
	u32 old4 = 77;
	u16 old2 = 77;
	int i, val;

	for (i = 1; i < 8; i++) {
		prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
				     wr_assign(*(u64 *)(mem + i), 1));
		prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
				     wr_xchg((u64 *)(mem + i), 1, &old));
		prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
				     pratomic_inc((atomic_long_t *)(mem + i)));
		if (i % 4) {
			prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
					     wr_assign(*(u32 *)(mem + i), 1));
			prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
					     wr_cmpxchg((u32 *)(mem + i), &old4, 1));
			prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
					     pratomic_fetch_inc((atomic_t *)(mem + i), &val));
		}
		if (i % 2) {
			prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
					     wr_assign(*(u16 *)(mem + i), 1));
			prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
					     wr_xchg((u16 *)(mem + i), 1, &old2));
		}
	}
	prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL,
			     prlist_init((struct list_head *)(mem + 4)));
	/* Widths that there are not. */
	prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL, __wr_store(NULL, mem, 1, 3));
	prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL, __wr_store(NULL, mem, 1, 0));
	prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL, __wr_store(NULL, mem, 1, 16));
	prmem_expect_refused(test, PRMEM_BAD_ALIGN, -EINVAL, __wr_store(NULL, mem, 1, SIZE_MAX));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL, __wr_rmw(mem, 2, WR_ADD, 1, &old));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL, __wr_rmw(mem, 8, WR_OR + 1, 1, &old));
	KUNIT_EXPECT_EQ(test, old, 77);
	expect_unchanged(test);
}

/* What is no protected memory, of each kind that there is. */
static void prmem_test_refuse_address(struct kunit *test)
{
	struct prmem_test_obj *obj, stack = {};
	unsigned long user;
	void *vmem;

	expect_no_mutator(test, &stack, PRMEM_BAD_ADDRESS, -EFAULT, true);
	obj = kunit_kzalloc(test, sizeof(*obj), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	expect_no_mutator(test, obj, PRMEM_BAD_ADDRESS, -EFAULT, true);

	vmem = vmalloc(PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, vmem);
	memset(vmem, 0x33, PAGE_SIZE);
	expect_no_mutator(test, vmem, PRMEM_BAD_ADDRESS, -EFAULT, true);
	vfree(vmem);
	/* Nothing there now. */
	expect_no_mutator(test, vmem, PRMEM_BAD_ADDRESS, -EFAULT, false);

	user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	KUNIT_ASSERT_EQ(test, copy_to_user((void __user *)user, &stack, sizeof(stack)), 0);
	expect_no_mutator(test, (void *)user, PRMEM_BAD_ADDRESS, -EFAULT, false);

	expect_no_mutator(test, (void *)ALIGN((unsigned long)_text, 8), PRMEM_BAD_ADDRESS,
			  -EFAULT, true);
	expect_no_mutator(test, (void *)-64L, PRMEM_BAD_ADDRESS, -EFAULT, false);
	expect_no_mutator(test, (void *)prmem_base, PRMEM_BAD_ADDRESS, -EFAULT, false);
	expect_no_mutator(test, (void *)(1UL << 62), PRMEM_BAD_ADDRESS, -EFAULT, false);
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT,
			     wr_assign(*(u64 *)&prmem_test_const, 1));
	KUNIT_EXPECT_EQ(test, READ_ONCE(prmem_test_const), OLD);
}

static void prmem_test_refuse_alias(struct kunit *test)
{
	struct refuse_test *x = test->priv;

	expect_no_mutator(test, prmem_test_alias(x->obj[1]), PRMEM_BAD_ADDRESS, -EFAULT, false);
	expect_unchanged(test);
}

static void prmem_test_refuse_source(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	void *mem = x->obj[1], *vmem, *bad[6];
	unsigned long user;
	int i, n;

	user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	/* There, and without SMAP readable. */
	KUNIT_ASSERT_EQ(test, clear_user((void __user *)user, PAGE_SIZE), 0);
	vmem = vmalloc(PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, vmem);
	memset(vmem, 0, PAGE_SIZE);

	bad[0] = NULL;
	bad[1] = (void *)user;
	bad[2] = (void *)-1L;
	bad[3] = vmem + PAGE_SIZE;
	bad[4] = prmem_test_alias(x->obj[0]);
	bad[5] = (void *)(1UL << 62);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (n = 1; n <= sizeof(*x->obj[1]); n += 9) {
			prmem_expect_refused(test, PRMEM_BAD_SOURCE, -EFAULT,
					     wr_memcpy(mem, bad[i], n));
			prmem_expect_refused(test, PRMEM_BAD_SOURCE, -EFAULT,
					     __wr_copy(x->c, mem, bad[i], n));
		}
		prmem_expect_refused(test, PRMEM_BAD_SOURCE, -EFAULT,
				     wr_update(x->c, x->obj[1], (struct prmem_test_obj *)bad[i]));
		prmem_expect_refused(test, PRMEM_BAD_SOURCE, -EFAULT,
				     wr_memcpy(&prmem_test_static, bad[i], 8));
	}
	/* Only the end is missing: no byte of the start gets copied. */
	prmem_expect_refused(test, PRMEM_BAD_SOURCE, -EFAULT,
			     wr_memcpy(mem, vmem + PAGE_SIZE - 1, 2));
	prmem_expect_refused(test, PRMEM_BAD_SOURCE, -EFAULT,
			     wr_memcpy(mem, vmem + PAGE_SIZE - 32, 64));
	vfree(vmem);
	expect_unchanged(test);
	KUNIT_EXPECT_EQ(test, prmem_test_static.q, 0);

	/* Protected memory is as good a source as any. */
	KUNIT_EXPECT_EQ(test, wr_update(x->c, x->obj[1], x->obj[0]), 0);
	KUNIT_EXPECT_MEMEQ(test, x->obj[1], x->obj[0], sizeof(x->before[0]));
}

static void prmem_test_refuse_wrong_cache(struct kunit *test)
{
	struct prmem_test_obj *obj, src = {}, stack = {};
	struct refuse_test *x = test->priv;
	struct pmalloc_pool *pool;

	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
			     wr_set_field(x->other, x->obj[1], q, 1));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
			     wr_set_field(x->other, x->obj[1], b, 1));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM, wr_update(x->other, x->obj[1], &src));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM, wr_cache_free(x->other, x->obj[1]));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
			     wr_cache_free_rcu(x->other, x->obj[1]));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM, wr_cache_seal(x->other, x->obj[1]));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
			     wr_set_field(x->c, &prmem_test_static, q, 1));
	prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
			     wr_update(x->c, &prmem_test_static, &src));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_set_field(x->c, &stack, q, 1));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_cache_free(x->c, &stack));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_cache_seal(x->c, &stack));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT, wr_cache_seal(x->c, NULL));

	/* A pool is no cache. */
	pool = pmalloc_create_pool(PMALLOC_MODE_START_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	obj = pmalloc(pool, sizeof(*obj));
	KUNIT_EXPECT_NOT_NULL(test, obj);
	if (obj) {
		prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM,
				     wr_set_field(x->c, obj, q, 1));
		prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM, wr_update(x->c, obj, &src));
		prmem_expect_refused(test, PRMEM_WRONG_CACHE, -EPERM, wr_cache_free(x->c, obj));
		KUNIT_EXPECT_EQ(test, obj->q, 0);
	}
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);

	expect_unchanged(test);
	KUNIT_EXPECT_EQ(test, prmem_test_static.q, 0);
	/* None of them has been freed or sealed. */
	KUNIT_EXPECT_EQ(test, wr_set_field(x->c, x->obj[1], q, 1), 0);
}

static void prmem_test_refuse_freed(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	struct prmem_test_obj *obj = x->obj[1], src = {};

	x->obj[1] = NULL;
	KUNIT_ASSERT_EQ(test, wr_cache_free(x->c, obj), 0);
	expect_no_mutator(test, obj, PRMEM_FREED, -EINVAL, true);
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_set_field(x->c, obj, q, 1));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_update(x->c, obj, &src));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_cache_free(x->c, obj));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_cache_free_rcu(x->c, obj));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_cache_seal(x->c, obj));
	KUNIT_EXPECT_MEMEQ(test, obj, &x->before[1], sizeof(*obj));

	/* Somebody else's now. */
	x->obj[1] = (void *)wr_cache_alloc(x->c, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, x->obj[1]);
	KUNIT_EXPECT_EQ(test, wr_cache_free_rcu(x->c, x->obj[1]), 0);
	obj = x->obj[1];
	x->obj[1] = NULL;
	expect_no_mutator(test, obj, PRMEM_FREED, -EINVAL, true);
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_cache_free_rcu(x->c, obj));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_cache_free(x->c, obj));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_cache_seal(x->c, obj));
}

static void prmem_test_refuse_inside_object(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	void *mem = x->obj[1];

	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_cache_free(x->c, mem + 1));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_cache_free(x->c, mem + 8));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_cache_free_rcu(x->c, mem + 63));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_cache_seal(x->c, mem + 32));
	expect_unchanged(test);
	KUNIT_EXPECT_EQ(test, wr_set_field(x->c, x->obj[1], q, x->before[1].q), 0);
}

static void prmem_test_refuse_sealed(struct kunit *test)
{
	struct prmem_test_obj *obj = (void *)wr_cache_zalloc(&prmem_test_seals, GFP_KERNEL);
	struct prmem_test_obj *next = (void *)wr_cache_zalloc(&prmem_test_seals, GFP_KERNEL);
	struct prmem_test_obj src = { .q = 1 };

	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_ASSERT_NOT_NULL(test, next);
	KUNIT_EXPECT_EQ(test, wr_update(&prmem_test_seals, obj, &src), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_seal(&prmem_test_seals, obj), 0);

	expect_no_mutator(test, obj, PRMEM_SEALED, -EPERM, true);
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM,
			     wr_set_field(&prmem_test_seals, obj, b, 1));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, wr_update(&prmem_test_seals, obj, &src));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, wr_cache_free(&prmem_test_seals, obj));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, wr_cache_free_rcu(&prmem_test_seals, obj));
	KUNIT_EXPECT_EQ(test, obj->q, 1);

	/* Not its neighbour. */
	KUNIT_EXPECT_EQ(test, wr_set_field(&prmem_test_seals, next, q, 2), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_free(&prmem_test_seals, next), 0);
}

static void prmem_test_refuse_pool_states(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	struct prmem_test_obj *obj;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	obj = pmalloc(pool, sizeof(*obj));
	KUNIT_EXPECT_NOT_NULL(test, obj);
	if (obj) {
		obj->q = OLD;
		expect_no_mutator(test, obj, PRMEM_OPEN, -EPERM, true);
		KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
		KUNIT_EXPECT_EQ(test, wr_assign(obj->l, 5), 0);
		KUNIT_EXPECT_EQ(test, pmalloc_make_pool_ro(pool), 0);
		expect_no_mutator(test, obj, PRMEM_READ_ONLY, -EPERM, true);
		KUNIT_EXPECT_EQ(test, obj->q, OLD);
		KUNIT_EXPECT_EQ(test, obj->l, 5);
	}
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
	if (obj)
		expect_no_mutator(test, obj, PRMEM_BAD_ADDRESS, -EFAULT, false);
}

/* A mistake in a batch spoils nothing of the rest. */
static void prmem_test_refuse_in_batch(struct kunit *test)
{
	struct refuse_test *x = test->priv;
	int err[4];

	err[0] = wr_begin();
	err[1] = wr_assign(x->obj[0]->q, 1);
	err[2] = wr_memset(x->obj[0], 0, SIZE_MAX);
	err[3] = wr_assign(x->obj[0]->l, 2);
	wr_end();

	KUNIT_EXPECT_EQ(test, err[0], 0);
	KUNIT_EXPECT_EQ(test, err[1], 0);
	KUNIT_EXPECT_EQ(test, err[2], -EINVAL);
	KUNIT_EXPECT_EQ(test, err[3], 0);
	KUNIT_EXPECT_EQ(test, x->obj[0]->q, 1);
	KUNIT_EXPECT_EQ(test, x->obj[0]->l, 2);
	KUNIT_EXPECT_EQ(test, x->obj[0]->w, x->before[0].w);
}

static struct kunit_case prmem_refuse_cases[] = {
	KUNIT_CASE(prmem_test_refuse_null),
	KUNIT_CASE(prmem_test_refuse_range),
	KUNIT_CASE(prmem_test_refuse_padding),
	KUNIT_CASE(prmem_test_refuse_past_static),
	KUNIT_CASE(prmem_test_refuse_metadata),
	KUNIT_CASE(prmem_test_refuse_misaligned),
	KUNIT_CASE(prmem_test_refuse_address),
	KUNIT_CASE(prmem_test_refuse_alias),
	KUNIT_CASE(prmem_test_refuse_source),
	KUNIT_CASE(prmem_test_refuse_wrong_cache),
	KUNIT_CASE(prmem_test_refuse_freed),
	KUNIT_CASE(prmem_test_refuse_inside_object),
	KUNIT_CASE(prmem_test_refuse_sealed),
	KUNIT_CASE(prmem_test_refuse_pool_states),
	KUNIT_CASE(prmem_test_refuse_in_batch),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_refuse_suite = {
	.name = "prmem_refuse",
	.suite_init = prmem_test_suite_init,
	.init = refuse_init,
	.exit = refuse_exit,
	.test_cases = prmem_refuse_cases,
};

kunit_test_suite(prmem_refuse_suite);
