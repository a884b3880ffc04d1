//! The image sequence source: numbered PNG files, 8 or 16 bits, gray or R'G'B'.
//!
//! Samples stay as they are, tagged as sRGB, and colour profiles ride with them. Opacity is dropped with a warning. Every
//! picture has the size of the first; one with less colour or depth than the first is widened, one with more refused.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::codecs::png::PngDecoder;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};

use super::overlap::Overlap;
use super::{Damage, Leap, Leapt, Source, SourceFacts, check_size};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{ColorRange, ColorTags, FieldOrder, Frame, Picture, PixelFormat, Pool, SideData};
use crate::meter::Metered;
use crate::sequence::Sequence;
use crate::tile::roi::Mask;
use crate::time::{Ratio, TimeBase};

/// The pictures of a sequence of files.
pub struct ImagesSource {
    sequence: Sequence,
    first_number: u64,
    facts: SourceFacts,
    pool: Pool,
    n_frames: u64,
    /// What is missing behind the last picture.
    gap: Option<Damage>,
    /// Damage is an error.
    strict: bool,
    damage: Damage,
    has_alpha: bool,
}

impl ImagesSource {
    /// Opens the files that `pattern` names (see [`Sequence::parse`]), from the smallest number to the first gap, shown
    /// at `fps`. What lies behind a gap is lost, and damage.
    pub fn open(pattern: &Path, fps: Ratio) -> Result<Self> {
        let sequence = Sequence::parse(pattern)?;
        let time_base = TimeBase::new(fps.den, fps.num).ok_or_else(|| {
            Error::new(Kind::Usage, format!("images at {fps} frames a second, expected a positive rate; try --fps 24"))
        })?;
        let numbers = sequence.numbers()?;
        let Some(first_number) = numbers.first().copied() else {
            let message = format!("no file is named like {}", pattern.display());
            return Err(Error::new(Kind::Input, message));
        };
        let n_files = numbers.iter().zip(first_number..).take_while(|(number, expected)| *number == expected).count();
        let gap = numbers.get(n_files).zip(numbers.last()).map(|(next, last)| {
            let (missing, left) = (first_number + n_files as u64, numbers.len() - n_files);
            let (path, next) = (sequence.path(missing), sequence.path(*next));
            let (path, next) = (path.display(), next.display());
            let line = format!("the sequence ends where {path} is missing; {left} files from {next} on are left out");
            Damage { n_frames: last - missing + 1, lines: vec![line] }
        });
        let decoder = open_png(&sequence.path(first_number))?;
        let (width, height) = decoder.dimensions();
        let color = decoder.color_type();
        let bit_depth = if color.bytes_per_pixel() / color.channel_count() == 2 { 16 } else { 8 };
        let (format, matrix) =
            if color.has_color() { (PixelFormat::rgb(bit_depth), 0) } else { (PixelFormat::gray(bit_depth), 2) };
        let facts = SourceFacts {
            kind: "png sequence".to_owned(),
            width: width as usize,
            height: height as usize,
            format,
            converted_from: None,
            // Primaries and transfer of sRGB, H.273 code points 1 and 13.
            color: ColorTags {
                range: Some(ColorRange::Full),
                matrix,
                primaries: 1,
                transfer: 13,
                chroma_location: None,
            },
            sample_aspect_ratio: Ratio::new(1, 1),
            field_order: FieldOrder::Progressive,
            time_base,
            frame_rate: fps,
            n_frames: Some(n_files as u64),
            side_data: Vec::new(),
        };
        Ok(ImagesSource {
            sequence,
            first_number,
            facts,
            pool: Pool::new(),
            n_frames: 0,
            gap,
            strict: false,
            damage: Damage::default(),
            has_alpha: false,
        })
    }

    /// With `strict` a gap is an error.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        ImagesSource { strict, ..self }
    }

    /// Notes what is missing, which nobody misses who asks for fewer pictures.
    fn end(&mut self) -> Result<Option<Frame>> {
        match self.gap.take() {
            Some(gap) if self.strict => {
                let line = gap.lines.join("; ");
                Err(Error::new(Kind::Input, format!("{line}; without --strict that is the end")))
            }
            Some(gap) => {
                self.damage = gap;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// A picture, and what rides with it.
    fn read(&mut self, path: &Path) -> Result<(Picture, Vec<SideData>)> {
        let mut decoder = open_png(path)?;
        let (width, height) = decoder.dimensions();
        let color = decoder.color_type();
        let format = self.facts.format;
        let refuse = |what: String| Err(Error::new(Kind::Input, format!("{}: {what}", path.display())));
        if (width as usize, height as usize) != (self.facts.width, self.facts.height) {
            let (first_width, first_height) = (self.facts.width, self.facts.height);
            return refuse(format!("{width}x{height}, expected {first_width}x{first_height} as the first picture has"));
        }
        let is_gray = format.is_gray();
        if color.has_color() && is_gray {
            return refuse("colour, expected gray as the first picture is; save the first one in colour".to_owned());
        }
        if color.bytes_per_pixel() / color.channel_count() == 2 && format.bit_depth == 8 {
            return refuse(
                "16 bits a sample, expected 8 as the first picture has; save the first one with 16".to_owned(),
            );
        }
        self.has_alpha |= color.has_alpha();
        let profile = decoder.icc_profile().map_err(|error| undecodable(path, error))?;
        let profile = profile.map(|bytes| SideData { kind: SideData::ICC_PROFILE, bytes });
        let image = DynamicImage::from_decoder(decoder).map_err(|error| undecodable(path, error))?;
        let mut picture = self.pool.picture(format, self.facts.width, self.facts.height)?;
        match (is_gray, format.bit_depth) {
            (true, 8) => picture.fill_from(image.into_luma8().as_raw()),
            (true, _) => picture.fill_from(image.into_luma16().as_raw()),
            (false, 8) => picture.fill_from(image.into_rgb8().as_raw()),
            (false, _) => picture.fill_from(image.into_rgb16().as_raw()),
        }
        Ok((picture.freeze(), profile.into_iter().collect()))
    }
}

impl Source for ImagesSource {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if Some(self.n_frames) == self.facts.n_frames {
            return self.end();
        }
        let index = self.n_frames;
        let path = self.sequence.path(self.first_number + index);
        let (picture, side_data) = self.read(&path).context(|| format!("frame {index}"))?;
        self.n_frames += 1;
        Ok(Some(Frame {
            index,
            pts: pts(index),
            duration: Some(1),
            picture,
            color: self.facts.color,
            sample_aspect_ratio: self.facts.sample_aspect_ratio,
            field_order: FieldOrder::Progressive,
            side_data,
        }))
    }

    /// Every picture stands alone, so those before need not be looked at but for their hash.
    fn leap(&mut self, leap: &Leap) -> Result<Leapt> {
        let start = leap.start.unwrap_or(0);
        let begin = u64::try_from(start).unwrap_or(0);
        let to = begin + leap.to;
        if to >= self.facts.n_frames.unwrap_or(0) {
            return Leapt::not("the sequence ends before it");
        }
        let times: Vec<i64> = (begin..to).map(|index| pts(index) - start).collect();
        if !(leap.is_known)(&times) {
            return Leapt::not("the pictures before have other times");
        }
        for index in begin..to {
            self.has_alpha |= open_png(&self.sequence.path(self.first_number + index))?.color_type().has_alpha();
        }
        let mut hash = Overlap::default();
        self.n_frames = to.saturating_sub(leap.n_overlap).max(begin);
        while self.n_frames < to {
            let Some(frame) = self.next_frame()? else { break };
            hash.push(&frame);
        }
        if hash.value() == leap.overlap {
            return Ok(Leapt::There);
        }
        self.n_frames = 0;
        Leapt::not("the pictures before it are others")
    }

    fn skip(&mut self, to: i64) -> Result<Leapt> {
        self.n_frames = u64::try_from(to).unwrap_or(0).min(self.facts.n_frames.unwrap_or(0));
        Ok(Leapt::There)
    }

    fn damage(&self) -> Damage {
        self.damage.clone()
    }

    fn warnings(&self) -> Vec<String> {
        self.has_alpha.then(|| "the images have opacity, which is dropped".to_owned()).into_iter().collect()
    }
}

/// Times count pictures.
fn pts(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// A decoder that has read the header, for a picture of a size we take.
fn open_png(path: &Path) -> Result<PngDecoder<BufReader<Metered<File>>>> {
    let file = File::open(path).map_err(|error| Error::open(path.display(), error))?;
    // The picture itself may take 8 bytes for each of `MAX_PIXELS`; what is beyond is text chunks and the like.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(8 * super::MAX_PIXELS as u64 + (1 << 26));
    let decoder = PngDecoder::with_limits(BufReader::with_capacity(1 << 18, Metered(file)), limits);
    let decoder = decoder.map_err(|error| undecodable(path, error))?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize).context(|| path.display().to_string())?;
    Ok(decoder)
}

/// The gray values of a PNG picture, as weights.
pub fn read_mask(path: &Path) -> Result<Mask> {
    let decoder = open_png(path)?;
    let (width, height) = decoder.dimensions();
    let image = DynamicImage::from_decoder(decoder).map_err(|error| undecodable(path, error))?;
    Ok(Mask { width: width as usize, height: height as usize, values: image.into_luma8().into_raw() })
}

fn undecodable(path: &Path, error: ImageError) -> Error {
    let path = path.display();
    match error {
        ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::io(format!("read {path}"), error)
        }
        error => Error::new(Kind::Input, format!("{path} is not a whole PNG picture: {error}")).with_source(error),
    }
}
