/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel changes an entry of its own page table while a first pg_table gets that as its source and copies the
 * entry: in the end both are the same. Who changes it does not even look as long as nobody follows.
 *
 * Code: include/linux/pg_table.h pg_table_source_changed: if (static_branch_unlikely(&pg_table_key)) {
 * Code: include/linux/pg_table.h pg_table_source_changed: smp_mb();
 * Code: include/linux/pg_table.h pg_table_source_changed: __pg_table_source_changed(&kernel_pg_table, start, end);
 * Code: mm/pg_table.c pg_table_set_source: static_branch_inc(&pg_table_key);
 * Code: mm/pg_table.c pg_table_set_source: ok = __pg_table_set_source(
 * Code: mm/pg_table.c __pg_table_set_source: WRITE_ONCE(dst->source, src);
 * Code: mm/pg_table.c pg_table_tell: if (READ_ONCE(pgt->source) != src)
 * Without: NO_MB_IN_CHANGE: smp_mb() in pg_table_source_changed()
 * Without: KEY_LATE: the order in pg_table_set_source(): the key is on before the source is known
 * Without: NO_IPI: the interrupt of all CPUs by which code is changed
 * Without: COPY_FIRST: the order in pg_table_share(): the entry is read after the source is known
 */
#define NR_CPUS	2
#define NR_VARS	3
#define ENTRY	0	/* of the kernel */
#define COPY	1	/* of the one that follows */
#define SOURCE	2

#include "tso.h"

bool key;		/* in the code of all CPUs */
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

/* Text is changed when all CPUs have been interrupted, which drains what waits. */
inline turn_on()
{
	full_barrier(0);
#ifdef NO_IPI
	key = true
#else
	atomic { waiting[1] == 0 -> key = true }
#endif
}

proctype shares()
{
	byte entry;

#ifdef COPY_FIRST
	load(0, ENTRY, entry);
#endif
#ifndef KEY_LATE
	turn_on();
#endif
	store(0, SOURCE, 1);
	full_barrier(0);
#ifndef COPY_FIRST
	take_lock(0);
	load(0, ENTRY, entry);
#else
	take_lock(0);
#endif
	store(0, COPY, entry);
	drop_lock(0);
#ifdef KEY_LATE
	turn_on();
#endif
	done++
}

proctype changes()
{
	byte source, entry;
	bool on;

	store(1, ENTRY, 1);
	on = key;
	if
	:: on ->
#ifndef NO_MB_IN_CHANGE
		full_barrier(1);
#endif
		load(1, SOURCE, source);
		if
		:: source ->
			take_lock(1);
			load(1, ENTRY, entry);
			store(1, COPY, entry);
			drop_lock(1)
		:: else
		fi
	:: else
	fi;
	done++
}

init {
	atomic { run memory(0); run memory(1); run shares(); run changes() }
	done == 2 && waiting[0] == 0 && waiting[1] == 0;
	assert(mem[COPY] == mem[ENTRY])
}
