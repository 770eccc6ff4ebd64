#!/bin/sh
# Runs every fuzz target, or those that are named, for so many seconds each: fuzz/run.sh [SECONDS] [TARGET...]
#
# Coverage comes from the compiler's own pass, so that a stable toolchain and a C++ compiler are enough; with cargo-fuzz and a
# nightly toolchain `cargo fuzz run TARGET` does the same. What a target finds stays in fuzz/artifacts.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="$flags" ${CARGO:-cargo} build --release --target "$host" --bins
mkdir -p artifacts
for target in ${*:-circuit npy npz csv safetensors checkpoint units spikes}; do
    found="target/corpus-$target"
    mkdir -p "$found"
    echo "== $target, $seconds s"
    "target/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=20 \
        -artifact_prefix="artifacts/$target-" -print_final_stats=1 "$found" "corpus/$target"
done
