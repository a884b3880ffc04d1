//! Trials on a small picture: how fast an engine runs a network, and whether it gives what the network says.
//!
//! Engines differ by rounding, and now and then by a defect: OpenVINO gives wrong results for some orders of channels.
//! What a result must be is what ONNX Runtime's own provider for processors makes of the graph, in f32.

use std::time::{Duration, Instant};

use half::f16;

use super::{EngineChoice, EngineSettings, Precision, open, suited};
use crate::error::{Context, Error, Kind, Result};
use crate::model::{Element, Layout, Network, NetworkFacts, Tensor, detector};

/// Counted up when trials begin to judge otherwise: what earlier ones found out is not relied on.
pub const VERSION: u32 = 2;

/// About the side of the picture that shows how fast an engine is, and of the one that shows what it gives.
const TIMED: usize = 192;
const LOOKED_AT: usize = 64;

/// How far results may be from the truth, root mean square over the largest: far more than rounding does, also between
/// codes of 8 bits, and far less than a defect.
const NEAR: f64 = 0.005;
const NEAR_IN_BF16: f64 = 0.02;

/// What an engine made of a small picture.
pub(super) struct Trial {
    /// The shortest of three runs, after one to warm up.
    pub time: Duration,
    values: Vec<f32>,
}

impl Trial {
    /// Runs a network on a picture that shows how fast that is.
    pub fn timed(network: &Network, settings: &EngineSettings) -> Result<Trial> {
        Trial::of(network, settings, TIMED, 4)
    }

    /// What the results must be, on the same picture.
    pub fn truth(network: &Network, settings: &EngineSettings) -> Result<Trial> {
        Trial::of(network, &true_settings(settings), TIMED, 1)
    }

    fn of(network: &Network, settings: &EngineSettings, side: usize, turns: usize) -> Result<Trial> {
        let (mut input, mut output) = small_tensors(&network.facts, side);
        let [_, a, b, c] = input.shape();
        let (height, width) = if network.facts.input.layout == Layout::Nchw { (b, c) } else { (a, b) };
        let mut engine = open(&suited(network.clone(), settings, (width, height))?, settings)?;
        // Black and white of a network that finds things may be codes, and it tells little of what is all black.
        let port = &network.facts.input;
        fill(&mut input, if network.facts.detector.is_some() { (port.black, port.white) } else { (0.0, 1.0) });
        let mut time = Duration::MAX;
        for turn in 0..turns {
            let start = Instant::now();
            engine.run(&input, &mut output).context(|| "engine trial")?;
            if turn > 0 {
                time = time.min(start.elapsed());
            }
        }
        Ok(Trial { time, values: output.values() })
    }

    /// The trial, or an error if it gave something else than `truth`.
    pub fn held_against(self, truth: &Trial, settings: &EngineSettings) -> Result<Trial> {
        let near = if settings.precision == Precision::Bf16 { NEAR_IN_BF16 } else { NEAR };
        match distance(&self.values, &truth.values) {
            Some(far) if far > near => {
                let message = format!("its results are {:.1} % off those of ONNX Runtime's own", far * 100.0);
                Err(Error::new(Kind::Network, message))
            }
            _ => Ok(self),
        }
    }
}

/// An error if the engine that was asked for gives something else than the network says. What cannot be tried is not
/// judged.
pub fn check(network: &Network, settings: &EngineSettings) -> Result<()> {
    let trial = |settings| Trial::of(network, settings, LOOKED_AT, 1);
    match (trial(settings), trial(&true_settings(settings))) {
        (Ok(trial), Ok(truth)) => trial.held_against(&truth, settings).map(drop),
        _ => Ok(()),
    }
}

fn true_settings(settings: &EngineSettings) -> EngineSettings {
    EngineSettings { choice: EngineChoice::Ort, precision: Precision::F32, ..settings.clone() }
}

/// Root mean square of the differences over the largest true value; `None` where the truth is no numbers, or all zero.
fn distance(values: &[f32], truth: &[f32]) -> Option<f64> {
    let largest = truth.iter().fold(0.0f64, |largest, value| largest.max(f64::from(*value).abs()));
    let is_known = largest > 0.0 && truth.iter().all(|value| value.is_finite()) && values.len() == truth.len();
    let squares = values.iter().zip(truth).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
    let mean = (squares / truth.len().max(1) as f64).sqrt() / largest;
    // What is no number is nowhere near.
    is_known.then_some(if mean.is_nan() { f64::INFINITY } else { mean })
}

/// Tensors of about `side` pixels both ways, or of the one size the network takes. What a network finds is told by
/// larger pictures only.
fn small_tensors(facts: &NetworkFacts, side: usize) -> (Tensor, Tensor) {
    let size = match facts.detector {
        Some(_) => detector::TRIED,
        None => {
            let side = side.next_multiple_of(facts.multiple_of.max(1));
            facts.fixed_size.unwrap_or((side, side))
        }
    };
    let [taken, given] = facts.shapes(facts.fixed_batch.unwrap_or(1), size);
    (Tensor::new(facts.input.element, taken), Tensor::new(facts.output.element, given))
}

/// Repeatable noise from black to white, in which no two places or channels are alike.
fn fill(tensor: &mut Tensor, (black, white): (f32, f32)) {
    let byte = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) ^ 0x5bd1_e995).wrapping_mul(0x27d4_eb2f) >> 24;
    let value = |at: usize| black + (white - black) * (byte(at) as f32 / 255.0);
    match tensor.element() {
        Element::F32 => tensor.as_f32_mut().iter_mut().enumerate().for_each(|(at, to)| *to = value(at)),
        Element::F16 => tensor.as_f16_mut().iter_mut().enumerate().for_each(|(at, to)| *to = f16::from_f32(value(at))),
        Element::U8 => tensor.bytes_mut().iter_mut().enumerate().for_each(|(at, to)| *to = byte(at) as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_near_by_rounding_and_far_by_a_wrong_order() {
        let truth: Vec<f32> = (0..1000).map(|at| (at as f32 * 0.7).sin()).collect();
        let rounded: Vec<f32> = truth.iter().map(|value| (value * 255.0).round() / 255.0).collect();
        let mut shuffled = truth.clone();
        shuffled.chunks_mut(4).for_each(|four| four.swap(1, 2));
        assert!(distance(&rounded, &truth).unwrap() < NEAR);
        assert!(distance(&shuffled, &truth).unwrap() > NEAR_IN_BF16);
        assert_eq!(distance(&truth, &truth), Some(0.0));
        assert_eq!(distance(&[f32::NAN, 1.0], &[1.0, 1.0]), Some(f64::INFINITY));
        // A network that gives nothing but zeros, or no numbers, cannot be judged.
        assert_eq!(distance(&[1.0], &[0.0]), None);
        assert_eq!(distance(&[1.0], &[f32::NAN]), None);
    }
}
