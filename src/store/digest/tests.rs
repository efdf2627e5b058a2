use proptest::prelude::*;

use super::*;

/// Python: `hashlib.new(name, b"glance").hexdigest()`.
const KNOWN: [(&str, &str); 15] = [
    ("md5", "ffb5ff6434d711e517b939faf00d331c"),
    ("sha1", "0a6ca81d300dbabb82140c80e76039139ef86644"),
    ("sha224", "9634b178635e362034be4098160129c8b0b9e6c44c05c7e3d65d68f7"),
    ("sha256", "e776a070909341e9f27fd82968a85025f1d944f5bacdbd29e700f74d8a1c39ce"),
    ("sha384", "2e7fe428b3988bf6f418226d7b68d9733e7b62108bae4ff83d3f44b04d20c1e9b64cfb72f99f9f20188d07020cd4bc79"),
    (
        "sha512",
        "617b64671fca5f1aab1b7ac24f4f2d9715cdc2a2e495d3f317f8e0e32f49bb863810fe77535f64b250d393dd3f6155796a1a4b5942d9305fdba8f0dc75a09485",
    ),
    ("sha512_224", "d8c4ec7ef8e39a7756f033adf6eb5170a91910af252ba7dd583afe54"),
    ("sha512_256", "0c81ecdb9c6a8ad6145c18c681a35799bc557ea724f6364651326cde4bd3d4ba"),
    ("sha3_224", "25de01f281cc6787985680613b9f516b87589816c5260e611f3f9196"),
    ("sha3_256", "a45a60f70660d8d21572fe3ea3ecd191503a41be40a390006df8108bcd44b3ab"),
    ("sha3_384", "fc49d43307c828121c251918bee3aff1a83f4312827cc7c3f6078b7945c7c259306c04089ef17abcafa7cb2ff38d70ef"),
    (
        "sha3_512",
        "85eefb399c3a7594d39297f2d4afef49b41c07f64cd03a337bf466d082060a0d1404567d7f6d07c80857b2cf0da849db6261354b35779c51438fe21a7783f931",
    ),
    (
        "blake2b",
        "75409eaaeec6963c9341798d5cd29645a7a38f858326c72da014538a3dd51b603a2ce0d57e8e2a85ceafeb26a6951d18d7fa04e1dbd4f17b6ad80b50c4248a2a",
    ),
    ("blake2s", "621f97005ec4ecbda571afafa082b50e63ba6b2176cd2d140ef0a64642870fbc"),
    ("md5-sha1", "ffb5ff6434d711e517b939faf00d331c0a6ca81d300dbabb82140c80e76039139ef86644"),
];

async fn digests(algorithm: &str, pieces: &[Bytes]) -> Hashes {
    let mut digests = Digests::start(Algorithm::parse(algorithm).unwrap(), Priority::Request);
    for piece in pieces {
        digests.update(piece.clone()).await.unwrap();
    }
    digests.finish().await.unwrap()
}

#[tokio::test]
async fn every_algorithm_agrees_with_hashlib() {
    for (name, expected) in KNOWN {
        let hashes = digests(name, &[Bytes::from_static(b"gla"), Bytes::new(), Bytes::from_static(b"nce")]).await;
        assert_eq!(hashes.value, expected, "{name}");
        assert_eq!(hashes.md5, KNOWN[0].1);
        assert_eq!(hashes.algorithm.name(), name);
        let mut state = DigestState::start(hashes.algorithm);
        state.update(b"gla");
        let mut other = state.clone();
        other.update(b"ss");
        state.update(b"nce");
        assert_eq!(state.finish(), hashes);
        assert_ne!(other.finish().value, hashes.value, "{name}: a copy goes on by itself");
    }
}

#[test]
fn the_configuration_takes_what_can_be_computed() {
    let mut names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
    let mut accepted = crate::config::HASHES.to_vec();
    names.sort_unstable();
    accepted.sort_unstable();
    assert_eq!(accepted, names);
}

#[test]
fn unknown_names_are_refused() {
    for name in ["", "SHA512", "sha-512", "shake_128", "crc32"] {
        assert!(
            matches!(Algorithm::parse(name), Err(StoreError::UnknownAlgorithm { algorithm }) if algorithm == name),
            "{name}"
        );
    }
}

#[tokio::test]
async fn nothing_has_digests_too() {
    let hashes = digests("sha1", &[]).await;
    assert_eq!(hashes.md5, "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(hashes.value, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However the data is cut, and whether it stays inline or goes to threads, the digests are those of the whole.
    #[test]
    fn cutting_the_data_changes_nothing(
        size in prop_oneof![0..2000_usize, 120_000..140_000_usize, 400_000..1_500_000_usize],
        cuts in proptest::collection::vec(1..200_000_usize, 1..20),
        algorithm in prop_oneof![Just("sha512"), Just("sha256"), Just("md5"), Just("sha1")],
    ) {
        let data: Bytes = (0..size).map(|place| (place % 251) as u8).collect::<Vec<_>>().into();
        let mut pieces = Vec::new();
        let mut rest = data.clone();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            pieces.push(rest.split_to((*cut).min(rest.len())));
        }
        let whole = |name| {
            let mut hasher = Algorithm::parse(name).unwrap().hasher();
            hasher.update(&data);
            hasher.finish()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let hashes = runtime.block_on(digests(algorithm, &pieces));
        let begun = runtime.block_on(async {
            let mut begun = Digests::start(hashes.algorithm, Priority::Background);
            begun.update(pieces.first().cloned().unwrap_or_default()).await.unwrap();
            begun.into_state().await.unwrap()
        });
        prop_assert_eq!(begun.algorithm(), hashes.algorithm);
        let resumed = pieces.iter().skip(1).fold(begun, |mut state, piece| {
            state.update(piece);
            state
        });
        prop_assert_eq!(&resumed.finish(), &hashes, "whoever goes on with what was digested comes to the same");
        prop_assert_eq!(hashes.md5, whole("md5"));
        prop_assert_eq!(hashes.value, whole(algorithm));
    }
}
