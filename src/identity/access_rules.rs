//! What a restricted application credential may be used for (upstream: `validate_allowed_request` in keystonemiddleware).

use http::Method;

use crate::keystone::{AccessRule, Token, catalog};

/// Whether the token may be used for a request to a service of type `service_type`. `from_service`: a service passes the
/// request on, so it need not be one that the user may make by themselves.
pub(super) fn allow(
    token: &Token,
    service_type: Option<&str>,
    from_service: bool,
    method: &Method,
    path: &str,
) -> bool {
    let Some(rules) = token.access_rules() else { return true };
    let Some(service_type) = service_type.filter(|text| !text.is_empty()) else {
        tracing::warn!(
            "a token with access rules came: set service_type in [keystone_authtoken] to let them be checked"
        );
        return false;
    };
    if !token.catalog.as_deref().is_some_and(|catalog| catalog::has_service(catalog, service_type)) {
        tracing::warn!(service_type, "a token with access rules came: service_type is not in the service catalog");
        return false;
    }
    let fits = |rule: &AccessRule| rule.method == method.as_str() && rule.service == service_type;
    from_service || rules.iter().any(|rule| fits(rule) && matches(path, &rule.path))
}

/// One element of a pattern.
enum Glob {
    /// `*` or `{name}`: one or more characters within a segment.
    Segment,
    /// `**`: anything.
    Anything,
    Literal(char),
}

/// Whether the path fits the pattern, in time of the product of their lengths: users write patterns.
fn matches(path: &str, pattern: &str) -> bool {
    let globs = parse(pattern);
    // reached[n]: the characters so far fit the first n globs. A segment glob stays reached at n while it takes characters.
    let mut reached = vec![false; globs.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    pass_over(&globs, &mut reached);
    for character in path.chars() {
        let mut next = vec![false; globs.len() + 1];
        for ((pair, glob), place) in reached.windows(2).zip(&globs).zip(0..) {
            let (before, after) = (pair.first() == Some(&true), pair.last() == Some(&true));
            let fits = match glob {
                Glob::Segment => (before || after) && character != '/',
                Glob::Anything => before || after,
                Glob::Literal(literal) => before && *literal == character,
            };
            if let Some(slot) = next.get_mut(place + 1) {
                *slot |= fits;
            }
        }
        pass_over(&globs, &mut next);
        reached = next;
    }
    reached.last() == Some(&true)
}

/// `**` also fits nothing.
fn pass_over(globs: &[Glob], reached: &mut [bool]) {
    for (place, glob) in globs.iter().enumerate() {
        if matches!(glob, Glob::Anything)
            && reached.get(place) == Some(&true)
            && let Some(after) = reached.get_mut(place + 1)
        {
            *after = true;
        }
    }
}

fn parse(pattern: &str) -> Vec<Glob> {
    let mut globs = Vec::new();
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match character {
            '*' => match after.strip_prefix('*') {
                Some(after) => {
                    globs.push(Glob::Anything);
                    after
                }
                None => {
                    globs.push(Glob::Segment);
                    after
                }
            },
            '{' => match after.split_once('}') {
                Some((_, after)) => {
                    globs.push(Glob::Segment);
                    after
                }
                None => after,
            },
            '}' => after,
            literal => {
                globs.push(Glob::Literal(literal));
                after
            }
        };
    }
    globs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_match_paths() {
        for (path, pattern, expected) in [
            ("/v2/images", "/v2/images", true),
            ("/v2/images/", "/v2/images", false),
            ("/v2/images/1", "/v2/images/*", true),
            ("/v2/images/1", "/v2/images/{image_id}", true),
            ("/v2/images/", "/v2/images/*", false),
            ("/v2/images/1/file", "/v2/images/*", false),
            ("/v2/images/1/file", "/v2/images/{image_id}/file", true),
            ("/v2/images/1/file", "/v2/**", true),
            ("/v2/", "/v2/**", true),
            ("/v2/images/1/file", "**/file", true),
            ("/v2/images/1/members", "**/file", false),
            ("/v2ximages", "/v2.images", false),
            ("", "", true),
            ("/", "", false),
            ("/é", "/*", true),
        ] {
            assert_eq!(matches(path, pattern), expected, "{path} {pattern}");
        }
        let (path, pattern) = ("a".repeat(2000), "*a".repeat(500) + "b");
        assert!(!matches(&path, &pattern));
    }

    fn token(rules: serde_json::Value) -> Token {
        serde_json::from_value(json!({
            "expires_at": "2000-01-01T00:00:00.000000Z",
            "user": {"id": "u"},
            "catalog": [{"type": "image", "endpoints": []}],
            "application_credential": {"id": "c", "access_rules": rules},
        }))
        .unwrap()
    }

    #[test]
    fn rules_restrict_a_token() {
        let rules = json!([{"method": "GET", "path": "/v2/images", "service": "image"},
                           {"method": "GET", "path": "/v2/other", "service": "volume"}]);
        let restricted = token(rules);
        for (service_type, from_service, method, path, expected) in [
            (Some("image"), false, Method::GET, "/v2/images", true),
            (Some("image"), false, Method::POST, "/v2/images", false),
            (Some("image"), false, Method::GET, "/v2/other", false),
            (Some("image"), true, Method::POST, "/v2/other", true),
            (Some("volume"), false, Method::GET, "/v2/other", false),
            (None, true, Method::GET, "/v2/images", false),
        ] {
            let allowed = allow(&restricted, service_type, from_service, &method, path);
            assert_eq!(allowed, expected, "{service_type:?} {from_service} {method} {path}");
        }
        assert!(!allow(&token(json!([])), Some("image"), false, &Method::GET, "/v2/images"));
        assert!(allow(&token(json!(null)), None, false, &Method::GET, "/v2/images"));
    }
}
