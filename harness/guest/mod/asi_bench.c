// SPDX-License-Identifier: GPL-2.0
/*
 * Rows of "make bench" for address space isolation, added to /proc/bench. Without
 * asi=on there are no domains, and none of these rows.
 */
#define pr_fmt(fmt) "bench: " fmt

#include <linux/asi.h>
#include <linux/completion.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "bench.h"

#define MAX_HELD	64
#define NR_NAMES	4096

DEFINE_ASI_TYPE(bench_type, ASI_FAULT_ABORT);

static struct asi *asi;
static struct module *(*module_of)(unsigned long addr);
static const struct symbol symbols[] = { { "__module_address", &module_of } };
static unsigned int faulted;

/* A domain is freed some time after asi_destroy(), and needs its name until then. */
static struct asi *create(void)
{
	static char names[NR_NAMES][16];
	static unsigned int next;
	char *name = names[next++ % NR_NAMES];

	snprintf(name, sizeof(names[0]), "bench-%u", next % NR_NAMES);

	return asi_create(&bench_type, name);
}

/* With what a round touches: the kernel, this module, and the one that it takes its time by. */
static int setup(void)
{
	struct asi *a = create();
	int err;

	if (IS_ERR(a))
		return PTR_ERR(a);
	err = asi_map_kernel(a);
	if (!err)
		err = asi_map_module(a, THIS_MODULE);
	if (!err)
		err = asi_map_module(a, module_of((unsigned long)bench_tsc));
	if (!err)
		err = asi_map_task(a);
	/* The first time, there is nothing in the TLB. */
	if (!err)
		err = asi_enter(a);
	if (!err)
		err = asi_exit(a);
	if (err) {
		asi_destroy(a);
		return err;
	}
	asi = a;
	faulted = 0;

	return 0;
}

static void teardown(void)
{
	asi_destroy(asi);
	asi = NULL;
	WARN(faulted, "%u rounds have left the domain by a fault", faulted);
}

static void asi_enter_exit(void)
{
	int err[2];

	ROUND_BEGIN(NR_ASI_ENTER_EXIT);
	err[0] = asi_enter(asi);
	err[1] = asi_exit(asi);
	ROUND_END(NR_ASI_ENTER_EXIT);
	faulted += err[0] || err[1];
}

static void irq_in_domain(void)
{
	int err = asi_enter(asi);

	ROUND_BEGIN(NR_IRQ_IN_DOMAIN);
	BENCH_INTERRUPT();
	ROUND_END(NR_IRQ_IN_DOMAIN);
	faulted += err || asi_exit(asi);
}

/* ---- switches: to another thread of this CPU, and back ---- */

/*
 * Both threads are of the same real-time priority, so that each sched_yield() is a
 * switch to the other one. The second sleeps between the rounds, in the domain if it
 * is in one, so that the rest of the system gets its turn.
 */
static struct task_struct *threads[2];
static struct completion round_begins, round_is_over;
static struct asi *threads_in;
static bool busy, second_is_there;

static int enter(void)
{
	int err;

	if (!threads_in)
		return 0;
	err = asi_map_task(threads_in);

	return err ?: asi_enter(threads_in);
}

static void leave(int err)
{
	if (threads_in && !err)
		faulted += !!asi_exit(threads_in);
	faulted += !!err;
}

static __always_inline void switch_round(const enum bench_nr nr)
{
	/* The other one is where it comes back to from now on. */
	yield();
	ROUND_BEGIN(nr);
	yield();
	ROUND_END(nr);
}

static int first_thread(void *unused)
{
	int err;

	for (;;) {
		wait_for_completion(&round_begins);
		if (kthread_should_stop())
			return 0;
		WRITE_ONCE(busy, true);
		wake_up_process(threads[1]);
		err = enter();
		if (threads_in)
			switch_round(NR_SWITCH_IN_DOMAIN);
		else
			switch_round(NR_SWITCH_OUTSIDE);
		leave(err);
		WRITE_ONCE(busy, false);
		complete(&round_is_over);
	}
}

static int second_thread(void *unused)
{
	int err = enter();

	/* Memory of a thread that waits for its turn is used by the other one when it yields. */
	WRITE_ONCE(second_is_there, true);
	/* kthread_should_stop() looks at memory that the domain lacks; nobody waits for it. */
	while (!READ_ONCE(faulted) && READ_ONCE(threads[1])) {
		set_current_state(TASK_IDLE);
		if (!READ_ONCE(busy) && READ_ONCE(threads[1])) {
			schedule();
			continue;
		}
		__set_current_state(TASK_RUNNING);
		yield();
	}
	__set_current_state(TASK_RUNNING);
	leave(err);
	while (!kthread_should_stop())
		schedule_timeout_idle(1);

	return 0;
}

static struct task_struct *run_thread(int (*fn)(void *unused), const char *name)
{
	struct task_struct *thread = kthread_create_on_cpu(fn, NULL, raw_smp_processor_id(), name);

	if (!IS_ERR(thread)) {
		sched_set_fifo(thread);
		get_task_struct(thread);
	}

	return thread;
}

static int start_threads(struct asi *in)
{
	struct task_struct *thread[2];

	threads_in = in;
	busy = false;
	second_is_there = false;
	init_completion(&round_begins);
	init_completion(&round_is_over);
	thread[0] = run_thread(first_thread, "bench_first/%u");
	thread[1] = run_thread(second_thread, "bench_second/%u");
	/* What fails here ends the guest. */
	if (IS_ERR(thread[0]) || IS_ERR(thread[1]))
		return -ENOMEM;
	threads[0] = thread[0];
	threads[1] = thread[1];
	wake_up_process(threads[0]);
	wake_up_process(threads[1]);
	while (!READ_ONCE(second_is_there))
		schedule_timeout_uninterruptible(1);

	return 0;
}

static void stop_threads(void)
{
	struct task_struct *thread[2] = { threads[0], threads[1] };
	int i;

	WRITE_ONCE(threads[1], NULL);
	wake_up_process(thread[1]);
	for (i = 1; i >= 0; i--) {
		/* The first one waits for a round. */
		if (!i)
			complete(&round_begins);
		kthread_stop(thread[i]);
		put_task_struct(thread[i]);
	}
}

static void a_switch(void)
{
	complete(&round_begins);
	wait_for_completion(&round_is_over);
}

static int setup_outside(void)
{
	return start_threads(NULL);
}

static int setup_inside(void)
{
	int err = setup();

	return err ?: start_threads(asi);
}

static void teardown_inside(void)
{
	stop_threads();
	teardown();
}

/* ---- domains ---- */

static void *area;

static void create_round(void)
{
	struct asi *a;

	ROUND_BEGIN(NR_ASI_CREATE);
	a = create();
	ROUND_END(NR_ASI_CREATE);
	if (IS_ERR(a))
		faulted++;
	else
		asi_destroy(a);
}

static __always_inline void map_round(const enum bench_nr nr)
{
	int err;

	ROUND_BEGIN(nr);
	err = asi_map(asi, area, PMD_SIZE);
	ROUND_END(nr);
	faulted += err || asi_unmap(asi, area, PMD_SIZE);
}

static void map_2m(void)
{
	map_round(NR_ASI_MAP_2M);
}

static void map_2m_vmalloc(void)
{
	map_round(NR_ASI_MAP_2M_VMALLOC);
}

static int setup_pages(void)
{
	struct page *pages = alloc_pages(GFP_KERNEL, get_order(PMD_SIZE));

	area = pages ? page_address(pages) : NULL;

	return area ? setup() : -ENOMEM;
}

static void teardown_pages(void)
{
	teardown();
	free_pages((unsigned long)area, get_order(PMD_SIZE));
}

/* In pages of 4 KiB. */
static int setup_vmalloc(void)
{
	area = vmalloc(PMD_SIZE);

	return area ? setup() : -ENOMEM;
}

static void teardown_vmalloc(void)
{
	teardown();
	vfree(area);
}

static struct asi *held[MAX_HELD];

/* Have @n domains until the next call, each with @size bytes of @area, if any. */
static int hold(unsigned int n, size_t size)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < MAX_HELD; i++) {
		asi_destroy(held[i]);
		held[i] = NULL;
	}
	for (i = 0; i < min(n, MAX_HELD) && !err; i++) {
		held[i] = create();
		if (IS_ERR(held[i])) {
			err = PTR_ERR(held[i]);
			held[i] = NULL;
		} else if (size) {
			err = asi_map(held[i], area, size);
		}
	}

	return err;
}

static int hold_asi(unsigned int n)
{
	return hold(n, 0);
}

static int hold_asi_2m(unsigned int n)
{
	struct page *pages = alloc_pages(GFP_KERNEL, get_order(PMD_SIZE));
	int err;

	if (!pages)
		return -ENOMEM;
	area = page_address(pages);
	err = hold(n, PMD_SIZE);
	/* Nobody enters these domains. */
	__free_pages(pages, get_order(PMD_SIZE));

	return err;
}

static const struct row rows[] = {
	{ "asi_enter_exit", asi_enter_exit, setup, teardown },
	{ "irq_in_domain", irq_in_domain, setup, teardown },
	{ "switch_outside", a_switch, setup_outside, stop_threads },
	{ "switch_in_domain", a_switch, setup_inside, teardown_inside },
	{ "asi_create", create_round, setup, teardown, .max_rounds = 1000 },
	{ "asi_map_2M", map_2m, setup_pages, teardown_pages },
	{ "asi_map_2M_vmalloc", map_2m_vmalloc, setup_vmalloc, teardown_vmalloc },
};

static const struct hold holds[] = {
	{ "hold_asi", hold_asi },
	{ "hold_asi_2m", hold_asi_2m },
};

static const struct table table = {
	.rows = rows,
	.nr_rows = ARRAY_SIZE(rows),
	.holds = holds,
	.nr_holds = ARRAY_SIZE(holds),
};

static int __init asi_bench_init(void)
{
	struct asi *a = create();
	int err;

	if (PTR_ERR_OR_ZERO(a) == -EOPNOTSUPP)
		return 0;
	if (IS_ERR(a))
		return PTR_ERR(a);
	asi_destroy(a);
	err = bench_find_symbols(symbols, ARRAY_SIZE(symbols));
	if (!err)
		bench_add_table(&table);

	return err;
}
module_init(asi_bench_init);

MODULE_DESCRIPTION("Rounds of address space isolation between markers");
MODULE_LICENSE("GPL");
