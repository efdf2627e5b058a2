//! The routes: a method and a path become one variant, once.

use http::Method;
use matchit::Router;
use percent_encoding::percent_decode_str;

use super::Error;

/// What a request asks for. The variant also names the request in logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    ListImages,
    CreateImage,
    ShowImage { image: String },
    UpdateImage { image: String },
    DeleteImage { image: String },
    UploadImage { image: String },
    DownloadImage { image: String },
    DeactivateImage { image: String },
    ReactivateImage { image: String },
    AddTag { image: String, tag: String },
    RemoveTag { image: String, tag: String },
    ListMembers { image: String },
    AddMember { image: String },
    ShowMember { image: String, member: String },
    UpdateMember { image: String, member: String },
    RemoveMember { image: String, member: String },
    ShowSchema { name: SchemaName },
    ShowImportMethods,
    ListStores,
}

/// A document that clients can have described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaName {
    Image,
    Images,
    Member,
    Members,
}

/// A path of the API, whatever the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Images,
    Image,
    ImageFile,
    Deactivation,
    Reactivation,
    Tag,
    Members,
    Member,
    Schema(SchemaName),
    ImportMethods,
    Stores,
}

const PATHS: [(&str, Resource); 14] = [
    ("/v2/images", Resource::Images),
    ("/v2/images/{image}", Resource::Image),
    ("/v2/images/{image}/file", Resource::ImageFile),
    ("/v2/images/{image}/actions/deactivate", Resource::Deactivation),
    ("/v2/images/{image}/actions/reactivate", Resource::Reactivation),
    ("/v2/images/{image}/tags/{tag}", Resource::Tag),
    ("/v2/images/{image}/members", Resource::Members),
    ("/v2/images/{image}/members/{member}", Resource::Member),
    ("/v2/schemas/image", Resource::Schema(SchemaName::Image)),
    ("/v2/schemas/images", Resource::Schema(SchemaName::Images)),
    ("/v2/schemas/member", Resource::Schema(SchemaName::Member)),
    ("/v2/schemas/members", Resource::Schema(SchemaName::Members)),
    ("/v2/info/import", Resource::ImportMethods),
    ("/v2/info/stores", Resource::Stores),
];

/// Finds the endpoint of a request.
pub struct Routes {
    router: Router<Resource>,
}

impl Routes {
    /// # Errors
    /// Two paths of the table contradict each other: a mistake in this file.
    pub fn new() -> Result<Self, matchit::InsertError> {
        let mut router = Router::new();
        for (path, resource) in PATHS {
            router.insert(path, resource)?;
        }
        Ok(Self { router })
    }

    /// The endpoint for `method` on `path`, still percent-encoded.
    ///
    /// # Errors
    /// 404 for an unknown path, 501 for one with a method that the API does not have at all, 405 with `Allow` for a known path.
    pub fn find(&self, method: &Method, path: &str) -> Result<Endpoint, Error> {
        let Ok(found) = self.router.at(path) else { return Err(unknown_path(method)) };
        let parameter = |name: &str| {
            let text = found.params.get(name).unwrap_or_default();
            percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned)
        };
        let (Ok(image), Ok(tag), Ok(member)) = (parameter("image"), parameter("tag"), parameter("member")) else {
            return Err(Error::not_found_path());
        };
        let endpoint = match (found.value, method) {
            (Resource::Images, &Method::GET) => Endpoint::ListImages,
            (Resource::Images, &Method::POST) => Endpoint::CreateImage,
            (Resource::Image, &Method::GET) => Endpoint::ShowImage { image },
            (Resource::Image, &Method::PATCH) => Endpoint::UpdateImage { image },
            (Resource::Image, &Method::DELETE) => Endpoint::DeleteImage { image },
            (Resource::ImageFile, &Method::GET) => Endpoint::DownloadImage { image },
            (Resource::ImageFile, &Method::PUT) => Endpoint::UploadImage { image },
            (Resource::Deactivation, &Method::POST) => Endpoint::DeactivateImage { image },
            (Resource::Reactivation, &Method::POST) => Endpoint::ReactivateImage { image },
            (Resource::Tag, &Method::PUT) => Endpoint::AddTag { image, tag },
            (Resource::Tag, &Method::DELETE) => Endpoint::RemoveTag { image, tag },
            (Resource::Members, &Method::GET) => Endpoint::ListMembers { image },
            (Resource::Members, &Method::POST) => Endpoint::AddMember { image },
            (Resource::Member, &Method::GET) => Endpoint::ShowMember { image, member },
            (Resource::Member, &Method::PUT) => Endpoint::UpdateMember { image, member },
            (Resource::Member, &Method::DELETE) => Endpoint::RemoveMember { image, member },
            (Resource::Schema(name), &Method::GET) => Endpoint::ShowSchema { name: *name },
            (Resource::ImportMethods, &Method::GET) => Endpoint::ShowImportMethods,
            (Resource::Stores, &Method::GET) => Endpoint::ListStores,
            (resource, _) => return Err(Error::method_not_allowed(method, resource.allow())),
        };
        Ok(endpoint)
    }
}

impl Resource {
    /// The `Allow` header of a refused method, in upstream's order.
    const fn allow(self) -> &'static str {
        match self {
            Self::Images | Self::Members => "GET, POST",
            Self::Image => "GET, PATCH, DELETE",
            Self::ImageFile => "GET, PUT",
            Self::Deactivation | Self::Reactivation => "POST",
            Self::Tag => "PUT, DELETE",
            Self::Member => "GET, PUT, DELETE",
            Self::Schema(_) | Self::ImportMethods | Self::Stores => "GET",
        }
    }
}

impl Endpoint {
    /// A name for logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::ListImages => "list_images",
            Self::CreateImage => "create_image",
            Self::ShowImage { .. } => "show_image",
            Self::UpdateImage { .. } => "update_image",
            Self::DeleteImage { .. } => "delete_image",
            Self::UploadImage { .. } => "upload_image",
            Self::DownloadImage { .. } => "download_image",
            Self::DeactivateImage { .. } => "deactivate_image",
            Self::ReactivateImage { .. } => "reactivate_image",
            Self::AddTag { .. } => "add_tag",
            Self::RemoveTag { .. } => "remove_tag",
            Self::ListMembers { .. } => "list_members",
            Self::AddMember { .. } => "add_member",
            Self::ShowMember { .. } => "show_member",
            Self::UpdateMember { .. } => "update_member",
            Self::RemoveMember { .. } => "remove_member",
            Self::ShowSchema { .. } => "show_schema",
            Self::ShowImportMethods => "show_import_methods",
            Self::ListStores => "list_stores",
        }
    }

    /// Whether a request with a body is refused before anything else.
    pub const fn refuses_body(&self) -> bool {
        match self {
            Self::ListImages
            | Self::CreateImage
            | Self::UpdateImage { .. }
            | Self::UploadImage { .. }
            | Self::AddMember { .. }
            | Self::UpdateMember { .. } => false,
            Self::ShowImage { .. }
            | Self::DeleteImage { .. }
            | Self::DownloadImage { .. }
            | Self::DeactivateImage { .. }
            | Self::ReactivateImage { .. }
            | Self::AddTag { .. }
            | Self::RemoveTag { .. }
            | Self::ListMembers { .. }
            | Self::ShowMember { .. }
            | Self::RemoveMember { .. }
            | Self::ShowSchema { .. }
            | Self::ShowImportMethods
            | Self::ListStores => true,
        }
    }

    /// Whether a caller who may only read is refused.
    pub const fn changes(&self) -> bool {
        match self {
            Self::ListImages
            | Self::ShowImage { .. }
            | Self::DownloadImage { .. }
            | Self::ListMembers { .. }
            | Self::ShowMember { .. }
            | Self::ShowSchema { .. }
            | Self::ShowImportMethods
            | Self::ListStores => false,
            Self::CreateImage
            | Self::UpdateImage { .. }
            | Self::DeleteImage { .. }
            | Self::UploadImage { .. }
            | Self::DeactivateImage { .. }
            | Self::ReactivateImage { .. }
            | Self::AddTag { .. }
            | Self::RemoveTag { .. }
            | Self::AddMember { .. }
            | Self::UpdateMember { .. }
            | Self::RemoveMember { .. } => true,
        }
    }
}

fn unknown_path(method: &Method) -> Error {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];
    if known.contains(method) { Error::not_found_path() } else { Error::not_implemented_method(method) }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http::header::ALLOW;

    use super::*;

    #[test]
    fn paths_and_methods_become_endpoints() {
        let routes = Routes::new().unwrap();
        let image = || "i".to_owned();
        let table = [
            ("GET", "/v2/images", Endpoint::ListImages),
            ("PUT", "/v2/images/i/file", Endpoint::UploadImage { image: image() }),
            ("POST", "/v2/images/i/actions/reactivate", Endpoint::ReactivateImage { image: image() }),
            ("PUT", "/v2/images/i/tags/a%20b", Endpoint::AddTag { image: image(), tag: "a b".to_owned() }),
            ("POST", "/v2/images/i/members", Endpoint::AddMember { image: image() }),
            ("DELETE", "/v2/images/i/members/m", Endpoint::RemoveMember { image: image(), member: "m".to_owned() }),
            ("GET", "/v2/schemas/members", Endpoint::ShowSchema { name: SchemaName::Members }),
        ];
        for (method, path, endpoint) in table {
            assert_eq!(routes.find(&method.parse().unwrap(), path).unwrap(), endpoint, "{method} {path}");
        }
    }

    #[test]
    fn a_known_path_names_its_methods() {
        let routes = Routes::new().unwrap();
        for (path, allow) in [
            ("/v2/images/i", "GET, PATCH, DELETE"),
            ("/v2/images/i/tags/t", "PUT, DELETE"),
            ("/v2/images/i/members", "GET, POST"),
            ("/v2/images/i/members/m", "GET, PUT, DELETE"),
            ("/v2/images/i/actions/deactivate", "POST"),
            ("/v2/info/stores", "GET"),
        ] {
            let error = routes.find(&Method::HEAD, path).unwrap_err();
            assert_eq!(
                (error.status, error.headers[ALLOW].to_str().unwrap()),
                (StatusCode::METHOD_NOT_ALLOWED, allow),
                "{path}"
            );
        }
        for path in
            ["/v2/images/i/tags", "/v2/images/i/tags/a/b", "/v2/images/i/actions", "/v2/info", "/v2/schemas/tag"]
        {
            assert_eq!(routes.find(&Method::GET, path).unwrap_err().status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
