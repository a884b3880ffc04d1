//! Encoder x container x depth x chroma x rate x size: each cell of the committed table works or is refused as it says.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::film::{Film, Shown, micros};

const TABLE: &str = include_str!("data/matrix.txt");

/// Cells under way at once.
const AT_ONCE: usize = 2;

/// One run and what the table says of it.
struct Cell<'a> {
    encoder: &'a str,
    container: &'a str,
    sides: &'a str,
    rate: &'static str,
    format: &'a str,
    expected: &'a str,
    lost: &'a str,
}

impl Cell<'_> {
    fn source(&self) -> String {
        format!("{}_{}_{}.mkv", self.format, self.sides, self.rate)
    }

    fn size(&self) -> (i64, i64) {
        if self.sides == "even" { (72, 64) } else { (73, 65) }
    }
}

/// The fastest settings of each encoder; lossless for libx264.
fn settings(encoder: &str) -> &'static str {
    match encoder {
        "libx264" => "--encoder-opt qp=0 --preset ultrafast",
        "libx265" => "--preset ultrafast",
        "libsvtav1" => "--preset 12",
        "libvpx-vp9" => "--encoder-opt cpu-used=8:deadline=realtime",
        _ => "",
    }
}

fn cells() -> Vec<Cell<'static>> {
    let mut rows = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let head: Vec<_> = rows.next().unwrap().split_whitespace().collect();
    let formats = &head[3..head.len() - 1];
    let mut cells = Vec::new();
    for row in rows {
        let row: Vec<_> = row.split_whitespace().collect();
        for (format, expected) in formats.iter().zip(&row[3..]) {
            for rate in ["cfr", "vfr"] {
                // 12 bits are run at one rate: what the rate may break does not depend on it.
                if rate == "cfr" || !format.ends_with("12le") {
                    let (encoder, container, sides, lost) = (row[0], row[1], row[2], row[row.len() - 1]);
                    cells.push(Cell { encoder, container, sides, rate, format, expected, lost });
                }
            }
        }
    }
    cells
}

/// Six frames with a matrix, primaries, a transfer, a range and a sample aspect ratio; the variable rate begins late.
fn make_source(film: &Film, cell: &Cell) {
    let (width, height) = cell.size();
    let pts = if cell.rate == "cfr" { r"40*N" } else { r"120+40*N+9*mod(N*N\,5)" };
    film.ffmpeg(&format!(
        "-f lavfi -i testsrc2=s=146x130:r=25:d=0.24 \
         -vf scale={width}:{height},format={},setsar=4/3,settb=1/1000,setpts={pts} \
         -fps_mode passthrough -enc_time_base 1/1000 -c:v ffv1 -color_range tv -colorspace bt709 \
         -color_primaries bt709 -color_trc bt709 {}",
        cell.format,
        cell.source()
    ));
}

fn expected_pts(rate: &str) -> Vec<i64> {
    (0..6).map(|n| 1000 * if rate == "cfr" { 40 * n } else { 120 + 40 * n + 9 * (n * n % 5) }).collect()
}

/// Runs one cell; what is wrong with it.
fn check(film: &Film, cell: &Cell) -> Vec<String> {
    let source = cell.source();
    let name = format!("{}_{}.{}", cell.encoder, source.trim_end_matches(".mkv"), cell.container);
    let run =
        format!("{source} -o {name} -m identity --threads 1 --encoder {} {}", cell.encoder, settings(cell.encoder));
    let output = film.vproc(&run);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let refusal = match cell.expected {
        "even" => Some("its sides must be even; try"),
        "box" => Some("holds no"),
        _ => None,
    };
    let mut wrong = Vec::new();
    if let Some(words) = refusal {
        let is_one_line = said.starts_with("vproc: error: ") && said.lines().count() == 1;
        if output.status.code() != Some(2) || !is_one_line || !said.contains(words) || !said.contains(cell.encoder) {
            wrong.push(format!("expected a refusal with '{words}', got {:?}: {said}", output.status.code()));
        }
        for left in [film.path(&name), film.path(&format!("{name}.part"))] {
            if left.exists() {
                wrong.push(format!("{} is left", left.display()));
            }
        }
        return wrong;
    }
    if output.status.code() != Some(0) {
        return vec![format!("{:?}: {said}", output.status.code())];
    }
    let (warnings, rest): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("vproc: warning: "));
    let summary = ["encoded ", "verified: ", "warnings: "];
    let is_summary = |line: &str| line.contains("-bound: ") || summary.iter().any(|word| line.starts_with(word));
    if let Some(line) = rest.iter().find(|line| !is_summary(line)) {
        wrong.push(format!("chatter: {line}"));
    }
    let warned = |words: &str| warnings.iter().any(|line| line.contains(words));
    let format = if cell.expected == "=" { cell.format } else { cell.expected };
    let depth = |format: &str| if format.contains("12le") { 12 } else { 8 + 2 * i32::from(format.contains("10le")) };
    let is_shallower = depth(format) < depth(cell.format);
    let chroma = |format: &str| ["yuv420", "yuv422", "yuv444"].iter().position(|name| format.starts_with(name));
    let is_coarser = chroma(format) < chroma(cell.format);
    for (is_expected, words) in [
        (is_shallower, "bits become"),
        (is_coarser, "chroma is reduced"),
        (cell.lost == "range", "colour range is not kept"),
        (cell.lost == "sar", "sample aspect ratio becomes"),
    ] {
        if warned(words) != is_expected {
            wrong.push(format!("warning '{words}' expected: {is_expected}; got {warnings:?}"));
        }
    }
    wrong.extend(compare(film, cell, &name, format));
    let _ = std::fs::remove_file(film.path(&name));
    wrong
}

/// Compares an output with what its source was made as.
fn compare(film: &Film, cell: &Cell, name: &str, format: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let fields = "width,height,pix_fmt,sample_aspect_ratio,color_range,color_space,color_primaries,color_transfer";
    let seen = film.probe(&format!("-show_frames -show_entries frame=pts_time:stream={fields} {name}"));
    let pts: Vec<i64> = seen["frames"].as_array().unwrap().iter().map(|frame| micros(&frame["pts_time"])).collect();
    if pts != expected_pts(cell.rate) {
        wrong.push(format!("frames at {pts:?}"));
    }
    let stream = &seen["streams"][0];
    if (stream["width"].as_i64(), stream["height"].as_i64()) != (Some(cell.size().0), Some(cell.size().1)) {
        wrong.push(format!("size {stream}"));
    }
    // FFmpeg decodes ProRes 4444, which its code tells from 422, to 12 bits whatever went in.
    let is_4444 = cell.encoder == "prores_ks" && format == "yuv444p10le";
    let mut tags = vec![
        ("pix_fmt", if is_4444 { "yuv444p12le" } else { format }),
        ("color_primaries", "bt709"),
        ("color_transfer", "bt709"),
    ];
    tags.extend((cell.lost != "sar").then_some(("sample_aspect_ratio", "4:3")));
    tags.extend((cell.lost != "range").then_some(("color_range", "tv")));
    tags.extend((!cell.format.starts_with("gray")).then_some(("color_space", "bt709")));
    for (key, value) in tags {
        if stream[key] != value {
            wrong.push(format!("{key} is {}, expected {value}", stream[key]));
        }
    }
    // Gray H.264 is decoded with flat chroma: its luma is compared.
    let is_gray = cell.format.starts_with("gray");
    let is_whole = format == cell.format || is_gray && !cell.format.ends_with("12le");
    if matches!(cell.encoder, "ffv1" | "libx264") && is_whole {
        let filter = if is_gray { "extractplanes=y" } else { "null" };
        let hashes = |name: &str| -> Vec<String> {
            film.filtered(name, "v:0", filter).into_iter().map(|Shown { hash, .. }| hash).collect()
        };
        if hashes(name) != hashes(&cell.source()) {
            wrong.push("not lossless".to_owned());
        }
    }
    wrong
}

#[test]
fn every_encoder_and_container_works_or_is_refused_as_the_table_says() {
    let Some(film) = Film::new() else { return };
    let cells = cells();
    for encoder in ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"] {
        if film.vproc(&format!("pattern: -o a.mkv -m identity --dry-run --encoder {encoder}")).status.code() != Some(0)
        {
            println!("skipped: the installed FFmpeg has no {encoder}");
            return;
        }
    }
    let mut made = Vec::new();
    for cell in &cells {
        if !made.contains(&cell.source()) {
            make_source(&film, cell);
            made.push(cell.source());
        }
    }
    let next = AtomicUsize::new(0);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                let place = [cell.encoder, cell.container, cell.sides, cell.rate, cell.format].join(" ");
                failures.extend(check(&film, cell).into_iter().map(|wrong| format!("{place}: {wrong}")));
            }
            failures
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(cells.len() >= 900, "{}", cells.len());
    assert!(failures.is_empty(), "{} of {} cells:\n{}", failures.len(), cells.len(), failures.join("\n"));
}
