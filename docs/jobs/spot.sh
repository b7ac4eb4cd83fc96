#!/bin/bash
# A dataset on virtual machines that may vanish: start this at every boot of machine K of N (cron @reboot, user data).
#
#   CONFIG=pipeline.yaml OUT=/shared/faces docs/jobs/spot.sh 3 16
#   synthforge merge /shared/faces        # anywhere, when all parts are done; it names what is missing
#
# The same command goes on with the shards that are missing. Exit code 2 (the input is wrong) is not tried again.
set -euo pipefail

part=${1:?usage: spot.sh K N}
parts=${2:?usage: spot.sh K N}
for attempt in 1 2 3 4 5; do
  code=0
  synthforge generate "$CONFIG" --out "$OUT" --shards "$part/$parts" || code=$?
  [ "$code" -eq 0 ] && exit 0
  [ "$code" -eq 2 ] && exit 2
  echo "attempt $attempt ended with code $code" >&2
  sleep $((attempt * ${PAUSE:-30}))
done
exit 1
