//! Encoding with the `levels` method.

use super::classes::merge;
use super::{Encoded, assemble, map_chunks};
use crate::backend::Backend;
use crate::bits::BitWriter;
use crate::codec::levels::{ESCAPE_BYTES, ESCAPE_POSITION_BITS};
use crate::context::Classes;
use crate::cost::{COST_BITS, entropy, log2};
use crate::entropy::rans::{self, LANES, STATES_BYTES};
use crate::entropy::signed::{self, MAX_MAGNITUDE, OF_MAGNITUDE, OF_TOKEN};
use crate::entropy::{EncodeTables, Frequencies, SYMBOLS};
use crate::format::{MAX_LEVELS_CHUNK_UNITS, Method, Recipe};
use crate::plane::raw::GROUP;
use crate::predict::{scale::Scale, scale_fit};
#[cfg(feature = "eval")]
use crate::quant::rates::Rates;
use crate::quant::{LEVEL_LIMIT, Levels};

/// Bits of an octave in the scale of the levels.
const FRACTION_BITS: u32 = 3;
/// Bits of a probability: with one more, tables take twice the cache, and files are as large.
const PROB_BITS: u32 = 10;
/// Tables that are searched in fast, or fit the first-level cache where symbols are looked up.
const USUAL_TABLES: usize = 8;
/// One more must save so much of a bit a weight, as a power of 1/2.
const MORE_TABLES: u32 = 8;
/// Bits of an escape in the chunk, besides the symbol that stands in for it.
const ESCAPE_BITS: u64 = 8 * ESCAPE_BYTES as u64;

/// How to code the levels of a tensor.
pub(crate) struct Plan {
    scale: Scale,
    classes: Classes,
    tables: Vec<Frequencies>,
    parameters: Vec<u8>,
    /// Payload in bits, estimated.
    pub(crate) bits: u64,
}

/// Levels as a matrix of magnitudes.
struct LevelMatrix<'a>(&'a Levels);

impl scale_fit::Magnitudes for LevelMatrix<'_> {
    #[inline(always)]
    fn write(&self, row: usize, column: usize, out: &mut [f32]) {
        let levels = &self.0.levels[row * self.0.columns() + column..][..out.len()];
        for (out, level) in out.iter_mut().zip(levels) {
            *out = f32::from(level.unsigned_abs());
        }
    }
}

impl Plan {
    /// Fits scale, contexts and tables. `None` for levels that are no matrix, or too large a one.
    pub(crate) fn new(backend: Backend, levels: &Levels) -> Option<Self> {
        let (rows, columns) = (levels.rows(), levels.columns());
        let scale = scale_fit::fit(backend, rows, columns, FRACTION_BITS, &LevelMatrix(levels))?;
        Some(Self::with_scale(scale, levels))
    }

    /// Without prediction: one table. `None` as [`Plan::new`].
    pub(crate) fn flat(levels: &Levels) -> Option<Self> {
        let scale = Scale::new(vec![0; levels.rows()], vec![0; levels.columns()])?;
        Some(Self::with_scale(scale, levels))
    }

    fn with_scale(scale: Scale, levels: &Levels) -> Self {
        let columns = levels.columns();
        let units = levels.levels.len();
        let mut by_step = vec![[0u32; SYMBOLS]; 256];
        let mut beyond = 0u64;
        let mut steps = vec![0u8; columns];
        for (row, levels) in levels.levels.chunks_exact(columns).enumerate() {
            scale.steps(row * columns, &mut steps);
            for (&step, level) in steps.iter().zip(levels) {
                match usize::from(level.unsigned_abs()) {
                    magnitude @ ..=MAX_MAGNITUDE => {
                        by_step[usize::from(step)][usize::from(OF_MAGNITUDE[magnitude])] += 1
                    }
                    _ => beyond += 1,
                }
            }
        }
        let classes = merge(
            &by_step,
            class_cost,
            (USUAL_TABLES, (units as u64) << COST_BITS >> MORE_TABLES),
        );
        let (tables, costs): (Vec<_>, Vec<_>) = classes.iter().map(|class| table(&class.counts)).unzip();
        let mut writer = BitWriter::default();
        levels.steps.write(&mut writer);
        scale.write(&mut writer);
        classes[1..].iter().for_each(|c| writer.bits(u64::from(c.first), 8));
        tables.iter().for_each(|t| t.write(&mut writer));
        let chunks = units.div_ceil(chunk_units(units) as usize) as u64;
        let fixed = writer.len() + chunks * 8 * (STATES_BYTES as u64 + 16) + beyond * ESCAPE_BITS;
        Self {
            bits: fixed + (costs.iter().sum::<u64>() >> COST_BITS),
            parameters: writer.finish(),
            classes: Classes::Thresholds(classes[1..].iter().map(|c| c.first).collect()),
            scale,
            tables,
        }
    }

    /// What levels take with these tables.
    #[cfg(feature = "eval")]
    pub(crate) fn rates(&self) -> Rates {
        let steps: [u8; SYMBOLS] = std::array::from_fn(|step| step as u8);
        let mut classes = [0; SYMBOLS];
        self.classes.pick(&steps, &mut classes);
        // In 2^-16 bits, exactly the same on every machine.
        let bits = |table: &Frequencies, magnitude: usize| {
            let token = usize::from(OF_MAGNITUDE[magnitude]);
            match table.freq()[token] {
                0 => ESCAPE_BITS << COST_BITS,
                f => (u64::from(PROB_BITS + u32::from(OF_TOKEN[token].1)) << COST_BITS) - log2(u64::from(f)),
            }
        };
        let of_table = |t: &Frequencies| std::array::from_fn(|m| bits(t, m) as f32 / (1 << COST_BITS) as f32);
        Rates::new(self.scale.clone(), classes, self.tables.iter().map(of_table).collect())
    }

    /// Encodes the levels that the plan was made for.
    pub(crate) fn encode(&self, backend: Backend, levels: &Levels) -> Encoded {
        let tables = EncodeTables::signed(&self.tables);
        let units = levels.levels.len();
        let chunk = chunk_units(units);
        let chunks = map_chunks(units, chunk, Scratch::default, |scratch, range| {
            let n = range.len();
            scratch.steps.resize(n, 0);
            scratch.contexts.resize(n, 0);
            scratch.symbols.resize(n, 0);
            self.scale.steps(range.start, &mut scratch.steps);
            self.classes.pick(&scratch.steps, &mut scratch.contexts);
            let mut escapes = Vec::new();
            for (i, &level) in levels.levels[range].iter().enumerate() {
                let context = usize::from(scratch.contexts[i]);
                let has_room = |&s: &u8| self.tables[context].freq()[usize::from(OF_MAGNITUDE[usize::from(s / 2)])] > 0;
                scratch.symbols[i] = signed::symbol(level).filter(has_room).unwrap_or_else(|| {
                    let level = (level + LEVEL_LIMIT) as u32;
                    escapes.push(level << ESCAPE_POSITION_BITS | i as u32);
                    tables.likeliest(context)
                });
            }
            let (mut out, seeds) = (Vec::new(), [0; LANES]);
            rans::encode(
                backend,
                &tables,
                &scratch.symbols,
                &scratch.contexts,
                &seeds,
                &mut scratch.words,
                &mut out,
            );
            escapes.iter().for_each(|e| out.extend(e.to_le_bytes()));
            (out, escapes.len() as u32)
        });
        let method = Method::Levels {
            columns: levels.columns() as u64,
            tables: self.tables.len() as u32,
            prob: PROB_BITS,
        };
        assemble(Recipe { method, chunk }, &self.parameters, chunks)
    }
}

/// Units of a chunk: as many as it may have, as its states are no small part of it, but so that chunks come in
/// fours and eights, which decode side by side.
fn chunk_units(units: usize) -> u64 {
    const MOST: usize = MAX_LEVELS_CHUNK_UNITS as usize;
    let chunks = match units.div_ceil(MOST) {
        ..=1 if units <= MOST / 2 => 1,
        ..=1 => 2,
        few @ ..=16 => few.next_multiple_of(4),
        many => many.next_multiple_of(8),
    };
    units.div_ceil(chunks).next_multiple_of(GROUP) as u64
}

/// Working memory for a chunk.
#[derive(Default)]
struct Scratch {
    steps: Vec<u8>,
    contexts: Vec<u8>,
    symbols: Vec<u8>,
    words: Vec<[u8; 2]>,
}

/// About what counted tokens take with a table of their own, in 2^-16 bits; their raw bits, as many in any table, left
/// out.
fn class_cost(counts: &[u64]) -> u64 {
    let total = counts.iter().sum::<u64>().max(1);
    let bits = |&c: &u64| {
        let frequency = (c << PROB_BITS) / total;
        // A length in unary against the one before, and the bits below the leading one.
        2 + u64::from(frequency.max(1).ilog2())
    };
    let table: u64 = counts.iter().filter(|&&c| c > 0).map(bits).sum();
    entropy(counts) + ((16 + table) << COST_BITS)
}

/// The table of a class, with room for every token that pays for it; and what the counted levels
/// take with it, escapes included, in 2^-16 bits.
fn table(counts: &[u64; SYMBOLS]) -> (Frequencies, u64) {
    let total: u64 = counts.iter().sum();
    // Room for a rare token takes a slot and a few bits of the table; without it each one is an escape.
    let pays = |count: u64| {
        let saved = u128::from(count) * u128::from(ESCAPE_BITS - 4 - u64::from(PROB_BITS));
        count > 0 && (saved << PROB_BITS) > u128::from(total) * 3 / 2 + (6 << PROB_BITS)
    };
    let kept = counts.map(|count| if pays(count) { count } else { 0 });
    let table = signed::normalise(&kept, PROB_BITS);
    let escaped = total - kept.iter().sum::<u64>();
    let likeliest = u64::from(table.freq().iter().copied().max().unwrap_or(1));
    let stand_in = (u64::from(PROB_BITS) << COST_BITS) - log2(likeliest);
    let raw: u64 = kept
        .iter()
        .zip(OF_TOKEN)
        .map(|(count, (_, bits))| count * u64::from(bits))
        .sum();
    let cost = table.cost(&kept) + (raw << COST_BITS) + escaped * ((ESCAPE_BITS << COST_BITS) + stand_in);
    (table, cost)
}
