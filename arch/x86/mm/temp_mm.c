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
#include <linux/processor.h>
#include <linux/ratelimit.h>
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

/**
 * temporary_mm_is_loaded - is this the temporary mm that this CPU runs on?
 * @mm: a temporary mm
 *
 * For those who decide by the answer whether a window has to be closed.  The answer
 * comes from CR3, which nobody can write to, and not from cpu_tlbstate.loaded_mm.
 *
 * Context: Any; the answer is stable while preemption is off.
 *
 * Return: true if CR3 has the root of @mm.
 */
bool temporary_mm_is_loaded(struct mm_struct *mm)
{
	return read_cr3_pa() == __pa(mm->pgd);
}

/*
 * What CR3 was before the outermost window of this CPU was opened.  Whatever
 * cpu_tlbstate and the mms say, this is what it has to be when the window is closed.
 */
static DEFINE_PER_CPU(unsigned long, temp_mm_cr3);

/* The same for those that are open within it: how many, and the root each goes back to. */
#define TEMP_MM_MAX_NESTED	8
static DEFINE_PER_CPU(unsigned int, temp_mm_nested);
static DEFINE_PER_CPU(unsigned long [TEMP_MM_MAX_NESTED], temp_mm_outer_roots);

/*
 * Somebody has changed what tells which mm is loaded, or what a task's mm is.  This may
 * be a writer of protected memory who holds a lock that the console takes.
 */
static noinline __cold void temp_mm_forged(const char *what)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	atomic_long_inc(&temp_mm_stats.forged);
	if (__ratelimit(&rs))
		printk_deferred("temp_mm: %s is forged; CPU %d, task %s[%d]\n",
				what, smp_processor_id(), current->comm, current->pid);
}

/* No task runs on a temporary mm, so the mm of this task is a way back unless it is one. */
static struct mm_struct *temp_mm_home(void)
{
	struct mm_struct *mm = current->mm;

	return mm && !mm_is_temporary(mm) ? mm : &init_mm;
}

/*
 * Load init_mm, without a look at cpu_tlbstate.  Another CPU may be busy forging it:
 * then its contents do not matter, and that CR3 has the kernel's root does.
 */
static noinline __cold void temp_mm_load_init(void)
{
	this_cpu_write(cpu_tlbstate.loaded_mm, &init_mm);
	load_cr3(swapper_pg_dir);
	initialize_tlbstate_and_flush();
	if (read_cr3_pa() != __pa_symbol(swapper_pg_dir))
		load_cr3(swapper_pg_dir);
}

/*
 * Get off whatever is loaded, by writing CR3, and from there on to @home.  No window is
 * open after that, whoever forges what meanwhile.
 */
static noinline __cold void temp_mm_escape(struct mm_struct *home)
{
	unsigned long root = __pa(home->pgd);

	__this_cpu_write(temp_mm_nested, 0);
	temp_mm_load_init();
	if (home == &init_mm)
		return;

	switch_mm_irqs_off(NULL, home, current);
	if (read_cr3_pa() != root)
		temp_mm_load_init();
}

/*
 * A temporary mm is said to be loaded when a window is opened.  This is so if the new
 * window is within another one, which is what CR3 says then.  If not, this CPU has not
 * loaded it.
 */
static noinline __cold struct mm_struct *temp_mm_outer(struct mm_struct *outer)
{
	struct mm_struct *home;

	if (temporary_mm_is_loaded(outer)) {
		unsigned int nested = __this_cpu_read(temp_mm_nested);

		__this_cpu_write(temp_mm_nested, nested + 1);
		if (!WARN_ON_ONCE(nested >= TEMP_MM_MAX_NESTED))
			__this_cpu_write(temp_mm_outer_roots[nested], read_cr3_pa());
		return outer;
	}

	temp_mm_forged("the loaded mm");
	home = temp_mm_home();
	if (temporary_mm_is_loaded(home))
		this_cpu_write(cpu_tlbstate.loaded_mm, home);
	else
		temp_mm_load_init();
	__this_cpu_write(temp_mm_cr3, __read_cr3());

	return this_cpu_read(cpu_tlbstate.loaded_mm);
}

/*
 * A window has been closed, and CR3 is not what it was before the outermost one of this
 * CPU.  That is right if it has the root of init_mm, in place of an mm that was held
 * lazily; or that of the window that the closed one was in; and if only the PCID is
 * another one.  Else it has what somebody wants it to have, and that may be a window:
 * @temp itself, if the switch was told that init_mm, where to go back to, was loaded.  Then
 * the switch has left this CPU in the mm_cpumask() of @temp.
 */
static noinline __cold void temp_mm_check_cr3(struct mm_struct *temp)
{
	unsigned long was = __this_cpu_read(temp_mm_cr3) & CR3_ADDR_MASK;
	unsigned int nested = __this_cpu_read(temp_mm_nested);
	unsigned long root = read_cr3_pa();
	struct mm_struct *home;

	if (root == __pa_symbol(swapper_pg_dir))
		return;

	if (nested) {
		__this_cpu_write(temp_mm_nested, --nested);
		if (nested < TEMP_MM_MAX_NESTED &&
		    root == __this_cpu_read(temp_mm_outer_roots[nested]))
			return;
	} else if (root == was) {
		return;
	}

	temp_mm_forged("the mm to go back to");
	home = temp_mm_home();
	temp_mm_escape(__pa(home->pgd) == was ? home : &init_mm);
	cpumask_clear_cpu(smp_processor_id(), mm_cpumask(temp));
}

/**
 * temp_mm_task_is_temporary - load something else for a task whose mm is a temporary mm
 *
 * For temp_mm_of_task().  No task is ever given such an mm, so somebody has written to
 * the task, and wants to have it run with a window open.
 *
 * Context: The scheduler, or kthread_use_mm(); interrupts off.
 *
 * Return: init_mm.
 */
struct mm_struct *temp_mm_task_is_temporary(void)
{
	temp_mm_forged("the mm of a task");

	return &init_mm;
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
	if (__this_cpu_read(cpu_tlbstate_shared.is_lazy))
		prev = &init_mm;
	else
		prev = __this_cpu_read(cpu_tlbstate.loaded_mm);

	/* What to go back to is in ordinary memory.  CR3 is not. */
	if (unlikely(prev->context.flags & BIT(MM_CONTEXT_TEMPORARY)))
		prev = temp_mm_outer(prev);
	else
		__this_cpu_write(temp_mm_cr3, __read_cr3());

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

static __always_inline void temp_mm_close(struct mm_struct *temp, struct mm_struct *prev)
{
	switch_mm_irqs_off(NULL, prev, current);
	if (unlikely(__read_cr3() != __this_cpu_read(temp_mm_cr3)))
		temp_mm_check_cr3(temp);

	/* An outer temporary mm wants the breakpoints to stay off. */
	if (hw_breakpoint_active() && !temporary_mm_loaded())
		set_debugreg(__this_cpu_read(cpu_dr7), 7);

	temp_mm_resume();

	/* Interrupts are off, so there is nothing to make up for. */
	barrier();
	preempt_count_dec();
}

/*
 * When @temp is to be closed, another mm is said to be loaded.  If CR3 says that it is
 * @temp, then so it is.  If not, the caller does not nest its windows, or has slept: what
 * is loaded has its own end, and what is not has no count any more.
 */
static noinline __cold void temp_mm_close_by_cr3(struct mm_struct *temp, struct mm_struct *prev)
{
	if (WARN_ON_ONCE(!temporary_mm_is_loaded(temp)))
		return;

	temp_mm_forged("the loaded mm");
	this_cpu_write(cpu_tlbstate.loaded_mm, temp);
	temp_mm_close(temp, prev);
	/* The switch does not, if another CPU has been faster with the next forged value. */
	cpumask_clear_cpu(smp_processor_id(), mm_cpumask(temp));
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

	if (likely(__this_cpu_read(cpu_tlbstate.loaded_mm) == temp))
		temp_mm_close(temp, prev);
	else
		temp_mm_close_by_cr3(temp, prev);
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

/*
 * Is there a window, for temp_mm_leave()?  If CR3 does not have what is said to be loaded
 * then that is forged, and there may be one.  A domain has a root of its own, and no
 * window is opened in one.
 */
static bool temp_mm_any_open(void)
{
	struct mm_struct *mm = this_cpu_read(cpu_tlbstate.loaded_mm);

	if (mm == LOADED_MM_SWITCHING)
		return false;

	return mm_is_temporary(mm) || (!asi_restricted() && !temporary_mm_is_loaded(mm));
}

/* Leave all windows of this CPU, for temp_mm_leave(). */
static void temp_mm_close_all(void)
{
	struct mm_struct *home = temp_mm_home();

	__this_cpu_write(temp_mm_nested, 0);
	switch_mm_irqs_off(NULL, home, current);
	if (temporary_mm_is_loaded(home))
		return;

	temp_mm_forged("the loaded mm");
	temp_mm_escape(home);
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
		open = temp_mm_any_open();
		clear_thread_flag(TIF_TEMP_MM);
		opener = __this_cpu_read(temporary_mm_opener);
		__this_cpu_write(temporary_mm_opener, 0);
		if (open) {
			temp_mm_close_all();
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
