# What the run.sh of tests/vm share: a dogwatch unit, and waiting for conditions.
# PATIENCE: seconds to wait for a condition.
# shellcheck shell=bash
: "${PATIENCE:=20}"
home=/var/lib/dogwatch
scope=/system.slice/dogwatch-cells.scope

say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }

# Fails, with what may explain it.
fail() {
    echo "FAILED: $*"
    caller 0 | sed 's/^/  at line /'
    [ -z "${looked+x}" ] || echo "--- last seen: $looked"
    echo '--- systemctl status'
    systemctl status --no-pager -n 0 dogwatch dogwatch-stop dogwatch-cells.scope
    echo '--- journal'
    journalctl --no-pager -b -n 60 -o short-precise
    echo '--- dogwatch.log'
    tail -n 60 /var/log/dogwatch/dogwatch.log
    exit 1
}

# until_is WHAT EXPECTED COMMAND...: until the command prints what is expected.
until_is() {
    local what=$1 expected=$2 end=$((SECONDS + PATIENCE))
    shift 2
    while :; do
        looked=$("$@" 2>&1) || :
        [ "$looked" != "$expected" ] || return 0
        [ $SECONDS -lt $end ] || fail "$what: not '$expected' within $PATIENCE s"
        sleep 0.05
    done
}

# until_not WHAT OLD COMMAND...: until the command succeeds and prints something else. What it prints is in $looked.
until_not() {
    local what=$1 old=$2 end=$((SECONDS + PATIENCE))
    shift 2
    while :; do
        if looked=$("$@" 2>&1) && [ -n "$looked" ] && [ "$looked" != "$old" ]; then return 0; fi
        [ $SECONDS -lt $end ] || fail "$what: still '$old' after $PATIENCE s"
        sleep 0.05
    done
}

# is WHAT EXPECTED COMMAND...: the command prints what is expected, now.
is() {
    local what=$1 expected=$2
    shift 2
    looked=$("$@" 2>&1) || :
    [ "$looked" = "$expected" ] || fail "$what: not '$expected'"
}

property() { systemctl show -P "$2" "$1"; }
control() { property dogwatch.service MainPID; }
# The process that holds a lock; fails if it does not live.
holder() {
    local pid ticks boot
    read -r pid ticks boot <"$home/lock/$1.lock" && [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] &&
        [ -n "$ticks" ] && kill -0 "$pid" && echo "$pid"
}
warden() { holder warden; }
keeper() { holder "$1.keeper"; }
# service NAME FIELD
service() { dogwatch status --json 2>/dev/null | jq -r --arg name "$1" --arg field "$2" '.services[] | select(.name == $name)[$field]'; }
cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }
in_cgroup() { cat "/sys/fs/cgroup$1/cgroup.procs"; }

# Installs the program and its units, and what else the file system needs, as a package would.
install_dogwatch() {
    install -m 755 dogwatch unruly /usr/bin/
    install -m 644 dogwatch.service dogwatch-stop.service /etc/systemd/system/
    install -D -m 644 dogwatch.tmpfiles /etc/tmpfiles.d/dogwatch.conf
    install -d /etc/dogwatch
    systemd-tmpfiles --create /etc/tmpfiles.d/dogwatch.conf || fail 'systemd-tmpfiles'
}
