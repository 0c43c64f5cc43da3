//! Many tensors in a row, errors, cancellation.

use crate::gpu::{Build, Gpu};
use crate::support::sample;
use wcodec::cuda::cudarc::driver::CudaSlice;
use wcodec::cuda::{Encoded, Part};
use wcodec::{Decoder, Error, Progress, Tensor};

fn whole(tensor: Tensor<'_>) -> Part<'_> {
    let encoded = Encoded::new(tensor).unwrap();
    encoded.part(0..encoded.chunks())
}

#[test]
fn all_tensors_of_a_file_again_and_again() {
    let Some(gpu) = Gpu::start(Build::Fast) else { return };
    let sample = sample::rich();
    let file = Decoder::from_bytes(sample.bytes.clone(), "sample").unwrap();
    for _ in 0..20 {
        let tensors: Vec<_> = file.tensors().collect();
        let new = |len: u64| gpu.stream.alloc_zeros::<u8>(len.max(1) as usize).unwrap();
        let mut outputs: Vec<CudaSlice<u8>> = tensors.iter().map(|t| new(t.info().byte_len())).collect();
        let jobs = tensors.iter().zip(&mut outputs).map(|(t, out)| {
            let len = t.info().byte_len() as usize;
            (whole(*t), out.slice_mut(0..len))
        });
        gpu.decoder.decode_all(&gpu.stream, jobs.collect(), &()).unwrap();
        for ((name, expected), out) in sample.tensors.iter().zip(&outputs) {
            let got = gpu.stream.clone_dtoh(out).unwrap();
            assert!(got[..expected.len()] == expected[..], "{name}");
        }
    }
    gpu.decoder.release_memory();
}

#[test]
fn cancelled_and_wrong_calls() {
    struct Cancel;
    impl Progress for Cancel {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let Some(gpu) = Gpu::start(Build::Fast) else { return };
    let file = Decoder::from_bytes(sample::rich().bytes.clone(), "sample").unwrap();
    let tensor = file.tensors().next().unwrap();
    let len = tensor.info().byte_len() as usize;
    let mut out = gpu.stream.alloc_zeros::<u8>(len).unwrap();
    let jobs = vec![(whole(tensor), out.as_view_mut())];
    let cancelled = gpu.decoder.decode_all(&gpu.stream, jobs, &Cancel);
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let jobs = vec![(whole(tensor), out.slice_mut(1..))];
    let short = gpu.decoder.decode_all(&gpu.stream, jobs, &());
    assert!(matches!(short, Err(Error::Usage(_))));
}
