//! Pure geometry: rectangles, and how windows cover a picture.
//!
//! Called by whoever plans windows and by the heads that cut them. `tile` knows nothing of pixels, time or threads.

pub mod cells;
pub mod cover;
pub mod grid;
pub mod roi;

/// A rectangle of pixels; `x` and `y` are its left and top edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// The first column.
    pub x: usize,
    /// The first row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Rect {
    /// A rectangle by its left, top, width and height.
    pub const fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Rect { x, y, width, height }
    }

    /// The column after the last.
    pub fn right(self) -> usize {
        self.x + self.width
    }

    /// The row after the last.
    pub fn bottom(self) -> usize {
        self.y + self.height
    }

    /// Width and height.
    pub fn size(self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Pixels inside.
    pub fn n_pixels(self) -> u64 {
        (self.width * self.height) as u64
    }

    /// Whether all of `other` lies inside.
    pub fn contains(self, other: Rect) -> bool {
        self.x <= other.x && self.y <= other.y && self.right() >= other.right() && self.bottom() >= other.bottom()
    }

    /// What both share; of size 0 if nothing.
    #[must_use]
    pub fn intersect(self, other: Rect) -> Rect {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let width = self.right().min(other.right()).saturating_sub(x);
        let height = self.bottom().min(other.bottom()).saturating_sub(y);
        Rect { x, y, width, height }
    }

    /// The rectangle with `margin` more pixels on each side, cut at the left and top of the plane.
    #[must_use]
    pub fn grown(self, margin: usize) -> Rect {
        let (x, y) = (self.x.saturating_sub(margin), self.y.saturating_sub(margin));
        Rect { x, y, width: self.right() + margin - x, height: self.bottom() + margin - y }
    }

    /// The same area in a picture whose sides are `factor` times as long.
    #[must_use]
    pub fn scaled(self, factor: usize) -> Rect {
        Rect { x: self.x * factor, y: self.y * factor, width: self.width * factor, height: self.height * factor }
    }
}
