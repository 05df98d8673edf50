#!/bin/bash
# Clocks that jump, and power cuts, in a machine that can have both; started by vm-boot. What a boot prints to the
# console as a line `pull the plug` makes vm-boot end the machine at once: what the kernel has not written to the disk
# by then is gone.
set -u
. ./lib.sh

facts=/var/tmp/facts
fact() { printf '%-28s %s\n' "$1" "$2" >>$facts; }
pids() { echo "web $(service web pid), keeper $(keeper web), warden $(warden), control plane $(control)"; }
run_is_above() { [ "$(service web run)" -gt "$1" ] && [ "$(service web state)" = online ] && echo yes; }
# In the kernel's clock: seconds since the start of the machine.
moment() { cut -d' ' -f1 /proc/uptime; }
plug() {
    echo 'pull the plug' >/dev/ttyS0
    sleep 1000
}

case $1 in
1)
    install_dogwatch
    cat >/etc/dogwatch/ecosystem.toml <<'TOML'
[dogwatch]
log_dir = "/var/log/dogwatch"
[services.web]
command = ["unruly", "say", "hello", "hang"]
restart = { delay = "1s", max_delay = "2s" }
[services.off]
command = ["unruly", "hang"]
[services.also-off]
command = ["unruly", "hang"]
TOML
    : >$facts
    systemctl daemon-reload
    looked=$(systemctl enable --now dogwatch 2>&1) || fail 'enable --now'
    until_is 'web' online service web state
    until_is 'off' online service off state
    until_is 'also-off' online service also-off state
    before=$(pids)
    for jump in '+1 day' '-2 days' '+1 day'; do
        begun=$(moment)
        looked=$(date -s "$(date -d "$jump" '+%F %T')" 2>&1) || fail "date $jump"
        # Longer than the watchdog, and than the look at who stalls.
        sleep 12
        is "the clock jumps by $jump: nobody is replaced" "$before" pids
        run=$(service web run)
        kill -9 "$(service web pid)"
        until_is "the clock jumps by $jump: web is restarted" yes run_is_above "$run"
        uptime=$(service web uptime_ms)
        [ "$uptime" -ge 0 ] && [ "$uptime" -lt 120000 ] || fail "up for $uptime ms"
        before=$(pids)
        fact "the clock jumps by $jump" "nobody replaced; a killed service is back, up for $uptime ms ($(date +%F), $begun s)"
    done
    # What was installed is not what is to be shown.
    sync
    echo 'nobody has flushed this' >/var/tmp/unflushed
    looked=$(dogwatch stop off 2>&1) || fail 'stop off'
    plug
    ;;
2)
    until_is 'the unit' active property dogwatch.service ActiveState
    until_is 'web' online service web state
    is 'off, which was stopped in the moment before the power cut' stopped service off state
    is 'also-off' online service also-off state
    lost=$([ -s /var/tmp/unflushed ] && echo there || echo lost)
    fact 'stop, then a power cut' "stopped after it; what nobody had flushed: $lost"
    # The goal of `off` has its file by now; that of a start is written over it.
    sync
    looked=$(dogwatch start off 2>&1) || fail 'start off'
    looked=$(dogwatch stop also-off 2>&1) || fail 'stop also-off'
    plug
    ;;
3)
    until_is 'web' online service web state
    until_is 'off, which was started again' online service off state
    is 'also-off' stopped service also-off state
    fact 'start and stop, then another' 'as ordered'
    cat $facts
    say 'all passed'
    exit 0
    ;;
esac
