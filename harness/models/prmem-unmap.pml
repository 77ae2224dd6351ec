/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A slot of the window of protected memory goes away while a CPU opens and closes the window: when the memory is
 * given back, nobody gets to it by what his TLB has of the slot.
 *
 * Code: mm/prmem_block.c prmem_unmap_slots: pmd_clear(prmem_pmd(gone[i].slot));
 * Code: mm/prmem_block.c prmem_unmap_slots: synchronize_rcu();
 * Code: arch/x86/mm/temp_mm.c use_temporary_root: write_cr3(cr3);
 * Without: NO_FLUSH: the flush of the load, which keeps nothing of PCID 0
 * Without: NO_SYNC: synchronize_rcu() in prmem_unmap_slots()
 * Without: SYNC_FIRST: the order, grace period after the change
 */
#define NR_CPUS	2
#define NR_VARS	1
#define PMD	0	/* of the slot */

#include "tso.h"

#define WINDOWS	3

bool reading;		/* CPU 0 has interrupts off */
byte readings;		/* how often it had */
bool tlb = true;
bool given_back;

proctype opens()
{
	byte windows = 0;

	do
	:: windows < WINDOWS ->
		windows++;
		d_step { reading = true; readings++ }
		full_barrier(0);
#ifndef NO_FLUSH
		tlb = false;
#endif
		do
		:: d_step { tlb -> assert(!given_back) }
		:: d_step { !tlb && mem[PMD] -> tlb = true }
		:: break
		od;
		full_barrier(0);
		reading = false
	:: else -> break
	od
}

inline grace_period()
{
	full_barrier(1);
	seen = readings;
	!reading || readings != seen;
	full_barrier(1)
}

proctype unmaps()
{
	byte seen;

#ifdef SYNC_FIRST
	grace_period();
#endif
	store(1, PMD, 0);
#ifndef NO_SYNC
#ifndef SYNC_FIRST
	grace_period();
#endif
#endif
	given_back = true
}

init {
	mem[PMD] = 1;
	atomic { run memory(0); run memory(1); run opens(); run unmaps() }
}
