//! Means with their errors, and quantiles. Sums run in the order of the values: no thread changes them.

use serde::Serialize;

/// Half the width of a 95 % interval, in standard errors.
pub const Z95: f64 = 1.959963984540054;

/// A mean and its standard error, in the unit of the values. The error is infinite where fewer than two
/// values, or clusters of them, are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
}

impl Estimate {
    /// Of values that are independent of each other; the mean of none is 0.
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

    /// Of values in clusters of these sizes, in order: values in one may depend on each other. With a value in
    /// each it is [`Estimate::of`]. The error is the cluster-robust one of a mean (Liang and Zeger 1986), with
    /// the factor G / (G - 1) for G clusters. Of few clusters it is uncertain itself.
    pub fn clustered(values: &[f64], clusters: &[usize]) -> Self {
        let Self { mean, .. } = Self::of(values);
        let mut rest = values.iter();
        let sums = clusters
            .iter()
            .map(|&size| rest.by_ref().take(size).map(|v| v - mean).sum::<f64>());
        let squares: f64 = sums.map(|sum| sum * sum).sum();
        let (n, g) = (values.len() as f64, clusters.len() as f64);
        let standard_error = if clusters.len() < 2 {
            f64::INFINITY
        } else {
            (squares * g / (g - 1.0)).sqrt() / n
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
    /// Of values in clusters (see [`Estimate::clustered`]), none of them NaN.
    pub fn of(values: &[f64], clusters: &[usize]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q| quantile(&sorted, q);
        Self {
            mean: Estimate::clustered(values, clusters),
            median: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// How many values are of which size: bins of a quarter of a decade, from 1e-10 to 100. Values below are
/// counted as small, those above in the last bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decades {
    /// Values below 1e-10; of a divergence, rounding errors.
    pub small: usize,
    /// The lower end of bin i is 10 to the power of i / 4 - 10.
    pub counts: Vec<usize>,
}

impl Decades {
    /// Bins a decade.
    pub const PER_DECADE: usize = 4;
    /// The first bin begins at 10 to this power.
    pub const FIRST: i32 = -10;
    const BINS: usize = 12 * Self::PER_DECADE;

    /// Of values that are not negative.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut small, mut counts) = (0, vec![0; Self::BINS]);
        for value in values {
            let bin = (value.log10() - f64::from(Self::FIRST)) * Self::PER_DECADE as f64;
            // The logarithm of 0 is below all.
            match bin >= 0.0 {
                true => counts[(bin as usize).min(Self::BINS - 1)] += 1,
                false => small += 1,
            }
        }
        Self { small, counts }
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
        let d = Distribution::of(&VALUES, &[1; 7]);
        close(d.mean.mean, 2.0);
        close(d.mean.standard_error, 1.3374193344611391);
        let numpy = [1.25, 8.684999999999997, 8.968499999999999, 9.0];
        for (got, expected) in [d.median, d.p99, d.p999, d.max].into_iter().zip(numpy) {
            close(got, expected);
        }
    }

    #[test]
    fn sizes_are_counted() {
        let d = Decades::of([0.0, 1e-11, 1.5e-10, 1.0, 1.5, 1e9].into_iter());
        assert_eq!((d.small, d.counts.iter().sum::<usize>()), (2, 4));
        assert_eq!((d.counts[0], d.counts[40], d.counts[47]), (1, 2, 1));
    }

    /// d = x - x.mean()
    /// numpy.sqrt(sum(d[c].sum() ** 2 for c in (slice(2), slice(2, 5), slice(5, 7))) * 3 / 2) / 7
    #[test]
    fn what_is_in_a_cluster_hangs_together() {
        close(
            Estimate::clustered(&VALUES, &[2, 3, 2]).standard_error,
            1.41466445145274,
        );
        let twice: Vec<f64> = VALUES.iter().flat_map(|&v| [v, v]).collect();
        // The same again tells nothing new.
        let (once, twice) = (Estimate::of(&VALUES), Estimate::clustered(&twice, &[2; 7]));
        close(twice.mean, once.mean);
        close(twice.standard_error, once.standard_error);
        assert_eq!(Estimate::clustered(&VALUES, &[7]).standard_error, f64::INFINITY);
    }

    #[test]
    fn few_values() {
        assert_eq!(Estimate::of(&[]).mean, 0.0);
        assert_eq!(Estimate::of(&[2.0]).standard_error, f64::INFINITY);
        assert_eq!(Estimate::share([true, false].into_iter()).mean, 0.5);
        assert_eq!((quantile(&[], 0.5), quantile(&[3.0], 0.99)), (0.0, 3.0));
    }
}
