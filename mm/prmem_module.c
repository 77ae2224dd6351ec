// SPDX-License-Identifier: GPL-2.0
/*
 * Caches and pools that a module has created, and not destroyed when it is unloaded.
 *
 * One without memory in use is destroyed.  Any other stays for ever, since anybody may
 * have pointers to its objects, and sealed objects can't be freed at all.  A warning in
 * the log names it.  Nothing of it is in the memory of the module, not even its name.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/bitops.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/sched.h>

#include "prmem.h"

/* Find a cache or pool that @mod has created, among the descriptors in @of, or NULL. */
static struct prmem_owner *prmem_left_by(const struct module *mod,
					 const struct wr_cache *of)
{
	const struct prmem_page *page;
	const struct prmem_block *b;
	struct prmem_owner *owner;
	unsigned int slot, i, bit;
	unsigned long live;

	guard(mutex)(&prmem_mutex);

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		cond_resched();
		b = &prmem_blocks[slot];
		for (i = b->nr_meta; i < b->nr_pages; i++) {
			page = prmem_pages(b) + i;
			if (page->owner != &of->owner || page->index)
				continue;
			live = prmem_live(page);
			for_each_set_bit(bit, &live, of->nr_slots) {
				owner = pfn_to_kaddr(b->pfn + i) + bit * of->stride;
				if (READ_ONCE(owner->module) == mod)
					return owner;
			}
		}
	}

	return NULL;
}

struct prmem_left {
	unsigned long pages;
	unsigned long objects;	/* of a cache */
	unsigned long sealed;
};

static void prmem_count_left(const struct prmem_owner *owner, struct prmem_left *left)
{
	const struct prmem_page *page;
	const struct prmem_block *b;
	unsigned int slot, i;

	guard(mutex)(&prmem_mutex);

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		cond_resched();
		b = &prmem_blocks[slot];
		for (i = b->nr_meta; i < b->nr_pages; i++) {
			page = prmem_pages(b) + i;
			if (page->owner != owner)
				continue;
			left->pages++;
			if (owner->kind == PRMEM_KIND_CACHE && !page->index) {
				left->objects += hweight_long(prmem_live(page));
				left->sealed += hweight_long(page->sealed);
			}
		}
	}
}

/* Clear @owner->module: the next module may be loaded at the same address. */
static bool prmem_disown(struct prmem_owner *owner)
{
	struct prmem_window w;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return false;
	prmem_set(owner->module, NULL);
	prmem_close(&w);

	return true;
}

static void prmem_settle_cache(struct wr_cache *c, const struct module *mod)
{
	struct prmem_left left = {};

	prmem_count_left(&c->owner, &left);
	pr_warn("module %s has left cache %s, objects %lu, sealed %lu: %s\n", mod->name,
		c->owner.name, left.objects, left.sealed,
		left.objects ? "it stays" : "destroyed");
	if (!left.objects && wr_cache_destroy(c))
		pr_warn("it stays, since somebody uses it\n");
}

static void prmem_settle_pool(struct pmalloc_pool *pool, const struct module *mod)
{
	struct prmem_left left = {};

	prmem_count_left(&pool->owner, &left);
	pr_warn("module %s has left pool %s, pages %lu: %s\n", mod->name, pool->owner.name,
		left.pages, left.pages ? "it stays" : "destroyed");
	if (!left.pages && pmalloc_destroy_pool(pool))
		pr_warn("it stays, since somebody uses it\n");
}

/*
 * Called in process context when a module has run its exit function, or its loading has
 * failed, and before its memory is freed.
 */
static int prmem_module_event(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct module *mod = data;
	struct prmem_owner *owner;

	if (event != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	while ((owner = prmem_left_by(mod, &wr_caches)) && prmem_disown(owner))
		prmem_settle_cache(container_of(owner, struct wr_cache, owner), mod);

	while ((owner = prmem_left_by(mod, &pmalloc_pools)) && prmem_disown(owner))
		prmem_settle_pool(container_of(owner, struct pmalloc_pool, owner), mod);

	return NOTIFY_OK;
}

static struct notifier_block prmem_module_notifier = {
	.notifier_call = prmem_module_event,
};

static int __init prmem_watch_modules(void)
{
	return register_module_notifier(&prmem_module_notifier);
}
core_initcall(prmem_watch_modules);
