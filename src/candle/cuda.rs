//! Tensors that are born on the GPU.
#![allow(unsafe_code)]

use super::backend::{Shards, WcodecBackend};
use super::convert;
use super::options::GpuDecode;
use crate::codec::device::launch::Conversion;
use crate::cuda::cudarc::driver::{CudaSlice, CudaViewMut, DeviceRepr};
use crate::cuda::{CudaDecoder, Encoded, Part, when};
use crate::{DType, Error, Result, Tensor};
use candle_core::cuda::CudaStorageSlice as Slice;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Storage, Tensor as CandleTensor};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl WcodecBackend {
    /// A tensor on a GPU, in its stored type, decoded there; with it, those that the model asks for next. `None` if
    /// the options leave it to the CPU.
    pub(super) fn load_on_gpu(&self, i: usize, device: &CudaDevice) -> candle_core::Result<Option<CandleTensor>> {
        let shards = &self.shards;
        if shards.gpu == GpuDecode::Never {
            return Ok(None);
        }
        if let Some(tensor) = shards.ahead.take(i, None) {
            return tensor.to_device(&Device::Cuda(device.clone())).map(Some);
        }
        let memory = |i| {
            shards
                .tensor(i)
                .map_or(u64::MAX, |tensor| convert::memory(&tensor, None))
        };
        let planned = shards.ahead.plan(i, memory);
        let started: Vec<_> = planned
            .into_iter()
            .filter_map(|next| shards.ahead.start(next))
            .collect();
        let all: Vec<usize> = [i].into_iter().chain(started.iter().map(|s| s.tensor())).collect();
        let together = catch_unwind(AssertUnwindSafe(|| decode(shards, &all, device)));
        let mut tensors = together.ok().and_then(Result::ok).unwrap_or_default().into_iter();
        let first = tensors.next();
        started
            .into_iter()
            .for_each(|one| shards.ahead.finish(one, tensors.next(), None));
        // An error, or a panic, of another tensor comes again where the model asks for that one.
        let result = match first {
            Some(tensor) => Ok(Some(tensor)),
            None => decode(shards, &[i], device).map(|tensors| tensors.into_iter().next()),
        };
        match result {
            Err(Error::Gpu { .. }) if shards.gpu == GpuDecode::OrCpu => Ok(None),
            Err(error) => Err(error.into()),
            Ok(tensor) => Ok(tensor),
        }
    }
}

impl WcodecBackend {
    /// The bytes of a tensor on a GPU, decoded there. `None` as above.
    pub(super) fn load_bytes_on_gpu(&self, i: usize, device: &CudaDevice) -> candle_core::Result<Option<CandleTensor>> {
        let tensor = self.shards.tensor(i)?;
        match self.shards.gpu {
            GpuDecode::Never => Ok(None),
            gpu => match decode_bytes(&tensor, device) {
                Err(Error::Gpu { .. }) if gpu == GpuDecode::OrCpu => Ok(None),
                decoded => Ok(Some(decoded?)),
            },
        }
    }
}

impl WcodecBackend {
    /// Rows of a tensor on a GPU, in its stored type, decoded there. `None` as above.
    pub(super) fn load_rows_on_gpu(
        &self,
        tensor: &Tensor<'_>,
        rows: Range<usize>,
        device: &CudaDevice,
    ) -> candle_core::Result<Option<CandleTensor>> {
        match self.shards.gpu {
            GpuDecode::Never => Ok(None),
            gpu => match decode_rows(tensor, rows, device) {
                Err(Error::Gpu { .. }) if gpu == GpuDecode::OrCpu => Ok(None),
                decoded => Ok(Some(decoded?)),
            },
        }
    }
}

/// Decodes rows of a tensor on a GPU: chunks that hold nothing else where they stay, the first and the last one, of
/// which they may be a part, elsewhere.
fn decode_rows(tensor: &Tensor<'_>, rows: Range<usize>, device: &CudaDevice) -> Result<CandleTensor> {
    let stream = device.cuda_stream();
    let bytes = tensor.row_bytes(rows.clone())?;
    let mut shape = tensor.info().shape().to_vec();
    shape[0] = rows.len();
    let mut target = Target::new(tensor, &shape, (bytes.end - bytes.start) as usize, device)?;
    let decoder = CudaDecoder::of(stream.context())?;
    if !bytes.is_empty() {
        let encoded = Encoded::new(*tensor)?;
        let cover = encoded.cover(bytes);
        let whole = encoded.part(cover.whole);
        let parts: Vec<Part<'_>> = cover
            .edges
            .iter()
            .map(|edge| encoded.part(edge.chunk..edge.chunk + 1))
            .collect();
        let mut edges = parts
            .iter()
            // SAFETY: the decoder writes all of it before anything reads it.
            .map(|part| unsafe { take::<u8>(device, part.byte_len() as usize) })
            .collect::<Result<Vec<_>>>()?;
        let mut jobs: Vec<(Part<'_>, CudaViewMut<'_, u8>)> = parts
            .into_iter()
            .zip(edges.iter_mut().map(CudaSlice::as_view_mut))
            .collect();
        let mut out = target.encoded_to()?;
        if whole.byte_len() > 0 {
            let (start, len) = (cover.whole_at as usize, whole.byte_len() as usize);
            jobs.push((whole, out.slice_mut(start..start + len)));
        }
        decoder.decode_all(&stream, jobs, &())?;
        for (edge, from) in cover.edges.iter().zip(&edges) {
            let (start, end) = (edge.bytes.start as usize, edge.bytes.end as usize);
            let mut to = out.slice_mut(edge.at as usize..edge.at as usize + (end - start));
            let copied = stream.memcpy_dtod(&from.slice(start..end), &mut to);
            copied.map_err(when("copying rows of a tensor"))?;
        }
    }
    let decoded = target.finish(&decoder, device)?;
    // As below.
    stream.synchronize().map_err(when("decoding"))?;
    Ok(decoded)
}

fn decode_bytes(tensor: &Tensor<'_>, device: &CudaDevice) -> Result<CandleTensor> {
    let (len, stream) = (tensor.info().byte_len() as usize, device.cuda_stream());
    // SAFETY: the decoder writes all of it before anything reads it.
    let mut bytes = unsafe { take::<u8>(device, len)? };
    if len > 0 {
        let decoder = CudaDecoder::of(stream.context())?;
        decoder.decode_all(&stream, vec![(whole(tensor)?, bytes.as_view_mut())], &())?;
    }
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(bytes, device.clone()));
    Ok(CandleTensor::from_storage(storage, len, BackpropOp::none(), false))
}

/// All chunks of a tensor.
fn whole<'d>(tensor: &Tensor<'d>) -> Result<Part<'d>> {
    let encoded = Encoded::new(*tensor)?;
    Ok(encoded.part(0..encoded.chunks()))
}

/// Decodes tensors of a backend on a GPU, in their stored types.
fn decode(shards: &Shards, tensors: &[usize], device: &CudaDevice) -> Result<Vec<CandleTensor>> {
    let tensors: Vec<Tensor<'_>> = tensors.iter().map(|&i| shards.tensor(i)).collect::<Result<_>>()?;
    let decoded = decode_tensors(&tensors, device)?;
    tensors.iter().for_each(Tensor::release);
    Ok(decoded)
}

/// Decodes tensors on a GPU.
pub(super) fn decode_tensors(tensors: &[Tensor<'_>], device: &CudaDevice) -> Result<Vec<CandleTensor>> {
    let stream = device.cuda_stream();
    let decoder = CudaDecoder::of(stream.context())?;
    let mut targets = tensors
        .iter()
        .map(|t| Target::new(t, t.info().shape(), t.info().byte_len() as usize, device))
        .collect::<Result<Vec<_>>>()?;
    let filled = tensors
        .iter()
        .zip(&mut targets)
        .filter(|(t, _)| t.info().byte_len() > 0);
    let jobs = filled
        .map(|(tensor, target)| Ok((whole(tensor)?, target.encoded_to()?)))
        .collect::<Result<Vec<_>>>()?;
    decoder.decode_all(&stream, jobs, &())?;
    let converted = targets.into_iter().map(|target| target.finish(&decoder, device));
    let converted = converted.collect::<Result<Vec<_>>>()?;
    // Another thread's stream knows nothing of this one's.
    stream.synchronize().map_err(when("decoding"))?;
    Ok(converted)
}

/// GPU memory for a tensor, or for rows of it.
pub(super) struct Target {
    shape: Vec<usize>,
    /// Bytes in the stored type.
    bytes: usize,
    slice: Slice,
    /// Bytes of a type that Candle has not, to be converted into `slice`.
    stored: Option<(CudaSlice<u8>, Conversion)>,
}

/// Memory for `len` elements, at least one: the driver gives none for none.
///
/// # Safety
/// They are not set.
unsafe fn take<T: DeviceRepr>(device: &CudaDevice, len: usize) -> Result<CudaSlice<T>> {
    // SAFETY: the caller's.
    let slice = unsafe { device.cuda_stream().alloc(len.max(1)) };
    slice.map_err(when(format!("taking GPU memory for {len} elements")))
}

impl Target {
    /// `shape` is that of `bytes` bytes of the tensor.
    pub(super) fn new(tensor: &Tensor<'_>, shape: &[usize], bytes: usize, device: &CudaDevice) -> Result<Self> {
        let info = tensor.info();
        let conversion = match info.dtype() {
            DType::U16 => Some(Conversion::U16ToU32),
            DType::I8 => Some(Conversion::I8ToI16),
            DType::F8_E5M2 => Some(Conversion::F8E5M2ToF16),
            _ => None,
        };
        let stored = match conversion {
            // SAFETY: the decoder writes all of it before anything reads it.
            Some(conversion) => Some((unsafe { take(device, bytes)? }, conversion)),
            None => None,
        };
        let name = info.name();
        // SAFETY: as above; what is converted, by the conversion.
        let slice = unsafe {
            match info.dtype() {
                DType::U8 | DType::BOOL => Slice::U8(take(device, bytes)?),
                DType::U32 => Slice::U32(take(device, bytes / 4)?),
                DType::U16 => Slice::U32(take(device, bytes / 2)?),
                DType::I16 => Slice::I16(take(device, bytes / 2)?),
                DType::I8 => Slice::I16(take(device, bytes)?),
                DType::I32 => Slice::I32(take(device, bytes / 4)?),
                DType::I64 => Slice::I64(take(device, bytes / 8)?),
                DType::F16 => Slice::F16(take(device, bytes / 2)?),
                DType::F8_E5M2 => Slice::F16(take(device, bytes)?),
                DType::BF16 => Slice::BF16(take(device, bytes / 2)?),
                DType::F32 => Slice::F32(take(device, bytes / 4)?),
                DType::F64 => Slice::F64(take(device, bytes / 8)?),
                DType::F8_E4M3 => Slice::F8E4M3(take(device, bytes)?),
                DType::F4 => Slice::F4(take(device, bytes)?),
                DType::F6_E2M3 => Slice::F6E2M3(take(device, bytes)?),
                DType::F6_E3M2 => Slice::F6E3M2(take(device, bytes)?),
                DType::F8_E8M0 => Slice::F8E8M0(take(device, bytes)?),
                other => {
                    return Err(Error::usage(format!(
                        "tensor {name:?}: Candle has no type for {other}: take its raw_tensor"
                    )));
                }
            }
        };
        Ok(Self {
            shape: shape.to_vec(),
            bytes,
            slice,
            stored,
        })
    }

    /// Where the decoded bytes go.
    pub(super) fn encoded_to(&mut self) -> Result<CudaViewMut<'_, u8>> {
        match &mut self.stored {
            Some((stored, _)) => Ok(stored.as_view_mut()),
            None => bytes_of(&mut self.slice),
        }
    }

    fn finish(mut self, decoder: &CudaDecoder, device: &CudaDevice) -> Result<CandleTensor> {
        if let (Some((stored, conversion)), true) = (&self.stored, self.bytes > 0) {
            let count = self.bytes / conversion.stored_bytes();
            let mut to = bytes_of(&mut self.slice)?;
            decoder.convert(&device.cuda_stream(), *conversion, &stored.as_view(), &mut to, count)?;
        }
        let shape = std::mem::take(&mut self.shape);
        let storage = Storage::Cuda(self.into_storage(device));
        Ok(CandleTensor::from_storage(storage, shape, BackpropOp::none(), false))
    }

    /// What it is when nothing is to be converted.
    pub(super) fn into_storage(self, device: &CudaDevice) -> CudaStorage {
        CudaStorage {
            slice: self.slice,
            device: device.clone(),
        }
    }
}

/// The bytes of a slice.
fn bytes_of(slice: &mut Slice) -> Result<CudaViewMut<'_, u8>> {
    fn view<T>(slice: &mut CudaSlice<T>) -> Option<CudaViewMut<'_, u8>> {
        let bytes = slice.len() * size_of::<T>();
        // SAFETY: it has so many bytes, and every pattern of them is a number.
        unsafe { slice.transmute_mut(bytes) }
    }
    let view = match slice {
        Slice::U8(s) | Slice::F4(s) | Slice::F6E2M3(s) | Slice::F6E3M2(s) | Slice::F8E8M0(s) => view(s),
        Slice::U32(s) => view(s),
        Slice::I16(s) => view(s),
        Slice::I32(s) => view(s),
        Slice::I64(s) => view(s),
        Slice::BF16(s) => view(s),
        Slice::F16(s) => view(s),
        Slice::F32(s) => view(s),
        Slice::F64(s) => view(s),
        Slice::F8E4M3(s) => view(s),
    };
    view.ok_or_else(|| Error::usage("a tensor's memory is shorter than it is"))
}
