//! Points, lines and steps on two axes.

use super::axis::{Axis, Scale};
use super::{COLOURS, escape};
use crate::table::shorten;
use std::fmt::Write;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 290.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 46.0;
/// Of a letter, about: labels that would run out of the plot stand on the other side.
const LETTER: f64 = 6.6;
/// Two labels are at least so far apart in height.
const LINE: f64 = 13.0;

/// Letters of a shortened label.
const SHORT: usize = 20;

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    /// Filled circles.
    Points,
    /// Rings joined by a thin line.
    Rings,
    Line,
    /// A level from each point to the next.
    Steps,
}

/// Points of one colour, each with a label or none.
pub(crate) struct Series {
    pub(crate) mark: Mark,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) labels: Vec<String>,
    /// From where to where each point may be, or of none.
    pub(crate) intervals: Vec<[f64; 2]>,
}

/// Series on common axes, in the colours `c0`, `c1`, ...
pub(crate) struct Plot<'a> {
    pub(crate) x: (&'a str, Scale),
    pub(crate) y: (&'a str, Scale),
    pub(crate) series: Vec<Series>,
    /// A height to mark.
    pub(crate) limit: Option<f64>,
}

impl Plot<'_> {
    pub(crate) fn svg(&self, label: &str) -> String {
        let all = || self.series.iter().flat_map(|s| &s.points);
        let x = Axis::new(self.x.1, all().map(|p| p.0), (LEFT, WIDTH - RIGHT));
        let ends = self.series.iter().flat_map(|s| s.intervals.iter().flatten().copied());
        let heights = all().map(|p| p.1).chain(ends).chain(self.limit);
        let y = Axis::new(self.y.1, heights, (HEIGHT - BOTTOM, TOP));
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(label)
        );
        self.frame(&mut out, &x, &y);
        let place = |p: &(f64, f64)| (x.place(p.0), y.place(p.1));
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            let places: Vec<(f64, f64)> = series.points.iter().map(place).collect();
            for ((x, _), ends) in places.iter().zip(&series.intervals) {
                let [low, high] = ends.map(|end| y.place(end));
                let _ = write!(
                    out,
                    "<path class=\"s{} thin\" d=\"M{x:.2} {low:.2}V{high:.2}\"/>",
                    i % COLOURS
                );
            }
            series.draw(&mut out, &places, i % COLOURS);
            if matches!(series.mark, Mark::Points | Mark::Rings) {
                taken.extend(places.iter().map(|(x, y)| (x - 4.0, 8.0, y + 4.0)));
            }
        }
        // Behind all points, so that no label lies on one.
        for series in &self.series {
            for (point, text) in series
                .points
                .iter()
                .zip(&series.labels)
                .filter(|(_, text)| !text.is_empty())
            {
                name(&mut out, place(point), text, &mut taken);
            }
        }
        out + "</svg>"
    }

    fn frame(&self, out: &mut String, x: &Axis, y: &Axis) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        x.columns(out, 5, TOP, bottom);
        // Writing to a string cannot fail.
        for (value, text) in y.ticks(6) {
            let at = y.place(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.2}\" y2=\"{at:.2}\"/>"
            );
            let _ = write!(
                out,
                "<text class=\"end soft\" x=\"{}\" y=\"{:.2}\">{text}</text>",
                LEFT - 5.0,
                at + 4.0
            );
        }
        if let Some(limit) = self.limit {
            let at = y.place(limit);
            let _ = write!(
                out,
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.2}\" y2=\"{at:.2}\"/>"
            );
        }
        let _ = write!(out, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>");
        let middle = (LEFT + right) / 2.0;
        let _ = write!(
            out,
            "<text class=\"mid soft\" x=\"{middle}\" y=\"{}\">{}</text>",
            HEIGHT - 8.0,
            escape(self.x.0)
        );
        let middle = (TOP + bottom) / 2.0;
        let _ = write!(
            out,
            "<text class=\"mid soft\" transform=\"translate(11 {middle})rotate(-90)\">{}</text>",
            escape(self.y.0)
        );
    }
}

impl Series {
    fn draw(&self, out: &mut String, places: &[(f64, f64)], colour: usize) {
        let mut path = String::new();
        for (i, (x, y)) in places.iter().enumerate() {
            let _ = match (i, self.mark) {
                (0, _) => write!(path, "M{x:.2} {y:.2}"),
                (_, Mark::Steps) => write!(path, "H{x:.2}V{y:.2}"),
                _ => write!(path, "L{x:.2} {y:.2}"),
            };
        }
        if self.mark != Mark::Points && !path.is_empty() {
            let kind = if self.mark == Mark::Rings { "thin" } else { "line" };
            let _ = write!(out, "<path class=\"s{colour} {kind}\" d=\"{path}\"/>");
        }
        for (x, y) in places {
            let class = match self.mark {
                Mark::Points => format!("c{colour}"),
                Mark::Rings => format!("s{colour} ring"),
                _ => continue,
            };
            let _ = write!(out, "<circle class=\"{class}\" cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"4\"/>");
        }
    }
}

/// Where a label has room.
struct Place {
    /// Its anchor, and the class that says which end of it that is.
    x: f64,
    class: &'static str,
    left: f64,
    width: f64,
    base: f64,
}

impl Place {
    fn find((x, y): (f64, f64), text: &str, taken: &[(f64, f64, f64)]) -> Option<Self> {
        let width = text.chars().count() as f64 * LETTER;
        let sides = [(x + 7.0, "", x + 7.0), (x - 7.0, "end ", x - 7.0 - width)];
        let places = [4.0, -7.0, 15.0].into_iter().flat_map(|dy| {
            sides.map(|(x, class, left)| Self {
                x,
                class,
                left,
                width,
                base: y + dy,
            })
        });
        places.into_iter().find(|p| {
            let inside = p.left >= LEFT && p.left + width <= WIDTH && p.base > TOP + 8.0 && p.base < HEIGHT - BOTTOM;
            let apart = |&(left, wide, base): &(f64, f64, f64)| {
                p.left + width < left || left + wide < p.left || (base - p.base).abs() >= LINE
            };
            inside && taken.iter().all(apart)
        })
    }
}

/// Writes a label beside a point, where no other is; shortened, or left out, where there is no room.
fn name(out: &mut String, point: (f64, f64), text: &str, taken: &mut Vec<(f64, f64, f64)>) {
    let short = shorten(text, SHORT);
    let place = |text| Some((Place::find(point, text, taken)?, text));
    let Some((place, text)) = place(text).or_else(|| place(&short)) else {
        return;
    };
    taken.push((place.left, place.width, place.base));
    let Place { x, class, base, .. } = place;
    let _ = write!(
        out,
        "<text class=\"{class}halo small\" x=\"{x:.2}\" y=\"{base:.2}\">{}</text>",
        escape(text)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_are_shortened_where_there_is_no_room() {
        let of = |label: &str| {
            let series = vec![Series {
                mark: Mark::Points,
                points: vec![(1.0, 2.0)],
                labels: vec![label.into()],
                intervals: vec![[1.0, 4.0]],
            }];
            let (x, y) = (("x", Scale::Linear), ("y", Scale::Linear));
            Plot {
                x,
                y,
                series,
                limit: None,
            }
            .svg("")
        };
        assert!(of("short").contains(">short<"));
        // Its interval, and nothing else, is a line.
        assert_eq!(of("").matches("class=\"s0 thin\"").count(), 1);
        let long = of("a-model-of-a-very-long-name-fine-tuned-0050");
        assert!(
            long.contains("a-model") && long.contains('…') && long.contains("0050<"),
            "{long}"
        );
    }
}
