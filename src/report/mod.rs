//! What a run tells at its end: the report for programs, the summary for people, and what the process cost.
//!
//! The field names are a contract and only grow. A report is filled by the command; nothing here measures a stage.

pub mod batch;
pub mod bench;
pub mod compare;
pub mod detections;
pub mod html;
pub mod inspect;
pub mod json;
pub mod media;
pub mod names;
pub mod network;
pub mod trace;
pub mod verdict;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

pub use json::write_json;
use trace::Moment;

/// Everything a run tells.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The input as the person named it.
    pub input: String,
    /// The output as the person named it.
    pub output: String,
    /// The status the program exits with.
    pub exit_status: u8,
    /// Frames taken from the source.
    pub frames_in: u64,
    /// Frames of the output.
    pub frames_out: u64,
    /// Frames that earlier, interrupted runs of the same command have made.
    pub frames_resumed: u64,
    /// Frames missing or damaged in the source.
    pub frames_damaged: u64,
    /// Frames written a second of wall time.
    pub fps: f64,
    /// Wall time from the first packet to the verified file, in seconds.
    pub wall_seconds: f64,
    /// CPU time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// The most memory that was resident at once, in bytes.
    pub peak_rss_bytes: u64,
    /// Where the network ran.
    pub device: String,
    /// What ran it.
    pub engine: String,
    /// How strongly the network acted; `null` where it cannot be told.
    pub strength: Option<f32>,
    /// Things that were found, over all frames that this very run made; `null` for networks that give pictures.
    pub detections: Option<u64>,
    /// The plan's hash, in hexadecimal digits.
    pub plan_hash: String,
    /// Width and height of the input in luma pixels.
    pub input_size: [usize; 2],
    /// Input luma pixels of all cores: the sum of the next four.
    pub pixels_total: u64,
    /// Pixels the network ran for.
    pub pixels_inferred: u64,
    /// Pixels that had not changed.
    pub pixels_reused: u64,
    /// Pixels found in the cache.
    pub pixels_cached: u64,
    /// Pixels nobody asked for.
    pub pixels_outside_roi: u64,
    /// Pixels inferred with their halo: what it cost.
    pub pixels_computed: u64,
    /// Calls of the engine.
    pub batches: u64,
    /// What was skipped, and what that did.
    pub skip: Skip,
    /// What was done with the cache; absent where none was used.
    pub cache: Option<Cache>,
    /// The stages by name.
    pub stages: BTreeMap<String, Stage>,
    /// The time of a frame from decoding to muxing.
    pub latency_ms: Latency,
    /// What the run waited for: disk, decode, inference, encode or window.
    pub bottleneck: String,
    /// The same in a sentence, with what to try.
    pub verdict: String,
    /// Minor page faults a frame over the second half of the run; absent for short ones.
    pub steady_minor_faults: Option<f64>,
    /// How the run went, a few hundred moments at most.
    pub timeline: Vec<Moment>,
    /// The output was opened again and found to be what it should be.
    pub verified: bool,
    /// What a person should hear, a line each.
    pub warnings: Vec<String>,
    /// What became of each stream of the input.
    pub streams: Vec<Stream>,
}

/// What was not computed again, when, where, and how near the rest is. All PSNR in dB, of luma; absent where nothing
/// differs or nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Skip {
    /// `exact`, `near` or `off`.
    pub mode: String,
    /// Of the frame whose input was furthest from what its output was made from.
    pub input_psnr_worst_frame: Option<f64>,
    /// The same of the worst tile, of about 32x32 pixels.
    pub input_psnr_worst_block: Option<f64>,
    /// Frames that were run in full as well.
    pub verified_frames: u64,
    /// Of the output, of the worst of those frames.
    pub output_psnr_worst_frame: Option<f64>,
    /// Of the worst of their blocks of 32x32 samples.
    pub output_psnr_worst_block: Option<f64>,
    /// That block's frame, column and row.
    pub worst_block: Option<[u64; 3]>,
    /// What the workers should have taken for a frame, in milliseconds of one core, by what windows took when they
    /// were tried; absent where frames were only run as a whole.
    pub predicted_ms_per_frame: Option<f64>,
    /// What they took, without their start.
    pub worker_ms_per_frame: f64,
    /// Computed pixels, halos included, as a share of all, frame by frame, or means of so many frames.
    pub computed_shares: Vec<f64>,
    /// Pixels that were not made anew as a share of all, in the same way.
    pub reused_shares: Vec<f64>,
    /// Frames of a share.
    pub frames_of_share: u64,
    /// How often each part of the picture was computed, as a share of all frames; rows of columns.
    pub computed_map: Vec<Vec<f64>>,
}

/// What a run did with the cache of results.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cache {
    /// Bytes that it can hold.
    pub capacity: u64,
    /// Records that were asked for, one a tile with anything new in it.
    pub asked_records: u64,
    /// Of these, records that took the place of computing: read, or of a tile that an earlier frame was computed for.
    pub found_records: u64,
    /// Records that were stored.
    pub stored_records: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Records that were found and could not be used.
    pub bad_records: u64,
}

/// How a stage spent its time, summed over its threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stage {
    /// Seconds at work.
    pub busy_seconds: f64,
    /// Seconds without input.
    pub starved_seconds: f64,
    /// Seconds without room for output.
    pub blocked_seconds: f64,
    /// Of the busy seconds, those spent waiting for disks and pipes.
    pub disk_seconds: f64,
    /// CPU seconds, the codec's own threads included.
    pub cpu_seconds: f64,
    /// Items done.
    pub items: u64,
    /// The busy seconds by what was done.
    pub parts: BTreeMap<&'static str, f64>,
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the frames took no longer.
    pub p50: f64,
    /// 95 of 100 frames took no longer.
    pub p95: f64,
    /// 99 of 100 frames took no longer.
    pub p99: f64,
}

impl Latency {
    /// The percentiles of these times in milliseconds, by the nearest rank; zeros without any.
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let rank =
            |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0);
        Latency { p50: rank(50), p95: rank(95), p99: rank(99) }
    }
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Its packets are in the output as they were.
    Copied,
    /// It is in the output in another codec that loses nothing but what `detail` names.
    Converted,
    /// It is not in the output.
    Dropped,
    /// It went through the network and the encoder.
    Encoded,
}

/// A stream of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Its index in the input.
    pub index: usize,
    /// Video, audio, subtitle, attachment or data.
    pub kind: String,
    /// The codec by FFmpeg's name.
    pub codec: String,
    /// What became of it.
    pub action: Action,
    /// How, or why.
    pub detail: String,
}

/// The summary for people, one fact a line, the first as x264 says it.
pub fn summary(report: &Report) -> String {
    let frames = |n: u64| if n == 1 { "1 frame".to_owned() } else { format!("{n} frames") };
    let speed = match report.fps {
        fps if fps > 0.0 && fps < 1.0 => format!("{:.2} s/frame", 1.0 / fps),
        fps => format!("{fps:.1} fps"),
    };
    let mut text = format!("encoded {}, {speed}\n", frames(report.frames_out));
    let mut tell = |line: String| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    if report.frames_damaged > 0 {
        tell(format!("damaged: {} of the source", frames(report.frames_damaged)));
    }
    if report.pixels_cached > 0 {
        let share = 100.0 * report.pixels_cached as f64 / report.pixels_total.max(1) as f64;
        tell(format!("from the cache: {share:.1} % of the pixels"));
    }
    if let Some(n) = report.detections {
        let of = if report.frames_resumed == 0 { "over all frames" } else { "over the frames that were made now" };
        tell(format!("found: {n} {of}"));
    }
    if !report.verdict.is_empty() {
        tell(report.verdict.clone());
    }
    tell(format!("verified: {}", if report.verified { "yes" } else { "no" }));
    match report.warnings.len() {
        0 => {}
        n => tell(format!("warnings: {n}")),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_begins_as_x264_ends() {
        let mut report = Report { frames_out: 250, fps: 41.2, verified: true, ..Report::default() };
        assert_eq!(summary(&report), "encoded 250 frames, 41.2 fps\nverified: yes\n");
        report.verdict = "encode-bound: why".into();
        report.warnings = vec!["a".into(), "b".into()];
        report.frames_damaged = 1;
        report.fps = 0.5;
        (report.pixels_cached, report.pixels_total) = (1, 8);
        let expected = "encoded 250 frames, 2.00 s/frame\ndamaged: 1 frame of the source\nfrom the cache: 12.5 % of the pixels\nencode-bound: why\nverified: yes\nwarnings: 2\n";
        assert_eq!(summary(&report), expected);
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let times = (1..=200).rev().map(f64::from).collect();
        assert_eq!(Latency::of(times), Latency { p50: 100.0, p95: 190.0, p99: 198.0 });
        assert_eq!(Latency::of(vec![7.0]), Latency { p50: 7.0, p95: 7.0, p99: 7.0 });
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
