// SPDX-License-Identifier: GPL-2.0
/*
 * A function is replaced while the kernel runs, and comes back: livepatch[:ROUNDS]. With ima_policy=tcb.
 */
#include "ima.h"
#include "kernel.h"

#define PATCH	"/sys/kernel/livepatch/livepatch/"
#define CALLS	"/sys/module/livepatch/parameters/calls"
/* Seconds that all tasks have to come to a place where they can change over. */
#define PATIENCE 60

static int wait_for_transition(void)
{
	int i;

	for (i = 0; i < PATIENCE * 10; i++) {
		if (read_number(PATCH "transition") <= 0)
			return 0;
		usleep(100000);
	}
	return -ETIME;
}

/* After the transition, a work item of the kernel's lets go of the module. */
static int unload_patch(void)
{
	int i, ret = 0;

	for (i = 0; i < PATIENCE * 10; i++) {
		ret = unload_module("livepatch");
		if (ret != -EAGAIN)
			break;
		usleep(100000);
	}
	return ret;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 3, round, ret = 0;
	long grows[3] = { 1, 0, 1 }, calls = 1;
	const char *what = "";

	ima_mounts();
	for (round = 0; round < rounds && !ret && grows[0] == 1 && !grows[1] && grows[2] == 1 && calls > 0; round++) {
		grows[0] = measure_new();
		what = "load";
		ret = load_module("livepatch", "") ?: wait_for_transition();
		if (ret)
			break;
		grows[1] = measure_new();
		calls = read_number(CALLS);
		what = "disable";
		ret = write_file(PATCH "enabled", "0") ?: wait_for_transition();
		if (ret)
			break;
		grows[2] = measure_new();
		what = "unload";
		ret = unload_patch();
	}
	ktap_ok(!ret, "enable_disable", "round %d: %s: %s", round, what, strerror(-ret));
	ktap_ok(grows[0] == 1 && !grows[1] && grows[2] == 1, "function_is_replaced",
		"the list grows by %ld before, %ld with and %ld after the patch", grows[0], grows[1], grows[2]);
	ktap_ok(calls > 0, "replacement_is_called", "%ld times", calls);
	return ktap_end();
}
