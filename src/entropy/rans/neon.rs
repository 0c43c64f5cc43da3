//! 4 lanes a vector: NEON. The table look-up is four scalar loads, as NEON has no gather.
#![allow(unsafe_code)]

use super::portable::Portable;
use super::vector::{Lanes, LookUp, Parameters, entry_point};
use crate::backend::Backend;
use std::arch::aarch64::*;

struct Neon;

/// For each set of empty lanes, the bytes of the words that each lane takes (255: none).
static SPREAD: [[u8; 16]; 16] = {
    let mut table = [[255u8; 16]; 16];
    let mut set = 0;
    while set < 16 {
        let (mut lane, mut next) = (0, 0);
        while lane < 4 {
            if set >> lane & 1 == 1 {
                table[set][4 * lane] = 2 * next;
                table[set][4 * lane + 1] = 2 * next + 1;
                next += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

// SAFETY: each method is the intrinsics that do what the trait says.
unsafe impl Lanes for Neon {
    type V = uint32x4_t;
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const u32) -> uint32x4_t {
        // SAFETY: the caller's.
        unsafe { vld1q_u32(from) }
    }

    #[inline(always)]
    unsafe fn store(v: uint32x4_t, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe { vst1q_u32(to, v) }
    }

    #[inline(always)]
    unsafe fn load_contexts(from: *const u8) -> uint32x4_t {
        // SAFETY: the caller's.
        unsafe { Self::load(Portable::load_contexts(from).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn look_up(
        entries: *const u32,
        state: uint32x4_t,
        context: Option<uint32x4_t>,
        p: Parameters,
    ) -> uint32x4_t {
        let array = |v| {
            let mut out = [0u32; 4];
            // SAFETY: the array has room for the four lanes.
            unsafe { Self::store(v, out.as_mut_ptr()) };
            out
        };
        // SAFETY: the caller's.
        unsafe { Self::load(Portable::look_up(entries, array(state), context.map(array), p).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn advance(state: uint32x4_t, entry: uint32x4_t, bits: u32) -> uint32x4_t {
        // SAFETY: the caller's.
        unsafe {
            let quotient = vshlq_u32(state, vdupq_n_s32(-(bits as i32)));
            let offset = vandq_u32(vshrq_n_u32::<8>(entry), vdupq_n_u32(0xfff));
            vmlaq_u32(offset, quotient, vshrq_n_u32::<20>(entry))
        }
    }

    #[inline(always)]
    unsafe fn advance_signed(state: uint32x4_t, entry: uint32x4_t, bits: u32) -> (uint32x4_t, uint32x4_t) {
        // SAFETY: the caller's.
        unsafe {
            let quotient = vshlq_u32(state, vdupq_n_s32(-(bits as i32)));
            let offset = vandq_u32(vshrq_n_u32::<10>(entry), vdupq_n_u32(0x7ff));
            let state = vmlaq_u32(offset, quotient, vshrq_n_u32::<21>(entry));
            let raw = vreinterpretq_s32_u32(vandq_u32(entry, vdupq_n_u32(7)));
            let low = vbicq_u32(state, vshlq_u32(vdupq_n_u32(u32::MAX), raw));
            let least = vandq_u32(vshrq_n_u32::<2>(entry), vdupq_n_u32(0xfe));
            (vshlq_u32(state, vnegq_s32(raw)), vorrq_u32(least, low))
        }
    }

    #[inline(always)]
    unsafe fn store_symbols<const G: usize>(entries: [uint32x4_t; G], to: *mut u8) {
        for (g, entry) in entries.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe {
                let narrow = vmovn_u16(vcombine_u16(vmovn_u32(entry), vdup_n_u16(0)));
                let four = vget_lane_u32::<0>(vreinterpret_u32_u8(narrow));
                to.add(4 * g).cast::<u32>().write_unaligned(four);
            }
        }
    }

    #[inline(always)]
    unsafe fn refill(state: uint32x4_t, from: *const u8) -> (uint32x4_t, usize) {
        // SAFETY: the caller's: 8 bytes may be read.
        unsafe {
            let empty = vceqq_u32(vshrq_n_u32::<16>(state), vdupq_n_u32(0));
            let weights = vld1q_u32([1u32, 2, 4, 8].as_ptr());
            let set = vaddvq_u32(vandq_u32(empty, weights)) as usize;
            let words = vcombine_u8(vld1_u8(from), vdup_n_u8(0));
            let spread = vreinterpretq_u32_u8(vqtbl1q_u8(words, vld1q_u8(SPREAD[set & 15].as_ptr())));
            let filled = vorrq_u32(vshlq_n_u32::<16>(state), spread);
            (vbslq_u32(empty, filled, state), 2 * set.count_ones() as usize)
        }
    }
}

type Step<const CONTEXTS: bool, const SIGNED: bool> = LookUp<Neon, 8, CONTEXTS, SIGNED>;
entry_point!(Step, Backend::Neon.is_available(), [1, 2], "neon");
