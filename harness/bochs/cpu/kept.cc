// SPDX-License-Identifier: LGPL-2.0-or-later
/*
 * See kept.h. Part of paging.cc, for what that has to itself.
 *
 * The environment says what is done:
 *   BOCHS_TLB=keep     translations are kept
 *   BOCHS_TLB=report   also, each use of one that the tables in memory would not give now is written to the log:
 *                      of kernel addresses, once for each instruction and page
 *   BOCHS_TLB_SIZE=N   of each size of page N are kept for each PCID, and an arbitrary one goes for the next
 */
#include <set>
#include <utility>

static const char *kept_mode()
{
  const char *mode = getenv("BOCHS_TLB");

  return mode ? mode : "";
}

static const bool kept_report = ! strcmp(kept_mode(), "report");
static const bool kept_keeps = kept_report || ! strcmp(kept_mode(), "keep");
static const size_t kept_size = getenv("BOCHS_TLB_SIZE") ? strtoul(getenv("BOCHS_TLB_SIZE"), NULL, 0) : 0;

Bit8u *bx_kept_frames = kept_report ? new Bit8u[1 << 20]() : NULL;
unsigned bx_kept_processor;

// Who has last written to an entry of a page table.
struct kept_writer_t {
  Bit64u rip;
  unsigned processor;
};
static std::unordered_map<Bit64u, kept_writer_t> kept_writers;

// ---- what is kept of one PCID ----

static Bit64u kept_number(bx_address laddr, unsigned level)
{
  return laddr >> (12 + 9 * level);
}

bx_kept_page_t *bx_kept_context_t::find(bx_address laddr)
{
  for (unsigned level = 0; level < 3; level++) {
    std::unordered_map<Bit64u, bx_kept_page_t>::iterator found = pages[level].find(kept_number(laddr, level));
    if (found != pages[level].end())
      return &found->second;
  }
  return NULL;
}

void bx_kept_context_t::drop_page(bx_address laddr)
{
  for (unsigned level = 0; level < 3; level++)
    pages[level].erase(kept_number(laddr, level));
}

void bx_kept_context_t::drop_tables(bx_address laddr)
{
  for (unsigned level = 1; level < 5; level++)
    tables[level].erase(kept_number(laddr, level));
}

void bx_kept_context_t::drop_tables()
{
  for (unsigned level = 1; level < 5; level++)
    tables[level].clear();
}

void bx_kept_context_t::drop()
{
  for (unsigned level = 0; level < 3; level++)
    pages[level].clear();
  drop_tables();
}

// ---- what is kept by one processor ----

bx_kept_t::bx_kept_t() : pcid(0), noflush(false)
{
}

bx_kept_page_t *bx_kept_t::find(bx_address laddr)
{
  bx_kept_page_t *page = contexts[pcid].find(laddr);

  return page ? page : globals.find(laddr);
}

void bx_kept_t::keep(bx_address laddr, const bx_kept_page_t &page, bool global)
{
  bx_kept_context_t &context = global ? globals : contexts[pcid];
  unsigned level = page.lpf_mask == 0xfff ? 0 : page.lpf_mask < 0x3fffffff ? 1 : 2;

  // The same address is not kept twice: a walk that finds another page, or another size, takes the place of all.
  contexts[pcid].drop_page(laddr);
  globals.drop_page(laddr);
  if (kept_size && context.pages[level].size() >= kept_size)
    context.pages[level].erase(context.pages[level].begin());
  context.pages[level][kept_number(laddr, level)] = page;
}

bool bx_kept_t::table(bx_address laddr, unsigned level, Bit64u *entry)
{
  if (! level)
    return false;
  std::unordered_map<Bit64u, Bit64u> &tables = contexts[pcid].tables[level];
  std::unordered_map<Bit64u, Bit64u>::iterator found = tables.find(kept_number(laddr, level));
  if (found == tables.end())
    return false;
  *entry = found->second;
  return true;
}

void bx_kept_t::keep_table(bx_address laddr, unsigned level, Bit64u entry)
{
  // The walk that sees an entry first sets its accessed bit; none that uses what is kept writes to it.
  contexts[pcid].tables[level][kept_number(laddr, level)] = entry | 0x20;
}

// "INVLPG ... invalidates any TLB entries that are for a page number corresponding to the linear address, ... associated
// with the current PCID ... any global TLB entries with that page number, regardless of PCID ... all entries in all
// paging-structure caches associated with the current PCID, regardless of the linear addresses."
void bx_kept_t::invlpg(bx_address laddr)
{
  bx_kept_context_t &context = contexts[pcid];

  context.drop_page(laddr);
  context.drop_tables();
  globals.drop_page(laddr);
}

// What INVPCID can be told, as vmx.cc has it.
enum { KEPT_ADDRESS, KEPT_CONTEXT, KEPT_ALL, KEPT_ALL_BUT_GLOBAL };

// "INVPCID ... Individual-address ... Single-context ... All-context, including globals ... All-context"
void bx_kept_t::invpcid(unsigned type, Bit32u which, bx_address laddr)
{
  switch (type) {
  case KEPT_ADDRESS:
    contexts[which].drop_page(laddr);
    contexts[which].drop_tables();
    break;
  case KEPT_CONTEXT:
    contexts[which].drop();
    break;
  case KEPT_ALL:
    globals.drop();
    // fall through
  case KEPT_ALL_BUT_GLOBAL:
    contexts.clear();
    break;
  }
}

// "MOV to CR0 ... all TLB entries (including global entries) and all entries in all paging-structure caches (for all
// PCIDs) if it changes the value of CR0.PG from 1 to 0."
void bx_kept_t::cr0_pg()
{
  contexts.clear();
  globals.drop();
}

// "MOV to CR3 ... If CR4.PCIDE = 0, ... associated with PCID 000H except those for global pages ... bit 63 of the
// instruction's source operand is 0, ... associated with the PCID specified in bits 11:0 ... is 1, the instruction is
// not required to invalidate any TLB entries or entries in paging-structure caches."
void bx_kept_t::cr3(Bit32u which)
{
  pcid = which;
  if (! noflush)
    contexts[pcid].drop();
  noflush = false;
}

// "MOV to CR4 ... changes the value of CR4.PGE ... CR4.PCIDE from 1 to 0: all ... for all PCIDs; ... CR4.PAE ... CR4.SMEP
// from 0 to 1: ... for the current PCID."
void bx_kept_t::cr4(Bit32u before, Bit32u after)
{
  Bit32u changed = before ^ after;

  if ((changed & BX_CR4_PGE_MASK) || (before & ~after & BX_CR4_PCIDE_MASK)) {
    contexts.clear();
    globals.drop();
  } else if ((changed & BX_CR4_PAE_MASK) || (after & ~before & BX_CR4_SMEP_MASK)) {
    contexts[pcid].drop();
  }
}

// "... a page fault ... invalidates any TLB entries for the page number of the linear address that caused it, that are
// associated with the current PCID, ... any entries in paging-structure caches that would be used for that address"
void bx_kept_t::fault(bx_address laddr)
{
  contexts[pcid].drop_page(laddr);
  contexts[pcid].drop_tables(laddr);
  globals.drop_page(laddr);
}

// Of what comes with another context than that of an ordinary kernel nothing is known here.
void bx_kept_t::reset()
{
  contexts.clear();
  globals.drop();
}

// ---- reports ----

// An entry of a page table is written to, if it is one: what it maps is looked up anew from now on, or could not be
// reported. It is still kept.
void bx_kept_written(bx_phy_address addr)
{
  kept_writer_t writer = { BX_CPU(bx_kept_processor)->get_instruction_pointer(), bx_kept_processor };

  kept_writers[addr & ~BX_CONST64(7)] = writer;
  for (unsigned n = 0; n < BX_SMP_PROCESSORS; n++)
    BX_CPU(n)->TLB_flush();
}

// What a walk would find now, without a trace of it in the tables. False: not present. @last: where the last entry is.
bool BX_CPU_C::kept_walk(bx_address laddr, bx_kept_page_t *page, bx_phy_address *last)
{
  bx_phy_address table = BX_CPU_THIS_PTR cr3 & BX_CR3_PAGING_MASK;
  int level = BX_CPU_THIS_PTR cr4.get_LA57() ? BX_LEVEL_PML5 : BX_LEVEL_PML4;

  page->upper = BX_COMBINED_ACCESS_WRITE | BX_COMBINED_ACCESS_USER;
  page->nx = false;
  page->lpf_mask = 0xfff;
  for (;; level--) {
    *last = table + ((laddr >> (9 + 9 * level)) & 0xff8);
    BX_MEM(0)->readPhysicalPage(BX_CPU_THIS, *last, 8, &page->leaf);
    if (! (page->leaf & 1))
      return false;
    page->nx |= (page->leaf & PAGE_DIRECTORY_NX_BIT) != 0;
    if (! level || (page->leaf & 0x80))
      break;
    page->upper &= page->leaf;
    table = page->leaf & BX_CONST64(0x000ffffffffff000);
  }
  if (level)
    page->lpf_mask = (1 << (12 + 9 * level)) - 1;
  return true;
}

bx_phy_address BX_CPU_C::kept_address(const bx_kept_page_t *page, bx_address laddr)
{
  return (page->leaf & BX_CONST64(0x000ffffffffff000) & ~(bx_phy_address) page->lpf_mask) | (laddr & page->lpf_mask & ~0xfff);
}

bool BX_CPU_C::kept_allows(const bx_kept_page_t *page, unsigned user, unsigned rw)
{
  Bit32u access = page->upper & page->leaf;

  if (rw == BX_EXECUTE && page->nx)
    return false;
  if (user && ! IS_USER_PAGE(access))
    return false;
  return ! (rw & 1) || IS_WRITEABLE_PAGE(access) || (! user && ! BX_CPU_THIS_PTR cr0.get_WP());
}

static std::set<std::pair<Bit64u, Bit64u> > kept_reported;

void BX_CPU_C::kept_compare(bx_address laddr, const bx_kept_page_t *page, unsigned user, unsigned rw)
{
  bx_kept_page_t now;
  bx_phy_address last;

  if (! (laddr >> 63))
    return;
  bool there = kept_walk(laddr, &now, &last);
  if (there && kept_address(&now, laddr) == kept_address(page, laddr) && kept_allows(&now, user, rw))
    return;
  if (! kept_reported.insert(std::make_pair(BX_CPU_THIS_PTR prev_rip, LPFOf(laddr))).second)
    return;
  std::unordered_map<Bit64u, kept_writer_t>::iterator writer = kept_writers.find(last);
  BX_INFO(("STALE %s %012lx of pcid %03x at %016lx: was %016lx %c%c, since %016lx, is %016lx %c%c, written by %016lx of CPU %d",
           rw == BX_EXECUTE ? "execute" : rw & 1 ? "write" : "read", (unsigned long) laddr, BX_CPU_THIS_PTR kept.pcid,
           (unsigned long) BX_CPU_THIS_PTR prev_rip, (unsigned long) kept_address(page, laddr),
           IS_WRITEABLE_PAGE(page->upper & page->leaf) ? 'w' : '-', page->nx ? '-' : 'x', (unsigned long) page->rip,
           there ? (unsigned long) kept_address(&now, laddr) : 0UL, there && IS_WRITEABLE_PAGE(now.upper & now.leaf) ? 'w' : '-',
           there && ! now.nx ? 'x' : '-', writer == kept_writers.end() ? 0UL : (unsigned long) writer->second.rip,
           writer == kept_writers.end() ? -1 : (int) writer->second.processor));
}

// ---- the walk, and what comes before it ----

// An entry that leads to another table, if one is kept; else it is for the walk to read, and @addr is in a page table.
bool BX_CPU_C::kept_entry(bx_address laddr, unsigned level, bx_phy_address addr, Bit64u *entry)
{
  if (! keeps_translations())
    return false;
  if (bx_kept_frames)
    bx_kept_frames[(Bit32u) addr >> 12] = 1;
  return BX_CPU_THIS_PTR kept.table(laddr, level, entry);
}

// Whether anything is kept of what this processor does, and if, of which PCID.
bool BX_CPU_C::keeps_translations()
{
  BX_CPU_THIS_PTR kept.pcid = BX_CPU_THIS_PTR cr4.get_PCIDE() ? BX_CPU_THIS_PTR cr3 & 0xfff : 0;
  return kept_keeps && ! BX_CPU_THIS_PTR in_vmx_guest && ! BX_CPU_THIS_PTR in_svm_guest && ! BX_CPU_THIS_PTR in_smm;
}

// A walk has ended well.
void BX_CPU_C::keep_translation(bx_address laddr, Bit64u leaf, Bit32u upper, Bit32u lpf_mask, bool nx)
{
  if (! keeps_translations())
    return;
  bx_kept_page_t page = { leaf, BX_CPU_THIS_PTR prev_rip, upper, lpf_mask, nx };
  BX_CPU_THIS_PTR kept.keep(laddr, page, (leaf & BX_COMBINED_ACCESS_GLOBAL_PAGE) && BX_CPU_THIS_PTR cr4.get_PGE());
}

bx_phy_address BX_CPU_C::translate_linear_kept(bx_address laddr, Bit32u &lpf_mask, Bit32u &pkey, unsigned user, unsigned rw)
{
  bx_kept_page_t *page = keeps_translations() ? BX_CPU_THIS_PTR kept.find(laddr) : NULL;
  bx_phy_address result;

  // To set the dirty bit the entry has to be read again: by a walk, which finds what there is now.
  if (page && (rw & 1) && ! (page->leaf & 0x40) && IS_WRITEABLE_PAGE(page->upper & page->leaf))
    page = NULL;
  if (! page) {
    result = translate_linear_long_mode(laddr, lpf_mask, pkey, user, rw);
    if (kept_report && keeps_translations())
      kept_compare(laddr, BX_CPU_THIS_PTR kept.find(laddr), user, rw);
    return result;
  }

  bx_kept_page_t copy = *page;          // a fault drops the page
  lpf_mask = copy.lpf_mask;
#if BX_SUPPORT_PKEYS
  pkey = handle_pkeys(laddr, copy.leaf, user, rw);
#endif
  Bit32u combined_access = check_leaf_entry_faults(laddr, copy.leaf, copy.upper, user, rw, copy.nx);
  if (kept_report)
    kept_compare(laddr, &copy, user, rw);
  if (BX_CPU_THIS_PTR cr4.get_PGE())
    combined_access |= copy.leaf & BX_COMBINED_ACCESS_GLOBAL_PAGE;
  combined_access |= (Bit32u) copy.nx;
#if BX_SUPPORT_MEMTYPE
  combined_access = combine_memtype(combined_access, memtype_by_pat(calculate_pat((Bit32u) copy.leaf, lpf_mask)));
#endif
  result = copy.leaf & BX_CONST64(0x000ffffffffff000) & ~(bx_phy_address) lpf_mask;
  return result | combined_access;
}
