// SPDX-License-Identifier: GPL-2.0
/*
 * Address space isolation: types, domains and sessions.
 *
 * See Documentation/arch/x86/asi.rst for what this protects and what not.
 */
#include <linux/asi.h>
#include <linux/cpu.h>
#include <linux/cpufeature.h>
#include <linux/debugfs.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <asm/hypervisor.h>
#include <asm/sections.h>
#include <asm/set_memory.h>

#include "asi.h"

/* ASI is on, and the kernel image is not global any more; set by asi_init(). */
static bool asi_usable __ro_after_init;

static struct asi_type *asi_types[CR3_NR_CLASSES];
static u64 asi_last_id;

static int asi_get_class(struct asi *asi, struct asi_type *type)
{
	unsigned int class;

	lockdep_assert_held(&asi_mutex);
	asi->type = type;
	asi->fault = type->fault;
	if (type->users++) {
		asi->class = type->class;
		return 0;
	}

	for (class = CR3_CLASS_KERNEL + 1; class < CR3_NR_CLASSES; class++) {
		if (!asi_types[class]) {
			asi_types[class] = type;
			type->class = class;
			asi->class = class;
			return 0;
		}
	}
	type->users--;

	return -ENOSPC;
}

/*
 * The last domain of a type gives its class back.  The TLB need not be flushed for that:
 * the next domain with the class has another id, and so asi_make_cr3() flushes.
 */
static void asi_put_class(struct asi *asi)
{
	struct asi_type *type = asi->type;

	lockdep_assert_held(&asi_mutex);
	asi->type = NULL;
	if (--type->users)
		return;

	asi_types[type->class] = NULL;
	type->class = CR3_CLASS_KERNEL;
}

static void asi_free(struct asi *asi)
{
	mutex_lock(&asi_mutex);
	asi_unmap_tasks(asi);
	mutex_unlock(&asi_mutex);
	WRITE_ONCE(asi->pgt->private, NULL);
	pg_table_free(asi->pgt);
	kfree(asi);
	static_branch_dec(&asi_key);
}

static void asi_free_work(struct work_struct *work)
{
	asi_free(container_of(work, struct asi, work));
}

/*
 * Drop the reference of a session.  Sessions can end in atomic context, and asi_free()
 * sleeps, so it is left to a workqueue.
 */
static __always_inline void asi_put(struct asi *asi)
{
	if (unlikely(raw_atomic_dec_and_test(&asi->users))) {
		instrumentation_begin();
		schedule_work(&asi->work);
		instrumentation_end();
	}
}

static void asi_use_pg_table(struct asi *asi, struct pg_table *pgt)
{
	asi->pgt = pgt;
	asi->root = pg_table_root(pgt);
	WRITE_ONCE(pgt->private, asi);
}

/**
 * asi_create - create a domain
 * @type: from DEFINE_ASI_TYPE(); if it is a module's, the domain is destroyed with the
 *	module
 * @name: for messages and debugfs, unique; copied
 *
 * The domain maps what the entry code needs, and nothing else.
 *
 * Context: Process context; sleeps.
 *
 * Return: the domain, or an ERR_PTR(): -EOPNOTSUPP if ASI is off, -EINVAL for a bad
 * argument, -ENOMEM, -ENOSPC if seven other types have domains, or -EEXIST if the name is
 * empty, too long, has a '/' or is that of another page table.  A destroyed domain keeps
 * its name until its last session has ended.
 */
struct asi *asi_create(struct asi_type *type, const char *name)
{
	struct pg_table *pgt;
	struct asi *asi;
	int err;

	guard(asi_suspended)();
	might_sleep();
	if (!asi_usable)
		return ERR_PTR(-EOPNOTSUPP);

	if (!type || !name || type->fault >= ASI_NR_FAULT_POLICIES)
		return ERR_PTR(asi_refuse(NULL, ASI_BAD_ARG, _RET_IP_));

	asi = kzalloc(sizeof(*asi), GFP_KERNEL);
	if (!asi)
		return ERR_PTR(-ENOMEM);

	atomic_set(&asi->users, 1);
	INIT_WORK(&asi->work, asi_free_work);
	pgt = pg_table_create(name, &asi_pg_table_ops, asi);
	if (IS_ERR(pgt)) {
		err = PTR_ERR(pgt);
		goto free_asi;
	}

	asi_use_pg_table(asi, pgt);
	err = asi_map_entry_set(asi, pgt);
	if (err)
		goto free_table;

	mutex_lock(&asi_mutex);
	err = asi_get_class(asi, type);
	if (!err) {
		asi->id = ++asi_last_id;
		list_add_tail(&asi->node, &asi_domains);
	}
	mutex_unlock(&asi_mutex);
	if (err) {
		asi_refuse(asi, ASI_NO_CLASS, _RET_IP_);
		goto free_table;
	}

	static_branch_inc(&asi_key);

	return asi;

free_table:
	WRITE_ONCE(pgt->private, NULL);
	pg_table_free(pgt);
free_asi:
	kfree(asi);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(asi_create);

/*
 * The first half of destroying a domain: it leaves asi_domains and its type, and
 * asi_make_cr3() refuses it from here on.  asi_give_up() is the second half.
 */
static void asi_retire(struct asi *asi)
{
	lockdep_assert_held(&asi_mutex);
	list_del(&asi->node);
	asi_put_class(asi);
	/*
	 * Comes before asi_give_up() looks for CPUs in the domain, by smp_mb() in
	 * asi_flush(), which pairs with smp_mb() in asi_make_cr3().
	 */
	WRITE_ONCE(asi->dead, true);
}

/*
 * Called after asi_retire(), without asi_mutex.  asi_flush() interrupts the CPUs in the
 * domain, and they do not return to it.  The reference of asi_create() is dropped; if it
 * is not the last one, the domain is freed by asi_put() of its last session.
 */
static void asi_give_up(struct asi *asi)
{
	asi_flush(asi);
	if (atomic_dec_and_test(&asi->users))
		asi_free(asi);
}

/**
 * asi_destroy - give up a domain
 * @asi: from asi_create(), or NULL
 *
 * CPUs that are in the domain leave it before this returns, and its sessions end with
 * -ECANCELED.  The caller makes sure that no task is about to enter the domain.  The
 * domain is freed at the end of its last session, or at once if there is none; that does
 * not need the type any more.
 *
 * Context: Process context, interrupts on; sleeps.
 */
void asi_destroy(struct asi *asi)
{
	if (!asi)
		return;

	guard(asi_suspended)();
	might_sleep();
	mutex_lock(&asi_mutex);
	if (WARN_ON_ONCE(asi->dead)) {
		mutex_unlock(&asi_mutex);
		return;
	}
	asi_retire(asi);
	mutex_unlock(&asi_mutex);

	asi_give_up(asi);
}
EXPORT_SYMBOL_GPL(asi_destroy);

#ifdef CONFIG_MODULES
/* Retire and return a domain whose type is in the memory of @mod, or return NULL. */
static struct asi *asi_take_from(const struct module *mod)
{
	struct asi *asi;

	guard(mutex)(&asi_mutex);

	list_for_each_entry(asi, &asi_domains, node) {
		if (within_module((unsigned long)asi->type, mod)) {
			pr_warn("module %s has left domain %s of type %s: destroyed\n",
				mod->name, asi->pgt->name, asi->type->name);
			asi_retire(asi);
			return asi;
		}
	}

	return NULL;
}

/*
 * The module notifier, called in process context when a module has run its exit function,
 * or its loading has failed, and before its memory is freed.  A domain of a type in that
 * memory must not stay in asi_domains: asi_domains_show() reads the name of the type.
 */
static int asi_module_event(struct notifier_block *nb, unsigned long event, void *mod)
{
	struct asi *asi;

	if (event != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	/* An init function that has failed may have left this task in a session. */
	guard(asi_suspended)();
	while ((asi = asi_take_from(mod)))
		asi_give_up(asi);

	return NOTIFY_OK;
}

static struct notifier_block asi_module_notifier = { .notifier_call = asi_module_event };

static void __init asi_watch_modules(void)
{
	register_module_notifier(&asi_module_notifier);
}
#else
static void __init asi_watch_modules(void) { }
#endif

/**
 * asi_pg_table - the page table of a domain
 * @asi: the domain
 *
 * For built-in code that calls pg_table_share() and other functions of pg_table, none of
 * which is exported to modules.
 *
 * Return: the page table.  It is valid until asi_set_pg_table(), or until the domain is
 * freed.
 */
struct pg_table *asi_pg_table(struct asi *asi)
{
	return asi->pgt;
}

/**
 * asi_set_pg_table - give a domain another page table
 * @asi: a domain that no task has entered or is about to enter, and whose mappings no
 *	other task changes meanwhile
 * @pgt: from pg_table_create() with asi_pg_table_ops and NULL; on success the domain owns
 *	it, and has its name
 *
 * On success, what the entry code needs is pinned: pg_table_unmap() does not remove it
 * from @pgt.  Copies of large leaves around it are broken down to 4 KiB.  Where kernel
 * text, read-only data and the CPU entry area are, page tables of the kernel replace
 * copies.
 *
 * Context: Process context; sleeps.
 *
 * Return: 0; or with @asi unchanged and @pgt mapping what it did, -EINVAL if an argument
 * is NULL, or @pgt is not as described or has another source than the kernel's page
 * table; -ENOENT if @pgt lacks something that the entry code needs, or has it with other
 * rights than the kernel, and the log says what; -EEXIST if some of that is from
 * pg_table_map(); -EBUSY if the domain has been entered or maps a task; -ENOMEM.
 */
int asi_set_pg_table(struct asi *asi, struct pg_table *pgt)
{
	struct pg_table *old;
	const char *missing;
	unsigned long addr;
	int err;

	guard(asi_suspended)();
	might_sleep();
	if (!asi || !pgt || pgt->ops != &asi_pg_table_ops)
		return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

	/* asi_domains_show() and __asi_exit_thread() use asi->pgt under this mutex. */
	scoped_guard(mutex, &asi_mutex) {
		if (READ_ONCE(pgt->private))
			return asi_refuse(asi, ASI_BAD_ARG, _RET_IP_);

		if (READ_ONCE(asi->entered) || !hlist_empty(&asi->tasks))
			return asi_refuse(asi, ASI_BAD_STATE, _RET_IP_);

		/*
		 * From here on, asi_pinned() lets pg_table_unmap() refuse what
		 * asi_missing() looks for.  A pg_table_unmap() that has asked
		 * asi_pinned() before holds the mutex of @pgt.  asi_map_entry_set() takes
		 * that mutex after it, and then calls asi_missing() again.
		 */
		WRITE_ONCE(pgt->private, asi);
		missing = asi_missing(pgt, &addr);
		if (missing) {
			pr_warn("%s: %s is not mapped at %lx\n", asi->pgt->name, missing, addr);
			err = asi_refuse(asi, ASI_BAD_TABLE, _RET_IP_);
		} else {
			err = asi_map_entry_set(asi, pgt);
		}
		if (err) {
			WRITE_ONCE(pgt->private, NULL);
			return err;
		}

		old = asi->pgt;
		asi_use_pg_table(asi, pgt);
	}

	WRITE_ONCE(old->private, NULL);
	pg_table_free(old);

	return 0;
}

/*
 * Is the loaded mm current->active_mm, which for a kernel thread is the one that it
 * borrows, or init_mm?  A temporary mm is neither.  Lazy TLB mode does not matter,
 * because a domain maps no user memory.  A window that leaves the loaded mm alone, of a
 * batch of writes to protected memory, sets TIF_TEMP_MM.
 */
static __always_inline bool asi_mm_ok(void)
{
	struct mm_struct *mm = raw_cpu_read(cpu_tlbstate.loaded_mm);

	return (mm == current->active_mm || mm == &init_mm) &&
		!(READ_ONCE(current_thread_info()->flags) & _TIF_TEMP_MM);
}

/*
 * The slow path of asi_enter(), on the kernel's page table, with interrupts as the caller
 * has them: find out why asi_is_ready() has returned false, and return the error.  Return
 * 0 if the session now remembers that @asi maps the stack; asi_enter() tries again then.
 */
static noinline __cold int asi_prepare(struct asi *asi, unsigned long caller)
{
	struct asi_session *session = &current->thread.asi;
	unsigned long stack = (unsigned long)task_stack_page(current);
	u64 gen;

	if (!asi)
		return asi_refuse(asi, ASI_BAD_ARG, caller);

	if (!in_task())
		return asi_refuse(asi, ASI_BAD_CONTEXT, caller);

	if (session->asi)
		return asi_refuse(asi, ASI_BAD_STATE, caller);

	if (!asi_mm_ok())
		return asi_refuse(asi, ASI_BAD_CONTEXT, caller);

	gen = pg_table_generation(asi->pgt);
	if (session->ready_id != asi->id || session->ready_gen != gen) {
		if (!asi_maps_range(asi->pgt, stack, stack + THREAD_SIZE))
			return asi_refuse(asi, ASI_BAD_TABLE, caller);

		session->ready_id = asi->id;
		session->ready_gen = gen;
		WRITE_ONCE(asi->entered, true);
	}

	return 0;
}

static __always_inline bool asi_is_ready(struct asi *asi, struct asi_session *session)
{
	if (!asi || session->asi || session->ready_id != asi->id ||
	    session->ready_gen != pg_table_generation(asi->pgt))
		return false;

	if (!in_task())
		return false;

	return asi_mm_ok();
}

/**
 * asi_enter - start a session
 * @asi: the domain; the caller sees to it that it is there until this returns
 *
 * Until asi_exit() this task runs on the page table of @asi; whatever interrupts the task
 * runs on the kernel's.  The task may sleep, be preempted and migrate.  If it accesses
 * what @asi does not map, the fault policy of the type says what happens.
 *
 * Context: Process context.
 *
 * Return: 0; or with nothing changed, -EINVAL if @asi is NULL, -EBUSY if the task has a
 * session, -EPERM in an interrupt, with a temporary mm loaded, or in a window that was
 * lent, as in a batch of writes to protected memory; -ENOENT if @asi does not map the
 * stack of the task, -ECANCELED if @asi is being destroyed.
 */
noinstr int asi_enter(struct asi *asi)
{
	struct asi_session *session = &current->thread.asi;
	unsigned long flags;
	bool restricted;
	int err;

	for (;;) {
		raw_local_irq_save(flags);
		/*
		 * A task that is in a domain is about to get -EBUSY.  Leave that domain
		 * before @asi is read, which it need not map.
		 */
		restricted = asi_restricted() && asi_unload();
		if (likely(!restricted && asi_is_ready(asi, session)))
			break;

		raw_local_irq_restore(flags);
		instrumentation_begin();
		err = asi_prepare(asi, _RET_IP_);
		instrumentation_end();
		__asi_resume(restricted);
		if (err) {
			/*
			 * If @err is 0 and the branch is mispredicted, this must not
			 * return speculatively: the caller would go on as if in the
			 * domain, but on the kernel's page table.
			 */
			barrier_nospec();
			return err;
		}
	}

	raw_atomic_inc(&asi->users);
	session->asi = asi;
	session->err = 0;
	session->denied = false;
	raw_cpu_inc(asi_cpu.count[ASI_COUNT_ENTER]);
	err = asi_write_cr3(asi_make_cr3(asi)) ? 0 : -ECANCELED;
	if (unlikely(err))
		session->asi = NULL;
	raw_local_irq_restore(flags);
	if (unlikely(err))
		asi_put(asi);

	return err;
}
EXPORT_SYMBOL_GPL(asi_enter);

/**
 * asi_exit - end a session
 * @asi: what the session was started with
 *
 * Context: Process context, the task that called asi_enter().
 *
 * Return: 0; -EFAULT after a fault that has ended the session or means SIGKILL,
 * -ECANCELED if asi_destroy() or a change of the mm has ended it; -EBUSY, with nothing
 * changed, if the task has no session of @asi.
 */
noinstr int asi_exit(struct asi *asi)
{
	struct asi_session *session;
	unsigned long flags;
	bool restricted;
	int err;

	raw_local_irq_save(flags);
	/* The domain need not map the task_struct, which contains the session. */
	restricted = asi_unload();
	session = &current->thread.asi;
	if (unlikely(!asi || session->asi != asi || !in_task())) {
		raw_local_irq_restore(flags);
		instrumentation_begin();
		err = asi_refuse(asi, ASI_BAD_STATE, _RET_IP_);
		instrumentation_end();
		__asi_resume(restricted);
		return err;
	}

	err = session->err;
	if (unlikely(session->denied))
		err = -EFAULT;
	session->asi = NULL;
	raw_cpu_inc(asi_cpu.count[ASI_COUNT_EXIT]);
	raw_local_irq_restore(flags);
	asi_put(asi);

	return err;
}
EXPORT_SYMBOL_GPL(asi_exit);

/*
 * Called at the beginning of __schedule().  The domain is left before the task_struct is
 * written to, because the domain may map no more of the task than its stack.
 */
noinstr void __asi_schedule_out(void)
{
	if (__asi_suspend())
		current->thread.asi.scheduled = true;
}

noinstr void __asi_schedule_in(void)
{
	bool restricted = current->thread.asi.scheduled;

	if (unlikely(restricted))
		current->thread.asi.scheduled = false;
	__asi_resume(restricted);
}

/*
 * Leave the domain for good: asi_reenter() does nothing, and asi_exit() returns @err,
 * unless something has ended the session before.  Interrupts are turned off by the raw
 * function: the trace hooks of local_irq_save() would run in the domain, which need not
 * map them.
 */
static void asi_cancel(int err)
{
	unsigned long flags;

	raw_local_irq_save(flags);
	asi_unload();
	if (current->thread.asi.asi && !current->thread.asi.err)
		current->thread.asi.err = err;
	raw_local_irq_restore(flags);
}

void __asi_end_session(void)
{
	struct asi *asi;

	/* The domain need not map the task_struct, which contains the session. */
	asi_cancel(-ECANCELED);
	asi = current->thread.asi.asi;
	current->thread.asi.asi = NULL;
	if (asi)
		asi_put(asi);
}

void __asi_switch_mm(unsigned long caller)
{
	asi_cancel(-ECANCELED);
	pr_warn_once("session of %s[%d] ended by a change of the mm, from %pS\n",
		     current->comm, current->pid, (void *)caller);
}

void __asi_exit_to_user(void)
{
	/* The domain need not map the task_struct, which contains the session. */
	asi_suspend();
	if (likely(!current->thread.asi.asi))
		return;

	/* The caller of asi_enter() has a bug. */
	pr_warn_once("%s[%d] returns to user mode without asi_exit()\n",
		     current->comm, current->pid);
	__asi_end_session();
}

#ifdef CONFIG_DEBUG_FS
static const char * const asi_count_names[] = {
	[ASI_COUNT_INTERRUPT]	= "interrupt",
	[ASI_COUNT_PARANOID]	= "paranoid",
	[ASI_COUNT_ENTER]	= "enter",
	[ASI_COUNT_EXIT]	= "exit",
	[ASI_COUNT_SUSPEND]	= "suspend",
	[ASI_COUNT_RESUME]	= "resume",
	[ASI_COUNT_FAULT]	= "fault",
	[ASI_COUNT_FLUSH]	= "flush",
	[ASI_COUNT_NOFLUSH]	= "noflush",
};

static_assert(ARRAY_SIZE(asi_count_names) == ASI_NR_COUNTS);

static int asi_stats_show(struct seq_file *m, void *unused)
{
	unsigned int i, cpu;

	/* A column for each possible CPU, so that hotplug moves none of them. */
	seq_puts(m, "event");
	for_each_possible_cpu(cpu)
		seq_printf(m, " cpu%u", cpu);
	seq_putc(m, '\n');
	for (i = 0; i < ASI_NR_COUNTS; i++) {
		seq_puts(m, asi_count_names[i]);
		for_each_possible_cpu(cpu)
			seq_printf(m, " %lu", per_cpu(asi_cpu.count[i], cpu));
		seq_putc(m, '\n');
	}
	for (i = 0; i < ASI_NR_REFUSALS; i++)
		seq_printf(m, "refused_%s %ld\n", asi_refusal_word(i), asi_refused(i));

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(asi_stats);

static int asi_domains_show(struct seq_file *m, void *unused)
{
	struct asi *asi;

	mutex_lock(&asi_mutex);
	list_for_each_entry(asi, &asi_domains, node)
		seq_printf(m, "domain %s id %llu type %s class %u fault %s root %lx sessions %d\n",
			   asi->pgt->name, asi->id, asi->type->name, asi->class,
			   asi_policies[asi->fault], asi->root,
			   atomic_read(&asi->users) - 1);
	mutex_unlock(&asi_mutex);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(asi_domains);

static int __init asi_debugfs_init(void)
{
	struct dentry *dir;

	if (!cpu_feature_enabled(X86_FEATURE_ASI))
		return 0;

	dir = debugfs_create_dir("asi", NULL);
	debugfs_create_file("domains", 0400, dir, NULL, &asi_domains_fops);
	debugfs_create_file("stats", 0400, dir, NULL, &asi_stats_fops);
	asi_fault_debugfs(dir);

	return 0;
}
late_initcall(asi_debugfs_init);
#endif

static bool asi_on __initdata;

static int __init asi_parse(char *arg)
{
	return arg ? kstrtobool(arg, &asi_on) : -EINVAL;
}
early_param("asi", asi_parse);

/*
 * Called by init_mem_mapping() before it builds the direct map: with ASI on, no mapping
 * of the kernel may be global, because the write of CR3 that enters a domain does not
 * flush global translations.
 */
void __init asi_check_boottime(void)
{
	if (!asi_on)
		return;

	if (cpu_mitigations_off() || hypervisor_is_type(X86_HYPER_XEN_PV)) {
		pr_info("off, by mitigations=off or under Xen PV\n");
		return;
	}

	setup_force_cpu_cap(X86_FEATURE_ASI);
	/* The entry code of FRED does not know of domains. */
	setup_clear_cpu_cap(X86_FEATURE_FRED);
}

static int __init asi_init(void)
{
	unsigned long start = PFN_ALIGN(_text);
	unsigned long end = ALIGN((unsigned long)_end, PMD_SIZE);

	if (!cpu_feature_enabled(X86_FEATURE_ASI))
		return 0;

	/*
	 * The page tables from head_64.S map the kernel image with global entries.  With
	 * PTI, pti_init() has cleared the global bits already.
	 */
	if (!cpu_feature_enabled(X86_FEATURE_PTI) &&
	    set_memory_nonglobal(start, (end - start) >> PAGE_SHIFT)) {
		pr_err("off, since the kernel image stays global\n");
		return -ENOMEM;
	}

	asi_watch_modules();
	asi_usable = true;
	pr_info("on, %s PCID, for at most %u types of domains, %zu KiB for each CPU\n",
		boot_cpu_has(X86_FEATURE_PCID) ? "with" : "without", CR3_NR_CLASSES - 1,
		DIV_ROUND_UP(sizeof(struct asi_cpu) + asi_log_size, SZ_1K));

	return 0;
}
early_initcall(asi_init);
