#!/usr/bin/env bash
# Tests and measures the GPU decode on this machine; tests/cuda/bundle.sh has put together what it takes.
#
#     ./run.sh [all | tests | bench]
#
# Results go to the folder `results` beside it, and as one table to the end of the output.
set -uo pipefail
cd "$(dirname "$0")"
what=${1:-all}
mkdir -p results

# The libraries that the programs link, wherever CUDA or PyTorch has put them.
for folder in /usr/local/cuda*/lib64 $(python3 -c '
import glob, site, sys
folders = site.getsitepackages() + [site.getusersitepackages()]
print(*[path for f in folders for path in glob.glob(f + "/nvidia/*/lib")])' 2>/dev/null); do
    [ -d "$folder" ] && LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}${LD_LIBRARY_PATH:+:}$folder"
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-} WCODEC_NEEDS_GPU=1 WCODEC_ROOT=$PWD
missing=$(ldd ./wcodec | grep 'not found')
if [ -n "$missing" ]; then
    printf 'libraries are missing:\n%s\n' "$missing" >&2
    exit 1
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee results/gpu.txt

status=0
if [ "$what" != bench ]; then
    ./cuda-tests --test-threads 2 2>&1 | tee results/tests.txt | grep -vE ' \.\.\. ok$'
    [ "${PIPESTATUS[0]}" = 0 ] || status=1
    # Damaged files must not have a kernel touch what is not its own.
    if command -v compute-sanitizer >/dev/null; then
        for tool in memcheck racecheck; do
            compute-sanitizer --tool "$tool" --error-exitcode 9 ./cuda-tests --test-threads 1 golden \
                flips_in_small_chunks_checked a_word >"results/$tool.txt" 2>&1 || status=1
            echo "$tool: $(tail -1 "results/$tool.txt")"
        done
    else
        echo "SKIPPED: no compute-sanitizer here"
    fi
fi
[ "$what" = tests ] && exit $status

# Sizes are bytes of whole models' tensors, but for `one`: a single tensor.
place=$(mktemp -d -p "$([ -d /dev/shm ] && echo /dev/shm || echo /tmp)")
trap 'rm -rf "$place"' EXIT
: >results/bench.jsonl
: >results/table.txt
row() { printf '%-14s %-6s %10s %10s %8s %10s %10s\n' "$@" | tee -a results/table.txt; }
bench() { # dtype, name of the size, synth's flags
    local dtype=$1 name=$2 file="$place/model.safetensors"
    shift 2
    ./wcodec synth --force -o "$file" --dtype "$dtype" "$@" >/dev/null || return 1
    local json
    json=$(./wcodec bench "$file" --device cuda --effort default --runs 11 --json) || return 1
    echo "$json" >>results/bench.jsonl
    # Kernels, copy, .wcodec to tensors, safetensors to tensors.
    local rates
    rates=$(grep -o '"bytes_per_second":[0-9.eE+]*' <<<"$json" | cut -d: -f2 | awk '{ printf "%.1f ", $1 / 1e9 }')
    # shellcheck disable=SC2086
    set -- $rates
    row "$dtype" "$name" "$1" "$2" "$(awk "BEGIN { printf \"%.0f%%\", 100 * $1 / $2 }")" "$3" "$4"
}
echo
row dtype size kernels copy share load safetens. | sed 's/$/   GB\/s of decoded bytes; medians of 11/'
for dtype in bf16 f16 f32 f8-e4m3 i8 u8; do
    bench "$dtype" 2MB --size 2MB || status=1
    bench "$dtype" 32MB --size 32MB || status=1
    bench "$dtype" 256MB --size 256MB || status=1
done
bench bf16 one-32MB --tensors 1 --size 32MB || status=1
bench bf16 one-2GB --tensors 1 --size 2GB || status=1
bench bf16 2GB --size 2GB || status=1
bench bf16 16GB --size 16GB || status=1
echo
cat results/gpu.txt results/table.txt
exit $status
