//! Every backend against the scalar one, and the coder against itself.

use super::*;
use crate::entropy::signed::{self, OF_MAGNITUDE};
use crate::entropy::{EncodeTables, Frequencies};
use proptest::prelude::*;

fn xorshift(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

struct Case {
    tables: Vec<Frequencies>,
    symbols: Vec<u8>,
    contexts: Vec<u8>,
    seeds: Seeds,
    /// Whether tables are of tokens, and symbols of signed integers.
    signed: bool,
}

/// Geometric-like symbols under a few tables.
fn case(seed: u64, len: usize, count: usize, prob_bits: u32, spread: u32) -> Case {
    let mut s = seed | 1;
    let contexts: Vec<u8> = (0..len).map(|_| (xorshift(&mut s) % count as u64) as u8).collect();
    let symbols: Vec<u8> = contexts
        .iter()
        .map(|&c| {
            let x = xorshift(&mut s);
            ((x.trailing_zeros() << spread) as u8)
                .wrapping_add((x >> 40 & ((1 << spread) - 1)) as u8)
                .wrapping_add(c)
        })
        .collect();
    let mut counts = vec![[0u64; 256]; count];
    contexts
        .iter()
        .zip(&symbols)
        .for_each(|(&c, &s)| counts[usize::from(c)][usize::from(s)] += 1);
    let tables = counts.iter().map(|c| Frequencies::normalise(c, prob_bits)).collect();
    Case {
        tables,
        symbols,
        contexts,
        seeds: std::array::from_fn(|_| xorshift(&mut s) as u16),
        signed: false,
    }
}

/// As `case`, of signed integers.
fn signed_case(seed: u64, len: usize, count: usize, prob_bits: u32, spread: u32) -> Case {
    let mut case = case(seed, len, count, prob_bits.min(11), spread);
    let mut counts = vec![[0u64; 256]; count];
    for (&context, symbol) in case.contexts.iter().zip(&mut case.symbols) {
        // There is no 0 below 0.
        *symbol = if *symbol == 1 { 0 } else { *symbol };
        counts[usize::from(context)][usize::from(OF_MAGNITUDE[usize::from(*symbol / 2)])] += 1;
    }
    case.tables = counts.iter().map(|c| signed::normalise(c, prob_bits.min(11))).collect();
    case.signed = true;
    case
}

impl Case {
    fn decode_tables(&self) -> DecodeTables {
        match self.signed {
            false => DecodeTables::new(&self.tables),
            true => DecodeTables::signed(&self.tables),
        }
        .unwrap()
    }

    fn encode_tables(&self) -> EncodeTables {
        match self.signed {
            false => EncodeTables::new(&self.tables),
            true => EncodeTables::signed(&self.tables),
        }
    }

    fn encode(&self) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        let contexts = if self.tables.len() == 1 && !self.signed {
            &[][..]
        } else {
            &self.contexts
        };
        encode(
            Backend::Scalar,
            &self.encode_tables(),
            &self.symbols,
            contexts,
            &self.seeds,
            &mut Vec::new(),
            &mut out,
        );
        let words = out.len() - STATES_BYTES;
        (out, words)
    }

    /// Contexts of whole steps, as `decode` takes them.
    fn padded_contexts(&self) -> Vec<u8> {
        let mut contexts = if self.tables.len() == 1 && !self.signed {
            vec![]
        } else {
            self.contexts.clone()
        };
        if !contexts.is_empty() {
            contexts.resize(contexts.len().next_multiple_of(LANES), 0);
        }
        contexts
    }
}

fn decode_copies(backend: Backend, case: &Case, bytes: &[u8], words: usize, copies: usize) -> Vec<Vec<u8>> {
    let tables = case.decode_tables();
    let contexts = case.padded_contexts();
    let padded = case.symbols.len().next_multiple_of(LANES);
    let mut outputs = vec![vec![0xaau8; padded]; copies];
    let mut streams = vec![Stream::new(bytes).unwrap(); copies];
    // In two pieces, so that a stream is also resumed.
    let cut = padded / 2 / LANES * LANES;
    for range in [0..cut, cut..padded] {
        let mut runs: Vec<Run> = streams
            .iter_mut()
            .zip(&mut outputs)
            .map(|(stream, out)| Run {
                stream,
                contexts: if contexts.is_empty() {
                    &[]
                } else {
                    &contexts[range.clone()]
                },
                symbols: &mut out[range.clone()],
                ahead: &[],
            })
            .collect();
        decode(backend, &tables, &mut runs);
    }
    for stream in streams {
        assert_eq!(stream.finish(words).unwrap(), case.seeds);
    }
    outputs.iter_mut().for_each(|out| out.truncate(case.symbols.len()));
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_backend_decodes_what_was_encoded(
        seed: u64, len in 0usize..3000, count in 1usize..=16, prob_bits in 8u32..=12, spread in 0u32..=5,
        copies in 1usize..=MAX_IN_FLIGHT, signed: bool,
    ) {
        let case = if signed { signed_case } else { case }(seed, len, count, prob_bits, spread);
        let (bytes, words) = case.encode();
        for backend in Backend::available() {
            for out in decode_copies(backend, &case, &bytes, words, copies) {
                prop_assert_eq!(&out, &case.symbols, "{}", backend);
            }
        }
    }

    #[test]
    fn damaged_streams_end_alike_on_every_backend(
        bytes in proptest::collection::vec(any::<u8>(), STATES_BYTES..2000), len in 1usize..40, signed: bool,
    ) {
        let case = if signed { signed_case } else { case }(7, 4096, 4, 11, 2);
        let tables = case.decode_tables();
        let contexts = vec![1u8; len * LANES];
        let mut expected = None;
        for backend in Backend::available() {
            for copies in [1, 4] {
                let mut streams = vec![Stream::new(&bytes).unwrap(); copies];
                let mut symbols = vec![vec![0u8; len * LANES]; copies];
                let mut runs: Vec<Run> = streams
                    .iter_mut()
                    .zip(&mut symbols)
                    .map(|(stream, symbols)| Run { stream, contexts: &contexts, symbols, ahead: &[] })
                    .collect();
                decode(backend, &tables, &mut runs);
                for (stream, symbols) in streams.into_iter().zip(symbols) {
                    let outcome = (symbols, stream.states, stream.position, stream.overrun);
                    prop_assert_eq!(expected.get_or_insert_with(|| outcome.clone()), &outcome, "{}", backend);
                }
            }
        }
    }
}

#[test]
fn the_vector_algorithm_runs_on_a_plain_array() {
    #[allow(unsafe_code)]
    fn run<const CONTEXTS: bool, const SIGNED: bool>(tables: &DecodeTables, run: Run) {
        let step = vector::LookUp::<portable::Portable, 8, CONTEXTS, SIGNED>::new(tables);
        // SAFETY: plain arrays need no special instructions.
        unsafe { vector::run::<_, 1>(&step, tables, &mut [run]) }
    }
    let cases = [
        case(11, 5000, 1, 11, 2),
        case(11, 4999, 4, 11, 2),
        signed_case(11, 4999, 4, 11, 2),
    ];
    for case in cases {
        let (bytes, words) = case.encode();
        let tables = case.decode_tables();
        let contexts = case.padded_contexts();
        let mut stream = Stream::new(&bytes).unwrap();
        let mut symbols = vec![0u8; case.symbols.len().next_multiple_of(LANES)];
        let of_case = Run {
            stream: &mut stream,
            contexts: &contexts,
            symbols: &mut symbols,
            ahead: &[],
        };
        match (contexts.is_empty(), tables.is_signed()) {
            (true, _) => run::<false, false>(&tables, of_case),
            (false, false) => run::<true, false>(&tables, of_case),
            (false, true) => run::<true, true>(&tables, of_case),
        }
        assert_eq!(stream.finish(words).unwrap(), case.seeds);
        assert_eq!(symbols[..case.symbols.len()], case.symbols);
    }
}

#[test]
fn the_coded_size_is_the_tables_cost() {
    let case = case(3, 1 << 16, 4, 11, 2);
    let (_, words) = case.encode();
    let mut counts = vec![[0u64; 256]; 4];
    case.contexts
        .iter()
        .zip(&case.symbols)
        .for_each(|(&c, &s)| counts[usize::from(c)][usize::from(s)] += 1);
    let ideal: f64 = case
        .tables
        .iter()
        .zip(&counts)
        .map(|(t, c)| t.cost(c) as f64 / 65536.0)
        .sum();
    // Start states hold 16 bits of seed each, which the words do not pay for.
    let got = (8 * words) as f64;
    assert!(
        (got - ideal).abs() < 32.0 * 16.0 + ideal * 1e-4,
        "{got} bits for {ideal}"
    );
}

/// The encoder as textbooks have it: with a division.
fn textbook(tables: &[Frequencies], symbols: &[u8], contexts: &[u8], states: &mut [u32; LANES]) -> Vec<[u8; 2]> {
    let mut words = Vec::new();
    for i in (0..symbols.len()).rev() {
        let table = &tables[contexts.get(i).map_or(0, |&c| usize::from(c))];
        let freq = table.freq().map(u32::from);
        let (f, start) = (
            freq[usize::from(symbols[i])],
            freq[..usize::from(symbols[i])].iter().sum::<u32>(),
        );
        let x = &mut states[i % LANES];
        if u64::from(*x) >= u64::from(f) << (32 - table.prob_bits()) {
            words.push((*x as u16).to_le_bytes());
            *x >>= 16;
        }
        *x = (*x / f) << table.prob_bits() | (start + *x % f);
    }
    words.reverse();
    words
}

fn every_encoder_follows_the_textbook(tables: &[Frequencies], symbols: &[u8], contexts: &[u8], states: [u32; LANES]) {
    let mut expected = states;
    let words = textbook(tables, symbols, contexts, &mut expected);
    let encode_tables = EncodeTables::new(tables);
    let check = |name, encoder: encode::Steps| {
        let (mut got, mut room) = (states, vec![[0xaa; 2]; symbols.len() + 3]);
        let at = encoder(&encode_tables, symbols, contexts, &mut got, &mut room, symbols.len());
        assert_eq!((&room[at..symbols.len()], got), (&words[..], expected), "{name}");
        assert_eq!(room[symbols.len()..], [[0xaa; 2]; 3], "{name}");
    };
    check("scalar", encode::scalar);
    #[cfg(target_arch = "x86_64")]
    if encode_avx512::is_available() {
        check("avx512", encode_avx512::steps);
    }
}

proptest! {
    #[test]
    fn encoders_follow_the_textbook(
        seed: u64, len in 0usize..40, count in 1usize..=16, prob_bits in 8u32..=12, spread in 0u32..=2,
    ) {
        let case = case(seed, len * LANES, count, prob_bits, spread);
        let contexts = if count == 1 { &[][..] } else { &case.contexts };
        let states = case.seeds.map(|seed| STATE_LOW + u32::from(seed));
        every_encoder_follows_the_textbook(&case.tables, &case.symbols, contexts, states);
    }
}

#[test]
fn encoders_follow_the_textbook_for_every_frequency() {
    for prob_bits in 8..=12 {
        for f in 1..1u32 << prob_bits {
            let mut counts = [0u64; 256];
            (counts[3], counts[200]) = (u64::from(f), (1 << prob_bits) - u64::from(f));
            let tables = [Frequencies::normalise(&counts, prob_bits)];
            assert_eq!(u32::from(tables[0].freq()[3]), f);
            // Where a quotient is hardest: around the largest multiples below the limit, and the ends.
            let limit = u64::from(f) << (32 - prob_bits);
            let states = std::array::from_fn(|lane| {
                let x = match lane {
                    0..8 => limit - 1 - lane as u64,
                    8..16 => limit + lane as u64 - 8,
                    16..24 => limit - u64::from(f) * (lane as u64 - 16) - 1,
                    24..30 => limit - u64::from(f) * (lane as u64 - 24),
                    30 => u64::from(STATE_LOW),
                    _ => u64::from(u32::MAX),
                };
                x.clamp(u64::from(STATE_LOW), u64::from(u32::MAX)) as u32
            });
            every_encoder_follows_the_textbook(&tables, &[3; LANES], &[], states);
        }
    }
}
