//! Small videos made by the `ffmpeg` program, run through vproc, and looked at with `ffprobe`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::STRENGTH;

/// A folder to work in.
pub struct Film {
    folder: TempDir,
}

/// A frame as FFmpeg decodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// In microseconds.
    pub pts: i64,
    /// MD5 of its planes.
    pub hash: String,
}

impl Film {
    /// A fresh folder; `None`, with a printed reason, where ffmpeg and ffprobe are not installed.
    pub fn new() -> Option<Film> {
        for program in ["ffmpeg", "ffprobe"] {
            if Command::new(program).arg("-version").stdout(Stdio::null()).status().is_err() {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        Some(Film { folder: tempfile::tempdir().unwrap() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Runs ffmpeg in the folder, its arguments parted by blanks; its standard output.
    pub fn ffmpeg(&self, arguments: &str) -> Vec<u8> {
        let words = ["-v", "error", "-nostdin", "-y"].into_iter().chain(arguments.split_whitespace());
        let output = Command::new("ffmpeg").current_dir(self.folder.path()).args(words).output().unwrap();
        assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// vproc in the folder with nobody's configuration.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("VPROC_NO_CACHE", "true")
            .env("VPROC_STRENGTH", STRENGTH)
            .stdin(Stdio::null());
        command.args(arguments.split_whitespace());
        command
    }

    /// Runs vproc, its arguments parted by blanks.
    pub fn vproc(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the network that changes nothing; what was said on stderr. It must succeed.
    pub fn copy(&self, arguments: &str) -> String {
        let output = self.vproc(&format!("-m identity --threads 1 {arguments}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments}: {said}");
        said
    }

    /// Runs the same; it must be refused as wrong usage in one line, which comes back, and leave nothing behind.
    pub fn refused(&self, arguments: &str) -> String {
        let before = self.names();
        let output = self.vproc(&format!("-m identity --threads 1 {arguments}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert!(said.starts_with("vproc: error: ") && said.lines().count() == 1, "{arguments}: {said}");
        assert_eq!(self.names(), before, "{arguments}");
        said
    }

    /// The names in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What ffprobe says with these arguments; it must have no complaint.
    pub fn probe(&self, arguments: &str) -> Value {
        probe(self.folder.path(), arguments)
    }

    /// The frames of a stream (`v:0`), in order, with their planes' hashes.
    pub fn frames(&self, name: &str, stream: &str) -> Vec<Shown> {
        self.filtered(name, stream, "null")
    }

    /// The frames of a stream after a filter.
    pub fn filtered(&self, name: &str, stream: &str, filter: &str) -> Vec<Shown> {
        let text = self.ffmpeg(&format!(
            "-copyts -i {name} -map 0:{stream} -vf {filter} -fps_mode passthrough -enc_time_base 1/1000000 -f framemd5 -"
        ));
        let text = String::from_utf8(text).unwrap();
        let fields = |line: &str| line.split(',').map(|field| field.trim().to_owned()).collect::<Vec<_>>();
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(fields);
        lines.map(|line| Shown { pts: line[2].parse().unwrap(), hash: line[5].clone() }).collect()
    }

    /// The packets of a stream: pts in microseconds and the payload's hash.
    pub fn packets(&self, name: &str, stream: &str) -> Vec<(i64, String)> {
        let entries = "-show_packets -show_data_hash md5 -show_entries packet=pts_time,data_hash";
        let value = self.probe(&format!("-select_streams {stream} {entries} {name}"));
        let packets = value["packets"].as_array().cloned().unwrap_or_default();
        packets
            .iter()
            .map(|packet| (micros(&packet["pts_time"]), packet["data_hash"].as_str().unwrap_or_default().to_owned()))
            .collect()
    }

    /// The streams as ffprobe shows them.
    pub fn streams(&self, name: &str) -> Vec<Value> {
        self.probe(&format!("-show_streams {name}"))["streams"].as_array().unwrap().clone()
    }

    /// The report that a run wrote.
    pub fn report(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }
}

/// A time that ffprobe shows in seconds, in microseconds.
pub fn micros(seconds: &Value) -> i64 {
    let seconds: f64 = seconds.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    (seconds * 1e6).round() as i64
}

fn probe(folder: &Path, arguments: &str) -> Value {
    let words = ["-v", "error", "-of", "json"].into_iter().chain(arguments.split_whitespace());
    let output = Command::new("ffprobe").current_dir(folder).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffprobe {arguments}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}
