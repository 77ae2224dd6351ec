/* SPDX-License-Identifier: GPL-2.0 */
/*
 * To open the window of protected memory, and to close it.  For built-in code only, see
 * use_temporary_root().
 */
#ifndef _MM_PRMEM_WINDOW_H
#define _MM_PRMEM_WINDOW_H

#include <linux/hardirq.h>
#include <linux/irqflags.h>
#include <linux/jump_label.h>

#include <asm/special_insns.h>
#include <asm/temp_root.h>

#include "prmem.h"

/* What CR3 of this CPU has while the window is open; what opens it writes that value. */
static __always_inline bool prmem_window_is_open(void)
{
	return __read_cr3() == prmem_cr3;
}

/*
 * Open the window on this CPU, with interrupts off until __prmem_close().  If it is open
 * already, as in a batch, w->prev is 0 and __prmem_close() leaves it open.
 */
static __always_inline bool __prmem_open(struct prmem_window *w)
{
	if (unlikely(in_nmi() || !static_branch_likely(&prmem_ready)))
		return false;

	prmem_suspend(w);
	local_irq_save(w->flags);
	w->prev = 0;
	if (likely(!prmem_window_is_open()))
		w->prev = use_temporary_root(prmem_cr3);

	return true;
}

/* @flush: as for unuse_temporary_root() */
static __always_inline void __prmem_close(struct prmem_window *w, bool flush)
{
	if (likely(w->prev))
		unuse_temporary_root(prmem_cr3, w->prev, flush);
	local_irq_restore(w->flags);
	prmem_resume(w);
}

/*
 * Counts the flushes that this CPU has done for the mm that is loaded.  If interrupts were
 * on in a batch, one of them may have been for the PCID of the window only.
 */
static __always_inline u64 prmem_tlb_gen(void)
{
	u16 asid = this_cpu_read(cpu_tlbstate.loaded_mm_asid);

	return asid < TLB_NR_DYN_ASIDS ? this_cpu_read(cpu_tlbstate.ctxs[asid].tlb_gen) : 0;
}

#endif /* _MM_PRMEM_WINDOW_H */
