// SPDX-License-Identifier: GPL-2.0
/*
 * A TCG plugin for QEMU that counts, from outside the guest, what a CPU executes
 * between two marker NOPs (harness/guest/marker.h): instructions, those of them
 * that are NOPs, writes to CR3, INVLPG, INVPCID and VMRUN, and the longest run of
 * instructions from a CLI up to the next STI. The kernel under test carries no
 * counter.
 *
 *   -plugin count.so,out=FILE
 *
 * Each instruction gets a callback that runs right before it, so an early exit
 * from a translation block, by a fault or an interrupt, is counted right; sums
 * per block would not be. The price, some four times a plain run, is fine.
 *
 * An interrupt between two markers is counted with the round it hits. That is
 * why FILE gets the minimum, the median and the maximum of those rounds of a bench
 * that nothing has interrupted: how many others there are depends on the host.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "qemu_plugin.h"

#define MAX_VCPUS	64

/* What is counted in one round. */
struct counts {
	uint64_t insns;
	uint64_t nops;
	uint64_t cr3_writes;
	uint64_t invlpg;
	uint64_t invpcid;
	uint64_t vmrun;
	uint64_t irqs_off_max;
	uint64_t irets;
};

/* Each vCPU is a thread of QEMU and touches only its own element. */
static struct vcpu {
	struct counts now;
	/* Bench number of the round that is being counted, or 0. */
	unsigned int bench;
	/* Interrupts are off since a CLI of this round, and the count after it. */
	int irqs_off;
	uint64_t cli_insns;
	/* The REP instruction seen last, and the count when it was seen. */
	uint64_t rep_addr;
	uint64_t rep_insns;
} __attribute__((aligned(64))) vcpus[MAX_VCPUS];

/* All rounds of a bench. */
static struct bench {
	struct counts *rounds;
	size_t n, room;
	/* Markers without their partner on the same CPU. */
	size_t torn;
} benches[MARKER_MAX + 1];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *out_path;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_API;

static void add_round(struct bench *bench, const struct counts *counts)
{
	if (bench->n == bench->room) {
		bench->room = bench->room ? 2 * bench->room : 1024;
		bench->rounds = realloc(bench->rounds,
					bench->room * sizeof(*bench->rounds));
		if (!bench->rounds) {
			perror("count: realloc");
			exit(1);
		}
	}
	bench->rounds[bench->n++] = *counts;
}

static void torn(unsigned int bench)
{
	pthread_mutex_lock(&lock);
	benches[bench].torn++;
	pthread_mutex_unlock(&lock);
}

static void on_marker(unsigned int cpu, void *data)
{
	uint32_t disp = (uintptr_t)data;
	unsigned int bench = (disp >> 4) & MARKER_MAX;
	struct vcpu *vcpu = &vcpus[cpu];

	switch (disp & 0xf) {
	case MARKER_BEGIN:
		if (vcpu->bench)
			torn(vcpu->bench);
		memset(vcpu, 0, sizeof(*vcpu));
		vcpu->bench = bench;
		break;
	case MARKER_END:
		if (vcpu->bench == bench) {
			pthread_mutex_lock(&lock);
			add_round(&benches[bench], &vcpu->now);
			pthread_mutex_unlock(&lock);
		} else {
			torn(bench);
		}
		vcpu->bench = 0;
		break;
	}
}

static void on_plain(unsigned int cpu, void *data)
{
	vcpus[cpu].now.insns++;
}

#define COUNT_FN(name)						\
static void on_##name(unsigned int cpu, void *data)		\
{								\
	vcpus[cpu].now.insns++;					\
	vcpus[cpu].now.name++;					\
}

COUNT_FN(nops)
COUNT_FN(cr3_writes)
COUNT_FN(invlpg)
COUNT_FN(invpcid)
COUNT_FN(vmrun)

static void on_cli(unsigned int cpu, void *data)
{
	struct vcpu *vcpu = &vcpus[cpu];

	vcpu->now.insns++;
	/* One more in between changes nothing. */
	if (!vcpu->irqs_off)
		vcpu->cli_insns = vcpu->now.insns;
	vcpu->irqs_off = 1;
}

static void on_sti(unsigned int cpu, void *data)
{
	struct vcpu *vcpu = &vcpus[cpu];
	uint64_t run = ++vcpu->now.insns - vcpu->cli_insns;

	if (vcpu->irqs_off && run > vcpu->now.irqs_off_max)
		vcpu->now.irqs_off_max = run;
	vcpu->irqs_off = 0;
}

/*
 * Its CLI were in a handler that had interrupts off anyway; who knows what they are
 * now. So a run is lost that an exception interrupts, which no bench has.
 */
static void on_iret(unsigned int cpu, void *data)
{
	vcpus[cpu].now.insns++;
	vcpus[cpu].now.irets++;
	vcpus[cpu].irqs_off = 0;
}

/*
 * QEMU makes a REP string instruction a loop that enters it anew for each
 * element. A processor retires it once, and so it is counted here: not again
 * if nothing else was executed since it was counted.
 */
static void on_rep(unsigned int cpu, void *data)
{
	struct vcpu *vcpu = &vcpus[cpu];
	uint64_t addr = (uintptr_t)data;

	if (vcpu->rep_addr == addr && vcpu->rep_insns == vcpu->now.insns)
		return;
	vcpu->rep_addr = addr;
	vcpu->rep_insns = ++vcpu->now.insns;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	static const qemu_plugin_insn_fn callbacks[] = {
		[KIND_PLAIN]	 = on_plain,
		[KIND_NOP]	 = on_nops,
		[KIND_CR3_WRITE] = on_cr3_writes,
		[KIND_INVLPG]	 = on_invlpg,
		[KIND_INVPCID]	 = on_invpcid,
		[KIND_VMRUN]	 = on_vmrun,
		[KIND_CLI]	 = on_cli,
		[KIND_STI]	 = on_sti,
		[KIND_IRET]	 = on_iret,
		[KIND_REP]	 = on_rep,
		[KIND_MARKER]	 = on_marker,
	};
	size_t n = qemu_plugin_tb_n_insns(tb);

	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint32_t marker = 0;
		enum kind kind = decode(qemu_plugin_insn_data(insn),
					qemu_plugin_insn_size(insn), &marker);
		uintptr_t data = 0;

		if (kind == KIND_MARKER)
			data = marker;
		else if (kind == KIND_REP)
			data = qemu_plugin_insn_vaddr(insn);
		qemu_plugin_register_vcpu_insn_exec_cb(insn, callbacks[kind],
						       QEMU_PLUGIN_CB_NO_REGS,
						       (void *)data);
	}
}

/* Those first that return from the fewest interrupts: from none but what is their own. */
static int by_insns(const void *a, const void *b)
{
	const struct counts *x = a, *y = b;

	if (x->irets != y->irets)
		return x->irets > y->irets ? 1 : -1;
	return (x->insns > y->insns) - (x->insns < y->insns);
}

static void print_counts(FILE *out, const char *name, const struct counts *counts)
{
	fprintf(out, ", \"%s\": {\"instructions\": %llu, \"nops\": %llu, \"cr3_writes\": %llu, "
		"\"invlpg\": %llu, \"invpcid\": %llu, \"vmrun\": %llu, "
		"\"irqs_off_max\": %llu}", name,
		(unsigned long long)counts->insns,
		(unsigned long long)counts->nops,
		(unsigned long long)counts->cr3_writes,
		(unsigned long long)counts->invlpg,
		(unsigned long long)counts->invpcid,
		(unsigned long long)counts->vmrun,
		(unsigned long long)counts->irqs_off_max);
}

/* FILE is a JSON object: bench number to what was counted. */
static void on_exit_write(qemu_plugin_id_t id, void *data)
{
	FILE *out = fopen(out_path, "w");
	const char *comma = "";

	if (!out) {
		perror(out_path);
		return;
	}
	pthread_mutex_lock(&lock);
	fprintf(out, "{");
	for (unsigned int i = 0; i <= MARKER_MAX; i++) {
		struct bench *bench = &benches[i];

		if (!bench->n && !bench->torn)
			continue;
		fprintf(out, "%s\n\"%u\": {\"rounds\": %zu, \"torn\": %zu",
			comma, i, bench->n, bench->torn);
		comma = ",";
		if (bench->n) {
			size_t calm = 0;

			qsort(bench->rounds, bench->n, sizeof(*bench->rounds),
			      by_insns);
			print_counts(out, "min", &bench->rounds[0]);
			while (calm < bench->n && bench->rounds[calm].irets == bench->rounds[0].irets)
				calm++;
			print_counts(out, "median", &bench->rounds[calm / 2]);
			print_counts(out, "max", &bench->rounds[calm - 1]);
			fprintf(out, ", \"interrupted\": %zu", bench->n - calm);
		}
		fprintf(out, "}");
	}
	fprintf(out, "\n}\n");
	pthread_mutex_unlock(&lock);
	if (fclose(out))
		perror(out_path);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
			int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) {
			out_path = strdup(argv[i] + 4);
		} else {
			fprintf(stderr, "count: unknown argument %s\n", argv[i]);
			return -1;
		}
	}
	if (!out_path) {
		fprintf(stderr, "count: out=FILE is missing\n");
		return -1;
	}
	if (strcmp(info->target_name, "x86_64") || !info->system_emulation ||
	    info->system.max_vcpus > MAX_VCPUS) {
		fprintf(stderr, "count: only for x86_64 machines of at most %d CPUs\n",
			MAX_VCPUS);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_write, NULL);
	return 0;
}
