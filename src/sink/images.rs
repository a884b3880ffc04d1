//! The image sequence sink: a PNG file a frame, numbered from 1.
//!
//! 8 bits a sample for 8 and 16 for more. R'G'B' stays as it is, and so do colour profiles. Y'CbCr becomes R'G'B' by the
//! stream's matrix and range; chroma is brought up linearly, each sample at its place (left where no place is tagged, as
//! in MPEG-2). Gray stays gray, in full range. The transfer is left as it is. Each file is written whole before it gets
//! its name. Existing files are the caller's question.

use std::io::{BufWriter, Write};
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::error::UnsupportedError;
use image::{ExtendedColorType, ImageEncoder};

use super::full::Converter;
use super::part::{PartFile, sync_folder};
use super::planar::to_planar;
use super::{Finished, Sink, VideoFacts};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{Frame, Picture, Pool, SideData};
use crate::meter::Metered;
use crate::sequence::Sequence;

/// Writes frames as numbered PNG files.
pub struct ImagesSink {
    sequence: Sequence,
    facts: VideoFacts,
    converter: Converter,
    pool: Pool,
    n_frames: u64,
}

impl ImagesSink {
    /// Writes the files that `pattern` names (see [`Sequence::parse`]); makes their folder.
    pub fn create(pattern: &Path, facts: &VideoFacts) -> Result<Self> {
        let sequence = Sequence::parse(pattern)?;
        let fail = |error| Error::io(format!("make the folder {}", sequence.folder().display()), error);
        std::fs::create_dir_all(sequence.folder()).map_err(fail)?;
        let converter = Converter::new(facts);
        Ok(ImagesSink { sequence, facts: facts.clone(), converter, pool: Pool::new(), n_frames: 0 })
    }
}

impl Sink for ImagesSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.facts.check(&frame.picture)?;
        let picture = to_planar(&frame.picture, &self.pool)?;
        let path = self.sequence.path(self.n_frames + 1);
        let is_gray = picture.format().is_gray();
        let profile = frame.side_data.iter().find(|data| data.kind == SideData::ICC_PROFILE);
        let part = PartFile::create(&path)?;
        let written = if picture.format().bit_depth == 8 {
            let color = if is_gray { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
            let samples = self.converter.samples(&picture, 255.0, |value| value as u8);
            encode(&part, &picture, &samples, (color, profile))
        } else {
            let color = if is_gray { ExtendedColorType::L16 } else { ExtendedColorType::Rgb16 };
            let samples = self.converter.samples(&picture, 65535.0, |value| value as u16);
            encode(&part, &picture, bytemuck::cast_slice(&samples), (color, profile))
        };
        written.context(|| format!("write {}", path.display()))?;
        part.publish()?;
        self.n_frames += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        sync_folder(self.sequence.folder())?;
        let mut warnings = Vec::new();
        let left = self.sequence.numbers()?.into_iter().find(|number| *number > self.n_frames);
        if let Some(left) = left {
            let path = self.sequence.path(left);
            warnings.push(format!(
                "{}, and what follows it, is older than this run; it is not of this video",
                path.display()
            ));
        }
        if self.facts.format.alpha {
            warnings.push("the frames have opacity, which is not in the images".to_owned());
        }
        // H.273: 16 is PQ, 18 is HLG.
        if matches!(self.facts.color.transfer, 16 | 18) {
            let transfer = self.facts.color.transfer;
            warnings.push(format!("the images carry no colour tags: transfer {transfer} (H.273, HDR) is lost"));
        }
        Ok(Finished { n_frames: self.n_frames, warnings, ..Finished::default() })
    }

    fn stop(self: Box<Self>) -> Result<()> {
        sync_folder(self.sequence.folder())
    }
}

fn encode(
    part: &PartFile,
    picture: &Picture,
    bytes: &[u8],
    (color, profile): (ExtendedColorType, Option<&SideData>),
) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 18, Metered(part.file()));
    // Fast: 45 times quicker than the default and 2 % larger (the pattern at 1080p).
    let mut encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    if let Some(profile) = profile {
        let refused = |error: UnsupportedError| Error::new(Kind::Encode, error.to_string());
        encoder.set_icc_profile(profile.bytes.clone()).map_err(refused)?;
    }
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    encoder.write_image(bytes, width, height, color).map_err(|error| match error {
        image::ImageError::IoError(error) => Error::io("write", error),
        error => Error::new(Kind::Encode, error.to_string()).with_source(error),
    })?;
    file.flush().map_err(|error| Error::io("write", error))
}
