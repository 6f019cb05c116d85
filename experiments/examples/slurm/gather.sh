#!/bin/bash
# Puts the tasks of a sweep together: sbatch --dependency=afterok:JOB gather.sh BINARY RUN
# Where tasks are missing it says which, changes nothing, and ends with exit code 2.
#SBATCH --job-name=gather
#SBATCH --cpus-per-task=1
#SBATCH --time=00:10:00
#SBATCH --output=%x-%j.out
exec "$1" --gather "$2" --threads "${SLURM_CPUS_PER_TASK:-1}"
