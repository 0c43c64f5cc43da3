//! What the vector decoders share: the loop over steps, and the step that looks symbols up, written
//! once over a handful of operations.
#![allow(unsafe_code)]

use super::{LANES, Run, scalar};
use crate::entropy::DecodeTables;
use crate::simd::{LINE, prefetch};

/// How far ahead words are prefetched: they were in cache when their chunk's checksum was checked, but chunks in
/// flight take more than the second-level cache.
const WORDS_AHEAD: usize = 1024;

/// Where `K` streams are.
pub(super) struct Streams<const K: usize> {
    /// The next words of each.
    pub(super) words: [*const u8; K],
    /// The contexts of the first step of each, if there are contexts.
    pub(super) contexts: [*const u8; K],
    /// Where the symbols of the first step of each go.
    pub(super) symbols: [*mut u8; K],
    /// Symbols done.
    pub(super) done: usize,
}

/// How to decode one step of `K` streams.
///
/// # Safety
/// An implementation's methods must do what their docs say and touch no other memory.
pub(super) unsafe trait Step<const K: usize> {
    /// The 32 states of a stream.
    type States: Copy;
    /// From 32 words.
    unsafe fn load(from: *const u32) -> Self::States;
    /// To 32 words.
    unsafe fn store(states: Self::States, to: *mut u32);
    /// Decodes 32 symbols of each stream: from `done` on, contexts are read (if there are any) and
    /// symbols written. Advances `words`, of which 64 bytes may be read, by what was taken.
    unsafe fn step(&self, states: &mut [Self::States; K], streams: &mut Streams<K>);
}

/// Decodes `K` runs in lockstep.
///
/// # Safety
/// The CPU must have the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn run<S: Step<K>, const K: usize>(step: &S, tables: &DecodeTables, runs: &mut [Run]) {
    assert!(runs.len() == K);
    let len = runs[0].symbols.len();
    // SAFETY: states are 32 words. Inside the loop `done + 32 <= len`, and `decode` in `mod.rs` has checked
    // that symbols and contexts of every run have `len` bytes. Steps are as many as `safe_steps` of each
    // stream allows: at most 64 bytes are taken a step, so 64 are left to read in each.
    unsafe {
        // Vectors in loops, not closures, which are not always inlined and then lack the instructions.
        let mut states = [S::load(runs[0].stream.states.as_ptr()); K];
        for (k, states) in states.iter_mut().enumerate() {
            *states = S::load(runs[k].stream.states.as_ptr());
        }
        let bases: [*const u8; K] = std::array::from_fn(|k| runs[k].stream.bytes.as_ptr());
        let mut streams = Streams {
            words: std::array::from_fn(|k| bases[k].add(runs[k].stream.position)),
            contexts: std::array::from_fn(|k| runs[k].contexts.as_ptr()),
            symbols: std::array::from_fn(|k| runs[k].symbols.as_mut_ptr()),
            done: 0,
        };
        let ahead: [*const u8; K] = std::array::from_fn(|k| runs[k].ahead.as_ptr());
        let lines = (runs[0].ahead.len() * LANES).div_ceil(len.max(1) * LINE);
        loop {
            let left = (len - streams.done) / LANES;
            let steps = runs.iter().fold(left, |steps, run| steps.min(run.stream.safe_steps()));
            if steps == 0 {
                break;
            }
            for _ in 0..steps {
                for line in 0..lines {
                    let at = (streams.done / LANES * lines + line) * LINE;
                    ahead.iter().for_each(|ahead| prefetch(ahead.wrapping_add(at)));
                }
                streams
                    .words
                    .iter()
                    .for_each(|words| prefetch(words.wrapping_add(WORDS_AHEAD)));
                step.step(&mut states, &mut streams);
                streams.done += LANES;
            }
            for (k, run) in runs.iter_mut().enumerate() {
                run.stream.position = streams.words[k].offset_from(bases[k]) as usize;
            }
        }
        for (k, states) in states.iter().enumerate() {
            S::store(*states, runs[k].stream.states.as_mut_ptr());
        }
        if streams.done < len {
            runs.iter_mut()
                .for_each(|run| scalar::decode(tables, run, streams.done));
        }
    }
}

/// What an instruction set brings to look symbols up: a vector of `WIDTH` unsigned 32-bit lanes.
///
/// # Safety
/// An implementation's methods must do what their docs say and touch no other memory.
pub(super) unsafe trait Lanes {
    type V: Copy;
    const WIDTH: usize;
    /// `WIDTH` words from `from`.
    unsafe fn load(from: *const u32) -> Self::V;
    /// Writes `WIDTH` words to `to`.
    unsafe fn store(v: Self::V, to: *mut u32);
    /// `WIDTH` bytes from `from`, each widened.
    unsafe fn load_contexts(from: *const u8) -> Self::V;
    /// The entry of every lane: `entries[(context & context_mask) << bits | state & slot_mask]`.
    unsafe fn look_up(entries: *const u32, state: Self::V, context: Option<Self::V>, p: Parameters) -> Self::V;
    /// The state after the symbol that `entry` names, before refill.
    unsafe fn advance(state: Self::V, entry: Self::V, bits: u32) -> Self::V;
    /// As `advance`, and the symbol, of an entry of [`signed`](crate::entropy::signed) tables.
    unsafe fn advance_signed(state: Self::V, entry: Self::V, bits: u32) -> (Self::V, Self::V);
    /// Writes the low byte of every lane to `to`, `G * WIDTH` bytes.
    unsafe fn store_symbols<const G: usize>(entries: [Self::V; G], to: *mut u8);
    /// Refills in lane order from the words at `from`, of which `2 * WIDTH` bytes may be read;
    /// also gives the bytes taken.
    unsafe fn refill(state: Self::V, from: *const u8) -> (Self::V, usize);
}

/// Table geometry, as a look-up needs it: `bits` of a slot.
#[derive(Clone, Copy)]
pub(super) struct Parameters {
    pub(super) bits: u32,
    pub(super) context_mask: u32,
}

/// The step that looks symbols up. For each vector of `WIDTH` lanes, `G = 32 / WIDTH` of them:
///
/// ```text
/// entry  = table[context << bits | state & (2^bits - 1)]        a load a lane
/// symbol = entry & 0xff                                         narrow and store
/// state  = (state >> bits) * (entry >> 20) + (entry >> 8 & 0xfff)
/// where state < 2^16: state = state << 16 | next word           expand, advance
/// ```
///
/// With signed tables the symbol's low bits are those of the new state, before words.
pub(super) struct LookUp<L, const G: usize, const CONTEXTS: bool, const SIGNED: bool> {
    entries: *const u32,
    parameters: Parameters,
    lanes: std::marker::PhantomData<L>,
}

impl<L, const G: usize, const CONTEXTS: bool, const SIGNED: bool> LookUp<L, G, CONTEXTS, SIGNED> {
    pub(super) fn new(tables: &DecodeTables) -> Self {
        let parameters = Parameters {
            bits: tables.prob_bits(),
            context_mask: tables.count() as u32 - 1,
        };
        Self {
            entries: tables.entries().as_ptr(),
            parameters,
            lanes: std::marker::PhantomData,
        }
    }
}

// SAFETY: vectors are `G * WIDTH` states, 32. Entries exist for every masked context and slot (invariant of
// `DecodeTables`). Each refill reads no further than `2 * WIDTH` bytes beyond the words of the vectors before it,
// so within the 64 of the step.
unsafe impl<L: Lanes, const G: usize, const C: bool, const S: bool, const K: usize> Step<K> for LookUp<L, G, C, S> {
    type States = [L::V; G];

    #[inline(always)]
    unsafe fn load(from: *const u32) -> [L::V; G] {
        const { assert!(G * L::WIDTH == LANES) };
        // SAFETY: the caller's.
        unsafe {
            let mut states = [L::load(from); G];
            for (g, state) in states.iter_mut().enumerate() {
                *state = L::load(from.add(g * L::WIDTH));
            }
            states
        }
    }

    #[inline(always)]
    unsafe fn store(states: [L::V; G], to: *mut u32) {
        for (g, state) in states.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { L::store(state, to.add(g * L::WIDTH)) };
        }
    }

    #[inline(always)]
    unsafe fn step(&self, states: &mut [[L::V; G]; K], streams: &mut Streams<K>) {
        let bits = self.parameters.bits;
        for (k, states) in states.iter_mut().enumerate() {
            let mut found = *states;
            for (g, found) in found.iter_mut().enumerate() {
                let at = streams.done + g * L::WIDTH;
                // SAFETY: the caller's.
                *found = unsafe {
                    let context = C.then(|| L::load_contexts(streams.contexts[k].add(at)));
                    L::look_up(self.entries, *found, context, self.parameters)
                };
            }
            if S {
                for (state, found) in states.iter_mut().zip(&mut found) {
                    // SAFETY: the caller's.
                    (*state, *found) = unsafe { L::advance_signed(*state, *found, bits) };
                }
            }
            // SAFETY: the caller's.
            unsafe { L::store_symbols(found, streams.symbols[k].add(streams.done)) };
            for (state, found) in states.iter_mut().zip(found) {
                // SAFETY: the caller's.
                unsafe {
                    let moved = if S { *state } else { L::advance(*state, found, bits) };
                    let taken;
                    (*state, taken) = L::refill(moved, streams.words[k]);
                    streams.words[k] = streams.words[k].add(taken);
                }
            }
        }
    }
}

/// Writes the entry point of a step, `decode(tables, runs)`, over the streams in flight, whether there are
/// contexts, and whether tables are signed, which needs contexts: `entry_point!(Step, is available, [numbers in flight], "instructions", ...)`. Runs are taken in
/// groups of the largest number; that and what is left must be among the numbers.
macro_rules! entry_point {
    ($step:ident, $available:expr, [$($in_flight:literal),+], $($feature:literal),+) => {
        pub(super) fn decode(tables: &$crate::entropy::DecodeTables, runs: &mut [super::Run]) {
            const WIDEST: usize = *[$($in_flight),+].last().unwrap();
            for group in runs.chunks_mut(WIDEST) {
                assert!($available);
                // SAFETY: the assertion shows that the CPU has the instructions.
                match (group.len(), group[0].contexts.is_empty(), tables.is_signed()) {
                    $(($in_flight, true, false) => unsafe { in_flight::<$in_flight, false, false>(tables, group) },)+
                    $(($in_flight, false, false) => unsafe { in_flight::<$in_flight, true, false>(tables, group) },)+
                    $(($in_flight, false, true) => unsafe { in_flight::<$in_flight, true, true>(tables, group) },)+
                    _ => unreachable!("not a number in flight"),
                }
            }
        }

        /// # Safety
        /// The CPU must have the instructions named here.
        $(#[target_feature(enable = $feature)])+
        unsafe fn in_flight<const K: usize, const CONTEXTS: bool, const SIGNED: bool>(
            tables: &$crate::entropy::DecodeTables,
            runs: &mut [super::Run],
        ) {
            // SAFETY: the instructions of the step are those enabled here.
            unsafe { super::vector::run::<_, K>(&$step::<CONTEXTS, SIGNED>::new(tables), tables, runs) }
        }
    };
}
pub(super) use entry_point;
