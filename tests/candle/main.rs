//! Loading into Candle, against Candle's own safetensors backend.

mod backend;
mod models;
mod sharded;
mod shards;
#[path = "../support/transformers.rs"]
mod transformers;

use candle_core::{DType, Device, Error, Tensor};
use candle_nn::VarBuilder;
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::path::PathBuf;
use tempfile::TempDir;
use wcodec::{EncodeOptions, Encoder, TensorSpec};

const CPU: Device = Device::Cpu;

/// A tensor before it is in a file.
#[derive(Clone)]
struct Stored {
    name: String,
    dtype: wcodec::DType,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Stored {
    /// Random data: finite values near 0 of a float type, any bytes of others.
    fn random(name: &str, dtype: wcodec::DType, shape: &[usize]) -> Self {
        let mut state = name.bytes().fold(0x9e37_79b9_7f4a_7c15, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let elements = shape.iter().product::<usize>();
        let mut uniform = || (next() >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        let data = match dtype {
            wcodec::DType::BF16 => {
                let base = if shape.len() == 1 { 1.0 } else { 0.0 };
                (0..elements)
                    .flat_map(|_| half::bf16::from_f32(base + 0.3 * uniform()).to_le_bytes())
                    .collect()
            }
            wcodec::DType::F16 => (0..elements)
                .flat_map(|_| half::f16::from_f32(uniform()).to_le_bytes())
                .collect(),
            wcodec::DType::F32 => (0..elements).flat_map(|_| uniform().to_le_bytes()).collect(),
            wcodec::DType::F64 => (0..elements).flat_map(|_| f64::from(uniform()).to_le_bytes()).collect(),
            wcodec::DType::BOOL => (0..elements).map(|_| u8::from(uniform() > 0.0)).collect(),
            _ => (0..elements * dtype.bits() / 8)
                .map(|_| (uniform() * 256.0) as i8 as u8)
                .collect(),
        };
        Self {
            name: name.into(),
            dtype,
            shape: shape.into(),
            data,
        }
    }
}

/// The same tensors in safetensors and in `.wcodec` files.
struct Files {
    dir: TempDir,
    safetensors: Vec<PathBuf>,
    wcodec: Vec<PathBuf>,
}

impl Files {
    fn new(shards: &[Vec<Stored>]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Self {
            dir,
            safetensors: Vec::new(),
            wcodec: Vec::new(),
        };
        for (i, shard) in shards.iter().enumerate() {
            let views: HashMap<_, _> = shard
                .iter()
                .map(|t| {
                    let dtype = serde_json::from_value(serde_json::Value::String(t.dtype.name().into())).unwrap();
                    (
                        t.name.clone(),
                        TensorView::new(dtype, t.shape.clone(), &t.data).unwrap(),
                    )
                })
                .collect();
            let path = files.dir.path().join(format!("{i}.safetensors"));
            std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
            files.safetensors.push(path);

            let path = files.dir.path().join(format!("{i}.wcodec"));
            let specs = shard
                .iter()
                .map(|t| TensorSpec::new(t.name.clone(), t.dtype, t.shape.clone()))
                .collect();
            let mut encoder = Encoder::create(&path, specs, EncodeOptions::lossless()).unwrap();
            shard.iter().for_each(|t| encoder.add(&t.name, &t.data).unwrap());
            encoder.finish().unwrap();
            files.wcodec.push(path);
        }
        files
    }

    /// Candle's own `VarBuilder`.
    fn plain(&self, dtype: DType) -> VarBuilder<'static> {
        // SAFETY: nothing writes to the file.
        unsafe { VarBuilder::from_mmaped_safetensors(&self.safetensors, dtype, &CPU) }.unwrap()
    }
}

/// A tensor's type, shape and bits.
fn bits(tensor: &Tensor) -> (DType, Vec<usize>, Vec<u8>) {
    let bytes = safetensors::View::data(tensor).into_owned();
    (tensor.dtype(), tensor.dims().to_vec(), bytes)
}

/// The error without the backtrace that `RUST_BACKTRACE` wraps it in.
fn kind(error: &Error) -> &Error {
    match error {
        Error::WithBacktrace { inner, .. } => kind(inner),
        other => other,
    }
}
