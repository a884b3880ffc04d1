//! Everything in a file besides the processed video: kept, converted or named as dropped, and in its place in time.

use serde_json::Value;

use crate::film::{Film, micros};

const TABLE: &str = include_str!("data/streams.txt");

const SUBTITLES: &str = "1\n00:00:00,200 --> 00:00:00,500\nfirst\n\n2\n00:00:00,600 --> 00:00:00,900\nsecond\n\n";

const CONTAINERS: [&str; 4] = ["mp4", "mov", "mkv", "webm"];

const VIDEO: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=1";

const X264: &str = "-c:v:0 libx264 -preset ultrafast -pix_fmt:v:0 yuv420p";

/// A fast encoder for what is not looked at.
fn encoder(container: &str) -> &'static str {
    match container {
        "webm" => "--encoder libvpx-vp9 --encoder-opt cpu-used=8:deadline=realtime",
        _ => "--encoder libx264 --preset ultrafast",
    }
}

/// A subtitle picture of 4x2 pixels from 0.2 to 0.8 s, as a Blu-ray has it.
fn subtitle_pictures() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut segment = |pts: u32, kind: u8, data: &[u8]| {
        bytes.extend(b"PG");
        bytes.extend(pts.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.push(kind);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    };
    let shown = [0, 64, 0, 48, 0x10, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0, 8];
    let (window, palette) = ([1, 0, 0, 8, 0, 8, 0, 4, 0, 2], [0, 0, 1, 235, 128, 128, 255]);
    let picture = [0, 0, 0, 0xc0, 0, 0, 16, 0, 4, 0, 2, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0];
    for (kind, data) in [(0x16, &shown[..]), (0x17, &window), (0x14, &palette), (0x15, &picture), (0x80, &[])] {
        segment(18_000, kind, data);
    }
    let cleared = [0, 64, 0, 48, 0x10, 0, 1, 0, 0, 0, 0];
    for (kind, data) in [(0x16, &cleared[..]), (0x17, &window), (0x80, &[])] {
        segment(72_000, kind, data);
    }
    bytes
}

/// A second of video with a stream of this kind; its name.
fn make(film: &Film, kind: &str) -> String {
    let name = match kind {
        "mov_text" => "mov_text.mp4".to_owned(),
        "tmcd" => "tmcd.mov".to_owned(),
        kind => format!("{kind}.mkv"),
    };
    let with = match kind {
        "subrip" | "ass" | "webvtt" | "mov_text" => format!("-i s.srt -map 0 -map 1 -c:s {kind}"),
        "pgs" => "-i p.sup -map 0 -map 1 -c:s copy".to_owned(),
        "dvdsub" => "-i p.sup -map 0 -map 1 -c:s dvdsub".to_owned(),
        "font" => "-map 0 -attach f.ttf -metadata:s:t mimetype=application/x-truetype-font".to_owned(),
        "png" => "-map 0 -attach c.png -metadata:s:t mimetype=image/png".to_owned(),
        "jpg" => "-map 0 -attach c.jpg -metadata:s:t mimetype=image/jpeg".to_owned(),
        "tmcd" => "-map 0 -timecode 01:02:03:04".to_owned(),
        sound => {
            let encoder = match sound {
                "opus" => "libopus",
                "vorbis" => "libvorbis",
                "mp3" => "libmp3lame",
                "truehd" => "truehd -strict -2",
                other => other,
            };
            format!("-itsoffset 0.1 -f lavfi -i sine=440:r=48000:d=0.8 -map 0 -map 1 -c:a {encoder}")
        }
    };
    film.ffmpeg(&format!("{VIDEO} {with} {X264} {name}"));
    name
}

/// What the report says became of the stream beside the video, in the words of the table.
fn became(report: &Value) -> String {
    let stream = &report["streams"][1];
    let detail = stream["detail"].as_str().unwrap();
    match stream["action"].as_str().unwrap() {
        "copied" => "copy".to_owned(),
        "dropped" => "drop".to_owned(),
        _ if detail.contains("made anew") => "new".to_owned(),
        _ => detail.trim_start_matches("to ").split(',').next().unwrap().to_owned(),
    }
}

/// Times of the packets that hold something; an mp4 has empty ones between subtitles.
fn times(film: &Film, name: &str, stream: &str) -> Vec<(i64, String)> {
    let value = film.probe(&format!(
        "-select_streams {stream} -show_packets -show_data_hash md5 -show_entries packet=pts_time,size,data_hash {name}"
    ));
    let packets = value["packets"].as_array().unwrap();
    let size = |packet: &Value| packet["size"].as_str().unwrap().parse::<u64>().unwrap();
    let filled = packets.iter().filter(|packet| size(packet) > 2);
    filled.map(|packet| (micros(&packet["pts_time"]), packet["data_hash"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn every_kind_of_stream_is_kept_converted_or_named() {
    let Some(film) = Film::new() else { return };
    film.write("s.srt", SUBTITLES);
    film.write("p.sup", subtitle_pictures());
    film.write("f.ttf", "the bytes of a font");
    film.ffmpeg("-f lavfi -i testsrc=s=32x32 -frames:v 1 c.png");
    film.ffmpeg("-f lavfi -i testsrc=s=32x32 -frames:v 1 c.jpg");
    let mut failures = Vec::new();
    for row in TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).skip(1) {
        let row: Vec<_> = row.split_whitespace().collect();
        let source = make(&film, row[0]);
        for (container, expected) in CONTAINERS.iter().zip(&row[1..]) {
            let output = film.vproc(&format!(
                "{source} -o o.{container} -y -m identity --threads 1 --report r.json {}",
                encoder(container)
            ));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.code() != Some(0) {
                failures.push(format!("{} {container}: {said}", row[0]));
                continue;
            }
            let report = film.report("r.json");
            let got = became(&report);
            if got != *expected {
                failures.push(format!("{} {container}: {got}, expected {expected}", row[0]));
            }
            if got == "drop" && !(said.contains("dropped") && report["warnings"].to_string().contains("dropped")) {
                failures.push(format!("{} {container}: dropped without a word", row[0]));
            }
            failures
                .extend(look(&film, &source, container, &got).map(|wrong| format!("{} {container}: {wrong}", row[0])));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Looks at the stream beside the video in the output; what is wrong with it.
fn look(film: &Film, source: &str, container: &str, became: &str) -> Option<String> {
    let name = format!("o.{container}");
    // It plays.
    film.ffmpeg(&format!("-xerror -i {name} -map 0:v -map 0:a? -f null -"));
    let from = &film.streams(source)[1];
    let kind = from["codec_type"].as_str().unwrap();
    let streams = film.streams(&name);
    let to = streams.iter().skip(1).find(|stream| stream["codec_type"] == kind);
    if became == "drop" {
        return to.map(|_| "it is there".to_owned());
    }
    let Some(to) = to else { return Some(format!("no {kind} in {streams:?}")) };
    if became == "copy" && from["codec_name"] != to["codec_name"] {
        return Some(format!("{} instead of {}", to["codec_name"], from["codec_name"]));
    }
    if kind == "attachment" || from["disposition"]["attached_pic"] == 1 {
        return (from["extradata_size"] != to["extradata_size"]).then(|| "its size differs".to_owned());
    }
    let (before, after) = (times(film, source, "1"), times(film, &name, "1"));
    if kind == "data" {
        return None;
    }
    let is_sound_converted = kind == "audio" && became != "copy";
    if before.len() != after.len() && !is_sound_converted && !source.starts_with("pcm") {
        return Some(format!("{} packets, expected {}", after.len(), before.len()));
    }
    // To a tick of Matroska's; Opus has 312 samples before its first.
    let early = match became {
        "libopus" => 6_500,
        "alac" if source.starts_with("opus") => -6_500,
        _ => 0,
    };
    if (after[0].0 + early - before[0].0).abs() > 1_500 {
        return Some(format!("begins at {}, expected {}", after[0].0, before[0].0));
    }
    let hashes = |packets: &[(i64, String)]| packets.iter().map(|packet| packet.1.clone()).collect::<Vec<_>>();
    let is_whole = became == "copy" && !source.starts_with("pcm");
    (is_whole && hashes(&before) != hashes(&after)).then(|| "its packets differ".to_owned())
}

#[test]
fn what_mov_writes_and_nobody_reads_is_converted_and_a_late_first_chapter_is_told() {
    let Some(film) = Film::new() else { return };
    let chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART=100\nEND=600\ntitle=a\n";
    film.write("c.txt", format!(";FFMETADATA1\n{chapter}"));
    let inputs = "-f lavfi -i sine=d=1 -i c.txt -map 0 -map 1 -map_metadata 2";
    film.ffmpeg(&format!("{VIDEO} {inputs} {X264} -c:a wmav2 in.mkv"));
    for (container, codec) in [("mov", "alac"), ("mkv", "wmav2")] {
        let said = film.copy(&format!("in.mkv -o o.{container} --encoder libx264 --preset ultrafast"));
        let streams = film.streams(&format!("o.{container}"));
        assert_eq!(streams[1]["codec_name"], codec);
        let is_told = said.contains("the first chapter, at 0.100 s, begins at 0");
        assert_eq!(is_told, container == "mov", "{said}");
    }
}

/// An encoder of R'G'B' with the pixel format it is given, the file it is in, and the format that holds its samples.
const RGB_VIDEOS: [(&str, &str, &str, &str); 10] = [
    ("ffv1", "bgr0", "in.mkv", "gbrp"),
    ("ffv1", "bgra", "in.mkv", "rgba"),
    ("qtrle", "argb", "in.mov", "rgba"),
    ("png", "pal8", "in.mov", "rgba"),
    ("ffv1", "gbrp10le", "in.mkv", "gbrp10le"),
    ("ffv1", "rgb48le", "in.mkv", "gbrp16le"),
    ("qtrle", "rgb24", "in.mov", "gbrp"),
    ("libx264rgb -qp 0", "bgr24", "in.mp4", "gbrp"),
    ("png", "rgb24", "in.mov", "gbrp"),
    ("rawvideo", "bgr24", "in.avi", "gbrp"),
];

#[test]
fn rgb_stays_rgb_from_end_to_end() {
    let Some(film) = Film::new() else { return };
    let noise = "-f lavfi -i testsrc2=s=98x66:r=25:d=1,noise=alls=40:allf=t -frames:v 4";
    for (encoder, format, input, samples) in RGB_VIDEOS {
        film.ffmpeg(&format!("{noise} -pix_fmt {format} -c:v {encoder} {input}"));
        let pixels = |name: &str| film.ffmpeg(&format!("-i {name} -pix_fmt {samples} -f rawvideo -"));
        let source = pixels(input);
        for network in ["identity", "identity-rgb"] {
            let ran = film.vproc(&format!("{input} -o o.mkv -y -m {network} --encoder ffv1"));
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            assert!(pixels("o.mkv") == source, "{encoder} {format} through {network}");
        }
        if samples != "rgba" && samples != "gbrp10le" {
            film.copy(&format!("{input} -o o/%03d.png -y"));
            assert!(pixels("o/%03d.png") == source, "{encoder} {format} to pictures");
        }
    }
    // Pictures of all kinds of encoders, themselves again.
    film.ffmpeg(&format!("{noise} -pix_fmt rgb24 in_%03d.png"));
    let source = film.ffmpeg("-i in_%03d.png -pix_fmt gbrp -f rawvideo -");
    for output in [
        "o.mov --encoder qtrle",
        "o.mov --encoder png",
        "o.mp4 --encoder libx264rgb --crf 0",
        "o.webm --encoder libvpx-vp9 --pix-fmt gbrp --encoder-opt lossless=1",
    ] {
        let said = film.copy(&format!("in_%03d.png -y -o {output}"));
        assert!(!said.contains("warning"), "{output}: {said}");
        let name = output.split(' ').next().unwrap_or_default();
        assert!(film.ffmpeg(&format!("-i {name} -pix_fmt gbrp -f rawvideo -")) == source, "{output}");
    }
}

#[test]
fn encoders_of_colours_alone_get_colours() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -frames:v 3 -pix_fmt yuv444p -colorspace bt709 -color_range tv -c:v ffv1 in.mkv"));
    let by_matrix = "-vf scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp -pix_fmt rgb24 -f rawvideo -";
    let source = film.ffmpeg(&format!("-i in.mkv {by_matrix}"));
    for output in ["o.mov --encoder png", "o.mov --encoder qtrle", "o.mp4 --encoder libx264rgb --crf 0"] {
        let said = film.copy(&format!("in.mkv -y -o {output}"));
        assert!(said.contains("yuv444p becomes R'G'B'"), "{said}");
        let name = output.split(' ').next().unwrap_or_default();
        let made = film.ffmpeg(&format!("-i {name} -pix_fmt rgb24 -f rawvideo -"));
        let furthest = source.iter().zip(&made).map(|(a, b)| a.abs_diff(*b)).max();
        // swscale counts in whole numbers.
        assert!(made.len() == source.len() && furthest <= Some(1), "{output}: {furthest:?}");
    }
}

#[test]
fn codes_come_in_the_range_that_an_encoder_can_hold() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -frames:v 3 -pix_fmt yuv420p -color_range tv -c:v ffv1 in.mkv"));
    film.ffmpeg(&format!("{VIDEO} -frames:v 3 -pix_fmt gray -color_range tv -c:v ffv1 gray.mkv"));
    let full = |input: &str| match input {
        // swscale leaves the codes of gray as they are.
        "gray.mkv" => "-vf lut=c0='clip(round((val-16)*255/219)\\,0\\,255)' -f rawvideo -",
        _ => "-vf scale=in_range=tv:out_range=pc,format=gray -f rawvideo -",
    };
    for (input, output) in [
        ("in.mkv", "o.mkv --encoder libx264 --pix-fmt yuvj420p --crf 0"),
        ("in.mkv", "o.mkv --encoder mjpeg"),
        ("gray.mkv", "o.mkv --encoder mjpeg"),
        ("gray.mkv", "o.mov --encoder qtrle"),
        ("gray.mkv", "o.mov --encoder png"),
    ] {
        let said = film.copy(&format!("{input} -y -o {output}"));
        assert!(said.contains("codes of limited range become those of full range"), "{said}");
        let name = output.split(' ').next().unwrap_or_default();
        assert!(output.contains("qtrle") || film.streams(name)[0]["color_range"] == "pc", "{output}");
        let [source, made] = [(input, full(input)), (name, "-vf format=gray -f rawvideo -")]
            .map(|(name, how)| film.ffmpeg(&format!("-i {name} {how}")));
        let apart: u64 = source.iter().zip(&made).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        // JPEG is not exact, and the other range is 16 codes off in black.
        let (mean, most) = (apart as f64 / source.len() as f64, if output.contains("mjpeg") { 5.0 } else { 0.5 });
        assert!(source.len() == made.len() && mean < most, "{output}: {mean}");
    }
}

#[test]
fn rgb_becomes_yuv_by_the_matrix_it_is_tagged_with() {
    let Some(film) = Film::new() else { return };
    let tagged = "-pix_fmt rgb24 -c:v qtrle -colorspace bt709 -color_primaries bt709 -color_trc bt709";
    film.ffmpeg(&format!("{VIDEO} {tagged} -movflags write_colr -frames:v 2 in.mov"));
    let said = film.copy("in.mov -o o.mkv --encoder libx264 --crf 0");
    assert!(said.contains("R'G'B' (gbrp) becomes yuv444p, rounded once, for libx264"), "{said}");
    assert_eq!(film.streams("o.mkv")[0]["color_space"], "bt709");
    // A matrix that is not the one of the tag is about 30 levels off in saturated colours.
    let by_tag = "scale=in_color_matrix=bt709:flags=accurate_rnd+full_chroma_int,format=rgb24";
    let [source, output] = [("in.mov", "format=rgb24"), ("o.mkv", by_tag)]
        .map(|(name, filter)| film.ffmpeg(&format!("-i {name} -vf {filter} -f rawvideo -")));
    let furthest = source.iter().zip(&output).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(source.len() == output.len() && furthest <= Some(4), "{furthest:?}");
    // Compared with what it came from, it is as near.
    let ran = film.vproc("compare in.mov o.mkv --min-psnr 45");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn outputs_of_pictures_alone_name_what_they_leave_out() {
    let Some(film) = Film::new() else { return };
    let sound = "-f lavfi -i sine=d=1 -map 0 -map 1 -c:a aac";
    film.ffmpeg(&format!("{VIDEO} {sound} {X264} in.mp4"));
    for output in ["null:", "out.y4m", "out/%03d.png", "md5:out.txt"] {
        let ran = film.vproc(&format!("in.mp4 -o {output} -m identity --frames 2 --report r.json"));
        assert!(ran.status.success(), "{output}");
        let streams = film.report("r.json")["streams"].as_array().cloned().unwrap_or_default();
        let what: Vec<_> = streams.iter().map(|stream| (stream["codec"].as_str(), stream["action"].as_str())).collect();
        assert_eq!(what, [(Some("h264"), Some("encoded")), (Some("aac"), Some("dropped"))], "{output}");
        assert_eq!(film.report("r.json")["warnings"].as_array().map(Vec::len), Some(0), "{output}");
    }
}

#[test]
fn a_click_stays_where_it_was_in_converted_sound() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!(
        r"{VIDEO} -itsoffset 0.1 -f lavfi -i aevalsrc=if(eq(n\,24000)\,0.9\,0):s=48000:d=0.9 -map 0 -map 1 {X264} -c:a pcm_s16le a.mkv"
    ));
    for (container, tolerance) in [("mov", 0), ("mp4", 1), ("mkv", 0), ("webm", 240)] {
        film.copy(&format!("a.mkv -o o.{container} {}", encoder(container)));
        let bytes =
            film.ffmpeg(&format!("-copyts -i o.{container} -map 0:a -af aresample=first_pts=0 -ac 1 -f s16le -"));
        let samples = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair).unsigned_abs());
        let (at, _) = samples.enumerate().max_by_key(|(_, sample)| *sample).unwrap();
        // 0.1 s late and half a second in.
        assert!(at.abs_diff(28_800) <= tolerance, "{container}: the click is at sample {at}");
        let first = |stream: &str| film.packets(&format!("o.{container}"), stream)[0].0;
        assert_eq!(first("v:0"), 0, "{container}");
    }
}

#[test]
fn languages_marks_and_metadata_are_kept_or_named() {
    let Some(film) = Film::new() else { return };
    film.write(
        "m.txt",
        ";FFMETADATA1\ntitle=Ein Märchen — 物語\ncomment=first line\\\nsecond line\n[STREAM]\n[STREAM]\nlanguage=eng\n\
         title=Director’s cut\n[STREAM]\nlanguage=fra\n[STREAM]\nlanguage=jpn\n[STREAM]\nlanguage=deu\ntitle=für Gehörlose\n\
         [CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Anfang\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\n\
         title=終わり\n",
    );
    film.write("s.srt", SUBTITLES);
    film.ffmpeg(&format!(
        "{VIDEO} -f lavfi -i sine=440:d=1 -f lavfi -i sine=880:d=1 -i s.srt -i m.txt -map 0 -map 1 -map 2 -map 3 -map 3 \
         -map_metadata 4 -map_metadata:s:1 4:s:1 -map_metadata:s:2 4:s:2 -map_metadata:s:3 4:s:3 -map_metadata:s:4 4:s:4 \
         -map_chapters 4 {X264} -c:a libopus -c:s subrip -disposition:a:0 default -disposition:a:1 original \
         -disposition:s:0 forced -disposition:s:1 hearing_impaired a.mkv"
    ));
    let source = film.probe("-show_format -show_streams -show_chapters a.mkv");
    for container in CONTAINERS {
        let said = film.copy(&format!("a.mkv -o o.{container} {}", encoder(container)));
        let warned = |word: &str| said.lines().any(|line| line.contains("warning") && line.contains(word));
        let copy = film.probe(&format!("-show_format -show_streams -show_chapters o.{container}"));
        let tag = |value: &Value, key: &str| {
            let tags = value["tags"].as_object().cloned().unwrap_or_default();
            tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone())
        };
        for key in ["title", "comment"] {
            assert_eq!(tag(&copy["format"], key), tag(&source["format"], key), "{container} {key}");
        }
        for index in 1..5 {
            let (from, to) = (&source["streams"][index], &copy["streams"][index]);
            // QuickTime's list of languages knows German as "ger" alone.
            let language = tag(from, "language").map(|language| match (container, language.as_str()) {
                ("mov", Some("deu")) => "ger".into(),
                _ => language,
            });
            assert!(tag(to, "language") == language, "{container} {index}: {said}");
            assert!(tag(to, "title") == tag(from, "title") || warned("'title'"), "{container} {index}: {said}");
            for mark in ["forced", "hearing_impaired", "original"] {
                let is_kept = to["disposition"][mark] == from["disposition"][mark];
                assert!(is_kept || warned(&mark.replace('_', " ")), "{container} {index} {mark}: {said}");
            }
        }
        let titles = |value: &Value| -> Vec<_> {
            let chapters = value["chapters"].as_array().unwrap().iter();
            chapters.map(|chapter| (micros(&chapter["start_time"]) / 1000, tag(chapter, "title"))).collect()
        };
        assert!(titles(&copy) == titles(&source) || warned("chapters"), "{container}: {said}");
    }
}

#[test]
fn edit_lists_and_times_before_zero_are_kept() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!(
        "{VIDEO} -f lavfi -i sine=440:r=48000:d=1 -map 0 -map 1 -c:v libx264 -g 50 -bf 3 -pix_fmt yuv420p -c:a aac long.mp4"
    ));
    film.ffmpeg("-ss 0.42 -i long.mp4 -c copy cut.mp4");
    film.ffmpeg("-itsoffset 0.3 -i long.mp4 -i long.mp4 -map 0:v -map 1:a -c copy late.mp4");
    for source in ["long.mp4", "cut.mp4", "late.mp4"] {
        let (frames, sound) = (film.frames(source, "v:0"), film.packets(source, "a:0"));
        for container in ["mp4", "mov"] {
            film.copy(&format!("{source} -o o.{container} -y --encoder libx264 --encoder-opt qp=0"));
            assert_eq!(film.frames(&format!("o.{container}"), "v:0"), frames, "{source} {container}");
            assert_eq!(film.packets(&format!("o.{container}"), "a:0"), sound, "{source} {container}");
        }
        // Matroska knows no times before zero: all is later by as much.
        film.copy(&format!("{source} -o o.mkv -y --encoder libx264 --encoder-opt qp=0"));
        let (copy, copied) = (film.frames("o.mkv", "v:0"), film.packets("o.mkv", "a:0"));
        // Nor does it hide sound: what the edit list hides is left out, but for the packet that the first one needs.
        let flags = film.probe(&format!("-select_streams a -show_entries packet=flags {source}"));
        let is_hidden = |packet: &&Value| packet["flags"].as_str().unwrap().contains('D');
        let hidden = flags["packets"].as_array().unwrap().iter().filter(is_hidden).count().saturating_sub(1);
        let moved = copied[0].0 - sound[hidden].0;
        assert!(copy.iter().zip(&frames).all(|(a, b)| a.hash == b.hash && (a.pts - b.pts - moved).abs() <= 1_000));
        assert_eq!((copy.len(), copied.len()), (frames.len(), sound.len() - hidden), "{source}");
    }
    // Sound that begins a second early would be hidden: all is moved by as much.
    film.ffmpeg(&format!(
        "{VIDEO} -itsoffset -1 -f lavfi -i sine=440:r=48000:d=2 -map 0 -map 1 -c:v libx264 -c:a aac -avoid_negative_ts disabled early.mkv"
    ));
    let (frames, n_packets) = (film.frames("early.mkv", "v:0"), film.packets("early.mkv", "a:0").len());
    for container in ["mp4", "mov"] {
        let said = film.copy(&format!("early.mkv -o o.{container} -y --encoder libx264 --encoder-opt qp=0"));
        assert!(said.contains("the times begin at -1.0"), "{said}");
        let copy = film.frames(&format!("o.{container}"), "v:0");
        let moved = copy[0].pts - frames[0].pts;
        assert!((1_000_000..1_050_000).contains(&moved), "{moved}");
        assert!(copy.iter().zip(&frames).all(|(a, b)| a.hash == b.hash && (a.pts - b.pts - moved).abs() <= 1_000));
        assert_eq!(film.streams(&format!("o.{container}"))[1]["nb_frames"], n_packets.to_string(), "{container}");
    }
}

/// The nine numbers of an mp4's display matrix, as it holds them.
fn set_matrix(film: &Film, name: &str, matrix: [i32; 9]) {
    let mut bytes = std::fs::read(film.path(name)).unwrap();
    let at = bytes.windows(4).position(|word| word == b"tkhd").unwrap() + 4 + 40;
    for (slot, number) in bytes[at..at + 36].as_chunks_mut::<4>().0.iter_mut().zip(matrix) {
        *slot = number.to_be_bytes();
    }
    film.write(name, bytes);
}

#[test]
fn rotation_and_mirror_are_kept_where_they_can_be() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} {X264} a.mp4"));
    const ONE: i32 = 1 << 16;
    for matrix in [
        [0, ONE, 0, -ONE, 0, 0, 48 << 16, 0, 1 << 30],
        [-ONE, 0, 0, 0, ONE, 0, 64 << 16, 0, 1 << 30],
        [0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30],
    ] {
        set_matrix(&film, "a.mp4", matrix);
        let shown = |name: &str| film.streams(name)[0]["side_data_list"][0]["displaymatrix"].clone();
        assert!(shown("a.mp4").is_string());
        for container in CONTAINERS {
            let said = film.copy(&format!("a.mp4 -o o.{container} -y {}", encoder(container)));
            let is_kept = shown(&format!("o.{container}")) == shown("a.mp4");
            assert_eq!(is_kept, container.starts_with('m') && container != "mkv", "{container} {matrix:?}");
            assert!(is_kept || said.contains("the rotation of stream 0 is not kept"), "{container}: {said}");
        }
    }
}

#[test]
fn full_range_and_high_dynamic_range_are_kept() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!(
        "{VIDEO} -c:v libx264 -pix_fmt yuvj420p -color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709 f.mp4"
    ));
    film.ffmpeg(&format!(
        "{VIDEO} -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 \
         -colorspace bt2020nc -x265-params log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)\
         R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400 h.mkv"
    ));
    for (encoder, container) in
        [("libx264", "mp4"), ("libx264", "mov"), ("libx265", "mp4"), ("libx265", "mkv"), ("libvpx-vp9", "webm")]
    {
        let run = format!(
            "-o o.{container} -y --encoder {encoder} {}",
            match encoder {
                "libvpx-vp9" => "--encoder-opt cpu-used=8:deadline=realtime",
                _ => "--preset ultrafast",
            }
        );
        let output = format!("o.{container}");
        film.copy(&format!("f.mp4 {run}"));
        assert_eq!(film.streams(&output)[0]["color_range"], "pc", "{encoder} {container}");
        film.copy(&format!("h.mkv {run}"));
        let stream = &film.streams(&output)[0];
        for (key, value) in
            [("color_primaries", "bt2020"), ("color_transfer", "smpte2084"), ("color_space", "bt2020nc")]
        {
            assert_eq!(stream[key], value, "{encoder} {container}");
        }
        let frame = film.probe(&format!("-read_intervals %+#1 -select_streams v -show_frames {output}"));
        let lists = [&frame["frames"][0]["side_data_list"], &stream["side_data_list"]];
        let find = |list: &Value, kind: &str| {
            list.as_array().and_then(|list| list.iter().find(|data| data["side_data_type"] == kind)).cloned()
        };
        // In the container, and in the bitstream where the codec has a place for it: there FFmpeg 5.1 reads it of HEVC
        // alone, and of H.264 the message is looked for (ITU-T H.264, D.1.29: type 137, 24 bytes, green's x and y).
        let places = if encoder == "libx265" { 2 } else { 1 };
        if encoder == "libx264" {
            let bytes = std::fs::read(film.path(&output)).unwrap();
            let message = [137, 24, 0x33, 0xc2, 0x86, 0xc4];
            assert!(bytes.windows(6).any(|window| window == message), "{container}");
        }
        for (kind, key, value) in [
            ("Mastering display metadata", "max_luminance", 1000.0),
            ("Mastering display metadata", "green_x", 0.265),
            ("Content light level metadata", "max_content", 1000.0),
        ] {
            let found: Vec<_> = lists.iter().filter_map(|list| find(list, kind)).collect();
            assert!(found.len() >= places, "{encoder} {container} {kind}: {lists:?}");
            for data in found {
                let number = match data[key].as_str().and_then(|text| text.split_once('/')) {
                    Some((num, den)) => num.parse::<f64>().unwrap() / den.parse::<f64>().unwrap(),
                    None => data[key].as_f64().unwrap(),
                };
                assert!((number - value).abs() < value * 1e-3, "{encoder} {container} {key}: {data}");
            }
        }
    }
}

#[test]
fn joined_recordings_whose_clock_begins_anew_go_on_behind_each_other() {
    let Some(film) = Film::new() else { return };
    let source = "-f lavfi -i testsrc2=s=64x48:r=25:d=4 -f lavfi -i sine=f=500:r=48000:d=4";
    let codecs = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -pix_fmt yuv420p -c:a mp2";
    for offset in [0, 30_000] {
        film.ffmpeg(&format!("{source} {codecs} -output_ts_offset {offset} a.ts"));
        film.ffmpeg(&format!("{source} {codecs} b.ts"));
        film.write(
            "c.ts",
            [std::fs::read(film.path("a.ts")).unwrap(), std::fs::read(film.path("b.ts")).unwrap()].concat(),
        );
        let said = film.copy("c.ts -o c.mkv --encoder ffv1 -y");
        assert!(said.contains("the clock begins anew 1 times"), "{said}");
        let shown = film.frames("c.mkv", "v:0");
        let hashes = |name: &str| film.frames(name, "v:0").into_iter().map(|frame| frame.hash).collect::<Vec<_>>();
        let made: Vec<_> = shown.iter().map(|frame| frame.hash.clone()).collect();
        film.copy("a.ts -o a.mkv --encoder ffv1 -y");
        film.copy("b.ts -o b.mkv --encoder ffv1 -y");
        assert!(made == [hashes("a.mkv"), hashes("b.mkv")].concat());
        let sound = film.packets("c.mkv", "a:0");
        let n_before = film.packets("a.ts", "a:0").len();
        assert_eq!(sound.len(), n_before + film.packets("b.ts", "a:0").len());
        // Where the second begins, nothing lies over the first and less than a tenth of a second is between.
        for (times, step) in [
            (shown.iter().map(|frame| frame.pts).collect::<Vec<_>>(), 40_000),
            (sound.iter().map(|packet| packet.0).collect(), 24_000),
        ] {
            assert!(
                times.windows(2).all(|pair| (step - 2000..step + 100_000).contains(&(pair[1] - pair[0]))),
                "{times:?}"
            );
        }
        // Pictures and sound lie to each other as they did.
        let apart = |name: &str| film.packets(name, "a:0")[0].0 - film.frames(name, "v:0")[0].pts;
        assert!((sound[n_before].0 - shown[100].pts - apart("b.ts")).abs() < 2000);
    }
}

#[test]
fn times_below_zero_are_moved_where_the_container_would_hide_them() {
    let Some(film) = Film::new() else { return };
    // Four seconds before the clock of a transport stream wraps, from where FFmpeg counts below zero.
    let late = "-c:a mp2 -output_ts_offset 95440 -muxdelay 0 -muxpreload 0";
    film.ffmpeg(&format!("-f lavfi -i testsrc2=s=64x48:r=25:d=6 -f lavfi -i sine=d=6 {X264} {late} in.ts"));
    film.copy("in.ts -o short.mp4 --frames 40 --encoder libx264 --preset ultrafast");
    assert_eq!(film.packets("short.mp4", "v:0").len(), 40);
    for container in ["mp4", "mkv"] {
        let said = film.copy(&format!("in.ts -o o.{container} --encoder libx264 --preset ultrafast"));
        assert_eq!(said.contains("the times begin at -3.7"), container == "mp4", "{said}");
        let output = format!("o.{container}");
        let [video, sound] = [0, 1].map(|stream| {
            let [before, after] =
                ["in.ts", &output].map(|name| film.packets(name, if stream == 0 { "v:0" } else { "a:0" }));
            assert_eq!(before.len(), after.len(), "{container} {stream}");
            let first = |packets: &[(i64, String)]| packets.iter().map(|(pts, _)| *pts).min().unwrap();
            if stream == 1 {
                assert!(before.iter().map(|(_, hash)| hash).eq(after.iter().map(|(_, hash)| hash)));
            }
            first(&after) - first(&before)
        });
        let rounding = if container == "mkv" { 1000 } else { 30 };
        assert!((video - sound).abs() <= rounding && (3_700_000..3_760_000).contains(&video), "{video} {sound}");
    }
}

#[test]
fn a_cover_stays_where_containers_list_it_behind_a_time_code() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i color=s=64x64 -frames:v 1 c.jpg");
    let cover = "-c:v:1 copy -disposition:v:1 attached_pic";
    film.ffmpeg(&format!(
        "{VIDEO} -i c.jpg -f lavfi -i sine=d=1 -map 0 -map 1 -map 2 {X264} {cover} -timecode 01:00:00:00 a.mp4"
    ));
    film.copy("a.mp4 -o b.mp4");
    for name in ["a.mp4", "b.mp4"] {
        let kinds: Vec<_> = film.streams(name).iter().map(|stream| stream["codec_type"].clone()).collect();
        assert_eq!(
            (&kinds[..2], kinds.last()),
            (&["video".into(), "audio".into()][..], Some(&"video".into())),
            "{name}"
        );
        assert!(kinds.contains(&"data".into()), "{name}");
        film.ffmpeg(&format!("-i {name} -map 0:v:1 -c copy {name}.jpg"));
        assert!(
            std::fs::read(film.path(&format!("{name}.jpg"))).unwrap() == std::fs::read(film.path("c.jpg")).unwrap()
        );
    }
}

#[test]
fn an_output_that_nobody_can_decode_gets_no_name() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -frames:v 3 -pix_fmt rgb24 -c:v qtrle in.mov"));
    film.ffmpeg("-i in.mov -c copy theirs.mkv");
    let is_decoded = |name: &str| {
        let arguments = format!("-v error -i {} -f null -", film.path(name).display());
        let ran = std::process::Command::new("ffmpeg").args(arguments.split(' ')).output().unwrap();
        ran.status.success() && ran.stderr.is_empty()
    };
    if is_decoded("theirs.mkv") {
        return println!("skipped: this FFmpeg knows QuickTime's run length in Matroska again");
    }
    let ran = film.vproc("in.mov -o o.mkv -m identity --encoder qtrle");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && said.contains("the first picture cannot be decoded"), "{said}");
    assert!(!film.path("o.mkv").exists());
    film.copy("in.mov -o o.mov --encoder qtrle");
    assert!(is_decoded("o.mov"));
}

/// Matroska tells the size to show in whole pixels, where samples that are nearly square become square.
#[test]
fn a_shape_that_is_off_by_less_than_a_pixel_is_told_and_no_failure() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=430x242:d=0.2 -vf setsar=1936/1935:max=100000 -c:v libx264 -qp 20 a.mp4");
    for (output, is_told) in [("b.mkv", true), ("b.mp4", false)] {
        let output = film.vproc(&format!("a.mp4 -o {output} -m identity"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("1/1 from 1936/1935: the container counts whole pixels"), is_told, "{said}");
    }
}
