// SPDX-License-Identifier: GPL-2.0
/*
 * Domains under load: asi_load[:SECONDS]
 *
 * Tasks on all CPUs are in and out of domains, some of them in the same one, and
 * send NMIs to themselves there. Meanwhile processes start, run programs, map memory,
 * write files and pipes as a build does; probes and the function tracer go on and off;
 * memory gets scarce; CPUs go and come. In the end the accounts have to add up.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "asi.h"
#include "kernel.h"
#include "poking.h"

#define MAX_TASKS	64
#define PG_TABLE_STATS	DEBUGFS "pg_table/stats"

/* What the processes have done; shared by all. */
static struct counts {
	long loads, programs, maps, files, pipes, probes, traces, pressure, hotplugs;
	long stop;
} *done;

#define COUNT(what)	__atomic_add_fetch(&done->what, 1, __ATOMIC_RELAXED)
#define STOP()		__atomic_load_n(&done->stop, __ATOMIC_RELAXED)
/* Seconds for those who had no turn in the time that was asked for. */
#define PATIENCE	120

static pid_t children[MAX_TASKS];
static int nr_children;

static void start(void (*work)(long), long arg)
{
	pid_t pid = fork();

	if (!pid) {
		while (!STOP())
			work(arg);
		_exit(0);
	}
	if (pid > 0 && nr_children < MAX_TASKS)
		children[nr_children++] = pid;
}

/* ---- domains ---- */

static int shared_domain;

/* Of the domain that all have, or of one's own. */
static void load_rounds(int fd)
{
	if (write(fd, "load 100", 8) < 0)
		die("load");
	COUNT(loads);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* That CPU may be away just now. */
	sched_setaffinity(0, sizeof(set), &set);
}

static void in_shared_domain(long cpu)
{
	if (cpu >= 0)
		pin(cpu);
	load_rounds(shared_domain);
}

/* A domain that is there for a short time only; closed while others may still be in theirs. */
static void in_own_domain(long unused)
{
	char text[1024];
	int fd = open(ASI_DOMAIN, O_RDWR), i, len;

	(void)unused;
	if (fd < 0)
		die("open a domain");
	for (i = 0; i < 20 && !STOP(); i++)
		load_rounds(fd);
	len = pread(fd, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = 0;
	if (number_in(text, "mismatches") > 0) {
		errno = EINVAL;
		fprintf(stderr, "asi_load: %s\n", text);
		die("mismatches in a domain of its own");
	}
	close(fd);
}

/* ---- what a build does ---- */

static void execute(void)
{
	char *argv[] = { "true", NULL }, *envp[] = { NULL };
	pid_t pid = fork();
	int status;

	if (!pid) {
		execve("/bin/true", argv, envp);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		die("a program");
	COUNT(programs);
}

static void map_memory(void)
{
	size_t size = 4UL << 20, i;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return;
	for (i = 0; i < size; i += 4096)
		memory[i] = i;
	mprotect(memory, size / 2, PROT_READ);
	munmap(memory, size);
	COUNT(maps);
}

static void write_files(void)
{
	char path[64], block[4096];
	int fd, i;

	snprintf(path, sizeof(path), "/tmp/asi_load.%d", getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die(path);
	for (i = 0; i < 16; i++) {
		memset(block, i, sizeof(block));
		if (write(fd, block, sizeof(block)) != sizeof(block))
			break;
	}
	while (i-- > 0)
		if (pread(fd, block, sizeof(block), i * sizeof(block)) != sizeof(block) || block[7] != i)
			die("what a file has");
	close(fd);
	unlink(path);
	COUNT(files);
}

static void use_pipe(void)
{
	int ends[2], i, got;
	pid_t pid;

	if (pipe(ends))
		die("pipe");
	pid = fork();
	if (!pid) {
		close(ends[0]);
		for (i = 0; i < 100; i++)
			if (write(ends[1], &i, sizeof(i)) != sizeof(i))
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	for (i = 0; i < 100; i++)
		if (read(ends[0], &got, sizeof(got)) != sizeof(got) || got != i)
			die("what a pipe has");
	close(ends[0]);
	waitpid(pid, NULL, 0);
	COUNT(pipes);
}

static void build(long unused)
{
	(void)unused;
	execute();
	map_memory();
	write_files();
	use_pipe();
}

/* ---- what else happens ---- */

/* An int3 where tasks in domains come by, and a hook of ftrace. */
static void probe(long unused)
{
	static int defined;

	(void)unused;
	if (!defined && write_file(TRACING "kprobe_events", "p:asi_load/sleep schedule+5"))
		die("defining a kprobe");
	defined = 1;
	if (write_file(TRACING "events/asi_load/sleep/enable", "1"))
		die("enabling a kprobe");
	usleep(200000);
	if (write_file(TRACING "events/asi_load/sleep/enable", "0"))
		die("disabling a kprobe");
	COUNT(probes);
	usleep(100000);
}

static void trace(long unused)
{
	(void)unused;
	/* All functions would take all the time. */
	errno = -filter_functions("schedule wake_up_process handle_mm_fault __x64_sys_write");
	if (errno)
		die("filtering functions");
	if (write_file(TRACING "current_tracer", "function"))
		die("starting the function tracer");
	usleep(300000);
	if (write_file(TRACING "current_tracer", "nop"))
		die("stopping the function tracer");
	COUNT(traces);
}

/* Most of what there is, for a moment. */
static void press(long unused)
{
	size_t size = available_kb() * 1024 / 4 * 3, i;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	if (memory != MAP_FAILED) {
		for (i = 0; i < size && !STOP(); i += 4096)
			memory[i] = 1;
		munmap(memory, size);
		COUNT(pressure);
	}
	write_file("/proc/sys/vm/drop_caches", "3");
	usleep(500000);
}

static void hotplug(long cpus)
{
	int cpu;

	for (cpu = 1; cpu < cpus && !STOP(); cpu++) {
		if (set_online(cpu, 0))
			die("taking a CPU offline");
		usleep(200000);
		if (set_online(cpu, 1))
			die("bringing a CPU online");
		usleep(200000);
	}
	COUNT(hotplugs);
}

/* NMIs of the performance counters, where there are any; returns a descriptor or -1. */
static int sample(int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE, .config = PERF_COUNT_HW_CPU_CYCLES,
		.size = sizeof(attr), .sample_period = 100000,
	};

	return syscall(SYS_perf_event_open, &attr, -1, cpu, -1, 0);
}

/* ---- the end ---- */

/* Pages of page tables of our own, by the kernel's account; -1: it gives none. */
static long tables(void)
{
	return number_in_file(PG_TABLE_STATS, "tables");
}

/* All that there are, by name. */
static void list_tables(void)
{
	DIR *dir = opendir(DEBUGFS "page_tables");
	struct dirent *entry;

	printf("# page tables:");
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			printf(" %s", entry->d_name);
	printf("\n");
	if (dir)
		closedir(dir);
}

static int stop_all(void)
{
	int i, status, bad = 0;

	__atomic_store_n(&done->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < nr_children; i++) {
		if (waitpid(children[i], &status, 0) != children[i])
			status = -1;
		if (status)
			printf("# process %d ended with %#x\n", children[i], status);
		bad += !!status;
	}
	return bad;
}

static void check_accounts(const char *text, long *before)
{
	static const char * const names[] = { "enter", "exit", "interrupt", "paranoid", "suspend",
					      "fault", "flush", "noflush" };
	long now[8];
	int i;

	for (i = 0; i < 8; i++) {
		now[i] = asi_count(names[i]) - before[i];
		printf("# %s %ld\n", names[i], now[i]);
	}
	ktap_ok(number_in(text, "rounds") > 0 && !number_in(text, "mismatches"), "cr3_matches_session",
		"%ld rounds, %ld mismatches", number_in(text, "rounds"), number_in(text, "mismatches"));
	ktap_ok(now[0] == now[1], "each_enter_has_its_exit", "%ld and %ld", now[0], now[1]);
	ktap_ok(now[2] > 0 && now[3] > 0, "interrupted", "%ld interrupts, %ld NMIs and the like", now[2], now[3]);
	/* A way into a domain is a write of CR3: enter, return of an interrupt, resume. */
	ktap_ok(now[6] + now[7] >= now[0] + now[2] + now[3], "each_load_is_counted", "%ld loads", now[6] + now[7]);
}

/* Who takes memory does so all the time, and counts it in the end. */
static bool all_had_a_turn(int cpus)
{
	return done->loads && done->programs && done->probes && done->traces && (cpus < 2 || done->hotplugs);
}

int main(int argc, char **argv)
{
	static const char * const names[] = { "enter", "exit", "interrupt", "paranoid", "suspend",
					      "fault", "flush", "noflush" };
	long seconds = argc > 1 && argv[1] ? atol(argv[1]) : 30, owned = tables(), before[8];
	int cpus = sysconf(_SC_NPROCESSORS_CONF), cpu, len, bad, sampled = 0;
	char text[1024], domains[4096];
	double end;

	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared_domain = open(ASI_DOMAIN, O_RDWR);
	if (done == MAP_FAILED || shared_domain < 0) {
		ktap_ok(0, "open", "%s: %s", ASI_DOMAIN, strerror(errno));
		return ktap_end();
	}
	list_tables();
	for (cpu = 0; cpu < 8; cpu++)
		before[cpu] = asi_count(names[cpu]);
	for (cpu = 0; cpu < cpus; cpu++)
		sampled += sample(cpu) >= 0;
	printf("# NMIs come from %s\n", sampled ? "performance counters and from the tasks themselves" :
	       "the tasks themselves: there are no performance counters here");

	for (cpu = 0; cpu < cpus; cpu++) {
		start(in_shared_domain, cpu);
		start(build, 0);
	}
	start(in_shared_domain, -1);
	start(in_own_domain, 0);
	start(in_own_domain, 0);
	start(probe, 0);
	start(trace, 0);
	start(press, 0);
	if (cpus > 1)
		start(hotplug, cpus);

	/* A busy host may leave them little of it. */
	for (end = seconds_now() + seconds;
	     seconds_now() < end || (!all_had_a_turn(cpus) && seconds_now() < end + PATIENCE); )
		usleep(100000);
	bad = stop_all();
	for (cpu = 1; cpu < cpus; cpu++)
		set_online(cpu, 1);
	ktap_ok(!bad, "processes", "%d of %d failed", bad, nr_children);
	printf("# %ld s: %ld times 100 rounds, %ld programs, %ld maps, %ld files, %ld pipes\n", seconds,
	       done->loads, done->programs, done->maps, done->files, done->pipes);
	printf("# %ld probes, %ld traces, %ld times memory, %ld times all CPUs\n", done->probes,
	       done->traces, done->pressure, done->hotplugs);
	ktap_ok(all_had_a_turn(cpus) && done->pressure, "all_took_part", "see above");

	len = pread(shared_domain, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = 0;
	for (len = 0; text[len]; len++)
		if (text[len] == '\n')
			text[len] = text[len + 1] ? ',' : 0;
	printf("# shared domain: %s\n", text);
	for (len = 0; text[len]; len++)
		if (text[len] == ',')
			text[len] = '\n';
	check_accounts(text, before);

	close(shared_domain);
	ktap_ok(wait_for_domains(0, domains, sizeof(domains)), "no_domain_left", "%s", domains);
	list_tables();
	/* Pages of tables are free after a grace period. */
	for (cpu = 0; cpu < 1000 && tables() > owned; cpu++)
		usleep(50000);
	ktap_ok(tables() <= owned, "no_table_left", "%ld pages of page tables, before %ld", tables(), owned);
	return ktap_end();
}
