#!/bin/bash
# dogwatch under systemd, boot by boot; started by ns-boot or vm-boot. Names of services: db; web, which comes
# after db; off, which the operator stops.
set -u
. ./lib.sh

pids() { for name in db web; do service $name pid; done | tr '\n' ' '; }
keepers() { for name in db web off; do keeper $name; done | tr '\n' ' '; }

all_up() {
    until_is 'db' online service db state
    until_is 'web' online service web state
}

# Nothing has touched the services since `before`.
untouched() {
    is "$1: the services' processes" "$before" pids
    is "$1: dogwatch's own cgroup" "$(control)" in_cgroup /system.slice/dogwatch.service
    say "$1: services untouched"
}

replaced() { # WHAT OLD
    until_not "$1: the main process" "$2" control
    until_is "$1: the unit" active property dogwatch.service ActiveState
}

layout() {
    is 'the control plane' /system.slice/dogwatch.service cgroup_of "$(control)"
    is 'dogwatch.service has only its main process' "$(control)" in_cgroup /system.slice/dogwatch.service
    is 'the warden' $scope/warden cgroup_of "$(warden)"
    local name
    for name in db web; do
        is "the keeper of $name" $scope/keepers cgroup_of "$(keeper $name)"
        is "$name" "$scope/svc/default/$name/0.$(service $name run)" cgroup_of "$(service $name pid)"
    done
    is "the scope's own cgroup is empty" '' in_cgroup $scope
}

# The services of the boot before were stopped in order, with time for their last words.
stopped_in_order() {
    local name log
    for name in db web; do
        is "last words of $name" "$name says goodbye" tail -n 1 /var/log/dogwatch/$name-out.log
    done
    log=$(sed -n "$(($(cat /var/tmp/mark) + 1)),\$p" /var/log/dogwatch/dogwatch.log)
    ends() { grep -o 'keeper [a-z]*: run .*) .*' <<<"$log" | sed -n 's/^keeper \([a-z]*\): run .*) \(exited\|killed\|ended\)/\1 \2/p'; }
    is 'the ends at shutdown' $'web exited with code 0\ndb exited with code 0' ends
    looked=$(journalctl -q -b -1 -u dogwatch.service -u dogwatch-stop.service -u dogwatch-cells.scope --no-pager |
        sed -n '/Stopping dogwatch-stop/,$p')
    ! grep -E 'timed out|SIGKILL|Failed with' <<<"$looked" || fail 'something had to be killed at shutdown'
    say "boot $1: web, then db stopped by themselves"
}

# From here on, dogwatch.log is about the shutdown.
mark() { wc -l </var/log/dogwatch/dogwatch.log >/var/tmp/mark; }

case $1 in
1)
    install_dogwatch
    cat >/etc/dogwatch/ecosystem.toml <<'TOML'
[dogwatch]
log_dir = "/var/log/dogwatch"
[services.db]
command = ["unruly", "farewell", "0", "db says goodbye", "hang"]
[services.web]
after = ["db"]
command = ["unruly", "farewell", "300", "web says goodbye", "hang"]
[services.off]
command = ["unruly", "hang"]
TOML
    if [ -z "${EMULATED:-}" ]; then # there, two seconds are nothing
        mkdir -p /etc/systemd/system/dogwatch.service.d
        printf '[Service]\nWatchdogSec=2\n' >/etc/systemd/system/dogwatch.service.d/test.conf
    fi
    systemctl daemon-reload
    looked=$(systemctl enable --now dogwatch 2>&1) || fail 'enable --now'
    is 'the unit' active property dogwatch.service ActiveState
    all_up
    until_is 'the companion' active property dogwatch-stop.service ActiveState
    layout
    say 'started: control plane in the unit, all else in the scope'

    before=$(pids) old=$(control) keepers=$(keepers)
    kill -STOP "$old"
    replaced 'a hung control plane' "$old"
    is 'what the journal says' 1 grep -c 'Watchdog timeout' <(journalctl -b -u dogwatch.service)
    untouched 'a hung control plane'

    old=$(control)
    kill -9 "$old"
    replaced 'kill -9 of the control plane' "$old"
    untouched 'kill -9 of the control plane'

    old=$(warden)
    kill -9 "$old"
    until_not 'a new warden' "$old" warden
    untouched 'kill -9 of the warden'
    is 'the keepers' "$keepers" keepers
    until_is 'the new warden is in the scope' $scope/warden cgroup_of "$(warden)"

    old="$(control) $(warden)"
    # shellcheck disable=SC2086
    kill -9 $old
    replaced 'kill -9 of both' "${old% *}"
    until_not 'a new warden' "${old#* }" warden
    untouched 'kill -9 of both'
    layout

    old=$(control)
    systemctl restart dogwatch || fail 'restart'
    replaced 'restart' "$old"
    untouched 'systemctl restart'

    systemctl daemon-reload || fail 'daemon-reload'
    untouched 'daemon-reload'

    own() { echo "$(control) $(warden) $(keepers)"; }
    old=$(own)
    cp /usr/bin/dogwatch /var/tmp/newer && echo 'another build' >>/var/tmp/newer
    looked=$(dogwatch upgrade /var/tmp/newer 2>&1) || fail 'upgrade'
    is 'the processes of dogwatch' "$old" own
    is 'the unit' active property dogwatch.service ActiveState
    cmp -s "/proc/$(control)/exe" /var/tmp/newer || fail 'the control plane runs the old program'
    untouched 'an upgrade'
    layout

    systemctl stop dogwatch || fail 'stop'
    is 'the stopped unit' inactive property dogwatch.service ActiveState
    is 'the services, by way of the keepers' "$before" pids
    old=$(warden)
    kill -9 "$old"
    until_not 'a new warden, from a keeper' "$old" warden
    until_is 'it is in the scope' $scope/warden cgroup_of "$(warden)"
    systemctl start dogwatch || fail 'start'
    untouched 'systemctl stop and start'
    layout

    begun=$SECONDS
    looked=$(dogwatch down 2>&1) || fail 'down'
    [ $((SECONDS - begun)) -lt 10 ] || fail "down has taken $((SECONDS - begun)) s"
    is 'the unit after down' inactive property dogwatch.service ActiveState
    is 'no restart is due' dead property dogwatch.service SubState
    is 'the exit code of the control plane' 8 property dogwatch.service ExecMainStatus
    is 'the result' success property dogwatch.service Result
    until_is 'the scope is gone' inactive property dogwatch-cells.scope ActiveState
    for pid in $before; do ! kill -0 "$pid" 2>/dev/null || fail "$pid has survived down"; done
    say 'down: everything has ended, and stays so'

    systemctl start dogwatch || fail 'start after down'
    all_up
    looked=$(dogwatch stop off 2>&1) || fail 'stop off'
    is 'off' stopped service off state
    layout
    say 'start after down: everything is back; off is stopped'
    mark
    exit 100
    ;;
2)
    until_is 'the unit' active property dogwatch.service ActiveState
    all_up
    is 'off' stopped service off state
    is 'restarts of web' 0 service web restarts
    layout
    stopped_in_order 1
    say 'reboot: what was up is up, what was stopped is down'
    # A shutdown without a control plane.
    systemctl stop dogwatch || fail 'stop'
    mark
    exit 100
    ;;
3)
    all_up
    is 'off' stopped service off state
    stopped_in_order 2
    # A shutdown with a control plane that hangs.
    mark
    kill -STOP "$(control)"
    exit 100
    ;;
4)
    all_up
    log=$(sed -n "$(($(cat /var/tmp/mark) + 1)),\$p" /var/log/dogwatch/dogwatch.log)
    for name in db web; do
        is "last words of $name" "$name says goodbye" tail -n 1 /var/log/dogwatch/$name-out.log
    done
    say 'all passed'
    exit 0
    ;;
esac
