//! Small disk images of every kind, good and bad, made by hand from their specifications.

/// The image of this name; panics for an unknown one. The names are used by the comparison's cases.
pub(crate) fn image(name: &str) -> Vec<u8> {
    match name {
        "qcow2" => qcow2(3, 0, 0),
        "qcow2-v2" => qcow2(2, 0, 0),
        "qcow2-backing" => qcow2(3, 0, 512),
        "qcow2-huge-backing" => {
            let mut image = qcow2(3, 0, 512);
            put(&mut image, 24, &(1_u64 << 63).to_be_bytes());
            image
        }
        "qcow2-data-file" => qcow2(3, 4, 0),
        "qcow2-dirty" => qcow2(3, 1, 0),
        "qcow2-unknown-feature" => qcow2(3, 1 << 40, 0),
        "qcow2-truncated" => qcow2(3, 0, 0)[..60].to_vec(),
        "qed" => padded(b"QED\0", 65536),
        "vdi" => vdi(),
        "vhd" => vhd(),
        "vhdx" => vhdx_like(),
        "vmdk" => vmdk("monolithicSparse", ""),
        "vmdk-stream" => vmdk("streamOptimized", ""),
        "vmdk-flat" => vmdk("monolithicFlat", ""),
        "vmdk-extent" => vmdk("monolithicSparse", "RW 8 FLAT \"/etc/passwd\" 0\n"),
        "vmdk-text" => descriptor("monolithicSparse", "RW 8 FLAT \"/etc/passwd\" 0\n").into_bytes(),
        "iso" => iso(),
        "mbr" => mbr(&[(0x83, 1, 100)]),
        "gpt" => gpt(),
        "gpt-bad" => mbr(&[(0xee, 5, 100)]),
        "luks" => luks(1),
        "luks-v2" => luks(2),
        "zeros" => vec![0; 65536],
        other => panic!("no image is called {other}"),
    }
}

fn padded(start: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.resize(size, 0);
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A header with a virtual size of 1 GiB (docs/interop/qcow2.txt of QEMU).
fn qcow2(version: u32, incompatible: u64, backing_offset: u64) -> Vec<u8> {
    let mut b = vec![0; 4 * 65536];
    put(&mut b, 0, b"QFI\xfb");
    put(&mut b, 4, &version.to_be_bytes());
    put(&mut b, 8, &backing_offset.to_be_bytes());
    if backing_offset != 0 {
        put(&mut b, 16, &11_u32.to_be_bytes());
        put(&mut b, 512, b"/etc/passwd");
    }
    put(&mut b, 20, &16_u32.to_be_bytes()); // cluster bits
    put(&mut b, 24, &(1_u64 << 30).to_be_bytes()); // virtual size
    put(&mut b, 36, &2_u32.to_be_bytes()); // entries of the L1 table
    put(&mut b, 40, &(3_u64 * 65536).to_be_bytes());
    put(&mut b, 48, &65536_u64.to_be_bytes()); // reference count table
    put(&mut b, 56, &1_u32.to_be_bytes());
    if version == 3 {
        put(&mut b, 72, &incompatible.to_be_bytes());
        put(&mut b, 96, &4_u32.to_be_bytes()); // reference count order
        put(&mut b, 100, &104_u32.to_be_bytes()); // header length
    }
    b
}

fn vdi() -> Vec<u8> {
    let mut b = vec![0; 4096];
    put(&mut b, 0, b"<<< Oracle VM VirtualBox Disk Image >>>\n");
    put(&mut b, 0x40, &0xbeda_107f_u32.to_le_bytes());
    put(&mut b, 0x44, &0x0001_0001_u32.to_le_bytes());
    put(&mut b, 0x170, &(64_u64 << 20).to_le_bytes());
    b
}

/// A dynamic disk's footer copy at the start (Microsoft's specification of 2006).
fn vhd() -> Vec<u8> {
    let mut b = vec![0; 4096];
    put(&mut b, 0, b"conectix");
    put(&mut b, 8, &2_u32.to_be_bytes());
    put(&mut b, 12, &0x0001_0000_u32.to_be_bytes());
    put(&mut b, 16, &512_u64.to_be_bytes());
    put(&mut b, 40, &(32_u64 << 20).to_be_bytes());
    put(&mut b, 48, &(32_u64 << 20).to_be_bytes());
    put(&mut b, 60, &3_u32.to_be_bytes());
    b
}

/// Region table and metadata with a virtual disk size (MS-VHDX).
fn vhdx_like() -> Vec<u8> {
    // GUIDs as they lie on disk.
    const METADATA: [u8; 16] =
        [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
    const VIRTUAL_SIZE: [u8; 16] =
        [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8];
    let mut b = vec![0; 3 << 20];
    put(&mut b, 0, b"vhdxfile");
    for at in [64 << 10, 128 << 10] {
        put(&mut b, at, b"head");
    }
    for at in [192 << 10, 256 << 10] {
        put(&mut b, at, b"regi");
        put(&mut b, at + 8, &1_u32.to_le_bytes());
        put(&mut b, at + 16, &METADATA);
        put(&mut b, at + 32, &(2_u64 << 20).to_le_bytes());
        put(&mut b, at + 40, &(1_u32 << 20).to_le_bytes());
        put(&mut b, at + 44, &1_u32.to_le_bytes());
    }
    let metadata = 2 << 20;
    put(&mut b, metadata, b"metadata");
    put(&mut b, metadata + 10, &1_u16.to_le_bytes());
    put(&mut b, metadata + 32, &VIRTUAL_SIZE);
    put(&mut b, metadata + 48, &(64_u32 << 10).to_le_bytes());
    put(&mut b, metadata + 52, &8_u32.to_le_bytes());
    put(&mut b, metadata + 56, &6_u32.to_le_bytes());
    put(&mut b, metadata + (64 << 10), &(128_u64 << 20).to_le_bytes());
    b
}

fn vmdk(kind: &str, extent: &str) -> Vec<u8> {
    let mut b = vec![0; 65536];
    put(&mut b, 0, b"KDMV");
    put(&mut b, 4, &1_u32.to_le_bytes());
    put(&mut b, 8, &3_u32.to_le_bytes());
    put(&mut b, 12, &2048_u64.to_le_bytes()); // capacity in sectors: 1 MiB
    put(&mut b, 20, &128_u64.to_le_bytes());
    put(&mut b, 28, &1_u64.to_le_bytes()); // descriptor's sector
    put(&mut b, 36, &20_u64.to_le_bytes());
    put(&mut b, 44, &512_u32.to_le_bytes());
    put(&mut b, 56, &21_u64.to_le_bytes()); // grain directory
    let extent = if extent.is_empty() { "RW 2048 SPARSE \"disk.vmdk\"\n" } else { extent };
    put(&mut b, 512, descriptor(kind, extent).as_bytes());
    b
}

fn descriptor(kind: &str, extent: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=7b4e3a53\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n\
         # Extent description\n{extent}\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n"
    )
}

fn iso() -> Vec<u8> {
    let mut b = vec![0; 64 << 10];
    put(&mut b, 32 << 10, b"\x01CD001\x01");
    put(&mut b, (32 << 10) + 80, &32_u32.to_le_bytes());
    put(&mut b, (32 << 10) + 84, &32_u32.to_be_bytes());
    put(&mut b, (32 << 10) + 128, &2048_u16.to_le_bytes());
    put(&mut b, (32 << 10) + 130, &2048_u16.to_be_bytes());
    put(&mut b, 34 << 10, b"\xffCD001\x01");
    b
}

fn mbr(partitions: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut b = vec![0; 65536];
    for (i, (kind, start, length)) in partitions.iter().enumerate() {
        let at = 446 + 16 * i;
        b[at + 1] = 0;
        b[at + 2] = 2;
        b[at + 4] = *kind;
        put(&mut b, at + 5, b"\xff\xff\xff");
        put(&mut b, at + 8, &start.to_le_bytes());
        put(&mut b, at + 12, &length.to_le_bytes());
    }
    put(&mut b, 510, b"\x55\xaa");
    b
}

fn gpt() -> Vec<u8> {
    let mut b = mbr(&[(0xee, 1, 0xffff_ffff)]);
    put(&mut b, 512, b"EFI PART");
    put(&mut b, 520, &0x0001_0000_u32.to_le_bytes());
    b
}

fn luks(version: u16) -> Vec<u8> {
    let mut b = vec![0; 4 << 20];
    put(&mut b, 0, b"LUKS\xba\xbe");
    put(&mut b, 6, &version.to_be_bytes());
    put(&mut b, 8, b"aes");
    put(&mut b, 40, b"xts-plain64");
    put(&mut b, 72, b"sha256");
    put(&mut b, 104, &4096_u32.to_be_bytes());
    put(&mut b, 108, &64_u32.to_be_bytes());
    b
}
