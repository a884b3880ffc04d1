//! How fast the kernels are, against copying as many bytes: `cargo bench --bench kernels [-- FILTER]`.
//!
//! Each kernel runs at each level over rows as long as those of 1080p and 4K frames: over so few that all fits the
//! L2 cache, and over whole frames. `memcpy` copies half of the bytes that the kernel reads and writes over the other
//! half, so both touch the same amount of memory. Times are CPU time of the thread, so that other programs disturb
//! less; the table at the end has the best of each, in gigabytes read and written a second and as share of memcpy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};
use vproc::frame::pool::AlignedBytes;
use vproc::frame::{ColorMatrix, ColorRange, PlaneView};
use vproc::simd::cpu::Level;
use vproc::simd::luma::{Addend, Codes, CodesMut, Linear};
use vproc::simd::resize::{Axis, Filter, Lines, Resizer, Sums};
use vproc::simd::rgb::{Change, FromRgb, ToRgb, Whole, YuvCoding};
use vproc::simd::{Kernels, hash};

/// Name, samples of a row, rows.
const SIZES: [(&str, usize, usize); 4] =
    [("1080p L2", 1920, 16), ("1080p", 1920, 1080), ("4K L2", 3840, 8), ("4K", 3840, 2160)];

const CODING: YuvCoding = YuvCoding { matrix: ColorMatrix::Bt709, range: ColorRange::Limited, bit_depth: 8 };

/// The fewest nanoseconds of each case, by kernel, size and level.
type Best = RefCell<BTreeMap<(usize, usize, String), f64>>;

/// Memory for a kernel: as many planes of each kind as any takes.
struct Memory {
    width: usize,
    rows: usize,
    bytes: [Aligned<u8>; 2],
    words: [Aligned<u16>; 2],
    floats: Vec<Aligned<f32>>,
}

/// Samples that begin at a cache line, as those of pictures and tensors do.
struct Aligned<T>(AlignedBytes, PhantomData<T>);

impl<T: bytemuck::Pod> Aligned<T> {
    fn new(n: usize, sample: impl Fn(usize) -> T) -> Self {
        let mut all = Aligned(AlignedBytes::new(n * size_of::<T>()), PhantomData);
        all.iter_mut().enumerate().for_each(|(i, to)| *to = sample(i));
        all
    }
}

impl<T: bytemuck::Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.0)
    }
}

impl<T: bytemuck::Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// A kernel over all rows of `memory`.
type Run = fn(Kernels, &mut Memory);

/// Name, bytes read and written a sample, and the kernel.
const KERNELS: [(&str, f64, Run); 17] = [
    ("u8 to f32", 5.0, |k, m| {
        for y in 0..m.rows {
            k.to_values(Codes::U8(row(&m.bytes[0], y, m.width)), LINE, row_mut(&mut m.floats[0], y, m.width));
        }
    }),
    ("u16 to f32", 6.0, |k, m| {
        for y in 0..m.rows {
            let codes = Codes::U16 { samples: row(&m.words[0], y, m.width), shift: 0 };
            k.to_values(codes, LINE, row_mut(&mut m.floats[0], y, m.width));
        }
    }),
    ("u8 pairs to f32", 5.0, |k, m| {
        let [a, b, ..] = m.floats.as_mut_slice() else { return };
        for y in 0..m.rows {
            let n = m.width / 2;
            k.pairs_to_values(Codes::U8(row(&m.bytes[0], y, m.width)), LINE, [row_mut(a, y, n), row_mut(b, y, n)]);
        }
    }),
    ("f32 to u8", 5.0, |k, m| {
        for y in 0..m.rows {
            let codes = CodesMut::U8(row_mut(&mut m.bytes[0], y, m.width));
            k.to_codes(row(&m.floats[0], y, m.width), LINE, 255, codes);
        }
    }),
    ("f32 to u16", 6.0, |k, m| {
        for y in 0..m.rows {
            let codes = CodesMut::U16(row_mut(&mut m.words[0], y, m.width));
            k.to_codes(row(&m.floats[0], y, m.width), LINE, 1023, codes);
        }
    }),
    ("u8 4:4:4 to RGB", 21.0, |k, m| {
        let to_rgb = ToRgb::new(CODING, 0.0, 1.0);
        let [cb, cr, r, g, b, ..] = m.floats.as_mut_slice() else { return };
        for y in 0..m.rows {
            let chroma = Sums::plain([row(cb, y, m.width), row(cr, y, m.width)]);
            let rgb = [&mut *r, &mut *g, &mut *b].map(|plane| row_mut(plane, y, m.width));
            k.to_rgb(&to_rgb, Codes::U8(row(&m.bytes[0], y, m.width)), chroma, rgb);
        }
    }),
    ("u8 4:2:0 to RGB", 13.5, |k, m| {
        // Chroma is read from bytes and brought to the luma grid, as a head does.
        let to_rgb = ToRgb::new(CODING, 0.0, 1.0);
        let chroma = |n, site| Axis { src_len: n, ratio: (1, 2), src_site: site, dst_site: 0.0 };
        let up = Resizer::new(k, chroma(m.width / 2, -0.25), chroma(m.rows / 2, 0.0), Filter::CatmullRom);
        let [r, g, b, ..] = m.floats.as_mut_slice() else { return };
        let (mut lines, mut spare) = (Lines::default(), [Vec::new(), Vec::new()]);
        up.begin::<2>(&mut lines, 0..m.width);
        for y in 0..m.rows {
            up.advance(&mut lines, y, |y, columns, planes: [&mut [f32]; 2]| {
                for (plane, out) in planes.into_iter().enumerate() {
                    let codes = Codes::U8(&row(&m.bytes[1], 2 * y + plane, m.width)[columns.clone()]);
                    k.to_values(codes, LINE, out);
                }
            });
            let sums = up.sums(&lines, y, [0, 1], 0..m.width, spare.each_mut());
            let rgb = [&mut *r, &mut *g, &mut *b].map(|plane| row_mut(plane, y, m.width));
            k.to_rgb(&to_rgb, Codes::U8(row(&m.bytes[0], y, m.width)), sums, rgb);
        }
    }),
    ("RGB to luma u8", 13.0, |k, m| {
        let from_rgb = FromRgb::new(CODING, 0.0, 1.0);
        for y in 0..m.rows {
            let rgb = Whole(std::array::from_fn(|c| row(&m.floats[c], y, m.width)));
            let codes = CodesMut::U8(row_mut(&mut m.bytes[0], y, m.width));
            k.to_luma(&from_rgb, rgb, Addend::Constant(16.0), 255, codes);
        }
    }),
    ("RGB to Y'CbCr", 21.0, |k, m| {
        let from_rgb = FromRgb::new(CODING, 0.0, 1.0);
        let [r, g, b, cb, cr, ..] = m.floats.as_mut_slice() else { return };
        for y in 0..m.rows {
            let rgb = Whole([row(r, y, m.width), row(g, y, m.width), row(b, y, m.width)]);
            let codes = CodesMut::U8(row_mut(&mut m.bytes[0], y, m.width));
            let chroma = [row_mut(cb, y, m.width), row_mut(cr, y, m.width)];
            k.to_luma_and_chroma(&from_rgb, rgb, Addend::Constant(16.0), 255, codes, chroma);
        }
    }),
    ("RGB change to Y'CbCr", 34.0, |k, m| {
        let from_rgb = FromRgb::new(CODING, 0.0, 1.0);
        let [r, g, b, was_r, was_g, was_b, cb, cr] = m.floats.as_mut_slice() else { return };
        let [from, to] = &mut m.bytes;
        for y in 0..m.rows {
            let change = Change(
                [row(r, y, m.width), row(g, y, m.width), row(b, y, m.width)],
                [row(was_r, y, m.width), row(was_g, y, m.width), row(was_b, y, m.width)],
            );
            let base = Addend::Codes(Codes::U8(row(from, y, m.width)));
            let chroma = [row_mut(cb, y, m.width), row_mut(cr, y, m.width)];
            k.to_luma_and_chroma(&from_rgb, change, base, 255, CodesMut::U8(row_mut(to, y, m.width)), chroma);
        }
    }),
    ("resize u8 to 1/2, triangle", 1.25, |k, m| resize(k, m, (2, 1), Filter::Bilinear)),
    ("resize u8 to 1/2, Catmull-Rom", 1.25, |k, m| resize(k, m, (2, 1), Filter::CatmullRom)),
    ("resize u8 to x2, Catmull-Rom", 1.25, |k, m| resize(k, m, (1, 2), Filter::CatmullRom)),
    ("resize u8 to 2/3, Lanczos", 1.0 + 4.0 / 9.0, |k, m| resize(k, m, (3, 2), Filter::Lanczos3)),
    ("u8 blocks that differ", 2.0, |k, m| {
        let [one, other] = m.bytes.each_ref().map(|bytes| plane(bytes, m.width, m.rows, 1));
        let mut bits = vec![0; m.width.div_ceil(512)];
        (0..m.rows / 8).for_each(|y| k.differing_blocks(&one, &other, y, 8, &mut bits));
        black_box(bits);
    }),
    ("u8 block errors", 2.0, |k, m| {
        let [one, other] = m.bytes.each_ref().map(|bytes| plane(bytes, m.width, m.rows, 1));
        let mut sums = vec![0; m.width / 8];
        (0..m.rows / 8).for_each(|y| k.block_errors(&one, &other, y, 8, &mut sums));
        black_box(sums);
    }),
    ("u16 block errors", 4.0, |k, m| {
        let [one, other] = m.words.each_ref().map(|words| plane(bytemuck::cast_slice(words), m.width, m.rows, 2));
        let mut sums = vec![0; m.width / 8];
        (0..m.rows / 8).for_each(|y| k.block_errors(&one, &other, y, 8, &mut sums));
        black_box(sums);
    }),
];

const LINE: Linear = Linear { from: 16.0, gain: 1.0 / 219.0, to: 0.0 };

fn row<T>(plane: &[T], y: usize, width: usize) -> &[T] {
    &plane[y * width..(y + 1) * width]
}

fn row_mut<T>(plane: &mut [T], y: usize, width: usize) -> &mut [T] {
    &mut plane[y * width..(y + 1) * width]
}

fn plane(bytes: &[u8], width: usize, rows: usize, bytes_per_sample: usize) -> PlaneView<'_> {
    PlaneView::new(bytes, width * bytes_per_sample, width, rows, bytes_per_sample).expect("the plane is large enough")
}

/// From the first plane of bytes to the second; the larger of both has the memory's size.
fn resize(k: Kernels, m: &mut Memory, ratio: (usize, usize), filter: Filter) {
    let larger = ratio.0.max(ratio.1);
    let (from, to) = (|n: usize| n * ratio.0 / larger, |n: usize| n * ratio.1 / larger);
    let axis = |n| Axis { src_len: from(n), ratio, src_site: 0.0, dst_site: 0.0 };
    let resizer = Resizer::new(k, axis(m.width), axis(m.rows), filter);
    let (mut lines, mut spare) = (Lines::default(), Vec::new());
    let [source, target] = &mut m.bytes;
    let columns = 0..to(m.width);
    resizer.begin::<1>(&mut lines, columns.clone());
    for y in 0..to(m.rows) {
        resizer.advance(&mut lines, y, |y, columns, [out]: [&mut [f32]; 1]| {
            k.to_values(Codes::U8(&row(source, y, from(m.width))[columns]), Linear::IDENTITY, out);
        });
        let sums = resizer.sums(&lines, y, [0], columns.clone(), [&mut spare]);
        k.sums_to_codes(sums, Addend::Constant(0.0), 255, CodesMut::U8(row_mut(target, y, to(m.width))));
    }
}

impl Memory {
    fn new(width: usize, rows: usize) -> Self {
        let n = width * rows;
        // Planes that differ in few places, as those of successive frames do.
        let code = |i: usize, seed: usize, most: usize| if i % 997 == seed { 7 } else { i * 7 % most };
        let bytes = |seed: usize| Aligned::new(n, |i| code(i, seed, 251) as u8);
        let words = |seed: usize| Aligned::new(n, |i| code(i, seed, 1021) as u16);
        Memory {
            width,
            rows,
            bytes: [bytes(1), bytes(2)],
            words: [words(1), words(2)],
            floats: (0..8).map(|seed| Aligned::new(n, |i| (i % (251 - seed)) as f32 / 251.0)).collect(),
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures a case and keeps its best time.
fn measure(criterion: &mut Criterion, best: &Best, key: (usize, usize, String), bytes: f64, mut run: impl FnMut()) {
    let name = if key.0 < KERNELS.len() { KERNELS[key.0].0 } else { "hash u8" };
    let mut group = criterion.benchmark_group(format!("{name}/{}", SIZES[key.1].0));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(BenchmarkId::from_parameter(&key.2), |bencher| {
        bencher.iter_custom(|n| {
            let start = cpu_time();
            (0..n).for_each(|_| run());
            let time = cpu_time() - start;
            let nanoseconds = time.as_secs_f64() * 1e9 / n as f64;
            let mut best = best.borrow_mut();
            let kept = best.entry(key.clone()).or_insert(f64::MAX);
            *kept = kept.min(nanoseconds);
            time
        });
    });
    group.finish();
}

/// Reads and writes `bytes` in all.
fn copy(buffers: &mut [Aligned<u8>; 2], bytes: f64) {
    let n = (bytes / 2.0) as usize;
    let [from, to] = buffers;
    to[..n].copy_from_slice(&from[..n]);
    black_box(&mut to[..]);
}

fn main() {
    let settings = Criterion::default().sample_size(10).nresamples(1000);
    let settings = settings.warm_up_time(Duration::from_millis(30)).measurement_time(Duration::from_millis(100));
    let mut criterion = settings.without_plots().configure_from_args();
    let best = Best::default();
    for (s, &(_, width, rows)) in SIZES.iter().enumerate() {
        let mut memory = Memory::new(width, rows);
        let mut buffers = [1, 2].map(|byte| Aligned::new(17 * width * rows, |_| byte));
        for (index, &(_, per_sample, run)) in KERNELS.iter().enumerate() {
            let bytes = per_sample * (width * rows) as f64;
            measure(&mut criterion, &best, (index, s, "memcpy".into()), bytes, || copy(&mut buffers, bytes));
            for kernels in Level::ALL.into_iter().filter_map(|level| Some((level, Kernels::at(level)?))) {
                let (level, kernels) = kernels;
                let key = (index, s, level.to_string());
                measure(&mut criterion, &best, key, bytes, || run(kernels, &mut memory));
            }
        }
        let (bytes, index) = ((width * rows) as f64, KERNELS.len());
        measure(&mut criterion, &best, (index, s, "memcpy".into()), bytes, || copy(&mut buffers, bytes));
        measure(&mut criterion, &best, (index, s, Level::Scalar.to_string()), bytes, || {
            black_box(hash::rect(&plane(&memory.bytes[0], width, rows, 1), 0..width, 0..rows));
        });
    }
    table(&best.borrow());
}

/// Gigabytes read and written a second, and the share of memcpy.
fn table(best: &BTreeMap<(usize, usize, String), f64>) {
    println!("{:<32}{:<10}{:>8}{:>16}{:>16}{:>16}", "GB/s", "", "memcpy", "scalar", "avx2", "avx512");
    for (index, name) in KERNELS.iter().map(|kernel| kernel.0).chain(["hash u8"]).enumerate() {
        let per_sample = KERNELS.get(index).map_or(1.0, |kernel| kernel.1);
        for (s, (size, width, rows)) in SIZES.iter().enumerate() {
            let bytes = per_sample * (width * rows) as f64;
            let rate = |level: String| best.get(&(index, s, level)).map(|nanoseconds| bytes / nanoseconds);
            let Some(memcpy) = rate("memcpy".into()) else { continue };
            let cell = |level: Level| {
                rate(level.to_string()).map_or("-".into(), |r| format!("{r:.1} ({:.0} %)", r / memcpy * 100.0))
            };
            let cells = Level::ALL.map(cell);
            println!("{name:<32}{size:<10}{memcpy:>8.1}{:>16}{:>16}{:>16}", cells[0], cells[1], cells[2]);
        }
    }
}
