#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wcodec_fuzz::mutated_file(data));
