//! The jobs that a frame needs, and which of them may go through the network together.

use super::recall::Found;
use super::survey::Need;
use crate::frame::Picture;
use crate::frame::canvas::Patch;
use crate::head::detect::Detection;
use crate::tile::Rect;
use crate::tile::cover::Choice;
use crate::tile::grid::Tile;

/// Tiles that one worker takes from the cache at a time.
const RECALLED: usize = 16;

/// A job for a worker.
#[derive(Clone)]
pub struct Job {
    /// The frame's index.
    pub frame: u64,
    /// The frame's picture.
    pub source: Picture,
    /// What to make of it.
    pub task: Task,
}

/// What a worker makes.
#[derive(Clone)]
pub enum Task {
    /// The whole output picture.
    Whole,
    /// A window through the network.
    Window {
        /// The index of its shape.
        shape: usize,
        /// The window and its core.
        tile: Tile,
    },
    /// A part of the whole picture.
    Band(Tile),
    /// Areas without the network, each in these planes, by their bits.
    Plain(Vec<(Rect, u8)>),
    /// Tiles that the cache has.
    Recall(Vec<Found>),
    /// The whole output picture, to compare with.
    Check,
}

/// What a worker made.
pub enum Piece {
    /// The whole output picture, and what was found in it.
    Whole(Picture, Vec<Detection>),
    /// Parts of it.
    Parts(Vec<Patch>),
    /// The whole output picture, to compare with.
    Check(Picture),
}

/// The jobs for what a frame needs, and for tiles that the cache has. `made` are the planes that the network makes,
/// `passed` the others; a whole picture is made in `bands` where there are some; a sampled frame is run in full as well.
pub fn jobs(
    frame: u64,
    source: &Picture,
    mut need: Need,
    found: Vec<Found>,
    (made, passed): (u8, u8),
    bands: &[Tile],
    is_sampled: bool,
) -> Vec<Job> {
    let job = |task| Job { frame, source: source.clone(), task };
    let mut jobs = match need.network {
        Choice::Whole if bands.len() < 2 => return vec![job(Task::Whole)],
        Choice::Whole => {
            if passed != 0 {
                need.passed.push(Rect::new(0, 0, source.width(), source.height()));
            }
            bands.iter().map(|&band| job(Task::Band(band))).collect::<Vec<_>>()
        }
        Choice::Windows(mut windows) => {
            // Those of one shape side by side, so that they can be joined.
            windows.sort_by_key(|(shape, _)| std::cmp::Reverse(*shape));
            windows.into_iter().map(|(shape, tile)| job(Task::Window { shape, tile })).collect()
        }
    };
    let outside = need.outside.into_iter().map(|area| (area, made));
    let plain: Vec<_> = outside.chain(need.passed.into_iter().map(|area| (area, passed))).collect();
    if !plain.is_empty() {
        jobs.push(job(Task::Plain(plain)));
    }
    jobs.extend(found.chunks(RECALLED).map(|found| job(Task::Recall(found.to_vec()))));
    if is_sampled {
        jobs.push(job(Task::Check));
    }
    jobs
}

/// Whether a job may join others: windows of one shape, up to the shape's limit.
pub fn joins(limits: &[usize], batch: &[&Job], job: &Job) -> bool {
    match (batch.first().map(|first| &first.task), &job.task) {
        (Some(Task::Window { shape, .. }), Task::Window { shape: of_job, .. }) => {
            shape == of_job && batch.len() < limits[*shape]
        }
        _ => false,
    }
}
