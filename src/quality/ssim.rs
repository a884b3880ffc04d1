//! Structural similarity (Wang et al. 2004) as x264 and FFmpeg's `ssim` filter compute it: the mean over windows of 8x8
//! samples that step by 4, unweighted. Their constants are kept, so that figures agree.
//!
//! Sums are taken over blocks of 4x4, and a window adds up four of them; two rows of blocks are held at a time.

use crate::frame::PlaneView;

/// Sums over a block or window.
#[derive(Clone, Copy, Default)]
struct Sums {
    a: u64,
    b: u64,
    /// Of the squares of both.
    squares: u64,
    products: u64,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.a += other.a;
        self.b += other.b;
        self.squares += other.squares;
        self.products += other.products;
    }

    /// The similarity of a window of `n` samples.
    fn similarity(&self, n: u64, peak: u16) -> f64 {
        let (n, peak) = (n as f64, f64::from(peak));
        // Rounded as there, where they are integers.
        let c1 = (0.01 * 0.01 * peak * peak * n + 0.5).floor();
        let c2 = (0.03 * 0.03 * peak * peak * n * (n - 1.0) + 0.5).floor();
        let (a, b) = (self.a as f64, self.b as f64);
        let variances = self.squares as f64 * n - a * a - b * b;
        let covariance = self.products as f64 * n - a * b;
        let of_means = (2.0 * a * b + c1) / (a * a + b * b + c1);
        // A single sample has no variance.
        if n < 2.0 { of_means } else { of_means * (2.0 * covariance + c2) / (variances + c2) }
    }
}

/// The similarity of two planes of one size and depth, at most 1. A plane narrower or lower than a window is one window.
pub fn ssim(a: &PlaneView, b: &PlaneView, peak: u16) -> f64 {
    assert_eq!((a.width(), a.height(), a.bytes_per_sample()), (b.width(), b.height(), b.bytes_per_sample()));
    match a.bytes_per_sample() {
        1 => mean(a.width(), a.height(), peak, &|y| (a.row_bytes(y), b.row_bytes(y))),
        _ => mean(a.width(), a.height(), peak, &|y| (a.row_u16(y), b.row_u16(y))),
    }
}

fn mean<'p, T: Copy + Into<u32> + 'p>(
    width: usize,
    height: usize,
    peak: u16,
    rows: &dyn Fn(usize) -> (&'p [T], &'p [T]),
) -> f64 {
    let (columns, lines) = (width / 4, height / 4);
    if columns < 2 || lines < 2 {
        let mut whole = Sums::default();
        (0..height).for_each(|y| add_row(std::slice::from_mut(&mut whole), width, rows(y)));
        return whole.similarity((width * height) as u64, peak);
    }
    let (mut above, mut below) = (vec![Sums::default(); columns], vec![Sums::default(); columns]);
    let mut total = 0.0;
    for line in 0..lines {
        std::mem::swap(&mut above, &mut below);
        below.fill(Sums::default());
        (line * 4..line * 4 + 4).for_each(|y| add_row(&mut below, 4, rows(y)));
        if line == 0 {
            continue;
        }
        for x in 1..columns {
            let mut window = above[x];
            [above[x - 1], below[x - 1], below[x]].iter().for_each(|block| window.add(block));
            total += window.similarity(64, peak);
        }
    }
    total / ((columns - 1) * (lines - 1)) as f64
}

/// Adds a row of samples to the blocks of `width` samples that it crosses; what is left at its end belongs to none.
fn add_row<T: Copy + Into<u32>>(blocks: &mut [Sums], width: usize, (a, b): (&[T], &[T])) {
    for (block, (a, b)) in blocks.iter_mut().zip(a.chunks_exact(width).zip(b.chunks_exact(width))) {
        for (a, b) in a.iter().zip(b) {
            let (a, b): (u64, u64) = (u64::from((*a).into()), u64::from((*b).into()));
            block.a += a;
            block.b += b;
            block.squares += a * a + b * b;
            block.products += a * b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &[u8], b: &[u8], width: usize) -> f64 {
        let view = |data| PlaneView::new(data, width, width, a.len() / width, 1).unwrap();
        ssim(&view(a), &view(b), 255)
    }

    #[test]
    fn identical_planes_of_any_size_have_one() {
        for (width, height) in [(1, 1), (3, 9), (8, 8), (9, 17), (31, 12)] {
            let plane: Vec<u8> = (0..width * height).map(|i| (i * 89 % 251) as u8).collect();
            assert!((of(&plane, &plane, width) - 1.0).abs() < 1e-12, "{width}x{height}");
        }
    }

    #[test]
    fn flat_planes_differ_by_their_means_alone() {
        let expected = (2.0 * 6400.0 * 12_800.0 + 416.0) / (6400.0_f64.powi(2) + 12_800.0_f64.powi(2) + 416.0);
        assert!((of(&[100; 64], &[200; 64], 8) - expected).abs() < 1e-12);
        assert!((of(&[100; 640], &[200; 640], 32) - expected).abs() < 1e-12);
    }

    #[test]
    fn an_inverted_plane_is_unlike_and_noise_lies_between() {
        let plane: Vec<u8> = (0..32 * 32).map(|i| (i * 89 % 251) as u8).collect();
        let inverted: Vec<u8> = plane.iter().map(|value| 255 - value).collect();
        let noisy: Vec<u8> = plane.iter().enumerate().map(|(i, value)| value / 2 + (i * 37 % 127) as u8).collect();
        assert!(of(&plane, &inverted, 32) < 0.0);
        assert!((0.0..1.0).contains(&of(&plane, &noisy, 32)));
    }

    #[test]
    fn sixteen_bits_at_their_worst_do_not_overflow() {
        let (a, b) = ([u16::MAX; 8], [0_u16; 8]);
        assert!(mean(8, 8, u16::MAX, &|_| (&a[..], &b[..])) < 0.01);
    }
}
