//! Filters, and the taps that resize one axis by a ratio.
//!
//! The ratio is a reduced fraction, so the taps repeat: after `n_phases` outputs and `stride` inputs they are the same
//! again. Positions before the first and after the last sample repeat that sample.

use crate::frame::{ChromaLocation, Subsampling};

/// An interpolation filter; when it makes an axis shorter it is stretched by the ratio, as zimg does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// A triangle of support 1 (`zscale=filter=bilinear`).
    Bilinear,
    /// Bicubic with B = 0, C = 0.5 (`zscale=filter=bicubic:param_a=0:param_b=0.5`).
    CatmullRom,
    /// Bicubic with B = C = 1/3 (`zscale=filter=bicubic:param_a=0.3333:param_b=0.3333`).
    Mitchell,
    /// Lanczos windowed sinc of support 3 (`zscale=filter=lanczos`).
    Lanczos3,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::CatmullRom | Filter::Mitchell => 2.0,
            Filter::Lanczos3 => 3.0,
        }
    }

    /// The weight at a distance, not normalised.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            _ if x >= self.support() => 0.0,
            Filter::Bilinear => 1.0 - x,
            Filter::CatmullRom => bicubic(x, 0.0, 0.5),
            Filter::Mitchell => bicubic(x, 1.0 / 3.0, 1.0 / 3.0),
            Filter::Lanczos3 => sinc(x) * sinc(x / 3.0),
        }
    }
}

/// Mitchell and Netravali, Reconstruction Filters in Computer Graphics (1988), equation 8.
fn bicubic(x: f64, b: f64, c: f64) -> f64 {
    let sixth = if x < 1.0 {
        (12.0 - 9.0 * b - 6.0 * c) * x.powi(3) + (-18.0 + 12.0 * b + 6.0 * c) * x.powi(2) + (6.0 - 2.0 * b)
    } else {
        (-b - 6.0 * c) * x.powi(3) + (6.0 * b + 30.0 * c) * x.powi(2) + (-12.0 * b - 48.0 * c) * x + 8.0 * b + 24.0 * c
    };
    sixth / 6.0
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
}

/// How far a sample lies from the middle of the area it stands for, in its own samples, right and down positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Siting {
    /// Horizontally, within -0.5..0.5.
    pub x: f64,
    /// Vertically, within -0.5..0.5.
    pub y: f64,
}

impl Siting {
    /// Where chroma lies; an absent tag counts as left, as in MPEG-2 and H.264.
    pub fn of(location: Option<ChromaLocation>, subsampling: Subsampling) -> Self {
        use ChromaLocation::{Bottom, BottomLeft, Center, Left, Top, TopLeft};
        // The first of `n` luma samples lies (n - 1) / 2 luma samples before their middle.
        let first = |log2: u8| -0.5 * (1.0 - 1.0 / f64::from(1u8 << log2));
        let location = location.unwrap_or(Left);
        let x = match location {
            Left | TopLeft | BottomLeft => first(subsampling.x),
            Center | Top | Bottom => 0.0,
        };
        let y = match location {
            TopLeft | Top => first(subsampling.y),
            Left | Center => 0.0,
            BottomLeft | Bottom => -first(subsampling.y),
        };
        Siting { x, y }
    }
}

/// One axis of a resize.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Samples there are.
    pub src_len: usize,
    /// So many source samples cover as much as so many wanted ones. Not always the lengths' ratio: 81 chroma samples
    /// cover 161 luma samples at 1 to 2.
    pub ratio: (usize, usize),
    /// Where in their area the source's samples lie ([`Siting`]).
    pub src_site: f64,
    /// Where in their area the wanted samples lie.
    pub dst_site: f64,
}

impl Axis {
    /// From one length to another, samples in the middle of their area.
    pub fn plain(src_len: usize, dst_len: usize) -> Self {
        Axis { src_len, ratio: (src_len, dst_len), src_site: 0.0, dst_site: 0.0 }
    }
}

/// The taps of one axis: output `n_phases * i + p` sums `n_taps` inputs from `stride * i + first[p]`.
pub(crate) struct Taps {
    pub(crate) src_len: usize,
    pub(crate) n_phases: usize,
    pub(crate) stride: usize,
    pub(crate) n_taps: usize,
    pub(crate) first: Vec<isize>,
    /// The same from the lowest of them.
    pub(crate) offsets: Vec<usize>,
    pub(crate) coefs: Vec<f32>,
    /// How many taps of a phase are not filled up with zeros: left-sited chroma has every other column ready made.
    n_used: Vec<usize>,
}

impl Taps {
    pub(super) fn new(axis: Axis, filter: Filter) -> Self {
        let divisor = gcd(axis.ratio.0, axis.ratio.1);
        let (stride, n_phases) = (axis.ratio.0 / divisor, axis.ratio.1 / divisor);
        let step = stride as f64 / n_phases as f64;
        let phases: Vec<(isize, Vec<f64>)> = (0..n_phases)
            .map(|p| {
                let center = (p as f64 + 0.5 + axis.dst_site) * step - 0.5 - axis.src_site;
                phase(center, step.max(1.0), filter)
            })
            .collect();
        let n_taps = phases.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let mut coefs = Vec::with_capacity(n_phases * n_taps);
        for (_, weights) in &phases {
            coefs.extend(weights.iter().map(|&weight| weight as f32));
            coefs.extend(std::iter::repeat_n(0.0, n_taps - weights.len()));
        }
        let first: Vec<isize> = phases.iter().map(|(first, _)| *first).collect();
        let lowest = first.iter().min().copied().unwrap_or(0);
        let offsets = first.iter().map(|first| (first - lowest) as usize).collect();
        let n_used = phases.iter().map(|(_, weights)| weights.len()).collect();
        Taps { src_len: axis.src_len, n_phases, stride, n_taps, first, offsets, coefs, n_used }
    }

    /// The taps' weights for phase `p`.
    pub(crate) fn phase(&self, p: usize) -> &[f32] {
        &self.coefs[p * self.n_taps..][..self.n_used[p]]
    }

    /// How far the inputs of an output reach outside the area that the output covers, in samples of the finer grid.
    /// One side's grid must be a multiple of the other's.
    pub(super) fn reach(&self) -> usize {
        let (up, down) = (self.n_phases as isize, self.stride as isize);
        let reach = (0..self.n_phases).map(|p| {
            let last = self.n_used[p] as isize - 1;
            let before = down * p as isize - up * self.first[p];
            let after = up * (self.first[p] + last) + up - 1 - (down * p as isize + down - 1);
            before.max(after).max(0)
        });
        reach.max().unwrap_or(0) as usize
    }
}

/// The first input and the normalised weights of an output that lies at `center`, without zeros at the ends.
fn phase(center: f64, stretch: f64, filter: Filter) -> (isize, Vec<f64>) {
    let support = filter.support() * stretch;
    let (first, last) = ((center - support).ceil() as isize, (center + support).floor() as isize);
    let weights: Vec<f64> = (first..=last).map(|k| filter.weight((k as f64 - center) / stretch)).collect();
    let sum: f64 = weights.iter().sum();
    let used = |weight: &f64| weight.abs() > 1e-9;
    let start = weights.iter().position(used).unwrap_or(0);
    let end = weights.iter().rposition(used).map_or(weights.len(), |last| last + 1);
    (first + start as isize, weights[start..end].iter().map(|weight| weight / sum).collect())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
