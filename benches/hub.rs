//! How long a model takes from a hub into Candle, against its download and its decoding alone.
//!
//! ```text
//! cargo bench --bench hub
//! cargo bench --bench hub -- --megabytes 1000 --rounds 5
//! ```
//!
//! The server is in this process, on loopback, held to a rate: it takes a part of the same cores. Caches
//! are new for each download. The peak of memory is that of a process of its own that does one more load, as
//! a part of the model's size.

#[path = "../tests/hub/server.rs"]
mod server;

use anyhow::{Result, ensure};
use candle_core::{DType, Device};
use clap::Parser;
use server::Server;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use wcodec::candle::{LoadOptions, WcodecBackend};
use wcodec::{EncodeOptions, Encoder, TensorSpec};

/// Times loads from a hub.
#[derive(Parser)]
struct Args {
    /// Megabytes of BF16 weights.
    #[arg(long, default_value_t = 400)]
    megabytes: usize,
    /// Loads of each kind.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Megabytes a second; 0: as fast as it goes.
    #[arg(long, value_delimiter = ',', default_value = "50,200,0")]
    rates: Vec<f64>,
    /// One load from this server, as a child of the bench: prints its peak memory.
    #[arg(long, hide = true, value_name = "URL")]
    load: Option<String>,
    /// `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

const ROWS: usize = 2048;
const COLUMNS: usize = 2048;

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(url) = &args.load {
        return child(url);
    }
    let scratch = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = scratch.path().join("model.wcodec");
    let names = encode(&path, args.megabytes)?;
    let server = Server::new();
    let bytes = std::fs::read(&path)?;
    println!("{} MB, {} MB encoded", args.megabytes, bytes.len() / 1_000_000);
    server.add("org/model", "model.wcodec", bytes);
    println!("     rate  download    decode      load  of the longer  peak memory");
    for rate in &args.rates {
        server.rate((*rate > 0.0).then_some(rate * 1e6));
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..args.rounds {
            let cache = tempfile::Builder::new().tempdir_in(scratch.path())?;
            let repo = wcodec::hub::repo("org/model").endpoint(&server.url).token(None);
            let repo = repo.offline(false).cache_dir(cache.path());
            let start = Instant::now();
            repo.download("model.wcodec", &())?;
            times[0].push(start.elapsed().as_secs_f64());

            let start = Instant::now();
            let options = LoadOptions::default().check(false);
            let decoded = get(&WcodecBackend::open(&[&path], options)?, &names)?;
            times[1].push(start.elapsed().as_secs_f64());
            drop(decoded);

            let cache = tempfile::Builder::new().tempdir_in(scratch.path())?;
            let repo = repo.cache_dir(cache.path());
            let start = Instant::now();
            let load = repo.load(LoadOptions::default(), Arc::new(()))?;
            let loaded = get(load.backend(), &names)?;
            times[2].push(start.elapsed().as_secs_f64());
            ensure!(loaded.len() == names.len());
            load.finish()?;
        }
        let peak = peak_of_child(&server.url)? / (names.len() * ROWS * COLUMNS * 2) as f64;
        let [download, decode, load] = times.map(median);
        let rate = if *rate > 0.0 {
            format!("{rate} MB/s")
        } else {
            "none".into()
        };
        println!(
            "{rate:>9} {download:>9.3} {decode:>9.3} {load:>9.3} {:>14.2} {peak:>11.2}x",
            load / download.max(decode)
        );
    }
    Ok(())
}

/// Peak memory of a process that loads the model, in bytes.
fn peak_of_child(url: &str) -> Result<f64> {
    let child = Command::new(std::env::current_exe()?).args(["--load", url]).output()?;
    let text = String::from_utf8_lossy(&child.stdout);
    ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    Ok(text.trim().parse()?)
}

fn child(url: &str) -> Result<()> {
    let cache = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let repo = wcodec::hub::repo("org/model").endpoint(url).token(None).offline(false);
    let load = repo
        .cache_dir(cache.path())
        .load(LoadOptions::default(), Arc::new(()))?;
    let mut names: Vec<String> = load.backend().names().map(str::to_owned).collect();
    names.sort_by_key(|name| {
        name.split(['.', 't'])
            .filter_map(|part| part.parse().ok())
            .collect::<Vec<u64>>()
    });
    let loaded = get(load.backend(), &names)?;
    load.finish()?;
    drop(loaded);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: f64 = line
        .and_then(|l| l.split_whitespace().next())
        .unwrap_or_default()
        .parse()?;
    println!("{}", kibibytes * 1024.0);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// All tensors, in the order in which models ask.
fn get(backend: &WcodecBackend, names: &[String]) -> Result<Vec<candle_core::Tensor>> {
    let vb = backend.var_builder(DType::BF16, &Device::Cpu);
    let get = |name: &String| vb.get((ROWS, COLUMNS), name);
    Ok(names.iter().map(get).collect::<candle_core::Result<_>>()?)
}

/// A file in the order of safetensors: `layers.10` before `layers.2`.
fn encode(path: &Path, megabytes: usize) -> Result<Vec<String>> {
    let count = (megabytes * 1_000_000).div_ceil(ROWS * COLUMNS * 2);
    let names: Vec<String> = (0..count)
        .map(|i| format!("model.layers.{}.part{}", i / 4, i % 4))
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    let spec = |name: &String| TensorSpec::new(name.clone(), wcodec::DType::BF16, [ROWS, COLUMNS]);
    let mut encoder = Encoder::create(path, sorted.iter().map(spec).collect(), EncodeOptions::lossless())?;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 + 0.5) / (1u32 << 24) as f32
    };
    let mut normal = move || (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos();
    let data: Vec<u8> = (0..ROWS * COLUMNS)
        .flat_map(|_| half::bf16::from_f32(0.02 * normal()).to_le_bytes())
        .collect();
    for name in &sorted {
        encoder.add(name, &data)?;
    }
    encoder.finish()?;
    Ok(names)
}
