//! Classes of scale steps: which steps share a frequency table.

use crate::entropy::SYMBOLS;
use crate::format::MAX_TABLES;

/// Scale steps that share a table: from `first` to where the next class starts.
pub(super) struct Class {
    pub(super) first: u8,
    pub(super) counts: Box<[u64; SYMBOLS]>,
    cost: u64,
}

/// Merges neighbouring scale steps, the cheapest pair first, until there are tables enough for what
/// they save; of more than `usual` tables, until none saves less than `worth`. `cost` is what counted symbols take,
/// their table included, and like `worth` in 2^-16 bits.
pub(super) fn merge(
    by_step: &[[u32; SYMBOLS]],
    cost: impl Fn(&[u64]) -> u64,
    (usual, worth): (usize, u64),
) -> Vec<Class> {
    let class = |first: u8, counts: Box<[u64; SYMBOLS]>| {
        let cost = cost(&counts[..]);
        Class { first, counts, cost }
    };
    let mut classes: Vec<Class> = by_step
        .iter()
        .enumerate()
        .filter(|(_, counts)| counts.iter().any(|&c| c > 0))
        .map(|(step, counts)| class(step as u8, Box::new(counts.map(u64::from))))
        .collect();
    let join = |a: &Class, b: &Class| class(a.first, Box::new(std::array::from_fn(|s| a.counts[s] + b.counts[s])));
    let loss = |a: &Class, b: &Class| join(a, b).cost as i64 - (a.cost + b.cost) as i64;
    // What it costs to merge each class with the next.
    let mut losses: Vec<i64> = classes.windows(2).map(|pair| loss(&pair[0], &pair[1])).collect();
    while let Some((at, &least)) = losses.iter().enumerate().min_by_key(|&(_, loss)| loss) {
        let worth = if classes.len() > usual { worth as i64 } else { 0 };
        if classes.len() <= MAX_TABLES && least > worth {
            break;
        }
        let second = classes.remove(at + 1);
        classes[at] = join(&classes[at], &second);
        losses.remove(at);
        for i in at.saturating_sub(1)..=at {
            if let Some(loss_of) = losses.get_mut(i) {
                *loss_of = loss(&classes[i], &classes[i + 1]);
            }
        }
    }
    classes
}
