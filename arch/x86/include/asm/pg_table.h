/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What mm/pg_table*.c have to know about an entry.  With four or five levels of 512
 * entries, of which each is a pteval_t, nothing but the place of the PAT bit and the
 * mask of the address depends on the level.
 */
#ifndef _ASM_X86_PG_TABLE_H
#define _ASM_X86_PG_TABLE_H

#include <linux/cpufeature.h>
#include <linux/mm_types.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>

#include <asm/fixmap.h>
#include <asm/paravirt.h>

/*
 * Software bits of entries in tables that a pg_table owns.  PG_ENTRY_COPY is set in
 * leaves that were taken from the source; PG_ENTRY_FOLLOW in leaves that also become
 * whatever the source has there later.  No leaf of the kernel has these bits: they
 * belong to userfaultfd and to soft-dirty tracking.
 */
#define PG_ENTRY_COPY		_PAGE_SOFTW2
#define PG_ENTRY_FOLLOW		_PAGE_SOFTW3

/* Bits that the CPU sets at any time, and that say nothing about the translation. */
#define PG_ENTRY_IGNORE		(_PAGE_ACCESSED | _PAGE_DIRTY)

/* Bits that a leaf of the source loses when it is copied; pg_table_map() refuses them. */
#define PG_ENTRY_STRIP		(_PAGE_GLOBAL | _PAGE_USER | PG_ENTRY_COPY | PG_ENTRY_FOLLOW)

/*
 * How an entry is stored that follows an empty entry of the source.  pte_none() and the
 * like take it for empty: they ignore the accessed and the dirty bit, which an erratum of
 * Xeon Phi can set in an empty entry.  This relies on that never being the dirty bit
 * alone.
 */
#define PG_ENTRY_FOLLOW_NONE	_PAGE_DIRTY

static inline int pg_table_root_level(void)
{
	return pgtable_l5_enabled() ? PG_LEVEL_256T : PG_LEVEL_512G;
}

static inline unsigned long pg_table_first_addr(void)
{
	return -1UL << __VIRTUAL_MASK_SHIFT;
}

/* With PTI a root takes two pages, so that bit 12, set in user CR3s, is clear in it. */
#define PG_TABLE_ROOT_ORDER	PGD_ALLOCATION_ORDER

/* Roots of Xen PV have to be pinned, and belong to an mm. */
static inline bool arch_pg_table_supported(void)
{
	return !cpu_feature_enabled(X86_FEATURE_XENPV);
}

/*
 * The fixmap changes in NMIs, where nobody can be told about it.  Its tables
 * are part of the kernel image and can be shared.
 */
static inline bool arch_pg_table_may_copy(unsigned long start, unsigned long last)
{
	return start > FIXADDR_TOP - 1 || last < FIXADDR_TOT_START;
}

static inline pteval_t pg_entry_read(const pteval_t *slot)
{
	return pte_val(READ_ONCE(*(const pte_t *)slot));
}

static inline void pg_entry_write(int level, pteval_t *slot, pteval_t e)
{
	switch (level) {
	case PG_LEVEL_4K:
		set_pte((pte_t *)slot, __pte(e));
		break;
	case PG_LEVEL_2M:
		set_pmd((pmd_t *)slot, __pmd(e));
		break;
	case PG_LEVEL_1G:
		set_pud((pud_t *)slot, __pud(e));
		break;
	case PG_LEVEL_512G:
		set_p4d((p4d_t *)slot, __p4d(e));
		break;
	default:
		set_pgd((pgd_t *)slot, __pgd(e));
	}
}

static inline bool pg_entry_present(pteval_t e)
{
	return e & _PAGE_PRESENT;
}

static inline bool pg_entry_is_table(int level, pteval_t e)
{
	return level > PG_LEVEL_4K && (e & (_PAGE_PRESENT | _PAGE_PSE)) == _PAGE_PRESENT;
}

static inline pteval_t *pg_entry_table(pteval_t e)
{
	return __va(e & PTE_PFN_MASK);
}

static inline pteval_t pg_entry_mk_table(pteval_t *table)
{
	return __pa(table) | _KERNPG_TABLE;
}

static inline unsigned long pg_entry_pfn(int level, pteval_t e)
{
	switch (level) {
	case PG_LEVEL_4K:
		return pte_pfn(__pte(e));
	case PG_LEVEL_2M:
		return pmd_pfn(__pmd(e));
	default:
		return pud_pfn(__pud(e));
	}
}

static inline pgprot_t pg_entry_prot(int level, pteval_t e)
{
	switch (level) {
	case PG_LEVEL_4K:
		return pte_pgprot(__pte(e));
	case PG_LEVEL_2M:
		return pmd_pgprot(__pmd(e));
	default:
		return pud_pgprot(__pud(e));
	}
}

/* The protection of the leaf @e of @level, in the form of a leaf of 4 KiB. */
static inline pgprot_t pg_entry_prot_4k(int level, pteval_t e)
{
	pgprot_t prot = pg_entry_prot(level, e);

	return level > PG_LEVEL_4K ? pgprot_large_2_4k(prot) : prot;
}

/* A leaf of @level, with the protection @prot in the form of a leaf of 4 KiB. */
static inline pteval_t pg_entry_mk_leaf(int level, unsigned long pfn, pgprot_t prot)
{
	if (level > PG_LEVEL_4K)
		prot = __pgprot(pgprot_val(pgprot_4k_2_large(prot)) | _PAGE_PSE);

	return pte_val(pfn_pte(pfn, prot));
}

static inline bool pg_table_has_leaf(int level)
{
	return level <= PG_LEVEL_2M ||
	       (level == PG_LEVEL_1G && boot_cpu_has(X86_FEATURE_GBPAGES));
}

/* What the entry of number @index maps if the leaf @e of @level becomes a table. */
static inline pteval_t pg_entry_part(int level, pteval_t e, unsigned int index)
{
	unsigned long pfn = pg_entry_pfn(level, e);
	pgprot_t prot = pg_entry_prot(level, e);

	pfn += (unsigned long)index << (page_level_shift(level - 1) - PAGE_SHIFT);
	if (level == PG_LEVEL_2M)
		prot = pgprot_large_2_4k(prot);

	return pte_val(pfn_pte(pfn, prot));
}

/* The entry @e as the CPU sees it, with what the entry @upper above it forbids. */
static inline pteval_t pg_entry_restrict(pteval_t e, pteval_t upper)
{
	if (!(upper & _PAGE_RW))
		e &= ~(_PAGE_RW | _PAGE_DIRTY);
	if (!(upper & _PAGE_USER))
		e &= ~_PAGE_USER;

	return e | (upper & _PAGE_NX);
}

/* Neither global nor for user mode, and not both writable and executable. */
static inline bool arch_pg_table_prot_ok(pgprot_t prot)
{
	pgprotval_t val = pgprot_val(prot);

	if ((val & _PAGE_PRESENT) == 0 || val & (PTE_PFN_MASK & ~_PAGE_ENC))
		return false;

	if (val & PG_ENTRY_STRIP)
		return false;

	/* Not writable, but dirty, is a shadow stack. */
	if (!(val & _PAGE_RW) && (val & _PAGE_DIRTY))
		return false;

	return !(val & _PAGE_RW) || (val & _PAGE_NX) || !(__supported_pte_mask & _PAGE_NX);
}

static inline bool arch_pg_table_pfn_ok(unsigned long pfn, unsigned long nr)
{
	unsigned long end = 1UL << (boot_cpu_data.x86_phys_bits - PAGE_SHIFT);

	return nr <= end && pfn <= end - nr;
}

/* Hypervisors may want to know about a table before it is in use. */
static inline void arch_pg_table_alloc(struct mm_struct *mm, int level, void *table)
{
	unsigned long pfn = PHYS_PFN(__pa(table));

	switch (level) {
	case PG_LEVEL_4K:
		paravirt_alloc_pte(mm, pfn);
		break;
	case PG_LEVEL_2M:
		paravirt_alloc_pmd(mm, pfn);
		break;
	case PG_LEVEL_1G:
		paravirt_alloc_pud(mm, pfn);
		break;
	default:
		paravirt_alloc_p4d(mm, pfn);
	}
}

static inline void arch_pg_table_release(int level, void *table)
{
	unsigned long pfn = PHYS_PFN(__pa(table));

	switch (level) {
	case PG_LEVEL_4K:
		paravirt_release_pte(pfn);
		break;
	case PG_LEVEL_2M:
		paravirt_release_pmd(pfn);
		break;
	case PG_LEVEL_1G:
		paravirt_release_pud(pfn);
		break;
	default:
		paravirt_release_p4d(pfn);
	}
}

#endif /* _ASM_X86_PG_TABLE_H */
