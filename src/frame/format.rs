//! Pixel formats the chain works on: planar and semi-planar Y'CbCr, planar R'G'B' and gray, 8 to 16 bits, little endian.
//!
//! Anything else is converted once by the source. The names are FFmpeg's.

use std::fmt;

/// How the samples of a picture lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// One plane a component.
    Planar,
    /// Luma, then one plane of interleaved Cb and Cr (nv12, nv16, nv24).
    SemiPlanar,
    /// The same with the value in the high bits of 16 (p010, p210, p410).
    SemiPlanarHigh,
}

/// The base-2 logarithms of how many luma samples a chroma sample covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subsampling {
    /// Horizontally: 0, 1 or 2.
    pub x: u8,
    /// Vertically: 0, 1 or 2.
    pub y: u8,
}

/// Which components a picture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Components {
    /// Luma alone.
    Gray,
    /// Luma and two chroma components.
    Yuv(Subsampling),
    /// Green, blue and red, in this order, as FFmpeg's gbrp and the identity matrix of H.273 have them.
    Rgb,
}

/// The planes of red, green and blue in [`Components::Rgb`].
pub const RGB_PLANES: [usize; 3] = [2, 0, 1];

/// A pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    /// Luma alone or with chroma, or R'G'B'.
    pub components: Components,
    /// Bits a sample, 8 to 16; above 8 a sample takes two bytes.
    pub bit_depth: u8,
    /// A further full-size plane of opacity, planar formats only.
    pub alpha: bool,
    /// The layout in memory.
    pub packing: Packing,
}

impl PixelFormat {
    /// Planar Y'CbCr with the given subsampling.
    pub const fn yuv(x: u8, y: u8, bit_depth: u8) -> Self {
        PixelFormat {
            components: Components::Yuv(Subsampling { x, y }),
            bit_depth,
            alpha: false,
            packing: Packing::Planar,
        }
    }

    /// Luma alone.
    pub const fn gray(bit_depth: u8) -> Self {
        PixelFormat { components: Components::Gray, bit_depth, alpha: false, packing: Packing::Planar }
    }

    /// Planar R'G'B'.
    pub const fn rgb(bit_depth: u8) -> Self {
        PixelFormat { components: Components::Rgb, bit_depth, alpha: false, packing: Packing::Planar }
    }

    /// Whether there is no colour in it.
    pub fn is_gray(self) -> bool {
        self.components == Components::Gray
    }

    /// Whether it is R'G'B'.
    pub fn is_rgb(self) -> bool {
        self.components == Components::Rgb
    }

    /// 1 for 8 bits, else 2.
    pub fn bytes_per_sample(self) -> usize {
        if self.bit_depth > 8 { 2 } else { 1 }
    }

    /// The highest code value.
    pub fn max_code(self) -> u16 {
        u16::MAX >> (16 - self.bit_depth)
    }

    /// How many planes a picture has: 1 to 4.
    pub fn n_planes(self) -> usize {
        let color = match (self.components, self.packing) {
            (Components::Gray, _) => 1,
            (Components::Rgb, _) | (Components::Yuv(_), Packing::Planar) => 3,
            (Components::Yuv(_), _) => 2,
        };
        color + usize::from(self.alpha)
    }

    /// The chroma subsampling; none where there is no chroma.
    pub fn subsampling(self) -> Option<Subsampling> {
        match self.components {
            Components::Gray | Components::Rgb => None,
            Components::Yuv(subsampling) => Some(subsampling),
        }
    }

    /// The size of a plane in elements a row and rows, for a picture of `width` x `height` luma samples. An element is
    /// a sample, or in the chroma plane of a semi-planar format one half of a pair (so a row has twice as many).
    pub fn plane_size(self, plane: usize, width: usize, height: usize) -> (usize, usize) {
        let Some(subsampling) = self.subsampling().filter(|_| self.is_chroma(plane)) else {
            return (width, height);
        };
        let columns = width.div_ceil(1 << subsampling.x);
        let rows = height.div_ceil(1 << subsampling.y);
        match self.packing {
            Packing::Planar => (columns, rows),
            Packing::SemiPlanar | Packing::SemiPlanarHigh => (2 * columns, rows),
        }
    }

    /// Whether a plane holds chroma.
    pub fn is_chroma(self, plane: usize) -> bool {
        match (self.components, self.packing) {
            (Components::Gray | Components::Rgb, _) => false,
            (Components::Yuv(_), Packing::Planar) => plane == 1 || plane == 2,
            (Components::Yuv(_), _) => plane == 1,
        }
    }

    /// The format with one plane a component and the value in the low bits: what an encoder is given.
    #[must_use]
    pub fn planar(self) -> Self {
        PixelFormat { packing: Packing::Planar, ..self }
    }

    /// The format that FFmpeg calls `name`, if the chain works on it.
    pub fn from_name(name: &str) -> Option<Self> {
        let semi = |x, y, bit_depth, packing| PixelFormat { packing, ..PixelFormat::yuv(x, y, bit_depth) };
        Some(match name {
            "nv12" => semi(1, 1, 8, Packing::SemiPlanar),
            "nv16" => semi(1, 0, 8, Packing::SemiPlanar),
            "nv24" => semi(0, 0, 8, Packing::SemiPlanar),
            "p010le" => semi(1, 1, 10, Packing::SemiPlanarHigh),
            "p016le" => semi(1, 1, 16, Packing::SemiPlanarHigh),
            "p210le" => semi(1, 0, 10, Packing::SemiPlanarHigh),
            "p216le" => semi(1, 0, 16, Packing::SemiPlanarHigh),
            "p410le" => semi(0, 0, 10, Packing::SemiPlanarHigh),
            "p416le" => semi(0, 0, 16, Packing::SemiPlanarHigh),
            "gray" => PixelFormat::gray(8),
            _ => return PixelFormat::from_planar_name(name),
        })
    }

    fn from_planar_name(name: &str) -> Option<Self> {
        // The yuvj names say "full range" as well, which the colour tags say already.
        let (name, deprecated) = match name.strip_prefix("yuvj") {
            Some(rest) => (rest.to_owned(), true),
            None => (name.to_owned(), false),
        };
        let depth = |text: &str| match text {
            "" => Some(8),
            _ => text.strip_suffix("le")?.parse().ok().filter(|bits| (9..=16).contains(bits)),
        };
        if let Some(rest) = name.strip_prefix("gray") {
            return Some(PixelFormat::gray(depth(rest)?));
        }
        if let Some(rest) = name.strip_prefix("gbrap") {
            return Some(PixelFormat { alpha: true, ..PixelFormat::rgb(depth(rest)?) });
        }
        if let Some(rest) = name.strip_prefix("gbrp") {
            return Some(PixelFormat::rgb(depth(rest)?));
        }
        let (rest, alpha) = match (deprecated, name.strip_prefix("yuva"), name.strip_prefix("yuv")) {
            (true, _, _) => (name.as_str(), false),
            (_, Some(rest), _) => (rest, true),
            (_, _, Some(rest)) => (rest, false),
            _ => return None,
        };
        let (chroma, bits) = rest.split_once('p')?;
        let (x, y) = match chroma {
            "420" => (1, 1),
            "422" => (1, 0),
            "444" => (0, 0),
            "440" => (0, 1),
            "411" => (2, 0),
            "410" => (2, 2),
            _ => return None,
        };
        Some(PixelFormat { alpha, ..PixelFormat::yuv(x, y, depth(bits)?) })
    }
}

impl fmt::Display for PixelFormat {
    /// FFmpeg's name of the format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(subsampling) = self.subsampling() else {
            f.write_str(match (self.is_gray(), self.alpha) {
                (true, _) => "gray",
                (false, false) => "gbrp",
                (false, true) => "gbrap",
            })?;
            return depth_suffix(f, self.bit_depth);
        };
        let chroma = match (subsampling.x, subsampling.y) {
            (1, 1) => "420",
            (1, 0) => "422",
            (0, 0) => "444",
            (0, 1) => "440",
            (2, 0) => "411",
            _ => "410",
        };
        match self.packing {
            Packing::Planar => {
                write!(f, "yuv{}{chroma}p", if self.alpha { "a" } else { "" })?;
                depth_suffix(f, self.bit_depth)
            }
            Packing::SemiPlanar => f.write_str(match chroma {
                "420" => "nv12",
                "422" => "nv16",
                _ => "nv24",
            }),
            Packing::SemiPlanarHigh => {
                let digit = match chroma {
                    "420" => 0,
                    "422" => 2,
                    _ => 4,
                };
                write!(f, "p{digit}{}le", self.bit_depth)
            }
        }
    }
}

fn depth_suffix(f: &mut fmt::Formatter<'_>, bit_depth: u8) -> fmt::Result {
    if bit_depth > 8 { write!(f, "{bit_depth}le") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in [
            "gray",
            "gray10le",
            "gray16le",
            "gbrp",
            "gbrp10le",
            "gbrap",
            "gbrap16le",
            "yuv420p",
            "yuv422p10le",
            "yuv444p12le",
            "yuv440p",
            "yuv411p",
            "yuv410p",
            "yuva420p",
            "yuva444p10le",
            "nv12",
            "nv16",
            "nv24",
            "p010le",
            "p210le",
            "p416le",
        ] {
            assert_eq!(PixelFormat::from_name(name).map(|format| format.to_string()).as_deref(), Some(name));
        }
        assert_eq!(PixelFormat::from_name("yuvj422p"), PixelFormat::from_name("yuv422p"));
        for name in
            ["rgb24", "gbrp16be", "gbrpf32le", "yuyv422", "yuv420p10be", "grayf32le", "pal8", "ya8", "yuv420p17le"]
        {
            assert_eq!(PixelFormat::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        assert_eq!(PixelFormat::yuv(1, 1, 8).plane_size(1, 161, 121), (81, 61));
        let nv12 = PixelFormat::from_name("nv12").unwrap();
        assert_eq!((nv12.n_planes(), nv12.plane_size(1, 161, 121)), (2, (162, 61)));
    }
}
