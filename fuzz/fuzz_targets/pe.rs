#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sealpack_invariants::check("pe", bytes));
