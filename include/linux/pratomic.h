/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Write-rare atomic counters and masks: an atomic_t, atomic64_t or atomic_long_t
 * in protected memory.
 *
 * Readers use atomic_read() and its like.  pratomic_set() is a store with release, as
 * wr_assign().  With CONFIG_PRMEM, each of the others is one locked instruction, or for
 * and/or a loop of them, on the memory that the readers see, and is fully ordered.
 *
 * All return 0, or a negative error as wr_assign() with nothing changed.  A result
 * goes to *ret, which is in ordinary memory.
 */
#ifndef _LINUX_PRATOMIC_H
#define _LINUX_PRATOMIC_H

#include <linux/atomic.h>
#include <linux/prmem.h>

#ifdef CONFIG_PRMEM

/* @sign: + or -, applied to @i after its conversion to the type of the counter. */
#define __pratomic(op, sign, i, v)					\
__wr_result(({								\
	typeof(v) __v = (v);						\
	typeof(__v->counter) __i = sign((typeof(__v->counter))(i));	\
									\
	__wr_rmw(__v, sizeof(*__v), op, __i, NULL);			\
}))

/* @new: store the value after the operation at @ret, not the value before it. */
#define __pratomic_ret(op, sign, i, v, ret, new)			\
__wr_result(({								\
	typeof(v) __v = (v);						\
	typeof(__v->counter) __i = sign((typeof(__v->counter))(i));	\
	u64 __old = 0;							\
	int __err = __wr_rmw(__v, sizeof(*__v), op, __i, &__old);	\
									\
	if (!__err)							\
		*(ret) = (typeof(__i))__old + ((new) ? __i : 0);	\
	__err;								\
}))

#define pratomic_add(i, v)		__pratomic(WR_ADD, +, i, v)
#define pratomic_sub(i, v)		__pratomic(WR_ADD, -, i, v)
#define pratomic_inc(v)			__pratomic(WR_ADD, +, 1, v)
#define pratomic_dec(v)			__pratomic(WR_ADD, -, 1, v)
#define pratomic_and(i, v)		__pratomic(WR_AND, +, i, v)
#define pratomic_or(i, v)		__pratomic(WR_OR, +, i, v)
#define pratomic_set(v, i)		wr_assign((v)->counter, i)

#define pratomic_fetch_add(i, v, ret)	__pratomic_ret(WR_ADD, +, i, v, ret, false)
#define pratomic_fetch_sub(i, v, ret)	__pratomic_ret(WR_ADD, -, i, v, ret, false)
#define pratomic_fetch_inc(v, ret)	__pratomic_ret(WR_ADD, +, 1, v, ret, false)
#define pratomic_fetch_dec(v, ret)	__pratomic_ret(WR_ADD, -, 1, v, ret, false)
#define pratomic_fetch_and(i, v, ret)	__pratomic_ret(WR_AND, +, i, v, ret, false)
#define pratomic_fetch_or(i, v, ret)	__pratomic_ret(WR_OR, +, i, v, ret, false)

#define pratomic_add_return(i, v, ret)	__pratomic_ret(WR_ADD, +, i, v, ret, true)
#define pratomic_sub_return(i, v, ret)	__pratomic_ret(WR_ADD, -, i, v, ret, true)
#define pratomic_inc_return(v, ret)	__pratomic_ret(WR_ADD, +, 1, v, ret, true)
#define pratomic_dec_return(v, ret)	__pratomic_ret(WR_ADD, -, 1, v, ret, true)

#else /* !CONFIG_PRMEM */

/* The function for the type of @v. */
#define __pratomic_fn(v, fn)						\
	__builtin_choose_expr(sizeof(*(v)) == sizeof(atomic64_t),	\
			      atomic64_##fn, atomic_##fn)

#define __pratomic(fn, i, v)						\
__wr_result(({								\
	typeof(v) __v = (v);						\
									\
	(void)__v->counter;						\
	__pratomic_fn(__v, fn)(i, (void *)__v);				\
	0;								\
}))

#define __pratomic_ret(fn, i, v, ret)					\
__wr_result(({								\
	typeof(v) __v = (v);						\
									\
	(void)__v->counter;						\
	*(ret) = __pratomic_fn(__v, fn)(i, (void *)__v);		\
	0;								\
}))

#define __pratomic_one(fn, v)						\
__wr_result(({								\
	typeof(v) __v = (v);						\
									\
	(void)__v->counter;						\
	__pratomic_fn(__v, fn)((void *)__v);				\
	0;								\
}))

#define pratomic_add(i, v)		__pratomic(add, i, v)
#define pratomic_sub(i, v)		__pratomic(sub, i, v)
#define pratomic_inc(v)			__pratomic_one(inc, v)
#define pratomic_dec(v)			__pratomic_one(dec, v)
#define pratomic_and(i, v)		__pratomic(and, i, v)
#define pratomic_or(i, v)		__pratomic(or, i, v)
#define pratomic_set(v, i)		wr_assign((v)->counter, i)

#define pratomic_fetch_add(i, v, ret)	__pratomic_ret(fetch_add, i, v, ret)
#define pratomic_fetch_sub(i, v, ret)	__pratomic_ret(fetch_sub, i, v, ret)
#define pratomic_fetch_inc(v, ret)	__pratomic_ret(fetch_add, 1, v, ret)
#define pratomic_fetch_dec(v, ret)	__pratomic_ret(fetch_sub, 1, v, ret)
#define pratomic_fetch_and(i, v, ret)	__pratomic_ret(fetch_and, i, v, ret)
#define pratomic_fetch_or(i, v, ret)	__pratomic_ret(fetch_or, i, v, ret)

#define pratomic_add_return(i, v, ret)	__pratomic_ret(add_return, i, v, ret)
#define pratomic_sub_return(i, v, ret)	__pratomic_ret(sub_return, i, v, ret)
#define pratomic_inc_return(v, ret)	__pratomic_ret(add_return, 1, v, ret)
#define pratomic_dec_return(v, ret)	__pratomic_ret(sub_return, 1, v, ret)

#endif /* !CONFIG_PRMEM */

#endif /* _LINUX_PRATOMIC_H */
