/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of asi and their tests share.
 *
 * Each file uses only those before it: asi_list.c, asi_tlb.c, asi_map.c, asi_fault.c,
 * asi.c, asi_free.c.
 */
#ifndef _X86_MM_ASI_H
#define _X86_MM_ASI_H

#include <linux/asi.h>
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/pg_table.h>
#include <linux/workqueue.h>

#include <asm/barrier.h>
#include <asm/cr3.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#undef pr_fmt
#define pr_fmt(fmt) "asi: " fmt

/**
 * struct asi - a domain
 *
 * What asi_enter(), asi_exit() and each return to the domain read is in its first
 * cache line.
 *
 * @root: physical address of its top level, with the encryption bit if any
 * @pgt: its page table
 * @id: never used for another domain
 * @class: the PCID class of its type
 * @fault: the fault policy of its type
 * @type: its type; NULL after asi_destroy(), since a module's type may be freed then
 * @users: references, one from asi_create() to asi_destroy() and one for each session; no
 *	refcount_t, as asi_enter() is noinstr
 * @dead: the domain is being destroyed, and no CPU may go to it; set once
 * @entered: some task has got past the checks of asi_enter(), so that @pgt can't be
 *	replaced any more
 * @node: in the list of domains, under asi_mutex
 * @tasks: what asi_map_task() has mapped, under asi_mutex
 * @work: calls asi_free() when the last session ends after asi_destroy()
 * @removed_gen: generation of @pgt up to which no CPU may use what was removed
 */
struct asi {
	unsigned long root;
	struct pg_table *pgt;
	u64 id;
	unsigned int class;
	enum asi_fault_policy fault;
	struct asi_type *type;
	atomic_t users;
	bool dead;
	bool entered;
	struct list_head node;
	struct hlist_head tasks;
	struct work_struct work;
#ifdef CONFIG_DEBUG_ASI_TLB
	u64 removed_gen;
#endif
};

/* What is counted for each CPU; the first two are returns to a domain. */
enum asi_count {
	ASI_COUNT_INTERRUPT = ASI_EVENT_INTERRUPT,	/* interrupts, exceptions */
	ASI_COUNT_PARANOID = ASI_EVENT_PARANOID,	/* NMI, #DB, #MC, #VC */
	ASI_COUNT_ENTER,
	ASI_COUNT_EXIT,
	ASI_COUNT_SUSPEND,
	ASI_COUNT_RESUME,
	ASI_COUNT_FAULT,
	ASI_COUNT_FLUSH,
	ASI_COUNT_NOFLUSH,
	ASI_NR_COUNTS
};

/*
 * What the TLB of this CPU may have for the PCID of a class and an ASID: translations of
 * the domain with this @id.  When the PCID was last flushed, @gen was the generation of
 * the domain's page table, and @kernel_gen was asi_kernel_gen of this CPU.
 */
struct asi_tlb {
	u64 id;
	u64 gen;
	u64 kernel_gen;
};

/*
 * A CPU uses its own on the kernel's page table only, so that a domain need not map it,
 * unlike struct asi_cr3.
 */
struct asi_cpu {
	struct asi_tlb tlb[CR3_NR_CLASSES][TLB_NR_DYN_ASIDS];
	unsigned long count[ASI_NR_COUNTS];
};

DECLARE_PER_CPU(struct asi_cpu, asi_cpu);

/* Why a call was refused, for debugfs. */
enum asi_refusal {
	ASI_BAD_ARG,
	ASI_BAD_ADDRESS,
	ASI_BAD_CONTEXT,
	ASI_BAD_STATE,
	ASI_BAD_TABLE,
	ASI_NO_CLASS,
	ASI_NR_REFUSALS
};

extern struct mutex asi_mutex;
extern struct list_head asi_domains;
extern atomic_long_t asi_refusals[ASI_NR_REFUSALS];
extern atomic_long_t asi_freed_mapped;	/* with CONFIG_DEBUG_ASI_FREE */
extern const struct pg_table_ops asi_pg_table_ops;

/* A section of the kernel image, which alternative_instructions() may free. */
extern char __smp_locks[], __smp_locks_end[];

int asi_refuse(const struct asi *asi, enum asi_refusal why, unsigned long caller);
long asi_refused(enum asi_refusal why);
const char *asi_refusal_word(enum asi_refusal why);

struct pg_table *asi_pg_table(struct asi *asi);
int asi_set_pg_table(struct asi *asi, struct pg_table *pgt);

int asi_map_entry_set(struct asi *asi, struct pg_table *pgt);
const char *asi_missing(struct pg_table *pgt, unsigned long *addr);
bool asi_maps_range(struct pg_table *pgt, unsigned long start, unsigned long end);
bool asi_allows(struct pg_table *pgt, unsigned long address, unsigned long error_code);
void asi_unmap_tasks(struct asi *asi);

unsigned long asi_make_cr3(struct asi *asi);

/*
 * Enter a domain with the @cr3 that asi_make_cr3() has returned, or stay on the kernel's
 * page table if that is 0.  Called with interrupts off by asi_enter() and __asi_resume(),
 * which return to code that runs in the domain.
 *
 * After this has written CR3, the caller accesses nothing but the stack, and does nothing
 * that traps or that a hypervisor intercepts.  The write of CR3 serializes.  If @cr3 is
 * 0, barrier_nospec() keeps code that is meant for the domain from running speculatively.
 *
 * Return: true if the CPU is in the domain now.
 */
static __always_inline bool asi_write_cr3(unsigned long cr3)
{
	if (unlikely(!cr3)) {
		barrier_nospec();
		return false;
	}

	native_write_cr3(cr3);

	return true;
}

bool asi_unload(void);
void asi_flush(struct asi *asi);

extern const char * const asi_policies[];
extern const size_t asi_log_size;

void asi_fault_debugfs(struct dentry *dir);

#endif /* _X86_MM_ASI_H */
