/* SPDX-License-Identifier: GPL-2.0 */
/*
 * To open the window of protected memory, and to close it.  For the files of prmem that are
 * no modules: those do not see cpu_tlbstate.
 */
#ifndef _MM_PRMEM_WINDOW_H
#define _MM_PRMEM_WINDOW_H

#include <linux/hardirq.h>
#include <linux/irqflags.h>
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/temp_mm.h>

#include <asm/tlbflush.h>

#include "prmem.h"

DECLARE_PER_CPU(struct temp_mm *, prmem_mms_instance);

/*
 * Open the window of this CPU, with interrupts off until __prmem_close().  If it is open
 * already, as in a batch, w->prev is NULL and __prmem_close() leaves it open.  If
 * cpu_tlbstate.loaded_mm was forged to say so, then the write that follows faults.
 */
static __always_inline bool __prmem_open(struct prmem_window *w)
{
	struct temp_mm *t;

	if (unlikely(in_nmi() || !static_branch_likely(&prmem_ready)))
		return false;

	prmem_suspend(w);
	local_irq_save(w->flags);
	t = this_cpu_read(prmem_mms_instance);
	w->mm = t->mm;
	w->prev = NULL;
	if (likely(this_cpu_read(cpu_tlbstate.loaded_mm) != w->mm))
		w->prev = use_temporary_mm_irqs_off(w->mm);

	return true;
}

static __always_inline void __prmem_close(struct prmem_window *w)
{
	if (likely(w->prev))
		unuse_temporary_mm_irqs_off(w->mm, w->prev);
	local_irq_restore(w->flags);
	prmem_resume(w);
}

#endif /* _MM_PRMEM_WINDOW_H */
