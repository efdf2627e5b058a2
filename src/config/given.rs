//! Options that may say nothing.

/// The text of an option that says something. An empty one is none, as upstream takes it.
pub(crate) fn given(option: &Option<String>) -> Option<String> {
    option.clone().filter(|text| !text.is_empty())
}
