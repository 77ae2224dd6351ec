// SPDX-License-Identifier: GPL-2.0
/*
 * What guards of the kernel's integrity do: a digest of .rodata, which is to be the same at every time. A read of the
 * parameter makes one.
 */
#define pr_fmt(fmt) "rodata: " fmt

#include <linux/module.h>

#include "demo.h"

static const u8 *rodata, *rodata_end;

static const struct symbol symbols[] = {
	{ "__start_rodata", &rodata },
	{ "__end_rodata", &rodata_end },
};

/* FNV-1a */
static u64 digest_of(const u8 *p, const u8 *end)
{
	u64 sum = 0xcbf29ce484222325;

	for (; p < end; p++)
		sum = (sum ^ *p) * 0x100000001b3;

	return sum;
}

static int get_digest(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%llx\n", digest_of(rodata, rodata_end));
}

static const struct kernel_param_ops digest_ops = { .get = get_digest };
module_param_cb(digest, &digest_ops, NULL, 0400);

static int __init rodata_init(void)
{
	return find_symbols(symbols, ARRAY_SIZE(symbols));
}

static void __exit rodata_exit(void) { }

module_init(rodata_init);
module_exit(rodata_exit);
MODULE_DESCRIPTION("Digests of .rodata");
MODULE_LICENSE("GPL");
