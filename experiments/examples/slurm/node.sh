#!/bin/bash
# One run on a whole node: a thread for each core, none for the second threads of cores.
#   sbatch node.sh runs/large --target lj55
#SBATCH --job-name=node
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --exclusive
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.out
#SBATCH --signal=B:USR1@120
run=$1
shift
cores=$(lscpu --online --parse=Core,Socket | grep -v '^#' | sort -u | wc -l)
exec sample --out "$run" --threads "$cores" --quiet "$@"
