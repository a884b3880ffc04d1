//! The cache as several users of one folder meet it, whatever happens to its files.

use std::fs::{self, File};
use std::path::Path;

use super::*;

const SIZE: u64 = 4 << 20;

fn open(folder: &Path) -> Cache {
    Cache::open(folder, Some(SIZE)).unwrap().0
}

fn key(cache: &Cache, number: u64) -> Key {
    cache.key(Kind::Picture, &mut number.to_ne_bytes().to_vec())
}

/// A value that says whose it is.
fn value(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn store(cache: &Cache, number: u64, length: usize) -> Stored {
    let mut record = vec![0; HEADER];
    record.extend(value(number, length));
    cache.store(key(cache, number), Kind::Picture, &mut record)
}

/// What is found under a number; a wrong value ends the test.
fn found(cache: &Cache, number: u64) -> bool {
    let key = key(cache, number);
    let Some(place) = cache.find(key) else { return false };
    let mut record = Vec::new();
    match cache.read(key, Kind::Picture, place, &mut record) {
        Some(read) => {
            assert_eq!(read, value(number, read.len()), "a wrong value under {number}");
            true
        }
        None => {
            cache.forget(key, place);
            false
        }
    }
}

fn edit(folder: &Path, name: &str) -> File {
    File::options().read(true).write(true).open(folder.join(name)).unwrap()
}

fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
}

#[test]
fn what_was_stored_is_found_by_this_run_and_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    assert!((0..100).all(|number| !found(&cache, number)));
    assert!((0..100).all(|number| store(&cache, number, 1000 + number as usize) == Stored::Kept));
    assert!((0..100).all(|number| found(&cache, number)));
    let other = open(folder.path());
    drop(cache);
    assert!((0..100).all(|number| found(&other, number)));
    let stat = other.stat();
    assert_eq!((stat.capacity, stat.n_records), (SIZE, 100));
    assert_eq!(other.verify(), Verified { good: 100, bad: 0 });
    // The kind is part of the key and of the record.
    let mut bytes = 5u64.to_ne_bytes().to_vec();
    let key_of_other_kind = other.key(Kind::Detections, &mut bytes);
    assert_eq!(other.find(key_of_other_kind), None);
    let place = other.find(key(&other, 5)).unwrap();
    assert_eq!(other.read(key(&other, 5), Kind::Detections, place, &mut Vec::new()), None);
}

#[test]
fn detections_lie_beside_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let boxes = br#"[{"box":[1,2,3,4],"score":0.9}]"#;
    let mut bytes = b"one picture".to_vec();
    let keys = Kind::ALL.map(|kind| cache.key(kind, &mut bytes));
    assert_ne!(keys[0], keys[1]);
    let mut record = [&[0; HEADER][..], boxes].concat();
    assert_eq!(cache.store(keys[1], Kind::Detections, &mut record), Stored::Kept);
    assert_eq!(cache.find(keys[0]), None);
    let place = cache.find(keys[1]).unwrap();
    assert_eq!(cache.read(keys[1], Kind::Detections, place, &mut Vec::new()), Some(&boxes[..]));
}

#[test]
fn a_run_gives_up_the_oldest_but_never_its_own_or_what_it_has_used() {
    let folder = tempfile::tempdir().unwrap();
    // 6080 bytes each.
    let (most, least) = (SIZE as usize / 6080, SIZE as usize / 6080 * 95 / 100);
    let first = open(folder.path());
    let kept: Vec<u64> = (0..2000).filter(|&number| store(&first, number, 6000) == Stored::Kept).collect();
    assert!((least..=most).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|&number| found(&first, number)));
    drop(first);
    // A second run of the same finds what there is and gives none of it up for the rest.
    for _ in 0..2 {
        let again = open(folder.path());
        let mut hits = 0;
        for number in 0..2000 {
            hits += usize::from(found(&again, number));
            store(&again, number + 100_000, 6000);
        }
        assert!(hits * 100 >= kept.len() * 98, "{hits} of {}", kept.len());
    }
    // Another job takes its place.
    let other = open(folder.path());
    let kept: Vec<u64> = (9000..11_000).filter(|&number| store(&other, number, 6000) == Stored::Kept).collect();
    assert!((least..=most).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|&number| found(&other, number)));
    assert!((0..2000).filter(|&number| found(&other, number)).count() <= 3);
}

#[test]
fn what_is_too_large_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    assert!(!cache.has_room(SIZE as usize / 4) && cache.has_room(SIZE as usize / 5));
    assert_eq!(store(&cache, 1, SIZE as usize / 4), Stored::NoRoom);
    assert_eq!(store(&cache, 1, SIZE as usize / 5), Stored::Kept);
    assert!(found(&cache, 1));
}

#[test]
fn flipped_bytes_are_misses() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    // Records this small overflow a bucket of the index now and then.
    let kept: Vec<u64> = (0..500).filter(|&number| store(&cache, number, 900) == Stored::Kept).collect();
    assert!(kept.len() >= 495, "{}", kept.len());
    for (name, length) in [("payload", SIZE), ("index", fs::metadata(folder.path().join("index")).unwrap().len())] {
        let file = edit(folder.path(), name);
        // The first page of the index is read at the opening alone, but for the head.
        let first = if name == "index" { 4096 } else { 0 };
        for at in (first..length).step_by(4099) {
            flip(&file, at);
        }
        let hits = kept.iter().filter(|&&number| found(&cache, number)).count();
        assert!((100..kept.len()).contains(&hits), "{name}: {hits}");
    }
    // Stored anew, it is found again.
    assert!(kept.iter().all(|&number| found(&cache, number) || store(&cache, number, 900) == Stored::Kept));
    assert_eq!(cache.verify().bad, 0);
    assert!(kept.iter().all(|&number| found(&cache, number)));
}

#[test]
fn a_head_that_was_changed_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    for head in [0, 1, 63, 64, 1000, SIZE, u64::MAX / 2, u64::MAX - 63, u64::MAX] {
        let cache = open(folder.path());
        (0..50).for_each(|number| assert_eq!(store(&cache, number, 900), Stored::Kept));
        edit(folder.path(), "index").write_all_at(&head.to_ne_bytes(), 64 * 8).unwrap();
        for number in 0..100 {
            if !found(&cache, number) {
                store(&cache, number, 900);
            }
        }
        drop(cache);
        let again = open(folder.path());
        assert_eq!(store(&again, 7777, 900), Stored::Kept, "{head}");
        assert!(found(&again, 7777));
    }
}

#[test]
fn damaged_files_begin_anew_with_a_warning_and_open_ones_go_on() {
    type Hurt = fn(&Path);
    let hurts: &[(&str, Hurt)] = &[
        ("index cut", |folder| edit(folder, "index").set_len(5000).unwrap()),
        ("index emptied", |folder| edit(folder, "index").set_len(0).unwrap()),
        ("payload cut", |folder| edit(folder, "payload").set_len(5000).unwrap()),
        ("header changed", |folder| flip(&edit(folder, "index"), 100)),
        ("version changed", |folder| edit(folder, "index").write_all_at(&[2], 8).unwrap()),
        ("payload gone", |folder| fs::remove_file(folder.join("payload")).unwrap()),
        ("index gone", |folder| fs::remove_file(folder.join("index")).unwrap()),
    ];
    for (what, hurt) in hurts {
        let folder = tempfile::tempdir().unwrap();
        let before = open(folder.path());
        (0..100).for_each(|number| assert_eq!(store(&before, number, 2000), Stored::Kept));
        hurt(folder.path());
        // What is still there is right, and what is not is stored again or not at all.
        for number in 0..200 {
            if !found(&before, number) {
                store(&before, number, 2000);
            }
        }
        let (after, warning) = Cache::open(folder.path(), None).unwrap();
        assert_eq!(warning.is_some(), !what.ends_with("gone"), "{what}: {warning:?}");
        assert!((0..200).all(|number| !found(&after, number)), "{what}");
        assert_eq!(store(&after, 1, 2000), Stored::Kept);
        assert!(found(&after, 1) && !fs::exists(folder.path().join("index.new")).unwrap());
        assert_eq!(before.is_off(), what.starts_with("index cut") || what.starts_with("index emptied"), "{what}");
        assert_eq!(before.trouble().is_some(), before.is_off(), "{what}");
    }
}

#[test]
fn another_cache_s_payload_is_not_believed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        let cache = open(folder.path());
        (0..100).for_each(|number| assert_eq!(store(&cache, number, 2000), Stored::Kept));
    }
    fs::copy(one.path().join("payload"), other.path().join("payload")).unwrap();
    let cache = open(other.path());
    assert!((0..100).all(|number| !found(&cache, number)));
    fs::copy(one.path().join("index"), other.path().join("index")).unwrap();
    let cache = open(other.path());
    assert!((0..100).all(|number| found(&cache, number)), "index and payload of one cache go together");
}

#[test]
fn sizes_change_and_clearing_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    store(&cache, 1, 100);
    assert_eq!(Cache::open(folder.path(), None).unwrap().0.capacity(), SIZE);
    // Whoever comes while others use it takes it as it is, of whatever size; one line says so.
    let (other, warning) = Cache::open(folder.path(), Some(2 * SIZE)).unwrap();
    assert_eq!(other.capacity(), SIZE);
    assert!(
        warning.as_ref().is_some_and(|it| it.ends_with("is in use by another run and keeps its 4 MiB")),
        "{warning:?}"
    );
    assert!(found(&other, 1));
    assert_eq!(Cache::open(folder.path(), Some(SIZE + 1)).unwrap().1, None, "the same size");
    drop(cache);
    assert_eq!(Cache::open(folder.path(), Some(2 * SIZE)).unwrap().0.capacity(), SIZE, "one still uses it");
    drop(other);
    let (larger, warning) = Cache::open(folder.path(), Some(2 * SIZE)).unwrap();
    assert_eq!((larger.capacity(), warning), (2 * SIZE, None));
    assert!(!found(&larger, 1));
    store(&larger, 1, 100);
    let cleared = Cache::clear(folder.path(), None).unwrap();
    assert_eq!((cleared.capacity(), cleared.stat().n_records), (2 * SIZE, 0));
    assert!(found(&larger, 1), "a run that has it open goes on");
    let smaller = Cache::clear(folder.path(), Some(SIZE)).unwrap();
    assert_eq!((smaller.capacity(), cleared.capacity()), (SIZE, 2 * SIZE));
    assert!(Cache::look(&folder.path().join("none")).unwrap().is_none());
    assert!(!folder.path().join("none").exists());
}

#[test]
fn the_index_takes_the_memory_that_a_plan_counts() {
    const LARGE: u64 = 256 << 20;
    let folder = tempfile::tempdir().unwrap();
    let expected = Cache::memory(folder.path(), Some(LARGE));
    let (cache, _) = Cache::open(folder.path(), Some(LARGE)).unwrap();
    assert_eq!(Cache::memory(folder.path(), None), expected, "as it is there");
    // A long run asks all over.
    (0..50_000).for_each(|number| assert!(!found(&cache, number)));
    let name = folder.path().join("index").display().to_string();
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let of_index = maps.lines().skip_while(|line| !line.ends_with(&name));
    let resident = of_index.into_iter().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    assert!(resident * 10 >= expected * 9 && resident <= expected + 4096, "{resident} of {expected}");
}

#[test]
fn files_that_are_not_ours_are_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let (index, other) = (folder.path().join("index"), folder.path().join("other"));
    let refused = || Cache::open(folder.path(), None).map(drop).unwrap_err().to_string();
    fs::set_permissions(&index, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(refused().contains("this user alone"), "{}", refused());
    fs::set_permissions(&index, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&index, &other).unwrap();
    assert!(refused().contains("not a plain file"));
    fs::remove_file(&index).unwrap();
    symlink(&other, &index).unwrap();
    assert!(refused().contains("index"));
    assert!(other.exists());
}

#[test]
fn threads_store_and_find_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let caches = [open(folder.path()), open(folder.path())];
    std::thread::scope(|scope| {
        for (thread, cache) in caches.iter().chain(&caches).enumerate() {
            scope.spawn(move || {
                for round in 0..3000u64 {
                    let number = (round * 7 + thread as u64 * 31) % 1500;
                    if !found(cache, number) {
                        store(cache, number, 300 + number as usize);
                    }
                }
            });
        }
    });
    let verified = caches[0].verify();
    assert!(verified.good > 500, "{verified:?}");
}

#[test]
fn hostile_files_give_no_wrong_value_and_no_crash() {
    // A second, or a minute of it where there is time.
    let seconds = if std::env::var_os("VPROC_SLOW_TESTS").is_some() { 60 } else { 1 };
    let begun = std::time::Instant::now();
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut state = 7u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (mut n_opened, mut n_hits) = (0, 0);
    while begun.elapsed().as_secs() < seconds {
        let cache = open(folder.path());
        n_opened += 1;
        for number in 0..60 {
            n_hits += u64::from(found(&cache, number));
            store(&cache, number, 200 + number as usize * 50);
        }
        for _ in 0..below(40) {
            let name = ["index", "index", "payload"][below(3) as usize];
            let file = edit(folder.path(), name);
            let length = file.metadata().unwrap().len();
            // Values that are near limits, near the beginning, or anything.
            let at = if below(2) == 0 { below(length.min(4096 + 64 * 32)) } else { below(length) } / 8 * 8;
            let value = [0, 1, 64, u64::MAX, 1 << 63, length, below(1 << 31), below(1 << 31) << 32][below(8) as usize];
            file.write_all_at(&value.to_ne_bytes(), at).unwrap();
            for number in 0..5 {
                n_hits += u64::from(found(&cache, number));
                store(&cache, number, 300);
            }
        }
        if below(3) == 0 {
            cache.verify();
            cache.stat();
        }
    }
    assert!(n_opened > 3 && n_hits > 0, "{n_opened} {n_hits}");
}
