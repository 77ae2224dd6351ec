// SPDX-License-Identifier: GPL-2.0
/*
 * A parser of what a stranger has written, in a domain, see Documentation/arch/x86/asi.rst.
 *
 * The input is a list of strings: a byte that says how long it is, and then the bytes.  The
 * parser adds up all bytes.  It has the bug that parsers have: it believes the lengths.  In
 * the domain it finds the input, its own module and what ordinary code needs, but not what
 * lies behind the input.  With the file asi_parser of debugfs:
 *
 *	printf '\001\005\002\001\001' > asi_parser	parses two strings
 *	cat asi_parser					the sum, 7
 *	printf '\377' > asi_parser			a string of 255 bytes that is not there
 *
 * What becomes of the last one is what the parameter fault= says: see parser_types.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/asi.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/nospec.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include <asm/barrier.h>

/* The parser reads on, outside of the domain, and asi_exit() tells. */
DEFINE_ASI_TYPE(parser_abort, ASI_FAULT_ABORT);
/* The read fails: with an error if it can, as in parser_byte(), else by an oops. */
DEFINE_ASI_TYPE(parser_preserve, ASI_FAULT_PRESERVE);
/* The read fails, and the task has to die. */
DEFINE_ASI_TYPE(parser_kill, ASI_FAULT_KILL);

static struct asi_type *const parser_types[] = { &parser_abort, &parser_preserve, &parser_kill };

static unsigned int fault = ASI_FAULT_KILL;
module_param(fault, uint, 0444);
MODULE_PARM_DESC(fault, "what becomes of a forbidden read: 0 abort, 1 preserve, 2 kill");

static struct asi *parser_domain __ro_after_init;
static atomic64_t parser_sum;

/* Code that is prepared for memory that is not there gets an error under PRESERVE. */
static int parser_byte(const u8 *p, u8 *byte)
{
	if (fault == ASI_FAULT_PRESERVE)
		return copy_from_kernel_nofault(byte, p, sizeof(*byte));
	*byte = READ_ONCE(*p);

	return 0;
}

/* All that this touches is mapped in the domain, but what its bug leads it to. */
static noinline int parse(const u8 *p, const u8 *end, u64 *sum)
{
	u8 left, byte;
	int err;

	while (p < end) {
		err = parser_byte(p++, &left);
		/* The bug: nobody has asked whether that many are left. */
		while (!err && left--) {
			err = parser_byte(p++, &byte);
			*sum += byte;
		}
		if (err)
			return err;
	}

	return 0;
}

/*
 * A domain maps whole pages, so the input has one of its own.  It is at the end of it, to
 * have the bug show at once.
 */
static int parse_in_domain(const u8 *page, size_t size, u64 *sum)
{
	int err, left;

	/* That of the first time lasts until the task exits. */
	err = asi_map_task(parser_domain);
	err = err ?: asi_enter(parser_domain);
	if (err)
		return err;
	/* A processor that believes that the domain was entered does not run ahead into it. */
	barrier_nospec();

	err = parse(page + PAGE_SIZE - size, page + PAGE_SIZE, sum);

	/* What the parser has found counts only if it was in the domain up to here. */
	left = asi_exit(parser_domain);

	return left ?: err;
}

static ssize_t parser_write(struct file *file, const char __user *ubuf, size_t size, loff_t *pos)
{
	u64 sum = 0;
	u8 *page;
	int err;

	if (!size || size > PAGE_SIZE)
		return -EINVAL;

	page = (u8 *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;

	/* User memory is in no domain, so the copy is made before. */
	err = copy_from_user(page + PAGE_SIZE - size, ubuf, size) ? -EFAULT : 0;
	err = err ?: asi_map(parser_domain, page, PAGE_SIZE);
	if (!err) {
		/*
		 * No lock is held here: with KILL the task may die, and leave it locked.  So
		 * the page is lost then, and stays mapped.
		 */
		err = parse_in_domain(page, size, &sum);
		/* A page that is freed while it is mapped is somebody else's, and readable. */
		if (asi_unmap(parser_domain, page, PAGE_SIZE))
			return -EIO;
	}
	free_page((unsigned long)page);
	if (err)
		return err;

	atomic64_set(&parser_sum, sum);

	return size;
}

static int parser_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%lld\n", atomic64_read(&parser_sum));

	return 0;
}

DEFINE_SHOW_STORE_ATTRIBUTE(parser);

static struct dentry *parser_file;

static int __init parser_init(void)
{
	struct asi *domain;
	int err;

	if (fault >= ARRAY_SIZE(parser_types))
		return -EINVAL;

	/* -EOPNOTSUPP without asi=on: to go on without a domain, or not, is up to the user. */
	domain = asi_create(parser_types[fault], "parser");
	if (IS_ERR(domain))
		return PTR_ERR(domain);

	/* What ordinary code needs all the time, and this module, which is not part of that. */
	err = asi_map_kernel(domain);
	err = err ?: asi_map_module(domain, THIS_MODULE);
	if (err) {
		asi_destroy(domain);
		return err;
	}

	parser_domain = domain;
	parser_file = debugfs_create_file("asi_parser", 0600, NULL, NULL, &parser_fops);

	return 0;
}

/* Nobody gets in any more, and then the domain goes. */
static void __exit parser_exit(void)
{
	debugfs_remove(parser_file);
	asi_destroy(parser_domain);
}

module_init(parser_init);
module_exit(parser_exit);

MODULE_DESCRIPTION("A parser in an isolated address space");
MODULE_LICENSE("GPL");
