// SPDX-License-Identifier: GPL-2.0
/*
 * Limits that are read-only for everybody and change through windows, see
 * Documentation/mm/temp_mm.rst.
 *
 * This is built in, since modules cannot use temporary mms.  With the file temp_mm_limits of
 * debugfs:
 *
 *	echo users 200 > temp_mm_limits		changes a limit
 *	echo exchange > temp_mm_limits		gives each limit the value of the other
 *	cat temp_mm_limits			shows them, and how often they were changed where
 *	echo forget 300 > temp_mm_limits	writes to one like to any memory: the task dies
 */
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/temp_mm.h>
#include <linux/uaccess.h>

struct limits {
	u64 max_users;
	u64 max_files;
};

/* Aligned, so that it does not reach into the next page. */
static struct limits limits __ro_after_init __aligned(sizeof(struct limits)) = {
	.max_users = 100,
	.max_files = 1000,
};

/* Changes that were made on each CPU. */
static DEFINE_PER_CPU_ALIGNED(u64, limits_changes);

/*
 * One object serves one writer at a time, and the mutex sees to that.  What leads to it never
 * changes.
 */
static struct temp_mm *window __ro_after_init;
static DEFINE_MUTEX(limits_mutex);

/* Those who share no lock have one each. */
DEFINE_TEMP_MM_PERCPU(limits_windows, 1);

/*
 * This is memory that could be written to without a window.  What is read-only, and there
 * for each CPU, is written in the same way.
 */
static int limits_count(void)
{
	u64 *dst, nr;
	int err;

	preempt_disable();
	dst = this_cpu_ptr(&limits_changes);
	nr = *dst + 1;
	err = temp_mm_write(this_cpu_temp_mm(&limits_windows), dst, &nr, sizeof(nr));
	preempt_enable();

	return err;
}

static int limits_set_users(u64 max)
{
	guard(mutex)(&limits_mutex);

	return temp_mm_write(window, &limits.max_users, &max, sizeof(max));
}

/* What is no copy is done in the open window, by its address. */
static int limits_exchange(void)
{
	struct page *page = virt_to_page(lm_alias(&limits));
	struct limits *rw;
	unsigned long flags;
	void *addr;
	int err = 0;

	guard(mutex)(&limits_mutex);

	addr = temp_mm_map(window, &page, 1, TEMP_MM_PROT_RW);
	if (IS_ERR(addr))
		return PTR_ERR(addr);
	rw = addr + offset_in_page(&limits);
	local_irq_save(flags);
	scoped_cond_guard(temp_mm, err = -EBUSY, window)
		swap(rw->max_users, rw->max_files);
	local_irq_restore(flags);
	temp_mm_unmap(window);

	return err;
}

/* A store that somebody has forgotten to convert.  It compiles, and faults. */
static int limits_forget(u64 max)
{
	WRITE_ONCE(limits.max_users, max);

	return 0;
}

static ssize_t limits_write(struct file *file, const char __user *ubuf, size_t size, loff_t *pos)
{
	char text[32] = "", what[16];
	u64 max = 0;
	int err;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, ubuf, size))
		return -EFAULT;
	if (sscanf(text, "%15s %llu", what, &max) < 1)
		return -EINVAL;

	if (!strcmp(what, "users"))
		err = limits_set_users(max);
	else if (!strcmp(what, "exchange"))
		err = limits_exchange();
	else if (!strcmp(what, "forget"))
		err = limits_forget(max);
	else
		err = -EINVAL;
	err = err ?: limits_count();

	return err ?: size;
}

/* With the mutex, since more than one field is read: a reader of one needs READ_ONCE(). */
static int limits_show(struct seq_file *m, void *unused)
{
	u64 changes = 0;
	int cpu;

	guard(mutex)(&limits_mutex);

	for_each_possible_cpu(cpu)
		changes += READ_ONCE(per_cpu(limits_changes, cpu));
	seq_printf(m, "users %llu\nfiles %llu\nchanges %llu\n", limits.max_users, limits.max_files,
		   changes);

	return 0;
}

DEFINE_SHOW_STORE_ATTRIBUTE(limits);

/* Objects are allocated early, in process context, and stay. */
static int __init limits_init(void)
{
	int err;

	window = temp_mm_alloc(1, "limits");
	if (!window)
		return -ENOMEM;
	err = temp_mm_percpu_init(&limits_windows);
	if (err) {
		temp_mm_free(window);
		return err;
	}
	debugfs_create_file("temp_mm_limits", 0600, NULL, NULL, &limits_fops);

	return 0;
}
late_initcall(limits_init);
