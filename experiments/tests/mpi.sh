#!/usr/bin/env bash
# Runs by MPI come to the same bytes: for any number of ranks and threads, stopped and resumed with others, and after
# a rank was killed. The program is a build of `sample` with the feature `mpi`:
#
#   cargo build --package metastable --features mpi --bin sample && experiments/tests/mpi.sh target/debug/sample
set -euo pipefail
SECONDS=0
sample=$(realpath "$1")
out=$(mktemp -d)
launcher=
trap 'if [ -n "$launcher" ]; then pkill -KILL -P "$launcher" || true; kill -KILL "$launcher" || true; fi 2> /dev/null; rm -rf "$out"' EXIT
# More ranks than cores, and the user of a container, are refused by default.
mpi=(mpirun --oversubscribe --bind-to none)
if [ "$(id -u)" = 0 ]; then mpi+=(--allow-run-as-root); fi
# Time to save when it stops a run; it waits for so long even if all have ended.
patient=(--mca odls_base_sigkill_timeout 20)
sizes=(--quick --quiet --set train.batch=48 --set train.draws=20 --set network.hidden=8 --set network.layers=1
    --set replay.capacity=200 --set replay.refresh_every=20 --set evaluation.sets=1 --set evaluation.set_size=150
    --set evaluation.reverse_steps=10 --set evaluation.flow_samples=70 --set evaluation.flow_steps=4
    --set evaluation.nll_samples=70 --set evaluation.weight_samples=20 --set evaluation.audit=0
    --set evaluation.floor_pairs=2 --set evaluation.correction_moves=4 --set evaluation.snapshots=2)
plane=("${sizes[@]}" --target gmm40 --steps 200)
particles=("${sizes[@]}" --target dw4 --method iwsm --steps 60 --samples 200 --reference-cache "$out/cache"
    --set replay.share=0.001)

# What a run comes to, but for what clocks decide.
sums() {
    (cd "$1" && sha256sum samples.npy log_weights.npy samples.npz model.safetensors history.csv weights.csv modes.csv &&
        grep -v -e seconds -e peak_mib metrics.json | sha256sum)
}
same() {
    if [ "$(sums "$1")" != "$(sums "$2")" ]; then
        echo "$2 differs from $1" >&2
        diff <(sums "$1") <(sums "$2") >&2 || true
        exit 1
    fi
    echo "same: $2"
}
# Exit code $1 of a command; what it said is in $out/said.
ends() {
    local wanted=$1 code=0
    shift
    "$@" > "$out/said" 2>&1 || code=$?
    if [ "$code" != "$wanted" ]; then
        echo "exit code $code in place of $wanted: $*" >&2
        cat "$out/said" >&2
        exit 1
    fi
}
says() {
    grep -q -- "$1" "$out/said" || { echo "nothing says: $1" >&2; cat "$out/said" >&2; exit 1; }
}

"$sample" "${plane[@]}" --out "$out/plane"
"$sample" "${particles[@]}" --out "$out/particles"
for ranks in 1 2 4; do
    for threads in 1 3; do
        at=$ranks-$threads
        ends 0 "${mpi[@]}" -n "$ranks" "$sample" "${plane[@]}" --threads "$threads" --out "$out/plane-$at"
        same "$out/plane" "$out/plane-$at"
        # Stopped, and resumed by another number of ranks and threads.
        ends 130 "${mpi[@]}" -n "$ranks" "$sample" "${particles[@]}" --threads "$threads" --stop-after 33 --out "$out/particles-$at"
        says "stopped at step 33 of 60, saved"
        ends 0 "${mpi[@]}" -n $((5 - ranks)) "$sample" --resume "$out/particles-$at" --quiet --threads $((4 - threads))
        same "$out/particles" "$out/particles-$at"
    done
done

# A wrong command is one line of rank 0.
ends 2 "${mpi[@]}" -n 2 "$sample" --target nothing --out "$out/none"
test "$(grep -c 'error:' "$out/said")" = 1
ends 2 "${mpi[@]}" -n 2 "$sample" "${plane[@]}" --out "$out/plane"
says "is not empty"

# Begins a run of two ranks that would take hours; its launcher is $launcher.
long() {
    rm -rf "$out/long"
    "${mpi[@]}" "${patient[@]}" -n 2 "$sample" "${plane[@]/#200/100000000}" --save-every 1 --out "$out/long" > "$out/said" 2>&1 &
    launcher=$!
    # A state is kept four times a second. The reference is written before the first step.
    for _ in $(seq 600); do
        test -e "$out/long/reference.toml" && break
        sleep 0.1
    done
    test -e "$out/long/reference.toml" || { echo "a long run does not begin" >&2; cat "$out/said" >&2; exit 1; }
    sleep 3
}
ended() {
    local code=0
    for _ in $(seq 1200); do
        kill -0 "$launcher" 2> /dev/null || break
        sleep 0.1
    done
    if kill -0 "$launcher" 2> /dev/null; then echo "$1, and does not end" >&2; exit 1; fi
    wait "$launcher" || code=$?
    launcher=
    test "$code" != 0
    test -s "$out/long/checkpoint.safetensors" || { echo "nothing is saved" >&2; cat "$out/said" >&2; exit 1; }
    echo "$1: $(grep -e 'saved' "$out/said" | head -1)"
    # It goes on, by one rank.
    ends 130 "$sample" --resume "$out/long" --quiet --stop-after 5
}
# A batch system's notice, which mpirun passes on.
long
kill -USR1 "$launcher"
ended "asked to stop"
says "stopped at step"
# A rank that dies: mpirun ends the others by SIGTERM. Rank 0 saves the state that it keeps, or is inside MPI for good;
# then its last checkpoint stays.
long
victim=$(pgrep -P "$launcher" -f -- "$out/long" | tail -1)
kill -KILL "$victim"
ended "a rank was killed"
echo "all the same, in $SECONDS s"
