// SPDX-License-Identifier: GPL-2.0
/*
 * As long as this is loaded, no protected memory is left, nor can there be any
 * more: it takes the slots, and what is free in those that are in use.
 */
#define pr_fmt(fmt) "drought: " fmt

#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/prmem.h>

#include "prmem.h"

#include "demo.h"

/* Not exported, nor need they be. */
static struct {
	struct prmem_block *prmem_blocks;
	struct mutex *prmem_grow_mutex;
	struct pmalloc_pool **ima_pool;
	typeof(&prmem_replace) prmem_replace;
} k;

static const struct symbol symbols[] = {
#define SYMBOL(name) { #name, &k.name }
	SYMBOL(prmem_blocks),
	SYMBOL(prmem_grow_mutex),
	SYMBOL(ima_pool),
	SYMBOL(prmem_replace),
};

static DECLARE_BITMAP(taken, PRMEM_NR_SLOTS);
static struct pmalloc_pool *pool;
/* More than there can be without a page for their descriptors. */
static struct wr_cache *caches[64];

static unsigned long drain(struct pmalloc_pool *from)
{
	unsigned long sum = 0;
	size_t size;

	for (size = PAGE_SIZE; size >= sizeof(u64); size /= 8)
		while (pmalloc_nowait(from, size))
			sum += size;

	return sum;
}

static void give_back(void)
{
	unsigned int slot, i;

	for_each_set_bit(slot, taken, PRMEM_NR_SLOTS)
		k.prmem_replace(&k.prmem_blocks[slot].taken, 1, 0);
	for (i = 0; i < ARRAY_SIZE(caches); i++)
		WARN_ON(wr_cache_destroy(caches[i]));
	WARN_ON(pmalloc_destroy_pool(pool));
}

/* Whoever wants a cache is told that there is no memory for it; returns 0 or an error. */
static int __init want_caches(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(caches); i++) {
		caches[i] = wr_cache_create("drought", 64, 0, 0, 0);
		if (IS_ERR(caches[i]))
			return caches[i] == ERR_PTR(-ENOMEM) ? 0 : -EINVAL;
	}

	return -ERANGE;
}

static int __init drought_init(void)
{
	int err = find_symbols(symbols, ARRAY_SIZE(symbols));
	unsigned long sum = 0;
	unsigned int slot;

	if (err)
		return err;
	pool = pmalloc_create_custom_pool(0, 3, PMALLOC_MODE_START_WR);
	if (IS_ERR(pool))
		return -ENOMEM;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		if (slot != PRMEM_STATIC_SLOT &&
		    k.prmem_replace(&k.prmem_blocks[slot].taken, 0, 1))
			__set_bit(slot, taken);
	}
	/* Whoever was about to get a block has it now. */
	mutex_lock(k.prmem_grow_mutex);
	mutex_unlock(k.prmem_grow_mutex);
	while (!pmalloc_reserve(pool, PAGE_SIZE))
		sum += drain(pool);
	sum += drain(pool) + drain(*k.ima_pool);
	pr_info("%u slots and %lu bytes taken\n", bitmap_weight(taken, PRMEM_NR_SLOTS), sum);
	err = want_caches();
	if (err)
		give_back();

	return err;
}

static void __exit drought_exit(void)
{
	give_back();
}

module_init(drought_init);
module_exit(drought_exit);
MODULE_DESCRIPTION("Takes all protected memory");
MODULE_LICENSE("GPL");
