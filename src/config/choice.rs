//! The choices a person has: plain enums, each with the names it is chosen by.
//!
//! `config` fills them from text, the command line lists their names. What `Auto` comes to is decided by the plan.

use std::fmt;
use std::path::PathBuf;

use super::value;
use crate::error::Result;
use crate::tile::roi::Area;

/// A place in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Microseconds from the start of the input, 0 or more.
    Time(i64),
    /// A frame index from 0.
    Frame(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Position::Frame(index) => write!(f, "{index}f"),
            Position::Time(micros) => {
                let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
                write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
                if rest == 0 { Ok(()) } else { write!(f, ".{}", format!("{rest:06}").trim_end_matches('0')) }
            }
        }
    }
}

/// How windows are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tile {
    /// Decided by the plan.
    #[default]
    Auto,
    /// Whole frames.
    Off,
    /// Cores of this many luma pixels a side.
    Size(usize),
}

/// A size of pictures, in luma samples; of a side that nobody said, what keeps their shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureSize {
    /// Width and height.
    Exact(usize, usize),
    /// The width.
    Width(usize),
    /// The height.
    Height(usize),
}

impl PictureSize {
    /// For pictures of `size` (width, height). A side that follows from the other is even, so that every encoder takes it.
    pub fn of(self, size: (usize, usize)) -> (usize, usize) {
        if self == PictureSize::Width(size.0) || self == PictureSize::Height(size.1) {
            return size;
        }
        let even = |side: usize, from: usize, to: usize| ((side * from + to) / (2 * to)).max(1) * 2;
        match self {
            PictureSize::Exact(width, height) => (width, height),
            PictureSize::Width(width) => (width, even(width, size.1, size.0)),
            PictureSize::Height(height) => (even(height, size.0, size.1), height),
        }
    }
}

/// A part of the region of interest.
#[derive(Clone, Debug, PartialEq)]
pub enum Region {
    /// A rectangle.
    Area(Area),
    /// A PNG picture whose gray values are weights.
    Mask(PathBuf),
}

/// What is done when the output is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Nobody said: the run is refused.
    #[default]
    Refuse,
    /// It is replaced once the new one is complete.
    Yes,
    /// The run is refused, whatever a file or the environment says.
    Never,
}

/// What is done with a cache beside using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheAct {
    /// Tell what is in it.
    Stat,
    /// Read every record and forget those that are damaged.
    Verify,
    /// Forget all of it.
    Clear,
}

/// An enum whose values people choose by name.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$value_doc])* $value),+ }

        impl $name {
            /// What people write for it, in the order of the values.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The value of this name.
            pub fn parse(text: &str) -> Result<Self> {
                match text {
                    $($text => Ok($name::$value),)+
                    _ => Err(value::unknown(text, Self::NAMES)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$value => $text),+ })
            }
        }
    };
}

choice! {
    /// What is done with interlaced frames.
    Deinterlace {
        /// Frames flagged interlaced go through bwdif at the same rate.
        #[default]
        Auto = "auto",
        /// All frames are run as they are.
        Off = "off",
        /// All frames go through bwdif, flagged or not.
        Bwdif = "bwdif",
    }
}

choice! {
    /// What of a frame is not computed again.
    SkipMode {
        /// What depends on unchanged pixels only; the result is the same bit for bit.
        #[default]
        Exact = "exact",
        /// What depends on nearly unchanged pixels only.
        Near = "near",
        /// Nothing is skipped.
        Off = "off",
    }
}

choice! {
    /// What is done with what the network gives.
    Task {
        /// What the network is for: pictures become the output, and what is found is outlined.
        #[default]
        Auto = "auto",
        /// The network's pictures are the output.
        Image = "image",
        /// What is found is outlined.
        Detect = "detect",
        /// What is found is blurred.
        Blur = "blur",
        /// What is found is made of a few large squares.
        Pixelate = "pixelate",
    }
}

choice! {
    /// What runs the network.
    EngineChoice {
        /// Decided by the plan.
        #[default]
        Auto = "auto",
        /// vproc's own, for plain convolution networks.
        Native = "native",
        /// ONNX Runtime's own kernels.
        Ort = "ort",
        /// OpenVINO, through ONNX Runtime.
        OpenVino = "openvino",
    }
}

choice! {
    /// The arithmetic of the network.
    Precision {
        /// Decided by the plan.
        #[default]
        Auto = "auto",
        /// 32-bit floating point.
        F32 = "f32",
        /// TensorFloat-32 products, on CUDA devices.
        Tf32 = "tf32",
        /// Brain floating point, 16 bits.
        Bf16 = "bf16",
    }
}

/// Where the network runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A CUDA device if one can be used, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// CUDA devices of these numbers.
    Cuda(Vec<usize>),
}

impl DeviceChoice {
    /// `auto`, `cpu`, `cuda` (the first), or `cuda:` and numbers with commas between, each once.
    pub fn parse(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("cuda:")) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda(vec![0])),
            (_, Some(numbers)) => {
                let mut devices: Vec<usize> = Vec::new();
                for number in numbers.split(',') {
                    let number = number.parse().ok().filter(|number| !devices.contains(number));
                    devices.push(number.ok_or_else(|| value::unknown(text, DeviceChoice::FORMS))?);
                }
                Ok(DeviceChoice::Cuda(devices))
            }
            _ => Err(value::unknown(text, DeviceChoice::FORMS)),
        }
    }

    /// What people may write.
    const FORMS: &[&str] = &["auto", "cpu", "cuda:0", "cuda:0,1"];
}

choice! {
    /// How the run tells of its progress.
    ProgressMode {
        /// A line rewritten on a terminal, a plain line now and then elsewhere.
        #[default]
        Auto = "auto",
        /// An object a line on stderr, with FFmpeg's keys.
        Json = "json",
        /// Not at all.
        None = "none",
    }
}
