// SPDX-License-Identifier: GPL-2.0
/*
 * What others can ask about protected memory: is this an object, and may user space
 * have it?
 */
#define pr_fmt(fmt) "prmem: " fmt

#include <linux/export.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>

#include "prmem.h"

/**
 * is_pmalloc_object - is this in an object of protected memory?
 * @ptr: any address
 * @n: how many bytes
 *
 * All @n bytes have to be in __wr_after_init variables, in one object of a cache, or in
 * memory that a pool has handed out, be it protected yet or not.  Neither pools nor the
 * section of variables keep sizes, so there the bytes can be of several objects.  @ptr
 * can also be the address in the direct map.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: true if so.
 */
bool is_pmalloc_object(const void *ptr, size_t n)
{
	return prmem_check_range(NULL, ptr, n, false) == PRMEM_OK;
}
EXPORT_SYMBOL_GPL(is_pmalloc_object);

/**
 * is_pmalloc_ro_object - is this in an object that nobody can write any more?
 * @ptr: any address
 * @n: how many bytes
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: true if it is sealed, or in a pool that is protected and read-only.
 */
bool is_pmalloc_ro_object(const void *ptr, size_t n)
{
	enum prmem_refusal why = prmem_check_range(NULL, ptr, n, true);

	return why == PRMEM_SEALED || why == PRMEM_READ_ONLY;
}
EXPORT_SYMBOL_GPL(is_pmalloc_ro_object);

/**
 * is_pmalloc_wr_object - is this in an object that only wr_*() can write?
 * @ptr: any address
 * @n: how many bytes
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: true if wr_memcpy(@ptr, ..., @n) would be allowed.
 */
bool is_pmalloc_wr_object(const void *ptr, size_t n)
{
	return prmem_check_range(NULL, ptr, n, true) == PRMEM_OK;
}
EXPORT_SYMBOL_GPL(is_pmalloc_wr_object);

/* How far an address is into its object of a cache, or into a piece of a pool. */
static unsigned long prmem_offset(const struct prmem_owner *owner,
				  const struct prmem_page *page, unsigned long addr)
{
	unsigned long offset = ((unsigned long)page->index << PAGE_SHIFT) + offset_in_page(addr);

	if (owner && owner->kind == PRMEM_KIND_CACHE)
		offset %= container_of(owner, struct wr_cache, owner)->stride;

	return offset;
}

#ifdef CONFIG_HARDENED_USERCOPY
/**
 * prmem_check_usercopy - may this be copied from or to user space?
 * @ptr: any address of the kernel
 * @n: how many bytes, not 0
 * @to_user: direction
 * @name: where to store the name of the cache or pool
 * @offset: where to store how far into the object of the cache this is, or into the
 *	piece of the pool, or into the section of variables
 *
 * Nothing may be copied to memory that is protected already.  To user space may be
 * copied: of one object of a cache, the usersize bytes at useroffset; of a pool, what it
 * has handed out, which can be more than one object; of variables, anything.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: true if it may, or is no protected memory.
 */
bool prmem_check_usercopy(const void *ptr, unsigned long n, bool to_user, const char **name,
			  unsigned long *offset)
{
	const struct prmem_owner *owner;
	const struct prmem_page *page;
	const struct wr_cache *c;
	enum prmem_refusal why;
	void *alias;

	if (prmem_is_static((unsigned long)ptr)) {
		*name = "__wr_after_init";
		*offset = (unsigned long)ptr - (unsigned long)__start_wr_after_init;
		return to_user || !prmem_static_ro;
	}

	guard(rcu)();

	page = prmem_find(ptr, &alias);
	if (!page)
		return true;

	owner = READ_ONCE(page->owner);
	*name = owner ? owner->name : "free page";
	*offset = prmem_offset(owner, page, (unsigned long)ptr);
	why = prmem_check_range(NULL, ptr, n, !to_user);
	/* Until a pool is protected, it is like any other memory. */
	if (!to_user)
		return why == PRMEM_OPEN;
	if (why != PRMEM_OK || !owner)
		return false;
	if (owner->kind != PRMEM_KIND_CACHE)
		return true;

	c = container_of(owner, struct wr_cache, owner);

	return *offset >= c->useroffset && n <= c->usersize &&
		*offset - c->useroffset <= c->usersize - n;
}
#endif

/* What the report of a fault says about a page of a cache or pool. */
static void prmem_show_object(unsigned long address)
{
	enum prmem_refusal why;
	const struct prmem_owner *owner;
	const struct prmem_page *page;
	unsigned long offset;
	void *alias;

	/* The page may be given back meanwhile; the owner's descriptor stays. */
	guard(rcu)();

	page = prmem_find((void *)address, &alias);
	if (!page)
		return;

	owner = READ_ONCE(page->owner);
	if (!owner) {
		pr_alert("protected memory that is free\n");
		return;
	}

	offset = prmem_offset(owner, page, address);
	why = prmem_check_range(NULL, (void *)address, 1, true);
	pr_alert("protected memory of %s %s, offset %lu%s: %s\n",
		 owner->kind == PRMEM_KIND_POOL ? "pool" : "cache", owner->name, offset,
		 owner->kind == PRMEM_KIND_POOL ? "" : " of an object",
		 why == PRMEM_OK ? "write to it by wr_*()" : prmem_refusal_word(why));
}

/**
 * prmem_show_fault - say what protected memory an access has hit
 * @address: what was accessed
 * @write: it was to be written
 *
 * For the report of a page fault that nothing has handled.  A plain store to protected
 * memory ends there, and so does the address that wr_edit() has returned, after wr_end().
 *
 * Context: Any.
 */
void prmem_show_fault(unsigned long address, bool write)
{
	if (!static_branch_likely(&prmem_ready))
		return;

	/* Protected memory can be read, unless an ASI domain does not map it. */
	if (address - prmem_base < PRMEM_WINDOW_SIZE)
		pr_alert("an address in a window, which is good from wr_edit() to wr_end() only\n");
	else if (!write)
		return;
	else if (!prmem_is_static(address))
		prmem_show_object(address);
	else if (prmem_check_range(NULL, (void *)address, 1, true) == PRMEM_OK)
		pr_alert("variable %pS is protected: write to it by wr_*()\n", (void *)address);
	else
		pr_alert("variable %pS is protected, and not written by wr_*()\n", (void *)address);
}
