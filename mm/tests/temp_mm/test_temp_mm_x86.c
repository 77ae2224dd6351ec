// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of temporary mms on x86: what the switch does to the state of the
 * CPU, and what it gives back.
 *
 * The suite "splat_temp_mm" makes the kernel complain on purpose, and skips unless
 * test_temp_mm_x86.provoke=1 asks for it.
 */
#include <linux/delay.h>
#include <linux/hw_breakpoint.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/moduleparam.h>
#include <linux/nmi.h>
#include <linux/perf_event.h>
#include <linux/sched/mm.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/temp_root.h>
#include <asm/tlbflush.h>

#include <trace/events/tlb.h>

#include "test_temp_mm.h"

/* A fresh user mm with one page at *@addr, or where there is room if it is 0. */
struct mm_struct *temp_mm_test_user_mm(struct kunit *test, unsigned long *addr,
				       const char *text)
{
	unsigned long flags = MAP_ANONYMOUS | MAP_PRIVATE | (*addr ? MAP_FIXED : 0);
	struct mm_struct *mm = mm_alloc();
	unsigned long left = 1;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);

	kthread_use_mm(mm);
	*addr = vm_mmap(NULL, *addr, PAGE_SIZE, PROT_READ | PROT_WRITE, flags, 0);
	if (!IS_ERR_VALUE(*addr))
		left = copy_to_user((void __user *)*addr, text, strlen(text) + 1);
	/* This CPU must not keep it, lazily, or the next load of it is none. */
	preempt_disable();
	kthread_unuse_mm(mm);
	leave_mm();
	preempt_enable();
	KUNIT_ASSERT_EQ(test, left, 0);

	return mm;
}

static void temp_mm_test_lazy_tlb(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct mm_struct *before, *after;
	bool was_lazy, is_lazy, in_mask;
	unsigned long addr = 0;
	struct mm_struct *mm = temp_mm_test_user_mm(test, &addr, "user");
	int err, cpu;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));

	kthread_use_mm(mm);
	cpu = get_cpu();
	kthread_unuse_mm(mm);
	was_lazy = this_cpu_read(cpu_tlbstate_shared.is_lazy);
	before = this_cpu_read(cpu_tlbstate.loaded_mm);
	err = temp_mm_use(x->t);
	temp_mm_unuse(x->t);
	is_lazy = this_cpu_read(cpu_tlbstate_shared.is_lazy);
	after = this_cpu_read(cpu_tlbstate.loaded_mm);
	in_mask = cpumask_test_cpu(cpu, mm_cpumask(mm));
	put_cpu();

	temp_mm_unmap(x->t);
	mmput(mm);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, was_lazy);
	KUNIT_EXPECT_PTR_EQ(test, before, mm);
	KUNIT_EXPECT_FALSE(test, is_lazy);
	KUNIT_EXPECT_PTR_EQ(test, after, &init_mm);
	KUNIT_EXPECT_FALSE(test, in_mask);
}

struct unmapper {
	struct work_struct work;
	struct mm_struct *mm;
	unsigned long addr;
	int done;
};

static void unmapper_fn(struct work_struct *work)
{
	struct unmapper *u = container_of(work, struct unmapper, work);

	kthread_use_mm(u->mm);
	vm_munmap(u->addr, PAGE_SIZE);
	kthread_unuse_mm(u->mm);
	/* Pairs with temp_mm_test_wait(). */
	smp_store_release(&u->done, 1);
}

/*
 * The user mm changes on another CPU while this one is away in a window, so no
 * IPI comes here.  Back in the user mm, no stale translation may be left.
 */
static void temp_mm_test_flush_while_away(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct unmapper u = {};
	bool before, after, done;
	int err, cpu;
	char c;

	temp_mm_test_need_cpus(test);
	u.mm = temp_mm_test_user_mm(test, &u.addr, "user");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	INIT_WORK_ONSTACK(&u.work, unmapper_fn);
	migrate_disable();
	cpu = temp_mm_test_other_cpu();
	kthread_use_mm(u.mm);

	preempt_disable();
	before = !copy_from_user_nofault(&c, (void __user *)u.addr, 1);
	err = temp_mm_use(x->t);
	queue_work_on(cpu, system_highpri_wq, &u.work);
	done = temp_mm_test_wait(&u.done);
	temp_mm_unuse(x->t);
	after = !copy_from_user_nofault(&c, (void __user *)u.addr, 1);
	preempt_enable();

	flush_work(&u.work);
	destroy_work_on_stack(&u.work);
	kthread_unuse_mm(u.mm);
	temp_mm_unmap(x->t);
	mmput(u.mm);
	migrate_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, done);
	KUNIT_EXPECT_TRUE(test, before);
	KUNIT_EXPECT_FALSE(test, after);
}

/* A flush of the user mm, by another CPU, waits until the window is closed. */
static void temp_mm_test_root_flush_waits(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct unmapper u = {};
	bool before, inside, after, done;
	unsigned long cr3, flags;
	int cpu;
	char c;

	temp_mm_test_need_cpus(test);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	u.mm = temp_mm_test_user_mm(test, &u.addr, "user");
	INIT_WORK_ONSTACK(&u.work, unmapper_fn);
	migrate_disable();
	cpu = temp_mm_test_other_cpu();
	kthread_use_mm(u.mm);

	preempt_disable();
	before = !copy_from_user_nofault(&c, (void __user *)u.addr, 1);
	local_irq_save(flags);
	cr3 = use_temporary_root(x->t->cr3);
	queue_work_on(cpu, system_highpri_wq, &u.work);
	mdelay(50);
	inside = smp_load_acquire(&u.done);	/* pairs with unmapper_fn() */
	unuse_temporary_root(x->t->cr3, cr3, false);
	local_irq_restore(flags);
	done = temp_mm_test_wait(&u.done);
	after = !copy_from_user_nofault(&c, (void __user *)u.addr, 1);
	preempt_enable();

	flush_work(&u.work);
	destroy_work_on_stack(&u.work);
	kthread_unuse_mm(u.mm);
	temp_mm_unmap(x->t);
	mmput(u.mm);
	migrate_enable();

	KUNIT_EXPECT_TRUE(test, before);
	KUNIT_EXPECT_FALSE(test, inside);
	KUNIT_EXPECT_TRUE(test, done);
	KUNIT_EXPECT_FALSE(test, after);
}

/* A task with an LDT that may use RDPMC: neither is there inside, both are after. */
static void temp_mm_test_ldt_and_rdpmc(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct ldt_struct ldt = { .nr_entries = 1, .slot = 0 };
	unsigned long selector[3], pce[3], addr = 0;
	struct mm_struct *mm = temp_mm_test_user_mm(test, &addr, "user");
	int err;

	ldt.entries = (void *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ldt.entries);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	mm->context.ldt = &ldt;
	atomic_inc(&mm->context.perf_rdpmc_allowed);
	migrate_disable();
	kthread_use_mm(mm);

	preempt_disable();
	store_ldt(selector[0]);
	pce[0] = __read_cr4() & X86_CR4_PCE;
	err = temp_mm_use(x->t);
	store_ldt(selector[1]);
	pce[1] = __read_cr4() & X86_CR4_PCE;
	temp_mm_unuse(x->t);
	store_ldt(selector[2]);
	pce[2] = __read_cr4() & X86_CR4_PCE;

	/* Let go of the LDT before it goes away. */
	kthread_unuse_mm(mm);
	leave_mm();
	clear_LDT();
	preempt_enable();
	migrate_enable();
	mm->context.ldt = NULL;
	atomic_dec(&mm->context.perf_rdpmc_allowed);
	temp_mm_unmap(x->t);
	mmput(mm);
	free_page((unsigned long)ldt.entries);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, (u16)selector[0], GDT_ENTRY_LDT * 8);
	KUNIT_EXPECT_EQ(test, (u16)selector[1], 0);
	KUNIT_EXPECT_EQ(test, (u16)selector[2], GDT_ENTRY_LDT * 8);
	KUNIT_EXPECT_NE(test, pce[0], 0);
	KUNIT_EXPECT_EQ(test, pce[1], 0);
	KUNIT_EXPECT_NE(test, pce[2], 0);
}

/* Breakpoints on one variable; each hit counts. */
static u64 watched;
static int watched_hits;

static void watched_hit(struct perf_event *bp, struct perf_sample_data *data,
			struct pt_regs *regs)
{
	watched_hits++;
}

static struct perf_event *watch(int cpu, bool disabled)
{
	struct perf_event_attr attr;

	hw_breakpoint_init(&attr);
	attr.bp_addr = (unsigned long)&watched;
	attr.bp_len = HW_BREAKPOINT_LEN_8;
	attr.bp_type = HW_BREAKPOINT_W;
	attr.disabled = disabled;
	return perf_event_create_kernel_counter(&attr, cpu, NULL, watched_hit, NULL);
}

static unsigned long read_dr7(void)
{
	unsigned long dr7;

	get_debugreg(dr7, 7);
	return dr7 & DR_GLOBAL_ENABLE_MASK;
}

static void temp_mm_test_breakpoints_nested(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct temp_mm *inner = temp_mm_alloc(1, "inner");
	unsigned long dr7[5];
	struct perf_event *bp;
	int err, hits[2];

	KUNIT_ASSERT_NOT_NULL(test, inner);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(inner, x->pages, 1, TEMP_MM_PROT_RW));
	migrate_disable();
	bp = watch(smp_processor_id(), false);
	if (IS_ERR(bp)) {
		migrate_enable();
		KUNIT_FAIL_AND_ABORT(test, "no breakpoint: %pe", bp);
	}

	watched_hits = 0;
	preempt_disable();
	dr7[0] = read_dr7();
	err = temp_mm_use(x->t);
	dr7[1] = read_dr7();
	err = err ?: temp_mm_use(inner);
	dr7[2] = read_dr7();
	temp_mm_unuse(inner);
	dr7[3] = read_dr7();
	WRITE_ONCE(watched, 1);
	hits[0] = READ_ONCE(watched_hits);
	temp_mm_unuse(x->t);
	dr7[4] = read_dr7();
	WRITE_ONCE(watched, 2);
	hits[1] = READ_ONCE(watched_hits);
	preempt_enable();

	unregister_hw_breakpoint(bp);
	migrate_enable();
	temp_mm_unmap(inner);
	temp_mm_unmap(x->t);
	temp_mm_free(inner);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NE(test, dr7[0], 0);
	KUNIT_EXPECT_EQ(test, dr7[1], 0);
	KUNIT_EXPECT_EQ(test, dr7[2], 0);
	KUNIT_EXPECT_EQ(test, dr7[3], 0);
	KUNIT_EXPECT_EQ(test, dr7[4], dr7[0]);
	KUNIT_EXPECT_EQ(test, hits[0], 0);
	KUNIT_EXPECT_EQ(test, hits[1], 1);
}

static void temp_mm_test_root_breakpoints(struct kunit *test)
{
	struct temp_mm *outer = temp_mm_alloc(1, "outer");
	struct temp_mm_test *x = test->priv;
	unsigned long dr7[6];
	struct perf_event *bp;
	unsigned long cr3, inner, flags;
	int err, hits;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	KUNIT_ASSERT_NOT_NULL(test, outer);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(outer, x->pages, 1, TEMP_MM_PROT_RW));
	migrate_disable();
	bp = watch(smp_processor_id(), false);
	if (IS_ERR(bp)) {
		migrate_enable();
		KUNIT_FAIL_AND_ABORT(test, "no breakpoint: %pe", bp);
	}

	watched_hits = 0;
	preempt_disable();
	dr7[0] = read_dr7();
	local_irq_save(flags);
	cr3 = use_temporary_root(x->t->cr3);
	dr7[1] = read_dr7();
	WRITE_ONCE(watched, 1);
	unuse_temporary_root(x->t->cr3, cr3, false);
	local_irq_restore(flags);
	dr7[2] = read_dr7();
	local_irq_save(flags);
	cr3 = use_temporary_root(x->t->cr3);
	inner = use_temporary_root(outer->cr3);
	unuse_temporary_root(outer->cr3, inner, false);
	dr7[5] = read_dr7();
	unuse_temporary_root(x->t->cr3, cr3, false);
	local_irq_restore(flags);
	err = temp_mm_use(outer);
	local_irq_save(flags);
	cr3 = use_temporary_root(x->t->cr3);
	unuse_temporary_root(x->t->cr3, cr3, false);
	local_irq_restore(flags);
	dr7[3] = read_dr7();
	if (!err)
		temp_mm_unuse(outer);
	dr7[4] = read_dr7();
	hits = READ_ONCE(watched_hits);
	preempt_enable();

	unregister_hw_breakpoint(bp);
	migrate_enable();
	temp_mm_unmap(outer);
	temp_mm_free(outer);
	temp_mm_unmap(x->t);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NE(test, dr7[0], 0);
	KUNIT_EXPECT_EQ(test, dr7[1], 0);
	KUNIT_EXPECT_EQ(test, dr7[2], dr7[0]);
	KUNIT_EXPECT_EQ(test, dr7[3], 0);
	KUNIT_EXPECT_EQ(test, dr7[4], dr7[0]);
	KUNIT_EXPECT_EQ(test, dr7[5], 0);
	KUNIT_EXPECT_EQ(test, hits, 0);
}

struct watcher {
	struct work_struct work;
	struct perf_event *bp;
	int done;
};

static void watcher_fn(struct work_struct *work)
{
	struct watcher *w = container_of(work, struct watcher, work);

	perf_event_enable(w->bp);
	/* Pairs with temp_mm_test_wait(). */
	smp_store_release(&w->done, 1);
}

/*
 * A breakpoint that comes by IPI during a use with interrupts on waits for its end.
 * To create one may take a grace period, which would wait for the use to end too.
 */
static void temp_mm_test_breakpoint_installed_inside(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct watcher w = {};
	unsigned long inside, after;
	bool active, done;
	int err, cpu;

	temp_mm_test_need_cpus(test);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	INIT_WORK_ONSTACK(&w.work, watcher_fn);
	migrate_disable();
	cpu = temp_mm_test_other_cpu();
	w.bp = watch(smp_processor_id(), true);
	if (IS_ERR(w.bp)) {
		migrate_enable();
		KUNIT_FAIL_AND_ABORT(test, "no breakpoint: %pe", w.bp);
	}

	preempt_disable();
	err = temp_mm_use(x->t);
	queue_work_on(cpu, system_highpri_wq, &w.work);
	done = temp_mm_test_wait(&w.done);
	active = hw_breakpoint_active();
	inside = read_dr7();
	temp_mm_unuse(x->t);
	after = read_dr7();
	preempt_enable();

	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	temp_mm_unmap(x->t);
	unregister_hw_breakpoint(w.bp);
	migrate_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, done);
	KUNIT_EXPECT_TRUE(test, active);
	KUNIT_EXPECT_EQ(test, inside, 0);
	KUNIT_EXPECT_NE(test, after, 0);
}

/*
 * NMI code that walks a user stack, as perf does, must not take what a temporary
 * mm has in its user half for the user's, on any of the four ways to look.
 */
static struct {
	struct temp_mm *t, *open;
	unsigned long addr;	/* mapped in current->mm and in the loaded mm */
	void *object;
	long okay, copied, string, length, written, refused[3];
	int count;
} nmi;

static void look_at_user_memory(void)
{
	char buf[8];

	nmi.okay = nmi_uaccess_okay();
	nmi.copied = copy_from_user_nofault(buf, (void __user *)nmi.addr, 4);
	nmi.string = strncpy_from_user_nofault(buf, (void __user *)nmi.addr, sizeof(buf));
	nmi.length = strnlen_user_nofault((void __user *)nmi.addr, sizeof(buf));
	nmi.written = copy_to_user_nofault((void __user *)nmi.addr, "nmi", 4);
}

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	struct page *page = virt_to_page(nmi.object);
	u64 val = NEW;

	if (!nmi.t)
		return NMI_DONE;

	look_at_user_memory();
	nmi.refused[0] = temp_mm_write(nmi.t, nmi.object, &val, sizeof(val));
	nmi.refused[1] = PTR_ERR(temp_mm_map(nmi.t, &page, 1, TEMP_MM_PROT_RW));
	nmi.refused[2] = temp_mm_use(nmi.t);
	/* The window that this NMI has interrupted. */
	temp_mm_unuse(nmi.open);
	temp_mm_unmap(nmi.open);
	/* Pairs with temp_mm_test_wait(). */
	smp_store_release(&nmi.count, nmi.count + 1);
	return NMI_HANDLED;
}

static void expect_no_user_memory(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, nmi.okay, 0);
	KUNIT_EXPECT_EQ(test, nmi.copied, -EFAULT);
	KUNIT_EXPECT_EQ(test, nmi.string, -EFAULT);
	KUNIT_EXPECT_EQ(test, nmi.length, 0);
	KUNIT_EXPECT_EQ(test, nmi.written, -EFAULT);
}

static void temp_mm_test_nmi_inside(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct temp_mm *other = temp_mm_alloc(1, "nmi");
	u64 *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	struct mm_struct *mm, *loaded = NULL;
	unsigned long flags;
	bool came = false;
	int err, control;
	char buf[8];

	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, window);
	memset(&nmi, 0, sizeof(nmi));
	nmi.object = x->dmem;
	mm = temp_mm_test_user_mm(test, &nmi.addr, "user");
	err = register_nmi_handler(NMI_LOCAL, nmi_handler, NMI_FLAG_FIRST, "temp_mm");
	KUNIT_ASSERT_EQ(test, err, 0);
	kthread_use_mm(mm);

	local_irq_save(flags);
	control = copy_from_user_nofault(buf, (void __user *)nmi.addr, 5);
	err = temp_mm_use(x->t);
	if (!err) {
		nmi.open = x->t;
		nmi.t = other;
		__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);
		came = temp_mm_test_wait(&nmi.count);
		nmi.t = NULL;
		loaded = temporary_mm_loaded();
		WRITE_ONCE(window[3], NEW);
		temp_mm_unuse(x->t);
	}
	local_irq_restore(flags);

	kthread_unuse_mm(mm);
	unregister_nmi_handler(NMI_LOCAL, "temp_mm");
	temp_mm_unmap(x->t);
	temp_mm_free(other);
	mmput(mm);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, control, 0);
	KUNIT_EXPECT_TRUE(test, came);
	expect_no_user_memory(test);
	KUNIT_EXPECT_EQ(test, nmi.refused[0], -EPERM);
	KUNIT_EXPECT_EQ(test, nmi.refused[1], -EPERM);
	KUNIT_EXPECT_EQ(test, nmi.refused[2], -EPERM);
	KUNIT_EXPECT_PTR_EQ(test, loaded, x->t->mm);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[3]), NEW);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->dmem[0]), OLD);
}

/* An NMI inside has no user memory, although the user mm counts as loaded. */
static void temp_mm_test_root_nmi(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct temp_mm *other = temp_mm_alloc(1, "nmi");
	u64 *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	struct mm_struct *mm;
	bool came, okay;
	unsigned long cr3, flags;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, window);
	memset(&nmi, 0, sizeof(nmi));
	nmi.object = x->dmem;
	nmi.open = other;
	mm = temp_mm_test_user_mm(test, &nmi.addr, "user");
	err = register_nmi_handler(NMI_LOCAL, nmi_handler, NMI_FLAG_FIRST, "temp_root");
	KUNIT_ASSERT_EQ(test, err, 0);
	kthread_use_mm(mm);

	local_irq_save(flags);
	cr3 = use_temporary_root(x->t->cr3);
	nmi.t = other;
	__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);
	came = temp_mm_test_wait(&nmi.count);
	nmi.t = NULL;
	WRITE_ONCE(*window, NEW);
	unuse_temporary_root(x->t->cr3, cr3, false);
	okay = nmi_uaccess_okay();
	local_irq_restore(flags);

	kthread_unuse_mm(mm);
	unregister_nmi_handler(NMI_LOCAL, "temp_root");
	temp_mm_unmap(x->t);
	temp_mm_free(other);
	mmput(mm);

	KUNIT_EXPECT_TRUE(test, came);
	KUNIT_EXPECT_TRUE(test, okay);
	expect_no_user_memory(test);
	KUNIT_EXPECT_EQ(test, nmi.refused[0], -EPERM);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[0]), NEW);
}

/* With a temporary mm that does have something at the user's address. */
static void temp_mm_test_user_half(struct kunit *test)
{
	struct mm_struct *mm, *temp, *prev;
	char buf[8];
	long left;

	memset(&nmi, 0, sizeof(nmi));
	mm = temp_mm_test_user_mm(test, &nmi.addr, "user");
	temp = temp_mm_test_user_mm(test, &nmi.addr, "temp");
	mm_set_temporary(temp);

	kthread_use_mm(mm);
	preempt_disable();
	prev = use_temporary_mm(temp);
	look_at_user_memory();
	unuse_temporary_mm(temp, prev);
	preempt_enable();
	kthread_unuse_mm(mm);
	/* It becomes the mm of a task now, as no temporary one may, to see what it has. */
	clear_bit(MM_CONTEXT_TEMPORARY, &temp->context.flags);
	kthread_use_mm(temp);
	left = copy_from_user(buf, (void __user *)nmi.addr, 5);
	kthread_unuse_mm(temp);
	mmput(mm);
	mmput(temp);

	KUNIT_EXPECT_PTR_EQ(test, prev, mm);
	expect_no_user_memory(test);
	KUNIT_EXPECT_EQ(test, left, 0);
	KUNIT_EXPECT_STREQ(test, buf, "temp");
}

/* The root: right for NMI entry under PTI, the kernel's half shared, no other half. */
static void temp_mm_test_root(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	unsigned int i, slot = pgd_index(TEMP_MM_BASE), differ = 0, user = 0;
	pgd_t *pgd = x->t->mm->pgd;
	unsigned long cr3 = 0;
	int err;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW));
	preempt_disable();
	err = temp_mm_use(x->t);
	cr3 = __read_cr3();
	temp_mm_unuse(x->t);
	preempt_enable();

	for (i = 0; i < PTRS_PER_PGD; i++) {
		if (i < PTRS_PER_PGD / 2)
			user += !!pgd_val(pgd[i]);
		else if (i != slot)
			differ += pgd_val(pgd[i]) != pgd_val(init_mm.pgd[i]);
	}

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, cr3 & CR3_ADDR_MASK, __pa(pgd));
	if (IS_ENABLED(CONFIG_MITIGATION_PAGE_TABLE_ISOLATION))
		KUNIT_EXPECT_EQ(test, cr3 & PAGE_SIZE, 0);
	KUNIT_EXPECT_EQ(test, user, 0);
	KUNIT_EXPECT_EQ(test, differ, 0);
	KUNIT_EXPECT_EQ(test, pgd_val(init_mm.pgd[slot]), 0);
	KUNIT_EXPECT_EQ(test, pte_flags(*x->t->pte) & (_PAGE_GLOBAL | _PAGE_USER), 0);
	if (__supported_pte_mask & _PAGE_NX)
		KUNIT_EXPECT_NE(test, pte_flags(*x->t->pte) & _PAGE_NX, 0);
	temp_mm_unmap(x->t);
	KUNIT_EXPECT_TRUE(test, pte_none(*x->t->pte));
}

/*
 * Each use of a new mapping begins with a flush of what this CPU has of the mm,
 * although its PCID is the same as before.  The tracepoint tells, so that no TLB
 * is needed that really keeps its entries.
 */
struct flushes {
	struct mm_struct *mm;
	int full, none;
};

static void count_flush(void *data, int reason, unsigned long pages)
{
	struct flushes *f = data;

	/* The one of the way in comes before the mm counts as loaded. */
	if (reason != TLB_FLUSH_ON_TASK_SWITCH || read_cr3_pa() != __pa(f->mm->pgd))
		return;
	if (pages == TLB_FLUSH_ALL)
		f->full++;
	else
		f->none++;
}

static void temp_mm_test_flush_at_use(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct flushes f = { .mm = x->t->mm };
	int i, err, wrong = 0;

	err = register_trace_tlb_flush(count_flush, &f);
	for (i = 0; i < 20 && !err; i++) {
		void *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
		unsigned long flags;

		err = PTR_ERR_OR_ZERO(window);
		if (err)
			break;
		f.full = 0;
		f.none = 0;
		/* Interrupts off: no other flush of this CPU comes in between. */
		local_irq_save(flags);
		err = temp_mm_use(x->t);
		if (!err)
			temp_mm_unuse(x->t);
		wrong += f.full != 1 || f.none;
		/* The control: with PCID, the same mapping once more has no flush. */
		err = err ?: temp_mm_use(x->t);
		if (!err)
			temp_mm_unuse(x->t);
		wrong += f.none != cpu_feature_enabled(X86_FEATURE_PCID);
		local_irq_restore(flags);
		temp_mm_unmap(x->t);
	}
	unregister_trace_tlb_flush(count_flush, &f);
	tracepoint_synchronize_unregister();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, i, 20);
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

struct tearing {
	u64 *mem;
	int started, stop, done;
	atomic_t torn;
	atomic_t seen;
};

static void tearing_read(void *info)
{
	struct tearing *r = info;
	u64 last = 0;

	/* Pairs with temp_mm_test_wait(). */
	smp_store_release(&r->started, 1);
	/* Pairs with smp_store_release() in temp_mm_test_not_torn(). */
	while (!smp_load_acquire(&r->stop)) {
		u64 a = READ_ONCE(r->mem[0]);
		u32 b = READ_ONCE(*(u32 *)&r->mem[1]);
		u16 c = READ_ONCE(*(u16 *)&r->mem[2]);

		if ((a && ~a) || (b && ~b) || (c && c != 0xffff))
			atomic_inc(&r->torn);
		if (a != last)
			atomic_inc(&r->seen);
		last = a;
		cpu_relax();
	}
	/* Pairs with smp_load_acquire() in temp_mm_test_not_torn(). */
	smp_store_release(&r->done, 1);
}

/* Stores of all ones and of zeroes, seen by another CPU: all or nothing. */
static void temp_mm_test_not_torn(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct tearing r = { .mem = x->vmem };
	call_single_data_t csd;
	int i, err = 0;

	temp_mm_test_need_cpus(test);
	err += !!temp_mm_set(x->t, x->vmem, 0, 32);
	INIT_CSD(&csd, tearing_read, &r);
	/* The other CPU does nothing else until it is told to stop. */
	preempt_disable();
	smp_call_function_single_async(temp_mm_test_other_cpu(), &csd);
	temp_mm_test_wait(&r.started);
	for (i = 0; i < 500; i++) {
		u64 val = i & 1 ? 0 : ~0ULL;

		err += !!temp_mm_write(x->t, &x->vmem[0], &val, 8);
		err += !!temp_mm_write(x->t, &x->vmem[1], &val, 4);
		err += !!temp_mm_write(x->t, &x->vmem[2], &val, 2);
		cpu_relax();
	}
	/* Pairs with smp_load_acquire() in tearing_read(). */
	smp_store_release(&r.stop, 1);
	/* Pairs with smp_store_release() in tearing_read(), which uses this stack. */
	while (!smp_load_acquire(&r.done))
		cpu_relax();
	preempt_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&r.torn), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&r.seen), 2);
}

static struct kunit_case temp_mm_x86_cases[] = {
	KUNIT_CASE(temp_mm_test_lazy_tlb),
	KUNIT_CASE(temp_mm_test_flush_while_away),
	KUNIT_CASE(temp_mm_test_root_flush_waits),
	KUNIT_CASE(temp_mm_test_flush_at_use),
	KUNIT_CASE(temp_mm_test_ldt_and_rdpmc),
	KUNIT_CASE(temp_mm_test_breakpoints_nested),
	KUNIT_CASE(temp_mm_test_root_breakpoints),
	KUNIT_CASE(temp_mm_test_breakpoint_installed_inside),
	KUNIT_CASE(temp_mm_test_nmi_inside),
	KUNIT_CASE(temp_mm_test_root_nmi),
	KUNIT_CASE(temp_mm_test_user_half),
	KUNIT_CASE(temp_mm_test_root),
	KUNIT_CASE(temp_mm_test_not_torn),
	{}
};

static struct kunit_suite temp_mm_x86_suite = {
	.name = "temp_mm_x86",
	.suite_init = temp_mm_test_suite_init,
	.init = temp_mm_test_init,
	.exit = temp_mm_test_exit,
	.test_cases = temp_mm_x86_cases,
};

static bool provoke;
module_param(provoke, bool, 0444);

/*
 * To sleep in a window is reported, also if the caller has only interrupts off: whoever
 * runs this looks for "scheduling while atomic" in the log.  The case itself checks that
 * the window is closed at once, and that unuse leaves no preemption count behind.
 */
static void temp_mm_test_schedule_inside(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	void *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	struct mm_struct *inside, *after, *end;
	long left = atomic_long_read(&temp_mm_stats.left);
	int err;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, window);
	if (!provoke)
		kunit_skip(test, "needs test_temp_mm_x86.provoke=1");

	migrate_disable();
	local_irq_disable();
	err = temp_mm_use(x->t);
	inside = temporary_mm_loaded();
	__set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(2);
	local_irq_disable();
	after = temporary_mm_loaded();
	temp_mm_unuse(x->t);
	end = temporary_mm_loaded();
	local_irq_enable();
	migrate_enable();
	temp_mm_unmap(x->t);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_PTR_EQ(test, inside, x->t->mm);
	KUNIT_EXPECT_PTR_EQ(test, after, NULL);
	KUNIT_EXPECT_PTR_EQ(test, end, NULL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.left), left + 1);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
}

static struct kunit_case splat_temp_mm_cases[] = {
	KUNIT_CASE(temp_mm_test_schedule_inside),
	{}
};

static struct kunit_suite splat_temp_mm_suite = {
	.name = "splat_temp_mm",
	.init = temp_mm_test_init,
	.exit = temp_mm_test_exit,
	.test_cases = splat_temp_mm_cases,
};

kunit_test_suites(&temp_mm_x86_suite, &splat_temp_mm_suite);
