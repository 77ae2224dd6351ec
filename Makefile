# SPDX-License-Identifier: GPL-2.0
# The one entry point. Each target is a command of harness/, which prints what it does and where its logs are.

COMMANDS := run shell debug test check bench mutants soak tlb prefixes expected series tree export refresh clean
ONLY ?=
PARTS ?=
V ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help python $(COMMANDS)

help:
	@echo 'make run      build the patched kernel, boot it in QEMU and show what it protects'
	@echo 'make shell    a prompt in the patched kernel'
	@echo 'make debug    the same with source lines, waiting for gdb'
	@echo 'make test     everything: lint, builds, boots, mutants; ONLY=SCENARIO runs one scenario'
	@echo 'make check    the part of make test that builds no kernel: a minute or some'
	@echo 'make bench    count instructions, CR3 writes, flushes and IPIs, base and patched'
	@echo 'make mutants  break the kernel on purpose, one defect at a time; each must turn a test red'
	@echo 'make soak     the long form of the random tests and of the load: an hour'
	@echo 'make tlb      on an emulator whose TLB remembers: each use of a stale translation is reported'
	@echo 'make expected list anew which cases run and which are skipped where, from the logs of the last boots'
	@echo 'make prefixes boot the kernel of each prefix of the series, and each part alone; ONLY=PATCH or PART boots one'
	@echo 'make series   the patches, as files and as mboxes for git am, in out/series; PARTS="temp_mm asi" only these parts'
	@echo 'make tree     a git branch with one commit a patch in build/tree, to work on existing kernel files'
	@echo 'make export   write the branch in build/tree back into this repository'
	@echo 'make refresh  rewrite the stored diffs in their canonical form after editing them by hand'
	@echo 'make clean    remove build/ and out/ (the cache in ~/.cache stays)'
	@echo 'V=1 shows more. Missing Debian packages are installed when you are root, else named.'

# The harness gives what it starts an environment of its own, so that nothing of this make's reaches the kernel's,
# and ends what it has started when it ends, as it does when this make is killed.
$(COMMANDS): | python
	@exec setpriv --pdeathsig TERM env V='$(V)' ONLY='$(ONLY)' PARTS='$(PARTS)' python3 -m harness $@ $(ONLY)

python:
	@command -v python3 >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then \
			echo 'installing missing Debian packages: python3'; \
			apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3; \
		else \
			echo 'python3 is missing; install it with:'; \
			echo '  sudo apt-get install -y --no-install-recommends python3'; \
			exit 1; \
		fi; }
