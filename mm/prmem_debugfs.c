// SPDX-License-Identifier: GPL-2.0
/*
 * What there is of protected memory: debugfs prmem/stats, pools and check.
 */
#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "prmem.h"

static int prmem_stats_show(struct seq_file *m, void *unused)
{
	unsigned long blocks = 0, pages = 0, meta = 0, free = 0;
	const struct prmem_block *b;
	int i;

	scoped_guard(mutex, &prmem_mutex) {
		for (i = 0; i < PRMEM_NR_SLOTS; i++) {
			b = &prmem_blocks[i];
			if (!b->nr_pages)
				continue;
			blocks++;
			pages += b->nr_pages;
			meta += b->nr_meta;
			free += atomic_read(&b->free);
		}
	}

	seq_printf(m, "blocks %lu\n", blocks);
	seq_printf(m, "pages %lu\n", pages);
	seq_printf(m, "pages_metadata %lu\n", meta);
	seq_printf(m, "pages_free %lu\n", free);
	seq_printf(m, "static_bytes %td\n", __end_wr_after_init - __start_wr_after_init);
	seq_printf(m, "no_memory %ld\n", atomic_long_read(&prmem_stats.no_memory));
	seq_printf(m, "batches_relaxed %ld\n", atomic_long_read(&prmem_stats.relaxed));
	seq_printf(m, "batches_too_long %ld\n", atomic_long_read(&prmem_stats.too_long));
	seq_printf(m, "block_whole %ld\n", atomic_long_read(&wr_block_stats.whole));
	seq_printf(m, "block_small %ld\n", atomic_long_read(&wr_block_stats.small));
	seq_printf(m, "block_failed %ld\n", atomic_long_read(&wr_block_stats.failed));
	seq_printf(m, "block_freed %ld\n", atomic_long_read(&wr_block_stats.freed));
	seq_printf(m, "block_bytes %ld\n", atomic_long_read(&wr_block_stats.bytes));
	seq_printf(m, "splits_2m %ld\n", atomic_long_read(&wr_block_stats.splits_2m));
	seq_printf(m, "splits_1g %ld\n", atomic_long_read(&wr_block_stats.splits_1g));
	for (i = 0; i < PRMEM_NR_REFUSALS; i++)
		seq_printf(m, "refused_%s %ld\n", prmem_refusal_word(i),
			   atomic_long_read(&prmem_stats.refused[i]));

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(prmem_stats);

/* What a line of prmem/pools is about: the pages that belong to one owner. */
struct prmem_usage {
	const struct prmem_owner *owner;
	unsigned long pages;
	unsigned long objects;
	unsigned long sealed;
	unsigned long open;
};

static void prmem_count_page(struct prmem_usage *u, const struct prmem_page *page)
{
	u->pages++;
	if (u->owner->kind == PRMEM_KIND_POOL) {
		const struct prmem_page *head = prmem_page_of(page->head);

		u->open += head && !(head->flags & PRMEM_PAGE_PROTECTED);
	} else if (!page->index) {
		u->objects += hweight_long(prmem_live(page));
		u->sealed += hweight_long(page->sealed);
	}
}

static void prmem_show_owner(struct seq_file *m, const struct prmem_owner *owner)
{
	struct prmem_usage u = { .owner = owner };
	const struct prmem_block *b;
	unsigned int slot, i;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		cond_resched();
		b = &prmem_blocks[slot];
		for (i = b->nr_meta; i < b->nr_pages; i++) {
			if (prmem_pages(b)[i].owner == owner)
				prmem_count_page(&u, prmem_pages(b) + i);
		}
	}

	if (owner->kind == PRMEM_KIND_POOL) {
		const struct pmalloc_pool *pool = container_of(owner, struct pmalloc_pool, owner);

		seq_printf(m, "pool %s mode %s%s pages %lu writable %lu\n", owner->name,
			   pool->mode & PMALLOC_START ? "start_" :
			   pool->mode & PMALLOC_AUTO ? "auto_" : "",
			   pool->mode & PMALLOC_WR ? "wr" : "ro", u.pages, u.open);
	} else {
		const struct wr_cache *c = container_of(owner, struct wr_cache, owner);

		seq_printf(m, "cache %s size %u pages %lu objects %lu sealed %lu\n",
			   owner->name, c->size, u.pages, u.objects, u.sealed);
	}
}

/* Show all caches or all pools: their descriptors are the objects of the cache @of. */
static void prmem_show_owners(struct seq_file *m, const struct wr_cache *of)
{
	const struct prmem_block *b;
	const struct prmem_page *page;
	unsigned int slot, i, bit;
	unsigned long used;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		cond_resched();
		b = &prmem_blocks[slot];
		for (i = b->nr_meta; i < b->nr_pages; i++) {
			page = prmem_pages(b) + i;
			if (page->owner != &of->owner)
				continue;
			used = prmem_live(page);
			for_each_set_bit(bit, &used, of->nr_slots)
				prmem_show_owner(m, pfn_to_kaddr(b->pfn + i) + bit * of->stride);
		}
	}
}

static int prmem_pools_show(struct seq_file *m, void *unused)
{
	const struct wr_cache *c;

	guard(mutex)(&prmem_mutex);

	for (c = __start_wr_caches; c < __end_wr_caches; c++)
		prmem_show_owner(m, &c->owner);
	prmem_show_owners(m, &wr_caches);
	prmem_show_owners(m, &pmalloc_pools);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(prmem_pools);

static int prmem_check_show(struct seq_file *m, void *unused)
{
	struct prmem_check found;
	int err = prmem_check(&found);

	/* With prmem=off. */
	if (err == -ENODEV) {
		seq_puts(m, "off\n");
		return 0;
	}
	if (err)
		return err;

	seq_printf(m, "tables %lu\nleaves %lu\n", found.tables, found.leaves);
	seq_printf(m, "writable %lu\nglobal %lu\n", found.writable, found.global);
	seq_printf(m, "user %lu\nexecutable %lu\n", found.user, found.executable);
	if (found.pgd)
		seq_printf(m, "first_root %#lx\nfirst_address %#lx\n", found.pgd, found.addr);
	seq_printf(m, "violations %lu\n", found.writable + found.global + found.user +
		   found.executable);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(prmem_check);

static int __init prmem_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("prmem", NULL);

	debugfs_create_file("stats", 0444, dir, NULL, &prmem_stats_fops);
	debugfs_create_file("pools", 0400, dir, NULL, &prmem_pools_fops);
	debugfs_create_file("check", 0400, dir, NULL, &prmem_check_fops);

	return 0;
}
late_initcall(prmem_debugfs_init);
