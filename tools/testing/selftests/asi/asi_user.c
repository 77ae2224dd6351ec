// SPDX-License-Identifier: GPL-2.0
/*
 * Drives a domain: runs the sequences of the kernel's test driver one by one, and
 * compares each value of CR3 with what the session says: asi_user [off]
 */
#include "asi.h"

/* What a sequence has to come to. */
struct sequence {
	const char *name;
	bool ends;		/* by a fault: it goes on outside, and asi_exit() says so */
	bool may_end;		/* the same, if it needs what the domain lacks */
	bool irq, nmi;		/* one comes while the task is in the domain */
	bool sleeps;
	const char *counter;	/* of asi/stats, which has to go up */
};

static const struct sequence sequences[] = {
	{ "nop", .counter = "enter" },
	/* Drivers of consoles have memory of their own. */
	{ "printk", .may_end = true, .counter = "exit" },
	{ "mem", .ends = true, .counter = "fault" },
	{ "memmap", .counter = "enter" },
	/* memmap has unmapped it again. */
	{ "mem", .ends = true, .counter = "fault" },
	{ "interrupt", .irq = true, .counter = "interrupt" },
	{ "nmi", .nmi = true, .counter = "paranoid" },
	{ "intrnmi", .irq = true, .nmi = true, .counter = "interrupt" },
	{ "sched", .sleeps = true, .counter = "enter" },
	{ "migrate", .sleeps = true, .counter = "enter" },
};

static char text[2048], why[512];
static unsigned long root, kernel;

static unsigned long page(const char *key)
{
	return address_in(text, key) & CR3_ADDRESS;
}

static bool flag(const char *prefix, const char *what)
{
	char key[64];

	snprintf(key, sizeof(key), "%s_%s", prefix, what);
	return number_in(text, key) == 1;
}

/* Has @who found CR3, and the account of it, as they are in the domain, or outside? */
static void expect(const char *who, bool inside)
{
	unsigned long found = page(who);
	int len = strlen(why);

	if (!value_in(text, who))
		snprintf(why + len, sizeof(why) - len, "%s: has not run; ", who);
	else if (found != (inside ? root : kernel) || flag(who, "restricted") != inside)
		snprintf(why + len, sizeof(why) - len,
			 "%s: CR3 %#lx, restricted %d, but should be %s; ", who,
			 address_in(text, who), flag(who, "restricted"),
			 inside ? "inside" : "outside");
}

static void expect_value(const char *key, long wanted)
{
	long found = number_in(text, key);
	int len = strlen(why);

	if (found != wanted)
		snprintf(why + len, sizeof(why) - len, "%s is %ld, not %ld; ", key, found, wanted);
}

static void judge(const struct sequence *s, int cpus)
{
	bool ended;

	why[0] = 0;
	root = page("root");
	kernel = page("before");
	if (!root || root == kernel)
		snprintf(why, sizeof(why), "root %#lx, kernel %#lx; ", root, kernel);
	expect_value("enter", 0);
	ended = s->ends || (s->may_end && number_in(text, "exit") == -EFAULT);
	expect_value("exit", ended ? -EFAULT : 0);
	expect("before", false);
	expect("inside", true);
	expect("later", !ended);
	expect("after", false);
	if (s->irq)
		expect("irq", false);
	if (s->nmi)
		expect("nmi", false);
	if (s->sleeps) {
		expect_value("sleeps", 20);
		if (page("thread") == root || flag("thread", "restricted"))
			strcat(why, "the other thread is in the domain, too; ");
		if (!strcmp(s->name, "migrate") && cpus > 1 && number_in(text, "migrations") < 1)
			strcat(why, "no migration; ");
	}
	if (!strncmp(s->name, "mem", 3))
		expect_value("secret_read", 1);
	if (!strcmp(s->name, "printk") && !in_kernel_log("asi_test: a line from a domain"))
		strcat(why, "the line is not in the log; ");
}

static void show(const struct sequence *s)
{
	printf("# %-9s CR3 inside %#lx", s->name, address_in(text, "inside"));
	printf(" (before %#lx", address_in(text, "before"));
	if (s->irq)
		printf(", irq %#lx", address_in(text, "irq"));
	if (s->nmi)
		printf(", nmi %#lx", address_in(text, "nmi"));
	if (s->sleeps)
		printf(", other thread %#lx, %ld sleeps, %ld migrations",
		       address_in(text, "thread"), number_in(text, "sleeps"),
		       number_in(text, "migrations"));
	printf(") then %#lx after %#lx exit %ld\n", address_in(text, "later"),
	       address_in(text, "after"), number_in(text, "exit"));
}

/*
 * The log has the read of the secret, by the right instruction, as often as it was
 * forbidden, and but for the @others, which ended a sequence that may end so, nothing.
 */
static void test_faults(int reads, int others)
{
	static char log[65536];
	char at[64], *line, *save = NULL;
	int found = 0, found_others = 0;

	snprintf(at, sizeof(at), "address %lx ", address_in(text, "secret_is_at"));
	read_file(ASI_FAULTS, log, sizeof(log));
	for (line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *count = strstr(line, "count ");

		int faults = count ? atoi(count + strlen("count ")) : 1;

		if (strstr(line, at) && strstr(line, "ip asi_user_read_secret+") && count) {
			found += faults;
		} else {
			found_others += faults;
			printf("# also in the log: %s\n", line);
		}
	}
	ktap_ok(found == reads, "fault_list", "%d faults of %s, and there were %d", found, at,
		reads);
	ktap_ok(found_others == others, "no_other_fault", "%d others, and there were %d; see above",
		found_others, others);
	write_file(ASI_FAULTS, "clear");
	found = read_file(ASI_FAULTS, log, sizeof(log));
	ktap_ok(!found, "clear_faults", "%s", log);
}

static int run(int fd, const char *name)
{
	int len;

	text[0] = 0;
	if (write(fd, name, strlen(name)) < 0)
		return -errno;
	len = pread(fd, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = 0;
	return 0;
}

static void test_sequence(int fd, const struct sequence *s)
{
	static char domains[4096];
	long before = asi_count(s->counter), len;
	char name[64], listed[64];
	int err = run(fd, s->name), cpus = sysconf(_SC_NPROCESSORS_ONLN);
	static int number;

	judge(s, cpus);
	show(s);
	len = strlen(why);
	if (err)
		snprintf(why, sizeof(why), "%s; ", strerror(-err));
	else if (asi_count(s->counter) <= before)
		snprintf(why + len, sizeof(why) - len, "asi/stats: %s is %ld and was %ld; ",
			 s->counter, asi_count(s->counter), before);
	read_file(ASI_DOMAINS, domains, sizeof(domains));
	snprintf(listed, sizeof(listed), "root %lx", root);
	len = strlen(why);
	if (!strstr(domains, listed))
		snprintf(why + len, sizeof(why) - len, "asi/domains has no %s: %s; ", listed,
			 domains);
	/* The second time, a sequence has another name. */
	snprintf(name, sizeof(name), number == 4 ? "%s_again" : "%s", s->name);
	number++;
	ktap_ok(!why[0], name, "%s", why);
}

static void test_all(void)
{
	int fd = open(ASI_DOMAIN, O_RDWR);
	int other, reads = 0, others = 0;
	static char domains[4096];
	unsigned int i;

	if (fd < 0) {
		ktap_ok(0, "open", "%s: %s", ASI_DOMAIN, strerror(errno));
		return;
	}
	write_file(ASI_FAULTS, "clear");
	for (i = 0; i < ARRAY_SIZE(sequences); i++) {
		test_sequence(fd, &sequences[i]);
		reads += sequences[i].ends;
		others += sequences[i].may_end && number_in(text, "exit") == -EFAULT;
	}
	test_faults(reads, others);

	/* Each file is a domain. */
	other = open(ASI_DOMAIN, O_RDWR);
	ktap_ok(other >= 0 && wait_for_domains(2, domains, sizeof(domains)), "two_domains", "%s",
		domains);
	close(other);
	close(fd);
	ktap_ok(wait_for_domains(0, domains, sizeof(domains)), "no_domain_left", "%s", domains);
}

int main(int argc, char **argv)
{
	int fd = open(ASI_DOMAIN, O_RDWR), err = errno;

	ksft_print_header();
	if (fd < 0 && (err == ENOENT || err == EACCES || err == EPERM))
		ksft_exit_skip("needs root, " ASI_DOMAIN ", and what config says\n");
	if (fd >= 0)
		close(fd);
	if (argc > 1 && argv[1] && !strcmp(argv[1], "off")) {
		ktap_ok(fd < 0 && err == EOPNOTSUPP, "refused", "%s",
			fd < 0 ? strerror(err) : "it opens");
		ktap_ok(access(ASI_STATS, F_OK), "no_account", "there is %s", ASI_STATS);
	} else if (fd < 0 && err == EOPNOTSUPP) {
		ksft_exit_skip("needs asi=on\n");
	} else {
		test_all();
	}
	return ktap_end();
}
