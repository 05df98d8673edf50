# make run    build everything into bin/ and run it in the foreground
# make test   all tests; what they need beyond cargo is installed first
.PHONY: build run test test-vm lint soak upgrades bench bench-isolation bench-logs bench-services screenshots send-test-event install uninstall clean

# Static and not position-independent: the smallest private memory per process (docs/architecture.md). The explicit
# --target keeps these flags away from build scripts and macros.
HOST   := $(shell rustc -vV | sed -n 's/^host: //p')
STATIC := -C target-feature=+crt-static -C relocation-model=static
BINARIES := dogwatch webhook dashboard-api websocket events send-test-event
PREFIX ?= /usr/local
DESTDIR ?=

build:
	RUSTFLAGS='$(STATIC)' cargo build --release --workspace --bins --target $(HOST)
	@mkdir -p bin
	@for name in $(BINARIES); do install -m 755 target/$(HOST)/release/$$name bin/$$name.new && mv bin/$$name.new bin/$$name; done
	@ln -sf dogwatch bin/pm2

run: build .env
	@echo
	@echo 'webhook     http://127.0.0.1:3000/health'
	@echo 'dashboard   http://127.0.0.1:3002/dashboard'
	@echo 'API         http://127.0.0.1:3002/api/webhook/health'
	@echo 'WebSocket   ws://127.0.0.1:3001/'
	@echo 'try         make send-test-event      (in another terminal; Ctrl-C here stops all)'
	@echo
	@exec bin/dogwatch --home .dogwatch up

# Tokens for this machine only, made once, readable by you only, ignored by git.
.env:
	@umask 077; tests/make-dev-env > .env.new && mv .env.new .env && echo 'made .env with new development tokens'

send-test-event: build .env
	@set -a; . ./.env; set +a; exec bin/send-test-event

test:
	tests/install-needs
	cargo test --workspace

# In an emulated machine, as root on Debian: memory limits that the kernel enforces, then the boots of the
# systemd test with the binary as shipped. docs/vm-result.md says what came of it.
UNRULY = target/$(HOST)/release/examples/unruly
IN_VM  = tests/vm/lib.sh bin/dogwatch $(UNRULY) $(wildcard packaging/systemd/*)
test-vm: build
	RUSTFLAGS='$(STATIC)' cargo build --release --example unruly --target $(HOST)
	tests/vm/vm-boot target/vm/limits tests/vm/limits/run.sh $(IN_VM)
	tests/vm/vm-boot target/vm/boots tests/vm/run.sh $(IN_VM)
	tests/vm/vm-boot target/vm/power tests/vm/power/run.sh $(IN_VM)

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# The chaos test for long: 300 kills per variant, of the release build; 400 of keepers in a flood that is rotated, 60,000 lines
# over ten rotations, and a line of a gibibyte; 50 rotations and 20 deaths while a log is followed; 100,000 crashes.
soak: build
	cargo build --examples
	DOGWATCH=$(CURDIR)/bin/dogwatch DOGWATCH_CHAOS_KILLS=300 cargo test --test it chaos -- --nocapture --test-threads=1
	DOGWATCH=$(CURDIR)/bin/dogwatch DOGWATCH_KEEPER_KILLS=400 DOGWATCH_INTEGRITY_LINES=60000 DOGWATCH_LONG_LINE=1073741824 \
	  cargo test --test it -- --nocapture --test-threads=1 \
	  log_keeping::keepers_are_killed log_keeping::sixty_thousand log_keeping::a_line_of_any_length
	DOGWATCH=$(CURDIR)/bin/dogwatch DOGWATCH_LOGS_ROTATIONS=50 DOGWATCH_LOGS_KILLS=20 \
	  cargo test --test it -- --nocapture --test-threads=1 logs::following
	DOGWATCH=$(CURDIR)/bin/dogwatch DOGWATCH_DRESSED_KILLS=400 \
	  cargo test --test it -- --nocapture --test-threads=1 dressed_logs::keepers_die_in_a_flood
	DOGWATCH=$(CURDIR)/bin/dogwatch DOGWATCH_LINE_MIB=1024 DOGWATCH_CRASHES=100000 cargo test --test it endurance -- --nocapture --test-threads=1

# Upgrades under load, ten of them.
upgrades: build
	cargo build --examples
	DOGWATCH=$(CURDIR)/bin/dogwatch DOGWATCH_UPGRADES=10 cargo test --test it upgrade::under -- --nocapture

# The README's pictures of the dashboard, of made-up events, with the fonts of this machine.
screenshots:
	tests/install-needs
	cargo build --workspace --bins
	SCREENSHOTS=$(CURDIR)/docs cargo test -p dashboard-api --test browser it_looks_right

bench: build
	DOGWATCH=$(CURDIR)/bin/dogwatch cargo bench --profile dev

# The webhook as shipped, at 200 requests a second, alone and beside each neighbour that misbehaves: as root.
bench-isolation: build
	benches/isolation.sh

# What a log costs beside cat, svlogd and s6-log (Debian: runit, s6).
bench-logs: build
	benches/log_throughput.py

# The services as shipped: posts, answers, pushes, memory, repair (services/bench).
bench-services: build
	cargo run --release -p service-bench -- --bin bin

install: build
	install -D -m 755 bin/dogwatch $(DESTDIR)$(PREFIX)/bin/dogwatch
	ln -sf dogwatch $(DESTDIR)$(PREFIX)/bin/pm2-dogwatch
	install -d $(DESTDIR)/etc/systemd/system $(DESTDIR)/etc/tmpfiles.d $(DESTDIR)/etc/dogwatch
	for unit in dogwatch.service dogwatch-stop.service; do \
	  sed 's|/usr/bin/dogwatch|$(PREFIX)/bin/dogwatch|' packaging/systemd/$$unit > $(DESTDIR)/etc/systemd/system/$$unit; done
	install -m 644 packaging/systemd/dogwatch.tmpfiles $(DESTDIR)/etc/tmpfiles.d/dogwatch.conf
	@echo 'next: write /etc/dogwatch/ecosystem.toml, then'
	@echo '  systemd-tmpfiles --create && systemctl daemon-reload && systemctl enable --now dogwatch'

# Stops all services, then removes the program; logs, state and ecosystem.toml stay.
uninstall:
	-$(DESTDIR)$(PREFIX)/bin/dogwatch down
	-[ -n "$(DESTDIR)" ] || systemctl disable --now dogwatch.service
	-[ -n "$(DESTDIR)" ] || systemctl stop dogwatch-stop.service
	rm -f $(DESTDIR)$(PREFIX)/bin/dogwatch $(DESTDIR)$(PREFIX)/bin/pm2-dogwatch
	rm -f $(DESTDIR)/etc/systemd/system/dogwatch.service $(DESTDIR)/etc/systemd/system/dogwatch-stop.service
	rm -f $(DESTDIR)/etc/tmpfiles.d/dogwatch.conf

clean:
	cargo clean
	rm -rf bin
