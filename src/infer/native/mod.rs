//! Our own engine for plain convolution networks, row by row.
//!
//! Networks that footage is run through frame by frame are small stacks of convolutions. General engines write each
//! layer's whole output to memory and read it back; here every layer keeps only the last rows that the next one needs,
//! so that all of it stays in the core's second-level cache, nothing is computed twice and a picture of any size takes
//! a few megabytes. [`lower`] reads the graph, [`layout`] places the rows, [`run`] goes through them, [`kernel`] holds
//! the convolution. A sample's value does not depend on where its window lies, nor on the CPU.

mod kernel;
mod layout;
mod lower;
mod program;
mod rowwise;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use half::slice::HalfFloatSliceExt;

use super::{Engine, EngineFacts, EngineSettings, Interrupt, Precision, RowEngine, RowPort, Terminator, wrong_output};
use crate::error::{Error, Kind, Result};
use crate::frame::pool::AlignedBytes;
use crate::model::{Element, Network, NetworkFacts, Tensor};
use crate::simd::cpu::Level;
use kernel::Kernel;
use kernel::bf16::Bf16;
use kernel::quads::QuadKernel;
use layout::{Layout, Reading, readings};
use program::Program;
use run::Run;

/// Layouts that are kept: a plan's shapes.
const MAX_LAYOUTS: usize = 4;

/// The most that the rows of a picture may take; plain networks take a thousandth of it.
const MAX_BYTES: usize = 4 << 30;

/// vproc's version, and after the plus how often this engine has since changed the bits of its results: those of one
/// are not to be mixed with those of another.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+5");

/// A network and the memory that its rows need.
pub struct NativeEngine {
    name: String,
    facts: NetworkFacts,
    program: Program,
    readings: Vec<Vec<Reading>>,
    kernel: Kernel,
    quads: QuadKernel,
    bf16: Option<Bf16>,
    /// By width and height, the last used first, each with its rows: what lies around them stays zero.
    layouts: Vec<((usize, usize), Layout, AlignedBytes)>,
    next: Vec<usize>,
    places: Vec<usize>,
    stopped: Arc<Stopped>,
    stop: Terminator,
}

/// Set from another thread, looked at after every row.
#[derive(Default)]
struct Stopped(AtomicBool);

impl Interrupt for Stopped {
    fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether this engine runs a network with this precision; the error names the operator that it does not.
pub fn check(network: &Network, precision: Precision) -> Result<()> {
    lowered(network, bf16_for(precision)?).map(drop)
}

/// The program of a network that gives pictures: what others give has no rows.
fn lowered(network: &Network, bf16: Option<Bf16>) -> Result<Program> {
    if network.facts.detector.is_some() {
        let name = &network.name;
        let message =
            format!("the engine native does not run {name}: it finds things and gives no picture; use --engine ort");
        return Err(Error::new(Kind::Network, message));
    }
    lower::lower(network, bf16)
}

/// What runs networks here. All instruction sets give the same bits, but for those of bf16.
pub fn facts(precision: Precision) -> EngineFacts {
    let (precision, isa) = match precision {
        Precision::F32 | Precision::Tf32 => ("f32", "any"),
        Precision::Bf16 => ("bf16", Bf16::all().first().map_or("none", |bf16| bf16.name())),
    };
    let device = "cpu".to_owned();
    EngineFacts { name: "native", version: VERSION.to_owned(), precision, isa: isa.to_owned(), device }
}

/// Bytes that the rows of all layers take for each column of a picture; how many rows it has matters little.
pub fn bytes_per_column(network: &Network, precision: Precision) -> Result<u64> {
    const WIDTH: usize = 1024;
    let program = lowered(network, bf16_for(precision)?)?;
    let layout = Layout::new(&program, WIDTH, WIDTH);
    Ok(layout.map_or(0, |layout| (layout.length * size_of::<f32>()).div_ceil(WIDTH) as u64))
}

/// The instructions that this precision needs; an error where the machine does not have them.
fn bf16_for(precision: Precision) -> Result<Option<Bf16>> {
    if precision == Precision::F32 {
        return Ok(None);
    }
    // Whoever lowers the level wants to see what a machine without them does.
    let bf16 = Bf16::all().into_iter().next().filter(|_| Level::detect() == Level::Avx512);
    bf16.map(Some).ok_or_else(|| {
        let message = "the engine native computes in bf16 only on processors with AMX or AVX512-BF16, and this one has \
                       neither; use --engine openvino, or --precision f32";
        Error::new(Kind::Usage, message)
    })
}

impl NativeEngine {
    /// An engine for an ONNX network.
    pub fn new(network: &Network, settings: &EngineSettings) -> Result<NativeEngine> {
        NativeEngine::at(network, settings, Level::detect(), bf16_for(settings.precision)?)
    }

    /// With the kernels of `level` and, where it is to compute in bf16, of `bf16`.
    fn at(network: &Network, settings: &EngineSettings, level: Level, bf16: Option<Bf16>) -> Result<NativeEngine> {
        let program = lowered(network, bf16)?;
        let stopped = Arc::new(Stopped::default());
        settings.stop.register(&stopped);
        Ok(NativeEngine {
            name: network.name.clone(),
            facts: network.facts.clone(),
            readings: program.nodes.iter().map(readings).collect(),
            next: vec![0; program.nodes.len()],
            program,
            kernel: Kernel::at(level),
            quads: QuadKernel::at(level),
            bf16,
            layouts: Vec::new(),
            places: Vec::new(),
            stopped,
            stop: settings.stop.clone(),
        })
    }

    /// Bytes that the rows of all layers take for the last picture.
    pub fn row_bytes(&self) -> usize {
        self.layouts.first().map_or(0, |(.., memory)| memory.len())
    }

    /// Brings the layout for this size to the front, and memory with zeros around its rows.
    fn prepare(&mut self, size: (usize, usize)) -> Result<()> {
        if let Some(at) = self.layouts.iter().position(|(known, ..)| *known == size) {
            self.layouts[..=at].rotate_right(1);
            return Ok(());
        }
        let (width, height) = size;
        let layout = Layout::new(&self.program, width, height).ok_or_else(|| {
            let name = &self.name;
            Error::new(Kind::Network, format!("{name}: nothing is left of a picture of {width}x{height}"))
        })?;
        let bytes = layout.length * size_of::<f32>();
        tracing::debug!("{}: the rows of {}x{} take {} KiB", self.name, size.0, size.1, bytes >> 10);
        if bytes > MAX_BYTES {
            let (name, mib) = (&self.name, bytes >> 20);
            let message =
                format!("{name}: the rows of {}x{} take {mib} MiB; use --engine ort or --tile", size.0, size.1);
            return Err(Error::new(Kind::Network, message));
        }
        self.layouts.truncate(MAX_LAYOUTS - 1);
        let mut memory = AlignedBytes::new(bytes);
        layout.prepare(bytemuck::cast_slice_mut(&mut memory));
        self.layouts.insert(0, (size, layout, memory));
        Ok(())
    }
}

impl RowEngine for NativeEngine {
    fn run_rows(&mut self, size: (usize, usize), top: usize, port: &mut dyn RowPort) -> Result<()> {
        self.prepare(size)?;
        let (_, layout, memory) = &mut self.layouts[0];
        let mut run = Run {
            program: &self.program,
            readings: &self.readings,
            layout,
            memory: bytemuck::cast_slice_mut(memory),
            next: &mut self.next,
            places: &mut self.places,
            kernel: self.kernel,
            quads: self.quads,
            bf16: self.bf16,
            top,
            port,
        };
        match run.all(&|| self.stopped.0.load(Ordering::Relaxed)) {
            true => Ok(()),
            false => Err(self.stop.reason().unwrap_or_else(|| Error::new(Kind::Internal, "stopped without a reason"))),
        }
    }
}

impl Engine for NativeEngine {
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()> {
        self.run_windows(input, &[], output)
    }

    fn run_windows(&mut self, input: &Tensor, tops: &[usize], output: &mut Tensor) -> Result<()> {
        let [batch, channels, height, width] = input.shape();
        let scale = self.facts.scale;
        let (from, to) = (self.facts.input.clone(), self.facts.output.clone());
        let shape = [batch, to.channels.count(), height * scale, width * scale];
        if (output.shape(), output.element()) != (shape, to.element)
            || (channels, input.element()) != (from.channels.count(), from.element)
        {
            return Err(wrong_output(input, output, &shape));
        }
        for item in 0..batch {
            let read = |y: usize, rows: &mut [&mut [f32]]| {
                for (channel, row) in rows.iter_mut().enumerate() {
                    read_row(input, ((item * channels + channel) * height + y) * width, row);
                }
            };
            let write = |y: usize, rows: &[&[f32]]| {
                for (channel, row) in rows.iter().enumerate() {
                    let start = ((item * rows.len() + channel) * shape[2] + y) * shape[3];
                    write_row(output, start, row);
                }
            };
            let top = tops.get(item).copied().unwrap_or(0);
            self.run_rows((width, height), top, &mut (read, write))?;
        }
        Ok(())
    }

    fn rows(&mut self) -> Option<&mut dyn RowEngine> {
        let is_float = |element| matches!(element, Element::F32 | Element::F16);
        (is_float(self.facts.input.element) && is_float(self.facts.output.element))
            .then_some(self as &mut dyn RowEngine)
    }
}

fn read_row(tensor: &Tensor, start: usize, row: &mut [f32]) {
    let run = start..start + row.len();
    match tensor.element() {
        Element::F32 => row.copy_from_slice(&tensor.as_f32()[run]),
        Element::F16 => tensor.as_f16()[run].convert_to_f32_slice(row),
        Element::U8 => row.iter_mut().zip(&tensor.bytes()[run]).for_each(|(value, byte)| *value = f32::from(*byte)),
    }
}

fn write_row(tensor: &mut Tensor, start: usize, row: &[f32]) {
    let run = start..start + row.len();
    match tensor.element() {
        Element::F32 => tensor.as_f32_mut()[run].copy_from_slice(row),
        Element::F16 => tensor.as_f16_mut()[run].convert_from_f32_slice(row),
        Element::U8 => unreachable!("networks that give bytes are refused when their graph is read"),
    }
}
