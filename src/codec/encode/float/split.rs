//! Splitting elements into tokens, contexts and raw bits, with the CPU's vector instructions.

use super::Plan;
use super::stored::Values;
use crate::codec::float::ESCAPE_POSITION_BITS;
use crate::entropy::{EncodeTables, Frequencies, SYMBOLS};
use crate::plane::float::{Element, FloatSplit};
use crate::plane::raw;
use crate::predict::scale::Scale;
use crate::simd::Work;
use std::ops::Range;

/// Units that are worked on at a time, so that they stay in the first-level cache.
pub(super) const BLOCK: usize = 4096;
/// Symbols that are looked at together for one that must be escaped.
const GROUP: usize = 64;

/// Elements of a block, and what they split into.
pub(super) struct Block<T> {
    values: Vec<T>,
    tokens: Vec<u16>,
    steps: Vec<u8>,
}

impl<T: Element> Block<T> {
    pub(super) fn new() -> Self {
        Self {
            values: vec![T::default(); BLOCK],
            tokens: vec![0; BLOCK],
            steps: vec![0; BLOCK],
        }
    }

    /// Reads units `first..first + n`; their tokens are less what the scale predicts.
    #[inline(always)]
    fn load(&mut self, given: Values, split: FloatSplit, scale: Option<&Scale>, first: usize, n: usize) {
        let (values, tokens) = (&mut self.values[..n], &mut self.tokens[..n]);
        given.load(first, values);
        match scale {
            None => tokens.iter_mut().zip(values).for_each(|(t, v)| *t = v.token(split)),
            Some(scale) => {
                let steps = &mut self.steps[..n];
                scale.steps(first, steps);
                for ((token, value), &step) in tokens.iter_mut().zip(values).zip(&*steps) {
                    *token = value.token(split).wrapping_sub(split.shift(step)) & split.token_mask();
                }
            }
        }
    }
}

/// Makes a block's tokens; each with its context above it is a key to count.
pub(super) struct Keys<'a, T> {
    pub(super) block: &'a mut Block<T>,
    pub(super) values: Values<'a>,
    pub(super) split: FloatSplit,
    pub(super) scale: Option<&'a Scale>,
    pub(super) units: Range<usize>,
}

impl<'a, T: Element> Work for Keys<'a, T> {
    type Output = &'a [u16];

    #[inline(always)]
    fn run(self) -> &'a [u16] {
        let Self {
            block,
            values,
            split,
            scale,
            units,
        } = self;
        let n = units.len();
        block.load(values, split, scale, units.start, n);
        let keys = &mut block.tokens[..n];
        if scale.is_some() {
            let (mask, shift) = ((1u16 << split.fraction_bits) - 1, split.token_bits());
            for (key, &step) in keys.iter_mut().zip(&block.steps) {
                *key |= (u16::from(step) & mask) << shift;
            }
        }
        keys
    }
}

/// How many of the lowest bits are 0 in every unit; as many as an element has if all are 0.
pub(super) struct Zeros<'a, T> {
    pub(super) values: Values<'a>,
    pub(super) units: Range<usize>,
    pub(super) block: &'a mut Block<T>,
}

impl<T: Element> Work for Zeros<'_, T> {
    type Output = u32;

    #[inline(always)]
    fn run(self) -> u32 {
        let mut zeros = u32::MAX;
        // Most chunks show within the first block that they have none.
        for first in self.units.clone().step_by(BLOCK) {
            let block = &mut self.block.values[..BLOCK.min(self.units.end - first)];
            self.values.load(first, block);
            zeros = zeros.min(T::low_zeros(block));
            if zeros == 0 {
                break;
            }
        }
        zeros
    }
}

/// Symbols that tables have room for.
pub(super) struct Room {
    tables: Vec<[bool; SYMBOLS]>,
    /// Every table has room for this symbol and `span` more.
    first: u16,
    span: u16,
}

impl Room {
    pub(super) fn new(tables: &[Frequencies]) -> Self {
        let tables: Vec<[bool; SYMBOLS]> = tables.iter().map(|t| t.freq().map(|f| f > 0)).collect();
        let everywhere = |s: usize| tables.iter().all(|t| t[s]);
        let (mut first, mut len, mut run) = (0, 0, 0);
        for s in 0..SYMBOLS {
            run = if everywhere(s) { run + 1 } else { 0 };
            if run > len {
                (first, len) = (s + 1 - run, run);
            }
        }
        // Without any such symbol, offsets at the top of the range are looked at in vain.
        let (first, span) = if len == 0 {
            (u16::MAX, 0)
        } else {
            (first as u16, (len - 1) as u16)
        };
        Self { tables, first, span }
    }
}

/// Working memory for a chunk, and what it splits into.
pub(super) struct SplitChunk<T> {
    block: Block<T>,
    pub(super) symbols: Vec<u8>,
    /// None without scale.
    pub(super) contexts: Vec<u8>,
    pub(super) planes: Vec<u8>,
    pub(super) escapes: Vec<u32>,
}

impl<T: Element> SplitChunk<T> {
    pub(super) fn new() -> Self {
        Self {
            block: Block::new(),
            symbols: Vec::new(),
            contexts: Vec::new(),
            planes: Vec::new(),
            escapes: Vec::new(),
        }
    }
}

/// Splits a chunk into symbols, contexts, raw planes and escapes.
pub(super) struct SplitUnits<'a, T> {
    pub(super) values: Values<'a>,
    pub(super) plan: &'a Plan,
    pub(super) tables: &'a EncodeTables,
    pub(super) room: &'a Room,
    pub(super) units: Range<usize>,
    /// As many bits of the units are 0, from the lowest.
    pub(super) zeros: u32,
    pub(super) chunk: &'a mut SplitChunk<T>,
}

impl<T: Element> Work for SplitUnits<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let split = FloatSplit {
            zeros: self.zeros,
            ..self.plan.split
        };
        let (scale, room) = (self.plan.scale.as_ref(), self.room);
        let units = self.units.len();
        let SplitChunk {
            block,
            symbols,
            contexts,
            planes,
            escapes,
        } = self.chunk;
        symbols.resize(units, 0);
        contexts.resize(if scale.is_some() { units } else { 0 }, 0);
        planes.resize(raw::planes_len(units, split.raw_bits()), 0);
        escapes.clear();
        for at in (0..units).step_by(BLOCK) {
            let n = BLOCK.min(units - at);
            block.load(self.values, split, scale, self.units.start + at, n);
            if scale.is_some() {
                let mask = (1u8 << split.fraction_bits) - 1;
                contexts[at..at + n]
                    .iter_mut()
                    .zip(&block.steps)
                    .for_each(|(c, s)| *c = s & mask);
            }
            let groups = symbols[at..at + n].chunks_mut(GROUP).zip(block.tokens.chunks(GROUP));
            for (g, (symbols, tokens)) in groups.enumerate() {
                let mut outside = false;
                for (symbol, &token) in symbols.iter_mut().zip(tokens) {
                    let offset = token.wrapping_sub(split.base) & split.token_mask();
                    *symbol = offset as u8;
                    outside |= offset.wrapping_sub(room.first) > room.span;
                }
                if outside {
                    let first = at + g * GROUP;
                    let contexts = contexts.get(first..).unwrap_or(&[]);
                    for (i, symbol) in symbols.iter_mut().enumerate() {
                        let context = contexts.get(i).map_or(0, |&c| usize::from(c));
                        let offset = tokens[i].wrapping_sub(split.base) & split.token_mask();
                        if offset > 255 || !room.tables[context][usize::from(*symbol)] {
                            let token = u32::from(block.values[g * GROUP + i].token(split));
                            escapes.push(token << ESCAPE_POSITION_BITS | (first + i) as u32);
                            *symbol = self.tables.likeliest(context);
                        }
                    }
                }
            }
            pack(&mut block.values[..n], split, planes, at, units);
        }
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
