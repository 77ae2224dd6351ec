// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: caches of objects.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "test_prmem.h"

#define MANY	200

/* Cleaned up by the exit function, whatever a case has left. */
struct cache_test {
	struct wr_cache *c[2];
	void *obj[2][MANY];
};

static DEFINE_WR_CACHE(prmem_test_static_cache, struct prmem_test_obj);

static int cache_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct cache_test), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);

	return 0;
}

static void cache_free_all(struct kunit *test, unsigned int which)
{
	struct cache_test *x = test->priv;
	int i;

	for (i = 0; i < MANY; i++) {
		if (x->obj[which][i])
			KUNIT_EXPECT_EQ(test, wr_cache_free(x->c[which], x->obj[which][i]), 0);
		x->obj[which][i] = NULL;
	}
}

static void cache_exit(struct kunit *test)
{
	struct cache_test *x = test->priv;
	int i;

	if (!x)
		return;
	for (i = 0; i < ARRAY_SIZE(x->c); i++) {
		cache_free_all(test, i);
		KUNIT_EXPECT_EQ(test, wr_cache_destroy(x->c[i]), 0);
	}
}

static struct wr_cache *new_cache(struct kunit *test, unsigned int which, size_t size, size_t align)
{
	struct cache_test *x = test->priv;

	x->c[which] = prmem_test_cache(size, align);
	KUNIT_ASSERT_NOT_NULL(test, x->c[which]);

	return x->c[which];
}

static void *new_object(struct kunit *test, unsigned int which, unsigned int i, gfp_t gfp)
{
	struct cache_test *x = test->priv;

	x->obj[which][i] = (void *)wr_cache_alloc(x->c[which], gfp);
	KUNIT_ASSERT_NOT_NULL(test, x->obj[which][i]);

	return x->obj[which][i];
}

static int compare_addresses(const void *a, const void *b)
{
	const void *x = *(const void **)a, *y = *(const void **)b;

	return x < y ? -1 : x > y;
}

/* How many of @n objects are misaligned, or share a byte. */
static unsigned int overlaps(void **obj, unsigned int n, size_t size, size_t align)
{
	void *sorted[MANY];
	unsigned int i, bad = 0;

	memcpy(sorted, obj, n * sizeof(*obj));
	sort(sorted, n, sizeof(*sorted), compare_addresses, NULL);
	for (i = 0; i < n; i++) {
		bad += !IS_ALIGNED((unsigned long)sorted[i], align);
		bad += i && sorted[i] - sorted[i - 1] < size;
	}

	return bad;
}

/* Objects of each size are zero, can be written in full, and are apart. */
static void prmem_test_cache_sizes(struct kunit *test)
{
	static const struct {
		size_t size, align;
		unsigned int n;
	} kinds[] = {
		{ 1, 1, 130 }, { 8, 8, 130 }, { 64, 8, 130 }, { 64, 64, 70 }, { 65, 0, 70 },
		{ 100, 4, 90 }, { 192, 64, 50 }, { 4095, 1, 9 }, { 4096, 8, 9 },
		{ 5000, 8, 13 }, { 8192, 4096, 5 }, { 5 * PAGE_SIZE, 8, 3 },
		{ 40000, 16, 3 }, { 1, 4096, 10 },
	};
	struct cache_test *x = test->priv;
	unsigned int k, i, bad;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct wr_cache *c = new_cache(test, 0, kinds[k].size, kinds[k].align);

		bad = 0;
		for (i = 0; i < kinds[k].n; i++) {
			void *obj = new_object(test, 0, i, GFP_KERNEL | __GFP_ZERO);

			bad += !!memchr_inv(obj, 0, kinds[k].size);
			bad += !!wr_memset(obj, 0x40 + i, kinds[k].size);
		}
		for (i = 0; i < kinds[k].n; i++)
			bad += !!memchr_inv(x->obj[0][i], 0x40 + i, kinds[k].size);
		bad += overlaps(x->obj[0], kinds[k].n, kinds[k].size, kinds[k].align ?: 8);
		cache_free_all(test, 0);
		x->c[0] = NULL;
		KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
		KUNIT_EXPECT_EQ_MSG(test, bad, 0, "size %zu", kinds[k].size);
	}
}

/* A slab has as few pages for its objects as it can. */
static void prmem_test_cache_pages(struct kunit *test)
{
	static const struct {
		size_t size;
		unsigned int nr_slots, nr_pages;
	} kinds[] = {
		{ 64, 64, 1 }, { 2048, 2, 1 }, { 3000, 5, 4 }, { PAGE_SIZE, 1, 1 },
		{ 5000, 3, 4 }, { 5 * PAGE_SIZE, 1, 5 }, { 7 * PAGE_SIZE, 1, 7 },
		{ 9 * PAGE_SIZE, 1, 9 },
	};
	struct cache_test *x = test->priv;
	struct wr_cache *c;
	unsigned int k;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		c = new_cache(test, 0, kinds[k].size, 8);
		KUNIT_EXPECT_EQ_MSG(test, c->nr_pages, kinds[k].nr_pages, "%zu", kinds[k].size);
		KUNIT_EXPECT_EQ_MSG(test, c->nr_slots, kinds[k].nr_slots, "%zu", kinds[k].size);
		x->c[0] = NULL;
		KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	}
}

/* The largest that there is: half of a block, if one can be had. */
static void prmem_test_cache_one_megabyte(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, WR_CACHE_MAX_SIZE, 0);
	struct cache_test *x = test->priv;
	u8 *obj;

	obj = (void *)wr_cache_zalloc(c, GFP_KERNEL);
	if (!obj)
		kunit_skip(test, "no block can be had");
	x->obj[0][0] = obj;
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0, WR_CACHE_MAX_SIZE), NULL);
	KUNIT_EXPECT_EQ(test, wr_memset(obj, 0x77, WR_CACHE_MAX_SIZE), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0x77, WR_CACHE_MAX_SIZE), NULL);
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
			     wr_memset(obj, 0x77, WR_CACHE_MAX_SIZE + 1));
	KUNIT_EXPECT_EQ(test, wr_assign(obj[WR_CACHE_MAX_SIZE - 1], 1), 0);
}

static void prmem_test_cache_refuse_create(struct kunit *test)
{
	const struct {
		const char *name;
		size_t size, align, offset, user;
	} bad[] = {
		{ NULL, 64, 8, 0, 0 }, { "x", 0, 8, 0, 0 }, { "x", WR_CACHE_MAX_SIZE + 1, 8, 0, 0 },
		{ "x", SIZE_MAX, 8, 0, 0 }, { "x", (1UL << 32) + 64, 8, 0, 0 },
		{ "x", 64, 3, 0, 0 }, { "x", 64, 2 * PAGE_SIZE, 0, 0 }, { "x", 64, SIZE_MAX, 0, 0 },
		{ "x", 64, 8, 0, 65 }, { "x", 64, 8, 1, 64 }, { "x", 64, 8, 64, 1 },
		{ "x", 64, 8, SIZE_MAX, 1 }, { "x", 64, 8, 8, SIZE_MAX - 7 },
		{ "x", 64, 8, SIZE_MAX, SIZE_MAX }, { "x", 64, 8, 1UL << 32, 1 },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL,
				     wr_cache_create(bad[i].name, bad[i].size, bad[i].align,
						     bad[i].offset, bad[i].user));
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(NULL), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(ERR_PTR(-ENOMEM)), 0);
}

/* Freed slots are used again before there is a new slab. */
static void prmem_test_cache_reuse(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, 64, 8);
	struct cache_test *x = test->priv;
	unsigned int n = 3 * c->nr_slots, i, k, again = 0;
	void *old[MANY];

	KUNIT_ASSERT_GT(test, c->nr_slots, 1);
	KUNIT_ASSERT_LE(test, n, MANY);
	for (i = 0; i < n; i++)
		new_object(test, 0, i, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, overlaps(x->obj[0], n, 64, 8), 0);

	memcpy(old, x->obj[0], sizeof(old));
	for (i = 0; i < n; i += 2) {
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, x->obj[0][i]), 0);
		x->obj[0][i] = NULL;
	}
	for (i = 0; i < n; i += 2) {
		new_object(test, 0, i, GFP_KERNEL);
		for (k = 0; k < n; k += 2)
			again += x->obj[0][i] == old[k];
	}
	KUNIT_EXPECT_EQ(test, again, DIV_ROUND_UP(n, 2));
	KUNIT_EXPECT_EQ(test, overlaps(x->obj[0], n, 64, 8), 0);
}

/* What another object has left is gone, if one asks for that. */
static void prmem_test_cache_zero(struct kunit *test)
{
	static const size_t sizes[] = { 64, 5000, 20000 };
	struct cache_test *x = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct wr_cache *c = new_cache(test, 0, sizes[i], 8);
		void *old = new_object(test, 0, 0, GFP_KERNEL);

		KUNIT_EXPECT_EQ(test, wr_memset(old, 0xff, sizes[i]), 0);
		cache_free_all(test, 0);
		x->obj[0][0] = (void *)wr_cache_zalloc(c, GFP_KERNEL);
		KUNIT_ASSERT_PTR_EQ(test, x->obj[0][0], old);
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(old, 0, sizes[i]), NULL);
		cache_free_all(test, 0);
		x->c[0] = NULL;
		KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	}
}

/* Takes @n slots, and tells if @obj was one of them. */
static bool cache_gives(struct kunit *test, const void *obj, unsigned int n, gfp_t gfp)
{
	struct cache_test *x = test->priv;
	bool found = false;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (x->obj[0][i])
			continue;
		x->obj[0][i] = (void *)wr_cache_alloc(x->c[0], gfp);
		found |= x->obj[0][i] == obj;
	}

	return found;
}

static void prmem_test_cache_free_rcu(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, sizeof(struct prmem_test_obj), 8);
	struct cache_test *x = test->priv;
	struct prmem_test_obj *obj = new_object(test, 0, 0, GFP_KERNEL);
	bool early, same;
	int err, i;

	KUNIT_ASSERT_EQ(test, wr_assign(obj->q, OLD), 0);
	KUNIT_ASSERT_LT(test, 2 * c->nr_slots + 8, MANY);
	for (i = 1; i < 5; i++)
		new_object(test, 0, i, GFP_KERNEL);

	/* A reader has it, while it is freed and many are allocated. */
	rcu_read_lock();
	err = wr_cache_free_rcu(c, obj);
	x->obj[0][0] = NULL;
	early = cache_gives(test, obj, c->nr_slots + 8, GFP_ATOMIC);
	same = READ_ONCE(obj->q) == OLD;
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_FALSE(test, early);
	KUNIT_EXPECT_TRUE(test, same);
	KUNIT_EXPECT_FALSE(test, is_pmalloc_object(obj, 1));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_assign(obj->q, NEW));
	KUNIT_EXPECT_EQ(test, obj->q, OLD);

	/*
	 * Later it is a slot like any other, once there are no more free ones.  Grace
	 * periods of two kinds overlap, so that the end of the next one need not do.
	 */
	for (i = 0; i < 3; i++)
		synchronize_rcu();
	for (i = 5; i < MANY; i++) {
		if (x->obj[0][i])
			KUNIT_EXPECT_EQ(test, wr_cache_free(c, x->obj[0][i]), 0);
		x->obj[0][i] = NULL;
	}
	KUNIT_EXPECT_TRUE(test, cache_gives(test, obj, MANY, GFP_KERNEL));
}

/* To destroy a cache waits for the readers of what has been freed. */
static void prmem_test_cache_destroy_after_free_rcu(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, 64, 8);
	struct cache_test *x = test->priv;
	int i;

	for (i = 0; i < MANY; i++) {
		new_object(test, 0, i, GFP_KERNEL);
		KUNIT_EXPECT_EQ(test, wr_cache_free_rcu(c, x->obj[0][i]), 0);
		x->obj[0][i] = NULL;
	}
	x->c[0] = NULL;
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
}

static void prmem_test_cache_destroy(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, 64, 8);
	struct cache_test *x = test->priv;
	void *obj = new_object(test, 0, 0, GFP_KERNEL);

	prmem_expect_refused(test, PRMEM_BUSY, -EBUSY, wr_cache_destroy(c));
	/* It has survived that. */
	KUNIT_EXPECT_EQ(test, wr_memset(obj, 1, 64), 0);
	new_object(test, 0, 1, GFP_KERNEL);
	cache_free_all(test, 0);
	x->c[0] = NULL;
	KUNIT_ASSERT_EQ(test, wr_cache_destroy(c), 0);

	prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, wr_cache_destroy(c));
	prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, wr_cache_alloc(c, GFP_KERNEL));
	prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, wr_cache_alloc(c, GFP_ATOMIC));
	prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, wr_cache_zalloc(NULL, GFP_KERNEL));
	KUNIT_EXPECT_LT(test, wr_cache_free(c, obj), 0);
	KUNIT_EXPECT_LT(test, wr_cache_free_rcu(c, obj), 0);
	KUNIT_EXPECT_LT(test, wr_cache_seal(c, obj), 0);
	KUNIT_EXPECT_LT(test, wr_cache_free(NULL, obj), 0);
	KUNIT_EXPECT_LT(test, wr_memset(obj, 2, 64), 0);
	prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL,
			     wr_cache_destroy(&prmem_test_static_cache));
}

/*
 * No object lies where one of another type has been, as long as the cache of that
 * type has a page: not in its free slots, and not in its empty slabs.
 */
static void prmem_test_cache_types_apart(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, 64, 8);
	struct cache_test *x = test->priv;
	unsigned int i, k, shared = 0;
	void *old[MANY];

	for (i = 0; i < MANY; i++)
		old[i] = new_object(test, 0, i, GFP_KERNEL);
	for (i = 1; i < MANY; i++) {
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, x->obj[0][i]), 0);
		x->obj[0][i] = NULL;
	}

	new_cache(test, 1, 64, 8);
	for (i = 0; i < MANY; i++) {
		void *obj = new_object(test, 1, i, GFP_KERNEL);

		for (k = 0; k < MANY; k++)
			shared += ((unsigned long)obj & PAGE_MASK) ==
				  ((unsigned long)old[k] & PAGE_MASK);
	}
	KUNIT_EXPECT_EQ(test, shared, 0);
}

/* With interrupts off, and more than one slab. */
static void prmem_test_cache_atomic_context(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, 64, 8);
	struct cache_test *x = test->priv;
	unsigned int i, got = 0, zero = 0;
	unsigned long flags;
	bool off;

	local_irq_save(flags);
	for (i = 0; i < MANY; i++) {
		x->obj[0][i] = (void *)wr_cache_zalloc(c, GFP_ATOMIC);
		got += !!x->obj[0][i];
		zero += x->obj[0][i] && !memchr_inv(x->obj[0][i], 0, 64);
	}
	off = irqs_disabled();
	local_irq_restore(flags);

	KUNIT_EXPECT_TRUE(test, off);
	KUNIT_EXPECT_EQ(test, got, MANY);
	KUNIT_EXPECT_EQ(test, zero, MANY);
	KUNIT_EXPECT_EQ(test, overlaps(x->obj[0], MANY, 64, 8), 0);
}

/* A new slab in a batch: allocations may be part of one. */
static void prmem_test_cache_in_batch(struct kunit *test)
{
	struct wr_cache *c = new_cache(test, 0, sizeof(struct prmem_test_obj), 8);
	struct prmem_test_obj *obj[4] = {};
	int err, i;

	err = wr_begin();
	for (i = 0; i < ARRAY_SIZE(obj); i++) {
		obj[i] = (void *)wr_cache_zalloc(c, GFP_ATOMIC);
		if (obj[i])
			err |= wr_set_field(c, obj[i], l, i);
	}
	for (i = 1; i < ARRAY_SIZE(obj); i++)
		err |= wr_cache_free(c, obj[i]);
	wr_end();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NOT_NULL(test, obj[3]);
	KUNIT_EXPECT_LT(test, wr_cache_destroy(c), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_free(c, obj[0]), 0);
}

static void prmem_test_cache_static(struct kunit *test)
{
	struct wr_cache *c = &prmem_test_static_cache;
	struct prmem_test_obj *obj[80];
	int i, got = 0, bad = 0;

	KUNIT_EXPECT_EQ(test, c->size, sizeof(struct prmem_test_obj));
	for (i = 0; i < ARRAY_SIZE(obj); i++) {
		obj[i] = (void *)wr_cache_zalloc(c, GFP_KERNEL);
		if (!obj[i])
			continue;
		got++;
		bad += !!wr_set_field(c, obj[i], number, i);
		bad += !is_pmalloc_wr_object(obj[i], sizeof(*obj[i]));
	}
	for (i = 0; i < ARRAY_SIZE(obj); i++) {
		if (!obj[i])
			continue;
		bad += obj[i]->number != i;
		bad += !!wr_cache_free(c, obj[i]);
	}
	KUNIT_EXPECT_EQ(test, got, ARRAY_SIZE(obj));
	KUNIT_EXPECT_EQ(test, bad, 0);
}

static void prmem_test_cache_seal(struct kunit *test)
{
	struct wr_cache *c = &prmem_test_static_cache;
	struct prmem_test_obj *obj = (void *)wr_cache_zalloc(c, GFP_KERNEL), *more[4];
	bool again = false;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_EXPECT_EQ(test, wr_set_field(c, obj, q, OLD), 0);
	KUNIT_EXPECT_TRUE(test, is_pmalloc_wr_object(obj, sizeof(*obj)));
	KUNIT_EXPECT_EQ(test, wr_cache_seal(c, obj), 0);
	KUNIT_EXPECT_FALSE(test, is_pmalloc_wr_object(obj, sizeof(*obj)));
	KUNIT_EXPECT_TRUE(test, is_pmalloc_ro_object(obj, sizeof(*obj)));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, wr_set_field(c, obj, q, NEW));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, wr_cache_free(c, obj));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, wr_cache_seal(c, obj));
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		more[i] = (void *)wr_cache_zalloc(c, GFP_KERNEL);
		again |= more[i] == obj;
	}
	for (i = 0; i < ARRAY_SIZE(more); i++)
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, more[i]), 0);
	KUNIT_EXPECT_FALSE(test, again);
	KUNIT_EXPECT_EQ(test, obj->q, OLD);
}

/* All memory of a cache is the allocator's again. */
static void prmem_test_cache_gives_back(struct kunit *test)
{
	long before = 0, after;
	unsigned int round, i;

	for (round = 0; round < 4; round++) {
		struct cache_test *x = test->priv;
		struct wr_cache *c = new_cache(test, 0, 3000, 8);

		for (i = 0; i < MANY; i++)
			new_object(test, 0, i, GFP_KERNEL);
		cache_free_all(test, 0);
		x->c[0] = NULL;
		KUNIT_ASSERT_EQ(test, wr_cache_destroy(c), 0);
		after = atomic_long_read(&wr_block_stats.bytes);
		if (!round)
			before = after;
	}
	KUNIT_EXPECT_LE(test, after, before);
}

/* User space gets what the cache lets it have. */
static void prmem_test_cache_usercopy_window(struct kunit *test)
{
	static const struct {
		size_t at, n;
		bool ok;
	} ranges[] __maybe_unused = {
		{ 16, 16, true }, { 16, 1, true }, { 31, 1, true }, { 20, 8, true },
		{ 15, 1, false }, { 32, 1, false }, { 15, 17, false }, { 16, 17, false },
		{ 31, 2, false }, { 0, 16, false }, { 0, 64, false }, { 48, 16, false },
		{ 16, SIZE_MAX, false }, { 16, SIZE_MAX - 15, false }, { 31, 1UL << 63, false },
	};
	struct cache_test *x = test->priv;
	char *obj, buf[16] = {};
	unsigned long user;
	int i __maybe_unused;

	x->c[0] = wr_cache_create("prmem_test", 64, 8, 16, 16);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x->c[0]);
	user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	obj = new_object(test, 0, 0, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_EQ(test, wr_memset(obj, 'x', 64), 0);
	KUNIT_EXPECT_EQ(test, copy_to_user((void __user *)user, obj + 16, 16), 0);
	KUNIT_EXPECT_EQ(test, copy_to_user((void __user *)user + 8, obj + 31, 1), 0);
	KUNIT_EXPECT_EQ(test, copy_from_user(buf, (void __user *)user, 16), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(buf, 'x', 16), NULL);

#ifdef CONFIG_HARDENED_USERCOPY
	/* What it may not have ends in an oops, as LKDTM shows: so ask before. */
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		size_t at = ranges[i].at, n = ranges[i].n;
		unsigned long offset = ULONG_MAX;
		const char *name = NULL;

		KUNIT_EXPECT_EQ_MSG(test, prmem_check_usercopy(obj + at, n, true, &name, &offset),
				    ranges[i].ok, "%zu bytes at %zu", n, at);
		KUNIT_EXPECT_STREQ(test, name, "prmem_test");
		KUNIT_EXPECT_EQ(test, offset, at);
		KUNIT_EXPECT_FALSE_MSG(test,
				       prmem_check_usercopy(obj + at, n, false, &name, &offset),
				       "%zu bytes to %zu", n, at);
	}
#endif
}

static struct kunit_case prmem_cache_cases[] = {
	KUNIT_CASE(prmem_test_cache_sizes),
	KUNIT_CASE(prmem_test_cache_pages),
	KUNIT_CASE(prmem_test_cache_one_megabyte),
	KUNIT_CASE(prmem_test_cache_refuse_create),
	KUNIT_CASE(prmem_test_cache_reuse),
	KUNIT_CASE(prmem_test_cache_zero),
	KUNIT_CASE(prmem_test_cache_free_rcu),
	KUNIT_CASE(prmem_test_cache_destroy_after_free_rcu),
	KUNIT_CASE(prmem_test_cache_destroy),
	KUNIT_CASE(prmem_test_cache_types_apart),
	KUNIT_CASE(prmem_test_cache_atomic_context),
	KUNIT_CASE(prmem_test_cache_in_batch),
	KUNIT_CASE(prmem_test_cache_static),
	KUNIT_CASE(prmem_test_cache_seal),
	KUNIT_CASE(prmem_test_cache_gives_back),
	KUNIT_CASE(prmem_test_cache_usercopy_window),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_cache_suite = {
	.name = "prmem_cache",
	.suite_init = prmem_test_suite_init,
	.init = cache_init,
	.exit = cache_exit,
	.test_cases = prmem_cache_cases,
};

kunit_test_suite(prmem_cache_suite);
