//! How fast a checkpoint loads into Candle, and how much memory that takes at most, against Candle's
//! own safetensors backend.
//!
//! ```text
//! cargo bench --bench load                      # a Llama of 1 GB with synthetic BF16 weights
//! cargo bench --bench load -- --model DIR       # config.json and model.safetensors of a folder
//! ```
//!
//! Each load runs in a process of its own, so that peaks of memory are its own, with the file in the
//! page cache; the two take turns, and medians are printed. The bits that were loaded are compared.
//!
//! Before, free memory is written to once: a virtual machine's host backs it at its first use, which
//! takes five times as long as a load, and would fall to whichever load happens to get such memory.

use anyhow::{Context, Result, ensure};
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use candle_nn::VarBuilder;
use clap::Parser;
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use wcodec::candle::{ExpectedTensor, LoadOptions, WcodecBackend, model_tensors};

/// Loads a checkpoint into Candle from `.wcodec` and from safetensors, and compares.
#[derive(Parser)]
struct Args {
    /// Folder with config.json and model.safetensors; by default a synthetic model of 1 GB.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Loads of each kind.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Types to load as.
    #[arg(long, value_delimiter = ',', default_value = "bf16,f32")]
    dtypes: Vec<String>,
    /// Bytes to decode ahead.
    #[arg(long, default_value_t = 256 << 20)]
    ahead: u64,
    /// Read the .wcodec file instead of mapping it.
    #[arg(long)]
    no_map: bool,
    /// Do not ask for huge pages.
    #[arg(long)]
    no_huge_pages: bool,
    /// Do not check checksums first.
    #[arg(long)]
    no_check: bool,
    /// Do not write to free memory first.
    #[arg(long)]
    no_touch: bool,
    /// Load this file and report, for the parent process.
    #[arg(long, hide = true)]
    load: Option<PathBuf>,
    /// Write to free memory, for the parent process.
    #[arg(long, hide = true)]
    touch: bool,
    /// `cargo bench` passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.touch {
        return touch();
    }
    if let Some(path) = &args.load {
        return load(path, &args);
    }
    let scratch = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = match &args.model {
        Some(folder) => folder.clone(),
        None => synthesise(scratch.path())?,
    };
    let plain = folder.join("model.safetensors");
    let encoded = scratch.path().join("model.wcodec");
    let start = Instant::now();
    wcodec::checkpoint::encode(&plain, &encoded, &wcodec::EncodeOptions::lossless(), &())?;
    let (bytes, fewer) = (std::fs::metadata(&plain)?.len(), std::fs::metadata(&encoded)?.len());
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{bytes} -> {fewer} bytes ({:.2} %), {:.3} GB/s to encode",
        percent(fewer, bytes),
        gb(bytes) / seconds
    );
    if !args.no_touch {
        let touched = Command::new(std::env::current_exe()?).arg("--touch").status()?;
        ensure!(touched.success(), "free memory cannot be written to");
    }
    println!("                             of which       CPU           peak memory");
    println!("dtype  from         seconds    checks   seconds    GB/s  of the model");
    for dtype in &args.dtypes {
        let mut loads = [Vec::new(), Vec::new()];
        for _ in 0..args.rounds {
            for (path, loads) in [&plain, &encoded].into_iter().zip(&mut loads) {
                loads.push(child(path, &folder, dtype, &args)?);
            }
        }
        ensure!(
            loads[0].iter().chain(&loads[1]).all(|l| l.hash == loads[0][0].hash),
            "the bits loaded differ"
        );
        let [candle, wcodec] = loads.map(|loads| {
            let median = |of: fn(&Load) -> f64| {
                let mut values: Vec<f64> = loads.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let seconds = median(|l| l.seconds);
            (
                seconds,
                median(|l| l.checks),
                median(|l| l.cpu),
                median(|l| l.peak),
                loads[0].bytes,
            )
        });
        for (from, (seconds, checks, cpu, peak, bytes)) in [("safetensors", candle), ("wcodec", wcodec)] {
            let (speed, peak) = (bytes / 1e9 / seconds, peak / bytes);
            println!("{dtype:<6} {from:<12} {seconds:>7.3} {checks:>9.3} {cpu:>9.3} {speed:>7.2} {peak:>12.2}x");
        }
        println!("{dtype:<6} {:.2} times as fast; the same bits", candle.0 / wcodec.0);
    }
    Ok(())
}

fn gb(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// What one process found.
struct Load {
    seconds: f64,
    checks: f64,
    cpu: f64,
    peak: f64,
    bytes: f64,
    hash: String,
}

fn child(path: &Path, folder: &Path, dtype: &str, args: &Args) -> Result<Load> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("--load")
        .arg(path)
        .arg("--model")
        .arg(folder)
        .args(["--dtypes", dtype]);
    command.args(["--ahead", &args.ahead.to_string()]);
    command
        .args(args.no_map.then_some("--no-map"))
        .args(args.no_check.then_some("--no-check"));
    command.args(args.no_huge_pages.then_some("--no-huge-pages"));
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "loading {} failed", path.display());
    let text = String::from_utf8(output.stdout)?;
    let fields: Vec<&str> = text.split_whitespace().collect();
    let number = |i: usize| -> Result<f64> { Ok(fields.get(i).context("a field is missing")?.parse()?) };
    Ok(Load {
        seconds: number(0)?,
        checks: number(1)?,
        cpu: number(2)?,
        peak: number(3)?,
        bytes: number(4)?,
        hash: fields.get(5).context("a field is missing")?.to_string(),
    })
}

/// Loads all of a model's tensors in the order in which Candle's Llama does.
fn load(path: &Path, args: &Args) -> Result<()> {
    let folder = args.model.as_deref().context("--model")?;
    let dtype = if args.dtypes[0] == "f32" {
        DType::F32
    } else {
        DType::BF16
    };
    let expected = model_tensors(&std::fs::read(folder.join("config.json"))?)?;
    let start = Instant::now();
    let vb = if path.extension().is_some_and(|e| e == "wcodec") {
        let options = LoadOptions::default()
            .ahead_bytes(args.ahead)
            .map(!args.no_map)
            .check(!args.no_check)
            .huge_pages(!args.no_huge_pages);
        let backend = WcodecBackend::open(&[path], options)?;
        backend.require(&expected)?;
        backend.var_builder(dtype, &Device::Cpu)
    } else {
        // SAFETY: nothing writes to the file meanwhile.
        unsafe { VarBuilder::from_mmaped_safetensors(&[path], dtype, &Device::Cpu) }?
    };
    let checks = start.elapsed().as_secs_f64();
    let tensors: Vec<Tensor> = expected
        .iter()
        .map(|(name, shape)| vb.get(&shape[..], name))
        .collect::<candle_core::Result<_>>()?;
    let seconds = start.elapsed().as_secs_f64();
    let (peak, cpu) = (peak_memory()?, cpu_seconds()?);
    let bytes: usize = tensors.iter().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
    let mut hash = DefaultHasher::new();
    tensors.iter().for_each(|tensor| hash.write_u64(fingerprint(tensor)));
    println!("{seconds} {checks} {cpu} {peak} {bytes} {:016x}", hash.finish());
    Ok(())
}

/// Writes to nearly all free memory, which goes back to the system with this process.
fn touch() -> Result<()> {
    const PAGE: usize = 4096;
    let text = std::fs::read_to_string("/proc/meminfo").context("free memory is read from Linux's /proc")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let free = line
        .context("no MemFree")?
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>()?
        * 1024;
    let mut memory = vec![0u8; free - free / 8];
    memory.par_chunks_mut(PAGE).for_each(|page| page[0] = 1);
    ensure!(
        std::hint::black_box(&memory).iter().step_by(PAGE).all(|&b| b == 1),
        "memory lost"
    );
    Ok(())
}

/// The most memory that this process has had, its mapped files' pages included.
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from Linux's /proc")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// The time that all threads of this process have had on a CPU: what a busy machine changes least.
fn cpu_seconds() -> Result<f64> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += text.split_whitespace().next().context("no schedstat")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// A number that depends on every bit of a tensor, and on its place.
fn fingerprint(tensor: &Tensor) -> u64 {
    let mix = |(i, bits): (usize, u64)| {
        (bits + 1)
            .wrapping_mul(i as u64 | 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let (storage, _) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::BF16(v)) => v
            .iter()
            .map(|x| u64::from(x.to_bits()))
            .enumerate()
            .map(mix)
            .fold(0, u64::wrapping_add),
        Storage::Cpu(CpuStorage::F32(v)) => v
            .iter()
            .map(|x| u64::from(x.to_bits()))
            .enumerate()
            .map(mix)
            .fold(0, u64::wrapping_add),
        _ => 0,
    }
}

/// Writes a Llama of 1 GB whose weights are normal, with scales of rows and columns.
fn synthesise(folder: &Path) -> Result<PathBuf> {
    let config = serde_json::json!({
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
        "num_hidden_layers": 10, "num_attention_heads": 32, "num_key_value_heads": 4, "tie_word_embeddings": true,
    });
    let config = serde_json::to_vec(&config)?;
    std::fs::write(folder.join("config.json"), &config)?;
    let tensors = model_tensors(&config)?;
    let data: Vec<Vec<u8>> = tensors
        .par_iter()
        .enumerate()
        .map(|(i, tensor)| weights(tensor, i as u64 + 1))
        .collect();
    let mut views = HashMap::new();
    for ((name, shape), data) in tensors.iter().zip(&data) {
        views.insert(name, TensorView::new(safetensors::Dtype::BF16, shape.clone(), data)?);
    }
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors"))?;
    Ok(folder.to_owned())
}

fn weights((_, shape): &ExpectedTensor, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 + 0.5) / (1u32 << 24) as f32
    };
    let mut normal = move || (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos();
    let columns = *shape.last().unwrap_or(&1);
    let scales: Vec<f32> = (0..columns).map(|_| (0.2 * normal()).exp()).collect();
    let rows = shape.iter().product::<usize>() / columns;
    let mut out = Vec::with_capacity(rows * columns * 2);
    for _ in 0..rows {
        let row = 0.02 * (0.3 * normal()).exp();
        scales
            .iter()
            .for_each(|scale| out.extend(half::bf16::from_f32(row * scale * normal()).to_le_bytes()));
    }
    out
}
