/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who frees objects for whose readers a grace period has to be waited for either begins one, or there is one that
 * begins later: no object is left waiting for a grace period that nobody asks for.
 *
 * Code: mm/prmem_cache.c prmem_start_gp: atomic_set(&prmem_gp_wanted, 1);
 * Code: mm/prmem_cache.c prmem_start_gp: if (!atomic_xchg(&prmem_gp_pending, 1)) {
 * Code: mm/prmem_cache.c prmem_start_gp: atomic_set(&prmem_gp_wanted, 0);
 * Code: mm/prmem_cache.c prmem_start_gp: smp_mb();
 * Code: mm/prmem_cache.c prmem_start_gp: call_rcu_hurry(&prmem_rcu, prmem_gp_done);
 * Code: mm/prmem_cache.c prmem_gp_done: atomic_set(&prmem_gp_pending, 0);
 * Code: mm/prmem_cache.c prmem_gp_done: smp_mb();
 * Code: mm/prmem_cache.c prmem_gp_done: if (atomic_read(&prmem_gp_wanted))
 * Without: NO_MB_IN_DONE: smp_mb() in prmem_gp_done()
 * Without: NO_MB_IN_START: smp_mb() in prmem_start_gp(), which call_rcu() has, but does not promise
 * Without: NO_LOCK: one instruction that looks and sets in prmem_start_gp(), even with barriers around the two
 * Without: CLEAR_LATE: the order in prmem_start_gp(): wanted is cleared before the grace period is asked for
 */
#define NR_CPUS	3
#define NR_VARS	2
#define PENDING	0
#define WANTED	1

#include "tso.h"

byte asked;		/* grace periods that are asked for and are not over */
bool working;		/* prmem_gp_done() runs */
bool freed[2];		/* by CPU 0 and 1: waits for a grace period that begins after that */
bool covered[2];	/* and one of those that are asked for does */
byte done;

/* call_rcu(): it covers what has been freed by then. There is one rcu_head. */
inline call_rcu()
{
	d_step {
		assert(asked == 0);
		asked++;
		covered[0] = covered[0] || freed[0];
		covered[1] = covered[1] || freed[1]
	}
}

inline start_gp(cpu, was)
{
	store(cpu, WANTED, 1);
#ifdef NO_LOCK
	full_barrier(cpu);
	load(cpu, PENDING, was);
	if
	:: !was -> store(cpu, PENDING, 1)
	:: else
	fi;
	full_barrier(cpu);
#else
	locked(cpu, was = mem[PENDING]; mem[PENDING] = 1);
#endif
	if
	:: !was ->
#ifdef CLEAR_LATE
		call_rcu();
		store(cpu, WANTED, 0)
#else
		store(cpu, WANTED, 0);
#ifndef NO_MB_IN_START
		full_barrier(cpu);
#endif
		call_rcu()
#endif
	:: else
	fi
}

proctype frees(byte cpu)
{
	byte was;

	/* The object's slot is written by a locked instruction before. */
	full_barrier(cpu);
	freed[cpu] = true;
	start_gp(cpu, was);
	done++
}

/* prmem_gp_done(), on whatever CPU RCU calls it; one at a time. */
proctype over()
{
	byte was, wanted;

end:	do
	/* The head is free as soon as its function is called. */
	:: d_step { asked > 0 -> asked--; working = true };
		store(2, PENDING, 0);
#ifndef NO_MB_IN_DONE
		full_barrier(2);
#endif
		load(2, WANTED, wanted);
		if
		:: wanted -> start_gp(2, was)
		:: else
		fi;
		working = false
	od
}

init {
	atomic { run memory(0); run memory(1); run memory(2); run frees(0); run frees(1); run over() }
	done == 2 && asked == 0 && !working && waiting[0] == 0 && waiting[1] == 0 && waiting[2] == 0;
	assert(covered[0] && covered[1])
}
