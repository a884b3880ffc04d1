//! Sources: where frames come from.
//!
//! A source yields frames in presentation order, numbered from 0 without holes, and says at the end what was damaged.
//! It knows nothing of sinks, networks or threads.

pub mod deinterlaced;
pub mod ffmpeg;
pub mod images;
pub mod overlap;
pub mod pattern;
pub mod timeline;
pub mod trim;
pub mod y4m;

use crate::error::{Error, Kind, Result};
use crate::frame::{ColorTags, FieldOrder, Frame, PixelFormat, SideData};
use crate::time::{Ratio, TimeBase};

/// What is known of a source before its first frame is taken.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// What kind of source, for people: `h264 in mov,mp4`, `y4m`, `png sequence`, `pattern`.
    pub kind: String,
    /// Luma samples a row; every frame has this size (a change in mid-stream is resized back).
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// The pixel format of every frame.
    pub format: PixelFormat,
    /// What was converted to get `format`, as FFmpeg's pixel format name, if anything was.
    pub converted_from: Option<String>,
    /// The stream's colour tags.
    pub color: ColorTags,
    /// Sample aspect ratio; unknown when a part is 0.
    pub sample_aspect_ratio: Ratio,
    /// Whether, and how, the stream is interlaced.
    pub field_order: FieldOrder,
    /// What pts and durations count.
    pub time_base: TimeBase,
    /// The nominal frame rate; unknown when a part is 0.
    pub frame_rate: Ratio,
    /// How many frames are expected, where that is known beforehand.
    pub n_frames: Option<u64>,
    /// What rides with the first frame (mastering display, content light level, ...).
    pub side_data: Vec<SideData>,
}

/// What a source found broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Frames that should have been there and were not, or came out damaged.
    pub n_frames: u64,
    /// What happened, a line each, at most a few.
    pub lines: Vec<String>,
}

/// Where a source is asked to go on, and what is known of the frames before.
#[derive(Clone, Copy)]
pub struct Leap<'a> {
    /// The index of the first frame that is wanted, above 0.
    pub to: u64,
    /// The pts from which frames are counted, and which is taken from theirs; `None`: from the first, and from none.
    pub start: Option<i64>,
    /// Whether these are the pts of the frames before.
    pub is_known: &'a dyn Fn(&[i64]) -> bool,
    /// How many of the last of them `overlap` is of.
    pub n_overlap: u64,
    /// Their hash, [`overlap::Overlap`].
    pub overlap: u64,
}

/// What came of a [`Leap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leapt {
    /// The next frame is the one that was wanted.
    There,
    /// Nothing has changed; why.
    Not(String),
}

impl Leapt {
    fn not(why: impl Into<String>) -> Result<Leapt> {
        Ok(Leapt::Not(why.into()))
    }
}

/// Where frames come from.
pub trait Source: Send {
    /// What is known beforehand.
    fn facts(&self) -> &SourceFacts;

    /// The next frame; `None` at the end.
    fn next_frame(&mut self) -> Result<Option<Frame>>;

    /// Goes on in the middle without the frames before, if it can be proven that those that follow are the same. Before
    /// the first frame is taken.
    fn leap(&mut self, _leap: &Leap) -> Result<Leapt> {
        Leapt::not("this kind of source gives all its frames")
    }

    /// The same for the first frame that is shown at `to`, in ticks, or later, where nobody has seen those before.
    fn skip(&mut self, _to: i64) -> Result<Leapt> {
        Leapt::not("this kind of source gives all its frames")
    }

    /// What was broken; complete once `next_frame` has given `None`.
    fn damage(&self) -> Damage {
        Damage::default()
    }

    /// What a person should hear about the source once, complete at the end.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Most luma samples a picture may have; FFmpeg refuses larger ones as well.
pub const MAX_PIXELS: usize = (1 << 29) - 1;

/// Refuses a picture size that is not 1..=65535 both ways or has more than [`MAX_PIXELS`], before memory is taken.
pub fn check_size(width: usize, height: usize) -> Result<()> {
    let message = if !(1..=65535).contains(&width) || !(1..=65535).contains(&height) {
        format!("a picture of {width}x{height}, expected 1 to 65535 samples each way; is the header damaged?")
    } else if width * height > MAX_PIXELS {
        format!("a picture of {width}x{height} is more than {MAX_PIXELS} samples; scale it down first")
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Input, message))
}
