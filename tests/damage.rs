//! Damaged media: no crash, no hang, no panic, and no frame lost in silence.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::film::Film;
use crate::program::{clips, count_frames, ffmpeg, generate, has, in_pairs, is_slow, report, run, vproc};

/// Larger clips are left to the slow run.
const MOST_BYTES: u64 = 130_000;

#[test]
fn mutations_neither_crash_nor_hang_nor_lose_frames_in_silence() {
    let mut clips = clips();
    clips.retain(|clip| (1..if is_slow() { u64::MAX } else { MOST_BYTES }).contains(&clip.metadata().unwrap().len()));
    if clips.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let count = if is_slow() { "200" } else { "40" };
    let mut arguments: Vec<&OsStr> = ["--seed", "1", "--count", count].map(OsStr::new).to_vec();
    arguments.extend(clips.iter().map(|clip| clip.as_os_str()));
    let Some(made) = generate("mutate.py", folder.path(), &arguments) else { return };
    in_pairs(&made, |mutation| check(folder.path(), Path::new(mutation["file"].as_str().unwrap())));
}

fn check(folder: &Path, file: &Path) -> Result<(), String> {
    let report_file = file.with_added_extension("json");
    let mut command = vproc(folder);
    command.arg(file).args(["-o", "null:", "-m", "identity", "--progress", "none", "--threads", "1", "--report"]);
    let ran = run(command.arg(&report_file), Duration::from_secs(if is_slow() { 60 } else { 20 }));
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    if !ran.is_sane() || !matches!(ran.code, Some(0 | 3 | 4)) {
        return Err(format!("{name}: {ran:?}"));
    }
    if ran.code == Some(4) && !ran.is_refusal(4) {
        return Err(format!("{name}: not refused in one line: {}", ran.stderr));
    }
    let written = if ran.code == Some(4) { 0 } else { report(&report_file)["frames_out"].as_u64().unwrap() };
    let there = count_frames(file);
    // Fewer frames must have been said: status 3.
    if written < there && ran.code != Some(3) {
        return Err(format!(
            "{name}: status {:?} with {written} frames, an independent decode gives {there}",
            ran.code
        ));
    }
    Ok(())
}

/// What a run with so many threads over `in.*` says is damaged; its status tells the same.
fn n_damaged(folder: &Path, input: &str, threads: usize) -> u64 {
    let line = format!("{input} -o null: -m identity --progress none --threads {threads} --report out.json");
    let ran = run(vproc(folder).args(line.split_whitespace()), Duration::from_secs(60));
    let n_damaged = report(&folder.join("out.json"))["frames_damaged"].as_u64().unwrap();
    assert_eq!(ran.code, Some(if n_damaged > 0 { 3 } else { 0 }), "{line}: {ran:?}");
    n_damaged
}

/// A film of 250 frames.
fn film(path: &Path, codec: &str) {
    let source = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=10", "-pix_fmt", "yuv420p"];
    let codec: Vec<&str> = codec.split_whitespace().collect();
    ffmpeg(&[&source[..], &codec, &[path.to_str().unwrap()]].concat());
}

/// FFmpeg's decoders flag a frame with guessed parts too late where another of their threads works on it, and many only
/// complain on the log.
#[test]
fn damage_is_noticed_with_any_number_of_threads() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.mkv");
    for (codec, is_counted) in [
        ("-c:v libx264 -g 25 -bf 3", true),
        ("-c:v libx264 -g 25 -bf 0", true),
        ("-c:v mpeg4 -g 25 -bf 2", true),
        ("-c:v mpeg2video -g 12 -bf 2", true),
        // A frame that is broken as a whole; how many slices are, is not counted.
        ("-c:v ffv1 -level 3 -slices 4 -slicecrc 1", false),
        ("-c:v mjpeg -q:v 2", false),
    ] {
        film(&path, codec);
        for threads in [1, 2, 3, 8] {
            assert_eq!(n_damaged(folder.path(), "in.mkv", threads), 0, "{codec}, {threads} threads, intact");
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 5;
        bytes[at..at + 400].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let one = n_damaged(folder.path(), "in.mkv", 1);
        assert!(one > 0, "{codec}");
        for threads in [2, 3, 8] {
            let n_damaged = n_damaged(folder.path(), "in.mkv", threads);
            assert!(n_damaged > 0 && (n_damaged == one || !is_counted), "{codec}, {threads} threads: {n_damaged}");
        }
    }
}

/// Demuxers take the end of a file for the end of the film.
#[test]
fn files_that_end_early_are_not_taken_for_short_films() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (input, codec) in [
        ("in.mkv", "-c:v libx264 -g 25"),
        ("in.webm", "-c:v libvpx-vp9 -g 25 -deadline realtime -cpu-used 8"),
        ("in.avi", "-c:v mpeg4 -g 25"),
        ("in.mp4", "-c:v mpeg4 -g 25 -movflags +faststart"),
    ] {
        let path = folder.path().join(input);
        film(&path, codec);
        assert_eq!(n_damaged(folder.path(), input, 2), 0, "{input}");
        let bytes = std::fs::read(&path).unwrap();
        for percent in [40, 70, 95] {
            std::fs::write(&path, &bytes[..bytes.len() * percent / 100]).unwrap();
            let lost = n_damaged(folder.path(), input, 2);
            let there = count_frames(&path);
            assert!(there < 250 && lost >= 250 - there, "{input} cut at {percent} %: {there} frames, {lost} lost");
        }
    }
}

#[test]
fn a_lost_packet_of_a_transport_stream_costs_the_sound_around_it_alone() {
    let Some(film) = Film::new() else { return };
    let source = "-f lavfi -i testsrc2=s=96x64:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2";
    film.ffmpeg(&format!("{source} -c:v libx264 -preset ultrafast -c:a aac a.ts"));
    film.copy("a.ts -o a.mkv");
    let n_whole = film.packets("a.mkv", "a:0").len();
    let bytes = std::fs::read(film.path("a.ts")).unwrap();
    let packets: Vec<&[u8]> = bytes.chunks(188).collect();
    let is_sound = |packet: &[u8]| u16::from_be_bytes([packet[1], packet[2]]) & 0x5fff == 0x101;
    let sound: Vec<usize> = (0..packets.len()).filter(|at| is_sound(packets[*at])).collect();
    for (lost, container) in [(sound.len() / 3, "mkv"), (sound.len() / 2, "mp4"), (sound.len() * 2 / 3, "mov")] {
        let mut left = packets.clone();
        left.remove(sound[lost]);
        film.write("lost.ts", left.concat());
        let output = film.vproc(&format!("lost.ts -m identity --threads 1 -o b.{container}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{container}: {said}");
        assert!(said.contains("stream 1 (aac audio): 1 damaged packets are left out"), "{container}: {said}");
        let n_left = film.packets(&format!("b.{container}"), "a:0").len();
        assert!((n_whole - 4..=n_whole).contains(&n_left), "{container}: {n_left} of {n_whole}");
        assert_eq!(film.frames(&format!("b.{container}"), "v:0").len(), 50, "{container}");
    }
}
