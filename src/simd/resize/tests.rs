use proptest::prelude::*;

use super::*;

const FILTERS: [Filter; 4] = [Filter::Bilinear, Filter::CatmullRom, Filter::Mitchell, Filter::Lanczos3];

/// Textbook forms of the filters.
fn weight(filter: Filter, x: f64) -> f64 {
    let x = x.abs();
    let pi = std::f64::consts::PI;
    match filter {
        Filter::Bilinear => (1.0 - x).max(0.0),
        Filter::CatmullRom if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Filter::CatmullRom if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        Filter::Mitchell if x < 1.0 => (21.0 * x * x * x - 36.0 * x * x + 16.0) / 18.0,
        Filter::Mitchell if x < 2.0 => (-7.0 * x * x * x + 36.0 * x * x - 60.0 * x + 32.0) / 18.0,
        Filter::Lanczos3 if x == 0.0 => 1.0,
        Filter::Lanczos3 if x < 3.0 => 3.0 * (pi * x).sin() * (pi * x / 3.0).sin() / (pi * pi * x * x),
        _ => 0.0,
    }
}

/// Output sample `j` of a row, summed over all there is to sum, in f64.
fn reference(row: &[f64], axis: Axis, filter: Filter, j: usize) -> f64 {
    let step = axis.ratio.0 as f64 / axis.ratio.1 as f64;
    let center = (j as f64 + 0.5 + axis.dst_site) * step - 0.5 - axis.src_site;
    let stretch = step.max(1.0);
    let (mut sum, mut total) = (0.0, 0.0);
    let reach = (4.0 * stretch) as i64 + 1;
    for k in center.round() as i64 - reach..=center.round() as i64 + reach {
        let weight = weight(filter, (k as f64 - center) / stretch);
        sum += weight * row[k.clamp(0, row.len() as i64 - 1) as usize];
        total += weight;
    }
    sum / total
}

fn resized(resizer: &Resizer, source: &[Vec<f64>], columns: Range<usize>, rows: Range<usize>) -> Vec<f32> {
    let (mut out, mut lines) = (Vec::new(), Lines::default());
    let fetch = |y: usize, columns: Range<usize>, [row]: [&mut [f32]; 1]| {
        row.iter_mut().zip(&source[y][columns]).for_each(|(to, from)| *to = *from as f32);
    };
    let width = columns.len();
    let mut row = vec![0.0; width];
    resizer.begin::<1>(&mut lines, columns.clone());
    for y in rows {
        resizer.advance(&mut lines, y, fetch);
        resizer.finish(&lines, y, 0, columns.clone(), &mut row);
        out.extend_from_slice(&row);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_ratio_is_what_the_filter_says_and_any_rectangle_the_same_bits(
        width in 1usize..40, height in 1usize..30, to in (1usize..80, 1usize..60), integer in 0usize..4,
        filter in prop::sample::select(FILTERS.to_vec()), sites in (-0.5f64..0.5, -0.5f64..0.5),
        cut in (0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0, 0.0f64..1.0), seed in any::<u32>(),
    ) {
        let to = match integer {
            0 => to,
            1 => (width * 2, height * 3),
            2 => (width * 4, height * 2),
            _ => (width.div_ceil(2), height.div_ceil(4)),
        };
        let axis = |from, to| {
            // Down-scaling odd sizes by exact factors, as chroma is.
            let ratio = match integer { 3 if from == width => (2, 1), 3 => (4, 1), _ => (from, to) };
            Axis { src_len: from, ratio, src_site: sites.0, dst_site: sites.1 }
        };
        let (horizontal, vertical) = (axis(width, to.0), axis(height, to.1));
        let resizer = Resizer::new(Kernels::best(), horizontal, vertical, filter);
        let mut state = seed;
        let source: Vec<Vec<f64>> = (0..height).map(|_| (0..width).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 24)
        }).collect()).collect();
        let all = resized(&resizer, &source, 0..to.0, 0..to.1);
        for y in 0..to.1 {
            for x in 0..to.0 {
                let column: Vec<f64> = source.iter().map(|row| reference(row, horizontal, filter, x)).collect();
                let truth = reference(&column, vertical, filter, y);
                prop_assert!((f64::from(all[y * to.0 + x]) - truth).abs() < 1e-3, "{x} {y} {truth}");
            }
        }
        let range = |a: f64, b: f64, length: usize| {
            let (a, b) = ((a.min(b) * length as f64) as usize, (a.max(b) * length as f64) as usize);
            a..(b + 1).min(length)
        };
        let (columns, rows) = (range(cut.0, cut.1, to.0), range(cut.2, cut.3, to.1));
        let part = resized(&resizer, &source, columns.clone(), rows.clone());
        let same: Vec<f32> = rows.flat_map(|y| all[y * to.0 + columns.start..y * to.0 + columns.end].to_vec()).collect();
        prop_assert_eq!(part, same);
    }
}

#[test]
fn chroma_keeps_its_siting_when_the_picture_grows() {
    // A ramp along luma columns, sampled where left-sited chroma lies, must be the same ramp after resizing.
    let site = Siting::of(None, crate::frame::Subsampling { x: 1, y: 1 });
    assert_eq!((site.x, site.y), (-0.25, 0.0));
    for scale in [2, 3, 4] {
        let axis = |src_site| Axis { src_len: 32, ratio: (1, scale), src_site, dst_site: src_site };
        let resizer = Resizer::new(Kernels::best(), axis(site.x), axis(site.y), Filter::CatmullRom);
        // The middle of luma sample 2c lies at 2c + 0.5 on a ruler whose unit is a source luma sample.
        let source = vec![(0..32).map(|c| 2.0 * f64::from(c) + 0.5).collect::<Vec<f64>>(); 32];
        let row = resized(&resizer, &source, 0..32 * scale, 40..41);
        for (c, value) in row.iter().enumerate().take(28 * scale).skip(4 * scale) {
            let truth = (2.0 * c as f64 + 0.5) / scale as f64;
            assert!((f64::from(*value) - truth).abs() < 1e-4, "x{scale} {c}: {value} {truth}");
        }
    }
}

#[test]
fn a_flat_plane_stays_flat_at_every_depth() {
    for bit_depth in [8, 10, 16] {
        let format = PixelFormat::gray(bit_depth);
        for filter in FILTERS {
            let pool = crate::frame::Pool::new();
            let mut source = pool.picture(format, 33, 9).unwrap();
            let mut target = pool.picture(format, 50, 18).unwrap();
            let mut plane = source.plane_mut(0);
            (0..9).for_each(|y| plane.row_bytes(y).fill(0xFF));
            if bit_depth == 10 {
                (0..9).for_each(|y| plane.row_u16(y).fill(1023));
            }
            let resizer = Resizer::new(Kernels::best(), Axis::plain(33, 50), Axis::plain(9, 18), filter);
            let source = source.freeze();
            resizer.plane(source.plane(0), format, target.plane_mut(0), &mut Scratch::default());
            let mut plane = target.plane_mut(0);
            for y in 0..18 {
                match bit_depth {
                    8 => assert!(plane.row_bytes(y).iter().all(|&sample| sample == 255)),
                    _ => assert!(plane.row_u16(y).iter().all(|&sample| sample == format.max_code())),
                }
            }
        }
    }
}
