//! Fields, and what else frames say of themselves: held against ffmpeg.

use crate::film::{Film, Shown};

fn hashes(frames: &[Shown]) -> Vec<&str> {
    frames.iter().map(|frame| frame.hash.as_str()).collect()
}

/// The hashes that a run of the network that changes nothing prints.
fn printed(film: &Film, line: &str) -> Vec<String> {
    let output = film.vproc(&format!("{line} -o md5: -m identity -q --threads 1"));
    assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(", ").next().unwrap().to_owned()).collect()
}

#[test]
fn formats_that_the_filter_lacks_are_deinterlaced() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=0.4 -pix_fmt yuv420p -c:v ffv1 planar.mkv");
    film.ffmpeg("-i planar.mkv -pix_fmt nv12 -c:v rawvideo semi.mkv");
    let expected = film.filtered("planar.mkv", "v:0", "bwdif=mode=send_frame:deint=all");
    film.copy("semi.mkv -o semi.y4m --deinterlace bwdif");
    assert_eq!(hashes(&film.frames("semi.y4m", "v:0")), hashes(&expected));
    for format in ["gray10le", "gray12le", "yuv440p10le"] {
        film.ffmpeg(&format!("-i planar.mkv -pix_fmt {format} -c:v ffv1 deep.mkv"));
        let (woven, made) = (printed(&film, "deep.mkv"), printed(&film, "deep.mkv --deinterlace bwdif"));
        assert!(made.len() == 10 && made != woven, "{format}");
    }
}

#[test]
fn fields_of_raw_video_are_deinterlaced_as_those_of_containers() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=0.4 -vf setfield=tff -field_order tt -pix_fmt yuv420p woven.y4m");
    let expected = film.filtered("woven.y4m", "v:0", "bwdif=mode=send_frame:deint=interlaced");
    for how in ["auto", "bwdif"] {
        let said = film.copy(&format!("woven.y4m -o {how}.mkv --encoder ffv1 --deinterlace {how}"));
        assert_eq!(said.matches("deinterlaced with bwdif").count(), 1, "{said}");
        assert_eq!(hashes(&film.frames(&format!("{how}.mkv"), "v:0")), hashes(&expected), "{how}");
        assert_eq!(film.frames(&format!("{how}.mkv"), "v:0").len(), 10, "{how}");
    }
    let said = film.copy("woven.y4m -o off.mkv --encoder ffv1 --deinterlace off");
    assert!(!said.contains("bwdif"), "{said}");
    assert_eq!(hashes(&film.frames("off.mkv", "v:0")), hashes(&film.frames("woven.y4m", "v:0")));
    // Others pass as they are, each at once.
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=0.4 -pix_fmt yuv420p still.y4m");
    let said = film.copy("still.y4m -o still.mkv --encoder ffv1");
    assert!(!said.contains("bwdif"), "{said}");
    assert_eq!(hashes(&film.frames("still.mkv", "v:0")), hashes(&film.frames("still.y4m", "v:0")));
}

#[test]
fn what_a_container_alone_says_of_fields_is_told() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=0.2 -pix_fmt yuv420p -c:v libx264 -field_order tt a.mkv");
    for (how, is_told) in [("auto", true), ("bwdif", false), ("off", false)] {
        let said = film.copy(&format!("a.mkv -o null: --deinterlace {how}"));
        assert_eq!(said.contains("none of its frames does"), is_told, "{how}: {said}");
    }
}

/// Bytes of bits, filled up with zeros.
fn bytes(bits: &str) -> Vec<u8> {
    let bits: String = bits.split_whitespace().collect();
    let byte = |bits: &[u8]| bits.iter().enumerate().map(|(at, bit)| (bit - b'0') << (7 - at)).sum::<u8>();
    bits.as_bytes().chunks(8).map(byte).collect()
}

fn unit(header: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, header][..], payload].concat()
}

/// H.264 of pictures of 16x32, each coded as two fields of a macroblock that holds its samples as they are. Units, and
/// the bits of their parts, in the order of ITU-T H.264, 7.3.
fn field_coded(n_frames: u8) -> Vec<u8> {
    let sps = unit(0x67, &bytes("01001101 00000000 00011110 1 1 011 010 0 1 1 0 0 1 0 0 1"));
    let pps = unit(0x68, &bytes("1 1 0 0 1 1 1 0 00 1 1 1 0 0 0 1"));
    let field = |frame: u8, bottom: u8| {
        let is_idr = frame == 0 && bottom == 0;
        let marks = if is_idr { "1 0 0" } else { "0" };
        let header = bytes(&format!("1 0001000 1 {:04b} 1 {bottom} {marks} 1 000011010", frame % 16));
        let samples = [[40 + 3 * frame + 2 * bottom; 256].as_slice(), &[128; 128]].concat();
        let slice = unit(if is_idr { 0x65 } else { 0x41 }, &[header, samples, vec![0x80]].concat());
        let sets = if is_idr { [&sps[..], &pps].concat() } else { Vec::new() };
        [unit(0x09, &[0x10]), sets, slice].concat()
    };
    (0..n_frames).flat_map(|frame| [field(frame, 0), field(frame, 1)]).flatten().collect()
}

#[test]
fn two_packets_of_fields_count_as_one_frame_in_a_cut() {
    let Some(film) = Film::new() else { return };
    film.write("a.h264", field_coded(30));
    for name in ["a.ts", "a.mkv", "a.mp4"] {
        film.ffmpeg(&format!("-i a.h264 -c copy -bsf:v setts=pts=N*1800:dts=N*1800:time_base=1/90000 {name}"));
        assert_eq!(film.packets(name, "v:0").len(), 60, "{name}");
        let whole = printed(&film, &format!("{name} --deinterlace off"));
        assert_eq!(whole.len(), 30, "{name}");
        // Nothing is missed in it either.
        film.copy(&format!("{name} -o {name}.out.mkv --encoder ffv1 --deinterlace off"));
        for (cut, span) in [("--frames 10", 0..10), ("--start 10f --frames 5", 10..15), ("--start 4f --end 20f", 4..20)]
        {
            assert_eq!(printed(&film, &format!("{name} --deinterlace off {cut}")), whole[span], "{name} {cut}");
        }
    }
}

#[test]
fn what_changes_in_mid_stream_is_told_once() {
    let Some(film) = Film::new() else { return };
    film.ffmpeg("-f lavfi -i testsrc2=s=96x64:r=25:d=1 -c:v libx264 -pix_fmt yuv420p -bf 0 a.h264");
    film.ffmpeg(
        "-i a.h264 -c copy -bsf:v h264_metadata=sample_aspect_ratio=4/3:video_full_range_flag=1:colour_primaries=1:\
         transfer_characteristics=1:matrix_coefficients=1 b.h264",
    );
    let [first, other] = ["a.h264", "b.h264"].map(|name| std::fs::read(film.path(name)).unwrap());
    film.write("c.h264", [&first[..], &other, &first].concat());
    assert!(!film.copy("a.h264 -o null:").contains("changes"));
    let said = film.copy("c.h264 -o null:");
    for change in [
        "the shape of the picture changes from 1.500:1 to 2.000:1 at frame 25",
        "the colour range changes from Limited to Full at frame 25",
        "the colour matrix changes from Bt601 to Bt709 at frame 25",
    ] {
        assert_eq!(said.matches(change).count(), 1, "{change}: {said}");
    }
    assert_eq!(said.matches("changes").count(), 3, "{said}");
}

#[test]
fn opacity_that_is_dropped_is_told() {
    let Some(film) = Film::new() else { return };
    for (format, is_told) in [("ya8", true), ("gray", false), ("yuva420p", false)] {
        film.ffmpeg(&format!("-f lavfi -i testsrc2=s=96x64:r=25:d=0.2 -pix_fmt {format} -c:v ffv1 a.mkv"));
        assert_eq!(film.copy("a.mkv -o null:").contains("opacity, which is dropped"), is_told, "{format}");
    }
}
