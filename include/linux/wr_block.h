/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Blocks: pieces of the direct map that change their permission as one PMD.
 */
#ifndef _LINUX_WR_BLOCK_H
#define _LINUX_WR_BLOCK_H

#include <linux/atomic.h>
#include <linux/pgtable.h>

/* The order of a whole block: what one PMD maps. */
#define WR_BLOCK_ORDER		(PMD_SHIFT - PAGE_SHIFT)
#define WR_BLOCK_SIZE		PMD_SIZE

/**
 * enum wr_block_access - what the direct map allows
 * @WR_BLOCK_RW: reads and writes, as for any other memory
 * @WR_BLOCK_RO: reads only
 * @WR_BLOCK_NONE: neither reads nor writes; the entries are not present
 */
enum wr_block_access {
	WR_BLOCK_RW,
	WR_BLOCK_RO,
	WR_BLOCK_NONE,
};

/* For debugfs and tests.  All but @bytes are counted from boot on and never decrease. */
struct wr_block_stats {
	atomic_long_t	whole;		/* blocks allocated */
	atomic_long_t	small;		/* smaller pieces allocated */
	atomic_long_t	failed;		/* allocations that got nothing */
	atomic_long_t	freed;		/* of all sizes */
	atomic_long_t	bytes;		/* allocated now */
	atomic_long_t	splits_2m;	/* 2 MiB leaves that became page tables */
	atomic_long_t	splits_1g;	/* 1 GiB leaves that became 2 MiB leaves */
};

extern struct wr_block_stats wr_block_stats;

/**
 * wr_block_nr_pages - how much memory is in blocks and in smaller pieces now
 *
 * For the reports of what memory is used for.
 *
 * Context: Any.
 *
 * Return: number of pages.
 */
static inline unsigned long wr_block_nr_pages(void)
{
	return atomic_long_read(&wr_block_stats.bytes) >> PAGE_SHIFT;
}

void *wr_block_alloc(unsigned int order, enum wr_block_access access);
void wr_block_free(void *block, unsigned int order);

#endif /* _LINUX_WR_BLOCK_H */
