//! SHA-256 of 4 KiB blocks with the processor's SHA instructions, two blocks at a time.
//!
//! One block is a chain of dependent instructions that leaves the unit idle most of
//! the time; two independent chains fill it (four spill out of the registers). All blocks have the same length, so
//! they move in step and share the padding.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(any(target_arch = "x86_64", test))]
use sealpack_format::verity::BLOCK_BYTES;
use sealpack_format::verity::{LeafHash, hash_blocks_portably};

/// The fastest [`LeafHash`] of this processor.
#[must_use]
pub fn leaf_hash() -> LeafHash {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sha")
        && std::arch::is_x86_feature_detected!("ssse3")
        && std::arch::is_x86_feature_detected!("sse4.1")
    {
        return |blocks, digests| {
            // SAFETY: the three features that `hash_blocks` is compiled for were just detected.
            unsafe { hash_blocks(blocks, digests) }
        };
    }
    hash_blocks_portably
}

/// The round constants (FIPS 180-4, section 4.2.2).
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The initial hash value (FIPS 180-4, section 5.3.3).
#[cfg(target_arch = "x86_64")]
const INITIAL: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// The last message block of every 4 KiB input: a one bit, zeros, the length in bits.
#[cfg(target_arch = "x86_64")]
const PADDING: [u8; 64] = {
    let mut padding = [0; 64];
    padding[0] = 0x80;
    padding[62] = 0x80; // 4096 * 8 = 0x8000, big endian in the last eight bytes
    padding
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_blocks(blocks: &[u8], digests: &mut [[u8; 32]]) {
    let mut inputs = blocks.chunks_exact(2 * BLOCK_BYTES);
    let mut outputs = digests.chunks_exact_mut(2);
    for (input, output) in inputs.by_ref().zip(outputs.by_ref()) {
        hash_lanes::<2>(input, output);
    }
    let singles = inputs.remainder().chunks_exact(BLOCK_BYTES);
    for (input, output) in singles.zip(outputs.into_remainder().chunks_exact_mut(1)) {
        hash_lanes::<1>(input, output);
    }
}

/// Hashes `LANES` neighbouring blocks in step.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn hash_lanes<const LANES: usize>(input: &[u8], output: &mut [[u8; 32]]) {
    let [a, b, c, d, e, f, g, h] = INITIAL.map(u32::cast_signed);
    // The instructions want the state as (ABEF, CDGH), first word highest.
    let mut states = [[_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)]; LANES];
    for at in (0..BLOCK_BYTES).step_by(64) {
        compress(&mut states, |lane| &input[lane * BLOCK_BYTES + at..][..64]);
    }
    compress(&mut states, |_| &PADDING);
    for ([abef, cdgh], digest) in states.into_iter().zip(output) {
        let words = [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ];
        for (place, word) in digest.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }
}

/// One 64-byte step of every lane (FIPS 180-4, section 6.2.2; four rounds to a turn).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[inline]
fn compress<'a, const LANES: usize>(states: &mut [[__m128i; 2]; LANES], message: impl Fn(usize) -> &'a [u8]) {
    let before = *states;
    let mut words = [[_mm_setzero_si128(); 4]; LANES];
    for (lane, words) in words.iter_mut().enumerate() {
        for (word, bytes) in words.iter_mut().zip(message(lane).as_chunks::<16>().0) {
            *word = big_endian_words(bytes);
        }
    }
    for (quarter, constants) in K.as_chunks::<16>().0.iter().enumerate() {
        for turn in 0..4 {
            let [k0, k1, k2, k3] = [0, 1, 2, 3].map(|at| constants[4 * turn + at].cast_signed());
            let constants = _mm_set_epi32(k3, k2, k1, k0);
            for (words, [abef, cdgh]) in words.iter_mut().zip(states.iter_mut()) {
                if quarter > 0 {
                    let [w0, w1, w2, w3] = [0, 1, 2, 3].map(|back| words[(turn + back) % 4]);
                    let middle = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
                    words[turn] = _mm_sha256msg2_epu32(middle, w3);
                }
                let sum = _mm_add_epi32(words[turn], constants);
                *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
                *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(sum));
            }
        }
    }
    for (state, before) in states.iter_mut().zip(before) {
        *state = [_mm_add_epi32(state[0], before[0]), _mm_add_epi32(state[1], before[1])];
    }
}

/// Four big-endian words, the first in the lowest place.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3")]
#[inline]
fn big_endian_words(bytes: &[u8; 16]) -> __m128i {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    // SAFETY: the reference is to 16 readable bytes; the instruction asks for no alignment.
    let words = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm_shuffle_epi8(words, swap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_of_blocks_hashes_as_the_portable_code_does() {
        let blocks: Vec<u8> = (0..13 * BLOCK_BYTES).map(|i| ((i * i) >> 5) as u8).collect();
        for count in 0..=13 {
            let (mut fast, mut portable) = (vec![[0; 32]; count], vec![[0; 32]; count]);
            leaf_hash()(&blocks[..count * BLOCK_BYTES], &mut fast);
            hash_blocks_portably(&blocks[..count * BLOCK_BYTES], &mut portable);
            assert_eq!(fast, portable, "{count} blocks");
        }
    }
}
