//! Names and places: whatever a file system allows as a name is taken, whatever cannot be an output is refused.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::program::{Mount, Ran, has, report, run, vproc};

const LIMIT: Duration = Duration::from_secs(60);

const NAMES: [&[u8]; 27] = [
    b"plain",
    b"two words",
    b" space at both ends ",
    b"line\nfeed",
    b"return\rtab\tbell\x07escape\x1b[31m",
    b"\xff\xfe not utf-8 \xc3",
    b"-dash",
    b"--report",
    b"50%",
    b"%d",
    b"%03d",
    b"%s%n%x",
    b"single'quote",
    b"double\"quote",
    b"back\\slash",
    b"`echo` $HOME $(id)",
    b"glob*?[a-z]",
    b"{brace,s}",
    b"colon:a",
    b"file:b",
    b"concat:a|b",
    b"pattern:64x64",
    b"null:",
    b"semi;colon&and|pipe",
    b"\xe6\x98\xa0\xe7\x94\xbb \xd7\xa2\xd7\x91\xd7\xa8\xd7\x99\xd7\xaa",
    b"..dots...",
    b"#hash~",
];

fn run_named(folder: &Path, input: &OsStr, output: &OsStr, report: &OsStr) -> Ran {
    let option = |name: &str, value: &OsStr| {
        let mut option = OsString::from(name);
        option.push(value);
        option
    };
    let mut command = vproc(folder);
    command.arg(option("--input=", input)).arg(option("--output=", output)).arg(option("--report=", report));
    run(command.args(["-m", "identity", "--encoder", "ffv1", "--progress", "none"]), LIMIT)
}

fn with_extension(name: &[u8], extension: &str) -> OsString {
    OsStr::from_bytes(&[name, b".", extension.as_bytes()].concat()).to_owned()
}

#[test]
fn every_name_is_taken_for_input_output_and_report() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let made = run_named(root, OsStr::new("pattern:16x16@25,frames=2"), OsStr::new("seed.mkv"), OsStr::new("r.json"));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let long = vec![b'x'; 250];
    // `.part` must fit too.
    let names = NAMES.into_iter().chain([&long[..246]]);
    for name in names {
        let shown = String::from_utf8_lossy(name);
        let inside = root.join("in");
        fs::create_dir_all(&inside).unwrap();
        let (input, output) = (with_extension(name, "mkv"), with_extension(name, "out.mkv"));
        let (output, report_name) = if name.len() > 240 {
            (input.clone(), with_extension(&name[..200], "json"))
        } else {
            (output, with_extension(name, "json"))
        };
        fs::copy(root.join("seed.mkv"), inside.join(&input)).unwrap();
        // In another folder by a path, and by the bare name in the working folder.
        let outside = root.join("out");
        fs::create_dir_all(&outside).unwrap();
        let mut places = vec![(
            root,
            inside.join(&input).into_os_string(),
            outside.join(&output).into_os_string(),
            outside.join(&report_name).into_os_string(),
        )];
        if name.len() <= 240 && name != b"null:" {
            places.push((&inside, input.clone(), output.clone(), report_name.clone()));
        }
        for (place, input, output, report_name) in places {
            let ran = run_named(place, &input, &output, &report_name);
            assert_eq!(ran.code, Some(0), "{shown:?}: {}", ran.stderr);
            assert!(place.join(&output).is_file(), "{shown:?}");
            assert_eq!(report(&place.join(&report_name))["frames_out"], 2, "{shown:?}");
            let again = run_named(place, &input, &output, &report_name);
            assert!(again.is_refusal(2) && again.stderr.lines().count() == 1, "{shown:?}: {}", again.stderr);
        }
        fs::remove_dir_all(&inside).unwrap();
        fs::remove_dir_all(&outside).unwrap();
    }
}

#[test]
fn the_longest_names_work_or_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let longest = with_extension(&[b'y'; 251], "mkv");
    run_named(root, OsStr::new("pattern:16x16@25,frames=2"), OsStr::new("seed.mkv"), OsStr::new("r.json"));
    fs::copy(root.join("seed.mkv"), root.join(&longest)).unwrap();
    let ran = run_named(root, &longest, OsStr::new("b.mkv"), OsStr::new("r.json"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // There is no room for the `.part`.
    let ran = run_named(root, OsStr::new("seed.mkv"), &with_extension(&[b'z'; 251], "mkv"), OsStr::new("r.json"));
    assert!(ran.errors().len() == 1 && ran.stderr.contains("too long") && matches!(ran.code, Some(1 | 2)), "{ran:?}");
    for n in [256, 300, 5000] {
        let name = with_extension(&vec![b'z'; n], "mkv");
        let ran = run_named(root, OsStr::new("seed.mkv"), &name, OsStr::new("r.json"));
        assert!(ran.errors().len() == 1 && ran.code != Some(0) && ran.is_sane(), "{ran:?}");
        let ran = run_named(root, &name, OsStr::new("c.mkv"), OsStr::new("r.json"));
        assert!(ran.is_refusal(4), "{ran:?}");
    }
}

fn pattern_to(folder: &Path, frames: u32, output: &str, more: &[&str]) -> Ran {
    let mut command = vproc(folder);
    command.args([
        &format!("pattern:128x128@25,frames={frames}"),
        "-o",
        output,
        "-m",
        "identity",
        "--progress",
        "none",
    ]);
    run(command.args(more), LIMIT)
}

#[test]
fn what_cannot_be_an_output_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("folder.mkv")).unwrap();
    fs::create_dir(root.join("folder.y4m")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    let mkfifo = |name: &str| Command::new("mkfifo").arg(root.join(name)).status().is_ok_and(|status| status.success());
    let mut outputs =
        vec!["folder.mkv", "folder.y4m", "missing/a.mkv", "file/a.mkv", "/dev/full", "a.mkv/", ".", "..", "/"];
    if mkfifo("pipe.mkv") {
        outputs.push("pipe.mkv");
    }
    for output in outputs {
        let ran = pattern_to(root, 3, output, &["-y"]);
        assert!(ran.is_refusal(2), "{output}: {ran:?}");
    }
    for output in ["missing/a.y4m", "md5:missing/a"] {
        let ran = pattern_to(root, 3, output, &["-y"]);
        assert!(ran.errors().len() == 1 && matches!(ran.code, Some(1 | 2)), "{output}: {ran:?}");
    }
    let left: Vec<_> = fs::read_dir(root).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.len() <= 4, "{left:?}");
}

#[test]
fn a_full_device_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (output, more) in [("md5:/dev/full", &[][..]), ("null:", &["--report", "/dev/full"])] {
        let ran = pattern_to(root, 50, output, more);
        assert!(ran.is_sane() && ran.code == Some(1) && ran.errors().len() == 1, "{output} {more:?}: {ran:?}");
        assert!(ran.stderr.contains("no space left"), "{output} {more:?}: {ran:?}");
    }
    let mut command = vproc(root);
    command.args(["pattern:128x128@25,frames=50", "-o", "-", "-m", "identity", "--progress", "none"]);
    command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).stderr(std::process::Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.lines().count() == 1 && said.contains("no space left"), "{said}");
}

#[test]
fn a_pipe_takes_y4m() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    if !has("mkfifo") {
        return;
    }
    let pipe = root.join("pipe.y4m");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = Vec::new();
            fs::File::open(&pipe).unwrap().read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        let ran = pattern_to(root, 4, "pipe.y4m", &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(reader.join().unwrap() > 4 * 128 * 128 * 3 / 2);
    });
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type() != fs::symlink_metadata(root).unwrap().file_type());
}

#[test]
fn a_folder_that_may_not_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let Some(_mount) = Mount::tmpfs(&root.join("fixed"), "ro") else { return };
    for output in ["fixed/a.mkv", "fixed/a.y4m", "fixed/%03d.png", "md5:fixed/a"] {
        let ran = pattern_to(root, 3, output, &[]);
        assert!(ran.is_sane() && ran.errors().len() == 1 && matches!(ran.code, Some(1 | 2)), "{output}: {ran:?}");
        assert!(ran.stderr.contains("read-only"), "{output}: {}", ran.stderr);
    }
}

#[test]
fn a_full_disk_is_named_and_nothing_gets_the_final_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (number, kilobytes) in [16, 64, 200, 500].into_iter().enumerate() {
        let place = format!("small{number}");
        let Some(mount) = Mount::tmpfs(&root.join(&place), &format!("size={kilobytes}k")) else { return };
        for (name, more) in [
            ("a.mkv", &["--encoder", "ffv1"][..]),
            ("a.mp4", &["--encoder", "libx264", "--preset", "ultrafast", "--encoder-opt", "qp=0"]),
            ("a.y4m", &[]),
            ("%03d.png", &[]),
        ] {
            let ran = pattern_to(root, 150, &format!("{place}/{name}"), more);
            assert!(ran.is_sane() && ran.code == Some(1) && ran.errors().len() == 1, "{kilobytes}k {name}: {ran:?}");
            assert!(ran.stderr.contains("no space left"), "{kilobytes}k {name}: {}", ran.stderr);
            assert!(!root.join(&place).join(name).exists());
            for entry in fs::read_dir(root.join(&place)).unwrap().flatten() {
                let left = entry.file_name().into_string().unwrap();
                assert!(left.ends_with(".part") || left.ends_with(".png"), "{left}");
                fs::remove_file(entry.path()).unwrap();
            }
        }
        drop(mount);
    }
}
