//! A candidate against limits.

use super::paired::{Paired, largest_drop};
use super::task::TaskReport;
use super::text::TextReport;
use serde::Serialize;

/// What a candidate may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Most that the accuracy of a task may fall, in percentage points.
    pub accuracy_drop: Option<f64>,
    /// Whether that is of the items of all tasks together, not of each task.
    pub pool_tasks: bool,
    /// Largest mean divergence, in nats a token.
    pub divergence: Option<f64>,
    /// Most that a text's perplexity may rise, in percent.
    pub perplexity_increase: Option<f64>,
}

/// How a figure stands to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The figure's upper bound is within the limit.
    Met,
    /// The figure is within the limit, its upper bound is not: more text or items would tell.
    Uncertain,
    /// The figure is above the limit.
    Exceeded,
}

/// A figure and its limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The text or task.
    pub file: String,
    /// Which figure, with its unit.
    pub figure: &'static str,
    /// The limit.
    pub limit: f64,
    /// The figure.
    pub value: f64,
    /// How far up it may be: with less than this, `met`.
    pub upper: f64,
    /// What `upper` is: which bound it was that decided.
    pub bound: &'static str,
    /// Whether all logits behind the figure are the same, bit by bit.
    pub identical: bool,
    /// How they stand.
    pub outcome: Outcome,
}

/// All checks, and the worst outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The worst of the checks.
    pub outcome: Outcome,
    /// Figure by figure.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Holds every figure against its limit. `None` if there is no limit, or nothing that it is for.
    pub fn of(texts: &[TextReport], tasks: &[TaskReport], limits: &Limits) -> Option<Self> {
        let mut checks = Vec::new();
        for text in texts {
            let divergence = text.divergence.mean;
            let divergence = (divergence.mean, divergence.upper());
            let increase = (text.increase_percent, text.increase_interval[1]);
            for (figure, limit, (value, upper)) in [
                (DIVERGENCE, limits.divergence, divergence),
                (INCREASE, limits.perplexity_increase, increase),
            ] {
                let bounds = (value, upper, TWO_SIDED);
                checks.extend(limit.map(|limit| check(&text.file, figure, limit, bounds, text.identical)));
            }
        }
        let tasks = tasks.iter().map(|task| {
            let change = |p: Paired| Change {
                gained: p.gained,
                lost: p.lost,
                interval_points: p.interval_points,
            };
            TaskChange {
                file: task.file.clone(),
                items: task.items,
                identical: task.identical,
                accuracy: change(task.accuracy.paired),
                normalised: task.normalised.map(|n| change(n.paired)),
            }
        });
        checks.extend(drops(tasks.collect(), limits));
        let outcome = checks.iter().map(|c| c.outcome).max()?;
        Some(Self { outcome, checks })
    }
}

/// How the accuracy on a task changes.
pub(crate) struct TaskChange {
    pub(crate) file: String,
    pub(crate) items: usize,
    pub(crate) identical: bool,
    pub(crate) accuracy: Change,
    pub(crate) normalised: Option<Change>,
}

/// Items gained and lost, and the interval of the difference in points.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub(crate) gained: usize,
    pub(crate) lost: usize,
    pub(crate) interval_points: [f64; 2],
}

/// What all tasks together are called.
pub(crate) const TOGETHER: &str = "all tasks together";

/// Accuracies against the limit on their drop.
pub(crate) fn drops(mut tasks: Vec<TaskChange>, limits: &Limits) -> Vec<Check> {
    let Some(limit) = limits.accuracy_drop else {
        return Vec::new();
    };
    if limits.pool_tasks {
        tasks = pooled(&tasks).into_iter().collect();
    }
    let mut checks = Vec::new();
    for task in &tasks {
        for (figure, change) in [(DROP, Some(task.accuracy)), (NORMALISED_DROP, task.normalised)] {
            checks.extend(change.map(|c| {
                let (upper, bound) = largest_drop(task.items, [c.gained, c.lost], c.interval_points);
                let value = 100.0 * (c.lost as f64 - c.gained as f64) / task.items.max(1) as f64;
                check(&task.file, figure, limit, (value, upper, bound), task.identical)
            }));
        }
    }
    checks
}

/// All items as of one task. The normalised accuracy is the plain one of tasks that have no other. Of the interval
/// nothing is known: the bound is one that needs none.
fn pooled(tasks: &[TaskChange]) -> Option<TaskChange> {
    let sum = |of: &dyn Fn(&TaskChange) -> usize| tasks.iter().map(of).fold(0, usize::saturating_add);
    let change = |of: &dyn Fn(&TaskChange) -> Change| Change {
        gained: sum(&|t| of(t).gained),
        lost: sum(&|t| of(t).lost),
        interval_points: [f64::INFINITY; 2],
    };
    let normalised = tasks.iter().any(|t| t.normalised.is_some());
    (!tasks.is_empty()).then(|| TaskChange {
        file: TOGETHER.into(),
        items: sum(&|t| t.items),
        identical: tasks.iter().all(|t| t.identical),
        accuracy: change(&|t| t.accuracy),
        normalised: normalised.then(|| change(&|t| t.normalised.unwrap_or(t.accuracy))),
    })
}

/// Names of the figures.
pub(crate) const DIVERGENCE: &str = "KL divergence, nats";
pub(crate) const INCREASE: &str = "perplexity increase, percent";
pub(crate) const DROP: &str = "accuracy drop, points";
pub(crate) const NORMALISED_DROP: &str = "normalised accuracy drop, points";

/// A figure, its upper bound, and what that is.
pub(crate) type Bounds = (f64, f64, &'static str);

pub(crate) const TWO_SIDED: &str = "upper end of the two-sided 95 % interval (1.96 standard errors)";
const IDENTICAL: &str = "exact: every logit is the reference's";

/// Holds a figure against its limit.
pub(crate) fn check(file: &str, figure: &'static str, limit: f64, bounds: Bounds, identical: bool) -> Check {
    // Nothing is left to chance where nothing differs. 0 less 0 may be -0.
    let (value, upper, bound) = match (identical, bounds) {
        (true, _) => (0.0, 0.0, IDENTICAL),
        (false, (value, upper, bound)) => (value + 0.0, upper, bound),
    };
    let outcome = if value > limit {
        Outcome::Exceeded
    } else if upper <= limit {
        Outcome::Met
    } else {
        Outcome::Uncertain
    };
    Check {
        file: file.to_owned(),
        figure,
        limit,
        value,
        upper,
        bound,
        identical,
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        let outcome = |value, upper, identical| check("", "", 0.1, (value, upper, ""), identical).outcome;
        assert_eq!(outcome(0.05, 0.09, false), Outcome::Met);
        assert_eq!(outcome(0.05, 0.2, false), Outcome::Uncertain);
        assert_eq!(outcome(0.11, 0.2, false), Outcome::Exceeded);
        // An interval that is not known is no proof.
        assert_eq!(outcome(0.0, f64::INFINITY, false), Outcome::Uncertain);
        assert_eq!(outcome(0.0, f64::NAN, false), Outcome::Uncertain);
        assert_eq!(outcome(0.0, 5.0, true), Outcome::Met);
        assert!(Outcome::Exceeded > Outcome::Uncertain && Outcome::Uncertain > Outcome::Met);
        assert_eq!(Verdict::of(&[], &[], &Limits::default()), None);
    }
}
