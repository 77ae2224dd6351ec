/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM asi

#if !defined(_TRACE_ASI_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_ASI_H

#include <linux/tracepoint.h>

/* An access that the domain of the session forbids. */
TRACE_EVENT(asi_fault,
	    TP_PROTO(const char *domain, unsigned long ip, unsigned long address,
		     unsigned long error_code, unsigned int policy),
	    TP_ARGS(domain, ip, address, error_code, policy),
	    TP_STRUCT__entry(__string(domain, domain)
			     __field(unsigned long, ip)
			     __field(unsigned long, address)
			     __field(unsigned long, error_code)
			     __field(unsigned int, policy)),
	    TP_fast_assign(__assign_str(domain);
			   __entry->ip = ip;
			   __entry->address = address;
			   __entry->error_code = error_code;
			   __entry->policy = policy;),
	    TP_printk("domain=%s ip=%pS address=%pS error_code=%lx policy=%s",
		      __get_str(domain), (void *)__entry->ip,
		      (void *)__entry->address, __entry->error_code,
		      __print_symbolic(__entry->policy, { 0, "abort" },
				       { 1, "preserve" }, { 2, "kill" }))
);

#endif /* _TRACE_ASI_H */

#include <trace/define_trace.h>
