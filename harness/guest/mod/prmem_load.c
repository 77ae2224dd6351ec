// SPDX-License-Identifier: GPL-2.0
/*
 * Protected memory under load. Loading the module runs it, and fails if anything
 * went wrong; the log says what.
 *
 *   seconds=N  threads that write in all ways at once, check what comes of it,
 *              and wander between the CPUs
 *   fill=N     up to N objects of 4 KiB are allocated, with memory running out or
 *              not; those that could be had are checked and freed
 *   need=N     with fill: at least so many have to be had
 *   bursts=N   how often to fill
 */
#define pr_fmt(fmt) "prmem_load: " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/prmem.h>
#include <linux/random.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/smp.h>

#define MAX_THREADS	16
#define MAX_LENGTH	32	/* of the list */
#define WORDS		100	/* more than a batch has without letting interrupts in */

static unsigned int seconds = 5;
module_param(seconds, uint, 0400);
static unsigned int fill;
module_param(fill, uint, 0400);
static unsigned int need;
module_param(need, uint, 0400);
static unsigned int bursts = 1;
module_param(bursts, uint, 0400);

static atomic_t failures;

/* Every failure counts; the first ones are told. */
#define expect(good, fmt, ...)							\
({										\
	bool __good = (good);							\
										\
	if (!__good && atomic_inc_return(&failures) <= 20)			\
		pr_err("FAIL: %s: " fmt "\n", __func__, ##__VA_ARGS__);		\
	__good;									\
})

/* An entry of the list; inverse is what it says. */
struct item {
	struct list_head list;
	u64 value;
	u64 inverse;
};

struct shared {
	struct list_head head;
	atomic_long_t total;
	u64 counter;
};

struct own {
	u64 word[WORDS];
	u64 from_irq;
};

struct blob {
	const struct blob *next;
	u64 word[511];
};

static_assert(sizeof(struct blob) == 4096);

static struct wr_cache *items, *shareds, *owns;
static const struct shared *shared;
static DEFINE_MUTEX(list_mutex);
static unsigned int length;

struct worker {
	struct task_struct *task;
	const struct own *own;
	struct irq_work work;
	u64 n;
	long added, counted, rounds;
};

static struct worker workers[MAX_THREADS];
static unsigned int nr_workers;

/* A scalar, read back. */
static void do_assign(struct worker *w)
{
	unsigned int i = get_random_u32_below(WORDS);
	int err = wr_assign(w->own->word[i], w->n);

	expect(!err && READ_ONCE(w->own->word[i]) == w->n, "error %d, read %llx not %llx", err,
	       w->own->word[i], w->n);
}

/* An object from its allocation to its end. */
static void do_object(struct worker *w)
{
	bool atomic = w->n & 2;
	const struct item *item = wr_cache_zalloc(items, atomic ? GFP_ATOMIC : GFP_KERNEL);
	struct item new = { .value = w->n, .inverse = ~w->n };
	int err;

	/* Without the permission to sleep there may be nothing. */
	if (!item) {
		expect(atomic, "no memory");
		return;
	}
	expect(!item->value && !item->inverse, "a new object is not zero");
	err = wr_update(items, item, &new);
	expect(!err && item->value == w->n && item->inverse == ~w->n, "update: error %d", err);
	err = w->n & 4 ? wr_cache_free(items, item) : wr_cache_free_rcu(items, item);
	expect(!err, "free: error %d", err);
}

static void do_list_write(struct worker *w)
{
	struct item new = { .value = w->n, .inverse = ~w->n };
	const struct item *item;
	int err;

	guard(mutex)(&list_mutex);

	if (length < MAX_LENGTH && (w->n & 2 || !length)) {
		item = wr_cache_alloc(items, GFP_KERNEL);
		if (!expect(item, "no memory"))
			return;
		err = wr_update(items, item, &new);
		expect(!err, "update: error %d", err);
		err = prlist_add_rcu(&item->list, &shared->head);
		if (expect(!err, "add: error %d", err))
			length++;
	} else {
		item = list_last_entry(&shared->head, struct item, list);
		err = prlist_del_rcu(&item->list);
		if (!expect(!err, "del: error %d", err))
			return;
		length--;
		err = wr_cache_free_rcu(items, item);
		expect(!err, "free: error %d", err);
	}
}

static void do_list_read(struct worker *w)
{
	unsigned int seen = 0;
	const struct item *item;

	guard(rcu)();

	list_for_each_entry_rcu(item, &shared->head, list) {
		if (!expect(item->inverse == ~item->value, "torn or freed: %llx, %llx",
			    item->value, item->inverse))
			return;
		/* Entries that come and go meanwhile are not seen, or seen once. */
		if (!expect(++seen < 100000, "no end of the list"))
			return;
	}
}

static void do_atomic(struct worker *w)
{
	u64 old = READ_ONCE(shared->counter);
	int err = pratomic_inc(&shared->total);

	if (expect(!err, "inc: error %d", err))
		w->added++;
	do {
		err = wr_cmpxchg(&shared->counter, &old, old + 1);
	} while (!err);
	if (expect(err == 1, "cmpxchg: error %d", err))
		w->counted++;
}

static void do_batch(struct worker *w)
{
	unsigned int i;
	int err = wr_begin();

	if (!expect(!err, "begin: error %d", err))
		return;
	for (i = 0; i < WORDS; i++) {
		err = wr_assign(w->own->word[i], w->n + i);
		expect(!err, "error %d", err);
	}
	wr_end();
	for (i = 0; i < WORDS; i++)
		expect(w->own->word[i] == w->n + i, "word %u is %llx, not %llx", i,
		       w->own->word[i], w->n + i);
}

/* From an interrupt, which may come in the middle of a write. */
static void write_from_irq(struct irq_work *work)
{
	struct worker *w = container_of(work, struct worker, work);
	int err = wr_assign(w->own->from_irq, w->own->from_irq + 1);

	expect(!err, "error %d", err);
}

static void do_irq(struct worker *w)
{
	u64 before = READ_ONCE(w->own->from_irq);

	irq_work_queue(&w->work);
	do_assign(w);
	irq_work_sync(&w->work);
	expect(w->own->from_irq == before + 1, "%llu, not %llu", w->own->from_irq, before + 1);
}

static void do_pool(struct worker *w)
{
	struct pmalloc_pool *pool;
	u64 *p;
	int err;

	/* It interrupts all CPUs and waits for them. */
	if (w->n & 0xff)
		return;
	pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	if (!expect(!IS_ERR(pool), "no pool"))
		return;
	p = pmalloc(pool, 2 * PAGE_SIZE);
	if (expect(p, "no memory")) {
		*p = w->n;
		err = pmalloc_protect_pool(pool);
		expect(!err, "protect: error %d", err);
		err = wr_assign(*p, *p + 1);
		expect(!err && *p == w->n + 1, "assign: error %d", err);
	}
	err = pmalloc_destroy_pool(pool);
	expect(!err, "destroy: error %d", err);
}

static void (* const ways[])(struct worker *w) = {
	do_assign, do_object, do_list_write, do_list_read, do_atomic, do_batch, do_irq, do_pool,
};

/* How often each was gone to its end. */
static atomic_long_t went[ARRAY_SIZE(ways)];

static int work(void *data)
{
	struct worker *w = data;

	while (!kthread_should_stop()) {
		unsigned int way = get_random_u32_below(ARRAY_SIZE(ways));

		w->n = get_random_u64();
		ways[way](w);
		atomic_long_inc(&went[way]);
		w->rounds++;
		cond_resched();
	}

	return 0;
}

static void stop_workers(void)
{
	while (nr_workers) {
		struct worker *w = &workers[--nr_workers];

		kthread_stop(w->task);
		irq_work_sync(&w->work);
		expect(!wr_cache_free(owns, w->own), "free");
	}
}

static int start_workers(void)
{
	unsigned int n = min(2 * num_online_cpus(), MAX_THREADS);

	while (nr_workers < n) {
		struct worker *w = &workers[nr_workers];

		init_irq_work(&w->work, write_from_irq);
		w->own = wr_cache_zalloc(owns, GFP_KERNEL);
		if (!w->own)
			return -ENOMEM;
		w->task = kthread_run(work, w, "prmem_load/%u", nr_workers);
		if (IS_ERR(w->task)) {
			expect(!wr_cache_free(owns, w->own), "free");
			return PTR_ERR(w->task);
		}
		nr_workers++;
	}

	return 0;
}

static void check_sums(unsigned int n)
{
	long added = 0, counted = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++)
		expect(atomic_long_read(&went[i]), "way %u was never gone", i);
	while (n--) {
		expect(workers[n].rounds, "thread %u did nothing", n);
		added += workers[n].added;
		counted += workers[n].counted;
	}
	expect(atomic_long_read(&shared->total) == added, "%ld increments, counted %ld", added,
	       atomic_long_read(&shared->total));
	expect(shared->counter == counted, "%ld exchanges, counted %llu", counted, shared->counter);
	pr_info("%ld increments, %ld exchanges\n", added, counted);
}

static void free_list(void)
{
	const struct item *item, *next;

	list_for_each_entry_safe(item, next, &shared->head, list) {
		expect(!prlist_del(&item->list), "del");
		expect(!wr_cache_free(items, item), "free");
		length--;
	}
	expect(!length, "length is %u", length);
}

static void stress(void)
{
	unsigned int n;

	items = wr_cache_create("stress_item", sizeof(struct item), 0, 0, 0);
	owns = wr_cache_create("stress_own", sizeof(struct own), 0, 0, 0);
	shareds = wr_cache_create("stress_shared", sizeof(struct shared), 0, 0, 0);
	if (!expect(!IS_ERR(items) && !IS_ERR(owns) && !IS_ERR(shareds), "no cache"))
		return;
	shared = wr_cache_zalloc(shareds, GFP_KERNEL);
	if (!expect(shared && !prlist_init(&shared->head), "no list"))
		return;

	if (expect(!start_workers(), "no thread"))
		msleep(1000 * seconds);
	n = nr_workers;
	stop_workers();
	check_sums(n);
	free_list();
	expect(!wr_cache_free(shareds, shared), "free");
	/* What was freed under RCU is part of this. */
	expect(!wr_cache_destroy(items), "objects are left");
	expect(!wr_cache_destroy(owns), "objects are left");
	expect(!wr_cache_destroy(shareds), "objects are left");
}

/* Take all that there is, or enough of it, and give it back. */
static void fill_up(void)
{
	struct wr_cache *blobs = wr_cache_create("stress_blob", sizeof(struct blob), 0, 0, 0);
	const struct blob *first = NULL, *blob;
	unsigned int n = 0, freed = 0;
	int err = 0;

	if (IS_ERR(blobs)) {
		/* That is what may happen without memory. */
		expect(!need, "no cache");
		return;
	}

	while (n < fill) {
		blob = wr_cache_zalloc(blobs, GFP_KERNEL);
		if (!blob)
			break;
		err = wr_assign(blob->next, first) ?: wr_assign(blob->word[510], ~(u64)n);
		if (!expect(!err, "assign: error %d", err))
			break;
		first = blob;
		n++;
		cond_resched();
	}
	pr_info("%u objects of %zu bytes%s\n", n, sizeof(*blob), n < fill ? ", then none" : "");
	expect(n >= need, "%u are not enough", n);

	while (first) {
		blob = first;
		first = blob->next;
		freed++;
		expect(blob->word[510] == ~(u64)(n - freed) && !blob->word[0], "object %u is damaged",
		       n - freed);
		err = wr_cache_free(blobs, blob);
		if (!expect(!err, "free: error %d", err))
			return;
		cond_resched();
	}
	expect(freed == n, "%u of %u freed", freed, n);
	expect(!wr_cache_destroy(blobs), "objects are left");
}

static int __init prmem_load_init(void)
{
	if (fill) {
		while (bursts--)
			fill_up();
	} else {
		stress();
	}
	pr_info("%d failures\n", atomic_read(&failures));

	return atomic_read(&failures) ? -EIO : 0;
}

static void __exit prmem_load_exit(void) { }

module_init(prmem_load_init);
module_exit(prmem_load_exit);
MODULE_DESCRIPTION("Protected memory under load");
MODULE_LICENSE("GPL");
