/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of pg_table have in common. */
#ifndef _MM_PG_TABLE_H
#define _MM_PG_TABLE_H

#include <linux/mm.h>
#include <linux/pg_table.h>

#include <asm/pg_table.h>

struct pg_table_op;

/* What to do about an entry that an operation has looked at. */
enum pg_step {
	PG_DONE,
	PG_DESCEND,	/* into a table, which the entry becomes if it is none */
};

/*
 * @level: of @slot, which is NULL for a table that is still to be made
 * @addr: the first address of what is left of the range that @slot is for
 * @e: what is in @slot
 * @s: what the source has there
 */
typedef enum pg_step pg_visit_t(struct pg_table_op *op, int level, pteval_t *slot,
				unsigned long addr, pteval_t e, pteval_t s);

/**
 * struct pg_table_op - an operation on a range
 * @pgt: the page table
 * @src: its source; NULL if @visit does not look at it
 * @start: first address
 * @last: last address
 * @visit: what to do with an entry
 * @level: for pg_visit_share(): of the entries that are taken over whole; for
 *	pg_visit_populate(): of those that there must be
 * @small: for pg_visit_copy(): leaves of 4 KiB only
 * @may_sleep: between two pieces of the range
 * @pfn: for pg_visit_map()
 * @prot: for pg_visit_map()
 * @fresh: what there is in a table that is still to be made, in the dry run
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
	bool			changed;	/* something that a TLB may still have */
	bool			missing;	/* a table */
	int			budget;
	unsigned long		resume;		/* where the next piece begins */
	unsigned int		need;		/* tables */
	struct list_head	pool;		/* tables to use */
	struct list_head	doomed;		/* tables that nothing leads to any more */
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
