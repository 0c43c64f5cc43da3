//! `wcodec synth`.

mod folder;
mod numbers;
mod plan;
mod shape;
mod values;
mod write;

use crate::Global;
use crate::decode::refuse_existing;
use crate::failure::Failure;
use crate::output::{self, count};
use crate::progress::Display;
use clap::Args;
use clap::builder::PossibleValuesParser;
use plan::{Elements, Plan};
use serde_json::json;
use shape::{SHAPES, Shape};
use std::path::PathBuf;
use std::time::Instant;
use wcodec::Progress;

/// Make a synthetic checkpoint, to try things without a download
#[derive(Args)]
#[command(long_about = "\
Make a synthetic checkpoint, to try things without a download.

Tensors have the names and shapes of a model of the Llama family; weights are about normal, with a \
scale for each row and each column, so that they compress about as real ones do. The same flags \
and seed give the same bytes on any machine. For measurements that count, use a real checkpoint.")]
#[command(after_help = "\
Examples:
  wcodec synth -o model.safetensors                          135 million weights, 269 MB
  wcodec synth -o model.safetensors --model llama-3.2-1b
  wcodec synth -o model.safetensors --size 1GB --dtype f16
  wcodec synth -o folder --model tinyllama-1.1b --shards 3   a model folder of three shards
  wcodec synth -o model.safetensors --hidden 512 --layers 4 --heads 8 --kv-heads 8
  wcodec synth -o many.safetensors --tensors 100000          to test the index")]
pub(crate) struct Synth {
    /// File to write, or folder with --shards
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Shape of the model [default: smollm2-135m, or what is near --size]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SHAPES.map(|s| s.name)))]
    model: Option<String>,
    /// Bytes of the checkpoint, about: layers and vocabulary are fitted to it
    #[arg(long, value_parser = output::parse_size)]
    size: Option<u64>,
    /// Type of the weights
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Elements,
    /// Where the randomness starts
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write a folder of so many files, with their index and a config.json
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    shards: Option<u32>,
    /// So many small tensors in place of a model; --size is that of all together
    #[arg(long, value_name = "N", conflicts_with_all = ["model", "Custom"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tensors: Option<u32>,
    /// Replace an output that exists
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    custom: Custom,
}

/// Sizes that replace the named shape's.
#[derive(Args)]
#[command(next_help_heading = "Custom shape")]
struct Custom {
    /// Width of the model
    #[arg(long, value_name = "N")]
    hidden: Option<usize>,
    /// Width of the feed-forward layers
    #[arg(long, value_name = "N")]
    intermediate: Option<usize>,
    /// Layers
    #[arg(long, value_name = "N", conflicts_with = "size")]
    layers: Option<usize>,
    /// Attention heads
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Heads of keys and values
    #[arg(long, value_name = "N")]
    kv_heads: Option<usize>,
    /// Words of the vocabulary
    #[arg(long, value_name = "N", conflicts_with = "size")]
    vocab: Option<usize>,
}

impl Synth {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        refuse_existing(&self.output, self.shards.is_some(), self.force)?;
        let shape = if self.tensors.is_none() {
            Some(self.shape()?)
        } else {
            None
        };
        let plans = match (&shape, self.tensors) {
            (Some(shape), _) => plan::model(shape, self.dtype),
            (None, tensors) => {
                let tensors = tensors.unwrap_or(1);
                plan::many(
                    tensors as usize,
                    self.dtype,
                    self.size.map_or(256, |size| size / u64::from(tensors)),
                )
            }
        };
        let bytes = plans.iter().map(Plan::byte_len).sum();
        let begun = Instant::now();
        {
            let progress = Display::new("generating", global);
            progress.start(bytes);
            match self.shards {
                None => write::write(&self.output, &plans, self.seed, &progress)?,
                Some(n) => folder::write(&self.output, &plans, shape.as_ref(), n as usize, self.seed, &progress)?,
            }
        }
        let time = begun.elapsed();
        let elements: usize = plans.iter().map(Plan::count).sum();
        if global.json {
            return output::print_json(&json!({
                "command": "synth",
                "output": self.output.to_string_lossy(),
                "model": shape.map(|s| s.name),
                "dtype": self.dtype.dtype().name(),
                "seed": self.seed,
                "tensors": plans.len(),
                "elements": elements,
                "bytes": bytes,
                "seconds": time.as_secs_f64(),
            }));
        }
        output::print(&format!(
            "{}: {}, {:.1} million elements, {} in {}\n",
            self.output.display(),
            count(plans.len(), "tensor"),
            elements as f64 / 1e6,
            output::bytes(bytes),
            output::duration(time),
        ))
    }

    fn shape(&self) -> Result<Shape, Failure> {
        let [layer_bits, word_bits] = self.dtype.bits();
        let named = match (&self.model, self.size) {
            (Some(name), _) => Shape::named(name),
            (None, Some(bytes)) => Some(Shape::near(bytes.saturating_mul(8) / layer_bits)),
            (None, None) => Shape::named("smollm2-135m"),
        };
        let mut shape = named.ok_or_else(|| Failure::usage("there is no shape of that name"))?;
        let custom = &self.custom;
        let sizes = [
            (custom.hidden, &mut shape.hidden),
            (custom.intermediate, &mut shape.intermediate),
            (custom.layers, &mut shape.layers),
            (custom.heads, &mut shape.heads),
            (custom.kv_heads, &mut shape.kv_heads),
            (custom.vocab, &mut shape.vocab),
        ];
        for (wanted, size) in sizes {
            if let Some(wanted) = wanted {
                *size = wanted;
                shape.name = "custom";
            }
        }
        if let Some(problem) = shape.problem() {
            return Err(Failure::usage(problem));
        }
        Ok(self
            .size
            .map_or(shape, |bytes| shape.fitted(bytes, layer_bits, word_bits)))
    }
}
