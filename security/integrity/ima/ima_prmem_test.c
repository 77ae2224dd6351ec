// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the measurement list in protected memory.
 *
 * What they add to the list stays there, and a TPM is told of some of it: not for a
 * system whose list somebody trusts.
 */
#include <kunit/test.h>
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kallsyms.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <asm/tlbflush.h>

#include <trace/events/tlb.h>

#include "ima.h"
#include "../../../mm/prmem.h"

#define IMA_TEST_PCR	CONFIG_IMA_MEASURE_PCR_IDX

/* What the list is before a case does something to it. */
struct ima_test_state {
	long len, violations;
	unsigned long bytes;
	struct list_head *last;
};

static struct ima_test_state ima_test_now(void)
{
	return (struct ima_test_state) {
		.len = atomic_long_read(&ima_htable.len),
		.violations = atomic_long_read(&ima_htable.violations),
		.bytes = ima_get_binary_runtime_size(),
		.last = READ_ONCE(ima_measurements.prev),
	};
}

static void ima_test_unchanged(struct kunit *test, const struct ima_test_state *before)
{
	struct ima_test_state now = ima_test_now();

	KUNIT_EXPECT_EQ(test, now.len, before->len);
	KUNIT_EXPECT_EQ(test, now.violations, before->violations);
	KUNIT_EXPECT_EQ(test, now.bytes, before->bytes);
	KUNIT_EXPECT_PTR_EQ(test, now.last, before->last);
}

static struct ima_queue_entry *ima_test_last(void)
{
	return list_last_entry(&ima_measurements, struct ima_queue_entry, later);
}

/* An entry as IMA makes it for a file of this name, whose digest is of @content. */
static struct ima_template_entry *ima_test_entry(const char *name, u64 content)
{
	struct ima_max_digest_data hash = {
		.hdr = { .algo = HASH_ALGO_SHA256, .length = SHA256_DIGEST_SIZE },
	};
	struct ima_iint_cache iint = {
		.ima_hash = container_of(&hash.hdr, struct ima_digest_data, hdr),
	};
	struct ima_event_data data = { .iint = &iint, .filename = name };
	struct ima_template_entry *entry;

	memcpy(hash.digest, &content, sizeof(content));

	return ima_alloc_init_template(&data, &entry, lookup_template_desc("ima-ng")) ?
		NULL : entry;
}

static int ima_test_store(struct ima_template_entry *entry, const char *name)
{
	int err = ima_store_template(entry, 0, NULL, name, IMA_TEST_PCR);

	if (err)
		ima_free_template_entry(entry);

	return err;
}

/* A content that no earlier run has had. */
static u64 ima_test_content(void)
{
	static atomic64_t content = ATOMIC64_INIT(0x1234567);

	return atomic64_inc_return(&content);
}

static struct ima_queue_entry *ima_test_add(struct kunit *test, const char *name)
{
	struct ima_template_entry *entry = ima_test_entry(name, ima_test_content());

	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_ASSERT_EQ(test, ima_test_store(entry, name), 0);

	return ima_test_last();
}

static bool ima_test_writes(const void *addr)
{
	u8 val = 0, other;

	copy_from_kernel_nofault(&val, addr, sizeof(val));
	other = ~val;
	if (copy_to_kernel_nofault((void *)addr, &other, sizeof(other)))
		return false;

	/* It should not have: at least the other cases have what they expect. */
	copy_to_kernel_nofault((void *)addr, &val, sizeof(val));

	return true;
}

/* By the address that everybody knows, the one in the direct map and the one in the window. */
static void ima_test_attack(struct kunit *test, const void *p, const char *what)
{
	u8 before = READ_ONCE(*(const u8 *)p);

	KUNIT_EXPECT_FALSE_MSG(test, ima_test_writes(p), "%s", what);
	if (is_kernel((unsigned long)p))
		KUNIT_EXPECT_FALSE_MSG(test, ima_test_writes(__va(__pa_symbol(p))), "%s", what);
	if (is_pmalloc_wr_object(p, 1))
		KUNIT_EXPECT_FALSE_MSG(test, ima_test_writes(prmem_rw(p)), "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, READ_ONCE(*(const u8 *)p), before, "%s", what);
}

/* Unlink it, change what it says, hide it from the table. */
static void ima_test_attack_entry(struct kunit *test)
{
	struct ima_queue_entry *before = ima_test_add(test, "/before"), *qe, *after;
	struct ima_template_entry *entry;
	unsigned int i;

	qe = ima_test_add(test, "/victim");
	after = ima_test_add(test, "/after");
	entry = qe->entry;

	ima_test_attack(test, &before->later.next, "next of the entry before");
	ima_test_attack(test, &after->later.prev, "prev of the entry after");
	ima_test_attack(test, &qe->later.next, "next");
	ima_test_attack(test, &qe->later.prev, "prev");
	ima_test_attack(test, &qe->hnext.next, "next in the table");
	ima_test_attack(test, &qe->hnext.pprev, "pprev in the table");
	ima_test_attack(test, &qe->entry, "entry");
	ima_test_attack(test, &entry->pcr, "PCR");
	ima_test_attack(test, &entry->digests, "digests");
	ima_test_attack(test, &entry->template_desc, "template");
	ima_test_attack(test, &entry->template_data_len, "length of the fields");
	for (i = 0; i < NR_BANKS(ima_tpm_chip) + ima_extra_slots; i++)
		ima_test_attack(test, &entry->digests[i].digest[0], "byte of a digest");
	for (i = 0; i < entry->template_desc->num_fields; i++) {
		ima_test_attack(test, &entry->template_data[i].data, "field");
		ima_test_attack(test, &entry->template_data[i].len, "length of a field");
		ima_test_attack(test, entry->template_data[i].data, "data of a field");
	}
	KUNIT_EXPECT_STREQ(test, entry->template_data[1].data, "/victim");
}

static void ima_test_need_rodata(struct kunit *test)
{
	if (system_state < SYSTEM_RUNNING)
		kunit_skip(test, ".rodata is not read-only before user space runs");
}

/* What the kernel image has of the list. */
static void ima_test_attack_static(struct kunit *test)
{
	struct ima_queue_entry *qe = ima_test_add(test, "/static");
	struct ima_template_desc *desc = qe->entry->template_desc;
	u8 *digest = qe->entry->digests[ima_hash_algo_idx].digest;

	ima_test_need_rodata(test);
	ima_test_attack(test, &ima_measurements.next, "head of the list");
	ima_test_attack(test, &ima_measurements.prev, "tail of the list");
	ima_test_attack(test, &ima_htable.len, "number of entries");
	ima_test_attack(test, &ima_htable.violations, "number of violations");
	ima_test_attack(test, &ima_htable.queue[ima_hash_key(digest)], "head in the table");
	ima_test_attack(test, &desc->name, "name of the template");
	ima_test_attack(test, &desc->fields, "fields of the template");
	ima_test_attack(test, &desc->num_fields, "number of the fields");
	ima_test_attack(test, &desc->list.next, "next of the template");
	ima_test_attack(test, &ima_pool, "pool");
	ima_test_attack(test, &ima_algo_array, "algorithms");
	ima_test_attack(test, &ima_nr_digests, "number of digests");
}

/* What only one file of IMA knows. */
static void ima_test_attack_hidden(struct kunit *test)
{
	static const char * const names[] = {
		"builtin_templates", "defined_templates", "digests",
		"ima_buf_template", "ima_template",
	};
	int i;

	if (!IS_ENABLED(CONFIG_KALLSYMS_ALL))
		kunit_skip(test, "the kernel knows no names of variables");
	ima_test_need_rodata(test);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		void *p = (void *)kallsyms_lookup_name(names[i]);

		KUNIT_EXPECT_NOT_NULL_MSG(test, p, "%s", names[i]);
		if (p)
			ima_test_attack(test, p, names[i]);
	}
}

static void ima_test_all_templates(struct kunit *test)
{
	static const char * const names[] = { "ima", "ima-ng", "ima-sig", "ima-buf", "ima-modsig" };
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct ima_template_desc *desc = lookup_template_desc(names[i]);

		KUNIT_ASSERT_NOT_NULL(test, desc);
		KUNIT_EXPECT_TRUE(test, ima_is_template(desc));
		KUNIT_EXPECT_TRUE(test, is_pmalloc_wr_object(desc, sizeof(*desc)));
		KUNIT_EXPECT_TRUE(test, is_kernel_rodata((unsigned long)desc->name));
		KUNIT_EXPECT_TRUE(test, is_kernel_rodata((unsigned long)desc->fmt) ||
				  is_pmalloc_wr_object(desc->fmt, strlen(desc->fmt) + 1));
		KUNIT_EXPECT_FALSE(test, ima_is_template(desc + 100));
	}
}

/*
 * What IMA is about to copy is in ordinary memory.  Whatever somebody makes of it in
 * the meantime, the copy stays in its record and leads to nothing that he can write.
 */
static void ima_test_forged_entry(struct kunit *test)
{
	static struct ima_template_desc fake = {
		.name = "ima-ng", .fmt = "d-ng|n-ng", .num_fields = 2,
	};
	/* With more fields than a plan has room for. */
	static struct ima_template_desc large = {
		.name = "ima-ng", .fmt = "d-ng|n-ng",
		.num_fields = IMA_TEMPLATE_NUM_FIELDS_MAX + 4,
	};
	static struct {
		struct ima_record_plan plan;
		u32 behind[8];
	} room;
	enum { LENGTH, LENGTHS, TEMPLATE, SIZE, DATA_LEN, FORGERIES };
	int what;

	for (what = 0; what < FORGERIES; what++) {
		struct ima_queue_entry *above = ima_test_add(test, "/above"), *qe;
		struct ima_template_entry *entry = ima_test_entry("/forged", ima_test_content());
		u8 copy[200];
		struct ima_template_desc *desc;
		struct ima_record_plan plan;
		size_t size;
		int err;

		KUNIT_ASSERT_NOT_NULL(test, entry);
		memcpy(copy, above, sizeof(copy));
		desc = entry->template_desc;
		entry->template_desc = &large;
		memset(&room, 0xa5, sizeof(room));
		KUNIT_EXPECT_EQ(test, ima_plan_record(&room.plan, entry), -EINVAL);
		KUNIT_EXPECT_NULL(test, memchr_inv(room.behind, 0xa5, sizeof(room.behind)));
		entry->template_desc = desc;
		KUNIT_EXPECT_EQ(test, ima_plan_record(&plan, entry), 0);
		size = plan.size;
		KUNIT_ASSERT_EQ(test, wr_begin(), 0);
		/* It is right below that of the entry before. */
		qe = pmalloc_nowait(ima_pool, size);
		if (what == LENGTH)
			plan.len[1] += 64;
		else if (what == LENGTHS)
			memset(plan.len, 0xff, sizeof(plan.len));
		else if (what == TEMPLATE)
			entry->template_desc = &fake;
		else if (what == DATA_LEN)
			entry->template_data_len = INT_MIN;
		err = !qe ? -ENOMEM : ima_fill_record(qe, what == SIZE ? 16 : size, &plan, entry);
		wr_end();
		entry->template_desc = desc;

		KUNIT_EXPECT_MEMEQ_MSG(test, above, copy, sizeof(copy), "%d", what);
		KUNIT_EXPECT_EQ_MSG(test, err, what == DATA_LEN ? 0 : -EINVAL, "%d", what);
		if (!err)
			KUNIT_EXPECT_EQ(test, qe->entry->template_data_len, 4 + 40 + 4 + 8);
		ima_free_template_entry(entry);
	}
}

/* Nothing that belongs to any entry is anywhere else. */
static void ima_test_all_is_protected(struct kunit *test)
{
	struct ima_queue_entry *qe;
	long n = 0;

	ima_test_add(test, "/protected");
	rcu_read_lock();
	list_for_each_entry_rcu(qe, &ima_measurements, later) {
		struct ima_template_entry *entry = qe->entry;
		int i, nr = entry->template_desc->num_fields;
		bool good;

		good = is_pmalloc_wr_object(qe, sizeof(*qe)) &&
			is_pmalloc_wr_object(entry, struct_size(entry, template_data, nr)) &&
			is_pmalloc_wr_object(entry->digests,
					     (NR_BANKS(ima_tpm_chip) + ima_extra_slots) *
					     sizeof(*entry->digests)) &&
			is_pmalloc_wr_object(entry->template_desc, sizeof(*entry->template_desc)) &&
			is_pmalloc_wr_object(entry->template_desc->fields,
					     nr * sizeof(*entry->template_desc->fields));
		for (i = 0; i < nr && good; i++)
			good = !entry->template_data[i].len ||
				is_pmalloc_wr_object(entry->template_data[i].data,
						     entry->template_data[i].len);
		if (!good)
			break;
		n++;
	}
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, n, atomic_long_read(&ima_htable.len));
	KUNIT_EXPECT_TRUE(test, is_pmalloc_wr_object(&ima_measurements, sizeof(ima_measurements)));
	KUNIT_EXPECT_TRUE(test, is_pmalloc_wr_object(&ima_htable, sizeof(ima_htable)));
	KUNIT_EXPECT_TRUE(test, is_pmalloc_wr_object(ima_algo_array, sizeof(*ima_algo_array)));
}

/* How often the task of the test opens the window, which flushes. */
static struct {
	struct task_struct *task;
	atomic_t n;
} ima_test_windows;

static void ima_test_count(void *data, int reason, unsigned long pages)
{
	/* Who loads another mm is in the middle of that. */
	if (reason == TLB_FLUSH_ON_TASK_SWITCH && current == ima_test_windows.task &&
	    this_cpu_read(cpu_tlbstate.loaded_mm) != LOADED_MM_SWITCHING)
		atomic_inc(&ima_test_windows.n);
}

static void ima_test_one_window(struct kunit *test)
{
	struct ima_template_entry *entry;
	int err, i, n = 0;

	ima_test_windows.task = current;
	err = register_trace_tlb_flush(ima_test_count, NULL);
	/* One that finds its area full takes windows to get another one. */
	for (i = 0; i < 3 && n != 1; i++) {
		entry = ima_test_entry("/window", ima_test_content());
		atomic_set(&ima_test_windows.n, 0);
		err |= !entry || ima_test_store(entry, "/window");
		n = atomic_read(&ima_test_windows.n);
	}
	unregister_trace_tlb_flush(ima_test_count, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, n, 1);
}

static void ima_test_same_again(struct kunit *test)
{
	struct ima_test_state before;
	u64 content = ima_test_content();
	struct ima_template_entry *entry;

	entry = ima_test_entry("/twice", content);
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, ima_test_store(entry, "/twice"), 0);
	before = ima_test_now();
	entry = ima_test_entry("/twice", content);
	KUNIT_ASSERT_NOT_NULL(test, entry);
	KUNIT_EXPECT_EQ(test, ima_test_store(entry, "/twice"), -EEXIST);
	ima_test_unchanged(test, &before);
}

/* Each entry counts, and is found where its digest says. */
static void ima_test_bookkeeping(struct kunit *test)
{
	struct ima_test_state before = ima_test_now(), after;
	struct ima_queue_entry *qe = ima_test_add(test, "/books"), *found;
	u8 *digest = qe->entry->digests[ima_hash_algo_idx].digest;
	unsigned long size = 4 + 20 + 4 + strlen("ima-ng") + 4 + qe->entry->template_data_len;
	bool there = false;

	after = ima_test_now();
	KUNIT_EXPECT_EQ(test, after.len, before.len + 1);
	KUNIT_EXPECT_PTR_EQ(test, after.last, &qe->later);
	KUNIT_EXPECT_PTR_EQ(test, qe->later.prev, before.last);
	KUNIT_EXPECT_PTR_EQ(test, qe->later.next, &ima_measurements);
	if (IS_ENABLED(CONFIG_IMA_KEXEC))
		KUNIT_EXPECT_EQ(test, after.bytes, before.bytes + size);
	hlist_for_each_entry(found, &ima_htable.queue[ima_hash_key(digest)], hnext)
		there |= found == qe;
	KUNIT_EXPECT_EQ(test, there, !IS_ENABLED(CONFIG_IMA_DISABLE_HTABLE));
	KUNIT_EXPECT_EQ(test, qe->entry->pcr, IMA_TEST_PCR);
}

static void ima_test_violation(struct kunit *test)
{
	struct file *file = shmem_kernel_file_setup("ima_test", 0, 0);
	struct ima_test_state before = ima_test_now(), after;
	u8 zero[SHA256_DIGEST_SIZE] = { };
	struct ima_queue_entry *qe;

	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	ima_add_violation(file, "/violation", NULL, "invalid_pcr", "ToMToU");
	fput(file);
	after = ima_test_now();
	qe = ima_test_last();
	KUNIT_EXPECT_EQ(test, after.len, before.len + 1);
	KUNIT_EXPECT_EQ(test, after.violations, before.violations + 1);
	KUNIT_EXPECT_MEMEQ(test, qe->entry->digests[ima_hash_algo_idx].digest, zero, sizeof(zero));
	KUNIT_EXPECT_STREQ(test, qe->entry->template_data[1].data, "/violation");
}

/* Longer than a page, and than what a batch takes before it lets interrupts in. */
static void ima_test_long_names(struct kunit *test)
{
	static const size_t lengths[] = {
		0, 1, 7, 8, 254, 255, 256, PATH_MAX - 1, PATH_MAX, 3 * PATH_MAX, 40 * PATH_MAX,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *name = kunit_kzalloc(test, lengths[i] + 1, GFP_KERNEL);
		struct ima_queue_entry *qe;

		KUNIT_ASSERT_NOT_NULL(test, name);
		memset(name, 'a' + i, lengths[i]);
		qe = ima_test_add(test, name);
		KUNIT_EXPECT_EQ(test, qe->entry->template_data[1].len, lengths[i] + 1);
		KUNIT_EXPECT_MEMEQ(test, qe->entry->template_data[1].data, name, lengths[i] + 1);
		kunit_kfree(test, name);
	}
}

/*
 * No protected memory is left, nor can there be any more: the slots are taken, and
 * what is free in them as well.
 */
static struct {
	DECLARE_BITMAP(taken, PRMEM_NR_SLOTS);
	struct pmalloc_pool *pool;
} ima_test_drought;

static void ima_test_drain(struct pmalloc_pool *pool)
{
	size_t size;

	for (size = PAGE_SIZE; size >= sizeof(u64); size /= 8)
		while (pmalloc_nowait(pool, size))
			;
}

static void ima_test_begin_drought(struct kunit *test)
{
	struct pmalloc_pool *pool;
	unsigned int slot;

	pool = pmalloc_create_custom_pool(0, ilog2(sizeof(u64)), PMALLOC_MODE_START_WR);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, pool);
	ima_test_drought.pool = pool;
	for (slot = 0; slot < PRMEM_NR_SLOTS; slot++) {
		if (slot != PRMEM_STATIC_SLOT && prmem_replace(&prmem_blocks[slot].taken, 0, 1))
			__set_bit(slot, ima_test_drought.taken);
	}
	/* Whoever was about to get a block has it now. */
	mutex_lock(&prmem_grow_mutex);
	mutex_unlock(&prmem_grow_mutex);
	while (!pmalloc_reserve(pool, PAGE_SIZE))
		ima_test_drain(pool);
	ima_test_drain(pool);
	ima_test_drain(ima_pool);
}

static void ima_test_end_drought(struct kunit *test)
{
	unsigned int slot;

	for_each_set_bit(slot, ima_test_drought.taken, PRMEM_NR_SLOTS)
		prmem_replace(&prmem_blocks[slot].taken, 1, 0);
	bitmap_zero(ima_test_drought.taken, PRMEM_NR_SLOTS);
	KUNIT_EXPECT_EQ(test, pmalloc_destroy_pool(ima_test_drought.pool), 0);
	ima_test_drought.pool = NULL;
}

/* The names of the last @nr entries are @prefix and a number that counts up. */
static void ima_test_expect_names(struct kunit *test, const char *prefix, int nr)
{
	long skip = atomic_long_read(&ima_htable.len) - nr;
	struct ima_queue_entry *qe;
	int i = 0, right = 0;
	char name[32];

	list_for_each_entry(qe, &ima_measurements, later) {
		if (skip-- > 0)
			continue;
		snprintf(name, sizeof(name), "%s%d", prefix, i++);
		right += !strcmp(qe->entry->template_data[1].data, name);
	}
	KUNIT_EXPECT_EQ(test, right, nr);
}

#define IMA_TEST_DRY	100

/* What can't be protected is on the list all the same, and is protected later. */
static void ima_test_no_memory(struct kunit *test)
{
	struct ima_test_state before = ima_test_now(), after;
	struct ima_template_entry *entry, *entries[2];
	unsigned long nr = ima_unprotected.nr;
	struct ima_queue_entry *qe;
	char name[32];
	int i, err = 0;

	KUNIT_EXPECT_EQ(test, nr, 0);
	ima_test_begin_drought(test);
	for (i = 0; i < IMA_TEST_DRY; i++) {
		snprintf(name, sizeof(name), "/dry%d", i);
		entry = ima_test_entry(name, ima_test_content());
		err |= !entry || ima_test_store(entry, name);
	}
	after = ima_test_now();
	qe = ima_test_last();
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, after.len, before.len + IMA_TEST_DRY);
	KUNIT_EXPECT_EQ(test, ima_unprotected.nr, IMA_TEST_DRY);
	KUNIT_EXPECT_PTR_EQ(test, ima_unprotected.after, before.last);
	KUNIT_EXPECT_FALSE(test, is_pmalloc_object(qe, sizeof(*qe)));
	if (IS_ENABLED(CONFIG_IMA_KEXEC))
		KUNIT_EXPECT_GT(test, after.bytes, before.bytes);
	ima_test_expect_names(test, "/dry", IMA_TEST_DRY);
	if (system_state >= SYSTEM_RUNNING) {
		ima_test_attack(test, &ima_unprotected.after, "end of what is protected");
		ima_test_attack(test, &ima_unprotected.nr, "number of entries that are not");
	}
	ima_test_attack(test, before.last, "link to the first of them");
	ima_test_end_drought(test);

	/* One caller does not have to make up for all. */
	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		snprintf(name, sizeof(name), "/dry%d", IMA_TEST_DRY + i);
		entries[i] = ima_test_entry(name, ima_test_content());
		KUNIT_EXPECT_TRUE(test, entries[i] && !ima_test_store(entries[i], name));
		KUNIT_EXPECT_EQ(test, !ima_unprotected.nr, i == 1);
	}
	KUNIT_EXPECT_NULL(test, ima_unprotected.after);
	ima_test_expect_names(test, "/dry", IMA_TEST_DRY + ARRAY_SIZE(entries));
	ima_test_all_is_protected(test);
	ima_test_bookkeeping(test);
}

/*
 * Whatever somebody makes of an entry in ordinary memory: what is protected stays on
 * the list, what comes is added to it, and nothing else is written.
 */
static void ima_test_forged_ordinary(struct kunit *test)
{
	enum { CUT, CYCLE, BACK, LAST, TEMPLATE, FORGERIES };
	static struct ima_template_desc fake = { .name = "ima-ng", .num_fields = 2 };
	int what, i;

	for (what = 0; what < FORGERIES; what++) {
		struct ima_queue_entry *above = ima_test_add(test, "/above"), *qe[3], *last, *p;
		struct ima_template_desc *desc = above->entry->template_desc;
		long len = atomic_long_read(&ima_htable.len), n = 0;
		bool found = false;

		ima_test_begin_drought(test);
		for (i = 0; i < ARRAY_SIZE(qe); i++)
			qe[i] = ima_test_add(test, "/ordinary");
		if (what == CUT)
			qe[0]->later.next = &ima_measurements;
		else if (what == CYCLE)
			qe[1]->later.next = &qe[0]->later;
		else if (what == BACK)
			qe[0]->later.next = above->later.prev;
		else if (what == LAST)
			qe[2]->later.next = &qe[0]->later;
		else
			qe[0]->entry->template_desc = &fake;
		/* It is the last one, as the head of the list says. */
		last = ima_test_add(test, "/added");
		KUNIT_EXPECT_PTR_EQ_MSG(test, last->later.next, &ima_measurements, "%d", what);
		KUNIT_EXPECT_PTR_EQ_MSG(test, qe[2]->later.next, &last->later, "%d", what);
		KUNIT_EXPECT_EQ_MSG(test, ima_unprotected.nr, 4, "%d", what);
		ima_test_end_drought(test);

		/* With a template that is none it can't be protected; the others are not lost. */
		last = ima_test_add(test, "/after");
		KUNIT_EXPECT_EQ_MSG(test, ima_unprotected.nr, what == TEMPLATE ? 5 : 0, "%d", what);
		qe[0]->entry->template_desc = desc;
		if (what == TEMPLATE)
			last = ima_test_add(test, "/after");
		list_for_each_entry(p, &ima_measurements, later) {
			/* All that was there before is, in front of it. */
			KUNIT_EXPECT_TRUE_MSG(test, ++n != len || p == above, "%d", what);
			found |= p == last;
			if (n > len + 10)
				break;
		}
		KUNIT_EXPECT_TRUE_MSG(test, found, "%d", what);
		KUNIT_EXPECT_NULL_MSG(test, ima_unprotected.after, "%d", what);
		KUNIT_EXPECT_PTR_EQ_MSG(test, ima_measurements.prev, &last->later, "%d", what);
		KUNIT_EXPECT_TRUE_MSG(test, is_pmalloc_wr_object(last, sizeof(*last)), "%d", what);
		KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&ima_htable.len),
				    len + 5 + (what == TEMPLATE), "%d", what);
		/* What he took off is missed; for the cases that count, it is not any more. */
		WARN_ON_ONCE(pratomic_sub(len + 5 + (what == TEMPLATE) - n, &ima_htable.len));
	}
}

/* Of protected memory, without an owner. */
static unsigned int ima_test_free_pages(void)
{
	unsigned int slot, nr = 0;

	for (slot = PRMEM_STATIC_SLOT + 1; slot < PRMEM_NR_SLOTS; slot++)
		nr += prmem_blocks[slot].nr_pages ? atomic_read(&prmem_blocks[slot].free) : 0;

	return nr;
}

#define IMA_TEST_NOIO	200

/* Device mapper measures where nothing may wait for a device. */
static void ima_test_noio(struct kunit *test)
{
	struct ima_test_state before = ima_test_now();
	struct ima_template_entry *entry;
	unsigned int flags;
	char name[256];
	int i, err = 0;

	ima_test_drain(ima_pool);
	/* What is kept free is gone with that, and it may take a second until there is more. */
	for (i = 0; i < 500 && ima_test_free_pages() < PRMEM_RESERVE_PAGES; i++) {
		prmem_refill();
		msleep(20);
	}

	flags = memalloc_noio_save();
	for (i = 0; i < IMA_TEST_NOIO; i++) {
		snprintf(name, sizeof(name), "/noio%0*d", (int)sizeof(name) - 6, i);
		entry = ima_test_entry(name, ima_test_content());
		err |= !entry || ima_test_store(entry, name);
	}
	memalloc_noio_restore(flags);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, ima_test_now().len, before.len + IMA_TEST_NOIO);
	KUNIT_EXPECT_EQ(test, ima_unprotected.nr, 0);
	ima_test_all_is_protected(test);
}

#define IMA_TEST_RESTORED	3

static u8 *ima_test_put(u8 *p, u32 val)
{
	memcpy(p, &val, sizeof(val));

	return p + sizeof(val);
}

/* A list as kexec hands it over; the names of its entries are "/restored" and a digit. */
static size_t ima_test_list(u8 *buf, const char *template, unsigned int fields)
{
	struct ima_kexec_hdr *hdr = (void *)buf;
	u8 *p = buf + sizeof(*hdr);
	unsigned int i, k;
	u64 content;

	for (i = 0; i < IMA_TEST_RESTORED; i++) {
		p = ima_test_put(p, IMA_TEST_PCR);
		memset(p, 1, TPM_DIGEST_SIZE);
		p = ima_test_put(p + TPM_DIGEST_SIZE, strlen(template));
		memcpy(p, template, strlen(template));
		p = ima_test_put(p + strlen(template), 4 + 40 + 4 + 11 + (fields - 2) * (4 + 4));

		content = ima_test_content();
		p = ima_test_put(p, 40);
		memset(p, 0, 40);
		memcpy(p, "sha256:", 7);
		memcpy(p + 8, &content, sizeof(content));
		p = ima_test_put(p + 40, 11);
		snprintf(p, 11, "/restored%u", i);
		p += 11;
		for (k = 2; k < fields; k++) {
			p = ima_test_put(p, 4);
			p = ima_test_put(p, k);
		}
	}
	*hdr = (struct ima_kexec_hdr) {
		.version = 1, .buffer_size = p - buf, .count = IMA_TEST_RESTORED,
	};

	return p - buf;
}

static void ima_test_restore(struct kunit *test)
{
	/* The last one is known to no kernel but the one that hands the list over. */
	static const struct {
		const char *template;
		int fields;
	} lists[] = {
		{ "ima-ng", 2 }, { "ima-sig", 3 }, { "ima-buf", 3 }, { "d-ng|n-ng|imode|iuid", 4 },
	};
	u8 *buf = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	int i, k;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		size_t size = ima_test_list(buf, lists[i].template, lists[i].fields);
		struct ima_test_state before = ima_test_now();
		struct ima_queue_entry *qe;

		KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), 0);
		KUNIT_ASSERT_EQ(test, ima_test_now().len, before.len + IMA_TEST_RESTORED);
		qe = ima_test_last();
		for (k = IMA_TEST_RESTORED - 1; k >= 0; k--, qe = list_prev_entry(qe, later)) {
			struct ima_template_desc *desc = qe->entry->template_desc;
			char name[16];

			snprintf(name, sizeof(name), "/restored%d", k);
			KUNIT_EXPECT_STREQ(test, qe->entry->template_data[1].data, name);
			KUNIT_EXPECT_EQ(test, desc->num_fields, lists[i].fields);
			ima_test_attack(test, &qe->later, lists[i].template);
			ima_test_attack(test, qe->entry->template_data[0].data, lists[i].template);
			if (!is_kernel((unsigned long)desc))
				ima_test_attack(test, &desc->fields, "restored template");
		}
	}
	ima_test_all_is_protected(test);
}

static void ima_test_restore_refuses(struct kunit *test)
{
	u8 *buf = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct ima_kexec_hdr *hdr = (void *)buf;
	struct ima_test_state before;
	size_t size, first;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	size = ima_test_list(buf, "ima-ng", 2);
	first = (size - sizeof(*hdr)) / IMA_TEST_RESTORED;
	before = ima_test_now();

	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(sizeof(*hdr) - 1, buf), 0);
	hdr->version = 2;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	hdr->version = 1;
	hdr->count = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	/* Cut off in the header of the first entry, in its fields, and one byte before its end. */
	hdr->count = IMA_TEST_RESTORED;
	hdr->buffer_size = sizeof(*hdr) + 10;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	hdr->buffer_size = sizeof(*hdr) + first - 20;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	hdr->buffer_size = sizeof(*hdr) + first - 1;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	hdr->buffer_size = size;
	/* The length of the template's name, of all fields, and of the second one. */
	buf[sizeof(*hdr) + 24] = 200;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	buf[sizeof(*hdr) + 24] = strlen("ima-ng");
	buf[sizeof(*hdr) + 28 + strlen("ima-ng")] += 1;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	buf[sizeof(*hdr) + 28 + strlen("ima-ng")] -= 1;
	buf[sizeof(*hdr) + 32 + strlen("ima-ng") + 44] += 1;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	buf[sizeof(*hdr) + 32 + strlen("ima-ng") + 44] -= 1;
	ima_test_unchanged(test, &before);

	/* Cut off in the second entry: the first one is all there. */
	hdr->buffer_size = sizeof(*hdr) + first + 10;
	KUNIT_EXPECT_EQ(test, ima_restore_measurement_list(size, buf), -EINVAL);
	KUNIT_EXPECT_EQ(test, ima_test_now().len, before.len + 1);
	KUNIT_EXPECT_STREQ(test, ima_test_last()->entry->template_data[1].data, "/restored0");
	ima_test_all_is_protected(test);
}

#define IMA_TEST_ADDERS		3
#define IMA_TEST_EACH		100

struct ima_test_race {
	atomic_t left, wrong;
	struct completion begin;
};

/* An entry of a race is called "/race" and what the first bytes of its digest are. */
static bool ima_test_whole(struct ima_queue_entry *qe)
{
	struct ima_template_entry *entry = READ_ONCE(qe->entry);
	struct ima_field_data *name = &entry->template_data[1];
	u64 content, named;

	/* Each entry of this test has a name, and a digest. */
	if (entry->template_desc->num_fields < 2 || !name->len || !entry->template_data[0].len)
		return false;
	if (name->len < 6 || memcmp(name->data, "/race/", 6))
		return name->len == 1 || isgraph(name->data[0]);

	memcpy(&content, entry->template_data[0].data + 8, sizeof(content));

	return name->len == 6 + 16 + 1 && !kstrtoull(name->data + 6, 16, &named) &&
		named == content &&
		entry->pcr == IMA_TEST_PCR && entry->template_data_len == 4 + 40 + 4 + name->len &&
		memchr_inv(entry->digests[ima_hash_algo_idx].digest, 0, SHA256_DIGEST_SIZE);
}

static int ima_test_adder(void *data)
{
	struct ima_test_race *race = data;
	int i;

	wait_for_completion(&race->begin);
	for (i = 0; i < IMA_TEST_EACH; i++) {
		u64 content = ima_test_content();
		struct ima_template_entry *entry;
		char name[6 + 16 + 1];

		snprintf(name, sizeof(name), "/race/%016llx", content);
		entry = ima_test_entry(name, content);
		if (!entry || ima_test_store(entry, name))
			atomic_inc(&race->wrong);
		cond_resched();
	}
	atomic_dec(&race->left);

	return 0;
}

static void ima_test_readers(struct kunit *test)
{
	struct ima_test_race race = { .left = ATOMIC_INIT(IMA_TEST_ADDERS) };
	struct ima_test_state before = ima_test_now();
	int i, rounds = 0, table = 0, listed = 0;
	struct ima_queue_entry *qe;
	long n, last = 0;

	init_completion(&race.begin);
	for (i = 0; i < IMA_TEST_ADDERS; i++) {
		struct task_struct *task = kthread_run(ima_test_adder, &race, "ima_test/%d", i);

		KUNIT_EXPECT_FALSE(test, IS_ERR(task));
		if (IS_ERR(task))
			atomic_dec(&race.left);
	}
	do {
		n = 0;
		rcu_read_lock();
		list_for_each_entry_rcu(qe, &ima_measurements, later) {
			if (!ima_test_whole(qe))
				atomic_inc(&race.wrong);
			n++;
		}
		for (i = 0; i < IMA_MEASURE_HTABLE_SIZE; i++)
			hlist_for_each_entry_rcu(qe, &ima_htable.queue[i], hnext)
				if (!ima_test_whole(qe))
					atomic_inc(&race.wrong);
		rcu_read_unlock();
		/* It only ever grows. */
		if (n < last)
			atomic_inc(&race.wrong);
		last = n;
		rounds++;
		complete_all(&race.begin);
		cond_resched();
	} while (atomic_read(&race.left));

	KUNIT_EXPECT_EQ(test, atomic_read(&race.wrong), 0);
	KUNIT_EXPECT_GT(test, rounds, 1);
	n = 0;
	list_for_each_entry(qe, &ima_measurements, later) {
		KUNIT_EXPECT_TRUE(test, ima_test_whole(qe));
		listed += !memcmp(qe->entry->template_data[1].data, "/race/", 6);
		n++;
	}
	KUNIT_EXPECT_EQ(test, n, atomic_long_read(&ima_htable.len));
	KUNIT_EXPECT_EQ(test, n, before.len + IMA_TEST_ADDERS * IMA_TEST_EACH);
	for (i = 0; i < IMA_MEASURE_HTABLE_SIZE; i++)
		hlist_for_each_entry(qe, &ima_htable.queue[i], hnext)
			table += !memcmp(qe->entry->template_data[1].data, "/race/", 6);
	KUNIT_EXPECT_GE(test, listed, IMA_TEST_ADDERS * IMA_TEST_EACH);
	KUNIT_EXPECT_EQ(test, table, IS_ENABLED(CONFIG_IMA_DISABLE_HTABLE) ? 0 : listed);
}

/* KUnit leaves skipped what has been skipped at boot, also when it is run again. */
static int ima_test_suite_init(struct kunit_suite *suite)
{
	struct kunit_case *c;

	kunit_suite_for_each_test_case(suite, c)
		c->status = KUNIT_SUCCESS;

	return 0;
}

static int ima_test_init(struct kunit *test)
{
	if (prmem_unprotected)
		kunit_skip(test, "prmem=off protects nothing");
	if (!ima_pool)
		kunit_skip(test, "IMA is not there");

	return 0;
}

static struct kunit_case ima_test_cases[] = {
	KUNIT_CASE(ima_test_attack_entry),
	KUNIT_CASE(ima_test_attack_static),
	KUNIT_CASE(ima_test_attack_hidden),
	KUNIT_CASE(ima_test_all_templates),
	KUNIT_CASE(ima_test_forged_entry),
	KUNIT_CASE(ima_test_all_is_protected),
	KUNIT_CASE(ima_test_one_window),
	KUNIT_CASE(ima_test_same_again),
	KUNIT_CASE(ima_test_bookkeeping),
	KUNIT_CASE(ima_test_violation),
	KUNIT_CASE(ima_test_long_names),
	KUNIT_CASE(ima_test_no_memory),
	KUNIT_CASE(ima_test_forged_ordinary),
	KUNIT_CASE(ima_test_noio),
	KUNIT_CASE(ima_test_restore),
	KUNIT_CASE(ima_test_restore_refuses),
	KUNIT_CASE(ima_test_readers),
	{}
};

static struct kunit_suite ima_test_suite = {
	.name = "ima_prmem",
	.suite_init = ima_test_suite_init,
	.init = ima_test_init,
	.exit = ima_test_end_drought,
	.test_cases = ima_test_cases,
};

kunit_test_suite(ima_test_suite);

MODULE_DESCRIPTION("KUnit tests of the measurement list in protected memory");
MODULE_LICENSE("GPL");
