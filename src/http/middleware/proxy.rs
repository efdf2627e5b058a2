//! What a reverse proxy says about the client (upstream: `oslo_middleware/http_proxy_to_wsgi.py`; RFC 7239).

use crate::http::exchange::Exchange;

/// Takes scheme, host, client address and prefix from `Forwarded`, or else from `X-Forwarded-*`. Of several proxies the first
/// counts, and quotes are removed, where upstream takes the text as it stands.
pub(in crate::http) fn apply(exchange: &mut Exchange) {
    let given = |name: &str| exchange.header(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let (proto, host, client) = match given("forwarded") {
        Some(forwarded) => {
            let element = forwarded.split(',').next().unwrap_or_default();
            (parameter(element, "proto"), parameter(element, "host"), parameter(element, "for"))
        }
        None => {
            let first = |name| given(name).map(|text| text.split(',').next().unwrap_or_default().trim().to_owned());
            (first("x-forwarded-proto"), first("x-forwarded-host"), first("x-forwarded-for"))
        }
    };
    let prefix = given("x-forwarded-prefix");
    for (target, value) in [(&mut exchange.scheme, proto), (&mut exchange.host, host), (&mut exchange.remote, client)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            *target = value;
        }
    }
    if let Some(prefix) = prefix {
        exchange.prefix.insert_str(0, &prefix);
    }
}

fn parameter(element: &str, wanted: &str) -> Option<String> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let matches = name.trim().eq_ignore_ascii_case(wanted);
        matches.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::tests::exchange;
    use crate::http::upstream;

    #[test]
    fn headers_are_taken_as_upstream_takes_them() {
        for case in upstream::cases(include_str!("../upstream/proxies.json")) {
            let mut headers: Vec<_> =
                case["headers"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
            if !headers.iter().any(|(name, _)| *name == "Host") {
                // What webob's own requests carry.
                headers.push(("Host", "localhost:80"));
            }
            let mut exchange = exchange("GET", "/", &headers);
            if case["enabled"] == true {
                apply(&mut exchange);
            }
            assert_eq!(exchange.application_url(), case["seen"]["application_url"], "{case}");
            assert_eq!(exchange.host_url(), case["seen"]["host_url"], "{case}");
            assert_eq!(exchange.remote, case["seen"]["remote"], "{case}");
        }
    }

    #[test]
    fn of_several_proxies_the_first_counts() {
        let headers = [("host", "h"), ("x-forwarded-host", "a.example, b"), ("x-forwarded-for", "192.0.2.1, 10.1.1.1")];
        let mut exchange = exchange("GET", "/", &headers);
        apply(&mut exchange);
        assert_eq!((exchange.host.as_str(), exchange.remote.as_str()), ("a.example", "192.0.2.1"));
    }

    #[test]
    fn quotes_are_not_part_of_a_value() {
        let mut exchange =
            exchange("GET", "/", &[("host", "h"), ("forwarded", "for=\"[2001:db8::1]\";host=\"a.example:1\"")]);
        apply(&mut exchange);
        assert_eq!((exchange.host.as_str(), exchange.remote.as_str()), ("a.example:1", "[2001:db8::1]"));
    }
}
