/* SPDX-License-Identifier: GPL-2.0 */
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
 * @type: its type, until asi_destroy(); that of a module is gone then
 * @users: asi_create() and the sessions; no refcount_t, as asi_enter() is noinstr
 * @dead: no session starts or goes on; set once
 * @entered: a session has started; @pgt stays what it is
 * @node: in the list of domains, under asi_mutex
 * @tasks: what asi_map_task() has mapped, under asi_mutex
 * @work: frees it
 * @removed_gen: of the last removal that is complete, for CONFIG_DEBUG_ASI_TLB
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

/* What is counted for each CPU. */
enum asi_count {
	ASI_COUNT_INTERRUPT = ASI_EVENT_INTERRUPT,	/* returns from them */
	ASI_COUNT_PARANOID = ASI_EVENT_PARANOID,	/* NMI, #DB, #MC */
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
 * What the PCID of an ASID and a class may hold in the TLB of this CPU: translations
 * of domain @id, none older than generation @gen of its page table and @kernel_gen
 * of the kernel's.
 */
struct asi_tlb {
	u64 id;
	u64 gen;
	u64 kernel_gen;
};

/* Not mapped in domains, other than struct asi_cr3. */
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

/* Of the image; freed when the kernel has booted. */
extern char __smp_locks[], __smp_locks_end[];

int asi_refuse(const struct asi *asi, enum asi_refusal why, unsigned long caller);
long asi_refused(enum asi_refusal why);

struct pg_table *asi_pg_table(struct asi *asi);
int asi_set_pg_table(struct asi *asi, struct pg_table *pgt);

int asi_map_entry_set(struct asi *asi, struct pg_table *pgt);
const char *asi_missing(struct pg_table *pgt, unsigned long *addr);
bool asi_maps_range(struct pg_table *pgt, unsigned long start, unsigned long end);
bool asi_allows(struct pg_table *pgt, unsigned long address, unsigned long error_code);
void asi_unmap_tasks(struct asi *asi);

unsigned long asi_make_cr3(struct asi *asi);

/*
 * Enter a domain with the @cr3 that asi_make_cr3() has made of it, or stay on the
 * kernel's page table if that is 0.  For the C functions after which a task goes on
 * in the domain, with interrupts off.
 *
 * Nothing but the stack is touched after the write of CR3, and nothing that traps or
 * that a hypervisor intercepts is done.  The write serializes.  Without it, the
 * code of the domain must not run ahead of the question.
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
