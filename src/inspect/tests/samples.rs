//! Images made by hand, so that each lie in them is in view.

pub(super) const KIB: usize = 1024;

/// Overwrites, growing with zeroes as needed.
pub(super) fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if image.len() < at + bytes.len() {
        image.resize(at + bytes.len(), 0);
    }
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The image with something else at one place.
pub(super) fn with(mut image: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    put(&mut image, at, bytes);
    image
}

/// A version 3 header for a disk of 10 GiB.
pub(super) fn qcow2() -> Vec<u8> {
    let mut image = vec![0; 256 * KIB];
    put(&mut image, 0, b"QFI\xfb");
    put(&mut image, 4, &3u32.to_be_bytes());
    put(&mut image, 24, &(10u64 << 30).to_be_bytes());
    image
}

pub(super) const DESCRIPTOR: &str = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
    createType=\"monolithicSparse\"\n\n# Extent description\nRW 2048 SPARSE \"disk.vmdk\"\n\n# The Disk Data Base\nddb.virtualHWVersion = \"4\"\n";

/// A sparse extent of 1 MiB with this descriptor in 20 sectors.
pub(super) fn vmdk(descriptor: &str) -> Vec<u8> {
    let mut image = vec![0; 128 * KIB];
    put(&mut image, 0, b"KDMV");
    put(&mut image, 4, &1u32.to_le_bytes());
    put(&mut image, 12, &2048u64.to_le_bytes());
    put(&mut image, 28, &1u64.to_le_bytes());
    put(&mut image, 36, &20u64.to_le_bytes());
    put(&mut image, 512, descriptor.as_bytes());
    image
}

/// The same with header and footer as streamOptimized has them.
pub(super) fn vmdk_with_footer() -> Vec<u8> {
    let mut image = vmdk(&DESCRIPTOR.replace("monolithicSparse", "streamOptimized"));
    put(&mut image, 56, &u64::MAX.to_le_bytes());
    let mut footer = image[..512].to_vec();
    put(&mut footer, 56, &100u64.to_le_bytes());
    let mut marker = vec![0; 512];
    put(&mut marker, 0, &1u64.to_le_bytes());
    put(&mut marker, 12, &3u32.to_le_bytes());
    image.extend([marker, footer, vec![0; 512]].concat());
    image
}

/// Regions where QEMU puts them: metadata at `metadata`, its size item 64 KiB after it.
pub(super) fn vhdx(metadata: usize) -> Vec<u8> {
    let mut image = vec![0; 4 * KIB * KIB];
    put(&mut image, 0, b"vhdxfile");
    put(&mut image, 192 * KIB, b"regi");
    put(&mut image, 192 * KIB + 8, &1u32.to_le_bytes());
    let entry = 192 * KIB + 16;
    put(
        &mut image,
        entry,
        &[0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e],
    );
    put(&mut image, entry + 16, &(metadata as u64).to_le_bytes());
    put(&mut image, metadata, b"metadata");
    put(&mut image, metadata + 10, &1u16.to_le_bytes());
    let item = metadata + 32;
    put(
        &mut image,
        item,
        &[0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8],
    );
    put(&mut image, item + 16, &(64 * KIB as u32).to_le_bytes());
    put(&mut image, item + 20, &8u32.to_le_bytes());
    put(&mut image, metadata + 64 * KIB, &(5u64 << 30).to_le_bytes());
    image
}

pub(super) fn vhd() -> Vec<u8> {
    let image = with(vec![0; 4 * KIB], 0, b"conectix");
    with(image, 40, &(3u64 << 20).to_be_bytes())
}

pub(super) fn vdi() -> Vec<u8> {
    let image = with(vec![0; 4 * KIB], 0x40, &0xbeda_107f_u32.to_le_bytes());
    with(image, 0x170, &(7u64 << 20).to_le_bytes())
}

pub(super) fn qed() -> Vec<u8> {
    with(vec![0; 4 * KIB], 0, b"QED\0")
}

/// 300 blocks of 2 KiB.
pub(super) fn iso() -> Vec<u8> {
    let image = with(vec![0; 600 * KIB], 32 * KIB, b"\x01CD001\x01");
    let image = with(image, 32 * KIB + 80, &300u32.to_le_bytes());
    with(image, 32 * KIB + 128, &2048u16.to_le_bytes())
}

/// Adds a protective MBR.
pub(super) fn gpt(image: Vec<u8>) -> Vec<u8> {
    let image = with(image, 446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0, 0, 0]);
    with(image, 510, &[0x55, 0xaa])
}

/// A version 1 header whose payload starts at sector 8.
pub(super) fn luks() -> Vec<u8> {
    let image = with(vec![0; 16 * KIB], 0, b"LUKS\xba\xbe\x00\x01");
    with(image, 104, &8u32.to_be_bytes())
}
