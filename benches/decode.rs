//! How fast quantised tensors decode, against the same tensors of other files: on one thread, all files in turns.
//!
//! ```text
//! cargo bench --bench decode -- quantised.wcodec lossless.wcodec
//! ```

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;
use wcodec::{Backend, DecodeOptions, Decoder};

/// Times decoding the tensors that are quantised in the first file.
#[derive(Parser)]
struct Args {
    /// Encoded files of the same tensors.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Times each is decoded.
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// With this backend only.
    #[arg(long)]
    backend: Option<Backend>,
    /// `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    println!("median GB/s of output, ratio to the last file (median of rounds)");
    for backend in Backend::available().filter(|b| args.backend.is_none_or(|only| only == *b)) {
        let open = |path: &PathBuf| {
            Decoder::from_bytes_with(
                std::fs::read(path).with_context(|| path.display().to_string())?,
                &path.display().to_string(),
                DecodeOptions::default().backend(backend),
            )
            .map_err(anyhow::Error::from)
        };
        let files = args.files.iter().map(open).collect::<Result<Vec<_>>>()?;
        let names: HashSet<String> = files[0]
            .tensors()
            .filter(|t| t.info().noise().is_some())
            .map(|t| t.info().name().to_owned())
            .collect();
        ensure!(!names.is_empty(), "nothing is quantised in the first file");
        let mut rates = vec![Vec::new(); files.len()];
        for _ in 0..args.runs {
            for (file, rates) in files.iter().zip(&mut rates) {
                rates.push(pool.install(|| decode(file, &names))?);
            }
        }
        let last = rates.last().cloned().unwrap_or_default();
        for (path, rates) in args.files.iter().zip(&mut rates) {
            let mut ratios: Vec<f64> = rates.iter().zip(&last).map(|(a, b)| a / b).collect();
            println!(
                "{backend:>7} {:6.2} {:5.2} {}",
                median(rates),
                median(&mut ratios),
                path.display()
            );
        }
    }
    Ok(())
}

/// Decodes the named tensors into one buffer. GB/s.
fn decode(file: &Decoder, names: &HashSet<String>) -> Result<f64> {
    let tensors: Vec<_> = file.tensors().filter(|t| names.contains(t.info().name())).collect();
    let most = tensors.iter().map(|t| t.info().byte_len()).max().unwrap_or(0);
    let mut out = vec![0u8; most as usize];
    let mut bytes = 0;
    let begun = Instant::now();
    for tensor in tensors {
        let len = tensor.info().byte_len() as usize;
        tensor.decode_into(&mut out[..len])?;
        bytes += len;
    }
    Ok(bytes as f64 / begun.elapsed().as_secs_f64() / 1e9)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
