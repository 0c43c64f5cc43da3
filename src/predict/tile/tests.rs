use proptest::prelude::*;

use super::*;

/// The definition, element by element, in 128 bits.
fn expected_residual(predictor: Predictor, tile: &[u64], width: usize, bits: u32) -> Vec<u64> {
    let modulus = 1i128 << bits;
    let at = |row: usize, column: usize| i128::from(tile[row * width + column]);
    (0..tile.len())
        .map(|i| {
            let (row, column) = (i / width, i % width);
            let prediction = match (predictor, row, column) {
                (Predictor::None, _, _) => 0,
                (_, 0, 0) => modulus / 2,
                (_, 0, _) => at(0, column - 1),
                (_, _, 0) => at(row - 1, 0),
                (Predictor::Left, _, _) => at(row, column - 1),
                (Predictor::Top, _, _) => at(row - 1, column),
                (Predictor::Average, _, _) => (at(row, column - 1) + at(row - 1, column)) / 2,
                (Predictor::Planar, _, _) => at(row, column - 1) + at(row - 1, column) - at(row - 1, column - 1),
            };
            (at(row, column) - prediction).rem_euclid(modulus) as u64
        })
        .collect()
}

fn check_round_trip(tile: &[u64], width: usize, bits: u32) {
    for predictor in Predictor::ALL {
        let mut residuals = vec![0; tile.len()];
        residual(predictor, tile, width, bits, &mut residuals);
        assert_eq!(
            residuals,
            expected_residual(predictor, tile, width, bits),
            "{predictor:?}, {bits} bits, width {width}"
        );
        let mut rebuilt = vec![1; tile.len()];
        reconstruct(predictor, &residuals, width, bits, &mut rebuilt);
        assert_eq!(rebuilt, tile, "{predictor:?}, {bits} bits, width {width}: element lost");
    }
}

proptest! {
    #[test]
    fn every_tile_round_trips(
        bits in prop::sample::select(vec![1u32, 8, 16, 32, 63, 64]),
        height in 0usize..=33,
        width in 1usize..=33,
        raw in prop::collection::vec(any::<u64>(), 33 * 33),
    ) {
        let tile: Vec<u64> = raw[..height * width].iter().map(|v| v & mask(bits)).collect();
        check_round_trip(&tile, width, bits);
    }

    #[test]
    fn signed_residuals_round_trip(value: u64, bits in 1u32..=64) {
        let value = value & mask(bits);
        for predictor in Predictor::ALL {
            let signed = to_signed(predictor, value, bits);
            let half = 1i128 << (bits - 1);
            prop_assert!((-half..half).contains(&i128::from(signed)));
            prop_assert_eq!(from_signed(predictor, signed, bits), value);
        }
    }
}

#[test]
fn extremes_round_trip() {
    for bits in [8, 16, 32, 64] {
        let values = [0, 1, mask(bits), mask(bits) - 1, middle(bits)];
        for width in [1, 2, 7, 8, 16, 31, 32] {
            for height in [1, 2, 5, 8, 32] {
                // Neighbours in both directions run through all pairs of the values.
                let tile: Vec<u64> = (0..height * width)
                    .map(|i| values[(i / width * 3 + i % width * i / 5) % values.len()])
                    .collect();
                check_round_trip(&tile, width, bits);
            }
        }
    }
}

#[test]
fn small_tiles_by_hand() {
    let tile = [130, 133, 131, 120, 255, 2];
    let cases = [
        (Predictor::None, [130, 133, 131, 120, 255, 2]),
        // First row: 130-128, 133-130, 131-133. Second row starts with 120-130.
        (Predictor::Left, [2, 3, 254, 246, 135, 3]),
        (Predictor::Top, [2, 3, 254, 246, 122, 127]),
        // floor((120+133)/2) = 126, floor((255+131)/2) = 193.
        (Predictor::Average, [2, 3, 254, 246, 129, 65]),
        // 120+133-130 = 123, 255+131-133 = 253.
        (Predictor::Planar, [2, 3, 254, 246, 132, 5]),
    ];
    for (predictor, expected) in cases {
        let mut residuals = [0; 6];
        residual(predictor, &tile, 3, 8, &mut residuals);
        assert_eq!(residuals, expected, "{predictor:?}");
        let mut rebuilt = [0; 6];
        reconstruct(predictor, &expected, 3, 8, &mut rebuilt);
        assert_eq!(rebuilt, tile, "{predictor:?}");
    }
}

#[test]
fn average_does_not_overflow() {
    assert_eq!(average(u64::MAX, u64::MAX), u64::MAX);
    assert_eq!(average(u64::MAX, 0), u64::MAX / 2);
    assert_eq!(average(u64::MAX, u64::MAX - 1), u64::MAX - 1);
    assert_eq!(average(3, 4), 3);
}

#[test]
fn unpredicted_elements_are_centred() {
    // 127 and 128 are neighbours and stay so; without centring they would be 127 and -128.
    assert_eq!(to_signed(Predictor::None, 127, 8), -1);
    assert_eq!(to_signed(Predictor::None, 128, 8), 0);
    assert_eq!(to_signed(Predictor::None, 0, 8), -128);
    assert_eq!(to_signed(Predictor::Left, 255, 8), -1);
    assert_eq!(to_signed(Predictor::Left, 1, 8), 1);
    assert_eq!(to_signed(Predictor::Top, u64::MAX, 64), -1);
    assert_eq!(from_signed(Predictor::Left, 300, 8), 44);
}

#[test]
fn codes_round_trip() {
    for (code, predictor) in (0..).zip(Predictor::ALL) {
        assert_eq!(predictor.code(), code);
        assert_eq!(Predictor::from_code(code), Some(predictor));
    }
    assert_eq!(Predictor::from_code(5), None);
    assert_eq!(Predictor::from_code(255), None);
}

#[test]
#[should_panic(expected = "not whole rows")]
fn ragged_tiles_are_refused() {
    residual(Predictor::Left, &[1, 2, 3], 2, 8, &mut [0; 3]);
}
