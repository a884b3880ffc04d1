//! RGB against the words of H.273, in f64.

use super::*;

/// Catmull-Rom as its textbook has it (a = -1/2), independent of the kernel's form.
fn catmull_rom(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// RGB of a pixel in [0, 1] by the words of H.273, in f64.
fn reference_rgb(picture: &Picture, color: ColorTags, x: usize, y: usize) -> [f64; 3] {
    let format = picture.format();
    let step = f64::from(1u32 << (format.bit_depth - 8));
    let top = f64::from(format.max_code());
    let (black, luma_range, chroma_range) = match color.range_or_limited() {
        ColorRange::Limited => (16.0 * step, 219.0 * step, 224.0 * step),
        ColorRange::Full => (0.0, top, top),
    };
    if format.is_rgb() {
        return [2, 0, 1].map(|plane| code(picture, plane, x, y) / top);
    }
    let luma = (code(picture, 0, x, y) - black) / luma_range;
    let Some(subsampling) = format.subsampling() else { return [luma; 3] };
    let (nx, ny) = (f64::from(1u32 << subsampling.x), f64::from(1u32 << subsampling.y));
    // Luma coordinates of the first chroma sample.
    let location = color.chroma_location.unwrap_or(ChromaLocation::Left);
    use ChromaLocation::{Bottom, BottomLeft, Center, Left, Top, TopLeft};
    let x0 = if matches!(location, Left | TopLeft | BottomLeft) { 0.0 } else { (nx - 1.0) / 2.0 };
    let y0 = match location {
        TopLeft | Top => 0.0,
        Left | Center => (ny - 1.0) / 2.0,
        BottomLeft | Bottom => ny - 1.0,
    };
    let (columns, rows) = format.planar().plane_size(1, picture.width(), picture.height());
    let (cx, cy) = ((x as f64 - x0) / nx, (y as f64 - y0) / ny);
    let mut chroma = [0.0; 2];
    for j in cy.floor() as i64 - 2..=cy.floor() as i64 + 3 {
        for i in cx.floor() as i64 - 2..=cx.floor() as i64 + 3 {
            let weight = catmull_rom(i as f64 - cx) * catmull_rom(j as f64 - cy);
            let at = (i.clamp(0, columns as i64 - 1) as usize, j.clamp(0, rows as i64 - 1) as usize);
            for (component, sum) in chroma.iter_mut().enumerate() {
                *sum += weight * (code(picture, 1 + component, at.0, at.1) - 128.0 * step) / chroma_range;
            }
        }
    }
    let (kr, kb) = match color.matrix_for(picture.height()) {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
        ColorMatrix::Bt2020 => (0.2627, 0.0593),
        ColorMatrix::Smpte240 => (0.212, 0.087),
        ColorMatrix::Fcc => (0.30, 0.11),
    };
    let red = luma + 2.0 * (1.0 - kr) * chroma[1];
    let blue = luma + 2.0 * (1.0 - kb) * chroma[0];
    [red, (luma - kr * red - kb * blue) / (1.0 - kr - kb), blue]
}

#[test]
fn rgb_is_what_h273_says_for_every_format_matrix_range_and_siting() {
    for (index, name) in FORMATS.into_iter().enumerate() {
        let format = PixelFormat::from_name(name).unwrap();
        for (width, height) in [(37, 29), (1, 1), (3, 2)] {
            let picture = picture(format, width, height, index as u64);
            for (k, location) in LOCATIONS.into_iter().enumerate() {
                let matrix = [1, 4, 5, 7, 9, 2][(k + index) % 6];
                let range = if (k + index) % 2 == 0 { ColorRange::Full } else { ColorRange::Limited };
                let color =
                    ColorTags { matrix, range: Some(range), chroma_location: Some(location), ..ColorTags::NONE };
                let network = network(Channels::Rgb, Layout::Nchw, Element::F32, 1);
                let head = head(&network, &picture, color);
                let mut input = tensor(&network.input, width, height);
                let window = Rect::new(0, 0, width, height);
                head.gather(&picture, window, &mut input, 0, &mut Scratch::default()).unwrap();
                for i in 0..width * height {
                    let truth = reference_rgb(&picture, color, i % width, i / width);
                    for (c, truth) in truth.into_iter().enumerate() {
                        let got = f64::from(input.as_f32()[c * width * height + i]);
                        assert!((got - truth).abs() < 2e-6, "{name} {location:?} {matrix} {range:?} {got} {truth}");
                    }
                }
            }
        }
    }
}

/// A plane of colours in [0, 1] at a place of a grid twice as fine, by the textbook.
fn brought_up(picture: &Picture, plane: usize, x: usize, y: usize) -> f64 {
    let at = |fine: usize| (fine as f64 + 0.5) / 2.0 - 0.5;
    let (cx, cy) = (at(x), at(y));
    let mut sum = 0.0;
    for j in cy.floor() as i64 - 1..=cy.floor() as i64 + 2 {
        for i in cx.floor() as i64 - 1..=cx.floor() as i64 + 2 {
            let inside = |at: i64, length: usize| at.clamp(0, length as i64 - 1) as usize;
            let code = code(picture, plane, inside(i, picture.width()), inside(j, picture.height()));
            sum += catmull_rom(i as f64 - cx) * catmull_rom(j as f64 - cy) * code;
        }
    }
    sum / f64::from(picture.format().max_code())
}

#[test]
fn luma_networks_change_the_luma_of_colours_and_nothing_else() {
    for (name, matrix, (kr, kb)) in
        [("gbrp", 1, (0.2126, 0.0722)), ("gbrp10le", 9, (0.2627, 0.0593)), ("gbrap16le", 6, (0.299, 0.114))]
    {
        let format = PixelFormat::from_name(name).unwrap();
        let (width, height) = (23, 17);
        let picture = picture(format, width, height, 11);
        let network = network(Channels::Luma, Layout::Nchw, Element::F32, 2);
        let head = head(&network, &picture, ColorTags { matrix, ..ColorTags::NONE });
        let out = through(&head, &picture, &whole(&picture), |input| {
            for (i, got) in input.as_f32().iter().enumerate() {
                let [r, g, b] = reference_rgb(&picture, ColorTags::NONE, i % width, i / width);
                assert!((f64::from(*got) - (kr * r + (1.0 - kr - kb) * g + kb * b)).abs() < 1e-6, "{name}");
            }
            bent(input, 2)
        });
        let luma = |x: usize, y: usize| {
            let [r, g, b] = reference_rgb(&picture, ColorTags::NONE, x / 2, y / 2);
            let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
            luma * luma * 0.7 + 0.1
        };
        let top = f64::from(format.max_code());
        for (x, y) in (0..2 * height).flat_map(|y| (0..2 * width).map(move |x| (x, y))) {
            let [g, b, r] = [0, 1, 2].map(|plane| brought_up(&picture, plane, x, y));
            let change = luma(x, y) - (kr * r + (1.0 - kr - kb) * g + kb * b);
            for (plane, was) in [g, b, r].into_iter().enumerate() {
                let truth = ((was + change) * top).clamp(0.0, top);
                assert!((code(&out, plane, x, y) - truth).abs() < 0.55, "{name} {plane} {x} {y}");
            }
        }
    }
}
