// SPDX-License-Identifier: GPL-2.0
/*
 * What others can ask about protected memory: is this an object, and may user space
 * have it?
 */
#include <linux/export.h>
#include <linux/rcupdate.h>
#include <linux/set_memory.h>

#include "prmem.h"

/**
 * is_pmalloc_object - is this in an object of protected memory?
 * @ptr: any address
 * @n: how many bytes
 *
 * A variable that is __wr_after_init, an object of a cache, or memory that a pool has
 * handed out, be it protected yet or not; and all of it.  The address can be that
 * of the direct map.
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

#ifdef CONFIG_HARDENED_USERCOPY
/**
 * prmem_check_usercopy - may this be copied from or to user space?
 * @ptr: any address of the kernel
 * @n: how many bytes, not 0
 * @to_user: direction
 * @name: where to store the name of the cache or pool
 *
 * Nothing may be copied to protected memory.  From a cache, only what is in its
 * window for that; from pools and variables, what is in one object.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: true if it may, or is no protected memory.
 */
bool prmem_check_usercopy(const void *ptr, unsigned long n, bool to_user, const char **name)
{
	const struct prmem_owner *owner;
	const struct prmem_page *page;
	const struct wr_cache *c;
	enum prmem_refusal why;
	unsigned int offset;
	void *alias;

	if (prmem_is_static((unsigned long)ptr)) {
		*name = "__wr_after_init";
		return to_user || !kernel_set_to_readonly;
	}

	guard(rcu)();

	page = prmem_find(ptr, &alias);
	if (!page)
		return true;

	owner = READ_ONCE(page->owner);
	*name = owner ? owner->name : "free page";
	why = prmem_check_range(NULL, ptr, n, !to_user);
	/* Until a pool is protected, it is like any other memory. */
	if (!to_user)
		return why == PRMEM_OPEN;
	if (why != PRMEM_OK || !owner)
		return false;
	if (owner->kind != PRMEM_KIND_CACHE)
		return true;

	c = container_of(owner, struct wr_cache, owner);
	offset = ((page->index << PAGE_SHIFT) + offset_in_page(ptr)) % c->stride;

	return offset >= c->useroffset && n <= c->usersize &&
		offset - c->useroffset <= c->usersize - n;
}
#endif
