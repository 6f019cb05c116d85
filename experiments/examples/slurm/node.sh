#!/bin/bash
# One run on a whole node. It has a thread for each core by itself.
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
exec sample --out "$run" --quiet "$@"
