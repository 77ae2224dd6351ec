/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the rest of the kernel does about a task that leaves while it has the window
 * of a temporary mm open.  See Documentation/mm/temp_mm.rst.
 */
#ifndef _LINUX_TEMP_MM_OWNER_H
#define _LINUX_TEMP_MM_OWNER_H

/* How a task leaves its window. */
enum temp_mm_leave {
	TEMP_MM_SLEEPS,
	TEMP_MM_RETURNS,
	TEMP_MM_EXITS,
	TEMP_MM_NR_LEAVES,
};

#ifdef CONFIG_TEMP_MM

#include <linux/mm_types.h>
#include <linux/preempt.h>

#include <asm/temp_mm.h>

void temp_mm_leave(enum temp_mm_leave how);

/*
 * For do_exit() and make_task_dead().  An open window counts in preempt_count(), also in
 * a kernel where preempt_disable() counts nothing.
 */
#define temp_mm_exit()							\
do {									\
	if (unlikely(preempt_count()))					\
		temp_mm_leave(TEMP_MM_EXITS);				\
} while (0)

struct mm_struct *temp_mm_task_is_temporary(void);

/*
 * For those who load the mm of a task.  Which mm a task has is said by ordinary memory;
 * if it was made to say a temporary mm, init_mm is loaded instead.
 */
static inline struct mm_struct *temp_mm_of_task(struct mm_struct *mm)
{
	return likely(!mm_is_temporary(mm)) ? mm : temp_mm_task_is_temporary();
}

#else

/* Not even an empty function, so that this leaves no trace in its callers. */
#define temp_mm_leave(how)	((void)(how))
#define temp_mm_exit()		do { } while (0)
#define temp_mm_of_task(mm)	(mm)

#endif /* CONFIG_TEMP_MM */

#endif /* _LINUX_TEMP_MM_OWNER_H */
