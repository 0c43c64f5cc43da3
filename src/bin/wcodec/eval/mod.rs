//! `wcodec eval`.

mod comparison;
pub(crate) mod html;
pub(crate) mod markdown;
mod published;
mod report;
mod run;
mod text;

pub(crate) use report::{Report, labels};
pub(crate) use run::{Inputs, Suite};

use crate::Global;
use crate::device::{self, DeviceArgument};
use crate::failure::Failure;
use crate::input;
use crate::output;
use candle_core::DType;
use clap::{ArgGroup, Args, ValueEnum};
use published::Published;
use report::{decided, values};
use std::path::{Path, PathBuf};
use wcodec::eval::{Bos, Limits, Load, ModelFiles, Outcome, TooLong};

/// Measure what a file costs in accuracy, against the original
#[derive(Args)]
#[command(group(ArgGroup::new("measured").args(["text", "task"]).required(true).multiple(true)))]
#[command(long_about = "\
Measure what a file costs in accuracy, against the original.

Both models read the same texts and answer the same tasks, side by side. Texts give perplexity and the \
KL divergence of the next-token distributions; tasks give accuracy, its change with a paired bootstrap \
interval, and McNemar's p-value. A model whose logits are all the same, bit by bit, is called identical.

A model is a safetensors or .wcodec file, a shard index, a folder, or on the Hub (ORG/MODEL[@REVISION], or \
hf://ORG/MODEL[@REVISION]/FILE); config.json and tokenizer.json are looked for beside it. Llama 2 and 3, \
SmolLM2, Mistral, Qwen2 and Qwen3 are known. Of several candidates one is in memory at a time, and the \
reference is computed once.

A figure is met if its upper bound is within the limit, exceeded if the figure itself is not, and else \
uncertain. The bound is the upper end of the two-sided 95 % interval that is printed; of an accuracy, of which a \
bootstrap says little where few items differ, it is a one-sided 97.5 % bound where that is higher: the exact one of \
Clopper and Pearson where no item was gained, else Tango's score bound. Of several tasks each is held to the limit, or, with --pool-tasks, all their items together: \
of few items the bound is wide. The report says which one decided. Exit status 1 if a limit is exceeded, or a figure is uncertain.

Each model is computed as its own config.json says; one that asks for other shapes is an error, other differences \
are said in the report, and --config names one for both. A candidate with another tokenizer.json is refused, as \
the models would not read the same tokens, unless --tokenizer names one for both. Items that are longer than the \
model's positions are found before the work (--too-long).

--save-reference keeps what the reference says: of a text the states before the model's head, 4 bytes times \
the hidden size a token, of which logits come out the same, bit by bit, on the same kind of processor. --resume \
keeps what was found so far, so that a run that was killed goes on where it was. The first refuses to be used \
with another model, tokenizer, text, task or option. The second refuses another reference, tokenizer, --bos, \
--dtype or --device; what is found of other candidates, texts, tasks or windows is kept beside the rest.")]
#[command(after_help = "\
Examples:
  wcodec eval model.safetensors model.wcodec --text wiki.test.raw
  wcodec eval original small --task hellaswag.jsonl --limit 1000 --max-accuracy-drop 0.5
  wcodec eval a.safetensors b.wcodec --text wiki.test.raw --windows 40 --max-kl 0.01 --json
  wcodec eval org/model small.wcodec smaller.wcodec --text wiki.test.raw --html report.html
  wcodec eval a b --text wiki.test.raw --save-reference a.reference --resume so-far

A task has one JSON object a line, of one of these shapes, each with an optional \"id\":
  {\"context\": \"...\", \"choices\": [\" a\", \" b\"], \"gold\": 0}
  {\"contexts\": [\"...\", \"...\"], \"continuation\": \" c\", \"gold\": 1}
  {\"context\": \"...\", \"target\": \" word\"}")]
pub(crate) struct Eval {
    /// The original model
    #[arg(value_name = "REFERENCE")]
    reference: String,
    /// The models that are measured
    #[arg(value_name = "CANDIDATE", required = true)]
    candidates: Vec<String>,
    /// A text, as it is; of a .jsonl file the field `text` of each line
    #[arg(long, value_name = "FILE")]
    text: Vec<PathBuf>,
    /// A task: JSON lines
    #[arg(long, value_name = "FILE")]
    task: Vec<PathBuf>,
    /// First items of each task only
    #[arg(long, value_name = "N", requires = "task", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Items with more tokens than the model has positions: error says so before the work, skip leaves them
    /// out, truncate leaves out their first tokens, as lm-evaluation-harness does
    #[arg(long, value_enum, default_value_t = TooLongArgument::Error)]
    too_long: TooLongArgument,
    /// First windows of each text only
    #[arg(long, value_name = "N", requires = "text", value_parser = at_least_one)]
    windows: Option<usize>,
    /// Tokens of a window [default: 512, or the model's positions if fewer]
    #[arg(long, value_name = "TOKENS", requires = "text", value_parser = at_least_one)]
    window: Option<usize>,
    /// Tokens from one window's start to the next, no more than a window has [default: windows side by side]
    #[arg(long, value_name = "TOKENS", requires = "text", value_parser = at_least_one)]
    stride: Option<usize>,
    /// Begin each text with the beginning-of-text token: auto does what the tokenizer does
    #[arg(long, value_enum, default_value_t = BosArgument::Auto)]
    bos: BosArgument,
    /// Element type to compute in
    #[arg(long, value_enum, default_value_t = DTypeArgument::F32)]
    dtype: DTypeArgument,
    /// Where to compute: cpu, or cuda[:N] in a build with the feature `cuda`
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = device::parse)]
    device: DeviceArgument,
    /// config.json of both models [default: the one beside each]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// tokenizer.json [default: the one beside the model]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Most that a task's accuracy may fall, in percentage points
    #[arg(long, value_name = "POINTS", value_parser = limit)]
    max_accuracy_drop: Option<f64>,
    /// Hold the accuracy's limit by the items of all tasks together, not by each task's
    #[arg(long, requires = "max_accuracy_drop")]
    pool_tasks: bool,
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
    /// Write the report as an HTML page too, with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Keep the reference's results in a file, or take them from it if it is there
    #[arg(long, value_name = "FILE")]
    save_reference: Option<PathBuf>,
    /// Keep what is found in a file, and go on from it if it is there; it is removed when the results are out,
    /// unless another run's are in it too
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Replace the files of --html, --markdown and --items if they exist
    #[arg(long, short)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TooLongArgument {
    Error,
    Skip,
    Truncate,
}

impl From<TooLongArgument> for TooLong {
    fn from(argument: TooLongArgument) -> Self {
        match argument {
            TooLongArgument::Error => Self::Refuse,
            TooLongArgument::Skip => Self::Skip,
            TooLongArgument::Truncate => Self::Truncate,
        }
    }
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

/// A number from 1.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| "a number from 1 is needed".into())
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
        let (reports, kept) = (
            [&self.markdown, &self.html, &self.items],
            [&self.resume, &self.save_reference],
        );
        let outputs = [&reports[..], &kept].concat();
        output::refuse_inputs(&outputs, self.files())?;
        output::check_reports(&reports, &kept, self.force)?;
        let load = self.load(global)?;
        // Mistakes in small files come before the work.
        let mut inputs = Inputs::read(&self.text, &self.task, self.limit)?;
        (inputs.window, inputs.stride, inputs.windows) = (self.window, self.stride, self.windows);
        let reference = input::model(&self.reference, global)?;
        let candidates = self.candidates.iter().map(|c| input::model(c, global));
        let candidates = candidates.collect::<Result<Vec<_>, _>>()?;
        let models = std::iter::once(&reference).chain(&candidates);
        output::refuse_inputs(&outputs, models.flat_map(ModelFiles::paths))?;
        let suite = Suite {
            inputs,
            load,
            limits: self.limits(),
        };
        let report = suite.run(&reference, &candidates, global);
        let (report, kept) = report.map_err(|failure| self.what_is_kept(failure))?;
        if let Some(path) = &self.markdown {
            output::write_report(path, &markdown::render(&report), self.force)?;
        }
        if let Some(path) = &self.html {
            let page = html::page(&report, Published::of(&reference)?.as_ref());
            output::write_report(path, &page.render()?, self.force)?;
        }
        if let Some(path) = &self.items {
            output::write_report(path, &report.items(), self.force)?;
        }
        let printed = match global.json {
            true => output::print_json(&report.json()),
            false => output::print(&text::render(&report)),
        };
        match printed {
            Ok(()) => kept.finish()?,
            // Nobody has read it: what was found stays where it is, and the exit status says the verdict.
            Err(failure) if failure.is_closed_output() => {}
            Err(failure) => return Err(failure),
        }
        self.end(&report)
    }

    /// What the command line names and this program reads.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let files = self.text.iter().chain(&self.task).map(PathBuf::as_path);
        let models = std::iter::once(&self.reference).chain(&self.candidates).map(Path::new);
        files
            .chain(self.config.as_deref())
            .chain(self.tokenizer.as_deref())
            .chain(models.filter(|path| path.is_file()))
    }

    /// Of a run that was stopped: how to go on.
    fn what_is_kept(&self, failure: Failure) -> Failure {
        if !failure.is_cancelled() {
            return failure;
        }
        match (&self.resume, &self.save_reference) {
            (Some(file), _) => failure.and(&format!(
                "what was found so far is kept in {}, and the same command goes on from there",
                file.display()
            )),
            (None, Some(file)) if !file.exists() => failure.and(&format!(
                "what the reference said so far is kept in {}.partial, and the same command goes on from there; \
                 --resume FILE keeps what candidates say, too",
                file.display()
            )),
            _ => failure.and("nothing is kept; with --resume FILE a run that is stopped goes on where it was"),
        }
    }

    fn load(&self, global: &Global) -> Result<Load, Failure> {
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
        load.too_long = self.too_long.into();
        // All of the evaluation computes where this says.
        load.device = self.device.open()?;
        load.save_reference = self.save_reference.clone();
        load.resume = self.resume.clone();
        Ok(load)
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.accuracy_drop = self.max_accuracy_drop;
        limits.pool_tasks = self.pool_tasks;
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

    /// The worst check decides over the exit status.
    fn end(&self, report: &Report) -> Result<(), Failure> {
        let Some(outcome) = report.outcome() else {
            return Ok(());
        };
        if outcome == Outcome::Met || outcome == Outcome::Uncertain && self.accept_uncertain {
            return Ok(());
        }
        let worst = report.checks().find(|(_, c)| c.outcome == outcome);
        let what = worst.map(|(candidate, c)| {
            let (file, figure, limit) = (&c.file, c.figure, c.limit);
            let of = match report.candidates.len() {
                1 => String::new(),
                _ => format!("{}: ", candidate.model.name),
            };
            let more = match c.outcome {
                Outcome::Uncertain => ": more text or items would tell, --accept-uncertain takes it",
                _ => "",
            };
            format!(
                "{of}{file}: {figure}: {}, limit {limit}: {}{more}",
                values(c),
                decided(c)
            )
        });
        Err(Failure::after_result("limit-not-met", what.unwrap_or_default()))
    }
}
