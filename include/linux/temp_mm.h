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
	struct mm_struct	*prev;		/* while in use */
	struct task_struct	*user;		/* while in use */
	const char		*name;
	p4d_t			*p4d;		/* the one entry of each table */
	pud_t			*pud;		/* that leads to the window */
	pmd_t			*pmd;
	pte_t			*pte;		/* first one of the window */
	unsigned long		addr;		/* of the window */
	hsiphash_key_t		key;		/* random addresses come from */
	u32			nonce;		/* these two */
	unsigned int		nr_pages;	/* most that can be mapped */
	unsigned int		nr_mapped;
	int			state;
	bool			shared;		/* linked to another's mappings */
	struct pg_table		tables;		/* that lead to the window */
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
 * window of t in use; the second argument is what to do when it can't be had.
 * Use only this form, since temp_mm_use() can fail.
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
	struct temp_mm		*shared;	/* whose mappings all have, or NULL */
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
	atomic_long_t	forged;		/* mms that are not what CR3 says */
	atomic_long_t	refused[TEMP_MM_NR_REFUSALS];
};

extern struct temp_mm_stats temp_mm_stats;

int __must_check temp_mm_percpu_init(struct temp_mm_percpu *set);
int __must_check temp_mm_percpu_init_shared(struct temp_mm_percpu *set, pmd_t **tables,
					    unsigned int nr, unsigned long *addr);
void temp_mm_percpu_changed(struct temp_mm_percpu *set);
void temp_mm_percpu_exit(struct temp_mm_percpu *set);
struct temp_mm *this_cpu_temp_mm(struct temp_mm_percpu *set);
bool temp_mm_readable(const void *src, size_t len);

#endif /* CONFIG_TEMP_MM */

#endif /* _LINUX_TEMP_MM_H */
