// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks are in and out of domains while other steps of the scenario run: asi_meanwhile:begin before them, and
 * asi_meanwhile:end after them, which tells whether it was so all the time. After asi_meanwhile:thawed they have been
 * frozen in between, as they are for a hibernation. asi_meanwhile:begin:100 has each of them rest for 100 ms after 10 ms
 * of work, and so leaves most of the machine to steps that take long; without a number it is 5 ms.
 */
#include <sched.h>
#include <sys/mman.h>

#include "asi.h"
#include "kernel.h"
#include "poking.h"

#define SHARED		"/tmp/asi_meanwhile"
#define MAX_WORKERS	16
/* Of work, and of rest, for the other steps to get on. */
#define LOAD		"load 10"
#define REST_MS		"5"
#define REST_MS_MAX	1000

static int rest_ms;

/* What the processes tell each other; init is nobody's parent to wait for. */
static struct shared {
	long loads, own_domains, workers;
	long stop, ended;
	long failed;			/* processes */
	long enters, exits;		/* of all sessions, in asi/stats */
	long rounds, mismatches;	/* of the domain that all have */
	double begin, idle;		/* the longest time without a session: others stop all CPUs now and then */
} *shared;

#define COUNT(what)	__atomic_add_fetch(&shared->what, 1, __ATOMIC_RELAXED)
#define GET(what)	__atomic_load_n(&shared->what, __ATOMIC_RELAXED)
#define SET(what, to)	__atomic_store_n(&shared->what, to, __ATOMIC_RELAXED)

static void load(int fd)
{
	if (write(fd, LOAD, strlen(LOAD)) < 0)
		die(LOAD);
	COUNT(loads);
	usleep(rest_ms * 1000);
}

static void in_shared_domain(int fd)
{
	while (!GET(stop))
		load(fd);
	_exit(0);
}

/* Each is there for a moment only. */
static void in_own_domains(void)
{
	int fd, i;

	while (!GET(stop)) {
		fd = open(ASI_DOMAIN, O_RDWR);
		if (fd < 0)
			die("open a domain");
		for (i = 0; i < 20; i++)
			load(fd);
		close(fd);
		COUNT(own_domains);
	}
	_exit(0);
}

/* Until all is over; the domain that all share is there as long. */
static void supervise(int fd, int workers)
{
	double last = seconds_now(), now;
	pid_t pids[MAX_WORKERS];
	long loads = 0, before;
	char text[1024];
	int i, len, status;

	shared->begin = last;
	shared->enters = -asi_count("enter");
	shared->exits = -asi_count("exit");
	for (i = 0; i < workers; i++) {
		pids[i] = fork();
		if (!pids[i] && i)
			in_shared_domain(fd);
		else if (!pids[i])
			in_own_domains();
	}
	while (!GET(stop)) {
		usleep(20000);
		before = loads;
		loads = GET(loads);
		now = seconds_now();
		if (now - last > shared->idle)
			shared->idle = now - last;
		if (loads > before)
			last = now;
	}
	for (i = 0; i < workers; i++)
		if (pids[i] < 0 || waitpid(pids[i], &status, 0) != pids[i] || status)
			shared->failed++;
	len = pread(fd, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = 0;
	shared->rounds = number_in(text, "rounds");
	shared->mismatches = number_in(text, "mismatches");
	shared->enters += asi_count("enter");
	shared->exits += asi_count("exit");
	close(fd);
	SET(ended, 1);
	_exit(0);
}

static bool share(int flags)
{
	int fd = open(SHARED, O_RDWR | flags, 0600);

	if (fd < 0 || ftruncate(fd, sizeof(*shared)))
		return false;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return shared != MAP_FAILED;
}

static bool wait_for(long *what, long least)
{
	double end = seconds_now() + 30;

	while (__atomic_load_n(what, __ATOMIC_RELAXED) < least) {
		if (seconds_now() > end)
			return false;
		usleep(10000);
	}
	return true;
}

static int begin(const char *rest)
{
	int workers = sysconf(_SC_NPROCESSORS_ONLN) + 1;
	bool shares;
	int fd;

	rest_ms = atoi(rest);
	if (rest_ms < 1 || rest_ms > REST_MS_MAX) {
		fprintf(stderr, "asi_meanwhile: a rest of 1 to %d ms, not %s\n", REST_MS_MAX, rest);
		return 1;
	}
	fd = open(ASI_DOMAIN, O_RDWR);
	if (!ktap_ok(fd >= 0, "meanwhile_open", "%s: %s", ASI_DOMAIN, strerror(errno)))
		return ktap_end();
	shares = share(O_CREAT | O_TRUNC);
	if (!ktap_ok(shares && workers <= MAX_WORKERS, "meanwhile_share", SHARED ": %s", strerror(errno)))
		return ktap_end();
	if (!fork()) {
		/* Init reads what a step prints until the last one who may has closed it. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		supervise(fd, workers);
	}
	close(fd);
	ktap_ok(wait_for(&shared->loads, workers), "meanwhile_begin", "%ld loads", GET(loads));
	return ktap_end();
}

static int end(bool frozen)
{
	char domains[4096] = "";
	bool shares = share(0);
	double seconds;
	long loads;

	if (!ktap_ok(shares, "meanwhile_was_begun", SHARED ": %s", strerror(errno)))
		return ktap_end();
	loads = GET(loads);
	/* That they still do is seen before they are told to stop. */
	ktap_ok(wait_for(&shared->loads, loads + 10), "meanwhile_until_the_end", "%ld loads, then %ld", loads, GET(loads));
	seconds = seconds_now() - shared->begin;
	SET(stop, 1);
	ktap_ok(wait_for(&shared->ended, 1), "meanwhile_end", "no end");
	printf("# in %.0f s %ld loads, %ld rounds and %ld domains; the longest time without was %.2f s\n", seconds,
	       shared->loads, shared->rounds, shared->own_domains, shared->idle);
	ktap_ok(!shared->failed, "meanwhile_processes", "%ld failed", shared->failed);
	ktap_ok((frozen || shared->idle < seconds / 2) && shared->own_domains > 0, "meanwhile_all_the_time",
		"%.2f of %.0f s without a session, %ld domains came and went", shared->idle, seconds, shared->own_domains);
	ktap_ok(shared->rounds > 0 && !shared->mismatches, "meanwhile_cr3_matches_session",
		"%ld rounds, %ld mismatches", shared->rounds, shared->mismatches);
	ktap_ok(shared->enters >= shared->rounds && shared->enters == shared->exits, "meanwhile_each_enter_has_its_exit",
		"%ld and %ld of %ld rounds", shared->enters, shared->exits, shared->rounds);
	ktap_ok(wait_for_domains(0, domains, sizeof(domains)), "meanwhile_no_domain_left", "%s", domains);
	return ktap_end();
}

int main(int argc, char **argv)
{
	char *what = argc > 1 && argv[1] ? argv[1] : "", *rest = strchr(what, ':');

	if (rest)
		*rest++ = 0;
	if (!strcmp(what, "begin"))
		return begin(rest ?: REST_MS);
	if (!strcmp(what, "end"))
		return end(false);
	if (!strcmp(what, "thawed"))
		return end(true);
	fprintf(stderr, "asi_meanwhile: begin, end or thawed, not %s\n", what);
	return 1;
}
