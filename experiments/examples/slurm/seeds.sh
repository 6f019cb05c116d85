#!/bin/bash
# Eight seeds of one training, each a job of an array, and a job that puts them together:
#   tasks=$(sbatch --parsable seeds.sh runs/seeds --target gmm40)
#   sbatch --dependency=afterany:$tasks gather.sh sample runs/seeds
# (afterany: a seed whose samples fail a check ends with exit code 1, and belongs to the run all the same.)
#SBATCH --job-name=seeds
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
#SBATCH --output=%x-%A-%a.out
#SBATCH --signal=B:USR1@120
# Jobs of an array that is submitted in part (--array=3,5) are tasks of the same eight.
tasks=${TASKS:-8}
run=$1
shift
# The program takes the place of the shell: it hears the signal itself, and its exit code is that of the job.
exec sample --seeds "$tasks" --task "$SLURM_ARRAY_TASK_ID/$tasks" --threads "${SLURM_CPUS_PER_TASK:-1}" \
    --quiet --out "$run" "$@"
