// SPDX-License-Identifier: GPL-2.0
/*
 * The second part of the story that "make run" tells: an attacker who can write
 * to any kernel address tries that on protected memory, and then the functions
 * that may write to it do so.
 *
 * Loaded on a machine with two CPUs or more, it tells the story once.
 */
#define pr_fmt(fmt) "demo: " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prmem.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

/* The attacker knows all of it: where the window is, how pages are accounted for. */
#include "prmem.h"

#include "demo.h"

/* What somebody wants to protect, and others to change. */
struct limits {
	u64 max_users;
	char owner[16];
};

/* Not exported, nor need they be. */
static struct {
	unsigned long *prmem_base;
	struct prmem_stats *prmem_stats;
	typeof(&prmem_check) prmem_check;
	u64 *__end_wr_after_init;
} k;

static const struct symbol symbols[] = {
	{ "copy_to_kernel_nofault", &write_nofault },
#define SYMBOL(name) { #name, &k.name }
	SYMBOL(prmem_base),
	SYMBOL(prmem_stats),
	SYMBOL(prmem_check),
	SYMBOL(__end_wr_after_init),
};

static struct wr_cache *cache;
static struct pmalloc_pool *pool;

/* An object of a cache, one of a pool, a variable of the kernel. */
static struct limits *object;
static char *view;
static u64 *variable;

/* Where the window would have @p, if it were open: not even that is a secret here. */
static void *alias_of(void *p)
{
	unsigned long slot = virt_to_page(p)->private;

	return (void *)(*k.prmem_base + (slot << PMD_SHIFT) + ((unsigned long)p & ~PMD_MASK));
}

static long refusals(void)
{
	long sum = 0;
	int i;

	for (i = 0; i < PRMEM_NR_REFUSALS; i++)
		sum += atomic_long_read(&k.prmem_stats->refused[i]);

	return sum;
}

static bool untouched(void)
{
	return object->max_users == 10 && !strcmp(object->owner, "root") &&
		!strcmp(view, "allow none");
}

static int make_objects(void)
{
	const struct limits first = { .max_users = 10, .owner = "root" };
	int err;

	cache = wr_cache_create("limits", sizeof(struct limits), 0, 0, 0);
	/* The demo also writes to it as nobody may, for which it casts. */
	object = !IS_ERR(cache) ? (void *)wr_cache_alloc(cache, GFP_KERNEL) : NULL;
	pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	view = !IS_ERR(pool) ? pmalloc(pool, 16) : NULL;
	if (!object || !view)
		return -ENOMEM;

	err = wr_update(cache, object, &first);
	strcpy(view, "allow none");
	/* The end of the section is nobody's variable. */
	variable = k.__end_wr_after_init - 1;

	return err;
}

static void tell_objects(void)
{
	bool writable;
	int err;

	pr_info("Protected memory: data that only changes through such windows.\n");
	pr_info("7. Three objects, which everybody can read\n");
	tell(is_pmalloc_wr_object(object, sizeof(*object)),
	     "of a cache, at %px: says \"%s\" and %llu", object, object->owner, object->max_users);

	/* The first byte, with itself. */
	writable = !write_nofault(view, view, 1);
	err = pmalloc_protect_pool(pool);
	tell(writable && !err && is_pmalloc_wr_object(view, 16),
	     "of a pool, at %px: a store %s; then pmalloc_protect_pool() returns %d; says \"%s\"",
	     view, verdict(writable), err, view);
	tell(is_pmalloc_wr_object(variable, sizeof(*variable)),
	     "a variable of the kernel, at %px, __wr_after_init", variable);
}

static void tell_store(const char *what, void *addr)
{
	bool wrote = can_write(addr);

	tell(!wrote, "%s %px: %s", what, addr, verdict(wrote));
}

/* In a batch the window is open; this CPU sees the object in it, the other one does not. */
static void tell_alias(void)
{
	struct attack idle = { .ready = 1 }, during = {};
	int me = smp_processor_id(), other = cpumask_any_but(cpu_online_mask, me);
	u64 *alias = alias_of(&object->max_users), seen = 0;
	bool closed[2], open;
	int err;

	closed[0] = can_read(alias) || can_write(alias);
	idle.addr = alias;
	smp_call_function_single(other, attack, &idle, true);

	during.addr = alias;
	smp_call_function_single(other, attack, &during, false);
	err = wr_begin();
	open = !err && !copy_from_kernel_nofault(&seen, alias, sizeof(seen));
	let_attack(&during);
	if (!err)
		wr_end();
	closed[1] = can_read(alias) || can_write(alias);

	tell(!closed[0] && !idle.read && !idle.wrote,
	     "where an open window has it, %px: on CPU %d and on CPU %d, a load or a store %s",
	     alias, me, other, verdict(closed[0] || idle.read || idle.wrote));
	tell(open && seen == object->max_users,
	     "   CPU %d opens its window for a batch, and reads %llu there", me, seen);
	tell(!during.read && !during.wrote, "   meanwhile on CPU %d: a load %s, a store %s",
	     other, verdict(during.read), verdict(during.wrote));
	tell(!closed[1], "   CPU %d has closed it: a load or a store %s", me, verdict(closed[1]));
}

/* What copy_from_user() does when nobody checks where it goes to. */
static void tell_usercopy(void)
{
	const void __user *from = (const void __user *)current->mm->arg_start;
	unsigned long left = raw_copy_from_user(object, from, sizeof(u64));

	tell(left == sizeof(u64), "a copy from user space to the object, unchecked: %zu of %zu bytes arrive",
	     sizeof(u64) - left, sizeof(u64));
}

static void tell_attacks(void)
{
	struct page *page = vmalloc_to_page(view);

	pr_info("8. A store to each address that an attacker may know\n");
	tell_store("the object of the cache", object);
	tell_store("the one of the pool", view);
	tell_store("   its page, in the direct map", page_address(page) + offset_in_page(view));
	tell_store("the variable", variable);
	tell_store("the cache itself", cache);
	tell_store("   the metadata of the block that it is in", (void *)((unsigned long)object & PMD_MASK));
	tell_alias();
	tell_usercopy();
	tell(untouched(), "they still say \"%s\", %llu, \"%s\"", object->owner,
	     object->max_users, view);
}

/* What lies in ordinary memory says which block a page is of: it is not believed. */
static int write_with_forged_page(u64 *plain)
{
	struct page *page = virt_to_page(plain), *model = virt_to_page(object);
	unsigned long old = page->private;
	int err;

	page->private = model->private;
	err = wr_assign(*plain, 1);
	page->private = old;

	return err;
}

static void tell_misuse(void)
{
	struct wr_cache *forged = kmemdup(cache, sizeof(*cache), GFP_KERNEL);
	u64 *plain = (u64 *)get_zeroed_page(GFP_KERNEL), value = 1000;
	long before = refusals(), after;
	int err;

	if (!forged || !plain) {
		tell(false, "no memory");
		goto out;
	}

	pr_info("9. The functions that may write, called by somebody who is wrong, or has been lied to\n");
	err = wr_set_field(forged, object, max_users, value);
	tell(err == -EPERM, "wr_set_field() with a copy of the cache, in ordinary memory: %pe", ERR_PTR(err));
	err = wr_memcpy(&object->owner, "0123456789abcdef", sizeof(object->owner) + 1);
	tell(err == -EINVAL, "wr_memcpy() of one byte more than the object has: %pe", ERR_PTR(err));
	err = wr_memcpy(object, (void *)current->mm->arg_start, sizeof(u64));
	tell(err == -EFAULT, "wr_memcpy() from user space: %pe", ERR_PTR(err));
	err = wr_assign(*plain, 1);
	tell(err == -EFAULT, "wr_assign() to ordinary memory: %pe", ERR_PTR(err));
	err = write_with_forged_page(plain);
	tell(err == -EFAULT, "   the same once struct page says that it is of the block: %pe",
	     ERR_PTR(err));
	after = refusals();
	tell(after - before == 5, "debugfs prmem/stats has counted %ld refusals", after - before);
	tell(untouched() && !*plain, "they still say \"%s\", %llu, \"%s\"", object->owner,
	     object->max_users, view);
out:
	free_page((unsigned long)plain);
	kfree(forged);
}

static void tell_writes(void)
{
	int err[4];
	u64 was = *variable;

	pr_info("10. The legitimate writes\n");
	err[0] = wr_assign(object->max_users, 20);
	tell(!err[0] && object->max_users == 20, "wr_assign() returns %d; the object says %llu", err[0],
	     object->max_users);
	err[0] = wr_memcpy(view, "allow some", 11);
	tell(!err[0] && !strcmp(view, "allow some"), "wr_memcpy() returns %d; the object of the pool says \"%s\"",
	     err[0], view);
	err[0] = wr_assign(*variable, 30);
	tell(!err[0] && *variable == 30, "wr_assign() returns %d; the variable is %llu", err[0], *variable);
	err[0] = wr_assign(*variable, was);

	err[0] = wr_cache_seal(cache, object);
	err[1] = wr_assign(object->max_users, 40);
	tell(!err[0] && err[1] == -EPERM && object->max_users == 20,
	     "wr_cache_seal() returns %d; wr_assign() now: %pe; the object says %llu, for ever",
	     err[0], ERR_PTR(err[1]), object->max_users);
	err[2] = pmalloc_make_pool_ro(pool);
	err[3] = wr_memcpy(view, "allow all", 10);
	tell(!err[2] && err[3] == -EPERM && !strcmp(view, "allow some"),
	     "pmalloc_make_pool_ro() returns %d; wr_memcpy() now: %pe; it says \"%s\", for ever",
	     err[2], ERR_PTR(err[3]), view);
}

static void tell_check(void)
{
	struct prmem_check found = {};
	int err = k.prmem_check(&found);
	unsigned long bad = found.writable + found.global + found.user + found.executable;

	pr_info("11. All page tables that a CPU can load, walked: debugfs prmem/check\n");
	tell(!err && found.leaves && !bad,
	     "%lu tables, %lu entries for protected memory; %lu writable without a window, or global, user, executable",
	     found.tables, found.leaves, bad);
}

static int __init prmem_demo_init(void)
{
	if (find_symbols(symbols, ARRAY_SIZE(symbols)))
		return -ENOENT;
	if (num_online_cpus() < 2) {
		pr_err("FAIL needs two CPUs\n");
		return -ENODEV;
	}
	if (make_objects()) {
		pr_err("FAIL no protected memory\n");
		return -ENOMEM;
	}

	migrate_disable();
	tell_objects();
	tell_attacks();
	tell_misuse();
	tell_writes();
	tell_check();
	migrate_enable();

	if (!failures)
		pr_info("done\n");

	return failures ? -EIO : 0;
}

module_init(prmem_demo_init);
MODULE_DESCRIPTION("What protected memory withstands, told step by step");
MODULE_LICENSE("GPL");
