// SPDX-License-Identifier: GPL-2.0
/*
 * Address space isolation: CR3 and the TLB.
 *
 * A domain has a PCID for each ASID of the kernel, in the class of its type.  What
 * the PCID holds is worth keeping as long as it is of the same domain, and nothing
 * was removed from the domain's page table or from the kernel's since.
 */
#include <linux/asi.h>
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "asi.h"

DEFINE_PER_CPU_SECTION(struct asi_cr3, asi_cr3, PER_CPU_ENTRY_SECTION) ____cacheline_aligned;
EXPORT_PER_CPU_SYMBOL_GPL(asi_cr3);

DEFINE_PER_CPU(struct asi_cpu, asi_cpu);

/*
 * How often this CPU has flushed kernel addresses from one PCID and left it to
 * others to do the same for theirs.  Each CPU has its own, because to flush for
 * all CPUs means to interrupt all of them.
 */
DEFINE_PER_CPU(u64, asi_kernel_gen) = 1;

static_assert(TLB_NR_DYN_ASIDS < 1 << CR3_CLASS_SHIFT);
static_assert(CR3_NR_CLASSES << CR3_CLASS_SHIFT <= CR3_PCID_USER);

#ifdef CONFIG_DEBUG_ASI_TLB
/*
 * A second record, made where things happen and not where they are decided: of what
 * a PCID was flushed, and which removals have been completed since.  It works without
 * PCID as well, as if there were one.
 */
struct asi_shadow {
	u64 id;
	u64 gen;
	u64 kernel_flushes;
};

static DEFINE_PER_CPU(struct asi_shadow, asi_shadow[CR3_NR_CLASSES][TLB_NR_DYN_ASIDS]);
static atomic64_t asi_kernel_flushes;
/* As of the last one that has been completed. */
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

/* What the page table had lost by generation @gen, no CPU may use any more. */
static void asi_debug_removed(struct asi *asi, u64 gen)
{
	/* One that overtakes another is no harm: less is found. */
	if (gen > READ_ONCE(asi->removed_gen))
		WRITE_ONCE(asi->removed_gen, gen);
}

u64 asi_debug_kernel_flush_begin(void)
{
	return atomic64_inc_return(&asi_kernel_flushes);
}

void asi_debug_kernel_flush_end(u64 flush)
{
	/* One that overtakes another is no harm: less is found. */
	if (flush > READ_ONCE(asi_kernel_flushed))
		WRITE_ONCE(asi_kernel_flushed, flush);
}
#else
static __always_inline void asi_debug_flush(struct asi *asi, u16 asid, u64 gen) { }
static __always_inline void asi_debug_noflush(struct asi *asi, u16 asid) { }
static inline void asi_debug_removed(struct asi *asi, u64 gen) { }
#endif

/**
 * asi_make_cr3 - get ready to go to the page table of a domain
 * @asi: the domain of the session of this task
 *
 * The caller writes CR3 next, and touches nothing but the stack after that: the C
 * functions with asi_write_cr3(), the entry code on its own.
 *
 * An interrupt of whatever kind finds in asi_cr3 what it needs to get out:
 *
 *	         @kernel  @domain  CR3
 *	before   any      0        kernel
 *	here     kernel   domain   kernel
 *	then     kernel   domain   domain	the caller has written CR3
 *	         kernel   domain   kernel	asi_unload()
 *	after    kernel   0        kernel
 *
 * One that arrives while CR3 is the kernel's touches none of the three, since it
 * compares CR3 with @domain.
 *
 * Context: Interrupts off until CR3 is written, on the kernel's page table.
 *
 * Return: what to write to CR3; 0 if the domain is being destroyed, and the CPU has
 * to stay where it is.
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

	/* As switch_mm_irqs_off() has built it, LAM and all. */
	raw_cpu_write(asi_cr3.kernel,
		      __native_read_cr3() | (has_pcid ? CR3_NOFLUSH : 0));
	barrier();
	raw_cpu_write(asi_cr3.domain, cr3);
	/*
	 * Pairs with smp_mb() in asi_flush(): either that sees @domain and
	 * interrupts this CPU, or this sees @dead and the generation.
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
 * asi_unload - go to the kernel's page table
 *
 * What CR3 says is the truth: the handler of an NMI that has come between
 * asi_make_cr3() and the write of CR3 finds @domain set, and must leave it so.
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
	barrier();
	raw_cpu_write(asi_cr3.domain, 0);

	return true;
}

static void asi_flush_ipi(void *unused)
{
	/* The way back to the domain looks at the generations. */
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
	/* Pairs with smp_mb() in asi_make_cr3(). */
	smp_mb();
	on_each_cpu_cond(asi_is_inside, asi_flush_ipi, asi, true);
	asi_debug_removed(asi, gen);
}
