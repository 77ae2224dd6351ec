/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A page table gets another one as its source and copies an entry, while the entry changes in the source: in the
 * end both are the same. Who changes it looks for those that follow, who follows reads the entry after that.
 *
 * Code: mm/pg_table.c __pg_table_set_source: WRITE_ONCE(dst->source, src);
 * Code: mm/pg_table.c __pg_table_set_source: atomic_inc(&src->nr_clones);
 * Code: mm/pg_table.c pg_table_has_clones: smp_mb();
 * Code: mm/pg_table.c pg_table_has_clones: return atomic_read(&pgt->nr_clones);
 * Code: mm/pg_table.c pg_table_tell: if (READ_ONCE(pgt->source) != src)
 * Code: mm/pg_table.c pg_table_tell: pg_table_commit(&op);
 * Code: mm/pg_table.c pg_table_finish: if (pg_table_has_clones(pgt))
 * Code: mm/pg_table.c pg_table_finish: pg_table_tell(pgt, op->start, op->last, pg_visit_changed, op->changed);
 * Code: mm/pg_table.c pg_table_share: if (!pg_table_set_source(dst, src))
 * Code: mm/pg_table.c pg_table_share: err = pg_table_do(
 * Without: NO_MB_IN_CHANGE: smp_mb() in pg_table_has_clones()
 * Without: COPY_FIRST: the order, entry after source
 * Without: NO_TELL: the call of pg_table_tell()
 */
#define NR_CPUS	2
#define NR_VARS	4
#define ENTRY	0	/* of the source */
#define COPY	1	/* of the one that follows */
#define SOURCE	2
#define CLONES	3

#include "tso.h"

bool lock;		/* of the one that follows: both write to it */
byte done;

inline take_lock(cpu)
{
	atomic { !lock && waiting[cpu] == 0 -> lock = true }
}

inline drop_lock(cpu)
{
	full_barrier(cpu);
	lock = false
}

proctype shares()
{
	byte entry;

#ifdef COPY_FIRST
	load(0, ENTRY, entry);
#endif
	store(0, SOURCE, 1);
	/*
	 * The smp_mb() behind it is for the rules of all architectures: here it adds nothing to the locked
	 * increment, nor to the lock.
	 */
	locked(0, mem[CLONES]++);
	take_lock(0);
#ifndef COPY_FIRST
	load(0, ENTRY, entry);
#endif
	store(0, COPY, entry);
	drop_lock(0);
	done++
}

proctype changes()
{
	byte clones, source, entry;

	store(1, ENTRY, 1);
#ifndef NO_MB_IN_CHANGE
	full_barrier(1);
#endif
	load(1, CLONES, clones);
	if
	:: clones ->
		load(1, SOURCE, source);
#ifndef NO_TELL
		if
		:: source ->
			take_lock(1);
			load(1, ENTRY, entry);
			store(1, COPY, entry);
			drop_lock(1)
		:: else
		fi
#endif
	:: else
	fi;
	done++
}

init {
	atomic { run memory(0); run memory(1); run shares(); run changes() }
	done == 2 && waiting[0] == 0 && waiting[1] == 0;
	assert(mem[COPY] == mem[ENTRY])
}
