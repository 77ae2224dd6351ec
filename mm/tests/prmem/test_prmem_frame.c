// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of what honest services do with a forged pointer to a protected page:
 * map it for user space or for the kernel, change its permission, or free it.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pfn_t.h>
#include <linux/prmem_frame.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/sections.h>

#include "test_prmem.h"

static struct prmem_test_obj prmem_test_static __wr_after_init;
static const u64 prmem_test_const = OLD;

/* What a pointer is bent to. */
struct frame_target {
	const char *name;
	const void *p;
};

#define NR_TARGETS	7

static unsigned int all_targets(struct kunit *test, struct frame_target *t)
{
	struct prmem_test *x = test->priv;
	unsigned int n = 0;
	void *unused;

	rcu_read_lock();
	/* This one has a reference count of 1, as any page that is allocated. */
	t[n++] = (struct frame_target) { "metadata", prmem_find(x->obj, &unused) };
	rcu_read_unlock();
	t[n++] = (struct frame_target) { "object of a cache", x->obj };
	t[n++] = (struct frame_target) { "START_WR", prmem_test_direct(x->target[2]) };
	t[n++] = (struct frame_target) { "WR", prmem_test_direct(x->target[3]) };
	/* The image is read-only when user space runs. */
	if (system_state >= SYSTEM_RUNNING) {
		t[n++] = (struct frame_target) { "variable", &prmem_test_static };
		t[n++] = (struct frame_target) { "constant", &prmem_test_const };
		t[n++] = (struct frame_target) { "text", _text + PAGE_SIZE };
	}

	return n;
}

/* A forged pointer leads to a struct page whose reference count is forged as well. */
static int forge_count(struct page *page)
{
	int count = page_count(page);

	set_page_count(page, 1);
	return count;
}

static bool in_block(unsigned long pfn, unsigned long nr)
{
	unsigned int slot;

	for (slot = 1; slot < PRMEM_NR_SLOTS; slot++) {
		const struct prmem_block *b = &prmem_blocks[slot];

		if (b->nr_pages && pfn < b->pfn + b->nr_pages && b->pfn < pfn + nr)
			return true;
	}

	return false;
}

/* The answer is that of a search of all blocks, for ranges of any length. */
static bool frames_wrong(unsigned long pfn)
{
	static const unsigned long nr[] = { 1, 3, 512, 1024, 2048 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nr); i++) {
		if (prmem_frames_protected(pfn, nr[i]) != in_block(pfn, nr[i]) ||
		    prmem_frames_protected(pfn - nr[i], nr[i]) != in_block(pfn - nr[i], nr[i]))
			return true;
	}

	return false;
}

static void prmem_test_frames(struct kunit *test)
{
	unsigned long pfn, image = prmem_frames.image, wrong = 0;
	struct frame_target t[NR_TARGETS];
	const struct prmem_block *b;
	unsigned int slot, i, n;
	struct page *page = alloc_page(GFP_KERNEL);

	prmem_test_need_protection(test);
	KUNIT_ASSERT_NOT_NULL(test, page);
	/* Nobody fills a block while this is held: that has pages before it is in the table. */
	guard(mutex)(&prmem_grow_mutex);
	guard(mutex)(&prmem_mutex);

	for (slot = 1; slot < PRMEM_NR_SLOTS; slot++) {
		b = &prmem_blocks[slot];
		for (i = 0; b->nr_pages && i < 4; i++) {
			wrong += frames_wrong(b->pfn + i - 2);
			wrong += frames_wrong(b->pfn + b->nr_pages + i - 2);
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);

	for (i = 0, n = all_targets(test, t); i < n; i++) {
		pfn = page_to_pfn(virt_to_page(t[i].p));
		KUNIT_EXPECT_TRUE_MSG(test, prmem_frames_protected(pfn, 1), "%s", t[i].name);
	}
	if (system_state >= SYSTEM_RUNNING) {
		KUNIT_EXPECT_EQ(test, image, PHYS_PFN(__pa_symbol(_text)));
		KUNIT_EXPECT_TRUE(test, prmem_frames_protected(image, 1));
		KUNIT_EXPECT_FALSE(test, prmem_frames_protected(image + prmem_frames.nr_image, 1));
		pfn = PHYS_PFN(__pa_symbol(END_RODATA)) - 1;
		KUNIT_EXPECT_TRUE(test, prmem_frames_protected(pfn, 1));
		/* What is between text and constants has become free memory. */
		pfn = image + PFN_UP(_etext - _text);
		if (pfn < PHYS_PFN(__pa_symbol(__start_rodata)))
			KUNIT_EXPECT_FALSE(test, prmem_frames_protected(pfn, 1));
	}

	KUNIT_EXPECT_FALSE(test, prmem_frames_protected(page_to_pfn(page), 1));
	__free_page(page);
	KUNIT_EXPECT_FALSE(test, prmem_frames_protected(image, 0));
	KUNIT_EXPECT_TRUE(test, prmem_frames_protected(-1UL, 2));
}

/* A block that goes back is ordinary memory again, and those in its bucket are not. */
static void prmem_test_frames_come_and_go(struct kunit *test)
{
	unsigned long pfn[8], left = 0, lost = 0;
	DECLARE_BITMAP(had, PRMEM_NR_SLOTS);
	unsigned int slot, i, n = 0;

	prmem_test_need_protection(test);
	guard(mutex)(&prmem_grow_mutex);

	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++)
		__assign_bit(slot, had, prmem_blocks[slot].nr_pages);
	for (i = 0; i < ARRAY_SIZE(pfn); i++)
		prmem_grow(1);
	for (slot = 1; slot < PRMEM_NR_SLOTS && n < ARRAY_SIZE(pfn); slot++) {
		if (!test_bit(slot, had) && prmem_blocks[slot].nr_pages)
			pfn[n++] = prmem_blocks[slot].pfn;
	}
	KUNIT_EXPECT_GT(test, n, 0);
	for (i = 0; i < n; i++)
		lost += !prmem_frames_protected(pfn[i], 1);
	KUNIT_EXPECT_EQ(test, lost, 0);

	/* Nobody waits for memory with this one held. */
	guard(mutex)(&prmem_mutex);
	prmem_shrink();
	for (i = 0; i < n; i++)
		left += prmem_frames_protected(pfn[i], 1) != in_block(pfn[i], 1);
	KUNIT_EXPECT_EQ(test, left, 0);
	lost = 0;
	for (slot = 1; slot < PRMEM_NR_SLOTS; slot++) {
		if (prmem_blocks[slot].nr_pages)
			lost += !prmem_frames_protected(prmem_blocks[slot].pfn, 1);
	}
	KUNIT_EXPECT_EQ(test, lost, 0);
}

/* A driver that maps the page that it has a pointer to. */
enum service_call {
	SERVICE_INSERT_PAGE,	/* as packet sockets do for their rings */
	SERVICE_INSERT_PAGES,
	SERVICE_MAP_PAGES,
	SERVICE_REMAP_PFN,
	SERVICE_INSERT_PFN,
	SERVICE_INSERT_MIXED,
	SERVICE_FAULT,
	NR_SERVICE_CALLS,
};

static const struct {
	const char *name;
	int err;		/* for a protected page */
} service_calls[NR_SERVICE_CALLS] = {
	{ "vm_insert_page()", -EINVAL },
	{ "vm_insert_pages()", -EINVAL },
	{ "vm_map_pages()", -EINVAL },
	{ "remap_pfn_range()", -EINVAL },
	{ "vmf_insert_pfn()", -EFAULT },
	{ "vmf_insert_mixed()", -EFAULT },
	{ "the handler of a fault", 0 },
};

struct service {
	enum service_call call;
	struct page *page;
};

static vm_fault_t service_fault(struct vm_fault *vmf)
{
	struct service *s = vmf->vma->vm_private_data;

	if (s->call != SERVICE_FAULT)
		return VM_FAULT_SIGBUS;
	get_page(s->page);
	vmf->page = s->page;

	return 0;
}

static const struct vm_operations_struct service_vm_ops = {
	.fault = service_fault,
};

static int service_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct service *s = file->private_data;
	unsigned long pfn = page_to_pfn(s->page), nr = 1;

	vma->vm_private_data = s;
	vma->vm_ops = &service_vm_ops;

	switch (s->call) {
	case SERVICE_INSERT_PAGE:
		return vm_insert_page(vma, vma->vm_start, s->page);
	case SERVICE_INSERT_PAGES:
		return vm_insert_pages(vma, vma->vm_start, &s->page, &nr);
	case SERVICE_MAP_PAGES:
		return vm_map_pages(vma, &s->page, 1);
	case SERVICE_REMAP_PFN:
		return remap_pfn_range(vma, vma->vm_start, pfn, PAGE_SIZE, vma->vm_page_prot);
	case SERVICE_INSERT_PFN:
		vm_flags_set(vma, VM_PFNMAP);
		return vmf_insert_pfn(vma, vma->vm_start, pfn) & VM_FAULT_ERROR ? -EFAULT : 0;
	case SERVICE_INSERT_MIXED:
		vm_flags_set(vma, VM_MIXEDMAP);
		return vmf_insert_mixed(vma, vma->vm_start, pfn_to_pfn_t(pfn)) & VM_FAULT_ERROR ?
			-EFAULT : 0;
	default:
		return 0;
	}
}

static const struct file_operations service_fops = {
	.mmap = service_mmap,
};

/* Returns the error of mmap(); @written says what a store of user space has come to. */
static long service_try(struct kunit *test, struct service *s, bool *written)
{
	struct file *file = anon_inode_getfile("prmem_test", &service_fops, s, O_RDWR);
	unsigned long addr;
	u8 val;

	*written = false;
	if (IS_ERR(file))
		return PTR_ERR(file);

	addr = vm_mmap(file, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	fput(file);
	if (IS_ERR_VALUE(addr))
		return addr;

	/* What is there already is written again. */
	*written = !get_user(val, (u8 __user *)addr) && !put_user(val, (u8 __user *)addr);
	vm_munmap(addr, PAGE_SIZE);

	return 0;
}

/* KUnit attaches an mm to the thread with the first mapping. */
static void need_mm(struct kunit *test)
{
	unsigned long addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ,
					   MAP_ANONYMOUS | MAP_PRIVATE, 0);

	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL((void *)addr));
}

static void service_refuses(struct kunit *test, enum service_call first, enum service_call last)
{
	struct frame_target t[NR_TARGETS];
	struct service s;
	unsigned int i, n;
	bool written;
	long err;

	prmem_test_need_protection(test);
	need_mm(test);

	for (s.call = first; s.call <= last; s.call++) {
		const char *name = service_calls[s.call].name;

		s.page = alloc_page(GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, s.page);
		err = service_try(test, &s, &written);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s of an ordinary page", name);
		KUNIT_EXPECT_TRUE_MSG(test, written, "%s of an ordinary page", name);
		__free_page(s.page);

		for (i = 0, n = all_targets(test, t); i < n; i++) {
			long before = prmem_test_refused(PRMEM_MAPPED);
			int count;

			s.page = virt_to_page(t[i].p);
			count = forge_count(s.page);
			err = service_try(test, &s, &written);
			set_page_count(s.page, count);
			KUNIT_EXPECT_FALSE_MSG(test, written, "%s: user space writes to %s", name,
					       t[i].name);
			KUNIT_EXPECT_EQ_MSG(test, err, service_calls[s.call].err, "%s of %s", name,
					    t[i].name);
			KUNIT_EXPECT_EQ_MSG(test, prmem_test_refused(PRMEM_MAPPED), before + 1,
					    "%s of %s", name, t[i].name);
		}
	}
}

static void prmem_test_insert_page(struct kunit *test)
{
	service_refuses(test, SERVICE_INSERT_PAGE, SERVICE_MAP_PAGES);
}

static void prmem_test_insert_pfn(struct kunit *test)
{
	service_refuses(test, SERVICE_REMAP_PFN, SERVICE_INSERT_MIXED);
}

static void prmem_test_fault_page(struct kunit *test)
{
	service_refuses(test, SERVICE_FAULT, SERVICE_FAULT);
}

static void prmem_test_vmap(struct kunit *test)
{
	struct page *page[2] = { alloc_page(GFP_KERNEL) };
	struct frame_target t[NR_TARGETS];
	unsigned int i, n;
	void *view;

	prmem_test_need_protection(test);
	KUNIT_ASSERT_NOT_NULL(test, page[0]);

	for (i = 0, n = all_targets(test, t); i < n; i++) {
		long before = prmem_test_refused(PRMEM_MAPPED);

		page[1] = virt_to_page(t[i].p);
		view = vmap(page, 2, VM_MAP, PAGE_KERNEL);
		KUNIT_EXPECT_NULL_MSG(test, view, "%s", t[i].name);
		vunmap(view);
		view = vm_map_ram(page, 2, NUMA_NO_NODE);
		KUNIT_EXPECT_NULL_MSG(test, view, "%s", t[i].name);
		if (view)
			vm_unmap_ram(view, 2);
		KUNIT_EXPECT_EQ_MSG(test, prmem_test_refused(PRMEM_MAPPED), before + 2, "%s",
				    t[i].name);

		/* To read is allowed, but does not become more. */
		view = vmap(page, 2, VM_MAP, PAGE_KERNEL_RO);
		KUNIT_EXPECT_NOT_NULL_MSG(test, view, "%s", t[i].name);
		if (!view)
			continue;
		KUNIT_EXPECT_TRUE(test, prmem_test_reads(view + PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, prmem_test_writes(view + PAGE_SIZE));
		set_memory_rw((unsigned long)view, 2);
		KUNIT_EXPECT_TRUE(test, prmem_test_writes(view));
		KUNIT_EXPECT_FALSE_MSG(test, prmem_test_writes(view + PAGE_SIZE), "%s", t[i].name);
		vunmap(view);
	}
	vm_unmap_aliases();

	page[1] = page[0];
	view = vmap(page, 2, VM_MAP, PAGE_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, view);
	if (view)
		KUNIT_EXPECT_TRUE(test, prmem_test_writes(view + PAGE_SIZE));
	vunmap(view);
	__free_page(page[0]);
}

static void prmem_test_set_memory(struct kunit *test)
{
	struct frame_target t[NR_TARGETS];
	unsigned int i, n;

	prmem_test_need_protection(test);

	for (i = 0, n = all_targets(test, t); i < n; i++) {
		void *direct = prmem_test_direct(t[i].p);
		unsigned long addr = (unsigned long)direct & PAGE_MASK;
		long before = prmem_test_refused(PRMEM_MAPPED);

		set_memory_rw(addr, 1);
		KUNIT_EXPECT_FALSE_MSG(test, prmem_test_writes(direct), "%s", t[i].name);
		KUNIT_EXPECT_GT_MSG(test, prmem_test_refused(PRMEM_MAPPED), before, "%s",
				    t[i].name);
		set_memory_rw((unsigned long)t[i].p & PAGE_MASK, 1);
		KUNIT_EXPECT_FALSE_MSG(test, prmem_test_writes(t[i].p), "%s", t[i].name);
		KUNIT_EXPECT_TRUE_MSG(test, prmem_test_reads(t[i].p), "%s", t[i].name);
	}

	/* As it is done for a secret page whose holder is gone. */
	for (i = 0, n = all_targets(test, t); i < n; i++) {
		set_direct_map_default_noflush(virt_to_page(t[i].p));
		KUNIT_EXPECT_FALSE_MSG(test, prmem_test_writes(prmem_test_direct(t[i].p)), "%s",
				       t[i].name);
	}
}

/* Let the last reference go, or free @order pages by force. */
static void free_forged(struct kunit *test, const struct frame_target *t, int order)
{
	struct page *page = virt_to_page(t->p), *got[64] = {};
	long before = prmem_test_refused(PRMEM_LET_GO);
	unsigned long private = page_private(page);
	int count = forge_count(page), i;

	if (order)
		__free_pages(page, order);
	else
		put_page(page);
	KUNIT_EXPECT_EQ_MSG(test, prmem_test_refused(PRMEM_LET_GO), before + 1, "%s", t->name);
	KUNIT_EXPECT_EQ_MSG(test, page_count(page), 0, "%s", t->name);
	KUNIT_EXPECT_EQ_MSG(test, page_private(page), private, "%s", t->name);

	/* If it is free, it is the first to be handed out. */
	for (i = 0; i < ARRAY_SIZE(got); i++) {
		got[i] = alloc_pages(GFP_KERNEL, order);
		KUNIT_EXPECT_PTR_NE_MSG(test, got[i], page, "%s", t->name);
		if (got[i] == page || order)
			break;
	}
	for (i = 0; i < ARRAY_SIZE(got); i++) {
		if (got[i] && got[i] != page)
			__free_pages(got[i], order);
	}
	set_page_private(page, private);
	set_page_count(page, count);
}

/* An honest vunmap() of what a pointer says, which somebody has bent to a pool's object. */
static void prmem_test_unmap_view(struct kunit *test)
{
	struct pmalloc_pool *pool = pmalloc_create_pool(PMALLOC_MODE_WR);
	unsigned long addr;
	u64 *obj;

	prmem_test_need_protection(test);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	obj = pmalloc(pool, 3 * PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, obj);
	KUNIT_ASSERT_TRUE(test, is_vmalloc_addr(obj));
	obj[PAGE_SIZE / 8] = 0x600d;
	KUNIT_EXPECT_EQ(test, pmalloc_protect_pool(pool), 0);
	addr = (unsigned long)obj & PAGE_MASK;
	prmem_expect_refused(test, PRMEM_LET_GO, 0,
			     ({ vunmap_range(addr + PAGE_SIZE, addr + 2 * PAGE_SIZE); 0; }));
	KUNIT_EXPECT_TRUE(test, vmalloc_to_page((void *)addr + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, READ_ONCE(obj[PAGE_SIZE / 8]), 0x600d);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(pool), 0);
	KUNIT_EXPECT_FALSE(test, vmalloc_to_page((void *)addr));
}

static void prmem_test_forged_put_page(struct kunit *test)
{
	long before = prmem_test_refused(PRMEM_LET_GO);
	struct frame_target t[NR_TARGETS], whole;
	struct page *page;
	unsigned int i, n;

	prmem_test_need_protection(test);

	for (i = 0; i < 2; i++) {
		page = alloc_pages(GFP_KERNEL, i);
		KUNIT_ASSERT_NOT_NULL(test, page);
		__free_pages(page, i);
	}
	KUNIT_EXPECT_EQ(test, prmem_test_refused(PRMEM_LET_GO), before);

	for (i = 0, n = all_targets(test, t); i < n; i++)
		free_forged(test, &t[i], 0);

	whole.name = "a pair of pages";
	whole.p = PTR_ALIGN_DOWN(t[1].p, 2 * PAGE_SIZE);
	free_forged(test, &whole, 1);
}

static struct kunit_case prmem_frame_cases[] = {
	KUNIT_CASE(prmem_test_frames),
	KUNIT_CASE(prmem_test_frames_come_and_go),
	KUNIT_CASE(prmem_test_insert_page),
	KUNIT_CASE(prmem_test_insert_pfn),
	KUNIT_CASE(prmem_test_fault_page),
	KUNIT_CASE(prmem_test_vmap),
	KUNIT_CASE(prmem_test_unmap_view),
	KUNIT_CASE(prmem_test_set_memory),
	KUNIT_CASE(prmem_test_forged_put_page),
	KUNIT_CASE(prmem_test_walker_is_clean),
	{}
};

static struct kunit_suite prmem_frame_suite = {
	.name = "prmem_frame",
	.suite_init = prmem_test_suite_init,
	.init = prmem_test_init,
	.exit = prmem_test_exit,
	.test_cases = prmem_frame_cases,
};

kunit_test_suite(prmem_frame_suite);
