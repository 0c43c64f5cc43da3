//! Accuracy on tasks.

use super::items::{Item, Question};
use super::kept::{Kept, Times};
use super::likelihood::{ItemBatch, Likelihood};
use super::models::{Models, with_candidate};
use super::paired::Paired;
use super::prompt::Prompts;
use super::score::{CANDIDATE, REFERENCE, batches};
use super::stats::Estimate;
use super::verdict::TOGETHER;
use crate::{Error, Progress, Result};
use blake3::Hasher;
use serde::Serialize;
use serde_json::json;

/// How often two models are right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// The reference's, 0 to 1.
    pub reference: Estimate,
    /// The candidate's, 0 to 1.
    pub candidate: Estimate,
    /// Their difference, item by item.
    pub paired: Paired,
}

/// How probable two models hold the right answers. It changes where answers do not, and so tells smaller differences
/// than the accuracy does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Probability {
    /// The reference's mean, 0 to 1.
    pub reference: Estimate,
    /// The candidate's mean, 0 to 1.
    pub candidate: Estimate,
    /// The candidate's less the reference's, item by item.
    pub change: Estimate,
}

/// An item and what both models make of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answered {
    /// The item's name.
    pub id: String,
    /// Its line in the file.
    pub line: usize,
    /// Index of the right answer, except of a cloze.
    pub gold: Option<usize>,
    /// The reference's answer.
    pub reference: Answer,
    /// The candidate's answer.
    pub candidate: Answer,
}

/// What one model makes of an item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Of each choice (or context, or of the target), in nats.
    pub log_likelihoods: Vec<f64>,
    /// Index of the largest; of a cloze 1 if every token of the target is the likeliest.
    pub pick: usize,
    /// Whether that is right.
    pub right: bool,
    /// Whether the largest log-likelihood a character is the right one's; without choices as `right`.
    pub right_normalised: bool,
}

/// Two models on a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    /// The task's file.
    pub file: String,
    /// Items that were asked.
    pub items: usize,
    /// Items that were left out, as they are longer than the model's positions.
    pub skipped: usize,
    /// Items of which the first tokens were left out, as they are longer than the model's positions.
    pub truncated: usize,
    /// Whether all logits that were looked at are the same, bit by bit.
    pub identical: bool,
    /// By the largest log-likelihood; of a cloze, by whether every token is the likeliest.
    pub accuracy: Accuracy,
    /// By the largest log-likelihood a character, if all items have choices.
    pub normalised: Option<Accuracy>,
    /// Of the right choice (or context) against the others, by their likelihoods; of a cloze, of its target.
    pub probability: Probability,
    /// The right answers' mean log-likelihood under the reference, in nats.
    pub reference_log_likelihood: Estimate,
    /// The candidate's less the reference's, in nats.
    pub log_likelihood_change: Estimate,
    /// All items, in the order of the file. Left out of the serialised report.
    #[serde(skip)]
    pub answers: Vec<Answered>,
    /// Names of the items of which the models pick different answers, in the order of the file.
    pub differing: Vec<String>,
    /// How long it took. Left out of the serialised report.
    #[serde(skip)]
    pub times: Times,
}

/// Runs both models over a task's items. Progress is in tokens.
///
/// # Errors
/// [`Error::Input`] with file and line if an item is longer than the model's positions (unless
/// [`Load::too_long`](super::Load::too_long) says what to do with it) or has nothing before its continuation; [`Error::Cancelled`]; those of the tokenizer and the models.
pub fn measure_task(models: &Models, items: &[Item], progress: &dyn Progress) -> Result<TaskReport> {
    let Prompts {
        items,
        prompts,
        skipped,
        truncated,
    } = models.setting.prompts(items, &())?;
    let mut key = json!({ "task": digest(&items), "items": items.len() });
    if truncated > 0 {
        key["truncated"] = truncated.into();
    }
    let batches = batches(&prompts, |p| p.tree.rows());
    let saved = Kept::new(models.reference.saved.as_deref(), &key, batches.len())?;
    let kept = Kept::new(models.kept.as_deref(), &with_candidate(key, models), batches.len())?;
    progress.start(prompts.iter().map(|p| p.tree.rows() as u64).sum());
    let (mut identical, mut times) = (true, Times::default());
    let mut likelihoods: Vec<Vec<[Likelihood; 2]>> = Vec::with_capacity(items.len());
    for (number, prompts) in (0..).zip(batches) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let batch = ItemBatch::new(prompts, &items[likelihoods.len()..]);
        let theirs = saved.get_or(number, &mut times.reference, |out| {
            batch.run(models.reference.whole()?, REFERENCE, out)
        })?;
        let ours = kept.get_or(number, &mut times.candidate, |out| {
            batch.run(&models.candidate, CANDIDATE, out)
        })?;
        let (theirs, ours) = (batch.read(&theirs)?, batch.read(&ours)?);
        identical &= theirs.iter().zip(&ours).all(|(a, b)| a.digest == b.digest);
        likelihoods.extend(batch.likelihoods(&[theirs, ours])?);
        let done = prompts.iter().map(|p| p.tree.rows() as u64).sum();
        progress.advance(done, items.first().map_or("", |item| &item.at.file));
    }
    let answers = items.iter().zip(&likelihoods).map(|(item, likelihoods)| {
        let of = |model: usize| answer(&item.question, likelihoods.iter().map(|l| l[model]).collect());
        Answered {
            id: item.id.clone(),
            line: item.at.line,
            gold: item.question.gold(),
            reference: of(0),
            candidate: of(1),
        }
    });
    let file = items.first().map(|i| i.at.file.clone()).unwrap_or_default();
    let choices = items.iter().all(|i| matches!(i.question, Question::Choices { .. }));
    let mut report = report(file, answers.collect(), choices, identical);
    (report.skipped, report.truncated, report.times) = (skipped, truncated, times);
    Ok(report)
}

/// All tasks as one of all their items, without the answers; `None` of fewer than two. The normalised accuracy is the plain
/// one of tasks that have no other.
pub fn together(tasks: &[TaskReport]) -> Option<TaskReport> {
    let answers = tasks.iter().flat_map(|t| {
        t.answers.iter().cloned().map(|mut answered| {
            for answer in [&mut answered.reference, &mut answered.candidate] {
                answer.right_normalised = if t.normalised.is_some() {
                    answer.right_normalised
                } else {
                    answer.right
                };
            }
            answered
        })
    });
    let sum = |of: fn(&TaskReport) -> usize| tasks.iter().map(of).sum();
    (tasks.len() > 1).then(|| TaskReport {
        skipped: sum(|t| t.skipped),
        truncated: sum(|t| t.truncated),
        answers: Vec::new(),
        differing: Vec::new(),
        ..report(
            TOGETHER.into(),
            answers.collect(),
            tasks.iter().any(|t| t.normalised.is_some()),
            tasks.iter().all(|t| t.identical),
        )
    })
}

/// Of items, in order: all that a model sees or is held to.
fn digest(items: &[&Item]) -> String {
    let mut hasher = Hasher::new();
    for item in items {
        // The names of the fields and the quotes around texts keep items apart.
        hasher.update(format!("{:?}\n", item.question).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The index of the largest value, the first of several.
fn largest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if value > best.1 {
            best = (i, value);
        }
    }
    best.0
}

fn answer(question: &Question, likelihoods: Vec<Likelihood>) -> Answer {
    let log_likelihoods: Vec<f64> = likelihoods.iter().map(|l| l.sum).collect();
    let sums = || log_likelihoods.iter().copied();
    let (pick, normalised) = match question {
        Question::Choices { choices, .. } => {
            // Characters without the space that leads a choice.
            let length = |choice: &String| choice.strip_prefix(' ').unwrap_or(choice).chars().count().max(1);
            let normalised = sums().zip(choices).map(|(sum, choice)| sum / length(choice) as f64);
            (largest(sums()), largest(normalised))
        }
        Question::Contexts { .. } => (largest(sums()), largest(sums())),
        Question::Cloze { .. } => {
            let greedy = usize::from(likelihoods.iter().all(|l| l.greedy));
            (greedy, greedy)
        }
    };
    // A cloze is right where it picks 1.
    let gold = question.gold().unwrap_or(1);
    Answer {
        log_likelihoods,
        pick,
        right: pick == gold,
        right_normalised: normalised == gold,
    }
}

fn accuracy(answers: &[Answered], right: fn(&Answer) -> bool) -> Accuracy {
    let pairs: Vec<(bool, bool)> = answers
        .iter()
        .map(|a| (right(&a.reference), right(&a.candidate)))
        .collect();
    Accuracy {
        reference: Estimate::share(pairs.iter().map(|p| p.0)),
        candidate: Estimate::share(pairs.iter().map(|p| p.1)),
        paired: Paired::of(&pairs),
    }
}

/// The probability of the right answer, given that it is one of those that there are.
fn probability(item: &Answered, answer: &Answer) -> f64 {
    let likelihoods = &answer.log_likelihoods;
    match item.gold {
        Some(gold) => 1.0 / likelihoods.iter().map(|l| (l - likelihoods[gold]).exp()).sum::<f64>(),
        None => likelihoods[0].exp(),
    }
}

fn report(file: String, answers: Vec<Answered>, choices: bool, identical: bool) -> TaskReport {
    let of_gold = |a: &Answered, answer: &Answer| answer.log_likelihoods[a.gold.unwrap_or(0)];
    let column = |value: &dyn Fn(&Answered) -> f64| Estimate::of(&answers.iter().map(value).collect::<Vec<_>>());
    let differing = answers.iter().filter(|a| a.reference.pick != a.candidate.pick);
    TaskReport {
        file,
        items: answers.len(),
        skipped: 0,
        truncated: 0,
        identical,
        accuracy: accuracy(&answers, |a| a.right),
        normalised: choices.then(|| accuracy(&answers, |a| a.right_normalised)),
        probability: Probability {
            reference: column(&|a| probability(a, &a.reference)),
            candidate: column(&|a| probability(a, &a.candidate)),
            change: column(&|a| probability(a, &a.candidate) - probability(a, &a.reference)),
        },
        reference_log_likelihood: column(&|a| of_gold(a, &a.reference)),
        log_likelihood_change: column(&|a| of_gold(a, &a.candidate) - of_gold(a, &a.reference)),
        differing: differing.map(|a| a.id.clone()).collect(),
        answers,
        times: Times::default(),
    }
}
