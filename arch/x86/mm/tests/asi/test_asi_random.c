// SPDX-License-Identifier: GPL-2.0
/*
 * Random tests of address space isolation against a model.
 *
 * A worker for each CPU makes one event after the other, in and out of domains
 * that all share and of one of its own.  Which events is a function of the seed, the
 * number of the worker and that of the event, and what has to come of them is
 * known: a worker maps only pages of its own, and nobody destroys what others use.
 * After each event the worker compares itself with its model.  If they differ, it
 * says where, and the sequence is repeated with parts left out, to see which of the
 * events it takes.
 *
 * test_asi_random.seed= repeats a run, events= and rounds= make it a longer one.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/efi.h>
#include <linux/hash.h>
#include <linux/irq_work.h>
#include <linux/jump_label.h>
#include <linux/kdebug.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/moduleparam.h>
#include <linux/prmem.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/temp_mm.h>
#include <linux/vmalloc.h>

#include <asm/asm.h>
#include <asm/tlbflush.h>

#include "test_asi.h"

#define MAX_WORKERS	8
#define MAX_EVENTS	BIT(20)
#define PAGES		3
#define SHARED		3
#define OWN		SHARED		/* the domain of a worker's own */
#define DOMAINS		(SHARED + 1)
#define NONE		(-1)
#define HISTORY		32

static uint seed;
module_param(seed, uint, 0644);
static uint events = 100000;
module_param(events, uint, 0644);
static uint rounds = 1;
module_param(rounds, uint, 0644);

enum op {
	OP_ENTER, OP_EXIT, OP_EXIT_OTHER, OP_IRQ, OP_NMI, OP_NMI_IN_IRQ, OP_INT3, OP_UD2,
	OP_READ_SECRET, OP_WRITE_SECRET, OP_READ_PAGE, OP_READ_BAD, OP_SUSPEND, OP_RESUME,
	OP_SLEEP, OP_YIELD, OP_MIGRATE, OP_FORK, OP_MAP, OP_UNMAP, OP_FLUSH_RANGE, OP_FLUSH_ALL,
	OP_TEXT_POKE,
	OP_WR_ASSIGN,
	OP_TEMP_MM, OP_EFI, OP_USE_MM, OP_DESTROY, OP_CREATE,
	OP_BAD_INPUT, OP_VFREE, NR_OPS
};

/* How often of 10,000; those that interrupt other CPUs take long. */
static const struct {
	const char *name;
	unsigned int weight;
} ops[NR_OPS] = {
	[OP_ENTER]		= { "enter", 1800 },
	[OP_EXIT]		= { "exit", 900 },
	[OP_EXIT_OTHER]		= { "exit another", 100 },
	[OP_IRQ]		= { "irq", 800 },
	[OP_NMI]		= { "nmi", 800 },
	[OP_NMI_IN_IRQ]		= { "nmi in irq", 300 },
	[OP_INT3]		= { "int3", 300 },
	[OP_UD2]		= { "ud2", 300 },
	[OP_READ_SECRET]	= { "read secret", 500 },
	[OP_WRITE_SECRET]	= { "write secret", 200 },
	[OP_READ_PAGE]		= { "read page", 1000 },
	[OP_READ_BAD]		= { "read bad address", 100 },
	[OP_SUSPEND]		= { "suspend", 500 },
	[OP_RESUME]		= { "resume", 700 },
	[OP_SLEEP]		= { "sleep", 300 },
	[OP_YIELD]		= { "yield", 300 },
	[OP_MIGRATE]		= { "migrate", 10 },
	[OP_FORK]		= { "fork", 3 },
	[OP_MAP]		= { "map", 300 },
	[OP_UNMAP]		= { "unmap", 150 },
	[OP_FLUSH_RANGE]	= { "flush range", 20 },
	[OP_FLUSH_ALL]		= { "flush all", 10 },
	[OP_TEXT_POKE]		= { "text poke", 1 },
	[OP_WR_ASSIGN]		= { "wr_assign", 200 },
	[OP_TEMP_MM]		= { "temp_mm_write", 100 },
	[OP_EFI]		= { "EFI call", 2 },
	[OP_USE_MM]		= { "use mm", 10 },
	[OP_DESTROY]		= { "destroy", 10 },
	[OP_CREATE]		= { "create", 30 },
	[OP_BAD_INPUT]		= { "bad input", 244 },
	[OP_VFREE]		= { "vfree", 10 },
};

/* All of it static, and so in all domains. */
static struct worker {
	struct task_struct *task;
	struct completion done;
	unsigned int nr, n;			/* its number, how many events */
	u32 seed;
	bool roams, alone;

	/* What there is. */
	struct asi *asi[DOMAINS];
	unsigned long root[DOMAINS];
	enum asi_fault_policy policy[DOMAINS];
	u64 *page[PAGES];
	u64 *bad;				/* an address that nobody maps */
	u64 *ro;
	struct temp_mm *t;
	struct mm_struct *mm;
	struct irq_work irq_work;

	/* What the handlers have seen. */
	int irqs, nmis, int3s, handler_wrong;
	bool irq_sends_nmi, wake;
	int child_wrong;

	/* The model. */
	int session;				/* which domain, or NONE */
	struct asi *session_asi;		/* it may be destroyed already */
	unsigned long session_root;
	enum asi_fault_policy session_policy;
	int err;
	bool denied;
	bool suspended, resume, doomed, uses_mm;
	bool mapped[DOMAINS][PAGES];

	/* What has come of it. */
	unsigned int at;
	const char *why;
	unsigned long want, got;
	unsigned long count[NR_OPS], faults, inside;
} workers[MAX_WORKERS];

static struct asi *shared[SHARED];
static DECLARE_BITMAP(left_out, MAX_EVENTS);
static bool leave_out;
static DEFINE_STATIC_KEY_FALSE(random_key);
static __wr_after_init u64 protected[MAX_WORKERS];
static DEFINE_PER_CPU(struct worker *, nmi_worker);

static noinline u32 number(const struct worker *w, unsigned int i, unsigned int what)
{
	u64 x = ((u64)w->seed << 32 | w->nr << 24 | what << 21) ^ ((u64)i * 0x9e3779b97f4a7c15ULL);

	x ^= x >> 31;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;

	return x >> 32;
}

static noinline enum op op_of(const struct worker *w, unsigned int i)
{
	unsigned int x = number(w, i, 0) % 10000, op;

	for (op = 0; op < NR_OPS - 1; op++) {
		if (x < ops[op].weight)
			break;
		x -= ops[op].weight;
	}

	return op;
}

static bool differs(struct worker *w, const char *why, unsigned long want, unsigned long got)
{
	if (want == got)
		return false;
	if (!w->why) {
		w->why = why;
		w->want = want;
		w->got = got;
	}

	return true;
}

/* ---- handlers ---- */

static void handler_check(struct worker *w)
{
	struct mm_struct *mm = raw_cpu_read(cpu_tlbstate.loaded_mm);
	unsigned long cr3 = __read_cr3() & CR3_ADDR_MASK;

	w->handler_wrong += raw_cpu_read(asi_cr3.domain) != 0;
	w->handler_wrong += mm != LOADED_MM_SWITCHING && cr3 != __pa(mm->pgd);
	w->handler_wrong += !asi_test_reads(asi_test_secret);
}

static void on_random_nmi(struct pt_regs *regs)
{
	struct worker *w = this_cpu_read(nmi_worker);

	if (!w)
		return;
	handler_check(w);
	/* Pairs with asi_test_wait(). */
	smp_store_release(&w->nmis, w->nmis + 1);
}

/* With preemption off. */
static bool nmi_now(struct worker *w)
{
	bool came;

	WRITE_ONCE(w->nmis, 0);
	raw_cpu_write(nmi_worker, w);
	asi_test_send_nmi();
	came = asi_test_wait(&w->nmis);
	raw_cpu_write(nmi_worker, NULL);

	return came;
}

static void on_random_irq(struct irq_work *work)
{
	struct worker *w = container_of(work, struct worker, irq_work);

	handler_check(w);
	if (w->irq_sends_nmi) {
		w->handler_wrong += !nmi_now(w);
		handler_check(w);
	}
	if (w->wake)
		wake_up_process(w->task);
	/* Pairs with asi_test_wait(). */
	smp_store_release(&w->irqs, w->irqs + 1);
}

static int on_random_die(struct notifier_block *nb, unsigned long what, void *data)
{
	struct die_args *args = data;
	struct worker *w;

	if (what != DIE_INT3 || args->regs->ip != (unsigned long)asi_random_int3_end)
		return NOTIFY_DONE;
	w = (void *)args->regs->di;
	handler_check(w);
	w->int3s++;

	return NOTIFY_STOP;
}

static struct notifier_block random_die = {
	.notifier_call = on_random_die,
	.priority = INT_MAX - 2,
};

static noinline void do_int3(struct worker *w)
{
	asm volatile("int3\n"
		     ".globl asi_random_int3_end\n"
		     "asi_random_int3_end:" :: "D" (w) : "memory");
}

static noinline void do_ud2(void)
{
	asm volatile("1: ud2\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b));
}

/* ---- events ---- */

static bool is_inside(const struct worker *w)
{
	return w->session != NONE && !w->err && !w->suspended;
}

/* An access to something that the kernel maps, and the domain not: does it succeed? */
static bool forbidden(struct worker *w)
{
	if (!is_inside(w))
		return true;

	w->faults++;
	if (w->session_policy == ASI_FAULT_ABORT)
		w->err = -EFAULT;
	else if (w->session_policy == ASI_FAULT_KILL)
		w->denied = true;

	return w->session_policy == ASI_FAULT_ABORT;
}

static int random_child(void *arg)
{
	struct asi_session *s = &current->thread.asi;
	struct worker *w = arg;

	w->child_wrong += s->asi || s->err || s->ready_id || !hlist_empty(&s->mapped);
	w->child_wrong += asi_restricted() || !asi_test_reads(asi_test_secret);
	do_exit(0);
}

static void do_fork(struct worker *w)
{
	pid_t pid = user_mode_thread(random_child, w, SIGCHLD);

	w->child_wrong += pid <= 0 || kernel_wait(pid, NULL) != pid;
}

static int create_own(struct worker *w)
{
	struct asi *asi = asi_test_create(w->nr % ASI_NR_FAULT_POLICIES);
	int err;

	if (IS_ERR(asi))
		return PTR_ERR(asi);
	err = asi_test_populate(asi);
	w->asi[OWN] = asi;
	w->root[OWN] = __pa(asi_pg_table(asi)->root);
	w->policy[OWN] = w->nr % ASI_NR_FAULT_POLICIES;
	memset(w->mapped[OWN], 0, sizeof(w->mapped[OWN]));

	return err;
}

static void destroy_own(struct worker *w)
{
	/* The task notes when it is about to go back. */
	if (w->session != NONE && w->session_asi == w->asi[OWN]) {
		if (w->suspended)
			w->doomed = true;
		else if (!w->err)
			w->err = -ECANCELED;
	}
	asi_destroy(w->asi[OWN]);
	w->asi[OWN] = NULL;
}

static long bad_input(struct worker *w, unsigned int which, long *want)
{
	struct asi *asi = w->asi[0];

	switch (which % 6) {
	case 0:
		*want = -EINVAL;
		return asi_map(NULL, w->page[0], PAGE_SIZE);
	case 1:
		*want = -EFAULT;
		return asi_map(asi, (void *)PAGE_SIZE, PAGE_SIZE);
	case 2:
		*want = -EFAULT;
		return asi_map(asi, w->bad, PAGE_SIZE);
	case 3:
		*want = -EFAULT;
		return asi_unmap(asi, w->page[0], -(size_t)PAGE_SIZE);
	case 4:
		*want = -ENOENT;
		return asi_unmap(asi, __start_rodata, PAGE_SIZE);
	default:
		*want = -EINVAL;
		return asi_enter(NULL);
	}
}

static void move_on(struct worker *w, u32 x)
{
	unsigned int cpu = cpumask_nth(x % num_online_cpus(), cpu_online_mask);

	if (!w->roams || cpu >= nr_cpu_ids)
		return;
	/* It may be gone by now. */
	set_cpus_allowed_ptr(current, cpumask_of(cpu));
}

static void sleep_a_little(struct worker *w)
{
	w->wake = true;
	set_current_state(TASK_UNINTERRUPTIBLE);
	irq_work_queue(&w->irq_work);
	schedule();
	w->wake = false;
}

static bool interrupt(struct worker *w, bool nmi)
{
	bool came;

	w->irq_sends_nmi = nmi;
	w->irqs = 0;
	/* It may have to wait for the one of sleep_a_little(). */
	while (!irq_work_queue(&w->irq_work))
		cpu_relax();
	came = asi_test_wait(&w->irqs);
	w->irq_sends_nmi = false;

	return came;
}

static noinline bool read_page(struct worker *w, unsigned int k)
{
	u64 val = 0;

	return !copy_from_kernel_nofault(&val, w->page[k], sizeof(val)) && val == PUBLIC + k;
}

/* What goes on outside of the domain, if the task is in one. */
static void suspended_event(struct worker *w, enum op what, u32 x)
{
	unsigned long addr = (unsigned long)w->page[x % PAGES];
	u64 *area;

	guard(asi_suspended)();
	switch (what) {
	case OP_MIGRATE:
		move_on(w, x);
		break;
	case OP_FORK:
		do_fork(w);
		break;
	case OP_FLUSH_RANGE:
		flush_tlb_kernel_range(addr, addr + PAGE_SIZE);
		break;
	case OP_FLUSH_ALL:
		flush_tlb_all();
		break;
	case OP_TEXT_POKE:
		static_branch_inc(&random_key);
		w->child_wrong += !static_key_enabled(&random_key);
		static_branch_dec(&random_key);
		break;
	case OP_USE_MM:
		if (w->uses_mm)
			kthread_unuse_mm(w->mm);
		else
			kthread_use_mm(w->mm);
		w->uses_mm = !w->uses_mm;
		break;
	case OP_VFREE:
		/* The domains have it for a moment. */
		area = vmalloc(PAGE_SIZE);
		if (area && !asi_map(w->asi[x % SHARED], area, PAGE_SIZE))
			*area = SECRET;
		vfree(area);
		break;
#ifdef CONFIG_EFI
	case OP_EFI:
		if (efi_enabled(EFI_RUNTIME_SERVICES)) {
			efi_time_t tm;

			w->child_wrong += efi.get_time(&tm, NULL) != EFI_SUCCESS;
		}
		break;
#endif
	default:
		break;
	}
}

static void event(struct worker *w, unsigned int i)
{
	u32 x = number(w, i, 1), y = number(w, i, 2);
	unsigned int d = x % DOMAINS, k = y % PAGES;
	enum op op = op_of(w, i);
	bool reads, want_reads;
	long got, want = 0;
	u64 val;

	w->count[op]++;
	w->inside += is_inside(w);
	switch (op) {
	case OP_ENTER:
		if (!w->asi[d])
			return;
		want = w->session == NONE ? 0 : -EBUSY;
		/* The API is to be called with no domain in between. */
		got = asi_enter(w->asi[d]);
		if (differs(w, "asi_enter()", want, got) || want)
			return;
		w->session = d;
		w->session_asi = w->asi[d];
		w->session_root = w->root[d];
		w->session_policy = w->policy[d];
		w->err = 0;
		w->denied = false;
		w->suspended = false;
		w->doomed = false;
		return;
	case OP_EXIT:
		want = w->session == NONE ? -EBUSY : w->denied ? -EFAULT : w->err;
		got = asi_exit(w->session == NONE ? w->asi[0] : w->session_asi);
		if (differs(w, "asi_exit()", want, got))
			return;
		w->session = NONE;
		w->suspended = false;
		return;
	case OP_EXIT_OTHER:
		if (d == w->session || !w->asi[d])
			return;
		differs(w, "asi_exit() of another", -EBUSY, asi_exit(w->asi[d]));
		return;
	case OP_IRQ:
		differs(w, "interrupt", 1, interrupt(w, false));
		return;
	case OP_NMI_IN_IRQ:
		differs(w, "interrupt", 1, interrupt(w, true));
		return;
	case OP_NMI:
		preempt_disable();
		got = nmi_now(w);
		preempt_enable();
		differs(w, "NMI", 1, got);
		return;
	case OP_INT3:
		w->int3s = 0;
		do_int3(w);
		differs(w, "int3", 1, w->int3s);
		return;
	case OP_UD2:
		do_ud2();
		return;
	case OP_READ_SECRET:
		reads = !copy_from_kernel_nofault(&val, asi_test_secret, sizeof(val));
		differs(w, "secret is readable", forbidden(w), reads);
		if (reads)
			differs(w, "secret", SECRET, val);
		return;
	case OP_WRITE_SECRET:
		val = SECRET;
		reads = !copy_to_kernel_nofault(asi_test_secret, &val, sizeof(val));
		differs(w, "secret is writable", forbidden(w), reads);
		return;
	case OP_READ_PAGE:
		want_reads = is_inside(w) && w->mapped[w->session][k] &&
			     w->session_asi == w->asi[w->session];
		reads = read_page(w, k);
		differs(w, "page is readable", want_reads || forbidden(w), reads);
		return;
	case OP_READ_BAD:
		/* What the kernel lacks as well is no matter of the domain. */
		differs(w, "bad address is readable", 0, asi_test_reads(w->bad));
		return;
	case OP_SUSPEND:
		if (w->suspended)
			return;
		w->resume = asi_suspend();
		differs(w, "asi_suspend()", is_inside(w), w->resume);
		w->suspended = w->resume;
		return;
	case OP_RESUME:
		if (!w->suspended)
			return;
		asi_resume(w->resume);
		w->suspended = false;
		if (w->doomed && !w->err)
			w->err = -ECANCELED;
		return;
	case OP_SLEEP:
		sleep_a_little(w);
		return;
	case OP_YIELD:
		schedule();
		return;
	case OP_MAP:
		if (!w->asi[d])
			return;
		differs(w, "asi_map()", 0, asi_map(w->asi[d], w->page[k], PAGE_SIZE));
		w->mapped[d][k] = true;
		return;
	case OP_UNMAP:
		if (!w->asi[d])
			return;
		differs(w, "asi_unmap()", 0, asi_unmap(w->asi[d], w->page[k], PAGE_SIZE));
		w->mapped[d][k] = false;
		return;
	case OP_WR_ASSIGN:
		differs(w, "wr_assign()", 0, wr_assign(protected[w->nr], i));
		differs(w, "what was written", i, READ_ONCE(protected[w->nr]));
		return;
	case OP_TEMP_MM:
		val = i;
		differs(w, "temp_mm_write()", 0, temp_mm_write(w->t, w->ro, &val, sizeof(val)));
		return;
	case OP_DESTROY:
		if (w->asi[OWN])
			destroy_own(w);
		return;
	case OP_CREATE:
		/* A session of the old one goes on without it. */
		if (!w->asi[OWN]) {
			guard(asi_suspended)();
			differs(w, "asi_create()", 0, create_own(w));
		}
		return;
	case OP_BAD_INPUT:
		got = bad_input(w, x, &want);
		differs(w, "bad input", want, got);
		return;
	default:
		suspended_event(w, op, x);
		return;
	}
}

/* ---- the comparison ---- */

static void compare(struct worker *w, unsigned int i)
{
	unsigned long cr3, domain, pgd = 0, flags;
	struct asi_session *s = &current->thread.asi;
	bool inside = is_inside(w), restricted, reads;
	unsigned int k = number(w, i, 3) % PAGES;

	raw_local_irq_save(flags);
	cr3 = __read_cr3();
	domain = raw_cpu_read(asi_cr3.domain);
	restricted = asi_restricted();
	if (!domain)
		pgd = __pa(raw_cpu_read(cpu_tlbstate.loaded_mm)->pgd);
	raw_local_irq_restore(flags);

	differs(w, "asi_restricted()", inside, restricted);
	differs(w, "asi_cr3.domain", inside ? cr3 : 0, domain);
	differs(w, "root", inside ? w->session_root : pgd, cr3 & CR3_ADDR_MASK);
	differs(w, "session", (unsigned long)(w->session == NONE ? NULL : w->session_asi),
		(unsigned long)s->asi);
	if (w->session != NONE)
		differs(w, "error of the session", w->err, s->err);
	differs(w, "preempt_count()", 0, preempt_count());
	differs(w, "interrupts off", 0, raw_irqs_disabled());
	differs(w, "what a handler has seen", 0, w->handler_wrong);
	differs(w, "what a child has seen", 0, w->child_wrong);
	if (w->why)
		return;

	/* Only where the attempt changes nothing. */
	if (!inside) {
		differs(w, "secret outside", 1, asi_test_reads(asi_test_secret));
		return;
	}
	reads = w->mapped[w->session][k] && w->session_asi == w->asi[w->session];
	if (reads || w->session_policy == ASI_FAULT_PRESERVE)
		differs(w, "page inside", reads, read_page(w, k));
	if (w->session_policy == ASI_FAULT_PRESERVE || w->denied)
		differs(w, "secret inside", 0, asi_test_reads(asi_test_secret));
	/* That was not its end. */
	differs(w, "root after reading", w->session_root, __read_cr3() & CR3_ADDR_MASK);
}

static int worker_thread(void *arg)
{
	struct worker *w = arg;
	unsigned int i, k, d;

	kernel_sigaction(SIGCHLD, SIG_DFL);
	w->session = NONE;
	w->err = 0;
	w->suspended = false;
	w->why = NULL;
	w->handler_wrong = 0;
	w->child_wrong = 0;
	memset(w->mapped, 0, sizeof(w->mapped));
	for (d = 0; d < SHARED; d++) {
		differs(w, "asi_test_populate()", 0, asi_test_populate(w->asi[d]));
		for (k = 0; k < PAGES; k++)
			differs(w, "asi_unmap() first", 0,
				asi_unmap(w->asi[d], w->page[k], PAGE_SIZE));
	}
	differs(w, "asi_create() first", 0, create_own(w));

	for (i = 0; i < w->n && !w->why; i++) {
		if (leave_out && test_bit(i, left_out))
			continue;
		w->at = i;
		event(w, i);
		if (!w->why)
			compare(w, i);
		/* Tasks of the same CPU want to run, too, and other tests to end. */
		if (i % 64 == 0)
			cond_resched();
	}

	if (w->session != NONE)
		asi_exit(w->session_asi);
	if (w->uses_mm)
		kthread_unuse_mm(w->mm);
	w->uses_mm = false;
	asi_destroy(w->asi[OWN]);
	w->asi[OWN] = NULL;
	irq_work_sync(&w->irq_work);
	complete(&w->done);

	return 0;
}

/* ---- workers ---- */

static int worker_start(struct worker *w)
{
	init_completion(&w->done);
	w->irq_work = IRQ_WORK_INIT_HARD(on_random_irq);
	w->task = kthread_create(worker_thread, w, "asi_random/%u", w->nr);
	if (IS_ERR(w->task))
		return PTR_ERR(w->task);
	get_task_struct(w->task);
	if (!w->roams && !w->alone)
		set_cpus_allowed_ptr(w->task, cpumask_of(w->nr));
	wake_up_process(w->task);

	return 0;
}

static bool worker_wait(struct worker *w, unsigned long timeout)
{
	bool done = wait_for_completion_timeout(&w->done, timeout);

	if (done) {
		/* Its last steps, too: what it has mapped of itself goes. */
		while (!READ_ONCE(w->task->exit_state))
			msleep(20);
		put_task_struct(w->task);
	}

	return done;
}

static int worker_init(struct worker *w, unsigned int nr, u32 with, unsigned int n)
{
	unsigned int k;

	memset(w, 0, sizeof(*w));
	w->nr = nr;
	w->seed = with;
	w->n = n;
	w->roams = nr & 1;
	for (k = 0; k < SHARED; k++) {
		w->asi[k] = shared[k];
		w->root[k] = __pa(asi_pg_table(shared[k])->root);
		w->policy[k] = k;
	}
	for (k = 0; k < PAGES; k++) {
		w->page[k] = (u64 *)get_zeroed_page(GFP_KERNEL);
		if (!w->page[k])
			return -ENOMEM;
		*w->page[k] = PUBLIC + k;
	}
	w->ro = (u64 *)get_zeroed_page(GFP_KERNEL);
	w->t = temp_mm_alloc(1, "asi_random");
	w->mm = mm_alloc();
	w->bad = vmalloc(PAGE_SIZE);
	if (!w->ro || !w->t || !w->mm || !w->bad)
		return -ENOMEM;
	/* The guard page behind it. */
	w->bad += PAGE_SIZE / sizeof(u64);

	return 0;
}

static void worker_free(struct worker *w)
{
	unsigned int k;

	for (k = 0; k < PAGES; k++)
		free_page((unsigned long)w->page[k]);
	free_page((unsigned long)w->ro);
	temp_mm_free(w->t);
	if (w->mm)
		mmput(w->mm);
	if (w->bad)
		vfree(w->bad - PAGE_SIZE / sizeof(u64));
}

static void print_event(struct kunit *test, const struct worker *w, unsigned int i)
{
	kunit_info(test, "event %u: %s, domain %u, page %u", i, ops[op_of(w, i)].name,
		   number(w, i, 1) % DOMAINS, number(w, i, 2) % PAGES);
}

/* Once more without others, and without what is left out: is it there again? */
static bool fails_again(struct worker *w)
{
	if (worker_start(w))
		return false;
	if (!worker_wait(w, 60 * HZ))
		return false;

	return w->why;
}

/* Leave out as much as can be, first in large pieces, then event by event. */
static void shrink(struct kunit *test, struct worker *w)
{
	unsigned int n = w->at + 1, size, from, i, kept = 0;
	u64 end = ktime_get_ns() + 20ULL * NSEC_PER_SEC;

	w->n = n;
	w->alone = true;
	bitmap_zero(left_out, MAX_EVENTS);
	leave_out = true;
	if (!fails_again(w)) {
		kunit_info(test, "it takes other CPUs, or chance: alone, worker %u passes", w->nr);
		leave_out = false;
		return;
	}
	n = w->at + 1;
	w->n = n;
	for (size = rounddown_pow_of_two(n); size; size /= 2) {
		for (from = 0; from < n && ktime_get_ns() < end; from += size) {
			unsigned int len = min(size, n - from);

			if (find_next_zero_bit(left_out, from + len, from) >= from + len)
				continue;
			bitmap_set(left_out, from, len);
			if (!fails_again(w))
				bitmap_clear(left_out, from, len);
		}
	}
	fails_again(w);
	leave_out = false;
	for (i = 0; i < n; i++) {
		if (!test_bit(i, left_out) && kept++ < HISTORY)
			print_event(test, w, i);
	}
	kunit_info(test, "%u of %u events are enough", kept, n);
}

static void report(struct kunit *test, struct worker *w)
{
	unsigned int i;

	KUNIT_FAIL(test, "seed %u, worker %u, event %u: %s: want %ld (%lx), got %ld (%lx)", w->seed,
		   w->nr, w->at, w->why, w->want, w->want, w->got, w->got);
	for (i = w->at >= HISTORY ? w->at - HISTORY + 1 : 0; i <= w->at; i++)
		print_event(test, w, i);
	shrink(test, w);
}

/* While they work, a CPU goes and comes.  Returns when all have ended. */
static int wait_for_workers(struct kunit *test, unsigned int n, int *cycles)
{
	int cpu = cpumask_last(cpu_online_mask);
	unsigned int i, left, turns;

	for (turns = 0; turns < 5000; turns++) {
		for (i = 0, left = 0; i < n; i++)
			left += !completion_done(&workers[i].done);
		if (!left)
			break;
		if (cpu > 0 && turns % 40 == 20 && *cycles < 3) {
			if (!remove_cpu(cpu))
				KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
			*cycles += 1;
		}
		msleep(50);
	}

	return left;
}

static const void *round_params(const void *prev, char *desc)
{
	unsigned long i = (unsigned long)prev;

	if (i >= max(rounds, 1U))
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "round %lu", i + 1);

	return (void *)(i + 1);
}

static void asi_random_events(struct kunit *test)
{
	unsigned long round = (unsigned long)test->param_value;
	unsigned long count[NR_OPS] = {}, faults = 0, inside = 0, total = 0;
	unsigned int n = min(num_online_cpus(), MAX_WORKERS), each, i, op;
	u32 with = (seed ?: get_random_u32()) + round - 1;
	int err = 0, left = 0, cycles = 0;
	u64 start = ktime_get_ns();

	each = min(DIV_ROUND_UP(events, n), MAX_EVENTS);
	kunit_info(test, "seed %u, %u workers, %u events each", with, n, each);
	memset(workers, 0, sizeof(workers));
	for (i = 0; i < SHARED; i++) {
		shared[i] = asi_test_create(i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, shared[i]);
		KUNIT_ASSERT_EQ(test, asi_test_populate(shared[i]), 0);
	}
	leave_out = false;
	KUNIT_ASSERT_EQ(test, register_die_notifier(&random_die), 0);
	for_each_possible_cpu(i)
		asi_test_on_nmi_of(i, on_random_nmi);
	for (i = 0; i < n; i++)
		err = err ?: worker_init(&workers[i], i, with, each);
	for (i = 0; i < n && !err; i++)
		err = worker_start(&workers[i]);
	KUNIT_EXPECT_EQ(test, err, 0);
	if (!err) {
		left = wait_for_workers(test, n, &cycles);
		for (i = 0; i < n; i++)
			left += !worker_wait(&workers[i], 1);
		KUNIT_EXPECT_EQ(test, left, 0);
	}
	for (i = 0; i < n && !left; i++) {
		faults += workers[i].faults;
		inside += workers[i].inside;
		for (op = 0; op < NR_OPS; op++) {
			count[op] += workers[i].count[op];
			total += workers[i].count[op];
		}
	}
	for (i = 0; i < n && !left; i++) {
		if (workers[i].why) {
			report(test, &workers[i]);
			break;
		}
	}
	for_each_possible_cpu(i)
		asi_test_on_nmi_of(i, NULL);
	unregister_die_notifier(&random_die);
	/* Without the workers nothing is known of what is still in use. */
	if (left)
		return;
	for (i = 0; i < n; i++)
		worker_free(&workers[i]);
	for (i = 0; i < SHARED; i++) {
		KUNIT_EXPECT_EQ(test, asi_test_users(shared[i]), 1);
		asi_destroy(shared[i]);
	}

	kunit_info(test, "%lu events, %lu of them in a domain, %lu forbidden accesses, %d times a CPU off and on, %llu ms",
		   total, inside, faults, cycles,
		   div_u64(ktime_get_ns() - start, NSEC_PER_MSEC));
	KUNIT_EXPECT_EQ(test, total, (unsigned long)n * each);
	for (op = 0; op < NR_OPS; op++)
		if (total * ops[op].weight / 10000 > 20)
			KUNIT_EXPECT_GT_MSG(test, count[op], 0, "%s", ops[op].name);
}

static struct kunit_case asi_random_cases[] = {
	KUNIT_CASE_PARAM_ATTR(asi_random_events, round_params, { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_random_suite = {
	.name = "asi_random",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_random_cases,
};

kunit_test_suite(asi_random_suite);
