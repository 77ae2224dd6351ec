// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of what becomes of an open window whose owner sleeps, exits or dies:
 * it is closed, and nobody who runs on that CPU next has it.
 *
 * All of this is a caller's mistake that the kernel reports, so it needs
 * test_prmem_owner.provoke=1.
 */
#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/prlist.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/temp_mm.h>

#include <asm/temp_root.h>

#include "test_prmem.h"

static bool provoke;
module_param(provoke, bool, 0444);

enum owner_end {
	OWNER_SLEEPS,		/* and ends its batch after that */
	OWNER_YIELDS,		/* the same, when nobody else wants the CPU */
	OWNER_EXITS,
	OWNER_DIES,
	NR_OWNER_ENDS,
};

static const char * const owner_ends[NR_OWNER_ENDS] = {
	"sleeps", "yields", "exits", "dies",
};

/* A task that opens a window, and the next one on its CPU. */
struct owner {
	enum owner_end end;
	struct prmem_test_obj *obj;
	struct temp_mm *t;		/* its window, or that of a batch if NULL */
	void *alias;
	int err;
	int open;			/* it has the window, and is about to leave */
	int done;
	int loaded;			/* a window is open after that */
	int irqs_off;
	int preempt_count;
	int reads;			/* of the next task, through the alias */
	int writes;
	int next_loaded;
	int next_err;
	int next_done;
};

/* Is any window open on this CPU? */
static bool window_loaded(void)
{
	guard(preempt)();

	return temporary_mm_loaded() || temporary_root_loaded();
}

static int owner_thread(void *data)
{
	struct owner *o = data;

	if (o->t)
		preempt_disable();
	o->err = o->t ? temp_mm_use(o->t) : wr_begin();
	if (!o->err && !o->t)
		o->err = wr_assign(o->obj->q, OLD);
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&o->open, prmem_test_reads(o->alias));

	switch (o->end) {
	case OWNER_SLEEPS:
		__set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_timeout(HZ / 2);
		break;
	case OWNER_YIELDS:
		schedule();
		break;
	case OWNER_DIES:
		/* A store to what is read-only, also in a window. */
		WRITE_ONCE(o->obj->q, NEW);
		break;
	default:
		return 0;
	}

	o->loaded = window_loaded();
	o->irqs_off = irqs_disabled();
	o->preempt_count = preempt_count();
	if (o->t) {
		preempt_disable();
		temp_mm_unuse(o->t);
		preempt_enable();
	} else {
		wr_end();
	}
	o->preempt_count |= preempt_count();
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&o->done, 1);

	return 0;
}

static int heir_thread(void *data)
{
	struct owner *o = data;
	int i;

	preempt_disable();
	o->next_loaded = window_loaded();
	for (i = 0; i < 200; i++) {
		o->reads += prmem_test_reads(o->alias);
		o->writes += prmem_test_writes(o->alias);
	}
	preempt_enable();
	/* The batch of the one before is none of this one. */
	o->next_err = wr_begin();
	if (!o->next_err)
		o->next_err = wr_assign(o->obj->l, 1);
	wr_end();
	o->next_err |= irqs_disabled();
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&o->next_done, 1);

	return 0;
}

static struct task_struct *owner_start(struct kunit *test, int (*fn)(void *), void *data, int cpu)
{
	struct task_struct *task = kthread_create(fn, data, "prmem_owner");

	if (IS_ERR(task))
		return NULL;
	kthread_bind(task, cpu);
	get_task_struct(task);
	wake_up_process(task);

	return task;
}

static bool owner_wait(const int *flag)
{
	int i;

	/* Pairs with smp_store_release() of who sets it. */
	for (i = 0; i < 500 && !smp_load_acquire(flag); i++)
		msleep(20);

	return i < 500;
}

static void owner_leaves(struct kunit *test, struct owner *o, const char *what)
{
	int cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	long left = atomic_long_read(&temp_mm_stats.left);
	struct task_struct *owner, *next;
	bool opened, ended = true, tried;

	owner = owner_start(test, owner_thread, o, cpu);
	KUNIT_ASSERT_NOT_NULL(test, owner);
	opened = owner_wait(&o->open);
	/* Those that go for good have gone; the others are asleep, or back. */
	msleep(100);
	next = owner_start(test, heir_thread, o, cpu);
	tried = next && owner_wait(&o->next_done);
	if (o->end == OWNER_SLEEPS || o->end == OWNER_YIELDS)
		ended = owner_wait(&o->done);
	msleep(20);
	put_task_struct(owner);
	if (next)
		put_task_struct(next);

	KUNIT_EXPECT_EQ_MSG(test, o->err, 0, "%s", what);
	KUNIT_EXPECT_TRUE_MSG(test, opened, "%s", what);
	KUNIT_EXPECT_TRUE_MSG(test, ended, "%s", what);
	KUNIT_EXPECT_TRUE_MSG(test, tried, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->loaded, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->irqs_off, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->preempt_count, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->next_loaded, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->reads, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->writes, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->next_err, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->obj->l, 1, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&temp_mm_stats.left), left + 1, "%s", what);
}

static void owner_of_batch(struct kunit *test, enum owner_end end)
{
	struct prmem_test *x = test->priv;
	struct owner *o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, o);
	o->end = end;
	o->obj = x->obj;
	o->alias = prmem_test_alias(x->obj);
	KUNIT_EXPECT_EQ(test, wr_assign(x->obj->l, 0), 0);
	owner_leaves(test, o, owner_ends[end]);
}

static void prmem_test_batch_sleeps(struct kunit *test)
{
	owner_of_batch(test, OWNER_SLEEPS);
	owner_of_batch(test, OWNER_YIELDS);
}

static void prmem_test_batch_exits(struct kunit *test)
{
	owner_of_batch(test, OWNER_EXITS);
}

static void prmem_test_batch_dies(struct kunit *test)
{
	owner_of_batch(test, OWNER_DIES);
}

/* The same for a window that is not prmem's. */
static void prmem_test_window_owner_leaves(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct prmem_test *x = test->priv;
	struct owner *o;
	int end;

	KUNIT_ASSERT_NOT_NULL(test, page);
	for (end = 0; end < NR_OWNER_ENDS; end++) {
		o = kunit_kzalloc(test, sizeof(*o), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, o);
		o->t = temp_mm_alloc(1, "prmem_owner");
		KUNIT_ASSERT_NOT_NULL(test, o->t);
		o->alias = temp_mm_map(o->t, &page, 1, TEMP_MM_PROT_RW);
		KUNIT_ASSERT_FALSE(test, IS_ERR(o->alias));
		o->end = end;
		o->obj = x->obj;
		KUNIT_EXPECT_EQ(test, wr_assign(x->obj->l, 0), 0);
		owner_leaves(test, o, owner_ends[end]);
	}
	/* The objects and their page are left: their owners have never given them back. */
}

static int owner_init(struct kunit *test)
{
	if (!provoke)
		kunit_skip(test, "needs test_prmem_owner.provoke=1");
	prmem_test_need_cpus(test);
	prmem_test_need_protection(test);

	return prmem_test_init(test);
}

static struct kunit_case splat_prmem_owner_cases[] = {
	KUNIT_CASE(prmem_test_batch_sleeps),
	KUNIT_CASE(prmem_test_batch_exits),
	KUNIT_CASE(prmem_test_batch_dies),
	KUNIT_CASE(prmem_test_window_owner_leaves),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite splat_prmem_owner_suite = {
	.name = "splat_prmem_owner",
	.suite_init = prmem_test_suite_init,
	.init = owner_init,
	.exit = prmem_test_exit,
	.test_cases = splat_prmem_owner_cases,
};

kunit_test_suite(splat_prmem_owner_suite);
