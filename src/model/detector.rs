//! Networks that find things in a picture: which pictures they take, and what they tell of what they find.
//!
//! Whatever tensors a graph gives, it is written again (`onnx/detector`) to give one: a row of numbers for each
//! candidate, [1, 1, candidates, numbers] in f32. [`Family`] says what the numbers are. Nothing here runs one.

use std::fmt;

use serde::Deserialize;

/// The longer side of the pictures that a network of free size gets at most; larger ones are made smaller.
const LONGEST: usize = 1280;

/// Width and height of the frames that such a network is tried and measured with, where it takes any.
pub const TRIED: (usize, usize) = (640, 640);

/// What is known of a network that finds things.
#[derive(Clone, Debug, PartialEq)]
pub struct Detector {
    /// What its numbers mean.
    pub family: Family,
    /// The pictures that it takes.
    pub size: DetectorSize,
    /// Sides of the cells of its grids, in pixels of the network, in the order of its candidates.
    pub strides: Vec<usize>,
    /// Numbers told of each candidate.
    pub n_values: usize,
    /// The names of the classes, by number.
    pub labels: Vec<String>,
}

/// What the numbers of a candidate mean. Boxes are in pixels of the network, but for [`Family::Yunet`] and
/// [`Family::Yolox`], whose numbers are in cells of their stride, from the corner of the candidate's own cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Class score, object score, centre, logarithm of the size, five points of the face (x, y).
    Yunet,
    /// Centre, logarithm of the size, object score, a score a class; YOLOX.
    Yolox,
    /// Centre, size, object score, a score a class; YOLOv5 and YOLOv7: three candidates a cell.
    YoloV5,
    /// Centre, size, a score a class; YOLOv8, YOLO11 and YOLO12.
    YoloV8,
    /// Two corners, score, class, of so many boxes that need no sorting out; YOLOv10 and YOLO26.
    Sorted(usize),
}

/// The name of a [`Family`], as a TOML gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FamilyName {
    /// [`Family::Yunet`].
    Yunet,
    /// [`Family::Yolox`].
    Yolox,
    /// [`Family::YoloV5`].
    YoloV5,
    /// [`Family::YoloV8`].
    YoloV8,
    /// [`Family::Sorted`].
    Sorted,
}

impl FamilyName {
    /// All, in the order in which a graph is held against them.
    pub const ALL: [FamilyName; 5] =
        [FamilyName::Yunet, FamilyName::Yolox, FamilyName::YoloV5, FamilyName::YoloV8, FamilyName::Sorted];
}

impl fmt::Display for FamilyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FamilyName::Yunet => "yunet",
            FamilyName::Yolox => "yolox",
            FamilyName::YoloV5 => "yolov5",
            FamilyName::YoloV8 => "yolov8",
            FamilyName::Sorted => "sorted",
        })
    }
}

impl Family {
    /// Its name.
    pub fn name(self) -> FamilyName {
        match self {
            Family::Yunet => FamilyName::Yunet,
            Family::Yolox => FamilyName::Yolox,
            Family::YoloV5 => FamilyName::YoloV5,
            Family::YoloV8 => FamilyName::YoloV8,
            Family::Sorted(_) => FamilyName::Sorted,
        }
    }
}

/// Which pictures a network that finds things takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DetectorSize {
    /// Those of this width and height.
    Fixed(usize, usize),
    /// Those whose sides are multiples of this.
    Free {
        /// Both sides are multiples of this.
        multiple_of: usize,
        /// The longer side that it was made for, if it says so.
        side: Option<usize>,
    },
}

impl Detector {
    /// Width and height of the network's pictures for frames of this width and height.
    pub fn input_size(&self, frame: (usize, usize)) -> (usize, usize) {
        match self.size {
            DetectorSize::Fixed(width, height) => (width, height),
            DetectorSize::Free { multiple_of, .. } => {
                let ((width, height), of) = (self.content_size(frame), multiple_of.max(1));
                (width.next_multiple_of(of), height.next_multiple_of(of))
            }
        }
    }

    /// Width and height of a frame of this width and height within the network's picture, in its own shape: as large as
    /// fits; where the size is free, as large as the network was made for, or as it is but for what is very large.
    pub fn content_size(&self, frame: (usize, usize)) -> (usize, usize) {
        let longest = frame.0.max(frame.1).min(LONGEST);
        let (width, height) = match self.size {
            DetectorSize::Fixed(width, height) => (width, height),
            DetectorSize::Free { side, .. } => [side.unwrap_or(longest); 2].into(),
        };
        let scaled = |side: usize, to: usize, from: usize| ((2 * side * to + from) / (2 * from)).max(1);
        if width * frame.1 <= height * frame.0 {
            (width, scaled(frame.1, width, frame.0).min(height))
        } else {
            (scaled(frame.0, height, frame.1).min(width), height)
        }
    }

    /// Candidates that the network gives for its pictures of this width and height.
    pub fn n_candidates(&self, (width, height): (usize, usize)) -> usize {
        let cells: usize = self.strides.iter().map(|stride| (width / stride) * (height / stride)).sum();
        match self.family {
            Family::Sorted(n) => n,
            Family::YoloV5 => 3 * cells,
            Family::Yunet | Family::Yolox | Family::YoloV8 => cells,
        }
    }

    /// Classes that it tells apart; `None` where its numbers do not say.
    pub fn n_classes(&self) -> Option<usize> {
        match self.family {
            Family::Yunet => Some(1),
            Family::Yolox | Family::YoloV5 => Some(self.n_values.saturating_sub(5)),
            Family::YoloV8 => Some(self.n_values.saturating_sub(4)),
            Family::Sorted(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector(size: DetectorSize) -> Detector {
        Detector { family: Family::Yunet, size, strides: vec![8, 16, 32], n_values: 16, labels: vec!["face".into()] }
    }

    #[test]
    fn a_frame_fills_the_picture_as_far_as_its_shape_allows() {
        let fixed = detector(DetectorSize::Fixed(640, 640));
        assert_eq!(fixed.content_size((1920, 1080)), (640, 360));
        assert_eq!(fixed.content_size((606, 1080)), (359, 640));
        assert_eq!(fixed.content_size((176, 144)), (640, 524));
        assert_eq!(fixed.content_size((3000, 2)), (640, 1));
        assert_eq!((fixed.input_size((5, 5)), fixed.n_candidates((640, 640))), ((640, 640), 8400));
        let free = detector(DetectorSize::Free { multiple_of: 32, side: None });
        assert_eq!((free.content_size((1080, 720)), free.input_size((1080, 720))), ((1080, 720), (1088, 736)));
        assert_eq!((free.content_size((3840, 2160)), free.input_size((3840, 2160))), ((1280, 720), (1280, 736)));
        let made_for = detector(DetectorSize::Free { multiple_of: 32, side: Some(320) });
        assert_eq!((made_for.content_size((1080, 720)), made_for.input_size((1080, 720))), ((320, 213), (320, 224)));
        assert_eq!(made_for.content_size((80, 160)), (160, 320));
    }
}
