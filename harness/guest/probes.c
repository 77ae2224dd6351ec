// SPDX-License-Identifier: GPL-2.0
/*
 * Kprobes on the functions of the series itself, and on what runs in a window: probes[:PROGRAM+...]
 *
 * Each function gets a probe at its first byte, which is a hook of ftrace, one behind that, which is an int3 or a jump,
 * and one on its return. The kernel refuses a probe, or the probe does no harm while the programs run.
 */
#include "kernel.h"
#include "poking.h"

#define EVENTS	TRACING "events/own/enable"

/* Where a temporary mm is loaded and left, what writes through one, and what is called in between. */
static const char * const open_to_probes[] = {
	"use_temporary_mm", "unuse_temporary_mm", "use_temporary_mm_irqs_off", "unuse_temporary_mm_irqs_off",
	"use_temporary_root", "unuse_temporary_root",
	"switch_mm_irqs_off", "temporary_mm_loaded", "temp_mm_write", "text_poke", "text_poke_bp_batch",
	"__wr_store", "__wr_copy", "wr_begin", "wr_end", "wr_relax", "wr_memcpy", "__wr_cache_alloc", "wr_cache_free",
	"prlist_add_rcu", "pmalloc", "asi_map", "asi_unmap", "asi_create", "asi_destroy", "pg_table_share", "pg_table_unmap",
	"__pg_table_source_changed",
};

/* These run on the page table of a domain, where an int3 finds what it needs, but the tracer's code does not. */
static const char * const closed_to_probes[] = {
	"asi_enter", "asi_exit", "__asi_suspend", "__asi_resume", "__asi_schedule_in", "__asi_schedule_out", "asi_reenter",
	"error_entry", "paranoid_entry", "asm_exc_nmi", "asm_exc_page_fault",
};

#define COUNT(array)	((int)(sizeof(array) / sizeof((array)[0])))

static int add_event(const char *format, const char *name)
{
	char text[256];

	snprintf(text, sizeof(text), format, name, name);
	return append_file(TRACING "kprobe_events", text);
}

/* Returns how many of the three kinds are there now. */
static int probe(const char *name)
{
	return !add_event("p:own/%s %s\n", name) + !add_event("p:own/%s_5 %s+5\n", name) + !add_event("r:own/%s_ret %s\n", name);
}

/* By all probes whose names begin like that. */
static long hits(const char *name)
{
	static char text[65536];
	char *line, *save = NULL, event[128];
	long sum = 0, count;

	read_file(TRACING "kprobe_profile", text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, " %127s %ld", event, &count) == 2 && !strncmp(event, name, strlen(name)))
			sum += count;
	return sum;
}

static void run(char *program)
{
	static char output[65536];
	char path[64], name[80], *arg = strchr(program, '=');
	int status;

	if (arg)
		*arg++ = 0;
	snprintf(path, sizeof(path), "/bin/%s", program);
	snprintf(name, sizeof(name), "probed_%s", program);
	status = run_program(path, arg, false, output, sizeof(output));
	if (status)
		fprintf(stderr, "probes: %s", output);
	ktap_ok(!status, name, "%s ends with %#x", path, status);
}

int main(int argc, char **argv)
{
	int i, taken = 0, refused = 0, bad = 0;
	char *programs = argc > 1 && argv[1] ? argv[1] : "poke=3", *program;

	for (i = 0; i < COUNT(open_to_probes); i++) {
		int n = probe(open_to_probes[i]);

		printf("# %s: %d of 3 probes\n", open_to_probes[i], n);
		taken += n;
		refused += 3 - n;
	}
	printf("# %d probes, %d refused\n", taken, refused);
	ktap_ok(taken > 3 * COUNT(open_to_probes) / 2, "taken", "%d probes only", taken);
	for (i = 0; i < COUNT(closed_to_probes); i++) {
		if (probe(closed_to_probes[i])) {
			printf("# %s can be probed\n", closed_to_probes[i]);
			bad++;
		}
	}
	ktap_ok(!bad, "refused", "%d functions that run in domains", bad);
	i = write_file(EVENTS, "1");
	ktap_ok(!i, "enable", EVENTS ": %s", strerror(-i));
	while ((program = strsep(&programs, "+")) && *program)
		run(program);
	ktap_ok(hits("use_temporary_mm") > 0 && hits("use_temporary_mm_5") > 0 && hits("text_poke") > 0, "hits",
		"%ld and %ld of use_temporary_mm(), %ld of text_poke()", hits("use_temporary_mm"), hits("use_temporary_mm_5"),
		hits("text_poke"));
	i = write_file(EVENTS, "0");
	ktap_ok(!i, "disable", EVENTS ": %s", strerror(-i));
	i = write_file(TRACING "kprobe_events", "");
	ktap_ok(!i, "remove", TRACING "kprobe_events: %s", strerror(-i));
	return ktap_end();
}
