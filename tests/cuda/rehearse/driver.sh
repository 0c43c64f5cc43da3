#!/usr/bin/env bash
# Builds FOLDER/libcuda.so.1, the driver of an emulated GPU (driver.cpp) with all of this library's kernels.
#
#     tests/cuda/rehearse/driver.sh FOLDER
set -euo pipefail
work=$(realpath -m "${1:?the folder is missing}")
here=$(dirname "$(realpath "$0")")
kernels=$here/../../../kernels
mkdir -p "$work/include"

# Every kernel's source with its definitions, and then a list of them by name.
{
    echo '#ifdef SOURCES'
    while read -r _ source definitions; do
        for definition in $definitions; do echo "#define ${definition%%=*} ${definition#*=}"; done
        echo "#include \"$kernels/$source\""
        for definition in $definitions; do echo "#undef ${definition%%=*}"; done
    done <"$kernels/kernels.txt"
    echo '#else'
    while read -r name _; do echo "{\"$name\", [](void** a) { return bind($name, a); }},"; done <"$kernels/kernels.txt"
    echo '#endif'
} >"$work/include/kernels.inc"
g++ -std=c++17 -O2 -g -shared -fPIC -Wno-parentheses -Wl,-soname,libcuda.so.1 -I "$work/include" -o "$work/libcuda.so.1" \
    "$here/driver.cpp"
