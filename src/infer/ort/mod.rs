//! ONNX Runtime as an engine: its own CPU kernels, or OpenVINO's through it.
//!
//! One session an engine, sequential, with threads that never spin. The caller's tensors are used in place, for input
//! and output: the run goes through the C API, because `ort`'s bindings copy borrowed inputs (and deadlock on it). The
//! library is found and loaded in `library`; without it everything here is an error, never a panic.

mod library;

use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ::ort::AsPointer as _;
use ::ort::ep;
use ::ort::logging::LogLevel;
use ::ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ::ort::session::builder::{GraphOptimizationLevel, LoadCanceler, SessionBuilder};
use ::ort::session::{NoSelectedOutputs, RunOptions, Session};
use ::ort::sys::{ONNXTensorElementDataType, OrtValue};
use ::ort::value::{Outlet, TensorElementType};

use super::{Engine, EngineChoice, EngineSettings, Interrupt, Precision, Terminator, shape_text, wrong_output};
use crate::error::{Error, Kind, Result};
use crate::model::{Element, Network, NetworkCode, Port, Tensor};

pub use library::{LibraryFacts, files, installed, library};

/// A session of ONNX Runtime with what each run needs.
pub struct OrtEngine {
    session: Session,
    memory: MemoryInfo<'static>,
    options: Arc<RunOptions>,
    input: (CString, Element),
    output: (CString, Element),
    stop: Terminator,
}

impl OrtEngine {
    /// A session for an ONNX network; [`EngineChoice::Auto`] means ONNX Runtime's own kernels.
    pub fn new(network: &Network, settings: &EngineSettings) -> Result<Self> {
        let NetworkCode::Onnx(bytes) = &network.code else {
            return Err(Error::new(Kind::Internal, format!("{} is not an ONNX graph", network.name)));
        };
        let loaded = library::loaded(settings.choice)?;
        if settings.choice == EngineChoice::OpenVino && !loaded.facts.openvino {
            let LibraryFacts { path, version, .. } = &loaded.facts;
            let message = format!(
                "{} (onnxruntime {version}) has no OpenVINO; run `make openvino`, or use --engine ort",
                path.display()
            );
            return Err(Error::new(Kind::Library, message));
        }
        if settings.choice != EngineChoice::OpenVino && settings.precision == Precision::Bf16 {
            let message = "the engine ort computes in f32 only; use --engine openvino for bf16, or --precision f32";
            return Err(Error::new(Kind::Usage, message));
        }
        let unusable = |error: ::ort::Error| {
            let hint = match settings.choice {
                EngineChoice::OpenVino => "; OpenVINO may lack an operator of it, use --engine ort",
                _ => "",
            };
            let refused = || Error::new(Kind::Network, format!("{}: {}{hint}", network.name, plain(&error)));
            settings.stop.reason().unwrap_or_else(refused)
        };
        let mut builder = builder(loaded, settings).map_err(unusable)?;
        // Loading folds constants, which is running already.
        let loading = Arc::new(Loading(builder.canceler()));
        settings.stop.register(&loading);
        let session = builder.commit_from_memory(bytes).map_err(unusable)?;
        let options = Arc::new(RunOptions::new().map_err(unusable)?);
        settings.stop.register(&options);
        let memory =
            MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).map_err(unusable)?;
        Ok(OrtEngine {
            input: only_input(session.inputs(), &network.facts.input)?,
            output: output(session.outputs(), &network.facts.output)?,
            session,
            memory,
            options,
            stop: settings.stop.clone(),
        })
    }

    /// Runs the session; a null pointer as `output` lets it allocate.
    fn run_raw(&mut self, input: &Value<'_>, output: &mut *mut OrtValue) -> ::ort::Result<()> {
        let inputs = [self.input.0.as_ptr()];
        let outputs = [self.output.0.as_ptr()];
        let given = [input.pointer.as_ptr().cast_const()];
        // SAFETY: all pointers are live for the call: one name and one value a side, as counted; `&mut self` keeps a
        // second run of this session away. `output` is null or a value over memory that is borrowed mutably.
        unsafe {
            let status = (::ort::api().Run)(
                self.session.ptr_mut(),
                self.options.ptr(),
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
        self.run_raw(input, &mut pointer)?;
        let pointer = NonNull::new(pointer).ok_or_else(|| ::ort::Error::new("no output"))?;
        // SAFETY: a value that the session allocated and nobody else holds; `DynValue` releases it.
        let value = unsafe { ::ort::value::DynValue::from_ptr(pointer, Some(self.session.allocator())) };
        Ok(value.shape().iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect())
    }
}

impl Engine for OrtEngine {
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()> {
        // ONNX Runtime trusts the type of a value that it is given to write to.
        assert_eq!(input.element(), self.input.1);
        assert_eq!(output.element(), self.output.1);
        let failed = |error: ::ort::Error| Error::new(Kind::Infer, plain(&error));
        let pointer = input.bytes().as_ptr().cast_mut().cast();
        // SAFETY: the memory of `input` has this length and is borrowed; a session only reads its inputs.
        let given = unsafe { Value::over(&self.memory, pointer, input) }.map_err(failed)?;
        let pointer = output.bytes_mut().as_mut_ptr().cast();
        // SAFETY: the memory of `output` has this length and is borrowed mutably for the whole function.
        let taken = unsafe { Value::over(&self.memory, pointer, output) }.map_err(failed)?;
        let Err(error) = self.run_raw(&given, &mut taken.pointer.as_ptr()) else { return Ok(()) };
        if let Some(stopped) = self.stop.reason() {
            return Err(stopped);
        }
        drop(taken);
        match self.true_shape(&given) {
            Ok(shape) if shape != output.shape() => Err(wrong_output(input, output, &shape)),
            _ => Err(failed(error).context(format!("input {}", shape_text(&input.shape())))),
        }
    }
}

/// A tensor of ours as ONNX Runtime sees it, over the same memory.
struct Value<'a> {
    pointer: NonNull<OrtValue>,
    memory: PhantomData<&'a Tensor>,
}

impl<'a> Value<'a> {
    /// # Safety
    /// `data` is the memory of `tensor`, and the caller holds it borrowed (mutably, to write) while the value is used.
    unsafe fn over(memory: &MemoryInfo<'_>, data: *mut c_void, tensor: &Tensor) -> ::ort::Result<Value<'a>> {
        let element = match tensor.element() {
            Element::F32 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            Element::F16 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            Element::U8 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        };
        let shape = tensor.shape().map(|size| size as i64);
        let length = tensor.bytes().len();
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
fn builder(loaded: &library::Loaded, settings: &EngineSettings) -> ::ort::Result<SessionBuilder> {
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
    if settings.choice != EngineChoice::OpenVino {
        return Ok(builder.with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?);
    }
    // On CPUs with bfloat16 OpenVINO would lower the precision by itself.
    let precision = match settings.precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    };
    let config = format!(r#"{{"CPU":{{"INFERENCE_PRECISION_HINT":"{precision}"}}}}"#);
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

/// ONNX Runtime's message without the source file and the function signature that it puts in front.
fn plain(error: &::ort::Error) -> String {
    let text = error.message();
    let text = text.rsplit_once(") ").map_or(text, |(_, rest)| rest);
    format!("onnxruntime: {}", text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
