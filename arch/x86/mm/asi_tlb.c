// SPDX-License-Identifier: GPL-2.0
/*
 * Address space isolation: CR3 and the TLB.
 *
 * A domain has a PCID for each ASID of the kernel, in the class of its type.  The
 * translations in the TLB for a PCID are kept as long as they are of the same domain, and
 * nothing was removed since, neither from the domain's page table nor from the kernel's.
 */
#include <linux/asi.h>
#include <linux/cpumask.h>
#include <linux/export.h>
#include <linux/irqflags.h>
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include <asm/debugreg.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "asi.h"

DEFINE_PER_CPU_SECTION(struct asi_cr3, asi_cr3, PER_CPU_ENTRY_SECTION) ____cacheline_aligned;
EXPORT_PER_CPU_SYMBOL_GPL(asi_cr3);

DEFINE_STATIC_KEY_FALSE(asi_key);
EXPORT_SYMBOL_GPL(asi_key);

DEFINE_PER_CPU(struct asi_cpu, asi_cpu);

/*
 * Counts flushes of kernel addresses on this CPU that are for the kernel's current PCID
 * only, see asi_kernel_flush().  If it has changed, asi_make_cr3() flushes the PCID of
 * the domain.  It is per CPU, since a flush on all CPUs runs on each of them, by an IPI.
 */
DEFINE_PER_CPU(u64, asi_kernel_gen) = 1;

static_assert(TLB_NR_DYN_ASIDS < 1 << CR3_CLASS_SHIFT);
static_assert(CR3_NR_CLASSES << CR3_CLASS_SHIFT <= CR3_PCID_USER);

#ifdef CONFIG_DEBUG_ASI_TLB
/*
 * A second record, to check the decisions of asi_make_cr3(): as of which generation and
 * which kernel flush the PCID of a class and an ASID was last flushed, and for which
 * domain.  asi_debug_noflush() compares it with the removals that are complete.  Without
 * PCID, what asi_make_cr3() would decide with PCID is checked.
 */
struct asi_shadow {
	u64 id;
	u64 gen;
	u64 kernel_flushes;
};

static DEFINE_PER_CPU(struct asi_shadow, asi_shadow[CR3_NR_CLASSES][TLB_NR_DYN_ASIDS]);
/* The number of calls of asi_debug_kernel_flush_begin(). */
static atomic64_t asi_kernel_flushes;
/* The number of the last of these flushes that is complete on all CPUs. */
static u64 asi_kernel_flushed;

static __always_inline void asi_debug_flush(struct asi *asi, u16 asid, u64 gen)
{
	struct asi_shadow *shadow = raw_cpu_ptr(&asi_shadow[asi->class][asid]);

	shadow->id = asi->id;
	shadow->gen = gen;
	shadow->kernel_flushes = raw_atomic64_read(&asi_kernel_flushes);
}

static __always_inline void asi_debug_noflush(struct asi *asi, u16 asid)
{
	struct asi_shadow *shadow = raw_cpu_ptr(&asi_shadow[asi->class][asid]);

	if (likely(shadow->id == asi->id && shadow->gen >= READ_ONCE(asi->removed_gen) &&
		   shadow->kernel_flushes >= READ_ONCE(asi_kernel_flushed)))
		return;

	instrumentation_begin();
	WARN_ONCE(1, "asi: %s: stale translations: domain %llu/%llu generation %llu/%llu kernel %llu/%llu\n",
		  asi->pgt->name, shadow->id, asi->id, shadow->gen, asi->removed_gen,
		  shadow->kernel_flushes, asi_kernel_flushed);
	instrumentation_end();
}

/* Called by asi_flush(): no CPU may use what was removed up to generation @gen. */
static void asi_debug_removed(struct asi *asi, u64 gen)
{
	/*
	 * Not atomic: a smaller @gen can overwrite a larger one of another CPU.  The
	 * check is weaker then, but never warns without a reason.
	 */
	if (gen > READ_ONCE(asi->removed_gen))
		WRITE_ONCE(asi->removed_gen, gen);
}

u64 asi_debug_kernel_flush_begin(void)
{
	return atomic64_inc_return(&asi_kernel_flushes);
}

void asi_debug_kernel_flush_end(u64 flush)
{
	/* Not atomic, for the reason given in asi_debug_removed(). */
	if (flush > READ_ONCE(asi_kernel_flushed))
		WRITE_ONCE(asi_kernel_flushed, flush);
}
#else
static __always_inline void asi_debug_flush(struct asi *asi, u16 asid, u64 gen) { }
static __always_inline void asi_debug_noflush(struct asi *asi, u16 asid) { }
static inline void asi_debug_removed(struct asi *asi, u64 gen) { }
#endif

/**
 * asi_make_cr3 - prepare to load the page table of a domain
 * @asi: the domain of the session of this task
 *
 * The caller writes CR3 next, and accesses nothing but the stack after that.  asi_enter()
 * and __asi_resume() use asi_write_cr3() for it, the entry code has an instruction.
 *
 * The entry code of each exception, NMI or interrupt finds in asi_cr3 how to leave:
 *
 *	         @kernel  @domain  CR3
 *	before   any      0        kernel
 *	here     kernel   domain   kernel
 *	then     kernel   domain   domain	the caller has written CR3
 *	         kernel   domain   kernel	asi_unload()
 *	after    kernel   0        kernel
 *
 * The entry code compares CR3 with @domain.  If CR3 is the kernel's, the entry code
 * changes none of the three.
 *
 * Context: Interrupts off until CR3 is written, on the kernel's page table.
 *
 * Return: what to write to CR3; or 0 if the domain is being destroyed, and the CPU has to
 * stay on the kernel's page table.
 */
noinstr unsigned long asi_make_cr3(struct asi *asi)
{
	u16 asid = raw_cpu_read(cpu_tlbstate.loaded_mm_asid);
	unsigned int class = asi->class;
	u64 gen, kernel_gen;
	bool has_pcid = cpu_feature_enabled(X86_FEATURE_PCID);
	bool has_tlb = has_pcid || IS_ENABLED(CONFIG_DEBUG_ASI_TLB);
	u16 pcid = has_pcid ? cr3_pcid(class, asid) : 0;
	struct asi_tlb *tlb = raw_cpu_ptr(&asi_cpu.tlb[class][asid]);
	unsigned long cr3 = cr3_build(asi->root, pcid, 0, false);

	/* As switch_mm_irqs_off() has built it, with LAM, but to load without a flush. */
	raw_cpu_write(asi_cr3.kernel,
		      __native_read_cr3() | (has_pcid ? CR3_NOFLUSH : 0));
	/* An NMI on this CPU that finds @domain set needs a valid @kernel. */
	barrier();
	raw_cpu_write(asi_cr3.domain, cr3);
	/*
	 * Pairs with smp_mb() in asi_flush(): either asi_flush() sees @domain and
	 * interrupts this CPU, or this CPU sees @dead and the new generation.
	 */
	smp_mb();
	if (unlikely(READ_ONCE(asi->dead))) {
		raw_cpu_write(asi_cr3.domain, 0);
		return 0;
	}

	gen = pg_table_generation(asi->pgt);
	kernel_gen = raw_cpu_read(asi_kernel_gen);
	if (has_tlb && tlb->id == asi->id && tlb->gen == gen &&
	    tlb->kernel_gen == kernel_gen) {
		raw_cpu_inc(asi_cpu.count[ASI_COUNT_NOFLUSH]);
		asi_debug_noflush(asi, asid);
		if (has_pcid)
			cr3 |= CR3_NOFLUSH;
	} else {
		raw_cpu_inc(asi_cpu.count[ASI_COUNT_FLUSH]);
		asi_debug_flush(asi, asid, gen);
		tlb->id = asi->id;
		tlb->gen = gen;
		tlb->kernel_gen = kernel_gen;
	}

	return cr3;
}

/**
 * asi_unload - load the kernel's page table, if this CPU is in a domain
 *
 * CR3 decides, and not asi_cr3.domain: if an NMI comes between asi_make_cr3() and the
 * write of CR3, its handler finds asi_cr3.domain set, and must not clear it.
 *
 * Context: Interrupts off.
 *
 * Return: true if the CPU was on the page table of a domain.
 */
noinstr bool asi_unload(void)
{
	unsigned long domain = raw_cpu_read(asi_cr3.domain);

	if (!domain || __native_read_cr3() != domain)
		return false;

	native_write_cr3(raw_cpu_read(asi_cr3.kernel));
	/* An NMI on this CPU needs @domain as long as CR3 is the domain's. */
	barrier();
	raw_cpu_write(asi_cr3.domain, 0);

	return true;
}

static void asi_flush_ipi(void *unused)
{
	/* The entry code has left the domain; asi_make_cr3() sees what has changed. */
}

static bool asi_is_inside(int cpu, void *data)
{
	struct asi *asi = data;

	return (READ_ONCE(per_cpu(asi_cr3.domain, cpu)) & CR3_ADDR_MASK) ==
	       (asi->root & CR3_ADDR_MASK);
}

/**
 * asi_flush - make sure that no CPU uses what the domain does not map any more
 * @asi: a domain whose generation, or @dead, has changed
 *
 * Only CPUs that are in the domain are interrupted.
 *
 * Context: Process context, interrupts on.
 */
void asi_flush(struct asi *asi)
{
	u64 gen;

	lockdep_assert_irqs_enabled();
	guard(asi_suspended)();

	gen = pg_table_generation(asi->pgt);
	/*
	 * The new generation, or @dead, is visible before CPUs are asked whether they are
	 * in the domain.  Pairs with smp_mb() in asi_make_cr3().
	 */
	smp_mb();
	on_each_cpu_cond(asi_is_inside, asi_flush_ipi, asi, true);
	asi_debug_removed(asi, gen);
}

/*
 * Prepare the way back to the domain of current's session, unless the session has ended.
 * Called by the entry code, at the end of an exception or interrupt that has left the
 * domain, and by __asi_resume(); with interrupts off, on the kernel's page table.
 *
 * The entry code calls this when RCU and lockdep are in the state of the interrupted code
 * again, so nothing here may be instrumented.  The CPU, or the ASID of the mm, may be
 * another one than when the domain was left, so the value of CR3 is made anew.
 *
 * Return: what the caller writes to CR3 as the last thing before it returns to the
 * domain, or 0 if it stays on the kernel's page table.
 */
__visible noinstr unsigned long asi_reenter(unsigned int event)
{
	struct asi_session *session;
	unsigned long dr7 = 0, cr3 = 0;

	/*
	 * On the way out of a #DB, another #DB would overwrite its frame, which is on the
	 * same exception stack, so breakpoints are off here.  DR7 is restored before CR3
	 * becomes the domain's: in an SEV-ES guest an access to DR7 causes a #VC, whose
	 * way back to the domain would access DR7 again, without end.  What is accessed
	 * between the two can't have a breakpoint.
	 */
	if (event == ASI_EVENT_PARANOID)
		dr7 = local_db_save();

	session = &current->thread.asi;
	/*
	 * If @domain is set, __asi_resume() was called for a session that has ended, and
	 * the task is in a domain again since a later asi_enter().
	 */
	if (session->asi && !session->err && !raw_cpu_read(asi_cr3.domain)) {
		raw_cpu_inc(asi_cpu.count[event]);
		cr3 = asi_make_cr3(session->asi);
		if (unlikely(!cr3))
			session->err = -ECANCELED;
	}

	local_db_restore(dr7);

	return cr3;
}

noinstr bool __asi_suspend(void)
{
	unsigned long flags;
	bool restricted;

	raw_local_irq_save(flags);
	restricted = asi_unload();
	if (restricted)
		raw_cpu_inc(asi_cpu.count[ASI_COUNT_SUSPEND]);
	raw_local_irq_restore(flags);

	return restricted;
}
EXPORT_SYMBOL_GPL(__asi_suspend);

noinstr void __asi_resume(bool restricted)
{
	unsigned long flags;

	/*
	 * The code after this may be meant for the domain.  If the branch on @restricted
	 * is mispredicted, that code must not run speculatively on the kernel's page
	 * table.
	 */
	if (likely(!restricted)) {
		barrier_nospec();
		return;
	}

	raw_local_irq_save(flags);
	asi_write_cr3(asi_reenter(ASI_COUNT_RESUME));
	raw_local_irq_restore(flags);
}
EXPORT_SYMBOL_GPL(__asi_resume);
