//! Several candidates, and what is published of others: size against cost.

use super::published::Published;
use super::report::{Candidate, Report, cells, plus_minus, short, word};
use crate::output;
use crate::page::{Figure, Mark, Plot, Scale, Section, Series, Sheet};
use crate::table::Align::{self, Left, Right};
use std::path::Path;

/// Candidates side by side on a text or a task.
pub(super) struct Beside<'a> {
    pub(super) file: &'a str,
    pub(super) columns: Vec<(&'static str, Align)>,
    /// The first cell is the candidate's label.
    pub(super) rows: Vec<Vec<String>>,
}

/// All candidates side by side on each text and task, with how each stands to all of its limits, if there are such;
/// nothing of one candidate.
pub(super) fn side_by_side(report: &Report) -> Vec<Beside<'_>> {
    let [first, _, ..] = &report.candidates[..] else {
        return Vec::new();
    };
    let judged = report.outcome().is_some();
    let table = |file, figures: [&'static str; 3], of: &dyn Fn(&Candidate) -> [String; 3]| {
        let columns = ["bytes", "bits/weight"].into_iter().chain(figures);
        let columns = [("candidate", Left)].into_iter().chain(columns.map(|c| (c, Right)));
        let row = |c: &Candidate| {
            let size = [output::bytes(c.model.bytes), format!("{:.3}", c.model.rate())];
            let verdict = judged.then(|| c.verdict.as_ref().map_or("-", |v| word(v.outcome)).to_owned());
            let cells = [c.label.clone()].into_iter().chain(size).chain(of(c));
            cells.chain(verdict).collect()
        };
        Beside {
            file,
            columns: columns.chain(judged.then_some(("verdict", Left))).collect(),
            rows: report.candidates.iter().map(row).collect(),
        }
    };
    let identical = || ["identical"; 3].map(str::to_owned);
    let texts = first.texts.iter().enumerate().map(|(i, text)| {
        table(&text.file, ["mean KL", "perplexity", "same top"], &|c| {
            let text = &c.texts[i];
            match text.identical {
                true => identical(),
                false => [
                    format!("{:.6}", text.divergence.mean.mean),
                    format!("{:+.4}%", text.increase_percent),
                    format!("{:.3}%", 100.0 * text.same_top.mean),
                ],
            }
        })
    });
    let tasks = first.all_tasks().into_iter().enumerate().map(|(i, task)| {
        table(&task.file, ["accuracy %", "change, points", "95 % interval"], &|c| {
            let [_, accuracy, change, interval, ..] = cells(&c.all_tasks()[i].accuracy);
            match c.all_tasks()[i].identical {
                true => identical(),
                false => [accuracy, change, interval],
            }
        })
    });
    texts.chain(tasks).collect()
}

/// Rate against what it costs, and all figures side by side.
pub(super) fn comparison(report: &Report, published: Option<&Published>) -> Section {
    let mut section = Section::new("Size against cost", "");
    if report.candidates.len() < 2 && published.is_none() {
        return section;
    }
    for beside in side_by_side(report) {
        let mut sheet = Sheet::new(short(beside.file), &beside.columns);
        beside.rows.into_iter().for_each(|row| sheet.row(row));
        section.tables.push(sheet);
    }
    let rate = |c: &Candidate| published.and(c.model.linear_rate()).unwrap_or_else(|| c.model.rate());
    let label = |c: &Candidate| c.label.as_str().to_owned();
    let x = if published.is_some() {
        "bits a weight of the blocks' linear layers"
    } else {
        "bits a weight of the file"
    };
    let first = report.candidates.first();
    for (i, text) in first.iter().flat_map(|c| c.texts.iter().enumerate()) {
        let of_text = |c: &Candidate| (rate(c), c.texts[i].divergence.mean.mean);
        let shown: Vec<&Candidate> = report.candidates.iter().filter(|c| of_text(c).1 > 0.0).collect();
        let (mut series, mut legend) = (Vec::new(), Vec::new());
        for (name, members) in by_folder(&shown) {
            let mut members: Vec<_> = members.iter().map(|(label, c)| (of_text(c), label.clone())).collect();
            members.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
            let (points, labels) = members.into_iter().unzip();
            // Of several folders each is a curve.
            let mark = if name.is_some() { Mark::Rings } else { Mark::Points };
            series.push(Series {
                mark,
                points,
                labels,
                intervals: Vec::new(),
            });
            legend.push(name.unwrap_or_else(|| "measured here".into()));
        }
        let mut note = String::new();
        for peer in published.iter().flat_map(|p| &p.series) {
            series.push(Series {
                mark: Mark::Rings,
                points: peer.points.iter().map(|p| (p.1, p.2)).collect(),
                labels: peer.points.iter().map(|p| p.0.clone()).collect(),
                intervals: Vec::new(),
            });
            legend.push(format!("{}, elsewhere", peer.name));
        }
        if let Some(p) = published {
            let sources = p
                .series
                .iter()
                .map(|s| format!("{}: {}", s.name, s.source))
                .collect::<Vec<_>>();
            note = format!(
                "Measured elsewhere, not in this run, for {}: {}. Sources: {}.",
                p.model,
                p.conditions,
                sources.join("; ")
            );
        }
        let left_out = report.candidates.len() - shown.len();
        if left_out > 0 {
            note += &format!(
                " Not on the scale, as they diverge by nothing: {}.",
                output::count(left_out, "candidate")
            );
        }
        if series.iter().all(|s| s.points.is_empty()) {
            continue;
        }
        let y = ("mean KL divergence, nats a token", Scale::Log);
        let svg = Plot {
            x: (x, Scale::Linear),
            y,
            series,
            limit: None,
        }
        .svg("KL divergence over bits a weight");
        let mut figure = Figure::new(&format!("KL divergence on {}", short(&text.file)), legend, svg);
        figure.note = note;
        section.figures.push(figure);
    }
    for (i, task) in first.iter().flat_map(|c| c.all_tasks().into_iter().enumerate()) {
        let paired = |c: &Candidate| c.all_tasks()[i].accuracy.paired;
        let all = || report.candidates.iter();
        let series = vec![Series {
            mark: Mark::Points,
            points: all().map(|c| (rate(c), paired(c).delta_points)).collect(),
            labels: all().map(label).collect(),
            intervals: all().map(|c| paired(c).interval_points).collect(),
        }];
        let y = ("change of the accuracy, points", Scale::Linear);
        let svg = Plot {
            x: (x, Scale::Linear),
            y,
            series,
            limit: Some(0.0),
        }
        .svg("Change of the accuracy over bits a weight");
        let mut figure = Figure::new(&format!("Accuracy on {}", short(&task.file)), Vec::new(), svg);
        let reference = plus_minus(task.accuracy.reference, 100.0, 2);
        figure.note = format!("With 95 % intervals. Dashed: the reference, {reference} %.");
        section.figures.push(figure);
    }
    section
}

/// Candidates with short names.
type Members<'a> = Vec<(String, &'a Candidate)>;

/// Candidates by the folder that they are in, with short names: the folder says what they have in common. Of one
/// folder it says nothing.
fn by_folder<'a>(candidates: &[&'a Candidate]) -> Vec<(Option<String>, Members<'a>)> {
    let mut all: Vec<(Option<String>, Members)> = Vec::new();
    for &c in candidates {
        let path = Path::new(&c.model.name);
        let folder = path.parent().and_then(Path::file_name);
        let folder = folder.map(|f| f.to_string_lossy().into_owned());
        let stem = path
            .file_stem()
            .map_or(c.label.as_str().into(), |s| s.to_string_lossy());
        let member = (stem.into_owned(), c);
        match all.iter_mut().find(|(name, _)| *name == folder) {
            Some((_, members)) => members.push(member),
            None => all.push((folder, vec![member])),
        }
    }
    if all.len() < 2 {
        let members = candidates.iter().map(|c| (c.label.clone(), *c)).collect();
        return vec![(None, members)];
    }
    all
}
