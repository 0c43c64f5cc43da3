#!/usr/bin/env python3
"""Compiles the kernels to PTX, for machines without a CUDA toolkit, and measures what they take.

    python3 -m pip install -r kernels/requirements.txt
    python3 kernels/compile.py            # writes kernels/ptx/ and kernels/resources.txt
    python3 kernels/compile.py --check    # fails if they are not what the sources give

The compiler is the oldest that knows sm_90, so that its PTX loads with every driver since 525; which kernels there
are, and what is defined for each, is in kernels/kernels.txt, which a test writes from the Rust definitions.
"""

import ctypes
import glob
import os
import re
import site
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VIRTUAL = "compute_80"
REAL = ["sm_80", "sm_90"]
RESOURCES = "kernel architecture registers stack spilled_stores spilled_loads".split()


def installed(pattern):
    folders = site.getsitepackages() + [site.getusersitepackages()]
    found = [path for folder in folders for path in glob.glob(os.path.join(folder, "nvidia", pattern))]
    if not found:
        sys.exit(f"nvidia/{pattern} is not installed: see kernels/requirements.txt")
    return found[0]


class Nvrtc:
    def __init__(self):
        # By its full path: the loader does not look there.
        ctypes.CDLL(installed("cuda_nvrtc/lib/libnvrtc-builtins.so.*"), mode=ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(installed("cuda_nvrtc/lib/libnvrtc.so.*"))

    def text(self, program, what):
        size = ctypes.c_size_t()
        getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self.library, f"nvrtcGet{what}")(program, buffer)
        return buffer.value.decode()

    def ptx(self, source, definitions):
        program = ctypes.c_void_p()
        text = source.read_bytes()
        self.library.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None)
        options = [f"--gpu-architecture={VIRTUAL}", "--std=c++17", f"-I{HERE}"] + [f"-D{d}" for d in definitions]
        array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        status = self.library.nvrtcCompileProgram(program, len(options), array)
        log = self.text(program, "ProgramLog").strip()
        if status != 0 or log:
            sys.exit(f"{source.name} {definitions}:\n{log}")
        ptx = self.text(program, "PTX")
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        return ptx


def resources(name, ptx):
    """What a kernel takes, for each architecture."""
    rows = []
    for real in REAL:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "kernel.ptx")
            path.write_text(ptx)
            command = [installed("cuda_nvcc/bin/ptxas"), f"-arch={real}", "-v", path, "-o", Path(folder, "kernel.cubin")]
            log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        entry = log[log.index(f"Compiling entry function '{name}'"):]
        numbers = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", entry).groups()
        registers = re.search(r"Used (\d+) registers", entry).group(1)
        rows.append(" ".join([name, real, registers, *numbers]))
    return rows


def main():
    check = sys.argv[1:] == ["--check"]
    nvrtc, rows, wrong = Nvrtc(), [" ".join(RESOURCES)], []

    def settle(path, text):
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(str(path.relative_to(HERE.parent)))

    names = []
    for line in (HERE / "kernels.txt").read_text().splitlines():
        name, source, *definitions = line.split()
        ptx = nvrtc.ptx(HERE / source, definitions)
        settle(HERE / "ptx" / f"{name}.ptx", ptx)
        rows += resources(name, ptx)
        names.append(f"{name}.ptx")
    settle(HERE / "resources.txt", "\n".join(rows) + "\n")
    wrong += [str(p) for p in (HERE / "ptx").iterdir() if p.name not in names]
    if wrong:
        sys.exit("not what the sources give: " + ", ".join(wrong) + ": run kernels/compile.py, and look at the change")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
