//! Nothing is clobbered: not the input under another of its names, not a good output by a run that is killed, not a
//! stranger's file through a planted link, not one run's output by another.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Dice, Ran, is_slow, run, vproc};

const LIMIT: Duration = Duration::from_secs(60);

fn make(folder: &Path, output: &str, frames: u32, crf: &str) -> Ran {
    run(&mut command(folder, output, frames, crf), LIMIT)
}

fn command(folder: &Path, output: &str, frames: u32, crf: &str) -> Command {
    let mut command = vproc(folder);
    command.args([&format!("pattern:96x64@25,frames={frames}"), "-o", output, "-m", "identity", "--progress", "none"]);
    command.args(["--encoder", "libx264", "--preset", "ultrafast", "--crf", crf, "--threads", "2", "-y"]);
    command
}

#[test]
fn the_input_under_any_of_its_names_is_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(make(root, "in.mkv", 5, "20").code, Some(0));
    let before = fs::read(root.join("in.mkv")).unwrap();
    fs::create_dir(root.join("sub")).unwrap();
    symlink("in.mkv", root.join("soft.mkv")).unwrap();
    symlink("soft.mkv", root.join("softer.mkv")).unwrap();
    symlink(root, root.join("sub/up")).unwrap();
    fs::hard_link(root.join("in.mkv"), root.join("hard.mkv")).unwrap();
    let absolute = root.join("in.mkv").to_str().unwrap().to_owned();
    let mut names =
        vec!["in.mkv", "./in.mkv", "sub/../in.mkv", "soft.mkv", "softer.mkv", "sub/up/in.mkv", "hard.mkv", &absolute];
    if root.join("IN.MKV").exists() {
        names.push("IN.MKV");
    } else {
        println!("skipped: another case, on a file system that tells cases apart");
    }
    for output in &names {
        for input in &names {
            let ran = run(vproc(root).args([input, "-o", output, "-m", "identity", "-y"]), LIMIT);
            assert!(ran.is_refusal(2) && ran.stderr.contains("the input itself"), "{input} to {output}: {ran:?}");
        }
    }
    assert_eq!(fs::read(root.join("in.mkv")).unwrap(), before);
    assert!(fs::read_dir(root).unwrap().flatten().all(|entry| !entry.path().to_string_lossy().ends_with(".part")));
}

#[test]
fn an_output_that_is_there_stays_without_leave() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a.mkv", "a.mp4", "a.y4m", "a.md5"] {
        fs::write(root.join(name), "precious").unwrap();
        symlink("nowhere", root.join(format!("dangling-{name}"))).unwrap();
        for name in [name.to_owned(), format!("dangling-{name}")] {
            let output = if name.ends_with("md5") { format!("md5:{name}") } else { name.clone() };
            for more in [&[][..], &["-n"]] {
                let ran = run(
                    vproc(root).args(["pattern:64x64@25,frames=3", "-m", "identity", "-o", &output]).args(more),
                    LIMIT,
                );
                assert!(ran.is_refusal(2) && ran.stderr.contains("-y"), "{output}: {ran:?}");
            }
        }
        assert_eq!(fs::read(root.join(name)).unwrap(), b"precious");
        assert!(!root.join("nowhere").exists());
    }
}

#[test]
fn numbered_pictures_are_neither_replaced_without_leave_nor_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let pictures = |input: &str, output: &str, more: &[&str]| {
        run(vproc(root).args([input, "-o", output, "-m", "identity"]).args(more), LIMIT)
    };
    let made = pictures("pattern:64x64@25,frames=5", "f/%06d.png", &[]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let read = |name: &str| fs::read(root.join(name)).unwrap();
    let before = read("f/000005.png");
    for more in [&[][..], &["-n"]] {
        let again = pictures("pattern:64x64@25,frames=3", "f/%06d.png", more);
        assert!(again.is_refusal(2) && again.stderr.contains("000001.png: this picture and 4 more"), "{again:?}");
    }
    fs::create_dir(root.join("sub")).unwrap();
    symlink(root.join("f"), root.join("sub/link")).unwrap();
    for output in ["f/%06d.png", "sub/link/%06d.png"] {
        let onto = pictures("f/%06d.png", output, &["-y"]);
        assert!(onto.is_refusal(2) && onto.stderr.contains("the input itself"), "{output}: {onto:?}");
    }
    // A mask among the pictures is read too.
    let onto = pictures("pattern:64x64@25,frames=3", "f/%06d.png", &["-y", "--roi", "f/000002.png"]);
    assert!(onto.is_refusal(2) && onto.stderr.contains("000002.png: the output is the input itself"), "{onto:?}");
    assert_eq!(read("f/000005.png"), before);
    let shorter = pictures("pattern:64x64@25,frames=3", "f/%06d.png", &["-y"]);
    assert_eq!(shorter.code, Some(0), "{shorter:?}");
    assert!(shorter.stderr.contains("000004.png"), "{shorter:?}");
}

#[test]
fn a_killed_run_leaves_the_old_output_and_the_next_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut dice = Dice::new(1);
    let mut n_killed = 0;
    for name in ["out.mkv", "out.mp4"] {
        assert_eq!(make(root, name, 400, "30").code, Some(0));
        let new = fs::read(root.join(name)).unwrap();
        let made = make(root, name, 40, "20");
        assert_eq!(made.code, Some(0));
        let old = fs::read(root.join(name)).unwrap();
        let begun = Instant::now();
        assert_eq!(make(root, name, 400, "30").code, Some(0));
        let whole = begun.elapsed().as_micros() as u64;
        for round in 0..if is_slow() { 25 } else { 5 } {
            fs::write(root.join(name), &old).unwrap();
            let mut command = command(root, name, 400, "30");
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(dice.below(whole)));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            n_killed += u32::from(status.code().is_none());
            let left = fs::read(root.join(name)).unwrap();
            assert!(left == old || left == new, "kill {round} of {name} left {} bytes that are neither", left.len());
            assert!(left == old || status.code().is_some() || !root.join(format!("{name}.part")).exists());
            let next = make(root, name, 400, "30");
            assert_eq!(next.code, Some(0), "{}", next.stderr);
            assert!(fs::read(root.join(name)).unwrap() == new, "the next run gives other bytes");
            assert!(!root.join(format!("{name}.part")).exists());
        }
    }
    println!("{n_killed} runs were killed before their end");
    assert!(n_killed > 0);
}

#[test]
fn a_planted_part_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("victim"), "precious").unwrap();
    symlink("victim", root.join("soft.mkv.part")).unwrap();
    symlink("not there", root.join("dangling.mkv.part")).unwrap();
    fs::hard_link(root.join("victim"), root.join("hard.mkv.part")).unwrap();
    fs::create_dir(root.join("folder.mkv.part")).unwrap();
    for name in ["soft.mkv", "dangling.mkv", "hard.mkv", "folder.mkv"] {
        let ran = make(root, name, 3, "20");
        assert!(ran.errors().len() == 1 && matches!(ran.code, Some(1 | 2)), "{name}: {ran:?}");
        assert!(!root.join(name).exists());
    }
    assert_eq!(fs::read(root.join("victim")).unwrap(), b"precious");
    assert!(!root.join("not there").exists());
}

#[test]
fn of_two_runs_on_one_output_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut first = vproc(root);
    first.args(["-", "-o", "out.mkv", "-m", "identity", "--encoder", "ffv1", "--progress", "none", "-q"]);
    let mut first = first.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut feed = first.stdin.take().unwrap();
    let frame = [b"FRAME\n".to_vec(), vec![90; 384]].concat();
    // Nothing is written before there is a frame.
    feed.write_all(&[&b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\n"[..], &frame].concat()).unwrap();
    let begun = Instant::now();
    while !root.join("out.mkv.part").exists() {
        assert!(begun.elapsed() < LIMIT && first.try_wait().unwrap().is_none(), "the first run does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The file is locked right after it is made.
    std::thread::sleep(Duration::from_millis(100));
    let second = make(root, "out.mkv", 3, "20");
    assert!(second.is_refusal(1) && second.stderr.contains("another run is writing"), "{second:?}");
    (0..3).for_each(|_| feed.write_all(&frame).unwrap());
    drop(feed);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert!(root.join("out.mkv").exists() && !root.join("out.mkv.part").exists());
}

#[test]
fn what_tells_of_a_run_replaces_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["film.mkv", "conf.json"] {
        fs::write(root.join(name), "crf = 20").unwrap();
    }
    let ran = |line: &str| {
        let mut command = vproc(root);
        command.args(["pattern:64x64@25,frames=3", "-m", "identity", "-o", "null:", "--progress", "none"]);
        run(command.args(line.split_whitespace()), LIMIT)
    };
    for line in ["--trace film.mkv", "--report film.mkv", "--config conf.json --report conf.json"] {
        let refused = ran(line);
        assert!(refused.is_refusal(2), "{line}: {refused:?}");
    }
    for name in ["film.mkv", "conf.json"] {
        assert_eq!(fs::read(root.join(name)).unwrap(), b"crf = 20");
    }
    // What an earlier run has told, whatever it is called.
    for _ in 0..2 {
        let told = ran("--trace trace --report r.json");
        assert_eq!(told.code, Some(0), "{told:?}");
    }
}

#[test]
fn a_joined_run_whose_output_is_gone_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(make(root, "in.mkv", 15, "20").code, Some(0));
    let ran = |line: &str| run(vproc(root).args(line.split_whitespace()), LIMIT);
    let line = "in.mkv -o out.mkv -m identity --preset ultrafast --threads 2 --segment-frames 10 --progress none";
    let manifest = format!("{line} --manifest-only");
    for step in [&manifest, "segment out.mkv.vproc 0", "segment out.mkv.vproc 1", "join out.mkv.vproc"] {
        let made = ran(step);
        assert_eq!(made.code, Some(0), "{step}: {made:?}");
    }
    let other = format!("{line} --crf 30");
    let refused = ran(&other);
    assert!(refused.is_refusal(2) && refused.stderr.contains("the output is there already"), "{refused:?}");
    assert!(!root.join("out.mkv.part").exists());
    fs::remove_file(root.join("out.mkv")).unwrap();
    let anew = ran(&other);
    assert!(anew.code == Some(0) && anew.stderr.contains("starting anew"), "{anew:?}");
}
