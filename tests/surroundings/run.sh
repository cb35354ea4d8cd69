#!/usr/bin/env bash
# Half a minute of Connect Four in each of five surroundings; to be run by hand, as root on Linux:
#
#     bash tests/surroundings/run.sh | tee tests/surroundings/output.txt
#
# Nothing but the run's own folder can be written, so neither a home nor a folder for temporary or compiled files.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-python3}

echo "$(date -u +%F), commit $(git rev-parse --short HEAD), $($python -c 'import jax; print("jax", jax.__version__)'), $(nproc) cores"

surrounded() { # name, then variables
    printf '\n== %s\n' "$1"
    shift
    runs=$(mktemp -d)
    begun=$SECONDS
    unshare --mount env "$@" bash -c '
        mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / || exit
        for folder in /tmp /var/tmp /home; do touch "$folder/written" 2> /dev/null && echo "$folder can be written"; done
        "$1" -W ignore experiments/connect_four.py --minutes 0.5 --run-dir "$0/run" < /dev/null 2> "$0/stderr" | cat
        exit "${PIPESTATUS[0]}"' "$runs" "$python" | sed "s#$runs#RUNS#g"
    echo "exit code ${PIPESTATUS[0]} after $((SECONDS - begun)) s; $(wc -c < "$runs/stderr") bytes on stderr:"
    sed "s#$runs#RUNS#g; s#${HOME:-/nowhere}/#HOME/#g" "$runs/stderr" | cut -c1-200 | tail -n 5
    rm -rf "$runs"
}

surrounded "no home" -u HOME
surrounded "a home that does not exist" HOME=/nowhere/at/all
surrounded "no terminal, letters of ASCII alone" LANG=C LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii
surrounded "an allocation of SLURM without srun" SLURM_JOB_ID=17 SLURM_NTASKS=4 SLURM_NODELIST='node[1-4]' \
    SLURM_JOB_NODELIST='node[1-4]' SLURM_JOB_NUM_NODES=4
surrounded "64-bit mode" JAX_ENABLE_X64=1
