// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: faults that somebody else may take for his
 * own, or that are not recognized as those of a domain.
 *
 * The suite "splat_asi_fault" makes the kernel complain on purpose, and skips unless
 * the command line has test_asi_fault.provoke=1.
 */
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kdebug.h>
#include <linux/kfence.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/perf_regs.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/apic.h>
#include <asm/asm.h>
#include <asm/debugreg.h>

#include "test_asi.h"

/* ---- the entry code of a fault is hit before it has looked at CR3 ---- */

extern const char error_entry[];

static struct asi *doomed;
static int doomed_hits;

/* What asi_destroy() does first, on another CPU, while this one handles an NMI. */
static int doom(struct notifier_block *nb, unsigned long what, void *data)
{
	struct die_args *args = data;

	if (what != DIE_DEBUG || !doomed || args->regs->ip != (unsigned long)error_entry)
		return NOTIFY_DONE;

	*(unsigned long *)args->err &= ~DR_TRAP0;
	args->regs->flags |= X86_EFLAGS_RF;
	WRITE_ONCE(doomed->dead, true);
	doomed_hits++;

	return NOTIFY_STOP;
}

static struct notifier_block doom_nb = {
	.notifier_call = doom,
	.priority = INT_MAX - 1,
};

/*
 * A breakpoint on the first instruction of error_entry() interrupts a fault where an
 * NMI may: #DB takes the path of NMIs.
 */
static noinline u64 read_with_breakpoint(const u64 *p)
{
	unsigned long flags;
	u64 val;

	raw_local_irq_save(flags);
	set_debugreg((unsigned long)error_entry, 0);
	set_debugreg(DR7_FIXED_1 | DR_GLOBAL_ENABLE, 7);
	val = asi_test_read(p);
	set_debugreg(DR7_FIXED_1, 7);
	set_debugreg(0UL, 0);
	raw_local_irq_restore(flags);

	return val;
}

static void asi_test_destroy_nmi_in_fault(struct kunit *test)
{
	enum asi_fault_policy policy;

	KUNIT_ASSERT_EQ(test, register_die_notifier(&doom_nb), 0);
	/* The notifier of perf leaves alone what a debugger may want to see. */
	current->thread.virtual_dr6 |= DR_TRAP0;
	migrate_disable();
	for (policy = 0; policy < ASI_NR_FAULT_POLICIES; policy++) {
		struct asi *asi = asi_test_domain(test, policy);
		int enter, exit = 0;
		u64 val = 0;

		doomed_hits = 0;
		asi_test_nr_faults = 0;
		doomed = asi;
		enter = asi_enter(asi);
		if (!enter) {
			val = read_with_breakpoint(asi_test_secret);
			exit = asi_exit(asi);
		}
		doomed = NULL;
		WRITE_ONCE(asi->dead, false);
		KUNIT_EXPECT_EQ(test, enter, 0);
		KUNIT_EXPECT_EQ(test, exit, -ECANCELED);
		KUNIT_EXPECT_EQ(test, doomed_hits, 1);
		/* The rest of the session runs on the kernel's page table, this included. */
		KUNIT_EXPECT_EQ(test, val, SECRET);
		KUNIT_EXPECT_EQ(test, asi_test_nr_faults, 0);
	}
	migrate_enable();
	current->thread.virtual_dr6 &= ~DR_TRAP0;
	unregister_die_notifier(&doom_nb);
}

/* ---- domains are destroyed while others use them ---- */

#define MAX_USERS	8
#define PASSES		100

/* A task on each CPU.  Static, and so in every domain. */
static struct domain_user {
	struct completion done;
	struct asi *uses;		/* not to be destroyed before asi_enter() has returned */
	unsigned long sessions, cut_off, nmis;
	unsigned long enter_wrong, exit_wrong, leaks, blind, nmi_wrong;
} users[MAX_USERS];

static struct asi *in_use;
static enum asi_fault_policy in_use_policy;
static bool users_stop;

static void on_user_nmi(struct pt_regs *regs)
{
	struct domain_user *u = &users[raw_smp_processor_id()];

	u->nmis++;
	u->nmi_wrong += asi_test_is_inside() || !asi_test_reads(asi_test_secret);
}

/* The domain that replace_domain() has made last, entered. */
static struct asi *enter_one(struct domain_user *u)
{
	struct asi *asi;
	int err;

	do {
		asi = READ_ONCE(in_use);
		WRITE_ONCE(u->uses, asi);
		smp_mb();	/* pairs with the one of replace_domain() */
	} while (asi != READ_ONCE(in_use));

	err = asi_map_task(asi) ?: asi_enter(asi);
	/* Pairs with smp_load_acquire() in replace_domain(). */
	smp_store_release(&u->uses, NULL);
	if (!err)
		return asi;
	u->enter_wrong++;

	return NULL;
}

static int user_thread(void *arg)
{
	struct domain_user *u = arg;
	bool inside, reads;
	struct asi *asi;
	int i, exit;

	while (!READ_ONCE(users_stop)) {
		asi = enter_one(u);
		if (!asi)
			break;
		for (i = 0; i < PASSES; i++) {
			inside = asi_test_is_inside();
			reads = asi_test_reads(asi_test_secret);
			/* A session that has ended does not begin again. */
			u->leaks += reads && asi_test_is_inside();
			u->blind += !reads && !inside;
			u->blind += !asi_test_reads(asi_test_public);
		}
		exit = asi_exit(asi);
		u->sessions++;
		u->cut_off += exit == -ECANCELED;
		/* Which policy it has had is not known any more. */
		u->exit_wrong += exit && exit != -ECANCELED && exit != -EFAULT;
		u->blind += !asi_test_reads(asi_test_secret);
		cond_resched();
	}
	complete(&u->done);

	return 0;
}

/* Others go on in the old one until they notice. */
static int replace_domain(unsigned int nr_users)
{
	struct asi *asi = asi_test_create(in_use_policy), *old = in_use;
	unsigned int i;
	int err;

	if (IS_ERR(asi))
		return PTR_ERR(asi);
	in_use_policy = (in_use_policy + 1) % ASI_NR_FAULT_POLICIES;
	err = asi_test_populate(asi);
	if (err) {
		asi_destroy(asi);
		return err;
	}
	WRITE_ONCE(in_use, asi);
	smp_mb();	/* pairs with the one of enter_one() */
	for (i = 0; i < nr_users && old; i++)
		while (smp_load_acquire(&users[i].uses) == old)	/* pairs with enter_one() */
			usleep_range(50, 100);
	asi_destroy(old);

	return 0;
}

/* To those who expect them: on other CPUs nobody would know what an NMI is about. */
static void nmis_for_users(unsigned int nr_users, unsigned int times)
{
	unsigned int cpu;

	while (times--) {
		guard(preempt)();
		for (cpu = 0; cpu < nr_users; cpu++)
			if (cpu != smp_processor_id())
				__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
		udelay(5);
	}
}

static void asi_test_destroy_in_use(struct kunit *test)
{
	unsigned int nr_users = min(num_online_cpus(), MAX_USERS), i, rounds = 0, err = 0;
	unsigned long end = jiffies + 2 * HZ, late = jiffies + 100 * HZ;
	unsigned long sessions = 0, cut_off = 0, nmis = 0;
	struct task_struct *task;

	asi_test_need_cpus(test);
	memset(users, 0, sizeof(users));
	in_use = NULL;
	users_stop = false;
	KUNIT_ASSERT_EQ(test, replace_domain(0), 0);
	for (i = 0; i < nr_users; i++) {
		asi_test_on_nmi_of(i, on_user_nmi);
		init_completion(&users[i].done);
		task = kthread_run_on_cpu(user_thread, &users[i], i, "asi_user/%u");
		if (IS_ERR(task)) {
			KUNIT_FAIL(test, "no thread: %pe", task);
			complete(&users[i].done);
		}
	}
	/* On an emulated CPU that has to wait for its turn a domain can take long to make. */
	while ((time_before(jiffies, end) || rounds < 15) && time_before(jiffies, late) && !err) {
		nmis_for_users(nr_users, 20);
		err = replace_domain(nr_users);
		rounds++;
		cond_resched();
	}
	WRITE_ONCE(users_stop, true);
	for (i = 0; i < nr_users; i++) {
		KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&users[i].done, 60 * HZ), 0UL);
		asi_test_on_nmi_of(i, NULL);
		sessions += users[i].sessions;
		cut_off += users[i].cut_off;
		nmis += users[i].nmis;
		KUNIT_EXPECT_EQ(test, users[i].enter_wrong, 0UL);
		KUNIT_EXPECT_EQ(test, users[i].exit_wrong, 0UL);
		KUNIT_EXPECT_EQ(test, users[i].leaks, 0UL);
		KUNIT_EXPECT_EQ(test, users[i].blind, 0UL);
		KUNIT_EXPECT_EQ(test, users[i].nmi_wrong, 0UL);
	}
	asi_destroy(in_use);
	kunit_info(test, "%u domains, %lu sessions, %lu of them cut off, %lu NMIs", rounds,
		   sessions, cut_off, nmis);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GT(test, sessions, (unsigned long)rounds);
	KUNIT_EXPECT_GT(test, cut_off, 0UL);
	KUNIT_EXPECT_GT(test, nmis, 0UL);
}

/* ---- kprobes executes an instruction elsewhere ---- */

extern const char test_asi_probed_load[];

/* With a fixup. */
static noinline u64 probed_load(const u64 *p)
{
	u64 val = PUBLIC;

	asm volatile(".globl test_asi_probed_load\n"
		     "test_asi_probed_load:\n"
		     "1:\tmovq (%1), %0\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b) : "+r" (val) : "r" (p) : "memory");

	return val;
}

static int probe_hits;

static int on_probe(struct kprobe *p, struct pt_regs *regs)
{
	probe_hits++;

	return 0;
}

struct probed {
	u64 secret, public;
};

static void load_both(void *arg)
{
	struct probed *l = arg;

	l->secret = probed_load(asi_test_secret);
	l->public = probed_load(asi_test_public);
}

/* A fault in the copy of an instruction ends in the fixup of the original. */
static void asi_test_probed_fault(struct kunit *test)
{
	struct kprobe p = {
		.addr = (kprobe_opcode_t *)test_asi_probed_load,
		.pre_handler = on_probe,
	};
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct probed l = {};
	struct asi_test_run r = {};
	int err;

	probe_hits = 0;
	KUNIT_ASSERT_EQ(test, register_kprobe(&p), 0);
	err = asi_map(asi, p.ainsn.insn, MAX_INSN_SIZE);
	if (!err)
		asi_test_session(asi, &r, load_both, &l);
	unregister_kprobe(&p);

	KUNIT_ASSERT_EQ(test, err, 0);
	asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, probe_hits, 2);
	KUNIT_EXPECT_EQ(test, l.secret, PUBLIC);
	KUNIT_EXPECT_EQ(test, l.public, PUBLIC);
	KUNIT_EXPECT_EQ(test, r.faults, 3);
}

/* ---- what debugfs tells of CPUs that are offline ---- */

static void read_secret(void *arg)
{
	asi_test_read(asi_test_secret);
}

static unsigned int count_words(const char *line)
{
	unsigned int n = 0;

	for (; *line && *line != '\n'; line++)
		n += *line == ' ';

	return n;
}

static void asi_test_log_of_offline_cpu(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi_test_run r = {};
	char *before, *after, *stats, *line;
	char word[32];
	int cpu, err;

	asi_test_need_cpus(test);
	cpu = cpumask_last(cpu_online_mask);
	snprintf(word, sizeof(word), "cpu %d domain", cpu);
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpu)), 0);
	asi_test_session(asi, &r, read_secret, NULL);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	asi_test_expect_aborted(test, asi, &r);
	before = asi_test_debugfs(test, "asi/faults", false);

	err = remove_cpu(cpu);
	asi_test_debugfs(test, "asi/faults", true);
	after = asi_test_debugfs(test, "asi/faults", false);
	stats = asi_test_debugfs(test, "asi/stats", false);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NOT_NULL(test, strstr(before, word));
	KUNIT_EXPECT_NULL(test, strstr(after, word));
	/* Each CPU has its column, whether it is online or not, and a name. */
	KUNIT_EXPECT_EQ(test, strncmp(stats, "event cpu0 ", 11), 0);
	KUNIT_EXPECT_EQ(test, count_words(stats), num_possible_cpus());
	line = strstr(stats, "\nenter ");
	KUNIT_ASSERT_NOT_NULL(test, line);
	KUNIT_EXPECT_EQ(test, count_words(line + 1), num_possible_cpus());
}

/* Each of the two files tells which domain the other one is about, and the log remembers. */
static void asi_test_log_names_domain(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	char *domains, *faults, *later, word[64];
	struct asi_test_run r = {};

	snprintf(word, sizeof(word), "domain %s id %llu ", asi_pg_table(asi)->name, asi->id);
	asi_test_session(asi, &r, read_secret, NULL);
	asi_test_expect_aborted(test, asi, &r);
	domains = asi_test_debugfs(test, "asi/domains", false);
	faults = asi_test_debugfs(test, "asi/faults", false);
	asi_test_destroy(test, asi);
	later = asi_test_debugfs(test, "asi/faults", false);

	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(domains, word), "%sis not in %s", word, domains);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(faults, word), "%sis not in %s", word, faults);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(later, word), "%sis not in %s", word, later);
}

/* The mark of a frame is no part of CS for those who sample the registers of an interrupt. */
static void asi_test_perf_regs(struct kunit *test)
{
	struct pt_regs regs = { .csx = __KERNEL_CS };

	KUNIT_EXPECT_FALSE(test, regs_interrupted_asi(&regs));
	regs.csx |= BIT(X86_CSX_ASI_BIT);
	KUNIT_EXPECT_TRUE(test, regs_interrupted_asi(&regs));
	KUNIT_EXPECT_EQ(test, perf_reg_value(&regs, PERF_REG_X86_CS), __KERNEL_CS);
}

static struct kunit_case asi_fault_cases[] = {
	KUNIT_CASE(asi_test_destroy_nmi_in_fault),
	KUNIT_CASE_SLOW(asi_test_destroy_in_use),
	KUNIT_CASE(asi_test_probed_fault),
	KUNIT_CASE(asi_test_log_of_offline_cpu),
	KUNIT_CASE(asi_test_log_names_domain),
	KUNIT_CASE(asi_test_perf_regs),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_fault_suite = {
	.name = "asi_fault",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_fault_cases,
};

/* ---- what makes the kernel complain ---- */

static bool provoke;
module_param(provoke, bool, 0444);

/* A thread that reads what its domain lacks, and dies of that. */
static struct victim {
	struct asi *asi;
	const u64 *p;
	u64 val;
	int enter, exit;
	int state;			/* 1: about to read; 2: has come back from there */
} victim;

static int victim_thread(void *unused)
{
	int err;

	err = asi_map_task(victim.asi);
	victim.enter = err ?: asi_enter(victim.asi);
	if (!victim.enter) {
		WRITE_ONCE(victim.state, 1);
		victim.val = asi_test_read(victim.p);
		WRITE_ONCE(victim.state, 2);
		victim.exit = asi_exit(victim.asi);
	}

	return 0;
}

static u64 *kfence_object(void)
{
	int i;

	/* KFENCE takes one a millisecond. */
	for (i = 0; i < 3000; i++) {
		u64 *p = kmalloc(64, GFP_KERNEL);

		if (!p || is_kfence_address(p))
			return p;
		kfree(p);
		usleep_range(1000, 2000);
	}

	return NULL;
}

/*
 * KFENCE catches accesses to pages that it has made inaccessible.  One that only the
 * domain lacks is no business of KFENCE.
 */
static void read_kfence_object(struct kunit *test, enum asi_fault_policy policy)
{
	struct asi *asi = asi_test_domain(test, policy);
	struct task_struct *task;
	struct asi_test_run r;
	u64 *p;
	int i;

	if (!IS_ENABLED(CONFIG_KFENCE))
		kunit_skip(test, "needs CONFIG_KFENCE");

	p = kfence_object();
	if (!p)
		kunit_skip(test, "needs kfence.sample_interval=1");

	*p = SECRET;
	victim = (struct victim) { .asi = asi, .p = p };
	task = kthread_create(victim_thread, NULL, "asi_kunit_dies");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	get_task_struct(task);
	wake_up_process(task);
	for (i = 0; i < 2000 && !READ_ONCE(task->exit_state); i++)
		msleep(20);

	KUNIT_EXPECT_NE(test, READ_ONCE(task->exit_state), 0);
	put_task_struct(task);
	KUNIT_EXPECT_EQ(test, victim.enter, 0);
	KUNIT_EXPECT_EQ(test, victim.state, 1);
	KUNIT_EXPECT_EQ(test, victim.val, 0);
	KUNIT_EXPECT_EQ(test, asi_test_nr_faults, 1);
	KUNIT_EXPECT_EQ(test, asi_test_faults[0].address, (unsigned long)p);
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);

	/* All others can read the object still. */
	KUNIT_EXPECT_EQ(test, *p, SECRET);
	kfree(p);
	asi_test_session(asi, &r, NULL, NULL);
	asi_test_expect_whole(test, asi, &r);
}

static void asi_test_kfence_kill(struct kunit *test)
{
	read_kfence_object(test, ASI_FAULT_KILL);
}

static void asi_test_kfence_preserve(struct kunit *test)
{
	read_kfence_object(test, ASI_FAULT_PRESERVE);
}

static int splat_init(struct kunit *test)
{
	if (!provoke)
		kunit_skip(test, "needs test_asi_fault.provoke=1");

	return asi_test_init(test);
}

static struct kunit_case splat_asi_fault_cases[] = {
	KUNIT_CASE(asi_test_kfence_kill),
	KUNIT_CASE(asi_test_kfence_preserve),
	{}
};

static struct kunit_suite splat_asi_fault_suite = {
	.name = "splat_asi_fault",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = splat_init,
	.test_cases = splat_asi_fault_cases,
};

kunit_test_suites(&asi_fault_suite, &splat_asi_fault_suite);
