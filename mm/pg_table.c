// SPDX-License-Identifier: GPL-2.0
/*
 * Page tables of the kernel half as objects.
 *
 * A pg_table owns its root and the tables that it has allocated, and may point to
 * tables of its source, which it never writes to.  See Documentation/mm/pg_table.rst.
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/hardirq.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pg_table.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "pg_table.h"

/* On while any pg_table has a source, so that changes of the source have to be told. */
DEFINE_STATIC_KEY_FALSE(pg_table_key);

/* The page table of init_mm, for use as a source.  pg_table_map() etc. refuse it. */
struct pg_table kernel_pg_table = {
	.root		= swapper_pg_dir,
	.name		= "kernel",
	.mutex		= __MUTEX_INITIALIZER(kernel_pg_table.mutex),
	.lock		= __RAW_SPIN_LOCK_UNLOCKED(kernel_pg_table.lock),
	.tables		= LIST_HEAD_INIT(kernel_pg_table.tables),
	.node		= LIST_HEAD_INIT(kernel_pg_table.node),
};

/*
 * Called after a change, and before ops->flush() looks for CPUs that have @pgt loaded.
 * The increment is a full barrier.  It pairs with the full barrier that those who load
 * @pgt have before they read the generation; see pg_table_generation().
 */
static void pg_table_bump(struct pg_table *pgt)
{
	atomic64_inc_return(&pgt->generation);
}

/* Is @pgt the source of any page table?  Called after a change of @pgt. */
static bool pg_table_has_clones(const struct pg_table *pgt)
{
	/*
	 * The entries of @pgt were changed before nr_clones is read.  Pairs with smp_mb()
	 * in __pg_table_set_source().
	 */
	smp_mb();

	return atomic_read(&pgt->nr_clones);
}

/*
 * Let all page tables whose source is @src follow a change of it, and those whose source
 * they are in turn.  @changed: a TLB may still have what @src mapped before.
 */
static void pg_table_tell(struct pg_table *src, unsigned long start, unsigned long last,
			  pg_visit_t *visit, bool changed)
{
	struct pg_table *pgt;

	guard(rcu)();

	list_for_each_entry_rcu(pgt, &pg_table_list, node) {
		struct pg_table_op op;

		if (READ_ONCE(pgt->source) != src)
			continue;

		pg_table_op_init(&op, pgt, start, last);
		op.src = src;
		op.visit = visit;
		op.fresh = PG_ENTRY_COPY;
		/*
		 * Without memory @pgt loses leaves.  An access to them faults; nothing
		 * stale stays mapped.
		 */
		pg_table_prepare(&op, GFP_ATOMIC | __GFP_ZERO | __GFP_NOWARN);
		pg_table_commit(&op);

		/* If @pgt shares the table that has changed, no entry of its own has. */
		op.changed |= changed;
		if (op.changed)
			pg_table_bump(pgt);
		if (pg_table_has_clones(pgt))
			pg_table_tell(pgt, start, last, visit, op.changed);
	}
}

/**
 * __pg_table_source_changed - a page table has changed that others take over
 * @src: the page table
 * @start: the first address with a change
 * @end: the end of the addresses with a change; 0 is the end of the address space
 *
 * For pg_table_source_changed(), and for tests.
 *
 * Context: As pg_table_source_changed().
 */
void __pg_table_source_changed(struct pg_table *src, unsigned long start, unsigned long end)
{
	/* In an NMI only KFENCE gets here, with a page that becomes accessible. */
	if (in_nmi())
		return;

	pg_table_tell(src, start & PAGE_MASK, PAGE_ALIGN(end) - 1, pg_visit_changed, false);
}

/**
 * __pg_table_source_removing - memory is about to be unplugged
 * @src: the page table
 * @start: the first address where it is going to change
 * @end: the end of the addresses
 *
 * For pg_table_source_removing(), and for tests.
 *
 * Context: As pg_table_source_removing().
 */
void __pg_table_source_removing(struct pg_table *src, unsigned long start, unsigned long end)
{
	pg_table_tell(src, start & PAGE_MASK, PAGE_ALIGN(end) - 1, pg_visit_removing, false);
}

/*
 * Flush all page tables that follow @src, directly or not.  The mutex keeps them from
 * being freed; RCU would not do, since ops->flush() may sleep.
 */
static void pg_table_flush_clones(struct pg_table *src, unsigned long start, unsigned long end)
{
	struct pg_table *pgt;

	lockdep_assert_held(&pg_table_list_mutex);

	list_for_each_entry(pgt, &pg_table_list, node) {
		if (pgt->source != src)
			continue;

		if (pgt->ops && pgt->ops->flush)
			pgt->ops->flush(pgt, start, end);
		pg_table_flush_clones(pgt, start, end);
	}
}

static void pg_table_free_rcu(struct rcu_head *head)
{
	pg_table_free_page(container_of(head, struct ptdesc, pt_rcu_head));
}

/*
 * The end of an operation: tell the page tables that follow, drop the mutex, flush, and
 * free the tables that were removed.  After that no CPU uses what was removed.
 */
static void pg_table_finish(struct pg_table_op *op)
{
	struct pg_table *pgt = op->pgt;
	unsigned long end = op->last + 1;
	struct ptdesc *pt, *next;
	bool flush = op->changed;

	/*
	 * pg_table_unmap() returns only after a flush.  Another operation may have
	 * unmapped a part of the range already, and not have flushed it yet: then it is
	 * flushed here as well.  The acquire pairs with the release below.
	 */
	if (op->visit == pg_visit_unmap)
		flush |= !!atomic_read_acquire(&pgt->unflushed);
	if (op->changed) {
		atomic_inc(&pgt->unflushed);
		pg_table_bump(pgt);
	}
	if (pg_table_has_clones(pgt))
		pg_table_tell(pgt, op->start, op->last, pg_visit_changed, op->changed);

	mutex_unlock(&pgt->mutex);

	if (flush) {
		if (pgt->ops && pgt->ops->flush)
			pgt->ops->flush(pgt, op->start, end);
		if (atomic_read(&pgt->nr_clones)) {
			guard(mutex)(&pg_table_list_mutex);
			pg_table_flush_clones(pgt, op->start, end);
		}
	}
	/* The flush comes first.  Pairs with atomic_read_acquire() in another unmap. */
	if (op->changed)
		(void)atomic_fetch_dec_release(&pgt->unflushed);

	/* pg_table_find() may still read the tables; it keeps interrupts off. */
	list_for_each_entry_safe(pt, next, &op->doomed, pt_list)
		call_rcu(&pt->pt_rcu_head, pg_table_free_rcu);
}

/* Do an operation after its checks.  The caller holds the mutex; this drops it. */
static int pg_table_do(struct pg_table_op *op, gfp_t gfp)
{
	int err = 0;

	lockdep_assert_held(&op->pgt->mutex);
	op->may_sleep = true;
	if (pg_table_prepare(op, gfp)) {
		pg_table_commit(op);
		/*
		 * Rare: the source has changed since, so that tables are missing.  It is
		 * too late to fail, so wait for memory.
		 */
		while (op->missing) {
			op->missing = false;
			pg_table_prepare(op, gfp | __GFP_NOFAIL);
			pg_table_commit(op);
		}
	} else {
		pg_table_abandon(op);
		err = -ENOMEM;
	}
	pg_table_finish(op);

	return err;
}

/* Is this a range of kernel addresses, with its edges aligned to @size? */
static bool pg_table_range_ok(unsigned long start, unsigned long end, unsigned long size)
{
	return start >= pg_table_first_addr() && start <= end - 1 &&
	       IS_ALIGNED(start | end, size);
}

/* May the PMD entries that the edges of a range cut be broken down to 4 KiB leaves? */
static bool pg_table_edges_ok(unsigned long start, unsigned long end)
{
	return (IS_ALIGNED(start, PMD_SIZE) ||
		arch_pg_table_may_copy(start & PMD_MASK, start | ~PMD_MASK)) &&
	       (IS_ALIGNED(end, PMD_SIZE) ||
		arch_pg_table_may_copy(end & PMD_MASK, end | ~PMD_MASK));
}

static bool pg_table_can_change(const struct pg_table *pgt)
{
	return pgt && pgt != &kernel_pg_table;
}

/* Does the owner of @pgt need something of the range? */
static bool pg_table_is_pinned(const struct pg_table *pgt, unsigned long start,
			       unsigned long end)
{
	return pgt->ops && pgt->ops->pinned && pgt->ops->pinned(pgt, start, end);
}

/* Page tables from pg_table_attach() are not listed: they have no source and are none. */
static bool pg_table_can_share(const struct pg_table *pgt)
{
	return pgt && !pgt->mm;
}

static void pg_table_init(struct pg_table *pgt)
{
	mutex_init(&pgt->mutex);
	raw_spin_lock_init(&pgt->lock);
	INIT_LIST_HEAD(&pgt->tables);
	atomic64_set(&pgt->generation, 1);
}

/**
 * pg_table_create - create an empty page table
 * @name: how messages and debugfs call it, shorter than %PG_TABLE_NAME_LEN; copied
 * @ops: what to do when it changes; or NULL
 * @private: for the caller
 *
 * The page table maps nothing yet.  Before a CPU can load it, the caller has to map what
 * the CPU needs to run on.
 *
 * Context: Process context; sleeps.
 *
 * Return: the page table; or an ERR_PTR(): -EINVAL without a name, -EEXIST if the
 * name is taken, empty, too long or has a slash, -EOPNOTSUPP under Xen PV, -ENOMEM.
 */
struct pg_table *pg_table_create(const char *name, const struct pg_table_ops *ops,
				 void *private)
{
	struct pg_table *pgt, *other;

	might_sleep();
	if (!name)
		return ERR_PTR(pg_table_refuse(NULL, PG_TABLE_BAD_ARG, _RET_IP_));

	if (!arch_pg_table_supported())
		return ERR_PTR(-EOPNOTSUPP);

	pgt = pg_table_fails() ? NULL : kzalloc(sizeof(*pgt), GFP_KERNEL);
	if (!pgt)
		return ERR_PTR(-ENOMEM);

	pgt->root = pg_table_fails() ? NULL : (pgd_t *)
		    __get_free_pages(GFP_PGTABLE_USER, PG_TABLE_ROOT_ORDER);
	if (!pgt->root) {
		kfree(pgt);
		return ERR_PTR(-ENOMEM);
	}

	pg_table_init(pgt);
	pgt->ops = ops;
	pgt->private = private;

	guard(mutex)(&pg_table_list_mutex);

	list_for_each_entry(other, &pg_table_list, node) {
		if (!strcmp(other->name, name))
			goto bad_name;
	}
	if (!*name || strchr(name, '/') || !strcmp(name, kernel_pg_table.name) ||
	    strscpy(pgt->name, name) < 0)
		goto bad_name;

	list_add_tail_rcu(&pgt->node, &pg_table_list);
	atomic_long_inc(&pg_table_stats.instances);
	pg_table_debugfs_add(pgt);

	return pgt;

bad_name:
	free_pages((unsigned long)pgt->root, PG_TABLE_ROOT_ORDER);
	kfree(pgt);
	return ERR_PTR(pg_table_refuse(NULL, PG_TABLE_BAD_NAME, _RET_IP_));
}

/* Goes by the list of own tables, since entries can lead to tables of the source. */
static void pg_table_free_tables(struct pg_table *pgt)
{
	struct ptdesc *pt, *next;

	list_for_each_entry_safe(pt, next, &pgt->tables, pt_list)
		pg_table_free_page(pt);
	atomic_long_sub(pgt->nr_tables, &pg_table_stats.tables);
}

static void pg_table_destroy(struct rcu_head *head)
{
	struct pg_table *pgt = container_of(head, struct pg_table, rcu);

	pg_table_free_tables(pgt);
	atomic_long_dec(&pg_table_stats.instances);
	free_pages((unsigned long)pgt->root, PG_TABLE_ROOT_ORDER);
	kfree(pgt);
}

/**
 * pg_table_free - free a page table
 * @pgt: from pg_table_create(), no longer loaded on any CPU; or NULL
 *
 * Frees the tables that @pgt owns, and no other.  The memory becomes free after a
 * grace period, since changes of the source may be on their way.  If there is a
 * page table that shares from @pgt, or its owner has something of @pgt pinned, it is
 * left as it is.
 *
 * Context: Process context; sleeps.
 */
void pg_table_free(struct pg_table *pgt)
{
	if (!pgt)
		return;

	might_sleep();
	if (!pg_table_can_change(pgt) || !pg_table_can_share(pgt)) {
		pg_table_refuse(pgt, PG_TABLE_BAD_ARG, _RET_IP_);
		return;
	}

	if (pg_table_is_pinned(pgt, pg_table_first_addr(), 0)) {
		pg_table_refuse(pgt, PG_TABLE_PINNED, _RET_IP_);
		return;
	}

	/* Can't change any more: the caller lets nobody begin to share from @pgt now. */
	if (atomic_read(&pgt->nr_clones)) {
		pg_table_refuse(pgt, PG_TABLE_BUSY, _RET_IP_);
		return;
	}

	/* Waits for readers of the file.  The name stays taken until the file is gone. */
	debugfs_remove(pgt->file);
	scoped_guard(mutex, &pg_table_list_mutex) {
		list_del_rcu(&pgt->node);
		if (pgt->source)
			atomic_dec(&pgt->source->nr_clones);
	}

	if (pgt->source)
		static_branch_dec(&pg_table_key);

	call_rcu(&pgt->rcu, pg_table_destroy);
}

/**
 * pg_table_attach - own tables below the root of an mm
 * @pgt: to be initialized; the caller's memory, zeroed
 * @mm: what the root belongs to
 *
 * For an mm that is not the mm of any task.  Nothing can be shared with such a page
 * table; its tables are for the caller to fill.
 *
 * Context: Any but NMI.
 */
void pg_table_attach(struct pg_table *pgt, struct mm_struct *mm)
{
	pg_table_init(pgt);
	pgt->mm = mm;
	pgt->root = mm->pgd;
}

/**
 * pg_table_populate - allocate the tables that lead to an address
 * @pgt: any but the kernel's
 * @addr: address of the kernel half
 * @level: of the last table, %PG_LEVEL_4K for a PTE table
 *
 * Context: Process context; sleeps.
 *
 * Return: 0; else nothing has changed: -EINVAL for a bad argument or address, -ENOMEM.
 */
int pg_table_populate(struct pg_table *pgt, unsigned long addr, int level)
{
	struct pg_table_op op;

	might_sleep();
	if (!pg_table_can_change(pgt) || level < PG_LEVEL_4K || level > pg_table_root_level())
		return pg_table_refuse(pgt, PG_TABLE_BAD_ARG, _RET_IP_);

	addr &= PAGE_MASK;
	if (!pg_table_range_ok(addr, addr + PAGE_SIZE, PAGE_SIZE) ||
	    !pg_table_edges_ok(addr, addr + PAGE_SIZE))
		return pg_table_refuse(pgt, PG_TABLE_BAD_RANGE, _RET_IP_);

	pg_table_op_init(&op, pgt, addr, addr + PAGE_SIZE - 1);
	op.visit = pg_visit_populate;
	op.level = level;
	mutex_lock(&pgt->mutex);

	return pg_table_do(&op, GFP_PGTABLE_USER);
}

/**
 * pg_table_detach - free the tables of a pg_table that belongs to an mm
 * @pgt: from pg_table_attach(); no CPU has the mm loaded, and its root was freed
 *
 * Context: Any but NMI and hard interrupts.
 */
void pg_table_detach(struct pg_table *pgt)
{
	pg_table_free_tables(pgt);
}

/*
 * Set the source of @dst.  It never changes again, since an entry does not say which
 * source it is from.  @new becomes true if @dst had none.  The caller reads entries of
 * @src only after this.  Returns false if @dst can't have this source.
 */
static bool __pg_table_set_source(struct pg_table *dst, struct pg_table *src, bool *new)
{
	const struct pg_table *up;

	guard(mutex)(&pg_table_list_mutex);

	if (dst->source)
		return dst->source == src;

	for (up = src; up; up = up->source) {
		if (up == dst)
			return false;
	}

	*new = true;
	WRITE_ONCE(dst->source, src);
	atomic_inc(&src->nr_clones);
	/*
	 * @dst is counted as a follower before it reads entries of @src.  Those who
	 * change an entry of @src look for followers after the change.  Pairs with
	 * smp_mb() in pg_table_source_changed() if @src is the kernel's page table, and
	 * with smp_mb() in pg_table_has_clones() otherwise.  A CPU that has found
	 * pg_table_key off has changed its entry before, since all CPUs were interrupted
	 * to turn the key on.
	 */
	smp_mb();

	return true;
}

static bool pg_table_set_source(struct pg_table *dst, struct pg_table *src)
{
	bool ok, new = false;

	if (READ_ONCE(dst->source))
		return dst->source == src;

	/* Not with pg_table_list_mutex held: this takes the lock of CPU hotplug. */
	static_branch_inc(&pg_table_key);
	ok = __pg_table_set_source(dst, src, &new);
	if (!new)
		static_branch_dec(&pg_table_key);

	return ok;
}

/**
 * pg_table_for_each - call a function for each page table
 * @fn: what to call; does not sleep
 * @arg: for @fn
 *
 * Leaves out the kernel's own, and those that belong to an mm.
 *
 * Context: Any but noinstr.
 */
void pg_table_for_each(void (*fn)(const struct pg_table *pgt, void *arg), void *arg)
{
	const struct pg_table *pgt;

	guard(rcu)();

	list_for_each_entry_rcu(pgt, &pg_table_list, node)
		fn(pgt, arg);
}

/* The level of the entries to take over from the source, or 0 if leaves are copied. */
static int pg_table_share_level(enum pg_table_level level)
{
	if (level < PG_TABLE_PMD)
		return 0;

	return min(PG_LEVEL_2M + (int)(level - PG_TABLE_PMD), pg_table_root_level());
}

/**
 * pg_table_share - let a page table map what another one maps
 * @dst: the page table to change
 * @src: %kernel_pg_table or another; the same for all calls for @dst, even if the first
 *	call has failed
 * @start: first address, aligned to what an entry of @level maps, or to a page
 * @end: end of the addresses, aligned likewise; 0 is the end of the address space
 * @level: how to take over the range
 *
 * With %PG_TABLE_PMD and above @dst maps whatever @src maps in the range, now and later.
 * With %PG_TABLE_4K and %PG_TABLE_LEAF it maps what @src has present now, for as long as
 * @src has it.  In both cases protection and address are always those of @src, but
 * copies are never global or for user mode.
 *
 * Entries of @dst in the range that follow @src already stay as they are.  Copies that
 * are there already become entries that follow @src with %PG_TABLE_PMD and above, and are
 * broken down to leaves of 4 KiB with %PG_TABLE_4K.  The caller sees to it that the
 * kernel keeps the page tables of the range during the call, for instance by using what
 * they map.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0; else nothing has changed: -EINVAL for a bad argument or range or another
 * source, -EEXIST if pg_table_map() has mapped something there, -ENOMEM.
 */
int pg_table_share(struct pg_table *dst, struct pg_table *src, unsigned long start,
		   unsigned long end, enum pg_table_level level)
{
	unsigned long size = PAGE_SIZE;
	struct pg_table_op op;
	int entries, err;

	might_sleep();
	if (!pg_table_can_change(dst) || !pg_table_can_share(dst) || !pg_table_can_share(src) ||
	    dst == src || (unsigned int)level > PG_TABLE_PGD)
		return pg_table_refuse(dst, PG_TABLE_BAD_ARG, _RET_IP_);

	entries = pg_table_share_level(level);
	if (entries)
		size = page_level_size(entries);
	if (!pg_table_range_ok(start, end, size) ||
	    (!entries && !arch_pg_table_may_copy(start, end - 1)))
		return pg_table_refuse(dst, PG_TABLE_BAD_RANGE, _RET_IP_);

	if (!pg_table_set_source(dst, src))
		return pg_table_refuse(dst, PG_TABLE_BAD_SOURCE, _RET_IP_);

	pg_table_op_init(&op, dst, start, end - 1);
	op.src = src;
	op.visit = entries ? pg_visit_share : pg_visit_copy;
	op.level = entries;
	op.small = level == PG_TABLE_4K;

	/* Memory is not unplugged between a look at a table and the entry made of it. */
	mutex_lock(&dst->mutex);
	get_online_mems();
	if (pg_table_occupied(dst, start, end - 1, false)) {
		mutex_unlock(&dst->mutex);
		err = pg_table_refuse(dst, PG_TABLE_OCCUPIED, _RET_IP_);
	} else {
		err = pg_table_do(&op, GFP_PGTABLE_USER);
	}
	put_online_mems();

	return err;
}

/**
 * pg_table_map - map memory in one page table only
 * @pgt: the page table to change
 * @addr: first address, aligned to a page
 * @pfn: the number of the first page frame, of any kind of memory
 * @nr: how many pages
 * @prot: the protection as for a page of 4 KiB: present, not global, not for user
 *	mode, not both writable and executable
 *
 * Makes leaves as large as alignment permits.  They have nothing to do with the
 * source of @pgt.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0; else nothing has changed: -EINVAL for a bad argument, range, protection
 * or page frame, -EEXIST if something is mapped there, -ENOMEM.
 */
int pg_table_map(struct pg_table *pgt, unsigned long addr, unsigned long pfn,
		 unsigned long nr, pgprot_t prot)
{
	unsigned long end = addr + (nr << PAGE_SHIFT);
	struct pg_table_op op;

	might_sleep();
	if (!pg_table_can_change(pgt))
		return pg_table_refuse(pgt, PG_TABLE_BAD_ARG, _RET_IP_);

	if (nr > -pg_table_first_addr() >> PAGE_SHIFT ||
	    !pg_table_range_ok(addr, end, PAGE_SIZE) || !pg_table_edges_ok(addr, end))
		return pg_table_refuse(pgt, PG_TABLE_BAD_RANGE, _RET_IP_);

	if (!arch_pg_table_prot_ok(prot))
		return pg_table_refuse(pgt, PG_TABLE_BAD_PROT, _RET_IP_);

	if (!arch_pg_table_pfn_ok(pfn, nr))
		return pg_table_refuse(pgt, PG_TABLE_BAD_PFN, _RET_IP_);

	pg_table_op_init(&op, pgt, addr, end - 1);
	op.visit = pg_visit_map;
	op.pfn = pfn;
	op.prot = prot;

	mutex_lock(&pgt->mutex);
	if (pg_table_occupied(pgt, addr, end - 1, true)) {
		mutex_unlock(&pgt->mutex);
		return pg_table_refuse(pgt, PG_TABLE_OCCUPIED, _RET_IP_);
	}

	return pg_table_do(&op, GFP_PGTABLE_USER);
}

static int __pg_table_unmap(struct pg_table *pgt, unsigned long start, unsigned long end,
			    gfp_t gfp, unsigned long caller)
{
	struct pg_table_op op;

	might_sleep();
	if (!pg_table_can_change(pgt))
		return pg_table_refuse(pgt, PG_TABLE_BAD_ARG, caller);

	if (!pg_table_range_ok(start, end, PAGE_SIZE) || !pg_table_edges_ok(start, end))
		return pg_table_refuse(pgt, PG_TABLE_BAD_RANGE, caller);

	pg_table_op_init(&op, pgt, start, end - 1);
	op.visit = pg_visit_unmap;
	op.fresh = PG_ENTRY_FOLLOW;

	mutex_lock(&pgt->mutex);
	if (pg_table_is_pinned(pgt, start, end)) {
		mutex_unlock(&pgt->mutex);
		return pg_table_refuse(pgt, PG_TABLE_PINNED, caller);
	}

	return pg_table_do(&op, gfp);
}

/**
 * pg_table_unmap - remove all mappings of a range
 * @pgt: the page table to change
 * @start: first address, aligned to a page
 * @end: end of the addresses; 0 is the end of the address space
 *
 * Whatever @pgt maps there, of its own or from its source, is gone, and what the
 * source maps there later does not appear.  A table of the source that maps more
 * than the range is replaced by a copy, which follows the source as the table did.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0, after the flush of the range; else nothing has changed: -EINVAL for a bad
 * argument or range, -EBUSY if the owner of @pgt has some of it pinned, -ENOMEM.
 */
int pg_table_unmap(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	return __pg_table_unmap(pgt, start, end, GFP_PGTABLE_USER, _RET_IP_);
}

/**
 * pg_table_unmap_nofail - remove all mappings of a range, whatever memory it takes
 * @pgt: the page table to change
 * @start: first address, aligned to a page
 * @end: end of the addresses; 0 is the end of the address space
 *
 * Does what pg_table_unmap() does, for callers that can't keep the mappings and can't
 * fail either.  Where tables have to be allocated for it, at most one of each level
 * for each edge of the range, it waits for the memory.  A bad argument, and a range that
 * the owner of @pgt has pinned, are refused, counted and logged as for pg_table_unmap();
 * then nothing is unmapped.
 *
 * Context: Process context; sleeps.
 */
void pg_table_unmap_nofail(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	__pg_table_unmap(pgt, start, end, GFP_PGTABLE_USER | __GFP_NOFAIL, _RET_IP_);
}

static bool __pg_table_lookup(const struct pg_table *pgt, unsigned long addr,
			      struct pg_table_leaf *leaf, int *level)
{
	pteval_t e;

	scoped_guard(irqsave) {
		*level = pg_table_find(pgt, addr, &e);
	}

	if (!pg_entry_present(e))
		return false;

	if (leaf) {
		leaf->start = pg_slot_start(*level, addr);
		leaf->pa = PFN_PHYS(pg_entry_pfn(*level, e));
		leaf->prot = pg_entry_prot_4k(*level, e);
		leaf->level = *level;
	}

	return true;
}

/**
 * pg_table_lookup - what does a page table map at an address?
 * @pgt: any, %kernel_pg_table too
 * @addr: any address
 * @leaf: filled in if something is mapped; or NULL
 *
 * Answers as the CPU would: by the present bit, and for all levels together.
 *
 * Context: Any but noinstr, fault handlers too; takes no lock and does not sleep.
 *
 * Return: true if @addr is a mapped address of the kernel half.
 */
bool pg_table_lookup(const struct pg_table *pgt, unsigned long addr, struct pg_table_leaf *leaf)
{
	int level;

	if (!pgt || addr < pg_table_first_addr())
		return false;

	return __pg_table_lookup(pgt, addr, leaf, &level);
}

/**
 * pg_table_walk - call a function for each mapping of a range
 * @pgt: any, %kernel_pg_table too
 * @start: first address
 * @end: end of the addresses; 0 is the end of the address space
 * @fn: called for each leaf that has a part in the range, in the order of addresses
 * @arg: for @fn
 *
 * @fn may sleep if the caller may.  What changes during the walk is seen or not.
 *
 * Context: As pg_table_lookup().
 *
 * Return: 0; what @fn has returned, if that is not 0, which ends the walk; -EINVAL for
 * a bad argument or range.
 */
int pg_table_walk(const struct pg_table *pgt, unsigned long start, unsigned long end,
		  int (*fn)(const struct pg_table_leaf *leaf, void *arg), void *arg)
{
	struct pg_table_leaf leaf;
	unsigned long addr;
	int level, err;

	if (!pgt || !fn)
		return pg_table_refuse(pgt, PG_TABLE_BAD_ARG, _RET_IP_);

	if (!pg_table_range_ok(start, end, 1))
		return pg_table_refuse(pgt, PG_TABLE_BAD_RANGE, _RET_IP_);

	for (addr = start; ; addr = pg_slot_last(level, addr) + 1) {
		if (__pg_table_lookup(pgt, addr, &leaf, &level)) {
			err = fn(&leaf, arg);
			if (err)
				return err;
		}

		if (pg_slot_last(level, addr) >= end - 1)
			return 0;
	}
}
