//! The table of routes. A new route is one line here and a handler.

use http::Method;

use super::content::RequestContent;
use super::router::{Effect, PathIndex, PathRoutes, Route, routes};
use super::v2::{actions, cache, images, info, locations, members, metadefs, schemas, stores, tags, tasks};
use super::{Api, Call, Error, RequestBody, Response};

/// No rule: everybody who is known may.
const OPEN: &str = "";

routes! {
    "/v2/images" {
        GET ListImages => images::list::handle(), "list_images", Ignored, Reads, "get_images";
        POST CreateImage => images::create::handle(), "create_image", Document, Changes, "add_image";
    }
    "/v2/images/{image}" {
        GET ShowImage => images::show::handle(image), "show_image", Refused, Reads, "get_image";
        PATCH UpdateImage => images::update::handle(image), "update_image", Patch, Changes, "modify_image";
        DELETE DeleteImage => images::delete::handle(image), "delete_image", Refused, Changes, "delete_image";
    }
    "/v2/images/{image}/file" {
        GET DownloadImage => images::download::handle(image), "download_image", Refused, Reads, "download_image";
        PUT UploadImage => images::upload::handle(image), "upload_image", Data, Changes, "upload_image";
    }
    "/v2/images/{image}/locations" {
        GET ListLocations => locations::list::handle(image), "list_locations", Refused, Reads, "fetch_image_location";
        POST AddLocation => locations::add::handle(image), "add_location", FewWords, Changes, "add_image_location";
    }
    "/v2/images/{image}/actions/deactivate" {
        POST DeactivateImage => actions::deactivate::handle(image), "deactivate_image", Refused, Changes, "deactivate";
    }
    "/v2/images/{image}/actions/reactivate" {
        POST ReactivateImage => actions::reactivate::handle(image), "reactivate_image", Refused, Changes, "reactivate";
    }
    "/v2/images/{image}/tags/{tag}" {
        PUT AddTag => tags::add::handle(image, tag), "add_tag", Refused, Changes, "modify_image";
        DELETE RemoveTag => tags::remove::handle(image, tag), "remove_tag", Refused, Changes, "modify_image";
    }
    "/v2/images/{image}/members" {
        GET ListMembers => members::list::handle(image), "list_members", Refused, Reads, "get_members";
        POST AddMember => members::add::handle(image), "add_member", FewWords, Changes, "add_member";
    }
    "/v2/images/{image}/members/{member}" {
        GET ShowMember => members::show::handle(image, member), "show_member", Refused, Reads, "get_member";
        PUT UpdateMember => members::update::handle(image, member), "update_member", FewWords, Changes, "modify_member";
        DELETE RemoveMember => members::remove::handle(image, member), "remove_member", Refused, Changes, "delete_member";
    }
    "/v2/images/{image}/stage" {
        PUT StageImage => images::stage::handle(image), "stage_image", Data, Changes, "modify_image";
    }
    "/v2/images/{image}/import" {
        POST ImportImage => images::import::handle(image), "import_image", FewWords, Changes, "modify_image";
    }
    "/v2/images/{image}/tasks" {
        GET ListImageTasks => images::tasks::handle(image), "list_image_tasks", Refused, Reads, "get_image";
    }
    "/v2/tasks" {
        GET ListTasks => tasks::list::handle(), "list_tasks", Ignored, Reads, "tasks_api_access";
        POST CreateTask => tasks::create::handle(), "create_task", Document, Changes, "tasks_api_access";
    }
    "/v2/tasks/{task}" {
        GET ShowTask => tasks::show::handle(task), "show_task", Ignored, Reads, "tasks_api_access";
        DELETE DeleteTask => tasks::delete::handle(task), "delete_task", Ignored, Changes, "tasks_api_access";
    }
    "/v2/schemas/task" {
        GET ShowTaskSchema => schemas::show::task(), "show_task_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/tasks" {
        GET ShowTasksSchema => schemas::show::tasks(), "show_tasks_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/image" {
        GET ShowImageSchema => schemas::show::image(), "show_image_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/images" {
        GET ShowImagesSchema => schemas::show::images(), "show_images_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/member" {
        GET ShowMemberSchema => schemas::show::member(), "show_member_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/members" {
        GET ShowMembersSchema => schemas::show::members(), "show_members_schema", Refused, Reads, OPEN;
    }
    "/v2/metadefs/resource_types" {
        GET ListResourceTypes => metadefs::resource_types::list::handle(), "list_resource_types", Refused, Reads, "list_metadef_resource_types";
    }
    "/v2/metadefs/namespaces" {
        GET ListNamespaces => metadefs::namespaces::list::handle(), "list_namespaces", Ignored, Reads, "get_metadef_namespaces";
        POST CreateNamespace => metadefs::namespaces::create::handle(), "create_namespace", Document, Changes, "add_metadef_namespace";
    }
    "/v2/metadefs/namespaces/{namespace}" {
        GET ShowNamespace => metadefs::namespaces::show::handle(namespace), "show_namespace", Refused, Reads, "get_metadef_namespace";
        PUT UpdateNamespace => metadefs::namespaces::update::handle(namespace), "update_namespace", Document, Changes, "modify_metadef_namespace";
        DELETE DeleteNamespace => metadefs::namespaces::delete::handle(namespace), "delete_namespace", Refused, Changes, "delete_metadef_namespace";
    }
    "/v2/metadefs/namespaces/{namespace}/resource_types" {
        GET ListAssociations => metadefs::resource_types::associations::handle(namespace), "list_associations", Refused, Reads, "list_metadef_resource_types";
        POST AssociateResourceType => metadefs::resource_types::associate::handle(namespace), "associate_resource_type", Document, Changes, "add_metadef_resource_type_association";
    }
    "/v2/metadefs/namespaces/{namespace}/resource_types/{resource_type}" {
        DELETE DissociateResourceType => metadefs::resource_types::dissociate::handle(namespace, resource_type), "dissociate_resource_type", Refused, Changes, "remove_metadef_resource_type_association";
    }
    "/v2/metadefs/namespaces/{namespace}/properties" {
        GET ListProperties => metadefs::properties::list::handle(namespace), "list_properties", Refused, Reads, "get_metadef_properties";
        POST AddProperty => metadefs::properties::add::handle(namespace), "add_property", Document, Changes, "add_metadef_property";
        DELETE ClearProperties => metadefs::namespaces::clear::properties(namespace), "clear_properties", Refused, Changes, "delete_metadef_namespace";
    }
    "/v2/metadefs/namespaces/{namespace}/properties/{property}" {
        GET ShowProperty => metadefs::properties::show::handle(namespace, property), "show_property", Ignored, Reads, "get_metadef_property";
        PUT UpdateProperty => metadefs::properties::update::handle(namespace, property), "update_property", Document, Changes, "modify_metadef_property";
        DELETE RemoveProperty => metadefs::properties::remove::handle(namespace, property), "remove_property", Refused, Changes, "remove_metadef_property";
    }
    "/v2/metadefs/namespaces/{namespace}/objects" {
        GET ListObjects => metadefs::objects::list::handle(namespace), "list_objects", Ignored, Reads, "get_metadef_objects";
        POST AddObject => metadefs::objects::add::handle(namespace), "add_object", Document, Changes, "add_metadef_object";
        DELETE ClearObjects => metadefs::namespaces::clear::objects(namespace), "clear_objects", Refused, Changes, "delete_metadef_namespace";
    }
    "/v2/metadefs/namespaces/{namespace}/objects/{object}" {
        GET ShowObject => metadefs::objects::show::handle(namespace, object), "show_object", Refused, Reads, "get_metadef_object";
        PUT UpdateObject => metadefs::objects::update::handle(namespace, object), "update_object", Document, Changes, "modify_metadef_object";
        DELETE RemoveObject => metadefs::objects::remove::handle(namespace, object), "remove_object", Refused, Changes, "delete_metadef_object";
    }
    "/v2/metadefs/namespaces/{namespace}/tags" {
        GET ListNamespaceTags => metadefs::tags::list::handle(namespace), "list_namespace_tags", Ignored, Reads, "get_metadef_tags";
        POST AddNamespaceTags => metadefs::tags::add_many::handle(namespace), "add_namespace_tags", Document, Changes, "add_metadef_tags";
        DELETE ClearNamespaceTags => metadefs::namespaces::clear::tags(namespace), "clear_namespace_tags", Refused, Changes, "delete_metadef_namespace";
    }
    "/v2/metadefs/namespaces/{namespace}/tags/{tag}" {
        GET ShowNamespaceTag => metadefs::tags::show::handle(namespace, tag), "show_namespace_tag", Refused, Reads, "get_metadef_tag";
        POST AddNamespaceTag => metadefs::tags::add::handle(namespace, tag), "add_namespace_tag", Refused, Changes, "add_metadef_tag";
        PUT UpdateNamespaceTag => metadefs::tags::update::handle(namespace, tag), "update_namespace_tag", Document, Changes, "modify_metadef_tag";
        DELETE RemoveNamespaceTag => metadefs::tags::remove::handle(namespace, tag), "remove_namespace_tag", Refused, Changes, "delete_metadef_tag";
    }
    "/v2/schemas/metadefs/namespace" {
        GET ShowMetadefNamespaceSchema => schemas::metadefs::namespace(), "show_metadef_namespace_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/namespaces" {
        GET ShowMetadefNamespacesSchema => schemas::metadefs::namespaces(), "show_metadef_namespaces_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/resource_type" {
        GET ShowMetadefResourceTypeSchema => schemas::metadefs::resource_type(), "show_metadef_resource_type_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/resource_types" {
        GET ShowMetadefResourceTypesSchema => schemas::metadefs::resource_types(), "show_metadef_resource_types_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/property" {
        GET ShowMetadefPropertySchema => schemas::metadefs::property(), "show_metadef_property_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/properties" {
        GET ShowMetadefPropertiesSchema => schemas::metadefs::properties(), "show_metadef_properties_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/object" {
        GET ShowMetadefObjectSchema => schemas::metadefs::object(), "show_metadef_object_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/objects" {
        GET ShowMetadefObjectsSchema => schemas::metadefs::objects(), "show_metadef_objects_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/tag" {
        GET ShowMetadefTagSchema => schemas::metadefs::tag(), "show_metadef_tag_schema", Refused, Reads, OPEN;
    }
    "/v2/schemas/metadefs/tags" {
        GET ShowMetadefTagsSchema => schemas::metadefs::tags(), "show_metadef_tags_schema", Refused, Reads, OPEN;
    }
    "/v2/info/import" {
        GET ShowImportMethods => info::import::handle(), "show_import_methods", Refused, Reads, OPEN;
    }
    "/v2/info/stores" {
        GET ListStores => info::stores::handle(), "list_stores", Refused, Reads, OPEN;
    }
    "/v2/info/stores/detail" {
        GET ShowStores => info::stores::detail(), "show_stores", Refused, Reads, "stores_info_detail";
    }
    "/v2/info/usage" {
        GET ShowUsage => info::usage::handle(), "show_usage", Ignored, Reads, OPEN;
    }
    "/v2/cache" {
        GET ShowCache => cache::show::handle(), "show_cache", Refused, Reads, "cache_list";
        DELETE ClearCache => cache::clear::handle(), "clear_cache", Refused, Changes, "cache_delete";
    }
    "/v2/cache/{image}" {
        DELETE DeleteFromCache => cache::delete::handle(image), "delete_from_cache", Refused, Changes, "cache_delete";
        PUT QueueForCache => cache::queue::handle(image), "queue_for_cache", Refused, Changes, "cache_image";
    }
    "/v2/cache/nodes/{image}" {
        GET ListCacheNodes => cache::nodes::handle(image), "list_cache_nodes", Refused, Reads, "list_cached_nodes";
    }
    "/v2/cache/clean" {
        POST CleanCache => cache::clean::handle(), "clean_cache", Refused, Changes, "cache_clean";
    }
    "/v2/cache/prune" {
        POST PruneCache => cache::prune::handle(), "prune_cache", Refused, Changes, "cache_prune";
    }
    "/v2/cached_images" {
        GET ListCachedImages => cache::old::list_cached(), "list_cached_images", Refused, Reads, "manage_image_cache";
        DELETE DeleteCachedImages => cache::old::delete_all_cached(), "delete_cached_images", Refused, Changes, "manage_image_cache";
    }
    "/v2/cached_images/{image}" {
        DELETE DeleteCachedImage => cache::old::delete_cached(image), "delete_cached_image", Refused, Changes, "manage_image_cache";
    }
    "/v2/queued_images" {
        GET ListQueuedImages => cache::old::list_queued(), "list_queued_images", Refused, Reads, "manage_image_cache";
        DELETE DeleteQueuedImages => cache::old::delete_all_queued(), "delete_queued_images", Refused, Changes, "manage_image_cache";
    }
    "/v2/queued_images/{image}" {
        PUT QueueImage => cache::old::queue(image), "queue_image", Refused, Changes, "manage_image_cache";
        DELETE DeleteQueuedImage => cache::old::delete_queued(image), "delete_queued_image", Refused, Changes, "manage_image_cache";
    }
    "/v2/stores/{store}/{image}" {
        DELETE DeleteFromStore => stores::delete::handle(store, image), "delete_from_store", Refused, Changes, "delete_image_location";
    }
}

/// The methods of the API. Another one is not implemented, where the path is unknown as well.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

/// Paths that upstream does not know at all with another method than theirs.
const WITH_KNOWN_METHODS_ALONE: [&str; 6] = [
    "/v2/images/{image}/tasks",
    "/v2/info/usage",
    "/v2/cached_images",
    "/v2/cached_images/{image}",
    "/v2/queued_images",
    "/v2/queued_images/{image}",
];

/// The endpoint for `method` on `path`, which is decoded.
///
/// # Errors
/// 404 for an unknown path, 501 for one with a method that the API does not have at all, 405 with `Allow` for a known path.
pub(super) fn find(index: &PathIndex, method: &Method, path: &str) -> Result<Endpoint, Error> {
    let found = index.find(path).and_then(|(place, parameters)| Some((TABLE.get(place)?, parameters)));
    match found {
        Some((routes, parameters)) => match routes.endpoint(method, &parameters) {
            Err(_) if WITH_KNOWN_METHODS_ALONE.contains(&routes.path) => Err(unknown(method)),
            found => found,
        },
        None => Err(unknown(method)),
    }
}

fn unknown(method: &Method) -> Error {
    if METHODS.contains(method) { Error::not_found_path() } else { Error::not_implemented_method(method) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::StatusCode;
    use http::header::ALLOW;

    use super::*;

    fn index() -> PathIndex {
        PathIndex::new(TABLE).unwrap()
    }

    #[test]
    fn paths_and_methods_become_endpoints() {
        let image = || "i".to_owned();
        for (method, path, endpoint) in [
            ("GET", "/v2/images", Endpoint::ListImages {}),
            ("PUT", "/v2/images/i/file", Endpoint::UploadImage { image: image() }),
            ("POST", "/v2/images/i/actions/reactivate", Endpoint::ReactivateImage { image: image() }),
            ("PUT", "/v2/images/i/tags/a b", Endpoint::AddTag { image: image(), tag: "a b".to_owned() }),
            // It comes decoded, and is not decoded again.
            ("PUT", "/v2/images/i/tags/a%20b", Endpoint::AddTag { image: image(), tag: "a%20b".to_owned() }),
            ("POST", "/v2/images/i/members", Endpoint::AddMember { image: image() }),
            ("DELETE", "/v2/images/i/members/m", Endpoint::RemoveMember { image: image(), member: "m".to_owned() }),
            ("GET", "/v2/schemas/members", Endpoint::ShowMembersSchema {}),
            ("POST", "/v2/cache/clean", Endpoint::CleanCache {}),
            ("PUT", "/v2/cache/cleaner", Endpoint::QueueForCache { image: "cleaner".to_owned() }),
            ("DELETE", "/v2/cache/nodes", Endpoint::DeleteFromCache { image: "nodes".to_owned() }),
        ] {
            assert_eq!(find(&index(), &method.parse().unwrap(), path).unwrap(), endpoint, "{method} {path}");
        }
    }

    #[test]
    fn a_known_path_names_its_methods() {
        for (path, allow) in [
            ("/v2/images/i", "GET, PATCH, DELETE"),
            ("/v2/images/i/tags/t", "PUT, DELETE"),
            ("/v2/images/i/members", "GET, POST"),
            ("/v2/images/i/members/m", "GET, PUT, DELETE"),
            ("/v2/images/i/actions/deactivate", "POST"),
            ("/v2/info/stores", "GET"),
            ("/v2/metadefs/namespaces/n/tags/t", "GET, POST, PUT, DELETE"),
            ("/v2/metadefs/namespaces/n/objects", "GET, POST, DELETE"),
            ("/v2/cache", "GET, DELETE"),
            ("/v2/cache/i", "DELETE, PUT"),
            ("/v2/cache/prune", "POST"),
        ] {
            let error = find(&index(), &Method::HEAD, path).unwrap_err();
            assert_eq!(
                (error.status, error.headers[ALLOW].to_str().unwrap()),
                (StatusCode::METHOD_NOT_ALLOWED, allow),
                "{path}"
            );
        }
        for path in [
            "/v2/info/usage",
            "/v2/images/i/tags",
            "/v2/images/i/tags/a/b",
            "/v2/images/i/actions",
            "/v2/info",
            "/v2/queued_images",
            "/v2/cached_images/i",
            "/v2/schemas/tag",
        ] {
            for (method, status) in [(Method::PUT, StatusCode::NOT_FOUND), (Method::TRACE, StatusCode::NOT_IMPLEMENTED)]
            {
                assert_eq!(find(&index(), &method, path).unwrap_err().status, status, "{method} {path}");
            }
        }
    }

    /// The futures around it hold it once or twice each, and move it: with 16 KiB here, a request for one image copied a megabyte.
    #[test]
    fn the_future_of_an_answer_is_small_whatever_handlers_there_are() {
        fn size<'a, F>(_: impl FnOnce(Endpoint, &'a Api, &'a Call<'a>, RequestBody) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(|endpoint, api, call, body| endpoint.answer(api, call, body));
        assert!(size <= 512, "{size}");
    }

    /// All others that read a body take a document of the usual size.
    #[test]
    fn some_routes_take_another_body_than_a_document() {
        let mut found = BTreeSet::new();
        for (path, (method, _)) in TABLE.iter().flat_map(|path| path.endpoints.iter().map(move |one| (path, one))) {
            let endpoint = find(&index(), method, &path.path.replace(['{', '}'], "")).unwrap();
            let route = endpoint.route();
            if matches!(route.content, RequestContent::FewWords | RequestContent::Patch | RequestContent::Data) {
                found.insert((route.label, format!("{:?}", route.content)));
            }
        }
        let expected = [
            ("add_location", "FewWords"),
            ("add_member", "FewWords"),
            ("import_image", "FewWords"),
            ("stage_image", "Data"),
            ("update_image", "Patch"),
            ("update_member", "FewWords"),
            ("upload_image", "Data"),
        ];
        assert_eq!(found, expected.map(|(label, content)| (label, content.to_owned())).into());
    }

    #[test]
    fn labels_are_distinct_and_rules_exist() {
        let rules: BTreeSet<&str> = crate::policy::default_rules().map(|rule| rule.name).collect();
        let mut labels = BTreeSet::new();
        for (path, (method, _)) in TABLE.iter().flat_map(|path| path.endpoints.iter().map(move |one| (path, one))) {
            let parameters: String = path.path.replace(['{', '}'], "");
            let endpoint = find(&index(), method, &parameters).unwrap();
            let Route { label, rule, content, effect } = endpoint.route();
            assert!(labels.insert(label), "{label} comes twice");
            assert!(rule == OPEN || rules.contains(rule), "{label}: {rule}");
            assert_eq!(effect == Effect::Reads, *method == Method::GET, "{label}");
            assert!(content.limit(1) == 0 || effect == Effect::Changes, "{label}");
        }
    }
}
