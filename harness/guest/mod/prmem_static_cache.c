// SPDX-License-Identifier: GPL-2.0
/*
 * A module with a cache that could not be protected: it must not load.
 */
#include <linux/module.h>
#include <linux/prmem.h>

static DEFINE_WR_CACHE(cache, u64);

static int __init prmem_static_cache_init(void)
{
	const u64 *obj = wr_cache_alloc(&cache, GFP_KERNEL);

	pr_err("prmem_static_cache: FAIL: has been loaded\n");

	return obj ? wr_cache_free(&cache, obj) : -ENOMEM;
}

static void __exit prmem_static_cache_exit(void) { }

module_init(prmem_static_cache_init);
module_exit(prmem_static_cache_exit);
MODULE_DESCRIPTION("Has a cache that is defined, not created");
MODULE_LICENSE("GPL");
