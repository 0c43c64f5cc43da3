//! Two models on the same items: which of them is right where.

use super::stats::quantile;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::Serialize;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;
const SEED: u64 = 0;
/// Outside the interval on each side.
const TAIL: f64 = 0.025;
/// Normal quantile of 1 - [`TAIL`].
const Z975: f64 = 1.959963984540054;

/// The candidate's accuracy less the reference's, item by item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Items.
    pub items: usize,
    /// Items that the candidate alone has right.
    pub gained: usize,
    /// Items that the reference alone has right.
    pub lost: usize,
    /// Change of the accuracy, in percentage points.
    pub delta_points: f64,
    /// 95 % interval of the change, in percentage points: percentiles of a paired bootstrap with
    /// 10,000 resamples and a fixed seed.
    pub interval_points: [f64; 2],
    /// McNemar's exact two-sided p-value: how likely so uneven a split of the differing items is if
    /// neither model is better.
    pub mcnemar_p: f64,
}

impl Paired {
    /// From pairs of whether the reference and the candidate are right.
    pub fn of(pairs: &[(bool, bool)]) -> Self {
        let gained = pairs.iter().filter(|p| !p.0 && p.1).count();
        let lost = pairs.iter().filter(|p| p.0 && !p.1).count();
        let points = 100.0 / pairs.len().max(1) as f64;
        Self {
            items: pairs.len(),
            gained,
            lost,
            delta_points: (gained as f64 - lost as f64) * points,
            interval_points: bootstrap(pairs).map(|sum| sum * points),
            mcnemar_p: mcnemar(gained, lost),
        }
    }

    /// The largest drop, in percentage points, that the items leave room for with 97.5 % certainty, and
    /// what kind of bound that is; negative if the accuracy has risen for certain.
    ///
    /// It is the lower end of the interval, as a drop, unless a bound that holds for few differing items too is
    /// above it: a bootstrap draws the losses that were seen, and knows nothing of those that could have been. Where
    /// nothing was gained and 1000 items at most were lost, losses are a share of the items, and the bound is exact
    /// (Clopper and Pearson); else it is
    /// the score bound of Tango, Statistics in Medicine 17 (1998), 891.
    pub fn largest_drop(&self) -> (f64, &'static str) {
        largest_drop(self.items, [self.gained, self.lost], self.interval_points)
    }
}

/// Losses of which the bound is exact: of more it would be the score bound's within a part in a hundred.
const EXACT: u64 = 1000;

/// As [`Paired::largest_drop`], of items, those gained and lost, and the interval. Takes as long for any numbers.
pub(crate) fn largest_drop(items: usize, changed: [usize; 2], interval_points: [f64; 2]) -> (f64, &'static str) {
    let items = items as u64;
    let [gained, lost] = changed.map(|n| n as u64);
    let careful = match (items, gained) {
        (0, _) => return (100.0, "no items"),
        (_, 0) if lost <= EXACT => (
            100.0 * most_of(items, lost),
            "one-sided 97.5 % bound for so many losses without a gain (Clopper and Pearson), not the \
                 bootstrap's interval",
        ),
        _ => (
            100.0 * score_bound(items as f64, lost as f64, gained as f64),
            "one-sided 97.5 % score bound for so many losses and gains (Tango), not the bootstrap's interval",
        ),
    };
    let bootstrap = -interval_points[0];
    if bootstrap < careful.0 {
        return careful;
    }
    (
        bootstrap,
        "lower end of the two-sided 95 % bootstrap interval, as a drop",
    )
}

/// The largest share of which so few of `items` are seen with a probability of [`TAIL`].
fn most_of(items: u64, seen: u64) -> f64 {
    if seen >= items {
        return 1.0;
    }
    let n = items as f64;
    let so_few = |share: f64| {
        let odds = (share / (1.0 - share)).ln();
        let terms = (0..=seen).scan(n * (1.0 - share).ln(), |term, k| {
            let this = *term;
            *term += ((items - k) as f64 / (k + 1) as f64).ln() + odds;
            Some(this)
        });
        exponentials(&terms.collect::<Vec<_>>())
    };
    bisect(seen as f64 / n, 1.0, |share| so_few(share) > TAIL.ln())
}

/// The largest drop whose score is within the normal distribution's 97.5 %.
fn score_bound(n: f64, lost: f64, gained: f64) -> f64 {
    let small = |drop: f64| {
        // The likeliest share of gains where losses are `drop` more.
        let b = (2.0 * n - lost + gained) * drop - lost - gained;
        let c = -gained * drop * (1.0 - drop);
        let gains = ((b * b - 8.0 * n * c).sqrt() - b) / (4.0 * n);
        let variance = n * (2.0 * gains + drop * (1.0 - drop));
        n * drop - (lost - gained) < Z975 * variance.max(0.0).sqrt()
    };
    bisect((lost - gained) / n, 1.0, small)
}

/// Where a condition that holds at `low` ceases to hold, at `high` if nowhere before.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Logarithm of the sum of the exponentials.
fn exponentials(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + terms.iter().map(|t| (t - largest).exp()).sum::<f64>().ln()
}

/// Ends of the interval of gains less losses, in items.
fn bootstrap(pairs: &[(bool, bool)]) -> [f64; 2] {
    let change: Vec<i8> = pairs.iter().map(|p| i8::from(p.1) - i8::from(p.0)).collect();
    if change.iter().all(|&c| c == 0) {
        return [0.0; 2];
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let n = change.len() as u64;
    let mut draw = || {
        // The top of a product: the bias is below 2^-32 for files of any size that is met.
        let i = (u128::from(random.next_u64()) * u128::from(n)) >> 64;
        f64::from(change[i as usize])
    };
    let mut sums: Vec<f64> = (0..RESAMPLES).map(|_| (0..n).map(|_| draw()).sum()).collect();
    sums.sort_by(f64::total_cmp);
    [TAIL, 1.0 - TAIL].map(|q| quantile(&sums, q))
}

/// Two-sided exact binomial test of an even split.
pub fn mcnemar(gained: usize, lost: usize) -> f64 {
    let (few, n) = (gained.min(lost), gained + lost);
    // In logarithms: two to the power of minus n may be no number.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut terms = vec![term];
    for k in 0..few {
        term += ((n - k) as f64 / (k + 1) as f64).ln();
        terms.push(term);
    }
    (2.0 * exponentials(&terms).exp()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.binomtest(min(b, c), b + c, 0.5).pvalue, scipy 1.17.1
    #[test]
    fn mcnemar_is_scipys() {
        let scipy = [
            (1, 0, 1.0),
            (3, 9, 0.14599609375),
            (10, 10, 1.0),
            (12, 25, 0.04703102743951604),
            (40, 80, 0.00033040001839131815),
            (300, 250, 0.036578745549102676),
            (1000, 1200, 2.1817026407914194e-05),
            (2000, 2600, 9.221221076769678e-19),
        ];
        for (b, c, expected) in scipy {
            let got = mcnemar(b, c);
            assert!((got - expected).abs() <= 1e-11 * expected, "{b} {c}: {got} {expected}");
            assert_eq!(got, mcnemar(c, b));
        }
        assert_eq!(mcnemar(0, 0), 1.0);
    }

    fn pairs(same: usize, gained: usize, lost: usize) -> Vec<(bool, bool)> {
        let both = (0..same).map(|i| (i % 2 == 0, i % 2 == 0));
        let gains = (0..gained).map(|_| (false, true));
        both.chain(gains).chain((0..lost).map(|_| (true, false))).collect()
    }

    /// d = numpy.repeat([0, 1, -1], [same, gained, lost])
    /// scipy.stats.bootstrap((d,), numpy.mean, method="percentile", n_resamples=200_000, batch=1000,
    ///     random_state=numpy.random.default_rng(0)).confidence_interval, in percent
    #[test]
    fn the_interval_is_scipys() {
        let scipy = [
            (980, 5, 15, -1.9, -0.2),
            (400, 30, 20, -0.888889, 5.333333),
            (90, 0, 10, -16.0, -5.0),
        ];
        for (same, gained, lost, low, high) in scipy {
            let paired = Paired::of(&pairs(same, gained, lost));
            let [a, b] = paired.interval_points;
            // One item is the grain of both; 10,000 resamples are uncertain by about as much.
            let grain = 100.0 / paired.items as f64;
            assert!(
                (a - low).abs() <= 1.01 * grain && (b - high).abs() <= 1.01 * grain,
                "{a} {b} {low} {high}"
            );
            assert_eq!(paired, Paired::of(&pairs(same, gained, lost)));
        }
    }

    #[test]
    fn no_difference_is_no_proof() {
        let same = Paired::of(&pairs(1000, 0, 0));
        assert_eq!(
            (same.delta_points, same.interval_points, same.mcnemar_p),
            (0.0, [0.0; 2], 1.0)
        );
        // scipy.stats.binomtest(0, 1000).proportion_ci(0.95, "exact").high = 0.003682
        assert!((same.largest_drop().0 - 0.3682).abs() < 1e-4);
        // A gain that is certain leaves no room for a drop.
        assert!(Paired::of(&pairs(84, 13, 3)).largest_drop().0 < 0.0);
        assert_eq!(Paired::of(&[]).largest_drop().0, 100.0);
    }

    /// Without gains scipy.stats.beta.ppf(0.975, lost + 1, items - lost), scipy 1.17.1; with gains the root of Tango's
    /// score, by scipy.optimize.brentq, in percent.
    #[test]
    fn bounds_of_few_differing_items_are_scipys() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 2e-5, "{a} {b}");
        for (items, lost, percent) in [
            (1000, 0, 0.36821),
            (1000, 1, 0.55589),
            (1000, 2, 0.72058),
            (1000, 10, 1.83132),
            (20, 0, 16.84335),
        ] {
            near(100.0 * most_of(items, lost), percent);
        }
        assert_eq!((most_of(10, 10), most_of(1, 1)), (1.0, 1.0));
        for (items, lost, gained, percent) in [
            (1000.0, 0.0, 1.0, 0.28306),
            (1000.0, 1.0, 1.0, 0.47189),
            (1000.0, 15.0, 5.0, 2.01838),
            (1000.0, 40.0, 40.0, 1.78777),
            (450.0, 20.0, 30.0, 0.88625),
            (100.0, 3.0, 13.0, -2.43763),
        ] {
            near(100.0 * score_bound(items, lost, gained), percent);
        }
    }

    /// A lost item never lowers the bound, and a gained one never raises it.
    #[test]
    fn more_losses_leave_more_room() {
        let bound = |gained: usize, lost: usize| {
            let mut all = vec![(false, false); 300];
            all[..gained].fill((false, true));
            all[150..150 + lost].fill((true, false));
            Paired::of(&all).largest_drop().0
        };
        for gained in [0, 1, 5] {
            for lost in 0..6 {
                let here = bound(gained, lost);
                assert!(bound(gained, lost + 1) > here, "{gained} {lost}");
                assert!(bound(gained + 1, lost) <= here, "{gained} {lost}");
            }
        }
        // No bound is below the exact one where there are losses only.
        assert!(bound(0, 1) >= 100.0 * most_of(300, 1));
    }
}
