//! Runs in segments: an interrupted one that is continued gives the bytes of one that was not, whatever interrupted it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{Dice, Mount, Ran, ffmpeg, has, is_slow, report, run, vproc};

const LIMIT: Duration = Duration::from_secs(120);

/// A film of 100 frames with sound; every third of its pictures from `drop_from` on is kept, so that its rate falls.
fn film(path: &Path, drop_from: Option<u32>) {
    let select = drop_from.map_or_else(
        || "null".to_owned(),
        |from| format!("select='lt(n,{from})+gte(n,{from})*not(mod(n,6))',settb=1/60000"),
    );
    let video = format!("testsrc2=s=160x90:r=60:d=4,{select}");
    let sources = ["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", "sine=d=4", "-fps_mode", "passthrough"];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "32k"];
    ffmpeg(&[&sources[..], &codecs, &[path.to_str().unwrap()]].concat());
}

fn command(folder: &Path, input: &str, output: &str, encoder: &str) -> Command {
    let mut command = vproc(folder);
    command.args([input, "-o", output, "--progress", "none", "--encoder", encoder]);
    // Where the command line of a test says otherwise, that counts.
    command.envs([("VPROC_MODEL", "identity"), ("VPROC_THREADS", "2"), ("VPROC_SEGMENT_FRAMES", "20")]);
    if encoder != "ffv1" {
        command.args(["--preset", if encoder == "libsvtav1" { "12" } else { "veryfast" }]);
    }
    command
}

fn make(folder: &Path, input: &str, output: &str, encoder: &str) -> Ran {
    run(&mut command(folder, input, output, encoder), LIMIT)
}

/// The pts and dts of a stream's packets in the order of the file, in seconds.
fn times(path: &Path, stream: &str) -> Vec<(f64, f64)> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time,dts_time"]);
    let output = probe.args(["-of", "json"]).arg(path).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let seconds = |packet: &Value, name: &str| packet[name].as_str().map_or(f64::NAN, |text| text.parse().unwrap());
    let packets = value["packets"].as_array().unwrap();
    packets.iter().map(|packet| (seconds(packet, "pts_time"), seconds(packet, "dts_time"))).collect()
}

/// The hash of every picture that `ffmpeg` decodes, with its time.
fn pictures(path: &Path) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    let output = command.args(["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Kills runs until one gets to its end; how many were killed. One that is killed after its last act has done its work.
fn kill_until_done(mut command: impl FnMut() -> Command, output: &Path, dice: &mut Dice, longest: Duration) -> u32 {
    let folder = format!("{}.vproc", output.display());
    for n_killed in 0..200 {
        let mut child = command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Later and later, so that there is an end even where a machine is slow.
        let after = Duration::from_micros(dice.below(longest.as_micros() as u64 * u64::from(n_killed + 4) / 4));
        let begun = Instant::now();
        while begun.elapsed() < after && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        let ended = child.wait_with_output().unwrap();
        if let Some(code) = ended.status.code() {
            // Only an empty folder was left to be removed where the output is there already.
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(code == 0 || code == 2 && said.contains("there already"), "{said}");
            return n_killed;
        }
        if output.exists() && !Path::new(&folder).exists() {
            return n_killed + 1;
        }
    }
    panic!("200 runs were killed and none came to its end");
}

#[test]
fn killed_runs_that_are_continued_give_the_same_bytes() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    film(&root.join("even.mkv"), None);
    film(&root.join("falls.mp4"), Some(100));
    let mut dice = Dice::new(11);
    let mut n_killed = 0;
    let wanted = if is_slow() { 60 } else { 8 };
    for encoder in ["libx264", "libx265"] {
        for input in ["even.mkv", "falls.mp4"] {
            for output in ["out.mp4", "out.mkv"] {
                let begun = Instant::now();
                let ran = make(root, input, output, encoder);
                assert_eq!(ran.code, Some(0), "{}", ran.stderr);
                let whole = begun.elapsed();
                let expected = fs::read(root.join(output)).unwrap();
                let mut here = 0;
                while here < wanted / 8 {
                    fs::remove_file(root.join(output)).unwrap();
                    let again = || command(root, input, output, encoder);
                    here += kill_until_done(again, &root.join(output), &mut dice, whole / 2);
                    let got = fs::read(root.join(output)).unwrap();
                    assert!(got == expected, "{input} to {output} with {encoder} differs after {here} kills");
                    assert!(!root.join(format!("{output}.vproc")).exists());
                    assert!(!root.join(format!("{output}.part")).exists());
                }
                n_killed += here;
                fs::remove_file(root.join(output)).unwrap();
            }
        }
    }
    println!("{n_killed} runs were killed");
    assert!(n_killed > 0);
}

#[test]
fn at_cuts_and_changes_of_rate_times_are_those_of_a_run_in_one_go_and_dts_rise() {
    if !has("ffmpeg") || !has("ffprobe") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // The rate falls from 60 to 10 in the middle of a segment, and exactly at a cut.
    film(&root.join("middle.mp4"), Some(90));
    film(&root.join("cut.mp4"), Some(100));
    let shown = |name: &str| {
        let mut shown: Vec<f64> = times(&root.join(name), "v:0").into_iter().map(|(pts, _)| pts).collect();
        shown.sort_by(f64::total_cmp);
        shown
    };
    for input in ["middle.mp4", "cut.mp4"] {
        for encoder in ["libx264", "libx265", "libsvtav1", "ffv1"] {
            for kind in ["mp4", "mkv"] {
                if (encoder, kind) == ("ffv1", "mp4") {
                    continue;
                }
                let (cut, whole) = (format!("cut.{encoder}.{kind}"), format!("whole.{encoder}.{kind}"));
                let ran = run(command(root, input, &cut, encoder).arg("-y"), LIMIT);
                assert_eq!(ran.code, Some(0), "{}", ran.stderr);
                let ran = run(command(root, input, &whole, encoder).args(["-y", "--no-resume"]), LIMIT);
                assert_eq!(ran.code, Some(0), "{}", ran.stderr);
                assert_eq!(shown(&cut), shown(&whole), "{input} {encoder} {kind}");
                let audio = |name: &str| times(&root.join(name), "a:0");
                assert_eq!(format!("{:?}", audio(&cut)), format!("{:?}", audio(&whole)), "{input} {encoder} {kind}");
                if kind == "mp4" {
                    assert_eq!(shown(&cut), shown(input), "{input} {encoder}");
                    let got = times(&root.join(&cut), "v:0");
                    let is_rising = got.windows(2).all(|pair| pair[0].1 < pair[1].1);
                    assert!(is_rising && got.iter().all(|(pts, dts)| dts <= pts), "{input} {encoder}: {got:?}");
                }
            }
        }
    }
}

#[test]
fn every_picture_is_there_once() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    film(&root.join("in.mkv"), None);
    for (output, encoder) in [("out.mkv", "ffv1"), ("out.mp4", "libx264"), ("out.mkv", "libx265")] {
        let lossless: &[&str] = match encoder {
            "libx264" => &["--encoder-opt", "qp=0"],
            "libx265" => &["--encoder-opt", "x265-params=lossless=1"],
            _ => &[],
        };
        let ran = run(command(root, "in.mkv", output, encoder).args(lossless).arg("-y"), LIMIT);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let hashes = |path: &Path| -> Vec<String> {
            let lines = pictures(path);
            lines
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(|line| line.rsplit(", ").next().unwrap().into())
                .collect()
        };
        let (got, wanted) = (hashes(&root.join(output)), hashes(&root.join("in.mkv")));
        assert!(got.len() == 240 && got == wanted, "{encoder}: {} pictures", got.len());
    }
}

/// A run of which some segments are finished.
fn interrupted(folder: &Path, output: &str) {
    interrupted_once_there_is(folder, output, "000002.seg", &[]);
}

/// A run that was stopped when this file was in its folder of segments.
fn interrupted_once_there_is(folder: &Path, output: &str, name: &str, more: &[&str]) {
    let pattern = "pattern:320x180@25,frames=4000";
    let mut command = command(folder, pattern, output, "libx264");
    let mut child = command.args(more).stderr(Stdio::piped()).spawn().unwrap();
    let awaited = folder.join(format!("{output}.vproc")).join(name);
    let begun = Instant::now();
    while !awaited.exists() {
        assert!(begun.elapsed() < LIMIT && child.try_wait().unwrap().is_none(), "the run does not get that far");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("the same command continues"), "{said}");
}

fn again(folder: &Path, output: &str, more: &[&str]) -> Ran {
    let pattern = "pattern:320x180@25,frames=4000";
    run(command(folder, pattern, output, "libx264").args(more), LIMIT)
}

#[test]
fn a_run_that_was_stopped_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    interrupted(root, "out.mkv");
    assert!(!root.join("out.mkv").exists() && !root.join("out.mkv.part").exists());
    let ran = again(root, "out.mkv", &["--report", "r.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("going on with an interrupted run"), "{}", ran.stderr);
    let report = report(&root.join("r.json"));
    assert!(report["frames_resumed"].as_u64().unwrap() >= 60, "{report}");
    assert_eq!((report["frames_in"].as_u64(), report["frames_out"].as_u64()), (Some(4000), Some(4000)));
    assert_eq!(report["verified"], true);
    assert_eq!(again(root, "whole.mkv", &[]).code, Some(0));
    assert!(fs::read(root.join("out.mkv")).unwrap() == fs::read(root.join("whole.mkv")).unwrap());
}

#[test]
fn another_run_on_the_same_output_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    interrupted(root, "out.mkv");
    let kept = fs::read(root.join("out.mkv.vproc/000000.seg")).unwrap();
    for (more, word) in [
        (&["--crf", "30"][..], "encoder was"),
        (&["--threads", "1"], "number of encoder threads was 2, and is 1"),
        (&["-m", "nearest-x2"], "network was"),
        (&["--frames", "3999"], "part of the input was"),
        (&["--segment-frames", "40"], "grid of segments was"),
    ] {
        let ran = again(root, "out.mkv", more);
        assert!(ran.is_refusal(2) && ran.stderr.contains(word) && ran.stderr.contains("-y"), "{more:?}: {ran:?}");
        assert_eq!(fs::read(root.join("out.mkv.vproc/000000.seg")).unwrap(), kept);
    }
    let ran = again(root, "out.mkv", &["--crf", "30", "-y"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("starting anew"), "{ran:?}");
    assert_eq!(again(root, "whole.mkv", &["--crf", "30"]).code, Some(0));
    assert!(fs::read(root.join("out.mkv")).unwrap() == fs::read(root.join("whole.mkv")).unwrap());
    assert!(!root.join("out.mkv.vproc").exists());
}

#[test]
fn what_has_finished_no_segment_is_in_nobodys_way_unless_others_may_be_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let one = ["--segment-frames", "4000"];
    interrupted_once_there_is(root, "out.mkv", "manifest.json", &one);
    let ran = again(root, "out.mkv", &["--crf", "30"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("starting anew: the encoder was"), "{ran:?}");
    // Also where the manifest was there before others were thought of.
    interrupted_once_there_is(root, "late.mkv", "manifest.json", &one);
    assert_eq!(again(root, "late.mkv", &["--segment-frames", "4000", "--manifest-only"]).code, Some(0));
    assert_eq!(again(root, "others.mkv", &["--manifest-only"]).code, Some(0));
    for output in ["others.mkv", "late.mkv"] {
        assert!(again(root, output, &["--crf", "30"]).is_refusal(2), "{output}");
    }
}

#[test]
fn a_changed_input_and_a_damaged_segment_are_noticed() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    film(&root.join("in.mkv"), None);
    assert_eq!(make(root, "in.mkv", "whole.mkv", "libx264").code, Some(0));
    let whole = fs::read(root.join("whole.mkv")).unwrap();
    let stop = |name: &str| {
        let mut child = command(root, "in.mkv", name, "libx264").stderr(Stdio::null()).spawn().unwrap();
        while !root.join(format!("{name}.vproc/000003.seg")).exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        root.join(format!("{name}.vproc/000001.seg"))
    };
    let segment = stop("out.mkv");
    if !segment.exists() {
        println!("skipped: the run was over before it could be killed");
        return;
    }
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let ran = make(root, "in.mkv", "out.mkv", "libx264");
    assert!(ran.code == Some(0) && ran.stderr.contains("segment 1 is not what it was"), "{ran:?}");
    assert!(fs::read(root.join("out.mkv")).unwrap() == whole);
    stop("other.mkv");
    let mut film = fs::read(root.join("in.mkv")).unwrap();
    film.extend(b"\xec\x81\0");
    fs::write(root.join("in.mkv"), film).unwrap();
    let ran = make(root, "in.mkv", "other.mkv", "libx264");
    assert!(ran.is_refusal(2) && ran.stderr.contains("the input was"), "{ran:?}");
}

#[test]
fn what_cannot_be_cut_runs_in_one_go_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (more, why) in [
        (&["--encoder-opt", "b=300k"][..], "with b, libx264"),
        (&["--encoder-opt", "maxrate=300k:bufsize=600k"], "with maxrate"),
        (&["--encoder", "libvpx-vp9"], "libvpx-vp9"),
    ] {
        let input = "pattern:64x64@25,frames=30";
        let mut dry = vproc(root);
        dry.args([input, "-o", "a.mkv", "-m", "identity", "--segment-frames", "10", "--dry-run"]).args(more);
        let ran = run(&mut dry, LIMIT);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.code == Some(0) && said.contains("segments  none") && said.contains(why), "{said} {ran:?}");
    }
    let mut whole = vproc(root);
    whole.args(["pattern:64x64@25,frames=30", "-o", "a.mkv", "-m", "identity", "--segment-frames", "10"]);
    whole.args(["--encoder-opt", "b=300k"]);
    let ran = run(&mut whole, LIMIT);
    assert!(ran.code == Some(0) && ran.stderr.contains("with b, libx264"), "{ran:?}");
}

#[test]
fn a_full_disk_keeps_the_segments_and_space_completes_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let pattern = "pattern:320x180@25,frames=400";
    assert_eq!(make(root, pattern, "whole.mkv", "libx264").code, Some(0));
    let whole = fs::read(root.join("whole.mkv")).unwrap();
    let small = root.join("small");
    let Some(_mount) = Mount::tmpfs(&small, &format!("size={}k", whole.len() / 1024 * 3 / 2)) else { return };
    for output in ["small/out.mkv", "small/out.mp4"] {
        // Enough for some segments; then not enough for both these and the output.
        let filler = small.join("filler");
        fs::write(&filler, vec![1; whole.len() * 3 / 4]).unwrap();
        let ran = make(root, pattern, output, "libx264");
        assert!(ran.is_refusal(1) && ran.stderr.contains("no space left"), "{ran:?}");
        let kept = fs::read_dir(root.join(format!("{output}.vproc"))).unwrap().count();
        assert!(kept > 2, "{kept} files are kept");
        fs::remove_file(&filler).unwrap();
        let ran = make(root, pattern, output, "libx264");
        assert!(ran.is_refusal(1) && ran.stderr.contains("no space left"), "{ran:?}");
        let options = format!("remount,size={}k", whole.len() / 1024 * 4);
        assert!(Command::new("mount").args(["-o", &options]).arg(&small).status().unwrap().success());
        let ran = make(root, pattern, output, "libx264");
        assert!(ran.code == Some(0) && ran.stderr.contains("going on"), "{ran:?}");
        if output.ends_with("mkv") {
            assert!(fs::read(root.join(output)).unwrap() == whole);
        }
        fs::remove_file(root.join(output)).unwrap();
        let options = format!("remount,size={}k", whole.len() / 1024 * 3 / 2);
        assert!(Command::new("mount").args(["-o", &options]).arg(&small).status().unwrap().success());
    }
}

#[test]
fn of_twenty_starts_at_once_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let pattern = "pattern:320x180@25,frames=2000";
    assert_eq!(make(root, pattern, "whole.mkv", "libx264").code, Some(0));
    let whole = fs::read(root.join("whole.mkv")).unwrap();
    for _ in 0..if is_slow() { 10 } else { 1 } {
        let start = || command(root, pattern, "out.mkv", "libx264").stderr(Stdio::piped()).spawn().unwrap();
        let children: Vec<_> = (0..20).map(|_| start()).collect();
        let mut n_won = 0;
        for child in children {
            let ended = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            match ended.status.code() {
                Some(0) => n_won += 1,
                Some(1) => assert!(said.contains("another run is writing") && said.lines().count() == 1, "{said}"),
                // It came when the winner was done.
                Some(2) => assert!(said.contains("there already") && said.lines().count() == 1, "{said}"),
                other => panic!("{other:?}: {said}"),
            }
        }
        assert_eq!(n_won, 1);
        assert!(fs::read(root.join("out.mkv")).unwrap() == whole);
        assert!(!root.join("out.mkv.vproc").exists() && !root.join("out.mkv.part").exists());
        fs::remove_file(root.join("out.mkv")).unwrap();
    }
}

#[test]
fn near_reuse_forgets_at_cuts_so_that_a_continued_run_gives_the_same_bytes() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    film(&root.join("in.mkv"), None);
    // The network sees luma; a low bound, so that much is reused.
    let near = |output: &str| {
        let mut command = command(root, "in.mkv", output, "libx264");
        command.args(["--skip", "near", "--skip-psnr", "30"]);
        command
    };
    for output in ["whole.mkv", "again.mkv"] {
        assert_eq!(run(&mut near(output), LIMIT).code, Some(0));
    }
    let whole = fs::read(root.join("whole.mkv")).unwrap();
    assert!(fs::read(root.join("again.mkv")).unwrap() == whole, "two runs differ");
    assert_eq!(make(root, "in.mkv", "exact.mkv", "libx264").code, Some(0));
    assert!(fs::read(root.join("exact.mkv")).unwrap() != whole, "nothing was reused");
    let mut dice = Dice::new(3);
    kill_until_done(|| near("out.mkv"), &root.join("out.mkv"), &mut dice, Duration::from_millis(300));
    assert!(fs::read(root.join("out.mkv")).unwrap() == whole, "a continued run differs");
}

#[test]
fn inputs_that_cannot_be_sought_well_give_every_picture_once() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let source = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=6", "-pix_fmt", "yuv420p"];
    for (input, codec) in [
        ("open_gop.mkv", "-c:v libx264 -g 25 -bf 3 -x264-params open-gop=1:b-pyramid=normal:keyint=25:scenecut=0"),
        ("pyramid.mp4", "-c:v libx264 -bf 8 -x264-params b-pyramid=strict:b-adapt=2:keyint=40"),
        ("refresh.mkv", "-c:v libx264 -x264-params intra-refresh=1:keyint=30:bframes=0"),
        ("open_gop.ts", "-c:v libx264 -g 25 -bf 3 -x264-params open-gop=1:keyint=25"),
        ("refresh.ts", "-c:v libx264 -x264-params intra-refresh=1:keyint=30"),
        ("mpeg2.ts", "-c:v mpeg2video -g 12 -bf 2"),
        ("b_frames.avi", "-c:v libx264 -bf 2 -g 25"),
        ("mpeg4.avi", "-c:v mpeg4 -bf 2 -g 25"),
        ("open_gop_hevc.mp4", "-c:v libx265 -x265-params log-level=none:open-gop=1:keyint=25:bframes=4"),
    ] {
        let path = root.join(input);
        let codec: Vec<&str> = codec.split(' ').collect();
        ffmpeg(&[&source[..], &codec, &[path.to_str().unwrap()]].concat());
        let (output, whole) = (root.join(format!("{input}.out.mkv")), root.join(format!("{input}.whole.mkv")));
        let [name, whole_name] = [&output, &whole].map(|path| path.file_name().unwrap().to_str().unwrap());
        let mut dice = Dice::new(input.len() as u64);
        let again = || command(root, input, name, "ffv1");
        let n_killed = kill_until_done(again, &output, &mut dice, Duration::from_millis(200));
        let ran = run(command(root, input, whole_name, "ffv1").arg("--no-resume"), LIMIT);
        assert_eq!(ran.code, Some(0), "{input}: {}", ran.stderr);
        let got = pictures(&output);
        assert_eq!(got, pictures(&whole), "{input} after {n_killed} kills");
        let hashes = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.rsplit(", ").next().unwrap().into()).collect()
        };
        // Against a decoder with one thread that never sought.
        let wanted = hashes(&pictures(&path));
        assert!(hashes(&got) == wanted && wanted.len() >= 149, "{input}: {} pictures", wanted.len());
    }
}

#[test]
fn a_run_that_is_killed_in_a_system_call_can_be_continued() {
    if !has("strace") || !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    film(&root.join("in.mkv"), None);
    assert_eq!(make(root, "in.mkv", "whole.mp4", "libx264").code, Some(0));
    let whole = fs::read(root.join("whole.mp4")).unwrap();
    let mut n_killed = 0;
    for call in ["fsync", "rename", "ftruncate", "unlink", "rmdir", "mkdir", "write", "flock"] {
        // A step of one takes them all.
        let step = if is_slow() { 1 } else { 40 };
        for at in (1 + n_killed % 5..).step_by(step) {
            let program = command(root, "in.mkv", "out.mp4", "libx264");
            let mut traced = Command::new("strace");
            traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            traced.args(["-e", &format!("inject={call}:signal=SIGKILL:when={at}")]);
            traced.arg(program.get_program()).args(program.get_args()).current_dir(root);
            traced.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).stderr(Stdio::null());
            let status = traced.status().unwrap();
            let is_over = status.success();
            if !is_over {
                n_killed += 1;
                let ran = make(root, "in.mkv", "out.mp4", "libx264");
                let is_there = ran.code == Some(2) && ran.stderr.contains("there already");
                assert!(ran.code == Some(0) || is_there, "{call} {at}: {ran:?}");
            }
            assert!(fs::read(root.join("out.mp4")).unwrap() == whole, "{call} {at}");
            assert!(!root.join("out.mp4.vproc").exists(), "{call} {at}");
            fs::remove_file(root.join("out.mp4")).unwrap();
            let _ = fs::remove_file(root.join("out.mp4.part"));
            if is_over {
                break;
            }
        }
    }
    println!("{n_killed} runs were killed in a system call");
    assert!(n_killed >= 8, "{n_killed}");
}
