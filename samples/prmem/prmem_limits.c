// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of users, as objects and as a variable of the kernel, see
 * Documentation/core-api/prmem.rst.
 *
 * This is built in, since modules have no protected variables.  With the file prmem_limits of
 * debugfs:
 *
 *	echo users 200 > prmem_limits		changes a limit
 *	echo files 2000 > prmem_limits		replaces the object by a changed copy of it
 *	echo both 300 > prmem_limits		sets all fields, and checks the object once
 *	echo default 400 > prmem_limits		changes the variable
 *	cat prmem_limits			shows them, and how often they were changed
 *	echo forget 500 > prmem_limits		writes to one like to any memory: the task dies
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/pratomic.h>
#include <linux/prmem.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

struct limits {
	u64 max_users;
	u64 max_files;
};

static DEFINE_WR_CACHE(limits_cache, struct limits);

static const struct limits *limits_alloc(void)
{
	return wr_cache_zalloc(&limits_cache, GFP_KERNEL);
}

static int limits_set_users(const struct limits *l, u64 max)
{
	return wr_assign(l->max_users, max);
}

static struct limits defaults __wr_after_init = { .max_users = 100 };

static atomic_t nr_changes __wr_after_init;

/* What leads to the object never changes. */
static const struct limits *mine __ro_after_init;

/* For those who read a limit and write it. */
static DEFINE_MUTEX(limits_mutex);

/* The copy is in ordinary memory while it is filled in. */
static int limits_set_files(const struct limits *l, u64 files)
{
	struct limits new = *l;

	new.max_files = files;

	return wr_update(&limits_cache, l, &new);
}

static int limits_set_both(const struct limits *l, u64 users, u64 files)
{
	const struct limits *edit;

	edit = wr_edit(&limits_cache, l);
	if (IS_ERR(edit))
		return PTR_ERR(edit);
	wr_put(edit, max_users, users);
	wr_put(edit, max_files, files);
	wr_end();

	return 0;
}

/* A store that somebody has forgotten to convert.  Without the cast it does not compile. */
static int limits_forget(const struct limits *l, u64 max)
{
	struct limits *plain = (struct limits *)l;

	WRITE_ONCE(plain->max_users, max);

	return 0;
}

static int limits_change(const char *what, u64 max)
{
	/* Who dies of the store with a lock held leaves that locked for ever. */
	if (!strcmp(what, "forget"))
		return limits_forget(mine, max);

	guard(mutex)(&limits_mutex);

	if (!strcmp(what, "users"))
		return limits_set_users(mine, max);
	if (!strcmp(what, "files"))
		return limits_set_files(mine, max);
	if (!strcmp(what, "both"))
		return limits_set_both(mine, max, max);
	if (!strcmp(what, "default"))
		return limits_set_users(&defaults, max);

	return -EINVAL;
}

static ssize_t limits_write(struct file *file, const char __user *ubuf, size_t size, loff_t *pos)
{
	char text[32] = "", what[16];
	int err, nr;
	u64 max;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, ubuf, size))
		return -EFAULT;
	if (sscanf(text, "%15s %llu", what, &max) < 2)
		return -EINVAL;

	err = limits_change(what, max);
	if (err)
		return err;

	/* A result goes to a variable of the caller, since the return value is the error. */
	err = pratomic_inc_return(&nr_changes, &nr);
	if (!err && nr == 1)
		pr_info("prmem_limits: the first change\n");

	return err ?: size;
}

/* With the mutex, since more than one field is read: a reader of one needs READ_ONCE(). */
static int limits_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&limits_mutex);

	seq_printf(m, "users %llu\nfiles %llu\ndefault %llu\nchanges %d\n", mine->max_users,
		   mine->max_files, defaults.max_users, atomic_read(&nr_changes));

	return 0;
}

DEFINE_SHOW_STORE_ATTRIBUTE(limits);

static int __init limits_init(void)
{
	mine = limits_alloc();
	if (!mine)
		return -ENOMEM;
	debugfs_create_file("prmem_limits", 0600, NULL, NULL, &limits_fops);

	return 0;
}
late_initcall(limits_init);
