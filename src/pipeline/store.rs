//! Tiles of output pictures on their way into the cache and back.
//!
//! A value is the difference of the tile from what plain resizing makes of its input, which whoever reads it has too.
//! Assemble stores what a finished frame has of tiles that were missed; workers read.

use super::recall::{Found, Recall};
use crate::cache::pack::{Packer, Unpacker};
use crate::cache::{self, Kind, Stored};
use crate::error::Result;
use crate::frame::canvas::Patch;
use crate::frame::{Picture, PictureBuf, PixelFormat, Pool};
use crate::head::image::{ImageHead, Scratch as HeadScratch};
use crate::tile::Rect;

/// Bytes of a value before its packed samples: their sum.
const PREFIX: usize = 8;

/// Memory for tiles on their way.
#[derive(Default)]
pub struct Scratch {
    head: HeadScratch,
    record: Vec<u8>,
}

/// An area of an output picture with the planes that the network makes.
struct Part {
    format: PixelFormat,
    /// The planes, by their bits.
    planes: u8,
}

impl Part {
    fn of(head: &ImageHead) -> Self {
        Part { format: head.output_format(), planes: head.made_planes() }
    }

    fn planes(&self) -> impl Iterator<Item = usize> + use<> {
        let planes = self.planes;
        (0..self.format.n_planes()).filter(move |plane| planes >> plane & 1 == 1)
    }

    /// First column and first row of a plane that belong to an area of luma samples.
    fn origin(&self, plane: usize, area: Rect) -> (usize, usize) {
        let log2 = self.format.subsampling().filter(|_| self.format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
        (area.x >> log2.0, area.y >> log2.1)
    }
}

impl Recall {
    /// Stores tiles of a finished frame, `output`, that was made from `source`.
    pub fn store(
        &self,
        head: &ImageHead,
        source: &Picture,
        output: &Picture,
        missed: &[(Rect, cache::Key)],
        scratch: &mut Scratch,
    ) -> Result<()> {
        for &(area, key) in missed {
            // Another run may have been faster.
            if self.cache().has_room(PREFIX) && self.cache().find(key).is_none() {
                self.store_tile(head, source, output, (area, key), scratch)?;
            }
            self.made(key, output);
        }
        Ok(())
    }

    fn store_tile(
        &self,
        head: &ImageHead,
        source: &Picture,
        output: &Picture,
        (area, key): (Rect, cache::Key),
        scratch: &mut Scratch,
    ) -> Result<()> {
        let expected = expected(head, source, area, &mut scratch.head)?.freeze();
        let record = &mut scratch.record;
        record.clear();
        record.resize(cache::HEADER + PREFIX, 0);
        let part = Part::of(head);
        let mut packer = Packer::new(record);
        for plane in part.planes() {
            let (x, y) = part.origin(plane, area.scaled(head.scale()));
            let (from, to) = (output.plane(plane), expected.plane(plane));
            for row in 0..to.height() {
                match to.bytes_per_sample() {
                    1 => packer.row(&from.row_bytes(y + row)[x..][..to.width()], to.row_bytes(row)),
                    _ => packer.row(&from.row_u16(y + row)[x..][..to.width()], to.row_u16(row)),
                }
            }
        }
        let sum = packer.finish();
        record[cache::HEADER..][..PREFIX].copy_from_slice(&sum.to_le_bytes());
        if self.cache().store(key, Kind::Picture, record) == Stored::NoRoom {
            tracing::trace!("no room in the cache for {area:?}");
        }
        Ok(())
    }

    /// The output of a tile that was found; `None`, and it is not found again, if its record is not there any more or
    /// damaged.
    pub fn load(
        &self,
        head: &ImageHead,
        source: &Picture,
        found: &Found,
        scratch: &mut Scratch,
    ) -> Result<Option<PictureBuf>> {
        let out = self.unpack(head, source, found, scratch)?;
        if out.is_none() {
            self.cache().forget(found.key, found.place);
        }
        Ok(out)
    }

    fn unpack(
        &self,
        head: &ImageHead,
        source: &Picture,
        found: &Found,
        scratch: &mut Scratch,
    ) -> Result<Option<PictureBuf>> {
        let value = self.cache().read(found.key, Kind::Picture, found.place, &mut scratch.record);
        let Some((prefix, packed)) = value.and_then(|value| value.split_first_chunk::<PREFIX>()) else {
            return Ok(None);
        };
        let sum = u64::from_le_bytes(*prefix);
        let mut out = expected(head, source, found.area, &mut scratch.head)?;
        let mut unpacker = Unpacker::new(packed);
        for plane in Part::of(head).planes() {
            let mut plane = out.plane_mut(plane);
            for y in 0..plane.height() {
                let row = match plane.bytes_per_sample() {
                    1 => unpacker.row(plane.row_bytes(y)),
                    _ => unpacker.row(plane.row_u16(y)),
                };
                if row.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(unpacker.finish(sum).then_some(out))
    }
}

/// The planes that the network makes of an area of the input, out of a finished picture.
pub fn cut(head: &ImageHead, output: &Picture, area: Rect) -> Result<Patch> {
    let part = Part::of(head);
    let area = area.scaled(head.scale());
    let mut out = Pool::new().picture(part.format, area.width, area.height)?;
    for plane in part.planes() {
        let (x, y) = part.origin(plane, area);
        let mut to = out.plane_mut(plane);
        let (from, x) = (output.plane(plane), x * to.bytes_per_sample());
        for row in 0..to.height() {
            let to = to.row_bytes(row);
            to.copy_from_slice(&from.row_bytes(y + row)[x..][..to.len()]);
        }
    }
    Ok(Patch { picture: out.freeze(), place: (area.x, area.y), planes: part.planes })
}

/// The output of an area without the network.
fn expected(head: &ImageHead, source: &Picture, area: Rect, scratch: &mut HeadScratch) -> Result<PictureBuf> {
    let size = area.scaled(head.scale());
    let mut out = Pool::new().picture(head.output_format(), size.width, size.height)?;
    head.plain(source, head.made_planes(), area, &mut out, scratch)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::frame::ColorTags;
    use crate::head::image::PictureFacts;
    use crate::infer::{self, EngineSettings};
    use crate::model::{Tensor, builtin};
    use crate::pipeline::recall::{self, Scope};

    /// A gray picture with bright rectangles.
    fn picture(boxes: &[Rect]) -> Picture {
        let mut picture = Pool::new().picture(PixelFormat::gray(8), 64, 48).unwrap();
        let mut plane = picture.plane_mut(0);
        for y in 0..48 {
            for (x, sample) in plane.row_bytes(y).iter_mut().enumerate() {
                let is_in =
                    boxes.iter().any(|b| (b.x..b.x + b.width).contains(&x) && (b.y..b.y + b.height).contains(&y));
                *sample = if is_in { 230 } else { 20 + (x % 7) as u8 };
            }
        }
        picture.freeze()
    }

    /// What looks at whole pictures and answers with boxes: the test engine's picture, and a box around each run of
    /// bright columns in it. Numbers of four, as detections are.
    fn detect(head: &ImageHead, source: &Picture) -> Vec<[f32; 4]> {
        let network = builtin::find("identity").unwrap();
        let mut engine = infer::open(&network, &EngineSettings::default()).unwrap();
        let tensor = || Tensor::new(network.facts.input.element, network.facts.input.layout.shape(1, 1, 48, 64));
        let (mut input, mut output) = (tensor(), tensor());
        head.gather(source, head.picture().area(), &mut input, 0, &mut HeadScratch::default()).unwrap();
        engine.run(&input, &mut output).unwrap();
        let is_bright = |x: usize, y: usize| output.as_f32()[y * 64 + x] > 0.5;
        let mut boxes: Vec<[f32; 4]> = Vec::new();
        for x in 0..64 {
            let rows: Vec<usize> = (0..48).filter(|&y| is_bright(x, y)).collect();
            let (Some(&top), Some(&bottom)) = (rows.first(), rows.last()) else { continue };
            match boxes.last_mut() {
                Some(last) if last[2] == x as f32 => last[2] += 1.0,
                _ => boxes.push([x as f32, top as f32, x as f32 + 1.0, bottom as f32 + 1.0]),
            }
        }
        boxes
    }

    /// A stream of whole pictures whose detections are kept beside its pictures.
    struct Stream {
        head: ImageHead,
        recall: Recall,
        n_computed: usize,
    }

    impl Stream {
        fn new(folder: &std::path::Path, pictures: u128) -> Stream {
            let facts = PictureFacts { format: PixelFormat::gray(8), width: 64, height: 48, color: ColorTags::NONE };
            let head = ImageHead::new(&builtin::find("identity").unwrap().facts, facts).unwrap();
            let cache = Cache::open(folder, Some(4 << 20)).unwrap().0;
            let recall = Recall::new(cache, Scope { pictures, reach: None }, &head, 16);
            Stream { head, recall, n_computed: 0 }
        }

        /// As the chain does it with pictures: asked by the key of all that decides them, computed and stored if missed.
        fn detections(&mut self, source: &Picture) -> Vec<[f32; 4]> {
            let (cache, area) = (self.recall.cache(), self.head.picture().area());
            let key = self.recall.key(Kind::Detections, source, area, &mut recall::Scratch::default());
            let mut record = Vec::new();
            let known = cache.find(key).and_then(|place| cache.read(key, Kind::Detections, place, &mut record));
            if let Some(value) = known {
                return bytemuck::pod_collect_to_vec(value);
            }
            let boxes = detect(&self.head, source);
            let mut record = vec![0; cache::HEADER];
            record.extend_from_slice(bytemuck::cast_slice(&boxes));
            assert_eq!(cache.store(key, Kind::Detections, &mut record), Stored::Kept);
            self.n_computed += 1;
            boxes
        }
    }

    #[test]
    fn detections_of_whole_pictures_are_kept_under_the_keys_of_pictures_and_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let boxes = [Rect { x: 5, y: 7, width: 20, height: 9 }, Rect { x: 40, y: 1, width: 3, height: 40 }];
        let expected = vec![[5.0, 7.0, 25.0, 16.0], [40.0, 1.0, 43.0, 41.0]];
        let (one, none) = (picture(&boxes), picture(&[]));
        let mut first = Stream::new(folder.path(), 7);
        assert_eq!(first.detections(&one), expected);
        assert_eq!(first.detections(&none), Vec::<[f32; 4]>::new());
        assert_eq!((first.detections(&one), first.n_computed), (expected.clone(), 2));
        // The picture of the same frame, on the way that the chain goes.
        let area = first.head.picture().area();
        let key = first.recall.key(Kind::Picture, &one, area, &mut recall::Scratch::default());
        let mut scratch = Scratch::default();
        first.recall.store(&first.head, &one, &one, &[(area, key)], &mut scratch).unwrap();
        drop(first);
        // Another run has both, without computing; nothing found is known as well.
        let mut next = Stream::new(folder.path(), 7);
        assert_eq!((next.detections(&one), next.detections(&none).len(), next.n_computed), (expected.clone(), 0, 0));
        let place = next.recall.cache().find(key).unwrap();
        let found = Found { area, key, place, window: None, n_pixels: 64 * 48 };
        let loaded = next.recall.load(&next.head, &one, &found, &mut scratch).unwrap().unwrap().freeze();
        (0..48).for_each(|y| assert_eq!(loaded.plane(0).row_bytes(y), one.plane(0).row_bytes(y)));
        assert_eq!(next.recall.cache().verify().good, 3);
        // What something else decides has none of it.
        drop(next);
        let mut other = Stream::new(folder.path(), 8);
        assert_eq!((other.detections(&one), other.n_computed), (expected, 1));
    }
}
