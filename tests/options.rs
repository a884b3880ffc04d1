//! What the options of the main job do, held against ffmpeg and ffprobe.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::film::{Film, Shown, micros};
use crate::program::{run, vproc};
use crate::support;

const SUBTITLES: &str = "1\n00:00:00,200 --> 00:00:00,900\nfirst\n\n2\n00:00:01,000 --> 00:00:01,500\nsecond\n\n";

const CHAPTERS: &str = ";FFMETADATA1\ntitle=A tale\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=one\n[CHAPTER]\n\
    TIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=two\n";

/// Two seconds with B-frames, sound, subtitles and chapters, the video from 0.04 s on.
fn tale() -> Option<Film> {
    let film = Film::new()?;
    film.write("s.srt", SUBTITLES);
    film.write("c.txt", CHAPTERS);
    film.ffmpeg(
        "-f lavfi -i testsrc2=s=96x64:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2 -i s.srt -i c.txt -map 0 -map 1 \
         -map 2 -map_metadata 3 -map_chapters 3 -vf setpts=PTS+0.04/TB -fps_mode passthrough -c:v libx264 -g 10 -bf 2 \
         -pix_fmt yuv420p -c:a flac -c:s copy a.mkv",
    );
    Some(film)
}

/// Two thirds of a second without loss.
fn lossless(format: &str) -> Option<Film> {
    let film = Film::new()?;
    film.ffmpeg(&format!("-f lavfi -i testsrc2=s=96x64:r=25:d=0.64 -vf format={format} -c:v ffv1 a.mkv"));
    Some(film)
}

fn hashes(frames: &[Shown]) -> Vec<&str> {
    frames.iter().map(|frame| frame.hash.as_str()).collect()
}

#[test]
fn options_that_an_encoder_does_not_know_are_refused_by_name() {
    let Some(film) = lossless("yuv420p") else { return };
    for (arguments, words) in [
        ("b.mkv --encoder-opt nonsense=1", "'nonsense'"),
        ("b.mkv --encoder-opt x264-params=nonsense=1", "nonsense"),
        ("b.mkv --encoder libx265 --encoder-opt x265-params=nonsense=1", "nonsense"),
        ("b.mkv --encoder libsvtav1 --encoder-opt svtav1-params=nonsense=1", "nonsense"),
        ("b.mkv --preset nonsense", "nonsense"),
        ("b.mkv --encoder ffv1 --crf 20", "--crf"),
        ("b.mkv --crf 52", "expected 0 to 51 for libx264"),
        ("b.mkv --crf 20 --encoder-opt qp=0", "--crf 20 and --encoder-opt qp=0"),
        ("b.y4m --crf 20", "--crf is for a video in a container"),
        ("- --encoder ffv1", "--encoder"),
        ("p%03d.png --pix-fmt gray", "--pix-fmt"),
        ("md5: --encoder-opt g=1", "--encoder-opt"),
        ("b.mkv --skip-psnr 40", "--skip near"),
        ("b.mkv --model-config beside.toml", "'identity' is built in"),
        ("b.mkv --encoder prores_ks --preset fast", "--preset"),
        ("b.mkv --encoder nonsense", "nonsense"),
        ("b.mkv --encoder aac", "aac"),
        ("b.mkv --pix-fmt nonsense", "nonsense"),
        ("b.mov --encoder png --pix-fmt pal8", "pal8"),
        ("b.mkv --encoder libsvtav1 --pix-fmt yuv444p", "yuv420p"),
        ("b.mkv --fps 25", "--fps"),
        ("b.mkv --start 5", "--start"),
        ("b.mkv --video-stream 3", "--video-stream 3"),
        ("b.webm --encoder libx264", "--encoder libsvtav1, libvpx-vp9 or an .mkv"),
    ] {
        let said = film.refused(&format!("a.mkv -o {arguments}"));
        assert!(said.contains(words), "{arguments}: {said}");
        // A plan that would be refused is no plan.
        film.refused(&format!("a.mkv -o {arguments} --dry-run"));
    }
}

#[test]
fn a_rate_option_takes_the_place_of_the_default_crf() {
    let Some(film) = lossless("yuv420p") else { return };
    film.copy("a.mkv -o b.mkv --encoder-opt qp=0 --preset ultrafast");
    assert_eq!(hashes(&film.frames("b.mkv", "v:0")), hashes(&film.frames("a.mkv", "v:0")));
    film.copy("a.mkv -o c.mkv --preset ultrafast");
    film.write("crf.toml", "crf = 20\n");
    film.write("qp.toml", "encoder-opt = \"qp=0\"\n");
    assert_ne!(hashes(&film.frames("c.mkv", "v:0")), hashes(&film.frames("a.mkv", "v:0")));
    for (option, expected) in [
        ("", "crf=18"),
        ("--crf 30", "crf=30"),
        ("--encoder-opt crf=31", "crf=31"),
        ("--encoder-opt b=100k", "b=100k"),
        ("--encoder-opt x264-params=qp=5", "x264-params=cpu-independent=1:qp=5"),
        ("--config crf.toml --encoder-opt qp=0", "qp=0"),
        ("--config crf.toml --encoder-opt maxrate=4M:bufsize=8M", "crf=20"),
        ("--config qp.toml --crf 30", "crf=30"),
    ] {
        let plan = film.vproc(&format!("a.mkv -o d.mkv -m identity --dry-run {option}"));
        let plan = String::from_utf8(plan.stdout).unwrap();
        let line = plan.lines().find(|line| line.starts_with("encoder")).unwrap();
        assert!(line.contains(expected), "{line}");
        assert_eq!(line.matches("crf=").count(), usize::from(expected.starts_with("crf")), "{line}");
    }
}

#[test]
fn pixel_formats_are_converted_both_ways() {
    let Some(film) = lossless("yuv420p") else { return };
    film.copy("a.mkv -o deep.mkv --encoder ffv1 --pix-fmt yuv420p10le");
    film.copy("deep.mkv -o back.mkv --encoder ffv1 --pix-fmt yuv420p");
    film.copy("a.mkv -o full.mkv --encoder ffv1 --pix-fmt yuv444p");
    film.copy("a.mkv -o gray.mkv --encoder ffv1 --pix-fmt gray");
    for (name, format) in [("deep", "yuv420p10le"), ("back", "yuv420p"), ("full", "yuv444p"), ("gray", "gray")] {
        assert_eq!(film.streams(&format!("{name}.mkv"))[0]["pix_fmt"], format);
    }
    assert_eq!(film.frames("back.mkv", "v:0"), film.frames("a.mkv", "v:0"));
    let luma = |name: &str| film.filtered(name, "v:0", "extractplanes=y");
    assert_eq!(luma("full.mkv"), luma("a.mkv"));
    assert_eq!(luma("gray.mkv"), luma("a.mkv"));
}

#[test]
fn a_cut_takes_its_frames_and_all_else_with_them() {
    let Some(film) = tale() else { return };
    let whole = film.frames("a.mkv", "v:0");
    assert_eq!(whole.len(), 50);
    // Times count from the beginning of the file, which is the sound's.
    let origin = film.packets("a.mkv", "a:0").iter().map(|(pts, _)| *pts).min().unwrap().min(whole[0].pts);
    let after = |seconds: f64| whole.iter().filter(|frame| frame.pts >= origin + (seconds * 1e6) as i64).count();
    for (arguments, first, n_frames) in [
        ("--start 10f --end 30f", 10, 20),
        ("--start 0.5", 50 - after(0.5), after(0.5)),
        ("--start 0.5 --end 1.2", 50 - after(0.5), after(0.5) - after(1.2)),
        ("--frames 7", 0, 7),
        ("--start 00:00:01 --frames 5", 50 - after(1.0), 5),
        ("--end 0.3", 0, 50 - after(0.3)),
        ("--start 49f", 49, 1),
        ("--frames 700", 0, 50),
    ] {
        film.copy(&format!("a.mkv -o b.mkv -y --encoder ffv1 {arguments}"));
        let cut = film.frames("b.mkv", "v:0");
        assert_eq!(hashes(&cut), hashes(&whole[first..first + n_frames]), "{arguments}");
        let moved = whole[first].pts - cut[0].pts;
        for (cut, whole) in cut.iter().zip(&whole[first..]) {
            assert!((whole.pts - cut.pts - moved).abs() <= 1000, "{arguments}");
        }
        // Sound moves with the pictures, to a tick of Matroska's.
        let sound = film.packets("a.mkv", "a:0");
        let kept = film.packets("b.mkv", "a:0");
        if n_frames == 1 {
            // No packet of sound need begin within one frame.
            continue;
        }
        let at = sound.iter().position(|(_, hash)| *hash == kept[0].1).unwrap();
        assert!(sound[at..].iter().zip(&kept).all(|(a, b)| a.1 == b.1 && (a.0 - b.0 - moved).abs() <= 1000));
        let spans = |pts: &[(i64, String)]| pts.last().unwrap().0 - pts[0].0;
        let pictures = cut.last().unwrap().pts - cut[0].pts;
        // A packet of FLAC lasts 96 ms, and one may be missing at either end.
        assert!((spans(&kept) - pictures).abs() < 192_000, "{arguments}: {} {pictures}", spans(&kept));
    }
}

#[test]
fn subtitles_that_overlap_a_cut_stay_and_chapters_shift() {
    let Some(film) = tale() else { return };
    film.copy("a.mkv -o b.mkv --start 0.5 --end 1.2 --encoder ffv1");
    let seen = film.probe("-show_chapters -select_streams s:0 -show_entries packet=pts_time,duration_time b.mkv");
    let span = |entry: &Value, from: &str, to: &str| (micros(&entry[from]) + 500, micros(&entry[to]) + 500);
    let milliseconds = |(a, b): (i64, i64)| (a / 1000, b / 1000);
    let subtitles: Vec<_> = seen["packets"].as_array().unwrap().iter().collect();
    let shown = |index: usize| milliseconds(span(subtitles[index], "pts_time", "duration_time"));
    assert_eq!((subtitles.len(), shown(0), shown(1)), (2, (0, 400), (500, 200)));
    let chapters: Vec<_> = seen["chapters"].as_array().unwrap().iter().collect();
    let chapter = |index: usize| milliseconds(span(chapters[index], "start_time", "end_time"));
    assert_eq!((chapters.len(), chapter(0), chapter(1)), (2, (0, 500), (500, 700)));
    assert_eq!(chapters[1]["tags"]["title"], "two");
}

#[test]
fn any_video_stream_can_be_the_one() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.4 -f lavfi -i testsrc=s=96x64:r=30:d=0.4 -map 0 -map 1 -c:v libx264 \
         -pix_fmt yuv420p a.mkv",
    );
    // Without the option FFmpeg's best is taken, which depends on what it measures of the streams.
    for (option, one, other) in [("--video-stream 0", 0, 1), ("--video-stream 1", 1, 0)] {
        film.copy(&format!("a.mkv -o b.mkv -y --encoder ffv1 {option}"));
        let streams = film.streams("b.mkv");
        assert_eq!((&streams[one]["codec_name"], &streams[other]["codec_name"]), (&"ffv1".into(), &"h264".into()));
        let (one, other) = (format!("v:{one}"), format!("v:{other}"));
        assert_eq!(film.frames("b.mkv", &one), film.frames("a.mkv", &one), "{option}");
        assert_eq!(film.packets("b.mkv", &other), film.packets("a.mkv", &other), "{option}");
    }
}

#[test]
fn interlaced_frames_are_deinterlaced_and_others_left_alone() {
    let (Some(film), Some(shared)) = (Film::new(), support::shared()) else { return };
    let clip = shared.join("data/clips/telecined_hard_480i.mkv");
    std::os::unix::fs::symlink(clip, film.path("tele.mkv")).unwrap();
    film.ffmpeg("-i tele.mkv -map 0:v -frames:v 12 -c copy woven.mkv");
    let woven = film.frames("woven.mkv", "v:0");
    let filtered = film.filtered("woven.mkv", "v:0", "bwdif=mode=send_frame:deint=interlaced");
    let said = film.copy("woven.mkv -o off.mkv --encoder ffv1 --deinterlace off");
    assert!(!said.contains("bwdif"), "{said}");
    assert_eq!(hashes(&film.frames("off.mkv", "v:0")), hashes(&woven));
    for how in ["auto", "bwdif"] {
        let said = film.copy(&format!("woven.mkv -o {how}.mkv --encoder ffv1 --deinterlace {how}"));
        assert_eq!(said.matches("deinterlaced with bwdif").count(), 1, "{said}");
        assert_eq!(hashes(&film.frames(&format!("{how}.mkv"), "v:0")), hashes(&filtered), "{how}");
    }
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:d=0.4 -pix_fmt yuv420p -c:v ffv1 still.mkv");
    film.copy("still.mkv -o kept.mkv --encoder ffv1 --deinterlace auto");
    assert_eq!(film.frames("kept.mkv", "v:0"), film.frames("still.mkv", "v:0"));
}

#[test]
fn pictures_go_in_and_out_at_a_rate() {
    let Some(film) = lossless("yuv420p") else { return };
    film.copy("a.mkv -o out/p%03d.png");
    assert_eq!(std::fs::read_dir(film.path("out")).unwrap().count(), 16);
    film.copy("out/p%03d.png -o b.mp4 --fps 30000/1001 --encoder libx264 --encoder-opt qp=0");
    let stream = &film.streams("b.mp4")[0];
    assert_eq!((&stream["r_frame_rate"], &stream["nb_frames"]), (&"30000/1001".into(), &"16".into()));
    let seen = film.frames("b.mp4", "v:0");
    assert!(seen.iter().enumerate().all(|(n, frame)| (frame.pts - n as i64 * 1_001_000 / 30).abs() <= 1));
}

#[test]
fn raw_video_goes_through_files_and_pipes() {
    let Some(film) = lossless("yuv422p10le") else { return };
    let whole = film.frames("a.mkv", "v:0");
    film.copy("a.mkv -o b.y4m");
    assert_eq!(hashes(&film.frames("b.y4m", "v:0")), hashes(&whole));
    film.copy("b.y4m -o c.mkv --encoder ffv1");
    assert_eq!(film.frames("c.mkv", "v:0"), whole);
    let out = film.vproc("a.mkv -o - -m identity");
    assert_eq!(out.stdout, std::fs::read(film.path("b.y4m")).unwrap());
    let mut through = film.command("- -o d.mkv -m identity --encoder ffv1");
    let mut child = through.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&out.stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(film.frames("d.mkv", "v:0"), whole);
}

#[test]
fn hashes_are_those_of_ffmpeg() {
    let Some(film) = tale() else { return };
    let expected = film.ffmpeg("-i a.mkv -map 0:v -fps_mode passthrough -f framemd5 -");
    let printed = film.vproc("a.mkv -o md5: -m identity -q");
    film.copy("a.mkv -o md5:hashes.txt");
    let column = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
    };
    assert_eq!(column(&printed.stdout).len(), 50);
    assert_eq!(column(&printed.stdout), column(&expected));
    assert_eq!(column(film.text("hashes.txt").as_bytes()), column(&expected));
}

#[test]
fn a_dry_run_prints_and_writes_nothing_and_quiet_says_nothing() {
    let Some(film) = tale() else { return };
    let before = film.names();
    let dry = film.vproc("a.mkv -o b.mp4 -m identity --dry-run --report r.json");
    let plan = String::from_utf8(dry.stdout).unwrap();
    for line in ["source ", "network ", "encoder   libx264", "stream  1 flac audio: copied", "plan hash "] {
        assert!(plan.lines().any(|text| text.starts_with(line)), "{line}: {plan}");
    }
    assert_eq!((dry.status.code(), film.names()), (Some(0), before));
    let nowhere = film.vproc("a.mkv -o null: -m identity -q");
    assert_eq!((nowhere.status.code(), nowhere.stdout, nowhere.stderr), (Some(0), vec![], vec![]));
    let quiet = film.vproc("a.mkv -o b.mp4 -m identity -q --preset ultrafast");
    assert_eq!((quiet.status.code(), quiet.stdout, quiet.stderr), (Some(0), vec![], vec![]));
    assert_eq!(film.names().iter().filter(|name| name.starts_with("b.")).count(), 1);
}

#[test]
fn a_configuration_is_read_and_the_command_line_wins() {
    let Some(film) = lossless("yuv420p") else { return };
    film.write("job.toml", "encoder = \"ffv1\"\nmodel = \"identity\"\nframes = 3\n");
    assert_eq!(film.vproc("a.mkv -o b.mkv --config job.toml").status.code(), Some(0));
    assert_eq!(film.vproc("a.mkv -o c.mkv --config job.toml --frames 5").status.code(), Some(0));
    let whole = film.frames("a.mkv", "v:0");
    assert_eq!(film.frames("b.mkv", "v:0"), whole[..3]);
    assert_eq!(film.frames("c.mkv", "v:0"), whole[..5]);
    let plan = film.vproc("a.mkv -o d.mkv --config job.toml --dry-run");
    assert!(String::from_utf8_lossy(&plan.stdout).contains("encoder = ffv1 (job.toml)"));
    // What a file says for all runs refuses none of them.
    film.write("all.toml", "preset = \"slow\"\ncrf = 20\nskip-psnr = 40\n");
    for output in ["e.mkv --encoder ffv1", "e.y4m", "null:"] {
        film.copy(&format!("a.mkv -o {output} --config all.toml"));
    }
}

#[test]
fn a_report_and_the_progress_for_programs_agree_with_the_run() {
    let Some(film) = tale() else { return };
    let output = film.vproc("a.mkv -o b.mp4 -m identity --preset ultrafast --report r.json --progress json");
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> =
        said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert!(said.trim_end().ends_with('}'), "no lines for people behind them: {said}");
    assert_eq!((&last["frame"], &last["progress"]), (&50.into(), &"end".into()));
    for key in ["fps", "out_time_us", "speed"] {
        assert!(last[key].is_number(), "{key}: {last}");
    }
    let report = film.report("r.json");
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", report[key]));
    assert_eq!((number("frames_in"), number("frames_out"), number("frames_damaged")), (50.0, 50.0, 0.0));
    let parts = ["pixels_inferred", "pixels_reused", "pixels_cached", "pixels_outside_roi"].map(number);
    assert_eq!((number("pixels_total"), parts.iter().sum::<f64>()), (50.0 * 96.0 * 64.0, number("pixels_total")));
    assert!(number("pixels_computed") >= number("pixels_inferred"));
    for key in ["fps", "wall_seconds", "cpu_seconds", "peak_rss_bytes", "batches"] {
        assert!(number(key) > 0.0, "{key}");
    }
    for key in ["device", "engine", "plan_hash", "bottleneck"] {
        assert!(report[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    for (name, stage) in report["stages"].as_object().unwrap() {
        for key in ["busy_seconds", "starved_seconds", "blocked_seconds"] {
            assert!(stage[key].as_f64().is_some_and(|seconds| seconds >= 0.0), "{name}");
        }
        assert_eq!(stage["items"], 50, "{name}");
    }
    let latency = ["p50", "p95", "p99"].map(|key| report["latency_ms"][key].as_f64().unwrap());
    assert!(latency.is_sorted() && latency[0] > 0.0, "{latency:?}");
    assert_eq!((&report["verified"], &report["exit_status"]), (&true.into(), &0.into()));
    let actions: Vec<_> = report["streams"].as_array().unwrap().iter().map(|stream| &stream["action"]).collect();
    assert_eq!(actions, ["encoded", "copied", "converted"]);
    assert!(report["warnings"].is_array());
}

#[test]
fn films_of_few_frames_are_whole_with_every_encoder() {
    let Some(film) = Film::new() else { return };
    for (format, encoder) in [("yuv420p10le", "libx265"), ("yuv420p", "libx264"), ("yuv420p", "libsvtav1")] {
        for frames in 1..=4 {
            let input = format!("pattern:96x64@25,frames={frames},format={format}");
            let arguments = ["-q", "-y", "-m", "identity", "--encoder", encoder];
            // What a run before has left in memory must not matter.
            for _ in 0..2 {
                let ran = support::run(input.as_ref(), &film.path("b.mkv"), &arguments);
                assert_eq!(ran.status, 0, "{encoder}, {frames} frames: {}", ran.stderr);
                let times: Vec<i64> = film.frames("b.mkv", "v:0").iter().map(|frame| frame.pts).collect();
                let expected: Vec<i64> = (0..frames).map(|k| k * 40_000).collect();
                assert_eq!(times, expected, "{encoder}, {frames} frames");
            }
        }
    }
}

#[test]
fn a_cut_in_ticks_finer_than_microseconds_misses_no_picture() {
    let Some(film) = Film::new() else { return };
    // A frame takes 33 366.67 microseconds.
    film.ffmpeg(
        "-f lavfi -i testsrc2=s=96x64:r=30000/1001 -frames:v 6 -c:v libx264 -bf 0 -pix_fmt yuv420p \
         -video_track_timescale 24000000 a.mp4",
    );
    for frames in ["1", "2", "4"] {
        let arguments = ["-q", "-y", "-m", "identity", "--frames", frames];
        let ran = support::run(&film.path("a.mp4"), &film.path("b.mkv"), &arguments);
        assert_eq!((ran.status, film.frames("b.mkv", "v:0").len().to_string().as_str()), (0, frames), "{}", ran.stderr);
    }
}

#[test]
fn a_cut_by_numbers_takes_those_frames_where_only_the_decoding_times_are_known() {
    let Some(film) = Film::new() else { return };
    for codec in ["mpeg4 -bf 2 -q:v 3", "libx264 -bf 2"] {
        film.ffmpeg(&format!("-f lavfi -i testsrc2=s=96x64:r=25:d=2 -c:v {codec} -pix_fmt yuv420p a.avi"));
        let whole = film.frames("a.avi", "v:0");
        for (arguments, span) in [("--start 10f --frames 3", 10..13), ("--frames 7", 0..7), ("--start 47f", 47..50)] {
            film.copy(&format!("a.avi -o b.mkv -y --encoder ffv1 {arguments}"));
            assert_eq!(hashes(&film.frames("b.mkv", "v:0")), hashes(&whole[span]), "{codec}, {arguments}");
        }
    }
}

#[test]
fn two_outputs_are_not_written_into_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = "pattern:64x48@25,frames=3";
    for line in [
        "-o a.mp4 --report a.mp4",
        "-o a.mkv --trace ./a.mkv",
        "-o a.mkv --master m.mkv --report m.mkv",
        "-o null: --trace t.json --report t.json",
        "-o md5:g.txt --report g.txt",
        "-o null: --report nowhere/r.json",
        "-o null: --threads 100000",
        "-o null: --workers 2000",
    ] {
        let mut command = vproc(folder.path());
        command.args([input, "-m", "identity"]).args(line.split_whitespace());
        let ran = run(&mut command, Duration::from_secs(30));
        assert!(ran.is_refusal(2), "{line}: {ran:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{line}");
    }
    // Nothing is lost in what keeps nothing.
    let mut command = vproc(folder.path());
    command.args([input, "-m", "identity", "-o", "null:", "--report", "/dev/null", "--trace", "/dev/null"]);
    assert_eq!(run(&mut command, Duration::from_secs(30)).code, Some(0));
}

#[test]
fn pictures_that_cannot_be_decoded_do_not_count_in_a_cut() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=4 -c:v mpeg2video -g 12 -bf 2 -f mpegts a.ts");
    // A group and a half later, on a packet's border.
    let whole = std::fs::read(film.path("a.ts")).unwrap();
    film.write("b.ts", &whole[whole.len() / 3 / 188 * 188..]);
    let told = film.vproc("b.ts -o whole.mkv -m identity --encoder ffv1");
    assert!(matches!(told.status.code(), Some(0 | 3)), "{told:?}");
    let all = film.frames("whole.mkv", "v:0");
    assert!(all.len() > 40, "{} frames", all.len());
    for (cut, range) in [("--frames 5", 0..5), ("--start 3f --frames 7", 3..10), ("--start 20f --end 31f", 20..31)] {
        let told = film.vproc(&format!("b.ts -o c.mkv -y -m identity --encoder ffv1 {cut}"));
        assert!(matches!(told.status.code(), Some(0 | 3)), "{cut}: {told:?}");
        assert_eq!(hashes(&film.frames("c.mkv", "v:0")), hashes(&all[range]), "{cut}");
    }
}
