//! The comparisons for AVX2: a vector of each row at a time, down the rows; the truth finishes the row of blocks.

use std::arch::x86_64::*;

use super::{Rows, scalar};
use crate::simd::cpu::Avx2;

pub(super) fn differing<const N: usize>(_: Avx2, rows: Rows<u8, N>, bits: &mut [u64]) {
    // SAFETY: the proof exists only where the CPU has these instructions.
    let done = unsafe { differing_in_vectors(rows, bits) };
    scalar::differing_from(rows, done, bits);
}

pub(super) fn errors_u8<const N: usize>(_: Avx2, rows: Rows<u8, N>, sums: &mut [u64]) {
    // SAFETY: the proof exists only where the CPU has these instructions.
    let done = unsafe { errors_u8_in_vectors(rows, sums) };
    scalar::errors_u8_from(rows, done, sums);
}

pub(super) fn errors_u16<const N: usize>(_: Avx2, rows: Rows<u16, N>, sums: &mut [u64]) {
    // SAFETY: the proof exists only where the CPU has these instructions.
    let done = unsafe { errors_u16_in_vectors(rows, sums) };
    scalar::errors_u16_from(rows, done, sums);
}

/// How many blocks it did; so do those that follow.
#[target_feature(enable = "avx2")]
fn differing_in_vectors<const N: usize>(rows: Rows<u8, N>, bits: &mut [u64]) -> usize {
    let n_vectors = rows.length() / 32;
    for vector in 0..n_vectors {
        let mut any = _mm256_setzero_si256();
        for y in 0..rows.n {
            let difference = _mm256_xor_si256(load(rows.one[y], vector), load(rows.other[y], vector));
            any = _mm256_or_si256(any, difference);
        }
        // A bit for each 8 bytes; those of a block are folded into its lowest.
        let same = _mm256_castsi256_pd(_mm256_cmpeq_epi64(any, _mm256_setzero_si256()));
        let words = !_mm256_movemask_pd(same) & 0xF;
        let blocks = match N {
            8 => words,
            16 => (words | words >> 1) & 1 | (words >> 1 | words >> 2) & 2,
            _ => i32::from(words != 0),
        };
        let block = vector * 32 / N;
        bits[block / 64] |= (blocks as u64) << (block % 64);
    }
    n_vectors * 32 / N
}

#[target_feature(enable = "avx2")]
fn errors_u8_in_vectors<const N: usize>(rows: Rows<u8, N>, sums: &mut [u64]) -> usize {
    let n_vectors = rows.length() / 16;
    for vector in 0..n_vectors {
        // A lane of 32 bits sums two samples of each row, at most 8 * 2 * 255^2.
        let mut squares = _mm256_setzero_si256();
        for y in 0..rows.n {
            let difference = _mm256_sub_epi16(load_wide(rows.one[y], vector), load_wide(rows.other[y], vector));
            squares = _mm256_add_epi32(squares, _mm256_madd_epi16(difference, difference));
        }
        // Four lanes to a block of 8.
        squares = _mm256_add_epi32(squares, _mm256_shuffle_epi32::<0b01_00_11_10>(squares));
        squares = _mm256_add_epi32(squares, _mm256_shuffle_epi32::<0b10_11_00_01>(squares));
        let blocks = [_mm256_extract_epi32::<0>(squares) as u64, _mm256_extract_epi32::<4>(squares) as u64];
        put::<N>(blocks, vector, sums);
    }
    n_vectors * 16 / N
}

#[target_feature(enable = "avx2")]
fn errors_u16_in_vectors<const N: usize>(rows: Rows<u16, N>, sums: &mut [u64]) -> usize {
    let n_vectors = rows.length() / 16;
    let low = _mm256_set1_epi64x(0xFFFF);
    for vector in 0..n_vectors {
        let mut squares = _mm256_setzero_si256();
        for y in 0..rows.n {
            let (one, other) = (load(rows.one[y], vector), load(rows.other[y], vector));
            let difference = _mm256_or_si256(_mm256_subs_epu16(one, other), _mm256_subs_epu16(other, one));
            // The four samples of a lane of 64 bits, one after the other.
            let first = _mm256_and_si256(difference, low);
            let second = _mm256_and_si256(_mm256_srli_epi64::<16>(difference), low);
            let third = _mm256_and_si256(_mm256_srli_epi64::<32>(difference), low);
            let fourth = _mm256_srli_epi64::<48>(difference);
            let halves = (
                _mm256_add_epi64(_mm256_mul_epu32(first, first), _mm256_mul_epu32(second, second)),
                _mm256_add_epi64(_mm256_mul_epu32(third, third), _mm256_mul_epu32(fourth, fourth)),
            );
            squares = _mm256_add_epi64(squares, _mm256_add_epi64(halves.0, halves.1));
        }
        // Two lanes to a block of 8.
        squares = _mm256_add_epi64(squares, _mm256_shuffle_epi32::<0b01_00_11_10>(squares));
        let blocks = [_mm256_extract_epi64::<0>(squares) as u64, _mm256_extract_epi64::<2>(squares) as u64];
        put::<N>(blocks, vector, sums);
    }
    n_vectors * 16 / N
}

/// Writes the sums of two blocks of 8 samples, or of one of 16.
fn put<const N: usize>(blocks: [u64; 2], vector: usize, sums: &mut [u64]) {
    match N {
        8 => sums[vector * 2..][..2].copy_from_slice(&blocks),
        _ => sums[vector] = blocks[0] + blocks[1],
    }
}

/// Vector number `vector` of a row, 32 bytes.
#[target_feature(enable = "avx2")]
fn load<T: bytemuck::Pod>(row: &[T], vector: usize) -> __m256i {
    let n = 32 / size_of::<T>();
    let samples = &row[vector * n..(vector + 1) * n];
    // SAFETY: the slice holds 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

/// Vector number `vector` of a row as numbers of 16 bits, 16 bytes.
#[target_feature(enable = "avx2")]
fn load_wide(row: &[u8], vector: usize) -> __m256i {
    let samples = &row[vector * 16..(vector + 1) * 16];
    // SAFETY: the slice holds 16 bytes, and the load needs no alignment.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(samples.as_ptr().cast()) })
}
