//! What is decided beforehand about an output file. Written by the command, read by all that make and check the file.

use std::path::PathBuf;

use super::VideoFacts;
use super::cut::Cut;
use crate::av::{Chapter, InputOptions};
use crate::frame::ColorTags;
use crate::plan::container::{Container, StreamPlan};
use crate::plan::encoding::EncodingPlan;

/// Everything that is decided about an output file.
#[derive(Clone, Debug)]
pub struct FileJob {
    /// The container that the video came from and whose other streams are kept; `None` for raw video and pictures.
    pub input: Option<PathBuf>,
    /// How to open it.
    pub input_options: InputOptions,
    /// The final name.
    pub output: PathBuf,
    /// The container written.
    pub container: Container,
    /// FFmpeg's name of its muxer.
    pub muxer: String,
    /// What becomes of each stream of the input; empty without one.
    pub streams: Vec<StreamPlan>,
    /// The whole file's metadata.
    pub metadata: Vec<(String, String)>,
    /// The chapters.
    pub chapters: Vec<Chapter>,
    /// The processed video; its tags are those of the output.
    pub video: VideoFacts,
    /// What the codes of the frames mean.
    pub frame_color: ColorTags,
    /// How it is encoded.
    pub encoding: EncodingPlan,
    /// The part of the input that is kept.
    pub cut: Option<Cut>,
    /// The input's packets carry the time stamps that the output must have (not a raw stream, not pictures).
    pub has_input_pts: bool,
}
