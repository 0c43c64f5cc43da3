#!/usr/bin/env bash
# Rehearses what a bundle does on a GPU machine, here, on a GPU that the CPU emulates (driver.cpp): tensors are small,
# and times mean nothing.
#
#     tests/cuda/bundle.sh FOLDER && tests/cuda/rehearse/rehearse.sh FOLDER [PART ...]
#
# Kernels of Candle's own and nvCOMP are not emulated: tests that need them, `every_type_as_on_the_cpu` and `columns`, fail.
set -euo pipefail
bundle=$(realpath "${1:?the bundle is missing}")
shift
[ $# -gt 0 ] || set -- tests kernels load
here=$(dirname "$(realpath "$0")")
work=$bundle.rehearsal

"$here/driver.sh" "$work"
# Candle asks cuBLAS and cuRAND for no more than a handle when it loads tensors.
for library in "$bundle"/stand-ins/lib*.so.*; do
    name=$(basename "$library")
    [ "$name" = libcuda.so.1 ] && continue
    printf '%s { global: *; };\n' "$name" >"$work/versions"
    nm -D --defined-only "$library" | sed -nE 's/.* T ([a-zA-Z0-9_]*)@.*/int \1(void) { return 0; }/p' >"$work/stand-in.c"
    gcc -shared -fPIC -Wno-builtin-declaration-mismatch -Wl,-soname,"$name" -Wl,--version-script,"$work/versions" \
        -o "$work/$name" "$work/stand-in.c"
done
LD_LIBRARY_PATH=$work:$bundle/lib EMULATED_GPU_OLD=1 "$bundle/cuda-tests" --ignored too_old
LD_LIBRARY_PATH=$work:$bundle/lib EMULATED_GPU_EARLY=1 WCODEC_ROOT=$bundle "$bundle/cuda-tests" --test-threads 2 stream:: rows
LD_LIBRARY_PATH=$work:$bundle/lib SIZES="${SIZES:-16Ki 128Ki}" RUNS=1 ROUND=256KiB PLACE=$work/models RESULTS=$work/results \
    MODEL="--hidden 64 --intermediate 128 --layers 2 --heads 2 --kv-heads 1 --vocab 300" "$bundle/run.sh" "$@"
