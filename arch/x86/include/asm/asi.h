/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Address space isolation on x86: what entry code, scheduler, TLB and page faults need
 * of it.  include/linux/asi.h is for users of domains.
 */
#ifndef _ASM_X86_ASI_H
#define _ASM_X86_ASI_H

/*
 * An entry from kernel mode that has left a domain says so in its frame, in the slot
 * of CS beyond the selector, pt_regs::csx: where the CPU has stored a 0, and in what
 * IRET ignores.  With FRED there are no domains.
 */
#define X86_CSX_ASI_BIT		31

/* asi_reenter()'s argument */
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
 * What CR3 has to do with a domain on this CPU.  The entry code reads it on
 * the domain's page table, so each domain maps it.
 *
 * @domain is what a read of CR3 gives in the domain, and 0 when CR3 is certainly
 * not a domain's.  It is set before CR3 and cleared after CR3.  @kernel is what
 * to write to leave the domain, and valid while @domain is not 0.
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
 * Context: Any.  Stable for the task that asks.  An NMI that has come between the two
 * steps of entering or leaving finds true, and the kernel's page table.
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
 * The session goes on: asi_resume() takes the task back.  In between it may
 * sleep and migrate.  Pairs nest; an inner one does nothing.
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
 * Nothing happens if the session has ended in between.  While there are domains, what
 * follows does not run ahead of this, not even by speculation: no caller may branch
 * around it, not even where @restricted is false.
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
 * The task comes back to its domain after it has slept, if it was there before.  It is
 * the same task that passes both, so this needs no more than asi_suspend(); and what
 * is not built in leaves no trace in __schedule().
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

/* A session does not survive a change of the mm behind its back. */
static __always_inline void asi_switch_mm(void)
{
	if (asi_restricted())
		__asi_switch_mm(_RET_IP_);
}

/* What CR3 is, if it is @kernel_cr3 outside of domains. */
static inline unsigned long asi_current_cr3(unsigned long kernel_cr3)
{
	return asi_restricted() ? raw_cpu_read(asi_cr3.domain) : kernel_cr3;
}

/* The user's CR3 is made from the current one, which must be the kernel's. */
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

/* A kernel address was flushed from the current PCID only. */
DECLARE_PER_CPU(u64, asi_kernel_gen);

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

/* Has this entry from kernel mode left a domain, which it will return to? */
static __always_inline bool regs_interrupted_asi(const struct pt_regs *regs)
{
	return regs->csx & BIT(X86_CSX_ASI_BIT);
}

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

/* For the oops of a page fault: in which domain was it, and is that why? */
static __always_inline void asi_show_fault(struct pt_regs *regs, unsigned long address)
{
	if (static_branch_unlikely(&asi_key) && regs_interrupted_asi(regs))
		__asi_show_fault(address);
}

/*
 * In a domain even what has turned interrupts off behind lockdep's back may fault.
 * irqentry_exit() goes by the flags in the frame, so what lockdep believed is lost,
 * unless it is remembered as for an NMI.  The frame need not say that it was in a
 * domain, see __asi_fault().
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

/* Not even an empty function: gcc compiles its callers in another way then. */
#define asi_kernel_flush()	do { } while (0)

static inline u64 asi_debug_kernel_flush_begin(void) { return 0; }
static inline void asi_debug_kernel_flush_end(u64 flush) { }

#endif /* !__ASSEMBLY__ */
#endif /* CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */

#endif /* _ASM_X86_ASI_H */
