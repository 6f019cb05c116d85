#!/bin/bash
# A training longer than the limit of the queue: a minute ahead of the end it saves and stops, and the job queues again.
#   sbatch requeue.sh runs/long --target lj13
# The same where the job is preempted, or its node is lost: what was saved last is gone on with.
#SBATCH --job-name=requeue
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
#SBATCH --signal=B:USR1@60
run=$1
shift
if [ -f "$run/begun.toml" ]; then
    sample --resume "$run" --threads "${SLURM_CPUS_PER_TASK:-1}" --quiet &
else
    # --force: what a job left that ended before its run had begun is no run.
    sample --out "$run" --force --threads "${SLURM_CPUS_PER_TASK:-1}" --quiet "$@" &
fi
child=$!
# The signal goes to this shell (B:), which passes it on. It also ends the wait, which is then begun again.
again=no
trap 'heard=yes; again=yes; kill -USR1 $child' USR1
trap 'heard=yes; kill -TERM $child' TERM
heard=yes
while [ $heard = yes ]; do
    heard=no
    wait $child
    code=$?
done
# 130: stopped, and saved. All other codes are the end, and so is scancel; preempted jobs Slurm queues again by itself.
if [ $code -eq 130 ] && [ $again = yes ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
