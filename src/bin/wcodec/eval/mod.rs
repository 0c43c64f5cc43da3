//! `wcodec eval`.

mod markdown;
mod report;

use crate::Global;
use crate::failure::Failure;
use crate::output;
use crate::progress::Display;
use candle_core::DType;
use clap::{Args, ValueEnum};
use report::Report;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use wcodec::eval::{
    Bos, Limits, Load, Models, Outcome, TextOptions, Verdict, measure_task, measure_text, read_items, read_text,
};

/// Measure what a file costs in accuracy, against the original
#[derive(Args)]
#[command(long_about = "\
Measure what a file costs in accuracy, against the original.

Both models read the same texts and answer the same tasks, side by side. Texts give perplexity and the \
KL divergence of the next-token distributions; tasks give accuracy, its change with a paired bootstrap \
interval, and McNemar's p-value. A model whose logits are all the same, bit by bit, is called identical.

A model is a safetensors or .wcodec file, a shard index, or a folder; config.json and tokenizer.json \
are looked for beside it. Llama 2 and 3, SmolLM2, Mistral, Qwen2 and Qwen3 are known.

Exit status 1 if a limit is exceeded, or an interval is too wide to tell.")]
#[command(after_help = "\
Examples:
  wcodec eval model.safetensors model.wcodec --text wiki.test.raw
  wcodec eval original small --task hellaswag.jsonl --limit 1000 --max-accuracy-drop 0.5
  wcodec eval a.safetensors b.wcodec --text wiki.test.raw --windows 40 --max-kl 0.01 --json

A task has one JSON object a line, of one of these shapes, each with an optional \"id\":
  {\"context\": \"...\", \"choices\": [\" a\", \" b\"], \"gold\": 0}
  {\"contexts\": [\"...\", \"...\"], \"continuation\": \" c\", \"gold\": 1}
  {\"context\": \"...\", \"target\": \" word\"}")]
pub(crate) struct Eval {
    /// The original model
    #[arg(value_name = "REFERENCE")]
    reference: PathBuf,
    /// The model that is measured
    #[arg(value_name = "CANDIDATE")]
    candidate: PathBuf,
    /// A text, as it is; of a .jsonl file the field `text` of each line
    #[arg(long, value_name = "FILE", required_unless_present = "task")]
    text: Vec<PathBuf>,
    /// A task: JSON lines
    #[arg(long, value_name = "FILE")]
    task: Vec<PathBuf>,
    /// First items of each task only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// First windows of each text only
    #[arg(long, value_name = "N")]
    windows: Option<usize>,
    /// Tokens of a window [default: 512, or the model's positions if fewer]
    #[arg(long, value_name = "TOKENS")]
    window: Option<usize>,
    /// Tokens from one window's start to the next [default: windows side by side]
    #[arg(long, value_name = "TOKENS")]
    stride: Option<usize>,
    /// Begin each text with the beginning-of-text token: auto does what the tokenizer does
    #[arg(long, value_enum, default_value_t = BosArgument::Auto)]
    bos: BosArgument,
    /// Element type to compute in
    #[arg(long, value_enum, default_value_t = DTypeArgument::F32)]
    dtype: DTypeArgument,
    /// config.json of both models [default: the one beside each]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// tokenizer.json [default: the one beside the model]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Most that a task's accuracy may fall, in percentage points
    #[arg(long, value_name = "POINTS", value_parser = limit)]
    max_accuracy_drop: Option<f64>,
    /// Largest mean KL divergence of a text, in nats a token
    #[arg(long, value_name = "NATS", value_parser = limit)]
    max_kl: Option<f64>,
    /// Most that a text's perplexity may rise, in percent
    #[arg(long, value_name = "PERCENT", value_parser = limit)]
    max_ppl_increase: Option<f64>,
    /// Take a figure within its limit as met, however wide its interval is
    #[arg(long)]
    accept_uncertain: bool,
    /// Write every item with its log-likelihoods under both models: JSON lines
    #[arg(long, value_name = "FILE", requires = "task")]
    items: Option<PathBuf>,
    /// Write the report as Markdown too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum BosArgument {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
enum DTypeArgument {
    F32,
    F16,
    Bf16,
}

fn limit(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(limit) if limit >= 0.0 && f64::is_finite(limit) => Ok(limit),
        _ => Err("a number from 0 is needed".into()),
    }
}

impl Eval {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        self.limits_have_figures()?;
        // Mistakes in small files come before the work.
        let texts = self
            .text
            .iter()
            .map(|path| read_text(path))
            .collect::<Result<Vec<_>, _>>()?;
        let tasks = self
            .task
            .iter()
            .map(|path| read_items(path))
            .collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        let models = Models::open(&self.reference, &self.candidate, &self.load(global))?;
        let loading = begun.elapsed();
        let mut report = Report::new(&self.reference, &self.candidate, loading);
        let mut options = TextOptions::default();
        let most = models.config().max_positions();
        options.window = self.window.unwrap_or(options.window.min(most));
        options.stride = self.stride;
        options.windows = self.windows;
        for text in &texts {
            let progress = Display::counting("reading", "tokens", global);
            let begun = Instant::now();
            let measured = measure_text(&models, text, &options, &progress)?;
            report.texts.push((measured, begun.elapsed()));
        }
        for items in &tasks {
            let progress = Display::counting("answering", "tokens", global);
            let items = &items[..self.limit.unwrap_or(items.len()).min(items.len())];
            let begun = Instant::now();
            let measured = measure_task(&models, items, &progress)?;
            report.tasks.push((measured, begun.elapsed()));
        }
        report.judge(&self.limits());
        if let Some(path) = &self.markdown {
            let write = std::fs::write(path, markdown::render(&report));
            write.map_err(Failure::io(format!("writing {}", path.display())))?;
        }
        if let Some(path) = &self.items {
            let write = std::fs::write(path, report.items());
            write.map_err(Failure::io(format!("writing {}", path.display())))?;
        }
        if global.json {
            output::print_json(&report.json())?;
        } else if !global.quiet {
            output::print(&report.text())?;
        }
        self.end(report.verdict.as_ref())
    }

    fn load(&self, global: &Global) -> Load {
        let mut load = Load::default();
        load.dtype = match self.dtype {
            DTypeArgument::F32 => DType::F32,
            DTypeArgument::F16 => DType::F16,
            DTypeArgument::Bf16 => DType::BF16,
        };
        load.bos = match self.bos {
            BosArgument::Auto => Bos::Auto,
            BosArgument::Always => Bos::Always,
            BosArgument::Never => Bos::Never,
        };
        load.config = self.config.clone();
        load.tokenizer = self.tokenizer.clone();
        load.decode = global.decode_options();
        load
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.accuracy_drop = self.max_accuracy_drop;
        limits.divergence = self.max_kl;
        limits.perplexity_increase = self.max_ppl_increase;
        limits
    }

    /// A limit on nothing would always be met.
    fn limits_have_figures(&self) -> Result<(), Failure> {
        let needs = |given: bool, files: &[PathBuf], flag: &str, needed: &str| {
            if given && files.is_empty() {
                return Err(Failure::usage(format!(
                    "{flag} is a limit on what {needed} measures: give one"
                )));
            }
            Ok(())
        };
        needs(
            self.max_accuracy_drop.is_some(),
            &self.task,
            "--max-accuracy-drop",
            "--task",
        )?;
        needs(self.max_kl.is_some(), &self.text, "--max-kl", "--text")?;
        needs(
            self.max_ppl_increase.is_some(),
            &self.text,
            "--max-ppl-increase",
            "--text",
        )
    }

    fn end(&self, verdict: Option<&Verdict>) -> Result<(), Failure> {
        let Some(verdict) = verdict else {
            return Ok(());
        };
        let met = verdict.outcome == Outcome::Met || verdict.outcome == Outcome::Uncertain && self.accept_uncertain;
        if met {
            return Ok(());
        }
        let worst = verdict.checks.iter().find(|c| c.outcome == verdict.outcome);
        let what = worst.map(|c| {
            let (file, figure, limit) = (&c.file, c.figure, c.limit);
            match c.outcome {
                Outcome::Uncertain => format!(
                    "{file}: {figure}: {:.4} is within {limit}, but its interval reaches {:.4}: more text or items \
                     would tell, --accept-uncertain takes it",
                    c.value, c.upper
                ),
                _ => format!("{file}: {figure}: {:.4} is above {limit}", c.value),
            }
        });
        Err(Failure::after_result("limit-not-met", what.unwrap_or_default()))
    }
}

/// A duration's number in JSON.
fn seconds(time: std::time::Duration) -> serde_json::Value {
    json!(time.as_secs_f64())
}
