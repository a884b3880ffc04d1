//! What the process may touch, enforced by the kernel (Landlock) before any thread starts.
//!
//! A decoder that a hostile file has taken over can then read the run's inputs and the system's libraries, write into
//! the folder of the output, and nothing else; no TCP either. Kernels without Landlock, or with an older one, enforce
//! what they can, and the status says so. Files that are open already, such as stdout, are not affected.

use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use crate::config::folders;

/// The newest rights of the kernel that are asked for; older kernels take what they know.
const ASKED: ABI = ABI::V5;

/// Libraries, and what they and the runtime read about the machine.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/urandom",
];

/// What a program that speaks to the network reads about names and certificates.
const NETWORK: &[&str] = &["/etc", "/run/systemd/resolve"];

/// What NVIDIA's driver reads about itself and its devices.
const GPU: &[&str] = &["/proc/driver/nvidia", "/proc/devices", "/sys/bus/pci", "/sys/devices", "/sys/module/nvidia"];

/// What a run needs of its own; what does not exist is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Files, and folders with all below, to be read.
    pub read: Vec<PathBuf>,
    /// Folders, with all below, and devices to be read, written, made and removed in.
    pub write: Vec<PathBuf>,
    /// The person named a network protocol, so TCP stays open.
    pub network: bool,
    /// NVIDIA's devices may be used, with all that their driver reads.
    pub gpu: bool,
}

/// What the kernel enforces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything that was asked for.
    Full,
    /// What this kernel knows of it.
    Partial,
    /// Nothing, and why.
    Off(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Full => f.write_str("enforced"),
            Status::Partial => f.write_str("enforced as far as this kernel can"),
            Status::Off(why) => write!(f, "off: {why}"),
        }
    }
}

/// Gives up everything but `grants` and the system's libraries, for this thread and all it starts.
pub fn apply(grants: &Grants) -> Status {
    let restricted = restrict(grants).and_then(RulesetCreated::restrict_self);
    match restricted {
        Err(error) => Status::Off(error.to_string()),
        Ok(done) => match (done.ruleset, done.landlock) {
            (RulesetStatus::FullyEnforced, _) => Status::Full,
            (RulesetStatus::PartiallyEnforced, _) => Status::Partial,
            (_, LandlockStatus::NotEnabled) => Status::Off("Landlock is not enabled in this kernel".into()),
            _ => Status::Off("this kernel has no Landlock".into()),
        },
    }
}

fn restrict(grants: &Grants) -> Result<RulesetCreated, RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(ASKED))?;
    if !grants.network {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    let mut ruleset = ruleset.create()?;
    // Reading does not include running: no program is ever started.
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let network = if grants.network { NETWORK } else { &[] };
    let gpu = if grants.gpu { GPU } else { &[] };
    let reads = SYSTEM
        .iter()
        .chain(network)
        .chain(gpu)
        .map(PathBuf::from)
        .chain(libraries())
        .chain(grants.read.iter().cloned());
    for path in reads {
        ruleset = allow(ruleset, &path, read)?;
    }
    for path in grants.write.iter().map(PathBuf::as_path).chain([Path::new("/dev/null")]) {
        ruleset = allow(ruleset, path, write)?;
    }
    let devices = if grants.gpu { nvidia_devices() } else { Vec::new() };
    for path in devices {
        ruleset = allow(ruleset, &path, write | AccessFs::IoctlDev)?;
    }
    Ok(ruleset)
}

/// The file that NVIDIA's driver is spoken to through first.
const NVIDIA: &str = "/dev/nvidiactl";

/// The files that NVIDIA's driver is spoken to through.
fn nvidia_devices() -> Vec<PathBuf> {
    if !Path::new(NVIDIA).exists() {
        return Vec::new();
    }
    let files = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_of_nvidia =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nvidia"));
    files.map(|file| file.path()).filter(is_of_nvidia).collect()
}

/// Adds a path that exists; a file cannot have the rights of a folder.
fn allow(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ASKED) };
    ruleset.add_rule(PathBeneath::new(opened, access))
}

/// Where libraries opened at run time may lie: beside the program, in the user's folders, where the environment says.
fn libraries() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if let Some(folders) = folders() {
        paths.extend([folders.config, folders.data, folders.cache]);
    }
    if let Some(folder) = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned())) {
        let names = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_library = |path: &PathBuf| path.to_string_lossy().contains(".so");
        paths.extend(names.filter(is_library).filter_map(|path| Some(path.canonicalize().ok()?.parent()?.to_owned())));
        paths.push(folder);
    }
    let search = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    paths.extend(std::env::split_paths(&search).filter(|path| path.is_absolute()));
    if let Some(library) = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from) {
        // Its providers lie beside the library itself, not beside a link to it.
        for path in [library.canonicalize().unwrap_or_default(), library] {
            paths.extend(path.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned));
        }
    }
    paths
}
