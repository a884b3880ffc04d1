//! The manifest: what a segmented run is of, and which segments are finished.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::packets::Print;
use crate::config::Tuning;
use crate::source::{Damage, Source};

/// The version of this form.
pub const FORMAT: u32 = 3;

/// What a segmented run is of, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form.
    pub format: u32,
    /// What was asked for, as it was said, for processes that make one segment; `None` where it cannot be written here.
    pub asked: Option<Vec<(String, Vec<String>)>>,
    /// Frames expected, where known.
    pub n_frames: Option<u64>,
    /// All that decides the output's bits, by name: the input, the network, the encoder, ...
    pub facts: Vec<(String, String)>,
    /// What decides bits and was not said by a person, but found out or chosen for the machine.
    pub settings: Tuning,
    /// The engine among them was found by trying which is the fastest.
    pub is_engine_tried: bool,
    /// A segment begins at every frame whose index is a multiple of this.
    pub segment_frames: u64,
    /// It was asked for alone, for other processes to make the segments: they may be at work, whatever is finished.
    pub is_for_others: bool,
    /// Finished segments by number.
    pub segments: BTreeMap<u64, Done>,
    /// What the source said at its end, once it was there.
    pub end: Option<SourceEnd>,
    /// The output, complete and about to get its name.
    pub joined: Option<FileIdentity>,
    /// What the join found lost.
    #[serde(default)]
    pub lost: Lost,
}

/// What the input's container lists and nobody got, as the check of an output finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// Pictures.
    pub missing: u64,
    /// Packets of the other streams.
    pub lost_packets: u64,
}

/// A finished segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Its frames.
    pub frames: u64,
    /// Its file's bytes.
    pub bytes: u64,
    /// The XXH3 hash of its file, 128 bits in hexadecimal digits.
    pub hash: String,
    /// The hash of its frames' pts in rising order.
    pub times: u64,
    /// Kinds of side data that its frames had and the encoder has not taken along.
    pub lost_side_data: Vec<i32>,
    /// The hash of its last frames as they were decoded; `None` for a short segment, or where something was damaged.
    pub mark: Option<u64>,
}

/// What a source says at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEnd {
    /// Its frames.
    pub n_frames: u64,
    /// Frames that were missing or damaged.
    pub n_damaged: u64,
    /// What was damaged, a line each.
    pub damage: Vec<String>,
    /// What a person should hear about it.
    pub warnings: Vec<String>,
}

impl SourceEnd {
    /// What `source`, which has given all its frames, says.
    pub fn of(source: &dyn Source, n_frames: u64) -> SourceEnd {
        let Damage { n_frames: n_damaged, lines: damage } = source.damage();
        SourceEnd { n_frames, n_damaged, damage, warnings: source.warnings() }
    }
}

/// A file as the file system knows it; its name may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl FileIdentity {
    /// That of an open file.
    pub fn of(file: &File) -> std::io::Result<FileIdentity> {
        file.metadata().map(|facts| FileIdentity::from(&facts))
    }
}

impl From<&std::fs::Metadata> for FileIdentity {
    fn from(facts: &std::fs::Metadata) -> Self {
        FileIdentity {
            device: facts.dev(),
            inode: facts.ino(),
            bytes: facts.len(),
            seconds: facts.mtime(),
            nanoseconds: facts.mtime_nsec(),
        }
    }
}

impl Manifest {
    /// The manifest of a run that has done nothing yet, and nothing of what was asked.
    pub fn new(facts: Vec<(String, String)>, settings: Tuning, segment_frames: u64) -> Manifest {
        Manifest { format: FORMAT, facts, settings, segment_frames, ..Manifest::default() }
    }

    /// What the run is known by to those who note what they have made of it.
    pub fn run(&self) -> String {
        let decided = format!("{:?} {}", self.facts, self.segment_frames);
        format!("{:032x}", xxh3_128(decided.as_bytes()))
    }

    /// How many segments there are, as far as known: by the source's end, else by the frames expected.
    pub fn n_segments(&self) -> Option<u64> {
        let n_frames = self.end.as_ref().map(|end| end.n_frames).or(self.n_frames);
        n_frames.map(|n| n.div_ceil(self.segment_frames))
    }

    /// Frames and packets that the source had lost, once the output is joined.
    pub fn n_lost(&self) -> u64 {
        let n_damaged = self.end.as_ref().map_or(0, |end| end.n_damaged);
        n_damaged.max(self.lost.missing) + self.lost.lost_packets
    }

    /// What of the segments does not fit this end of the source, as a sentence.
    pub fn contradiction(&self, end: &SourceEnd) -> Option<String> {
        let n = end.n_frames.div_ceil(self.segment_frames);
        let expected = |number: u64| match number < n {
            true => Some((end.n_frames - number * self.segment_frames).min(self.segment_frames)),
            false => None,
        };
        let got = |number: u64| self.segments.get(&number).map(|done| done.frames);
        let beyond = self.segments.range(n..).map(|(number, _)| *number);
        let number = (0..n).chain(beyond).find(|&number| got(number) != expected(number))?;
        let what = match (expected(number), got(number)) {
            (None, _) => format!("segment {number} lies beyond"),
            (Some(_), None) => format!("segment {number} is not there"),
            (Some(expected), Some(got)) => format!("segment {number} has {got} frames, not {expected}"),
        };
        Some(format!("the input has ended after {} frames, and {what}", end.n_frames))
    }

    /// Whether nothing is lost with it: no segment is finished, and nobody else makes one.
    pub fn is_idle(&self) -> bool {
        self.segments.is_empty() && self.joined.is_none() && !self.is_for_others
    }

    /// The first fact that is another one, as a sentence.
    pub fn difference(&self, facts: &[(String, String)]) -> Option<String> {
        let of = |facts: &[(String, String)], name: &str| {
            facts.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let names = facts.iter().chain(&self.facts).map(|(name, _)| name);
        let (name, was, is) =
            names.map(|name| (name, of(&self.facts, name), of(facts, name))).find(|(_, was, is)| was != is)?;
        // A file's size, time and hash are for the program.
        let is_file = |value: &str| value.contains(" bytes of ");
        if name == "input" && is_file(&was) && is_file(&is) {
            return Some("the input was another file, or has changed since".to_owned());
        }
        Some(format!("the {name} was {was}, and is {is}"))
    }
}

impl Done {
    /// A finished segment with this file.
    pub fn new(frames: u64, print: Print, times: u64, lost_side_data: Vec<i32>) -> Done {
        Done { frames, bytes: print.bytes, hash: format!("{:032x}", print.hash), times, lost_side_data, mark: None }
    }

    /// Whether this is its file.
    pub fn is(&self, print: Print) -> bool {
        self.bytes == print.bytes && self.hash == format!("{:032x}", print.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_do_not_fit_the_end_are_named() {
        let mut manifest = Manifest::new(Vec::new(), Tuning::default(), 10);
        let end = SourceEnd { n_frames: 25, ..SourceEnd::default() };
        let mut has = |segments: &[(u64, u64)]| {
            let done = |&(number, frames)| (number, Done::new(frames, Print { bytes: 1, hash: 2 }, 3, Vec::new()));
            manifest.segments = segments.iter().map(done).collect();
            manifest.contradiction(&end).unwrap_or_default()
        };
        assert_eq!(has(&[(0, 10), (1, 10), (2, 5)]), "");
        assert!(has(&[(0, 10), (1, 9), (2, 5)]).ends_with("segment 1 has 9 frames, not 10"));
        assert!(has(&[(0, 10), (1, 10), (2, 10)]).ends_with("after 25 frames, and segment 2 has 10 frames, not 5"));
        assert!(has(&[(0, 10), (2, 5)]).ends_with("segment 1 is not there"));
        assert!(has(&[(0, 10), (1, 10), (2, 5), (3, 1)]).ends_with("segment 3 lies beyond"));
    }

    #[test]
    fn what_was_lost_is_known_after_the_join_and_an_older_manifest_tells_of_nothing() {
        let end = SourceEnd { n_damaged: 3, ..SourceEnd::default() };
        let manifest = Manifest { end: Some(end), ..Manifest::new(Vec::new(), Tuning::default(), 10) };
        let mut value = serde_json::to_value(&manifest).unwrap();
        value.as_object_mut().unwrap().remove("lost");
        assert_eq!(serde_json::from_value::<Manifest>(value).unwrap(), manifest);
        assert_eq!(manifest.n_lost(), 3);
        let lost = Lost { missing: 5, lost_packets: 2 };
        assert_eq!(Manifest { lost, ..manifest }.n_lost(), 7);
    }
}
