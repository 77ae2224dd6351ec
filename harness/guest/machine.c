// SPDX-License-Identifier: GPL-2.0
/*
 * Is this the machine that the scenario speaks of? machine:CPUS[+FEATURE...]
 *
 * Each feature of the table is one case. It is there or it is not, on all CPUs, as the scenario says:
 * one that is not named must not be there.
 */
#include "kernel.h"

#define MAX_CPUS 64

static const struct feature {
	const char *name;
	const char *flag;	/* of /proc/cpuinfo: the processor has it, and the kernel uses it */
	int cr4;		/* the bit that turns it on, or 0 */
	const char *file;	/* which can be read with it, and without not, or is "off" */
} features[] = {
	{ "pcid", .flag = "pcid", .cr4 = 17 },
	{ "invpcid", .flag = "invpcid" },
	{ "fsgsbase", .flag = "fsgsbase", .cr4 = 16 },
	{ "smep", .flag = "smep", .cr4 = 20 },
	{ "smap", .flag = "smap", .cr4 = 21 },
	{ "la57", .flag = "la57", .cr4 = 12 },
	{ "gbpages", .flag = "pdpe1gb" },
	{ "pti", .flag = "pti" },
	{ "prmem", .file = DEBUGFS "prmem/check" },
	{ "asi", .file = DEBUGFS "asi/stats" },
};

#define NR_FEATURES (sizeof(features) / sizeof(features[0]))

static unsigned long cr4[MAX_CPUS];
static int cpus, nr_cr4;
static char cpuinfo[256 * 1024];

/* Comma separated, by the number of the CPU. Returns 0 or -errno. */
static int read_cr4(void)
{
	char text[1024], *at, *next;
	int ret = load_module("cr4", "");

	if (ret)
		return ret;
	ret = read_file("/sys/module/cr4/parameters/cr4", text, sizeof(text));
	for (at = text; nr_cr4 < MAX_CPUS; at = next + 1) {
		cr4[nr_cr4] = strtoul(at, &next, 10);
		if (next == at)
			break;
		nr_cr4++;
		if (*next != ',')
			break;
	}
	unload_module("cr4");
	return ret < 0 ? ret : 0;
}

static int cpus_with_bit(int bit)
{
	int cpu, found = 0;

	for (cpu = 0; cpu < nr_cr4; cpu++)
		found += cr4[cpu] >> bit & 1;
	return found;
}

/* In the lines "flags : ..." of all CPUs. */
static int cpus_with_flag(const char *flag)
{
	const char *line, *at, *end;
	size_t len = strlen(flag);
	int found = 0;

	for (line = cpuinfo; (line = strstr(line, "\nflags\t")); line = end) {
		end = line + 1 + strcspn(line + 1, "\n");
		for (at = line; (at = strstr(at, flag)) && at < end; at += len) {
			if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n')) {
				found++;
				break;
			}
		}
	}
	return found;
}

static bool wanted(const char *name, const char *list)
{
	size_t len = strlen(name);

	for (; *list; list += strcspn(list, "+"), list += *list == '+')
		if (!strncmp(list, name, len) && (list[len] == '+' || !list[len]))
			return true;
	return false;
}

static void test_feature(const struct feature *f, bool want)
{
	int all = want ? cpus : 0, flags = all, bits = all, len = 0;
	char text[8192], found[256];
	bool readable = want;

	if (f->flag) {
		flags = cpus_with_flag(f->flag);
		len += sprintf(found + len, "; %d of %d CPUs have the flag", flags, cpus);
	}
	if (f->cr4) {
		bits = cpus_with_bit(f->cr4);
		len += sprintf(found + len, "; %d have bit %d of CR4", bits, f->cr4);
	}
	if (f->file) {
		readable = read_file(f->file, text, sizeof(text)) > 0 && strcmp(text, "off\n");
		len += sprintf(found + len, "; %s can%s be read", f->file, readable ? "" : "not");
	}
	ktap_ok(flags == all && bits == all && readable == want, f->name, "the scenario says %s%s", want ? "yes" : "no",
		found);
}

/* Returns a word of @list that is no feature, or NULL. */
static const char *unknown(const char *list)
{
	static char word[64];
	unsigned int i;
	int len;

	for (; *list; list += len, list += *list == '+') {
		len = strcspn(list, "+");
		snprintf(word, sizeof(word), "%.*s", len, list);
		for (i = 0; i < NR_FEATURES && strcmp(word, features[i].name); i++)
			;
		if (i == NR_FEATURES)
			return word;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *list = argc > 1 && argv[1] ? argv[1] : "", *bad;
	char *rest;
	unsigned int i;
	int ret;

	cpus = strtol(list, &rest, 10);
	list = rest + (*rest == '+');
	bad = unknown(list);
	ret = read_cr4();
	if (!ret)
		ret = read_file("/proc/cpuinfo", cpuinfo, sizeof(cpuinfo));
	ktap_ok(cpus > 0 && !bad && ret > 0, "asked", "%d CPUs, unknown feature: %s; CR4 and /proc/cpuinfo: %s", cpus,
		bad ?: "none", ret < 0 ? strerror(-ret) : "read");
	ret = sysconf(_SC_NPROCESSORS_ONLN);
	ktap_ok(ret == cpus && sysconf(_SC_NPROCESSORS_CONF) == cpus, "cpus", "%d are online, and the scenario has %d", ret,
		cpus);
	for (i = 0; i < NR_FEATURES; i++)
		test_feature(&features[i], wanted(features[i].name, list));
	return ktap_end();
}
