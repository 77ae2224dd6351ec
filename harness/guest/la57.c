// SPDX-License-Identifier: GPL-2.0
/* Do five levels of page tables work here? Memory above 47 bits says so. */
#include <stdint.h>
#include <sys/mman.h>

#include "ktap.h"

int main(void)
{
	void *hint = (void *)(1ull << 50);
	char *at = mmap(hint, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ktap_ok(at != MAP_FAILED && (uintptr_t)at >> 47, "address_above_47_bits", "mmap gave %p", at);
	if (at != MAP_FAILED)
		*at = 1;
	return ktap_end();
}
