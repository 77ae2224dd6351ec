// SPDX-License-Identifier: GPL-2.0
/*
 * Checks decode.h on byte strings, those above all that no bench executes under
 * QEMU: a plugin that misses an instruction would report a flattering zero.
 */
#include <stdio.h>

#include "decode.h"

#define CASE(kind, ...)	\
	{ kind, sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ }, #__VA_ARGS__ }

static const struct {
	enum kind kind;
	size_t size;
	uint8_t code[15];
	const char *text;
} cases[] = {
	/* mov %reg,%cr3; with REX.B for %r8 and up, with a useless REX.W */
	CASE(KIND_CR3_WRITE, 0x0f, 0x22, 0xd8),
	CASE(KIND_CR3_WRITE, 0x0f, 0x22, 0xdf),
	CASE(KIND_CR3_WRITE, 0x41, 0x0f, 0x22, 0xd8),
	CASE(KIND_CR3_WRITE, 0x48, 0x0f, 0x22, 0xdf),
	/* mov %rax,%cr4; %cr0; %cr8 by REX.R; mov %cr3,%rax */
	CASE(KIND_PLAIN, 0x0f, 0x22, 0xe0),
	CASE(KIND_PLAIN, 0x0f, 0x22, 0xc0),
	CASE(KIND_PLAIN, 0x44, 0x0f, 0x22, 0xc0),
	CASE(KIND_PLAIN, 0x44, 0x0f, 0x22, 0xd8),
	CASE(KIND_PLAIN, 0x0f, 0x20, 0xd8),
	/* invlpg (%rax); (%r8); 8(%rsp); %gs:(%rdi) */
	CASE(KIND_INVLPG, 0x0f, 0x01, 0x38),
	CASE(KIND_INVLPG, 0x41, 0x0f, 0x01, 0x38),
	CASE(KIND_INVLPG, 0x0f, 0x01, 0x7c, 0x24, 0x08),
	CASE(KIND_INVLPG, 0x65, 0x0f, 0x01, 0x3f),
	/* swapgs; rdtscp; lidt (%rax); lgdt (%rax); lmsw %ax */
	CASE(KIND_PLAIN, 0x0f, 0x01, 0xf8),
	CASE(KIND_PLAIN, 0x0f, 0x01, 0xf9),
	CASE(KIND_PLAIN, 0x0f, 0x01, 0x18),
	CASE(KIND_PLAIN, 0x0f, 0x01, 0x10),
	CASE(KIND_PLAIN, 0x0f, 0x01, 0xf0),
	/* invpcid (%rsp),%rax; (%r9),%r8; invept, invvpid, and no prefix at all */
	CASE(KIND_INVPCID, 0x66, 0x0f, 0x38, 0x82, 0x04, 0x24),
	CASE(KIND_INVPCID, 0x66, 0x45, 0x0f, 0x38, 0x82, 0x01),
	CASE(KIND_PLAIN, 0x66, 0x0f, 0x38, 0x80, 0x04, 0x24),
	CASE(KIND_PLAIN, 0x66, 0x0f, 0x38, 0x81, 0x04, 0x24),
	CASE(KIND_PLAIN, 0x0f, 0x38, 0x82, 0x04, 0x24),
	/* vmrun; vmload; stgi */
	CASE(KIND_VMRUN, 0x0f, 0x01, 0xd8),
	CASE(KIND_PLAIN, 0x0f, 0x01, 0xda),
	CASE(KIND_PLAIN, 0x0f, 0x01, 0xdc),
	/* cli; sti; iretq; xor %rdi,%rdx, which ends as cli does */
	CASE(KIND_CLI, 0xfa),
	CASE(KIND_STI, 0xfb),
	CASE(KIND_IRET, 0x48, 0xcf),
	CASE(KIND_PLAIN, 0x48, 0x31, 0xfa),
	/* rep stosq; rep movsb; repne scasb; rep outsw; stosb; pause; rep ret */
	CASE(KIND_REP, 0xf3, 0x48, 0xab),
	CASE(KIND_REP, 0xf3, 0xa4),
	CASE(KIND_REP, 0xf2, 0xae),
	CASE(KIND_REP, 0xf3, 0x66, 0x6f),
	CASE(KIND_PLAIN, 0xaa),
	CASE(KIND_PLAIN, 0xf3, 0x90),
	CASE(KIND_PLAIN, 0xf3, 0xc3),
	/* markers; the same NOP as the kernel has it; one of another length */
	CASE(KIND_MARKER, 0x0f, 0x1f, 0x84, 0x00, 0x10, 0x00, 0x51, 0x6b),
	CASE(KIND_MARKER, 0x0f, 0x1f, 0x84, 0x00, 0xf1, 0xff, 0x51, 0x6b),
	CASE(KIND_PLAIN, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00),
	CASE(KIND_PLAIN, 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x10, 0x00, 0x51, 0x6b),
	/* 16 and 32-bit: inc %eax; and what has nothing after its prefixes */
	CASE(KIND_PLAIN, 0x40),
	CASE(KIND_PLAIN, 0x66, 0x40),
	CASE(KIND_PLAIN, 0xf3),
	CASE(KIND_PLAIN, 0x0f, 0x05),
};

int main(void)
{
	int failed = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t marker;
		enum kind kind = decode(cases[i].code, cases[i].size, &marker);

		if (kind == cases[i].kind)
			continue;
		printf("decode %s: got %d, want %d\n", cases[i].text, kind,
		       cases[i].kind);
		failed++;
	}
	return failed != 0;
}
