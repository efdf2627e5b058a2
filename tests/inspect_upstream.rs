//! The inspection of images gives the answers that Glance gives with oslo.utils: for images of every format, cut short in many places and
//! with bytes of their headers changed.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may end in a panic")]

#[path = "inspect_upstream/images.rs"]
mod images;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use glance_api::inspect::{Found, Inspection, Inspector, Options, Size};
use serde_json::{Value, json};

const CLAIMS: [&str; 12] = ["raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed", "iso", "gpt", "luks", "ami", "ploop"];
/// require_image_format_match, gpt_safety_checks_nonfatal
const OPTIONS: [(bool, &[&str]); 3] = [(true, &[]), (false, &[]), (true, &["mbr"])];
const LENGTHS: [usize; 29] = [
    0, 1, 3, 4, 5, 7, 8, 31, 32, 44, 63, 64, 65, 167, 168, 511, 512, 513, 591, 592, 1024, 34_815, 34_816, 65_535,
    65_536, 65_537, 262_143, 262_144, 262_145,
];
/// Where headers and tables lie; the last is counted from the end.
const PLACES: [(usize, usize); 7] = [
    (0, 600),
    (512, 1200),
    (32_768, 32_900),
    (196_608, 196_700),
    (3 << 20, (3 << 20) + 128),
    ((3 << 20) + 65_536, (3 << 20) + 65_600),
    (0, 1600),
];

/// An image as a change to one of the base images.
struct Case {
    name: String,
    cut: usize,
    edits: Vec<(usize, u8)>,
}

/// Numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: usize, high: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + usize::try_from(self.0 % (high - low).max(1) as u64).unwrap()
    }
}

fn cases(name: &str, length: usize, dice: &mut Dice) -> Vec<Case> {
    let case = |cut, edits| Case { name: name.to_owned(), cut, edits };
    let mut cases = vec![case(length, Vec::new())];
    let near_the_end = [1, 511, 512, 1024, 1535, 1536].map(|less| length.saturating_sub(less));
    cases.extend(LENGTHS.into_iter().chain(near_the_end).filter(|&cut| cut < length).map(|cut| case(cut, Vec::new())));
    cases.extend((0..5).map(|_| case(dice.roll(0, length), Vec::new())));
    for _ in 0..50 {
        let count = dice.roll(1, 4);
        let edits = (0..count)
            .map(|_| {
                let place = dice.roll(0, PLACES.len());
                let at = dice.roll(PLACES[place].0, PLACES[place].1);
                let at = if place == PLACES.len() - 1 { length.saturating_sub(at + 1) } else { at };
                let byte = [0, 1, 2, 4, 0x80, 0xee, 0xff, dice.roll(0, 256) as u8];
                (at, byte[dice.roll(0, byte.len())])
            })
            .collect();
        cases.push(case(length, edits));
    }
    cases
}

/// The same shape as the oracle's answer.
fn answer(inspection: &Inspection) -> Value {
    let describe = |found: &Found| {
        let size = match found.size {
            Size::Known(size) => size.to_string(),
            Size::StreamWithout(header) => inspection.actual_size().saturating_sub(header).to_string(),
            Size::Broken => "broken".to_owned(),
        };
        let failures: Vec<_> = found.failures.iter().map(ToString::to_string).collect();
        json!([found.format.name(), found.complete, size, failures])
    };
    let verdict = |claim: &str, (require, nonfatal): (bool, &[&str])| {
        let options = Options {
            require_image_format_match: require,
            gpt_safety_checks_nonfatal: nonfatal.iter().map(|&name| name.to_owned()).collect(),
        };
        match inspection.verdict(claim, &options) {
            Ok(verdict) => json!(verdict.virtual_size),
            Err(rejection) => json!(rejection.to_string()),
        }
    };
    json!({
        "formats": inspection.found().iter().map(describe).collect::<Vec<_>>(),
        "verdicts": OPTIONS.iter().flat_map(|&options| CLAIMS.map(|claim| verdict(claim, options))).collect::<Vec<_>>(),
    })
}

fn inspect(image: &[u8], piece: usize) -> Inspection {
    let mut inspector = Inspector::new();
    image.chunks(piece).for_each(|chunk| inspector.feed(chunk));
    inspector.finish()
}

fn python() -> String {
    std::env::var("GLANCE_TEST_OSLO_PYTHON").unwrap_or_else(|_| {
        panic!(
            "GLANCE_TEST_OSLO_PYTHON must name a python that has oslo.utils; for example: \
             python3 -m venv /tmp/oslo && /tmp/oslo/bin/pip install oslo.utils==10.2.0 cryptography && \
             export GLANCE_TEST_OSLO_PYTHON=/tmp/oslo/bin/python"
        )
    })
}

#[test]
fn judges_as_upstream_does() {
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inspect_upstream/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the python of GLANCE_TEST_OSLO_PYTHON starts");
    let mut questions = oracle.stdin.take().unwrap();
    let mut answers = BufReader::new(oracle.stdout.take().unwrap()).lines();
    let mut dice = Dice(0x5eed_5eed_5eed_5eed);
    let mut differences = Vec::new();
    let mut judged = 0;
    for path in images::make(directory.path()) {
        let base = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for case in cases(&name, base.len(), &mut dice) {
            let question =
                json!({"base": path, "cut": case.cut, "edits": case.edits, "claims": CLAIMS, "options": OPTIONS});
            writeln!(questions, "{question}").unwrap();
            let theirs: Value = serde_json::from_str(&answers.next().expect("the oracle answers").unwrap()).unwrap();
            let mut image = base[..case.cut].to_vec();
            for &(at, byte) in &case.edits {
                if let Some(place) = image.get_mut(at) {
                    *place = byte;
                }
            }
            let ours = answer(&inspect(&image, dice.roll(1000, 200_000)));
            judged += 1;
            if ours != theirs {
                differences.push(format!(
                    "{} cut {} edits {:?}\n  ours   {ours}\n  theirs {theirs}",
                    case.name, case.cut, case.edits
                ));
            }
        }
    }
    drop(questions);
    assert!(oracle.wait().unwrap().success());
    assert!(judged > 2000, "only {judged} images");
    assert!(
        differences.is_empty(),
        "{} of {judged} differ:\n{}",
        differences.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}
