//! Goals of `wcodec encode`.

use super::outcome::{Searched, UNMET, line};
use crate::Global;
use crate::failure::Failure;
use crate::output;
use crate::progress::Display;
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::json;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use wcodec::calibrate::Calibration;
use wcodec::checkpoint::Lossy;
use wcodec::eval::Limits;
use wcodec::format::certificate::check_command;
use wcodec::rate_control::{self, Goal, Quality, Request, Stage, Watch};
use wcodec::{EncodeOptions, Progress};

#[derive(Args)]
#[command(group(ArgGroup::new("goal").multiple(true).args(
    ["bits", "quality", "max_kl", "max_ppl_increase", "max_accuracy_drop"]
)))]
#[command(next_help_heading = "Quantised files")]
pub(crate) struct GoalArguments {
    /// As small as a named quality allows
    #[arg(long, value_enum, conflicts_with_all = ["bits", "max_kl", "max_ppl_increase", "max_accuracy_drop"])]
    quality: Option<QualityArgument>,
    /// Largest mean KL divergence of a text, in nats a token
    #[arg(long, value_name = "NATS", value_parser = limit, conflicts_with = "bits", allow_negative_numbers = true)]
    max_kl: Option<f64>,
    /// Most that a text's perplexity may rise, in percent
    #[arg(long, value_name = "PERCENT", value_parser = limit, conflicts_with = "bits", allow_negative_numbers = true)]
    max_ppl_increase: Option<f64>,
    /// Most that a task's accuracy may fall, in percentage points
    #[arg(long, value_name = "POINTS", value_parser = limit, requires = "task", conflicts_with = "bits")]
    #[arg(allow_negative_numbers = true)]
    max_accuracy_drop: Option<f64>,
    /// Hold the accuracy's limit by the items of all tasks together, not by each task's
    #[arg(long, requires = "max_accuracy_drop")]
    pool_tasks: bool,
    /// Take a figure within its limit as met, however wide its interval is
    #[arg(long, requires = "goal", conflicts_with = "bits")]
    accept_uncertain: bool,
    /// Calibrate on a text like those that the model is for; may be repeated, for texts of other kinds
    #[arg(long, value_name = "TEXT", requires = "goal")]
    calibrate: Vec<PathBuf>,
    /// Tokens that are used, the first of each text, in equal shares
    #[arg(long, value_name = "TOKENS", default_value_t = 16384, requires = "calibrate")]
    #[arg(value_parser = crate::eval::at_least_one)]
    calibration_tokens: usize,
    /// Most memory that calibrating may take, such as 8GB; mapped files do not count. Takes more time
    #[arg(long, value_name = "SIZE", requires = "calibrate", value_parser = output::parse_size)]
    memory: Option<u64>,
    /// Do without gradients: half the time, but far more is lost at the same bits
    #[arg(long, requires = "calibrate")]
    no_gradients: bool,
    /// Measure on a text [default for limits: the last eighth of each of the calibration's]
    #[arg(long, value_name = "FILE", requires = "goal")]
    text: Vec<PathBuf>,
    /// Measure on a task: JSON lines, as `wcodec eval` takes them
    #[arg(long, value_name = "FILE", requires = "goal")]
    task: Vec<PathBuf>,
    /// First windows of each text that are measured on, of 512 tokens or the model's positions if fewer [default: 16]
    #[arg(long, value_name = "N", value_parser = crate::eval::at_least_one, requires = "goal")]
    windows: Option<usize>,
    /// First items of each task only
    #[arg(long, value_name = "N", value_parser = crate::eval::at_least_one, requires = "task")]
    limit: Option<usize>,
    /// Keep statistics and probes in this folder, for other goals
    #[arg(long, value_name = "FOLDER", requires = "goal")]
    statistics: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum QualityArgument {
    /// Mean KL divergence at most 0.003
    Near,
    /// At most 0.01
    High,
    /// At most 0.03
    Medium,
    /// At most 0.1
    Small,
}

impl From<QualityArgument> for Quality {
    fn from(quality: QualityArgument) -> Self {
        match quality {
            QualityArgument::Near => Self::Near,
            QualityArgument::High => Self::High,
            QualityArgument::Medium => Self::Medium,
            QualityArgument::Small => Self::Small,
        }
    }
}

fn limit(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(limit) if limit > 0.0 && f64::is_finite(limit) => Ok(limit),
        Ok(0.0) => Err("a number above 0 is needed: without a goal nothing is lost".into()),
        _ => Err("a number above 0 is needed".into()),
    }
}

impl GoalArguments {
    /// What was asked for, if something was.
    pub(super) fn goal(&self, bits: Option<f64>) -> Option<Goal> {
        if let Some(bits) = bits {
            return Some(Goal::Bits(bits));
        }
        let limits = match self.quality {
            Some(quality) => Quality::from(quality).limits(),
            None => {
                let mut limits = Limits::default();
                limits.divergence = self.max_kl;
                limits.perplexity_increase = self.max_ppl_increase;
                limits.accuracy_drop = self.max_accuracy_drop;
                limits.pool_tasks = self.pool_tasks;
                limits
            }
        };
        let accept_uncertain = self.accept_uncertain;
        (limits != Limits::default()).then_some(Goal::Limits {
            limits,
            accept_uncertain,
        })
    }

    /// The command that checks the certificate of what is encoded.
    fn check_command(&self, input: &Path, to: &Path) -> String {
        // Without a text of its own it is the calibration's, of each of which a part is held out.
        let held_out = self
            .calibrate
            .iter()
            .filter(|_| self.text.is_empty() && self.needs_text());
        let texts: Vec<String> = self.text.iter().chain(held_out).map(|path| shown(path)).collect();
        let tasks: Vec<String> = self.task.iter().map(|path| shown(path)).collect();
        check_command(
            [&shown(to), &shown(input)],
            texts.iter().map(String::as_str),
            tasks.iter().map(String::as_str),
        )
    }

    /// Whether the goal is measured on a text.
    fn needs_text(&self) -> bool {
        self.quality.is_some() || self.max_kl.or(self.max_ppl_increase).is_some()
    }

    pub(super) fn encode(
        &self,
        goal: Goal,
        lossy: Lossy,
        [named, input, to]: [&Path; 3],
        options: &EncodeOptions,
        global: &Global,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> Result<Searched, Failure> {
        if self.windows.is_some() && self.text.is_empty() && !self.needs_text() {
            return Err(Failure::usage(
                "--windows is of no use: no text is measured on (--text)",
            ));
        }
        let mut request = Request::new(goal);
        request.lossy = lossy;
        request.folder = self.statistics.clone();
        request.calibration = (!self.calibrate.is_empty()).then(|| {
            let mut calibration = Calibration::new(&self.calibrate);
            calibration.tokens = self.calibration_tokens;
            calibration.gradients = !self.no_gradients;
            calibration.memory = self.memory;
            calibration
        });
        let evaluation = &mut request.evaluation;
        (evaluation.texts, evaluation.tasks) = (self.text.clone(), self.task.clone());
        (evaluation.windows, evaluation.items) = (self.windows, self.limit);
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let watch = Watch {
            progress: &|stage| {
                Box::new(Heard {
                    inner: progress(stage, global),
                    warnings: warnings.clone(),
                })
            },
            probed: &|probed| {
                if !global.quiet {
                    eprintln!("{}", line(probed));
                }
            },
        };
        if self.calibrate.is_empty() {
            let what = "not calibrated: far more is lost than need be at the same bits (--calibrate TEXT)";
            remark(&warnings, what, global);
        }
        let left_behind = || {
            let folders = rate_control::left_behind(to, &request);
            folders.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
        };
        let before = left_behind();
        if !before.is_empty() && !global.quiet {
            eprintln!("of what an earlier run left in {before} is used what fits");
        }
        let outcome = rate_control::encode(input, to, options, &request, &watch, wanted).map_err(|error| {
            let failure = Failure::from(error);
            let kept = left_behind();
            match failure.is_cancelled() && !kept.is_empty() {
                true => failure.and(&format!("the same command goes on; what was found is kept in {kept}")),
                false => failure,
            }
        })?;
        let warnings = warnings.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let searched = Searched {
            outcome,
            goal,
            warnings,
            check: self.check_command(named, to),
        };
        if searched.outcome.reports.is_none() && global.json {
            let mut value = json!({ "command": "encode", "input": named.to_string_lossy(), "output": null });
            searched.add_to(&mut value);
            value["error"] = json!({ "kind": UNMET, "message": searched.unmet() });
            output::print_json(&value)?;
        }
        Ok(searched)
    }
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Says what is of no single step.
fn remark(warnings: &Mutex<Vec<String>>, what: &str, global: &Global) {
    warnings.lock().unwrap_or_else(|e| e.into_inner()).push(what.to_owned());
    if !global.quiet {
        eprintln!("note: {what}");
    }
}

/// The display of a step.
pub(crate) fn progress(stage: Stage, global: &Global) -> Box<dyn Progress> {
    Box::new(match stage {
        Stage::Calibrating => Display::counting("calibrating", "passes of a token through a layer", global),
        Stage::Encoding => Display::new("encoding", global),
        Stage::Reading => Display::counting("reading", "tokens", global),
        Stage::Answering => Display::counting("answering", "tokens", global),
    })
}

/// Keeps warnings, and passes each on once: every probe has them again.
struct Heard {
    inner: Box<dyn Progress>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Progress for Heard {
    fn start(&self, total: u64) {
        self.inner.start(total);
    }

    fn advance(&self, bytes: u64, name: &str) {
        self.inner.advance(bytes, name);
    }

    fn warn(&self, message: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(|e| e.into_inner());
        if !warnings.iter().any(|w| w == message) {
            warnings.push(message.to_owned());
            self.inner.warn(message);
        }
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
}
