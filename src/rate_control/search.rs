//! Which strength to try next.
//!
//! The logarithm of a figure is close to linear in the strength (an octave more of every step makes four times the
//! divergence and one bit a weight less), so the secant through two probes hits a limit within a few per cent. The
//! nearest probes on both sides of the limit bracket it; a probe falls between them. Figures of tasks go up and
//! down by chance: there the bracket is halved.

use std::f64::consts::LN_2;

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) strength: f64,
    /// Bits a weight of the quantised tensors.
    pub(super) bits: f64,
    /// Bytes of the files.
    pub(super) bytes: f64,
    /// Natural logarithm of the worst figure over its limit: it holds if this is not above 0.
    pub(super) excess: f64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// Probe at this strength.
    At(f64),
    /// The probe of this number is it.
    Done(usize),
    /// No file holds; the probe of this number came nearest.
    Never(usize),
}

/// Probes that a run takes at most.
pub(super) const MOST_PROBES: usize = 8;
/// Above so many bits a weight of the quantised tensors quantising is no use: a lossless file has few more.
pub(super) const MOST_BITS: f64 = 8.0;
/// Below, nearly all levels are 0.
const LEAST_BITS: f64 = 1.0;
/// A file that cannot be made smaller by more than this part is small enough.
const NEAR: f64 = 0.01;
/// So far below the limit, as a logarithm, is aimed: to hold, and not to be far from it.
const MARGIN: f64 = 0.02;
/// An octave's effect on a figure that goes with the squared error.
const SLOPE: f64 = 2.0 * LN_2;
/// Octaves of a step into what is not known.
const STRIDE: f64 = 3.0;
/// An excess is within these: beyond, only its side is known.
const KNOWN: f64 = 6.0;

/// The next step, of all points so far; at least one.
pub(super) fn next(points: &[Point], probes_left: usize) -> Next {
    let finest = |a: &usize, b: &usize| points[*a].strength.total_cmp(&points[*b].strength);
    let holds: Vec<usize> = (0..points.len()).filter(|&i| points[i].excess <= 0.0).collect();
    let Some(best) = holds.iter().copied().min_by(|&a, &b| {
        let by = |i: usize| (points[i].bytes, -points[i].strength);
        by(a).partial_cmp(&by(b)).unwrap_or(std::cmp::Ordering::Equal)
    }) else {
        // None holds: finer than all.
        let Some(nearest) = (0..points.len()).min_by(finest) else {
            return Next::At(0.0);
        };
        let p = points[nearest];
        if p.bits > MOST_BITS - 0.1 || probes_left == 0 {
            return Next::Never(nearest);
        }
        let to = p.strength - ((p.excess.min(KNOWN) + MARGIN) / slope(points)).clamp(0.2, STRIDE);
        return Next::At(to.max(p.strength - (MOST_BITS - p.bits)));
    };
    let p = points[best];
    // Of those that fail, the nearest that is coarser.
    let beyond = (0..points.len()).filter(|&i| points[i].excess > 0.0 && points[i].strength > p.strength);
    let to = match beyond.min_by(finest).map(|i| points[i]) {
        None => p.strength + ((-p.excess.max(-KNOWN) - MARGIN) / slope(points)).clamp(0.0, STRIDE),
        Some(fails) if (p.bytes - fails.bytes) <= NEAR * p.bytes => return Next::Done(best),
        Some(fails) => {
            let (width, rise) = (fails.strength - p.strength, fails.excess - p.excess);
            let known = p.excess > -KNOWN && fails.excess < KNOWN;
            let part = match known {
                true => (-p.excess - MARGIN) / rise,
                false => 0.5,
            };
            // A bracket that only one side moves in is halved.
            let part = if narrows(points, p, fails) { part } else { 0.5 };
            if known && part * width < NEAR / 2.0 * p.bits {
                return Next::Done(best);
            }
            p.strength + width * part.clamp(0.1, 0.9)
        }
    };
    let to = to.min(p.strength + (p.bits - LEAST_BITS));
    // An octave is about a bit.
    match to - p.strength < NEAR / 2.0 * p.bits || probes_left == 0 {
        true => Next::Done(best),
        false => Next::At(to),
    }
}

/// Whether the last three probes did not all fall on one side of the limit.
fn narrows(points: &[Point], holds: Point, fails: Point) -> bool {
    let last = points.len().saturating_sub(3);
    let same = |side: bool| points.len() > 3 && points[last..].iter().all(|p| (p.excess <= 0.0) == side);
    let wide = holds.bytes - fails.bytes > 4.0 * NEAR * holds.bytes;
    !(wide && (same(true) || same(false)))
}

/// How fast the excess rises with the strength: by the two points nearest to the limit.
fn slope(points: &[Point]) -> f64 {
    let mut known: Vec<&Point> = points.iter().filter(|p| p.excess.abs() < KNOWN).collect();
    known.sort_by(|a, b| a.excess.abs().total_cmp(&b.excess.abs()));
    match known[..] {
        [a, b, ..] if (a.strength - b.strength).abs() > 1e-3 => {
            let slope = (a.excess - b.excess) / (a.strength - b.strength);
            if slope.is_finite() {
                slope.clamp(0.5, 4.0)
            } else {
                SLOPE
            }
        }
        _ => SLOPE,
    }
}

/// How many probes are likely to be needed yet.
pub(super) fn likely(points: &[Point]) -> usize {
    let (holds, fails) = (
        points.iter().any(|p| p.excess <= 0.0),
        points.iter().any(|p| p.excess > 0.0),
    );
    if holds && fails { 1 } else { 2 }
}

/// Whole bits a weight of the quantised tensors to begin with, for a divergence that is allowed: what language models
/// of 135 million weights take.
pub(super) fn first_bits(divergence: f64) -> f64 {
    (4.5 + (0.03 / divergence.max(1e-9)).log2() / 2.0).clamp(2.0, MOST_BITS - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches where the excess at a strength is known; gives the points and the end.
    fn search(start: f64, excess: impl Fn(f64) -> f64) -> (Vec<Point>, Next) {
        let mut points = Vec::new();
        let mut at = start;
        loop {
            // Kept tensors take a fifth of the bytes.
            let bits = (5.0 - at).max(0.1) + 0.02 * at * at;
            points.push(Point {
                strength: at,
                bits,
                bytes: 1e6 * (bits + 1.0),
                excess: excess(at),
            });
            match next(&points, MOST_PROBES - points.len()) {
                Next::At(to) => at = to,
                end => return (points, end),
            }
        }
    }

    #[test]
    fn a_line_is_hit_at_once() {
        for limit in [-2.0, -0.3, 0.0, 1.4, 3.0] {
            for slope in [1.1, SLOPE, 1.9] {
                for start in [-1.5, 0.0, 2.0] {
                    let (points, end) = search(start, |s| slope * (s - limit));
                    let Next::Done(best) = end else { panic!("{end:?}") };
                    let p = points[best];
                    assert!(
                        p.excess <= 0.0 && limit - p.strength < 0.07,
                        "{limit} {slope} {start}: {points:?}"
                    );
                    assert!(points.len() <= 5, "{limit} {slope} {start}: {points:?}");
                }
            }
        }
    }

    #[test]
    fn curves_and_noise() {
        let curves: [&dyn Fn(f64) -> f64; 4] = [
            &|s| 1.4 * s + 0.2 * s * s,
            &|s| if s < 0.3 { -10.0 } else { 10.0 },
            &|s| 1.4 * s + 0.05 * (40.0 * s).sin(),
            &|s| 3.0 * s.powi(3) + 0.5 * s,
        ];
        for (i, curve) in curves.iter().enumerate() {
            for start in [-2.0, 0.7, 2.0] {
                let (points, end) = search(start, curve);
                let Next::Done(best) = end else {
                    panic!("{i} {start} {end:?}")
                };
                assert!(points[best].excess <= 0.0 && points.len() <= MOST_PROBES);
                let smaller = points
                    .iter()
                    .filter(|p| p.excess <= 0.0)
                    .all(|p| p.bytes >= points[best].bytes);
                assert!(smaller, "{i} {start}: {points:?}");
                // No file that is 5 % smaller holds, as far as the curve is no noise.
                let s = points[best].strength + 0.05 * (points[best].bits + 1.0) + 0.08;
                assert!(curve(s) > 0.0, "{i} {start}: {points:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_held_and_what_always_is() {
        let (points, end) = search(0.0, |_| 3.0);
        let Next::Never(nearest) = end else { panic!("{end:?}") };
        assert!(
            points[nearest].bits > MOST_BITS - 0.2 && points.len() <= MOST_PROBES,
            "{points:?}"
        );
        let (points, end) = search(0.0, |_| -20.0);
        let Next::Done(best) = end else { panic!("{end:?}") };
        assert!(points[best].bits < 1.6 && points.len() <= MOST_PROBES, "{points:?}");
        assert!(first_bits(0.02) > first_bits(0.1) && first_bits(0.0) < MOST_BITS);
    }
}
