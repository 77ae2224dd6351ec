/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private to mm/pg_table*.c and their tests.
 *
 * Each file uses only those before it: pg_table_list.c, pg_table_op.c,
 * pg_table_debugfs.c, pg_table.c.
 */
#ifndef _MM_PG_TABLE_H
#define _MM_PG_TABLE_H

#include <linux/mm.h>
#include <linux/pg_table.h>

#include <asm/pg_table.h>

struct pg_table_op;

/* How an operation goes on after it has visited an entry. */
enum pg_step {
	PG_DONE,	/* with the next entry */
	PG_DESCEND,	/* with the table below, which is made if there is none */
};

/*
 * Visits one entry of op->pgt, with op->pgt->lock held.
 * @level: the level of the entry
 * @slot: the entry; NULL in a dry run, if its table is still to be made
 * @addr: the first address of the entry that is in the range
 * @e: what is in @slot; op->fresh if @slot is NULL
 * @s: what the source has there; 0 without op->src
 */
typedef enum pg_step pg_visit_t(struct pg_table_op *op, int level, pteval_t *slot,
				unsigned long addr, pteval_t e, pteval_t s);

/**
 * struct pg_table_op - an operation on a range
 * @pgt: the page table to change
 * @src: its source; NULL if @visit does not look at what the source has
 * @start: first address of the range
 * @last: last address of the range
 * @visit: called for each entry of the range
 * @level: for pg_visit_share(), the level of the entries to take over; for
 *	pg_visit_populate(), the level of the last table
 * @small: for pg_visit_copy(), whether all copies are to be leaves of 4 KiB
 * @may_sleep: call cond_resched() when the lock is dropped
 * @pfn: for pg_visit_map(), the page frame to map at @start
 * @prot: for pg_visit_map(), the protection as for a leaf of 4 KiB
 * @fresh: the entries to assume, in the dry run, in a table that is still to be made
 */
struct pg_table_op {
	struct pg_table		*pgt;
	struct pg_table		*src;
	unsigned long		start, last;
	pg_visit_t		*visit;
	int			level;
	bool			small;
	bool			may_sleep;
	unsigned long		pfn;
	pgprot_t		prot;
	pteval_t		fresh;
	/* private: */
	bool			dry;
	bool			changed;	/* a TLB may have what was changed */
	bool			missing;	/* the pool had too few tables */
	int			budget;		/* entries until the lock is dropped */
	unsigned long		resume;		/* address to go on at after that */
	unsigned int		need;		/* number of tables to allocate */
	struct list_head	pool;		/* tables allocated and not used yet */
	struct list_head	doomed;		/* tables to free after the flush */
};

void pg_table_op_init(struct pg_table_op *op, struct pg_table *pgt, unsigned long start,
		      unsigned long last);
bool pg_table_prepare(struct pg_table_op *op, gfp_t gfp);
void pg_table_commit(struct pg_table_op *op);
void pg_table_abandon(struct pg_table_op *op);

pg_visit_t pg_visit_copy;
pg_visit_t pg_visit_share;
pg_visit_t pg_visit_map;
pg_visit_t pg_visit_unmap;
pg_visit_t pg_visit_changed;
pg_visit_t pg_visit_removing;
pg_visit_t pg_visit_populate;

bool pg_table_occupied_part(struct pg_table *pgt, unsigned long *addr, unsigned long last,
			    bool any, bool *has);
bool pg_table_occupied(struct pg_table *pgt, unsigned long start, unsigned long last, bool any);
int pg_table_find(const struct pg_table *pgt, unsigned long addr, pteval_t *entry);
void pg_table_free_page(struct ptdesc *pt);

static inline unsigned long pg_slot_start(int level, unsigned long addr)
{
	return addr & page_level_mask(level);
}

static inline unsigned long pg_slot_last(int level, unsigned long addr)
{
	return addr | ~page_level_mask(level);
}

void pg_table_debugfs_add(struct pg_table *pgt);
const char *pg_table_refusal_word(enum pg_table_refusal why);
int pg_table_refuse(const struct pg_table *pgt, enum pg_table_refusal why, unsigned long caller);

extern struct list_head pg_table_list;
extern struct mutex pg_table_list_mutex;

#if IS_ENABLED(CONFIG_PG_TABLE_KUNIT_TEST)
extern int pg_table_fail_alloc;
bool pg_table_fails(void);
#else
static inline bool pg_table_fails(void)
{
	return false;
}
#endif

#endif /* _MM_PG_TABLE_H */
