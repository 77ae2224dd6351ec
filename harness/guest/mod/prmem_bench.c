// SPDX-License-Identifier: GPL-2.0
/*
 * Rows of "make bench" for protected memory and its peers, added to /proc/bench.
 */
#define pr_fmt(fmt) "bench: " fmt

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/prmem.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/wr_block.h>

#include "bench.h"

#define BATCH	16
#define ENTRIES	1000

/* Functions and variables of the kernel that modules may not link to. */
static struct {
	typeof(&wr_block_alloc) wr_block_alloc;
	typeof(&wr_block_free) wr_block_free;
	u64 *__end_wr_after_init;
} k;

static const struct symbol symbols[] = {
#define SYMBOL(name) { #name, &k.name }
	SYMBOL(wr_block_alloc),
	SYMBOL(wr_block_free),
	SYMBOL(__end_wr_after_init),
};

static const u64 value = 0x0123456789abcdef;

/* An object as a subsystem would have it. */
struct thing {
	struct list_head list;
	u64 value;
	atomic_long_t count;
	u64 more[4];
};

static_assert(sizeof(struct thing) == 64);

/* A page of them, so that a batch has something to write. */
struct words {
	u64 word[PAGE_SIZE / sizeof(u64)];
};

static struct wr_cache *things, *pages;

/* A protected object and another one, the same in ordinary memory, and a page. */
static const struct thing *thing, *head;
static struct thing *plain_thing, *plain_head;
static const struct words *wr_page;
static u64 *plain_page;

static void count_failure(int err)
{
	WARN_ONCE(err, "%pe", ERR_PTR(err));
}

/* ---- writes ---- */

static void wr_assign_8(void)
{
	const struct thing *t = thing;
	int err;

	ROUND_BEGIN(NR_WR_ASSIGN_8);
	err = wr_assign(t->value, value);
	ROUND_END(NR_WR_ASSIGN_8);
	count_failure(err);
}

/* The end of the section is page aligned; what is there already is written again. */
static void wr_assign_static_8(void)
{
	u64 *last = k.__end_wr_after_init - 1;
	u64 same = *last;
	int err;

	ROUND_BEGIN(NR_WR_ASSIGN_STATIC_8);
	err = wr_assign(*last, same);
	ROUND_END(NR_WR_ASSIGN_STATIC_8);
	count_failure(err);
}

static struct pmalloc_pool *pool;
static u64 *view;

static void view_teardown(void)
{
	count_failure(pmalloc_destroy_pool(pool));
}

/* An object of a pool that was written by plain stores before it was protected. */
static int view_setup(void)
{
	int err;

	pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	if (IS_ERR(pool))
		return -ENOMEM;
	view = pmalloc(pool, sizeof(*view));
	if (!view) {
		view_teardown();
		return -ENOMEM;
	}
	*view = 1;
	err = pmalloc_protect_pool(pool);
	if (err)
		view_teardown();
	return err;
}

static void wr_assign_view_8(void)
{
	u64 *v = view;
	int err;

	ROUND_BEGIN(NR_WR_ASSIGN_VIEW_8);
	err = wr_assign(*v, value);
	ROUND_END(NR_WR_ASSIGN_VIEW_8);
	count_failure(err);
}

static void wr_batch_16_any(void)
{
	const struct words *w = wr_page;
	int i, err;

	ROUND_BEGIN(NR_WR_BATCH_16_ANY);
	err = wr_begin();
	if (!err) {
		for (i = 0; i < BATCH; i++)
			err |= wr_assign(w->word[i], value);
		wr_end();
	}
	ROUND_END(NR_WR_BATCH_16_ANY);
	count_failure(err);
}

/* The same, with one check for all. */
static void wr_batch_16(void)
{
	const struct words *w = wr_page, *edit;
	int i;

	ROUND_BEGIN(NR_WR_BATCH_16);
	edit = wr_edit(pages, w);
	if (!IS_ERR(edit)) {
		for (i = 0; i < BATCH; i++)
			wr_put(edit, word[i], value);
		wr_end();
	}
	ROUND_END(NR_WR_BATCH_16);
	count_failure(PTR_ERR_OR_ZERO(edit));
}

static void wr_memcpy_4096(void)
{
	const struct words *to = wr_page;
	u64 *from = plain_page;
	int err;

	ROUND_BEGIN(NR_WR_MEMCPY_4096);
	err = wr_memcpy(to, from, PAGE_SIZE);
	ROUND_END(NR_WR_MEMCPY_4096);
	count_failure(err);
}

static void row_pratomic_inc(void)
{
	const struct thing *t = thing;
	int err;

	ROUND_BEGIN(NR_PRATOMIC_INC);
	err = pratomic_inc(&t->count);
	ROUND_END(NR_PRATOMIC_INC);
	count_failure(err);
}

/* ---- allocation ---- */

static void wr_cache_alloc_64(void)
{
	const struct thing *t;

	ROUND_BEGIN(NR_WR_CACHE_ALLOC_64);
	t = wr_cache_alloc(things, GFP_KERNEL);
	ROUND_END(NR_WR_CACHE_ALLOC_64);
	count_failure(t ? wr_cache_free(things, t) : -ENOMEM);
}

static void wr_cache_free_64(void)
{
	const struct thing *t = wr_cache_alloc(things, GFP_KERNEL);
	int err;

	ROUND_BEGIN(NR_WR_CACHE_FREE_64);
	err = wr_cache_free(things, t);
	ROUND_END(NR_WR_CACHE_FREE_64);
	count_failure(err);
}

static void kmalloc_64(void)
{
	struct thing *t;

	ROUND_BEGIN(NR_KMALLOC_64);
	t = kmalloc(sizeof(*t), GFP_KERNEL);
	ROUND_END(NR_KMALLOC_64);
	count_failure(t ? 0 : -ENOMEM);
	kfree(t);
}

static void kfree_64(void)
{
	struct thing *t = kmalloc(sizeof(*t), GFP_KERNEL);

	ROUND_BEGIN(NR_KFREE_64);
	kfree(t);
	ROUND_END(NR_KFREE_64);
}

/* ---- lists ---- */

static void row_prlist_add(void)
{
	const struct list_head *new = &thing->list, *to = &head->list;
	int err;

	ROUND_BEGIN(NR_PRLIST_ADD);
	err = prlist_add(new, to);
	ROUND_END(NR_PRLIST_ADD);
	count_failure(err ?: prlist_del(new));
}

static void row_prlist_add_rcu(void)
{
	const struct list_head *new = &thing->list, *to = &head->list;
	int err;

	ROUND_BEGIN(NR_PRLIST_ADD_RCU);
	err = prlist_add_rcu(new, to);
	ROUND_END(NR_PRLIST_ADD_RCU);
	count_failure(err ?: prlist_del(new));
}

static void row_prlist_del(void)
{
	const struct list_head *entry = &thing->list;
	int err = prlist_add(entry, &head->list);

	if (!err) {
		ROUND_BEGIN(NR_PRLIST_DEL);
		err = prlist_del(entry);
		ROUND_END(NR_PRLIST_DEL);
	}
	count_failure(err);
}

static void row_list_add(void)
{
	struct list_head *new = &plain_thing->list, *to = &plain_head->list;

	ROUND_BEGIN(NR_LIST_ADD);
	list_add(new, to);
	ROUND_END(NR_LIST_ADD);
	list_del(new);
}

static void empty_list(void)
{
	struct thing *t, *next;

	list_for_each_entry_safe(t, next, &head->list, list)
		count_failure(prlist_del(&t->list) ?: wr_cache_free(things, t));
}

static void empty_plain_list(void)
{
	struct thing *t, *next;

	list_for_each_entry_safe(t, next, &plain_head->list, list) {
		list_del(&t->list);
		kfree(t);
	}
}

static int fill_list(void)
{
	const struct thing *t;
	int i;

	for (i = 0; i < ENTRIES; i++) {
		t = wr_cache_alloc(things, GFP_KERNEL);
		if (!t || wr_assign(t->value, i) || prlist_add(&t->list, &head->list)) {
			empty_list();
			return -ENOMEM;
		}
	}
	return 0;
}

static int fill_plain_list(void)
{
	struct thing *t;
	int i;

	for (i = 0; i < ENTRIES; i++) {
		t = kzalloc(sizeof(*t), GFP_KERNEL);
		if (!t) {
			empty_plain_list();
			return -ENOMEM;
		}
		t->value = i;
		list_add(&t->list, &plain_head->list);
	}
	return 0;
}

static __always_inline void read_round(const enum bench_nr nr, const struct list_head *list)
{
	struct thing *t;
	u64 sum = 0;

	ROUND_BEGIN(nr);
	list_for_each_entry(t, list, list)
		sum += t->value;
	ROUND_END(nr);
	count_failure(sum == ENTRIES * (ENTRIES - 1) / 2 ? 0 : -EIO);
}

static void read_list_1000(void)
{
	read_round(NR_READ_LIST_1000, &head->list);
}

static void read_list_1000_plain(void)
{
	read_round(NR_READ_LIST_1000_PLAIN, &plain_head->list);
}

/* ---- blocks ---- */

static void wr_block_first(void)
{
	void *block;

	ROUND_BEGIN(NR_WR_BLOCK_FIRST);
	block = k.wr_block_alloc(WR_BLOCK_ORDER, WR_BLOCK_RO);
	ROUND_END(NR_WR_BLOCK_FIRST);
	count_failure(block ? 0 : -ENOMEM);
	k.wr_block_free(block, WR_BLOCK_ORDER);
}

static const struct row rows[] = {
	{ "wr_assign_8", wr_assign_8 },
	{ "wr_assign_static_8", wr_assign_static_8 },
	{ "wr_assign_view_8", wr_assign_view_8, view_setup, view_teardown },
	{ "wr_batch_16_any", wr_batch_16_any },
	{ "wr_batch_16", wr_batch_16 },
	{ "wr_memcpy_4096", wr_memcpy_4096 },
	{ "pratomic_inc", row_pratomic_inc },
	{ "wr_cache_alloc_64", wr_cache_alloc_64 },
	{ "wr_cache_free_64", wr_cache_free_64 },
	{ "kmalloc_64", kmalloc_64 },
	{ "kfree_64", kfree_64 },
	{ "prlist_add", row_prlist_add },
	{ "prlist_add_rcu", row_prlist_add_rcu },
	{ "prlist_del", row_prlist_del },
	{ "list_add", row_list_add },
	{ "read_list_1000", read_list_1000, fill_list, empty_list },
	{ "read_list_1000_plain", read_list_1000_plain, fill_plain_list, empty_plain_list },
	/* Half of a round is to clear 2 MiB. */
	{ "wr_block_first", wr_block_first, .max_rounds = 1000 },
};

/* ---- memory ---- */

#define MAX_HELD	102000

/* Objects that stay allocated, for the memory that they take. */
struct objects {
	void *(*get)(void);
	void (*put)(void *object);
	void **held;
	unsigned int nr;
};

static struct wr_cache *held_cache;

static void *get_wr(void)
{
	return (void *)wr_cache_alloc(held_cache, GFP_KERNEL);
}

static void put_wr(void *object)
{
	count_failure(wr_cache_free(held_cache, object));
}

static void *get_kmalloc(void)
{
	return kmalloc(sizeof(struct thing), GFP_KERNEL);
}

static void put_kmalloc(void *object)
{
	kfree(object);
}

static void *get_vmalloc(void)
{
	return vmalloc(sizeof(struct thing));
}

static void put_vmalloc(void *object)
{
	vfree(object);
}

static struct objects wr_objects = { get_wr, put_wr };
static struct objects kmalloc_objects = { get_kmalloc, put_kmalloc };
static struct objects vmalloc_objects = { get_vmalloc, put_vmalloc };

/* Have @n of them. The first call makes room for the addresses of all. */
static int hold(struct objects *o, unsigned int n)
{
	if (!o->held)
		o->held = vcalloc(MAX_HELD, sizeof(*o->held));
	if (!o->held || n > MAX_HELD)
		return -ENOMEM;

	for (; o->nr < n; o->nr++) {
		o->held[o->nr] = o->get();
		if (!o->held[o->nr])
			return -ENOMEM;
		cond_resched();
	}
	for (; o->nr > n; o->nr--) {
		o->put(o->held[o->nr - 1]);
		cond_resched();
	}
	return 0;
}

static int hold_wr(unsigned int n)
{
	return hold(&wr_objects, n);
}

static int hold_kmalloc(unsigned int n)
{
	return hold(&kmalloc_objects, n);
}

static int hold_vmalloc(unsigned int n)
{
	return hold(&vmalloc_objects, n);
}

static const struct hold holds[] = {
	{ "hold_wr", hold_wr },
	{ "hold_kmalloc", hold_kmalloc },
	{ "hold_vmalloc", hold_vmalloc },
};

static const struct table table = {
	.rows = rows,
	.nr_rows = ARRAY_SIZE(rows),
	.holds = holds,
	.nr_holds = ARRAY_SIZE(holds),
};

/* ---- beginning and end ---- */

static int make_objects(void)
{
	things = wr_cache_create("bench_things", sizeof(struct thing), 0, 0, 0);
	pages = wr_cache_create("bench_pages", PAGE_SIZE, 0, 0, 0);
	held_cache = wr_cache_create("bench_held", sizeof(struct thing), 0, 0, 0);
	if (IS_ERR(things) || IS_ERR(pages) || IS_ERR(held_cache))
		return -ENOMEM;

	thing = wr_cache_zalloc(things, GFP_KERNEL);
	head = wr_cache_zalloc(things, GFP_KERNEL);
	wr_page = wr_cache_zalloc(pages, GFP_KERNEL);
	plain_thing = kzalloc(sizeof(*plain_thing), GFP_KERNEL);
	plain_head = kzalloc(sizeof(*plain_head), GFP_KERNEL);
	plain_page = kzalloc(PAGE_SIZE, GFP_KERNEL);
	if (!thing || !head || !wr_page || !plain_thing || !plain_head || !plain_page)
		return -ENOMEM;

	INIT_LIST_HEAD(&plain_head->list);
	return prlist_init(&head->list);
}

/* What fails here ends the guest, so nothing is given back, and the module stays. */
static int __init prmem_bench_init(void)
{
	int err = make_objects() ?: bench_find_symbols(symbols, ARRAY_SIZE(symbols));

	if (err)
		return err;
	bench_add_table(&table);
	return 0;
}
module_init(prmem_bench_init);

MODULE_DESCRIPTION("Rounds of protected memory and its peers between markers");
MODULE_LICENSE("GPL");
