// SPDX-License-Identifier: GPL-2.0
/*
 * Entries of page tables, and operations on ranges of them.
 *
 * An entry of a table that a pg_table owns says itself what it is: see enum
 * pg_kind.  So there is no record of ranges that could disagree with the tables.
 */
#include <linux/cleanup.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "pg_table.h"

/*
 * Tables
 */

/* Is @slot an entry of the root of @pgt? */
static bool pg_table_is_root_slot(const struct pg_table *pgt, const pteval_t *slot)
{
	return PTR_ALIGN_DOWN(slot, PAGE_SIZE) == (const pteval_t *)pgt->root;
}

static unsigned int pg_table_index(int level, unsigned long addr)
{
	return (addr >> page_level_shift(level)) % PTRS_PER_PTE;
}

static bool pg_table_owns(const struct pg_table *pgt, int level, pteval_t e)
{
	return pg_entry_is_table(level, e) &&
	       virt_to_ptdesc(pg_entry_table(e))->pt_owner == pgt;
}

/* The bit in pgt->follows for an entry of the kernel half of the root. */
static unsigned int pg_table_root_bit(const pteval_t *slot)
{
	return offset_in_page(slot) / sizeof(*slot) % (PTRS_PER_PGD / 2);
}

/*
 * Read an entry of a table that @pgt owns.  PG_ENTRY_FOLLOW alone means that the entry
 * follows the source, which has nothing there now.  Such an entry is stored as
 * PG_ENTRY_FOLLOW_NONE; but in the root it is stored as 0, since pgd_none() wants that,
 * with a bit in pgt->follows.
 */
static pteval_t pg_table_get(const struct pg_table *pgt, const pteval_t *slot)
{
	pteval_t e = pg_entry_read(slot);

	if (e & ~PG_ENTRY_IGNORE)
		return e;

	if (e == PG_ENTRY_FOLLOW_NONE ||
	    (pg_table_is_root_slot(pgt, slot) && test_bit(pg_table_root_bit(slot), pgt->follows)))
		return PG_ENTRY_FOLLOW;

	return 0;
}

static void pg_table_set(struct pg_table *pgt, int level, pteval_t *slot, pteval_t e)
{
	bool root = pg_table_is_root_slot(pgt, slot);

	if (root)
		__assign_bit(pg_table_root_bit(slot), pgt->follows, e == PG_ENTRY_FOLLOW);
	if (e == PG_ENTRY_FOLLOW)
		e = root ? 0 : PG_ENTRY_FOLLOW_NONE;

	pg_entry_write(level, slot, e);
}

/* What an entry is, in a table that a pg_table owns. */
enum pg_kind {
	PG_NONE,	/* empty, and stays so whatever the source maps there */
	PG_PRIVATE,	/* a leaf from pg_table_map() */
	PG_COPY,	/* copy of a leaf of the source, removed when that is removed */
	PG_FOLLOW,	/* whatever the source has now and later: leaf, table, nothing */
	PG_OWNED,	/* leads to a table that this pg_table owns */
};

static enum pg_kind pg_table_kind(const struct pg_table *pgt, int level, pteval_t e)
{
	if (!e)
		return PG_NONE;
	if (pg_entry_is_table(level, e))
		return pg_table_owns(pgt, level, e) ? PG_OWNED : PG_FOLLOW;
	if (e & PG_ENTRY_FOLLOW)
		return PG_FOLLOW;

	return e & PG_ENTRY_COPY ? PG_COPY : PG_PRIVATE;
}

/*
 * The entry of @level that the source has for @addr, restricted by what the levels above
 * forbid.  @upper is the entry of the source one level above, with these restrictions.
 * If that is a leaf, this is the part of it that has @addr; if it is 0, so is this.
 */
static pteval_t pg_source_entry(pteval_t upper, int level, unsigned long addr)
{
	unsigned int index = pg_table_index(level, addr);
	pteval_t e;

	if (!upper)
		return 0;

	if (pg_entry_is_table(level + 1, upper))
		e = pg_entry_restrict(pg_entry_read(pg_entry_table(upper) + index), upper);
	else
		e = pg_entry_part(level + 1, upper, index);

	e &= ~(PG_ENTRY_COPY | PG_ENTRY_FOLLOW);

	return e & ~(PG_ENTRY_IGNORE | _PAGE_NX) ? e : 0;
}

static pteval_t pg_source_root_entry(const struct pg_table *src, int level, unsigned long addr)
{
	const pteval_t *slot = (pteval_t *)src->root + pg_table_index(level, addr);

	return pg_entry_read(slot);
}

/* An entry that takes over what the source has, now and later. */
static pteval_t pg_entry_follow(int level, pteval_t source)
{
	if (!source)
		return PG_ENTRY_FOLLOW;
	if (pg_entry_is_table(level, source))
		return source;

	return (source & ~PG_ENTRY_STRIP) | PG_ENTRY_COPY | PG_ENTRY_FOLLOW;
}

/* A copy of the leaf @source, which stays for as long as the source has the leaf. */
static pteval_t pg_entry_copy(pteval_t source)
{
	return (source & ~PG_ENTRY_STRIP) | PG_ENTRY_COPY;
}

/*
 * Operations
 *
 * Each operation visits the entries of its range twice.  pg_table_prepare() finds out, in
 * a dry run, how many tables are needed, and allocates them.  pg_table_commit() changes
 * the entries and can't fail, except that tables may be missing if the source has
 * changed between the two.
 */

/* The most entries to visit without turning interrupts on. */
#define PG_TABLE_BUDGET		4096

/* Is all of an entry in the range of the operation? */
static bool pg_slot_whole(const struct pg_table_op *op, int level, unsigned long addr)
{
	return pg_slot_start(level, addr) >= op->start && pg_slot_last(level, addr) <= op->last;
}

#if IS_ENABLED(CONFIG_PG_TABLE_KUNIT_TEST)
/* Which allocation from now on fails; 0 is none, negative all. */
int pg_table_fail_alloc;

bool pg_table_fails(void)
{
	return pg_table_fail_alloc < 0 || (pg_table_fail_alloc && !--pg_table_fail_alloc);
}
#endif

static bool pg_table_fill_pool(struct pg_table_op *op, gfp_t gfp)
{
	struct ptdesc *pt;

	for (; op->need; op->need--) {
		pt = !(gfp & __GFP_NOFAIL) && pg_table_fails() ? NULL : pagetable_alloc(gfp, 0);
		if (!pt)
			return false;

		pagetable_pud_ctor(pt);
		list_add(&pt->pt_list, &op->pool);
	}

	return true;
}

void pg_table_free_page(struct ptdesc *pt)
{
	pt->pt_owner = NULL;
	pagetable_pud_dtor(pt);
	pagetable_free(pt);
}

/* Free the tables in the pool: all of them after a failure, else those left over. */
void pg_table_abandon(struct pg_table_op *op)
{
	struct ptdesc *pt, *next;

	list_for_each_entry_safe(pt, next, &op->pool, pt_list)
		pg_table_free_page(pt);
	INIT_LIST_HEAD(&op->pool);
}

/*
 * Replace the entry @e of @level in @slot by a table, from the pool, that maps the same.
 * Returns the table, or NULL if the pool is empty.  pgt->lock is held.
 */
static pteval_t *pg_table_split(struct pg_table_op *op, int level, pteval_t *slot,
				unsigned long addr, pteval_t e)
{
	struct pg_table *pgt = op->pgt;
	struct ptdesc *pt = list_first_entry_or_null(&op->pool, struct ptdesc, pt_list);
	unsigned int i;
	pteval_t *table;

	lockdep_assert_held(&pgt->lock);
	if (!pt)
		return NULL;

	pt->pt_owner = pgt;
	list_move(&pt->pt_list, &pgt->tables);
	pgt->nr_tables++;
	atomic_long_inc(&pg_table_stats.tables);

	table = ptdesc_address(pt);
	addr = pg_slot_start(level, addr);
	for (i = 0; i < PTRS_PER_PTE && e; i++) {
		pteval_t part = e;

		if (pg_entry_is_table(level, e))
			part = pg_entry_follow(level - 1, pg_source_entry(e, level - 1, addr));
		else if (e != PG_ENTRY_FOLLOW)
			part = pg_entry_part(level, e, i);

		pg_table_set(pgt, level - 1, table + i, part);
		addr += page_level_size(level - 1);
	}

	arch_pg_table_alloc(pgt->mm, level - 1, table);
	op->changed |= pg_entry_present(e);
	/*
	 * Write the entries of the table before the entry that leads to it.  Pairs with
	 * the address dependency in pg_table_find().
	 */
	smp_wmb();
	pg_table_set(pgt, level, slot, pg_entry_mk_table(table));

	return table;
}

/*
 * The entry @e is gone.  Move the table that it led to, and all tables of the pg_table
 * below, to op->doomed, to be freed by pg_table_finish().
 */
static void pg_table_doom(struct pg_table_op *op, int level, pteval_t e)
{
	struct ptdesc *pt = virt_to_ptdesc(pg_entry_table(e));
	pteval_t *table = pg_entry_table(e);
	unsigned int i;

	for (i = 0; i < PTRS_PER_PTE && level > PG_LEVEL_2M; i++) {
		e = pg_entry_read(table + i);
		if (pg_table_owns(op->pgt, level - 1, e))
			pg_table_doom(op, level - 1, e);
	}

	pt->pt_owner = NULL;
	arch_pg_table_release(level - 1, table);
	list_move(&pt->pt_list, &op->doomed);
	op->pgt->nr_tables--;
	atomic_long_dec(&pg_table_stats.tables);
}

/* Unless this is a dry run: replace an entry, and remove the owned tables below it. */
static void pg_table_replace(struct pg_table_op *op, int level, pteval_t *slot,
			     pteval_t old, pteval_t new)
{
	if (op->dry)
		return;

	lockdep_assert_held(&op->pgt->lock);
	op->changed |= pg_entry_present(old);
	pg_table_set(op->pgt, level, slot, new);
	if (pg_table_kind(op->pgt, level, old) == PG_OWNED)
		pg_table_doom(op, level, old);
}

/*
 * Visit the entries of a table for the addresses @start to @last.  @upper is the entry of
 * the source above the table.  @table is NULL, in the dry run, if it is still to be made.
 * Returns true if it is time to turn interrupts on; op->resume is where to go on then.
 */
static bool pg_table_visit(struct pg_table_op *op, pteval_t *table, int level,
			   unsigned long start, unsigned long last, pteval_t upper)
{
	bool root = table == (pteval_t *)op->pgt->root;
	unsigned long addr = start, to;
	pteval_t e, s = 0, *slot, *next;

	for (;; addr = to + 1) {
		to = min(pg_slot_last(level, addr), last);
		slot = table ? table + pg_table_index(level, addr) : NULL;
		e = slot ? pg_table_get(op->pgt, slot) : op->fresh;
		if (op->src)
			s = root ? pg_source_root_entry(op->src, level, addr) :
				   pg_source_entry(upper, level, addr);

		if (op->visit(op, level, slot, addr, e, s) == PG_DESCEND) {
			/* op->visit() may have changed the entry. */
			e = slot ? pg_table_get(op->pgt, slot) : op->fresh;
			if (slot && pg_table_owns(op->pgt, level, e)) {
				next = pg_entry_table(e);
			} else if (op->dry) {
				op->need++;
				next = NULL;
			} else {
				next = pg_table_split(op, level, slot, addr, e);
				op->missing |= !next;
			}

			if ((next || op->dry) &&
			    pg_table_visit(op, next, level - 1, addr, to, s))
				return true;
		}

		if (to == op->last)
			return false;
		if (--op->budget < 0) {
			op->resume = to + 1;
			return true;
		}
		if (to == last)
			return false;
	}
}

static void pg_table_run(struct pg_table_op *op, bool dry)
{
	bool more;

	op->dry = dry;
	op->resume = op->start;
	do {
		op->budget = PG_TABLE_BUDGET;
		scoped_guard(raw_spinlock_irqsave, &op->pgt->lock)
			more = pg_table_visit(op, (pteval_t *)op->pgt->root,
					      pg_table_root_level(), op->resume, op->last, 0);
		if (more && op->may_sleep)
			cond_resched();
	} while (more);
}

/* Count the tables that are needed, in a dry run, and allocate them; false: no memory. */
bool pg_table_prepare(struct pg_table_op *op, gfp_t gfp)
{
	pg_table_run(op, true);

	return pg_table_fill_pool(op, gfp);
}

void pg_table_commit(struct pg_table_op *op)
{
	pg_table_run(op, false);
	pg_table_abandon(op);
}

static bool pg_kind_is_leaf(int level, pteval_t e, enum pg_kind kind)
{
	return kind != PG_OWNED && kind != PG_NONE && e != PG_ENTRY_FOLLOW &&
	       !pg_entry_is_table(level, e);
}

/* For pg_table_share() with PG_TABLE_4K and PG_TABLE_LEAF, which copy leaves. */
enum pg_step pg_visit_copy(struct pg_table_op *op, int level, pteval_t *slot,
			   unsigned long addr, pteval_t e, pteval_t s)
{
	enum pg_kind kind = pg_table_kind(op->pgt, level, e);
	bool whole = pg_slot_whole(op, level, addr);
	bool large = kind == PG_COPY && op->small && level > PG_LEVEL_4K;

	if (!pg_entry_present(s) || (kind != PG_NONE && kind != PG_OWNED && !large))
		return PG_DONE;

	if (kind == PG_OWNED || pg_entry_is_table(level, s))
		return PG_DESCEND;

	if (level > PG_LEVEL_4K && (op->small || !whole))
		return PG_DESCEND;

	pg_table_replace(op, level, slot, e, pg_entry_copy(s));
	return PG_DONE;
}

/* For pg_table_share() with PG_TABLE_PMD and above, which take over entries. */
enum pg_step pg_visit_share(struct pg_table_op *op, int level, pteval_t *slot,
			    unsigned long addr, pteval_t e, pteval_t s)
{
	if (pg_table_kind(op->pgt, level, e) == PG_FOLLOW)
		return PG_DONE;

	/* If the source has nothing here, a larger entry follows it just as well. */
	if (level > op->level && (s || !pg_slot_whole(op, level, addr)))
		return PG_DESCEND;

	pg_table_replace(op, level, slot, e, pg_entry_follow(level, s));
	return PG_DONE;
}

/* pg_table_map(). */
enum pg_step pg_visit_map(struct pg_table_op *op, int level, pteval_t *slot,
			  unsigned long addr, pteval_t e, pteval_t s)
{
	unsigned long pfn;

	if (!pg_table_has_leaf(level) || !pg_slot_whole(op, level, addr))
		return PG_DESCEND;

	/* The page frame of the first page of the entry, which may lie before @addr. */
	pfn = op->pfn + ((pg_slot_start(level, addr) - op->start) >> PAGE_SHIFT);
	if (!IS_ALIGNED(pfn << PAGE_SHIFT, page_level_size(level)))
		return PG_DESCEND;

	pg_table_replace(op, level, slot, e, pg_entry_mk_leaf(level, pfn, op->prot));
	return PG_DONE;
}

/* pg_table_unmap(). */
enum pg_step pg_visit_unmap(struct pg_table_op *op, int level, pteval_t *slot,
			    unsigned long addr, pteval_t e, pteval_t s)
{
	if (!e)
		return PG_DONE;

	if (!pg_slot_whole(op, level, addr))
		return PG_DESCEND;

	pg_table_replace(op, level, slot, e, 0);
	return PG_DONE;
}

/* For pg_table_tell(), after a change of the source. */
enum pg_step pg_visit_changed(struct pg_table_op *op, int level, pteval_t *slot,
			      unsigned long addr, pteval_t e, pteval_t s)
{
	enum pg_kind kind = pg_table_kind(op->pgt, level, e);
	pteval_t new;

	switch (kind) {
	case PG_OWNED:
		return PG_DESCEND;
	case PG_COPY:
		/* The source has split the leaf: split the copy, if there is memory. */
		if (pg_entry_is_table(level, s)) {
			if (op->dry || !list_empty(&op->pool))
				return PG_DESCEND;
			atomic_long_inc(&pg_table_stats.dropped);
			s = 0;
		}
		new = s ? pg_entry_copy(s) : 0;
		break;
	case PG_FOLLOW:
		new = pg_entry_follow(level, s);
		break;
	default:
		return PG_DONE;
	}

	if (op->dry || !((e ^ new) & ~PG_ENTRY_IGNORE))
		return PG_DONE;

	atomic_long_inc(&pg_table_stats.followed);
	pg_table_replace(op, level, slot, e, new);
	return PG_DONE;
}

/* For pg_table_tell(), before memory is unplugged: drop what is taken from the source. */
enum pg_step pg_visit_removing(struct pg_table_op *op, int level, pteval_t *slot,
			       unsigned long addr, pteval_t e, pteval_t s)
{
	enum pg_kind kind = pg_table_kind(op->pgt, level, e);

	if (kind == PG_OWNED)
		return PG_DESCEND;

	if (kind == PG_NONE || kind == PG_PRIVATE || e == PG_ENTRY_FOLLOW)
		return PG_DONE;

	/* The kernel never frees the tables that entries of its root lead to. */
	if (level == pg_table_root_level())
		return PG_DONE;

	if (!pg_slot_whole(op, level, addr)) {
		if (op->dry || !list_empty(&op->pool))
			return PG_DESCEND;
		atomic_long_inc(&pg_table_stats.dropped);
	}

	pg_table_replace(op, level, slot, e, kind == PG_FOLLOW ? PG_ENTRY_FOLLOW : 0);
	return PG_DONE;
}

/* pg_table_populate(). */
enum pg_step pg_visit_populate(struct pg_table_op *op, int level, pteval_t *slot,
			       unsigned long addr, pteval_t e, pteval_t s)
{
	return level > op->level ? PG_DESCEND : PG_DONE;
}

/*
 * Is there a leaf from @addr to @last that is private, or, if @any, of whatever
 * kind?  Tables of the source are looked into only for the latter.  When @budget is
 * used up, @addr is where to go on, from the root.
 */
static bool pg_table_has(const struct pg_table *pgt, const pteval_t *table, int level,
			 unsigned long *addr, unsigned long last, bool any, int *budget)
{
	unsigned long to;

	for (;; *addr = to + 1) {
		const pteval_t *slot = table + pg_table_index(level, *addr);
		pteval_t e = pg_table_get(pgt, slot);
		enum pg_kind kind = pg_table_kind(pgt, level, e);

		if (--*budget < 0)
			return false;

		to = min(pg_slot_last(level, *addr), last);
		if (pg_kind_is_leaf(level, e, kind)) {
			if (any || kind == PG_PRIVATE)
				return true;
		} else if (kind == PG_OWNED || (any && pg_entry_is_table(level, e))) {
			if (pg_table_has(pgt, pg_entry_table(e), level - 1, addr, to, any, budget))
				return true;
			if (*budget < 0)
				return false;
		}

		if (to == last)
			return false;
	}
}

/*
 * Look at some of the entries, with interrupts off, for pg_table_occupied().  Returns
 * false if it has to be called again to go on at @addr.
 */
bool pg_table_occupied_part(struct pg_table *pgt, unsigned long *addr, unsigned long last,
			    bool any, bool *has)
{
	int budget = PG_TABLE_BUDGET;
	bool found;

	scoped_guard(raw_spinlock_irqsave, &pgt->lock)
		found = pg_table_has(pgt, (pteval_t *)pgt->root, pg_table_root_level(), addr,
				     last, any, &budget);
	*has = found;

	return budget >= 0;
}

/*
 * Is something mapped from @start to @last, by pg_table_map() or, if @any, by whatever?
 * The lock may be dropped in between, since only the caller, who holds the mutex, adds
 * private leaves.  What the source adds meanwhile may be found or not.
 */
bool pg_table_occupied(struct pg_table *pgt, unsigned long start, unsigned long last, bool any)
{
	unsigned long addr = start;
	bool has;

	while (!pg_table_occupied_part(pgt, &addr, last, any, &has))
		cond_resched();

	return has;
}

void pg_table_op_init(struct pg_table_op *op, struct pg_table *pgt, unsigned long start,
		      unsigned long last)
{
	*op = (struct pg_table_op) { .pgt = pgt, .start = start, .last = last };
	INIT_LIST_HEAD(&op->pool);
	INIT_LIST_HEAD(&op->doomed);
}

/*
 * Find the entry that decides what is mapped at @addr; returns its level.  Interrupts are
 * off, so that no table is freed meanwhile: those of a pg_table wait for a grace period
 * of RCU, and those of the kernel for an interrupt of all CPUs.  Only the tables of
 * memory that is being unplugged do not.
 */
int pg_table_find(const struct pg_table *pgt, unsigned long addr, pteval_t *entry)
{
	int level = pg_table_root_level();
	pteval_t e = pg_source_root_entry(pgt, level, addr);

	/* The dependency pairs with smp_wmb() in pg_table_split(). */
	for (; pg_entry_is_table(level, e); level--)
		e = pg_source_entry(e, level - 1, addr);

	*entry = e;
	return level;
}
