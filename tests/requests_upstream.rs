//! Requests are understood, and refused, as Glance does it: patches, documents of new images and queries of lists, made at random.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test may end in a panic")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use glance_api::api::query::{Filter, ListQuery, PageLimits, QueryError, VisibilityFilter};
use glance_api::config::Config;
use glance_api::image::listing::{Comparison, Condition, Direction};
use glance_api::image::patch::{self, MediaType, PatchError};
use glance_api::image::schema::ImageSchema;
use serde_json::{Map, Value, json};

const CASES: usize = 700;

/// Numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Oracle {
    fn start() -> Self {
        let python = std::env::var("GLANCE_TEST_GLANCE_PYTHON").unwrap_or_else(|_| {
            panic!(
                "GLANCE_TEST_GLANCE_PYTHON must name a python that has glance; for example: \
                 python3 -m venv /tmp/glance && /tmp/glance/bin/pip install glance==33.0.0 && \
                 export GLANCE_TEST_GLANCE_PYTHON=/tmp/glance/bin/python"
            )
        });
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests_upstream/oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the python of GLANCE_TEST_GLANCE_PYTHON starts");
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, questions, answers }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        serde_json::from_str(&self.answers.next().expect("the oracle answers").unwrap()).unwrap()
    }

    /// Asks everything and holds the answers together; upstream's own failures do not count.
    fn compare(mut self, cases: impl Iterator<Item = Value>, ours: impl Fn(&Value) -> Value) {
        let (mut differences, mut compared, mut refused) = (Vec::new(), 0, 0);
        for case in cases {
            let theirs = self.ask(&case);
            if theirs.get("failure").is_some() {
                continue;
            }
            let ours = ours(&case);
            compared += 1;
            refused += usize::from(theirs.get("error").is_some());
            if !is_same(&ours, &theirs) {
                differences.push(format!("{case}\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
        drop(self.questions);
        assert!(self.child.wait().unwrap().success());
        assert!(
            compared > CASES / 2 && refused > CASES / 20 && refused < compared,
            "{compared} compared, {refused} refused"
        );
        assert!(
            differences.is_empty(),
            "{} of {compared} differ:\n{}",
            differences.len(),
            differences[..differences.len().min(8)].join("\n")
        );
    }
}

/// The same, or upstream's text with quotations cut off after 4,096 characters.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    let text = |answer: &Value| answer["error"][1].as_str().map(str::to_owned);
    match (text(ours), text(theirs)) {
        (Some(short), Some(long)) if short.contains("...") && ours["error"][0] == theirs["error"][0] => {
            let mut rest = long.as_str();
            short.len() > 4096
                && short.split("...").all(|part| {
                    let found = rest.find(part);
                    rest = found.and_then(|at| rest.get(at + part.len()..)).unwrap_or_default();
                    found.is_some()
                })
        }
        _ => ours == theirs,
    }
}

fn text(dice: &mut Dice) -> String {
    let pieces = [
        "",
        "a",
        "word ",
        "it's ",
        "\"q\" ",
        "\\",
        "\n",
        "é",
        "☃ ",
        "\t",
        "\u{200b}",
        "\u{a0}",
        "longer-word, ",
        "😀",
        "/",
        "0123456789",
    ];
    let count = [1, 2, 5, 30][dice.below(4)];
    (0..count).map(|_| dice.pick(&pieces)).collect()
}

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth > 3 { 7 } else { 10 }) {
        0 => Value::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!(dice.below(5000)),
        3 => json!([1.0, 1.5, -0.25, 1e20, 1e-7][dice.below(5)]),
        4..=6 => json!(text(dice)),
        7 => (0..dice.below(5)).map(|_| value(dice, depth + 1)).collect(),
        8 => Value::Object((0..dice.below(5)).map(|_| (text(dice), value(dice, depth + 1))).collect()),
        _ => location(dice),
    }
}

fn location(dice: &mut Dice) -> Value {
    let mut members = Map::new();
    for name in ["url", "metadata", "validation_data", "more"] {
        let member = match (name, dice.below(4)) {
            (_, 0) => continue,
            ("url", 1..=2) => json!(text(dice)),
            ("metadata", 1..=2) => json!({"store": text(dice)}),
            ("validation_data", 1..=2) => {
                let names = ["checksum", "os_hash_algo", "os_hash_value", "x", "y"];
                (0..dice.below(6))
                    .map(|_| (dice.pick(&names).to_owned(), json!(text(dice))))
                    .collect::<Map<_, _>>()
                    .into()
            }
            _ => value(dice, 2),
        };
        members.insert(name.to_owned(), member);
    }
    Value::Object(members)
}

const FIELDS: [&str; 22] = [
    "name",
    "visibility",
    "protected",
    "os_hidden",
    "owner",
    "container_format",
    "disk_format",
    "tags",
    "min_ram",
    "min_disk",
    "locations",
    "os_distro",
    "hw_thing",
    "é",
    "id",
    "status",
    "size",
    "checksum",
    "schema",
    "location",
    "os_glance_x",
    "deleted",
];

#[test]
fn patches_are_read_as_upstream_reads_them() {
    let mut dice = Dice(0x0ddba11);
    let media_types = ["application/openstack-images-v2.0-json-patch", "application/openstack-images-v2.1-json-patch"];
    let cases = std::iter::repeat_with(move || {
        let media_type = dice.pick(&media_types);
        let path = match dice.below(6) {
            0 => format!("{}{}", dice.pick(&["/", "//", "", "/ ", "/~0", "/~"]), text(&mut dice)),
            1 => format!("/{}/{}", dice.pick(&FIELDS), dice.pick(&["-", "0", "", "x", " ", "~1"])),
            2 => format!("/locations/{}", dice.pick(&["-", "0", "1"])),
            _ => format!(
                "{}{}{}",
                dice.pick(&["/", "/", "/", "//", "/ "]),
                dice.pick(&FIELDS),
                dice.pick(&["", "", "", " ", "/"])
            ),
        };
        let op = dice.pick(&["add", "replace", "remove", "add", "replace", "test", "", "move"]);
        let mut change = Map::new();
        if media_type.contains("2.0") {
            change.insert(op.to_owned(), json!(path));
        } else {
            change.insert("op".to_owned(), if dice.below(20) == 0 { value(&mut dice, 2) } else { json!(op) });
            change.insert("path".to_owned(), json!(path));
        }
        if dice.below(10) > 0 {
            change.insert(
                "value".to_owned(),
                if path.contains("locations/") { location(&mut dice) } else { value(&mut dice, 0) },
            );
        }
        if dice.below(20) == 0 {
            change.insert(dice.pick(&["add", "remove", "op"]).to_owned(), json!("/x"));
        }
        let change = if dice.below(50) == 0 { value(&mut dice, 0) } else { Value::Object(change) };
        json!({"kind": "patch", "media_type": media_type, "body": [change]})
    });
    let schema = ImageSchema::new(&Config::default());
    Oracle::start().compare(cases.take(CASES * 2), |case| {
        let media_type = MediaType::named(case["media_type"].as_str().unwrap()).unwrap();
        let parsed = patch::parse(media_type, case["body"].clone(), &schema);
        match parsed.and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(changes) => changes.iter().map(|change| json!([change.op.name(), change.path, change.value])).collect(),
            Err(PatchError::Invalid(text)) => json!({"error": [400, text]}),
            Err(PatchError::Forbidden(text)) => json!({"error": [403, text]}),
        }
    });
}

#[test]
fn documents_are_checked_as_upstream_checks_them() {
    let mut dice = Dice(0xd0c5);
    let cases = std::iter::repeat_with(move || {
        let mut document = Map::new();
        for _ in 0..dice.below(4) {
            let name = dice.pick(&FIELDS[..18]);
            let value = match (name, dice.below(3)) {
                ("locations", 1..) => json!([location(&mut dice)]),
                ("tags", 1..) => json!([text(&mut dice), value(&mut dice, 2)]),
                ("schema", _) => continue,
                (_, 1) => json!(text(&mut dice)),
                _ => value(&mut dice, 0),
            };
            document.insert(name.to_owned(), value);
        }
        json!({"kind": "create", "body": document})
    });
    let schema = ImageSchema::new(&Config::default());
    Oracle::start().compare(cases.take(CASES), |case| match schema.validate(&case["body"]) {
        Ok(()) => json!("valid"),
        Err(mismatch) => json!({"error": [400, mismatch.to_string()]}),
    });
}

#[test]
fn lists_are_asked_for_as_upstream_reads_it() {
    let mut dice = Dice(0x1157);
    let names = [
        "limit",
        "marker",
        "member_status",
        "tag",
        "tags",
        "visibility",
        "sort",
        "sort_key",
        "sort_dir",
        "os_hidden",
        "protected",
        "name",
        "id",
        "status",
        "disk_format",
        "container_format",
        "created_at",
        "updated_at",
        "size",
        "size_min",
        "size_max",
        "min_ram_min",
        "virtual_size_max",
        "owner",
        "checksum",
        "os_hash_value",
        "min_disk",
        "os_distro",
        "deleted",
        "changes-since",
    ];
    let values = [
        "",
        "1",
        "0",
        "-1",
        "%2B7",
        "1_000",
        "x",
        "true",
        "false",
        "TRUE",
        "all",
        "accepted",
        "public",
        "shared",
        "name",
        "size:asc",
        "name:desc,id",
        "asc",
        "desc",
        "in:a,b",
        "in:%22a,b%22,c",
        "in:%22a",
        "in:a%22b%22",
        "in:\"x\\\"y\",z",
        "in:,,",
        "eq:a",
        "gt:b",
        "lt:2020-01-02",
        "gte:2020",
        "2020-01-02T03:04:05Z",
        "neq:2020-01-02T03:04:05.25-03:00",
        "20200102T0304.5",
        "2020-123",
        "lte:202001",
        "a+b",
        "%20a%20",
        "%C3%A9",
        "%FF",
        "9223372036854775807",
        "1e3",
        "eq:2020-02-30",
        "x:2020",
        "name,size:up",
    ];
    let cases = std::iter::repeat_with(move || {
        let pairs = (0..=dice.below(3)).map(|_| format!("{}={}", dice.pick(&names), dice.pick(&values)));
        let query = pairs.collect::<Vec<_>>().join(["&", ";"][usize::from(dice.below(20) == 0)]);
        json!({"kind": "list", "query": query})
    });
    // No limit is capped, and a default shows as none.
    let limits = PageLimits { default: u64::MAX, most: u64::MAX };
    Oracle::start().compare(cases.take(CASES * 2), |case| match understand(case["query"].as_str().unwrap(), limits) {
        Ok(understood) => understood,
        Err(error) => json!({"error": [400, error.to_string()]}),
    });
}

/// The same shape as the oracle's.
fn understand(query: &str, limits: PageLimits) -> Result<Value, QueryError> {
    let list = ListQuery::parse(query, limits)?;
    let mut filters: Vec<Value> = list.filters()?.iter().map(describe).collect();
    filters.sort_by_key(Value::to_string);
    let name = |direction: &Direction| if *direction == Direction::Ascending { "asc" } else { "desc" };
    let keys: Vec<_> = list.sort_keys.iter().map(|column| column.name()).collect();
    let directions: Vec<_> = list.sort_directions.iter().map(name).collect();
    Ok(json!({
        "limit": Some(list.limit).filter(|&limit| limit < u64::MAX),
        "marker": list.marker,
        "member_status": list.member_status.as_deref().unwrap_or("all"),
        "visibility": match &list.visibility {
            VisibilityFilter::Default => None,
            VisibilityFilter::All => Some("all"),
            VisibilityFilter::Only(name) => Some(name.as_str()),
        },
        "hidden": list.is_hidden,
        "protected": list.is_protected,
        "tags": list.tags,
        "sort": [json!(keys), json!(directions)],
        "filters": filters,
    }))
}

fn describe(filter: &Filter) -> Value {
    let condition = match filter {
        Filter::Column(condition) => condition,
        Filter::Property { name, value } => return json!(["property", name, value]),
    };
    match condition {
        Condition::Equal(column, value) => json!([column.name(), "eq", value]),
        Condition::Is(column, flag) => json!([column.name(), "is", flag]),
        Condition::In(column, values) => json!([column.name(), "in", values]),
        Condition::AtLeast(column, value) => json!([column.name(), "ge", value]),
        Condition::AtMost(column, value) => json!([column.name(), "le", value]),
        Condition::Time(column, comparison, time) => {
            let operator = match comparison {
                Comparison::Equal => "eq",
                Comparison::NotEqual => "ne",
                Comparison::Greater => "gt",
                Comparison::GreaterOrEqual => "ge",
                Comparison::Less => "lt",
                Comparison::LessOrEqual => "le",
            };
            let micros = time.microsecond();
            let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
            let (date, clock) = (time.date(), time.time());
            let clock = format!("{:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second());
            json!([column.name(), operator, format!("{date}T{clock}{fraction}")])
        }
    }
}
