use super::*;
use crate::config::option::tier1;

fn info(rules: Rules) -> OptionInfo {
    OptionInfo::new::<String>("option", "An option.", rules, || None)
}

fn parse<T: OptionValue>(text: &str, rules: Rules) -> Result<Option<T>, Rejected> {
    T::parse(&[text.to_owned()], &info(rules))
}

#[test]
fn booleans_are_words_of_any_case() {
    for text in ["true", "1", "on", "yes", "YES", "On"] {
        assert_eq!(parse(text, tier1()), Ok(Some(true)), "{text}");
    }
    for text in ["false", "0", "off", "no", "No"] {
        assert_eq!(parse(text, tier1()), Ok(Some(false)), "{text}");
    }
    for text in ["", "2", "y", "t", "enabled", "true "] {
        assert!(parse::<bool>(text, tier1()).is_err(), "{text}");
    }
}

#[test]
fn integers_are_what_python_takes_for_one() {
    let cases = [("5", 5_i64), (" -7 ", -7), ("+3", 3), ("08", 8), ("1_000", 1000), ("-0", 0)];
    for (text, number) in cases {
        assert_eq!(parse(text, tier1()), Ok(Some(number)), "{text}");
    }
    for text in ["x", "1.0", "0x10", "1__0", "_1", "1_", "- 1", "1 2", "9223372036854775808"] {
        assert!(parse::<i64>(text, tier1()).is_err(), "{text}");
    }
    assert_eq!(parse::<i64>("", tier1()), Ok(None));
    assert_eq!(parse::<Option<i64>>(" ", tier1()), Ok(Some(None)));
}

#[test]
fn numbers_stay_in_their_range() {
    let rules = tier1().min(1.0).max(10.0);
    assert_eq!(parse("1", rules), Ok(Some(1_i64)));
    assert_eq!(parse("10", rules), Ok(Some(10_i64)));
    assert_eq!(parse::<i64>("0", rules), Err(Rejected("must be an integer from 1 to 10".to_owned())));
    assert_eq!(parse::<i64>("11", tier1().max(10.0)), Err(Rejected("must be an integer, 10 or less".to_owned())));
    assert_eq!(parse::<i64>("0", tier1().min(1.0)), Err(Rejected("must be an integer, 1 or greater".to_owned())));
    // The largest size that upstream allows is one more than we can count.
    let rules = tier1().min(1.0).max(9_223_372_036_854_775_808.0);
    assert_eq!(parse("9223372036854775808", rules), Ok(Some(i64::MAX)));
    let words = "must be an integer from 1 to 9223372036854775808";
    assert_eq!(parse::<i64>("9223372036854775809", rules), Err(Rejected(words.to_owned())));
}

#[test]
fn ports_are_numbers_up_to_65535() {
    assert_eq!(parse("0", tier1()), Ok(Some(0_u16)));
    assert_eq!(parse("65535", tier1()), Ok(Some(65535_u16)));
    assert_eq!(parse::<u16>("65536", tier1()), Err(Rejected("must be an integer from 0 to 65535".to_owned())));
}

#[test]
fn floats_are_finite() {
    for (text, number) in [("1", 1.0), (" 1.5 ", 1.5), ("1e3", 1000.0), (".5", 0.5), ("1_0.5", 10.5)] {
        assert_eq!(parse(text, tier1()), Ok(Some(number)), "{text}");
    }
    for text in ["x", "inf", "nan", "1e999", "1,5"] {
        assert!(parse::<f64>(text, tier1()).is_err(), "{text}");
    }
}

#[test]
fn lists_are_separated_by_commas() {
    let cases: [(&str, &[&str]); 6] = [
        ("", &[]),
        ("a", &["a"]),
        (" a, b ,c,", &["a", "b", "c"]),
        ("a,,b", &["a", "", "b"]),
        ("\"a,b\"", &["\"a", "b\""]),
        ("[a,b]", &["[a", "b]"]),
    ];
    for (text, items) in cases {
        assert_eq!(parse::<Vec<String>>(text, tier1()).unwrap().unwrap(), items, "{text}");
    }
}

#[test]
fn bounded_lists_stand_in_brackets_and_may_have_quotes() {
    let rules = tier1().bounded().quoted();
    let cases: [(&str, &[&str]); 5] = [
        ("[]", &[]),
        ("[a, 'b' ,\"c\"]", &["a", "b", "c"]),
        ("['a,b', c]", &["a,b", "c"]),
        (" [a],", &["a"]),
        ("[ ]", &[""]),
    ];
    for (text, items) in cases {
        assert_eq!(parse::<Vec<String>>(text, rules).unwrap().unwrap(), items, "{text}");
    }
    for text in ["a,b", "[a", "a]", "['a]", "['a, b]"] {
        assert!(parse::<Vec<String>>(text, rules).is_err(), "{text}");
    }
    let ports = tier1().bounded().integers().min(1.0).max(65535.0);
    assert_eq!(parse::<Vec<String>>("[80,, 0443]", ports).unwrap().unwrap(), ["80", "443"]);
    assert!(parse::<Vec<String>>("[0]", ports).is_err());
    assert!(parse::<Vec<String>>("[]", ports).unwrap().unwrap().is_empty());
}

#[test]
fn choices_are_the_only_texts() {
    let rules = tier1().choices(&["roles", "policies"]);
    assert_eq!(parse("roles", rules), Ok(Some("roles".to_owned())));
    assert_eq!(parse::<String>("Roles", rules), Err(Rejected("must be one of roles, policies".to_owned())));
    assert_eq!(parse("Roles", rules.ignore_case()), Ok(Some("Roles".to_owned())));
    assert!(parse::<Vec<String>>("roles,others", rules).is_err());
}

#[test]
fn pairs_keep_their_order() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let cases =
        [("", vec![]), (" b : x , a:y:z ", vec![pair("b", "x"), pair("a", "y:z")]), ("a:", vec![pair("a", "")])];
    for (text, pairs) in cases {
        assert_eq!(parse(text, tier1()), Ok(Some(pairs)), "{text}");
    }
    for text in ["a", "a:b,c", ":b", "a:1,a:2", "a:b,"] {
        assert!(parse::<Vec<(String, String)>>(text, tier1()).is_err(), "{text}");
    }
}

#[test]
fn hosts_are_addresses_or_names() {
    for text in ["127.0.0.1", "::", "fe80::1", "localhost", "a-b.example.org.", "1a.b2"] {
        assert!(parse::<String>(text, tier1().host()).is_ok(), "{text}");
    }
    for text in ["", "127.0.0.1.5", "127.0.0.256", "-a.b", "a..b", "a_b", "a b", "host:1"] {
        assert!(parse::<String>(text, tier1().host()).is_err(), "{text}");
        assert_eq!(parse::<String>(text, tier1().host_or_none()).is_ok(), text.is_empty(), "{text}");
    }
}

#[test]
fn uris_have_a_scheme_and_a_host() {
    assert!(parse::<String>("http://127.0.0.1:8200/x", tier1().uri()).is_ok());
    for text in ["", "localhost", "/path", "mailto:x"] {
        assert!(parse::<String>(text, tier1().uri()).is_err(), "{text}");
    }
}

#[test]
fn multi_valued_options_keep_all_values_and_others_the_last() {
    let texts = ["a,b".to_owned(), "c".to_owned()];
    assert_eq!(Vec::<String>::parse(&texts, &info(tier1().multi())).unwrap().unwrap(), ["a,b", "c"]);
    assert_eq!(Vec::<String>::parse(&texts, &info(tier1())).unwrap().unwrap(), ["c"]);
    assert_eq!(String::parse(&texts, &info(tier1())).unwrap().unwrap(), "c");
}

#[test]
fn empty_text_is_no_value_for_optional_texts() {
    assert_eq!(parse::<Option<String>>("", tier1().choices(&["1.2"])), Ok(Some(None)));
    assert_eq!(parse::<String>("", tier1()), Ok(Some(String::new())));
}
