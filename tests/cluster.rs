//! Segments made by processes of their own, in any order, some twice and some killed, join to the bytes of one run.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Dice, Ran, ffmpeg, has, run, vproc};

const LIMIT: Duration = Duration::from_secs(120);

fn film(path: &Path) {
    let sources = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=6", "-f", "lavfi", "-i", "sine=d=6"];
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    ffmpeg(&[&sources[..], &codecs, &[path.to_str().unwrap()]].concat());
}

fn ran(folder: &Path, line: &str) -> Ran {
    let ran = run(vproc(folder).args(line.split(' ')), LIMIT);
    assert!(ran.is_sane(), "{line}: {ran:?}");
    ran
}

fn done(folder: &Path, line: &str) -> Ran {
    let ran = ran(folder, line);
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    ran
}

const RUN: &str = "-m identity --segment-frames 20 --progress none --threads 2 --preset veryfast";

/// A film and the manifest of a run over it, made in `place` below `root`.
fn begun(root: &Path, output: &str) {
    film(&root.join("in.mkv"));
    done(root, &format!("in.mkv -o whole.{output} {RUN}"));
    let told = done(root, &format!("in.mkv -o {output} {RUN} --manifest-only"));
    assert_eq!(String::from_utf8(told.stdout).unwrap(), format!("{output}.vproc/manifest.json\n"));
}

fn listed(folder: &Path, output: &str) -> Value {
    serde_json::from_slice(&done(folder, &format!("segment {output}.vproc --list --json")).stdout).unwrap()
}

#[test]
fn segments_made_apart_in_any_order_join_to_the_bytes_of_one_run() {
    if !has("ffmpeg") {
        return;
    }
    for output in ["out.mp4", "out.mkv"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        begun(root, output);
        assert_eq!(listed(root, output)["segments"], 8);
        let refused = ran(root, &format!("join {output}.vproc"));
        assert!(refused.is_refusal(1) && refused.stderr.contains("8 in all: 0, 1, 2"), "{refused:?}");
        assert!(!root.join(format!("{output}.part")).exists());
        // From another folder, as another machine would.
        let elsewhere = root.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let manifest = root.join(format!("{output}.vproc/manifest.json"));
        let segment = |number: u64| {
            let mut command = vproc(&elsewhere);
            command.arg("segment").arg(&manifest).stderr(Stdio::null()).env("SLURM_ARRAY_TASK_ID", number.to_string());
            command
        };
        let mut dice = Dice::new(7);
        let mut order: Vec<u64> = (0..8).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, dice.below(last as u64 + 1) as usize);
        }
        for pair in order.chunks(2) {
            // Twins of the first, one of which may be killed at any moment, beside the second.
            let mut children: Vec<_> = [pair[0], pair[0], pair[1]].map(|n| segment(n).spawn().unwrap()).into();
            std::thread::sleep(Duration::from_millis(dice.below(150)));
            let mut killed = children.remove(0);
            let _ = killed.kill();
            killed.wait().unwrap();
            for mut child in children {
                assert_eq!(child.wait().unwrap().code(), Some(0));
            }
        }
        let list = listed(root, output);
        assert_eq!((&list["missing"], &list["joined"]), (&Value::Array(vec![]), &Value::from(false)), "{list}");
        // One that is there is not made again.
        let path = root.join(format!("{output}.vproc/000003.seg"));
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(segment(3).status().unwrap().code(), Some(0));
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        // One that is not what it was is named, and made again.
        let mut bytes = fs::read(&path).unwrap();
        bytes[10] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let refused = ran(root, &format!("join {output}.vproc"));
        assert!(refused.is_refusal(1) && refused.stderr.contains("1 in all: 3;"), "{refused:?}");
        fs::write(&path, &bytes[1..]).unwrap();
        assert_eq!(listed(root, output)["missing"], Value::from(vec![3]));
        assert_eq!(segment(3).status().unwrap().code(), Some(0));
        done(root, &format!("join {output}.vproc"));
        let whole = fs::read(root.join(format!("whole.{output}"))).unwrap();
        assert!(fs::read(root.join(output)).unwrap() == whole, "{output} differs");
        // Again, as a scheduler may; and a segment that comes late.
        done(root, &format!("join {output}.vproc"));
        assert_eq!(segment(5).status().unwrap().code(), Some(0));
        assert!(fs::read(root.join(output)).unwrap() == whole);
        let left: Vec<_> = fs::read_dir(root.join(format!("{output}.vproc"))).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn a_run_goes_on_with_what_others_have_made() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    begun(root, "out.mp4");
    for number in [1, 2, 7] {
        done(root, &format!("segment out.mp4.vproc {number}"));
    }
    let said = done(root, &format!("in.mkv -o out.mp4 {RUN}")).stderr;
    assert!(said.contains("going on with an interrupted run: 50 frames are there"), "{said}");
    assert!(fs::read(root.join("out.mp4")).unwrap() == fs::read(root.join("whole.out.mp4")).unwrap());
    assert!(!root.join("out.mp4.vproc").exists());
}

#[test]
fn a_machine_whose_segments_would_not_fit_refuses_with_4() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    begun(root, "out.mp4");
    let path = root.join("out.mp4.vproc/manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let program = text.find("\"0.1.0 (").map(|at| &text[at..at + 20]).unwrap();
    fs::write(&path, text.replace(program, "\"0.1.0 (0000000000000")).unwrap();
    let refused = ran(root, "segment out.mp4.vproc 1");
    assert!(refused.is_refusal(4) && refused.stderr.contains("the program was"), "{refused:?}");
    fs::write(&path, &text).unwrap();
    done(root, "segment out.mp4.vproc 1");
    // The input has changed since.
    let mut film = fs::read(root.join("in.mkv")).unwrap();
    film.extend(b"\xec\x81\0");
    fs::write(root.join("in.mkv"), film).unwrap();
    let refused = ran(root, "segment out.mp4.vproc 2");
    assert!(refused.is_refusal(4) && refused.stderr.contains("the input was"), "{refused:?}");
    // One that is there needs no input.
    done(root, "segment out.mp4.vproc 1");
}

#[test]
fn what_is_no_manifest_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, text) in [("a.mp4", "{}"), ("b.mp4", "not json"), ("c.mp4", "{\"format\": 99}"), ("d.xyz", "[1, 2")] {
        fs::create_dir(root.join(format!("{name}.vproc"))).unwrap();
        fs::write(root.join(format!("{name}.vproc/manifest.json")), text).unwrap();
        for line in
            [format!("segment {name}.vproc 0"), format!("join {name}.vproc"), format!("segment {name}.vproc --list")]
        {
            let refused = ran(root, &line);
            assert!(refused.is_refusal(2) && refused.stderr.contains("no manifest of ours"), "{line}: {refused:?}");
        }
    }
    for line in
        ["segment none.mp4.vproc 0", "join none.mp4", "segment a.mp4.vproc x", "join none.mp4.vproc/manifest.json"]
    {
        assert!(ran(root, line).is_refusal(2), "{line}");
    }
    let short = ran(root, "pattern:64x64@25,frames=9 -o e.mp4 -m identity --manifest-only");
    assert!(short.is_refusal(2) && short.stderr.contains("--segment-frames"), "{short:?}");
    let pipe = ran(root, "pattern:64x64@25,frames=9 -o null: -m identity --manifest-only");
    assert!(pipe.is_refusal(2), "{pipe:?}");
}
