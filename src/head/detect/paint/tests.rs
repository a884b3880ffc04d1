//! Paint against the plain and slow way to say the same.

use super::*;
use crate::frame::{PlaneView, Pool};
use crate::head::preview::rgb8;

const EFFECTS: [Effect; 3] = [Effect::Outline, Effect::Blur, Effect::Pixelate];

const FORMATS: [&str; 11] = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv410p",
    "yuv440p10le",
    "yuva420p10le",
    "yuv444p16le",
    "gray",
    "gray12le",
    "gbrp",
    "gbrap10le",
];

/// An odd size, so that the last chroma samples are not full.
const SIZE: (usize, usize) = (93, 71);

/// Areas: plain, over each corner, the whole and more, a pixel, a line, at the last pixel.
const AREAS: [[f32; 4]; 9] = [
    [10.3, 7.9, 53.2, 28.0],
    [-5.0, -3.5, 12.0, 9.0],
    [70.0, 50.0, 200.0, 300.0],
    [-f32::INFINITY, -10.0, 500.0, f32::INFINITY],
    [20.2, 20.3, 20.8, 20.6],
    [3.0, 40.0, 90.0, 42.0],
    [92.0, 70.0, 93.0, 71.0],
    [31.0, 21.0, 40.0, 69.0],
    [0.0, 0.0, 92.5, 70.5],
];

fn thing(area: [f32; 4], class: usize) -> Detection {
    Detection { area, score: 0.5, class }
}

fn format(name: &str) -> PixelFormat {
    PixelFormat::from_name(name).unwrap()
}

fn code(plane: PlaneView, x: usize, y: usize) -> u16 {
    if plane.bytes_per_sample() == 1 { plane.row_bytes(y)[x].into() } else { plane.row_u16(y)[x] }
}

/// A picture whose codes are anything.
fn noise(format: PixelFormat, (width, height): (usize, usize)) -> Picture {
    let mut picture = Pool::new().picture(format, width, height).unwrap();
    let mut state = 1_u64;
    for plane in 0..format.n_planes() {
        let mut plane = picture.plane_mut(plane);
        for (y, x) in (0..plane.height()).flat_map(|y| (0..plane.width()).map(move |x| (y, x))).collect::<Vec<_>>() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            fill(&mut plane, y, x..x + 1, (state >> 48) as u16 & format.max_code());
        }
    }
    picture.freeze()
}

fn copy(picture: &Picture) -> PictureBuf {
    let mut out = Pool::new().picture(picture.format(), picture.width(), picture.height()).unwrap();
    for plane in 0..picture.format().n_planes() {
        let (from, mut to) = (picture.plane(plane), out.plane_mut(plane));
        (0..from.height()).for_each(|y| to.row_bytes(y).copy_from_slice(from.row_bytes(y)));
    }
    out
}

fn painted(effect: Effect, source: &Picture, found: &[Detection]) -> Picture {
    let mut out = copy(source);
    Painter::new(effect, source.format(), ColorTags::NONE, source.height()).paint(source, found, &mut out);
    out.freeze()
}

fn is_same(a: &Picture, b: &Picture) -> bool {
    let rows = |of: &Picture, plane: usize| -> Vec<Vec<u8>> {
        (0..of.plane(plane).height()).map(|y| of.plane(plane).row_bytes(y).to_vec()).collect()
    };
    (0..a.format().n_planes()).all(|plane| rows(a, plane) == rows(b, plane))
}

/// The luma pixels of a range of edges, which may be grown before.
fn span(low: f32, high: f32, is_grown: bool, length: usize) -> Range<usize> {
    let (low, high) = (f64::from(low).max(-1e7), f64::from(high).min(1e7));
    let more = if is_grown { (high - low) / 10.0 } else { 0.0 };
    let pixels = (0..length).filter(|at| (*at as f64) < high + more && (*at + 1) as f64 > low - more);
    let pixels: Vec<usize> = pixels.collect();
    pixels[0]..pixels[pixels.len() - 1] + 1
}

fn cells(across: usize, along: usize) -> usize {
    let side = (across.max(along) as f64 / 8.0).ceil().max(4.0);
    let n = (along as f64 / side).round() as usize;
    (1..=n).rev().find(|n| along >= 4 * n).unwrap_or(1)
}

/// What a plane must hold once `area` is hidden.
fn expected(effect: Effect, source: &Picture, plane: usize, area: [f32; 4], (x, y): (usize, usize)) -> f64 {
    let is_chroma = source.format().is_chroma(plane);
    let log2 = source.format().subsampling().filter(|_| is_chroma).map_or((0, 0), |s| (s.x, s.y));
    let plane = source.plane(plane);
    let luma = (span(area[0], area[2], true, source.width()), span(area[1], area[3], true, source.height()));
    let of_plane = |luma: &Range<usize>, log2: u8| luma.start >> log2..((luma.end - 1) >> log2) + 1;
    let (columns, rows) = (of_plane(&luma.0, log2.0), of_plane(&luma.1, log2.1));
    if !(columns.contains(&x) && rows.contains(&y)) {
        return code(plane, x, y).into();
    }
    let n = (cells(luma.1.len(), luma.0.len()), cells(luma.0.len(), luma.1.len()));
    assert!(n.0 <= 8 && n.1 <= 8 && n.0 >= 1 && n.1 >= 1);
    let part = |range: &Range<usize>, n: usize, cell: usize| {
        range.start + cell * range.len() / n..range.start + (cell + 1) * range.len() / n
    };
    let mean = |cell: (usize, usize)| -> f64 {
        let (columns, rows) = (part(&columns, n.0, cell.0), part(&rows, n.1, cell.1));
        let sum: f64 = rows.clone().flat_map(|y| columns.clone().map(move |x| f64::from(code(plane, x, y)))).sum();
        (sum / (rows.len() * columns.len()) as f64 + 0.5).floor()
    };
    if effect == Effect::Pixelate {
        let of = |range: &Range<usize>, n, at| (0..n).find(|cell| part(range, n, *cell).contains(&at)).unwrap();
        return mean((of(&columns, n.0, x), of(&rows, n.1, y)));
    }
    // The two cells and how much of the second.
    let between = |range: &Range<usize>, n: usize, at: usize| -> (usize, usize, f64) {
        let centre = |cell| (part(range, n, cell).start + part(range, n, cell).end) as f64 / 2.0;
        let at = (at as f64 + 0.5).clamp(centre(0), centre(n - 1));
        let cell = (0..n).rev().find(|cell| centre(*cell) <= at).unwrap();
        let next = (cell + 1).min(n - 1);
        (cell, next, if next == cell { 0.0 } else { (at - centre(cell)) / (centre(next) - centre(cell)) })
    };
    let (across, down) = (between(&columns, n.0, x), between(&rows, n.1, y));
    let row = |y| mean((across.0, y)) * (1.0 - across.2) + mean((across.1, y)) * across.2;
    row(down.0) * (1.0 - down.2) + row(down.1) * down.2
}

#[test]
fn what_is_hidden_is_made_of_means_and_all_else_stays() {
    for name in FORMATS {
        let source = noise(format(name), SIZE);
        for (area, effect) in AREAS.into_iter().flat_map(|area| [(area, Effect::Blur), (area, Effect::Pixelate)]) {
            let out = painted(effect, &source, &[thing(area, 3)]);
            for plane in 0..source.format().n_planes() {
                let got = out.plane(plane);
                let is_alpha = source.format().alpha && plane == 3;
                // Every third, as the plain way takes its time; the last ones among them.
                for (y, x) in (0..got.height())
                    .rev()
                    .step_by(3)
                    .flat_map(|y| (y % 2..got.width()).step_by(2).map(move |x| (y, x)))
                {
                    let place = format!("{name} {effect:?} {area:?}, plane {plane}, {x} {y}");
                    let expected = match is_alpha {
                        true => code(source.plane(3), x, y).into(),
                        false => expected(effect, &source, plane, area, (x, y)),
                    };
                    let off = f64::from(code(got, x, y)) - expected;
                    assert!(off.abs() <= 0.5 + 1e-6, "{place}: off by {off}");
                }
            }
        }
    }
}

#[test]
fn a_line_lies_inside_its_area_on_whole_chroma_samples() {
    for (name, (height, thickness)) in FORMATS.into_iter().flat_map(|name| [(name, (71, 2)), (name, (1000, 3))]) {
        let source = noise(format(name), (93, height));
        let painter = Painter::new(Effect::Outline, source.format(), ColorTags::NONE, height);
        let unit = source.format().subsampling().map_or((1, 1), |s| (1 << s.x, 1 << s.y));
        for (class, area) in AREAS.into_iter().enumerate() {
            let out = painted(Effect::Outline, &source, &[thing(area, class)]);
            let (columns, rows) = (span(area[0], area[2], false, 93), span(area[1], area[3], false, height));
            // How far a pixel lies inside, in pixels, once the area is grown to the chroma grid; none if outside.
            let depth = |at: usize, span: &Range<usize>, unit: usize| {
                let (start, end) = (span.start - span.start % unit, span.end.next_multiple_of(unit));
                (start..end).contains(&at).then(|| (at - start).min(end - 1 - at))
            };
            for plane in 0..source.format().n_planes() {
                let log2 = painter.log2(plane);
                let (before, after) = (source.plane(plane), out.plane(plane));
                for (y, x) in (0..after.height()).flat_map(|y| (0..after.width()).map(move |x| (y, x))) {
                    let across = depth(x << log2.0, &columns, unit.0);
                    let down = depth(y << log2.1, &rows, unit.1);
                    let is_thin = |depth: usize, unit: usize| depth < usize::next_multiple_of(thickness, unit);
                    let is_line = matches!((across, down), (Some(across), Some(down))
                        if is_thin(across, unit.0) || is_thin(down, unit.1));
                    let expected = match is_line && !(source.format().alpha && plane == 3) {
                        true => painter.palette[class][plane],
                        false => code(before, x, y),
                    };
                    assert_eq!(code(after, x, y), expected, "{name} {area:?}, plane {plane}, {x} {y}");
                }
            }
        }
    }
}

#[test]
fn a_class_has_its_colour_in_every_coding() {
    for name in ["yuv420p", "yuv444p10le", "yuv422p16le", "gbrp", "gbrp12le"] {
        for (matrix, range, height) in [(2, None, 64), (2, None, 720), (1, Some(ColorRange::Full), 64), (9, None, 64)] {
            let color = ColorTags { matrix, range, ..ColorTags::NONE };
            let source = noise(format(name), (64, height));
            let mut out = copy(&source);
            let class = 13;
            Painter::new(Effect::Outline, source.format(), color, height).paint(
                &source,
                &[thing([0.0, 0.0, 4.0, 4.0], class)],
                &mut out,
            );
            let shown = rgb8(&out.freeze(), color, Rect::new(0, 0, 1, 1)).unwrap();
            for (got, expected) in shown.into_iter().zip(PALETTE[class % PALETTE.len()]) {
                assert!(got.abs_diff(expected) <= 3, "{name} {matrix} {range:?}: {got} {expected}");
            }
        }
    }
    // White would be the white code, so yellow is nearly as light.
    let yellow = Painter::new(Effect::Outline, PixelFormat::gray(8), ColorTags::NONE, 100).palette[3][0];
    assert!((160..=235).contains(&yellow), "{yellow}");
}

#[test]
fn interleaved_chroma_is_read_as_planes_are() {
    for (name, same) in [("nv12", "yuv420p"), ("nv16", "yuv422p"), ("p010le", "yuv420p10le"), ("p416le", "yuv444p16le")]
    {
        let planar = noise(format(same), SIZE);
        let mut pairs = Pool::new().picture(format(name), SIZE.0, SIZE.1).unwrap();
        let shift = if name.starts_with('p') { 16 - planar.format().bit_depth } else { 0 };
        for plane in 0..3 {
            let (from, mut to) = (planar.plane(plane), pairs.plane_mut(plane.min(1)));
            for (y, x) in (0..from.height()).flat_map(|y| (0..from.width()).map(move |x| (y, x))) {
                let at = if plane == 0 { x } else { 2 * x + plane - 1 };
                fill(&mut to, y, at..at + 1, code(from, x, y) << shift);
            }
        }
        let (pairs, found) = (pairs.freeze(), AREAS.map(|area| thing(area, 5)));
        for effect in EFFECTS {
            let mut out = copy(&planar);
            Painter::new(effect, planar.format(), ColorTags::NONE, SIZE.1).paint(&pairs, &found, &mut out);
            assert!(is_same(&out.freeze(), &painted(effect, &planar, &found)), "{name} {effect:?}");
        }
    }
}

#[test]
fn what_lies_nowhere_changes_nothing() {
    let source = noise(format("yuv420p"), SIZE);
    let nan = f32::NAN;
    let nowhere = [
        [5.0, 5.0, 5.0, 20.0],
        [20.0, 5.0, 10.0, 9.0],
        [-30.0, 5.0, 0.0, 20.0],
        [93.0, 5.0, 99.0, 9.0],
        [5.0, 71.0, 9.0, 99.0],
        [nan, 5.0, 9.0, 9.0],
        [5.0, nan, 9.0, 9.0],
        [5.0, 5.0, nan, 9.0],
        [5.0, 5.0, 9.0, nan],
        [f32::INFINITY, 0.0, f32::INFINITY, 9.0],
    ];
    for effect in EFFECTS {
        let found: Vec<_> = nowhere.into_iter().map(|area| thing(area, 0)).collect();
        assert!(is_same(&painted(effect, &source, &found), &source), "{effect:?}");
        assert!(is_same(&painted(effect, &source, &[]), &source), "{effect:?}");
    }
}

#[test]
fn of_two_that_overlap_the_later_lies_on_top_and_is_made_of_the_source() {
    let source = noise(format("yuv422p10le"), SIZE);
    let (a, b) = (thing([10.0, 10.0, 50.0, 40.0], 1), thing([30.0, 20.0, 80.0, 60.0], 2));
    for effect in [Effect::Blur, Effect::Pixelate] {
        let [only_a, only_b, both] = [&[a][..], &[b], &[a, b]].map(|found| painted(effect, &source, found));
        for plane in 0..3 {
            let wide = if plane == 0 { 1 } else { 2 };
            for (y, x) in (0..71).flat_map(|y| (0..source.plane(plane).width()).map(move |x| (y, x))) {
                let is_b = (25..85).contains(&(x * wide)) || wide == 2 && x == 12;
                let is_b = is_b && (16..64).contains(&y);
                let expected = if is_b { &only_b } else { &only_a };
                assert_eq!(code(both.plane(plane), x, y), code(expected.plane(plane), x, y), "plane {plane}, {x} {y}");
            }
        }
    }
}

#[test]
fn nothing_but_the_means_can_be_told() {
    let source = noise(format("yuv420p"), (64, 64));
    let mut other = copy(&source);
    // All of it hidden: 8 x 8 cells of 8 x 8 pixels, each turned over.
    for plane in 0..3 {
        let (from, mut to) = (source.plane(plane), other.plane_mut(plane));
        let side = from.width() / 8;
        for (y, x) in (0..from.height()).flat_map(|y| (0..from.width()).map(move |x| (y, x))) {
            let turned = |at: usize| at / side * side + side - 1 - at % side;
            fill(&mut to, y, x..x + 1, code(from, turned(x), turned(y)));
        }
    }
    let (other, all) = (other.freeze(), [thing([0.0, 0.0, 64.0, 64.0], 0)]);
    assert!(!is_same(&source, &other));
    for effect in [Effect::Blur, Effect::Pixelate] {
        assert!(is_same(&painted(effect, &source, &all), &painted(effect, &other, &all)), "{effect:?}");
    }
}

#[test]
fn an_even_area_stays_even() {
    for name in ["gray", "gray16le"] {
        let mut flat = Pool::new().picture(format(name), 40, 30).unwrap();
        let max = format(name).max_code();
        (0..30).for_each(|y| fill(&mut flat.plane_mut(0), y, 0..40, max));
        let flat = flat.freeze();
        for effect in [Effect::Blur, Effect::Pixelate] {
            let out = painted(effect, &flat, &[thing([1.0, 2.0, 38.0, 27.0], 0)]);
            assert!(is_same(&out, &flat), "{name} {effect:?}");
        }
    }
}
