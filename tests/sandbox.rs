//! What a process that gave up its rights can still do: what it was granted, and nothing else.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;

use vproc::sandbox::{Grants, Status, apply};

/// Runs `acts` in a thread that has given up all but `grants`; `None` where the kernel cannot do that.
fn confined<T: Send + 'static>(grants: Grants, acts: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let run = move || match apply(&grants) {
        Status::Full => Some(acts()),
        other => {
            println!("skipped: sandbox {other}");
            None
        }
    };
    thread::spawn(run).join().unwrap()
}

fn is_denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn a_confined_process_reads_its_input_and_writes_beside_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    for name in ["in", "out", "other"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("a"), name).unwrap();
    }
    symlink(root.join("other/a"), root.join("out/link")).unwrap();
    let grants = Grants {
        read: vec![root.join("in/a"), root.join("missing")],
        write: vec![root.join("out")],
        ..Grants::default()
    };
    confined(grants, move || {
        assert_eq!(fs::read_to_string(root.join("in/a")).unwrap(), "in");
        fs::write(root.join("out/b.part"), "new").unwrap();
        fs::rename(root.join("out/b.part"), root.join("out/a")).unwrap();
        fs::create_dir(root.join("out/sub")).unwrap();
        fs::write(root.join("out/sub/c"), "c").unwrap();
        fs::remove_file(root.join("out/sub/c")).unwrap();
        fs::write("/dev/null", "x").unwrap();
        assert!(fs::read_dir("/usr/lib").unwrap().next().is_some());
        assert!(fs::read_to_string("/proc/self/status").unwrap().contains("VmHWM"));
        assert!(thread::spawn(|| fs::read_to_string("/proc/cpuinfo").is_ok()).join().unwrap());

        assert!(is_denied(fs::write(root.join("in/a"), "x")), "write the input");
        assert!(is_denied(File::create(root.join("in/b"))), "write beside the input");
        assert!(is_denied(fs::read_dir(root.join("in"))), "list beside the input");
        assert!(is_denied(File::open(root.join("other/a"))), "read elsewhere");
        assert!(is_denied(File::open(root.join("out/link"))), "read elsewhere by a link");
        assert!(is_denied(fs::rename(root.join("other/a"), root.join("out/c"))), "move from elsewhere");
        assert!(is_denied(fs::remove_file(root.join("other/a"))), "remove elsewhere");
        assert!(is_denied(symlink("/etc/passwd", root.join("out/l"))), "make a link");
        assert!(is_denied(File::open("/etc/passwd")), "read the system's settings");
        assert!(is_denied(fs::write(std::env::temp_dir().join("vproc-test-escape"), "x")), "write to /tmp");
        assert!(is_denied(Command::new("/bin/true").status()), "start a program");
        assert_eq!(File::open(root.join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn the_network_is_closed_unless_it_was_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    confined(Grants::default(), move || {
        assert!(is_denied(TcpStream::connect(address)));
        assert!(is_denied(TcpListener::bind("127.0.0.1:0")));
    });
    confined(Grants { network: true, ..Grants::default() }, move || {
        assert!(TcpStream::connect(address).is_ok());
        assert!(Path::new("/etc/hosts").exists() && File::open("/etc/hosts").is_ok());
    });
}
