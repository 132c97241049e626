# SPDX-License-Identifier: GPL-3.0-or-later
# The menu: `make` prints it. What needs more than five lines is a script in scripts/.

PREFIX ?= /usr/local
sysconfdir ?= /etc
unitdir ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
export PREFIX sysconfdir unitdir DESTDIR

MASQD := .build/release/masqd

.PHONY: menu deps test-deps build demo test golden format check layers bench storms fuzz soak sanitize bare-test unit-test vm-test deb install uninstall clean

menu:  ## this list
	@echo "masqd, the gateway daemon. make ..."
	@sed -nE 's/^([a-z-]+):[^#]*## +(.*)/    \1\t\2/p' Makefile | expand -t 16

deps:  ## install the Debian packages that building and testing need, if any is missing
	@scripts/install-deps.sh build run

test-deps:
	@scripts/install-deps.sh build run test

# What starts fast is small: the runtimes of Swift and C++ are in the program (a quarter of the time to start). The linker
# takes libstdc++.a where it finds no libstdc++.so before it. No library is looked for beside the program, and every
# one is bound before main: the table of their addresses is read-only then.
ARCHIVES := .build/archives
LINKING := --static-swift-stdlib -Xlinker -L$(CURDIR)/$(ARCHIVES) -Xswiftc -Xclang-linker -Xswiftc -static-libgcc \
    --disable-local-rpath -Xlinker -z -Xlinker now

build: deps  ## the daemon, optimised, as .build/release/masqd
	@mkdir -p $(ARCHIVES)
	@ln -sf "$$($$(dirname "$$(readlink -f "$$(command -v swift)")")/clang -print-file-name=libstdc++.a)" $(ARCHIVES)/
	swift build -c release --product masqd $(LINKING)

demo: build  ## see it work: a LAN, a gateway and an outside, in namespaces of their own
	scripts/demo.sh $(MASQD)

test: test-deps  ## all tests, as root or not; the machine's own network is never touched
	scripts/test.sh

golden: test-deps  ## write the expected files of the golden cases again; review the diff
	MASQD_REGENERATE_GOLDEN=1 scripts/test.sh --filter Golden

format:  ## format the sources in place
	swift format --in-place --parallel --recursive Package.swift Sources Tests

check:  ## format, layers, golden rulesets, the unit, manuals, shell scripts: seconds, nothing is built
	@scripts/check.sh

layers:  ## who imports whom
	scripts/check-layers.sh

bench: build  ## beside nft, iptables, firewalld and a C program, in five minutes; QUICK=1 for half a one
	@scripts/install-deps.sh bench
	@scripts/bench.sh $(MASQD)

storms: build  ## what masqd costs while others never stop changing routes and links (root, some minutes)
	@scripts/install-deps.sh bench
	Benchmarks/storms.py $(MASQD)

fuzz: deps  ## libFuzzer on what reads configuration files and netlink messages, FUZZ_SECONDS=60 each
	scripts/fuzz.sh

soak: test-deps  ## 1 000 random edits, flaps and reloads under traffic: STEPS, SEED; minutes
	MASQD_SOAK_STEPS=$(or $(STEPS),1000) MASQD_SOAK_SEED=$(or $(SEED),$(shell date +%s)) scripts/test.sh --filter SoakTests

sanitize: test-deps  ## the tests under AddressSanitizer and ThreadSanitizer
	scripts/sanitize.sh

bare-test:  ## demo and tests on a bare Debian: SUITE=bookworm or trixie, WHO=root or user (root, a quarter of an hour)
	@scripts/bare-test.sh $(or $(SUITE),bookworm) $(or $(WHO),root)

unit-test: deb  ## package and unit under real systemd, Debian 12's and 13's, in containers (root)
	scripts/unit-test.sh .build/masqd_*.deb

vm-test: deb  ## the package on Debian 12 and 13 in virtual machines, with a real pppd and PPPoE server (root, minutes)
	scripts/vm-test.sh .build/masqd_*.deb

deb: build  ## the Debian package, as .build/masqd_VERSION_ARCHITECTURE.deb
	rm -f .build/masqd_*.deb
	scripts/deb.sh $(MASQD) .build

install:  ## daemon, unit, configuration (never overwritten), man pages: PREFIX, sysconfdir, unitdir, DESTDIR
	@scripts/install.sh $(MASQD)

uninstall:  ## stop it and remove all of that but the configuration
	@scripts/uninstall.sh

clean:  ## remove what was built
	rm -rf .build .build-*
