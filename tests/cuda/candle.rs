//! Candle's tensors on a GPU, against those on the CPU.

use crate::gpu::{Build, Gpu};
use crate::support::data::{Kind, fill};
use candle_core::{DType, Device, Tensor};
use candle_nn::var_builder::{Shard, SimpleBackend};
use std::path::PathBuf;
use wcodec::candle::{DecodeOp, GpuDecode, LoadOptions, WcodecBackend, wcodec_error};
use wcodec::{DType as Stored, Decoder, Effort, EncodeOptions, Encoder, Error, GpuProblem, TensorSpec};

/// A file with a tensor of every type that Candle has a type for.
fn file(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("t.wcodec");
    let specs: Vec<TensorSpec> = Stored::ALL
        .iter()
        .filter(|d| !["U64", "C64", "F8_E4M3FNUZ", "F8_E5M2FNUZ"].contains(&d.name()))
        .map(|&d| TensorSpec::new(format!("layers.{}.{d}", d.bits()), d, [24, 40]))
        .collect();
    let options = EncodeOptions::lossless().effort(Effort::Default);
    let mut encoder = Encoder::create(&path, specs.clone(), options).unwrap();
    for spec in &specs {
        encoder
            .add(&spec.name, &fill(Kind::Normal, spec.dtype, &[24, 40], 1))
            .unwrap();
    }
    encoder.finish().unwrap();
    path
}

fn device() -> Option<Device> {
    Gpu::start(Build::Fast).map(|_| Device::new_cuda(0).unwrap())
}

fn same(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()), "{what}");
    let bytes = |t: &Tensor| {
        t.to_device(&Device::Cpu)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_dtype(DType::F64)
            .unwrap()
    };
    let (a, b) = (bytes(a).to_vec1::<f64>().unwrap(), bytes(b).to_vec1::<f64>().unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}");
}

/// Types that Candle stores and computes nothing with.
fn is_storage_only(name: &str) -> bool {
    ["F4", "F6_E2M3", "F6_E3M2", "F8_E8M0"]
        .iter()
        .any(|t| name.ends_with(t))
}

#[test]
fn every_type_as_on_the_cpu() {
    let Some(device) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    for gpu in [GpuDecode::Always, GpuDecode::OrCpu, GpuDecode::Never] {
        for ahead in [0, 1 << 20] {
            let options = LoadOptions::default().gpu(gpu).ahead_bytes(ahead);
            let backend = WcodecBackend::open(&[&path], options).unwrap();
            let names: Vec<String> = backend.names().map(str::to_owned).collect();
            for name in names.iter().filter(|name| !is_storage_only(name)) {
                let stored = backend.get_unchecked(name, DType::F32, &Device::Cpu).unwrap();
                let got = backend.get_unchecked(name, DType::F32, &device).unwrap();
                assert!(got.device().is_cuda());
                same(&stored, &got, name);
            }
            for name in &names {
                let raw = |device: &Device| {
                    backend
                        .raw_tensor(name, device)
                        .unwrap()
                        .to_device(&Device::Cpu)
                        .unwrap()
                };
                let raw = |device: &Device| raw(device).to_vec1::<u8>().unwrap();
                assert!(raw(&Device::Cpu) == raw(&device), "{name}");
            }
        }
    }
}

#[test]
fn bytes_to_numbers() {
    let Some(device) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = Decoder::open(file(&folder)).unwrap();
    let backend = WcodecBackend::from_decoders(vec![file.clone()], LoadOptions::default()).unwrap();
    for name in ["layers.16.BF16", "layers.32.F32", "layers.8.U8", "layers.64.I64"] {
        let op = DecodeOp::new(&file, name).unwrap();
        for at in [&Device::Cpu, &device] {
            let encoded = op.encoded(at).unwrap();
            let got = encoded.apply_op1_no_bwd(&op).unwrap();
            let expected = backend.get_unchecked(name, got.dtype(), &Device::Cpu).unwrap();
            same(&expected, &got, name);
            // As long as it must be, but not what it was.
            let zeros = encoded.zeros_like().unwrap();
            let damaged = zeros.apply_op1_no_bwd(&op);
            assert!(damaged.is_err() || name.ends_with("U8"), "{name}: zeros are no chunks");
            let short = encoded.narrow(0, 0, 16).unwrap();
            let error = short.apply_op1_no_bwd(&op).unwrap_err();
            assert!(matches!(wcodec_error(&error), Some(Error::Usage(_))), "{error}");
        }
    }
}

/// Rows that start and end within chunks.
#[test]
fn rows() {
    parts(&[(0, 1), (0, 2), (0, 3), (0, 600)]);
}

#[test]
fn columns() {
    parts(&[(1, 2), (1, 3)]);
}

/// Parts along a dimension, of so many, as on the CPU.
fn parts(ways: &[(usize, usize)]) {
    let Some(device) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.wcodec");
    // Chunks of some rows and a half.
    let (shape, kinds) = ([600, 330], [Stored::BF16, Stored::F32, Stored::U8]);
    let specs: Vec<TensorSpec> = kinds
        .iter()
        .map(|&d| TensorSpec::new(format!("{d}"), d, shape))
        .collect();
    let mut encoder = Encoder::create(&path, specs.clone(), EncodeOptions::lossless()).unwrap();
    for spec in &specs {
        encoder
            .add(&spec.name, &fill(Kind::Scaled, spec.dtype, &shape, 3))
            .unwrap();
    }
    encoder.finish().unwrap();
    for gpu in [GpuDecode::Always, GpuDecode::Never] {
        let backend = WcodecBackend::open(&[&path], LoadOptions::default().gpu(gpu)).unwrap();
        for (name, dtype) in [("BF16", DType::BF16), ("F32", DType::F32), ("U8", DType::U8)] {
            for &(dim, world_size) in ways {
                for rank in [0, world_size / 2, world_size - 1] {
                    let shard = |device: &Device| {
                        let vb = backend.sharded_var_builder(dtype, device);
                        vb.get_with_hints(&shape[..], name, Shard { dim, rank, world_size })
                            .unwrap()
                    };
                    let (expected, got) = (shard(&Device::Cpu), shard(&device));
                    assert!(got.device().is_cuda());
                    same(&expected, &got, &format!("{name}, {rank} of {world_size} along {dim}"));
                }
            }
        }
    }
}

/// `tests/cuda/rehearse` has one.
#[test]
#[ignore = "for a GPU before compute capability 8.0"]
fn a_gpu_that_is_too_old() {
    let device = Device::new_cuda(0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let get = |gpu, device: &Device| {
        let backend = WcodecBackend::open(&[&path], LoadOptions::default().gpu(gpu)).unwrap();
        backend.get_unchecked("layers.16.BF16", DType::BF16, device)
    };
    let error = get(GpuDecode::Always, &device).unwrap_err();
    match wcodec_error(&error) {
        Some(Error::Gpu { problem, .. }) => assert_eq!(*problem, GpuProblem::TooOld),
        _ => panic!("{error}"),
    }
    let (expected, got) = (get(GpuDecode::Never, &Device::Cpu), get(GpuDecode::OrCpu, &device));
    same(&expected.unwrap(), &got.unwrap(), "decoded on the CPU");
}
