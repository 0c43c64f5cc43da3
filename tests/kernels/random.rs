//! Random tensors of every dtype, many shapes and kinds, against the scalar decoder.

use crate::files::{check_file, open};
use crate::gpu::{Build, Gpu};
use crate::support::data::{Kind, Rng, fill};
use wcodec::checkpoint::{self, Lossy};
use wcodec::{DType, Effort, EncodeOptions, Encoder, TensorSpec};

/// Encodes tensors and checks that the kernels decode them.
fn check(gpu: &mut Gpu, tensors: Vec<(DType, Vec<usize>, Kind)>, effort: Effort, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.wcodec");
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .enumerate()
        .map(|(i, (dtype, shape, kind))| TensorSpec::new(format!("{i}.{dtype}.{kind:?}"), *dtype, shape.clone()))
        .collect();
    let mut encoder = Encoder::create(&path, specs.clone(), EncodeOptions::lossless().effort(effort)).unwrap();
    for (i, ((dtype, shape, kind), spec)) in tensors.iter().zip(&specs).enumerate() {
        encoder
            .add(&spec.name, &fill(*kind, *dtype, shape, seed + i as u64))
            .unwrap();
    }
    encoder.finish().unwrap();
    check_file(gpu, &open(&path));
}

#[test]
fn every_dtype_and_kind() {
    let Some(mut gpu) = Gpu::start(Build::Checked) else {
        return;
    };
    for (seed, effort) in (0..).zip(Effort::ALL) {
        let all = DType::ALL.iter().filter(|d| d.bits() >= 8);
        let tensors = all.enumerate().flat_map(|(i, &dtype)| {
            let kind = move |k: usize| Kind::ALL[(i + k + seed as usize) % Kind::ALL.len()];
            let shapes = [vec![37, 64], vec![1, 7], vec![5, 1], vec![29, 33], vec![3, 321]];
            shapes
                .into_iter()
                .enumerate()
                .map(move |(k, shape)| (dtype, shape, kind(k)))
        });
        check(&mut gpu, tensors.collect(), effort, 100 * seed);
    }
}

/// Every number of units up to some groups: the ends of planes, and what the seeds carry of them.
#[test]
fn every_length() {
    let Some(mut gpu) = Gpu::start(Build::Checked) else {
        return;
    };
    for dtype in [DType::BF16, DType::F8_E4M3, DType::F32] {
        let lengths = (1..=40).chain([
            63, 64, 65, 255, 256, 257, 300, 511, 512, 513, 700, 767, 768, 769, 1023, 1024, 1029,
        ]);
        let tensors = lengths.map(|n| (dtype, vec![n], if n % 2 == 0 { Kind::Normal } else { Kind::Special }));
        check(&mut gpu, tensors.collect(), Effort::Fast, 7);
    }
}

#[test]
fn large_and_odd() {
    let Some(mut gpu) = Gpu::start(Build::Fast) else { return };
    let mut rng = Rng::new(3);
    let mut tensors = vec![
        (DType::BF16, vec![300, 1024], Kind::Scaled),
        (DType::BF16, vec![331, 517], Kind::Scaled),
        (DType::F16, vec![200, 640], Kind::Scaled),
        (DType::F32, vec![200, 513], Kind::Scaled),
        (DType::F32, vec![128, 512], Kind::Special),
        (DType::I8, vec![400, 520], Kind::Scaled),
        (DType::U8, vec![333, 222], Kind::Sparse),
        (DType::F8_E4M3, vec![300, 300], Kind::Scaled),
        (DType::F8_E5M2, vec![300, 256], Kind::Scaled),
        (DType::I32, vec![100, 300], Kind::Ramp),
    ];
    for _ in 0..12 {
        let dtype = DType::ALL[rng.below(DType::ALL.len() as u64) as usize];
        if dtype.bits() < 8 {
            continue;
        }
        let shape = vec![1 + rng.below(150) as usize, 1 + rng.below(500) as usize];
        tensors.push((dtype, shape, Kind::ALL[rng.below(Kind::ALL.len() as u64) as usize]));
    }
    check(&mut gpu, tensors, Effort::Default, 50);
}

/// Quantised weights of matrices whose rows are whole eights of columns, and of others; some are coded in tiles.
#[test]
fn levels() {
    let Some(mut gpu) = Gpu::start(Build::Checked) else {
        return;
    };
    let (folder, mut body, mut entries) = (tempfile::tempdir().unwrap(), Vec::new(), Vec::new());
    let scaled = [[140, 256], [60, 1024], [150, 131]].map(|shape| (shape, Kind::Scaled));
    let smooth = [[270, 256], [130, 150]].map(|shape| (shape, Kind::Smooth));
    for dtype in [DType::BF16, DType::F16, DType::F32] {
        for (shape, kind) in [&scaled[..], &smooth].concat() {
            let data = fill(kind, dtype, &shape, 9);
            let offsets = [body.len(), body.len() + data.len()];
            let name = format!("{kind:?}.{dtype}.{}", shape[1]);
            entries.push(format!(
                r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":{offsets:?}}}"#
            ));
            body.extend(data);
        }
    }
    let header = format!("{{{}}}", entries.join(","));
    let (input, output) = (folder.path().join("m.safetensors"), folder.path().join("m.wcodec"));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &body].concat();
    std::fs::write(&input, bytes).unwrap();
    checkpoint::encode_lossy(&input, &output, &EncodeOptions::lossless(), &Lossy::bits(4.0), &()).unwrap();
    let file = open(&output);
    let method = |t: wcodec::Tensor| t.info().recipe_text().split(' ').next().unwrap_or_default().to_owned();
    let tiled = file.tensors().filter(|t| method(*t) == "tiled-levels").count();
    assert!(
        file.tensors().all(|t| method(t).ends_with("levels")) && tiled == 6,
        "{tiled}"
    );
    check_file(&mut gpu, &file);
}
