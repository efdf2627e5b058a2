mod extended;

use std::fs;
use std::io::Write;

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lzma_rust2::{LzmaOptions, LzmaWriter, XzOptions, XzWriter};
use tar::EntryType;

use super::*;
use crate::config::Config;
use crate::task::import::{Decompression, Interrupt};

const OVF: &str = r#"<?xml version="1.0"?>
<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:p="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ProcessorAllocationSettingData">
  <ovf:References>
    <ovf:File ovf:id="other" ovf:href="other.iso"/>
    <ovf:File ovf:id="disk1" ovf:href="disk.vmdk"/>
  </ovf:References>
  <ovf:DiskSection><ovf:Info/><ovf:Disk ovf:diskId="d" ovf:fileRef="disk1"/></ovf:DiskSection>
  <p:InstructionSet> DMTF:x86:64 </p:InstructionSet>
  <p:Limit>5</p:Limit>
  <p:Empty/>
  <InstructionSet>no namespace</InstructionSet>
</ovf:Envelope>"#;

/// No more than a MiB may come out of what is compressed.
fn extract(
    archive: &Path,
    disk: &Path,
    interesting: &[String],
    most: u64,
) -> Result<Vec<(String, String)>, PluginError> {
    let mut config = Config::default();
    config.service.decompression_max_size = 1 << 20;
    let (unpacking, interrupt) = (Decompression::new(&config), Interrupt::default());
    super::extract(&Archived { path: archive, unpacking: &unpacking, interrupt: &interrupt }, disk, interesting, most)
}

type Compress = fn(&[u8]) -> Vec<u8>;

/// The archive, compressed as a whole in each way, in two parts.
fn compressed(archive: &Path) -> Vec<std::path::PathBuf> {
    let plain = fs::read(archive).unwrap();
    let (first, second) = plain.split_at(plain.len() / 2);
    let ways: [(_, Compress); 5] =
        [("gz", gzip), ("bz2", bzip2), ("xz", xz), ("lzma", lzma), ("sized.lzma", lzma_of_told_size)];
    let mut paths = Vec::new();
    for (name, way) in ways {
        let path = archive.with_extension(name);
        fs::write(&path, [way(first), way(second)].concat()).unwrap();
        paths.push(path);
    }
    paths
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

fn lzma(data: &[u8]) -> Vec<u8> {
    compress_by_lzma(data, None)
}

fn lzma_of_told_size(data: &[u8]) -> Vec<u8> {
    compress_by_lzma(data, Some(data.len() as u64))
}

fn compress_by_lzma(data: &[u8], size: Option<u64>) -> Vec<u8> {
    let mut writer = LzmaWriter::new_use_header(Vec::new(), &LzmaOptions::with_preset(0), size).unwrap();
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

/// Has the first block ask for another dictionary, whose size is written as in the format of xz.
fn ask_for_dictionary(xz: &mut [u8], size: u8) {
    let length = (usize::from(xz[12]) + 1) * 4;
    let (header, rest) = xz[12..].split_at_mut(length - 4);
    assert_eq!(header[1..4], [0, 0x21, 1], "one filter, LZMA2 with one byte of properties");
    header[4] = size;
    let mut sum = flate2::Crc::new();
    sum.update(header);
    rest[..4].copy_from_slice(&sum.sum().to_le_bytes());
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// An archive of these members in a folder.
fn archive(folder: &Path, members: &[(&str, &[u8])]) -> std::path::PathBuf {
    let path = folder.join("image.ova");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    for (name, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap();
    path
}

#[test]
fn the_disk_comes_out_with_the_properties_of_interest() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path(), &[("x/a.ovf", OVF.as_bytes()), ("other.iso", b"iso"), ("disk.vmdk", b"disk")]);
    let disk = folder.path().join("disk");
    let found = extract(&archive, &disk, &names(&["InstructionSet", "Empty", "Absent"]), 4).unwrap();
    let expected = [("cim_pasd_InstructionSet", "DMTF:x86:64"), ("cim_pasd_Empty", "")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(fs::read(&disk).unwrap(), b"disk");
    fs::remove_file(&disk).unwrap();
    let error = extract(&archive, &disk, &[], 3).unwrap_err();
    assert!(error.to_string().contains("larger than image_size_cap"), "{error}");
}

/// Decompression bombs (CWE-409) as well.
#[test]
fn an_archive_may_be_compressed_as_a_whole_but_is_no_bomb() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let plain = archive(folder.path(), &[("disk.vmdk", b"disk"), ("a.ovf", OVF.as_bytes())]);
    for path in compressed(&plain) {
        assert_eq!(extract(&path, &disk, &names(&["Limit"]), 100).unwrap()[0].1, "5", "{}", path.display());
        assert_eq!(fs::read(&disk).unwrap(), b"disk");
        fs::remove_file(&disk).unwrap();
    }
    let zeros = vec![0; 2 << 20];
    for members in [[("a.ovf", OVF.as_bytes()), ("disk.vmdk", &zeros)], [("other.iso", &zeros), ("a.ovf", b"")]] {
        let plain = archive(folder.path(), &members);
        for path in compressed(&plain) {
            let error = extract(&path, &disk, &[], u64::MAX).unwrap_err();
            assert!(error.to_string().contains("more comes out of it than may"), "{}: {error}", path.display());
            let _ = fs::remove_file(&disk);
        }
    }
    let path = folder.path().join("damaged");
    let no_lzma = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff no lzma";
    for damaged in [&b"\x1f\x8b\x08 no gzip"[..], b"BZh91AY&SY no bzip2", b"\xfd7zXZ\0 no xz", no_lzma] {
        fs::write(&path, damaged).unwrap();
        extract(&path, &disk, &[], 100).unwrap_err();
    }
}

#[test]
fn xz_gets_no_more_memory_than_its_presets_need() {
    let folder = tempfile::tempdir().unwrap();
    let (path, disk) = (folder.path().join("image.ova.xz"), folder.path().join("disk"));
    let plain = fs::read(archive(folder.path(), &[("a.ovf", OVF.as_bytes()), ("disk.vmdk", b"disk")])).unwrap();
    let mut data = xz(&plain);
    // 64 MiB, and half as much again.
    ask_for_dictionary(&mut data, 28);
    fs::write(&path, &data).unwrap();
    extract(&path, &disk, &[], 100).unwrap();
    fs::remove_file(&disk).unwrap();
    ask_for_dictionary(&mut data, 29);
    fs::write(&path, &data).unwrap();
    let error = extract(&path, &disk, &[], 100).unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");

    // Of its predecessor, 64 and 96 MiB.
    let mut data = lzma(&plain);
    data[1..5].copy_from_slice(&(1_u32 << 26).to_le_bytes());
    fs::write(&path, &data).unwrap();
    extract(&path, &disk, &[], 100).unwrap();
    fs::remove_file(&disk).unwrap();
    data[1..5].copy_from_slice(&(3_u32 << 25).to_le_bytes());
    fs::write(&path, &data).unwrap();
    let error = extract(&path, &disk, &[], 100).unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
}

/// As a tool writes it: what is in an archive ends before what is in its file.
#[test]
fn what_stands_behind_compressed_data_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (path, disk) = (folder.path().join("image.ova.lzma"), folder.path().join("disk"));
    let plain = fs::read(archive(folder.path(), &[("a.ovf", OVF.as_bytes()), ("disk.vmdk", b"disk")])).unwrap();
    fs::write(&path, [&lzma(&plain)[..], b"something else"].concat()).unwrap();
    extract(&path, &disk, &[], 100).unwrap();
    assert_eq!(fs::read(&disk).unwrap(), b"disk");
}

#[test]
fn archives_without_one_disk_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let two = OVF.replace("<ovf:Disk ", "<ovf:Disk ovf:fileRef=\"other\"/><ovf:Disk ");
    let bomb = format!("<!DOCTYPE x [<!ENTITY a \"aaaa\">]>{}", OVF.split_once("?>").unwrap().1);
    for (members, expected) in [
        (vec![("disk.vmdk", "disk")], "Could not find OVF file in OVA archive file."),
        (vec![("a.ovf", OVF)], "is not in the OVA archive file"),
        (vec![("a.ovf", two.as_str()), ("disk.vmdk", "")], "OVA packages containing multiple disk are not supported"),
        (vec![("a.ovf", bomb.as_str()), ("disk.vmdk", "")], "cannot be read"),
        (vec![("a.ovf", "<x/>")], "it has no DiskSection"),
        (vec![("a.ovf", "<x><DiskSection/></x>")], "it has no Disk"),
        (vec![("a.ovf", "<x><DiskSection><Disk/></DiskSection></x>")], "the Disk has no fileRef"),
        (vec![("a.ovf", "<x><DiskSection><Disk fileRef='a'/></DiskSection></x>")], "it has no References"),
        (
            vec![(
                "a.ovf",
                "<x><References><File id='b' href='x'/></References><DiskSection><Disk fileRef='a'/></DiskSection></x>",
            )],
            "the Disk refers to nothing",
        ),
    ] {
        let members: Vec<(&str, &[u8])> = members.into_iter().map(|(name, text)| (name, text.as_bytes())).collect();
        let error = extract(&archive(folder.path(), &members), &disk, &[], 100).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    fs::write(folder.path().join("image.ova"), vec![b'x'; 2000]).unwrap();
    extract(&folder.path().join("image.ova"), &disk, &[], 100).unwrap_err();
    assert!(!disk.try_exists().unwrap());
}

#[test]
fn a_link_is_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.ova");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(OVF.len() as u64);
    header.set_cksum();
    builder.append_data(&mut header, "a.ovf", OVF.as_bytes()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "disk.vmdk", "/etc/passwd").unwrap();
    builder.into_inner().unwrap();
    let error = extract(&path, &folder.path().join("disk"), &[], 100).unwrap_err();
    assert!(error.to_string().contains("is not in the OVA archive file"), "{error}");
}

#[test]
fn names_of_interest_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(METADATA);
    fs::write(&path, r#"{"cim_pasd": ["A", 1, "B"]}"#).unwrap();
    assert_eq!(interesting(Some(&path)), ["A", "B"]);
    fs::write(&path, "{").unwrap();
    assert!(interesting(Some(&path)).is_empty() && interesting(None).is_empty());
}

#[test]
fn descriptions_that_take_long_to_read_are_refused() {
    let attributes: String = (0..20_000).map(|number| format!(" a{number}=''")).collect();
    let nested = format!("{}{}", "<a xmlns:b='c'>".repeat(200), "</a>".repeat(200));
    let elements = "<a/>".repeat(20_000);
    for text in [format!("<x{attributes}/>"), nested, format!("<x>{elements}</x>")] {
        let error = describe(&text, &[]).unwrap_err();
        assert!(error.to_string().starts_with("The OVF file cannot be read: "), "{error}");
    }
}
