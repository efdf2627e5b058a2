//! Metadata definitions (upstream: `glance/policies/metadef.py`).

use super::{
    ADMIN, ADMIN_OR_NAMESPACE_READER, ADMIN_OR_READER, METADEF_ADMIN, METADEF_DEFAULT, RuleDefault, any_scope, project,
};

pub(super) static RULES: &[RuleDefault] = &[
    any_scope("metadef_default", "", "Base rule of the old metadata-definition defaults; empty means allowed."),
    any_scope("metadef_admin", ADMIN, "Base rule of every write to metadata definitions."),
    project(
        "get_metadef_namespace",
        ADMIN_OR_NAMESPACE_READER,
        "See one namespace; also filters lists and decides between 403 and 404.",
    )
    .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}")])
    .formerly(METADEF_DEFAULT, "X"),
    project("get_metadef_namespaces", ADMIN_OR_READER, "List namespaces.")
        .at(&[("GET", "/v2/metadefs/namespaces")])
        .formerly(METADEF_DEFAULT, "X"),
    project("modify_metadef_namespace", METADEF_ADMIN, "Change a namespace.")
        .at(&[("PUT", "/v2/metadefs/namespaces/{namespace_name}")]),
    project("add_metadef_namespace", METADEF_ADMIN, "Create a namespace.").at(&[("POST", "/v2/metadefs/namespaces")]),
    project("delete_metadef_namespace", METADEF_ADMIN, "Delete a namespace, or all its objects, properties or tags.")
        .at(&[("DELETE", "/v2/metadefs/namespaces/{namespace_name}")]),
    project("get_metadef_object", ADMIN_OR_NAMESPACE_READER, "See one object; also filters the list.")
        .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/objects/{object_name}")])
        .formerly(METADEF_DEFAULT, "X"),
    project("get_metadef_objects", ADMIN_OR_NAMESPACE_READER, "List objects; also needed to show a namespace.")
        .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/objects")])
        .formerly(METADEF_DEFAULT, "X"),
    project("modify_metadef_object", METADEF_ADMIN, "Change an object.")
        .at(&[("PUT", "/v2/metadefs/namespaces/{namespace_name}/objects/{object_name}")]),
    project("add_metadef_object", METADEF_ADMIN, "Create an object (alone or inside a new namespace).")
        .at(&[("POST", "/v2/metadefs/namespaces/{namespace_name}/objects")]),
    project("delete_metadef_object", METADEF_ADMIN, "Delete an object.")
        .at(&[("DELETE", "/v2/metadefs/namespaces/{namespace_name}/objects/{object_name}")]),
    project(
        "list_metadef_resource_types",
        ADMIN_OR_NAMESPACE_READER,
        "List resource types and associations; also needed to list or show namespaces.",
    )
    .at(&[("GET", "/v2/metadefs/resource_types")])
    .formerly(METADEF_DEFAULT, "X"),
    project(
        "get_metadef_resource_type",
        ADMIN_OR_NAMESPACE_READER,
        "See one association; needed for prefixed property look-ups.",
    )
    .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/resource_types")])
    .formerly(METADEF_DEFAULT, "X"),
    project("add_metadef_resource_type_association", METADEF_ADMIN, "Associate a resource type with a namespace.")
        .at(&[("POST", "/v2/metadefs/namespaces/{namespace_name}/resource_types")]),
    project("remove_metadef_resource_type_association", METADEF_ADMIN, "Remove such an association.")
        .at(&[("DELETE", "/v2/metadefs/namespaces/{namespace_name}/resource_types/{name}")]),
    project("get_metadef_property", ADMIN_OR_NAMESPACE_READER, "See one property.")
        .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/properties/{property_name}")])
        .formerly(METADEF_DEFAULT, "X"),
    project("get_metadef_properties", ADMIN_OR_NAMESPACE_READER, "List properties; also needed to show a namespace.")
        .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/properties")])
        .formerly(METADEF_DEFAULT, "X"),
    project("modify_metadef_property", METADEF_ADMIN, "Change a property.")
        .at(&[("PUT", "/v2/metadefs/namespaces/{namespace_name}/properties/{property_name}")]),
    project("add_metadef_property", METADEF_ADMIN, "Create a property.")
        .at(&[("POST", "/v2/metadefs/namespaces/{namespace_name}/properties")]),
    project("remove_metadef_property", METADEF_ADMIN, "Delete a property.")
        .at(&[("DELETE", "/v2/metadefs/namespaces/{namespace_name}/properties/{property_name}")]),
    project("get_metadef_tag", ADMIN_OR_NAMESPACE_READER, "See one tag.")
        .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/tags/{tag_name}")])
        .formerly(METADEF_DEFAULT, "X"),
    project("get_metadef_tags", ADMIN_OR_NAMESPACE_READER, "List tags; also needed to show a namespace.")
        .at(&[("GET", "/v2/metadefs/namespaces/{namespace_name}/tags")])
        .formerly(METADEF_DEFAULT, "X"),
    project("modify_metadef_tag", METADEF_ADMIN, "Rename a tag.")
        .at(&[("PUT", "/v2/metadefs/namespaces/{namespace_name}/tags/{tag_name}")]),
    project("add_metadef_tag", METADEF_ADMIN, "Create one tag (alone or inside a new namespace).")
        .at(&[("POST", "/v2/metadefs/namespaces/{namespace_name}/tags/{tag_name}")]),
    project("add_metadef_tags", METADEF_ADMIN, "Create or replace a set of tags.")
        .at(&[("POST", "/v2/metadefs/namespaces/{namespace_name}/tags")]),
    project("delete_metadef_tag", METADEF_ADMIN, "Delete one tag.")
        .at(&[("DELETE", "/v2/metadefs/namespaces/{namespace_name}/tags/{tag_name}")]),
    project(
        "delete_metadef_tags",
        METADEF_ADMIN,
        "Delete all tags of a namespace (together with delete_metadef_namespace).",
    )
    .at(&[("DELETE", "/v2/metadefs/namespaces/{namespace_name}/tags")]),
];
