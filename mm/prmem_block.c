// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of prmem: blocks, the metadata of their pages, and the slots of the
 * window that lead to them.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/bitmap.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kmemleak.h>
#include <linux/log2.h>
#include <linux/pgalloc.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/set_memory.h>
#include <linux/workqueue.h>

#include <trace/events/prmem.h>

#include "prmem.h"

const struct prmem_owner prmem_meta = { .name = "metadata", .kind = PRMEM_KIND_META };

/*
 * Slots and pages that prmem_claim() looks at, with interrupts off, before it stops.  It
 * finishes the block at which it gets there.
 */
#define PRMEM_MAX_LOOKS		1024

/* Blocks to give back with the same two grace periods. */
#define PRMEM_MAX_GONE		64

static pmd_t *prmem_tables[PRMEM_NR_TABLES] __ro_after_init;

/* Slots of blocks that have free pages. */
static DECLARE_BITMAP(prmem_slots_free, PRMEM_NR_SLOTS) __wr_after_init_private;

/* Hints, which may be wrong: where to look first for free pages, how many there are. */
static unsigned int prmem_last_slot;
static atomic_t prmem_nr_free;

/* Claim @nr pages from @first on, with the window open: all or none. */
static bool prmem_claim_run(struct prmem_block *b, unsigned int first, unsigned int nr,
			    const struct prmem_owner *owner)
{
	/* prmem_rw() would not find a block that prmem_hide_block() has just hidden. */
	struct prmem_page *pages = prmem_alias(b - prmem_blocks, 0);
	u32 head = PRMEM_ID(b - prmem_blocks, first);
	unsigned int i;

	/* Another CPU may want the same page: cmpxchg() decides who gets it. */
	for (i = 0; i < nr; i++) {
		if (cmpxchg(&pages[first + i].owner, NULL, owner)) {
			while (i--)
				WRITE_ONCE(pages[first + i].owner, NULL);
			return false;
		}
	}

	for (i = 0; i < nr; i++) {
		pages[first + i].index = i;
		/* No barrier: a page without a head or a used slot is refused. */
		WRITE_ONCE(pages[first + i].head, head);
	}
	WRITE_ONCE(pages[first].nr, nr);
	if (!atomic_sub_return(nr, (atomic_t *)prmem_rw(&b->free))) {
		clear_bit(b - prmem_blocks, prmem_rw(prmem_slots_free));
		/*
		 * Pairs with smp_mb__after_atomic() in prmem_give_back(): either this CPU
		 * sees the page given back, or the other one sees the bit cleared.
		 */
		smp_mb__after_atomic();
		if (atomic_read(&b->free))
			set_bit(b - prmem_blocks, prmem_rw(prmem_slots_free));
	}
	atomic_sub(nr, &prmem_nr_free);

	return true;
}

static u32 prmem_claim_in(struct prmem_block *b, const struct prmem_owner *owner,
			  unsigned int nr)
{
	const struct prmem_page *pages = prmem_pages(b);
	unsigned int i, run = 0;

	for (i = b->nr_meta; i < b->nr_pages; i++) {
		run = READ_ONCE(pages[i].owner) ? 0 : run + 1;
		if (run < nr)
			continue;
		if (prmem_claim_run(b, i + 1 - nr, nr, owner))
			return PRMEM_ID(b - prmem_blocks, i + 1 - nr);
		run = 0;
	}

	return 0;
}

/**
 * prmem_claim - take free pages
 * @owner: whom they are for
 * @nr: how many, one after the other in the direct map
 *
 * The pages are zero.  Their metadata has owner, head and index set, that of the first
 * page also nr.
 *
 * One call looks at a bounded number of blocks, and the next call goes on from there.  A
 * single page is found in the first block that has a free one.  A caller that needs
 * several pages can close the window and try again, up to %PRMEM_CLAIM_TRIES times.
 *
 * Context: A window is open.
 *
 * Return: number of the first page, or 0 if there are none.
 */
u32 prmem_claim(const struct prmem_owner *owner, unsigned int nr)
{
	unsigned int slot, last = READ_ONCE(prmem_last_slot) % PRMEM_NR_SLOTS;
	int looks = PRMEM_MAX_LOOKS;
	struct prmem_block *b;
	u32 head = 0;

	if (!nr)
		return 0;

	for_each_set_bit_wrap(slot, prmem_slots_free, PRMEM_NR_SLOTS, last) {
		/* The next call begins here, not where this one has found nothing. */
		WRITE_ONCE(prmem_last_slot, slot);
		if (looks <= 0)
			break;
		looks--;
		b = &prmem_blocks[slot];
		if (!READ_ONCE(b->nr_pages) || atomic_read(&b->free) < (int)nr)
			continue;
		head = prmem_claim_in(b, owner, nr);
		if (head)
			break;
		looks -= b->nr_pages;
	}

	return head;
}

/**
 * prmem_give_back - wipe and free a page
 * @page: its metadata; nobody uses the page any more
 * @owner: whose it is
 *
 * Context: Any but NMI.  In a batch, this is part of its window.
 */
void prmem_give_back(struct prmem_page *page, const struct prmem_owner *owner)
{
	unsigned long pfn = PHYS_PFN(__pa(page));
	struct prmem_block *b;
	struct prmem_window w;
	struct prmem_page *rw;
	unsigned long index;
	unsigned int slot;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return;

	slot = prmem_slot_of(pfn);
	if (WARN_ON_ONCE(slot == PRMEM_NR_SLOTS))
		goto close;
	b = &prmem_blocks[slot];
	index = page - prmem_pages(b);
	if (WARN_ON_ONCE(index < b->nr_meta || index >= b->nr_pages || page->owner != owner))
		goto close;

	clear_page(prmem_rw((void *)prmem_pages(b) + index * PAGE_SIZE));
	rw = prmem_rw(page);
	memset((void *)rw + sizeof(rw->owner), 0, sizeof(*rw) - sizeof(rw->owner));
	atomic_inc((atomic_t *)prmem_rw(&b->free));
	/* Pairs with smp_mb__after_atomic() in prmem_claim_run(). */
	smp_mb__after_atomic();
	if (!test_bit(slot, prmem_slots_free))
		set_bit(slot, prmem_rw(prmem_slots_free));
	/* Pairs with cmpxchg() in prmem_claim_run(). */
	smp_store_release(&rw->owner, NULL);
	atomic_inc(&prmem_nr_free);
close:
	prmem_close(&w);
}

static pmd_t *prmem_pmd(unsigned int slot)
{
	return prmem_tables[slot / PTRS_PER_PMD] + slot % PTRS_PER_PMD;
}

/* Without the OOM killer: if there is no table, there is just less protected memory. */
static pte_t *prmem_alloc_table(void)
{
	struct ptdesc *pt = pagetable_alloc(GFP_PGTABLE_KERNEL | __GFP_NORETRY | __GFP_NOWARN, 0);

	return pt ? ptdesc_address(pt) : NULL;
}

/* Map a block in a slot by one large leaf, or a smaller piece by a page table. */
static int prmem_map_slot(unsigned int slot, unsigned long pfn, unsigned int nr)
{
	unsigned int i;
	pte_t *pte;

	/* A guest of Xen, for one, has no large leaves. */
	if (nr == PTRS_PER_PTE && IS_ALIGNED(pfn, nr) && boot_cpu_has(X86_FEATURE_PSE)) {
		set_pmd(prmem_pmd(slot), pmd_mkhuge(pfn_pmd(pfn, TEMP_MM_PROT_RW)));
		return 0;
	}

	pte = prmem_alloc_table();
	if (!pte)
		return -ENOMEM;

	for (i = 0; i < nr; i++)
		set_pte(pte + i, pfn_pte(pfn + i, TEMP_MM_PROT_RW));

	/* The table is filled before it can be walked; both are ordered on x86. */
	pmd_populate_kernel(&init_mm, prmem_pmd(slot), pte);

	return 0;
}

/* A slot that is to lead nowhere, and what it has led to. */
struct prmem_gone {
	unsigned int slot;
	unsigned int nr;	/* pages */
	pmd_t pmd;
};

static void prmem_unmap_slots(struct prmem_gone *gone, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		gone[i].pmd = *prmem_pmd(gone[i].slot);
		pmd_clear(prmem_pmd(gone[i].slot));
	}

	/*
	 * A CPU that has the window open may still use the old entries.  Its interrupts are
	 * off, so after a grace period it has closed the window, and a CPU that opens it
	 * flushes what its TLB has of it.
	 */
	synchronize_rcu();

	for (i = 0; i < n; i++) {
		pmd_t pmd = gone[i].pmd;

		if (pmd_leaf(pmd))
			continue;
		paravirt_release_pte(pmd_pfn(pmd));
		pte_free_kernel(&init_mm, (pte_t *)pmd_page_vaddr(pmd));
	}
}

/**
 * prmem_replace - change what a slot or a descriptor is, if nobody else has
 * @p: a word of metadata that says so
 * @from: what it is
 * @to: what it is to be
 *
 * The callers hold a mutex, but that is ordinary memory.  If it was forged, two blocks
 * could get the same slot, and the metadata of one would lead to writes to the other.
 *
 * Return: true; false if it was something else than @from.
 */
bool prmem_replace(const u32 *p, u32 from, u32 to)
{
	struct prmem_window w;
	bool done;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return false;
	done = cmpxchg((u32 *)prmem_rw(p), from, to) == from;
	prmem_close(&w);

	return done;
}

static unsigned int prmem_free_slot(void)
{
	unsigned int i, slot, start = get_random_u32_below(PRMEM_NR_SLOTS);

	for (i = 0; i < PRMEM_NR_SLOTS; i++) {
		slot = (start + i) % PRMEM_NR_SLOTS;
		if (slot != PRMEM_STATIC_SLOT && !prmem_blocks[slot].taken &&
		    prmem_replace(&prmem_blocks[slot].taken, 0, 1))
			return slot;
	}

	return PRMEM_NR_SLOTS;
}

/*
 * Clear a new block through the window, and let prmem_find() and prmem_claim() find it.
 * The direct map is read-only by now, so nothing is left of what anybody could write to
 * the block before, neither in its pages nor in their metadata.
 */
static int prmem_fill_block(unsigned int slot, unsigned long pfn, unsigned int nr,
			    unsigned int nr_meta)
{
	struct prmem_page *pages = prmem_alias(slot, 0);
	struct prmem_block *rw;
	struct prmem_window w;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (WARN_ON_ONCE(prmem_open(&w)))
			return -EPERM;
		clear_page(prmem_alias(slot, (unsigned long)i << PAGE_SHIFT));
		prmem_close(&w);
		cond_resched();
	}

	if (WARN_ON_ONCE(prmem_open(&w)))
		return -EPERM;
	for (i = 0; i < nr_meta; i++)
		pages[i].owner = &prmem_meta;
	rw = prmem_rw(&prmem_blocks[slot]);
	rw->pfn = pfn;
	rw->nr_meta = nr_meta;
	atomic_set(&rw->free, nr - nr_meta);
	atomic_add(nr - nr_meta, &prmem_nr_free);
	/* As soon as nr_pages is set, prmem_hide_block() may take the block away again. */
	prmem_frames_add(slot);
	/* Pairs with smp_load_acquire() in prmem_block_has(). */
	smp_store_release(&rw->nr_pages, nr);
	set_bit(slot, prmem_rw(prmem_slots_free));
	prmem_close(&w);

	return 0;
}

static int prmem_add_block(unsigned int order)
{
	unsigned int i, nr = 1U << order, nr_meta = PFN_UP(nr * sizeof(struct prmem_page));
	unsigned int slot = prmem_free_slot();
	struct prmem_gone gone = { .slot = slot };
	int err = -ENOMEM;
	struct page *page;
	void *block;

	if (slot == PRMEM_NR_SLOTS) {
		pr_warn_once("there is room for no more blocks, whatever memory is free\n");
		return -ENOSPC;
	}

	block = wr_block_alloc(order, prmem_unprotected ? WR_BLOCK_RW : WR_BLOCK_RO);
	if (!block)
		goto fail;

	page = virt_to_page(block);
	err = prmem_map_slot(slot, page_to_pfn(page), nr);
	if (err)
		goto free;

	for (i = 0; i < nr; i++)
		set_page_private(page + i, slot);
	/*
	 * kmemleak has to scan objects, which may have the only pointer to something.
	 * It is told before prmem_fill_block(), after which others may free the block.
	 */
	kmemleak_alloc(block, PAGE_SIZE << order, 0, GFP_KERNEL);
	err = prmem_fill_block(slot, page_to_pfn(page), nr, nr_meta);
	if (err)
		goto forget;

	/* prmem_claim() begins here: the caller has not found enough in other blocks. */
	WRITE_ONCE(prmem_last_slot, slot);
	trace_prmem_protect(block, nr, true);

	return 0;

forget:
	kmemleak_free(block);
	prmem_unmap_slots(&gone, 1);
free:
	wr_block_free(block, order);
fail:
	prmem_replace(&prmem_blocks[slot].taken, 1, 0);
	return err;
}

/*
 * May a piece below %PRMEM_MIN_ORDER be added?  It takes a slot as a block does, and
 * perhaps for ever, so this is only done while few slots are taken.
 */
static bool prmem_last_resort(void)
{
	unsigned int slot, taken = 0;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++)
		taken += !!prmem_blocks[slot].taken;

	return taken < PRMEM_LAST_SLOTS;
}

/* Add a piece of @order, or a smaller one.  Returns the order of that, or an error. */
static int prmem_grow_by(unsigned int nr, int order)
{
	int err;

	lockdep_assert_held(&prmem_grow_mutex);

	for (; order >= PRMEM_LAST_ORDER; order--) {
		if (order < PRMEM_MIN_ORDER && !prmem_last_resort())
			break;
		if ((1U << order) - PFN_UP((1U << order) * sizeof(struct prmem_page)) < nr)
			break;
		err = prmem_add_block(order);
		if (err != -ENOMEM)
			return err ?: order;
	}

	return -ENOMEM;
}

/**
 * prmem_grow - get more memory
 * @nr: pages that are wanted one after the other
 *
 * A block, or the largest piece that can be had.
 *
 * Context: Process context, with prmem_grow_mutex held; sleeps.
 *
 * Return: 0 or a negative error.
 */
int prmem_grow(unsigned int nr)
{
	return min(prmem_grow_by(nr, WR_BLOCK_ORDER), 0);
}

/*
 * Claim all pages of a block, of which none has an owner, so that nobody finds the block
 * any more.  Returns false if somebody else was faster to claim a page.
 */
static bool prmem_hide_block(struct prmem_block *b)
{
	struct prmem_window w;
	struct prmem_block *rw;
	bool claimed;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return false;
	claimed = prmem_claim_run(b, b->nr_meta, b->nr_pages - b->nr_meta, &prmem_meta);
	rw = prmem_rw(b);
	if (claimed) {
		WRITE_ONCE(rw->nr_pages, 0);
		prmem_frames_remove(b - prmem_blocks);
	}
	prmem_close(&w);

	return claimed;
}

/* Hide up to @max free blocks that are not needed for the reserve. */
static unsigned int prmem_hide_blocks(struct prmem_gone *gone, unsigned int max)
{
	unsigned int slot, nr, n = 0;
	struct prmem_block *b;

	for (slot = 0; slot < PRMEM_NR_SLOTS && n < max; slot++) {
		b = &prmem_blocks[slot];
		nr = b->nr_pages;
		if (!nr || atomic_read(&b->free) != nr - b->nr_meta)
			continue;
		if (atomic_read(&prmem_nr_free) - atomic_read(&b->free) >= PRMEM_RESERVE_PAGES &&
		    prmem_hide_block(b))
			gone[n++] = (struct prmem_gone){ .slot = slot, .nr = nr };
	}

	return n;
}

static void prmem_remove_block(const struct prmem_gone *gone)
{
	void *block = pfn_to_kaddr(prmem_blocks[gone->slot].pfn);
	unsigned int i;

	for (i = 0; i < gone->nr; i++)
		set_page_private(virt_to_page(block) + i, 0);
	/* Only now another block may get the slot. */
	prmem_replace(&prmem_blocks[gone->slot].taken, 1, 0);
	kmemleak_free(block);
	wr_block_free(block, ilog2(gone->nr));
	trace_prmem_protect(block, gone->nr, false);
}

/**
 * prmem_shrink - give blocks back that nobody uses, but for a reserve
 *
 * Many of them at a time, because each time takes two grace periods.
 *
 * Context: Process context, with prmem_mutex held; sleeps.
 */
void prmem_shrink(void)
{
	struct prmem_gone gone[PRMEM_MAX_GONE];
	unsigned int i, n;

	lockdep_assert_held(&prmem_mutex);

	do {
		n = prmem_hide_blocks(gone, ARRAY_SIZE(gone));
		if (!n)
			return;

		/*
		 * Wait for those who have found one of the blocks, by an address or while
		 * looking for pages, with interrupts off or under rcu_read_lock().
		 */
		synchronize_rcu();
		prmem_unmap_slots(gone, n);
		for (i = 0; i < n; i++)
			prmem_remove_block(&gone[i]);
	} while (n == ARRAY_SIZE(gone));
}

/**
 * prmem_may_grow - may this caller sleep for more memory?
 * @gfp: what the caller says
 *
 * The holder of prmem_grow_mutex may wait for memory, so to wait for the mutex is to
 * wait for memory.  Those who may not wait for file systems or devices can't do it, nor
 * those for whom others wait to get memory: they have PF_MEMALLOC.
 *
 * Return: true if so.
 */
bool prmem_may_grow(gfp_t gfp)
{
	return (current_gfp_context(gfp) & GFP_KERNEL) == GFP_KERNEL &&
		!(current->flags & PF_MEMALLOC);
}

/*
 * When prmem_refill() may start its work again.  If there is no free block, smaller
 * pieces are taken.  To look for a block means compaction, so not every allocation is to
 * begin that anew.
 */
static unsigned long prmem_next_refill = INITIAL_JIFFIES;	/* a hint */

static void prmem_refill_work(struct work_struct *work)
{
	int order = WR_BLOCK_ORDER, got = 0;

	guard(mutex)(&prmem_grow_mutex);

	while (order >= 0 && got < PRMEM_RESERVE_PAGES &&
	       atomic_read(&prmem_nr_free) < PRMEM_RESERVE_PAGES) {
		order = prmem_grow_by(1, order);
		if (order >= 0)
			got += 1 << order;
	}
	if (order != WR_BLOCK_ORDER)
		WRITE_ONCE(prmem_next_refill, jiffies + HZ);
}

static DECLARE_WORK(prmem_refill_item, prmem_refill_work);

/**
 * prmem_refill - see to it that allocations in atomic context find memory
 *
 * Context: Any but NMI.
 */
void prmem_refill(void)
{
	if (atomic_read(&prmem_nr_free) < PRMEM_RESERVE_PAGES &&
	    time_after_eq(jiffies, READ_ONCE(prmem_next_refill)))
		schedule_work(&prmem_refill_item);
}

/**
 * prmem_pfn_state - is this page frame protected memory?
 * @pfn: any number
 *
 * Context: prmem_mutex is held.
 *
 * Return: a state.
 */
enum prmem_pfn_state prmem_pfn_state(unsigned long pfn)
{
	unsigned long first = PHYS_PFN(__pa_symbol(__start_wr_after_init));
	unsigned long nr = (__end_wr_after_init - __start_wr_after_init) >> PAGE_SHIFT;
	const struct prmem_page *page, *head;
	const struct prmem_block *b;
	unsigned int slot;

	if (pfn - first < nr)
		return prmem_static_ro ? PRMEM_PFN_PROTECTED : PRMEM_PFN_NONE;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		b = &prmem_blocks[slot];
		if (pfn - b->pfn >= b->nr_pages)
			continue;
		page = prmem_pages(b) + (pfn - b->pfn);
		head = prmem_page_of(page->head);
		if (page->owner && page->owner->kind == PRMEM_KIND_POOL && head &&
		    !(head->flags & PRMEM_PAGE_PROTECTED))
			return PRMEM_PFN_OPEN;
		return PRMEM_PFN_PROTECTED;
	}

	return PRMEM_PFN_NONE;
}

/**
 * prmem_overlaps - is any of these page frames protected memory?
 * @pfn: the first one
 * @nr: how many
 *
 * Context: prmem_mutex is held.
 *
 * Return: true if one is.
 */
bool prmem_overlaps(unsigned long pfn, unsigned long nr)
{
	unsigned long first = PHYS_PFN(__pa_symbol(__start_wr_after_init));
	unsigned long last = PHYS_PFN(__pa_symbol(__end_wr_after_init));
	const struct prmem_block *b;
	unsigned int slot;

	if (prmem_static_ro && pfn < last && first < pfn + nr)
		return true;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		b = &prmem_blocks[slot];
		if (pfn < b->pfn + b->nr_pages && b->pfn < pfn + nr)
			return true;
	}

	return false;
}

/**
 * prmem_mark_readonly - the section of variables is about to become read-only
 *
 * Called by mark_rodata_ro(), which makes the section read-only along with .rodata.
 */
void prmem_mark_readonly(void)
{
	prmem_static_ro = true;
}

static int __init prmem_init(void)
{
	unsigned int nr = (__end_wr_after_init - __start_wr_after_init) >> PAGE_SHIFT;
	int err = -E2BIG;
	unsigned long cr3;

	/* kmemleak does not scan read-only sections; here there may be pointers. */
	kmemleak_alloc(__start_wr_after_init, (size_t)nr << PAGE_SHIFT, 0, GFP_KERNEL);

	if (nr > PTRS_PER_PTE)
		goto fail;

	err = -ENOMEM;
	cr3 = temp_mm_alloc_root("prmem", prmem_tables, PRMEM_NR_TABLES, &prmem_base);
	if (!cr3)
		goto fail;

	prmem_cr3 = cr3;
	err = prmem_map_slot(PRMEM_STATIC_SLOT, PHYS_PFN(__pa_symbol(__start_wr_after_init)), nr);
	if (err)
		goto fail;

	static_branch_enable(&prmem_ready);
	if (prmem_unprotected)
		pr_warn("off: caches and pools are NOT protected\n");
	else
		pr_info("on: %u KiB of variables, room for %u blocks of 2 MiB\n",
			nr << (PAGE_SHIFT - 10), PRMEM_NR_SLOTS - 1);

	/* Tell lockdep that a pool may be destroyed, with prmem_mutex, to free memory. */
	if (IS_ENABLED(CONFIG_LOCKDEP)) {
		fs_reclaim_acquire(GFP_KERNEL);
		might_lock(&prmem_mutex);
		fs_reclaim_release(GFP_KERNEL);
	}

	guard(mutex)(&prmem_grow_mutex);

	return prmem_grow(1);

fail:
	pr_err("no window (%d): nothing can be allocated, or written after boot\n", err);
	return err;
}
core_initcall(prmem_init);
