// SPDX-License-Identifier: GPL-2.0
/*
 * As long as this is loaded, there is no free piece of memory of 2 MiB: it takes
 * all that there are and gives them back but for one page in every so many, which
 * cannot be moved. The parameter says in how many; a power of two.
 */
#define pr_fmt(fmt) "fragment: " fmt

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>

#define ORDER	(PMD_SHIFT - PAGE_SHIFT)

static unsigned int every = 64;
module_param(every, uint, 0400);

static LIST_HEAD(kept);

/* Returns how many there were. */
static unsigned int take_all(void)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	unsigned int i, pieces = 0;
	struct page *page;
	LIST_HEAD(taken);

	/* All of them first, or the next one might be made of what was just given back. */
	while ((page = alloc_pages(gfp, ORDER))) {
		list_add(&page->lru, &taken);
		pieces++;
	}

	while (!list_empty(&taken)) {
		page = list_first_entry(&taken, struct page, lru);
		list_del(&page->lru);
		split_page(page, ORDER);
		for (i = 0; i < 1 << ORDER; i++) {
			if (i % every)
				__free_page(page + i);
			else
				list_add(&page[i].lru, &kept);
		}
		cond_resched();
	}

	return pieces;
}

static int __init fragment_init(void)
{
	unsigned int pieces, sum = 0;

	/* Compaction finds more, as long as there is something to be moved away. */
	do {
		pieces = take_all();
		sum += pieces;
	} while (pieces);
	pr_info("%u pieces of 2 MiB have one page in %u taken\n", sum, every);

	return 0;
}

static void __exit fragment_exit(void)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &kept, lru)
		__free_page(page);
}

module_init(fragment_init);
module_exit(fragment_exit);
MODULE_DESCRIPTION("Leaves no free piece of memory of 2 MiB");
MODULE_LICENSE("GPL");
