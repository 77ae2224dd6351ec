// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: pieces of the direct map that change their permission as one PMD.
 *
 * A change of the permission of single pages splits the large leaves that they are in,
 * and nothing merges the parts again.  A naturally aligned piece of the size of a PMD
 * changes its permission as a whole, and splits no 2 MiB leaf.
 */
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/set_memory.h>
#include <linux/wr_block.h>

struct wr_block_stats wr_block_stats;

static enum pg_level wr_block_level(const void *block)
{
	enum pg_level level = PG_LEVEL_NONE;
	unsigned int found;

	if (lookup_address((unsigned long)block, &found))
		level = found;

	return level;
}

/*
 * Is the piece aligned, and writable in the direct map as all free memory is?  If not, it
 * is kernel text, constants or another block, and was not free: somebody has forged the
 * lists of free pages, which are in ordinary memory.
 */
static bool wr_block_is_free(const void *block, unsigned int order)
{
	unsigned long addr = (unsigned long)block, end = addr + (PAGE_SIZE << order);

	if (!IS_ALIGNED(addr, PAGE_SIZE << order))
		return false;

	while (addr < end) {
		unsigned int level;
		pte_t *pte = lookup_address(addr, &level);

		if (!pte || !pte_present(*pte) || !(pte_flags(*pte) & _PAGE_RW))
			return false;
		addr = (addr & page_level_mask(level)) + page_level_size(level);
	}

	return true;
}

static int wr_block_set(void *block, unsigned int order, enum wr_block_access access)
{
	enum pg_level before = wr_block_level(block);
	unsigned long addr = (unsigned long)block;
	int nr_pages = 1 << order;
	enum pg_level after;
	int err;

	switch (access) {
	case WR_BLOCK_RO:
		err = set_memory_ro(addr, nr_pages);
		break;
	case WR_BLOCK_NONE:
		err = set_memory_np(addr, nr_pages);
		break;
	default:
		return 0;
	}

	/* Count the splits by what has become of the leaf, also after an error. */
	after = wr_block_level(block);
	if (before == PG_LEVEL_1G && after < PG_LEVEL_1G)
		atomic_long_inc(&wr_block_stats.splits_1g);
	if (before >= PG_LEVEL_2M && after < PG_LEVEL_2M)
		atomic_long_inc(&wr_block_stats.splits_2m);

	return err;
}

/* Make the piece readable and writable, like other memory, whatever permission it has. */
static int wr_block_reset(void *block, unsigned int order)
{
	unsigned long addr = (unsigned long)block;
	int nr_pages = 1 << order;

	return set_memory_p(addr, nr_pages) ?: set_memory_rw(addr, nr_pages);
}

/**
 * wr_block_alloc - allocate a piece of the direct map with its own permission
 * @order: %WR_BLOCK_ORDER for a whole block, or less if there is none
 * @access: what the direct map is to allow
 *
 * The memory is naturally aligned.  A piece of %WR_BLOCK_ORDER splits no 2 MiB
 * leaf; it can split a 1 GiB leaf into 2 MiB leaves.  A smaller piece splits the
 * 2 MiB leaf that it is in, unless that was split before.  Splits are never undone.
 * With %WR_BLOCK_RW nothing is split.
 *
 * The memory is not cleared.  The caller clears it through a mapping of its own: this
 * function could do it only before the permission changes, while everybody can still
 * write to the memory.
 *
 * With debug_pagealloc the direct map has 4 KiB leaves anyway.
 *
 * Context: Process context; sleeps, and interrupts all CPUs to flush their TLBs.
 *
 * Return: the address in the direct map, or NULL.
 */
void *wr_block_alloc(unsigned int order, enum wr_block_access access)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct page *page;
	void *block;

	might_sleep();
	if (order > WR_BLOCK_ORDER)
		return NULL;

	/*
	 * A whole block is worth the work of compaction, since it saves a split
	 * that nobody can ever undo.  It is not worth the life of a process.
	 */
	gfp |= order == WR_BLOCK_ORDER ? __GFP_RETRY_MAYFAIL : __GFP_NORETRY;
	page = alloc_pages(gfp, order);
	if (!page) {
		atomic_long_inc(&wr_block_stats.failed);
		return NULL;
	}

	block = page_address(page);
	if (WARN_ONCE(!wr_block_is_free(block, order), "%p: not free, but allocated\n", block)) {
		atomic_long_inc(&wr_block_stats.failed);
		return NULL;
	}

	if (wr_block_set(block, order, access)) {
		atomic_long_inc(&wr_block_stats.failed);
		/* It may have failed halfway, for lack of memory to split a leaf. */
		if (!WARN_ON_ONCE(wr_block_reset(block, order)))
			__free_pages(page, order);
		return NULL;
	}

	atomic_long_inc(order == WR_BLOCK_ORDER ? &wr_block_stats.whole : &wr_block_stats.small);
	atomic_long_add(PAGE_SIZE << order, &wr_block_stats.bytes);

	return block;
}

/* Has a page of the piece failed?  __free_pages() checks that for single pages only. */
static bool wr_block_is_poisoned(const void *block, unsigned int order)
{
	const struct page *page = virt_to_page(block);
	unsigned int i;

	for (i = 0; i < 1U << order; i++) {
		if (PageHWPoison(page + i))
			return true;
	}

	return false;
}

/**
 * wr_block_free - give a piece back, readable and writable for all
 * @block: from wr_block_alloc(), with no other mapping left; or NULL
 * @order: what it was allocated with
 *
 * The caller has wiped the contents before, through its own mapping, since this function
 * does not.  A piece with a page that has failed is not given back, and keeps its
 * permission.
 *
 * Context: Process context; sleeps, and interrupts all CPUs to flush their TLBs.
 */
void wr_block_free(void *block, unsigned int order)
{
	if (!block)
		return;

	might_sleep();
	if (unlikely(wr_block_is_poisoned(block, order))) {
		pr_warn("wr_block: %lu KiB have memory that has failed, and are not used again\n",
			PAGE_SIZE >> 10 << order);
		return;
	}

	/* Needs no memory: what had to be split was split by wr_block_alloc(). */
	if (WARN_ON_ONCE(wr_block_reset(block, order)))
		return;

	atomic_long_inc(&wr_block_stats.freed);
	atomic_long_sub(PAGE_SIZE << order, &wr_block_stats.bytes);
	__free_pages(virt_to_page(block), order);
}
