// SPDX-License-Identifier: GPL-2.0
/*
 * The measurement list in protected memory.
 *
 * An entry is made in ordinary memory, since its fields come from all over the
 * kernel.  Once it is known to be new, all that belongs to it is copied into one
 * piece of the pool, a record, and the original is freed.
 */
#include <linux/align.h>
#include <linux/kmemleak.h>
#include <linux/overflow.h>
#include <linux/prlist.h>
#include <linux/prmem.h>
#include <linux/security.h>

#include "ima.h"

/* A record is a few hundred bytes; the end of an area where none fits is lost. */
#define IMA_POOL_REFILL	(16 * PAGE_SIZE)

struct pmalloc_pool *ima_pool __ro_after_init;

/* Digests that an entry has: of each bank, and of what IMA needs besides. */
int ima_nr_digests __ro_after_init;

/* Entries that one caller protects belatedly, before its own is added. */
#define IMA_CATCH_UP	64

struct ima_unprotected ima_unprotected __ima_history;

/* Digests and data of the next record, used with ima_extend_list_mutex held. */
static u8 ima_draft[WR_BATCH_BYTES] __aligned(sizeof(u64));

/* What a record begins with; then come the digests, and the data of the fields. */
struct ima_record {
	struct ima_queue_entry qe;
	struct ima_template_entry entry;
};

/**
 * ima_init_pool - create what the measurement list is in
 *
 * Return: 0, -EPERM or -ENOMEM.
 */
int __init ima_init_pool(void)
{
	struct pmalloc_pool *pool;

	/* init_ima() calls ima_init() again if it has failed. */
	if (ima_pool)
		return 0;

	pool = pmalloc_create_custom_pool(IMA_POOL_REFILL, ilog2(sizeof(u64)),
					  PMALLOC_MODE_START_WR);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	ima_pool = pool;

	return 0;
}

/**
 * ima_keep - copy something to where nobody can change it
 * @src: what, in ordinary memory
 * @size: how many bytes
 *
 * Context: Process context; sleeps.
 *
 * Return: the copy, which can't be freed; or NULL if there is no memory for it.
 */
void *ima_keep(const void *src, size_t size)
{
	void *copy = pmalloc(ima_pool, size);

	return copy && !wr_memcpy(copy, src, size) ? copy : NULL;
}

/* Has room for a 0 behind the data: a string handed over by kexec may have none. */
static size_t ima_data_size(u32 len)
{
	return ALIGN((size_t)len + 1, sizeof(u64));
}

static size_t ima_head_size(const struct ima_template_desc *desc)
{
	return struct_size_t(struct ima_record, entry.template_data, desc->num_fields);
}

static size_t ima_digests_size(void)
{
	return ALIGN(ima_nr_digests * sizeof(struct tpm_digest), sizeof(u64));
}

/**
 * ima_plan_record - prepare to make a record of an entry
 * @plan: receives the size of the record and of each field
 * @entry: the entry
 *
 * An entry is in ordinary memory, where a length can be forged at any time, and the copy
 * may fault then.  So digests, and data unless they are too large, are copied to
 * ima_draft before the window is open, and each length is read once.  The template says
 * where in ima_draft, so it has to be one that is protected.
 *
 * Context: With the list's mutex held.
 *
 * Return: 0, or -EINVAL if the template is none of IMA's.
 */
int ima_plan_record(struct ima_record_plan *plan, const struct ima_template_entry *entry)
{
	const struct ima_template_desc *desc = READ_ONCE(entry->template_desc);
	size_t offset;
	int i, nr;

	if (!ima_is_template(desc))
		return -EINVAL;

	plan->desc = desc;
	nr = desc->num_fields;
	offset = ima_head_size(desc);
	plan->size = offset + ima_digests_size();
	for (i = 0; i < nr; i++) {
		plan->len[i] = READ_ONCE(entry->template_data[i].len);
		plan->size += ima_data_size(plan->len[i]);
	}
	if (plan->size > WR_BATCH_BYTES)
		nr = 0;

	memcpy(ima_draft + offset, entry->digests, ima_nr_digests * sizeof(struct tpm_digest));
	offset += ima_digests_size();
	for (i = 0; i < nr; i++) {
		size_t size = ima_data_size(plan->len[i]);

		*(u64 *)(ima_draft + offset + size - sizeof(u64)) = 0;
		memcpy(ima_draft + offset, entry->template_data[i].data, plan->len[i]);
		offset += size;
	}

	return 0;
}

/* This may call wr_relax(): no lock was taken in the batch, and nobody reads @dst yet. */
static int ima_copy_long(void *dst, const u8 *src, size_t len)
{
	size_t piece, done;
	int result = 0;

	for (done = 0; done < len && !result; done += piece) {
		piece = min(len - done, WR_BATCH_BYTES);
		result = wr_memcpy(dst + done, src + done, piece);
		wr_relax();
	}

	return result;
}

/* Copy the data of a record that is too large for wr_edit_bytes(). */
static int ima_copy_data(void *data, size_t room, int nr, const struct ima_record_plan *plan,
			 const struct ima_template_entry *entry)
{
	int i, result = 0;

	for (i = 0; i < nr && !result; i++) {
		u32 len = READ_ONCE(plan->len[i]);

		if (ima_data_size(len) > room)
			return -EINVAL;
		result = ima_copy_long(data, entry->template_data[i].data, len);
		data += ima_data_size(len);
		room -= ima_data_size(len);
	}

	return result;
}

/**
 * ima_fill_record - copy an entry into a record
 * @qe: the record, which nobody has written yet
 * @size: how large it is
 * @plan: from ima_plan_record()
 * @entry: the entry
 *
 * Whatever @plan and @entry have become since, nothing is written outside of the
 * record, and what it leads to is protected memory.
 *
 * Context: A batch, with the list's mutex held.
 *
 * Return: 0, with qe->entry being the copy; or a negative error as wr_assign().
 */
int ima_fill_record(struct ima_queue_entry *qe, size_t size,
		    const struct ima_record_plan *plan,
		    const struct ima_template_entry *entry)
{
	struct ima_record *rec = container_of(qe, struct ima_record, qe), *rw;
	struct ima_template_desc *desc = READ_ONCE(entry->template_desc);
	bool large = size > WR_BATCH_BYTES;
	u32 len, data_len = 0;
	size_t head, offset;
	int i, result = 0;

	if (desc != READ_ONCE(plan->desc) || !ima_is_template(desc))
		return -EINVAL;

	head = ima_head_size(desc);
	offset = head + ima_digests_size();
	if (offset > size)
		return -EINVAL;

	if (large)
		result = ima_copy_data((void *)rec + offset, size - offset, desc->num_fields,
				       plan, entry);
	if (result)
		return result;

	rw = wr_edit_bytes(rec, large ? offset : size);
	if (IS_ERR(rw))
		return PTR_ERR(rw);

	rw->qe.entry = &rec->entry;
	rw->entry.pcr = entry->pcr;
	rw->entry.template_desc = desc;
	rw->entry.digests = (void *)rec + head;
	memcpy((void *)rw + head, ima_draft + head, (large ? offset : size) - head);
	for (i = 0; i < desc->num_fields; i++) {
		len = READ_ONCE(plan->len[i]);
		if (ima_data_size(len) > size - offset) {
			result = -EINVAL;
			break;
		}
		rw->entry.template_data[i].data = (void *)rec + offset;
		rw->entry.template_data[i].len = len;
		offset += ima_data_size(len);
		data_len += sizeof(len) + len;
	}
	rw->entry.template_data_len = data_len;
	wr_end();

	return result;
}

/**
 * ima_begin_record - make a record of an entry
 * @entry: the entry
 *
 * Context: Process context, with the list's mutex held; sleeps.
 *
 * Return: the record, in a batch that the caller ends once the record is linked; or
 * an ERR_PTR(), and then there is no batch: -ENOMEM if there is no memory that is
 * protected, -EINVAL if the entry has been tampered with.
 */
struct ima_queue_entry *ima_begin_record(const struct ima_template_entry *entry)
{
	struct ima_record_plan plan;
	struct ima_queue_entry *qe;
	size_t size;
	int result;

	/* At most twice, unless a template that is set up takes the memory. */
	for (;;) {
		result = ima_plan_record(&plan, entry);
		if (result)
			return ERR_PTR(result);
		size = READ_ONCE(plan.size);
		result = wr_begin();
		if (result)
			return ERR_PTR(result);
		qe = pmalloc_nowait(ima_pool, size);
		if (qe)
			break;
		wr_end();
		result = pmalloc_reserve(ima_pool, size);
		if (result)
			return ERR_PTR(result);
	}

	result = ima_fill_record(qe, size, &plan, entry);
	if (!result)
		return qe;
	wr_end();

	return ERR_PTR(result);
}

/**
 * ima_add_ordinary - add an entry to the list as it is, in ordinary memory
 * @entry: the entry, of which there can be no record
 *
 * A measurement must not be lost, even if it can't be protected.  All entries that follow
 * are added in ordinary memory as well, until ima_protect_rest() has replaced them by
 * records: whoever can write to this entry could take those behind it off the list.
 *
 * The entry does not get into the hash table, since ordinary memory must not say that
 * something has been measured already.
 *
 * Context: Process context, with the list's mutex held; sleeps.
 *
 * Return: 0; or a negative error, and then nothing has changed.
 */
int ima_add_ordinary(struct ima_template_entry *entry)
{
	struct list_head *last = ima_measurements.prev;
	struct ima_queue_entry *qe;
	int result;

	qe = kzalloc(sizeof(*qe), GFP_KERNEL);
	if (!qe)
		return -ENOMEM;
	qe->entry = entry;

	result = wr_begin();
	if (result)
		goto free;

	if (!ima_unprotected.after) {
		result = prlist_add_tail_rcu(&qe->later, &ima_measurements);
	} else {
		/*
		 * The last entry is in ordinary memory, but the head of the list, which
		 * leads to it, is protected.  The links of that entry are not relied on.
		 */
		qe->later.next = &ima_measurements;
		qe->later.prev = last;
		result = wr_assign(ima_measurements.prev, &qe->later);
		if (!result) {
			/* Readers find it from here on.  Pairs with their rcu_dereference(). */
			smp_store_release(&last->next, &qe->later);
		}
	}
	if (result) {
		wr_end();
		goto free;
	}

	/* It is on the list: what fails from here on does not undo that. */
	if (!ima_unprotected.after)
		result = wr_assign(ima_unprotected.after, last);
	result |= wr_assign(ima_unprotected.nr, ima_unprotected.nr + 1);
	result |= pratomic_inc(&ima_htable.len);
	wr_end();
	WARN_ON_ONCE(result);
	pr_warn_ratelimited("a measurement can't be protected yet: it is on the list, in ordinary memory\n");

	return 0;

free:
	kfree(qe);
	return result;
}

/*
 * Put a record in the place of the first entry that is not protected.
 *
 * ima_unprotected, which is protected, says where that entry is and how many there are.
 * The link to the next entry is in ordinary memory.  To forge it changes which entries
 * that are not protected yet stay on the list, and these can be changed anyway.  But only
 * protected memory is written to, which is found through protected memory, and there are
 * no more rounds than there were entries.
 */
static int ima_protect_first(void)
{
	struct list_head *prev = ima_unprotected.after, *next;
	struct ima_queue_entry *old, *qe;
	int result;

	old = list_entry(prev->next, struct ima_queue_entry, later);
	qe = ima_begin_record(READ_ONCE(old->entry));
	if (IS_ERR(qe))
		return PTR_ERR(qe);

	next = ima_unprotected.nr > 1 ? READ_ONCE(old->later.next) : &ima_measurements;

	result = wr_assign(qe->later.next, next);
	result |= wr_assign(qe->later.prev, prev);
	/* A release: readers see all of the record, or are still at the old entry. */
	result |= wr_assign(prev->next, &qe->later);
	if (next == &ima_measurements) {
		result |= wr_assign(ima_measurements.prev, &qe->later);
		result |= wr_assign(ima_unprotected.after, NULL);
		result |= wr_assign(ima_unprotected.nr, 0);
	} else {
		result |= wr_assign(ima_unprotected.after, &qe->later);
		result |= wr_assign(ima_unprotected.nr, ima_unprotected.nr - 1);
	}
	wr_end();
	WARN_ON_ONCE(result);

	/* Never freed, since readers keep a pointer to an entry without a lock. */
	kmemleak_not_leak(old);

	return 0;
}

/**
 * ima_protect_rest - make up for what could not be protected
 *
 * Context: Process context, with the list's mutex held; sleeps.
 *
 * Return: true if all of the list is protected now.
 */
bool ima_protect_rest(void)
{
	int i;

	for (i = 0; ima_unprotected.after && i < IMA_CATCH_UP; i++) {
		if (ima_protect_first())
			break;
	}

	return !ima_unprotected.after;
}

static ssize_t ima_unprotected_read(struct file *file, char __user *buf, size_t count,
				    loff_t *ppos)
{
	char text[32];
	int len = scnprintf(text, sizeof(text), "%lu\n", READ_ONCE(ima_unprotected.nr));

	return simple_read_from_buffer(buf, count, ppos, text, len);
}

static const struct file_operations ima_unprotected_ops = {
	.read = ima_unprotected_read,
	.llseek = generic_file_llseek,
};

/**
 * ima_show_unprotected - create the file that says how much of the list is not protected
 * @dir: the directory of IMA in securityfs
 *
 * Return: 0 or a negative error.
 */
int __init ima_show_unprotected(struct dentry *dir)
{
	return PTR_ERR_OR_ZERO(securityfs_create_file("runtime_measurements_unprotected",
						      0440, dir, NULL, &ima_unprotected_ops));
}
