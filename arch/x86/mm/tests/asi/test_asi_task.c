// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: what becomes of a session when its task
 * sleeps, moves, forks, execs, and ends, and when its domain or CPU goes away.
 */
#include <linux/binfmts.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/initrd.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/task_work.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>
#include <asm/tlbflush.h>

#include "../../../../../mm/pg_table.h"
#include "test_asi.h"

/*
 * A task with a session, or without.  All of it is in memory that domains map, and
 * the address of its root too: it looks at nothing else in there.
 */
struct member {
	struct task_struct *task;
	struct asi *asi;
	unsigned long root;
	int (*fn)(struct member *m);
	int ready, go, stop, done;
	int enter, exit, ret;
	int rounds, wrong, moves, cpu;
	u64 val;
	struct asi_test_look look[2];
};

#define MEMBERS	8

static struct member members[MEMBERS];

static int member_thread(void *arg)
{
	struct member *m = arg;

	if (m->asi) {
		m->enter = asi_test_populate(m->asi);
		if (!m->enter)
			m->enter = asi_enter(m->asi);
	}
	m->ret = m->enter ?: m->fn(m);
	if (m->asi && !m->enter)
		m->exit = asi_exit(m->asi);
	asi_test_look(&m->look[1], true);
	/* Pairs with sleep_until(). */
	smp_store_release(&m->ready, 1);
	/* Pairs with sleep_until(). */
	smp_store_release(&m->done, 1);

	return m->ret;
}

static struct member *member_start(struct kunit *test, unsigned int i, struct asi *asi,
				   int (*fn)(struct member *m), const struct cpumask *mask)
{
	struct member *m = &members[i];

	memset(m, 0, sizeof(*m));
	m->asi = asi;
	m->root = asi ? __pa(asi_pg_table(asi)->root) : 0;
	m->fn = fn;
	m->task = kthread_create(member_thread, m, "asi_kunit/%u", i);
	if (IS_ERR(m->task)) {
		m->task = NULL;
		m->done = 1;
		KUNIT_FAIL(test, "no thread");
		return m;
	}
	get_task_struct(m->task);
	if (mask)
		set_cpus_allowed_ptr(m->task, mask);
	wake_up_process(m->task);

	return m;
}

static bool sleep_until_more(const int *count, int than)
{
	int i;

	/* Pairs with smp_store_release() of a flag; of what only counts the value is all. */
	for (i = 0; i < 1000 && smp_load_acquire(count) <= than; i++)
		msleep(20);

	return READ_ONCE(*count) > than;
}

static bool sleep_until(const int *flag)
{
	return sleep_until_more(flag, 0);
}

static void member_stop(struct kunit *test, struct member *m)
{
	WRITE_ONCE(m->stop, 1);
	WRITE_ONCE(m->go, 1);
	if (!m->task)
		return;
	wake_up_process(m->task);
	KUNIT_EXPECT_TRUE(test, sleep_until(&m->done));
	put_task_struct(m->task);
	m->task = NULL;
	KUNIT_EXPECT_EQ(test, m->enter, 0);
	asi_test_expect_handler(test, &m->look[1], false, 1, "after the session");
}

static bool right_place(const struct member *m)
{
	unsigned long cr3, domain, flags;

	raw_local_irq_save(flags);
	cr3 = __read_cr3();
	domain = raw_cpu_read(asi_cr3.domain);
	raw_local_irq_restore(flags);
	if (!m->root)
		return !domain;

	return domain == cr3 && (cr3 & CR3_ADDR_MASK) == m->root;
}

/* Sleeps in the domain until somebody says go, and again. */
static int sleeper(struct member *m)
{
	m->cpu = raw_smp_processor_id();
	while (!READ_ONCE(m->stop)) {
		m->wrong += !right_place(m);
		m->moves += m->cpu != raw_smp_processor_id();
		m->cpu = raw_smp_processor_id();
		set_current_state(TASK_UNINTERRUPTIBLE);
		WRITE_ONCE(m->go, 0);
		/* Pairs with sleep_until(). */
		smp_store_release(&m->ready, 1);
		while (!READ_ONCE(m->go)) {
			schedule();
			set_current_state(TASK_UNINTERRUPTIBLE);
		}
		__set_current_state(TASK_RUNNING);
		m->rounds++;
	}
	m->wrong += !right_place(m);

	return 0;
}

static void wake_sleeper(struct member *m)
{
	WRITE_ONCE(m->go, 1);
	wake_up_process(m->task);
}

/* Three tasks on one CPU, in two domains and in none, take turns. */
static void asi_test_schedule(struct kunit *test)
{
	struct asi *a = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi *b = asi_test_domain(test, ASI_FAULT_ABORT);
	struct member *m[4];
	int i, k, bad = 0;

	m[0] = member_start(test, 0, a, sleeper, cpumask_of(0));
	m[1] = member_start(test, 1, b, sleeper, cpumask_of(0));
	m[2] = member_start(test, 2, NULL, sleeper, cpumask_of(0));
	m[3] = member_start(test, 3, a, sleeper, cpumask_of(0));
	for (i = 0; i < 4; i++)
		bad += !sleep_until(&m[i]->ready);
	for (k = 0; k < 100 && !bad; k++) {
		/* All at once, so that one follows on the other. */
		for (i = 0; i < 4; i++) {
			m[i]->ready = 0;
			wake_sleeper(m[i]);
		}
		for (i = 0; i < 4; i++)
			bad += !sleep_until(&m[i]->ready);
	}
	for (i = 0; i < 4; i++) {
		member_stop(test, m[i]);
		KUNIT_EXPECT_EQ(test, m[i]->exit, 0);
		KUNIT_EXPECT_EQ(test, m[i]->wrong, 0);
		KUNIT_EXPECT_GE(test, m[i]->rounds, 100);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_EQ(test, asi_test_users(a), 1);
	KUNIT_EXPECT_EQ(test, asi_test_users(b), 1);
}

static int spinner(struct member *m)
{
	m->cpu = raw_smp_processor_id();
	/* Pairs with sleep_until(). */
	smp_store_release(&m->ready, 1);
	while (!READ_ONCE(m->stop)) {
		/* Once out, out for good. */
		if (!right_place(m))
			m->wrong++;
		else if (m->wrong)
			m->ret++;
		if (m->cpu != raw_smp_processor_id()) {
			WRITE_ONCE(m->cpu, raw_smp_processor_id());
			m->moves++;
		}
		WRITE_ONCE(m->rounds, m->rounds + 1);
		cpu_relax();
	}
	m->wrong += !right_place(m);

	return m->ret;
}

/* A task that never calls schedule() is preempted, and goes on elsewhere. */
static void asi_test_preempt_and_migrate(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct member *m;
	int cpu = 0, i, k, err = 0;

	asi_test_need_cpus(test);
	m = member_start(test, 0, asi, spinner, cpumask_of(0));
	KUNIT_EXPECT_TRUE(test, sleep_until(&m->ready));
	for (i = 0; i < 40; i++) {
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
		err |= set_cpus_allowed_ptr(m->task, cpumask_of(cpu));
		for (k = 0; k < 1000 && READ_ONCE(m->cpu) != cpu; k++)
			usleep_range(1000, 2000);
	}
	member_stop(test, m);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, m->exit, 0);
	KUNIT_EXPECT_EQ(test, m->wrong, 0);
	KUNIT_EXPECT_GE(test, m->moves, 20);
}

/* Two on one CPU that never sleep, so that the tick has to preempt them. */
static void asi_test_preempt(struct kunit *test)
{
	struct asi *a = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi *b = asi_test_domain(test, ASI_FAULT_ABORT);
	struct member *m[3];
	int i;

	m[0] = member_start(test, 0, a, spinner, cpumask_of(0));
	m[1] = member_start(test, 1, b, spinner, cpumask_of(0));
	m[2] = member_start(test, 2, NULL, spinner, cpumask_of(0));
	msleep(300);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_TRUE(test, sleep_until_more(&m[i]->rounds, 10));
	for (i = 0; i < 3; i++) {
		member_stop(test, m[i]);
		KUNIT_EXPECT_EQ(test, m[i]->exit, 0);
		KUNIT_EXPECT_EQ(test, m[i]->wrong, 0);
	}
}

/* ---- the end of a domain ---- */

static void asi_test_destroy_inside(struct kunit *test)
{
	long tables = atomic_long_read(&pg_table_stats.instances);
	unsigned int cpu, n = 0, i, k;
	struct asi *asi;

	asi = asi_test_create(ASI_FAULT_ABORT);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		if (n == MEMBERS - 1)
			break;
		member_start(test, n++, asi, spinner, cpumask_of(cpu));
	}
	member_start(test, n++, asi, sleeper, NULL);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_TRUE(test, sleep_until(&members[i].ready));
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), n + 1);
	for (i = 0; i < n - 1; i++) {
		KUNIT_EXPECT_TRUE(test, sleep_until_more(&members[i].rounds, 0));
		KUNIT_EXPECT_EQ(test, members[i].wrong, 0);
	}

	asi_destroy(asi);
	for_each_online_cpu(cpu) {
		/* On the way back to a domain it is set, before the domain is found dead. */
		for (k = 0; k < 1000 && READ_ONCE(per_cpu(asi_cr3.domain, cpu)); k++)
			cpu_relax();
		KUNIT_EXPECT_LT(test, k, 1000);
	}
	cpus_read_unlock();
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), n);
	/* The sessions keep it for a while, but nobody gets in. */
	KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), -ECANCELED);
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), n);

	msleep(50);
	for (i = 0; i < n; i++) {
		member_stop(test, &members[i]);
		KUNIT_EXPECT_EQ(test, members[i].exit, -ECANCELED);
		KUNIT_EXPECT_EQ(test, members[i].ret, 0);
		KUNIT_EXPECT_GT(test, members[i].wrong, 0);
	}
	KUNIT_EXPECT_TRUE(test, asi_test_drained(tables));
}

static void destroy_it(void *asi)
{
	asi_destroy(asi);
}

static void asi_test_destroy_own(struct kunit *test)
{
	long tables = atomic_long_read(&pg_table_stats.instances);
	enum asi_fault_policy policy;
	struct asi_test_run r;
	struct asi *asi;

	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		asi = asi_test_create(policy);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
		KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
		asi_test_session(asi, &r, destroy_it, asi);
		KUNIT_EXPECT_EQ(test, r.enter, 0);
		KUNIT_EXPECT_EQ(test, r.exit, -ECANCELED);
		asi_test_expect_outside(test, &r.later, "later");
		asi_test_expect_outside(test, &r.after, "after");
	}
	KUNIT_EXPECT_TRUE(test, asi_test_drained(tables));

	/* Who has the last session may be where nobody sleeps. */
	asi = asi_test_create(ASI_FAULT_PRESERVE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
	r.enter = asi_enter(asi);
	asi_destroy(asi);
	if (!r.enter) {
		preempt_disable();
		r.exit = asi_exit(asi);
		preempt_enable();
		KUNIT_EXPECT_EQ(test, r.exit, -ECANCELED);
	}
	KUNIT_EXPECT_EQ(test, r.enter, 0);
	KUNIT_EXPECT_TRUE(test, asi_test_drained(tables));
}

/* ---- processes ---- */

static struct child {
	struct asi *asi;
	struct task_struct *parent;
	int go;
	bool session, ready, mapped, restricted, secret, killed;
	int err, enter, exit, failed_exec;
	struct asi_test_look look[2];
} child;

static int run_child(int (*fn)(void *arg), int *status)
{
	pid_t pid, err = 0;

	kernel_sigaction(SIGCHLD, SIG_DFL);
	pid = user_mode_thread(fn, &child, SIGCHLD);
	if (pid > 0)
		err = kernel_wait(pid, status);
	kernel_sigaction(SIGCHLD, SIG_IGN);

	return err ?: pid;
}

static int look_at_session(void *arg)
{
	struct asi_session *s = &current->thread.asi;
	struct child *c = arg;

	c->session = s->asi;
	c->err = s->err;
	c->ready = s->ready_id || s->ready_gen || s->killed;
	c->mapped = !hlist_empty(&s->mapped);
	asi_test_look(&c->look[0], true);
	do_exit(7 << 8);
}

struct forking {
	int pid, status;
	bool suspend;
};

static void do_fork(void *arg)
{
	struct forking *f = arg;
	bool restricted = f->suspend && asi_suspend();

	f->pid = run_child(look_at_session, &f->status);
	asi_resume(restricted);
}

/* The child of a task with a session has none. */
static void asi_test_fork(struct kunit *test)
{
	struct forking f = {};
	struct asi_test_run r;
	struct asi *asi;
	int i;

	for (i = 0; i < 4; i++) {
		bool aborted = i & 1;

		asi = asi_test_domain(test, aborted ? ASI_FAULT_ABORT : ASI_FAULT_PRESERVE);
		memset(&child, 0, sizeof(child));
		memset(&f, 0, sizeof(f));
		f.suspend = !aborted;
		asi_test_session(asi, &r, do_fork, &f);
		if (aborted)
			asi_test_expect_aborted(test, asi, &r);
		else
			asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_GT(test, f.pid, 0);
		KUNIT_EXPECT_EQ(test, f.status, 7 << 8);
		KUNIT_EXPECT_FALSE(test, child.session);
		KUNIT_EXPECT_EQ(test, child.err, 0);
		KUNIT_EXPECT_FALSE(test, child.ready);
		KUNIT_EXPECT_FALSE(test, child.mapped);
		asi_test_expect_handler(test, &child.look[0], false, 1, "child");
		KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
	}
}

static int exit_inside(void *arg)
{
	struct child *c = arg;

	c->err = asi_test_populate(c->asi);
	c->enter = c->err ?: asi_enter(c->asi);
	asi_test_look(&c->look[0], false);
	do_exit(3 << 8);
}

/* A domain is left by exit, and so is each reference that a session has. */
static void asi_test_exit_inside(struct kunit *test)
{
	enum asi_fault_policy policy;
	int status, i;

	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct asi *asi = asi_test_domain(test, policy);

		for (i = 0; i < 3; i++) {
			memset(&child, 0, sizeof(child));
			child.asi = asi;
			status = -1;
			KUNIT_EXPECT_GT(test, run_child(exit_inside, &status), 0);
			KUNIT_EXPECT_EQ(test, status, 3 << 8);
			KUNIT_EXPECT_EQ(test, child.enter, 0);
			asi_test_expect_inside(test, asi, &child.look[0], "child");
			KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
		}
		asi_test_destroy(test, asi);
	}
}

/* Are there more than @nr tasks, five seconds after a thread function has ended? */
static bool more_recorded(struct asi *asi, unsigned int nr)
{
	unsigned int i, n = nr + 1;

	for (i = 0; i < 250 && n > nr; i++) {
		msleep(20);
		guard(mutex)(&asi_mutex);
		n = hlist_count_nodes(&asi->tasks);
	}

	return n > nr;
}

/* Its stack goes to the next task, and must not be in a domain then. */
static void asi_test_exit_unmaps_stack(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct member *m = member_start(test, 0, asi, sleeper, NULL);
	bool before, after, task_after = false, records;
	unsigned long stack, task, own, addr;
	struct pg_table_leaf leaf;

	KUNIT_ASSERT_TRUE(test, sleep_until(&m->ready));
	stack = (unsigned long)task_stack_page(m->task);
	task = (unsigned long)m->task;
	own = (unsigned long)task_stack_page(current);
	before = asi_maps_range(asi_pg_table(asi), stack, stack + THREAD_SIZE) &&
		 asi_maps_range(asi_pg_table(asi), task, task + arch_task_struct_size);
	member_stop(test, m);
	records = more_recorded(asi, 1);
	after = pg_table_lookup(asi_pg_table(asi), stack, &leaf) ||
		pg_table_lookup(asi_pg_table(asi), stack + THREAD_SIZE - 8, &leaf);
	/* But for what this task has in the same pages. */
	for (addr = task & PAGE_MASK; addr < task + arch_task_struct_size; addr += PAGE_SIZE)
		if (addr >= (unsigned long)current + arch_task_struct_size ||
		    addr + PAGE_SIZE <= (unsigned long)current)
			task_after |= pg_table_lookup(asi_pg_table(asi), addr, &leaf);

	KUNIT_EXPECT_TRUE(test, before);
	KUNIT_EXPECT_FALSE(test, after);
	KUNIT_EXPECT_FALSE(test, task_after);
	KUNIT_EXPECT_FALSE(test, records);
	KUNIT_EXPECT_TRUE(test, asi_maps_range(asi_pg_table(asi), own, own + THREAD_SIZE));
}

#if IS_ENABLED(CONFIG_PG_TABLE_KUNIT_TEST)
/* A task that has not much longer to live, and whose domain maps all around it. */
static struct {
	struct asi *asi;
	bool tables;			/* those of the kernel, and not large copies */
	bool mapped;
	unsigned long stack, task, last;
	struct task_struct *held;	/* with its stack */
} mortal;

static int share_around(unsigned long addr)
{
	return pg_table_share(asi_pg_table(mortal.asi), &kernel_pg_table, addr & PMD_MASK,
			      (addr & PMD_MASK) + PMD_SIZE,
			      mortal.tables ? PG_TABLE_PMD : PG_TABLE_LEAF);
}

static int die_without_memory(struct member *m)
{
	int err;

	/* A stack that is freed leaves the domain in any case; a cached one does not. */
	mortal.held = get_task_struct(current);
	mortal.stack = (unsigned long)try_get_task_stack(current);
	mortal.task = (unsigned long)current;
	mortal.last = mortal.task + arch_task_struct_size - 1;
	/* Large copies come first, as asi_map() of a large area does; tables come last. */
	err = mortal.tables ? 0 : share_around(mortal.stack) ?: share_around(mortal.task);
	err = err ?: asi_map_task(mortal.asi);
	if (!err && mortal.tables)
		err = share_around(mortal.stack) ?: share_around(mortal.task);
	mortal.mapped = asi_maps_range(asi_pg_table(mortal.asi), mortal.stack,
				       mortal.stack + THREAD_SIZE) &&
			asi_maps_range(asi_pg_table(mortal.asi), mortal.task, mortal.last + 1);
	pg_table_fail_alloc = -1;

	return err;
}

static bool mortal_is_mapped(unsigned long addr)
{
	return pg_table_lookup(asi_pg_table(mortal.asi), addr, NULL);
}

static void exit_without_memory(struct kunit *test, bool tables)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	struct member *m;
	bool recorded;
	int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	memset(&mortal, 0, sizeof(mortal));
	mortal.asi = asi;
	mortal.tables = tables;
	m = member_start(test, 0, NULL, die_without_memory, NULL);
	member_stop(test, m);
	recorded = more_recorded(asi, 0);
	pg_table_fail_alloc = 0;

	KUNIT_EXPECT_EQ(test, m->ret, 0);
	KUNIT_EXPECT_TRUE(test, mortal.mapped);
	KUNIT_EXPECT_FALSE(test, recorded);
	for (i = 0; i < THREAD_SIZE; i += PAGE_SIZE)
		KUNIT_EXPECT_FALSE_MSG(test, mortal_is_mapped(mortal.stack + i), "stack + %#x", i);
	KUNIT_EXPECT_FALSE(test, mortal_is_mapped(mortal.task));
	KUNIT_EXPECT_FALSE(test, mortal_is_mapped(mortal.last));
	asi_destroy(asi);
	if (mortal.held) {
		put_task_stack(mortal.held);
		put_task_struct(mortal.held);
	}
}
#endif

/* It unmaps its memory from domains, whatever that takes: there is nobody to tell. */
static void asi_test_exit_unmap_no_memory(struct kunit *test)
{
#if IS_ENABLED(CONFIG_PG_TABLE_KUNIT_TEST)
	exit_without_memory(test, false);
	exit_without_memory(test, true);
#else
	kunit_skip(test, "needs CONFIG_PG_TABLE_KUNIT_TEST");
#endif
}

static int kill_inside(void *arg)
{
	struct child *c = arg;

	c->err = asi_test_populate(c->asi);
	c->enter = c->err ?: asi_enter(c->asi);
	asi_test_look(&c->look[0], false);
	c->secret = asi_test_reads(asi_test_secret);
	asi_test_look(&c->look[1], false);
	c->exit = asi_exit(c->asi);
	c->restricted = fatal_signal_pending(current);
	/* What is due on the way to user mode. */
	task_work_run();
	c->killed = fatal_signal_pending(current);
	/* A child that is not killed must not get there. */
	if (!c->killed)
		do_exit(0);

	return 0;
}

static void asi_test_kill(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_KILL);
	int status = 0;

	memset(&child, 0, sizeof(child));
	child.asi = asi;
	KUNIT_EXPECT_GT(test, run_child(kill_inside, &status), 0);
	KUNIT_EXPECT_EQ(test, child.enter, 0);
	asi_test_expect_inside(test, asi, &child.look[0], "child");
	asi_test_expect_inside(test, asi, &child.look[1], "child after the fault");
	KUNIT_EXPECT_FALSE(test, child.secret);
	KUNIT_EXPECT_EQ(test, child.exit, -EFAULT);
	KUNIT_EXPECT_FALSE(test, child.restricted);
	KUNIT_EXPECT_TRUE(test, child.killed);
	KUNIT_EXPECT_EQ(test, status & 0x7f, SIGKILL);
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
}

static int exec_inside(void *arg)
{
	static const char *const argv[] = { "/bin/false", NULL };
	static const char *const envp[] = { NULL };
	struct child *c = arg;
	bool restricted;
	int err;

	c->err = asi_test_populate(c->asi);
	c->enter = c->err ?: asi_enter(c->asi);
	restricted = asi_suspend();
	c->failed_exec = kernel_execve("/no/such/file", argv, envp);
	asi_resume(restricted);
	asi_test_look(&c->look[0], false);
	restricted = asi_suspend();
	err = kernel_execve(argv[0], argv, envp);
	c->session = current->thread.asi.asi;
	if (!err)
		return 0;
	asi_resume(restricted);
	c->exit = asi_exit(c->asi);
	do_exit(9 << 8);
}

static int return_to_user(void *arg)
{
	static const char *const argv[] = { "/bin/false", NULL };
	static const char *const envp[] = { NULL };
	struct child *c = arg;

	c->failed_exec = kernel_execve(argv[0], argv, envp);
	if (c->failed_exec)
		do_exit(9 << 8);
	c->err = asi_test_populate(c->asi);
	c->enter = c->err ?: asi_enter(c->asi);
	asi_test_look(&c->look[0], false);

	return 0;
}

/* Whoever forgets asi_exit() has no session in user mode, nor when he comes back from there. */
static void asi_test_return_to_user(struct kunit *test)
{
	enum asi_fault_policy policy;
	int status;

	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct asi *asi = asi_test_domain(test, policy);

		memset(&child, 0, sizeof(child));
		child.asi = asi;
		status = -1;
		KUNIT_EXPECT_GT(test, run_child(return_to_user, &status), 0);
		KUNIT_EXPECT_EQ(test, child.failed_exec, 0);
		KUNIT_EXPECT_EQ(test, child.enter, 0);
		asi_test_expect_inside(test, asi, &child.look[0], "before user mode");
		/* What the program says, which has run. */
		KUNIT_EXPECT_EQ(test, status, 1 << 8);
		KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
		KUNIT_EXPECT_EQ(test, asi_test_nr_faults, 0);
	}
}

/* An exec that fails leaves the session alone, one that succeeds ends it. */
static void asi_test_exec(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	int status = -1;

	wait_for_initramfs();
	memset(&child, 0, sizeof(child));
	child.asi = asi;
	KUNIT_EXPECT_GT(test, run_child(exec_inside, &status), 0);
	KUNIT_EXPECT_EQ(test, child.enter, 0);
	KUNIT_EXPECT_EQ(test, child.failed_exec, -ENOENT);
	asi_test_expect_inside(test, asi, &child.look[0], "after an exec that failed");
	if (status == 9 << 8)
		kunit_skip(test, "needs /bin/false in the initramfs");
	KUNIT_EXPECT_EQ(test, status, 1 << 8);
	KUNIT_EXPECT_FALSE(test, child.session);
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
}

/* ---- the mm below ---- */

static struct mm_struct *user_mm(struct kunit *test)
{
	struct mm_struct *mm = mm_alloc();
	unsigned long addr;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	kthread_use_mm(mm);
	addr = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!IS_ERR_VALUE(addr))
		clear_user((void __user *)addr, PAGE_SIZE);
	kthread_unuse_mm(mm);

	return mm;
}

struct lazy {
	struct mm_struct *mm;
	bool was_lazy, is_lazy;
};

static void free_lazy_mm(void *arg)
{
	struct lazy *l = arg;
	bool restricted;

	l->is_lazy = raw_cpu_read(cpu_tlbstate_shared.is_lazy);
	restricted = asi_suspend();
	/* The last user: its page tables go. */
	mmput(l->mm);
	asi_resume(restricted);
}

static void asi_test_lazy_tlb(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct asi_test_run r;
	struct lazy l;
	int i;

	for (i = 0; i < 3; i++) {
		l.mm = user_mm(test);
		mmgrab(l.mm);
		migrate_disable();
		kthread_use_mm(l.mm);
		kthread_unuse_mm(l.mm);
		l.was_lazy = this_cpu_read(cpu_tlbstate_shared.is_lazy);
		asi_test_session(asi, &r, free_lazy_mm, &l);
		migrate_enable();
		KUNIT_EXPECT_TRUE(test, l.was_lazy);
		KUNIT_EXPECT_TRUE(test, l.is_lazy);
		asi_test_expect_whole(test, asi, &r);
		mmdrop(l.mm);
	}
}

static void switch_to_mm(void *arg)
{
	bool restricted = asi_suspend();

	kthread_use_mm(arg);
	asi_resume(restricted);
}

/* The mm changes while the session is suspended: the domain stays, CR3 is made anew. */
static void asi_test_change_mm(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct mm_struct *mm = user_mm(test);
	struct asi_test_run r;

	asi_test_session(asi, &r, switch_to_mm, mm);
	KUNIT_EXPECT_PTR_EQ(test, r.after.mm, mm);
	kthread_unuse_mm(mm);
	asi_test_expect_whole(test, asi, &r);
	mmput(mm);
}

static void switch_mm_in_domain(void *arg)
{
	unsigned long flags;

	local_irq_save(flags);
	switch_mm_irqs_off(NULL, arg, current);
	local_irq_restore(flags);
}

/* Behind the back of the session, it does not. */
static void asi_test_switch_mm(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct mm_struct *mm = user_mm(test);
	struct asi_test_run r;

	migrate_disable();
	preempt_disable();
	leave_mm();
	asi_test_session(asi, &r, switch_mm_in_domain, mm);
	switch_mm(NULL, &init_mm, NULL);
	preempt_enable();
	migrate_enable();
	KUNIT_EXPECT_EQ(test, r.enter, 0);
	KUNIT_EXPECT_EQ(test, r.exit, -ECANCELED);
	asi_test_expect_outside(test, &r.later, "later");
	KUNIT_EXPECT_PTR_EQ(test, r.later.mm, mm);
	mmput(mm);
}

/* ---- CPUs go and come ---- */

static void asi_test_cpu_hotplug(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi *other = asi_test_domain(test, ASI_FAULT_ABORT);
	struct member *asleep, *awake, *third;
	int i, cpu, bad = 0;

	asi_test_need_cpus(test);
	cpu = cpumask_last(cpu_online_mask);
	asleep = member_start(test, 0, asi, sleeper, cpumask_of(cpu));
	third = member_start(test, 1, other, sleeper, cpumask_of(cpu));
	awake = member_start(test, 2, asi, spinner, cpumask_of(cpu));
	bad += !sleep_until(&asleep->ready);
	bad += !sleep_until(&third->ready);
	bad += !sleep_until(&awake->ready);
	for (i = 0; i < 4 && !bad; i++) {
		/* They sleep and run there now, and may go elsewhere. */
		set_cpus_allowed_ptr(asleep->task, cpu_possible_mask);
		set_cpus_allowed_ptr(third->task, cpu_possible_mask);
		set_cpus_allowed_ptr(awake->task, cpu_possible_mask);
		if (remove_cpu(cpu)) {
			bad++;
			break;
		}
		bad += per_cpu(asi_cr3.domain, cpu) != 0;
		asleep->ready = 0;
		wake_sleeper(asleep);
		bad += !sleep_until(&asleep->ready);
		bad += !!add_cpu(cpu);
		third->ready = 0;
		set_cpus_allowed_ptr(third->task, cpumask_of(cpu));
		set_cpus_allowed_ptr(asleep->task, cpumask_of(cpu));
		set_cpus_allowed_ptr(awake->task, cpumask_of(cpu));
		wake_sleeper(third);
		bad += !sleep_until(&third->ready);
		asleep->ready = 0;
		wake_sleeper(asleep);
		bad += !sleep_until(&asleep->ready);
	}
	member_stop(test, asleep);
	member_stop(test, third);
	member_stop(test, awake);
	KUNIT_EXPECT_EQ(test, bad, 0);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, members[i].exit, 0);
		KUNIT_EXPECT_EQ(test, members[i].wrong, 0);
		KUNIT_EXPECT_GT(test, members[i].rounds, 0);
	}
	KUNIT_EXPECT_GE(test, asleep->moves, 4);
}

static struct kunit_case asi_task_cases[] = {
	KUNIT_CASE(asi_test_schedule),
	KUNIT_CASE(asi_test_preempt),
	KUNIT_CASE(asi_test_preempt_and_migrate),
	KUNIT_CASE(asi_test_destroy_inside),
	KUNIT_CASE(asi_test_destroy_own),
	KUNIT_CASE(asi_test_fork),
	KUNIT_CASE(asi_test_exit_inside),
	KUNIT_CASE(asi_test_exit_unmaps_stack),
	KUNIT_CASE(asi_test_exit_unmap_no_memory),
	KUNIT_CASE(asi_test_kill),
	KUNIT_CASE(asi_test_exec),
	KUNIT_CASE(asi_test_return_to_user),
	KUNIT_CASE(asi_test_lazy_tlb),
	KUNIT_CASE(asi_test_change_mm),
	KUNIT_CASE(asi_test_switch_mm),
	KUNIT_CASE(asi_test_cpu_hotplug),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_task_suite = {
	.name = "asi_task",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_task_cases,
};

/* ---- what makes the kernel complain ---- */

static bool provoke;
module_param(provoke, bool, 0444);

static int oops_inside(struct member *m)
{
	m->cpu = raw_smp_processor_id();
	asi_test_look(&m->look[0], false);
	/* Pairs with sleep_until(). */
	smp_store_release(&m->done, 1);
	if (m->val)
		asi_test_read(asi_test_secret);
	else
		asi_test_read(NULL);
	m->done = 2;

	return 0;
}

/* A task that dies in a domain takes neither the domain nor the CPU with it. */
static void asi_test_oops_inside(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct asi_test_run r;
	int i, k, cpu;

	for (i = 0; i < 2; i++) {
		struct member *m = &members[0];

		memset(m, 0, sizeof(*m));
		m->asi = asi;
		m->fn = oops_inside;
		m->val = i;
		m->task = kthread_create(member_thread, m, "asi_kunit_dies");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, m->task);
		get_task_struct(m->task);
		wake_up_process(m->task);
		KUNIT_EXPECT_TRUE(test, sleep_until(&m->done));
		for (k = 0; k < 2000 && asi_test_users(asi) > 1; k++)
			msleep(20);
		msleep(100);
		put_task_struct(m->task);
		asi_test_expect_inside(test, asi, &m->look[0], "before it dies");
		KUNIT_EXPECT_EQ(test, m->done, 1);
		KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
		for_each_online_cpu(cpu)
			KUNIT_EXPECT_EQ(test, per_cpu(asi_cr3.domain, cpu), 0);
		KUNIT_EXPECT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(m->cpu)), 0);
		asi_test_session(asi, &r, NULL, NULL);
		set_cpus_allowed_ptr(current, cpu_possible_mask);
		asi_test_expect_whole(test, asi, &r);
	}
}

static int splat_init(struct kunit *test)
{
	if (!provoke)
		kunit_skip(test, "needs test_asi_task.provoke=1");

	return asi_test_init(test);
}

static struct kunit_case splat_asi_cases[] = {
	KUNIT_CASE(asi_test_oops_inside),
	{}
};

static struct kunit_suite splat_asi_suite = {
	.name = "splat_asi",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = splat_init,
	.test_cases = splat_asi_cases,
};

kunit_test_suites(&asi_task_suite, &splat_asi_suite);
