// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of how protected memory gets its memory and gives it back: who waits for
 * whom, for how long, and how much is done with interrupts off.
 */
#include <linux/completion.h>
#include <linux/console.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/kthread.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmstat.h>

#include <trace/events/printk.h>

#include "test_prmem.h"

static void *find_symbol(struct kunit *test, const char *name)
{
	unsigned long addr = kallsyms_lookup_name(name);

	if (!addr)
		kunit_skip(test, "no symbol %s: needs CONFIG_KALLSYMS_ALL", name);

	return (void *)addr;
}

/* A task that must not wait for those who get memory. */
struct no_wait {
	struct pmalloc_pool *pool, *fresh;
	struct wr_cache *c;
	struct completion done;
	unsigned int got;
	int err;
};

static void no_wait_run(struct kunit *test, struct no_wait *n, int (*fn)(void *n))
{
	struct task_struct *task;
	bool done;

	init_completion(&n->done);
	/* Somebody waits for memory. */
	mutex_lock(&prmem_grow_mutex);
	task = kthread_run(fn, n, "prmem_no_wait");
	done = !IS_ERR(task) && wait_for_completion_timeout(&n->done, 60 * HZ);
	mutex_unlock(&prmem_grow_mutex);
	KUNIT_EXPECT_TRUE(test, done);
	if (!IS_ERR(task) && !done)
		wait_for_completion(&n->done);
}

static int destroy_in_reclaim(void *data)
{
	struct no_wait *n = data;

	/* What lockdep knows a task by that frees memory for others. */
	fs_reclaim_acquire(GFP_KERNEL);
	n->err = pmalloc_protect_pool(n->pool);
	n->err |= pmalloc_make_pool_ro(n->pool);
	n->err |= pmalloc_destroy_pool(n->pool);
	n->err |= wr_cache_destroy(n->c);
	fs_reclaim_release(GFP_KERNEL);
	complete(&n->done);

	return 0;
}

/* Who frees memory for others may do it by destroying a pool or a cache. */
static void prmem_test_destroy_in_reclaim(struct kunit *test)
{
	struct no_wait *n = kunit_kzalloc(test, sizeof(*n), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, n);
	n->pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	n->c = prmem_test_cache(SZ_512K, 8);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, n->pool);
	KUNIT_ASSERT_NOT_NULL(test, n->c);
	KUNIT_EXPECT_NOT_NULL(test, pmalloc(n->pool, SZ_1M));
	KUNIT_EXPECT_EQ(test, wr_cache_free(n->c, wr_cache_alloc(n->c, GFP_KERNEL)), 0);
	no_wait_run(test, n, destroy_in_reclaim);
	KUNIT_EXPECT_EQ(test, n->err, 0);
}

static int allocate_in_reclaim(void *data)
{
	unsigned int flags = memalloc_noreclaim_save(), i;
	struct no_wait *n = data;

	for (i = 0; i < 4; i++)
		n->got += !!pmalloc(n->pool, PAGE_SIZE) + !!wr_cache_alloc(n->c, GFP_KERNEL);
	n->err = pmalloc_reserve(n->pool, PAGE_SIZE);
	/* This one has nothing yet, and what is free is not writable for it. */
	n->got += pmalloc(n->fresh, 8) ? 100 : 0;
	memalloc_noreclaim_restore(flags);
	complete(&n->done);

	return 0;
}

/* Nor does a task that others wait for to get memory wait for one who does. */
static void prmem_test_allocate_in_reclaim(struct kunit *test)
{
	struct no_wait *n = kunit_kzalloc(test, sizeof(*n), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, n);
	n->pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	n->fresh = pmalloc_create_pool(PMALLOC_MODE_WR);
	n->c = prmem_test_cache(PAGE_SIZE, 8);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, n->pool);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, n->fresh);
	KUNIT_ASSERT_NOT_NULL(test, n->c);
	no_wait_run(test, n, allocate_in_reclaim);
	KUNIT_EXPECT_EQ(test, n->got, 8);
	KUNIT_EXPECT_EQ(test, n->err, 0);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(n->pool), 0);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(n->fresh), 0);
	/* Its objects stay. */
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(n->c), -EBUSY);
}

/* Of what is destroyed: how many blocks have gone, in how many grace periods. */
struct periods {
	struct rcu_gp_oldstate begin;
	long freed;
};

static void periods_begin(struct periods *p)
{
	p->freed = atomic_long_read(&wr_block_stats.freed);
	get_state_synchronize_rcu_full(&p->begin);
}

/*
 * Three waits: for those who use what is destroyed, for those who have found a block,
 * for the translations of windows that are open.  Each is one grace period, after one
 * that may be under way; of which kind they are, the phase of boot decides.
 */
static bool periods_end(struct kunit *test, struct periods *p, long blocks)
{
	struct rcu_gp_oldstate end;
	unsigned long normal, expedited, most;

	get_state_synchronize_rcu_full(&end);
	/* The lowest two bits of such a number are not part of the count. */
	normal = (end.rgos_norm - p->begin.rgos_norm) / 4;
	expedited = (end.rgos_exp - p->begin.rgos_exp) / 4;
	most = max(normal, expedited);
	p->freed = atomic_long_read(&wr_block_stats.freed) - p->freed;
	kunit_info(test, "%lu normal and %lu expedited grace periods for %ld blocks", normal,
		   expedited, p->freed);
	if (p->freed)
		KUNIT_EXPECT_GE(test, most, 3);
	if (p->freed < blocks)
		return false;
	/* Others have some as well, but not two for each block. */
	KUNIT_EXPECT_LT(test, normal + expedited, 2 * p->freed);

	return true;
}

#define MANY_BLOCKS	12

/* To give many blocks back takes no longer than to give one. */
static void prmem_test_grace_periods(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	struct wr_cache *c = prmem_test_cache(SZ_1M, 8);
	void *obj[MANY_BLOCKS];
	struct periods p;
	bool many;
	int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	KUNIT_ASSERT_NOT_NULL(test, c);
	/* No two of them fit into a block. */
	for (i = 0; i < MANY_BLOCKS; i++)
		(void)!pmalloc(pool, SZ_1M + SZ_128K);
	periods_begin(&p);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
	many = periods_end(test, &p, MANY_BLOCKS - 2);

	for (i = 0; i < MANY_BLOCKS; i++)
		obj[i] = (void *)wr_cache_alloc(c, GFP_KERNEL);
	for (i = 0; i < MANY_BLOCKS; i++)
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, obj[i]), 0);
	periods_begin(&p);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	many &= periods_end(test, &p, MANY_BLOCKS - 2);
	if (!many)
		kunit_skip(test, "there are no blocks left");
}

#define GONE_BLOCKS	4
#define GONE_SIZE	(SZ_1M + SZ_128K)	/* No two of them fit into a block. */
#define GONE_ROUNDS	20
#define GONE_TRIES	16

/* Blocks that come and go again; returns the slot of one that is gone, and its page frame. */
static unsigned int slot_of_gone(struct kunit *test, unsigned long *pfn)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	unsigned int slot[GONE_BLOCKS], i;
	unsigned long pfns[GONE_BLOCKS];
	u64 *obj;

	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, pool);
	for (i = 0; i < GONE_BLOCKS; i++) {
		obj = !IS_ERR(pool) ? pmalloc(pool, GONE_SIZE) : NULL;
		/* Of several pieces, it is in vmalloc space. */
		if (!obj || !virt_addr_valid(obj))
			break;
		slot[i] = prmem_slot_of(PHYS_PFN(__pa(obj)));
		pfns[i] = prmem_blocks[slot[i]].pfn;
		/* So the window has a translation. */
		KUNIT_EXPECT_EQ(test, wr_assign(*obj, OLD), 0);
	}
	if (!IS_ERR(pool))
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
	while (i--) {
		if (!prmem_blocks[slot[i]].nr_pages) {
			*pfn = pfns[i];
			return slot[i];
		}
	}

	return PRMEM_NR_SLOTS;
}

/* Take @pfn, if it is what is given out next or soon, so that the next block is another. */
static struct page *hold_block(unsigned long pfn)
{
	struct page *page[GONE_TRIES], *held = NULL;
	unsigned int i, n;

	for (n = 0; n < GONE_TRIES && !held; n++) {
		page[n] = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, WR_BLOCK_ORDER);
		if (!page[n])
			break;
		if (page_to_pfn(page[n]) == pfn)
			held = page[n];
	}
	for (i = 0; i < n; i++) {
		if (page[i] != held)
			__free_pages(page[i], WR_BLOCK_ORDER);
	}

	return held;
}

/* Allocates until an object is in @slot, which another block than @pfn has; true if one is. */
static bool use_slot(struct kunit *test, unsigned int slot, unsigned long pfn)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	bool other = false;
	u64 *obj;

	/* The first ones may fit into what is left of other blocks. */
	do {
		obj = !IS_ERR(pool) ? pmalloc(pool, GONE_SIZE) : NULL;
		if (!obj)
			break;
		KUNIT_EXPECT_EQ(test, wr_assign(*obj, NEW), 0);
		KUNIT_EXPECT_EQ(test, *obj, NEW);
		other = virt_addr_valid(obj) && prmem_slot_of(PHYS_PFN(__pa(obj))) == slot &&
			prmem_blocks[slot].pfn != pfn;
	} while (!other);
	if (!IS_ERR(pool))
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);

	return other;
}

/* In a slot that another block had, nobody finds that one. */
static void prmem_test_slot_is_reused(struct kunit *test)
{
	static DECLARE_BITMAP(taken, PRMEM_NR_SLOTS);
	unsigned int i, slot, round;
	bool other = false;
	unsigned long pfn = 0;
	struct page *held;

	/* The translation that was of use is that of this CPU. */
	migrate_disable();
	for (round = 0; round < GONE_ROUNDS && !other; round++) {
		slot = slot_of_gone(test, &pfn);
		if (slot == PRMEM_NR_SLOTS)
			continue;
		held = hold_block(pfn);
		/* No other slot is free. */
		for (i = 0; i < PRMEM_NR_SLOTS; i++) {
			if (i != PRMEM_STATIC_SLOT && i != slot &&
			    prmem_replace(&prmem_blocks[i].taken, 0, 1))
				__set_bit(i, taken);
		}
		other = use_slot(test, slot, pfn);
		for_each_set_bit(i, taken, PRMEM_NR_SLOTS)
			prmem_replace(&prmem_blocks[i].taken, 1, 0);
		bitmap_zero(taken, PRMEM_NR_SLOTS);
		if (held)
			__free_pages(held, WR_BLOCK_ORDER);
	}
	migrate_enable();
	if (!other)
		kunit_skip(test, "no block, or no other one, has got the slot in %u rounds", round);
	kunit_info(test, "another block had the slot in round %u", round);
}

#define CLAIM_ROUNDS	60

struct claimants {
	const u32 *word;
	atomic_t round;
	atomic_t won;
	atomic_t ready;
	atomic_t done;
};

static int claimant(void *data)
{
	struct claimants *c = data;
	int round;

	for (round = 1; round <= CLAIM_ROUNDS; round++) {
		/* All at once. */
		atomic_inc(&c->ready);
		while (atomic_read(&c->round) < round)
			cond_resched();
		if (prmem_replace(c->word, 0, 1))
			atomic_inc(&c->won);
		atomic_inc(&c->done);
	}

	return 0;
}

static bool wait_for(const atomic_t *count, int value)
{
	unsigned long end = jiffies + 30 * HZ;

	while (atomic_read(count) < value && time_before(jiffies, end))
		cond_resched();

	return atomic_read(count) >= value;
}

/* A word of metadata that two want is changed by one of them. */
static void prmem_test_replace_race(struct kunit *test)
{
	struct claimants *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	unsigned int slot = PRMEM_NR_SLOTS, round, bad = 0;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	prmem_test_need_cpus(test);
	for (i = 0; i < 2; i++)
		KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(claimant, c, "claimant/%d", i)));
	/* Nobody else wants the slot meanwhile. */
	mutex_lock(&prmem_grow_mutex);
	while (--slot && prmem_blocks[slot].taken)
		;
	c->word = &prmem_blocks[slot].taken;
	for (round = 1; round <= CLAIM_ROUNDS; round++) {
		if (!wait_for(&c->ready, 2 * round))
			break;
		atomic_set(&c->won, 0);
		atomic_set(&c->round, round);
		if (!wait_for(&c->done, 2 * round))
			break;
		bad += atomic_read(&c->won) != 1;
		bad += !prmem_replace(c->word, 1, 0);
	}
	mutex_unlock(&prmem_grow_mutex);
	atomic_set(&c->round, CLAIM_ROUNDS);
	KUNIT_EXPECT_TRUE(test, wait_for(&c->done, 2 * CLAIM_ROUNDS));
	KUNIT_EXPECT_GT(test, round, CLAIM_ROUNDS);
	KUNIT_EXPECT_EQ(test, bad, 0);
}

/* What has been taken of the reserve, by somebody who does not wait, comes back. */
static void prmem_test_reserve_is_refilled(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	atomic_t *nr_free = find_symbol(test, "prmem_nr_free");
	int i, k, full = 0;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	for (i = 0; i < 2; i++) {
		/* Whatever comes in between. */
		for (k = 0; k < 4096 && pmalloc_nowait(pool, PAGE_SIZE); k++)
			;
		for (k = 0; k < 500 && atomic_read(nr_free) < PRMEM_RESERVE_PAGES; k++) {
			/* If it is not there yet, somebody has to ask again. */
			(void)!pmalloc_nowait(pool, 8);
			msleep(20);
		}
		full += atomic_read(nr_free) >= PRMEM_RESERVE_PAGES;
	}
	KUNIT_EXPECT_EQ(test, full, 2);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

#define HOLED_BLOCKS	8
#define HOLED_PAGES	(HOLED_BLOCKS * 500)
#define LONG_RUN	100

/* From one slot to another, all pages of blocks with so many free ones. */
static unsigned long pages_between(unsigned int from, unsigned int to)
{
	unsigned long sum = 0;

	for (;; from = (from + 1) % PRMEM_NR_SLOTS) {
		if (atomic_read(&prmem_blocks[from].free) >= LONG_RUN)
			sum += prmem_blocks[from].nr_pages;
		if (from == to)
			return sum;
	}
}

/* Take a run of pages; tell how many it has looked at that were none. */
static u32 claim_run(const struct prmem_owner *owner, unsigned int *last, unsigned long *looks)
{
	struct prmem_window w;
	unsigned int from;
	u32 id = 0;

	if (prmem_open(&w))
		return 0;
	from = READ_ONCE(*last);
	id = prmem_claim(owner, LONG_RUN);
	if (!id)
		*looks = max(*looks, pages_between(from, READ_ONCE(*last)));
	prmem_close(&w);

	return id;
}

/* However many blocks have free pages in the wrong places. */
static void prmem_test_claim_is_bounded(struct kunit *test)
{
	unsigned int *last = find_symbol(test, "prmem_last_slot"), i, nr = 0;
	struct wr_cache *kept = prmem_test_cache(PAGE_SIZE, 8);
	struct wr_cache *gone = prmem_test_cache(PAGE_SIZE, 8);
	void **obj = kvcalloc(HOLED_PAGES, sizeof(*obj), GFP_KERNEL);
	long whole = atomic_long_read(&wr_block_stats.whole);
	unsigned long looks = 0;
	u32 id, run = 0;

	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_ASSERT_NOT_NULL(test, kept);
	KUNIT_ASSERT_NOT_NULL(test, gone);
	/* Every other page stays. */
	for (i = 0; i < HOLED_PAGES; i++) {
		obj[i] = (void *)wr_cache_alloc(i % 2 ? kept : gone, GFP_KERNEL);
		if (!obj[i])
			break;
		nr++;
	}
	for (i = 0; i < nr; i += 2)
		KUNIT_EXPECT_EQ(test, wr_cache_free(gone, obj[i]), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(gone), 0);
	whole = atomic_long_read(&wr_block_stats.whole) - whole;

	/* What there is besides, for ever in vain after that. */
	for (i = 0; i < 60; i++) {
		id = claim_run(&kept->owner, last, &looks);
		run = id ?: run;
	}
	KUNIT_EXPECT_GT(test, looks, 0);
	KUNIT_EXPECT_LE(test, looks, 3 << WR_BLOCK_ORDER);

	/* One that is free again is found, if not at once. */
	if (run) {
		for (i = LONG_RUN; i-- > 0;)
			prmem_give_back(prmem_page_of(run) + i, &kept->owner);
		for (i = 0, id = 0; i < HOLED_BLOCKS && !id; i++)
			id = claim_run(&kept->owner, last, &looks);
		KUNIT_EXPECT_NE(test, id, 0);
	}

	for (i = 1; i < nr; i += 2)
		KUNIT_EXPECT_EQ(test, wr_cache_free(kept, obj[i]), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(kept), 0);
	kvfree(obj);
	kunit_info(test, "%lu pages looked at of %ld blocks", looks, whole);
	if (nr < HOLED_PAGES || whole < HOLED_BLOCKS / 2)
		kunit_skip(test, "there are no blocks left");
}

#define HELD_PAIRS	32
#define HELD_BLOCKS	110	/* to hold more takes too long */
#define DROPS		20

/* Neither blocks nor what could become one are left, but half a block here and there. */
struct fragmented {
	struct list_head held;
	struct page *half[HELD_PAIRS];
};

static void fragment(struct fragmented *f)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY;
	struct page *page;
	unsigned int i = 0;

	INIT_LIST_HEAD(&f->held);
	while ((page = alloc_pages(gfp, WR_BLOCK_ORDER))) {
		if (i < HELD_PAIRS) {
			split_page(page, WR_BLOCK_ORDER);
			f->half[i++] = page;
		} else {
			list_add(&page->lru, &f->held);
		}
	}
	while (i--) {
		unsigned int k;

		for (k = 0; k < BIT(WR_BLOCK_ORDER) / 2; k++)
			__free_page(f->half[i] + k);
	}
}

static void defragment(struct fragmented *f)
{
	struct page *page, *next;
	unsigned int i, k;

	list_for_each_entry_safe(page, next, &f->held, lru)
		__free_pages(page, WR_BLOCK_ORDER);
	for (i = 0; i < HELD_PAIRS && f->half[i]; i++) {
		for (k = BIT(WR_BLOCK_ORDER) / 2; k < BIT(WR_BLOCK_ORDER); k++)
			__free_page(f->half[i] + k);
	}
}

/* Those who take of the reserve do not all search for blocks where there are none. */
static void prmem_test_refill_storm(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	struct fragmented *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	atomic_t *nr_free = find_symbol(test, "prmem_nr_free");
	long failed, small, used = 0;
	unsigned long begin;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	KUNIT_ASSERT_NOT_NULL(test, f);
	if (global_zone_page_state(NR_FREE_PAGES) > HELD_BLOCKS << WR_BLOCK_ORDER) {
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
		kunit_skip(test, "there is too much memory to use up");
	}
	fragment(f);
	failed = atomic_long_read(&wr_block_stats.failed);
	small = atomic_long_read(&wr_block_stats.small);
	begin = jiffies;
	for (i = 0; i < DROPS; i++) {
		/* Down to what is less than the reserve, which asks for more each time. */
		while (atomic_read(nr_free) >= PRMEM_RESERVE_PAGES - 16 &&
		       pmalloc_nowait(pool, PAGE_SIZE))
			used++;
		(void)!pmalloc_nowait(pool, PAGE_SIZE);
		msleep(40);
	}
	failed = atomic_long_read(&wr_block_stats.failed) - failed;
	small = atomic_long_read(&wr_block_stats.small) - small;
	begin = jiffies - begin;
	defragment(f);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);

	kunit_info(test, "%ld pages taken, %ld pieces, %ld searches in vain, %u ms", used, small,
		   failed, jiffies_to_msecs(begin));
	if (!failed)
		kunit_skip(test, "there were blocks left, or the reserve was enough");
	KUNIT_EXPECT_LE(test, failed, (long)(1 + begin / HZ) * 2);
}

#define COPIERS		2
#define COPIES		20
#define COPY_SIZE	(100 * 1024)

struct copiers {
	struct pmalloc_pool *pool;
	char *text;
	atomic_t done;
	atomic_t bad;
	atomic_t got;
};

static int copier(void *data)
{
	struct copiers *c = data;
	char *copy;
	int i;

	for (i = 0; i < COPIES; i++) {
		copy = pstrdup(c->pool, c->text);
		if (copy)
			atomic_add(strcmp(copy, c->text) ? 1 : 0, &c->bad);
		atomic_add(!!copy, &c->got);
		cond_resched();
	}
	/* Pairs with atomic_read_acquire() in prmem_test_pstrdup_shared(). */
	atomic_inc_return_release(&c->done);

	return 0;
}

/* On the CPU of those who copy, in whose midst it comes. */
static int protector(void *data)
{
	struct copiers *c = data;
	unsigned long took;
	ktime_t begin;

	sched_set_fifo(current);
	while (!kthread_should_stop()) {
		begin = ktime_get();
		atomic_add(!!pmalloc_protect_pool(c->pool), &c->bad);
		/* On a machine that takes its time for that, they get on all the same. */
		took = ktime_us_delta(ktime_get(), begin);
		usleep_range(100 + 4 * took, 150 + 5 * took);
	}

	return 0;
}

static struct task_struct *run_here(int (*fn)(void *), struct copiers *c, const char *name)
{
	struct task_struct *task = kthread_create(fn, c, "%s", name);

	if (IS_ERR(task))
		return NULL;
	kthread_bind(task, 0);
	wake_up_process(task);

	return task;
}

/* Whoever has the area protected before the copy is done. */
static void prmem_test_pstrdup_shared(struct kunit *test)
{
	static const u8 modes[] = { PMALLOC_MODE_AUTO_RO, PMALLOC_MODE_AUTO_WR, PMALLOC_MODE_RO };
	struct copiers *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct task_struct *task;
	int i, k;

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->text = kunit_kzalloc(test, COPY_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->text);
	memset(c->text, 'x', COPY_SIZE - 1);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		c->pool = pmalloc_create_custom_pool(COPY_SIZE, 3, modes[i]);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c->pool);
		atomic_set(&c->done, 0);
		task = run_here(protector, c, "protector");
		KUNIT_ASSERT_NOT_NULL(test, task);
		for (k = 0; k < COPIERS; k++)
			KUNIT_EXPECT_NOT_NULL(test, run_here(copier, c, "copier"));
		/* Pairs with atomic_inc_return_release() in copier(). */
		for (k = 0; k < 10000 && atomic_read_acquire(&c->done) != COPIERS; k++)
			msleep(20);
		kthread_stop(task);
		KUNIT_ASSERT_EQ_MSG(test, atomic_read(&c->done), COPIERS, "mode %u", modes[i]);
		KUNIT_EXPECT_EQ(test, atomic_read(&c->bad), 0);
		KUNIT_EXPECT_GT(test, atomic_xchg(&c->got, 0), 0);
		KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(c->pool), 0);
	}
}

/* A pool knows what it has handed out, not to whom; a cache knows each object. */
static void prmem_test_pool_has_no_bounds(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	struct wr_cache *c = prmem_test_cache(64, 8);
	u64 *above, *below, *obj;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	KUNIT_ASSERT_NOT_NULL(test, c);
	above = pmalloc(pool, 64);
	below = pmalloc(pool, 64);
	obj = (void *)wr_cache_alloc(c, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, above);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_ASSERT_PTR_EQ(test, below, above - 8);
	KUNIT_EXPECT_EQ(test, wr_memset(below, 0x33, 72), 0);
	KUNIT_EXPECT_EQ(test, *above, 0x3333333333333333ULL);
	KUNIT_EXPECT_TRUE(test, is_pmalloc_object(below, 128));
	KUNIT_EXPECT_FALSE(test, is_pmalloc_object(below, 129 + PAGE_SIZE));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_memset(below - 1, 0x33, 8));
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_memset(obj, 0x33, 72));
	KUNIT_EXPECT_EQ(test, wr_cache_free(c, obj), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

static atomic_t refusals_logged;

/* In any context, with the console's locks. */
static void count_refusals(void *unused, const char *line, size_t len)
{
	if (strnstr(line, "prmem: not aligned to its size; refused", len))
		atomic_inc(&refusals_logged);
}

/* What is harmless does not hide what comes later, nor does it fill the log. */
static void prmem_test_refusals_are_logged(struct kunit *test)
{
	struct ratelimit_state *limit = find_symbol(test, "prmem_warned");
	struct wr_cache *c = prmem_test_cache(64, 8);
	int i, some, all;
	u8 *obj;

	KUNIT_ASSERT_NOT_NULL(test, c);
	obj = (void *)wr_cache_alloc(c, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	/* What other cases have provoked was long ago. */
	limit[PRMEM_BAD_ALIGN].begin = 0;
	limit[PRMEM_BAD_ALIGN].printed = 0;
	atomic_set(&refusals_logged, 0);
	KUNIT_ASSERT_EQ(test, register_trace_console(count_refusals, NULL), 0);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, __wr_store(NULL, obj + 1, 0, 8), -EINVAL);
	some = atomic_read(&refusals_logged);
	for (i = 0; i < 100; i++)
		KUNIT_EXPECT_EQ(test, __wr_store(NULL, obj + 1, 0, 8), -EINVAL);
	all = atomic_read(&refusals_logged);
	unregister_trace_console(count_refusals, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, some, 3);
	KUNIT_EXPECT_LE(test, all, 50);
	KUNIT_EXPECT_EQ(test, wr_cache_free(c, obj), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
}

static void *prmem_test_only_pointer __wr_after_init;

/* Only a protected variable leads to it: kmemleak, asked later, must not take it for lost. */
static void prmem_test_variable_leads_there(struct kunit *test)
{
	void *object;

	/* It stays, also if the suite runs again. */
	if (!prmem_test_only_pointer) {
		object = kmalloc(sizeof(long), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, object);
		if (wr_assign(prmem_test_only_pointer, object))
			kfree(object);
	}
	KUNIT_EXPECT_NOT_NULL(test, prmem_test_only_pointer);
}

static struct kunit_case prmem_memory_cases[] = {
	KUNIT_CASE(prmem_test_destroy_in_reclaim),
	KUNIT_CASE(prmem_test_allocate_in_reclaim),
	KUNIT_CASE(prmem_test_grace_periods),
	KUNIT_CASE(prmem_test_slot_is_reused),
	KUNIT_CASE(prmem_test_replace_race),
	KUNIT_CASE(prmem_test_claim_is_bounded),
	KUNIT_CASE(prmem_test_reserve_is_refilled),
	KUNIT_CASE(prmem_test_refill_storm),
	KUNIT_CASE(prmem_test_pstrdup_shared),
	KUNIT_CASE(prmem_test_pool_has_no_bounds),
	KUNIT_CASE(prmem_test_refusals_are_logged),
	KUNIT_CASE(prmem_test_variable_leads_there),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_memory_suite = {
	.name = "prmem_memory",
	.suite_init = prmem_test_suite_init,
	.test_cases = prmem_memory_cases,
};

kunit_test_suite(prmem_memory_suite);
