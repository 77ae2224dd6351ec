// SPDX-License-Identifier: GPL-2.0
/*
 * Write-rare lists: each change is a row of pointers to set in one window.
 *
 * The order is that of rculist.h: a new entry first, then the pointer by which
 * readers come to it.
 *
 * Each pointer is read once, and compared in the window before anything is set.  So a
 * forged pointer in an entry in ordinary memory does not lead a write to anything that is
 * no link of the list.  With CONFIG_LIST_HARDENED the checks of list_debug.c come before
 * that, and report corruption.  Its functions are not called: they dereference a forged
 * pointer, or call BUG(), while the window of a batch may be open.
 */
#include <linux/export.h>
#include <linux/poison.h>
#include <linux/prlist.h>
#include <linux/uaccess.h>

#include "prmem.h"

/* A link to set to @_val: LINK() has the value @_was before, NEW() has any value. */
#define LINK(_slot, _was, _val)	{ .slot = (_slot), .was = (_was), .val = (_val) }
#define NEW(_slot, _val)	LINK(_slot, WR_LINK_ANY, _val)

#define prlist_set(...)							\
({									\
	const struct wr_link __links[] = { __VA_ARGS__ };		\
									\
	__wr_links(__links, ARRAY_SIZE(__links), _RET_IP_);			\
})

/* Does the link at @slot, wherever that is, lead to @to? */
static __always_inline bool prlist_leads(struct list_head *const *slot,
					 const struct list_head *to)
{
	unsigned long is;

	/* A fault at an address of user space may not be fixed up. */
	if (unlikely((unsigned long)slot < TASK_SIZE_MAX))
		return false;

	__get_kernel_nofault(&is, slot, unsigned long, fault);

	return is == (unsigned long)to;

fault:
	return false;
}

static __always_inline bool prlist_add_valid(const struct list_head *new,
					     const struct list_head *prev,
					     const struct list_head *next)
{
	if (!IS_ENABLED(CONFIG_LIST_HARDENED))
		return true;

	return prlist_leads(&prev->next, next) && prlist_leads(&next->prev, prev) &&
		new != prev && new != next;
}

static __always_inline bool prlist_del_valid(const struct list_head *entry,
					     const struct list_head *prev,
					     const struct list_head *next)
{
	if (!IS_ENABLED(CONFIG_LIST_HARDENED))
		return true;

	return prlist_leads(&prev->next, entry) && prlist_leads(&next->prev, entry);
}

/**
 * prlist_init - make a list empty
 * @head: the list
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_init(const struct list_head *head)
{
	return prlist_set(NEW(&head->next, head), NEW(&head->prev, head));
}
EXPORT_SYMBOL_GPL(prlist_init);

static __always_inline int __prlist_add(const struct list_head *new, const struct list_head *prev,
					const struct list_head *next)
{
	if (!prlist_add_valid(new, prev, next))
		return prmem_refuse_list(new, _RET_IP_);

	return prlist_set(NEW(&new->next, next),
			  NEW(&new->prev, prev),
			  LINK(&prev->next, next, new),
			  LINK(&next->prev, prev, new));
}

/**
 * prlist_add - add an entry at the beginning of a list
 * @new: the entry
 * @head: the list
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_add(const struct list_head *new, const struct list_head *head)
{
	return __prlist_add(new, head, READ_ONCE(head->next));
}
EXPORT_SYMBOL_GPL(prlist_add);

/**
 * prlist_add_tail - add an entry at the end of a list
 * @new: the entry
 * @head: the list
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_add_tail(const struct list_head *new, const struct list_head *head)
{
	return __prlist_add(new, READ_ONCE(head->prev), head);
}
EXPORT_SYMBOL_GPL(prlist_add_tail);

/* Unlink @entry, and give it these pointers. */
static __always_inline int __prlist_del(const struct list_head *entry, const void *new_next,
					const void *new_prev)
{
	struct list_head *next = READ_ONCE(entry->next);
	struct list_head *prev = READ_ONCE(entry->prev);

	if (!prlist_del_valid(entry, prev, next))
		return prmem_refuse_list(entry, _RET_IP_);

	return prlist_set(LINK(&next->prev, entry, prev),
			  LINK(&prev->next, entry, next),
			  LINK(&entry->next, next, new_next),
			  LINK(&entry->prev, prev, new_prev));
}

/**
 * prlist_del - remove an entry from its list
 * @entry: the entry, which must not be used as one afterwards
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_del(const struct list_head *entry)
{
	return __prlist_del(entry, LIST_POISON1, LIST_POISON2);
}
EXPORT_SYMBOL_GPL(prlist_del);

/**
 * prlist_del_init - remove an entry from its list, and make it an empty one
 * @entry: the entry
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_del_init(const struct list_head *entry)
{
	return __prlist_del(entry, entry, entry);
}
EXPORT_SYMBOL_GPL(prlist_del_init);

/**
 * prlist_del_rcu - remove an entry that readers may be at
 * @entry: the entry, to be freed after a grace period
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_del_rcu(const struct list_head *entry)
{
	return __prlist_del(entry, READ_ONCE(entry->next), LIST_POISON2);
}
EXPORT_SYMBOL_GPL(prlist_del_rcu);

static __always_inline int __prlist_replace(const struct list_head *old,
					    const struct list_head *new,
					    const void *old_next, const void *old_prev)
{
	struct list_head *next = READ_ONCE(old->next);
	struct list_head *prev = READ_ONCE(old->prev);

	if (!prlist_del_valid(old, prev, next))
		return prmem_refuse_list(old, _RET_IP_);

	if (new == old)
		return prmem_refuse(PRMEM_BAD_LIST, old, _RET_IP_);

	if (next == old)
		return prlist_init(new);

	return prlist_set(NEW(&new->next, next),
			  NEW(&new->prev, prev),
			  LINK(&prev->next, old, new),
			  LINK(&next->prev, old, new),
			  LINK(&old->next, next, old_next),
			  LINK(&old->prev, prev, old_prev));
}

/**
 * prlist_replace - put a new entry in the place of another
 * @old: the other, which becomes an empty list
 * @new: the new entry
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_replace(const struct list_head *old, const struct list_head *new)
{
	return __prlist_replace(old, new, old, old);
}
EXPORT_SYMBOL_GPL(prlist_replace);

/**
 * prlist_replace_rcu - put a new entry in the place of one that readers may be at
 * @old: the other, to be freed after a grace period
 * @new: the new entry
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_replace_rcu(const struct list_head *old, const struct list_head *new)
{
	return __prlist_replace(old, new, READ_ONCE(old->next), LIST_POISON2);
}
EXPORT_SYMBOL_GPL(prlist_replace_rcu);

static __always_inline int __prlist_move(const struct list_head *entry,
					 const struct list_head *head, bool tail)
{
	struct list_head *old_next = READ_ONCE(entry->next);
	struct list_head *old_prev = READ_ONCE(entry->prev);
	const struct list_head *prev = tail ? READ_ONCE(head->prev) : head;
	const struct list_head *next = tail ? head : READ_ONCE(head->next);

	if (!prlist_del_valid(entry, old_prev, old_next))
		return prmem_refuse_list(entry, _RET_IP_);

	/* The entry is at this place already. */
	if (prev == entry || next == entry)
		return 0;

	return prlist_set(LINK(&old_next->prev, entry, old_prev),
			  LINK(&old_prev->next, entry, old_next),
			  LINK(&entry->next, old_next, next),
			  LINK(&entry->prev, old_prev, prev),
			  LINK(&prev->next, next, entry),
			  LINK(&next->prev, prev, entry));
}

/**
 * prlist_move - move an entry to the beginning of a list
 * @entry: the entry
 * @head: the list, the same or another
 *
 * Not for lists with readers under RCU.
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_move(const struct list_head *entry, const struct list_head *head)
{
	return __prlist_move(entry, head, false);
}
EXPORT_SYMBOL_GPL(prlist_move);

/**
 * prlist_move_tail - move an entry to the end of a list
 * @entry: the entry
 * @head: the list, the same or another
 *
 * Not for lists with readers under RCU.
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_move_tail(const struct list_head *entry, const struct list_head *head)
{
	return __prlist_move(entry, head, true);
}
EXPORT_SYMBOL_GPL(prlist_move_tail);

/**
 * prlist_splice_init - move all entries to the beginning of another list
 * @list: the list that becomes empty
 * @head: the other list
 *
 * Not for lists with readers under RCU.
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prlist_splice_init(const struct list_head *list, const struct list_head *head)
{
	struct list_head *first = READ_ONCE(list->next), *last = READ_ONCE(list->prev);
	struct list_head *next = READ_ONCE(head->next);

	if (list == head)
		return prmem_refuse(PRMEM_BAD_LIST, list, _RET_IP_);

	if (first == list)
		return 0;

	return prlist_set(LINK(&first->prev, list, head),
			  LINK(&last->next, list, next),
			  LINK(&next->prev, head, last),
			  LINK(&head->next, next, first),
			  LINK(&list->next, first, list),
			  LINK(&list->prev, last, list));
}
EXPORT_SYMBOL_GPL(prlist_splice_init);

/**
 * prhlist_init - make a hash bucket empty
 * @h: the bucket
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_init(const struct hlist_head *h)
{
	return prlist_set(NEW(&h->first, NULL));
}
EXPORT_SYMBOL_GPL(prhlist_init);

/* Add @n between the pointer at @pprev and the node @next, which may be NULL. */
static __always_inline int __prhlist_add(const struct hlist_node *n,
					 struct hlist_node *const *pprev,
					 const struct hlist_node *next)
{
	if (!pprev)
		return prmem_refuse(PRMEM_BAD_LIST, n, _RET_IP_);

	return prlist_set(NEW(&n->next, next),
			  NEW(&n->pprev, pprev),
			  LINK(pprev, next, n),
			  LINK(next ? &next->pprev : NULL, pprev, &n->next));
}

/**
 * prhlist_add_head - add a node to a bucket
 * @n: the node
 * @h: the bucket
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_add_head(const struct hlist_node *n, const struct hlist_head *h)
{
	return __prhlist_add(n, &h->first, READ_ONCE(h->first));
}
EXPORT_SYMBOL_GPL(prhlist_add_head);

/**
 * prhlist_add_before - add a node before another
 * @n: the node
 * @next: the other, which is in a bucket
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_add_before(const struct hlist_node *n, const struct hlist_node *next)
{
	return __prhlist_add(n, READ_ONCE(next->pprev), next);
}
EXPORT_SYMBOL_GPL(prhlist_add_before);

/**
 * prhlist_add_behind - add a node behind another
 * @n: the node
 * @prev: the other, which is in a bucket
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_add_behind(const struct hlist_node *n, const struct hlist_node *prev)
{
	return __prhlist_add(n, &prev->next, READ_ONCE(prev->next));
}
EXPORT_SYMBOL_GPL(prhlist_add_behind);

static __always_inline int __prhlist_del(const struct hlist_node *n, const void *new_next,
					 const void *new_pprev)
{
	struct hlist_node *next = READ_ONCE(n->next);
	struct hlist_node **pprev = READ_ONCE(n->pprev);

	if (!pprev)
		return prmem_refuse(PRMEM_BAD_LIST, n, _RET_IP_);

	return prlist_set(LINK(pprev, n, next),
			  LINK(next ? &next->pprev : NULL, &n->next, pprev),
			  LINK(&n->next, next, new_next),
			  LINK(&n->pprev, pprev, new_pprev));
}

/**
 * prhlist_del - remove a node from its bucket
 * @n: the node, which must not be used as one afterwards
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_del(const struct hlist_node *n)
{
	return __prhlist_del(n, LIST_POISON1, LIST_POISON2);
}
EXPORT_SYMBOL_GPL(prhlist_del);

/**
 * prhlist_del_init - remove a node from its bucket if it is in one
 * @n: the node, which is in no bucket afterwards
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_del_init(const struct hlist_node *n)
{
	return hlist_unhashed(n) ? 0 : __prhlist_del(n, NULL, NULL);
}
EXPORT_SYMBOL_GPL(prhlist_del_init);

/**
 * prhlist_del_rcu - remove a node that readers may be at
 * @n: the node, to be freed after a grace period
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_del_rcu(const struct hlist_node *n)
{
	return __prhlist_del(n, READ_ONCE(n->next), LIST_POISON2);
}
EXPORT_SYMBOL_GPL(prhlist_del_rcu);

/**
 * prhlist_replace_rcu - put a new node in the place of one that readers may be at
 * @old: the other, to be freed after a grace period
 * @new: the new node
 *
 * Return: 0 or a negative error, as wr_assign().
 */
int prhlist_replace_rcu(const struct hlist_node *old, const struct hlist_node *new)
{
	struct hlist_node *next = READ_ONCE(old->next);
	struct hlist_node **pprev = READ_ONCE(old->pprev);

	if (!pprev)
		return prmem_refuse(PRMEM_BAD_LIST, old, _RET_IP_);

	return prlist_set(NEW(&new->next, next),
			  NEW(&new->pprev, pprev),
			  LINK(pprev, old, new),
			  LINK(next ? &next->pprev : NULL, &old->next, &new->next),
			  LINK(&old->pprev, pprev, LIST_POISON2));
}
EXPORT_SYMBOL_GPL(prhlist_replace_rcu);
