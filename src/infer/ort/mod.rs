//! ONNX Runtime as an engine: its own CPU kernels, or OpenVINO's or those for CUDA devices through it.
//!
//! One session an engine, sequential, with threads that never spin. The caller's tensors are used in place, for input
//! and output: the run goes through the C API, because `ort`'s bindings copy borrowed inputs (and deadlock on it). The
//! library is found and loaded in `library`; without it everything here is an error, never a panic.

mod cuda;
mod library;

use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ::ort::ep;
use ::ort::logging::LogLevel;
use ::ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ::ort::session::builder::{GraphOptimizationLevel, LoadCanceler, SessionBuilder};
use ::ort::session::{NoSelectedOutputs, RunOptions, Session};
use ::ort::sys::{ONNXTensorElementDataType, OrtValue};
use ::ort::value::{Outlet, TensorElementType};
use ::ort::{AsPointer as _, ErrorCode};

use super::{Engine, EngineChoice, EngineSettings, Interrupt, Precision, Terminator, shape_text, wrong_output};
use crate::error::{Error, Kind, Result};
use crate::gpu::Device;
use crate::model::{Element, Network, NetworkCode, Port, Tensor};

use cuda::{OnDevice, Refusal};
use library::Build;
pub use library::{LibraryFacts, check_cuda, files, installed, library};

/// A session of ONNX Runtime with what each run needs.
pub struct OrtEngine {
    session: Session,
    memory: MemoryInfo<'static>,
    options: Arc<RunOptions>,
    input: (CString, Element),
    output: (CString, Element),
    /// The network takes batches of one size only.
    fixed_batch: bool,
    /// Absent on the processor.
    on_device: Option<OnDevice>,
    stop: Terminator,
}

impl OrtEngine {
    /// A session for an ONNX network; [`EngineChoice::Auto`] means ONNX Runtime's own kernels.
    pub fn new(network: &Network, settings: &EngineSettings) -> Result<Self> {
        let NetworkCode::Onnx(bytes) = &network.code else {
            return Err(Error::new(Kind::Internal, format!("{} is not an ONNX graph", network.name)));
        };
        let loaded = library::loaded(Build::of(settings))?;
        if settings.choice == EngineChoice::OpenVino && !loaded.facts.openvino {
            let LibraryFacts { path, version, .. } = &loaded.facts;
            let message = format!(
                "{} (onnxruntime {version}) has no OpenVINO; run `make openvino`, or use --engine ort",
                path.display()
            );
            return Err(Error::new(Kind::Library, message));
        }
        if settings.devices.is_some() && !loaded.facts.cuda {
            return Err(library::without_cuda(&loaded.facts.path));
        }
        let on_device = settings.devices.as_ref().map(|devices| OnDevice::new(devices.next())).transpose();
        let on_device = on_device.map_err(|error| Error::new(Kind::Library, plain(&error)))?;
        if settings.choice != EngineChoice::OpenVino && settings.precision == Precision::Bf16 {
            let message = "the engine ort computes in f32 only; use --engine openvino for bf16, or --precision f32";
            return Err(Error::new(Kind::Usage, message));
        }
        let unusable = |error: ::ort::Error| {
            let hint = match settings.choice {
                EngineChoice::OpenVino => "; OpenVINO may lack an operator of it, use --engine ort",
                _ => "",
            };
            let refused = || match &on_device {
                Some(on_device) => refused_by_device(&on_device.device, &network.name, &error),
                None => Error::new(Kind::Network, format!("{}: {}{hint}", network.name, plain(&error))),
            };
            settings.stop.reason().unwrap_or_else(refused)
        };
        let device = on_device.as_ref().map(|on_device| on_device.device.as_ref());
        let mut builder = builder(loaded, settings, device).map_err(unusable)?;
        // Loading folds constants, which is running already.
        let loading = Arc::new(Loading(builder.canceler()));
        settings.stop.register(&loading);
        let session = builder.commit_from_memory(bytes).map_err(unusable)?;
        let options = Arc::new(RunOptions::new().map_err(unusable)?);
        settings.stop.register(&options);
        if let Some(on_device) = &on_device {
            settings.stop.register(&on_device.tight);
        }
        let memory =
            MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).map_err(unusable)?;
        Ok(OrtEngine {
            input: only_input(session.inputs(), &network.facts.input)?,
            output: output(session.outputs(), &network.facts.output)?,
            session,
            memory,
            options,
            fixed_batch: network.facts.fixed_batch.is_some(),
            on_device,
            stop: settings.stop.clone(),
        })
    }

    /// Runs the session; a null pointer as `output` lets it allocate.
    fn run_raw(&mut self, options: &RunOptions, input: &Value<'_>, output: &mut *mut OrtValue) -> ::ort::Result<()> {
        let inputs = [self.input.0.as_ptr()];
        let outputs = [self.output.0.as_ptr()];
        let given = [input.pointer.as_ptr().cast_const()];
        // SAFETY: all pointers are live for the call: one name and one value a side, as counted; `&mut self` keeps a
        // second run of this session away. `output` is null or a value over memory that is borrowed mutably.
        unsafe {
            let status = (::ort::api().Run)(
                self.session.ptr_mut(),
                options.ptr(),
                inputs.as_ptr(),
                given.as_ptr(),
                1,
                outputs.as_ptr(),
                1,
                output,
            );
            ::ort::Error::result_from_status(status)
        }
    }

    /// The shape that the network gives for this input.
    fn true_shape(&mut self, input: &Value<'_>) -> ::ort::Result<Vec<usize>> {
        let mut pointer = ptr::null_mut();
        let options = self.options.clone();
        self.run_raw(&options, input, &mut pointer)?;
        let pointer = NonNull::new(pointer).ok_or_else(|| ::ort::Error::new("no output"))?;
        // SAFETY: a value that the session allocated and nobody else holds; `DynValue` releases it.
        let value = unsafe { ::ort::value::DynValue::from_ptr(pointer, Some(self.session.allocator())) };
        Ok(value.shape().iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect())
    }
}

impl OrtEngine {
    /// Runs some of the windows of a batch; `is_short` gives memory back to the device afterwards.
    fn run_part(
        &mut self,
        input: &Tensor,
        output: &mut Tensor,
        windows: Range<usize>,
        is_short: bool,
    ) -> std::result::Result<(), Refusal> {
        let failed = |error: ::ort::Error| Refusal::Other(Error::new(Kind::Infer, plain(&error)));
        let bytes = part(input, &windows);
        let pointer = input.bytes()[bytes.clone()].as_ptr().cast_mut().cast();
        // SAFETY: the memory of `input` has this length and is borrowed; a session only reads its inputs.
        let given = unsafe { Value::over(&self.memory, pointer, bytes.len(), input, windows.len()) }.map_err(failed)?;
        let bytes = part(output, &windows);
        let length = bytes.len();
        let pointer = output.bytes_mut()[bytes].as_mut_ptr().cast();
        // SAFETY: the memory of `output` has this length and is borrowed mutably for the whole function.
        let taken = unsafe { Value::over(&self.memory, pointer, length, output, windows.len()) }.map_err(failed)?;
        let tight = self.on_device.as_ref().filter(|_| is_short).map(|on_device| on_device.tight.clone());
        let options = tight.unwrap_or_else(|| self.options.clone());
        let Err(error) = self.run_raw(&options, &given, &mut taken.pointer.as_ptr()) else { return Ok(()) };
        if let Some(stopped) = self.stop.reason() {
            return Err(Refusal::Other(stopped));
        }
        drop(taken);
        let [_, a, b, c] = output.shape();
        if let Refusal::Memory = cuda::refusal(&error)
            && self.on_device.is_some()
        {
            return Err(Refusal::Memory);
        }
        let kind = if self.on_device.is_none() { kind(&error) } else { Kind::Infer };
        Err(Refusal::Other(match self.true_shape(&given) {
            Ok(shape) if shape != [windows.len(), a, b, c] => wrong_output(input, output, &shape),
            _ => Error::new(kind, plain(&error)).context(format!("input {}", shape_text(&input.shape()))),
        }))
    }

    /// Runs some of the windows of a batch together if that gives the bits of each by itself, which is tried once for
    /// each number and size of them, else one by one.
    fn run_joined(
        &mut self,
        input: &Tensor,
        output: &mut Tensor,
        windows: Range<usize>,
        is_short: bool,
    ) -> std::result::Result<(), Refusal> {
        let [_, shape @ ..] = input.shape();
        let tried = self.on_device.as_ref().and_then(|on_device| on_device.may_join(windows.len(), shape));
        if windows.len() == 1 || self.fixed_batch || tried == Some(true) {
            return self.run_part(input, output, windows, is_short);
        }
        let mut together = None;
        if tried.is_none() {
            self.run_part(input, output, windows.clone(), is_short)?;
            together = Some(output.bytes()[part(output, &windows)].to_vec());
        }
        for window in windows.clone() {
            self.run_part(input, output, window..window + 1, is_short)?;
        }
        if let (Some(together), Some(on_device)) = (together, &mut self.on_device) {
            let is_same = together == output.bytes()[part(output, &windows)];
            on_device.joined(windows.len(), shape, is_same);
        }
        Ok(())
    }
}

/// The bytes of some windows of a batch.
fn part(tensor: &Tensor, windows: &Range<usize>) -> Range<usize> {
    let bytes = tensor.bytes().len() / tensor.shape()[0].max(1);
    windows.start * bytes..windows.end * bytes
}

impl Engine for OrtEngine {
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()> {
        // ONNX Runtime trusts the type of a value that it is given to write to.
        assert_eq!(input.element(), self.input.1);
        assert_eq!(output.element(), self.output.1);
        let n = input.shape()[0];
        if n != output.shape()[0] {
            let [_, a, b, c] = output.shape();
            return Err(wrong_output(input, output, &[n, a, b, c]));
        }
        let device = self.on_device.as_ref().map(|on_device| on_device.device.clone());
        let Some(device) = device else {
            return self.run_part(input, output, 0..n, false).map_err(|refusal| match refusal {
                Refusal::Memory => Error::new(Kind::Internal, "the processor ran out of a device's memory"),
                Refusal::Other(error) => error,
            });
        };
        let takes_all = self.fixed_batch;
        cuda::in_shares(&device, n, takes_all, |windows, is_short| self.run_joined(input, output, windows, is_short))
    }
}

/// The error of a session that a device did not get.
fn refused_by_device(device: &Device, network: &str, error: &::ort::Error) -> Error {
    let (index, name) = (device.facts.index, &device.facts.name);
    let message = format!("{network} cannot run on cuda:{index} ({name}): {}; use --device cpu", plain(error));
    Error::new(Kind::Library, message)
}

/// A tensor of ours as ONNX Runtime sees it, over the same memory.
struct Value<'a> {
    pointer: NonNull<OrtValue>,
    memory: PhantomData<&'a Tensor>,
}

impl<'a> Value<'a> {
    /// # Safety
    /// `data` are `length` bytes of `tensor` that hold `n` items of its batch, and the caller holds it borrowed (mutably,
    /// to write) while the value is used.
    unsafe fn over(
        memory: &MemoryInfo<'_>,
        data: *mut c_void,
        length: usize,
        tensor: &Tensor,
        n: usize,
    ) -> ::ort::Result<Value<'a>> {
        let element = match tensor.element() {
            Element::F32 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            Element::F16 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            Element::U8 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        };
        let [_, a, b, c] = tensor.shape();
        let shape = [n, a, b, c].map(|size| size as i64);
        let mut value = ptr::null_mut();
        // SAFETY: `data` has `length` bytes, by the contract; ONNX Runtime checks shape against length and copies the
        // shape.
        unsafe {
            let create = ::ort::api().CreateTensorWithDataAsOrtValue;
            let status = create(memory.ptr(), data, length, shape.as_ptr(), shape.len(), element, &mut value);
            ::ort::Error::result_from_status(status)?;
        }
        let pointer = NonNull::new(value).ok_or_else(|| ::ort::Error::new("no value was made"))?;
        Ok(Value { pointer, memory: PhantomData })
    }
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `over` and released only here; the tensor's memory stays ours.
        unsafe { (::ort::api().ReleaseValue)(self.pointer.as_ptr()) }
    }
}

impl Interrupt for RunOptions<NoSelectedOutputs> {
    fn interrupt(&self) {
        // It can only fail for a null pointer.
        let _ = self.terminate();
    }
}

/// A session that is being loaded.
struct Loading(LoadCanceler);

impl Interrupt for Loading {
    fn interrupt(&self) {
        // It can only fail for a null pointer.
        let _ = self.0.cancel();
    }
}

/// The settings of every session: sequential, quiet, all graph optimisations (they are deterministic).
fn builder(
    loaded: &library::Loaded,
    settings: &EngineSettings,
    device: Option<&Device>,
) -> ::ort::Result<SessionBuilder> {
    let threads = settings.threads.max(1);
    let builder = Session::builder(&loaded.environment)?
        .with_log_level(LogLevel::Error)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_memory_pattern(true)?;
    if let Some(device) = device {
        // A network that in part runs on the processor is refused, not hidden.
        return Ok(builder
            .with_memory_pattern(false)?
            .with_deterministic_compute(true)?
            .with_execution_providers([cuda::provider(device, settings.precision)])?
            .with_disable_cpu_fallback()?);
    }
    if settings.choice != EngineChoice::OpenVino {
        return Ok(builder.with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?);
    }
    // On CPUs with bfloat16 OpenVINO would lower the precision by itself.
    let precision = match settings.precision {
        Precision::F32 | Precision::Tf32 => "f32",
        Precision::Bf16 => "bf16",
    };
    // Each session would pin its threads from the first processor on, so that all workers would share it.
    let config = format!(r#"{{"CPU":{{"INFERENCE_PRECISION_HINT":"{precision}","ENABLE_CPU_PINNING":"NO"}}}}"#);
    let provider = ep::OpenVINO::default().with_device_type("CPU").with_num_threads(threads).with_num_streams(1);
    let provider = ep::ArbitrarilyConfigurableExecutionProvider::with_arbitrary_config(provider, "load_config", config);
    Ok(builder.with_execution_providers([provider.build().error_on_failure()])?.with_disable_cpu_fallback()?)
}

/// Name and element of the one input.
fn only_input(inputs: &[Outlet], port: &Port) -> Result<(CString, Element)> {
    match inputs {
        [input] if input.name() == port.name => described(input, port),
        _ => {
            let names: Vec<_> = inputs.iter().map(Outlet::name).collect();
            let message = format!("the network has the inputs {}, expected {} alone", names.join(", "), port.name);
            Err(Error::new(Kind::Network, message))
        }
    }
}

/// Name and element of the output that `port` names, among several perhaps.
fn output(outputs: &[Outlet], port: &Port) -> Result<(CString, Element)> {
    let found = outputs.iter().find(|output| output.name() == port.name);
    let missing = || Error::new(Kind::Network, format!("the network has no output named {}", port.name));
    described(found.ok_or_else(missing)?, port)
}

fn described(outlet: &Outlet, port: &Port) -> Result<(CString, Element)> {
    let element = match outlet.dtype().tensor_type() {
        Some(TensorElementType::Float32) => Some(Element::F32),
        Some(TensorElementType::Float16) => Some(Element::F16),
        Some(TensorElementType::Uint8) => Some(Element::U8),
        _ => None,
    };
    match (element, CString::new(outlet.name())) {
        (Some(element), Ok(name)) if element == port.element => Ok((name, element)),
        _ => {
            let message = format!("{} is of type {}, expected {:?}", port.name, outlet.dtype(), port.element);
            Err(Error::new(Kind::Network, message))
        }
    }
}

/// What kind of failure an error of a run on the processor is: what the graph asks for is never there, else it may be
/// another time.
fn kind(error: &::ort::Error) -> Kind {
    match error.code() {
        _ if cuda::is_out_of_memory(error.message()) => Kind::Infer,
        ErrorCode::InvalidArgument | ErrorCode::NotImplemented | ErrorCode::InvalidGraph => Kind::Network,
        _ => Kind::Infer,
    }
}

/// ONNX Runtime's message without the source file and the function signature that it puts in front.
fn plain(error: &::ort::Error) -> String {
    let text = error.message();
    let text = text.rsplit_once(") ").map_or(text, |(_, rest)| rest);
    format!("onnxruntime: {}", text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
