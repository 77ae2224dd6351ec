/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_X86_ASI_SESSION_H
#define _ASM_X86_ASI_SESSION_H

#include <linux/types.h>

struct asi;

/**
 * struct asi_session - one task's use of a domain
 * @asi: the domain, from asi_enter() to asi_exit(); NULL if there is no session
 * @err: not 0 if the session has ended before asi_exit(), which returns it
 * @scheduled: the task has left the domain in __schedule(), and goes back at its end
 * @denied: the task has faulted under %ASI_FAULT_KILL; asi_exit() returns -EFAULT
 * @killed: @kill is queued
 * @ready_id: the id of the domain that was last found to map the stack of the task
 * @ready_gen: the generation of that domain's page table at that time
 * @mapped: what asi_map_task() has mapped of this task, in all domains; under asi_mutex
 * @kill: to deliver SIGKILL on the way to user mode
 *
 * Only the task itself accesses its session, except for @mapped: a task that frees a
 * domain removes from the lists of all tasks what that domain has mapped.
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
