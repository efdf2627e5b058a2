use time::macros::datetime;

use super::*;
use crate::image::listing::{Comparison, Condition};

const LIMITS: PageLimits = PageLimits { default: 25, most: 1000 };

fn parse(query: &str) -> ListQuery {
    ListQuery::parse(query, LIMITS).unwrap()
}

/// What is said to a query, early or late.
fn refusal(query: &str) -> String {
    let said = ListQuery::parse(query, LIMITS).and_then(|query| query.filters());
    said.map_or_else(|error| error.to_string(), |_| "nothing".to_owned())
}

fn property(name: &str, value: &str) -> Filter {
    Filter::Property { name: name.to_owned(), value: value.to_owned() }
}

fn equal(column: Column, value: &str) -> Filter {
    Filter::Column(Condition::Equal(column, value.to_owned()))
}

#[test]
fn the_defaults_are_upstreams() {
    let query = parse("");
    assert_eq!((query.limit, &query.marker, query.member_status.as_deref()), (25, &None, Some("accepted")));
    assert_eq!(
        (query.visibility.clone(), query.is_hidden, query.is_protected),
        (VisibilityFilter::Default, false, None)
    );
    assert_eq!(
        (query.sort_keys.as_slice(), query.sort_directions.as_slice()),
        (&[Column::CreatedAt][..], &[Direction::Descending][..])
    );
    assert_eq!(query.filters(), Ok(Vec::new()));
}

#[test]
fn limits_are_read_as_python_reads_integers() {
    for (text, limit) in
        [("0", 0), ("%2B3", 3), ("+4", 4), ("1_0", 10), ("5000", 1000), ("99999999999999999999", 1000), ("-0", 0)]
    {
        assert_eq!(parse(&format!("limit={text}")).limit, limit, "{text}");
    }
    for text in ["", "x", "1.0", "_1", "1__0", "1e3"] {
        assert_eq!(refusal(&format!("limit={text}")), "limit param must be an integer", "{text}");
    }
    assert_eq!(refusal("limit=-1"), "limit param must be positive");
    let query = parse("limit=1&limit=2");
    assert_eq!((query.limit, query.filters()), (1, Ok(vec![property("limit", "2")])));
}

/// Texts as a running upstream gave them.
#[test]
fn refuses_in_upstreams_words() {
    let keys = "It must be one of the following: name, status, container_format, disk_format, size, id, created_at, updated_at.";
    let decoding = "Error decoding your request. Either the URL or the request body contained characters that could not be \
                    decoded by Glance";
    let bad_key = |key: &str| format!("Invalid sort key: {key}. {keys}");
    let flag = |value: &str, name: &str| {
        format!("Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'.")
    };
    let numbers = "Unable to filter on a range with a non-numeric value.";
    let table = [
        ("name=%FF", decoding.to_owned()),
        ("%FF=1", decoding.to_owned()),
        ("visibility=x", "Invalid visibility value: x".to_owned()),
        ("visibility=public&visibility=x", "Invalid visibility value: x".to_owned()),
        ("changes-since=3", "The \"changes-since\" filter is no longer available on v2.".to_owned()),
        ("member_status=x", "Invalid status: x".to_owned()),
        ("os_hidden=X", flag("x", "os_hidden")),
        ("protected=TRUE", flag("TRUE", "protected")),
        ("protected=", flag("", "protected")),
        ("sort=foo", bad_key("foo")),
        ("sort=", bad_key("")),
        ("sort_key=", bad_key("")),
        ("sort=name:asc,", bad_key("")),
        ("sort=name:up", "Invalid sort direction: up".to_owned()),
        ("sort=name:%20,id", "Invalid sort direction: ".to_owned()),
        ("sort_dir=", "Invalid sort direction: ".to_owned()),
        ("sort=name&sort_key=id", "Old and new sorting syntax cannot be combined".to_owned()),
        ("sort_dir=asc&sort_dir=desc", "Number of sort dirs does not match the number of sort keys".to_owned()),
        ("size_min=x", numbers.to_owned()),
        ("foo_max=1e3", numbers.to_owned()),
        ("hw_cpu_max=4", "Unable to filter on a range of 'hw_cpu'.".to_owned()),
        ("locations=x", "Unable to filter by 'locations'.".to_owned()),
        ("name=gt:3", "Unable to filter by unknown operator 'gt'.".to_owned()),
        ("name=:", "Unable to filter by unknown operator ''.".to_owned()),
        ("created_at=", "Bad \"created_at\" query filter format. Use ISO 8601 DateTime notation.".to_owned()),
        ("updated_at=gt:x", "Bad \"updated_at\" query filter format. Use ISO 8601 DateTime notation.".to_owned()),
        ("created_at=in:2020-01-01", "Unable to filter on a unknown operator.".to_owned()),
        ("name=in:\"a", "Invalid filter value \"a. The quote is not closed.".to_owned()),
        ("name=in:\"a\"b", "Invalid filter value \"a\"b. There is no comma after closing quotation mark.".to_owned()),
        ("name=in:b\"a\"", "Invalid filter value b\"a\". There is no comma before opening quotation mark.".to_owned()),
        ("sort=foo&limit=x", "limit param must be an integer".to_owned()),
        ("size_min=x&protected=x", flag("x", "protected")),
    ];
    for (query, text) in table {
        assert_eq!(refusal(query), text, "{query}");
    }
}

#[test]
fn sorts_in_both_syntaxes() {
    use Column::{CreatedAt, Id, Name, Size, Status};
    use Direction::{Ascending, Descending};
    let table: [(&str, &[Column], &[Direction]); 6] = [
        ("sort=name:asc,size", &[Name, Size], &[Ascending, Descending]),
        ("sort= id : asc ", &[Id], &[Ascending]),
        ("sort_key=name&sort_key=id&sort_dir=asc", &[Name, Id], &[Ascending]),
        ("sort_dir=asc&sort_key=name&sort_dir=desc&sort_key=id", &[Name, Id], &[Ascending, Descending]),
        ("sort_dir=asc", &[CreatedAt], &[Ascending]),
        ("sort_key=status", &[Status], &[Descending]),
    ];
    for (text, keys, directions) in table {
        let query = parse(text);
        assert_eq!((query.sort_keys.as_slice(), query.sort_directions.as_slice()), (keys, directions), "{text}");
    }
    assert_eq!(parse("sort=name&sort=id").filters(), Ok(vec![property("sort", "id")]));
}

#[test]
fn reads_every_kind_of_filter() {
    let list = |column, values: &[&str]| {
        Filter::Column(Condition::In(column, values.iter().map(|&value| value.to_owned()).collect()))
    };
    let time = |column, comparison, time| Filter::Column(Condition::Time(column, comparison, time));
    let table = [
        ("name=in:a,b", list(Column::Name, &["a", "b"])),
        ("id=in:", list(Column::Id, &[])),
        ("name=in:%22a,b%22,c", list(Column::Name, &["a,b", "c"])),
        (r#"name=in:"a\"b",,c,"#, list(Column::Name, &[r#"a\"b"#, "", "c"])),
        ("name=eq:foo", equal(Column::Name, "foo")),
        ("name=in", equal(Column::Name, "in")),
        ("status=2020-01-01T00:00", equal(Column::Status, "2020-01-01T00:00")),
        ("owner=gt:x", equal(Column::Owner, "gt:x")),
        ("min_disk=5", equal(Column::MinDisk, "5")),
        ("deleted_at=2020-01-01", equal(Column::DeletedAt, "2020-01-01")),
        ("size=abc", equal(Column::Size, "abc")),
        ("size_min=+5", Filter::Column(Condition::AtLeast(Column::Size, 5))),
        ("min_ram_max=-99999999999999999999", Filter::Column(Condition::AtMost(Column::MinRam, i64::MIN))),
        ("created_at=gt:2020", time(Column::CreatedAt, Comparison::Greater, datetime!(2020-01-01 0:00))),
        ("updated_at=2020-01-01T01:00%2B01:00", time(Column::UpdatedAt, Comparison::Equal, datetime!(2020-01-01 0:00))),
        ("os_distro=f%20g+h", property("os_distro", "f g h")),
        ("a=1;", property("a", "1")),
        ("metadata=1", property("metadata", "1")),
        ("x=1&x=2", property("x", "2")),
    ];
    for (query, filter) in table {
        assert_eq!(parse(query).filters(), Ok(vec![filter]), "{query}");
    }
    assert_eq!(
        parse("checksum=a&checksum=b").filters(),
        Ok(vec![equal(Column::Checksum, "a"), equal(Column::Checksum, "b")])
    );
}

#[test]
fn what_is_not_a_filter_is_none() {
    let query =
        parse("tag=a&tag=+b+&os_hidden=TRUE&protected=false&visibility=all&deleted=true&marker=&member_status=all");
    assert_eq!(query.tags, ["a", "b"]);
    assert_eq!(
        (query.is_hidden, query.is_protected, query.visibility.clone()),
        (true, Some(false), VisibilityFilter::All)
    );
    assert_eq!((query.marker.as_deref(), query.member_status.as_deref()), (Some(""), None));
    assert_eq!(query.filters(), Ok(Vec::new()));
    assert_eq!(parse("tags=ab").tags, ["a", "b"]);
    assert_eq!(parse("visibility=").visibility, VisibilityFilter::Only(String::new()));
    let twice = parse("visibility=public&visibility=shared");
    assert_eq!(
        (twice.visibility.clone(), twice.filters()),
        (VisibilityFilter::Only("public".to_owned()), Ok(vec![equal(Column::Visibility, "shared")]))
    );
}

/// As a running upstream linked, but with all values of a name.
#[test]
fn links_repeat_the_query() {
    for (query, first) in [
        ("", "/v2/images"),
        ("marker=x", "/v2/images"),
        ("limit=1&name=in:a,b&limit=2", "/v2/images?limit=1&name=in%3Aa%2Cb&limit=2"),
        ("a", "/v2/images?a="),
        ("a=1;b=2&&", "/v2/images?a=1&b=2"),
        ("tag=%20a%20&tag=b+c", "/v2/images?tag=+a+&tag=b+c"),
        ("name=%F0%9F%98%80~-._*", "/v2/images?name=%F0%9F%98%80~-._%2A"),
    ] {
        assert_eq!(link("/v2/images", query, None), first);
    }
    assert_eq!(link("/v2/images", "marker=x&limit=1", Some("y")), "/v2/images?limit=1&marker=y");
}

#[test]
fn preferred_stores_are_a_list() {
    assert_eq!(preferred_stores("prefer=a,%20b,,&x=y").unwrap(), ["a", "b"]);
    assert!(preferred_stores("x=y").unwrap().is_empty());
}
