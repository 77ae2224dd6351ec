// SPDX-License-Identifier: GPL-2.0
/*
 * IMA's list and the register of the TPM are two things: an entry is published first, and the register is
 * extended then. Who looks at both while files are measured may find the list ahead, but never the register.
 *
 * ima_pcr[:LOOKS]	500 looks unless told
 *
 * Each value of the register has to be that of some beginning of the list that was read after it.
 */
/* The interface without providers, which a static program would have all of. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <signal.h>

#include "ima.h"
#include "kernel.h"

#define REGISTER "/sys/class/tpm/tpm0/pcr-sha256/10"
#define LIST IMA "binary_runtime_measurements_sha256"
#define MAX_RECORDS 65536

/* The register after each record of the list. */
static unsigned char value_after[MAX_RECORDS + 1][SHA256_SIZE];

/* What TPM2_PCR_Extend() makes of a register and a digest. */
static void extend(const unsigned char *from, const unsigned char *digest, unsigned char *to)
{
	SHA256_CTX both;

	SHA256_Init(&both);
	SHA256_Update(&both, from, SHA256_SIZE);
	SHA256_Update(&both, digest, SHA256_SIZE);
	SHA256_Final(to, &both);
}

static int read_register(unsigned char *value)
{
	char text[80];
	int i;

	if (read_file(REGISTER, text, sizeof(text)) < 2 * SHA256_SIZE)
		return -1;
	for (i = 0; i < SHA256_SIZE; i++)
		if (sscanf(text + 2 * i, "%2hhx", &value[i]) != 1)
			return -1;
	return 0;
}

/* Follow the list from where the last look has ended; returns the number of records, or -1. */
static long follow(long known)
{
	const unsigned char *data, *at, *end;
	static unsigned char ones[SHA256_SIZE];
	struct record record;
	long nr = 0;
	size_t len;

	memset(ones, 0xff, sizeof(ones));
	data = at = read_whole(LIST, &len);
	end = data + len;
	for (; at < end; nr++) {
		at = take_record(at, end, SHA256_SIZE, &record);
		if (!at || nr == MAX_RECORDS)
			return -1;
		if (nr >= known)
			extend(value_after[nr], is_violation(&record) ? ones : record.digest, value_after[nr + 1]);
	}
	free((void *)data);
	return nr;
}

/* Which beginning of the list has this value? Returns how many records that is, or -1. */
static long beginning_of(const unsigned char *value, long records)
{
	for (; records >= 0; records--)
		if (!memcmp(value_after[records], value, SHA256_SIZE))
			return records;
	return -1;
}

static void measure_on(void)
{
	char name[64];
	int i;

	for (i = 0; ; i++) {
		sprintf(name, RAMFS "/pcr%d", i);
		if (make_file(name, 50, i) || measure(name))
			_exit(1);
		usleep(2000);
	}
}

int main(int argc, char **argv)
{
	int looks = argc > 1 && argv[1] ? atoi(argv[1]) : 500, look, behind = 0, moved = 0;
	unsigned char value[SHA256_SIZE], then[SHA256_SIZE];
	long records = 0, at = -1, last = -1;
	pid_t pid;

	ima_mounts();
	pid = fork();
	if (!pid)
		measure_on();
	for (look = 0; look < looks; look++) {
		if (read_register(value))
			break;
		records = follow(records);
		at = records < 0 ? -1 : beginning_of(value, records);
		if (at < 0 || at < last)
			break;
		behind += at < records;
		moved += at > last;
		last = at;
	}
	ktap_ok(look == looks, "register_is_of_a_beginning",
		"look %d: the register is of the first %ld (-1: of no beginning) of %ld records, before of %ld", look, at,
		records, last);
	ktap_ok(moved > looks / 10, "register_moves", "%d of %d times", moved, looks);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	records = look == looks ? follow(records) : -1;
	ktap_ok(records > 0 && !read_register(then) && beginning_of(then, records) == records, "register_in_the_end",
		"the register is of the first %ld of %ld records", beginning_of(then, records), records);
	printf("# %d looks, %ld records, the list ahead in %d of them\n", look, records, behind);
	return ktap_end();
}
