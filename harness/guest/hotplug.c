// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs go and come while another process makes the kernel write its text:
 * hotplug[:ROUNDS]. One round takes every CPU but the first down and up again.
 */
#include <signal.h>
#include <sys/wait.h>

#include "poking.h"

static int set_online(int cpu, int online)
{
	char path[80], text[8];
	int ret;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	ret = write_file(path, online ? "1" : "0");
	if (ret)
		return ret;
	read_file(path, text, sizeof(text));
	return text[0] == '0' + online ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 && argv[1] ? atoi(argv[1]) : 5;
	int cpus = sysconf(_SC_NPROCESSORS_CONF), round, cpu = 1, ret = 0, status;
	const char *why = "";
	pid_t pid;

	if (cpus < 2) {
		ktap_skip("offline_online", "the machine has one CPU");
		return ktap_end();
	}
	pid = fork();
	if (!pid)
		poke_forever();
	for (round = 0; round < rounds && !ret; round++) {
		for (cpu = 1; cpu < cpus && !ret; cpu++)
			ret = set_online(cpu, 0);
		for (cpu = 1; cpu < cpus && !ret; cpu++)
			ret = set_online(cpu, 1);
	}
	ktap_ok(!ret, "offline_online", "round %d, cpu %d: %s", round, cpu - 1, strerror(-ret));
	ret = waitpid(pid, &status, WNOHANG);
	ktap_ok(ret == 0, "poke_meanwhile", "the poking process ended with %#x", status);
	kill(pid, SIGKILL);
	if (!ret)
		waitpid(pid, &status, 0);
	/* The new CPUs must be able to do it, too. */
	ret = poke_static_key(&why);
	ktap_ok(!ret, "poke_afterwards", "%s", why);
	return ktap_end();
}
