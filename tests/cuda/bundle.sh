#!/usr/bin/env bash
# Makes a folder that tests and measures the GPU decode on a machine without Rust and without network:
#
#     tests/cuda/bundle.sh FOLDER        here: builds, with nvcc if it is there, else with the one from PyPI
#     FOLDER/run.sh                      there: tests, compute-sanitizer if it is there, benchmarks, one table
#
# There, the driver must be of CUDA 13 (580 or later), and cuBLAS, cuRAND, NVRTC and the CUDA runtime of that version
# must be installed, with CUDA's toolkit or with PyTorch: Candle links them.
set -euo pipefail
folder=$(realpath -m "${1:?the folder to make is missing}")
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}

# 80 is the oldest that the kernels run on. A higher one here makes Candle's own kernels faster to start.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
if ! command -v nvcc >/dev/null; then
    [ -x "$target/cuda/bin/pip" ] || python3 -m venv "$target/cuda"
    "$target/cuda/bin/pip" install --quiet --disable-pip-version-check \
        "cuda-toolkit[nvcc,crt,nvvm,cudart,cccl,nvrtc,curand,cublas]==13.0.2"
    root=$(realpath "$target"/cuda/lib/python3*/site-packages/nvidia/cu13)
    # What linkers and build scripts look for, and the packages do not have.
    [ -e "$root/lib64" ] || ln -s lib "$root/lib64"
    for library in "$root"/lib/lib*.so.*; do
        plain=${library%%.so.*}.so
        [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
    done
    export CUDA_HOME=$root CUDA_PATH=$root CUDA_ROOT=$root CUDA_TOOLKIT_ROOT_DIR=$root PATH="$root/bin:$PATH"
    export LIBRARY_PATH="$root/lib:$root/lib/stubs"
    if [ ! -e "$root/lib/stubs/libcuda.so" ]; then
        # The driver's library, as far as a linker goes: every call says that it is a stub (error 34).
        mkdir -p "$root/lib/stubs"
        cargo fetch
        cudarc=$(cargo metadata --format-version 1 --features cuda | grep -o '"manifest_path":"[^"]*cudarc[^"]*Cargo.toml"')
        cudarc=$(sed 's/.*:"//; s/Cargo.toml"$//' <<<"$cudarc")
        grep -oE '\bfn cu[A-Za-z0-9_]+\(' "${cudarc}src/driver/sys/mod.rs" | sort -u |
            sed -E 's/fn (.*)\(/int \1(void) { return 34; }/' >"$target/cuda/stub.c"
        gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$root/lib/stubs/libcuda.so" "$target/cuda/stub.c"
        ln -s libcuda.so "$root/lib/stubs/libcuda.so.1"
    fi
fi

cargo build --release --features cuda --bin wcodec
tests=$(cargo test --release --features cuda --test cuda --no-run 2>&1 | tee /dev/stderr |
    sed -n 's/.*Executable tests.cuda.main.rs (\(.*\))/\1/p')

mkdir -p "$folder/tests"
cp "$target/release/wcodec" "$folder/wcodec"
cp "$tests" "$folder/cuda-tests"
strip "$folder/wcodec" "$folder/cuda-tests"
cp -r tests/golden "$folder/tests/"
cp tests/cuda/run.sh "$folder/run.sh"
chmod +x "$folder/run.sh"
du -sh "$folder"
