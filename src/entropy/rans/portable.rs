//! A plain-array lane type: the vector algorithm without vector instructions. NEON uses its
//! look-up, which the instruction set lacks; tests run the algorithm through it on any CPU.
#![allow(unsafe_code)]

use super::scalar::signed;
use super::vector::{Lanes, Parameters};

pub(super) struct Portable;

// SAFETY: each method does what the trait says, element by element.
unsafe impl Lanes for Portable {
    type V = [u32; 4];
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const u32) -> [u32; 4] {
        // SAFETY: the caller's.
        unsafe { from.cast::<[u32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(v: [u32; 4], to: *mut u32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[u32; 4]>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_contexts(from: *const u8) -> [u32; 4] {
        // SAFETY: the caller's.
        unsafe { from.cast::<[u8; 4]>().read_unaligned() }.map(u32::from)
    }

    #[inline(always)]
    unsafe fn look_up(entries: *const u32, state: [u32; 4], context: Option<[u32; 4]>, p: Parameters) -> [u32; 4] {
        let context = context.unwrap_or([0; 4]);
        std::array::from_fn(|i| {
            let index = (context[i] & p.context_mask) << p.bits | state[i] & ((1 << p.bits) - 1);
            // SAFETY: the caller's; the index is masked to the table.
            unsafe { *entries.add(index as usize) }
        })
    }

    #[inline(always)]
    unsafe fn advance(state: [u32; 4], entry: [u32; 4], bits: u32) -> [u32; 4] {
        std::array::from_fn(|i| {
            (entry[i] >> 20)
                .wrapping_mul(state[i] >> bits)
                .wrapping_add(entry[i] >> 8 & 0xfff)
        })
    }

    #[inline(always)]
    unsafe fn advance_signed(mut state: [u32; 4], mut entry: [u32; 4], bits: u32) -> ([u32; 4], [u32; 4]) {
        for (state, entry) in state.iter_mut().zip(&mut entry) {
            (*state, *entry) = signed(*entry, *state, bits);
        }
        (state, entry)
    }

    #[inline(always)]
    unsafe fn store_symbols<const G: usize>(entries: [[u32; 4]; G], to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            to.cast::<[[u8; 4]; G]>()
                .write_unaligned(entries.map(|four| four.map(|e| e as u8)))
        }
    }

    #[inline(always)]
    unsafe fn refill(mut state: [u32; 4], from: *const u8) -> ([u32; 4], usize) {
        let mut taken = 0;
        for x in &mut state {
            if *x < super::STATE_LOW {
                // SAFETY: at most 4 words are taken, which the caller allows.
                let word = unsafe { from.add(taken).cast::<u16>().read_unaligned() };
                *x = *x << 16 | u32::from(u16::from_le(word));
                taken += 2;
            }
        }
        (state, taken)
    }
}
