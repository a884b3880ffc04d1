//! Memory that does not depend on how long a video is or how its streams lie in the file.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::program::{ffmpeg, generate, has, report, run, vproc};

/// Two runs of the same kind mostly differ by less than this.
const TOLERANCE: f64 = 0.05;

/// So many runs of each kind are made, since now and then one touches less of its libraries than the others.
const RUNS: usize = 3;

fn peak(folder: &Path, arguments: &[&OsStr], n_frames: u64) -> f64 {
    let mut command = vproc(folder);
    command.args(arguments).args([
        "-m",
        "identity",
        "--threads",
        "2",
        "-y",
        "--progress",
        "none",
        "--report",
        "r.json",
    ]);
    let ran = run(&mut command, Duration::from_secs(120));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = report(&folder.join("r.json"));
    assert_eq!(report["frames_out"], n_frames);
    report["peak_rss_bytes"].as_f64().unwrap()
}

#[test]
fn two_thousand_frames_take_the_memory_of_two_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = vec![[("pattern:64x64@25,frames=200", &[][..]), ("pattern:64x64@25,frames=2000", &[])]];
    if has("ffmpeg") {
        let clip = folder.path().join("long.mp4");
        let source = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=80", "-f", "lavfi", "-i", "sine=d=80"];
        let encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
        ffmpeg(&[&source[..], &encoder, &[clip.to_str().unwrap()]].concat());
        inputs.push([("long.mp4", &["--frames", "200"]), ("long.mp4", &[])]);
    }
    for pair in inputs {
        for output in [&["-o", "null:"][..], &["-o", "out.mkv", "--encoder", "libx264", "--preset", "ultrafast"]] {
            let [few, many] = [(pair[0], 200), (pair[1], 2000)].map(|((input, more), n_frames)| {
                let arguments: Vec<_> = [&[input], more, output].concat().into_iter().map(OsStr::new).collect();
                let mut peaks: Vec<_> = (0..RUNS).map(|_| peak(folder.path(), &arguments, n_frames)).collect();
                peaks.sort_by(f64::total_cmp);
                peaks[RUNS / 2]
            });
            println!("{} {}: {:.1} MB, then {:.1} MB", pair[1].0, output[1], few / 1e6, many / 1e6);
            assert!(
                many <= few * (1.0 + TOLERANCE),
                "{few} bytes for 200 frames, {many} for 2000: {pair:?} {output:?}"
            );
        }
    }
}

#[test]
fn sound_that_lies_behind_all_pictures_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let Some(made) = generate("interleaved.py", folder.path(), &[]) else { return };
    for pair in made {
        let [well, badly] = ["well", "badly"].map(|which| {
            let file = pair[which].as_str().unwrap();
            let encoder = ["--encoder", "libx264", "--preset", "ultrafast", "-o", "out.mkv"];
            let arguments: Vec<_> = [&[file][..], &encoder].concat().into_iter().map(OsStr::new).collect();
            peak(folder.path(), &arguments, pair["frames"].as_u64().unwrap())
        });
        println!("{}: {:.1} MB, badly interleaved {:.1} MB", pair["kind"], well / 1e6, badly / 1e6);
        assert!(badly <= well * (1.0 + TOLERANCE), "{well} bytes well interleaved, {badly} badly: {}", pair["kind"]);
    }
}
