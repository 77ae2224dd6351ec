/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A domain that the test driver of the kernel, arch/x86/mm/tests/asi/test_asi_user.c, opens
 * for a program, and the kernel's own account of domains.
 */
#ifndef SELFTESTS_ASI_H
#define SELFTESTS_ASI_H

#include "../temp_mm/report.h"

#define ASI_DOMAIN	DEBUGFS "asi_test/domain"
#define ASI_DOMAINS	DEBUGFS "asi/domains"
#define ASI_STATS	DEBUGFS "asi/stats"
#define ASI_FAULTS	DEBUGFS "asi/faults"
#define CR3_ADDRESS	0x000ffffffffff000UL

static inline unsigned long address_in(const char *text, const char *key)
{
	const char *value = value_in(text, key);

	return value ? strtoul(value, NULL, 0) : 0;
}

/* The sum over the CPUs that are online of a counter in asi/stats; -1: there is none. */
static inline long asi_count(const char *key)
{
	static char text[8192];
	const char *value;
	char *next;
	long sum = 0;

	read_file(ASI_STATS, text, sizeof(text));
	value = value_in(text, key);
	if (!value)
		return -1;
	while (*value == ' ' || (*value >= '0' && *value <= '9')) {
		sum += strtol(value, &next, 10);
		value = next;
	}
	return sum;
}

/* Domains are freed some time after they were given up: wait until there are @n. */
static inline bool wait_for_domains(int n, char *text, int size)
{
	int i, lines;
	char *at;

	for (i = 0; i < 200; i++) {
		read_file(ASI_DOMAINS, text, size);
		for (lines = 0, at = text; (at = strchr(at, '\n')); at++)
			lines++;
		if (lines == n)
			return true;
		usleep(50000);
	}
	return false;
}

#endif
