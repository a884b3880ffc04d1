//! How strongly a network acts: by how ffmpeg's encoders coded the source, or as said.

use std::process::Output;

use crate::film::Film;

/// Coders with options that give one known quantiser to every block of every frame, and that quantiser in H.264's scale:
/// MPEG-2 and MPEG-4 are told half the step.
const CODED: [(&str, f64); 10] = [
    ("-c:v libx264 -x264-params qp=20:ipratio=1:pbratio=1 clip.mp4", 20.0),
    ("-c:v libx264 -x264-params qp=31:ipratio=1:pbratio=1:bframes=2 clip.mkv", 31.0),
    ("-c:v libx264 -pix_fmt yuv420p10le -x264-params qp=40:ipratio=1:pbratio=1 clip.mp4", 28.0),
    // Read from headers and counted 4 lower; key frames of open groups, start codes, 10 bits, further reference sets.
    ("-c:v libx265 -x265-params qp=31:ipratio=1:pbratio=1:keyint=20:min-keyint=20:log-level=none clip.mp4", 27.0),
    (
        "-c:v libx265 -x265-params qp=26:ipratio=1:pbratio=1:keyint=20:open-gop=0:repeat-headers=1:log-level=none clip.ts",
        22.0,
    ),
    ("-c:v libx265 -pix_fmt yuv422p10le -x265-params qp=35:ipratio=1:pbratio=1:log-level=none clip.mkv", 31.0),
    (
        "-c:v libx265 -pix_fmt gray -x265-params qp=40:ipratio=1:pbratio=1:no-sao=1:bframes=0:log-level=none clip.mkv",
        36.0,
    ),
    ("-c:v mpeg2video -q:v 8 -qmin 8 -qmax 8 clip.ts", 28.0),
    ("-c:v mpeg4 -q:v 4 -qmin 4 -qmax 4 -bf 0 clip.avi", 22.0),
    ("-c:v mpeg4 -q:v 16 -qmin 16 -qmax 16 -bf 0 clip.mp4", 34.0),
];

const SOURCE: &str = "-f lavfi -i testsrc2=s=160x120:r=25:d=3 -pix_fmt yuv420p";

fn run(film: &Film, arguments: &str) -> Output {
    let output = film.command(arguments).env_remove("VPROC_STRENGTH").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The line of the plan.
fn planned(film: &Film, clip: &str, more: &str) -> String {
    let plan = run(film, &format!("{clip} -o null: -m restore --dry-run {more}")).stdout;
    let plan = String::from_utf8(plan).unwrap();
    plan.lines().find_map(|line| line.strip_prefix("strength  ")).unwrap_or_else(|| panic!("{plan}")).to_owned()
}

#[test]
fn the_quantiser_that_was_coded_with_is_found() {
    let Some(film) = Film::new() else { return };
    for (coded, expected) in CODED {
        film.ffmpeg(&format!("{SOURCE} {coded}"));
        let clip = coded.rsplit(' ').next().unwrap();
        let told = planned(&film, clip, "");
        let number = told.split("quantiser of ").nth(1).and_then(|rest| rest.split(' ').next());
        let found: f64 = number.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{coded}: {told}"));
        assert!((found - expected).abs() <= 0.15, "{coded}: {told}");
        let strength: f64 = told.split(':').next().unwrap().parse().unwrap();
        assert_eq!(strength == 0.0, expected <= 22.0, "{coded}: {told}");
        assert_eq!(strength >= 1.0, expected >= 28.0, "{coded}: {told}");
    }
}

#[test]
fn what_was_coded_without_loss_stays_as_it_is() {
    let Some(film) = Film::new() else { return };
    for coded in ["-c:v ffv1 clip.mkv", "-c:v libx264 -qp 0 clip.mp4", "-f yuv4mpegpipe clip.y4m"] {
        film.ffmpeg(&format!("{SOURCE} {coded}"));
        let clip = coded.rsplit(' ').next().unwrap();
        let frames = |more: &str| run(&film, &format!("{clip} -o md5: --frames 4 {more}")).stdout;
        let restored = run(&film, &format!("{clip} -o md5: --frames 4 -m restore --report report.json"));
        assert_eq!(restored.stdout, frames("-m identity"), "{coded}");
        let said = String::from_utf8(restored.stderr).unwrap();
        assert!(said.contains("--strength 1 makes it act"), "{coded}: {said}");
        let report: serde_json::Value = serde_json::from_str(&film.text("report.json")).unwrap();
        assert_eq!(report["strength"], 0.0);
        assert_ne!(frames("-m restore --strength 1"), frames("-m identity"), "{coded}");
    }
}

#[test]
fn a_strength_is_taken_by_every_engine_and_half_of_it_is_half_of_the_change() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{SOURCE} -frames:v 2 -c:v libx264 -crf 40 clip.mp4"));
    let luma = |more: &str| {
        run(&film, &format!("clip.mp4 -o out.y4m -y -q -m restore {more}"));
        let bytes = std::fs::read(film.path("out.y4m")).unwrap();
        let header = bytes.iter().position(|&byte| byte == b'\n').unwrap() + "\nFRAME\n".len();
        bytes[header..header + 160 * 120].iter().map(|&code| f64::from(code)).collect::<Vec<_>>()
    };
    let [none, half, whole] = ["0", "0.5", "1"].map(|strength| luma(&format!("--strength {strength}")));
    // Each is rounded once.
    let worst = (0..none.len()).map(|i| (half[i] - (none[i] + whole[i]) / 2.0).abs()).fold(0.0, f64::max);
    assert!(worst <= 1.0 && none != half && half != whole, "{worst}");
    if vproc::infer::ort::library(vproc::infer::EngineChoice::Ort).is_err() {
        eprintln!("skipped: no ONNX Runtime");
        return;
    }
    let library = std::env::var("HOME").map(|home| format!("{home}/.local/share/vproc/libonnxruntime.so"));
    let mut other = film.command("clip.mp4 -o other.y4m -q -m restore --strength 0.5 --engine ort");
    other.env("ORT_DYLIB_PATH", library.unwrap());
    let ran = other.output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    run(&film, "clip.mp4 -o out.y4m -y -q -m restore --strength 0.5");
    let (ours, theirs) = (std::fs::read(film.path("out.y4m")).unwrap(), std::fs::read(film.path("other.y4m")).unwrap());
    let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
    let most = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(
        ours.len() == theirs.len() && most <= Some(1) && differ <= ours.len() / 1000,
        "{differ} differ by {most:?}"
    );
}

#[test]
fn a_network_that_takes_none_refuses_one_on_the_command_line_only() {
    let Some(film) = Film::new() else { return };
    let output = film.vproc("pattern:64x48,frames=1 -o null: -m upscale-x2 --strength 0.5");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("upscale-x2 takes no strength"), "{said}");
    let mut from_outside = film.command("pattern:64x48,frames=1 -o null: -m upscale-x2");
    assert_eq!(from_outside.env("VPROC_STRENGTH", "0.5").output().unwrap().status.code(), Some(0));
    let output = film.vproc("pattern:64x48,frames=1 -o null: -m restore --strength strong");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
