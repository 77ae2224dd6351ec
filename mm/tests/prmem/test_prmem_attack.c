// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: an attacker has written to what is in ordinary
 * memory.  Each piece of it is corrupted on purpose, and what uses it must refuse or
 * do the right thing all the same; no byte of any other object changes.
 *
 * Locks are not among them, since what they order is made safe by locked
 * instructions on protected memory; to take one away is to stop the machine, no more.
 */
#include <linux/kallsyms.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/prlist.h>
#include <linux/sched/clock.h>
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "test_prmem.h"

#define NR_OBJS		20

/* Objects that nobody may change, next to that which is attacked. */
struct attack_test {
	struct wr_cache *c;
	struct pmalloc_pool *pool;
	struct prmem_test_obj *obj[NR_OBJS];
	struct prmem_test_obj before[NR_OBJS];
};

static DEFINE_WR_CACHE(prmem_test_victims, struct prmem_test_obj);

static u64 prmem_test_static_victim __wr_after_init;

static int attack_init(struct kunit *test)
{
	struct attack_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, x);
	test->priv = x;
	x->c = prmem_test_cache(sizeof(*x->obj[0]), 8);
	x->pool = pmalloc_create_pool(PMALLOC_MODE_START_WR);
	KUNIT_ASSERT_NOT_NULL(test, x->c);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x->pool);
	for (i = 0; i < NR_OBJS; i++) {
		x->obj[i] = i & 1 ? pmalloc(x->pool, sizeof(*x->obj[i])) :
				    (void *)wr_cache_alloc(x->c, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, x->obj[i]);
		memset(&x->before[i], 0x60 + i, sizeof(x->before[i]));
		KUNIT_ASSERT_EQ(test, wr_memcpy(x->obj[i], &x->before[i], sizeof(x->before[i])), 0);
	}

	return 0;
}

static void expect_unchanged(struct kunit *test)
{
	struct attack_test *x = test->priv;
	int i;

	for (i = 0; i < NR_OBJS; i++)
		KUNIT_EXPECT_MEMEQ(test, x->obj[i], &x->before[i], sizeof(x->before[i]));
}

static void attack_exit(struct kunit *test)
{
	struct attack_test *x = test->priv;
	int i;

	if (!x)
		return;
	for (i = 0; i < NR_OBJS; i += 2)
		KUNIT_EXPECT_EQ(test, wr_cache_free(x->c, x->obj[i]), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(x->c), 0);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(x->pool), 0);
}

/* Some slot that is not @not, with or without a block. */
static unsigned long other_slot(unsigned long not, bool block)
{
	unsigned long i;

	for (i = 0; i < PRMEM_NR_SLOTS; i++) {
		if (i != not && i != PRMEM_STATIC_SLOT && !!prmem_blocks[i].nr_pages == block)
			return i;
	}

	return not + 1;
}

/* The hint of a page: what it says is not believed, so the object is not found. */
static void prmem_test_forged_page_hint(struct kunit *test)
{
	struct attack_test *x = test->priv;
	int i, k;

	for (i = 0; i < 2; i++) {
		struct page *page = virt_to_page(x->obj[i]);
		unsigned long good = page_private(page);
		unsigned long bad[] = {
			PRMEM_STATIC_SLOT, other_slot(good, true), other_slot(good, false),
			PRMEM_NR_SLOTS, PRMEM_NR_SLOTS + good, ULONG_MAX, good | BIT(32),
			good | BIT(63), (unsigned long)x->obj[i],
		};

		KUNIT_EXPECT_NE(test, prmem_blocks[good].nr_pages, 0);
		for (k = 0; k < ARRAY_SIZE(bad); k++) {
			bool is;
			int err[5];

			set_page_private(page, bad[k]);
			err[0] = wr_assign(x->obj[i]->q, 1);
			err[1] = wr_memset(x->obj[i], 1, sizeof(*x->obj[i]));
			err[2] = wr_cache_free(x->c, x->obj[i]);
			err[3] = wr_cache_seal(x->c, x->obj[i]);
			err[4] = wr_set_field(x->c, x->obj[i], b, 1);
			is = is_pmalloc_object(x->obj[i], 1);
			set_page_private(page, good);

			KUNIT_EXPECT_LT_MSG(test, err[0], 0, "%#lx", bad[k]);
			KUNIT_EXPECT_LT_MSG(test, err[1], 0, "%#lx", bad[k]);
			KUNIT_EXPECT_LT_MSG(test, err[2], 0, "%#lx", bad[k]);
			KUNIT_EXPECT_LT_MSG(test, err[3], 0, "%#lx", bad[k]);
			KUNIT_EXPECT_LT_MSG(test, err[4], 0, "%#lx", bad[k]);
			KUNIT_EXPECT_FALSE_MSG(test, is, "%#lx", bad[k]);
		}
		/* Right again. */
		KUNIT_EXPECT_EQ(test, wr_assign(x->obj[i]->q, x->before[i].q), 0);
	}
	expect_unchanged(test);
}

/* All pages of all blocks with wrong hints, as far as allocation is concerned. */
static void prmem_test_forged_hints_of_free_pages(struct kunit *test)
{
	struct attack_test *x = test->priv;
	struct page *page = virt_to_page(x->obj[0]);
	unsigned long slot = page_private(page), i;
	const struct prmem_block *b = &prmem_blocks[slot];
	unsigned long first = b->pfn, nr = b->nr_pages;
	struct wr_cache *c = prmem_test_cache(2000, 8);
	void *obj[8];
	int k, bad = 0;

	KUNIT_ASSERT_NOT_NULL(test, c);
	for (i = 0; i < nr; i++)
		set_page_private(pfn_to_page(first + i), other_slot(slot, true));
	for (k = 0; k < ARRAY_SIZE(obj); k++)
		obj[k] = (void *)wr_cache_zalloc(c, GFP_ATOMIC);
	for (i = 0; i < nr; i++)
		set_page_private(pfn_to_page(first + i), slot);

	for (k = 0; k < ARRAY_SIZE(obj); k++) {
		if (!obj[k])
			continue;
		bad += !is_pmalloc_object(obj[k], 2000) || memchr_inv(obj[k], 0, 2000);
		bad += !!wr_memset(obj[k], 1, 2000);
		bad += !!wr_cache_free(c, obj[k]);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	expect_unchanged(test);
}

/* Ordinary pages that pretend to be protected memory. */
static void prmem_test_forged_page(struct kunit *test)
{
	struct attack_test *x = test->priv;
	unsigned long slot = page_private(virt_to_page(x->obj[0])), old;
	void *vmem = vmalloc(PAGE_SIZE), *direct, *mem[2];
	struct page *page;
	int i, err[6];

	direct = (void *)__get_free_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vmem);
	KUNIT_ASSERT_NOT_NULL(test, direct);
	mem[0] = vmem;
	mem[1] = direct;
	for (i = 0; i < ARRAY_SIZE(mem); i++) {
		struct prmem_test_obj *obj = mem[i];

		memset(obj, 0x44, PAGE_SIZE);
		page = is_vmalloc_addr(obj) ? vmalloc_to_page(obj) : virt_to_page(obj);
		old = page_private(page);
		set_page_private(page, slot);
		err[0] = wr_assign(obj->q, 1);
		err[1] = wr_memset(obj, 1, sizeof(*obj));
		err[2] = wr_cache_free(x->c, obj);
		err[3] = wr_cache_seal(x->c, obj);
		err[4] = wr_set_field(x->c, obj, b, 1);
		err[5] = is_pmalloc_object(obj, 1) ? 0 : -EFAULT;
		set_page_private(page, old);
		KUNIT_EXPECT_EQ(test, err[0], -EFAULT);
		KUNIT_EXPECT_EQ(test, err[1], -EFAULT);
		KUNIT_EXPECT_EQ(test, err[2], -EFAULT);
		KUNIT_EXPECT_EQ(test, err[3], -EFAULT);
		KUNIT_EXPECT_EQ(test, err[4], -EFAULT);
		KUNIT_EXPECT_EQ(test, err[5], -EFAULT);
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0x44, PAGE_SIZE), NULL);
	}
	vfree(vmem);
	free_page((unsigned long)direct);
	expect_unchanged(test);
}

/* @fake is used as a cache in each way that there is. */
static void expect_no_cache(struct kunit *test, struct wr_cache *fake, const char *what)
{
	struct attack_test *x = test->priv;
	struct prmem_test_obj src = {}, *obj = x->obj[0];

	KUNIT_EXPECT_NULL_MSG(test, wr_cache_alloc(fake, GFP_KERNEL), "%s", what);
	KUNIT_EXPECT_NULL_MSG(test, wr_cache_zalloc(fake, GFP_ATOMIC), "%s", what);
	KUNIT_EXPECT_LT_MSG(test, wr_set_field(fake, obj, q, 1), 0, "%s", what);
	KUNIT_EXPECT_LT_MSG(test, wr_update(fake, obj, &src), 0, "%s", what);
	KUNIT_EXPECT_LT_MSG(test, wr_cache_free(fake, obj), 0, "%s", what);
	KUNIT_EXPECT_LT_MSG(test, wr_cache_free_rcu(fake, obj), 0, "%s", what);
	KUNIT_EXPECT_LT_MSG(test, wr_cache_seal(fake, obj), 0, "%s", what);
	KUNIT_EXPECT_LT_MSG(test, wr_cache_destroy(fake), 0, "%s", what);
	KUNIT_EXPECT_TRUE_MSG(test, is_pmalloc_wr_object(obj, sizeof(*obj)), "%s", what);
}

/* Descriptors that the attacker has written: of larger objects, for instance. */
static void prmem_test_forged_cache(struct kunit *test)
{
	struct wr_cache *c = prmem_test_cache(sizeof(struct wr_cache), 8), *slot;
	struct attack_test *x = test->priv;
	struct wr_cache fake = *x->c, *copy;

	fake.size = 1 << 20;
	fake.nr_slots = 1;
	expect_no_cache(test, &fake, "on the stack");
	copy = kunit_kmalloc(test, sizeof(fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, copy);
	*copy = fake;
	expect_no_cache(test, copy, "of kmalloc()");
	copy = vmalloc(sizeof(fake));
	KUNIT_ASSERT_NOT_NULL(test, copy);
	*copy = fake;
	expect_no_cache(test, copy, "of vmalloc()");
	vfree(copy);

	/* Protected memory, but of objects that have users. */
	KUNIT_ASSERT_NOT_NULL(test, c);
	slot = (void *)wr_cache_alloc(c, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, slot);
	if (slot) {
		KUNIT_EXPECT_EQ(test, wr_memcpy(slot, &fake, sizeof(fake)), 0);
		expect_no_cache(test, slot, "object of a cache");
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, slot), 0);
	}
	slot = pmalloc(x->pool, sizeof(fake));
	KUNIT_ASSERT_NOT_NULL(test, slot);
	KUNIT_EXPECT_EQ(test, wr_memcpy(slot, &fake, sizeof(fake)), 0);
	expect_no_cache(test, slot, "object of a pool");

	expect_no_cache(test, (void *)x->c + 8, "within another");
	expect_no_cache(test, (void *)(x->c + 1) - 8, "at the end of another");
	expect_no_cache(test, (void *)&prmem_test_victims + 8, "within a static one");
	expect_no_cache(test, (void *)x->pool, "a pool");
	expect_no_cache(test, (void *)prmem_blocks, "blocks");
	expect_no_cache(test, (void *)prmem_pages(&prmem_blocks[1]), "metadata");
	expect_no_cache(test, (void *)-4096L, "nowhere");
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	expect_no_cache(test, c, "destroyed");
	expect_unchanged(test);
}

/* The caches of descriptors are not for callers, although they are caches. */
static void prmem_test_descriptors_are_no_objects(struct kunit *test)
{
	struct attack_test *x = test->priv;
	struct wr_cache c = *x->c;
	struct pmalloc_pool pool = *x->pool;

	KUNIT_EXPECT_LT(test, wr_cache_free(&wr_caches, x->c), 0);
	KUNIT_EXPECT_LT(test, wr_cache_free_rcu(&wr_caches, x->c), 0);
	KUNIT_EXPECT_LT(test, wr_cache_seal(&wr_caches, x->c), 0);
	KUNIT_EXPECT_LT(test, wr_cache_free(&pmalloc_pools, x->pool), 0);
	KUNIT_EXPECT_LT(test, wr_cache_free_rcu(&pmalloc_pools, x->pool), 0);
	KUNIT_EXPECT_LT(test, wr_cache_seal(&pmalloc_pools, x->pool), 0);
	KUNIT_EXPECT_LT(test, wr_cache_destroy(&wr_caches), 0);
	KUNIT_EXPECT_LT(test, wr_set_field(&wr_caches, x->c, size, 1), 0);
	KUNIT_EXPECT_LT(test, wr_set_field(&pmalloc_pools, x->pool, mode, PMALLOC_MODE_WR), 0);
	KUNIT_EXPECT_MEMEQ(test, x->c, &c, sizeof(c));
	KUNIT_EXPECT_MEMEQ(test, x->pool, &pool, sizeof(pool));
	expect_unchanged(test);
}

static void expect_no_pool(struct kunit *test, struct pmalloc_pool *fake, const char *what)
{
	KUNIT_EXPECT_NULL_MSG(test, pmalloc(fake, 8), "%s", what);
	KUNIT_EXPECT_NULL_MSG(test, pmalloc(fake, PAGE_SIZE), "%s", what);
	KUNIT_EXPECT_NULL_MSG(test, pstrdup(fake, "x"), "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, pmalloc_protect_pool(fake), -EINVAL, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, pmalloc_make_pool_ro(fake), -EINVAL, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, pmalloc_destroy_pool(fake), -EINVAL, "%s", what);
}

/* A pool that gives out the area of another, if one believes it. */
static void prmem_test_forged_pool(struct kunit *test)
{
	struct wr_cache *c = prmem_test_cache(sizeof(struct pmalloc_pool), 8);
	struct attack_test *x = test->priv;
	struct pmalloc_pool fake = *x->pool, *copy;

	fake.mode = PMALLOC_MODE_WR;
	expect_no_pool(test, &fake, "on the stack");
	copy = kunit_kmalloc(test, sizeof(fake), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, copy);
	*copy = fake;
	expect_no_pool(test, copy, "of kmalloc()");

	KUNIT_ASSERT_NOT_NULL(test, c);
	copy = (void *)wr_cache_alloc(c, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, copy);
	if (copy) {
		KUNIT_EXPECT_EQ(test, wr_memcpy(copy, &fake, sizeof(fake)), 0);
		expect_no_pool(test, copy, "object of a cache");
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, copy), 0);
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	copy = pmalloc(x->pool, sizeof(fake));
	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_EXPECT_EQ(test, wr_memcpy(copy, &fake, sizeof(fake)), 0);
	expect_no_pool(test, copy, "object of a pool");

	expect_no_pool(test, (void *)x->pool + 8, "within another");
	expect_no_pool(test, (void *)x->c, "a cache");
	expect_no_pool(test, (void *)prmem_blocks, "blocks");
	expect_no_pool(test, (void *)-4096L, "nowhere");
	expect_unchanged(test);
}

/*
 * A descriptor that has been freed can be had again after a grace period, so that many of
 * them, one after the other, take no page.  The second of two barriers waits for those that
 * have been freed while the first period was under way.
 */
static void reuse_descriptors(void)
{
	rcu_barrier();
	rcu_barrier();
}

/* Allocates, writes and frees, in short and in large pieces. */
static int use_allocators(void)
{
	struct wr_cache *c = prmem_test_cache(300, 8);
	struct pmalloc_pool *pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	void *obj[30], *p, *q;
	int i, k, bad = 0;

	if (!c || IS_ERR(pool))
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(obj); i++) {
		obj[i] = (void *)wr_cache_zalloc(c, i & 1 ? GFP_KERNEL : GFP_ATOMIC);
		if (obj[i])
			bad += !!memchr_inv(obj[i], 0, 300) || wr_memset(obj[i], i + 1, 300);
		for (k = 0; k < i; k++)
			bad += obj[i] && obj[i] == obj[k];
	}
	p = pmalloc(pool, 3 * PAGE_SIZE);
	q = pmalloc(pool, 3 * PAGE_SIZE);
	bad += !p || !q || memchr_inv(p, 0, 3 * PAGE_SIZE);
	if (p && q) {
		memset(p, 0xf1, 3 * PAGE_SIZE);
		memset(q, 0xf2, 3 * PAGE_SIZE);
		bad += !!memchr_inv(p, 0xf1, 3 * PAGE_SIZE);
	}
	for (i = 0; i < ARRAY_SIZE(obj); i++) {
		bad += obj[i] && memchr_inv(obj[i], i + 1, 300);
		bad += !!wr_cache_free(c, obj[i]);
	}
	bad += !!pmalloc_destroy_pool(pool);
	bad += !!wr_cache_destroy(c);
	reuse_descriptors();

	return bad;
}

static void *find_symbol(struct kunit *test, const char *name)
{
	unsigned long addr = kallsyms_lookup_name(name);

	if (!addr)
		kunit_skip(test, "no symbol %s: needs CONFIG_KALLSYMS_ALL", name);

	return (void *)addr;
}

/* Where free memory was last, and how much there is. */
static void prmem_test_forged_allocator_hints(struct kunit *test)
{
	unsigned int *last = find_symbol(test, "prmem_last_slot"), good = *last;
	atomic_t *nr_free = find_symbol(test, "prmem_nr_free");
	static const int bad[] = { 0, 1, PRMEM_NR_SLOTS, INT_MAX, INT_MIN, -1, -512, 12345 };
	long used;
	int i, nr;

	reuse_descriptors();
	used = prmem_test_pages_used();
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		WRITE_ONCE(*last, bad[i]);
		KUNIT_EXPECT_EQ_MSG(test, use_allocators(), 0, "last %d", bad[i]);
	}
	WRITE_ONCE(*last, good);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		nr = atomic_xchg(nr_free, bad[i]);
		KUNIT_EXPECT_EQ_MSG(test, use_allocators(), 0, "free %d", bad[i]);
		/* What has been taken and given back in between does not matter. */
		atomic_set(nr_free, nr);
	}
	KUNIT_EXPECT_EQ(test, prmem_test_pages_used(), used);
	expect_unchanged(test);
}

/* A batch that says it is open, or has been for long. */
static void prmem_test_forged_batch(struct kunit *test)
{
	void __percpu *batch = (void __percpu *)find_symbol(test, "prmem_batch");
	struct attack_test *x = test->priv;
	static const u8 fill[] = { 0x00, 0x01, 0x7f, 0xff };
	const size_t at = sizeof(struct prmem_window), size = 3 * sizeof(unsigned int);
	bool open, off, closed;
	u8 saved[16];
	int i, err;

	for (i = 0; i < ARRAY_SIZE(fill); i++) {
		void *mine;

		preempt_disable();
		mine = this_cpu_ptr(batch);
		memcpy(saved, mine + at, size);
		memset(mine + at, fill[i], size);
		err = wr_assign(x->obj[2]->q, 1);
		open = prmem_test_reads(prmem_test_alias(x->obj[2]));
		memset(mine + at, fill[i], size);
		err |= wr_begin();
		err |= wr_assign(x->obj[2]->l, 2);
		off = irqs_disabled();
		wr_end();
		closed = !irqs_disabled() && !prmem_test_reads(prmem_test_alias(x->obj[2]));
		memcpy(mine + at, saved, size);
		preempt_enable();

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_FALSE(test, open);
		KUNIT_EXPECT_TRUE(test, off);
		KUNIT_EXPECT_TRUE(test, closed);
		KUNIT_EXPECT_EQ(test, x->obj[2]->q, 1);
		KUNIT_EXPECT_EQ(test, x->obj[2]->l, 2);
	}
	KUNIT_EXPECT_EQ(test, wr_memcpy(x->obj[2], &x->before[2], sizeof(x->before[2])), 0);
	expect_unchanged(test);
}

/* What the architecture says about .rodata is a variable that anybody can write to. */
static void prmem_test_forged_readonly(struct kunit *test)
{
	unsigned long pfn = PHYS_PFN(__pa_symbol(&prmem_test_victims));
	enum prmem_pfn_state state;
	const char *name __maybe_unused = NULL;
	bool overlaps, from_user = false;
	unsigned long offset __maybe_unused;

	prmem_test_need_protection(test);
	if (system_state < SYSTEM_RUNNING)
		kunit_skip(test, ".rodata is not read-only before user space runs");

	scoped_guard(mutex, &prmem_mutex) {
		kernel_set_to_readonly = 0;
		state = prmem_pfn_state(pfn);
		overlaps = prmem_overlaps(pfn, 1);
#ifdef CONFIG_HARDENED_USERCOPY
		from_user = prmem_check_usercopy(&prmem_test_victims, 1, false, &name, &offset);
#endif
		kernel_set_to_readonly = 1;
	}

	KUNIT_EXPECT_EQ(test, state, PRMEM_PFN_PROTECTED);
	KUNIT_EXPECT_TRUE(test, overlaps);
	KUNIT_EXPECT_FALSE(test, from_user);
}

static void set_links_to(struct kunit *test, u64 *victim, struct hlist_node *mine)
{
	struct wr_link link = { .slot = victim, .was = (void *)(*victim ^ 8), .val = mine };
	struct hlist_node plain = { .pprev = (struct hlist_node **)victim };
	struct hlist_head bucket = { .first = (struct hlist_node *)victim };

	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, __wr_links(&link, 1, _THIS_IP_));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_add_head(mine, &bucket));
	KUNIT_EXPECT_PTR_EQ(test, bucket.first, (struct hlist_node *)victim);
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_del(&plain));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_replace_rcu(&plain, mine));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_add_before(mine, &plain));
	plain.pprev = &bucket.first;
	plain.next = bucket.first;
	bucket.first = &plain;
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_add_behind(mine, &plain));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_del(&plain));
	KUNIT_EXPECT_PTR_EQ(test, bucket.first, &plain);
}

/*
 * Links in ordinary memory that lead to what is no link.  Lists with a head have the
 * checks of list_debug.c in addition, which are loud.
 */
/* With all other CPUs standing still, since they use it, too. */
static int forge_phys_base(void *buf)
{
	unsigned long was = phys_base;
	bool object;

	phys_base += (unsigned long)buf - (unsigned long)lm_alias(__start_wr_after_init);
	object = is_pmalloc_object(buf, sizeof(u64));
	phys_base = was;

	return object;
}

static void prmem_test_forged_phys_base(struct kunit *test)
{
	void *buf;

	prmem_test_need_protection(test);
	if (system_state < SYSTEM_RUNNING)
		kunit_skip(test, ".rodata is not read-only before user space runs");

	buf = (void *)__get_free_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_EQ(test, stop_machine(forge_phys_base, buf, NULL), 0);
	/* And what is there is found there. */
	KUNIT_EXPECT_TRUE(test, is_pmalloc_object(lm_alias(&prmem_test_static_victim), 8));
	free_page((unsigned long)buf);
}

static void prmem_test_forged_links(struct kunit *test)
{
	struct attack_test *x = test->priv;
	struct hlist_node *mine = (struct hlist_node *)x->obj[0]->tail;
	const struct prmem_page *meta;
	unsigned int i, k;

	/* The last word is the one in front of the next object. */
	for (i = 1; i < 3; i++) {
		for (k = 0; k < sizeof(*x->obj[i]) / sizeof(u64) - 1; k++)
			set_links_to(test, (u64 *)x->obj[i] + k, mine);
	}

	/* Metadata is no object, but it is no ordinary memory either. */
	meta = prmem_pages(&prmem_blocks[page_private(virt_to_page(x->obj[0]))]);
	prmem_test_need_protection(test);
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT,
			     prlist_init((struct list_head *)meta));
	prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT,
			     prhlist_init((struct hlist_head *)&meta[20].owner));
	KUNIT_EXPECT_PTR_EQ(test, meta->owner, &prmem_meta);
	expect_unchanged(test);
}

/* What one PMD table has slots for is not all that there can be. */
static void prmem_test_more_tables(struct kunit *test)
{
	static DECLARE_BITMAP(taken, PRMEM_NR_SLOTS);
	struct pmalloc_pool *pool;
	struct prmem_check found;
	unsigned int slot, i = 0;
	u64 *obj = NULL;

	pool = pmalloc_create_custom_pool(SZ_1M, 3, PMALLOC_MODE_START_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	for (slot = 0; slot < PTRS_PER_PMD; slot++) {
		if (slot != PRMEM_STATIC_SLOT && prmem_replace(&prmem_blocks[slot].taken, 0, 1))
			__set_bit(slot, taken);
	}
	do {
		obj = pmalloc(pool, SZ_1M);
		slot = obj ? prmem_slot_of(PHYS_PFN(__pa(obj))) : 0;
	} while (obj && slot < PTRS_PER_PMD && ++i < 8);
	KUNIT_EXPECT_NOT_NULL(test, obj);
	KUNIT_EXPECT_GE(test, slot, PTRS_PER_PMD);
	if (obj) {
		KUNIT_EXPECT_EQ(test, wr_assign(*obj, NEW), 0);
		KUNIT_EXPECT_EQ(test, *obj, NEW);
		KUNIT_EXPECT_FALSE(test, prmem_test_writes(obj));
		KUNIT_EXPECT_FALSE(test, prmem_test_writes(prmem_alias(slot, 0)));
		/* It is no ordinary memory that a list may be led to. */
		prmem_expect_refused(test, PRMEM_BAD_ADDRESS, -EFAULT,
				     prlist_init(prmem_alias(slot, 0)));
	}
	KUNIT_EXPECT_EQ(test, prmem_check(&found), 0);
	KUNIT_EXPECT_EQ(test, found.writable + found.global + found.user + found.executable, 0);

	for_each_set_bit(slot, taken, PRMEM_NR_SLOTS)
		prmem_replace(&prmem_blocks[slot].taken, 1, 0);
	bitmap_zero(taken, PRMEM_NR_SLOTS);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

/* One more block; was it among those that have been filled, and freed, just before? */
static bool block_of_filled_memory(struct kunit *test)
{
	static DECLARE_BITMAP(had, PRMEM_NR_SLOTS);
	bool junk = false;
	struct page *page[4] = {};
	unsigned long pfn[4];
	unsigned int slot, i;

	guard(mutex)(&prmem_grow_mutex);

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++)
		__assign_bit(slot, had, prmem_blocks[slot].nr_pages);
	for (i = 0; i < ARRAY_SIZE(page); i++) {
		page[i] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, WR_BLOCK_ORDER);
		pfn[i] = page[i] ? page_to_pfn(page[i]) : 0;
		if (page[i])
			memset(page_address(page[i]), 0xa5, WR_BLOCK_SIZE);
	}
	for (i = 0; i < ARRAY_SIZE(page); i++) {
		if (page[i])
			__free_pages(page[i], WR_BLOCK_ORDER);
	}

	KUNIT_EXPECT_EQ(test, prmem_grow(1), 0);
	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		const struct prmem_block *b = &prmem_blocks[slot];

		if (test_bit(slot, had) || !b->nr_pages)
			continue;
		for (i = 0; i < ARRAY_SIZE(page); i++)
			junk |= b->pfn == pfn[i];
		for (i = b->nr_meta; i < b->nr_pages; i++) {
			const struct prmem_page *meta = prmem_pages(b) + i;

			KUNIT_EXPECT_NULL(test, memchr_inv(meta, 0, sizeof(*meta)));
			KUNIT_EXPECT_NULL(test, memchr_inv(pfn_to_kaddr(b->pfn + i), 0,
							   PAGE_SIZE));
		}
	}
	scoped_guard(mutex, &prmem_mutex)
		prmem_shrink();

	return junk;
}

/* What was in a block before it was one, is gone, and was no metadata. */
static void prmem_test_block_is_wiped(struct kunit *test)
{
	int i;

	/* Somebody else may get what has been freed. */
	for (i = 0; i < 10 && !block_of_filled_memory(test); i++)
		;
	KUNIT_EXPECT_LT(test, i, 10);
}

/*
 * Another CPU has written to memory before it was protected.  It does not write CR3 until it
 * tries again, so that its TLB has what it had, but for what has been flushed.
 */
static struct {
	u64 *p;
	int step;
	long before, after;
} stale;

static bool stale_wait(int step)
{
	u64 end = local_clock() + 10 * NSEC_PER_SEC;

	/* Pairs with the smp_store_release() of the other. */
	while (smp_load_acquire(&stale.step) < step) {
		if (local_clock() > end)
			return false;
		cpu_relax();
	}

	return true;
}

static int stale_thread(void *reads)
{
	u64 val = 1;

	stale.before = copy_to_kernel_nofault(stale.p, &val, sizeof(val));
	/* Pairs with stale_wait(). */
	smp_store_release(&stale.step, 1);
	if (stale_wait(2)) {
		val = 2;
		stale.after = reads ? copy_from_kernel_nofault(&val, stale.p, sizeof(val)) :
				      copy_to_kernel_nofault(stale.p, &val, sizeof(val));
	}
	/* The same. */
	smp_store_release(&stale.step, 3);

	return 0;
}

/* Let another CPU write to @p; then it waits until stale_end(). */
static void stale_begin(struct kunit *test, u64 *p, bool reads)
{
	struct task_struct *t;

	stale.p = p;
	stale.step = 0;
	stale.after = 1;
	migrate_disable();
	t = kthread_run_on_cpu(stale_thread, reads ? &stale : NULL, prmem_test_other_cpu(),
			       "prmem_kunit/%u");
	migrate_enable();
	KUNIT_ASSERT_FALSE(test, IS_ERR(t));
	KUNIT_ASSERT_TRUE(test, stale_wait(1));
	KUNIT_EXPECT_EQ(test, stale.before, 0);
}

/* What has come of its second try. */
static long stale_end(struct kunit *test)
{
	/* Pairs with stale_wait(). */
	smp_store_release(&stale.step, 2);
	KUNIT_EXPECT_TRUE(test, stale_wait(3));

	return stale.after;
}

/* Of a pool that is not protected yet. */
static u64 *stale_object(struct kunit *test, struct pmalloc_pool **pool)
{
	u64 *obj;

	*pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, *pool);
	obj = pmalloc(*pool, sizeof(*obj));
	KUNIT_ASSERT_NOT_NULL(test, obj);

	return obj;
}

static void prmem_test_stale_view(struct kunit *test)
{
	struct pmalloc_pool *pool;
	u64 *obj;

	prmem_test_need_cpus(test);
	obj = stale_object(test, &pool);
	stale_begin(test, obj, false);
	KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
	KUNIT_EXPECT_EQ(test, stale_end(test), prmem_unprotected ? 0 : -EFAULT);
	KUNIT_EXPECT_EQ(test, *obj, prmem_unprotected ? 2 : 1);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

static void prmem_test_stale_view_gone(struct kunit *test)
{
	struct pmalloc_pool *pool;
	u64 *obj;

	prmem_test_need_cpus(test);
	obj = stale_object(test, &pool);
	if (!is_vmalloc_addr(obj)) {
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
		kunit_skip(test, "the pool has no view");
	}
	stale_begin(test, obj, true);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
	KUNIT_EXPECT_EQ(test, stale_end(test), -EFAULT);
}

static struct kunit_case prmem_attack_cases[] = {
	KUNIT_CASE(prmem_test_forged_page_hint),
	KUNIT_CASE(prmem_test_forged_hints_of_free_pages),
	KUNIT_CASE(prmem_test_forged_page),
	KUNIT_CASE(prmem_test_forged_cache),
	KUNIT_CASE(prmem_test_descriptors_are_no_objects),
	KUNIT_CASE(prmem_test_forged_pool),
	KUNIT_CASE(prmem_test_forged_allocator_hints),
	KUNIT_CASE(prmem_test_forged_batch),
	KUNIT_CASE(prmem_test_forged_readonly),
	KUNIT_CASE(prmem_test_forged_phys_base),
	KUNIT_CASE(prmem_test_forged_links),
	KUNIT_CASE(prmem_test_more_tables),
	KUNIT_CASE(prmem_test_block_is_wiped),
	KUNIT_CASE(prmem_test_stale_view),
	KUNIT_CASE(prmem_test_stale_view_gone),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_attack_suite = {
	.name = "prmem_attack",
	.suite_init = prmem_test_suite_init,
	.init = attack_init,
	.exit = attack_exit,
	.test_cases = prmem_attack_cases,
};

kunit_test_suite(prmem_attack_suite);
