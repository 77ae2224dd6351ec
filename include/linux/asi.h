/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Address space isolation: run a part of the kernel on a page table that lacks
 * what this part has no business with.  See Documentation/arch/x86/asi.rst.
 *
 * Words: a *domain* is a restricted address space, struct asi.  A *type* is what
 * domains of a kind have in common.  A *session* is a task's use of a domain
 * between asi_enter() and asi_exit().  The session is *interrupted* while the
 * CPU is on the kernel's page table in the middle of it, and *restricted* else.
 */
#ifndef _LINUX_ASI_H
#define _LINUX_ASI_H

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/types.h>

struct asi;
struct module;

/**
 * enum asi_fault_policy - what becomes of an access that only the domain forbids
 * @ASI_FAULT_ABORT: the session ends, and the access is repeated on the kernel's
 *	page table, where it succeeds, and so does all that follows.  This protects
 *	from transient execution only.
 * @ASI_FAULT_PRESERVE: the access is a bad one, as if the kernel lacked the
 *	memory: it ends in its exception table entry, or in an oops.  The session
 *	goes on.
 * @ASI_FAULT_KILL: as %ASI_FAULT_PRESERVE, and the task gets SIGKILL on its way to
 *	user mode
 */
enum asi_fault_policy {
	ASI_FAULT_ABORT,
	ASI_FAULT_PRESERVE,
	ASI_FAULT_KILL,
	/* private: */
	ASI_NR_FAULT_POLICIES
};

/**
 * struct asi_type - what domains of a kind have in common; static
 * @name: for messages
 * @fault: the fault policy
 * @class: PCID class, 1 to 7, while the type has domains; private
 * @users: how many domains it has; private
 */
struct asi_type {
	const char *name;
	enum asi_fault_policy fault;
	unsigned int class;
	unsigned int users;
};

/**
 * DEFINE_ASI_TYPE - define a type of domains
 * @_name: of the variable, which is static
 * @_fault: an enum asi_fault_policy
 */
#define DEFINE_ASI_TYPE(_name, _fault)					\
	static struct asi_type _name = {				\
		.name = #_name,						\
		.fault = _fault,					\
	}

#ifdef CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION

#include <asm/asi.h>

struct asi *asi_create(struct asi_type *type, const char *name);
void asi_destroy(struct asi *asi);
int asi_enter(struct asi *asi);
int asi_exit(struct asi *asi);

int asi_map(struct asi *asi, const void *addr, size_t size);
int asi_map_pages(struct asi *asi, const void *addr, size_t size);
int asi_map_percpu(struct asi *asi, const void __percpu *addr, size_t size);
int asi_map_module(struct asi *asi, struct module *mod);
int asi_map_task(struct asi *asi);
int asi_map_kernel(struct asi *asi);
int asi_unmap(struct asi *asi, const void *addr, size_t size);

#else /* !CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */

/* asi_create() fails as with asi=off, and callers that can do without a domain go on. */

static inline struct asi *asi_create(struct asi_type *type, const char *name)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void asi_destroy(struct asi *asi) { }

static inline int asi_enter(struct asi *asi)
{
	return -EOPNOTSUPP;
}

static inline int asi_exit(struct asi *asi)
{
	return -EOPNOTSUPP;
}

static inline int asi_map(struct asi *asi, const void *addr, size_t size)
{
	return -EOPNOTSUPP;
}

static inline int asi_map_pages(struct asi *asi, const void *addr, size_t size)
{
	return -EOPNOTSUPP;
}

static inline int asi_map_percpu(struct asi *asi, const void __percpu *addr, size_t size)
{
	return -EOPNOTSUPP;
}

static inline int asi_map_module(struct asi *asi, struct module *mod)
{
	return -EOPNOTSUPP;
}

static inline int asi_map_task(struct asi *asi)
{
	return -EOPNOTSUPP;
}

static inline int asi_map_kernel(struct asi *asi)
{
	return -EOPNOTSUPP;
}

static inline int asi_unmap(struct asi *asi, const void *addr, size_t size)
{
	return -EOPNOTSUPP;
}

#ifdef CONFIG_X86
/* asm/asi.h has these stubs, since x86 code may include that header alone. */
#include <asm/asi.h>
#else
static inline bool asi_restricted(void)
{
	return false;
}

static inline bool asi_suspend(void)
{
	return false;
}

static inline void asi_resume(bool restricted) { }
#endif

static inline void asi_end_session(void) { }

/* Macros, since gcc compiles __schedule() differently with empty inline functions. */
#define asi_schedule_out()	do { } while (0)
#define asi_schedule_in()	do { } while (0)

#endif /* CONFIG_MITIGATION_ADDRESS_SPACE_ISOLATION */

/* guard(asi_suspended)(): from here to the end of the scope, in no domain. */
DEFINE_LOCK_GUARD_0(asi_suspended, _T->restricted = asi_suspend(),
		    asi_resume(_T->restricted), bool restricted)

#endif /* _LINUX_ASI_H */
