//! What a run takes in memory, by estimate: the decoder's frames, the frames under way, the workers' windows, what the
//! encoders hold back, and the cache's index.

use super::Threads;
use super::encoding::EncodingPlan;
use super::windows::Windows;
use crate::error::{Error, Kind, Result};
use crate::frame::PixelFormat;
use crate::head::image::ImageHead;
use crate::infer::Working;
use crate::model::NetworkFacts;
use crate::source::SourceFacts;

/// The program itself, its libraries and small change.
const BASE: u64 = 128 << 20;

/// What a run takes, in bytes, apart by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    decoder: u64,
    /// That of the output, and that of the master copy.
    encoder: u64,
    /// The index, which a long run reads all over; the kernel may take parts of it back.
    cache: u64,
    /// One worker's.
    worker: u64,
    /// One frame under way, before and after the network.
    frame: u64,
}

impl Needs {
    /// The needs of a run.
    pub fn new(
        source: &SourceFacts,
        of_window: WindowBytes,
        windows: &Windows,
        (format, made_size, output_size): (PixelFormat, (usize, usize), (usize, usize)),
        threads: &Threads,
        kept: Kept,
    ) -> Needs {
        let input = picture_bytes(source.format, (source.width, source.height));
        let [made, encoded] = [made_size, output_size].map(|size| picture_bytes(format, size));
        let fitted = if made_size == output_size { 0 } else { encoded };
        let whole = windows.whole.first().map(|tile| (tile.window.width, tile.window.height));
        let at_once = |shape: &(usize, usize)| windows.batch.unwrap_or(1) as u64 * of_window.of(*shape);
        Needs {
            // References, and one frame a thread.
            decoder: (6 + threads.decoder as u64) * input,
            encoder: kept.frames() * encoded,
            cache: kept.cache,
            worker: whole.map_or(0, |size| of_window.of(size)) + windows.shapes.iter().map(at_once).sum::<u64>(),
            frame: input + made + fitted,
        }
    }

    /// All of it, with so many workers and frames under way.
    pub fn total(&self, workers: usize, window: usize) -> u64 {
        BASE + self.decoder + self.encoder + self.cache + workers as u64 * self.worker + window as u64 * self.frame
    }

    /// The same without a cache.
    pub fn without_cache(self) -> Needs {
        Needs { cache: 0, ..self }
    }

    /// Refuses a run that needs more than `budget`.
    pub fn check(&self, workers: usize, window: usize, budget: u64) -> Result<()> {
        let total = self.total(workers, window);
        if total <= budget {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let message = format!(
            "--memory allows {} MiB, about {} are needed (decoder {}, encoder {}, windows {}, frames {}, cache {}); \
             try a faster --preset, fewer --threads, a smaller --tile or --cache-size",
            budget >> 20,
            mib(total),
            mib(self.decoder),
            mib(self.encoder),
            mib(workers as u64 * self.worker),
            mib(window as u64 * self.frame),
            mib(self.cache)
        );
        Err(Error::new(Kind::Usage, message))
    }
}

/// Bytes of a picture.
fn picture_bytes(format: PixelFormat, (width, height): (usize, usize)) -> u64 {
    let planes = (0..format.n_planes()).map(|plane| format.plane_size(plane, width, height));
    planes.map(|(columns, rows)| (columns * rows * format.bytes_per_sample()) as u64).sum()
}

/// What one run of a window takes: its tensors, where there are any, and what the engine works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBytes {
    per_pixel: u64,
    per_column: u64,
    /// Whatever the window, for networks that are shown frames in a size of their own.
    fixed: u64,
}

impl WindowBytes {
    /// For a network between pictures of `head`, run by an engine that takes `working`.
    pub fn new(network: &NetworkFacts, head: &ImageHead, working: Working) -> Self {
        if let Some(detector) = &network.detector {
            let frame = head.picture().area().size();
            let (width, height) = detector.input_size(frame);
            let [input, output] = network.shapes(1, frame).map(|shape| shape.iter().product::<usize>() as u64);
            let tensors = input * network.input.element.size() as u64 + output * network.output.element.size() as u64;
            // A frame that is turned lies in f32 beside its tensor.
            let fixed = tensors + (width * height) as u64 * (working.per_pixel + 3 * size_of::<f32>() as u64);
            return WindowBytes { per_pixel: 0, per_column: 0, fixed };
        }
        let scale = (network.scale * network.scale) as u64;
        let input = (network.input.element.size() * network.input.channels.count()) as u64;
        let output = (network.output.element.size() * network.output.channels.count()) as u64;
        let tensors = if working.by_rows && head.has_rows() { 0 } else { input + output * scale };
        WindowBytes { per_pixel: tensors + working.per_pixel, per_column: working.per_column, fixed: 0 }
    }

    /// Of a window of this width and height.
    pub fn of(self, (width, height): (usize, usize)) -> u64 {
        self.fixed + (width * height) as u64 * self.per_pixel + width as u64 * self.per_column
    }
}

/// What becomes of the output pictures.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// How the video is encoded; `None` when it is not.
    pub encoding: Option<&'a EncodingPlan>,
    /// A master copy is encoded beside it.
    pub has_master: bool,
    /// Bytes of the cache's index; 0 without one.
    pub cache: u64,
}

impl Kept<'_> {
    /// Output pictures that all encoders hold.
    fn frames(self) -> u64 {
        self.encoding.map_or(0, frames_held) + if self.has_master { FRAMES_OF_INTRA_FFV1 } else { 0 }
    }
}

/// The encoder of master copies, which keeps every sample.
pub const MASTER_ENCODER: &str = "ffv1";

/// What ffv1 holds where every frame stands alone, as in a master: 110 measured at 540p, 105 at 1080p and 4K, with one to
/// four threads.
const FRAMES_OF_INTRA_FFV1: u64 = 105;

/// How many frames an encoder holds, lookahead, references and its own copies together. Measured at 8K: libx264 `fast`
/// takes 5.3 GB and `ultrafast` 0.6 GB, ffv1 2.1 GB.
fn frames_held(encoding: &EncodingPlan) -> u64 {
    let option = |name: &str| encoding.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match encoding.encoder.as_str() {
        "libx264" if option("preset") == Some("ultrafast") => 12,
        "libx264" | "libx265" | "libsvtav1" => 100,
        "ffv1" if option("g") == Some("1") => FRAMES_OF_INTRA_FFV1,
        "ffv1" => 44,
        _ => 12,
    }
}
