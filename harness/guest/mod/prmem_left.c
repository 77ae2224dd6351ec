// SPDX-License-Identifier: GPL-2.0
/*
 * Forgets whatever it has of protected memory when it is unloaded, or when its loading fails: a cache with objects, of
 * which one is sealed, one without any, a pool with something in it, and one that is empty.
 */
#include <linux/module.h>
#include <linux/prmem.h>

static bool fail;
module_param(fail, bool, 0444);
MODULE_PARM_DESC(fail, "forget them when loading fails, and not at unloading");

/* Pools are named after the function that creates them. */
static noinline struct pmalloc_pool *left_pool(void)
{
	return pmalloc_create_pool(PMALLOC_MODE_START_WR);
}

static noinline struct pmalloc_pool *left_empty_pool(void)
{
	return pmalloc_create_pool(PMALLOC_MODE_RO);
}

static int __init prmem_left_init(void)
{
	struct wr_cache *c = wr_cache_create("left_objects", 64, 0, 0, 0);
	struct wr_cache *empty = wr_cache_create("left_empty", 64, 0, 0, 0);
	struct pmalloc_pool *pool = left_pool();
	const void *one, *two, *freed;

	if (IS_ERR(c) || IS_ERR(empty) || IS_ERR(pool) || IS_ERR(left_empty_pool()))
		return -ENOMEM;
	one = wr_cache_zalloc(c, GFP_KERNEL);
	two = wr_cache_zalloc(c, GFP_KERNEL);
	/* Its memory is that of a cache without objects afterwards. */
	freed = wr_cache_zalloc(empty, GFP_KERNEL);
	if (!one || !two || !freed || !pmalloc(pool, 64))
		return -ENOMEM;
	if (wr_cache_seal(c, two) || wr_cache_free_rcu(empty, freed))
		return -EIO;

	return fail ? -ENODEV : 0;
}
module_init(prmem_left_init);

static void __exit prmem_left_exit(void)
{
}
module_exit(prmem_left_exit);

MODULE_DESCRIPTION("Forgets its caches and pools");
MODULE_LICENSE("GPL");
