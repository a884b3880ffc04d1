//! Real clips through the main job with the identity network: frames, times, pixels and everything else compared by
//! FFmpeg's own tools, which know nothing of vproc. The expected outcome of every clip stands in `data/clips.txt`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{has_tools, run, shared};

/// What a clip's row may say of a column besides `ok`.
fn expected() -> BTreeMap<String, String> {
    let text = include_str!("data/clips.txt");
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|row| {
        let (name, rest) = row.split_once('|').expect("a row has columns");
        (name.trim().to_owned(), rest.split('|').map(str::trim).collect::<Vec<_>>().join(" | "))
    })
    .collect()
}

fn probe(path: &Path, arguments: &[&str]) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "quiet", "-of", "json", "-show_data_hash", "md5"])
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Hashes of the frames of a stream as FFmpeg decodes them.
fn hashes(path: &Path, stream: usize, threads: Option<&str>) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "quiet"]);
    if let Some(threads) = threads {
        command.args(["-threads", threads]);
    }
    command.arg("-i").arg(path).args(["-map", &format!("0:{stream}"), "-vsync", "0", "-copyts", "-f", "framemd5", "-"]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(", ").next().unwrap().to_owned())
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn is_cover(stream: &Value) -> bool {
    stream["disposition"]["attached_pic"] == 1
}

/// The index of the processed video in a probe: the largest video that is no cover, as FFmpeg chooses.
fn video(streams: &[Value]) -> &Value {
    let videos = streams.iter().filter(|stream| stream["codec_type"] == "video" && !is_cover(stream));
    let size = |stream: &&Value| {
        let pixels = stream["width"].as_u64().unwrap_or(0) * stream["height"].as_u64().unwrap_or(0);
        (stream["disposition"]["default"].as_u64(), pixels)
    };
    let mut best: Option<&Value> = None;
    for stream in videos {
        if best.is_none_or(|best| size(&stream) > size(&best)) {
            best = Some(stream);
        }
    }
    best.unwrap()
}

fn frame_times(path: &Path, stream: u64) -> Vec<Option<f64>> {
    let probe =
        probe(path, &["-select_streams", &stream.to_string(), "-show_entries", "frame=best_effort_timestamp_time"]);
    list(&probe, "frames")
        .iter()
        .map(|frame| frame["best_effort_timestamp_time"].as_str().and_then(|time| time.parse().ok()))
        .collect()
}

/// One clip's row.
fn check(input: &Path, output: &Path) -> String {
    let name = input.file_name().unwrap().to_string_lossy().into_owned();
    let ask = ["-show_format", "-show_streams", "-show_chapters"];
    let (before, after) = (probe(input, &ask), probe(output, &ask));
    let (streams, got) = (list(&before, "streams"), list(&after, "streams"));
    let (from, to) = (video(streams), video(got));
    let index = |stream: &Value| stream["index"].as_u64().unwrap();
    // A damaged stream decodes by the number of threads; everything else does not depend on it.
    let threads = (name == "corrupted.mp4").then_some("2");
    let (want, have) = (hashes(input, index(from) as usize, threads), hashes(output, index(to) as usize, None));
    let frames = if want.len() == have.len() { "ok".to_owned() } else { format!("{} of {}", have.len(), want.len()) };
    let same = want.iter().zip(&have).filter(|(a, b)| a == b).count();
    let pixels = match (same == want.len(), want.iter().zip(&have).take_while(|(a, b)| a == b).count()) {
        (true, _) => "ok".to_owned(),
        (false, first) => format!("first {first} equal"),
    };
    let row = [
        ("frames", frames),
        ("pts", compare_times(input, output, from, to)),
        ("pixels", pixels),
        ("streams", compare_streams(input, output, streams, got, index(from), index(to))),
        ("tags", compare_tags(&before, &after, from, to)),
        ("chapters", compare_chapters(list(&before, "chapters"), list(&after, "chapters"))),
        ("cover", compare_covers(input, output, streams, got)),
    ];
    row.map(|(column, outcome)| format!("{column} {outcome}")).join(" | ")
}

fn compare_times(input: &Path, output: &Path, from: &Value, to: &Value) -> String {
    let index = |stream: &Value| stream["index"].as_u64().unwrap();
    let (want, have) = (frame_times(input, index(from)), frame_times(output, index(to)));
    let base: f64 = {
        let text = to["time_base"].as_str().unwrap();
        let (num, den) = text.split_once('/').unwrap();
        num.parse::<f64>().unwrap() / den.parse::<f64>().unwrap()
    };
    let rate = from["r_frame_rate"].as_str().and_then(|rate| rate.split_once('/')).unwrap();
    let period: f64 = rate.1.parse::<f64>().unwrap() / rate.0.parse::<f64>().unwrap();
    let is_raw = want.iter().all(Option::is_none);
    // Half a tick for the rounding to the container's tick, and the six digits that ffprobe prints.
    let tolerance = base / 2.0 + 2e-6;
    let worst = want.iter().zip(&have).enumerate().map(|(k, (want, have))| {
        let want = if is_raw { k as f64 * period } else { want.unwrap_or(f64::NAN) };
        (want - have.unwrap_or(f64::NAN)).abs()
    });
    match worst.fold(0.0, |worst: f64, here| if here.is_nan() { f64::INFINITY } else { worst.max(here) }) {
        worst if worst <= tolerance => "ok".to_owned(),
        worst => format!("off by {worst:.6} s"),
    }
}

/// Every other stream: its codec, and its packets by time and hash.
fn compare_streams(input: &Path, output: &Path, before: &[Value], after: &[Value], from: u64, to: u64) -> String {
    let others = |streams: &[Value], video: u64| -> Vec<(u64, String)> {
        streams
            .iter()
            .filter(|stream| stream["index"] != video && !is_cover(stream))
            .map(|stream| (stream["index"].as_u64().unwrap(), stream["codec_name"].as_str().unwrap_or("?").to_owned()))
            .collect()
    };
    let (want, have) = (others(before, from), others(after, to));
    let names = |streams: &[(u64, String)]| streams.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
    if names(&want) != names(&have) {
        return format!("{:?} become {:?}", names(&want), names(&have));
    }
    for ((a, codec), (b, _)) in want.iter().zip(&have) {
        let packets = |path: &Path, index: u64| -> Vec<(f64, String)> {
            let entries = "packet=pts_time,data_hash,size";
            let probe =
                probe(path, &["-select_streams", &index.to_string(), "-show_packets", "-show_entries", entries]);
            list(&probe, "packets")
                .iter()
                .map(|packet| {
                    let time = packet["pts_time"].as_str().and_then(|time| time.parse().ok()).unwrap_or(f64::NAN);
                    (time, packet["data_hash"].as_str().unwrap_or("").to_owned())
                })
                .collect()
        };
        let (want, have) = (packets(input, *a), packets(output, *b));
        if want.len() != have.len() {
            return format!("{codec}: {} packets of {}", have.len(), want.len());
        }
        if let Some(k) = want.iter().zip(&have).position(|(want, have)| want.1 != have.1) {
            return format!("{codec}: packet {k} differs");
        }
        let late = want.iter().zip(&have).map(|(want, have)| (want.0 - have.0).abs()).fold(0.0, f64::max);
        if late > 0.0011 {
            return format!("{codec}: off by {late:.4} s");
        }
    }
    "ok".to_owned()
}

/// The video's tags and the metadata of file and streams.
fn compare_tags(before: &Value, after: &Value, from: &Value, to: &Value) -> String {
    let mut wrong = Vec::new();
    for key in [
        "sample_aspect_ratio",
        "color_range",
        "color_space",
        "color_transfer",
        "color_primaries",
        "chroma_location",
        "pix_fmt",
        "width",
        "height",
    ] {
        let plain = |value: &Value| match value.as_str() {
            Some("1:1" | "unspecified" | "0:1") | None => Value::Null,
            Some(format) => Value::String(format.replace("yuvj", "yuv")),
        };
        let (want, have) = (plain(&from[key]), plain(&to[key]));
        if want != have && !want.is_null() {
            wrong.push(format!("{key} {want} is {have}"));
        }
    }
    let is_interlaced = |stream: &Value| matches!(stream["field_order"].as_str(), Some("tt" | "bb" | "tb" | "bt"));
    if is_interlaced(from) && !is_interlaced(to) {
        wrong.push("field order".to_owned());
    }
    let rotation =
        |stream: &Value| list(stream, "side_data_list").iter().find_map(|data| data.get("displaymatrix").cloned());
    if rotation(from) != rotation(to) {
        wrong.push("rotation".to_owned());
    }
    let stale = ["major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "duration"];
    let mut compare = |whose: &str, before: &Value, after: &Value| {
        let Some(tags) = before["tags"].as_object() else { return };
        for (key, value) in tags {
            let name = key.to_ascii_lowercase();
            let unset = name == "creation_time" && value.as_str().is_some_and(|time| time.starts_with("1970-01-01"));
            if stale.contains(&name.as_str())
                || ["duration-", "encoder-"].iter().any(|prefix| name.starts_with(prefix))
                || unset
            {
                continue;
            }
            let have = after["tags"].as_object().and_then(|tags| {
                tags.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone())
            });
            let is_default = name == "language" && value == "und" && have.is_none();
            let is_place = name.starts_with("location") && have.is_some();
            if have.as_ref() != Some(value) && !is_default && !is_place {
                wrong.push(format!("{whose} {key} lost"));
            }
        }
    };
    compare("file", &before["format"], &after["format"]);
    for (before, after) in list(before, "streams").iter().zip(list(after, "streams")) {
        compare(&format!("stream {}", before["index"]), before, after);
    }
    if wrong.is_empty() { "ok".to_owned() } else { wrong.join(", ") }
}

fn compare_chapters(before: &[Value], after: &[Value]) -> String {
    let key = |chapter: &Value| (chapter["start_time"].clone(), chapter["tags"]["title"].clone());
    let same = before.iter().map(key).eq(after.iter().map(key));
    if same { "ok".to_owned() } else { format!("{} of {}", after.len(), before.len()) }
}

fn compare_covers(input: &Path, output: &Path, before: &[Value], after: &[Value]) -> String {
    let covers = |path: &Path, streams: &[Value]| -> Vec<String> {
        let covers = streams.iter().filter(|stream| is_cover(stream));
        covers.flat_map(|stream| hashes(path, stream["index"].as_u64().unwrap() as usize, None)).collect()
    };
    if covers(input, before) == covers(output, after) { "ok".to_owned() } else { "differs".to_owned() }
}

/// The output that keeps most of a clip's container, and the encoder that keeps its pixels.
fn how(name: &str) -> (&'static str, &'static [&'static str]) {
    let container = match name.rsplit('.').next() {
        Some("mp4") => "mp4",
        Some("mov") => "mov",
        _ => "mkv",
    };
    let lossless: &[&str] = match name {
        "odd_161x121_vp9.webm" => &["--encoder", "ffv1"],
        _ => &["--encoder", "libx264", "--encoder-opt", "qp=0", "--preset", "ultrafast"],
    };
    (container, lossless)
}

fn clips(folder: &Path) -> Vec<PathBuf> {
    let mut clips: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    clips.sort();
    clips
}

#[test]
fn every_clip_comes_out_as_the_table_says() {
    let Some(shared) = shared() else { return };
    if !has_tools(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut table = BTreeMap::new();
    for clip in clips(&shared.join("data/clips")) {
        let name = clip.file_name().unwrap().to_string_lossy().into_owned();
        let (container, encoder) = how(&name);
        let output = folder.path().join("out").with_extension(container);
        let _ = std::fs::remove_file(&output);
        let mut arguments = vec!["-m", "identity", "--deinterlace", "off", "--threads", "2", "--progress", "none"];
        arguments.extend(encoder);
        let ran = run(&clip, &output, &arguments);
        let row = if output.exists() {
            format!("exit {} | {}", ran.status, check(&clip, &output))
        } else {
            assert_eq!(ran.stderr.trim().lines().count(), 1, "{name}: one line, got {:?}", ran.stderr);
            assert!(!folder.path().join(format!("out.{container}.part")).exists(), "{name}: nothing is left behind");
            format!("exit {} | refused", ran.status)
        };
        table.insert(name, row);
    }
    let text = table.iter().fold(String::new(), |mut text, (name, row)| {
        writeln!(text, "{name} | {row}").unwrap();
        text
    });
    assert_eq!(table, expected(), "the table as it is now:\n{text}");
}
