/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An NMI comes between any two instructions of the way into a domain and out of it: its handler runs on the
 * kernel's page table, and the CPU comes back to where it was. One CPU, so that its own order is all that counts.
 * An NMI in a #DB or #MC is not played: those begin with the same instructions.
 *
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: raw_cpu_write(asi_cr3.kernel,
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: barrier();
 * Code: arch/x86/mm/asi_tlb.c asi_make_cr3: raw_cpu_write(asi_cr3.domain, cr3);
 * Code: arch/x86/mm/asi_tlb.c asi_unload: if (!domain || __native_read_cr3() != domain)
 * Code: arch/x86/mm/asi_tlb.c asi_unload: native_write_cr3(raw_cpu_read(asi_cr3.kernel));
 * Code: arch/x86/mm/asi_tlb.c asi_unload: barrier();
 * Code: arch/x86/mm/asi_tlb.c asi_unload: raw_cpu_write(asi_cr3.domain, 0);
 * Code: arch/x86/entry/calling.h ASI_LEAVE_DOMAIN: movq PER_CPU_VAR(asi_cr3 + ASI_CR3_domain), %rax
 * Code: arch/x86/entry/calling.h ASI_LEAVE_DOMAIN: jz \end
 * Code: arch/x86/entry/calling.h ASI_LEAVE_DOMAIN: movq %cr3, %rcx
 * Code: arch/x86/entry/calling.h ASI_LEAVE_DOMAIN: jne \end
 * Code: arch/x86/entry/calling.h ASI_LEAVE_DOMAIN: movq %rax, %cr3
 * Code: arch/x86/entry/calling.h ASI_LEAVE_DOMAIN: movq $0, PER_CPU_VAR(asi_cr3 + ASI_CR3_domain)
 * Code: arch/x86/entry/calling.h ASI_PARANOID_RETURN: call asi_reenter
 * Code: arch/x86/entry/calling.h ASI_PARANOID_RETURN: movq %r13, %cr3
 * Code: arch/x86/mm/asi_tlb.c asi_reenter: !raw_cpu_read(asi_cr3.domain)
 * Without: KERNEL_LATE: the order in asi_make_cr3(): the kernel's CR3 is remembered before the domain's is written
 * Without: DOMAIN_LATE: the order in asi_make_cr3(): the domain's is remembered before it is written
 * Without: CLEAR_FIRST: the order in asi_unload(): the domain's is forgotten after CR3 is the kernel's
 * Without: NO_LOOK: the comparison with CR3 in asi_unload()
 */
#define KERNEL	1
#define DOMAIN	2

byte cr3 = KERNEL;
byte kernel, domain;		/* asi_cr3 */
bool nmi;			/* its handler runs: no other comes, and nothing else runs on this CPU */
byte nmis;
bool inside;			/* the task is in a session, as it knows itself */

#define MAX_NMIS	3

/* What runs as long as no NMI does. */
#define step(statement)	atomic { !nmi -> statement }

proctype task()
{
	byte sessions = 0, seen;
	bool was;

	do
	:: sessions < 2 ->
		sessions++;
#ifndef KERNEL_LATE
		step(kernel = cr3);
#endif
#ifndef DOMAIN_LATE
		step(domain = DOMAIN);
#endif
		step(cr3 = DOMAIN; inside = true);
#ifdef KERNEL_LATE
		step(kernel = KERNEL);
#endif
#ifdef DOMAIN_LATE
		step(domain = DOMAIN);
#endif
		step(assert(cr3 == DOMAIN));
		/* asi_unload() */
		step(seen = domain; was = seen != 0);
#ifndef NO_LOOK
		step(was = was && cr3 == seen);
#endif
		step(assert(was));
#ifdef CLEAR_FIRST
		step(domain = 0);
#endif
		step(inside = false; cr3 = kernel);
#ifndef CLEAR_FIRST
		step(domain = 0);
#endif
		step(assert(cr3 == KERNEL));
		/* One that is called on the kernel's page table has nothing to do. */
	:: else -> break
	od
}

proctype nmi_handler()
{
	byte seen;
	bool was;

end:	do
	:: nmis < MAX_NMIS ->
		d_step { nmis++; nmi = true }
		seen = domain;
		was = seen != 0;
#ifndef NO_LOOK
		was = was && cr3 == seen;
#endif
		if
		:: was ->
			cr3 = kernel;
			domain = 0
		:: else
		fi;
		assert(cr3 == KERNEL);
		if
		:: was ->
			kernel = cr3;
			domain = DOMAIN;
			cr3 = DOMAIN
		:: else
		fi;
		assert(!inside || cr3 == DOMAIN);
		nmi = false
	od
}

init {
	atomic { run task(); run nmi_handler() }
}
