// SPDX-License-Identifier: GPL-2.0
/*
 * Pools of protected memory: heaps for objects that are freed together.
 *
 * A pool has areas.  In the newest one objects are allocated from the top down.
 * An area that is writable before it gets protected has a view, that is an address
 * in vmalloc space for its pages; these are never writable in the direct map.  An
 * area that is protected from the start needs none, if its pages are neighbours.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/export.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/set_memory.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/tlbflush.h>

#include <trace/events/prmem.h>

#include "prmem.h"

DEFINE_PRMEM_CACHE(pmalloc_pools, struct pmalloc_pool);

/* Pages that are neighbours: what a block has without its metadata. */
#define PMALLOC_MAX_RUN	((1U << WR_BLOCK_ORDER) -			\
			 PFN_UP(sizeof(struct prmem_page) << WR_BLOCK_ORDER))

/* The offset of an area that has handed out nothing, and may not be accessed at all. */
#define PMALLOC_NOTHING	ULONG_MAX

static bool pmalloc_pool_ok(const struct pmalloc_pool *pool)
{
	guard(rcu)();

	if (!pool || !prmem_object_rw(&pmalloc_pools, pool))
		return false;

	/* Pairs with smp_store_release() in __pmalloc_create_pool(). */
	return smp_load_acquire(&pool->owner.kind) == PRMEM_KIND_POOL;
}

static void *pmalloc_area_address(const struct prmem_page *head)
{
	return head->view ? (void *)head->view : prmem_address_of(head->head);
}

/**
 * __pmalloc_create_pool - create a pool
 * @module: that creates it, or NULL
 * @name: for reports, which tell its first 27 characters; copied
 * @refill: bytes to get at least when the pool needs more memory, or 0 for a page
 * @align_order: alignment of objects as a power of two, or negative
 * @mode: one of PMALLOC_MODE_*
 *
 * For pmalloc_create_custom_pool().
 *
 * Context: Process context; sleeps.
 *
 * Return: the pool; or ERR_PTR() of -EINVAL if an argument is out of range, -EPERM
 * before there are windows, or -ENOMEM if there is no memory.
 */
struct pmalloc_pool *__pmalloc_create_pool(const struct module *module, const char *name,
					   size_t refill, int align_order, u8 mode)
{
	struct pmalloc_pool *pool, *rw;
	struct prmem_window w;

	if (!name || refill > PMALLOC_MAX_SIZE || align_order > PAGE_SHIFT ||
	    mode & ~(PMALLOC_WR | PMALLOC_AUTO | PMALLOC_START) ||
	    (mode & PMALLOC_START && mode != PMALLOC_MODE_START_WR))
		return ERR_PTR(prmem_refuse(PRMEM_BAD_ARG, NULL, _RET_IP_));

	pool = prmem_alloc_descriptor(&pmalloc_pools);
	if (IS_ERR(pool))
		return pool;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return ERR_PTR(-EPERM);
	rw = prmem_rw(pool);
	strscpy(rw->owner.name, name);
	rw->owner.module = module;
	rw->mode = mode;
	rw->align = align_order < 0 ? ARCH_KMALLOC_MINALIGN : 1U << align_order;
	rw->refill = PFN_UP(refill ?: 1);
	/* The kind comes last.  Pairs with smp_load_acquire() in pmalloc_pool_ok(). */
	smp_store_release(&rw->owner.kind, PRMEM_KIND_POOL);
	prmem_close(&w);

	return pool;
}
EXPORT_SYMBOL_GPL(__pmalloc_create_pool);

/* Make @id, a page of its own so far, page @i of the area of @first. */
static void pmalloc_join(u32 id, u32 first, unsigned int i, u32 more)
{
	struct prmem_page *page = prmem_rw(prmem_page_of(id));

	page->index = i;
	page->more = more;
	/* No barrier: nothing of the area may be accessed before pmalloc_add_area(). */
	WRITE_ONCE(page->head, first);
}

static void pmalloc_free_pages(const struct pmalloc_pool *pool, u32 id)
{
	while (id) {
		struct prmem_page *page = prmem_page_of(id);

		id = page->more;
		prmem_give_back(page, &pool->owner);
		cond_resched();
	}
}

/* Never use these pages again, since somebody else may have them mapped. */
static void pmalloc_lose_pages(u32 id)
{
	struct prmem_page *page;
	struct prmem_window w;

	for (; id; id = page->more) {
		page = prmem_page_of(id);
		if (WARN_ON_ONCE(prmem_open(&w)))
			return;
		prmem_set(page->owner, &prmem_meta);
		prmem_close(&w);
	}
}

/* Claim @nr single pages, linked by more.  Returns the number of the first one, or 0. */
static u32 pmalloc_claim_single(struct pmalloc_pool *pool, unsigned int nr)
{
	struct prmem_window w;
	unsigned int i;
	u32 id, more = 0;

	for (i = 0; i < nr; i++) {
		do {
			if (prmem_open(&w))
				goto fail;
			id = prmem_claim(&pool->owner, 1);
			if (id) {
				prmem_set(prmem_page_of(id)->more, more);
				prmem_set(prmem_page_of(id)->offset, PMALLOC_NOTHING);
			}
			prmem_close(&w);
		} while (!id && !prmem_grow(1));

		if (!id)
			goto fail;
		more = id;
		cond_resched();
	}

	return more;

fail:
	pmalloc_free_pages(pool, more);
	return 0;
}

/*
 * Map a page of a view at @addr, for apply_to_page_range().  @data points to the number
 * of that page, on the stack of a task that may sleep, where it can be forged.  So the
 * metadata of the page decides whether it belongs to @addr, and the mode of its pool
 * whether it is writable there.
 */
static int pmalloc_map_page(pte_t *pte, unsigned long addr, void *data)
{
	u32 *next = data, id = READ_ONCE(*next);
	const struct prmem_page *page = prmem_page_of(id);
	const struct pmalloc_pool *pool;
	pgprot_t prot = PAGE_KERNEL;

	/* vmalloc has found @addr by its lists, which are ordinary memory. */
	if (WARN_ON_ONCE(!pte_none(ptep_get(pte))))
		return -EBUSY;
	if (WARN_ON_ONCE(!page || !prmem_is_view(page, addr)))
		return -EBUSY;

	pool = container_of(page->owner, struct pmalloc_pool, owner);
	if (pool->mode & PMALLOC_START && !prmem_unprotected)
		prot = PAGE_KERNEL_RO;
	set_pte_at(&init_mm, addr, pte, pfn_pte(PHYS_PFN(__pa(prmem_address_of(id))), prot));
	*next = page->more;

	return 0;
}

/*
 * Unmap the view of an area, at @addr.  It is cleared in the metadata first, because
 * prmem_refuse_unmap() would refuse to unmap it otherwise.  vunmap() relies on ordinary
 * memory, so this looks if it has done its work.  False if a page is still mapped: then
 * the pages must not be given back.
 */
static bool pmalloc_unmap_view(u32 first, unsigned long addr)
{
	struct prmem_window w;
	u32 id;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return false;
	prmem_set(prmem_page_of(first)->view, 0);
	prmem_close(&w);

	vunmap((void *)addr);
	for (id = first; id; id = prmem_page_of(id)->more, addr += PAGE_SIZE) {
		struct page *page = vmalloc_to_page((void *)addr);

		/* Another page belongs to somebody who has got the address since. */
		if (WARN_ON_ONCE(page == virt_to_page(prmem_address_of(id))))
			return false;
	}

	return true;
}

/* Undo an area that the pool does not have yet. */
static void pmalloc_drop_area(const struct pmalloc_pool *pool, u32 first)
{
	const struct prmem_page *head = prmem_page_of(first);
	unsigned long view = head->view;

	if (view && !pmalloc_unmap_view(first, view)) {
		pmalloc_lose_pages(first);
		return;
	}
	if (view)
		flush_tlb_kernel_range(view, view + ((unsigned long)head->nr << PAGE_SHIFT));
	pmalloc_free_pages(pool, first);
}

/*
 * Make an area of single pages, which are contiguous only in a view.  pmalloc_map_page()
 * takes them from the metadata, not from an array in ordinary memory that can be forged.
 */
static u32 pmalloc_area_viewed(struct pmalloc_pool *pool, unsigned int nr)
{
	u32 first = pmalloc_claim_single(pool, nr), next = first, id, more;
	unsigned long size = (unsigned long)nr << PAGE_SHIFT;
	struct vm_struct *area;
	struct prmem_window w;
	unsigned long view;
	unsigned int i;
	int err;

	if (!first)
		return 0;

	for (i = 0, id = first; id; i++, id = more) {
		more = prmem_page_of(id)->more;
		if (prmem_open(&w))
			goto fail;
		pmalloc_join(id, first, i, more);
		prmem_close(&w);
	}

	area = get_vm_area(size, VM_MAP);
	if (!area)
		goto fail;

	view = (unsigned long)area->addr;
	if (WARN_ON_ONCE(view < VMALLOC_START || view > VMALLOC_END - size || prmem_open(&w))) {
		pmalloc_lose_pages(first);
		return 0;
	}
	prmem_set(prmem_page_of(first)->view, view);
	prmem_set(prmem_page_of(first)->nr, nr);
	prmem_close(&w);
	err = apply_to_page_range(&init_mm, view, size, pmalloc_map_page, &next);
	if (!err)
		return first;

	/* Something else is mapped at this address, and must not be unmapped. */
	if (err == -EBUSY)
		pmalloc_lose_pages(first);
	else
		pmalloc_drop_area(pool, first);
	return 0;
fail:
	pmalloc_free_pages(pool, first);
	return 0;
}

/* An area of pages that are contiguous, for a pool that is protected from the start. */
static u32 pmalloc_area_run(struct pmalloc_pool *pool, unsigned int nr)
{
	unsigned int i, tries = PRMEM_CLAIM_TRIES;
	struct prmem_window w;
	u32 first;

	do {
		if (prmem_open(&w))
			return 0;
		first = prmem_claim(&pool->owner, nr);
		if (first) {
			prmem_set(prmem_page_of(first)->offset, PMALLOC_NOTHING);
			/* prmem_pfn_state() may look before pmalloc_add_area(). */
			prmem_set(prmem_page_of(first)->flags, PRMEM_PAGE_PROTECTED);
		}
		for (i = 0; first && i + 1 < nr; i++)
			prmem_set(prmem_page_of(first + i)->more, first + i + 1);
		prmem_close(&w);
		/* In a batch, prmem_close() leaves interrupts off, so this tries once. */
	} while (!first && w.prev && --tries);

	return first;
}

/* Nothing writes an area any more but wr_*(), once this returns. */
static int pmalloc_protect_area(struct prmem_page *head)
{
	struct prmem_window w;
	int err;

	if (head->flags & PRMEM_PAGE_PROTECTED)
		return 0;

	/*
	 * set_memory_ro() also looks at the alias in the direct map.  It is read-only
	 * already, so its large leaf is not split.
	 */
	if (head->view && !prmem_unprotected) {
		err = set_memory_ro(head->view, head->nr);
		if (err)
			return err;
	}

	if (WARN_ON_ONCE(prmem_open(&w)))
		return -EPERM;
	prmem_set(head->flags, head->flags | PRMEM_PAGE_PROTECTED);
	prmem_close(&w);
	trace_prmem_protect(pmalloc_area_address(head), head->nr, true);

	return 0;
}

/*
 * The offset of a new object in an area that is free below @old; -1 if it does not fit.
 * Pages that are contiguous in a view only are not contiguous in the window.  So there,
 * in a pool that is protected from the start, the first %PAGE_SIZE bytes of an object are
 * in one page, as wr_edit_bytes() promises.
 */
static __always_inline long pmalloc_place(const struct pmalloc_pool *pool,
					  const struct prmem_page *head,
					  unsigned long old, size_t size)
{
	unsigned long new;

	if (old < size)
		return -1;

	new = round_down(old - size, (unsigned long)pool->align);
	if (unlikely(head->view && pool->mode & PMALLOC_START) &&
	    offset_in_page(new) + size > PAGE_SIZE) {
		new = round_down(new, PAGE_SIZE);
		/* An object of less than a page goes to the end of the page. */
		if (size < PAGE_SIZE)
			new += round_down(PAGE_SIZE - size, (unsigned long)pool->align);
	}

	return new;
}

/* Can anything be allocated from the newest area, if there is one? */
static bool pmalloc_is_open(const struct pmalloc_pool *pool, const struct prmem_page *head)
{
	return head && !(pool->mode & PMALLOC_START) ==
		       !(READ_ONCE(head->flags) & PRMEM_PAGE_PROTECTED);
}

/*
 * Make @area, of @bytes, the newest one of a pool.  Returns false if @newest is not the
 * newest one any more, or if the pool has been destroyed.
 */
static bool pmalloc_add_area(struct pmalloc_pool *pool, u32 area, unsigned long bytes,
			     bool start, u32 newest)
{
	struct prmem_page *head = prmem_page_of(area);
	struct prmem_window w;
	bool ok;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return false;
	prmem_set(head->next, newest);
	if (start)
		prmem_set(head->flags, PRMEM_PAGE_PROTECTED);
	/* Pairs with smp_load_acquire() in prmem_check_area(). */
	smp_store_release((unsigned long *)prmem_rw(&head->offset), bytes);
	/* cmpxchg() pairs with READ_ONCE() of pool->area in pmalloc_take(). */
	ok = pmalloc_pool_ok(pool) && !(pool->mode & PMALLOC_START) == !start &&
		cmpxchg((u32 *)prmem_rw(&pool->area), newest, area) == newest;
	/* Nobody has an object of it. */
	if (!ok)
		prmem_set(head->offset, PMALLOC_NOTHING);
	prmem_close(&w);

	return ok;
}

/*
 * Add an area to a pool that is protected from the start, of pages that are free and
 * protected already.  This takes no lock, for callers that may not wait for memory, and
 * so not for prmem_grow_mutex either.  In a batch it is part of the window.
 *
 * Returns 0 if it is worth to try again, also if another CPU has added an area.
 */
static int pmalloc_grow_free(struct pmalloc_pool *pool, size_t size)
{
	unsigned int least = PFN_UP(size), nr = max_t(unsigned int, least, pool->refill);
	u32 newest = READ_ONCE(pool->area), area, id;
	const struct prmem_page *head = prmem_page_of(newest);

	if (!(READ_ONCE(pool->mode) & PMALLOC_START) || least > PMALLOC_MAX_RUN)
		return -ENOMEM;

	/* Another CPU may have added an area since: do not waste what is left of that. */
	if (pmalloc_is_open(pool, head) &&
	    pmalloc_place(pool, head, READ_ONCE(head->offset), size) >= 0)
		return 0;

	area = nr <= PMALLOC_MAX_RUN ? pmalloc_area_run(pool, nr) : 0;
	/* Less than refill is better than nothing. */
	if (!area && least < nr) {
		nr = least;
		area = pmalloc_area_run(pool, nr);
	}
	prmem_refill();
	if (!area)
		return -ENOMEM;

	if (!pmalloc_add_area(pool, area, (unsigned long)nr << PAGE_SHIFT, true, newest)) {
		/* Not by pmalloc_free_pages(), which may sleep. */
		for (id = area; id < area + nr; id++)
			prmem_give_back(prmem_page_of(id), &pool->owner);
	}

	return 0;
}

/* A new area, big enough for @size bytes: prmem_grow_mutex is held. */
static int pmalloc_grow(struct pmalloc_pool *pool, size_t size)
{
	unsigned int least = PFN_UP(size), nr = max_t(unsigned int, least, pool->refill);
	bool start = pool->mode & PMALLOC_START;
	u32 area, newest = READ_ONCE(pool->area);
	struct prmem_page *head;
	int err;

	if (start) {
		/* Contiguous pages, even if less than refill, are better than a view. */
		do {
			err = pmalloc_grow_free(pool, size);
		} while (err && ((nr <= PMALLOC_MAX_RUN && !prmem_grow(nr)) ||
				 (least < nr && least <= PMALLOC_MAX_RUN && !prmem_grow(least))));
		if (!err)
			return 0;
	}

	if (pool->mode & PMALLOC_AUTO) {
		/* Excludes pmalloc_destroy_pool(); after that, pmalloc_take() fails. */
		guard(mutex)(&prmem_mutex);

		head = pmalloc_pool_ok(pool) ? prmem_page_of(newest) : NULL;
		err = head ? pmalloc_protect_area(head) : 0;
		if (err)
			return err;
	}

	area = pmalloc_area_viewed(pool, nr);
	if (!area)
		return -ENOMEM;

	if (pmalloc_add_area(pool, area, (unsigned long)nr << PAGE_SHIFT, start, newest))
		return 0;

	/* Another CPU has added an area, or destroyed the pool: pmalloc_take() tells. */
	pmalloc_drop_area(pool, area);

	return 0;
}

/* An object of the newest area; NULL if it does not fit, or an error. */
static void *pmalloc_take(struct pmalloc_pool *pool, size_t size)
{
	struct prmem_page *head;
	struct prmem_window w;
	unsigned long old;
	void *obj = NULL;
	long new;

	if (prmem_open(&w))
		return ERR_PTR(-EPERM);

	/* With the window open: pmalloc_destroy_pool() waits until it is closed. */
	if (!pmalloc_pool_ok(pool)) {
		obj = ERR_PTR(-EINVAL);
		goto close;
	}

	if (READ_ONCE(pool->mode) == PMALLOC_START) {
		obj = ERR_PTR(-EROFS);
		goto close;
	}

	head = prmem_page_of(READ_ONCE(pool->area));
	while (pmalloc_is_open(pool, head)) {
		old = READ_ONCE(head->offset);
		new = pmalloc_place(pool, head, old, size);
		if (new < 0)
			break;
		if (cmpxchg((unsigned long *)prmem_rw(&head->offset), old, new) == old) {
			obj = pmalloc_area_address(head) + new;
			break;
		}
	}
close:
	prmem_close(&w);

	return obj;
}

static void *pmalloc_take_grow(struct pmalloc_pool *pool, size_t size)
{
	void *obj;

	guard(mutex)(&prmem_grow_mutex);

	do {
		obj = pmalloc_take(pool, size);
	} while (!obj && !pmalloc_grow(pool, size));
	/* Give back the blocks that were added in vain. */
	if (!obj) {
		scoped_guard(mutex, &prmem_mutex)
			prmem_shrink();
	}
	prmem_refill();

	return obj;
}

static void *__pmalloc(struct pmalloc_pool *pool, size_t size, bool grow, unsigned long caller)
{
	void *obj;

	if (!size || size > PMALLOC_MAX_SIZE) {
		prmem_refuse(PRMEM_BAD_ARG, pool, caller);
		return NULL;
	}

	do {
		obj = pmalloc_take(pool, size);
	} while (!obj && !pmalloc_grow_free(pool, size));
	if (!obj && grow)
		obj = pmalloc_take_grow(pool, size);
	if (!IS_ERR(obj))
		return obj;

	switch (PTR_ERR(obj)) {
	case -EPERM:
		prmem_refuse(PRMEM_BAD_CONTEXT, pool, caller);
		break;
	case -EROFS:
		prmem_refuse(PRMEM_READ_ONLY, pool, caller);
		break;
	default:
		prmem_refuse(PRMEM_BAD_OWNER, pool, caller);
	}

	return NULL;
}

/**
 * pmalloc - allocate memory of a pool
 * @pool: the pool
 * @size: how many bytes, up to %PMALLOC_MAX_SIZE
 *
 * The memory is zero.  Until the pool is protected it can be written by plain
 * stores, if the mode is not %PMALLOC_MODE_START_WR.  With PMALLOC_AUTO that may be as
 * soon as somebody else allocates from the pool, and a plain store faults from then
 * on.  So those who share such a pool have a lock from here to the last plain store.
 *
 * The pool does not keep @size: a wr_*() that is too long can reach a neighbour.
 * Objects of a cache have bounds.
 *
 * Context: Process context; sleeps.  With memalloc_noio_save() or memalloc_nofs_save()
 * the pool does not grow, unless it is one of %PMALLOC_MODE_START_WR: that can still take
 * pages that are free and protected already.
 *
 * Return: the memory; or NULL if there is none, @size is 0 or too large, @pool is
 * none, or a pool that is protected from the start has been made read-only.
 */
void *pmalloc(struct pmalloc_pool *pool, size_t size)
{
	void *obj;

	might_alloc(GFP_KERNEL);

	obj = __pmalloc(pool, size, prmem_may_grow(GFP_KERNEL), _RET_IP_);
	if (!obj)
		atomic_long_inc(&prmem_stats.no_memory);

	return obj;
}
EXPORT_SYMBOL_GPL(pmalloc);

/**
 * pmalloc_nowait - allocate memory of a pool, without waiting for memory
 * @pool: the pool
 * @size: how many bytes, up to %PMALLOC_MAX_SIZE
 *
 * As pmalloc(), but only from the newest area of the pool.  A pool of
 * %PMALLOC_MODE_START_WR can also take pages that are free and protected already, of
 * which some are kept for that.  In a batch the allocation is part of its window: see
 * pmalloc_reserve().
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: as pmalloc().
 */
void *pmalloc_nowait(struct pmalloc_pool *pool, size_t size)
{
	return __pmalloc(pool, size, false, _RET_IP_);
}
EXPORT_SYMBOL_GPL(pmalloc_nowait);

/* 0 if the pool has @size bytes, -ENOMEM if not, or what is wrong with it. */
static int pmalloc_has(const struct pmalloc_pool *pool, size_t size, unsigned long caller)
{
	const struct prmem_page *head;

	guard(rcu)();

	if (!pmalloc_pool_ok(pool))
		return prmem_refuse(PRMEM_BAD_OWNER, pool, caller);

	if (READ_ONCE(pool->mode) == PMALLOC_START)
		return prmem_refuse(PRMEM_READ_ONLY, pool, caller);

	head = prmem_page_of(READ_ONCE(pool->area));

	return pmalloc_is_open(pool, head) &&
		pmalloc_place(pool, head, READ_ONCE(head->offset), size) >= 0 ? 0 : -ENOMEM;
}

/**
 * pmalloc_reserve - see to it that pmalloc_nowait() finds something
 * @pool: the pool
 * @size: how many bytes, up to %PMALLOC_MAX_SIZE
 *
 * This allocates nothing, so another caller may take the memory first.  Those who
 * allocate from @pool exclude each other from here to pmalloc_nowait(), or repeat both.
 *
 * Context: Process context; sleeps.  As for pmalloc(), the pool may not be able to grow.
 *
 * Return: 0; -ENOMEM; or, for what pmalloc() would refuse, -EINVAL, or -EPERM if the
 * pool has been made read-only.
 */
int pmalloc_reserve(struct pmalloc_pool *pool, size_t size)
{
	int err;

	might_alloc(GFP_KERNEL);
	if (!size || size > PMALLOC_MAX_SIZE)
		return prmem_refuse(PRMEM_BAD_ARG, pool, _RET_IP_);

	do {
		err = pmalloc_has(pool, size, _RET_IP_);
	} while (err == -ENOMEM && !pmalloc_grow_free(pool, size));
	if (err != -ENOMEM)
		return err;

	/* Those who may not wait for memory can't wait for the mutex either. */
	if (!prmem_may_grow(GFP_KERNEL)) {
		atomic_long_inc(&prmem_stats.no_memory);
		return -ENOMEM;
	}

	guard(mutex)(&prmem_grow_mutex);

	do {
		err = pmalloc_has(pool, size, _RET_IP_);
	} while (err == -ENOMEM && !pmalloc_grow(pool, size));
	if (err == -ENOMEM) {
		atomic_long_inc(&prmem_stats.no_memory);
		scoped_guard(mutex, &prmem_mutex)
			prmem_shrink();
	}
	prmem_refill();

	return err;
}
EXPORT_SYMBOL_GPL(pmalloc_reserve);

/*
 * Fill in an object that nobody else has yet.  Its area may have been protected since
 * it was allocated, by somebody else who has used the pool, so not by a plain store.
 */
static bool pmalloc_fill(const struct pmalloc_pool *pool, void *obj, const char *s, size_t n)
{
	const struct prmem_page *page;
	struct prmem_window w;
	size_t done, piece;
	bool ok = true;
	void *alias;

	for (done = 0; done < n && ok; done += piece) {
		piece = min(n - done, PAGE_SIZE - offset_in_page(obj + done));
		if (prmem_open(&w))
			return false;
		page = prmem_find(obj + done, &alias);
		ok = page && READ_ONCE(page->owner) == &pool->owner &&
			!copy_from_kernel_nofault(alias, s + done, piece);
		prmem_close(&w);
	}

	return ok;
}

/**
 * pstrdup - copy a string into a pool
 * @pool: the pool
 * @s: the string
 *
 * This works for all modes, and while others use the pool or protect it.
 *
 * Context: Process context; sleeps.
 *
 * Return: the copy, or NULL as pmalloc().
 */
char *pstrdup(struct pmalloc_pool *pool, const char *s)
{
	size_t size;
	char *copy;

	if (!s) {
		prmem_refuse(PRMEM_BAD_SOURCE, pool, _RET_IP_);
		return NULL;
	}

	size = strlen(s) + 1;
	copy = pmalloc(pool, size);
	if (!copy)
		return NULL;

	/* The last byte is 0 already, even if somebody changes @s meanwhile. */
	if (!pmalloc_fill(pool, copy, s, size - 1)) {
		prmem_refuse(PRMEM_BAD_SOURCE, s, _RET_IP_);
		return NULL;
	}

	return copy;
}
EXPORT_SYMBOL_GPL(pstrdup);

static int pmalloc_protect_areas(struct pmalloc_pool *pool)
{
	struct prmem_page *head;
	u32 id;
	int err;

	for (id = pool->area; id; id = head->next) {
		head = prmem_page_of(id);
		err = pmalloc_protect_area(head);
		if (err)
			return err;
	}

	return 0;
}

/**
 * pmalloc_protect_pool - protect all that has been allocated from a pool
 * @pool: the pool
 *
 * What is left of the newest area can't be allocated any more, and the next allocation
 * adds a new area.  Nothing changes for %PMALLOC_MODE_START_WR, where all is protected.
 *
 * Context: Process context; sleeps, and interrupts all CPUs to flush their TLBs.
 *
 * Return: 0, or a negative error, with some of it perhaps not protected.
 */
int pmalloc_protect_pool(struct pmalloc_pool *pool)
{
	might_sleep();
	guard(mutex)(&prmem_mutex);

	if (!pmalloc_pool_ok(pool))
		return prmem_refuse(PRMEM_BAD_OWNER, pool, _RET_IP_);

	return pmalloc_protect_areas(pool);
}
EXPORT_SYMBOL_GPL(pmalloc_protect_pool);

/**
 * pmalloc_make_pool_ro - protect a pool, and make it read-only for ever
 * @pool: the pool
 *
 * Once this has returned, no wr_*() writes to objects of the pool any more, not even one
 * that had begun before.  More can be allocated, as from a pool of %PMALLOC_MODE_RO or
 * %PMALLOC_MODE_AUTO_RO, but not if the mode was %PMALLOC_MODE_START_WR: nobody could
 * write to new objects.
 *
 * Context: Process context; sleeps.
 *
 * Return: as pmalloc_protect_pool().
 */
int pmalloc_make_pool_ro(struct pmalloc_pool *pool)
{
	struct prmem_window w;
	int err;

	might_sleep();
	guard(mutex)(&prmem_mutex);

	if (!pmalloc_pool_ok(pool))
		return prmem_refuse(PRMEM_BAD_OWNER, pool, _RET_IP_);

	err = pmalloc_protect_areas(pool);
	if (err)
		return err;

	if (prmem_open(&w))
		return -EPERM;
	prmem_set(pool->mode, pool->mode & ~PMALLOC_WR);
	prmem_close(&w);

	/* Those who have seen the old mode have interrupts off until they are done. */
	synchronize_rcu();

	return 0;
}
EXPORT_SYMBOL_GPL(pmalloc_make_pool_ro);

/**
 * pmalloc_destroy_pool - free a pool and all that has been allocated from it
 * @pool: the pool, of which nobody uses anything any more; or NULL or an ERR_PTR()
 *
 * The memory is wiped.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0, or -EINVAL if @pool is none.
 */
int pmalloc_destroy_pool(struct pmalloc_pool *pool)
{
	unsigned long start = ULONG_MAX, end = 0;
	struct prmem_page *head;
	bool unmapped = true;
	u32 id, next;

	if (IS_ERR_OR_NULL(pool))
		return 0;

	might_sleep();
	guard(mutex)(&prmem_mutex);

	if (!pmalloc_pool_ok(pool))
		return prmem_refuse(PRMEM_BAD_OWNER, pool, _RET_IP_);

	/* Refuse all use of the pool, and wait for those who have begun before. */
	if (!prmem_replace(&pool->owner.kind, PRMEM_KIND_POOL, 0))
		return prmem_refuse(PRMEM_BAD_OWNER, pool, _RET_IP_);
	synchronize_rcu();

	for (id = pool->area; id; id = head->next) {
		head = prmem_page_of(id);
		if (!head->view)
			continue;
		start = min(start, head->view);
		end = max(end, head->view + ((unsigned long)head->nr << PAGE_SHIFT));
		unmapped &= pmalloc_unmap_view(id, head->view);
	}
	/* vunmap() flushes lazily, but the pages are given back now. */
	if (end)
		flush_tlb_kernel_range(start, end);
	/* If a page is still mapped, all memory of the pool is lost. */
	if (!unmapped)
		return 0;

	for (id = pool->area; id; id = next) {
		next = prmem_page_of(id)->next;
		pmalloc_free_pages(pool, id);
	}
	prmem_free_descriptor(&pmalloc_pools, pool);
	prmem_shrink();

	return 0;
}
EXPORT_SYMBOL_GPL(pmalloc_destroy_pool);
