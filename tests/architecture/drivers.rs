//! Who knows the drivers of stores: `src/store/` alone.

use glance_api::store;

use super::{Source, code, sources, words};

/// Texts that are the name of a driver, or of a scheme of its locations, but mean something else in these files.
const OTHER_MEANINGS: [(&[&str], &[&str], &str); 4] = [
    (
        &["file"],
        &[
            "api/v2/images/view.rs",
            "image/create.rs",
            "image/patch/mod.rs",
            "image/schema/base.rs",
            "image/schema/mod.rs",
            "task/legacy/input.rs",
        ],
        "the member of an image that says where its data is downloaded",
    ),
    (
        &["http", "https"],
        &[
            "http/exchange.rs",
            "http/paste.rs",
            "keystone/outgoing/options.rs",
            "policy/language.rs",
            "service/listener/address.rs",
        ],
        "the protocol, which this service speaks itself",
    ),
    (&["http", "https"], &["config/sections/import_filtering_opts.rs"], "what may be imported from the web by default"),
    (&["file", "http"], &["config/sections/glance_store.rs"], "upstream's defaults of `stores` and `default_store`"),
];

#[test]
fn drivers_are_known_to_their_own_room_alone() {
    let kinds = store::kinds();
    let options: Vec<&str> = kinds.iter().flat_map(|kind| kind.option_names()).collect();
    let names: Vec<&str> = kinds
        .iter()
        .flat_map(|kind| [kind.name, kind.old_name].into_iter().chain(kind.schemes.iter().copied()))
        .collect();
    let (mut wrong, mut excused) = (Vec::new(), Vec::new());
    let sources = sources();
    for source in sources.iter().filter(|source| source.room() != "store" && !is_test(source)) {
        for (number, line) in code(without_tests(&source.text)) {
            let known_options = words(line).filter(|word| options.contains(word));
            let known_names = names.iter().copied().filter(|name| line.contains(&format!("\"{name}\"")));
            let (other, known): (Vec<&str>, Vec<&str>) =
                known_options.chain(known_names).partition(|word| has_other_meaning(&source.path, word));
            excused.extend(other.into_iter().map(|word| (source.path.clone(), word)));
            wrong.extend(known.into_iter().map(|word| format!("src/{}:{number}: {word}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "let the table of drivers say it (src/store/drivers.rs): {wrong:#?}");
    for (words, files, reason) in OTHER_MEANINGS {
        for file in files {
            let is_needed = excused.iter().any(|(path, word)| path == file && words.contains(word));
            assert!(is_needed, "src/{file} has no {words:?} any more: {reason}");
        }
    }
}

#[test]
fn the_check_of_drivers_sees_what_it_looks_for() {
    let text = "let a = 1;\n#[cfg(test)]\nmod tests {\n    let b = 2;\n}\n";
    assert_eq!(without_tests(text), "let a = 1;\n");
    assert!(has_other_meaning("image/create.rs", "file") && !has_other_meaning("image/create.rs", "http"));
    let kinds = store::kinds();
    let names = |name: &str| kinds.iter().find(|kind| kind.name == name).unwrap().option_names().collect::<Vec<_>>();
    assert!(names("file").contains(&"filesystem_store_datadir") && names("s3").contains(&"s3_store_bucket"));
}

fn has_other_meaning(path: &str, word: &str) -> bool {
    OTHER_MEANINGS.iter().any(|(words, files, _)| words.contains(&word) && files.contains(&path))
}

fn is_test(source: &Source) -> bool {
    source.path.ends_with("tests.rs") || source.path.contains("/tests/")
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}
