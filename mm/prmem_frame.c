// SPDX-License-Identifier: GPL-2.0
/*
 * Which page frames are protected, and the refusal to map them or to free them.
 *
 * The kernel maps pages for user space, or frees them, as pointers in ordinary memory
 * tell it.  These can be forged, and so can struct page.  So whoever maps or frees pages
 * asks here.  The answer comes from protected memory: a hash table of blocks, by the
 * 2 MiB of physical memory that they are in.  Blocks in the same bucket are chained.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/init.h>
#include <linux/prmem_frame.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include <asm/sections.h>

#include "prmem.h"

/* The next block of the same bucket, or 0. */
static u16 prmem_frame_next[PRMEM_NR_SLOTS] __wr_after_init_private;

/* Slot 0 is the section of variables and never a block, so 0 ends a chain. */
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

/* By page frame: phys_base, which translates addresses of the image, can be forged. */
static bool prmem_image_has(unsigned long pfn, unsigned long nr)
{
	unsigned long image = prmem_frames.image;

	if (!prmem_overlap(pfn, nr, image, prmem_frames.nr_image))
		return false;

	/* What is between text and .rodata has been freed. */
	return prmem_overlap(pfn, nr, image, PFN_UP(_etext - _text)) ||
		prmem_overlap(pfn, nr, image + PFN_DOWN(__start_rodata - _text),
			      PFN_UP(END_RODATA - __start_rodata));
}

static bool prmem_chain_has(const u16 *bucket, unsigned long pfn, unsigned long nr)
{
	unsigned int slot, i;

	/* A slot that is found here gets another block only after a grace period. */
	guard(rcu)();

	/* Pairs with cmpxchg() in prmem_frames_add(). */
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
 * All blocks are protected, unless prmem=off is given.  Of the kernel image, the text,
 * .rodata and the section of variables are, once they are read-only.
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
	/* The range wraps around, so it is refused in any case. */
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

/* prmem_refuse() counts and logs; this adds a line with the task and the page frames. */
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

/* The slow path of prmem_refuse_map(). */
noinline bool __prmem_refuse_map(unsigned long pfn, unsigned long nr)
{
	return unlikely(prmem_frames_protected(pfn, nr)) &&
		prmem_frames_refuse(PRMEM_MAPPED, pfn, nr, _RET_IP_);
}

/* The slow path of prmem_refuse_free(). */
noinline bool __prmem_refuse_free(unsigned long pfn, unsigned long nr)
{
	return unlikely(prmem_frames_protected(pfn, nr)) &&
		prmem_frames_refuse(PRMEM_LET_GO, pfn, nr, _RET_IP_);
}

/* The slow path of prmem_refuse_unmap(). */
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

	/* Others add blocks at the head of the chain, so that takes a cmpxchg(). */
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
 * prmem_frames_image - the read-only part of the image is protected from now on
 *
 * Called by mark_rodata_ro(), once text, .rodata and the section of variables are
 * read-only.
 *
 * Context: Process context.
 */
void prmem_frames_image(void)
{
	unsigned long image = PHYS_PFN(__pa_symbol(_text));
	struct prmem_window w;

	/* If prmem_init() has failed, there is no window to write to prmem_frames. */
	if (prmem_open(&w))
		return;
	prmem_set(prmem_frames.image, image);
	prmem_set(prmem_frames.nr_image, PFN_UP(END_RODATA - _text));
	prmem_close(&w);
}
