// SPDX-License-Identifier: GPL-2.0
/*
 * Temporary mms: map some pages for one CPU only, at an address that nobody
 * can know beforehand, do one operation, and unmap them again.
 *
 * See Documentation/mm/temp_mm.rst for what this protects and what not.
 */
#define pr_fmt(fmt) "temp_mm: " fmt

#include <linux/asi.h>
#include <linux/cpuhotplug.h>
#include <linux/debugfs.h>
#include <linux/hardirq.h>
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/pg_table.h>
#include <linux/pgalloc.h>
#include <linux/preempt.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/temp_mm.h>
#include <linux/uaccess.h>

#include <asm/temp_root.h>

/*
 * Who changes the state owns the object until the next change, so that two
 * users get -EBUSY and not each other's mappings:
 *
 *	IDLE -> BUSY -> MAPPED		temp_mm_map()
 *	MAPPED -> USED -> MAPPED	temp_mm_use(), temp_mm_unuse()
 *	MAPPED -> BUSY -> IDLE		temp_mm_unmap()
 *	IDLE -> BUSY -> IDLE		temp_mm_write(), temp_mm_set()
 *
 * Each step into a state that others may take up is a release.  It pairs with
 * the acquire in temp_mm_claim().
 */
enum temp_mm_state {
	TEMP_MM_IDLE,
	TEMP_MM_BUSY,
	TEMP_MM_MAPPED,
	TEMP_MM_USED,
};

/* For each reason to refuse: the error, the word in debugfs, the text for the log. */
static const struct {
	int err;
	const char *word;
	const char *line;
} temp_mm_refusals[] = {
	[TEMP_MM_BAD_ARG] = {
		-EINVAL, "argument", "NULL, or a size that does not fit the window"
	},
	[TEMP_MM_BAD_PROT] = {
		-EINVAL, "protection", "protection is global, user, executable or uncommon"
	},
	[TEMP_MM_BAD_PAGE] = {
		-EINVAL, "page", "page is not RAM"
	},
	[TEMP_MM_BAD_ADDRESS] = {
		-EFAULT, "address", "no kernel memory at this address"
	},
	[TEMP_MM_BAD_CONTEXT] = {
		-EPERM, "context", "not in an NMI, and only with preemption off"
	},
	[TEMP_MM_BAD_STATE] = {
		-EBUSY, "state", "in use by another, or not mapped, or not in use"
	},
};

static_assert(ARRAY_SIZE(temp_mm_refusals) == TEMP_MM_NR_REFUSALS);

struct temp_mm_stats temp_mm_stats;

/*
 * Count, name the caller once for each kind of mistake, and return the error.
 * A wrong argument is no reason to stop the machine, so this is no WARN().
 */
static noinline __cold int temp_mm_refuse(const struct temp_mm *t,
					  enum temp_mm_refusal why,
					  unsigned long caller)
{
	static unsigned long warned;

	atomic_long_inc(&temp_mm_stats.refused[why]);
	if (!test_and_set_bit(why, &warned))
		pr_warn("%s: %s; refused, caller is %pS\n",
			t ? t->name : "(null)", temp_mm_refusals[why].line,
			(void *)caller);

	return temp_mm_refusals[why].err;
}

static bool temp_mm_claim(struct temp_mm *t, int from, int to)
{
	/* Pairs with smp_store_release() in temp_mm_release(). */
	return try_cmpxchg_acquire(&t->state, &from, to);
}

static void temp_mm_release(struct temp_mm *t, int to)
{
	/* Pairs with try_cmpxchg_acquire() in temp_mm_claim(). */
	smp_store_release(&t->state, to);
}

/*
 * Allocate an mm that CPUs load and that no task has.  It gets none of the per-CPU
 * counters of mm_alloc(): with one such mm for each CPU they would take memory that
 * grows with the square of the number of CPUs.
 */
static struct mm_struct *temp_mm_new_mm(void)
{
	struct mm_struct *mm;

	mm = kzalloc(sizeof(*mm) + cpumask_size() + mm_cid_size(), GFP_KERNEL);
	if (!mm)
		return NULL;

	mt_init_flags(&mm->mm_mt, MM_MT_FLAGS);
	mt_set_external_lock(&mm->mm_mt, &mm->mmap_lock);
	atomic_set(&mm->mm_users, 1);
	atomic_set(&mm->mm_count, 1);
	seqcount_init(&mm->write_protect_seq);
	init_rwsem(&mm->mmap_lock);
	spin_lock_init(&mm->page_table_lock);
	spin_lock_init(&mm->arg_lock);
	INIT_LIST_HEAD(&mm->mmlist);
	mm_pgtables_bytes_init(mm);
	mm_init_cpumask(mm);

	mm->pgd = pgd_alloc(mm);
	if (!mm->pgd)
		goto free_mm;

	if (init_new_context(NULL, mm))
		goto free_pgd;

	arch_temp_mm_init(mm);

	return mm;

free_pgd:
	pgd_free(mm, mm->pgd);
free_mm:
	kfree(mm);
	return NULL;
}

static void temp_mm_free_mm(struct mm_struct *mm)
{
	arch_temp_mm_exit(mm);
	destroy_context(mm);
	pgd_free(mm, mm->pgd);
	kfree(mm);
}

/* One table for each level, once for all: temp_mm_move() moves the entries. */
static int temp_mm_alloc_tables(struct temp_mm *t)
{
	int err = pg_table_populate(&t->tables, t->addr, PG_LEVEL_4K);

	if (err)
		return err;

	t->p4d = p4d_offset(pgd_offset(t->mm, t->addr), t->addr);
	t->pud = pud_offset(t->p4d, t->addr);
	t->pmd = pmd_offset(t->pud, t->addr);
	t->pte = pte_offset_kernel(t->pmd, t->addr);
	return 0;
}

static long temp_mm_size(const struct temp_mm *t)
{
	long size = kmalloc_size_roundup(sizeof(*t));

	size += kmalloc_size_roundup(sizeof(*t->mm) + cpumask_size() +
				     mm_cid_size());
	size += TEMP_MM_PGD_BYTES + t->tables.nr_tables * PAGE_SIZE;

	return size;
}

static struct temp_mm *temp_mm_new(const char *name, unsigned long addr)
{
	struct temp_mm *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;

	t->name = name;
	t->addr = addr;
	t->mm = temp_mm_new_mm();
	if (!t->mm) {
		kfree(t);
		return NULL;
	}
	t->cr3 = temporary_root_of(t->mm);
	pg_table_attach(&t->tables, t->mm);

	return t;
}

static void temp_mm_delete(struct temp_mm *t)
{
	temp_mm_free_mm(t->mm);
	pg_table_detach(&t->tables);
	/* It has a key for random addresses. */
	kfree_sensitive(t);
}

/**
 * temp_mm_alloc - allocate a temporary mm with a window
 * @nr_pages: most pages that can be mapped at a time, 1 to %TEMP_MM_MAX_PAGES
 * @name: for messages; not copied
 *
 * All page tables are allocated here, so that nothing allocates later.
 *
 * Context: Process context; sleeps.
 *
 * Return: the temporary mm, or NULL if @nr_pages is out of range or memory is
 * short.
 */
struct temp_mm *temp_mm_alloc(unsigned int nr_pages, const char *name)
{
	struct temp_mm *t;

	might_sleep();
	if (!name || !nr_pages || nr_pages > TEMP_MM_MAX_PAGES) {
		temp_mm_refuse(NULL, TEMP_MM_BAD_ARG, _RET_IP_);
		return NULL;
	}

	t = temp_mm_new(name, TEMP_MM_BASE + TEMP_MM_GUARD);
	if (!t)
		return NULL;

	t->nr_pages = nr_pages;
	get_random_bytes(&t->key, sizeof(t->key));
	if (temp_mm_alloc_tables(t)) {
		temp_mm_delete(t);
		return NULL;
	}

	atomic_long_inc(&temp_mm_stats.instances);
	atomic_long_add(temp_mm_size(t), &temp_mm_stats.bytes);

	return t;
}

/**
 * temp_mm_free - free a temporary mm
 * @t: from temp_mm_alloc(), with nothing mapped; or NULL
 *
 * If pages are still mapped in the window, or @t is still in use, the call is refused
 * and @t stays as it is.
 *
 * Context: Process context; sleeps.
 */
void temp_mm_free(struct temp_mm *t)
{
	if (!t)
		return;

	might_sleep();
	if (!cpumask_empty(mm_cpumask(t->mm)) ||
	    !temp_mm_claim(t, TEMP_MM_IDLE, TEMP_MM_BUSY)) {
		temp_mm_refuse(t, TEMP_MM_BAD_STATE, _RET_IP_);
		return;
	}

	atomic_long_dec(&temp_mm_stats.instances);
	atomic_long_sub(temp_mm_size(t), &temp_mm_stats.bytes);
	temp_mm_delete(t);
}

/* The start of the table that an entry is in. */
#define temp_mm_table(entry)	((typeof(entry))((unsigned long)(entry) & PAGE_MASK))

/*
 * A keyed hash of a counter: as hard to guess as the key, and takes no lock, so
 * that every context can have a new address for each use.
 */
static u32 temp_mm_random(struct temp_mm *t)
{
	return hsiphash_1u32(t->nonce++, &t->key);
}

/* Move the P4D entry as well: with five levels it adds nine bits to the address. */
static noinline unsigned long temp_mm_move_p4d(struct temp_mm *t)
{
	unsigned int index = temp_mm_random(t) % PTRS_PER_P4D;
	p4d_t p4d = *t->p4d;

	p4d_clear(t->p4d);
	t->p4d = temp_mm_table(t->p4d) + index;
	set_p4d(t->p4d, p4d);

	return (unsigned long)index << P4D_SHIFT;
}

/*
 * Move the window to a new random address.  The tables above the PTE table have one
 * entry each, which moves to another place in its table.  The caller has claimed @t,
 * which was idle, so no CPU has these tables loaded.
 */
static void temp_mm_move(struct temp_mm *t)
{
	unsigned long addr = ((unsigned long)temp_mm_random(t) << PAGE_SHIFT) & ~P4D_MASK;
	pud_t pud = *t->pud;
	pmd_t pmd = *t->pmd;

	if (!mm_p4d_folded(t->mm))
		addr += temp_mm_move_p4d(t);
	if (addr < TEMP_MM_GUARD)
		addr += TEMP_MM_GUARD;

	/* All pages of a window are in one page table. */
	if (pte_index(addr) + t->nr_pages > PTRS_PER_PTE)
		addr -= t->nr_pages << PAGE_SHIFT;

	pud_clear(t->pud);
	t->pud = temp_mm_table(t->pud) + pud_index(addr);
	set_pud(t->pud, pud);

	pmd_clear(t->pmd);
	t->pmd = temp_mm_table(t->pmd) + pmd_index(addr);
	set_pmd(t->pmd, pmd);

	t->pte = temp_mm_table(t->pte) + pte_index(addr);
	t->addr = TEMP_MM_BASE + addr;
}

static __always_inline void temp_mm_set_pte(struct temp_mm *t, unsigned int i,
					    unsigned long pfn, pgprot_t prot)
{
	set_pte_at(t->mm, t->addr + i * PAGE_SIZE, t->pte + i, pfn_pte(pfn, prot));
}

/*
 * Called after the last temp_mm_set_pte().  No CPU has the mm loaded, and the next CPU
 * that loads it flushes what its TLB has of earlier windows.
 */
static void temp_mm_mapped(struct temp_mm *t, unsigned int n)
{
	t->nr_mapped = n;
	temporary_mm_changed(t->mm, TEMP_MM_BASE, TEMP_MM_BASE + TEMP_MM_SIZE);
}

/*
 * Empty the window.  Nothing is flushed: the mm is loaded again only after the next
 * temp_mm_mapped(), or by use_temporary_root().  Either load flushes what the TLB still
 * has of these pages.
 */
static void temp_mm_clear(struct temp_mm *t)
{
	unsigned int i = 0;

	do
		pte_clear(t->mm, t->addr + i * PAGE_SIZE, t->pte + i);
	while (++i < t->nr_mapped);
}

/**
 * temp_mm_map - map pages in the window of a temporary mm
 * @t: from temp_mm_alloc(), with nothing mapped
 * @pages: what to map, in this order
 * @n: how many, 1 to the number that @t was allocated with
 * @prot: %TEMP_MM_PROT_RW, %TEMP_MM_PROT_RO or the like; never global, user or
 *	executable, and of the memory type of the direct map
 *
 * The pages become accessible for the CPU that calls temp_mm_use(), from then
 * until temp_mm_unuse().  The address is a new, random one for each call.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: the address of the window; or, with nothing mapped, an ERR_PTR():
 * -EINVAL for a bad argument, protection or page, -EPERM in an NMI, -EBUSY if
 * something is mapped already.
 */
void *temp_mm_map(struct temp_mm *t, struct page **pages, unsigned int n,
		  pgprot_t prot)
{
	unsigned int i;

	if (!t || !pages || !n || n > t->nr_pages)
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_ARG, _RET_IP_));

	if (in_nmi())
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_CONTEXT, _RET_IP_));

	if (!arch_temp_mm_prot_ok(prot))
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_PROT, _RET_IP_));

	for (i = 0; i < n; i++) {
		if (!pages[i] || !arch_temp_mm_pfn_ok(page_to_pfn(pages[i])))
			return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_PAGE, _RET_IP_));
	}

	if (!temp_mm_claim(t, TEMP_MM_IDLE, TEMP_MM_BUSY))
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_STATE, _RET_IP_));

	temp_mm_move(t);
	for (i = 0; i < n; i++)
		temp_mm_set_pte(t, i, page_to_pfn(pages[i]), prot);
	temp_mm_mapped(t, n);
	temp_mm_release(t, TEMP_MM_MAPPED);

	return (void *)t->addr;
}

/**
 * temp_mm_unmap - empty the window of a temporary mm
 * @t: with pages mapped, and not in use
 *
 * Context: Any but NMI.  Does not sleep.
 */
void temp_mm_unmap(struct temp_mm *t)
{
	if (!t) {
		temp_mm_refuse(t, TEMP_MM_BAD_ARG, _RET_IP_);
		return;
	}

	if (in_nmi()) {
		temp_mm_refuse(t, TEMP_MM_BAD_CONTEXT, _RET_IP_);
		return;
	}

	if (!temp_mm_claim(t, TEMP_MM_MAPPED, TEMP_MM_BUSY)) {
		temp_mm_refuse(t, TEMP_MM_BAD_STATE, _RET_IP_);
		return;
	}

	temp_mm_clear(t);
	temp_mm_release(t, TEMP_MM_IDLE);
}

/**
 * temp_mm_use - open the window of a temporary mm on this CPU
 * @t: with pages mapped, and not in use
 *
 * From here to temp_mm_unuse() sleeping is illegal.  Turn interrupts off too
 * if their handlers are not to be trusted with the window.  Windows of
 * different temporary mms nest.
 *
 * Context: Preemption off.  Any but NMI, and not in a batch of writes to protected
 * memory, see wr_begin().
 *
 * Return: 0; -EINVAL for NULL, -EPERM in the wrong context, -EBUSY if nothing
 * is mapped or @t is in use.
 */
int temp_mm_use(struct temp_mm *t)
{
	if (!t)
		return temp_mm_refuse(t, TEMP_MM_BAD_ARG, _RET_IP_);

	if (in_nmi() || preemptible() ||
	    (test_thread_flag(TIF_TEMP_MM) && temporary_root_loaded()))
		return temp_mm_refuse(t, TEMP_MM_BAD_CONTEXT, _RET_IP_);

	if (!temp_mm_claim(t, TEMP_MM_MAPPED, TEMP_MM_USED))
		return temp_mm_refuse(t, TEMP_MM_BAD_STATE, _RET_IP_);

	guard(irqsave)();

	WRITE_ONCE(t->user, current);
	t->prev = use_temporary_mm_irqs_off(t->mm);
	temporary_mm_lend(mm_is_temporary(t->prev), _RET_IP_);

	return 0;
}

/**
 * temp_mm_unuse - close the window of a temporary mm
 * @t: in use on this CPU, and the last one to be put to use
 *
 * After this the address of the window faults on this CPU as on any other.
 *
 * Context: The task that called temp_mm_use(), with preemption off since.  Any but NMI.
 */
void temp_mm_unuse(struct temp_mm *t)
{
	bool open;

	if (!t) {
		temp_mm_refuse(t, TEMP_MM_BAD_ARG, _RET_IP_);
		return;
	}

	if (in_nmi()) {
		temp_mm_refuse(t, TEMP_MM_BAD_CONTEXT, _RET_IP_);
		return;
	}

	open = temporary_mm_is_loaded(t->mm);
	if (READ_ONCE(t->state) != TEMP_MM_USED || READ_ONCE(t->user) != current ||
	    (!open && temporary_mm_loaded())) {
		temp_mm_refuse(t, TEMP_MM_BAD_STATE, _RET_IP_);
		return;
	}

	/* The user has scheduled, and that has closed the window. */
	if (!open) {
		temp_mm_release(t, TEMP_MM_MAPPED);
		temp_mm_refuse(t, TEMP_MM_BAD_STATE, _RET_IP_);
		return;
	}

	scoped_guard(irqsave) {
		temporary_mm_unlend(mm_is_temporary(t->prev));
		unuse_temporary_mm_irqs_off(t->mm, t->prev);
	}
	temp_mm_release(t, TEMP_MM_MAPPED);
}

/**
 * temp_mm_readable - can a range of kernel memory be read?
 * @src: start of the range, any address
 * @len: length of the range in bytes, not 0
 *
 * Reads one byte of each page, since any page of the range may be missing.
 *
 * Context: Any but NMI.
 *
 * Return: true if all pages of the range are kernel memory that can be read.
 */
bool temp_mm_readable(const void *src, size_t len)
{
	const void *last = src + len - 1;
	u8 byte;

	if (last < src)
		return false;

	for (; src <= last; src = PTR_ALIGN_DOWN(src, PAGE_SIZE) + PAGE_SIZE) {
		if (copy_from_kernel_nofault(&byte, src, 1))
			return false;
	}

	return true;
}

/*
 * Store up to 8 bytes.  1, 2, 4 or 8 bytes are one store, so that nobody who reads an
 * aligned @dst sees a part of the new value.
 */
static __always_inline void temp_mm_store(void *dst, u64 val, size_t len)
{
	switch (len) {
	case 8:
		WRITE_ONCE(*(u64 *)dst, val);
		break;
	case 4:
		WRITE_ONCE(*(u32 *)dst, val);
		break;
	case 2:
		WRITE_ONCE(*(u16 *)dst, val);
		break;
	case 1:
		WRITE_ONCE(*(u8 *)dst, val);
		break;
	default:
		memcpy(dst, &val, len);
	}
}

/* Map what is at @addr as page @i of the window. */
static __always_inline bool temp_mm_add(struct temp_mm *t, unsigned int i, const void *addr)
{
	unsigned long pfn = arch_temp_mm_pfn_of(addr);

	if (pfn)
		temp_mm_set_pte(t, i, pfn, TEMP_MM_PROT_RW);

	return pfn;
}

/* A window that is opened and closed by one function. */
struct temp_mm_root {
	unsigned long cr3;
	unsigned long prev;
};

/* Map the pages after the first one.  Most writes touch only one page. */
static noinline bool temp_mm_add_more(struct temp_mm *t, const void *addr, unsigned int n)
{
	unsigned int i;

	for (i = 1; i < n; i++) {
		if (!temp_mm_add(t, i, addr + i * PAGE_SIZE))
			return false;
	}

	return true;
}

/*
 * What temp_mm_write() and temp_mm_set() do before they store: check, map the pages of
 * @dst, and load the page table.  Interrupts are off.  @t is TEMP_MM_BUSY from here to
 * temp_mm_close(), so that nobody else can map, use or free it.  @w is for that function:
 * what it says is not to be read from ordinary memory again.
 */
static __always_inline void *temp_mm_open(struct temp_mm *t, const void *dst, size_t len,
					  struct temp_mm_root *w, unsigned long caller)
{
	unsigned long offset = offset_in_page(dst);
	unsigned int n;
	bool mapped;

	if (!t || !len || len > (t->nr_pages << PAGE_SHIFT) - offset)
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_ARG, caller));

	if (in_nmi())
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_CONTEXT, caller));

	if (!temp_mm_claim(t, TEMP_MM_IDLE, TEMP_MM_BUSY))
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_STATE, caller));

	temp_mm_move(t);
	n = PFN_UP(offset + len);
	mapped = temp_mm_add(t, 0, dst);
	if (unlikely(n > 1) && mapped)
		mapped = temp_mm_add_more(t, dst, n);
	/* Not temp_mm_mapped(): use_temporary_root() flushes in any case. */
	t->nr_mapped = n;

	if (unlikely(!mapped)) {
		temp_mm_clear(t);
		temp_mm_release(t, TEMP_MM_IDLE);
		return ERR_PTR(temp_mm_refuse(t, TEMP_MM_BAD_ADDRESS, caller));
	}

	w->cr3 = READ_ONCE(t->cr3);
	w->prev = use_temporary_root(w->cr3);

	return (void *)t->addr + offset;
}

static __always_inline void temp_mm_close(struct temp_mm *t, const struct temp_mm_root *w)
{
	unuse_temporary_root(w->cr3, w->prev, false);
	temp_mm_clear(t);
	temp_mm_release(t, TEMP_MM_IDLE);
}

static noinline int temp_mm_write_long(struct temp_mm *t, void *dst, const void *src,
				       size_t len, unsigned long caller)
{
	struct temp_mm_root w;
	void *alias;
	long err;

	guard(asi_suspended)();

	/* Check all of @src first, so that a missing page leaves nothing half written. */
	if (t && len <= t->nr_pages << PAGE_SHIFT && !temp_mm_readable(src, len))
		return temp_mm_refuse(t, TEMP_MM_BAD_ADDRESS, caller);

	guard(irqsave)();

	alias = temp_mm_open(t, dst, len, &w, caller);
	if (IS_ERR(alias))
		return PTR_ERR(alias);

	err = copy_from_kernel_nofault(alias, src, len);
	temp_mm_close(t, &w);

	return err ? temp_mm_refuse(t, TEMP_MM_BAD_ADDRESS, caller) : 0;
}

/**
 * temp_mm_write - write to memory that is mapped read-only
 * @t: a temporary mm with nothing mapped
 * @dst: the address that everybody uses: of the direct map, of the kernel image
 *	or in vmalloc space; the caller keeps the memory from going away
 * @src: what to write, kernel memory
 * @len: how many bytes; @dst and @len may touch as many pages as @t was
 *	allocated with
 *
 * Opens the window, copies, and closes it, with interrupts off.  A store of 1,
 * 2, 4 or 8 bytes to an aligned @dst is one store for those who read @dst.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0 with all bytes written.  Else nothing is written: -EINVAL for a bad
 * argument, -EFAULT if @dst or @src is no kernel memory, -EPERM in an NMI,
 * -EBUSY if @t is mapped or in use.  Of more than 8 bytes some may have been
 * written with -EFAULT, but only if @src is being unmapped during the copy.
 */
int temp_mm_write(struct temp_mm *t, void *dst, const void *src, size_t len)
{
	struct temp_mm_root w;
	void *alias;
	u64 val;

	if (len > sizeof(val))
		return temp_mm_write_long(t, dst, src, len, _RET_IP_);

	/* Loaded before the window opens, so that a fault leaves @dst as it was. */
	if (copy_from_kernel_nofault(&val, src, len))
		return temp_mm_refuse(t, TEMP_MM_BAD_ADDRESS, _RET_IP_);

	guard(asi_suspended)();
	guard(irqsave)();

	alias = temp_mm_open(t, dst, len, &w, _RET_IP_);
	if (IS_ERR(alias))
		return PTR_ERR(alias);

	temp_mm_store(alias, val, len);
	temp_mm_close(t, &w);

	return 0;
}

/**
 * temp_mm_set - fill memory that is mapped read-only
 * @t: a temporary mm with nothing mapped
 * @dst: as for temp_mm_write()
 * @c: the value for each byte
 * @len: how many bytes, as for temp_mm_write()
 *
 * As temp_mm_write(), but readers of @dst can see any part of it done.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: as temp_mm_write().
 */
int temp_mm_set(struct temp_mm *t, void *dst, u8 c, size_t len)
{
	struct temp_mm_root w;
	void *alias;

	guard(asi_suspended)();
	guard(irqsave)();

	alias = temp_mm_open(t, dst, len, &w, _RET_IP_);
	if (IS_ERR(alias))
		return PTR_ERR(alias);

	memset(alias, c, len);
	temp_mm_close(t, &w);

	return 0;
}

static enum cpuhp_state temp_mm_cpuhp_state;

static int temp_mm_cpu_prepare(unsigned int cpu, struct hlist_node *node)
{
	struct temp_mm_percpu *set = hlist_entry(node, struct temp_mm_percpu, node);
	struct temp_mm **instance = per_cpu_ptr(set->instance, cpu);

	*instance = temp_mm_alloc(set->nr_pages, set->name);
	return *instance ? 0 : -ENOMEM;
}

static int temp_mm_cpu_dead(unsigned int cpu, struct hlist_node *node)
{
	struct temp_mm_percpu *set = hlist_entry(node, struct temp_mm_percpu, node);
	struct temp_mm **instance = per_cpu_ptr(set->instance, cpu);

	temp_mm_free(*instance);
	*instance = NULL;
	return 0;
}

/**
 * temp_mm_percpu_init - create the instances of a set
 * @set: from DEFINE_TEMP_MM_PERCPU()
 *
 * From here on each CPU has an instance before it comes online, and the
 * instance is freed after the CPU has died.
 *
 * Context: Process context, from core_initcall() on; sleeps.
 *
 * Return: 0; -EAGAIN before core_initcall(), -EBUSY if @set has its instances
 * already, or the error of CPU hotplug, with no instance left behind.
 */
int temp_mm_percpu_init(struct temp_mm_percpu *set)
{
	if (!temp_mm_cpuhp_state)
		return -EAGAIN;

	if (!hlist_unhashed(&set->node))
		return temp_mm_refuse(NULL, TEMP_MM_BAD_STATE, _RET_IP_);

	return cpuhp_state_add_instance(temp_mm_cpuhp_state, &set->node);
}

/**
 * temp_mm_percpu_exit - free the instances of a set
 * @set: from temp_mm_percpu_init(), and no longer used by anybody
 *
 * Context: Process context; sleeps.
 */
void temp_mm_percpu_exit(struct temp_mm_percpu *set)
{
	if (hlist_unhashed(&set->node)) {
		temp_mm_refuse(NULL, TEMP_MM_BAD_STATE, _RET_IP_);
		return;
	}

	cpuhp_state_remove_instance(temp_mm_cpuhp_state, &set->node);
	INIT_HLIST_NODE(&set->node);
}

/**
 * this_cpu_temp_mm - the instance of this CPU
 * @set: a set for which temp_mm_percpu_init() has succeeded
 *
 * Whoever may be interrupted by another user of @set has interrupts off from
 * temp_mm_map() to temp_mm_unmap(), as temp_mm_write() does.  Else the other
 * one gets -EBUSY.
 *
 * Context: Preemption off.
 *
 * Return: the temporary mm.
 */
struct temp_mm *this_cpu_temp_mm(struct temp_mm_percpu *set)
{
	lockdep_assert_preemption_disabled();

	return *this_cpu_ptr(set->instance);
}

/**
 * temp_mm_alloc_root - allocate a page table with a window that its owner fills
 * @name: for messages; not copied
 * @tables: where to store the addresses of @nr PMD tables, which are empty
 * @nr: number of PMD tables, at least 1
 * @addr: where to store the address of the window, aligned to %PUD_SIZE
 *
 * The window is what the PMD tables map, one after the other, at an address that is
 * random for each boot.  The owner fills the tables, with leaves that are neither global
 * nor user nor executable, or with page tables of such leaves.  A new entry works right
 * away.  After an entry was removed the owner waits, by synchronize_rcu(), for those who
 * have the window open, before the memory is used for something else.
 *
 * All CPUs can have the page table loaded at the same time.  It is never freed.
 *
 * Context: Process context; sleeps.
 *
 * Return: what use_temporary_root() is to be called with, or 0 if memory is short.
 */
unsigned long temp_mm_alloc_root(const char *name, pmd_t **tables, unsigned int nr,
				 unsigned long *addr)
{
	/* Not the first PUD entry, so that a stray access to a stale LDT alias faults. */
	u32 index = get_random_u32_inclusive(1, TEMP_MM_SIZE / PUD_SIZE - nr);
	struct temp_mm *t = temp_mm_new(name, TEMP_MM_BASE + index * PUD_SIZE);
	unsigned int i;

	if (!t)
		return 0;

	for (i = 0; i < nr; i++) {
		if (pg_table_populate(&t->tables, t->addr + i * PUD_SIZE, PG_LEVEL_2M)) {
			temp_mm_delete(t);
			return 0;
		}
		tables[i] = pmd_off(t->mm, t->addr + i * PUD_SIZE);
	}
	t->pmd = tables[0];
	/* Nobody can map, use or free it. */
	t->state = TEMP_MM_BUSY;
	*addr = t->addr;

	atomic_long_inc(&temp_mm_stats.instances);
	atomic_long_add(temp_mm_size(t), &temp_mm_stats.bytes);

	return t->cr3;
}

static int temp_mm_stats_show(struct seq_file *m, void *unused)
{
	int i;

	seq_printf(m, "instances %ld\n", atomic_long_read(&temp_mm_stats.instances));
	seq_printf(m, "bytes %ld\n", atomic_long_read(&temp_mm_stats.bytes));
	seq_printf(m, "left_open %ld\n", atomic_long_read(&temp_mm_stats.left));
	seq_printf(m, "forged %ld\n", atomic_long_read(&temp_mm_stats.forged));
	for (i = 0; i < TEMP_MM_NR_REFUSALS; i++)
		seq_printf(m, "refused_%s %ld\n", temp_mm_refusals[i].word,
			   atomic_long_read(&temp_mm_stats.refused[i]));

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(temp_mm_stats);

static int __init temp_mm_init(void)
{
	int state;

	state = cpuhp_setup_state_multi(CPUHP_BP_PREPARE_DYN, "mm/temp_mm:prepare",
					temp_mm_cpu_prepare, temp_mm_cpu_dead);
	if (state < 0)
		return state;

	temp_mm_cpuhp_state = state;
	return 0;
}
core_initcall(temp_mm_init);

static int __init temp_mm_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("temp_mm", NULL);

	debugfs_create_file("stats", 0444, dir, NULL, &temp_mm_stats_fops);
	return 0;
}
late_initcall(temp_mm_debugfs_init);
