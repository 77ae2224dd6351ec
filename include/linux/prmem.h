/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Protected memory: read-only for everybody, changed only by wr_*().
 * See Documentation/core-api/prmem.rst.
 */
#ifndef _LINUX_PRMEM_H
#define _LINUX_PRMEM_H

#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/gfp_types.h>
#include <linux/init.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>

/*
 * Modes of a pool.  A pool is a heap for objects that are freed together.
 *
 * RO: objects can be written until pmalloc_protect_pool(), then never again.
 * WR: objects can be written until pmalloc_protect_pool(), then by wr_*().
 * AUTO: when the pool gets more memory, it protects what it has had before; a plain
 *	store to that faults from then on.
 * START: memory is protected from the start; only valid together with WR.
 */
#define PMALLOC_RO		0
#define PMALLOC_WR		1
#define PMALLOC_AUTO		2
#define PMALLOC_START		4

#define PMALLOC_MODE_RO		PMALLOC_RO
#define PMALLOC_MODE_WR		PMALLOC_WR
#define PMALLOC_MODE_AUTO_RO	(PMALLOC_AUTO | PMALLOC_RO)
#define PMALLOC_MODE_AUTO_WR	(PMALLOC_AUTO | PMALLOC_WR)
#define PMALLOC_MODE_START_WR	(PMALLOC_START | PMALLOC_WR)

/* Most bytes of one object of a cache, and of one object of a pool. */
#define WR_CACHE_MAX_SIZE	(1024 * 1024)
#define PMALLOC_MAX_SIZE	(64 * 1024 * 1024)

/* A batch with more writes, or bytes, is to let interrupts in by wr_relax(). */
#define WR_BATCH_OPS		64
#define WR_BATCH_BYTES		4096

/* Operations of __wr_rmw(). */
enum wr_rmw {
	WR_XCHG,
	WR_CMPXCHG,
	WR_ADD,
	WR_AND,
	WR_OR,
};

/*
 * Each macro below that returns an error ends in this: the compiler warns if the result
 * of a __must_check function is ignored, but not if that of a statement expression is.
 */
static __always_inline int __must_check __wr_result(int err)
{
	return err;
}

/* The bits of a scalar at @p; the compiler knows @size. */
static __always_inline u64 __wr_get(const void *p, size_t size)
{
	switch (size) {
	case 1:
		return *(const u8 *)p;
	case 2:
		return *(const u16 *)p;
	case 4:
		return *(const u32 *)p;
	default:
		return *(const u64 *)p;
	}
}

/* Convert @value to @type, and return the bits of the result, zero-extended. */
#define __wr_bits(type, value)						\
({									\
	type __wr_v = (value);						\
									\
	__wr_get((const void *)&__wr_v, sizeof(__wr_v));		\
})

#define __wr_assert_scalar(x)						\
	static_assert(sizeof(x) == 1 || sizeof(x) == 2 ||		\
		      sizeof(x) == 4 || sizeof(x) == 8,			\
		      "not the size of a register: use wr_memcpy()")

/* sizeof(void) is 1 in GNU C: a pointer to void would pass, with the wrong size. */
#define __wr_assert_object(x)						\
	static_assert(!__same_type(x, void),				\
		      "the type of the object is not known: use wr_memcpy()")

#define __wr_object_size(what)						\
({									\
	typeof(what) __wr_o;						\
									\
	__wr_assert_object(*__wr_o);					\
	sizeof(*__wr_o);						\
})

/*
 * Store to a scalar behind a pointer to const.  Objects are reached through these, so
 * that a plain store that was not converted does not compile.  This is one store of full
 * width, and a release for readers without a lock.
 */
static __always_inline void __wr_release(void *p, u64 bits, size_t size)
{
	switch (size) {
	case 1:
		/* Pairs with the dependency or the acquire of a reader. */
		smp_store_release((u8 *)p, bits);
		break;
	case 2:
		/* Pairs with the dependency or the acquire of a reader. */
		smp_store_release((u16 *)p, bits);
		break;
	case 4:
		/* Pairs with the dependency or the acquire of a reader. */
		smp_store_release((u32 *)p, bits);
		break;
	case 8:
		/* Pairs with the dependency or the acquire of a reader. */
		smp_store_release((u64 *)p, bits);
		break;
	}
}

/**
 * wr_put - store to a field of an object between wr_edit() and wr_end()
 * @edit: from wr_edit()
 * @field: name of the field: 1, 2, 4 or 8 bytes
 * @value: the new value
 *
 * One store, and a release, as wr_assign().  Nothing else may be done with @edit.
 */
#define wr_put(edit, field, value)					\
({									\
	__auto_type __wr_f = &(*(edit)).field;				\
									\
	__wr_assert_scalar(*__wr_f);					\
	__wr_release((void *)__wr_f, __wr_bits(typeof(*__wr_f), value),	\
		     sizeof(*__wr_f));					\
})

#ifdef CONFIG_PRMEM

struct module;

/**
 * __wr_after_init - a variable that is write rare once the kernel has booted
 *
 * The variable is placed behind .rodata, and becomes read-only with it, before the
 * first program runs.  Until then it can be written by plain stores and by wr_*(),
 * from then on by wr_*() only.  A module with such a variable can't be loaded.
 */
#define __wr_after_init		__section(".data..wr_after_init")

/* Names are copied, so that they are protected, and stay when a module goes. */
#define PRMEM_NAME_LEN		28

/* What caches and pools have in common; first member of both. */
struct prmem_owner {
	/* private: */
	char		name[PRMEM_NAME_LEN];
	u32		kind;
	const struct module *module;	/* creator; NULL if built in, or gone */
};

/**
 * struct wr_cache - objects of one type, write rare from their allocation on
 *
 * Lives in protected memory itself.
 */
struct wr_cache {
	/* private: */
	struct prmem_owner owner;
	unsigned long	lock;		/* bit 0: lock of the list and of all slabs */
	u32		size;		/* of an object, as its user knows it */
	u32		align;
	u32		stride;		/* from one object to the next */
	u32		nr_slots;	/* objects in a slab, at most 64 */
	u32		nr_pages;	/* pages of a slab */
	u32		useroffset;
	u32		usersize;
	u32		partial;	/* first slab that may have a free slot */
};

struct pmalloc_pool;

#define PRMEM_KIND_CACHE	1

/**
 * DEFINE_WR_CACHE - define a cache of the kernel image
 * @_name: name of the struct wr_cache
 * @_type: type of the objects
 *
 * Objects can be allocated from core_initcall_sync() on.
 */
#define DEFINE_WR_CACHE(_name, _type)					\
	DEFINE_WR_CACHE_USERCOPY(_name, _type, 0, 0)

/**
 * DEFINE_WR_CACHE_USERCOPY - define a cache of which user space may be given a part
 * @_name: name of the struct wr_cache
 * @_type: type of the objects
 * @_useroffset: offset of the part in an object
 * @_usersize: its size
 */
#define DEFINE_WR_CACHE_USERCOPY(_name, _type, _useroffset, _usersize)	\
	struct wr_cache _name						\
	__section(".data..wr_after_init.caches") __aligned(8) = {	\
		.owner = { .name = #_name, .kind = PRMEM_KIND_CACHE },	\
		.size = sizeof(_type) +					\
			BUILD_BUG_ON_ZERO(sizeof(_type) > WR_CACHE_MAX_SIZE), \
		.align = __alignof__(_type),				\
		.useroffset = (_useroffset),				\
		.usersize = (_usersize),				\
	}

struct wr_cache *__must_check __wr_cache_create(const struct module *module,
						const char *name, size_t size,
						size_t align, size_t useroffset,
						size_t usersize);
int __must_check wr_cache_destroy(struct wr_cache *c);
const void *__must_check __wr_cache_alloc(struct wr_cache *c, gfp_t gfp, bool zero);
int __must_check wr_cache_free(struct wr_cache *c, const void *obj);
int __must_check wr_cache_free_rcu(struct wr_cache *c, const void *obj);
int __must_check wr_cache_seal(struct wr_cache *c, const void *obj);

struct pmalloc_pool *__must_check __pmalloc_create_pool(const struct module *module,
							const char *name, size_t refill,
							int align_order, u8 mode);
void *__must_check pmalloc(struct pmalloc_pool *pool, size_t size);
void *__must_check pmalloc_nowait(struct pmalloc_pool *pool, size_t size);
int __must_check pmalloc_reserve(struct pmalloc_pool *pool, size_t size);
char *__must_check pstrdup(struct pmalloc_pool *pool, const char *s);
int __must_check pmalloc_protect_pool(struct pmalloc_pool *pool);
int __must_check pmalloc_make_pool_ro(struct pmalloc_pool *pool);
int __must_check pmalloc_destroy_pool(struct pmalloc_pool *pool);

/**
 * wr_cache_create - create a cache
 * @name: name in reports; its first 27 characters are copied
 * @size: bytes of an object, 1 to %WR_CACHE_MAX_SIZE; an object takes at least 64
 * @align: alignment of objects: a power of two up to the size of a page, or 0
 * @useroffset: offset of the part of an object that may be copied to user space
 * @usersize: bytes of that part, or 0
 *
 * If a module is unloaded without having destroyed its cache, a cache without objects is
 * destroyed, and one with objects stays for ever.  A warning in the log says which.
 *
 * Context: Process context; sleeps.
 *
 * Return: the cache; or ERR_PTR() of -EINVAL if an argument is out of range, -EPERM
 * before there are windows, or -ENOMEM if there is no memory.
 */
#define wr_cache_create(name, size, align, useroffset, usersize)	\
	__wr_cache_create(THIS_MODULE, name, size, align, useroffset, usersize)

/**
 * pmalloc_create_custom_pool - create a pool
 * @refill: bytes to grow by, if an object does not need more; 0 for a page
 * @align_order: log2 of the alignment of objects, up to %PAGE_SHIFT; negative for the
 *	alignment of kmalloc()
 * @mode: one of PMALLOC_MODE_*
 *
 * In reports the pool has the name of the function that creates it.  If a module is
 * unloaded without having destroyed its pool, a pool without memory is destroyed, and
 * one with memory stays for ever.  A warning in the log says which.
 *
 * Context: Process context; sleeps.
 *
 * Return: the pool; or ERR_PTR() of -EINVAL if an argument is out of range, -EPERM
 * before there are windows, or -ENOMEM if there is no memory.
 */
#define pmalloc_create_custom_pool(refill, align_order, mode)		\
	__pmalloc_create_pool(THIS_MODULE, __func__, refill, align_order, mode)

void prmem_mark_readonly(void);
void prmem_show_fault(unsigned long address, bool write);
bool prmem_check_usercopy(const void *ptr, unsigned long n, bool to_user,
			  const char **name, unsigned long *offset);
bool is_pmalloc_object(const void *ptr, size_t n);
bool is_pmalloc_ro_object(const void *ptr, size_t n);
bool is_pmalloc_wr_object(const void *ptr, size_t n);

int __must_check __wr_store(const struct wr_cache *c, const void *p, u64 val,
			    size_t size);
int __must_check __wr_copy(const struct wr_cache *c, const void *dst,
			   const void *src, size_t n);
int __must_check wr_memcpy(const void *dst, const void *src, size_t n);
int __must_check wr_memset(const void *dst, int c, size_t n);
int __must_check __wr_rmw(const void *p, size_t size, enum wr_rmw op,
			  u64 val, u64 *old);

int __must_check wr_begin(void);
void wr_relax(void);
void wr_end(void);
void *__must_check __wr_edit(const struct wr_cache *c, const void *obj, size_t size);

#define __wr_assign(c, lvalue, value)					\
__wr_result(({								\
	typeof(lvalue) *__wr_p = &(lvalue);				\
									\
	__wr_assert_scalar(*__wr_p);					\
	__wr_store((c), __wr_p, __wr_bits(typeof(*__wr_p), value),	\
		   sizeof(*__wr_p));					\
}))

/**
 * wr_assign - assign to a write-rare variable
 * @lvalue: what to assign to: 1, 2, 4 or 8 bytes, aligned to their size
 * @value: the value; it is converted as an assignment would do it
 *
 * One store, for readers on all CPUs: they see the old or the new value, never
 * half of each.  All stores that come before it, in program order, are visible
 * to whoever sees the new value and has a dependency or a load-acquire.
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: 0; else nothing has changed: -EINVAL if @lvalue is misaligned, not within one
 * object, or in a freed one; -EFAULT if it is not in protected memory; -EPERM if it is in
 * a sealed object, in a pool that is read-only or not protected yet, or in an NMI.
 */
#define wr_assign(lvalue, value)	__wr_assign(NULL, lvalue, value)

/**
 * wr_rcu_assign_pointer - assign to a write-rare RCU-protected pointer
 * @p: the pointer, __rcu
 * @v: the value
 *
 * The initialization of what @v points to, by plain stores or by wr_*(), is
 * visible to every reader that gets @v by rcu_dereference().
 *
 * Context: Any but NMI.  Does not sleep.
 *
 * Return: as wr_assign().
 */
#define wr_rcu_assign_pointer(p, v)					\
__wr_result(({								\
	typeof(p) *__wr_p = &(p);					\
	typeof(**__wr_p) *__wr_v = (v);					\
									\
	rcu_check_sparse(*__wr_p, __rcu);				\
	__wr_store(NULL, __wr_p, (u64)(unsigned long)__wr_v,		\
		   sizeof(__wr_v));					\
}))

/**
 * wr_set_field - assign to a field of an object of a cache
 * @c: the cache that @obj has to be of
 * @obj: the object
 * @field: name of the field
 * @value: its new value
 *
 * As wr_assign(), and refuses with -EPERM what is not of @c.
 */
#define wr_set_field(c, obj, field, value) __wr_assign(c, (*(obj)).field, value)

/**
 * wr_update - replace an object of a cache
 * @c: the cache that @obj has to be of
 * @obj: the object
 * @src: an object of the same type with the new contents
 *
 * As wr_memcpy(), so readers can see some bytes new and others old; and refuses with
 * -EPERM an object that is not of @c.  Not for objects that contain list links or
 * atomics: what others have changed in these since @src was filled is lost.
 */
#define wr_update(c, obj, src)						\
__wr_result(({								\
	typeof(obj) __wr_obj = (obj);					\
	const typeof(*__wr_obj) *__wr_src = (src);			\
									\
	__wr_assert_object(*__wr_obj);					\
	__wr_copy((c), __wr_obj, __wr_src, sizeof(*__wr_obj));		\
}))

/**
 * wr_edit - begin a batch of stores to the fields of one object
 * @c: the cache that @obj has to be of, or NULL
 * @obj: the object, of at most %WR_BATCH_BYTES
 *
 * The object is checked once, here, and the compiler knows that a field is within it.
 * So each wr_put() is one instruction.  As after wr_begin(), interrupts are off and
 * nothing may sleep until wr_end().  wr_relax() does nothing before that, so the caller
 * has to be quick.
 *
 * Return: the address of the object in the window, for wr_put() and nothing else; or an
 * ERR_PTR() as wr_assign(), and then no batch has begun.
 */
#define wr_edit(c, obj)							\
	((typeof(obj))__wr_edit((c), (obj), __wr_object_size(typeof(obj))))

/**
 * wr_edit_bytes - begin a batch of plain writes to a piece of memory
 * @p: start of the piece
 * @size: how many bytes, 1 to %WR_BATCH_BYTES
 *
 * As wr_edit(), for memory without a type: an object that is being filled, and that
 * nobody reads yet.  The piece may be written at the returned address by memcpy() and
 * the like, from a source that is known not to fault.
 *
 * The piece may be part of an object of a cache, or of memory that a pool has handed
 * out.  A piece of a pool that crosses a page boundary may be refused, because its pages
 * need not be contiguous in the window.  The first %PAGE_SIZE bytes of an object of a
 * pool of %PMALLOC_MODE_START_WR are never refused for that.
 *
 * Return: the address of the piece in the window, valid until wr_end(); or an ERR_PTR()
 * as wr_edit().
 */
static inline void *__must_check wr_edit_bytes(const void *p, size_t size)
{
	return __wr_edit(NULL, p, size);
}

/**
 * wr_xchg - exchange a write-rare variable
 * @ptr: where it is
 * @value: the new value
 * @oldp: where to store the old value, ordinary memory
 *
 * A locked instruction, as xchg().
 *
 * Return: as wr_assign(); *@oldp is only written with 0.
 */
#define wr_xchg(ptr, value, oldp)					\
__wr_result(({								\
	typeof(ptr) __wr_p = (ptr);					\
	union { typeof(*__wr_p) v; u64 bits; } __wr_old = { .bits = 0 };	\
	int __wr_err;							\
									\
	__wr_assert_scalar(*__wr_p);					\
	__wr_err = __wr_rmw(__wr_p, sizeof(*__wr_p), WR_XCHG,		\
			    __wr_bits(typeof(*__wr_p), value),		\
			    &__wr_old.bits);				\
	if (!__wr_err)							\
		*(oldp) = __wr_old.v;					\
	__wr_err;							\
}))

/**
 * wr_cmpxchg - compare and exchange a write-rare variable
 * @ptr: where it is
 * @oldp: the expected value, in ordinary memory; receives the value that was found
 * @value: the new value
 *
 * A locked instruction, as try_cmpxchg().
 *
 * Return: 1 if the variable had the expected value and was exchanged, 0 if it had
 * another one; or a negative error as wr_assign(), and then *@oldp is not written.
 */
#define wr_cmpxchg(ptr, oldp, value)					\
__wr_result(({								\
	typeof(ptr) __wr_p = (ptr);					\
	__auto_type __wr_oldp = (oldp);					\
	u64 __wr_want = __wr_bits(typeof(*__wr_p), *__wr_oldp);		\
	union { typeof(*__wr_p) v; u64 bits; } __wr_old;		\
	int __wr_err;							\
									\
	__wr_assert_scalar(*__wr_p);					\
	(void)(__wr_oldp == __wr_p);					\
	__wr_old.bits = __wr_want;					\
	__wr_err = __wr_rmw(__wr_p, sizeof(*__wr_p), WR_CMPXCHG,	\
			    __wr_bits(typeof(*__wr_p), value),		\
			    &__wr_old.bits);				\
	if (!__wr_err) {						\
		__wr_err = __wr_old.bits == __wr_want;			\
		*__wr_oldp = __wr_old.v;				\
	}								\
	__wr_err;							\
}))

/**
 * wr_cache_alloc - allocate an object of a cache
 * @c: the cache
 * @gfp: may the cache sleep to get more memory?  __GFP_ZERO is honoured.
 *
 * Context: Any but NMI, if @gfp does not allow to block.
 *
 * Return: the object, or NULL.
 */
static inline const void *__must_check wr_cache_alloc(struct wr_cache *c, gfp_t gfp)
{
	return __wr_cache_alloc(c, gfp, gfp & __GFP_ZERO);
}

/**
 * wr_cache_zalloc - allocate an object of a cache, all zero
 * @c: the cache
 * @gfp: as for wr_cache_alloc()
 *
 * Return: the object, or NULL.
 */
static inline const void *__must_check wr_cache_zalloc(struct wr_cache *c, gfp_t gfp)
{
	return __wr_cache_alloc(c, gfp, true);
}

/**
 * pmalloc_create_pool - create a pool that grows by pages
 * @mode: one of PMALLOC_MODE_*
 *
 * Return: as pmalloc_create_custom_pool().
 */
#define pmalloc_create_pool(mode)	pmalloc_create_custom_pool(0, -1, mode)

/**
 * pzalloc - allocate zeroed memory of a pool
 * @pool: the pool
 * @size: how many bytes
 *
 * As pmalloc(), whose memory is zero as well: a pool hands out no memory twice, and
 * pages are wiped before they become free.
 *
 * Return: as pmalloc().
 */
static inline void *__must_check pzalloc(struct pmalloc_pool *pool, size_t size)
{
	return pmalloc(pool, size);
}

/**
 * pmalloc_array - allocate an array of a pool
 * @pool: the pool
 * @n: number of elements
 * @size: bytes of an element
 *
 * Return: as pmalloc(), NULL also when the product overflows.
 */
static inline void *__must_check pmalloc_array(struct pmalloc_pool *pool,
					       size_t n, size_t size)
{
	return pmalloc(pool, size_mul(n, size));
}

/**
 * pcalloc - allocate a zeroed array of a pool
 * @pool: the pool
 * @n: number of elements
 * @size: bytes of an element
 *
 * Return: as pmalloc_array().
 */
static inline void *__must_check pcalloc(struct pmalloc_pool *pool, size_t n,
					 size_t size)
{
	return pmalloc(pool, size_mul(n, size));
}

#else /* !CONFIG_PRMEM */

#define prmem_mark_readonly()	do { } while (0)
#define prmem_show_fault(address, write)	((void)(address), (void)(write))

/* Without CONFIG_PRMEM the functions below make plain stores to ordinary memory. */

static inline bool prmem_check_usercopy(const void *ptr, unsigned long n,
					bool to_user, const char **name,
					unsigned long *offset)
{
	return true;
}

/* Nothing is an object of protected memory. */
static inline bool is_pmalloc_object(const void *ptr, size_t n)
{
	return false;
}

static inline bool is_pmalloc_ro_object(const void *ptr, size_t n)
{
	return false;
}

static inline bool is_pmalloc_wr_object(const void *ptr, size_t n)
{
	return false;
}

#define __wr_after_init

struct wr_cache {
	size_t	size;
	size_t	align;
};

#define DEFINE_WR_CACHE(_name, _type)					\
	DEFINE_WR_CACHE_USERCOPY(_name, _type, 0, 0)

#define DEFINE_WR_CACHE_USERCOPY(_name, _type, _useroffset, _usersize)	\
	struct wr_cache _name = {					\
		.size = sizeof(_type) +					\
			BUILD_BUG_ON_ZERO((_useroffset) + (_usersize) >	\
					  sizeof(_type)),		\
		.align = __alignof__(_type),				\
	}

/* Run a statement that can't fail, and return 0 in place of its error. */
#define __wr_plain(statement)						\
__wr_result(({								\
	statement;							\
	0;								\
}))

#define __wr_assign(c, lvalue, value)					\
__wr_plain(({								\
	typeof(lvalue) *__wr_p = &(lvalue);				\
									\
	(void)(c);							\
	__wr_assert_scalar(*__wr_p);					\
	__wr_release((void *)__wr_p, __wr_bits(typeof(*__wr_p), value),	\
		     sizeof(*__wr_p));					\
}))

#define wr_assign(lvalue, value)	__wr_assign(NULL, lvalue, value)
#define wr_set_field(c, obj, field, value) __wr_assign(c, (*(obj)).field, value)

#define wr_rcu_assign_pointer(p, v)					\
__wr_plain(({								\
	typeof(p) *__wr_p = &(p);					\
	typeof(**__wr_p) *__wr_v = (v);					\
									\
	rcu_check_sparse(*__wr_p, __rcu);				\
	__wr_release((void *)__wr_p, (unsigned long)__wr_v,		\
		     sizeof(__wr_v));					\
}))

#define wr_update(c, obj, src)						\
__wr_plain(({								\
	typeof(obj) __wr_obj = (obj);					\
	const typeof(*__wr_obj) *__wr_src = (src);			\
									\
	__wr_assert_object(*__wr_obj);					\
	(void)(c);							\
	memcpy((void *)__wr_obj, __wr_src, sizeof(*__wr_obj));		\
}))

#define wr_edit(c, obj)							\
	((typeof(obj))__wr_edit((c), (obj), __wr_object_size(typeof(obj))))

#define wr_xchg(ptr, value, oldp)					\
__wr_plain(({								\
	typeof(ptr) __wr_p = (ptr);					\
	union { typeof(*__wr_p) v; u64 bits; } __wr_old = { .bits = 0 };	\
									\
	__wr_assert_scalar(*__wr_p);					\
	__wr_set(&__wr_old, __wr_xchg((void *)__wr_p,			\
				      __wr_bits(typeof(*__wr_p), value), \
				      sizeof(*__wr_p)), sizeof(*__wr_p)); \
	*(oldp) = __wr_old.v;						\
}))

#define wr_cmpxchg(ptr, oldp, value)					\
__wr_result(({								\
	typeof(ptr) __wr_p = (ptr);					\
	__auto_type __wr_oldp = (oldp);					\
									\
	__wr_assert_scalar(*__wr_p);					\
	(void)(__wr_oldp == __wr_p);					\
	__wr_cmpxchg((void *)__wr_p, __wr_oldp,				\
		     __wr_bits(typeof(*__wr_p), value),			\
		     sizeof(*__wr_p));					\
}))

#define wr_memcpy(dst, src, n)		__wr_plain(memcpy((void *)(dst), src, n))
#define wr_memset(dst, c, n)		__wr_plain(memset((void *)(dst), c, n))

/* Store the low @size bytes of @bits at @p: the inverse of __wr_get(). */
static __always_inline void __wr_set(void *p, u64 bits, size_t size)
{
	switch (size) {
	case 1:
		*(u8 *)p = bits;
		break;
	case 2:
		*(u16 *)p = bits;
		break;
	case 4:
		*(u32 *)p = bits;
		break;
	default:
		*(u64 *)p = bits;
		break;
	}
}

static __always_inline u64 __wr_xchg(void *p, u64 bits, size_t size)
{
	switch (size) {
	case 1:
		return xchg((u8 *)p, (u8)bits);
	case 2:
		return xchg((u16 *)p, (u16)bits);
	case 4:
		return xchg((u32 *)p, (u32)bits);
	default:
		return xchg((u64 *)p, bits);
	}
}

static __always_inline int __wr_cmpxchg(void *p, void *oldp, u64 bits, size_t size)
{
	switch (size) {
	case 1:
		return try_cmpxchg((u8 *)p, (u8 *)oldp, (u8)bits);
	case 2:
		return try_cmpxchg((u16 *)p, (u16 *)oldp, (u16)bits);
	case 4:
		return try_cmpxchg((u32 *)p, (u32 *)oldp, (u32)bits);
	default:
		return try_cmpxchg((u64 *)p, (u64 *)oldp, bits);
	}
}

static inline void *__must_check __wr_edit(const struct wr_cache *c, const void *obj,
					   size_t size)
{
	return (void *)obj;
}

static inline void *__must_check wr_edit_bytes(const void *p, size_t size)
{
	return (void *)p;
}

static inline int __must_check wr_begin(void)
{
	return 0;
}

static inline void wr_relax(void) { }
static inline void wr_end(void) { }

/* Bytes in front of an object, where wr_cache_free_rcu() has room for an rcu_head. */
static inline size_t __wr_cache_pad(const struct wr_cache *c)
{
	return max(c->align, sizeof(struct rcu_head));
}

/* kmalloc() aligns powers of two to themselves. */
static inline const void *__must_check wr_cache_alloc(struct wr_cache *c, gfp_t gfp)
{
	size_t size = __wr_cache_pad(c) + c->size;
	void *p;

	if (c->align > ARCH_KMALLOC_MINALIGN)
		size = roundup_pow_of_two(size);
	p = kmalloc(size, gfp);

	return p ? p + __wr_cache_pad(c) : NULL;
}

static inline const void *__must_check wr_cache_zalloc(struct wr_cache *c, gfp_t gfp)
{
	return wr_cache_alloc(c, gfp | __GFP_ZERO);
}

static inline int __must_check wr_cache_free(struct wr_cache *c, const void *obj)
{
	if (obj)
		kfree(obj - __wr_cache_pad(c));
	return 0;
}

static inline int __must_check wr_cache_free_rcu(struct wr_cache *c, const void *obj)
{
	const void *p = obj - __wr_cache_pad(c);

	if (obj)
		kvfree_call_rcu((void *)p, (void *)p);
	return 0;
}

static inline int __must_check wr_cache_seal(struct wr_cache *c, const void *obj)
{
	return 0;
}

#endif /* !CONFIG_PRMEM */

/*
 * scoped_cond_guard(wr_batch, return -EPERM) { ... } runs its body in a batch;
 * the second argument is what to do when there can be none.
 */
static inline void wr_batch_guard_end(bool open)
{
	if (open)
		wr_end();
}

__DEFINE_CLASS_IS_CONDITIONAL(wr_batch, true);
DEFINE_CLASS(wr_batch, bool, wr_batch_guard_end(_T), !wr_begin(), void)

static inline void *class_wr_batch_lock_ptr(class_wr_batch_t *t)
{
	return (void *)(unsigned long)*t;
}

#endif /* _LINUX_PRMEM_H */
