// SPDX-License-Identifier: GPL-2.0
/*
 * Takes the place of a function that writes protected memory, as a fix for a running kernel would. While it does,
 * nothing is added to IMA's list; the parameter tells how often something should have been.
 */
#define pr_fmt(fmt) "livepatch: " fmt

#include <linux/atomic.h>
#include <linux/livepatch.h>
#include <linux/module.h>

static atomic_t calls = ATOMIC_INIT(0);

static int get_calls(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&calls));
}

static const struct kernel_param_ops calls_ops = { .get = get_calls };
module_param_cb(calls, &calls_ops, NULL, 0400);

/* Its arguments are of no interest here. The caller frees the entry. */
static int measure_nothing(void)
{
	atomic_inc(&calls);

	return -ENOMEM;
}

static struct klp_func funcs[] = {
	{ .old_name = "ima_add_template_entry", .new_func = measure_nothing },
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = funcs },
	{ }
};

static struct klp_patch patch = {
	.mod = THIS_MODULE,
	.objs = objects,
};

static int __init livepatch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit livepatch_exit(void) { }

module_init(livepatch_init);
module_exit(livepatch_exit);
MODULE_DESCRIPTION("Replaces a function of IMA");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
