/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of asi tests share.
 *
 * Nothing is judged in a domain: a failed expectation allocates and prints, and
 * a failed assertion ends the thread.  What happens there is written down in
 * memory that the domain maps, which is the stack, static variables, and
 * asi_test_public, and is judged later.
 */
#ifndef _LIB_TEST_ASI_H
#define _LIB_TEST_ASI_H

#include <kunit/test.h>
#include <linux/asi.h>
#include <linux/preempt.h>
#include <linux/types.h>

#include "../../asi.h"

struct hrtimer;

#define SECRET	0x5ec2e75ec2e75ec2ULL
#define PUBLIC	0x0b1e55ed0b1e55edULL

/* CR3, and what explains it. */
struct asi_test_look {
	unsigned long cr3;
	unsigned long domain;		/* asi_cr3.domain */
	struct mm_struct *mm;		/* the loaded one */
	int preempt;
	int cpu;
	bool restricted;
	bool secret;			/* can be read; only if looked for */
	bool frame;			/* the frame is one that goes back to a domain */
	int count;			/* how often looked, or 0 */
	int missed;			/* alarms that have hit something else than a domain */
};

/* A session with one event in it. */
struct asi_test_run {
	struct asi_test_look before, inside, later, after;
	int enter, exit;
	bool early, late;		/* the secret could be read in the domain */
	bool irqs_off;			/* after the event */
	long faults;
};

/* A fault, as the tracepoint tells it. */
struct asi_test_fault {
	unsigned long ip;
	unsigned long address;
	unsigned long error_code;
	unsigned int policy;
	const char *domain;
};

#define ASI_TEST_FAULTS	64

extern u64 *asi_test_secret;
extern u64 *asi_test_public;
extern struct asi_test_fault asi_test_faults[ASI_TEST_FAULTS];
extern int asi_test_nr_faults;
extern const char asi_test_read_insn[], asi_test_write_insn[];

int asi_test_suite_init(struct kunit_suite *suite);
void asi_test_suite_exit(struct kunit_suite *suite);
int asi_test_init(struct kunit *test);
void asi_test_nothing_left(struct kunit *test);

struct asi *asi_test_create(enum asi_fault_policy policy);
int asi_test_populate(struct asi *asi);
struct asi *asi_test_domain(struct kunit *test, enum asi_fault_policy policy);
void asi_test_destroy(struct kunit *test, struct asi *asi);

void asi_test_look(struct asi_test_look *l, bool secret);
void asi_test_seen(struct asi_test_look *l, struct pt_regs *regs);
bool asi_test_again(struct asi_test_look *l, struct hrtimer *timer, struct pt_regs *regs);
u64 asi_test_read(const u64 *p);
void asi_test_write(u64 *p, u64 val);
bool asi_test_reads(const void *p);
bool asi_test_is_inside(void);
bool asi_test_wait(const int *flag);
void asi_test_need_cpus(struct kunit *test);
int asi_test_other_cpu(void);
long asi_test_count(enum asi_count what);
int asi_test_users(struct asi *asi);
bool asi_test_drained(long tables);
char *asi_test_debugfs(struct kunit *test, const char *name, bool write);

void asi_test_session(struct asi *asi, struct asi_test_run *r, void (*event)(void *), void *arg);
int asi_test_pass(struct asi *asi);
void asi_test_expect_inside(struct kunit *test, struct asi *asi, const struct asi_test_look *l,
			    const char *what);
void asi_test_expect_outside(struct kunit *test, const struct asi_test_look *l, const char *what);
void asi_test_expect_handler(struct kunit *test, const struct asi_test_look *l, bool frame,
			     int count, const char *what);
void asi_test_expect_whole(struct kunit *test, struct asi *asi, const struct asi_test_run *r);
void asi_test_expect_aborted(struct kunit *test, struct asi *asi, const struct asi_test_run *r);

/* NMIs: the function runs in the NMI of this CPU, until it is NULL again. */
typedef void (*asi_test_nmi_fn)(struct pt_regs *regs);
void asi_test_on_nmi(asi_test_nmi_fn fn);
void asi_test_on_nmi_of(int cpu, asi_test_nmi_fn fn);
void asi_test_send_nmi(void);

/* The counters before what is to be refused. */
struct asi_test_refusal {
	struct kunit *test;
	enum asi_refusal why;
	long one, all;
	unsigned long cr3;
	struct asi *asi;
	int preempt;
};

struct asi_test_refusal asi_test_before(struct kunit *test, enum asi_refusal why);
void asi_test_after(const struct asi_test_refusal *before, long error, long err,
		    const char *what);

/* This one returns @error, is counted as @why, and as nothing else. */
#define asi_expect_refused(test, why, error, expr)			\
do {									\
	struct asi_test_refusal __before = asi_test_before(test, why);	\
									\
	asi_test_after(&__before, error, (long)(expr), #expr);		\
} while (0)

/* Code in assembly of the tests. */
extern const char test_asi_int3[], test_asi_int3_end[], asi_random_int3_end[];

#endif /* _LIB_TEST_ASI_H */
