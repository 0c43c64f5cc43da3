//! How long it takes to open a file of many tensors: prefix, index and its checks, no payload.
//!
//! ```text
//! cargo bench --bench open                   # 100,000 tensors
//! cargo bench --bench open -- --tensors N
//! ```

use anyhow::{Result, ensure};
use clap::Parser;
use std::time::Instant;
use wcodec::{DType, Decoder, EncodeOptions, Encoder, TensorSpec};

/// Times opening a file of many tensors.
#[derive(Parser)]
struct Args {
    /// Tensors of the file.
    #[arg(long, default_value_t = 100_000)]
    tensors: usize,
    /// Times it is opened.
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("many.wcodec");
    let name = |i: usize| format!("model.layers.{}.mlp.experts.{}.up_proj.weight", i / 256, i % 256);
    let specs: Vec<_> = (0..args.tensors)
        .map(|i| TensorSpec::new(name(i), DType::BF16, [2, 2]))
        .collect();
    let names: Vec<_> = specs.iter().map(|s| s.name.clone()).collect();
    let tensors: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"\x80?\0@\x40@\x80@"[..])).collect();
    let mut encoder = Encoder::create(&path, specs, EncodeOptions::lossless())?;
    encoder.add_batch(&tensors)?;
    encoder.finish()?;
    let mut seconds = Vec::new();
    for _ in 0..args.runs {
        let begun = Instant::now();
        let decoder = Decoder::open(&path)?;
        seconds.push(begun.elapsed().as_secs_f64());
        ensure!(decoder.tensors().len() == args.tensors, "tensors are missing");
        let last = decoder.tensor(&names[args.tensors - 1])?;
        ensure!(last.decode()? == tensors[args.tensors - 1].1, "the data differ");
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{} tensors, a file of {} bytes: opened in {:.1} ms (median of {}; least {:.1})",
        args.tensors,
        std::fs::metadata(&path)?.len(),
        1e3 * seconds[seconds.len() / 2],
        seconds.len(),
        1e3 * seconds[0]
    );
    Ok(())
}
