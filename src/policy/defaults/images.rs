//! Images, members, locations and image data (upstream: `glance/policies/image.py`).

use super::{
    ADMIN, ADMIN_OR_IMAGE_DOWNLOADER, ADMIN_OR_IMAGE_READER, ADMIN_OR_MEMBER, ADMIN_OR_READER,
    ADMIN_OR_READER_OR_MEMBER_PROJECT, DEFAULT, RuleDefault, SERVICE, project,
};

pub(super) static RULES: &[RuleDefault] = &[
    project(
        "add_image",
        "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
        "Create an image record.",
    )
    .at(&[("POST", "/v2/images")])
    .formerly(DEFAULT, "W"),
    project("delete_image", ADMIN_OR_MEMBER, "Delete an image.")
        .at(&[("DELETE", "/v2/images/{image_id}")])
        .formerly(DEFAULT, "W"),
    project(
        "get_image",
        ADMIN_OR_IMAGE_READER,
        "See one image; also decides whether a refusal of anything else becomes 404.",
    )
    .at(&[("GET", "/v2/images/{image_id}")])
    .formerly(DEFAULT, "W"),
    project("get_images", ADMIN_OR_READER, "List images at all; every row is then filtered with get_image.")
        .at(&[("GET", "/v2/images")])
        .formerly(DEFAULT, "W"),
    project(
        "modify_image",
        ADMIN_OR_MEMBER,
        "Change an image, its tags and properties, stage data for it, import into it.",
    )
    .at(&[("PATCH", "/v2/images/{image_id}")])
    .formerly(DEFAULT, "W"),
    project("publicize_image", ADMIN, "Create an image as public or make it public.")
        .at(&[("PATCH", "/v2/images/{image_id}")]),
    project("communitize_image", ADMIN_OR_MEMBER, "Create an image as community or make it community.")
        .at(&[("PATCH", "/v2/images/{image_id}")])
        .formerly(DEFAULT, "W"),
    project("download_image", ADMIN_OR_IMAGE_DOWNLOADER, "Read image data, from a store or from the cache.")
        .at(&[("GET", "/v2/images/{image_id}/file")])
        .formerly(DEFAULT, "W"),
    project("download_from_store", ADMIN_OR_IMAGE_DOWNLOADER, "Use the prefer query parameter on a download.")
        .at(&[("GET", "/v2/images/{image_id}/file")]),
    project("upload_image", ADMIN_OR_MEMBER, "Write image data.")
        .at(&[("PUT", "/v2/images/{image_id}/file")])
        .formerly(DEFAULT, "W"),
    project("delete_image_location", ADMIN, "Remove a location by PATCH, or remove the copy held in one store.")
        .at(&[("PATCH", "/v2/images/{image_id}")])
        .formerly(DEFAULT, "W"),
    project(
        "get_image_location",
        ADMIN_OR_READER,
        "Needed, beside delete_image_location, to remove the copy held in one store.",
    )
    .at(&[("GET", "/v2/images/{image_id}")])
    .formerly(DEFAULT, "W"),
    project("set_image_location", ADMIN_OR_MEMBER, "Add or replace locations by PATCH.")
        .at(&[("PATCH", "/v2/images/{image_id}")])
        .formerly(DEFAULT, "W"),
    project(
        "add_image_location",
        "rule:service_api or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
        "Register data that already lies in a store (POST locations).",
    )
    .at(&[("POST", "/v2/images/{image_id}/locations")]),
    project("fetch_image_location", SERVICE, "Read all locations (GET locations).")
        .at(&[("GET", "/v2/images/{image_id}/locations")]),
    project("add_member", ADMIN_OR_MEMBER, "Share an image with a project.")
        .at(&[("POST", "/v2/images/{image_id}/members")])
        .formerly(DEFAULT, "W"),
    project("delete_member", ADMIN_OR_MEMBER, "Stop sharing an image with a project.")
        .at(&[("DELETE", "/v2/images/{image_id}/members/{member_id}")])
        .formerly(DEFAULT, "W"),
    project("get_member", ADMIN_OR_READER_OR_MEMBER_PROJECT, "See one sharing record; also filters the list.")
        .at(&[("GET", "/v2/images/{image_id}/members/{member_id}")])
        .formerly(DEFAULT, "W"),
    project("get_members", ADMIN_OR_READER_OR_MEMBER_PROJECT, "List sharing records.")
        .at(&[("GET", "/v2/images/{image_id}/members")])
        .formerly(DEFAULT, "W"),
    project(
        "modify_member",
        "rule:context_is_admin or (role:member and project_id:%(member_id)s)",
        "Accept or reject an image shared with the caller.",
    )
    .at(&[("PUT", "/v2/images/{image_id}/members/{member_id}")])
    .formerly(DEFAULT, "W"),
    project("manage_image_cache", ADMIN, "Use the old cache management routes."),
    project("deactivate", ADMIN_OR_MEMBER, "Block data access to an active image.")
        .at(&[("POST", "/v2/images/{image_id}/actions/deactivate")])
        .formerly(DEFAULT, "W"),
    project("reactivate", ADMIN_OR_MEMBER, "Lift that block.")
        .at(&[("POST", "/v2/images/{image_id}/actions/reactivate")])
        .formerly(DEFAULT, "W"),
    project("copy_image", ADMIN, "Copy an active image to further stores (copy-image import).")
        .at(&[("POST", "/v2/images/{image_id}/import")]),
    project("list_cached_nodes", ADMIN, "See which nodes hold a cached copy.")
        .at(&[("GET", "/v2/cache/nodes/{image_id}")]),
];
