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

static size_t ima_head_size(const struct ima_template_entry *entry)
{
	return struct_size_t(struct ima_record, entry.template_data,
			     entry->template_desc->num_fields);
}

static size_t ima_digests_size(void)
{
	return (NR_BANKS(ima_tpm_chip) + ima_extra_slots) * sizeof(struct tpm_digest);
}

/* With a 0 behind it: a string that comes from another kernel may have none. */
static size_t ima_data_size(const struct ima_field_data *field)
{
	return ALIGN((size_t)field->len + 1, sizeof(u64));
}

/**
 * ima_record_size - how much memory does a record take?
 * @entry: the entry that it will be of
 *
 * Return: bytes.
 */
size_t ima_record_size(const struct ima_template_entry *entry)
{
	size_t size = ima_head_size(entry) + ALIGN(ima_digests_size(), sizeof(u64));
	int i;

	for (i = 0; i < entry->template_desc->num_fields; i++)
		size += ima_data_size(&entry->template_data[i]);

	return size;
}

/* Too much for an edit, which has interrupts off; nobody reads it yet. */
static int ima_copy_data(void *data, const struct ima_template_entry *entry)
{
	int i, result = 0;

	for (i = 0; i < entry->template_desc->num_fields && !result; i++) {
		const struct ima_field_data *field = &entry->template_data[i];

		result = wr_memcpy(data, field->data, field->len);
		data += ima_data_size(field);
	}

	return result;
}

/**
 * ima_fill_record - copy an entry into a record
 * @qe: the record, which nobody has written yet
 * @size: its size, from ima_record_size()
 * @entry: the entry
 *
 * Context: A batch.
 *
 * Return: 0, with qe->entry being the copy; or a negative error as wr_assign().
 */
int ima_fill_record(struct ima_queue_entry *qe, size_t size,
		    const struct ima_template_entry *entry)
{
	struct ima_record *rec = container_of(qe, struct ima_record, qe), *rw;
	int i, nr = entry->template_desc->num_fields, result;
	size_t offset = ima_head_size(entry), digests = ima_digests_size();
	size_t data = offset + ALIGN(digests, sizeof(u64));
	bool large = size > WR_BATCH_BYTES;

	if (large) {
		result = ima_copy_data((void *)rec + data, entry);
		if (result)
			return result;
	}

	rw = wr_edit_bytes(rec, large ? data : size);
	if (IS_ERR(rw))
		return PTR_ERR(rw);

	rw->qe.entry = &rec->entry;
	memcpy(&rw->entry, entry, struct_size(entry, template_data, nr));
	rw->entry.digests = (void *)rec + offset;
	memcpy((void *)rw + offset, entry->digests, digests);
	for (i = 0, offset = data; i < nr; i++) {
		const struct ima_field_data *field = &entry->template_data[i];

		rw->entry.template_data[i].data = (void *)rec + offset;
		if (!large)
			memcpy((void *)rw + offset, field->data, field->len);
		offset += ima_data_size(field);
	}
	wr_end();

	return 0;
}
