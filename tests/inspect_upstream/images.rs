//! Images as QEMU makes them, and a few that it can not make.

use std::path::{Path, PathBuf};
use std::process::Command;

fn qemu_img(directory: &Path, arguments: &[&str]) {
    let output = Command::new("qemu-img")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("qemu-img is needed: apt-get install qemu-utils");
    assert!(output.status.success(), "qemu-img {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes all of them in a directory.
pub(crate) fn make(directory: &Path) -> Vec<PathBuf> {
    let noise: Vec<u8> = (0..700_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(directory.join("source.raw"), noise).unwrap();
    let secret = "secret,id=key,data=passphrase";
    let create: [(&str, &[&str]); 24] = [
        ("plain.raw", &["-f", "raw"]),
        ("v3.qcow2", &["-f", "qcow2"]),
        ("v2.qcow2", &["-f", "qcow2", "-o", "compat=0.10"]),
        ("zstd.qcow2", &["-f", "qcow2", "-o", "compression_type=zstd"]),
        ("wide.qcow2", &["-f", "qcow2", "-o", "extended_l2=on"]),
        ("data.qcow2", &["-f", "qcow2", "-o", "data_file=data.bin"]),
        ("backed.qcow2", &["-f", "qcow2", "-b", "v3.qcow2", "-F", "qcow2"]),
        ("backed2.qcow2", &["-f", "qcow2", "-o", "compat=0.10", "-b", "v3.qcow2", "-F", "qcow2"]),
        ("old.qcow", &["-f", "qcow"]),
        ("sparse.vmdk", &["-f", "vmdk"]),
        ("zeroed.vmdk", &["-f", "vmdk", "-o", "zeroed_grain=on"]),
        ("flat.vmdk", &["-f", "vmdk", "-o", "subformat=monolithicFlat"]),
        ("split.vmdk", &["-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"]),
        ("splitflat.vmdk", &["-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"]),
        ("stream.vmdk", &["-f", "vmdk", "-o", "subformat=streamOptimized"]),
        ("dynamic.vhdx", &["-f", "vhdx"]),
        ("fixed.vhdx", &["-f", "vhdx", "-o", "subformat=fixed"]),
        ("small.vhdx", &["-f", "vhdx", "-o", "block_size=1M,log_size=3M"]),
        ("dynamic.vhd", &["-f", "vpc"]),
        ("fixed.vhd", &["-f", "vpc", "-o", "subformat=fixed"]),
        ("dynamic.vdi", &["-f", "vdi"]),
        ("static.vdi", &["-f", "vdi", "-o", "static=on"]),
        ("plain.qed", &["-f", "qed"]),
        ("plain.luks", &["--object", secret, "-f", "luks", "-o", "key-secret=key,iter-time=10"]),
    ];
    for (name, options) in create {
        qemu_img(directory, &[&["create", "-q"], options, &[name, "2M"]].concat());
    }
    for (name, options) in [
        ("full.vmdk", ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
        ("full.qcow2", ["-O", "qcow2", "-o", "compat=1.1"]),
        ("full.vhdx", ["-O", "vhdx", "-o", "subformat=dynamic"]),
    ] {
        qemu_img(directory, &[&["convert", "-f", "raw"], &options[..], &["source.raw", name]].concat());
    }
    by_hand(directory);
    let mut made: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    made.sort();
    made
}

/// What no qemu-img makes.
fn by_hand(directory: &Path) {
    let write = |name: &str, parts: &[(usize, &[u8])]| {
        let mut image = vec![0u8; 100 * 1024];
        for (at, bytes) in parts {
            image[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        std::fs::write(directory.join(name), image).unwrap();
    };
    let pvd = |kind: u8, name: &[u8]| [&[kind], name, &[1]].concat();
    let space = 300u32.to_le_bytes();
    let block = 2048u16.to_le_bytes();
    let area = 32 * 1024;
    let protective = [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0, 0, 0];
    let primary = pvd(1, b"CD001");
    write("cd.iso", &[(area, &primary), (area + 80, &space), (area + 128, &block)]);
    write("udf.iso", &[(area, &pvd(0, b"NSR02")), (area + 80, &space), (area + 128, &block)]);
    let signature = [0x55, 0xaa];
    write("gpt.img", &[(446, &protective), (510, &signature)]);
    write(
        "hybrid.iso",
        &[(446, &protective), (510, &signature), (area, &primary), (area + 80, &space), (area + 128, &block)],
    );
    write("mbr.img", &[(446, &[0x80, 1, 1, 0, 0x83, 1, 1, 1, 0, 8, 0, 0, 9, 0, 0, 0]), (510, &signature)]);
    write("fat.img", &[(0x10, &[2]), (0x15, &[0xf8]), (510, &signature)]);
    let text = "# Disk\nversion=1\ncreateType=\"monolithicSparse\"\nRW 9 SPARSE \"a.vmdk\"\n";
    std::fs::write(directory.join("text.vmdk"), text).unwrap();
    std::fs::write(directory.join("text.txt"), "nothing of interest, ".repeat(4000)).unwrap();
    std::fs::write(directory.join("unclosed.vmdk"), text.replace("se\"\n", "se\n")).unwrap();
    let script = ["#!/bin/sh\n".repeat(60).as_bytes(), &[0xff; 9000]].concat();
    std::fs::write(directory.join("script.bin"), script).unwrap();
}
