//! JSON pointers (RFC 6901) as far as upstream takes them.

use serde_json::Value;

use super::PatchError;
use crate::schema::python::{display, is_space, strip};

/// The steps of a pointer, unescaped and stripped; a lone `/` is one empty step.
pub(super) fn parse(pointer: &Value) -> Result<Vec<String>, PatchError> {
    // Upstream has no words for a pointer that is no string: it fails.
    let text = display(pointer);
    check(&text).map_err(|what| PatchError::Invalid(format!("Pointer `{text}` {what}.")))?;
    let steps = text.trim_start_matches('/').split('/');
    Ok(steps.map(|step| strip(&step.replace("~1", "/").replace("~0", "~")).to_owned()).collect())
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
    let mut between = rest.split('/').skip(1).collect::<Vec<_>>();
    // What comes after the last slash is not between two.
    between.pop();
    between.iter().any(|step| step.chars().all(is_space))
}
