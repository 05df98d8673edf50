#!/bin/sh
# The webhook's latency alone, and beside each neighbour that misbehaves: bin/webhook below bin/dogwatch, from `make build`,
# asked by `dogwatch drill`. As root the one who asks goes before all others, so that no time is its own wait.
#
#   benches/isolation.sh [SECONDS [REQUESTS-A-SECOND]]
set -eu
seconds=${1:-20} rate=${2:-200}
bin=$(cd "$(dirname "$0")/../bin" && pwd)
folder=$(mktemp -d)
export DOGWATCH_HOME="$folder/home"
trap '"$bin/dogwatch" down >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
cd "$folder"
# Nobody else's: the process number is in it.
address=127.99.$(($$ / 256 % 256)).$(($$ % 254 + 1)):3000

cat >ecosystem.toml <<TOML
[compartments.production]
critical = true
[services.webhook]
compartment = "production"
command = ["$bin/webhook"]
listen = ["$address"]
ready = "notify"
[services.webhook.env]
WHATSAPP_VERIFY_TOKEN = "a-test"
WHATSAPP_APP_SECRET = "a-test"
WHATSAPP_ACCESS_TOKEN = "a-test"
WHATSAPP_PHONE_NUMBER_ID = "1"
TOML
"$bin/dogwatch" up -d >&2
"$bin/dogwatch" drill webhook --yes --rate "$rate" --seconds "$seconds" \
  --only flood,crash-loop,leak,fork-bomb,spin
