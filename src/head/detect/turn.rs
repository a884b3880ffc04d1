//! Frames that are stored on their side or upside down, and shown upright: detectors are trained on upright pictures.

/// How a stored frame is turned to be upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Not at all.
    #[default]
    None,
    /// A quarter clockwise.
    Right,
    /// By a half.
    Half,
    /// A quarter counterclockwise.
    Left,
}

impl Turn {
    /// The nearest to so many degrees clockwise.
    pub fn of_degrees(degrees: i32) -> Turn {
        match (degrees.rem_euclid(360) + 45) / 90 {
            1 => Turn::Right,
            2 => Turn::Half,
            3 => Turn::Left,
            _ => Turn::None,
        }
    }

    /// Width and height after the turn of what has these before, and the other way round.
    pub fn size(self, (width, height): (usize, usize)) -> (usize, usize) {
        if matches!(self, Turn::Right | Turn::Left) { (height, width) } else { (width, height) }
    }

    /// Where the sample at `x`, `y` of a stored frame of this width and height lies when it is upright.
    pub(super) fn upright(self, (x, y): (usize, usize), (width, height): (usize, usize)) -> (usize, usize) {
        match self {
            Turn::None => (x, y),
            Turn::Right => (height - 1 - y, x),
            Turn::Half => (width - 1 - x, height - 1 - y),
            Turn::Left => (y, width - 1 - x),
        }
    }

    /// An area of an upright frame (left, top, right, bottom) in the stored one, which has this width and height.
    pub(super) fn stored(self, [left, top, right, bottom]: [f32; 4], (width, height): (usize, usize)) -> [f32; 4] {
        let (width, height) = (width as f32, height as f32);
        match self {
            Turn::None => [left, top, right, bottom],
            Turn::Right => [top, height - right, bottom, height - left],
            Turn::Half => [width - right, height - bottom, width - left, height - top],
            Turn::Left => [width - bottom, left, width - top, right],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_and_its_area_go_the_same_way() {
        let size = (7, 5);
        for turn in [Turn::None, Turn::Right, Turn::Half, Turn::Left] {
            for (x, y) in [(0, 0), (6, 0), (0, 4), (6, 4), (2, 3)] {
                let (across, down) = turn.upright((x, y), size);
                let (width, height) = turn.size(size);
                assert!(across < width && down < height, "{turn:?}");
                let area = [across as f32, down as f32, across as f32 + 1.0, down as f32 + 1.0];
                let expected = [x as f32, y as f32, x as f32 + 1.0, y as f32 + 1.0];
                assert_eq!(turn.stored(area, size), expected, "{turn:?}");
            }
        }
        // The upper left corner of what is turned clockwise comes from the lower left.
        assert_eq!(Turn::Right.upright((0, 4), size), (0, 0));
    }

    #[test]
    fn degrees_are_clockwise() {
        let turns = [0, 90, 180, 270, -90, 359, 100].map(Turn::of_degrees);
        let expected = [Turn::None, Turn::Right, Turn::Half, Turn::Left, Turn::Left, Turn::None, Turn::Right];
        assert_eq!(turns, expected);
    }
}
