//! Decoding on a GPU.
#![allow(unsafe_code)]

use super::problem::when;
use super::ptx;
use super::staging::{CopyStream, Slot};
use super::{Batch, GpuSize, Launch, Part, Profile};
use crate::codec::device::launch::{Conversion, Kernel};
use crate::error::{Error, GpuProblem, Result};
use candle_core::cuda::cudarc::driver::sys::{
    CUdevice_attribute_enum as Device, CUfunction_attribute_enum as Function,
};
use candle_core::cuda::cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaStream, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceSlice,
    LaunchConfig, PushKernelArg,
};
use candle_core::cuda::cudarc::nvrtc::Ptx;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The oldest GPUs that run the kernels: Ampere, which copies to shared memory in the background.
const COMPUTE_CAPABILITY: (i32, i32) = (8, 0);
/// CTAs of a conversion at most.
const CONVERT_GRID: usize = 1 << 16;

/// Whether there is an NVIDIA GPU with a driver. No panic where there is none.
pub fn is_available() -> bool {
    CudaContext::device_count().is_ok_and(|count| count > 0)
}

/// The decode kernels on one GPU, with memory to get tensors there.
pub struct CudaDecoder {
    context: Arc<CudaContext>,
    size: GpuSize,
    functions: Mutex<HashMap<String, CudaFunction>>,
    copies: CopyStream,
    slots: Mutex<Vec<Slot>>,
}

impl std::fmt::Debug for CudaDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CudaDecoder")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CudaDecoder {
    /// The decoder of a GPU: made once for each context, and kept. A kernel is loaded when it is first used.
    ///
    /// # Errors
    /// [`Error::Gpu`]: too old (before compute capability 8.0), or it fails.
    pub fn of(context: &Arc<CudaContext>) -> Result<Arc<Self>> {
        static DECODERS: Mutex<Vec<Arc<CudaDecoder>>> = Mutex::new(Vec::new());
        let mut decoders = lock(&DECODERS);
        if let Some(decoder) = decoders.iter().find(|d| d.context == *context) {
            return Ok(decoder.clone());
        }
        let decoder = Arc::new(Self::new(context)?);
        decoders.push(decoder.clone());
        Ok(decoder)
    }

    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        let asking = || when("asking the GPU what it is");
        let (major, minor) = context.compute_capability().map_err(asking())?;
        if (major, minor) < COMPUTE_CAPABILITY {
            return Err(Error::Gpu {
                problem: GpuProblem::TooOld,
                what: format!("it has compute capability {major}.{minor}, 8.0 is the least: decode on the CPU"),
            });
        }
        let ask = |attribute| context.attribute(attribute).map(|n| n as u32).map_err(asking());
        let size = GpuSize {
            processors: ask(Device::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_bytes: ask(Device::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        };
        Ok(Self {
            context: context.clone(),
            size,
            functions: Mutex::default(),
            copies: CopyStream::new(context)?,
            slots: Mutex::default(),
        })
    }

    /// What of the GPU decides how work is dealt out.
    pub fn size(&self) -> GpuSize {
        self.size
    }

    /// Gives back the memory, here and on the GPU, that is kept for the next call.
    pub fn release_memory(&self) {
        lock(&self.slots).clear();
    }

    /// Decodes parts of tensors, each into its buffer, in one go: on return the work is enqueued on `stream`, and
    /// the encoded bytes have been read and their checksums checked.
    ///
    /// Work that comes after it on `stream` finds the tensors decoded; [`Pending::wait`] says whether they were
    /// sound. The buffers may lie at any address; multiples of 16 are fastest.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`]; [`Error::Usage`] if a buffer is not as long as its part; [`Error::Gpu`].
    pub fn decode<'d, 'o>(
        self: &Arc<Self>,
        stream: &Arc<CudaStream>,
        jobs: Vec<(Part<'d>, CudaViewMut<'o, u8>)>,
    ) -> Result<Pending<'d, 'o>> {
        self.check_jobs(stream, &jobs)?;
        let (parts, mut outputs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let batch = Batch::new(parts, self.size)?;
        // Recorded as written when these are dropped, after the launches.
        let (addresses, _written): (Vec<u64>, Vec<_>) = outputs.iter_mut().map(|o| o.device_ptr_mut(stream)).unzip();
        let flight = self.enqueue(stream, batch, &addresses)?;
        Ok(Pending {
            flight,
            repeated: false,
            outputs: PhantomData,
        })
    }

    /// Refuses buffers that are not as long as their parts, and what is another GPU's: kernels would write anywhere.
    pub(super) fn check_jobs(&self, stream: &CudaStream, jobs: &[(Part<'_>, CudaViewMut<'_, u8>)]) -> Result<()> {
        let ours = |stream: &CudaStream| **stream.context() == *self.context;
        if !ours(stream) {
            return Err(Error::usage(
                "the stream is not of the decoder's GPU: take CudaDecoder::of its context",
            ));
        }
        for (part, output) in jobs {
            let (want, got, name) = (part.byte_len(), output.len(), part.name());
            if want != got as u64 {
                let what = format!("a part of tensor {name:?} takes a buffer of {want} bytes, not {got}");
                return Err(Error::usage(what));
            }
            if !ours(output.stream()) {
                return Err(Error::usage(format!(
                    "the buffer for tensor {name:?} is not on the decoder's GPU"
                )));
            }
        }
        Ok(())
    }

    /// Enqueues a batch whose outputs are at these addresses.
    pub(super) fn enqueue<'d>(
        self: &Arc<Self>,
        stream: &Arc<CudaStream>,
        batch: Batch<'d>,
        outputs: &[u64],
    ) -> Result<Flight<'d>> {
        let mut slot = self.slot(&batch)?;
        let (base, len) = (slot.address(), batch.upload_len() as usize);
        let filled = slot.host().and_then(|host| batch.fill(base, outputs, &mut host[..len]));
        if let Err(error) = filled {
            lock(&self.slots).push(slot);
            return Err(error);
        }
        let mut flight = Flight {
            decoder: self.clone(),
            stream: stream.clone(),
            slot: Some(slot),
            batch,
            done: None,
        };
        // From here on the GPU may be using the slot: if something fails, `flight` waits for it.
        flight.begin(base, len)?;
        Ok(flight)
    }

    /// A slot that holds a batch, from those that are free if there is one.
    fn slot(&self, batch: &Batch<'_>) -> Result<Slot> {
        let (host, device) = (batch.upload_len(), batch.device_len());
        let mut slots = lock(&self.slots);
        match slots.iter().position(|slot| slot.holds(host, device)) {
            Some(at) => Ok(slots.swap_remove(at)),
            None => {
                // Free ones that are too small are not worth their memory any more.
                slots.clear();
                drop(slots);
                // Batches of one size differ a little; no memory is given for nothing.
                let room = |len: u64| (len + len / 16).max(1).next_multiple_of(1 << 20);
                Slot::new(&self.context, room(host), room(device))
            }
        }
    }

    fn function(&self, name: &str) -> Result<CudaFunction> {
        let mut functions = lock(&self.functions);
        if let Some(function) = functions.get(name) {
            return Ok(function.clone());
        }
        let loading = || when(format!("loading the kernel {name}"));
        let source = ptx::of(name).ok_or_else(|| Error::usage(format!("no kernel {name}")))?;
        let module = self.context.load_module(Ptx::from_src(source)).map_err(loading())?;
        let function = module.load_function(name).map_err(loading())?;
        let most = Function::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function
            .set_attribute(most, self.size.shared_bytes as i32)
            .map_err(loading())?;
        functions.insert(name.to_owned(), function.clone());
        Ok(function)
    }

    /// Turns `count` numbers into ones of another type.
    pub(crate) fn convert(
        &self,
        stream: &Arc<CudaStream>,
        conversion: Conversion,
        input: &CudaView<'_, u8>,
        output: &mut CudaViewMut<'_, u8>,
        count: usize,
    ) -> Result<()> {
        let function = self.function(&Kernel::Convert(conversion).name())?;
        let (from, _read) = input.device_ptr(stream);
        let (to, _written) = output.device_ptr_mut(stream);
        let threads = 256;
        let grid = count.div_ceil(threads).clamp(1, CONVERT_GRID) as u32;
        let config = LaunchConfig {
            grid_dim: (grid, 1, 1),
            block_dim: (threads as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        let count = count as u64;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&from).arg(&to).arg(&count);
        // SAFETY: the kernel's parameters are these three; the callers give views of `count` numbers each.
        unsafe { launch.launch(config) }.map_err(when("converting a tensor"))?;
        Ok(())
    }
}

/// A batch that the GPU works on.
pub(super) struct Flight<'d> {
    decoder: Arc<CudaDecoder>,
    stream: Arc<CudaStream>,
    /// There until the end.
    slot: Option<Slot>,
    batch: Batch<'d>,
    done: Option<CudaEvent>,
}

impl Flight<'_> {
    fn begin(&mut self, base: u64, len: usize) -> Result<()> {
        let Some(slot) = &mut self.slot else { return Ok(()) };
        // SAFETY: `drop` and `finish` wait for the slot's use to end before it is free again.
        let uploaded = unsafe { self.decoder.copies.upload(slot, len)? };
        self.stream.wait(&uploaded).map_err(when("waiting for an upload"))?;
        self.launch(base)?;
        self.read_reports()
    }

    fn launch(&self, base: u64) -> Result<()> {
        for launch in self.batch.launches() {
            let (arrays, room) = self.batch.arguments(launch, base);
            self.decoder.launch(&self.stream, launch, arrays, room)?;
        }
        Ok(())
    }

    /// Has the stream read back what the kernels before it say.
    fn read_reports(&mut self) -> Result<()> {
        let Some(slot) = &mut self.slot else { return Ok(()) };
        let reports = self.batch.reports();
        // SAFETY: as above.
        unsafe { slot.download(reports.start as usize..reports.end as usize, &self.stream)? };
        self.mark()
    }

    /// Has what comes next come after what was enqueued so far: a stream such as Candle's is another one on each thread,
    /// and this may be another thread.
    fn follow(&self) -> Result<()> {
        let done = self.done.iter().try_for_each(|done| self.stream.wait(done));
        done.map_err(when("waiting for a decode"))
    }

    /// What has been enqueued so far is what to wait for.
    fn mark(&mut self) -> Result<()> {
        self.done = Some(self.stream.record_event(None).map_err(when("recording an event"))?);
        Ok(())
    }

    /// Waits, and gives what the kernels say of the batch's chunks.
    fn reports(&mut self) -> Result<&[u8]> {
        let (Some(done), Some(slot)) = (&self.done, &mut self.slot) else {
            return Ok(&[]);
        };
        done.synchronize().map_err(when("decoding"))?;
        let reports = self.batch.reports();
        Ok(&slot.host()?[reports.start as usize..reports.end as usize])
    }

    /// Waits, and says whether everything was sound.
    pub(super) fn finish(mut self) -> Result<()> {
        let reports = self.reports()?.to_vec();
        self.batch.finish(&reports)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let idle = match &self.done {
            Some(done) => done.synchronize().is_ok(),
            None => {
                self.decoder.copies.synchronize();
                self.stream.synchronize().is_ok()
            }
        };
        if let (Some(slot), true) = (self.slot.take(), idle) {
            lock(&self.decoder.slots).push(slot);
        }
    }
}

impl CudaDecoder {
    fn launch(&self, stream: &Arc<CudaStream>, launch: &Launch, arrays: [u64; 4], room: u32) -> Result<()> {
        let function = self.function(&launch.name())?;
        let config = LaunchConfig {
            grid_dim: (launch.grid, 1, 1),
            block_dim: (launch.threads, 1, 1),
            shared_mem_bytes: launch.shared_bytes,
        };
        let mut builder = stream.launch_builder(&function);
        arrays.iter().for_each(|address| {
            builder.arg(address);
        });
        builder.arg(&room);
        // SAFETY: the kernels of batches have these parameters. `Batch::fill` has written arrays of addresses
        // within the slot and the outputs, whose sizes were checked; kernels stay within them (kernels/README.md).
        unsafe { builder.launch(config) }.map_err(when(format!("launching {}", launch.name())))?;
        Ok(())
    }
}

/// Parts that are being decoded. Dropping it waits for the end.
#[must_use = "only `wait` says whether the tensors were sound"]
pub struct Pending<'d, 'o> {
    flight: Flight<'d>,
    repeated: bool,
    /// The GPU writes them.
    outputs: PhantomData<&'o mut [u8]>,
}

impl Pending<'_, '_> {
    /// Decodes the same once more: the encoded bytes are on the GPU. For who measures kernels.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn again(&mut self) -> Result<()> {
        self.flight.follow()?;
        let base = self.flight.slot.as_ref().map_or(0, Slot::address);
        let launched = self.flight.launch(base);
        // Also if not all of them could be launched.
        self.flight.mark()?;
        self.repeated = true;
        launched
    }

    /// Waits, and says when the GPU's processors were at work the last time. For who measures kernels.
    ///
    /// # Errors
    /// [`Error::Gpu`].
    pub fn profile(&mut self) -> Result<Profile> {
        self.read_again()?;
        let processors = self.flight.decoder.size.processors;
        Ok(Profile::new(self.flight.reports()?, processors.max(1)))
    }

    fn read_again(&mut self) -> Result<()> {
        if std::mem::take(&mut self.repeated) {
            self.flight.follow()?;
            self.flight.read_reports()?;
        }
        Ok(())
    }

    /// Waits until the parts are decoded.
    ///
    /// # Errors
    /// [`Error::Corrupt`], of the first chunk that is not sound, as the CPU's decoder gives it; [`Error::Gpu`].
    pub fn wait(mut self) -> Result<()> {
        self.read_again()?;
        self.flight.finish()
    }
}
