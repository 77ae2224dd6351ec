/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which of the few x86 instructions that the benches count is this one?
 * Free of QEMU, so that decode_test.c can check it on byte strings.
 */
#ifndef HARNESS_DECODE_H
#define HARNESS_DECODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../guest/marker.h"

enum kind {
	KIND_PLAIN,
	KIND_NOP,
	KIND_CR3_WRITE,
	KIND_INVLPG,
	KIND_INVPCID,
	KIND_VMRUN,
	KIND_CLI,
	KIND_STI,
	KIND_IRET,
	KIND_REP,
	KIND_MARKER,
};

/* Is @byte one of the legacy prefixes that may precede an opcode? */
static inline int is_prefix(uint8_t byte)
{
	switch (byte) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
	case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
		return 1;
	}
	return 0;
}

/* Is @opcode a string instruction, which a REP prefix repeats? */
static inline int is_string(uint8_t opcode)
{
	return (opcode >= 0x6c && opcode <= 0x6f) ||
	       (opcode >= 0xa4 && opcode <= 0xa7) ||
	       (opcode >= 0xaa && opcode <= 0xaf);
}

/*
 * Classify the instruction of @size bytes at @code; a marker's displacement is
 * stored in @marker.
 */
static inline enum kind decode(const uint8_t *code, size_t size, uint32_t *marker)
{
	static const uint8_t nopl[4] = { 0x0f, 0x1f, 0x84, 0x00 };
	size_t at = 0;
	int rep = 0, opsize = 0, rex = 0;
	uint8_t opcode, modrm;
	int mod, reg;

	if (size == 8 && !memcmp(code, nopl, sizeof(nopl))) {
		memcpy(marker, code + 4, 4);
		if ((*marker & MARKER_MASK) == MARKER_MAGIC)
			return KIND_MARKER;
		return KIND_NOP;
	}

	for (; at < size && is_prefix(code[at]); at++) {
		rep |= code[at] == 0xf2 || code[at] == 0xf3;
		opsize |= code[at] == 0x66;
	}
	/*
	 * Outside of 64-bit mode 0x40-0x4f is a whole instruction (inc, dec),
	 * so a byte that follows it says that this is a REX prefix.
	 */
	if (at + 1 < size && (code[at] & 0xf0) == 0x40)
		rex = code[at++];

	if (at < size && rep && is_string(code[at]))
		return KIND_REP;
	if (at + 1 == size && code[at] == 0xfa)
		return KIND_CLI;
	/* POPF changes the flag, too, but local_irq_restore() does not use it. */
	if (at + 1 == size && code[at] == 0xfb)
		return KIND_STI;
	if (at + 1 == size && code[at] == 0xcf)
		return KIND_IRET;
	/* With a REP prefix it is PAUSE, with a REX.B an exchange. */
	if (at + 1 == size && code[at] == 0x90 && !rep && !(rex & 1))
		return KIND_NOP;
	if (at + 3 > size || code[at] != 0x0f)
		return KIND_PLAIN;

	opcode = code[at + 1];
	modrm = code[at + 2];
	mod = modrm >> 6;
	reg = (modrm >> 3) & 7;
	if (opcode == 0x1f && reg == 0)
		return KIND_NOP;
	/* REX.R would make it another, undefined, control register. */
	if (opcode == 0x22 && reg == 3 && !(rex & 4))
		return KIND_CR3_WRITE;
	if (opcode == 0x01 && reg == 7 && mod != 3)
		return KIND_INVLPG;
	if (opcode == 0x01 && modrm == 0xd8)
		return KIND_VMRUN;
	if (opcode == 0x38 && modrm == 0x82 && opsize)
		return KIND_INVPCID;
	return KIND_PLAIN;
}

#endif
