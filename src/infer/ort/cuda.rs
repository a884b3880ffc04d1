//! CUDA devices through ONNX Runtime: the provider, and batches as large as the device's memory and equal bits allow.
//!
//! Tensors stay in the host's memory; ONNX Runtime copies them there and back. Windows run together only after they
//! gave the bits that each gives alone, and fewer at once after the device ran out of memory.

use std::ops::Range;
use std::sync::Arc;

use ::ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProviderDispatch};
use ::ort::session::RunOptions;

use super::plain;
use crate::error::{Error, Kind, Result};
use crate::gpu::Device;
use crate::gpu::ladder::Share;
use crate::infer::Precision;

/// A session's device.
pub(super) struct OnDevice {
    pub(super) device: Arc<Device>,
    /// Run options that give memory back to the device after each run.
    pub(super) tight: Arc<RunOptions>,
    /// Whether so many windows of a size give the same bits together as alone, as far as it was tried.
    together: Vec<((usize, [usize; 3]), bool)>,
}

/// Why a run gave nothing.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The device has too little memory.
    Memory,
    /// Anything else.
    Other(Error),
}

impl OnDevice {
    pub(super) fn new(device: Arc<Device>) -> ::ort::Result<OnDevice> {
        let mut tight = RunOptions::new()?;
        tight.set("memory.enable_memory_arena_shrinkage", format!("gpu:{}", device.facts.index))?;
        Ok(OnDevice { device, tight: Arc::new(tight), together: Vec::new() })
    }

    /// Whether so many windows of a shape may run together, if that was tried.
    pub(super) fn may_join(&self, n: usize, shape: [usize; 3]) -> Option<bool> {
        self.together.iter().find(|(key, _)| *key == (n, shape)).map(|(_, same)| *same)
    }

    /// Keeps what a trial gave.
    pub(super) fn joined(&mut self, n: usize, shape: [usize; 3], same: bool) {
        if !same {
            let index = self.device.facts.index;
            tracing::warn!("cuda:{index} gives other bits for {n} windows at once than for one; each is run by itself");
        }
        self.together.push(((n, shape), same));
    }
}

/// The provider for a device. `Exhaustive` search would choose convolutions by time, and so perhaps others in each run.
pub(super) fn provider(device: &Device, precision: Precision) -> ExecutionProviderDispatch {
    let index = i32::try_from(device.facts.index).unwrap_or(0);
    ep::CUDA::default()
        .with_device_id(index)
        .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
        .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
        .with_tf32(precision == Precision::Tf32)
        .with_arbitrary_config("do_copy_in_default_stream", "1")
        .build()
        .error_on_failure()
}

/// Whether an error of ONNX Runtime means that the device has too little memory.
pub(super) fn is_out_of_memory(message: &str) -> bool {
    ["Failed to allocate memory", "out of memory", "ALLOC_FAILED"].iter().any(|words| message.contains(words))
}

/// Why a run failed.
pub(super) fn refusal(error: &::ort::Error) -> Refusal {
    match is_out_of_memory(error.message()) {
        true => Refusal::Memory,
        false => Refusal::Other(Error::new(Kind::Infer, plain(error))),
    }
}

/// Runs `n` windows, as many at once as the device has memory for. `run` is told which and whether memory is short; a
/// network of a fixed batch `takes_all`.
pub(super) fn in_shares(
    device: &Device,
    n: usize,
    takes_all: bool,
    mut run: impl FnMut(Range<usize>, bool) -> std::result::Result<(), Refusal>,
) -> Result<()> {
    let mut done = 0;
    while done < n {
        let share = device.share();
        let batch = if takes_all { n } else { share.batch.min(n - done) };
        let is_alone = share.workers == 1;
        let _turn = is_alone.then(|| device.turn());
        match run(done..done + batch, device.is_short()) {
            Ok(()) => {
                device.accept();
                done += batch;
            }
            // A fixed batch cannot be halved, so its share counts as one.
            Err(Refusal::Memory) if device.refuse(Share { batch: if takes_all { 1 } else { batch }, ..share }) => {}
            Err(Refusal::Memory) => return Err(too_little(device)),
            Err(Refusal::Other(error)) => return Err(error),
        }
    }
    Ok(())
}

fn too_little(device: &Device) -> Error {
    let facts = &device.facts;
    let message = format!(
        "cuda:{} ({}, {} MiB) has too little memory for one window by itself; make windows smaller with --tile, or use \
         --device cpu",
        facts.index,
        facts.name,
        facts.memory >> 20
    );
    Error::new(Kind::Infer, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs 13 windows on a device that holds so many at once, and fewer while others are there too; how they were run.
    fn runs(device: &Device, holds: usize, takes_all: bool) -> Result<Vec<Range<usize>>> {
        let mut all = Vec::new();
        in_shares(device, 13, takes_all, |windows, _| {
            let others = device.share().workers - 1;
            if windows.len() + others > holds {
                return Err(Refusal::Memory);
            }
            all.push(windows);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn a_device_without_memory_for_all_windows_takes_them_in_parts() {
        let device = Device::imagined(2);
        assert_eq!(runs(&device, 20, false).unwrap(), vec![0..13]);
        assert!(!device.is_short());
        // 13 are too many, 6 fit beside the other worker.
        assert_eq!(runs(&device, 7, false).unwrap(), vec![0..6, 6..12, 12..13]);
        assert!(device.is_short());
        assert_eq!(device.share().batch, 6);
        // One fits only while nobody else is there.
        assert_eq!(runs(&device, 1, false).unwrap().len(), 13);
        assert_eq!((device.share().batch, device.share().workers), (1, 1));
        let error = runs(&device, 0, false).unwrap_err().to_string();
        assert!(error.contains("cuda:0 (NVIDIA Imagined, 16384 MiB)") && error.contains("--tile"), "{error}");
    }

    #[test]
    fn a_fixed_batch_is_never_cut() {
        let device = Device::imagined(2);
        assert_eq!(runs(&device, 13, true).unwrap(), vec![0..13]);
        assert_eq!(device.share().workers, 1);
        assert!(runs(&device, 12, true).is_err());
    }

    #[test]
    fn other_errors_are_passed_on() {
        let broken = || Refusal::Other(Error::new(Kind::Infer, "broken"));
        let error = in_shares(&Device::imagined(1), 3, false, |_, _| Err(broken())).unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }

    #[test]
    fn the_words_for_too_little_memory_are_known() {
        for words in [
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 8589934592",
            "CUDA failure 2: out of memory ; GPU=0",
            "CUDNN failure 4000: CUDNN_STATUS_ALLOC_FAILED",
        ] {
            assert!(is_out_of_memory(words));
        }
        assert!(!is_out_of_memory("CUDA failure 700: an illegal memory access was encountered"));
    }
}
