//! Encoding with the `float` method.

use super::count::{Tables, TokenCounts};
use super::{Candidate, Effort, Encoded, Input, assemble, balanced_chunk, map_chunks};
use crate::backend::Backend;
use crate::bits::BitWriter;
use crate::codec::float::ESCAPE_POSITION_BITS;
use crate::cost::COST_BITS;
use crate::dtype::DType;
use crate::entropy::EncodeTables;
use crate::entropy::rans::{self, LANES, STATES_BYTES};
use crate::format::{MAX_PROB_BITS, Method, Recipe};
use crate::plane::float::{Element, FloatSplit};
use crate::plane::{narrow, raw};
use crate::predict::{scale::Scale, scale_fit};
use crate::simd::{Work, vectorised};
use std::borrow::Cow;

/// Units of a chunk, about: 64 Ki weights, the grain of random access.
const CHUNK: usize = 1 << 16;
/// Units that are worked on at a time.
const BLOCK: usize = 4096;
/// Units that the default effort counts, at least, before it takes blocks as a sample.
const COUNTED: usize = 1 << 19;

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
    let (stored, data) = narrowed(dtype, input.data);
    let matrices = match effort {
        Effort::Fast => Vec::new(),
        _ => input.matrices(),
    };
    match stored.float_layout().map_or(0, |l| l.bytes()) {
        1 => of_type::<u8>(stored, data, &matrices, effort),
        2 => of_type::<u16>(stored, data, &matrices, effort),
        4 => of_type::<u32>(stored, data, &matrices, effort),
        _ => of_type::<u64>(stored, data, &matrices, effort),
    }
}

/// The narrowest float that holds every value, and the values as such.
fn narrowed(dtype: DType, data: &[u8]) -> (DType, Cow<'_, [u8]>) {
    let singles = |data: &[u8]| {
        data.as_chunks()
            .0
            .iter()
            .map(|b| u32::from_le_bytes(*b))
            .collect::<Vec<_>>()
    };
    let of_singles = |singles: &[u32]| -> Option<(DType, Vec<u8>)> {
        if singles.iter().all(|s| s & 0xffff == 0) {
            return Some((
                DType::BF16,
                singles.iter().flat_map(|s| ((s >> 16) as u16).to_le_bytes()).collect(),
            ));
        }
        // Most tensors show within a few values that they are not halves.
        singles.iter().all(|&s| narrow::f16_from_f32(s).is_some()).then(|| {
            let halves = singles.iter().filter_map(|&s| narrow::f16_from_f32(s));
            (DType::F16, halves.flat_map(u16::to_le_bytes).collect())
        })
    };
    match dtype {
        DType::F32 => match of_singles(&singles(data)) {
            Some((dtype, data)) => (dtype, data.into()),
            None => (dtype, data.into()),
        },
        DType::F64 => {
            let doubles = data
                .as_chunks()
                .0
                .iter()
                .map(|b| narrow::f32_from_f64(u64::from_le_bytes(*b)));
            match doubles.collect::<Option<Vec<u32>>>() {
                Some(singles) => (
                    DType::F32,
                    singles.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>().into(),
                ),
                None => (dtype, data.into()),
            }
        }
        _ => (dtype, data.into()),
    }
}

/// Elements of a block, and what they split into.
struct Split<T> {
    values: Vec<T>,
    tokens: Vec<u16>,
    steps: Vec<u8>,
    contexts: Vec<u8>,
}

impl<T: Element> Split<T> {
    fn new() -> Self {
        Self {
            values: vec![T::default(); BLOCK],
            tokens: vec![0; BLOCK],
            steps: vec![0; BLOCK],
            contexts: vec![0; BLOCK],
        }
    }

    /// Reads units `first..first + n`; their tokens are less what the scale predicts.
    #[inline(always)]
    fn load(&mut self, data: &[u8], split: FloatSplit, scale: Option<&Scale>, first: usize, n: usize) {
        T::load(&data[first * T::BYTES..(first + n) * T::BYTES], &mut self.values[..n]);
        for (token, value) in self.tokens.iter_mut().zip(&self.values[..n]) {
            *token = value.token(split);
        }
        let Some(scale) = scale else { return };
        scale.steps(first, &mut self.steps[..n]);
        let (mask, token_mask) = ((1u8 << split.fraction_bits) - 1, split.token_mask());
        for ((token, context), &step) in self.tokens.iter_mut().zip(&mut self.contexts).zip(&self.steps[..n]) {
            *token = token.wrapping_sub(split.shift(step)) & token_mask;
            *context = step & mask;
        }
    }

    /// The contexts of the first `n` elements, none without scale.
    fn contexts(&self, scale: Option<&Scale>, n: usize) -> &[u8] {
        if scale.is_some() { &self.contexts[..n] } else { &[] }
    }
}

/// One combination of parameters.
#[derive(Clone)]
struct Plan {
    stored: DType,
    split: FloatSplit,
    columns: usize,
    scale: Option<Scale>,
    tables: Vec<crate::entropy::Frequencies>,
    parameters: Vec<u8>,
}

fn of_type<'a, T: Element + Send + Sync + 'a>(
    stored: DType,
    data: Cow<'a, [u8]>,
    matrices: &[usize],
    effort: Effort,
) -> Vec<Candidate<'a>> {
    let Some(layout) = stored.float_layout() else {
        return Vec::new();
    };
    let units = data.len() / T::BYTES;
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
    let mut best: Option<(u64, Plan)> = None;
    let mut consider = |fraction_bits: u32, scale: Option<(usize, Scale)>| {
        for &token_mantissa in &mantissas {
            let split = FloatSplit {
                layout,
                token_mantissa,
                base: 0,
                fraction_bits,
            };
            let (columns, scale) = scale
                .clone()
                .map_or((0, None), |(columns, scale)| (columns, Some(scale)));
            let (cost, plan) = price::<T>(stored, &data, split, columns, scale, effort);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, plan));
            }
        }
    };
    consider(0, None);
    for &columns in matrices {
        for fraction_bits in fractions.clone() {
            let magnitudes = |row: usize, column: usize, out: &mut [f32]| {
                let first = (row * columns + column) * T::BYTES;
                magnitudes::<T>(stored, &data[first..first + out.len() * T::BYTES], out);
            };
            if let Some(scale) = scale_fit::fit(units / columns, columns, fraction_bits, magnitudes) {
                consider(fraction_bits, Some((columns, scale)));
            }
        }
    }
    let Some((cost, plan)) = best else { return Vec::new() };
    vec![Candidate {
        cost,
        encode: Box::new(move || encode::<T>(&data, &plan)),
    }]
}

/// Finite magnitudes of elements; 0 for what is not finite.
fn magnitudes<T: Element>(stored: DType, data: &[u8], out: &mut [f32]) {
    match stored {
        DType::BF16 => {
            for (out, b) in out.iter_mut().zip(data.as_chunks::<2>().0) {
                let magnitude = u16::from_le_bytes(*b) & 0x7fff;
                let finite = if magnitude < 0x7f80 { magnitude } else { 0 };
                *out = f32::from_bits(u32::from(finite) << 16);
            }
        }
        DType::F32 => {
            for (out, b) in out.iter_mut().zip(data.as_chunks::<4>().0) {
                let magnitude = u32::from_le_bytes(*b) & 0x7fff_ffff;
                *out = f32::from_bits(if magnitude < 0x7f80_0000 { magnitude } else { 0 });
            }
        }
        _ => {
            let Some(layout) = stored.float_layout() else { return };
            let bias = (1i32 << (layout.exponent - 1)) - 1;
            let mut values = vec![T::default(); out.len()];
            T::load(data, &mut values);
            for (out, value) in out.iter_mut().zip(values) {
                // Sixteen mantissa bits are plenty for a mean; NaN and Inf are taken as large values.
                let bits = value.wide() & (u64::MAX >> (64 - layout.exponent - layout.mantissa));
                let exponent = (bits >> layout.mantissa) as i32;
                let mantissa = bits & ((1 << layout.mantissa) - 1);
                let significand = mantissa | u64::from(exponent > 0) << layout.mantissa;
                let scale = (exponent.max(1) - bias - layout.mantissa as i32).clamp(-126, 127);
                *out = significand as f32 * f32::from_bits(((scale + 127) as u32) << 23);
                if !out.is_finite() {
                    *out = 0.0;
                }
            }
        }
    }
}

/// Counts tokens and prices a combination.
fn price<T: Element>(
    stored: DType,
    data: &[u8],
    mut split: FloatSplit,
    columns: usize,
    scale: Option<Scale>,
    effort: Effort,
) -> (u64, Plan) {
    let units = data.len() / T::BYTES;
    let stride = match effort {
        Effort::Max => 1,
        _ => (units / COUNTED).max(1),
    };
    let mut counts = TokenCounts::new(1 << split.fraction_bits, split.token_bits());
    let mut block = Split::<T>::new();
    let backend = Backend::fastest();
    let mut counted = 0u64;
    for first in (0..units).step_by(BLOCK * stride) {
        let n = BLOCK.min(units - first);
        let load = Load {
            block: &mut block,
            data,
            split,
            scale: scale.as_ref(),
            first,
            n,
        };
        vectorised(backend, load);
        counts.add(&block.tokens[..n], block.contexts(scale.as_ref(), n));
        counted += n as u64;
    }
    let tables = Tables::build(&counts.finish(), MAX_PROB_BITS);
    split.base = tables.base;
    let mut writer = BitWriter::default();
    writer.bits(u64::from(split.base), 16);
    if let Some(scale) = &scale {
        scale.write(&mut writer);
    }
    tables.frequencies.iter().for_each(|t| t.write(&mut writer));
    let tokens = (u128::from(tables.cost) * units as u128 / u128::from(counted.max(1))) as u64;
    let chunks = units.div_ceil(balanced_chunk(units, CHUNK) as usize) as u64;
    let fixed = writer.len() + units as u64 * u64::from(split.raw_bits()) + chunks * 8 * (STATES_BYTES as u64 - 40);
    let cost = tokens + (fixed << COST_BITS);
    let parameters = writer.finish();
    (
        cost,
        Plan {
            stored,
            split,
            columns,
            scale,
            tables: tables.frequencies,
            parameters,
        },
    )
}

fn encode<T: Element + Send + Sync>(data: &[u8], plan: &Plan) -> Encoded {
    let units = data.len() / T::BYTES;
    let chunk = balanced_chunk(units, CHUNK);
    let tables = EncodeTables::new(&plan.tables);
    let room: Vec<[bool; 256]> = plan.tables.iter().map(|t| t.freq().map(|f| f > 0)).collect();
    let backend = Backend::fastest();
    let chunks = map_chunks(units, chunk, Scratch::new, |scratch: &mut Scratch<T>, range| {
        let units = range.len();
        let chunk = SplitChunk {
            data,
            plan,
            tables: &tables,
            room: &room,
            range,
            scratch: &mut *scratch,
        };
        vectorised(backend, chunk);
        scratch.encode(plan, &tables, units)
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
    block: Split<T>,
    symbols: Vec<u8>,
    contexts: Vec<u8>,
    planes: Vec<u8>,
    escapes: Vec<u32>,
}

impl<T: Element> Scratch<T> {
    fn new() -> Self {
        let (symbols, contexts) = (Vec::new(), Vec::new());
        Self {
            block: Split::new(),
            symbols,
            contexts,
            planes: Vec::new(),
            escapes: Vec::new(),
        }
    }

    /// Lays out a split chunk: stream, raw planes but for what the seeds carry, escapes.
    fn encode(&self, plan: &Plan, tables: &EncodeTables, units: usize) -> (Vec<u8>, u32) {
        let seeded = raw::seeded_len(units, plan.split.raw_bits());
        let (stored, carried) = self.planes.split_at(self.planes.len() - seeded);
        let mut seeds = [0u16; LANES];
        for (seed, b) in seeds.iter_mut().zip(carried.chunks(2)) {
            *seed = u16::from(b[0]) | u16::from(b.get(1).copied().unwrap_or(0)) << 8;
        }
        let mut out = Vec::with_capacity(STATES_BYTES + 2 * units + 64 + stored.len());
        rans::encode(tables, &self.symbols, &self.contexts, &seeds, &mut out);
        out.extend(stored);
        self.escapes.iter().for_each(|e: &u32| out.extend(e.to_le_bytes()));
        out.shrink_to_fit();
        (out, self.escapes.len() as u32)
    }
}

struct Load<'a, T> {
    block: &'a mut Split<T>,
    data: &'a [u8],
    split: FloatSplit,
    scale: Option<&'a Scale>,
    first: usize,
    n: usize,
}

impl<T: Element> Work for Load<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.block.load(self.data, self.split, self.scale, self.first, self.n);
    }
}

struct SplitChunk<'a, T> {
    data: &'a [u8],
    plan: &'a Plan,
    tables: &'a EncodeTables,
    room: &'a [[bool; 256]],
    range: std::ops::Range<usize>,
    scratch: &'a mut Scratch<T>,
}

impl<T: Element> Work for SplitChunk<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        split_chunk(self.data, self.plan, self.tables, self.room, self.range, self.scratch);
    }
}

/// Splits a chunk into symbols, contexts, raw planes and escapes.
#[inline(always)]
fn split_chunk<T: Element>(
    data: &[u8],
    plan: &Plan,
    tables: &EncodeTables,
    room: &[[bool; 256]],
    range: std::ops::Range<usize>,
    scratch: &mut Scratch<T>,
) {
    let (split, scale) = (plan.split, plan.scale.as_ref());
    let units = range.len();
    let Scratch {
        block,
        symbols,
        contexts,
        planes,
        escapes,
    } = scratch;
    symbols.resize(units, 0);
    contexts.resize(if scale.is_some() { units } else { 0 }, 0);
    planes.clear();
    planes.resize(raw::planes_len(units, split.raw_bits()), 0);
    escapes.clear();
    for at in (0..units).step_by(BLOCK) {
        let n = BLOCK.min(units - at);
        block.load(data, split, scale, range.start + at, n);
        if scale.is_some() {
            contexts[at..at + n].copy_from_slice(&block.contexts[..n]);
        }
        let block_symbols = &mut symbols[at..at + n];
        let mut outside = 0;
        for (symbol, token) in block_symbols.iter_mut().zip(&block.tokens) {
            let offset = token.wrapping_sub(split.base) & split.token_mask();
            outside |= offset >> 8;
            *symbol = offset as u8;
        }
        let block_contexts = block.contexts(scale, n);
        let lacking = match room {
            [only] => block_symbols.iter().fold(false, |any, &s| any | !only[usize::from(s)]),
            _ => block_symbols
                .iter()
                .zip(block_contexts)
                .fold(false, |any, (&s, &c)| any | !room[usize::from(c)][usize::from(s)]),
        };
        if outside != 0 || lacking {
            for (i, symbol) in block_symbols.iter_mut().enumerate() {
                let context = block_contexts.get(i).map_or(0, |&c| usize::from(c));
                let offset = block.tokens[i].wrapping_sub(split.base) & split.token_mask();
                if offset > 255 || !room[context][usize::from(*symbol)] {
                    let token = u32::from(block.values[i].token(split));
                    escapes.push(token << ESCAPE_POSITION_BITS | (at + i) as u32);
                    *symbol = tables.likeliest(context);
                }
            }
        }
        pack(&mut block.values[..n], split, planes, at, units);
    }
}

/// Packs the raw bits of the block at unit `at` into the chunk's planes. Turns `values` into raw bits.
#[inline(always)]
fn pack<T: Element>(values: &mut [T], split: FloatSplit, planes: &mut [u8], at: usize, units: usize) {
    values.iter_mut().for_each(|v| *v = v.raw(split));
    let (mut start, mut low) = (0, split.raw_bits());
    for p in raw::pieces(split.raw_bits()) {
        low -= p;
        let plane = &mut planes[start + at / raw::GROUP * raw::plane_len(raw::GROUP, p)..];
        for (group, plane) in values
            .chunks(raw::GROUP)
            .zip(plane.chunks_mut(raw::plane_len(raw::GROUP, p)))
        {
            raw::pack_group(group, plane, p, low);
        }
        start += raw::plane_len(units, p);
    }
}
