//! Decoding as an operation of Candle's: from a tensor of bytes to a tensor of numbers.
#![allow(unsafe_code)]

use super::cuda::Target;
use crate::codec::Plan;
use crate::cuda::cudarc::driver::DevicePtr;
use crate::cuda::{CudaDecoder, Encoded};
use crate::format::CHUNK_ALIGNMENT;
use crate::{Decoder, Error, Result};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, Shape, Storage, Tensor};
use std::sync::Arc;

/// Decodes one tensor of a file from its encoded bytes, wherever they are: weights can stay encoded in a GPU's
/// memory, and be decoded when a layer needs them.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use candle_core::Device;
/// use wcodec::candle::DecodeOp;
///
/// let device = Device::new_cuda(0)?;
/// let file = wcodec::Decoder::open("model.wcodec")?;
/// let op = DecodeOp::new(&file, "model.norm.weight")?;
/// let encoded = op.encoded(&device)?;               // a tensor of U8, as long as the encoded bytes
/// let weights = encoded.apply_op1_no_bwd(&op)?;     // in its stored type and shape
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DecodeOp {
    decoder: Decoder,
    name: String,
    plan: Arc<Plan>,
    dtype: DType,
}

impl DecodeOp {
    /// For a tensor of a file. Reads its head.
    ///
    /// # Errors
    /// [`Error::NoTensor`]; [`Error::Usage`] if Candle has no such type; [`Error::Io`], [`Error::Corrupt`],
    /// [`Error::Unsupported`].
    pub fn new(decoder: &Decoder, name: &str) -> Result<Self> {
        let tensor = decoder.tensor(name)?;
        let dtype = candle_dtype(tensor.info().dtype());
        let dtype = dtype.ok_or_else(|| {
            let stored = tensor.info().dtype();
            Error::usage(format!("tensor {name:?}: Candle has no type for {stored}"))
        })?;
        Ok(Self {
            plan: Encoded::new(tensor)?.plan().clone(),
            name: name.to_owned(),
            decoder: decoder.clone(),
            dtype,
        })
    }

    fn head(&self) -> Result<Encoded<'_>> {
        Ok(Encoded::with_plan(self.decoder.tensor(&self.name)?, self.plan.clone()))
    }

    /// Reads the encoded bytes, checks their checksums, and takes them to a device, as a tensor of U8.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`]; Candle's.
    pub fn encoded(&self, device: &Device) -> candle_core::Result<Tensor> {
        let head = self.head()?;
        let mut bytes = vec![0; head.encoded_len(0..head.chunks()) as usize];
        head.read(&mut bytes)?;
        let len = bytes.len();
        Tensor::from_vec(bytes, len, device)
    }
}

/// The one slice of bytes that a tensor is.
fn whole(layout: &Layout) -> candle_core::Result<(usize, usize)> {
    let range = layout.contiguous_offsets();
    range.ok_or_else(|| Error::usage("encoded bytes are in one piece: make the tensor contiguous").into())
}

impl CustomOp1 for DecodeOp {
    fn name(&self) -> &'static str {
        "wcodec-decode"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (start, end) = whole(layout)?;
        let bytes = &storage.as_slice::<u8>()?[start..end];
        let head = self.head()?;
        let info = head.tensor().info();
        let mut out = vec![0; info.byte_len() as usize];
        head.decode_on_cpu(bytes, &mut out)?;
        let decoded = Tensor::from_raw_buffer(&out, self.dtype, info.shape(), &Device::Cpu)?;
        match &*decoded.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.clone(), info.shape().into())),
            _ => Err(Error::usage("a tensor of the CPU is not there").into()),
        }
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let (start, end) = whole(layout)?;
        let bytes = storage.as_cuda_slice::<u8>()?.slice(start..end);
        let head = self.head()?;
        let info = head.tensor().info();
        let stream = storage.device.cuda_stream();
        let (address, _read) = bytes.device_ptr(&stream);
        let part = head.part(0..head.chunks());
        if bytes.len() as u64 != part.encoded_len() || !address.is_multiple_of(CHUNK_ALIGNMENT) {
            let (want, name) = (part.encoded_len(), &self.name);
            let what = format!("tensor {name:?} takes {want} encoded bytes at a multiple of {CHUNK_ALIGNMENT}");
            return Err(Error::usage(what).into());
        }
        // SAFETY: `bytes` are borrowed until the end of this function, which waits for the decoder.
        let part = unsafe { part.resident(address) };
        let mut target = Target::new(&head.tensor(), info.shape(), info.byte_len() as usize, &storage.device)?;
        if part.byte_len() > 0 {
            let decoder = CudaDecoder::of(stream.context())?;
            decoder.decode(&stream, vec![(part, target.encoded_to()?)])?.wait()?;
        }
        Ok((target.into_storage(&storage.device), info.shape().into()))
    }
}

/// The type of the same elements in Candle.
fn candle_dtype(dtype: crate::DType) -> Option<DType> {
    Some(match dtype {
        crate::DType::U8 | crate::DType::BOOL => DType::U8,
        crate::DType::U32 => DType::U32,
        crate::DType::I16 => DType::I16,
        crate::DType::I32 => DType::I32,
        crate::DType::I64 => DType::I64,
        crate::DType::BF16 => DType::BF16,
        crate::DType::F16 => DType::F16,
        crate::DType::F32 => DType::F32,
        crate::DType::F64 => DType::F64,
        crate::DType::F8_E4M3 => DType::F8E4M3,
        crate::DType::F4 => DType::F4,
        crate::DType::F6_E2M3 => DType::F6E2M3,
        crate::DType::F6_E3M2 => DType::F6E3M2,
        crate::DType::F8_E8M0 => DType::F8E8M0,
        _ => return None,
    })
}
