use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Mutex;

use super::*;

fn conversion(target: &str) -> Conversion {
    let mut config = Config::default();
    config.image_conversion.output_format = target.to_owned();
    Conversion::new(&config)
}

fn qemu_img(arguments: &[&str]) {
    let made = Command::new("qemu-img").args(arguments).output().expect("qemu-img: apt-get install qemu-utils");
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}

/// An image of this format with some data in it.
fn staged(folder: &Path, format: &str, options: &[&str]) -> Staged {
    let (raw, path) = (folder.join("raw"), folder.join("image"));
    let mut data = vec![0; 2 << 20];
    data[700_000..700_100].fill(7);
    fs::write(&raw, data).unwrap();
    let (from, to) = (raw.to_str().unwrap(), path.to_str().unwrap());
    qemu_img(&[&["convert", "-f", "raw", "-O", format], options, &[from, to]].concat());
    fs::remove_file(raw).unwrap();
    claimed(path, format)
}

fn claimed(path: PathBuf, format: &str) -> Staged {
    Staged { path, disk_format: Some(format.to_owned()), container_format: Some("bare".to_owned()) }
}

fn run(conversion: &Conversion, staged: &Staged) -> Result<Findings, String> {
    conversion.run(staged, &Interrupt::default(), &|_| ()).map_err(|error| error.to_string())
}

/// The complaint; the staged file must be alone and as it was.
fn complaint(conversion: &Conversion, staged: &Staged) -> String {
    let before = fs::metadata(&staged.path).unwrap().len();
    let complaint = run(conversion, staged).unwrap_err();
    assert_eq!(fs::metadata(&staged.path).unwrap().len(), before);
    let target = format!("{}.{}", staged.path.display(), conversion.target);
    assert!(!Path::new(&target).try_exists().unwrap(), "{target} is left");
    complaint
}

#[test]
fn images_become_what_the_operator_wants() {
    for (from, options, to) in [
        ("qcow2", &[][..], "raw"),
        ("qcow2", &["-c"], "raw"),
        ("raw", &[], "qcow2"),
        ("vmdk", &[], "raw"),
        ("vmdk", &["-o", "subformat=streamOptimized"], "qcow2"),
        ("vdi", &[], "raw"),
        ("raw", &[], "vmdk"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let staged = staged(folder.path(), from, options);
        let seen = Mutex::new(Vec::new());
        let progress = |percent: Percent| seen.lock().unwrap().push(percent.0);
        let findings = conversion(to).run(&staged, &Interrupt::default(), &progress).unwrap();
        let path = findings.path.clone().unwrap();
        assert_eq!(path, folder.path().join(format!("image.{to}")), "{from} to {to}");
        assert!(!staged.path.try_exists().unwrap());
        let wanted = Findings {
            path: Some(path.clone()),
            size: Some(fs::metadata(&path).unwrap().len()),
            virtual_size: Some(2 << 20),
            disk_format: Some(to.to_owned()),
            container_format: Some("bare".to_owned()),
            properties: Vec::new(),
        };
        assert_eq!(findings, wanted, "{from} to {to}");
        if to == "raw" {
            let data = fs::read(&path).unwrap();
            assert_eq!((data.len(), &data[699_999..700_001]), (2 << 20, &[0, 7][..]), "{from}");
        }
        let seen = seen.into_inner().unwrap();
        assert!(seen.is_sorted() && seen.last() == Some(&100), "{seen:?}");
    }
}

#[test]
fn what_is_as_wanted_or_a_disc_stays() {
    let folder = tempfile::tempdir().unwrap();
    let same = staged(folder.path(), "qcow2", &[]);
    let wanted = Findings { virtual_size: Some(2 << 20), ..Findings::default() };
    assert_eq!(run(&conversion("qcow2"), &same), Ok(wanted));
    let path = folder.path().join("disc");
    let mut disc = vec![0; 64 << 10];
    disc[0x8000..0x8006].copy_from_slice(b"\x01CD001");
    disc[0x8006] = 1;
    fs::write(&path, disc).unwrap();
    assert_eq!(run(&conversion("raw"), &claimed(path.clone(), "iso")), Ok(Findings::default()));
    assert_eq!(complaint(&conversion("raw"), &claimed(path, "raw")), "Image has disallowed configuration");
}

#[test]
fn what_is_not_as_claimed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = staged(folder.path(), "qcow2", &[]);
    for other in ["raw", "vmdk", "ami"] {
        assert_eq!(
            complaint(&conversion("raw"), &claimed(image.path.clone(), other)),
            "Image format mismatch",
            "{other}"
        );
    }
    let unnamed = Staged { disk_format: None, ..image };
    assert_eq!(complaint(&conversion("raw"), &unnamed), "Image format mismatch");
    // Of the beginning of an image nobody can say that it is one.
    let head = fs::read(&unnamed.path).unwrap()[..60].to_vec();
    fs::write(&unnamed.path, head).unwrap();
    assert_eq!(complaint(&conversion("raw"), &claimed(unnamed.path, "qcow2")), "Image format mismatch");
}

/// OSSA-2015-014 (CVE-2015-5163) and CVE-2024-32498: images that name files of the host.
#[test]
fn images_that_refer_to_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let to = path.to_str().unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-u", "-b", "/etc/passwd", to, "1M"]);
    let image = claimed(path.clone(), "qcow2");
    assert_eq!(complaint(&conversion("raw"), &image), "Image has disallowed configuration");
    let other = folder.path().join("other");
    let data_file = format!("data_file={}", other.display());
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &data_file, to, "1M"]);
    assert_eq!(complaint(&conversion("raw"), &image), "Image has disallowed configuration");
    qemu_img(&["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", to, "1M"]);
    assert!(!complaint(&conversion("raw"), &claimed(path, "vmdk")).is_empty());
}

/// The second look, by qemu-img, sees what an inspector might not.
#[test]
fn what_qemu_img_tells_counts_as_well() {
    let conversion = conversion("raw");
    let told = |text: &str| {
        let claimed = if text.contains("vmdk") { "vmdk" } else { "qcow2" };
        conversion.check(claimed, &serde_json::from_str(text).unwrap()).map_err(|error| error.to_string())
    };
    let vmdk = |kind: &str| {
        told(&format!(r#"{{"format": "vmdk", "format-specific": {{"data": {{"create-type": {kind}}}}}}}"#))
    };
    for (result, wanted) in [
        (told(r#"{"format": "raw"}"#), "Image metadata disagrees about format"),
        (told(r#"{"format": "qcow2", "backing-filename": ""}"#), "QCOW images with backing files are not allowed"),
        (
            told(r#"{"format": "qcow2", "format-specific": {"data": {"data-file": "/x"}}}"#),
            "QCOW images with data-file set are not allowed",
        ),
        (told(r#"{"format": "vmdk"}"#), "Unable to determine VMDK create-type"),
        (vmdk(r#""monolithicFlat""#), "Invalid VMDK create-type specified"),
    ] {
        assert_eq!(result, Err(wanted.to_owned()));
    }
    assert_eq!(vmdk(r#""monolithicSparse""#), Ok(0));
    assert_eq!(
        told(r#"{"format": "qcow2", "virtual-size": 7, "format-specific": {"data": {"data-file": null}}}"#),
        Ok(7)
    );
    let none = Conversion { vmdk_types: Vec::new(), ..conversion };
    let seen = serde_json::json!({"format": "vmdk", "format-specific": {"data": {"create-type": "monolithicSparse"}}});
    let complaint = none.check("vmdk", &seen).unwrap_err();
    assert_eq!(complaint.to_string(), "Image is a VMDK, but no VMDK createType is specified");
}

/// Only what is written counts against the cap, not what the disk could hold.
#[test]
fn a_sparse_disk_may_be_larger_than_the_cap_where_it_stays_sparse() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.default.image_size_cap = 16 << 20;
    config.image_conversion.output_format = "qcow2".to_owned();
    let conversion = Conversion::new(&config);
    for format in ["qcow2", "vmdk"] {
        let path = folder.path().join(format);
        qemu_img(&["create", "-q", "-f", format, path.to_str().unwrap(), "1G"]);
        let findings = run(&conversion, &claimed(path, format)).unwrap();
        assert_eq!(findings.virtual_size, Some(1 << 30), "{format}");
        assert!(findings.size.is_none_or(|size| size < 16 << 20), "{format}: {findings:?}");
    }
    // Whatever is written in the end has to fit.
    let image = staged(folder.path(), "vmdk", &[]);
    let mut small = conversion;
    small.qemu_img.limits.file = 64 << 10;
    assert!(!complaint(&small, &image).is_empty());
}

/// OSSA-2016-012 (CVE-2015-5162): a small image that says it is a huge disk.
#[test]
fn a_disk_beyond_the_cap_is_refused_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    qemu_img(&["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "2T"]);
    let text = complaint(&conversion("raw"), &claimed(path, "qcow2"));
    assert_eq!(text, "The disk inside the image is larger than image_size_cap");
}

/// OSSA-2016-012 (CVE-2015-5162): whatever qemu-img is brought to do, it is stopped, and nothing is left.
#[test]
fn a_qemu_img_that_hangs_or_eats_memory_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let image = staged(folder.path(), "qcow2", &[]);
    let info = r#"[ "$1" = info ] && { echo '{"format": "qcow2", "virtual-size": 1}'; exit; }"#;
    // The last argument is the target.
    let begin = r#"for target; do :; done; echo begun > "$target""#;
    for (what, wanted) in [
        ("exec sleep 600", "qemu-img did not end within 1 s and was killed"),
        // A variable of 2 GiB.
        ("x=$(head -c 2000000000 /dev/zero | tr '\\0' x); echo ${#x}", ""),
    ] {
        let program = folder.path().join("fake");
        fs::write(&program, format!("#!/bin/bash\n{info}\n{begin}\n{what}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut conversion = conversion("raw");
        conversion.qemu_img.program = program;
        conversion.qemu_img.limits.memory = 256 << 20;
        if !wanted.is_empty() {
            conversion.qemu_img.patience = Duration::from_secs(1);
        }
        let text = complaint(&conversion, &image);
        assert!(text.contains(wanted), "{what}: {text}");
    }
}
