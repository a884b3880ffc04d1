//! What was found, for programs: a JSON object a line for each frame of the output.
//!
//! `{"frame": 0, "pts": 0.0, "detections": [{"box": [x1, y1, x2, y2], "score": 0.9, "class": 0, "label": "face", "track":
//! 1}]}`, boxes in pixels of the stored picture. Lines come while the run goes on; the file has its name when it is
//! complete. The field names are a contract and only grow.

use std::path::Path;

use serde::Serialize;

use super::json::Growing;
use crate::error::Result;
use crate::head::detect::Detection;

/// The file with a line a frame.
pub struct Lines {
    file: Growing,
    /// The names of the classes, by number; a class beyond them is called by its number.
    labels: Vec<String>,
    n_frames: u64,
}

/// A frame as it is written.
#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    pts: f64,
    detections: Vec<Found<'a>>,
}

/// A found thing as it is written.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(rename = "box")]
    area: [f64; 4],
    score: f64,
    class: usize,
    label: &'a str,
    track: u64,
}

impl Lines {
    /// Begins the file; a pipe or a device is written to as it is.
    pub fn create(path: &Path, labels: Vec<String>) -> Result<Lines> {
        let file = Growing::create(path, "list of detections")?;
        Ok(Lines { file, labels, n_frames: 0 })
    }

    /// Writes what the next frame of the output shows, each with the number that stays with it; it is shown at `pts` in
    /// seconds.
    pub fn frame(&mut self, pts: f64, found: &[Detection], tracks: &[u64]) -> Result<()> {
        let numbers: Vec<String> = found.iter().map(|found| found.class.to_string()).collect();
        let named = found.iter().zip(&numbers).zip(tracks);
        let detections = named.map(|((found, number), &track)| Found {
            area: found.area.map(|edge| rounded(edge, 100.0)),
            score: rounded(found.score, 10_000.0),
            class: found.class,
            label: self.labels.get(found.class).unwrap_or(number),
            track,
        });
        let line = Line { frame: self.n_frames, pts, detections: detections.collect() };
        self.n_frames += 1;
        self.file.write(|out| {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")
        })
    }

    /// Gives the complete file its name.
    pub fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

/// To the nearest of so many parts of one; never a negative nought.
fn rounded(value: f32, parts: f64) -> f64 {
    (f64::from(value) * parts).round() / parts + 0.0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::*;

    fn face(x: f32) -> Detection {
        Detection { area: [x, 2.0, x + 20.333, 30.126], score: 0.912_345, class: 0 }
    }

    fn lines(path: &Path) -> Vec<Value> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_a_frame_holds_what_the_contract_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.jsonl");
        fs::write(&path, "{}\n").unwrap();
        let mut file = Lines::create(&path, vec!["face \"a\"".into()]).unwrap();
        let other = Detection { area: [-0.001, f32::NAN, 1.0, 1.0], score: 1.0, class: 7 };
        file.frame(0.0, &[face(1.0), other], &[1, 2]).unwrap();
        file.frame(1001.0 / 24000.0, &[], &[]).unwrap();
        file.frame(2002.0 / 24000.0, &[face(3.25)], &[1]).unwrap();
        // What was there stays until all of the new one is.
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
        file.finish().unwrap();
        let first = concat!(
            r#"{"frame":0,"pts":0.0,"detections":[{"box":[1.0,2.0,21.33,30.13],"score":0.9123,"class":0,"#,
            r#""label":"face \"a\"","track":1},"#,
            r#"{"box":[0.0,null,1.0,1.0],"score":1.0,"class":7,"label":"7","track":2}]}"#
        );
        assert_eq!(fs::read_to_string(&path).unwrap().lines().next(), Some(first));
        let lines = lines(&path);
        assert_eq!(lines[1], json!({"frame": 1, "pts": 1001.0 / 24000.0, "detections": []}));
        assert_eq!((&lines[2]["frame"], &lines[2]["detections"][0]["track"]), (&json!(2), &json!(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_complete_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.jsonl");
        let mut file = Lines::create(&path, Vec::new()).unwrap();
        file.frame(0.0, &[face(1.0)], &[1]).unwrap();
        assert!(folder.path().join("d.jsonl.part").exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_planted_link_is_not_followed_and_errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join("d.jsonl.part")).unwrap();
        let error = Lines::create(&folder.path().join("d.jsonl"), Vec::new()).err().unwrap().to_string();
        assert!(error.contains("cannot write the list of detections") && error.contains("d.jsonl"), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let error = Lines::create(&folder.path().join("none/d.jsonl"), Vec::new()).err().unwrap().to_string();
        assert!(error.ends_with("none of the output does not exist; make it first"), "{error}");
        // A full disk.
        if let Ok(mut file) = Lines::create(Path::new("/dev/full"), Vec::new()) {
            let error = file.frame(0.0, &[], &[]).unwrap_err().to_string();
            assert!(error.starts_with("cannot write the list of detections /dev/full: "), "{error}");
        }
    }

    #[test]
    fn who_reads_a_pipe_has_a_line_at_once() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let mut file = Lines::create(Path::new(&path), Vec::new()).unwrap();
        file.frame(0.5, &[], &[]).unwrap();
        let expected = "{\"frame\":0,\"pts\":0.5,\"detections\":[]}\n";
        let mut got = vec![0; expected.len()];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), expected);
        file.finish().unwrap();
        assert!(!Path::new(&format!("{path}.part")).exists());
    }
}
