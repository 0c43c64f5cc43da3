//! Horizontal bars, of one or several parts.

use super::{COLOURS, escape};
use std::fmt::Write;

const WIDTH: f64 = 400.0;
/// Of a bar with its label above.
const HEIGHT: f64 = 38.0;
/// Of one more line of text.
const LINE: f64 = 16.0;
/// Of a letter, about.
const LETTER: f64 = 6.8;

/// A bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// Lengths of its parts, which have the colours `c0`, `c1`, ...
    pub(crate) parts: Vec<f64>,
    /// What is written behind the label.
    pub(crate) text: String,
}

impl Bar {
    /// Whether label and text need a line each.
    fn is_long(&self) -> bool {
        let letters = self.label.chars().count() + self.text.chars().count() + 2;
        letters as f64 * LETTER > WIDTH
    }

    fn height(&self) -> f64 {
        HEIGHT + if self.is_long() { LINE } else { 0.0 }
    }
}

/// Bars of which the longest possible is `most`. Labels stand above their bars, the text beside them, or below
/// where there is no room.
pub(crate) fn bars(rows: &[Bar], most: f64, label: &str) -> String {
    let height = rows.iter().map(Bar::height).sum::<f64>() + 4.0;
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(label)
    );
    let mut top = 0.0;
    for row in rows {
        let base = top + 15.0;
        let below = base + if row.is_long() { LINE } else { 0.0 };
        let bar = below + 5.0;
        top += row.height();
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<text x=\"0\" y=\"{base}\">{}</text><text x=\"{WIDTH}\" y=\"{below}\" class=\"end\">{}</text>",
            escape(&row.label),
            escape(&row.text)
        );
        let _ = write!(
            out,
            "<rect class=\"rail\" x=\"0\" y=\"{bar}\" width=\"{WIDTH}\" height=\"12\" rx=\"2\"/>"
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
                    "<rect class=\"c{}\" x=\"{x:.2}\" y=\"{bar}\" width=\"{width:.2}\" height=\"12\"/>",
                    colour % COLOURS
                );
            }
            x += width;
        }
    }
    out + "</svg>"
}
