// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: code in a domain prints and reports.
 *
 * Both touch what no domain maps: consoles, other tasks, the memory of modules.  What
 * they do in a domain would end it, or leave locks of the console held.
 *
 * The suite "splat_asi_report" makes the kernel complain on purpose, and skips unless
 * the command line has test_asi_report.provoke=1.
 */
#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/console.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/printk.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <kunit/resource.h>

#include "test_asi.h"

/* What a session does.  Static, as all that is read in it. */
static struct report {
	enum asi_fault_policy policy;
	bool irqs_off;
	void (*event)(struct report *r);
	struct asi *asi;
	struct asi_test_run run;
	struct completion done;
	int err;
	char text[64];
} report;

/* What KASAN finds out: domains map it, and nothing of what SLUB knows about it. */
#define OBJECT_SIZE	40
static const char *object;

static const char * const policies[ASI_NR_FAULT_POLICIES] = {
	[ASI_FAULT_ABORT]	= "abort",
	[ASI_FAULT_PRESERVE]	= "preserve",
	[ASI_FAULT_KILL]	= "kill",
};

/* How many lines of the log have @text? */
static int lines_with(const char *text)
{
	static char line[256];
	struct kmsg_dump_iter iter;
	size_t len;
	int n = 0;

	kmsg_dump_rewind(&iter);
	while (kmsg_dump_get_line(&iter, false, line, sizeof(line) - 1, &len)) {
		line[len] = 0;
		n += !!strstr(line, text);
	}

	return n;
}

/* Others may be printing. */
static bool console_is_free(void)
{
	int i;

	for (i = 0; i < 200; i++) {
		if (console_trylock()) {
			console_unlock();
			return true;
		}
		msleep(20);
	}

	return false;
}

static noinline void report_in_session(void *arg)
{
	struct report *r = arg;
	unsigned long flags = 0;

	if (r->irqs_off)
		local_irq_save(flags);
	r->event(r);
	if (r->irqs_off)
		local_irq_restore(flags);
}

/* A task that KUnit does not know: KASAN would fail the case for its report. */
static int report_thread(void *unused)
{
	report.err = asi_map_task(report.asi);
	if (object && !report.err)
		report.err = asi_map(report.asi, object, OBJECT_SIZE);
	migrate_disable();
	if (!report.err)
		asi_test_session(report.asi, &report.run, report_in_session, &report);
	migrate_enable();
	complete(&report.done);

	return 0;
}

static void report_from(struct kunit *test, enum asi_fault_policy policy, bool irqs_off,
			void (*event)(struct report *r))
{
	struct asi *asi = asi_test_domain(test, policy);
	struct task_struct *task;
	static int number;

	report = (struct report) {
		.policy = policy,
		.irqs_off = irqs_off,
		.event = event,
		.asi = asi,
	};
	snprintf(report.text, sizeof(report.text), "report %d, %s, interrupts %s", ++number,
		 policies[policy], irqs_off ? "off" : "on");
	init_completion(&report.done);
	/* Not where those are that print or ask meanwhile: they are on the first CPU. */
	task = kthread_run_on_cpu(report_thread, NULL, cpumask_last(cpu_online_mask),
				  "asi_kunit/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	/* If the console hangs, the thread stays in there. */
	KUNIT_ASSERT_NE(test, wait_for_completion_timeout(&report.done, 20 * HZ), 0UL);
	KUNIT_EXPECT_EQ(test, report.err, 0);
	asi_test_expect_whole(test, asi, &report.run);
	/* What is asked for with %ASI_FAULT_PRESERVE are the two of asi_test_session(). */
	KUNIT_EXPECT_EQ_MSG(test, report.run.faults, policy == ASI_FAULT_PRESERVE ? 2 : 0, "%s",
			    report.text);
	KUNIT_EXPECT_TRUE_MSG(test, console_is_free(), "%s", report.text);
}

/*
 * @event in a domain of each policy, with interrupts on and off: a line with @say, or
 * with the text of the report, is logged once.
 */
static void report_everywhere(struct kunit *test, void (*event)(struct report *r), const char *say)
{
	int i, before, after;

	for (i = 0; i < 2 * ASI_NR_FAULT_POLICIES; i++) {
		before = say ? lines_with(say) : 0;
		report_from(test, i / 2, i % 2, event);
		after = lines_with(say ?: report.text);
		KUNIT_EXPECT_EQ_MSG(test, after, before + 1, "%s", report.text);
	}
}

static void print_event(struct report *r)
{
	pr_info("asi_kunit: %s\n", r->text);
}

static void asi_test_printk(struct kunit *test)
{
	report_everywhere(test, print_event, NULL);
}

static void print_deferred_event(struct report *r)
{
	printk_deferred("asi_kunit: later, %s\n", r->text);
}

static void asi_test_printk_deferred(struct kunit *test)
{
	report_everywhere(test, print_deferred_event, NULL);
}

static struct printer {
	struct completion done;
	int stop;
} printer;

static int print_on(void *unused)
{
	while (!READ_ONCE(printer.stop)) {
		pr_info("asi_kunit: another CPU prints\n");
		usleep_range(500, 1000);
	}
	complete(&printer.done);

	return 0;
}

/* While another CPU has the console, and may hand it over. */
static void asi_test_printk_contended(struct kunit *test)
{
	struct task_struct *task;

	asi_test_need_cpus(test);
	init_completion(&printer.done);
	printer.stop = 0;
	task = kthread_run_on_cpu(print_on, NULL, cpumask_first(cpu_online_mask), "asi_kunit/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	report_everywhere(test, print_event, NULL);
	WRITE_ONCE(printer.stop, 1);
	wait_for_completion(&printer.done);
}

static struct kunit_case asi_report_cases[] = {
	KUNIT_CASE(asi_test_printk),
	KUNIT_CASE(asi_test_printk_deferred),
	KUNIT_CASE_SLOW(asi_test_printk_contended),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_report_suite = {
	.name = "asi_report",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_report_cases,
};

/* ---- what makes the kernel complain ---- */

static bool provoke;
module_param(provoke, bool, 0444);

static void warn_event(struct report *r)
{
	WARN(1, "asi_kunit: %s\n", r->text);
}

static void asi_test_warn(struct kunit *test)
{
	report_everywhere(test, warn_event, NULL);
}

static void dump_stack_event(struct report *r)
{
	dump_stack();
}

KUNIT_DEFINE_ACTION_WRAPPER(unregister_probe, unregister_kprobe, struct kprobe *);

/*
 * The backtrace has this file's function.  To find out which words of the stack are
 * return addresses the kernel asks all who have code, of which the list of slots for
 * probed instructions is in memory that no domain maps: so there has to be one.
 */
static void asi_test_dump_stack(struct kunit *test)
{
	static struct kprobe probe;

	probe = (struct kprobe) { .addr = (kprobe_opcode_t *)asi_test_read_insn };
	if (register_kprobe(&probe))
		kunit_skip(test, "needs CONFIG_KPROBES");
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, unregister_probe, &probe), 0);
	report_everywhere(test, dump_stack_event, " report_in_session+");
}

/* Where a session waits to be asked for its backtrace. */
static struct backtrace {
	struct completion done;
	int cpu;		/* that waits, or -1 */
	int stop;
} backtrace;

static void backtrace_event(struct report *r)
{
	u64 end = local_clock() + 5 * NSEC_PER_SEC;

	int cpu = raw_smp_processor_id();

	WRITE_ONCE(backtrace.cpu, cpu);
	while (READ_ONCE(backtrace.cpu) >= 0 && local_clock() < end)
		cpu_relax();
	cmpxchg(&backtrace.cpu, cpu, -1);
}

static int ask_for_backtrace(void *unused)
{
	int cpu;

	while (!READ_ONCE(backtrace.stop)) {
		cpu = READ_ONCE(backtrace.cpu);
		if (cpu >= 0 && cpu != raw_smp_processor_id()) {
			trigger_single_cpu_backtrace(cpu);
			/* The session may have given up, and the next one have begun. */
			cmpxchg(&backtrace.cpu, cpu, -1);
		}
		usleep_range(100, 200);
	}
	complete(&backtrace.done);

	return 0;
}

static void stop_asking(void *unused)
{
	WRITE_ONCE(backtrace.stop, 1);
	wait_for_completion(&backtrace.done);
}

/*
 * What reports from elsewhere, of a CPU that is in a domain, asks it by an NMI: for RCU
 * stalls, lockups, hung tasks and sysrq.  The backtrace has this file's function.
 */
static void asi_test_backtrace(struct kunit *test)
{
	struct task_struct *task;

	asi_test_need_cpus(test);
	init_completion(&backtrace.done);
	backtrace.cpu = -1;
	backtrace.stop = 0;
	task = kthread_run_on_cpu(ask_for_backtrace, NULL, cpumask_first(cpu_online_mask),
				  "asi_kunit/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, stop_asking, NULL), 0);
	report_everywhere(test, backtrace_event, " report_in_session+");
}

static void kasan_event(struct report *r)
{
	/* Behind the end of it, in the part of its page that is poisoned. */
	READ_ONCE(object[OBJECT_SIZE + 4]);
}

static void asi_test_kasan(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_KASAN))
		kunit_skip(test, "needs CONFIG_KASAN");
	object = kunit_kzalloc(test, OBJECT_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, object);
	report_everywhere(test, kasan_event, "BUG: KASAN: slab-out-of-bounds in kasan_event");
	object = NULL;
}

static int splat_init(struct kunit *test)
{
	if (!provoke)
		kunit_skip(test, "needs test_asi_report.provoke=1");

	return asi_test_init(test);
}

static struct kunit_case splat_asi_report_cases[] = {
	KUNIT_CASE(asi_test_warn),
	KUNIT_CASE(asi_test_dump_stack),
	KUNIT_CASE(asi_test_backtrace),
	KUNIT_CASE(asi_test_kasan),
	{}
};

static struct kunit_suite splat_asi_report_suite = {
	.name = "splat_asi_report",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = splat_init,
	.test_cases = splat_asi_report_cases,
};

kunit_test_suites(&asi_report_suite, &splat_asi_report_suite);
