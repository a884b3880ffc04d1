//! vproc's own engine in the whole program: without any library, with any number of workers and any windows.

use crate::film::Film;
use crate::support::shared;

const CLIP: &str = "-f lavfi -i testsrc2=s=214x162:r=25:d=0.24 -pix_fmt yuv420p -c:v libx264 -qp 0 clip.mp4";

/// The hashes of all frames.
fn hashes(film: &Film, arguments: &str) -> String {
    let output = film.vproc(&format!("clip.mp4 -o md5: -q {arguments}"));
    assert_eq!(output.status.code(), Some(0), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn networks_of_the_program_need_no_library() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(CLIP);
    // The folder is an empty home: there is no libonnxruntime to be found.
    let without = film.vproc("clip.mp4 -o none.mp4 --engine ort");
    assert_eq!(without.status.code(), Some(1), "{}", String::from_utf8_lossy(&without.stderr));
    for model in ["upscale-x2", "upscale-x2-fast", "restore"] {
        let output = film.vproc(&format!("clip.mp4 -o {model}.mp4 -m {model} --report {model}.json"));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_str(&film.text(&format!("{model}.json"))).unwrap();
        assert!(report["engine"].as_str().unwrap().starts_with("native "), "{}", report["engine"]);
        assert_eq!((&report["frames_out"], &report["verified"]), (&6.into(), &true.into()));
    }
    assert_eq!(film.vproc("models").status.code(), Some(0));
}

#[test]
fn frames_are_the_same_for_all_workers_windows_and_levels() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(CLIP);
    for model in ["upscale-x2", "restore"] {
        let whole = hashes(&film, &format!("-m {model} --tile off --workers 1"));
        assert_eq!(whole.lines().filter(|line| !line.starts_with('#')).count(), 6, "{whole}");
        for arguments in
            ["--tile off --workers 2", "--tile off --workers 3", "--tile 48 --workers 2", "--tile 64", "--tile 128"]
        {
            assert_eq!(whole, hashes(&film, &format!("-m {model} {arguments}")), "{model} {arguments}");
        }
        let mut command = film.command(&format!("clip.mp4 -o md5: -q -m {model} --tile 64"));
        let output = command.env("VPROC_CPU", "avx2").output().unwrap();
        assert_eq!(whole, String::from_utf8(output.stdout).unwrap(), "{model} with AVX2");
    }
}

#[test]
fn windows_that_begin_at_odd_rows_change_nothing() {
    let Some(film) = Film::new() else { return };
    // Windows slid inside a picture of 121 rows begin at odd ones.
    film.ffmpeg("-f lavfi -i testsrc2=s=131x121:r=25:d=0.24 -pix_fmt yuv444p -c:v libx264 -qp 0 clip.mp4");
    for model in ["upscale-x2", "restore"] {
        let whole = hashes(&film, &format!("-m {model} --skip off --tile off"));
        assert_eq!(whole.lines().filter(|line| !line.starts_with('#')).count(), 6, "{whole}");
        for arguments in ["--skip off --tile 48", "--skip off --tile 64 --workers 3", "--skip exact --tile 32"] {
            assert_eq!(whole, hashes(&film, &format!("-m {model} {arguments}")), "{model} {arguments}");
        }
    }
}

#[test]
fn a_first_frame_that_all_workers_make_in_bands_is_the_same() {
    let Some(film) = Film::new() else { return };
    let rgb = shared().map(|shared| shared.join("data/models/DigitalFlim_SuperUltraCompact_x2_fp32.onnx"));
    let rgb = rgb.map(|path| path.display().to_string());
    if rgb.is_none() {
        println!("skipped RGB: the folder with the shared networks is missing");
    }
    for (size, format) in [("66x402", "yuv420p"), ("67x401", "yuv420p"), ("64x400", "yuv422p10le"), ("66x333", "gray")]
    {
        film.ffmpeg(&format!(
            "-y -f lavfi -i testsrc2=s={size}:r=25:d=0.08 -pix_fmt {format} -c:v ffv1 -strict -2 clip.mkv"
        ));
        for model in ["upscale-x2", "restore"].into_iter().chain(rgb.as_deref()) {
            let hashes = |arguments: &str| {
                let output = film.vproc(&format!("clip.mkv -o md5: -q --engine native -m {model} {arguments}"));
                assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap()
            };
            let whole = hashes("--tile off");
            for arguments in ["--workers 2", "--workers 5 --skip off", "--workers 3 --verify-skip 1"] {
                assert_eq!(whole, hashes(arguments), "{size} {format} {model} {arguments}");
            }
        }
    }
}

#[test]
fn other_networks_are_refused_by_the_operators_name() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(CLIP);
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/data");
    let output = film.vproc(&format!("clip.mp4 -o no.mp4 --engine native -m {data}/instance_norm.onnx"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("InstanceNormalization") && message.contains("--engine ort"), "{message}");
}

#[test]
fn other_peoples_networks_run_without_a_library_too() {
    let (Some(film), Some(shared)) = (Film::new(), shared()) else { return };
    film.ffmpeg(CLIP);
    let models = shared.join("data/models");
    for model in ["DigitalFlim_SuperUltraCompact_x2_fp16", "HurrDeblur_SuperUltraCompact_x1_fp32", "identity_rgb"] {
        let path = models.join(format!("{model}.onnx"));
        let arguments = format!("-m {} --frames 2", path.display());
        assert_eq!(hashes(&film, &arguments), hashes(&film, &format!("{arguments} --tile 64 --workers 2")), "{model}");
    }
}
