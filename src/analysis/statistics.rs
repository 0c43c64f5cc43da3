//! How a tensor's values are distributed.

use super::values::{key, number, pattern, patterns};
use crate::dtype::DType;
use crate::error::Result;

/// Shares of the values that are below the quantiles of [`Statistics`].
pub const QUANTILES: [f64; 9] = [0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999];
/// Bins of the histogram of [`Statistics`], all of the same width.
pub const HISTOGRAM_BINS: usize = 64;
/// The histogram reaches so many standard deviations from the mean on both sides.
pub const HISTOGRAM_REACH: f64 = 6.0;

/// How a tensor's values are distributed. Values that are no finite numbers are counted, and left out of all
/// the rest.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Elements.
    pub elements: u64,
    /// Elements that are 0, of either sign.
    pub zeros: u64,
    /// Elements that are infinite or no number.
    pub not_finite: u64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Fourth moment over the square of the second, less 3: 0 for a normal distribution.
    pub excess_kurtosis: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Values that [`QUANTILES`] of all are below: exact for types of up to 16 bits, of larger ones to the
    /// top 16 bits (of F32: to 1 %).
    pub quantiles: [f64; QUANTILES.len()],
    /// Elements more than 6 standard deviations from the mean.
    pub outliers: u64,
    /// Elements by their distance from the mean: [`HISTOGRAM_BINS`] bins from -[`HISTOGRAM_REACH`] to
    /// +[`HISTOGRAM_REACH`] standard deviations, what is beyond in the outermost.
    pub histogram: Vec<u64>,
}

/// Describes a tensor. `None` if its elements are no numbers, or there are none.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) if the data's length is not that of dtype and shape.
pub fn statistics(dtype: DType, shape: &[usize], data: &[u8]) -> Result<Option<Statistics>> {
    let elements = super::elements(dtype, shape, data)?;
    let (Some(patterns), Some(number)) = (patterns(dtype, data), number(dtype)) else {
        return Ok(None);
    };
    let (key, pattern) = (key(dtype), pattern(dtype));
    let mut counts = vec![0u64; 1 << 16];
    let (mut sum, mut finite, mut zeros) = (0.0, 0u64, 0);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for (p, value) in patterns.clone().map(|p| (p, number(p))).filter(|(_, v)| v.is_finite()) {
        counts[usize::from(key(p))] += 1;
        sum += value;
        finite += 1;
        zeros += u64::from(value == 0.0);
        (min, max) = (min.min(value), max.max(value));
    }
    if finite == 0 {
        return Ok(None);
    }
    let n = finite as f64;
    let mean = sum / n;
    let (mut second, mut fourth) = (0.0, 0.0);
    let values = || patterns.clone().map(number).filter(|v| v.is_finite());
    for value in values() {
        let square = (value - mean) * (value - mean);
        second += square;
        fourth += square * square;
    }
    let variance = second / n;
    let deviation = variance.sqrt();
    let (mut outliers, mut histogram) = (0, vec![0; HISTOGRAM_BINS]);
    let width = 2.0 * HISTOGRAM_REACH * deviation / HISTOGRAM_BINS as f64;
    for value in values() {
        let distance = value - mean;
        outliers += u64::from(distance.abs() > 6.0 * deviation);
        let bin = match width > 0.0 {
            true => (distance / width).floor() + (HISTOGRAM_BINS / 2) as f64,
            false => (HISTOGRAM_BINS / 2) as f64,
        };
        histogram[bin.clamp(0.0, (HISTOGRAM_BINS - 1) as f64) as usize] += 1;
    }
    let quantiles = QUANTILES.map(|q| {
        let below = (q * (n - 1.0)) as u64;
        let mut seen = 0;
        let at = counts.iter().position(|&c| {
            seen += c;
            seen > below
        });
        number(pattern(at.unwrap_or(0) as u16))
    });
    Ok(Some(Statistics {
        elements,
        zeros,
        not_finite: elements - finite,
        mean,
        deviation,
        excess_kurtosis: if variance > 0.0 {
            fourth / n / (variance * variance) - 3.0
        } else {
            0.0
        },
        min,
        max,
        quantiles,
        outliers,
        histogram,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x = numpy.array([0.5, -1.25, 3, 0, 7.5, -2, 0.25, 100])
    /// x.mean(), x.std(), scipy.stats.kurtosis(x), numpy 2.4.6, scipy 1.17.1
    #[test]
    fn as_scipy_has_it() {
        let values = [0.5f32, -1.25, 3.0, 0.0, 7.5, -2.0, 0.25, 100.0];
        let data: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        let s = statistics(DType::F32, &[8], &data).unwrap().unwrap();
        assert!(
            (s.mean - 13.5).abs() < 1e-12 && (s.deviation - 32.812202379602624).abs() < 1e-9,
            "{s:?}"
        );
        assert!((s.excess_kurtosis - 3.0599279396006107).abs() < 1e-9, "{s:?}");
        assert_eq!((s.zeros, s.outliers, s.min, s.max), (1, 0, -2.0, 100.0));
        assert_eq!((s.quantiles[4], s.histogram.iter().sum::<u64>()), (0.25, 8));
    }

    #[test]
    fn what_is_no_number_is_counted_apart() {
        let data: Vec<u8> = [f32::NAN, 1.0, f32::INFINITY, 3.0]
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect();
        let s = statistics(DType::F32, &[4], &data).unwrap().unwrap();
        assert_eq!((s.not_finite, s.mean, s.elements), (2, 2.0, 4));
        assert_eq!(statistics(DType::F32, &[2], &data[..4].repeat(2)).unwrap(), None);
        assert_eq!(statistics(DType::F4, &[8], &data[..4]).unwrap(), None);
        assert!(statistics(DType::F32, &[3], &data).is_err());
        assert_eq!(statistics(DType::I8, &[0], &[]).unwrap(), None);
        let constant = statistics(DType::I8, &[3], &[5; 3]).unwrap().unwrap();
        assert_eq!(
            (constant.deviation, constant.excess_kurtosis, constant.outliers),
            (0.0, 0.0, 0)
        );
    }
}
