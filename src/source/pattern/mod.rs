//! The test pattern: a made-up video with film-like motion, the same on every machine.
//!
//! A textured background pans slowly by fractions of a sample, discs drift over it, a ramp at the top and a panel of
//! text-like strokes at the bottom left stand still, and at a third of the length the scene cuts. All of it is integer
//! arithmetic. Rows are cut from a texture that is made once and is larger than the frame, so that a frame costs
//! little more than writing it. Used by tests and benches; it shows no particular film.

mod noise;
mod scene;
mod spec;

use noise::Grain;
use scene::{Layer, Scene};
pub use spec::PatternSpec;

use super::{Source, SourceFacts, check_size};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{ChromaLocation, ColorRange, ColorTags, FieldOrder, Frame, Packing, PlaneMut, Pool};
use crate::time::{Ratio, TimeBase};

/// Frames of a [`PatternSpec`].
pub struct PatternSource {
    spec: PatternSpec,
    facts: SourceFacts,
    layers: Vec<Layer>,
    grain: Option<Grain>,
    row: Vec<u16>,
    pool: Pool,
    n_frames: u64,
}

impl PatternSource {
    /// Makes the texture; frames are made as they are taken.
    pub fn new(spec: PatternSpec) -> Result<Self> {
        check_size(spec.width, spec.height).context(|| "pattern")?;
        if spec.grain > 32 {
            return Err(Error::new(Kind::Usage, format!("a pattern with grain {}, expected 0 to 32", spec.grain)));
        }
        if spec.format.packing != Packing::Planar {
            let message = format!("the pattern is not made in {}; try {}", spec.format, spec.format.planar());
            return Err(Error::new(Kind::Usage, message));
        }
        let time_base = TimeBase::new(spec.frame_rate.den, spec.frame_rate.num).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("a pattern at {} frames a second, expected a positive rate", spec.frame_rate),
            )
        })?;
        // What a reader assumes who loses the tags: BT.709 from 720 lines up, else BT.601 (H.273 code points 1 and 6).
        let point = if spec.height >= 720 { 1 } else { 6 };
        let is_subsampled = spec.format.subsampling().is_some_and(|subsampling| subsampling.x + subsampling.y > 0);
        let facts = SourceFacts {
            kind: "pattern".to_owned(),
            width: spec.width,
            height: spec.height,
            format: spec.format,
            converted_from: None,
            color: ColorTags {
                range: Some(ColorRange::Limited),
                matrix: point,
                primaries: point,
                transfer: point,
                chroma_location: is_subsampled.then_some(ChromaLocation::Left),
            },
            sample_aspect_ratio: Ratio::new(1, 1),
            field_order: FieldOrder::Progressive,
            time_base,
            frame_rate: spec.frame_rate,
            n_frames: Some(spec.n_frames),
            side_data: Vec::new(),
        };
        let n_layers = if spec.format.subsampling().is_some() { 3 } else { 1 };
        let layers = (0..n_layers).map(|plane| Layer::new(&spec, plane)).collect();
        let grain = Grain::new(spec.seed, spec.grain, spec.format.bit_depth);
        Ok(PatternSource { spec, facts, layers, grain, row: Vec::new(), pool: Pool::new(), n_frames: 0 })
    }
}

impl Source for PatternSource {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.n_frames == self.spec.n_frames {
            return Ok(None);
        }
        let index = self.n_frames;
        self.n_frames += 1;
        let mut picture = self.pool.picture(self.spec.format, self.spec.width, self.spec.height)?;
        let scene = Scene::at(&self.spec, index);
        for plane in 0..self.spec.format.n_planes() {
            let mut to = picture.plane_mut(plane);
            self.row.resize(to.width(), 0);
            for y in 0..to.height() {
                match self.layers.get(plane) {
                    Some(layer) => layer.row(&scene, y, &mut self.row),
                    // Opacity: all of it.
                    None => self.row.fill(u16::MAX >> (16 - self.spec.format.bit_depth)),
                }
                if let Some(grain) = self.grain.as_ref().filter(|_| plane == 0) {
                    grain.add(index, y, &mut self.row);
                }
                store(&self.row, &mut to, y);
            }
        }
        Ok(Some(Frame {
            index,
            pts: i64::try_from(index).expect("fewer frames than an i64 counts"),
            duration: Some(1),
            picture: picture.freeze(),
            color: self.facts.color,
            sample_aspect_ratio: self.facts.sample_aspect_ratio,
            field_order: FieldOrder::Progressive,
            side_data: Vec::new(),
        }))
    }
}

fn store(row: &[u16], to: &mut PlaneMut, y: usize) {
    if to.bytes_per_sample() == 2 {
        to.row_u16(y).copy_from_slice(row);
    } else {
        to.row_bytes(y).iter_mut().zip(row).for_each(|(to, from)| *to = *from as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::noise::hash;
    use super::*;
    use crate::frame::{Picture, PixelFormat};

    fn frames(text: &str) -> Vec<Picture> {
        let mut source = PatternSource::new(PatternSpec::parse(text).unwrap()).unwrap();
        std::iter::from_fn(|| source.next_frame().unwrap()).map(|frame| frame.picture).collect()
    }

    fn samples(picture: &Picture, plane: usize) -> Vec<u16> {
        let plane = picture.plane(plane);
        let row = |y| match plane.bytes_per_sample() {
            1 => plane.row_bytes(y).iter().copied().map(u16::from).collect(),
            _ => plane.row_u16(y).to_vec(),
        };
        (0..plane.height()).flat_map(row).collect()
    }

    /// Mean absolute difference of two pictures in luma.
    fn difference(a: &Picture, b: &Picture) -> f64 {
        let (a, b) = (samples(a, 0), samples(b, 0));
        let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        sum / a.len() as f64
    }

    #[test]
    fn the_description_is_read_and_nonsense_refused() {
        assert_eq!(PatternSpec::parse("pattern:").unwrap(), PatternSpec::default());
        let spec = PatternSpec::parse("pattern:161x121@30000/1001,frames=9,format=yuv422p10le,seed=7,grain=3").unwrap();
        assert_eq!((spec.width, spec.height, spec.n_frames, spec.seed, spec.grain), (161, 121, 9, 7, 3));
        assert_eq!((spec.frame_rate, spec.format), (Ratio::new(30_000, 1001), PixelFormat::yuv(1, 0, 10)));
        assert_eq!(PatternSpec::parse("pattern:@50,frames=1").unwrap().frame_rate, Ratio::new(50, 1));
        for text in
            ["pattern", "pattern:1280", "pattern:axb", "pattern:frames=-1", "pattern:grain=33", "pattern:,64x64"]
        {
            assert_eq!(PatternSpec::parse(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        for text in ["pattern:0x2", "pattern:70000x2", "pattern:@0", "pattern:format=nv12"] {
            assert!(PatternSource::new(PatternSpec::parse(text).unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn every_size_and_format_stays_within_its_codes() {
        for size in ["1x1", "2x3", "17x5", "161x121", "300x64"] {
            for format in
                ["gray", "gray12le", "yuv420p", "yuv420p10le", "yuv422p", "yuv444p16le", "yuva420p", "yuv410p"]
            {
                for grain in [0, 32] {
                    let pictures = frames(&format!("pattern:{size},frames=4,format={format},grain={grain}"));
                    assert_eq!(pictures.len(), 4);
                    let (format, picture) = (pictures[3].format(), &pictures[3]);
                    for plane in 0..format.n_planes() {
                        let largest = samples(picture, plane).into_iter().max().unwrap();
                        assert!(u32::from(largest) < 1 << format.bit_depth, "{size} {format} plane {plane}: {largest}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_moves_slowly_cuts_once_and_its_static_part_stands_still() {
        let pictures = frames("pattern:320x180,frames=30");
        let step = |n: usize| difference(&pictures[n], &pictures[n + 1]);
        let cut = step(9);
        for n in (0..29).filter(|n| *n != 9) {
            assert!(step(n) > 0.1 && step(n) < cut / 4.0, "frames {n} and {}: {}, the cut {cut}", n + 1, step(n));
        }
        let ramp = pictures[0].plane(0).row_bytes(0);
        assert!((ramp[0], ramp[319]) == (16, 235) && ramp.is_sorted());
        for y in [0, 10, 150, 170] {
            for picture in &pictures {
                assert_eq!(picture.plane(0).row_bytes(y)[..100], pictures[0].plane(0).row_bytes(y)[..100], "row {y}");
            }
        }
    }

    #[test]
    fn the_same_description_gives_the_same_pixels_everywhere() {
        // Known values: whoever changes the pattern changes every bench that was measured with it.
        let digest = |text| {
            let pictures = frames(text);
            let all = pictures.iter().flat_map(|picture| (0..3).flat_map(|plane| samples(picture, plane)));
            all.fold(0, |state, sample| hash(1, state, u64::from(sample)))
        };
        let first = digest("pattern:161x121,frames=4,format=yuv420p10le,grain=2");
        assert_eq!(first, 8_802_492_991_626_009_218);
        assert_ne!(first, digest("pattern:161x121,frames=4,format=yuv420p10le,grain=2,seed=2"));
    }
}
