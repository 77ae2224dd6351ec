// SPDX-License-Identifier: GPL-2.0
/*
 * What is to be known about IMA's measurement list:
 *
 * ima:list		prints the digests of its files, and writes it to the port that "dump=" names
 * ima:evmctl[:WHEN]	evmctl of ima-evm-utils computes the registers of the TPM from the list, and compares
 * ima:banks		there is a list for each bank of the TPM, and no other
 * ima:kexec[:HOW]	loads /boot/bzImage; the init of this guest then starts it, with the steps that are left;
 *			measures more meanwhile than there is room for (many), or has that kernel use half of the memory (mem)
 * ima:restored[:HOW]	in the second kernel: the list of the first one is there, and what came after it
 * ima:story		lets the module ima_attack loose on the list, and tells on the console what came of it
 */
#include <sys/syscall.h>
#include <termios.h>

#include "ima.h"
#include "kernel.h"

#define TPM "/sys/class/tpm/tpm0/"
#define AFTER_LOAD RAMFS "/after load"
#define AFTER_LOAD_LISTED RAMFS "/after_load"
#define NEW_FILES 50
#define MANY 300
#define HALF "192M"
/* The entries from when the second kernel was loaded to when its first process ran. */
#define LOADED " kexec-cmdline"
#define AFTERWARDS " " AFTER_LOAD_LISTED " boot_aggregate kernel_version"
#define OUTPUT "/tmp/ima-output"
#define PREFIX "/tmp/ima-prefix"

static const char * const banks[] = { "sha1", "sha256" };

/* SHA-256 of a file as hexadecimal digits. Returns 0 or an error. */
static int sha256(const char *path, char *hex)
{
	char *argv[] = { "/bin/busybox", "sha256sum", (char *)path, NULL };
	char text[256];

	if (run_to(OUTPUT, argv) || read_file(OUTPUT, text, sizeof(text)) < 64)
		return -1;
	sprintf(hex, "%.64s", text);
	return 0;
}

/* Write a file to the third serial port as it is. Returns 0 or -errno. */
static int dump(const char *path, const char *port)
{
	int fd = open(port, O_WRONLY | O_NOCTTY);
	struct termios mode;
	unsigned char *data;
	size_t len, done;
	ssize_t ret = 0;

	if (fd < 0 || tcgetattr(fd, &mode))
		return -errno;
	cfmakeraw(&mode);
	tcsetattr(fd, TCSANOW, &mode);
	data = read_whole(path, &len);
	for (done = 0; done < len; done += ret) {
		ret = write(fd, data + done, len - done);
		if (ret < 0)
			return -errno;
	}
	tcdrain(fd);
	close(fd);
	return 0;
}

static int list(void)
{
	static const char * const files[] = { ASCII_LIST "_%s", BINARY_LIST "_%s" };
	const char *port = getenv("dump");
	char path[128], hex[65] = "";
	unsigned int i, bank;
	int ret;

	for (i = 0; i < 2; i++) {
		for (bank = 0; bank < 2; bank++) {
			snprintf(path, sizeof(path), files[i], banks[bank]);
			ret = sha256(path, hex);
			printf("# list %s sha256:%s\n", strrchr(path, '/') + 1, hex);
			snprintf(path, sizeof(path), "list_%s_%s", i ? "binary" : "ascii", banks[bank]);
			ktap_ok(!ret, path, "no digest");
		}
	}
	printf("# list entries %ld\n", read_number(IMA "runtime_measurements_count"));
	if (port) {
		ret = dump(ASCII_LIST "_sha256", port);
		ktap_ok(!ret, "list_dump", "%s: %s", port, strerror(-ret));
	}
	return ktap_end();
}

/* The registers of a bank as the kernel reads them from the TPM, in the words that evmctl wants. */
static int registers(const char *bank, const char *path)
{
	FILE *file = fopen(path, "w");
	char name[128], text[256], *c;
	int i;

	for (i = 0; i < 24; i++) {
		snprintf(name, sizeof(name), TPM "pcr-%s/%d", bank, i);
		if (read_file(name, text, sizeof(text)) <= 0) {
			printf("# no register %s\n", name);
			return -1;
		}
		fprintf(file, "PCR-%02d: ", i);
		for (c = text; c[0] > ' ' && c[1] > ' '; c += 2)
			fprintf(file, "%.2s ", c);
		fprintf(file, "\n");
	}
	return fclose(file);
}

/*
 * evmctl reads a TPM by the programs of a TSS library, one run of them for each register, or takes files.
 * It wants the list with digests of SHA-1, and computes those of other banks. Returns its exit status.
 */
static int run_evmctl(const char *list_file, const char *bank)
{
	char verify[64], pcrs[96], file[64];
	char *argv[] = { "evmctl", "ima_measurement", "--ignore-violations", verify, "--pcrs", pcrs,
			 (char *)list_file, NULL };
	int status;

	snprintf(verify, sizeof(verify), "--verify-bank=%s", bank);
	snprintf(file, sizeof(file), "/tmp/pcrs-%s", bank);
	snprintf(pcrs, sizeof(pcrs), "%s,%s", bank, file);
	if (registers(bank, file))
		return -1;
	status = run_to(OUTPUT, argv);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What evmctl said about the whole, as comments. Returns true if it says that all is well. */
static int verdict(void)
{
	size_t len;
	char *line, *save = NULL;
	int good = 0;

	line = strtok_r((char *)read_whole(OUTPUT, &len), "\n", &save);
	for (; line; line = strtok_r(NULL, "\n", &save)) {
		/* It also looks for signed files by their names in the list, and for keys: of no interest. */
		if (strstr(line, "PCR") || strstr(line, "atch"))
			printf("# evmctl: %s\n", line);
		good |= !strcmp(line, "Matched per TPM bank calculated digest(s).");
	}
	return good;
}

/* IMA has a list for each bank of the TPM, for SHA-1, which programs expect, and for the hash of files. */
static int bank_files(void)
{
	static const char * const known[] = { "sha1", "sha256", "sha384", "sha512", "sm3_256" };
	char name[128], have[128] = "", want[128] = "";
	unsigned int i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		snprintf(name, sizeof(name), TPM "pcr-%s", known[i]);
		if (i < 2 || !access(name, F_OK))
			sprintf(want + strlen(want), " %s", known[i]);
		snprintf(name, sizeof(name), BINARY_LIST "_%s", known[i]);
		if (!access(name, F_OK))
			sprintf(have + strlen(have), " %s", known[i]);
	}
	printf("# lists for%s\n", have);
	ktap_ok(!strcmp(have, want), "banks_lists", "lists for%s, and there must be those for%s", have, want);
	return ktap_end();
}

/* Write the list without its last record. Returns 0 or -1. */
static int all_but_last(const char *path)
{
	const unsigned char *data, *at, *last, *end;
	struct record record;
	size_t len;
	FILE *file;

	data = read_whole(BINARY_LIST, &len);
	end = data + len;
	for (at = data, last = NULL; at && at < end; at = take_record(at, end, SHA1_SIZE, &record))
		last = at;
	file = fopen(path, "w");
	if (!at || !last || !file || fwrite(data, last - data, 1, file) != 1)
		return -1;
	return fclose(file);
}

static int evmctl(const char *when)
{
	char prefix[64] = "evmctl", name[128], value[80];
	unsigned int bank;
	int status, good;

	if (when)
		snprintf(prefix, sizeof(prefix), "evmctl_%.50s", when);
	for (bank = 0; bank < 2; bank++) {
		snprintf(name, sizeof(name), TPM "pcr-%s/10", banks[bank]);
		/* Which cases there are then is checked by the list of those that are expected. */
		if (read_file(name, value, sizeof(value)) <= 0)
			continue;
		status = run_evmctl(BINARY_LIST, banks[bank]);
		good = verdict();
		printf("# register 10, %s: %s", banks[bank], value);
		snprintf(name, sizeof(name), "%s_%s", prefix, banks[bank]);
		ktap_ok(good && !status, name, "exit status %d", status);
		/* It takes the first match, wherever in the list; so there must be none before the end. */
		status = all_but_last(PREFIX) ? -1 : run_evmctl(PREFIX, banks[bank]);
		snprintf(name, sizeof(name), "%s_%s_needs_the_last_entry", prefix, banks[bank]);
		ktap_ok(status == 1, name, "exit status %d without it, and it must be 1", status);
	}
	return ktap_end();
}

/* One of the files that are measured between loading the next kernel and starting it. */
static void many_name(char *name, int i)
{
	sprintf(name, RAMFS "/%0200d", i);
}

static int load_next(const char *how)
{
	const char *left = getenv("steps_left"), *done = getenv("steps_done");
	char line[4096] = "", sha1_list[65], sha256_list[65], name[256];
	long count = read_number(IMA "runtime_measurements_count");
	bool many = !strcmp(how, "many");
	int ret, i;

	ret = sha256(BINARY_LIST "_sha1", sha1_list) || sha256(BINARY_LIST "_sha256", sha256_list);
	if (!ktap_ok(left && done && !ret, "kexec_digest", "no digest of the list, or not started by init"))
		return ktap_end();
	inherit_words(line, " steps= steps_done= ima_list= ");
	sprintf(line + strlen(line), "steps=%s steps_done=%s ima_list=%ld:%s:%s", left, done, count, sha1_list,
		sha256_list);
	if (!strcmp(how, "mem"))
		strcat(line, " mem=" HALF);
	ret = load_kernel(line, 0);
	ktap_ok(!ret, "kexec_load", "%s", strerror(-ret));
	/* The segment with the list is there already; its contents are from when the next kernel starts. */
	ret = make_file(AFTER_LOAD, 100, 1);
	if (!ret)
		ret = measure(AFTER_LOAD);
	for (i = 0; i < MANY && many && !ret; i++) {
		many_name(name, i);
		ret = make_file(name, 10, i) ?: measure(name);
	}
	ktap_ok(!ret, "kexec_measure_after_load", "%s", strerror(-ret));
	printf("# list entries %ld\n", read_number(IMA "runtime_measurements_count"));
	return ktap_end();
}

/* Returns the length of the first @count records, or 0, and their SHA-256. */
static size_t first_records(const char *path, long count, int digest_size, char *hex)
{
	const unsigned char *data, *at, *end;
	struct record record;
	size_t len;
	FILE *file;

	data = at = read_whole(path, &len);
	end = data + len;
	while (count-- && at && at < end)
		at = take_record(at, end, digest_size, &record);
	if (!at || count >= 0)
		return 0;
	file = fopen(PREFIX, "w");
	if (!file || fwrite(data, at - data, 1, file) != 1 || fclose(file) || sha256(PREFIX, hex))
		return 0;
	return at - data;
}

/* The names of what came after the list that was to be restored. Returns how many there are, or -1. */
static long names_after(size_t start, char *names, size_t size)
{
	const unsigned char *data, *at, *end;
	struct record record;
	size_t len, used = 0;
	long records = 0;

	names[0] = 0;
	data = read_whole(BINARY_LIST, &len);
	end = data + len;
	for (at = data + start; at < end && (at = take_record(at, end, SHA1_SIZE, &record)); records++)
		if (used < size)
			used += snprintf(names + used, size - used, " %s", record.name);
	return at == end ? records : -1;
}

/*
 * More has been measured since the next kernel was loaded than has room: what comes behind the first @start bytes
 * of the list is the beginning of that, without a gap.
 */
static void restored_part(size_t start)
{
	const unsigned char *data, *at, *end;
	struct record record;
	char name[256];
	int whole = 0;
	size_t len;

	data = read_whole(BINARY_LIST, &len);
	end = data + len;
	at = take_record(data + start, end, SHA1_SIZE, &record);
	if (at && !strcmp(record.name, LOADED + 1))
		at = take_record(at, end, SHA1_SIZE, &record);
	ktap_ok(at && !strcmp(record.name, AFTER_LOAD_LISTED), "restored_first_after_load", "%s",
		at ? record.name : "no whole record");
	while (at && (at = take_record(at, end, SHA1_SIZE, &record))) {
		many_name(name, whole);
		if (strcmp(record.name, name))
			break;
		whole++;
	}
	ktap_ok(at && !strcmp(record.name, "boot_aggregate"), "restored_without_a_gap", "behind %d of them: %.80s", whole,
		at ? record.name : "no whole record");
	ktap_ok(whole > 0 && whole < MANY, "restored_what_has_room", "%d of %d", whole, MANY);
	ktap_ok(!in_kernel_log("Failed to restore the measurement list"), "restored_whole_records",
		"the list ends in the middle of a record");
	printf("# %d of %d were handed over\n", whole, MANY);
}

/* The next kernel was told to leave the memory alone that the list is in. */
static int restored_nothing(void)
{
	long before, after, i;
	char name[64];

	before = read_number(IMA "runtime_measurements_count");
	for (i = 0; i < NEW_FILES; i++) {
		snprintf(name, sizeof(name), RAMFS "/new%ld", i);
		make_file(name, 50, i);
		measure(name);
	}
	after = read_number(IMA "runtime_measurements_count");
	ktap_ok(in_kernel_log("lies outside available memory"), "restored_refused", "the kernel does not say so");
	ktap_ok(before > 0 && before < 100, "restored_nothing", "%ld entries", before);
	ktap_ok(after == before + NEW_FILES, "restored_list_grows", "a count of %ld after %ld and %d files", after, before,
		NEW_FILES);
	return ktap_end();
}

static int restored(const char *how)
{
	const char *handed_over = getenv("ima_list");
	char want[2][65], hex[65] = "", name[64], names[512], *found;
	long count = 0, now = read_number(IMA "runtime_measurements_count"), records;
	size_t len, start = 0;
	unsigned int bank;
	int i;

	if (!ktap_ok(handed_over && sscanf(handed_over, "%ld:%64[^:]:%64s", &count, want[0], want[1]) == 3,
		     "restored_second_kernel", "this kernel was not started by ima:kexec"))
		return ktap_end();
	if (!strcmp(how, "mem"))
		return restored_nothing();
	for (bank = 0; bank < 2; bank++) {
		snprintf(name, sizeof(name), BINARY_LIST "_%s", banks[bank]);
		len = first_records(name, count, bank ? SHA256_SIZE : SHA1_SIZE, hex);
		snprintf(name, sizeof(name), "restored_list_%s", banks[bank]);
		ktap_ok(len && !strcmp(hex, want[bank]), name, "first %ld of %ld entries: %s, and it must be %s",
			count, now, hex, want[bank]);
		if (!bank)
			start = len;
	}
	if (!strcmp(how, "many")) {
		restored_part(start);
		return ktap_end();
	}
	/* The command line only if the policy has it measured. */
	records = names_after(start, names, sizeof(names));
	found = strncmp(names, LOADED, strlen(LOADED)) ? names : names + strlen(LOADED);
	ktap_ok(start && !strcmp(found, AFTERWARDS), "restored_and_then", "it is%s", names);
	ktap_ok(start && records == now - count, "restored_count", "%ld and %ld entries, but a count of %ld", count,
		records, now);
	printf("# %ld entries restored, then%s\n", count, names);
	for (i = 0; i < NEW_FILES; i++) {
		snprintf(name, sizeof(name), RAMFS "/new%d", i);
		make_file(name, 50, i);
		measure(name);
	}
	records = read_number(IMA "runtime_measurements_count");
	ktap_ok(records == now + NEW_FILES, "restored_list_grows", "a count of %ld after %ld and %d files", records,
		now, NEW_FILES);
	return ktap_end();
}

static long count_lines(const char *text)
{
	long lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* What a look at the list shows, and what who knows the TPM thinks of it. */
static void look(const char *when, const char *victim)
{
	/* To start evmctl makes entries, the first time. */
	long entries = read_number(IMA "runtime_measurements_count");
	size_t len;
	char *text = (char *)read_whole(ASCII_LIST, &len);
	int status = run_evmctl(BINARY_LIST, "sha256");

	fprintf(stderr, "story: %s: %s on the list: %s\n", when, victim, strstr(text, victim) ? "yes" : "no");
	fprintf(stderr, "story: %s: entries on the list, and their number by IMA: %s\n", when,
		count_lines(text) == entries ? "agree" : "differ");
	fprintf(stderr, "story: %s: the list, says evmctl: %s\n", when,
		status == 0 && verdict() ? "matches the TPM" : "does NOT match the TPM");
	free(text);
}

static int story(void)
{
	static const char victim[] = RAMFS "/implant";
	char name[64];
	int fd, i, ret = 0;

	for (i = 0; i < 20 && !ret; i++) {
		snprintf(name, sizeof(name), RAMFS "/letter%d", i);
		ret = make_file(name, 100, i);
		ret = ret ?: measure(i == 10 ? victim : name);
		if (i == 9)
			ret = ret ?: make_file(victim, 100, 1000);
	}
	ktap_ok(!ret, "story_files", "%s", strerror(-ret));
	/* Measured like any other file, so not between the two looks. */
	fd = open("/lib/modules/ima_attack.ko", O_RDONLY);
	look("before", victim);
	ret = syscall(SYS_finit_module, fd, "victim=" RAMFS "/implant", 0) ? -errno : 0;
	ktap_ok(!ret, "story_attack", "%s", strerror(-ret));
	look("after", victim);
	return ktap_end();
}

int main(int argc, char **argv)
{
	char *what = argc > 1 ? argv[1] : "", *more = strchr(what, ':');

	ima_mounts();
	if (more)
		*more++ = 0;
	if (!strcmp(what, "list"))
		return list();
	if (!strcmp(what, "evmctl"))
		return evmctl(more);
	if (!strcmp(what, "banks"))
		return bank_files();
	if (!strcmp(what, "kexec"))
		return load_next(more ?: "");
	if (!strcmp(what, "restored"))
		return restored(more ?: "");
	if (!strcmp(what, "story"))
		return story();
	fprintf(stderr, "ima: list, evmctl, banks, kexec, restored or story, not %s\n", what);
	return 1;
}
