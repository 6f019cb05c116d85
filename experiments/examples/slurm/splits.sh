#!/bin/bash
# The trainings of a graph network on all splits, shared out over an array, and a job that puts them together:
#   tasks=$(sbatch --parsable splits.sh runs/cora --data cora --seeds 5)
#   sbatch --dependency=afterok:$tasks gather.sh graph runs/cora
#SBATCH --job-name=splits
#SBATCH --array=0-9
#SBATCH --cpus-per-task=1
#SBATCH --time=02:00:00
#SBATCH --output=%x-%A-%a.out
#SBATCH --signal=B:USR1@60
tasks=${TASKS:-10}
run=$1
shift
exec graph --task "$SLURM_ARRAY_TASK_ID/$tasks" --threads "${SLURM_CPUS_PER_TASK:-1}" --quiet --out "$run" "$@"
