//! Every kernel at every level against the scalar truth: odd lengths, rows that start anywhere, random and extreme
//! samples, and what lies beyond a row untouched. Floats must be equal bit for bit.

use super::cpu::Level;
use super::luma::{Addend, Codes, CodesMut, Linear};
use super::resize::{Axis, Filter, Lines, Resizer, Sum, Sums, Taken};
use super::rgb::{Change, FromRgb, ToRgb, Whole, YuvCoding};
use super::*;
use crate::frame::{ColorMatrix, ColorRange, PlaneView};

/// Around every vector's length, and a row of a picture.
const LENGTHS: [usize; 22] = [1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 100, 127, 128, 161, 719];

/// What lies beyond a row.
const BEYOND: usize = 70;

/// Random numbers (Numerical Recipes' constants).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Samples up to `max`, a quarter of them 0 or `max`.
    fn codes(&mut self, n: usize, max: u16) -> Vec<u16> {
        let code = |value: u64| match value % 8 {
            0 => 0,
            1 => max,
            _ => ((value >> 3) % (u64::from(max) + 1)) as u16,
        };
        (0..n).map(|_| code(self.next())).collect()
    }

    /// Values around `0..scale`, some far beyond, and what is no number if `wild`.
    fn values(&mut self, n: usize, scale: f32, wild: bool) -> Vec<f32> {
        let mut value = |i: usize| match (wild, self.next() % 16, i) {
            (true, 0, _) => [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e30, -1e30, 0.5, 1.5][i % 8],
            (_, 1, _) => scale,
            (_, 2, _) => (self.next() % 4) as f32 + 0.5,
            _ => (self.next() as f32 / 2f32.powi(31) * 1.5 - 0.25) * scale,
        };
        (0..n).map(&mut value).collect()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    // One not-a-number is as good as another: which comes of two is not defined.
    values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
}

/// `run(kernels, length, start, noise)` gives the same for every level, whatever the length and the row's start.
fn check<T: PartialEq + std::fmt::Debug>(run: impl Fn(Kernels, usize, usize, &mut Noise) -> T) {
    for length in LENGTHS {
        for start in [0, 1, 5] {
            let seed = (length * 31 + start) as u64;
            let truth = run(Kernels::SCALAR, length, start, &mut Noise(seed));
            for kernels in Level::ALL.into_iter().filter_map(Kernels::at) {
                let got = run(kernels, length, start, &mut Noise(seed));
                assert!(got == truth, "{kernels:?} length {length} start {start}\n{got:?}\n{truth:?}");
            }
        }
    }
}

/// Rows of floats for a kernel to write from `start` on, with something beyond.
fn room<const N: usize>(length: usize, start: usize) -> [Vec<f32>; N] {
    [(); N].map(|()| vec![-7.25; start + length + BEYOND])
}

/// What was written, the rest being as it was.
fn written(rows: &[Vec<f32>], length: usize, start: usize) -> Vec<Vec<u32>> {
    for row in rows {
        assert!(row[..start].iter().chain(&row[start + length..]).all(|value| *value == -7.25), "written beyond");
    }
    rows.iter().map(|row| bits(&row[start..start + length])).collect()
}

/// Calls `write` with samples of 8 and of 16 bits to write and the largest code; what was written.
fn codes_written(length: usize, start: usize, mut write: impl FnMut(CodesMut, u16)) -> Vec<Vec<u16>> {
    let mut all = Vec::new();
    let mut bytes = vec![0xA5u8; start + length + BEYOND];
    write(CodesMut::U8(&mut bytes[start..start + length]), 255);
    assert!(bytes[..start].iter().chain(&bytes[start + length..]).all(|byte| *byte == 0xA5), "written beyond");
    all.push(bytes[start..start + length].iter().map(|byte| u16::from(*byte)).collect());
    for max in [255, 1023, 4095, u16::MAX] {
        let mut words = vec![0xA5A5u16; start + length + BEYOND];
        write(CodesMut::U16(&mut words[start..start + length]), max);
        assert!(words[..start].iter().chain(&words[start + length..]).all(|word| *word == 0xA5A5), "written beyond");
        all.push(words[start..start + length].to_vec());
    }
    all
}

fn narrow(codes: &[u16]) -> Vec<u8> {
    codes.iter().map(|code| *code as u8).collect()
}

const LINE: Linear = Linear { from: 16.0, gain: 1.0 / 219.0, to: 0.125 };

#[test]
fn codes_to_values() {
    check(|kernels, length, start, noise| {
        let words = noise.codes(start + 2 * length, u16::MAX);
        let bytes = narrow(&words);
        let mut all = Vec::new();
        for shift in [0, 4, 6] {
            let mut rows = room::<4>(length, start);
            let [a, b, c, d] = rows.each_mut().map(|row| &mut row[start..start + length]);
            let single = Codes::U16 { samples: &words[start..start + length], shift };
            kernels.to_values(single, LINE, a);
            kernels.to_values(Codes::U8(&bytes[start..start + length]), LINE, b);
            kernels.pairs_to_values(Codes::U16 { samples: &words[start..], shift }, LINE, [c, d]);
            all.extend(written(&rows, length, start));
            let mut rows = room::<2>(length, start);
            let [a, b] = rows.each_mut().map(|row| &mut row[start..start + length]);
            kernels.pairs_to_values(Codes::U8(&bytes[start..]), LINE, [a, b]);
            all.extend(written(&rows, length, start));
        }
        all
    });
}

#[test]
fn values_to_codes() {
    let line = Linear { from: 0.125, gain: 219.0, to: 16.0 };
    check(|kernels, length, start, noise| {
        let values = noise.values(start + length, 1.2, true);
        codes_written(length, start, |codes, max| kernels.to_codes(&values[start..], line, max, codes))
    });
}

const CODING: YuvCoding = YuvCoding { matrix: ColorMatrix::Bt709, range: ColorRange::Limited, bit_depth: 8 };

/// Sums of every number of rows that kernels know, of one plane or two.
fn sums<const P: usize>(rows: &[Vec<f32>], start: usize) -> [Sums<'_, P>; 4] {
    fn of<const N: usize, const P: usize>(rows: &[Vec<f32>], start: usize) -> [Sum<'_, N>; P] {
        std::array::from_fn(|plane| Sum {
            rows: std::array::from_fn(|k| &rows[4 * plane + k][start..]),
            weights: std::array::from_fn(|k| [-0.0625, 0.5625, 0.625, -0.125][k]),
        })
    }
    [
        Taken::One(of(rows, start)),
        Taken::Two(of(rows, start)),
        Taken::Three(of(rows, start)),
        Taken::Four(of(rows, start)),
    ]
    .map(Sums)
}

fn rows(noise: &mut Noise, n: usize, length: usize, scale: f32, wild: bool) -> Vec<Vec<f32>> {
    (0..n).map(|_| noise.values(length, scale, wild)).collect()
}

#[test]
fn codes_to_rgb() {
    check(|kernels, length, start, noise| {
        let words = noise.codes(start + length, 1023);
        let bytes = narrow(&words);
        let chroma = rows(noise, 8, start + length, 512.0, false);
        let mut all = Vec::new();
        for sums in sums(&chroma, start) {
            for luma in [Codes::U8(&bytes[start..]), Codes::U16 { samples: &words[start..], shift: 2 }] {
                let m = ToRgb::new(CODING, 0.0, 1.0);
                let mut out = room::<3>(length, start);
                kernels.to_rgb(&m, luma, sums, out.each_mut().map(|row| &mut row[start..start + length]));
                all.extend(written(&out, length, start));
            }
        }
        let mut out = room::<3>(length, start);
        let [luma, cb, cr] = [0, 1, 2].map(|row: usize| &chroma[row][start..]);
        let rgb = out.each_mut().map(|row| &mut row[start..start + length]);
        kernels.values_to_rgb(&ToRgb::new(CODING, 0.0, 255.0), luma, [cb, cr], rgb);
        all.extend(written(&out, length, start));
        all
    });
}

#[test]
fn rgb_to_codes() {
    check(|kernels, length, start, noise| {
        let words = noise.codes(start + length, 1023);
        let bytes = narrow(&words);
        let values = rows(noise, 7, start + length, 1.0, true);
        let [r, g, b, was_r, was_g, was_b, base] = std::array::from_fn(|k| &values[k][start..]);
        let m = FromRgb::new(CODING, 0.0, 1.0);
        let mut all = (Vec::new(), Vec::new());
        let wide = Codes::U16 { samples: &words[start..], shift: 2 };
        for addend in [
            Addend::Constant(16.0),
            Addend::Values(base),
            Addend::Codes(Codes::U8(&bytes[start..])),
            Addend::Codes(wide),
        ] {
            let (whole, change) = (Whole([r, g, b]), Change([r, g, b], [was_r, was_g, was_b]));
            let mut both = |codes: CodesMut, max, changed: bool| {
                let mut out = room::<2>(length, start);
                let chroma = out.each_mut().map(|row| &mut row[start..start + length]);
                match changed {
                    true => kernels.to_luma_and_chroma(&m, change, addend, max, codes, chroma),
                    false => kernels.to_luma_and_chroma(&m, whole, addend, max, codes, chroma),
                }
                all.0.extend(written(&out, length, start));
            };
            let codes = [
                codes_written(length, start, |codes, max| both(codes, max, false)),
                codes_written(length, start, |codes, max| both(codes, max, true)),
                codes_written(length, start, |codes, max| kernels.to_luma(&m, whole, addend, max, codes)),
                codes_written(length, start, |codes, max| kernels.to_luma(&m, change, addend, max, codes)),
            ];
            assert!(codes[0] == codes[2] && codes[1] == codes[3], "both at once is not each by itself");
            all.1.extend(codes);
            let mut out = room::<4>(length, start);
            let [a, b, c, d] = out.each_mut().map(|row| &mut row[start..start + length]);
            kernels.to_chroma(&m, whole, [a, b]);
            kernels.to_chroma(&m, change, [c, d]);
            all.0.extend(written(&out, length, start));
        }
        all
    });
}

#[test]
fn sums_to_codes() {
    check(|kernels, length, start, noise| {
        let chroma = rows(noise, 4, start + length, 200.0, true);
        let words = noise.codes(start + length, 1023);
        let addends = [Addend::Constant(128.0), Addend::Codes(Codes::U16 { samples: &words[start..], shift: 0 })];
        let all = sums(&chroma, start).into_iter().flat_map(|sums| addends.map(|addend| (sums, addend)));
        let run =
            |(sums, addend)| codes_written(length, start, |codes, max| kernels.sums_to_codes(sums, addend, max, codes));
        all.map(run).collect::<Vec<_>>()
    });
}

#[test]
fn rows_resized_by_any_ratio() {
    const SITES: [(f64, f64); 3] = [(0.0, 0.0), (-0.25, 0.0), (0.0, -0.25)];
    check(|kernels, length, start, noise| {
        let source = rows(noise, 9, length, 255.0, true);
        let mut all = Vec::new();
        for (ratio, filter) in [
            ((1, 1), Filter::CatmullRom),
            ((1, 2), Filter::CatmullRom),
            ((1, 2), Filter::Lanczos3),
            ((2, 1), Filter::Bilinear),
            ((2, 1), Filter::CatmullRom),
            ((2, 1), Filter::Lanczos3),
            ((4, 1), Filter::Bilinear),
            ((1, 3), Filter::Mitchell),
            ((3, 2), Filter::CatmullRom),
            ((7, 12), Filter::Lanczos3),
        ] {
            for (src_site, dst_site) in SITES {
                let axis = |src_len| Axis { src_len, ratio, src_site, dst_site };
                let resizer = Resizer::new(kernels, axis(length), axis(source.len()), filter);
                let size = |n: usize| (n * ratio.1 / ratio.0).max(1);
                let columns = start.min(size(length) - 1)..size(length);
                let mut lines = Lines::default();
                resizer.begin::<1>(&mut lines, columns.clone());
                for y in 0..size(source.len()) {
                    resizer.advance(&mut lines, y, |row, columns, [out]: [&mut [f32]; 1]| {
                        out.copy_from_slice(&source[row][columns]);
                    });
                    let mut out = room::<1>(columns.len(), start);
                    resizer.finish(&lines, y, 0, columns.clone(), &mut out[0][start..start + columns.len()]);
                    all.extend(written(&out, columns.len(), start));
                }
            }
        }
        all
    });
}

#[test]
fn blocks_compared() {
    check(|kernels, length, start, noise| {
        let mut all = Vec::new();
        for (bytes_per_sample, max) in [(1, 255), (2, 1023), (2, u16::MAX)] {
            for height in [1, 7, 8, 19] {
                // Rows further apart than needed, which differ between the planes where they do not count.
                let stride = length + start + 1;
                let one = noise.codes(stride * height, max);
                let mut other = noise.codes(stride * height, max);
                for (i, code) in other.iter_mut().enumerate() {
                    let (x, y) = (i % stride, i / stride);
                    // Most blocks are alike, some differ in one sample, some everywhere.
                    let kind = (x / 8 + y / 8 * 3) % 5;
                    if x < length && (kind < 3 || kind == 3 && (x % 8, y % 8) != (x / 8 % 8, y / 8 % 8)) {
                        *code = one[i];
                    }
                }
                let (narrow_one, narrow_other) = (narrow(&one), narrow(&other));
                let planes = match bytes_per_sample {
                    1 => [&narrow_one, &narrow_other].map(|p| PlaneView::new(p, stride, length, height, 1)),
                    _ => [&one, &other].map(|p| PlaneView::new(bytemuck::cast_slice(p), 2 * stride, length, height, 2)),
                };
                let [a, b] = planes.map(Result::unwrap);
                for (block_row, width) in (0..height.div_ceil(8)).flat_map(|row| [(row, 8), (row, 16)]) {
                    let n_blocks = length.div_ceil(width);
                    let mut sums = vec![u64::MAX; n_blocks];
                    kernels.block_errors(&a, &b, block_row, width, &mut sums);
                    let mut bits = vec![u64::MAX; n_blocks.div_ceil(64)];
                    kernels.differing_blocks(&a, &b, block_row, width, &mut bits);
                    for (block, sum) in sums.iter().enumerate() {
                        assert_eq!(bits[block / 64] >> (block % 64) & 1 == 1, *sum > 0, "bit and sum of a block");
                    }
                    assert!(n_blocks % 64 == 0 || bits[n_blocks / 64] >> (n_blocks % 64) == 0, "bits beyond");
                    all.push((sums, bits));
                }
            }
        }
        all
    });
}

#[test]
fn the_largest_differences_fit_their_sums() {
    let (black, white) = (vec![0u8; 64 * 16], vec![255u8; 64 * 16]);
    for kernels in Level::ALL.into_iter().filter_map(Kernels::at) {
        for (bytes, peak) in [(1, 255u64), (2, 65535)] {
            for width in [8, 16] {
                let [a, b] = [&black, &white].map(|p| PlaneView::new(p, 64 * bytes, 64, 8, bytes).unwrap());
                let mut sums = vec![0; 64 / width];
                kernels.block_errors(&a, &b, 0, width, &mut sums);
                assert!(sums.iter().all(|sum| *sum == 8 * width as u64 * peak * peak), "{kernels:?} {sums:?}");
            }
        }
    }
}
