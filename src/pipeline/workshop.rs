//! What all workers of a run share: the network, how engines are made, the way between pictures and tensors.

use std::sync::OnceLock;

use super::recall::Recall;
use crate::frame::Pool;
use crate::head::detect::DetectHead;
use crate::head::image::ImageHead;
use crate::infer::EngineSettings;
use crate::model::Network;
use crate::tile::grid::Tile;
use crate::tile::roi::Roi;

/// How workers begin for those who measure them.
pub struct Start<'a> {
    /// Each runs its network once, so that its first frame finds everything there.
    pub warm: bool,
    /// Called by each worker that is ready, or could not be made.
    pub arrived: &'a (dyn Fn() + Sync),
}

/// What all workers of a run share.
pub struct Workshop<'a> {
    /// The network.
    pub network: &'a Network,
    /// How engines are made; the choice is decided.
    pub engine: EngineSettings,
    /// Between pictures and tensors.
    pub head: &'a ImageHead,
    /// The same for a network that finds things; what it is given passes `head` as it is.
    pub detect: Option<DetectHead>,
    /// The windows of a frame that is run as a whole, all of one size.
    pub tiles: Vec<Tile>,
    /// How much the network is wanted where; everywhere without one.
    pub roi: Option<&'a Roi>,
    /// Memory for finished pictures.
    pub pool: Pool,
    /// What was computed in other runs; nothing without one.
    pub recall: Option<Recall>,
    /// For those who measure.
    pub start: Option<Start<'a>>,
    /// The first frame that was found with NaN of the network's in it: weights that are none, or too few bits.
    pub nan: OnceLock<u64>,
}

impl<'a> Workshop<'a> {
    /// Without a region of interest, and nothing is known of other runs.
    pub fn new(network: &'a Network, engine: EngineSettings, head: &'a ImageHead, tiles: Vec<Tile>) -> Self {
        Workshop {
            network,
            engine,
            head,
            detect: None,
            tiles,
            roi: None,
            pool: Pool::new(),
            recall: None,
            start: None,
            nan: OnceLock::new(),
        }
    }

    /// What a person should hear of NaN.
    pub fn nan_warning(&self) -> Option<String> {
        let frame = self.nan.get()?;
        let what = if self.detect.is_some() { "nothing is found there" } else { "it comes out black" };
        Some(format!("the network gives NaN, first seen in frame {frame}, and {what}; try --precision f32 or mend it"))
    }

    /// A frame has some; the first that comes is told at once.
    pub(super) fn see_nan(&self, frame: u64) {
        if self.nan.set(frame).is_ok()
            && let Some(warning) = self.nan_warning()
        {
            tracing::warn!("{warning}");
        }
    }
}
