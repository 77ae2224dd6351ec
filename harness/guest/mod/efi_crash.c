// SPDX-License-Identifier: GPL-2.0
/*
 * Has the firmware write where it must not, to a constant: the kernel gives up the call, and EFI with it. The
 * parameters are what the caller finds.
 */
#include <linux/efi.h>
#include <linux/module.h>
#include <linux/preempt.h>

#include <asm/processor.h>

static const unsigned long size = 4;
static efi_char16_t name[256];

static bool aborted;
module_param(aborted, bool, 0444);
static bool services;
module_param(services, bool, 0444);
static bool same_cr3;
module_param(same_cr3, bool, 0444);
static int preempted;
module_param(preempted, int, 0444);

static int __init efi_crash_init(void)
{
	unsigned long cr3 = read_cr3_pa();
	int count = preempt_count();
	efi_guid_t vendor = NULL_GUID;

	if (!efi_enabled(EFI_RUNTIME_SERVICES))
		return -ENODEV;

	/* A name of 4 bytes is too short for all but none, so the firmware says how long it has to be. */
	aborted = efi.get_next_variable((unsigned long *)&size, name, &vendor) == EFI_ABORTED;
	services = efi_enabled(EFI_RUNTIME_SERVICES);
	same_cr3 = read_cr3_pa() == cr3;
	preempted = preempt_count() - count;

	return 0;
}
module_init(efi_crash_init);

static void __exit efi_crash_exit(void)
{
}
module_exit(efi_crash_exit);

MODULE_DESCRIPTION("A firmware that writes to a constant");
MODULE_LICENSE("GPL");
