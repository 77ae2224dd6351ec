// SPDX-License-Identifier: GPL-2.0
/*
 * The window of protected memory, and calls that are refused.
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/hardirq.h>
#include <linux/init.h>
#include <linux/panic.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/string.h>

#include "prmem_window.h"

#define CREATE_TRACE_POINTS
#include <trace/events/prmem.h>

DEFINE_STATIC_KEY_FALSE(prmem_ready);
bool prmem_unprotected __ro_after_init;
struct prmem_stats prmem_stats;
static bool prmem_panic __ro_after_init;

/*
 * The page table with the window, as use_temporary_root() wants it.  One for all CPUs: a
 * CPU that does not have it in CR3 has no access to the window, and a CPU that loads it
 * flushes what its TLB has of it.
 */
unsigned long prmem_cr3 __ro_after_init;

/* The error, a word for debugfs, a line for the log. */
static const struct {
	int err;
	const char *word;
	const char *line;
} prmem_refusals[] = {
	[PRMEM_BAD_ARG] = { -EINVAL, "argument", "NULL, or a number out of range" },
	[PRMEM_BAD_RANGE] = { -EINVAL, "range", "not within one object" },
	[PRMEM_BAD_ALIGN] = { -EINVAL, "alignment", "not aligned to its size" },
	[PRMEM_BAD_ADDRESS] = { -EFAULT, "address", "no protected memory at this address" },
	[PRMEM_BAD_SOURCE] = { -EFAULT, "source", "source is no kernel memory" },
	[PRMEM_BAD_OWNER] = { -EINVAL, "owner", "no such cache or pool" },
	[PRMEM_WRONG_CACHE] = { -EPERM, "cache", "object of another cache" },
	[PRMEM_FREED] = { -EINVAL, "freed", "object is not allocated" },
	[PRMEM_SEALED] = { -EPERM, "sealed", "object is sealed" },
	[PRMEM_READ_ONLY] = { -EPERM, "read_only", "pool is read-only for ever" },
	[PRMEM_OPEN] = { -EPERM, "open", "pool is not protected yet" },
	[PRMEM_BAD_CONTEXT] = { -EPERM, "context", "in an NMI, or before there are windows" },
	[PRMEM_NO_BATCH] = { -EPERM, "no_batch", "no batch to end or to relax" },
	[PRMEM_IRQS_ON] = { -EPERM, "interrupts", "interrupts are on in a batch" },
	[PRMEM_BAD_LIST] = { -EINVAL, "list", "links of a list do not match" },
	[PRMEM_BUSY] = { -EBUSY, "busy", "objects are left" },
	[PRMEM_MAPPED] = { -EINVAL, "map", "protected pages are to be mapped writable" },
	[PRMEM_LET_GO] = { -EINVAL, "free", "protected pages are to be freed or unmapped" },
};

static_assert(ARRAY_SIZE(prmem_refusals) == PRMEM_NR_REFUSALS);

/* One limit for each kind, so that many lines of one kind do not suppress another. */
static struct ratelimit_state prmem_warned[PRMEM_NR_REFUSALS] = {
	[0 ... PRMEM_NR_REFUSALS - 1] = RATELIMIT_STATE_INIT(prmem_warned[0],
							     DEFAULT_RATELIMIT_INTERVAL,
							     DEFAULT_RATELIMIT_BURST),
};

/* Count a refusal, log it with its caller at a limited rate, and return the error. */
noinline __cold int prmem_refuse(enum prmem_refusal why, const void *addr,
				 unsigned long caller)
{
	atomic_long_inc(&prmem_stats.refused[why]);
	trace_prmem_refuse(prmem_refusals[why].word, addr, caller);
	if (prmem_panic)
		panic("prmem: %s; caller is %pS", prmem_refusals[why].line, (void *)caller);

	/* The caller may hold a lock that the console takes. */
	if (__ratelimit(&prmem_warned[why]))
		printk_deferred(pr_fmt("%s; %s, caller is %pS\n"), prmem_refusals[why].line,
				why == PRMEM_IRQS_ON ? "off again" : "refused", (void *)caller);

	return prmem_refusals[why].err;
}

const char *prmem_refusal_word(enum prmem_refusal why)
{
	return prmem_refusals[why].word;
}

static int __init prmem_param(char *arg)
{
	if (arg && !strcmp(arg, "off"))
		prmem_unprotected = true;
	else if (arg && !strcmp(arg, "panic"))
		prmem_panic = true;
	else
		pr_warn("unknown option prmem=%s: off and panic are known\n", arg ?: "");

	return 0;
}
early_param("prmem", prmem_param);

int prmem_open(struct prmem_window *w)
{
	return __prmem_open(w) ? 0 : -EPERM;
}

void prmem_close(struct prmem_window *w)
{
	__prmem_close(w, false);
}

/*
 * Close the window of a batch, which began with @tlb_gen.  What CR3 was before the batch is
 * in ordinary memory.  There is always something to go back to, so if that is 0, it was
 * overwritten.
 */
void prmem_close_batch(struct prmem_window *w, u64 tlb_gen)
{
	if (unlikely(!w->prev))
		w->prev = prmem_cr3;
	__prmem_close(w, tlb_gen != prmem_tlb_gen());
}
