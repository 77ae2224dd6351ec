// SPDX-License-Identifier: GPL-2.0
/*
 * An access control table in protected memory, see Documentation/core-api/prmem.rst.
 *
 * What a user may do is looked up often and changed seldom.  A bug elsewhere that writes to
 * the table would decide over others, so the table, its entries and what leads to them are
 * protected.  With the file prmem_acl of debugfs:
 *
 *	echo allow 1000 3 > prmem_acl	adds an entry, or changes the rights of one
 *	echo revoke 1000 > prmem_acl	removes one
 *	cat prmem_acl			number of entries, and each user with his rights
 *	echo forget 0 > prmem_acl	writes as to any memory: an oops, with a line "prmem: ..."
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/prmem.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

struct acl_entry {
	struct hlist_node node;
	u32 uid;
	u32 rights;
};

struct acl_table {
	DECLARE_HASHTABLE(entries, 4);
	atomic_t nr;
};

/*
 * What leads to protected memory should not be open to writes, or a forged table takes
 * the place of the real one.  These never change, so they need not be write rare.
 */
static struct wr_cache *acl_cache __ro_after_init;
static struct pmalloc_pool *acl_pool __ro_after_init;
static const struct acl_table *acl __ro_after_init;

/* For writers.  It is ordinary memory: if it is forged, two of them can meet, no more. */
static DEFINE_MUTEX(acl_mutex);

/* The caller holds rcu_read_lock() or acl_mutex. */
static const struct acl_entry *acl_find(u32 uid)
{
	const struct acl_entry *e;

	hash_for_each_possible_rcu(acl->entries, e, node, uid, lockdep_is_held(&acl_mutex)) {
		if (e->uid == uid)
			return e;
	}

	return NULL;
}

static int acl_add(u32 uid, u32 rights)
{
	/* It may sleep, so it can't be in the batch.  It is zero, and protected already. */
	const struct acl_entry *e = wr_cache_zalloc(acl_cache, GFP_KERNEL);
	u32 bucket = hash_min(uid, HASH_BITS(acl->entries));
	int err;

	if (!e)
		return -ENOMEM;

	/* One window.  Nothing in it sleeps.  Readers find all of it: each write is a release. */
	scoped_cond_guard(wr_batch, err = -EPERM) {
		err = wr_assign(e->uid, uid);
		err = err ?: wr_assign(e->rights, rights);
		err = err ?: pratomic_inc(&acl->nr);
		err = err ?: prhlist_add_head_rcu(&e->node, &acl->entries[bucket]);
	}
	/* Nobody has seen an entry that is not linked. */
	WARN_ON(err && wr_cache_free(acl_cache, e));

	return err;
}

static int acl_remove(const struct acl_entry *e)
{
	int err = prhlist_del_rcu(&e->node);

	err = err ?: pratomic_dec(&acl->nr);
	/* Readers may have it until a grace period is over. */
	return err ?: wr_cache_free_rcu(acl_cache, e);
}

static int acl_change(const char *what, u32 uid, u32 rights)
{
	const struct acl_entry *e;

	guard(mutex)(&acl_mutex);

	e = acl_find(uid);
	if (!strcmp(what, "revoke"))
		return e ? acl_remove(e) : -ENOENT;
	if (strcmp(what, "allow"))
		return -EINVAL;

	/* With the cache named, a pointer to an object of somebody else is refused. */
	return e ? wr_set_field(acl_cache, e, rights, rights) : acl_add(uid, rights);
}

static ssize_t acl_write(struct file *file, const char __user *ubuf, size_t size, loff_t *pos)
{
	char text[32] = "", what[8];
	u32 uid, rights = 0;
	int err = 0;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, ubuf, size))
		return -EFAULT;
	if (sscanf(text, "%7s %u %u", what, &uid, &rights) < 2)
		return -EINVAL;

	/* A store that somebody has forgotten to convert.  Without the cast it does not compile. */
	if (!strcmp(what, "forget"))
		((struct acl_table *)acl)->nr.counter = uid;
	else
		err = acl_change(what, uid, rights);

	return err ?: size;
}

/* Readers are what they would be with ordinary memory. */
static int acl_show(struct seq_file *m, void *unused)
{
	const struct acl_entry *e;
	int i;

	guard(rcu)();

	seq_printf(m, "%d\n", atomic_read(&acl->nr));
	hash_for_each_rcu(acl->entries, i, e, node)
		seq_printf(m, "%u %u\n", e->uid, READ_ONCE(e->rights));

	return 0;
}

DEFINE_SHOW_STORE_ATTRIBUTE(acl);

static int __init acl_init(void)
{
	struct acl_table *table;
	int err;

	acl_cache = wr_cache_create("acl_entries", sizeof(struct acl_entry), 0, 0, 0);
	/* What there is once, and for as long as the module, is an object of a pool. */
	acl_pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	err = PTR_ERR_OR_ZERO(acl_cache) ?: PTR_ERR_OR_ZERO(acl_pool);
	if (err)
		goto fail;
	table = pzalloc(acl_pool, sizeof(*table));
	/* Plain stores, up to here; from then on the pointer to const is the one to use. */
	if (table)
		hash_init(table->entries);
	err = table ? pmalloc_protect_pool(acl_pool) : -ENOMEM;
	if (err)
		goto fail;
	acl = table;
	debugfs_create_file("prmem_acl", 0600, NULL, NULL, &acl_fops);

	return 0;

fail:
	/* Nobody has got in.  Of what there is not, there is nothing to destroy. */
	WARN_ON(pmalloc_destroy_pool(acl_pool));
	WARN_ON(wr_cache_destroy(acl_cache));

	return err;
}

/* Nobody gets in any more, then entries, then the cache, which refuses to go before them. */
static void __exit acl_exit(void)
{
	const struct acl_entry *e;
	struct hlist_node *next;
	int i;

	debugfs_lookup_and_remove("prmem_acl", NULL);
	hash_for_each_safe(acl->entries, i, next, e, node)
		WARN_ON(acl_remove(e));
	WARN_ON(wr_cache_destroy(acl_cache));
	WARN_ON(pmalloc_destroy_pool(acl_pool));
}

module_init(acl_init);
module_exit(acl_exit);

MODULE_DESCRIPTION("An access control table in protected memory");
MODULE_LICENSE("GPL");
