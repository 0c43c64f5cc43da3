//! Many tensors in a row, side by side, dropped before their end; errors, cancellation.

use crate::gpu::{Build, Gpu};
use crate::support::sample::{self, Sample};
use std::sync::Arc;
use wcodec::cuda::cudarc::driver::{CudaSlice, CudaStream};
use wcodec::cuda::{CudaDecoder, Encoded, Part};
use wcodec::{Decoder, Error, GpuProblem, Progress, Tensor};

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
    gpu.decoder.decode(&gpu.stream, Vec::new()).unwrap().wait().unwrap();
    gpu.decoder.decode_all(&gpu.stream, Vec::new(), &()).unwrap();
}

/// Decodes every tensor of the sample in a call, and compares.
fn decode_all_of(sample: &Sample, decoder: &Arc<CudaDecoder>, stream: &Arc<CudaStream>) {
    let file = Decoder::from_bytes(sample.bytes.clone(), "sample").unwrap();
    let new = |t: &Tensor<'_>| stream.alloc_zeros::<u8>(t.info().byte_len().max(1) as usize).unwrap();
    let tensors: Vec<_> = file.tensors().collect();
    let mut outputs: Vec<CudaSlice<u8>> = tensors.iter().map(new).collect();
    let lens = tensors.iter().map(|t| t.info().byte_len() as usize);
    let views = outputs.iter_mut().zip(lens).map(|(out, len)| out.slice_mut(0..len));
    let jobs = tensors.iter().map(|&t| whole(t)).zip(views).collect();
    decoder.decode(stream, jobs).unwrap().wait().unwrap();
    for ((name, expected), out) in sample.tensors.iter().zip(&outputs) {
        assert!(
            stream.clone_dtoh(out).unwrap()[..expected.len()] == expected[..],
            "{name}"
        );
    }
}

/// What is dropped before its end must not give its memory to the next one while the GPU works on it, be it once or
/// again and again, here or on another thread.
#[test]
fn dropped_before_the_end() {
    let Some(gpu) = Gpu::start(Build::Fast) else { return };
    let (sample, other) = (sample::rich(), sample::small());
    let file = Decoder::from_bytes(sample.bytes.clone(), "sample").unwrap();
    let tensor = file.tensors().max_by_key(|t| t.info().byte_len()).unwrap();
    let (_, expected) = sample
        .tensors
        .iter()
        .find(|(name, _)| name == tensor.info().name())
        .unwrap();
    // A handle that is another stream on each thread, as Candle's.
    let stream = gpu.stream.context().per_thread_stream();
    for times in 0..6 {
        let mut out = stream.alloc_zeros::<u8>(expected.len()).unwrap();
        std::thread::scope(|scope| {
            let jobs = vec![(whole(tensor), out.as_view_mut())];
            let mut pending = gpu.decoder.decode(&stream, jobs).unwrap();
            (0..times).for_each(|_| pending.again().unwrap());
            let on_another = scope.spawn(move || match times {
                0 | 1 => drop(pending),
                2 => pending.wait().unwrap(),
                _ => {
                    pending.again().unwrap();
                    (times == 3).then(|| pending.wait().unwrap());
                }
            });
            on_another.join().unwrap();
        });
        // It takes the memory that is free now.
        decode_all_of(other, &gpu.decoder, &stream);
        assert!(stream.clone_dtoh(&out).unwrap() == *expected, "case {times}");
    }
}

#[test]
fn on_many_threads_and_streams() {
    let Some(gpu) = Gpu::start(Build::Fast) else { return };
    let context = gpu.stream.context();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let decoder = gpu.decoder.clone();
            scope.spawn(move || {
                // The stream of each thread by one handle, as Candle's, or one that is made.
                let stream = if thread % 2 == 0 {
                    context.per_thread_stream()
                } else {
                    context.new_stream().unwrap()
                };
                for _ in 0..4 {
                    decode_all_of(sample::small(), &decoder, &stream);
                }
                if thread == 3 {
                    decoder.release_memory();
                }
            });
        }
    });
}

/// With no memory left: a typed error, and all is well when there is some again.
#[test]
#[ignore = "takes all of the GPU's memory: no test can run beside it"]
fn out_of_memory() {
    let Some(gpu) = Gpu::start(Build::Fast) else { return };
    gpu.decoder.release_memory();
    let file = Decoder::from_bytes(sample::rich().bytes.clone(), "sample").unwrap();
    let tensor = file.tensors().max_by_key(|t| t.info().byte_len()).unwrap();
    let mut out = gpu.stream.alloc_zeros::<u8>(tensor.info().byte_len() as usize).unwrap();
    let mut taken = Vec::new();
    for bits in (16..=36).rev() {
        // SAFETY: nothing reads it.
        while let Ok(some) = unsafe { gpu.stream.alloc::<u8>(1 << bits) } {
            taken.push(some);
        }
    }
    let none = gpu
        .decoder
        .decode_all(&gpu.stream, vec![(whole(tensor), out.as_view_mut())], &());
    drop(taken);
    gpu.stream.synchronize().unwrap();
    match none {
        Err(Error::Gpu { problem, .. }) => assert_eq!(problem, GpuProblem::OutOfMemory),
        other => panic!("{other:?}"),
    }
    decode_all_of(sample::rich(), &gpu.decoder, &gpu.stream);
}
