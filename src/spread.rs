//! Samples that no regular structure escapes.

/// `wanted` places of `0..total`, in order: one in each of so many equal parts, at a place within the
/// part that steps through it. At equal distances, a sample of what has a period may see one phase of it
/// alone: of a matrix, the same few columns.
pub(crate) fn spread(total: usize, wanted: usize) -> impl Iterator<Item = usize> + Clone {
    let (total, wanted) = (total as u64, wanted.min(total) as u64);
    let bound = move |i: u64| (u128::from(i) * u128::from(total) / u128::from(wanted)) as u64;
    (0..wanted).map(move |i| {
        let (start, end) = (bound(i), bound(i + 1));
        // Multiples of the golden ratio are spread evenly.
        let golden = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (start + ((u128::from(golden) * u128::from(end - start)) >> 32) as u64) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_each_part_and_every_phase() {
        assert_eq!(spread(5, 9).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(spread(0, 3).count(), 0);
        let places: Vec<_> = spread(1 << 20, 64).collect();
        assert!(places.iter().enumerate().all(|(i, p)| p >> 14 == i));
        let mut phases: Vec<_> = places.iter().map(|p| (p % (1 << 14)) >> 8).collect();
        phases.sort_unstable();
        phases.dedup();
        assert!(phases.len() > 48, "{phases:?}");
    }
}
