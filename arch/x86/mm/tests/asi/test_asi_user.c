// SPDX-License-Identifier: GPL-2.0
/*
 * A domain that a program can drive, for tests of address space isolation.
 *
 * Each open file of debugfs' asi_test/domain is a domain of its own.  What is
 * written to it is the name of a sequence, which runs in the context of the
 * writer; what is read is what came of the last one, a "NAME VALUE" a line.  All
 * values of CR3 are as the processor gives them; to judge is up to the program.
 */
#include <linux/asi.h>
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/init.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/pg_table.h>
#include <linux/sched.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <asm/apic.h>
#include <asm/fixmap.h>
#include <asm/special_insns.h>

#include "../../asi.h"

#undef pr_fmt
#define pr_fmt(fmt) "asi_test: " fmt

#define SECRET		0x5ec2e75ec2e75ec2ULL
#define PING_PONGS	20
/* For what takes no time, unless it never comes. */
#define PATIENCE	(60 * HZ)

/* CR3 and the session, as something that runs finds them. */
struct seen {
	unsigned long cr3;
	bool restricted;
	unsigned int count;
};

/* One page, which the domain maps: all that a sequence needs there, but for its stack. */
struct shared {
	struct asi *asi;
	unsigned long root;
	struct task_struct *task;
	struct seen before, inside, later, after;
	struct seen irq, nmi, thread;
	/* The CPU that the interrupt is for, and that it may come. */
	int cpu;
	int ready;
	bool irq_sends_nmi;
	/* 1: the task has the ball, and sleeps. */
	int ball;
	bool migrate;
	unsigned int migrations;
	int enter, exit;
	u64 value;
};

static_assert(sizeof(struct shared) <= PAGE_SIZE);

/* What many rounds of many tasks have come to. */
struct load {
	atomic_long_t rounds, faults, sleeps, nmis, moves, mismatches;
};

struct asi_user {
	struct mutex lock;	/* for all but the load */
	struct shared *s;
	u64 *secret;
	struct load load;
	char text[1024];
	size_t len;
};

DEFINE_ASI_TYPE(asi_test_user, ASI_FAULT_ABORT);

/* A domain lives on for a while when its file is closed, and so does its name. */
static atomic_t last_name = ATOMIC_INIT(-1);

/* For whom this CPU expects an NMI. */
static DEFINE_PER_CPU(struct seen *, expected_nmi);

static __always_inline void look(struct seen *seen)
{
	seen->cr3 = __read_cr3();
	seen->restricted = asi_restricted();
	WRITE_ONCE(seen->count, seen->count + 1);
}

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	struct seen *seen = this_cpu_read(expected_nmi);

	if (!seen)
		return NMI_DONE;

	this_cpu_write(expected_nmi, NULL);
	look(seen);

	return NMI_HANDLED;
}

/* Nothing here may touch what a domain does not map. */
static noinline bool wait_for(unsigned int *count)
{
	unsigned long end = jiffies + PATIENCE, loops;

	/* With interrupts off, time may stand still. */
	for (loops = 0; loops < 1UL << 30; loops++) {
		if (READ_ONCE(*count))
			return true;
		if (time_after(jiffies, end))
			break;
		cpu_relax();
	}

	return false;
}

/* To this CPU; the caller does not migrate. */
static noinline bool self_nmi(struct seen *seen)
{
	seen->count = 0;
	this_cpu_write(expected_nmi, seen);
	__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);

	return wait_for(&seen->count);
}

/* ---- the sequences: what runs in the domain, after what was prepared outside ---- */

static noinline void asi_user_nop(struct shared *s)
{
}

static noinline void asi_user_printk(struct shared *s)
{
	pr_info("a line from a domain, CR3 is %lx\n", __read_cr3());
}

static noinline void asi_user_read_secret(struct shared *s)
{
	/* The address comes from the shared page. */
	s->value = READ_ONCE(*(u64 *)s->value);
}

static noinline void asi_user_interrupt(struct shared *s)
{
	smp_store_release(&s->ready, 1);	/* pairs with send_interrupt() */
	wait_for(&s->irq.count);
}

static noinline void asi_user_nmi(struct shared *s)
{
	self_nmi(&s->nmi);
}

static noinline void asi_user_schedule(struct shared *s)
{
	int i;

	for (i = 0; i < PING_PONGS; i++) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		smp_store_release(&s->ball, 1);	/* pairs with pong() */
		while (READ_ONCE(s->ball)) {
			schedule();
			set_current_state(TASK_UNINTERRUPTIBLE);
		}
		__set_current_state(TASK_RUNNING);
		s->migrations += s->cpu != raw_smp_processor_id();
		s->cpu = raw_smp_processor_id();
	}
}

/* ---- what meets the domain from outside ---- */

static void on_interrupt(void *arg)
{
	struct shared *s = arg;

	if (s->irq_sends_nmi)
		self_nmi(&s->nmi);
	look(&s->irq);
}

struct sender {
	struct work_struct work;
	struct shared *s;
};

static void send_interrupt(struct work_struct *work)
{
	struct sender *sender = container_of(work, struct sender, work);
	unsigned long end = jiffies + PATIENCE;

	/* Pairs with asi_user_interrupt(). */
	while (!smp_load_acquire(&sender->s->ready)) {
		if (time_after(jiffies, end))
			return;
		cond_resched();
	}
	smp_call_function_single(sender->s->cpu, on_interrupt, sender->s, true);
}

struct ring {
	struct hrtimer timer;
	struct shared *s;
};

static enum hrtimer_restart on_ring(struct hrtimer *timer)
{
	on_interrupt(container_of(timer, struct ring, timer)->s);

	return HRTIMER_NORESTART;
}

/* The other player; it moves the task to another CPU while that sleeps. */
static int pong(void *arg)
{
	struct shared *s = arg;
	int cpu = s->cpu;

	while (!kthread_should_stop()) {
		/* Pairs with asi_user_schedule(). */
		if (!smp_load_acquire(&s->ball)) {
			schedule_timeout_idle(1);
			continue;
		}
		look(&s->thread);
		if (s->migrate) {
			cpu = cpumask_next(cpu, cpu_online_mask);
			if (cpu >= nr_cpu_ids)
				cpu = cpumask_first(cpu_online_mask);
			set_cpus_allowed_ptr(s->task, cpumask_of(cpu));
		}
		WRITE_ONCE(s->ball, 0);
		wake_up_process(s->task);
	}

	return 0;
}

/* ---- one sequence ---- */

static void run(struct asi_user *u, void (*inside)(struct shared *s))
{
	struct shared *s = u->s;

	look(&s->before);
	s->enter = asi_enter(s->asi);
	if (!s->enter) {
		look(&s->inside);
		inside(s);
		look(&s->later);
		s->exit = asi_exit(s->asi);
	}
	look(&s->after);
}

static int run_nop(struct asi_user *u)
{
	run(u, asi_user_nop);

	return 0;
}

static int run_printk(struct asi_user *u)
{
	run(u, asi_user_printk);

	return 0;
}

static int run_mem(struct asi_user *u)
{
	u->s->value = (unsigned long)u->secret;
	run(u, asi_user_read_secret);

	return 0;
}

static int run_memmap(struct asi_user *u)
{
	int err = asi_map(u->s->asi, u->secret, PAGE_SIZE);

	if (err)
		return err;
	run_mem(u);

	return asi_unmap(u->s->asi, u->secret, PAGE_SIZE);
}

static int run_interrupt(struct asi_user *u)
{
	struct shared *s = u->s;
	struct sender sender = { .s = s };
	struct ring ring = { .s = s };
	int other;

	migrate_disable();
	cpus_read_lock();
	s->cpu = smp_processor_id();
	other = cpumask_any_but(cpu_online_mask, s->cpu);
	if (other < nr_cpu_ids) {
		INIT_WORK_ONSTACK(&sender.work, send_interrupt);
		schedule_work_on(other, &sender.work);
	} else {
		hrtimer_init_on_stack(&ring.timer, CLOCK_MONOTONIC,
				      HRTIMER_MODE_REL_PINNED_HARD);
		ring.timer.function = on_ring;
		hrtimer_start(&ring.timer, ms_to_ktime(5), HRTIMER_MODE_REL_PINNED_HARD);
	}
	run(u, asi_user_interrupt);
	if (other < nr_cpu_ids) {
		flush_work(&sender.work);
		destroy_work_on_stack(&sender.work);
	} else {
		hrtimer_cancel(&ring.timer);
		destroy_hrtimer_on_stack(&ring.timer);
	}
	cpus_read_unlock();
	migrate_enable();

	return 0;
}

static int run_intrnmi(struct asi_user *u)
{
	u->s->irq_sends_nmi = true;

	return run_interrupt(u);
}

static int run_nmi(struct asi_user *u)
{
	migrate_disable();
	run(u, asi_user_nmi);
	this_cpu_write(expected_nmi, NULL);
	migrate_enable();

	return 0;
}

static int ping_pong(struct asi_user *u, bool migrate)
{
	struct task_struct *thread;
	cpumask_var_t mask;

	if (!alloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	cpumask_copy(mask, current->cpus_ptr);
	u->s->cpu = raw_smp_processor_id();
	u->s->task = current;
	u->s->migrate = migrate;
	thread = kthread_run(pong, u->s, "asi_test_pong");
	if (IS_ERR(thread)) {
		free_cpumask_var(mask);
		return PTR_ERR(thread);
	}
	run(u, asi_user_schedule);
	kthread_stop(thread);
	set_cpus_allowed_ptr(current, mask);
	free_cpumask_var(mask);

	return 0;
}

static int run_sched(struct asi_user *u)
{
	return ping_pong(u, false);
}

static int run_migrate(struct asi_user *u)
{
	return ping_pong(u, true);
}

static const struct {
	const char *name;
	int (*run)(struct asi_user *u);
} sequences[] = {
	{ "nop", run_nop },
	{ "printk", run_printk },
	{ "mem", run_mem },
	{ "memmap", run_memmap },
	{ "interrupt", run_interrupt },
	{ "nmi", run_nmi },
	{ "intrnmi", run_intrnmi },
	{ "sched", run_sched },
	{ "migrate", run_migrate },
};

/* ---- load: many rounds, by as many tasks as there are ---- */

#define LOAD_STEPS	64
#define MAX_ROUNDS	1000000

/* Of a call; the totals are in struct load. */
struct tally {
	unsigned long sleeps, nmis, moves;
	struct seen nmi;
};

static __always_inline bool is_inside(const struct shared *s)
{
	return (__read_cr3() & CR3_ADDR_MASK) == s->root;
}

/*
 * CR3 is the domain's from asi_enter() on, until a fault ends the session for good;
 * asi_exit() tells.  Returns 0 if it was so, -EFAULT if it was, with a fault, and
 * -EINVAL if it was not.
 */
static noinline int load_round(struct shared *s, struct tally *tally, unsigned int round)
{
	bool ended = false, good = true, inside;
	int err, cpu = raw_smp_processor_id();
	unsigned long flags;
	unsigned int i;

	err = asi_enter(s->asi);
	if (err)
		return err;

	for (i = 0; i < LOAD_STEPS; i++) {
		inside = is_inside(s);
		good &= !(ended && inside);
		ended |= !inside;
		if (i % 16 == 0 && round % 4 == 0) {
			schedule();
			tally->sleeps++;
		}
		if (i % 32 == 1 && round % 8 == 1) {
			raw_local_irq_save(flags);
			inside = is_inside(s);
			/* What throws it out meanwhile is a fault, of which asi_exit() tells. */
			good &= self_nmi(&tally->nmi) && !tally->nmi.restricted &&
				(inside || !is_inside(s));
			raw_local_irq_restore(flags);
			tally->nmis++;
		}
		if (cpu != raw_smp_processor_id()) {
			cpu = raw_smp_processor_id();
			tally->moves++;
		}
		cpu_relax();
	}
	err = asi_exit(s->asi);
	/* Where all functions are traced, it may be the call of asi_exit() that ends it. */
	if (!good || (ended && !err))
		return -EINVAL;

	return err;
}

static int run_load(struct asi_user *u, unsigned int rounds)
{
	struct tally tally = { };
	unsigned int i;
	int err;

	for (i = 0; i < rounds; i++) {
		err = load_round(u->s, &tally, i);
		if (err == -EFAULT)
			atomic_long_inc(&u->load.faults);
		else if (err)
			atomic_long_inc(&u->load.mismatches);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	atomic_long_add(i, &u->load.rounds);
	atomic_long_add(tally.sleeps, &u->load.sleeps);
	atomic_long_add(tally.nmis, &u->load.nmis);
	atomic_long_add(tally.moves, &u->load.moves);

	return 0;
}

/* ---- files ---- */

static void report_seen(struct seq_buf *b, const char *name, const struct seen *seen)
{
	if (seen->count)
		seq_buf_printf(b, "%s %#lx\n%s_restricted %d\n", name, seen->cr3, name,
			       seen->restricted);
}

static void report(struct asi_user *u, const char *name)
{
	struct shared *s = u->s;
	struct seq_buf b;

	seq_buf_init(&b, u->text, sizeof(u->text));
	seq_buf_printf(&b, "sequence %s\nroot %#lx\nenter %d\nexit %d\n", name, s->root, s->enter,
		       s->exit);
	report_seen(&b, "before", &s->before);
	report_seen(&b, "inside", &s->inside);
	report_seen(&b, "irq", &s->irq);
	report_seen(&b, "nmi", &s->nmi);
	report_seen(&b, "thread", &s->thread);
	report_seen(&b, "later", &s->later);
	report_seen(&b, "after", &s->after);
	seq_buf_printf(&b, "sleeps %u\nmigrations %u\nsecret_is_at %#lx\nsecret_read %d\n",
		       s->thread.count, s->migrations, (unsigned long)u->secret,
		       s->value == SECRET);
	u->len = seq_buf_used(&b);
}

static void report_load(struct asi_user *u)
{
	struct load *l = &u->load;
	struct seq_buf b;

	seq_buf_init(&b, u->text, sizeof(u->text));
	seq_buf_printf(&b, "rounds %ld\nfaults %ld\nmismatches %ld\n",
		       atomic_long_read(&l->rounds), atomic_long_read(&l->faults),
		       atomic_long_read(&l->mismatches));
	seq_buf_printf(&b, "sleeps %ld\nnmis %ld\nmoves %ld\n",
		       atomic_long_read(&l->sleeps), atomic_long_read(&l->nmis),
		       atomic_long_read(&l->moves));
	u->len = seq_buf_used(&b);
}

static int run_sequence(struct asi_user *u, const char *name)
{
	struct asi *asi = u->s->asi;
	unsigned long root = u->s->root;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(sequences); i++) {
		if (strcmp(name, sequences[i].name))
			continue;
		guard(mutex)(&u->lock);
		memset(u->s, 0, sizeof(*u->s));
		u->s->asi = asi;
		u->s->root = root;
		u->len = 0;
		err = sequences[i].run(u);
		if (!err)
			report(u, name);
		return err;
	}

	return -ENOENT;
}

static ssize_t user_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	struct asi_user *u = file->private_data;
	unsigned int rounds;
	char buf[32];
	int err;

	if (len >= sizeof(buf) || copy_from_user(buf, ubuf, len))
		return -EINVAL;
	buf[len] = 0;

	err = asi_map_task(u->s->asi);
	if (err)
		return err;
	/* "load ROUNDS": no lock, so that the domain has many tasks at a time. */
	if (sscanf(buf, "load %u", &rounds) == 1)
		err = rounds <= MAX_ROUNDS ? run_load(u, rounds) : -EINVAL;
	else
		err = run_sequence(u, strim(buf));

	return err ?: len;
}

/* From the beginning each time, without a need to seek. */
static ssize_t user_read(struct file *file, char __user *ubuf, size_t len, loff_t *pos)
{
	struct asi_user *u = file->private_data;

	guard(mutex)(&u->lock);
	if (atomic_long_read(&u->load.rounds))
		report_load(u);

	return simple_read_from_buffer(ubuf, len, pos, u->text, u->len);
}

static void free_user(struct asi_user *u)
{
	if (u->s)
		asi_destroy(u->s->asi);
	free_page((unsigned long)u->s);
	free_page((unsigned long)u->secret);
	kfree(u);
}

static int build_domain(struct asi_user *u)
{
	unsigned long fixmap = APIC_BASE & PMD_MASK;
	char name[PG_TABLE_NAME_LEN];
	struct asi *asi;
	int err;

	snprintf(name, sizeof(name), "asi_test-%u", (unsigned int)atomic_inc_return(&last_name));
	asi = asi_create(&asi_test_user, name);
	if (IS_ERR(asi))
		return PTR_ERR(asi);
	u->s->asi = asi;
	u->s->root = virt_to_phys(asi_pg_table(asi)->root);

	err = asi_map_kernel(asi);
	if (!err)
		err = asi_map(asi, u->s, PAGE_SIZE);
	/* For self_nmi(): the APIC is in the fixmap, which can be shared but not copied. */
	if (!err)
		err = pg_table_share(asi_pg_table(asi), &kernel_pg_table, fixmap,
				     fixmap + PMD_SIZE, PG_TABLE_PMD);

	return err;
}

static int user_open(struct inode *inode, struct file *file)
{
	struct asi_user *u = kzalloc(sizeof(*u), GFP_KERNEL);
	int err = -ENOMEM;

	if (!u)
		return err;
	mutex_init(&u->lock);
	u->s = (void *)get_zeroed_page(GFP_KERNEL);
	u->secret = (void *)get_zeroed_page(GFP_KERNEL);
	if (u->s && u->secret) {
		*u->secret = SECRET;
		err = build_domain(u);
	}
	if (err)
		free_user(u);
	file->private_data = u;

	return err;
}

static int user_release(struct inode *inode, struct file *file)
{
	free_user(file->private_data);

	return 0;
}

static const struct file_operations user_fops = {
	.owner = THIS_MODULE,
	.open = user_open,
	.read = user_read,
	.write = user_write,
	.release = user_release,
	.llseek = default_llseek,
};

static int __init test_asi_user_init(void)
{
	int err;

	err = register_nmi_handler(NMI_LOCAL, nmi_handler, NMI_FLAG_FIRST, "asi_test");
	if (err)
		return err;
	debugfs_create_file("domain", 0600, debugfs_create_dir("asi_test", NULL), NULL, &user_fops);

	return 0;
}
late_initcall(test_asi_user_init);
