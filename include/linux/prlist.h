/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Write-rare lists: a struct list_head or hlist_head of which some or all links
 * are in protected memory.
 *
 * Readers use the iterators and predicates of list.h and rculist.h.  Writers use the
 * functions below, and exclude each other as with any list.  Each function opens one
 * window, checks all links before it sets the first, and sets each with a release, for
 * readers under RCU.  The forms with and without _rcu differ in the links of a removed
 * entry: only the former let a reader that is at the entry go on.
 *
 * A head can be static: static __wr_after_init LIST_HEAD(name).
 *
 * All return 0; or, with nothing changed, a negative error as wr_assign(), which is
 * -EINVAL if the list is found corrupted.  They take pointers to const, as wr_*() do.
 */
#ifndef _LINUX_PRLIST_H
#define _LINUX_PRLIST_H

#include <linux/list.h>
#include <linux/prmem.h>
#include <linux/rculist.h>

#ifdef CONFIG_PRMEM

int __must_check prlist_init(const struct list_head *head);
int __must_check prlist_add(const struct list_head *new,
			    const struct list_head *head);
int __must_check prlist_add_tail(const struct list_head *new,
				 const struct list_head *head);
int __must_check prlist_del(const struct list_head *entry);
int __must_check prlist_del_init(const struct list_head *entry);
int __must_check prlist_del_rcu(const struct list_head *entry);
int __must_check prlist_replace(const struct list_head *old,
				const struct list_head *new);
int __must_check prlist_replace_rcu(const struct list_head *old,
				    const struct list_head *new);
int __must_check prlist_move(const struct list_head *entry,
			     const struct list_head *head);
int __must_check prlist_move_tail(const struct list_head *entry,
				  const struct list_head *head);
int __must_check prlist_splice_init(const struct list_head *list,
				    const struct list_head *head);

int __must_check prhlist_init(const struct hlist_head *h);
int __must_check prhlist_add_head(const struct hlist_node *n,
				  const struct hlist_head *h);
int __must_check prhlist_add_before(const struct hlist_node *n,
				    const struct hlist_node *next);
int __must_check prhlist_add_behind(const struct hlist_node *n,
				    const struct hlist_node *prev);
int __must_check prhlist_del(const struct hlist_node *n);
int __must_check prhlist_del_init(const struct hlist_node *n);
int __must_check prhlist_del_rcu(const struct hlist_node *n);
int __must_check prhlist_replace_rcu(const struct hlist_node *old,
				     const struct hlist_node *new);

#define prlist_add_rcu		prlist_add
#define prlist_add_tail_rcu	prlist_add_tail
#define prhlist_add_head_rcu	prhlist_add_head
#define prhlist_add_before_rcu	prhlist_add_before
#define prhlist_add_behind_rcu	prhlist_add_behind

#else /* !CONFIG_PRMEM */

/* What is reached through a pointer to const is ordinary memory here. */
static inline struct list_head *__pr_list(const struct list_head *p)
{
	return (struct list_head *)p;
}

static inline struct hlist_head *__pr_head(const struct hlist_head *p)
{
	return (struct hlist_head *)p;
}

static inline struct hlist_node *__pr_node(const struct hlist_node *p)
{
	return (struct hlist_node *)p;
}

#define prlist_init(head)						\
	__wr_plain(INIT_LIST_HEAD(__pr_list(head)))
#define prlist_add(new, head)						\
	__wr_plain(list_add(__pr_list(new), __pr_list(head)))
#define prlist_add_tail(new, head)					\
	__wr_plain(list_add_tail(__pr_list(new), __pr_list(head)))
#define prlist_add_rcu(new, head)					\
	__wr_plain(list_add_rcu(__pr_list(new), __pr_list(head)))
#define prlist_add_tail_rcu(new, head)					\
	__wr_plain(list_add_tail_rcu(__pr_list(new), __pr_list(head)))
#define prlist_del(entry)		__wr_plain(list_del(__pr_list(entry)))
#define prlist_del_init(entry)						\
	__wr_plain(list_del_init(__pr_list(entry)))
#define prlist_del_rcu(entry)						\
	__wr_plain(list_del_rcu(__pr_list(entry)))
#define prlist_replace(old, new)					\
	__wr_plain(list_replace_init(__pr_list(old), __pr_list(new)))
#define prlist_replace_rcu(old, new)					\
	__wr_plain(list_replace_rcu(__pr_list(old), __pr_list(new)))
#define prlist_move(entry, head)					\
	__wr_plain(list_move(__pr_list(entry), __pr_list(head)))
#define prlist_move_tail(entry, head)					\
	__wr_plain(list_move_tail(__pr_list(entry), __pr_list(head)))
#define prlist_splice_init(list, head)					\
	__wr_plain(list_splice_init(__pr_list(list), __pr_list(head)))

#define prhlist_init(h)							\
	__wr_plain(INIT_HLIST_HEAD(__pr_head(h)))
#define prhlist_add_head(n, h)						\
	__wr_plain(hlist_add_head(__pr_node(n), __pr_head(h)))
#define prhlist_add_head_rcu(n, h)					\
	__wr_plain(hlist_add_head_rcu(__pr_node(n), __pr_head(h)))
#define prhlist_add_before(n, next)					\
	__wr_plain(hlist_add_before(__pr_node(n), __pr_node(next)))
#define prhlist_add_before_rcu(n, next)					\
	__wr_plain(hlist_add_before_rcu(__pr_node(n), __pr_node(next)))
#define prhlist_add_behind(n, prev)					\
	__wr_plain(hlist_add_behind(__pr_node(n), __pr_node(prev)))
#define prhlist_add_behind_rcu(n, prev)					\
	__wr_plain(hlist_add_behind_rcu(__pr_node(n), __pr_node(prev)))
#define prhlist_del(n)			__wr_plain(hlist_del(__pr_node(n)))
#define prhlist_del_init(n)		__wr_plain(hlist_del_init(__pr_node(n)))
#define prhlist_del_rcu(n)		__wr_plain(hlist_del_rcu(__pr_node(n)))
#define prhlist_replace_rcu(old, new)					\
	__wr_plain(hlist_replace_rcu(__pr_node(old), __pr_node(new)))

#endif /* !CONFIG_PRMEM */

#endif /* _LINUX_PRLIST_H */
