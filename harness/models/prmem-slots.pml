/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The last free page of a block is claimed while another one is given back: a block with a free page is marked as
 * one that has, or nobody would look there again.
 *
 * Code: mm/prmem_block.c prmem_claim_run: if (!atomic_sub_return(nr, (atomic_t *)prmem_rw(&b->free))) {
 * Code: mm/prmem_block.c prmem_claim_run: clear_bit(b - prmem_blocks, prmem_rw(prmem_slots_free));
 * Code: mm/prmem_block.c prmem_claim_run: if (atomic_read(&b->free))
 * Code: mm/prmem_block.c prmem_claim_run: set_bit(b - prmem_blocks, prmem_rw(prmem_slots_free));
 * Code: mm/prmem_block.c prmem_give_back: atomic_inc((atomic_t *)prmem_rw(&b->free));
 * Code: mm/prmem_block.c prmem_give_back: if (!test_bit(slot, prmem_slots_free))
 * Code: mm/prmem_block.c prmem_give_back: set_bit(slot, prmem_rw(prmem_slots_free));
 * Without: NO_SECOND_LOOK: the second look at the number of free pages in prmem_claim_run()
 * Without: NO_SET: the mark in prmem_give_back()
 * Without: NO_LOCK: the locked increment in prmem_give_back()
 */
#define NR_CPUS	2
#define NR_VARS	2
#define FREE	0
#define MARK	1

#include "tso.h"

byte done;

proctype claims()
{
	byte left, again;

	locked(0, mem[FREE]--; left = mem[FREE]);
	if
	:: left == 0 ->
		locked(0, mem[MARK] = 0);
#ifndef NO_SECOND_LOOK
		load(0, FREE, again);
		if
		:: again -> locked(0, mem[MARK] = 1)
		:: else
		fi
#endif
	:: else
	fi;
	done++
}

proctype gives_back()
{
	byte nr, mark;

#ifdef NO_LOCK
	load(1, FREE, nr);
	store(1, FREE, nr + 1);
#else
	locked(1, mem[FREE]++);
#endif
	load(1, MARK, mark);
#ifndef NO_SET
	if
	:: !mark -> locked(1, mem[MARK] = 1)
	:: else
	fi;
#endif
	done++
}

init {
	mem[FREE] = 1;
	mem[MARK] = 1;
	atomic { run memory(0); run memory(1); run claims(); run gives_back() }
	done == 2 && waiting[0] == 0 && waiting[1] == 0;
	assert(mem[FREE] == 1 && mem[MARK] == 1)
}
