//! Running the program and finding what it is tested on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Networks act as they were trained, whatever the clip of a test was coded with.
pub const STRENGTH: &str = "1";

/// What a run of the program gave.
pub struct Ran {
    /// The exit status; -1 when a signal ended it.
    pub status: i32,
    /// What it said.
    pub stderr: String,
}

/// `vproc INPUT -o OUTPUT ARGUMENTS`.
pub fn run(input: &Path, output: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    // It is the tests' own; the program warns of a variable that it does not know.
    command.env_remove("VPROC_SHARED").env("VPROC_STRENGTH", STRENGTH).arg(input).arg("-o").arg(output).args(arguments);
    if !arguments.contains(&"--cache") {
        // What another test has computed would be taken from the user's cache.
        command.env("VPROC_NO_CACHE", "true");
    }
    let output = command.output().unwrap();
    Ran { status: output.status.code().unwrap_or(-1), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// The folder of shared clips and networks; `None` with a printed reason where it is absent.
pub fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("VPROC_SHARED").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    if folder.join("data/clips").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no shared clips at {}", folder.display());
    None
}

/// Whether all these programs are there; prints which one is not.
pub fn has_tools(names: &[&str]) -> bool {
    let missing = names.iter().find(|name| Command::new(name).arg("-version").output().is_err());
    if let Some(name) = missing {
        eprintln!("skipped: {name} is not installed");
    }
    missing.is_none()
}

/// Whether ONNX Runtime is there; prints why not.
pub fn has_onnx_runtime() -> bool {
    let found = vproc::infer::ort::library(vproc::infer::EngineChoice::Ort);
    if let Err(error) = &found {
        eprintln!("skipped: {error}");
    }
    found.is_ok()
}
