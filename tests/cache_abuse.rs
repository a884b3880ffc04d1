//! A cache that many processes share, that are killed at any moment, and whose files somebody else cuts, replaces and
//! flips: never a wrong pixel, never a failed run. Short here; with `VPROC_SLOW_TESTS=1` eight processes
//! share it for four minutes, and one is killed each half second.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn is_slow() -> bool {
    std::env::var_os("VPROC_SLOW_TESTS").is_some()
}

/// A small generator of noise (Numerical Recipes' constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

struct Place {
    folder: tempfile::TempDir,
    size: &'static str,
    frames: usize,
}

impl Place {
    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn md5(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.md5"))
    }

    /// A run over the `clip`th test picture; its hashes go to `name`.
    fn start(&self, clip: usize, name: &str, cached: bool) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
        command.arg(format!("pattern:{}x240,frames={}", 320 + 16 * clip, self.frames)).args([
            "-o",
            &format!("md5:{}", self.md5(name).display()),
            "-y",
            "-m",
            "nearest-x2",
            "--no-config",
        ]);
        match cached {
            true => command.arg("--cache").arg(self.cache()).args(["--cache-size", self.size]),
            false => command.arg("--no-cache"),
        };
        let report = self.folder.path().join(format!("{name}.json"));
        let told = File::create(self.folder.path().join(format!("{name}.told"))).unwrap();
        command.arg("--report").arg(report).stdout(Stdio::null()).stderr(told).spawn().unwrap()
    }

    /// What a run said.
    fn told(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.told"))).unwrap()
    }

    /// Waits for a run that nobody kills, and checks what it gave.
    fn check(&self, mut child: Child, name: &str, expected: &str) {
        let status = child.wait().unwrap();
        assert!(status.code() == Some(0), "{status:?}: {}", self.told(name));
        assert!(fs::read_to_string(self.md5(name)).unwrap() == expected, "wrong pixels: {}", self.told(name));
    }

    fn expected(&self, clip: usize) -> String {
        assert!(self.start(clip, "plain", false).wait().unwrap().success());
        fs::read_to_string(self.md5("plain")).unwrap()
    }

    /// Of the pixels that a run needed, the share that it found.
    fn found(&self, name: &str) -> f64 {
        let report = fs::read(self.folder.path().join(format!("{name}.json"))).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let number = |name: &str| report[name].as_f64().unwrap();
        number("pixels_cached") / (number("pixels_cached") + number("pixels_inferred"))
    }
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_nothing_wrong() {
    let (kills, frames) = if is_slow() { (50, 40) } else { (6, 12) };
    let place = Place { folder: tempfile::tempdir().unwrap(), size: "16M", frames };
    let expected = place.expected(0);
    let begun = Instant::now();
    let child = place.start(0, "first", true);
    place.check(child, "first", &expected);
    let whole = begun.elapsed();
    let mut random = Random(3);
    for kill in 0..kills {
        if kill % 10 == 0 {
            fs::remove_dir_all(place.cache()).unwrap();
        }
        let mut child = place.start(0, "killed", true);
        thread::sleep(whole.mul_f64(random.below(1000) as f64 / 1000.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let child = place.start(0, "next", true);
        place.check(child, "next", &expected);
    }
    let child = place.start(0, "last", true);
    place.check(child, "last", &expected);
    assert!(place.found("last") > 0.99, "{}", place.found("last"));
    let mut verify = Command::new(env!("CARGO_BIN_EXE_vproc"));
    assert!(verify.args(["cache", "verify", "--cache"]).arg(place.cache()).output().unwrap().status.success());
}

/// Does something bad to one of the files.
fn hurt(cache: &Path, random: &mut Random) {
    let name = ["index", "payload", "index"][random.below(3) as usize];
    let path = cache.join(name);
    let Ok(file) = File::options().read(true).write(true).open(&path) else { return };
    let length = file.metadata().unwrap().len().max(1);
    match random.below(4) {
        0 => {
            let _ = file.set_len(random.below(length));
        }
        1 => {
            let _ = fs::remove_file(&path);
        }
        2 => {
            // Somebody's file under the same name.
            let foreign = cache.join("foreign");
            let _ = fs::write(&foreign, vec![random.below(256) as u8; random.below(1 << 20) as usize]);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            let _ = fs::set_permissions(&foreign, mode);
            let _ = fs::rename(&foreign, &path);
        }
        _ => (0..200).for_each(|_| {
            let at = random.below(length);
            let mut byte = [0];
            if file.read_exact_at(&mut byte, at).is_ok() {
                let _ = file.write_all_at(&[byte[0] ^ (1 << random.below(8))], at);
            }
        }),
    }
}

/// A run that may be killed while somebody else waits for it.
#[derive(Default)]
struct Slot(Mutex<(Option<Child>, bool)>);

impl Slot {
    /// Waits until the run has ended, and gives whether it was killed.
    fn wait(&self) -> (ExitStatus, bool) {
        loop {
            let mut slot = self.0.lock().unwrap();
            if let Some(status) = slot.0.as_mut().unwrap().try_wait().unwrap() {
                slot.0 = None;
                return (status, std::mem::take(&mut slot.1));
            }
            drop(slot);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the run if there is one.
    fn kill(&self) -> bool {
        let (child, is_killed) = &mut *self.0.lock().unwrap();
        let Some(child) = child else { return false };
        child.kill().unwrap();
        *is_killed = true;
        true
    }
}

/// How hard it is made for them.
struct Strain {
    processes: usize,
    size: &'static str,
    frames: usize,
    time: Duration,
    /// Each time one of them is killed.
    between_kills: Duration,
    /// Each time the files are hurt.
    between_hurts: Duration,
}

#[test]
fn processes_share_a_cache_that_is_hurt_all_the_time() {
    let (seconds, milliseconds) = (Duration::from_secs, Duration::from_millis);
    let strain = match is_slow() {
        true => Strain {
            processes: 8,
            size: "64M",
            frames: 30,
            time: seconds(240),
            between_kills: milliseconds(500),
            between_hurts: seconds(2),
        },
        false => Strain {
            processes: 3,
            size: "4M",
            frames: 8,
            time: seconds(4),
            between_kills: milliseconds(900),
            between_hurts: milliseconds(400),
        },
    };
    let place = Place { folder: tempfile::tempdir().unwrap(), size: strain.size, frames: strain.frames };
    let expected: Vec<String> = (0..4).map(|clip| place.expected(clip)).collect();
    let (place, expected) = (&place, &expected);
    let slots: Vec<Slot> = (0..strain.processes).map(|_| Slot::default()).collect();
    let (n_runs, n_killed) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let mut n_hurts = 0;
    let begun = Instant::now();
    thread::scope(|scope| {
        for (process, slot) in slots.iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random(process as u64 + 1);
                let name = format!("process-{process}");
                while begun.elapsed() < strain.time {
                    let clip = random.below(4) as usize;
                    slot.0.lock().unwrap().0 = Some(place.start(clip, &name, true));
                    let (status, is_killed) = slot.wait();
                    if is_killed && !status.success() {
                        n_killed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    assert!(status.code() == Some(0), "{status:?}: {}", place.told(&name));
                    let hashes = fs::read_to_string(place.md5(&name)).unwrap();
                    assert!(hashes == expected[clip], "wrong pixels: {}", place.told(&name));
                    n_runs.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut random = Random(99);
        let (mut kill_at, mut hurt_at) = (strain.between_kills, strain.between_hurts);
        while begun.elapsed() < strain.time {
            thread::sleep(kill_at.min(hurt_at).saturating_sub(begun.elapsed()));
            if begun.elapsed() >= kill_at {
                kill_at += strain.between_kills;
                let first = random.below(strain.processes as u64) as usize;
                // The next one that runs.
                (0..strain.processes).find(|process| slots[(first + process) % strain.processes].kill());
            }
            if begun.elapsed() >= hurt_at {
                hurt_at += strain.between_hurts;
                hurt(&place.cache(), &mut random);
                n_hurts += 1;
            }
        }
    });
    let [runs, kills] = [n_runs, n_killed].map(|count| count.load(Ordering::Relaxed));
    eprintln!("{runs} runs were right, {kills} were killed, the files were hurt {n_hurts} times");
    assert!(runs > 0 && kills > 0 && n_hurts > 0);
    // Afterwards it serves as if nothing had happened.
    for _ in 0..2 {
        let child = place.start(0, "last", true);
        place.check(child, "last", &expected[0]);
    }
    assert!(place.found("last") > 0.8, "{}", place.found("last"));
}
