//! Encoding with the `float` method.

mod split;
mod stored;

use super::count::{Tables, TokenCounts};
use super::{Candidate, Effort, Encoded, Input, assemble, balanced_chunk, map_chunks};
use crate::backend::Backend;
use crate::bits::BitWriter;
use crate::codec::float::ESCAPES_BITS;
use crate::cost::COST_BITS;
use crate::dtype::DType;
use crate::entropy::rans::{self, LANES, STATES_BYTES};
use crate::entropy::{EncodeTables, Frequencies};
use crate::format::{MAX_PROB_BITS, Method, Recipe};
use crate::plane::float::{Element, FloatSplit};
use crate::plane::raw;
use crate::predict::{scale::Scale, scale_fit};
use crate::simd::vectorised;
use crate::spread::spread;
use split::{BLOCK, Block, Keys, Room, SplitChunk, SplitUnits, Zeros};
use stored::{FloatMatrix, Values};

/// Units of a chunk, about: 64 Ki weights, the grain of random access.
const CHUNK: usize = 1 << 16;
/// Units that the default effort counts for tables, in blocks spread over the tensor. Tables of so many
/// cost 0.001 bit an element more than those of all.
const COUNTED: usize = 1 << 18;
/// What an encoding may be of its price, in percent, before everything is counted.
const MOST_PERCENT: u64 = 101;
/// Units that it counts to see whether a scale is worth its bits.
const SKETCHED: usize = 1 << 16;

/// Ways to code a float tensor. None if it is no float.
pub(super) fn candidates<'a>(input: Input<'a>, effort: Effort) -> Vec<Candidate<'a>> {
    let dtype = if input.dtype == DType::C64 {
        DType::F32
    } else {
        input.dtype
    };
    if dtype.float_layout().is_none() {
        return Vec::new();
    }
    let values = Values::new(dtype, input.data);
    let matrices = match effort {
        Effort::Fast => Vec::new(),
        _ => input.matrices(),
    };
    match values.stored.unit_bytes() {
        1 => of_type::<u8>(input, values, &matrices, effort),
        2 => of_type::<u16>(input, values, &matrices, effort),
        4 => of_type::<u32>(input, values, &matrices, effort),
        _ => of_type::<u64>(input, values, &matrices, effort),
    }
}

/// One combination of parameters.
struct Plan {
    stored: DType,
    split: FloatSplit,
    columns: usize,
    scale: Option<Scale>,
    tables: Vec<Frequencies>,
    parameters: Vec<u8>,
    /// Payload in 2^-16 bits, estimated.
    cost: u64,
}

impl Plan {
    /// Bits that a chunk whose units end with `zeros` zeros leaves out.
    fn zeros(&self, zeros: u32) -> u32 {
        zeros.min(self.split.low_bits())
    }

    /// The same, priced without the bits that chunks leave out.
    fn less_zeros(self, zeros: &[u32], units: usize) -> Self {
        let chunk = balanced_chunk(units, CHUNK) as usize;
        let of_chunk = |(i, &zeros): (usize, &u32)| u64::from(self.zeros(zeros)) * chunk.min(units - i * chunk) as u64;
        let bits: u64 = zeros.iter().enumerate().map(of_chunk).sum();
        Self {
            cost: self.cost - (bits << COST_BITS),
            ..self
        }
    }
}

fn of_type<'a, T: Element + Send + Sync + 'a>(
    input: Input<'a>,
    values: Values<'a>,
    matrices: &[usize],
    effort: Effort,
) -> Vec<Candidate<'a>> {
    let Some(layout) = values.stored.float_layout() else {
        return Vec::new();
    };
    let (backend, units) = (input.backend, values.len());
    let most = layout.mantissa.min(12 - layout.exponent);
    let mantissas = match effort {
        Effort::Max => (2.min(most)..=most.min(3)).collect(),
        // Small floats have no raw mantissa bits to gain by.
        _ => vec![if layout.mantissa <= 3 { most } else { most.min(2) }],
    };
    let fractions = match effort {
        Effort::Max => 0..=3,
        _ => 2..=2,
    };
    let counted = if effort == Effort::Max { units } else { COUNTED };
    let zeros = map_chunks(
        units,
        balanced_chunk(units, CHUNK),
        Block::<T>::new,
        |block: &mut Block<T>, units| vectorised(backend, Zeros { values, units, block }),
    );
    let with = |fraction_bits: u32, scale: Option<(usize, Scale)>, counted: usize| {
        let plans = mantissas.iter().map(|&token_mantissa| {
            let split = FloatSplit {
                layout,
                token_mantissa,
                base: 0,
                fraction_bits,
                zeros: 0,
            };
            let (columns, scale) = scale.clone().unzip();
            let plan = plan::<T>(backend, values, split, columns.unwrap_or(0), scale, counted);
            plan.less_zeros(&zeros, units)
        });
        plans.min_by_key(|p| p.cost)
    };
    let mut scaled = Vec::new();
    for &columns in matrices {
        for fraction_bits in fractions.clone() {
            let matrix = FloatMatrix { values, columns };
            let scale = scale_fit::fit(backend, units / columns, columns, fraction_bits, &matrix);
            scaled.extend(scale.and_then(|scale| with(fraction_bits, Some((columns, scale)), counted)));
        }
    }
    let best = match scaled.into_iter().min_by_key(|p| p.cost) {
        Some(scaled) if effort < Effort::Max && with(0, None, SKETCHED).is_none_or(|p| p.cost > scaled.cost) => {
            Some(scaled)
        }
        scaled => with(0, None, counted).into_iter().chain(scaled).min_by_key(|p| p.cost),
    };
    let Some(plan) = best else { return Vec::new() };
    vec![Candidate {
        cost: plan.cost,
        encode: Box::new(move || {
            let encoded = encode::<T>(input, values, &plan, &zeros);
            if units <= counted || encoded.len() <= (plan.cost / 100 * MOST_PERCENT) >> (COST_BITS + 3) {
                return encoded;
            }
            // The sample was not like the rest: everything is counted.
            drop(encoded);
            let Plan {
                split,
                columns,
                ref scale,
                ..
            } = plan;
            let plan = self::plan::<T>(backend, values, split, columns, scale.clone(), units);
            encode::<T>(input, values, &plan, &zeros)
        }),
    }]
}

/// Makes tables for a combination from `counted` units, about, and prices it.
fn plan<T: Element>(
    backend: Backend,
    values: Values,
    mut split: FloatSplit,
    columns: usize,
    scale: Option<Scale>,
    counted: usize,
) -> Plan {
    let units = values.len();
    let mut counts = TokenCounts::new(1 << split.fraction_bits, split.token_bits());
    let mut block = Block::<T>::new();
    let mut seen = 0u64;
    for block_index in spread(units.div_ceil(BLOCK), counted.div_ceil(BLOCK)) {
        let first = block_index * BLOCK;
        let range = first..units.min(first + BLOCK);
        seen += range.len() as u64;
        let keys = Keys {
            block: &mut block,
            values,
            split,
            scale: scale.as_ref(),
            units: range,
        };
        counts.add(vectorised(backend, keys));
    }
    let tables = Tables::build(&counts.finish(), MAX_PROB_BITS);
    split.base = tables.base;
    let mut writer = BitWriter::default();
    writer.bits(u64::from(split.base), 16);
    if let Some(scale) = &scale {
        scale.write(&mut writer);
    }
    tables.frequencies.iter().for_each(|t| t.write(&mut writer));
    let tokens = (u128::from(tables.cost) * units as u128 / u128::from(seen.max(1))) as u64;
    let chunks = units.div_ceil(balanced_chunk(units, CHUNK) as usize) as u64;
    let fixed = writer.len() + units as u64 * u64::from(split.raw_bits()) + chunks * 8 * (STATES_BYTES as u64 - 40);
    Plan {
        stored: values.stored,
        split,
        columns,
        scale,
        tables: tables.frequencies,
        parameters: writer.finish(),
        cost: tokens + (fixed << COST_BITS),
    }
}

fn encode<T: Element + Send + Sync>(input: Input, values: Values, plan: &Plan, zeros: &[u32]) -> Encoded {
    let (backend, units) = (input.backend, values.len());
    let chunk = balanced_chunk(units, CHUNK);
    let tables = EncodeTables::new(&plan.tables);
    let room = Room::new(&plan.tables);
    let chunks = map_chunks(units, chunk, Scratch::new, |scratch: &mut Scratch<T>, range| {
        let units = range.len();
        let zeros = plan.zeros(zeros[range.start / chunk as usize]);
        let bytes = values.bytes(range.clone());
        let work = SplitUnits {
            values,
            plan,
            tables: &tables,
            room: &room,
            units: range,
            zeros,
            chunk: &mut scratch.chunk,
        };
        vectorised(backend, work);
        (input.used)(bytes);
        scratch.encode(backend, plan, &tables, (units, zeros))
    });
    let method = Method::Float {
        stored: plan.stored,
        mantissa: plan.split.token_mantissa,
        columns: plan.columns as u64,
        fraction: plan.split.fraction_bits,
        prob: MAX_PROB_BITS,
    };
    assemble(Recipe { method, chunk }, &plan.parameters, chunks)
}

/// Working memory for a chunk.
struct Scratch<T> {
    chunk: SplitChunk<T>,
    words: Vec<[u8; 2]>,
    stream: Vec<u8>,
}

impl<T: Element> Scratch<T> {
    fn new() -> Self {
        Self {
            chunk: SplitChunk::new(),
            words: Vec::new(),
            stream: Vec::new(),
        }
    }

    /// Lays out a split chunk: stream, raw planes but for what the seeds carry, escapes.
    fn encode(
        &mut self,
        backend: Backend,
        plan: &Plan,
        tables: &EncodeTables,
        (units, zeros): (usize, u32),
    ) -> (Vec<u8>, u32) {
        let SplitChunk {
            symbols,
            contexts,
            planes,
            escapes,
            ..
        } = &self.chunk;
        let seeded = raw::seeded_len(units, plan.split.raw_bits() - zeros);
        let (stored, carried) = planes.split_at(planes.len() - seeded);
        let mut seeds = [0u16; LANES];
        for (seed, b) in seeds.iter_mut().zip(carried.chunks(2)) {
            *seed = u16::from(b[0]) | u16::from(b.get(1).copied().unwrap_or(0)) << 8;
        }
        self.stream.clear();
        rans::encode(
            backend,
            tables,
            symbols,
            contexts,
            &seeds,
            &mut self.words,
            &mut self.stream,
        );
        let mut out = Vec::with_capacity(self.stream.len() + stored.len() + 4 * escapes.len());
        out.extend_from_slice(&self.stream);
        out.extend_from_slice(stored);
        escapes.iter().for_each(|e| out.extend(e.to_le_bytes()));
        (out, escapes.len() as u32 | zeros << ESCAPES_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the sample shows nothing of most of a tensor, all of it is counted.
    #[test]
    fn what_the_sample_misses_costs_little() {
        let blocks = 4 * COUNTED / BLOCK;
        let sampled: Vec<usize> = spread(blocks, COUNTED / BLOCK).collect();
        let exponent = |i: usize| if sampled.contains(&(i / BLOCK)) { 60u16 } else { 120 };
        let mut seed = 1u32;
        let value = |i: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (exponent(i) + (seed >> 28).trailing_zeros().min(3) as u16) << 7 | (seed >> 21 & 0x7f) as u16
        };
        let data: Vec<u8> = (0..blocks * BLOCK).map(value).flat_map(u16::to_le_bytes).collect();
        let input = Input {
            dtype: DType::BF16,
            shape: &[blocks * BLOCK],
            data: &data,
            backend: Backend::Scalar,
            used: &|_| (),
        };
        let encoded = (candidates(input, Effort::Default)[0].encode)();
        // Seven mantissa bits, a sign, and less than three for the exponent.
        assert!(encoded.len() < data.len() as u64 * 11 / 16, "{}", encoded.len());
    }
}
