/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page tables of the kernel half as objects: share, map, unmap, free.
 * See Documentation/mm/pg_table.rst.
 */
#ifndef _LINUX_PG_TABLE_H
#define _LINUX_PG_TABLE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/mem_encrypt.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct dentry;
struct mm_struct;
struct pg_table;

#ifdef CONFIG_PG_TABLE

#define PG_TABLE_NAME_LEN	32

/**
 * enum pg_table_level - how pg_table_share() takes over a range
 * @PG_TABLE_4K: copy what is mapped, in leaves of 4 KiB; larger copies in the range are
 *	broken down
 * @PG_TABLE_LEAF: copy what is mapped, in leaves as large as the source has them;
 *	one that is only partly in the range is broken down
 * @PG_TABLE_PMD: entries of PMD tables become those of the source, and so point to
 *	the same PTE tables
 * @PG_TABLE_PUD: like @PG_TABLE_PMD, for entries of PUD tables
 * @PG_TABLE_P4D: like @PG_TABLE_PMD, for entries of P4D tables
 * @PG_TABLE_PGD: like @PG_TABLE_PMD, for entries of the root; with four levels of page
 *	tables this does what @PG_TABLE_P4D does
 */
enum pg_table_level {
	PG_TABLE_4K,
	PG_TABLE_LEAF,
	PG_TABLE_PMD,
	PG_TABLE_PUD,
	PG_TABLE_P4D,
	PG_TABLE_PGD,
};

/**
 * struct pg_table_ops - what the owner of a pg_table does for it
 * @flush: make sure that no CPU uses what it has cached of [@start, @end).
 *	Called after entries were removed, restricted or replaced and the
 *	generation has changed, before any page of a table gets reused.  Not called
 *	for changes of the kernel's page table, which the kernel's own flush has to
 *	make effective.  May sleep.  The mutex of @pgt is not held, but that of the
 *	list of page tables may be: pg_table_create() and pg_table_free() would
 *	deadlock.  An @end of 0 is the end of the address space.  NULL if @pgt is
 *	never loaded.
 * @pinned: does the owner need what is mapped somewhere in [@start, @end)?  Then
 *	pg_table_unmap() and pg_table_free() are refused.  Called in process context,
 *	by pg_table_unmap() with the mutex of @pgt; an @end of 0 as above.  NULL if nothing
 *	ever is.
 */
struct pg_table_ops {
	void (*flush)(struct pg_table *pgt, unsigned long start, unsigned long end);
	bool (*pinned)(const struct pg_table *pgt, unsigned long start, unsigned long end);
};

/**
 * struct pg_table - a page table of the kernel half
 * @root: what CR3 points to
 * @private: what the creator has passed to pg_table_create()
 * @name: unique; for messages and the file in debugfs
 */
struct pg_table {
	pgd_t			*root;
	void			*private;
	char			name[PG_TABLE_NAME_LEN];
	/* private: */
	atomic64_t		generation;
	atomic_t		unflushed;	/* operations that have yet to flush */
	const struct pg_table_ops *ops;
	struct mutex		mutex;		/* one operation at a time */
	raw_spinlock_t		lock;		/* entries, tables and nr_tables */
	struct list_head	tables;		/* own tables, without the root */
	unsigned long		nr_tables;
	struct mm_struct	*mm;		/* owner of the root, or NULL */
	struct pg_table		*source;	/* page table to follow, or NULL */
	atomic_t		nr_clones;	/* page tables with this source */
	DECLARE_BITMAP(follows, PTRS_PER_PGD / 2); /* empty root entries that follow */
	struct list_head	node;		/* in pg_table_list */
	struct dentry		*file;
	struct rcu_head		rcu;
};

/**
 * struct pg_table_leaf - a mapping, as the CPU sees it
 * @start: its first address
 * @pa: the physical address of @start
 * @prot: the protection, in the form that a leaf of 4 KiB has, with what tables
 *	above the leaf forbid
 * @level: %PG_LEVEL_4K, %PG_LEVEL_2M or %PG_LEVEL_1G
 */
struct pg_table_leaf {
	unsigned long	start;
	phys_addr_t	pa;
	pgprot_t	prot;
	unsigned int	level;
};

/* Why a caller is refused. */
enum pg_table_refusal {
	PG_TABLE_BAD_ARG,
	PG_TABLE_BAD_NAME,
	PG_TABLE_BAD_RANGE,
	PG_TABLE_BAD_PROT,
	PG_TABLE_BAD_PFN,
	PG_TABLE_BAD_SOURCE,
	PG_TABLE_OCCUPIED,
	PG_TABLE_BUSY,
	PG_TABLE_PINNED,
	PG_TABLE_NR_REFUSALS,
};

/* For debugfs and tests; @instances and @tables are what there is now. */
struct pg_table_stats {
	atomic_long_t	instances;
	atomic_long_t	tables;		/* pages, without the roots */
	atomic_long_t	followed;	/* entries changed after their source */
	atomic_long_t	dropped;	/* entries lost for lack of memory */
	atomic_long_t	refused[PG_TABLE_NR_REFUSALS];
};

extern struct pg_table_stats pg_table_stats;
extern struct pg_table kernel_pg_table;

struct pg_table *pg_table_create(const char *name, const struct pg_table_ops *ops,
				 void *private);
void pg_table_free(struct pg_table *pgt);
void pg_table_attach(struct pg_table *pgt, struct mm_struct *mm);
void pg_table_detach(struct pg_table *pgt);
int __must_check pg_table_populate(struct pg_table *pgt, unsigned long addr, int level);
int __must_check pg_table_share(struct pg_table *dst, struct pg_table *src,
				unsigned long start, unsigned long end,
				enum pg_table_level level);
int __must_check pg_table_map(struct pg_table *pgt, unsigned long addr,
			      unsigned long pfn, unsigned long nr, pgprot_t prot);
int pg_table_unmap(struct pg_table *pgt, unsigned long start, unsigned long end);
void pg_table_unmap_nofail(struct pg_table *pgt, unsigned long start, unsigned long end);
bool pg_table_lookup(const struct pg_table *pgt, unsigned long addr,
		     struct pg_table_leaf *leaf);
void pg_table_for_each(void (*fn)(const struct pg_table *pgt, void *arg), void *arg);
int pg_table_walk(const struct pg_table *pgt, unsigned long start, unsigned long end,
		  int (*fn)(const struct pg_table_leaf *leaf, void *arg), void *arg);

/**
 * pg_table_generation - changes with each change that a TLB could hide
 * @pgt: any
 *
 * Who loads @pgt without a flush of its TLB entries remembers the generation with
 * which it flushed last.  It publishes that it is going to load @pgt, has a full
 * barrier, and reads the generation; that barrier pairs with the one in
 * pg_table_bump(), after which ops->flush() looks for those who have it loaded.
 *
 * Context: Any, noinstr too.
 *
 * Return: a number that only grows.
 */
static __always_inline u64 pg_table_generation(const struct pg_table *pgt)
{
	return raw_atomic64_read(&pgt->generation);
}

/**
 * pg_table_root - the physical address of the root
 * @pgt: any
 *
 * Context: Any.
 *
 * Return: what goes into CR3, with the encryption bit if there is one; bit 12 is clear
 * if PTI is built in.
 */
static inline phys_addr_t pg_table_root(const struct pg_table *pgt)
{
	return __sme_set(__pa(pgt->root));
}

/* Some pg_table has a source. */
DECLARE_STATIC_KEY_FALSE(pg_table_key);

void __pg_table_source_changed(struct pg_table *src, unsigned long start,
			       unsigned long end);
void __pg_table_source_removing(struct pg_table *src, unsigned long start,
				unsigned long end);

/**
 * pg_table_source_changed - the kernel's page table has changed
 * @start: the first address with a change
 * @end: the end of the addresses with a change; 0 is the end of the address space
 *
 * Each pg_table that has taken over something of the range follows.  To be
 * called after the entry has changed, and before the flush of the TLBs that makes
 * the change effective, or the free of the page table that it led to.
 *
 * Context: Any.  In an NMI it does nothing, which is right for those who only add
 * a mapping there.
 */
static inline void pg_table_source_changed(unsigned long start, unsigned long end)
{
	if (static_branch_unlikely(&pg_table_key)) {
		/*
		 * The caller has changed the entry; only then this looks for page
		 * tables that follow.  Pairs with smp_mb() in __pg_table_set_source().
		 */
		smp_mb();
		__pg_table_source_changed(&kernel_pg_table, start, end);
	}
}

/**
 * pg_table_source_removing - memory is about to be unplugged
 * @start: the first address where the kernel's page table is going to change
 * @end: the end of the addresses
 *
 * No pg_table maps any of the range after this, nor points to a page table that the
 * kernel may now free.  pg_table_source_changed() follows at the end.
 *
 * Context: Process context, with the lock of memory hotplug held for writing.
 */
static inline void pg_table_source_removing(unsigned long start, unsigned long end)
{
	if (static_branch_unlikely(&pg_table_key))
		__pg_table_source_removing(&kernel_pg_table, start, end);
}

#else /* !CONFIG_PG_TABLE */

static inline void pg_table_source_changed(unsigned long start, unsigned long end) { }
static inline void pg_table_source_removing(unsigned long start, unsigned long end) { }

#endif /* CONFIG_PG_TABLE */

#endif /* _LINUX_PG_TABLE_H */
