//! The comparisons for AVX-512: a vector of each row at a time, down the rows; the truth finishes the row of blocks.

use std::arch::x86_64::*;

use super::{Rows, scalar};
use crate::simd::cpu::Avx512;

pub(super) fn differing<const N: usize>(_: Avx512, rows: Rows<u8, N>, bits: &mut [u64]) {
    // SAFETY: the proof exists only where the CPU has these instructions.
    let done = unsafe { differing_in_vectors(rows, bits) };
    scalar::differing_from(rows, done, bits);
}

pub(super) fn errors_u8<const N: usize>(_: Avx512, rows: Rows<u8, N>, sums: &mut [u64]) {
    // SAFETY: the proof exists only where the CPU has these instructions.
    let done = unsafe { errors_u8_in_vectors(rows, sums) };
    scalar::errors_u8_from(rows, done, sums);
}

pub(super) fn errors_u16<const N: usize>(_: Avx512, rows: Rows<u16, N>, sums: &mut [u64]) {
    // SAFETY: the proof exists only where the CPU has these instructions.
    let done = unsafe { errors_u16_in_vectors(rows, sums) };
    scalar::errors_u16_from(rows, done, sums);
}

/// How many blocks it did; so do those that follow.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi2")]
fn differing_in_vectors<const N: usize>(rows: Rows<u8, N>, bits: &mut [u64]) -> usize {
    let n_vectors = rows.length() / 64;
    for vector in 0..n_vectors {
        let mut any = _mm512_setzero_si512();
        for y in 0..rows.n {
            let difference = _mm512_xor_si512(load(rows.one[y], vector), load(rows.other[y], vector));
            any = _mm512_or_si512(any, difference);
        }
        // A bit for each 8 bytes; those of a block are folded into its lowest.
        let words = u32::from(_mm512_test_epi64_mask(any, any));
        let blocks = match N {
            8 => words,
            16 => _pext_u32(words | words >> 1, 0x55),
            _ => _pext_u32(words | words >> 1 | words >> 2 | words >> 3, 0x11),
        };
        let block = vector * 64 / N;
        bits[block / 64] |= u64::from(blocks) << (block % 64);
    }
    n_vectors * 64 / N
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi2")]
fn errors_u8_in_vectors<const N: usize>(rows: Rows<u8, N>, sums: &mut [u64]) -> usize {
    let n_vectors = rows.length() / 32;
    for vector in 0..n_vectors {
        // A lane of 32 bits sums two samples of each row, at most 8 * 2 * 255^2.
        let mut squares = _mm512_setzero_si512();
        for y in 0..rows.n {
            let difference = _mm512_sub_epi16(load_wide(rows.one[y], vector), load_wide(rows.other[y], vector));
            squares = _mm512_add_epi32(squares, _mm512_madd_epi16(difference, difference));
        }
        // Four lanes to a block of 8.
        squares = _mm512_add_epi32(squares, _mm512_shuffle_epi32::<0b01_00_11_10>(squares));
        squares = _mm512_add_epi32(squares, _mm512_shuffle_epi32::<0b10_11_00_01>(squares));
        let blocks = _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, squares));
        put::<N>(_mm256_cvtepu32_epi64(blocks), vector, sums);
    }
    n_vectors * 32 / N
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi2")]
fn errors_u16_in_vectors<const N: usize>(rows: Rows<u16, N>, sums: &mut [u64]) -> usize {
    let n_vectors = rows.length() / 32;
    let low = _mm512_set1_epi64(0xFFFF);
    for vector in 0..n_vectors {
        let mut squares = _mm512_setzero_si512();
        for y in 0..rows.n {
            let (one, other) = (load(rows.one[y], vector), load(rows.other[y], vector));
            let difference = _mm512_or_si512(_mm512_subs_epu16(one, other), _mm512_subs_epu16(other, one));
            // The four samples of a lane of 64 bits, one after the other.
            let first = _mm512_and_si512(difference, low);
            let second = _mm512_and_si512(_mm512_srli_epi64::<16>(difference), low);
            let third = _mm512_and_si512(_mm512_srli_epi64::<32>(difference), low);
            let fourth = _mm512_srli_epi64::<48>(difference);
            let halves = (
                _mm512_add_epi64(_mm512_mul_epu32(first, first), _mm512_mul_epu32(second, second)),
                _mm512_add_epi64(_mm512_mul_epu32(third, third), _mm512_mul_epu32(fourth, fourth)),
            );
            squares = _mm512_add_epi64(squares, _mm512_add_epi64(halves.0, halves.1));
        }
        // Two lanes to a block of 8.
        squares = _mm512_add_epi64(squares, _mm512_shuffle_epi32::<0b01_00_11_10>(squares));
        put::<N>(_mm512_castsi512_si256(_mm512_maskz_compress_epi64(0x55, squares)), vector, sums);
    }
    n_vectors * 32 / N
}

/// Writes the sums of four blocks of 8 samples, or of two of 16.
#[target_feature(enable = "avx512f")]
fn put<const N: usize>(blocks: __m256i, vector: usize, sums: &mut [u64]) {
    let mut four = [0; 4];
    // SAFETY: the array holds 32 bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), blocks) };
    match N {
        8 => sums[vector * 4..][..4].copy_from_slice(&four),
        _ => sums[vector * 2..][..2].copy_from_slice(&[four[0] + four[1], four[2] + four[3]]),
    }
}

/// Vector number `vector` of a row, 64 bytes.
#[target_feature(enable = "avx512f")]
fn load<T: bytemuck::Pod>(row: &[T], vector: usize) -> __m512i {
    let n = 64 / size_of::<T>();
    let samples = &row[vector * n..(vector + 1) * n];
    // SAFETY: the slice holds 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(samples.as_ptr().cast()) }
}

/// Vector number `vector` of a row as numbers of 16 bits, 32 bytes.
#[target_feature(enable = "avx512f,avx512bw")]
fn load_wide(row: &[u8], vector: usize) -> __m512i {
    let samples = &row[vector * 32..(vector + 1) * 32];
    // SAFETY: the slice holds 32 bytes, and the load needs no alignment.
    _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) })
}
