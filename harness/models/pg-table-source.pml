/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A page table gets another one as its source and copies an entry, while the entry changes in the source: in the
 * end both are the same. Who changes it looks for those that follow, who follows reads the entry after that.
 *
 * Code: mm/pg_table.c: atomic_inc(&src->nr_clones);
 * Code: mm/pg_table.c: return atomic_read(&pgt->nr_clones);
 * Code: mm/pg_table.c: WRITE_ONCE(dst->source, src);
 * Code: mm/pg_table.c: if (READ_ONCE(pgt->source) != src)
 * Without: NO_MB_IN_CHANGE: smp_mb() in pg_table_has_clones()
 * Without: NO_MB_IN_SHARE: smp_mb() in __pg_table_set_source(), with an increment that is not locked
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
#ifdef NO_MB_IN_SHARE
	store(0, CLONES, 1);
#else
	locked(0, mem[CLONES]++);
	full_barrier(0);
#endif
#ifdef COPY_FIRST
	take_lock(0);
#else
#ifdef NO_MB_IN_SHARE
	/* The lock is one as well; the entry could be read before it, as lookups do. */
	load(0, ENTRY, entry);
	take_lock(0);
#else
	take_lock(0);
	load(0, ENTRY, entry);
#endif
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
