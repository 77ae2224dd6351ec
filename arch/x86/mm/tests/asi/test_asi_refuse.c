// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: what is refused, with which error and
 * which count, and that nothing changes by it.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched/task_stack.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/temp_mm.h>
#include <linux/vmalloc.h>

#include <asm/cpu_entry_area.h>
#include <asm/sections.h>
#include <asm/temp_root.h>

#include "../../../../../mm/pg_table.h"
#include "test_asi.h"

/* What a call in a domain, or in an interrupt, has come to. */
struct refused {
	struct asi *asi, *other;
	long err[4];
	long one, all;			/* counts */
	struct asi_test_look after;
	struct asi *session;
};

static long all_refused(void)
{
	long sum = 0;
	int i;

	for (i = 0; i < ASI_NR_REFUSALS; i++)
		sum += asi_refused(i);

	return sum;
}

static void enter_again(void *arg)
{
	struct refused *d = arg;

	d->one = asi_refused(ASI_BAD_STATE);
	d->all = all_refused();
	d->err[0] = asi_enter(d->asi);
	asi_test_look(&d->after, false);
	d->err[1] = asi_enter(d->other);
	d->session = current->thread.asi.asi;
	d->one = asi_refused(ASI_BAD_STATE) - d->one;
	d->all = all_refused() - d->all;
}

/* This one comes first: what is refused for the first time since boot is logged as well. */
static void asi_test_enter_twice(struct kunit *test)
{
	struct refused d = {
		.asi = asi_test_domain(test, ASI_FAULT_PRESERVE),
		.other = asi_test_domain(test, ASI_FAULT_PRESERVE),
	};
	struct asi_test_run r;

	asi_test_session(d.asi, &r, enter_again, &d);
	asi_test_expect_whole(test, d.asi, &r);
	asi_test_expect_inside(test, d.asi, &d.after, "entered again");
	KUNIT_EXPECT_EQ(test, d.err[0], -EBUSY);
	KUNIT_EXPECT_EQ(test, d.err[1], -EBUSY);
	KUNIT_EXPECT_EQ(test, d.one, 2);
	KUNIT_EXPECT_EQ(test, d.all, 2);
	KUNIT_EXPECT_PTR_EQ(test, d.session, d.asi);
	KUNIT_EXPECT_EQ(test, r.faults, 2);
	KUNIT_EXPECT_EQ(test, asi_test_users(d.asi), 1);
	KUNIT_EXPECT_EQ(test, asi_test_users(d.other), 1);
}

static void asi_test_exit_without_enter(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);

	asi_expect_refused(test, ASI_BAD_STATE, -EBUSY, asi_exit(asi));
	asi_expect_refused(test, ASI_BAD_STATE, -EBUSY, asi_exit(NULL));
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	asi_expect_refused(test, ASI_BAD_STATE, -EBUSY, asi_exit(asi));
	KUNIT_EXPECT_EQ(test, asi_test_users(asi), 1);
}

static void exit_other(void *arg)
{
	struct refused *d = arg;

	d->one = asi_refused(ASI_BAD_STATE);
	d->all = all_refused();
	d->err[0] = asi_exit(d->other);
	asi_test_look(&d->after, false);
	d->err[1] = asi_exit(NULL);
	d->session = current->thread.asi.asi;
	d->one = asi_refused(ASI_BAD_STATE) - d->one;
	d->all = all_refused() - d->all;
}

static void asi_test_exit_of_another(struct kunit *test)
{
	struct refused d = {
		.asi = asi_test_domain(test, ASI_FAULT_PRESERVE),
		.other = asi_test_domain(test, ASI_FAULT_PRESERVE),
	};
	struct asi_test_run r;

	asi_test_session(d.asi, &r, exit_other, &d);
	asi_test_expect_whole(test, d.asi, &r);
	asi_test_expect_inside(test, d.asi, &d.after, "after exit of another");
	KUNIT_EXPECT_EQ(test, d.err[0], -EBUSY);
	KUNIT_EXPECT_EQ(test, d.err[1], -EBUSY);
	KUNIT_EXPECT_EQ(test, d.one, 2);
	KUNIT_EXPECT_EQ(test, d.all, 2);
	KUNIT_EXPECT_PTR_EQ(test, d.session, d.asi);
}

static void asi_test_bad_create(struct kunit *test)
{
	struct asi_type type = { .name = "bad", .fault = ASI_NR_FAULT_POLICIES };

	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL,
			   PTR_ERR_OR_ZERO(asi_create(NULL, "kunit-bad")));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL,
			   PTR_ERR_OR_ZERO(asi_create(&type, "kunit-bad")));
	type.fault = ASI_FAULT_ABORT;
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, PTR_ERR_OR_ZERO(asi_create(&type, NULL)));
	KUNIT_EXPECT_EQ(test, type.users, 0);
	KUNIT_EXPECT_EQ(test, type.class, 0);
	/* Of nothing it is no mistake. */
	asi_destroy(NULL);
}

static void asi_test_null(struct kunit *test)
{
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_enter(NULL));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map(NULL, test, 8));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_unmap(NULL, test, 8));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_task(NULL));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_kernel(NULL));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_map_percpu(NULL, &asi_cpu, 8));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_set_pg_table(NULL, NULL));
}

/* No page of the range has got mapped, and no table was changed. */
static void expect_map_refused(struct kunit *test, struct asi *asi, unsigned long addr,
			       size_t size, const char *what)
{
	u64 generation = pg_table_generation(asi_pg_table(asi));
	unsigned long tables = asi_pg_table(asi)->nr_tables;
	struct asi_test_refusal before = asi_test_before(test, ASI_BAD_ADDRESS);

	asi_test_after(&before, -EFAULT, asi_map(asi, (void *)addr, size), what);
	before = asi_test_before(test, ASI_BAD_ADDRESS);
	if (strcmp(what, "freed") && strcmp(what, "ends in nothing"))
		asi_test_after(&before, -EFAULT, asi_unmap(asi, (void *)addr, size), what);
	KUNIT_EXPECT_EQ_MSG(test, pg_table_generation(asi_pg_table(asi)), generation, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, asi_pg_table(asi)->nr_tables, tables, "%s", what);
}

static void asi_test_bad_range(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	unsigned long secret = (unsigned long)asi_test_secret;
	struct pg_table_leaf leaf;
	void *freed;

	expect_map_refused(test, asi, 0, PAGE_SIZE, "NULL");
	expect_map_refused(test, asi, PAGE_SIZE, PAGE_SIZE, "user memory");
	expect_map_refused(test, asi, TASK_SIZE_MAX - PAGE_SIZE, PAGE_SIZE, "end of user memory");
	expect_map_refused(test, asi, TASK_SIZE_MAX, PAGE_SIZE, "hole");
	expect_map_refused(test, asi, 1UL << 63, PAGE_SIZE, "non-canonical");
	expect_map_refused(test, asi, secret, 0, "nothing");
	expect_map_refused(test, asi, secret, -secret, "to the end");
	expect_map_refused(test, asi, secret, -secret + 1, "wraps by one");
	expect_map_refused(test, asi, secret, ~0UL, "wraps");
	expect_map_refused(test, asi, secret, -(secret - PAGE_SIZE), "wraps to user memory");
	expect_map_refused(test, asi, -PAGE_SIZE, PAGE_SIZE, "last page");

	freed = vmalloc(PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, freed);
	expect_map_refused(test, asi, (unsigned long)freed, 2 * PAGE_SIZE, "ends in nothing");
	vfree(freed);
	vm_unmap_aliases();
	expect_map_refused(test, asi, (unsigned long)freed, PAGE_SIZE, "freed");

	KUNIT_EXPECT_FALSE(test, pg_table_lookup(asi_pg_table(asi), secret, &leaf));
}

/* What the entry code needs stays. */
static void asi_test_unmap_entry_set(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	unsigned long cea = (unsigned long)get_cpu_entry_area(0) & PAGE_MASK;
	u64 generation = pg_table_generation(asi_pg_table(asi));
	unsigned long addr, page;
	int cpu;

	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT, asi_unmap(asi, _text, PAGE_SIZE));
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
			   asi_unmap(asi, (void *)PAGE_ALIGN_DOWN((unsigned long)_etext - 1),
				     PAGE_SIZE));
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
			   asi_unmap(asi, __start_rodata, PAGE_SIZE));
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT, asi_unmap(asi, _text, _end - _text));
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT, asi_unmap(asi, (void *)cea, PAGE_SIZE));
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
			   asi_unmap(asi, (void *)CPU_ENTRY_AREA_RO_IDT, PAGE_SIZE));
	page = (unsigned long)__per_cpu_offset & PAGE_MASK;
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT, asi_unmap(asi, (void *)page, PAGE_SIZE));
	for_each_possible_cpu(cpu) {
		page = (unsigned long)per_cpu_ptr(&asi_cr3, cpu) & PAGE_MASK;
		asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
				   asi_unmap(asi, (void *)page, PAGE_SIZE));
		page = (unsigned long)per_cpu_ptr(&pcpu_hot, cpu) & PAGE_MASK;
		asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
				   asi_unmap(asi, (void *)page, PAGE_SIZE));
		page = (unsigned long)per_cpu_ptr(&fixed_percpu_data, cpu) & PAGE_MASK;
		asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
				   asi_unmap(asi, (void *)page, PAGE_SIZE));
	}
	KUNIT_EXPECT_EQ(test, pg_table_generation(asi_pg_table(asi)), generation);
	KUNIT_EXPECT_NULL(test, asi_missing(asi_pg_table(asi), &addr));
}

static struct {
	struct asi *asi;
	long enter, exit, exit_in, refused;
	bool restricted;
	int count;
} ctx;

static void enter_and_exit(void)
{
	long before = asi_refused(ASI_BAD_CONTEXT);

	ctx.enter = asi_enter(ctx.asi);
	if (!ctx.enter)
		asi_exit(ctx.asi);
	ctx.refused = asi_refused(ASI_BAD_CONTEXT) - before;
	ctx.exit = asi_exit(ctx.asi);
	ctx.restricted = asi_restricted();
	/* Pairs with asi_test_wait(). */
	smp_store_release(&ctx.count, ctx.count + 1);
}

static void ctx_nmi(struct pt_regs *regs)
{
	enter_and_exit();
}

static void ctx_irq(struct irq_work *work)
{
	enter_and_exit();
}

static void ctx_tasklet(struct tasklet_struct *tasklet)
{
	enter_and_exit();
}

static struct irq_work ctx_irq_work;
static struct tasklet_struct ctx_softirq;

static void raise_nmi(void *arg)
{
	asi_test_send_nmi();
	asi_test_wait(&ctx.count);
}

static void raise_irq(void *arg)
{
	irq_work_queue(&ctx_irq_work);
	asi_test_wait(&ctx.count);
}

/* In each context, with and without a session that it has interrupted. */
static void refused_in(struct kunit *test, void (*raise)(void *arg))
{
	struct asi_test_run r;
	int i;

	ctx.asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	ctx_irq_work = IRQ_WORK_INIT_HARD(ctx_irq);
	migrate_disable();
	asi_test_on_nmi(ctx_nmi);
	for (i = 0; i < 2; i++) {
		ctx.enter = 1;
		ctx.exit = 1;
		ctx.count = 0;
		if (i)
			asi_test_session(ctx.asi, &r, raise, NULL);
		else
			raise(NULL);
		KUNIT_EXPECT_EQ(test, ctx.count, 1);
		KUNIT_EXPECT_EQ(test, ctx.enter, -EPERM);
		KUNIT_EXPECT_EQ(test, ctx.refused, 1);
		KUNIT_EXPECT_EQ(test, ctx.exit, -EBUSY);
		KUNIT_EXPECT_FALSE(test, ctx.restricted);
	}
	asi_test_on_nmi(NULL);
	migrate_enable();
	irq_work_sync(&ctx_irq_work);
	asi_test_expect_whole(test, ctx.asi, &r);
	KUNIT_EXPECT_EQ(test, asi_test_users(ctx.asi), 1);
}

static void asi_test_enter_in_nmi(struct kunit *test)
{
	refused_in(test, raise_nmi);
}

static void asi_test_enter_in_irq(struct kunit *test)
{
	refused_in(test, raise_irq);
}

static void asi_test_enter_in_softirq(struct kunit *test)
{
	ctx.asi = asi_test_domain(test, ASI_FAULT_ABORT);
	ctx.count = 0;
	ctx.enter = 1;
	tasklet_setup(&ctx_softirq, ctx_tasklet);
	local_bh_disable();
	tasklet_schedule(&ctx_softirq);
	local_bh_enable();
	tasklet_kill(&ctx_softirq);
	KUNIT_EXPECT_EQ(test, ctx.count, 1);
	KUNIT_EXPECT_EQ(test, ctx.enter, -EPERM);
	KUNIT_EXPECT_EQ(test, ctx.refused, 1);
	KUNIT_EXPECT_EQ(test, ctx.exit, -EBUSY);

	/* With softirqs off it is still the task. */
	local_bh_disable();
	ctx.enter = asi_enter(ctx.asi);
	ctx.exit = asi_exit(ctx.asi);
	local_bh_enable();
	KUNIT_EXPECT_EQ(test, ctx.enter, 0);
	KUNIT_EXPECT_EQ(test, ctx.exit, 0);
}

static void asi_test_enter_with_temp_mm(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct temp_mm *t = temp_mm_alloc(1, "asi");
	struct page *page = virt_to_page(asi_test_public);
	struct mm_struct *before, *after;
	long refused, enter = 1;
	void *window;
	int err, i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	window = temp_mm_map(t, &page, 1, TEMP_MM_PROT_RW);
	KUNIT_EXPECT_FALSE(test, IS_ERR(window));
	/* The second time the domain is known to be ready. */
	for (i = 0; i < 2 && !IS_ERR(window); i++) {
		preempt_disable();
		err = temp_mm_use(t);
		before = temporary_mm_loaded();
		refused = asi_refused(ASI_BAD_CONTEXT);
		enter = asi_enter(asi);
		if (!enter)
			asi_exit(asi);
		refused = asi_refused(ASI_BAD_CONTEXT) - refused;
		after = temporary_mm_loaded();
		temp_mm_unuse(t);
		preempt_enable();

		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_EQ(test, enter, -EPERM);
		KUNIT_EXPECT_EQ(test, refused, 1);
		KUNIT_EXPECT_PTR_EQ(test, before, t->mm);
		KUNIT_EXPECT_PTR_EQ(test, after, t->mm);
		KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	}
	if (!IS_ERR(window))
		temp_mm_unmap(t);
	temp_mm_free(t);
}

/* In a window that leaves the loaded mm alone, and that was lent to this task. */
static void asi_test_enter_with_root(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct temp_mm *t = temp_mm_alloc(1, "asi");
	unsigned long flags, cr3, after;
	long refused, enter;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	/* The second time the domain is known to be ready. */
	for (i = 0; i < 2; i++) {
		local_irq_save(flags);
		cr3 = use_temporary_root(t->cr3);
		temporary_mm_lend(false, _THIS_IP_);
		refused = asi_refused(ASI_BAD_CONTEXT);
		enter = asi_enter(asi);
		if (!enter)
			asi_exit(asi);
		refused = asi_refused(ASI_BAD_CONTEXT) - refused;
		after = __read_cr3();
		temporary_mm_unlend(false);
		unuse_temporary_root(t->cr3, cr3, false);
		local_irq_restore(flags);

		KUNIT_EXPECT_EQ(test, enter, -EPERM);
		KUNIT_EXPECT_EQ(test, refused, 1);
		KUNIT_EXPECT_EQ(test, after, t->cr3);
		KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	}
	temp_mm_free(t);
}

/* A task whose stack the domain lacks. */
static int enter_stackless(void *asi)
{
	ctx.enter = asi_enter(asi);
	if (!ctx.enter)
		asi_exit(asi);
	/* Pairs with asi_test_wait(). */
	smp_store_release(&ctx.count, 1);

	return 0;
}

static void asi_test_enter_without_stack(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	void *stack = task_stack_page(current);
	struct task_struct *t;
	long before;

	before = asi_refused(ASI_BAD_TABLE);
	ctx.count = 0;
	ctx.enter = 1;
	t = kthread_run(enter_stackless, asi, "asi_kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, t);
	/* Pairs with smp_store_release() of the thread. */
	while (!smp_load_acquire(&ctx.count))
		msleep(20);
	KUNIT_EXPECT_EQ(test, ctx.enter, -ENOENT);
	KUNIT_EXPECT_EQ(test, asi_refused(ASI_BAD_TABLE) - before, 1);

	/* It was there, but is no more. */
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	KUNIT_EXPECT_EQ(test, asi_unmap(asi, stack, PAGE_SIZE), 0);
	asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT, asi_enter(asi));
	KUNIT_EXPECT_EQ(test, asi_map(asi, stack, PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
}

/* Seven types can have domains at a time. */
static void asi_test_eighth_type(struct kunit *test)
{
	static struct asi_type types[CR3_NR_CLASSES];
	static const char *const name[CR3_NR_CLASSES] = {
		"kunit-t0", "kunit-t1", "kunit-t2", "kunit-t3", "kunit-t4", "kunit-t5",
		"kunit-t6", "kunit-t7"
	};
	struct asi *asi[CR3_NR_CLASSES] = {}, *more;
	int i, k, n = 0, used = 0;
	long before, tables;

	/* Those of earlier cases are freed by and by. */
	asi_test_nothing_left(test);
	tables = atomic_long_read(&pg_table_stats.instances);
	memset(types, 0, sizeof(types));
	before = asi_refused(ASI_NO_CLASS);
	for (i = 0; i < CR3_NR_CLASSES; i++) {
		types[i].name = name[i];
		asi[i] = asi_create(&types[i], name[i]);
		if (IS_ERR(asi[i]))
			break;
		n++;
		KUNIT_EXPECT_GE(test, types[i].class, 1);
		KUNIT_EXPECT_LE(test, types[i].class, 7);
		KUNIT_EXPECT_FALSE(test, used & BIT(types[i].class));
		used |= BIT(types[i].class);
	}
	KUNIT_EXPECT_EQ(test, n, CR3_NR_CLASSES - 1);
	if (n < CR3_NR_CLASSES) {
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(asi[n]), -ENOSPC);
		KUNIT_EXPECT_EQ(test, types[n].users, 0);
	}
	KUNIT_EXPECT_EQ(test, asi_refused(ASI_NO_CLASS) - before, 1);

	/* Another domain of a type that has one needs no class. */
	more = asi_create(&types[0], "kunit-more");
	KUNIT_EXPECT_FALSE(test, IS_ERR(more));
	if (!IS_ERR(more))
		asi_destroy(more);
	for (k = 0; k < n; k++)
		asi_destroy(asi[k]);
	KUNIT_EXPECT_TRUE(test, asi_test_drained(tables));
	for (i = 0; i < CR3_NR_CLASSES; i++) {
		KUNIT_EXPECT_EQ(test, types[i].users, 0);
		KUNIT_EXPECT_EQ(test, types[i].class, 0);
	}
}

/* A table of one's own: what it has to have, once without each of these. */
struct needed {
	const char *name;
	unsigned long start, end;
};

#define NR_NEEDED	6
#define NR_PERCPU	3		/* of them, the last ones */

static struct needed needed(const char *name, const void *start, size_t size)
{
	return (struct needed) { name, (unsigned long)start, (unsigned long)start + size };
}

/* All that is needed; of the variables of CPUs, those of @cpu. */
static void fill_needed(struct needed *n, int cpu)
{
	*n++ = needed("kernel text", _text, _etext - _text);
	*n++ = needed("kernel rodata", __start_rodata, END_RODATA - __start_rodata);
	*n++ = needed("__per_cpu_offset", __per_cpu_offset, sizeof(__per_cpu_offset));
	*n++ = needed("asi_cr3", per_cpu_ptr(&asi_cr3, cpu), sizeof(asi_cr3));
	*n++ = needed("pcpu_hot", per_cpu_ptr(&pcpu_hot, cpu), sizeof(pcpu_hot));
	*n++ = needed("fixed_percpu_data", per_cpu_ptr(&fixed_percpu_data, cpu),
		      sizeof(fixed_percpu_data));
}

static int share_but(struct pg_table *pgt, const struct needed *n, unsigned int nr,
		     unsigned int without)
{
	unsigned long start, end;
	unsigned int i;
	int err = 0;

	for (i = 0; i < nr && !err; i++)
		err = pg_table_share(pgt, &kernel_pg_table, n[i].start & PAGE_MASK,
				     PAGE_ALIGN(n[i].end), PG_TABLE_LEAF);
	start = CPU_ENTRY_AREA_BASE;
	end = start + P4D_SIZE;
	if (!err && without != nr)
		err = pg_table_share(pgt, &kernel_pg_table, start, end, PG_TABLE_P4D);
	/* A page of it is enough. */
	if (!err && without < nr)
		err = pg_table_unmap(pgt, PAGE_ALIGN_DOWN(n[without].end - 1),
				     PAGE_ALIGN(n[without].end));

	return err;
}

static void asi_test_set_pg_table(struct kunit *test)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT), *old;
	long tables = atomic_long_read(&pg_table_stats.instances);
	int cpu = cpumask_last(cpu_possible_mask), i;
	const unsigned int nr = NR_NEEDED;
	struct needed n[NR_NEEDED];
	struct pg_table *pgt, *mine;
	unsigned int without;
	char name[16];

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	mine = asi_pg_table(asi);
	old = asi;
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_set_pg_table(asi, NULL));
	asi_expect_refused(test, ASI_BAD_ARG, -EINVAL, asi_set_pg_table(asi, &kernel_pg_table));
	for (without = 0; without <= nr + 1; without++) {
		int err = 0;

		snprintf(name, sizeof(name), "kunit-pgt%u", without);
		pgt = pg_table_create(name, &asi_pg_table_ops, NULL);
		KUNIT_EXPECT_FALSE(test, IS_ERR(pgt));
		if (IS_ERR(pgt))
			break;
		for_each_possible_cpu(i) {
			fill_needed(n, i);
			/* The last CPU is the one that lacks something. */
			err = err ?: share_but(pgt, n, nr, i == cpu ? without : nr + 1);
		}
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%u", without);
		if (without <= nr) {
			if (without == nr) {
				/* The area is in place, so take it out again. */
				err = pg_table_unmap(pgt, CPU_ENTRY_AREA_BASE,
						     CPU_ENTRY_AREA_BASE + P4D_SIZE);
				KUNIT_EXPECT_EQ(test, err, 0);
			}
			asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT,
					   asi_set_pg_table(asi, pgt));
			KUNIT_EXPECT_PTR_EQ(test, asi_pg_table(asi), mine);
			pg_table_free(pgt);
		} else {
			KUNIT_EXPECT_EQ(test, asi_set_pg_table(asi, pgt), 0);
			KUNIT_EXPECT_PTR_EQ(test, asi_pg_table(asi), pgt);
			KUNIT_EXPECT_EQ(test, asi->root, __pa(pgt->root));
		}
	}
	/* Its own table has been freed. */
	KUNIT_EXPECT_TRUE(test, asi_test_drained(tables));

	/* The new one works, and is the last. */
	KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	pgt = pg_table_create("kunit-pgt", &asi_pg_table_ops, NULL);
	KUNIT_EXPECT_FALSE(test, IS_ERR(pgt));
	if (!IS_ERR(pgt)) {
		asi_expect_refused(test, ASI_BAD_STATE, -EBUSY, asi_set_pg_table(asi, pgt));
		pg_table_free(pgt);
	}
	asi_destroy(old);
}

/*
 * A table with all that is needed, by copies of @src as large as they can be, per-CPU
 * memory too.
 */
static struct pg_table *own_table(struct kunit *test, const char *name, struct pg_table *src)
{
	struct pg_table *pgt = pg_table_create(name, &asi_pg_table_ops, NULL);
	struct needed n[NR_NEEDED];
	int cpu, i, err;

	KUNIT_ASSERT_FALSE(test, IS_ERR(pgt));
	err = pg_table_share(pgt, src, CPU_ENTRY_AREA_BASE, CPU_ENTRY_AREA_BASE + P4D_SIZE,
			     PG_TABLE_P4D);
	for_each_possible_cpu(cpu) {
		fill_needed(n, cpu);
		for (i = 0; i < NR_NEEDED && !err; i++) {
			bool percpu = i >= NR_NEEDED - NR_PERCPU;

			/* What is around a variable, too, so that a leaf can be large. */
			err = pg_table_share(pgt, src,
					     n[i].start & (percpu ? PMD_MASK : PAGE_MASK),
					     percpu ? ALIGN(n[i].end, PMD_SIZE) :
						      PAGE_ALIGN(n[i].end), PG_TABLE_LEAF);
		}
	}
	KUNIT_EXPECT_EQ(test, err, 0);

	return pgt;
}

/* The page of the kernel at @addr, with rights that differ from the kernel's. */
static void replace_page(struct kunit *test, struct pg_table *pgt, const void *addr,
			 pgprotval_t set, pgprotval_t clear)
{
	unsigned long page = (unsigned long)addr & PAGE_MASK;
	struct pg_table_leaf leaf;
	pgprotval_t prot;

	KUNIT_ASSERT_TRUE(test, pg_table_lookup(&kernel_pg_table, page, &leaf));
	prot = pgprot_val(leaf.prot) | set;
	/* Dirty, but not writable, is a shadow stack. */
	prot &= ~(clear | _PAGE_GLOBAL | _PAGE_DIRTY);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, page, page + PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, pg_table_map(pgt, page, PHYS_PFN(leaf.pa + (page - leaf.start)), 1,
					   __pgprot(prot)), 0);
}

/* A domain takes over no table in which the kernel's page at @addr has other rights. */
static void expect_rights(struct kunit *test, const void *addr, pgprotval_t set,
			  pgprotval_t clear, const char *what)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	struct asi_test_refusal before;
	struct pg_table *pgt;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	pgt = own_table(test, "kunit-rights", &kernel_pg_table);
	replace_page(test, pgt, addr, set, clear);
	before = asi_test_before(test, ASI_BAD_TABLE);
	asi_test_after(&before, -ENOENT, asi_set_pg_table(asi, pgt), what);
	if (asi_pg_table(asi) != pgt)
		pg_table_free(pgt);
	asi_destroy(asi);
}

/* What the entry code and the CPU write to has to be writable, and nothing else. */
static void asi_test_set_pg_table_ro(struct kunit *test)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	int cpu = cpumask_last(cpu_possible_mask), i;
	void *stack = task_stack_page(current);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	expect_rights(test, per_cpu_ptr(&pcpu_hot, cpu), 0, _PAGE_RW, "read-only pcpu_hot");
	expect_rights(test, per_cpu_ptr(&asi_cr3, 0), 0, _PAGE_RW, "read-only asi_cr3");
	expect_rights(test, (void *)CPU_ENTRY_AREA_RO_IDT, _PAGE_RW, 0, "writable IDT");

	/* The stack: to enter would be a double fault. */
	KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	for (i = 0; i < THREAD_SIZE; i += PAGE_SIZE)
		replace_page(test, asi_pg_table(asi), stack + i, 0, _PAGE_RW);
	if (asi_maps_range(asi_pg_table(asi), (unsigned long)stack,
			   (unsigned long)stack + THREAD_SIZE))
		KUNIT_FAIL(test, "a read-only stack is as good as any");
	else
		asi_expect_refused(test, ASI_BAD_TABLE, -ENOENT, asi_enter(asi));
	asi_destroy(asi);
}

/* And what the CPU executes has to be executable. */
static void asi_test_set_pg_table_nx(struct kunit *test)
{
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	struct pg_table *pgt;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	expect_rights(test, _text, _PAGE_NX, 0, "text that is not executable");
	expect_rights(test, asi_enter, _PAGE_NX, 0, "asi_enter() that is not executable");
	expect_rights(test, (void *)CPU_ENTRY_AREA_RO_IDT, 0, _PAGE_NX, "executable IDT");

	/* The right rights are not enough: a mapping of its own follows nobody. */
	pgt = own_table(test, "kunit-own", &kernel_pg_table);
	replace_page(test, pgt, per_cpu_ptr(&pcpu_hot, 0), 0, 0);
	KUNIT_EXPECT_EQ(test, asi_set_pg_table(asi, pgt), -EEXIST);
	KUNIT_EXPECT_PTR_NE(test, asi_pg_table(asi), pgt);
	KUNIT_EXPECT_PTR_EQ(test, pgt->private, asi_pg_table(asi) == pgt ? asi : NULL);
	if (asi_pg_table(asi) != pgt)
		pg_table_free(pgt);
	asi_destroy(asi);
}

/* Nobody unmaps what the entry code needs behind the back of asi_unmap(). */
static void asi_test_unmap_behind(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct asi *other = asi_test_create(ASI_FAULT_ABORT);
	atomic_long_t *pinned = &pg_table_stats.refused[PG_TABLE_PINNED];
	struct pg_table *pgt = asi_pg_table(asi), *src, *clone;
	u64 generation = pg_table_generation(pgt);
	unsigned long addr, refused = 0;
	struct needed n[NR_NEEDED];
	const char *missing;
	long before;
	int cpu, i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, other);
	before = atomic_long_read(pinned);
	for_each_possible_cpu(cpu) {
		fill_needed(n, cpu);
		for (i = 0; i < NR_NEEDED; i++) {
			addr = (n[i].end - 1) & PAGE_MASK;
			KUNIT_EXPECT_EQ_MSG(test, pg_table_unmap(pgt, addr, addr + PAGE_SIZE),
					    -EBUSY, "%s of CPU %d", n[i].name, cpu);
			refused++;
		}
	}
	addr = CPU_ENTRY_AREA_BASE;
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, addr, addr + PAGE_SIZE), -EBUSY);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, addr, addr + P4D_SIZE), -EBUSY);
	KUNIT_EXPECT_EQ(test, pg_table_unmap(pgt, pg_table_first_addr(), 0), -EBUSY);
	refused += 3;
	KUNIT_EXPECT_EQ(test, atomic_long_read(pinned) - before, refused);
	KUNIT_EXPECT_EQ(test, pg_table_generation(pgt), generation);
	missing = asi_missing(pgt, &addr);
	KUNIT_EXPECT_NULL(test, missing);

	/* Nor by way of a page table in between. */
	src = own_table(test, "kunit-src", &kernel_pg_table);
	clone = own_table(test, "kunit-clone", src);
	KUNIT_EXPECT_EQ(test, asi_set_pg_table(other, clone), -EINVAL);
	if (asi_pg_table(other) != clone)
		pg_table_free(clone);
	asi_destroy(other);
	pg_table_free(src);

	/* Nor frees all of it. */
	if (missing)
		return;
	before = atomic_long_read(pinned);
	pg_table_free(pgt);
	KUNIT_EXPECT_EQ(test, atomic_long_read(pinned) - before, 1);
	KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
}

/* The kernel breaks a leaf down, and there is no memory to do the same in the domain. */
static void asi_test_pinned_split_fails(struct kunit *test)
{
#if IS_ENABLED(CONFIG_PG_TABLE_KUNIT_TEST)
	struct asi *asi = asi_test_create(ASI_FAULT_ABORT);
	long dropped = atomic_long_read(&pg_table_stats.dropped);
	struct pg_table_leaf leaf;
	struct pg_table *pgt;
	const char *missing;
	unsigned long addr;
	int cpu, err;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, asi);
	for_each_possible_cpu(cpu) {
		addr = (unsigned long)per_cpu_ptr(&pcpu_hot, cpu) & PAGE_MASK;
		if (pg_table_lookup(&kernel_pg_table, addr, &leaf) && leaf.level > PG_LEVEL_4K)
			break;
	}
	if (cpu >= nr_cpu_ids) {
		asi_destroy(asi);
		kunit_skip(test, "no large leaf around per-CPU memory");
	}

	pgt = own_table(test, "kunit-split", &kernel_pg_table);
	KUNIT_EXPECT_TRUE(test, pg_table_lookup(pgt, addr, &leaf));
	KUNIT_EXPECT_EQ(test, leaf.level, PG_LEVEL_2M);
	KUNIT_EXPECT_EQ(test, asi_set_pg_table(asi, pgt), 0);

	pg_table_fail_alloc = -1;
	err = set_memory_4k(addr, 1);
	pg_table_fail_alloc = 0;
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, pg_table_lookup(&kernel_pg_table, addr, &leaf));
	KUNIT_EXPECT_EQ(test, leaf.level, PG_LEVEL_4K);

	missing = asi_missing(asi_pg_table(asi), &addr);
	KUNIT_EXPECT_STREQ(test, missing ?: "nothing", "nothing");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.dropped), dropped);
	if (!missing) {
		KUNIT_EXPECT_EQ(test, asi_test_populate(asi), 0);
		KUNIT_EXPECT_EQ(test, asi_test_pass(asi), 0);
	}
	asi_destroy(asi);
#else
	kunit_skip(test, "needs CONFIG_PG_TABLE_KUNIT_TEST");
#endif
}

static struct kunit_case asi_refuse_cases[] = {
	KUNIT_CASE(asi_test_enter_twice),
	KUNIT_CASE(asi_test_exit_without_enter),
	KUNIT_CASE(asi_test_exit_of_another),
	KUNIT_CASE(asi_test_bad_create),
	KUNIT_CASE(asi_test_null),
	KUNIT_CASE(asi_test_bad_range),
	KUNIT_CASE(asi_test_unmap_entry_set),
	KUNIT_CASE(asi_test_enter_in_nmi),
	KUNIT_CASE(asi_test_enter_in_irq),
	KUNIT_CASE(asi_test_enter_in_softirq),
	KUNIT_CASE(asi_test_enter_with_temp_mm),
	KUNIT_CASE(asi_test_enter_with_root),
	KUNIT_CASE(asi_test_enter_without_stack),
	KUNIT_CASE(asi_test_eighth_type),
	KUNIT_CASE(asi_test_set_pg_table),
	KUNIT_CASE(asi_test_set_pg_table_ro),
	KUNIT_CASE(asi_test_set_pg_table_nx),
	KUNIT_CASE(asi_test_unmap_behind),
	KUNIT_CASE(asi_test_pinned_split_fails),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_refuse_suite = {
	.name = "asi_refuse",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_refuse_cases,
};

kunit_test_suite(asi_refuse_suite);
