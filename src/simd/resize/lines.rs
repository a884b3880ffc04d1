//! The rows in work of a resize: a source row with its edges repeated, and the ring of rows resized horizontally.

use std::ops::Range;

use crate::frame::pool::{ALIGNMENT, AlignedBytes};

/// Floats in what rows are aligned to: a load that crosses a cache line costs twice.
const STEP: usize = ALIGNMENT / size_of::<f32>();

/// The rows in work of some planes that are resized alike. Owned by the caller and used again for every window.
#[derive(Default)]
pub struct Lines {
    /// Periods of the horizontal taps.
    pub(super) periods: Range<usize>,
    /// Source columns those need, as far as they exist.
    pub(super) needed: Range<usize>,
    /// How many more there would be before the first.
    pub(super) pad: usize,
    pub(super) n_planes: usize,
    /// Samples of a padded source row, a multiple of the stride.
    pub(super) raw_length: usize,
    /// Samples of a resized row.
    pub(super) width: usize,
    raw: Floats,
    pub(super) work: Floats,
    ring: Floats,
    /// Which source row a slot of the ring holds.
    pub(super) tags: Vec<Option<usize>>,
}

/// Aligned floats, as many as were ever needed.
#[derive(Default)]
pub(super) struct Floats(Option<AlignedBytes>);

impl Floats {
    pub(super) fn reserve(&mut self, length: usize) {
        let bytes = length * size_of::<f32>();
        if self.0.as_ref().is_none_or(|memory| memory.len() < bytes) {
            self.0 = Some(AlignedBytes::new(bytes));
        }
    }

    pub(super) fn get(&self) -> &[f32] {
        self.0.as_ref().map_or(&[], |memory| bytemuck::cast_slice(memory))
    }

    pub(super) fn get_mut(&mut self) -> &mut [f32] {
        self.0.as_mut().map_or(&mut [], |memory| bytemuck::cast_slice_mut(memory))
    }
}

impl Lines {
    /// Makes room for what the fields say, for a ring of `n_slots` rows a plane, empty.
    pub(super) fn clear(&mut self, n_slots: usize) {
        self.raw.reserve(self.n_planes * self.raw_pitch());
        // A row taken apart, and one to be put together.
        self.work.reserve(self.raw_length + self.width);
        self.ring.reserve(n_slots * self.n_planes * self.ring_pitch());
        self.tags.clear();
        self.tags.resize(n_slots, None);
    }

    fn ring_pitch(&self) -> usize {
        self.width.next_multiple_of(STEP)
    }

    /// Unused samples before a padded row, so that the first that exists is aligned.
    fn raw_start(&self) -> usize {
        self.pad.next_multiple_of(STEP) - self.pad
    }

    fn raw_pitch(&self) -> usize {
        (self.raw_start() + self.raw_length).next_multiple_of(STEP)
    }

    /// Samples of the padded source rows of `P` planes, as many as there are.
    pub(super) fn raw_rows<const P: usize>(&mut self, samples: Range<usize>) -> [&mut [f32]; P] {
        let (start, pitch) = (self.raw_start() + samples.start, self.raw_pitch());
        let mut rows = self.raw.get_mut().chunks_exact_mut(pitch);
        [(); P].map(|()| &mut rows.next().expect("there is a row for each plane")[start..start + samples.len()])
    }

    /// The padded source row of a plane, room to work in, and where it goes when it is resized.
    pub(super) fn parts(&mut self, slot: usize, plane: usize) -> (&mut [f32], &mut [f32], &mut [f32]) {
        let (raw, ring) = (self.raw_pitch() * plane + self.raw_start(), self.ring_start(slot, plane));
        (
            &mut self.raw.get_mut()[raw..raw + self.raw_length],
            self.work.get_mut(),
            &mut self.ring.get_mut()[ring..ring + self.width],
        )
    }

    /// A row of the ring.
    pub(super) fn ring_row(&self, slot: usize, plane: usize) -> &[f32] {
        let start = self.ring_start(slot, plane);
        &self.ring.get()[start..start + self.width]
    }

    fn ring_start(&self, slot: usize, plane: usize) -> usize {
        (slot * self.n_planes + plane) * self.ring_pitch()
    }
}
