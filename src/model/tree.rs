//! Sequences that share their beginning.

use std::ops::Range;

/// Tokens, and several ways to go on from them. Without branches: a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// What all branches begin with.
    pub stem: Vec<u32>,
    /// What follows the stem, each as if it were alone.
    pub branches: Vec<Vec<u32>>,
}

impl Tree {
    /// A sequence.
    pub fn sequence(tokens: Vec<u32>) -> Self {
        Self {
            stem: tokens,
            branches: Vec::new(),
        }
    }

    /// The common beginning of the sequences as the stem, the rest of each as a branch, in order.
    pub fn of(sequences: &[Vec<u32>]) -> Self {
        let Some((first, rest)) = sequences.split_first() else {
            return Self::default();
        };
        let common = |other: &Vec<u32>| first.iter().zip(other).take_while(|(a, b)| a == b).count();
        let stem = rest.iter().map(common).min().unwrap_or(first.len());
        Self {
            stem: first[..stem].to_vec(),
            branches: sequences.iter().map(|s| s[stem..].to_vec()).collect(),
        }
    }

    /// Tokens in all: rows that a forward pass gives for it, the stem's first, then branch by branch.
    pub fn rows(&self) -> usize {
        self.stem.len() + self.branches.iter().map(Vec::len).sum::<usize>()
    }

    /// Tokens of its longest sequence.
    pub fn longest(&self) -> usize {
        self.stem.len() + self.branches.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The row of a place of a branch's sequence, stem included. `place` is below that sequence's
    /// length.
    pub fn row(&self, branch: usize, place: usize) -> usize {
        if place < self.stem.len() {
            return place;
        }
        place + self.branches[..branch].iter().map(Vec::len).sum::<usize>()
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> {
        self.stem.iter().chain(self.branches.iter().flatten()).copied()
    }

    /// Where in its sequence each row is.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        let stem = self.stem.len();
        (0..stem).chain(self.branches.iter().flat_map(move |b| stem..stem + b.len()))
    }

    /// For each of some rows, and each of all: 0 where the first sees the second, else minus infinity. With a
    /// window a row sees that many positions, its own included.
    pub(super) fn mask(&self, of: Range<usize>, window: Option<usize>) -> Vec<f32> {
        let positions: Vec<usize> = self.positions().collect();
        let (rows, stem) = (positions.len(), self.stem.len());
        let mut mask = vec![f32::NEG_INFINITY; of.len() * rows];
        let mut start = 0;
        for part in [stem].into_iter().chain(self.branches.iter().map(Vec::len)) {
            for row in start.max(of.start)..(start + part).min(of.end) {
                // The stem, and its own part up to itself.
                for column in (0..stem.min(start)).chain(start..row + 1) {
                    let back = positions[row] - positions[column];
                    if window.is_none_or(|window| back < window) {
                        mask[(row - of.start) * rows + column] = 0.;
                    }
                }
            }
            start += part;
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_see_the_stem_and_themselves() {
        let tree = Tree::of(&[vec![7, 8, 1, 2], vec![7, 8, 3], vec![7, 8, 1]]);
        assert_eq!((&tree.stem[..], tree.rows(), tree.longest()), (&[7, 8][..], 6, 4));
        assert_eq!(tree.tokens().collect::<Vec<_>>(), [7, 8, 1, 2, 3, 1]);
        assert_eq!(tree.positions().collect::<Vec<_>>(), [0, 1, 2, 3, 2, 2]);
        assert_eq!(
            [tree.row(0, 3), tree.row(1, 2), tree.row(2, 2), tree.row(2, 1)],
            [3, 4, 5, 1]
        );
        let picture = |window| -> Vec<String> {
            // In two blocks of rows, one after the other.
            let mask = [tree.mask(0..4, window), tree.mask(4..6, window)].concat();
            mask.chunks(6)
                .map(|row| row.iter().map(|&m| if m == 0. { 'x' } else { '.' }).collect())
                .collect()
        };
        assert_eq!(
            picture(None),
            ["x.....", "xx....", "xxx...", "xxxx..", "xx..x.", "xx...x"]
        );
        assert_eq!(
            picture(Some(2)),
            ["x.....", "xx....", ".xx...", "..xx..", ".x..x.", ".x...x"]
        );
    }

    #[test]
    fn one_sequence_is_all_stem() {
        let tree = Tree::of(&[vec![1, 2, 3]]);
        assert_eq!((tree.stem.len(), tree.rows(), tree.row(0, 2)), (3, 3, 2));
        assert_eq!(Tree::of(&[]).rows(), 0);
    }
}
