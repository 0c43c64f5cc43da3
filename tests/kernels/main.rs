//! The GPU's kernels, run on the CPU: the very sources, compiled by a C++ compiler over `shim.hpp`.

mod damage;
mod emulator;
mod random;

#[path = "../support/mod.rs"]
mod support;

use emulator::{Build, Emulator, SIZE};
use std::path::Path;
use wcodec::cuda::{Encoded, GpuSize, format_header, kernels};
use wcodec::{Backend, DecodeOptions, Decoder};

/// What the code says of the kernels, and `kernels/compile.py` reads.
#[test]
fn written_files_are_what_the_code_says() {
    let lines = kernels().map(|(name, file, definitions)| format!("{name} {file} {definitions}\n"));
    for (name, text) in [("format.h", format_header()), ("kernels.txt", lines.collect())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels").join(name);
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            std::fs::write(&path, text).unwrap();
            panic!("kernels/{name} was not what the code says, and was written again: run kernels/compile.py");
        }
    }
}

fn open(path: &Path) -> Decoder {
    Decoder::open_with(path, DecodeOptions::default().backend(Backend::Scalar)).unwrap()
}

/// Every tensor of a file by itself, then all of them in one batch, on buffers that are not aligned, with the
/// shared memory of a small GPU, and in parts.
fn check_file(emulator: &mut Emulator, decoder: &Decoder) {
    let expected: Vec<Vec<u8>> = decoder.tensors().map(|t| t.decode().unwrap()).collect();
    for (tensor, expected) in decoder.tensors().zip(&expected) {
        let recipe = tensor.info().recipe_text();
        let got = emulator.tensor(tensor).unwrap();
        assert!(got == *expected, "{}: {recipe}", tensor.info().name());
    }
    let encoded: Vec<Encoded<'_>> = decoder.tensors().map(|t| Encoded::new(t).unwrap()).collect();
    let all = || encoded.iter().map(|e| e.part(0..e.chunks())).collect::<Vec<_>>();
    assert!(emulator.decode(all(), SIZE, 0).unwrap() == expected, "one batch");
    assert!(emulator.decode(all(), SIZE, 1).unwrap() == expected, "odd addresses");
    let small = GpuSize { processors: 1, shared_bytes: 48 << 10 };
    assert!(emulator.decode(all(), small, 0).unwrap() == expected, "little shared memory");
    for (one, expected) in encoded.iter().zip(&expected).filter(|(one, _)| one.chunks() > 1) {
        let middle = one.chunks() / 2;
        let parts = vec![one.part(middle..one.chunks()), one.part(0..middle)];
        let got = emulator.decode(parts, SIZE, 0).unwrap();
        assert!([&got[1][..], &got[0]].concat() == *expected, "in parts");
    }
}

#[test]
fn golden_files() {
    let Some(mut emulator) = Emulator::start(Build::Checked) else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        eprintln!("{}", file.display());
        check_file(&mut emulator, &open(&file));
    }
}
