//! `wcodec baseline`.

mod html;
mod load;
mod markdown;
mod measure;
mod model;
mod quantised;
mod report;
mod targets;

use crate::Global;
use crate::eval::{Inputs, Suite, TooLongArgument};
use crate::failure::Failure;
use crate::input;
use crate::output;
use clap::Args;
use std::path::{Path, PathBuf};
use wcodec::eval::{Limits, Load, ModelFiles, Setting};

/// Measure what there is to win on a checkpoint, and what is won
#[derive(Args)]
#[command(long_about = "\
Measure what there is to win on a checkpoint, and what is won.

For each tensor and in all: sizes; zeros; how values are distributed; the entropy of each field of their bits; \
what each predictor and transform would make of them; the same weights as INT8 and INT4, plain and coded. Beside \
each size that is reached stands the entropy bound: what no code comes below that knows but the frequencies of a \
tensor's values, and the scales of its rows and columns. (Where neighbours are alike, as in position embeddings, \
prediction comes below it.) Then the time and memory that loading takes, from \
safetensors and from .wcodec, with a warm and a cold cache; and the project's targets, each with its measured \
state. A model's warm-up, which decoding is held against, is the time from opening the safetensors files to the \
first logits of 16 tokens, in F32 on the CPU: one run. With --text or --task the encoded model is measured against the original, as `wcodec eval` does.

A model is a safetensors or .wcodec file, or a folder, here or on the Hub. What is encoded or decoded for the \
measurement goes to the system's folder for temporary files; the environment variable TMPDIR names another.")]
#[command(after_help = "\
Examples:
  wcodec baseline model.safetensors
  wcodec baseline org/model --html report.html
  wcodec baseline model --task hellaswag.jsonl --limit 200 --json > baseline.json")]
pub(crate) struct Baseline {
    /// Models
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<String>,
    /// Measure the encoded model's accuracy on a text, too
    #[arg(long, value_name = "FILE")]
    text: Vec<PathBuf>,
    /// Measure the encoded model's accuracy on a task, too: JSON lines, see `wcodec eval`
    #[arg(long, value_name = "FILE")]
    task: Vec<PathBuf>,
    /// First items of each task only
    #[arg(long, value_name = "N", requires = "task", value_parser = crate::eval::at_least_one)]
    limit: Option<usize>,
    /// First windows of each text only
    #[arg(long, value_name = "N", requires = "text", value_parser = crate::eval::at_least_one)]
    windows: Option<usize>,
    /// Items with more tokens than the model has positions: error says so before the work, skip leaves them
    /// out, truncate leaves out their first tokens, as lm-evaluation-harness does
    #[arg(long, value_enum, default_value_t = TooLongArgument::Error)]
    too_long: TooLongArgument,
    /// Loads of each kind
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Write the report as an HTML page too, with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as Markdown too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Replace the files of --html and --markdown if they exist
    #[arg(long, short)]
    force: bool,
}

impl Baseline {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let reports = [&self.markdown, &self.html];
        let named = self.models.iter().map(Path::new).filter(|path| path.is_file());
        let read = self.text.iter().chain(&self.task).map(PathBuf::as_path);
        output::refuse_inputs(&reports, read.chain(named))?;
        output::check_reports(&reports, &[], self.force)?;
        // Mistakes in small files come before the work.
        let suite = self.suite(global)?;
        let models = self.models.iter().map(|name| input::model(name, global));
        let models = models.collect::<Result<Vec<_>, _>>()?;
        output::refuse_inputs(&reports, models.iter().flat_map(ModelFiles::paths))?;
        // Mistakes in small files come before the work.
        for (files, suite) in models
            .iter()
            .flat_map(|files| suite.iter().map(move |suite| (files, suite)))
        {
            if files.config.is_none() || files.tokenizer.is_none() {
                let what = "--text and --task need config.json and tokenizer.json beside the weights";
                return Err(Failure::new("input", format!("{}: {what}", files.name)));
            }
            let setting = Setting::of(files, files, &suite.load)?;
            suite.inputs.check(&setting, global)?;
        }
        let mut found = Vec::new();
        for files in &models {
            found.push(model::measure(files, suite.as_ref(), self.runs as usize, global)?);
        }
        if let Some(path) = &self.markdown {
            let text = found.iter().map(markdown::render).collect::<Vec<_>>().join("\n");
            output::write_report(path, &text, self.force)?;
        }
        if let Some(path) = &self.html {
            output::write_report(path, &html::page(&found).render()?, self.force)?;
        }
        if global.json {
            output::print_json(&report::json(&found))
        } else {
            output::print(&found.iter().map(report::text).collect::<Vec<_>>().join("\n"))
        }
    }

    /// What the encoded models' accuracy is measured on, if it is.
    fn suite(&self, global: &Global) -> Result<Option<Suite>, Failure> {
        if self.text.is_empty() && self.task.is_empty() {
            return Ok(None);
        }
        let inputs = Inputs::read(&self.text, &self.task, self.limit)?.with_windows(self.windows);
        let (mut load, mut limits) = (Load::default(), Limits::default());
        (load.decode, load.too_long) = (global.decode_options(), self.too_long.into());
        limits.accuracy_drop = Some(model::ACCURACY_DROP);
        Ok(Some(Suite { inputs, load, limits }))
    }
}
