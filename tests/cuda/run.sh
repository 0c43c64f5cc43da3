#!/usr/bin/env bash
# Tests and measures the GPU decode on this machine; tests/cuda/bundle.sh has put together what it takes.
#
#     ./run.sh [PART ...]         all of them: tests kernels nvcomp load counters sanitizer
#
# Every part has its time, and one that fails or is cut off does not stop the others; all together end after SECONDS_IN_ALL
# (570 if that is not set). What they say goes to files in the folder RESULTS (`results` beside this file if that is not
# set): eight at most, of which table.txt is what is printed at the end too. Models to be measured go to PLACE: 25 GB of
# memory or disk, kept for the next run until that is removed. SIZES, MODEL, RUNS and ROUND may
# name others, and how often.
#
# Ends with 0, or 1 if a part failed, 3 if there is no GPU, 4 if the programs do not start.
set -uo pipefail
cd "$(dirname "$0")"
deadline=$((SECONDS + ${SECONDS_IN_ALL:-570}))
results=$(realpath -m "${RESULTS:-results}")
place=${PLACE:-$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/wcodec-models}
mkdir -p "$results" "$place"
table=$results/table.txt
: >"$table"
say() { tee -a "$table" <<<"$*"; }

[ -d sanitizer/bin ] && PATH=$PATH:$PWD/sanitizer/bin
# CUDA's libraries, wherever its toolkit or PyTorch have put them. What is missing is stood in for.
for folder in /usr/local/cuda*/lib64 $(python3 -c '
import glob, site, sys
folders = site.getsitepackages() + [site.getusersitepackages()] + sys.path
print(*{path for f in folders if f for path in glob.glob(f + "/nvidia/*/lib")})' 2>/dev/null) "$PWD/lib"; do
    [ -d "$folder" ] && LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}${LD_LIBRARY_PATH:+:}$folder"
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-} WCODEC_NEEDS_GPU=1 WCODEC_ROOT=$PWD
missing=$(ldd ./wcodec ./cuda-tests | sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | sort -u)
used=$place/stand-ins
rm -rf "$used"
for library in $missing; do
    [ -e "stand-ins/$library" ] || continue
    mkdir -p "$used"
    ln -sf "$PWD/stand-ins/$library" "$used/"
    say "MISSING: $library: a stand-in that fails takes its place"
done
[ -z "$missing" ] || LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$used
if ! version=$(./wcodec --version 2>&1); then
    say "The programs do not start: $version"
    exit 4
fi
candle=yes
grep -q 'cublas\|curand' <<<"$missing" && candle=
{
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm --format=csv,noheader 2>/dev/null ||
        echo "no nvidia-smi"
    date -u
    uname -srm
    lscpu 2>/dev/null | grep -E '^(Model name|CPU\(s\))'
} | tee "$results/machine.txt"
if ! ./wcodec bench tests/golden/v1.0-fast.wcodec --device cuda --runs 1 >"$results/machine.log" 2>&1; then
    say "NO GPU, or it does not work: nothing was tested or measured"
    say "$(tail -3 "$results/machine.log")"
    exit 3
fi
rm "$results/machine.log"

rounds=(--runs "${RUNS:-11}" --round "${ROUND:-512MiB}")
status=0
# Runs a command for so many seconds at most, of those that are left.
within() {
    local limit=$1 left=$((deadline - SECONDS))
    shift
    [ "$left" -gt 5 ] || return 124
    timeout --kill-after 5 "$((left < limit ? left : limit))" "$@"
}
done_or() { # status, what
    case $1 in
    0) ;;
    124 | 137) say "CUT OFF: $2 took too long" && status=1 ;;
    *) say "FAILED: $2 (status $1)" && status=1 ;;
    esac
}

tests() {
    # shellcheck disable=SC2046
    within 150 ./cuda-tests --test-threads 2 $([ -n "$candle" ] || echo --skip candle::) >"$results/tests.txt" 2>&1
    done_or $? "the tests: tests.txt"
    within 60 ./cuda-tests --ignored out_of_memory >>"$results/tests.txt" 2>&1
    done_or $? "the test without memory: tests.txt"
    say "tests: $(grep -h 'test result' "$results/tests.txt" | tr '\n' ' ')"
    grep -E '^test .*FAILED' "$results/tests.txt" | tee -a "$table"
}

# Tensors of each type and of 1 Mi to 1 Gi weights, once.
sizes=${SIZES:-1Mi 16Mi 128Mi 1Gi}
files() {
    local size dtype bytes
    for size in $sizes; do
        for dtype in bf16 f16 f32 f8-e4m3 i8; do
            case $dtype in f32) bytes=4 ;; bf16 | f16) bytes=2 ;; *) bytes=1 ;; esac
            make "$dtype-$size" "$dtype" "$((bytes * ${size%?i}))${size: -2}B"
        done
        [ -e "$place/levels-$size.wcodec" ] ||
            within 60 ./wcodec encode --quiet "$place/bf16-$size.safetensors" --bits 4 -o "$place/levels-$size.wcodec"
        done_or $? "quantising $size weights"
    done
}
make() { # name, dtype, size
    local file=$place/$1
    [ -e "$file.wcodec" ] && return
    within 60 ./wcodec synth --quiet --force --tensors 1 --dtype "$2" --size "$3" -o "$file.safetensors" &&
        within 60 ./wcodec encode --quiet --force "$file.safetensors" -o "$file.wcodec"
    done_or $? "making $1"
    # nvCOMP is given those of BF16 too.
    [ "$2" = bf16 ] || rm -f "$file.safetensors"
}

# A program for each type: what ends one of them does not take the others' results along.
kernels() {
    files
    local dtype rows title='%-14s %8s %6s %9s %8s %6s %9s %8s %6s %9s\n'
    : >"$results/kernels.json"
    say "GB/s of decoded bytes: a call a tensor, and all in one call; see wcodec help bench"
    # shellcheck disable=SC2059
    printf "$title" file weights bits alone of-copy busy together of-copy busy copy | tee -a "$table"
    for dtype in bf16 f16 f32 f8-e4m3 i8 levels; do
        rows=()
        for size in $sizes; do
            [ -e "$place/$dtype-$size.wcodec" ] && rows+=("$place/$dtype-$size.wcodec")
        done
        within 60 ./wcodec bench "${rows[@]}" --device cuda "${rounds[@]}" --save "$results/json" >"$results/output" 2>&1
        done_or $? "kernels of $dtype: $(grep -i error "$results/output" | head -3)"
        [ -e "$results/json" ] && cat "$results/json" >>"$results/kernels.json" && rm "$results/json"
        awk -v title="$title" 'on && NF == 10 { printf title, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 } /^---/ { on = 1 }' \
            "$results/output" | tee -a "$table"
    done
}

# A model of the shape of Llama 3 8B, from the system's cache to tensors.
load() {
    local file=$place/model
    if [ -z "$candle" ]; then
        say "SKIPPED: loading: Candle needs the libraries that are missing"
        return
    fi
    if [ ! -e "$file.safetensors" ]; then
        # shellcheck disable=SC2086
        within 100 ./wcodec synth --quiet --force ${MODEL:---model llama-3.1-8b} -o "$file.safetensors"
        done_or $? "making a model of the shape of Llama 3 8B"
    fi
    within 250 ./wcodec bench "$file.safetensors" --device cuda --load --round "${ROUND:-512MiB}" --runs 3 --save "$results/load.json" \
        >"$results/output" 2>&1
    done_or $? "measuring loads"
    tee -a "$table" <"$results/output"
}

nvcomp() {
    files
    local size inputs=() library=(lib/libnvcomp.so.*)
    for size in $sizes; do [ "$size" = 1Gi ] || inputs+=("$place/bf16-$size.safetensors"); done
    [ -e "${library[0]}" ] && set -- --library "$PWD/${library[0]}"
    within 90 python3 nvcomp_ans.py "${inputs[@]}" --runs 11 --save "$results/nvcomp.json" "$@" >"$results/output" 2>&1
    done_or $? "measuring nvCOMP"
    tee -a "$table" <"$results/output"
}

# What the processors did meanwhile, by the GPU's own counters.
counters() {
    if ! command -v ncu >/dev/null; then
        say "SKIPPED: counters: no ncu here"
        return
    fi
    files
    local active=pct_of_peak_sustained_active elapsed=pct_of_peak_sustained_elapsed dtype
    local metrics=gpu__time_duration.sum,sm__cycles_active.avg.$elapsed,smsp__issue_active.avg.$active
    metrics+=,sm__warps_active.avg.$active,dram__throughput.avg.$elapsed,smsp__inst_executed.sum
    : >"$results/output"
    for dtype in bf16 f32 i8 levels; do
        within 60 ncu --clock-control none --kernel-name regex:wcodec_ --launch-skip 4 --launch-count 1 --csv --page raw \
            --metrics "$metrics" ./wcodec bench "$place/$dtype-128Mi.wcodec" --device cuda --runs 2 >>"$results/output" 2>&1
        done_or $? "counters of $dtype"
    done
    cp "$results/output" "$results/counters.csv"
    grep -hE '^"(ID|[0-9]+)"' "$results/counters.csv" | awk '!seen[$0]++' | tee -a "$table"
}

# Damaged files must not have a kernel touch what is not its own, nor its warps race.
sanitizer() {
    if ! command -v compute-sanitizer >/dev/null; then
        say "SKIPPED: compute-sanitizer is not here: it comes with CUDA's toolkit, or with a bundle that is made with SANITIZER=1"
        return
    fi
    local tool
    : >"$results/sanitizer.txt"
    for tool in memcheck racecheck synccheck; do
        within 120 compute-sanitizer --tool "$tool" --error-exitcode 9 ./cuda-tests --test-threads 1 golden_files \
            flips_in_small_chunks_checked flips_in_levels_checked a_word_for_nearly_every_symbol \
            streams_that_run_ahead_of_their_words >"$results/output" 2>&1
        done_or $? "$tool: sanitizer.txt"
        say "$tool: $(grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY\|test result' "$results/output" | tr '\n' ' ')"
        cat "$results/output" >>"$results/sanitizer.txt"
    done
}

[ $# -gt 0 ] || set -- tests kernels nvcomp load counters sanitizer
for part; do
    case $part in
    tests | kernels | nvcomp | load | counters | sanitizer) ;;
    *) say "There is no part $part" && exit 2 ;;
    esac
    begun=$SECONDS
    say ""
    "$part"
    say "($part: $((SECONDS - begun)) s)"
done
rm -f "$results/output"
echo
echo "==== all of it again"
cat "$results/machine.txt" "$table"
exit $status
