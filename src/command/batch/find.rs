//! Which files a batch is about: those that were named, and the videos in folders that were named.
//!
//! In folders a video is told by its extension; a file that was named itself, or by a glob, is taken for one whatever it
//! is called. The batch's own outputs are never its inputs. A folder that cannot be listed is passed over and told.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::glob;
use crate::error::{Error, Kind, Result};
use crate::report::batch::{List, NAME, text_of};

/// Extensions of containers and of raw streams that FFmpeg reads, in lower case.
const VIDEOS: &[&str] = &[
    "264", "265", "266", "3g2", "3gp", "amv", "asf", "av1", "avc", "avi", "divx", "dv", "f4v", "flv", "gxf", "h261",
    "h263", "h264", "h265", "hevc", "ivf", "m1v", "m2t", "m2ts", "m2v", "m4v", "mj2", "mjpeg", "mjpg", "mkv", "mod",
    "mov", "mp4", "mpe", "mpeg", "mpg", "mpv", "mts", "mxf", "nsv", "nut", "obu", "ogm", "ogv", "qt", "rm", "rmvb",
    "tod", "trp", "ts", "vc1", "vob", "vvc", "webm", "wmv", "wtv", "y4m",
];

/// A file to be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// As it is reached from the working folder.
    pub path: PathBuf,
    /// From the root without links, where it is there.
    pub place: PathBuf,
    /// Its folder below the one that was named; empty for a file that was named itself.
    pub folder: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Each file once, in the order named, folders sorted by name.
    pub inputs: Vec<Input>,
    /// Files in folders that are no videos.
    pub n_others: usize,
    /// Outputs of this batch among what was named.
    pub n_own: usize,
    /// Folders that cannot be listed, and why.
    pub unread: Vec<(PathBuf, Error)>,
}

/// The folder of outputs, which may lie inside a folder of inputs or be one.
pub struct Own<'a> {
    /// From the root without links.
    pub place: &'a Path,
    /// What lies in it.
    pub list: &'a List,
}

impl Own<'_> {
    /// Whether a file is an output of this batch, the beginning of one, or the list itself.
    fn made(&self, place: &Path) -> bool {
        let Ok(name) = place.strip_prefix(self.place) else { return false };
        let whole =
            if name.extension() == Some(OsStr::new("part")) { name.with_extension("") } else { name.to_owned() };
        whole == Path::new(NAME) || self.list.get(&text_of(whole.as_os_str())).is_some()
    }
}

/// Looks for all files.
pub fn find(named: &[OsString], recursive: bool, own: &Own) -> Result<Found> {
    let mut search = Search { recursive, own, found: Found::default(), seen: HashSet::new() };
    for raw in named {
        let path = Path::new(raw);
        if raw == "-" {
            let message = "a batch reads files, and '-' is none; run 'vproc - -o OUTPUT' instead";
            return Err(Error::new(Kind::Usage, message));
        }
        if fs::symlink_metadata(path).is_ok() || !glob::is_glob(path) {
            search.take_named(path)?;
            continue;
        }
        let mut unread = Vec::new();
        for path in glob::expand(path, &mut unread) {
            search.take_named(&path)?;
        }
        unread.into_iter().for_each(|(folder, error)| search.pass_over(&folder, error));
    }
    Ok(search.found)
}

struct Search<'a> {
    recursive: bool,
    own: &'a Own<'a>,
    found: Found,
    /// Places of those found, each of which is taken once however often it is named.
    seen: HashSet<PathBuf>,
}

impl Search<'_> {
    fn take_named(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() { self.take_folder(path, Path::new("")) } else { self.take(path, Path::new("")) }
    }

    fn take(&mut self, path: &Path, folder: &Path) -> Result<()> {
        // What is not there is an input all the same, and fails with the rest of the world watching.
        let place = match path.canonicalize() {
            Ok(place) => place,
            Err(_) => {
                std::path::absolute(path).map_err(|error| Error::io(format!("find {}", path.display()), error))?
            }
        };
        if self.own.made(&place) {
            self.found.n_own += 1;
        } else if self.seen.insert(place.clone()) {
            self.found.inputs.push(Input { path: path.to_owned(), place, folder: folder.to_owned() });
        }
        Ok(())
    }

    /// Takes the videos of a folder, which is `below` the one that was named.
    fn take_folder(&mut self, path: &Path, below: &Path) -> Result<()> {
        let mut names = match glob::names(path) {
            Ok(names) => names,
            Err(error) => {
                self.pass_over(path, error);
                return Ok(());
            }
        };
        names.retain(|name| !glob::is_hidden(name));
        names.sort();
        for name in names {
            let inside = path.join(&name);
            let Ok(facts) = fs::symlink_metadata(&inside) else { continue };
            // Folders behind links are not entered: they may lead in a circle.
            if facts.is_dir() {
                if self.recursive && !is_same(&facts, self.own.place) {
                    self.take_folder(&inside, &below.join(&name))?;
                }
            } else if inside.is_file() {
                match is_video(&name) {
                    true => self.take(&inside, below)?,
                    false if inside.canonicalize().is_ok_and(|place| self.own.made(&place)) => {}
                    false => self.found.n_others += 1,
                }
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, folder: &Path, error: io::Error) {
        let error = Error::io(format!("list the folder {}", folder.display()), error);
        self.found.unread.push((folder.to_owned(), error));
    }
}

fn is_same(facts: &Metadata, other: &Path) -> bool {
    fs::metadata(other).is_ok_and(|other| (other.dev(), other.ino()) == (facts.dev(), facts.ino()))
}

fn is_video(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    VIDEOS.contains(&extension.as_str())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;
    use crate::report::batch::Entry;
    use crate::sandbox::{Grants, Status, apply};

    fn search(root: &Path, named: &[&str], recursive: bool) -> (Vec<String>, usize, usize) {
        let mut list = List::read(&root.join("out")).unwrap();
        list.put(Entry { output: "own.mkv".into(), ..Entry::default() });
        let place = root.join("out").canonicalize().unwrap();
        let named: Vec<OsString> = named.iter().map(|name| root.join(name).into()).collect();
        let found = find(&named, recursive, &Own { place: &place, list: &list }).unwrap();
        let names = found.inputs.iter().map(|input| input.path.strip_prefix(root).unwrap().display().to_string());
        (names.collect(), found.n_others, found.n_own)
    }

    #[test]
    fn folders_give_their_videos_and_files_are_taken_as_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in
            ["b.MKV", "a.mp4", "notes.txt", ".hidden.mp4", "sub/c.ts", "out/own.mkv", "out/strange.mkv", "x.dat"]
        {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
        symlink(root, root.join("sub/circle")).unwrap();
        symlink(root.join("a.mp4"), root.join("link.mp4")).unwrap();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(search(root, &[""], false), (words("a.mp4 b.MKV"), 2, 0));
        assert_eq!(search(root, &[""], true), (words("a.mp4 b.MKV sub/c.ts"), 2, 0));
        // The folder of outputs may be named itself; what the batch made is left alone.
        assert_eq!(search(root, &["out"], false), (words("out/strange.mkv"), 0, 1));
        assert_eq!(search(root, &["x.dat", "none", "*.mp4", "a.mp4"], false), (words("x.dat none a.mp4"), 0, 0));
        assert_eq!(search(root, &["*.none"], false), (vec![], 0, 0));
    }

    #[test]
    fn folders_that_cannot_be_listed_are_told_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for name in ["open/a.mp4", "closed/b.mp4", "closed/sub/c.mp4"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), name).unwrap();
        }
        // The sandbox keeps out whoever is root too, and cannot be left again.
        let confined = thread::spawn(move || {
            let grants = Grants { read: vec![root.join("open")], ..Grants::default() };
            if apply(&grants) != Status::Full {
                println!("skipped: this kernel keeps nobody out");
                return;
            }
            let list = List::default();
            let own = Own { place: Path::new("/nowhere"), list: &list };
            let named = ["closed", "closed/*/*.mp4", "open"].map(|name| root.join(name).into_os_string());
            let found = find(&named, true, &own).unwrap();
            let paths: Vec<_> = found.inputs.iter().map(|input| input.path.clone()).collect();
            assert_eq!(paths, [root.join("open/a.mp4")]);
            let told: Vec<_> = found.unread.iter().map(|(folder, error)| (folder.clone(), error.kind())).collect();
            assert_eq!(told, vec![(root.join("closed"), Kind::Io); 2]);
        });
        confined.join().unwrap();
    }

    #[test]
    fn the_list_of_extensions_is_sorted() {
        assert!(VIDEOS.is_sorted());
    }
}
