//! The program as a person starts it: exit statuses, one line for an error, quiet pipes.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

/// The program in an empty folder, with no configuration of anybody's.
fn vproc(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    command
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("VPROC_NO_CACHE", "true")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    vproc(&tempfile::tempdir().unwrap()).args(arguments).output().unwrap()
}

/// The one line that an error is.
fn error_of(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.starts_with("vproc: error: ") && text.ends_with('\n') && text.lines().count() == 1, "{text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn usage_errors_exit_with_2_and_one_line() {
    for arguments in [
        &[][..],
        &["a.mp4"],
        &["a.mp4", "-o"],
        &["a.mp4", "-o", "b.xyz"],
        &["a.mp4", "-o", "b.mp4", "--nonsense"],
        &["a.mp4", "-o", "b.mp4", "--memory", "much"],
        &["a.mp4", "-o", "b.mp4", "--config", "missing.toml"],
        &["compare", "a.mp4"],
        &["inspect"],
        &["models", "extra"],
        &["--generate", "pdf"],
        &["line\nbreak.mp4", "-o", "b\n.xyz"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        error_of(&output);
    }
}

#[test]
fn a_file_of_the_project_is_read_and_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vproc.toml"), "threds = 2").unwrap();
    let output = vproc(&folder).args(["a.mp4", "-o", "b.mp4"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("vproc.toml: unknown key 'threds'; did you mean 'threads'?"));
    let output = vproc(&folder).args(["a.mp4", "-o", "b.mp4", "--no-config"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("threds"));
}

#[test]
fn a_misspelt_variable_is_warned_of_and_quiet_is_quiet() {
    let said = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let output = vproc(&folder).env("VPROC_MEMMORY", "1G").args(arguments).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let warning = "vproc: warning: the variable VPROC_MEMMORY says nothing to vproc; did you mean VPROC_MEMORY?\n";
    assert!(said(&["missing.mp4", "-o", "b.mp4"]).starts_with(warning));
    assert!(!said(&["missing.mp4", "-o", "b.mp4", "-q"]).contains("warning"));
}

#[test]
fn help_version_and_generated_text_go_to_stdout() {
    for (arguments, word) in [
        (&["--version"][..], concat!("vproc ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["-h"], "--encoder"),
        (&["--help"], "--pix-fmt"),
        (&["compare", "--help"], "--min-psnr"),
        (&["--generate", "man"], ".TH vproc"),
        (&["--generate", "complete-bash"], "_vproc()"),
        (&["--generate", "complete-zsh"], "#compdef vproc"),
        (&["--generate", "complete-fish"], "complete -c vproc"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(word), "{arguments:?}: {text}");
        assert!(!text.contains('\x1b'), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = vproc(&folder);
    let mut child = command.args(["--generate", "man"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn names_that_are_not_utf8_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"\xff\xfe.mp4");
    let output = vproc(&folder).arg(name).args(["-o", "b.mp4"]).output().unwrap();
    assert_ne!(output.status.code(), Some(2));
    error_of(&output);
}

#[test]
fn two_inputs_are_told_from_a_command() {
    for arguments in [["a.mp4", "b.mp4", "-o", "x.mp4"], ["-o", "x.mp4", "a.mp4", "b.mp4"]] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let said = error_of(&output);
        assert!(
            said.contains("one input is taken, and there is also 'b.mp4'") && said.contains("vproc batch"),
            "{said}"
        );
    }
    assert!(!error_of(&run(&["compare", "a.mp4", "b.mp4", "c.mp4"])).contains("one input"));
}

#[test]
fn a_value_with_a_minus_is_a_wrong_value() {
    for [option, value] in [
        ["--crf", "-1"],
        ["--crf", "-y"],
        ["--roi", "-5,0,10,10"],
        ["--start", "-1"],
        ["--latency", "-1"],
        ["--threads", "-1"],
        ["--size", "-5x5"],
    ] {
        let output = run(&["a.mp4", "-o", "b.mp4", option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        let said = error_of(&output);
        assert!(said.contains(&format!("{option}: got '{value}', expected")) && !said.contains("'-- "), "{said}");
    }
}

#[test]
fn the_manual_and_the_help_tell_all_of_the_other_commands() {
    let text = |arguments: &[&str]| String::from_utf8(run(arguments).stdout).unwrap();
    let page = text(&["--generate", "man"]).replace('\\', "");
    for word in ["--jobs", "--min-psnr", "--resolutions", ".SH \"VPROC BATCH\"", "{n} counts"] {
        assert!(page.contains(word), "{word}");
    }
    assert_eq!(page.matches(".TH ").count(), 1);
    for help in ["-h", "--help"] {
        assert!(text(&["batch", help]).contains("{n}"), "{help}");
    }
}

#[test]
fn what_is_no_cache_and_no_video_is_said() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.mp4"), "precious").unwrap();
    for arguments in [&["cache", "stat", "--cache", "t.mp4"][..], &["inspect", "p%03d.png"]] {
        let output = vproc(&folder).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        error_of(&output);
    }
}
