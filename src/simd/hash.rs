//! A 128-bit hash of a rectangle of a plane, for finding pictures that were seen before.
//!
//! XXH3 of the crate xxhash-rust over the rows' bytes, without padding: of samples alone, so whoever makes keys adds
//! what else decides a result (geometry, edges, format). It is no protection against forgery. The crate is built for
//! what every processor of the target has, so there is one version for all levels.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3Default;

use crate::frame::PlaneView;

/// The hash of the samples in `columns` of `rows`.
pub fn rect(plane: &PlaneView, columns: Range<usize>, rows: Range<usize>) -> u128 {
    let bytes = columns.start * plane.bytes_per_sample()..columns.end * plane.bytes_per_sample();
    let mut hash = Xxh3Default::new();
    for y in rows {
        hash.update(&plane.row_bytes(y)[bytes.clone()]);
    }
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_hashes_as_its_bytes_in_order_whatever_the_stride() {
        let bytes: Vec<u8> = (0..97 * 40).map(|i| (i * 31 % 251) as u8).collect();
        for stride in [64, 70, 97] {
            let plane = PlaneView::new(&bytes, stride, 64, 40, 1).unwrap();
            let packed: Vec<u8> = (3..37).flat_map(|y| plane.row_bytes(y)[5..61].to_vec()).collect();
            assert_eq!(rect(&plane, 5..61, 3..37), xxhash_rust::xxh3::xxh3_128(&packed));
            assert_ne!(rect(&plane, 5..61, 3..37), rect(&plane, 5..61, 3..38));
        }
        let plane = PlaneView::new(&bytes, 96, 48, 40, 2).unwrap();
        assert_eq!(rect(&plane, 1..3, 0..1), xxhash_rust::xxh3::xxh3_128(&bytes[2..6]));
    }
}
