//! Engines: what runs a network on tensors.
//!
//! A worker owns one [`Engine`] and nobody else touches it. An engine knows nothing of pictures, windows or frames.
//! [`choose`] decides once which engine a run uses, [`open`] makes one a worker, [`facts`] says what it was for reports
//! and for the pixel hash, and a [`Terminator`] stops them all.

pub mod native;
pub mod ort;
mod stop;
mod test;
pub mod trial;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::gpu::Devices;
use crate::model::{Network, NetworkCode, Tensor, builtin};

pub use stop::{Interrupt, Terminator};
use trial::Trial;

/// Runs one network. Made by a worker, in its own thread, and used by it alone.
pub trait Engine {
    /// Runs the network on `input`, shape and element as in the network's facts; the result goes into `output`, whose
    /// shape must be the one the network gives for this input.
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()>;

    /// As `run` for windows of pictures, of which `tops` says for each item at which row of its picture it begins:
    /// results are those of the whole picture in all bits, also with engines that compute some rows unlike others.
    fn run_windows(&mut self, input: &Tensor, tops: &[usize], output: &mut Tensor) -> Result<()> {
        let _ = tops;
        self.run(input, output)
    }

    /// The way without tensors, for engines that have it.
    fn rows(&mut self) -> Option<&mut dyn RowEngine> {
        None
    }
}

/// Runs one network row by row, with the same results as through tensors.
pub trait RowEngine {
    /// Runs the network on a picture of this width and height, which begins at row `top` of the one that it is a window
    /// of. Rows of the input are read and rows of the output written once each, from top to bottom.
    fn run_rows(&mut self, size: (usize, usize), top: usize, port: &mut dyn RowPort) -> Result<()>;
}

/// Where the rows of a run come from and where they go, a slice a channel in the network's order.
pub trait RowPort {
    /// Fills row `y` of the input.
    fn read(&mut self, y: usize, channels: &mut [&mut [f32]]);
    /// Takes row `y` of the output.
    fn write(&mut self, y: usize, channels: &[&[f32]]);
}

/// Two functions, one for each way.
impl<R: FnMut(usize, &mut [&mut [f32]]), W: FnMut(usize, &[&[f32]])> RowPort for (R, W) {
    fn read(&mut self, y: usize, channels: &mut [&mut [f32]]) {
        (self.0)(y, channels);
    }

    fn write(&mut self, y: usize, channels: &[&[f32]]) {
        (self.1)(y, channels);
    }
}

/// Leaves rows as they are and drops what comes.
pub struct NoRows;

impl RowPort for NoRows {
    fn read(&mut self, _: usize, _: &mut [&mut [f32]]) {}

    fn write(&mut self, _: usize, _: &[&[f32]]) {}
}

/// Which engine was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineChoice {
    /// The faster of those that are there.
    #[default]
    Auto,
    /// vproc's own, for plain convolution networks.
    Native,
    /// ONNX Runtime's own CPU kernels.
    Ort,
    /// OpenVINO on the CPU, through ONNX Runtime.
    OpenVino,
}

/// What an engine may compute in. Never chosen for the user: less than f32 has to be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats, also for a network whose weights are 16-bit.
    #[default]
    F32,
    /// TensorFloat-32 products, on CUDA devices.
    Tf32,
    /// bfloat16 products, where the CPU has them.
    Bf16,
}

/// How engines are made.
#[derive(Clone, Default)]
pub struct EngineSettings {
    /// Which engine.
    pub choice: EngineChoice,
    /// What it computes in.
    pub precision: Precision,
    /// CUDA devices to run on; the processor without.
    pub devices: Option<Arc<Devices>>,
    /// Threads inside one engine; 0 and 1 both mean the caller's alone.
    pub threads: usize,
    /// What stops the engines made with these settings.
    pub stop: Terminator,
}

/// What ran a network: shown in the report and part of the pixel hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EngineFacts {
    /// `test`, `native`, `ort` or `openvino`.
    pub name: &'static str,
    /// The library's version, or vproc's own; empty for the test engine.
    pub version: String,
    /// What it computes in; empty for the test engine.
    pub precision: &'static str,
    /// The widest instruction set that the CPU has and that changes the bits of a result, or the architecture of the
    /// CUDA device; `any` where none does.
    pub isa: String,
    /// `cpu`, or the CUDA devices with their model and driver.
    pub device: String,
}

impl fmt::Display for EngineFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = &self.device;
        match (self.version.as_str(), self.precision) {
            ("", _) => f.write_str(self.name),
            (version, "f32") => write!(f, "{} {version} {device}", self.name),
            (version, precision) => write!(f, "{} {version} {device} {precision}", self.name),
        }
    }
}

/// An engine for `network`. With [`EngineChoice::Auto`] every call makes its own trial, so a run calls [`choose`] first.
pub fn open(network: &Network, settings: &EngineSettings) -> Result<Box<dyn Engine>> {
    let settings = match settings.choice {
        EngineChoice::Auto => choose(network, settings)?,
        _ => settings.clone(),
    };
    match network.code {
        NetworkCode::Identity => Ok(Box::new(test::Identity::new(&network.facts))),
        NetworkCode::NearestX2 => Ok(Box::new(test::NearestX2::new(&network.facts))),
        NetworkCode::Onnx(_) if settings.choice == EngineChoice::Native => {
            Ok(Box::new(native::NativeEngine::new(network, &settings)?))
        }
        NetworkCode::Onnx(_) => Ok(Box::new(ort::OrtEngine::new(network, &settings)?)),
    }
}

/// The same settings for CUDA devices, tried on a small picture: there only ONNX Runtime runs networks.
fn choose_on_devices(network: &Network, settings: &EngineSettings) -> Result<EngineSettings> {
    let usage = |message: String| Err(Error::new(Kind::Usage, message));
    if !matches!(network.code, NetworkCode::Onnx(_)) {
        return usage(format!("{} is no network that a CUDA device runs; use --device cpu", network.name));
    }
    if !matches!(settings.choice, EngineChoice::Auto | EngineChoice::Ort) {
        return usage(
            "on CUDA devices only the engine ort runs networks; use --engine ort, or --device cpu".to_owned(),
        );
    }
    if settings.precision == Precision::Bf16 {
        return usage("on CUDA devices networks are computed in f32 or tf32; use --precision f32".to_owned());
    }
    ort::check_cuda()?;
    let settings = EngineSettings { choice: EngineChoice::Ort, ..settings.clone() };
    Trial::timed(network, &settings)?;
    Ok(settings)
}

/// The same settings with the engine decided: vproc's own for the networks inside the program, which then need no
/// library; for others, of the engines that are there, the one that was fastest on a small picture. vproc's own is
/// given up only for one that is clearly faster, so that two runs choose alike.
pub fn choose(network: &Network, settings: &EngineSettings) -> Result<EngineSettings> {
    let is_onnx = matches!(network.code, NetworkCode::Onnx(_));
    if settings.devices.is_some() {
        return choose_on_devices(network, settings);
    }
    if settings.precision == Precision::Tf32 {
        let message = "tf32 is computed by CUDA devices only; use --device cuda, or --precision f32";
        return Err(Error::new(Kind::Usage, message));
    }
    if settings.choice != EngineChoice::Auto || !is_onnx {
        return Ok(settings.clone());
    }
    let with = |choice| EngineSettings { choice, ..settings.clone() };
    let native = native::check(network, settings.precision);
    if native.is_ok() && builtin::find(&network.name).is_some_and(|builtin| builtin.hash == network.hash) {
        return Ok(with(EngineChoice::Native));
    }
    if let Err(why) = &native {
        tracing::debug!("{why}");
    }
    let library = match (ort::library(settings.choice), &native) {
        (Ok(library), _) => library,
        (Err(_), Ok(())) => return Ok(with(EngineChoice::Native)),
        (Err(error), Err(_)) => return Err(error),
    };
    let choices = [
        (EngineChoice::Native, native.is_ok()),
        (EngineChoice::Ort, settings.precision == Precision::F32 || !library.openvino),
        (EngineChoice::OpenVino, library.openvino),
    ];
    let choices: Vec<_> = choices.into_iter().filter(|(_, is_there)| *is_there).map(|(choice, _)| choice).collect();
    let &[first, ref others @ ..] = choices.as_slice() else {
        return Err(Error::new(Kind::Internal, "no engine is there, not even ONNX Runtime's"));
    };
    if others.is_empty() {
        return Ok(with(first));
    }
    let truth = Trial::truth(network, settings).ok();
    let trial = |choice| -> Result<Duration> {
        let settings = with(choice);
        let trial = Trial::timed(network, &settings)?;
        Ok(match &truth {
            Some(truth) => trial.held_against(truth, &settings)?.time,
            None => trial.time,
        })
    };
    let mut best = (first, trial(first));
    tracing::debug!("engine trial: {first:?} {:?}", best.1);
    for &choice in others {
        let time = trial(choice);
        tracing::debug!("engine trial: {choice:?} {time:?}");
        let is_better = match (&time, &best.1) {
            (Ok(time), Ok(other)) if best.0 == EngineChoice::Native => time.mul_f64(CLEARLY) < *other,
            (Ok(time), Ok(other)) => time < other,
            (Ok(_), Err(_)) => true,
            _ => false,
        };
        if is_better {
            best = (choice, time);
        }
    }
    best.1.map(|_| with(best.0))
}

/// The network as the engine that [`choose`] decided on runs it fastest, on pictures of this width and height; one that
/// finds things as it is.
pub fn suited(network: Network, settings: &EngineSettings, size: (usize, usize)) -> Result<Network> {
    match settings.choice {
        EngineChoice::Ort | EngineChoice::OpenVino if settings.devices.is_none() => network.in_blocks(lanes(), size),
        _ => Ok(network),
    }
}

/// How many channels general engines compute at once: a register's floats.
fn lanes() -> usize {
    if isa().starts_with("avx512") { 16 } else { 8 }
}

/// So many times faster is another engine that vproc's own is given up for.
const CLEARLY: f64 = 1.1;

/// What will run `network` with these settings, once [`choose`] has decided.
pub fn facts(network: &Network, settings: &EngineSettings) -> Result<EngineFacts> {
    let (name, precision) = match (&network.code, settings.choice, settings.precision) {
        (NetworkCode::Onnx(_), EngineChoice::Native, precision) => return Ok(native::facts(precision)),
        (NetworkCode::Onnx(_), EngineChoice::OpenVino, Precision::Bf16) => ("openvino", "bf16"),
        (NetworkCode::Onnx(_), EngineChoice::OpenVino, _) => ("openvino", "f32"),
        (NetworkCode::Onnx(_), _, Precision::Tf32) => ("ort", "tf32"),
        (NetworkCode::Onnx(_), _, _) => ("ort", "f32"),
        _ => {
            let (version, isa, device) = (String::new(), String::new(), "cpu".to_owned());
            return Ok(EngineFacts { name: "test", version, precision: "", isa, device });
        }
    };
    let version = ort::library(settings.choice)?.version.clone();
    let (isa, device) = match &settings.devices {
        Some(devices) => (devices.architecture(), devices.to_string()),
        None => (isa().to_owned(), "cpu".to_owned()),
    };
    Ok(EngineFacts { name, version, precision, isa, device })
}

/// What an engine takes in memory beside the tensors, by estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Working {
    /// Bytes for each pixel of a window.
    pub per_pixel: u64,
    /// Bytes for each column of a window.
    pub per_column: u64,
    /// It goes row by row, and needs no tensors where the rows are floats.
    pub by_rows: bool,
}

/// What the activations of general engines take for a pixel: two of 32 channels, which covers the networks that run
/// frame by frame.
const ACTIVATIONS: u64 = 2 * 32 * 4;

/// What running `network` takes with these settings, once [`choose`] has decided.
pub fn working(network: &Network, settings: &EngineSettings) -> Result<Working> {
    Ok(match (&network.code, settings.choice) {
        (NetworkCode::Onnx(_), EngineChoice::Native) => {
            let per_column = native::bytes_per_column(network, settings.precision)?;
            Working { per_pixel: 0, per_column, by_rows: true }
        }
        // A device's memory is not the process'.
        (NetworkCode::Onnx(_), _) if settings.devices.is_some() => Working::default(),
        (NetworkCode::Onnx(_), _) => Working { per_pixel: ACTIVATIONS, ..Working::default() },
        _ => Working { by_rows: true, ..Working::default() },
    })
}

/// Libraries pick kernels by the CPU, and sums of another width round differently.
fn isa() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        match () {
            () if has!("avx512bf16") => "avx512bf16",
            () if has!("avx512f") && has!("avx512bw") => "avx512",
            () if has!("avx2") && has!("fma") => "avx2",
            () => "x86_64",
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}

/// A shape as it is written in messages.
fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// The error of an engine that was given a tensor of the wrong shape or type for its output.
fn wrong_output(input: &Tensor, given: &Tensor, true_shape: &[usize]) -> Error {
    let message = format!(
        "the network gives {} for an input of {}, expected {}; its scale or layout is not what its facts say",
        shape_text(true_shape),
        shape_text(&input.shape()),
        shape_text(&given.shape()),
    );
    Error::new(Kind::Network, message)
}
