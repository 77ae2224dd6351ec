/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_X86_TEMP_MM_H
#define _ASM_X86_TEMP_MM_H

#include <linux/mm_types.h>
#include <linux/pgtable.h>

#include <asm/mmu.h>

#ifdef CONFIG_TEMP_MM

#include <linux/percpu.h>
#include <linux/thread_info.h>

struct mm_struct *use_temporary_mm(struct mm_struct *temp);
void unuse_temporary_mm(struct mm_struct *temp, struct mm_struct *prev);
struct mm_struct *use_temporary_mm_irqs_off(struct mm_struct *temp);
void unuse_temporary_mm_irqs_off(struct mm_struct *temp, struct mm_struct *prev);
struct mm_struct *temporary_mm_loaded(void);
bool temporary_mm_is_loaded(struct mm_struct *mm);
void temporary_mm_changed(struct mm_struct *mm, unsigned long start,
			  unsigned long end);

/**
 * mm_set_temporary - declare an mm to be a temporary mm
 * @mm: an mm that no task runs on and no CPU has loaded
 *
 * To be called once, before the first use_temporary_mm(@mm).  The mark is how
 * temporary_mm_loaded() knows that a window is open.  So the unuse_temporary_mm() of an
 * inner window sees that it goes back to an outer one, and that hardware breakpoints
 * have to stay off.
 */
static inline void mm_set_temporary(struct mm_struct *mm)
{
	__set_bit(MM_CONTEXT_TEMPORARY, &mm->context.flags);
}

static inline bool mm_is_temporary(struct mm_struct *mm)
{
	return test_bit(MM_CONTEXT_TEMPORARY, &mm->context.flags);
}

/*
 * For the log of temp_mm_leave(): the @caller of the temporary_mm_lend() that has set
 * TIF_TEMP_MM on this CPU, or 0.
 */
DECLARE_PER_CPU(unsigned long, temporary_mm_opener);

/*
 * Called after use_temporary_mm() by functions that return to their caller with the
 * window open.  Until temporary_mm_unlend() the caller's own code runs in the window, and
 * may forget to close it.  The way to user mode finds a forgotten window by TIF_TEMP_MM,
 * schedule() and do_exit() find it by the preemption count.
 *
 * @inner says that the window is in an outer one, to which the flag is left.  Interrupts
 * are off.
 */
static __always_inline void temporary_mm_lend(bool inner, unsigned long caller)
{
	if (unlikely(inner))
		return;

	__this_cpu_write(temporary_mm_opener, caller);
	set_thread_flag(TIF_TEMP_MM);
}

static __always_inline void temporary_mm_unlend(bool inner)
{
	if (unlikely(inner))
		return;

	clear_thread_flag(TIF_TEMP_MM);
	__this_cpu_write(temporary_mm_opener, 0);
}

/*
 * The window lives in the PGD slot that a process uses for the PTI alias of
 * its LDT.  A temporary mm never has an LDT, swapper_pg_dir has nothing there,
 * and PTI does not mirror the slot to the user page table of anybody.  The
 * first PMD stays empty: a stray access to a stale LDT alias finds nothing.
 */
#define TEMP_MM_BASE		LDT_BASE_ADDR
#define TEMP_MM_SIZE		PGDIR_SIZE
#define TEMP_MM_GUARD		PMD_SIZE
#define TEMP_MM_PGD_BYTES	(PAGE_SIZE << PGD_ALLOCATION_ORDER)

/*
 * Never global: a global entry would outlive the CR3 write that ends the
 * window.  PAGE_KERNEL_RO is not dirty, so that a read-only window is not a
 * shadow stack.  Both carry the memory encryption bit where there is one.
 */
#define TEMP_MM_PROT_RW		__pgprot(pgprot_val(PAGE_KERNEL) & ~_PAGE_GLOBAL)
#define TEMP_MM_PROT_RO		__pgprot(pgprot_val(PAGE_KERNEL_RO) & ~_PAGE_GLOBAL)

void arch_temp_mm_init(struct mm_struct *mm);
void arch_temp_mm_exit(struct mm_struct *mm);
bool arch_temp_mm_prot_ok(pgprot_t prot);
bool arch_temp_mm_pfn_ok(unsigned long pfn);
unsigned long arch_temp_mm_pfn_of(const void *addr);

#else /* !CONFIG_TEMP_MM */

#include <linux/mmu_context.h>

#include <asm/debugreg.h>
#include <asm/tlbflush.h>

/* Without CONFIG_TEMP_MM only text poking calls this: interrupts off, never nested. */
static inline struct mm_struct *use_temporary_mm(struct mm_struct *temp)
{
	struct mm_struct *prev;

	lockdep_assert_irqs_disabled();

	/* Go to init_mm first: a lazily held mm would be restored without being lazy. */
	if (this_cpu_read(cpu_tlbstate_shared.is_lazy))
		leave_mm();

	prev = this_cpu_read(cpu_tlbstate.loaded_mm);
	switch_mm_irqs_off(NULL, temp, current);

	/* A user watchpoint must not match an address of the window. */
	if (hw_breakpoint_active())
		hw_breakpoint_disable();

	return prev;
}

static inline void unuse_temporary_mm(struct mm_struct *temp,
				      struct mm_struct *prev)
{
	lockdep_assert_irqs_disabled();
	switch_mm_irqs_off(NULL, prev, current);

	if (hw_breakpoint_active())
		hw_breakpoint_restore();
}

static inline struct mm_struct *temporary_mm_loaded(void)
{
	return NULL;
}

static inline void mm_set_temporary(struct mm_struct *mm) { }

static inline void temporary_mm_changed(struct mm_struct *mm,
					unsigned long start, unsigned long end)
{
	flush_tlb_mm_range(mm, start, end, PAGE_SHIFT, false);
}

#endif /* CONFIG_TEMP_MM */

#endif /* _ASM_X86_TEMP_MM_H */
