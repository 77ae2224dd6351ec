// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel panics in a domain, or with windows open: it has to stop all the same, and
 * to start the kernel that was loaded for that. Loading this module returns; its thread
 * panics when whoever has loaded it has written down that it did.
 */
#define pr_fmt(fmt) "asi_panic: " fmt

#include <linux/asi.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/prmem.h>
#include <linux/smp.h>

static bool window;
module_param(window, bool, 0444);
MODULE_PARM_DESC(window, "panic in a batch, while another CPU has one open, and not in a domain");

/* An access to what the domain lacks is an oops, which is not what is looked for. */
DEFINE_ASI_TYPE(panic_preserve, ASI_FAULT_PRESERVE);
static struct asi *asi;
static int other_is_there;

/* A batch on another CPU, which never ends: the panic stops that CPU in it. */
static void other_window(void *unused)
{
	if (!wr_begin())
		/* Pairs with smp_load_acquire() in panic_in_window(). */
		smp_store_release(&other_is_there, 1);
	while (1)
		cpu_relax();
}

static void panic_in_window(void)
{
	int cpu;

	cpu = get_cpu();
	smp_call_function_single(cpumask_any_but(cpu_online_mask, cpu), other_window, NULL, false);
	while (!smp_load_acquire(&other_is_there))	/* pairs with other_window() */
		cpu_relax();
	if (!wr_begin())
		panic("in a window");
	put_cpu();
}

static noinline void panic_in_domain(void)
{
	if (!asi_map_task(asi) && !asi_enter(asi))
		panic("in a domain");
}

static int panics(void *unused)
{
	/* Until the program that has loaded this has told its results. */
	msleep(5000);
	if (window)
		panic_in_window();
	else
		panic_in_domain();
	pr_err("FAIL: neither a window nor a domain\n");

	return 0;
}

static int __init asi_panic_init(void)
{
	struct task_struct *task;
	int err;

	if (!window) {
		asi = asi_create(&panic_preserve, "panic");
		if (IS_ERR(asi))
			return PTR_ERR(asi);
		err = asi_map_kernel(asi);
		if (!err)
			err = asi_map_module(asi, THIS_MODULE);
		if (err) {
			asi_destroy(asi);
			return err;
		}
	}
	task = kthread_run(panics, NULL, "panics");

	return PTR_ERR_OR_ZERO(task);
}
module_init(asi_panic_init);

MODULE_DESCRIPTION("Panics in a domain, or in a window");
MODULE_LICENSE("GPL");
