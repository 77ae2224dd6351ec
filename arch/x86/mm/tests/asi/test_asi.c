// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: what a session is, what the fault
 * policies do, and what the files of these tests share.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/nmi.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/apic.h>
#include <asm/special_insns.h>
#include <asm/trap_pf.h>
#include <asm/tsc.h>

#include <trace/events/asi.h>

#include "test_asi.h"

/* Pages: no domain maps the one, each maps the other. */
u64 *asi_test_secret;
u64 *asi_test_public;

struct asi_test_fault asi_test_faults[ASI_TEST_FAULTS];
int asi_test_nr_faults;

static struct asi_type asi_test_types[] = {
	[ASI_FAULT_ABORT]	= { .name = "test_abort", .fault = ASI_FAULT_ABORT },
	[ASI_FAULT_PRESERVE]	= { .name = "test_preserve", .fault = ASI_FAULT_PRESERVE },
	[ASI_FAULT_KILL]	= { .name = "test_kill", .fault = ASI_FAULT_KILL },
};

static_assert(ARRAY_SIZE(asi_test_types) == ASI_NR_FAULT_POLICIES);

/* A domain may outlive its destruction, and its name is in use till then. */
static atomic_t last_name = ATOMIC_INIT(-1);

static DEFINE_PER_CPU(asi_test_nmi_fn, nmi_fn);

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	asi_test_nmi_fn fn = this_cpu_read(nmi_fn);

	if (!fn)
		return NMI_DONE;
	fn(regs);

	return NMI_HANDLED;
}

/* With migration off. */
void asi_test_on_nmi(asi_test_nmi_fn fn)
{
	this_cpu_write(nmi_fn, fn);
}

void asi_test_on_nmi_of(int cpu, asi_test_nmi_fn fn)
{
	per_cpu(nmi_fn, cpu) = fn;
}

void asi_test_send_nmi(void)
{
	__apic_send_IPI_mask(cpumask_of(raw_smp_processor_id()), NMI_VECTOR);
}

static void note_fault(void *data, const char *domain, unsigned long ip, unsigned long address,
		       unsigned long error_code, unsigned int policy)
{
	unsigned int i = READ_ONCE(asi_test_nr_faults);

	asi_test_faults[i % ASI_TEST_FAULTS] = (struct asi_test_fault) {
		.ip = ip,
		.address = address,
		.error_code = error_code,
		.policy = policy,
		.domain = domain,
	};
	WRITE_ONCE(asi_test_nr_faults, i + 1);
}

static int suites;
/* pg_table_stats.instances before the suite */
static long tables_before;

/* KUnit leaves skipped what has been skipped at boot, also when it is run again. */
int asi_test_suite_init(struct kunit_suite *suite)
{
	struct kunit_case *c;
	int err;

	kunit_suite_for_each_test_case(suite, c)
		c->status = KUNIT_SUCCESS;

	if (!cpu_feature_enabled(X86_FEATURE_ASI))
		return 0;

	tables_before = atomic_long_read(&pg_table_stats.instances);
	asi_test_secret = (u64 *)__get_free_page(GFP_KERNEL);
	asi_test_public = (u64 *)__get_free_page(GFP_KERNEL);
	if (!asi_test_secret || !asi_test_public)
		return -ENOMEM;

	*asi_test_secret = SECRET;
	*asi_test_public = PUBLIC;
	err = register_trace_asi_fault(note_fault, NULL);
	err = err ?: register_nmi_handler(NMI_LOCAL, nmi_handler, NMI_FLAG_FIRST, "asi_kunit");
	suites += !err;

	return err;
}

void asi_test_suite_exit(struct kunit_suite *suite)
{
	if (suites) {
		suites--;
		unregister_nmi_handler(NMI_LOCAL, "asi_kunit");
		unregister_trace_asi_fault(note_fault, NULL);
		tracepoint_synchronize_unregister();
	}
	free_page((unsigned long)asi_test_secret);
	free_page((unsigned long)asi_test_public);
	asi_test_secret = NULL;
	asi_test_public = NULL;
}

int asi_test_init(struct kunit *test)
{
	if (!cpu_feature_enabled(X86_FEATURE_ASI))
		kunit_skip(test, "needs asi=on");

	asi_test_nr_faults = 0;

	return 0;
}

/* What a domain needs for the code of these tests, in this task. */
int asi_test_populate(struct asi *asi)
{
	int err;

	err = asi_map_kernel(asi);
	err = err ?: asi_map_task(asi);
	err = err ?: asi_map(asi, asi_test_public, PAGE_SIZE);

	return err;
}

struct asi *asi_test_create(enum asi_fault_policy policy)
{
	char name[PG_TABLE_NAME_LEN];

	snprintf(name, sizeof(name), "kunit-%u", atomic_inc_return(&last_name));

	return asi_create(&asi_test_types[policy], name);
}

static void destroy(void *asi)
{
	asi_destroy(asi);
}

struct asi *asi_test_domain(struct kunit *test, enum asi_fault_policy policy)
{
	struct asi *asi = asi_test_create(policy);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, destroy, asi), 0);
	KUNIT_ASSERT_EQ(test, asi_test_populate(asi), 0);

	return asi;
}

/* Before the test ends. */
void asi_test_destroy(struct kunit *test, struct asi *asi)
{
	kunit_release_action(test, destroy, asi);
}

void asi_test_look(struct asi_test_look *l, bool secret)
{
	unsigned long flags;

	raw_local_irq_save(flags);
	l->cr3 = __read_cr3();
	l->domain = raw_cpu_read(asi_cr3.domain);
	l->mm = raw_cpu_read(cpu_tlbstate.loaded_mm);
	l->preempt = preempt_count();
	l->cpu = raw_smp_processor_id();
	l->restricted = asi_restricted();
	raw_local_irq_restore(flags);
	if (secret)
		l->secret = asi_test_reads(asi_test_secret);
	WRITE_ONCE(l->count, l->count + 1);
}

/* The same in a handler, which can read everything. */
void asi_test_seen(struct asi_test_look *l, struct pt_regs *regs)
{
	l->frame = regs && regs_interrupted_asi(regs);
	asi_test_look(l, true);
}

/*
 * An alarm can hit what this CPU happens to do besides, for another task or on the way
 * out of another interrupt.  Then it comes again, a few times.
 */
bool asi_test_again(struct asi_test_look *l, struct hrtimer *timer, struct pt_regs *regs)
{
	if ((regs && regs_interrupted_asi(regs)) || l->missed++ >= 10)
		return false;

	hrtimer_forward_now(timer, ms_to_ktime(10));

	return true;
}

/* Accesses by one instruction that has a name, and an address that is not the function's. */
noinline u64 asi_test_read(const u64 *p)
{
	u64 val;

	asm volatile("nop\n.globl asi_test_read_insn\n"
		     "asi_test_read_insn:\n\tmovq (%1), %0" : "=r" (val) : "r" (p) : "memory");

	return val;
}

noinline void asi_test_write(u64 *p, u64 val)
{
	asm volatile("nop\n.globl asi_test_write_insn\n"
		     "asi_test_write_insn:\n\tmovq %0, (%1)" :: "r" (val), "r" (p) : "memory");
}

noinline bool asi_test_reads(const void *p)
{
	u64 val;

	return !copy_from_kernel_nofault(&val, p, sizeof(val));
}

noinline bool asi_test_is_inside(void)
{
	unsigned long cr3, domain, flags;

	raw_local_irq_save(flags);
	cr3 = __read_cr3();
	domain = raw_cpu_read(asi_cr3.domain);
	raw_local_irq_restore(flags);

	return cr3 == domain && cr3;
}

/* Wait for something that comes by itself, in whatever context, ten seconds at most. */
noinline bool asi_test_wait(const int *flag)
{
	cycles_t start = get_cycles();

	do {
		/* Pairs with smp_store_release() of the one who is waited for. */
		if (smp_load_acquire(flag))
			return true;
		cpu_relax();
	} while (get_cycles() - start < 10000ULL * tsc_khz);

	return false;
}

void asi_test_need_cpus(struct kunit *test)
{
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
}

/* With migration off. */
int asi_test_other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, smp_processor_id());
}

long asi_test_count(enum asi_count what)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(asi_cpu.count[what], cpu));

	return sum;
}

int asi_test_users(struct asi *asi)
{
	return atomic_read(&asi->users);
}

/* Domains are freed by a work item.  Are there no more than @tables page tables then? */
bool asi_test_drained(long tables)
{
	int i;

	for (i = 0; i < 500; i++) {
		if (atomic_long_read(&pg_table_stats.instances) <= tables)
			return true;
		msleep(20);
	}

	return false;
}

/*
 * @event runs in the domain.  Before and after, the secret cannot be read there,
 * which a domain with %ASI_FAULT_PRESERVE is asked by trying.
 */
noinline void asi_test_session(struct asi *asi, struct asi_test_run *r, void (*event)(void *),
			       void *arg)
{
	bool ask = asi->fault == ASI_FAULT_PRESERVE;
	long faults = asi_test_count(ASI_COUNT_FAULT);

	memset(r, 0, sizeof(*r));
	asi_test_look(&r->before, false);
	r->enter = asi_enter(asi);
	if (r->enter)
		return;
	asi_test_look(&r->inside, false);
	if (ask)
		r->early = asi_test_reads(asi_test_secret);
	if (event)
		event(arg);
	r->irqs_off = raw_irqs_disabled();
	asi_test_look(&r->later, false);
	if (ask)
		r->late = asi_test_reads(asi_test_secret);
	r->exit = asi_exit(asi);
	asi_test_look(&r->after, true);
	r->faults = asi_test_count(ASI_COUNT_FAULT) - faults;
}

/* In and out: nothing may be judged in between. */
int asi_test_pass(struct asi *asi)
{
	int err = asi_enter(asi);

	return err ?: asi_exit(asi);
}

static unsigned long root_of(unsigned long cr3)
{
	return cr3 & CR3_ADDR_MASK;
}

void asi_test_expect_inside(struct kunit *test, struct asi *asi, const struct asi_test_look *l,
			    const char *what)
{
	KUNIT_EXPECT_EQ_MSG(test, root_of(l->cr3), virt_to_phys(asi_pg_table(asi)->root),
			    "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, l->cr3, l->domain, "%s", what);
	KUNIT_EXPECT_TRUE_MSG(test, l->restricted, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, l->cr3 & PAGE_SIZE, 0, "%s", what);
}

void asi_test_expect_outside(struct kunit *test, const struct asi_test_look *l, const char *what)
{
	KUNIT_EXPECT_EQ_MSG(test, root_of(l->cr3), __pa(l->mm->pgd), "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, l->domain, 0, "%s", what);
	KUNIT_EXPECT_FALSE_MSG(test, l->restricted, "%s", what);
}

/* What has interrupted a domain runs on the kernel's page table. */
void asi_test_expect_handler(struct kunit *test, const struct asi_test_look *l, bool frame,
			     int count, const char *what)
{
	KUNIT_EXPECT_EQ_MSG(test, l->count, count, "%s", what);
	if (!l->count)
		return;
	asi_test_expect_outside(test, l, what);
	KUNIT_EXPECT_TRUE_MSG(test, l->secret, "%s", what);
	if (frame)
		KUNIT_EXPECT_TRUE_MSG(test, l->frame, "%s", what);
}

/* The session has outlived the event. */
void asi_test_expect_whole(struct kunit *test, struct asi *asi, const struct asi_test_run *r)
{
	KUNIT_EXPECT_EQ(test, r->enter, 0);
	if (r->enter)
		return;
	asi_test_expect_outside(test, &r->before, "before");
	asi_test_expect_inside(test, asi, &r->inside, "inside");
	asi_test_expect_inside(test, asi, &r->later, "later");
	asi_test_expect_outside(test, &r->after, "after");
	KUNIT_EXPECT_FALSE(test, r->early);
	KUNIT_EXPECT_FALSE(test, r->late);
	KUNIT_EXPECT_FALSE(test, r->irqs_off);
	KUNIT_EXPECT_EQ(test, r->exit, 0);
	KUNIT_EXPECT_TRUE(test, r->after.secret);
	KUNIT_EXPECT_EQ(test, r->inside.preempt, r->before.preempt);
	KUNIT_EXPECT_EQ(test, r->later.preempt, r->before.preempt);
	KUNIT_EXPECT_EQ(test, r->after.preempt, r->before.preempt);
	KUNIT_EXPECT_PTR_EQ(test, current->thread.asi.asi, NULL);
}

/* The event has ended the session. */
void asi_test_expect_aborted(struct kunit *test, struct asi *asi, const struct asi_test_run *r)
{
	KUNIT_EXPECT_EQ(test, r->enter, 0);
	if (r->enter)
		return;
	asi_test_expect_inside(test, asi, &r->inside, "inside");
	asi_test_expect_outside(test, &r->later, "later");
	asi_test_expect_outside(test, &r->after, "after");
	KUNIT_EXPECT_EQ(test, r->exit, -EFAULT);
	KUNIT_EXPECT_EQ(test, r->later.preempt, r->before.preempt);
	KUNIT_EXPECT_EQ(test, r->after.preempt, r->before.preempt);
	KUNIT_EXPECT_PTR_EQ(test, current->thread.asi.asi, NULL);
}

struct asi_test_refusal asi_test_before(struct kunit *test, enum asi_refusal why)
{
	struct asi_test_refusal before = {
		.test = test,
		.why = why,
		.one = asi_refused(why),
		.cr3 = root_of(__read_cr3()),
		.asi = current->thread.asi.asi,
		.preempt = preempt_count(),
	};
	int i;

	for (i = 0; i < ASI_NR_REFUSALS; i++)
		before.all += asi_refused(i);

	return before;
}

void asi_test_after(const struct asi_test_refusal *before, long error, long err,
		    const char *what)
{
	struct kunit *test = before->test;
	unsigned long cr3 = root_of(__read_cr3());
	long all = 0;
	int i;

	for (i = 0; i < ASI_NR_REFUSALS; i++)
		all += asi_refused(i);
	KUNIT_EXPECT_EQ_MSG(test, err, error, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, asi_refused(before->why) - before->one, 1, "%s as %d", what,
			    before->why);
	KUNIT_EXPECT_EQ_MSG(test, all - before->all, 1, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, cr3, before->cr3, "%s", what);
	KUNIT_EXPECT_PTR_EQ_MSG(test, current->thread.asi.asi, before->asi, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, preempt_count(), before->preempt, "%s", what);
}

/* ---- sessions ---- */

static void asi_test_enter_and_exit(struct kunit *test)
{
	static const char *const policies[] = { "abort", "preserve", "kill" };
	long enters = asi_test_count(ASI_COUNT_ENTER), exits = asi_test_count(ASI_COUNT_EXIT);
	struct asi_test_run r;
	int policy, i;

	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct asi *asi = asi_test_domain(test, policy);

		for (i = 0; i < 3; i++) {
			asi_test_session(asi, &r, NULL, NULL);
			asi_test_expect_whole(test, asi, &r);
			KUNIT_EXPECT_EQ_MSG(test, r.faults,
					    policy == ASI_FAULT_PRESERVE ? 2 : 0, "%s",
					    policies[policy]);
		}
		KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
	}
	KUNIT_EXPECT_GE(test, asi_test_count(ASI_COUNT_ENTER) - enters, 9);
	KUNIT_EXPECT_GE(test, asi_test_count(ASI_COUNT_EXIT) - exits, 9);
}

static void suspend_and_resume(void *arg)
{
	struct asi_test_look *l = arg;
	bool outer, inner;

	outer = asi_suspend();
	asi_test_look(&l[0], true);
	inner = asi_suspend();
	asi_resume(inner);
	asi_test_look(&l[1], true);
	asi_resume(outer);
	l[2].count = outer && !inner;
}

static void asi_test_suspend(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct asi_test_look l[3] = {};
	struct asi_test_run r;

	asi_test_session(asi, &r, suspend_and_resume, l);
	asi_test_expect_whole(test, asi, &r);
	asi_test_expect_handler(test, &l[0], false, 1, "suspended");
	asi_test_expect_handler(test, &l[1], false, 1, "nested");
	KUNIT_EXPECT_EQ(test, l[2].count, 1);

	/* Without a session nothing happens. */
	memset(l, 0, sizeof(l));
	suspend_and_resume(l);
	asi_test_expect_handler(test, &l[1], false, 1, "no session");
	KUNIT_EXPECT_EQ(test, l[2].count, 0);
	KUNIT_EXPECT_FALSE(test, asi_test_is_inside());
}

/* ---- faults ---- */

struct access {
	u64 *p;
	u64 val;
	bool write;
	bool inside;
	bool irqs_on;
};

static void do_access(void *arg)
{
	struct access *a = arg;

	if (a->write)
		asi_test_write(a->p, a->val);
	else
		a->val = asi_test_read(a->p);
	a->inside = asi_restricted();
}

static void expect_one_fault(struct kunit *test, struct asi *asi, const void *insn,
			     const void *address, unsigned long error_code)
{
	const struct asi_test_fault *f = &asi_test_faults[0];

	KUNIT_EXPECT_EQ(test, asi_test_nr_faults, 1);
	KUNIT_EXPECT_EQ(test, f->ip, (unsigned long)insn);
	KUNIT_EXPECT_EQ(test, f->address, (unsigned long)address);
	KUNIT_EXPECT_EQ(test, f->error_code, error_code);
	KUNIT_EXPECT_EQ(test, f->policy, asi->fault);
	KUNIT_EXPECT_STREQ(test, f->domain, asi_pg_table(asi)->name);
}

/* The access succeeds, on the kernel's page table, and asi_exit() tells. */
static void asi_test_fault_abort(struct kunit *test)
{
	u64 *mem[] = { asi_test_secret, kunit_kzalloc(test, 64, GFP_KERNEL), vmalloc(PAGE_SIZE) };
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi_test_run r;
	int i;

	for (i = 0; i < ARRAY_SIZE(mem); i++) {
		struct access a = { .p = mem[i] };

		KUNIT_ASSERT_NOT_NULL(test, mem[i]);
		*mem[i] = SECRET;
		asi_test_nr_faults = 0;
		asi_test_session(asi, &r, do_access, &a);
		asi_test_expect_aborted(test, asi, &r);
		expect_one_fault(test, asi, asi_test_read_insn, mem[i], 0);
		KUNIT_EXPECT_EQ(test, r.faults, 1);
		KUNIT_EXPECT_EQ(test, a.val, SECRET);
		KUNIT_EXPECT_FALSE(test, a.inside);

		a.write = true;
		a.val = ~SECRET;
		asi_test_nr_faults = 0;
		asi_test_session(asi, &r, do_access, &a);
		asi_test_expect_aborted(test, asi, &r);
		expect_one_fault(test, asi, asi_test_write_insn, mem[i], X86_PF_WRITE);
		KUNIT_EXPECT_EQ(test, *mem[i], ~SECRET);
	}
	*asi_test_secret = SECRET;
	vfree(mem[2]);

	/* The next session is as good as the first. */
	asi_test_session(asi, &r, NULL, NULL);
	asi_test_expect_whole(test, asi, &r);
}

static void try_access(void *arg)
{
	struct access *a = arg;

	if (a->write)
		a->val = copy_to_kernel_nofault(a->p, &a->val, sizeof(a->val));
	else
		a->val = copy_from_kernel_nofault(&a->val, a->p, sizeof(a->val));
	a->inside = asi_restricted();
}

/* The access fails as it would if the kernel lacked the memory; the session goes on. */
static void asi_test_fault_preserve(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct access a = { .p = asi_test_secret };
	struct asi_test_run r;

	asi_test_session(asi, &r, try_access, &a);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, (long)a.val, -EFAULT);
	KUNIT_EXPECT_TRUE(test, a.inside);
	KUNIT_EXPECT_EQ(test, r.faults, 3);
	KUNIT_EXPECT_EQ(test, asi_test_faults[1].address, (unsigned long)asi_test_secret);
	KUNIT_EXPECT_EQ(test, asi_test_faults[1].policy, ASI_FAULT_PRESERVE);

	a.write = true;
	asi_test_session(asi, &r, try_access, &a);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, (long)a.val, -EFAULT);
	KUNIT_EXPECT_EQ(test, *asi_test_secret, SECRET);
	KUNIT_EXPECT_EQ(test, asi_test_faults[4].error_code, X86_PF_WRITE);

	/* What it does map can be accessed. */
	a = (struct access) { .p = asi_test_public };
	asi_test_session(asi, &r, try_access, &a);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, (long)a.val, 0);
	KUNIT_EXPECT_EQ(test, r.faults, 2);
}

/* The access fails, and the task stays in the domain; a kernel thread survives that. */
static void asi_test_fault_kill(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_KILL);
	struct access a = { .p = asi_test_secret };
	struct asi_test_run r;

	asi_test_session(asi, &r, try_access, &a);
	KUNIT_EXPECT_EQ(test, r.enter, 0);
	asi_test_expect_inside(test, asi, &r.inside, "before the fault");
	asi_test_expect_inside(test, asi, &r.later, "after the fault");
	KUNIT_EXPECT_EQ(test, r.exit, -EFAULT);
	KUNIT_EXPECT_EQ(test, (long)a.val, -EFAULT);
	KUNIT_EXPECT_TRUE(test, a.inside);
	KUNIT_EXPECT_EQ(test, r.faults, 1);
	KUNIT_EXPECT_EQ(test, asi_test_faults[0].address, (unsigned long)asi_test_secret);
	KUNIT_EXPECT_EQ(test, asi_test_faults[0].policy, ASI_FAULT_KILL);

	/* The next session does not know of it. */
	asi_test_session(asi, &r, NULL, NULL);
	KUNIT_EXPECT_EQ(test, r.enter, 0);
	KUNIT_EXPECT_EQ(test, r.exit, 0);
	KUNIT_EXPECT_FALSE(test, signal_pending(current));
}

/* With interrupts off as lockdep and the entry code turn them off. */
static void try_access_irqs_off(void *arg)
{
	struct access *a = arg;
	unsigned long flags;
	bool restricted;

	raw_local_irq_save(flags);
	try_access(a);
	/* An interrupt would mend it. */
	restricted = asi_suspend();
	a->irqs_on = lockdep_hardirqs_enabled();
	asi_resume(restricted);
	raw_local_irq_restore(flags);
}

/* lockdep believes what it did before the fault. */
static void asi_test_fault_irqs_off(struct kunit *test)
{
	enum asi_fault_policy policy;

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING) || !debug_locks)
		kunit_skip(test, "needs PROVE_LOCKING, and no report of it before");

	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct asi *asi = asi_test_domain(test, policy);
		struct access a = { .p = asi_test_secret };
		struct asi_test_run r;

		asi_test_session(asi, &r, try_access_irqs_off, &a);
		KUNIT_EXPECT_EQ(test, r.enter, 0);
		KUNIT_EXPECT_EQ(test, r.exit, policy == ASI_FAULT_PRESERVE ? 0 : -EFAULT);
		KUNIT_EXPECT_TRUE_MSG(test, a.irqs_on, "policy %d", policy);
	}
}

/* The second fault of an aborted session is no fault at all. */
static void access_twice(void *arg)
{
	do_access(arg);
	do_access(arg);
}

static void asi_test_fault_once(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct access a = { .p = asi_test_secret };
	struct asi_test_run r;

	asi_test_session(asi, &r, access_twice, &a);
	asi_test_expect_aborted(test, asi, &r);
	KUNIT_EXPECT_EQ(test, r.faults, 1);
}

/* The domain maps it read-only, the kernel does not. */
static void asi_test_fault_readonly(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	u64 *page = (u64 *)get_zeroed_page(GFP_KERNEL);
	struct access a = { .p = page, .val = PUBLIC };
	struct asi_test_run r;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, page);
	err = pg_table_map(asi_pg_table(asi), (unsigned long)page, page_to_pfn(virt_to_page(page)),
			   1, __pgprot(pgprot_val(PAGE_KERNEL_RO) & ~_PAGE_GLOBAL));
	KUNIT_EXPECT_EQ(test, err, 0);
	if (!err) {
		asi_test_session(asi, &r, do_access, &a);
		asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_EQ(test, a.val, 0);
		KUNIT_EXPECT_EQ(test, r.faults, 0);
		a.write = true;
		a.val = PUBLIC;
		asi_test_session(asi, &r, do_access, &a);
		asi_test_expect_aborted(test, asi, &r);
		expect_one_fault(test, asi, asi_test_write_insn, page,
				 X86_PF_WRITE | X86_PF_PROT);
		KUNIT_EXPECT_EQ(test, *page, PUBLIC);
	}
	asi_test_destroy(test, asi);
	free_page((unsigned long)page);
}

/* A file of debugfs, read with a buffer in user memory as a program would. */
char *asi_test_debugfs(struct kunit *test, const char *name, bool write)
{
	struct file_system_type *type = get_fs_type("debugfs");
	size_t size = 16 * PAGE_SIZE, len = 0;
	unsigned long user;
	struct vfsmount *mnt;
	struct file *file;
	ssize_t n = 0;
	loff_t pos = 0;
	char *buf;

	buf = kunit_kzalloc(test, size + 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	user = kunit_vm_mmap(test, NULL, 0, size, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(user));
	KUNIT_ASSERT_NOT_NULL(test, type);
	mnt = kern_mount(type);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	file = file_open_root_mnt(mnt, name, write ? O_WRONLY : O_RDONLY, 0);
	if (!IS_ERR(file)) {
		if (write)
			n = vfs_write(file, (char __user *)user, 1, &pos);
		else
			while (len < size &&
			       (n = vfs_read(file, (char __user *)user + len, size - len,
					     &pos)) > 0)
				len += n;
		fput(file);
	}
	kern_unmount(mnt);
	KUNIT_EXPECT_FALSE(test, IS_ERR(file));
	KUNIT_EXPECT_GE(test, n, 0);
	KUNIT_EXPECT_EQ(test, copy_from_user(buf, (void __user *)user, len), 0);

	return buf;
}

static void asi_test_fault_log(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	char *line = kunit_kzalloc(test, 512, GFP_KERNEL), *log;
	struct access a = { .p = asi_test_secret };
	unsigned int i, lines = 0, cpu;
	unsigned long area;
	struct asi_test_run r;

	KUNIT_ASSERT_NOT_NULL(test, line);
	migrate_disable();
	cpu = smp_processor_id();
	asi_test_debugfs(test, "asi/faults", true);
	/* Faults of a kind count up. */
	for (i = 0; i < 3; i++)
		asi_test_session(asi, &r, do_access, &a);
	log = asi_test_debugfs(test, "asi/faults", false);
	snprintf(line, 512,
		 "cpu %u domain %s id %llu fault abort count 3 error 0 ip %pS address %lx %pS\n",
		 cpu, asi_pg_table(asi)->name, asi->id, asi_test_read_insn,
		 (unsigned long)asi_test_secret, asi_test_secret);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(log, line), "%s is not in %s", line, log);

	/* More than there is room for: the last ones stay, and how many got lost is told. */
	area = (unsigned long)__vmalloc(100 * PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);
	if (area) {
		for (i = 0; i < 100; i++) {
			a.p = (u64 *)(area + i * PAGE_SIZE);
			asi_test_session(asi, &r, do_access, &a);
		}
		log = asi_test_debugfs(test, "asi/faults", false);
		snprintf(line, 512, "address %lx ", area + 99 * PAGE_SIZE);
		KUNIT_EXPECT_NOT_NULL(test, strstr(log, line));
		snprintf(line, 512, "address %lx ", area + 36 * PAGE_SIZE);
		KUNIT_EXPECT_NOT_NULL(test, strstr(log, line));
		snprintf(line, 512, "address %lx ", area + 35 * PAGE_SIZE);
		KUNIT_EXPECT_NULL(test, strstr(log, line));
		snprintf(line, 512, "cpu %u lost 37\n", cpu);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(log, line), "%s", log);
		vfree((void *)area);
	}
	KUNIT_EXPECT_NE(test, area, 0);

	asi_test_debugfs(test, "asi/faults", true);
	log = asi_test_debugfs(test, "asi/faults", false);
	for (i = 0; log[i]; i++)
		lines += log[i] == '\n';
	KUNIT_EXPECT_EQ_MSG(test, lines, 0, "%s", log);
	migrate_enable();
}

/* ---- no domain, and nothing but NOPs, without asi=on; runs in any case ---- */

static void asi_test_off(struct kunit *test)
{
	struct asi *asi;

	if (cpu_feature_enabled(X86_FEATURE_ASI))
		kunit_skip(test, "needs asi=off");

	asi = asi_create(&asi_test_types[0], "off");
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(asi), -EOPNOTSUPP);
	KUNIT_EXPECT_FALSE(test, static_key_enabled(&asi_key));
	KUNIT_EXPECT_FALSE(test, asi_restricted());
	KUNIT_EXPECT_FALSE(test, asi_suspend());
	asi_resume(false);
	asi_end_session();
	KUNIT_EXPECT_EQ(test, asi_test_count(ASI_COUNT_ENTER), 0);
}

/* Last in each suite: all domains of the cases before it are freed, with their tables. */
void asi_test_nothing_left(struct kunit *test)
{
	struct asi *asi;
	int cpu, mine = 0, i;

	for (i = 0; i < 500; i++) {
		mine = 0;
		for (cpu = 0; cpu < ASI_NR_FAULT_POLICIES; cpu++)
			mine += READ_ONCE(asi_test_types[cpu].users);
		if (!mine)
			break;
		msleep(20);
	}
	KUNIT_EXPECT_EQ(test, mine, 0);
	/* A reference that is left keeps the table. */
	KUNIT_EXPECT_TRUE(test, asi_test_drained(tables_before));

	mutex_lock(&asi_mutex);
	mine = 0;
	list_for_each_entry(asi, &asi_domains, node)
		mine += str_has_prefix(asi_pg_table(asi)->name, "kunit");
	mutex_unlock(&asi_mutex);
	KUNIT_EXPECT_EQ(test, mine, 0);
	for_each_online_cpu(cpu)
		KUNIT_EXPECT_EQ_MSG(test, per_cpu(asi_cr3.domain, cpu), 0, "CPU %d", cpu);
}

static struct kunit_case asi_cases[] = {
	KUNIT_CASE(asi_test_enter_and_exit),
	KUNIT_CASE(asi_test_suspend),
	KUNIT_CASE(asi_test_fault_abort),
	KUNIT_CASE(asi_test_fault_preserve),
	KUNIT_CASE(asi_test_fault_kill),
	KUNIT_CASE(asi_test_fault_irqs_off),
	KUNIT_CASE(asi_test_fault_once),
	KUNIT_CASE(asi_test_fault_readonly),
	KUNIT_CASE(asi_test_fault_log),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_suite = {
	.name = "asi",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_cases,
};

static struct kunit_case asi_off_cases[] = {
	KUNIT_CASE(asi_test_off),
	{}
};

static struct kunit_suite asi_off_suite = {
	.name = "asi_off",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.test_cases = asi_off_cases,
};

kunit_test_suites(&asi_suite, &asi_off_suite);
