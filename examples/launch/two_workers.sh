#!/bin/bash
# Two worker processes on one machine, over loopback, to try out what a cluster
# will do. Arguments are those of train_image_flow.py:
#
#   examples/launch/two_workers.sh --workdir=/tmp/two --batch_size=8
set -euo pipefail

workers='["127.0.0.1:23450", "127.0.0.1:23451"]'
program=$(dirname "$0")/../train_image_flow.py

tf_config() {
  echo '{"cluster": {"worker": '"$workers"'},' \
    '"task": {"type": "worker", "index": '"$1"'}}'
}

pids=()
# Both get SIGTERM if this script does.
trap 'kill -TERM "${pids[@]}"' TERM INT
for index in 0 1; do
  TF_CONFIG=$(tf_config "$index") python "$program" \
    --strategy=multi_worker "$@" &
  pids+=($!)
done

code=0
for pid in "${pids[@]}"; do
  # A signal ends `wait`, but not yet the process.
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
  wait "$pid" || code=$?
done
exit "$code"
