//! Horizontal bars, of one or several parts.

use super::{COLOURS, escape};
use std::fmt::Write;

const WIDTH: f64 = 400.0;
/// Of a bar with its label above.
const HEIGHT: f64 = 38.0;

/// A bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// Lengths of its parts, which have the colours `c0`, `c1`, ...
    pub(crate) parts: Vec<f64>,
    /// What is written behind the label.
    pub(crate) text: String,
}

/// Bars of which the longest possible is `most`. Labels stand above their bars: they may be long.
pub(crate) fn bars(rows: &[Bar], most: f64, label: &str) -> String {
    let height = HEIGHT * rows.len() as f64 + 4.0;
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(label)
    );
    for (i, row) in rows.iter().enumerate() {
        let top = HEIGHT * i as f64;
        let base = top + 15.0;
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<text x=\"0\" y=\"{base}\">{}</text><text x=\"{WIDTH}\" y=\"{base}\" class=\"end\">{}</text>",
            escape(&row.label),
            escape(&row.text)
        );
        let _ = write!(
            out,
            "<rect class=\"rail\" x=\"0\" y=\"{}\" width=\"{WIDTH}\" height=\"12\" rx=\"2\"/>",
            top + 20.0
        );
        let mut x = 0.0;
        for (colour, part) in row.parts.iter().enumerate() {
            let width = if most > 0.0 {
                (part / most * WIDTH).clamp(0.0, WIDTH - x)
            } else {
                0.0
            };
            if width > 0.0 {
                let _ = write!(
                    out,
                    "<rect class=\"c{}\" x=\"{x:.2}\" y=\"{}\" width=\"{width:.2}\" height=\"12\"/>",
                    colour % COLOURS,
                    top + 20.0
                );
            }
            x += width;
        }
    }
    out + "</svg>"
}
