// SPDX-License-Identifier: GPL-2.0
/*
 * Guards of the kernel's integrity take a digest of .rodata and look now and then whether it is still right. It is,
 * whatever protected memory is written: rodata. With ima_policy=tcb.
 */
#include "ima.h"
#include "kernel.h"

#define DIGEST "/sys/module/rodata/parameters/digest"
#define NEW_FILES 5

int main(void)
{
	char before[64] = "", again[64] = "", after[64] = "";
	int ret = load_module("rodata", ""), i;
	long grown = 0;

	ktap_ok(!ret, "load", "rodata.ko: %s", strerror(-ret));
	ima_mounts();
	read_file(DIGEST, before, sizeof(before));
	read_file(DIGEST, again, sizeof(again));
	ktap_ok(strlen(before) > 8 && !strcmp(before, again), "nothing_changes_it", "first %s then %s", before, again);
	for (i = 0; i < NEW_FILES; i++)
		grown += measure_new();
	ktap_ok(grown == NEW_FILES, "list_grows", "%ld entries for %d files", grown, NEW_FILES);
	read_file(DIGEST, after, sizeof(after));
	ktap_ok(!strcmp(again, after), "measurement_does_not_change_it", "first %s then %s", again, after);
	return ktap_end();
}
