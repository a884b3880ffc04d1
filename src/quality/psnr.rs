//! Peak signal to noise ratio.

use crate::frame::PlaneView;

/// The sum of squared differences of two planes of one size and depth.
pub fn squared_error(a: &PlaneView, b: &PlaneView) -> u64 {
    assert_eq!((a.width(), a.height(), a.bytes_per_sample()), (b.width(), b.height(), b.bytes_per_sample()));
    let rows = 0..a.height();
    if a.bytes_per_sample() == 1 {
        rows.map(|y| row_u8(a.row_bytes(y), b.row_bytes(y))).sum()
    } else {
        rows.map(|y| row_u16(a.row_u16(y), b.row_u16(y))).sum()
    }
}

/// In 32 bits as long as they hold it, which lets the compiler use wide registers: 65536 samples of 255 squared.
fn row_u8(a: &[u8], b: &[u8]) -> u64 {
    let chunks = a.chunks(65_536).zip(b.chunks(65_536));
    chunks
        .map(|(a, b)| {
            let squares = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)) * u32::from(a.abs_diff(*b)));
            u64::from(squares.sum::<u32>())
        })
        .sum()
}

fn row_u16(a: &[u16], b: &[u16]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)) * u64::from(a.abs_diff(*b))).sum()
}

/// `10 log10(peak^2 / mean squared error)`, infinite without an error.
pub fn psnr(squared_error: u64, n_samples: u64, peak: u16) -> f64 {
    if squared_error == 0 {
        return f64::INFINITY;
    }
    let mean = squared_error as f64 / n_samples.max(1) as f64;
    10.0 * (f64::from(peak) * f64::from(peak) / mean).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_give_known_figures() {
        assert_eq!(psnr(0, 64, 255), f64::INFINITY);
        assert!((psnr(64, 64, 255) - 48.1308).abs() < 1e-4);
        assert!((psnr(64, 64, 1023) - 60.1975).abs() < 1e-4);
        assert!((psnr(1, 1920 * 1080, 255) - 111.2985).abs() < 1e-3);
    }

    #[test]
    fn rows_of_any_length_and_the_worst_error_do_not_overflow() {
        for length in [0, 1, 7, 65_535, 65_536, 65_537] {
            assert_eq!(row_u8(&vec![0; length], &vec![255; length]), 65_025 * length as u64);
            assert_eq!(row_u16(&vec![u16::MAX; length], &vec![0; length]), 65_535 * 65_535 * length as u64);
        }
    }

    #[test]
    fn padding_between_rows_does_not_count() {
        let (a, b) = ([1, 2, 9, 3, 4, 9], [1, 2, 0, 3, 6, 0]);
        let view = |data| PlaneView::new(data, 3, 2, 2, 1).unwrap();
        assert_eq!(squared_error(&view(&a), &view(&b)), 4);
    }
}
