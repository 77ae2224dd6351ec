// SPDX-License-Identifier: GPL-2.0
/*
 * A user of what linux/prmem.h, linux/prlist.h and linux/pratomic.h have without CONFIG_PRMEM: all but pools, and
 * caches that are created at run time. That each function is there is asked by harness/tests/test_must_check.py.
 */
#include <linux/asi.h>
/* This brings x86's own asi.h along, as it does to kernel/sched/core.c. */
#include <linux/entry-common.h>
#include <linux/module.h>
#include <linux/pratomic.h>
#include <linux/prlist.h>
#include <linux/prmem.h>

struct guest {
	struct list_head list;
	u64 number;
	const char *name;
};

DEFINE_WR_CACHE(guest_cache, struct guest);
static DEFINE_WR_CACHE_USERCOPY(other_cache, struct guest, offsetof(struct guest, number), sizeof(u64));
static __wr_after_init LIST_HEAD(guests);
static atomic_t nr_guests __wr_after_init = ATOMIC_INIT(0);

static int add_user(u64 number)
{
	const struct guest *user = wr_cache_zalloc(&guest_cache, GFP_KERNEL), *edit;
	int err;

	if (!user)
		return -ENOMEM;
	if (is_pmalloc_ro_object(user, sizeof(*user)) || is_pmalloc_object(&guests, sizeof(guests)))
		return -EPERM;
	scoped_cond_guard(wr_batch, return -EPERM) {
		err = wr_assign(user->number, number);
		err = err ?: prlist_add_rcu(&user->list, &guests);
		err = err ?: pratomic_inc(&nr_guests);
	}
	if (err || is_pmalloc_wr_object(user, sizeof(*user)))
		return err;
	edit = wr_edit(&guest_cache, user);
	if (IS_ERR(edit))
		return PTR_ERR(edit);
	wr_put(edit, number, number + 1);
	wr_end();

	return 0;
}

static int __init user_init(void)
{
	const struct guest *user;
	int err = add_user(1);

	/* There are no domains, and this does nothing. */
	guard(asi_suspended)();
	list_for_each_entry(user, &guests, list)
		err = err ?: wr_set_field(&guest_cache, user, name, "user");
	return err ?: wr_cache_free(&other_cache, NULL);
}

module_init(user_init);
MODULE_DESCRIPTION("A user of protected memory where there is none");
MODULE_LICENSE("GPL");
