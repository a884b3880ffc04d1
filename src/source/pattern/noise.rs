//! Random numbers and rows of them, the same on every machine: value noise for textures, grain for films.

/// Values in the reel of grain.
const N_GRAIN: u64 = 1 << 16;

/// Film grain: a reel of deviations of which every row of every frame takes a piece.
pub(super) struct Grain {
    seed: u64,
    bit_depth: u8,
    reel: Vec<i16>,
}

impl Grain {
    /// `largest` is the largest deviation in 8-bit code values; `None` for 0.
    pub(super) fn new(seed: u64, largest: u8, bit_depth: u8) -> Option<Self> {
        let unit = 1i16 << (bit_depth - 8).min(8);
        let range = 2 * u64::from(largest) + 1;
        // The mean of two even draws, a triangle: small deviations are more frequent.
        let draw = |n: u64| (hash(seed ^ 0x6772_6169, n, 0) % range) as i16 - i16::from(largest);
        let reel = || (0..N_GRAIN).map(|n| (draw(2 * n) + draw(2 * n + 1)) * unit / 2).collect();
        (largest > 0).then(|| Grain { seed, bit_depth, reel: reel() })
    }

    /// Adds row `y` of frame `index`.
    pub(super) fn add(&self, index: u64, y: usize, row: &mut [u16]) {
        let start = hash(self.seed, index, y as u64) as usize % (self.reel.len() - row.len());
        let white = i32::from(u16::MAX >> (16 - self.bit_depth));
        for (sample, grain) in row.iter_mut().zip(&self.reel[start..]) {
            *sample = (i32::from(*sample) + i32::from(*grain)).clamp(0, white) as u16;
        }
    }
}

/// Adds a row of value noise, `share * 0..65535`, random at the corners of cells of 2^cell samples and smooth between.
pub(super) fn add_noise(seed: u64, cell: (u8, u8), share: u32, y: usize, sums: &mut [u32]) {
    // The smooth step 3t^2 - 2t^3 with t and result in 256ths.
    let smooth = |position: usize, cell: u8| {
        let t = ((position & ((1 << cell) - 1)) << 8 >> cell) as u32;
        (t * t * (768 - 2 * t)) >> 16
    };
    let blend = |a: u32, b: u32, part: u32| (a * (256 - part) + b * part) >> 8;
    let (cell_y, part_y) = ((y >> cell.1) as u64, smooth(y, cell.1));
    let seed = seed ^ (u64::from(cell.0) << 40);
    let corner = |x: usize, y: u64| (hash(seed, x as u64, y) >> 48) as u32;
    let edge = |x: usize| blend(corner(x, cell_y), corner(x, cell_y + 1), part_y);
    let mut left = edge(0);
    for (cell_x, sums) in sums.chunks_mut(1 << cell.0).enumerate() {
        let right = edge(cell_x + 1);
        for (x, sum) in sums.iter_mut().enumerate() {
            *sum += share * blend(left, right, smooth(x, cell.0));
        }
        left = right;
    }
}

/// 64 random bits of three numbers: the finaliser of SplitMix64 (Steele et al. 2014), once for each.
pub(super) fn hash(seed: u64, a: u64, b: u64) -> u64 {
    let mix = |state: u64, value: u64| {
        let z = (state ^ value).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    mix(mix(mix(0, seed), a), b)
}
