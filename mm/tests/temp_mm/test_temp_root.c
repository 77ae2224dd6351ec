// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of windows for which only CR3 changes: what use_temporary_root() leaves as it
 * is, what the TLB may keep, and what others find who come in between.
 */
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/temp_mm_owner.h>
#include <linux/vmalloc.h>

#include <asm/desc.h>
#include <asm/temp_root.h>
#include <asm/tlbflush.h>

#include "test_temp_mm.h"

/* The page table of a window, for use_temporary_root(): one page, at a fixed address. */
struct root {
	struct temp_mm *t;
	u64 *window;
	unsigned long cr3, prev, flags;
};

static void root_init(struct kunit *test, struct root *r)
{
	struct temp_mm_test *x = test->priv;

	r->t = x->t;
	r->cr3 = x->t->cr3;
	r->window = temp_mm_map(r->t, x->pages, 1, TEMP_MM_PROT_RW);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, r->window);
}

static void root_begin(struct root *r)
{
	local_irq_save(r->flags);
	r->prev = use_temporary_root(r->cr3);
}

static void root_end(struct root *r)
{
	unuse_temporary_root(r->cr3, r->prev, false);
	local_irq_restore(r->flags);
}

/* What CPU and task say of themselves. */
struct look {
	struct mm_struct *loaded;
	unsigned long cr3;
	int count;
	bool lazy, marked;
};

static void root_look(struct look *l, struct mm_struct *mm)
{
	l->cr3 = __read_cr3();
	l->loaded = this_cpu_read(cpu_tlbstate.loaded_mm);
	l->lazy = this_cpu_read(cpu_tlbstate_shared.is_lazy);
	l->marked = cpumask_test_cpu(smp_processor_id(), mm_cpumask(mm));
	l->count = preempt_count();
}

/* Only CR3 is another one inside, and after that nothing is; also if an mm is held lazily. */
static void temp_root_test_state(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	unsigned long addr = 0;
	struct mm_struct *mm = temp_mm_test_user_mm(test, &addr, "user");
	struct look l[3];
	struct root r;
	bool inside;
	int i, k;

	root_init(test, &r);
	for (i = 0; i < 2; i++) {
		kthread_use_mm(mm);
		preempt_disable();
		if (i)
			kthread_unuse_mm(mm);
		root_look(&l[0], mm);
		root_begin(&r);
		root_look(&l[1], mm);
		inside = temporary_root_loaded();
		WRITE_ONCE(*r.window, NEW + i);
		root_end(&r);
		root_look(&l[2], mm);
		preempt_enable();
		if (!i)
			kthread_unuse_mm(mm);

		KUNIT_EXPECT_EQ(test, l[1].cr3, r.cr3);
		KUNIT_EXPECT_EQ(test, l[2].cr3, l[0].cr3);
		KUNIT_EXPECT_EQ(test, l[1].count, l[0].count + 1);
		KUNIT_EXPECT_EQ(test, l[2].count, l[0].count);
		for (k = 0; k < 3; k++) {
			KUNIT_EXPECT_PTR_EQ(test, l[k].loaded, mm);
			KUNIT_EXPECT_EQ(test, l[k].lazy, i);
			KUNIT_EXPECT_TRUE(test, l[k].marked);
		}
		KUNIT_EXPECT_TRUE(test, inside);
		KUNIT_EXPECT_FALSE(test, temporary_root_loaded());
	}
	temp_mm_unmap(r.t);
	mmput(mm);
	KUNIT_EXPECT_EQ(test, x->vmem[0], NEW + 1);
}

/* Nothing that the TLB has of a window is used in the next one, though nobody flushes. */
static void temp_root_test_fresh(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	u64 first, second;
	struct root r;

	KUNIT_ASSERT_NOT_NULL(test, page);
	root_init(test, &r);
	root_begin(&r);
	first = READ_ONCE(*r.window);
	root_end(&r);
	set_pte(r.t->pte, mk_pte(page, TEMP_MM_PROT_RW));
	root_begin(&r);
	second = READ_ONCE(*r.window);
	root_end(&r);
	temp_mm_unmap(r.t);
	__free_page(page);

	KUNIT_EXPECT_EQ(test, first, OLD);
	KUNIT_EXPECT_EQ(test, second, 0);
}

/*
 * What an NMI flushes inside, as that of a firmware error does for its fixmap, is flushed
 * outside as well.
 */
static void temp_root_test_flush_inside(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct page *page = alloc_page(GFP_KERNEL);
	unsigned long flags;
	u64 before, after, *view;
	unsigned int level;
	struct root r;
	pte_t *pte;

	KUNIT_ASSERT_NOT_NULL(test, page);
	root_init(test, &r);
	view = vmap(x->pages, 1, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, view);
	pte = lookup_address((unsigned long)view, &level);
	*(u64 *)page_address(page) = NEW;

	local_irq_save(flags);
	before = READ_ONCE(*view);
	root_begin(&r);
	set_pte(pte, mk_pte(page, PAGE_KERNEL));
	flush_tlb_one_kernel((unsigned long)view);
	root_end(&r);
	after = READ_ONCE(*view);
	local_irq_restore(flags);

	set_pte(pte, mk_pte(x->pages[0], PAGE_KERNEL));
	vunmap(view);
	vm_unmap_aliases();
	temp_mm_unmap(r.t);
	__free_page(page);

	KUNIT_EXPECT_EQ(test, before, OLD);
	KUNIT_EXPECT_EQ(test, after, NEW);
}

/* Who loads an mm inside, as pstore does after an oops, ends the window for good. */
static void temp_root_test_mm_inside(struct kunit *test)
{
	struct temp_mm *inner = temp_mm_alloc(1, "inner");
	long left = atomic_long_read(&temp_mm_stats.left);
	unsigned long addr = 0, count[2], root;
	struct mm_struct *prev, *mm;
	struct root r;
	bool inside;
	int refused;

	root_init(test, &r);
	KUNIT_ASSERT_NOT_NULL(test, inner);
	mm = temp_mm_test_user_mm(test, &addr, "user");
	/* Held lazily, so that what is loaded in the end is another one than before. */
	kthread_use_mm(mm);
	preempt_disable();
	kthread_unuse_mm(mm);

	count[0] = preempt_count();
	root_begin(&r);
	temporary_mm_lend(false, _THIS_IP_);
	refused = temp_mm_use(r.t);
	prev = use_temporary_mm_irqs_off(inner->mm);
	inside = temporary_mm_loaded() == inner->mm;
	unuse_temporary_mm_irqs_off(inner->mm, prev);
	root_end(&r);
	root = read_cr3_pa();
	count[1] = preempt_count();
	preempt_enable();

	temp_mm_unmap(r.t);
	temp_mm_free(inner);

	KUNIT_EXPECT_EQ(test, refused, -EPERM);
	KUNIT_EXPECT_PTR_EQ(test, prev, &init_mm);
	KUNIT_EXPECT_TRUE(test, inside);
	KUNIT_EXPECT_EQ(test, root, __pa_symbol(swapper_pg_dir));
	KUNIT_EXPECT_EQ(test, count[1], count[0]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.left), left + 1);
	mmput(mm);
}

/* A kernel thread that holds an mm with an LDT sleeps in a window. */
static void temp_root_test_left(struct kunit *test)
{
	struct ldt_struct ldt = { .nr_entries = 1, .slot = 0 };
	unsigned long addr = 0, count, root, selector[2];
	struct mm_struct *mm = temp_mm_test_user_mm(test, &addr, "user");
	struct root r;

	root_init(test, &r);
	ldt.entries = (void *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ldt.entries);
	mm->context.ldt = &ldt;
	kthread_use_mm(mm);
	preempt_disable();
	kthread_unuse_mm(mm);
	store_ldt(selector[0]);
	count = preempt_count();
	root_begin(&r);
	temp_mm_leave(TEMP_MM_SLEEPS);
	preempt_count_set(count);
	store_ldt(selector[1]);
	root = read_cr3_pa();
	local_irq_restore(r.flags);
	preempt_enable();
	mm->context.ldt = NULL;
	temp_mm_unmap(r.t);
	mmput(mm);
	free_page((unsigned long)ldt.entries);

	KUNIT_EXPECT_EQ(test, (u16)selector[0], GDT_ENTRY_LDT * 8);
	KUNIT_EXPECT_EQ(test, (u16)selector[1], 0);
	KUNIT_EXPECT_EQ(test, root, __pa_symbol(swapper_pg_dir));
}

static struct kunit_case temp_mm_root_cases[] = {
	KUNIT_CASE(temp_root_test_state),
	KUNIT_CASE(temp_root_test_fresh),
	KUNIT_CASE(temp_root_test_flush_inside),
	KUNIT_CASE(temp_root_test_mm_inside),
	KUNIT_CASE(temp_root_test_left),
	{}
};

static struct kunit_suite temp_mm_root_suite = {
	.name = "temp_mm_root",
	.suite_init = temp_mm_test_suite_init,
	.init = temp_mm_test_init,
	.exit = temp_mm_test_exit,
	.test_cases = temp_mm_root_cases,
};

kunit_test_suite(temp_mm_root_suite);
