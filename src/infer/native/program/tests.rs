//! Places of enlarged axes, against their definition and from window to window.

use super::*;

const COORDINATES: [Coordinates; 2] = [Coordinates::HalfPixel, Coordinates::Asymmetric];

fn resize(factor: usize, sampling: Sampling, coordinates: Coordinates) -> Resize {
    Resize { factor: [factor; 2], sampling, coordinates }
}

#[test]
fn places_are_those_of_the_definition() {
    for (factor, coordinates) in (1..=16).flat_map(|factor| COORDINATES.map(|of| (factor, of))) {
        let resize = resize(factor, Sampling::Linear, coordinates);
        for at in 0..9 * factor {
            let place = match coordinates {
                Coordinates::HalfPixel => (at as f64 + 0.5) / factor as f64 - 0.5,
                _ => at as f64 / factor as f64,
            };
            let (first, second, part) = resize.source(0, at, 9);
            assert!(second == (first + 1).min(8) && (0.0..1.0).contains(&part), "{resize:?} {at}");
            let is = first as f64 + f64::from(part);
            assert!((is - place.clamp(0.0, 8.0)).abs() < 1e-6, "{resize:?} {at}: {is} for {place}");
        }
    }
}

#[test]
fn weights_do_not_depend_on_where_a_window_begins() {
    let roundings = [Rounding::HalfDown, Rounding::HalfUp, Rounding::Floor, Rounding::Ceil];
    let samplings = roundings.map(Sampling::Nearest).into_iter().chain([Sampling::Linear]);
    for (sampling, coordinates) in samplings.flat_map(|sampling| COORDINATES.map(|of| (sampling, of))) {
        for (factor, before) in (1..=16).flat_map(|factor| [1, 77, 1000, 50_000].map(|before| (factor, before))) {
            let resize = resize(factor, sampling, coordinates);
            // Away from the window's ends.
            for at in 2 * factor..6 * factor {
                let (first, second, part) = resize.source(0, at, 8);
                let whole = resize.source(0, before * factor + at, 60_000);
                assert_eq!((first + before, second + before, part), whole, "{resize:?} {at} {before}");
            }
        }
    }
}

#[test]
fn corners_lie_on_corners() {
    let corners = resize(3, Sampling::Linear, Coordinates::AlignCorners);
    assert_eq!(corners.source(0, 0, 5), (0, 1, 0.0));
    assert_eq!(corners.source(0, 7, 5), (2, 3, 0.0));
    assert_eq!(corners.source(0, 14, 5), (4, 4, 0.0));
    // One element has one place.
    assert_eq!(corners.source(0, 2, 1), (0, 0, 0.0));
    assert_eq!(resize(1, Sampling::Linear, Coordinates::AlignCorners).source(0, 0, 1), (0, 0, 0.0));
}
