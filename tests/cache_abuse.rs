//! A cache that many processes share, that are killed at any moment, and whose files somebody else cuts, replaces and
//! flips: never a wrong pixel, never a failed run. Short here; `VPROC_SLOW_TESTS=1` takes minutes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
        command.arg("--report").arg(report).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for a run that nobody kills, and checks what it gave.
    fn check(&self, child: Child, name: &str, expected: &str) {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(0), "{:?}: {told}", output.status);
        assert!(fs::read_to_string(self.md5(name)).unwrap() == expected, "wrong pixels: {told}");
    }

    fn expected(&self, clip: usize) -> String {
        let output = self.start(clip, "plain", false).wait_with_output().unwrap();
        assert!(output.status.success());
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

#[test]
fn processes_share_a_cache_that_is_hurt_all_the_time() {
    let (processes, size, time) =
        if is_slow() { (8, "64M", Duration::from_secs(120)) } else { (3, "4M", Duration::from_secs(4)) };
    let place = Place { folder: tempfile::tempdir().unwrap(), size, frames: if is_slow() { 30 } else { 8 } };
    let expected: Vec<String> = (0..4).map(|clip| place.expected(clip)).collect();
    let (place, expected) = (&place, &expected);
    let (is_over, n_runs, n_kills, n_hurts) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        for process in 0..processes {
            let (is_over, n_runs, n_kills) = (&is_over, &n_runs, &n_kills);
            scope.spawn(move || {
                let mut random = Random(process as u64 + 1);
                let name = format!("process-{process}");
                while begun.elapsed() < time {
                    let clip = random.below(4) as usize;
                    let mut child = place.start(clip, &name, true);
                    // Of each process one run in four is killed.
                    if random.below(4) == 0 {
                        thread::sleep(Duration::from_millis(random.below(400)));
                        let _ = child.kill();
                        child.wait().unwrap();
                        n_kills.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    place.check(child, &name, &expected[clip]);
                    n_runs.fetch_add(1, Ordering::Relaxed);
                }
                is_over.store(true, Ordering::Relaxed);
            });
        }
        let mut random = Random(99);
        let period = time / if is_slow() { 120 } else { 10 };
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(period);
            hurt(&place.cache(), &mut random);
            n_hurts.fetch_add(1, Ordering::Relaxed);
        }
    });
    let [runs, kills, hurts] = [&n_runs, &n_kills, &n_hurts].map(|count| count.load(Ordering::Relaxed));
    eprintln!("{runs} runs were right, {kills} were killed, the files were hurt {hurts} times");
    assert!(runs > 0 && hurts > 0);
    // Afterwards it serves as if nothing had happened.
    for _ in 0..2 {
        let child = place.start(0, "last", true);
        place.check(child, "last", &expected[0]);
    }
    assert!(place.found("last") > 0.8, "{}", place.found("last"));
}
