// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: lists.  Each change is made to a write-rare list
 * and, by list.h, to an ordinary one, and both must then be the same.
 *
 * The suite "splat_prmem" makes the kernel complain on purpose, and skips unless
 * test_prmem_list.provoke=1 asks for it.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/poison.h>
#include <linux/prlist.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "test_prmem.h"

#define NR	6

struct item {
	struct list_head list;
	struct hlist_node node;
	int id;
};

/* The same twice; entries of the write-rare list may be in ordinary memory, too. */
struct list_test {
	struct wr_cache *c;
	struct item *pr[NR];
	struct item plain[NR];
	struct list_head head[2];
	struct hlist_head bucket[2];
};

static __wr_after_init LIST_HEAD(prmem_test_list);
static __wr_after_init LIST_HEAD(prmem_test_other);
static __wr_after_init HLIST_HEAD(prmem_test_bucket);

/* What has been sealed stays for ever, so it is of a cache that does. */
static DEFINE_WR_CACHE(prmem_test_items, struct item);

static int list_init(struct kunit *test)
{
	struct list_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, x);
	test->priv = x;
	x->c = prmem_test_cache(sizeof(struct item), 8);
	KUNIT_ASSERT_NOT_NULL(test, x->c);
	for (i = 0; i < NR; i++) {
		x->pr[i] = (void *)wr_cache_zalloc(x->c, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, x->pr[i]);
		KUNIT_ASSERT_EQ(test, wr_set_field(x->c, x->pr[i], id, i), 0);
		x->plain[i].id = i;
	}
	INIT_LIST_HEAD(&x->head[0]);
	INIT_LIST_HEAD(&x->head[1]);
	KUNIT_ASSERT_EQ(test, prlist_init(&prmem_test_list), 0);
	KUNIT_ASSERT_EQ(test, prlist_init(&prmem_test_other), 0);
	KUNIT_ASSERT_EQ(test, prhlist_init(&prmem_test_bucket), 0);

	return 0;
}

static void list_exit(struct kunit *test)
{
	struct list_test *x = test->priv;
	int i;

	if (!x)
		return;
	for (i = 0; i < NR; i++) {
		if (x->pr[i] && !is_pmalloc_ro_object(x->pr[i], 1))
			KUNIT_EXPECT_EQ(test, wr_cache_free(x->c, x->pr[i]), 0);
	}
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(x->c), 0);
	KUNIT_EXPECT_EQ(test, prlist_init(&prmem_test_list), 0);
	KUNIT_EXPECT_EQ(test, prlist_init(&prmem_test_other), 0);
	KUNIT_EXPECT_EQ(test, prhlist_init(&prmem_test_bucket), 0);
}

/* The number of entries, if both lists have the same, both ways. */
static int compare_lists(struct list_head *a, struct list_head *b)
{
	struct list_head *p, *q = b;
	int n = 0;

	for (p = a->next; n < 100; p = p->next, n++) {
		q = q->next;
		if (p->prev->next != p || q->prev->next != q)
			return -1;
		if (p == a || q == b)
			return p == a && q == b ? n : -1;
		if (list_entry(p, struct item, list)->id != list_entry(q, struct item, list)->id)
			return -1;
	}

	return -1;
}

static void expect_lists(struct kunit *test, int n)
{
	struct list_test *x = test->priv;

	KUNIT_EXPECT_EQ(test, compare_lists(&prmem_test_list, &x->head[0]), n);
	KUNIT_EXPECT_GE(test, compare_lists(&prmem_test_other, &x->head[1]), 0);
}

/* The same to both. */
#define both(test, fn, nr, to, k)					\
do {									\
	unsigned int __nr = (nr);					\
									\
	KUNIT_EXPECT_EQ_MSG(test, pr##fn(&x->pr[__nr]->list, to), 0, #fn); \
	fn(&x->plain[__nr].list, &x->head[k]);				\
} while (0)

static void prmem_test_list_add(struct kunit *test)
{
	struct list_test *x = test->priv;
	struct item *item;
	int i = 3, bad = 0;

	expect_lists(test, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_list));
	both(test, list_add, 0, &prmem_test_list, 0);
	expect_lists(test, 1);
	both(test, list_add, 1, &prmem_test_list, 0);
	both(test, list_add_tail, 2, &prmem_test_list, 0);
	both(test, list_add_rcu, 3, &prmem_test_list, 0);
	both(test, list_add_tail_rcu, 4, &prmem_test_list, 0);
	expect_lists(test, 5);
	/* In the middle. */
	KUNIT_EXPECT_EQ(test, prlist_add(&x->pr[5]->list, &x->pr[1]->list), 0);
	list_add(&x->plain[5].list, &x->plain[1].list);
	expect_lists(test, 6);

	/* By the ordinary iterators. */
	list_for_each_entry(item, &prmem_test_list, list)
		i += item->id;
	KUNIT_EXPECT_EQ(test, i, 18);
	i = 0;
	list_for_each_entry_reverse(item, &prmem_test_list, list)
		bad += i++ > NR;
	rcu_read_lock();
	list_for_each_entry_rcu(item, &prmem_test_list, list)
		bad += i-- < 0;
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, bad + i, 0);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&prmem_test_list), 6);
}

static void fill_lists(struct kunit *test, int n)
{
	struct list_test *x = test->priv;
	int i;

	for (i = 0; i < n; i++)
		both(test, list_add_tail, i, &prmem_test_list, 0);
	expect_lists(test, n);
}

static void prmem_test_list_del(struct kunit *test)
{
	struct list_test *x = test->priv;

	fill_lists(test, 5);
	KUNIT_EXPECT_EQ(test, prlist_del(&x->pr[0]->list), 0);
	list_del(&x->plain[0].list);
	expect_lists(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[0]->list.next, LIST_POISON1);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[0]->list.prev, LIST_POISON2);

	KUNIT_EXPECT_EQ(test, prlist_del_init(&x->pr[4]->list), 0);
	list_del_init(&x->plain[4].list);
	expect_lists(test, 3);
	KUNIT_EXPECT_TRUE(test, list_empty_careful(&x->pr[4]->list));
	/* Once more does no harm. */
	KUNIT_EXPECT_EQ(test, prlist_del_init(&x->pr[4]->list), 0);
	KUNIT_EXPECT_TRUE(test, list_empty_careful(&x->pr[4]->list));
	expect_lists(test, 3);

	/* Readers that are there can go on. */
	KUNIT_EXPECT_EQ(test, prlist_del_rcu(&x->pr[2]->list), 0);
	list_del_rcu(&x->plain[2].list);
	expect_lists(test, 2);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[2]->list.next, &x->pr[3]->list);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[2]->list.prev, LIST_POISON2);

	KUNIT_EXPECT_EQ(test, prlist_del(&x->pr[1]->list), 0);
	KUNIT_EXPECT_EQ(test, prlist_del(&x->pr[3]->list), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_list));
}

static void prmem_test_list_replace(struct kunit *test)
{
	struct list_test *x = test->priv;
	int i;

	/* In the middle, at both ends, and all that there is. */
	for (i = 0; i < 3; i++) {
		struct list_head *old = &x->pr[i]->list, *new = &x->pr[i + 3]->list;

		if (!i)
			fill_lists(test, 3);
		KUNIT_EXPECT_EQ(test, prlist_replace_rcu(old, new), 0);
		list_replace_rcu(&x->plain[i].list, &x->plain[i + 3].list);
		expect_lists(test, 3);
		KUNIT_EXPECT_PTR_EQ(test, old->prev, LIST_POISON2);
		KUNIT_EXPECT_PTR_NE(test, old->next, LIST_POISON1);
	}
	KUNIT_EXPECT_EQ(test, prlist_init(&prmem_test_list), 0);
	INIT_LIST_HEAD(&x->head[0]);
	fill_lists(test, 1);
	KUNIT_EXPECT_EQ(test, prlist_replace(&x->pr[0]->list, &x->pr[1]->list), 0);
	list_replace(&x->plain[0].list, &x->plain[1].list);
	expect_lists(test, 1);
	KUNIT_EXPECT_TRUE(test, list_empty_careful(&x->pr[0]->list));

	/* An empty list in the place of another is empty too. */
	KUNIT_EXPECT_EQ(test, prlist_replace(&x->pr[0]->list, &x->pr[2]->list), 0);
	KUNIT_EXPECT_TRUE(test, list_empty_careful(&x->pr[2]->list));
}

static void prmem_test_list_move(struct kunit *test)
{
	struct list_test *x = test->priv;
	int i;

	fill_lists(test, 4);
	/* To where it is, to its neighbours, to the other list, and back. */
	for (i = 0; i < 4; i++) {
		both(test, list_move, i, &prmem_test_list, 0);
		expect_lists(test, 4);
		both(test, list_move, i, &prmem_test_list, 0);
		expect_lists(test, 4);
	}
	for (i = 0; i < 4; i++) {
		both(test, list_move_tail, i, &prmem_test_list, 0);
		expect_lists(test, 4);
		both(test, list_move_tail, i, &prmem_test_list, 0);
		expect_lists(test, 4);
	}
	for (i = 0; i < 4; i++) {
		both(test, list_move, i, &prmem_test_other, 1);
		expect_lists(test, 3 - i);
	}
	for (i = 0; i < 4; i++) {
		both(test, list_move_tail, i, &prmem_test_list, 0);
		expect_lists(test, i + 1);
	}
	/* The only one of a list. */
	both(test, list_move, 0, &prmem_test_other, 1);
	both(test, list_move, 0, &prmem_test_other, 1);
	both(test, list_move_tail, 0, &prmem_test_other, 1);
	expect_lists(test, 3);
}

static void prmem_test_list_splice(struct kunit *test)
{
	struct list_test *x = test->priv;
	int round;

	fill_lists(test, 3);
	both(test, list_add, 3, &prmem_test_other, 1);
	both(test, list_add, 4, &prmem_test_other, 1);
	/* Both have entries; one is empty; both are where they were; then none has any. */
	for (round = 0; round < 3; round++) {
		KUNIT_EXPECT_EQ(test, prlist_splice_init(&prmem_test_other, &prmem_test_list), 0);
		list_splice_init(&x->head[1], &x->head[0]);
		expect_lists(test, 5);
		KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_other));
		KUNIT_EXPECT_EQ(test, prlist_splice_init(&prmem_test_list, &prmem_test_other), 0);
		list_splice_init(&x->head[0], &x->head[1]);
		expect_lists(test, 0);
		KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_list));
	}
}

/* A head and entries that anybody can write, between others that nobody can. */
static void prmem_test_list_ordinary_neighbours(struct kunit *test)
{
	struct list_test *x = test->priv;
	struct item *item;
	int seen = 0;
	LIST_HEAD(head);

	KUNIT_EXPECT_EQ(test, prlist_add_tail(&x->pr[0]->list, &head), 0);
	KUNIT_EXPECT_EQ(test, prlist_add_tail(&x->plain[1].list, &head), 0);
	KUNIT_EXPECT_EQ(test, prlist_add_tail(&x->pr[2]->list, &head), 0);
	KUNIT_EXPECT_EQ(test, prlist_add(&x->plain[3].list, &head), 0);
	list_for_each_entry(item, &head, list)
		seen = seen * 10 + item->id;
	KUNIT_EXPECT_EQ(test, seen, 3012);
	KUNIT_EXPECT_EQ(test, prlist_del(&x->pr[0]->list), 0);
	KUNIT_EXPECT_EQ(test, prlist_move(&x->plain[1].list, &head), 0);
	seen = 0;
	list_for_each_entry(item, &head, list)
		seen = seen * 10 + item->id;
	KUNIT_EXPECT_EQ(test, seen, 132);
	KUNIT_EXPECT_EQ(test, prlist_del(&x->plain[1].list), 0);
	KUNIT_EXPECT_EQ(test, prlist_del(&x->pr[2]->list), 0);
	KUNIT_EXPECT_EQ(test, prlist_del_init(&x->plain[3].list), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&head));
}

/* The number of nodes, if both buckets have the same. */
static int compare_buckets(struct hlist_head *a, struct hlist_head *b)
{
	struct hlist_node *p = a->first, *q = b->first, **pprev = &a->first;
	int n = 0;

	for (; n < 100; n++) {
		if (!p || !q)
			return p || q ? -1 : n;
		if (p->pprev != pprev ||
		    hlist_entry(p, struct item, node)->id != hlist_entry(q, struct item, node)->id)
			return -1;
		pprev = &p->next;
		p = p->next;
		q = q->next;
	}

	return -1;
}

static void expect_buckets(struct kunit *test, int n)
{
	struct list_test *x = test->priv;

	KUNIT_EXPECT_EQ(test, compare_buckets(&prmem_test_bucket, &x->bucket[0]), n);
}

static void prmem_test_hlist(struct kunit *test)
{
	struct list_test *x = test->priv;
	struct item *item;
	int seen = 0;

	expect_buckets(test, 0);
	KUNIT_EXPECT_EQ(test, prhlist_add_head(&x->pr[0]->node, &prmem_test_bucket), 0);
	hlist_add_head(&x->plain[0].node, &x->bucket[0]);
	expect_buckets(test, 1);
	KUNIT_EXPECT_EQ(test, prhlist_add_head_rcu(&x->pr[1]->node, &prmem_test_bucket), 0);
	hlist_add_head_rcu(&x->plain[1].node, &x->bucket[0]);
	KUNIT_EXPECT_EQ(test, prhlist_add_before(&x->pr[2]->node, &x->pr[0]->node), 0);
	hlist_add_before(&x->plain[2].node, &x->plain[0].node);
	KUNIT_EXPECT_EQ(test, prhlist_add_behind(&x->pr[3]->node, &x->pr[0]->node), 0);
	hlist_add_behind(&x->plain[3].node, &x->plain[0].node);
	KUNIT_EXPECT_EQ(test, prhlist_add_before_rcu(&x->pr[4]->node, &x->pr[1]->node), 0);
	hlist_add_before_rcu(&x->plain[4].node, &x->plain[1].node);
	expect_buckets(test, 5);
	hlist_for_each_entry(item, &prmem_test_bucket, node)
		seen = seen * 10 + item->id;
	KUNIT_EXPECT_EQ(test, seen, 41203);

	/* The first, one of the middle, the last. */
	KUNIT_EXPECT_EQ(test, prhlist_del(&x->pr[4]->node), 0);
	hlist_del(&x->plain[4].node);
	expect_buckets(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[4]->node.next, LIST_POISON1);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[4]->node.pprev, LIST_POISON2);
	KUNIT_EXPECT_EQ(test, prhlist_del_rcu(&x->pr[2]->node), 0);
	hlist_del_rcu(&x->plain[2].node);
	expect_buckets(test, 3);
	KUNIT_EXPECT_PTR_EQ(test, x->pr[2]->node.next, &x->pr[0]->node);
	KUNIT_EXPECT_EQ(test, prhlist_del_init(&x->pr[3]->node), 0);
	hlist_del_init(&x->plain[3].node);
	expect_buckets(test, 2);
	KUNIT_EXPECT_TRUE(test, hlist_unhashed(&x->pr[3]->node));
	KUNIT_EXPECT_EQ(test, prhlist_del_init(&x->pr[3]->node), 0);
	expect_buckets(test, 2);

	/* The first, and the last. */
	KUNIT_EXPECT_EQ(test, prhlist_replace_rcu(&x->pr[1]->node, &x->pr[5]->node), 0);
	hlist_replace_rcu(&x->plain[1].node, &x->plain[5].node);
	expect_buckets(test, 2);
	KUNIT_EXPECT_EQ(test, prhlist_replace_rcu(&x->pr[0]->node, &x->pr[3]->node), 0);
	hlist_replace_rcu(&x->plain[0].node, &x->plain[3].node);
	expect_buckets(test, 2);
	KUNIT_EXPECT_EQ(test, prhlist_del(&x->pr[5]->node), 0);
	KUNIT_EXPECT_EQ(test, prhlist_del(&x->pr[3]->node), 0);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&prmem_test_bucket));
}

/* One link that can't be set, and none is. */
static void prmem_test_list_all_or_nothing(struct kunit *test)
{
	struct list_test *x = test->priv;
	struct list_head before, last;
	void *user = (void *)PAGE_SIZE;

	fill_lists(test, 2);
	before = prmem_test_list;
	last = x->pr[1]->list;
	KUNIT_ASSERT_EQ(test, wr_cache_free(x->c, x->pr[5]), 0);
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL,
			     prlist_add(&x->pr[5]->list, &prmem_test_list));
	prmem_expect_refused(test, PRMEM_FREED, -EINVAL,
			     prlist_add_tail(&x->pr[5]->list, &prmem_test_list));
	x->pr[5] = NULL;
	KUNIT_EXPECT_LT(test, prlist_init(user), 0);
	KUNIT_EXPECT_LT(test, prlist_init((void *)-64L), 0);
	KUNIT_EXPECT_LT(test, prlist_init((void *)&x->pr[0]->id), 0);
	KUNIT_EXPECT_LT(test, prlist_init((void *)&x->pr[0]->list + 4), 0);
	KUNIT_EXPECT_LT(test, prhlist_init(user), 0);
	KUNIT_EXPECT_LT(test, prlist_add(user, &prmem_test_list), 0);
	KUNIT_EXPECT_EQ(test, x->pr[0]->id, 0);
	KUNIT_EXPECT_MEMEQ(test, &prmem_test_list, &before, sizeof(before));
	KUNIT_EXPECT_MEMEQ(test, &x->pr[1]->list, &last, sizeof(last));
	expect_lists(test, 2);

	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL,
			     __wr_links(NULL, WR_MAX_LINKS + 1, _THIS_IP_));
	prmem_expect_refused(test, PRMEM_BAD_ARG, -EINVAL, __wr_links(NULL, UINT_MAX, _THIS_IP_));
}

/* A list of which the newest entries are not protected yet. */
static void prmem_test_list_in_open_pool(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_pool(PMALLOC_MODE_AUTO_WR);
	struct item *item[3] = {};
	int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	for (i = 0; i < ARRAY_SIZE(item); i++) {
		item[i] = pzalloc(pool, sizeof(*item[i]));
		if (!item[i])
			break;
		KUNIT_EXPECT_FALSE(test, is_pmalloc_wr_object(item[i], 1));
		KUNIT_EXPECT_EQ(test, prlist_add_tail(&item[i]->list, &prmem_test_list), 0);
		KUNIT_EXPECT_EQ(test, prhlist_add_head(&item[i]->node, &prmem_test_bucket), 0);
		KUNIT_EXPECT_EQ(test, list_count_nodes(&prmem_test_list), i + 1);
		KUNIT_EXPECT_PTR_EQ(test, list_last_entry(&prmem_test_list, struct item, list),
				    item[i]);
		KUNIT_EXPECT_PTR_EQ(test, prmem_test_bucket.first, &item[i]->node);
		if (i != 1)
			KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
	}
	KUNIT_EXPECT_EQ(test, i, ARRAY_SIZE(item));
	while (i--) {
		KUNIT_EXPECT_EQ(test, prlist_del(&item[i]->list), 0);
		KUNIT_EXPECT_EQ(test, prhlist_del(&item[i]->node), 0);
	}
	KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_list));
	KUNIT_EXPECT_TRUE(test, hlist_empty(&prmem_test_bucket));
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

/* With itself, nothing can be done that makes sense. */
static void prmem_test_list_same(struct kunit *test)
{
	struct list_test *x = test->priv;

	fill_lists(test, 3);
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL,
			     prlist_splice_init(&prmem_test_list, &prmem_test_list));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL,
			     prlist_replace(&x->pr[1]->list, &x->pr[1]->list));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL,
			     prlist_replace_rcu(&x->pr[1]->list, &x->pr[1]->list));
	expect_lists(test, 3);
}

/* In a pool that will never be written again there are no late writes. */
static void prmem_test_list_in_ro_pool(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_pool(PMALLOC_MODE_RO);
	struct list_head *entry;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	entry = pzalloc(pool, sizeof(*entry));
	KUNIT_EXPECT_NOT_NULL(test, entry);
	if (entry)
		prmem_expect_refused(test, PRMEM_OPEN, -EPERM,
				     prlist_add(entry, &prmem_test_list));
	KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_list));
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
}

/* A node that is in no bucket can't be taken out of one, nor be a neighbour. */
static void prmem_test_hlist_unhashed(struct kunit *test)
{
	struct list_test *x = test->priv;
	struct hlist_node *in = &x->pr[0]->node, *out = &x->pr[1]->node;

	KUNIT_ASSERT_EQ(test, prhlist_add_head(in, &prmem_test_bucket), 0);
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_del(out));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL, prhlist_del_rcu(out));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL,
			     prhlist_add_before(&x->pr[2]->node, out));
	prmem_expect_refused(test, PRMEM_BAD_LIST, -EINVAL,
			     prhlist_replace_rcu(out, &x->pr[2]->node));
	KUNIT_EXPECT_EQ(test, prhlist_del_init(out), 0);
	KUNIT_EXPECT_TRUE(test, hlist_unhashed(out));
	KUNIT_EXPECT_TRUE(test, hlist_unhashed(&x->pr[2]->node));
	KUNIT_EXPECT_PTR_EQ(test, prmem_test_bucket.first, in);
}

#define PUBLISH_OPS	1000

struct publish {
	struct item *item;
	int started, stop, done;
	unsigned int round;	/* odd while the entry is whole if it can be found */
	atomic_t found;
	atomic_t half;
};

/* Whoever finds the entry finds all of it. */
static void publish_read(void *info)
{
	struct publish *r = info;

	/* Pairs with prmem_test_wait(). */
	smp_store_release(&r->started, 1);
	/* Pairs with smp_store_release() in prmem_test_list_publishes_whole(). */
	while (!smp_load_acquire(&r->stop)) {
		/* Pairs with smp_store_release() in prmem_test_list_publishes_whole(). */
		unsigned int round = smp_load_acquire(&r->round);
		/* The dependency pairs with the release in __wr_links(). */
		struct list_head *first = READ_ONCE(prmem_test_list.next), *next;

		cpu_relax();
		if (!(round & 1) || first != &r->item->list)
			continue;
		next = READ_ONCE(first->next);
		/* Pairs with smp_mb() in prmem_test_list_publishes_whole(). */
		smp_rmb();
		if (READ_ONCE(r->round) != round)
			continue;
		atomic_inc(&r->found);
		if (next != &prmem_test_list)
			atomic_inc(&r->half);
	}
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&r->done, 1);
}

static void prmem_test_list_publishes_whole(struct kunit *test)
{
	struct publish *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	struct list_test *x = test->priv;
	int cpu, i, err = 0;

	prmem_test_need_cpus(test);
	KUNIT_ASSERT_NOT_NULL(test, r);
	r->item = x->pr[0];
	/* The other CPU does nothing else until it is told to stop. */
	preempt_disable();
	cpu = prmem_test_other_cpu();
	err = smp_call_function_single(cpu, publish_read, r, false);
	if (!err && prmem_test_wait(&r->started)) {
		for (i = 0; i < PUBLISH_OPS; i++) {
			err |= wr_assign(r->item->list.next, NULL);
			err |= wr_assign(r->item->list.prev, NULL);
			/* Pairs with smp_load_acquire() in publish_read(). */
			smp_store_release(&r->round, 2 * i + 1);
			err |= prlist_add_rcu(&r->item->list, &prmem_test_list);
			WRITE_ONCE(r->round, 2 * i + 2);
			/* Pairs with smp_rmb() in publish_read(). */
			smp_mb();
			err |= prlist_del_rcu(&r->item->list);
		}
	}
	/* Pairs with smp_load_acquire() in publish_read(). */
	smp_store_release(&r->stop, 1);
	KUNIT_EXPECT_TRUE(test, prmem_test_wait(&r->done));
	preempt_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&r->half), 0);
	kunit_info(test, "found %d times", atomic_read(&r->found));
}

/* Next to an entry that is sealed nothing can change, elsewhere it can. */
static void prmem_test_list_sealed_neighbour(struct kunit *test)
{
	struct item *sealed = (void *)wr_cache_zalloc(&prmem_test_items, GFP_KERNEL);
	struct list_test *x = test->priv;
	struct list_head *first = &x->pr[0]->list, *head = &prmem_test_other, before[3];

	KUNIT_ASSERT_NOT_NULL(test, sealed);
	KUNIT_EXPECT_EQ(test, prlist_add_tail(&sealed->list, head), 0);
	KUNIT_EXPECT_EQ(test, prlist_add_tail(first, head), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_seal(&prmem_test_items, sealed), 0);
	before[0] = sealed->list;
	before[1] = *first;
	before[2] = *head;

	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, prlist_add(&x->pr[1]->list, head));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM,
			     prlist_add(&x->pr[1]->list, &sealed->list));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, prlist_del(first));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, prlist_move(first, &prmem_test_list));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM, prlist_del(&sealed->list));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM,
			     prlist_replace_rcu(&sealed->list, &x->pr[2]->list));
	prmem_expect_refused(test, PRMEM_SEALED, -EPERM,
			     prlist_splice_init(head, &prmem_test_list));
	KUNIT_EXPECT_MEMEQ(test, &sealed->list, &before[0], sizeof(before[0]));
	KUNIT_EXPECT_MEMEQ(test, first, &before[1], sizeof(before[0]));
	KUNIT_EXPECT_MEMEQ(test, head, &before[2], sizeof(before[0]));
	KUNIT_EXPECT_PTR_EQ(test, x->pr[1]->list.next, NULL);
	KUNIT_EXPECT_TRUE(test, list_empty(&prmem_test_list));

	KUNIT_EXPECT_EQ(test, prlist_add_tail(&x->pr[3]->list, head), 0);
	KUNIT_EXPECT_EQ(test, list_count_nodes(head), 3);
}

static struct kunit_case prmem_list_cases[] = {
	KUNIT_CASE(prmem_test_list_add),
	KUNIT_CASE(prmem_test_list_del),
	KUNIT_CASE(prmem_test_list_replace),
	KUNIT_CASE(prmem_test_list_move),
	KUNIT_CASE(prmem_test_list_splice),
	KUNIT_CASE(prmem_test_list_ordinary_neighbours),
	KUNIT_CASE(prmem_test_hlist),
	KUNIT_CASE(prmem_test_list_all_or_nothing),
	KUNIT_CASE(prmem_test_list_in_open_pool),
	KUNIT_CASE(prmem_test_list_in_ro_pool),
	KUNIT_CASE(prmem_test_list_same),
	KUNIT_CASE(prmem_test_hlist_unhashed),
	KUNIT_CASE(prmem_test_list_publishes_whole),
	KUNIT_CASE(prmem_test_list_sealed_neighbour),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_list_suite = {
	.name = "prmem_list",
	.suite_init = prmem_test_suite_init,
	.init = list_init,
	.exit = list_exit,
	.test_cases = prmem_list_cases,
};

static bool provoke;
module_param(provoke, bool, 0444);

/* Changes of a list that is corrupted, each by a task of its own: it may die of it. */
enum corrupted_op {
	CORRUPTED_DEL,
	CORRUPTED_MOVE,
	CORRUPTED_REPLACE,
	CORRUPTED_ADD,
	CORRUPTED_ADD_TWICE,	/* the same entry */
	NR_CORRUPTED_OPS,
};

struct corrupted {
	struct list_test *x;
	enum corrupted_op op;
	bool batch;
	int cpu;
	int err;
	int open;		/* the window is, after the change */
	int begun;
	int done;
};

static int corrupted_thread(void *data)
{
	struct corrupted *c = data;
	struct list_head *entry = &c->x->pr[1]->list, *other = &c->x->pr[4]->list;
	int err = -ENOENT;

	c->cpu = raw_smp_processor_id();
	if (c->batch)
		c->begun = wr_begin();
	switch (c->op) {
	case CORRUPTED_DEL:
		err = prlist_del(entry);
		break;
	case CORRUPTED_MOVE:
		err = prlist_move(entry, &prmem_test_other);
		break;
	case CORRUPTED_REPLACE:
		err = prlist_replace(entry, other);
		break;
	case CORRUPTED_ADD:
		err = prlist_add_tail(other, entry);
		break;
	case CORRUPTED_ADD_TWICE:
		err = prlist_add(&c->x->pr[0]->list, &prmem_test_list);
		break;
	default:
		break;
	}
	/* Without a batch a task that dies does not get here. */
	c->err = err;
	c->open = prmem_test_reads(prmem_test_alias(entry));
	if (c->batch)
		wr_end();
	/* Pairs with the wait in corrupted_change(). */
	smp_store_release(&c->done, 1);

	return 0;
}

static void corrupted_change(struct kunit *test, struct corrupted *c)
{
	const bool dies = IS_ENABLED(CONFIG_BUG_ON_DATA_CORRUPTION);
	long counted = prmem_test_refused(PRMEM_BAD_LIST), left;
	struct task_struct *task;
	int i;

	left = atomic_long_read(&temp_mm_stats.left);
	task = kthread_run(corrupted_thread, c, "prmem_list");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	/* Pairs with smp_store_release() in corrupted_thread(). */
	for (i = 0; i < (dies ? 20 : 500) && !smp_load_acquire(&c->done); i++)
		msleep(20);

	KUNIT_EXPECT_EQ_MSG(test, c->done, !dies, "op %d batch %d", c->op, c->batch);
	KUNIT_EXPECT_EQ(test, prmem_test_refused(PRMEM_BAD_LIST), counted + 1);
	if (c->batch || !dies) {
		KUNIT_EXPECT_EQ(test, c->err, -EINVAL);
		KUNIT_EXPECT_EQ(test, c->open, c->batch);
	}
	/* The report comes when the window is closed. */
	KUNIT_EXPECT_EQ(test, c->begun, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.left), left);
}

/*
 * No pointer is followed that does not point back.  It is reported as list_debug.c does
 * it, by a WARN() or BUG() that whoever runs this looks for in the log.
 */
static void prmem_test_list_corrupted(struct kunit *test)
{
	struct corrupted *c = kunit_kzalloc(test, sizeof(*c) * 2 * NR_CORRUPTED_OPS, GFP_KERNEL);
	struct list_test *x = test->priv;
	struct list_head *entry = &x->pr[1]->list, shadow;
	int i;

	if (!provoke)
		kunit_skip(test, "needs test_prmem_list.provoke=1");
	if (!IS_ENABLED(CONFIG_LIST_HARDENED))
		kunit_skip(test, "needs CONFIG_LIST_HARDENED");

	KUNIT_ASSERT_NOT_NULL(test, c);
	fill_lists(test, 3);
	KUNIT_EXPECT_EQ(test, wr_assign(entry->prev, &x->pr[5]->list), 0);
	KUNIT_EXPECT_EQ(test, prlist_init(&x->pr[5]->list), 0);
	shadow = *entry;
	for (i = 0; i < 2 * NR_CORRUPTED_OPS; i++) {
		c[i].x = x;
		c[i].op = i / 2;
		c[i].batch = i % 2;
		corrupted_change(test, &c[i]);
	}
	/* A neighbour that is not there, but for its address. */
	KUNIT_EXPECT_EQ(test, wr_assign(entry->prev, (void *)0xdead4ead00000000), 0);
	c[1].done = 0;
	corrupted_change(test, &c[1]);
	KUNIT_EXPECT_EQ(test, wr_assign(entry->prev, shadow.prev), 0);
	KUNIT_EXPECT_MEMEQ(test, entry, &shadow, sizeof(shadow));
	KUNIT_EXPECT_TRUE(test, list_empty(&x->pr[5]->list));
	KUNIT_EXPECT_PTR_EQ(test, x->pr[4]->list.next, NULL);
}

/* A task changes a corrupted list in a batch that is within the window of somebody else. */
struct corrupted_inside {
	struct list_test *x;
	struct temp_mm *t;
	int err;
	int open;		/* that window is, after the batch in it */
	int closed;
	int done;
};

static int corrupted_inside_thread(void *data)
{
	struct corrupted_inside *c = data;
	int err = 0;

	preempt_disable();
	err |= temp_mm_use(c->t);
	err |= wr_begin();
	c->err = err ?: prlist_del(&c->x->pr[1]->list);
	wr_end();
	c->open = temporary_mm_loaded() == c->t->mm;
	temp_mm_unuse(c->t);
	c->closed = 1;
	preempt_enable();
	/* Pairs with the wait in prmem_test_list_corrupted_inside(). */
	smp_store_release(&c->done, 1);

	return 0;
}

/* A BUG() would end the task with that window open, so the corruption is not reported. */
static void prmem_test_list_corrupted_inside(struct kunit *test)
{
	struct corrupted_inside *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	long left = atomic_long_read(&temp_mm_stats.left);
	struct list_test *x = test->priv;
	struct list_head *entry = &x->pr[1]->list, shadow;
	struct task_struct *task;
	struct temp_mm *t;
	struct page *page;
	int k;

	if (!provoke)
		kunit_skip(test, "needs test_prmem_list.provoke=1");
	if (!IS_ENABLED(CONFIG_LIST_HARDENED))
		kunit_skip(test, "needs CONFIG_LIST_HARDENED");

	page = alloc_page(GFP_KERNEL);
	t = temp_mm_alloc(1, "prmem_list");
	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_FALSE(test, IS_ERR(temp_mm_map(t, &page, 1, TEMP_MM_PROT_RW)));
	fill_lists(test, 3);
	shadow = *entry;
	KUNIT_EXPECT_EQ(test, wr_assign(entry->prev, &x->pr[5]->list), 0);
	KUNIT_EXPECT_EQ(test, prlist_init(&x->pr[5]->list), 0);
	c->x = x;
	c->t = t;
	task = kthread_run(corrupted_inside_thread, c, "prmem_list");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	/* Pairs with smp_store_release() in corrupted_inside_thread(). */
	for (k = 0; k < 500 && !smp_load_acquire(&c->done); k++)
		msleep(20);
	KUNIT_EXPECT_EQ(test, c->err, -EINVAL);
	KUNIT_EXPECT_EQ(test, c->open, 1);
	KUNIT_EXPECT_EQ(test, c->closed, 1);
	KUNIT_EXPECT_EQ(test, c->done, 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.left), left);
	KUNIT_EXPECT_EQ(test, wr_assign(entry->prev, shadow.prev), 0);
	temp_mm_unmap(t);
	temp_mm_free(t);
	__free_page(page);
}

static struct kunit_case splat_prmem_cases[] = {
	KUNIT_CASE(prmem_test_list_corrupted),
	KUNIT_CASE(prmem_test_list_corrupted_inside),
	{}
};

static struct kunit_suite splat_prmem_suite = {
	.name = "splat_prmem",
	.init = list_init,
	.exit = list_exit,
	.test_cases = splat_prmem_cases,
};

kunit_test_suites(&prmem_list_suite, &splat_prmem_suite);
