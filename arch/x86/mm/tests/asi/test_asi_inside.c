// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: what code in a domain can call.
 *
 * The domain maps what ordinary code uses all the time, and its task.  The table below
 * has what Documentation/arch/x86/asi.rst says under "What code in a domain can do", but
 * for what works or faults by what others are doing.  What needs more than the domain maps
 * is only tried where the session ends and the call goes on: with the other policies it is
 * an oops in the middle of that call.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mman.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "test_asi.h"

static DEFINE_MUTEX(free_mutex);
static DEFINE_MUTEX(held_mutex);
static DEFINE_SPINLOCK(lock);
static u64 rcu_value = PUBLIC, *rcu_pointer = &rcu_value;
static DEFINE_PER_CPU(int, counter);
static DECLARE_WAIT_QUEUE_HEAD(queue);
static bool hold;
static int reading;
static unsigned long user_address;
static u64 result;

static void do_printk(void)
{
	pr_info("asi_kunit: inside\n");
}

static void do_spin_lock(void)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	result++;
	spin_unlock_irqrestore(&lock, flags);
}

static void do_mutex(void)
{
	mutex_lock(&free_mutex);
	result++;
	mutex_unlock(&free_mutex);
}

static void do_rcu(void)
{
	guard(rcu)();

	result = *READ_ONCE(rcu_pointer);
}

static void be_preempted(void)
{
	preempt_disable();
	set_tsk_need_resched(current);
	set_preempt_need_resched();
	preempt_enable();
}

/* It has to take itself off a list of such readers, in which another task is, too. */
static void do_rcu_preempted(void)
{
	guard(rcu)();

	be_preempted();
	result = *READ_ONCE(rcu_pointer);
}

static void do_percpu(void)
{
	this_cpu_inc(counter);
}

static void do_time(void)
{
	result = local_clock() + jiffies;
}

static void do_schedule(void)
{
	schedule();
	cond_resched();
}

static void do_kmalloc(void)
{
	kfree(kmalloc(64, GFP_KERNEL));
}

static void do_alloc_page(void)
{
	free_page(__get_free_page(GFP_KERNEL));
}

/* Somebody holds it, who is looked at, to see whether he runs. */
static void do_mutex_contended(void)
{
	mutex_lock(&held_mutex);
	mutex_unlock(&held_mutex);
}

static void do_wake_up(void)
{
	wake_up(&queue);
}

static void do_copy_from_user(void)
{
	if (copy_from_user(&result, (void __user *)user_address, sizeof(result)))
		result = 0;
}

static void do_copy_nofault(void)
{
	if (copy_from_user_nofault(&result, (void __user *)user_address, sizeof(result)))
		result = 0;
}

/* Does it do with what the domain maps? */
static const struct inside {
	const char *name;
	void (*fn)(void);
	bool works;
} inside[] = {
	{ "printk", do_printk, true },
	{ "spin_lock", do_spin_lock, true },
	{ "mutex", do_mutex, true },
	{ "rcu_read_lock", do_rcu, true },
	{ "preempted reader", do_rcu_preempted, true },
	{ "this_cpu_inc", do_percpu, true },
	{ "local_clock", do_time, true },
	{ "schedule", do_schedule, true },
	{ "kmalloc", do_kmalloc, false },
	{ "page", do_alloc_page, false },
	{ "mutex of another", do_mutex_contended, false },
	{ "wake_up", do_wake_up, false },
	{ "copy_from_user", do_copy_from_user, false },
};

static void inside_event(void *arg)
{
	const struct inside *in = arg;

	in->fn();
}

/* A reader that was preempted, until it is stopped. */
static int other_reader(void *unused)
{
	guard(rcu)();

	be_preempted();
	/* Pairs with run_inside(). */
	smp_store_release(&reading, 1);
	while (!kthread_should_stop())
		cpu_relax();

	return 0;
}

/* Holds the mutex until somebody waits for it, and then waits to be woken up. */
static int other_thread(void *unused)
{
	mutex_lock(&held_mutex);
	while (hold && list_empty_careful(&held_mutex.wait_list) && !kthread_should_stop())
		usleep_range(100, 200);
	mutex_unlock(&held_mutex);
	wait_event_idle(queue, kthread_should_stop());

	return 0;
}

/* True if the session was whole. */
static bool run_inside(struct kunit *test, const struct inside *in, struct asi *asi,
		       struct asi_test_run *run)
{
	struct task_struct *other;

	hold = in->fn == do_mutex_contended;
	reading = in->fn != do_rcu_preempted;
	other = kthread_run(reading ? other_thread : other_reader, NULL, "asi_kunit_other");
	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	/* Pairs with other_reader(). */
	while (!smp_load_acquire(&reading))
		usleep_range(100, 200);
	while (hold && !mutex_is_locked(&held_mutex))
		usleep_range(100, 200);
	/* The other thread comes to the queue, and stays there until it is stopped. */
	while (in->fn == do_wake_up && !waitqueue_active(&queue))
		usleep_range(100, 200);

	asi_test_session(asi, run, inside_event, (void *)in);
	kthread_stop(other);

	return !run->exit;
}

#define TRIES	10

static void try_inside(struct kunit *test, const struct inside *in, enum asi_fault_policy policy)
{
	struct asi *asi = asi_test_domain(test, policy);
	struct asi_test_run run;
	int i;

	/* Who has to be scheduled away just then sleeps without having looked at the owner. */
	for (i = 0; run_inside(test, in, asi, &run) && !in->works && i < TRIES; i++)
		;
	kunit_info(test, "%s: %d after %ld faults, the first at %pS", in->name, run.exit,
		   run.faults, asi_test_nr_faults ? (void *)asi_test_faults[0].ip : NULL);
	if (in->works)
		asi_test_expect_whole(test, asi, &run);
	else
		asi_test_expect_aborted(test, asi, &run);
	asi_test_destroy(test, asi);
}

static void asi_test_inside(struct kunit *test)
{
	const struct inside *in = test->param_value;
	int policy;

	user_address = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user_address));
	KUNIT_ASSERT_EQ(test, put_user(SECRET, (u64 __user *)user_address), 0);

	/* Lockdep and others have to do more when they see something for the first time. */
	if (in->works)
		in->fn();
	else
		try_inside(test, in, ASI_FAULT_ABORT);
	/* What fails with the first policy ends in an oops with the others. */
	for (policy = 0; in->works && policy < ASI_NR_FAULT_POLICIES; policy++) {
		try_inside(test, in, policy);
		if (test->status == KUNIT_FAILURE)
			return;
	}
	if (in->fn == do_copy_from_user)
		KUNIT_EXPECT_EQ(test, result, SECRET);
}

/* It asks whether there is user memory to be copied from, and in a domain there is none. */
static void asi_test_copy_refused(struct kunit *test)
{
	const struct inside in = { "copy_from_user_nofault", do_copy_nofault };
	struct asi_test_run run;
	int policy;

	user_address = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user_address));
	KUNIT_ASSERT_EQ(test, put_user(SECRET, (u64 __user *)user_address), 0);
	do_copy_nofault();
	KUNIT_EXPECT_EQ(test, result, SECRET);
	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct asi *asi = asi_test_domain(test, policy);

		result = SECRET;
		asi_test_session(asi, &run, inside_event, (void *)&in);
		asi_test_expect_whole(test, asi, &run);
		KUNIT_EXPECT_EQ(test, result, 0);
		/* Two are those of asi_test_session(). */
		KUNIT_EXPECT_EQ(test, run.faults, policy == ASI_FAULT_PRESERVE ? 2 : 0);
		asi_test_destroy(test, asi);
	}
}

/* Of a millisecond or two. */
#define WAITS	20000

/* A session of a kworker, which sleeps until it is woken up. */
struct in_worker {
	struct work_struct work;
	struct asi *asi;
	struct asi_test_run run;
	struct task_struct *task;
	int mapped;
	bool slept, done;
};

static void sleep_inside(void *arg)
{
	struct in_worker *w = arg;

	set_current_state(TASK_UNINTERRUPTIBLE);
	/* Pairs with asi_test_worker_sleeps(). */
	smp_store_release(&w->slept, true);
	schedule();
}

static void worker_session(struct work_struct *work)
{
	struct in_worker *w = container_of(work, struct in_worker, work);

	w->mapped = asi_map_task(w->asi);
	w->task = current;
	if (!w->mapped)
		asi_test_session(w->asi, &w->run, sleep_inside, w);
	/* Pairs with asi_test_worker_sleeps(). */
	smp_store_release(&w->done, true);
}

/* The workqueue is told that one of its workers sleeps, and that it goes on. */
static void asi_test_worker_sleeps(struct kunit *test)
{
	int policy, i, sleeps;

	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct in_worker *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
		struct asi *asi = asi_test_domain(test, policy);

		KUNIT_ASSERT_NOT_NULL(test, w);
		KUNIT_ASSERT_EQ(test, asi_map(asi, w, sizeof(*w)), 0);
		w->asi = asi;
		sleeps = 0;
		INIT_WORK(&w->work, worker_session);
		queue_work(system_wq, &w->work);
		/* Not before the scheduler has taken it away. Pairs with worker_session(). */
		for (i = 0; i < WAITS && !smp_load_acquire(&w->done); i++) {
			/* Pairs with sleep_inside(). */
			if (smp_load_acquire(&w->slept) && !READ_ONCE(w->task->on_rq)) {
				sleeps++;
				wake_up_process(w->task);
			}
			usleep_range(1000, 2000);
		}
		KUNIT_ASSERT_LT(test, i, WAITS);
		KUNIT_EXPECT_GT(test, sleeps, 0);
		flush_work(&w->work);
		KUNIT_EXPECT_EQ(test, w->mapped, 0);
		asi_test_expect_whole(test, asi, &w->run);
		asi_test_destroy(test, asi);
		if (test->status == KUNIT_FAILURE)
			return;
	}
}

static void inside_name(const struct inside *in, char *name)
{
	strscpy(name, in->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(inside, inside, inside_name);

static struct kunit_case asi_inside_cases[] = {
	KUNIT_CASE_PARAM(asi_test_inside, inside_gen_params),
	KUNIT_CASE(asi_test_copy_refused),
	KUNIT_CASE(asi_test_worker_sleeps),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_inside_suite = {
	.name = "asi_inside",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_inside_cases,
};

kunit_test_suite(asi_inside_suite);
