/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Address space isolation: run a part of the kernel on a page table that lacks
 * what this part has no business with.  See Documentation/arch/x86/asi.rst.
 */
#ifndef _LINUX_ASI_H
#define _LINUX_ASI_H

#include <linux/cleanup.h>
#include <linux/types.h>

#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION

#include <asm/asi.h>

#else /* !CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */

static inline bool asi_suspend(void)
{
	return false;
}

static inline void asi_resume(bool restricted) { }
static inline void asi_end_session(void) { }

/* Not even an empty function: gcc compiles __schedule() in another way then. */
#define asi_schedule_out()	do { } while (0)
#define asi_schedule_in()	do { } while (0)

#endif /* CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */

/* guard(asi_suspended)(): from here to the end of the scope, in no domain. */
DEFINE_LOCK_GUARD_0(asi_suspended, _T->restricted = asi_suspend(),
		    asi_resume(_T->restricted), bool restricted)

#endif /* _LINUX_ASI_H */
