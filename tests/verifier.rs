//! The verifier sees: a sound output passes, and each of a hundred wrong ones, made from it, is caught.
//!
//! The wrong ones are written by the same muxer from the same packets, with one thing changed; a copy with nothing
//! changed passes, so what is caught is the change.

use std::fs::File;
use std::path::{Path, PathBuf};

use vproc::av::{Chapter, Input, InputOptions, MediaKind, Output, OutputStream, Packet, StreamSideData, Writer};
use vproc::command::prepare::file_job;
use vproc::config::{self, RunConfig};
use vproc::measure;
use vproc::sink::Sink;
use vproc::sink::ffmpeg::FfmpegSink;
use vproc::sink::mux::Sealed;
use vproc::time::Ratio;

use crate::program::{ffmpeg, has};

/// A file taken apart.
struct Parts {
    streams: Vec<(usize, MediaKind, OutputStream)>,
    /// In the order of the file, times in their input stream's ticks.
    packets: Vec<Packet>,
    metadata: Vec<(String, String)>,
    chapters: Vec<Chapter>,
}

/// One thing that goes wrong; `None` where the file has no such thing.
type Fault = Box<dyn Fn(&mut Parts) -> Option<()>>;

#[test]
fn a_hundred_wrong_outputs_are_caught_and_the_right_ones_are_not() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut n_wrong, mut missed) = (0, Vec::new());
    for (extension, encoder) in
        [("mkv", "libx264"), ("mp4", "libx264"), ("mov", "libx264"), ("mkv", "ffv1"), ("mp4", "libx265")]
    {
        let name = format!("{encoder}.{extension}");
        let input = rich_clip(folder.path(), extension);
        let sealed = make(&input, &folder.path().join(&name), encoder);
        sealed.verify(sealed.part_path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let wrong = folder.path().join(format!("wrong.{extension}"));
        let muxer = if extension == "mkv" { "matroska" } else { extension };
        for (what, fault) in faults() {
            let mut parts = take_apart(sealed.part_path());
            if fault(&mut parts).is_none() {
                println!("{name}: has no {what}");
                continue;
            }
            put_together(parts, muxer, &wrong, sealed.part_path());
            if what == "marked as forced" && !is_forced(&wrong) {
                println!("{name}: cannot hold {what}");
                continue;
            }
            match (what, sealed.verify(&wrong)) {
                ("nothing", Ok(_)) => {}
                ("nothing", Err(error)) => panic!("{name}: a faithful copy is taken for a wrong one: {error}"),
                (_, Ok(verdict)) => {
                    n_wrong += 1;
                    missed.push(format!("{name}: {what} ({:?})", verdict.warnings));
                }
                (_, Err(error)) => {
                    n_wrong += 1;
                    println!("{name}: {what}: {error}");
                }
            }
        }
    }
    println!("{n_wrong} wrong outputs, {} not caught", missed.len());
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
    assert!(n_wrong >= 100, "{n_wrong}");
}

/// Two seconds with sound, subtitles, chapters, tags, colours, and pixels that are not square.
fn rich_clip(folder: &Path, extension: &str) -> PathBuf {
    let clip = folder.join(format!("rich.{extension}"));
    let (subtitles, facts) = (folder.join("rich.srt"), folder.join("rich.txt"));
    let line = |n: u32| format!("{n}\n00:00:0{n}.000 --> 00:00:0{n}.500\nline {n}\n\n");
    std::fs::write(&subtitles, format!("1\n00:00:00.100 --> 00:00:00.600\nfirst\n\n{}", line(1))).unwrap();
    let chapter = |n: u32| format!("[CHAPTER]\nTIMEBASE=1/1\nSTART={n}\nEND={}\ntitle=part {n}\n", n + 1);
    std::fs::write(&facts, format!(";FFMETADATA1\ntitle=a film\ncomment=said of it\n{}{}", chapter(0), chapter(1)))
        .unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let made = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=96x64:r=25:d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=f=300:d=2",
    ];
    let mut arguments: Vec<String> = made.map(str::to_owned).to_vec();
    arguments.extend(["-i".into(), text(&subtitles), "-i".into(), text(&facts)]);
    let subtitle_codec = if extension == "mkv" { "srt" } else { "mov_text" };
    arguments.extend(
        ["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map_metadata", "4", "-map_chapters", "4"]
            .map(str::to_owned),
    );
    arguments.extend(
        ["-c:v", "libx264", "-preset", "fast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-c:s", subtitle_codec]
            .map(str::to_owned),
    );
    arguments.extend(
        [
            "-vf",
            "setsar=4/3",
            "-colorspace",
            "bt709",
            "-color_primaries",
            "bt709",
            "-color_trc",
            "bt709",
            "-color_range",
            "tv",
        ]
        .map(str::to_owned),
    );
    arguments.extend(
        [
            "-metadata:s:a:0",
            "language=eng",
            "-metadata:s:a:1",
            "language=fra",
            "-metadata:s:s:0",
            "language=deu",
            "-disposition:a:1",
            "0",
        ]
        .map(str::to_owned),
    );
    let plain = folder.join(format!("plain.{extension}"));
    ffmpeg(&[arguments, vec![text(&plain)]].concat());
    // Rotation is set on a stream that is copied.
    ffmpeg(&["-i", &text(&plain), "-map", "0", "-dn", "-c", "copy", "-metadata:s:v", "rotate=90", &text(&clip)]);
    clip
}

/// The output as the program leaves it before it is verified.
fn make(input: &Path, output: &Path, encoder: &str) -> Sealed {
    let config = RunConfig {
        input: input.into(),
        output: config::Output::File(output.to_owned()),
        model: "identity".into(),
        encoder: Some(encoder.into()),
        preset: (encoder != "ffv1").then(|| "ultrafast".into()),
        ..RunConfig::default()
    };
    let mut source = measure::open_source(&config, 1).unwrap().source;
    let mut sink = FfmpegSink::create(file_job(&config).unwrap()).unwrap();
    while let Some(frame) = source.next_frame().unwrap() {
        sink.write(&frame).unwrap();
    }
    sink.seal().unwrap()
}

fn take_apart(path: &Path) -> Parts {
    let mut input = Input::open(path, &InputOptions::default()).unwrap();
    // A chapter track of an mp4 is made anew from the chapters.
    let kept: Vec<_> =
        input.streams().iter().filter(|stream| !(stream.kind == MediaKind::Data && stream.is_left_out)).collect();
    let streams = kept.iter().map(|stream| {
        let about = OutputStream {
            metadata: stream.metadata.clone(),
            disposition: stream.disposition,
            side_data: stream.side_data.clone(),
            time_base: Some(stream.time_base),
            frame_rate: Some(stream.average_frame_rate),
            sample_aspect_ratio: (stream.kind == MediaKind::Video).then_some(stream.sample_aspect_ratio),
            ..OutputStream::default()
        };
        (stream.index, stream.kind, about)
    });
    let streams: Vec<_> = streams.collect();
    let mut packets = Vec::new();
    while let Some(packet) = input.next_packet().unwrap() {
        if streams.iter().any(|(index, ..)| *index == packet.stream_index()) {
            packets.push(packet);
        }
    }
    Parts { streams, packets, metadata: input.metadata(), chapters: input.chapters() }
}

fn put_together(parts: Parts, muxer: &str, path: &Path, original: &Path) {
    let input = Input::open(original, &InputOptions::default()).unwrap();
    let mut output = Output::new(muxer, path, Writer::new(File::create(path).unwrap()).unwrap()).unwrap();
    let mut places = Vec::new();
    for (index, _, about) in &parts.streams {
        places.push((*index, output.add_copy(input.stream(*index).unwrap(), about).unwrap()));
    }
    output.set_metadata(&parts.metadata);
    output.set_chapters(&parts.chapters).unwrap();
    output.write_header(&[]).unwrap();
    for mut packet in parts.packets {
        let Some((index, place)) = places.iter().find(|(index, _)| *index == packet.stream_index()) else { continue };
        packet.rescale(input.stream(*index).unwrap().time_base, output.time_base(*place));
        packet.set_stream_index(*place);
        output.write(packet).unwrap();
    }
    output.finish().unwrap();
}

/// What can go wrong, each with its name; the first is nothing.
fn faults() -> Vec<(&'static str, Fault)> {
    use MediaKind::{Audio, Subtitle, Video};
    let mut faults: Vec<(&'static str, Fault)> = vec![("nothing", Box::new(|_| Some(())))];
    for (what, kind, nth) in [
        ("first picture dropped", Video, 0),
        ("a picture dropped", Video, 20),
        ("last picture dropped", Video, usize::MAX),
        ("first sound packet dropped", Audio, 0),
        ("a sound packet dropped", Audio, 30),
        ("last sound packet dropped", Audio, usize::MAX),
        ("a subtitle dropped", Subtitle, 0),
    ] {
        faults.push((
            what,
            Box::new(move |parts| {
                let at = find(parts, kind, nth)?;
                parts.packets.remove(at);
                Some(())
            }),
        ));
    }
    for (what, kind, nth, ticks) in [
        ("a picture later by a tick", Video, 7, 1),
        ("a picture earlier by a tick", Video, 30, -1),
        ("the last picture later", Video, usize::MAX, 1),
        ("a sound packet later", Audio, 11, 2),
        ("a subtitle later", Subtitle, 0, 5),
    ] {
        faults.push((
            what,
            Box::new(move |parts| {
                let at = find(parts, kind, nth)?;
                // A tick of the container, which may be coarser than the one counted here.
                let packet = &mut parts.packets[at];
                let (pts, dts) = (packet.pts()?, packet.dts()?);
                let ticks = ticks * if packet.duration() > 4000 { 300 } else { 1 };
                packet.set_times(Some(pts + ticks), Some(if pts == dts { dts + ticks } else { dts }.min(pts + ticks)));
                Some(())
            }),
        ));
    }
    for (what, kind, nth) in [
        ("two pictures swapped", Video, 9),
        ("two far pictures swapped", Video, 33),
        ("two sound packets swapped", Audio, 5),
    ] {
        faults.push((
            what,
            Box::new(move |parts| {
                let (a, b) = (find(parts, kind, nth)?, find(parts, kind, nth + 1)?);
                let times = [a, b].map(|at| (parts.packets[at].pts(), parts.packets[at].dts()));
                parts.packets.swap(a, b);
                for (at, (pts, dts)) in [a, b].into_iter().zip(times) {
                    parts.packets[at].set_times(pts, dts);
                }
                Some(())
            }),
        ));
    }
    for (what, kind, last) in [
        ("sound stream dropped", Audio, false),
        ("second sound stream dropped", Audio, true),
        ("subtitle stream dropped", Subtitle, false),
    ] {
        faults.push((
            what,
            Box::new(move |parts| {
                let mut matching = parts.streams.iter().filter(|stream| stream.1 == kind);
                let index = if last { matching.next_back()?.0 } else { matching.next()?.0 };
                parts.streams.retain(|stream| stream.0 != index);
                Some(())
            }),
        ));
    }
    faults.push((
        "sound streams swapped",
        Box::new(|parts| {
            let mut places = parts.streams.iter().enumerate().filter(|(_, stream)| stream.1 == Audio).map(|(at, _)| at);
            let (a, b) = (places.next()?, places.next()?);
            parts.streams.swap(a, b);
            Some(())
        }),
    ));
    faults.push(("a language changed", Box::new(|parts| set(&mut stream(parts, Audio)?.metadata, "language", "ita"))));
    faults.push((
        "a subtitle's language changed",
        Box::new(|parts| set(&mut stream(parts, Subtitle)?.metadata, "language", "ita")),
    ));
    faults.push(("the title changed", Box::new(|parts| set(&mut parts.metadata, "title", "another film"))));
    faults.push(("the comment changed", Box::new(|parts| set(&mut parts.metadata, "comment", "unsaid"))));
    faults.push((
        "the shape of pixels changed",
        Box::new(|parts| {
            stream(parts, Video)?.sample_aspect_ratio = Some(Ratio::new(5, 4));
            Some(())
        }),
    ));
    faults.push((
        "the rotation changed",
        Box::new(|parts| {
            let data = &mut stream(parts, Video)?.side_data;
            let matrix = data.iter_mut().find(|data| data.kind == StreamSideData::DISPLAY_MATRIX)?;
            // The first column's sign: mirrored and turned.
            matrix.bytes[4..8].iter_mut().for_each(|byte| *byte = !*byte);
            Some(())
        }),
    ));
    faults.push((
        "marked as forced",
        Box::new(|parts| {
            stream(parts, Subtitle)?.disposition |= 0x40;
            Some(())
        }),
    ));
    faults.push((
        "a chapter renamed",
        Box::new(|parts| set(&mut parts.chapters.get_mut(1)?.metadata, "title", "another part")),
    ));
    faults.push((
        "a chapter moved",
        Box::new(|parts| {
            let chapter = parts.chapters.get_mut(1)?;
            chapter.start += (chapter.end - chapter.start) / 2;
            Some(())
        }),
    ));
    faults.push(("a chapter dropped", Box::new(|parts| parts.chapters.pop().map(|_| ()))));
    faults
}

fn is_forced(path: &Path) -> bool {
    take_apart(path).streams.iter().any(|stream| stream.2.disposition & 0x40 != 0)
}

/// The place of the nth packet of the first stream of a kind; the last for a large `nth`.
fn find(parts: &Parts, kind: MediaKind, nth: usize) -> Option<usize> {
    let index = parts.streams.iter().find(|stream| stream.1 == kind)?.0;
    let mut places = (0..parts.packets.len()).filter(|at| {
        let packet = &parts.packets[*at];
        // The two bytes that say "no text" in an mp4 mean nothing.
        packet.stream_index() == index && packet.data().len() > 2
    });
    if nth == usize::MAX { places.next_back() } else { places.nth(nth) }
}

fn stream(parts: &mut Parts, kind: MediaKind) -> Option<&mut OutputStream> {
    parts.streams.iter_mut().find(|stream| stream.1 == kind).map(|stream| &mut stream.2)
}

fn set(pairs: &mut [(String, String)], key: &str, value: &str) -> Option<()> {
    pairs.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|pair| pair.1 = value.to_owned())
}
