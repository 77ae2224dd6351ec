/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_X86_ASI_SESSION_H
#define _ASM_X86_ASI_SESSION_H

#include <linux/types.h>

struct asi;

/**
 * struct asi_session - one task's use of a domain
 * @asi: the domain, from asi_enter() to asi_exit(); NULL if there is no session
 * @err: not 0 if the session has ended before asi_exit(), which returns it
 * @scheduled: the task has called schedule() in the domain
 * @denied: it has faulted in a domain that kills for that; asi_exit() tells
 * @killed: @kill is queued
 * @ready_id: the domain that maps the stack of the task,
 * @ready_gen: as of this generation of its page table
 * @mapped: what asi_map_task() has mapped of this task, in all domains
 * @kill: to deliver SIGKILL on the way to user mode
 *
 * Only the task itself changes it, and nobody else looks at it but under
 * asi_mutex at @mapped.
 */
struct asi_session {
	struct asi *asi;
	int err;
	bool scheduled;
	bool denied;
	bool killed;
	u64 ready_id;
	u64 ready_gen;
	struct hlist_head mapped;
	struct callback_head kill;
};

#endif /* _ASM_X86_ASI_SESSION_H */
