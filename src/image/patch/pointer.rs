//! JSON pointers (RFC 6901) as far as upstream takes them.

use serde_json::Value;

use super::{PatchError, invalid};
use crate::schema::python::{Excerpt, display, excerpts, is_space, strip};

/// The steps of a pointer, unescaped and stripped; a lone `/` is one empty step. `depth`: the steps that there must be, by the first.
pub(super) fn parse(pointer: &Value, depth: impl Fn(&str) -> usize) -> Result<Vec<String>, PatchError> {
    // Upstream has no words for a pointer that is no string: it fails.
    let text = display(pointer);
    check(&text).or_else(|what| invalid(format!("Pointer `{}` {what}.", Excerpt(&text))))?;
    let steps = || text.trim_start_matches('/').split('/').map(unescaped);
    let first = steps().next().unwrap_or_default();
    if steps().count() != depth(&first) {
        let joined = steps().flat_map(|step| ["/".to_owned(), step]);
        return invalid(format!("Invalid JSON pointer for this resource: '{}'", excerpts(joined)));
    }
    Ok(steps().collect())
}

fn unescaped(step: &str) -> String {
    strip(&step.replace("~1", "/").replace("~0", "~")).to_owned()
}

fn check(text: &str) -> Result<(), &'static str> {
    let Some(rest) = text.strip_prefix('/') else { return Err("does not start with \"/\"") };
    if has_adjacent_slashes(rest) {
        return Err("contains adjacent \"/\"");
    }
    if rest.ends_with('/') {
        return Err("end with \"/\"");
    }
    if strip(rest) == "/" {
        return Err("does not contains valid token");
    }
    let mut escapes = text.split('~').skip(1);
    if !escapes.all(|after| after.starts_with(['0', '1'])) {
        return Err("contains \"~\" not part of a recognized escape sequence");
    }
    Ok(())
}

/// Two slashes with nothing but white space between them, the one at the start not counted.
fn has_adjacent_slashes(rest: &str) -> bool {
    let mut steps = rest.split('/').skip(1).peekable();
    while let Some(step) = steps.next() {
        // What comes after the last slash is not between two.
        if steps.peek().is_some() && step.chars().all(is_space) {
            return true;
        }
    }
    false
}
