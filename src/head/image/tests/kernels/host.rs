//! The kernels as C++ in a library of this machine.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use libloading::Library;

/// The kernels, compiled once; `None` with a printed reason where they cannot be.
pub(super) fn kernels() -> Option<&'static Kernels> {
    static KERNELS: OnceLock<Result<Kernels, String>> = OnceLock::new();
    let kernels = KERNELS.get_or_init(|| compile().map(Kernels)).as_ref();
    kernels.map_err(|why| println!("skipped the kernels for GPUs: {why}")).ok()
}

pub(super) struct Kernels(Library);

/// A missing compiler is a reason to skip; kernels that do not compile are not.
fn compile() -> Result<Library, String> {
    let folder = tempfile::tempdir().unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let probe = folder.path().join("probe.cc");
    std::fs::write(&probe, "float f(_Float16 half) { return half; }\n").unwrap();
    let run = |arguments: &mut Command| arguments.output().map_err(|error| format!("{compiler}: {error}"));
    if !run(Command::new(&compiler).args(["-c", "-o", "/dev/null"]).arg(&probe))?.status.success() {
        return Err(format!("{compiler} knows no _Float16"));
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let mut files: Vec<_> = std::fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    let library = folder.path().join("kernels.so");
    let options = "-x c++ -std=c++17 -DVPROC_HOST -O2 -ffp-contract=off -Wall -Wextra -Werror -fPIC -shared";
    let mut objects = Vec::new();
    for file in &files {
        let object = folder.path().join(file.file_stem().unwrap()).with_extension("o");
        let mut command = Command::new(&compiler);
        let made = run(command.args(options.split(' ')).arg("-c").arg("-o").arg(&object).arg(file))?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        objects.push(object);
    }
    let made = run(Command::new(&compiler).arg("-shared").arg("-o").arg(&library).args(&objects))?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // SAFETY: just compiled from our own sources, which have no initialisers. It stays mapped when the file is gone.
    Ok(unsafe { Library::new(&library) }.unwrap())
}

impl Kernels {
    /// Runs a kernel over a grid of blocks. `T` must be the struct that it takes, with pointers to what it may touch.
    pub(super) fn run<T>(&self, name: &str, arguments: &T, grid: [usize; 3]) {
        let grid = grid.map(|n| n as u32);
        // SAFETY: both have these signatures, made by the macro KERNEL. The size of what the kernel takes is compared
        // first; that its pointers are live is the caller's contract, who holds all of them borrowed.
        unsafe {
            let size = self.0.get::<unsafe extern "C" fn() -> u32>(format!("vproc_{name}_size").as_bytes()).unwrap();
            assert_eq!(size() as usize, size_of::<T>(), "the arguments of {name}");
            let kernel = format!("vproc_{name}");
            let kernel = self.0.get::<unsafe extern "C" fn(*const T, u32, u32, u32)>(kernel.as_bytes()).unwrap();
            kernel(arguments, grid[0], grid[1], grid[2]);
        }
    }
}
