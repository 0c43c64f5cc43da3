//! A GPU of this machine, as `tests/kernels/gpu.rs` gives one that is emulated.

use std::sync::Arc;
use wcodec::cuda::cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use wcodec::cuda::{CudaDecoder, Encoded, GpuSize, Part, is_available};
use wcodec::{Result, Tensor};

/// How an emulated GPU's kernels are compiled: these are what they are.
#[derive(Clone, Copy)]
pub enum Build {
    Fast,
    Checked,
}

/// The planner takes the GPU's own.
pub const SIZE: GpuSize = GpuSize {
    processors: 0,
    shared_bytes: 0,
};

pub struct Gpu {
    pub stream: Arc<CudaStream>,
    pub decoder: Arc<CudaDecoder>,
}

impl Gpu {
    pub fn start(_: Build) -> Option<Self> {
        if !is_available() {
            assert!(std::env::var_os("WCODEC_NEEDS_GPU").is_none(), "no NVIDIA GPU here");
            eprintln!("SKIPPED: no NVIDIA GPU here");
            return None;
        }
        let context = CudaContext::new(0).unwrap();
        let decoder = CudaDecoder::of(&context).unwrap();
        Some(Self {
            stream: context.default_stream(),
            decoder,
        })
    }

    /// As the emulated GPU's.
    pub fn decode(&mut self, parts: Vec<Part<'_>>, _: GpuSize, odd: u64) -> Result<Vec<Vec<u8>>> {
        let odd = odd as usize;
        let junk = |part: &Part<'_>| {
            self.stream
                .clone_htod(&vec![0xa5u8; part.byte_len() as usize + odd + 1])
        };
        let mut outputs: Vec<CudaSlice<u8>> = parts.iter().map(junk).collect::<Result<_, _>>().unwrap();
        let lens: Vec<usize> = parts.iter().map(|part| part.byte_len() as usize).collect();
        let views = outputs
            .iter_mut()
            .zip(&lens)
            .map(|(out, len)| out.slice_mut(odd..odd + len));
        let pending = self
            .decoder
            .decode(&self.stream, parts.into_iter().zip(views).collect())?;
        pending.wait()?;
        let read = outputs.iter().zip(&lens).map(|(out, len)| {
            let all = self.stream.clone_dtoh(out).unwrap();
            assert!(
                all[..odd].iter().chain(&all[odd + len..]).all(|b| *b == 0xa5),
                "bytes outside were written"
            );
            all[odd..odd + len].to_vec()
        });
        Ok(read.collect())
    }

    /// Decodes a whole tensor.
    pub fn tensor(&mut self, tensor: Tensor<'_>) -> Result<Vec<u8>> {
        let encoded = Encoded::new(tensor)?;
        let whole = encoded.part(0..encoded.chunks());
        Ok(self.decode(vec![whole], SIZE, 0)?.remove(0))
    }
}
