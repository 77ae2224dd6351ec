// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of address space isolation: the kernel writes to what is
 * read-only, and calls the firmware, in the middle of a session.
 */
#include <linux/efi.h>
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/prmem.h>
#include <linux/sched.h>
#include <linux/temp_mm.h>
#include <linux/temp_mm_owner.h>
#include <linux/vmalloc.h>

#include <asm/tlbflush.h>

#include "test_asi.h"

static DEFINE_STATIC_KEY_FALSE(test_asi_key);

struct writing {
	struct temp_mm *t;
	u64 *ro;
	int key[2], err[2], ret;
};

static void flip_key(void *arg)
{
	struct writing *w = arg;

	static_branch_enable(&test_asi_key);
	w->key[0] = static_branch_unlikely(&test_asi_key) ? 1 : 0;
	static_branch_disable(&test_asi_key);
	w->key[1] = static_branch_unlikely(&test_asi_key) ? 1 : 0;
}

/*
 * The log tells what to add to a domain: after each session that a fault has ended,
 * map what has faulted, until none is.
 */
static int learn(struct asi *asi, struct asi_test_run *r, void (*op)(void *), void *arg, int max)
{
	int i, err;

	for (i = 0; i < max; i++) {
		asi_test_nr_faults = 0;
		asi_test_session(asi, r, op, arg);
		if (r->exit != -EFAULT || !asi_test_nr_faults)
			break;
		err = asi_map(asi, (void *)asi_test_faults[0].address, 1);
		if (err)
			return err;
	}

	return i;
}

static void asi_test_text_poke(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct writing w = { .key = { -1, -1 } };
	struct asi_test_run r;
	int n;

	/* Whatever becomes of the session, the text is right. */
	asi_test_session(asi, &r, flip_key, &w);
	KUNIT_EXPECT_EQ(test, r.enter, 0);
	asi_test_expect_outside(test, &r.after, "after");
	KUNIT_EXPECT_EQ(test, w.key[0], 1);
	KUNIT_EXPECT_EQ(test, w.key[1], 0);

	w.key[0] = -1;
	w.key[1] = -1;
	n = learn(asi, &r, flip_key, &w, 200);
	kunit_info(test, "to flip a key in a domain takes %d more pages", n);
	KUNIT_EXPECT_GE(test, n, 0);
	KUNIT_EXPECT_EQ(test, w.key[0], 1);
	KUNIT_EXPECT_EQ(test, w.key[1], 0);
	asi_test_expect_whole(test, asi, &r);
}

static void flip_key_suspended(void *arg)
{
	bool restricted = asi_suspend();

	flip_key(arg);
	asi_resume(restricted);
}

static void asi_test_text_poke_suspended(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct writing w = { .key = { -1, -1 } };
	struct asi_test_run r;
	int i;

	for (i = 0; i < 5; i++) {
		asi_test_session(asi, &r, flip_key_suspended, &w);
		asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_EQ(test, w.key[0], 1);
		KUNIT_EXPECT_EQ(test, w.key[1], 0);
	}
}

static void write_read_only(void *arg)
{
	struct writing *w = arg;
	u64 val = PUBLIC;

	w->err[0] = temp_mm_write(w->t, w->ro, &val, sizeof(val));
	w->err[1] = temp_mm_set(w->t, w->ro + 1, 0x5a, 8);
}

/* A window opens and closes, on a domain that lacks what that needs. */
static void asi_test_temp_mm_write(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct writing w = {};
	struct asi_test_run r;
	int i;

	w.t = temp_mm_alloc(1, "asi");
	w.ro = (u64 *)get_zeroed_page(GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, w.t);
	KUNIT_EXPECT_NOT_NULL(test, w.ro);
	for (i = 0; i < 5 && w.t && w.ro; i++) {
		memset(w.ro, 0, 16);
		memset(w.err, -1, sizeof(w.err));
		asi_test_session(asi, &r, write_read_only, &w);
		asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_EQ(test, w.err[0], 0);
		KUNIT_EXPECT_EQ(test, w.err[1], 0);
		KUNIT_EXPECT_EQ(test, w.ro[0], PUBLIC);
		KUNIT_EXPECT_EQ(test, w.ro[1], 0x5a5a5a5a5a5a5a5aULL);
	}
	temp_mm_free(w.t);
	free_page((unsigned long)w.ro);
}

struct windows {
	struct asi_test_look look[4];
	struct mm_struct *mm[3];
};

static void open_windows(void *arg)
{
	struct mm_struct *prev[2];
	struct windows *w = arg;

	preempt_disable();
	prev[0] = use_temporary_mm(w->mm[0]);
	asi_test_look(&w->look[0], false);
	prev[1] = use_temporary_mm(w->mm[1]);
	asi_test_look(&w->look[1], false);
	unuse_temporary_mm(w->mm[1], prev[1]);
	asi_test_look(&w->look[2], false);
	unuse_temporary_mm(w->mm[0], prev[0]);
	asi_test_look(&w->look[3], false);
	preempt_enable();
}

/* use_temporary_mm() itself, nested: only the last to close goes back to the domain. */
static void asi_test_temporary_mm(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct temp_mm *t[2] = { temp_mm_alloc(1, "outer"), temp_mm_alloc(1, "inner") };
	struct windows w = {};
	struct asi_test_run r;
	int i, n;

	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_NOT_NULL(test, t[i]);
		w.mm[i] = t[i] ? t[i]->mm : NULL;
	}
	if (t[0] && t[1]) {
		/* It looks at the mms before it leaves the domain. */
		n = learn(asi, &r, open_windows, &w, 40);
		KUNIT_EXPECT_GE(test, n, 0);
		memset(w.look, 0, sizeof(w.look));
		asi_test_session(asi, &r, open_windows, &w);
		asi_test_expect_whole(test, asi, &r);
		for (i = 0; i < 3; i++) {
			asi_test_expect_outside(test, &w.look[i], "in a window");
			KUNIT_EXPECT_PTR_EQ(test, w.look[i].mm, w.mm[i & 1]);
			KUNIT_EXPECT_EQ(test, w.look[i].preempt, r.before.preempt + 2 + (i & 1));
		}
		asi_test_expect_inside(test, asi, &w.look[3], "closed");
	}
	temp_mm_free(t[0]);
	temp_mm_free(t[1]);
}

static void fault_and_sleep_in_window(void *arg)
{
	struct temp_mm *t = arg;
	int count;

	asi_test_read(asi_test_secret);
	preempt_disable();
	count = preempt_count();
	use_temporary_mm(t->mm);
	/* As __schedule() does it, which then sets the preemption count right. */
	temp_mm_leave(TEMP_MM_SLEEPS);
	preempt_count_set(count);
	preempt_enable();
}

/* What has ended a session first is what asi_exit() tells. */
static void asi_test_first_error(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_ABORT);
	struct temp_mm *t = temp_mm_alloc(1, "asi");
	struct asi_test_run r;

	KUNIT_ASSERT_NOT_NULL(test, t);
	asi_test_session(asi, &r, fault_and_sleep_in_window, t);
	asi_test_expect_aborted(test, asi, &r);
	temp_mm_free(t);
}

static void efi_call(void *arg)
{
#ifdef CONFIG_EFI
	struct writing *w = arg;
	efi_time_t tm;

	w->ret = efi.get_time(&tm, NULL) == EFI_SUCCESS;
#endif
}

static void asi_test_efi(struct kunit *test)
{
	struct asi *asi;
	struct writing w = {};
	struct asi_test_run r;

	if (!efi_enabled(EFI_RUNTIME_SERVICES))
		kunit_skip(test, "needs EFI runtime services");

	asi = asi_test_domain(test, ASI_FAULT_ABORT);
	asi_test_session(asi, &r, efi_call, &w);
	KUNIT_EXPECT_EQ(test, r.enter, 0);
	if (r.exit)
		asi_test_expect_aborted(test, asi, &r);
	else
		asi_test_expect_whole(test, asi, &r);
	KUNIT_EXPECT_EQ(test, w.ret, 1);
}

static __wr_after_init u64 protected;

static void write_protected(void *arg)
{
	struct writing *w = arg;

	w->ret = wr_assign(protected, PUBLIC);
}

/* The domain also lacks the metadata of what is protected. */
static void asi_test_wr_assign(struct kunit *test)
{
	struct asi *asi = asi_test_domain(test, ASI_FAULT_PRESERVE);
	struct asi_test_run r;
	struct writing w;
	int i;

	for (i = 0; i < 5; i++) {
		w.ret = -1;
		asi_test_session(asi, &r, write_protected, &w);
		asi_test_expect_whole(test, asi, &r);
		KUNIT_EXPECT_EQ(test, w.ret, 0);
		KUNIT_EXPECT_EQ(test, protected, PUBLIC);
		KUNIT_EXPECT_EQ(test, wr_assign(protected, 0), 0);
	}
}

static struct kunit_case asi_write_cases[] = {
	KUNIT_CASE(asi_test_text_poke),
	KUNIT_CASE(asi_test_text_poke_suspended),
	KUNIT_CASE(asi_test_temp_mm_write),
	KUNIT_CASE(asi_test_temporary_mm),
	KUNIT_CASE(asi_test_first_error),
	KUNIT_CASE(asi_test_efi),
	KUNIT_CASE(asi_test_wr_assign),
	KUNIT_CASE(asi_test_nothing_left),
	{}
};

static struct kunit_suite asi_write_suite = {
	.name = "asi_write",
	.suite_init = asi_test_suite_init,
	.suite_exit = asi_test_suite_exit,
	.init = asi_test_init,
	.test_cases = asi_write_cases,
};

kunit_test_suites(&asi_write_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of address space isolation, writes");
