//! Which part of the machine a run waited for, and what a person can do about it.
//!
//! The rules, in order: the disk, if the thread that reads or writes spent most of the run waiting for it; else, of
//! the stages that were busy nearly all the time, the one with the most CPU time where the CPUs were full, and the
//! busiest where they were not; but if no stage was busy and the frames under way had been limited, that limit.

/// A stage is the bound only if it was busy for at least this share of the run.
const BUSY: f64 = 0.75;

/// CPUs are full from this share on; the rest goes to whatever else the machine does.
const FULL: f64 = 0.85;

/// Shares that differ less are equal, and CPU time decides.
const EQUAL: f64 = 0.05;

/// What one stage did, as shares of the run's wall time and of its threads' number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageShare {
    /// At work.
    pub busy: f64,
    /// Waiting for disks and pipes, as part of being at work.
    pub disk: f64,
    /// CPU time in seconds, codecs' own threads included.
    pub cpu_seconds: f64,
}

/// What a verdict is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares<'a> {
    /// Taking frames from the source.
    pub decode: StageShare,
    /// The workers.
    pub infer: StageShare,
    /// Giving frames to the sink.
    pub encode: StageShare,
    /// Wall time of the chain in seconds.
    pub wall_seconds: f64,
    /// Processors there are.
    pub cores: usize,
    /// Frames that may be under way at once.
    pub window: usize,
    /// Memory or latency allowed fewer workers or frames than there was work for.
    pub is_limited: bool,
    /// The share of the processors that other programs used meanwhile.
    pub others: f64,
    /// What runs the network.
    pub engine: &'a str,
    /// The encoder, for output files.
    pub encoder: Option<&'a str>,
}

/// What a run was bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Reading or writing.
    Disk,
    /// The source.
    Decode,
    /// The network.
    Inference,
    /// The sink.
    Encode,
    /// The number of frames under way.
    Window,
}

impl Bound {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Disk => "disk",
            Bound::Decode => "decode",
            Bound::Inference => "inference",
            Bound::Encode => "encode",
            Bound::Window => "window",
        }
    }
}

/// What the run was bound by.
pub fn bound(shares: &Shares) -> Bound {
    if shares.decode.disk.max(shares.encode.disk) > 0.5 {
        return Bound::Disk;
    }
    let stages = [(Bound::Decode, shares.decode), (Bound::Inference, shares.infer), (Bound::Encode, shares.encode)];
    let is_full = cpu_share(shares) >= FULL;
    let busiest = stages.iter().map(|(_, stage)| stage.busy).fold(0.0, f64::max);
    let least = match (is_full, busiest >= BUSY) {
        (false, false) if shares.is_limited => return Bound::Window,
        (false, _) => busiest - EQUAL,
        (true, true) => BUSY,
        (true, false) => 0.0,
    };
    let candidates = stages.into_iter().filter(|(_, stage)| stage.busy >= least);
    let most = candidates.max_by(|a, b| a.1.cpu_seconds.total_cmp(&b.1.cpu_seconds));
    match most {
        // The workers were busy because there were too few of them.
        Some((Bound::Inference, _)) if shares.is_limited && !is_full => Bound::Window,
        Some((bound, _)) => bound,
        None => Bound::Window,
    }
}

/// The share of all processors' time that was used.
fn cpu_share(shares: &Shares) -> f64 {
    cpu_seconds(shares) / (shares.wall_seconds * shares.cores.max(1) as f64).max(1e-9)
}

fn cpu_seconds(shares: &Shares) -> f64 {
    [shares.decode, shares.infer, shares.encode].iter().map(|stage| stage.cpu_seconds).sum()
}

/// The bound in a sentence, with figures and with what to try.
pub fn sentence(shares: &Shares) -> String {
    match shares.others {
        others if others > 0.15 => {
            format!("{}; other programs used {:.0} % of the CPUs meanwhile", advice(shares), others * 100.0)
        }
        _ => advice(shares),
    }
}

fn advice(shares: &Shares) -> String {
    let percent = |share: f64| format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0));
    let Shares { decode, infer, encode, window, engine, .. } = shares;
    let of_cpu = |stage: &StageShare| percent(stage.cpu_seconds / cpu_seconds(shares).max(1e-9));
    let idle = |stage: &StageShare| percent(1.0 - stage.busy);
    match bound(shares) {
        Bound::Disk if decode.disk > encode.disk => format!(
            "disk-bound: {} of the time went into waiting for the input; copy it to a faster disk first",
            percent(decode.disk)
        ),
        Bound::Disk => format!(
            "disk-bound: {} of the time went into waiting for the output; write to a faster disk, or less",
            percent(encode.disk)
        ),
        Bound::Decode => format!(
            "decode-bound: the source busy {}, {} of the CPU time, inference idle {}; more --threads help codecs with \
             frame threads",
            percent(decode.busy),
            of_cpu(decode),
            idle(infer)
        ),
        Bound::Inference => format!(
            "inference-bound: {engine} busy {}, {} of the CPU time, decode idle {}, output idle {}; a smaller network \
             or another --engine is faster",
            percent(infer.busy),
            of_cpu(infer),
            idle(decode),
            idle(encode)
        ),
        Bound::Encode => match shares.encoder {
            Some(encoder) => format!(
                "encode-bound: {encoder} busy {}, {} of the CPU time, inference idle {}; try a faster --preset or a \
                 hardware encoder",
                percent(encode.busy),
                of_cpu(encode),
                idle(infer)
            ),
            None => format!(
                "encode-bound: the output busy {}, {} of the CPU time, inference idle {}",
                percent(encode.busy),
                of_cpu(encode),
                idle(infer)
            ),
        },
        Bound::Window => format!(
            "window-bound: at most {window} {} under way, {} of the CPUs idle; allow more with --memory, --latency or \
             --workers",
            if *window == 1 { "frame" } else { "frames" },
            percent(1.0 - cpu_share(shares))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(busy: f64, cpu_seconds: f64) -> StageShare {
        StageShare { busy, disk: 0.0, cpu_seconds }
    }

    fn shares(decode: StageShare, infer: StageShare, encode: StageShare) -> Shares<'static> {
        Shares {
            decode,
            infer,
            encode,
            wall_seconds: 10.0,
            cores: 2,
            window: 7,
            is_limited: false,
            others: 0.0,
            engine: "ort 1.31.1 cpu",
            encoder: Some("libx264"),
        }
    }

    #[test]
    fn full_processors_belong_to_the_stage_that_uses_most_of_them() {
        // The encoder's thread waits for its own threads, which get less of the processors than the workers.
        let all_busy = shares(stage(0.1, 0.5), stage(0.97, 13.0), stage(0.99, 6.0));
        assert_eq!(bound(&all_busy), Bound::Inference);
        let all_busy = shares(stage(0.1, 0.5), stage(0.80, 6.0), stage(0.99, 13.0));
        assert_eq!(bound(&all_busy), Bound::Encode);
    }

    #[test]
    fn with_idle_processors_the_busiest_stage_is_the_bound() {
        assert_eq!(bound(&shares(stage(0.99, 9.9), stage(0.3, 3.0), stage(0.1, 1.0))), Bound::Decode);
        assert_eq!(bound(&shares(stage(0.1, 0.1), stage(0.82, 8.0), stage(0.99, 4.0))), Bound::Encode);
        assert_eq!(bound(&shares(stage(0.1, 0.1), stage(0.99, 9.0), stage(0.97, 2.0))), Bound::Inference);
    }

    #[test]
    fn where_nobody_is_busy_more_frames_would_help() {
        let idle = shares(stage(0.2, 2.0), stage(0.45, 9.0), stage(0.3, 3.0));
        // Nobody limited it: threads wait for processors that others use.
        assert_eq!(bound(&idle), Bound::Inference);
        let limited = Shares { is_limited: true, ..idle };
        assert_eq!(bound(&limited), Bound::Window);
        assert!(sentence(&limited).starts_with("window-bound: at most 7 frames under way, 30 % of the CPUs idle"));
        let one = Shares { is_limited: true, ..shares(stage(0.2, 2.0), stage(0.99, 9.0), stage(0.3, 3.0)) };
        assert_eq!(bound(&one), Bound::Window);
        assert_eq!(bound(&Shares { is_limited: false, ..one.clone() }), Bound::Inference);
        assert!(sentence(&Shares { others: 0.4, ..one }).ends_with("; other programs used 40 % of the CPUs meanwhile"));
    }

    #[test]
    fn waiting_for_the_disk_is_not_work() {
        let mut slow = shares(stage(0.1, 0.1), stage(0.1, 1.0), stage(0.98, 0.5));
        slow.encode.disk = 0.9;
        assert_eq!(bound(&slow), Bound::Disk);
        assert!(sentence(&slow).contains("90 % of the time went into waiting for the output"));
        slow.encode.disk = 0.0;
        slow.decode.disk = 0.6;
        assert!(sentence(&slow).contains("waiting for the input"));
    }

    #[test]
    fn a_person_hears_who_was_busy_and_who_was_not() {
        let text = sentence(&shares(stage(0.1, 1.0), stage(0.59, 5.0), stage(0.97, 9.0)));
        assert_eq!(
            text,
            "encode-bound: libx264 busy 97 %, 60 % of the CPU time, inference idle 41 %; try a faster --preset or a \
             hardware encoder"
        );
    }
}
