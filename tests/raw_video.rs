//! y4m, image sequences, hashes and the pattern, held against the `ffmpeg` program where it is installed.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use vproc::error::{Kind, Result};
use vproc::frame::{ChromaLocation, ColorRange, FieldOrder, Frame, Packing, Picture, PixelFormat, Pool, RGB_PLANES};
use vproc::head::yuv::ToYuv;
use vproc::sink::hash::{HashSink, frame_hash, hex};
use vproc::sink::images::ImagesSink;
use vproc::sink::y4m::Y4mSink;
use vproc::sink::{Finished, Sink, VideoFacts};
use vproc::source::images::ImagesSource;
use vproc::source::pattern::{PatternSource, PatternSpec};
use vproc::source::y4m::Y4mSource;
use vproc::source::{Damage, Source, SourceFacts};
use vproc::time::Ratio;

use crate::program::run;

const FORMATS: [&str; 12] = [
    "gray",
    "gray10le",
    "gray12le",
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv411p",
    "yuv420p10le",
    "yuv422p12le",
    "yuv444p16le",
    "yuv420p9le",
    "yuva444p",
];

/// The standard output of ffmpeg; `None`, with a printed reason, where it is not installed.
fn ffmpeg(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(arguments).output();
    let Ok(output) = output else {
        println!("skipped: ffmpeg is not installed");
        return None;
    };
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn pattern(description: &str) -> PatternSource {
    PatternSource::new(PatternSpec::parse(description).unwrap()).unwrap()
}

fn video(facts: &SourceFacts) -> VideoFacts {
    VideoFacts {
        width: facts.width,
        height: facts.height,
        format: facts.format,
        color: facts.color,
        sample_aspect_ratio: facts.sample_aspect_ratio,
        field_order: facts.field_order,
        time_base: facts.time_base,
        frame_rate: facts.frame_rate,
    }
}

fn copy(source: &mut dyn Source, mut sink: Box<dyn Sink>) -> Finished {
    while let Some(frame) = source.next_frame().unwrap() {
        sink.write(&frame).unwrap();
    }
    sink.finish().unwrap()
}

fn write_y4m(source: &mut dyn Source, path: &Path) -> Finished {
    let sink = Y4mSink::create(path, &video(source.facts())).unwrap();
    copy(source, Box::new(sink))
}

fn hashes(source: &mut dyn Source) -> String {
    let folder = folder();
    let path = folder.path().join("hashes");
    let sink = HashSink::create(&path, &video(source.facts())).unwrap();
    copy(source, Box::new(sink));
    std::fs::read_to_string(path).unwrap()
}

/// Writes `bytes` to a file and takes its frames to the end.
fn read_bytes(bytes: &[u8]) -> Result<(Vec<Frame>, Damage, Vec<String>)> {
    let folder = folder();
    let path = folder.path().join("a.y4m");
    std::fs::write(&path, bytes).unwrap();
    let mut source = Y4mSource::open(&path)?;
    let mut frames = Vec::new();
    while let Some(frame) = source.next_frame()? {
        frames.push(frame);
    }
    assert!(source.next_frame()?.is_none());
    Ok((frames, source.damage(), source.warnings()))
}

#[test]
fn every_format_and_size_is_written_as_ffmpeg_reads_it_and_read_back_the_same() {
    let folder = folder();
    let path = folder.path().join("a.y4m");
    for format in FORMATS {
        for (size, n_frames) in [("161x121", 2), ("1x1", 1), ("34x18", 0), ("33x2", 3)] {
            let description = format!("pattern:{size}@30000/1001,frames={n_frames},format={format}");
            let finished = write_y4m(&mut pattern(&description), &path);
            assert_eq!((finished.n_frames, finished.warnings), (n_frames, vec![]));
            let made = hashes(&mut pattern(&description));
            let mut source = Y4mSource::open(&path).unwrap();
            assert_eq!(source.facts().format.to_string(), format);
            assert_eq!(source.facts().color.range, Some(ColorRange::Limited));
            assert_eq!(source.facts().n_frames, Some(n_frames));
            assert_eq!(hashes(&mut source), made, "{description}");
            assert_eq!((source.damage(), source.warnings()), (Damage::default(), vec![]));
            // FFmpeg makes no checksums of a stream without frames.
            if n_frames > 0 {
                let arguments = ["-i", text(&path), "-fflags", "+bitexact", "-f", "framemd5", "-"];
                let Some(theirs) = ffmpeg(&arguments) else { return };
                assert_eq!(String::from_utf8(theirs).unwrap(), made, "{description}");
            }
        }
    }
}

#[test]
fn what_ffmpeg_writes_comes_out_byte_for_byte() {
    let folder = folder();
    let (theirs, ours) = (folder.path().join("theirs.y4m"), folder.path().join("ours.y4m"));
    let mut cases: Vec<Vec<&str>> = FORMATS.iter().map(|format| vec!["-pix_fmt", format]).collect();
    for location in ["left", "center", "topleft"] {
        cases.push(vec!["-pix_fmt", "yuv420p", "-chroma_sample_location", location, "-color_range", "pc"]);
    }
    cases.push(vec!["-pix_fmt", "yuv420p", "-vf", "setsar=8/9,setfield=tff", "-field_order", "tt"]);
    for case in cases {
        let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=s=35x19:r=30000/1001:d=0.1"];
        arguments.extend(&case);
        arguments.extend(["-strict", "-1", "-y", text(&theirs)]);
        if ffmpeg(&arguments).is_none() {
            return;
        }
        write_y4m(&mut Y4mSource::open(&theirs).unwrap(), &ours);
        let (theirs, ours) = (std::fs::read(&theirs).unwrap(), std::fs::read(&ours).unwrap());
        let header =
            |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap()).into_owned();
        assert_eq!(header(&ours), header(&theirs), "{case:?}");
        assert!(ours == theirs, "{case:?}: the frames differ");
    }
}

#[test]
fn the_small_clip_has_ffmpegs_hashes() {
    let path = Path::new("/work/shared/data/clips/small.y4m");
    if !path.exists() {
        return println!("skipped: {} is not there", path.display());
    }
    let Some(theirs) = ffmpeg(&["-i", text(path), "-fflags", "+bitexact", "-f", "framemd5", "-"]) else { return };
    let mut source = Y4mSource::open(path).unwrap();
    assert_eq!(source.facts().sample_aspect_ratio, Ratio::new(16, 9));
    assert_eq!(hashes(&mut source), String::from_utf8(theirs).unwrap());
}

#[test]
fn a_named_pipe_gives_the_same_frames_as_the_file() {
    let folder = folder();
    let (path, pipe) = (folder.path().join("a.y4m"), folder.path().join("pipe"));
    for format in ["yuv420p", "yuv422p10le"] {
        write_y4m(&mut pattern(&format!("pattern:161x121,frames=5,format={format}")), &path);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let piped = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&pipe, std::fs::read(&path).unwrap()).unwrap());
            let mut source = Y4mSource::open(&pipe).unwrap();
            assert_eq!(source.facts().n_frames, None);
            hashes(&mut source)
        });
        assert_eq!(piped, hashes(&mut Y4mSource::open(&path).unwrap()));
        std::fs::remove_file(&pipe).unwrap();
    }
}

#[test]
fn each_frame_comes_out_of_a_pipe_before_the_next_goes_in() {
    let folder = folder();
    let path = folder.path().join("in.y4m");
    write_y4m(&mut pattern("pattern:96x64@25,frames=3"), &path);
    let bytes = std::fs::read(&path).unwrap();
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (begin, frames) = bytes.split_at(header);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    command.args(["-", "-o", "-", "-m", "identity", "-q"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(begin).unwrap();
    let (arrived, arrives) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        while stdout.read_exact(&mut byte).is_ok() {
            arrived.send(byte[0]).unwrap();
        }
    });
    let take = |n: usize| -> Vec<u8> {
        (0..n).map(|_| arrives.recv_timeout(Duration::from_secs(60)).expect("it is held back")).collect()
    };
    for (number, frame) in frames.chunks_exact(frames.len() / 3).enumerate() {
        stdin.write_all(frame).unwrap();
        if number == 0 {
            while take(1) != [b'\n'] {}
        }
        assert!(take(frame.len()) == frame, "frame {number}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn frames_at_even_and_odd_addresses_are_the_same() {
    let header = "YUV4MPEG2 W3 H3 F25:1 Cmono12";
    let frame: Vec<u8> = (0..18).map(|value| if value % 2 == 0 { value * 3 } else { value / 2 }).collect();
    let mut seen = Vec::new();
    for filler in ["", " Xa"] {
        let mut bytes = format!("{header}{filler}\n").into_bytes();
        for parameters in ["", " Xb", " Ip"] {
            bytes.extend(format!("FRAME{parameters}\n").as_bytes());
            bytes.extend(&frame);
        }
        let (frames, damage, _) = read_bytes(&bytes).unwrap();
        assert_eq!((frames.len(), damage), (3, Damage::default()));
        seen.extend(frames.iter().map(|frame| hex(&frame_hash(&frame.picture))));
    }
    assert!(seen.iter().all(|hash| *hash == seen[0]), "{seen:?}");
}

#[test]
fn pts_count_frames_and_each_frame_of_a_mixed_stream_says_its_fields() {
    let bytes = b"YUV4MPEG2 W1 H1 F24:1 Im Cmono\nFRAME Itpp\na FRAME".to_vec();
    let (frames, damage, _) = read_bytes(&bytes).unwrap();
    assert_eq!((frames.len(), damage.n_frames), (1, 1));
    let bytes = b"YUV4MPEG2 W1 H1 F24:1 Im Cmono\nFRAME Itpp\naFRAME Ib\nbFRAME I1\ncFRAME\nd";
    let (frames, ..) = read_bytes(bytes).unwrap();
    let orders: Vec<_> = frames.iter().map(|frame| (frame.pts, frame.duration, frame.field_order)).collect();
    let expected = [FieldOrder::TopFirst, FieldOrder::BottomFirst, FieldOrder::Progressive, FieldOrder::Progressive];
    assert_eq!(orders, (0..).zip(expected).map(|(pts, order)| (pts, Some(1), order)).collect::<Vec<_>>());
}

#[test]
fn damage_is_counted_and_ends_the_stream() {
    let header = "YUV4MPEG2 W2 H1 F0:0 Cmono\n";
    let whole = format!("{header}FRAME\nabFRAME\ncd").into_bytes();
    for end in 0..=whole.len() {
        let result = read_bytes(&whole[..end]);
        let in_header = header.len() - 1;
        if end < in_header {
            assert_eq!(result.err().unwrap().kind(), Kind::Input, "{end} bytes");
            continue;
        }
        if end == in_header {
            assert!(result.err().unwrap().to_string().contains("does not end"));
            continue;
        }
        let (frames, damage, warnings) = result.unwrap();
        let body = end - header.len();
        assert_eq!(frames.len(), body / 8, "{end} bytes");
        assert_eq!(damage.n_frames, u64::from(!body.is_multiple_of(8)), "{end} bytes");
        assert_eq!(warnings.len(), 1);
    }
    let (frames, damage, _) = read_bytes(format!("{header}FRAME\nabFRAMES\ncdFRAME\nef").as_bytes()).unwrap();
    assert_eq!((frames.len(), damage.n_frames), (1, 3), "17 bytes are at most three frames of 8");
    assert!(damage.lines[0].contains("byte 35"), "{damage:?}");
    let long = format!("{header}FRAME {}\nab", "x".repeat(5000));
    assert_eq!(read_bytes(long.as_bytes()).err().unwrap().kind(), Kind::Input, "no frame at all");
    let long = format!("YUV4MPEG2 W2 H1 X{}\n", "x".repeat(5000));
    assert_eq!(read_bytes(long.as_bytes()).err().unwrap().kind(), Kind::Input);
    assert_eq!(Y4mSource::open(Path::new("/nonexistent.y4m")).err().unwrap().exit_status(), 4);
    assert_eq!(Y4mSource::open(Path::new("/")).err().unwrap().exit_status(), 4);
}

#[test]
fn a_file_cut_short_while_it_is_read_ends_early_instead_of_killing_the_process() {
    let folder = folder();
    let path = folder.path().join("a.y4m");
    write_y4m(&mut pattern("pattern:256x256,frames=4"), &path);
    let mut source = Y4mSource::open(&path).unwrap();
    drop(source.next_frame().unwrap());
    std::fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
    assert!(source.next_frame().unwrap().is_none());
    assert_eq!(source.damage().n_frames, 1);
}

#[test]
fn frames_of_uneven_time_are_written_with_a_warning() {
    let folder = folder();
    let write = |times: &[i64]| {
        let mut source = pattern("pattern:16x16@25,frames=4");
        let facts = VideoFacts { time_base: vproc::time::TimeBase::MICROS, ..video(source.facts()) };
        let mut sink = Box::new(Y4mSink::create(&folder.path().join("a.y4m"), &facts).unwrap());
        for pts in times {
            let frame = source.next_frame().unwrap().unwrap();
            sink.write(&Frame { pts: *pts, ..frame }).unwrap();
        }
        sink.finish().unwrap().warnings
    };
    assert_eq!(write(&[7, 40_000, 80_100, 119_990]), Vec::<String>::new());
    assert_eq!(write(&[0, 40_000, 120_000, 160_000]).len(), 1);
    assert_eq!(write(&[0, 48_000, 96_000, 144_000]).len(), 1);
}

/// The picture with its chroma interleaved, and at 10 bits with the value in the high bits.
fn semi_planar(picture: &Picture, name: &str) -> Picture {
    let format = PixelFormat::from_name(name).unwrap();
    let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
    let mut semi = Pool::new().picture(format, picture.width(), picture.height()).unwrap();
    for plane in 0..3 {
        let from = picture.plane(plane);
        let mut to = semi.plane_mut(plane.min(1));
        for y in 0..from.height() {
            for x in 0..from.width() {
                let place = if plane == 0 { x } else { 2 * x + plane - 1 };
                match format.bytes_per_sample() {
                    1 => to.row_bytes(y)[place] = from.row_bytes(y)[x],
                    _ => to.row_u16(y)[place] = from.row_u16(y)[x] << shift,
                }
            }
        }
    }
    semi.freeze()
}

#[test]
fn interleaved_chroma_is_taken_apart() {
    let folder = folder();
    for (planar, semi) in [("yuv420p", "nv12"), ("yuv420p10le", "p010le"), ("yuv422p", "nv16")] {
        let (expected, got) = (folder.path().join("planar.y4m"), folder.path().join("semi.y4m"));
        let description = format!("pattern:35x17,frames=1,format={planar}");
        write_y4m(&mut pattern(&description), &expected);
        let mut source = pattern(&description);
        let format = PixelFormat::from_name(semi).unwrap();
        let facts = VideoFacts { format, ..video(source.facts()) };
        let frame = source.next_frame().unwrap().unwrap();
        let picture = semi_planar(&frame.picture, semi);
        if semi != "nv16" {
            // FFmpeg hashes the bytes of the frame as it is, and so do we.
            assert_ne!(frame_hash(&picture), frame_hash(&frame.picture));
        }
        let mut sink = Box::new(Y4mSink::create(&got, &facts).unwrap());
        sink.write(&Frame { picture, ..frame }).unwrap();
        sink.finish().unwrap();
        assert_eq!(std::fs::read(&expected).unwrap(), std::fs::read(&got).unwrap(), "{semi}");
    }
}

#[test]
fn a_sink_that_is_dropped_leaves_nothing_under_the_final_name() {
    let folder = folder();
    let path = folder.path().join("a.y4m");
    let mut source = pattern("pattern:16x16,frames=1");
    let mut sink = Y4mSink::create(&path, &video(source.facts())).unwrap();
    sink.write(&source.next_frame().unwrap().unwrap()).unwrap();
    drop(sink);
    assert!(!path.exists());
}

fn write_images(source: &mut dyn Source, pattern: &Path) -> Finished {
    let sink = ImagesSink::create(pattern, &video(source.facts())).unwrap();
    copy(source, Box::new(sink))
}

fn sequence(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[test]
fn gray_images_keep_every_sample_and_the_first_gap_ends_the_sequence() {
    let folder = folder();
    for format in ["gray", "gray16le"] {
        let path = sequence(&folder, "new/%%_%04d.png");
        let mut source = pattern(&format!("pattern:33x17@10,frames=4,format={format}"));
        let mut facts = video(source.facts());
        facts.color.range = Some(ColorRange::Full);
        let expected = hashes(&mut pattern(&format!("pattern:33x17@10,frames=4,format={format}")));
        let sink = ImagesSink::create(&path, &facts).unwrap();
        assert_eq!(copy(&mut source, Box::new(sink)).n_frames, 4);
        let mut source = ImagesSource::open(&path, Ratio::new(10, 1)).unwrap();
        assert_eq!(source.facts().format.to_string(), format);
        assert_eq!(hashes(&mut source), expected);
        assert!(source.warnings().is_empty());
    }
    let first = folder.path().join("new/%_0001.png");
    std::fs::rename(first, folder.path().join("new/%_0007.png")).unwrap();
    for strict in [false, true] {
        let source = ImagesSource::open(&sequence(&folder, "new/%%_%04d.png"), Ratio::new(10, 1)).unwrap();
        let mut source = source.strict(strict);
        assert_eq!(source.facts().n_frames, Some(3));
        assert!((0..3).all(|_| source.next_frame().unwrap().is_some()));
        // Who asks for no more misses nothing.
        assert_eq!(source.damage(), Damage::default());
        if strict {
            assert_eq!(source.next_frame().err().unwrap().exit_status(), 4);
            continue;
        }
        assert!(source.next_frame().unwrap().is_none());
        let damage = source.damage();
        assert_eq!(damage.n_frames, 3, "5 and 6 are missing, 7 is left out");
        assert!(damage.lines[0].contains("%_0005.png") && damage.lines[0].contains("%_0007.png"), "{damage:?}");
    }
}

#[test]
fn colour_images_keep_every_sample_and_become_bt709_as_h273_defines_it() {
    let folder = folder();
    let colors: Vec<[u16; 3]> = (0..4096u32)
        .map(|n| [n.wrapping_mul(2_654_435_761) >> 16, n * 40_503 + 7, n * n * 31].map(|value| (value & 0xFFFF) as u16))
        .chain([[0, 0, 0], [0xFFFF; 3], [0xFFFF, 0, 0], [0, 0, 0xFFFF]])
        .collect();
    for depth in [8u8, 16] {
        let path = folder.path().join("0.png");
        let (unit, white) = (f64::from(1u32 << (depth - 8)), f64::from((1u32 << depth) - 1));
        if depth == 8 {
            let bytes = colors.iter().flatten().map(|value| (value >> 8) as u8).collect();
            image::RgbImage::from_raw(colors.len() as u32, 1, bytes).unwrap().save(&path).unwrap();
        } else {
            let words: Vec<u16> = colors.iter().flatten().copied().collect();
            let image = image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(colors.len() as u32, 1, words).unwrap();
            image.save(&path).unwrap();
        }
        let mut source = ImagesSource::open(&sequence(&folder, "%d.png"), Ratio::new(24, 1)).unwrap();
        let tags = source.facts().color;
        assert_eq!((tags.range, tags.matrix, tags.primaries, tags.transfer), (Some(ColorRange::Full), 0, 1, 13));
        let frame = source.next_frame().unwrap().unwrap();
        let rgb = source.facts().format;
        assert_eq!(rgb, PixelFormat::rgb(depth));
        let sample = |picture: &Picture, plane: usize, x: usize| match depth {
            8 => u16::from(picture.plane(plane).row_bytes(0)[x]),
            _ => picture.plane(plane).row_u16(0)[x],
        };
        let tags = tags.of_yuv(1);
        assert_eq!((tags.range, tags.matrix, tags.primaries, tags.transfer), (Some(ColorRange::Limited), 1, 1, 13));
        let yuv = ToYuv::new(rgb, tags, 1).picture(&frame.picture).unwrap();
        for (x, color) in colors.iter().enumerate() {
            let samples = color.map(|value| value >> (16 - depth));
            assert_eq!(RGB_PLANES.map(|plane| sample(&frame.picture, plane, x)), samples);
            let [red, green, blue] = samples.map(|value| f64::from(value) / white);
            let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            let expected = [
                (219.0 * luma + 16.0) * unit,
                (224.0 * (blue - luma) / 1.8556 + 128.0) * unit,
                (224.0 * (red - luma) / 1.5748 + 128.0) * unit,
            ];
            for (component, expected) in expected.into_iter().enumerate() {
                let got = f64::from(sample(&yuv, component, x));
                let bound = if depth == 8 { 0.501 } else { 0.51 };
                assert!((got - expected).abs() < bound, "{color:?} at {depth} bits: {got}, expected {expected}");
            }
        }
    }
}

/// The samples of a PNG file in the pixel format that FFmpeg calls `format`.
fn decoded(path: &Path, format: &str) -> Option<Vec<u8>> {
    ffmpeg(&["-i", text(path), "-pix_fmt", format, "-f", "rawvideo", "-"])
}

#[test]
fn flat_and_smooth_colours_come_out_as_ffmpeg_has_them() {
    let folder = folder();
    let (raw, png) = (folder.path().join("a.y4m"), folder.path().join("theirs.png"));
    // The shapes of the pattern are sharp, a gradient is where interpolation must agree.
    let gradient = "gradients=s=64x36:c0=0x204080:c1=0xE08040:x0=0:y0=0:x1=63:y1=35:nb_colors=2:d=0.04:r=25";
    for (format, deep) in [("yuv444p", false), ("yuv420p", false), ("yuv422p", false), ("yuv420p10le", true)] {
        let made = ffmpeg(&["-f", "lavfi", "-i", gradient, "-pix_fmt", format, "-strict", "-1", "-y", text(&raw)]);
        if made.is_none() {
            return;
        }
        let mut source = Y4mSource::open(&raw).unwrap();
        let mut facts = video(source.facts());
        facts.color.chroma_location = Some(ChromaLocation::Left);
        let sink = ImagesSink::create(&sequence(&folder, "%d.png"), &facts).unwrap();
        copy(&mut source, Box::new(sink));
        let pixel_format = if deep { "rgb48le" } else { "rgb24" };
        let scale = "scale=flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp:in_h_chr_pos=0:in_v_chr_pos=128";
        ffmpeg(&["-i", text(&raw), "-vf", scale, "-pix_fmt", pixel_format.trim_end_matches("le"), "-y", text(&png)]);
        let ours = decoded(&folder.path().join("1.png"), pixel_format).unwrap();
        let theirs = decoded(&png, pixel_format).unwrap();
        assert_eq!(ours.len(), theirs.len());
        // In 8-bit steps.
        let samples = |bytes: &[u8]| -> Vec<f64> {
            match deep {
                false => bytes.iter().map(|value| f64::from(*value)).collect(),
                true => bytes
                    .chunks_exact(2)
                    .map(|pair| f64::from(u16::from_le_bytes([pair[0], pair[1]])) / 257.0)
                    .collect(),
            }
        };
        let (ours, theirs) = (samples(&ours), samples(&theirs));
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= 2.0, "{format}: {worst} steps apart");
    }
}

#[test]
fn pictures_that_do_not_fit_the_first_are_refused_by_name() {
    let folder = folder();
    let (path, fps) = (sequence(&folder, "%d.png"), Ratio::new(24, 1));
    let open = || ImagesSource::open(&path, fps);
    assert_eq!(open().err().unwrap().kind(), Kind::Input);
    assert_eq!(ImagesSource::open(&path, Ratio::new(0, 1)).err().unwrap().kind(), Kind::Usage);
    let save =
        |number: u32, image: image::DynamicImage| image.save(folder.path().join(format!("{number}.png"))).unwrap();
    let second = |image| {
        save(1, image);
        let mut source = open().unwrap();
        source.next_frame().unwrap().unwrap();
        (source.next_frame(), source.warnings())
    };
    save(0, image::DynamicImage::new_rgb8(8, 4));
    let (error, _) = second(image::DynamicImage::new_rgb8(8, 5));
    let error = error.err().unwrap();
    assert!(error.kind() == Kind::Input && error.to_string().contains("1.png: 8x5, expected 8x4"), "{error}");
    assert_eq!(second(image::DynamicImage::new_rgb16(8, 4)).0.err().unwrap().kind(), Kind::Input);
    assert!(second(image::DynamicImage::new_luma8(8, 4)).0.unwrap().is_some());
    let (frame, warnings) = second(image::DynamicImage::new_rgba8(8, 4));
    assert!(frame.unwrap().is_some() && warnings.len() == 1);
    save(0, image::DynamicImage::new_luma8(8, 4));
    assert_eq!(second(image::DynamicImage::new_rgb8(8, 4)).0.err().unwrap().kind(), Kind::Input);
}

#[test]
fn a_colour_profile_rides_from_pictures_to_pictures() {
    use image::{ImageDecoder, ImageEncoder};
    let folder = folder();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let profile: Vec<u8> = (0..700u32).map(|n| (n * n / 8) as u8).collect();
    for (number, has_profile) in [(1, true), (2, false)] {
        let file = std::fs::File::create(folder.path().join(format!("in/{number}.png"))).unwrap();
        let mut encoder = image::codecs::png::PngEncoder::new(file);
        if has_profile {
            encoder.set_icc_profile(profile.clone()).unwrap();
        }
        encoder.write_image(&[9; 3 * 8 * 4], 8, 4, image::ExtendedColorType::Rgb8).unwrap();
    }
    let mut source = ImagesSource::open(&sequence(&folder, "in/%d.png"), Ratio::new(24, 1)).unwrap();
    let facts = video(source.facts());
    let sink = ImagesSink::create(&sequence(&folder, "out/%d.png"), &facts).unwrap();
    assert_eq!(copy(&mut source, Box::new(sink)).n_frames, 2);
    for (number, expected) in [(1, Some(profile)), (2, None)] {
        let file = std::fs::File::open(folder.path().join(format!("out/{number}.png"))).unwrap();
        let mut decoder = image::codecs::png::PngDecoder::new(std::io::BufReader::new(file)).unwrap();
        assert_eq!(decoder.icc_profile().unwrap(), expected);
    }
}

#[test]
fn broken_and_oversized_images_are_refused_without_harm() {
    let folder = folder();
    let (path, fps) = (sequence(&folder, "%d.png"), Ratio::new(24, 1));
    let file = folder.path().join("0.png");
    image::DynamicImage::new_rgb8(64, 64).save(&file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for length in 0..whole.len() - 20 {
        std::fs::write(&file, &whole[..length]).unwrap();
        let result = ImagesSource::open(&path, fps).and_then(|mut source| source.next_frame());
        assert_eq!(result.err().map(|error| error.kind()), Some(Kind::Input), "{length} of {} bytes", whole.len());
    }
    // A header that announces 65535x65535, with a right checksum.
    let mut bomb = whole[..16].to_vec();
    bomb.extend([0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 8, 2, 0, 0, 0]);
    bomb.extend(crc32(&bomb[12..29]).to_be_bytes());
    bomb.extend(&whole[33..]);
    std::fs::File::create(&file).unwrap().write_all(&bomb).unwrap();
    let error = ImagesSource::open(&path, fps).err().unwrap();
    assert!(error.kind() == Kind::Input && error.to_string().contains("65535x65535"), "{error}");
}

/// CRC-32 of the PNG specification, annex D.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn colour_images_written_and_read_again_differ_by_rounding_alone() {
    let folder = folder();
    let path = sequence(&folder, "%06d.png");
    let description = "pattern:48x32,frames=2,format=yuv444p";
    write_images(&mut pattern(description), &path);
    let mut expected = pattern(description);
    let mut got = ImagesSource::open(&path, Ratio::new(24, 1)).unwrap();
    let mut to_yuv = ToYuv::new(PixelFormat::rgb(8), expected.facts().color, 32);
    while let Some(frame) = expected.next_frame().unwrap() {
        let again = to_yuv.picture(&got.next_frame().unwrap().unwrap().picture).unwrap();
        // The discs' colours lie outside R'G'B' in places and are cut there; below them all is in range.
        for plane in 0..3 {
            for y in 0..2 {
                let (a, b) = (frame.picture.plane(plane).row_bytes(y), again.plane(plane).row_bytes(y));
                let worst = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(worst <= 1, "plane {plane}, row {y}: {worst}");
            }
        }
    }
}

#[test]
fn a_first_frame_that_cannot_be_written_ends_the_run() {
    let folder = folder();
    // All workers make the first frame together, and nobody reads on before it is out.
    let what = ["pattern:320x240@25,frames=20", "-o", "-", "-m", "upscale-x2-fast", "--workers", "2", "--no-cache"];
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" > /dev/full", "sh", env!("CARGO_BIN_EXE_vproc")]).args(what);
    let ran = run(shell.env("HOME", folder.path()), Duration::from_secs(60));
    assert!(ran.is_refusal(1), "{:?} {}", ran.code, ran.stderr);
}
