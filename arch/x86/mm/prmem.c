// SPDX-License-Identifier: GPL-2.0
/*
 * Find every mapping of protected memory in every page table that a CPU can
 * load, and tell which of them must not be.
 *
 * Not walked are the tables of kexec and of hibernation, which are loaded when
 * this kernel is about to be left, and those of other machines: of guests, of
 * IOMMUs.
 */
#include <linux/bitmap.h>
#include <linux/cpufeature.h>
#include <linux/cpumask.h>
#include <linux/efi.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pg_table.h>
#include <linux/pgtable.h>
#include <linux/processor.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/realmode.h>

#include "../../../mm/prmem.h"

/* Rights that every level has to give, and a prohibition for which one level suffices. */
#define PRMEM_ALL_LEVELS	(_PAGE_RW | _PAGE_USER)
#define PRMEM_ANY_LEVEL		_PAGE_NX

/*
 * Which 2 MiB of physical memory may have protected memory in them, by their number
 * modulo PRMEM_PLACES.  Most entries of page tables need no closer look then.
 */
#define PRMEM_PLACES		4096
static DECLARE_BITMAP(prmem_places, PRMEM_PLACES);

static unsigned long prmem_place(unsigned long pfn)
{
	return (pfn >> WR_BLOCK_ORDER) % PRMEM_PLACES;
}

static void prmem_find_places(void)
{
	unsigned long pfn = PHYS_PFN(__pa_symbol(__start_wr_after_init));
	unsigned long end = PHYS_PFN(__pa_symbol(__end_wr_after_init));
	unsigned int slot;

	bitmap_zero(prmem_places, PRMEM_PLACES);
	for (; pfn < end; pfn++)
		__set_bit(prmem_place(pfn), prmem_places);

	/* Blocks and smaller pieces are aligned to their size. */
	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		if (prmem_blocks[slot].nr_pages)
			__set_bit(prmem_place(prmem_blocks[slot].pfn), prmem_places);
	}
}

static bool prmem_is_mapped(unsigned long pfn, unsigned long nr)
{
	unsigned long first = pfn, end = pfn + nr;

	for (; pfn < end; pfn += 1UL << WR_BLOCK_ORDER) {
		if (test_bit(prmem_place(pfn), prmem_places))
			return prmem_overlaps(first, nr);
	}

	return false;
}

/* A walk of one page table. */
struct prmem_walk {
	struct prmem_check *found;
	const pgd_t *root;
};

static void prmem_violation(struct prmem_walk *w, unsigned long *count,
			    unsigned long addr)
{
	if (!w->found->pgd) {
		w->found->pgd = __pa(w->root);
		w->found->addr = addr;
	}
	++*count;
}

/* What each CPU has in CR3 while the machine is stopped, and how many have said so. */
static DEFINE_PER_CPU(unsigned long, prmem_cpu_root);
static atomic_t prmem_cpus_stopped;

static bool prmem_is_loaded(const pgd_t *root)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		if (per_cpu(prmem_cpu_root, cpu) == __pa(root))
			return true;
	}

	return false;
}

/*
 * Is this the page table of a window that is closed?  The machine is stopped, and no CPU
 * is stopped in the middle of a write.  So a window that a CPU has in CR3 was left open.
 */
static bool prmem_is_closed_window(struct prmem_walk *w)
{
	return __pa(w->root) == (prmem_cr3 & CR3_ADDR_MASK) && !prmem_is_loaded(w->root);
}

/* Is this the view of a pool that is not protected yet, and so rightly writable? */
static bool prmem_is_open_view(unsigned long addr, unsigned long pfn, unsigned long nr)
{
	if (!is_vmalloc_addr((void *)addr))
		return false;

	for (; nr; nr--, pfn++) {
		if (prmem_pfn_state(pfn) == PRMEM_PFN_PROTECTED)
			return false;
	}

	return true;
}

static void prmem_check_leaf(struct prmem_walk *w, unsigned long addr,
			     unsigned long pfn, unsigned long nr, pteval_t prot)
{
	bool alias = prmem_base && addr - prmem_base < PRMEM_WINDOW_SIZE;
	struct prmem_check *found = w->found;

	if (!prmem_is_mapped(pfn, nr))
		return;

	found->leaves++;
	if (alias ? !prmem_is_closed_window(w) :
		    (prot & _PAGE_RW) && !prmem_is_open_view(addr, pfn, nr))
		prmem_violation(w, &found->writable, addr);

	/* All else that is global is read-only, and the same in all page tables. */
	if (alias && (prot & _PAGE_GLOBAL))
		prmem_violation(w, &found->global, addr);

	if (prot & _PAGE_USER)
		prmem_violation(w, &found->user, addr);

	if (!(prot & _PAGE_NX) && (__supported_pte_mask & _PAGE_NX))
		prmem_violation(w, &found->executable, addr);
}

/* What is asked of an entry is in the same bits of it on all levels. */
static void prmem_walk_entry(struct prmem_walk *w, pte_t entry, unsigned int shift,
			     unsigned long addr, pteval_t prot)
{
	unsigned long leaves = 0, nr = 1UL << (shift - PAGE_SHIFT);
	pteval_t flags = pte_flags(entry);
	pte_t last = __pte(0), *table;
	unsigned int i;

	if (!(flags & _PAGE_PRESENT))
		return;

	prot = (prot & flags & PRMEM_ALL_LEVELS) | ((prot | flags) & PRMEM_ANY_LEVEL);
	if (shift == PAGE_SHIFT || (flags & _PAGE_PSE)) {
		/* The lowest bit of the address of a large leaf is PAT. */
		prmem_check_leaf(w, addr, ALIGN_DOWN(pte_pfn(entry), nr), nr,
				 prot | (flags & _PAGE_GLOBAL));
		return;
	}

	table = pfn_to_kaddr(pte_pfn(entry));
	shift -= ilog2(PTRS_PER_PTE);
	for (i = 0; i < PTRS_PER_PTE; i++) {
		entry = READ_ONCE(table[i]);
		/* As the last entry, which led to nothing: espfix and KASAN have many. */
		if (pte_same(entry, last) && leaves == w->found->leaves)
			continue;

		last = entry;
		leaves = w->found->leaves;
		prmem_walk_entry(w, entry, shift, addr + ((unsigned long)i << shift), prot);
	}
}

/* Walk a page table, but for what it shares with @done, which has been walked. */
static void prmem_walk_root(struct prmem_check *found, const pgd_t *root,
			    const pgd_t *done)
{
	struct prmem_walk w = { .found = found, .root = root };
	unsigned int i;

	found->tables++;
	for (i = 0; i < PTRS_PER_PGD; i++) {
		unsigned long addr = (unsigned long)i << PGDIR_SHIFT;
		pgd_t pgd = READ_ONCE(root[i]);

		if (done && pgd_val(pgd) == pgd_val(done[i]))
			continue;

		prmem_walk_entry(&w, __pte(pgd_val(pgd)), PGDIR_SHIFT,
				 sign_extend64(addr, __VIRTUAL_MASK_SHIFT),
				 PRMEM_ALL_LEVELS);
	}
}

/* Walk the page table that PTI has for user space, if there is one. */
static void prmem_walk_user_root(struct prmem_check *found, pgd_t *kernel,
				 struct mm_struct *mm)
{
#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
	const pgd_t *done = mm == &init_mm ? NULL : kernel_to_user_pgdp(init_mm.pgd);

	if (!boot_cpu_has(X86_FEATURE_PTI))
		return;

	/*
	 * An mm without users does not return to user space any more, and its entry for
	 * the LDT may lead to tables that have been freed.
	 */
	if (!atomic_read(&mm->mm_users))
		return;

	/* A window in this table is a violation in any case: it has another root. */
	prmem_walk_root(found, kernel_to_user_pgdp(kernel), done);
#endif
}

static void prmem_walk_pg_table(const struct pg_table *pgt, void *found)
{
	prmem_walk_root(found, pgt->root, init_mm.pgd);
}

/*
 * stop_machine() calls this on all CPUs, with interrupts off, and the last one walks.  It
 * reads what the MMU of any CPU may read at any time, without a lock.  So there are
 * tables behind all entries, and none is freed before the entry that leads to it is
 * cleared, wherever those who change page tables have been stopped.  A root is taken off
 * pgd_list before it is freed, and its mm is freed after that.
 */
static int prmem_walk_all(void *data)
{
	struct prmem_check *found = data;
	struct ptdesc *ptdesc;

	this_cpu_write(prmem_cpu_root, read_cr3_pa());
	/* Fully ordered: the last CPU to come here sees what the others have written. */
	if (atomic_inc_return(&prmem_cpus_stopped) != num_online_cpus())
		return 0;

	/* Nobody protects any memory while the machine stands still. */
	prmem_find_places();
	prmem_walk_root(found, init_mm.pgd, NULL);
	prmem_walk_user_root(found, init_mm.pgd, &init_mm);

	list_for_each_entry(ptdesc, &pgd_list, pt_list) {
		struct mm_struct *mm = ptdesc->pt_mm;
		pgd_t *pgd = ptdesc_address(ptdesc);

		prmem_walk_root(found, pgd, init_mm.pgd);
		prmem_walk_user_root(found, pgd, mm);
	}

#ifdef CONFIG_EFI
	/* Not on the list; it is never loaded in user space. */
	if (efi_mm.pgd)
		prmem_walk_root(found, efi_mm.pgd, init_mm.pgd);
#endif

	pg_table_for_each(prmem_walk_pg_table, found);

	/* The page table that a CPU loads first when it is started. */
	if (real_mode_header)
		prmem_walk_root(found, __va(real_mode_header->trampoline_pgd),
				init_mm.pgd);

	return 0;
}

/**
 * prmem_check - look for protected memory in all page tables
 * @result: what there is
 *
 * Stops the machine for as long as it takes to read all page tables, those of
 * processes included, so this is for tests and for those who have a doubt.
 *
 * Context: Process context; sleeps.  Waits for all CPUs, so nobody may wait for
 * the caller with interrupts or preemption off, as in a window.
 *
 * Return: 0, whatever was found; -ENODEV with an empty @result if prmem=off leaves
 * memory writable.
 */
int prmem_check(struct prmem_check *result)
{
	might_sleep();
	memset(result, 0, sizeof(*result));
	if (prmem_unprotected)
		return -ENODEV;

	/* Before prmem_mutex, which a callback of CPU hotplug may take to get memory. */
	cpus_read_lock();
	/* Memory removal frees page tables before it clears the entries for them. */
	get_online_mems();
	/* So that no block is being given back. */
	scoped_guard(mutex, &prmem_mutex) {
		atomic_set(&prmem_cpus_stopped, 0);
		stop_machine_cpuslocked(prmem_walk_all, result, cpu_online_mask);
	}
	put_online_mems();
	cpus_read_unlock();

	return 0;
}
