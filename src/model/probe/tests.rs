//! Small networks written as functions, whose true facts are plain to see.

use super::*;
use crate::error::{Error, Kind};
use crate::model::builtin;

/// Luma facts for the networks below.
fn facts(scale: usize, radius: Option<usize>, multiple_of: usize) -> NetworkFacts {
    NetworkFacts { scale, radius, multiple_of, ..builtin::find("identity").unwrap().facts }
}

/// A picture with its edges repeated, as the networks below see it.
struct Seen<'a> {
    values: &'a [f32],
    width: usize,
    height: usize,
}

impl Seen<'_> {
    fn at(&self, x: isize, y: isize) -> f32 {
        let clamp = |at: isize, size: usize| at.clamp(0, size as isize - 1) as usize;
        self.values[clamp(y, self.height) * self.width + clamp(x, self.width)]
    }
}

/// A luma network whose output pixel at x, y is `pixel(picture, x, y)`.
fn network(
    scale: usize,
    pixel: fn(&Seen, isize, isize) -> f32,
) -> impl FnMut(&Tensor, usize, &mut Tensor) -> Result<()> {
    move |input, _, output| {
        let [_, _, height, width] = input.shape();
        if output.shape() != [1, 1, height * scale, width * scale] {
            return Err(Error::new(Kind::Network, "another scale"));
        }
        let seen = Seen { values: input.as_f32(), width, height };
        for (i, value) in output.as_f32_mut().iter_mut().enumerate() {
            *value = pixel(&seen, (i % (width * scale)) as isize, (i / (width * scale)) as isize);
        }
        Ok(())
    }
}

fn run(scale: usize, pixel: fn(&Seen, isize, isize) -> f32, facts: &NetworkFacts) -> ProbeReport {
    probe(&mut network(scale, pixel), facts).unwrap()
}

/// A filter that reaches 3 pixels to the right and 1 up.
fn lopsided(seen: &Seen, x: isize, y: isize) -> f32 {
    0.25 * seen.at(x + 3, y) + 0.25 * seen.at(x, y - 1) + 0.5 * seen.at(x, y)
}

/// As [`lopsided`], at twice the size.
fn lopsided_x2(seen: &Seen, x: isize, y: isize) -> f32 {
    lopsided(seen, x / 2, y / 2)
}

/// Averages squares of 4 pixels: shifts must be multiples of 4.
fn blocks(seen: &Seen, x: isize, y: isize) -> f32 {
    0.5 * seen.at(x / 4 * 4, y / 4 * 4) + 0.5 * seen.at(x / 4 * 4 + 3, y / 4 * 4 + 3)
}

#[test]
fn right_facts_are_confirmed() {
    let expected =
        ProbeReport { scale: 1, observed_radius: 3, tiling_exact: true, range: Some((0.0, 1.0)), notes: Vec::new() };
    assert_eq!(run(1, lopsided, &facts(1, Some(3), 1)), expected);
    assert_eq!(run(2, lopsided_x2, &facts(2, Some(3), 1)), ProbeReport { scale: 2, ..expected.clone() });
    let blocks = run(1, blocks, &facts(1, Some(3), 4));
    assert!(blocks.tiling_exact && blocks.observed_radius <= 3 && blocks.notes.is_empty(), "{blocks:?}");
}

#[test]
fn a_radius_that_is_too_small_is_refuted_twice() {
    let report = run(1, lopsided, &facts(1, Some(2), 1));
    assert!(!report.tiling_exact);
    assert_eq!(report.observed_radius, 3);
    assert!(report.notes[0].starts_with("a changed pixel reaches 3 pixels far, the facts say 2"), "{report:?}");
    assert!(report.notes[1].contains("differs from the whole"), "{report:?}");
}

#[test]
fn a_multiple_that_is_missed_is_seen_in_the_tiles() {
    assert!(!run(1, blocks, &facts(1, Some(3), 1)).tiling_exact);
}

#[test]
fn what_changes_only_at_large_coordinates_is_seen() {
    // Rounds as a resize does that computes positions in f32.
    let drifting = |seen: &Seen, x: isize, y: isize| {
        let at = (x as f32 + 0.3) * 1.000_01;
        0.5 * seen.at(at.floor() as isize, y) + 0.5 * (at - at.floor())
    };
    assert!(!run(1, drifting, &facts(1, Some(2), 1)).tiling_exact);
}

#[test]
fn the_scale_is_found_and_a_global_network_is_left_whole() {
    let report = run(2, lopsided_x2, &facts(1, None, 1));
    assert_eq!((report.scale, report.observed_radius, report.tiling_exact), (2, 3, false));
    assert_eq!(report.notes[0], "the scale is 2, the facts say 1");
}

#[test]
fn a_network_that_wants_code_values_is_told_by_grey() {
    let report = run(1, |seen, x, y| seen.at(x, y).max(100.0), &facts(1, Some(0), 1));
    assert_eq!(report.range, Some((0.0, 255.0)));
    assert_eq!(report.notes, ["grey stays grey in [0, 255], the facts say [0, 1]"]);
}

#[test]
fn a_fixed_size_is_compared_in_windows_that_overlap() {
    let fixed = NetworkFacts { fixed_size: Some((32, 24)), ..facts(1, Some(3), 1) };
    assert!(run(1, lopsided, &fixed).tiling_exact);
    assert!(!run(1, lopsided, &NetworkFacts { radius: Some(2), ..fixed.clone() }).tiling_exact);
    assert!(!run(1, lopsided, &NetworkFacts { radius: Some(16), ..fixed }).tiling_exact);
}

#[test]
fn an_error_of_the_network_is_passed_on() {
    let mut failing = |_: &Tensor, _: usize, _: &mut Tensor| Err(Error::new(Kind::Infer, "out of memory"));
    let error = probe(&mut failing, &facts(1, Some(1), 1)).unwrap_err();
    assert_eq!(error.to_string(), "probe of the network: out of memory");
}
