//! A short run of a network: how fast it is, and whether what its graph says is what it does.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::infer::{self, EngineSettings};
use crate::model::detector::TRIED;
use crate::model::probe::{self, ProbeReport};
use crate::model::{Network, Tensor};

/// What a short run showed.
pub struct Trial {
    /// What ran it.
    pub engine: String,
    /// One core's time for a million input pixels.
    pub ms_per_megapixel: f64,
    /// Width and height that it was measured at.
    pub size: (usize, usize),
    /// What changed pixels and tiles showed; `None` for a network that finds things, which gets whole pictures only.
    pub probe: Option<ProbeReport>,
}

impl Trial {
    /// One core's time for a picture of the size that it was measured at.
    pub fn ms_per_picture(&self) -> f64 {
        self.ms_per_megapixel * (self.size.0 * self.size.1) as f64 / 1e6
    }
}

/// Multiply-adds that one timed run should not exceed; smaller pictures are taken for costlier networks.
const MAX_MULTIPLY_ADDS: f64 = 2e10;

/// Runs `network` on small pictures for about half a second, or twice if that is longer, and probes it where it gives
/// pictures.
pub fn trial(network: &Network, multiply_adds_per_pixel: f64) -> Result<Trial> {
    let settings = infer::choose(network, &EngineSettings { threads: 1, ..EngineSettings::default() })?;
    let mut engine = infer::open(network, &settings)?;
    let facts = &network.facts;
    let mut side = 256_usize;
    while side > 64 && multiply_adds_per_pixel * (side * side) as f64 > MAX_MULTIPLY_ADDS {
        side /= 2;
    }
    let side = side.next_multiple_of(facts.multiple_of.max(1));
    let (width, height) = match &facts.detector {
        Some(detector) => detector.input_size(TRIED),
        None => facts.fixed_size.unwrap_or((side, side)),
    };
    let batch = facts.fixed_batch.unwrap_or(1);
    let [taken, given] = facts.shapes(batch, (width, height));
    let (mut input, mut output) = (Tensor::new(facts.input.element, taken), Tensor::new(facts.output.element, given));
    input.bytes_mut().fill(0x33); // small positive numbers in every element type
    engine.run(&input, &mut output)?;
    let (begun, mut shortest) = (Instant::now(), Duration::MAX);
    for turn in 0..1000 {
        let start = Instant::now();
        engine.run(&input, &mut output)?;
        shortest = shortest.min(start.elapsed());
        if turn > 0 && begun.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    let pixels = (batch * width * height) as f64;
    let probe = match facts.detector {
        Some(_) => None,
        None => {
            let mut run = |input: &_, top, output: &mut _| engine.run_windows(input, &vec![top; batch], output);
            Some(probe::probe(&mut run, facts)?)
        }
    };
    Ok(Trial {
        engine: infer::facts(network, &settings)?.to_string(),
        ms_per_megapixel: shortest.as_secs_f64() * 1e9 / pixels,
        size: (width, height),
        probe,
    })
}
