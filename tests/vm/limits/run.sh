#!/bin/bash
# Memory limits that the kernel enforces, under systemd; started by vm-boot. Services: steady; burst, which takes
# more than memory.max at once and does not obey SIGTERM; slow, which grows over its limit step by step and obeys.
set -u
. ./lib.sh

grep -qw memory /sys/fs/cgroup/cgroup.controllers || fail 'this machine has no memory controller'
fact() { printf '%-28s %s\n' "$1" "$2"; }
memory() { cat "/sys/fs/cgroup$(cgroup_of "$(service "$1" pid)")/memory.$2"; }
others() { echo "steady $(service steady pid), keepers $(for name in steady slow bomb hog much little; do keeper $name; done | tr '\n' ' '), warden $(warden)"; }
ooms() { journalctl -k -b --no-pager | grep -c "oom_memcg=[^,]*/burst/"; }
# A keeper that sees burst at its wall ends it by itself: it stands still here, so that nobody but the kernel can.
hits_the_wall() {
    local count kept
    touch /run/burst-waits
    looked=$(dogwatch restart burst 2>&1) || fail 'restart burst'
    count=$(ooms)
    sleep 6 # it waits by now
    kept=$(keeper burst) && kill -STOP "$kept" || fail 'the keeper of burst'
    rm /run/burst-waits
    until_not 'the kernel ends burst' "$count" ooms
    kill -CONT "$kept" 2>/dev/null || : # it may have been replaced by now
    local PATIENCE=4
    until_is 'the reason of burst' 'out of memory: killed by the kernel at its wall of 80 MiB' service burst reason
}
restarts_over() { [ "$(service "$1" restarts)" -gt "$2" ] && echo yes; }

install_dogwatch
cat >/etc/dogwatch/ecosystem.toml <<'TOML'
[dogwatch]
log_dir = "/var/log/dogwatch"
[services.steady]
command = ["unruly", "hang"]
memory = { limit = "100MiB" }
[services.burst]
command = ["unruly", "pause", "5000", "while", "/run/burst-waits", "stubborn", "leak", "300", "hang"]
memory = { limit = "80MiB", max = "80MiB" }
restart = { delay = "10ms" }
[services.slow]
command = ["unruly", "pause", "5000", "farewell", "0", "slow says goodbye", "grow", "4", "100"]
memory = { limit = "60MiB" }
restart = { delay = "10ms" }
[compartments.crowd]
memory = "90MiB"
[compartments.shares]
[services.bomb]
compartment = "crowd"
command = ["unruly", "bomb", "200", "hang"]
pids_max = 40
[services.hog]
compartment = "crowd"
command = ["unruly", "pause", "5000", "leak", "200", "hang"]
restart = { delay = "2s" }
[services.much]
compartment = "shares"
command = ["unruly", "spin"]
cpu_weight = 300
[services.little]
compartment = "shares"
command = ["unruly", "spin"]
TOML
systemctl daemon-reload
systemctl enable --now dogwatch || fail 'enable --now'
until_is 'steady' online service steady state
fact kernel "$(uname -r)"
fact systemd "$(systemctl --version | head -n 1)"
fact dogwatch "$(dogwatch --version)"
fact 'controllers in the scope' "$(cat /sys/fs/cgroup$scope/cgroup.subtree_control)"
fact 'processes in the unit' "$(in_cgroup /system.slice/dogwatch.service | tr '\n' ' ')(the control plane: $(control))"

is 'memory.max of steady' $((100 * 1024 * 1024 * 5 / 4)) memory steady max
fact 'memory.max of steady' "$(memory steady max) (1.25 x 100 MiB), in $(cgroup_of "$(service steady pid)")"

before=$(others)
until_is 'burst is restarted' yes restarts_over burst 0
reason=$(service burst reason)
[[ $reason == 'out of memory: killed by the kernel at its wall of 80 MiB' || $reason == memory*'over the limit of 80 MiB'* ]] || fail "the reason of burst: $reason"
fact burst "restarts $(service burst restarts): $reason"
hits_the_wall
fact 'while its keeper stands still' "$(service burst reason)"
fact 'the kernel says' "$(journalctl -k -b --no-pager -o cat | grep -m 1 -o 'oom_memcg=[^,]*/burst/[^,]*')"
fact '' "$(journalctl -k -b --no-pager -o cat | grep -A 1 'oom_memcg=[^,]*/burst/' | grep -m 1 -o 'Memory cgroup out of memory: Killed process .*anon-rss:[0-9]*kB')"
looked=$(dogwatch stop burst 2>&1) || fail 'stop burst'

until_is 'slow is restarted' yes restarts_over slow 0
reason=$(service slow reason)
[[ $reason == memory*'over the limit of 60 MiB'* ]] || fail "the reason of slow: $reason"
is 'last words of slow' 'slow says goodbye' tail -n 1 /var/log/dogwatch/slow-out.log
fact slow "restarts $(service slow restarts): $reason; its last words are in the log"
looked=$(dogwatch stop slow 2>&1) || fail 'stop slow'

born() { tail -n 1 /var/log/dogwatch/bomb-out.log; }
until_is 'the bomb' '39 of 200 processes' born
fact bomb "pids_max = 40: $(born)"

until_is 'hog is restarted' yes restarts_over hog 0
is 'the reason of hog' 'out of memory: killed by the kernel, because its compartment or the machine had none left' service hog reason
fact hog "compartment's memory = 90 MiB: $(service hog reason)"
looked=$(dogwatch stop hog 2>&1) || fail 'stop hog'

# Shares of processor time, by the kernel's own count over ten seconds.
used() { sed -n 's/^usage_usec //p' "/sys/fs/cgroup$(cgroup_of "$(service "$1" pid)")/cpu.stat"; }
much=$(used much) little=$(used little)
sleep 10
ratio=$(( ($(used much) - much) * 100 / ($(used little) - little) ))
{ [ $ratio -ge 250 ] && [ $ratio -le 350 ]; } || fail "processor time of weights 300 and 100: $ratio to 100"
fact 'cpu_weight 300 beside 100' "processor time $ratio to 100 over 10 s"
looked=$(dogwatch stop much little 2>&1) || fail 'stop much little'

is 'all others' "$before" others
fact 'untouched meanwhile' "$before"

old=$(control)
kill -9 "$old"
until_not 'a new control plane' "$old" control
until_is 'the unit' active property dogwatch.service ActiveState
until_is 'dogwatch answers' online service steady state
is 'all others' "$before" others
is 'memory.max of steady' $((100 * 1024 * 1024 * 5 / 4)) memory steady max
count=$(ooms)
hits_the_wall
fact 'kill -9 of the control plane' "$old, now $(control); untouched: $(others)"
fact 'limits after it' "memory.max of steady $(memory steady max); burst killed again by the kernel ($count, now $(ooms))"

looked=$(dogwatch down 2>&1) || fail 'down'
is 'the unit after down' inactive property dogwatch.service ActiveState
say 'all passed'
