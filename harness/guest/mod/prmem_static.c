// SPDX-License-Identifier: GPL-2.0
/*
 * A module with a variable that could not be protected: it must not load.
 */
#include <linux/module.h>
#include <linux/prmem.h>

static unsigned long variable __wr_after_init = 1;

static int __init prmem_static_init(void)
{
	pr_err("prmem_static: FAIL: has been loaded\n");

	return wr_assign(variable, 2);
}

static void __exit prmem_static_exit(void) { }

module_init(prmem_static_init);
module_exit(prmem_static_exit);
MODULE_DESCRIPTION("Has a write-rare variable");
MODULE_LICENSE("GPL");
