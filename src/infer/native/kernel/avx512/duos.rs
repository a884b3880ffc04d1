//! The convolution in bf16 on planes with AVX-512: of one row, blocks of up to 8 outputs by 3 registers of 16 pixels, or 4
//! by 6; of two rows, up to 4 by 3 by 2.

use std::arch::x86_64::*;

use super::{LANES, activated, chunk};
use crate::infer::native::kernel::Activation;
use crate::infer::native::kernel::duos::{DEPTH, DuoBlock, DuoRows, DuoWeights, Target};
use crate::infer::native::kernel::pairs::{ROWS, SIDE, STRIDE};

/// Registers of sums.
type Sums<const OUTPUTS: usize, const WIDE: usize> = [[__m512; WIDE]; OUTPUTS];

/// Rows; the caller holds the proof that this CPU has AVX512-BF16, and has checked that all rows lie in `memory`.
pub(in super::super) fn conv_rows(memory: &mut [f32], weights: &DuoWeights, rows: &DuoRows) {
    let memory = memory.as_mut_ptr();
    // SAFETY: see above.
    unsafe {
        match weights.is_paired() {
            true => two_rows(memory, weights, rows),
            false => one_row(memory, weights, rows),
        }
    }
}

/// As `conv_rows`, for packing.
pub(in super::super) fn pack_row(memory: &mut [f32], channels: &[usize], duos: &[usize], width: usize) {
    // SAFETY: see above.
    unsafe { pack_whole_row(memory.as_mut_ptr(), channels, duos, width) }
}

/// # Safety
/// `memory` holds all rows that `rows` names, as `duos::conv_rows` checks.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn one_row(memory: *mut f32, weights: &DuoWeights, rows: &DuoRows) {
    let mut x = 0;
    while x < rows.width {
        let left = (rows.width - x).div_ceil(LANES);
        // All outputs of a few pixels, then the next pixels: their inputs stay in the first-level cache.
        let step = if weights.n_outputs() > 4 { left.min(3) } else { left.min(6) };
        for block in weights.blocks() {
            // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width.
            unsafe {
                match step {
                    6 => few::<6>(memory, &block, rows, weights.columns(), x),
                    3 => any::<3>(memory, &block, rows, weights.columns(), x),
                    _ => {
                        for x in (x..x + step * LANES).step_by(LANES) {
                            any::<1>(memory, &block, rows, weights.columns(), x);
                        }
                    }
                }
            }
        }
        x += step * LANES;
    }
}

/// A block of up to 4 outputs.
///
/// # Safety
/// As `tile`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn few<const WIDE: usize>(memory: *mut f32, block: &DuoBlock, rows: &DuoRows, columns: usize, x: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        match block.n {
            4 => tile::<4, WIDE>(memory, block, rows, columns, x),
            3 => tile::<3, WIDE>(memory, block, rows, columns, x),
            2 => tile::<2, WIDE>(memory, block, rows, columns, x),
            _ => tile::<1, WIDE>(memory, block, rows, columns, x),
        }
    }
}

/// A block of up to 8 outputs.
///
/// # Safety
/// As `tile`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn any<const WIDE: usize>(memory: *mut f32, block: &DuoBlock, rows: &DuoRows, columns: usize, x: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        match block.n {
            8 => tile::<8, WIDE>(memory, block, rows, columns, x),
            7 => tile::<7, WIDE>(memory, block, rows, columns, x),
            6 => tile::<6, WIDE>(memory, block, rows, columns, x),
            5 => tile::<5, WIDE>(memory, block, rows, columns, x),
            _ => few::<WIDE>(memory, block, rows, columns, x),
        }
    }
}

/// `OUTPUTS` outputs of `16 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `one_row`; `x + 16 * WIDE` is inside the padded width; the block has `OUTPUTS` outputs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    block: &DuoBlock,
    rows: &DuoRows,
    columns: usize,
    x: usize,
) {
    let bias: &[f32; OUTPUTS] = chunk(block.bias);
    let mut sums = [[_mm512_setzero_ps(); WIDE]; OUTPUTS];
    for output in 0..OUTPUTS {
        sums[output] = [_mm512_set1_ps(bias[output]); WIDE];
    }
    let mut weights = block.weights.as_ptr().cast::<i32>();
    for input in rows.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are
        // `OUTPUTS` for each input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const();
            for _ in 0..columns {
                let mut lanes = [_mm512_setzero_ps(); WIDE];
                for lane in 0..WIDE {
                    lanes[lane] = _mm512_loadu_ps(pixels.add(lane * LANES));
                }
                for output in 0..OUTPUTS {
                    let weight = broadcast(weights.add(output));
                    for lane in 0..WIDE {
                        sums[output][lane] = added(sums[output][lane], lanes[lane], weight);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(OUTPUTS);
                pixels = pixels.wrapping_add(rows.dilation);
            }
        }
    }
    // SAFETY: as promised by the caller.
    unsafe { finish(memory, block.first, &rows.targets[0], rows.activation, x, &sums) };
}

/// # Safety
/// As `one_row`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn two_rows(memory: *mut f32, weights: &DuoWeights, rows: &DuoRows) {
    let mut x = 0;
    while x < rows.width {
        let step = (rows.width - x).div_ceil(LANES).min(3);
        // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width. All strips before
        // this one were of 3.
        unsafe {
            prepare(memory, weights.n_inputs(), rows, x, step + 1);
            for block in weights.blocks() {
                match step {
                    3 => pair::<3>(memory, &block, rows, x),
                    2 => pair::<2>(memory, &block, rows, x),
                    _ => pair::<1>(memory, &block, rows, x),
                }
            }
        }
        x += step * LANES;
    }
}

/// A block of up to 4 outputs of two rows.
///
/// # Safety
/// As `pair_tile`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pair<const WIDE: usize>(memory: *mut f32, block: &DuoBlock, rows: &DuoRows, x: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        match block.n {
            4 => pair_tile::<4, WIDE>(memory, block, rows, x),
            3 => pair_tile::<3, WIDE>(memory, block, rows, x),
            2 => pair_tile::<2, WIDE>(memory, block, rows, x),
            _ => pair_tile::<1, WIDE>(memory, block, rows, x),
        }
    }
}

/// Writes what all outputs of a strip of `16 * n` pixels are made of: for each element of input the two sums in the
/// middle, then for each the other two. The last register of the strip before is the first one of this.
///
/// # Safety
/// As `one_row`; `16 * n` elements from `x` on lie in the inputs' memory, and `n` is at most 4. Unless `x` is 0, the strip
/// before was prepared with 4.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn prepare(memory: *mut f32, n_inputs: usize, rows: &DuoRows, x: usize, n: usize) {
    let scratch = memory.wrapping_add(rows.scratch);
    let first = if x == 0 { 0 } else { LANES };
    for input in 0..n_inputs {
        let row = |row: usize| memory.wrapping_add(rows.inputs[row * n_inputs + input] + x).cast_const();
        let rows = [row(0), row(1), row(2), row(3)];
        let middle = scratch.wrapping_add(input * 2 * STRIDE);
        let rest = middle.wrapping_add(n_inputs * 2 * STRIDE);
        let made = [middle, middle.wrapping_add(STRIDE), rest, rest.wrapping_add(STRIDE)];
        // SAFETY: as promised by the caller; a row of the scratch holds more than 4 registers.
        unsafe {
            if first > 0 {
                made.iter().for_each(|row| _mm512_storeu_ps(*row, _mm512_loadu_ps(row.add(3 * LANES))));
            }
            for at in (first..n * LANES).step_by(LANES) {
                let [a, b, c, d] = rows.map(|row| halves(_mm512_loadu_ps(row.add(at))));
                let sums = [plus(b, c), minus(c, b), minus(a, c), minus(b, d)];
                for (row, [low, high]) in made.iter().zip(sums) {
                    _mm512_storeu_ps(row.add(at), joined(low, high));
                }
            }
        }
    }
}

/// `OUTPUTS` outputs of `16 * WIDE` pixels of two rows from column `x`.
///
/// # Safety
/// As `one_row`; the scratch is prepared for `16 * (WIDE + 1)` pixels from `x`, `x + 16 * WIDE` is inside the padded width
/// and the block has `OUTPUTS` outputs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn pair_tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    block: &DuoBlock,
    rows: &DuoRows,
    x: usize,
) {
    let bias: &[f32; OUTPUTS] = chunk(block.bias);
    let mut sums = [[[_mm512_setzero_ps(); WIDE]; OUTPUTS]; 2];
    let mut elements = memory.wrapping_add(rows.scratch).cast_const();
    // In a loop, since what is called at one place is compiled there.
    for (half, weights) in block.weights.chunks_exact(block.weights.len() / 2).enumerate() {
        // SAFETY: the scratch holds two rows for each element of input, twice.
        unsafe { accumulate(&mut sums, elements, weights.as_flattened()) };
        elements = elements.wrapping_add(rows.inputs.len() / ROWS * 2 * STRIDE);
        if half == 0 {
            for output in 0..OUTPUTS {
                let bias = _mm512_set1_ps(bias[output]);
                for lane in 0..WIDE {
                    let (a, b) = (sums[0][output][lane], sums[1][output][lane]);
                    sums[0][output][lane] = _mm512_add_ps(bias, _mm512_add_ps(a, b));
                    sums[1][output][lane] = _mm512_add_ps(bias, _mm512_sub_ps(a, b));
                }
            }
        }
    }
    for row in 0..2 {
        // SAFETY: as promised by the caller.
        unsafe { finish(memory, block.first, &rows.targets[row], rows.activation, x, &sums[row]) };
    }
}

/// Adds the products of all inputs and kernel columns.
///
/// # Safety
/// From `elements` on there are two rows of the scratch for every `12 * OUTPUTS` weights, prepared for `16 * (WIDE + 1)`
/// pixels.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn accumulate<const OUTPUTS: usize, const WIDE: usize>(
    sums: &mut [Sums<OUTPUTS, WIDE>; 2],
    mut elements: *const f32,
    weights: &[half::bf16],
) {
    let mut all = *sums;
    let n_inputs = weights.len() / (SIDE * 2 * DEPTH * OUTPUTS);
    let mut weights = weights.as_ptr().cast::<i32>();
    for _ in 0..n_inputs {
        for column in 0..SIDE {
            for row in 0..2 {
                // SAFETY: as promised by the caller.
                unsafe {
                    let mut lanes = [_mm512_setzero_ps(); WIDE];
                    for lane in 0..WIDE {
                        lanes[lane] = _mm512_loadu_ps(elements.add(row * STRIDE + column + lane * LANES));
                    }
                    for output in 0..OUTPUTS {
                        let weight = broadcast(weights.add(row * OUTPUTS + output));
                        for lane in 0..WIDE {
                            all[row][output][lane] = added(all[row][output][lane], lanes[lane], weight);
                        }
                    }
                }
            }
            // Wrapping, because after the last step it may point beyond what it is of.
            weights = weights.wrapping_add(2 * OUTPUTS);
        }
        elements = elements.wrapping_add(2 * STRIDE);
    }
    *sums = all;
}

/// Residual and activation of sums of outputs from `first` on, of pixels from column `x`, and their places.
///
/// # Safety
/// The rows of `target` hold `x + 16 * WIDE` elements, and are those of as many outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn finish<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    first: usize,
    target: &Target,
    activation: &Activation,
    x: usize,
    sums: &Sums<OUTPUTS, WIDE>,
) {
    let mut sums = *sums;
    if !target.residual.is_empty() {
        let residual: &[usize; OUTPUTS] = chunk(&target.residual[first..]);
        for output in 0..OUTPUTS {
            for lane in 0..WIDE {
                // SAFETY: as promised by the caller.
                let other = unsafe { _mm512_loadu_ps(memory.add(residual[output] + x + lane * LANES)) };
                sums[output][lane] = _mm512_add_ps(sums[output][lane], other);
            }
        }
    }
    for output in 0..OUTPUTS {
        for lane in 0..WIDE {
            sums[output][lane] = activated(activation, first + output, sums[output][lane]);
        }
    }
    if !target.planes.is_empty() {
        let planes: &[usize; OUTPUTS] = chunk(&target.planes[first..]);
        for output in 0..OUTPUTS {
            for lane in 0..WIDE {
                // SAFETY: as promised by the caller.
                unsafe { _mm512_storeu_ps(memory.add(planes[output] + x + lane * LANES), sums[output][lane]) };
            }
        }
    }
    if !target.duos.is_empty() {
        let duos = &target.duos[first / DEPTH..][..OUTPUTS.div_ceil(DEPTH)];
        for output in (0..OUTPUTS).step_by(DEPTH) {
            for lane in 0..WIDE {
                let high = if output + 1 < OUTPUTS { sums[output + 1][lane] } else { _mm512_setzero_ps() };
                let place = duos[output / DEPTH] + x + lane * LANES;
                // SAFETY: as promised by the caller.
                unsafe { _mm512_storeu_ps(memory.add(place), joined(sums[output][lane], high)) };
            }
        }
    }
}

/// # Safety
/// As `duos::pack_row` checks.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_whole_row(memory: *mut f32, channels: &[usize], duos: &[usize], width: usize) {
    for (channels, to) in channels.chunks(DEPTH).zip(duos) {
        for x in (0..width).step_by(LANES) {
            // SAFETY: rows hold the padded width.
            unsafe {
                let [low, high] = [0, 1].map(|at| match channels.get(at) {
                    Some(from) => _mm512_loadu_ps(memory.add(from + x)),
                    None => _mm512_setzero_ps(),
                });
                _mm512_storeu_ps(memory.add(to + x), joined(low, high));
            }
        }
    }
}

/// The weights of an output for the two channels of an element, for 16 pixels.
///
/// # Safety
/// `weights` can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn broadcast(weights: *const i32) -> __m512 {
    // SAFETY: as promised by the caller.
    _mm512_castsi512_ps(_mm512_set1_epi32(unsafe { weights.read_unaligned() }))
}

/// `sums` and the products of 16 elements with as many weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn added(sums: __m512, elements: __m512, weights: __m512) -> __m512 {
    // SAFETY: all are registers of 64 bytes, of which any are numbers.
    let [elements, weights] = [elements, weights].map(|it| unsafe { std::mem::transmute::<__m512, __m512bh>(it) });
    _mm512_dpbf16_ps(sums, elements, weights)
}

/// The two channels of 16 elements.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(elements: __m512) -> [__m512; DEPTH] {
    let bits = _mm512_castps_si512(elements);
    let high = _mm512_and_si512(bits, _mm512_set1_epi32(!0xffff));
    [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)), _mm512_castsi512_ps(high)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn plus(a: [__m512; DEPTH], b: [__m512; DEPTH]) -> [__m512; DEPTH] {
    [_mm512_add_ps(a[0], b[0]), _mm512_add_ps(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn minus(a: [__m512; DEPTH], b: [__m512; DEPTH]) -> [__m512; DEPTH] {
    [_mm512_sub_ps(a[0], b[0]), _mm512_sub_ps(a[1], b[1])]
}

/// Two channels of 16 pixels, rounded, as elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn joined(low: __m512, high: __m512) -> __m512 {
    const ORDER: [i16; 2 * LANES] = {
        let mut order = [0; 2 * LANES];
        let mut at = 0;
        while at < order.len() {
            order[at] = (at / 2 + at % 2 * LANES) as i16;
            at += 1;
        }
        order
    };
    // SAFETY: all are of 64 bytes, of which any are numbers.
    unsafe {
        let order = std::mem::transmute::<[i16; 2 * LANES], __m512i>(ORDER);
        let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, both))
    }
}
