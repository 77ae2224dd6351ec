// SPDX-License-Identifier: GPL-2.0
/*
 * Batches of writes to protected memory: how they end, and how they let interrupts in.
 * prmem.c begins them.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/bug.h>
#include <linux/cleanup.h>
#include <linux/export.h>
#include <linux/hardirq.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>

#include "prmem_window.h"

DEFINE_PER_CPU(struct prmem_batch, prmem_batch);

/*
 * Count and report a batch that should have called wr_relax().  This must not let
 * interrupts in itself: the caller may hold a lock that a handler takes as well.
 */
noinline __cold void prmem_batch_too_long(struct prmem_batch *b)
{
	static DEFINE_RATELIMIT_STATE(warned, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	b->too_long = true;
	atomic_long_inc(&prmem_stats.too_long);
	/* The caller may hold a lock that the console takes. */
	if (__ratelimit(&warned))
		printk_deferred(pr_fmt("batch is too long without wr_relax(), begun by %pS\n"),
				(void *)b->caller);
}

/*
 * Is the batch of this CPU open?  Its depth alone does not tell: if the task that began
 * it has slept or died, the window was closed meanwhile.  So this looks at CR3.
 * Interrupts are off.
 */
static __always_inline bool prmem_in_batch(const struct prmem_batch *b)
{
	return b->depth && prmem_window_is_open();
}

/* For wr_relax(): close the window, which may turn interrupts on, and open it again. */
static void prmem_batch_reopen(struct prmem_batch *b)
{
	struct prmem_batch saved = *b;

	/* An interrupt handler must not find this batch while its window is closed. */
	b->depth = 0;
	preempt_disable();
	/* Before the task is back in a domain, which need not map that. */
	atomic_long_inc(&prmem_stats.relaxed);
	prmem_close_batch(&saved.window, saved.tlb_gen);
	WARN_ON_ONCE(prmem_open(&saved.window));
	saved.tlb_gen = prmem_tlb_gen();
	/* A batch of an interrupt handler may have called temporary_mm_unlend(). */
	temporary_mm_lend(saved.inner, saved.caller);
	preempt_enable();
	saved.ops = 0;
	saved.bytes = 0;
	saved.too_long = false;
	*b = saved;
}

static noinline __cold void prmem_report_list(unsigned long caller)
{
	if (CHECK_DATA_CORRUPTION(IS_ENABLED(CONFIG_LIST_HARDENED),
				  "prlist corruption, found by %pS\n", (void *)caller))
		return;
}

/*
 * The batch of this CPU, for wr_end() and wr_relax(); NULL, and a refusal, if there is
 * none.  If the caller has turned interrupts on in its batch, this reports that and turns
 * them off, since the window may only be closed with interrupts off.
 */
static __always_inline struct prmem_batch *prmem_this_batch(unsigned long caller)
{
	bool on = !irqs_disabled();
	struct prmem_batch *b;

	if (unlikely(in_nmi())) {
		prmem_refuse(PRMEM_BAD_CONTEXT, NULL, caller);
		return NULL;
	}

	if (unlikely(on))
		local_irq_disable();

	b = this_cpu_ptr(&prmem_batch);
	if (likely(prmem_in_batch(b))) {
		if (unlikely(on))
			prmem_refuse(PRMEM_IRQS_ON, NULL, caller);
		return b;
	}

	b->depth = 0;
	if (on)
		local_irq_enable();
	prmem_refuse(PRMEM_NO_BATCH, NULL, caller);

	return NULL;
}

/**
 * wr_relax - let interrupts in, in the middle of a batch
 *
 * For a batch that can become long, between two of its writes: the window is closed,
 * and opened again.  So no lock may be held that was taken in the batch and that an
 * interrupt handler takes as well.  If interrupts were off before wr_begin() they stay
 * off.  This does nothing in a batch within another, whose caller may hold such a lock,
 * and between wr_edit() and its wr_end(), where an address in the window is in use.
 *
 * Context: A batch.
 */
void wr_relax(void)
{
	struct prmem_batch *b = prmem_this_batch(_RET_IP_);

	if (b && b->depth == 1 && !b->pinned)
		prmem_batch_reopen(b);
}
EXPORT_SYMBOL_GPL(wr_relax);

/**
 * wr_end - end a batch
 *
 * If the caller has turned interrupts on in the batch, this is reported as a mistake, and
 * the batch is ended nevertheless.
 *
 * Context: That of wr_begin().
 */
void wr_end(void)
{
	struct prmem_batch *b = prmem_this_batch(_RET_IP_);
	struct prmem_window w;
	unsigned long corrupt;
	u64 tlb_gen;

	if (unlikely(!b))
		return;

	if (b->pinned == b->depth)
		b->pinned = 0;
	if (--b->depth)
		return;

	temporary_mm_unlend(b->inner);
	/*
	 * A BUG() must not end the task in the window of a temporary mm, in the middle of
	 * what is written there.  What was refused has been counted and logged.
	 */
	corrupt = b->inner ? 0 : b->corrupt;
	tlb_gen = b->tlb_gen;
	w = b->window;
	prmem_close_batch(&w, tlb_gen);
	if (unlikely(corrupt))
		prmem_report_list(corrupt);
}
EXPORT_SYMBOL_GPL(wr_end);

/**
 * prmem_refuse_list - refuse to change a list that is corrupted
 * @addr: address of an entry
 * @caller: return address of the function that was to change it
 *
 * This also reports the corruption as list_debug.c does.  With
 * CONFIG_BUG_ON_DATA_CORRUPTION that is a BUG(), which ends the task, so in a batch the
 * report is left to wr_end(), and in the window of another temporary mm there is none.
 *
 * Context: Any but NMI.
 *
 * Return: as prmem_refuse().
 */
noinline __cold int prmem_refuse_list(const void *addr, unsigned long caller)
{
	int err = prmem_refuse(PRMEM_BAD_LIST, addr, caller);
	struct prmem_batch *b;
	bool open;

	scoped_guard(irqsave) {
		open = prmem_window_is_open() || temporary_mm_loaded();
		b = this_cpu_ptr(&prmem_batch);
		if (prmem_in_batch(b))
			b->corrupt = caller;
	}
	if (!open)
		prmem_report_list(caller);

	return err;
}
