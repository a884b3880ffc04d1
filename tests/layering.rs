//! The import order of the house: rooms import only rooms below their own floor, or on it where that is written here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The floors from the ground up. A room may import any room on a lower floor.
const FLOORS: &[&[&str]] = &[
    &["error", "fatal", "time", "interrupt", "sequence", "meter", "pipe"],
    &["frame", "tile"],
    &["config"],
    &["av", "model", "simd", "gpu", "quality"],
    &["source", "infer", "head", "cache"],
    &["plan"],
    &["sink", "measure"],
    &["report", "segment"],
    &["pipeline"],
    &["sandbox"],
    &["command"],
    &["cli"],
];

/// Rooms of one floor that may import each other: who, whom, why.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("time", "error", "a time may be refused"),
    ("sequence", "error", "a pattern may be refused"),
    ("interrupt", "error", "signals may be refused by the system"),
    ("pipe", "error", "a pipe may be refused"),
    ("pipe", "interrupt", "a reader is waited for until a signal comes"),
    ("frame", "tile", "a picture is cut by rectangles"),
    ("measure", "sink", "the cut that a sink applies is measured beforehand"),
];

/// Which rooms alone may name a dependency.
const HOMES: &[(&str, &[&str])] = &[
    ("ffmpeg_next", &["av"]),
    ("ort", &["infer"]),
    ("prost", &["model"]),
    ("cudarc", &["gpu"]),
    ("crossbeam_channel", &["pipeline"]),
    ("crossbeam_queue", &["frame"]),
    ("memmap2", &["source", "cache"]),
    ("libc", &["cache"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("image", &["source", "sink", "report"]),
    ("base64", &["report"]),
    ("landlock", &["sandbox"]),
    ("signal_hook", &["interrupt", "fatal"]),
    ("half", &["model", "head", "simd", "infer"]),
];

/// Files that may hold `unsafe`, as folders or files below `src`.
const UNSAFE: &[&str] = &[
    "av/",
    "cache/map.rs",
    "fatal.rs",
    "frame/pool.rs",
    "gpu/enabled.rs",
    "head/image/tests/kernels",
    "source/y4m",
    "infer/ort",
    "infer/native/kernel/avx",
    "infer/native/kernel/amx.rs",
    "simd/compile.rs",
    "simd/compare/avx",
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    files
}

/// The room a file belongs to; `None` for the crate's roots.
fn room(file: &Path) -> Option<String> {
    let first = file.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    (!matches!(name.as_str(), "lib" | "main")).then_some(name)
}

/// The lines of a file that are neither comments nor tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// What a line names of the crate: `crate::room...`, also several of them.
fn imports(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    line.match_indices("crate::").map(|(at, found)| word(&line[at + found.len()..])).filter(|w| !w.is_empty()).collect()
}

#[test]
fn imports_run_down_only() {
    let floor: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor))).collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(room) = room(&file) else { continue };
        if file.to_string_lossy().ends_with("tests.rs") {
            continue;
        }
        let Some(own) = floor.get(room.as_str()) else {
            wrong.push(format!("{} is on no floor", file.display()));
            continue;
        };
        for other in code(&text).flat_map(imports) {
            let is_neighbour = NEIGHBOURS.iter().any(|(who, whom, _)| *who == room && *whom == other);
            match floor.get(other.as_str()) {
                Some(their) if their < own || other == room || is_neighbour => {}
                Some(_) => wrong.push(format!("{} imports {other}, which is not below it", file.display())),
                None => wrong.push(format!("{} imports {other}, which is on no floor", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dependencies_live_in_their_homes() {
    for (file, text) in sources() {
        let Some(room) = room(&file) else { continue };
        for (name, homes) in HOMES {
            let names_it = code(&text).any(|line| {
                line.match_indices(&format!("{name}::")).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                })
            });
            assert!(!names_it || homes.contains(&room.as_str()), "{} names {name}", file.display());
        }
    }
}

#[test]
fn unsafe_stays_in_the_named_files() {
    for (file, text) in sources() {
        let has = code(&text).any(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe"));
        let name = file.to_string_lossy();
        assert!(!has || UNSAFE.iter().any(|place| name.starts_with(place)), "{name} holds unsafe");
    }
}

#[test]
fn files_stay_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > 700)
        .collect();
    assert!(long.is_empty(), "over 700 lines: {long:?}");
}
