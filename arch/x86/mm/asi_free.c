// SPDX-License-Identifier: GPL-2.0
/*
 * Address space isolation: find memory that is freed while a domain maps it.
 *
 * Memory of the direct map stays mapped when it is freed.  A domain that has it mapped
 * reads what the next owner has there.
 */
#include <linux/asi.h>
#include <linux/atomic.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/stacktrace.h>

#include <trace/events/kmem.h>

#include "asi.h"

/* How many pages and blocks were freed while a domain mapped them; for KUnit tests. */
atomic_long_t asi_freed_mapped;

struct asi_freed {
	unsigned long start;
	unsigned long end;
};

static int asi_found_leaf(const struct pg_table_leaf *leaf, void *unused)
{
	return 1;
}

/*
 * Called by pg_table_for_each() for each page table, under RCU.  A page table is freed by
 * RCU, but its domain is not: do not follow pgt->private.
 */
static void asi_check_freed(const struct pg_table *pgt, void *arg)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	const struct asi_freed *f = arg;
	unsigned long entries[8];
	unsigned int nr;

	if (pgt->ops != &asi_pg_table_ops || !READ_ONCE(pgt->private) ||
	    pg_table_walk(pgt, f->start, f->end, asi_found_leaf, NULL) != 1)
		return;

	atomic_long_inc(&asi_freed_mapped);
	if (!__ratelimit(&limit))
		return;

	pr_warn("domain %s maps memory at %lx that %s[%d] frees: asi_unmap() has to come first\n",
		pgt->name, f->start, current->comm, current->pid);
	nr = stack_trace_save(entries, ARRAY_SIZE(entries), 4);
	stack_trace_print(entries, nr, 1);
}

/*
 * Probe of the tracepoint mm_page_free, which the page allocator calls for each page or
 * block that becomes free, in any context but NMI.
 */
static void asi_page_free(void *unused, struct page *page, unsigned int order)
{
	struct asi_freed f;

	if (!static_branch_unlikely(&asi_key))
		return;

	guard(asi_suspended)();
	f.start = (unsigned long)page_address(page);
	f.end = f.start + (PAGE_SIZE << order);
	pg_table_for_each(asi_check_freed, &f);
}

static int __init asi_free_init(void)
{
	return register_trace_mm_page_free(asi_page_free, NULL);
}
early_initcall(asi_free_init);
