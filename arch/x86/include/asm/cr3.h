/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The layout of CR3, and the functions that make its value for an mm or a domain.
 *
 *  [63]     do not flush the TLB entries of this PCID
 *  [62:61]  LAM
 *  [51:12]  the root; with PTI built in, bit 12 is set for PTI's user page tables only
 *  [11]     PCID: user page table of PTI
 *  [10:8]   PCID: class; 0 is that of the kernel, the others are for types of domains
 *  [2:0]    PCID: the ASID plus one
 *
 * Without PCID, [11:0] are 0, and each write of CR3 flushes all that is not global.
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
 * Return: the PCID.  It is never 0, see kern_pcid().
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
