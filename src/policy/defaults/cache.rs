//! The image cache and store discovery (upstream: `glance/policies/cache.py`, `discovery.py`).

use super::{ADMIN, CACHE_ADMIN, RuleDefault, project};

pub(super) static RULES: &[RuleDefault] = &[
    project("cache_image", ADMIN, "Queue an image for caching.")
        .at(&[("PUT", "/v2/cache/{image_id}")])
        .formerly(CACHE_ADMIN, "X"),
    project("cache_list", ADMIN, "See cached and queued images.")
        .at(&[("GET", "/v2/cache")])
        .formerly(CACHE_ADMIN, "X"),
    project("cache_delete", ADMIN, "Drop one or all cache entries.")
        .at(&[("DELETE", "/v2/cache"), ("DELETE", "/v2/cache/{image_id}")])
        .formerly(CACHE_ADMIN, "X"),
    project("cache_clean", ADMIN, "Remove invalid and stalled cache files.").at(&[("POST", "/v2/cache/clean")]),
    project("cache_prune", ADMIN, "Shrink the cache to its configured size.").at(&[("POST", "/v2/cache/prune")]),
    project("stores_info_detail", "rule:context_is_admin or rule:service_api", "See driver details of the stores.")
        .at(&[("GET", "/v2/info/stores/detail")])
        .formerly(ADMIN, "2025.1"),
];
