/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Temporary mms: mappings that exist for one CPU, for the length of one
 * operation.  See Documentation/mm/temp_mm.rst.
 */
#ifndef _LINUX_TEMP_MM_H
#define _LINUX_TEMP_MM_H

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/mm_types.h>
#include <linux/percpu-defs.h>
#include <linux/pg_table.h>
#include <linux/pgtable.h>
#include <linux/siphash.h>
#include <linux/types.h>

#ifdef CONFIG_TEMP_MM

#include <asm/temp_mm.h>

/**
 * TEMP_MM_MAX_PAGES - most pages that a window can have
 *
 * Bounds the time with interrupts off in temp_mm_write().
 */
#define TEMP_MM_MAX_PAGES	16

/**
 * struct temp_mm - a temporary mm with a window
 *
 * The window is a run of pages at an address that is new and random for each
 * temp_mm_map().  All members are private to mm/temp_mm.c.
 */
struct temp_mm {
	/* private: */
	struct mm_struct	*mm;
	unsigned long		cr3;		/* for use_temporary_root() */
	struct mm_struct	*prev;		/* in use: the mm to go back to */
	struct task_struct	*user;		/* in use: caller of temp_mm_use() */
	const char		*name;
	p4d_t			*p4d;		/* the only entry of the P4D table */
	pud_t			*pud;		/* the only entry of the PUD table */
	pmd_t			*pmd;		/* the only entry of the PMD table */
	pte_t			*pte;		/* for the first page of the window */
	unsigned long		addr;		/* start of the window */
	hsiphash_key_t		key;		/* for random addresses, with nonce */
	u32			nonce;		/* changes with each random number */
	unsigned int		nr_pages;	/* most pages that can be mapped */
	unsigned int		nr_mapped;	/* pages that were mapped last */
	int			state;		/* see enum temp_mm_state */
	struct pg_table		tables;		/* owner of the tables below mm->pgd */
};

struct temp_mm *__must_check temp_mm_alloc(unsigned int nr_pages, const char *name);
void temp_mm_free(struct temp_mm *t);
void *__must_check temp_mm_map(struct temp_mm *t, struct page **pages,
			       unsigned int n, pgprot_t prot);
void temp_mm_unmap(struct temp_mm *t);
int __must_check temp_mm_use(struct temp_mm *t);
void temp_mm_unuse(struct temp_mm *t);
int __must_check temp_mm_write(struct temp_mm *t, void *dst, const void *src,
			       size_t len);
int __must_check temp_mm_set(struct temp_mm *t, void *dst, u8 c, size_t len);

/*
 * scoped_cond_guard(temp_mm, return -EBUSY, t) { ... } runs its body with the
 * window of t in use.  The second argument is the statement for when temp_mm_use()
 * fails.  Since it can fail, use only this form of guard.
 */
static inline void temp_mm_guard_end(struct temp_mm *t)
{
	if (t)
		temp_mm_unuse(t);
}

__DEFINE_CLASS_IS_CONDITIONAL(temp_mm, true);
DEFINE_CLASS(temp_mm, struct temp_mm *, temp_mm_guard_end(_T),
	     temp_mm_use(_T) ? NULL : _T, struct temp_mm *_T)

static inline void *class_temp_mm_lock_ptr(class_temp_mm_t *t)
{
	return *t;
}

/**
 * struct temp_mm_percpu - one temporary mm for each online CPU
 *
 * Made by DEFINE_TEMP_MM_PERCPU().  All members are private to mm/temp_mm.c.
 */
struct temp_mm_percpu {
	/* private: */
	struct temp_mm		*__percpu *instance;
	const char		*name;
	unsigned int		nr_pages;
	struct hlist_node	node;
};

/**
 * DEFINE_TEMP_MM_PERCPU - define a set of per-CPU temporary mms
 * @_name: name of the struct temp_mm_percpu
 * @_nr_pages: pages in the window of each, 1 to %TEMP_MM_MAX_PAGES
 *
 * The instances exist from temp_mm_percpu_init() on.
 */
#define DEFINE_TEMP_MM_PERCPU(_name, _nr_pages)				\
	static DEFINE_PER_CPU(struct temp_mm *, _name##_instance);	\
	static struct temp_mm_percpu _name = {				\
		.instance = &_name##_instance,				\
		.name = #_name,						\
		.nr_pages = (_nr_pages),				\
	}

/* Why a caller is refused. */
enum temp_mm_refusal {
	TEMP_MM_BAD_ARG,
	TEMP_MM_BAD_PROT,
	TEMP_MM_BAD_PAGE,
	TEMP_MM_BAD_ADDRESS,
	TEMP_MM_BAD_CONTEXT,
	TEMP_MM_BAD_STATE,
	TEMP_MM_NR_REFUSALS,
};

/* What debugfs temp_mm/stats shows; for mm/temp_mm.c and its tests. */
struct temp_mm_stats {
	atomic_long_t	instances;
	atomic_long_t	bytes;
	atomic_long_t	left;		/* windows that their owners have left open */
	atomic_long_t	forged;		/* loaded mms and mms of tasks found forged */
	atomic_long_t	refused[TEMP_MM_NR_REFUSALS];
};

extern struct temp_mm_stats temp_mm_stats;

int __must_check temp_mm_percpu_init(struct temp_mm_percpu *set);
void temp_mm_percpu_exit(struct temp_mm_percpu *set);
struct temp_mm *this_cpu_temp_mm(struct temp_mm_percpu *set);
unsigned long __must_check temp_mm_alloc_root(const char *name, pmd_t **tables,
					      unsigned int nr, unsigned long *addr);
bool temp_mm_readable(const void *src, size_t len);

#endif /* CONFIG_TEMP_MM */

#endif /* _LINUX_TEMP_MM_H */
