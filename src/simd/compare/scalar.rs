//! The truth of the comparisons, block by block.

use super::Rows;

pub(super) fn differing<const N: usize>(rows: Rows<u8, N>, bits: &mut [u64]) {
    differing_from(rows, 0, bits);
}

pub(super) fn errors_u8<const N: usize>(rows: Rows<u8, N>, sums: &mut [u64]) {
    errors_u8_from(rows, 0, sums);
}

pub(super) fn errors_u16<const N: usize>(rows: Rows<u16, N>, sums: &mut [u64]) {
    errors_u16_from(rows, 0, sums);
}

/// From block `first` on; samples are bytes here, whatever the plane holds.
pub(super) fn differing_from<const N: usize>(rows: Rows<u8, N>, first: usize, bits: &mut [u64]) {
    for block in first..rows.n_blocks() {
        let differs = (0..rows.n).any(|y| {
            let (one, other) = rows.of_block(y, block);
            one != other
        });
        bits[block / 64] |= u64::from(differs) << (block % 64);
    }
}

/// From block `first` on. A sum is at most 8 * 16 * 255^2, 23 bits.
pub(super) fn errors_u8_from<const N: usize>(rows: Rows<u8, N>, first: usize, sums: &mut [u64]) {
    for (block, sum) in sums.iter_mut().enumerate().skip(first) {
        let mut squares = 0;
        for y in 0..rows.n {
            let (one, other) = rows.of_block(y, block);
            for (a, b) in one.iter().zip(other) {
                squares += u32::from(a.abs_diff(*b)).pow(2);
            }
        }
        *sum = squares.into();
    }
}

/// From block `first` on. A sum is at most 8 * 16 * 65535^2, 39 bits.
pub(super) fn errors_u16_from<const N: usize>(rows: Rows<u16, N>, first: usize, sums: &mut [u64]) {
    for (block, sum) in sums.iter_mut().enumerate().skip(first) {
        *sum = 0;
        for y in 0..rows.n {
            let (one, other) = rows.of_block(y, block);
            for (a, b) in one.iter().zip(other) {
                *sum += u64::from(u32::from(a.abs_diff(*b)).pow(2));
            }
        }
    }
}
