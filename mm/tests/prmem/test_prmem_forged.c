// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of what tells which mm a CPU or a task has, and what CR3 was before a
 * window: that is in ordinary memory.  Somebody writes to it, and no window stays open,
 * and none is opened by that.
 *
 * With CONFIG_DEBUG_VM switch_mm_irqs_off() warns about some of it, so those cases need
 * test_prmem_forged.provoke=1 then.
 */
#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mmu_context.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <linux/temp_mm.h>
#include <linux/temp_mm_owner.h>
#include <linux/timex.h>

#include <asm/tlbflush.h>
#include <asm/tsc.h>

#include "test_prmem.h"

static bool provoke;
module_param(provoke, bool, 0444);

/* So many lost races are enough, and so many seconds; an emulator takes turns. */
#define NR_LOST		5
#define RACE_SECONDS	10
#define RACE_ROUNDS	6

/* What a case runs on: a CPU with interrupts off, whose mm is init_mm. */
struct forged {
	struct kunit *test;
	struct mm_struct *window;	/* what the root of the window belongs to */
	struct prmem_test_obj *obj;
	void *alias;
	unsigned long flags;
	unsigned long root;
	int count;
	long was_forged;
};

/* What it has come to. */
struct outcome {
	int err;
	bool left;		/* CR3 is not what it was */
	bool writes;		/* through the window */
	long forged;
};

static struct mm_struct *window_mm(void)
{
	return virt_to_ptdesc(__va(prmem_cr3 & CR3_ADDR_MASK))->pt_mm;
}

static void forged_begin(struct kunit *test, struct forged *f)
{
	struct prmem_test *x = test->priv;

	f->test = test;
	f->obj = x->obj;
	f->alias = prmem_test_alias(x->obj);
	migrate_disable();
	f->window = window_mm();
	local_irq_save(f->flags);
	/* A lazily held mm is not there any more after the first write. */
	if (wr_assign(f->obj->q, OLD) || this_cpu_read(cpu_tlbstate.loaded_mm) != &init_mm)
		f->obj = NULL;
	f->root = read_cr3_pa();
	f->count = preempt_count();
	f->was_forged = atomic_long_read(&temp_mm_stats.forged);
}

static void forge(struct mm_struct *mm)
{
	this_cpu_write(cpu_tlbstate.loaded_mm, mm);
}

/* Look, and then see to it that the next case has a CPU that is as it should be. */
static struct outcome forged_outcome(struct forged *f, int err)
{
	struct outcome o = {
		.err = err,
		.left = read_cr3_pa() != f->root,
		.writes = prmem_test_writes(f->alias),
		.forged = atomic_long_read(&temp_mm_stats.forged) - f->was_forged,
	};

	if (o.left || this_cpu_read(cpu_tlbstate.loaded_mm) != &init_mm) {
		forge(&init_mm);
		load_cr3(swapper_pg_dir);
		initialize_tlbstate_and_flush();
	}
	this_cpu_ptr(&prmem_batch)->depth = 0;
	clear_thread_flag(TIF_TEMP_MM);
	preempt_count_set(f->count);
	f->was_forged = atomic_long_read(&temp_mm_stats.forged);

	return o;
}

static void forged_end(struct forged *f)
{
	local_irq_restore(f->flags);
	migrate_enable();
	KUNIT_EXPECT_NOT_NULL(f->test, f->obj);
	KUNIT_EXPECT_FALSE(f->test, irqs_disabled());
	KUNIT_EXPECT_EQ(f->test, preempt_count(), 0);
}

/* @forged: how often that has been noticed */
static void expect_closed(struct kunit *test, const struct outcome *o, long forged,
			  const char *what)
{
	KUNIT_EXPECT_EQ_MSG(test, o->err, 0, "%s", what);
	KUNIT_EXPECT_FALSE_MSG(test, o->left, "%s", what);
	KUNIT_EXPECT_FALSE_MSG(test, o->writes, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, o->forged, forged, "%s", what);
}

/* One word is written, once.  All of these are on this CPU, so nothing is a race. */
static void prmem_test_forged_loaded_mm(struct kunit *test)
{
	struct outcome before, inside, batch, outside, window;
	struct page *page = alloc_page(GFP_KERNEL);
	struct temp_mm *t = temp_mm_alloc(1, "prmem_forged");
	struct forged f;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_FALSE(test, IS_ERR(temp_mm_map(t, &page, 1, TEMP_MM_PROT_RW)));

	forged_begin(test, &f);
	if (!f.obj)
		goto end;

	/* A write asks CR3 only. */
	forge(f.window);
	before = forged_outcome(&f, wr_assign(f.obj->q, NEW));

	err = wr_begin();
	err |= wr_assign(f.obj->q, NEW + 1);
	forge(f.window);
	wr_end();
	inside = forged_outcome(&f, err);

	forge(f.window);
	err = wr_begin();
	forge(&init_mm);
	wr_end();
	batch = forged_outcome(&f, err);

	/* A window goes back to what is said to be loaded. */
	forge(f.window);
	err = temp_mm_use(t);
	temp_mm_unuse(t);
	outside = forged_outcome(&f, err);

	/* The close finds that there is nothing to close. */
	err = temp_mm_use(t);
	forge(&init_mm);
	err |= wr_assign(f.obj->q, NEW + 2);
	temp_mm_unuse(t);
	window = forged_outcome(&f, err);
	cpumask_clear(mm_cpumask(t->mm));
end:
	forged_end(&f);
	if (f.obj) {
		expect_closed(test, &before, 0, "before a write");
		expect_closed(test, &inside, 0, "in a batch");
		expect_closed(test, &batch, 0, "before a batch");
		expect_closed(test, &outside, 1, "before a window");
		expect_closed(test, &window, 1, "in a window");
		KUNIT_EXPECT_EQ(test, f.obj->q, NEW + 2);
	}
	temp_mm_unmap(t);
	temp_mm_free(t);
	__free_page(page);
}

/* What CR3 is to be at the end of a window is on the stack, or in the state of a batch. */
static void prmem_test_forged_return(struct kunit *test)
{
	struct outcome o, end, relax;
	struct prmem_window w;
	struct forged f;
	int err;

	forged_begin(test, &f);
	if (!f.obj)
		goto end;
	err = prmem_open(&w);
	w.prev = prmem_cr3;
	prmem_close(&w);
	o = forged_outcome(&f, err);

	/* As if the window had been open before the batch. */
	err = wr_begin();
	this_cpu_ptr(&prmem_batch)->window.prev = 0;
	wr_end();
	end = forged_outcome(&f, err);

	err = wr_begin();
	this_cpu_ptr(&prmem_batch)->window.prev = 0;
	wr_relax();
	wr_end();
	relax = forged_outcome(&f, err);
end:
	forged_end(&f);
	if (f.obj) {
		expect_closed(test, &o, 1, "return");
		expect_closed(test, &end, 1, "end of a batch");
		expect_closed(test, &relax, 1, "wr_relax()");
	}
}

/*
 * A task sleeps in a window, and an mm seems to be under way to be switched; or, with
 * @mark, the mm of the window is said to be no window's.
 */
static void forged_sleep(struct kunit *test, bool mark)
{
	struct outcome o;
	struct forged f;
	int err;

	forged_begin(test, &f);
	if (!f.obj)
		goto end;
	err = wr_begin();
	err |= wr_assign(f.obj->q, NEW);
	if (mark)
		__clear_bit(MM_CONTEXT_TEMPORARY, &f.window->context.flags);
	else
		forge(LOADED_MM_SWITCHING);
	temp_mm_leave(TEMP_MM_SLEEPS);
	if (mark)
		mm_set_temporary(f.window);
	o = forged_outcome(&f, err);
end:
	forged_end(&f);
	if (f.obj) {
		expect_closed(test, &o, 0, "sleep");
		KUNIT_EXPECT_EQ(test, f.obj->q, NEW);
	}
}

static void prmem_test_forged_switching(struct kunit *test)
{
	forged_sleep(test, false);
}

static void prmem_test_forged_mark(struct kunit *test)
{
	forged_sleep(test, true);
}

/* Not a window's mm, but one that has the root of the window, is to be gone back to. */
static void prmem_test_forged_root(struct kunit *test)
{
	struct temp_mm *t = temp_mm_alloc(1, "prmem_forged");
	struct temp_mm *fake = temp_mm_alloc(1, "prmem_forged");
	struct page *page = alloc_page(GFP_KERNEL);
	struct outcome write, window;
	struct forged f;
	pgd_t *pgd;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_NOT_NULL(test, fake);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_FALSE(test, IS_ERR(temp_mm_map(t, &page, 1, TEMP_MM_PROT_RW)));
	forged_begin(test, &f);
	if (!f.obj)
		goto end;
	pgd = fake->mm->pgd;
	fake->mm->pgd = f.window->pgd;
	__clear_bit(MM_CONTEXT_TEMPORARY, &fake->mm->context.flags);
	forge(fake->mm);
	write = forged_outcome(&f, wr_assign(f.obj->q, NEW));
	forge(fake->mm);
	err = temp_mm_use(t);
	temp_mm_unuse(t);
	window = forged_outcome(&f, err);
	cpumask_clear(mm_cpumask(fake->mm));
	mm_set_temporary(fake->mm);
	fake->mm->pgd = pgd;
end:
	forged_end(&f);
	if (f.obj) {
		expect_closed(test, &write, 0, "write");
		expect_closed(test, &window, 1, "window");
	}
	temp_mm_unmap(t);
	temp_mm_free(t);
	temp_mm_free(fake);
	__free_page(page);
}

/* Another CPU, which writes what is to be believed there, again and again. */
struct racer {
	int cpu;
	int started, stop, done;
};

static void race(void *info)
{
	struct racer *r = info;
	struct mm_struct **loaded = &per_cpu_ptr(&cpu_tlbstate, r->cpu)->loaded_mm;

	/* Pairs with prmem_test_wait(). */
	smp_store_release(&r->started, 1);
	while (!READ_ONCE(r->stop))
		WRITE_ONCE(*loaded, &init_mm);
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&r->done, 1);
}

/* What has become of it, over all rounds. */
struct raced {
	int writes_done, err, left, writes;
	long forged;
	bool started, marked;
};

/* With interrupts off for RACE_SECONDS, or until NR_LOST races were lost. */
static void race_round(struct kunit *test, struct temp_mm *t, struct raced *all)
{
	struct racer r = {};
	struct outcome o;
	int i, err = 0;
	cycles_t begin;
	struct forged f;

	forged_begin(test, &f);
	all->started = false;
	r.cpu = smp_processor_id();
	local_irq_restore(f.flags);
	preempt_disable();
	if (!smp_call_function_single(prmem_test_other_cpu(), race, &r, false))
		all->started = prmem_test_wait(&r.started);
	local_irq_save(f.flags);
	f.count = preempt_count();
	begin = get_cycles();
	for (i = 0; all->started && f.obj; i++) {
		if (get_cycles() - begin > RACE_SECONDS * 1000ULL * tsc_khz)
			break;
		if (all->left + atomic_long_read(&temp_mm_stats.forged) - f.was_forged >= NR_LOST)
			break;
		err |= temp_mm_use(t);
		err |= wr_assign(f.obj->q, i);
		temp_mm_unuse(t);
		all->marked |= cpumask_test_cpu(r.cpu, mm_cpumask(t->mm));
		if (read_cr3_pa() == f.root)
			continue;
		all->left++;
		all->writes += prmem_test_writes(f.alias);
		load_cr3(swapper_pg_dir);
		preempt_count_set(f.count);
	}
	WRITE_ONCE(r.stop, 1);
	if (all->started)
		all->started = prmem_test_wait(&r.done);
	o = forged_outcome(&f, err);
	preempt_enable();
	forged_end(&f);

	all->err |= o.err;
	all->forged += o.forged;
	all->writes_done += i;
	if (f.obj && i)
		KUNIT_EXPECT_EQ(test, f.obj->q, i - 1);
}

static void prmem_test_forged_loaded_mm_racing(struct kunit *test)
{
	struct temp_mm *t = temp_mm_alloc(1, "prmem_forged");
	struct page *page = alloc_page(GFP_KERNEL);
	struct raced all = {};
	int round;

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_FALSE(test, IS_ERR(temp_mm_map(t, &page, 1, TEMP_MM_PROT_RW)));

	/* Emulated CPUs take turns: one round has been without a race that was lost. */
	for (round = 0; round < RACE_ROUNDS && !all.forged && !all.left; round++)
		race_round(test, t, &all);
	temp_mm_unmap(t);
	temp_mm_free(t);
	__free_page(page);

	KUNIT_EXPECT_TRUE(test, all.started);
	KUNIT_EXPECT_EQ(test, all.err, 0);
	KUNIT_EXPECT_EQ(test, all.left, 0);
	KUNIT_EXPECT_EQ(test, all.writes, 0);
	KUNIT_EXPECT_FALSE(test, all.marked);
	KUNIT_EXPECT_GT(test, all.forged, 0);
	KUNIT_EXPECT_GT(test, all.writes_done, 0);
}

/* A task, the mm of which is a window's, sleeps; or it opens a window, and leaves. */
struct victim {
	struct temp_mm *t;
	int err;
	bool scheduled, used, left;
	int done;
};

static int victim_thread(void *data)
{
	struct victim *v = data;

	WRITE_ONCE(current->mm, v->t->mm);
	schedule_timeout_uninterruptible(2);
	scoped_guard(irqsave) {
		v->scheduled = temporary_mm_is_loaded(v->t->mm);
		switch_mm_irqs_off(NULL, &init_mm, current);
	}

	scoped_guard(irqsave) {
		v->err = wr_begin();
		/* All windows of this task are closed, and it goes on with its own mm. */
		temp_mm_leave(TEMP_MM_SLEEPS);
		preempt_count_set(PREEMPT_ENABLED);
		this_cpu_ptr(&prmem_batch)->depth = 0;
		v->left = temporary_mm_is_loaded(v->t->mm);
		switch_mm_irqs_off(NULL, &init_mm, current);
	}

	WRITE_ONCE(current->mm, NULL);
	/* Pairs with prmem_test_wait(). */
	smp_store_release(&v->done, 1);

	return 0;
}

static void prmem_test_forged_task_mm(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	long forged = atomic_long_read(&temp_mm_stats.forged);
	struct task_struct *task;
	struct victim v = {};
	int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	v.t = temp_mm_alloc(1, "prmem_forged");
	KUNIT_ASSERT_NOT_NULL(test, v.t);
	KUNIT_ASSERT_FALSE(test, IS_ERR(temp_mm_map(v.t, &page, 1, TEMP_MM_PROT_RW)));

	task = kthread_create(victim_thread, &v, "prmem_victim");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpumask_any_but(cpu_online_mask, raw_smp_processor_id()));
	wake_up_process(task);
	/* Pairs with smp_store_release() in victim_thread(). */
	for (i = 0; i < 500 && !smp_load_acquire(&v.done); i++)
		msleep(20);

	KUNIT_EXPECT_EQ(test, v.done, 1);
	KUNIT_EXPECT_EQ(test, v.err, 0);
	KUNIT_EXPECT_FALSE(test, v.scheduled);
	KUNIT_EXPECT_FALSE(test, v.left);
	KUNIT_EXPECT_GT(test, atomic_long_read(&temp_mm_stats.forged), forged);
	temp_mm_unmap(v.t);
	temp_mm_free(v.t);
	__free_page(page);
}

static int forged_init(struct kunit *test)
{
	prmem_test_need_cpus(test);
	prmem_test_need_protection(test);

	return prmem_test_init(test);
}

static int provoked_init(struct kunit *test)
{
	if (IS_ENABLED(CONFIG_DEBUG_VM) && !provoke)
		kunit_skip(test, "needs test_prmem_forged.provoke=1");

	return forged_init(test);
}

static struct kunit_case prmem_forged_cases[] = {
	KUNIT_CASE(prmem_test_forged_loaded_mm),
	KUNIT_CASE(prmem_test_forged_return),
	KUNIT_CASE(prmem_test_forged_switching),
	KUNIT_CASE(prmem_test_forged_mark),
	KUNIT_CASE(prmem_test_forged_task_mm),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_forged_suite = {
	.name = "prmem_forged",
	.suite_init = prmem_test_suite_init,
	.init = forged_init,
	.exit = prmem_test_exit,
	.test_cases = prmem_forged_cases,
};

static struct kunit_case splat_prmem_forged_cases[] = {
	KUNIT_CASE(prmem_test_forged_root),
	KUNIT_CASE(prmem_test_forged_loaded_mm_racing),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite splat_prmem_forged_suite = {
	.name = "splat_prmem_forged",
	.suite_init = prmem_test_suite_init,
	.init = provoked_init,
	.exit = prmem_test_exit,
	.test_cases = splat_prmem_forged_cases,
};

kunit_test_suites(&prmem_forged_suite, &splat_prmem_forged_suite);
