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
#include <asm/desc.h>
#include <asm/e820/types.h>
#include <asm/paravirt.h>
#include <asm/sections.h>
#include <asm/temp_mm.h>
#include <asm/temp_root.h>
#include <asm/tlbflush.h>

#include <trace/events/tlb.h>

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
 * temporary_mm_is_loaded - does CR3 of this CPU have the root of an mm?
 * @mm: any mm
 *
 * For code that decides by the answer whether a window has to be closed.  Unlike
 * cpu_tlbstate.loaded_mm, CR3 can't be changed by a write to memory.
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
 * The value that CR3 had before the outermost window of this CPU was opened.  When that
 * window is closed CR3 has to have it again, whatever cpu_tlbstate says.  For the
 * exceptions see temp_mm_check_cr3().
 */
static DEFINE_PER_CPU(unsigned long, temp_mm_cr3);

/*
 * The windows that are open within the outermost one: how many, and for each of them the
 * root that CR3 has to have when it is closed.  A window that nests deeper is taken for
 * forged when it is closed.
 */
#define TEMP_MM_MAX_NESTED	8
static DEFINE_PER_CPU(unsigned int, temp_mm_nested);
static DEFINE_PER_CPU(unsigned long [TEMP_MM_MAX_NESTED], temp_mm_outer_roots);

/* The outermost window of this CPU is about to be opened. */
static __always_inline void temp_mm_begin(void)
{
	__this_cpu_write(temp_mm_cr3, __read_cr3());
	__this_cpu_write(temp_mm_nested, 0);
}

/*
 * Count and log that memory was overwritten which says what mm this CPU has loaded, or
 * what mm a task has.  The log is deferred, since the caller may be about to close a
 * window and hold a lock that the console takes.
 */
static noinline __cold void temp_mm_forged(const char *what)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	atomic_long_inc(&temp_mm_stats.forged);
	if (__ratelimit(&rs))
		printk_deferred("temp_mm: %s is forged; CPU %d, task %s[%d]\n",
				what, smp_processor_id(), current->comm, current->pid);
}

/*
 * The mm that this CPU can go on with: that of the current task, or init_mm if the task
 * has none.  No task has a temporary mm, so a task that seems to have one was forged.
 */
static struct mm_struct *temp_mm_home(void)
{
	struct mm_struct *mm = current->mm;

	return mm && !mm_is_temporary(mm) ? mm : &init_mm;
}

/*
 * Load init_mm by a write to CR3.  initialize_tlbstate_and_flush() writes CR3 once more,
 * with the root of cpu_tlbstate.loaded_mm, which another CPU may have forged meanwhile.
 * So CR3 is checked at the end: it has to have the kernel's root, whatever cpu_tlbstate
 * says by then.
 */
static noinline __cold void temp_mm_load_init(void)
{
	this_cpu_write(cpu_tlbstate.loaded_mm, &init_mm);
	/* Of the mm that was loaded, which nobody unloads. */
	clear_LDT();
	load_cr3(swapper_pg_dir);
	initialize_tlbstate_and_flush();
	if (read_cr3_pa() != __pa_symbol(swapper_pg_dir))
		load_cr3(swapper_pg_dir);
}

/*
 * Leave all windows of this CPU by loading init_mm, and go on from there to @home.  CR3
 * ends up with the root of @home or with that of init_mm, even if another CPU goes on
 * forging cpu_tlbstate.
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
 * Is a window of this CPU open?  CR3 tells, which can't be forged: it has the root of a
 * window if it has neither that of the kernel, nor that of the mm which the task has, or
 * which a kernel thread holds lazily.  The caller has left the domain of the task.
 */
static bool temp_mm_any_open(void)
{
	struct mm_struct *active = current->active_mm;
	unsigned long root = read_cr3_pa();

	if (root == __pa_symbol(swapper_pg_dir) || root == __pa(temp_mm_home()->pgd))
		return false;

	return root != __pa(active->pgd) || mm_is_temporary(active);
}

/**
 * temporary_root_loaded - is this CPU in a window of use_temporary_root()?
 *
 * It is if a window is open, and CR3 has not the root of the mm that is loaded.
 *
 * Context: Any but NMI; the answer is stable while preemption is off.
 *
 * Return: true if so.
 */
bool temporary_root_loaded(void)
{
	struct mm_struct *mm;

	/* A domain need not map the mms that are looked at. */
	if (asi_restricted())
		return false;

	mm = this_cpu_read(cpu_tlbstate.loaded_mm);
	if (mm != LOADED_MM_SWITCHING && temporary_mm_is_loaded(mm))
		return false;

	return temp_mm_any_open();
}

/* For unuse_temporary_root(): what it is to return to is the window itself. */
static noinline __cold void temp_mm_escape_root(void)
{
	temp_mm_forged("the page table to go back to");
	temp_mm_escape(temp_mm_home());
}

/**
 * use_temporary_root - load a page table on this CPU
 * @cr3: the physical address of its root, with the encryption bit if there is one
 *
 * PCID 0 is for such page tables and for load_cr3() only.  It is never loaded without a
 * flush, so nothing that the TLB has of an earlier window is used in this one: who takes
 * something away from the page table only has to wait until no CPU has it loaded.
 *
 * No hardware breakpoint fires on this CPU until unuse_temporary_root().
 *
 * Uses nest like function calls, with different page tables, also within
 * use_temporary_mm().  The other way round, use_temporary_mm() ends them for good.
 *
 * Context: Interrupts off until unuse_temporary_root(), any but NMI; on the page table of
 * an mm, or in another window.
 *
 * Return: what to pass to unuse_temporary_root().
 */
unsigned long use_temporary_root(unsigned long cr3)
{
	unsigned long prev;

	lockdep_assert_irqs_disabled();
	/* Here, so that what is attached to it does not run in the window. */
	trace_tlb_flush(TLB_FLUSH_ON_TASK_SWITCH, TLB_FLUSH_ALL);
	prev = __read_cr3();

	/*
	 * The window counts in preempt_count(), also in a kernel where preempt_disable()
	 * counts nothing: schedule() and do_exit() find by it that there is a window to
	 * close.
	 */
	preempt_count_inc();
	barrier();

	/* Those who install a breakpoint have to interrupt this CPU, so they wait. */
	if (hw_breakpoint_active())
		set_debugreg(DR7_FIXED_1, 7);

	write_cr3(cr3);

	return prev;
}

/**
 * unuse_temporary_root - go back to the page table that was loaded before
 * @cr3: what use_temporary_root() was called with
 * @prev: what use_temporary_root() has returned, which is the value that CR3 had
 * @flush: interrupts have been on in between, so that a flush was perhaps missed
 *
 * What the TLB has of the PCID in @prev is kept if nothing but an NMI can have come in
 * between.  If its handler has flushed a kernel address, by flush_tlb_one_kernel(), that
 * was for the PCID of the window, and cpu_tlbstate.invalidate_other says that the other
 * ones have it still to come.
 *
 * If @prev has the root of @cr3, somebody has overwritten it.  The task goes on with its
 * own mm then.  If CR3 is not @cr3 any more, the window was closed by somebody else, see
 * temp_mm_end_root(), and CR3 is left alone.
 *
 * Context: That of use_temporary_root().
 */
void unuse_temporary_root(unsigned long cr3, unsigned long prev, bool flush)
{
	if (unlikely(__read_cr3() != cr3))
		goto out;

	if (unlikely(!((cr3 ^ prev) & CR3_ADDR_MASK))) {
		temp_mm_escape_root();
	} else if (!(prev & X86_CR3_PCID_MASK) || flush ||
		   __this_cpu_read(cpu_tlbstate.invalidate_other)) {
		write_cr3(prev);
	} else {
		write_cr3(prev | CR3_NOFLUSH);
		/* An NMI may have come between the look and the write. */
		if (unlikely(__this_cpu_read(cpu_tlbstate.invalidate_other)))
			write_cr3(prev);
	}

out:
	/* An outer window wants the breakpoints to stay off. */
	if (hw_breakpoint_active() && !temporary_mm_loaded() && !temporary_root_loaded())
		set_debugreg(__this_cpu_read(cpu_dr7), 7);

	/* Need not be preempt_enable(): with interrupts off nothing can preempt here. */
	barrier();
	preempt_count_dec();
}

/*
 * use_temporary_mm() in a window of use_temporary_root(), for example by the EFI variables
 * of pstore after an oops in a write.  That window is closed for good: whoever has opened
 * it finds by CR3 that it is closed.  A batch that goes on after that is a bug, and ends
 * with interrupts and preemption off.
 */
static noinline __cold void temp_mm_end_root(void)
{
	atomic_long_inc(&temp_mm_stats.left);
	printk_deferred("temp_mm: %s[%d] loads an mm in a window; the window is closed\n",
			current->comm, current->pid);
	clear_thread_flag(TIF_TEMP_MM);
	__this_cpu_write(temporary_mm_opener, 0);
	temp_mm_escape(temp_mm_home());
}

/*
 * A window is being opened while cpu_tlbstate says that @outer, a temporary mm, is
 * loaded.  If CR3 agrees, the new window is within that of @outer.  If not, this CPU has
 * not loaded @outer, and loaded_mm was forged.  Returns the mm to go back to.
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
	temp_mm_begin();

	return this_cpu_read(cpu_tlbstate.loaded_mm);
}

/*
 * The window of @temp was closed, and CR3 is not what it was before the outermost window
 * of this CPU was opened.  That is right if CR3 has
 *
 *  - the root of init_mm, which is loaded in place of an mm that was held lazily,
 *  - the root of the window that the closed one was in, or
 *  - the same root as before the outermost window, with another PCID.
 *
 * Otherwise the mm to go back to was forged, and a window may be open.  This may even be
 * that of @temp, if loaded_mm was forged so that switch_mm_irqs_off() found that nothing
 * was to be switched.  In that case this CPU is still in mm_cpumask(@temp).
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
/* Was the task in a domain when the outermost window of this CPU was opened? */
static DEFINE_PER_CPU(bool, temp_mm_restricted);

/*
 * Leave the domain of the task, before anything else: a domain need not map what opening
 * a window touches, such as the mm that is loaded.  Only for the outermost window there
 * can be a domain to go back to.
 */
static __always_inline void temp_mm_suspend(void)
{
	bool restricted = asi_suspend();

	if (static_branch_unlikely(&asi_key) && !temporary_mm_loaded())
		__this_cpu_write(temp_mm_restricted, restricted);
}

/*
 * Go back to the domain when the outermost window was closed.  asi_resume() is called in
 * any case, with false where there is no domain: what follows must not run ahead of it
 * by speculation, which a branch around it would allow.
 */
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
	if (unlikely(!temporary_mm_is_loaded(this_cpu_read(cpu_tlbstate.loaded_mm))) &&
	    temporary_root_loaded())
		temp_mm_end_root();
	VM_WARN_ON_ONCE(!mm_is_temporary(temp));
	VM_WARN_ON_ONCE(!cpumask_empty(mm_cpumask(temp)));

	/*
	 * The window counts in preempt_count() until unuse_temporary_mm(), also in a
	 * kernel where preempt_disable() counts nothing: schedule() and do_exit() look
	 * at the count in any kernel, and find by it that there is a window to close.
	 */
	preempt_count_inc();
	barrier();

	/*
	 * An mm that this CPU holds lazily must not be restored: the switch back would
	 * load it without making this CPU lazy again, and its last task may exit
	 * meanwhile.  A kernel thread can always go back to init_mm.
	 */
	if (__this_cpu_read(cpu_tlbstate_shared.is_lazy))
		prev = &init_mm;
	else
		prev = __this_cpu_read(cpu_tlbstate.loaded_mm);

	/* loaded_mm is in ordinary memory and may be forged, so CR3 is kept as well. */
	if (unlikely(prev->context.flags & BIT(MM_CONTEXT_TEMPORARY)))
		prev = temp_mm_outer(prev);
	else
		temp_mm_begin();

	/*
	 * DR7 alone disarms all four breakpoints.  cpu_dr7 keeps the value that is
	 * written back at the end.  While a temporary mm is loaded, those who install
	 * and remove breakpoints change cpu_dr7 and leave DR7 alone.
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
 * Uses nest like function calls, with different mms, up to eight within the outermost
 * one.  One that nests deeper is warned about, and when it is closed all are; those
 * around it are then counted in preempt_count() until the task sleeps.
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

	/* Need not be preempt_enable(): with interrupts off nothing can preempt here. */
	barrier();
	preempt_count_dec();
}

/*
 * The window of @temp is to be closed, but cpu_tlbstate says that another mm is loaded.
 * If CR3 has the root of @temp, loaded_mm was forged, and the window is closed.  If not,
 * the caller has a bug: it has not nested its windows, or has slept.  Nothing is done
 * then: a window that is open is closed by its own unuse_temporary_mm(), and what closes
 * one that its owner leaves sets preempt_count() right as well.
 */
static noinline __cold void temp_mm_close_by_cr3(struct mm_struct *temp, struct mm_struct *prev)
{
	if (WARN_ON_ONCE(!temporary_mm_is_loaded(temp)))
		return;

	temp_mm_forged("the loaded mm");
	this_cpu_write(cpu_tlbstate.loaded_mm, temp);
	temp_mm_close(temp, prev);
	/* If loaded_mm was forged again, the switch has not cleared this CPU's bit. */
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

/* Leave all windows of this CPU, for temp_mm_leave(). */
static void temp_mm_close_all(void)
{
	struct mm_struct *home = temp_mm_home();

	__this_cpu_write(temp_mm_nested, 0);
	if (temporary_root_loaded()) {
		temp_mm_escape(home);
		return;
	}

	/*
	 * Forged, or left there by a switch that has not come to its end.  Nothing says
	 * whose window it is then, so this CPU stays in the mm_cpumask() of that window.
	 */
	if (this_cpu_read(cpu_tlbstate.loaded_mm) != LOADED_MM_SWITCHING) {
		switch_mm_irqs_off(NULL, home, current);
		if (temporary_mm_is_loaded(home))
			return;
	}

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
 * Called where no task gets past: by __schedule(), if preemption is counted as off; by
 * do_exit() and make_task_dead(), likewise; and on the way to user mode, if TIF_TEMP_MM
 * is set.  The task goes on with its own mm.  The mms that its windows were to go back
 * to are forgotten, and if it has a session in a domain, the session ends.
 *
 * Context: The task that leaves.  Interrupts may be on or off; with %TEMP_MM_EXITS they
 * are on afterwards if a window was open.
 */
void temp_mm_leave(enum temp_mm_leave how)
{
	bool open, restricted = asi_suspend();
	unsigned long opener;

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
	asi_resume(restricted && !open);
	if (!open)
		return;

#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
	if (static_branch_unlikely(&asi_key) && current->thread.asi.asi)
		__asi_switch_mm(_RET_IP_);
#endif

	atomic_long_inc(&temp_mm_stats.left);
	pr_warn_ratelimited("temp_mm: %s[%d] %s in a window, opened by %pS; closed\n",
			    current->comm, current->pid, temp_mm_leaves[how], (void *)opener);

	/* For a task that sleeps __schedule() itself sets the preemption count right. */
	if (how != TEMP_MM_SLEEPS)
		preempt_count_set(PREEMPT_ENABLED);
	if (how == TEMP_MM_EXITS)
		local_irq_enable();
}

/**
 * temporary_mm_changed - the page tables of a temporary mm have changed
 * @mm: the temporary mm
 * @start: first address with a change
 * @end: end of the addresses with a change
 *
 * The next load of @mm, on any CPU, flushes all that the CPU has cached of @mm.  So no
 * CPU is interrupted, and nothing is flushed now: a CPU that has @mm loaded may go on
 * with what it has cached until it loads @mm again.
 *
 * The increment of the generation is a full barrier.  It pairs with the locked
 * cpumask_set_cpu() before the read of tlb_gen in switch_mm_irqs_off().  @start and @end
 * are for kernels without CONFIG_TEMP_MM, where this function flushes the range.
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
	/* The direct map has the ISA range, so pfn_range_is_mapped() says yes to it. */
	if (pfn >= PFN_DOWN(ISA_START_ADDRESS) && pfn < PFN_DOWN(ISA_END_ADDRESS))
		return false;

	return pfn_range_is_mapped(pfn, pfn + 1);
}

/* Text, constants and data; not gaps between sections and init memory that was freed. */
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
