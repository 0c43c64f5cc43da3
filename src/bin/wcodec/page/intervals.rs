//! Values with their intervals, one below the other, on one axis.

use super::axis::{Axis, Scale};
use super::{COLOURS, escape};
use std::fmt::Write;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 34.0;
const FOOT: f64 = 40.0;
const EDGE: f64 = 10.0;

/// A value between the ends of its interval.
pub(crate) struct Interval {
    pub(crate) label: String,
    pub(crate) low: f64,
    pub(crate) value: f64,
    pub(crate) high: f64,
    /// Where a dashed line marks a limit, if it is held to one.
    pub(crate) limit: Option<f64>,
    /// What is written behind the label.
    pub(crate) text: String,
    pub(crate) colour: usize,
}

/// Intervals over a line at 0, each with its limit if it has one.
pub(crate) fn intervals(rows: &[Interval], unit: &str, label: &str) -> String {
    let ends = rows
        .iter()
        .flat_map(|r| [r.low, r.value, r.high].into_iter().chain(r.limit));
    let axis = Axis::new(Scale::Linear, ends.chain([0.0]), (EDGE, WIDTH - EDGE));
    let bottom = HEIGHT * rows.len() as f64 + 4.0;
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        bottom + FOOT,
        escape(label)
    );
    axis.columns(&mut out, 5, 0.0, bottom);
    // Writing to a string cannot fail.
    let zero = axis.place(0.0);
    let _ = write!(
        out,
        "<line class=\"axis\" x1=\"{zero:.2}\" x2=\"{zero:.2}\" y1=\"0\" y2=\"{bottom}\"/>"
    );
    let _ = write!(
        out,
        "<text class=\"mid soft\" x=\"{}\" y=\"{}\">{}</text>",
        WIDTH / 2.0,
        bottom + 33.0,
        escape(unit)
    );
    for (i, row) in rows.iter().enumerate() {
        let top = HEIGHT * i as f64;
        let (base, y, colour) = (top + 14.0, top + 24.0, row.colour % COLOURS);
        let _ = write!(
            out,
            "<text class=\"halo\" x=\"0\" y=\"{base}\">{}</text><text class=\"end halo\" x=\"{WIDTH}\" y=\"{base}\">{}</text>",
            escape(&row.label),
            escape(&row.text)
        );
        if let Some(x) = row.limit.map(|limit| axis.place(limit)) {
            let (from, to) = (y - 7.0, y + 7.0);
            let _ = write!(
                out,
                "<line class=\"limit\" x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{from}\" y2=\"{to}\"/>"
            );
        }
        let [low, value, high] = [row.low, row.value, row.high].map(|v| axis.place(v));
        let _ = write!(
            out,
            "<line class=\"s{colour} thick\" x1=\"{low:.2}\" x2=\"{high:.2}\" y1=\"{y}\" y2=\"{y}\"/>\
             <circle class=\"c{colour}\" cx=\"{value:.2}\" cy=\"{y}\" r=\"4.5\"/>"
        );
    }
    out + "</svg>"
}
