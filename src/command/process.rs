//! Measurements in processes of their own: starts this program again with its own options and a [`Spec`] behind them,
//! and reads the answer. Also tells how far they are.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::row::{Answer, Spec};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::pipeline::progress;

/// Starts measurements, and holds the folder that they work in, which goes when this does.
pub struct Runner {
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
}

impl Runner {
    /// A folder of this name and the process's number among the system's temporary ones.
    pub fn new(name: &str) -> Result<Runner> {
        let program =
            std::env::current_exe().map_err(|error| Error::io("cannot find out where this program is", error))?;
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        // Nobody else's links: it must be new, and ours alone.
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| Error::io(format!("cannot make the folder {}", folder.display()), error))?;
        Ok(Runner { program, arguments: std::env::args_os().skip(1).collect(), folder })
    }

    /// Where clips and outputs go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes one measurement.
    pub fn run(&self, spec: &Spec) -> Result<Answer> {
        let spec = serde_json::to_string(spec).map_err(|error| {
            let message = format!("{} cannot be told on a command line: {error}", self.folder.display());
            Error::new(Kind::Usage, message)
        })?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--row").arg(spec).stdin(Stdio::null());
        let output = command.output().map_err(|error| Error::io("cannot start the measuring process", error))?;
        if interrupt::requested().is_some() {
            return Err(Error::new(Kind::Interrupted, "stopped"));
        }
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(failure(output.status.code(), &told));
        }
        told.lines().for_each(|line| tracing::debug!("{line}"));
        serde_json::from_slice(&output.stdout).map_err(|error| {
            Error::new(Kind::Internal, format!("a measuring process answered what it should not: {error}"))
        })
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The error of a process, from what it said last and the status it exited with.
fn failure(status: Option<i32>, told: &str) -> Error {
    let message = told.lines().rev().find_map(|line| line.strip_prefix("vproc: error: "));
    let kind = match status {
        Some(2) => Kind::Usage,
        Some(4) => Kind::Input,
        Some(130 | 143) => Kind::Interrupted,
        _ => Kind::Infer,
    };
    let ended = status.map_or("a signal".to_owned(), |status| format!("status {status}"));
    Error::new(kind, message.map_or_else(|| format!("a measuring process ended with {ended}"), str::to_owned))
}

/// Tells on stderr what is being measured: a line rewritten on a terminal, elsewhere a line for each name before the
/// colon.
pub struct Steps {
    style: Style,
    last: String,
}

#[derive(PartialEq)]
enum Style {
    Rewritten,
    Plain,
    None,
}

impl Steps {
    /// Silent where nobody wants to hear.
    pub fn new(quiet: bool) -> Steps {
        let style = match quiet {
            true => Style::None,
            false if io::stderr().is_terminal() => Style::Rewritten,
            false => Style::Plain,
        };
        Steps { style, last: String::new() }
    }

    /// What is done now.
    pub fn tell(&mut self, step: &str) {
        match self.style {
            Style::Rewritten => progress::rewrite(step),
            Style::Plain => {
                let name = step.split(':').next().unwrap_or(step);
                if self.last != name {
                    let _ = writeln!(io::stderr(), "measuring {name}");
                    name.clone_into(&mut self.last);
                }
            }
            Style::None => {}
        }
    }

    /// Nothing more is told.
    pub fn clear(&mut self) {
        progress::clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_words_and_its_status() {
        let error = failure(Some(4), "vproc: warning: a\nvproc: error: x.mp4: no such file\n");
        assert_eq!((error.to_string().as_str(), error.exit_status()), ("x.mp4: no such file", 4));
        assert_eq!(failure(None, "").to_string(), "a measuring process ended with a signal");
    }

    #[test]
    fn a_folder_is_new_and_goes() {
        let runner = Runner::new("vproc-test-runner").unwrap();
        let folder = runner.folder().to_owned();
        assert!(folder.is_dir() && Runner::new("vproc-test-runner").is_err());
        drop(runner);
        assert!(!folder.exists());
    }
}
