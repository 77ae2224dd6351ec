// SPDX-License-Identifier: GPL-2.0
/*
 * Random operations on three page tables, of which the second has the first as its
 * source, and the third the second, against a model that knows nothing of tables.
 *
 * The address space is cut into segments, at places where entries of all levels
 * begin and around them.  Operations begin and end at cuts, so that all pages of a
 * segment always have the same state.
 */
#include <linux/bits.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/sort.h>

#include "test_pg_table.h"

static unsigned long seed;
module_param(seed, ulong, 0644);
MODULE_PARM_DESC(seed, "of the random operations, 0 for a new one");

static unsigned int ops = 60000;
module_param(ops, uint, 0644);
MODULE_PARM_DESC(ops, "how many random operations");

#define NR_TABLES	3
#define MAX_CUTS	80
#define MAX_PFN		BIT(24)		/* 64 GiB of whatever */
#define NR_TRACED	12

/* What a page of a segment is in a table. */
enum model_kind {
	MODEL_NONE,
	MODEL_PRIVATE,
	MODEL_COPY,	/* what the table before has, as long as it has it */
	MODEL_FOLLOW,	/* what the table before has */
};

struct model_seg {
	enum model_kind	kind;
	unsigned long	pfn;		/* of the first page, if private */
	u64		prot;
};

struct model_trace {
	unsigned int	op;
	int		table, what, level, err;
	unsigned long	start, end;
};

struct model {
	struct kunit	*test;
	struct rnd_state rnd;
	struct pg_table	*pgt[NR_TABLES];
	struct model_seg seg[NR_TABLES][MAX_CUTS];
	unsigned long	cut[MAX_CUTS];
	int		nr_cuts;	/* the last one is the end of the last segment */
	struct model_trace trace[NR_TRACED];
	unsigned int	op;
	bool		failed;
	u64		flushes;
	unsigned long	changed;	/* operations that have succeeded */
};

static u32 model_random(struct model *m, u32 below)
{
	return prandom_u32_state(&m->rnd) % below;
}

static void model_flush(struct pg_table *pgt, unsigned long start, unsigned long end)
{
	struct model *m = pgt->private;

	m->flushes++;
}

static const struct pg_table_ops model_ops = { .flush = model_flush };

static int model_compare_cuts(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void model_make_cuts(struct model *m)
{
	const unsigned long near[] = {
		0, SZ_4K_, 2 * SZ_4K_, SZ_2M_ - SZ_4K_, SZ_2M_, SZ_2M_ + SZ_4K_, 2 * SZ_2M_,
		SZ_1G_ - SZ_2M_, SZ_1G_ - SZ_4K_, SZ_1G_, SZ_1G_ + SZ_4K_, SZ_1G_ + SZ_2M_,
		2 * SZ_1G_, 2 * SZ_1G_ + SZ_2M_, SZ_512G_ - SZ_1G_, SZ_512G_,
		SZ_512G_ + SZ_1G_, 2 * SZ_512G_, SZ_ROOT_ - SZ_1G_, SZ_ROOT_, SZ_ROOT_ + SZ_1G_,
		2 * SZ_ROOT_,
	};
	unsigned int i, n = 0, out = 0;

	for (i = 0; i < ARRAY_SIZE(near); i++) {
		m->cut[n++] = TEST_BASE + near[i];
		if (near[i] <= SZ_1G_ + SZ_2M_ || near[i] == SZ_512G_ || near[i] == SZ_ROOT_)
			m->cut[n++] = TEST_BASE - near[i];
	}
	sort(m->cut, n, sizeof(m->cut[0]), model_compare_cuts, NULL);
	for (i = 0; i < n; i++) {
		if (!out || m->cut[out - 1] != m->cut[i])
			m->cut[out++] = m->cut[i];
	}
	m->nr_cuts = out;
}

/* Who decides what a segment of a table maps: it, or one before it; or nobody. */
static const struct model_seg *model_effective(const struct model *m, int t, int i)
{
	for (; t >= 0; t--) {
		const struct model_seg *s = &m->seg[t][i];

		if (s->kind == MODEL_NONE)
			return NULL;
		if (s->kind == MODEL_PRIVATE)
			return s;
	}

	return NULL;
}

/* A copy of something that is gone is gone. */
static void model_settle(struct model *m)
{
	int t, i;

	for (t = 1; t < NR_TABLES; t++) {
		for (i = 0; i < m->nr_cuts - 1; i++) {
			struct model_seg *s = &m->seg[t][i];

			if (s->kind == MODEL_COPY && !model_effective(m, t, i))
				s->kind = MODEL_NONE;
		}
	}
}

static void model_report(struct model *m, const char *why, int t, unsigned long addr)
{
	unsigned int i;

	if (m->failed)
		return;

	m->failed = true;
	KUNIT_FAIL(m->test, "seed %lu, operation %u: %s in table %d at %#lx\n", seed, m->op,
		   why, t, addr);
	for (i = 0; i < NR_TRACED; i++) {
		const struct model_trace *tr = &m->trace[(m->op + 1 + i) % NR_TRACED];

		if (tr->start)
			kunit_err(m->test, "%u: table %d, what %d, level %d, %#lx to %#lx: %d\n",
				  tr->op, tr->table, tr->what, tr->level, tr->start, tr->end,
				  tr->err);
	}
}

static void model_check_page(struct model *m, int t, int i, unsigned long addr)
{
	const struct model_seg *s = model_effective(m, t, i);
	struct pg_table_leaf leaf;
	struct test_seen seen;
	bool found;

	test_see(m->pgt[t], addr, &seen);
	found = pg_table_lookup(m->pgt[t], addr, &leaf);
	if (found != seen.present)
		return model_report(m, "lookup differs", t, addr);

	if (seen.present != !!s)
		return model_report(m, s ? "not mapped" : "mapped", t, addr);

	if (!s)
		return;

	if (seen.pa != PFN_PHYS(s->pfn) + (addr - m->cut[i]) ||
	    leaf.pa + (addr - leaf.start) != seen.pa)
		return model_report(m, "wrong address", t, addr);

	if (seen.rw != !!(s->prot & _PAGE_RW) || seen.nx != !!(s->prot & _PAGE_NX) ||
	    seen.cache != (s->prot & _PAGE_CACHE_MASK) || seen.global || seen.user)
		return model_report(m, "wrong protection", t, addr);

	if ((pgprot_val(leaf.prot) ^ s->prot) & (_PAGE_RW | _PAGE_NX | _PAGE_CACHE_MASK))
		return model_report(m, "lookup has another protection", t, addr);
}

static void model_check_segs(struct model *m, int first, int last)
{
	int t, i;

	for (t = 0; t < NR_TABLES; t++) {
		for (i = first; i <= last; i++) {
			model_check_page(m, t, i, m->cut[i]);
			model_check_page(m, t, i, m->cut[i + 1] - PAGE_SIZE);
		}
	}
}

static void model_check_tables(struct model *m)
{
	int t;

	for (t = 0; t < NR_TABLES; t++) {
		if (test_count_tables(m->test, m->pgt[t]) != m->pgt[t]->nr_tables)
			model_report(m, "wrong number of tables", t, 0);
	}
}

/* Change the protection of what the first table maps, as set_memory_*() does. */
static enum pg_step model_visit_protect(struct pg_table_op *op, int level, pteval_t *slot,
					unsigned long addr, pteval_t e, pteval_t s)
{
	if (!e)
		return PG_DONE;

	if (pg_slot_start(level, addr) < op->start || pg_slot_last(level, addr) > op->last ||
	    pg_entry_is_table(level, e))
		return PG_DESCEND;

	if (!op->dry) {
		e &= ~(_PAGE_RW | _PAGE_DIRTY | _PAGE_NX);
		pg_entry_write(level, slot, e | pgprot_val(op->prot));
	}

	return PG_DONE;
}

static int model_protect(struct pg_table *pgt, unsigned long start, unsigned long end,
			 u64 prot)
{
	struct pg_table_op op;

	pg_table_op_init(&op, pgt, start, end - 1);
	op.visit = model_visit_protect;
	op.fresh = _PAGE_PRESENT | _PAGE_PSE;
	op.prot = __pgprot(prot & (_PAGE_RW | _PAGE_DIRTY | _PAGE_NX));
	if (!pg_table_prepare(&op, GFP_PGTABLE_KERNEL)) {
		pg_table_abandon(&op);
		return -ENOMEM;
	}
	pg_table_commit(&op);
	__pg_table_source_changed(pgt, start, end);

	return 0;
}

static u64 model_prot(struct model *m)
{
	const pgprot_t prots[] = { TEST_PROT_RW, TEST_PROT_RO, TEST_PROT_RX };
	u64 prot = pgprot_val(prots[model_random(m, ARRAY_SIZE(prots))]);

	if (model_random(m, 4) == 0)
		prot |= _PAGE_PAT;
	if (model_random(m, 4) == 0)
		prot |= _PAGE_PCD;

	return prot;
}

static bool model_any(struct model *m, int t, int first, int last, bool private_only)
{
	int i;

	for (i = first; i <= last; i++) {
		if (private_only ? m->seg[t][i].kind == MODEL_PRIVATE :
				   !!model_effective(m, t, i))
			return true;
	}

	return false;
}

static int model_map(struct model *m, int t, int first, int last)
{
	unsigned long start = m->cut[first], size = m->cut[last + 1] - start;
	u64 prot = model_prot(m);
	unsigned long pfn;
	int i, err, want = 0;

	/* Half of them so that large leaves are possible. */
	pfn = model_random(m, MAX_PFN >> 18) << 18;
	if (model_random(m, 2) || size > 4 * SZ_2M_)
		pfn += (start >> PAGE_SHIFT) % (1UL << 18);
	else
		pfn += model_random(m, 1UL << 18);

	if (!arch_pg_table_pfn_ok(pfn, size >> PAGE_SHIFT))
		want = -EINVAL;
	else if (model_any(m, t, first, last, false))
		want = -EEXIST;
	else if (size > 4 * SZ_1G_)
		return 1;

	err = pg_table_map(m->pgt[t], start, pfn, size >> PAGE_SHIFT, __pgprot(prot));
	if (err != -ENOMEM && err != want)
		model_report(m, "wrong answer of map", t, start);
	if (err)
		return err;

	for (i = first; i <= last; i++) {
		m->seg[t][i].kind = MODEL_PRIVATE;
		m->seg[t][i].pfn = pfn + ((m->cut[i] - start) >> PAGE_SHIFT);
		m->seg[t][i].prot = prot;
	}

	return 0;
}

static int model_unmap(struct model *m, int t, int first, int last)
{
	int i, err = pg_table_unmap(m->pgt[t], m->cut[first], m->cut[last + 1]);

	if (err && err != -ENOMEM)
		model_report(m, "wrong answer of unmap", t, m->cut[first]);
	if (err)
		return err;

	for (i = first; i <= last; i++)
		m->seg[t][i].kind = MODEL_NONE;

	return 0;
}

static int model_share(struct model *m, int t, int first, int last, int level)
{
	unsigned long start, end, align = PAGE_SIZE;
	int i, err, want = 0;

	if (level >= PG_TABLE_PMD)
		align = min(SZ_2M_ << (9 * (level - PG_TABLE_PMD)), SZ_ROOT_);
	/* Most of them to what the level can do. */
	if (model_random(m, 8)) {
		while (first && !IS_ALIGNED(m->cut[first], align))
			first--;
		while (last < m->nr_cuts - 2 && !IS_ALIGNED(m->cut[last + 1], align))
			last++;
	}

	start = m->cut[first];
	end = m->cut[last + 1];
	if (level == PG_TABLE_4K && end - start > 8 * SZ_2M_)
		level = PG_TABLE_LEAF;

	if (!IS_ALIGNED(start | end, align))
		want = -EINVAL;
	else if (model_any(m, t, first, last, true))
		want = -EEXIST;

	err = pg_table_share(m->pgt[t], m->pgt[t - 1], start, end, level);
	if (err != -ENOMEM && err != want)
		model_report(m, "wrong answer of share", t, start);
	if (err)
		return err;

	for (i = first; i <= last; i++) {
		struct model_seg *s = &m->seg[t][i];

		if (level >= PG_TABLE_PMD)
			s->kind = MODEL_FOLLOW;
		else if (s->kind == MODEL_NONE && model_effective(m, t - 1, i))
			s->kind = MODEL_COPY;
	}

	return 0;
}

static int model_reprotect(struct model *m, int first, int last)
{
	u64 bits = _PAGE_RW | _PAGE_DIRTY | _PAGE_NX, prot = model_prot(m);
	int i, err = model_protect(m->pgt[0], m->cut[first], m->cut[last + 1], prot);

	if (err)
		return err;

	for (i = first; i <= last; i++) {
		if (m->seg[0][i].kind == MODEL_PRIVATE)
			m->seg[0][i].prot = (m->seg[0][i].prot & ~bits) | (prot & bits);
	}

	return 0;
}

static void model_step(struct model *m)
{
	struct model_trace *tr = &m->trace[m->op % NR_TRACED];
	int t = model_random(m, NR_TABLES), what = model_random(m, 10);
	int first = model_random(m, m->nr_cuts - 1);
	int last = first + model_random(m, min(model_random(m, 4) ? 4 : 40,
					       m->nr_cuts - 1 - first));
	int level = model_random(m, PG_TABLE_PGD + 1), err = 1;

	/* The last table has nobody who would lose something when an allocation fails. */
	if (t == NR_TABLES - 1 && what < 9 && model_random(m, 8) == 0)
		pg_table_fail_alloc = 1 + model_random(m, 4);

	*tr = (struct model_trace) { m->op, t, what, level, 0, m->cut[first], m->cut[last + 1] };

	if (what < 3)
		err = model_map(m, t, first, last);
	else if (what < 5)
		err = model_unmap(m, t, first, last);
	else if (what < 9 && t)
		err = model_share(m, t, first, last, level);
	else if (what >= 7)
		err = model_reprotect(m, first, last);

	pg_table_fail_alloc = 0;
	tr->err = err;
	m->changed += !err;
	model_settle(m);
	model_check_segs(m, max(first - 1, 0), min(last + 1, m->nr_cuts - 2));
}

void test_pg_table_model(struct kunit *test)
{
	long dropped = atomic_long_read(&pg_table_stats.dropped);
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	unsigned long set = seed, gens;
	int t;

	KUNIT_ASSERT_NOT_NULL(test, m);
	if (!seed)
		seed = get_random_u32();
	prandom_seed_state(&m->rnd, seed);
	m->test = test;
	model_make_cuts(m);
	for (t = 0; t < NR_TABLES; t++) {
		const char *const names[] = { "model_0", "model_1", "model_2" };

		m->pgt[t] = pg_table_create(names[t], &model_ops, m);
		KUNIT_ASSERT_FALSE(test, IS_ERR(m->pgt[t]));
	}

	for (m->op = 0; m->op < ops && !m->failed; m->op++) {
		model_step(m);
		if (m->op % 64 == 0) {
			model_check_segs(m, 0, m->nr_cuts - 2);
			model_check_tables(m);
			cond_resched();
		}
	}

	gens = 0;
	for (t = NR_TABLES - 1; t >= 0; t--) {
		gens += pg_table_generation(m->pgt[t]);
		pg_table_free(m->pgt[t]);
	}
	rcu_barrier();

	kunit_info(test, "seed %lu, %d levels, %u operations, %lu of them changes, %d segments, %lu generations, %llu flushes\n",
		   seed, pg_table_root_level(), m->op, m->changed, m->nr_cuts - 1, gens,
		   m->flushes);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&pg_table_stats.dropped), dropped);
	seed = set;
}
