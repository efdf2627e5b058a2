//! Lists of stores in properties (upstream: `merge_store_list` in `glance/async_/flows/api_image_import.py`).

use std::collections::BTreeSet;

/// The list with more stores in it.
pub(super) fn with(list: Option<&str>, stores: &[String]) -> String {
    let mut all = split(list);
    all.extend(stores.iter().map(String::as_str));
    join(&all)
}

/// The list without these stores.
pub(crate) fn without(list: Option<&str>, stores: &[impl AsRef<str>]) -> String {
    let mut all = split(list);
    all.retain(|store| !stores.iter().any(|gone| gone.as_ref() == *store));
    join(&all)
}

fn split(list: Option<&str>) -> BTreeSet<&str> {
    list.unwrap_or_default().split(',').filter(|store| !store.is_empty()).collect()
}

fn join(stores: &BTreeSet<&str>) -> String {
    stores.iter().copied().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_sets() {
        let stores = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(with(None, &stores(&["b", "a", "b"])), "a,b");
        assert_eq!(with(Some("c,,a"), &stores(&["b"])), "a,b,c");
        assert_eq!(with(Some(""), &[]), "");
        assert_eq!(without(Some("a,b,c"), &stores(&["b", "x"])), "a,c");
        assert_eq!(without(Some("a"), &stores(&["a"])), "");
        assert_eq!(without(None, &stores(&["a"])), "");
    }
}
