// SPDX-License-Identifier: GPL-2.0
/*
 * What a TLB keeps and what it forgets, instruction by instruction, on the bare machine:
 * a kernel of its own, which GRUB starts. It maps two frames in turn at one address, and
 * says which of them is seen there. KTAP on the second serial port.
 *
 * Each case names what Intel's manual, volume 3A, 4.10.4.1, says of an instruction. That
 * something is kept is not promised there; the emulator that this tests promises it.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

#define P	1UL
#define W	2UL
#define U	4UL
#define A	0x20UL
#define D	0x40UL
#define PS	0x80UL
#define G	0x100UL
#define NX	(1UL << 63)

#define CR4_PGE		(1UL << 7)
#define CR4_PCIDE	(1UL << 17)
#define CR4_SMEP	(1UL << 20)
#define NOFLUSH		(1UL << 63)

#define FAULT	(~0UL)
#define IN_A	0xaaaaUL
#define IN_B	0xbbbbUL

/* The first 16 MiB, where this program is, and nothing else but what a case maps. */
u64 root[512] __attribute__((aligned(4096)));
static u64 low_pud[512] __attribute__((aligned(4096)));
static u64 low_pmd[512] __attribute__((aligned(4096)));
/* Of the cases: tables of the kernel's half, a second last level to choose from. */
static u64 pud[512] __attribute__((aligned(4096)));
static u64 pmd[512] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));
static u64 other[512] __attribute__((aligned(4096)));
/* Frames, and large ones of 2 MiB in what is mapped below. */
static u64 frame_a[512] __attribute__((aligned(4096)));
static u64 frame_b[512] __attribute__((aligned(4096)));
#define LARGE_A	0x800000UL
#define LARGE_B	0xa00000UL

#define BASE	0xffff800000000000UL	/* the first entry of the second half of @root */

/*
 * A multiboot header, 32-bit code that gets to 64 bits,
 * and accesses that may fault: what faults there returns FAULT.
 */
asm(".section .boot, \"ax\"\n"
    ".code32\n"
    ".globl start\n"
    "header:\n"
    "	.long	0x1badb002, 0, -0x1badb002\n"
    "start:\n"
    "	cli\n"
    "	mov	$low_tables, %eax\n"
    "	mov	%eax, %cr3\n"
    "	mov	%cr4, %eax\n"
    "	or	$0xa0, %eax\n"			/* PAE, PGE */
    "	mov	%eax, %cr4\n"
    "	mov	$0xc0000080, %ecx\n"
    "	rdmsr\n"
    "	or	$0x900, %eax\n"			/* LME, NXE */
    "	wrmsr\n"
    "	mov	%cr0, %eax\n"
    "	or	$0x80010000, %eax\n"		/* PG, WP */
    "	mov	%eax, %cr0\n"
    "	lgdt	gdt_pointer\n"
    "	ljmp	$8, $long_mode\n"
    ".code64\n"
    "long_mode:\n"
    "	mov	$16, %eax\n"
    "	mov	%eax, %ds\n"
    "	mov	%eax, %es\n"
    "	mov	%eax, %ss\n"
    "	mov	$stack_end, %rsp\n"
    "	call	main\n"
    "1:	hlt\n"
    "	jmp	1b\n"
    ".globl try_read, try_write, page_fault\n"
    "try_read:\n"
    "	mov	(%rdi), %rax\n"
    "	ret\n"
    "try_write:\n"
    "	mov	%rsi, (%rdi)\n"
    "	xor	%eax, %eax\n"
    "	ret\n"
    "page_fault:\n"
    "	movq	$try_fault, 8(%rsp)\n"
    "	add	$8, %rsp\n"
    "	iretq\n"
    "try_fault:\n"
    "	mov	$-1, %rax\n"
    "	ret\n"
    "	.balign	8\n"
    "gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff\n"
    "gdt_pointer:\n"
    "	.word	23\n"
    "	.long	gdt\n"
    /* Identity for the way up: one entry of 1 GiB would do, but not every processor has it. */
    "	.balign	4096\n"
    "low_tables:\n"
    "	.quad	low_puds + 3\n"
    "	.fill	511, 8, 0\n"
    "low_puds:\n"
    "	.quad	low_pmds + 3\n"
    "	.fill	511, 8, 0\n"
    "low_pmds:\n"
    "	.quad	0x83, 0x200083, 0x400083, 0x600083, 0x800083, 0xa00083, 0xc00083, 0xe00083\n"
    "	.fill	504, 8, 0\n"
    ".previous\n");

u64 try_read(u64 address);
u64 try_write(u64 address, u64 value);
extern char page_fault[];

u8 stack[16384] __attribute__((aligned(16)));
asm(".globl stack_end\n.set stack_end, stack + 16384\n");

/* ---- the machine ---- */

static void out(unsigned short port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "d"(port));
}

static u8 in(unsigned short port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "d"(port));
	return value;
}

static void say(unsigned short port, const char *text)
{
	for (; *text; text++) {
		/* The line status: there is room for another one. */
		while (!(in(port + 5) & 0x20))
			;
		out(port, *text);
	}
}

/* 115200 bits a second, 8 of them a character. */
static void set_up(unsigned short port)
{
	out(port + 3, 0x83);
	out(port, 1);
	out(port + 1, 0);
	out(port + 3, 3);
}

#define RESULTS	0x2f8
#define CONSOLE	0x3f8

static void number(unsigned short port, u64 value)
{
	char text[21], *c = text + 20;

	*c = 0;
	do
		*--c = '0' + value % 10;
	while (value /= 10);
	say(port, c);
}

static u64 read_cr4(void)
{
	u64 value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static void write_cr4(u64 value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/* Go on with the context @pcid; what it has is dropped unless @noflush. */
static void load(u64 pcid, u64 noflush)
{
	asm volatile("mov %0, %%cr3" : : "r"((u64)root | pcid | noflush) : "memory");
}

/* Stay in the context that begin() has chosen, and drop what it has. */
static void flush(void)
{
	load(read_cr4() & CR4_PCIDE ? 1 : 0, 0);
}

static void invlpg(u64 address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void invpcid(u64 type, u64 pcid, u64 address)
{
	struct { u64 pcid, address; } descriptor = { pcid, address };

	asm volatile("invpcid %1, %0" : : "r"(type), "m"(descriptor) : "memory");
}

static void cpuid(u32 leaf, u32 *b, u32 *c)
{
	u32 a = leaf, d;

	*c = 0;
	asm volatile("cpuid" : "+a"(a), "=b"(*b), "+c"(*c), "=d"(d));
}

struct gate {
	unsigned short low, segment, type, middle;
	u32 high, zero;
};

static struct gate idt[32];

static void set_gate(unsigned int vector, u64 handler)
{
	idt[vector] = (struct gate){ handler, 8, 0x8e00, handler >> 16, handler >> 32, 0 };
}

/* ---- cases ---- */

static unsigned int nr, failed;
static const char *name;

static void expect(int line, u64 found, u64 wanted)
{
	if (found == wanted)
		return;
	failed = 1;
	say(RESULTS, "    # line ");
	number(RESULTS, line);
	say(RESULTS, found == FAULT ? ": a fault" : found == IN_A ? ": frame A" : found == IN_B ? ": frame B" : ": something else");
	say(RESULTS, wanted == FAULT ? ", not a fault\n" : wanted == IN_A ? ", not frame A\n" : wanted == IN_B ? ", not frame B\n" : "\n");
}

#define SEES(wanted)		expect(__LINE__, try_read(BASE), wanted)
#define SEES_AT(n, wanted)	expect(__LINE__, try_read(BASE + (n) * 4096UL), wanted)
#define WRITES(value, wanted)	expect(__LINE__, try_write(BASE, value), wanted)

/* Begin with frame A at BASE, nothing kept of anything, in context 1 if there are any. */
static void begin(const char *text, u64 flags)
{
	unsigned int i;

	name = text;
	failed = 0;
	frame_a[0] = IN_A;
	frame_b[0] = IN_B;
	for (i = 0; i < 512; i++) {
		table[i] = 0;
		other[i] = 0;
	}
	table[0] = (u64)frame_a | P | flags;
	pmd[0] = (u64)table | P | W | A;
	pud[0] = (u64)pmd | P | W | A;
	write_cr4(read_cr4() ^ CR4_PGE);
	write_cr4(read_cr4() ^ CR4_PGE);
	flush();
}

static void end(void)
{
	say(RESULTS, failed ? "    not ok " : "    ok ");
	number(RESULTS, ++nr);
	say(RESULTS, " ");
	say(RESULTS, name);
	say(RESULTS, "\n");
}

static void put_b(u64 flags)
{
	table[0] = (u64)frame_b | P | flags;
	asm volatile("" : : : "memory");
}

static void cases_of_all(void)
{
	begin("absent_is_not_kept", 0);
	table[0] = 0;
	SEES(FAULT);
	put_b(0);
	SEES(IN_B);
	end();

	begin("invlpg", 0);
	SEES(IN_A);
	put_b(0);
	SEES(IN_A);
	invlpg(BASE + 4096);
	SEES(IN_A);
	invlpg(BASE);
	SEES(IN_B);
	end();

	begin("cr3", 0);
	SEES(IN_A);
	put_b(0);
	flush();
	SEES(IN_B);
	end();

	begin("global_stays_over_cr3", G);
	SEES(IN_A);
	put_b(G);
	flush();
	SEES(IN_A);
	invlpg(BASE);
	SEES(IN_B);
	end();

	begin("pge", G);
	SEES(IN_A);
	put_b(G);
	write_cr4(read_cr4() ^ CR4_PGE);
	SEES(IN_B);
	write_cr4(read_cr4() ^ CR4_PGE);
	end();

	begin("less_than_before_is_kept", W);
	WRITES(IN_A, 0);
	table[0] &= ~W;
	WRITES(1, 0);
	expect(__LINE__, frame_a[0], 1);
	invlpg(BASE);
	WRITES(2, FAULT);
	end();

	begin("more_than_before_faults_once", 0);
	SEES(IN_A);
	table[0] |= W;
	WRITES(1, FAULT);
	WRITES(2, 0);
	end();

	begin("dirty_bit_is_set_by_a_walk", W);
	SEES(IN_A);
	put_b(0);
	WRITES(1, FAULT);
	end();

	begin("fault_drops_its_address_only", 0);
	table[1] = (u64)frame_a | P;
	SEES(IN_A);
	SEES_AT(1, IN_A);
	put_b(0);
	table[1] = (u64)frame_b | P;
	WRITES(1, FAULT);
	SEES(IN_B);
	SEES_AT(1, IN_A);
	end();

	begin("table_is_kept", 0);
	table[1] = (u64)frame_a | P;
	other[1] = (u64)frame_b | P;
	SEES(IN_A);
	pmd[0] = (u64)other | P | W | A;
	SEES_AT(1, IN_A);
	invlpg(BASE + 4096);
	SEES_AT(1, IN_B);
	end();

	begin("table_is_not_written_back", 0);
	table[1] = (u64)frame_a | P;
	other[1] = (u64)frame_b | P;
	pmd[0] = (u64)table | P | W;
	invlpg(0);
	SEES(IN_A);
	pmd[0] = (u64)other | P | W;
	SEES_AT(1, IN_A);
	expect(__LINE__, pmd[0], (u64)other | P | W);
	end();

	begin("invlpg_drops_all_tables", 0);
	table[1] = (u64)frame_a | P;
	other[1] = (u64)frame_b | P;
	SEES(IN_A);
	pmd[0] = (u64)other | P | W | A;
	invlpg(0);
	SEES_AT(1, IN_B);
	end();

	begin("cr3_drops_tables_under_global", G);
	table[1] = (u64)frame_a | P | G;
	other[1] = (u64)frame_b | P | G;
	SEES(IN_A);
	pmd[0] = (u64)other | P | W | A;
	flush();
	SEES_AT(1, IN_B);
	SEES(IN_A);
	end();

	begin("large_page_goes_as_a_whole", 0);
	*(u64 *)(LARGE_A + 4096) = IN_A;
	*(u64 *)(LARGE_B + 4096) = IN_B;
	pmd[0] = LARGE_A | P | W | A | PS;
	SEES_AT(1, IN_A);
	pmd[0] = LARGE_B | P | W | A | PS;
	SEES_AT(1, IN_A);
	invlpg(BASE + 300 * 4096UL);
	SEES_AT(1, IN_B);
	end();
}

static void case_of_smep(void)
{
	begin("smep", 0);
	load(2, 0);
	SEES(IN_A);
	load(1, 0);
	SEES(IN_A);
	put_b(0);
	write_cr4(read_cr4() & ~CR4_SMEP);
	SEES(IN_A);
	write_cr4(read_cr4() | CR4_SMEP);
	SEES(IN_B);
	load(2, NOFLUSH);
	SEES(IN_A);
	end();
}

static void cases_of_pcid(void)
{
	begin("noflush", 0);
	SEES(IN_A);
	put_b(0);
	load(1, NOFLUSH);
	SEES(IN_A);
	load(2, NOFLUSH);
	SEES(IN_B);
	load(1, NOFLUSH);
	SEES(IN_A);
	load(1, 0);
	SEES(IN_B);
	end();

	begin("cr3_drops_its_own_only", 0);
	SEES(IN_A);
	load(2, 0);
	SEES(IN_A);
	put_b(0);
	load(2, 0);
	SEES(IN_B);
	load(1, NOFLUSH);
	SEES(IN_A);
	end();

	begin("tables_have_pcids", 0);
	table[1] = (u64)frame_a | P;
	other[1] = (u64)frame_b | P;
	SEES(IN_A);
	pmd[0] = (u64)other | P | W | A;
	load(2, NOFLUSH);
	SEES_AT(1, IN_B);
	load(1, NOFLUSH);
	SEES_AT(1, IN_A);
	end();

	begin("invlpg_leaves_other_pcids", 0);
	SEES(IN_A);
	put_b(0);
	load(2, NOFLUSH);
	invlpg(BASE);
	load(1, NOFLUSH);
	SEES(IN_A);
	end();

	begin("invlpg_drops_global_of_all", G);
	SEES(IN_A);
	put_b(G);
	load(2, NOFLUSH);
	SEES(IN_A);
	invlpg(BASE);
	load(1, NOFLUSH);
	SEES(IN_B);
	end();

	begin("pcide", G);
	load(0, 0);
	SEES(IN_A);
	put_b(G);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	SEES(IN_B);
	write_cr4(read_cr4() | CR4_PCIDE);
	end();
}

static void cases_of_invpcid(void)
{
	begin("invpcid_address", 0);
	table[1] = (u64)frame_a | P;
	SEES(IN_A);
	SEES_AT(1, IN_A);
	put_b(0);
	table[1] = (u64)frame_b | P;
	load(2, NOFLUSH);
	invpcid(0, 1, BASE);
	load(1, NOFLUSH);
	SEES(IN_B);
	SEES_AT(1, IN_A);
	end();

	begin("invpcid_address_drops_tables", 0);
	table[1] = (u64)frame_a | P;
	other[1] = (u64)frame_b | P;
	SEES(IN_A);
	pmd[0] = (u64)other | P | W | A;
	load(2, NOFLUSH);
	invpcid(0, 1, BASE);
	load(1, NOFLUSH);
	SEES_AT(1, IN_B);
	end();

	begin("invpcid_context", 0);
	load(3, 0);
	SEES(IN_A);
	load(1, 0);
	SEES(IN_A);
	put_b(0);
	load(2, NOFLUSH);
	invpcid(1, 1, 0);
	load(1, NOFLUSH);
	SEES(IN_B);
	load(3, NOFLUSH);
	SEES(IN_A);
	end();

	begin("invpcid_leaves_global", G);
	SEES(IN_A);
	put_b(G);
	invpcid(0, 1, BASE);
	SEES(IN_A);
	invpcid(1, 1, 0);
	SEES(IN_A);
	invpcid(3, 0, 0);
	SEES(IN_A);
	invpcid(2, 0, 0);
	SEES(IN_B);
	end();

	begin("invpcid_all_but_global", 0);
	load(2, 0);
	SEES(IN_A);
	load(1, 0);
	SEES(IN_A);
	put_b(0);
	invpcid(3, 0, 0);
	SEES(IN_B);
	load(2, NOFLUSH);
	SEES(IN_B);
	end();
}

void main(void)
{
	struct { unsigned short limit; u64 base; } __attribute__((packed)) pointer = { sizeof(idt) - 1, (u64)idt };
	u32 b, c;
	int i, pcid, has_invpcid, has_smep;

	for (i = 0; i < 8; i++)
		low_pmd[i] = i * 0x200000UL | P | W | A | D | PS;
	low_pud[0] = (u64)low_pmd | P | W | A;
	root[0] = (u64)low_pud | P | W | A;
	root[256] = (u64)pud | P | W | A;
	set_gate(14, (u64)page_fault);
	asm volatile("lidt %0" : : "m"(pointer));
	load(0, 0);

	cpuid(1, &b, &c);
	pcid = c >> 17 & 1;
	cpuid(7, &b, &c);
	has_invpcid = b >> 10 & 1;
	has_smep = b >> 7 & 1;

	set_up(RESULTS);
	set_up(CONSOLE);
	say(RESULTS, "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: tlb\n    1..");
	number(RESULTS, 14 + (pcid ? 6 + has_smep + (has_invpcid ? 5 : 0) : 0));
	say(RESULTS, "\n");
	cases_of_all();
	if (pcid) {
		write_cr4(read_cr4() | CR4_PCIDE);
		cases_of_pcid();
		if (has_smep)
			case_of_smep();
		if (has_invpcid)
			cases_of_invpcid();
	}
	say(RESULTS, "ok 1 - tlb\n# end of results\n");
	say(CONSOLE, "reboot: Power down\n");
}
