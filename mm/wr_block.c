// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: pieces of the direct map that change their permission as one PMD.
 *
 * To protect single pages makes page tables of the large leaves around them, and
 * 6.12 never puts them together again.  A naturally aligned piece of the size
 * of a PMD can change all at once and leaves no trace.
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
 * Free memory is writable.  What is not is the kernel's text, its constants, or
 * another block, and the lists of free pages, which anybody can write to, lie.
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

	/* Counted by what has become of the leaf, not by what should have. */
	after = wr_block_level(block);
	if (before == PG_LEVEL_1G && after < PG_LEVEL_1G)
		atomic_long_inc(&wr_block_stats.splits_1g);
	if (before >= PG_LEVEL_2M && after < PG_LEVEL_2M)
		atomic_long_inc(&wr_block_stats.splits_2m);

	return err;
}

/* To what any other memory has, whatever it was. */
static int wr_block_reset(void *block, unsigned int order)
{
	unsigned long addr = (unsigned long)block;
	int nr_pages = 1 << order;

	return set_memory_p(addr, nr_pages) ?: set_memory_rw(addr, nr_pages);
}

/**
 * wr_block_alloc - allocate a piece of the direct map with its own permission
 * @order: %WR_BLOCK_ORDER, or less where that can't be had
 * @access: what the direct map is to allow
 *
 * The memory is naturally aligned.  A piece of %WR_BLOCK_ORDER splits no 2 MiB
 * leaf; it can split a 1 GiB leaf into 2 MiB leaves.  A smaller one splits the
 * 2 MiB leaf that it is in, if that is still one, for good.
 *
 * The contents are whatever somebody has written there last, so wipe them, through
 * a mapping of one's own.  If this did it, then before the permission changes.
 *
 * With KASAN or debug_pagealloc the direct map may have 4 KiB leaves anyway.
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
		/* Some leaves may have changed before there was no memory to split the next. */
		if (!WARN_ON_ONCE(wr_block_reset(block, order)))
			__free_pages(page, order);
		return NULL;
	}

	atomic_long_inc(order == WR_BLOCK_ORDER ? &wr_block_stats.whole : &wr_block_stats.small);
	atomic_long_add(PAGE_SIZE << order, &wr_block_stats.bytes);

	return block;
}

/* Memory that has failed.  The allocator only looks for that where it gets single pages. */
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
 * The contents are the caller's to wipe, while that is possible.  A piece with memory that
 * has failed is not given back, and stays as it is.
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

	/* Whatever could be split was split by wr_block_alloc(), so no memory is needed. */
	if (WARN_ON_ONCE(wr_block_reset(block, order)))
		return;

	atomic_long_inc(&wr_block_stats.freed);
	atomic_long_sub(PAGE_SIZE << order, &wr_block_stats.bytes);
	__free_pages(virt_to_page(block), order);
}
