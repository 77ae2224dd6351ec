/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is this page frame protected memory?  For those who map or unmap pages that a pointer
 * in ordinary memory leads to, and for the page allocator.
 */
#ifndef _LINUX_PRMEM_FRAME_H
#define _LINUX_PRMEM_FRAME_H

#include <linux/mm.h>
#include <linux/types.h>

#ifdef CONFIG_PRMEM

/* Buckets for units of 2 MiB, by their numbers. */
#define PRMEM_FRAME_BUCKETS	2048
#define PRMEM_FRAME_SHIFT	(PMD_SHIFT - PAGE_SHIFT)

/**
 * struct prmem_frames - what is protected; protected itself
 * @image: first page frame of the kernel image
 * @nr_image: how many there are to the end of the section of variables, which follows
 *	.rodata; 0 until both are read-only
 * @slot: by bucket: the slot of its first block, or 0
 */
struct prmem_frames {
	unsigned long image;
	unsigned long nr_image;
	u16 slot[PRMEM_FRAME_BUCKETS];
};

extern struct prmem_frames prmem_frames;

bool __prmem_refuse_map(unsigned long pfn, unsigned long nr);
bool __prmem_refuse_free(unsigned long pfn, unsigned long nr);
bool __prmem_refuse_unmap(unsigned long pfn, unsigned long addr);
void prmem_frames_image(void);

/* The fast path: most page frames are not in the image, nor in a bucket with blocks. */
static __always_inline bool prmem_frame_near(unsigned long pfn)
{
	return unlikely(pfn - prmem_frames.image < prmem_frames.nr_image ||
			READ_ONCE(prmem_frames.slot[(pfn >> PRMEM_FRAME_SHIFT) %
						    PRMEM_FRAME_BUCKETS]));
}

/**
 * prmem_refuse_map - must these page frames not be mapped writable?
 * @pfn: the first one; any number
 * @nr: how many
 *
 * For those who make a mapping that is writable, or can become writable.  If the
 * answer is yes, it has been counted and reported.
 *
 * Context: Any but NMI.
 *
 * Return: true if one of them is protected.
 */
static __always_inline bool prmem_refuse_map(unsigned long pfn, unsigned long nr)
{
	return (nr != 1 || prmem_frame_near(pfn)) && __prmem_refuse_map(pfn, nr);
}

/**
 * prmem_refuse_prot - must these page frames not be mapped in this way?
 * @prot: in which way
 * @pfn: the first one; any number
 * @nr: how many
 *
 * Like prmem_refuse_map(), for mappings of the kernel, which may be read-only.
 *
 * Context: Any but NMI.
 *
 * Return: true if @prot is writable, and one of them is protected.
 */
static __always_inline bool prmem_refuse_prot(pgprot_t prot, unsigned long pfn, unsigned long nr)
{
	return pgprot_val(prot) & _PAGE_RW && prmem_refuse_map(pfn, nr);
}

/**
 * prmem_refuse_free - must these pages not become free?
 * @page: the first one
 * @order: how many there are
 *
 * For the page allocator.  If the answer is yes, it has been counted and reported.
 *
 * Context: Any but NMI.
 *
 * Return: true if one of them is protected.
 */
static __always_inline bool prmem_refuse_free(const struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);

	return (order || prmem_frame_near(pfn)) && __prmem_refuse_free(pfn, 1UL << order);
}

/**
 * prmem_refuse_unmap - must this address of vmalloc space stay mapped?
 * @pte: the entry of the page table
 * @addr: the address
 *
 * For vunmap(): if the view of a pool was unmapped, whatever is mapped at this address
 * next would pass for the pool's.  If the answer is yes, it has been counted and
 * reported.
 *
 * Context: Any but NMI.
 *
 * Return: true if @pte maps a page of a pool, and @addr is the address of that page in
 * the view of the pool.
 */
static __always_inline bool prmem_refuse_unmap(pte_t pte, unsigned long addr)
{
	return pte_present(pte) && prmem_frame_near(pte_pfn(pte)) &&
		__prmem_refuse_unmap(pte_pfn(pte), addr);
}

#else

/* Macros, so that the arguments are not evaluated and the callers stay as they were. */
#define prmem_refuse_map(pfn, nr)		(false && (pfn) && (nr))
#define prmem_refuse_prot(prot, pfn, nr)	(false && pgprot_val(prot) && (pfn) && (nr))
#define prmem_refuse_free(page, order)		(false && (page) && (order))
#define prmem_refuse_unmap(pte, addr)		(false && pte_val(pte) && (addr))

static inline void prmem_frames_image(void)
{
}

#endif

#endif /* _LINUX_PRMEM_FRAME_H */
