// SPDX-License-Identifier: GPL-2.0
/*
 * Has the kernel walk all page tables and say whether one of them maps protected
 * memory as it must not: prmem_check, or prmem_check:off where nothing is protected.
 */
#include <time.h>

#include "ktap.h"

#define CHECK "/sys/kernel/debug/prmem/check"

static long value_of(const char *text, const char *name)
{
	const char *line = text;
	size_t len = strlen(name);

	while (line && (strncmp(line, name, len) || line[len] != ' ')) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return line ? strtol(line + len, NULL, 0) : -1;
}

int main(int argc, char **argv)
{
	int off = argc > 1 && argv[1] && !strcmp(argv[1], "off");
	struct timespec begin, end;
	char text[4096], *line, *save = NULL;
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	ret = read_file(CHECK, text, sizeof(text));
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (off) {
		ktap_ok(ret == -ENODEV, "off", CHECK ": %s", ret < 0 ? strerror(-ret) : text);
		return ktap_end();
	}
	ktap_ok(ret > 0, "read", CHECK ": %s", strerror(-ret));
	ktap_ok(value_of(text, "tables") > 2, "tables", "walked %ld page tables",
		value_of(text, "tables"));
	ktap_ok(value_of(text, "leaves") > 1, "leaves", "%ld entries map protected memory",
		value_of(text, "leaves"));
	ktap_ok(!value_of(text, "violations"), "violations", "%ld, the first at %#lx",
		value_of(text, "violations"), value_of(text, "first_address"));

	fprintf(stderr, "prmem_check: %ld ms\n", (end.tv_sec - begin.tv_sec) * 1000 +
		(end.tv_nsec - begin.tv_nsec) / 1000000);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "prmem_check: %s\n", line);

	return ktap_end();
}
