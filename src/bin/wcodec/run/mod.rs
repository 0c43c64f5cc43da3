//! `wcodec run`.

mod files;
mod model;
mod prompt;

use crate::Global;
use crate::device::{self, DeviceArgument};
use crate::failure::Failure;
use crate::output;
use candle_core::{DType, Device};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use clap::{Args, ValueEnum};
use files::Files;
use model::{Model, failed};
use prompt::ChatTemplate;
use serde_json::{Value, json};
use std::time::Instant;
use tokenizers::Tokenizer;

/// Let a model write, straight from its .wcodec files
#[derive(Args)]
#[command(long_about = "\
Let a model write, straight from its .wcodec files.

The model is a folder with config.json, tokenizer.json and weights, or a repository of the Hugging \
Face Hub, which comes into the cache while it is loaded. Its architecture is what config.json says: \
Llama 2 and 3 (and SmolLM2), Mistral, Qwen2 and Qwen3. Where the tokenizer has a chat template, the \
prompt is put into it. Weights that are safetensors run too; what encoding would save is said then.

The text goes to stdout as it is written, figures to stderr.")]
#[command(after_help = "\
Examples:
  wcodec run org/model --prompt 'What is entropy?'
  wcodec run models/kjv --prompt 'In the beginning' --seed 7
  wcodec run org/model@v1.0 --prompt Hello --temperature 0 --json")]
pub(crate) struct Run {
    /// Folder, or repository with its branch, tag or commit
    #[arg(value_name = "MODEL")]
    model: String,
    /// What to say to the model
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// What the chat template calls the system's message
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// The prompt as it is, without chat template: the model goes on with it
    #[arg(long)]
    raw: bool,
    /// Most tokens to write
    #[arg(long, value_name = "N", default_value_t = 200)]
    max_tokens: usize,
    /// How far to stray from the likeliest token; 0 never does
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f64,
    /// Choose among the likeliest tokens that have this much probability together
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    top_p: f64,
    /// Where the randomness starts
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Type to compute in
    #[arg(long, value_enum, default_value = "f32")]
    dtype: ComputeType,
    /// Where to compute: cpu, or cuda[:N] in a build with the feature `cuda`
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = device::parse)]
    device: DeviceArgument,
}

#[derive(Clone, Copy, ValueEnum)]
enum ComputeType {
    F32,
    Bf16,
    F16,
}

/// What was written, and how fast.
struct Written {
    text: String,
    tokens: usize,
    /// Seconds until the first token, and of all after it.
    first: f64,
    rest: f64,
}

impl Run {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        self.run_model(global).map_err(|failure| failure.about(&self.model))
    }

    fn run_model(&self, global: &Global) -> Result<(), Failure> {
        if !(self.temperature >= 0.0 && self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Failure::usage(
                "--temperature is 0 or more, --top-p above 0 and up to 1",
            ));
        }
        let device = self.device.open()?;
        let begun = Instant::now();
        let files = Files::find(&self.model, global)?;
        let config = files.need("config.json")?;
        let tokenizer = Tokenizer::from_bytes(files.need("tokenizer.json")?)
            .map_err(|e| Failure::new("input", format!("tokenizer.json: {e}")))?;
        let prompt = self.tokens(&files, &tokenizer)?;
        let ends = ends(&files, &config)?;
        let dtype = match self.dtype {
            ComputeType::F32 => DType::F32,
            ComputeType::Bf16 => DType::BF16,
            ComputeType::F16 => DType::F16,
        };
        let weights = files.weights(&config, global)?;
        let (format, would_save) = (weights.format(), weights.would_save);
        let ((mut model, positions), arrival) = weights.build(dtype, &device, |vb| Model::load(&config, vb))?;
        let loading = begun.elapsed().as_secs_f64();
        if prompt.len() >= positions {
            let what = format!("the prompt has {} tokens, the model sees {positions}", prompt.len());
            return Err(Failure::usage(what));
        }
        let most = self.max_tokens.min(positions - prompt.len());
        let written = self.write((&mut model, &device), &tokenizer, &prompt, &ends, most, global)?;
        arrival.finish()?;
        if global.json {
            return output::print_json(&json!({
                "command": "run",
                "model": self.model,
                "weights": format,
                "text": written.text,
                "prompt_tokens": prompt.len(),
                "tokens": written.tokens,
                "load_seconds": loading,
                "first_token_seconds": written.first,
                "tokens_per_second": speed(&written),
                "safetensors_bytes": would_save.map(|(bytes, _)| bytes),
                "encoded_bytes_estimate": would_save.map(|(_, encoded)| encoded),
            }));
        }
        if !global.quiet {
            eprintln!(
                "\nloaded from {} in {loading:.2} s; {} tokens of prompt, first token after {:.2} s, {} written at {:.1} tokens/s",
                format,
                prompt.len(),
                written.first,
                written.tokens,
                speed(&written)
            );
            if let Some((bytes, encoded)) = would_save {
                let (from, to) = (output::bytes(bytes), output::bytes(encoded));
                eprintln!("as .wcodec the weights would take about {to} in place of {from}: see `wcodec encode`");
            }
        }
        Ok(())
    }

    /// The prompt as the model was trained to see it.
    fn tokens(&self, files: &Files, tokenizer: &Tokenizer) -> Result<Vec<u32>, Failure> {
        let chat = match self.raw {
            true => None,
            false => {
                let file = files
                    .read("chat_template.jinja")?
                    .map(|b| String::from_utf8_lossy(&b).into_owned());
                ChatTemplate::find(files.read("tokenizer_config.json")?.as_deref(), file)?
            }
        };
        if chat.is_none() && self.system.is_some() {
            let what = "the model has no chat template, so --system has no place: say it in the prompt";
            return Err(Failure::usage(what));
        }
        let encoded = match &chat {
            // The template writes the special tokens itself.
            Some(chat) => tokenizer.encode(chat.render(self.system.as_deref(), &self.prompt)?, false),
            None => tokenizer.encode(self.prompt.as_str(), true),
        };
        let tokens = encoded
            .map_err(|e| Failure::new("input", format!("the prompt: {e}")))?
            .get_ids()
            .to_vec();
        if tokens.is_empty() {
            return Err(Failure::usage("the prompt has no tokens"));
        }
        Ok(tokens)
    }

    /// Writes until the text ends, to stdout as it comes (unless a JSON object is asked for).
    fn write(
        &self,
        (model, device): (&mut Model, &Device),
        tokenizer: &Tokenizer,
        prompt: &[u32],
        ends: &[u32],
        most: usize,
        global: &Global,
    ) -> Result<Written, Failure> {
        let sampling = match (self.temperature, self.top_p) {
            (0.0, _) => Sampling::ArgMax,
            (temperature, 1.0) => Sampling::All { temperature },
            (temperature, p) => Sampling::TopP { p, temperature },
        };
        let mut sampling = LogitsProcessor::from_sampling(self.seed, sampling);
        let mut stream = tokenizer.decode_stream(true);
        let mut written = Written {
            text: String::new(),
            tokens: 0,
            first: 0.0,
            rest: 0.0,
        };
        let (mut input, mut seen) = (prompt.to_vec(), 0);
        while written.tokens < most {
            let begun = Instant::now();
            let logits = model.forward(&input, seen, device).map_err(failed)?;
            let token = sampling.sample(&logits).map_err(failed)?;
            let seconds = begun.elapsed().as_secs_f64();
            match seen {
                0 => written.first = seconds,
                _ => written.rest += seconds,
            }
            if ends.contains(&token) {
                break;
            }
            seen += input.len();
            input = vec![token];
            written.tokens += 1;
            let text = stream
                .step(token)
                .map_err(|e| Failure::new("input", format!("tokenizer.json: {e}")))?;
            if let Some(text) = text {
                if !global.json {
                    output::print(&text)?;
                }
                written.text += &text;
            }
        }
        if !global.json {
            output::print("\n")?;
        }
        Ok(written)
    }
}

/// Tokens a second after the first.
fn speed(written: &Written) -> f64 {
    match written.rest > 0.0 {
        true => written.tokens.saturating_sub(1) as f64 / written.rest,
        false => 0.0,
    }
}

/// The tokens that end a text: `generation_config.json` knows best.
fn ends(files: &Files, config: &[u8]) -> Result<Vec<u32>, Failure> {
    let generation = files.read("generation_config.json")?;
    for json in generation.iter().map(Vec::as_slice).chain([config]) {
        let value: Value =
            serde_json::from_slice(json).map_err(|e| Failure::new("input", format!("a configuration: {e}")))?;
        let token = |v: &Value| v.as_u64().and_then(|t| u32::try_from(t).ok());
        let ends: Vec<u32> = match &value["eos_token_id"] {
            Value::Array(list) => list.iter().filter_map(token).collect(),
            one => token(one).into_iter().collect(),
        };
        if !ends.is_empty() {
            return Ok(ends);
        }
    }
    Ok(Vec::new())
}
