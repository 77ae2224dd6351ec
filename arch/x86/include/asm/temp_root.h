/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A page table that this CPU has for some stores, with interrupts off.
 *
 * Only CR3 changes.  cpu_tlbstate goes on saying which mm this CPU has loaded, and nobody
 * is told, because nobody can look: a flush for that mm, by an IPI, waits until interrupts
 * are on, and an NMI finds out by CR3, see nmi_uaccess_okay().  For a window in which
 * interrupts may be on there is use_temporary_mm().
 *
 * For built-in code: modules do not see cpu_tlbstate.
 */
#ifndef _ASM_X86_TEMP_ROOT_H
#define _ASM_X86_TEMP_ROOT_H

#include <linux/mem_encrypt.h>
#include <linux/mm_types.h>
#include <linux/types.h>

#include <asm/page.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

unsigned long use_temporary_root(unsigned long cr3);
void unuse_temporary_root(unsigned long cr3, unsigned long prev, bool flush);
bool temporary_root_loaded(void);

/* What use_temporary_root() wants for the page table of an mm. */
static inline unsigned long temporary_root_of(const struct mm_struct *mm)
{
	return __sme_pa(mm->pgd);
}

#endif /* _ASM_X86_TEMP_ROOT_H */
