// SPDX-License-Identifier: GPL-2.0
/*
 * Temporary mms on x86: load an mm on this CPU for the length of one operation,
 * and what mm/temp_mm.c needs to know about page tables and the TLB.
 */
#include <linux/cleanup.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmdebug.h>
#include <linux/mmu_context.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/temp_mm.h>
#include <linux/temp_mm_owner.h>
#include <linux/thread_info.h>
#include <linux/vmalloc.h>

#include <asm/asi.h>
#include <asm/debugreg.h>
#include <asm/e820/types.h>
#include <asm/paravirt.h>
#include <asm/sections.h>
#include <asm/temp_mm.h>
#include <asm/tlbflush.h>

DEFINE_PER_CPU(unsigned long, temporary_mm_opener);

/**
 * temporary_mm_loaded - which temporary mm is loaded on this CPU?
 *
 * Context: Any; the answer is stable while preemption is off.
 *
 * Return: the temporary mm between use_temporary_mm() and
 * unuse_temporary_mm(), else NULL.
 */
struct mm_struct *temporary_mm_loaded(void)
{
	struct mm_struct *mm = this_cpu_read(cpu_tlbstate.loaded_mm);

	/* An NMI can arrive in the middle of a switch. */
	if (mm == LOADED_MM_SWITCHING || !mm_is_temporary(mm))
		return NULL;

	return mm;
}

#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
/* The outermost temporary mm was loaded in a domain. */
static DEFINE_PER_CPU(bool, temp_mm_restricted);

/* Before all else: the domain need not map what is touched next, nor the loaded mm. */
static __always_inline void temp_mm_suspend(void)
{
	bool restricted = asi_suspend();

	if (static_branch_unlikely(&asi_key) && !temporary_mm_loaded())
		__this_cpu_write(temp_mm_restricted, restricted);
}

/* The question is no way around asi_resume(), which does not let anything run ahead. */
static __always_inline void temp_mm_resume(void)
{
	if (static_branch_unlikely(&asi_key))
		asi_resume(!temporary_mm_loaded() &&
			   __this_cpu_read(temp_mm_restricted));
}
#else
static inline void temp_mm_suspend(void) { }
static inline void temp_mm_resume(void) { }
#endif

/**
 * use_temporary_mm_irqs_off - use_temporary_mm() for those with interrupts off
 * @temp: as for use_temporary_mm()
 *
 * Context: Interrupts off.  Any but NMI.
 *
 * Return: as use_temporary_mm().
 */
struct mm_struct *use_temporary_mm_irqs_off(struct mm_struct *temp)
{
	struct mm_struct *prev;

	lockdep_assert_irqs_disabled();
	temp_mm_suspend();
	VM_WARN_ON_ONCE(!mm_is_temporary(temp));
	VM_WARN_ON_ONCE(!cpumask_empty(mm_cpumask(temp)));

	/*
	 * Counted until unuse_temporary_mm(), also where preempt_disable() counts
	 * nothing: schedule() and do_exit() look at the count in any case, and
	 * close the window.
	 */
	preempt_count_inc();
	barrier();

	/*
	 * A lazily held mm must not be restored: its owner may exit meanwhile,
	 * and this CPU would be on it without being lazy, so without anybody
	 * who cares.  init_mm is where a kernel thread can always go back to.
	 */
	if (this_cpu_read(cpu_tlbstate_shared.is_lazy))
		prev = &init_mm;
	else
		prev = this_cpu_read(cpu_tlbstate.loaded_mm);

	/*
	 * DR7 alone disarms all four breakpoints.  cpu_dr7 keeps the value to
	 * go back to, and arch_install_hw_breakpoint() changes only that one
	 * while a temporary mm is loaded.
	 */
	if (hw_breakpoint_active())
		set_debugreg(DR7_FIXED_1, 7);

	switch_mm_irqs_off(NULL, temp, current);

	return prev;
}

/**
 * use_temporary_mm - load a temporary mm on this CPU
 * @temp: an mm marked with mm_set_temporary(), loaded on no other CPU
 *
 * What @temp maps beyond the kernel's own mappings can be accessed by this CPU
 * and by no other, until unuse_temporary_mm().  No TLB of another CPU ever
 * caches it, so no shootdown is needed when such a mapping goes away.
 *
 * To schedule in between is illegal.  It is reported as "scheduling while
 * atomic", and closes the window.  Interrupts may stay on, as EFI runtime
 * services want it, but then their handlers can reach the mappings too.  Writers
 * of protected memory turn them off.
 *
 * While a temporary mm is loaded, no hardware breakpoint fires on this CPU: one
 * that user space has set on an address of its own could match an access to
 * what @temp maps there.
 *
 * Uses nest like function calls, with different mms.
 *
 * Context: Preemption off.  Any but NMI, where a switch may be under way; kgdb,
 * which stops all CPUs, is on its own.
 *
 * Return: the mm to pass to unuse_temporary_mm().
 */
struct mm_struct *use_temporary_mm(struct mm_struct *temp)
{
	lockdep_assert_preemption_disabled();

	guard(irqsave)();

	return use_temporary_mm_irqs_off(temp);
}

/**
 * unuse_temporary_mm_irqs_off - unuse_temporary_mm() with interrupts off
 * @temp: as for unuse_temporary_mm()
 * @prev: as for unuse_temporary_mm()
 *
 * Context: Interrupts off.  Any but NMI.
 */
void unuse_temporary_mm_irqs_off(struct mm_struct *temp, struct mm_struct *prev)
{
	lockdep_assert_irqs_disabled();

	/* What is loaded has its own end, and what is not has no count any more. */
	if (WARN_ON_ONCE(this_cpu_read(cpu_tlbstate.loaded_mm) != temp))
		return;

	switch_mm_irqs_off(NULL, prev, current);

	/* An outer temporary mm wants the breakpoints to stay off. */
	if (hw_breakpoint_active() && !temporary_mm_loaded())
		set_debugreg(__this_cpu_read(cpu_dr7), 7);

	temp_mm_resume();

	/* Interrupts are off, so there is nothing to make up for. */
	barrier();
	preempt_count_dec();
}

/**
 * unuse_temporary_mm - go back to the mm that was loaded before
 * @temp: the temporary mm that is loaded
 * @prev: what use_temporary_mm(@temp) has returned
 *
 * The write to CR3 serializes.  If @temp is not what is loaded, because of
 * scheduling in between or of a use that was not nested properly, then this
 * warns and leaves alone what is loaded: @prev may be gone by now, and the
 * scheduler's choice is right.
 *
 * Context: Preemption off.  Any but NMI.
 */
void unuse_temporary_mm(struct mm_struct *temp, struct mm_struct *prev)
{
	lockdep_assert_preemption_disabled();

	guard(irqsave)();

	unuse_temporary_mm_irqs_off(temp, prev);
}

static const char * const temp_mm_leaves[TEMP_MM_NR_LEAVES] = {
	[TEMP_MM_SLEEPS]	= "sleeps",
	[TEMP_MM_RETURNS]	= "returns to user mode",
	[TEMP_MM_EXITS]		= "exits",
};

/**
 * temp_mm_leave - close the windows of a task that leaves them open
 * @how: what the task is about to do
 *
 * For those that a task can't get past: __schedule(), where it finds that preemption is
 * counted as off, do_exit() and make_task_dead(), and the way to user mode, if it finds
 * TIF_TEMP_MM.  None of them costs anything without a window.  The task goes on with
 * its own mm, and what it had to go back to is forgotten; so is its way back to a
 * domain, if it was in one.
 *
 * Context: The task that leaves.
 */
void temp_mm_leave(enum temp_mm_leave how)
{
	unsigned long opener;
	bool open;

	scoped_guard(irqsave) {
		open = temporary_mm_loaded();
		clear_thread_flag(TIF_TEMP_MM);
		opener = __this_cpu_read(temporary_mm_opener);
		__this_cpu_write(temporary_mm_opener, 0);
		if (open) {
			switch_mm_irqs_off(NULL, current->mm ?: &init_mm, current);
			if (hw_breakpoint_active())
				set_debugreg(__this_cpu_read(cpu_dr7), 7);
		}
	}
	if (!open)
		return;

#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
	if (static_branch_unlikely(&asi_key) && current->thread.asi.asi)
		__asi_switch_mm(_RET_IP_);
#endif

	atomic_long_inc(&temp_mm_stats.left);
	pr_warn_ratelimited("temp_mm: %s[%d] %s in a window, opened by %pS; closed\n",
			    current->comm, current->pid, temp_mm_leaves[how], (void *)opener);

	/* Whoever sleeps gets its count from __schedule(). */
	if (how != TEMP_MM_SLEEPS)
		preempt_count_set(PREEMPT_ENABLED);
	if (how == TEMP_MM_EXITS)
		local_irq_enable();
}

/**
 * temporary_mm_changed - the page tables of a temporary mm have changed
 * @mm: the mm, not loaded on any CPU
 * @start: first address with a change
 * @end: end of the addresses with a change
 *
 * The next load of @mm, on whatever CPU, flushes all that this CPU may have
 * cached of it.  Nobody has to be interrupted, and nothing flushed now.
 *
 * The increment of the generation is a full barrier.  It pairs with the locked
 * cpumask_set_cpu() before the read of tlb_gen in switch_mm_irqs_off().  The range
 * is for the form without CONFIG_TEMP_MM, which has to flush it.
 */
void temporary_mm_changed(struct mm_struct *mm, unsigned long start,
			  unsigned long end)
{
	inc_mm_tlb_gen(mm);
}

/**
 * arch_temp_mm_init - make an mm fit for temp_mm_use()
 * @mm: a new mm with its PGD, not loaded anywhere
 */
void arch_temp_mm_init(struct mm_struct *mm)
{
	/* Xen PV wants a PGD to be pinned before it is loaded. */
	paravirt_enter_mmap(mm);
	mm_set_temporary(mm);
}

/**
 * arch_temp_mm_exit - undo arch_temp_mm_init()
 * @mm: an mm that is not loaded anywhere; its page tables are freed next
 */
void arch_temp_mm_exit(struct mm_struct *mm)
{
	paravirt_arch_exit_mmap(mm);
}

/**
 * arch_temp_mm_prot_ok - is this a protection for a window?
 * @prot: protection of the caller of temp_mm_map()
 *
 * A window is for the kernel's data only, on one CPU only, and of the memory type
 * and encryption of ordinary kernel memory.
 *
 * Return: true if @prot differs from %TEMP_MM_PROT_RW at most in being read-only,
 * not accessed or not dirty.
 */
bool arch_temp_mm_prot_ok(pgprot_t prot)
{
	pgprotval_t may_differ = _PAGE_RW | _PAGE_ACCESSED | _PAGE_DIRTY;
	pgprotval_t val = pgprot_val(prot);

	if ((val ^ pgprot_val(TEMP_MM_PROT_RW)) & ~may_differ)
		return false;

	/* Dirty and not writable means shadow stack. */
	return (val & _PAGE_RW) || !(val & _PAGE_DIRTY);
}

/**
 * arch_temp_mm_pfn_ok - is this a page frame that a window may map?
 * @pfn: any number
 *
 * No struct page is looked at: there may be none.
 *
 * Return: true if it is RAM for the kernel.
 */
bool arch_temp_mm_pfn_ok(unsigned long pfn)
{
	/* The direct map begins with all of the first megabyte. */
	if (pfn >= PFN_DOWN(ISA_START_ADDRESS) && pfn < PFN_DOWN(ISA_END_ADDRESS))
		return false;

	return pfn_range_is_mapped(pfn, pfn + 1);
}

/* Not between its sections, nor what was there for init: that is free memory. */
static bool in_kernel_image(unsigned long va)
{
	return core_kernel_text(va) || is_kernel_rodata(va) || is_kernel_core_data(va);
}

/**
 * arch_temp_mm_pfn_of - the page frame behind an address of the kernel
 * @addr: any address
 *
 * No reference is taken: the caller owns what it wants to write to.
 *
 * Return: the page frame number, if @addr is in the direct map, in the kernel
 * image or in vmalloc space, and a window may map what is there; else 0, which
 * is the number of no frame that the kernel uses.
 */
unsigned long arch_temp_mm_pfn_of(const void *addr)
{
	unsigned long va = (unsigned long)addr;
	struct page *page;
	unsigned long pfn;

	if (va >= PAGE_OFFSET && va < VMALLOC_START) {
		pfn = PFN_DOWN(va - PAGE_OFFSET);
	} else if (is_vmalloc_or_module_addr(addr)) {
		page = vmalloc_to_page(addr);
		pfn = page ? page_to_pfn(page) : 0;
	} else if (in_kernel_image(va)) {
		pfn = PFN_DOWN(va - __START_KERNEL_map + phys_base);
	} else {
		return 0;
	}

	return arch_temp_mm_pfn_ok(pfn) ? pfn : 0;
}
