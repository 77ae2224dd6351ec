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

/**
 * ima_plan_record - decide how an entry becomes a record
 * @plan: the decision
 * @entry: the entry
 *
 * Until it is a record, the entry is in ordinary memory.  Whatever decides where
 * something is written is read once, here, so that what changes meanwhile can't
 * have it written outside of the record.
 */
void ima_plan_record(struct ima_record_plan *plan, const struct ima_template_entry *entry)
{
	int i;

	plan->nr_fields = clamp(READ_ONCE(entry->template_desc->num_fields), 0,
				IMA_TEMPLATE_NUM_FIELDS_MAX);
	plan->digests = struct_size_t(struct ima_record, entry.template_data, plan->nr_fields);
	plan->digests_size = (NR_BANKS(ima_tpm_chip) + ima_extra_slots) * sizeof(struct tpm_digest);
	plan->data = plan->digests + ALIGN(plan->digests_size, sizeof(u64));
	plan->size = plan->data;
	for (i = 0; i < plan->nr_fields; i++) {
		plan->len[i] = READ_ONCE(entry->template_data[i].len);
		plan->size += ima_data_size(plan->len[i]);
	}
}

/* Too much for an edit, which has interrupts off; nobody reads it yet. */
static int ima_copy_data(void *data, const struct ima_record_plan *plan,
			 const struct ima_template_entry *entry)
{
	int i, result = 0;

	for (i = 0; i < plan->nr_fields && !result; i++) {
		result = wr_memcpy(data, entry->template_data[i].data, plan->len[i]);
		data += ima_data_size(plan->len[i]);
	}

	return result;
}

/**
 * ima_fill_record - copy an entry into a record
 * @qe: the record, plan->size bytes that nobody has written yet
 * @plan: from ima_plan_record()
 * @entry: the entry
 *
 * Context: A batch.
 *
 * Return: 0, with qe->entry being the copy; or a negative error as wr_assign().
 */
int ima_fill_record(struct ima_queue_entry *qe, const struct ima_record_plan *plan,
		    const struct ima_template_entry *entry)
{
	struct ima_record *rec = container_of(qe, struct ima_record, qe), *rw;
	bool large = plan->size > WR_BATCH_BYTES;
	size_t offset = plan->data;
	int i, result;

	if (large) {
		result = ima_copy_data((void *)rec + offset, plan, entry);
		if (result)
			return result;
	}

	rw = wr_edit_bytes(rec, large ? plan->data : plan->size);
	if (IS_ERR(rw))
		return PTR_ERR(rw);

	rw->qe.entry = &rec->entry;
	rw->entry = *entry;
	rw->entry.digests = (void *)rec + plan->digests;
	memcpy((void *)rw + plan->digests, entry->digests, plan->digests_size);
	for (i = 0; i < plan->nr_fields; i++) {
		rw->entry.template_data[i].data = (void *)rec + offset;
		rw->entry.template_data[i].len = plan->len[i];
		if (!large)
			memcpy((void *)rw + offset, entry->template_data[i].data, plan->len[i]);
		offset += ima_data_size(plan->len[i]);
	}
	wr_end();

	return 0;
}
