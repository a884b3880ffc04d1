//! What a container cannot hold as it is, or writes in its own way: converted, kept in its place in time, and said.

use crate::film::{Film, micros};

const VIDEO: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=1";

const X264: &str = "-c:v:0 libx264 -preset ultrafast -pix_fmt:v:0 yuv420p";

const WEBM: &str = "--encoder libvpx-vp9 --encoder-opt cpu-used=8:deadline=realtime";

/// The sound of a file as one channel of floats at 48 kHz.
fn sound(film: &Film, name: &str) -> Vec<f32> {
    let bytes = film.ffmpeg(&format!("-i {name} -map 0:a:0 -f f32le -ac 1 -ar 48000 -"));
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
fn sound_whose_channels_and_rate_change_goes_on_and_stays_in_time() {
    let Some(film) = Film::new() else { return };
    for (name, layout, rate, at) in [("a", "5.1", 48000, 0), ("b", "stereo", 48000, 1), ("c", "stereo", 44100, 2)] {
        let layout = format!("aformat=channel_layouts={layout}");
        film.ffmpeg(&format!(
            "{VIDEO} -f lavfi -i sine=f=500:r={rate}:d=1,{layout} {X264} -c:a aac -output_ts_offset {at} {name}.ts"
        ));
    }
    let all: Vec<u8> =
        ["a.ts", "b.ts", "c.ts"].iter().flat_map(|name| std::fs::read(film.path(name)).unwrap()).collect();
    film.write("all.ts", all);
    let output = film.vproc(&format!("all.ts -o all.webm -m identity {WEBM}"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!([0, 3].contains(&output.status.code().unwrap()), "{said}");
    assert!(said.contains("(aac audio) converted: to libopus"), "{said}");
    let heard = sound(&film, "all.webm");
    assert!((2.9..3.2).contains(&(heard.len() as f64 / 48000.0)), "{}", heard.len());
    // Periods of 500 Hz in the middle of each second.
    for second in 0..3 {
        let part = &heard[second * 48000 + 12000..][..24000];
        let rises = part.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((248..=252).contains(&rises), "{rises} in second {second}");
    }
}

#[test]
fn gaps_in_converted_sound_are_silent_and_as_long_as_they_were() {
    let Some(film) = Film::new() else { return };
    let clicks = "aevalsrc='if(between(t,0.2,0.21)+between(t,0.8,0.81),0.5,0)':s=48000:d=1:n=960";
    let clicks = clicks.replace(',', "\\,").replace('\'', "");
    film.ffmpeg(&format!(
        "{VIDEO} -f lavfi -i {clicks} -af aselect='not(between(t\\,0.3\\,0.7))' {X264} -c:a pcm_s16le gap.mkv"
    ));
    let said = film.copy("gap.mkv -o gap.mp4");
    assert!(said.contains("(pcm_s16le audio) converted: to alac"), "{said}");
    let heard = sound(&film, "gap.mp4");
    let loud: Vec<usize> = (0..heard.len()).filter(|&at| heard[at].abs() > 0.3).collect();
    let seconds = |at: usize| at as f64 / 48000.0;
    let (first, last) = (seconds(loud[0]), seconds(loud[loud.len() - 1]));
    assert!((first - 0.2).abs() < 0.002 && (last - 0.81).abs() < 0.002, "{first} {last}");
    assert!((seconds(heard.len()) - 1.0).abs() < 0.03, "{}", heard.len());
}

#[test]
fn cues_that_overlap_begin_where_they_did() {
    let Some(film) = Film::new() else { return };
    let cues = [(100, 800), (300, 500), (600, 900), (700, 950)];
    let text: String = cues.map(|(from, to)| format!("1\n00:00:00,{from} --> 00:00:00,{to}\ncue {from}\n\n")).concat();
    film.write("s.srt", text);
    film.ffmpeg(&format!("{VIDEO} -i s.srt {X264} -c:s subrip a.mkv"));
    film.copy("a.mkv -o a.mp4");
    let packets = film.probe("-select_streams s -show_entries packet=pts_time,size a.mp4");
    let packets = packets["packets"].as_array().unwrap();
    let filled = packets.iter().filter(|packet| packet["size"].as_str().unwrap().parse::<u32>().unwrap() > 2);
    let starts: Vec<i64> = filled.map(|packet| (micros(&packet["pts_time"]) + 500) / 1000).collect();
    assert_eq!(starts, cues.map(|(from, _)| from));
}

#[test]
fn side_speakers_become_rear_ones_where_the_codec_knows_no_others() {
    let Some(film) = Film::new() else { return };
    let noise = "-f lavfi -i anoisesrc=d=1:a=0.1,aformat=channel_layouts=5.1(side)";
    film.ffmpeg(&format!("{VIDEO} {noise} {X264} -c:a ac3 a.mkv"));
    film.ffmpeg(&format!("{VIDEO} {noise} {X264} -c:a pcm_s16le a.mov"));
    for (from, to) in [("a.mkv", format!("a.webm {WEBM}")), ("a.mov", "a.mp4".to_owned())] {
        film.copy(&format!("{from} -o {to}"));
        let streams = film.streams(to.split(' ').next().unwrap());
        assert_eq!(streams[1]["channels"], 6, "{to}");
    }
}

#[test]
fn sound_that_cannot_be_converted_is_named_and_left_out() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -f lavfi -i sine=d=1 {X264} -c:a aac a.mov"));
    let mut bytes = std::fs::read(film.path("a.mov")).unwrap();
    let is_it = |entry: &[u8]| entry.starts_with(b"stsd") && entry.ends_with(b"mp4a");
    let at = bytes.windows(20).position(is_it).unwrap();
    bytes[at + 16..at + 20].copy_from_slice(b"none");
    film.write("a.mov", bytes);
    let Some(said) = unknown(&film) else { return };
    assert!(said.contains("dropped: it cannot be converted: this FFmpeg has no decoder"), "{said}");
    assert_eq!(film.streams("a.mp4").len(), 1);
}

/// What is said of sound of an unknown codec; `None` where FFmpeg wrote the file in another way than is patched.
fn unknown(film: &Film) -> Option<String> {
    let streams = film.streams("a.mov");
    if streams.len() < 2 || streams[1]["codec_name"].is_string() {
        println!("skipped: the patched codec is still known");
        return None;
    }
    Some(film.copy("a.mov -o a.mp4"))
}

#[test]
fn what_containers_write_in_their_own_way_is_the_same() {
    let Some(film) = Film::new() else { return };
    let chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\n\
                    END=1000\n";
    film.write("ch.txt", chapters);
    film.ffmpeg(&format!("{VIDEO} -i ch.txt -map_metadata 1 -map 0 {X264} -metadata track=03 a.mkv"));
    let said = film.copy("a.mkv -o a.mp4");
    assert!(!said.contains("warning"), "{said}");
    let kept = String::from_utf8(film.ffmpeg("-i a.mp4 -f ffmetadata -")).unwrap();
    assert_eq!(kept.matches("[CHAPTER]").count(), 2, "{kept}");
    film.ffmpeg("-f lavfi -i color=red:s=32x32 -frames:v 1 c.png");
    let cover = "-attach c.png -metadata:s:t mimetype=image/png -metadata:s:t filename=cover.png";
    film.ffmpeg(&format!("{VIDEO} -map 0 {X264} -metadata IMDB=tt123 {cover} b.mkv"));
    let said = film.copy("b.mkv -o b.mp4");
    assert!(said.contains("does not keep 'IMDB' of the file"), "{said}");
    assert_eq!(film.streams("b.mp4").len(), 2, "the cover is there");
}

#[test]
fn opacity_that_is_not_decoded_is_said_and_not_claimed() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(
        "-f lavfi -i testsrc2=s=64x48:r=25:d=0.2,format=yuva420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 a.webm",
    );
    let said = film.copy("a.webm -o a.mkv --encoder ffv1");
    assert!(said.contains("the opacity of the vp9 pictures is not decoded"), "{said}");
    assert!(film.streams("a.mkv")[0]["tags"]["ALPHA_MODE"].is_null());
}

#[test]
fn a_rotation_moves_pictures_of_twice_the_size_twice_as_far() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} {X264} a.mov"));
    // As phones write it: a quarter turn, and back into the picture by its height.
    let matrix: Vec<u8> = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
        .iter()
        .flat_map(|cell: &i32| cell.to_be_bytes())
        .collect();
    let mut bytes = std::fs::read(film.path("a.mov")).unwrap();
    let at = bytes.windows(4).position(|name| name == b"tkhd").unwrap() + 44;
    bytes[at..at + matrix.len()].copy_from_slice(&matrix);
    film.write("a.mov", bytes);
    let moved = |name: &str| {
        let shown = film.probe(&format!("-show_entries stream_side_data=displaymatrix {name}"));
        let text = shown["streams"][0]["side_data_list"][0]["displaymatrix"].as_str().unwrap().to_owned();
        let cells: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        cells[cells.len() - 3]
    };
    assert_eq!(moved("a.mov"), 48 << 16);
    film.copy("a.mov -o same.mov");
    assert_eq!(film.vproc("a.mov -o twice.mov -m nearest-x2").status.code(), Some(0));
    film.copy("a.mov -o small.mov --size 32x24");
    assert_eq!([moved("same.mov"), moved("twice.mov"), moved("small.mov")], [48 << 16, 96 << 16, 24 << 16]);
}

#[test]
fn sound_that_an_index_lists_and_the_file_does_not_hold_is_damage() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -f lavfi -i sine=d=1 {X264} -c:a aac -movflags +faststart a.mp4"));
    let whole = film.copy("a.mp4 -o whole.mp4");
    assert!(!whole.contains("lists"), "{whole}");
    // The last chunk of the sound lies behind the end of the file.
    let mut bytes = std::fs::read(film.path("a.mp4")).unwrap();
    let at = bytes.windows(4).rposition(|name| name == b"stco").unwrap();
    let n = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
    bytes[at + 8 + 4 * n..at + 12 + 4 * n].copy_from_slice(&0x7000_0000u32.to_be_bytes());
    film.write("b.mp4", bytes);
    let output = film.vproc("b.mp4 -o b2.mp4 -m identity");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("stream 1 (aac audio): the file ends early: its index lists"), "{said}");
}

/// Subtitle pictures of 4x2 pixels at these milliseconds, as a Blu-ray has them: five segments each.
fn subtitle_pictures(times: &[u32]) -> Vec<u8> {
    let shown = [0, 64, 0, 48, 0x10, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0, 8];
    let (window, palette) = ([1, 0, 0, 8, 0, 8, 0, 4, 0, 2], [0, 0, 1, 235, 128, 128, 255]);
    let picture = [0, 0, 0, 0xc0, 0, 0, 16, 0, 4, 0, 2, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0];
    let segments = [(0x16, &shown[..]), (0x17, &window), (0x14, &palette), (0x15, &picture), (0x80, &[])];
    let mut bytes = Vec::new();
    for (time, (kind, data)) in times.iter().flat_map(|time| segments.map(|segment| (time * 90, segment))) {
        bytes.extend(b"PG");
        bytes.extend(time.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.push(kind);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

#[test]
fn names_and_languages_that_an_mp4_shortens_are_no_fault() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -f lavfi -i sine=d=1 {X264} -c:a mp2 -metadata:s:a language=eng-US a.mkv"));
    let said = film.copy("a.mkv -o a.mp4");
    assert!(said.contains("'language' of stream 1 becomes 'eng' from 'eng-US'"), "{said}");
    let payload = |name: &str| film.packets(name, "a:0").into_iter().map(|packet| packet.1).collect::<Vec<_>>();
    assert_eq!(payload("a.mp4"), payload("a.mkv"));
}

#[test]
fn subtitles_whose_segments_come_one_by_one_are_the_same_in_one_packet() {
    let Some(film) = Film::new() else { return };
    let whole = subtitle_pictures(&[200, 500, 800]);
    // The first begins in its middle, or the last ends there.
    let from_its_second = &whole[32..];
    let without_end = &whole[..whole.len() - 13];
    for (name, bytes, n) in [("whole", &whole[..], 3), ("late", from_its_second, 2), ("early", without_end, 3)] {
        film.write("p.sup", bytes);
        film.ffmpeg(&format!("{VIDEO} -i p.sup -map 0 -map 1 {X264} -c:s copy {name}.m2ts"));
        film.copy(&format!("{name}.m2ts -o {name}.mkv"));
        assert_eq!(film.packets(&format!("{name}.mkv"), "s:0").len(), n, "{name}");
    }
    assert_eq!(film.packets("whole.m2ts", "s:0").len(), 15);
}

#[test]
fn the_last_subtitle_picture_of_an_mp4_is_read_again() {
    let Some(film) = Film::new() else { return };
    film.write("p.sup", subtitle_pictures(&[200, 500, 800]));
    film.ffmpeg(&format!("{VIDEO} -i p.sup -map 0 -map 1 {X264} -c:s dvdsub a.mkv"));
    film.copy("a.mkv -o a.mp4");
    film.copy("a.mkv -o b.mp4 --end 0.4");
    let n_packets = |name: &str| film.packets(name, "s:0").len();
    assert_eq!((n_packets("a.mkv"), n_packets("a.mp4"), n_packets("b.mp4")), (3, 3, 2));
}

#[test]
fn streams_of_which_nothing_is_kept_need_not_be_there() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("{VIDEO} -itsoffset 0.6 -f lavfi -i sine=d=0.4 -map 0 -map 1 {X264} -c:a aac a.mkv"));
    for (run, n_streams) in
        [("a.mkv -o cut.mp4 --frames 3", 1), ("a.mkv -o a.mp4", 2), ("a.mkv -o cut.mkv --frames 3", 2)]
    {
        let said = film.copy(run);
        let is_told = said.contains("stream 1 (aac audio) has no packets in what is kept; mp4 lists no stream for it");
        assert_eq!(is_told, n_streams == 1, "{run}: {said}");
        assert_eq!(film.streams(run.split(' ').nth(2).unwrap()).len(), n_streams, "{run}");
    }
}

#[test]
fn what_an_edit_list_hides_is_left_out_where_none_can_be_written() {
    let Some(film) = Film::new() else { return };
    let sound_and_text = "-f lavfi -i sine=d=1:r=48000 -i s.srt -map 0 -map 1 -map 2 -c:a aac -c:s mov_text";
    film.write("s.srt", "1\n00:00:00,100 --> 00:00:00,600\nbefore\n\n2\n00:00:00,700 --> 00:00:00,900\nafter\n\n");
    film.ffmpeg(&format!("{VIDEO} {sound_and_text} -c:v libx264 -g 50 -bf 0 -pix_fmt yuv420p long.mp4"));
    film.ffmpeg("-ss 0.42 -i long.mp4 -map 0 -c copy cut.mp4");
    let flags = film.probe("-select_streams a -show_entries packet=flags cut.mp4");
    let flags = flags["packets"].as_array().unwrap();
    let n_hidden = flags.iter().filter(|packet| packet["flags"].as_str().unwrap().contains('D')).count();
    assert!(n_hidden > 10, "{n_hidden}");
    // One packet stays, without which the first that is heard cannot be decoded.
    let said = film.copy("cut.mp4 -o cut.mkv");
    let told = format!("stream 1 (aac audio): {} packets that the input's edit list hides are left out", n_hidden - 1);
    assert!(said.contains(&told), "{said}");
    assert_eq!(film.packets("cut.mkv", "a:0").len(), flags.len() - (n_hidden - 1));
    assert!(film.packets("cut.mkv", "v:0")[0].0 < 45_000);
    let text = String::from_utf8(film.ffmpeg("-i cut.mkv -map 0:s -f srt -")).unwrap();
    assert!(text.contains("after") && !text.contains("before"), "{text}");
    // Converted sound is heard as far as it was, to a packet.
    film.copy(&format!("cut.mp4 -o cut.webm {WEBM}"));
    let [before, after] = ["cut.mp4", "cut.webm"].map(|name| sound(&film, name).len());
    assert!(before.abs_diff(after) <= 1024, "{before} {after}");
    // An mp4 has an edit list of its own, and an ordinary one hides nothing but what sound begins with.
    assert!(!film.copy("cut.mp4 -o same.mp4").contains("edit list"));
    assert_eq!(film.packets("same.mp4", "a:0"), film.packets("cut.mp4", "a:0"));
    assert!(!film.copy("long.mp4 -o long.mkv").contains("edit list"));
}

#[test]
fn sound_that_is_converted_or_raw_is_cut_where_the_picture_is() {
    let Some(film) = Film::new() else { return };
    // The height of the sound tells the time: a quarter a second. Its packets last half a second and more.
    let ramp = "-f lavfi -i aevalsrc=t/4:s=48000:d=4,asetnsamples=24000";
    let source = format!("-f lavfi -i testsrc2=s=64x48:r=25:d=4 {ramp} {X264}");
    for (codec, container) in [("tta", "mp4"), ("pcm_s16le", "mp4"), ("pcm_s16le", "mkv"), ("pcm_s24le", "mov")] {
        film.ffmpeg(&format!("{source} -c:a {codec} a.mkv"));
        let said = film.copy(&format!("a.mkv -o b.{container} -y --start 1.3 --end 2.7"));
        assert!(!said.contains("missing"), "{codec} {container}: {said}");
        let heard = sound(&film, &format!("b.{container}"));
        let time = |at: usize| f64::from(heard[at]) * 4.0;
        assert!(heard.len().abs_diff(67_200) <= 48, "{codec} {container}: {}", heard.len());
        let (first, last) = (time(0), time(heard.len() - 1));
        assert!((first - 1.3).abs() < 0.002 && (last - 2.7).abs() < 0.002, "{codec} {container}: {first} {last}");
        assert_eq!(film.packets(&format!("b.{container}"), "a:0")[0].0, 0, "{codec} {container}");
    }
    // Packets of FLAC last 96 ms and are copied whole.
    film.ffmpeg(&format!("{source} -c:a flac a.mkv"));
    let said = film.copy("a.mkv -o c.mkv --start 1.45");
    assert!(said.contains("stream 1 (flac audio): 86 ms are missing at its start"), "{said}");
    let said = film.copy("a.mkv -o d.mkv --start 1.52");
    assert!(!said.contains("missing"), "{said}");
}

/// Gives the last track of an mp4 that ends with its index two edits of a second from these places of its media.
fn set_two_edits(film: &Film, name: &str, places: [u32; 2]) {
    let mut bytes = std::fs::read(film.path(name)).unwrap();
    let at = |name| bytes.windows(4).rposition(|window| window == name).unwrap();
    let [moov, trak, edts, elst] = [b"moov", b"trak", b"edts", b"elst"].map(at);
    assert_eq!(bytes[elst + 8..elst + 12], 1u32.to_be_bytes(), "one edit");
    let edits = places.iter().flat_map(|place| [1000, *place, 0x1_0000]).flat_map(u32::to_be_bytes);
    bytes.splice(elst + 12..elst + 24, edits);
    bytes[elst + 11] = 2;
    for parent in [moov, trak, edts, elst] {
        let size = u32::from_be_bytes(bytes[parent - 4..parent].try_into().unwrap());
        bytes[parent - 4..parent].copy_from_slice(&(size + 12).to_be_bytes());
    }
    film.write(name, bytes);
}

#[test]
fn what_a_second_edit_hides_is_left_out_everywhere() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg(&format!("-f lavfi -i testsrc2=s=64x48:r=25:d=4 -f lavfi -i sine=d=4:r=48000 {X264} -c:a aac a.mp4"));
    set_two_edits(&film, "a.mp4", [1024, 97_024]);
    let flags = film.probe("-select_streams a -show_entries packet=flags a.mp4");
    let is_hidden = |at: usize| flags["packets"][at]["flags"].as_str().unwrap().contains('D');
    let all = film.packets("a.mp4", "a:0");
    let n_hidden = (1..all.len()).filter(|at| is_hidden(*at)).count();
    assert!(n_hidden > 30, "{n_hidden}");
    let shown: Vec<_> = (0..all.len()).filter(|at| *at == 0 || !is_hidden(*at)).map(|at| all[at].clone()).collect();
    for container in ["mp4", "mov", "mkv"] {
        let said = film.copy(&format!("a.mp4 -o b.{container}"));
        assert!(said.contains(&format!("{n_hidden} packets that the input's edit list hides are left out")), "{said}");
        let copied = film.packets(&format!("b.{container}"), "a:0");
        // Matroska knows no times before zero and counts milliseconds.
        let moved = copied[0].0 - shown[0].0;
        assert!(moved == 0 || container == "mkv", "{container}: {moved}");
        let tolerance = if container == "mkv" { 1000 } else { 0 };
        assert_eq!(copied.len(), shown.len(), "{container}");
        let is_same = |a: &(i64, String), b: &(i64, String)| a.1 == b.1 && (a.0 - b.0 - moved).abs() <= tolerance;
        assert!(copied.iter().zip(&shown).all(|(a, b)| is_same(a, b)), "{container}");
    }
}

#[test]
fn chapters_move_with_the_pictures_where_no_time_is_below_zero() {
    let Some(film) = Film::new() else { return };
    let chapters = [(0, 400, "a"), (400, 1000, "b")]
        .map(|(start, end, title)| format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={title}\n"));
    film.write("c.txt", format!(";FFMETADATA1\n{}", chapters.concat()));
    let sound = "-f lavfi -i sine=d=1:r=48000 -i c.txt -map 0 -map 1 -map_chapters 2 -c:a aac";
    film.ffmpeg(&format!("{VIDEO} {sound} {X264} a.mp4"));
    let starts = |name: &str| -> Vec<i64> {
        let probe = film.probe(&format!("-show_chapters {name}"));
        probe["chapters"].as_array().unwrap().iter().map(|chapter| micros(&chapter["start_time"])).collect()
    };
    assert_eq!(starts("a.mp4"), [0, 400_000]);
    for (container, options) in [("mkv", ""), ("mp4", ""), ("mkv", "--start 0.2")] {
        film.copy(&format!("a.mp4 -o b.{container} -y {options}"));
        let first = film.frames(&format!("b.{container}"), "v:0")[0].pts;
        // What AAC begins with lies below 0, and Matroska moves all to later by that.
        assert_eq!(first, if (container, options) == ("mkv", "") { 21_000 } else { 0 }, "{container} {options}");
        let second = if options.is_empty() { 400_000 } else { 200_000 };
        assert_eq!(starts(&format!("b.{container}")), [first, first + second], "{container} {options}");
    }
}
