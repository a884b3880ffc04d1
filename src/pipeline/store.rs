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
