// SPDX-License-Identifier: GPL-2.0
/*
 * The third part of the story that "make run" tells: code of the kernel runs in a
 * domain, an address space without a secret, and what interrupts it has the secret.
 *
 * Loaded on a machine with two CPUs or more and asi=on, it tells the story once.
 */
#define pr_fmt(fmt) "demo: " fmt

#include <linux/asi.h>
#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/pg_table.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include <asm/apic.h>
#include <asm/special_insns.h>

#include "demo.h"

static const struct symbol symbols[] = {
	{ "copy_to_kernel_nofault", &write_nofault },
};

/* A forbidden access is as if the memory were not there; or it ends the session. */
DEFINE_ASI_TYPE(demo_preserve, ASI_FAULT_PRESERVE);
DEFINE_ASI_TYPE(demo_abort, ASI_FAULT_ABORT);

static char *secret;

/* CR3, and whether the secret can be read, as somebody finds it. */
struct view {
	unsigned long cr3;
	bool reads;
	int there;
};

/* Of this module, which the domain maps: in it, only this and the stack are used. */
static struct view before, inside, irq, after_irq, nmi, after_nmi, meanwhile, after_sleep, after;
static struct task_struct *task;
static call_single_data_t call;
static int go, entered, left;

static noinline void look(struct view *view)
{
	view->cr3 = __read_cr3();
	view->reads = can_read(secret);
	/* Pairs with smp_load_acquire() in wait_for(). */
	smp_store_release(&view->there, 1);
}

static noinline void wait_for(struct view *view)
{
	while (!smp_load_acquire(&view->there))	/* pairs with look() */
		cpu_relax();
}

static void on_interrupt(void *unused)
{
	look(&irq);
}

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	/* Not of the CPU that has sent it. */
	if (READ_ONCE(go) != 2 || nmi.there)
		return NMI_DONE;
	look(&nmi);

	return NMI_HANDLED;
}

/* On another CPU: what happens to the task in its domain, when it says so. */
static void other_cpu(void *unused)
{
	int cpu = task_cpu(task);

	while (READ_ONCE(go) < 1)
		cpu_relax();
	smp_call_function_single_async(cpu, &call);
	while (READ_ONCE(go) < 2)
		cpu_relax();
	__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
	while (READ_ONCE(go) < 3 || READ_ONCE(task->on_cpu))
		cpu_relax();
	look(&meanwhile);
	wake_up_process(task);
}

static noinline void in_domain(void)
{
	look(&inside);
	WRITE_ONCE(go, 1);
	wait_for(&irq);
	look(&after_irq);
	WRITE_ONCE(go, 2);
	wait_for(&nmi);
	look(&after_nmi);
	set_current_state(TASK_UNINTERRUPTIBLE);
	WRITE_ONCE(go, 3);
	schedule();
	look(&after_sleep);
}

static struct asi *make_domain(struct asi_type *type, const char *name)
{
	struct asi *asi = asi_create(type, name);
	int err;

	if (IS_ERR(asi)) {
		tell(false, "asi_create(): %pe", asi);
		return NULL;
	}
	err = asi_map_kernel(asi);
	if (!err)
		err = asi_map_module(asi, THIS_MODULE);
	if (!err)
		err = asi_map_task(asi);
	if (err) {
		tell(false, "no domain: %pe", ERR_PTR(err));
		asi_destroy(asi);
		return NULL;
	}

	return asi;
}

static void tell_objects(struct asi *asi)
{
	pr_info("Address space isolation: code that runs without what it has no business with.\n");
	pr_info("12. A secret, and a domain that maps the kernel, this module and its stack, but not the secret\n");
	tell(can_read(secret), "the secret is at %px: \"%s\"", secret, secret);
}

/* What runs in a domain may not be part of a function of the module's beginning. */
static noinline void tell_session(struct asi *asi)
{
	int me = smp_processor_id(), other = cpumask_any_but(cpu_online_mask, me);

	task = current;
	INIT_CSD(&call, on_interrupt, NULL);
	smp_call_function_single(other, other_cpu, NULL, false);

	look(&before);
	entered = asi_enter(asi);
	if (!entered) {
		in_domain();
		left = asi_exit(asi);
	}
	look(&after);
	if (entered) {
		tell(false, "asi_enter(): %pe", ERR_PTR(entered));
		return;
	}

	pr_info("13. CPU %d reads the secret\n", me);
	tell(before.reads, "before: CR3 is %#lx; a read %s", before.cr3, verdict(before.reads));
	tell(!inside.reads && (inside.cr3 & CR3_ADDR_MASK) != (before.cr3 & CR3_ADDR_MASK),
	     "asi_enter(): CR3 is %#lx; a read %s", inside.cr3, verdict(inside.reads));

	pr_info("14. What interrupts it there, and how it goes on\n");
	tell(irq.reads && irq.cr3 == before.cr3,
	     "an interrupt, from CPU %d: CR3 is %#lx; a read %s", other, irq.cr3, verdict(irq.reads));
	tell(!after_irq.reads && after_irq.cr3 == inside.cr3,
	     "   then CR3 is %#lx; a read %s", after_irq.cr3, verdict(after_irq.reads));
	tell(nmi.reads && nmi.cr3 == before.cr3,
	     "an NMI: CR3 is %#lx; a read %s", nmi.cr3, verdict(nmi.reads));
	tell(!after_nmi.reads && after_nmi.cr3 == inside.cr3,
	     "   then CR3 is %#lx; a read %s", after_nmi.cr3, verdict(after_nmi.reads));
	tell(meanwhile.reads, "it sleeps in the domain, until CPU %d wakes it up, where a read %s", other,
	     verdict(meanwhile.reads));
	tell(!after_sleep.reads && (after_sleep.cr3 & CR3_ADDR_MASK) == (inside.cr3 & CR3_ADDR_MASK),
	     "   then CR3 is %#lx; a read %s", after_sleep.cr3, verdict(after_sleep.reads));
	tell(after.reads && !left && (after.cr3 & CR3_ADDR_MASK) == (before.cr3 & CR3_ADDR_MASK),
	     "asi_exit() returns %d: CR3 is %#lx; a read %s", left, after.cr3, verdict(after.reads));
}

/* An access that nobody expects: a domain of the other type lets it pass, but not unnoticed. */
static noinline void tell_abort(struct asi *asi)
{
	struct view there = {}, then = {};
	char got[8] = {};
	int err;

	err = asi_enter(asi);
	if (err) {
		tell(false, "asi_enter(): %pe", ERR_PTR(err));
		return;
	}
	there.cr3 = __read_cr3();
	got[0] = READ_ONCE(*secret);
	then.cr3 = __read_cr3();
	err = asi_exit(asi);

	pr_info("15. A domain whose sessions end when they do what they may not\n");
	tell(there.cr3 != before.cr3, "in the domain: CR3 is %#lx", there.cr3);
	tell(got[0] == *secret && (then.cr3 & CR3_ADDR_MASK) == (before.cr3 & CR3_ADDR_MASK),
	     "it reads the secret, and goes on outside: CR3 is %#lx", then.cr3);
	tell(err == -EFAULT, "asi_exit() tells: %pe; debugfs asi/faults says which instruction it was",
	     ERR_PTR(err));
}

static int __init asi_demo_init(void)
{
	struct asi *preserve, *abort;

	if (find_symbols(symbols, ARRAY_SIZE(symbols)))
		return -ENOENT;
	if (num_online_cpus() < 2) {
		pr_err("FAIL needs two CPUs\n");
		return -ENODEV;
	}
	secret = (char *)get_zeroed_page(GFP_KERNEL);
	if (!secret || register_nmi_handler(NMI_LOCAL, on_nmi, 0, "asi_demo")) {
		pr_err("FAIL no memory\n");
		free_page((unsigned long)secret);
		return -ENOMEM;
	}
	strscpy(secret, "swordfish", PAGE_SIZE);
	preserve = make_domain(&demo_preserve, "demo");
	abort = make_domain(&demo_abort, "demo_abort");
	if (preserve && abort) {
		migrate_disable();
		tell_objects(preserve);
		tell_session(preserve);
		tell_abort(abort);
		migrate_enable();
	}
	asi_destroy(abort);
	asi_destroy(preserve);
	unregister_nmi_handler(NMI_LOCAL, "asi_demo");
	free_page((unsigned long)secret);
	if (!failures)
		pr_info("done\n");

	return failures ? -EIO : 0;
}
module_init(asi_demo_init);

MODULE_DESCRIPTION("What a domain lacks, told step by step");
MODULE_LICENSE("GPL");
