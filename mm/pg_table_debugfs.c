// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: the counters in pg_table/stats, and each page table in page_tables/<name>.
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/ptdump.h>
#include <linux/seq_file.h>

#include "pg_table.h"

static int pg_table_stats_show(struct seq_file *m, void *unused)
{
	int i;

	seq_printf(m, "instances %ld\n", atomic_long_read(&pg_table_stats.instances));
	seq_printf(m, "tables %ld\n", atomic_long_read(&pg_table_stats.tables));
	seq_printf(m, "followed %ld\n", atomic_long_read(&pg_table_stats.followed));
	seq_printf(m, "dropped %ld\n", atomic_long_read(&pg_table_stats.dropped));
	for (i = 0; i < PG_TABLE_NR_REFUSALS; i++)
		seq_printf(m, "refused_%s %ld\n", pg_table_refusal_word(i),
			   atomic_long_read(&pg_table_stats.refused[i]));

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pg_table_stats);

#ifdef CONFIG_PTDUMP_DEBUGFS
/* page_tables, the directory of ptdump; NULL until late_initcall(). */
static struct dentry *pg_table_dir;

/*
 * Held by those who take the mutexes of several page tables, followers before sources.
 * All of them are held for as long as a dump takes.
 */
static DEFINE_MUTEX(pg_table_dump_mutex);

/*
 * Take the mutexes of @pgt, of its source, of the source of that and so on, which keep the
 * tables that these own.  Returns the last of them.  One that gets a source after this
 * does not take anything over from it before the mutex is free again.
 */
static struct pg_table *pg_table_lock_all(struct pg_table *pgt)
{
	struct pg_table *src;

	for (;;) {
		mutex_lock_nest_lock(&pgt->mutex, &pg_table_dump_mutex);
		src = READ_ONCE(pgt->source);
		if (!src)
			return pgt;
		pgt = src;
	}
}

static void pg_table_unlock_all(struct pg_table *pgt, struct pg_table *last)
{
	for (;;) {
		mutex_unlock(&pgt->mutex);
		if (pgt == last)
			return;
		pgt = pgt->source;
	}
}

static int pg_table_dump_show(struct seq_file *m, void *unused)
{
	struct pg_table *pgt = m->private, *last;

	if (mutex_lock_killable(&pg_table_dump_mutex))
		return -EINTR;
	/* For the kernel's tables the walk takes the locks that it takes for any dump. */
	last = pg_table_lock_all(pgt);
	ptdump_walk_pgd_level_core(m, &init_mm, pgt->root, false, false);
	pg_table_unlock_all(pgt, last);
	mutex_unlock(&pg_table_dump_mutex);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pg_table_dump);

void pg_table_debugfs_add(struct pg_table *pgt)
{
	lockdep_assert_held(&pg_table_list_mutex);

	if (pg_table_dir)
		pgt->file = debugfs_create_file(pgt->name, 0400, pg_table_dir, pgt,
						&pg_table_dump_fops);
}

static void __init pg_table_debugfs_add_all(void)
{
	struct pg_table *pgt;

	guard(mutex)(&pg_table_list_mutex);

	pg_table_dir = debugfs_lookup("page_tables", NULL);
	list_for_each_entry(pgt, &pg_table_list, node)
		pg_table_debugfs_add(pgt);
}
#else
void pg_table_debugfs_add(struct pg_table *pgt) { }
static void __init pg_table_debugfs_add_all(void) { }
#endif

static int __init pg_table_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("pg_table", NULL);

	debugfs_create_file("stats", 0444, dir, NULL, &pg_table_stats_fops);
	pg_table_debugfs_add_all();

	return 0;
}
late_initcall(pg_table_debugfs_init);
