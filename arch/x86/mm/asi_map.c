// SPDX-License-Identifier: GPL-2.0
/*
 * Address space isolation: what a domain maps.
 */
#include <linux/asi.h>
#include <linux/export.h>
#include <linux/kasan.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/percpu.h>
#include <linux/processor.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>

#include <asm/apic.h>
#include <asm/cpu_entry_area.h>
#include <asm/fixmap.h>
#include <asm/sections.h>
#include <asm/setup.h>
#include <asm/trap_pf.h>

#include "asi.h"

/*
 * The variables that the entry code accesses on the page table of a domain, before it has
 * left the domain or after it has gone back.  Each domain maps all of them.  Whoever lets
 * the entry code access another one there has to add it here.
 */
static const struct asi_entry {
	const char *name;
	const void *start;
	const void *end;
	bool percpu;
} asi_entry_set[] = {
	/* paranoid_entry() gets GSBASE from here. */
	{ "__per_cpu_offset", &__per_cpu_offset, &__per_cpu_offset + 1, false },
	{ "asi_cr3", (void *)(unsigned long)&asi_cr3, (void *)(unsigned long)(&asi_cr3 + 1), true },
	/* current, and call depth tracking */
	{ "pcpu_hot", (void *)(unsigned long)&pcpu_hot,
	  (void *)(unsigned long)(&pcpu_hot + 1), true },
	/* The stack canary, which the caller of asi_enter() may check in the domain. */
	{ "fixed_percpu_data", (void *)(unsigned long)&fixed_percpu_data,
	  (void *)(unsigned long)(&fixed_percpu_data + 1), true },
};

/*
 * The areas that each domain maps for the CPU and for the entry code.  Their entries of
 * @level point to page tables of the kernel, which the kernel never frees.  So a domain
 * needs no memory to follow a change of the kernel's mapping, and can't lose any of it.
 *
 * The CPU entry area has what the CPU itself accesses: IDT, GDT, TSS and the exception
 * stacks.  Read-only data of the kernel is no secret, and includes constants of the entry
 * code.
 */
static const struct asi_area {
	const char *name;
	unsigned long start;
	unsigned long last;
	enum pg_table_level level;
	unsigned long size;		/* of an entry of @level */
} asi_entry_areas[] = {
	{ "kernel text", (unsigned long)_text, (unsigned long)_etext - 1,
	  PG_TABLE_PMD, PMD_SIZE },
	{ "kernel rodata", (unsigned long)__start_rodata,
	  (unsigned long)END_RODATA - 1, PG_TABLE_PMD, PMD_SIZE },
	{ "CPU entry area", CPU_ENTRY_AREA_BASE,
	  CPU_ENTRY_AREA_BASE + CPU_ENTRY_AREA_MAP_SIZE - 1, PG_TABLE_P4D, P4D_SIZE },
#ifdef CONFIG_X86_ESPFIX64
	/* Its leaves are global, so that the TLB can have them in each domain anyway. */
	{ "espfix area", ESPFIX_BASE_ADDR, ESPFIX_BASE_ADDR + P4D_SIZE - 1,
	  PG_TABLE_P4D, P4D_SIZE },
#endif
};

/* Stack and task_struct of a task, which asi_map_task() has mapped; under asi_mutex. */
struct asi_task {
	struct hlist_node of_asi;
	struct hlist_node of_task;
	struct asi *asi;
	unsigned long stack;
	unsigned long task;
};

/*
 * Called by pg_table after entries of @pgt were removed, restricted or replaced.  The
 * range does not matter: CPUs leave the domain, and flush all of its PCID when they
 * return.
 */
static void asi_pg_table_flush(struct pg_table *pgt, unsigned long start,
			       unsigned long end)
{
	struct asi *asi = READ_ONCE(pgt->private);

	if (asi)
		asi_flush(asi);
}

/*
 * Called by pg_table before it unmaps a range of @pgt, or frees @pgt: is it the page
 * table of a domain, and does the entry code need something of the range?  If so,
 * pg_table refuses to do that.
 */
static bool asi_pinned(const struct pg_table *pgt, unsigned long start, unsigned long end)
{
	unsigned long last = end - 1;
	unsigned int i, cpu;

	if (!READ_ONCE(pgt->private))
		return false;

	for (i = 0; i < ARRAY_SIZE(asi_entry_set); i++) {
		const struct asi_entry *e = &asi_entry_set[i];

		for_each_possible_cpu(cpu) {
			unsigned long offset = e->percpu ? per_cpu_offset(cpu) : 0;

			if (start < (unsigned long)e->end + offset &&
			    last >= (unsigned long)e->start + offset)
				return true;
		}
	}

	for (i = 0; i < ARRAY_SIZE(asi_entry_areas); i++)
		if (start <= asi_entry_areas[i].last && last >= asi_entry_areas[i].start)
			return true;

	return false;
}

const struct pg_table_ops asi_pg_table_ops = {
	.flush = asi_pg_table_flush,
	.pinned = asi_pinned,
};

struct asi_compare {
	struct pg_table *pgt;
	unsigned long start;
	unsigned long last;
	unsigned long addr;		/* what is missing */
};

static bool asi_same_rights(pgprot_t ours, pgprot_t theirs)
{
	return !((pgprot_val(ours) ^ pgprot_val(theirs)) & (_PAGE_RW | _PAGE_NX));
}

/*
 * Called for each leaf of the kernel's page table in the range of @arg.  Return 0 if the
 * page table of @arg maps the part of the leaf in that range to the same memory with the
 * same rights, else -ENOENT, which ends the walk.  The rights matter, because the CPU can
 * no more use a read-only stack than one that is not mapped.
 */
static int asi_compare_leaf(const struct pg_table_leaf *theirs, void *arg)
{
	unsigned long last = theirs->start + page_level_size(theirs->level) - 1;
	struct asi_compare *c = arg;
	struct pg_table_leaf ours;

	last = min(last, c->last);
	c->addr = max(theirs->start, c->start);
	do {
		if (!pg_table_lookup(c->pgt, c->addr, &ours) ||
		    ours.pa - ours.start != theirs->pa - theirs->start ||
		    !asi_same_rights(ours.prot, theirs->prot))
			return -ENOENT;
		c->addr = ours.start + page_level_size(ours.level);
	} while (c->addr - 1 < last);

	return 0;
}

/* Does @pgt map all of the range that the kernel maps, as the kernel does? */
static bool asi_maps_as_kernel(struct pg_table *pgt, unsigned long start,
			       unsigned long end, unsigned long *addr)
{
	struct asi_compare c = { .pgt = pgt, .start = start, .last = end - 1 };
	bool same = !pg_table_walk(&kernel_pg_table, start, end, asi_compare_leaf, &c);

	*addr = c.addr;

	return same;
}

bool asi_maps_range(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	unsigned long addr;

	return asi_maps_as_kernel(pgt, start, end, &addr);
}

/**
 * asi_missing - what a page table lacks to be that of a domain
 * @pgt: the page table
 * @addr: where to store the address that is not mapped
 *
 * What is mapped to other memory than the kernel maps it to, or with other rights, is
 * missing as well.
 *
 * Context: Process context.
 *
 * Return: the name of the first symbol that is not mapped, or NULL.
 */
const char *asi_missing(struct pg_table *pgt, unsigned long *addr)
{
	unsigned int i, cpu;

	for (i = 0; i < ARRAY_SIZE(asi_entry_set); i++) {
		const struct asi_entry *e = &asi_entry_set[i];
		unsigned long start = (unsigned long)e->start;
		unsigned long end = (unsigned long)e->end;

		if (!e->percpu) {
			if (!asi_maps_as_kernel(pgt, start, end, addr))
				return e->name;
			continue;
		}
		for_each_possible_cpu(cpu)
			if (!asi_maps_as_kernel(pgt, start + per_cpu_offset(cpu),
						end + per_cpu_offset(cpu), addr))
				return e->name;
	}

	for (i = 0; i < ARRAY_SIZE(asi_entry_areas); i++) {
		const struct asi_area *a = &asi_entry_areas[i];

		/*
		 * Each page of the espfix area is mapped there many thousand times, which
		 * takes long to compare.  asi_map_entry_set() shares the one P4D entry
		 * that leads to all of them.
		 */
		if (a->start == ESPFIX_BASE_ADDR)
			continue;

		if (!asi_maps_as_kernel(pgt, a->start, a->last + 1, addr))
			return a->name;
	}

	return NULL;
}

static int asi_share(struct pg_table *pgt, unsigned long start, unsigned long end,
		     enum pg_table_level level)
{
	return pg_table_share(pgt, &kernel_pg_table, start & PAGE_MASK, PAGE_ALIGN(end),
			      level);
}

static int asi_share_percpu(struct pg_table *pgt, const void *start, const void *end,
			    enum pg_table_level level)
{
	unsigned int cpu;
	int err;

	for_each_possible_cpu(cpu) {
		err = asi_share(pgt, (unsigned long)start + per_cpu_offset(cpu),
				(unsigned long)end + per_cpu_offset(cpu), level);
		if (err)
			return err;
	}

	return 0;
}

/*
 * Map in @pgt what the entry code needs.  Called by asi_create() and asi_set_pg_table()
 * before any task can enter @asi.  @pgt->private is @asi already, so that asi_pinned()
 * lets no one unmap it.  Leaves of 4 KiB and shared page tables of the kernel follow a
 * change of the kernel's mapping without an allocation, so that a domain can't lose them.
 */
int asi_map_entry_set(struct asi *asi, struct pg_table *pgt)
{
	const char *missing;
	unsigned long addr;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(asi_entry_set); i++) {
		const struct asi_entry *e = &asi_entry_set[i];

		err = e->percpu ? asi_share_percpu(pgt, e->start, e->end, PG_TABLE_4K) :
				  asi_share(pgt, (unsigned long)e->start,
					    (unsigned long)e->end, PG_TABLE_4K);
		if (err)
			return err;
	}

	for (i = 0; i < ARRAY_SIZE(asi_entry_areas); i++) {
		const struct asi_area *a = &asi_entry_areas[i];

		err = pg_table_share(pgt, &kernel_pg_table,
				     ALIGN_DOWN(a->start, a->size),
				     ALIGN(a->last + 1, a->size), a->level);
		if (err)
			return err;
	}

	missing = asi_missing(pgt, &addr);
	if (missing) {
		pr_warn("%s: %s is not mapped at %lx\n", pgt->name, missing, addr);
		return asi_refuse(asi, ASI_BAD_TABLE, _RET_IP_);
	}

	return 0;
}

static bool asi_range_ok(const void *addr, size_t size, unsigned long *end)
{
	unsigned long start = (unsigned long)addr;

	return size && (long)start < 0 &&
	       __is_canonical_address(start, boot_cpu_data.x86_virt_bits) &&
	       !check_add_overflow(start, size - 1, end) && *end < PAGE_MASK;
}

static int asi_map_range(struct asi *asi, const void *addr, size_t size,
			 unsigned long caller)
{
	struct pg_table_leaf leaf;
	unsigned long end;

	if (!asi_range_ok(addr, size, &end) ||
	    !pg_table_lookup(&kernel_pg_table, (unsigned long)addr, &leaf) ||
	    !pg_table_lookup(&kernel_pg_table, end, &leaf))
		return asi_refuse(asi, ASI_BAD_ADDRESS, caller);

	return asi_share(asi->pgt, (unsigned long)addr, end + 1, PG_TABLE_LEAF);
}

/**
 * asi_map - map kernel memory in a domain
 * @asi: the domain
 * @addr: in the direct map, in vmalloc space, or in the kernel image
 * @size: in bytes
 *
 * All of each page that the range has a part of gets mapped, and so do the neighbours
 * of an object that is smaller than a page, or not aligned to pages: for an object of
 * kmalloc() these can be anybody's.  Use asi_map_pages() to have that refused.
 *
 * The domain maps what the kernel maps there now, with the same permissions, and
 * follows what the kernel changes later; what the kernel unmaps, like memory that vfree()
 * frees, is not mapped again by itself.  Memory of the direct map stays mapped when it is
 * freed, and the domain can read what its next owner stores there: call asi_unmap()
 * first.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0; -EINVAL if @asi is NULL or the range is in the fixmap, -EFAULT if the range
 * is not of kernel memory or the kernel maps nothing at one of its ends, or -ENOMEM.
 */
int asi_map(struct asi *asi, const void *addr, size_t size)
{
	guard(asi_suspended)();
	might_sleep();
	if (!asi)
		return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

	return asi_map_range(asi, addr, size, _RET_IP_);
}
EXPORT_SYMBOL_GPL(asi_map);

/**
 * asi_map_pages - map whole pages in a domain, and nobody's neighbours
 * @asi: the domain
 * @addr: as for asi_map(), and the start of a page
 * @size: in bytes, a multiple of the size of a page
 *
 * As asi_map(), but refuses a range that has only a part of a page in it.
 *
 * Context: Process context; sleeps.
 *
 * Return: as asi_map(); -EINVAL if a page is only in part in the range.
 */
int asi_map_pages(struct asi *asi, const void *addr, size_t size)
{
	guard(asi_suspended)();
	might_sleep();
	if (!asi || !PAGE_ALIGNED(addr) || !PAGE_ALIGNED(size))
		return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

	return asi_map_range(asi, addr, size, _RET_IP_);
}
EXPORT_SYMBOL_GPL(asi_map_pages);

/**
 * asi_map_percpu - map a per-CPU variable in a domain, for all possible CPUs
 * @asi: the domain
 * @addr: the variable, static or from alloc_percpu()
 * @size: of the variable, in bytes
 *
 * Context: Process context; sleeps.
 *
 * Return: as asi_map().  After an error it may be mapped for some of the CPUs.
 */
int asi_map_percpu(struct asi *asi, const void __percpu *addr, size_t size)
{
	unsigned int cpu;
	int err;

	guard(asi_suspended)();
	for_each_possible_cpu(cpu) {
		err = asi_map(asi, per_cpu_ptr(addr, cpu), size);
		if (err)
			return err;
	}

	return 0;
}
EXPORT_SYMBOL_GPL(asi_map_percpu);

/**
 * asi_map_module - map code and data of a module in a domain, per-CPU data too
 * @asi: the domain
 * @mod: a module that can't be unloaded meanwhile; or NULL, as THIS_MODULE is in built-in
 *	code, which maps nothing
 *
 * Context: Process context; sleeps.
 *
 * Return: as asi_map().  After an error some of the module may be mapped.
 */
int asi_map_module(struct asi *asi, struct module *mod)
{
#ifdef CONFIG_MODULES
	int err;

	guard(asi_suspended)();
	/* Code of the kernel itself has no module, and is mapped. */
	if (!mod)
		return 0;

	for_class_mod_mem_type(type, core) {
		if (!mod->mem[type].size)
			continue;
		err = asi_map(asi, mod->mem[type].base, mod->mem[type].size);
		if (err)
			return err;
	}

	if (mod->percpu_size)
		return asi_map_percpu(asi, mod->percpu, mod->percpu_size);
#endif
	return 0;
}
EXPORT_SYMBOL_GPL(asi_map_module);

static void asi_unmap_range(struct asi *asi, unsigned long start, unsigned long end)
{
	struct asi_task *t;
	unsigned long addr;
	bool wanted;

	lockdep_assert_held(&asi_mutex);
	/* Keep a page that also has a part of the task_struct of another task of @asi. */
	for (addr = start & PAGE_MASK; addr < end; addr += PAGE_SIZE) {
		wanted = false;
		hlist_for_each_entry(t, &asi->tasks, of_asi)
			if (addr < t->task + arch_task_struct_size &&
			    addr + PAGE_SIZE > t->task)
				wanted = true;
		if (!wanted)
			pg_table_unmap_nofail(asi->pgt, addr, addr + PAGE_SIZE);
	}
}

static void asi_unmap_task(struct asi_task *t, bool unmap)
{
	lockdep_assert_held(&asi_mutex);
	hlist_del(&t->of_asi);
	hlist_del(&t->of_task);
	if (unmap) {
		pg_table_unmap_nofail(t->asi->pgt, t->stack, t->stack + THREAD_SIZE);
		asi_unmap_range(t->asi, t->task, t->task + arch_task_struct_size);
	}
	kfree(t);
}

/* Called by asi_free().  No mapping is removed, because the page table is freed next. */
void asi_unmap_tasks(struct asi *asi)
{
	struct hlist_node *next;
	struct asi_task *t;

	hlist_for_each_entry_safe(t, next, &asi->tasks, of_asi)
		asi_unmap_task(t, false);
}

/*
 * Called by exit_thread() in process context: unmap the task from all domains.  The next
 * task gets the stack while the kernel still maps it, so domains would not notice.  This
 * must not fail, because nothing keeps the stack from being used again.  To unmap leaves
 * of 4 KiB, which asi_map_task() has made, takes no memory.  If the owner of a domain has
 * shared page tables of the kernel there, pg_table_unmap_nofail() waits for memory.
 */
void __asi_exit_thread(struct task_struct *tsk)
{
	struct hlist_node *next;
	struct asi_task *t;

	if (hlist_empty(&tsk->thread.asi.mapped))
		return;

	mutex_lock(&asi_mutex);
	hlist_for_each_entry_safe(t, next, &tsk->thread.asi.mapped, of_task)
		asi_unmap_task(t, true);
	mutex_unlock(&asi_mutex);
}

/**
 * asi_map_task - map stack and task_struct of this task in a domain
 * @asi: the domain
 *
 * Call this before the first asi_enter() of the task; another call does nothing.  Whole
 * pages are mapped, which can have parts of other task_structs in them.  The pages are
 * unmapped when the task exits, even if asi_map() was called for some of them.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0, -EINVAL if @asi is NULL, or -ENOMEM.
 */
int asi_map_task(struct asi *asi)
{
	struct asi_task *t, *other;
	int err;

	guard(asi_suspended)();
	might_sleep();
	if (!asi)
		return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;

	t->asi = asi;
	t->stack = (unsigned long)task_stack_page(current);
	t->task = (unsigned long)current;

	guard(mutex)(&asi_mutex);
	hlist_for_each_entry(other, &current->thread.asi.mapped, of_task) {
		if (other->asi == asi) {
			kfree(t);
			return 0;
		}
	}

	/*
	 * In leaves of 4 KiB: when the kernel breaks down a large leaf, a copy of that
	 * leaf is lost if there is no memory for a page table.
	 */
	err = asi_share(asi->pgt, t->stack, t->stack + THREAD_SIZE, PG_TABLE_4K);
	if (!err)
		err = asi_share(asi->pgt, t->task, t->task + arch_task_struct_size, PG_TABLE_4K);
	hlist_add_head(&t->of_asi, &asi->tasks);
	hlist_add_head(&t->of_task, &current->thread.asi.mapped);
	if (err)
		asi_unmap_task(t, true);

	return err;
}
EXPORT_SYMBOL_GPL(asi_map_task);

/*
 * Map the kernel image, but for the parts that the kernel has freed after boot and still
 * maps at their addresses in the image: that memory has other owners.
 */
static int asi_share_image(struct pg_table *pgt)
{
	const struct {
		unsigned long start, end;
	} holes[] = {
		{ (unsigned long)__smp_locks, (unsigned long)__smp_locks_end },
#ifdef CONFIG_AMD_MEM_ENCRYPT
		{ (unsigned long)__start_bss_decrypted_unused,
		  (unsigned long)__end_bss_decrypted },
#endif
	};
	unsigned long start = (unsigned long)_text;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		err = asi_share(pgt, start, holes[i].start, PG_TABLE_LEAF);
		if (err)
			return err;
		start = holes[i].end;
	}

	/* The brk area behind _brk_end was never reserved, and is free memory. */
	return asi_share(pgt, start, _brk_end, PG_TABLE_LEAF);
}

/**
 * asi_map_kernel - map what ordinary kernel code uses all the time
 * @asi: the domain
 *
 * This is the kernel image with its variables, static per-CPU variables, the struct pages
 * of all memory that is present now, KASAN's shadow, and the part of the fixmap with the
 * local APIC.  Code that has this, asi_map_task() and its own data mapped causes few
 * faults; asi/faults in debugfs shows them.  Some variables can be called secrets, like
 * the per-CPU states of the random number generator.  No allocated memory is mapped.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0, -EINVAL if @asi is NULL, or -ENOMEM, with some of this mapped.
 */
int asi_map_kernel(struct asi *asi)
{
	unsigned long start, end;
	int err;

	guard(asi_suspended)();
	might_sleep();
	if (!asi)
		return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

	err = asi_share_image(asi->pgt);
	if (err)
		return err;

	err = asi_share_percpu(asi->pgt, (__force void *)__per_cpu_start,
			       (__force void *)__per_cpu_end, PG_TABLE_LEAF);
	if (err)
		return err;

	/*
	 * The local APIC, to send interrupts.  It is in the fixmap, where leaves can't be
	 * copied, see arch_pg_table_may_copy(): share the page table with it.
	 */
	if (!x2apic_enabled()) {
		err = pg_table_share(asi->pgt, &kernel_pg_table, APIC_BASE & PMD_MASK,
				     (APIC_BASE & PMD_MASK) + PMD_SIZE, PG_TABLE_PMD);
		if (err)
			return err;
	}

	start = ALIGN_DOWN((unsigned long)pfn_to_page(0), PUD_SIZE);
	end = ALIGN((unsigned long)pfn_to_page(max_pfn), PUD_SIZE);
	err = pg_table_share(asi->pgt, &kernel_pg_table, start, end, PG_TABLE_PUD);
	if (err)
		return err;

#ifdef CONFIG_KASAN
	err = pg_table_share(asi->pgt, &kernel_pg_table, KASAN_SHADOW_START & P4D_MASK,
			     ALIGN(KASAN_SHADOW_END, P4D_SIZE), PG_TABLE_P4D);
#endif
	return err;
}
EXPORT_SYMBOL_GPL(asi_map_kernel);

/**
 * asi_unmap - unmap kernel memory from a domain
 * @asi: the domain
 * @addr: first byte
 * @size: in bytes
 *
 * The opposite of asi_map() with the same range: all of each page that the range has a
 * part of is unmapped, with the neighbours that have come along, even if asi_map() has
 * been called for one of them too.  When this returns 0, no CPU accesses the memory in
 * the domain, and it can be freed.
 *
 * Context: Process context, interrupts on; sleeps.
 *
 * Return: 0; or with nothing changed, -EINVAL if @asi is NULL or the range is at the
 * fixmap, -EFAULT if the range is not of kernel memory, -ENOENT if the entry code needs
 * some of it, -ENOMEM.
 */
int asi_unmap(struct asi *asi, const void *addr, size_t size)
{
	unsigned long end;
	int err;

	guard(asi_suspended)();
	might_sleep();
	if (!asi)
		return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

	if (!asi_range_ok(addr, size, &end))
		return asi_refuse(asi, ASI_BAD_ADDRESS, _RET_IP_);

	err = pg_table_unmap(asi->pgt, (unsigned long)addr & PAGE_MASK, PAGE_ALIGN(end + 1));

	return err == -EBUSY ? asi_refuse(asi, ASI_BAD_TABLE, _RET_IP_) : err;
}
EXPORT_SYMBOL_GPL(asi_unmap);

/*
 * Called by __asi_fault(): does @pgt allow the access to @address that has faulted with
 * @error_code?  Accesses to user memory are never allowed, since no domain maps any.
 */
bool asi_allows(struct pg_table *pgt, unsigned long address, unsigned long error_code)
{
	struct pg_table_leaf leaf;

	if (address < TASK_SIZE_MAX || !pg_table_lookup(pgt, address, &leaf))
		return false;

	if (error_code & ~(X86_PF_PROT | X86_PF_WRITE | X86_PF_INSTR))
		return false;

	/*
	 * A kernel page that is present can always be read.  This is SMAP, and no old
	 * entry of the TLB, so that the access would fault again for ever.
	 */
	if (error_code == X86_PF_PROT)
		return false;

	if (error_code & X86_PF_WRITE && !(pgprot_val(leaf.prot) & _PAGE_RW))
		return false;

	return !(error_code & X86_PF_INSTR) || !(pgprot_val(leaf.prot) & _PAGE_NX);
}
