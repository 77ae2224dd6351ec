/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of prmem, its page-table walker and its tests share.
 *
 * Each file uses only those before it: prmem_window.c, prmem_batch.c, prmem.c,
 * prmem_frame.c, prmem_block.c, prmem_cache.c, prmem_pool.c, prmem_object.c,
 * prmem_module.c, prmem_debugfs.c.
 */
#ifndef _MM_PRMEM_H
#define _MM_PRMEM_H

#include <linux/asi.h>
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/prmem.h>
#include <linux/temp_mm.h>
#include <linux/wr_block.h>

/* For data of prmem itself: in the section of variables, but refused by wr_*(). */
#define __wr_after_init_private	__section(".data..wr_after_init.private")

#define PRMEM_KIND_POOL		2
#define PRMEM_KIND_META		3

/* PMD tables of the window: 4 GiB of blocks. */
#define PRMEM_NR_TABLES		4
#define PRMEM_WINDOW_SIZE	(PRMEM_NR_TABLES * PUD_SIZE)

/* Slots of the window.  The first one is the section, the others are blocks. */
#define PRMEM_NR_SLOTS		(PRMEM_NR_TABLES * PTRS_PER_PMD)
#define PRMEM_STATIC_SLOT	0

/* Smallest piece to use when there is no block: its metadata is one page of it. */
#define PRMEM_MIN_ORDER		4

/*
 * Smallest piece as the last resort: two pages, of which one has the metadata.  A piece
 * below PRMEM_MIN_ORDER is not taken once PRMEM_LAST_SLOTS slots are in use.
 */
#define PRMEM_LAST_ORDER	1
#define PRMEM_LAST_SLOTS	(PRMEM_NR_SLOTS / 4)

/* How often to look for pages in a row, each time with the window open. */
#define PRMEM_CLAIM_TRIES	8

/* Free pages that prmem_refill() tries to keep, for allocations that can't sleep. */
#define PRMEM_RESERVE_PAGES	128

/*
 * The page number of a page in a block, plus one: 0 is none.  Every integer is
 * good for prmem_page_of(), whoever has written it.
 */
#define PRMEM_ID(slot, index)	((u32)((slot) << WR_BLOCK_ORDER | (index)) + 1)

/**
 * struct prmem_page - metadata of one page of a block
 * @owner: cache or pool that the page belongs to, NULL if it is free; claimed by
 *	cmpxchg() in prmem_claim_run(), so that no other lock is needed
 * @head: number of the first page of the slab or area, see PRMEM_ID()
 * @index: index of this page in the slab or area
 * @nr: in the first page: number of pages
 * @next: in the first page: next slab or area of the owner
 * @flags: in the first page: PRMEM_PAGE_*
 * @more: next page of the same area
 *
 * @used: of a slab: slots that are allocated, or dying
 * @sealed: of a slab: slots that are sealed
 * @dying: of a slab: slots that are freed, but RCU readers may be left
 * @gp: of a slab: RCU state that tells when the readers of dying slots are gone
 * @view: of an area: its address in vmalloc space; 0 if it is used in the direct map
 * @offset: of an area: start of its lowest object; objects are allocated downwards
 *
 * The metadata is at the start of the block, and so is write rare itself.  What is said
 * to be of a slab or of an area is only valid in its first page.
 */
struct prmem_page {
	const struct prmem_owner *owner;
	u32 head;
	u32 index;
	u32 nr;
	u32 next;
	u32 flags;
	u32 more;
	union {
		struct {
			unsigned long used;
			unsigned long sealed;
			unsigned long dying;
			unsigned long gp;
		};
		struct {
			unsigned long view;
			unsigned long offset;
		};
	};
};

static_assert(sizeof(struct prmem_page) == 64, "one line of the cache");

#define PRMEM_PAGE_LISTED	BIT(0)	/* slab is in the list of its cache */
#define PRMEM_PAGE_PROTECTED	BIT(1)	/* area has no writable mapping */

/*
 * A block, or a smaller piece; the index in prmem_blocks[] is the slot.  @taken is
 * set by a locked instruction, so that it is the lock of the slot.
 */
struct prmem_block {
	unsigned long pfn;
	u32 nr_pages;		/* 0: not there, or not any more */
	u32 nr_meta;		/* pages with metadata, at the start */
	u32 taken;
	atomic_t free;		/* pages without an owner */
};

struct pmalloc_pool {
	struct prmem_owner owner;
	u32 mode;
	u32 align;
	u32 refill;		/* in pages */
	u32 area;		/* newest one */
};

enum prmem_refusal {
	PRMEM_BAD_ARG,
	PRMEM_BAD_RANGE,
	PRMEM_BAD_ALIGN,
	PRMEM_BAD_ADDRESS,
	PRMEM_BAD_SOURCE,
	PRMEM_BAD_OWNER,
	PRMEM_WRONG_CACHE,
	PRMEM_FREED,
	PRMEM_SEALED,
	PRMEM_READ_ONLY,
	PRMEM_OPEN,
	PRMEM_BAD_CONTEXT,
	PRMEM_NO_BATCH,
	PRMEM_IRQS_ON,
	PRMEM_BAD_LIST,
	PRMEM_BUSY,
	PRMEM_MAPPED,
	PRMEM_LET_GO,
	PRMEM_NR_REFUSALS,
	PRMEM_OK = PRMEM_NR_REFUSALS,
};

struct prmem_stats {
	atomic_long_t	refused[PRMEM_NR_REFUSALS];
	atomic_long_t	no_memory;	/* allocations that failed */
	atomic_long_t	relaxed;	/* batches that let interrupts in */
	atomic_long_t	too_long;	/* batches that should have */
};

extern struct prmem_stats prmem_stats;

extern struct prmem_block prmem_blocks[PRMEM_NR_SLOTS];
extern unsigned long prmem_base;
extern struct mutex prmem_mutex, prmem_grow_mutex;
extern bool prmem_unprotected;
extern bool prmem_static_ro;

/* A cache for descriptors, which no wr_*() writes. */
#define DEFINE_PRMEM_CACHE(_name, _type)				\
	struct wr_cache _name						\
	__section(".data..wr_after_init.caches") __aligned(8) = {	\
		.owner = { .name = #_name, .kind = PRMEM_KIND_META },	\
		.size = sizeof(_type),					\
		.align = __alignof__(_type),				\
	}

extern struct wr_cache wr_caches, pmalloc_pools;
extern char __start_wr_after_init[], __start_wr_data[], __end_wr_after_init[];
extern struct wr_cache __start_wr_caches[], __end_wr_caches[];

extern const struct prmem_owner prmem_meta;
extern unsigned long prmem_cr3;

/* Enabled once windows can be opened.  Until then, static data is written directly. */
DECLARE_STATIC_KEY_FALSE(prmem_ready);

int prmem_refuse(enum prmem_refusal why, const void *addr, unsigned long caller);
int prmem_refuse_list(const void *addr, unsigned long caller);
const char *prmem_refusal_word(enum prmem_refusal why);

static inline bool prmem_is_static(unsigned long addr)
{
	return addr - (unsigned long)__start_wr_after_init <
	       (unsigned long)(__end_wr_after_init - __start_wr_after_init);
}

/*
 * Is this page frame in a block?  Who asks has interrupts off, or rcu_read_lock(),
 * or prmem_mutex, so that the block stays what it is.
 */
static __always_inline bool prmem_block_has(const struct prmem_block *b, unsigned long pfn)
{
	/* Pairs with smp_store_release() in prmem_fill_block(). */
	u32 nr = smp_load_acquire(&b->nr_pages);

	return pfn - b->pfn < nr;
}

/* The metadata of all pages of a block. */
static inline struct prmem_page *prmem_pages(const struct prmem_block *b)
{
	return pfn_to_kaddr(b->pfn);
}

/* Slots of a slab that are allocated, and have not been freed. */
static __always_inline unsigned long prmem_live(const struct prmem_page *slab)
{
	/*
	 * Read dying before used, since prmem_reclaim() clears used before dying: in the
	 * other order, a slot that is reclaimed in between would be taken for a live one.
	 * Pairs with atomic_long_fetch_andnot_release() in prmem_reclaim().
	 */
	unsigned long dying = smp_load_acquire(&slab->dying);

	return READ_ONCE(slab->used) & ~dying;
}

/*
 * Metadata of the page with number @id, as made by PRMEM_ID(); any value may be passed.
 * NULL if no page has this number, or if the page itself contains metadata.
 */
static inline struct prmem_page *prmem_page_of(u32 id)
{
	unsigned int slot = (id - 1) >> WR_BLOCK_ORDER;
	unsigned int index = (id - 1) & (BIT(WR_BLOCK_ORDER) - 1);
	const struct prmem_block *b;

	if (slot >= PRMEM_NR_SLOTS)
		return NULL;

	b = &prmem_blocks[slot];
	if (index >= b->nr_pages || index < b->nr_meta)
		return NULL;

	return prmem_pages(b) + index;
}

static inline void *prmem_address_of(u32 id)
{
	const struct prmem_block *b = &prmem_blocks[(id - 1) >> WR_BLOCK_ORDER];

	return pfn_to_kaddr(b->pfn + ((id - 1) & (BIT(WR_BLOCK_ORDER) - 1)));
}

/*
 * Does the view of an area have this page at @addr?  All that is read here is protected
 * memory.  The kind of a pool that is being destroyed is 0.
 */
static inline bool prmem_is_view(const struct prmem_page *page, unsigned long addr)
{
	const struct prmem_owner *owner = READ_ONCE(page->owner);
	const struct prmem_page *head = prmem_page_of(READ_ONCE(page->head));
	unsigned long view = head ? READ_ONCE(head->view) : 0;

	if (!owner || !head || READ_ONCE(head->owner) != owner)
		return false;
	if (READ_ONCE(owner->kind) && READ_ONCE(owner->kind) != PRMEM_KIND_POOL)
		return false;

	return view && addr == view + ((unsigned long)page->index << PAGE_SHIFT);
}

/* Where the window has a byte of a slot. */
static __always_inline void *prmem_alias(unsigned int slot, unsigned long offset)
{
	return (void *)(prmem_base + ((unsigned long)slot << PMD_SHIFT) + offset);
}

/* Where the window has what is at @p, a protected address that is known to be good. */
void *prmem_rw(const void *p);

/* Store to metadata: the window is open. */
#define prmem_set(field, val)						\
({									\
	typeof(field) *__field = prmem_rw(&(field));			\
									\
	WRITE_ONCE(*__field, (val));					\
})

/**
 * struct prmem_window - what prmem_close() needs to know from prmem_open()
 * @flags: saved interrupt flags
 * @prev: what CR3 was before; 0 if the window was open already, and stays open
 * @restricted: for asi_resume()
 */
struct prmem_window {
	unsigned long flags;
	unsigned long prev;
#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
	bool restricted;
#endif
};

/* An ASI domain may not map what a write needs, so it is left until prmem_resume(). */
static __always_inline void prmem_suspend(struct prmem_window *w)
{
#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
	w->restricted = asi_suspend();
#endif
}

static __always_inline void prmem_resume(struct prmem_window *w)
{
#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
	asi_resume(w->restricted);
#endif
}

/* prmem_window.h has them inline, for where a few instructions count. */
int prmem_open(struct prmem_window *w);
void prmem_close(struct prmem_window *w);
void prmem_close_batch(struct prmem_window *w, u64 tlb_gen);

/* A batch, with interrupts off. */
struct prmem_batch {
	struct prmem_window	window;
	unsigned int		depth;
	unsigned int		ops;
	unsigned int		bytes;
	unsigned int		pinned;	/* depth of the first wr_edit(), or 0 */
	u64			tlb_gen; /* when it began, see prmem_tlb_gen() */
	bool			too_long;
	bool			inner;	/* in a window that was lent to the task */
	unsigned long		caller;	/* who has begun it */
	unsigned long		corrupt; /* who has found that a list is corrupted */
};

DECLARE_PER_CPU(struct prmem_batch, prmem_batch);

void prmem_batch_too_long(struct prmem_batch *b);

/* Most pointers that __wr_links() sets at a time. */
#define WR_MAX_LINKS		8

/* As wr_link.was: any old value will do.  No pointer has this value. */
#define WR_LINK_ANY		ERR_PTR(-MAX_ERRNO)

/* One pointer to set: @slot is where it is, @was what it is, @val what it is to be. */
struct wr_link {
	const void	*slot;
	const void	*was;
	const void	*val;
};

int __wr_links(const struct wr_link *links, unsigned int n, unsigned long caller);
struct prmem_page *prmem_find(const void *p, void **alias);
u32 prmem_claim(const struct prmem_owner *owner, unsigned int nr);
void prmem_give_back(struct prmem_page *page, const struct prmem_owner *owner);
int prmem_grow(unsigned int nr);
void prmem_shrink(void);
void prmem_refill(void);
unsigned int prmem_slot_of(unsigned long pfn);
enum prmem_refusal prmem_check_range(const struct wr_cache *c, const void *p, size_t n,
				     bool write);
void *prmem_alloc_descriptor(struct wr_cache *of);
void prmem_free_descriptor(struct wr_cache *of, void *obj);
bool prmem_replace(const u32 *p, u32 from, u32 to);
bool prmem_may_grow(gfp_t gfp);
void *prmem_object_rw(const struct wr_cache *c, const void *obj);

enum prmem_pfn_state {
	PRMEM_PFN_NONE,		/* ordinary memory */
	PRMEM_PFN_OPEN,		/* of a pool that is not protected yet */
	PRMEM_PFN_PROTECTED,
};

enum prmem_pfn_state prmem_pfn_state(unsigned long pfn);
bool prmem_overlaps(unsigned long pfn, unsigned long nr);

bool prmem_frames_protected(unsigned long pfn, unsigned long nr);
void prmem_frames_add(unsigned int slot);
void prmem_frames_remove(unsigned int slot);

/**
 * struct prmem_check - what prmem_check() has found
 * @tables: page tables that it has walked, by their roots
 * @leaves: entries that map protected memory
 * @writable: violations: writable, and neither in a window that is closed nor in the
 *	view of a pool that is not protected yet
 * @global: violations: global entries in the window
 * @user: violations: accessible for user space
 * @executable: violations: executable
 * @pgd: physical address of the root of the first violation
 * @addr: its virtual address
 */
struct prmem_check {
	unsigned long tables;
	unsigned long leaves;
	unsigned long writable;
	unsigned long global;
	unsigned long user;
	unsigned long executable;
	unsigned long pgd;
	unsigned long addr;
};

int prmem_check(struct prmem_check *result);

#endif /* _MM_PRMEM_H */
