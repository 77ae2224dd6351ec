// SPDX-License-Identifier: GPL-2.0
/*
 * Forgets its domains when it is unloaded, or when its loading fails. Their type and its name are in this module.
 */
#include <linux/asi.h>
#include <linux/module.h>

static bool fail;
module_param(fail, bool, 0444);
MODULE_PARM_DESC(fail, "forget them when loading fails, and not at unloading");

DEFINE_ASI_TYPE(left_type, ASI_FAULT_ABORT);

static int __init asi_left_init(void)
{
	struct asi *one = asi_create(&left_type, "left_one"), *two = asi_create(&left_type, "left_two");
	int err;

	if (IS_ERR(one) || IS_ERR(two))
		return IS_ERR(one) ? PTR_ERR(one) : PTR_ERR(two);
	/* What a domain has of tasks and of this module goes with it. */
	err = asi_map_kernel(one) ?: asi_map_module(one, THIS_MODULE) ?: asi_map_task(one);

	return err ?: fail ? -ENODEV : 0;
}
module_init(asi_left_init);

static void __exit asi_left_exit(void)
{
}
module_exit(asi_left_exit);

MODULE_DESCRIPTION("Forgets its domains");
MODULE_LICENSE("GPL");
