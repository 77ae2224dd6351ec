// SPDX-License-Identifier: GPL-2.0
/*
 * The list of all domains, its mutex, and calls that are refused.
 */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/printk.h>

#include "asi.h"

/*
 * Protects asi_domains, asi_types[] with the class and the users of each type, and the
 * lists of tasks that domains map: @tasks of struct asi and @mapped of struct
 * asi_session.
 */
DEFINE_MUTEX(asi_mutex);
LIST_HEAD(asi_domains);

/* The error, a word for debugfs, a line for the log. */
static const struct {
	int err;
	const char *word;
	const char *line;
} asi_refusal_text[] = {
	[ASI_BAD_ARG] = {
		-EINVAL, "argument", "NULL, or an argument out of range"
	},
	[ASI_BAD_ADDRESS] = {
		-EFAULT, "address", "not kernel memory, or a range that wraps"
	},
	[ASI_BAD_CONTEXT] = {
		-EPERM, "context", "not in this context, or with this mm loaded"
	},
	[ASI_BAD_STATE] = {
		-EBUSY, "state", "no session of this domain, or one already"
	},
	[ASI_BAD_TABLE] = {
		-ENOENT, "table", "the page table lacks what the entry code needs"
	},
	[ASI_NO_CLASS] = {
		-ENOSPC, "class", "all classes are taken by other types"
	},
};

static_assert(ARRAY_SIZE(asi_refusal_text) == ASI_NR_REFUSALS);

atomic_long_t asi_refusals[ASI_NR_REFUSALS];

/*
 * Count, name the caller once for each kind of mistake, and return the error.
 * A wrong argument is no reason to stop the machine, so this is no WARN().
 */
noinline __cold int asi_refuse(const struct asi *asi, enum asi_refusal why,
			       unsigned long caller)
{
	static unsigned long warned;

	atomic_long_inc(&asi_refusals[why]);
	if (!test_and_set_bit(why, &warned))
		pr_warn("%s: %s; refused, caller is %pS\n",
			asi ? asi->pgt->name : "(null)", asi_refusal_text[why].line,
			(void *)caller);

	return asi_refusal_text[why].err;
}

const char *asi_refusal_word(enum asi_refusal why)
{
	return asi_refusal_text[why].word;
}

/**
 * asi_refused - how often calls were refused
 * @why: for this reason
 *
 * Context: Any.
 *
 * Return: the number since boot.
 */
long asi_refused(enum asi_refusal why)
{
	return atomic_long_read(&asi_refusals[why]);
}
