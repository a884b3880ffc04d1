//! Against zscale (libzimg) with the same filters, where ffmpeg has it.

use super::*;

/// What `ffmpeg` makes of raw video on its standard input; nothing where it, or zscale in it, is missing.
fn ffmpeg(from: (&str, usize, usize), filters: &str, to: &str, input: Vec<u8>) -> Option<Vec<u8>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let size = format!("{}x{}", from.1, from.2);
    let child = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", from.0, "-s", &size, "-i", "-"])
        .args(["-vf", filters, "-f", "rawvideo", "-pix_fmt", to, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: there is no ffmpeg");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("No such filter") {
        println!("skipped: this ffmpeg has no zscale");
        return None;
    }
    assert!(output.status.success() && written.is_ok(), "{message}");
    Some(output.stdout)
}

/// A smooth colourful picture with edges, as planar RGB (green, blue, red) of 8 bits.
fn scene(width: usize, height: usize) -> Vec<u8> {
    let mut planes = vec![0; 3 * width * height];
    for (i, sample) in planes.iter_mut().enumerate() {
        let (c, x, y) = (i / (width * height), (i % width) as f64, (i / width % height) as f64);
        let wave = (x * (0.05 + 0.02 * c as f64) + y * 0.03).sin() * (y * 0.07 - x * 0.01 * c as f64).cos();
        let disc = if (x - 60.0).hypot(y - 50.0) < 25.0 + 5.0 * c as f64 { 60.0 } else { 0.0 };
        *sample = (110.0 + 70.0 * wave + disc) as u8;
    }
    planes
}

fn picture_of(format: PixelFormat, width: usize, height: usize, bytes: &[u8]) -> Picture {
    let mut out = Pool::new().picture(format, width, height).unwrap();
    let mut rows = bytes;
    for plane in 0..format.n_planes() {
        let mut plane = out.plane_mut(plane);
        for y in 0..plane.height() {
            let row = plane.row_bytes(y);
            row.copy_from_slice(&rows[..row.len()]);
            rows = &rows[row.len()..];
        }
    }
    out.freeze()
}

/// PSNR in dB at a peak, and the mean difference.
fn distance(a: &[u16], b: &[u16], peak: f64) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let pairs = || a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b));
    let n = a.len() as f64;
    let mse = pairs().map(|d| d * d).sum::<f64>() / n;
    (10.0 * (peak * peak / mse.max(1e-9)).log10(), pairs().sum::<f64>() / n)
}

/// A scene as RGB goes to YUV, and from there to RGB, twice the size and back to YUV: by zscale and by us, each
/// measured against what zscale makes of the scene's own RGB. (zscale takes no odd sizes in 4:2:0.)
#[test]
fn size_changing_rgb_is_as_good_as_zscale() {
    const BICUBIC: &str = "filter=bicubic:param_a=0:param_b=0.5:dither=none";
    let (limited, full) = ((ColorRange::Limited, "limited"), (ColorRange::Full, "full"));
    let (bt601, bt709, bt2020) = ((5, "470bg"), (1, "709"), (9, "2020_ncl"));
    for (name, (chroma, location), (matrix, matrix_name), (range, range_name)) in [
        ("yuv420p", ("left", ChromaLocation::Left), bt709, limited),
        ("yuv420p", ("left", ChromaLocation::Left), bt601, full),
        ("yuv420p", ("center", ChromaLocation::Center), bt601, limited),
        ("yuv420p10le", ("topleft", ChromaLocation::TopLeft), bt2020, limited),
        ("yuv422p", ("left", ChromaLocation::Left), bt709, limited),
        ("yuv444p12le", ("left", ChromaLocation::Left), bt2020, full),
        ("yuv420p16le", ("left", ChromaLocation::Left), bt709, limited),
    ] {
        let (width, height) = (162, 122);
        let to_yuv =
            format!("zscale=m={matrix_name}:r={range_name}:c={chroma}:min=gbr:rin=full:{BICUBIC},format={name}");
        let to_rgb =
            format!("zscale=min={matrix_name}:rin={range_name}:cin={chroma}:m=gbr:r=full:{BICUBIC},format=gbrpf32le");
        let grow = format!("zscale=w={}:h={}:filter=point", 2 * width, 2 * height);
        let to_float = "zscale=min=gbr:rin=full:m=gbr:r=full,format=gbrpf32le";
        let run = |from, filters: &str, to, input| ffmpeg((from, width, height), filters, to, input);
        let rgb = scene(width, height);
        let Some(yuv) = run("gbrp", &to_yuv, name, rgb.clone()) else { return };
        let Some(truth) = run("gbrp", &format!("{to_float},{grow},{to_yuv}"), name, rgb) else { return };
        let theirs = run(name, &format!("{to_rgb},{grow},{to_yuv}"), name, yuv.clone()).unwrap();

        let format = PixelFormat::from_name(name).unwrap();
        let picture = picture_of(format, width, height, &yuv);
        let color = ColorTags { matrix, range: Some(range), chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network(Channels::Rgb, Layout::Nchw, Element::F32, 2), &picture, color);
        let ours = through(&head, &picture, &whole(&picture), |input| {
            let [_, _, h, w] = input.shape();
            let mut output = Tensor::new(Element::F32, [1, 3, 2 * h, 2 * w]);
            for (i, out) in output.as_f32_mut().iter_mut().enumerate() {
                let (c, x, y) = (i / (4 * w * h), i % (2 * w) / 2, i / (2 * w) % (2 * h) / 2);
                *out = input.as_f32()[(c * h + y) * w + x];
            }
            output
        });
        let (theirs, truth) =
            (picture_of(format, 2 * width, 2 * height, &theirs), picture_of(format, 2 * width, 2 * height, &truth));
        let sizes = (0..3).map(|plane| format.plane_size(plane, 2 * width, 2 * height));
        let ends: Vec<usize> = sizes
            .scan(0, |end, (w, h)| {
                *end += w * h;
                Some(*end)
            })
            .collect();
        let step = f64::from(1u32 << (format.bit_depth - 8));
        for plane in 0..3 {
            let part = |all: &Picture| samples(all)[if plane == 0 { 0 } else { ends[plane - 1] }..ends[plane]].to_vec();
            let peak = f64::from(format.max_code());
            let (ours, theirs) =
                (distance(&part(&ours), &part(&truth), peak), distance(&part(&theirs), &part(&truth), peak));
            println!("{name} {chroma} {matrix_name} {range_name} {plane}: ours {ours:.2?}, zscale {theirs:.2?}");
            assert!(ours.0 >= theirs.0 - 0.5, "{name} {chroma} {matrix} {range:?} {plane}: {ours:?} {theirs:?}");
            assert!(ours.1.abs() < 0.1 * step, "{name} {chroma} {matrix} {range:?}: {ours:?} {theirs:?}");
        }
    }
}

/// The chroma of a luma network that doubles the size, against zscale's of the whole picture.
#[test]
fn chroma_beside_a_luma_network_is_what_zscale_makes() {
    let (width, height) = (160, 120);
    for (name, siting, location) in [
        ("yuv420p", "left", ChromaLocation::Left),
        ("yuv420p", "center", ChromaLocation::Center),
        ("yuv420p10le", "topleft", ChromaLocation::TopLeft),
        ("yuv422p", "left", ChromaLocation::Left),
    ] {
        let format = PixelFormat::from_name(name).unwrap();
        let siting = format!("cin={siting}:c={siting}");
        let to_yuv = format!("zscale=m=709:r=limited:{siting}:min=gbr:rin=full,format={name}");
        let grow = format!("zscale=w={}:h={}:{siting}:filter=bicubic:param_a=0:param_b=0.5", 2 * width, 2 * height);
        let Some(yuv) = ffmpeg(("gbrp", width, height), &to_yuv, name, scene(width, height)) else { return };
        let Some(theirs) = ffmpeg((name, width, height), &grow, name, yuv.clone()) else { return };
        let picture = picture_of(format, width, height, &yuv);
        let color = ColorTags { chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network(Channels::Luma, Layout::Nchw, Element::F32, 2), &picture, color);
        let ours = through(&head, &picture, &whole(&picture), |input| bent(input, 2));
        let theirs = samples(&picture_of(format, 2 * width, 2 * height, &theirs));
        let (psnr, shift) = distance(
            &samples(&ours)[4 * width * height..],
            &theirs[4 * width * height..],
            f64::from(format.max_code()),
        );
        println!("{name} {siting}: {psnr:.2} dB, mean {shift:.3}");
        assert!(psnr > 50.0 && shift.abs() < 0.1, "{name} {siting}: {psnr} {shift}");
    }
}
