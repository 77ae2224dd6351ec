// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of temporary mms: what a window gives to its CPU, what it keeps
 * from all others, and who is refused.  What is special to x86, namely the state
 * of the CPU, is in test_temp_mm_x86.c.
 *
 * State is recorded with preemption or interrupts off and judged later: an
 * assertion that fails ends the thread of the test, which must not happen inside
 * a window.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/set_memory.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>
#include <asm/tlbflush.h>
#include <asm/tsc.h>

#include "test_temp_mm.h"

bool temp_mm_test_reads(const void *addr)
{
	u64 val;

	return !copy_from_kernel_nofault(&val, addr, sizeof(val));
}

bool temp_mm_test_writes(void *addr)
{
	u64 val = ~OLD;

	return !copy_to_kernel_nofault(addr, &val, sizeof(val));
}

/* Wait for another CPU, in whatever context, for ten seconds at most. */
bool temp_mm_test_wait(const int *flag)
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

void temp_mm_test_need_cpus(struct kunit *test)
{
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
}

/* With migration off. */
int temp_mm_test_other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, smp_processor_id());
}

/* KUnit leaves skipped what has been skipped at boot, also when it is run again. */
int temp_mm_test_suite_init(struct kunit_suite *suite)
{
	struct kunit_case *c;

	kunit_suite_for_each_test_case(suite, c)
		c->status = KUNIT_SUCCESS;

	return 0;
}

int temp_mm_test_init(struct kunit *test)
{
	struct temp_mm_test *x = kunit_kzalloc(test, sizeof(*x), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, x);
	test->priv = x;
	x->t = temp_mm_alloc(TEST_PAGES, "test");
	x->vmem = vmalloc(TEST_PAGES * PAGE_SIZE);
	x->dmem = (u64 *)__get_free_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, x->t);
	KUNIT_ASSERT_NOT_NULL(test, x->vmem);
	KUNIT_ASSERT_NOT_NULL(test, x->dmem);

	memset64(x->vmem, OLD, TEST_PAGES * PAGE_SIZE / sizeof(u64));
	memset64(x->dmem, OLD, PAGE_SIZE / sizeof(u64));
	for (i = 0; i < TEST_PAGES; i++)
		x->pages[i] = vmalloc_to_page((void *)x->vmem + i * PAGE_SIZE);
	KUNIT_ASSERT_EQ(test, set_memory_ro((unsigned long)x->vmem, TEST_PAGES), 0);
	KUNIT_ASSERT_EQ(test, set_memory_ro((unsigned long)x->dmem, 1), 0);

	return 0;
}

void temp_mm_test_exit(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;

	if (!x)
		return;
	/* A case that was given up halfway. */
	if (x->t && x->t->nr_mapped && !pte_none(*x->t->pte))
		temp_mm_unmap(x->t);
	if (x->vmem)
		set_memory_rw((unsigned long)x->vmem, TEST_PAGES);
	if (x->dmem)
		set_memory_rw((unsigned long)x->dmem, 1);
	temp_mm_free(x->t);
	vfree(x->vmem);
	free_page((unsigned long)x->dmem);
}

static long refused(enum temp_mm_refusal why)
{
	return atomic_long_read(&temp_mm_stats.refused[why]);
}

static void temp_mm_test_write_lands(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u64 val = NEW;

	KUNIT_EXPECT_EQ(test, temp_mm_write(x->t, x->vmem, &val, sizeof(val)), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[0]), NEW);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[1]), OLD);

	KUNIT_EXPECT_EQ(test, temp_mm_write(x->t, x->dmem, &val, sizeof(val)), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->dmem[0]), NEW);
}

static void temp_mm_test_object_stays_readonly(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	bool before, inside, after;
	void *window;
	int err;

	before = temp_mm_test_writes(x->vmem) || temp_mm_test_writes(x->dmem);

	window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, window);
	preempt_disable();
	err = temp_mm_use(x->t);
	inside = temp_mm_test_writes(x->vmem) || temp_mm_test_writes(x->dmem);
	temp_mm_unuse(x->t);
	preempt_enable();
	temp_mm_unmap(x->t);

	after = temp_mm_test_writes(x->vmem) || temp_mm_test_writes(x->dmem);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_FALSE(test, before);
	KUNIT_EXPECT_FALSE(test, inside);
	KUNIT_EXPECT_FALSE(test, after);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[0]), OLD);
}

/* .rodata is protected only once the kernel is up: run this again from debugfs. */
static const u64 temp_mm_test_const = OLD;

static void temp_mm_test_rodata(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u64 *obj = (u64 *)&temp_mm_test_const;
	u64 val = NEW, old = OLD;

	OPTIMIZER_HIDE_VAR(obj);
	if (system_state < SYSTEM_RUNNING)
		kunit_skip(test, ".rodata is not read-only before user space runs");

	KUNIT_EXPECT_FALSE(test, temp_mm_test_writes(obj));
	KUNIT_EXPECT_EQ(test, temp_mm_write(x->t, obj, &val, sizeof(val)), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(*obj), NEW);
	KUNIT_EXPECT_FALSE(test, temp_mm_test_writes(obj));
	KUNIT_EXPECT_EQ(test, temp_mm_write(x->t, obj, &old, sizeof(old)), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(*obj), OLD);
}

/* Every length up to 24 around the border of two pages: these bytes, no others. */
static void temp_mm_test_write_sizes(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u8 *mem = (u8 *)x->vmem, *shadow, src[24];
	unsigned int at, len, bad = 0, n = 0;

	shadow = kunit_kmalloc(test, TEST_PAGES * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, shadow);
	memcpy(shadow, mem, TEST_PAGES * PAGE_SIZE);

	for (at = PAGE_SIZE - 26; at < PAGE_SIZE + 3; at++) {
		for (len = 1; len <= sizeof(src); len++) {
			memset(src, ++n, len);
			memcpy(shadow + at, src, len);
			if (temp_mm_write(x->t, mem + at, src, len) ||
			    memcmp(shadow, mem, TEST_PAGES * PAGE_SIZE))
				bad++;
		}
	}
	KUNIT_EXPECT_EQ(test, bad, 0);

	/* The longest that there is. */
	memset(shadow, 0x5a, TEST_PAGES * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, temp_mm_write(x->t, mem, shadow, TEST_PAGES * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, memcmp(shadow, mem, TEST_PAGES * PAGE_SIZE), 0);
}

static void temp_mm_test_set_lands(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u8 *mem = (u8 *)x->vmem;
	const u64 old = OLD;

	KUNIT_EXPECT_EQ(test, temp_mm_set(x->t, mem + PAGE_SIZE - 3, 0xa5, 6), 0);
	KUNIT_EXPECT_PTR_EQ(test, memchr_inv(mem + PAGE_SIZE - 3, 0xa5, 6), NULL);
	KUNIT_EXPECT_EQ(test, mem[PAGE_SIZE - 4], ((u8 *)&old)[4]);
	KUNIT_EXPECT_EQ(test, mem[PAGE_SIZE + 3], ((u8 *)&old)[3]);
}

/* What another CPU is told, and what it finds out. */
struct peer {
	void *addr;
	int ready;
	int done;
	atomic_t tries;
	atomic_t read;
	atomic_t wrote;
};

static void peer_attack(void *info)
{
	struct peer *p = info;

	if (temp_mm_test_wait(&p->ready)) {
		atomic_inc(&p->tries);
		atomic_add(temp_mm_test_reads(p->addr), &p->read);
		atomic_add(temp_mm_test_writes(p->addr), &p->wrote);
	}
	/* Pairs with temp_mm_test_wait(). */
	smp_store_release(&p->done, 1);
}

static void temp_mm_test_dead_after_unuse(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	bool inside, unused, unmapped;
	struct peer p = { .ready = 1 };
	int err;

	p.addr = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p.addr);

	preempt_disable();
	err = temp_mm_use(x->t);
	inside = temp_mm_test_reads(p.addr);
	temp_mm_unuse(x->t);
	unused = temp_mm_test_reads(p.addr) || temp_mm_test_writes(p.addr);
	preempt_enable();
	on_each_cpu_mask(cpu_online_mask, peer_attack, &p, true);
	temp_mm_unmap(x->t);
	unmapped = temp_mm_test_reads(p.addr) || temp_mm_test_writes(p.addr);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, inside);
	KUNIT_EXPECT_FALSE(test, unused);
	KUNIT_EXPECT_FALSE(test, unmapped);
	KUNIT_EXPECT_EQ(test, atomic_read(&p.tries), num_online_cpus());
	KUNIT_EXPECT_EQ(test, atomic_read(&p.read) + atomic_read(&p.wrote), 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[0]), OLD);
}

/*
 * While this CPU holds the window open and has used it, so that its page tables
 * and its TLB are hot, another one that is told the address tries to read and to
 * write it.  The control is the object itself, which the other one can read.
 */
static void temp_mm_test_hijack(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	int cpu, round, tries = 0, got_in = 0, control = 0, lost = 0, err = 0;

	temp_mm_test_need_cpus(test);
	migrate_disable();
	cpu = temp_mm_test_other_cpu();
	for (round = 0; round < 200; round++) {
		struct peer p = {}, c = { .addr = x->vmem, .ready = 1 };
		void *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
		unsigned long flags;

		if (IS_ERR(window)) {
			err = PTR_ERR(window);
			break;
		}
		p.addr = window;
		smp_call_function_single(cpu, peer_attack, &c, true);
		smp_call_function_single(cpu, peer_attack, &p, false);

		local_irq_save(flags);
		err = temp_mm_use(x->t);
		if (!err) {
			WRITE_ONCE(*(u64 *)window, NEW);
			/* Pairs with temp_mm_test_wait() in peer_attack(). */
			smp_store_release(&p.ready, 1);
			temp_mm_test_wait(&p.done);
			lost += READ_ONCE(*(u64 *)window) != NEW;
			WRITE_ONCE(*(u64 *)window, OLD);
			temp_mm_unuse(x->t);
		}
		local_irq_restore(flags);
		temp_mm_unmap(x->t);
		/* The other one has p on this stack, and gives up by itself. */
		while (!smp_load_acquire(&p.done))
			cpu_relax();
		if (err)
			break;

		tries += atomic_read(&p.tries);
		got_in += atomic_read(&p.read) + atomic_read(&p.wrote);
		control += atomic_read(&c.read) && !atomic_read(&c.wrote);
	}
	migrate_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, round, 200);
	KUNIT_EXPECT_EQ(test, control, 200);
	KUNIT_EXPECT_EQ(test, tries, 200);
	KUNIT_EXPECT_EQ(test, got_in, 0);
	KUNIT_EXPECT_EQ(test, lost, 0);
}

static void temp_mm_test_guard(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u64 *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	struct mm_struct *inside = NULL, *after;
	int refused = 0, ran = 0;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, window);

	preempt_disable();
	scoped_cond_guard(temp_mm, refused = -1, x->t) {
		inside = temporary_mm_loaded();
		WRITE_ONCE(window[1], NEW);
		/* In use already: the fail statement runs, the body does not. */
		scoped_cond_guard(temp_mm, refused = 1, x->t)
			ran = 1;
	}
	after = temporary_mm_loaded();
	preempt_enable();
	temp_mm_unmap(x->t);

	KUNIT_EXPECT_PTR_EQ(test, inside, x->t->mm);
	KUNIT_EXPECT_PTR_EQ(test, after, NULL);
	KUNIT_EXPECT_EQ(test, refused, 1);
	KUNIT_EXPECT_EQ(test, ran, 0);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[1]), NEW);
}

static void temp_mm_test_nested(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct temp_mm *inner = temp_mm_alloc(1, "inner");
	bool outer_hidden, outer_back, inner_gone;
	struct mm_struct *order[4];
	void *a, *b;
	long count;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, inner);
	a = temp_mm_map(x->t, &x->pages[0], 1, TEMP_MM_PROT_RW);
	b = temp_mm_map(inner, &x->pages[1], 1, TEMP_MM_PROT_RW);

	preempt_disable();
	err = temp_mm_use(x->t);
	order[0] = temporary_mm_loaded();
	err = err ?: temp_mm_use(inner);
	order[1] = temporary_mm_loaded();
	outer_hidden = !temp_mm_test_reads(a);

	/* The wrong one: refused, and still in the inner window. */
	count = refused(TEMP_MM_BAD_STATE);
	temp_mm_unuse(x->t);
	count = refused(TEMP_MM_BAD_STATE) - count;
	order[2] = temporary_mm_loaded();

	WRITE_ONCE(*(u64 *)b, NEW);
	temp_mm_unuse(inner);
	order[3] = temporary_mm_loaded();
	inner_gone = !temp_mm_test_reads(b);
	outer_back = temp_mm_test_reads(a);
	temp_mm_unuse(x->t);
	preempt_enable();

	temp_mm_unmap(x->t);
	temp_mm_unmap(inner);
	temp_mm_free(inner);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_PTR_EQ(test, order[0], x->t->mm);
	KUNIT_EXPECT_PTR_NE(test, order[1], x->t->mm);
	KUNIT_EXPECT_PTR_EQ(test, order[2], order[1]);
	KUNIT_EXPECT_PTR_EQ(test, order[3], x->t->mm);
	KUNIT_EXPECT_EQ(test, count, 1);
	KUNIT_EXPECT_TRUE(test, outer_hidden);
	KUNIT_EXPECT_TRUE(test, inner_gone);
	KUNIT_EXPECT_TRUE(test, outer_back);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[PAGE_SIZE / 8]), NEW);
}

/* Timer interrupts and kernel TLB flushes from inside, as EFI calls have them. */
static void temp_mm_test_interrupts_on(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u64 *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	unsigned long start = jiffies;
	bool same = true;
	int err, i;

	preempt_disable();
	err = temp_mm_use(x->t);
	if (!err) {
		for (i = 0; i < 100000 && time_before(jiffies, start + 5); i++) {
			udelay(5);
			flush_tlb_kernel_range((unsigned long)x->vmem,
					       (unsigned long)x->vmem + PAGE_SIZE);
			WRITE_ONCE(window[2], i);
			same &= READ_ONCE(x->vmem[2]) == i;
			same &= temporary_mm_loaded() == x->t->mm;
		}
		temp_mm_unuse(x->t);
	}
	preempt_enable();
	temp_mm_unmap(x->t);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, same);
	KUNIT_EXPECT_GE(test, jiffies - start, 5);
}

static void temp_mm_test_address_random(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	unsigned long any = 0, all = ~0UL, last = 0, mask = TEMP_MM_SIZE - 1;
	int i, outside = 0, same = 0, failed = 0;

	for (i = 0; i < 512; i++) {
		void *window = temp_mm_map(x->t, x->pages, TEST_PAGES, TEMP_MM_PROT_RW);
		unsigned long addr = (unsigned long)window;

		if (IS_ERR(window)) {
			failed++;
			break;
		}
		outside += addr < TEMP_MM_BASE + TEMP_MM_GUARD ||
			   addr > TEMP_MM_BASE + TEMP_MM_SIZE - TEST_PAGES * PAGE_SIZE;
		same += addr == last;
		last = addr;
		any |= addr;
		all &= addr;
		temp_mm_unmap(x->t);
	}

	/* Each bit of the page number within the slot has been 0 and 1. */
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, outside, 0);
	KUNIT_EXPECT_EQ(test, same, 0);
	KUNIT_EXPECT_EQ(test, any & mask, mask & PAGE_MASK);
	KUNIT_EXPECT_EQ(test, all & mask, 0);
}

/*
 * The address of the last use, by chance, for another page: what the TLB of this
 * CPU has of the last use must not be found.  Only a TLB that is kept over writes
 * of CR3 can get this wrong; see temp_mm_test_flush_at_use for those without one.
 */
static void temp_mm_test_no_stale_translation(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	int i, stale = 0, moved = 0, err = 0;
	void *first = NULL;

	migrate_disable();
	for (i = 0; i < 64 && !err; i++) {
		u64 *window;

		x->t->nonce = 1;
		window = temp_mm_map(x->t, &x->pages[i % 2], 1, TEMP_MM_PROT_RW);
		if (IS_ERR(window)) {
			err = PTR_ERR(window);
			break;
		}
		first = first ?: window;
		moved += window != first;
		preempt_disable();
		err = temp_mm_use(x->t);
		if (!err) {
			WRITE_ONCE(*window, i + 1);
			temp_mm_unuse(x->t);
		}
		preempt_enable();
		temp_mm_unmap(x->t);
		stale += READ_ONCE(x->vmem[(i % 2) * PAGE_SIZE / sizeof(u64)]) != i + 1;
	}
	migrate_enable();

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, moved, 0);
	KUNIT_EXPECT_EQ(test, stale, 0);
}

static void temp_mm_test_readonly_window(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	void *window = temp_mm_map(x->t, x->pages, 1, TEMP_MM_PROT_RO);
	bool read, wrote;
	int err;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, window);
	preempt_disable();
	err = temp_mm_use(x->t);
	read = temp_mm_test_reads(window);
	wrote = temp_mm_test_writes(window);
	temp_mm_unuse(x->t);
	preempt_enable();
	temp_mm_unmap(x->t);

	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, read);
	KUNIT_EXPECT_FALSE(test, wrote);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[0]), OLD);
}

static long map_error(struct temp_mm *t, struct page **pages, unsigned int n, pgprot_t prot)
{
	return PTR_ERR_OR_ZERO(temp_mm_map(t, pages, n, prot));
}

/* Each refusal: its error, its count, and not a byte changed. */
static void temp_mm_test_refuse_map(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct page *three[TEST_PAGES + 1] = { x->pages[0], x->pages[1], x->pages[0] };
	struct page *none[1] = { NULL };
	struct page *mmio[1] = { pfn_to_page(PHYS_PFN(0xfee00000)) };
	struct page *vga[1] = { pfn_to_page(PHYS_PFN(0xb8000)) };
	const struct {
		pgprotval_t set, clear;
	} bad[] = {
		{ _PAGE_GLOBAL, 0 }, { _PAGE_USER, 0 }, { 0, _PAGE_NX },
		{ _PAGE_PCD, 0 }, { _PAGE_PWT, 0 }, { PAGE_SIZE, 0 },
		{ 0, _PAGE_PRESENT }, { 0, _PAGE_RW },
	};
	pgprot_t rw = TEMP_MM_PROT_RW;
	long n;
	int i;

	n = refused(TEMP_MM_BAD_ARG);
	KUNIT_EXPECT_EQ(test, map_error(NULL, x->pages, 1, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, map_error(x->t, NULL, 1, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, map_error(x->t, x->pages, 0, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, map_error(x->t, three, TEST_PAGES + 1, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_ARG), n + 4);

	n = refused(TEMP_MM_BAD_PAGE);
	KUNIT_EXPECT_EQ(test, map_error(x->t, none, 1, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, map_error(x->t, mmio, 1, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, map_error(x->t, vga, 1, rw), -EINVAL);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_PAGE), n + 3);

	n = refused(TEMP_MM_BAD_PROT);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		pgprot_t prot = __pgprot((pgprot_val(rw) | bad[i].set) & ~bad[i].clear);

		KUNIT_EXPECT_EQ_MSG(test, map_error(x->t, x->pages, 1, prot), -EINVAL,
				    "protection %d", i);
	}
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_PROT), n + ARRAY_SIZE(bad));

	/* None of this has left anything behind. */
	KUNIT_EXPECT_TRUE(test, pte_none(*x->t->pte));
	KUNIT_ASSERT_EQ(test, map_error(x->t, x->pages, 1, rw), 0);

	n = refused(TEMP_MM_BAD_STATE);
	KUNIT_EXPECT_EQ(test, map_error(x->t, x->pages, 1, rw), -EBUSY);
	temp_mm_free(x->t);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_STATE), n + 2);
	temp_mm_unmap(x->t);
}

static void temp_mm_test_refuse_use(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct mm_struct *loaded;
	long arg, state, n;
	int err[5];

	arg = refused(TEMP_MM_BAD_ARG);
	state = refused(TEMP_MM_BAD_STATE);
	preempt_disable();
	err[0] = temp_mm_use(NULL);
	err[1] = temp_mm_use(x->t);
	temp_mm_unuse(NULL);
	temp_mm_unuse(x->t);
	preempt_enable();
	temp_mm_unmap(NULL);
	temp_mm_unmap(x->t);
	KUNIT_EXPECT_EQ(test, err[0], -EINVAL);
	KUNIT_EXPECT_EQ(test, err[1], -EBUSY);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_ARG), arg + 3);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_STATE), state + 3);

	KUNIT_ASSERT_EQ(test, map_error(x->t, x->pages, 1, TEMP_MM_PROT_RW), 0);
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT)) {
		n = refused(TEMP_MM_BAD_CONTEXT);
		KUNIT_EXPECT_EQ(test, temp_mm_use(x->t), -EPERM);
		KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_CONTEXT), n + 1);
	}

	/* In use: neither again, nor unmapped under the user. */
	preempt_disable();
	err[2] = temp_mm_use(x->t);
	err[3] = temp_mm_use(x->t);
	err[4] = map_error(x->t, x->pages, 1, TEMP_MM_PROT_RW);
	temp_mm_unmap(x->t);
	loaded = temporary_mm_loaded();
	temp_mm_unuse(x->t);
	preempt_enable();
	temp_mm_unmap(x->t);

	KUNIT_EXPECT_EQ(test, err[2], 0);
	KUNIT_EXPECT_EQ(test, err[3], -EBUSY);
	KUNIT_EXPECT_EQ(test, err[4], -EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, loaded, x->t->mm);
	KUNIT_EXPECT_TRUE(test, pte_none(*x->t->pte));
}

static void temp_mm_test_refuse_write(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	u8 *mem = (u8 *)x->vmem, src[8] = {};
	u8 *end = mem + TEST_PAGES * PAGE_SIZE;
	void *unmapped = (void *)(TEMP_MM_BASE + TEMP_MM_SIZE - PAGE_SIZE);
	void *user = (void *)PAGE_SIZE;
	void *top = (void *)-4L;
	void *hole = (void *)(__START_KERNEL_map + KERNEL_IMAGE_SIZE - PAGE_SIZE);
	int i;
	struct temp_mm *t = x->t;
	long n;

	n = refused(TEMP_MM_BAD_ARG);
	KUNIT_EXPECT_EQ(test, temp_mm_write(NULL, mem, src, 8), -EINVAL);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, src, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem + 1, mem, TEST_PAGES * PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, src, SIZE_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, temp_mm_set(t, mem, 0, SIZE_MAX - PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_ARG), n + 5);

	n = refused(TEMP_MM_BAD_ADDRESS);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, NULL, src, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, user, src, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, unmapped, src, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, top, src, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, hole, src, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, _text - PAGE_SIZE, src, 8), -EFAULT);
	/* What is behind the end is the guard page of vmalloc(). */
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, end - 4, src, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, NULL, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, user, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, end - 4, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, top, 8), -EFAULT);
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_ADDRESS), n + 11);

	/* A source of which nothing is there, for each way to copy it. */
	for (i = 1; i <= 24; i++)
		KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, unmapped, i), -EFAULT);

	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[0]), OLD);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[TEST_PAGES * PAGE_SIZE / 8 - 1]), OLD);
	KUNIT_EXPECT_EQ(test, temp_mm_write(t, mem, src, 8), 0);
}

static void temp_mm_test_refuse_alloc(struct kunit *test)
{
	long n = refused(TEMP_MM_BAD_ARG);

	KUNIT_EXPECT_NULL(test, temp_mm_alloc(0, "none"));
	KUNIT_EXPECT_NULL(test, temp_mm_alloc(TEMP_MM_MAX_PAGES + 1, "many"));
	KUNIT_EXPECT_NULL(test, temp_mm_alloc(1, NULL));
	KUNIT_EXPECT_EQ(test, refused(TEMP_MM_BAD_ARG), n + 3);
	temp_mm_free(NULL);
}

static void temp_mm_test_no_leak(struct kunit *test)
{
	long instances = atomic_long_read(&temp_mm_stats.instances);
	long bytes = atomic_long_read(&temp_mm_stats.bytes);
	struct temp_mm_test *x = test->priv;
	long one = 0;
	int i;

	for (i = 0; i < 100; i++) {
		struct temp_mm *t = temp_mm_alloc(TEMP_MM_MAX_PAGES, "leak");

		KUNIT_ASSERT_NOT_NULL(test, t);
		one = atomic_long_read(&temp_mm_stats.bytes) - bytes;
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, temp_mm_map(t, x->pages, 1, TEMP_MM_PROT_RW));
		temp_mm_unmap(t);
		temp_mm_free(t);
	}

	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.instances), instances);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.bytes), bytes);
	KUNIT_EXPECT_GT(test, one, 4 * PAGE_SIZE);
	KUNIT_EXPECT_LE(test, one, 40 * 1024);
	kunit_info(test, "one instance takes %ld bytes", one);
}

DEFINE_TEMP_MM_PERCPU(temp_mm_test_set, TEST_PAGES);

struct percpu_job {
	u64 *mem;
	atomic_t failed;
	atomic_t ran;
};

static void percpu_write(void *info)
{
	struct percpu_job *job = info;
	int cpu = get_cpu();
	u64 val = NEW + cpu;

	if (temp_mm_write(this_cpu_temp_mm(&temp_mm_test_set), &job->mem[cpu], &val, sizeof(val)))
		atomic_inc(&job->failed);
	atomic_inc(&job->ran);
	put_cpu();
}

static void temp_mm_test_percpu(struct kunit *test)
{
	long instances = atomic_long_read(&temp_mm_stats.instances);
	struct temp_mm_test *x = test->priv;
	struct percpu_job job = { .mem = x->vmem };
	int cpu, wrong = 0;

	KUNIT_ASSERT_EQ(test, temp_mm_percpu_init(&temp_mm_test_set), 0);
	KUNIT_EXPECT_EQ(test, temp_mm_percpu_init(&temp_mm_test_set), -EBUSY);
	cpus_read_lock();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.instances),
			instances + num_online_cpus());
	on_each_cpu(percpu_write, &job, true);
	for_each_online_cpu(cpu)
		wrong += READ_ONCE(x->vmem[cpu]) != NEW + cpu;
	KUNIT_EXPECT_EQ(test, atomic_read(&job.ran), num_online_cpus());
	cpus_read_unlock();
	temp_mm_percpu_exit(&temp_mm_test_set);

	KUNIT_EXPECT_EQ(test, atomic_read(&job.failed), 0);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.instances), instances);
}

/* The instance of a CPU in hard and soft interrupts that come while a task uses it. */
static struct percpu_job context_job;
static DEFINE_RAW_SPINLOCK(context_lock);

static void context_irq(struct irq_work *work)
{
	percpu_write(&context_job);
}

static void context_softirq(struct tasklet_struct *tasklet)
{
	percpu_write(&context_job);
}

static void temp_mm_test_contexts(struct kunit *test)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(context_irq);
	struct temp_mm_test *x = test->priv;
	struct tasklet_struct tasklet;
	int i;

	context_job.mem = x->vmem;
	atomic_set(&context_job.failed, 0);
	atomic_set(&context_job.ran, 0);
	tasklet_setup(&tasklet, context_softirq);
	KUNIT_ASSERT_EQ(test, temp_mm_percpu_init(&temp_mm_test_set), 0);

	for (i = 0; i < 200; i++) {
		unsigned long flags;

		raw_spin_lock_irqsave(&context_lock, flags);
		irq_work_queue(&work);
		tasklet_schedule(&tasklet);
		percpu_write(&context_job);
		raw_spin_unlock_irqrestore(&context_lock, flags);
		percpu_write(&context_job);
		irq_work_sync(&work);
	}
	tasklet_kill(&tasklet);
	temp_mm_percpu_exit(&temp_mm_test_set);

	KUNIT_EXPECT_EQ(test, atomic_read(&context_job.failed), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&context_job.ran), 3 * 200);
}

static void temp_mm_test_cpu_hotplug(struct kunit *test)
{
	long instances = atomic_long_read(&temp_mm_stats.instances);
	struct temp_mm_test *x = test->priv;
	struct percpu_job job = { .mem = x->vmem };
	int i, cpu, off = 0, on = 0;

	temp_mm_test_need_cpus(test);
	cpu = cpumask_last(cpu_online_mask);
	KUNIT_ASSERT_EQ(test, temp_mm_percpu_init(&temp_mm_test_set), 0);
	for (i = 0; i < 5; i++) {
		if (remove_cpu(cpu))
			break;
		off += !*per_cpu_ptr(temp_mm_test_set.instance, cpu);
		if (add_cpu(cpu))
			break;
		on += !smp_call_function_single(cpu, percpu_write, &job, true);
	}
	temp_mm_percpu_exit(&temp_mm_test_set);

	KUNIT_EXPECT_EQ(test, i, 5);
	KUNIT_EXPECT_EQ(test, off, 5);
	KUNIT_EXPECT_EQ(test, on, 5);
	KUNIT_EXPECT_EQ(test, atomic_read(&job.failed), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&job.ran), 5);
	KUNIT_EXPECT_EQ(test, READ_ONCE(x->vmem[cpu]), NEW + cpu);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&temp_mm_stats.instances), instances);
}

/*
 * Fail each allocation in turn.  debugfs has to be told first that allocations
 * which may sleep are to fail too, so this is for a second run from there.
 */
static void temp_mm_test_alloc_failure(struct kunit *test)
{
#ifdef CONFIG_FAULT_INJECTION
	long instances = atomic_long_read(&temp_mm_stats.instances);
	long bytes = atomic_long_read(&temp_mm_stats.bytes);
	int nth, failed = 0, left;

	for (nth = 1; nth < 200; nth++) {
		int err;

		current->fail_nth = nth;
		err = temp_mm_percpu_init(&temp_mm_test_set);
		left = current->fail_nth;
		current->fail_nth = 0;
		if (!err)
			temp_mm_percpu_exit(&temp_mm_test_set);
		else
			failed++;
		KUNIT_ASSERT_EQ(test, atomic_long_read(&temp_mm_stats.instances), instances);
		KUNIT_ASSERT_EQ(test, atomic_long_read(&temp_mm_stats.bytes), bytes);
		if (left)
			break;
	}
	if (!failed)
		kunit_skip(test, "failslab and fail_page_alloc are not set up");

	/* At least the object, the mm, the PGD and three tables. */
	KUNIT_EXPECT_GE(test, failed, 6);
	KUNIT_EXPECT_LT(test, nth, 200);
#else
	kunit_skip(test, "needs CONFIG_FAULT_INJECTION");
#endif
}

/* Windows on one CPU while another one patches the kernel's text through its own. */
static DEFINE_STATIC_KEY_FALSE(temp_mm_test_key);

static void temp_mm_test_text_poke(struct kunit *test)
{
	struct temp_mm_test *x = test->priv;
	struct percpu_job job = { .mem = x->vmem };
	int i, wrong = 0;

	KUNIT_ASSERT_EQ(test, temp_mm_percpu_init(&temp_mm_test_set), 0);
	for (i = 0; i < 40; i++) {
		if (i & 1)
			static_branch_disable(&temp_mm_test_key);
		else
			static_branch_enable(&temp_mm_test_key);
		on_each_cpu(percpu_write, &job, true);
		if (static_branch_unlikely(&temp_mm_test_key))
			wrong += i & 1;
		else
			wrong += !(i & 1);
	}
	on_each_cpu(percpu_write, &job, true);
	temp_mm_percpu_exit(&temp_mm_test_set);

	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&job.failed), 0);
}

static struct kunit_case temp_mm_cases[] = {
	KUNIT_CASE(temp_mm_test_write_lands),
	KUNIT_CASE(temp_mm_test_object_stays_readonly),
	KUNIT_CASE(temp_mm_test_rodata),
	KUNIT_CASE(temp_mm_test_write_sizes),
	KUNIT_CASE(temp_mm_test_set_lands),
	KUNIT_CASE(temp_mm_test_dead_after_unuse),
	KUNIT_CASE(temp_mm_test_hijack),
	KUNIT_CASE(temp_mm_test_guard),
	KUNIT_CASE(temp_mm_test_nested),
	KUNIT_CASE(temp_mm_test_interrupts_on),
	KUNIT_CASE(temp_mm_test_address_random),
	KUNIT_CASE(temp_mm_test_no_stale_translation),
	KUNIT_CASE(temp_mm_test_readonly_window),
	KUNIT_CASE(temp_mm_test_refuse_map),
	KUNIT_CASE(temp_mm_test_refuse_use),
	KUNIT_CASE(temp_mm_test_refuse_write),
	KUNIT_CASE(temp_mm_test_refuse_alloc),
	KUNIT_CASE(temp_mm_test_no_leak),
	KUNIT_CASE(temp_mm_test_percpu),
	KUNIT_CASE(temp_mm_test_contexts),
	KUNIT_CASE(temp_mm_test_cpu_hotplug),
	KUNIT_CASE(temp_mm_test_alloc_failure),
	KUNIT_CASE(temp_mm_test_text_poke),
	{}
};

static struct kunit_suite temp_mm_suite = {
	.name = "temp_mm",
	.suite_init = temp_mm_test_suite_init,
	.init = temp_mm_test_init,
	.exit = temp_mm_test_exit,
	.test_cases = temp_mm_cases,
};

kunit_test_suite(temp_mm_suite);
