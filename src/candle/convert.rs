//! From decoded bytes to Candle tensors.

use super::memory::zeroed;
use crate::error::{Error, Location, Result, Section};
use crate::{DType, Tensor};
use bytemuck::Pod;
use candle_core::{DType as CandleDType, Device, WithDType};
use float8::F8E4M3;
use half::{bf16, f16};
use std::ops::Range;

/// Decodes a tensor, or rows of it, into a Candle tensor in the CPU's memory.
pub(super) fn decode(
    tensor: &Tensor<'_>,
    rows: Option<Range<usize>>,
    huge_pages: bool,
) -> candle_core::Result<candle_core::Tensor> {
    let part = Part {
        tensor,
        rows,
        huge_pages,
    };
    match tensor.info().dtype() {
        DType::U8 | DType::BOOL => part.plain::<u8>(),
        DType::U32 => part.plain::<u32>(),
        DType::I16 => part.plain::<i16>(),
        DType::I32 => part.plain::<i32>(),
        DType::I64 => part.plain::<i64>(),
        DType::F16 => part.plain::<f16>(),
        DType::BF16 => part.plain::<bf16>(),
        DType::F32 => part.plain::<f32>(),
        DType::F64 => part.plain::<f64>(),
        DType::F8_E4M3 => part.plain::<F8E4M3>(),
        DType::U16 => part.mapped(|x: u16| u32::from(x)),
        DType::I8 => part.mapped(|x: i8| i16::from(x)),
        // F8_E5M2 is F16 without its lower byte: infinities, NaNs and subnormals too.
        DType::F8_E5M2 => part.mapped(|x: u8| f16::from_bits(u16::from(x) << 8)),
        DType::F4 => part.packed(CandleDType::F4),
        DType::F6_E2M3 => part.packed(CandleDType::F6E2M3),
        DType::F6_E3M2 => part.packed(CandleDType::F6E3M2),
        DType::F8_E8M0 => part.packed(CandleDType::F8E8M0),
        other => {
            let name = tensor.info().name();
            Err(Error::usage(format!(
                "tensor {name:?}: Candle has no type for {other}: take its raw_tensor"
            ))
            .into())
        }
    }
}

/// Decodes a tensor into its bytes.
pub(super) fn decode_raw(tensor: &Tensor<'_>) -> candle_core::Result<candle_core::Tensor> {
    let bytes: Vec<u8> = Part {
        tensor,
        rows: None,
        huge_pages: false,
    }
    .decode()?;
    let len = bytes.len();
    candle_core::Tensor::from_vec(bytes, len, &Device::Cpu)
}

/// Bytes that a decoded tensor takes, converted to `dtype` if there is one, those of its stored type
/// included while it is converted.
pub(super) fn memory(tensor: &Tensor<'_>, dtype: Option<CandleDType>) -> u64 {
    let info = tensor.info();
    let converted = match dtype {
        Some(dtype) if !dtype.as_str().eq_ignore_ascii_case(info.dtype().name()) => {
            let elements = info.byte_len().saturating_mul(8) / info.dtype().bits() as u64;
            elements.saturating_mul(dtype.size_in_bytes() as u64)
        }
        _ => 0,
    };
    info.byte_len().saturating_add(converted)
}

struct Part<'a, 'd> {
    tensor: &'a Tensor<'d>,
    rows: Option<Range<usize>>,
    huge_pages: bool,
}

impl Part<'_, '_> {
    fn shape(&self) -> Vec<usize> {
        let mut shape = self.tensor.info().shape().to_vec();
        if let (Some(rows), Some(first)) = (&self.rows, shape.first_mut()) {
            *first = rows.len();
        }
        shape
    }

    fn byte_len(&self) -> u64 {
        match &self.rows {
            Some(rows) => self.tensor.row_len().unwrap_or(0).saturating_mul(rows.len() as u64),
            None => self.tensor.info().byte_len(),
        }
    }

    /// The part's elements, decoded where they will stay.
    fn decode<T: Pod>(&self) -> Result<Vec<T>> {
        let info = self.tensor.info();
        let at = || Location::new(Section::Data).tensor(info.name());
        let bytes = self.byte_len();
        let len = usize::try_from(bytes).map_err(|_| Error::OutOfMemory {
            at: Box::new(at()),
            bytes,
        })?;
        let mut out: Vec<T> = zeroed(len / size_of::<T>(), self.huge_pages, at)?;
        let buffer = bytemuck::cast_slice_mut(&mut out);
        match &self.rows {
            Some(rows) => self.tensor.decode_rows(rows.clone(), buffer)?,
            None => self.tensor.decode_into(buffer)?,
        }
        Ok(out)
    }

    fn plain<T: Pod + WithDType>(&self) -> candle_core::Result<candle_core::Tensor> {
        candle_core::Tensor::from_vec(self.decode::<T>()?, self.shape(), &Device::Cpu)
    }

    fn mapped<T: Pod, U: WithDType>(&self, convert: impl Fn(T) -> U) -> candle_core::Result<candle_core::Tensor> {
        let out: Vec<U> = self.decode::<T>()?.into_iter().map(convert).collect();
        candle_core::Tensor::from_vec(out, self.shape(), &Device::Cpu)
    }

    fn packed(&self, dtype: CandleDType) -> candle_core::Result<candle_core::Tensor> {
        candle_core::Tensor::from_raw_buffer(&self.decode::<u8>()?, dtype, &self.shape(), &Device::Cpu)
    }
}

/// Refuses a tensor of another shape than the model's, as Candle's own backends do.
pub(super) fn same_shape(
    name: &str,
    got: &candle_core::Shape,
    expected: &candle_core::Shape,
) -> candle_core::Result<()> {
    if got == expected {
        return Ok(());
    }
    let msg = format!("shape mismatch for {name}");
    let (got, expected) = (got.clone(), expected.clone());
    Err(candle_core::Error::UnexpectedShape { msg, expected, got }.bt())
}
