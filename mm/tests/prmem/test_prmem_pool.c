// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: pools, their modes, and what is an object.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>
#include <asm/tsc.h>

#include "test_prmem.h"

static const struct mode {
	const char *name;
	u8 mode;
} modes[] = {
	{ "RO", PMALLOC_MODE_RO },
	{ "WR", PMALLOC_MODE_WR },
	{ "AUTO_RO", PMALLOC_MODE_AUTO_RO },
	{ "AUTO_WR", PMALLOC_MODE_AUTO_WR },
	{ "START_WR", PMALLOC_MODE_START_WR },
};

/* Destroyed by the exit function, whatever a case has left. */
struct pool_test {
	struct pmalloc_pool *pool[2];
};

static int pool_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct pool_test), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);

	return 0;
}

static void drop_pool(struct kunit *test, unsigned int which)
{
	struct pool_test *x = test->priv;
	struct pmalloc_pool *pool = x->pool[which];

	x->pool[which] = NULL;
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

static void pool_exit(struct kunit *test)
{
	if (!test->priv)
		return;
	drop_pool(test, 0);
	drop_pool(test, 1);
}

static struct pmalloc_pool *new_pool(struct kunit *test, unsigned int which, size_t refill,
				     int order, u8 mode)
{
	struct pool_test *x = test->priv;

	x->pool[which] = pmalloc_create_custom_pool(refill, order, mode);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, x->pool[which]);

	return x->pool[which];
}

static u64 *new_object(struct kunit *test, struct pmalloc_pool *pool, size_t size)
{
	u64 *obj = pmalloc(pool, size);

	KUNIT_ASSERT_NOT_NULL(test, obj);

	return obj;
}

/* What can be done to an object. */
enum state { OPEN, WRITE_RARE, READ_ONLY };

static void expect_state(struct kunit *test, u64 *obj, enum state state, const char *name,
			 const char *when)
{
	u64 was = READ_ONCE(*obj), *direct = prmem_test_direct(obj);
	int err;

	KUNIT_EXPECT_EQ_MSG(test, prmem_test_writes(obj), state == OPEN, "%s %s", name, when);
	KUNIT_EXPECT_FALSE_MSG(test, prmem_test_writes(direct), "%s %s", name, when);
	KUNIT_EXPECT_EQ_MSG(test, READ_ONCE(*direct), was, "%s %s", name, when);
	KUNIT_EXPECT_TRUE_MSG(test, is_pmalloc_object(obj, 8), "%s %s", name, when);
	KUNIT_EXPECT_EQ_MSG(test, is_pmalloc_ro_object(obj, 8), state == READ_ONLY,
			    "%s %s", name, when);
	KUNIT_EXPECT_EQ_MSG(test, is_pmalloc_wr_object(obj, 8), state == WRITE_RARE,
			    "%s %s", name, when);

	err = wr_assign(*obj, was + 1);
	KUNIT_EXPECT_EQ_MSG(test, err, state == WRITE_RARE ? 0 : -EPERM, "%s %s", name, when);
	KUNIT_EXPECT_EQ_MSG(test, READ_ONCE(*obj), was + (state == WRITE_RARE), "%s %s",
			    name, when);
	if (state == WRITE_RARE)
		KUNIT_EXPECT_EQ(test, wr_assign(*obj, was), 0);
}

/* From the first object to the end of each kind of pool. */
static void prmem_test_pool_modes(struct kunit *test)
{
	int i;

	prmem_test_need_protection(test);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		bool start = modes[i].mode & PMALLOC_START;
		enum state before = start ? WRITE_RARE : OPEN;
		enum state after = modes[i].mode & PMALLOC_WR ? WRITE_RARE : READ_ONLY;
		const char *name = modes[i].name;
		struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, modes[i].mode);
		u64 *a, *b, *c;

		KUNIT_EXPECT_EQ_MSG(test, pmalloc_protect_pool(pool), 0, "%s", name);
		a = new_object(test, pool, 64);
		KUNIT_EXPECT_PTR_EQ_MSG(test, memchr_inv(a, 0, 64), NULL, "%s", name);
		if (!start)
			memset64(a, OLD, 8);
		expect_state(test, a, before, name, "at first");

		KUNIT_EXPECT_EQ_MSG(test, pmalloc_protect_pool(pool), 0, "%s", name);
		expect_state(test, a, after, name, "protected");
		KUNIT_EXPECT_EQ_MSG(test, *a, start ? 0 : OLD, "%s", name);
		KUNIT_EXPECT_EQ_MSG(test, pmalloc_protect_pool(pool), 0, "%s", name);
		expect_state(test, a, after, name, "protected twice");

		/* The rest of the area is lost, but if it was protected from the start. */
		b = new_object(test, pool, 64);
		KUNIT_EXPECT_EQ_MSG(test, b == a - 8, start, "%s", name);
		expect_state(test, b, before, name, "newer");
		expect_state(test, a, after, name, "older");

		/* Nothing is left to write. */
		KUNIT_EXPECT_EQ_MSG(test, pmalloc_make_pool_ro(pool), 0, "%s", name);
		expect_state(test, a, READ_ONLY, name, "older, for ever");
		expect_state(test, b, READ_ONLY, name, "newer, for ever");
		KUNIT_EXPECT_EQ_MSG(test, pmalloc_make_pool_ro(pool), 0, "%s", name);
		KUNIT_EXPECT_EQ_MSG(test, pmalloc_protect_pool(pool), 0, "%s", name);

		if (start) {
			prmem_expect_refused(test, PRMEM_READ_ONLY, 0, pmalloc(pool, 64));
		} else {
			c = new_object(test, pool, 64);
			expect_state(test, c, OPEN, name, "newest");
			KUNIT_EXPECT_EQ_MSG(test, pmalloc_protect_pool(pool), 0, "%s", name);
			expect_state(test, c, READ_ONLY, name, "newest, protected");
		}
		drop_pool(test, 0);
	}
}

/* To make a pool read-only protects it as well. */
static void prmem_test_pool_make_ro_at_once(struct kunit *test)
{
	int i;

	prmem_test_need_protection(test);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, modes[i].mode);
		u64 *obj = new_object(test, pool, 64);

		KUNIT_EXPECT_EQ(test, pmalloc_make_pool_ro(pool), 0);
		expect_state(test, obj, READ_ONLY, modes[i].name, "at once");
		drop_pool(test, 0);
	}
}

struct late_write {
	u64 *obj;
	int started, returned, done;
	bool too_early;
	int err;
};

/* A write that has begun takes its time. */
static void write_late(void *info)
{
	cycles_t start = get_cycles();
	struct late_write *l = info;
	u64 *edit = wr_edit(NULL, l->obj);

	l->err = PTR_ERR_OR_ZERO(edit);
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&l->started, 1);
	if (!l->err) {
		while (!READ_ONCE(l->returned) && get_cycles() - start < 100ULL * tsc_khz)
			cpu_relax();
		l->too_early = READ_ONCE(l->returned);
		/* As wr_put() does it, for what is no structure. */
		WRITE_ONCE(*edit, 2);
		wr_end();
	}
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&l->done, 1);
}

/* pmalloc_make_pool_ro() returns when nobody is in the middle of a write. */
static void prmem_test_pool_make_ro_waits(struct kunit *test)
{
	struct late_write *l = kunit_kzalloc(test, sizeof(*l), GFP_KERNEL);
	struct pmalloc_pool *pool;
	int i;

	prmem_test_need_cpus(test);
	KUNIT_ASSERT_NOT_NULL(test, l);
	for (i = 0; i < 3; i++) {
		pool = new_pool(test, 0, 0, -1, i & 1 ? PMALLOC_MODE_WR : PMALLOC_MODE_START_WR);
		memset(l, 0, sizeof(*l));
		l->obj = new_object(test, pool, 64);
		KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
		KUNIT_EXPECT_EQ(test, wr_assign(*l->obj, 1), 0);

		migrate_disable();
		smp_call_function_single(prmem_test_other_cpu(), write_late, l, false);
		KUNIT_EXPECT_TRUE(test, prmem_test_wait(&l->started));
		KUNIT_EXPECT_EQ(test, pmalloc_make_pool_ro(pool), 0);
		WRITE_ONCE(l->returned, 1);
		KUNIT_EXPECT_TRUE(test, prmem_test_wait(&l->done));
		migrate_enable();

		KUNIT_EXPECT_EQ(test, l->err, 0);
		KUNIT_EXPECT_FALSE(test, l->too_early);
		KUNIT_EXPECT_EQ(test, *l->obj, 2);
		drop_pool(test, 0);
	}
}

/* An area that is full: only AUTO protects it when the next one begins. */
static void prmem_test_pool_growth(struct kunit *test)
{
	int i;

	prmem_test_need_protection(test);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		u8 mode = modes[i].mode;
		enum state after = mode & PMALLOC_WR ? WRITE_RARE : READ_ONLY;
		enum state open = mode & PMALLOC_START ? WRITE_RARE : OPEN;
		enum state full = mode & PMALLOC_AUTO ? after : open;
		struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, mode);
		u64 *first = new_object(test, pool, PAGE_SIZE - 64);
		u64 *fits = new_object(test, pool, 64);
		u64 *next, *last;

		expect_state(test, first, open, modes[i].name, "full");
		expect_state(test, fits, open, modes[i].name, "full");
		next = new_object(test, pool, 8);
		expect_state(test, first, full, modes[i].name, "and grown");
		expect_state(test, fits, full, modes[i].name, "and grown");
		expect_state(test, next, open, modes[i].name, "new");
		/* What does not fit into the rest begins another one, too. */
		last = new_object(test, pool, 3 * PAGE_SIZE);
		expect_state(test, next, full, modes[i].name, "not full");
		expect_state(test, last, open, modes[i].name, "large");
		expect_state(test, last + 3 * PAGE_SIZE / 8 - 1, open, modes[i].name, "end");

		KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
		expect_state(test, first, after, modes[i].name, "at last");
		expect_state(test, fits, after, modes[i].name, "at last");
		expect_state(test, next, after, modes[i].name, "at last");
		expect_state(test, last, after, modes[i].name, "at last");
		drop_pool(test, 0);
	}
}

/* Objects of all sizes, one below the other. */
static void prmem_test_pool_alignment(struct kunit *test)
{
	static const size_t sizes[] = { 1, 3, 8, 17, 64, 100, 700, 1, 2, 4096, 5 };
	int order, i, k;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		for (order = -1; order <= PAGE_SHIFT; order += 1 + (order > 2)) {
			unsigned long align = order < 0 ? ARCH_KMALLOC_MINALIGN : 1UL << order;
			struct pmalloc_pool *pool = new_pool(test, 0, 16 * PAGE_SIZE, order,
							     modes[i].mode);
			unsigned long addr, last = 0;
			unsigned int bad = 0, apart = 0;

			for (k = 0; k < ARRAY_SIZE(sizes); k++) {
				u64 *obj = new_object(test, pool, sizes[k]);

				addr = (unsigned long)obj;
				bad += !IS_ALIGNED(addr, align);
				bad += !!memchr_inv(obj, 0, sizes[k]);
				/* No byte is wasted but for alignment. */
				apart += last && addr != round_down(last - sizes[k], align);
				last = addr;
			}
			KUNIT_EXPECT_EQ_MSG(test, bad, 0, "%s order %d", modes[i].name, order);
			KUNIT_EXPECT_EQ_MSG(test, apart, 0, "%s order %d", modes[i].name, order);
			drop_pool(test, 0);
		}
	}
}

static void prmem_test_pool_refill(struct kunit *test)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct pmalloc_pool *pool = new_pool(test, 0, 3 * PAGE_SIZE + 1, 3, modes[i].mode);
		u64 *last = new_object(test, pool, PAGE_SIZE), *obj;
		int k;

		/* Four pages, and then others. */
		for (k = 1; k < 4; k++) {
			obj = new_object(test, pool, PAGE_SIZE);
			KUNIT_EXPECT_PTR_EQ_MSG(test, obj, last - PAGE_SIZE / 8, "%s",
						modes[i].name);
			last = obj;
		}
		/* Whoever has what is below, they are two objects. */
		KUNIT_EXPECT_FALSE(test, is_pmalloc_object(last - 1, 16));
		drop_pool(test, 0);
	}
}

/* What was reserved is there in a batch, whose window it shares; and more, if it is free. */
static void prmem_test_pool_reserve(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	u64 value = NEW, *obj[3];
	unsigned int i;
	int err = 0;
	u32 area;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	KUNIT_ASSERT_EQ(test, pmalloc_reserve(pool, PAGE_SIZE - 8), 0);
	area = pool->area;
	/* It is only reserved once, however often somebody asks. */
	KUNIT_ASSERT_EQ(test, pmalloc_reserve(pool, PAGE_SIZE - 8), 0);
	KUNIT_EXPECT_EQ(test, pool->area, area);
	KUNIT_ASSERT_EQ(test, wr_begin(), 0);
	obj[0] = pmalloc_nowait(pool, PAGE_SIZE - 8);
	obj[1] = pmalloc_nowait(pool, 8);
	err |= pool->area != area;
	obj[2] = pmalloc_nowait(pool, 8);
	err |= pool->area == area;
	for (i = 0; i < ARRAY_SIZE(obj); i++)
		err |= !obj[i] || wr_memcpy(obj[i], &value, sizeof(value));
	wr_end();
	KUNIT_EXPECT_EQ(test, err, 0);
	for (i = 0; i < ARRAY_SIZE(obj) && !err; i++) {
		KUNIT_EXPECT_EQ(test, *obj[i], NEW);
		KUNIT_EXPECT_FALSE(test, prmem_test_writes(obj[i]));
	}

	KUNIT_ASSERT_EQ(test, pmalloc_reserve(pool, 3 * PAGE_SIZE), 0);
	KUNIT_EXPECT_NOT_NULL(test, pmalloc_nowait(pool, 3 * PAGE_SIZE));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL, pmalloc_reserve(pool, 0));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL, pmalloc_reserve(pool, SIZE_MAX));
	KUNIT_EXPECT_EQ(test, pmalloc_make_pool_ro(pool), 0);
	prmem_expect_refused(test, PRMEM_READ_ONLY, -EPERM, pmalloc_reserve(pool, 8));
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
	prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, pmalloc_reserve(pool, 8));
}

/*
 * Who may not wait for memory does not wait for the mutex either, and gets what is
 * protected and free; of what is writable at first, only what the pool has.
 */
static void prmem_test_pool_no_wait(struct kunit *test)
{
	struct pmalloc_pool *pool, *open;
	unsigned int noio, i, nr = 0;
	unsigned long flags;
	void *obj, *last = NULL;

	pool = new_pool(test, 0, 0, 3, PMALLOC_MODE_START_WR);
	open = new_pool(test, 1, 0, 3, PMALLOC_MODE_WR);

	mutex_lock(&prmem_grow_mutex);
	noio = memalloc_noio_save();
	for (i = 0; i < 8; i++) {
		obj = i % 2 ? pmalloc(pool, PAGE_SIZE) : pmalloc_nowait(pool, PAGE_SIZE);
		nr += obj && obj != last && is_pmalloc_wr_object(obj, PAGE_SIZE);
		last = obj;
	}
	nr += !pmalloc_reserve(pool, PAGE_SIZE);
	KUNIT_EXPECT_NULL(test, pmalloc(open, 8));
	memalloc_noio_restore(noio);
	mutex_unlock(&prmem_grow_mutex);
	KUNIT_EXPECT_EQ(test, nr, 8 + 1);
	KUNIT_EXPECT_NOT_NULL(test, pmalloc_nowait(pool, PAGE_SIZE));

	/* With interrupts off as well. */
	local_irq_save(flags);
	obj = pmalloc_nowait(pool, PAGE_SIZE);
	last = pmalloc_nowait(open, 8);
	local_irq_restore(flags);
	KUNIT_EXPECT_NOT_NULL(test, obj);
	KUNIT_EXPECT_NULL(test, last);
}

#define GROWERS		3
#define GROWN		200

struct growers {
	struct pmalloc_pool *pool;
	struct completion begin;
	atomic_t left;
	u64 *obj[GROWERS][GROWN];
};

static int prmem_test_grower(void *data)
{
	struct growers *g = data;
	unsigned int me = atomic_dec_return(&g->left), i;

	wait_for_completion(&g->begin);
	for (i = 0; i < GROWN; i++)
		g->obj[me][i] = pmalloc_nowait(g->pool, 1024) ?: pmalloc(g->pool, 1024);
	/* Pairs with atomic_read_acquire() in prmem_test_pool_grow_race(). */
	atomic_inc_return_release(&g->left);

	return 0;
}

/* Nobody gets what another one has, and no page is lost on the way. */
static void prmem_test_pool_grow_race(struct kunit *test)
{
	struct growers *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);
	unsigned int i, k, bad = 0;
	u64 id;

	KUNIT_ASSERT_NOT_NULL(test, g);
	g->pool = new_pool(test, 0, 0, 3, PMALLOC_MODE_START_WR);
	init_completion(&g->begin);
	atomic_set(&g->left, GROWERS);
	for (i = 0; i < GROWERS; i++)
		KUNIT_ASSERT_FALSE(test, IS_ERR(kthread_run(prmem_test_grower, g, "grower/%u", i)));
	/* All have a number. */
	while (atomic_read(&g->left))
		usleep_range(1000, 2000);
	complete_all(&g->begin);
	/* Pairs with atomic_inc_return_release() in prmem_test_grower(). */
	while (atomic_read_acquire(&g->left) != GROWERS)
		usleep_range(1000, 2000);

	for (i = 0; i < GROWERS; i++) {
		for (k = 0; k < GROWN; k++) {
			id = i * GROWN + k + 1;
			bad += !g->obj[i][k] || *g->obj[i][k] || wr_assign(*g->obj[i][k], id);
		}
	}
	for (i = 0; i < GROWERS; i++)
		for (k = 0; k < GROWN; k++)
			bad += !g->obj[i][k] || *g->obj[i][k] != i * GROWN + k + 1;
	KUNIT_EXPECT_EQ(test, bad, 0);
}

/* Bytes of one object, across a page border as well, and not one more. */
static void prmem_test_pool_edit_bytes(struct kunit *test)
{
	struct pmalloc_pool *pool = new_pool(test, 0, 4 * PAGE_SIZE, 3, PMALLOC_MODE_START_WR);
	u8 *end = (u8 *)new_object(test, pool, 3 * PAGE_SIZE) + 3 * PAGE_SIZE;
	u8 *obj = (u8 *)new_object(test, pool, 100), *edit, *view;

	/* It ends where the one above begins: on a page border. */
	KUNIT_ASSERT_PTR_EQ(test, (u8 *)PTR_ALIGN(obj, PAGE_SIZE), end - 3 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, wr_memset(obj, 1, end - obj), 0);
	edit = wr_edit_bytes(obj, 200);
	KUNIT_ASSERT_FALSE(test, IS_ERR(edit));
	memset(edit, 2, 200);
	wr_end();
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 2, 200), NULL);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj + 200, 1, end - obj - 200), NULL);
	KUNIT_EXPECT_FALSE(test, prmem_test_writes(edit));

	edit = wr_edit_bytes(end - WR_BATCH_BYTES, WR_BATCH_BYTES);
	KUNIT_EXPECT_FALSE(test, IS_ERR(edit));
	if (!IS_ERR(edit))
		wr_end();
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL, wr_edit_bytes(end - 8, 9));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL,
			     wr_edit_bytes(end - 2 * PAGE_SIZE, WR_BATCH_BYTES + 1));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL, wr_edit_bytes(end - 8, SIZE_MAX));
	edit = wr_edit_bytes(end - 8, 0);
	KUNIT_EXPECT_PTR_EQ(test, edit, ERR_PTR(-EINVAL));
	if (!IS_ERR(edit))
		wr_end();
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL, wr_edit_bytes(obj - 8, 8));

	/* In a view the next page is not the next one in the window. */
	pool = new_pool(test, 1, 2 * PAGE_SIZE, 3, PMALLOC_MODE_WR);
	view = (u8 *)new_object(test, pool, 2 * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, pmalloc_protect_pool(pool), 0);
	prmem_expect_refused(test, PRMEM_BAD_RANGE, -EINVAL,
			     wr_edit_bytes(view + PAGE_SIZE - 8, 16));
	edit = wr_edit_bytes(view + PAGE_SIZE - 8, 8);
	KUNIT_EXPECT_FALSE(test, IS_ERR(edit));
	if (!IS_ERR(edit))
		wr_end();
	drop_pool(test, 1);
	drop_pool(test, 0);
}

static void prmem_test_pool_refuse(struct kunit *test)
{
	static const struct {
		size_t refill;
		int order;
		u8 mode;
	} bad[] = {
		{ PMALLOC_MAX_SIZE + 1, 3, PMALLOC_MODE_RO }, { SIZE_MAX, 3, PMALLOC_MODE_RO },
		{ 1UL << 44, 3, PMALLOC_MODE_RO }, { 0, PAGE_SHIFT + 1, PMALLOC_MODE_RO },
		{ 0, INT_MAX, PMALLOC_MODE_RO }, { 0, 3, PMALLOC_START },
		{ 0, 3, PMALLOC_START | PMALLOC_AUTO }, { 0, 3, 7 }, { 0, 3, 8 }, { 0, 3, 0xff },
	};
	struct pmalloc_pool *pool;
	char *copy;
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL,
				     pmalloc_create_custom_pool(bad[i].refill, bad[i].order,
								bad[i].mode));
	}
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL,
			     __pmalloc_create_pool(NULL, NULL, 0, 3, 0));

	pool = new_pool(test, 0, 0, -1, PMALLOC_MODE_WR);
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pmalloc(pool, 0));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pmalloc(pool, PMALLOC_MAX_SIZE + 1));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pmalloc(pool, SIZE_MAX));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pzalloc(pool, SIZE_MAX - 7));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pmalloc_array(pool, SIZE_MAX, 2));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pmalloc_array(pool, 1UL << 32, 1UL << 32));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pcalloc(pool, SIZE_MAX / 8 + 2, 8));
	prmem_expect_refused(test, PRMEM_BAD_ARG, 0, pcalloc(pool, 0, 8));
	prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, pmalloc(NULL, 8));
	prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, pmalloc_protect_pool(NULL));
	prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, pmalloc_make_pool_ro(NULL));
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(NULL), 0);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(ERR_PTR(-ENOMEM)), 0);
	prmem_expect_refused(test, PRMEM_BAD_SOURCE, 0, pstrdup(pool, NULL));

	/* None of that has changed it. */
	copy = pstrdup(pool, "still alive");
	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_EXPECT_STREQ(test, copy, "still alive");
}

static void prmem_test_pool_helpers(struct kunit *test)
{
	char *text = kunit_kmalloc(test, 5000, GFP_KERNEL), *copy;
	u32 *array;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, text);
	memset(text, 'a', 5000);
	text[4999] = 0;
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, modes[i].mode);

		copy = pstrdup(pool, "");
		KUNIT_EXPECT_STREQ(test, copy, "");
		copy = pstrdup(pool, "a copy");
		KUNIT_EXPECT_STREQ(test, copy, "a copy");
		copy = pstrdup(pool, text);
		KUNIT_EXPECT_STREQ(test, copy, text);

		array = pmalloc_array(pool, 300, sizeof(*array));
		KUNIT_EXPECT_TRUE(test, is_pmalloc_object(array, 300 * sizeof(*array)));
		array = pcalloc(pool, 3000, sizeof(*array));
		KUNIT_EXPECT_TRUE(test, is_pmalloc_object(array, 3000 * sizeof(*array)));
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(array, 0, 3000 * sizeof(*array)), NULL);
		array = pzalloc(pool, 40);
		KUNIT_EXPECT_TRUE(test, is_pmalloc_object(array, 40));
		drop_pool(test, 0);
	}
}

/* Larger than a block. */
static void prmem_test_pool_huge_object(struct kunit *test)
{
	const size_t size = 3 * SZ_1M + 100, words = size / 8;
	static const u8 some[] = { PMALLOC_MODE_WR, PMALLOC_MODE_RO, PMALLOC_MODE_START_WR };
	int i, k;

	prmem_test_need_protection(test);
	for (i = 0; i < ARRAY_SIZE(some); i++) {
		struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, some[i]);
		enum state after = some[i] & PMALLOC_WR ? WRITE_RARE : READ_ONLY;
		u64 *obj = pzalloc(pool, size), old = OLD;

		KUNIT_ASSERT_NOT_NULL(test, obj);
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0, size), NULL);
		if (some[i] & PMALLOC_START) {
			KUNIT_EXPECT_EQ(test, wr_memset(obj, 0x11, size), 0);
		} else {
			memset(obj, 0x11, size);
			expect_state(test, obj, OPEN, "huge", "at first");
			KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
		}
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0x11, size), NULL);
		for (k = 0; k < words; k += words / 7)
			expect_state(test, obj + k, after, "huge", "protected");
		expect_state(test, obj + words - 1, after, "huge", "end");
		KUNIT_EXPECT_TRUE(test, is_pmalloc_object(obj, size));
		KUNIT_EXPECT_FALSE(test, is_pmalloc_object(obj, size + PAGE_SIZE));
		if (after == WRITE_RARE) {
			KUNIT_EXPECT_EQ(test, wr_memset(obj, 0x22, size), 0);
			KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0x22, size), NULL);
			/* Across a border of pages that are no neighbours. */
			KUNIT_EXPECT_EQ(test, wr_memcpy((void *)obj + 2 * SZ_1M - 3, &old, 8), 0);
			KUNIT_EXPECT_MEMEQ(test, (void *)obj + 2 * SZ_1M - 3, &old, 8);
		}
		drop_pool(test, 0);
	}
}

/* What is gone is refused, and what comes in its place has nothing of it. */
static void prmem_test_pool_destroy(struct kunit *test)
{
	long before = 0, after = 0;
	int i, round;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		for (round = 0; round < 4; round++) {
			struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, modes[i].mode);
			u64 *obj = new_object(test, pool, 5 * PAGE_SIZE);
			u64 *direct = prmem_test_direct(obj), *small;

			KUNIT_EXPECT_PTR_EQ(test, memchr_inv(obj, 0, 5 * PAGE_SIZE), NULL);
			if (!(modes[i].mode & PMALLOC_START))
				memset(obj, 0xee, 5 * PAGE_SIZE);
			else
				KUNIT_EXPECT_EQ(test, wr_memset(obj, 0xee, 5 * PAGE_SIZE), 0);
			small = new_object(test, pool, 64);
			if (round & 1)
				KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);

			drop_pool(test, 0);
			KUNIT_EXPECT_FALSE(test, is_pmalloc_object(obj, 1));
			KUNIT_EXPECT_FALSE(test, is_pmalloc_object(small, 1));
			KUNIT_EXPECT_FALSE(test, is_pmalloc_object(direct, 1));
			KUNIT_EXPECT_LT(test, wr_assign(*obj, 1), 0);
			KUNIT_EXPECT_LT(test, wr_assign(*direct, 1), 0);
			prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, pmalloc(pool, 8));
			prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, pstrdup(pool, "x"));
			prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL,
					     pmalloc_protect_pool(pool));
			prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL,
					     pmalloc_make_pool_ro(pool));
			prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL,
					     pmalloc_destroy_pool(pool));
			after = atomic_long_read(&wr_block_stats.bytes);
		}
		if (!i)
			before = after;
	}
	KUNIT_EXPECT_LE(test, after, before);
}

/* Pools that only look like one are none. */
static void prmem_test_pool_is_no_other_thing(struct kunit *test)
{
	struct pmalloc_pool *pool = new_pool(test, 0, 0, -1, PMALLOC_MODE_WR);
	struct wr_cache *c = prmem_test_cache(64, 8);
	void *obj = new_object(test, pool, 64), *fake[4];
	int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	fake[0] = obj;
	fake[1] = c;
	fake[2] = (void *)pool + 8;
	fake[3] = (void *)PAGE_SIZE;
	for (i = 0; i < ARRAY_SIZE(fake); i++) {
		prmem_expect_refused(test, PRMEM_BAD_OWNER, 0, pmalloc(fake[i], 8));
		prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, pmalloc_protect_pool(fake[i]));
		prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, pmalloc_make_pool_ro(fake[i]));
		prmem_expect_refused(test, PRMEM_BAD_OWNER, -EINVAL, pmalloc_destroy_pool(fake[i]));
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
}

static struct prmem_test_obj prmem_test_static __wr_after_init;
static const u64 prmem_test_const = OLD;
static DEFINE_WR_CACHE(prmem_test_sealed, struct prmem_test_obj);

static void is_object(struct kunit *test, const char *what, const void *p, size_t n,
		      bool object, bool ro, bool wr)
{
	KUNIT_EXPECT_EQ_MSG(test, is_pmalloc_object(p, n), object, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, is_pmalloc_ro_object(p, n), ro, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, is_pmalloc_wr_object(p, n), wr, "%s", what);
}

static void is_no_object(struct kunit *test, const char *what, const void *p, size_t n)
{
	is_object(test, what, p, n, false, false, false);
}

/* Lengths that are too long for any object, also by an overflow. */
static void is_object_of(struct kunit *test, const char *what, void *p, size_t n, bool ro, bool wr)
{
	is_object(test, what, p, 1, true, ro, wr);
	is_object(test, what, p, n, true, ro, wr);
	is_object(test, what, p + n - 1, 1, true, ro, wr);
	is_no_object(test, what, p, 0);
	is_no_object(test, what, p, SIZE_MAX);
	is_no_object(test, what, p + 8, SIZE_MAX - 7);
	is_no_object(test, what, p, -(unsigned long)p);
	is_no_object(test, what, p, 1UL << 32);
	is_no_object(test, what, p, 128 * SZ_1M);
	is_no_object(test, what, prmem_test_alias(p), 1);
}

static void prmem_test_is_object(struct kunit *test)
{
	struct pmalloc_pool *wr = new_pool(test, 0, 0, -1, PMALLOC_MODE_WR);
	struct pmalloc_pool *start = new_pool(test, 1, 0, -1, PMALLOC_MODE_START_WR);
	struct wr_cache *c = prmem_test_cache(100, 8);
	void *obj, *p, *end = __end_wr_after_init, *begin = __start_wr_after_init;
	struct prmem_test_obj *sealed;

	KUNIT_ASSERT_NOT_NULL(test, c);
	is_object_of(test, "static", &prmem_test_static, sizeof(prmem_test_static), false, true);
	is_no_object(test, "static, past the end", end - 8, 9);
	is_no_object(test, "static, behind", end, 1);
	is_no_object(test, "static, before", begin - 1, 1);
	is_no_object(test, "static, into it", begin - 1, 2);

	obj = (void *)wr_cache_zalloc(c, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, obj);
	if (obj) {
		is_object_of(test, "cache", obj, 100, false, true);
		is_no_object(test, "cache, past the object", obj, 101);
		is_no_object(test, "cache, padding", obj + 100, 1);
		is_no_object(test, "cache, free slot", obj + c->stride, 1);
		is_no_object(test, "cache, metadata", prmem_find(obj, &p), 1);
		KUNIT_EXPECT_EQ(test, wr_cache_free(c, obj), 0);
		is_no_object(test, "cache, freed", obj, 1);
	}
	is_no_object(test, "cache itself", c, 1);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	sealed = (void *)wr_cache_zalloc(&prmem_test_sealed, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, sealed);
	KUNIT_EXPECT_EQ(test, wr_cache_seal(&prmem_test_sealed, sealed), 0);
	is_object_of(test, "sealed", sealed, sizeof(*sealed), true, false);

	obj = new_object(test, start, 64);
	is_object_of(test, "START_WR", obj, 64, false, true);
	is_no_object(test, "START_WR, past the area", obj, 65);
	is_no_object(test, "START_WR, not allocated", obj - 1, 1);
	is_no_object(test, "START_WR, into it", obj - 8, 16);

	obj = new_object(test, wr, 64);
	is_object_of(test, "WR, open", obj, 64, false, false);
	is_no_object(test, "WR, not allocated", obj - 1, 1);
	is_no_object(test, "WR, past the area", obj, 65);
	is_no_object(test, "pool itself", wr, 1);
	KUNIT_ASSERT_EQ(test, pmalloc_protect_pool(wr), 0);
	is_object_of(test, "WR", obj, 64, false, true);
	is_object_of(test, "WR, direct map", prmem_test_direct(obj), 64, false, true);
	is_no_object(test, "WR, direct map, not allocated", prmem_test_direct(obj) - 1, 1);
	is_no_object(test, "WR, direct map, past the page", prmem_test_direct(obj), 65);
	KUNIT_ASSERT_EQ(test, pmalloc_make_pool_ro(wr), 0);
	is_object_of(test, "RO", obj, 64, true, false);
	is_object_of(test, "RO, direct map", prmem_test_direct(obj), 64, true, false);

	is_no_object(test, "NULL", NULL, 1);
	is_no_object(test, "NULL, all", NULL, SIZE_MAX);
	is_no_object(test, "error", ERR_PTR(-ENOMEM), 1);
	is_no_object(test, "last byte", (void *)-1L, 1);
	is_no_object(test, "wrapped", (void *)-1L, 2);
	is_no_object(test, "stack", &test, sizeof(test));
	is_no_object(test, "text", _text, 1);
	is_no_object(test, "const", &prmem_test_const, 8);
	is_no_object(test, "data", &prmem_mutex, 8);
	is_no_object(test, "module", (void *)MODULES_VADDR, 1);
	is_no_object(test, "vmemmap", virt_to_page(test), 1);
	is_no_object(test, "not canonical", (void *)(1UL << 62), 1);
}

static void prmem_test_is_object_ordinary(struct kunit *test)
{
	void *slab = kunit_kzalloc(test, 64, GFP_KERNEL), *pages = vzalloc(2 * PAGE_SIZE);
	unsigned long user;

	KUNIT_ASSERT_NOT_NULL(test, slab);
	KUNIT_EXPECT_NOT_NULL(test, pages);
	is_no_object(test, "slab", slab, 64);
	is_no_object(test, "vmalloc", pages, 2 * PAGE_SIZE);
	is_no_object(test, "guard page", pages + 2 * PAGE_SIZE, 1);
	vfree(pages);
	is_no_object(test, "vfree", pages, 1);

	user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	KUNIT_ASSERT_EQ(test, clear_user((void __user *)user, PAGE_SIZE), 0);
	is_no_object(test, "user", (void *)user, 1);
	is_no_object(test, "user to the end", (void *)user, -user);
}

static struct kunit_case prmem_pool_cases[] = {
	KUNIT_CASE(prmem_test_pool_modes),
	KUNIT_CASE(prmem_test_pool_make_ro_at_once),
	KUNIT_CASE(prmem_test_pool_make_ro_waits),
	KUNIT_CASE(prmem_test_pool_growth),
	KUNIT_CASE(prmem_test_pool_alignment),
	KUNIT_CASE(prmem_test_pool_refill),
	KUNIT_CASE(prmem_test_pool_reserve),
	KUNIT_CASE(prmem_test_pool_no_wait),
	KUNIT_CASE(prmem_test_pool_grow_race),
	KUNIT_CASE(prmem_test_pool_edit_bytes),
	KUNIT_CASE(prmem_test_pool_refuse),
	KUNIT_CASE(prmem_test_pool_helpers),
	KUNIT_CASE(prmem_test_pool_huge_object),
	KUNIT_CASE(prmem_test_pool_destroy),
	KUNIT_CASE(prmem_test_pool_is_no_other_thing),
	KUNIT_CASE(prmem_test_is_object),
	KUNIT_CASE(prmem_test_is_object_ordinary),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_pool_suite = {
	.name = "prmem_pool",
	.suite_init = prmem_test_suite_init,
	.init = pool_init,
	.exit = pool_exit,
	.test_cases = prmem_pool_cases,
};

kunit_test_suite(prmem_pool_suite);
