/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A CPU enters a domain while another unmaps a page of it, and a third destroys it: once these are done, nobody
 * reads what was unmapped, and nobody is in the domain.
 *
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: raw_cpu_write(asi_cr3.domain, cr3);
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: smp_mb();
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: if (unlikely(READ_ONCE(asi->dead))) {
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: gen = pg_table_generation(asi->pgt);
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: if (has_tlb && tlb->id == asi->id && tlb->gen == gen &&
 * Code: arch/x86/mm/asi_tlb.c asi_flush: smp_mb();
 * Code: arch/x86/mm/asi_tlb.c asi_flush: on_each_cpu_cond(asi_is_inside, asi_flush_ipi, asi, true);
 * Code: arch/x86/mm/asi_tlb.c asi_unload: native_write_cr3(raw_cpu_read(asi_cr3.kernel));
 * Code: arch/x86/mm/asi_tlb.c asi_unload: raw_cpu_write(asi_cr3.domain, 0);
 * Code: arch/x86/mm/asi.c asi_retire: WRITE_ONCE(asi->dead, true);
 * Code: arch/x86/mm/asi.c asi_give_up: asi_flush(asi);
 * Code: mm/pg_table.c pg_table_bump: atomic64_inc_return(&pgt->generation);
 * Code: mm/pg_table.c pg_table_do: pg_table_commit(op);
 * Code: mm/pg_table.c pg_table_do: pg_table_finish(op);
 * Code: mm/pg_table.c pg_table_finish: pg_table_bump(pgt);
 * Code: mm/pg_table.c pg_table_finish: pgt->ops->flush(pgt, op->start, end);
 * Without: NO_MB_IN_LOAD: smp_mb() in asi_make_cr3()
 * Without: NO_MB_IN_FLUSH: smp_mb() in asi_flush(); the generation is a locked instruction, but dead is not
 * Without: NO_BUMP: the new generation of the page table
 * Without: BUMP_FIRST: the order, generation after the change
 * Without: NO_GEN: the comparison of generations when the domain is loaded
 * Without: NO_DEAD: the question whether the domain is being destroyed
 * Without: NO_IPI: the interrupt of CPUs that are in the domain
 */
#define NR_CPUS	3
#define NR_VARS	4
#define PTE	0	/* of the page; 1 is present */
#define GEN	1	/* of the page table */
#define DOMAIN	2	/* asi_cr3.domain of CPU 0 */
#define DEAD	3

#include "tso.h"

#define SESSIONS	2

bool ipi[NR_CPUS];		/* of whom CPU 0 has an interrupt to take */
bool inside;			/* CPU 0 is on the page table of the domain */
bool unmapped, destroyed;	/* the functions have returned */
/* CPU 0's TLB has the page, from an earlier session; of which generation. */
bool tlb = true;
byte tlb_gen;

/* asi_unload(): CR3, then the variable. */
inline leave()
{
	full_barrier(0);
	inside = false;
	store(0, DOMAIN, 0)
}

/* asi_flush_ipi(): the return to the domain looks at the generation. */
inline take_ipi()
{
	full_barrier(0);
	d_step { ipi[1] = false; ipi[2] = false }
}

proctype enters()
{
	byte dead, gen, sessions = 0;

	do
	:: sessions < SESSIONS ->
		sessions++;
make_cr3:	/* Interrupts are off from here until CR3 is written. */
		store(0, DOMAIN, 1);
#ifndef NO_MB_IN_LOAD
		full_barrier(0);
#endif
		dead = 0;
#ifndef NO_DEAD
		load(0, DEAD, dead);
#endif
		if
		:: dead -> store(0, DOMAIN, 0); goto out
		:: else
		fi;
#ifdef NO_GEN
		gen = tlb_gen;
#else
		load(0, GEN, gen);
#endif
		/* The write of CR3 is serializing. */
		full_barrier(0);
		d_step {
			if
			:: gen != tlb_gen -> tlb = false; tlb_gen = gen
			:: else
			fi;
			inside = true
		}
		do
		:: (ipi[1] || ipi[2]) -> leave(); take_ipi(); goto make_cr3
		:: d_step { tlb -> assert(!unmapped) }
		:: d_step { !tlb && mem[PTE] -> tlb = true }
		:: leave(); break
		od
	:: (ipi[1] || ipi[2]) -> take_ipi()
	:: sessions == SESSIONS -> break
	od;
out:
end:	do
	:: (ipi[1] || ipi[2]) -> take_ipi()
	od
}

inline flush(cpu, there)
{
#ifndef NO_MB_IN_FLUSH
	full_barrier(cpu);
#endif
	load(cpu, DOMAIN, there);
#ifndef NO_IPI
	if
	:: there -> ipi[cpu] = true; !ipi[cpu]
	:: else
	fi
#endif
}

proctype unmaps()
{
	byte there;

#ifdef BUMP_FIRST
	locked(1, mem[GEN]++);
	store(1, PTE, 0);
#else
	store(1, PTE, 0);
#ifndef NO_BUMP
	locked(1, mem[GEN]++);
#endif
#endif
	flush(1, there);
	unmapped = true
}

proctype destroys()
{
	byte there;

	store(2, DEAD, 1);
	flush(2, there);
	assert(!inside);
	destroyed = true
}

/* Nobody comes back to a domain that is gone. */
proctype watches()
{
	end: d_step { destroyed && inside -> assert(false) }
}

init {
	mem[PTE] = 1;
	atomic {
		run memory(0); run memory(1); run memory(2);
		run enters(); run unmaps(); run destroys(); run watches()
	}
}
