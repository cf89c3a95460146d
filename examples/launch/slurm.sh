#!/bin/bash
#SBATCH --job-name=flow
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
# Five minutes before the time is up, to the workers: they save, and end. It
# must be longer than a step and a checkpoint take.
#SBATCH --signal=TERM@300
#
# One worker for each host, with all of its GPUs:
#
#   WORKDIR=/shared/run DATA_DIR=/shared/images sbatch examples/launch/slurm.sh
set -euo pipefail

: "${WORKDIR:?a directory that all hosts share}"
: "${DATA_DIR:?images that all hosts can read}"
export WORKDIR DATA_DIR

# Runs on each host. Ranks follow the order of `scontrol show hostnames`, which
# is not that of sorted names: node10 comes after node9.
worker() {
  set -euo pipefail
  local port=$((20000 + SLURM_JOB_ID % 10000)) hosts
  hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" |
    sed "s/.*/\"&:$port\"/" | paste -sd, -)
  export TF_CONFIG='{"cluster": {"worker": ['"$hosts"']},
    "task": {"type": "worker", "index": '"$SLURM_PROCID"'}}'
  # `exec`: the signal reaches Python.
  exec python examples/train_image_flow.py --strategy=multi_worker \
    --workdir="$WORKDIR" --data="$DATA_DIR" \
    --image_size=256 --num_levels=6 --num_steps=8 \
    --batch_size=$((64 * 8 * SLURM_NNODES))
}
export -f worker

# A worker that is gone takes all others with it; they would wait for it.
srun --kill-on-bad-exit=1 bash -c worker

# Stopped by the signal, not done: once more, from where it was.
if ! compgen -G "$WORKDIR/saved_model/*/saved_model.pb" > /dev/null; then
  scontrol requeue "$SLURM_JOB_ID"
fi
