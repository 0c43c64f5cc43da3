//! The networks' integers against the angles and bases they stand for.

use super::super::lifting::{FRACTION_BITS, HALF_TANGENT, Network, Rotation, SINE, scaled};
use super::*;

/// Target, source and multiplier of each shear, in order.
type Shears = Vec<(usize, usize, i32)>;
/// Element and sign of each output.
type Signed = Vec<(usize, f64)>;

/// Every shear and the signed permutation of a network.
fn steps(transform: Transform) -> (Shears, Signed) {
    fn of<const N: usize>(network: &Network<N>) -> (Shears, Signed) {
        let shears = network.rotations.iter().flat_map(|r| r.shears()).collect();
        let sign = |negate| if negate { -1.0 } else { 1.0 };
        let outputs = network.outputs.iter();
        let outputs = outputs.map(|o| (usize::from(o.element), sign(o.negate)));
        (shears, outputs.collect())
    }
    match transform {
        Transform::None => unreachable!("no network"),
        Transform::Dct => of(&DCT),
        Transform::Adst => of(&ADST),
    }
}

/// What the network does from shear `start` on, to real numbers without rounding.
fn apply_from(transform: Transform, start: usize, mut vector: [f64; 8]) -> [f64; 8] {
    let (shears, outputs) = steps(transform);
    for &(target, source, multiplier) in &shears[start..] {
        vector[target] += vector[source] * f64::from(multiplier) / f64::from(1 << FRACTION_BITS);
    }
    std::array::from_fn(|k| outputs[k].1 * vector[outputs[k].0])
}

fn unit(n: usize) -> [f64; 8] {
    std::array::from_fn(|i| f64::from(i == n))
}

/// The matrix that a network's rounded multipliers make.
fn network_matrix(transform: Transform) -> Matrix {
    let columns: Matrix = std::array::from_fn(|n| apply_from(transform, 0, unit(n)));
    std::array::from_fn(|k| std::array::from_fn(|n| columns[n][k]))
}

#[test]
fn error_bounds_follow_from_the_tables() {
    for transform in TRANSFORMS {
        let (matrix, network) = (basis(transform), network_matrix(transform));
        let (shears, _) = steps(transform);

        // Half a unit from each shear, carried through the rest of the network.
        let mut rounding = [0.0; 8];
        for (i, &(target, _, _)) in shears.iter().enumerate() {
            for (sum, gain) in rounding.iter_mut().zip(apply_from(transform, i + 1, unit(target))) {
                *sum += 0.5 * gain.abs();
            }
        }
        let mut worst_rounding = 0.0f64;
        let mut worst_multipliers = 0.0f64;
        for v in 0..8 {
            let carried: f64 = network[v].iter().map(|gain| gain.abs()).sum();
            for h in 0..8 {
                worst_rounding = worst_rounding.max(rounding[v] + carried * rounding[h]);
                let products = (0..64).map(|j| {
                    let (y, x) = (j / 8, j % 8);
                    (network[v][y] * network[h][x] - matrix[v][y] * matrix[h][x]).abs()
                });
                worst_multipliers = worst_multipliers.max(products.sum());
            }
        }
        println!("{transform:?}: {worst_rounding:.3} + {worst_multipliers:.3e} * peak");
        assert!(worst_rounding <= ROUNDING, "{transform:?}");
        assert!(worst_multipliers <= MULTIPLIERS, "{transform:?}");
    }
}

#[test]
fn multipliers_follow_from_their_angles() {
    let one = f64::from(1 << FRACTION_BITS);
    for k in 0..=8 {
        let angle = k as f64 * PI / 32.0;
        assert_eq!(f64::from(HALF_TANGENT[k]), (one * (angle / 2.0).tan()).round());
        assert_eq!(f64::from(SINE[k]), (one * angle.sin()).round());
    }
    let [first, second, third] = Rotation::new(2, 3, -4).shears();
    assert_eq!((first, second), ((2, 3, HALF_TANGENT[4]), (3, 2, -SINE[4])));
    assert_eq!(first, third);
}

#[test]
fn networks_are_the_exact_transforms_but_for_rounded_multipliers() {
    for transform in TRANSFORMS {
        let (matrix, network) = (basis(transform), network_matrix(transform));
        for k in 0..8 {
            for n in 0..8 {
                let error = (network[k][n] - matrix[k][n]).abs();
                assert!(error < 1e-4, "{transform:?} [{k}][{n}]: off by {error}");
            }
        }
    }
}

#[test]
fn shears_round_halves_up() {
    let half = 1 << (FRACTION_BITS - 1);
    assert_eq!(scaled(1, half), 1);
    assert_eq!(scaled(-1, half), 0);
    assert_eq!(scaled(1, -half), 0);
    assert_eq!(scaled(3, half), 2);
    assert_eq!(scaled(0, -half), 0);
}
