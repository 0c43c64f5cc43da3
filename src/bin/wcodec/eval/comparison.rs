//! Several candidates, and what is published of others: size against cost.

use super::published::Published;
use super::report::{Candidate, Report, short};
use crate::output;
use crate::page::{Figure, Mark, Plot, Scale, Section, Series};
use std::path::Path;

/// Rate against what it costs.
pub(super) fn comparison(report: &Report, published: Option<&Published>) -> Section {
    let mut section = Section::new("Size against cost", "");
    if report.candidates.len() < 2 && published.is_none() {
        return section;
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
            series.push(Series { mark, points, labels });
            legend.push(name.unwrap_or_else(|| "measured here".into()));
        }
        let mut note = String::new();
        for peer in published.iter().flat_map(|p| &p.series) {
            series.push(Series {
                mark: Mark::Rings,
                points: peer.points.iter().map(|p| (p.1, p.2)).collect(),
                labels: peer.points.iter().map(|p| p.0.clone()).collect(),
            });
            legend.push(format!("{}, published", peer.name));
        }
        if let Some(p) = published {
            let sources = p
                .series
                .iter()
                .map(|s| format!("{}: {}", s.name, s.source))
                .collect::<Vec<_>>();
            note = format!(
                "Published for {}: {}. Sources: {}.",
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
    for (i, task) in first.iter().flat_map(|c| c.tasks.iter().enumerate()) {
        let points = report
            .candidates
            .iter()
            .map(|c| (rate(c), 100.0 * c.tasks[i].accuracy.candidate.mean));
        let series = vec![Series {
            mark: Mark::Points,
            points: points.collect(),
            labels: report.candidates.iter().map(label).collect(),
        }];
        let limit = Some(100.0 * task.accuracy.reference.mean);
        let y = ("accuracy, %", Scale::Linear);
        let svg = Plot {
            x: (x, Scale::Linear),
            y,
            series,
            limit,
        }
        .svg("Accuracy over bits a weight");
        let mut figure = Figure::new(&format!("Accuracy on {}", short(&task.file)), Vec::new(), svg);
        figure.note = "Dashed: the reference.".into();
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
