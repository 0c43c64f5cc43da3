#!/usr/bin/env bash
# Makes what tests and measures the GPU decode on a machine without Rust and without network:
#
#     tests/cuda/bundle.sh FOLDER        here: FOLDER and FOLDER.tar.gz, with nvcc if it is there, else PyPI's
#     FOLDER/run.sh                      there: tests, compute-sanitizer if it is there, benchmarks, one table
#
# There, the driver must be of CUDA 13 (580 or later). Of CUDA's libraries, which Candle links, the runtime is brought
# along; cuBLAS and cuRAND are too large, and come with CUDA's toolkit or with PyTorch. Where they are missing the
# kernels are tested and measured all the same, with stand-ins that fail; what makes Candle's tensors is left out.
# nvCOMP is brought along unless NVCOMP=0, compute-sanitizer if SANITIZER=1.
set -euo pipefail
folder=$(realpath -m "${1:?the folder to make is missing}")
cd "$(dirname "$0")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
most=$((60 << 20))

# 80 is the oldest that the kernels run on. A higher one here makes Candle's own kernels faster to start.
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
pip() {
    [ -x "$target/cuda/bin/pip" ] || python3 -m venv "$target/cuda"
    "$target/cuda/bin/pip" install --quiet --disable-pip-version-check "$@"
}
if ! command -v nvcc >/dev/null; then
    pip "cuda-toolkit[nvcc,crt,nvvm,cudart,cccl,nvrtc,curand,cublas]==13.0.2"
    root=$(realpath "$target"/cuda/lib/python3*/site-packages/nvidia/cu13)
    # What linkers and build scripts look for, and the packages do not have.
    [ -e "$root/lib64" ] || ln -s lib "$root/lib64"
    for library in "$root"/lib/lib*.so.*; do
        plain=${library%%.so.*}.so
        [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
    done
    export CUDA_HOME=$root PATH="$root/bin:$PATH"
fi
root=${CUDA_HOME:-$(dirname "$(dirname "$(realpath "$(command -v nvcc)")")")}
export CUDA_HOME=$root CUDA_PATH=$root CUDA_ROOT=$root CUDA_TOOLKIT_ROOT_DIR=$root
stand_ins=$target/cuda-stand-ins
mkdir -p "$stand_ins"

# A library of that name in which every function fails: what is given is a status that CUDA's libraries do not take
# for success. Names have the version that programs ask for.
stand_in() { # library, status, functions
    sed -E "s/.*/int &(void) { return $2; }/" <<<"$3" >"$stand_ins/$1.c"
    printf '%s { global: *; };\n' "$1" >"$stand_ins/$1.map"
    gcc -shared -fPIC -Wno-builtin-declaration-mismatch -Wl,-soname,"$1" -Wl,--version-script,"$stand_ins/$1.map" \
        -o "$stand_ins/$1" "$stand_ins/$1.c"
}
# The driver's library, as far as a linker goes: every call says that it is a stub.
cargo fetch
cudarc=$(cargo metadata --format-version 1 --features cuda | grep -o '"manifest_path":"[^"]*cudarc[^"]*Cargo.toml"')
cudarc=$(sed 's/.*:"//; s/Cargo.toml"$//' <<<"$cudarc")
functions=$(grep -oE '\bfn cu[A-Za-z0-9_]+\(' "${cudarc}src/driver/sys/mod.rs" | sed -E 's/fn (.*)\(/\1/' | sort -u)
mkdir -p "$stand_ins/link"
sed -E 's/.*/int &(void) { return 34; }/' <<<"$functions" >"$stand_ins/libcuda.so.1.c"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stand_ins/libcuda.so.1" "$stand_ins/libcuda.so.1.c"
ln -sf ../libcuda.so.1 "$stand_ins/link/libcuda.so"
export LIBRARY_PATH="$root/lib64:$stand_ins/link${LIBRARY_PATH:+:$LIBRARY_PATH}"

# The program is built with its tests.
tests=$(cargo test --release --features cuda --test cuda --no-run 2>&1 | tee /dev/stderr |
    sed -n 's/.*Executable tests.cuda.main.rs (\(.*\))/\1/p')

rm -rf "$folder" "$folder.tar.gz"
mkdir -p "$folder/tests" "$folder/lib" "$folder/stand-ins"
cp "$target/release/wcodec" "$folder/wcodec"
cp "$tests" "$folder/cuda-tests"
strip "$folder/wcodec" "$folder/cuda-tests"
for library in $(readelf -d "$folder/wcodec" "$folder/cuda-tests" |
    sed -nE 's/.*NEEDED.*\[(lib(cuda|cu|nv)[a-zA-Z]*\.so\.[0-9]+)\]/\1/p' | sort -u); do
    case $library in
    libcuda.so.*) ;;
    libcudart.so.*) cp -L "$root/lib64/$library" "$folder/lib/" ;;
    *)
        functions=$(nm -D --undefined-only "$folder/wcodec" "$folder/cuda-tests" | sed -n "s/.* U \(.*\)@$library/\1/p")
        stand_in "$library" 1 "$(sort -u <<<"$functions")"
        ;;
    esac
done
cp "$stand_ins"/*.so.* "$folder/stand-ins/"
rm -f "$folder"/stand-ins/*.c "$folder"/stand-ins/*.map
if [ "${NVCOMP:-1}" != 0 ] && pip nvidia-libnvcomp-cu13; then
    cp "$target"/cuda/lib/python3*/site-packages/nvidia/libnvcomp/lib64/libnvcomp.so.* "$folder/lib/"
fi
if [ "${SANITIZER:-0}" = 1 ]; then
    pip --target "$target/cuda-sanitizer" --upgrade --no-deps nvidia-cuda-sanitizer-api==13.0.85
    mkdir -p "$folder/sanitizer"
    cp -r "$target"/cuda-sanitizer/nvidia/cu13/{bin,lib} "$folder/sanitizer/"
    chmod +x "$folder"/sanitizer/bin/*
fi
cp -r tests/golden "$folder/tests/"
cp benches/nvcomp_ans.py tests/cuda/run.sh "$folder/"
chmod +x "$folder/run.sh"
tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
du -sh "$folder" "$folder.tar.gz"
[ "$(stat -c %s "$folder.tar.gz")" -le $most ] || {
    echo "more than $((most >> 20)) MiB: leave nvCOMP or compute-sanitizer out" >&2
    exit 1
}
