//! What is asked of those who make a run piece by piece.

use std::path::PathBuf;

use super::ProgressMode;

/// What `vproc segment` is asked for.
#[derive(Clone, Debug)]
pub struct SegmentConfig {
    /// The manifest, or its folder.
    pub manifest: PathBuf,
    /// Which segment, from 0; `None` to look into the environment.
    pub number: Option<u64>,
    /// Tells which there are instead.
    pub list: bool,
    /// The list is one JSON object.
    pub json: bool,
    /// Workers that run the network, 1 or more.
    pub workers: Option<usize>,
    /// The memory that the process may take, in bytes.
    pub memory: Option<u64>,
    /// How progress is told.
    pub progress: ProgressMode,
    /// Nothing but errors is said.
    pub quiet: bool,
}

/// What `vproc join` is asked for.
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// The manifest, or its folder.
    pub manifest: PathBuf,
    /// An output that is there already is replaced.
    pub overwrite: bool,
    /// Nothing but errors is said.
    pub quiet: bool,
}
