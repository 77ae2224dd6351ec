// SPDX-License-Identifier: GPL-2.0
/*
 * Address space isolation: page faults in a domain, and the log of them.
 */
#include <linux/cleanup.h>
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/task_work.h>

#include <asm/trap_pf.h>

#include "asi.h"

#define CREATE_TRACE_POINTS
#include <trace/events/asi.h>

const char * const asi_policies[] = {
	[ASI_FAULT_ABORT]	= "abort",
	[ASI_FAULT_PRESERVE]	= "preserve",
	[ASI_FAULT_KILL]	= "kill",
};

static_assert(ARRAY_SIZE(asi_policies) == ASI_NR_FAULT_POLICIES);

/*
 * Each CPU has a log, which only this CPU writes to while it is online, with interrupts
 * off.  An NMI does not write to it, because the handler runs on the kernel's page table.
 * So the log needs no lock.  An entry is being written while its @seq is odd; a reader
 * whose copy was made while @seq changed does not use the copy.
 */
#define ASI_LOG_ENTRIES 64

struct asi_log_entry {
	unsigned int seq;
	unsigned int count;
	u64 id;
	char name[PG_TABLE_NAME_LEN];	/* the domain may be gone when this is read */
	unsigned long ip;
	unsigned long address;
	unsigned long error_code;
	enum asi_fault_policy policy;
};

struct asi_log {
	struct asi_log_entry entry[ASI_LOG_ENTRIES];
	unsigned int next;
	unsigned long lost;
};

static DEFINE_PER_CPU(struct asi_log, asi_log);

const size_t asi_log_size __initconst = sizeof(struct asi_log);

/*
 * The entry for faults of the domain with this @id, by the instruction at @ip, on the
 * page of @address, or NULL.  Further faults of these three only count up in the entry,
 * which has the error code and the address of the first one.
 */
static struct asi_log_entry *asi_log_find(struct asi_log *log, u64 id,
					  unsigned long ip, unsigned long address)
{
	unsigned int i;

	for (i = 0; i < ASI_LOG_ENTRIES; i++) {
		struct asi_log_entry *e = &log->entry[i];

		if (e->count && e->id == id && e->ip == ip &&
		    (e->address & PAGE_MASK) == (address & PAGE_MASK))
			return e;
	}

	return NULL;
}

static void asi_log_fault(const struct asi *asi, unsigned long ip,
			  unsigned long error_code, unsigned long address)
{
	struct asi_log *log = this_cpu_ptr(&asi_log);
	struct asi_log_entry *e;

	lockdep_assert_irqs_disabled();
	e = asi_log_find(log, asi->id, ip, address);
	if (e) {
		WRITE_ONCE(e->count, e->count + 1);
		return;
	}

	e = &log->entry[log->next++ % ASI_LOG_ENTRIES];
	if (e->count)
		WRITE_ONCE(log->lost, log->lost + 1);

	WRITE_ONCE(e->seq, e->seq + 1);
	/* Pairs with the second smp_rmb() in asi_log_read(). */
	smp_wmb();
	e->id = asi->id;
	memcpy(e->name, asi->pgt->name, sizeof(e->name));
	e->ip = ip;
	e->address = address;
	e->error_code = error_code;
	e->policy = asi->fault;
	e->count = 1;
	/* Pairs with the first smp_rmb() in asi_log_read(). */
	smp_wmb();
	WRITE_ONCE(e->seq, e->seq + 1);
}

static bool asi_log_read(const struct asi_log_entry *e, struct asi_log_entry *copy)
{
	unsigned int seq = READ_ONCE(e->seq);

	/* Pairs with the second smp_wmb() in asi_log_fault(). */
	smp_rmb();
	/* The entry can change during this copy; then @seq has changed as well. */
	*copy = data_race(*e);
	/* Pairs with the first smp_wmb() in asi_log_fault(). */
	smp_rmb();

	return !(seq & 1) && READ_ONCE(e->seq) == seq && copy->count;
}

static void asi_kill(struct callback_head *work)
{
	current->thread.asi.killed = false;
	pr_warn_ratelimited("%s[%d] killed for an access that its domain forbids\n",
			    current->comm, current->pid);
	force_sig(SIGKILL);
}

/*
 * Called in the page fault handler.  The code that has faulted may hold any lock, so none
 * is taken here, and force_sig() is left to a task work.
 */
static void asi_kill_later(struct asi_session *session)
{
	/* A kernel thread has no way to user mode, nor do signals kill it. */
	if (session->killed || current->flags & PF_KTHREAD)
		return;

	session->killed = true;
	init_task_work(&session->kill, asi_kill);
	task_work_add(current, &session->kill, TWA_RESUME | TWAF_NO_ALLOC);
}

/*
 * Is this an instruction fetch from kernel or module code?  The kernel patches code that
 * a domain maps to jump to code that the domain may not map: slots of kprobes,
 * trampolines of ftrace and BPF, thunks.  The owner of the domain can't know, so such a
 * fetch ends the session whatever the fault policy is.
 */
static bool asi_is_code(unsigned long address, unsigned long error_code)
{
	return error_code & X86_PF_INSTR &&
	       (kernel_text_address(address) ||
		(address >= MODULES_VADDR && address < MODULES_END));
}

/*
 * Called by handle_page_fault() for each page fault in kernel mode while there are
 * domains, with interrupts off.  If the fault was in a domain, error_entry has loaded the
 * kernel's page table and marked the frame, for which regs_interrupted_asi() asks.
 * error_return then calls asi_reenter(), which goes back to the domain unless the session
 * has an error.  Of the fault policies only %ASI_FAULT_ABORT sets one; with the others
 * the session stays restricted.
 *
 * In one case the frame of a fault in a domain is not marked: an NMI or #MC has
 * interrupted the entry code before it looked at CR3, and has returned to it on the
 * kernel's page table, because asi_destroy() had ended the session.  If the kernel's page
 * table allows the access, it is repeated on that page table, on which the task runs
 * until asi_exit().
 */
enum asi_fault_action __asi_fault(struct pt_regs *regs, unsigned long error_code,
				  unsigned long address)
{
	struct asi_session *session = &current->thread.asi;
	struct asi *asi = session->asi;

	lockdep_assert_irqs_disabled();
	if (!regs_interrupted_asi(regs))
		return asi && session->err &&
		       asi_allows(&kernel_pg_table, address, error_code) ?
		       ASI_FAULT_RETRY : ASI_FAULT_NONE;

	if (WARN_ON_ONCE(!asi))
		return ASI_FAULT_RETRY;

	/*
	 * A spurious fault, like those that spurious_kernel_fault() handles: the TLB had
	 * an old entry that allowed less.  The fault has removed that entry.
	 */
	if (asi_allows(asi->pgt, address, error_code))
		return ASI_FAULT_RETRY;

	/* The kernel's page table does not allow it either. */
	if (address >= TASK_SIZE_MAX && !asi_allows(&kernel_pg_table, address, error_code))
		return ASI_FAULT_NONE;

	raw_cpu_inc(asi_cpu.count[ASI_COUNT_FAULT]);
	asi_log_fault(asi, regs->ip, error_code, address);
	trace_asi_fault(asi->pgt->name, regs->ip, address, error_code, asi->fault);

	switch (asi_is_code(address, error_code) ? ASI_FAULT_ABORT : asi->fault) {
	case ASI_FAULT_PRESERVE:
		return ASI_FAULT_BAD;
	case ASI_FAULT_KILL:
		session->denied = true;
		asi_kill_later(session);
		return ASI_FAULT_BAD;
	default:
		session->err = -EFAULT;
		return ASI_FAULT_RETRY;
	}
}

static const char *asi_permissions(struct pg_table *pgt, unsigned long address)
{
	struct pg_table_leaf leaf;
	unsigned long prot;

	if (address < TASK_SIZE_MAX || !pg_table_lookup(pgt, address, &leaf))
		return "---";

	prot = pgprot_val(leaf.prot);
	if (prot & _PAGE_NX)
		return prot & _PAGE_RW ? "rw-" : "r--";

	return prot & _PAGE_RW ? "rwx" : "r-x";
}

/*
 * Print the entries of the domain's page table for @address, as dump_pagetable() prints
 * those of the kernel's.  Levels below an empty entry or a large leaf are printed as 0.
 */
static void asi_show_table(const struct pg_table *pgt, unsigned long address)
{
	pgd_t pgd = READ_ONCE(*(pgt->root + pgd_index(address)));
	p4d_t p4d = {};
	pud_t pud = {};
	pmd_t pmd = {};
	pte_t pte = {};

	/* Tables are freed after a grace period. */
	guard(rcu)();

	if (pgd_present(pgd))
		p4d = READ_ONCE(*p4d_offset(&pgd, address));
	if (p4d_present(p4d))
		pud = READ_ONCE(*pud_offset(&p4d, address));
	if (pud_present(pud) && !pud_leaf(pud))
		pmd = READ_ONCE(*pmd_offset(&pud, address));
	if (pmd_present(pmd) && !pmd_leaf(pmd))
		pte = READ_ONCE(*pte_offset_kernel(&pmd, address));

	pr_alert("the domain's PGD %lx P4D %lx PUD %lx PMD %lx PTE %lx\n", pgd_val(pgd),
		 p4d_val(p4d), pud_val(pud), pmd_val(pmd), pte_val(pte));
}

/*
 * Called by show_fault_oops() for a fault in a domain.  The session keeps the domain
 * until do_exit() ends it.
 */
void __asi_show_fault(unsigned long address)
{
	struct asi *asi = current->thread.asi.asi;

	if (!asi)
		return;

	pr_alert("in domain %s, policy %s, which maps the address %s, the kernel %s\n",
		 asi->pgt->name, asi_policies[asi->fault], asi_permissions(asi->pgt, address),
		 asi_permissions(&kernel_pg_table, address));
	asi_show_table(asi->pgt, address);
}

#ifdef CONFIG_DEBUG_FS
static int asi_faults_show(struct seq_file *m, void *unused)
{
	struct asi_log_entry copy;
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		struct asi_log *log = per_cpu_ptr(&asi_log, cpu);

		for (i = 0; i < ASI_LOG_ENTRIES; i++) {
			if (!asi_log_read(&log->entry[i], &copy))
				continue;
			seq_printf(m, "cpu %u domain %s id %llu fault %s count %u error %lx ip %pS address %lx %pS\n",
				   cpu, copy.name, copy.id, asi_policies[copy.policy],
				   copy.count, copy.error_code, (void *)copy.ip,
				   copy.address, (void *)copy.address);
		}
		if (READ_ONCE(log->lost))
			seq_printf(m, "cpu %u lost %lu\n", cpu, READ_ONCE(log->lost));
	}

	return 0;
}

static int asi_faults_open(struct inode *inode, struct file *file)
{
	return single_open(file, asi_faults_show, NULL);
}

static void asi_log_clear(struct asi_log *log)
{
	unsigned int i;

	for (i = 0; i < ASI_LOG_ENTRIES; i++)
		WRITE_ONCE(log->entry[i].count, 0);
	log->next = 0;
	log->lost = 0;
}

static void asi_log_clear_this(void *unused)
{
	asi_log_clear(this_cpu_ptr(&asi_log));
}

/* Whatever is written clears the log. */
static ssize_t asi_faults_write(struct file *file, const char __user *buf,
				size_t count, loff_t *pos)
{
	unsigned int cpu;

	guard(cpus_read_lock)();
	on_each_cpu(asi_log_clear_this, NULL, true);
	/* The logs of offline CPUs, which can't come online before cpus_read_unlock(). */
	for_each_possible_cpu(cpu)
		if (!cpu_online(cpu))
			asi_log_clear(per_cpu_ptr(&asi_log, cpu));

	return count;
}

static const struct file_operations asi_faults_fops = {
	.owner = THIS_MODULE,
	.open = asi_faults_open,
	.read = seq_read,
	.write = asi_faults_write,
	.llseek = seq_lseek,
	.release = single_release,
};

void __init asi_fault_debugfs(struct dentry *dir)
{
	debugfs_create_file("faults", 0600, dir, NULL, &asi_faults_fops);
}
#endif
