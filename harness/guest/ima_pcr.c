// SPDX-License-Identifier: GPL-2.0
/*
 * IMA's list and the register of the TPM are two things: an entry is published first, and the register is
 * extended then. Who looks at both while files are measured may find the list ahead, but never the register.
 *
 * ima_pcr[:LOOKS]	500 looks unless told
 *
 * Each value of the register has to be that of some beginning of the list that was read after it.
 */
#include <signal.h>

#include "ima.h"
#include "kernel.h"

#define REGISTER "/sys/class/tpm/tpm0/pcr-sha256/10"
#define LIST IMA "binary_runtime_measurements_sha256"
#define MAX_RECORDS 65536
#define BLOCK 64

/* The register after each record of the list. */
static unsigned char value_after[MAX_RECORDS + 1][SHA256_SIZE];

static uint32_t rotated(uint32_t x, int by)
{
	return x >> by | x << (32 - by);
}

/* FIPS 180-4, 6.2.2, for one block. The constants are bits of the cube roots of the first 64 primes. */
static void sha256_block(uint32_t h[8], const unsigned char *block)
{
	static uint32_t k[64];
	uint32_t w[64], v[8], t1, t2;
	int i, n;

	for (i = 0, n = 2; !k[63]; n++) {
		unsigned __int128 low = 0, high = (unsigned __int128)7 << 32, mid;
		int d;

		for (d = 2; d * d <= n && n % d; d++)
			;
		if (d * d <= n)
			continue;
		/* The largest number whose cube is at most n * 2^96: its lower half is what is behind the point. */
		while (high - low > 1) {
			mid = (low + high) / 2;
			if (mid * mid * mid <= (unsigned __int128)n << 96)
				low = mid;
			else
				high = mid;
		}
		k[i++] = low;
	}
	for (i = 0; i < 16; i++)
		w[i] = block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, h, sizeof(v));
	for (i = 0; i < 64; i++) {
		t1 = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)) +
		     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		t2 = (rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)) +
		     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		h[i] += v[i];
}

/* What TPM2_PCR_Extend() makes of a register and a digest. */
static void extend(const unsigned char *from, const unsigned char *digest, unsigned char *to)
{
	uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	unsigned char block[BLOCK];
	int i;

	memcpy(block, from, SHA256_SIZE);
	memcpy(block + SHA256_SIZE, digest, SHA256_SIZE);
	sha256_block(h, block);
	/* The end of a message of 64 bytes, which is its length in bits. */
	memset(block, 0, sizeof(block));
	block[0] = 0x80;
	block[BLOCK - 2] = 2;
	sha256_block(h, block);
	for (i = 0; i < SHA256_SIZE; i++)
		to[i] = h[i / 4] >> (24 - 8 * (i % 4));
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
