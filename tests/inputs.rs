//! What an input may be: a file, a pipe, numbered pictures; and what is said of one that cannot be used.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::film::{Film, Shown};
use crate::program::{Ran, report, run, vproc};
use crate::support::shared;

const LIMIT: Duration = Duration::from_secs(60);

const HEADER: &[u8] = b"YUV4MPEG2 W16 H16 F25:1 C420jpeg\n";

/// So many gray frames, and some bytes of another one.
fn y4m(n_frames: usize, more: usize) -> Vec<u8> {
    let frame = [&b"FRAME\n"[..], &[128; 384]].concat();
    [HEADER, &frame.repeat(n_frames), &frame[..more]].concat()
}

/// A pipe with a name, through which these bytes come once.
fn pipe(path: &Path, bytes: Vec<u8>) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let path = path.to_owned();
    // Its reader may go away early, or never come.
    std::thread::spawn(move || fs::write(path, bytes).ok());
}

/// Runs the network that changes nothing.
fn copy(folder: &Path, line: &str) -> Ran {
    let mut command = vproc(folder);
    run(command.args(line.split_whitespace()).args(["-m", "identity", "--progress", "none"]), LIMIT)
}

#[test]
fn pipes_take_y4m_whatever_they_are_called_and_no_container() {
    let Some(film) = Film::new() else { return };
    let root = film.path("");
    film.ffmpeg("-f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -pix_fmt yuv420p a.y4m");
    film.ffmpeg("-i a.y4m -c:v ffv1 a.mkv");
    film.ffmpeg("-i a.y4m -c:v mpeg2video -f mpegts a.ts");
    let read = |name: &str| fs::read(film.path(name)).unwrap();
    let whole = film.frames("a.y4m", "v:0");
    pipe(&film.path("raw"), read("a.y4m"));
    let ran = copy(&root, "raw -o raw.mkv --encoder ffv1");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(film.frames("raw.mkv", "v:0"), whole);
    for (name, input) in [("a.mkv", "one.mkv"), ("a.ts", "two"), ("a.ts", "three.y4m")] {
        pipe(&film.path(input), read(name));
        let ran = copy(&root, &format!("{input} -o out.mkv"));
        assert!(ran.is_refusal(2) && ran.stderr.contains("a container needs a file"), "{input}: {ran:?}");
        assert!(!film.path("out.mkv").exists());
    }
    pipe(&film.path("four.mkv"), read("a.mkv"));
    let ran = run(vproc(&root).args(["inspect", "four.mkv"]), LIMIT);
    assert!(ran.is_refusal(2) && ran.stderr.contains("give a file, not a pipe"), "{ran:?}");
    // By the name that every program's standard input has.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bytes = read("a.y4m");
    std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).ok());
    let mut command = vproc(&root);
    command.args(["/dev/stdin", "-o", "in.mkv", "-m", "identity", "--encoder", "ffv1", "-q"]).stdin(reader);
    let ran = run(&mut command, LIMIT);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(film.frames("in.mkv", "v:0"), whole);
}

#[test]
fn what_holds_no_frame_is_unusable_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("empty.y4m"), y4m(0, 0)).unwrap();
    fs::write(root.join("cut.y4m"), y4m(0, 100)).unwrap();
    pipe(&root.join("pipe"), y4m(0, 0));
    for input in ["empty.y4m", "cut.y4m", "pipe", "none/%04d.png", "none.y4m", "none.mkv"] {
        let ran = copy(root, &format!("{input} -o out.mkv"));
        assert!(ran.is_refusal(4), "{input}: {ran:?}");
    }
    assert_eq!(fs::read_dir(root).unwrap().count(), 3);
}

#[test]
fn damage_is_counted_and_who_is_strict_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("cut.y4m"), y4m(2, 100)).unwrap();
    assert_eq!(copy(root, "pattern:16x16@25,frames=6 -o f/%03d.png").code, Some(0));
    fs::remove_file(root.join("f/004.png")).unwrap();
    for (input, n_frames, n_damaged) in [("cut.y4m", 2, 1), ("f/%03d.png", 3, 3)] {
        let ran = copy(root, &format!("{input} -o null: --report r.json"));
        assert_eq!(ran.code, Some(3), "{input}: {ran:?}");
        let report = report(&root.join("r.json"));
        assert_eq!(
            (&report["frames_out"], &report["frames_damaged"]),
            (&n_frames.into(), &n_damaged.into()),
            "{input}"
        );
        let strict = copy(root, &format!("{input} -o null: --strict"));
        assert!(strict.is_refusal(4), "{input}: {strict:?}");
        // What lies behind the cut is not missed.
        assert_eq!(copy(root, &format!("{input} -o null: --strict --frames 1")).code, Some(0), "{input}");
    }
}

#[test]
fn a_rate_is_for_pictures_and_what_a_file_says_of_it_refuses_no_other_run() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=64x48:r=25:d=0.2 -pix_fmt yuv420p a.y4m");
    film.ffmpeg("-i a.y4m -c:v ffv1 a.mkv");
    film.write("all.toml", "fps = 24\n");
    for input in ["a.y4m", "a.mkv", "pattern:64x48@25,frames=2", "-"] {
        let said = film.refused(&format!("{input} -o b.mkv --fps 30"));
        assert!(said.contains("--fps is for pictures"), "{input}: {said}");
        if input != "-" {
            film.copy(&format!("{input} -o null: --config all.toml"));
        }
    }
}

/// The pictures alone.
fn hashes(shown: &[Shown]) -> Vec<&str> {
    shown.iter().map(|frame| frame.hash.as_str()).collect()
}

#[test]
fn a_cut_counts_frames_where_packets_are_none() {
    let Some(film) = Film::new() else { return };
    let source = "-f lavfi -i testsrc2=s=96x64:r=25:d=2";
    film.ffmpeg(&format!("{source} -f lavfi -i sine=440:r=48000:d=2 -c:v mpeg2video -bf 2 -c:a mp2 -f vob a.vob"));
    let vp8 = format!("{source} -c:v libvpx -pix_fmt yuv420p -auto-alt-ref 1 -lag-in-frames 16 -b:v 100k -cpu-used 5");
    film.ffmpeg(&format!("{vp8} -pass 1 -f null -"));
    film.ffmpeg(&format!("{vp8} -pass 2 a.webm"));
    assert!(film.packets("a.webm", "v:0").len() > 50, "some packets show nothing");
    let mut inputs = vec![("a.vob", 50), ("a.webm", 50)];
    if let Some(shared) = shared() {
        film.write("b.webm", fs::read(shared.join("data/clips/vp9_10bit_bt2020.webm")).unwrap());
        inputs.push(("b.webm", 72));
    }
    for (name, n_frames) in inputs {
        film.copy(&format!("{name} -o whole.mkv -y --encoder ffv1"));
        let whole = film.frames("whole.mkv", "v:0");
        assert_eq!(whole.len(), n_frames, "{name}");
        for (cut, span) in [
            ("--frames 12", 0..12),
            ("--start 45f --frames 5", 45..50),
            ("--start 45f", 45..n_frames),
            ("--start 3f --end 20f", 3..20),
        ] {
            film.copy(&format!("{name} -o cut.mkv -y --encoder ffv1 {cut}"));
            assert_eq!(hashes(&film.frames("cut.mkv", "v:0")), hashes(&whole[span]), "{name} {cut}");
        }
    }
}

#[test]
fn a_cut_between_two_ticks_begins_and_ends_at_the_later_one() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=2 -pix_fmt yuv420p a.y4m");
    film.ffmpeg("-i a.y4m -c:v mpeg2video -q:v 2 -bf 0 -f mxf a.mxf");
    for name in ["a.y4m", "a.mxf"] {
        film.copy(&format!("{name} -o whole.mkv -y --encoder ffv1"));
        let whole = film.frames("whole.mkv", "v:0");
        for (cut, span) in
            [("--start 0.441 --frames 2", 12..14), ("--start 0.44 --frames 2", 11..13), ("--end 0.441", 0..12)]
        {
            film.copy(&format!("{name} -o cut.mkv -y --encoder ffv1 {cut}"));
            assert_eq!(hashes(&film.frames("cut.mkv", "v:0")), hashes(&whole[span]), "{name} {cut}");
        }
    }
}

#[test]
fn frames_before_the_first_time_stamp_are_not_missed() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(
        "-f lavfi -i testsrc2=s=96x64:r=25:d=2 -f lavfi -i sine=440:r=48000:d=2 -c:v libx264 -preset ultrafast -bf 2 \
         -g 12 -c:a aac a.mp4",
    );
    // Pictures before 0 lose their times in Matroska.
    film.ffmpeg("-ss 0.33 -i a.mp4 -c copy -avoid_negative_ts disabled a.mkv");
    let said = film.copy("a.mkv -o b.mkv --encoder ffv1");
    assert!(said.contains("9 frames had no time stamp") && !said.contains("not later than"), "{said}");
    let frames = film.frames("b.mkv", "v:0");
    assert_eq!(frames.len(), 50);
    assert!(frames.windows(2).all(|pair| pair[1].pts - pair[0].pts == 40_000), "{frames:?}");
    for (cut, n_frames) in [("--frames 12", 12), ("--start 5f --frames 10", 10)] {
        film.copy(&format!("a.mkv -o c.mkv -y --encoder ffv1 {cut}"));
        assert_eq!(film.frames("c.mkv", "v:0").len(), n_frames, "{cut}");
    }
}

#[test]
fn pictures_are_cropped_at_the_left_by_any_number_of_columns() {
    let Some(film) = Film::new() else { return };
    for (name, kind) in [("a", "-pix_fmt yuv420p"), ("deep", "-pix_fmt yuv420p10le")] {
        film.ffmpeg(&format!(
            "-f lavfi -i testsrc2=s=96x64:r=25:d=1 -c:v libx264 {kind} -bsf:v h264_metadata=crop_left=4:crop_right=6 \
             {name}.mp4"
        ));
        film.ffmpeg(&format!("-flags unaligned -i {name}.mp4 -c:v ffv1 {name}.true.mkv"));
        for (more, filter) in
            [("--deinterlace off", "null"), ("--deinterlace bwdif", "bwdif=mode=send_frame:parity=auto:deint=all")]
        {
            film.copy(&format!("{name}.mp4 -o {name}.mkv -y --encoder ffv1 {more}"));
            assert_eq!(film.streams(&format!("{name}.mkv"))[0]["width"], 86, "{name} {more}");
            let got = film.frames(&format!("{name}.mkv"), "v:0");
            let want = film.filtered(&format!("{name}.true.mkv"), "v:0", filter);
            assert_eq!(hashes(&got), hashes(&want), "{name} {more}");
        }
    }
}

#[test]
fn a_language_keeps_its_name_in_mov_under_its_other_code() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(
        "-f lavfi -i testsrc2=s=96x64:r=25:d=0.2 -f lavfi -i sine=440:d=0.2 -map 0 -map 1 -map 1 -map 1 \
         -c:v libx264 -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=fre -metadata:s:a:1 language=deu \
         -metadata:s:a:2 language=jpn a.mkv",
    );
    for (output, languages) in [("b.mov", ["fra", "ger", "jpn"]), ("b.mp4", ["fre", "deu", "jpn"])] {
        let said = film.copy(&format!("a.mkv -o {output}"));
        assert!(!said.contains("language"), "{said}");
        let streams = film.streams(output);
        let found = streams[1..].iter().map(|stream| stream["tags"]["language"].as_str().unwrap());
        assert_eq!(found.collect::<Vec<_>>(), languages, "{output}");
    }
}
