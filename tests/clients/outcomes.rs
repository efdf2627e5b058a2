//! Runs the clients on both sides and compares what they do and print.

use serde_json::Value;

use crate::side::{Run, Side};

/// Runs a client on both sides; both must do the same and print the same. `<id>` stands for the side's image.
#[track_caller]
pub(crate) fn both(sides: &[Side; 2], ids: &[String; 2], expect_ok: bool, line: &[&str]) -> [Run; 2] {
    let one = |side: usize| {
        let line: Vec<String> = line.iter().map(|word| word.replace("<id>", &ids[side])).collect();
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        sides[side].run(words[0], &words[1..])
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| one(0));
        let ours = one(1);
        (theirs.join().unwrap(), ours)
    });
    assert_eq!(theirs.ok, expect_ok, "upstream, {line:?}: {theirs:?}");
    assert_eq!(ours.ok, expect_ok, "ours, {line:?}: {ours:?}");
    assert_eq!(printed(&ours, &sides[1]), printed(&theirs, &sides[0]), "{line:?} prints something else");
    if !expect_ok {
        assert_eq!(normal(&ours.errors, &sides[1]), normal(&theirs.errors, &sides[0]), "{line:?} complains otherwise");
    }
    [theirs, ours]
}

pub(crate) fn ids(runs: &[Run; 2]) -> [String; 2] {
    let id = |run: &Run| serde_json::from_str::<Value>(&run.printed).unwrap()["id"].as_str().unwrap().to_owned();
    [id(&runs[0]), id(&runs[1])]
}

/// Runs commands, a line each, with both clients on both sides.
pub(crate) fn same_outcomes(sides: &[Side; 2], commands: &str) {
    for client in ["glance", "openstack"] {
        let of_client = |line: &&str| line.trim_start_matches('!').starts_with(client);
        let lines: Vec<&str> = lines_of(commands).into_iter().filter(of_client).collect();
        same_outcomes_of(sides, &lines);
    }
}

/// Runs commands on both sides: all must do and print the same. Those that begin with `!` fail; of those that begin with `~` only the
/// success counts.
pub(crate) fn same_outcomes_of(sides: &[Side; 2], lines: &[&str]) {
    let words: Vec<Vec<String>> = lines.iter().map(|line| words(line)).collect();
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| sides[0].run_all(&words));
        let ours = sides[1].run_all(&words);
        (theirs.join().unwrap(), ours)
    });
    assert_eq!((theirs.len(), ours.len()), (lines.len(), lines.len()));
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        let expect_ok = !line.starts_with('!');
        assert_eq!((theirs.ok, ours.ok), (expect_ok, expect_ok), "{line}: {theirs:?} {ours:?}");
        if line.starts_with('~') {
            continue;
        }
        assert_eq!(printed(ours, &sides[1]), printed(theirs, &sides[0]), "{line} prints something else");
        assert_eq!(normal(&ours.errors, &sides[1]), normal(&theirs.errors, &sides[0]), "{line} complains otherwise");
    }
}

/// The lines of a text that are commands.
pub(crate) fn lines_of(commands: &str) -> Vec<&str> {
    commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The words of a command, with blanks where quotation marks begin a word.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut is_quoted) = (vec![String::new()], false);
    for letter in line.trim_start_matches(['!', '~']).chars() {
        let word = words.last_mut().unwrap();
        match letter {
            '"' if is_quoted || word.is_empty() => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            other => word.push(other),
        }
    }
    words
}

/// The text with what differs from run to run replaced.
fn normal(text: &str, side: &Side) -> String {
    let work = side.work.to_str().unwrap();
    let text =
        text.replace(&side.url, "<url>").replace(work, "<work>").replace(work.trim_end_matches("-work"), "<own>");
    let bytes = text.as_bytes();
    let (mut result, mut at) = (String::new(), 0);
    while at < text.len() {
        let matches = |pattern: &str| {
            bytes.get(at..at + pattern.len()).is_some_and(|found| {
                found.iter().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                    b'x' => byte.is_ascii_hexdigit(),
                    b'd' => byte.is_ascii_digit(),
                    other => *byte == other,
                })
            })
        };
        if matches("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
            result += "<uuid>";
            at += 36;
        } else if matches("dddd-dd-ddTdd:dd:ddZ") {
            result += "<time>";
            at += 20;
        } else if matches("dddd-dd-ddTdd:dd:dd.dddddd") {
            result += "<time>";
            at += 26;
        } else if matches("dddd-dd-ddTdd:dd:dd") {
            result += "<time>";
            at += 19;
        } else {
            let letter = text[at..].chars().next().unwrap();
            result.push(letter);
            at += letter.len_utf8();
        }
    }
    result
}

/// A JSON document with sorted tags, or else the text itself.
pub(crate) fn printed(run: &Run, side: &Side) -> Value {
    let text = normal(&run.printed, side);
    let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    sort_tags(&mut value);
    value
}

fn sort_tags(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let (true, Value::Array(tags)) = (name.eq_ignore_ascii_case("tags"), &mut *field) {
                    tags.sort_by_key(Value::to_string);
                }
                sort_tags(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort_tags),
        _ => {}
    }
}
