// SPDX-License-Identifier: GPL-2.0
/*
 * The list of all page tables, what is counted, and calls that are refused.
 */
#define pr_fmt(fmt) "pg_table: " fmt

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/printk.h>

#include "pg_table.h"

/*
 * All page tables from pg_table_create().  Read under RCU or with pg_table_list_mutex,
 * changed with the mutex.
 */
LIST_HEAD(pg_table_list);
/* Also protects the source of each page table on the list. */
DEFINE_MUTEX(pg_table_list_mutex);

/* For each reason to refuse: the error, the word in debugfs, the text for the log. */
static const struct {
	int err;
	const char *word;
	const char *line;
} pg_table_refusals[] = {
	[PG_TABLE_BAD_ARG] = {
		-EINVAL, "argument", "NULL, or not a page table to change"
	},
	[PG_TABLE_BAD_NAME] = {
		-EEXIST, "name", "the name is taken, too long, or none"
	},
	[PG_TABLE_BAD_RANGE] = {
		-EINVAL, "range", "not in the kernel half, not aligned, or not possible there"
	},
	[PG_TABLE_BAD_PROT] = {
		-EINVAL, "protection", "protection is global, user, or both writable and executable"
	},
	[PG_TABLE_BAD_PFN] = {
		-EINVAL, "pfn", "no such physical address"
	},
	[PG_TABLE_BAD_SOURCE] = {
		-EINVAL, "source", "it has another source, or is one of this source"
	},
	[PG_TABLE_OCCUPIED] = {
		-EEXIST, "occupied", "something else is mapped there"
	},
	[PG_TABLE_BUSY] = {
		-EBUSY, "busy", "others share from it"
	},
	[PG_TABLE_PINNED] = {
		-EBUSY, "pinned", "its owner needs what is mapped there"
	},
};

static_assert(ARRAY_SIZE(pg_table_refusals) == PG_TABLE_NR_REFUSALS);

struct pg_table_stats pg_table_stats;

const char *pg_table_refusal_word(enum pg_table_refusal why)
{
	return pg_table_refusals[why].word;
}

/*
 * Count, name the caller once for each kind of mistake, and return the error.
 * A wrong argument is no reason to stop the machine, so this is no WARN().
 */
noinline __cold int pg_table_refuse(const struct pg_table *pgt, enum pg_table_refusal why,
				    unsigned long caller)
{
	static unsigned long warned;

	atomic_long_inc(&pg_table_stats.refused[why]);
	if (!test_and_set_bit(why, &warned))
		pr_warn("%s: %s; refused, caller is %pS\n", pgt ? pgt->name : "(null)",
			pg_table_refusals[why].line, (void *)caller);

	return pg_table_refusals[why].err;
}
