#!/bin/bash
# Runs the scripts of this folder on a small Slurm and holds what they make against runs of one process:
#   PATH=.../target/release:$PATH ./try.sh
# in a folder of its own. A few minutes on one node of two CPUs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
check() { if "$@" >/dev/null; then echo "ok: $*"; else echo "FAILED: $*"; exit 1; fi; }
state() { scontrol show job "$1" | grep -o 'JobState=[A-Z_]*' | head -1; }
finished() { while squeue --noheader --jobs "$1" 2>/dev/null | grep -q .; do sleep 1; done; }

# Trainings of any length that are measured in a moment.
tiny="--quick --set train.batch=16 --set train.draws=10 --set network.hidden=8 --set replay.capacity=100"
for setting in sets=1 set_size=100 reverse_steps=10 flow_samples=0 weight_samples=10 audit=0 modes=0; do
    tiny="$tiny --set evaluation.$setting"
done
small="$tiny --steps 60"
echo "an array of seeds, and its gathering"
sample --seeds 3 $small --threads 1 --quiet --out whole || [ $? -eq 1 ]
tasks=$(TASKS=3 sbatch --parsable --array=0-2 --cpus-per-task=1 "$here/seeds.sh" seeds $small)
last=$(sbatch --parsable --dependency=afterany:"$tasks" "$here/gather.sh" sample seeds)
finished "$last"
for seed in 0 1 2; do check cmp whole/seed$seed/samples.npy seeds/seed$seed/samples.npy; done
check diff <(grep -v seconds whole/metrics.json | grep -v peak_mib) <(grep -v seconds seeds/metrics.json | grep -v peak_mib)

echo "an array of splits, and its gathering after good ends"
graph --data karate --seeds 2 --quiet --out karate
tasks=$(TASKS=4 sbatch --parsable --array=0-3 "$here/splits.sh" splits --data karate --seeds 2)
last=$(sbatch --parsable --dependency=afterok:"$tasks" "$here/gather.sh" graph splits)
finished "$last"
check diff <(sed 's/,[^,]*$//' karate/jobs.csv) <(sed 's/,[^,]*$//' splits/jobs.csv)
check cmp karate/confusion.csv splits/confusion.csv

echo "an array of which a task is missing"
tasks=$(TASKS=4 sbatch --parsable --array=0,2-3 "$here/splits.sh" part --data karate)
last=$(sbatch --parsable --dependency=afterok:"$tasks" "$here/gather.sh" graph part)
finished "$last"
check grep "not begun: 1/4" gather-"$last".out
tasks=$(TASKS=4 sbatch --parsable --array=1 "$here/splits.sh" part --data karate)
last=$(sbatch --parsable --dependency=afterok:"$tasks" "$here/gather.sh" graph part)
finished "$last"
check test -f part/metrics.json

echo "a training that is stopped ahead of its limit of time and queues again"
long="$tiny --steps ${STEPS:-200000}"
job=$(sbatch --parsable --cpus-per-task=1 --time=2 --signal=B:USR1@75 "$here/requeue.sh" long $long)
finished "$job"
check grep -c "stopped at step" requeue-"$job".out
check test -f long/DONE
sample $long --threads 1 --quiet --out once || [ $? -eq 1 ]
check cmp once/samples.npy long/samples.npy

echo "one run on the node"
job=$(sbatch --parsable --time=5 "$here/node.sh" node $small)
finished "$job"
check test -f node/DONE
echo "all as it should be: $work"
