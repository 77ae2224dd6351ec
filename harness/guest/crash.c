// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that panics where it is restricted, and what the kernel finds that is started then:
 *
 * crash:domain		loads /boot/bzImage for that and asi_panic, whose thread panics in a domain
 * crash:window		the same in a window, while another CPU has one open
 * crash:dump		in the second kernel: the memory of the first one is there
 *
 * The thread panics when crash:dump has begun in the first kernel, which waits for it.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <linux/kexec.h>

#include "kernel.h"

#define MESSAGE "Kernel panic - not syncing: in a "
/* What is looked for is shorter than what is kept of a part for the next one. */
#define PART (1 << 20)
#define KEPT 64

static int load_next(const char *where)
{
	const char *left = getenv("steps_left"), *done = getenv("steps_done");
	char line[4096];
	int ret;

	if (!ktap_ok(left && done, "load_by_init", "not started by init"))
		return ktap_end();
	inherit_words(line, " steps= steps_done= crashkernel= ");
	sprintf(line + strlen(line), "steps=%s steps_done=%s crash=%s:%ld", left, done, where,
		sysconf(_SC_NPROCESSORS_ONLN));
	ret = load_kernel(line, KEXEC_FILE_ON_CRASH);
	ktap_ok(!ret, "load_kernel", "%s", strerror(-ret));
	if (!ret)
		ret = load_module("asi_panic", strcmp(where, "window") ? "" : "window=1");
	ktap_ok(!ret, "load_module", "%s", strerror(-ret));
	return ktap_end();
}

/* How many notes with the registers of a CPU there are, or -1. */
static int cpus_in(int fd)
{
	static char notes[1 << 20];
	Elf64_Ehdr header;
	Elf64_Phdr program;
	Elf64_Nhdr *note;
	int i, cpus = 0;
	ssize_t len;
	char *at;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG) ||
	    header.e_type != ET_CORE)
		return -1;
	for (i = 0; i < header.e_phnum; i++) {
		if (pread(fd, &program, sizeof(program), header.e_phoff + i * sizeof(program)) != sizeof(program))
			return -1;
		if (program.p_type != PT_NOTE || program.p_filesz > sizeof(notes))
			continue;
		len = pread(fd, notes, program.p_filesz, program.p_offset);
		for (at = notes; at + sizeof(*note) <= notes + len;
		     at += sizeof(*note) + (note->n_namesz + 3) / 4 * 4 + (note->n_descsz + 3) / 4 * 4) {
			note = (Elf64_Nhdr *)at;
			cpus += note->n_type == NT_PRSTATUS && note->n_descsz;
		}
	}
	return cpus;
}

/* Is @text somewhere in the memory of the first kernel? Counts the bytes that could be read. */
static bool find_text(int fd, const char *text, long long *bytes)
{
	static char part[KEPT + PART];
	bool found = false;
	ssize_t len;

	for (*bytes = 0; (len = read(fd, part + KEPT, PART)) > 0; *bytes += len) {
		found |= memmem(part, KEPT + len, text, strlen(text)) != NULL;
		memmove(part, part + len, KEPT);
	}
	return found && !len;
}

static int look_at_dump(void)
{
	const char *crash = getenv("crash");
	char where[16] = "", text[80];
	int fd, cpus = 0, seen;
	long long bytes = 0;

	if (!crash) {
		/* The first kernel: a moment later it panics. */
		sleep(120);
		ktap_ok(0, "dump_second_kernel", "the kernel goes on 120 s after it was to panic");
		return ktap_end();
	}
	ktap_ok(sscanf(crash, "%15[^:]:%d", where, &cpus) == 2, "dump_second_kernel", "crash=%s", crash);
	fd = open("/proc/vmcore", O_RDONLY);
	if (!ktap_ok(fd >= 0, "dump_is_there", "%s", strerror(errno)))
		return ktap_end();
	seen = cpus_in(fd);
	ktap_ok(seen == cpus, "dump_has_each_cpu", "registers of %d CPUs, and there were %d", seen, cpus);
	snprintf(text, sizeof(text), MESSAGE "%s", where);
	seen = find_text(fd, text, &bytes);
	ktap_ok(seen, "dump_has_the_message", "\"%s\" is not in %lld bytes", text, bytes);
	printf("# %lld bytes read\n", bytes);
	return ktap_end();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 && argv[1] ? argv[1] : "";

	if (!strcmp(what, "dump"))
		return look_at_dump();
	if (!strcmp(what, "domain") || !strcmp(what, "window"))
		return load_next(what);
	fprintf(stderr, "crash: domain, window or dump, not %s\n", what);
	return 2;
}
