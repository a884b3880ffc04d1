//! Windows against whole pictures.

use proptest::prelude::*;

use super::*;
use crate::tile::grid::Grid;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn windows_give_the_same_bits_as_the_whole(
        format in prop::sample::select(FORMATS.to_vec()), location in prop::sample::select(LOCATIONS.to_vec()),
        width in 1usize..90, height in 1usize..70, scale in 1usize..4, rgb in any::<bool>(),
        window in (3usize..12, 3usize..12), m in 1usize..5, seed in any::<u64>(),
    ) {
        let format = PixelFormat::from_name(format).unwrap();
        let picture = picture(format, width, height, seed);
        let channels = if rgb { Channels::Rgb } else { Channels::Luma };
        let mut network = network(channels, Layout::Nchw, Element::F32, scale);
        network.multiple_of = m;
        let color = ColorTags { chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network, &picture, color);
        let grid = Grid {
            picture: (width, height),
            window: (window.0 * 4 * m, window.1 * 4 * m),
            halo: head.window_halo(),
            multiple_of: m,
            alignment: head.alignment(),
        };
        let tiles: Vec<_> = grid.tiles().unwrap().into_iter().map(|tile| (tile.window, tile.core)).collect();
        let padded = head.padded_size();
        let whole = [(Rect::new(0, 0, padded.0, padded.1), Rect::new(0, 0, width, height))];
        let expected = samples(&through(&head, &picture, &whole, |input| bent(input, scale)));
        prop_assert_eq!(samples(&through(&head, &picture, &tiles, |input| bent(input, scale))), expected);
    }

    #[test]
    fn nothing_changes_beyond_the_change_halo(
        format in prop::sample::select(FORMATS.to_vec()), location in prop::sample::select(LOCATIONS.to_vec()),
        scale in 1usize..3, x in 0usize..64, y in 0usize..48, luma in any::<bool>(), seed in any::<u64>(),
    ) {
        let format = PixelFormat::from_name(format).unwrap();
        let before = picture(format, 64, 48, seed);
        // Chroma passes luma networks by, but not where it is in all planes.
        let channels = if luma && format.is_rgb() { Channels::Luma } else { Channels::Rgb };
        let network = network(channels, Layout::Nchw, Element::F32, scale);
        let color = ColorTags { chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network, &before, color);
        // One sample of each component changes.
        let mut after = Pool::new().picture(format, 64, 48).unwrap();
        for plane in 0..format.n_planes() {
            let mut to = after.plane_mut(plane);
            for row in 0..to.height() {
                to.row_bytes(row).copy_from_slice(before.plane(plane).row_bytes(row));
            }
            let (s, pair) = format.subsampling().filter(|_| format.is_chroma(plane)).map_or(((0, 0), 1), |s| {
                ((s.x, s.y), if format.packing == Packing::Planar { 1 } else { 2 })
            });
            let bytes = to.bytes_per_sample();
            for i in 0..pair * bytes {
                to.row_bytes(y >> s.1)[(x >> s.0) * pair * bytes + i] ^= if bytes == 2 && i % 2 == 1 { 0 } else { 0xC0 };
            }
        }
        let after = after.freeze();
        let run = |picture| through(&head, picture, &whole(&before), |input| bent(input, scale));
        let (one, two) = (run(&before), run(&after));
        let halo = head.change_halo() as isize;
        // Alpha passes the network by.
        for plane in 0..one.format().n_planes() - usize::from(format.alpha) {
            let s = one.format().subsampling().filter(|_| one.format().is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
            let size = one.format().plane_size(plane, one.width(), one.height());
            for (i, j) in (0..size.1).flat_map(|j| (0..size.0).map(move |i| (i, j))) {
                let bytes = one.plane(plane).bytes_per_sample();
                let at = |picture: &Picture| picture.plane(plane).row_bytes(j)[i * bytes..(i + 1) * bytes].to_vec();
                if at(&one) != at(&two) {
                    // The aligned block around the output sample, in input pixels.
                    let a = head.alignment();
                    let block = |i: usize, s: u8| ((i << s) / scale / a * a) as isize;
                    let far = |block: isize, at: usize| (at as isize) < block - halo || (at as isize) >= block + a as isize + halo;
                    prop_assert!(!far(block(i, s.0), x) && !far(block(j, s.1), y), "{plane} {i} {j} {x} {y} {halo}");
                }
            }
        }
    }
}
