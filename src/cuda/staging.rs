//! The way of batches to the GPU: pinned memory, a stream of its own for copies, memory there.
//!
//! Streams, events and pinned memory are used below cudarc's safe layer where that would slow the caller down: a
//! stream made by it has it record an event for every later use of any tensor.
#![allow(unsafe_code)]

use super::problem::when;
use crate::error::Result;
use candle_core::cuda::cudarc::driver::{
    CudaContext, CudaEvent, CudaSlice, CudaStream, DevicePtr, PinnedHostSlice, result, sys,
};
use std::ops::Range;
use std::sync::Arc;

/// A stream for uploads, so that the next batch arrives while the last one is decoded.
pub(super) struct CopyStream {
    raw: sys::CUstream,
    context: Arc<CudaContext>,
}

// SAFETY: a stream is a handle that the driver lets any thread use.
unsafe impl Send for CopyStream {}
// SAFETY: as above.
unsafe impl Sync for CopyStream {}

impl CopyStream {
    pub(super) fn new(context: &Arc<CudaContext>) -> Result<Self> {
        context.bind_to_thread().map_err(when("using the GPU"))?;
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(when("making a stream"))?;
        Ok(Self {
            raw,
            context: context.clone(),
        })
    }

    /// Begins to upload the first `len` bytes of a slot. Gives what to wait for before they are used.
    ///
    /// # Safety
    /// Nothing may touch the slot's memory, here or there, before that event; the caller waits for it, or for
    /// what comes after it, before it uses or frees the slot.
    pub(super) unsafe fn upload(&self, slot: &mut Slot, len: usize) -> Result<CudaEvent> {
        let doing = || when("uploading encoded tensors");
        let uploaded = self.context.new_event(None).map_err(doing())?;
        let address = slot.address();
        let host = slot.host()?;
        // SAFETY: the slot has room for `len` bytes on both sides; the caller keeps it. The event is of the
        // stream's context, which `new_event` has made this thread's.
        unsafe {
            result::memcpy_htod_async(address, &host[..len], self.raw).map_err(doing())?;
            result::event::record(uploaded.cu_event(), self.raw).map_err(doing())?;
        }
        Ok(uploaded)
    }

    /// Waits for all uploads.
    pub(super) fn synchronize(&self) {
        // SAFETY: the stream is alive. An error comes again where its results are wanted.
        let _ = self
            .context
            .bind_to_thread()
            .map(|()| unsafe { result::stream::synchronize(self.raw) });
    }
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        // SAFETY: the stream is ours, and this is its end.
        let _ = self
            .context
            .bind_to_thread()
            .map(|()| unsafe { result::stream::destroy(self.raw) });
    }
}

/// Pinned memory and GPU memory for one batch at a time.
pub(super) struct Slot {
    host: PinnedHostSlice<u8>,
    device: CudaSlice<u8>,
}

impl Slot {
    /// With so many bytes here and there.
    pub(super) fn new(context: &Arc<CudaContext>, host_len: u64, device_len: u64) -> Result<Self> {
        let stream = context.default_stream();
        // SAFETY: bytes, which are written before they are read: here by `Batch::fill`, there by its upload, and
        // by the kernels what follows that. Not write-combined: checksums are read from it.
        let (host, device) = unsafe {
            (
                context.alloc_pinned_with_flags(host_len as usize, 0),
                stream.alloc(device_len as usize),
            )
        };
        let slot = Self {
            host: host.map_err(when(format!("taking {host_len} bytes of pinned memory")))?,
            device: device.map_err(when(format!(
                "taking {device_len} bytes of GPU memory for encoded tensors"
            )))?,
        };
        // Other streams use it.
        stream.synchronize().map_err(when("using the GPU"))?;
        Ok(slot)
    }

    pub(super) fn holds(&self, host_len: u64, device_len: u64) -> bool {
        self.host.len() as u64 >= host_len && self.device.len() as u64 >= device_len
    }

    /// Where the GPU has it.
    pub(super) fn address(&self) -> u64 {
        self.device.device_ptr(self.device.stream()).0
    }

    /// The pinned memory.
    pub(super) fn host(&mut self) -> Result<&mut [u8]> {
        self.host.as_mut_slice().map_err(when("using pinned memory"))
    }

    /// Has `stream` bring a range back, to where it was uploaded from.
    ///
    /// # Safety
    /// As [`CopyStream::upload`], for work on `stream`.
    pub(super) unsafe fn download(&mut self, range: Range<usize>, stream: &CudaStream) -> Result<()> {
        let from = self.address() + range.start as u64;
        let to = &mut self.host()?[range];
        // SAFETY: the slot has that range on both sides; the caller keeps it.
        unsafe { result::memcpy_dtoh_async(to, from, stream.cu_stream()) }
            .map_err(when("reading back what kernels say"))
    }
}
