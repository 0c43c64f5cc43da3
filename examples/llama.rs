//! A Llama from safetensors to `.wcodec` and back, and into Candle: every byte and every logit the same.
//!
//! ```text
//! cargo run --release --example llama
//! cargo run --release --example llama -- --model DIR --prompt TEXT --tokens N --seed S --temperature T
//! ```
//!
//! The folder holds `config.json`, `tokenizer.json` and `model.safetensors`.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::generation::LogitsProcessor;
use candle_transformers::models::llama::{Cache, Config, Llama, LlamaConfig, LlamaEosToks};
use clap::Parser;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokenizers::Tokenizer;
use wcodec::candle::{LoadOptions, WcodecBackend, model_tensors};
use wcodec::{DecodeOptions, EncodeOptions, Progress, checkpoint};

const CPU: Device = Device::Cpu;

/// Encodes a model, proves that nothing was lost, and lets it write.
#[derive(Parser)]
struct Args {
    /// Folder of the model.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/models/kjv"))]
    model: PathBuf,
    /// What the text begins with.
    #[arg(long, default_value = "In the beginning God created the")]
    prompt: String,
    /// Most tokens to write.
    #[arg(long, default_value_t = 120)]
    tokens: usize,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Temperature of the sampling; 0 always takes the likeliest token.
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let original = args.model.join("model.safetensors");
    let folder = tempfile::tempdir()?;
    let (encoded, restored) = (
        folder.path().join("model.wcodec"),
        folder.path().join("model.safetensors"),
    );

    let start = Instant::now();
    checkpoint::encode(&original, &encoded, &EncodeOptions::lossless(), &Bar::new("encoding"))?;
    let encoding = start.elapsed().as_secs_f64();
    let start = Instant::now();
    checkpoint::decode(&encoded, &restored, DecodeOptions::default(), &Bar::new("decoding"))?;
    let decoding = start.elapsed().as_secs_f64();
    let (before, after) = (sha256(&original)?, sha256(&restored)?);
    ensure!(
        before == after,
        "the restored file differs: SHA-256 {after}, not {before}"
    );

    let json = std::fs::read(args.model.join("config.json")).context("reading config.json")?;
    let config = serde_json::from_slice::<LlamaConfig>(&json)?.into_config(false);
    let start = Instant::now();
    let weights = WcodecBackend::open(&[&encoded], LoadOptions::default())?;
    // Llama::load panics on a missing tensor: look before.
    weights.require(&model_tensors(&json)?)?;
    let llama = Llama::load(weights.var_builder(DType::F32, &CPU), &config)?;
    let loading = start.elapsed().as_secs_f64();

    let start = Instant::now();
    // SAFETY: nothing writes to the file meanwhile.
    let vb = unsafe { VarBuilder::from_mmaped_safetensors(&[&original], DType::F32, &CPU) }?;
    let plain = Llama::load(vb, &config)?;
    let loading_plain = start.elapsed().as_secs_f64();

    let tokenizer = Tokenizer::from_file(args.model.join("tokenizer.json")).map_err(anyhow::Error::msg)?;
    let prompt = tokenizer
        .encode(args.prompt.as_str(), true)
        .map_err(anyhow::Error::msg)?
        .get_ids()
        .to_vec();
    ensure!(!prompt.is_empty(), "the prompt has no tokens");
    let start = Instant::now();
    let written = generate(&llama, &config, &tokenizer, prompt, &args)?;
    let writing = start.elapsed().as_secs_f64();

    let compared = compare(&llama, &plain, &config, &written)?;

    let (bytes, fewer) = (std::fs::metadata(&original)?.len(), std::fs::metadata(&encoded)?.len());
    let speed = |seconds: f64| format!("{:.0} MB/s", bytes as f64 / 1e6 / seconds);
    let row = |what: &str, value: String, more: String| println!("  {what:<28}{value:>16}  {more}");
    println!();
    row("model.safetensors", format!("{bytes} B"), String::new());
    row(
        "model.wcodec",
        format!("{fewer} B"),
        format!("{:.2} %", fewer as f64 * 100.0 / bytes as f64),
    );
    row("encoding", speed(encoding), format!("{encoding:.3} s"));
    row(
        "decoding to a file",
        speed(decoding),
        format!("{decoding:.3} s, SHA-256 checked"),
    );
    row(
        "loading from .wcodec",
        speed(loading),
        format!("{loading:.3} s, all checksums checked"),
    );
    row(
        "loading from safetensors",
        speed(loading_plain),
        format!("{loading_plain:.3} s"),
    );
    row(
        "writing",
        format!("{:.0} tokens/s", written.len() as f64 / writing),
        format!("{} tokens", written.len()),
    );
    println!();
    println!("  the restored file is the original, byte for byte: SHA-256 {before}");
    println!("  all {compared} logits are the same, bit for bit, from either file");
    Ok(())
}

/// Writes text after the prompt, to standard output as it comes. Returns all tokens.
fn generate(llama: &Llama, config: &Config, tokenizer: &Tokenizer, prompt: Vec<u32>, args: &Args) -> Result<Vec<u32>> {
    let temperature = (args.temperature > 0.0).then_some(args.temperature);
    let mut sampling = LogitsProcessor::new(args.seed, temperature, Some(0.95));
    let mut cache = Cache::new(true, DType::F32, config, &CPU)?;
    let ends = |token: u32| match &config.eos_token_id {
        Some(LlamaEosToks::Single(end)) => token == *end,
        Some(LlamaEosToks::Multiple(ends)) => ends.contains(&token),
        None => false,
    };
    let mut tokens = prompt;
    let mut shown = 0;
    let mut show = |tokens: &[u32], last: bool| -> Result<()> {
        let text = tokenizer.decode(tokens, true).map_err(anyhow::Error::msg)?;
        // A character may take several tokens.
        if text.len() > shown && (last || !text.ends_with('\u{fffd}')) {
            print!("{}", text.get(shown..).unwrap_or_default());
            std::io::stdout().flush()?;
            shown = text.len();
        }
        Ok(())
    };
    let most = config.max_position_embeddings.min(tokens.len() + args.tokens);
    let mut done = 0;
    while tokens.len() < most {
        let input = Tensor::new(&tokens[done..], &CPU)?.unsqueeze(0)?;
        let logits = llama.forward(&input, done, &mut cache)?.squeeze(0)?;
        done = tokens.len();
        let token = sampling.sample(&logits)?;
        if ends(token) {
            break;
        }
        tokens.push(token);
        show(&tokens, false)?;
    }
    show(&tokens, true)?;
    println!();
    Ok(tokens)
}

/// Compares the logits of two models at every place of a text, and returns how many there are.
fn compare(a: &Llama, b: &Llama, config: &Config, tokens: &[u32]) -> Result<usize> {
    let mut caches = [
        Cache::new(true, DType::F32, config, &CPU)?,
        Cache::new(true, DType::F32, config, &CPU)?,
    ];
    let mut compared = 0;
    for (i, &token) in tokens.iter().enumerate() {
        let input = Tensor::new(&[[token]], &CPU)?;
        let [ours, theirs] = [a, b].map(|model| -> Result<Vec<u32>> {
            let cache = &mut caches[usize::from(std::ptr::eq(model, b))];
            let logits = model.forward(&input, i, cache)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(logits.into_iter().map(f32::to_bits).collect())
        });
        let (ours, theirs) = (ours?, theirs?);
        ensure!(ours == theirs, "the logits after token {i} differ");
        compared += ours.len();
    }
    Ok(compared)
}

fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(
        &mut std::fs::File::open(path).with_context(|| path.display().to_string())?,
        &mut hash,
    )?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Progress on standard error.
struct Bar {
    what: &'static str,
    total: AtomicU64,
    done: AtomicU64,
}

impl Bar {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }
}

impl Progress for Bar {
    fn start(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64, _: &str) {
        let (done, total) = (
            self.done.fetch_add(bytes, Ordering::Relaxed) + bytes,
            self.total.load(Ordering::Relaxed),
        );
        let percent = |bytes: u64| (bytes * 100).checked_div(total).unwrap_or(100);
        if percent(done) > percent(done - bytes) {
            eprint!("\r{} {:3} %", self.what, percent(done));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        eprintln!();
    }
}
