//! The names that can be said, and who may say them.

/// Who may say a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every layer.
    Anywhere,
    /// Every layer but the project file, which may have come with somebody else's folder and must not be able to
    /// replace files, write new ones or open the network.
    Trusted,
    /// The command line alone.
    CommandLine,
}

/// A name that can be said.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The long flag, and the key in files; `VPROC_` and its capitals in the environment.
    pub name: &'static str,
    /// Who may say it.
    pub scope: Scope,
}

/// Names that say how a run goes, and not what comes out. Threads decide an encoder's bits; whoever needs those keeps
/// their number otherwise.
pub const OF_THE_RUN: &[&str] = &[
    "threads",
    "workers",
    "memory",
    "batch",
    "latency",
    "cpu-affinity",
    "no-resume",
    "segment-frames",
    "overwrite",
    "quiet",
    "verbose",
    "dry-run",
    "progress",
    "report",
    "trace",
    "detections",
    "cache",
    "cache-size",
    "no-cache",
];

/// Names that say how the video is encoded.
pub const OF_THE_ENCODER: &[&str] = &["encoder", "crf", "preset", "encoder-opt", "pix-fmt"];

/// All names, in the order in which a plan prints them.
pub const KEYS: &[Key] = &[
    key("input", Scope::CommandLine),
    key("output", Scope::CommandLine),
    key("model", Scope::Anywhere),
    key("model-config", Scope::Anywhere),
    key("strength", Scope::Anywhere),
    key("task", Scope::Anywhere),
    key("score", Scope::Anywhere),
    key("classes", Scope::Anywhere),
    key("video-stream", Scope::Anywhere),
    key("start", Scope::Anywhere),
    key("end", Scope::Anywhere),
    key("frames", Scope::Anywhere),
    key("fps", Scope::Anywhere),
    key("deinterlace", Scope::Anywhere),
    key("protocol", Scope::Trusted),
    key("engine", Scope::Anywhere),
    key("precision", Scope::Anywhere),
    key("device", Scope::Anywhere),
    key("threads", Scope::Anywhere),
    key("workers", Scope::Anywhere),
    key("memory", Scope::Anywhere),
    key("tile", Scope::Anywhere),
    key("batch", Scope::Anywhere),
    key("latency", Scope::Anywhere),
    key("cpu-affinity", Scope::Anywhere),
    key("skip", Scope::Anywhere),
    key("skip-psnr", Scope::Anywhere),
    key("verify-skip", Scope::Anywhere),
    key("roi", Scope::Anywhere),
    key("debug-overlay", Scope::Anywhere),
    key("cache", Scope::Trusted),
    key("cache-size", Scope::Trusted),
    key("no-cache", Scope::Anywhere),
    key("encoder", Scope::Anywhere),
    key("crf", Scope::Anywhere),
    key("preset", Scope::Anywhere),
    key("encoder-opt", Scope::Anywhere),
    key("pix-fmt", Scope::Anywhere),
    key("size", Scope::Anywhere),
    key("master", Scope::Trusted),
    key("no-resume", Scope::Anywhere),
    key("segment-frames", Scope::Anywhere),
    key("manifest-only", Scope::CommandLine),
    key("overwrite", Scope::Trusted),
    key("strict", Scope::Anywhere),
    key("quiet", Scope::Anywhere),
    key("verbose", Scope::Anywhere),
    key("dry-run", Scope::CommandLine),
    key("progress", Scope::Anywhere),
    key("report", Scope::Trusted),
    key("trace", Scope::Trusted),
    key("detections", Scope::Trusted),
];

const fn key(name: &'static str, scope: Scope) -> Key {
    Key { name, scope }
}
