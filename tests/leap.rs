//! Runs and segments that begin in the middle of a film: they decode from a key frame on where it can be proven that
//! nothing differs, and from the beginning where not; the bytes are those of one run either way. So do parts of films.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::program::{Ran, ffmpeg, has, is_slow, report, run, vproc};

const LIMIT: Duration = Duration::from_secs(300);

const RUN: &str = "-m identity --encoder ffv1 --progress none --threads 2";

const SEGMENTS: &str = "--segment-frames 20";

/// 6 segments of a film are finished before it goes on.
const DONE: u64 = 6;

fn ran(folder: &Path, line: &str) -> Ran {
    let ran = run(vproc(folder).env("VPROC_LOG", "vproc=info,warn").args(line.split_whitespace()), LIMIT);
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    ran
}

/// A film of 250 frames.
fn film(path: &Path, codec: &str) {
    let source = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=10", "-pix_fmt", "yuv420p"];
    let codec: Vec<&str> = codec.split_whitespace().collect();
    ffmpeg(&[&source[..], &codec, &[path.to_str().unwrap()]].concat());
}

/// Makes the first segments of `input` one by one, another process makes one more, and a run goes on from there; what
/// these two said. The output is that of one run.
fn in_pieces(root: &Path, input: &str, more: &str) -> [String; 2] {
    let (output, whole) = (format!("{input}.out.mkv"), format!("{input}.whole.mkv"));
    let line = format!("{input} -o {output} {RUN} {SEGMENTS} {more}");
    ran(root, &format!("{line} --manifest-only"));
    for number in 0..DONE {
        ran(root, &format!("segment {output}.vproc {number}"));
    }
    let one = ran(root, &format!("segment {output}.vproc {DONE}")).stderr;
    let rest = ran(root, &line).stderr;
    assert!(
        rest.contains(&format!("going on with an interrupted run: {} frames are there", (DONE + 1) * 20)),
        "{rest}"
    );
    ran(root, &format!("{input} -o {whole} {RUN} {SEGMENTS} {more}"));
    assert!(fs::read(root.join(&output)).unwrap() == fs::read(root.join(&whole)).unwrap(), "{input} differs");
    [one, rest]
}

/// The output made in pieces has the frames of a run that was never cut.
fn is_as_never_cut(root: &Path, input: &str, more: &str) {
    ran(root, &format!("{input} -o {input}.one.mkv {RUN} {more} --no-resume"));
    let same = run(vproc(root).args(["compare", &format!("{input}.out.mkv"), &format!("{input}.one.mkv")]), LIMIT);
    let told = String::from_utf8_lossy(&same.stdout);
    assert_eq!(same.code, Some(0), "{input}: {told}");
}

#[test]
fn where_it_is_proven_that_nothing_differs_it_goes_to_a_key_frame() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (input, codec) in [
        ("closed.mp4", "-c:v libx264 -g 25 -bf 3"),
        ("closed.mkv", "-c:v libx264 -g 25 -bf 3"),
        ("no_b.mkv", "-c:v libx264 -g 10 -bf 0 -tune zerolatency"),
        ("open_gop.mkv", "-c:v libx264 -g 25 -bf 3 -x264-params open-gop=1:b-pyramid=normal:keyint=25:scenecut=0"),
        ("open_gop.mp4", "-c:v libx264 -g 25 -bf 3 -x264-params open-gop=1:keyint=25:scenecut=0"),
        ("open_gop_hevc.mp4", "-c:v libx265 -x265-params log-level=none:open-gop=1:keyint=25:bframes=4"),
        ("vp9.webm", "-c:v libvpx-vp9 -g 25 -deadline realtime -cpu-used 8"),
    ] {
        film(&root.join(input), codec);
        let [one, rest] = in_pieces(root, input, "");
        assert!(one.contains("going on at frame 120 without decoding"), "{input}: {one}");
        assert!(rest.contains("going on at frame 140 without decoding"), "{input}: {rest}");
        is_as_never_cut(root, input, "");
    }
    // A part of a film, whose frames are counted and timed anew.
    let [one, rest] = in_pieces(root, "closed.mp4", "--start 0.2 --end 9.8 -y");
    assert!(one.contains("going on at frame 120") && rest.contains("going on at frame 140"), "{one} {rest}");
    is_as_never_cut(root, "closed.mp4", "--start 0.2 --end 9.8 -y");
    // Reuse in time begins at a cut with nothing, whatever was decoded before.
    let [one, _] = in_pieces(root, "closed.mkv", "--skip near --skip-psnr 30 -y");
    assert!(one.contains("going on at frame 120"), "{one}");
}

#[test]
fn a_run_over_pictures_goes_on_at_the_picture_it_wants() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("p")).unwrap();
    film(&root.join("p/%03d.png"), "-pix_fmt rgb24");
    for more in ["", "--start 0.2 --end 9.8 -y"] {
        let [one, rest] = in_pieces(root, "p/%03d.png", more);
        assert!(one.contains("going on at frame 120") && rest.contains("going on at frame 140"), "{one} {rest}");
        is_as_never_cut(root, "p/%03d.png", more);
    }
    // Other pictures of the same names are not the same film.
    let line = format!("p/%03d.png -o other.mkv {RUN} {SEGMENTS}");
    ran(root, &format!("{line} --manifest-only"));
    ran(root, "segment other.mkv.vproc 0");
    fs::copy(root.join("p/200.png"), root.join("p/003.png")).unwrap();
    let told = run(vproc(root).args(line.split_whitespace()), LIMIT).stderr;
    assert!(!told.contains("going on with"), "{told}");
}

#[test]
fn where_seeking_loses_frames_it_decodes_from_the_beginning() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (input, codec, why) in [
        ("open_gop.ts", "-c:v libx264 -g 25 -bf 3 -x264-params open-gop=1:keyint=25", "keeps no index"),
        ("refresh.ts", "-c:v libx264 -x264-params intra-refresh=1:keyint=30", "keeps no index"),
        ("mpeg2.ts", "-c:v mpeg2video -g 12 -bf 2", "keeps no index"),
        ("b_frames.avi", "-c:v libx264 -bf 2 -g 25", "keeps no index"),
        ("mpeg4.avi", "-c:v mpeg4 -bf 2 -g 25", "keeps no index"),
        ("refresh.mkv", "-c:v libx264 -x264-params intra-refresh=1:keyint=30:bframes=0", ""),
        ("refresh.mp4", "-c:v libx264 -x264-params intra-refresh=1:keyint=30:bframes=0", ""),
        ("one_key.mkv", "-c:v libx264 -g 1000 -x264-params scenecut=0", "no key frame lies well before"),
        ("raw.h264", "-c:v libx264 -g 25", "keeps no index"),
    ] {
        film(&root.join(input), codec);
        for (said, frame) in in_pieces(root, input, "").iter().zip([120, 140]) {
            let expected = format!("decoding from the beginning, not from frame {frame}: ");
            let reason = said.lines().find_map(|line| Some(line.split_once(&expected)?.1));
            assert!(reason.is_some_and(|reason| reason.contains(why)), "{input}: {said}");
            println!("{input}: {}", reason.unwrap_or_default());
        }
        is_as_never_cut(root, input, "");
    }
}

/// What FFmpeg says of each frame of a film, shown at `start` seconds or later: a hash.
fn hashes_from(path: &Path, start: f64) -> Vec<String> {
    let select = format!("select=gte(t\\,{start})");
    let arguments =
        ["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:v:0", "-vf", &select, "-fps_mode", "passthrough"];
    let told = std::process::Command::new("ffmpeg").args(arguments).args(["-f", "framemd5", "-"]).output().unwrap();
    hashes(&String::from_utf8(told.stdout).unwrap())
}

/// The last column of a list of hashes.
fn hashes(list: &str) -> Vec<String> {
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit([',', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn a_part_far_into_a_film_begins_at_a_frame_that_needs_none_before() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (input, codec, seeks) in [
        ("closed.mp4", "-c:v libx264 -g 25 -bf 3", true),
        ("pyramid.mkv", "-c:v libx264 -g 25 -x264-params b-pyramid=normal:bframes=6:ref=5", true),
        ("annex_b.mkv", "-c:v libx264 -g 25 -bsf:v h264_mp4toannexb", true),
        ("negative.mp4", "-c:v libx264 -g 25 -bf 3 -output_ts_offset -0.5 -avoid_negative_ts disabled", true),
        ("vfr.mkv", "-vf setpts='if(lt(N,100),N,100+3*(N-100))/25/TB' -fps_mode vfr -c:v libx264 -g 25", true),
        ("ten_bits.mp4", "-pix_fmt yuv420p10le -c:v libx265 -x265-params log-level=none:keyint=25", true),
        ("open_gop_hevc.mp4", "-c:v libx265 -x265-params log-level=none:open-gop=1:keyint=25:bframes=4", true),
        ("vp9.webm", "-c:v libvpx-vp9 -g 25 -auto-alt-ref 1 -lag-in-frames 10 -cpu-used 8 -row-mt 1", true),
        ("vp8.webm", "-c:v libvpx -g 25 -deadline realtime -cpu-used 8", true),
        ("av1.mp4", "-c:v libsvtav1 -g 25 -preset 12", true),
        ("av1.mkv", "-c:v libaom-av1 -g 25 -cpu-used 8 -usage realtime", true),
        ("prores.mov", "-c:v prores_ks -profile:v 0", true),
        ("ffv1.mkv", "-c:v ffv1 -level 3 -g 12", true),
        ("interlaced.mkv", "-vf scale=160:96,setfield=tff -c:v libx264 -flags +ilme+ildct -g 25", false),
        ("open_gop.mkv", "-c:v libx264 -x264-params open-gop=1:keyint=25:scenecut=0", false),
        ("refresh.mkv", "-c:v libx264 -x264-params intra-refresh=1:keyint=30:bframes=0", false),
        ("mpeg4.mp4", "-c:v mpeg4 -g 25 -bf 2", false),
        ("closed.ts", "-c:v libx264 -g 25 -bf 3", false),
    ] {
        let path = root.join(input);
        film(&path, codec);
        let parts = [(5.03, "--frames 12"), (7.77, ""), (1.4, ""), (5.0, "--end 6.2")];
        for (start, end) in &parts[..if is_slow() { 4 } else { 2 }] {
            let deinterlace = if input == "interlaced.mkv" { "off" } else { "auto" };
            let line =
                format!("{input} -o md5:out.txt -y -m identity --start {start} {end} --deinterlace {deinterlace}");
            let told = ran(root, &format!("{line} --progress none --threads 2 --no-cache")).stderr;
            let began = told.contains("at a frame that needs none before");
            let ours = hashes(&fs::read_to_string(root.join("out.txt")).unwrap());
            let mut theirs = hashes_from(&path, *start);
            match end.split_once(' ') {
                None => {}
                Some(("--frames", n)) => theirs.truncate(n.parse().unwrap()),
                Some((_, end)) => theirs.truncate(theirs.len() - hashes_from(&path, end.parse().unwrap()).len()),
            }
            assert!(!ours.is_empty() && ours == theirs, "{input} from {start} {end}: {told}");
            if *start > 3.0 {
                assert_eq!(began, seeks || deinterlace == "off", "{input} from {start}: {told}");
            }
        }
    }
}

/// A film with damage at a fifth of its bytes.
fn damaged_film(path: &Path, codec: &str) {
    film(path, codec);
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 5;
    bytes[at..at + 400].fill(0x5a);
    fs::write(path, bytes).unwrap();
}

/// Runs a line on a damaged film.
fn damaged(folder: &Path, line: &str) -> Ran {
    let ran = run(vproc(folder).env("VPROC_LOG", "vproc=info,warn").args(line.split_whitespace()), LIMIT);
    assert!(matches!(ran.code, Some(0 | 3)), "{line}: {ran:?}");
    ran
}

/// In MPEG-2, since what FFmpeg guesses in place of damaged H.264 depends on how far its other threads have come.
#[test]
fn damage_before_the_place_is_not_leapt_over() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    damaged_film(&root.join("in.mkv"), "-c:v mpeg2video -g 12 -bf 2");
    let line = format!("in.mkv -o out.mkv {RUN} {SEGMENTS} --report out.json");
    damaged(root, &format!("{line} --manifest-only"));
    for number in 0..DONE {
        damaged(root, &format!("segment out.mkv.vproc {number}"));
    }
    let rest = damaged(root, &line);
    assert!(rest.code == Some(3) && rest.stderr.contains("decoding from the beginning, not from frame"), "{rest:?}");
    let whole = damaged(root, &format!("in.mkv -o whole.mkv {RUN} {SEGMENTS} --report whole.json"));
    assert_eq!(whole.code, Some(3));
    assert!(fs::read(root.join("out.mkv")).unwrap() == fs::read(root.join("whole.mkv")).unwrap());
    let counted = |name: &str| report(&root.join(name))["frames_damaged"].clone();
    assert_eq!(counted("out.json"), counted("whole.json"));
}

#[test]
fn a_join_of_a_damaged_film_says_so_however_often_it_is_asked() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    damaged_film(&root.join("in.mkv"), "-c:v mpeg2video -g 12 -bf 2");
    damaged(root, &format!("in.mkv -o out.mkv {RUN} --segment-frames 100 --manifest-only"));
    for number in 0..3 {
        damaged(root, &format!("segment out.mkv.vproc {number}"));
    }
    for _ in 0..2 {
        let joined = damaged(root, "join out.mkv.vproc");
        assert_eq!(joined.code, Some(3), "{joined:?}");
    }
}

/// The full form takes a film of ten minutes; what is saved is printed, since how long a machine takes proves nothing.
#[test]
fn near_the_end_of_a_long_film_it_need_not_decode_what_lies_before() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (seconds, size) = if is_slow() { (600, "640x360") } else { (24, "160x90") };
    let source = format!("testsrc2=s={size}:r=25:d={seconds}");
    let codec = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"];
    let path = root.join("in.mp4");
    let arguments = [&["-f", "lavfi", "-i", &source][..], &codec, &[path.to_str().unwrap()]].concat();
    ffmpeg(&arguments);
    let n_segments = seconds * 25 / 100;
    let run = "-m identity --encoder libx264 --preset ultrafast --threads 2 --segment-frames 100 --progress none";
    ran(root, &format!("in.mp4 -o whole.mkv {run}"));
    ran(root, &format!("in.mp4 -o out.mkv {run} --manifest-only"));
    for number in 0..n_segments - 1 {
        ran(root, &format!("segment out.mkv.vproc {number}"));
    }
    let note = root.join(format!("out.mkv.vproc/{:06}.json", n_segments - 2));
    let text = fs::read_to_string(&note).unwrap();
    let last = format!("segment out.mkv.vproc {}", n_segments - 1);
    let sought = ran(root, &last);
    // Without what is remembered of the frames before it, the same segment once more.
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["value"]["mark"] = serde_json::Value::Null;
    fs::write(&note, value.to_string()).unwrap();
    let made = root.join(format!("out.mkv.vproc/{:06}.seg", n_segments - 1));
    let bytes = fs::read(&made).unwrap();
    fs::remove_file(&made).unwrap();
    let decoded = ran(root, &last);
    assert!(sought.stderr.contains("without decoding") && decoded.stderr.contains("nothing is known of the last"));
    assert!(fs::read(&made).unwrap() == bytes);
    println!("the last segment of {seconds} s took {:.1?}, and {:.1?} from the beginning", sought.took, decoded.took);
    ran(root, "join out.mkv.vproc");
    assert!(fs::read(root.join("out.mkv")).unwrap() == fs::read(root.join("whole.mkv")).unwrap());
}
