//! What an input may be: a file, a pipe, numbered pictures; and what is said of one that cannot be used.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::film::Film;
use crate::program::{Ran, report, run, vproc};

const LIMIT: Duration = Duration::from_secs(60);

const HEADER: &[u8] = b"YUV4MPEG2 W16 H16 F25:1 C420jpeg\n";

/// So many gray frames, and some bytes of another one.
fn y4m(n_frames: usize, more: usize) -> Vec<u8> {
    let frame = [&b"FRAME\n"[..], &[128; 384]].concat();
    [HEADER, &frame.repeat(n_frames), &frame[..more]].concat()
}

/// A pipe with a name, through which these bytes come once.
fn pipe(path: &Path, bytes: Vec<u8>) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let path = path.to_owned();
    // Its reader may go away early, or never come.
    std::thread::spawn(move || fs::write(path, bytes).ok());
}

/// Runs the network that changes nothing.
fn copy(folder: &Path, line: &str) -> Ran {
    let mut command = vproc(folder);
    run(command.args(line.split_whitespace()).args(["-m", "identity", "--progress", "none"]), LIMIT)
}

#[test]
fn pipes_take_y4m_whatever_they_are_called_and_no_container() {
    let Some(film) = Film::new() else { return };
    let root = film.path("");
    film.ffmpeg("-f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -pix_fmt yuv420p a.y4m");
    film.ffmpeg("-i a.y4m -c:v ffv1 a.mkv");
    film.ffmpeg("-i a.y4m -c:v mpeg2video -f mpegts a.ts");
    let read = |name: &str| fs::read(film.path(name)).unwrap();
    let whole = film.frames("a.y4m", "v:0");
    pipe(&film.path("raw"), read("a.y4m"));
    let ran = copy(&root, "raw -o raw.mkv --encoder ffv1");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(film.frames("raw.mkv", "v:0"), whole);
    for (name, input) in [("a.mkv", "one.mkv"), ("a.ts", "two"), ("a.ts", "three.y4m")] {
        pipe(&film.path(input), read(name));
        let ran = copy(&root, &format!("{input} -o out.mkv"));
        assert!(ran.is_refusal(2) && ran.stderr.contains("a container needs a file"), "{input}: {ran:?}");
        assert!(!film.path("out.mkv").exists());
    }
    pipe(&film.path("four.mkv"), read("a.mkv"));
    let ran = run(vproc(&root).args(["inspect", "four.mkv"]), LIMIT);
    assert!(ran.is_refusal(2) && ran.stderr.contains("give a file, not a pipe"), "{ran:?}");
    // By the name that every program's standard input has.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bytes = read("a.y4m");
    std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).ok());
    let mut command = vproc(&root);
    command.args(["/dev/stdin", "-o", "in.mkv", "-m", "identity", "--encoder", "ffv1", "-q"]).stdin(reader);
    let ran = run(&mut command, LIMIT);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(film.frames("in.mkv", "v:0"), whole);
}

#[test]
fn what_holds_no_frame_is_unusable_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("empty.y4m"), y4m(0, 0)).unwrap();
    fs::write(root.join("cut.y4m"), y4m(0, 100)).unwrap();
    pipe(&root.join("pipe"), y4m(0, 0));
    for input in ["empty.y4m", "cut.y4m", "pipe", "none/%04d.png", "none.y4m", "none.mkv"] {
        let ran = copy(root, &format!("{input} -o out.mkv"));
        assert!(ran.is_refusal(4), "{input}: {ran:?}");
    }
    assert_eq!(fs::read_dir(root).unwrap().count(), 3);
}

#[test]
fn damage_is_counted_and_who_is_strict_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("cut.y4m"), y4m(2, 100)).unwrap();
    assert_eq!(copy(root, "pattern:16x16@25,frames=6 -o f/%03d.png").code, Some(0));
    fs::remove_file(root.join("f/004.png")).unwrap();
    for (input, n_frames, n_damaged) in [("cut.y4m", 2, 1), ("f/%03d.png", 3, 3)] {
        let ran = copy(root, &format!("{input} -o null: --report r.json"));
        assert_eq!(ran.code, Some(3), "{input}: {ran:?}");
        let report = report(&root.join("r.json"));
        assert_eq!(
            (&report["frames_out"], &report["frames_damaged"]),
            (&n_frames.into(), &n_damaged.into()),
            "{input}"
        );
        let strict = copy(root, &format!("{input} -o null: --strict"));
        assert!(strict.is_refusal(4), "{input}: {strict:?}");
        // What lies behind the cut is not missed.
        assert_eq!(copy(root, &format!("{input} -o null: --strict --frames 1")).code, Some(0), "{input}");
    }
}

#[test]
fn a_rate_is_for_pictures_and_what_a_file_says_of_it_refuses_no_other_run() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -pix_fmt yuv420p a.y4m");
    film.ffmpeg("-i a.y4m -c:v ffv1 a.mkv");
    film.write("all.toml", "fps = 24\n");
    for input in ["a.y4m", "a.mkv", "pattern:64x48@25,frames=2", "-"] {
        let said = film.refused(&format!("{input} -o b.mkv --fps 30"));
        assert!(said.contains("--fps is for pictures"), "{input}: {said}");
        if input != "-" {
            film.copy(&format!("{input} -o null: --config all.toml"));
        }
    }
}
