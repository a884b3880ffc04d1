//! `vproc compare` against FFmpeg's own filters, and what makes two videos different.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::has_tools;

fn ffmpeg(folder: &Path, arguments: &str) -> String {
    let mut command = Command::new("ffmpeg");
    command.current_dir(folder).args(["-hide_banner", "-nostdin", "-y"]).args(arguments.split_whitespace());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments}: {said}");
    said
}

fn compare(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    command.current_dir(folder).env_clear().env("HOME", folder).arg("compare").args(arguments);
    command.output().unwrap()
}

fn json(folder: &Path, a: &str, b: &str) -> (i32, Value) {
    let output = compare(folder, &[a, b, "--json"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.code().unwrap(),
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

fn lines(text: &[u8], beginning: &str) -> Vec<String> {
    String::from_utf8_lossy(text).lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}

/// The figures of a line of a filter's statistics file, by name.
fn figures(line: &str) -> Vec<(String, f64)> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once(':'));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn figure(line: &str, name: &str) -> f64 {
    figures(line).into_iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{name} in {line}")).1
}

#[test]
fn psnr_and_ssim_are_those_of_ffmpegs_filters() {
    if !has_tools(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (format, size) in [
        ("yuv420p", "162x122"),
        ("yuv422p10le", "176x144"),
        ("yuv444p", "161x121"),
        ("yuv420p12le", "96x64"),
        ("gray", "64x48"),
    ] {
        let source = format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=0.4 -vf format={format}");
        ffmpeg(folder, &format!("{source} -c:v ffv1 a.mkv"));
        ffmpeg(folder, &format!("{source},boxblur=2:1,noise=alls=9:allf=t,format={format} -c:v ffv1 b.mkv"));
        for filter in ["psnr", "ssim"] {
            ffmpeg(folder, &format!("-i a.mkv -i b.mkv -lavfi {filter}=stats_file={filter}.log -f null -"));
        }
        let (status, found) = json(folder, "a.mkv", "b.mkv");
        assert_eq!(status, 1);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let (psnr, ssim) = (read("psnr.log"), read("ssim.log"));
        let frames = found["frames"].as_array().unwrap();
        assert_eq!((frames.len(), psnr.lines().count()), (10, 10), "{format}");
        let planes: &[_] =
            if format == "gray" { &[("y", "y", "Y")] } else { &[("y", "y", "Y"), ("cb", "u", "U"), ("cr", "v", "V")] };
        let (mut of_psnr, mut of_ssim) = (0.0_f64, 0.0_f64);
        for (frame, (psnr, ssim)) in frames.iter().zip(psnr.lines().zip(ssim.lines())) {
            for (ours, theirs, upper) in planes {
                let metric = |name: &str| frame["metrics"][format!("{name}_{ours}")].as_f64().unwrap();
                of_psnr = of_psnr.max((metric("psnr") - figure(psnr, &format!("psnr_{theirs}"))).abs());
                of_ssim = of_ssim.max((metric("ssim") - figure(ssim, upper)).abs());
            }
        }
        println!("{format} {size}: PSNR within {of_psnr:.4} dB, SSIM within {of_ssim:.6}");
        assert!(of_psnr < 0.01 && of_ssim < 1e-4, "{format}: {of_psnr} {of_ssim}");
        // The filter's own sum, from the mean squared error of all frames.
        let said = ffmpeg(folder, "-i a.mkv -i b.mkv -lavfi psnr -f null -");
        let sum = said.lines().find(|line| line.contains(" PSNR y:")).unwrap_or_else(|| panic!("{said}")).to_owned();
        let ours = found["aggregate_metrics"]["psnr_y"].as_f64().unwrap();
        assert!((ours - figure(&sum, "y")).abs() < 0.01, "{ours}: {sum}");
        let pooled = &found["pooled_metrics"]["psnr_y"];
        let [min, mean, max, harmonic] =
            ["min", "mean", "max", "harmonic_mean"].map(|name| pooled[name].as_f64().unwrap());
        assert!(min <= harmonic && harmonic <= mean && mean <= max, "{pooled}");
        assert_eq!(found["worst"]["value"].as_f64().unwrap(), {
            let all = frames.iter().flat_map(|frame| frame["metrics"].as_object().unwrap().clone());
            all.filter(|(name, _)| name.starts_with("psnr"))
                .map(|(_, value)| value.as_f64().unwrap())
                .fold(f64::MAX, f64::min)
        });
    }
}

#[test]
fn what_differs_is_told_and_what_is_the_same_is_not() {
    if !has_tools(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let source = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1 -f lavfi -i sine=duration=1 -pix_fmt yuv420p";
    ffmpeg(folder, &format!("{source} -c:v libx264 -preset ultrafast -qp 0 -c:a pcm_s16le -metadata title=one a.mov"));
    ffmpeg(folder, "-i a.mov -c copy -metadata title=two same.mkv");
    ffmpeg(folder, "-i a.mov -an -c:v libx264 -preset ultrafast -crf 30 lossy.mp4");
    ffmpeg(folder, "-i a.mov -c copy -frames:v 20 short.mkv");
    ffmpeg(folder, "-i a.mov -an -vf setpts=N/20/TB -fps_mode passthrough -enc_time_base 1:1000 -c:v ffv1 slow.mkv");
    ffmpeg(folder, "-i a.mov -an -vf scale=80:60 -c:v ffv1 small.mkv");
    ffmpeg(folder, "-i a.mov -an -vf format=yuv444p -c:v ffv1 full.mkv");
    ffmpeg(folder, "-i a.mov -an -vf setsar=4/3 -c:v ffv1 wide.mkv");
    ffmpeg(folder, "-i a.mov -an -pix_fmt yuv420p -f yuv4mpegpipe raw.y4m");
    let told = |arguments: &[&str]| {
        let output = compare(folder, arguments);
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), lines(&output.stdout, "different"), lines(&output.stdout, "note"))
    };
    assert_eq!(told(&["a.mov", "a.mov"]), (0, vec![], vec![]));
    let (status, different, notes) = told(&["a.mov", "same.mkv"]);
    assert_eq!((status, different.len()), (0, 0), "{different:?}");
    for what in ["container: mov,mp4", "title 'one' and 'two'"] {
        assert!(notes.iter().any(|note| note.contains(what)), "{what}: {notes:?}");
    }
    assert_eq!(told(&["a.mov", "raw.y4m"]).0, 0);
    for (other, what) in [
        ("lossy.mp4", "samples: in"),
        ("short.mkv", "frames: 25 and"),
        ("slow.mkv", "pts: of 24 frames, from frame 1 on, by +0.010000 to +0.240000 s"),
        ("small.mkv", "size: 160x120 and 80x60"),
        ("full.mkv", "pixel format: yuv420p and yuv444p"),
        ("wide.mkv", "sample aspect ratio: 1/1 and 4/3"),
    ] {
        let (status, different, _) = told(&["a.mov", other]);
        assert_eq!(status, 1, "{other}");
        assert!(different.iter().any(|line| line.contains(what)), "{other}: {different:?}");
    }
    assert!(told(&["a.mov", "lossy.mp4"]).2.iter().any(|note| note.contains("audio streams: 1 and 0")));
    assert_eq!(told(&["a.mov", "lossy.mp4", "--min-psnr", "15"]).0, 0);
    let (status, different, _) = told(&["a.mov", "lossy.mp4", "--min-psnr", "60"]);
    assert_eq!(status, 1);
    assert!(different[0].contains("less than 60"), "{different:?}");
    assert_eq!(told(&["a.mov", "short.mkv", "--min-psnr", "15"]).0, 1);
    let (_, small) = json(folder, "a.mov", "small.mkv");
    assert_eq!(small["pooled_metrics"], serde_json::json!({}));
    let (status, same) = json(folder, "a.mov", "same.mkv");
    assert_eq!((status, same["different"].as_bool(), same["a"]["frames"].as_u64()), (0, Some(false), Some(25)));
    assert_eq!(compare(folder, &["a.mov", "missing.mkv"]).status.code(), Some(4));
}

#[test]
fn times_that_only_round_differently_are_equal_with_a_bound_and_different_without() {
    if !has_tools(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=30000/1001:duration=1 -pix_fmt yuv420p -c:v libx264 -qp 0 a.mp4",
    );
    ffmpeg(folder, "-i a.mp4 -c copy b.mkv");
    let output = compare(folder, &["a.mp4", "b.mkv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(lines(&output.stdout, "different")[0].contains("no more than their time bases round"));
    assert_eq!(compare(folder, &["a.mp4", "b.mkv", "--min-psnr", "99"]).status.code(), Some(0));
}
