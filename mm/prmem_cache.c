// SPDX-License-Identifier: GPL-2.0
/*
 * Caches of protected memory: objects of one type.
 *
 * A slab has up to 64 slots, whose state is in bitmaps in the metadata of its first
 * page.  There is no list of free objects in the objects.  A slab belongs to its
 * cache until the cache is destroyed, so that the memory of an object is never
 * that of an object of another type while somebody may still have a pointer.
 *
 * The lists of slabs are protected memory too, and so is the lock of a cache: a bit
 * that is set through the window.  A spinlock_t has state in ordinary memory.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/export.h>
#include <linux/init.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
/* Comes last, because it does not include what it needs for cpu_relax(). */
#include <linux/bit_spinlock.h>

#include "prmem.h"

#define PRMEM_MIN_STRIDE	64	/* so a page has at most 64 slots */
#define PRMEM_MAX_SLAB_ORDER	3	/* but for objects that are larger than that */
#define PRMEM_MAX_TRIES		16	/* full slabs to look at in prmem_partial() */

DEFINE_PRMEM_CACHE(wr_caches, struct wr_cache);

static unsigned long prmem_all_slots(const struct wr_cache *c)
{
	return ~0UL >> (BITS_PER_LONG - c->nr_slots);
}

/* Compute the layout of the slabs, from size and alignment. */
static void prmem_cache_setup(struct wr_cache *c)
{
	unsigned int order, bytes, waste, least;

	c->align = max_t(u32, c->align, sizeof(long));
	c->stride = ALIGN(max_t(u32, c->size, PRMEM_MIN_STRIDE), c->align);
	c->nr_pages = PFN_UP(c->stride);
	c->nr_slots = 1;

	/* Begin with one object.  What is wasted is compared per 2^PRMEM_MAX_SLAB_ORDER pages. */
	waste = (c->nr_pages << PAGE_SHIFT) - c->stride;
	least = (waste << PRMEM_MAX_SLAB_ORDER) / c->nr_pages;
	for (order = 0; order <= PRMEM_MAX_SLAB_ORDER; order++) {
		bytes = PAGE_SIZE << order;
		if (c->stride > bytes)
			continue;
		waste = (bytes % c->stride) << (PRMEM_MAX_SLAB_ORDER - order);
		if (bytes / c->stride > BITS_PER_LONG || waste >= least)
			continue;
		least = waste;
		c->nr_pages = 1 << order;
		c->nr_slots = bytes / c->stride;
	}
}

/**
 * prmem_object_rw - where the window has a live object of a cache
 * @c: a cache that is known to be one
 * @obj: any address
 *
 * Context: Interrupts off, or rcu_read_lock().
 *
 * Return: the address; NULL if @obj is not the start of an object that is allocated.
 */
void *prmem_object_rw(const struct wr_cache *c, const void *obj)
{
	const struct prmem_page *page, *head;
	unsigned int offset, slot;
	void *alias;

	page = prmem_find(obj, &alias);
	if (!page || READ_ONCE(page->owner) != &c->owner)
		return NULL;

	head = prmem_page_of(page->head);
	if (!head)
		return NULL;

	offset = (page->index << PAGE_SHIFT) + offset_in_page(obj);
	slot = offset / c->stride;

	if (slot >= c->nr_slots || offset != slot * c->stride ||
	    !(prmem_live(head) & BIT(slot)))
		return NULL;

	return alias;
}

/*
 * The address of a cache in the window; NULL if @c is no cache of @kind.  @c may be any
 * pointer that a caller has passed, so it has to be a static cache, by its address, or a
 * live object of wr_caches.
 */
static struct wr_cache *prmem_cache_rw(const struct wr_cache *c, u32 kind)
{
	unsigned long offset = (unsigned long)c - (unsigned long)__start_wr_caches;
	struct wr_cache *rw;

	if (offset >= (unsigned long)__end_wr_caches - (unsigned long)__start_wr_caches)
		rw = prmem_object_rw(&wr_caches, c);
	else
		rw = offset % sizeof(*c) ? NULL : prmem_rw(c);

	/* Pairs with smp_store_release() in __wr_cache_create(). */
	return rw && smp_load_acquire(&rw->owner.kind) == kind ? rw : NULL;
}

/*
 * Free the dying slots of a slab, if their readers are gone.  The RCU state that fits
 * in a long can miss a grace period; then the slots are freed after the next one.
 */
static bool prmem_reclaim(struct prmem_page *slab)
{
	unsigned long dying = READ_ONCE(slab->dying);
	struct prmem_page *rw;

	if (!dying || !poll_state_synchronize_rcu(READ_ONCE(slab->gp)))
		return false;

	/* Under the lock of the cache, as is all that sets or clears dying. */
	rw = prmem_rw(slab);
	atomic_long_andnot(dying, (atomic_long_t *)&rw->used);
	/* Clear dying after used.  Pairs with smp_load_acquire() in prmem_live(). */
	atomic_long_fetch_andnot_release(dying, (atomic_long_t *)&rw->dying);

	return true;
}

/*
 * Find a slab with a free slot in the list, or add a new slab to the list.  Full slabs
 * that come before are taken off the list, but for those with dying slots.  The window is
 * open and the cache is locked.  Returns the number of the first page, or 0.
 */
static u32 prmem_partial(struct wr_cache *c)
{
	unsigned long all = prmem_all_slots(c);
	struct prmem_page *slab, *prev = NULL;
	u32 id = READ_ONCE(c->partial), next;
	int tries = PRMEM_MAX_TRIES;

	while (tries--) {
		slab = prmem_page_of(id);
		if (!slab || READ_ONCE(slab->owner) != &c->owner)
			break;

		next = READ_ONCE(slab->next);
		if (READ_ONCE(slab->used) != all || prmem_reclaim(slab))
			return id;

		if (slab->dying) {
			prev = slab;
		} else {
			if (prev)
				prmem_set(prev->next, next);
			else
				prmem_set(c->partial, next);
			prmem_set(slab->flags, slab->flags & ~PRMEM_PAGE_LISTED);
		}
		id = next;
	}

	id = prmem_claim(&c->owner, c->nr_pages);
	if (!id)
		return 0;

	slab = prmem_page_of(id);
	prmem_set(slab->next, c->partial);
	prmem_set(slab->flags, PRMEM_PAGE_LISTED);
	prmem_set(c->partial, id);

	return id;
}

static int prmem_take_slot(struct wr_cache *c, struct prmem_page *slab)
{
	unsigned long *used = prmem_rw(&slab->used);
	unsigned long free;
	unsigned int slot;

	for (;;) {
		free = ~READ_ONCE(slab->used) & prmem_all_slots(c);
		if (!free)
			return -1;
		slot = __ffs(free);
		if (!test_and_set_bit(slot, used))
			return slot;
	}
}

/*
 * Take a slot of a cache, in one window.  If @zero is set, this clears up to a page of
 * the object, and the caller the rest: interrupts are off here.  Returns NULL if there is
 * no memory, or an ERR_PTR() if there is no window or @c is no cache of @kind.
 */
static void *prmem_cache_take(struct wr_cache *c, u32 kind, bool zero)
{
	struct prmem_window w;
	struct wr_cache *rw;
	void *obj = NULL;
	int slot = -1;
	u32 id;

	if (prmem_open(&w))
		return ERR_PTR(-EPERM);

	rw = prmem_cache_rw(c, kind);
	if (!rw) {
		prmem_close(&w);
		return ERR_PTR(-EINVAL);
	}

	bit_spin_lock(0, &rw->lock);
	do {
		id = prmem_partial(c);
		if (id)
			slot = prmem_take_slot(c, prmem_page_of(id));
	} while (id && slot < 0);
	bit_spin_unlock(0, &rw->lock);

	if (id) {
		obj = prmem_address_of(id) + slot * c->stride;
		if (zero)
			memset(prmem_rw(obj), 0, min_t(size_t, c->stride, PAGE_SIZE));
	}
	prmem_close(&w);

	return obj;
}

static void *prmem_cache_take_grow(struct wr_cache *c, u32 kind, bool zero)
{
	void *obj;

	guard(mutex)(&prmem_grow_mutex);

	do {
		obj = prmem_cache_take(c, kind, zero);
	} while (!obj && !prmem_grow(c->nr_pages));

	return obj;
}

static void *prmem_cache_alloc(struct wr_cache *c, u32 kind, gfp_t gfp, bool zero,
			       unsigned long caller)
{
	unsigned int tries = PRMEM_CLAIM_TRIES;
	void *obj;

	if (!c) {
		prmem_refuse(PRMEM_BAD_OWNER, c, caller);
		return NULL;
	}

	might_alloc(gfp);
	do {
		obj = prmem_cache_take(c, kind, zero);
	} while (!obj && --tries);
	if (!obj && prmem_may_grow(gfp))
		obj = prmem_cache_take_grow(c, kind, zero);

	if (IS_ERR(obj)) {
		prmem_refuse(PTR_ERR(obj) == -EPERM ? PRMEM_BAD_CONTEXT : PRMEM_BAD_OWNER, c,
			     caller);
		return NULL;
	}

	prmem_refill();
	if (!obj) {
		atomic_long_inc(&prmem_stats.no_memory);
		return NULL;
	}

	if (zero && c->size > PAGE_SIZE &&
	    WARN_ON_ONCE(wr_memset(obj + PAGE_SIZE, 0, c->size - PAGE_SIZE)))
		return NULL;

	return obj;
}

/**
 * __wr_cache_alloc - allocate an object of a cache
 * @c: the cache
 * @gfp: may the cache sleep to get more memory?
 * @zero: is the object to be zero?
 *
 * For wr_cache_alloc() and wr_cache_zalloc().
 *
 * Return: the object, or NULL.
 */
const void *__wr_cache_alloc(struct wr_cache *c, gfp_t gfp, bool zero)
{
	return prmem_cache_alloc(c, PRMEM_KIND_CACHE, gfp, zero, _RET_IP_);
}
EXPORT_SYMBOL_GPL(__wr_cache_alloc);

/**
 * prmem_alloc_descriptor - allocate a descriptor
 * @of: a cache of them
 *
 * Return: the descriptor; or ERR_PTR() of -EPERM before there are windows, or -ENOMEM.
 */
void *prmem_alloc_descriptor(struct wr_cache *of)
{
	const void *desc;

	if (!static_branch_likely(&prmem_ready))
		return ERR_PTR(prmem_refuse(PRMEM_BAD_CONTEXT, of, _RET_IP_));

	desc = prmem_cache_alloc(of, PRMEM_KIND_META, GFP_KERNEL, true, _RET_IP_);

	return desc ? (void *)desc : ERR_PTR(-ENOMEM);
}

/* Find the slab and the slot of an object, or why it may not be freed or sealed. */
static enum prmem_refusal prmem_slot(const struct wr_cache *c, const void *obj,
				     struct prmem_page **head, unsigned int *slot)
{
	const struct prmem_owner *owner;
	struct prmem_page *page;
	unsigned int offset;
	void *alias;

	page = prmem_find(obj, &alias);
	if (!page)
		return PRMEM_BAD_ADDRESS;

	/* The page is free, or belongs to another cache or to a pool. */
	owner = READ_ONCE(page->owner);
	if (owner != &c->owner)
		return owner ? PRMEM_WRONG_CACHE : PRMEM_FREED;

	*head = prmem_page_of(page->head);
	if (!*head)
		return PRMEM_FREED;

	offset = (page->index << PAGE_SHIFT) + offset_in_page(obj);
	*slot = offset / c->stride;
	if (*slot >= c->nr_slots || offset != *slot * c->stride)
		return PRMEM_BAD_RANGE;

	if (!(prmem_live(*head) & BIT(*slot)))
		return PRMEM_FREED;

	return READ_ONCE((*head)->sealed) & BIT(*slot) ? PRMEM_SEALED : PRMEM_OK;
}

/* Put a slab back on the list of its cache, since it has a slot that is free or dying. */
static void prmem_list_slab(struct wr_cache *c, struct prmem_page *slab)
{
	if (slab->flags & PRMEM_PAGE_LISTED)
		return;

	prmem_set(slab->next, c->partial);
	prmem_set(slab->flags, slab->flags | PRMEM_PAGE_LISTED);
	prmem_set(c->partial, slab->head);
}

enum prmem_change { PRMEM_FREE, PRMEM_FREE_RCU, PRMEM_SEAL };

static int prmem_change_slot(struct wr_cache *c, u32 kind, const void *obj,
			     enum prmem_change change, unsigned long caller)
{
	struct prmem_page *slab;
	enum prmem_refusal why;
	struct prmem_window w;
	struct wr_cache *rw;
	unsigned int slot;

	if (!c)
		return prmem_refuse(PRMEM_BAD_OWNER, c, caller);

	if (prmem_open(&w))
		return prmem_refuse(PRMEM_BAD_CONTEXT, obj, caller);

	rw = prmem_cache_rw(c, kind);
	if (!rw) {
		prmem_close(&w);
		return prmem_refuse(PRMEM_BAD_OWNER, c, caller);
	}

	bit_spin_lock(0, &rw->lock);
	why = prmem_slot(c, obj, &slab, &slot);
	if (why == PRMEM_OK) {
		switch (change) {
		case PRMEM_FREE:
			if (!test_and_clear_bit(slot, prmem_rw(&slab->used)))
				why = PRMEM_FREED;
			break;
		case PRMEM_FREE_RCU:
			/* Before the bit: an older gp would not cover this slot. */
			prmem_set(slab->gp, get_state_synchronize_rcu());
			if (test_and_set_bit(slot, prmem_rw(&slab->dying)))
				why = PRMEM_FREED;
			break;
		case PRMEM_SEAL:
			set_bit(slot, prmem_rw(&slab->sealed));
			break;
		}
	}
	if (why == PRMEM_OK && change != PRMEM_SEAL)
		prmem_list_slab(c, slab);
	bit_spin_unlock(0, &rw->lock);
	prmem_close(&w);

	return why == PRMEM_OK ? 0 : prmem_refuse(why, obj, caller);
}

/**
 * wr_cache_free - free an object
 * @c: the cache it is of
 * @obj: the object, or NULL
 *
 * Its memory stays with the cache.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0; else nothing has changed: -EINVAL if @c is no cache, or @obj not the
 * start of an object or free already; -EPERM if it is sealed or of another cache,
 * -EFAULT if it is no protected memory.
 */
int wr_cache_free(struct wr_cache *c, const void *obj)
{
	return obj ? prmem_change_slot(c, PRMEM_KIND_CACHE, obj, PRMEM_FREE, _RET_IP_) : 0;
}
EXPORT_SYMBOL_GPL(wr_cache_free);

/*
 * After wr_cache_free_rcu() a grace period has to be asked for.  pending: prmem_rcu waits
 * for one.  wanted: one more has to be asked for when that is over.
 */
static atomic_t prmem_gp_pending;
static atomic_t prmem_gp_wanted;
static struct rcu_head prmem_rcu;

static void prmem_gp_done(struct rcu_head *unused);

static void prmem_start_gp(void)
{
	atomic_set(&prmem_gp_wanted, 1);
	/* Fully ordered, after wanted is set: pairs with smp_mb() in prmem_gp_done(). */
	if (!atomic_xchg(&prmem_gp_pending, 1)) {
		/* This grace period also covers what other CPUs have just freed. */
		atomic_set(&prmem_gp_wanted, 0);
		/*
		 * Clear wanted before the grace period is asked for.  Later, that could
		 * undo what another CPU has set for an object that is not covered.  Pairs
		 * with test_and_set_bit() of dying in prmem_change_slot().  call_rcu()
		 * happens to have a barrier, but promises none.
		 */
		smp_mb();
		/* Not lazily, or the slots could not be used again for seconds. */
		call_rcu_hurry(&prmem_rcu, prmem_gp_done);
	}
}

static void prmem_gp_done(struct rcu_head *unused)
{
	atomic_set(&prmem_gp_pending, 0);
	/* Pairs with atomic_xchg() in prmem_start_gp(). */
	smp_mb();
	if (atomic_read(&prmem_gp_wanted))
		prmem_start_gp();
}

/**
 * prmem_free_descriptor - free a descriptor
 * @of: the cache it is of
 * @obj: the descriptor, which owns no page any more
 *
 * Those who have found it by a page may use the descriptor until a grace period is over.
 */
void prmem_free_descriptor(struct wr_cache *of, void *obj)
{
	if (!WARN_ON_ONCE(prmem_change_slot(of, PRMEM_KIND_META, obj, PRMEM_FREE_RCU,
					    _RET_IP_)))
		prmem_start_gp();
}

/**
 * wr_cache_free_rcu - free an object once its readers are gone
 * @c: the cache it is of
 * @obj: the object, which nobody can find any more; or NULL
 *
 * Readers that have found it before can read it until the end of their RCU
 * read-side critical section.  Nobody can write it any more.  This needs no
 * rcu_head, in the object or elsewhere, and no memory.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: as wr_cache_free().
 */
int wr_cache_free_rcu(struct wr_cache *c, const void *obj)
{
	int err;

	if (!obj)
		return 0;

	err = prmem_change_slot(c, PRMEM_KIND_CACHE, obj, PRMEM_FREE_RCU, _RET_IP_);
	if (!err)
		prmem_start_gp();

	return err;
}
EXPORT_SYMBOL_GPL(wr_cache_free_rcu);

/**
 * wr_cache_seal - make an object read-only for ever
 * @c: the cache it is of
 * @obj: the object
 *
 * The object can be neither written nor freed any more.  A wr_*() that another CPU has
 * begun before may still write to it: callers exclude that, if it matters.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: as wr_cache_free().
 */
int wr_cache_seal(struct wr_cache *c, const void *obj)
{
	return prmem_change_slot(c, PRMEM_KIND_CACHE, obj, PRMEM_SEAL, _RET_IP_);
}
EXPORT_SYMBOL_GPL(wr_cache_seal);

/**
 * __wr_cache_create - create a cache
 * @module: that creates it, or NULL
 * @name: name in reports; its first 27 characters are copied
 * @size: bytes of an object, 1 to %WR_CACHE_MAX_SIZE; an object takes at least 64
 * @align: alignment of objects: a power of two up to the size of a page, or 0
 * @useroffset: offset of the part of an object that may be copied to user space
 * @usersize: bytes of that part, or 0
 *
 * For wr_cache_create().
 *
 * Context: Process context; sleeps.
 *
 * Return: the cache; or ERR_PTR() of -EINVAL if an argument is out of range, -EPERM
 * before there are windows, or -ENOMEM if there is no memory.
 */
struct wr_cache *__wr_cache_create(const struct module *module, const char *name,
				   size_t size, size_t align, size_t useroffset,
				   size_t usersize)
{
	struct wr_cache desc = {
		.owner = { .module = module },
		.size = size,
		.align = align ?: sizeof(long),
		.useroffset = useroffset,
		.usersize = usersize,
	};
	struct wr_cache *c, *rw;
	struct prmem_window w;

	if (!name || !size || size > WR_CACHE_MAX_SIZE || align > PAGE_SIZE ||
	    (align && !is_power_of_2(align)) || usersize > size ||
	    useroffset > size - usersize)
		return ERR_PTR(prmem_refuse(PRMEM_BAD_ARG, NULL, _RET_IP_));

	strscpy(desc.owner.name, name);
	prmem_cache_setup(&desc);
	c = prmem_alloc_descriptor(&wr_caches);
	if (IS_ERR(c))
		return c;

	if (WARN_ON_ONCE(prmem_open(&w)))
		return ERR_PTR(-EPERM);
	rw = prmem_rw(c);
	*rw = desc;
	/* The kind comes last.  Pairs with smp_load_acquire() in prmem_cache_rw(). */
	smp_store_release(&rw->owner.kind, PRMEM_KIND_CACHE);
	prmem_close(&w);

	return c;
}
EXPORT_SYMBOL_GPL(__wr_cache_create);

/* Calls @fn for the first page of each slab of a cache until it returns true. */
static bool prmem_any_slab(const struct wr_cache *c, bool (*fn)(struct prmem_page *slab))
{
	const struct prmem_block *b;
	struct prmem_page *page;
	unsigned int slot, i;

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		cond_resched();
		guard(rcu)();

		b = &prmem_blocks[slot];
		for (i = b->nr_meta; i < b->nr_pages; i++) {
			page = prmem_pages(b) + i;
			if (page->owner != &c->owner || page->index)
				continue;
			if (fn(page))
				return true;
		}
	}

	return false;
}

static bool prmem_slab_in_use(struct prmem_page *slab)
{
	return prmem_live(slab);
}

static bool prmem_free_slab(struct prmem_page *slab)
{
	const struct prmem_owner *owner = slab->owner;
	unsigned int i = slab->nr;

	/* The first page last: it has the number of pages. */
	while (i--)
		prmem_give_back(slab + i, owner);

	return false;
}

/**
 * wr_cache_destroy - destroy a cache
 * @c: from wr_cache_create(), with no objects left; or NULL or an ERR_PTR()
 *
 * Waits for the readers of objects that wr_cache_free_rcu() has freed.  The caller sees
 * to it that nobody uses the cache any more: whoever allocates from it or frees to it
 * meanwhile can be refused, even if this fails in the end.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0; -EBUSY if objects are left, sealed ones among them, -EINVAL if @c is
 * no cache or has been defined by DEFINE_WR_CACHE().
 */
int wr_cache_destroy(struct wr_cache *c)
{
	bool ok;

	if (IS_ERR_OR_NULL(c))
		return 0;

	guard(mutex)(&prmem_mutex);

	scoped_guard(rcu)
		ok = prmem_object_rw(&wr_caches, c);
	if (!ok)
		return prmem_refuse(PRMEM_BAD_OWNER, c, _RET_IP_);

	if (prmem_any_slab(c, prmem_slab_in_use))
		return prmem_refuse(PRMEM_BUSY, c, _RET_IP_);

	/* Refuse to allocate and to free, and wait for those who have begun before. */
	if (!prmem_replace(&c->owner.kind, PRMEM_KIND_CACHE, 0))
		return prmem_refuse(PRMEM_BAD_OWNER, c, _RET_IP_);
	synchronize_rcu();

	/* One of those may have allocated an object. */
	if (prmem_any_slab(c, prmem_slab_in_use)) {
		prmem_replace(&c->owner.kind, 0, PRMEM_KIND_CACHE);
		return prmem_refuse(PRMEM_BUSY, c, _RET_IP_);
	}

	prmem_any_slab(c, prmem_free_slab);
	prmem_free_descriptor(&wr_caches, c);
	prmem_shrink();

	return 0;
}
EXPORT_SYMBOL_GPL(wr_cache_destroy);

static int __init prmem_cache_init(void)
{
	struct wr_cache *c;

	/* .rodata is still writable. */
	for (c = __start_wr_caches; c < __end_wr_caches; c++)
		prmem_cache_setup(c);

	return 0;
}
core_initcall(prmem_cache_init);
