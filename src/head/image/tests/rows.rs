//! The way without tensors against the way with them.

use proptest::prelude::*;

use super::*;
use crate::tile::grid::Grid;

/// The picture that windows give row by row, with the network's answers from tensors. Rows are read `ahead` of those
/// that are written, or after them, and must hold what tensors hold.
fn by_rows(
    head: &ImageHead,
    picture: &Picture,
    tiles: &[(Rect, Rect)],
    ahead: isize,
    run: impl Fn(&Tensor) -> Tensor,
) -> Picture {
    let (mut scratch, mut other) = (Scratch::default(), Scratch::default());
    let (width, height) = head.output_size();
    let mut out = Pool::new().picture(head.output_format(), width, height).unwrap();
    fill(&mut out, 0xA5);
    for &(window, core) in tiles {
        let mut input = tensor(&head.network.input, window.width, window.height);
        head.gather(picture, window, &mut input, 0, &mut other).unwrap();
        let (given, made) = (input.values(), run(&input).values());
        let row = |all: &[f32], y: usize, scale: usize| -> Vec<Vec<f32>> {
            let (width, height) = (window.width * scale, window.height * scale);
            all.chunks_exact(width * height).map(|channel| channel[y * width..][..width].to_vec()).collect()
        };
        let mut rows = head.rows(picture, &mut out, window, core, &mut scratch).unwrap();
        assert_eq!(rows.size(), (window.width, window.height));
        let mut next = 0;
        let mut read_to = |rows: &mut Rows, end: isize| {
            while next < end.clamp(0, window.height as isize) as usize {
                let mut channels = vec![vec![f32::NAN; window.width]; head.network.input.channels.count()];
                rows.read(next, &mut channels.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
                assert_eq!(channels, row(&given, next, 1), "row {next} of {window:?}");
                next += 1;
            }
        };
        for y in 0..window.height * head.scale() {
            read_to(&mut rows, (y / head.scale()) as isize + ahead);
            let answer = row(&made, y, head.scale());
            rows.write(y, &answer.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        read_to(&mut rows, window.height as isize);
    }
    head.finish_planes(picture, &mut out, &mut scratch).unwrap();
    out.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn rows_give_the_same_bits_as_tensors(
        format in prop::sample::select(FORMATS.to_vec()), location in prop::sample::select(LOCATIONS.to_vec()),
        width in 1usize..90, height in 1usize..70, scale in 1usize..4,
        channels in prop::sample::select(vec![Channels::Luma, Channels::Rgb, Channels::Bgr]),
        halves in (any::<bool>(), any::<bool>()), other_values in any::<bool>(),
        window in (3usize..12, 3usize..12), ahead in -3isize..9, seed in any::<u64>(),
    ) {
        let format = PixelFormat::from_name(format).unwrap();
        let picture = picture(format, width, height, seed);
        let element = |is_half| if is_half { Element::F16 } else { Element::F32 };
        let mut network = network(channels, Layout::Nchw, Element::F32, scale);
        (network.input.element, network.output.element) = (element(halves.0), element(halves.1));
        if other_values {
            (network.output.black, network.output.white) = (-1.0, 1.0);
        }
        let color = ColorTags { chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network, &picture, color);
        prop_assert!(head.has_rows());
        let grid = Grid {
            picture: (width, height),
            window: (window.0 * 4, window.1 * 4),
            halo: head.window_halo(),
            multiple_of: 1,
            alignment: head.alignment(),
        };
        let tiles: Vec<_> = grid.tiles().unwrap().into_iter().map(|tile| (tile.window, tile.core)).collect();
        // Bent in f32, then as precise as the output's element.
        let run = |input: &Tensor| {
            let mut plain = Tensor::new(Element::F32, input.shape());
            match input.element() {
                Element::F16 => {
                    let values = plain.as_f32_mut().iter_mut().zip(input.as_f16());
                    values.for_each(|(to, from)| *to = from.to_f32());
                }
                _ => plain.as_f32_mut().copy_from_slice(input.as_f32()),
            }
            let bent = bent(&plain, scale);
            if !halves.1 {
                return bent;
            }
            let mut output = Tensor::new(Element::F16, bent.shape());
            let values = output.as_f16_mut().iter_mut().zip(bent.as_f32());
            values.for_each(|(to, from)| *to = half::f16::from_f32(*from));
            output
        };
        let expected = samples(&through(&head, &picture, &tiles, run));
        prop_assert_eq!(samples(&by_rows(&head, &picture, &tiles, ahead, run)), expected);
    }
}
