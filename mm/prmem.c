// SPDX-License-Identifier: GPL-2.0
/*
 * Protected memory: read-only for everybody, changed only by wr_*() through a
 * window that one CPU has for one operation.
 *
 * This file has the checks and the writes.  See Documentation/core-api/prmem.rst.
 */
#include <linux/export.h>
#include <linux/hardirq.h>
#include <linux/prmem_frame.h>
#include <linux/set_memory.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "prmem_window.h"

#include <trace/events/prmem.h>

struct prmem_block prmem_blocks[PRMEM_NR_SLOTS] __wr_after_init_private;
struct prmem_frames prmem_frames __wr_after_init_private;
unsigned long prmem_base __ro_after_init;
/* Set by mark_rodata_ro().  kernel_set_to_readonly is no substitute: it can be forged. */
bool prmem_static_ro __ro_after_init;
/*
 * Held to protect or to destroy something, and to look at all blocks.  Nobody waits for
 * memory with this mutex held, so that it may be taken in order to free memory.
 */
DEFINE_MUTEX(prmem_mutex);
/* Held to get memory.  Taken before prmem_mutex; see prmem_may_grow(). */
DEFINE_MUTEX(prmem_grow_mutex);

static __always_inline void *prmem_static_alias(unsigned long addr)
{
	return prmem_alias(PRMEM_STATIC_SLOT, addr - (unsigned long)__start_wr_after_init);
}

/*
 * Find the metadata of the page at @p, and the address of @p in the window.  NULL if @p
 * is in no block, or in the metadata of one.  page->private is a hint in ordinary memory,
 * confirmed by prmem_blocks[], and there need not even be a struct page.  The caller has
 * interrupts off, or holds rcu_read_lock() or prmem_mutex.
 */
static __always_inline struct prmem_page *__prmem_find(const void *p, void **alias)
{
	unsigned long addr = (unsigned long)p;
	const struct prmem_block *b;
	unsigned long pfn, slot;

	if (likely(addr >= PAGE_OFFSET && addr < VMALLOC_START)) {
		pfn = PHYS_PFN(addr - PAGE_OFFSET);
	} else if (is_vmalloc_addr(p)) {
		struct page *page = vmalloc_to_page(p);

		if (!page)
			return NULL;
		pfn = page_to_pfn(page);
	} else {
		return NULL;
	}

	__get_kernel_nofault(&slot, &pfn_to_page(pfn)->private, unsigned long, none);
	if (unlikely(slot >= PRMEM_NR_SLOTS))
		return NULL;

	b = &prmem_blocks[slot];
	if (unlikely(!prmem_block_has(b, pfn)))
		return NULL;

	pfn -= b->pfn;
	if (unlikely(pfn < b->nr_meta))
		return NULL;

	*alias = prmem_alias(slot, (pfn << PAGE_SHIFT) + offset_in_page(p));

	return prmem_pages(b) + pfn;

none:
	return NULL;
}

struct prmem_page *prmem_find(const void *p, void **alias)
{
	return __prmem_find(p, alias);
}

unsigned int prmem_slot_of(unsigned long pfn)
{
	unsigned int slot = READ_ONCE(pfn_to_page(pfn)->private);

	if (likely(slot < PRMEM_NR_SLOTS && prmem_block_has(&prmem_blocks[slot], pfn)))
		return slot;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		if (prmem_block_has(&prmem_blocks[slot], pfn))
			return slot;
	}

	return PRMEM_NR_SLOTS;
}

/**
 * prmem_rw - translate a protected address to its address in the window
 * @p: an address in the section of variables, or in a block of which a page is owned and
 *	which therefore stays; checked, if a caller of the API has passed it
 *
 * Context: A window is open.
 *
 * Return: the address to write to.
 */
void *prmem_rw(const void *p)
{
	unsigned long pfn;
	unsigned int slot;

	if (prmem_is_static((unsigned long)p))
		return prmem_static_alias((unsigned long)p);

	pfn = PHYS_PFN(__pa(p));
	slot = prmem_slot_of(pfn);
	/* A store to NULL faults, and does not hit another slot. */
	if (WARN_ON_ONCE(slot == PRMEM_NR_SLOTS))
		return NULL;

	return prmem_alias(slot, ((pfn - prmem_blocks[slot].pfn) << PAGE_SHIFT) +
			   offset_in_page(p));
}

/* Checks. */

static __always_inline enum prmem_refusal
prmem_check_slot(const struct prmem_page *page, const struct prmem_owner *owner,
		 const struct wr_cache *c, unsigned long addr, size_t n, bool write)
{
	const struct wr_cache *cache = container_of(owner, struct wr_cache, owner);
	const struct prmem_page *head = page - page->index;
	unsigned int offset, slot;
	unsigned long bit;

	if (unlikely(c && c != cache))
		return PRMEM_WRONG_CACHE;

	offset = (page->index << PAGE_SHIFT) + offset_in_page(addr);
	slot = offset / cache->stride;
	if (unlikely(slot >= cache->nr_slots))
		return PRMEM_BAD_RANGE;

	bit = BIT(slot);
	if (unlikely(!(prmem_live(head) & bit)))
		return PRMEM_FREED;

	/* No sum of what the caller says: it could overflow. */
	offset -= slot * cache->stride;
	if (unlikely(n > cache->size || offset > cache->size - n))
		return PRMEM_BAD_RANGE;

	if (unlikely(write && READ_ONCE(head->sealed) & bit))
		return PRMEM_SEALED;

	return PRMEM_OK;
}

static __always_inline enum prmem_refusal
prmem_check_area(const struct prmem_page *page, const struct prmem_owner *owner,
		 unsigned long addr, size_t n, bool write)
{
	const struct pmalloc_pool *pool = container_of(owner, struct pmalloc_pool, owner);
	const struct prmem_page *head = prmem_page_of(page->head);
	unsigned long offset, size;

	/* The first page of an area is given back first, see pmalloc_free_pages(). */
	if (unlikely(!head || READ_ONCE(head->owner) != owner))
		return PRMEM_FREED;

	offset = ((unsigned long)page->index << PAGE_SHIFT) + offset_in_page(addr);
	size = (unsigned long)head->nr << PAGE_SHIFT;
	/* Pairs with smp_store_release() in pmalloc_add_area(): then the flags are there. */
	if (unlikely(offset < smp_load_acquire(&head->offset)))
		return PRMEM_FREED;

	if (unlikely(n > size || offset > size - n))
		return PRMEM_BAD_RANGE;

	if (!write)
		return PRMEM_OK;

	if (unlikely(!(READ_ONCE(head->flags) & PRMEM_PAGE_PROTECTED)))
		return PRMEM_OPEN;

	return likely(READ_ONCE(pool->mode) & PMALLOC_WR) ? PRMEM_OK : PRMEM_READ_ONLY;
}

/* Check that the @n bytes at @p are in one live object, or handed out of one area. */
static __always_inline enum prmem_refusal
prmem_check_object(const struct prmem_page *page, const struct wr_cache *c,
		   const void *p, size_t n, bool write)
{
	/* Read once: the page may be given back now; the owner's descriptor stays. */
	const struct prmem_owner *owner = READ_ONCE(page->owner);
	u32 kind;

	if (unlikely(!owner))
		return PRMEM_FREED;

	kind = READ_ONCE(owner->kind);
	if (likely(kind == PRMEM_KIND_CACHE))
		return prmem_check_slot(page, owner, c, (unsigned long)p, n, write);

	if (kind != PRMEM_KIND_POOL)
		return PRMEM_BAD_ADDRESS;

	return c ? PRMEM_WRONG_CACHE : prmem_check_area(page, owner, (unsigned long)p, n, write);
}

static __always_inline enum prmem_refusal
prmem_check_static(const struct wr_cache *c, unsigned long addr, size_t n)
{
	if (c)
		return PRMEM_WRONG_CACHE;

	/* In front are static caches and the data of prmem itself: not for wr_*(). */
	if (addr < (unsigned long)__start_wr_data)
		return PRMEM_BAD_ADDRESS;

	return n > (unsigned long)__end_wr_after_init - addr ? PRMEM_BAD_RANGE : PRMEM_OK;
}

/*
 * Address of the section of variables in the direct map.  Once the image is protected,
 * it is computed from prmem_frames.image, which is protected.  lm_alias() relies on
 * phys_base, which is not.
 */
static unsigned long prmem_section_alias(void)
{
	if (unlikely(!READ_ONCE(prmem_frames.nr_image)))
		return (unsigned long)lm_alias(__start_wr_after_init);

	return (unsigned long)pfn_to_kaddr(prmem_frames.image) +
	       (__start_wr_after_init - _text);
}

/*
 * Check an access to @n bytes at @p, in all pages that it touches: the next page in the
 * direct map can belong to another owner.
 */
enum prmem_refusal prmem_check_range(const struct wr_cache *c, const void *p, size_t n,
				     bool write)
{
	const struct prmem_page *first, *page;
	enum prmem_refusal why;
	unsigned long offset;
	void *alias;
	u32 i;

	if (unlikely(!n || (unsigned long)p + n - 1 < (unsigned long)p))
		return PRMEM_BAD_RANGE;

	if (prmem_is_static((unsigned long)p))
		return prmem_check_static(c, (unsigned long)p, n);

	/* The section by its direct map address: good to ask about, not to write to. */
	offset = (unsigned long)p - prmem_section_alias();
	if (offset < __end_wr_after_init - __start_wr_after_init)
		return write ? PRMEM_BAD_ADDRESS :
			prmem_check_static(c, (unsigned long)__start_wr_after_init + offset, n);

	guard(rcu)();

	first = prmem_find(p, &alias);
	if (!first)
		return PRMEM_BAD_ADDRESS;

	why = prmem_check_object(first, c, p, n, write);
	if (why != PRMEM_OK)
		return why;

	for (i = 1; i < PFN_UP(offset_in_page(p) + n); i++) {
		page = prmem_find(PTR_ALIGN_DOWN(p, PAGE_SIZE) + i * PAGE_SIZE, &alias);
		if (!page || page->owner != first->owner || page->head != first->head ||
		    page->index != first->index + i)
			return PRMEM_BAD_RANGE;
	}

	return PRMEM_OK;
}

/*
 * Check a write of @n bytes at @p, and set @alias to their address in the window, which
 * is open.  Only the first page is looked at; prmem_check_range() looks at all.
 */
static __always_inline enum prmem_refusal
prmem_resolve(const struct wr_cache *c, const void *p, size_t n, void **alias)
{
	const struct prmem_page *page;

	if (prmem_is_static((unsigned long)p)) {
		*alias = prmem_static_alias((unsigned long)p);
		return prmem_check_static(c, (unsigned long)p, n);
	}

	page = __prmem_find(p, alias);
	if (unlikely(!page))
		return PRMEM_BAD_ADDRESS;

	return prmem_check_object(page, c, p, n, true);
}

/* Writes. */

static __always_inline void prmem_account(const struct prmem_window *w, unsigned int bytes)
{
	struct prmem_batch *b;

	if (likely(w->prev))
		return;

	b = this_cpu_ptr(&prmem_batch);
	b->ops++;
	b->bytes += bytes;
	if (unlikely(b->ops > WR_BATCH_OPS || b->bytes > WR_BATCH_BYTES) &&
	    b->depth && !b->too_long)
		prmem_batch_too_long(b);
}

static __always_inline bool prmem_scalar_ok(const void *p, size_t size)
{
	return (size == 8 || size == 4 || size == 2 || size == 1) &&
		IS_ALIGNED((unsigned long)p, size);
}

/* Without a window only static data can be written, by plain stores during boot. */
static noinline int prmem_no_window(const void *dst, unsigned long caller)
{
	if (in_nmi() || !prmem_is_static((unsigned long)dst) || kernel_set_to_readonly)
		return prmem_refuse(PRMEM_BAD_CONTEXT, dst, caller);

	return 0;
}

/**
 * __wr_store - store a scalar to write-rare memory
 * @c: the cache that @p has to be of, or NULL
 * @p: where to, aligned to @size
 * @val: the value, in its low bytes
 * @size: 1, 2, 4 or 8
 *
 * For wr_assign() and its like.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int __wr_store(const struct wr_cache *c, const void *p, u64 val, size_t size)
{
	enum prmem_refusal why;
	struct prmem_window w;
	void *alias;

	if (unlikely(!prmem_scalar_ok(p, size)))
		return prmem_refuse(PRMEM_BAD_ALIGN, p, _RET_IP_);

	if (unlikely(!__prmem_open(&w))) {
		int err = prmem_no_window(p, _RET_IP_);

		if (!err)
			__wr_release((void *)p, val, size);
		return err;
	}

	why = prmem_resolve(c, p, size, &alias);
	if (likely(why == PRMEM_OK)) {
		__wr_release(alias, val, size);
		prmem_account(&w, size);
	}
	__prmem_close(&w, false);

	if (unlikely(why != PRMEM_OK))
		return prmem_refuse(why, p, _RET_IP_);

	trace_prmem_write(p, size);
	return 0;
}
EXPORT_SYMBOL_GPL(__wr_store);

static __always_inline u64 prmem_rmw4(atomic_t *v, enum wr_rmw op, u32 val, u32 old)
{
	switch (op) {
	case WR_XCHG:
		return (u32)atomic_xchg(v, val);
	case WR_CMPXCHG:
		return (u32)atomic_cmpxchg(v, old, val);
	case WR_ADD:
		return (u32)atomic_fetch_add(val, v);
	case WR_AND:
		return (u32)atomic_fetch_and(val, v);
	case WR_OR:
		return (u32)atomic_fetch_or(val, v);
	}
	return 0;
}

static __always_inline u64 prmem_rmw8(atomic64_t *v, enum wr_rmw op, u64 val, u64 old)
{
	switch (op) {
	case WR_XCHG:
		return atomic64_xchg(v, val);
	case WR_CMPXCHG:
		return atomic64_cmpxchg(v, old, val);
	case WR_ADD:
		return atomic64_fetch_add(val, v);
	case WR_AND:
		return atomic64_fetch_and(val, v);
	case WR_OR:
		return atomic64_fetch_or(val, v);
	}
	return 0;
}

static __always_inline u64 prmem_rmw(void *p, size_t size, enum wr_rmw op, u64 val, u64 old)
{
	switch (size) {
	case 8:
		return prmem_rmw8(p, op, val, old);
	case 4:
		return prmem_rmw4(p, op, val, old);
	case 2:
		return op == WR_XCHG ? xchg((u16 *)p, val) : cmpxchg((u16 *)p, old, val);
	default:
		return op == WR_XCHG ? xchg((u8 *)p, val) : cmpxchg((u8 *)p, old, val);
	}
}

/**
 * __wr_rmw - a locked instruction on write-rare memory
 * @p: where, aligned to @size
 * @size: 1, 2, 4 or 8; 4 or 8 for other operations than the exchanges
 * @op: the operation
 * @val: the operand, in its low bytes
 * @old: where to store the old value; for %WR_CMPXCHG, also the value to expect.
 *	NULL if neither is wanted
 *
 * For wr_xchg(), wr_cmpxchg() and pratomic_*().
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0 or a negative error, as wr_assign(); @old is only written with 0.
 */
int __wr_rmw(const void *p, size_t size, enum wr_rmw op, u64 val, u64 *old)
{
	u64 was = old ? *old : 0;
	enum prmem_refusal why;
	struct prmem_window w;
	void *alias;

	if (unlikely(!prmem_scalar_ok(p, size)))
		return prmem_refuse(PRMEM_BAD_ALIGN, p, _RET_IP_);

	if (unlikely(op > WR_OR || (size < 4 && op > WR_CMPXCHG)))
		return prmem_refuse(PRMEM_BAD_ARG, p, _RET_IP_);

	if (unlikely(!__prmem_open(&w))) {
		int err = prmem_no_window(p, _RET_IP_);

		if (err)
			return err;
		was = prmem_rmw((void *)p, size, op, val, was);
		goto done;
	}

	why = prmem_resolve(NULL, p, size, &alias);
	if (likely(why == PRMEM_OK)) {
		was = prmem_rmw(alias, size, op, val, was);
		prmem_account(&w, size);
	}
	__prmem_close(&w, false);

	if (unlikely(why != PRMEM_OK))
		return prmem_refuse(why, p, _RET_IP_);

	trace_prmem_write(p, size);
done:
	if (old)
		*old = was;
	return 0;
}
EXPORT_SYMBOL_GPL(__wr_rmw);

/*
 * Links may also be set in a pool that is not protected yet, if wr_*() may write to it
 * afterwards: then it does not matter if the pool is protected just before the write.
 */
static bool prmem_open_for_links(const void *p)
{
	const struct prmem_owner *owner;
	const struct prmem_page *page;
	void *alias;

	page = __prmem_find(p, &alias);
	owner = page ? READ_ONCE(page->owner) : NULL;

	return owner && READ_ONCE(owner->kind) == PRMEM_KIND_POOL &&
		READ_ONCE(container_of(owner, struct pmalloc_pool, owner)->mode) & PMALLOC_WR;
}

/*
 * Check a link, and find the address to set it at: in the window, or in ordinary memory
 * its own address, which must not be one of the window.  The link must still have its
 * old value, so that a forged pointer in a neighbour does not lead the write to anything
 * that is no link of this list.
 */
static enum prmem_refusal prmem_check_link(const struct wr_link *link, size_t size,
					   const void ***to)
{
	unsigned long addr = (unsigned long)link->slot;
	enum prmem_refusal why;
	void *was, *alias;
	bool ordinary;

	if (unlikely(!IS_ALIGNED(addr, sizeof(void *))))
		return PRMEM_BAD_ALIGN;

	why = prmem_resolve(NULL, link->slot, size, &alias);
	ordinary = why == PRMEM_BAD_ADDRESS && !prmem_is_static(addr) &&
		addr - prmem_base >= PRMEM_WINDOW_SIZE;
	if (ordinary)
		alias = (void *)link->slot;
	else if (unlikely(why != PRMEM_OK) &&
		 !(why == PRMEM_OPEN && prmem_open_for_links(link->slot)))
		return why;

	if (!ordinary)
		was = READ_ONCE(*(void **)alias);
	else if (copy_from_kernel_nofault(&was, alias, sizeof(was)))
		return PRMEM_BAD_ADDRESS;

	if (unlikely(link->was != was && link->was != WR_LINK_ANY))
		return PRMEM_BAD_LIST;

	/* Write the old value back, so that a fault comes before any link has changed. */
	if (ordinary)
		__put_kernel_nofault(alias, &was, void *, fault);

	*to = alias;
	return PRMEM_OK;

fault:
	return PRMEM_BAD_ADDRESS;
}

/**
 * __wr_links - set pointers, in one window
 * @links: up to %WR_MAX_LINKS links to set; one with a NULL slot is skipped
 * @n: how many
 * @caller: return address that is reported if a link is refused
 *
 * Pointers can also be in ordinary memory.  All are checked before the first is
 * set; then they are set in their order, each with a release.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int __wr_links(const struct wr_link *links, unsigned int n, unsigned long caller)
{
	enum prmem_refusal why = PRMEM_OK;
	const void **alias[WR_MAX_LINKS];
	const void *p = NULL;
	struct prmem_window w;
	unsigned int i;
	bool pair;

	if (unlikely(n > WR_MAX_LINKS))
		return prmem_refuse(PRMEM_BAD_ARG, NULL, caller);

	if (unlikely(!__prmem_open(&w))) {
		if (in_nmi() || kernel_set_to_readonly)
			return prmem_refuse(PRMEM_BAD_CONTEXT, NULL, caller);
		for (i = 0; i < n; i++) {
			if (!links[i].slot)
				continue;
			/* Pairs with the rcu_dereference() of a reader. */
			smp_store_release((const void **)links[i].slot, links[i].val);
		}
		return 0;
	}

	for (i = 0; i < n; i++) {
		p = links[i].slot;
		if (!p)
			continue;
		/* The two links of a new entry are adjacent: one check covers both. */
		pair = i + 1 < n && (void **)p + 1 == (void **)links[i + 1].slot &&
			links[i + 1].was == WR_LINK_ANY && !PAGE_ALIGNED(links[i + 1].slot);
		why = prmem_check_link(&links[i], (1 + pair) * sizeof(void *), &alias[i]);
		if (unlikely(why != PRMEM_OK))
			break;
		if (pair) {
			alias[i + 1] = alias[i] + 1;
			i++;
		}
	}

	if (likely(why == PRMEM_OK)) {
		for (i = 0; i < n; i++) {
			if (!links[i].slot)
				continue;
			/* Pairs with rcu_dereference() of a reader. */
			smp_store_release(alias[i], links[i].val);
		}
		prmem_account(&w, n * sizeof(void *));
	}
	__prmem_close(&w, false);

	if (unlikely(why != PRMEM_OK))
		return prmem_refuse(why, p, caller);

	trace_prmem_write(links[0].slot, n * sizeof(void *));
	return 0;
}

/* Bytes of a long write that are in one page. */
static size_t prmem_piece(const void *p, size_t n)
{
	return min(n, PAGE_SIZE - offset_in_page(p));
}

/* Copy @n bytes from @src or, if @src is NULL, set them to @fill; one page at a time. */
static int prmem_write_long(const struct wr_cache *c, const void *dst, const void *src,
			    int fill, size_t n, unsigned long caller)
{
	enum prmem_refusal why;
	struct prmem_window w;
	size_t piece, done;
	void *alias;

	if (!n)
		return 0;

	if (unlikely(in_nmi() || !static_branch_likely(&prmem_ready))) {
		int err = prmem_no_window(dst, caller);

		if (err)
			return err;
		if (prmem_check_static(c, (unsigned long)dst, n) != PRMEM_OK)
			return prmem_refuse(PRMEM_BAD_RANGE, dst, caller);
		if (src && !temp_mm_readable(src, n))
			return prmem_refuse(PRMEM_BAD_SOURCE, dst, caller);
		if (src)
			memcpy((void *)dst, src, n);
		else
			memset((void *)dst, fill, n);
		return 0;
	}

	/* Before the first byte is written; each page is checked again when it is. */
	why = prmem_check_range(c, dst, n, true);
	if (why == PRMEM_OK && src && !temp_mm_readable(src, n))
		why = PRMEM_BAD_SOURCE;
	if (unlikely(why != PRMEM_OK))
		return prmem_refuse(why, dst, caller);

	for (done = 0; done < n; done += piece) {
		piece = prmem_piece(dst + done, n - done);
		if (!__prmem_open(&w))
			return prmem_refuse(PRMEM_BAD_CONTEXT, dst, caller);
		why = prmem_resolve(c, dst + done, piece, &alias);
		if (likely(why == PRMEM_OK)) {
			if (!src)
				memset(alias, fill, piece);
			else if (copy_from_kernel_nofault(alias, src + done, piece))
				why = PRMEM_BAD_SOURCE;
			prmem_account(&w, piece);
		}
		__prmem_close(&w, false);
		if (unlikely(why != PRMEM_OK))
			return prmem_refuse(why, dst, caller);
	}

	trace_prmem_write(dst, n);
	return 0;
}

/**
 * __wr_copy - copy to write-rare memory
 * @c: the cache that @dst has to be of, or NULL
 * @dst: where to
 * @src: where from
 * @n: how many bytes
 *
 * For wr_update(), as wr_memcpy().
 *
 * Return: as wr_memcpy().
 */
int __wr_copy(const struct wr_cache *c, const void *dst, const void *src, size_t n)
{
	if (!src && n)
		return prmem_refuse(PRMEM_BAD_SOURCE, dst, _RET_IP_);

	return prmem_write_long(c, dst, src, 0, n, _RET_IP_);
}
EXPORT_SYMBOL_GPL(__wr_copy);

/**
 * wr_memcpy - copy to write-rare memory
 * @dst: where to, all in one object
 * @src: where from, kernel memory
 * @n: how many bytes
 *
 * A copy beyond the end of an object of a cache is refused.  A pool keeps no sizes: there
 * only a copy beyond what has been handed out of one area is refused.
 *
 * Readers can see any part of it done, and words torn.  Interrupts are off for one
 * page at a time.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0 with all bytes written; or an error as wr_assign() with none written, which
 * is -EFAULT also if @src can't be read.  If the object is freed or @src unmapped during
 * the copy, an error may come after some bytes have been written.
 */
int wr_memcpy(const void *dst, const void *src, size_t n)
{
	if (!src && n)
		return prmem_refuse(PRMEM_BAD_SOURCE, dst, _RET_IP_);

	return prmem_write_long(NULL, dst, src, 0, n, _RET_IP_);
}
EXPORT_SYMBOL_GPL(wr_memcpy);

/**
 * wr_memset - fill write-rare memory
 * @dst: what to fill, all in one object
 * @c: with which byte
 * @n: how many bytes
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: as wr_memcpy().
 */
int wr_memset(const void *dst, int c, size_t n)
{
	return prmem_write_long(NULL, dst, NULL, c, n, _RET_IP_);
}
EXPORT_SYMBOL_GPL(wr_memset);

static __always_inline int prmem_begin(unsigned long caller)
{
	struct prmem_window w;
	struct prmem_batch *b;

	if (!__prmem_open(&w))
		return -EPERM;

	b = this_cpu_ptr(&prmem_batch);
	if (w.prev) {
		b->window = w;
		b->depth = 0;
		b->ops = 0;
		b->bytes = 0;
		b->pinned = 0;
		b->too_long = false;
		b->caller = caller;
		b->corrupt = 0;
		b->tlb_gen = prmem_tlb_gen();
		b->inner = test_thread_flag(TIF_TEMP_MM);
		temporary_mm_lend(b->inner, caller);
	} else if (unlikely(!b->depth)) {
		/* A kprobe in the window of a single write, which that write closes. */
		prmem_close(&w);
		return -EPERM;
	}
	b->depth++;

	return 0;
}

/**
 * wr_begin - begin a batch: many writes in one window
 *
 * All wr_*(), prlist_*() and pratomic_*() until wr_end() share a window; each
 * still checks its arguments.  Interrupts are off in a batch, and nothing may sleep.
 * Only wr_relax() lets interrupts in: a batch of more than %WR_BATCH_OPS writes or
 * %WR_BATCH_BYTES bytes should call it, and is counted and reported if it does not.
 * Readers can see some of the writes done and others not yet.  Batches nest.  A batch
 * may also begin in a window of temp_mm_use(), but temp_mm_use() is refused in a batch.
 *
 * Context: Any but NMI.
 *
 * Return: 0; or -EPERM in an NMI, before there are windows, or in the window of a single
 * write, where a kprobe may run.
 */
int wr_begin(void)
{
	return prmem_begin(_RET_IP_) ? prmem_refuse(PRMEM_BAD_CONTEXT, NULL, _RET_IP_) : 0;
}
EXPORT_SYMBOL_GPL(wr_begin);

/**
 * __wr_edit - begin a batch, and tell where the window has an object
 * @c: the cache that @obj has to be of, or NULL
 * @obj: the object
 * @size: its size
 *
 * For wr_edit() and wr_edit_bytes().
 *
 * Context: Any but NMI.
 *
 * Return: the address in the window, or an ERR_PTR() as wr_assign().
 */
void *__wr_edit(const struct wr_cache *c, const void *obj, size_t size)
{
	enum prmem_refusal why;
	void *alias;

	/* Bounds the time with interrupts off.  No object has a size of 0. */
	if (unlikely(!size || size > WR_BATCH_BYTES))
		return ERR_PTR(prmem_refuse(PRMEM_BAD_ARG, obj, _RET_IP_));

	if (unlikely(prmem_begin(_RET_IP_)))
		return ERR_PTR(prmem_refuse(PRMEM_BAD_CONTEXT, obj, _RET_IP_));

	why = prmem_resolve(c, obj, size, &alias);
	/* Pages that are contiguous in a view only are not contiguous in the window. */
	if (why == PRMEM_OK && offset_in_page(obj) + size > PAGE_SIZE)
		why = is_vmalloc_addr(obj) ? PRMEM_BAD_RANGE :
			prmem_check_range(c, obj, size, true);
	if (likely(why == PRMEM_OK)) {
		struct prmem_batch *b = this_cpu_ptr(&prmem_batch);

		/* wr_relax() must not close the window while the address is in use. */
		if (!b->pinned)
			b->pinned = b->depth;
		return alias;
	}

	wr_end();

	return ERR_PTR(prmem_refuse(why, obj, _RET_IP_));
}
EXPORT_SYMBOL_GPL(__wr_edit);
