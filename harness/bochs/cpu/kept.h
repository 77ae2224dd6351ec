// SPDX-License-Identifier: LGPL-2.0-or-later
/*
 * Translations that stay: what a processor may go on using after the tables in memory have changed, it does go on
 * using, until it meets an instruction or an event by which it has to forget. "SDM" is the Intel manual, volume 3A.
 *
 * DTLB and ITLB, which know nothing of PCIDs, are asked first, and emptied when they always were. What misses there
 * is looked up here before any table is walked.
 *
 * Of a processor that runs a guest or is in system management mode nothing is kept.
 */
#ifndef BX_KEPT_H
#define BX_KEPT_H

#include <unordered_map>

// One translation, as a walk has found it.
struct bx_kept_page_t {
  Bit64u leaf;          // the entry that maps the page
  Bit64u rip;           // which instruction the walk was for
  Bit32u upper;         // R/W and U/S, of all entries above
  Bit32u lpf_mask;      // the size of the page less 1
  bool nx;
};

// What belongs to one PCID; another one has what is global.
struct bx_kept_context_t {
  std::unordered_map<Bit64u, bx_kept_page_t> pages[3];  // of 4 KiB, 2 MiB, 1 GiB, by page number
  std::unordered_map<Bit64u, Bit64u> tables[5];         // by level: entries that lead to a table

  bx_kept_page_t *find(bx_address laddr);
  void drop_page(bx_address laddr);
  void drop_tables(bx_address laddr);
  void drop_tables();
  void drop();
};

class bx_kept_t {
  std::unordered_map<Bit32u, bx_kept_context_t> contexts;
  bx_kept_context_t globals;

public:
  Bit32u pcid;                  // of the context that is in use
  bool noflush;                 // bit 63 of what is being written to CR3

  bx_kept_t();

  bx_kept_page_t *find(bx_address laddr);
  void keep(bx_address laddr, const bx_kept_page_t &page, bool global);
  bool table(bx_address laddr, unsigned level, Bit64u *entry);
  void keep_table(bx_address laddr, unsigned level, Bit64u entry);

  // SDM 4.10.4.1, Operations that Invalidate TLBs and Paging-Structure Caches, one function an item.
  void invlpg(bx_address laddr);
  void invpcid(unsigned type, Bit32u pcid, bx_address laddr);
  void cr0_pg();
  void cr3(Bit32u pcid);
  void cr4(Bit32u before, Bit32u after);
  void fault(bx_address laddr);
  void reset();
};

// Where page tables are, by number of page: who writes there changes what a walk would find. For reports only.
extern Bit8u *bx_kept_frames;
// The processor whose turn it is.
extern unsigned bx_kept_processor;

void bx_kept_written(bx_phy_address addr);

#endif
