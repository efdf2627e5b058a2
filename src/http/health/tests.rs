use super::*;
use crate::http::exchange::tests::exchange;
use crate::http::upstream;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Without the packaged defaults, as upstream's class has it by itself.
fn bare() -> HealthcheckSection {
    HealthcheckSection { backends: Vec::new(), disable_by_file_path: String::new(), ..HealthcheckSection::default() }
}

/// A database, and what it says.
pub(in crate::http) struct Database(pub(in crate::http) Result<(), &'static str>);

impl Reachable for Database {
    fn reach(&self) -> BoxFuture<'_, Result<(), String>> {
        async { self.0.map_err(str::to_owned) }.boxed()
    }
}

const ANSWERS: Database = Database(Ok(()));

#[tokio::test]
async fn the_answers_are_those_of_upstream() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("there"), "").unwrap();
    for case in upstream::cases(include_str!("../upstream/health.json")) {
        let local = case["options"].as_object().unwrap().iter().map(|(name, value)| {
            let value = value.as_str().unwrap().replace("FOLDER", folder.path().to_str().unwrap());
            (name.clone(), value)
        });
        let check = HealthCheck::new(&bare(), &local.collect()).unwrap();
        let headers: Vec<_> = case["accept"].as_str().map(|value| ("accept", value)).into_iter().collect();
        let exchange = exchange(case["method"].as_str().unwrap(), "/healthcheck", &headers);
        let response = check.answer(&exchange, &ANSWERS).await.unwrap();
        upstream::assert_same(exchange.complete(response), &case);
    }
}

#[tokio::test]
async fn details_are_told_where_that_is_allowed() {
    let local =
        options(&[("detailed", "True"), ("backends", "disable_by_file"), ("disable_by_file_path", "/no/<file>")]);
    let check = HealthCheck::new(&bare(), &local).unwrap();
    let text = async |accept| {
        let response = check.answer(&exchange("GET", "/healthcheck", &[("accept", accept)]), &ANSWERS).await.unwrap();
        let Body::Bytes(text) = response.into_body() else { panic!("no body") };
        String::from_utf8(text.to_vec()).unwrap()
    };
    let document: serde_json::Value = serde_json::from_str(&text("application/json").await).unwrap();
    let reason =
        serde_json::json!({"class": "HealthcheckResult", "details": "Path '/no/<file>' was not found", "reason": "OK"});
    assert_eq!(document["reasons"], serde_json::json!([reason]));
    assert_eq!(document["detailed"], true);
    assert!(text("text/html").await.contains("<TD>Path &#x27;/no/&lt;file&gt;&#x27; was not found</TD>"));
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_told() {
    let check = HealthCheck::new(&bare(), &options(&[("backends", "disable_by_file,database")])).unwrap();
    let exchange = exchange("GET", "/healthcheck", &[]);
    let told = async |response: Response| {
        let status = response.status().as_u16();
        let Body::Bytes(text) = response.into_body() else { panic!("no body") };
        (status, String::from_utf8(text.to_vec()).unwrap())
    };
    assert_eq!(told(check.answer(&exchange, &ANSWERS).await.unwrap()).await, (200, "OK\nOK".to_owned()));
    let away = Database(Err("It is away."));
    let expected = (503, "OK\nDATABASE DOES NOT ANSWER".to_owned());
    assert_eq!(told(check.answer(&exchange, &away).await.unwrap()).await, expected);
}

#[tokio::test]
async fn only_those_who_may_ask_get_an_answer() {
    for (name, value, headers, allowed) in [
        ("allowed_source_ranges", "10.0.0.0/8", &[][..], true),
        ("allowed_source_ranges", "192.0.2.0/24, 10.0.0.1", &[], true),
        ("allowed_source_ranges", "192.0.2.0/24,::/0", &[], false),
        ("allowed_source_ranges", "0.0.0.0/0", &[], true),
        ("allowed_source_ranges", "10.0.0.1/32", &[("x-forwarded-for", "1.1.1.1")], true),
        ("ignore_proxied_requests", "true", &[], true),
        ("ignore_proxied_requests", "true", &[("x-forwarded-for", "1.1.1.1")], false),
        ("ignore_proxied_requests", "false", &[("x-forwarded-for", "1.1.1.1")], true),
    ] {
        let check = HealthCheck::new(&bare(), &options(&[(name, value)])).unwrap();
        let answer = check.answer(&exchange("GET", "/healthcheck", headers), &ANSWERS).await;
        assert_eq!(
            answer.map(|_| ()).map_err(|error| error.status.as_u16()),
            if allowed { Ok(()) } else { Err(403) },
            "{value}"
        );
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for pairs in [
        &[("backends", "disable_by_file,enable_by_files")][..],
        &[("allowed_source_ranges", "10.0.0.1/8")],
        &[("allowed_source_ranges", "10.0.0.0/33")],
        &[("allowed_source_ranges", "here")],
        &[("detailed", "maybe")],
        &[("backends", "disable_by_files_ports"), ("disable_by_file_paths", "x:/a")],
    ] {
        assert!(HealthCheck::new(&bare(), &options(pairs)).is_err(), "{pairs:?}");
    }
}
