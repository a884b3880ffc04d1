//! `--size`: pictures of another size after the network, held against FFmpeg's Lanczos.

use crate::film::Film;

/// A second without loss.
fn film(size: &str, format: &str) -> Option<Film> {
    let film = Film::new()?;
    film.ffmpeg(&format!("-f lavfi -i testsrc2=s={size}:r=25:d=1 -vf format={format} -c:v ffv1 a.mkv"));
    Some(film)
}

/// PSNR of samples of `bytes` bytes each, in dB.
fn psnr(a: &[u8], b: &[u8], bytes: usize) -> f64 {
    assert!(a.len() == b.len() && !a.is_empty(), "{} and {} bytes", a.len(), b.len());
    let value = |sample: &[u8]| sample.iter().rev().fold(0.0, |value, &byte| value * 256.0 + f64::from(byte));
    let pairs = a.chunks_exact(bytes).zip(b.chunks_exact(bytes));
    let sum: f64 = pairs.map(|(a, b)| (value(a) - value(b)).powi(2)).sum();
    let most = if bytes == 1 { 255.0_f64 } else { 1023.0 };
    10.0 * (most * most * (a.len() / bytes) as f64 / sum.max(1e-9)).log10()
}

#[test]
fn pictures_are_those_of_ffmpegs_lanczos_in_every_plane() {
    for (from, format, to, bytes) in [
        ("320x180", "yuv420p", "480x270", 1),
        ("320x180", "yuv420p", "212x120", 1),
        ("322x182", "yuv422p", "500x100", 1),
        ("161x121", "yuv444p", "333x77", 1),
        ("320x180", "yuv420p10le", "256x144", 2),
        ("320x180", "gray", "100x300", 1),
    ] {
        let Some(film) = film(from, format) else { return };
        film.copy(&format!("a.mkv -o b.mkv --encoder ffv1 --size {to}"));
        // Left, and in the middle between two rows, as H.264 has it where nothing is said.
        let sites = match format {
            "yuv422p" => ":in_h_chr_pos=0:out_h_chr_pos=0",
            "yuv420p" | "yuv420p10le" => ":in_h_chr_pos=0:in_v_chr_pos=128:out_h_chr_pos=0:out_v_chr_pos=128",
            _ => "",
        };
        let scale = format!("scale={}:flags=lanczos+accurate_rnd+full_chroma_int{sites}", to.replace('x', ":"));
        for plane in if format == "gray" { &["y"][..] } else { &["y", "u", "v"] } {
            let of = |name: &str, filter: &str| {
                let plane = if format == "gray" { String::new() } else { format!(",extractplanes={plane}") };
                film.ffmpeg(&format!("-i {name} -vf {filter}format={format}{plane} -f rawvideo -"))
            };
            let (got, wanted) = (of("b.mkv", ""), of("a.mkv", &format!("{scale},")));
            let psnr = psnr(&got, &wanted, bytes);
            println!("{from} {format} to {to}, {plane}: {psnr:.1} dB");
            assert!(psnr > 60.0, "{from} {format} to {to}, {plane}: {psnr}");
        }
    }
}

#[test]
fn the_shape_on_the_screen_stays() {
    let Some(film) = film("320x180", "yuv420p") else { return };
    for (size, width, height, sar) in [
        ("480x270", 480, 270, "1:1"),
        ("320x240", 320, 240, "4:3"),
        ("160x", 160, 90, "1:1"),
        ("x100", 178, 100, "1:1"),
        ("200x200", 200, 200, "16:9"),
    ] {
        film.copy(&format!("a.mkv -o b.mp4 -y --size {size}"));
        let video = &film.streams("b.mp4")[0];
        assert_eq!((video["width"].as_u64(), video["height"].as_u64()), (Some(width), Some(height)), "{size}");
        assert_eq!(video["sample_aspect_ratio"], sar, "{size}");
        assert_eq!(film.frames("b.mp4", "v:0").len(), 25);
    }
    // A ratio in large numbers, which Matroska keeps in others.
    film.copy("a.mkv -o c.mkv --size 1334x778");
    // What is no square sample stays what it is shown as: 320x180 at 4:3 is 64:27.
    film.ffmpeg("-i a.mkv -vf setsar=4/3 -c:v ffv1 w.mkv");
    film.copy("w.mkv -o b.mp4 -y --size 640x270");
    assert_eq!(film.streams("b.mp4")[0]["display_aspect_ratio"], "64:27");
}

#[test]
fn the_size_goes_with_segments_skipping_and_every_output() {
    let Some(film) = film("320x180", "yuv420p") else { return };
    film.copy("a.mkv -o whole.mkv --encoder ffv1 --size 200x114 --skip off");
    film.copy("a.mkv -o cut.mkv --encoder ffv1 --size 200x114 --segment-frames 10 --report r.json");
    film.copy("a.mkv -o b.y4m --size 200x114");
    let hashes = |name: &str| film.frames(name, "v:0").into_iter().map(|shown| shown.hash).collect::<Vec<_>>();
    assert_eq!(hashes("whole.mkv").len(), 25);
    assert_eq!(hashes("whole.mkv"), hashes("cut.mkv"));
    assert_eq!(hashes("whole.mkv"), hashes("b.y4m"));
    assert_eq!(film.report("r.json")["verified"], true);
    // The network's own size is no resize.
    film.copy("a.mkv -o same.mkv --encoder ffv1 --size 320x180");
    assert_eq!(hashes("same.mkv"), hashes("a.mkv"));
}

#[test]
fn what_is_no_size_is_refused() {
    let Some(film) = film("64x64", "yuv420p") else { return };
    for size in ["x", "0x10", "640", "640x480x3", "-1x20", "99999x10", "a4"] {
        let said = film.refused(&format!("a.mkv -o b.mkv --size={size}"));
        assert!(said.contains("--size") && said.contains("1920x1080"), "{said}");
    }
    let said = film.refused("a.mkv -o b.mkv --size 161x121");
    assert!(said.contains("161x121"), "{said}");
    film.ffmpeg("-i a.mkv -vf crop=32:64 -c:v ffv1 tall.mkv");
    let said = film.refused("tall.mkv -o b.mkv --size 16384x");
    assert!(said.contains("16384x32768"), "{said}");
}
