/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bits of CR3 are, and the function that makes it for an mm or a domain.
 *
 *  [63]     do not flush what the TLB has of this PCID
 *  [62:61]  LAM
 *  [51:12]  the root; bit 12 is set in PTI's user tables and in no other
 *  [11]     PCID: user table of PTI
 *  [10:8]   PCID: class; 0 is the kernel, others are types of domains
 *  [2:0]    PCID: kPCID, the ASID plus one
 *
 * Without PCID, [11:0] are 0 and each write flushes.
 */
#ifndef _ASM_X86_CR3_H
#define _ASM_X86_CR3_H

#include <linux/bits.h>
#include <linux/types.h>

#include <asm/processor-flags.h>

#define CR3_PCID_USER		BIT(11)
#define CR3_CLASS_SHIFT		8
#define CR3_NR_CLASSES		8
#define CR3_CLASS_KERNEL	0

/**
 * cr3_pcid - the PCID of an ASID in a class
 * @class: 0 to %CR3_NR_CLASSES - 1
 * @asid: 0 to %TLB_NR_DYN_ASIDS - 1
 *
 * Return: the PCID, never 0: PCID 0 is for those who know nothing of PCIDs.
 */
static __always_inline u16 cr3_pcid(unsigned int class, u16 asid)
{
	return class << CR3_CLASS_SHIFT | (asid + 1);
}

/**
 * cr3_build - the value to write to CR3
 * @root: physical address of the top level, with the encryption bit if any
 * @pcid: from cr3_pcid(), or 0 without PCID
 * @lam: bits of LAM
 * @noflush: keep what the TLB has of @pcid; needs PCID
 *
 * Return: the value.
 */
static __always_inline unsigned long cr3_build(unsigned long root, u16 pcid,
					       unsigned long lam, bool noflush)
{
	return root | lam | pcid | (noflush ? CR3_NOFLUSH : 0);
}

#endif /* _ASM_X86_CR3_H */
