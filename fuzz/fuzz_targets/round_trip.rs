#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wcodec_fuzz::round_trip(data));
