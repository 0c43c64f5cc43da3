//! Axes: from values to places, and where to put ticks.

use std::fmt::Write;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    Linear,
    /// Of powers of ten. Values that are not positive are at the lower end.
    Log,
}

/// A range of values on a range of places.
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that shows all values between the places `from` and `to`.
    pub(super) fn new(scale: Scale, values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Self {
        let usable = values.filter(|v| v.is_finite() && (scale == Scale::Linear || *v > 0.0));
        let (low, high) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let (mut low, mut high) = if low <= high { (low, high) } else { (1.0, 10.0) };
        if scale == Scale::Log {
            (low, high) = (low.log10(), high.log10());
        }
        // Nothing lies on the edge, and one value has room around it.
        let room = match high - low {
            0.0 if low == 0.0 || scale == Scale::Log => 1.0,
            0.0 => low.abs() * 0.2,
            // Values that are all but the same are not drawn as if they were far apart.
            range if scale == Scale::Linear => (range * 0.06).max(low.abs().max(high.abs()) * 0.002),
            range => range * 0.06,
        };
        Self {
            scale,
            low: low - room,
            high: high + room,
            from,
            to,
        }
    }

    /// The place of a value, within the axis.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log if value > 0.0 => value.log10(),
            Scale::Log => self.low,
        };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// Vertical lines at the marks from `top` to `bottom`, with their numbers below.
    pub(super) fn columns(&self, out: &mut String, most: usize, top: f64, bottom: f64) {
        for (value, text) in self.ticks(most) {
            let x = self.place(value);
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text class=\"mid soft\" x=\"{x:.2}\" y=\"{}\">{text}</text>",
                bottom + 16.0
            );
        }
    }

    /// Values to mark, with what is written there: at most `most` or so.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if self.scale == Scale::Linear {
            return linear_ticks(self.low, self.high, most);
        }
        let step = step((self.high - self.low) / most.max(1) as f64).max(1.0).ceil();
        let exponents: Vec<f64> = multiples(self.low, self.high, step).collect();
        match exponents[..] {
            [first, .., last] => {
                let plain = first >= -3.0 && last <= 3.0;
                let tick = |v: &f64| (10f64.powf(*v), power(*v, plain));
                exponents.iter().map(tick).collect()
            }
            // Less than a decade.
            _ => linear_ticks(10f64.powf(self.low), 10f64.powf(self.high), most),
        }
    }
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let step = step((high - low) / most.max(1) as f64);
    multiples(low, high, step).map(|v| (v, number(v, step))).collect()
}

/// Multiples of a step between two values.
fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(move |i| i as f64 * step)
}

/// 1, 2 or 5 times a power of ten, at least this much.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-300).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().find(|s| s * power >= least * 0.999).unwrap_or(10.0) * power
}

fn number(value: f64, step: f64) -> String {
    if value != 0.0 && (step < 1e-4 || value.abs() >= 1e6) {
        return format!("{value:.0e}");
    }
    let digits = (-step.log10()).ceil().clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

/// A power of ten, written out or by its exponent: all of an axis alike.
fn power(exponent: f64, plain: bool) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let exponent = exponent as i32;
    if plain {
        return format!("{}", 10f64.powi(exponent));
    }
    let digits = exponent.unsigned_abs().to_string();
    let raised = digits.bytes().map(|d| RAISED[usize::from(d - b'0')]);
    let sign = if exponent < 0 { "⁻" } else { "" };
    format!("10{sign}{}", raised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |axis: &Axis| axis.ticks(5).into_iter().map(|t| t.1).collect::<Vec<_>>();
        let axis = Axis::new(Scale::Linear, [2.0, 9.7].into_iter(), (0.0, 100.0));
        assert_eq!(texts(&axis), ["2", "4", "6", "8", "10"]);
        let axis = Axis::new(Scale::Log, [0.002, 0.0, 30.0].into_iter(), (0.0, 100.0));
        assert_eq!(texts(&axis), ["0.01", "0.1", "1", "10"]);
        assert!(axis.place(0.0) == 0.0 && axis.place(1e9) == 100.0);
        let axis = Axis::new(Scale::Log, [1e-10, 2.0].into_iter(), (0.0, 100.0));
        assert_eq!(texts(&axis), ["10⁻¹⁰", "10⁻⁵", "10⁰"]);
        let axis = Axis::new(Scale::Log, [0.2, 0.5].into_iter(), (0.0, 1.0));
        assert!(texts(&axis).len() >= 2);
        for one in [0.0, -3.0, 7.5] {
            let axis = Axis::new(Scale::Linear, [one].into_iter(), (0.0, 10.0));
            assert!((axis.place(one) - 5.0).abs() < 1e-9 && !texts(&axis).is_empty());
        }
        let axis = Axis::new(Scale::Linear, [5.0221, 5.0224].into_iter(), (0.0, 100.0));
        assert!(axis.place(5.0224) - axis.place(5.0221) < 10.0);
        assert!(!texts(&Axis::new(Scale::Linear, std::iter::empty(), (0.0, 1.0))).is_empty());
    }
}
