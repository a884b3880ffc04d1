//! Finding and loading ONNX Runtime: one library a process, opened at run time and kept to the end.
//!
//! Looked for by absolute path only: where `ORT_DYLIB_PATH` says, beside the program, in the user's data folder; never
//! in the working directory or near the input. The OpenVINO build lies in the folder `openvino` of these places; it
//! holds ONNX Runtime's own kernels too, so it serves both engines. So does the build for CUDA devices, in the folder `cuda`.

use std::ffi::{CStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::ort::environment::Environment;
use ::ort::ep::ExecutionProvider as _;
use ::ort::logging::LogLevel;
use etcetera::BaseStrategy as _;

use crate::error::{Error, Kind, Result};
use crate::infer::{EngineChoice, EngineSettings};

/// What ONNX Runtime loads for CUDA devices, from beside itself.
const CUDA_PROVIDER: &str = "libonnxruntime_providers_cuda.so";

/// The ONNX Runtime of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryFacts {
    /// Where it was loaded from.
    pub path: PathBuf,
    /// Its version, as `1.31.1`.
    pub version: String,
    /// Whether it was built with OpenVINO.
    pub openvino: bool,
    /// Whether it was built for CUDA devices.
    pub cuda: bool,
}

/// Which of the builds is looked for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Plain,
    OpenVino,
    Cuda,
}

impl Build {
    /// The one that these settings need.
    pub(super) fn of(settings: &EngineSettings) -> Build {
        if settings.devices.is_some() { Build::Cuda } else { settings.choice.into() }
    }
}

impl From<EngineChoice> for Build {
    fn from(choice: EngineChoice) -> Build {
        match choice {
            EngineChoice::Native | EngineChoice::Ort => Build::Plain,
            EngineChoice::Auto | EngineChoice::OpenVino => Build::OpenVino,
        }
    }
}

/// Refuses, before anything is loaded, a machine that has no ONNX Runtime for CUDA devices: a process keeps the library
/// that it loads.
pub fn check_cuda() -> Result<()> {
    let path = Places::of_this_machine().find(Build::Cuda)?;
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    match real.with_file_name(CUDA_PROVIDER).is_file() {
        true => Ok(()),
        false => Err(without_cuda(&path)),
    }
}

/// The error of a library without CUDA.
pub(super) fn without_cuda(path: &Path) -> Error {
    let message = format!(
        "{} is no ONNX Runtime for CUDA, {CUDA_PROVIDER} is not beside it; run `make cuda`, or use --device cpu",
        path.display()
    );
    Error::new(Kind::Library, message)
}

/// The library with its environment, which must outlive all sessions and so is never dropped.
pub(super) struct Loaded {
    pub(super) facts: LibraryFacts,
    pub(super) environment: Environment,
}

/// The library, loaded by the first call. `wanted` orders the places that call looks in; later calls get the same
/// library whatever they want, because a process can hold only one.
pub fn library(wanted: EngineChoice) -> Result<&'static LibraryFacts> {
    loaded(wanted.into()).map(|loaded| &loaded.facts)
}

pub(super) fn loaded(wanted: Build) -> Result<&'static Loaded> {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    // A failure is not kept, so that a test or a later call may succeed; the lock makes loading happen once.
    static LOADING: Mutex<()> = Mutex::new(());
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    let path = Places::of_this_machine().find(wanted)?;
    let loaded = load(path)?;
    tracing::debug!("onnxruntime {} from {}", loaded.facts.version, loaded.facts.path.display());
    Ok(LOADED.get_or_init(|| loaded))
}

/// The files that the engines would load, without loading one: their names tell versions apart.
pub fn installed() -> Vec<PathBuf> {
    let places = Places::of_this_machine();
    let found = [Build::Plain, Build::OpenVino, Build::Cuda].into_iter().filter_map(|choice| places.find(choice).ok());
    let mut files: Vec<PathBuf> = found.map(|path| path.canonicalize().unwrap_or(path)).collect();
    files.sort();
    files.dedup();
    files
}

/// The files whose code computes for the engine `choice`, which ONNX Runtime has: its library, and beside it what of
/// OpenVINO there is and, `on_gpu`, of CUDA.
pub fn files(choice: EngineChoice, on_gpu: bool) -> Result<Vec<PathBuf>> {
    let plain = |path: PathBuf| path.canonicalize().unwrap_or(path);
    let library = plain(library(choice)?.path.clone());
    let mut files = Vec::new();
    if let (EngineChoice::OpenVino, Some(folder)) = (choice, library.parent()) {
        let fail = |error| Error::io(format!("read {}", folder.display()), error);
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            if OPENVINO.iter().any(|beginning| name.to_string_lossy().starts_with(beginning)) {
                files.push(plain(folder.join(name)));
            }
        }
    }
    if on_gpu {
        files.push(plain(library.with_file_name(CUDA_PROVIDER)));
    }
    files.push(library);
    files.sort();
    files.dedup();
    Ok(files)
}

/// Beginnings of the names of the files that OpenVINO computes with on the CPU.
const OPENVINO: [&str; 4] = [
    "libonnxruntime_providers_openvino.",
    "libopenvino.so",
    "libopenvino_intel_cpu_plugin.",
    "libopenvino_onnx_frontend.",
];

/// Where the library may lie.
struct Places {
    /// `ORT_DYLIB_PATH`, when it is set.
    named: Option<OsString>,
    /// The program's own folder, then the user's data folder.
    folders: Vec<PathBuf>,
}

impl Places {
    fn of_this_machine() -> Self {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
        let data = etcetera::choose_base_strategy().ok().map(|base| base.data_dir().join("vproc"));
        let named = std::env::var_os("ORT_DYLIB_PATH").filter(|name| !name.is_empty());
        Places { named, folders: beside.into_iter().chain(data).filter(|folder| folder.is_absolute()).collect() }
    }

    /// The first library there is. One that was named is taken or the search fails; nothing is put in its place.
    fn find(&self, wanted: Build) -> Result<PathBuf> {
        if let Some(named) = &self.named {
            let path = PathBuf::from(named);
            return match path.is_absolute() && path.is_file() {
                true => Ok(path),
                false => Err(Error::new(
                    Kind::Library,
                    format!(
                        "ORT_DYLIB_PATH is {}, expected the absolute path of libonnxruntime.so; correct it or unset it",
                        path.display()
                    ),
                )),
            };
        }
        let openvino = self.folders.iter().map(|folder| folder.join("openvino"));
        let plain = self.folders.iter().cloned();
        let cuda = self.folders.iter().map(|folder| folder.join("cuda"));
        let folders: Vec<PathBuf> = match wanted {
            Build::Plain => plain.chain(openvino).collect(),
            Build::OpenVino => openvino.chain(plain).collect(),
            Build::Cuda => cuda.chain(plain).collect(),
        };
        folders.iter().find_map(|folder| newest_in(folder)).ok_or_else(|| {
            let places: Vec<_> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
            Error::new(
                Kind::Library,
                format!(
                    "onnxruntime was not found in {}; run `make setup`, or set ORT_DYLIB_PATH to the absolute path of \
                     libonnxruntime.so",
                    places.join(" or ")
                ),
            )
        })
    }
}

/// `libonnxruntime.so` in a folder, else the highest version beside it (wheels hold only the versioned name).
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join("libonnxruntime.so");
    if plain.is_file() {
        return Some(plain);
    }
    let version = |path: &Path| -> Option<Vec<u32>> {
        let text = path.file_name()?.to_str()?.strip_prefix("libonnxruntime.so.1.")?;
        text.split('.').map(|number| number.parse().ok()).collect()
    };
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let versions = files.filter(|path| path.is_file()).filter_map(|path| Some((version(&path)?, path)));
    versions.max().map(|(_, path)| path)
}

/// Opens the library and makes the environment. Everything that `ort` would panic on is asked for first.
fn load(path: PathBuf) -> Result<Loaded> {
    let unusable = |why: String| Error::new(Kind::Library, format!("{}: {why}", path.display()));
    let version = version_of(&path).map_err(|error| unusable(error.to_string()))?;
    let number = |n: usize| version.split('.').nth(n).and_then(|part| part.parse::<u32>().ok());
    if number(0) != Some(1) || number(1) < Some(::ort::MINOR_VERSION) {
        let wanted = ::ort::MINOR_VERSION;
        return Err(unusable(format!("onnxruntime {version}, expected 1.{wanted} or newer; run `make setup`")));
    }
    let builder = ::ort::init_from(&path).map_err(|error| unusable(error.to_string()))?;
    // Without a logger of ours ONNX Runtime writes to stderr; what matters reaches the user as the error of a call.
    let logger = |level: LogLevel, _: &str, _: &str, place: &str, message: &str| {
        tracing::debug!("onnxruntime {level:?}: {message} ({place})");
    };
    let builder = builder.with_name("vproc").with_telemetry(false).with_logger(Arc::new(logger));
    let environment = builder.build().map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    let openvino = ::ort::ep::OpenVINO::is_available().map_err(|error| unusable(error.to_string()))?;
    let cuda = ::ort::ep::CUDA::is_available().map_err(|error| unusable(error.to_string()))?;
    Ok(Loaded { facts: LibraryFacts { path, version, openvino, cuda }, environment })
}

/// The version of the library at `path`.
fn version_of(path: &Path) -> std::result::Result<String, libloading::Error> {
    // SAFETY: loading runs the library's initialisers; it is the file that the user installed or named for this.
    let library = unsafe { libloading::Library::new(path) }?;
    // SAFETY: `OrtGetApiBase` has this signature in every ONNX Runtime.
    let base: libloading::Symbol<unsafe extern "C" fn() -> *const ::ort::sys::OrtApiBase> =
        unsafe { library.get(b"OrtGetApiBase") }?;
    // SAFETY: it returns a pointer to a static of the library, which is loaded until the end of this function.
    let version = unsafe { base().as_ref() }.map(|base| {
        // SAFETY: a NUL-terminated string constant of the library, copied before it is closed.
        unsafe { CStr::from_ptr((base.GetVersionString)()) }.to_string_lossy().into_owned()
    });
    Ok(version.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_one_line_that_says_where_and_how() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places { named: None, folders: vec![folder.path().into(), "/nowhere/vproc".into()] };
        let error = places.find(Build::OpenVino).unwrap_err();
        let expected = format!(
            "onnxruntime was not found in {} or /nowhere/vproc; run `make setup`, or set ORT_DYLIB_PATH to the absolute \
             path of libonnxruntime.so",
            folder.path().display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), Kind::Library);
    }

    #[test]
    fn a_library_that_was_named_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libonnxruntime.so"), "").unwrap();
        for named in ["libonnxruntime.so", "/nowhere/libonnxruntime.so"] {
            let places = Places { named: Some(named.into()), folders: vec![folder.path().into()] };
            assert_eq!(places.find(Build::OpenVino).unwrap_err().kind(), Kind::Library);
        }
    }

    #[test]
    fn the_highest_version_is_taken_and_openvino_only_when_it_may_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let openvino = folder.path().join("openvino");
        std::fs::create_dir(&openvino).unwrap();
        let other = openvino.join("libonnxruntime.so.1.24.1");
        std::fs::write(&other, "").unwrap();
        for name in ["libonnxruntime.so.1.9.1", "libonnxruntime.so.1.31.1", "libonnxruntime.so.1.4.0.bak", "README"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let places = Places { named: None, folders: vec![folder.path().into()] };
        assert_eq!(places.find(Build::Plain).unwrap(), folder.path().join("libonnxruntime.so.1.31.1"));
        assert_eq!(places.find(Build::OpenVino).unwrap(), other);
        assert_eq!(places.find(Build::OpenVino).unwrap(), other);
    }

    #[test]
    fn what_is_not_onnxruntime_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, "not a library").unwrap();
        let error = load(path).err().unwrap();
        assert_eq!(error.kind(), Kind::Library);
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
