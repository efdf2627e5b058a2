mod samples;

use proptest::prelude::*;

use self::samples::*;
use super::*;

fn strict() -> Options {
    Options { require_image_format_match: true, gpt_safety_checks_nonfatal: Vec::new() }
}

fn inspect(image: &[u8]) -> Inspection {
    inspect_in(image, image.len().max(1))
}

fn inspect_in(image: &[u8], piece: usize) -> Inspection {
    let mut inspector = Inspector::new();
    image.chunks(piece).for_each(|chunk| inspector.feed(chunk));
    inspector.finish()
}

fn judge(image: &[u8], claimed: &str) -> Result<Verdict, Rejection> {
    inspect(image).verdict(claimed, &strict())
}

/// The checks that failed, as `check: reason`.
fn failures(image: &[u8], claimed: &str) -> Vec<String> {
    match judge(image, claimed) {
        Err(Rejection::Unsafe { failures, .. }) => failures.iter().map(ToString::to_string).collect(),
        other => panic!("no failed checks but {other:?}"),
    }
}

#[test]
fn reads_the_size_of_each_format() {
    let table: [(&str, Vec<u8>, Option<u64>); 14] = [
        ("qcow2", qcow2(), Some(10 << 30)),
        ("vmdk", vmdk(DESCRIPTOR), Some(1 << 20)),
        ("vmdk", vmdk_with_footer(), Some(1 << 20)),
        ("vhdx", vhdx(2 << 20), Some(5 << 30)),
        ("vhdx", vhdx((2 << 20) + 4711), Some(5 << 30)),
        ("vhdx", vhdx(256 * KIB), Some(5 << 30)),
        ("vhd", vhd(), Some(3 << 20)),
        ("vdi", vdi(), Some(7 << 20)),
        ("iso", iso(), Some(600 << 10)),
        ("iso", gpt(iso()), Some(600 << 10)),
        ("gpt", gpt(vec![0; 4096]), Some(4096)),
        ("luks", luks(), Some(12 << 10)),
        ("raw", vec![7; 1000], Some(1000)),
        ("raw", Vec::new(), None),
    ];
    for (claimed, image, size) in table {
        assert_eq!(judge(&image, claimed), Ok(Verdict { virtual_size: size, warnings: Vec::new() }), "{claimed}");
    }
}

#[test]
fn names_the_mismatch() {
    let table = [
        ("qcow2", vec![0; 4096], "Image disk_format qcow2 does not match stream data raw"),
        ("vhd", qcow2(), "Image disk_format vhd does not match stream data qcow2"),
        ("ami", qcow2(), "Image disk_format ami does not match stream data qcow2"),
        ("aki", gpt(vec![0; 4096]), "Image disk_format aki does not match stream data gpt"),
        ("gpt", gpt(iso()), "Image disk_format gpt does not match stream data iso"),
        ("raw", gpt(iso()), "Multiple formats detected: iso,gpt"),
        ("qcow2", gpt(qcow2()), "Multiple formats detected: qcow2,gpt"),
        ("vdi", with(gpt(iso()), 0x40, &0xbeda_107f_u32.to_le_bytes()), "Multiple formats detected: vdi,iso,gpt"),
        ("raw", luks()[..400].to_vec(), "Incomplete file cannot be safety checked"),
        ("luks", luks()[..100].to_vec(), "Image format inspection failed"),
        ("vmdk", b"KDMV".to_vec(), "Incomplete file cannot be safety checked"),
        ("vmdk", DESCRIPTOR.as_bytes().to_vec(), "Image format inspection failed"),
        ("vhdx", vhdx(2 << 20)[..2 << 20].to_vec(), "Incomplete file cannot be safety checked"),
        ("vhdx", vhdx(64 * KIB), "Incomplete file cannot be safety checked"),
        ("vhdx", with(vhdx(2 << 20), (2 << 20) + 52, &9u32.to_le_bytes()), "Image format inspection failed"),
        ("qcow2", with(qcow2(), 24, &[0xff; 8]), "Image format inspection failed"),
        ("vmdk", with(vmdk(DESCRIPTOR), 12, &[0xff; 8]), "Image format inspection failed"),
    ];
    for (claimed, image, text) in table {
        assert_eq!(judge(&image, claimed).unwrap_err().to_string(), text, "{claimed}");
    }
}

#[test]
fn lets_pass_what_claims_no_checkable_format() {
    assert_eq!(judge(&[1; 5000], "ami"), Ok(Verdict::default()));
    assert_eq!(judge(&[1; 5000], "ploop"), Ok(Verdict::default()));
    let verdict = judge(&qcow2(), "raw").unwrap();
    assert_eq!(verdict.virtual_size, Some(256 << 10));
    assert_eq!(verdict.warnings, [Warning::Mislabelled(Format::Qcow2)]);
}

#[test]
fn without_required_match_only_unsafe_images_are_refused() {
    let options = Options { require_image_format_match: false, ..strict() };
    let verdict = inspect(&[0; 4096]).verdict("qcow2", &options).unwrap();
    assert_eq!((verdict.virtual_size, verdict.warnings.len()), (None, 1));
    let bad = inspect(&with(qcow2(), 8, &[1]));
    assert_eq!(bad.verdict("qcow2", &options).unwrap_err().to_string(), "Image failed safety checks");
    assert!(bad.verdict("vmdk", &options).is_ok(), "a mismatch comes before the checks");
}

#[test]
fn a_senseless_size_hides_nothing_unsafe() {
    let lenient = Options { require_image_format_match: false, ..strict() };
    let text = DESCRIPTOR.replace("RW 2048 SPARSE \"disk.vmdk\"", "RW 1 FLAT \"/etc/passwd\"");
    let huge = |image: Vec<u8>| with(image, 24, &[0xff; 8]);
    let table: [(&str, Vec<u8>, &str); 3] = [
        ("qcow2", with(huge(qcow2()), 8, &[1]), "Image failed safety checks"),
        ("vmdk", with(vmdk(&text), 12, &[0xff; 8]), "Image failed safety checks"),
        ("vmdk", text.clone().into_bytes(), "Image format inspection failed"),
    ];
    for (claimed, image, strictly) in table {
        assert_eq!(judge(&image, claimed).unwrap_err().to_string(), strictly);
        let refused = inspect(&image).verdict(claimed, &lenient).unwrap_err();
        assert_eq!(refused.to_string(), "Image failed safety checks", "{claimed}");
    }
    for (claimed, image) in [("qcow2", huge(qcow2())), ("vmdk", DESCRIPTOR.as_bytes().to_vec())] {
        assert_eq!(inspect(&image).verdict(claimed, &lenient).unwrap().virtual_size, None, "{claimed}");
    }
}

#[test]
fn refuses_unsafe_qcow2() {
    let table: [(usize, &[u8], &[&str]); 6] = [
        (15, &[1], &["backing_file: Image has a backing file"]),
        (79, &[4], &["data_file: Image has data_file set"]),
        (79, &[0x10], &["unknown_features: Unknown QCOW2 features found"]),
        (72, &[0x80], &["unknown_features: Unknown QCOW2 features found"]),
        (7, &[1], &["unknown_features: Unsupported qcow2 version"]),
        (7, &[4], &["unknown_features: Unsupported qcow2 version"]),
    ];
    for (at, bytes, expected) in table {
        assert_eq!(failures(&with(qcow2(), at, bytes), "qcow2"), expected);
        assert_eq!(failures(&with(qcow2(), at, bytes), "raw"), expected, "a claim of raw does not help");
    }
    assert!(judge(&with(qcow2(), 79, &[0b1011]), "qcow2").is_ok());
    assert!(judge(&with(with(qcow2(), 7, &[2]), 72, &[0xff]), "qcow2").is_ok(), "version 2 has no features");
}

#[test]
fn refuses_unsafe_vmdk() {
    let table: [(Vec<u8>, &str); 9] = [
        (vmdk(&DESCRIPTOR.replace("monolithicSparse", "monolithicFlat")), "Unsupported subformat"),
        (vmdk(&DESCRIPTOR.replace("createType", "type")), "Unsupported subformat"),
        (vmdk(&DESCRIPTOR.replace("disk.vmdk", "/etc/passwd")), "Invalid extent filenames found"),
        (vmdk(&DESCRIPTOR.replace("RW 2048", "XX 2048")), "Invalid VMDK descriptor data"),
        (vmdk(&DESCRIPTOR.replace("RW 2048", "# RW 2048")), "No extents found"),
        (vmdk(""), "No descriptor found"),
        (vmdk("\u{e9}"), "No descriptor found"),
        (with(vmdk(DESCRIPTOR), 28, &[2]), "No descriptor found"),
        (with(vmdk(DESCRIPTOR), 4, &[4]), "No descriptor found"),
    ];
    for (image, reason) in table {
        let failures = failures(&image, "vmdk");
        assert_eq!(failures, [format!("descriptor: {reason}")]);
    }
}

#[test]
fn holds_the_footer_against_the_header() {
    let end = vmdk_with_footer().len();
    let table: [(usize, &[u8], &str); 8] = [
        (end - 1024, b"X", "Header and footer signature do not match"),
        (end - 1020, &[2], "Header and footer versions do not match"),
        (end - 1024 + 28, &[2], "Footer specifies a different descriptor than header"),
        (end - 1024 + 36, &[2], "Footer specifies a different descriptor than header"),
        (end - 1024 + 56, &[0xff; 8], "Footer indicates another footer"),
        (end - 1536 + 12, &[4], "Footer marker is invalid"),
        (end - 1025, &[1], "Footer marker is invalid"),
        (end - 1, &[1], "End-of-stream marker is invalid"),
    ];
    for (at, bytes, reason) in table {
        let failures = failures(&with(vmdk_with_footer(), at, bytes), "vmdk");
        assert_eq!(failures, [format!("footer: {reason}")]);
    }
}

#[test]
fn refuses_senseless_partition_tables_unless_told_otherwise() {
    let table: [(usize, &[u8], &str); 6] = [
        (446, &[1], "MBR PTE 0 has invalid boot flag"),
        (494, &[1], "MBR PTE 3 has invalid boot flag"),
        (447, &[1], "GPT MBR has invalid start CHS"),
        (454, &[2], "GPT MBR has invalid start LBA"),
        (466, &[0x83], "GPT MBR defines invalid extra partitions"),
        (450, &[0], "GPT MBR has no partitions defined"),
    ];
    for (at, bytes, reason) in table {
        let image = with(gpt(vec![0; 4096]), at, bytes);
        assert_eq!(failures(&image, "raw"), [format!("mbr: {reason}")]);
        let lenient = Options { gpt_safety_checks_nonfatal: vec!["mbr".to_owned()], ..strict() };
        assert_eq!(inspect(&image).verdict("gpt", &lenient).unwrap().virtual_size, Some(4096));
        assert!(inspect(&image).safety_check(&lenient).is_ok());
    }
    assert_eq!(failures(&qed(), "qed"), ["banned: This file format is not allowed"]);
    assert_eq!(failures(&with(luks(), 7, &[2]), "raw"), ["version: LUKS version 2 is not supported"]);
    let fat = with(with(gpt(vec![0; 4096]), 0x10, &[2]), 0x15, &[0xf8]);
    assert_eq!(inspect(&fat).found()[0].format, Format::Raw);
}

#[test]
fn stops_looking_as_soon_as_it_can() {
    let settles = |image: Vec<u8>, piece: usize| {
        let mut inspector = Inspector::new();
        let mut fed = 0;
        for chunk in image.chunks(piece) {
            inspector.feed(chunk);
            fed += chunk.len();
            if inspector.is_settled() {
                return fed / KIB;
            }
        }
        usize::MAX
    };
    assert_eq!(settles(qcow2(), KIB), 64);
    assert_eq!(settles(vmdk(DESCRIPTOR), KIB), 64);
    assert_eq!(settles(vhdx(2 << 20), KIB), 2048 + 64 + 64);
    assert_eq!(settles(with(vec![0; 4 << 20], 36, &[0xff; 4]), 7), 64);
}

/// Headers of every format, whole or with some bytes changed, then cut somewhere.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let bases = prop::sample::select(vec![
        qcow2(),
        vmdk(DESCRIPTOR),
        vmdk_with_footer(),
        vhdx(1 << 20),
        vhdx(200 * KIB + 13),
        vhdx(256 * KIB),
        vhd(),
        vdi(),
        qed(),
        gpt(iso()),
        luks(),
        DESCRIPTOR.as_bytes().to_vec(),
    ]);
    let places = prop_oneof![0..600usize, 0..70_000usize, 196_608..197_000usize, 262_144..330_000usize];
    let edits = prop::collection::vec((places, any::<u8>()), 0..4);
    (bases, edits, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut image, edits, cut, whole)| {
        for (at, byte) in edits {
            if let Some(place) = image.get_mut(at) {
                *place = byte;
            }
        }
        let cut = if whole { image.len() } else { cut.index(image.len() + 1) };
        image.truncate(cut);
        image
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_cut_of_the_stream_does_not_matter(image in mangled(), pieces in prop::collection::vec(1..200_000usize, 1..40)) {
        let mut inspector = Inspector::new();
        let mut rest = image.as_slice();
        for piece in pieces.iter().cycle() {
            let (chunk, more) = rest.split_at((*piece).min(rest.len()));
            inspector.feed(chunk);
            prop_assert!(inspector.held() <= 3 << 20);
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(inspector.finish(), inspect(&image));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000), magic in prop::sample::select(vec!["", "KDMV", "vhdxfile", "conectix"])) {
        let image = [magic.as_bytes(), &bytes].concat();
        prop_assert_eq!(inspect_in(&image, 1), inspect(&image));
    }
}
