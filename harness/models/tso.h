/* SPDX-License-Identifier: GPL-2.0 */
/*
 * x86-TSO for models: each CPU has a queue of stores that memory has not seen yet, in their order. Its own loads
 * see them, those of others do not. A full barrier, a locked instruction and a write of CR3 wait until it is empty.
 *
 * A model defines NR_CPUS, and NR_VARS, the number of its variables in memory, before it includes this, and runs
 * one memory() for each CPU. What is not in mem[] is known to one CPU only, or is what the model observes.
 */
#define DEPTH	3	/* stores that wait at most; a CPU that has more of them waits itself */

byte mem[NR_VARS];
byte waiting_var[NR_CPUS * DEPTH];
byte waiting_val[NR_CPUS * DEPTH];
byte waiting[NR_CPUS];
hidden byte tso_i;

inline store(cpu, var, val)
{
	d_step {
		waiting[cpu] < DEPTH ->
		waiting_var[cpu * DEPTH + waiting[cpu]] = var;
		waiting_val[cpu * DEPTH + waiting[cpu]] = val;
		waiting[cpu]++
	}
}

inline load(cpu, var, reg)
{
	d_step {
		reg = mem[var];
		tso_i = 0;
		do
		:: tso_i < waiting[cpu] ->
			if
			:: waiting_var[cpu * DEPTH + tso_i] == var -> reg = waiting_val[cpu * DEPTH + tso_i]
			:: else
			fi;
			tso_i++
		:: else -> break
		od
	}
}

inline full_barrier(cpu)
{
	waiting[cpu] == 0
}

/* A locked instruction: @statement works on mem[]. */
#define locked(cpu, statement)	d_step { waiting[cpu] == 0 -> statement }

proctype memory(byte cpu)
{
end:	do
	:: d_step {
		waiting[cpu] > 0 ->
		mem[waiting_var[cpu * DEPTH]] = waiting_val[cpu * DEPTH];
		tso_i = 1;
		do
		:: tso_i < waiting[cpu] ->
			waiting_var[cpu * DEPTH + tso_i - 1] = waiting_var[cpu * DEPTH + tso_i];
			waiting_val[cpu * DEPTH + tso_i - 1] = waiting_val[cpu * DEPTH + tso_i];
			tso_i++
		:: else -> break
		od;
		waiting[cpu]--;
		/* What is not used any more is the same in all states. */
		waiting_var[cpu * DEPTH + waiting[cpu]] = 0;
		waiting_val[cpu * DEPTH + waiting[cpu]] = 0
	}
	od
}
