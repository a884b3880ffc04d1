//! What networks make of real pictures: held against ONNX Runtime called from Python, against whole frames when cut
//! into windows, and against the source where nothing may change.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{STRENGTH, has_onnx_runtime, has_tools, run, shared};

/// The program's `md5:` lines for a clip: a hash a frame.
fn hashes(clip: &Path, arguments: &[&str]) -> Result<Vec<String>, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_vproc"))
        .env("VPROC_STRENGTH", STRENGTH)
        .arg(clip)
        .args(["-o", "md5:", "--no-cache", "--progress", "none", "-q", "--deinterlace", "off", "--threads", "2"])
        .args(arguments)
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let hashes: Vec<_> = lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(", ").next().unwrap().to_owned())
        .collect();
    match output.status.code() {
        Some(0 | 3) => Ok(hashes),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn model(shared: &Path, name: &str) -> String {
    shared.join("data/models").join(name).to_string_lossy().into_owned()
}

/// numpy and ONNX Runtime for Python, where the test set-up put them.
fn python() -> Option<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-python");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", &folder);
    let mut probe = Command::new("python3");
    let ready = probe.env("PYTHONPATH", &folder).args(["-c", "import numpy, onnxruntime"]).output();
    if ready.is_ok_and(|output| output.status.success()) {
        return Some(command);
    }
    eprintln!("skipped: numpy and onnxruntime are not in {}", folder.display());
    None
}

/// Frame `number` of a clip as raw 8-bit 4:2:0, by FFmpeg.
fn raw_frame(clip: &Path, number: u32, to: &Path) {
    let select = format!("select=eq(n\\,{number})");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(clip)
        .args(["-vf", &select, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p"])
        .arg(to)
        .status();
    assert!(status.unwrap().success());
}

/// Largest difference of two raw pictures and how many samples differ.
fn difference(a: &[u8], b: &[u8]) -> (u8, usize) {
    assert_eq!(a.len(), b.len());
    let pairs = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (pairs().max().unwrap_or(0), pairs().filter(|d| *d > 0).count())
}

#[test]
fn networks_give_what_onnx_runtime_gives_in_python() {
    let (Some(shared), true, Some(_)) = (shared(), has_tools(&["ffmpeg"]), python()) else { return };
    if !has_onnx_runtime() {
        return;
    }
    let upscale = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/upscale-x2.onnx");
    let upscale = upscale.to_string_lossy().into_owned();
    // Network, scale, channels; then clip, frame, size, matrix by the rule for untagged streams.
    let luma = [(upscale.clone(), 2, "luma"), (model(&shared, "ArtCNN_R8F64.onnx"), 2, "luma")];
    let rgb = [
        (model(&shared, "DigitalFlim_SuperUltraCompact_x2_fp32.onnx"), 2, "rgb"),
        (model(&shared, "DigitalFlim_SuperUltraCompact_x2_fp16.onnx"), 2, "rgb"),
        (model(&shared, "HurrDeblur_SuperUltraCompact_x1_fp32.onnx"), 1, "rgb"),
    ];
    let clips = [
        ("talking_head_176x144_sar.mp4", 3, (176, 144), "601"),
        ("mov_text_subs.mp4", 5, (300, 200), "601"),
        ("two_video_two_audio_two_subs.mp4", 7, (480, 270), "709"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let [source, expected, got] = ["in.yuv", "want.yuv", "got.y4m"].map(|name| folder.path().join(name));
    for (network, scale, channels) in luma.iter().chain(&rgb) {
        for (clip, frame, (width, height), matrix) in clips {
            // The largest network once: it takes seconds a frame.
            if network.contains("ArtCNN") && clip != clips[0].0 {
                continue;
            }
            let clip = shared.join("data/clips").join(clip);
            raw_frame(&clip, frame, &source);
            let status = python()
                .unwrap()
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/picture.py"))
                .args([Path::new(network), &source, &expected])
                .args([width.to_string(), height.to_string(), scale.to_string()])
                .args([*channels, matrix, "limited"])
                .status();
            assert!(status.unwrap().success());
            let (start, end) = (format!("{frame}f"), format!("{}f", frame + 1));
            let ran = run(&clip, &got, &["-m", network, "--start", &start, "--end", &end, "-y", "-q"]);
            assert_eq!(ran.status, 0, "{}", ran.stderr);
            let y4m = std::fs::read(&got).unwrap();
            let want = std::fs::read(&expected).unwrap();
            let (worst, differ) = difference(&y4m[y4m.len() - want.len()..], &want);
            println!("{network} {}: worst {worst}, {differ} of {} samples differ", clip.display(), want.len());
            assert!(worst <= 1, "{network} on {}: off by {worst}", clip.display());
        }
    }
}

#[test]
fn identity_networks_change_no_bit_of_any_clip() {
    let (Some(shared), true) = (shared(), has_onnx_runtime()) else { return };
    for clip in clips(&shared) {
        let Ok(want) = hashes(&clip, &["-m", "identity"]) else { continue };
        for network in ["identity_rgb.onnx", "identity_luma.onnx"] {
            let got = hashes(&clip, &["-m", &model(&shared, network)]).unwrap();
            assert_eq!(want, got, "{network} on {}", clip.display());
        }
    }
}

/// Whether the long forms of the tests were asked for.
fn is_slow() -> bool {
    std::env::var_os("VPROC_SLOW_TESTS").is_some()
}

fn clips(shared: &Path) -> Vec<PathBuf> {
    let mut clips: Vec<_> =
        std::fs::read_dir(shared.join("data/clips")).unwrap().map(|entry| entry.unwrap().path()).collect();
    clips.sort();
    clips
}

#[test]
fn windows_give_the_bits_of_whole_frames() {
    let (Some(shared), true) = (shared(), has_onnx_runtime()) else { return };
    let networks = [
        ("upscale-x2".to_owned(), 2),
        ("restore".to_owned(), 2),
        (model(&shared, "DigitalFlim_SuperUltraCompact_x2_fp32.onnx"), 1),
        (model(&shared, "DigitalFlim_SuperUltraCompact_x2_fp16.onnx"), 1),
        (model(&shared, "HurrDeblur_SuperUltraCompact_x1_fp32.onnx"), 1),
    ];
    let tiles: &[&str] = if is_slow() { &["64", "90"] } else { &["64"] };
    let mut engines = vec![("ort", "f32")];
    let luma = model(&shared, "identity_luma.onnx");
    match hashes(Path::new("pattern:64x64,frames=1"), &["-m", &luma, "--engine", "openvino"]) {
        Ok(_) => engines.extend([("openvino", "f32"), ("openvino", "bf16")]),
        Err(error) => eprintln!("openvino skipped: {}", error.trim()),
    }
    // 4:2:0, 4:2:2, odd sides, 10 bits; a size smaller than a window; 4:4:4.
    let clips = ["mov_text_subs.mp4", "yuv422p.mp4", "odd_161x121_vp9.webm", "hevc_10bit_200x200.mp4", "small.y4m"];
    let clips = clips.iter().map(|clip| shared.join("data/clips").join(clip));
    for clip in
        clips.chain(["pattern:131x94,format=yuv444p,frames=2".into(), "pattern:90x70,format=gray,frames=2".into()])
    {
        for ((network, frames), (engine, precision)) in
            networks.iter().flat_map(|network| engines.iter().map(move |engine| (network, *engine)))
        {
            let frames = frames.to_string();
            let with = |tile: &str| {
                let how = ["--engine", engine, "--precision", precision, "--frames", &frames, "--tile", tile];
                hashes(&clip, &[&["-m", network.as_str()], &how[..]].concat())
            };
            // OpenVINO has no bfloat16 on older processors, and says so.
            let Ok(whole) = with("off") else {
                assert_eq!(precision, "bf16", "{network} on {}", clip.display());
                continue;
            };
            for tile in tiles {
                let tiled = with(tile).unwrap();
                assert_eq!(
                    whole,
                    tiled,
                    "{network} by {engine} {precision} on {} in windows of {tile}",
                    clip.display()
                );
            }
        }
    }
}

#[test]
fn the_default_network_doubles_every_clip_and_keeps_the_rest() {
    let (Some(shared), true, true) = (shared(), has_onnx_runtime(), has_tools(&["ffprobe"])) else { return };
    // All frames of all clips take ten minutes; a few of each show the same.
    let folder = tempfile::tempdir().unwrap();
    for clip in clips(&shared) {
        let (report, output) = (folder.path().join("report.json"), folder.path().join("out.mkv"));
        let report_name = report.to_string_lossy().into_owned();
        let mut arguments = vec!["-y", "--deinterlace", "off", "--preset", "ultrafast", "--report", &report_name];
        if !is_slow() {
            arguments.extend(["--frames", "2"]);
        }
        let ran = run(&clip, &output, &arguments);
        if ran.status == 4 {
            continue;
        }
        assert!(matches!(ran.status, 0 | 3), "{}: {}", clip.display(), ran.stderr);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        assert_eq!(report["verified"], true);
        assert_eq!(report["frames_in"], report["frames_out"], "{}", clip.display());
        let size = |path: &Path| -> Vec<u64> {
            let probe = Command::new("ffprobe")
                .args(["-v", "error", "-select_streams", "V", "-show_entries", "stream=width,height", "-of", "csv=p=0"])
                .arg(path)
                .output()
                .unwrap();
            let text = String::from_utf8(probe.stdout).unwrap();
            let sizes = text.lines().map(|line| line.split(',').filter_map(|side| side.parse().ok()).collect());
            sizes.max_by_key(|sides: &Vec<u64>| sides.iter().product::<u64>()).unwrap()
        };
        let doubled: Vec<u64> = size(&clip).iter().map(|side| 2 * side).collect();
        assert_eq!(size(&output), doubled, "{}", clip.display());
    }
}
