/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM prmem

#if !defined(_TRACE_PRMEM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_PRMEM_H

#include <linux/tracepoint.h>

TRACE_EVENT(prmem_write,
	    TP_PROTO(const void *addr, size_t size),
	    TP_ARGS(addr, size),
	    TP_STRUCT__entry(__field(const void *, addr)
			     __field(size_t, size)),
	    TP_fast_assign(__entry->addr = addr;
			   __entry->size = size;),
	    TP_printk("addr=%p size=%zu", __entry->addr, __entry->size)
);

TRACE_EVENT(prmem_protect,
	    TP_PROTO(const void *addr, unsigned int pages, bool protect),
	    TP_ARGS(addr, pages, protect),
	    TP_STRUCT__entry(__field(const void *, addr)
			     __field(unsigned int, pages)
			     __field(bool, protect)),
	    TP_fast_assign(__entry->addr = addr;
			   __entry->pages = pages;
			   __entry->protect = protect;),
	    TP_printk("addr=%p pages=%u %s", __entry->addr, __entry->pages,
		      __entry->protect ? "protected" : "given back")
);

TRACE_EVENT(prmem_refuse,
	    TP_PROTO(const char *why, const void *addr, unsigned long caller),
	    TP_ARGS(why, addr, caller),
	    TP_STRUCT__entry(__string(why, why)
			     __field(const void *, addr)
			     __field(unsigned long, caller)),
	    TP_fast_assign(__assign_str(why);
			   __entry->addr = addr;
			   __entry->caller = caller;),
	    TP_printk("%s addr=%p caller=%pS", __get_str(why), __entry->addr,
		      (void *)__entry->caller)
);

#endif /* _TRACE_PRMEM_H */

#include <trace/define_trace.h>
