// SPDX-License-Identifier: GPL-2.0
/*
 * Which page frames are protected, and the refusal to map them or to free them.
 *
 * Services of the kernel map pages for user space, or free them, because a pointer
 * says so.  That is in ordinary memory.  Nor does struct page tell the truth.  So they
 * ask here, and what answers is protected itself: a hash table of blocks, by the 2 MiB
 * of physical memory that they are in.  Blocks in the same bucket are chained.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/init.h>
#include <linux/prmem_frame.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include <asm/sections.h>

#include "prmem.h"

struct prmem_frames prmem_frames __wr_after_init_private;

/* The next block of the same bucket, or 0. */
static u16 prmem_frame_next[PRMEM_NR_SLOTS] __wr_after_init_private;

/* The slot that is nobody's block is the end of a chain. */
static_assert(PRMEM_STATIC_SLOT == 0 && PRMEM_NR_SLOTS <= U16_MAX);
static_assert(PRMEM_FRAME_SHIFT == WR_BLOCK_ORDER);

static u16 *prmem_bucket(unsigned long pfn)
{
	return &prmem_frames.slot[(pfn >> PRMEM_FRAME_SHIFT) % PRMEM_FRAME_BUCKETS];
}

static bool prmem_overlap(unsigned long pfn, unsigned long nr, unsigned long first,
			  unsigned long count)
{
	return count && pfn < first + count && first < pfn + nr;
}

/* No addresses: what turns one of the image into a page frame is in ordinary memory. */
static bool prmem_image_has(unsigned long pfn, unsigned long nr)
{
	unsigned long image = prmem_frames.image;

	if (!prmem_overlap(pfn, nr, image, prmem_frames.nr_image))
		return false;

	/* What is between them is free. */
	return prmem_overlap(pfn, nr, image, PFN_UP(_etext - _text)) ||
		prmem_overlap(pfn, nr, image + PFN_DOWN(__start_rodata - _text),
			      PFN_UP(END_RODATA - __start_rodata));
}

static bool prmem_chain_has(const u16 *bucket, unsigned long pfn, unsigned long nr)
{
	unsigned int slot, i;

	/* A slot is not used again before those who have found it are done. */
	guard(rcu)();

	/* Pairs with smp_store_release() and cmpxchg() in prmem_frames_add(). */
	slot = smp_load_acquire(bucket);
	for (i = 0; slot && i < PRMEM_NR_SLOTS; i++) {
		const struct prmem_block *b = &prmem_blocks[slot];

		if (prmem_overlap(pfn, nr, b->pfn, READ_ONCE(b->nr_pages)))
			return true;
		slot = READ_ONCE(prmem_frame_next[slot]);
	}

	return false;
}

/**
 * prmem_frames_protected - is any of these page frames protected?
 * @pfn: the first one; any number
 * @nr: how many
 *
 * Protected are blocks, but with prmem=off; and of the image, once .rodata is
 * read-only, the text, constants, and protected variables.
 *
 * Context: Any but NMI.
 *
 * Return: true if one is.
 */
bool prmem_frames_protected(unsigned long pfn, unsigned long nr)
{
	unsigned long unit, last = pfn + nr - 1;
	const u16 *bucket;

	if (!nr)
		return false;
	/* There is no such memory, so nobody has any business with it. */
	if (last < pfn)
		return true;
	if (prmem_image_has(pfn, nr))
		return true;

	for (unit = pfn >> PRMEM_FRAME_SHIFT; unit <= last >> PRMEM_FRAME_SHIFT; unit++) {
		bucket = prmem_bucket(unit << PRMEM_FRAME_SHIFT);
		if (READ_ONCE(*bucket) && prmem_chain_has(bucket, pfn, nr))
			return true;
	}

	return false;
}

/* The first of each kind is logged by prmem_refuse(); this tells who it is, each time. */
static noinline __cold bool prmem_frames_refuse(enum prmem_refusal why, unsigned long pfn,
						unsigned long nr, unsigned long caller)
{
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 10);

	prmem_refuse(why, pfn_to_kaddr(pfn), caller);
	if (__ratelimit(&limit))
		printk_deferred(pr_fmt("%s[%d]: page frames %#lx+%lu not %s, caller is %pS\n"),
				current->comm, task_pid_nr(current), pfn, nr,
				why == PRMEM_LET_GO ? "freed" : "mapped", (void *)caller);

	return true;
}

/* For prmem_refuse_map(), when the short answer is not enough. */
noinline bool __prmem_refuse_map(unsigned long pfn, unsigned long nr)
{
	return unlikely(prmem_frames_protected(pfn, nr)) &&
		prmem_frames_refuse(PRMEM_MAPPED, pfn, nr, _RET_IP_);
}

/* For prmem_refuse_free(), when the short answer is not enough. */
noinline bool __prmem_refuse_free(unsigned long pfn, unsigned long nr)
{
	return unlikely(prmem_frames_protected(pfn, nr)) &&
		prmem_frames_refuse(PRMEM_LET_GO, pfn, nr, _RET_IP_);
}

/* For prmem_refuse_unmap(), when the short answer is not enough. */
noinline bool __prmem_refuse_unmap(unsigned long pfn, unsigned long addr)
{
	const struct prmem_block *b;
	unsigned long index;
	unsigned int slot;

	if (!prmem_frames_protected(pfn, 1))
		return false;

	guard(rcu)();

	slot = prmem_slot_of(pfn);
	if (slot == PRMEM_NR_SLOTS)
		return false;
	b = &prmem_blocks[slot];
	index = pfn - b->pfn;

	return index >= b->nr_meta && prmem_is_view(prmem_pages(b) + index, addr) &&
		prmem_frames_refuse(PRMEM_LET_GO, pfn, 1, _RET_IP_);
}

/**
 * prmem_frames_add - a block is protected from now on
 * @slot: its slot
 *
 * Context: A window is open.
 */
void prmem_frames_add(unsigned int slot)
{
	u16 *bucket = prmem_bucket(prmem_blocks[slot].pfn), next;

	if (prmem_unprotected)
		return;

	/* Others may add or remove one of the same bucket. */
	do {
		next = READ_ONCE(*bucket);
		prmem_set(prmem_frame_next[slot], next);
		/* Pairs with smp_load_acquire() in prmem_chain_has(). */
	} while (cmpxchg((u16 *)prmem_rw(bucket), next, slot) != next);
}

/**
 * prmem_frames_remove - a block is not protected any more
 * @slot: its slot, which is not used for another one before a grace period is over
 *
 * Context: A window is open, and prmem_mutex is held: others may add blocks, but not
 * remove them.
 */
void prmem_frames_remove(unsigned int slot)
{
	u16 *bucket = prmem_bucket(prmem_blocks[slot].pfn), *link = bucket;
	u16 next = prmem_frame_next[slot];
	unsigned int i;

	/* The first one of a chain is the only one that others change. */
	if (cmpxchg((u16 *)prmem_rw(bucket), slot, next) == slot)
		return;

	for (i = 0; *link && i < PRMEM_NR_SLOTS; i++) {
		if (*link == slot) {
			prmem_set(*link, next);
			return;
		}
		link = &prmem_frame_next[*link];
	}
}

/**
 * prmem_frames_image - what is read-only of the image is protected from now on
 *
 * For mark_rodata_ro(), when it is.  Nothing of it is mapped for anybody, nor freed,
 * before that.
 *
 * Context: Process context.
 */
void prmem_frames_image(void)
{
	unsigned long image = PHYS_PFN(__pa_symbol(_text));
	struct prmem_window w;

	/* Without a window nothing is protected but what never changes, see prmem_init(). */
	if (prmem_open(&w))
		return;
	prmem_set(prmem_frames.image, image);
	prmem_set(prmem_frames.nr_image, PFN_UP(END_RODATA - _text));
	prmem_close(&w);
}
