/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is this page frame protected memory?  For those who map what a pointer in ordinary
 * memory says, and for the page allocator.
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
 * @nr_image: how many there are to the end of .rodata; 0 until that is read-only
 * @slot: by units of 2 MiB: the first block that is there, or 0
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

/* Most page frames are neither in the image nor where a block is: a short answer. */
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
 * prmem_refuse_unmap - must the kernel go on mapping this page frame there?
 * @pte: what it has there
 * @addr: the address
 *
 * For vunmap(): what a pool has by an address of vmalloc would be replaced by whatever is
 * mapped there next.  If the answer is yes, it has been counted and reported.
 *
 * Context: Any but NMI.
 *
 * Return: true if @addr is where a pool has the page.
 */
static __always_inline bool prmem_refuse_unmap(pte_t pte, unsigned long addr)
{
	return pte_present(pte) && prmem_frame_near(pte_pfn(pte)) &&
		__prmem_refuse_unmap(pte_pfn(pte), addr);
}

#else

/* No functions, so that nothing is left of a question before the compiler has seen it. */
#define prmem_refuse_map(pfn, nr)		(false && (pfn) && (nr))
#define prmem_refuse_prot(prot, pfn, nr)	(false && pgprot_val(prot) && (pfn) && (nr))
#define prmem_refuse_free(page, order)		(false && (page) && (order))
#define prmem_refuse_unmap(pte, addr)		(false && pte_val(pte) && (addr))

static inline void prmem_frames_image(void)
{
}

#endif

#endif /* _LINUX_PRMEM_FRAME_H */
