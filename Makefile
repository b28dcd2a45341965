# SPDX-License-Identifier: BSD-2-Clause
# The front door. meson and ninja do the work; each target installs what it needs first (tools/packages.txt).
BUILD   ?= build
MACHINE ?= model:
PREFIX  ?= /usr/local
MESON   ?= meson
export MACHINE

.PHONY: all run test test-quick test-asan lint format fuzz mutants bench bench-guest bench-serve bench-wakeup kills install docs clean help

# A prefix that is asked for holds for a build directory that is there already, too.
all: $(BUILD)/build.ninja ## what is installed, and nothing else
ifneq ($(filter command environment,$(firstword $(origin PREFIX))),)
	@grep -qF '"name": "prefix", "value": "$(PREFIX)"' $(BUILD)/meson-info/intro-buildoptions.json || \
		$(MESON) configure $(BUILD) -Dprefix=$(PREFIX)
endif
	@ninja -C $(BUILD) product

$(BUILD)/build.ninja:
	@tools/install-packages build
	@$(MESON) setup $(BUILD) --prefix $(PREFIX) -Dfio_headers="$$(tools/fio-headers build-fio 2>/dev/null)" >$(BUILD).log 2>&1 || { cat $(BUILD).log >&2; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

run: ## the main job: a driver brings up a disk, and serves it to strangers (on QEMU: MACHINE=qemu:q35)
	@tools/install-packages build run
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) tools/run

test: ## all checks: lint, gcc, clang, ASan and UBSan, arm64 and riscv64 under qemu-user, systems on QEMU
	@tools/install-packages build run test bench
	@tools/test

test-quick: all ## unit tests only, one build
	@$(MESON) test -C $(BUILD) --suite unit --print-errorlogs

test-asan: ## unit tests and systems under ASan and UBSan; of these `make test` has the unit tests
	@tools/install-packages build run test
	@tools/test asan

lint: ## format, include direction, banned calls, headers that compile alone, lengths
	@tools/lint/all

format: ## let clang-format have its way
	@git ls-files '*.c' '*.h' | xargs clang-format -i

fuzz: ## devices and drivers that lie, made by libFuzzer, for FUZZ_TIME seconds each (60)
	@tools/install-packages build test
	@tools/fuzz

mutants: all ## bugs put into the real driver, and how soon the simulation finds each (MUTANTS=, JOBS=, STARTS=)
	@BUILD=$(BUILD) tests/mutants/run --twin 2000 $(if $(JOBS),--jobs $(JOBS)) $(if $(STARTS),--starts $(STARTS)) $(MUTANTS)

bench: ## instructions per request, and IOPS beside what you would otherwise use
	@tools/install-packages build run test bench
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) bench/run

bench-guest: ## our driver over VFIO beside the kernel's, in a Linux guest; SECONDS_EACH (5), ROUNDS (3)
	@tools/install-packages build run test bench
	@$(MAKE) --no-print-directory all
	@[ -e $(BUILD)/src/serve/fio/outboard-fio.so ] || \
		{ $(MESON) configure $(BUILD) -Dfio_headers="$$(tools/fio-headers build-fio)" && ninja -C $(BUILD) product; }
	@BUILD=$(BUILD) bench/guest

bench-serve: ## a guest's disk on our vhost-user server, beside QEMU's own; SECONDS_EACH (5), ROUNDS (3), MODE (hybrid)
	@tools/install-packages build run test bench
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) bench/serve

bench-wakeup: ## what noticing a completion costs, polled, by interrupt, by both; PLOT=FILE.svg, GUEST=1 over VFIO
	@tools/install-packages build run test bench
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) bench/wakeup $(if $(GUEST),--guest) $(if $(PLOT),--plot $(PLOT))

kills: all ## the vhost-user server killed under a verified load, KILLS times (100): qemu-storage-daemon, ours; SEED
	@tools/install-packages build run test
	@ninja -C $(BUILD) tests/vhost/test-vhost-kill >$(BUILD)/kills.log || { cat $(BUILD)/kills.log >&2; exit 1; }
	@for options in qsd $(BUILD)/src/cli/outboard $(BUILD)/src/cli/outboard?without=34; do \
		$(BUILD)/tests/vhost/test-vhost-kill $${options%\?*} $(or $(KILLS),100) $(or $(SEED),1) \
			$$(expr "$$options" : '[^?]*\(?.*\)') || exit 1; done

install: all ## library, headers, command, plugin, man pages (PREFIX, DESTDIR)
	@$(MESON) install -C $(BUILD) --no-rebuild

docs: ## check the man pages, and print where things are written
	@tools/install-packages test
	@tools/docs

clean: ## remove the build directories
	@rm -rf build build-asan build-clang build-arm64 build-riscv64 build-fuzz

help: ## this list
	@echo "make TARGET [MACHINE=uri] [BUILD=dir] [PREFIX=dir]"
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'
