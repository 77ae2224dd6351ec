// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: each event that can interrupt a domain.
 *
 * The handler has to find itself on the kernel's page table, where it can read the
 * secret, and the task has to be in its domain again afterwards, where it can't.
 */
#include <linux/hrtimer.h>
#include <linux/hw_breakpoint.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/moduleparam.h>
#include <linux/nmi.h>
#include <linux/perf_event.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include <asm/apic.h>
#include <asm/asm.h>
#include <asm/debugreg.h>
#include <asm/irq_regs.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>

#include "test_asi.h"

/* What the handlers of a case have seen. */
static struct asi_test_look seen[4];

static struct asi *event_start(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);

	memset(seen, 0, sizeof(seen));

	return asi;
}

/* ---- interrupts: late enough for a busy host to be in the domain by then ---- */

struct wakeup {
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	bool softirq;
};

static enum hrtimer_restart on_alarm(struct hrtimer *timer)
{
	struct wakeup *w = container_of(timer, struct wakeup, timer);

	if (asi_test_again(&seen[0], timer, get_irq_regs()))
		return HRTIMER_RESTART;
	asi_test_seen(&seen[0], get_irq_regs());
	if (w->softirq)
		tasklet_schedule(&w->tasklet);

	return HRTIMER_NORESTART;
}

static void on_tasklet(struct tasklet_struct *t)
{
	asi_test_seen(&seen[1], get_irq_regs());
	seen[1].preempt = !!in_serving_softirq();
}

static void wait_for_seen(void *arg)
{
	struct asi_test_look *l = arg;

	asi_test_wait(&l->count);
}

static void interrupt(struct kunit *test, bool softirq)
{
	struct asi *asi = event_start(test);
	struct wakeup w = { .softirq = softirq };
	struct asi_test_run r;

	tasklet_setup(&w.tasklet, on_tasklet);
	hrtimer_init_on_stack(&w.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	w.timer.function = on_alarm;
	migrate_disable();
	hrtimer_start(&w.timer, ms_to_ktime(300), HRTIMER_MODE_REL_PINNED_HARD);
	asi_test_session(asi, &r, wait_for_seen, &seen[softirq]);
	migrate_enable();
	hrtimer_cancel(&w.timer);
	destroy_hrtimer_on_stack(&w.timer);
	tasklet_kill(&w.tasklet);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], true, 1, "interrupt");
	if (softirq) {
		asi_test_expect_handler(test, &seen[1], false, 1, "softirq");
		KUNIT_EXPECT_EQ(test, seen[1].preempt, 1);
	}
}

static void asi_test_irq(struct kunit *test)
{
	interrupt(test, false);
}

/* On the way out of the interrupt. */
static void asi_test_softirq(struct kunit *test)
{
	interrupt(test, true);
}

/* From another CPU. */
struct caller {
	struct work_struct work;
	int cpu;
	int ready;
};

static void on_call(void *arg)
{
	asi_test_seen(&seen[0], get_irq_regs());
}

static void call(struct work_struct *work)
{
	struct caller *c = container_of(work, struct caller, work);

	if (asi_test_wait(&c->ready))
		smp_call_function_single(c->cpu, on_call, NULL, true);
}

static void await_call(void *arg)
{
	struct caller *c = arg;

	/* Pairs with asi_test_wait() in call(). */
	smp_store_release(&c->ready, 1);
	asi_test_wait(&seen[0].count);
}

static void asi_test_ipi(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct caller c = {};
	struct asi_test_run r;

	asi_test_need_cpus(test);
	INIT_WORK_ONSTACK(&c.work, call);
	migrate_disable();
	c.cpu = smp_processor_id();
	queue_work_on(asi_test_other_cpu(), system_highpri_wq, &c.work);
	asi_test_session(asi, &r, await_call, &c);
	migrate_enable();
	flush_work(&c.work);
	destroy_work_on_stack(&c.work);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "IPI");
}

/* Raised in the domain. */
static void on_irq_work(struct irq_work *work)
{
	asi_test_seen(&seen[0], get_irq_regs());
}

static DEFINE_IRQ_WORK(test_irq_work, on_irq_work);

static void raise_irq_work(void *arg)
{
	int i, *n = arg;

	for (i = 1; i <= *n; i++) {
		irq_work_queue(&test_irq_work);
		if (!asi_test_wait(&seen[0].count) || seen[0].count != i)
			break;
	}
}

static void asi_test_irq_work(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;
	int n = 1;

	test_irq_work = IRQ_WORK_INIT_HARD(on_irq_work);
	migrate_disable();
	asi_test_session(asi, &r, raise_irq_work, &n);
	migrate_enable();
	irq_work_sync(&test_irq_work);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "irq_work");
}

/* ---- NMIs ---- */

static int nmis_left;

static void on_nmi(struct pt_regs *regs)
{
	asi_test_seen(&seen[0], NULL);
}

static void send_nmi(void *arg)
{
	asi_test_send_nmi();
	asi_test_wait(&seen[0].count);
}

static void asi_test_nmi(struct kunit *test)
{
	long paranoid = asi_test_count(ASI_COUNT_PARANOID);
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	migrate_disable();
	asi_test_on_nmi(on_nmi);
	asi_test_session(asi, &r, send_nmi, NULL);
	asi_test_on_nmi(NULL);
	migrate_enable();

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "NMI");
	KUNIT_EXPECT_GE(test, asi_test_count(ASI_COUNT_PARANOID) - paranoid, 1);
}

/*
 * The second one arrives while the first is handled: with DEBUG_ENTRY, NMIs are not
 * masked then, and without they are from the first exception in the handler on.
 */
static void on_nested_nmi(struct pt_regs *regs)
{
	int i = nmis_left & 1;

	asi_test_seen(&seen[i], NULL);
	if (nmis_left && nmis_left--) {
		asi_test_reads((void *)1UL);
		asi_test_send_nmi();
	}
	asi_test_seen(&seen[i], NULL);
}

static void send_nested_nmi(void *arg)
{
	cycles_t start = get_cycles();

	asi_test_send_nmi();
	while (READ_ONCE(seen[0].count) + READ_ONCE(seen[1].count) < 8 &&
	       get_cycles() - start < 10000ULL * tsc_khz)
		cpu_relax();
}

static void asi_test_nmi_in_nmi(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	nmis_left = 3;
	migrate_disable();
	asi_test_on_nmi(on_nested_nmi);
	asi_test_session(asi, &r, send_nested_nmi, NULL);
	asi_test_on_nmi(NULL);
	migrate_enable();

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[1], false, 4, "odd NMIs");
	asi_test_expect_handler(test, &seen[0], false, 4, "even NMIs");
}

/* What 2020 got wrong on processors without PCID: some NMIs, then some interrupts. */
static void nmi_then_irq(void *arg)
{
	int *n = arg, i, k, nmis = 0, irqs = 0;

	for (i = 0; i < *n; i++) {
		for (k = 0; k <= i % 3; k++) {
			WRITE_ONCE(seen[1].count, 0);
			asi_test_send_nmi();
			nmis += asi_test_wait(&seen[1].count);
		}
		for (k = 0; k <= i % 2; k++) {
			WRITE_ONCE(seen[0].count, 0);
			irq_work_queue(&test_irq_work);
			irqs += asi_test_wait(&seen[0].count);
		}
		if (!asi_test_is_inside())
			break;
	}
	n[1] = nmis;
	n[2] = irqs;
	n[3] = i;
}

static void on_second_nmi(struct pt_regs *regs)
{
	asi_test_seen(&seen[1], NULL);
	seen[2].count += !seen[1].secret || seen[1].domain;
}

static void asi_test_nmi_then_irq(struct kunit *test)
{
	struct asi *asi = event_start(test);
	int n[4] = { 60 };
	struct asi_test_run r;

	test_irq_work = IRQ_WORK_INIT_HARD(on_irq_work);
	migrate_disable();
	asi_test_on_nmi(on_second_nmi);
	asi_test_session(asi, &r, nmi_then_irq, n);
	asi_test_on_nmi(NULL);
	migrate_enable();
	irq_work_sync(&test_irq_work);

	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, n[3], 60);
	KUNIT_EXPECT_EQ(test, n[1], 120);
	KUNIT_EXPECT_EQ(test, n[2], 90);
	KUNIT_EXPECT_EQ(test, seen[2].count, 0);
	asi_test_expect_handler(test, &seen[0], false, 1, "interrupt");
	asi_test_expect_handler(test, &seen[1], false, 1, "NMI");
}

/* An interrupt in the domain, an NMI in its handler, and one after it. */
static void on_irq_with_nmi(struct irq_work *work)
{
	asi_test_seen(&seen[0], get_irq_regs());
	asi_test_send_nmi();
	asi_test_wait(&seen[1].count);
	asi_test_seen(&seen[2], get_irq_regs());
}

static void asi_test_nmi_in_irq(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;
	int n = 1;

	test_irq_work = IRQ_WORK_INIT_HARD(on_irq_with_nmi);
	migrate_disable();
	asi_test_on_nmi(on_second_nmi);
	asi_test_session(asi, &r, raise_irq_work, &n);
	asi_test_on_nmi(NULL);
	migrate_enable();
	irq_work_sync(&test_irq_work);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "interrupt");
	asi_test_expect_handler(test, &seen[1], false, 1, "NMI");
	asi_test_expect_handler(test, &seen[2], false, 1, "interrupt after NMI");
}

/* ---- exceptions with a handler in a notifier chain ---- */

static u64 watched;
static unsigned int steps;
static int steps_wrong, resumed_wrong;
static bool check_resume;
static struct task_struct *stepping;

static int on_die(struct notifier_block *nb, unsigned long what, void *data)
{
	struct die_args *args = data;
	unsigned long *dr6;

	if (what == DIE_INT3 && args->regs->ip == (unsigned long)test_asi_int3_end) {
		asi_test_seen(&seen[0], args->regs);
		return NOTIFY_STOP;
	}
	if (what == DIE_DEBUG && stepping == current) {
		dr6 = (unsigned long *)args->err;
		if (!(*dr6 & DR_STEP))
			return NOTIFY_DONE;
		*dr6 &= ~DR_STEP;
		steps++;
		asi_test_seen(&seen[1], NULL);
		steps_wrong += !seen[1].secret;
		if (check_resume) {
			/* Whatever was interrupted, this is for one who is in no domain. */
			asi_resume(asi_suspend());
			asi_test_look(&seen[2], true);
			resumed_wrong += !seen[2].secret;
		}
		return NOTIFY_STOP;
	}

	return NOTIFY_DONE;
}

static struct notifier_block die_nb = {
	.notifier_call = on_die,
	.priority = INT_MAX - 1,
};

static void do_int3(void *arg)
{
	asm volatile(".globl test_asi_int3\n"
		     "test_asi_int3: int3\n"
		     ".globl test_asi_int3_end\n"
		     "test_asi_int3_end:");
}

static void asi_test_int3(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	KUNIT_ASSERT_EQ(test, register_die_notifier(&die_nb), 0);
	asi_test_session(asi, &r, do_int3, NULL);
	unregister_die_notifier(&die_nb);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], true, 1, "int3");
}

/* The trap comes after the instruction that follows, and once more after the last POPF. */
static __always_inline void single_step(bool on)
{
	unsigned long flags = native_save_fl() & ~X86_EFLAGS_TF;

	if (on)
		stepping = current;
	asm volatile("pushq %0; popfq" :: "r" (on ? flags | X86_EFLAGS_TF : flags)
		     : "memory", "cc");
	if (!on)
		stepping = NULL;
}

static void do_steps(void *arg)
{
	int i;

	single_step(true);
	for (i = 0; i < 10; i++)
		WRITE_ONCE(watched, i);
	single_step(false);
}

static void asi_test_single_step(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	steps = 0;
	steps_wrong = 0;
	check_resume = false;
	KUNIT_ASSERT_EQ(test, register_die_notifier(&die_nb), 0);
	asi_test_session(asi, &r, do_steps, NULL);
	unregister_die_notifier(&die_nb);

	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_GE(test, steps, 20);
	KUNIT_EXPECT_EQ(test, steps_wrong, 0);
	asi_test_expect_handler(test, &seen[1], false, steps, "#DB");
}

/*
 * A #DB, which takes the same way as an NMI, after each instruction of asi_enter()
 * and asi_exit(): whatever is half done there, the handler runs on the kernel's page
 * table, to its end.
 */
static void step_through(struct kunit *test, bool resume)
{
	struct asi *asi = event_start(test);
	struct asi_test_look inside = {}, after = {};
	int i, enter, exit, out = 0;
	unsigned long flags;
	bool secret;

	steps = 0;
	steps_wrong = 0;
	resumed_wrong = 0;
	check_resume = resume;
	KUNIT_ASSERT_EQ(test, register_die_notifier(&die_nb), 0);
	for (i = 0; i < 3; i++) {
		/* The second one finds everything ready. */
		local_irq_save(flags);
		single_step(true);
		enter = asi_enter(asi);
		single_step(false);
		asi_test_look(&inside, false);
		secret = !enter && asi_test_reads(asi_test_secret);
		single_step(true);
		exit = enter ?: asi_exit(asi);
		single_step(false);
		local_irq_restore(flags);
		asi_test_look(&after, true);
		out += enter || exit || secret;
	}
	unregister_die_notifier(&die_nb);

	KUNIT_EXPECT_EQ(test, out, 0);
	asi_test_expect_inside(test, asi, &inside, "inside");
	asi_test_expect_handler(test, &after, false, 3, "after");
	KUNIT_EXPECT_GE(test, steps, 150);
	KUNIT_EXPECT_EQ(test, steps_wrong, 0);
	KUNIT_EXPECT_EQ(test, resumed_wrong, 0);
	kunit_info(test, "%u steps", steps);
}

static void asi_test_step_through_enter(struct kunit *test)
{
	step_through(test, false);
}

static void asi_test_step_through_suspend(struct kunit *test)
{
	step_through(test, true);
}

static void on_watch(struct perf_event *bp, struct perf_sample_data *data, struct pt_regs *regs)
{
	asi_test_seen(&seen[0], NULL);
}

static void hit_watch(void *arg)
{
	WRITE_ONCE(watched, 1);
	WRITE_ONCE(watched, 2);
}

static void watch(struct kunit *test, void *addr, int type, void (*hit)(void *))
{
	struct asi *asi = event_start(test);
	struct perf_event_attr attr;
	struct perf_event *bp;
	struct asi_test_run r;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)addr;
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = type;
	migrate_disable();
	bp = perf_event_create_kernel_counter(&attr, smp_processor_id(), NULL, on_watch, NULL);
	if (IS_ERR(bp)) {
		migrate_enable();
		KUNIT_FAIL_AND_ABORT(test, "no breakpoint: %pe", bp);
	}
	asi_test_session(asi, &r, hit, NULL);
	unregister_hw_breakpoint(bp);
	migrate_enable();

	asi_test_expect_whole(test, asi, &r);
}

static void asi_test_watchpoint(struct kunit *test)
{
	watch(test, &watched, HW_BREAKPOINT_W, hit_watch);
	asi_test_expect_handler(test, &seen[0], false, 2, "watchpoint");
}

/* The way back to the domain reads this, on the stack of the #DB. */
static void read_session(void *arg)
{
	READ_ONCE(current->thread.asi.asi);
}

static void asi_test_watchpoint_on_session(struct kunit *test)
{
	watch(test, &current->thread.asi.asi, HW_BREAKPOINT_RW, read_session);
	KUNIT_EXPECT_GE(test, seen[0].count, 2);
}

/* The entry code reads this to get out of a domain; a #DB there would never end. */
static void asi_test_no_watchpoint_on_cr3(struct kunit *test)
{
	struct perf_event_attr attr;
	struct perf_event *bp;
	int i;

	hw_breakpoint_init(&attr);
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = HW_BREAKPOINT_RW;
	attr.disabled = 1;	/* If it is not refused, the case has an end all the same. */
	for (i = 0; i < 2; i++) {
		attr.bp_addr = (unsigned long)per_cpu_ptr(&asi_cr3, 0) + i * 8;
		bp = perf_event_create_kernel_counter(&attr, 0, NULL, on_watch, NULL);
		KUNIT_EXPECT_TRUE(test, IS_ERR(bp));
		if (!IS_ERR(bp))
			unregister_hw_breakpoint(bp);
	}
}

/* ---- kprobes ---- */

extern const char test_asi_probed_jump[], test_asi_probed_insn[];

static noinline int probed(int x)
{
	asm volatile(".globl test_asi_probed_jump\n"
		     "test_asi_probed_jump: jmp 1f\n\t"
		     "nop\n"
		     "1:\n"
		     ".globl test_asi_probed_insn\n"
		     "test_asi_probed_insn: addl $3, %0" : "+r" (x));

	return x;
}

static void call_probed(void *arg)
{
	int *x = arg;

	*x = probed(*x);
}

static int on_kprobe(struct kprobe *p, struct pt_regs *regs)
{
	asi_test_seen(&seen[0], NULL);

	return 0;
}

/* On an instruction that kprobes emulates: the domain sees only the int3. */
static void asi_test_kprobe(struct kunit *test)
{
	struct kprobe p = {
		.addr = (kprobe_opcode_t *)test_asi_probed_jump,
		.pre_handler = on_kprobe,
	};
	struct asi *asi = event_start(test);
	struct asi_test_run r;
	int x = 4, err;

	err = register_kprobe(&p);
	KUNIT_ASSERT_EQ(test, err, 0);
	asi_test_session(asi, &r, call_probed, &x);
	unregister_kprobe(&p);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "kprobe");
	KUNIT_EXPECT_EQ(test, x, 7);
}

/*
 * On one that runs, or of which the copy runs, out of line, in memory of its own: if the
 * domain does not map that, its session may end whatever the policy, but the code is right.
 */
static void asi_test_kprobe_out_of_line(struct kunit *test)
{
	struct kprobe p = {
		.addr = (kprobe_opcode_t *)test_asi_probed_insn,
		.pre_handler = on_kprobe,
	};
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct asi_test_run r;
	int x, err, i;

	err = register_kprobe(&p);
	KUNIT_ASSERT_EQ(test, err, 0);
	for (i = 0; i < 3; i++) {
		memset(seen, 0, sizeof(seen));
		x = 4;
		asi_test_session(asi, &r, call_probed, &x);
		if (r.exit)
			asi_test_expect_aborted(test, asi, &r);
		else
			asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_EQ(test, seen[0].count, 1);
		KUNIT_EXPECT_EQ(test, x, 7);
	}
	unregister_kprobe(&p);
}

/* ---- exceptions with an exception table entry ---- */

static void do_ud2(void *arg)
{
	bool *after = arg;

	asm volatile("1: ud2\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b));
	*after = asi_test_is_inside();
}

static void asi_test_ud(struct kunit *test)
{
	struct asi *asi = event_start(test);
	bool inside = false;
	struct asi_test_run r;

	asi_test_session(asi, &r, do_ud2, &inside);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_TRUE(test, inside);
}

static void do_gp(void *arg)
{
	u64 val = PUBLIC, *after = arg;

	asm volatile("1: movq (%1), %0\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b) : "+r" (val) : "r" (1UL << 62));
	after[0] = val;
	after[1] = asi_test_is_inside();
}

static void asi_test_gp(struct kunit *test)
{
	struct asi *asi = event_start(test);
	u64 after[2] = {};
	struct asi_test_run r;

	asi_test_session(asi, &r, do_gp, after);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, after[0], PUBLIC);
	KUNIT_EXPECT_EQ(test, after[1], 1);
}

/* ---- page faults ---- */

struct uaccess {
	unsigned long addr;
	char buf[8];
	long left;
	bool inside;
};

static void copy_in(void *arg)
{
	struct uaccess *u = arg;

	/* Without might_fault(), which looks at the mm. */
	u->left = __copy_from_user_inatomic(u->buf, (void __user *)u->addr, 5);
	u->inside = asi_test_is_inside();
}

static unsigned long user_page(struct kunit *test, const char *text)
{
	unsigned long addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
					   MAP_ANONYMOUS | MAP_PRIVATE, 0);

	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(addr));
	if (text)
		KUNIT_ASSERT_EQ(test, copy_to_user((void __user *)addr, text,
						   strlen(text) + 1), 0);

	return addr;
}

/* A domain maps no user memory.  Its policy says what becomes of the access. */
static void asi_test_user_fault(struct kunit *test)
{
	struct asi *asi;
	struct uaccess u;
	struct asi_test_run r;
	int i;

	for (i = 0; i < 4; i++) {
		bool present = i & 1, abort = i & 2;

		u = (struct uaccess) { .addr = user_page(test, present ? "user" : NULL) };
		asi = abort ? asi_test_domain(test, ASI_FAULT_ABORT) : event_start(test);
		asi_test_session(asi, &r, copy_in, &u);
		if (abort) {
			asi_test_expect_aborted(test, asi, &r);
			KUNIT_EXPECT_EQ(test, u.left, 0);
			KUNIT_EXPECT_FALSE(test, u.inside);
			KUNIT_EXPECT_STREQ(test, u.buf, present ? "user" : "");
		} else {
			asi_test_expect_whole(test, asi, &r);
			KUNIT_EXPECT_EQ(test, u.left, 5);
			KUNIT_EXPECT_TRUE(test, u.inside);
		}
	}
}

static struct uaccess nmi_uaccess;

static void on_user_nmi(struct pt_regs *regs)
{
	asi_test_seen(&seen[0], NULL);
	nmi_uaccess.inside = nmi_uaccess_okay();
	nmi_uaccess.left = copy_from_user_nofault(nmi_uaccess.buf,
						  (void __user *)nmi_uaccess.addr, 5);
}

/* An NMI that has interrupted a domain sees the user memory of the task. */
static void asi_test_user_memory_in_nmi(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	nmi_uaccess = (struct uaccess) { .addr = user_page(test, "user"), .left = -1 };
	migrate_disable();
	asi_test_on_nmi(on_user_nmi);
	asi_test_session(asi, &r, send_nmi, NULL);
	asi_test_on_nmi(NULL);
	migrate_enable();

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "NMI");
	KUNIT_EXPECT_TRUE(test, nmi_uaccess.inside);
	KUNIT_EXPECT_EQ(test, nmi_uaccess.left, 0);
	KUNIT_EXPECT_STREQ(test, nmi_uaccess.buf, "user");
}

static bool uaccess_okay_inside;

static void ask_uaccess(void *arg)
{
	unsigned long flags;

	raw_local_irq_save(flags);
	uaccess_okay_inside = nmi_uaccess_okay();
	raw_local_irq_restore(flags);
}

static void asi_test_no_user_memory_inside(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	user_page(test, "user");
	uaccess_okay_inside = true;
	asi_test_session(asi, &r, ask_uaccess, NULL);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_FALSE(test, uaccess_okay_inside);
}

/* What faults in the handler of an interrupt is no matter of the domain. */
static void *bad_address;

static void on_faulting_irq(struct irq_work *work)
{
	asi_test_seen(&seen[0], get_irq_regs());
	seen[1].count = !asi_test_reads(bad_address);
	asi_test_look(&seen[2], true);
}

static void asi_test_fault_in_irq(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;
	int n = 1;

	bad_address = vmalloc(PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, bad_address);
	vfree(bad_address);
	vm_unmap_aliases();
	test_irq_work = IRQ_WORK_INIT_HARD(on_faulting_irq);
	migrate_disable();
	asi_test_session(asi, &r, raise_irq_work, &n);
	migrate_enable();
	irq_work_sync(&test_irq_work);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "interrupt");
	asi_test_expect_handler(test, &seen[2], false, 1, "after the fault");
	KUNIT_EXPECT_EQ(test, seen[1].count, 1);
	KUNIT_EXPECT_EQ(test, r.faults, 2);
}

/* After a fault that has ended the session, interrupts do not bring it back. */
static void abort_then_interrupts(void *arg)
{
	struct asi_test_look *l = arg;
	int n = 1;

	asi_test_read(asi_test_secret);
	asi_test_look(&l[0], false);
	raise_irq_work(&n);
	asi_test_look(&l[1], false);
	asi_test_send_nmi();
	asi_test_wait(&seen[1].count);
	asi_test_look(&l[2], false);
	asi_resume(asi_suspend());
	asi_test_look(&l[3], false);
	schedule();
	asi_test_look(&l[3], false);
}

static void asi_test_aborted_stays_out(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi_test_look l[4] = {};
	struct asi_test_run r;
	int i;

	memset(seen, 0, sizeof(seen));
	test_irq_work = IRQ_WORK_INIT_HARD(on_irq_work);
	migrate_disable();
	asi_test_on_nmi(on_second_nmi);
	asi_test_session(asi, &r, abort_then_interrupts, l);
	asi_test_on_nmi(NULL);
	migrate_enable();
	irq_work_sync(&test_irq_work);

	asi_test_expect_aborted(test, asi, &r);
	KUNIT_EXPECT_EQ(test, r.faults, 1);
	for (i = 0; i < ARRAY_SIZE(l); i++)
		asi_test_expect_outside(test, &l[i], "after the fault");
	KUNIT_EXPECT_EQ(test, seen[0].count, 1);
	KUNIT_EXPECT_FALSE(test, seen[0].frame);
}

/* local_bh_enable() in a domain runs what is pending. */
static struct tasklet_struct bh_tasklet;

static void on_irq_raise_tasklet(struct irq_work *work)
{
	asi_test_seen(&seen[0], get_irq_regs());
	tasklet_schedule(&bh_tasklet);
}

static void bh_disable_and_enable(void *arg)
{
	int n = 1;

	local_bh_disable();
	raise_irq_work(&n);
	local_bh_enable();
}

static void asi_test_bh_enable(struct kunit *test)
{
	struct asi *asi = event_start(test);
	struct asi_test_run r;

	tasklet_setup(&bh_tasklet, on_tasklet);
	test_irq_work = IRQ_WORK_INIT_HARD(on_irq_raise_tasklet);
	migrate_disable();
	asi_test_session(asi, &r, bh_disable_and_enable, NULL);
	migrate_enable();
	irq_work_sync(&test_irq_work);
	tasklet_kill(&bh_tasklet);

	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &seen[0], false, 1, "interrupt");
	asi_test_expect_handler(test, &seen[1], false, 1, "softirq");
}

static struct kunit_case asi_event_cases[] = {
	KUNIT_CASE(asi_test_irq),
	KUNIT_CASE(asi_test_softirq),
	KUNIT_CASE(asi_test_ipi),
	KUNIT_CASE(asi_test_irq_work),
	KUNIT_CASE(asi_test_nmi),
	KUNIT_CASE(asi_test_nmi_in_nmi),
	KUNIT_CASE(asi_test_nmi_then_irq),
	KUNIT_CASE(asi_test_nmi_in_irq),
	KUNIT_CASE(asi_test_int3),
	KUNIT_CASE(asi_test_kprobe),
	KUNIT_CASE(asi_test_ud),
	KUNIT_CASE(asi_test_gp),
	KUNIT_CASE(asi_test_single_step),
	KUNIT_CASE(asi_test_step_through_enter),
	KUNIT_CASE(asi_test_step_through_suspend),
	KUNIT_CASE(asi_test_watchpoint),
	KUNIT_CASE(asi_test_watchpoint_on_session),
	KUNIT_CASE(asi_test_no_watchpoint_on_cr3),
	KUNIT_CASE(asi_test_user_fault),
	KUNIT_CASE(asi_test_user_memory_in_nmi),
	KUNIT_CASE(asi_test_no_user_memory_inside),
	KUNIT_CASE(asi_test_fault_in_irq),
	KUNIT_CASE(asi_test_aborted_stays_out),
	KUNIT_CASE(asi_test_bh_enable),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_event_suite = {
	.name = "asi_event",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_event_cases,
};

static bool provoke;
module_param(provoke, bool, 0444);

static int splat_init(struct kunit *test)
{
	if (!provoke)
		kunit_skip(test, "needs test_asi_event.provoke=1");

	return asi_test_init(test);
}

/* These make the kernel complain on purpose. */
static struct kunit_case splat_asi_event_cases[] = {
	KUNIT_CASE(asi_test_kprobe_out_of_line),
	{}
};

static struct kunit_suite splat_asi_event_suite = {
	.name = "splat_asi_event",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = splat_init,
	.test_cases = splat_asi_event_cases,
};

kunit_test_suites(&asi_event_suite, &splat_asi_event_suite);
