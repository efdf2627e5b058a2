//! Headers, and what extends them.

use super::*;

/// A header and its data, in whole blocks.
fn entry(kind: u8, name: &str, size: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    old.linkflag = [kind];
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.size[..size.len()].copy_from_slice(size);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

/// An entry whose header tells the size of its data.
fn sized(kind: u8, name: &str, data: &[u8]) -> Vec<u8> {
    entry(kind, name, format!("{:011o}", data.len()).as_bytes(), data)
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    sized(b'0', name, data)
}

/// What extends the next header.
fn records(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text: String = pairs.iter().map(|(key, value)| record(key, value)).collect();
    sized(b'x', "records", text.as_bytes())
}

fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
    format!("{length} {key}={value}\n")
}

fn description() -> Vec<u8> {
    file("a.ovf", OVF.as_bytes())
}

/// A description and its disk.
fn files() -> Vec<u8> {
    [description(), file("disk.vmdk", b"disk")].concat()
}

/// The disk of an archive of these parts.
fn disk_of(parts: &[&[u8]]) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (path, disk) = (folder.path().join("image.ova"), folder.path().join("disk"));
    fs::write(&path, parts.concat()).unwrap();
    extract(&path, &disk, &[], 1 << 20).map_err(|error| error.to_string())?;
    Ok(fs::read(&disk).unwrap())
}

fn assert_found(parts: &[&[u8]], case: &str) {
    assert_eq!(disk_of(parts), Ok(b"disk".to_vec()), "{case}");
}

fn assert_refused(parts: &[&[u8]], cause: &str) {
    let error = disk_of(parts).unwrap_err();
    assert!(error.contains(cause), "{error}");
}

/// As Python writes files of 8 GiB and more.
#[test]
fn a_size_that_a_record_tells_counts_for_the_data_and_the_way_to_the_next_header() {
    let data = vec![b'd'; 1300];
    let told = records(&[("mtime", "1.5"), ("size", "1300")]);
    for size in [&b""[..], b"0", b"00000000000", b"00000000777"] {
        let disk = entry(b'0', "disk.vmdk", size, &data);
        assert_eq!(disk_of(&[&told, &disk, &description()]), Ok(data.clone()), "{size:?}");
        assert_eq!(disk_of(&[&description(), &told, &disk]), Ok(data.clone()), "{size:?}");
    }
}

#[test]
fn names_that_are_long_or_not_of_ascii_are_found() {
    let long = "d".repeat(300);
    for name in ["kö/диск.vmdk", long.as_str()] {
        let description = file("a.ovf", OVF.replace("disk.vmdk", name).as_bytes());
        let by_record = records(&[("path", name)]);
        let by_gnu = sized(b'L', "././@LongLink", format!("{name}\0").as_bytes());
        for told in [by_record, by_gnu] {
            assert_found(&[&file("x", b"other"), &told, &file("short", b"disk"), &description], name);
        }
    }
    // Where a link leads to is neither a name nor has it a bound.
    let link = sized(b'K', "././@LongLink", &[b'k'; 100_000]);
    assert_found(&[&link, &sized(b'2', "link", b""), &link, &files()], "links");
}

/// And of one header, the last record.
#[test]
fn of_several_headers_that_extend_one_the_first_counts() {
    let name = |name: &str| sized(b'L', "name", name.as_bytes());
    let path = |name: &str| records(&[("path", "z"), ("path", name), ("comment", "a=\nb")]);
    for told in [
        [path("disk.vmdk"), name("other")],
        [name("disk.vmdk"), path("other")],
        [path("disk.vmdk"), path("other")],
        [path("disk.vmdk"), records(&[("path", "other"), ("size", "4")])],
        [records(&[("size", "4")]), records(&[("size", "3"), ("path", "disk.vmdk")])],
    ] {
        let told = told.concat();
        assert_found(&[&description(), &told, &file("short", b"disk")], &String::from_utf8_lossy(&told));
    }
    assert_found(&[&path("disk.vmdk"), &sized(b'5', "folder", b""), &files()], "it extends no more than one");
}

/// Memory without bound for one header (CWE-770).
#[test]
fn a_header_is_extended_by_some_kib_at_most() {
    let most = 16 << 10;
    let cause = "The OVA archive cannot be read: more than 16384 bytes extend a header";
    for kind in [b'x', b'X', b'g', b'L'] {
        assert_refused(&[&sized(kind, "long", &vec![0; most + 1]), &files()], cause);
        // It is not looked for where it is not.
        assert_refused(&[&entry(kind, "long", b"77777777777", b"")], cause);
        assert_found(&[&sized(kind, "long", &vec![0; most]), &file("x", b"other"), &files()], "as long as may be");
    }
}

#[test]
fn damaged_records_are_refused() {
    for text in [
        "13 path=a.ovf\n",
        "15 path=a.ovf\n",
        "999999 path=a.ovf\n",
        "99999999999999999999999999 path=a.ovf\n",
        "0 path=a.ovf\n",
        "1 path=a.ovf\n",
        "2 ",
        "3 \n",
        "-14 path=a.ovf\n",
        "+14 path=a.ovf\n",
        "x path=a.ovf\n",
        " path=a.ovf\n",
        "path=a.ovf\n",
        "14",
        "9 a.ovf.\n",
        "14 path=a.ovf.",
        "14 path=a.ovf\n14",
        "8 size=\n",
        "10 size=x\n",
        "11 size=-1\n",
        "29 size=18446744073709551616\n",
    ] {
        for kind in [b'x', b'g'] {
            let cause = "The OVA archive cannot be read: what extends a header is damaged";
            assert_refused(&[&sized(kind, "records", text.as_bytes()), &files()], cause);
        }
    }
}

#[test]
fn what_all_members_are_told_is_refused_but_comments_are_not() {
    let global = |key: &str, value: &str| sized(b'g', "global", record(key, value).as_bytes());
    assert_found(&[&global("comment", "made by hand"), &files()], "a comment");
    for (key, value) in [("path", "disk.vmdk"), ("size", "4"), ("GNU.sparse.major", "1")] {
        assert_refused(&[&global(key, value), &files()], "a header tells one name or size for all members");
    }
}

#[test]
fn a_size_may_be_left_out_or_binary_but_not_beyond_numbers() {
    for size in [&b""[..], b"            ", b" 0 "] {
        assert_found(&[&entry(b'0', "empty", size, b""), &files()], "no size");
    }
    let binary = b"\x80\0\0\0\0\0\0\0\0\0\x02\x01";
    assert_found(&[&entry(b'0', "x", binary, &[b'x'; 0x201]), &files()], "binary");
    for size in [&b"-1"[..], b"8", b"1 1", &[0xff_u8; 12], b"\x80\0\0\x01"] {
        let entry = entry(b'0', "x", size, b"");
        assert_refused(&[&entry, &files()], "The OVA archive cannot be read: a header is damaged");
    }
    // The largest that there is.
    let largest = b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
    for told in [entry(b'0', "x", largest, b""), records(&[("size", "18446744073709551615")])] {
        assert_refused(&[&told, &files()], "unexpected end of file");
    }
}

#[test]
fn an_archive_that_breaks_off_gives_no_part_of_a_disk() {
    let data = vec![b'd'; 1000];
    let told = records(&[("size", "1000")]);
    let disk = entry(b'0', "disk.vmdk", b"0", &data);
    let whole = [description(), sized(b'K', "link", b"link"), told, disk].concat();
    // The last bytes only fill the block up.
    let end = whole.len() - 24;
    for length in [whole.len(), end] {
        assert_eq!(disk_of(&[&whole[..length]]), Ok(data.clone()));
    }
    for length in (0..end).step_by(13).chain([end - 1, end - 1000, end - 1001, end - 1512]) {
        disk_of(&[&whole[..length]]).unwrap_err();
    }
    assert_refused(&[&whole[..end - 1]], "reading the OVA archive: unexpected end of file");
}

#[test]
fn sparse_files_are_passed_over_but_are_no_disk() {
    let cause = "Sparse files in OVA archives are not supported.";
    let mut old = tar::Header::new_gnu();
    old.as_old_mut().name[..9].copy_from_slice(b"disk.vmdk");
    old.as_old_mut().linkflag = *b"S";
    old.set_size(700);
    old.as_gnu_mut().unwrap().set_is_extended(true);
    old.set_cksum();
    let mut map = [0_u8; 1024];
    map[504] = 1;
    let mut sparse = [&old.as_bytes()[..], &map[..], &[b'p'; 700][..]].concat();
    fill(&mut sparse);
    assert_refused(&[&sparse, &description()], cause);
    old.as_old_mut().name[0] = b'x';
    old.set_cksum();
    sparse[..512].copy_from_slice(old.as_bytes());
    assert_found(&[&sparse, &files()], "another one in the old form");

    let told = |name: &str| records(&[("GNU.sparse.major", "1"), ("GNU.sparse.name", name), ("size", "6")]);
    let pieces = entry(b'0', "GNUSparseFile.1/x", b"0", b"pieces");
    assert_refused(&[&told("disk.vmdk"), &pieces, &description()], cause);
    assert_found(&[&told("x"), &pieces, &files()], "another one");
}

/// They have none, whatever size they tell.
#[test]
fn behind_links_and_directories_stands_no_data() {
    let told = records(&[("size", "100000")]);
    for (kind, name) in [(b'1', "a.ovf"), (b'2', "disk.vmdk"), (b'5', "folder"), (b'6', "fifo"), (0, "old/")] {
        assert_found(&[&told, &entry(kind, name, b"1000", b""), &files()], name);
    }
    assert_found(&[&sized(b'Q', "disk.vmdk", b"disk"), &description()], "a type that nobody knows is a file");
}

#[test]
fn headers_are_no_more_than_some_thousand() {
    for part in [file("x", b""), records(&[])] {
        assert_found(&[&part.repeat(3998), &files()], "as many as may be");
        assert_refused(&[&part.repeat(4000), &files()], "it has more than 4000 headers");
    }
}
