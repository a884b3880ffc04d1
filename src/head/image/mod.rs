//! Picture to picture: the planes of a window become a tensor, and what the network makes of it becomes planes.
//!
//! Luma networks get luma by its range; chroma and alpha are resized beside them ([`ImageHead::finish_planes`]). RGB
//! networks that change the size get and give the picture; for those that keep it only the change is written back,
//! `planes + to_yuv(network - input)`, so that an identity network is bit-exact in every format. Chroma is brought to
//! the luma grid with Catmull-Rom, and back with Catmull-Rom for pictures and with a triangle for changes, which keeps
//! the halo small. Pictures of R'G'B' go plane by plane ([`colors`]). The taps of a window are taken from the whole
//! picture; its edges are repeated only where the picture ends. So a window gives the same bits as the same area of a
//! whole frame.

mod blend;
mod colors;
mod gather;
mod plain;
mod rows;
mod scatter;
#[cfg(test)]
mod tests;

use colors::Colors;
pub(super) use colors::read_colors;
pub(super) use gather::read_chroma;
pub use gather::{ToRows, ToScratch};
use rows::Kept;
pub use rows::Rows;
pub use scatter::{Answer, FromRows, FromScratch};

use crate::error::{Error, Kind, Result};
use crate::frame::{ColorTags, Components, PixelFormat, Subsampling};
use crate::model::{Channels, NetworkFacts, Port};
use crate::simd::Kernels;
use crate::simd::luma::Linear;
use crate::simd::resize::{self, Axis, Filter, Resizer, Siting};
use crate::simd::rgb::{FromRgb, ToRgb, YuvCoding};
use crate::tile::Rect;

/// What every picture of a stream has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureFacts {
    /// The pixel format.
    pub format: PixelFormat,
    /// Luma samples a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// What the code values mean.
    pub color: ColorTags,
}

impl PictureFacts {
    /// All of a picture.
    pub fn area(self) -> Rect {
        Rect::new(0, 0, self.width, self.height)
    }
}

/// The way between pictures of one stream and the tensors of one network.
pub struct ImageHead {
    kernels: Kernels,
    network: NetworkFacts,
    picture: PictureFacts,
    route: Route,
    /// For chroma that is only resized, where the size changes.
    chroma: Option<Resizer>,
    /// For luma and alpha that are only resized, where the size changes.
    luma: Option<Resizer>,
}

enum Route {
    Luma { there: Linear, back: Linear },
    Rgb(Box<RgbRoute>),
    Colors(Box<Colors>),
}

struct RgbRoute {
    to_rgb: ToRgb,
    from_rgb: FromRgb,
    neutral: f32,
    /// Only the change is written back, the size being kept.
    change_only: bool,
    /// From the values of the input to those of the output, where they differ.
    input_to_output: Option<Linear>,
    /// Absent for gray pictures.
    chroma: Option<ChromaRoute>,
}

struct ChromaRoute {
    /// From the chroma grid to the luma grid.
    up: Resizer,
    /// From the luma grid of the output to its chroma grid.
    down: Resizer,
}

/// Working memory of a head, owned by the caller and used again for every window.
#[derive(Default)]
pub struct Scratch {
    to: ToScratch,
    from: FromScratch,
    kept: Kept,
    resize: resize::Scratch,
    /// A row of the source's chroma.
    base: [Vec<f32>; 2],
    /// Rows of tensors that cannot be used as they lie.
    output: Vec<f32>,
    input: Vec<f32>,
}

impl ImageHead {
    /// The head between pictures like `picture` and a network; an error if they do not go together.
    pub fn new(network: &NetworkFacts, picture: PictureFacts) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(Kind::Network, message));
        if network.input.channels.count() != network.output.channels.count() {
            let (from, to) = (network.input.channels, network.output.channels);
            return refuse(format!(
                "a network from {from:?} to {to:?} makes no picture, expected the same on both sides"
            ));
        }
        for port in [&network.input, &network.output] {
            if !(port.black.is_finite() && port.white.is_finite() && port.black != port.white) {
                let (name, black, white) = (&port.name, port.black, port.white);
                return refuse(format!(
                    "black {black} and white {white} of {name:?} make no range, expected two numbers"
                ));
            }
        }
        if picture.width == 0 || picture.height == 0 {
            let message = format!("a picture of {}x{} has no pixels", picture.width, picture.height);
            return Err(Error::new(Kind::Input, message));
        }
        let kernels = Kernels::best();
        let range = picture.color.range_or_limited();
        let coding =
            YuvCoding { matrix: picture.color.matrix_for(picture.height), range, bit_depth: picture.format.bit_depth };
        let codes = range.luma_codes(picture.format.bit_depth);
        let (input, output) = (&network.input, &network.output);
        let values = |port: &Port| (port.black, port.white);
        let resized = network.scale > 1;
        let change_only = !resized && input.channels != Channels::Luma;
        let route = match input.channels {
            _ if picture.format.is_rgb() => {
                Route::Colors(Box::new(Colors::new(&picture, input, output, network.scale)))
            }
            Channels::Luma => Route::Luma {
                there: Linear::between(codes, values(input)),
                back: Linear::between(values(output), codes),
            },
            Channels::Rgb | Channels::Bgr => Route::Rgb(Box::new(RgbRoute {
                to_rgb: ToRgb::new(coding, input.black, input.white),
                from_rgb: FromRgb::new(coding, output.black, output.white),
                neutral: coding.neutral(),
                change_only,
                input_to_output: (values(input) != values(output))
                    .then(|| Linear::between(values(input), values(output))),
                chroma: picture.format.subsampling().map(|s| ChromaRoute::new(kernels, &picture, s, network.scale)),
            })),
        };
        let subsampling = picture.format.subsampling();
        Ok(ImageHead {
            kernels,
            network: network.clone(),
            picture,
            route,
            chroma: subsampling.filter(|_| resized).map(|s| chroma_resizer(kernels, &picture, s, network.scale)),
            luma: resized.then(|| luma_resizer(kernels, &picture, network.scale)),
        })
    }

    /// What the pictures of the stream have in common.
    pub fn picture(&self) -> PictureFacts {
        self.picture
    }

    /// The format of output pictures: the planar form of the input's.
    pub fn output_format(&self) -> PixelFormat {
        self.picture.format.planar()
    }

    /// Output pixels per input pixel, the same both ways.
    pub fn scale(&self) -> usize {
        self.network.scale
    }

    /// Width and height of output pictures.
    pub fn output_size(&self) -> (usize, usize) {
        (self.picture.width * self.network.scale, self.picture.height * self.network.scale)
    }

    /// Width and height that a window over the whole picture has: what the picture is padded to by repeating its last
    /// column and row.
    pub fn padded_size(&self) -> (usize, usize) {
        let m = self.network.multiple_of.max(1);
        let padded = (self.picture.width.next_multiple_of(m), self.picture.height.next_multiple_of(m));
        let fixed = self.network.fixed_size.unwrap_or((0, 0));
        (padded.0.max(fixed.0), padded.1.max(fixed.1))
    }

    /// How many input pixels around a core, beyond the network's radius, a window must hold.
    pub fn window_halo(&self) -> usize {
        self.chroma_route().map_or(0, |chroma| chroma.down.reach().div_ceil(self.network.scale))
    }

    /// How many luma pixels around a core, beyond the network's radius, can change what comes out: a change map or a
    /// cache key covers these. A window need not hold all of them, as its chroma is read from the whole picture.
    /// Planes that pass the network by are not counted.
    pub fn change_halo(&self) -> usize {
        let brought_up = match &self.route {
            Route::Colors(colors) => {
                colors.resizer(self).map_or(0, |resizer| resizer.reach().div_ceil(self.network.scale))
            }
            _ => self.chroma_route().map_or(0, |chroma| chroma.up.reach()),
        };
        self.window_halo() + brought_up
    }

    fn chroma_route(&self) -> Option<&ChromaRoute> {
        match &self.route {
            Route::Luma { .. } | Route::Colors(_) => None,
            Route::Rgb(route) => route.chroma.as_ref(),
        }
    }

    /// Borders between cores must be multiples of this, in input pixels.
    pub fn alignment(&self) -> usize {
        let m = self.network.multiple_of.max(1);
        let Components::Yuv(subsampling) = self.picture.format.components else { return m };
        // Powers of two, so the least common multiple comes by doubling.
        let chroma = 1 << subsampling.x.max(subsampling.y);
        let mut alignment = m;
        while !alignment.is_multiple_of(chroma) {
            alignment *= 2;
        }
        alignment
    }
}

/// Tells that a caller broke the contract of `gather` or `scatter`.
fn misuse(message: String) -> Error {
    Error::new(Kind::Internal, message)
}

impl ChromaRoute {
    fn new(kernels: Kernels, picture: &PictureFacts, subsampling: Subsampling, scale: usize) -> Self {
        let site = Siting::of(picture.color.chroma_location, subsampling);
        let (columns, rows) = picture.format.planar().plane_size(1, picture.width, picture.height);
        let up = |src_len, log2: u8, src_site| Axis { src_len, ratio: (1, 1 << log2), src_site, dst_site: 0.0 };
        let down = |src_len, log2: u8, dst_site| Axis { src_len, ratio: (1 << log2, 1), src_site: 0.0, dst_site };
        let (width, height) = (picture.width * scale, picture.height * scale);
        let filter = if scale > 1 { Filter::CatmullRom } else { Filter::Bilinear };
        ChromaRoute {
            up: Resizer::new(
                kernels,
                up(columns, subsampling.x, site.x),
                up(rows, subsampling.y, site.y),
                Filter::CatmullRom,
            ),
            down: Resizer::new(
                kernels,
                down(width, subsampling.x, site.x),
                down(height, subsampling.y, site.y),
                filter,
            ),
        }
    }
}

/// Chroma of an output picture from that of its source, both sited alike.
fn chroma_resizer(kernels: Kernels, picture: &PictureFacts, subsampling: Subsampling, scale: usize) -> Resizer {
    let site = Siting::of(picture.color.chroma_location, subsampling);
    let (columns, rows) = picture.format.planar().plane_size(1, picture.width, picture.height);
    let axis = |src_len, site| Axis { src_len, ratio: (1, scale), src_site: site, dst_site: site };
    Resizer::new(kernels, axis(columns, site.x), axis(rows, site.y), Filter::CatmullRom)
}

fn luma_resizer(kernels: Kernels, picture: &PictureFacts, scale: usize) -> Resizer {
    let axis = |src_len| Axis::plain(src_len, src_len * scale);
    Resizer::new(kernels, axis(picture.width), axis(picture.height), Filter::CatmullRom)
}
