/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Address space isolation on x86: what entry code, scheduler, TLB and page faults need
 * of it.  include/linux/asi.h is for users of domains.
 */
#ifndef _ASM_X86_ASI_H
#define _ASM_X86_ASI_H

/* For asi_reenter(): what has interrupted the domain.  Part of enum asi_count, too. */
#define ASI_EVENT_INTERRUPT	0
#define ASI_EVENT_PARANOID	1

#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION
#ifndef __ASSEMBLY__

#include <linux/err.h>
#include <linux/instruction_pointer.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/types.h>

#include <asm/ptrace.h>

struct asi;
struct task_struct;

/*
 * How the entry code finds out whether this CPU is in a domain, and leaves it.  It reads
 * this on the domain's page table, so each domain maps it.
 *
 * @domain is what a read of CR3 gives in the domain.  It is set before CR3 becomes the
 * domain's, and set to 0 after CR3 has become the kernel's again.  So in between CR3 can
 * be either, and has to be compared with @domain.  @kernel is what to write to CR3 to
 * leave the domain.  It is valid while @domain is not 0.
 */
struct asi_cr3 {
	unsigned long domain;
	unsigned long kernel;
};

DECLARE_PER_CPU_SECTION(struct asi_cr3, asi_cr3, PER_CPU_ENTRY_SECTION) ____cacheline_aligned;

/* True while there are domains. */
DECLARE_STATIC_KEY_FALSE(asi_key);

void asi_check_boottime(void);

bool __asi_suspend(void);
void __asi_resume(bool restricted);
void __asi_schedule_out(void);
void __asi_schedule_in(void);
void __asi_end_session(void);
void __asi_switch_mm(unsigned long caller);
void __asi_exit_to_user(void);
void __asi_exit_thread(struct task_struct *tsk);
unsigned long asi_reenter(unsigned int event);

/**
 * asi_restricted - is this CPU on the page table of a domain?
 *
 * Context: Any.  The answer stays the same for the task that asks, across preemption and
 * migration.  An NMI that hits while CR3 is about to become a domain's, or has just
 * become the kernel's, finds true although it runs on the kernel's page table.
 *
 * Return: true from asi_enter() to asi_exit(), but not in what interrupts the task, while
 * the session is suspended, or after it was ended.
 */
static __always_inline bool asi_restricted(void)
{
	return static_branch_unlikely(&asi_key) && raw_cpu_read(asi_cr3.domain);
}

/**
 * asi_suspend - leave the domain for something that needs the kernel's table
 *
 * The session goes on: asi_resume() takes the task back to the domain.  In between the
 * task may sleep and migrate.  Pairs nest: an inner pair finds the task outside of the
 * domain, and leaves it there.
 *
 * Context: Any.
 *
 * Return: what to pass to asi_resume().
 */
static __always_inline bool asi_suspend(void)
{
	return asi_restricted() && __asi_suspend();
}

/**
 * asi_resume - go back to the domain that asi_suspend() has left
 * @restricted: what asi_suspend() has returned
 *
 * If the session has ended in between, the task stays on the kernel's page table.  While
 * there are domains, this is a speculation barrier as well, also if @restricted is false:
 * no caller may branch around it.
 *
 * Context: The task that called asi_suspend().
 */
static __always_inline void asi_resume(bool restricted)
{
	if (static_branch_unlikely(&asi_key))
		__asi_resume(restricted);
}

/**
 * asi_end_session - end the session of this task, if it has one
 *
 * For what a task can't come back from: exec and exit.
 *
 * Context: Process context.
 */
static inline void asi_end_session(void)
{
	if (static_branch_unlikely(&asi_key))
		__asi_end_session();
}

/*
 * __schedule() calls asi_schedule_out() first and asi_schedule_in() last.  A task that
 * was in a domain leaves it, and goes back when it is scheduled in again.  The session of
 * the task remembers that in between, so __schedule() needs no variable for it.
 */
static __always_inline void asi_schedule_out(void)
{
	if (asi_restricted())
		__asi_schedule_out();
}

static __always_inline void asi_schedule_in(void)
{
	if (static_branch_unlikely(&asi_key))
		__asi_schedule_in();
}

/*
 * Called by switch_mm_irqs_off() before it changes CR3.  The scheduler and temporary mms
 * have left the domain before.  Any other change of the mm ends the session.
 */
static __always_inline void asi_switch_mm(void)
{
	if (asi_restricted())
		__asi_switch_mm(_RET_IP_);
}

/* The value of CR3 on this CPU, for a caller that knows what it is outside of domains. */
static inline unsigned long asi_current_cr3(unsigned long kernel_cr3)
{
	return asi_restricted() ? raw_cpu_read(asi_cr3.domain) : kernel_cr3;
}

/*
 * Called by arch_exit_to_user_mode_prepare().  Page table isolation makes the user's CR3
 * from the current one, which must be the kernel's for that.
 */
static inline void asi_exit_to_user(void)
{
	if (static_branch_unlikely(&asi_key))
		__asi_exit_to_user();
}

static inline void asi_exit_thread(struct task_struct *tsk)
{
	if (static_branch_unlikely(&asi_key))
		__asi_exit_thread(tsk);
}

DECLARE_PER_CPU(u64, asi_kernel_gen);

/*
 * Called when this CPU flushes a kernel address from the kernel's current PCID only, or
 * comes online and may have missed that.  PCIDs of domains are flushed on this CPU before
 * they are used again.
 */
static inline void asi_kernel_flush(void)
{
	if (static_branch_unlikely(&asi_key))
		this_cpu_inc(asi_kernel_gen);
}

#ifdef CONFIG_DEBUG_ASI_TLB
u64 asi_debug_kernel_flush_begin(void);
void asi_debug_kernel_flush_end(u64 flush);
#else
static inline u64 asi_debug_kernel_flush_begin(void)
{
	return 0;
}

static inline void asi_debug_kernel_flush_end(u64 flush) { }
#endif

/* What asi_fault() wants to be done about a page fault. */
enum asi_fault_action {
	ASI_FAULT_NONE,		/* It's not about a domain. */
	ASI_FAULT_RETRY,	/* Repeat the access. */
	ASI_FAULT_BAD,		/* The access is a bad one. */
};

enum asi_fault_action __asi_fault(struct pt_regs *regs, unsigned long error_code,
				  unsigned long address);

static __always_inline enum asi_fault_action
asi_fault(struct pt_regs *regs, unsigned long error_code, unsigned long address)
{
	if (static_branch_unlikely(&asi_key) && !user_mode(regs))
		return __asi_fault(regs, error_code, address);

	return ASI_FAULT_NONE;
}

void __asi_show_fault(unsigned long address);

/*
 * Called by show_fault_oops(): if the fault was in a domain, print which one, and what
 * the domain and the kernel allow at @address.
 */
static __always_inline void asi_show_fault(struct pt_regs *regs, unsigned long address)
{
	if (static_branch_unlikely(&asi_key) && regs_interrupted_asi(regs))
		__asi_show_fault(address);
}

/*
 * Called by exc_page_fault() before irqentry_enter(); the result is for
 * asi_fault_restore_irqs() after irqentry_exit().  Code in a domain can fault after it
 * has turned interrupts off by raw_local_irq_disable(), so that lockdep takes them to be
 * on.  irqentry_enter() tells lockdep that they are off.  irqentry_exit() does not undo
 * that, because they are off in the frame.  asi_fault_restore_irqs() undoes it, as
 * irqentry_nmi_exit() does.
 *
 * regs_interrupted_asi() is not asked, since it may be false, see __asi_fault().
 */
static __always_inline bool asi_fault_irqs_on(struct pt_regs *regs)
{
	return static_branch_unlikely(&asi_key) && regs_irqs_disabled(regs) &&
	       lockdep_hardirqs_enabled();
}

static __always_inline void asi_fault_restore_irqs(struct pt_regs *regs, bool irqs_on)
{
	if (!irqs_on)
		return;

	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	lockdep_hardirqs_on(_RET_IP_);
}

#endif /* !__ASSEMBLY__ */
#else /* !CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */
#ifndef __ASSEMBLY__

#include <linux/types.h>

struct pt_regs;
struct task_struct;

enum asi_fault_action {
	ASI_FAULT_NONE,
	ASI_FAULT_RETRY,
	ASI_FAULT_BAD,
};

static inline enum asi_fault_action
asi_fault(struct pt_regs *regs, unsigned long error_code, unsigned long address)
{
	return ASI_FAULT_NONE;
}

static inline void asi_show_fault(struct pt_regs *regs, unsigned long address) { }
static inline bool asi_fault_irqs_on(struct pt_regs *regs) { return false; }
static inline void asi_fault_restore_irqs(struct pt_regs *regs, bool irqs_on) { }

static inline void asi_check_boottime(void) { }
static inline bool asi_restricted(void) { return false; }
static inline bool asi_suspend(void) { return false; }
static inline void asi_resume(bool restricted) { }
static inline void asi_switch_mm(void) { }
#define asi_current_cr3(kernel_cr3) (kernel_cr3)
static inline void asi_exit_to_user(void) { }
static inline void asi_exit_thread(struct task_struct *tsk) { }

/* A macro, since gcc compiles the callers of an empty inline function differently. */
#define asi_kernel_flush()	do { } while (0)

static inline u64 asi_debug_kernel_flush_begin(void) { return 0; }
static inline void asi_debug_kernel_flush_end(u64 flush) { }

#endif /* !__ASSEMBLY__ */
#endif /* CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */

#endif /* _ASM_X86_ASI_H */
