//! From the numbers that a detector gives to things in the frame.

use super::letterbox::Place;
use super::{Detection, Wanted, edges, overlap};
use crate::model::{Detector, Family};

/// Boxes that are sorted out at most, the surest of them.
const MOST: usize = 10_000;

/// How much two boxes of one class overlap, as intersection over union, to be one thing. What the networks' own programs
/// use.
fn is_one_from(family: Family) -> f64 {
    if family == Family::Yunet { 0.3 } else { 0.45 }
}

/// What a detector has found, the surest first: `values` are its candidates, one after the other, of pictures in which the
/// frame, of this width and height, lies at `place`.
pub(super) fn found(
    detector: &Detector,
    wanted: &Wanted,
    values: &[f32],
    place: Place,
    frame: (usize, usize),
) -> Vec<Detection> {
    let rows = values.chunks_exact(detector.n_values.max(1));
    let cells = cells(detector, place.picture);
    let candidates = rows.zip(cells).filter_map(|(row, cell)| candidate(detector.family, row, cell, wanted));
    let mut boxes: Vec<_> = candidates.map(|candidate| in_frame(candidate, place, frame)).collect();
    // The order of candidates decides between equal scores, for the sort is stable.
    boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
    boxes.truncate(MOST);
    let boxes = match detector.family {
        Family::Sorted(_) => boxes,
        family => without_doubles(boxes, is_one_from(family)),
    };
    // Not before: two things that are cut off at one border are still two.
    boxes.into_iter().filter_map(|found| cut(found, frame)).collect()
}

/// A cell of a grid: its side, its column and its row.
type Cell = [f32; 3];

/// The cell of each candidate; where candidates have none, anything.
fn cells(detector: &Detector, (width, height): (usize, usize)) -> impl Iterator<Item = Cell> {
    let has_grid = matches!(detector.family, Family::Yunet | Family::Yolox);
    let grid = move |stride: usize| {
        let (columns, rows) = (width / stride, height / stride);
        (0..rows).flat_map(move |y| (0..columns).map(move |x| [stride as f32, x as f32, y as f32]))
    };
    let strides = if has_grid { detector.strides.clone() } else { Vec::new() };
    let others = (!has_grid).then(|| std::iter::repeat([1.0, 0.0, 0.0])).into_iter().flatten();
    strides.into_iter().flat_map(grid).chain(others)
}

/// A candidate that counts as found, in pixels of the network.
fn candidate(family: Family, row: &[f32], [stride, x, y]: Cell, wanted: &Wanted) -> Option<Detection> {
    let around =
        |[x, y, width, height]: [f32; 4]| [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0];
    let of_cell = |[dx, dy, width, height]: [f32; 4]| {
        around([(x + dx) * stride, (y + dy) * stride, width.exp() * stride, height.exp() * stride])
    };
    let (class, score, area) = match (family, row) {
        (Family::Yunet, [class, object, rest @ ..]) => {
            let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
            (0, score, of_cell(*rest.first_chunk()?))
        }
        (Family::Yolox, [a, b, c, d, object, classes @ ..]) => {
            let (class, score) = best(classes, wanted)?;
            (class, score * object, of_cell([*a, *b, *c, *d]))
        }
        (Family::YoloV5, [a, b, c, d, object, classes @ ..]) => {
            let (class, score) = best(classes, wanted)?;
            (class, score * object, around([*a, *b, *c, *d]))
        }
        (Family::YoloV8, [a, b, c, d, classes @ ..]) => {
            let (class, score) = best(classes, wanted)?;
            (class, score, around([*a, *b, *c, *d]))
        }
        (Family::Sorted(_), [a, b, c, d, score, class, ..]) if *class >= 0.0 => {
            (*class as usize, *score, [*a, *b, *c, *d])
        }
        _ => return None,
    };
    // What is no number is not found.
    (score >= wanted.score && wanted.has_class(class)).then_some(Detection { area, score, class })
}

/// The surest class among those that count, and how sure.
fn best(scores: &[f32], wanted: &Wanted) -> Option<(usize, f32)> {
    let scores = scores.iter().copied().enumerate();
    let scores = scores.filter(|(class, score)| wanted.has_class(*class) && !score.is_nan());
    scores.reduce(|best, other| if other.1 > best.1 { other } else { best })
}

/// The same in pixels of the frame, which has this size as it is stored, also beside it.
fn in_frame(found: Detection, place: Place, frame: (usize, usize)) -> Detection {
    let [left, top, right, bottom] = found.area;
    let (width, height) = place.turn.size(frame);
    let to_frame =
        |at: f32, offset: usize, content: usize, side: usize| (at - offset as f32) * (side as f32 / content as f32);
    let x = |at| to_frame(at, place.offset.0, place.content.0, width);
    let y = |at| to_frame(at, place.offset.1, place.content.1, height);
    Detection { area: place.turn.stored([x(left), y(top), x(right), y(bottom)], frame), ..found }
}

/// What of a box lies in the frame.
fn cut(found: Detection, (width, height): (usize, usize)) -> Option<Detection> {
    let [left, top, right, bottom] = found.area;
    let (x, y) = (|at: f32| at.clamp(0.0, width as f32), |at: f32| at.clamp(0.0, height as f32));
    let area = [x(left), y(top), x(right), y(bottom)];
    // A box that is no number has no extent.
    (area[0] < area[2] && area[1] < area[3]).then_some(Detection { area, ..found })
}

/// Of boxes of one class that overlap by so much, the surest; the surest come first.
fn without_doubles(boxes: Vec<Detection>, is_one_from: f64) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for found in boxes {
        let is_double =
            |other: &Detection| other.class == found.class && overlap(edges(other), edges(&found)) > is_one_from;
        if !kept.iter().any(is_double) {
            kept.push(found);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::Turn;
    use super::*;
    use crate::model::DetectorSize;

    fn detector(family: Family, strides: &[usize], n_values: usize) -> Detector {
        let size = DetectorSize::Fixed(64, 64);
        Detector { family, size, strides: strides.to_vec(), n_values, labels: Vec::new() }
    }

    fn all(score: f32) -> Wanted {
        Wanted { score, classes: None }
    }

    /// A frame twice as large as its picture, which fills the upper half.
    const PLACE: Place = Place { picture: (64, 64), offset: (0, 0), content: (64, 32), turn: Turn::None };
    const FRAME: (usize, usize) = (128, 64);

    /// Candidates of which one, `at`, is `row`.
    fn one(n: usize, at: usize, row: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; n * row.len()];
        values[at * row.len()..][..row.len()].copy_from_slice(row);
        values
    }

    #[test]
    fn each_family_tells_of_a_box_in_its_own_way() {
        // The cell of column 2 and row 1 of the second grid, whose cells are 16 wide.
        let (n, at) = (64 + 16, 64 + 4 + 2);
        let size = (1.25f32).ln();
        // Centre 40, 24; 20 wide and high: 30..50, 14..34, doubled, cut off at 64.
        let expected = [60.0, 28.0, 100.0, 64.0];
        let rows: [(Family, Vec<f32>, f32, usize); 4] = [
            (Family::Yunet, [vec![0.81, 1.0, 0.5, 0.5, size, size], vec![0.0; 10]].concat(), 0.9, 0),
            (Family::Yolox, vec![0.5, 0.5, size, size, 0.5, 0.25, 0.75], 0.375, 1),
            (Family::YoloV5, vec![40.0, 24.0, 20.0, 20.0, 0.5, 0.25, 0.75], 0.375, 1),
            (Family::YoloV8, vec![40.0, 24.0, 20.0, 20.0, 0.25, 0.75], 0.75, 1),
        ];
        for (family, row, score, class) in rows {
            let detector = detector(family, &[8, 16], row.len());
            let boxes = found(&detector, &all(0.3), &one(n, at, &row), PLACE, FRAME);
            let [one] = boxes[..] else { panic!("{family:?}: {boxes:?}") };
            assert!(one.area.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{family:?}: {one:?}");
            assert!((one.score - score).abs() < 1e-6 && one.class == class, "{family:?}: {one:?}");
        }
        let sorted = detector(Family::Sorted(2), &[], 6);
        let values = [30.0, 14.0, 50.0, 34.0, 0.5, 7.0, 0.0, 0.0, 9.0, 9.0, 0.1, 0.0];
        let boxes = found(&sorted, &all(0.3), &values, PLACE, FRAME);
        assert_eq!(boxes, [Detection { area: expected, score: 0.5, class: 7 }]);
    }

    #[test]
    fn a_frame_in_the_middle_is_found_where_it_lies() {
        let place = Place { picture: (64, 64), offset: (0, 16), content: (64, 32), turn: Turn::None };
        let yolo = detector(Family::YoloV8, &[8], 5);
        let boxes = found(&yolo, &all(0.5), &one(64, 3, &[20.0, 32.0, 8.0, 8.0, 0.9]), place, FRAME);
        assert_eq!(boxes[0].area, [32.0, 24.0, 48.0, 40.0]);
        // What lies beside the frame alone is nothing.
        assert_eq!(found(&yolo, &all(0.5), &one(64, 3, &[20.0, 8.0, 8.0, 8.0, 0.9]), place, FRAME), []);
    }

    #[test]
    fn only_wanted_classes_are_found_and_a_lesser_class_may_be_one() {
        let yolo = detector(Family::YoloV8, &[8], 6);
        let values = one(64, 0, &[20.0, 20.0, 8.0, 8.0, 0.9, 0.6]);
        let of = |classes: &[usize], score| {
            let wanted = Wanted { score, classes: Some(classes.to_vec()) };
            found(&yolo, &wanted, &values, PLACE, FRAME).iter().map(|found| found.class).collect::<Vec<_>>()
        };
        assert_eq!((of(&[0], 0.5), of(&[1], 0.5), of(&[1], 0.7), of(&[5], 0.1)), (vec![0], vec![1], vec![], vec![]));
    }

    #[test]
    fn of_boxes_that_are_one_thing_the_surest_stays() {
        let yolo = detector(Family::YoloV8, &[8], 6);
        let mut values = vec![0.0; 64 * 6];
        let rows = [
            [20.0, 16.0, 10.0, 10.0, 0.6, 0.0],
            [21.0, 16.0, 10.0, 10.0, 0.8, 0.0],
            // Another class at the same place, and one of the same elsewhere.
            [20.0, 16.0, 10.0, 10.0, 0.0, 0.7],
            [27.0, 16.0, 10.0, 10.0, 0.5, 0.0],
        ];
        values[..24].copy_from_slice(&rows.concat());
        let boxes = found(&yolo, &all(0.4), &values, PLACE, FRAME);
        assert_eq!(boxes.iter().map(|found| found.score).collect::<Vec<_>>(), [0.8, 0.7, 0.5]);
    }

    #[test]
    fn what_is_no_number_is_not_found() {
        let yolo = detector(Family::YoloV8, &[8], 5);
        for row in [[f32::NAN, 16.0, 9.0, 9.0, 0.9], [20.0, 16.0, 9.0, 9.0, f32::NAN], [20.0, 16.0, 9.0, -3.0, 0.9]] {
            assert_eq!(found(&yolo, &all(0.1), &one(64, 5, &row), PLACE, FRAME), [], "{row:?}");
        }
        let endless = found(&yolo, &all(0.1), &one(64, 5, &[20.0, 16.0, f32::INFINITY, 9.0, 0.9]), PLACE, FRAME);
        assert_eq!(endless[0].area, [0.0, 23.0, 128.0, 41.0]);
    }
}
