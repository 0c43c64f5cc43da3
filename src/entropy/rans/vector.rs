//! The vector decoder, written once over a handful of operations.
//!
//! One step, for each vector of `WIDTH` lanes:
//!
//! ```text
//! entry  = table[context << bits | state & (2^bits - 1)]        gather
//! symbol = entry & 0xff                                         narrow and store
//! state  = (state >> bits) * (entry >> 20) + (entry >> 8 & 0xfff)
//! where state < 2^16: state = state << 16 | next word           expand, advance
//! ```
#![allow(unsafe_code)]

use super::{LANES, Run, scalar};
use crate::entropy::DecodeTables;

/// What an instruction set brings: a vector of `WIDTH` unsigned 32-bit lanes.
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
    /// Writes the low byte of every lane to `to`, `WIDTH` bytes.
    unsafe fn store_symbols(entry: Self::V, to: *mut u8);
    /// Refills in lane order from the words at `from`, of which `2 * WIDTH` bytes may be read;
    /// also gives the bytes taken.
    unsafe fn refill(state: Self::V, from: *const u8) -> (Self::V, usize);
}

/// Table geometry, as a step needs it.
#[derive(Clone, Copy)]
pub(super) struct Parameters {
    pub(super) bits: u32,
    pub(super) context_mask: u32,
}

/// Decodes `K` runs in lockstep; `G = 32 / WIDTH` vectors hold the lanes of one.
///
/// # Safety
/// The CPU must have the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn decode<L: Lanes, const G: usize, const K: usize, const CONTEXTS: bool>(
    tables: &DecodeTables,
    runs: &mut [Run],
) {
    assert!(runs.len() == K && G * L::WIDTH == LANES);
    let p = Parameters {
        bits: tables.prob_bits(),
        context_mask: tables.count() as u32 - 1,
    };
    let entries = tables.entries().as_ptr();
    let len = runs[0].symbols.len();
    let mut done = 0;
    // SAFETY: states are 32 words. Entries exist for every masked context and slot (invariant of
    // `DecodeTables`). Inside the loop `done + 32 <= len`, and `decode` in `mod.rs` has checked that
    // symbols and contexts of every run have `len` bytes. A stream is read only in the `steps` that
    // `safe_steps` allows: at most 64 bytes are taken a step, and each refill reads no further than
    // 2 * WIDTH bytes beyond the position of its vector, so within the step's 64.
    unsafe {
        let mut states: [[L::V; G]; K] =
            std::array::from_fn(|k| std::array::from_fn(|g| L::load(runs[k].stream.states.as_ptr().add(g * L::WIDTH))));
        let bases: [*const u8; K] = std::array::from_fn(|k| runs[k].stream.bytes.as_ptr());
        let contexts: [*const u8; K] = std::array::from_fn(|k| runs[k].contexts.as_ptr());
        let symbols: [*mut u8; K] = std::array::from_fn(|k| runs[k].symbols.as_mut_ptr());
        let mut from: [*const u8; K] = std::array::from_fn(|k| bases[k].add(runs[k].stream.position));
        loop {
            let left = (len - done) / LANES;
            let steps = runs.iter().fold(left, |steps, run| steps.min(run.stream.safe_steps()));
            if steps == 0 {
                break;
            }
            for _ in 0..steps {
                for k in 0..K {
                    for g in 0..G {
                        let at = done + g * L::WIDTH;
                        let context = CONTEXTS.then(|| L::load_contexts(contexts[k].add(at)));
                        let entry = L::look_up(entries, states[k][g], context, p);
                        L::store_symbols(entry, symbols[k].add(at));
                        let (state, taken) = L::refill(L::advance(states[k][g], entry, p.bits), from[k]);
                        states[k][g] = state;
                        from[k] = from[k].add(taken);
                    }
                }
                done += LANES;
            }
            for k in 0..K {
                runs[k].stream.position = from[k].offset_from(bases[k]) as usize;
            }
        }
        for k in 0..K {
            for g in 0..G {
                L::store(states[k][g], runs[k].stream.states.as_mut_ptr().add(g * L::WIDTH));
            }
        }
    }
    if done < len {
        runs.iter_mut().for_each(|run| scalar::decode(tables, run, done));
    }
}

/// Writes the entry point of an instruction set: `decode(tables, runs)`, over the runs in flight.
macro_rules! entry_point {
    ($lanes:ty, $groups:literal, $backend:expr, $($feature:literal),+) => {
        pub(super) fn decode(tables: &$crate::entropy::DecodeTables, runs: &mut [super::Run]) {
            assert!($backend.is_available());
            let contexts = runs.first().is_some_and(|run| !run.contexts.is_empty());
            // SAFETY: the assertion shows that the CPU has the instructions.
            unsafe {
                match (runs.len(), contexts) {
                    (1, false) => in_flight::<1, false>(tables, runs),
                    (2, false) => in_flight::<2, false>(tables, runs),
                    (3, false) => in_flight::<3, false>(tables, runs),
                    (4, false) => in_flight::<4, false>(tables, runs),
                    (1, true) => in_flight::<1, true>(tables, runs),
                    (2, true) => in_flight::<2, true>(tables, runs),
                    (3, true) => in_flight::<3, true>(tables, runs),
                    (4, true) => in_flight::<4, true>(tables, runs),
                    _ => unreachable!("1 to 4 runs, checked by the caller"),
                }
            }
        }

        /// # Safety
        /// The CPU must have the instructions named here.
        $(#[target_feature(enable = $feature)])+
        unsafe fn in_flight<const K: usize, const CONTEXTS: bool>(
            tables: &$crate::entropy::DecodeTables,
            runs: &mut [super::Run],
        ) {
            // SAFETY: the instructions of the lanes are those enabled here.
            unsafe { super::vector::decode::<$lanes, $groups, K, CONTEXTS>(tables, runs) }
        }
    };
}
pub(super) use entry_point;
