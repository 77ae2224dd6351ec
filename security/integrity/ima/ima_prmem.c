// SPDX-License-Identifier: GPL-2.0
/*
 * The measurement list in protected memory.
 *
 * An entry is made in ordinary memory, since its fields come from all over the
 * kernel.  Once it is known to be new, all that belongs to it is copied into one
 * piece of the pool, a record, and the original is freed.
 */
#include <linux/align.h>
#include <linux/overflow.h>
#include <linux/prmem.h>

#include "ima.h"

/* A record is a few hundred bytes; what does not fit any more is lost. */
#define IMA_POOL_REFILL	(16 * PAGE_SIZE)

struct pmalloc_pool *ima_pool __ro_after_init;

/* Digests that an entry has: of each bank, and of what IMA needs besides. */
int ima_nr_digests __ro_after_init;

/* What is to be copied into the next record. */
static u8 ima_draft[WR_BATCH_BYTES] __aligned(sizeof(u64));

/* What a record begins with; then come the digests, and the data of the fields. */
struct ima_record {
	struct ima_queue_entry qe;
	struct ima_template_entry entry;
};

/**
 * ima_init_pool - create what the measurement list is in
 *
 * Return: 0 or -ENOMEM.
 */
int __init ima_init_pool(void)
{
	/* IMA tries again, with another hash algorithm. */
	if (ima_pool)
		return 0;

	ima_pool = pmalloc_create_custom_pool(IMA_POOL_REFILL, ilog2(sizeof(u64)),
					      PMALLOC_MODE_START_WR);

	return ima_pool ? 0 : -ENOMEM;
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

/* With a 0 behind it: a string that comes from another kernel may have none. */
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
 * @plan: how large it is, and its fields
 * @entry: the entry
 *
 * An entry is in ordinary memory, where a length can change at any time, and lead
 * to memory that is not there.  So it is copied before the window is open, and each
 * length is read once.
 *
 * Context: With the list's mutex held.
 */
void ima_plan_record(struct ima_record_plan *plan, const struct ima_template_entry *entry)
{
	int i, nr = clamp(READ_ONCE(entry->template_desc->num_fields), 0,
			  IMA_TEMPLATE_NUM_FIELDS_MAX);
	size_t offset = ima_head_size(entry->template_desc);

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
}

/* Nobody reads it yet, and no lock was taken in the batch: interrupts may come. */
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

/* Too much for an edit, which has interrupts off. */
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

	if (!ima_is_template(desc))
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
