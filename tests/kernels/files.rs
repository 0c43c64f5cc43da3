//! Whole files, against the scalar decoder.

use crate::gpu::{Build, Gpu, SIZE};
use std::path::Path;
use wcodec::cuda::{Encoded, GpuSize};
use wcodec::{Backend, DecodeOptions, Decoder};

pub fn open(path: &Path) -> Decoder {
    Decoder::open_with(path, DecodeOptions::default().backend(Backend::Scalar)).unwrap()
}

/// Every tensor of a file by itself, then all of them in one batch, on buffers that are not aligned, with the
/// shared memory of a small GPU, and in parts.
pub fn check_file(gpu: &mut Gpu, decoder: &Decoder) {
    let expected: Vec<Vec<u8>> = decoder.tensors().map(|t| t.decode().unwrap()).collect();
    for (tensor, expected) in decoder.tensors().zip(&expected) {
        let recipe = tensor.info().recipe_text();
        let got = gpu.tensor(tensor).unwrap();
        assert!(got == *expected, "{}: {recipe}", tensor.info().name());
    }
    let encoded: Vec<Encoded<'_>> = decoder.tensors().map(|t| Encoded::new(t).unwrap()).collect();
    let all = || encoded.iter().map(|e| e.part(0..e.chunks())).collect::<Vec<_>>();
    assert!(gpu.decode(all(), SIZE, 0).unwrap() == expected, "one batch");
    assert!(gpu.decode(all(), SIZE, 1).unwrap() == expected, "odd addresses");
    let small = GpuSize {
        processors: 1,
        shared_bytes: 48 << 10,
    };
    assert!(gpu.decode(all(), small, 0).unwrap() == expected, "little shared memory");
    for (one, expected) in encoded.iter().zip(&expected).filter(|(one, _)| one.chunks() > 1) {
        let middle = one.chunks() / 2;
        let parts = vec![one.part(middle..one.chunks()), one.part(0..middle)];
        let got = gpu.decode(parts, SIZE, 0).unwrap();
        assert!([&got[1][..], &got[0]].concat() == *expected, "in parts");
        check_ranges(gpu, one, expected);
    }
}

/// Ranges of a tensor's bytes, by the chunks that hold them: as rows of it are decoded.
fn check_ranges(gpu: &mut Gpu, one: &Encoded<'_>, expected: &[u8]) {
    let (size, end) = (one.chunk_bytes(), expected.len() as u64);
    let ranges = [
        0..end,
        3..3,
        1..2,
        0..size,
        5..size + 1,
        size..size + 7,
        size - 1..end,
        end - 1..end,
    ];
    for range in ranges.into_iter().filter(|range| range.end <= end) {
        let cover = one.cover(range.clone());
        let edges = cover.edges.iter().map(|edge| one.part(edge.chunk..edge.chunk + 1));
        let decoded = gpu
            .decode([one.part(cover.whole)].into_iter().chain(edges).collect(), SIZE, 0)
            .unwrap();
        let mut got = vec![0xa5; (range.end - range.start) as usize];
        got[cover.whole_at as usize..][..decoded[0].len()].copy_from_slice(&decoded[0]);
        for (edge, decoded) in cover.edges.iter().zip(&decoded[1..]) {
            let wanted = &decoded[edge.bytes.start as usize..edge.bytes.end as usize];
            got[edge.at as usize..][..wanted.len()].copy_from_slice(wanted);
        }
        assert!(
            got == expected[range.start as usize..range.end as usize],
            "bytes {range:?}"
        );
    }
}

#[test]
fn golden_files() {
    let Some(mut gpu) = Gpu::start(Build::Checked) else {
        return;
    };
    // A bundle for another machine brings them along.
    let root = std::env::var("WCODEC_ROOT").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let folder = Path::new(&root).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        eprintln!("{}", file.display());
        check_file(&mut gpu, &open(&file));
    }
}

/// Files that `WCODEC_TEST_FILES` names, with colons between them: real models.
#[test]
fn files_of_ones_own() {
    let Some(files) = std::env::var_os("WCODEC_TEST_FILES") else {
        eprintln!("SKIPPED: WCODEC_TEST_FILES names no files");
        return;
    };
    let Some(mut gpu) = Gpu::start(Build::Fast) else {
        return;
    };
    for path in std::env::split_paths(&files) {
        for tensor in open(&path).tensors() {
            let (name, recipe) = (tensor.info().name(), tensor.info().recipe_text());
            let decoded = gpu.tensor(tensor).unwrap();
            assert!(
                decoded == tensor.decode().unwrap(),
                "{}: {name}: {recipe}",
                path.display()
            );
        }
    }
}
