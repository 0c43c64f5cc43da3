//! Trains a tiny Llama from scratch, on the CPU, and stores it as Hugging Face does.
//!
//! The model in `models/kjv` was made by this program. To repeat that on Debian 12:
//!
//! ```text
//! apt-get install --no-install-recommends bible-kjv        # brings bible-kjv-text 4.38 along
//! bible -f ge1:1-re22:21 | sed -E 's/^[^ ]+:1 /\n/; t; s/^[^ ]+ //' > bible.txt
//! export RAYON_NUM_THREADS=1 MALLOC_TOP_PAD_=67108864
//! export MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000
//! cargo run --release --example train -- --text bible.txt --out models/kjv
//! ```
//!
//! `bible -f` prints one verse a line, each after its reference (`Ge1:1`). The `sed` drops the references and puts an
//! empty line before each chapter, so that a chapter is one document. The text is the King James Version, which is in
//! the public domain. The `MALLOC` variables keep glibc from handing memory back after each step, which doubles the
//! speed on two cores.
//!
//! Any other text will do whose documents are parted by empty lines. One document in twenty is held out. On one kind of
//! CPU a run is a function of the text and the options: weights and windows are drawn from a generator of our own, and
//! the gradients of the micro-batches are added in a fixed order.
//!
//! The forward pass is that of `candle_transformers::models::llama`, written with operations that have a backward pass.
//! At the end the stored BF16 files are loaded into candle's own Llama, which has to find the same held-out loss.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context, Error, Result, anyhow, ensure};
use candle_core::{CpuStorage, CustomOp1, D, DType, Device, Layout, Shape, Tensor, Var};
use candle_nn::loss::cross_entropy;
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use candle_transformers::models::llama;
use clap::Parser;
use safetensors::serialize;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

const BOS: &str = "<s>";
const EOS: &str = "</s>";
const NORM_EPS: f64 = 1e-5;
const ROPE_THETA: f32 = 10_000.0;
const WARMUP_STEPS: f64 = 100.0;
const WEIGHT_DECAY: f64 = 0.1;
const GRADIENT_CLIP: f64 = 1.0;
/// Windows in a micro-batch; each micro-batch of a step runs on a thread of its own.
const MICRO_BATCH: usize = 4;
/// Steps between two checkpoints.
const SAVE_EVERY: usize = 500;
const CPU: Device = Device::Cpu;

/// Trains a tiny Llama on a plain text.
#[derive(Parser, Debug, Clone)]
struct Args {
    /// Plain text; empty lines part its documents.
    #[arg(long)]
    text: PathBuf,
    /// Folder for the weights, the tokenizer and the configuration.
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 1024)]
    vocab: usize,
    #[arg(long, default_value_t = 128)]
    hidden: usize,
    #[arg(long, default_value_t = 384)]
    intermediate: usize,
    #[arg(long, default_value_t = 6)]
    layers: usize,
    #[arg(long, default_value_t = 4)]
    heads: usize,
    #[arg(long, default_value_t = 2)]
    kv_heads: usize,
    /// Tokens in a window, and the model's longest context.
    #[arg(long, default_value_t = 256)]
    context: usize,
    #[arg(long, default_value_t = 10_000)]
    steps: usize,
    /// Windows in a step.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Highest learning rate: reached after the warm-up, then a cosine down to a twentieth of it.
    #[arg(long, default_value_t = 3e-3)]
    lr: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// SplitMix64: small, and seeded by one number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer below `n`.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A sample of the normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let mut unit = || ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (a, b) = (unit(), unit());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// Softmax of `scale * x` over the last dimension, where row `i` of each block of `context` rows sees the columns up to
/// `i` alone. One pass over the scores, where candle's operations need six.
struct CausalSoftmax {
    scale: f32,
    context: usize,
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(x), Some((start, end))) = (x, l.contiguous_offsets()) else {
            candle_core::bail!("expected a contiguous F32 tensor");
        };
        let mut y = vec![0f32; end - start];
        let rows = x[start..end].chunks_exact(self.context);
        for (i, (x, y)) in rows.zip(y.chunks_exact_mut(self.context)).enumerate() {
            let seen = i % self.context + 1;
            let (x, y) = (&x[..seen], &mut y[..seen]);
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0f32;
            for (x, y) in x.iter().zip(y.iter_mut()) {
                *y = ((x - max) * self.scale).exp();
                sum += *y;
            }
            for y in y {
                *y /= sum;
            }
        }
        Ok((CpuStorage::F32(y), l.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, g: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dot = (y * g)?.sum_keepdim(D::Minus1)?;
        ((y * g.broadcast_sub(&dot)?)? * f64::from(self.scale)).map(Some)
    }
}

/// The trainable Llama: its weights by their Hugging Face names. The head is the embedding.
struct Model {
    args: Args,
    weights: BTreeMap<String, Var>,
    /// Cosines and sines of the rotary positions, of shape (context, 1, head dimension / 2).
    rotary: (Tensor, Tensor),
}

impl Model {
    fn new(args: &Args, vocab: usize, random: &mut Random) -> Result<Self> {
        let (h, m) = (args.hidden, args.intermediate);
        let kv = h / args.heads * args.kv_heads;
        let mut shapes = vec![("model.embed_tokens".to_owned(), vec![vocab, h])];
        for i in 0..args.layers {
            for (name, shape) in [
                ("self_attn.q_proj", vec![h, h]),
                ("self_attn.k_proj", vec![kv, h]),
                ("self_attn.v_proj", vec![kv, h]),
                ("self_attn.o_proj", vec![h, h]),
                ("mlp.gate_proj", vec![m, h]),
                ("mlp.up_proj", vec![m, h]),
                ("mlp.down_proj", vec![h, m]),
                ("input_layernorm", vec![h]),
                ("post_attention_layernorm", vec![h]),
            ] {
                shapes.push((format!("model.layers.{i}.{name}"), shape));
            }
        }
        shapes.push(("model.norm".to_owned(), vec![h]));

        let mut weights = BTreeMap::new();
        for (name, shape) in shapes {
            // What feeds the residual stream starts smaller, the more so the deeper the model.
            let residual = name.ends_with("o_proj") || name.ends_with("down_proj");
            let depth = if residual { 2.0 * args.layers as f64 } else { 1.0 };
            let mut normal = || (0.02 / depth.sqrt() * random.normal()) as f32;
            let init: Vec<f32> = match shape[..] {
                [n] => vec![1.0; n],
                _ => (0..shape.iter().product()).map(|_| normal()).collect(),
            };
            weights.insert(format!("{name}.weight"), Var::from_vec(init, shape, &CPU)?);
        }

        let d = h / args.heads;
        let frequency = |i| 1.0 / ROPE_THETA.powf(i as f32 / d as f32);
        let frequencies: Vec<f32> = (0..d).step_by(2).map(frequency).collect();
        let positions = Tensor::arange(0, args.context as u32, &CPU)?.to_dtype(DType::F32)?;
        let positions = positions.reshape(((), 1, 1))?;
        let angles = positions.broadcast_mul(&Tensor::new(frequencies, &CPU)?)?;
        let (args, rotary) = (args.clone(), (angles.cos()?, angles.sin()?));
        Ok(Self { args, weights, rotary })
    }

    fn weight(&self, name: &str) -> &Tensor {
        self.weights[&format!("{name}.weight")].as_tensor()
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        Ok(x.matmul(&self.weight(name).t()?)?)
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let mean = (x.sqr()?.sum_keepdim(1)? / self.args.hidden as f64)?;
        let x = x.broadcast_div(&(mean + NORM_EPS)?.sqrt()?)?;
        Ok(x.broadcast_mul(self.weight(name))?)
    }

    /// Turns the pairs that the two halves of the last of (batch, position, head, dimension) make.
    fn rope(&self, x: &Tensor) -> Result<Tensor> {
        let (cos, sin) = &self.rotary;
        let halves = x.chunk(2, 3)?;
        let (a, b) = (&halves[0], &halves[1]);
        let left = (a.broadcast_mul(cos)? - b.broadcast_mul(sin)?)?;
        let right = (a.broadcast_mul(sin)? + b.broadcast_mul(cos)?)?;
        Ok(Tensor::cat(&[left, right], 3)?)
    }

    fn attention(&self, x: &Tensor, layer: &str) -> Result<Tensor> {
        let (t, heads, kv) = (self.args.context, self.args.heads, self.args.kv_heads);
        let (b, d) = (x.dim(0)? / t, self.args.hidden / heads);
        let project =
            |name, n| -> Result<Tensor> { Ok(self.linear(x, &format!("{layer}.{name}"))?.reshape((b, t, n, d))?) };
        // The query heads that share a key head are stacked, so the keys need no repetition.
        let split = |x: Tensor, n| x.transpose(1, 2)?.contiguous()?.reshape((b * kv, n / kv * t, d));
        let q = split(self.rope(&project("q_proj", heads)?)?, heads)?;
        let k = split(self.rope(&project("k_proj", kv)?)?, kv)?;
        let v = split(project("v_proj", kv)?, kv)?;
        let scale = 1.0 / (d as f32).sqrt();
        let softmax = CausalSoftmax { scale, context: t };
        let y = q.matmul(&k.t()?)?.apply_op1(softmax)?.matmul(&v)?;
        let y = y.reshape((b, heads, t, d))?.transpose(1, 2)?;
        self.linear(&y.reshape(x.shape())?, &format!("{layer}.o_proj"))
    }

    fn mlp(&self, x: &Tensor, layer: &str) -> Result<Tensor> {
        let gate = self.linear(x, &format!("{layer}.gate_proj"))?.silu()?;
        let up = self.linear(x, &format!("{layer}.up_proj"))?;
        self.linear(&(gate * up)?, &format!("{layer}.down_proj"))
    }

    /// The mean loss over `windows`, each of `context + 1` tokens.
    fn loss(&self, windows: &[&[u32]]) -> Result<Tensor> {
        let t = self.args.context;
        let inputs: Vec<u32> = windows.iter().flat_map(|w| &w[..t]).copied().collect();
        let targets: Vec<u32> = windows.iter().flat_map(|w| &w[1..]).copied().collect();
        let embedding = self.weight("model.embed_tokens");
        let mut x = embedding.index_select(&Tensor::new(inputs, &CPU)?, 0)?;
        for i in 0..self.args.layers {
            let layer = format!("model.layers.{i}");
            let y = self.norm(&x, &format!("{layer}.input_layernorm"))?;
            x = (x + self.attention(&y, &format!("{layer}.self_attn"))?)?;
            let y = self.norm(&x, &format!("{layer}.post_attention_layernorm"))?;
            x = (x + self.mlp(&y, &format!("{layer}.mlp"))?)?;
        }
        let logits = self.norm(&x, "model.norm")?.matmul(&embedding.t()?)?;
        Ok(cross_entropy(&logits, &Tensor::new(targets, &CPU)?)?)
    }

    /// The loss of a step and its gradient for each weight, the micro-batches side by side.
    fn gradients(&self, windows: &[&[u32]]) -> Result<(f64, Vec<Tensor>)> {
        let work = |part: &[&[u32]]| -> Result<(f64, Vec<Tensor>)> {
            let share = part.len() as f64 / windows.len() as f64;
            let loss = (self.loss(part)? * share)?;
            let grads = loss.backward()?;
            let grad = |var| Ok(grads.get(var).context("a weight has no gradient")?.contiguous()?);
            Ok((
                scalar(&loss)?,
                self.weights.values().map(|var| grad(var)).collect::<Result<_>>()?,
            ))
        };
        let parts = std::thread::scope(|scope| {
            let parts = windows.chunks(MICRO_BATCH);
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
            let join = |thread: ScopedJoinHandle<_>| thread.join().map_err(|_| anyhow!("a worker panicked"))?;
            threads.into_iter().map(join).collect::<Result<Vec<_>>>()
        })?;
        let mut parts = parts.into_iter();
        let (mut loss, mut sums) = parts.next().context("no windows")?;
        for (part, grads) in parts {
            loss += part;
            for (sum, grad) in sums.iter_mut().zip(grads) {
                *sum = (&*sum + grad)?;
            }
        }
        Ok((loss, sums))
    }

    fn evaluate(&self, windows: &[&[u32]]) -> Result<f64> {
        let mut total = 0.0;
        for part in windows.chunks(MICRO_BATCH) {
            total += scalar(&self.loss(part)?)? * part.len() as f64;
        }
        Ok(total / windows.len() as f64)
    }

    fn train(&self, stream: &[u32], held_out: &[&[u32]], random: &mut Random) -> Result<()> {
        let args = &self.args;
        // The vectors, which are the norms, do not decay.
        let optimizer = |rank: usize, weight_decay| {
            let vars = self.weights.values().filter(|var| var.rank() == rank);
            let params = ParamsAdamW {
                beta2: 0.95,
                weight_decay,
                ..ParamsAdamW::default()
            };
            AdamW::new(vars.cloned().collect(), params)
        };
        let mut optimizers = [optimizer(1, 0.0)?, optimizer(2, WEIGHT_DECAY)?];

        let (mut since, mut losses) = (Instant::now(), Vec::new());
        for step in 1..=args.steps {
            let starts = (0..args.batch).map(|_| random.below(stream.len() - args.context));
            let windows: Vec<&[u32]> = starts.map(|start| &stream[start..=start + args.context]).collect();
            let (loss, sums) = self.gradients(&windows)?;
            losses.push(loss);

            let squares = sums.iter().map(|sum| scalar(&sum.sqr()?.sum_all()?));
            let norm = squares.sum::<Result<f64>>()?.sqrt();
            let factor = (GRADIENT_CLIP / norm).min(1.0);
            // A backward pass is the one source of an empty store.
            let mut grads = Tensor::zeros((), DType::F32, &CPU)?.backward()?;
            for (var, sum) in self.weights.values().zip(sums) {
                grads.insert(var, (sum * factor)?);
            }
            let progress = (step - 1) as f64 / args.steps as f64;
            let cosine = 0.5 + 0.5 * (std::f64::consts::PI * progress).cos();
            let warmup = (step as f64 / WARMUP_STEPS).min(1.0);
            let lr = args.lr * warmup * (0.05 + 0.95 * cosine);
            for optimizer in &mut optimizers {
                optimizer.set_learning_rate(lr);
                optimizer.step(&grads)?;
            }

            if step % 100 == 0 {
                let speed = (losses.len() * args.batch * args.context) as f64 / since.elapsed().as_secs_f64();
                let loss = losses.iter().sum::<f64>() / losses.len() as f64;
                println!("step {step:5}  loss {loss:.4}  norm {norm:.2}  {speed:.0} tokens/s");
                (since, losses) = (Instant::now(), Vec::new());
            }
            if step % SAVE_EVERY == 0 || step == args.steps {
                self.save()?;
                let loss = self.evaluate(&held_out[..held_out.len().min(64)])?;
                println!("step {step:5}  saved; loss on a part of the held-out text {loss:.4}");
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Writes the weights in BF16, in one move, so that a reader never sees half a file.
    fn save(&self) -> Result<()> {
        let bf16 = |(name, var): (_, &Var)| Ok((name, var.as_tensor().to_dtype(DType::BF16)?));
        let tensors: Vec<_> = self.weights.iter().map(bf16).collect::<Result<_>>()?;
        let info = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let part = self.args.out.join("model.safetensors.part");
        fs::write(&part, serialize(tensors, Some(info))?)?;
        Ok(fs::rename(part, self.args.out.join("model.safetensors"))?)
    }
}

fn scalar(x: &Tensor) -> Result<f64> {
    Ok(f64::from(x.to_scalar::<f32>()?))
}

/// A byte-level BPE tokenizer that puts the BOS token before a text.
fn train_tokenizer(docs: &[&str], vocab: usize) -> tokenizers::Result<Tokenizer> {
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(vocab)
        .show_progress(false)
        .special_tokens([BOS, EOS].map(|t| AddedToken::from(t, true)).to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    let bytes = ByteLevel::default().add_prefix_space(false);
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(bytes));
    tokenizer.with_decoder(Some(bytes));
    tokenizer.train(&mut trainer, docs.iter())?;
    let template = TemplateProcessing::builder()
        .try_single(format!("{BOS} $A"))?
        .special_tokens(vec![(BOS, 0)])
        .build()?;
    tokenizer.with_post_processor(Some(template));
    Ok(tokenizer)
}

/// The documents as one stream of tokens, each between BOS and EOS.
fn encode(tokenizer: &Tokenizer, docs: &[&str]) -> tokenizers::Result<Vec<u32>> {
    let mut stream = Vec::new();
    for doc in docs {
        let encoding = tokenizer.encode(format!("{doc}{EOS}"), true)?;
        stream.extend_from_slice(encoding.get_ids());
    }
    Ok(stream)
}

/// Writes all but the weights.
fn write_configs(args: &Args, tokenizer: &Tokenizer) -> tokenizers::Result<()> {
    let (bos, eos) = (tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS));
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "vocab_size": tokenizer.get_vocab_size(true), "hidden_size": args.hidden, "num_hidden_layers": args.layers,
        "intermediate_size": args.intermediate, "num_attention_heads": args.heads, "num_key_value_heads": args.kv_heads,
        "head_dim": args.hidden / args.heads, "max_position_embeddings": args.context, "hidden_act": "silu",
        "rms_norm_eps": NORM_EPS, "rope_theta": ROPE_THETA, "rope_scaling": null, "tie_word_embeddings": true,
        "attention_bias": false, "attention_dropout": 0.0, "mlp_bias": false, "initializer_range": 0.02,
        "use_cache": true, "bos_token_id": bos, "eos_token_id": eos,
    });
    let generation = serde_json::json!({
        "bos_token_id": bos, "eos_token_id": eos, "max_length": args.context,
        "do_sample": true, "temperature": 0.7, "top_p": 0.9,
    });
    let tokens = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
        "model_max_length": args.context, "clean_up_tokenization_spaces": false,
    });
    for (name, value) in [
        ("config", config),
        ("generation_config", generation),
        ("tokenizer_config", tokens),
    ] {
        let path = args.out.join(format!("{name}.json"));
        fs::write(path, serde_json::to_string_pretty(&value)? + "\n")?;
    }
    tokenizer.save(args.out.join("tokenizer.json"), true)
}

/// What candle's own Llama makes of the stored files: some text, and the held-out loss, token by token through the
/// key-value cache.
fn check(out: &Path, held_out: &[&[u32]], seed: u64) -> Result<f64> {
    let config = fs::read(out.join("config.json"))?;
    let config = serde_json::from_slice::<llama::LlamaConfig>(&config)?.into_config(false);
    let context = config.max_position_embeddings;
    let tokenizer = Tokenizer::from_file(out.join("tokenizer.json")).map_err(Error::from_boxed)?;
    let weights = candle_core::safetensors::load(out.join("model.safetensors"), &CPU)?;
    let vb = VarBuilder::from_tensors(weights, DType::F32, &CPU);
    let model = llama::Llama::load(vb, &config)?;

    let nucleus = Sampling::TopP {
        p: 0.9,
        temperature: 0.7,
    };
    for (prompt, sampling) in [
        ("", nucleus.clone()),
        ("And it came to pass", nucleus.clone()),
        ("Blessed is the man", nucleus),
        ("And Jesus said unto", Sampling::ArgMax),
    ] {
        let mut cache = llama::Cache::new(true, DType::F32, &config, &CPU)?;
        let mut sampler = LogitsProcessor::from_sampling(seed, sampling);
        let encoding = tokenizer.encode(prompt, true).map_err(Error::from_boxed)?;
        let (mut ids, mut done) = (encoding.get_ids().to_vec(), 0);
        while ids.len() < context.min(120) && ids.last().copied() != tokenizer.token_to_id(EOS) {
            let input = Tensor::new(&ids[done..], &CPU)?.unsqueeze(0)?;
            let logits = model.forward(&input, done, &mut cache)?.squeeze(0)?;
            done = ids.len();
            ids.push(sampler.sample(&logits)?);
        }
        let text = tokenizer.decode(&ids, true).map_err(Error::from_boxed)?;
        println!("--- {prompt:?}\n{text}");
    }

    let mut total = 0.0;
    for windows in held_out.chunks(32) {
        let mut cache = llama::Cache::new(true, DType::F32, &config, &CPU)?;
        for i in 0..context {
            let column = |i| Tensor::from_iter(windows.iter().map(|w: &&[u32]| w[i]), &CPU);
            let logits = model.forward(&column(i)?.unsqueeze(1)?, i, &mut cache)?;
            let loss = cross_entropy(&logits, &column(i + 1)?)?;
            total += scalar(&loss)? * windows.len() as f64;
        }
    }
    Ok(total / (held_out.len() * context) as f64)
}

fn main() -> Result<()> {
    let args = Args::parse();
    let rest = (args.hidden % (2 * args.heads), args.heads % args.kv_heads);
    ensure!(rest == (0, 0), "the heads do not divide the model evenly");
    fs::create_dir_all(&args.out)?;
    let text = fs::read_to_string(&args.text).context("cannot read the text")?;
    let docs = text.split("\n\n").map(str::trim).filter(|doc| !doc.is_empty());
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (i, doc) in docs.enumerate() {
        if i % 20 == 19 { &mut unknown } else { &mut known }.push(doc);
    }
    let tokenizer = train_tokenizer(&known, args.vocab).map_err(Error::from_boxed)?;
    write_configs(&args, &tokenizer).map_err(Error::from_boxed)?;
    let stream = encode(&tokenizer, &known).map_err(Error::from_boxed)?;
    let unknown = encode(&tokenizer, &unknown).map_err(Error::from_boxed)?;
    let held_out: Vec<&[u32]> = unknown.windows(args.context + 1).step_by(args.context).collect();
    ensure!(
        !held_out.is_empty() && stream.len() > args.context,
        "the text is too short"
    );

    let mut random = Random(args.seed);
    let model = Model::new(&args, tokenizer.get_vocab_size(true), &mut random)?;
    let parameters: usize = model.weights.values().map(|v| v.elem_count()).sum();
    let (known, unknown) = (stream.len(), held_out.len() * args.context);
    println!("{parameters} parameters; {known} tokens to learn from, {unknown} held out");
    model.train(&stream, &held_out, &mut random)?;

    let trained = model.evaluate(&held_out)?;
    let stored = check(&args.out, &held_out, args.seed)?;
    println!("held-out loss, F32 as trained:           {trained:.4}");
    println!("held-out loss, BF16 in candle's Llama:   {stored:.4}");
    println!("held-out perplexity:                     {:.3}", stored.exp());
    ensure!((trained - stored).abs() < 1e-2, "the two disagree");
    Ok(())
}
