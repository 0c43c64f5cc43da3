//! What symbols cost, in 2^-16 bits and integers only: the choices are the same on every platform.

use crate::codec::tiles::context::{PLAIN, PREDICTOR, RESIDUAL, TABLES, TRANSFORMS};
use crate::codec::tiles::unit::Units;
use crate::cost::{COST_BITS, entropy, log2};
use crate::entropy::SYMBOLS;
use crate::plane::hybrid;

/// How often each symbol occurs in each context.
#[derive(Clone)]
pub(super) struct Counts {
    pub(super) tables: Box<[[u64; SYMBOLS]; TABLES]>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            tables: Box::new([[0; SYMBOLS]; TABLES]),
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, context: u8, symbol: u8) {
        self.tables[usize::from(context)][usize::from(symbol)] += 1;
    }

    /// What all counted symbols cost with tables made for them, raw bits included.
    pub(super) fn cost(&self, units: &Units) -> u64 {
        let table = |(context, counts): (usize, &[u64; SYMBOLS])| {
            let raw = counts
                .iter()
                .zip(0..=255)
                .map(|(&c, s)| c * u64::from(raw_bits(units, context as u8, s)));
            entropy(counts) + (raw.sum::<u64>() << COST_BITS)
        };
        self.tables.iter().enumerate().map(table).sum()
    }
}

/// Raw bits behind a symbol, of whatever context.
fn raw_bits(units: &Units, context: u8, symbol: u8) -> u32 {
    if context < PLAIN {
        0
    } else {
        units.raw_bits(context, symbol)
    }
}

/// What a symbol costs in each context, raw bits included.
pub(super) struct Costs {
    tables: Box<[[u32; SYMBOLS]; TABLES]>,
}

impl Costs {
    /// Before anything is known but the plain symbols: numbers cost their logarithm and two bits more.
    pub(super) fn guess(units: &Units, plain: &Counts) -> Self {
        let guess = |context: usize, symbol: usize| match (context as u8, symbol as u8) {
            (PREDICTOR, _) => 2 << COST_BITS,
            (TRANSFORMS, 0) => 1 << COST_BITS,
            (TRANSFORMS, _) => 6 << COST_BITS,
            (_, token) => (2 << COST_BITS) + log2(hybrid::join(token, 0).saturating_add(1)) as u32,
        };
        let tables = std::array::from_fn(|context| std::array::from_fn(|symbol| guess(context, symbol)));
        let mut costs = Self {
            tables: Box::new(tables),
        };
        costs.update(units, plain);
        costs
    }

    /// Takes over what was counted. Contexts that did not occur keep their costs, so that they may
    /// yet be chosen; symbols that did not occur count a sixteenth.
    pub(super) fn update(&mut self, units: &Units, counts: &Counts) {
        for (context, (costs, counts)) in self.tables.iter_mut().zip(&*counts.tables).enumerate() {
            let total: u64 = counts.iter().sum();
            if total == 0 {
                continue;
            }
            let all = log2(16 * total + SYMBOLS as u64);
            for ((cost, &count), symbol) in costs.iter_mut().zip(counts).zip(0..=255) {
                let raw = raw_bits(units, context as u8, symbol);
                *cost = (all - log2(16 * count + 1)) as u32 + (raw << COST_BITS);
            }
        }
    }

    #[inline(always)]
    pub(super) fn of(&self, context: u8, symbol: u8) -> u64 {
        self.tables[usize::from(context) % TABLES][usize::from(symbol)].into()
    }

    /// The cost of a number that is neither plain nor a code.
    #[inline(always)]
    pub(super) fn number(&self, context: u8, signed: i64) -> u64 {
        debug_assert!(context >= RESIDUAL);
        self.of(context, hybrid::split(hybrid::zigzag(signed)).0)
    }
}
