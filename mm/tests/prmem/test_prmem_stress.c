// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of protected memory: many at once, and little memory.
 */
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/random.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "test_prmem.h"

#define MAX_THREADS	8

/* The same function on each CPU, until it ends or is told to. */
struct team {
	struct task_struct *task[MAX_THREADS];
	unsigned int n;
};

static void team_start(struct kunit *test, struct team *team, int (*fn)(void *), void *data)
{
	unsigned int cpu;

	team->n = 0;
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct task_struct *task;

		if (team->n == MAX_THREADS)
			break;
		task = kthread_create_on_cpu(fn, data, cpu, "prmem_test/%u");
		if (IS_ERR(task))
			break;
		get_task_struct(task);
		team->task[team->n++] = task;
	}
	cpus_read_unlock();
	for (cpu = 0; cpu < team->n; cpu++)
		wake_up_process(team->task[cpu]);
	KUNIT_EXPECT_GT(test, team->n, 0);
}

/* Those that have ended by themselves have waited for this, too. */
static void team_stop(struct team *team)
{
	while (team->n) {
		struct task_struct *task = team->task[--team->n];

		kthread_stop(task);
		put_task_struct(task);
	}
}

/* Whoever has finished its work waits here to be stopped. */
static int team_wait(void)
{
	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);

	return 0;
}

#define TORTURE_OPS	1500
#define TORTURE_LIVE	12

struct torture_obj {
	struct list_head list;
	struct hlist_node node;
	u64 id;
	u64 check;
};

static __wr_after_init LIST_HEAD(torture_list);
static __wr_after_init HLIST_HEAD(torture_bucket);

struct torture {
	atomic_t passes;
	atomic_t seen;
	atomic_t bad;		/* contents that nobody has written, or that changed */
	atomic_t lost;		/* no end of the list */
};

static bool torture_ok(const struct torture_obj *obj, u64 id)
{
	return READ_ONCE(obj->id) == id && READ_ONCE(obj->check) == ~id;
}

static void torture_pass(struct torture *t)
{
	const struct torture_obj *obj, *held[4] = {};
	unsigned int i, steps = 0;
	u64 id[4];

	rcu_read_lock();
	list_for_each_entry_rcu(obj, &torture_list, list) {
		if (++steps > 10 * TORTURE_LIVE + 1000)
			break;
		i = steps % 2;
		id[i] = READ_ONCE(obj->id);
		held[i] = obj;
		atomic_add(!torture_ok(obj, id[i]), &t->bad);
	}
	hlist_for_each_entry_rcu(obj, &torture_bucket, node) {
		if (++steps > 2000)
			break;
		i = 2 + steps % 2;
		id[i] = READ_ONCE(obj->id);
		held[i] = obj;
		atomic_add(!torture_ok(obj, id[i]), &t->bad);
	}
	/* A while later, what has been found is still there. */
	for (i = 0; i < 50; i++)
		cpu_relax();
	for (i = 0; i < ARRAY_SIZE(held); i++)
		atomic_add(held[i] && !torture_ok(held[i], id[i]), &t->bad);
	rcu_read_unlock();

	atomic_add(steps > 1000, &t->lost);
	atomic_add(steps, &t->seen);
	atomic_inc(&t->passes);
}

static int torture_reader(void *data)
{
	while (!kthread_should_stop()) {
		torture_pass(data);
		cond_resched();
	}

	return 0;
}

static struct torture_obj *torture_new(struct wr_cache *c, u64 id, int *err)
{
	struct torture_obj *obj = (void *)wr_cache_alloc(c, GFP_KERNEL);

	if (!obj) {
		*err = -ENOMEM;
		return NULL;
	}
	*err |= wr_set_field(c, obj, id, id);
	*err |= wr_set_field(c, obj, check, ~id);

	return obj;
}

/*
 * Readers on all CPUs walk a list and a bucket of which a writer adds, removes and
 * replaces entries, and reuses their memory as soon as that is allowed.
 */
static void prmem_test_rcu_torture(struct kunit *test)
{
	struct wr_cache *c = prmem_test_cache(sizeof(struct torture_obj), 8);
	struct torture *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct torture_obj *live[TORTURE_LIVE] = {};
	unsigned int i, k, adds = 0, dels = 0, replaces = 0;
	struct team readers;
	int err = 0;

	KUNIT_ASSERT_NOT_NULL(test, c);
	KUNIT_ASSERT_NOT_NULL(test, t);
	team_start(test, &readers, torture_reader, t);

	for (i = 0; i < TORTURE_OPS && !err; i++) {
		struct torture_obj *old, *new = NULL;

		k = get_random_u32_below(TORTURE_LIVE);
		old = live[k];
		if (!old || get_random_u32_below(2)) {
			new = torture_new(c, i + 1, &err);
			if (!new)
				break;
		}
		if (old && new) {
			err |= prlist_replace_rcu(&old->list, &new->list);
			err |= prhlist_replace_rcu(&old->node, &new->node);
			replaces++;
		} else if (new) {
			err |= k & 1 ? prlist_add_rcu(&new->list, &torture_list) :
				       prlist_add_tail_rcu(&new->list, &torture_list);
			err |= prhlist_add_head_rcu(&new->node, &torture_bucket);
			adds++;
		} else {
			err |= prlist_del_rcu(&old->list);
			err |= prhlist_del_rcu(&old->node);
			dels++;
		}
		if (old)
			err |= wr_cache_free_rcu(c, old);
		live[k] = new;
		if (i % 100 == 0)
			schedule_timeout_uninterruptible(1);
	}
	team_stop(&readers);

	for (k = 0; k < TORTURE_LIVE; k++) {
		if (!live[k])
			continue;
		err |= prlist_del(&live[k]->list);
		err |= prhlist_del(&live[k]->node);
		err |= wr_cache_free(c, live[k]);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, i, TORTURE_OPS);
	KUNIT_EXPECT_TRUE(test, list_empty(&torture_list));
	KUNIT_EXPECT_TRUE(test, hlist_empty(&torture_bucket));
	KUNIT_EXPECT_EQ(test, atomic_read(&t->bad), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->lost), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&t->passes), 10);
	KUNIT_EXPECT_GT(test, atomic_read(&t->seen), 10);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
	kunit_info(test, "%u added, %u removed, %u replaced; %d passes of readers", adds, dels,
		   replaces, atomic_read(&t->passes));
}

#define COUNTS		1000

struct counters {
	atomic_t a;
	atomic_long_t l;
	atomic_long_t bits;
	u64 swapped;
};

static struct counters counters __wr_after_init;

struct counting {
	struct counters *n;
	atomic_t err;
	atomic_t done;
};

static void count_once(struct counting *job, unsigned int i)
{
	unsigned long bit = BIT(smp_processor_id() % BITS_PER_LONG);
	struct counters *n = job->n;
	u64 was = READ_ONCE(n->swapped);
	long l;
	int a, err, same;

	err = pratomic_inc(&n->a);
	err |= pratomic_add_return(2, &n->a, &a);
	err |= pratomic_fetch_sub(1, &n->a, &a);
	err |= pratomic_add(0x100000001L, &n->l);
	err |= pratomic_dec_return(&n->l, &l);
	/* A bit of one's own comes and goes. */
	err |= pratomic_fetch_or(bit, &n->bits, &l);
	err |= !!(l & bit);
	err |= pratomic_fetch_and(~bit, &n->bits, &l);
	err |= !(l & bit);
	do {
		same = wr_cmpxchg(&n->swapped, &was, was + 1);
	} while (!same);
	err |= same != 1;
	if (err)
		atomic_inc(&job->err);
	if (i == COUNTS - 1)
		atomic_inc(&job->done);
}

static int count_thread(void *data)
{
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < COUNTS; i++) {
		/* The bit is that of the CPU. */
		local_irq_save(flags);
		count_once(data, i);
		local_irq_restore(flags);
		if (i % 100 == 0)
			cond_resched();
	}

	return team_wait();
}

static void count_irq(void *data)
{
	unsigned int i;

	for (i = COUNTS - 100; i < COUNTS; i++)
		count_once(data, i);
}

/* Tasks and interrupts of all CPUs count, and nothing gets lost. */
static void prmem_test_atomics_add_up(struct kunit *test)
{
	struct counting *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	struct wr_cache *c = prmem_test_cache(sizeof(struct counters), 8);
	struct counters *targets[2] = { &counters };
	int i, k, threads, irqs;
	struct team team;
	long sum;

	KUNIT_ASSERT_NOT_NULL(test, job);
	KUNIT_ASSERT_NOT_NULL(test, c);
	targets[1] = (void *)wr_cache_zalloc(c, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, targets[1]);
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		job->n = targets[i];
		KUNIT_EXPECT_EQ(test, wr_memset(job->n, 0, sizeof(*job->n)), 0);
		atomic_set(&job->done, 0);
		team_start(test, &team, count_thread, job);
		threads = team.n;
		for (k = 0, irqs = 0; k < 5; k++, irqs += num_online_cpus()) {
			on_each_cpu(count_irq, job, true);
			schedule_timeout_uninterruptible(1);
		}
		for (k = 0; k < 30000 && atomic_read(&job->done) < threads + irqs; k++)
			schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_EQ(test, atomic_read(&job->done), threads + irqs);
		team_stop(&team);

		sum = threads * COUNTS + irqs * 100;
		KUNIT_EXPECT_EQ(test, atomic_read(&job->err), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&job->n->a), 2 * sum);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&job->n->l), sum << 32);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&job->n->bits), 0);
		KUNIT_EXPECT_EQ(test, job->n->swapped, sum);
	}
	KUNIT_EXPECT_EQ(test, wr_cache_free(c, targets[1]), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);
}

#define ALLOCS		600
#define HELD		24

struct owned {
	u64 owner;
	u64 pad[15];
};

struct allocating {
	struct wr_cache *c;
	atomic_t err;
	atomic_t stolen;	/* objects that were somebody else's */
	atomic_t failed;
	atomic_t done;
};

static void own(struct allocating *job, struct owned **slot, u64 me, gfp_t gfp)
{
	struct owned *obj = (void *)wr_cache_alloc(job->c, gfp);
	u64 nobody = 0;

	*slot = obj;
	if (!obj)
		atomic_inc(&job->failed);
	else if (wr_cmpxchg(&obj->owner, &nobody, me) != 1)
		atomic_inc(&job->stolen);
}

static void disown(struct allocating *job, struct owned **slot, u64 me, bool rcu)
{
	struct owned *obj = *slot;
	u64 was = 0;

	*slot = NULL;
	if (wr_xchg(&obj->owner, 0, &was) || was != me)
		atomic_inc(&job->stolen);
	if (rcu ? wr_cache_free_rcu(job->c, obj) : wr_cache_free(job->c, obj))
		atomic_inc(&job->err);
}

static int alloc_thread(void *data)
{
	u64 me = (unsigned long)current;
	struct allocating *job = data;
	struct owned *held[HELD] = {};
	unsigned int i, k;

	for (i = 0; i < ALLOCS; i++) {
		k = get_random_u32_below(HELD);
		if (held[k])
			disown(job, &held[k], me, i & 1);
		else
			own(job, &held[k], me, i & 2 ? GFP_KERNEL : GFP_ATOMIC);
		cond_resched();
	}
	for (k = 0; k < HELD; k++) {
		if (held[k])
			disown(job, &held[k], me, k & 1);
	}
	atomic_inc(&job->done);

	return team_wait();
}

static void alloc_irq(void *data)
{
	u64 me = smp_processor_id() + 1;
	struct owned *held[8];
	int i;

	for (i = 0; i < ARRAY_SIZE(held); i++)
		own(data, &held[i], me, GFP_ATOMIC);
	for (i = 0; i < ARRAY_SIZE(held); i++) {
		if (held[i])
			disown(data, &held[i], me, i & 1);
	}
}

/* No object is given to two at a time, in tasks and interrupts of all CPUs. */
static void prmem_test_objects_are_unique(struct kunit *test)
{
	struct allocating *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	struct team team;
	int k, threads;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->c = prmem_test_cache(sizeof(struct owned), 8);
	KUNIT_ASSERT_NOT_NULL(test, job->c);
	team_start(test, &team, alloc_thread, job);
	threads = team.n;
	for (k = 0; k < 20; k++) {
		on_each_cpu(alloc_irq, job, true);
		schedule_timeout_uninterruptible(1);
	}
	for (k = 0; k < 30000 && atomic_read(&job->done) < threads; k++)
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_EQ(test, atomic_read(&job->done), threads);
	team_stop(&team);

	KUNIT_EXPECT_EQ(test, atomic_read(&job->err), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&job->stolen), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&job->failed), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(job->c), 0);
}

struct pool_job {
	struct pmalloc_pool *pool;
	atomic_t bad;
	atomic_t done;
};

static int pool_thread(void *data)
{
	struct pool_job *job = data;
	u64 *mine[50];
	int i;

	for (i = 0; i < ARRAY_SIZE(mine); i++) {
		mine[i] = pmalloc(job->pool, 200);
		if (mine[i])
			atomic_add(!!memchr_inv(mine[i], 0, 200) ||
				   wr_memset(mine[i], i + 1, 200), &job->bad);
		else
			atomic_inc(&job->bad);
		cond_resched();
	}
	for (i = 0; i < ARRAY_SIZE(mine); i++)
		atomic_add(mine[i] && memchr_inv(mine[i], i + 1, 200), &job->bad);
	atomic_inc(&job->done);

	return team_wait();
}

/* A pool that all CPUs allocate from. */
static void prmem_test_pool_is_shared(struct kunit *test)
{
	struct pool_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	struct team team;
	int k, threads;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->pool = pmalloc_create_pool(PMALLOC_MODE_START_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, job->pool);
	team_start(test, &team, pool_thread, job);
	threads = team.n;
	for (k = 0; k < 30000 && atomic_read(&job->done) < threads; k++)
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_EQ(test, atomic_read(&job->done), threads);
	team_stop(&team);
	KUNIT_EXPECT_EQ(test, atomic_read(&job->bad), 0);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(job->pool), 0);
}

#ifdef CONFIG_FAULT_INJECTION
/* All that can allocate.  Whatever fails, what is there can be used and given back. */
static int need_memory(struct kunit *test)
{
	static const u8 some[] = { PMALLOC_MODE_AUTO_RO, PMALLOC_MODE_START_WR };
	struct wr_cache *c = prmem_test_cache(SZ_512K, 8), *more;
	struct pmalloc_pool *pool;
	void *obj[5] = {}, *p;
	int i, k, missing = 0;

	for (i = 0; c && i < ARRAY_SIZE(obj); i++) {
		obj[i] = (void *)wr_cache_zalloc(c, GFP_KERNEL);
		if (obj[i])
			KUNIT_EXPECT_EQ(test, wr_memset(obj[i], i, SZ_512K), 0);
		missing += !obj[i];
	}
	more = wr_cache_create("prmem_test", 64, 8, 0, 0);
	KUNIT_EXPECT_TRUE(test, !IS_ERR(more) || PTR_ERR(more) == -ENOMEM);
	missing += IS_ERR(more);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(more), 0);
	for (k = 0; k < ARRAY_SIZE(some); k++) {
		pool = pmalloc_create_pool(some[k]);
		missing += IS_ERR(pool);
		KUNIT_EXPECT_TRUE(test, !IS_ERR(pool) || PTR_ERR(pool) == -ENOMEM);
		for (i = 0; !IS_ERR(pool) && i < 4; i++) {
			p = pmalloc(pool, i == 3 ? 3 * SZ_1M : 3 * PAGE_SIZE);
			missing += !p;
			KUNIT_EXPECT_TRUE(test, !p || !memchr_inv(p, 0, 3 * PAGE_SIZE));
			KUNIT_EXPECT_TRUE(test, !p || is_pmalloc_object(p, 3 * PAGE_SIZE));
			if (p && !(some[k] & PMALLOC_START))
				memset(p, 1, 3 * PAGE_SIZE);
		}
		if (!IS_ERR(pool)) {
			missing += !!pmalloc_protect_pool(pool);
			missing += !!pmalloc_make_pool_ro(pool);
			KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
		}
	}
	for (i = 0; i < ARRAY_SIZE(obj); i++)
		KUNIT_EXPECT_EQ(test, c ? wr_cache_free(c, obj[i]) : 0, 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(c), 0);

	return missing + !c;
}
#endif

/*
 * Fail each allocation in turn.  debugfs has to be told first that allocations
 * which may sleep are to fail too, so this is for a second run from there.
 */
static void prmem_test_alloc_failure(struct kunit *test)
{
#ifdef CONFIG_FAULT_INJECTION
	int nth, failed = 0, harmless = 0, left, missing;
	long used, bytes, after;
	struct prmem_check found;

	/* Once to get the descriptors their slabs. */
	need_memory(test);
	used = prmem_test_pages_used();
	bytes = atomic_long_read(&wr_block_stats.bytes);
	for (nth = 1; nth < 400; nth++) {
		current->fail_nth = nth;
		missing = need_memory(test);
		left = current->fail_nth;
		current->fail_nth = 0;
		if (left)
			break;
		failed += !!missing;
		harmless += !missing;
		KUNIT_ASSERT_EQ_MSG(test, prmem_test_pages_used(), used, "nth %d", nth);
	}
	if (!failed)
		kunit_skip(test, "failslab and fail_page_alloc are not set up");

	after = atomic_long_read(&wr_block_stats.bytes);
	KUNIT_EXPECT_LE(test, after, bytes + 4 * (long)WR_BLOCK_SIZE);
	KUNIT_EXPECT_GE(test, failed, 5);
	KUNIT_EXPECT_LT(test, nth, 400);
	KUNIT_EXPECT_EQ(test, missing, 0);
	KUNIT_EXPECT_EQ(test, prmem_check(&found), prmem_unprotected ? -ENODEV : 0);
	KUNIT_EXPECT_EQ(test, found.writable, 0);
	kunit_info(test, "%d failures were seen, %d were made good for", failed, harmless);
#else
	kunit_skip(test, "needs CONFIG_FAULT_INJECTION");
#endif
}

/* Objects so large that a block has one of them. */
#define CHURN_SIZE	SZ_1M
#define CHURN_ROUNDS	6

struct churn {
	struct wr_cache *small;
	atomic_t large;
	atomic_t bad;
	atomic_t done;
};

/* Blocks come and go, slots get new ones; what is in others stays what it is. */
static int churn(void *data)
{
	struct churn *t = data;
	u64 *kept = (void *)wr_cache_zalloc(t->small, GFP_KERNEL), *obj[2], *gone, i, k;
	struct wr_cache *c;

	for (i = 1; kept && i <= CHURN_ROUNDS; i++) {
		c = prmem_test_cache(CHURN_SIZE, 8);
		if (!c)
			break;
		for (k = 0; k < ARRAY_SIZE(obj); k++) {
			obj[k] = (void *)wr_cache_alloc(c, GFP_KERNEL);
			if (!obj[k])
				continue;
			atomic_inc(&t->large);
			atomic_add(!!wr_assign(obj[k][0], (u64)obj[k] + i), &t->bad);
			atomic_add(!!wr_assign(obj[k][CHURN_SIZE / sizeof(u64) - 1], i), &t->bad);
			atomic_add(!!wr_assign(*kept, *kept + 1), &t->bad);
			gone = (void *)wr_cache_alloc(t->small, GFP_ATOMIC);
			if (gone) {
				atomic_add(!!wr_assign(*gone, ~0ULL), &t->bad);
				atomic_add(!!wr_cache_free_rcu(t->small, gone), &t->bad);
			}
		}
		for (k = 0; k < ARRAY_SIZE(obj); k++) {
			if (!obj[k])
				continue;
			atomic_add(obj[k][0] != (u64)obj[k] + i, &t->bad);
			atomic_add(obj[k][CHURN_SIZE / sizeof(u64) - 1] != i, &t->bad);
			atomic_add(!!wr_cache_free(c, obj[k]), &t->bad);
			atomic_add(!wr_assign(obj[k][0], 0), &t->bad);
		}
		/* From here on the memory may be another thread's. */
		atomic_add(!!wr_cache_destroy(c), &t->bad);
	}
	if (kept) {
		atomic_add(*kept > ARRAY_SIZE(obj) * CHURN_ROUNDS, &t->bad);
		atomic_add(!!wr_cache_free(t->small, kept), &t->bad);
	}
	atomic_inc(&t->done);

	return team_wait();
}

static void prmem_test_blocks_come_and_go(struct kunit *test)
{
	long freed = atomic_long_read(&wr_block_stats.freed);
	struct churn *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	long used = prmem_test_pages_used();
	struct prmem_check found;
	int k, threads;
	struct team team;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->small = prmem_test_cache(64, 8);
	KUNIT_ASSERT_NOT_NULL(test, t->small);
	team_start(test, &team, churn, t);
	threads = team.n;
	for (k = 0; k < 30000 && atomic_read(&t->done) < threads; k++)
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->done), threads);
	team_stop(&team);

	KUNIT_EXPECT_EQ(test, atomic_read(&t->bad), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&t->large), 0);
	KUNIT_EXPECT_EQ(test, wr_cache_destroy(t->small), 0);
	KUNIT_EXPECT_LE(test, prmem_test_pages_used(), used + 1);
	KUNIT_EXPECT_EQ(test, prmem_check(&found), prmem_unprotected ? -ENODEV : 0);
	KUNIT_EXPECT_EQ(test, found.writable, 0);
	freed = atomic_long_read(&wr_block_stats.freed) - freed;
	kunit_info(test, "%d objects, %ld blocks given back", atomic_read(&t->large), freed);
	if (atomic_read(&t->large) > CHURN_ROUNDS)
		KUNIT_EXPECT_GT(test, freed, 0);
}

static struct kunit_case prmem_stress_cases[] = {
	KUNIT_CASE(prmem_test_rcu_torture),
	KUNIT_CASE(prmem_test_atomics_add_up),
	KUNIT_CASE(prmem_test_objects_are_unique),
	KUNIT_CASE(prmem_test_pool_is_shared),
	KUNIT_CASE(prmem_test_blocks_come_and_go),
	KUNIT_CASE(prmem_test_alloc_failure),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_stress_suite = {
	.name = "prmem_stress",
	.suite_init = prmem_test_suite_init,
	.test_cases = prmem_stress_cases,
};

kunit_test_suite(prmem_stress_suite);
