/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A slot of the windows of protected memory goes away while a CPU opens and closes its window: when the memory is
 * given back, nobody gets to it by what his TLB has of the slot.
 *
 * Code: mm/prmem_block.c prmem_unmap_slots: pmd_clear(prmem_pmd(gone[i].slot));
 * Code: mm/prmem_block.c prmem_unmap_slots: temp_mm_percpu_changed(&prmem_mms);
 * Code: mm/prmem_block.c prmem_unmap_slots: synchronize_rcu();
 * Code: arch/x86/mm/temp_mm.c temporary_mm_changed: inc_mm_tlb_gen(mm);
 * Code: arch/x86/mm/tlb.c switch_mm_irqs_off: next_tlb_gen = atomic64_read(&next->context.tlb_gen);
 * Without: NO_BUMP: the new generation, temp_mm_percpu_changed()
 * Without: BUMP_FIRST: the order, generation after the change
 * Without: NO_SYNC: synchronize_rcu() in prmem_unmap_slots()
 * Without: NO_GEN: the comparison of generations when the mm is loaded
 */
#define NR_CPUS	2
#define NR_VARS	2
#define PMD	0	/* of the slot */
#define GEN	1	/* of the mm of CPU 0's window */

#include "tso.h"

#define WINDOWS	3

bool reading;		/* CPU 0 has interrupts off */
byte readings;		/* how often it had */
bool tlb = true;
byte tlb_gen;
bool given_back;

proctype opens()
{
	byte gen, windows = 0;

	do
	:: windows < WINDOWS ->
		windows++;
		d_step { reading = true; readings++ }
#ifdef NO_GEN
		gen = tlb_gen;
#else
		load(0, GEN, gen);
#endif
		full_barrier(0);
		d_step {
			if
			:: gen != tlb_gen -> tlb = false; tlb_gen = gen
			:: else
			fi
		}
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

proctype unmaps()
{
	byte seen;

#ifdef BUMP_FIRST
	locked(1, mem[GEN]++);
#endif
	store(1, PMD, 0);
#ifndef NO_BUMP
#ifndef BUMP_FIRST
	locked(1, mem[GEN]++);
#endif
#endif
#ifndef NO_SYNC
	full_barrier(1);
	seen = readings;
	!reading || readings != seen;
	full_barrier(1);
#endif
	given_back = true
}

init {
	mem[PMD] = 1;
	atomic { run memory(0); run memory(1); run opens(); run unmaps() }
}
