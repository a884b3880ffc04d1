//! What has been seen before, in this run or another: the survey asks here for tiles whose content was computed already.
//!
//! Tiles lie on a fixed grid, so the same picture asks for the same keys whatever was dirty before it, and whatever
//! windows were chosen. A key covers all samples that can change the tile's output, where it lies, and all that decides
//! pictures. What is not known is remembered as under way: a later frame that needs the same takes it from the finished
//! picture of the first, which is there before its own turn comes, so nobody waits. Tiles are packed and unpacked in
//! [`super::store`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::near::part;
use super::survey::planes;
use crate::cache::{Cache, Key, Kind, Place};
use crate::frame::Picture;
use crate::head::image::{ImageHead, PictureFacts};
use crate::tile::Rect;
use crate::tile::cells::Cells;
use crate::tile::cover::Cover;
use crate::tile::grid::Tile;

/// The side of a tile in pixels, about: smaller ones take more samples around them into their keys, larger ones are less
/// often the same.
const TILE: usize = 128;

/// What decides the output beside the pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// A hash of all that decides pictures.
    pub pictures: u128,
    /// How far a changed sample changes a tile's output, in luma pixels; `None` where tiles are whole pictures.
    pub reach: Option<usize>,
}

/// The cache as the chain sees it; shared by all its threads.
pub struct Recall {
    cache: Cache,
    scope: Scope,
    picture: PictureFacts,
    /// Planes of the source that decide what the network makes.
    planes: Vec<usize>,
    /// A cell a tile.
    grid: Cells,
    /// Tiles that are being computed, for frames behind them.
    under_way: Mutex<HashMap<Key, Arc<Made>>>,
    /// Tiles that were asked for.
    asked: AtomicU64,
    /// Of these, tiles that were not computed.
    found: AtomicU64,
    /// Pixels of tiles that were found and could not be read.
    lost_pixels: AtomicU64,
    /// Pixels of the windows that were run for them.
    computed_pixels: AtomicU64,
}

/// What a run did with the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Bytes of the cache.
    pub capacity: u64,
    /// Tiles that were asked for.
    pub asked: u64,
    /// Of these, tiles that were not computed: they were read, or were under way for an earlier frame.
    pub found: u64,
    /// Tiles stored.
    pub stored: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Tiles that were found and could not be read.
    pub bad: u64,
    /// Why the cache was turned off on the way.
    pub trouble: Option<String>,
}

/// The picture in which a tile was computed, once it is finished.
pub type Made = OnceLock<Picture>;

/// A tile whose output the cache has.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its pixels in the input.
    pub area: Rect,
    /// Its key.
    pub key: Key,
    /// Where its record lies.
    pub place: Place,
    /// The window that it is computed in if the record cannot be read; the whole frame without one.
    pub window: Option<Tile>,
    /// Of its pixels, those that were asked for.
    pub n_pixels: u64,
}

/// A tile that an earlier frame is being computed for.
pub struct Shared {
    /// Its pixels in the input.
    pub area: Rect,
    /// Filled before the turn of any later frame comes.
    pub made: Arc<Made>,
}

/// What the cache says of a frame.
#[derive(Default)]
pub struct Recalled {
    /// How many tiles it was asked for.
    pub n_asked: u64,
    /// Tiles that it has.
    pub found: Vec<Found>,
    /// Tiles that are under way.
    pub shared: Vec<Shared>,
    /// Tiles to be stored once the frame is finished.
    pub missed: Vec<(Rect, Key)>,
}

impl Recalled {
    /// All of the frame is computed in any case.
    pub fn use_nothing(&mut self) {
        self.found.clear();
        self.shared.clear();
    }
}

/// Room for the bytes of a key.
#[derive(Default)]
pub struct Scratch {
    bytes: Vec<u8>,
}

impl Recall {
    /// The cache for a stream that goes through `head`; `cell` is the side of the survey's cells.
    pub fn new(cache: Cache, scope: Scope, head: &ImageHead, cell: usize) -> Self {
        let picture = head.picture();
        let side = match scope.reach {
            Some(_) => TILE.next_multiple_of(cell),
            None => picture.width.max(picture.height).next_multiple_of(cell),
        };
        Recall {
            cache,
            scope,
            picture,
            planes: planes(picture, head.made_planes()).collect(),
            grid: Cells::new((picture.width, picture.height), (side, side)),
            under_way: Mutex::default(),
            asked: AtomicU64::new(0),
            found: AtomicU64::new(0),
            lost_pixels: AtomicU64::new(0),
            computed_pixels: AtomicU64::new(0),
        }
    }

    /// The cache itself.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A tile of so many pixels that was found could not be read and was computed, in windows of so many.
    pub fn lose(&self, n_pixels: u64, n_computed: u64) {
        self.lost_pixels.fetch_add(n_pixels, Ordering::Relaxed);
        self.computed_pixels.fetch_add(n_computed, Ordering::Relaxed);
    }

    /// Pixels of tiles that were found and had to be computed, and of the windows that were run for them.
    pub fn lost_pixels(&self) -> [u64; 2] {
        [&self.lost_pixels, &self.computed_pixels].map(|count| count.load(Ordering::Relaxed))
    }

    /// What was done with the cache.
    pub fn remembered(&self) -> Remembered {
        let (stored, stored_bytes, bad) = self.cache.counts();
        let [asked, found] = [&self.asked, &self.found].map(|count| count.load(Ordering::Relaxed));
        let (capacity, trouble) = (self.cache.capacity(), self.cache.trouble());
        Remembered { capacity, asked, found: found.saturating_sub(bad), stored, stored_bytes, bad, trouble }
    }

    /// Counts what a frame asked for, and what of it is used.
    pub fn count(&self, recalled: &Recalled) {
        let n_used = recalled.found.len() + recalled.shared.len();
        self.asked.fetch_add(recalled.n_asked, Ordering::Relaxed);
        self.found.fetch_add(n_used as u64, Ordering::Relaxed);
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Arc<Made>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the dirty cells of a frame, which are cleared where it is. Frames are asked for in order.
    pub fn ask(&self, picture: &Picture, dirty: &mut Cells, cover: &Cover, scratch: &mut Scratch) -> Recalled {
        let mut recalled = Recalled::default();
        if dirty.is_empty() {
            return recalled;
        }
        let mut tiles = self.grid.clone();
        tiles.clear();
        tiles.mark_grown(dirty, 0);
        for row in 0..tiles.rows() {
            for column in tiles.runs(row).flatten() {
                let area = self.grid.rect(column..column + 1, row..row + 1);
                self.ask_tile(picture, area, dirty, cover, &mut recalled, scratch);
            }
        }
        recalled
    }

    fn ask_tile(
        &self,
        picture: &Picture,
        area: Rect,
        dirty: &mut Cells,
        cover: &Cover,
        recalled: &mut Recalled,
        scratch: &mut Scratch,
    ) {
        recalled.n_asked += 1;
        let key = self.key(Kind::Picture, picture, area, scratch);
        let mut under_way = self.under_way();
        let n_pixels = dirty.pixels_in(area) as u64;
        if let Some(made) = under_way.get(&key) {
            recalled.shared.push(Shared { area, made: Arc::clone(made) });
        } else if let Some(place) = self.cache.find(key) {
            let window = self.scope.reach.and_then(|_| cover.around(area));
            recalled.found.push(Found { area, key, place, window, n_pixels });
        } else {
            under_way.insert(key, Arc::default());
            return recalled.missed.push((area, key));
        }
        dirty.unmark_area(area);
    }

    /// The hash of all that decides what a network makes of a tile, of this kind.
    pub(super) fn key(&self, kind: Kind, picture: &Picture, area: Rect, scratch: &mut Scratch) -> Key {
        let whole = self.picture.area();
        let window = self.scope.reach.map_or(whole, |reach| area.grown(reach).intersect(whole));
        let bytes = &mut scratch.bytes;
        bytes.clear();
        bytes.extend_from_slice(&self.scope.pictures.to_ne_bytes());
        for number in [area.x, area.y, area.width, area.height] {
            bytes.extend_from_slice(&(number as u64).to_ne_bytes());
        }
        for &plane in &self.planes {
            let part = part(picture, plane, window);
            (0..part.height()).for_each(|y| bytes.extend_from_slice(part.row_bytes(y)));
        }
        self.cache.key(kind, bytes)
    }

    /// A tile is finished in this picture; frames that share it have it from now on, and later ones ask the cache.
    pub fn made(&self, key: Key, output: &Picture) {
        if let Some(made) = self.under_way().remove(&key)
            // Somebody waits for it.
            && Arc::strong_count(&made) > 1
        {
            let _ = made.set(output.clone());
        }
    }
}
