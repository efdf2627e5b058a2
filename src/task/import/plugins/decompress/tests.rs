use std::process::Command;

use super::super::interrupt::InterruptOnDrop;
use super::*;
use crate::task::headway::Headway;
use crate::task::import::progress::Progress;

/// A staged file with this content.
fn staged(folder: &Path, content: &[u8]) -> Staged {
    let path = folder.join("image");
    fs::write(&path, content).unwrap();
    Staged { path, disk_format: Some("raw".to_owned()), container_format: Some("bare".to_owned()) }
}

fn limits(ratio: u64, size: u64) -> Decompression {
    Decompression { ratio, size, harmless: 2 << 20 }
}

/// What becomes of the staged file: bytes as told, and the content; or the complaint. Nothing else may be left.
fn outcome(decompression: &Decompression, staged: &Staged) -> Result<(Option<u64>, Vec<u8>), String> {
    let before = fs::read(&staged.path).unwrap();
    let headway = Headway::default();
    let result = decompression.run(staged, &Interrupt::of(&Progress::of(&headway)));
    let after = fs::read(&staged.path).unwrap();
    let folder = staged.path.parent().unwrap();
    assert!(!folder.join("image.uc").try_exists().unwrap(), "something is left");
    match result {
        Ok(findings) => {
            let least = findings.size.map_or(0, |size| size + before.len() as u64);
            assert!(headway.so_far() >= least, "what is read and what comes out counts");
            Ok((findings.size, after))
        }
        Err(error) => {
            assert_eq!(after, before, "refused data was changed");
            Err(error.to_string())
        }
    }
}

fn unpacked(content: &[u8]) -> Result<(Option<u64>, Vec<u8>), String> {
    let folder = tempfile::tempdir().unwrap();
    outcome(&limits(200, 1 << 40), &staged(folder.path(), content))
}

/// What a program writes to its standard output for this input.
fn made_by(program: &str, arguments: &[&str], folder: &Path) -> Vec<u8> {
    let made = Command::new(program).args(arguments).current_dir(folder).output();
    let made = made.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {program}"));
    assert!(made.status.success(), "{program}: {}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

fn sample() -> Vec<u8> {
    (0..700_000_u32).map(|n| (n / 7 % 251) as u8).collect()
}

#[test]
fn files_of_gzip_and_zip_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), sample()).unwrap();
    fs::write(folder.path().join("other"), "other").unwrap();
    let wanted = Ok((Some(700_000), sample()));
    let gzip = made_by("gzip", &["-c", "disk.raw"], folder.path());
    assert_eq!(unpacked(&gzip), wanted);
    // Several members, and the zeros that tapes leave.
    let mut twice = made_by("gzip", &["-c", "disk.raw", "other"], folder.path());
    twice.extend([0; 1000]);
    let both = [sample(), b"other".to_vec()].concat();
    assert_eq!(unpacked(&twice), Ok((Some(700_005), both)));
    for arguments in [["-q", "-9", "-", "disk.raw"], ["-q", "-0", "-", "disk.raw"]] {
        assert_eq!(unpacked(&made_by("zip", &arguments, folder.path())), wanted, "{arguments:?}");
    }
    let two = made_by("zip", &["-q", "-", "disk.raw", "other"], folder.path());
    assert_eq!(unpacked(&two), Err("Archive contains more than one file.".to_owned()));
    let locked = made_by("zip", &["-q", "-P", "secret", "-", "other"], folder.path());
    assert!(unpacked(&locked).unwrap_err().contains("Password"));
    fs::create_dir(folder.path().join("empty")).unwrap();
    let directory = made_by("zip", &["-q", "-r", "-", "empty"], folder.path());
    assert!(unpacked(&directory).unwrap_err().ends_with("the archive holds a directory"));
}

/// An archive of one file, as Python's zipfile makes it by this method: upstream reads with it.
fn zipped(method: &str, content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), content).unwrap();
    let script = format!(
        "import io, sys, zipfile\nmade = io.BytesIO()\n\
         with zipfile.ZipFile(made, 'w', zipfile.{method}) as archive: archive.write('disk.raw')\n\
         sys.stdout.buffer.write(made.getvalue())"
    );
    made_by("python3", &["-c", &script], folder.path())
}

#[test]
fn all_methods_that_upstream_reads_in_a_zip_archive_are_known() {
    for method in ["ZIP_STORED", "ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"] {
        for content in [sample(), b"x".to_vec(), Vec::new()] {
            let archive = zipped(method, &content);
            assert_eq!(unpacked(&archive), Ok((Some(content.len() as u64), content)), "{method}");
        }
        let mut archive = zipped(method, &sample());
        let (checksum, half) = (directory(&archive) + 16, archive.len() / 2);
        for at in [checksum, half] {
            archive[at] ^= 0x40;
            let complaint = unpacked(&archive).unwrap_err();
            assert!(complaint.starts_with("The compressed data is damaged: "), "{method}: {complaint}");
            archive[at] ^= 0x40;
        }
        // As if it were encrypted, which both heads of the member say.
        for flags in [6, directory(&archive) + 8] {
            archive[flags] |= 1;
        }
        assert!(unpacked(&archive).unwrap_err().contains("Password"), "{method}");
    }
}

/// Where the directory of a small archive begins.
fn directory(archive: &[u8]) -> usize {
    archive.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap()
}

/// LZMA data may ask for four GiB of memory before anything comes out of it.
#[test]
fn a_dictionary_that_fills_the_memory_is_not_made() {
    let mut archive = zipped("ZIP_LZMA", &sample());
    // Behind the head of the member and its name: version, length and properties of LZMA.
    let data = 30 + "disk.raw".len();
    assert_eq!(archive[data + 2..data + 4], [5, 0]);
    archive[data + 5..data + 9].fill(0xff);
    // More of it than there is data has no use, and is not set aside.
    assert_eq!(unpacked(&archive), Ok((Some(700_000), sample())));
    let told = directory(&archive) + 24;
    for (size, allowed) in [(64 << 20, true), ((64 << 20) + 1, false), (u32::MAX - 1, false)] {
        archive[told..told + 4].copy_from_slice(&size.to_le_bytes());
        let complaint = unpacked(&archive).unwrap_err();
        let wanted = format!("needs a dictionary of {size} bytes, 67108864 are allowed");
        assert_eq!(complaint.contains(&wanted), !allowed, "{size}: {complaint}");
    }
    archive[data + 2] = 6;
    assert!(unpacked(&archive).unwrap_err().contains("no properties of LZMA"));
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), sample()).unwrap();
    let gzip = made_by("gzip", &["-c", "disk.raw"], folder.path());
    let zip = made_by("zip", &["-q", "-", "disk.raw"], folder.path());
    let flipped = |data: &[u8], at: usize| {
        let mut data = data.to_vec();
        data[at] ^= 0x40;
        data
    };
    let end = gzip.len() - 6;
    let lha = lha(b"-lh0-", b"data", 4, crc(b"data"));
    for (name, content) in [
        ("the end is missing", gzip[..gzip.len() / 2].to_vec()),
        ("another checksum", flipped(&gzip, end)),
        ("something behind it", [gzip.as_slice(), b"junk"].concat()),
        ("no directory", zip[..zip.len() / 2].to_vec()),
        ("damaged inside", flipped(&zip, 200)),
        ("damaged lha", flipped(&lha, lha.len() - 2)),
        ("lha without data", lha[..lha.len() - 4].to_vec()),
    ] {
        assert!(unpacked(&content).is_err(), "{name}");
    }
}

#[test]
fn other_data_stays_as_it_is() {
    for content in [&b""[..], b"P", b"\x1f\x8b", b"raw data of a disk", b"PK\x05\x06"] {
        assert_eq!(unpacked(content), Ok((None, content.to_vec())));
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x"), "x").unwrap();
    let gzip = made_by("gzip", &["-c", "x"], folder.path());
    let meant = Staged { container_format: Some("compressed".to_owned()), ..staged(folder.path(), &gzip) };
    assert_eq!(outcome(&limits(200, 1 << 40), &meant), Ok((None, gzip)));
}

#[test]
fn archives_of_lha_are_unpacked() {
    let stored = lha(b"-lh0-", b"some data", 9, crc(b"some data"));
    assert_eq!(unpacked(&stored), Ok((Some(9), b"some data".to_vec())));
    let long = vec![b'x'; 1 + 300 * 256];
    let packed = lha(b"-lh5-", &one_letter(300), long.len() as u32, crc(&long));
    assert_eq!(unpacked(&packed), Ok((Some(long.len() as u64), long)));
    let two = [&stored[..stored.len() - 1], &stored[..]].concat();
    assert_eq!(unpacked(&two), Err("Archive contains more than one file.".to_owned()));
    let unknown = lha(b"-lh9-", b"data", 4, 0);
    assert!(unpacked(&unknown).unwrap_err().contains("not known"));
}

/// Zip bombs (CWE-409): a small file that unpacks to a huge one.
#[test]
fn bombs_are_stopped_at_the_ratio_and_at_the_size() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = File::create(folder.path().join("zeros")).unwrap();
    zeros.set_len(4 << 20).unwrap();
    let bombs = [
        ("gzip", made_by("gzip", &["-1", "-c", "zeros"], folder.path())),
        ("zip", made_by("zip", &["-q", "-1", "-", "zeros"], folder.path())),
        ("bzip2", zipped("ZIP_BZIP2", &vec![0; 4 << 20])),
        ("lzma", zipped("ZIP_LZMA", &vec![0; 4 << 20])),
        ("lha", lha(b"-lh5-", &one_letter(60_000), u32::MAX, 0)),
    ];
    for (name, bomb) in bombs {
        let staged = staged(folder.path(), &bomb);
        let complaint = outcome(&limits(10, 1 << 40), &staged).unwrap_err();
        let wanted = format!("larger than the 2097152 bytes that are allowed for {} compressed ones", bomb.len());
        assert!(complaint.contains(&wanted), "{name}: {complaint}");
        let complaint = outcome(&limits(1 << 40, 1 << 20), &staged).unwrap_err();
        assert!(complaint.contains("larger than the 1048576 bytes"), "{name}: {complaint}");
    }
    assert_eq!(limits(200, 1 << 40).most(10 << 20), 2000 << 20);
    let defaults = Decompression::new(&Config::default());
    assert_eq!((defaults.most(1), defaults.most(1 << 20), defaults.most(1 << 40)), (256 << 20, 256 << 20, 128 << 30));
}

/// An archive whose directory is meant to fill the memory.
#[test]
fn a_huge_directory_of_an_archive_is_not_read() {
    // As many entries as fill the memory, or few enough for that, but more than may be read.
    for (told, count) in [(1_u64 << 20, 1), (60_000, 100_000)] {
        let complaint = unpacked(&zip64(told, count)).unwrap_err();
        assert!(complaint.contains("too large"), "{told}: {complaint}");
    }
    // A header of level 3 with an extension of eight MiB.
    let mut archive = [&[4, 0][..], b"-lh0-", &[0; 12], &[0x20, 3], &[0, 0], b"U"].concat();
    archive.extend(0xf000_0000_u32.to_le_bytes());
    archive.extend((8_u32 << 20).to_le_bytes());
    archive.extend(vec![0; 9 << 20]);
    let complaint = unpacked(&archive).unwrap_err();
    assert!(complaint.contains("too large"), "{complaint}");
}

/// An archive whose ZIP64 record tells of so many entries, and that has so many.
fn zip64(told: u64, count: u32) -> Vec<u8> {
    let mut archive = b"PK\x03\x04".to_vec();
    // Room that makes the number credible.
    archive.extend(vec![0; 2 << 20]);
    let entry =
        [b"PK\x01\x02".to_vec(), vec![0; 24], 4_u16.to_le_bytes().to_vec(), vec![0; 16], b"name".to_vec()].concat();
    let offset = archive.len() as u32;
    archive.extend(entry.repeat(count as usize));
    let size = archive.len() as u32 - offset;
    let end64 = archive.len() as u64;
    // The end of a ZIP64 archive, its locator, and the end that points to them.
    archive.extend(b"PK\x06\x06");
    archive.extend(44_u64.to_le_bytes());
    archive.extend([45, 0, 45, 0]);
    archive.extend([0; 8]);
    archive.extend(told.to_le_bytes());
    archive.extend(told.to_le_bytes());
    archive.extend(u64::from(size).to_le_bytes());
    archive.extend(u64::from(offset).to_le_bytes());
    archive.extend(b"PK\x06\x07");
    archive.extend([0; 4]);
    archive.extend(end64.to_le_bytes());
    archive.extend(1_u32.to_le_bytes());
    archive.extend(b"PK\x05\x06");
    archive.extend([0; 4]);
    archive.extend([0xff; 12]);
    archive.extend([0; 2]);
    archive
}

#[test]
fn work_that_nobody_waits_for_ends() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), sample()).unwrap();
    let gzip = made_by("gzip", &["-c", "disk.raw"], folder.path());
    let zip = made_by("zip", &["-q", "-", "disk.raw"], folder.path());
    for content in [gzip, zip, lha(b"-lh0-", b"some data", 9, crc(b"some data"))] {
        let staged = staged(folder.path(), &content);
        let interrupt = Interrupt::default();
        drop(InterruptOnDrop(interrupt.clone()));
        let stopped = limits(200, 1 << 40).run(&staged, &interrupt);
        assert!(matches!(stopped, Err(PluginError::Interrupted)), "{stopped:?}");
        assert!(!folder.path().join("image.uc").try_exists().unwrap());
    }
}

#[test]
fn what_is_read_counts_while_nothing_comes_out() {
    // Stored blocks without bytes, an empty one that is the last, checksum and length.
    let blocks = b"\0\0\0\xff\xff".repeat(100_000);
    let gzip = [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &blocks[..], b"\x03\0\0\0\0\0\0\0\0\0"].concat();
    let folder = tempfile::tempdir().unwrap();
    let headway = Headway::default();
    let found =
        limits(200, 1 << 40).run(&staged(folder.path(), &gzip), &Interrupt::of(&Progress::of(&headway))).unwrap();
    assert_eq!((found.size, headway.so_far()), (Some(0), gzip.len() as u64));
}

/// An archive with a header of level 0 and one file.
fn lha(method: &[u8; 5], compressed: &[u8], size: u32, crc: u16) -> Vec<u8> {
    let mut header = method.to_vec();
    header.extend((compressed.len() as u32).to_le_bytes());
    header.extend(size.to_le_bytes());
    header.extend([0, 0, 0x21, 0x5a]);
    header.extend([0x20, 0, 4]);
    header.extend(b"disk");
    header.extend(crc.to_le_bytes());
    let sum = header.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let mut archive = vec![header.len() as u8, sum];
    archive.extend(header);
    archive.extend(compressed);
    archive.push(0);
    archive
}

/// Data of `-lh5-`: one `x`, then so many copies of 256. A table with a single code needs no bits for each symbol.
fn one_letter(copies: u16) -> Vec<u8> {
    let mut bits = String::new();
    for (count, code) in [(1, u16::from(b'x')), (copies, 509)] {
        bits += &format!("{count:016b}{:05b}{:05b}{:09b}{code:09b}{:04b}{:04b}", 0, 0, 0, 0, 0);
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    let bytes = bits.as_bytes().chunks(8);
    bytes.map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()).collect()
}

/// CRC-16 as ARC and LHA have it.
fn crc(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}
