// SPDX-License-Identifier: GPL-2.0
/*
 * The firmware writes to a constant in the middle of a call: the call ends, EFI is given up, and all else goes on.
 * This is the last step that can use EFI.
 */
#include "kernel.h"

#define PARAMETERS	"/sys/module/efi_crash/parameters/"

static bool is(const char *parameter, const char *value)
{
	char path[128], text[16] = "";

	snprintf(path, sizeof(path), PARAMETERS "%s", parameter);
	read_file(path, text, sizeof(text));
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, value);
}

int main(void)
{
	int err = load_module("efi_crash", "");

	ktap_ok(!err, "call", "%s", strerror(-err));
	ktap_ok(is("aborted", "Y"), "is_aborted", "it is not");
	ktap_ok(is("services", "N"), "services_are_off", "they are on");
	ktap_ok(is("same_cr3", "Y"), "same_page_table", "it is another one");
	ktap_ok(is("preempted", "0"), "same_preempt_count", "it is another one");
	return ktap_end();
}
