//! Means with their errors, and quantiles. Sums run in the order of the values: no thread changes them.

use serde::Serialize;

/// Half the width of a 95 % interval, in standard errors.
pub const Z95: f64 = 1.959963984540054;

/// A mean and its standard error, in the unit of the values. The error takes the values as
/// independent, as other tools' do, and is infinite where there are fewer than two of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
}

impl Estimate {
    /// Of values; the mean of none is 0.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = if values.is_empty() {
            0.0
        } else {
            values.iter().sum::<f64>() / n
        };
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let standard_error = if values.len() < 2 {
            f64::INFINITY
        } else {
            (squares / (n - 1.0) / n).sqrt()
        };
        Self { mean, standard_error }
    }

    /// Of a share, 0 to 1.
    pub fn share(hits: impl Iterator<Item = bool>) -> Self {
        Self::of(&hits.map(|hit| f64::from(u8::from(hit))).collect::<Vec<_>>())
    }

    /// Upper end of the 95 % interval.
    pub fn upper(&self) -> f64 {
        self.mean + Z95 * self.standard_error
    }
}

/// How values are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// Mean, with its standard error.
    #[serde(flatten)]
    pub mean: Estimate,
    /// Half the values are below.
    pub median: f64,
    /// 99 % of the values are below.
    pub p99: f64,
    /// 99.9 % of the values are below.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

impl Distribution {
    /// Of values, none of them NaN.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q| quantile(&sorted, q);
        Self {
            mean: Estimate::of(values),
            median: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// The quantile `q` (0 to 1) of values in ascending order, between two of them in proportion, as
/// numpy does by default. 0 of no values.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
    a + (b - a) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 7] = [0.5, 1.25, -2.0, 3.75, 0.0, 1.5, 9.0];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-14 * b.abs().max(1.0), "{a} {b}");
    }

    /// x = numpy.array([0.5, 1.25, -2, 3.75, 0, 1.5, 9])
    /// x.mean(), scipy.stats.sem(x), numpy.quantile(x, [0.5, 0.99, 0.999, 1]), numpy 2.4.6, scipy 1.17.1
    #[test]
    fn as_numpy_and_scipy_have_it() {
        let d = Distribution::of(&VALUES);
        close(d.mean.mean, 2.0);
        close(d.mean.standard_error, 1.3374193344611391);
        let numpy = [1.25, 8.684999999999997, 8.968499999999999, 9.0];
        for (got, expected) in [d.median, d.p99, d.p999, d.max].into_iter().zip(numpy) {
            close(got, expected);
        }
    }

    #[test]
    fn few_values() {
        assert_eq!(Estimate::of(&[]).mean, 0.0);
        assert_eq!(Estimate::of(&[2.0]).standard_error, f64::INFINITY);
        assert_eq!(Estimate::share([true, false].into_iter()).mean, 0.5);
        assert_eq!((quantile(&[], 0.5), quantile(&[3.0], 0.99)), (0.0, 3.0));
    }
}
