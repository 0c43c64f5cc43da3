use std::f64::consts::PI;

use proptest::prelude::*;

use super::*;

mod tables;

type Matrix = [[f64; 8]; 8];

const TRANSFORMS: [Transform; 2] = [Transform::Dct, Transform::Adst];

/// Largest difference of a coefficient from the exact transform: this much for the rounding of the
/// shears, whatever the input, ...
const ROUNDING: f64 = 24.0;
/// ... and this fraction of the largest input for the rounding of the multipliers.
const MULTIPLIERS: f64 = 1.2e-3;

/// The exact orthonormal basis, `[frequency][position]`.
fn basis(transform: Transform) -> Matrix {
    std::array::from_fn(|k| {
        std::array::from_fn(|n| {
            let (k, n) = (k as f64, n as f64);
            match transform {
                Transform::None => f64::from(k == n),
                Transform::Dct if k == 0.0 => 0.125f64.sqrt(),
                Transform::Dct => 0.5 * ((2.0 * n + 1.0) * k * PI / 16.0).cos(),
                Transform::Adst => 0.5 * ((2.0 * n + 1.0) * (2.0 * k + 1.0) * PI / 32.0).sin(),
            }
        })
    })
}

fn exact(matrix: &Matrix, block: &[i64; 64]) -> [f64; 64] {
    std::array::from_fn(|i| {
        let (v, h) = (i / 8, i % 8);
        (0..64)
            .map(|j| matrix[v][j / 8] * matrix[h][j % 8] * block[j] as f64)
            .sum()
    })
}

fn forward_of(transform: Transform, block: &[i64; 64]) -> [i64; 64] {
    let mut coefficients = *block;
    forward(transform, &mut coefficients);
    let mut back = coefficients;
    inverse(transform, &mut back);
    assert_eq!(&back, block, "{transform:?} is not reversible");
    coefficients
}

fn block_of(element: impl Fn(usize, usize) -> f64) -> [i64; 64] {
    std::array::from_fn(|i| element(i / 8, i % 8).round() as i64)
}

fn energy(values: impl IntoIterator<Item = i64>) -> f64 {
    values.into_iter().map(|v| (v as f64).powi(2)).sum()
}

fn any_element() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]),
        -(1i64 << 32)..=(1i64 << 32),
        -300i64..300,
    ]
}

proptest! {
    #[test]
    fn every_block_round_trips(elements in prop::collection::vec(any_element(), 64)) {
        let block: [i64; 64] = std::array::from_fn(|i| elements[i]);
        for transform in Transform::ALL {
            forward_of(transform, &block);
            // The inverse is a bijection too: any coefficients can be decoded and encoded again.
            let mut values = block;
            inverse(transform, &mut values);
            forward(transform, &mut values);
            prop_assert_eq!(values, block);
        }
    }

    #[test]
    fn coefficients_are_close_to_the_exact_transform(
        bits in 8u32..=33,
        elements in prop::collection::vec(any::<i64>(), 64),
    ) {
        let block: [i64; 64] = std::array::from_fn(|i| elements[i] >> (64 - bits));
        let peak = (1u64 << (bits - 1)) as f64;
        for transform in TRANSFORMS {
            let coefficients = forward_of(transform, &block);
            for (&got, wanted) in coefficients.iter().zip(exact(&basis(transform), &block)) {
                let error = (got as f64 - wanted).abs();
                prop_assert!(
                    error <= ROUNDING + MULTIPLIERS * peak,
                    "{:?}: {} for {}", transform, got, wanted
                );
            }
            let (before, after) = (energy(block), energy(coefficients));
            // 64 coefficients within the bounds above change the norm by 8 times them at most.
            let slack = 8.0 * (ROUNDING + MULTIPLIERS * peak);
            prop_assert!((before.sqrt() - after.sqrt()).abs() <= slack);
        }
    }
}

#[test]
fn a_constant_block_becomes_its_dc() {
    for value in [-32768i64, -1000, -1, 0, 1, 7, 255, 32767] {
        let coefficients = forward_of(Transform::Dct, &[value; 64]);
        let bound = ROUNDING + MULTIPLIERS * value.abs() as f64;
        assert!((coefficients[0] - 8 * value).abs() as f64 <= bound);
        for &other in &coefficients[1..] {
            assert!(other.abs() as f64 <= bound, "{value}: {other}");
        }
    }
    assert_eq!(forward_of(Transform::Adst, &[0; 64]), [0; 64]);
}

#[test]
fn smooth_blocks_are_compact() {
    let share = |transform, block: &[i64; 64], kept: usize| {
        let mut squares = forward_of(transform, block).map(|c| (c as f64).powi(2));
        squares.sort_by(|a, b| b.total_cmp(a));
        squares[..kept].iter().sum::<f64>() / squares.iter().sum::<f64>()
    };
    let cosine = block_of(|y, x| {
        let wave = |n: usize, k: f64| ((2.0 * n as f64 + 1.0) * k * PI / 16.0).cos();
        20000.0 * wave(y, 2.0) * wave(x, 3.0)
    });
    assert!(share(Transform::Dct, &cosine, 1) > 0.99999);
    let coefficients = forward_of(Transform::Dct, &cosine);
    let largest = (0..64).max_by_key(|&i| coefficients[i].abs());
    assert_eq!(largest, Some(2 * 8 + 3), "rows are vertical frequencies");

    let centred_ramp = block_of(|y, x| 1000.0 * (x as f64 - 3.5) + 300.0 * (y as f64 - 3.5));
    assert!(share(Transform::Dct, &centred_ramp, 2) > 0.98);

    // Rising from nothing at the predicted edges.
    let rising = block_of(|y, x| 200.0 * (y as f64 + 0.5) * (x as f64 + 0.5));
    assert!(share(Transform::Adst, &rising, 1) > 0.93);
    assert!(share(Transform::Adst, &rising, 1) > share(Transform::Dct, &rising, 1) + 0.2);
}

#[test]
fn rows_are_transformed_before_columns() {
    // One coefficient each of blocks that only differ in orientation: the rounding differs.
    let block: [i64; 64] = std::array::from_fn(|i| ((i * i * 37 + i * 11) % 201) as i64 - 100);
    let flipped: [i64; 64] = std::array::from_fn(|i| block[i % 8 * 8 + i / 8]);
    let coefficients = forward_of(Transform::Dct, &block);
    let of_flipped = forward_of(Transform::Dct, &flipped);
    let transposed: [i64; 64] = std::array::from_fn(|i| of_flipped[i % 8 * 8 + i / 8]);
    assert_ne!(coefficients, transposed);

    // A block with only row 0 set: the row pass alone fills row 0, then columns spread it.
    let mut row = [0i64; 64];
    row[..8].copy_from_slice(&block[..8]);
    let mut lanes = transposed_of(&row);
    DCT.forward(&mut lanes);
    let mut by_hand = [0i64; 64];
    for h in 0..8 {
        let mut column = [[0i64; 8]; 8];
        column[0][0] = lanes[h][0];
        DCT.forward(&mut column);
        for v in 0..8 {
            by_hand[8 * v + h] = column[v][0];
        }
    }
    assert_eq!(forward_of(Transform::Dct, &row), by_hand);
}

fn transposed_of(block: &[i64; 64]) -> Lanes {
    transposed(&load(block))
}

#[test]
fn codes_round_trip() {
    for (code, transform) in (0..).zip(Transform::ALL) {
        assert_eq!(transform.code(), code);
        assert_eq!(Transform::from_code(code), Some(transform));
    }
    assert_eq!(Transform::from_code(3), None);
    let block: [i64; 64] = std::array::from_fn(|i| i as i64 - 32);
    assert_eq!(forward_of(Transform::None, &block), block);
}
